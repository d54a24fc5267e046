"""Constants behind a linear layer that differ from channel to channel alone: with the layer they are one layer."""

from __future__ import annotations

import torch
from torch import Tensor

from signxai.engine.layers import ChannelMap, Layer
from signxai.engine.moves import Moves

Constant = Tensor | float


def channel_map(layer: Layer, y: Tensor, moves: Moves, scale: Constant, shift: Constant) -> ChannelMap | None:
    """``y -> scale * y + shift`` as a map per output channel of the layer; None if it is not one.

    Args:
        layer: the layer.
        y: its output.
        moves: what has moved the output since it was made.
        scale, shift: numbers, or tensors that broadcast to it.
    """
    if any(torch.result_type(y, constant) != y.dtype for constant in (scale, shift)):
        return None
    index: Tensor | None = None
    values: list[Tensor] = []
    for constant, elsewhere in ((scale, 1.0), (shift, 0.0)):
        if not isinstance(constant, Tensor) or constant.numel() == 1:
            value = constant.detach().to(y).reshape(()) if isinstance(constant, Tensor) else y.new_full((), constant)
            values.append(value.expand(layer.channels))
            continue
        if not _spreads_to(constant, y.shape):
            return None
        index = moves(layer.channel_index(moves.shape)) if index is None else index
        found = _by_channel(constant.detach().to(y), index, layer.channels, elsewhere)
        if found is None:
            return None
        values.append(found)
    return ChannelMap(lambda: values[0], lambda _: values[1])


def _spreads_to(constant: Tensor, shape: torch.Size) -> bool:
    """Whether a constant broadcasts to a shape and leaves it as it is."""
    if constant.ndim > len(shape):
        return False
    return all(size in (1, whole) for size, whole in zip(reversed(constant.shape), reversed(shape), strict=False))


def _by_channel(constant: Tensor, index: Tensor, channels: torch.Size, elsewhere: float) -> Tensor | None:
    """The constant of each channel; None if it differs at places of one channel.

    Args:
        constant: broadcasts to the shape of ``index``.
        index: the number of the channel that each place belongs to.
        channels: the shape of the result.
        elsewhere: what channels have that stand nowhere.
    """
    constant = constant.expand(index.shape)
    for axis in reversed(range(index.ndim)):
        if index.stride(axis) == 0 or index.shape[axis] == 1:  # no other channel along this axis
            first = constant.select(axis, 0)
            if not _is_alike_along(constant, axis, first):
                return None
            constant, index = first, index.select(axis, 0)
    result = constant.new_full((channels.numel(),), elsewhere)
    result[index.reshape(-1)] = constant.reshape(-1)
    return result.view(channels) if torch.equal(result[index], constant) else None


def _is_alike_along(constant: Tensor, axis: int, first: Tensor) -> bool:
    if constant.stride(axis) == 0 or constant.shape[axis] == 1:
        return True
    return torch.equal(constant, first.unsqueeze(axis).expand_as(constant))
