"""Points that are made of samples by removing units: what perturbation curves and random subsets have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from signxai.common.errors import InputError, OptionError
from signxai.evidence.decision import Decision
from signxai.evidence.draws import generator
from signxai.evidence.imputers import Prepared, as_imputer
from signxai.evidence.layout import imputer_in_layout, unit_in_layout
from signxai.evidence.options import FloatArray
from signxai.evidence.parts import Key
from signxai.evidence.units import Partition

__all__ = ["BoolArray", "IntArray", "Removal", "imputers_of"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Removal:
    """Samples of which units can be removed.

    Attributes:
        decision: the model's, on the samples.
        units: of the parts that have relevance.
        imputers: fill in each of these parts.
    """

    decision: Decision
    units: Partition
    imputers: Mapping[Key, Prepared]

    @classmethod
    def of(cls, decision: Decision, keys: Sequence[Key], unit: Any, imputer: Any) -> Removal:
        """Of the inputs with these keys; ``unit`` and ``imputer`` as a user gave them."""
        parts = {key: decision.parts[key] for key in keys}
        shapes = {key: tuple(part.shape) for key, part in parts.items()}
        unit = unit_in_layout(unit, {key: decision.channel_axis(part) for key, part in parts.items()}, shapes)
        units = Partition(shapes, unit, next(iter(parts.values())).device)
        if len(units.counts) not in (1, decision.samples):
            raise InputError(f"unit= has numbers for {len(units.counts)} samples, and x has {decision.samples}")
        return cls(decision, units, imputers_of(decision, keys, imputer))

    @property
    def counts(self) -> IntArray:
        """How many units each sample has (N,)."""
        return np.broadcast_to(self.units.counts, (self.decision.samples,))

    def scores(self, rows: Sequence[int], members: BoolArray, score: str) -> FloatArray:
        """What is explained where units are removed (points,).

        Args:
            rows: the sample of each point.
            members: True for the units that are removed (points, width).
            score: one of ``SCORES``.
        """
        return self.decision.scores(rows, lambda part: self.points(rows[part], members[part]), score)

    def points(self, rows: Sequence[int], members: BoolArray) -> dict[Key, Tensor]:
        """The points themselves, by key."""
        masks = self.units.masks(members, rows)
        return {key: fill(rows, masks[key]) for key, fill in self.imputers.items()}

    def ranks(self, sums: FloatArray) -> IntArray:
        """The place of each unit, the most relevant at 0 (N, width); equal ones in an order that is drawn for each sample."""
        ranks = np.full(sums.shape, sums.shape[1], dtype=np.int32)
        for row, count in enumerate(self.counts):
            ranks[row, self._order(-sums[row, :count], row)] = np.arange(count)
        return ranks

    def _order(self, values: FloatArray, row: int) -> IntArray:
        """What sorts a sample's values; only where some are equal is anything drawn."""
        order = np.argsort(values)
        ordered = values[order]
        if not (ordered[1:] == ordered[:-1]).any():
            return order
        drawn = generator(self.decision.settings.seed, self.decision.seeds[row]).permutation(len(values))
        return np.asarray(drawn[np.argsort(values[drawn], kind="stable")])


def imputers_of(decision: Decision, keys: Sequence[Key], imputer: Any) -> dict[Key, Prepared]:
    """What fills in each of the inputs with these keys; ``imputer`` as a user gave it.

    Raises:
        OptionError: if it is none, or has nothing for one of them.
    """
    return {key: _prepared(imputer, key, decision) for key in keys}


def _prepared(imputer: Any, key: Key, decision: Decision) -> Prepared:
    part = decision.parts[key]
    if isinstance(imputer, Mapping) and key not in imputer:
        raise OptionError(f"imputer= has nothing for the input {key!r}; it needs an entry for each input that has relevance")
    own = imputer[key] if isinstance(imputer, Mapping) else imputer
    own = imputer_in_layout(own, decision.channel_axis(part), tuple(part.shape))
    return as_imputer(own, ids=not part.is_floating_point()).prepared(part, decision.seeds)
