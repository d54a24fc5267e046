"""Windows of a signal, as a network takes them: arrays of equal length, around beats or anywhere."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError, OptionError
from signxai.timeseries.beats import Beats
from signxai.timeseries.signals import Signal

__all__ = ["BeatWindows", "beat_windows", "window"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BeatWindows:
    """A window around each beat that has room for one.

    Attributes:
        values: float64 (beats, leads, samples).
        beats: the beats that have a window, at their positions in the signal.
        indices: which of the signal's beats these are, integers (beats,).
        beat_at: the sample of each window at which its beat is.
        at_an_edge: indices of the beats too near the signal's beginning or end.
        in_a_gap: indices of the beats whose window would hold NaN.
    """

    values: FloatArray
    beats: Beats
    indices: IntArray
    beat_at: int
    at_an_edge: IntArray
    in_a_gap: IntArray

    def __len__(self) -> int:
        return len(self.values)


def window(signal: Signal, start: int, end: int) -> FloatArray:
    """Cut out the samples start <= sample < end, as float64 (leads, samples); by time: `Signal.between`.

    Raises:
        OptionError: start and end are no whole numbers, or do not lie in this order within the signal.
        InputError: there is a gap in the window.

    >>> window(Signal([[0.0, 1.0, 2.0, 3.0]], ["II"], "mV", sampling_rate=1.0), 1, 3)
    array([[1., 2.]])
    """
    samples = signal.values.shape[1]
    if any(isinstance(place, bool) or not isinstance(place, int | np.integer) for place in (start, end)):
        raise OptionError(f"start={start!r}, end={end!r}: whole numbers of samples; by time, use between()")
    if not 0 <= start < end <= samples:
        raise OptionError(f"start={start}, end={end}: 0 <= start < end <= {samples}, the signal's samples")
    values: FloatArray = signal.values[:, start:end].copy()
    if np.any(np.isnan(values)):
        raise InputError(f"{signal.name or 'signal'}: there is a gap between the samples {start} and {end}")
    return values


def beat_windows(signal: Signal, before_s: float, after_s: float) -> BeatWindows:
    """Cut out a window around each annotated beat; a beat without room for it is left out, and named.

    Args:
        signal: with beats.
        before_s: seconds before the beat, >= 0, rounded to the nearest sample.
        after_s: seconds from the beat on, rounded likewise; at least one sample, which is the beat's own.

    Raises:
        InputError: the signal has no beats.
        OptionError: before_s or after_s is no such number.

    >>> signal = Signal([np.arange(8.0)], ["II"], "mV", sampling_rate=2.0, beats=Beats([0, 3, 7], "NVN"))
    >>> around = beat_windows(signal, before_s=0.5, after_s=1.0)
    >>> around.values
    array([[[2., 3., 4.]]])
    >>> around.beats.classes, around.at_an_edge
    (('V',), array([0, 2]))
    """
    if signal.beats is None:
        raise InputError(f"{signal.name or 'signal'}: has no annotated beats; find them by detect_beats, and give them by with_beats")
    before, after = _samples(signal, "before_s", before_s, least=0), _samples(signal, "after_s", after_s, least=1)
    positions = signal.beats.positions
    inside = (positions >= before) & (positions + after <= signal.values.shape[1])
    # One row of sample numbers per beat; those outside are cut off here and dropped below.
    places = np.clip(positions[:, None] + np.arange(-before, after), 0, signal.values.shape[1] - 1)
    missing = np.isnan(signal.values)
    whole = ~missing[:, places].any(axis=(0, 2))
    kept = np.flatnonzero(inside & whole)
    return BeatWindows(
        values=np.ascontiguousarray(signal.values[:, places[kept]].transpose(1, 0, 2)),
        beats=signal.beats.select(kept),
        indices=kept,
        beat_at=before,
        at_an_edge=np.flatnonzero(~inside),
        in_a_gap=np.flatnonzero(inside & ~whole),
    )


def _samples(signal: Signal, name: str, seconds: float, least: int) -> int:
    samples = round(seconds * signal.sampling_rate) if isfinite(seconds) else -1
    if samples < least:
        raise OptionError(f"{name}={seconds}: at least {least / signal.sampling_rate:g} s ({least} samples)")
    return samples
