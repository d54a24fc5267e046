"""Masks that a network makes of a signal by comparing its values with a number: with one, ``y * (y > 0)`` is an activation of ``y``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.graph import needs_relevance
from signxai.engine.notes import AsItWas, FreshNotes
from signxai.engine.torch_functions import Operation, functions_named

ABOVE: tuple[Operation, ...] = (
    *(torch.gt, torch.ge, torch.greater, torch.greater_equal, Tensor.gt, Tensor.ge, Tensor.greater, Tensor.greater_equal),
    *(Tensor.__gt__, Tensor.__ge__),
)
BELOW: tuple[Operation, ...] = (
    *(torch.lt, torch.le, torch.less, torch.less_equal, Tensor.lt, Tensor.le, Tensor.less, Tensor.less_equal),
    *(Tensor.__lt__, Tensor.__le__),
)
"""Functions that say where values are above, or below, a number."""

_NOT = functions_named("logical_not", "bitwise_not", "__invert__")
_ONE_LESS = functions_named("rsub", "__rsub__", "sub", "subtract", "__sub__")
_REFLECTED = functions_named("rsub", "__rsub__")
_CONVERTING = functions_named("float", "double", "half", "bfloat16", "to", "type", "type_as", "int", "long", "clone")


class Mask(NamedTuple):
    """What a mask says of each value of a signal.

    Attributes:
        root: the signal.
        is_above: whether the mask holds above the number; else below.
        number: what the signal was compared with.
    """

    root: Tensor
    is_above: bool
    number: float


class Masks:
    """The masks of a forward pass, as long as neither they nor their signals are written to."""

    def __init__(self) -> None:
        self._notes: FreshNotes[tuple[AsItWas, bool, float]] = FreshNotes()
        self._any = False

    def compared(self, call: Call, result: object) -> None:
        """Take a note of what a comparison gave."""
        number = _number(call.rest[0]) if len(call.rest) == 1 and not call.kwargs else None
        if number is not None and needs_relevance(call.x) and isinstance(result, Tensor):
            self._any = True
            self._notes.put(result, (AsItWas(call.x), call.func in ABOVE, number))

    def follow(self, call: Call, result: object) -> None:
        """Take a note of a mask that was inverted, or made into numbers."""
        if not self._any or not isinstance(result, Tensor):
            return
        if call.func in _ONE_LESS:
            self._one_less(call, result)
            return
        if not (call.func in _NOT or call.func in _CONVERTING):
            return
        note = self._notes.get(call.x)
        if note is not None and result.shape == call.x.shape and (call.func not in _NOT or result.dtype == torch.bool):
            self._notes.put(result, (note[0], note[1] != (call.func in _NOT), note[2]))

    def _one_less(self, call: Call, result: Tensor) -> None:
        """Take a note of 1 less a mask, which is the mask inverted."""
        if len(call.args) != 2 or call.kwargs:
            return
        one, mask = call.args[::-1] if call.func in _REFLECTED else call.args
        note = self._notes.get(mask)
        is_one = isinstance(one, int | float) and one == 1
        if note is not None and is_one and result.shape == mask.shape:
            self._notes.put(result, (note[0], not note[1], note[2]))

    def of(self, value: object) -> Mask | None:
        """What a mask is known to say; None for anything else."""
        note = self._notes.get(value) if self._any else None
        root = None if note is None else note[0].get()
        return None if note is None or root is None else Mask(root, note[1], note[2])


def _number(value: object) -> float | None:
    if isinstance(value, Tensor):
        return float(value) if value.ndim == 0 and not value.requires_grad else None
    return float(value) if isinstance(value, int | float) else None


def is_zero(value: object) -> bool:
    """Whether a value is 0, or a constant full of zeros."""
    if isinstance(value, Tensor):
        return not value.requires_grad and not bool(value.count_nonzero())
    return isinstance(value, int | float) and value == 0
