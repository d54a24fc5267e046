"""Operations that only move values, in a row: what they do to other tensors, and the way back."""

from __future__ import annotations

import torch
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.torch_functions import Operation, functions_named
from signxai.engine.zero_padding import padded_by_its_border, zeros_put_around

ONE_TO_ONE: frozenset[Operation] = frozenset(
    functions_named(
        *("view", "reshape", "flatten", "unflatten", "squeeze", "squeeze_", "unsqueeze", "unsqueeze_", "ravel", "permute"),
        *("transpose", "transpose_", "t", "t_", "swapaxes", "swapdims", "swapaxes_", "movedim", "moveaxis", "contiguous", "clone"),
        *("narrow", "select", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "flip", "fliplr", "flipud", "roll"),
        *("rot90", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "hsplit", "vsplit", "dsplit", "unsafe_chunk"),
        *("unsafe_split", "view_as", "reshape_as", "atleast_1d", "atleast_2d", "atleast_3d", "__getitem__"),
    )
) | {getattr(torch.Tensor, name).__get__ for name in ("T", "mT")}
"""Operations behind which each value stands at most once, and nothing else stands beside it."""

COPIES = functions_named("clone", "contiguous")

SPREADING = functions_named(
    *("view", "reshape", "unflatten", "unsqueeze", "view_as", "reshape_as", "__getitem__", "expand", "expand_as", "broadcast_to"),
    *("repeat", "tile", "repeat_interleave"),
)
"""Operations behind which a tensor of the shape of a sum, with its axes kept or spread along them, is that sum."""

MOVES_ALONE = ONE_TO_ONE | SPREADING
"""Functions whose result holds nothing but values of their input."""

_PLAIN_INDICES = (int, slice, type(None), type(Ellipsis))


_IN_ANY_LAYOUT: dict[Operation, Operation] = {torch.Tensor.view: torch.Tensor.reshape, torch.Tensor.view_as: torch.Tensor.reshape_as}


def in_any_layout(call: Call) -> Call:
    """A move as one that another tensor allows too, which lies otherwise in memory: ``reshape`` for ``view``."""
    function = _IN_ANY_LAYOUT.get(call.func)
    return call if function is None or any(isinstance(size, torch.dtype) for size in call.rest) else call.of(function)


class Move:
    """One such operation as it was called, without its input, and which of its results is meant."""

    __slots__ = ("call", "result")

    def __init__(self, call: Call, result: int | None = None) -> None:
        self.call, self.result = in_any_layout(Call(call.func, (None, *call.rest), call.named)), result

    def __call__(self, tensor: Tensor) -> Tensor:
        """What it does to another tensor of its input's shape; numbers of channels reach into a padding."""
        padding = zeros_put_around(self.call) if tensor.dtype is torch.int64 else ()
        if padding:
            return padded_by_its_border(tensor, padding)
        moved = self.call.run(tensor)
        result: Tensor = moved if self.result is None else moved[self.result]
        return result


class Moves:
    """Moves in a row, from a tensor of one shape."""

    __slots__ = ("moves", "shape")

    def __init__(self, shape: torch.Size, moves: tuple[Move, ...] = ()) -> None:
        self.shape, self.moves = shape, moves

    def __bool__(self) -> bool:
        return bool(self.moves)

    def then(self, move: Move) -> Moves:
        """These and one more."""
        return Moves(self.shape, (*self.moves, move))

    def __call__(self, tensor: Tensor) -> Tensor:
        """What they do to a tensor of that shape."""
        for move in self.moves:
            tensor = move(tensor)
        return tensor

    def back(self, moved: Tensor) -> Tensor:
        """The tensor that they turn into ``moved``; 0 where its values are not among those."""
        if not self.moves:
            return moved
        with torch.enable_grad():
            start = moved.new_empty(self.shape).requires_grad_()
            result: Tensor = torch.autograd.grad(self(start), start, moved)[0]
        return result


def moves_one_to_one(call: Call) -> bool:
    """Whether a call is such an operation; an index, one of whole axes, positions and slices."""
    if call.func not in ONE_TO_ONE:
        return False
    if call.func is not torch.Tensor.__getitem__:
        return True
    index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    return all(isinstance(part, _PLAIN_INDICES) and not isinstance(part, bool) for part in index)


def each_moved(call: Call, result: Result) -> list[tuple[Tensor, Move]]:
    """Every tensor that such a call made, with what made it."""
    name = call.func.__name__
    if name.endswith("_") and not name.endswith("__"):  # what it does to the shape, it does to another tensor's copy
        call = call.of(getattr(torch.Tensor, name[:-1]))
    if isinstance(result, Tensor):
        return [(result, Move(call))]
    return [(part, Move(call, place)) for place, part in enumerate(result) if isinstance(part, Tensor)]
