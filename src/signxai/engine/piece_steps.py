"""How operations make pieces: which of them work value by value and are linear on either side of 0, and which only move values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import Parameter

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.graph import needs_relevance
from signxai.engine.masks import Mask, Masks, is_zero
from signxai.engine.moves import ONE_TO_ONE, SPREADING
from signxai.engine.notes import AsItWas
from signxai.engine.pieces import Compute, Piece, Pieces, UnknownPieceError
from signxai.engine.torch_functions import WRITING, Operation, functions_named

Constant: TypeAlias = "Tensor | int | float | bool"

_SMALL = 4096
"""So many values of a constant are copied, since it may be written to later."""


class Step(NamedTuple):
    """One step: the signals that a tensor is made of, and how."""

    signals: Sequence[Tensor]
    compute: Compute
    bends: bool = False
    joins: bool = False


class Following(Protocol):
    """The pass that pieces are followed in."""

    pieces: Pieces
    masks: Masks


Begin: TypeAlias = Callable[[Following, Call], Step | None]
"""(the pass, the call) -> the step that it makes; None: none that can be told."""

STEPS: dict[Operation, Begin] = {}
"""The step of each operation."""


def _steps(*names: str) -> Callable[[Begin], Begin]:
    def enter(begin: Begin) -> Begin:
        STEPS.update(dict.fromkeys(functions_named(*names), begin))
        return begin

    return enter


class Followed:
    """One call whose result may be a piece: asked before it is carried out, since it may write to what it reads."""

    __slots__ = ("_call", "_parents", "_pass", "_step")

    def __init__(self, following: Following, call: Call) -> None:
        self._pass, self._call = following, call
        self._step: Step | None = None
        self._parents: list[Piece] = []
        x, begin, pieces = call.x, STEPS.get(call.func), following.pieces
        if call.writes_in_place() and isinstance(x, Tensor) and needs_relevance(x):
            known = pieces.known(x)
            if known is None and begin is not _written and begin is not _set:
                return  # what nothing is known of is overwritten: nobody can come back to it
            if known is not None:
                known.is_about_to_be_written(x)
        if begin is not None and (step := begin(following, call)) is not None:
            self._step, self._parents = step, [pieces.of(signal) for signal in step.signals]

    def note(self, result: Result, relus: int = 0) -> None:
        """Remember what the result was made of."""
        if self._step is None:
            if self._call.func in _MOVING and isinstance(self._call.x, Tensor):
                self._note_moved(result)
            return
        step = self._step
        result = self._call.x if self._call.func in WRITING else result
        if isinstance(result, Tensor) and needs_relevance(result) and (step.joins or result.shape == step.signals[0].shape):
            self._pass.pieces.put(result, Piece(result, self._parents, step.compute, step.bends, joins=step.joins, relus=relus))

    def _note_moved(self, result: Result) -> None:
        call, pieces = self._call, self._pass.pieces
        if not needs_relevance(call.x) or call.func in WRITING:
            return
        indices = tensors_in((call.rest, call.named)) if call.named or not all(map(_is_plain, call.rest)) else ()
        if any(map(needs_relevance, indices)):
            return
        rest = call.rest
        if indices:  # which may be written to later
            rest = tuple(part.clone() if isinstance(part, Tensor) else part for part in rest)
        stripped = Call(call.func, (None, *rest), call.named)
        for place, part in enumerate((result,) if isinstance(result, Tensor) else result):
            if isinstance(part, Tensor) and part is not call.x:
                pieces.put_moved(part, call.x, stripped, None if part is result else place)


_MOVING: frozenset[Operation] = frozenset(ONE_TO_ONE | SPREADING | functions_named("index_select", "gather", "take_along_dim"))
"""Operations that give nothing but values of their input."""


def _is_plain(part: object) -> bool:
    return isinstance(part, int | slice | str) or part is None or part is Ellipsis


FOLLOWED: frozenset[Operation]
"""The operations that may make a piece, or write to one."""


def _same(values: list[Tensor]) -> Tensor:
    return values[0]


def _negative(values: list[Tensor]) -> Tensor:
    return -values[0]


def _above(values: list[Tensor]) -> Tensor:
    return values[0].clamp(min=0)


def _below(values: list[Tensor]) -> Tensor:
    return values[0].clamp(max=0)


def _size(values: list[Tensor]) -> Tensor:
    return values[0].abs()


def _of_input(call: Call, compute: Compute, bends: bool = False) -> Step | None:
    """A step from the input alone."""
    return Step([call.x], compute, bends) if isinstance(call.x, Tensor) and needs_relevance(call.x) and call.rest_is_constant() else None


def _as_it_is(constant: Constant) -> Callable[[], Constant | None]:
    """What gives a constant as it is now: a small one is copied, a large one is none any more once it has been written to."""
    if not isinstance(constant, Tensor) or isinstance(constant, Parameter):
        return lambda: constant
    if constant.numel() <= _SMALL:
        copy = constant.clone()
        return lambda: copy
    return AsItWas(constant).get


def _times(values: Tensor, factor: Constant | None) -> Tensor:
    if factor is None:
        raise UnknownPieceError
    return torch.mul(values, factor)


def _divided(values: Tensor, divisor: Constant | None) -> Tensor:
    if divisor is None:
        raise UnknownPieceError
    return torch.div(values, divisor)


def _argument(call: Call, place: int, *names: str) -> object:
    """An argument behind the input, by its place or one of its names."""
    if len(call.rest) > place:
        return call.rest[place]
    return next((call.named[name] for name in names if name in call.named), None)


@_steps("neg", "negative", "__neg__", "neg_", "negative_")
def _neg(following: Following, call: Call) -> Step | None:
    return _of_input(call, _negative)


@_steps(
    *("clone", "contiguous", "to", "type", "type_as", "double", "float", "half", "bfloat16", "positive", "__pos__", "nan_to_num"),
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout"),
)
def _copy(following: Following, call: Call) -> Step | None:
    return _of_input(call, _same)


@_steps("relu", "relu_")
def _relu(following: Following, call: Call) -> Step | None:
    return _of_input(call, _above, True)


@_steps("abs", "absolute", "abs_", "absolute_")
def _abs(following: Following, call: Call) -> Step | None:
    return _of_input(call, _size, True)


@_steps("leaky_relu", "leaky_relu_", "prelu")
def _leaky(following: Following, call: Call) -> Step | None:
    slope = _argument(call, 0, "negative_slope", "weight")
    factor: float | Tensor = 0.01
    if not isinstance(slope, Tensor):
        factor = slope if isinstance(slope, int | float) else factor
    elif slope.numel() == 1 or not isinstance(call.x, Tensor) or call.x.ndim < 2:
        factor = slope
    else:
        factor = slope.view(-1, *(1,) * (call.x.ndim - 2))
    return _of_input(call, lambda values: torch.where(values[0] > 0, values[0], torch.mul(values[0], factor)), True)


@_steps("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_", "clamp_max", "clamp_max_")
def _clamp(following: Following, call: Call) -> Step | None:
    name = call.func.__name__
    low = None if "max" in name else _argument(call, 0, "min")
    high = None if "min" in name else _argument(call, 0 if "max" in name else 1, "max")
    return _cut_off(call, low, high)


@_steps("hardtanh", "hardtanh_")
def _hardtanh(following: Following, call: Call) -> Step | None:
    return _cut_off(call, _argument(call, 0, "min_val"), _argument(call, 1, "max_val"))


def _cut_off(call: Call, low: object, high: object) -> Step | None:
    """What is kept from 0 up or down, to any size."""
    low, high = (None if isinstance(bound, float) and math.isinf(bound) else bound for bound in (low, high))
    if high is None and is_zero(low):
        return _of_input(call, _above, True)
    return _of_input(call, _below, True) if low is None and is_zero(high) else None


@_steps("threshold", "threshold_")
def _threshold(following: Following, call: Call) -> Step | None:
    at_zero = is_zero(_argument(call, 0, "threshold")) and is_zero(_argument(call, 1, "value"))
    return _of_input(call, _above, True) if at_zero else None


@_steps("maximum", "fmax", "max")
def _maximum(following: Following, call: Call) -> Step | None:
    return _extreme(call, torch.maximum, _above)


@_steps("minimum", "fmin", "min")
def _minimum(following: Following, call: Call) -> Step | None:
    return _extreme(call, torch.minimum, _below)


def _extreme(call: Call, of_two: Callable[[Tensor, Tensor], Tensor], beside_zero: Compute) -> Step | None:
    if len(call.args) != 2 or call.kwargs or not all(isinstance(value, Tensor) for value in call.args):
        return None
    signals = call.signals()
    if len(signals) == 2:
        return Step(signals, lambda values: of_two(*values), True) if signals[0].shape == signals[1].shape else None
    is_beside_zero = len(signals) == 1 and is_zero(call.args[1] if signals[0] is call.args[0] else call.args[0])
    return Step(signals, beside_zero, True) if is_beside_zero else None


@_steps("mul", "multiply", "__mul__", "__rmul__", "mul_", "multiply_", "__imul__")
def _mul(following: Following, call: Call) -> Step | None:
    if len(call.args) != 2 or call.kwargs or len(signals := call.signals()) != 1:
        return None
    factor = call.args[1] if signals[0] is call.args[0] else call.args[0]
    if (mask := _mask(following, factor)) is not None:
        return Step([signals[0], mask.root], _kept(mask.is_above), True)
    kept = _as_it_is(factor)
    return Step(signals, lambda values: _times(values[0], kept()))


@_steps("div", "divide", "true_divide", "__truediv__", "div_", "divide_", "true_divide_", "__itruediv__")
def _div(following: Following, call: Call) -> Step | None:
    if len(call.args) != 2 or call.kwargs or not isinstance(call.x, Tensor):
        return None
    divisor = _as_it_is(call.args[1])
    return _of_input(call, lambda values: _divided(values[0], divisor()))


@_steps("add", "__add__", "__radd__", "add_", "__iadd__", "sub", "subtract", "__sub__", "sub_", "subtract_", "__isub__", "rsub", "__rsub__")
def _add(following: Following, call: Call) -> Step | None:
    """Of one piece and zeros; a sum of two is told by the rule for sums."""
    if len(call.args) != 2 or call.kwargs or len(signals := call.signals()) != 1:
        return None
    signal = signals[0]
    is_first = signal is call.args[0]
    constant = call.args[1] if is_first else call.args[0]
    piece = following.pieces.known(signal)
    may_matter = not isinstance(constant, Tensor) or not is_first or (piece is not None and piece.is_bent)
    if not may_matter or not is_zero(constant):  # not every bias is looked at
        return None
    name = call.func.__name__.strip("_")
    is_negative = "sub" in name and is_first == name.startswith("r")
    return Step([signal], _negative if is_negative else _same)


@_steps("where")
def _where(following: Following, call: Call) -> Step | None:
    if len(call.args) != 3 or call.kwargs:
        return None
    a, condition, b = call.args if call.func is Tensor.where else (call.args[1], call.args[0], call.args[2])
    mask = _mask(following, condition)
    signals = [value for value in (a, b) if isinstance(value, Tensor) and needs_relevance(value)]
    if mask is None or not signals:
        return None
    others = [value for value in (a, b) if not any(value is signal for signal in signals)]
    if not all(map(is_zero, others)):
        return None
    if len(signals) == 1:
        return Step([signals[0], mask.root], _kept(mask.is_above != (signals[0] is b)), True)
    is_above = mask.is_above
    return Step([*signals, mask.root], lambda values: torch.where((values[2] > 0) == is_above, values[0], values[1]), True)


@_steps("masked_fill", "masked_fill_")
def _masked_fill(following: Following, call: Call) -> Step | None:
    return _filled_by_mask(following, call, _argument(call, 0, "mask"), _argument(call, 1, "value"))


@_steps("__setitem__")
def _set(following: Following, call: Call) -> Step | None:
    """Zeros where a mask says so, or all at once."""
    if len(call.args) != 3:
        return None
    index, value = call.args[1:]
    if isinstance(value, Tensor) and needs_relevance(value):
        is_whole = index is Ellipsis or (isinstance(index, slice) and index == slice(None))
        return Step([value], _same) if is_whole and value.shape == call.x.shape else None
    return _filled_by_mask(following, call, index, value)


@_steps("copy_")
def _written(following: Following, call: Call) -> Step | None:
    value = _argument(call, 0, "src")
    is_whole = isinstance(value, Tensor) and needs_relevance(value) and value.shape == call.x.shape
    return Step([value], _same) if is_whole and isinstance(value, Tensor) else None


def _filled_by_mask(following: Following, call: Call, condition: object, value: object) -> Step | None:
    mask = _mask(following, condition)
    if mask is None or not is_zero(value) or not isinstance(call.x, Tensor) or not needs_relevance(call.x):
        return None
    return Step([call.x, mask.root], _kept(not mask.is_above), True)


@_steps("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack")
def _joined(following: Following, call: Call) -> Step | None:
    call = call.with_arguments(("tensors",))
    parts: Iterable[object] = call.args[0] if call.args and isinstance(call.args[0], tuple | list) else ()
    signals = [part for part in parts if isinstance(part, Tensor) and needs_relevance(part)]
    if not signals or len(signals) != len(call.args[0]) or not any(following.pieces.known(signal) for signal in signals):
        return None
    function, rest, named = call.func, call.rest, call.kwargs
    return Step(signals, lambda values: function(values, *rest, **named), joins=True)


def _mask(following: Following, value: object) -> Mask | None:
    """A mask of what is above or below 0."""
    mask = following.masks.of(value)
    return mask if mask is not None and mask.number == 0 else None


def _kept(is_above: bool) -> Compute:
    """The first of two where the second is above 0, or where it is below; else 0."""
    return lambda values: values[0] * ((values[1] > 0) == is_above)


FOLLOWED = frozenset(STEPS) | _MOVING | WRITING
