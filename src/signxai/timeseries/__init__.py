"""Time series from the file to the network: signals read, checked, filtered, cut and normalized.

Importing it loads neither NumPy nor SciPy: each public name is fetched from its module at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signxai.timeseries.beats import AAMI_CLASSES, Beats
    from signxai.timeseries.checks import Stretch, check_signal, find_flat_lines, find_gaps
    from signxai.timeseries.filters import bandpass, notch, resample
    from signxai.timeseries.normalization import Normalization
    from signxai.timeseries.reading import read_signal
    from signxai.timeseries.signals import Signal
    from signxai.timeseries.windows import BeatWindows, beat_windows, window

__all__ = [
    "AAMI_CLASSES",
    "BeatWindows",
    "Beats",
    "Normalization",
    "Signal",
    "Stretch",
    "bandpass",
    "beat_windows",
    "check_signal",
    "find_flat_lines",
    "find_gaps",
    "notch",
    "read_signal",
    "resample",
    "window",
]

_HOME = {
    "AAMI_CLASSES": "signxai.timeseries.beats",
    "BeatWindows": "signxai.timeseries.windows",
    "Beats": "signxai.timeseries.beats",
    "Normalization": "signxai.timeseries.normalization",
    "Signal": "signxai.timeseries.signals",
    "Stretch": "signxai.timeseries.checks",
    "bandpass": "signxai.timeseries.filters",
    "beat_windows": "signxai.timeseries.windows",
    "check_signal": "signxai.timeseries.checks",
    "find_flat_lines": "signxai.timeseries.checks",
    "find_gaps": "signxai.timeseries.checks",
    "notch": "signxai.timeseries.filters",
    "read_signal": "signxai.timeseries.reading",
    "resample": "signxai.timeseries.filters",
    "window": "signxai.timeseries.windows",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'signxai.timeseries' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
