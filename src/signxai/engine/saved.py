"""Values a rule needs later, safe from in-place operations in between.

A rule divides by a layer's output, which an in-place ReLU may overwrite directly after the layer. The values are
therefore saved copy-on-write: nothing is copied unless somebody is about to write to the same storage.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from signxai.common.errors import ModelError

_FREED = "relevance was asked to pass a layer for the second time, but its tensors are freed after the first"


class SavedTensor:
    """One tensor's values as they were when it was saved."""

    __slots__ = ("__weakref__", "_tensor", "_version")

    def __init__(self, tensor: Tensor) -> None:
        self._tensor: Tensor | None = tensor
        self._version = tensor._version

    def secure(self) -> None:
        """Copy the values before somebody writes to their storage."""
        if self._tensor is not None:
            self._tensor = self._tensor.clone()
            self._version = self._tensor._version

    def release(self) -> None:
        """Let go of the values: nobody will ask for them again."""
        self._tensor = None

    def take(self) -> Tensor:
        """Return the saved values; a write that went unseen is an error, never a wrong map."""
        if self._tensor is None:
            raise RuntimeError(_FREED)
        if self._tensor._version != self._version:
            raise ModelError(
                "an operation that cannot be watched (custom C++ or autograd code) has overwritten an activation in place; "
                "write that operation out of place"
            )
        return self._tensor


class SavedReLU(SavedTensor):
    """The ReLU of other saved values, computed again when it is asked for: one activation in memory instead of two."""

    __slots__ = ("_before",)

    def __init__(self, before: SavedTensor) -> None:
        self._before: SavedTensor | None = before

    def secure(self) -> None:
        return

    def release(self) -> None:
        self._before = None

    def take(self) -> Tensor:
        if self._before is None:
            raise RuntimeError(_FREED)
        return self._before.take().clamp(min=0)


class Saver:
    """Saves tensors during one pass and secures those that share a storage about to be written."""

    def __init__(self) -> None:
        self._by_storage: dict[int, list[weakref.ref[SavedTensor]]] = {}

    def save(self, tensor: Tensor) -> SavedTensor:
        """Save the values of ``tensor``, outside of any graph."""
        saved = SavedTensor(tensor.detach())
        self._by_storage.setdefault(tensor.untyped_storage().data_ptr(), []).append(weakref.ref(saved))
        return saved

    def watch(self, tensor: Tensor, saved: SavedTensor) -> None:
        """Let ``saved`` be secured before somebody writes to the storage of ``tensor``."""
        self._by_storage.setdefault(tensor.untyped_storage().data_ptr(), []).append(weakref.ref(saved))

    def before_write(self, tensor: Tensor) -> None:
        """To be called before an in-place operation on ``tensor``."""
        with torch.no_grad():
            for reference in self._by_storage.pop(tensor.untyped_storage().data_ptr(), ()):
                saved = reference()
                if saved is not None:
                    saved.secure()
