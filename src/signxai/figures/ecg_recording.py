"""What an ECG figure draws: traces about their medians, their relevance, and the annotated beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError, OptionError
from signxai.common.visualization import FloatArray, as_array

__all__ = ["Beat", "Recording", "annotated_beats", "positive", "recording_of", "usual_gain"]

_IN_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "μV": 1e-3, "V": 1e3}

# Millimetres of the paper
_TALLEST_TRACE, _USUAL_TRACE = 60.0, 25.0


@dataclass(frozen=True)
class Recording:
    """Traces (leads, samples) about their medians in the drawn unit, and what else is known of them."""

    traces: FloatArray
    relevance: FloatArray | None
    names: tuple[str, ...]
    unit: str
    sampling_rate: float
    start: float
    time_label: str = "time (s)"

    @property
    def samples(self) -> int:
        return len(self.traces[0])

    @property
    def seconds(self) -> float:
        return self.samples / self.sampling_rate


@dataclass(frozen=True)
class Beat:
    """An annotated beat: where its R peak is, and what it is called."""

    sample: int
    label: str


def recording_of(
    signal: npt.ArrayLike, relevance: npt.ArrayLike | None, sampling_rate: float, lead_names: Sequence[str], units: str, start: float
) -> Recording:
    """Check a signal and its relevance, and bring them into the form that is drawn; the arguments are those of `plot_ecg`.

    Raises:
        InputError, OptionError: as `plot_ecg` does.
    """
    traces = _leads(signal, "signal")
    if np.isinf(traces).any():
        raise InputError("the signal has infinity in it; samples that are missing are NaN")
    names = tuple(lead_names) or _numbers(len(traces))
    if len(names) != len(traces):
        raise InputError(f"{len(names)} names for {len(traces)} leads")
    if len(set(names)) < len(names):
        raise InputError(f"lead_names={list(names)}: each name must be there once")
    if not math.isfinite(start):
        raise OptionError(f"start={start}: it must be finite")
    traces = traces * _IN_MILLIVOLTS.get(units, 1.0)
    present = ~np.isnan(traces).all(axis=1)
    traces[present] -= np.nanmedian(traces[present], axis=1, keepdims=True)
    unit = "mV" if units in _IN_MILLIVOLTS else units
    return Recording(traces, _relevance(relevance, traces), names, unit, positive("sampling_rate", sampling_rate), start)


def _numbers(leads: int) -> tuple[str, ...]:
    return tuple(str(lead + 1) for lead in range(leads)) if leads > 1 else ("",)


def _leads(values: npt.ArrayLike, name: str) -> FloatArray:
    array: npt.NDArray[Any] = as_array(values)
    if array.ndim not in (1, 2) or array.size == 0:
        raise InputError(f"the {name} has the shape (samples,) or (leads, samples), not {array.shape}")
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"the {name} holds {array.dtype}, not real numbers")
    return np.array(np.atleast_2d(array), dtype=np.float64)


def _relevance(relevance: npt.ArrayLike | None, traces: FloatArray) -> FloatArray | None:
    """Relevance, 0 where there is no signal to colour."""
    if relevance is None:
        return None
    values = _leads(relevance, "relevance")
    if values.shape != traces.shape:
        raise InputError(f"the relevance has the shape {values.shape}; it needs that of the signal, {traces.shape}")
    values[np.isnan(traces)] = 0.0
    if not np.isfinite(values).all():
        raise InputError("the relevance has NaN or infinity where the signal has none")
    return values


def annotated_beats(r_peaks: Sequence[int], beat_labels: Sequence[str], samples: int) -> list[Beat]:
    """The beats of a recording, checked."""
    labels = [str(label) for label in beat_labels] or [""] * len(r_peaks)
    if len(labels) != len(r_peaks):
        raise InputError(f"{len(labels)} beat labels for {len(r_peaks)} R peaks")
    outside = [int(peak) for peak in r_peaks if not 0 <= peak < samples]
    if outside:
        raise InputError(f"R peaks are sample numbers from 0 to {samples - 1}; these lie outside: {outside[:5]}")
    return sorted((Beat(int(peak), label) for peak, label in zip(r_peaks, labels, strict=True)), key=lambda beat: beat.sample)


def positive(name: str, value: float) -> float:
    """The value, which must be positive and finite."""
    if not 0 < value < math.inf:
        raise OptionError(f"{name}={value}: it must be positive and finite")
    return value


def usual_gain(recording: Recording) -> float:
    """Millimetres per unit at which the largest trace fits."""
    known = np.nan_to_num(recording.traces)  # the median, 0, lies within every trace
    largest = float(np.ptp(known, axis=1).max())
    if recording.unit == "mV":
        return 10.0 / 2 ** max(0, math.ceil(math.log2(10.0 * largest / _TALLEST_TRACE))) if largest else 10.0
    if not largest:
        return 10.0
    power = 10.0 ** math.floor(math.log10(_USUAL_TRACE / largest))
    return max(step * power for step in (1, 2, 5) if step * power * largest <= _USUAL_TRACE)
