"""What stands in the place of removed values, from their neighbours: a straight line along one axis, and the solution of a sparse linear
system, in which each is the weighted mean of its neighbours, along several.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signxai.common.errors import InputError, OptionError
from signxai.evidence.options import FloatArray

__all__ = ["from_neighbours", "on_a_line"]

_MOST_AXES = 3
_KEPT, _OUTSIDE = -1, -2
"""What stands in the place of a removed value's number."""


def from_neighbours(x: Tensor, removed: Tensor) -> Tensor:
    """Points (n, ...) in double precision, where removed values are the weighted means of their neighbours.

    Args:
        x: (n, C, ...) with one to three axes behind the channels, or (n, T).
        removed: True where values are, as it broadcasts; with one channel for all, one system is solved for them.

    Raises:
        InputError: if there are more axes.
        OptionError: if scipy is needed and missing.
    """
    axes = max(1, x.ndim - 2)
    if axes > _MOST_AXES:
        raise InputError(f"an input of shape {tuple(x.shape)} has {axes} axes behind its channels; neighbours are known along up to three")
    if axes == 1:
        return on_a_line(x.double(), removed)
    values, holes = x.double().cpu().numpy(), removed.cpu().numpy()
    holes = np.broadcast_to(holes, (*x.shape[:1], holes.shape[1], *x.shape[2:]))
    filled = [_filled(own, hole) for own, hole in zip(values, holes, strict=True)]
    return torch.from_numpy(np.stack(filled)).to(x.device)


def _filled(values: FloatArray, holes: npt.NDArray[np.bool_]) -> FloatArray:
    """A point (C, ...), with holes (1, ...) that all channels have, or (C, ...)."""
    if len(holes) == 1:
        return _solved(values, holes[0])
    return np.concatenate([_solved(own[None], hole) for own, hole in zip(values, holes, strict=True)])


def _solved(values: FloatArray, hole: npt.NDArray[np.bool_]) -> FloatArray:
    """Channels (C, ...) with one hole (...) filled in; all removed, they have their means."""
    filled = values.copy()
    if hole.all():
        filled[...] = values.mean(axis=tuple(range(1, values.ndim)), keepdims=True)
    elif hole.any():
        filled[:, hole] = _solution(values, hole).T
    return np.asarray(filled)


def _solution(values: FloatArray, hole: npt.NDArray[np.bool_]) -> FloatArray:
    """The removed values (removed, C): weights of all neighbours times each equal the weighted sum of its neighbours."""
    sparse, linalg = _scipy("scipy.sparse"), _scipy("scipy.sparse.linalg")
    unknowns = int(hole.sum())
    total, right = np.zeros(unknowns), np.zeros((unknowns, len(values)))
    rows, columns, entries = [], [], []
    for neighbours, known, weight in _neighbours(values, hole):
        total += weight * (neighbours != _OUTSIDE)
        right += weight * np.where(neighbours == _KEPT, known, 0.0).T
        own = np.flatnonzero(neighbours >= 0)
        rows.append(own)
        columns.append(neighbours[own])
        entries.append(np.full(len(own), -weight))
    places = np.arange(unknowns)
    data = np.concatenate([*entries, total]), (np.concatenate([*rows, places]), np.concatenate([*columns, places]))
    matrix = sparse.csc_matrix(data, shape=(unknowns, unknowns))
    symmetric = linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(symmetric.solve(right))


def _neighbours(values: FloatArray, hole: npt.NDArray[np.bool_]) -> Iterator[tuple[npt.NDArray[np.int64], FloatArray, float]]:
    """For each direction the neighbours of the removed places: their numbers (removed,), their values (C, removed), and their weight.

    Neighbours weigh by one over their squared distance, as 1/6 and 1/12 do in a picture; only the ratio counts.
    """
    numbers = np.full([size + 2 for size in hole.shape], _OUTSIDE)
    inner = (slice(1, -1),) * hole.ndim
    numbers[inner] = _KEPT
    numbers[inner][hole] = np.arange(int(hole.sum()))
    padded = np.pad(values, [(0, 0), *[(1, 1)] * hole.ndim])
    places = np.argwhere(hole).T + 1
    for step in product((-1, 0, 1), repeat=hole.ndim):
        if distance := sum(own * own for own in step):
            index = tuple(own + move for own, move in zip(places, step, strict=True))
            in_all_channels = (slice(None), *index)
            yield numbers[index], padded[in_all_channels], 1 / distance


def _scipy(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise OptionError(f'ROAD\'s imputer needs the package {error.name}, which is missing: pip install "signxai[evidence]"') from error


def on_a_line(x: Tensor, removed: Tensor) -> Tensor:
    """Points (..., T) where removed values lie on the line between the nearest kept ones; at the ends they have that of the one there is.

    Where all values of a row are removed, they have their mean.
    """
    removed = removed.expand_as(x)
    length = x.shape[-1]
    places = torch.arange(length, device=x.device).expand_as(x)
    before = torch.where(removed, -1, places).cummax(-1).values
    behind = torch.where(removed, length, places).flip(-1).cummin(-1).values.flip(-1)
    left = torch.where(before < 0, behind, before).clamp(max=length - 1)
    right = torch.where(behind == length, before, behind).clamp(min=0)
    share = (places - left).to(x.dtype) / (right - left).clamp(min=1)
    line = x.gather(-1, left) + share * (x.gather(-1, right) - x.gather(-1, left))
    return torch.where(removed.all(-1, keepdim=True), x.mean(-1, keepdim=True), line)
