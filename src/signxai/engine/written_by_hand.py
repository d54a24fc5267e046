"""What a network writes in steps and torch has in one: activations, gates, a softmax, a product of several signals.

``0.5 * y * (1 + erf(y / sqrt(2)))`` and ``1 / (1 + exp(-y))`` are activations of ``y`` as ``F.gelu`` and ``torch.sigmoid`` are, and
``exp(x) / sum(exp(x))`` is a softmax. Notes on how each tensor was made tell where such a thing is complete. A note holds only
until one of the tensors that it speaks of is written to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.graph import Node
from signxai.engine.moves import COPIES, SPREADING, in_any_layout, moves_one_to_one
from signxai.engine.notes import AsItWas, FreshNotes

Axes = tuple[int, ...]

Exponential = tuple[Tensor, Tensor | None]
"""An exponential: what it is of, and the mask of 0 and 1 that it was multiplied by."""

Terms = tuple[tuple[Tensor, Tensor], ...]
"""What a sum is of: products of signals with weights, weights last."""


_KeptTerms = tuple[tuple[AsItWas, AsItWas], ...]


@dataclass(frozen=True)
class SumOfTerms:
    """A sum of products of signals with weights, and of what it starts from."""

    terms: Terms
    start: Tensor | None = None


@dataclass(frozen=True)
class OfOneValue:
    """What a tensor is a function of, value by value.

    Attributes:
        root: the tensor whose values are the function's.
        is_bent: whether the function is bent everywhere (``exp``, ``tanh``, a square); else it is a multiple of the value.
        form: "exp" or "1 + exp" of ``exponent``; "log sigmoid"; "" otherwise.
        exponent: what the exponential is of.
    """

    root: Tensor
    is_bent: bool = False
    form: str = ""
    exponent: Tensor | None = None


@dataclass(frozen=True)
class SumOf:
    """What a tensor is the sum of ("sum"), or the logarithm of the sum of its exponentials ("logsumexp"), along which axes.

    Attributes:
        source: what was summed.
        axes: along which axes.
        name: "sum" or "logsumexp".
        keeps_axes: whether the result spreads to what was summed.
    """

    source: AsItWas
    axes: Axes
    name: str
    keeps_axes: bool


class WrittenByHand:
    """How tensors were made, as far as it may be part of something that is written in steps."""

    def __init__(self) -> None:
        self._functions: FreshNotes[tuple[OfOneValue, AsItWas, AsItWas]] = FreshNotes()
        self._differences: FreshNotes[tuple[AsItWas, Tensor]] = FreshNotes()
        self._log_softmaxes: FreshNotes[tuple[AsItWas, Axes]] = FreshNotes()
        self._sums: FreshNotes[SumOf] = FreshNotes()
        self._factors: FreshNotes[int] = FreshNotes()
        self._masked: FreshNotes[tuple[AsItWas, Tensor]] = FreshNotes()
        self._weighted: FreshNotes[tuple[AsItWas, AsItWas]] = FreshNotes()
        self._terms: FreshNotes[tuple[_KeptTerms, AsItWas | None]] = FreshNotes()
        self._stacked_terms: FreshNotes[tuple[int, _KeptTerms]] = FreshNotes()
        self._bounds: FreshNotes[tuple[float, float]] = FreshNotes()
        self._shifted: FreshNotes[bool] = FreshNotes()
        self._stacked: FreshNotes[tuple[int, tuple[Node, ...]]] = FreshNotes()
        self._moves_matter = False
        self.has_exponentials = False

    # Functions of one value

    def of(self, tensor: Tensor) -> OfOneValue:
        """What a tensor is a function of: where nothing is known, itself."""
        return self._noted(tensor) or OfOneValue(tensor)

    def _noted(self, tensor: Tensor) -> OfOneValue | None:
        note = self._functions.get(tensor)
        return note[0] if note is not None and note[1].get() is not None and note[2].get() is not None else None

    def note_bent(self, result: Tensor, of: OfOneValue, form: str = "", exponent: Tensor | None = None) -> None:
        """Remember that a tensor is a bent function of what another one is a function of."""
        self.has_exponentials |= form == "exp"
        self._note(result, OfOneValue(of.root, True, form, exponent))

    def note_scaled(self, result: Tensor, x: Tensor, factor: Callable[[], float] | None = None) -> Tensor:
        """Remember that a tensor is a multiple of another one, by a number; returns it."""
        of = self.of(x)
        self._note(result, OfOneValue(of.root, of.is_bent))
        if factor is not None and (bounds := self._bounds.get(x)) is not None:
            self.note_bounds(result, *sorted(bound * factor() for bound in bounds))
        if (factors := self._factors.get(x)) is not None:
            self._factors.put(result, factors)
        return result

    def note_bounds(self, result: Tensor, low: float, high: float) -> None:
        """Remember between which numbers all values of a tensor are, whatever the input."""
        self._bounds.put(result, (low, high))

    def note_shifted(self, result: Tensor, x: Tensor, factor: float, number: float) -> None:
        """Remember that a number was added to all values of a tensor, times a factor."""
        self._shifted.put(result, True)
        if (bounds := self._bounds.get(x)) is not None:
            self.note_bounds(result, *sorted(factor * bound + number for bound in bounds))

    def was_shifted(self, tensor: Tensor) -> bool:
        """Whether a tensor is another one and a number."""
        return self._shifted.get(tensor) is not None

    def is_never_negative(self, tensor: Tensor) -> bool:
        """Whether a bounded tensor can have no value below 0."""
        bounds = self._bounds.get(tensor)
        return bounds is not None and bounds[0] >= 0

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

    def softmax_argument(self, x: Tensor, axes: Axes) -> Tensor:
        """What a softmax of ``x`` is one of: what was subtracted from all its inputs alike changes nothing."""
        difference = self._differences.get(x)
        if difference is None or not all(_is_alike_along(difference[1], axis, x.ndim) for axis in axes):
            return x
        a = difference[0].get()
        return x if a is None else a

    def note_log_softmax(self, result: Tensor, x: Tensor, axis: int) -> None:
        """Remember a log-softmax."""
        self._log_softmaxes.put(result, (AsItWas(x), (axis % max(x.ndim, 1),)))

    def note_sum(self, result: Tensor, source: Tensor, axes: Axes, name: str, keeps_axes: bool) -> None:
        """Remember a sum along axes, which are counted from the first."""
        self._moves_matter = True
        self._sums.put(result, SumOf(AsItWas(source), axes, name, keeps_axes))

    def summed_exponential(self, tensor: Tensor) -> tuple[Tensor, Axes] | None:
        """What a tensor is the sum of the exponentials of, and along which axes; None if it is not known to be that."""
        summed = self._sums.get(tensor) if self._moves_matter else None
        source = None if summed is None or summed.name != "sum" else summed.source.get()
        of = None if source is None else self._noted(source)
        if summed is None or of is None or of.form != "exp" or of.exponent is None:
            return None
        return of.exponent, summed.axes

    def summed_by_logsumexp(self, tensor: Tensor) -> tuple[Tensor, Axes] | None:
        """What a tensor is the logarithm of the sum of the exponentials of, and along which axes; None if it is not known to be that."""
        summed = self._sums.get(tensor) if self._moves_matter else None
        source = None if summed is None or summed.name != "logsumexp" else summed.source.get()
        return None if summed is None or source is None else (source, summed.axes)

    def logsumexp_with(self, tensor: Tensor, maximum: Tensor) -> tuple[Tensor, Axes] | None:
        """Of what ``maximum`` and a logarithm of the sum of exponentials are one, if it was subtracted before; None if they are not."""
        summed = self._sums.get(tensor) if self._moves_matter else None
        source = None if summed is None or summed.name != "logsumexp" else summed.source.get()
        difference = None if source is None else self._differences.get(source)
        if summed is None or difference is None or difference[1].numel() != maximum.numel():
            return None
        x = difference[0].get()
        is_same = difference[1] is maximum or torch.equal(difference[1].reshape(-1), maximum.reshape(-1))
        return (x, summed.axes) if x is not None and is_same else None

    def log_softmax_of(self, tensor: Tensor) -> tuple[Tensor, Axes] | None:
        """The argument and the axes of the log-softmax that a tensor is, be it ``x - logsumexp(x)``; None if it is none."""
        if (noted := self._log_softmaxes.get(tensor)) is not None:
            x = noted[0].get()
            return None if x is None else (x, noted[1])
        difference = self._differences.get(tensor)
        summed = None if difference is None else self._sums.get(difference[1])
        if difference is None or summed is None or summed.name != "logsumexp":
            return None
        x = difference[0].get()
        return (x, summed.axes) if x is not None and summed.source.get() is x else None

    def softmax_by_hand(self, exponential: Tensor, divisor: Tensor) -> tuple[Tensor, Axes, Tensor | None] | None:
        """The argument, the axes and the mask of the softmax that a quotient is: ``exp(x) / sum(exp(x))``; None if it is none."""
        found, summed = self.exponential(exponential), self._sums.get(divisor)
        if found is None or summed is None or summed.name != "sum" or not summed.keeps_axes:
            return None
        source = summed.source.get()
        other = None if source is None else self.exponential(source)
        return (found[0], summed.axes, found[1]) if other is not None and self.are_one(found, other) else None

    def exponential(self, tensor: Tensor) -> Exponential | None:
        """The argument of an exponential, and the mask that it was multiplied by; None if a tensor is not known to be one."""
        if (masked := self._masked.get(tensor)) is not None:
            exponent = masked[0].get()
            return None if exponent is None else (exponent, masked[1])
        of = self._noted(tensor)
        return (of.exponent, None) if of is not None and of.form == "exp" and of.exponent is not None else None

    def are_one(self, a: Exponential, b: Exponential) -> bool:
        """Whether two exponentials are one that was computed twice."""
        return self._are_one(a[0], b[0]) and _are_one_mask(a[1], b[1])

    def _are_one(self, x: Tensor, y: Tensor) -> bool:
        """Whether two tensors are one, the same difference, or computed twice in the same steps."""
        if x is y:
            return True
        a, b = self._differences.get(x), self._differences.get(y)
        if a is not None and b is not None and a[0].get() is not None and a[0].get() is b[0].get():
            return a[1] is b[1] or torch.equal(a[1], b[1])
        return _are_computed_alike(x, y)

    def note_masked(self, result: Tensor, exponential: Tensor, mask: Tensor) -> bool:
        """Remember an exponential that a constant was multiplied to; returns whether that is a mask of 0 and 1.

        Which constant it is says nothing: it may be a mask for one sample and weights for the next, and a softmax it is for both.
        """
        of = self._noted(exponential)
        if of is None or of.form != "exp" or of.exponent is None:
            return False
        self._masked.put(result, (AsItWas(of.exponent), mask.clone()))
        return bool(((mask == 0) | (mask == 1)).all())

    def note_kept(self, result: Tensor, exponential: Tensor, kept: Tensor) -> None:
        """Remember an exponential that was set to 0 but where a mask is True."""
        of = self._noted(exponential)
        if of is not None and of.form == "exp" and of.exponent is not None:
            self._masked.put(result, (AsItWas(of.exponent), kept.to(exponential.dtype)))

    def is_sum(self, tensor: Tensor) -> bool:
        """Whether a tensor is known as a sum of something."""
        return self._moves_matter and self._sums.get(tensor) is not None

    # Matrix products as products that are summed

    def note_weighted(self, result: Tensor, x: Tensor, weight: Tensor) -> None:
        """Remember a product with weights, which may be summed."""
        self._weighted.put(result, (AsItWas(x), AsItWas(weight)))

    def weighted(self, tensor: Tensor) -> tuple[Tensor, Tensor] | None:
        """What a tensor is the product of, place by place, weights last; None if it is not known to be that."""
        return _both(self._weighted.get(tensor))

    def note_terms(self, result: Tensor, of: SumOfTerms) -> None:
        """Remember of what products with weights a tensor is the sum, and what it starts from."""
        self._terms.put(result, (_as_they_were(of.terms), None if of.start is None else AsItWas(of.start)))

    def terms(self, tensor: Tensor) -> SumOfTerms | None:
        """The products with weights that a tensor is the sum of, itself be it one; None if it is not known to be that."""
        noted = self._terms.get(tensor)
        if noted is None:
            product = self.weighted(tensor)
            return None if product is None else SumOfTerms((product,))
        terms, start = _all_still(noted[0]), None if noted[1] is None else noted[1].get()
        return None if terms is None or (noted[1] is not None and start is None) else SumOfTerms(terms, start)

    def note_stacked_terms(self, result: Tensor, axis: int, terms: Terms) -> None:
        """Remember that products with weights were stacked along an axis."""
        self._stacked_terms.put(result, (axis, _as_they_were(terms)))

    def stacked_terms(self, tensor: Tensor) -> tuple[int, Terms] | None:
        """Along which axis a tensor was stacked of what products with weights; None if it is not known to have been."""
        found = self._stacked_terms.get(tensor)
        terms = None if found is None else _all_still(found[1])
        return None if found is None or terms is None else (found[0], terms)

    def note_stacked(self, result: Tensor, axis: int, parts: Sequence[Tensor]) -> None:
        """Remember that tensors were stacked along an axis."""
        self._stacked.put(result, (axis, tuple(part.grad_fn for part in parts)))

    def forget_stack(self, tensor: Tensor) -> None:
        """Forget that a tensor was stacked."""
        self._stacked.drop(tensor)

    def stacked_along(self, tensor: Tensor) -> tuple[int, tuple[Node, ...]] | None:
        """Along which axis a tensor was stacked, and the nodes that made its parts; None if it is not known to have been."""
        return self._stacked.get(tensor)

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

    def moved(self, call: Call, result: object) -> None:
        """Keep what still holds of a tensor whose values were only moved, or copied as they are."""
        source = call.x
        if not isinstance(result, Tensor) or result is source:
            return
        if call.func in COPIES and result.shape == source.shape:
            self.copied(source, result)
            return
        if moves_one_to_one(call):
            move = in_any_layout(call).run
            self._moved_functions(source, result, move)
            self._moved_stack(source, result, move)
        if self._moves_matter:
            if (factors := self._factors.get(source)) is not None:
                self._factors.put(result, factors)
            if call.func in SPREADING and (moves_one_to_one(call) or call.func is not torch.Tensor.__getitem__):
                self._spread_sums(source, result)

    def _moved_functions(self, source: Tensor, result: Tensor, move: Callable[[Tensor], Tensor]) -> None:
        """What is a function of another tensor, or a difference, is one of that tensor moved likewise."""
        of = self._noted(source)
        if of is not None and of.is_bent:
            exponent = None if of.exponent is None else self._moved_argument(of.exponent, move)
            root = exponent if exponent is not None and of.exponent is of.root else move(of.root)
            self._note(result, replace(of, root=root, exponent=exponent))
        if (bounds := self._bounds.get(source)) is not None:
            self._bounds.put(result, bounds)
        if self._shifted.get(source):
            self._shifted.put(result, True)

    def _moved_stack(self, source: Tensor, result: Tensor, move: Callable[[Tensor], Tensor]) -> None:
        """The axis along which a tensor was stacked, where it still is one."""
        found = self._stacked.get(source)
        if found is None:
            return
        size = source.shape[found[0]]
        index = torch.arange(size, device=source.device).view([size if axis == found[0] else 1 for axis in range(source.ndim)])
        moved = move(index.expand(source.shape))
        varying = [axis for axis in range(moved.ndim) if moved.shape[axis] > 1 and not bool((moved == moved.narrow(axis, 0, 1)).all())]
        if len(varying) == 1 and moved.shape[varying[0]] == size:
            self._stacked.put(result, (varying[0], found[1]))

    def _moved_argument(self, x: Tensor, move: Callable[[Tensor], Tensor]) -> Tensor:
        """The argument of an exponential, moved; what was subtracted from it is still known."""
        moved, difference = move(x), self._differences.get(x)
        a = None if difference is None else difference[0].get()
        if difference is not None and a is not None:
            self.note_difference(moved, move(a), move(difference[1].expand(a.shape)))
        return moved

    def _spread_sums(self, source: Tensor, result: Tensor) -> None:
        summed = self._sums.get(source)
        summed_over = None if summed is None else summed.source.get()
        if summed is None or summed_over is None:
            return
        kept = [1 if axis in summed.axes else size for axis, size in enumerate(summed_over.shape)]
        if list(result.shape) == kept or (summed.keeps_axes and result.shape == summed_over.shape):
            self._sums.put(result, replace(summed, keeps_axes=True))  # with axes of size 1 again, or spread along them

    def copied(self, source: Tensor, copy: Tensor) -> None:
        """Keep everything of a tensor with the same values."""
        of_values = (self._functions, self._differences, self._log_softmaxes, self._sums, self._factors)
        for notes in (*of_values, self._masked, self._bounds, self._shifted):
            note = notes.get(source)
            if note is not None:
                notes.put(copy, note)  # type: ignore[arg-type]  # its own


_MOST_STEPS = 100


def _are_computed_alike(x: Tensor, y: Tensor) -> bool:
    """Whether two tensors have the same values by the same operations on the same tensors: values alone may agree by chance."""
    if x.shape != y.shape or x.dtype != y.dtype or not torch.equal(x, y):
        return False
    pending, seen = [(x.grad_fn, y.grad_fn)], 0
    while pending and seen < _MOST_STEPS:
        one, two = pending.pop()
        seen += 1
        if one is two:
            continue
        if one is None or two is None or type(one) is not type(two) or len(one.next_functions) != len(two.next_functions):
            return False
        for (of_one, place), (of_two, other) in zip(one.next_functions, two.next_functions, strict=True):
            if place != other:
                return False
            pending.append((of_one, of_two))
    return not pending


def _are_one_mask(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and a.shape == b.shape and torch.equal(a, b))


def _as_they_were(terms: Terms) -> _KeptTerms:
    return tuple((AsItWas(x), AsItWas(weight)) for x, weight in terms)


def _all_still(noted: _KeptTerms) -> Terms | None:
    terms = [_both(term) for term in noted]
    return tuple(term for term in terms if term is not None) if None not in terms else None


def _both(note: tuple[AsItWas, AsItWas] | None) -> tuple[Tensor, Tensor] | None:
    if note is None:
        return None
    a, b = note[0].get(), note[1].get()
    return None if a is None or b is None else (a, b)


def _is_alike_along(tensor: Tensor, axis: int, axes: int) -> bool:
    """Whether a tensor that is spread to so many axes has but one value along one of them."""
    place = axis % axes - axes
    return tensor.ndim < -place or tensor.shape[place] == 1 or tensor.stride(place) == 0
