"""Time series from the file to the figure: signals read, checked, filtered, cut and normalized; ECGs and frequencies explained.

Importing it loads none of NumPy, SciPy, torch and matplotlib: each public name is fetched from its module at first use.
"""

from typing import TYPE_CHECKING

from signxai.common.lazy import fetched_at_first_use

if TYPE_CHECKING:
    from signxai.figures.ecg_map_plots import EcgSample, plot_ecg_maps
    from signxai.figures.ecg_plots import STANDARD_LEADS, plot_ecg
    from signxai.figures.spectrum_plots import SpectrumSample, plot_spectrogram, plot_spectrum, plot_spectrum_maps
    from signxai.figures.summary_plots import plot_summary
    from signxai.timeseries.beat_files import read_beats
    from signxai.timeseries.beat_network import BEAT_CLASSES, BeatNetwork, PreparedSignal, load_beat_network, prepare_for_beats
    from signxai.timeseries.beats import AAMI_CLASSES, Beats
    from signxai.timeseries.checks import Stretch, check_signal, find_flat_lines, find_gaps
    from signxai.timeseries.detection import detect_beats
    from signxai.timeseries.filters import bandpass, notch, resample
    from signxai.timeseries.frequency import ShortTimeRelevance, SpectralRelevance, dft_relevance, stdft_relevance
    from signxai.timeseries.normalization import Normalization
    from signxai.timeseries.reading import read_signal
    from signxai.timeseries.signal_input import AsRecorded, SignalInput
    from signxai.timeseries.signals import Signal
    from signxai.timeseries.summary import PARTS, RelevanceSummary, SummaryRow, summarize
    from signxai.timeseries.waves import WAVES, Waves, find_waves
    from signxai.timeseries.windows import BeatWindows, beat_windows, window

__all__ = [
    "AAMI_CLASSES",
    "BEAT_CLASSES",
    "PARTS",
    "STANDARD_LEADS",
    "WAVES",
    "AsRecorded",
    "BeatNetwork",
    "BeatWindows",
    "Beats",
    "EcgSample",
    "Normalization",
    "PreparedSignal",
    "RelevanceSummary",
    "ShortTimeRelevance",
    "Signal",
    "SignalInput",
    "SpectralRelevance",
    "SpectrumSample",
    "Stretch",
    "SummaryRow",
    "Waves",
    "bandpass",
    "beat_windows",
    "check_signal",
    "detect_beats",
    "dft_relevance",
    "find_flat_lines",
    "find_gaps",
    "find_waves",
    "load_beat_network",
    "notch",
    "plot_ecg",
    "plot_ecg_maps",
    "plot_spectrogram",
    "plot_spectrum",
    "plot_spectrum_maps",
    "plot_summary",
    "prepare_for_beats",
    "read_beats",
    "read_signal",
    "resample",
    "stdft_relevance",
    "summarize",
    "window",
]

_HOME = {
    "AAMI_CLASSES": "signxai.timeseries.beats",
    "BEAT_CLASSES": "signxai.timeseries.beat_network",
    "PARTS": "signxai.timeseries.summary",
    "STANDARD_LEADS": "signxai.figures.ecg_plots",
    "WAVES": "signxai.timeseries.waves",
    "AsRecorded": "signxai.timeseries.signal_input",
    "BeatNetwork": "signxai.timeseries.beat_network",
    "BeatWindows": "signxai.timeseries.windows",
    "Beats": "signxai.timeseries.beats",
    "EcgSample": "signxai.figures.ecg_map_plots",
    "Normalization": "signxai.timeseries.normalization",
    "PreparedSignal": "signxai.timeseries.beat_network",
    "RelevanceSummary": "signxai.timeseries.summary",
    "ShortTimeRelevance": "signxai.timeseries.frequency",
    "Signal": "signxai.timeseries.signals",
    "SignalInput": "signxai.timeseries.signal_input",
    "SpectralRelevance": "signxai.timeseries.frequency",
    "SpectrumSample": "signxai.figures.spectrum_plots",
    "Stretch": "signxai.timeseries.checks",
    "SummaryRow": "signxai.timeseries.summary",
    "Waves": "signxai.timeseries.waves",
    "bandpass": "signxai.timeseries.filters",
    "beat_windows": "signxai.timeseries.windows",
    "check_signal": "signxai.timeseries.checks",
    "detect_beats": "signxai.timeseries.detection",
    "dft_relevance": "signxai.timeseries.frequency",
    "find_flat_lines": "signxai.timeseries.checks",
    "find_gaps": "signxai.timeseries.checks",
    "find_waves": "signxai.timeseries.waves",
    "load_beat_network": "signxai.timeseries.beat_network",
    "notch": "signxai.timeseries.filters",
    "plot_ecg": "signxai.figures.ecg_plots",
    "plot_ecg_maps": "signxai.figures.ecg_map_plots",
    "plot_spectrogram": "signxai.figures.spectrum_plots",
    "plot_spectrum": "signxai.figures.spectrum_plots",
    "plot_spectrum_maps": "signxai.figures.spectrum_plots",
    "plot_summary": "signxai.figures.summary_plots",
    "prepare_for_beats": "signxai.timeseries.beat_network",
    "read_beats": "signxai.timeseries.beat_files",
    "read_signal": "signxai.timeseries.reading",
    "resample": "signxai.timeseries.filters",
    "stdft_relevance": "signxai.timeseries.frequency",
    "summarize": "signxai.timeseries.summary",
    "window": "signxai.timeseries.windows",
}

__getattr__, __dir__ = fetched_at_first_use(__name__, _HOME, __all__)
