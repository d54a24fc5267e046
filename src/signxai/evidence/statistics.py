"""What follows from scores of several methods on the same samples: intervals, paired tests, ranks, and how far mean ranks must be apart.

Everywhere a row is a method, and NaN is a score that is not there.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import MissingPackageError, OptionError
from signxai.evidence.options import FloatArray
from signxai.evidence.similarities import average_ranks

__all__ = [
    "LEVEL",
    "block_means",
    "bootstrap_intervals",
    "friedman",
    "group_names",
    "group_numbers",
    "holm",
    "means",
    "nemenyi_distance",
    "rank_sum",
    "ranks_of",
    "ranks_within",
    "require_statistics",
    "signed_rank",
]

IntArray = npt.NDArray[np.int64]

LEVEL = 0.95
"""Of intervals; tests and distances of ranks are at what is left of 1."""

_TOGETHER = 1 << 20
"""So many counts of draws are held at once."""


def require_statistics() -> None:
    """Let the package be there that has the tests.

    Raises:
        MissingPackageError: it is not installed.
    """
    _scipy_stats()


def _scipy_stats() -> Any:
    try:
        return import_module("scipy.stats")
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f'tests between methods need the package {error.name}, which is missing: pip install "signxai[evidence]"'
        ) from error


def means(scores: FloatArray) -> FloatArray:
    """The mean of the scores of each row (M,); NaN where a row has none.

    >>> means(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]]))
    array([ 2., nan])
    """
    there = np.isfinite(scores)
    return _share(np.where(there, scores, 0.0).sum(axis=-1), there.sum(axis=-1))


def _share(sums: Any, counts: Any) -> FloatArray:
    return np.asarray(np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan), dtype=np.float64)


def block_means(scores: FloatArray, groups: IntArray | None) -> FloatArray:
    """The mean of each group (M, groups), or the scores themselves where there are none: what is independent of each other.

    Args:
        scores: (M, N).
        groups: the number of each sample's group (N,), from 0; None: each sample is one.

    >>> block_means(np.array([[1.0, 3.0, 5.0]]), np.array([0, 0, 1]))
    array([[2., 5.]])
    """
    return scores if groups is None else _share(*_sums(scores, groups))


def _sums(scores: FloatArray, groups: IntArray | None) -> tuple[FloatArray, FloatArray]:
    """The sum and the number of the scores that are there, of each group (M, groups)."""
    there = np.isfinite(scores)
    values, counts = np.where(there, scores, 0.0), there.astype(np.float64)
    if groups is None:
        return values, counts
    member = np.eye(int(groups.max()) + 1)[groups]
    return values @ member, counts @ member


def bootstrap_intervals(scores: FloatArray, groups: IntArray | None, draws: int, seed: int) -> FloatArray:
    """The percentile bootstrap's 95 % interval of each row's mean (M, 2).

    Efron and Tibshirani 1993, chapter 13: the 2.5 % and 97.5 % quantiles of the means of ``draws`` samples of the same size, drawn with
    replacement; where there are groups, whole groups are drawn (the cluster bootstrap), and the mean is that over all samples in them. All
    rows share the draws.

    Args:
        scores: (M, N).
        groups: the number of each sample's group (N,), from 0; None: each sample is one.
        draws: how many.
        seed: of the draws.

    Returns:
        Lower and upper ends; NaN where a row has scores in fewer than two samples or groups.
    """
    sums, counts = _sums(scores, groups)
    generator, blocks = np.random.default_rng(seed), sums.shape[1]
    step = max(1, _TOGETHER // blocks)
    found = [_drawn_means(generator, min(step, draws - start), sums, counts) for start in range(0, draws, step)]
    drawn = np.concatenate(found)
    intervals = np.full((len(scores), 2), np.nan)
    for row in np.flatnonzero((counts > 0).sum(axis=1) > 1):
        own = drawn[:, row]
        intervals[row] = np.quantile(own[np.isfinite(own)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return intervals


def _drawn_means(generator: np.random.Generator, draws: int, sums: FloatArray, counts: FloatArray) -> FloatArray:
    """The means of so many draws (draws, M)."""
    blocks = sums.shape[1]
    times = generator.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws).astype(np.float64)
    return _share(times @ sums.T, times @ counts.T)


def signed_rank(differences: FloatArray) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test that paired differences lie about 0; NaN without any.

    Differences of zero are left out (Wilcoxon 1945); where all are zero, 1. By ``scipy.stats.wilcoxon``: exact up to 50 differences without
    ties, else by a normal approximation (scipy 1.13 and later: by permutations up to 13 with ties).

    Raises:
        MissingPackageError: if scipy is missing.

    >>> signed_rank(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    0.0625
    """
    there = differences[np.isfinite(differences)]
    moved = there[there != 0]
    if not len(moved):
        return 1.0 if len(there) else float("nan")
    return float(_scipy_stats().wilcoxon(moved).pvalue)


def rank_sum(differences: FloatArray) -> float:
    """Which way the signed-rank test leans: the ranks of the sizes of positive differences less those of negative ones (Wilcoxon 1945).

    The mean may lean the other way, where few differences are large.

    >>> rank_sum(np.array([1.0, 2.0, 3.0, -100.0]))
    2.0
    """
    moved = differences[np.isfinite(differences) & (differences != 0)]
    return float((np.sign(moved) * average_ranks(np.abs(moved)[None])[0]).sum()) if moved.size else 0.0


def holm(values: FloatArray) -> FloatArray:
    """P-values that hold for all of them together (Holm 1979); NaN stays, and counts for nothing.

    >>> holm(np.array([0.01, 0.04, 0.03, np.nan])).round(3)
    array([0.03, 0.06, 0.06,  nan])
    """
    found = np.full(len(values), np.nan)
    there = np.flatnonzero(np.isfinite(values))
    order = there[np.argsort(values[there], kind="stable")]
    steps = np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps * values[order]), 1.0)
    return found


def ranks_of(values: FloatArray, better: str) -> FloatArray:
    """The rank of each of some means (M,), 1 for the best; equal ones share theirs, and NaN has none.

    >>> ranks_of(np.array([0.2, 0.9, np.nan, 0.2]), "higher")
    array([2.5, 1. , nan, 2.5])
    """
    found = np.full(len(values), np.nan)
    there = np.isfinite(values)
    if there.any():
        found[there] = average_ranks(_falling(values[there], better)[None])[0]
    return found


def ranks_within(scores: FloatArray, better: str) -> FloatArray:
    """The ranks of the methods in each block in which all have a score (M, blocks): what Friedman's test is of."""
    whole = scores[:, np.isfinite(scores).all(axis=0)]
    return average_ranks(_falling(whole, better).T).T if whole.shape[1] else whole


def _falling(values: FloatArray, better: str) -> FloatArray:
    return -values if better == "higher" else values


def friedman(ranks: FloatArray) -> float:
    """The p-value of Friedman's test that methods differ, by their ranks (M, blocks); NaN for fewer than three methods or two blocks.

    By ``scipy.stats.friedmanchisquare``; where all methods are level in each block, 1.

    Raises:
        MissingPackageError: if scipy is missing.
    """
    if len(ranks) < 3 or ranks.shape[1] < 2:
        return float("nan")
    if not np.ptp(ranks):
        return 1.0
    return float(_scipy_stats().friedmanchisquare(*ranks).pvalue)


def nemenyi_distance(methods: int, blocks: int) -> float:
    """The critical difference of mean ranks: those at least as far apart differ at the 5 % level, all pairs at once.

    Nemenyi's test as Demsar 2006, section 3.2.2, has it: q sqrt(k (k + 1) / (6 N)), with q the studentized range's quantile over sqrt(2).

    Args:
        methods: k, at least two.
        blocks: N, how many samples or groups the ranks are means of.

    Raises:
        MissingPackageError: if scipy is missing.

    >>> round(nemenyi_distance(4, 14), 2)
    1.25
    """
    quantile = float(_scipy_stats().studentized_range.ppf(LEVEL, methods, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * blocks)))


def group_names(groups: Sequence[Any]) -> list[Any]:
    """What names the group of each sample.

    Raises:
        OptionError: if it is no sequence of names or numbers, such as an array of two axes, or one of them is NaN.
    """
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        raise OptionError(f"groups={groups!r} is no sequence; give a name or a number for each sample, such as its patient")
    names = list(groups.tolist() if hasattr(groups, "tolist") else groups)
    if wrong := [place for place, name in enumerate(names) if not isinstance(name, Hashable) or name != name]:
        raise OptionError(
            f"groups= of sample {wrong[0]} is {names[wrong[0]]!r}, which is no group; give one name or number for each, such as its patient"
        )
    return names


def group_numbers(groups: Sequence[Any], samples: int) -> IntArray:
    """The number of each sample's group (N,), from 0 in the order in which they come.

    Raises:
        OptionError: if there is not one for each sample, or as ``group_names`` does.

    >>> group_numbers(["b", "a", "b"], 3)
    array([0, 1, 0])
    """
    names = group_names(groups)
    if len(names) != samples:
        raise OptionError(f"groups= names {len(names)} samples, and x has {samples}; give one for each, such as its patient")
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names], dtype=np.int64)
