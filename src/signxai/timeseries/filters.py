"""Signals filtered and resampled by SciPy, with no shift in time."""

from dataclasses import replace
from fractions import Fraction
from math import ceil, isfinite
from typing import Any

import numpy as np

from signxai.common.errors import InputError, OptionError
from signxai.timeseries.beats import Beats
from signxai.timeseries.checks import find_gaps
from signxai.timeseries.packages import package
from signxai.timeseries.signals import Signal

__all__ = ["bandpass", "notch", "resample"]

_LARGEST_FACTOR = 10_000
_ORDER = 4
# How many times the slowest thing that a filter remembers the ends are continued, so that its onset is outside the signal.
_SETTLING = 3


def resample(signal: Signal, rate: float) -> Signal:
    """Change the sampling rate, by a polyphase filter without delay that keeps out what the new rate cannot hold.

    Beats stay at their time, rounded to the nearest sample. What lies above 0.9 of the lower of the two Nyquist frequencies
    is weakened.

    Args:
        signal: without gaps.
        rate: new sampling rate in Hz.

    Returns:
        Signal with ceil(samples * rate / sampling_rate) samples, the first at the same time.

    Raises:
        OptionError: a rate that is not above 0, or that is no ratio of whole numbers up to 10000 to the signal's.
        InputError: the signal has gaps; scipy is missing.

    >>> resample(Signal([[0.0, 1.0, 2.0, 3.0]], ["II"], "mV", sampling_rate=360.0), 180.0)
    Signal '': II in mV, 2 samples at 180 Hz (0.0111111 s)
    """
    up, down = _factors(signal.sampling_rate, rate)
    _require_no_gaps(signal)
    if up == down:
        return signal
    scipy_signal = package("scipy.signal", "resampling")
    # Beyond its ends a signal goes on at its own level: zeros there would ring into it.
    values = scipy_signal.resample_poly(signal.values, up, down, axis=1, padtype="line")
    return replace(signal, values=values, sampling_rate=rate, beats=_moved(signal.beats, Fraction(up, down), values.shape[1]))


def _factors(old: float, new: float) -> tuple[int, int]:
    if not (isfinite(new) and new > 0):
        raise OptionError(f"rate={new}: samples per second, above 0")
    ratio = (Fraction(new) / Fraction(old)).limit_denominator(_LARGEST_FACTOR)
    if not 0 < ratio.numerator <= _LARGEST_FACTOR or abs(float(ratio) * old / new - 1) > 1e-9:
        raise OptionError(f"rate={new:g}: stands in no ratio of whole numbers up to {_LARGEST_FACTOR} to the signal's {old:g} Hz")
    return ratio.numerator, ratio.denominator


def _moved(beats: Beats | None, ratio: Fraction, samples: int) -> Beats | None:
    if beats is None:
        return None
    return replace(beats, positions=np.minimum(np.rint(beats.positions * float(ratio)).astype(np.int64), samples - 1))


def bandpass(signal: Signal, low: float, high: float) -> Signal:
    """Keep the frequencies between two: a Butterworth filter of order 4, run forwards and backwards (no shift in time).

    At low and high themselves half of the amplitude remains (-6 dB).

    Args:
        signal: without gaps, at least one period of `low` long.
        low, high: in Hz, 0 < low < high < half the sampling rate; for an ECG as a rule 0.5 and 40.

    Raises:
        OptionError: frequencies outside these bounds.
        InputError: the signal has gaps or is too short for `low`; scipy is missing.

    >>> times = np.arange(1000) / 250.0
    >>> slow, fast = np.sin(2 * np.pi * 0.1 * times), np.sin(2 * np.pi * 10 * times)
    >>> filtered = bandpass(Signal([slow + fast], ["II"], "mV", 250.0), 2.0, 40.0)
    >>> bool(abs(filtered.values - fast)[:, 250:750].max() < 0.01)
    True
    """
    nyquist = signal.sampling_rate / 2
    if not 0 < low < high < nyquist:
        raise OptionError(f"low={low}, high={high}: 0 < low < high < {nyquist:g} Hz, half of the sampling rate")
    scipy_signal = package("scipy.signal", "filtering")
    sections = scipy_signal.butter(_ORDER, (low, high), "bandpass", output="sos", fs=signal.sampling_rate)
    return _filtered(signal, sections, 1 / low, f"low={low:g} Hz")


def notch(signal: Signal, frequency: float, quality: float = 30.0) -> Signal:
    """Take out one frequency, such as that of the mains: a second-order notch, run forwards and backwards (no shift in time).

    Args:
        signal: without gaps, at least quality / frequency seconds long.
        frequency: in Hz, 0 < frequency < half the sampling rate; 50 or 60 for the mains.
        quality: frequency by width of the notch (where one pass leaves -3 dB), above 0.

    Raises:
        OptionError: a frequency or a quality outside these bounds.
        InputError: the signal has gaps or is too short; scipy is missing.

    >>> times = np.arange(1000) / 250.0
    >>> beat, hum = np.sin(2 * np.pi * 5 * times), np.sin(2 * np.pi * 50 * times)
    >>> filtered = notch(Signal([beat + hum], ["II"], "mV", 250.0), 50.0)
    >>> bool(abs(filtered.values - beat)[:, 250:750].max() < 0.01)
    True
    """
    nyquist = signal.sampling_rate / 2
    if not 0 < frequency < nyquist:
        raise OptionError(f"frequency={frequency}: 0 < frequency < {nyquist:g} Hz, half of the sampling rate")
    if not (isfinite(quality) and quality > 0):
        raise OptionError(f"quality={quality}: frequency by width of the notch, above 0")
    scipy_signal = package("scipy.signal", "filtering")
    sections = scipy_signal.tf2sos(*scipy_signal.iirnotch(frequency, quality, fs=signal.sampling_rate))
    return _filtered(signal, sections, quality / frequency, f"frequency={frequency:g} Hz with quality={quality:g}")


def _filtered(signal: Signal, sections: Any, memory_s: float, asked: str) -> Signal:
    """Run sections both ways; `memory_s` is how long the filter remembers."""
    _require_no_gaps(signal)
    samples = signal.values.shape[1]
    if signal.duration < memory_s or samples < 2:
        raise InputError(f"{signal.name or 'signal'}: {signal.duration:g} s are too short for {asked}; at least {memory_s:g} s are needed")
    padding = min(samples - 1, ceil(_SETTLING * memory_s * signal.sampling_rate))
    return replace(signal, values=package("scipy.signal", "filtering").sosfiltfilt(sections, signal.values, axis=1, padlen=padding))


def _require_no_gaps(signal: Signal) -> None:
    if gaps := find_gaps(signal):
        raise InputError(f"{signal.name or 'signal'}: a filter would spread the gap in {gaps[0]}; use a stretch without one (between)")
