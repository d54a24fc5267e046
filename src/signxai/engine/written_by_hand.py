"""What a network writes in steps and torch has in one: activations, gates, a softmax, a product of several signals.

``0.5 * y * (1 + erf(y / sqrt(2)))`` and ``1 / (1 + exp(-y))`` are activations of ``y`` as ``F.gelu`` and ``torch.sigmoid`` are, and
``exp(x) / sum(exp(x))`` is a softmax. Notes on how each tensor was made tell where such a thing is complete. A note holds only
until one of the tensors that it speaks of is written to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from signxai.engine.notes import AsItWas, FreshNotes


@dataclass(frozen=True)
class OfOneValue:
    """What a tensor is a function of, value by value.

    Attributes:
        root: the tensor whose values are the function's.
        is_bent: whether the function is bent everywhere (``exp``, ``tanh``, a square); else it is a multiple of the value.
        form: "exp" or "1 + exp" of ``exponent``; "" otherwise.
        exponent: what the exponential is of.
    """

    root: Tensor
    is_bent: bool = False
    form: str = ""
    exponent: Tensor | None = None


@dataclass(frozen=True)
class SumOf:
    """What a tensor is the sum of ("sum"), or the logarithm of the sum of its exponentials ("logsumexp"), along which axis."""

    source: AsItWas
    axis: int
    name: str
    keeps_axis: bool


class WrittenByHand:
    """How tensors were made, as far as it may be part of something that is written in steps."""

    def __init__(self) -> None:
        self._functions: FreshNotes[tuple[OfOneValue, AsItWas, AsItWas]] = FreshNotes()
        self._differences: FreshNotes[tuple[AsItWas, Tensor]] = FreshNotes()
        self._log_softmaxes: FreshNotes[tuple[AsItWas, int]] = FreshNotes()
        self._reciprocals: FreshNotes[Tensor] = FreshNotes()
        self._sums: FreshNotes[SumOf] = FreshNotes()
        self._factors: FreshNotes[int] = FreshNotes()
        self._masked: FreshNotes[tuple[AsItWas, Tensor]] = FreshNotes()
        self._weighted: FreshNotes[tuple[AsItWas, AsItWas]] = FreshNotes()
        self._mixed: FreshNotes[tuple[AsItWas, AsItWas]] = FreshNotes()
        self._has_reciprocals = self._moves_matter = False

    # Functions of one value

    def of(self, tensor: Tensor) -> OfOneValue:
        """What a tensor is a function of: where nothing is known, itself."""
        return self._noted(tensor) or OfOneValue(tensor)

    def _noted(self, tensor: Tensor) -> OfOneValue | None:
        note = self._functions.get(tensor)
        return note[0] if note is not None and note[1].get() is not None and note[2].get() is not None else None

    def note_bent(self, result: Tensor, of: OfOneValue, form: str = "", exponent: Tensor | None = None) -> None:
        """Remember that a tensor is a bent function of what another one is a function of."""
        self._note(result, OfOneValue(of.root, True, form, exponent))

    def note_scaled(self, result: Tensor, x: Tensor) -> Tensor:
        """Remember that a tensor is a multiple of another one, by a number; returns it."""
        of = self.of(x)
        self._note(result, OfOneValue(of.root, of.is_bent))
        if (factors := self._factors.get(x)) is not None:
            self._factors.put(result, factors)
        return result

    def _note(self, result: Tensor, of: OfOneValue) -> None:
        if result is not of.root and result.shape == of.root.shape:
            self._functions.put(result, (of, AsItWas(of.root), AsItWas(of.root if of.exponent is None else of.exponent)))

    def bent_root(self, a: Tensor, b: Tensor) -> Tensor | None:
        """The tensor that both are functions of, value by value, at least one of them a bent one; None if there is none."""
        of_a, of_b = self._noted(a), self._noted(b)
        if of_a is None and of_b is None:
            return None
        root = a if of_a is None else of_a.root
        if root is not (b if of_b is None else of_b.root):
            return None
        return root if any(of is not None and of.is_bent for of in (of_a, of_b)) else None

    # Softmax

    def note_difference(self, result: Tensor, a: Tensor, b: Tensor) -> None:
        """Remember ``a - b``, where b is spread along some axis: a softmax of it along that axis is one of a."""
        self._differences.put(result, (AsItWas(a), b))

    def softmax_argument(self, x: Tensor, axis: int) -> Tensor:
        """What a softmax of ``x`` is one of: what was subtracted from all its inputs alike changes nothing."""
        difference = self._differences.get(x)
        if difference is None or not _is_alike_along(difference[1], axis, x.ndim):
            return x
        a = difference[0].get()
        return x if a is None else a

    def note_log_softmax(self, result: Tensor, x: Tensor, axis: int) -> None:
        """Remember a log-softmax."""
        self._log_softmaxes.put(result, (AsItWas(x), axis))

    def note_sum(self, result: Tensor, source: Tensor, axis: int, name: str, keeps_axis: bool) -> None:
        """Remember a sum along an axis."""
        self._moves_matter = True
        self._sums.put(result, SumOf(AsItWas(source), axis, name, keeps_axis))

    def log_softmax_of(self, tensor: Tensor) -> tuple[Tensor, int] | None:
        """The argument and the axis of the log-softmax that a tensor is, be it ``x - logsumexp(x)``; None if it is none."""
        if (noted := self._log_softmaxes.get(tensor)) is not None:
            x = noted[0].get()
            return None if x is None else (x, noted[1])
        difference = self._differences.get(tensor)
        summed = None if difference is None else self._sums.get(difference[1])
        if difference is None or summed is None or summed.name != "logsumexp":
            return None
        x = difference[0].get()
        return (x, summed.axis) if x is not None and summed.source.get() is x else None

    def softmax_by_hand(self, exponential: Tensor, divisor: Tensor) -> tuple[Tensor, int, Tensor | None] | None:
        """The argument, the axis and the mask of the softmax that a quotient is: ``exp(x) / sum(exp(x))``; None if it is none."""
        found, summed = self._exponent_of(exponential), self._sums.get(divisor)
        if found is None or summed is None or summed.name != "sum" or not summed.keeps_axis:
            return None
        source = summed.source.get()
        other = None if source is None else self._exponent_of(source)
        is_one = other is not None and self._are_one(found[0], other[0]) and other[1] is found[1]
        return (found[0], summed.axis, found[1]) if is_one else None

    def _exponent_of(self, tensor: Tensor) -> tuple[Tensor, Tensor | None] | None:
        """The argument of an exponential, and the mask that it was multiplied by."""
        if (masked := self._masked.get(tensor)) is not None:
            exponent = masked[0].get()
            return None if exponent is None else (exponent, masked[1])
        of = self._noted(tensor)
        return (of.exponent, None) if of is not None and of.form == "exp" and of.exponent is not None else None

    def _are_one(self, x: Tensor, y: Tensor) -> bool:
        """Whether two tensors are one, or the same difference."""
        a, b = self._differences.get(x), self._differences.get(y)
        if x is y or a is None or b is None:
            return x is y
        if a[0].get() is None or a[0].get() is not b[0].get():
            return False
        return a[1] is b[1] or torch.equal(a[1], b[1])

    def note_masked(self, result: Tensor, exponential: Tensor, mask: Tensor) -> bool:
        """Remember an exponential that a constant was multiplied to, if that is a mask of 0 and 1; returns whether it is."""
        of = self._noted(exponential)
        if of is None or of.form != "exp" or of.exponent is None or not bool(((mask == 0) | (mask == 1)).all()):
            return False
        self._masked.put(result, (AsItWas(of.exponent), mask.clone()))
        return True

    def note_reciprocal(self, result: Tensor, of: Tensor) -> None:
        """Remember that a tensor is 1 / another one."""
        self._has_reciprocals = True
        self._reciprocals.put(result, of)

    def reciprocal_of(self, tensor: Tensor) -> Tensor | None:
        """What a tensor is 1 / of; None if it is not known to be that of anything."""
        return self._reciprocals.get(tensor) if self._has_reciprocals else None

    # Matrix products as products that are summed

    def note_weighted(self, result: Tensor, x: Tensor, weight: Tensor) -> None:
        """Remember a product with weights, which may be summed."""
        self._weighted.put(result, (AsItWas(x), AsItWas(weight)))

    def weighted(self, tensor: Tensor) -> tuple[Tensor, Tensor] | None:
        """What a tensor is the product of, place by place, weights last; None if it is not known to be that."""
        return _both(self._weighted.get(tensor))

    def note_mixed(self, result: Tensor, exponential: Tensor, values: Tensor) -> None:
        """Remember a matrix product, if the first factor is an exponential: a division by its sums makes that a softmax."""
        if self._exponent_of(exponential) is not None:
            self._mixed.put(result, (AsItWas(exponential), AsItWas(values)))

    def mixed(self, tensor: Tensor) -> tuple[Tensor, Tensor] | None:
        """The exponential and the values that a tensor is the matrix product of; None if it is not known to be that."""
        return _both(self._mixed.get(tensor))

    # Products of several signals

    def note_factors(self, result: Tensor, count: int) -> None:
        """Remember that a tensor is a product of so many signals."""
        self._moves_matter = True
        self._factors.put(result, count)

    def factors(self, tensor: Tensor) -> int:
        """Of how many signals a tensor is a product, itself at least."""
        return self._factors.get(tensor) or 1

    # What becomes of notes

    def keep_factors(self, source: Tensor, result: Tensor) -> None:
        """A multiple of a product is one of as many signals."""
        if self._moves_matter and (factors := self._factors.get(source)) is not None:
            self._factors.put(result, factors)

    def moved(self, source: Tensor, result: object, is_copy: bool = False) -> None:
        """Keep what still holds of a tensor whose values were only moved, or copied as they are."""
        if is_copy and isinstance(result, Tensor) and result is not source and result.shape == source.shape:
            self.copied(source, result)
        if not self._moves_matter or not isinstance(result, Tensor):
            return
        if (factors := self._factors.get(source)) is not None:
            self._factors.put(result, factors)
        summed = self._sums.get(source)
        summed_over = None if summed is None else summed.source.get()
        if summed is not None and summed_over is not None:
            shape = list(summed_over.shape)
            shape[summed.axis] = 1
            if list(result.shape) == shape:  # as an axis of size 1 again
                self._sums.put(result, replace(summed, keeps_axis=True))

    def copied(self, source: Tensor, copy: Tensor) -> None:
        """Keep everything of a tensor with the same values."""
        for notes in (self._functions, self._differences, self._log_softmaxes, self._reciprocals, self._sums, self._factors, self._masked):
            note = notes.get(source)
            if note is not None:
                notes.put(copy, note)  # type: ignore[arg-type]  # its own


def _both(note: tuple[AsItWas, AsItWas] | None) -> tuple[Tensor, Tensor] | None:
    if note is None:
        return None
    a, b = note[0].get(), note[1].get()
    return None if a is None or b is None else (a, b)


def _is_alike_along(tensor: Tensor, axis: int, axes: int) -> bool:
    """Whether a tensor that is spread to so many axes has but one value along one of them."""
    place = axis % axes - axes
    return tensor.ndim < -place or tensor.shape[place] == 1
