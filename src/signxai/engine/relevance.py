"""Gives every operation of a forward pass its LRP rule: the table that says which operation is treated how."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from signxai.common.errors import ModelError
from signxai.engine import layers
from signxai.engine.decompositions import STEPS, embedding_bag
from signxai.engine.fused.runs import (
    Flattening,
    FlatteningPassage,
    Passage,
    Plan,
    Pooling,
    PoolingPassage,
    Run,
    RunNode,
    Stage,
    Step,
    plan_of,
)
from signxai.engine.layers import ChannelMap, Layer
from signxai.engine.mode import (
    BASE_TABLE,
    CONVOLUTION_NAMES,
    ForwardPass,
    Handler,
    TensorTable,
    embedding_by_table,
    functions_named,
    split_input,
    table_of,
    writes_in_place,
)
from signxai.engine.nodes import (
    CutOffNode,
    EmbeddingNode,
    LinearNode,
    PassNode,
    Rule,
    RuleSite,
    SoftmaxNode,
    needs_relevance,
    reads_input_only,
    share_by_contribution,
    squash_rank,
    sum_by_contribution,
)
from signxai.engine.places import place_of_call
from signxai.engine.saved import Kept, KeptReLU
from signxai.engine.stabilizer import Stabilizer
from signxai.engine.token_ids import TokenIds

RuleChooser = Callable[[str, bool, bool], Rule]
"""(kind of layer: "linear" or "convolution", reads the network's input, is the last one executed) -> rule."""


class UnknownOperationWarning(UserWarning):
    """An operation mixes its inputs and no LRP rule is known for it: the map follows its gradient there."""


class ScaleNode(Function):
    """A product with a constant: relevance passes wherever the constant is not 0, and is summed over broadcast axes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, constant: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.shape, ctx.is_zero = x.shape, constant == 0
        return compute(x)

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance.masked_fill(ctx.is_zero, 0.0).sum_to_size(ctx.shape), None, None


class RelevancePass(ForwardPass):
    """A forward pass whose backward pass is layer-wise relevance propagation.

    Args:
        choose_rule: says which rule each linear layer takes.
        stabilizer: added to the denominators of sums, means and products, with their sign; 0: exact, where 0 / 0 is 0.
        strict: an operation without a known rule is an error instead of a warning.
        cut_offs_absorb: where an activation is cut off at a constant (ReLU6 above 6), the constant takes the relevance, as the
            z rule on a piecewise-linear network has it; otherwise relevance passes there too, as at any activation.
    """

    site_type: type[RuleSite] = RuleSite

    def __init__(self, choose_rule: RuleChooser, stabilizer: Stabilizer = 0.0, strict: bool = False, cut_offs_absorb: bool = False) -> None:
        super().__init__()
        self.cut_offs_absorb = cut_offs_absorb
        self.choose_rule = choose_rule
        self.stabilizer = stabilizer
        self.strict = strict
        self.layers = 0
        self._made_by_layer = TensorTable()
        self._relu_of_layer = TensorTable()
        self.token_ids = TokenIds()
        self._warned: set[str] = set()

    def plain(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = super().plain(func, args, kwargs)
        if func not in FOLLOWS_GRADIENT and _depends_on_input(result):
            self._unknown(func)
        if self.token_ids.any and not self.token_ids.follow(func, args, kwargs, result, func in FOLLOWS_GRADIENT):
            self._unknown(func)
        return result

    def softmax(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        x, rest, named = split_input(args, kwargs)
        if not needs_relevance(x):
            return super().softmax(func, args, kwargs)
        axis = rest[0] if rest else named.get("dim")
        if axis is None:
            axis = 0 if x.ndim in (0, 1, 3) else 1  # as torch.nn.functional.softmax chooses it
        result: Tensor = SoftmaxNode.apply(x, lambda t: func(t, *rest, **named), axis, self.keeper)
        return result

    def linear_layer(self, layer: Layer, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Carry out a linear layer under the rule that is chosen for it."""
        index, first = self.layers, reads_input_only(x)
        self.layers += 1
        return self._under_rule(layer, x, compute, index, first)

    def folded_layer(self, output: Tensor, channel_map: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor | None:
        """A per-channel map straight behind a linear layer: both as one layer; None if it does not stand there."""
        made = self._made_by_layer.get(output)
        if made is None:
            return None
        layer, x, index, first, version, _ = made
        if output._version != version or not layer.can_fold(output):
            return None
        values = output.detach()
        return self._under_rule(layer.folded(channel_map), x, lambda _: compute(values), index, first)

    def batch_norm(self, x: Tensor, channel_map: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Batch norm in eval is an affine map per channel: folded into the linear layer whose output it reads, else on its own."""
        folded = self.folded_layer(x, channel_map, compute)
        return folded if folded is not None else self.shared(compute, (x,))

    def shared(self, function: Callable[..., Tensor], tensors: tuple[Tensor, ...], factor: float = 1.0) -> Tensor:
        """Run ``function`` on ``tensors``, each of which is given its share of the relevance, times ``factor``."""
        return share_by_contribution(function, tensors, self.keeper, self.stabilizer, factor)

    def _under_rule(self, layer: Layer, x: Tensor, compute: Callable[[Tensor], Tensor], index: int, first: bool) -> Tensor:
        site = self.site_type(layer, partial(self._rule_of, layer.kind, first, index))
        site.x = self._kept_input(x)
        result: Tensor = LinearNode.apply(x, compute, site, self.keeper)
        self._made_by_layer.put(result, (layer, x, index, first, result._version, site.z))
        return result

    def plan_of(self, sequential: nn.Sequential) -> Plan | None:
        return plan_of(sequential, sequential is self.net)

    def carry_out(self, run: Run, x: Tensor) -> Tensor:
        passages: list[Any] = []
        first = reads_input_only(x)
        for step in run.steps:
            passages.append(self._passage(step, first))
            first = False
        kept = self._kept_input(x) or self.keeper.keep(x)
        result: Tensor = RunNode.apply(x, kept, run.steps, passages)
        if run.ends_in_relu:
            self._relu_of_layer.put(result, (passages[-1].z, result._version))
        return result

    def _passage(self, step: Step, first: bool) -> Passage:
        if isinstance(step, Pooling):
            return PoolingPassage(self.stabilizer)
        if isinstance(step, Flattening):
            return FlatteningPassage()
        assert isinstance(step, Stage)  # plans with max pools are not asked for
        self.layers += 1
        return RuleSite(step.folded_layer(), partial(self._rule_of, step.layer.kind, first, self.layers - 1))

    def _kept_input(self, x: Tensor) -> Kept | None:
        """The input of a layer as the ReLU of another layer's kept output, if it still is that."""
        relu = self._relu_of_layer.get(x)
        return KeptReLU(relu[0]) if relu is not None and relu[1] == x._version else None

    def output_of_layer(self, tensor: Tensor) -> Kept | None:
        """What is kept of a tensor that is the unchanged output of a linear layer."""
        made = self._made_by_layer.get(tensor)
        return made[5] if made is not None and made[4] == tensor._version else None

    def note_relu(self, result: Tensor, of: Kept) -> None:
        """Remember that a tensor is the ReLU of a layer's output; if written in place, that output is no more."""
        self._made_by_layer.drop(result)
        self._relu_of_layer.put(result, (of, result._version))

    def _rule_of(self, kind: str, first: bool, index: int) -> Rule:
        return self.choose_rule(kind, first, index == self.layers - 1)

    def _unknown(self, func: Any) -> None:
        self.unknown_operation(getattr(func, "__name__", repr(func)), str(place_of_call()))

    def unknown_operation(self, name: str, place: str) -> None:
        """Say that relevance follows the gradient at an operation; once for each name and place.

        Raises:
            ModelError: with ``strict``.
        """
        message = f"no LRP rule is known for the operation {name!r}{place and f' in {place}'}: relevance follows its gradient there"
        if self.strict:
            raise ModelError(f"{message}; leave out strict=True to accept that")
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, UnknownOperationWarning, stacklevel=2)

    def logits_of(self, output: Tensor) -> Tensor:
        logits = super().logits_of(output)
        for function in _foreign_functions_behind(logits):
            self.unknown_operation(function.__qualname__, f"{function.__module__}, a torch.autograd.Function")
        return logits


def _foreign_functions_behind(output: Tensor) -> set[type]:
    """Autograd functions of other people's making, whose calls no mode sees, that relevance passes on its way from ``output``."""
    found, seen, pending = set(), set(), [output.grad_fn]
    while pending:
        node: Any = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        function = getattr(node, "_forward_cls", None)
        if function is not None and is_foreign(function):
            found.add(function)
        pending.extend(parent for parent, _ in node.next_functions)
    return found


def is_foreign(function: Any) -> bool:
    """Whether an autograd function is neither torch's nor ours."""
    return function is not None and function.__module__.partition(".")[0] not in ("torch", "signxai", "zennit")


def _depends_on_input(result: Any) -> bool:
    if isinstance(result, Tensor):
        return result.requires_grad
    return isinstance(result, tuple | list) and any(_depends_on_input(item) for item in result)


def _layer(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, rest, named = split_input(args, kwargs)
    weight = rest[0] if rest else named["weight"]
    if needs_relevance(weight):
        return _dynamic_layer(watch, func, (x, *rest), named)
    if not needs_relevance(x):
        return watch.plain(func, args, kwargs)
    if weight.ndim == 1:
        return _matmul(watch, torch.matmul, (x, weight), {})
    layer: Layer = layers.LAYER_OF_FUNCTION[func](x, *rest, **named)
    if layer.is_batch_invariant(x):
        return watch.linear_layer(layer, x, lambda t: layer.output(t, layer.own_weight, layer.own_bias))
    return watch.linear_layer(layer, x, lambda t: func(t, *rest, **named))


def _dynamic_layer(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A layer whose weight the network computes: a product of two signals, half of the relevance to each."""
    if needs_relevance(kwargs.get("weight")):
        args, kwargs = (args[0], kwargs["weight"]), {key: value for key, value in kwargs.items() if key != "weight"}
    signals = tuple(value for value in args[:2] if needs_relevance(value))
    if any(map(needs_relevance, (*args[2:], *kwargs.values()))):
        return watch.plain(func, args, kwargs)
    return watch.shared(_replacing(func, args, kwargs), signals, factor=1 / len(signals))


def _replacing(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
    """A call as a function of those of its positional arguments that relevance passes."""
    places = [place for place, value in enumerate(args) if needs_relevance(value)]

    def compute(*tensors: Tensor) -> Any:
        values = list(args)
        for place, tensor in zip(places, tensors, strict=True):
            values[place] = tensor
        return func(*values, **kwargs)

    return compute


def _on_input(func: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> Callable[[Tensor], Any]:
    """A call as a function of its input alone."""
    return (lambda t: func(t, *rest, **named)) if rest or named else func


def _activation(rank: int, watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, rest, named = split_input(args, kwargs)
    if not needs_relevance(x) or any(map(needs_relevance, rest)):
        return watch.plain(func, args, kwargs)
    if writes_in_place(func, args, kwargs):
        watch.keeper.before_write(x)
    node = CutOffNode if watch.cut_offs_absorb and func in _CUT_OFFS else PassNode
    kept = watch.output_of_layer(x) if func in _RELUS else None
    result = node.apply(x, _on_input(func, rest, named), rank)
    if kept is not None:
        watch.note_relu(result, kept)
    return result


def _log(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = _activation(0, watch, func, args, kwargs)
    watch.note_logits(result, watch._before_softmax.get(split_input(args, kwargs)[0]))
    return result


def _shared(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Sums, means and the like: each tensor by its share of the result."""
    args, kwargs = _named_input_first(args, kwargs)
    signals = tuple(value for value in args if needs_relevance(value))
    if not signals or any(map(needs_relevance, kwargs.values())):
        return watch.plain(func, args, kwargs)
    return watch.shared(_replacing(func, args, kwargs), signals)


def _sum(sign: int, watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A sum or difference: of two signals of one shape by a node of its own, which spares passes over memory."""
    if len(args) == 2 and not kwargs and needs_relevance(args[0]) and needs_relevance(args[1]) and args[0].shape == args[1].shape:
        return sum_by_contribution(func, *args, sign, func in _WRITING_SUMS, watch.keeper, watch.stabilizer)
    if func in _WRITING_SUMS:
        return _in_place(_shared, "add" if sign > 0 else "sub", watch, func, args, kwargs)
    return _shared(watch, func, args, kwargs)


def _named_input_first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    first, rest, named = split_input(args, kwargs)
    if "other" in named:
        return (first, named["other"], *rest), {key: value for key, value in named.items() if key != "other"}
    return (first, *rest), named


def _product(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A product: by a constant or by a gate everything passes to the factor; of two signals, half to each."""
    (a, b, *rest), named = _named_input_first(args, kwargs)
    if rest or named or not (needs_relevance(a) or needs_relevance(b)):
        return watch.plain(func, args, kwargs)
    if needs_relevance(a) and needs_relevance(b):
        rank_a, rank_b = squash_rank(a), squash_rank(b)
        if rank_a == rank_b:
            return watch.shared(func, (a, b), factor=0.5)
        a, b = (a.detach(), b) if rank_a > rank_b else (a, b.detach())
    if needs_relevance(a):
        return _scaled(a, b, lambda t: func(t, b))
    return _scaled(b, a, lambda t: func(a, t))


def _quotient(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A quotient: everything passes to the numerator; the denominator is a scale."""
    (a, b, *rest), named = _named_input_first(args, kwargs)
    if not (needs_relevance(a) or needs_relevance(b)) or rest or named.get("rounding_mode"):
        return watch.plain(func, args, kwargs)
    if not needs_relevance(a):
        return _activation(0, watch, lambda t: func(a, t), (b,), {})
    constant = b.detach() if isinstance(b, Tensor) else b
    return _scaled(a, torch.ones(()).to(a.device), lambda t: func(t, constant))


def _scaled(x: Tensor, constant: Any, compute: Callable[[Tensor], Tensor]) -> Tensor:
    scale = constant.detach() if isinstance(constant, Tensor) else torch.tensor(constant, device=x.device)
    result: Tensor = ScaleNode.apply(x, scale, compute)
    return result


def _in_place(handler: Any, name: str, watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``a += b`` and its like: the rule of the operation that writes nothing, then its result into ``a``."""
    target = args[0]
    if not any(map(needs_relevance, args)):
        return watch.plain(func, args, kwargs)
    result = handler(watch, getattr(torch, name), args, kwargs)
    watch.keeper.before_write(target)
    return target.copy_(result)


def _matmul(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A matrix product: with constant weights a linear layer, of two signals half of the relevance to each."""
    (a, b, *rest), named = _named_input_first(args, kwargs)
    if rest or named or not (needs_relevance(a) or needs_relevance(b)):
        return watch.plain(func, args, kwargs)
    if needs_relevance(a) and needs_relevance(b):
        return watch.shared(func, (a, b), factor=0.5)
    if needs_relevance(a):
        return _constant_product(watch, a, b)
    if a.ndim == 1:
        return _constant_product(watch, b.transpose(-1, -2) if b.ndim > 1 else b, a)
    columns = b.unsqueeze(-1) if b.ndim == 1 else b
    product = _constant_product(watch, columns.transpose(-1, -2), a.transpose(-1, -2)).transpose(-1, -2)
    return product.squeeze(-1) if b.ndim == 1 else product


def _constant_product(watch: RelevancePass, x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight`` as the linear layer that it is."""
    if x.ndim == 1:
        return _constant_product(watch, x.unsqueeze(0), weight).squeeze(-2 if weight.ndim > 1 else 0)
    if weight.ndim == 1:
        return _constant_product(watch, x, weight.unsqueeze(-1)).squeeze(-1)
    if weight.ndim == 2:
        return watch.linear_layer(layers.linear(x, weight.t()), x, lambda t: torch.matmul(t, weight))
    return watch.linear_layer(layers.MatmulLayer(weight, None), x, lambda t: torch.matmul(t, weight))


def _right_matmul(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _matmul(watch, torch.matmul, (args[1], args[0]), kwargs)


def _addmm(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``bias + x @ weight``: a linear layer if x alone depends on the input."""
    if len(args) == 3 and not kwargs and needs_relevance(args[1]) and not needs_relevance(args[0]) and not needs_relevance(args[2]):
        bias, x, weight = args
        if bias.ndim == 1:
            return watch.linear_layer(layers.linear(x, weight.t(), bias), x, lambda t: func(bias, t, weight))
    return STEPS[func](watch, func, args, kwargs)


def _bilinear(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``x1 A x2 + b``: half of the relevance to each of two signals."""
    if kwargs or len(args) < 3 or any(map(needs_relevance, args[2:])):
        return watch.plain(func, args, kwargs)
    signals = tuple(value for value in args[:2] if needs_relevance(value))
    if not signals:
        return watch.plain(func, args, kwargs)
    return watch.shared(_replacing(func, args, kwargs), signals, factor=1 / len(signals))


def _embedding(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Rows of a table: of constant indices a constant, of the input's own each index gets what its row gets."""
    indices, rest, named = split_input(args, kwargs)
    origin = indices if needs_relevance(indices) else watch.token_ids.origin_of(indices)
    if origin is None:
        return watch.plain(func, args, kwargs)
    if indices.is_floating_point():
        indices = watch.token_ids.as_whole_numbers(indices)
    return EmbeddingNode.apply(origin, lambda: func(indices, *rest, **named))


def _embedding_bag(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Bags of equal size: the rows, then their sum, mean or maximum."""
    with watch:
        return embedding_bag(*args, **kwargs)


def _to_whole_numbers(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A conversion may be to integers, where autograd ends: an embedding behind it finds its way back by a note."""
    x = split_input(args, kwargs)[0]
    result = BASE_TABLE[func](watch, func, args, kwargs) if func in BASE_TABLE else watch.plain(func, args, kwargs)
    if needs_relevance(x) and isinstance(result, Tensor) and not result.requires_grad:
        watch.token_ids.note(result, x)
    return result


def _normalized(linear_map: Callable[..., Callable[[Tensor], Tensor]]) -> Handler:
    """A norm whose standard deviation counts as a constant; what remains is linear and shared (AttnLRP, section 3.3.3)."""

    def handler(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x, rest, named = split_input(args, kwargs)
        if not needs_relevance(x):
            return watch.plain(func, args, kwargs)
        return watch.shared(linear_map(x.detach(), *rest, **named), (x,))

    return handler


def _layer_norm(x: Tensor, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Callable[[Tensor], Tensor]:
    axes = tuple(range(x.ndim - len(tuple(shape)), x.ndim))
    scale = (x.var(axes, correction=0, keepdim=True) + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = 0.0 if bias is None else bias
    return lambda t: (t - t.mean(axes, keepdim=True)) * scale + shift


def _rms_norm(x: Tensor, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Callable[[Tensor], Tensor]:
    axes = tuple(range(x.ndim - len(tuple(shape)), x.ndim))
    scale = (x.square().mean(axes, keepdim=True) + (torch.finfo(x.dtype).eps if eps is None else eps)).rsqrt()
    scale = scale if weight is None else scale * weight
    return lambda t: t * scale


def _group_norm(x: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Callable[[Tensor], Tensor]:
    def by_channel(parameter: Any) -> Any:
        return parameter.view(1, -1, *(1,) * (x.ndim - 2))

    grouped = x.reshape(len(x), groups, -1)
    scale = (grouped.var(2, correction=0, keepdim=True) + eps).rsqrt()

    def linear(t: Tensor) -> Tensor:
        centred = t.reshape(len(t), groups, -1)
        result = ((centred - centred.mean(2, keepdim=True)) * scale).reshape(t.shape)
        result = result if weight is None else result * by_channel(weight)
        return result if bias is None else result + by_channel(bias)

    return linear


def _instance_norm(watch: RelevancePass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``F.instance_norm``: a group norm with one channel a group, or with running statistics a batch norm."""
    return _instance_norm_of(watch, *args, **kwargs)


def _instance_norm_of(
    watch: RelevancePass,
    input: Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if not use_input_stats:
        return BASE_TABLE[F.batch_norm](watch, F.batch_norm, (input, running_mean, running_var, weight, bias, False, momentum, eps), {})
    if not needs_relevance(input):
        return F.instance_norm(input, None, None, weight, bias, True, momentum, eps)
    return watch.shared(_group_norm(input.detach(), input.shape[1], weight, bias, eps), (input,))


_PASS = (
    *("relu", "relu_", "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "selu_", "celu", "celu_", "gelu", "silu", "mish"),
    *("hardswish", "softplus", "softsign", "hardshrink", "softshrink", "tanhshrink", "threshold", "threshold_", "prelu", "rrelu"),
    *("rrelu_", "logsigmoid", "neg", "negative", "abs", "absolute", "exp", "expm1", "log1p", "log2", "log10", "sqrt", "rsqrt"),
    *("square", "pow", "reciprocal", "sin", "cos", "tan", "atan", "erf", "sinh", "cosh", "arctan", "exp_", "abs_", "neg_", "sqrt_"),
    *("square_", "pow_", "__rpow__", "__pow__", "float_power", "normalize"),
)
_SQUASH = ("sigmoid", "sigmoid_", "hardsigmoid", "hardsigmoid_", "expit")
_CUT_OFF_NAMES = (
    *("hardtanh", "hardtanh_", "relu6", "relu6_", "clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_", "clamp_max", "clamp_max_"),
)
_RELUS = functions_named("relu", "relu_")
_CUT_OFFS = functions_named(*_CUT_OFF_NAMES)
_WEAK_SQUASH = ("tanh", "tanh_", *_CUT_OFF_NAMES)
_SHARED = (
    *("mean", "sum", "nanmean", "nansum", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d"),
    *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "interpolate", "upsample", "cumsum", "fold", "rsub", "__rsub__"),
)
_SUMS = ("add", "add_", "__add__", "__radd__", "__iadd__")
_DIFFERENCES = ("sub", "sub_", "subtract", "subtract_", "__sub__", "__isub__")
_WRITING_SUMS = functions_named("add_", "__iadd__", "sub_", "subtract_", "__isub__")
_PRODUCTS = ("mul", "multiply", "__mul__", "__rmul__")
_QUOTIENTS = ("div", "divide", "true_divide", "__truediv__", "__rtruediv__", "__rdiv__")
_MOVES = (
    *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "squeeze_", "unsqueeze", "unsqueeze_", "ravel"),
    *("permute", "transpose", "transpose_", "t", "t_", "swapaxes", "swapdims", "movedim", "moveaxis", "expand", "expand_as"),
    *("broadcast_to", "broadcast_tensors", "repeat", "repeat_interleave", "tile", "contiguous", "clone", "to", "float", "double"),
    *("half", "bfloat16", "type", "type_as", "cpu", "cuda", "narrow", "select", "index_select", "gather", "take", "take_along_dim"),
    *("masked_select", "masked_fill", "masked_fill_", "where", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "cat"),
    *("concat", "concatenate", "stack", "hstack", "vstack", "dstack", "pad", "flip", "fliplr", "flipud", "roll", "rot90", "unfold"),
    *("max", "min", "amax", "amin", "maximum", "minimum", "fmax", "fmin", "topk", "sort", "max_pool1d", "max_pool2d", "max_pool3d"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "fractional_max_pool2d", "fractional_max_pool3d"),
    *("max_unpool1d", "max_unpool2d", "max_unpool3d", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"),
    *("__getitem__", "__setitem__", "dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"),
    *("feature_alpha_dropout", "feature_dropout", "copy_", "as_strided", "diagonal", "tril", "triu", "atleast_1d", "atleast_2d"),
    *("atleast_3d", "scatter", "index_put", "index_copy", "select_scatter", "slice_scatter", "kthvalue", "median", "alias", "view_as_real"),
    *("_pack_padded_sequence", "_pad_packed_sequence"),
    *("hsplit", "vsplit", "dsplit", "requires_grad_", "retain_grad", "data", "register_hook", "max_pool1d_with_indices"),
    *("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices"),
    *("adaptive_max_pool3d_with_indices", "__iter__", "unsafe_chunk", "unsafe_split", "cat_", "swapaxes_", "detach", "item", "numpy"),
)
FOLLOWS_GRADIENT: set[Any] = functions_named(*_MOVES) | {F.max_pool1d, F.max_pool2d, F.max_pool3d}
_GETTERS = ("T", "mT", "H", "mH", "real", "data", "grad")
FOLLOWS_GRADIENT |= {getattr(torch.Tensor, name).__get__ for name in _GETTERS}
"""Operations that only move or select values: for relevance as for the gradient."""

RelevancePass.handlers = {
    **BASE_TABLE,
    **STEPS,
    **table_of(
        (_PASS, partial(_activation, 0)),
        (_WEAK_SQUASH, partial(_activation, 1)),
        (_SQUASH, partial(_activation, 2)),
        (("log",), _log),
        (_SHARED, _shared),
        (_SUMS, partial(_sum, +1)),
        (_DIFFERENCES, partial(_sum, -1)),
        (_PRODUCTS, _product),
        (_QUOTIENTS, _quotient),
        (("matmul", "mm", "bmm", "mv", "dot", "__matmul__"), _matmul),
        (("__rmatmul__",), _right_matmul),
        (("addmm",), _addmm),
        (("linear", *CONVOLUTION_NAMES), _layer),
    ),
    torch.linalg.matmul: _matmul,
    F.embedding: _embedding,
    F.embedding_bag: _embedding_bag,
    torch.embedding: embedding_by_table(_embedding),
    **dict.fromkeys(functions_named("long", "int", "short", "to", "type", "type_as"), _to_whole_numbers),
    **dict.fromkeys(functions_named("bilinear"), _bilinear),
    **dict.fromkeys(functions_named("layer_norm"), _normalized(_layer_norm)),
    **dict.fromkeys(functions_named("group_norm"), _normalized(_group_norm)),
    **dict.fromkeys(functions_named("rms_norm"), _normalized(_rms_norm)),
    F.instance_norm: _instance_norm,
    **{
        function: partial(_in_place, handler, name)
        for name, handler in (("mul", _product), ("div", _quotient))
        for function in functions_named(f"{name}_", {"div": "__itruediv__"}.get(name, f"__i{name}__"))
    },
}
