"""How alike two maps of a sample are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from signxai.common.errors import OptionError
from signxai.evidence.options import FloatArray, one_of

__all__ = ["SIMILARITIES", "Similarity", "average_ranks", "pearson", "similarity_of", "spearman", "spearman_of_magnitudes"]

Similarity: TypeAlias = "Callable[[FloatArray, FloatArray], FloatArray]"
"""From two arrays (n, values) to a number for each of their n rows."""


def average_ranks(values: FloatArray) -> FloatArray:
    """The rank of each value in its row, from 1; equal values share the mean of their ranks.

    >>> average_ranks(np.array([[3.0, 1.0, 3.0]]))
    array([[2.5, 1. , 2.5]])
    """
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, values.shape[1] + 1)[None], axis=1)
    for row in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1)):
        _, places, counts = np.unique(values[row], return_inverse=True, return_counts=True)
        ranks[row] = (np.cumsum(counts) - (counts - 1) / 2)[places.reshape(-1)]
    return ranks


def pearson(a: FloatArray, b: FloatArray) -> FloatArray:
    """Pearson's correlation of each row (n,), in [-1, 1]; 0 where one of them does not vary.

    >>> pearson(np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([[5.0, 4.0], [3.0, 3.0]]))
    array([-1.,  0.])
    """
    a, b = _centred(a), _centred(b)
    sizes = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.where(sizes > 0, (a * b).sum(axis=1) / np.where(sizes > 0, sizes, 1.0), 0.0).clip(-1.0, 1.0)


def _centred(values: FloatArray) -> FloatArray:
    """Less its mean, and brought near 1; exactly zero where all are equal up to the rounding of a sum of theirs."""
    scale = np.abs(values).max(axis=1, keepdims=True)
    values = values / np.where(scale > 0, scale, 1.0)
    centred = values - values.mean(axis=1, keepdims=True)
    return np.where(np.ptp(values, axis=1, keepdims=True) > _ROUNDING, centred, 0.0)


_ROUNDING = 1e-13


def spearman(a: FloatArray, b: FloatArray) -> FloatArray:
    """Spearman's rank correlation of each row (n,), in [-1, 1]; 0 where one does not vary, and 1 where neither does."""
    return _or_alike(a, b, pearson(average_ranks(a), average_ranks(b)))


def pearson_of_maps(a: FloatArray, b: FloatArray) -> FloatArray:
    """Pearson's, and 1 where neither varies: two constant maps are alike."""
    return _or_alike(a, b, pearson(a, b))


def spearman_of_magnitudes(a: FloatArray, b: FloatArray) -> FloatArray:
    """Spearman's of the absolute values, as Adebayo et al. 2018 report beside the other."""
    return spearman(np.abs(a), np.abs(b))


def _or_alike(a: FloatArray, b: FloatArray, found: FloatArray) -> FloatArray:
    return np.where((np.ptp(a, axis=1) == 0) & (np.ptp(b, axis=1) == 0), 1.0, found)


SIMILARITIES: Mapping[str, Similarity] = {
    "spearman": spearman,
    "pearson": pearson_of_maps,
    "spearman_of_magnitudes": spearman_of_magnitudes,
}


def similarity_of(similarity: Any) -> Similarity:
    """A similarity by its name, or a user's own function of two arrays (n, values).

    Raises:
        OptionError: if it is neither.
    """
    if callable(similarity):
        return lambda a, b: _checked(np.asarray(similarity(a, b), dtype=np.float64), len(a))
    found: Similarity = one_of("similarity", similarity, SIMILARITIES)
    return found


def _checked(values: FloatArray, rows: int) -> FloatArray:
    if values.shape != (rows,) or not np.isfinite(values).all():
        raise OptionError(f"similarity= returned {values!r}; it must return {rows} finite numbers for two arrays of {rows} rows")
    return values
