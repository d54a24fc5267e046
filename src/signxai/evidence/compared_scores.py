"""Methods by metrics by samples: their scores, and all that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from signxai.common.errors import OptionError
from signxai.common.once import computed_once
from signxai.evidence.options import FloatArray
from signxai.evidence.records import METRICS
from signxai.evidence.statistics import (
    LEVEL,
    block_means,
    bootstrap_intervals,
    friedman,
    holm,
    means,
    nemenyi_distance,
    rank_sum,
    ranks_of,
    ranks_within,
    signed_rank,
)

__all__ = ["ALPHA", "BASELINE", "ComparedScores", "ComparisonRow", "MetricCurves", "RankSummary"]

BASELINE = "random_uniform"
"""The method that explains nothing, with which all others are compared."""

ALPHA = 1 - LEVEL


@dataclass(frozen=True, eq=False)
class MetricCurves:
    """The curves of which a metric's scores are made.

    Attributes:
        places: where along the axis (points,), of all methods.
        values: by order ("most", "least"; "" where there is one) the curves (methods, samples, points); NaN for a method without.
        x_label, y_label: what the axes mean.
    """

    places: FloatArray
    values: Mapping[str, FloatArray]
    x_label: str
    y_label: str


@dataclass(frozen=True)
class ComparisonRow:
    """One method by one metric.

    Attributes:
        method, metric: by name.
        better: "higher" or "lower".
        mean: over the samples with a score; NaN without any.
        low, high: the ends of its 95 % bootstrap interval.
        samples: how many have a score.
        rank: of the mean among the methods, 1 for the best.
        p_best: Wilcoxon's signed-rank test against the method of the best mean, corrected by Holm over the methods; NaN for the best.
        p_random: the same against ``random_uniform``.
        cost: of an explanation, in gradients; NaN where it is not known.
        beats_random: whether it is better than ``random_uniform``: by its mean and by the ranks of the test, which tells them apart
            (p <= 0.05).
        is_best: whether its mean is the best one; of several with the same best mean each is.
        is_level_with_best: whether it cannot be told from the best one: p > 0.05, or the ranks of the test say that it is the better one.
        done: whether it was computed; False in a comparison that was interrupted.
    """

    method: str
    metric: str
    better: str
    mean: float
    low: float
    high: float
    samples: int
    rank: float
    p_best: float
    p_random: float
    cost: float
    beats_random: bool
    is_best: bool
    is_level_with_best: bool
    done: bool


@dataclass(frozen=True, eq=False)
class RankSummary:
    """The methods' ranks within each sample or group, by one metric (Demsar 2006).

    Attributes:
        methods: those with scores, as in the comparison.
        means: their mean ranks, 1 for the best.
        blocks: how many samples or groups have a score of each of them.
        p_friedman: of Friedman's test that they differ at all; NaN for two methods or one block.
        distance: Nemenyi's critical difference; infinite without a block.
    """

    methods: tuple[str, ...]
    means: FloatArray
    blocks: int
    p_friedman: float
    distance: float


@dataclass(frozen=True, eq=False)
class ComparedScores:
    """The scores of methods by metrics on the same samples.

    Attributes:
        methods: their names, the baseline ``random_uniform`` among them.
        metrics: their names.
        scores: (methods, metrics, samples); NaN where a score is undefined, or was not computed.
        done: whether each metric of each method was computed (methods, metrics).
        groups: the number of each sample's group (N,); None: samples are independent.
        agreement: the mean rank correlation of the maps of each two methods (methods, methods).
        costs: of an explanation of all samples by each method (methods,), in gradients: its time divided by that of ``gradient`` on the
            same samples, of each the shortest of up to nine runs that take turns. NaN where the model has no gradient. None: not measured.
        curves: of the metrics that are made of curves.
        draws, seed: of the bootstrap.
        partial: it was interrupted before all was done.
        settings: how it was made, in words by name: the model, what is explained, the options of each metric, and so on.
        turned: by method, of how many samples a logit below 0 turns the signs of the map, as that of LRP that starts with 1: such maps are
            judged upside down.
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    scores: FloatArray
    done: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int64] | None
    agreement: FloatArray
    costs: FloatArray | None
    curves: Mapping[str, MetricCurves]
    draws: int
    seed: int
    partial: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    turned: Mapping[str, int] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """How many were explained."""
        return int(self.scores.shape[2])

    @property
    def blocks(self) -> int:
        """How many samples, or groups, the tests are over."""
        return self.samples if self.groups is None else int(self.groups.max()) + 1

    @property
    def least_p(self) -> float:
        """The least p-value that a test can have here, corrected for all methods: where all samples or groups are on one side."""
        others = max(len(self.methods) - 1, 1)
        return min(1.0, others * 2.0 ** (1 - self.blocks))

    def scores_of(self, method: str, metric_name: str) -> FloatArray:
        """The score of each sample (N,).

        Raises:
            OptionError: if there is no such method or metric here.
        """
        return np.asarray(self.scores[place_of("method", method, self.methods), self._column(metric_name)])

    def _column(self, metric_name: str) -> int:
        return place_of("metric", metric_name, self.metrics)

    @computed_once
    def _rows(self) -> tuple[ComparisonRow, ...]:
        return tuple(row for column in range(len(self.metrics)) for row in self._rows_of(column))

    def table(self) -> list[ComparisonRow]:
        """A row for each method by each metric, those of a metric behind each other in the order of the methods."""
        return list(self._rows)

    def row(self, method: str, metric_name: str) -> ComparisonRow:
        """One of them."""
        return self._rows[self._column(metric_name) * len(self.methods) + place_of("method", method, self.methods)]

    def _rows_of(self, column: int) -> list[ComparisonRow]:
        record, scores = METRICS[self.metrics[column]], self.scores[:, column]
        mean, counts = means(scores), np.isfinite(scores).sum(axis=1)
        intervals = bootstrap_intervals(scores, self.groups, self.draws, self.seed)
        ranks = ranks_of(mean, record.better)
        is_best = ranks == (np.nanmin(ranks) if np.isfinite(ranks).any() else np.nan)
        best, over_best = self._tested(scores, int(is_best.argmax()), record.better, is_best)
        baseline = self.methods.index(BASELINE)
        random, over_random = self._tested(scores, baseline, record.better)
        costs = np.full(len(self.methods), np.nan) if self.costs is None else self.costs
        return [
            ComparisonRow(
                *(method, record.name, record.better, float(mean[place]), float(intervals[place, 0]), float(intervals[place, 1])),
                *(int(counts[place]), float(ranks[place]), float(best[place]), float(random[place]), float(costs[place])),
                beats_random=bool(random[place] <= ALPHA and ranks[place] < ranks[baseline] and over_random[place] > 0),
                is_best=bool(is_best[place]),
                is_level_with_best=bool(best[place] > ALPHA or (best[place] <= ALPHA and over_best[place] > 0)),
                done=bool(self.done[place, column]),
            )
            for place, method in enumerate(self.methods)
        ]

    def _tested(
        self, scores: FloatArray, other: int, better: str, but: npt.NDArray[np.bool_] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """The p-value of each method against another one (M,), corrected, NaN for that one itself and for others that are left out; and
        more than 0 where the ranks of the test say that the method is better than that one."""
        blocks = block_means(scores, self.groups)
        differences = blocks - blocks[other]
        is_left_out = np.arange(len(blocks)) == other if but is None else but
        found = [np.nan if left_out else signed_rank(own) for own, left_out in zip(differences, is_left_out, strict=True)]
        sign = 1 if better == "higher" else -1
        return holm(np.array(found)), sign * np.array([rank_sum(own) for own in differences])

    def ranks(self, metric_name: str) -> RankSummary:
        """The mean ranks of the methods over samples or groups, and whether they differ.

        Raises:
            OptionError: if there is no such metric here.
        """
        scores = block_means(self.scores[:, self._column(metric_name)], self.groups)
        there = np.flatnonzero(self.done[:, self._column(metric_name)])
        ranks = ranks_within(scores[there], METRICS[metric_name].better)
        blocks = ranks.shape[1]
        is_comparable = blocks > 0 and len(there) > 1
        return RankSummary(
            tuple(self.methods[place] for place in there),
            ranks.mean(axis=1) if blocks else np.full(len(there), np.nan),
            blocks,
            friedman(ranks),
            nemenyi_distance(len(there), blocks) if is_comparable else float("inf"),
        )

    def bands(self, metric_name: str) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Of a metric that is made of curves, by order, the methods' mean curves (M, points) and the ends of their bands (M, points, 2).

        Raises:
            OptionError: if the metric has no curves.
        """
        if metric_name not in self.curves:
            raise OptionError(f"the metric {metric_name!r} has no curves here; those that have: {', '.join(self.curves) or 'none'}")
        return {order: self._band(values) for order, values in self.curves[metric_name].values.items()}

    def _band(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        methods, samples, points = values.shape
        rows = values.transpose(0, 2, 1).reshape(-1, samples)
        ends = bootstrap_intervals(rows, self.groups, self.draws, self.seed)
        return means(rows).reshape(methods, points), ends.reshape(methods, points, 2)


def place_of(kind: str, name: str, known: Sequence[str]) -> int:
    """The number of a method or metric.

    Raises:
        OptionError: if it is none of them.
    """
    if name not in known:
        raise OptionError(f"the comparison has no {kind} {name!r}; it has {', '.join(known)}")
    return known.index(name)
