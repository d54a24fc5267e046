"""Token ids among the input: whole numbers, where autograd ends, and from which embeddings find their way back by notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from signxai.common.errors import InputError
from signxai.engine.call import Call, tensors_in
from signxai.engine.graph import Node, RelevanceNode
from signxai.engine.notes import TensorNotes
from signxai.engine.places import place_of_call
from signxai.engine.torch_functions import functions_named


class EmbeddingNode(RelevanceNode):
    """The rows of a table that indices name: each index gets the relevance of its row."""

    words = "sum over the row"

    @staticmethod
    def forward(ctx: Node, origin: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        ctx.axes = origin.ndim
        return compute()

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance.flatten(ctx.axes).sum(dim=-1) if relevance.ndim > ctx.axes else relevance, None


_GETITEM, _SETITEM = torch.Tensor.__getitem__, torch.Tensor.__setitem__
_LOOKUPS = functions_named("__getitem__", "index_select")
_PICKING = functions_named("__getitem__", "index_select", "gather", "take", "take_along_dim")
"""They read their first argument at places that others name."""


class TokenIds:
    """Notes from integer tensors to the floating-point numbers of the input that they are made of."""

    def __init__(self) -> None:
        self._origins: TensorNotes[Tensor] = TensorNotes()
        self._mixed: TensorNotes[tuple[str, str]] = TensorNotes()
        self.any = False

    def note(self, ids: Tensor, origin: Tensor) -> None:
        """Remember what ``ids`` was made of; relevance of an id goes to the same place of ``origin``."""
        self.any = True
        self._origins.put(ids, origin)

    def origin_of(self, ids: object) -> Tensor | None:
        """What a tensor was made of, or None.

        Raises:
            InputError: if that is not whole numbers.
        """
        origin = self._origins.get(ids)
        if origin is not None:
            self.as_whole_numbers(origin)
        return origin

    def is_made_of_input(self, ids: object) -> bool:
        """Whether a tensor was made of the input, in whatever way that is known."""
        return self.any and (self._origins.get(ids) is not None or self._mixed.get(ids) is not None)

    def as_whole_numbers(self, values: Tensor) -> Tensor:
        """Token ids as integers.

        Raises:
            InputError: if they are not whole.
        """
        values = values.detach()
        if not torch.equal(values, values.round()):
            raise InputError("the model looks its input up in an embedding, so x must hold whole numbers (token ids)")
        return values.long()

    def mixed_by(self, ids: object) -> tuple[str, str] | None:
        """The operation, and its place, that computed integers from ids not place by place: an embedding of them has no way back."""
        return self._mixed.get(ids)

    def looked_up(self, call: Call, result: object) -> Tensor | None:
        """What the ids were made of by which rows of a table were picked out, if that is what ``call`` did; else None."""
        if call.func not in _LOOKUPS or not isinstance(result, Tensor) or not result.is_floating_point() or result.requires_grad:
            return None
        names = () if call.func is _GETITEM else ("input", "dim", "index")
        along, index = (0, *call.with_arguments(names).rest)[-2:]
        if isinstance(index, tuple) and all(item == slice(None) for item in index[1:]):
            index = index[0]
        return self.origin_of(index) if along == 0 and self._origins.get(index) is not None else None

    def follow(self, call: Call, result: object, moves: bool, by_shape: bool = False) -> bool:
        """Carry the notes over an operation; False if one was lost.

        An operation that only moves values moves what they were made of; one that keeps shape and integers (an offset) keeps
        it; comparisons make masks, which count as constants. What mixes them is marked, in case an embedding follows.

        Args:
            call, result: the operation.
            moves: it only moves values.
            by_shape: all tensors but the first give no more than a shape or a type.
        """
        given = tensors_in(call.x if by_shape else (call.args, call.kwargs))
        origins = [origin for value in given if (origin := self._origins.get(value)) is not None]
        mixed = [by for value in given if (by := self._mixed.get(value)) is not None]
        if not origins and not mixed:
            return True
        if call.func is _SETITEM and not mixed and isinstance(call.x, Tensor) and not call.x.is_floating_point():
            self._write(call.x, call.args[1], call.args[2], origins[0])
            return True
        results = [value for value in tensors_in(result) if not value.requires_grad and value.dtype != torch.bool]
        if not results:
            return True
        picks = call.func in _PICKING
        if moves and origins and not (picks and self._origins.get(call.x) is None):
            moved = call.run(self._origins.get(call.x)) if picks else call.func(*self._replaced(call.args), **self._replaced(call.kwargs))
            for ids, origin in zip(tensors_in(result), tensors_in(moved), strict=True):
                self.note(ids, origin if origin.is_floating_point() else origins[0])  # an integer of another type is made of the same
            return True
        if any(value.is_floating_point() for value in results):
            return False
        for ids in results:
            if len(origins) == 1 and ids.shape == origins[0].shape:
                self.note(ids, origins[0])
            else:
                self._mixed.put(ids, mixed[0] if mixed else (getattr(call.func, "__name__", repr(call.func)), str(place_of_call())))
        return True

    def _write(self, target: Tensor, index: Any, value: Any, like: Tensor) -> None:
        """Carry the notes over a write of ids to a part of a tensor, such as one that shifts them by a place."""
        origin = self._origins.get(target)
        written = (target.to(like.dtype) if origin is None else origin).clone()
        written[index] = self._replaced(value)
        self.note(target, written)

    def _replaced(self, value: Any) -> Any:
        """A nest of arguments with each noted tensor replaced by what it was made of."""
        if isinstance(value, Tensor):
            origin = self._origins.get(value)
            return value if origin is None else origin
        if isinstance(value, dict):
            return {key: self._replaced(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(self._replaced(item) for item in value)
        return value
