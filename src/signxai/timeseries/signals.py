"""A signal with what its numbers mean: leads, units, sampling rate, and beats where they are annotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError, OptionError
from signxai.timeseries.beats import Beats

__all__ = ["VOLTS", "Signal", "lead_indices", "unit_name"]

FloatArray = npt.NDArray[np.float64]

VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
"""The units between which signals are converted, in volts."""

_PER_VOLT = {"V": 1.0, "mV": 1e3, "uV": 1e6, "nV": 1e9}


def unit_name(text: str) -> str:
    """The one spelling of a unit: micro is written u, volts have a small prefix and a large V.

    >>> [unit_name(text) for text in ("µV", "mv", " V ", "mmHg")]
    ['uV', 'mV', 'V', 'mmHg']
    """
    plain = text.strip().replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    return {unit.lower(): unit for unit in VOLTS}.get(plain.lower(), plain)


def lead_indices(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the wanted leads stand.

    Raises:
        InputError: a lead is missing; the message names those that are there.
        OptionError: no lead, or one twice.

    >>> lead_indices(["I", "II", "V1"], ["V1", "I"])
    [2, 0]
    """
    if missing := [name for name in wanted if name not in names]:
        raise InputError(f"no lead {', '.join(map(repr, missing))}; choose by leads= (--leads) of: {', '.join(names)}")
    if not wanted or len(set(wanted)) < len(wanted):
        raise OptionError(f"leads {list(wanted)}: name at least one, and each once, of {', '.join(names)}")
    return [list(names).index(name) for name in wanted]


@dataclass(frozen=True, eq=False, repr=False)
class Signal:
    """Leads sampled together, in physical units.

    Attributes:
        values: float64 (leads, samples); NaN where nothing was recorded.
        lead_names: one name per lead, all different.
        units: one unit per lead, such as "mV"; a single text holds for all leads.
        sampling_rate: samples per second of each lead, in Hz.
        name: what the signal is called in messages and figures, such as the record's name.
        beats: its beats, annotated, given or detected; None where nobody looked for any.

    Raises:
        InputError: values that are no real numbers of this shape, or infinite; names or units that do not fit them; a
            sampling rate that is not above 0; a beat outside the signal.

    >>> signal = Signal([[0.0, 1.0, 0.0, -1.0]], ["II"], "mV", sampling_rate=2.0, name="sine")
    >>> signal
    Signal 'sine': II in mV, 4 samples at 2 Hz (2 s)
    >>> signal.between(0.5, 1.5).values
    array([[1., 0.]])
    """

    values: FloatArray
    lead_names: Sequence[str]
    units: Sequence[str]
    sampling_rate: float
    name: str = ""
    beats: Beats | None = None

    def __post_init__(self) -> None:
        names = (self.lead_names,) if isinstance(self.lead_names, str) else tuple(self.lead_names)
        units = (self.units,) * len(names) if isinstance(self.units, str) else tuple(self.units)
        object.__setattr__(self, "values", _checked_values(self.values))
        object.__setattr__(self, "lead_names", names)
        object.__setattr__(self, "units", tuple(unit_name(unit) for unit in units))
        object.__setattr__(self, "sampling_rate", float(self.sampling_rate))
        self._check()

    def _check(self) -> None:
        leads, samples = self.values.shape
        if len(self.lead_names) != leads or len(self.units) != leads:
            raise InputError(f"{len(self.lead_names)} names and {len(self.units)} units for {leads} leads; each lead has one of both")
        if len(set(self.lead_names)) < leads:
            raise InputError(f"leads {', '.join(self.lead_names)}: each needs a name of its own")
        if "" in self.units:
            raise InputError(f"lead {self.lead_names[self.units.index('')]!r} has no unit; give one, such as 'mV'")
        if not (isfinite(self.sampling_rate) and self.sampling_rate > 0):
            raise InputError(f"sampling_rate={self.sampling_rate}: samples per second, above 0")
        if self.beats is not None and len(self.beats) and self.beats.positions[-1] >= samples:
            raise InputError(f"a beat at sample {self.beats.positions[-1]} lies outside the signal of {samples} samples")

    def __repr__(self) -> str:
        units = "/".join(dict.fromkeys(self.units))
        said = f"{', '.join(self.lead_names)} in {units}, {self.values.shape[1]} samples at {self.sampling_rate:g} Hz ({self.duration:g} s)"
        return f"Signal {self.name!r}: {said}" + ("" if self.beats is None else f", {_counted(self.beats)}")

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return float(self.values.shape[1] / self.sampling_rate)

    @property
    def times(self) -> FloatArray:
        """Time of each sample in seconds from the first, float64 (samples,)."""
        return np.arange(self.values.shape[1]) / self.sampling_rate

    def between(self, start_s: float, end_s: float) -> Signal:
        """Cut out a stretch of time: the samples from start_s on, before end_s, each rounded to the nearest sample.

        Raises:
            OptionError: no sample lies between the two, or one of them lies outside the signal.
        """
        start, end = (_sample(self, seconds) for seconds in (start_s, end_s))
        if not 0 <= start < end <= self.values.shape[1]:
            raise OptionError(f"from {start_s:g} s to {end_s:g} s: the signal runs from 0 s to {self.duration:g} s")
        beats = None if self.beats is None else self.beats.within(start, end)
        return replace(self, values=self.values[:, start:end], beats=beats)

    def choose_leads(self, *names: str) -> Signal:
        """Keep the leads of these names, in their order.

        Raises:
            InputError: a lead is missing; the message names those that are there.
            OptionError: no lead, or one twice.

        >>> Signal([[1.0], [2.0]], ["I", "II"], "mV", 1.0).choose_leads("II").values
        array([[2.]])
        """
        chosen = lead_indices(self.lead_names, names)
        return replace(self, values=self.values[chosen], lead_names=names, units=[self.units[index] for index in chosen])

    def with_beats(self, beats: Beats | None) -> Signal:
        """The same signal with other beats.

        Raises:
            InputError: a beat lies outside the signal.

        >>> Signal([[0.0, 1.0, 0.0]], ["II"], "mV", 2.0).with_beats(Beats([1], "V", origin="given"))
        Signal '': II in mV, 3 samples at 2 Hz (1.5 s), 1 beats given
        """
        return replace(self, beats=beats)

    def in_units(self, unit: str) -> Signal:
        """Convert all leads to one unit of voltage: "V", "mV", "uV" or "nV".

        Raises:
            OptionError: another unit is asked for.
            InputError: a lead is in no unit of voltage, so that it cannot be converted.

        >>> Signal([[1500.0]], ["II"], "uV", 1.0).in_units("mV").values
        array([[1.5]])
        """
        wanted = unit_name(unit)
        if wanted not in VOLTS:
            raise OptionError(f"unit {unit!r}: one of {', '.join(VOLTS)}")
        for lead, has in zip(self.lead_names, self.units, strict=True):
            if has not in VOLTS:
                raise InputError(f"lead {lead!r} is in {has}, which no factor turns into {wanted}")
        values = [_in_unit(lead, _PER_VOLT[has], _PER_VOLT[wanted]) for lead, has in zip(self.values, self.units, strict=True)]
        return replace(self, values=np.stack(values), units=wanted)


def _counted(beats: Beats) -> str:
    return f"{len(beats)} beats" + ("" if beats.origin == "annotated" else f" {beats.origin}")


def _in_unit(values: FloatArray, has: float, wanted: float) -> FloatArray:
    """Values in another unit, of both of which a volt has so many: powers of ten above 1 are exact, so that this rounds once at most."""
    return values * (wanted / has) if wanted >= has else values / (has / wanted)


def _sample(signal: Signal, seconds: float) -> int:
    if not isfinite(seconds):
        raise OptionError(f"{seconds} s is no time within the signal")
    return round(seconds * signal.sampling_rate)


def _checked_values(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values)
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise InputError(f"a signal holds real numbers, not {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"a signal has the shape (leads, samples), not {array.shape}")
    if np.any(np.isinf(array)):
        raise InputError("a signal has finite values, and NaN where nothing was recorded; this one holds infinity")
    return np.array(array, dtype=np.float64)  # a copy: what the caller does to its array later does not reach the signal
