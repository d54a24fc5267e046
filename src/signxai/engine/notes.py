"""Notes about tensors, found by the identity of the tensor and forgotten with it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Generic, TypeVar

from torch import Tensor

Note = TypeVar("Note")


class TensorNotes(Generic[Note]):
    """Notes about tensors that are still alive."""

    def __init__(self) -> None:
        self._notes: dict[int, tuple[weakref.ref[Tensor], Note]] = {}

    def put(self, tensor: Tensor, note: Note) -> None:
        """Take a note of ``tensor``; it is forgotten with the tensor."""
        key = id(tensor)
        notes = self._notes
        notes[key] = (weakref.ref(tensor, lambda _: notes.pop(key, None)), note)

    def drop(self, tensor: Tensor) -> None:
        """Forget the note of ``tensor``, and what it holds."""
        self._notes.pop(id(tensor), None)

    def get(self, tensor: object) -> Note | None:
        """The note of ``tensor``, or None."""
        entry = self._notes.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None


class FreshNotes(Generic[Note]):
    """Notes that hold as long as nobody writes to the tensor."""

    def __init__(self) -> None:
        self._notes: dict[int, tuple[weakref.ref[Tensor], int, Note]] = {}

    def may_know(self, values: Iterable[object]) -> bool:
        """Whether there may be a note of one of some values, or of a value in a tuple or a list among them."""
        notes = self._notes
        return any(id(value) in notes or (isinstance(value, tuple | list) and self.may_know(value)) for value in values)

    def put(self, tensor: Tensor, note: Note) -> None:
        """Take a note of ``tensor``; it is forgotten with the tensor, and holds until that is written to."""
        key = id(tensor)
        notes = self._notes
        notes[key] = (weakref.ref(tensor, lambda _: notes.pop(key, None)), tensor._version, note)

    def drop(self, tensor: Tensor) -> None:
        """Forget the note of ``tensor``, and what it holds."""
        self._notes.pop(id(tensor), None)

    def get(self, tensor: object) -> Note | None:
        """The note of ``tensor`` if that has not been written to since, or None."""
        entry = self._notes.get(id(tensor))
        if entry is None:
            return None
        noted = entry[0]()
        return entry[2] if noted is not None and noted is tensor and entry[1] == noted._version else None


class AsItWas:
    """A tensor as it was when it was remembered."""

    __slots__ = ("_tensor", "_version")

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._version = tensor, tensor._version

    def get(self) -> Tensor | None:
        """The tensor; None if it has been written to since."""
        return self._tensor if self._tensor._version == self._version else None
