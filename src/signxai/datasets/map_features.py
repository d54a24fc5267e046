"""Relevance maps made comparable: channels summed, down-sized, smoothed, of one length. Maps are read a chunk at a time.

What speaks for the class and what speaks against it are down-sized apart, by the root of their mean square: fine patterns of both
signs, which any shift would turn round, do not cancel each other, and a strong place stays strong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.datasets.store import Rows, Store
from signxai.datasets.views import PictureView, SignalView, View, check_fits

__all__ = ["feature_rows", "features_of", "pooling"]

Array = npt.NDArray[Any]

_AT_ONCE = 2**24
"""Values of maps that are read at once."""
_FINER, _SHARPER = 4, 2
"""Along time signals keep so many times as many places as pictures along a side, and are smoothed over so many times less."""
_MOST_VALUES = 1024
"""Places of maps that are neither pictures nor signals, at most."""


def features_of(store: Store, method: str, rows: Rows, side: int, smoothing: float) -> Array:
    """A method's maps (n, d) as they are compared, in float64: each of length 1; of a map that is zero, 0.

    Args:
        store: that holds them.
        method: whose maps.
        rows: the entries, as indices.
        side: places along each side of a picture, at most; along time a signal keeps four times as many.
        smoothing: standard deviation as a share of a picture's side; along time half of it.

    Raises:
        OptionError: the store has no such method.
        InputError: the store's view does not fit its maps.
    """
    parts = [_features(chunk, store.view, side, smoothing) for chunk in _chunks(store, method, rows)]
    return _of_one_length(np.concatenate(parts))


def _chunks(store: Store, method: str, rows: Rows) -> Iterator[Any]:
    """The maps, so many at a time that memory holds them."""
    values = max(1, store.values_of_a_map(method))
    size = max(1, _AT_ONCE // values)
    return (store.relevance(method, rows[start : start + size]) for start in range(0, len(rows), size))


def _features(maps: Any, view: Any, side: int, smoothing: float) -> Array:
    """Of each entry what is compared, of one part or of several with names."""
    if not isinstance(maps, Mapping):
        check_fits(view, maps.shape[1:])
        return feature_rows(maps, view, side, smoothing)
    for name, part in maps.items():
        check_fits(view[name], part.shape[1:], name)
    return np.concatenate([feature_rows(maps[name], view[name], side, smoothing) for name in maps], axis=1)


def feature_rows(maps: Array, view: View, side: int, smoothing: float) -> Array:
    """Maps (n, ...) down-sized, as rows (n, d): first what speaks for the class, then what speaks against it.

    >>> feature_rows(np.ones((5, 3, 40, 40)), PictureView(), side=16, smoothing=0.1).shape
    (5, 512)
    >>> feature_rows(np.ones((5, 2, 1000)), SignalView(), side=16, smoothing=0.1).shape
    (5, 256)
    >>> from signxai.datasets import ValuesView
    >>> feature_rows(np.array([[3.0, -2.0]]), ValuesView(), side=16, smoothing=0.1)
    array([[3., 0., 0., 2.]])
    """
    exact = np.asarray(maps, dtype=np.float64)
    signed = exact.sum(1) if isinstance(view, PictureView) else exact
    largest = np.abs(signed).reshape(len(signed), -1).max(1).reshape(-1, *[1] * (signed.ndim - 1))
    scaled = signed / np.where(largest > 0, largest, 1)  # squares of very large and very small numbers are no floats
    parts = [_pooled(np.maximum(sign * scaled, 0) ** 2, view, side, smoothing) for sign in (1, -1)]
    rows = np.sqrt(np.concatenate([part.reshape(len(exact), -1) for part in parts], axis=1))
    return np.asarray(rows * largest.reshape(-1, 1))


def _pooled(values: Array, view: View, side: int, smoothing: float) -> Array:
    """Values (n, ...), of pictures without channels, averaged over stretches along their axes."""
    if isinstance(view, PictureView):
        rows, columns = (pooling(length, side, smoothing) for length in values.shape[1:])
        return np.asarray(rows @ values @ columns.T)
    if isinstance(view, SignalView):
        return np.asarray(values @ pooling(values.shape[-1], side * _FINER, smoothing / _SHARPER).T)
    flat = values.reshape(len(values), -1)
    return np.asarray(flat @ pooling(flat.shape[1], _MOST_VALUES, 0.0).T)


def pooling(length: int, places: int, smoothing: float) -> Array:
    """What takes values along an axis (length,) to averages over equal stretches (places,), smoothed: a matrix (places, length).

    Args:
        length: of the axis.
        places: that are left, at most; a shorter axis keeps its own.
        smoothing: standard deviation of a Gaussian, as a share of the axis; 0: none.

    >>> pooling(4, 2, 0.0)
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]])
    """
    places = min(places, length)
    edges = np.linspace(0, length, places + 1)
    ends = np.minimum(edges[1:, None], np.arange(length) + 1)
    shares = np.clip(ends - np.maximum(edges[:-1, None], np.arange(length)), 0, None)
    averages = shares / shares.sum(1, keepdims=True)
    return averages if smoothing == 0 else np.asarray(_gaussian(places, smoothing) @ averages)


def _gaussian(places: int, smoothing: float) -> Array:
    centres = np.arange(places) / places
    weights = np.exp(-0.5 * ((centres[:, None] - centres) / smoothing) ** 2)
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _of_one_length(values: Array) -> Array:
    """Rows by their L2 norm, at first by their largest value, whose square may be too large or small for a float.

    >>> _of_one_length(np.array([[3e-200, 4e-200], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    largest = np.abs(values).max(1, keepdims=True)
    scaled = values / np.where(largest > 0, largest, 1)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(lengths > 0, lengths, 1))
