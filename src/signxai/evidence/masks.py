"""Where relevance should lie: masks, boxes and intervals of time, and the relevance of places that have several channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from signxai.common.errors import InputError, OptionError
from signxai.evidence.options import FloatArray, is_number, one_of, positive
from signxai.evidence.parts import maps_of, parts_of, within_range
from signxai.evidence.units import Shape, first_from, fitted

__all__ = ["POOLS", "box_mask", "dilated", "interval_mask", "places"]

BoolArray = npt.NDArray[np.bool_]


def _norms(maps: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    return np.asarray(np.sqrt((maps * maps).sum(axis=axes, keepdims=True)))


POOLS = {
    "sum": lambda maps, axes: maps.sum(axis=axes, keepdims=True),
    "positive": lambda maps, axes: np.maximum(maps, 0.0).sum(axis=axes, keepdims=True),
    "max": lambda maps, axes: maps.max(axis=axes, keepdims=True),
    "norm": _norms,
}
"""How a place with several channels gets one relevance: the sum, the sum of what is positive, the largest, or the norm (Arras et al.)."""


def box_mask(boxes: Sequence[Any], size: tuple[int, int]) -> BoolArray:
    """True inside of boxes (N, H, W).

    Args:
        boxes: for each sample its boxes (left, top, right, bottom) in pixels: those are inside with left <= column < right and
            top <= row < bottom, which the edges, that may be fractions, say up to rounding.
        size: height and width.

    Raises:
        InputError: if a sample has none, or one is empty within the picture or no finite numbers.

    >>> box_mask([[(1, 0, 3, 1)]], (2, 3)).astype(int).tolist()
    [[[0, 1, 1], [0, 0, 0]]]
    """
    mask = np.zeros((len(boxes), *size), dtype=bool)
    for row, own in enumerate(boxes):
        for left, top, right, bottom in _numbers(own, 4, "boxes"):
            inside = mask[row, _between(top, bottom, size[0]), _between(left, right, size[1])]
            if not inside.size:
                raise InputError(f"box {(left, top, right, bottom)} of sample {row} covers nothing of a picture of {size[0]} x {size[1]}")
            inside[...] = True
    return _each_has_some(mask, "boxes")


def interval_mask(intervals: Sequence[Any], samples: int, *, sampling_rate: float = 1.0) -> BoolArray:
    """True inside of intervals of time (N, samples).

    Args:
        intervals: for each signal its intervals (start, end) in seconds: those samples are inside with start <= time < end, up to rounding.
        samples: of a signal.
        sampling_rate: samples per second; 1: the intervals are in samples.

    Raises:
        InputError: if a signal has none, or one is empty within the signal or no finite numbers.
        OptionError: if the sampling rate is not more than 0.

    >>> interval_mask([[(0.5, 1.5)]], 4, sampling_rate=2.0).astype(int).tolist()
    [[0, 1, 1, 0]]
    >>> interval_mask([[(0.5, 1.5)]], 4).astype(int).tolist()
    [[0, 1, 0, 0]]
    """
    rate = positive("sampling_rate", sampling_rate, "samples per second")
    mask = np.zeros((len(intervals), samples), dtype=bool)
    for row, own in enumerate(intervals):
        for start, end in _numbers(own, 2, "intervals"):
            inside = mask[row, _between(start * rate, end * rate, samples)]
            if not inside.size:
                raise InputError(f"interval {(start, end)} of signal {row} covers none of its {samples} samples")
            inside[...] = True
    return _each_has_some(mask, "intervals")


def _between(start: float, end: float, size: int) -> slice:
    """The places k < size with start <= k < end."""
    first, last = (first_from(min(max(edge, 0.0), float(size))) for edge in (start, end))
    return slice(first, last)


def _numbers(own: Any, each: int, name: str) -> Sequence[Any]:
    """The boxes or intervals of one sample, checked."""
    if len(np.shape(own)) == 0 or (len(own) and np.shape(own)[1:] != (each,)):
        raise InputError(f"{name}: {own!r} is given for one sample; give a list of them for each, of {each} numbers each")
    listed: Sequence[Any] = own
    if not all(is_number(number) and not np.isnan(number) for one in listed for number in one):
        raise InputError(f"{name}: {own!r} holds what is no number, such as NaN; leave out those that are not known")
    return listed


def _each_has_some(mask: BoolArray, name: str) -> BoolArray:
    empty = np.flatnonzero(~mask.reshape(len(mask), -1).any(axis=1))
    if empty.size:
        raise InputError(f"{name}: sample {empty[0]} has nothing inside, so no relevance can lie there; leave it out")
    return mask


def dilated(mask: BoolArray, tolerance: int) -> BoolArray:
    """The mask (n, C, ...) with all places no farther than ``tolerance`` from it, along the axes behind the channels.

    >>> dilated(np.array([[[False, True, False, False]]]), 1).astype(int).tolist()
    [[[1, 1, 1, 0]]]
    """
    axes = mask.ndim - 2
    steps = range(-tolerance, tolerance + 1)
    result = mask.copy()
    for offset in product(steps, repeat=axes):
        if 0 < sum(step * step for step in offset) <= tolerance * tolerance:
            to = tuple(slice(max(0, step), length + min(0, step)) for step, length in zip(offset, mask.shape[2:], strict=True))
            source = tuple(slice(max(0, -step), length + min(0, -step)) for step, length in zip(offset, mask.shape[2:], strict=True))
            everything = (slice(None), slice(None))
            result[everything + to] |= mask[everything + source]
    return np.asarray(result)


def places(relevance: Any, mask: Any, pool: str, tolerance: int = 0) -> tuple[FloatArray, BoolArray]:
    """The relevance of each place of each sample, of all inputs side by side, and whether it lies inside (N, places).

    Args:
        relevance: maps (N, ...), or those of several inputs.
        mask: True, or a finite number that is not 0, inside; in a map's shape, without its channels, or of one sample for all; or one for
            each of several inputs. Where it has no channels, or one, a place's channels are pooled.
        pool: one of ``POOLS``.
        tolerance: how far outside still counts as inside.

    Raises:
        InputError: if the shapes do not fit, or a sample's mask is empty or not finite.
        OptionError: for an unknown pool.
    """
    pooling = one_of("pool", pool, POOLS)
    maps, masks = within_range(maps_of(relevance)), parts_of(mask)
    if not isinstance(mask, Mapping | tuple) and len(maps) > 1:
        raise InputError(f"relevance has maps of the inputs {list(maps)}; give a mask for each, in the same structure")
    if missing := [key for key in maps if key not in masks]:
        raise InputError(f"mask= has none for the input {missing[0]!r}; one of zeros says that nothing of it should be relevant")
    pairs = [_pooled(own, _as_mask(masks[key], own.shape), pooling, tolerance) for key, own in maps.items()]
    inside = np.concatenate([one for _, one in pairs], axis=1)
    return np.concatenate([one for one, _ in pairs], axis=1), _each_has_some(inside, "mask=")


def _as_mask(mask: Any, shape: Shape) -> BoolArray:
    array = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask)
    if array.dtype.kind not in "bifu":
        raise InputError(f"mask= is an array of {array.dtype}; give booleans, True inside")
    if not np.isfinite(array).all():
        raise InputError("mask= holds NaN or infinity, of which it is not known whether it is inside; give booleans, True inside")
    return np.asarray(fitted(array != 0, shape, "mask="), dtype=bool)


def _pooled(maps: FloatArray, mask: BoolArray, pooling: Any, tolerance: int) -> tuple[FloatArray, BoolArray]:
    has_channels = maps.ndim > 2
    if has_channels and mask.shape[1] == 1:
        maps = pooling(maps, (1,))
    mask = np.broadcast_to(mask, maps.shape)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | np.integer) or tolerance < 0:
        raise OptionError(f"tolerance={tolerance!r} must be a whole number of at least 0")
    wide = dilated(mask if has_channels else mask[:, None], int(tolerance)) if tolerance else mask
    return maps.reshape(len(maps), -1), wide.reshape(len(maps), -1)
