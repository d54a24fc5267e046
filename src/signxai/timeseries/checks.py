"""What is wrong with a signal: gaps, flat lines, values that cannot be in the units that they claim."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError, OptionError
from signxai.timeseries.signals import VOLTS, Signal

__all__ = ["FLAT_S", "Stretch", "check_signal", "find_flat_lines", "find_gaps"]

FLAT_S = 1.0
"""From how many seconds on a constant lead counts as flat: no heart pauses so evenly, while a trace at the end of its range may."""

# Leads on the skin lie between: the smallest of an infant or of the brain above 5 uV, the strongest artefact below 0.1 V.
_SMALLEST, _LARGEST = 5e-6, 0.1
_PLAUSIBLE = (2e-4, 2e-2)  # volts; what an ECG lead spans as a rule
_MOST_NAMED = 5


@dataclass(frozen=True)
class Stretch:
    """A stretch of one lead, in seconds from the signal's first sample.

    >>> print(Stretch("V1", 2.0, 3.5))
    V1 from 2 s to 3.5 s
    """

    lead: str
    start_s: float
    end_s: float

    def __str__(self) -> str:
        return f"{self.lead} from {self.start_s:.6g} s to {self.end_s:.6g} s"


def find_gaps(signal: Signal) -> tuple[Stretch, ...]:
    """Where leads hold NaN: nothing was recorded there.

    >>> find_gaps(Signal([[0.0, np.nan, np.nan, 1.0]], ["II"], "mV", sampling_rate=2.0))
    (Stretch(lead='II', start_s=0.5, end_s=1.5),)
    """
    masks = np.isnan(signal.values)
    return tuple(_stretch(signal, lead, start, end) for lead, mask in enumerate(masks) for start, end in _runs(mask))


def find_flat_lines(signal: Signal, shortest_s: float = FLAT_S) -> tuple[Stretch, ...]:
    """Where leads do not move: an electrode is off, or the recorder is at the end of its range.

    Args:
        signal: to look at.
        shortest_s: seconds from which on a constant stretch is named; a lead that is constant from end to end always is.

    Raises:
        OptionError: shortest_s is not above 0.

    >>> find_flat_lines(Signal([[0.0, 1.0, 1.0, 1.0]], ["II"], "mV", sampling_rate=2.0))
    (Stretch(lead='II', start_s=0.5, end_s=2.0),)
    """
    if not shortest_s > 0:
        raise OptionError(f"shortest_s={shortest_s}: seconds, above 0")
    return tuple(_flat_lines(signal, shortest_s))


def _flat_lines(signal: Signal, shortest_s: float) -> Iterator[Stretch]:
    samples = signal.values.shape[1]
    for lead, values in enumerate(signal.values):
        for start, last in _runs(values[1:] == values[:-1]):  # equal steps from start to last: constant from start to last
            whole = start == 0 and last == samples - 1
            if whole or last + 1 - start >= shortest_s * signal.sampling_rate:
                yield _stretch(signal, lead, start, last + 1)


def _runs(mask: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Where the mask is True: start and end of each run, the end exclusive."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _stretch(signal: Signal, lead: int, start: int, end: int) -> Stretch:
    return Stretch(signal.lead_names[lead], start / signal.sampling_rate, end / signal.sampling_rate)


def check_signal(signal: Signal, *, flat_s: float = FLAT_S, start_s: float = 0.0) -> None:
    """Refuse a signal that a network would be wrong about, and say all that is wrong with it.

    Looked for are gaps, flat lines, units that are no voltage, and values that cannot be in the units they claim: what a lead
    spans between its 1 % and its 99 % quantile must lie between 5 uV and 100 mV.

    Args:
        signal: to check.
        flat_s: seconds from which on a constant stretch is a fault.
        start_s: time of the first sample in seconds, where the signal was cut out of a longer one; the message counts from there.

    Raises:
        InputError: the signal has one of these faults; the message says in which leads, and when.
        OptionError: flat_s is not above 0.

    >>> check_signal(Signal([[0.0, np.nan]], ["II"], "mV", sampling_rate=2.0, name="short"))
    Traceback (most recent call last):
    signxai.common.errors.InputError: short: gaps (no values): II from 0.5 s to 1 s
    """
    faults = [
        *_named("gaps (no values)", find_gaps(signal), start_s),
        *_named("flat lines (a constant value)", find_flat_lines(signal, flat_s), start_s),
        *_wrong_units(signal),
    ]
    if faults:
        raise InputError(f"{signal.name or 'signal'}: {'; '.join(faults)}")


def _named(fault: str, stretches: tuple[Stretch, ...], start_s: float) -> Iterator[str]:
    if stretches:
        more = f" and {len(stretches) - _MOST_NAMED} more" if len(stretches) > _MOST_NAMED else ""
        moved = (Stretch(found.lead, found.start_s + start_s, found.end_s + start_s) for found in stretches[:_MOST_NAMED])
        yield f"{fault}: {', '.join(map(str, moved))}{more}"


def _wrong_units(signal: Signal) -> Iterator[str]:
    for lead, unit, values in zip(signal.lead_names, signal.units, signal.values, strict=True):
        if unit not in VOLTS:
            yield f"lead {lead} is in {unit}, which is no voltage ({', '.join(VOLTS)})"
            continue
        recorded = values[~np.isnan(values)]
        low, high = np.quantile(recorded, [0.01, 0.99]) if recorded.size else (0.0, 0.0)
        spread = float(high - low)
        if spread and not _SMALLEST <= spread * VOLTS[unit] <= _LARGEST:
            yield f"lead {lead} spans {spread:.3g} {unit}, which no electrode on the skin gives{_rather(spread)}"


def _rather(spread: float) -> str:
    near = [unit for unit, volts in VOLTS.items() if _PLAUSIBLE[0] <= spread * volts <= _PLAUSIBLE[1]]
    return f"; its values look like {near[0]}" if near else ""
