"""Larger maps in fewer points, for pages and thumbnails."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["block_means", "extremes", "factor_for"]

Array = npt.NDArray[Any]


def factor_for(size: int, most: int) -> int:
    """How many points become one, so that at most so many are left.

    >>> factor_for(224, 80), factor_for(64, 80)
    (3, 1)
    """
    return max(1, -(-size // most))


def block_means(planes: Array, factor: int) -> Array:
    """Pictures (..., H, W) by the mean of each square of ``factor`` points; those at the edges may be smaller.

    >>> block_means(np.array([[1.0, 3.0, 5.0]]), 2)
    array([[2., 5.]])
    """
    if factor == 1:
        return planes
    reduced = planes
    for axis in (-2, -1):
        starts = np.arange(0, planes.shape[axis], factor)
        counts = np.diff([*starts, planes.shape[axis]])
        sums = np.add.reduceat(reduced, starts, axis=axis)
        reduced = sums / (counts[:, None] if axis == -2 else counts)
    return reduced.astype(planes.dtype)


def extremes(rows: Array, factor: int) -> Array:
    """Rows (..., n) by the value of largest magnitude of each ``factor`` neighbours.

    >>> extremes(np.array([1.0, -3.0, 2.0]), 2)
    array([-3.,  2.])
    """
    if factor == 1:
        return rows
    missing = -rows.shape[-1] % factor
    filled = np.concatenate([rows, np.zeros((*rows.shape[:-1], missing), rows.dtype)], axis=-1)
    bins = filled.reshape(*rows.shape[:-1], -1, factor)
    places = np.abs(bins).argmax(-1)
    return np.take_along_axis(bins, places[..., None], axis=-1)[..., 0]
