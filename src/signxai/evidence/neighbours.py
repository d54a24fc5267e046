"""What stands in the place of removed values, from their neighbours: a straight line along one axis, and the solution of a sparse linear
system, in which each is the weighted mean of its neighbours, along several.
"""

from __future__ import annotations

import torch
from torch import Tensor

from signxai.common.errors import InputError
from signxai.evidence.multigrid import filled_in

__all__ = ["from_neighbours", "on_a_line"]

_MOST_AXES = 3
_TOLERANCES = 1e-13, 5e-7
"""The least and the largest: what double precision can tell, and what no one can tell in single precision."""


def from_neighbours(x: Tensor, removed: Tensor) -> Tensor:
    """Points (n, ...) where removed values are the weighted means of their neighbours.

    Neighbours weigh by one over their squared distance, as 1/6 and 1/12 do in a picture; only the ratio counts. Where all are removed,
    their mean stands there.

    Args:
        x: (n, C, ...) with one to three axes behind the channels, or (n, T).
        removed: True where values are, as it broadcasts; with one channel for all, one system is solved for them.

    Raises:
        InputError: if there are more axes.
    """
    axes = max(1, x.ndim - 2)
    if axes > _MOST_AXES:
        raise InputError(f"an input of shape {tuple(x.shape)} has {axes} axes behind its channels; neighbours are known along up to three")
    if axes == 1:
        return on_a_line(x, removed)
    holes = removed.expand(len(x), removed.shape[1], *x.shape[2:])
    grids, gone = x.double().reshape(len(x) * holes.shape[1], -1, *x.shape[2:]), holes.reshape(-1, 1, *x.shape[2:])
    return _on_grids(grids, gone, torch.finfo(x.dtype).eps).reshape(x.shape).to(x.dtype)


def _on_grids(grids: Tensor, gone: Tensor, rounding: float) -> Tensor:
    """Grids (n, k, ...) with the same places (n, 1, ...) of k of them filled in."""
    least, largest = _TOLERANCES
    tolerance, is_whole = min(max(4 * rounding, least), largest), gone.flatten(1).all(dim=1)
    if not is_whole.any():
        return filled_in(grids, gone, tolerance)
    filled = grids.flatten(2).mean(dim=2).reshape(*grids.shape[:2], *(1,) * (grids.ndim - 2)).expand_as(grids).clone()
    if not is_whole.all():
        filled[~is_whole] = filled_in(grids[~is_whole], gone[~is_whole], tolerance)
    return filled


def on_a_line(x: Tensor, removed: Tensor) -> Tensor:
    """Points (..., T) where removed values lie on the line between the nearest kept ones; at the ends they have that of the one there is.

    Where all values of a row are removed, they have their mean.
    """
    kept, length = ~removed.expand(*removed.shape[:-1], x.shape[-1]), x.shape[-1]  # one row for all channels stays one
    places = torch.arange(length, device=x.device, dtype=torch.int32)
    before = ((places + 1) * kept - 1).cummax(-1).values
    behind = ((places - length) * kept + length).flip(-1).cummin(-1).values.flip(-1)
    left = torch.maximum(before, behind[..., :1]).clamp_(max=length - 1)  # in front of the first kept place, that one
    right = torch.minimum(behind, before[..., -1:]).clamp_(min=0)
    share = (places - left).to(x.dtype) / (right - left).clamp_(min=1)
    first, second = (x.gather(-1, one.long().expand_as(x)) for one in (left, right))
    line, has_none = torch.lerp(first, second, share.expand_as(x)), before[..., -1:] < 0
    return torch.where(has_none, x.mean(-1, keepdim=True), line) if bool(has_none.any()) else line
