"""Random subsets of units: what a map says of them, and what the decision loses without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from signxai.common.errors import OptionError
from signxai.evidence.decision import Decision
from signxai.evidence.draws import generator
from signxai.evidence.options import FloatArray
from signxai.evidence.parts import Key, stretches
from signxai.evidence.removal import BoolArray, IntArray, Removal

__all__ = ["Study"]


class Study:
    """Random subsets of the units of some samples, drawn where they are needed, and the relevance that they have."""

    def __init__(self, removal: Removal, maps: dict[Key, FloatArray]) -> None:
        self.removal, self.maps = removal, maps
        self.relevance = removal.units.sums(maps)
        self._last: tuple[int, BoolArray] | None = None

    @classmethod
    def of(cls, decision: Decision, relevance: Any, unit: Any, imputer: Any) -> Study:
        maps = decision.maps(relevance)
        return cls(Removal.of(decision, list(maps), unit, imputer), maps)

    def sizes(self, shares: Sequence[float], times: int) -> IntArray:
        """How many units each subset has (N, shares x times): of each share so many subsets, of at least 1 unit."""
        counts = np.floor(np.outer(self.removal.counts, shares) + 0.5).astype(np.int64)
        return np.repeat(np.maximum(1, counts), times, axis=1)

    def sizes_by_chance(self, times: int) -> IntArray:
        """How many units each subset has (N, times), if each unit is in it with probability one half; at least 1."""
        drawn = [self._generator(row, _SIZES).binomial(units, 0.5, size=times) for row, units in enumerate(self.removal.counts)]
        return np.maximum(1, np.array(drawn, dtype=np.int64))

    def sums_and_drops(self, sizes: IntArray, score: str) -> tuple[FloatArray, FloatArray]:
        """The relevance of each subset, and by how much the score falls without it (N, subsets)."""
        return self._said_and_drops(sizes, score, lambda row, members, made: members @ self.relevance[row])

    def slopes_and_drops(self, sizes: IntArray, score: str) -> tuple[FloatArray, FloatArray]:
        """What slopes say of each subset, the sum of relevance times the change of the input; and by how much the score falls."""
        if not all(self.removal.decision.parts[key].is_floating_point() for key in self.maps):
            raise OptionError("kind='sensitivity': token ids have no slope; take kind='contribution'")
        return self._said_and_drops(sizes, score, self._slopes)

    def _said_and_drops(self, sizes: IntArray, score: str, says: _Says) -> tuple[FloatArray, FloatArray]:
        """What ``says`` gives of each subset, and the drops; only the points of one pass are held at once."""
        decision, subsets = self.removal.decision, sizes.shape[1]
        rows = np.repeat(np.arange(len(sizes)), subsets).tolist()
        said = np.empty(sizes.shape)

        def points(part: slice) -> dict[Key, Tensor]:
            places = np.arange(part.start, part.start + len(rows[part])) % subsets
            own = list(stretches(rows[part]))
            members = np.concatenate([self._of_row(row, sizes)[places[where]] for row, where in own])
            made = self.removal.points(rows[part], members)
            for row, where in own:
                said[row, places[where]] = says(row, members[where], {key: values[where] for key, values in made.items()})
            return made

        scores = decision.scores(rows, points, score).reshape(sizes.shape)
        return said, decision.scores_here(score)[:, None] - scores

    def _of_row(self, row: int, sizes: IntArray) -> BoolArray:
        """The subsets of one sample (subsets, width)."""
        if self._last is None or self._last[0] != row:
            self._last = row, self._drawn(row, sizes[row])
        return self._last[1]

    def _drawn(self, row: int, sizes: IntArray) -> BoolArray:
        draws, units = self._generator(row, _SUBSETS), int(self.removal.counts[row])
        members = np.zeros((len(sizes), self.removal.units.width), dtype=bool)
        step = max(1, _MOST_DRAWN // units)
        for start in range(0, len(sizes), step):
            part = slice(start, start + step)
            members[part, :units] = _smallest(draws.random((len(sizes[part]), units)), sizes[part])
        return members

    def _generator(self, row: int, use: int) -> np.random.Generator:
        return generator(self.removal.decision.settings.seed, self.removal.decision.seeds[row], use)

    def _slopes(self, row: int, members: BoolArray, made: Mapping[Key, Tensor]) -> FloatArray:
        total = np.zeros(len(members))
        for key, own in self.maps.items():
            change = (self.removal.decision.parts[key][row].double() - made[key]).cpu().numpy()
            total += change.reshape(len(members), -1) @ own[row].ravel()
        return total


_Says: TypeAlias = "Callable[[int, BoolArray, Mapping[Key, Tensor]], FloatArray]"
"""What a map says of subsets (n, width) of the units of a sample, by its row, of which points are made."""


def _smallest(values: FloatArray, counts: IntArray) -> BoolArray:
    """True for so many of the smallest values of each row, which are drawn from so many that no two are equal.

    >>> _smallest(np.array([[0.3, 0.1, 0.2], [0.5, 0.9, 0.7]]), np.array([1, 2])).tolist()
    [[False, True, False], [True, False, True]]
    """
    chosen = np.empty(values.shape, dtype=bool)
    for own, row, count in zip(chosen, values, counts.tolist(), strict=True):
        np.less_equal(row, np.partition(row, count - 1)[count - 1], out=own)
    return chosen


_MOST_DRAWN = 1 << 16
"""Numbers at once."""

_SUBSETS, _SIZES = 2, 3
"""What generators are used for."""
