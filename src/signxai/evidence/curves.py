"""Perturbation curves: what becomes of a decision while units are removed, the most or the least relevant first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor, nn

from signxai.common.errors import OptionError
from signxai.evidence.decision import Decision, deciding
from signxai.evidence.options import FloatArray, RunOptions, Unpack, count, one_of, share
from signxai.evidence.parts import Key, stretches
from signxai.evidence.removal import IntArray, Removal

__all__ = ["Curve", "Steps", "perturbation_curve", "perturbation_curves"]

_ORDERS = dict.fromkeys(("most", "least"))


@dataclass(frozen=True, eq=False)
class Curve:
    """What becomes of each sample's decision while more and more of it is removed.

    Attributes:
        removed: the share of units that are removed (N, steps + 1), from 0.
        scores: what the decision's score is then (N, steps + 1).
    """

    removed: FloatArray
    scores: FloatArray

    def area(self) -> FloatArray:
        """The area under each curve (N,), by trapezoids, divided by the share that is removed at its end: the mean height.

        >>> Curve(np.array([[0.0, 0.5, 1.0]]), np.array([[2.0, 1.0, 0.0]])).area()
        array([1.])
        """
        heights, widths = (self.scores[:, 1:] + self.scores[:, :-1]) / 2, np.diff(self.removed, axis=1)
        return np.asarray((heights * widths).sum(axis=1) / self.removed[:, -1])

    def mean_drop(self) -> FloatArray:
        """The mean of the first score less each score (N,): AOPC, where the most relevant are removed first (Samek et al. 2017, eq. 12)."""
        return np.asarray((self.scores[:, :1] - self.scores).mean(axis=1))

    def mean(self) -> FloatArray:
        """The mean of all scores but the first (N,)."""
        return np.asarray(self.scores[:, 1:].mean(axis=1))


@dataclass(frozen=True)
class Steps:
    """How many units are removed at each point of a curve.

    Attributes:
        shares: of all units, from 0 on, rising.
    """

    shares: tuple[float, ...]

    @classmethod
    def read(cls, steps: Any, until: float = 1.0) -> Steps:
        """Of a number of steps up to a share, or of the shares themselves.

        Raises:
            OptionError: if they are no such numbers.
        """
        if not isinstance(steps, int | np.integer) and np.ndim(steps) == 1:
            shares = (0.0, *map(float, steps))
            if len(shares) < 2 or any(b <= a for a, b in pairwise(shares)) or shares[-1] > 1:
                raise OptionError(f"steps={list(steps)}: shares of the units that are removed, rising, more than 0 and at most 1")
            if until != 1:
                raise OptionError(
                    f"until={until!r} goes with a number of steps; the shares steps={list(steps)} say themselves where they end"
                )
            return cls(shares)
        end = share("until", until, "the share of the units that are removed at the end")
        return cls(tuple(end * np.linspace(0, 1, count("steps", steps) + 1)))

    def counts(self, units: IntArray) -> IntArray:
        """The numbers themselves (N, steps + 1), rounded, halves up; the last one at least 1."""
        counts = np.floor(np.outer(units, self.shares) + 0.5).astype(np.int64)
        counts[:, -1] = np.maximum(counts[:, -1], 1)
        return counts


def perturbation_curve(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    order: str = "most",
    imputer: Any = "mean",
    unit: Any = "pixel",
    steps: Any = 20,
    until: float = 1.0,
    score: str = "logit",
    **run: Unpack[RunOptions],
) -> Curve:
    """What becomes of a decision while units of the input are removed one after the other (pixel flipping; Samek et al. 2017).

    Args:
        model, x, target_class: as for ``signxai.explain``; a decision that is not named is that for ``x`` as it is.
        relevance: the map in the shape of ``x``, or one for each of several inputs as ``explain`` gives them: the inputs that have one are
            removed, all ranked together, and the others stay.
        order: "most" relevant first (MIF), or "least" (LIF), which is the same order from its end.
        imputer: what stands in the place of what is removed: "mean" of the channel, "blur", "noisy_linear" (ROAD), "interpolation" along
            time, a number, an array, an ``Imputer``, a function, or a dict of these by input. Token ids need a number.
        unit: what is removed at once: "pixel" (a place with all channels), "value", "token", ``Patch(8)``, ``Window(10)``, ``Spans(...)``,
            integers in the shape of ``x``, or a dict of these by input. A unit's relevance is the sum over it.
        steps: how many steps of equal size, or the shares of the units themselves; where a sample has fewer units, some steps remove none.
        until: the share of units that are removed at the end of a number of steps.
        score: "logit" (what maps explain, which does not saturate: the default), "probability", "change" of the logit, or "decision".
        **run: see ``RunOptions``.

    Returns:
        The curve of each sample. Units of equal relevance follow in an order that is drawn by ``seed``, so that a constant map's curve is
        that of a random order. One forward pass for each sample and step.

    Raises:
        OptionError: for an unknown word or a number out of range.
        InputError: if ``relevance`` has not the shape of ``x``, or holds NaN.

    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 1.0)
    >>> x = torch.tensor([[1.0, 3.0]])
    >>> perturbation_curve(model, x, x, 0, imputer=0.0, steps=2).scores
    array([[4., 1., 0.]])
    """
    one_of("order", order, _ORDERS)
    curves = perturbation_curves(
        model, x, relevance, target_class, orders=(order,), imputer=imputer, unit=unit, steps=steps, until=until, score=score, **run
    )
    return curves[order]


def perturbation_curves(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    orders: Sequence[str] = ("most", "least"),
    imputer: Any = "mean",
    unit: Any = "pixel",
    steps: Any = 20,
    until: float = 1.0,
    score: str = "logit",
    **run: Unpack[RunOptions],
) -> dict[str, Curve]:
    """The curves of several orders, which share their ends; arguments as for ``perturbation_curve``.

    Returns:
        From each of ``orders`` to its curve.

    Raises:
        OptionError: if there are no orders, or one is neither "most" nor "least".
    """
    if isinstance(orders, str) or not len(orders):
        raise OptionError(f"orders={orders!r} is no sequence of orders; give ('most',), ('least',) or both")
    for order in orders:
        one_of("order", order, _ORDERS)
    chosen = Steps.read(steps, until)

    def work(decision: Decision) -> dict[str, Curve]:
        maps = decision.maps(relevance)
        removal = Removal.of(decision, list(maps), unit, imputer)
        return _curves(removal, removal.ranks(removal.units.sums(maps)), chosen, orders, score)

    return deciding(work, model, x, target_class, run)


def _curves(removal: Removal, ranks: IntArray, steps: Steps, orders: Sequence[str], score: str) -> dict[str, Curve]:
    """Each different set of removed units is run once: an order's ends are the other's, and the samples have been run."""
    units = removal.counts
    counts = steps.counts(units)
    intervals = {order: _intervals(order, counts, units) for order in orders}
    different, places = _different(intervals)
    scores = removal.decision.scores_here(score)[different[:, 0]]
    is_changed = different[:, 1] < different[:, 2]
    scores[is_changed] = _scores_between(removal, ranks, different[is_changed], score)
    return {order: Curve(counts / units[:, None], scores[places[order]]) for order in orders}


def _scores_between(removal: Removal, ranks: IntArray, intervals: IntArray, score: str) -> FloatArray:
    """The scores of points, each of them a sample without the units of some ranks: (sample, first rank, rank behind the last)."""
    rows, ends = intervals[:, 0].tolist(), intervals[:, 1:].astype(ranks.dtype)

    def points(part: slice) -> dict[Key, Tensor]:
        members = np.empty((len(rows[part]), ranks.shape[1]), dtype=bool)
        for row, own in stretches(rows[part]):
            low, high = np.hsplit(ends[part][own], 2)
            np.logical_and(ranks[row] >= low, ranks[row] < high, out=members[own])
        return removal.points(rows[part], members)

    return removal.decision.scores(rows, points, score)


def _intervals(order: str, counts: IntArray, units: IntArray) -> IntArray:
    """The sample, and the first and the last rank that is removed, of each point (N, steps + 1, 3)."""
    rows = np.broadcast_to(np.arange(len(units))[:, None], counts.shape)
    start = np.zeros_like(counts) if order == "most" else units[:, None] - counts
    end = counts if order == "most" else np.broadcast_to(units[:, None], counts.shape)
    is_none = counts == 0
    return np.stack([rows, np.where(is_none, 0, start), np.where(is_none, 0, end)], axis=2)


def _different(intervals: Mapping[str, IntArray]) -> tuple[IntArray, dict[str, IntArray]]:
    """Each interval once (points, 3), sorted by sample, and for each order where its points are among them."""
    stacked = np.stack(list(intervals.values()))
    shape = tuple(int(most) + 1 for most in stacked.max(axis=(0, 1, 2)))
    different, inverse = np.unique(np.ravel_multi_index(tuple(np.moveaxis(stacked, -1, 0)), shape), return_inverse=True)
    places = inverse.reshape(stacked.shape[:-1])
    return np.stack(np.unravel_index(different, shape), axis=1), dict(zip(intervals, places, strict=True))
