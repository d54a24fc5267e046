"""How alike two maps of a sample are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from signxai.common.errors import OptionError
from signxai.evidence.options import FloatArray, one_of
from signxai.evidence.structural_similarity import Shapes, scaled, structural_similarity

__all__ = ["SIMILARITIES", "Similarity", "average_ranks", "pearson", "similarity_of", "spearman", "spearman_of_magnitudes"]

Similarity: TypeAlias = "Callable[[FloatArray, FloatArray], FloatArray]"
"""From two arrays (n, values) to a number for each of their n rows."""


def average_ranks(values: FloatArray) -> FloatArray:
    """The rank of each value in its row, from 1; equal values share the mean of their ranks.

    >>> average_ranks(np.array([[3.0, 1.0, 3.0]]))
    array([[2.5, 1. , 2.5]])
    """
    ranks = np.empty(values.shape)
    for part in _parts(values):
        _rank(values[part], ranks[part])
    return ranks


_AT_ONCE = 1 << 17
"""Values that are ranked at once: more than the caches hold takes longer."""


def _parts(values: FloatArray) -> list[slice]:
    step = max(1, _AT_ONCE // max(1, values.shape[1]))
    return [slice(start, start + step) for start in range(0, len(values), step)]


def _rank(values: FloatArray, ranks: FloatArray) -> None:
    order, is_first = _sorted(values)
    places = order + np.arange(len(values))[:, None] * values.shape[1]
    if is_first.all():
        ranks.reshape(-1)[places] = np.arange(1.0, values.shape[1] + 1)
        return
    starts = np.flatnonzero(is_first)
    counts = np.diff(starts, append=values.size)
    ranks.reshape(-1)[places.reshape(-1)] = np.repeat(starts % values.shape[1] + (counts + 1) / 2, counts)


def _sorted(values: FloatArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The places of each row's values as they rise, and whether each of them is the first of its equals."""
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype(np.float32)
    if np.array_equal(single, values):
        keys = _keys(single)
        keys.sort(axis=1)
        return keys & _LOW, _is_new(keys >> 32)
    order = np.argsort(values, axis=1)
    return order, _is_new(np.take_along_axis(values, order, axis=1))


def _keys(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Integers that rise with the values, with the place of each in its row in their lower half: to sort these is quicker than argsort."""
    bits = (values + np.float32(0.0)).view(np.int32)  # -0.0 is 0.0
    keys: npt.NDArray[np.int64] = (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64)
    keys <<= 32
    keys |= np.arange(values.shape[1])
    return keys


_LOW = 0xFFFFFFFF


def _is_new(ordered: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    is_first = np.ones(ordered.shape, dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_first[:, 1:])
    return is_first


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
    return _of_ranks(_unit_ranks(a), _unit_ranks(b))


def pearson_of_maps(a: FloatArray, b: FloatArray) -> FloatArray:
    """Pearson's, and 1 where neither varies: two constant maps are alike."""
    return np.where((np.ptp(a, axis=1) == 0) & (np.ptp(b, axis=1) == 0), 1.0, pearson(a, b))


def spearman_of_magnitudes(a: FloatArray, b: FloatArray) -> FloatArray:
    """Spearman's of the absolute values, as Adebayo et al. 2018 report beside the other."""
    return spearman(np.abs(a), np.abs(b))


def _unit_ranks(values: FloatArray) -> FloatArray:
    """The ranks of each row less their mean, as a vector of length 1; zeros where all values are equal."""
    ranks = average_ranks(values)
    ranks -= (values.shape[1] + 1) / 2
    lengths = np.sqrt(np.einsum("ij,ij->i", ranks, ranks))[:, None]
    ranks /= np.where(lengths > 0, lengths, 1.0)
    return ranks


def _of_ranks(a: FloatArray, b: FloatArray) -> FloatArray:
    are_flat = ~(a.any(axis=1) | b.any(axis=1))
    return np.where(are_flat, 1.0, np.einsum("ij,ij->i", a, b)).clip(-1.0, 1.0)


class _Spearman:
    """Spearman's correlation, which ranks the maps that others are compared with once, if these come one after the other.

    Args:
        seen: what is ranked of a map.
    """

    def __init__(self, seen: Callable[[FloatArray], FloatArray]) -> None:
        self._seen = seen
        self._last: tuple[FloatArray, FloatArray] | None = None

    def __call__(self, a: FloatArray, b: FloatArray) -> FloatArray:
        if self._last is None or self._last[0] is not a:
            self._last = a, _unit_ranks(self._seen(a))
        return _of_ranks(self._last[1], _unit_ranks(self._seen(b)))


def _ssim(shapes: Shapes, a: FloatArray, b: FloatArray) -> FloatArray:
    return structural_similarity((scaled(a) + 1) / 2, (scaled(b) + 1) / 2, shapes)


def _ssim_of_magnitudes(shapes: Shapes, a: FloatArray, b: FloatArray) -> FloatArray:
    return structural_similarity(scaled(np.abs(a)), scaled(np.abs(b)), shapes)


SIMILARITIES: Mapping[str, Callable[[Shapes], Similarity]] = {
    "spearman": lambda shapes: _Spearman(np.asarray),
    "pearson": lambda shapes: pearson_of_maps,
    "spearman_of_magnitudes": lambda shapes: _Spearman(np.abs),
    "ssim": lambda shapes: partial(_ssim, shapes),
    "ssim_of_magnitudes": lambda shapes: partial(_ssim_of_magnitudes, shapes),
}
"""Each by its name, for maps of inputs of some shapes."""


def similarity_of(similarity: Any, shapes: Shapes) -> Similarity:
    """A similarity by its name, or a user's own function of two arrays (n, values).

    Args:
        similarity: the one or the other.
        shapes: of a sample's maps, by which windows are found.

    Raises:
        OptionError: if it is neither.
    """
    if callable(similarity):
        return lambda a, b: _checked(np.asarray(similarity(a, b), dtype=np.float64), len(a))
    found: Similarity = one_of("similarity", similarity, SIMILARITIES)(shapes)
    return found


def _checked(values: FloatArray, rows: int) -> FloatArray:
    if values.shape != (rows,) or not np.isfinite(values).all():
        raise OptionError(f"similarity= returned {values!r}; it must return {rows} finite numbers for two arrays of {rows} rows")
    return values
