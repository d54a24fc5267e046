"""Time series from the file to the figure: signals read, checked, filtered, cut and normalized; ECGs and frequencies explained.

Importing it loads none of NumPy, SciPy, torch and matplotlib: each public name is fetched from its module at first use.
"""

from typing import TYPE_CHECKING

from signxai.common.lazy import fetched_at_first_use

if TYPE_CHECKING:
    from signxai.figures.ecg_map_plots import EcgSample, plot_ecg_maps
    from signxai.figures.ecg_plots import STANDARD_LEADS, plot_ecg
    from signxai.figures.spectrum_plots import SpectrumSample, plot_spectrogram, plot_spectrum, plot_spectrum_maps
    from signxai.timeseries.beat_network import BEAT_CLASSES, BeatNetwork, PreparedSignal, load_beat_network, prepare_for_beats
    from signxai.timeseries.beats import AAMI_CLASSES, Beats
    from signxai.timeseries.checks import Stretch, check_signal, find_flat_lines, find_gaps
    from signxai.timeseries.filters import bandpass, notch, resample
    from signxai.timeseries.frequency import ShortTimeRelevance, SpectralRelevance, dft_relevance, stdft_relevance
    from signxai.timeseries.normalization import Normalization
    from signxai.timeseries.reading import read_signal
    from signxai.timeseries.signal_input import SignalInput
    from signxai.timeseries.signals import Signal
    from signxai.timeseries.windows import BeatWindows, beat_windows, window

__all__ = [
    "AAMI_CLASSES",
    "BEAT_CLASSES",
    "STANDARD_LEADS",
    "BeatNetwork",
    "BeatWindows",
    "Beats",
    "EcgSample",
    "Normalization",
    "PreparedSignal",
    "ShortTimeRelevance",
    "Signal",
    "SignalInput",
    "SpectralRelevance",
    "SpectrumSample",
    "Stretch",
    "bandpass",
    "beat_windows",
    "check_signal",
    "dft_relevance",
    "find_flat_lines",
    "find_gaps",
    "load_beat_network",
    "notch",
    "plot_ecg",
    "plot_ecg_maps",
    "plot_spectrogram",
    "plot_spectrum",
    "plot_spectrum_maps",
    "prepare_for_beats",
    "read_signal",
    "resample",
    "stdft_relevance",
    "window",
]

_HOME = {
    "AAMI_CLASSES": "signxai.timeseries.beats",
    "BEAT_CLASSES": "signxai.timeseries.beat_network",
    "STANDARD_LEADS": "signxai.figures.ecg_plots",
    "BeatNetwork": "signxai.timeseries.beat_network",
    "BeatWindows": "signxai.timeseries.windows",
    "Beats": "signxai.timeseries.beats",
    "EcgSample": "signxai.figures.ecg_map_plots",
    "Normalization": "signxai.timeseries.normalization",
    "PreparedSignal": "signxai.timeseries.beat_network",
    "ShortTimeRelevance": "signxai.timeseries.frequency",
    "Signal": "signxai.timeseries.signals",
    "SignalInput": "signxai.timeseries.signal_input",
    "SpectralRelevance": "signxai.timeseries.frequency",
    "SpectrumSample": "signxai.figures.spectrum_plots",
    "Stretch": "signxai.timeseries.checks",
    "bandpass": "signxai.timeseries.filters",
    "beat_windows": "signxai.timeseries.windows",
    "check_signal": "signxai.timeseries.checks",
    "dft_relevance": "signxai.timeseries.frequency",
    "find_flat_lines": "signxai.timeseries.checks",
    "find_gaps": "signxai.timeseries.checks",
    "load_beat_network": "signxai.timeseries.beat_network",
    "notch": "signxai.timeseries.filters",
    "plot_ecg": "signxai.figures.ecg_plots",
    "plot_ecg_maps": "signxai.figures.ecg_map_plots",
    "plot_spectrogram": "signxai.figures.spectrum_plots",
    "plot_spectrum": "signxai.figures.spectrum_plots",
    "plot_spectrum_maps": "signxai.figures.spectrum_plots",
    "prepare_for_beats": "signxai.timeseries.beat_network",
    "read_signal": "signxai.timeseries.reading",
    "resample": "signxai.timeseries.filters",
    "stdft_relevance": "signxai.timeseries.frequency",
    "window": "signxai.timeseries.windows",
}

__getattr__, __dir__ = fetched_at_first_use(__name__, _HOME, __all__)
