"""Relevance in a cardiologist's words: for and against, by lead, by beat, and by wave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError, OptionError
from signxai.timeseries.beats import Beats
from signxai.timeseries.checks import find_gaps
from signxai.timeseries.signals import Signal
from signxai.timeseries.waves import WAVES, Waves, find_waves

__all__ = ["PARTS", "RelevanceSummary", "SummaryRow", "summarize"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PARTS = (*WAVES, "rest")
"""The parts of a beat; the rest is what lies between its waves and those of the next, and what no wave was found in."""

_CONTEXT_S = 10.0  # of the signal on either side, in which waves are searched for, too
_OF_THE_BEAT_BEFORE = 2 / 3  # of the time between two beats


@dataclass(frozen=True)
class SummaryRow:
    """The relevance of one part of one beat in one lead; `for_it` is not negative, and `against_it` not positive."""

    beat: int
    time_s: float
    symbol: str
    lead: str
    part: str
    seconds: float
    for_it: float
    against_it: float


@dataclass(frozen=True, eq=False)
class RelevanceSummary:
    """Sums of relevance over the parts of beats; all together they are the sum of the map.

    Attributes:
        lead_names: of the leads.
        beats: the beats that have samples in the map, at their positions in the signal.
        numbers: which of the signal's beats these are, integers (beats,).
        sampling_rate: of the signal, in Hz.
        for_it: sums of positive relevance (beats, leads, parts), the parts being ``PARTS``.
        against_it: sums of negative relevance, likewise.
        seconds: how long each part is within the map (beats, parts).
        start: the first sample of the map in the signal.
        part: of which part each sample of the map is, integers (samples,).
        waves_found: in how many of these beats P, QRS and T were found.
    """

    lead_names: tuple[str, ...]
    beats: Beats
    numbers: IntArray
    sampling_rate: float
    for_it: FloatArray
    against_it: FloatArray
    seconds: FloatArray
    start: int
    part: IntArray
    waves_found: dict[str, int]

    def by_lead(self) -> FloatArray:
        """For and against (leads, 2)."""
        return self._sums((0, 2))

    def by_beat(self) -> FloatArray:
        """For and against (beats, 2)."""
        return self._sums((1, 2))

    def by_part(self) -> FloatArray:
        """For and against (parts, 2)."""
        return self._sums((0, 1))

    def _sums(self, axes: tuple[int, int]) -> FloatArray:
        return np.stack([self.for_it.sum(axis=axes), self.against_it.sum(axis=axes)], axis=-1)

    def rows(self) -> Iterator[SummaryRow]:
        """Each part of each beat in each lead; parts without a sample in the map are left out."""
        for beat, number in enumerate(self.numbers):
            time = float(self.beats.positions[beat] / self.sampling_rate)
            for lead, name in enumerate(self.lead_names):
                for part in np.flatnonzero(self.seconds[beat]):
                    sums = float(self.for_it[beat, lead, part]), float(self.against_it[beat, lead, part])
                    yield SummaryRow(int(number), time, self.beats.symbols[beat], name, PARTS[part], float(self.seconds[beat, part]), *sums)

    def __str__(self) -> str:
        found = ", ".join(f"{wave} in {count} beat{'s' * (count != 1)}" for wave, count in self.waves_found.items())
        lines = [f"{len(self.beats)} beats ({self.beats.origin}); waves found: {found}"]
        for heading, names, sums in (("part", PARTS, self.by_part()), ("lead", self.lead_names, self.by_lead())):
            lines.append(f"{heading:>6}  {'for':>10}  {'against':>10}  share of all")
            shares = np.abs(sums).sum(axis=1) / (np.abs(sums).sum() or 1.0)
            lines += [f"{name:>6}  {a:10.4g}  {b:10.4g}  {share:.1%}" for name, (a, b), share in zip(names, sums, shares, strict=True)]
        return "\n".join(lines)


def summarize(signal: Signal, relevance: npt.ArrayLike, beats: Beats | None = None, *, start: int = 0) -> RelevanceSummary:
    """Sum relevance for and against by lead, by beat, and by wave: P, QRS, ST, T, and the rest.

    A sample belongs to the beat in whose wave it lies, or else to the one before it for two thirds of the time to the next.

    Args:
        signal: without gaps, as it is drawn, not as the network takes it; the more of it around the map, the surer the waves.
        relevance: signed relevance (leads, samples) of the signal's samples from `start` on.
        beats: whose waves; None: those of the signal.
        start: the first sample of the map.

    Raises:
        InputError: a map that does not fit the signal or is not finite, no beats, beats outside the signal, gaps where the map is, or
            neurokit2 is missing.
        OptionError: `start` outside the signal.
    """
    values = _checked(signal, relevance, start)
    beats = signal.beats if beats is None else beats
    if beats is None or not len(beats):
        raise InputError(f"{signal.name or 'signal'}: has no beats; find them by detect_beats, and give them by beats=")
    signal.with_beats(beats)  # which refuses beats outside of it
    first, stop = _around(signal, start, start + values.shape[1])
    near = np.flatnonzero((beats.positions >= first) & (beats.positions < stop))
    if not near.size:
        raise InputError(f"{signal.name or 'signal'}: no beat within {_CONTEXT_S:g} s of the map")
    around = Signal(signal.values[:, first:stop], signal.lead_names, signal.units, signal.sampling_rate, signal.name)
    waves = find_waves(around, beats.within(first, stop))
    return _summed(signal, values, beats, near, waves, first, start)


def _around(signal: Signal, start: int, stop: int) -> tuple[int, int]:
    """The stretch about the samples from start to stop in which waves are searched for: as far as the context reaches, up to a gap.

    >>> _around(Signal([[0.0, np.nan, 2.0, 3.0, 4.0, np.nan]], ["II"], "mV", sampling_rate=1.0), 3, 4)
    (2, 5)
    """
    context = ceil(_CONTEXT_S * signal.sampling_rate)
    missing = np.flatnonzero(np.isnan(signal.values).any(axis=0))
    before, behind = missing[missing < start], missing[missing >= stop]
    if len(before) + len(behind) < len(missing):
        raise InputError(f"{signal.name or 'signal'}: there is a gap in {find_gaps(signal)[0]}; waves are not found across gaps")
    return max(0, start - context, int(before.max(initial=-1)) + 1), min(stop + context, int(behind.min(initial=signal.values.shape[1])))


def _checked(signal: Signal, relevance: npt.ArrayLike, start: int) -> FloatArray:
    given = np.asarray(relevance)
    if not (np.issubdtype(given.dtype, np.floating) or np.issubdtype(given.dtype, np.integer)):
        raise InputError(f"relevance is real numbers, not {given.dtype}")
    values = given.astype(np.float64)
    leads, samples = signal.values.shape
    if values.ndim != 2 or len(values) != leads or not 0 < values.shape[1] <= samples:
        raise InputError(f"relevance of shape {values.shape} for a signal of {signal.values.shape}: one value for each sample of each lead")
    if not np.isfinite(values).all():
        raise InputError("the relevance has NaN or infinity in it")
    if not 0 <= start <= samples - values.shape[1]:
        raise OptionError(f"start={start}: a map of {values.shape[1]} samples begins between 0 and {samples - values.shape[1]}")
    return values


def _summed(signal: Signal, values: FloatArray, beats: Beats, near: IntArray, waves: Waves, first: int, start: int) -> RelevanceSummary:
    samples = start - first + values.shape[1]
    part = waves.part_of(max(samples, *(int(spans.max()) for spans in waves.spans.values())))[start - first : samples]
    owner = _owners(beats.positions[near] - first, waves, samples)[start - first :]
    kept = np.unique(owner)
    places = np.searchsorted(kept, owner) * len(PARTS) + part
    shape = len(kept), len(PARTS)
    chosen = beats.select(near[kept])
    return RelevanceSummary(
        lead_names=tuple(signal.lead_names),
        beats=chosen,
        numbers=near[kept],
        sampling_rate=signal.sampling_rate,
        for_it=_by_place(np.maximum(values, 0), places, shape),
        against_it=_by_place(np.minimum(values, 0), places, shape),
        seconds=np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape) / signal.sampling_rate,
        start=start,
        part=part,
        waves_found={wave: int(waves.found(wave)[kept].sum()) for wave in waves.spans},
    )


def _by_place(values: FloatArray, places: IntArray, shape: tuple[int, int]) -> FloatArray:
    """Sums over samples (beats, leads, parts) of values (leads, samples)."""
    sums = [np.bincount(places, weights=lead, minlength=shape[0] * shape[1]).reshape(shape) for lead in values]
    return np.stack(sums, axis=1)


def _owners(peaks: IntArray, waves: Waves, samples: int) -> IntArray:
    """The beat to which each sample belongs."""
    turns = np.ceil(peaks[:-1] + _OF_THE_BEAT_BEFORE * np.diff(peaks))
    owner = np.searchsorted(turns, np.arange(samples), side="right")
    for name in ("P", "T", "QRS"):
        for beat, (begin, end) in enumerate(waves.spans[name]):
            owner[max(begin, 0) : max(end, 0)] = beat
    return owner
