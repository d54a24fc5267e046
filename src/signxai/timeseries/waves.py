"""The waves of heart beats: where P, QRS and T begin and end, found by the package neurokit2."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError
from signxai.timeseries.beats import Beats
from signxai.timeseries.checks import find_gaps
from signxai.timeseries.detection import voltage_leads
from signxai.timeseries.packages import package, warnings_ignored
from signxai.timeseries.signals import Signal

__all__ = ["WAVES", "Waves", "find_waves"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

WAVES = ("P", "QRS", "ST", "T")
"""The parts of a beat, in the order of time; ST is what lies between QRS and T."""

_PURPOSE = "finding the waves of beats"
_EDGES = {"P": "P", "QRS": "R", "T": "T"}  # neurokit2 calls the QRS complex R
_LONGEST_S = {"P": 0.25, "QRS": 0.3, "T": 0.45}
_LEAST_QRS_S = 0.05  # to either side
_LEAST_BEATS = 2  # between which neurokit2 looks
_SAME_S = 0.05  # beats that follow each other so closely are one to neurokit2, which looks 20 ms around each
_ALONE_S = 1.0  # on either side of a beat, where the signal ends


@dataclass(frozen=True, eq=False)
class Waves:
    """The waves of beats.

    Attributes:
        spans: for P, QRS and T the first sample of each beat's wave and the one behind its last, integers (beats, 2); -1 where no
            such wave was found.
    """

    spans: Mapping[str, IntArray]

    def found(self, wave: str) -> npt.NDArray[np.bool_]:
        """Which beats have this wave (beats,)."""
        return np.asarray(self.spans[wave][:, 0] >= 0)

    def part_of(self, samples: int) -> IntArray:
        """Of which part of a beat each sample is, integers (samples,): a number of ``WAVES``, or their count for none of them.

        Where waves overlap, as on early beats, a sample is of the QRS complex, or else of T, or else of P.
        """
        part = np.full(samples, len(WAVES), dtype=np.int64)
        for name, spans in (("ST", self._between()), ("P", self.spans["P"]), ("T", self.spans["T"]), ("QRS", self.spans["QRS"])):
            for first, stop in spans:
                part[max(first, 0) : max(stop, 0)] = WAVES.index(name)
        return part

    def _between(self) -> IntArray:
        """From each QRS complex to its T wave, where both were found."""
        between = np.stack([self.spans["QRS"][:, 1], self.spans["T"][:, 0]], axis=1)
        return np.where((self.found("QRS") & self.found("T"))[:, None], between, -1)


def find_waves(signal: Signal, beats: Beats | None = None) -> Waves:
    """Find where P, QRS and T of each beat begin and end, by neurokit2's delineation by prominence (Emrich et al. 2024).

    Each lead of voltage is searched by itself. P and T begin and end at the median of the leads in which they were found; the QRS
    complex at the earliest begin and the latest end, and at least 50 ms to either side of the beat, as no complex is shorter: the edges
    that are found of one are tight, and part of a wide one may count as ST or not at all. Edges that are out of order, and waves that
    are too long to be one, are left out. Fibrillating atria have no P wave: what is found there are other deflections.

    Args:
        signal: without gaps.
        beats: whose waves; None: those of the signal.

    Raises:
        InputError: no beats, no lead of voltage, gaps, or neurokit2 is missing.
    """
    beats = signal.beats if beats is None else beats
    if beats is None or not len(beats):
        raise InputError(f"{signal.name or 'signal'}: has no beats whose waves could be found; find them by detect_beats")
    leads = voltage_leads(signal)
    if gaps := find_gaps(leads):
        raise InputError(f"{signal.name or 'signal'}: waves are not found across the gap in {gaps[0]}; use a stretch without one (between)")
    edges = np.stack([_edges(lead, leads.sampling_rate, beats.positions) for lead in leads.values])
    with warnings_ignored():  # of waves that no lead has
        of_all = np.nanmedian(edges, axis=0)
    least = _LEAST_QRS_S * signal.sampling_rate
    of_all[1, :, 0] = np.fmin(np.fmin.reduce(edges[:, 1, :, 0]), beats.positions - least)
    of_all[1, :, 1] = np.fmax(np.fmax.reduce(edges[:, 1, :, 1]), beats.positions + least)
    of_all[1] = np.clip(of_all[1], 0, signal.values.shape[1] - 1)
    return Waves(_in_order(of_all, beats.positions, signal))


def _edges(lead: FloatArray, rate: float, peaks: IntArray) -> FloatArray:
    """Begin and end of P, QRS and T (3, beats, 2) in one lead; NaN where a wave was not found."""
    neurokit2 = package("neurokit2", _PURPOSE)
    room = ceil(_ALONE_S * rate)
    continued = np.pad(lead, room, mode="edge")  # waves at the ends are searched for in windows that need room
    place = np.concatenate([[0], np.cumsum(np.diff(peaks) > _SAME_S * rate)])
    distinct = peaks[np.searchsorted(place, np.arange(place[-1] + 1))]
    if len(distinct) < _LEAST_BEATS:
        return np.full((len(_EDGES), len(peaks), 2), np.nan)
    with warnings_ignored():
        cleaned = neurokit2.ecg_clean(continued, sampling_rate=rate, method="neurokit")
        _, found = neurokit2.ecg_delineate(cleaned, rpeaks=distinct + room, sampling_rate=rate, method="prominence")
    edges: FloatArray = np.array([[found[f"ECG_{name}_{edge}"] for edge in ("Onsets", "Offsets")] for name in _EDGES.values()], float)
    return np.asarray(edges.transpose(0, 2, 1)[:, place] - room)


def _in_order(edges: FloatArray, peaks: IntArray, signal: Signal) -> dict[str, IntArray]:
    """The edges (3, beats, 2) of waves that can be ones."""
    rate, samples = signal.sampling_rate, signal.values.shape[1]
    first, last = edges[..., 0], edges[..., 1]
    longest = np.array([_LONGEST_S[name] for name in _EDGES])[:, None] * rate
    good = (first < last) & (last - first <= longest) & (first >= 0) & (last < samples)  # False beside NaN
    good &= np.stack([last[0] <= peaks, (first[1] <= peaks) & (peaks <= last[1]), first[2] >= peaks])
    spans = np.where(good[..., None], np.rint(np.stack([first, last + 1], axis=-1)), -1)
    return {name: spans[number].astype(np.int64) for number, name in enumerate(_EDGES)}
