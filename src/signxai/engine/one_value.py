"""Tensors that are a function of one value each, place by place, of another tensor, however that function is written.

``0.5 * y * (1 + erf(y / sqrt(2)))`` and ``1 / (1 + exp(-y))`` are activations of ``y`` as ``F.gelu`` and ``torch.sigmoid`` are:
relevance passes them unchanged. Notes on what each step is a function of tell where such a function is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor

from signxai.engine.notes import TensorNotes


class Kind(IntEnum):
    """What a function is, from the simplest on."""

    SCALED = 0  # a multiple of the value, the value itself included
    AFFINE = 1  # a multiple and a constant
    PIECEWISE = 2  # linear in pieces: a ReLU
    SMOOTH = 3  # bent everywhere: an exponential, a sigmoid, a square


@dataclass(frozen=True)
class OfOneValue:
    """What a tensor is a function of, and which.

    Attributes:
        root: the tensor whose values are the function's.
        version: of the root, when the function was computed.
        kind: what the function is.
        form: "exp" of the root or its negative, "1 + exp" of it; "" otherwise.
    """

    root: Tensor
    version: int
    kind: Kind
    form: str = ""


class FunctionsOfOneValue:
    """Notes from tensors to what they are a function of."""

    def __init__(self) -> None:
        self._notes: TensorNotes[tuple[OfOneValue, int]] = TensorNotes()

    def of(self, tensor: Tensor) -> OfOneValue:
        """What a tensor is a function of: where nothing is known, itself."""
        entry = self._notes.get(tensor)
        if entry is None or entry[1] != tensor._version or entry[0].root._version != entry[0].version:
            return OfOneValue(tensor, tensor._version, Kind.SCALED)
        return entry[0]

    def note(self, result: Tensor, of: OfOneValue, kind: Kind, form: str = "") -> None:
        """Remember that a tensor is a function of a root, of this kind or that of what it was made of, whichever is less simple."""
        if result is not of.root and result.shape == of.root.shape:
            self._notes.put(result, (OfOneValue(of.root, of.version, max(kind, of.kind), form), result._version))
