"""A softmax whose division stands behind what it weighs: ``(exp(x) * v).sum(-2) / exp(x).sum(-1)``.

Whatever is linear in exponentials is followed until something is divided by their sum: the same, of the softmax, is that quotient.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.moves import COPIES, SPREADING, each_moved, moves_one_to_one
from signxai.engine.notes import AsItWas, FreshNotes
from signxai.engine.torch_functions import Operation, functions_named
from signxai.engine.written_by_hand import Axes, Exponential, WrittenByHand

_OF_BOTH: frozenset[Operation] = frozenset(
    functions_named("mul", "multiply", "__mul__", "__rmul__", "matmul", "mm", "bmm", "mv", "dot", "__matmul__", "__rmatmul__")
)
"""Functions that are linear in each of their two arguments."""

_OF_FIRST: frozenset[Operation] = frozenset(functions_named("sum", "mean", "div", "divide", "true_divide", "__truediv__"))
"""Functions that are linear in their first argument."""

_LAYERS: frozenset[Operation] = frozenset(functions_named("linear", "conv1d", "conv2d", "conv3d"))
"""Functions that are linear in their first argument, where they add no bias."""

_SUMS: frozenset[Operation] = frozenset(functions_named("add", "__add__", "sub", "subtract", "__sub__"))
"""Functions that are linear in both their arguments together."""

_JOINING: frozenset[Operation] = frozenset(
    functions_named("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "row_stack")
)
"""Functions that are linear in all tensors of a list together."""

_IN_PLACE: dict[Operation, Operation] = {
    **dict.fromkeys(functions_named("add_", "__iadd__"), torch.add),
    **dict.fromkeys(functions_named("sub_", "subtract_", "__isub__"), torch.sub),
    **dict.fromkeys(functions_named("mul_", "multiply_", "__imul__"), torch.mul),
    **dict.fromkeys(functions_named("div_", "divide_", "true_divide_", "__itruediv__"), torch.div),
}
"""Functions that write to their first argument, and the same that write nothing."""

_ZEROS: frozenset[Operation] = frozenset(functions_named("zeros", "zeros_like", "new_zeros"))

_MOST = 8
"""So many ways to see a tensor as linear in exponentials are remembered."""

Map: TypeAlias = Callable[[Tensor], Tensor]

TINY = 1e-3
"""What is added to a sum of exponentials up to this only keeps it from 0."""


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
    is_nearly: bool = False

    def then(self, step: Map, others: tuple[AsItWas, ...] = ()) -> _Linear:
        return replace(self, compute=lambda x: step(self.compute(x)), others=self.others + others)

    def beside(self, other: _Linear, function: Operation) -> _Linear:
        both = replace(self, compute=lambda x: function(self.compute(x), other.compute(x)), others=self.others + other.others)
        return replace(both, is_nearly=self.is_nearly or other.is_nearly)

    def still_holds(self) -> bool:
        return all(other.get() is not None for other in self.others)


@dataclass(frozen=True)
class Quotient:
    """What is made of the softmax of an exponential, and divided by a number.

    Attributes:
        exponential: what the softmax is made of.
        axes: along which axes it is one.
        compute: what is made of it.
        number: by which that is divided.
        total: the sum of the exponentials in the divisor's shape, if the divisor is a little more than it; None: it is that.
    """

    exponential: Exponential
    axes: Axes
    compute: Map
    number: float
    total: Tensor | None


class DividedLater:
    """What is linear in exponentials, and what is a sum of them, in one forward pass."""

    def __init__(self, by_hand: WrittenByHand) -> None:
        self._by_hand = by_hand
        self._linear: FreshNotes[tuple[_Linear, ...]] = FreshNotes()
        self._inverses: FreshNotes[tuple[_Linear, ...]] = FreshNotes()
        self._zeros: FreshNotes[bool] = FreshNotes()

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
        elif call.func in _JOINING:
            self._joined(call, result)
        elif (found := self._argument(call)) is not None and found is not result:
            self._note(found, result, *_without(call, found))

    def note_made(self, function: Operation, result: object) -> None:
        """Remember zeros that the network makes."""
        if function in _ZEROS and isinstance(result, Tensor):
            self._zeros.put(result, True)

    def note_sum(self, result: Tensor, exponent: Tensor, axes: Axes, keeps_axes: bool) -> None:
        """Remember that a tensor is the sum of the exponentials of another one."""
        self._linear.put(result, (_Linear(_Kept(AsItWas(exponent), None), lambda e: e.sum(axes, keepdim=keeps_axes)),))

    def note_inverse(self, result: Tensor, of: Tensor) -> None:
        """Remember that a tensor is 1 / another one, if that is linear in an exponential."""
        if ways := self._ways(of):
            self._inverses.put(result, ways)

    def note_nearly(self, result: Tensor, of: Tensor) -> None:
        """Remember that a tensor is another one but for a tiny number, which keeps it from 0."""
        if ways := self._ways(of):
            self._linear.put(result, tuple(replace(way, is_nearly=True) for way in ways))

    def quotient(self, numerator: Tensor, divisor: Tensor, is_inverse: bool) -> Quotient | None:
        """What a quotient is made of, if it is made of a softmax.

        Args:
            numerator: what is divided.
            divisor: what it is divided by, or multiplied by.
            is_inverse: which of the two.
        """
        for way in (self._inverses.get(divisor) or ()) if is_inverse else self._ways(divisor):
            source = way.exponential.get()
            if source is None or not way.still_holds():
                continue
            for one in self._ways(numerator):
                exponential = one.exponential.get()
                if exponential is None or exponential[0].shape != source[0].shape or not one.still_holds():
                    continue
                if self._by_hand.are_one(exponential, source) and (found := _softmax_in(exponential[0], one.compute, way.compute)):
                    e = exponential_of(exponential[0].detach(), exponential[1]) if way.is_nearly else None
                    return Quotient(exponential, found[0], one.compute, found[1], None if e is None else way.compute(e).detach())
        return None

    def copied(self, source: Tensor, copy: Tensor) -> None:
        """Keep everything of a tensor with the same values."""
        for notes in (self._linear, self._inverses):
            if (ways := notes.get(source)) is not None:
                notes.put(copy, ways)

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
            return tuple(way.then(_beside_zero(call, place)) for way in a or b)[:_MOST] if self._is_zero(call.args[1 - place]) else ()
        return tuple(one.beside(two, call.func) for one in a for two in b if self._are_one(one, two))[:_MOST]

    def _is_zero(self, value: object) -> bool:
        """Whether a term is a 0 from which a sum starts: of a constant's values, each sample may have others."""
        return bool(self._zeros.get(value)) if isinstance(value, Tensor) else isinstance(value, int | float) and value == 0

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
        inverses = self._inverses.get(source)
        if not inverses and not self._ways(source):
            return
        for tensor, move in each_moved(call, result):
            self._note(source, tensor, move)
            if inverses:
                self._inverses.put(tensor, tuple(way.then(move) for way in inverses))

    def _joined(self, call: Call, result: Tensor) -> None:
        """Tensors side by side that are all linear in one exponential."""
        parts = call.x
        found = [self._ways(part) for part in parts] if isinstance(parts, tuple | list) else []
        if not found or not all(found):
            return
        chosen = [next((way for way in ways if self._are_one(found[0][0], way)), None) for ways in found]
        ways = [way for way in chosen if way is not None]
        if len(ways) == len(found):
            rest = Call(call.func, (None, *call.rest), call.named)
            others = tuple(other for way in ways for other in way.others)
            joined = replace(ways[0], compute=lambda e: rest.run([way.compute(e) for way in ways]), others=others)
            self._linear.put(result, (joined,))

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


def _beside_zero(call: Call, place: int) -> Map:
    """A sum with a constant 0, which gives no more than a shape, as a function of the other term."""
    zero, function = call.args[1 - place], call.func
    if isinstance(zero, Tensor):
        zero = zero.detach().clone()  # it may be what the sum is written to
    return (lambda x: function(x, zero)) if place == 0 else (lambda x: function(zero, x))


def _softmax_in(exponent: Tensor, numerator: Map, divisor: Map) -> tuple[Axes, float] | None:
    """The axes along which the exponential is to be a softmax so that the quotient is made of that, and by which number it is divided.

    It is asked of numbers that are no one's, as what values and scores cancel by chance would tell nothing.
    """
    draw = torch.Generator().manual_seed(0)
    r = torch.rand(exponent.shape, generator=draw, dtype=torch.float32).add_(0.5).to(exponent)
    rounding = 64 * torch.finfo(exponent.dtype).eps
    of_r = numerator(r).detach() / divisor(r).detach()
    for count in range(1, exponent.ndim + 1):
        for axes in itertools.combinations(range(exponent.ndim), count):
            weights = r / r.sum(axes, keepdim=True)
            ones = divisor(weights).detach()
            number = float(ones.mean())
            if number <= 0 or float((ones - number).abs().max()) > rounding * number:
                continue
            mixed = numerator(weights).detach() / number
            if mixed.shape == of_r.shape and float((mixed - of_r).abs().max()) <= rounding * float(of_r.abs().max()):
                return axes, 1.0 if abs(number - 1) <= rounding else number
    return None


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
