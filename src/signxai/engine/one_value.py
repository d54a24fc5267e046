"""Tensors that are a function of one value each, place by place, of another tensor, however that function is written.

``0.5 * y * (1 + erf(y / sqrt(2)))`` and ``1 / (1 + exp(-y))`` are activations of ``y`` as ``F.gelu`` and ``torch.sigmoid`` are:
relevance passes them unchanged. Notes on what each step is a function of tell where such a function is complete.
"""

from __future__ import annotations

from enum import IntEnum

from torch import Tensor

from signxai.engine.notes import TensorNotes


class Kind(IntEnum):
    """What a function is, from the simplest on."""

    SCALED = 0  # a multiple of the value, the value itself included
    AFFINE = 1  # a multiple and a constant
    PIECEWISE = 2  # linear in pieces: a ReLU
    SMOOTH = 3  # bent everywhere: an exponential, a sigmoid, a square


SCALED, AFFINE, PIECEWISE, SMOOTH = Kind


class OfOneValue:
    """What a tensor is a function of, and which.

    Attributes:
        root: the tensor whose values are the function's.
        version: of the root, when the function was computed.
        kind: what the function is.
        form: "exp" of the root or its negative, "1 + exp" of it; "" otherwise.
    """

    __slots__ = ("form", "kind", "root", "version")

    def __init__(self, root: Tensor, version: int, kind: Kind, form: str = "") -> None:
        self.root, self.version, self.kind, self.form = root, version, kind, form


class FunctionsOfOneValue:
    """Notes from tensors to what they are a function of."""

    def __init__(self) -> None:
        self._notes: TensorNotes[tuple[OfOneValue, int]] = TensorNotes()

    def noted(self, tensor: Tensor) -> OfOneValue | None:
        """What a tensor is a function of; None where nothing is known."""
        entry = self._notes.get(tensor)
        if entry is None or entry[1] != tensor._version or entry[0].root._version != entry[0].version:
            return None
        return entry[0]

    def of(self, tensor: Tensor) -> OfOneValue:
        """What a tensor is a function of: where nothing is known, itself."""
        return self.noted(tensor) or OfOneValue(tensor, tensor._version, SCALED)

    def note(self, result: Tensor, of: OfOneValue, kind: Kind, form: str = "") -> None:
        """Remember that a tensor is a function of a root, of this kind or that of what it was made of, whichever is less simple."""
        if result is not of.root and result.shape == of.root.shape:
            self._notes.put(result, (OfOneValue(of.root, of.version, max(kind, of.kind), form), result._version))

    def smooth_root(self, a: Tensor, b: Tensor) -> Tensor | None:
        """The tensor that both are functions of, value by value, at least one of them a bent one; None if there is none."""
        of_a, of_b = self.noted(a), self.noted(b)
        if of_a is None and of_b is None:
            return None
        root = a if of_a is None else of_a.root
        if root is not (b if of_b is None else of_b.root):
            return None
        kinds = [of.kind for of in (of_a, of_b) if of is not None]
        return root if max(kinds) == SMOOTH else None
