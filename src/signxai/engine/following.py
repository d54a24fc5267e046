"""How operations carry positions: one rule for each, from where their signals stand to where their result stands.

A rule gets the call, its result and a ``Trail``, and returns a ``Step``: what it was computed from, and how positions
pass. Nothing is computed while the network runs; ``positions_at`` does so for the one tensor that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.graph import needs_relevance
from signxai.engine.layers import CONVOLUTIONS
from signxai.engine.moves import ONE_TO_ONE, SPREADING, in_any_layout
from signxai.engine.ops.einsum import terms
from signxai.engine.positions import Positions, merged, moved, nowhere, product
from signxai.engine.spans import CannotFollowError
from signxai.engine.torch_functions import Operation, functions_named


@dataclass(frozen=True)
class Lost:
    """Positions that nobody can tell any more.

    Attributes:
        by: the operation, and its place in the model.
    """

    by: str


Known: TypeAlias = "Positions | Lost"


class Step:
    """One tensor: what it was computed from, and how positions pass.

    Args:
        parents: the steps of the signals that it was computed from.
        compute: from their positions to its own.
        needs_all: where one is lost, all is; otherwise those that are left count.
    """

    __slots__ = ("compute", "needs_all", "parents")

    def __init__(self, parents: Sequence[Step], compute: Callable[[list[Positions]], Known], needs_all: bool = True) -> None:
        self.parents, self.compute, self.needs_all = tuple(parents), compute, needs_all

    def known(self, given: Sequence[Known]) -> Known:
        """Its positions, from those of its parents."""
        found = [one for one in given if isinstance(one, Positions)]
        lost = [one for one in given if isinstance(one, Lost)]
        if lost and (self.needs_all or not found):
            return lost[0]
        try:
            return self.compute(found)
        except CannotFollowError as error:
            return Lost(str(error))


def start(shape: Sequence[int]) -> Step:
    """The input."""
    return Step((), lambda _: Positions.of_input(shape))


def lost(by: str) -> Step:
    """A tensor whose positions nobody can tell."""
    return Step((), lambda _: Lost(by))


def positions_at(step: Step, memory: dict[Step, Known]) -> Known:
    """The positions of one tensor; those of all that it was computed from are remembered."""
    pending = [step]
    while pending:
        one = pending[-1]
        missing = [parent for parent in one.parents if parent not in memory]
        if one in memory or missing:
            pending.pop() if one in memory else pending.extend(missing)
            continue
        memory[one] = one.known([memory[parent] for parent in one.parents])
        pending.pop()
    return memory[step]


class Find(Protocol):
    """Finds the steps of the signals of one call, as they were before it."""

    def __call__(self, tensor: Tensor) -> Step:
        """The step of a signal."""

    def was_signal(self, tensor: object) -> bool:
        """Whether a tensor was a signal when the call began."""


Follow: TypeAlias = "Callable[[Call, Tensor, Find], Step | None]"
"""(the call, one of its results, how to find the steps of signals) -> the step of that result; None: it cannot be told."""

FOLLOWED: dict[Operation, Follow] = {}
"""How to follow each operation."""


def _follows(*names: str | Operation) -> Callable[[Follow], Follow]:
    def enter(follow: Follow) -> Follow:
        for name in names:
            for function in functions_named(name) if isinstance(name, str) and "::" not in name else (name,):
                FOLLOWED.setdefault(function, follow)  # type: ignore[arg-type]
        return follow

    return enter


def _signals(call: Call, find: Find) -> list[Tensor]:
    return [value for value in tensors_in((call.args, call.kwargs)) if find.was_signal(value)]


def _number(call: Call, place: int, name: str, default: Any = None) -> Any:
    """An argument behind the input, by its place or its name."""
    return call.named.get(name, call.rest[place] if len(call.rest) > place else default)


def _along(call: Call, change: Callable[[Positions], Positions], find: Find) -> Step | None:
    """A rule that looks at the input alone."""
    return Step([find(call.x)], lambda given: change(given[0])) if find.was_signal(call.x) else None


# --- operations whose results stand where they are


@_follows(
    *("celu", "elu", "gelu", "hardswish", "mish", "selu", "silu", "softplus", "softsign", "tanhshrink", "abs", "absolute", "hardshrink"),
    *("leaky_relu", "prelu", "rrelu", "softshrink", "threshold", "_threshold", "clamp", "clamp_max", "clamp_min", "clip", "hardtanh"),
    *("relu6", "relu", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh", "sinc", "asin"),
    *("acos", "atan", "asinh", "acosh", "atanh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "atan2", "arctan2"),
    *("erf", "erfc", "erfinv", "logit", "reciprocal", "rsqrt", "sqrt", "square", "pow", "float_power", "__pow__", "__rpow__", "sigmoid"),
    *("logsigmoid", "log_sigmoid", "hardsigmoid", "tanh", "expit", "special_expit", "special_ndtr", "special_erf", "neg", "negative"),
    *("__neg__", "positive", "sign", "angle", "real", "imag", "conj", "resolve_conj", "nan_to_num", "float", "double", "half", "bfloat16"),
    *("to", "type", "type_as", "cpu", "cuda", "contiguous", "clone", "detach", "dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_dropout", "feature_alpha_dropout", "add", "__add__", "__radd__", "__iadd__", "sub", "subtract", "__sub__"),
    *("__isub__", "__rsub__", "rsub", "mul", "multiply", "__mul__", "__rmul__", "__imul__", "div", "divide", "true_divide", "__truediv__"),
    *("__rtruediv__", "__itruediv__", "__div__", "__rdiv__", "__idiv__", "maximum", "minimum", "fmax", "fmin", "where", "masked_fill"),
    *("lerp", "addcmul", "addcdiv", "logaddexp", "logaddexp2", "hypot", "copysign", "ldexp", "batch_norm", "instance_norm", "softmax"),
    *("log_softmax", "special_softmax", "special_log_softmax", "group_norm", "normalize", "local_response_norm", "tril", "triu"),
    *("remainder", "fmod", "round", "floor", "ceil", "trunc", "softmin", "requires_grad_", "sgn", "frac", "mvlgamma", "lgamma"),
    *("index_fill", "fill_", "zero_"),
)  # fmt: skip
def place_by_place(call: Call, result: Tensor, find: Find) -> Step | None:
    """A function of each value, or of several that stand at one place."""
    shape = tuple(result.shape)
    # Of a signal that takes another one's type the places are its own, whatever the other one's shape is.
    signals = [call.x] if call.func in _OF_A_TYPE and find.was_signal(call.x) else _signals(call, find)
    return Step([find(signal) for signal in signals], lambda given: merged(given, shape), needs_all=False)


_OF_A_TYPE = functions_named("to", "type_as")


@_follows("layer_norm", "rms_norm")
def norm(call: Call, result: Tensor, find: Find) -> Step | None:
    """A norm over the last axes: over the last alone it is one over features, which have no places of their own."""
    shape, axes = tuple(result.shape), _number(call, 0, "normalized_shape")
    if len(axes) > 1:
        return _along(call, lambda given: given, find)
    return _along(call, lambda given: given.contracted(-1).widened(-1, shape[-1]), find)


@_follows("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
def running(call: Call, result: Tensor, find: Find) -> Step | None:
    """A running sum, which stands where it has arrived."""
    axis = _number(call, 0, "dim")
    return _along(call, lambda given: given.mixed_along(axis), find)


# --- operations that move values


def _takes_codes(value: Tensor, find: Find) -> bool:
    """Whether a tensor holds values that are moved, not places to which they are moved."""
    return find.was_signal(value) or value.is_floating_point() or value.is_complex()


_PADDING = functions_named(
    "pad", "constant_pad_nd", *(f"{kind}_pad{axes}d" for kind in ("reflection", "replication", "circular") for axes in (1, 2, 3))
)


def _without_values(call: Call) -> Call:
    """The call with 0, which stands for nowhere, for whatever it fills in."""
    if call.func in _PADDING:
        return Call(F.pad, (call.x, _number(call, 0, "pad", call.named.get("padding"))), {})
    return call


def _out_of_place(call: Call) -> Call:
    name = getattr(call.func, "__name__", "")
    plain = getattr(torch.Tensor, name[:-1], None) if name.endswith("_") and not name.endswith("__") else None
    return in_any_layout(call if plain is None else call.of(plain))


class _Shape:
    """What a move needs to know of a tensor: its shape, and of a constant whether it is rather a token than padding."""

    def __init__(self, tensor: Tensor, is_signal: bool) -> None:
        self.key, self.shape, self.is_signal = id(tensor), tuple(tensor.shape), is_signal
        self.is_token = not is_signal and (_is_learned(tensor) or not _is_one_number(tensor))


def _is_learned(constant: Tensor) -> bool:
    return isinstance(constant, nn.Parameter) or isinstance(constant._base, nn.Parameter)


def _is_one_number(constant: Tensor) -> bool:
    """Whether a constant is what a function could pad with."""
    return constant.numel() == 0 or bool((constant == constant.flatten()[0]).all())


def _move(call: Call, result: Tensor, find: Find, place: int | None, writes: bool = False) -> Step:
    """What an operation that moves values does to codes of them.

    Args:
        call, result, find: as for all.
        place: which of several results this is.
        writes: it writes to its input, which is the result.
    """
    call = _without_values(call)
    tensors = [value for value in tensors_in((call.args, call.kwargs)) if _takes_codes(value, find)]
    shapes = [_Shape(tensor, find.was_signal(tensor)) for tensor in {id(tensor): tensor for tensor in tensors}.values()]
    function = (call if writes else _out_of_place(call)).func
    empty = {shape.key: torch.empty(0, device="cpu") for shape in shapes}
    args, kwargs = _kept(call.args, empty), _kept(call.kwargs, empty)
    shape = tuple(result.shape)
    is_pure = call.func in ONE_TO_ONE | SPREADING and len(shapes) == 1

    def move(codes: list[Tensor]) -> Tensor:
        by_key = {one.key: code.contiguous() if writes else code for one, code in zip(shapes, codes, strict=True)}
        positional = tuple(_with_codes(value, by_key) for value in args)
        if writes:
            target: Tensor = positional[0].clone()
            function(target, *positional[1:], **_with_codes(kwargs, by_key))
            return target
        moved_codes = function(*positional, **_with_codes(kwargs, by_key))
        found: Tensor = moved_codes if place is None else moved_codes[place]
        return found

    def compute(given: list[Positions]) -> Positions:
        rest = iter(given)
        parts = [next(rest) if one.is_signal else nowhere(one.shape, len(given[0].spans), one.is_token) for one in shapes]
        return moved(parts, shape, move, is_pure)

    if writes and shapes[0].is_signal and not any(one.is_signal or one.is_token for one in shapes[1:]):
        return find(call.x)  # values are masked where they stand
    if writes and not find.was_signal(call.x):  # what is left of it is looked at, as it has been written to
        is_left = move([torch.full(one.shape, float(one.key == id(call.x))) for one in shapes]).bool().to(result.device)
        shapes[0].is_token = not _is_one_number(result.detach()[is_left])
    signals = {id(tensor): tensor for tensor in tensors}
    return Step([find(signals[one.key]) for one in shapes if one.is_signal], compute)


@dataclass(frozen=True)
class _Code:
    """Where the codes of a tensor go."""

    key: int


def _kept(value: Any, keys: dict[int, Tensor]) -> Any:
    """A nest of arguments without its floating-point tensors."""
    if isinstance(value, Tensor):
        return _Code(id(value)) if id(value) in keys else value.detach().cpu()
    if isinstance(value, tuple | list):
        return type(value)([_kept(item, keys) for item in value]) if not hasattr(value, "_fields") else value
    return {key: _kept(item, keys) for key, item in value.items()} if isinstance(value, dict) else value


def _with_codes(value: Any, codes: dict[int, Tensor]) -> Any:
    if isinstance(value, _Code):
        return codes[value.key]
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return type(value)([_with_codes(item, codes) for item in value])
    return {key: _with_codes(item, codes) for key, item in value.items()} if isinstance(value, dict) else value


MOVING = frozenset(
    functions_named(
        *("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "row_stack", "pad", "gather"),
        *("index_select", "take_along_dim", "take", "unfold", "im2col", "roll", "flip", "diagonal", "masked_select", "index_copy"),
        *("scatter", "select_scatter", "slice_scatter", "diagonal_scatter", "index_put", "repeat_interleave", "native_channel_shuffle"),
        *("block_diag", "diag_embed", "meshgrid", "broadcast_tensors", "unsafe_split_with_sizes", "as_strided"),
        *("__iter__", "swapdims_"),
    )
    | _PADDING
    | ONE_TO_ONE
    | SPREADING
)  # fmt: skip
"""Operations whose results hold nothing but values of their inputs, and constants."""

_OVERWRITING = functions_named("__setitem__", "copy_", "index_copy_", "index_put_", "scatter_")


# --- sums over axes


@_follows(
    *("mean", "sum", "nanmean", "nansum", "amax", "amin", "logsumexp", "special_logsumexp", "std", "var", "std_mean", "var_mean"),
    *("prod", "median", "nanmedian", "max", "min", "aminmax", "all", "any", "mode"),
)  # fmt: skip
def summed(call: Call, result: Tensor, find: Find) -> Step | None:
    """A sum over axes, or whatever else makes one value of all along them."""
    if any(isinstance(value, Tensor) for value in call.rest):
        return place_by_place(call, result, find)  # the maximum of two
    return _reduced(call, result, find, _number(call, 0, "dim", call.named.get("axis")))


@_follows("norm", "linalg_norm", "linalg_vector_norm", "quantile", "nanquantile", "kthvalue")
def summed_by_order(call: Call, result: Tensor, find: Find) -> Step | None:
    """The same with another argument in front of the axes."""
    return _reduced(call, result, find, _number(call, 1, "dim"))


def _reduced(call: Call, result: Tensor, find: Find, axes: Any) -> Step | None:
    ndim, shape = call.x.ndim, tuple(result.shape)
    which = tuple(range(ndim)) if axes is None or isinstance(axes, bool) else (axes,) if isinstance(axes, int) else tuple(axes)
    which = tuple(axis % ndim for axis in which) or tuple(range(ndim))

    def change(given: Positions) -> Positions:
        kept = given.contracted(*which)
        return kept if len(shape) == ndim else moved([kept], shape, lambda codes: codes[0].squeeze(which), True)

    return _along(call, change, find)


# --- linear layers and products


@_follows("linear")
def linear(call: Call, result: Tensor, find: Find) -> Step | None:
    """A linear layer over the last axis."""
    width = result.shape[-1]
    return _along(call, lambda given: given.contracted(-1).widened(-1, width), find)


@_follows("matmul", "mm", "bmm", "mv", "dot", "__matmul__", "linalg_matmul")
def matmul(call: Call, result: Tensor, find: Find) -> Step | None:
    """A matrix product."""
    return _matrix_product(call.args[0], call.args[1], result, find)


@_follows("__rmatmul__")
def reflected_matmul(call: Call, result: Tensor, find: Find) -> Step | None:
    """The same from the right."""
    return _matrix_product(call.args[1], call.args[0], result, find)


@_follows("addmm", "addbmm", "baddbmm", "addmv")
def added_matmul(call: Call, result: Tensor, find: Find) -> Step | None:
    """A matrix product and a summand."""
    of_product = _matrix_product(call.args[1], call.args[2], result, find)
    shape = tuple(result.shape)
    parents = [step for step in (of_product, find(call.x) if find.was_signal(call.x) else None) if step is not None]
    return Step(parents, lambda given: merged(given, shape)) if call.func not in functions_named("addbmm") else None


def _matrix_product(a: Tensor, b: Tensor, result: Tensor, find: Find) -> Step:
    shape = tuple(result.shape)
    is_row, is_column = a.ndim == 1, b.ndim == 1
    full = (*shape, *((1,) if is_column else ())) if not is_row else (*shape[:-1], 1, *shape[-1:], *((1,) if is_column else ()))
    flags = (find.was_signal(a), find.was_signal(b))
    if is_row or is_column:
        return _inner(a, b, shape, flags, find)

    def compute(given: list[Positions]) -> Positions:
        rest = iter(given)
        left = next(rest).contracted(-1) if flags[0] else None
        right = next(rest).contracted(-2) if flags[1] else None
        if left is not None and right is not None:
            return product(left, right, full)
        single = left if left is not None else right
        assert single is not None
        return merged([single], full)

    return Step([find(tensor) for tensor, flag in zip((a, b), flags, strict=True) if flag], compute)


def _inner(a: Tensor, b: Tensor, shape: tuple[int, ...], flags: tuple[bool, bool], find: Find) -> Step:
    """A product with a vector."""

    def change(given: Positions, is_left: bool) -> Positions:
        axis = -1 if is_left or len(given.shape) == 1 else -2
        place = axis % len(given.shape)
        kept = given.contracted(axis)
        squeezed = tuple(length for other, length in enumerate(kept.shape) if other != place)
        return moved([kept], squeezed, lambda codes: codes[0].squeeze(place), True)

    def compute(given: list[Positions]) -> Positions:
        sides = [is_left for is_left, flag in zip((True, False), flags, strict=True) if flag]
        return merged([change(one, is_left) for one, is_left in zip(given, sides, strict=True)], shape)

    return Step([find(tensor) for tensor, flag in zip((a, b), flags, strict=True) if flag], compute)


@_follows("einsum")
def einsum(call: Call, result: Tensor, find: Find) -> Step | None:
    """A sum of products."""
    operands = call.rest[0] if len(call.rest) == 1 and isinstance(call.rest[0], tuple | list) else call.rest
    if not isinstance(call.x, str):
        return None
    inputs, output = terms(call.x, list(operands))
    signals = [(find(tensor), labels) for tensor, labels in zip(operands, inputs, strict=True) if find.was_signal(tensor)]
    shape = tuple(result.shape)
    if any(len(set(labels)) < len(labels) for labels in inputs):
        return None

    def arranged(given: Positions, labels: str) -> Positions:
        gone = [axis for axis, label in enumerate(labels) if label not in output]
        kept = [label for label in labels if label in output]
        given = given.contracted(*gone) if gone else given
        order = [kept.index(label) for label in output if label in kept]
        spread = tuple(axis for axis, label in enumerate(output) if label not in kept)
        lengths = dict(zip(labels, given.shape, strict=True))

        def move(codes: list[Tensor]) -> Tensor:
            moved_codes = codes[0].squeeze(gone).permute(order)
            for axis in spread:
                moved_codes = moved_codes.unsqueeze(axis)
            return moved_codes

        return moved([given], [lengths[label] if label in kept else 1 for label in output], move, True)

    def compute(given: list[Positions]) -> Positions:
        parts = [arranged(one, labels) for one, (_, labels) in zip(given, signals, strict=True)]
        return product(parts[0], parts[1], shape) if len(parts) == 2 else merged(parts, shape)

    return Step([step for step, _ in signals], compute)


@_follows("scaled_dot_product_attention")
def attention(call: Call, result: Tensor, find: Find) -> Step | None:
    """Attention: its results stand where the queries do."""
    return _attention(call.args[:3], result, find, tokens=-2)


@_follows("multi_head_attention_forward")
def attention_in_heads(call: Call, result: Tensor, find: Find) -> Step | None:
    """The same with its linear layers, tokens first."""
    return _attention(call.args[:3], result, find, tokens=0 if call.args[0].ndim == 3 else -2)


def _attention(inputs: Sequence[Any], result: Tensor, find: Find, tokens: int) -> Step | None:
    query, *others = inputs
    if not find.was_signal(query) or result.shape[:-1] != query.shape[:-1]:
        return None
    others = [other for other in others if find.was_signal(other) and other.ndim == query.ndim]
    shape = tuple(result.shape)

    def compute(given: list[Positions]) -> Positions:
        keys = [one.contracted(tokens, -1) for one in given[1:]]
        queries = given[0].contracted(-1)
        return merged([queries, *(_repeated(key, queries) for key in keys)], shape)

    return Step([find(query), *map(find, others)], compute)


def _repeated(key: Positions, query: Positions) -> Positions:
    """Keys of fewer heads than queries, each of which serves several: their axis has length 1, as nothing changes along it."""
    for axis, length in enumerate(key.shape):
        if length != query.shape[axis] and length > 1:
            key = key.contracted(axis)
    return key


@_follows("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(call: Call, result: Tensor, find: Find) -> Step | None:
    """A recurrent network: each step of its output stands at that step of its input."""
    if not find.was_signal(call.x) or call.x.ndim != 3 or result.shape[:2] != call.x.shape[:2]:
        return None
    width, axis = result.shape[-1], 1 if call.args[-1] is True else 0
    return _along(call, lambda given: given.contracted(-1).mixed_along(axis).widened(-1, width), find)


@_follows("embedding")
def embedding(call: Call, result: Tensor, find: Find) -> Step | None:
    """Rows of a table: each stands at its index."""
    ids = call.args[1] if call.args[0].is_floating_point() else call.args[0]
    shape = tuple(result.shape)
    return Step([find(ids)], lambda given: moved(given, shape, lambda codes: codes[0].unsqueeze(-1).expand(shape), True))


# --- windows: convolutions, pooling, up-sampling


def _windows(call: Call, result: Tensor, find: Find, axes: int, is_convolution: bool) -> Step | None:
    shape, ndim = tuple(result.shape), call.x.ndim
    if ndim not in (axes + 1, axes + 2):
        return None

    def change(given: Positions) -> Positions:
        if is_convolution:
            given = given.contracted(ndim - axes - 1).widened(ndim - axes - 1, shape[ndim - axes - 1])
        for axis in range(ndim - axes, ndim):
            given = given.stretched(axis, shape[axis])
        return given

    return _along(call, change, find)


def _enter_windows(name: str, is_convolution: bool, axes: int | None = None) -> None:
    def follow(call: Call, result: Tensor, find: Find) -> Step | None:
        return _windows(call, result, find, axes or call.x.ndim - 2, is_convolution)

    _follows(name)(follow)


for _name in CONVOLUTIONS:
    _enter_windows(_name, True, int(_name[-2]))
for _name in ("avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool", "fractional_max_pool", "max_unpool"):
    for _axes in (1, 2, 3):
        for _ending in ("", "_with_indices"):
            _enter_windows(f"{_name}{_axes}d{_ending}", False, _axes)
for _name in ("interpolate", "upsample", "upsample_nearest", "upsample_bilinear"):
    _enter_windows(_name, False)


@_follows("torchvision::deform_conv2d")
def deformed(call: Call, result: Tensor, find: Find) -> Step | None:
    """A convolution whose windows are shifted a little."""
    return _windows(call, result, find, 2, True)


# --- spectra


@_follows("stft")
def stft(call: Call, result: Tensor, find: Find) -> Step | None:
    """A spectrum for each of several windows, which divide the signal among them."""
    shape = tuple(result.shape)
    lengths = shape if result.is_complex() else shape[:-1]

    def spread(codes: list[Tensor]) -> Tensor:
        of_frames = codes[0].unsqueeze(-2).expand(lengths)
        return of_frames if result_is_complex else of_frames.unsqueeze(-1).expand(shape)

    result_is_complex = result.is_complex()
    return _along(call, lambda given: moved([given.stretched(-1, lengths[-1])], shape, spread, True), find)


@_follows("view_as_real")
def parts_of_complex(call: Call, result: Tensor, find: Find) -> Step | None:
    """Real and imaginary part side by side."""
    shape = tuple(result.shape)
    return _along(call, lambda given: moved([given], shape, lambda codes: codes[0].unsqueeze(-1).expand(shape), True), find)


@_follows("view_as_complex")
def complex_of_parts(call: Call, result: Tensor, find: Find) -> Step | None:
    """A complex number of two."""
    shape = tuple(result.shape)
    return _along(call, lambda given: moved([given.contracted(-1)], shape, lambda codes: codes[0].squeeze(-1), True), find)


@_follows("glu")
def gated(call: Call, result: Tensor, find: Find) -> Step | None:
    """One half times a gate of the other."""
    axis, shape = _number(call, 0, "dim", -1), tuple(result.shape)

    def half(given: Positions, place: int) -> Positions:
        return moved([given], shape, lambda codes: codes[0].chunk(2, axis)[place], True)

    return _along(call, lambda given: merged([half(given, 0), half(given, 1)], shape), find)


# --- the door


def _described(call: Call) -> str:
    return str(getattr(call.func, "__name__", call.func)).strip("_")


def _written_through(view: Tensor, of_view: Step, find: Find) -> tuple[Tensor, Step]:
    """The tensor of which a part was written to, and its step."""
    whole: Any = view._base
    was_signal, lies, shape = find.was_signal(whole), (whole.shape, whole.stride()), tuple(whole.shape)
    part = view.shape, view.stride(), view.storage_offset() - whole.storage_offset()

    def move(codes: list[Tensor]) -> Tensor:
        written = torch.empty_strided(*lies, dtype=codes[0].dtype).copy_(codes[0])
        written.as_strided(*part).copy_(codes[1])
        return written

    is_token = False
    if not was_signal:
        is_left = move([torch.ones(shape), torch.zeros(view.shape)]).bool().to(whole.device)
        is_token = not _is_one_number(whole.detach()[is_left])

    def compute(given: list[Positions]) -> Positions:
        before = given[0] if was_signal else nowhere(shape, len(given[0].spans), is_token)
        return moved([before, given[-1]], shape, move, False)

    return whole, Step([find(whole), of_view] if was_signal else [of_view], compute)


def steps_of(call: Call, result: Result, find: Find, place: Callable[[], object]) -> list[tuple[Tensor, Step]]:
    """The step of each signal that a call made; nothing if it made none.

    Args:
        call: the call, which has run.
        result: what it returned.
        find: finds the step of a signal.
        place: where in the model it stands.
    """
    found = _steps_of_results(call, result, find, place)
    written = call.written()
    if written is not None and needs_relevance(written._base) and written.dtype == written._base.dtype:
        found += [_written_through(written, step, find) for _, step in found[:1]]
    return found


def _steps_of_results(call: Call, result: Result, find: Find, place: Callable[[], object]) -> list[tuple[Tensor, Step]]:
    if call.func in _OVERWRITING:
        return [(call.x, _move(call, call.x, find, None, writes=True))] if needs_relevance(call.x) else []
    found = []
    for index, part in enumerate((result,) if isinstance(result, Tensor) else result if isinstance(result, tuple | list) else ()):
        if needs_relevance(part):
            step = _step_of(call, part, find, None if isinstance(result, Tensor) else index)
            found.append((part, step or lost(f"{_described(call)!r} in {place()}")))
    return found


def _step_of(call: Call, result: Tensor, find: Find, index: int | None) -> Step | None:
    function = call.func
    if function in MOVING:
        return _move(call, result, find, index)
    follow = FOLLOWED.get(function)
    if follow is None:
        name = str(getattr(function, "__name__", ""))
        plain = getattr(torch.Tensor, name[:-1], None) if name.endswith("_") and not name.endswith("__") else None
        follow = FOLLOWED.get(plain or function)
    return None if follow is None else follow(call, result, find)
