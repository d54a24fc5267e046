"""The sparse linear system by which every removed value is the weighted mean of its neighbours, solved for many points at once.

Its matrix is symmetric and positive definite where a value is kept, so conjugate gradients solve it; one step is one small convolution of
all points, channels and places together. Along one axis the solution is known: a straight line between what is kept.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import InputError, ModelError

__all__ = ["from_neighbours", "on_a_line"]

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TOLERANCE = 1e-13


def from_neighbours(x: Tensor, removed: Tensor) -> Tensor:
    """Points (n, ...) in double precision, where removed values are the weighted means of their neighbours.

    Args:
        x: (n, C, ...) with one to three axes behind the channels, or (n, T).
        removed: True where values are, as it broadcasts.

    Raises:
        InputError: if there are more axes.
    """
    axes = max(1, x.ndim - 2)
    if axes not in _CONVOLUTIONS:
        raise InputError(f"an input of shape {tuple(x.shape)} has {axes} axes behind its channels; neighbours are known along up to three")
    if axes == 1:
        return on_a_line(x.double(), removed)
    lines = (-1, 1, *x.shape[-axes:])
    values, holes = x.double().reshape(lines), removed.expand_as(x).reshape(lines).double()
    means = values.mean(dim=tuple(range(2, 2 + axes)), keepdim=True)
    solved = _solve(values * (1 - holes), holes, _kernel(axes).to(values))
    is_whole = holes.flatten(1).all(1).view(-1, *(1,) * (axes + 1))
    return torch.where(is_whole, means, torch.where(holes > 0, solved, values)).reshape(x.shape)


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


def _kernel(axes: int) -> Tensor:
    """The weights of the neighbours, which sum to 1.

    >>> (_kernel(2) * 12).round().tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]]]]
    """
    offsets = list(product((-1, 0, 1), repeat=axes))
    weights = [1 / distance if (distance := sum(step * step for step in offset)) else 0.0 for offset in offsets]
    kernel = torch.tensor(weights, dtype=torch.float64).reshape(1, 1, *(3,) * axes)
    return kernel / kernel.sum()


def _solve(kept: Tensor, holes: Tensor, kernel: Tensor) -> Tensor:
    """Conjugate gradients; each line has a system of its own, which stays as it is once it is solved."""
    convolve = _CONVOLUTIONS[kept.ndim - 2]

    def neighbours(values: Tensor) -> Tensor:
        return convolve(values, kernel, padding=1)

    weights = neighbours(torch.ones_like(kept[:1]))
    residual = neighbours(kept) * holes
    unknown, direction = torch.zeros_like(kept), residual
    size = _dot(residual, residual)
    goal = size * _TOLERANCE**2
    for _ in range(10 * int(holes.flatten(1).sum(1).max().item()) + 50):
        if bool((size <= goal).all()):
            return unknown
        image = (weights * direction - neighbours(direction)) * holes
        step = _ratio(size, _dot(direction, image), size > goal)
        unknown, residual = unknown + step * direction, residual - step * image
        before, size = size, _dot(residual, residual)
        direction = residual + _ratio(size, before, before > goal) * direction
    raise ModelError("the values in the place of what is removed did not settle; give the input in a smaller range, or another imputer")


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1).view(-1, *(1,) * (a.ndim - 1))


def _ratio(above: Tensor, below: Tensor, where: Tensor) -> Tensor:
    return torch.where(where & (below > 0), above / torch.where(below > 0, below, 1.0), 0.0)
