"""Token ids among the input: whole numbers, where autograd ends, and from which embeddings find their way back by notes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signxai.common.errors import InputError
from signxai.engine.call import Call, tensors_in
from signxai.engine.notes import TensorNotes


class TokenIds:
    """Notes from integer tensors to the floating-point numbers of the input that they are made of."""

    def __init__(self) -> None:
        self._origins: TensorNotes[Tensor] = TensorNotes()
        self.any = False

    def note(self, ids: Tensor, origin: Tensor) -> None:
        """Remember what ``ids`` was made of; relevance of an id goes to the same place of ``origin``."""
        self.any = True
        self._origins.put(ids, origin)

    def origin_of(self, ids: Any) -> Tensor | None:
        """What a tensor was made of, or None.

        Raises:
            InputError: if that is not whole numbers.
        """
        origin = self._origins.get(ids)
        if origin is not None:
            self.as_whole_numbers(origin)
        return origin

    def as_whole_numbers(self, values: Tensor) -> Tensor:
        """Token ids as integers.

        Raises:
            InputError: if they are not whole.
        """
        values = values.detach()
        if not torch.equal(values, values.round()):
            raise InputError("the model looks its input up in an embedding, so x must hold whole numbers (token ids)")
        return values.long()

    def follow(self, call: Call, result: Any, moves: bool) -> bool:
        """Carry the notes over an operation; False if one was lost.

        An operation that only moves values moves what they were made of; one that keeps shape and integers (an offset) keeps
        it; comparisons make masks, which count as constants.
        """
        origins = [origin for value in tensors_in((call.args, call.kwargs)) if (origin := self._origins.get(value)) is not None]
        if not origins:
            return True
        results = [value for value in tensors_in(result) if not value.requires_grad and value.dtype != torch.bool]
        if not results:
            return True
        if moves:
            moved = call.func(*self._replaced(call.args), **self._replaced(call.kwargs))
            for ids, origin in zip(tensors_in(result), tensors_in(moved), strict=True):
                self.note(ids, origin)
            return True
        if len(origins) > 1 or any(value.is_floating_point() or value.shape != origins[0].shape for value in results):
            return False
        for ids in results:
            self.note(ids, origins[0])
        return True

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
