"""A softmax whose division stands behind what it weighs: ``(exp(x) * v).sum(-2) / exp(x).sum(-1)``.

Whatever is linear in exponentials is followed until something is divided by their sum: the same, of the softmax, is that quotient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.graph import needs_relevance
from signxai.engine.moves import COPIES, SPREADING, each_moved, moves_one_to_one
from signxai.engine.notes import AsItWas, FreshNotes
from signxai.engine.torch_functions import Operation, functions_named
from signxai.engine.written_by_hand import Axes, Exponential, WrittenByHand

_OF_BOTH: frozenset[Operation] = frozenset(
    functions_named("mul", "multiply", "__mul__", "__rmul__", "matmul", "mm", "bmm", "mv", "dot", "__matmul__", "__rmatmul__")
)
"""Functions that are linear in each of their two arguments."""

_OF_FIRST: frozenset[Operation] = frozenset(functions_named("sum", "div", "divide", "true_divide", "__truediv__"))
"""Functions that are linear in their first argument."""

_LAYERS: frozenset[Operation] = frozenset(functions_named("linear", "conv1d", "conv2d", "conv3d"))
"""Functions that are linear in their first argument, where they add no bias."""

_SUMS: frozenset[Operation] = frozenset(functions_named("add", "__add__", "sub", "subtract", "__sub__"))
"""Functions that are linear in both their arguments together."""

_IN_PLACE: dict[Operation, Operation] = {
    **dict.fromkeys(functions_named("add_", "__iadd__"), torch.add),
    **dict.fromkeys(functions_named("sub_", "subtract_", "__isub__"), torch.sub),
    **dict.fromkeys(functions_named("mul_", "multiply_", "__imul__"), torch.mul),
    **dict.fromkeys(functions_named("div_", "divide_", "true_divide_", "__itruediv__"), torch.div),
}
"""Functions that write to their first argument, and the same that write nothing."""

_MOST = 8
"""So many ways to see a tensor as linear in exponentials are remembered."""

Map: TypeAlias = Callable[[Tensor], Tensor]

Quotient: TypeAlias = tuple[Exponential, Axes, Map]
"""An exponential; the axes along which it is summed; what makes a quotient of their softmax."""


@dataclass(frozen=True)
class _Kept:
    """An exponential, which may be overwritten meanwhile: what it is of is not."""

    exponent: AsItWas
    mask: Tensor | None

    def get(self) -> Exponential | None:
        exponent = self.exponent.get()
        return None if exponent is None else (exponent, self.mask)


@dataclass(frozen=True)
class _Linear:
    """An exponential that a tensor is linear in; what makes the tensor of it, and what else that reads."""

    exponential: _Kept
    compute: Map
    others: tuple[AsItWas, ...] = ()

    def then(self, step: Map, others: tuple[AsItWas, ...] = ()) -> _Linear:
        return _Linear(self.exponential, lambda x: step(self.compute(x)), self.others + others)

    def beside(self, other: _Linear, function: Operation) -> _Linear:
        return _Linear(self.exponential, lambda x: function(self.compute(x), other.compute(x)), self.others + other.others)

    def still_holds(self) -> bool:
        return all(other.get() is not None for other in self.others)


@dataclass(frozen=True)
class _Total:
    """A sum of an exponential along axes, or 1 / that."""

    source: _Kept
    axes: Axes
    is_inverse: bool = False


class DividedLater:
    """What is linear in exponentials, and what is a sum of them, in one forward pass."""

    def __init__(self, by_hand: WrittenByHand) -> None:
        self._by_hand = by_hand
        self._linear: FreshNotes[tuple[_Linear, ...]] = FreshNotes()
        self._totals: FreshNotes[_Total] = FreshNotes()

    def ways_in_place(self, call: Call) -> tuple[_Linear, ...] | None:
        """How what a call is about to write to its first argument will be linear in exponentials."""
        if call.func not in _IN_PLACE:
            return None
        plain = call.of(_IN_PLACE[call.func])
        if plain.func in _SUMS:
            return self._ways_of_sum(plain)
        found = self._argument(plain)
        if found is None:
            return None
        step, others = _without(plain, found)
        return tuple(way.then(step, others) for way in self._ways(found)[:_MOST])

    def note_ways_in_place(self, result: Tensor, ways: tuple[_Linear, ...]) -> None:
        """Remember that of what it wrote to."""
        self._linear.put(result, ways)

    def follow(self, call: Call, result: object) -> None:
        """Remember what a call made, where that is linear in an exponential."""
        if call.func in SPREADING or moves_one_to_one(call):
            self._moved(call, result)
        elif not isinstance(result, Tensor):
            return
        elif call.func in _SUMS:
            self._added(call, result)
        elif (found := self._argument(call)) is not None and found is not result:
            self._note(found, result, *_without(call, found))

    def note_total(self, result: Tensor, source: Tensor, axes: Axes) -> None:
        """Remember that a tensor is the sum of a tensor along axes, if that is an exponential."""
        if (kept := self._kept(source)) is not None:
            self._totals.put(result, _Total(kept, axes))

    def note_inverse(self, result: Tensor, of: Tensor) -> None:
        """Remember that a tensor is 1 / another one, if that is such a sum."""
        if (total := self._totals.get(of)) is not None:
            self._totals.put(result, replace(total, is_inverse=not total.is_inverse))

    def mixed(self, numerator: Tensor, total_of: Tensor, is_inverse: bool) -> Quotient | None:
        """What a quotient is made of, if it is made of a softmax.

        Args:
            numerator: what is divided.
            total_of: what it is divided by, or multiplied by.
            is_inverse: which of the two.
        """
        total = self._totals.get(total_of)
        if total is None and not is_inverse:
            return self._summed_by_weights(numerator, total_of)
        source = None if total is None or total.is_inverse != is_inverse else total.source.get()
        return None if total is None or source is None else self._quotient_by(numerator, source, total.axes)

    def _summed_by_weights(self, numerator: Tensor, divisor: Tensor) -> Quotient | None:
        """The same of a divisor that is no sum but makes 1 of a softmax along one axis: a matrix product with ones."""
        for way in self._ways(divisor):
            source = way.exponential.get()
            if source is None or not way.still_holds():
                continue
            e = exponential_of(source[0].detach(), source[1])
            axes = [axis for axis in range(e.ndim) if e.shape[axis] > 1 and _is_one(way.compute(e / e.sum(axis, keepdim=True)))]
            if len(axes) == 1:
                return self._quotient_by(numerator, source, (axes[0],))
        return None

    def _quotient_by(self, numerator: Tensor, source: Exponential, axes: Axes) -> Quotient | None:
        for way in self._ways(numerator):
            exponential = way.exponential.get()
            if exponential is None or way.compute is _unchanged or not way.still_holds():
                continue
            if exponential[0].shape == source[0].shape and self._by_hand.are_one(exponential, source):
                return exponential, axes, way.compute
        return None

    def copied(self, source: Tensor, copy: Tensor) -> None:
        """Keep everything of a tensor with the same values."""
        if (ways := self._linear.get(source)) is not None:
            self._linear.put(copy, ways)
        if (total := self._totals.get(source)) is not None:
            self._totals.put(copy, total)

    def _ways(self, tensor: Tensor) -> tuple[_Linear, ...]:
        ways, kept = self._linear.get(tensor) or (), self._kept(tensor)
        return ways if kept is None else (*ways, _Linear(kept, _unchanged))

    def _kept(self, tensor: Tensor) -> _Kept | None:
        found = self._by_hand.exponential(tensor)
        return None if found is None or found[0].shape != tensor.shape else _Kept(AsItWas(found[0]), found[1])

    def _note(self, source: Tensor, result: Tensor, step: Map, others: tuple[AsItWas, ...] = ()) -> None:
        ways = tuple(way.then(step, others) for way in self._ways(source)[:_MOST])
        if ways:
            self._linear.put(result, ways)

    def _added(self, call: Call, result: Tensor) -> None:
        if ways := self._ways_of_sum(call):
            self._linear.put(result, ways)

    def _ways_of_sum(self, call: Call) -> tuple[_Linear, ...]:
        """A sum of two tensors that are linear in one exponential is one more; a constant 0 changes nothing."""
        if len(call.args) != 2 or call.kwargs:
            return ()
        a, b = (self._ways(value) if isinstance(value, Tensor) else () for value in call.args)
        if bool(a) != bool(b):
            place = 0 if a else 1
            return tuple(way.then(_beside_zero(call, place)) for way in a or b)[:_MOST] if is_zero(call.args[1 - place]) else ()
        return tuple(one.beside(two, call.func) for one in a for two in b if self._are_one(one, two))[:_MOST]

    def _are_one(self, one: _Linear, two: _Linear) -> bool:
        a, b = one.exponential.get(), two.exponential.get()
        return a is not None and b is not None and a[0].shape == b[0].shape and self._by_hand.are_one(a, b)

    def _moved(self, call: Call, result: object) -> None:
        source = call.x
        if not isinstance(source, Tensor) or result is source:
            return
        if call.func in COPIES:
            if isinstance(result, Tensor):
                self.copied(source, result)
            return
        total = self._totals.get(source)
        if total is None and not self._ways(source):
            return
        for tensor, move in each_moved(call, result):
            self._note(source, tensor, move)
            if total is not None:
                self._totals.put(tensor, total)

    def _argument(self, call: Call) -> Tensor | None:
        """The one argument in which a call is linear, and which is linear in an exponential."""
        if call.func in _OF_BOTH:
            values = (*call.args, *call.kwargs.values())
            found = [value for value in values if isinstance(value, Tensor) and self._ways(value)]
            return found[0] if len(found) == 1 and sum(value is found[0] for value in values) == 1 else None
        has_bias = call.func in _LAYERS and (
            call.named.get("bias") is not None or any(isinstance(value, Tensor) for value in call.args[2:])
        )
        if (call.func in _OF_FIRST or call.func in _LAYERS) and not has_bias and isinstance(call.x, Tensor) and self._ways(call.x):
            return call.x
        return None


def exponential_of(exponent: Tensor, mask: Tensor | None) -> Tensor:
    """An exponential, computed again."""
    e = torch.exp(exponent)
    return e if mask is None else e * mask


def is_zero(value: object) -> bool:
    """Whether a term is a constant 0, from which a sum may start."""
    if isinstance(value, Tensor):
        return not needs_relevance(value) and not bool(value.any())
    return isinstance(value, int | float) and value == 0


def _beside_zero(call: Call, place: int) -> Map:
    """A sum with a constant 0, which gives no more than a shape, as a function of the other term."""
    zero, function = call.args[1 - place], call.func
    if isinstance(zero, Tensor):
        zero = zero.detach().clone()  # it may be what the sum is written to
    return (lambda x: function(x, zero)) if place == 0 else (lambda x: function(zero, x))


def _is_one(tensor: Tensor) -> bool:
    """Whether all values are 1 but for rounding."""
    return bool(((tensor.detach() - 1).abs() <= 100 * torch.finfo(tensor.dtype).eps).all())


def _unchanged(x: Tensor) -> Tensor:
    return x


def _without(call: Call, x: Tensor) -> tuple[Map, tuple[AsItWas, ...]]:
    """A call as a function of one of its arguments, which it does not hold; and the other tensors that it reads."""
    args = [None if value is x else value for value in call.args]
    kwargs = {name: None if value is x else value for name, value in call.kwargs.items()}
    place, name = [i for i, value in enumerate(call.args) if value is x], [key for key, value in call.kwargs.items() if value is x]
    function = call.func

    def compute(tensor: Tensor) -> Tensor:
        given = [tensor if i in place else value for i, value in enumerate(args)]
        result: Tensor = function(*given, **{key: tensor if key in name else value for key, value in kwargs.items()})
        return result

    return compute, tuple(AsItWas(value) for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
