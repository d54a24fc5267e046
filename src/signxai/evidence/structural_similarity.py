"""Structural similarity: how alike two maps are, window by window, in their means, their contrast and their pattern (Wang et al. 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import OptionError
from signxai.evidence.options import FloatArray

__all__ = ["Shapes", "scaled", "structural_similarity"]

Shapes = Sequence[tuple[int, ...]]
"""Of a sample's maps: (C, places along each axis) of each input."""

_SIGMA, _WINDOW = 1.5, 11
_C1, _C2 = 0.01**2, 0.03**2


def structural_similarity(a: FloatArray, b: FloatArray, shapes: Shapes) -> FloatArray:
    """The mean of Wang's index over all windows of each channel (n,), in [-1, 1]; 1 for equal maps.

    (2 m_a m_b + c1) (2 s_ab + c2) / ((m_a^2 + m_b^2 + c1) (s_a^2 + s_b^2 + c2)), of means m, variances s^2 and the covariance under a
    Gaussian of deviation 1.5 that is cut off to 11 places along each axis, or to the axis where that is shorter; c1 = 0.01^2 and
    c2 = 0.03^2 (Wang et al. 2004, eq. 13, for values up to 1). Windows lie wholly inside. Of means of both signs the product of the two
    factors would be that of maps with the same sign: so values must not be negative.

    Args:
        a, b: (n, values) from 0 to 1, all inputs side by side.
        shapes: of the inputs.

    Raises:
        OptionError: if an input has no axis along which values are neighbours, or maps have another shape than it.

    >>> a = np.array([[0.0, 1.0, 0.0, 0.0]])
    >>> structural_similarity(a, a, [(1, 4)]), structural_similarity(a, 1 - a, [(1, 4)]).round(2)
    (array([1.]), array([-0.73]))
    """
    if flat := next((shape for shape in shapes if len(shape) < 2), None):
        raise OptionError(f"similarity='ssim' compares windows, and an input of {flat[0]} values has none; take similarity='spearman'")
    sizes = [prod(shape) for shape in shapes]
    if sum(sizes) != a.shape[1]:
        raise OptionError(f"similarity='ssim' needs maps in the shape of the inputs {list(shapes)}, and these have {a.shape[1]} values")
    parts = zip(*(torch.split(torch.from_numpy(one), sizes, dim=1) for one in (a, b)), shapes, strict=True)
    indices = [_indices(x.reshape(len(a), *shape), y.reshape(len(a), *shape)).flatten(1) for x, y, shape in parts]
    return np.asarray(torch.cat(indices, dim=1).mean(dim=1).clamp(-1.0, 1.0).numpy())


def _indices(x: Tensor, y: Tensor) -> Tensor:
    """Wang's index of each window (n, C, ...)."""
    mean_x, mean_y, xx, yy, xy = (_windowed(one) for one in (x, y, x * x, y * y, x * y))
    means, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    return (2 * means + _C1) * (2 * (xy - means) + _C2) / ((squares + _C1) * (xx + yy - squares + _C2))


def _windowed(x: Tensor) -> Tensor:
    """The mean under the Gaussian around each place that has room for it."""
    for axis in range(2, x.ndim):
        kernel = _gaussian(min(_WINDOW, x.shape[axis])).to(x)
        moved = x.movedim(axis, -1)
        lines = F.conv1d(moved.reshape(-1, 1, moved.shape[-1]), kernel[None, None])
        x = lines.reshape(*moved.shape[:-1], -1).movedim(-1, axis)
    return x


def _gaussian(size: int) -> Tensor:
    places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-0.5 * (places / _SIGMA) ** 2)
    return weights / weights.sum()


def scaled(maps: FloatArray) -> FloatArray:
    """Each map (n, values) divided by its largest magnitude; one of zeros as it is."""
    largest = np.abs(maps).max(axis=1, keepdims=True)
    return np.asarray(maps / np.where(largest > 0, largest, 1.0))
