"""The two halves of a leaky ReLU that is written in steps: ``relu(x) - slope * relu(-x)`` is an activation of ``x``."""

from __future__ import annotations

import weakref

from torch import Tensor

from signxai.engine.notes import FreshNotes


class _Of:
    """A tensor that another one was made of, which is not kept alive for it."""

    __slots__ = ("_tensor", "_version")

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._version = weakref.ref(tensor), tensor._version

    def get(self) -> Tensor | None:
        """The tensor; None if it is no more, or has been written to since."""
        tensor = self._tensor()
        return tensor if tensor is not None and tensor._version == self._version else None


class Halves:
    """Which tensors of a forward pass are the positive or the negative part of another one, or a multiple of that."""

    def __init__(self) -> None:
        self._negated: FreshNotes[_Of] = FreshNotes()
        self._halves: FreshNotes[tuple[_Of, bool]] = FreshNotes()

    def note_negated(self, result: Tensor, x: Tensor) -> None:
        """Remember ``-x``."""
        if result is not x:
            self._negated.put(result, _Of(x))

    def note_relu(self, result: Tensor, x: Tensor) -> None:
        """Remember a ReLU, which is the positive part of its input, and the negative part of what that is the negative of."""
        if result is not x:
            negated = self._negated.get(x)
            self._halves.put(result, (_Of(x), True) if negated is None else (negated, False))

    def keep(self, result: object, half: Tensor) -> None:
        """Remember that a tensor is a half as another one is: a multiple of it, or a copy."""
        noted = self._halves.get(half)
        if noted is not None and isinstance(result, Tensor) and result is not half and result.shape == half.shape:
            self._halves.put(result, noted)

    def root(self, a: object, b: object) -> Tensor | None:
        """The tensor of which two are the one and the other half; None if they are not."""
        one = self._halves.get(a)
        other = None if one is None else self._halves.get(b)
        if one is None or other is None or one[1] == other[1]:
            return None
        root = one[0].get()
        return root if root is not None and root is other[0].get() else None
