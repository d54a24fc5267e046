"""How operations carry constant places along: paddings and joined zeros make them, moves move them, functions of one value keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.graph import needs_relevance
from signxai.engine.moves import ONE_TO_ONE, SPREADING, each_moved
from signxai.engine.torch_functions import WRITING, Operation, functions_named
from signxai.engine.zero_padding import PADS, Constants, Widths, Write, Writes, ZeroPadding, constants_at, zeros_put_around

AXES_IN_ORDER: frozenset[Operation] = frozenset(
    functions_named(*("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "unsqueeze", "contiguous", "clone"))
) | {getattr(Tensor, name).__get__ for name in ("T", "mT")}
"""Operations behind which each axis of their input is one of the result's, whole."""

_SIZES = (2, 3, 5, 7, 11, 13, 17, 19)
"""One for each axis, which is found again by it."""

_KEEP_ZERO = frozenset(
    functions_named(
        *("relu", "relu_", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "rrelu_", "elu", "elu_", "selu", "selu_", "celu"),
        *("celu_", "gelu", "silu", "silu_", "mish", "hardswish", "softsign", "tanhshrink", "hardshrink", "softshrink", "relu6"),
        *("relu6_", "tanh", "tanh_", "abs", "absolute", "abs_", "neg", "negative", "__neg__", "neg_", "sin", "atan", "arctan"),
        *("asinh", "sinh", "expm1", "log1p", "erf", "square", "square_", "sign", "sgn", "clone", "contiguous", "to", "type"),
        *("type_as", "double", "float", "half", "bfloat16", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout"),
        *("positive", "__pos__"),
    )
)
"""Functions of single values that give 0 for 0."""

_OF_SINGLE_VALUES = _KEEP_ZERO | functions_named(
    *("mul", "multiply", "__mul__", "__rmul__", "mul_", "multiply_", "__imul__", "div", "divide", "true_divide", "__truediv__", "div_"),
    *("divide_", "__itruediv__", "add", "__add__", "__radd__", "add_", "__iadd__", "sub", "subtract", "__sub__", "sub_", "subtract_"),
    *("__isub__", "rsub", "__rsub__", "clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_", "clamp_max", "clamp_max_"),
    *("threshold", "threshold_", "hardtanh", "hardtanh_", "sigmoid", "sigmoid_", "exp", "softplus", "hardsigmoid", "cos", "sqrt", "pow"),
    *("__pow__", "maximum", "minimum", "alpha_dropout", "feature_alpha_dropout", "masked_fill", "masked_fill_", "where", "nan_to_num"),
)
"""The same, which may give anything for 0; of several tensors, each value of those in its place."""

_JOINING = functions_named("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack")
_FILLING = functions_named("masked_fill", "masked_fill_")
_FACTORS = functions_named("mul", "multiply", "__mul__", "__rmul__", "mul_", "multiply_", "__imul__")
_CHOOSING = functions_named("where")
_VALUE_AT = {
    **dict.fromkeys(("copy_", "slice_scatter", "select_scatter"), 1),
    **dict.fromkeys(("__setitem__",), 2),
    **dict.fromkeys(("index_copy", "index_copy_", "index_fill", "index_fill_", "scatter", "scatter_"), 3),
}
"""Where the argument that is written stands, of operations that write into a part of a tensor."""

_WRITTEN_INTO = functions_named(*_VALUE_AT)
_BROADCASTING = functions_named("__setitem__", "copy_", "index_fill", "index_fill_")
_SET_WHOLE = functions_named("zero_", "fill_")
_PICKING = functions_named("index_select", "gather", "take_along_dim", "narrow_copy", "adjoint")
"""Operations that move values by an index, or copy a part."""

_ADDED_TO = functions_named("add_", "__iadd__", "sub_", "__isub__")

STARTING: frozenset[Operation] = frozenset(PADS | _JOINING | _FILLING | _CHOOSING | _FACTORS | _WRITTEN_INTO | _SET_WHOLE | _ADDED_TO)
"""Operations that may put constants beside values of a signal."""


class Watching(Protocol):
    """The pass that constants are followed in."""

    zero_padding: ZeroPadding

    def is_of_samples(self, value: object) -> bool:
        """Whether a constant may differ from sample to sample."""


class Carried:
    """One call that may carry constant places: asked before it is carried out, since it may write to what it reads."""

    __slots__ = ("_base", "_call", "_device", "_known", "_pass", "_places", "_was_signal", "padding")

    def __init__(self, watching: Watching, call: Call) -> None:
        self._pass, self._call = watching, call
        padding = self.padding = watching.zero_padding
        tensors = tensors_in((call.args, call.kwargs))
        self._base: Tensor | None = None
        if call.func in WRITING and isinstance(call.x, Tensor) and call.x._base is not None:
            self._base = call.x._base
            tensors.append(self._base)
        self._places: Tensor | None = None
        self._known = {id(tensor): found for tensor in tensors if (found := padding.of(tensor)) is not None}
        signals = [tensor for tensor in tensors if needs_relevance(tensor)]
        self._was_signal = set(map(id, signals))
        self._device = signals[0].device if signals else torch.device("cpu")
        if call.func in WRITING and call.func in _MOVING and (known := self.known(call.x)) is not None:
            self._places = known.over(call.x)  # in the shape that it still has

    def note(self, result: Result) -> None:
        """Remember the constant places of the result."""
        call = self._call
        if not self._was_signal:
            return
        CARRIES[call.func](self, call, call.x if call.func in WRITING else result)
        if self._base is not None:
            self._note_base(self._base, call.x)

    def _note_base(self, base: Tensor, view: Tensor) -> None:
        """Remember the constant places of a tensor that was written to by a view of it."""
        known, places = self._pass.zero_padding.of(view), self.places_in(base)
        if places is None or view.dtype != base.dtype or not needs_relevance(base):
            return
        written = known.over(view) if known is not None else places.new_zeros(()).expand(view.shape)
        memory = torch.empty_strided(base.shape, base.stride(), dtype=torch.bool, device=places.device).copy_(places)
        offset = view.storage_offset() - base.storage_offset()
        extent = offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.stride(), strict=True))
        if offset < 0 or extent >= memory.untyped_storage().nbytes():
            return
        memory.as_strided(view.shape, view.stride(), offset).copy_(written)
        self.put(base, constants_at(memory, are_zero=False))

    def put(self, result: object, constants: Constants | None) -> None:
        if constants is not None and isinstance(result, Tensor) and needs_relevance(result):
            self._pass.zero_padding.put(result, constants)

    def known(self, tensor: object) -> Constants | None:
        """What was known of a tensor when the call began."""
        return self._known.get(id(tensor))

    def places(self, value: object) -> Tensor | None:
        """The constant places of a signal, or of a constant, spread as little as may be; None if they may differ from sample to sample."""
        known = self.known(value)
        if isinstance(value, Tensor) and known is not None:
            return known.mask if known.mask is not None else known.over(value)
        is_signal = id(value) in self._was_signal
        if isinstance(value, Tensor) and not is_signal and self._pass.is_of_samples(value):
            return None
        return self.padding.everywhere(not is_signal, self._device)

    def places_in(self, value: Tensor) -> Tensor | None:
        """The same in the shape of the tensor."""
        places = self.places(value)
        return None if places is None else places.expand(value.shape)


def _padded(carried: Carried, call: Call, result: Tensor) -> None:
    """Zeros around a signal: counted, as long as that is all there is."""
    amounts, known = zeros_put_around(call), carried.known(call.x)
    if amounts and id(call.x) in carried._was_signal and (known is None or (known.widths is not None and known.are_zero)):
        widths = list((known and known.widths) or ((0, 0),) * call.x.ndim)
        for axis, added in enumerate(zip(amounts[::2], amounts[1::2], strict=True), start=1):
            widths[-axis] = widths[-axis][0] + added[0], widths[-axis][1] + added[1]
        carried.put(result, Constants(tuple(widths), None, True))
        return
    args = call.with_arguments(("input", "pad", "mode")).args
    if call.func not in _BY_A_NUMBER and len(args) > 2 and args[2] != "constant":
        return
    places = carried.places_in(call.x)
    if places is not None:
        carried.put(result, constants_at(F.pad(places, list(args[1]), value=True), are_zero=False))


def _moved(carried: Carried, call: Call, result: Result) -> None:
    known = carried.known(call.x)
    if known is None or any(map(carried._pass.is_of_samples, tensors_in((call.rest, call.named)))):
        return
    if known.widths is not None and call.func in AXES_IN_ORDER and known.mask is None and len(known.widths) <= len(_SIZES):
        moved = call.run(torch.empty(_SIZES[: len(known.widths)], device="meta")).shape
        widths: Widths = tuple(known.widths[_SIZES.index(size)] if size > 1 else (0, 0) for size in moved)
        carried.put(result, Constants(widths, None, known.are_zero))
        return
    places = known.over(call.x) if carried._places is None else carried._places
    for tensor, move in each_moved(call, result):
        carried.put(tensor, constants_at(move(places), known.are_zero))


def _kept(carried: Carried, call: Call, result: Tensor) -> None:
    """Of a function of one value, what is constant stays so, and where zeros stand, zeros may."""
    known = carried.known(call.x)
    if known is not None and isinstance(result, Tensor) and result.shape == call.x.shape:
        carried.put(result, known)


def _beside(carried: Carried, call: Call, result: Tensor) -> None:
    """Of several tensors, value by value: constant is what is so in all of them, or what a constant puts there."""
    places = places_beside(carried, call, result)
    if places is not None:
        carried.put(result, constants_at(places, are_zero=False))


def places_beside(carried: Carried, call: Call, result: Tensor) -> Tensor | None:
    """The constant places of a function of several tensors, value by value; None if they may differ from sample to sample."""
    operands = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)]
    found = [carried.places(value) for value in operands] if all(map(_fits(result), operands)) else [None]
    if any(places is None for places in found):
        return None
    everywhere = _all([places for places in found if places is not None])
    constant = _put_there(carried, call, operands, result)
    return everywhere if constant is None else everywhere | constant


def _all(masks: list[Tensor]) -> Tensor:
    total = masks[0]
    for mask in masks[1:]:
        total = total & mask
    return total


def _fits(result: Tensor) -> Callable[[Tensor], bool]:
    return lambda tensor: torch.broadcast_shapes(tensor.shape, result.shape) == result.shape  # type: ignore[no-untyped-call]


def _is_mask(padding: ZeroPadding, value: object) -> bool:
    """Whether a factor is a mask of places: zeros and ones that no parameter holds."""
    if not isinstance(value, Tensor) or isinstance(value, Parameter) or not value.ndim or value.shape[-1] == 1 or value.requires_grad:
        return False
    return value.dtype == torch.bool or padding.is_mask(value)


def _put_there(carried: Carried, call: Call, operands: list[Tensor], result: Tensor) -> Tensor | None:
    """Where a constant mask says that a constant stands: one that is filled by, multiplied by, or chosen by."""
    constants = [value for value in operands if id(value) not in carried._was_signal]
    if call.func in _FACTORS:
        masks = [value == 0 for value in constants if _is_mask(carried.padding, value)]
        return masks[0] if masks else None
    if call.func in _FILLING and len(call.rest) == 2:
        mask, value = call.rest
        filled = carried.places(value)
        return mask & filled if isinstance(mask, Tensor) and filled is not None else None
    if call.func in _CHOOSING and len(call.args) == 3 and not call.kwargs:
        a, condition, b = call.args if call.func is Tensor.where else (call.args[1], call.args[0], call.args[2])
        of_a, of_b = carried.places(a), carried.places(b)
        return None if of_a is None or of_b is None else torch.where(condition, of_a, of_b)
    return None


def _joined(carried: Carried, call: Call, result: Tensor) -> None:
    call = call.with_arguments(("tensors",))
    parts: Iterable[object] = call.args[0] if call.args and isinstance(call.args[0], tuple | list) else ()
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if all(id(part) in carried._was_signal and carried.known(part) is None for part in tensors):
        return
    found = [carried.places_in(part) for part in tensors]
    masks = [places for places in found if places is not None]
    if len(masks) == len(found) and call.args and "out" not in call.kwargs:
        carried.put(result, constants_at(call.func(masks, *call.rest, **call.kwargs), are_zero=False))


def _written(carried: Carried, call: Call, result: Tensor) -> None:
    """A tensor, part of which was written to: by the same call on the places of both."""
    target = call.x
    if not isinstance(target, Tensor) or not call.args or call.kwargs.keys() - {"dim", "start", "end", "step", "non_blocking"}:
        return
    place = _VALUE_AT[call.func.__name__]
    if len(call.args) <= place or any(map(carried._pass.is_of_samples, tensors_in((*call.args[1:place],)))):
        return
    value = call.args[place]
    spreads = call.func in _BROADCASTING or not isinstance(value, Tensor)
    written = carried.places(value) if spreads else carried.places_in(value)
    known = carried.known(target)
    log, count = known.written if known is not None and known.written is not None else (None, 0)
    start = carried.places_in(target) if log is None else None
    log = Writes(start) if start is not None else log
    if written is not None and log is not None:
        carried.put(result, Constants(None, None, False, log.then(count, _writing(call, place, written))))


def _writing(call: Call, place: int, written: Tensor) -> Write:
    """What a call does to the places of the tensor that it writes into, given those of what it writes."""
    before = [part.clone() if isinstance(part, Tensor) else part for part in call.args[1:place]]  # an index may be written to later
    function, behind, named = call.func, call.args[place + 1 :], call.kwargs
    in_place = function in WRITING

    def write(mask: Tensor) -> Tensor:
        made: Tensor = function(mask, *before, written, *behind, **named)
        return mask if in_place else made

    return write


def _set_whole(carried: Carried, call: Call, result: Tensor) -> None:
    """A tensor, or a part of one, that is filled with a number."""
    if isinstance(call.x, Tensor) and not any(map(carried._pass.is_of_samples, tensors_in((call.rest, call.named)))):
        carried._pass.zero_padding.put(call.x, Constants(None, torch.ones((), dtype=torch.bool, device=call.x.device), are_zero=False))


_BY_A_NUMBER = functions_named("constant_pad_nd")
_MOVING = frozenset(ONE_TO_ONE | SPREADING | _PICKING)
_Carry: TypeAlias = Callable[[Carried, Call, Result], None]
CARRIES: dict[Operation, _Carry] = {
    **dict.fromkeys(_MOVING, _moved),
    **dict.fromkeys(_OF_SINGLE_VALUES, _beside),
    **dict.fromkeys(_KEEP_ZERO, _kept),
    **dict.fromkeys(_SET_WHOLE, _set_whole),
    **dict.fromkeys(_WRITTEN_INTO, _written),
    **dict.fromkeys(_JOINING, _joined),
    **dict.fromkeys(PADS, _padded),
}
"""How each operation carries constant places."""


def carried_by(watching: Watching, call: Call) -> Carried | None:
    """A call that may carry constant places, or make some; None for most."""
    padding, function = watching.zero_padding, call.func
    if padding.any and function in CARRIES and _reads_known(padding, call):
        return Carried(watching, call)
    return Carried(watching, call) if function in STARTING and _may_begin(padding, call) else None


def _reads_known(padding: ZeroPadding, call: Call) -> bool:
    """Whether anything is known of what a call reads, or of what it writes to by a view."""
    if padding.may_know(call.args) or (call.kwargs and padding.may_know(call.kwargs.values())):
        return True
    return call.func in WRITING and isinstance(call.x, Tensor) and padding.of(call.x._base) is not None


def _may_begin(padding: ZeroPadding, call: Call) -> bool:
    """Whether a call may put constants beside values of a signal."""
    function = call.func
    if function in _FACTORS:
        return any(_is_mask(padding, value) for value in (*call.args, *call.kwargs.values()))
    if function in _FILLING:
        value = call.rest[-1] if len(call.rest) == 2 else call.named.get("value")
        return not isinstance(value, int | float) or value == 0
    if function in _ADDED_TO:
        return isinstance(call.x, Tensor) and call.x._base is not None
    return function not in _JOINING or not all(map(needs_relevance, tensors_in((call.args, call.kwargs))))
