"""Time series from the file to the figure: signals read, checked, filtered, cut and normalized; ECGs and frequencies explained.

Importing it loads none of NumPy, SciPy, torch and matplotlib: each public name is fetched from its module at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signxai.timeseries.beats import AAMI_CLASSES, Beats
    from signxai.timeseries.checks import Stretch, check_signal, find_flat_lines, find_gaps
    from signxai.timeseries.ecg_plots import STANDARD_LEADS, plot_ecg
    from signxai.timeseries.filters import bandpass, notch, resample
    from signxai.timeseries.frequency import ShortTimeRelevance, SpectralRelevance, dft_relevance, stdft_relevance
    from signxai.timeseries.normalization import Normalization
    from signxai.timeseries.reading import read_signal
    from signxai.timeseries.signals import Signal
    from signxai.timeseries.spectrum_plots import plot_spectrogram, plot_spectrum
    from signxai.timeseries.windows import BeatWindows, beat_windows, window

__all__ = [
    "AAMI_CLASSES",
    "STANDARD_LEADS",
    "BeatWindows",
    "Beats",
    "Normalization",
    "ShortTimeRelevance",
    "Signal",
    "SpectralRelevance",
    "Stretch",
    "bandpass",
    "beat_windows",
    "check_signal",
    "dft_relevance",
    "find_flat_lines",
    "find_gaps",
    "notch",
    "plot_ecg",
    "plot_spectrogram",
    "plot_spectrum",
    "read_signal",
    "resample",
    "stdft_relevance",
    "window",
]

_HOME = {
    "AAMI_CLASSES": "signxai.timeseries.beats",
    "STANDARD_LEADS": "signxai.timeseries.ecg_plots",
    "BeatWindows": "signxai.timeseries.windows",
    "Beats": "signxai.timeseries.beats",
    "Normalization": "signxai.timeseries.normalization",
    "ShortTimeRelevance": "signxai.timeseries.frequency",
    "Signal": "signxai.timeseries.signals",
    "SpectralRelevance": "signxai.timeseries.frequency",
    "Stretch": "signxai.timeseries.checks",
    "bandpass": "signxai.timeseries.filters",
    "beat_windows": "signxai.timeseries.windows",
    "check_signal": "signxai.timeseries.checks",
    "dft_relevance": "signxai.timeseries.frequency",
    "find_flat_lines": "signxai.timeseries.checks",
    "find_gaps": "signxai.timeseries.checks",
    "notch": "signxai.timeseries.filters",
    "plot_ecg": "signxai.timeseries.ecg_plots",
    "plot_spectrogram": "signxai.timeseries.spectrum_plots",
    "plot_spectrum": "signxai.timeseries.spectrum_plots",
    "read_signal": "signxai.timeseries.reading",
    "resample": "signxai.timeseries.filters",
    "stdft_relevance": "signxai.timeseries.frequency",
    "window": "signxai.timeseries.windows",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'signxai.timeseries' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
