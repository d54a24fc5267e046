"""Beats of patients that the network has never seen, drawn by seed from those of a class that it tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from signxai.evidence import interval_mask
from signxai.timeseries import beat_windows, read_signal
from signxai.timeseries.beat_network import AFTER_S, BEAT_CLASSES, BEFORE_S, SAMPLING_RATE, prepare_for_beats

__all__ = ["DS2", "WITHIN_S", "Beats", "beats_of", "qrs_mask"]

DS2 = tuple(f"{record}" for record in (100, 103, 105, 111, 200, 202, 210, 213, 221, 233))
"""The ten records of the second set of de Chazal et al. 2004 that are there; ``ecg_beats`` was trained on the first set alone."""

WITHIN_S = 0.1


@dataclass(frozen=True)
class Beats:
    """Beats of one class, of several patients.

    Attributes:
        x: as the network reads them, (beats, 2, samples).
        records: each beat's record (beats,).
        annotated, told: how many beats of the class each record has, and how many of them the network tells, by record.
    """

    x: Tensor
    records: tuple[str, ...]
    annotated: dict[str, int]
    told: dict[str, int]

    def first(self, count: int) -> Beats:
        """At most so many beats of each patient."""
        kept = [place for place, record in enumerate(self.records) if self.records[:place].count(record) < count]
        return Beats(self.x[kept], tuple(self.records[place] for place in kept), self.annotated, self.told)


def beats_of(database: Path, records: Sequence[str], name: str, net: nn.Module, most: int, seed: int) -> Beats:
    """At most so many beats of each record, drawn from those of a class that the network tells; records without any are left out.

    Raises:
        SystemExit: there are none at all.
    """
    annotated, told, drawn = {}, {}, {}
    for record in records:
        x = _annotated(database, record, name)
        annotated[record] = len(x)
        found = x[_predicted(net, x) == BEAT_CLASSES.index(name)]
        if len(found):
            told[record] = len(found)
            order = np.random.default_rng([seed, *record.encode()]).permutation(len(found))
            drawn[record] = found[torch.from_numpy(order[:most])]
    if not drawn:
        raise SystemExit(f"error: the network tells no {name} beat of the records {', '.join(records)}")
    of_each = tuple(record for record, x in drawn.items() for _ in range(len(x)))
    return Beats(torch.cat(list(drawn.values())), of_each, annotated, told)


def _annotated(database: Path, record: str, name: str) -> Tensor:
    prepared = prepare_for_beats(read_signal(database / record))
    windows = beat_windows(prepared.signal, BEFORE_S, AFTER_S)
    chosen = [own == name for own in windows.beats.classes]
    return torch.from_numpy(prepared.normalization.apply(windows.values)[chosen].astype(np.float32))


@torch.no_grad()
def _predicted(net: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([net(part).argmax(1) for part in x.split(256)])  # of no beats, one part without any


def qrs_mask(beats: int, samples: int) -> npt.NDArray[np.bool_]:
    """True no farther than 100 ms from each window's beat, (beats, samples)."""
    at, half = BEFORE_S * SAMPLING_RATE, WITHIN_S * SAMPLING_RATE
    return interval_mask([[(round(at - half), round(at + half) + 1)]] * beats, samples)
