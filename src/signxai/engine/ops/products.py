"""Products and quotients: everything to the signal beside a constant, a gate or a divisor; half to each of two signals."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.contributions import EACH_ITS_SHARE
from signxai.engine.divided_later import exponential_of
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.ops.activations import as_function_of, one_over, passed
from signxai.engine.ops.attention_weights import place_of_weights
from signxai.engine.ops.softmax import softmax_of
from signxai.engine.ops.sums import in_place
from signxai.engine.registry import rule_for
from signxai.engine.relevance import DIVISOR, RelevancePass
from signxai.engine.saved import SavedTensor
from signxai.engine.stabilizer import Stabilizer, stabilized_share
from signxai.engine.torch_functions import Operation

FACTORS = ("input", "other")

HALF_TO_EACH = "half to each factor, by share"
EQUALLY = "an equal share to each factor"
ALL_TO_THE_VALUES = "all to the values, by share (CP-LRP)"


class ScaleNode(RelevanceNode):
    """A product with a constant: relevance passes wherever the constant is not 0, and is summed over broadcast axes."""

    words = "all to the signal"

    @staticmethod
    def forward(ctx: Node, x: Tensor, constant: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.shape, ctx.is_zero = x.shape, constant == 0
        return compute(x)

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance.masked_fill(ctx.is_zero, 0.0).sum_to_size(ctx.shape), None, None


class ProductSite:
    """One product of two signals as it was executed: what its rule needs, secured from writes in place."""

    __slots__ = ("a", "b", "factors", "result", "stabilizer", "weights")

    def __init__(self, stabilizer: Stabilizer, factors: tuple[int, int] = (1, 1)) -> None:
        self.stabilizer, self.factors = stabilizer, factors
        self.a: SavedTensor
        self.b: SavedTensor
        self.result: SavedTensor
        self.weights: int  # the place of a factor that is a constant


class ProductNode(RelevanceNode):
    """``a * b``, place by place: the same relevance to each of all factors, half of it if they are two (AttnLRP, proposition 3.3)."""

    shares = True

    @staticmethod
    def forward(ctx: Node, a: Tensor, b: Tensor, compute: Callable[[Tensor, Tensor], Tensor], site: ProductSite) -> Tensor:
        ctx.site, ctx.shapes = site, (a.shape, b.shape)
        return compute(a, b)

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        site: ProductSite = ctx.site
        result = site.result.take()
        passed_on = stabilized_share(relevance, result, site.stabilizer) * result
        parts = (passed_on * (count / sum(site.factors)) for count in site.factors)
        return *(part.sum_to_size(shape) for part, shape in zip(parts, ctx.shapes, strict=True)), None, None

    @staticmethod
    def words_of(ctx: Node) -> str:
        return HALF_TO_EACH if sum(ctx.site.factors) == 2 else EQUALLY

    @staticmethod
    def denominator(ctx: Node) -> tuple[Tensor, Stabilizer]:
        return ctx.site.result.take(), ctx.site.stabilizer


class MatrixProductNode(ProductNode):
    """``a @ b``: half of the relevance to each factor, there by share (AttnLRP, proposition 3.3)."""

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        site: ProductSite = ctx.site
        a, b = site.a.take(), site.b.take()
        share = stabilized_share(relevance, site.result.take(), site.stabilizer).mul_(0.5)
        to_a = share.matmul(b.transpose(-1, -2)).sum_to_size(a.shape)
        to_b = a.transpose(-1, -2).matmul(share).sum_to_size(b.shape)
        return to_a.mul_(a), to_b.mul_(b), None, None


class WeighedNode(RelevanceNode):
    """``weights @ values`` or ``values @ weights`` with weights that are constants (CP-LRP): all to the values, there by share."""

    words = ALL_TO_THE_VALUES
    shares = True

    @staticmethod
    def forward(ctx: Node, values: Tensor, weights: Tensor, compute: Callable[[Tensor, Tensor], Tensor], site: ProductSite) -> Tensor:
        ctx.site = site
        return compute(weights, values) if site.weights == 0 else compute(values, weights)

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        site: ProductSite = ctx.site
        a, b = site.a.take(), site.b.take()
        share = stabilized_share(relevance, site.result.take(), site.stabilizer)
        if site.weights == 0:
            return a.transpose(-1, -2).matmul(share).sum_to_size(b.shape).mul_(b), None, None, None
        return share.matmul(b.transpose(-1, -2)).sum_to_size(a.shape).mul_(a), None, None, None

    @staticmethod
    def denominator(ctx: Node) -> tuple[Tensor, Stabilizer]:
        return ctx.site.result.take(), ctx.site.stabilizer


def matrix_product(mode: RelevancePass, call: Call) -> Tensor:
    """A matrix product of two signals of at least two axes: half to each, or all to values that attention weights weigh."""
    place = place_of_weights(mode, call.args, (-1, -2)) if mode.looks_for_weights else None
    if place is None:
        return product_of_signals(mode, call, MatrixProductNode)
    a, b = call.args
    weights, values = (a, b) if place == 0 else (b, a)
    if mode.weights_are_constant:
        site = ProductSite(mode.stabilizer)
        site.weights, site.a, site.b = place, mode.saver.save(a), mode.saver.save(b)
        result: Tensor = WeighedNode.apply(values, weights.detach(), call.func, site)
        site.result = mode.saver.save(result)
    else:
        result = product_of_signals(mode, call, MatrixProductNode)
    mode.values_weighed(result, values, weights)
    return result


def bilinear_product(mode: RelevancePass, call: Call, summed: tuple[int, int] | None = None) -> Tensor:
    """A function that is linear in each of its first two arguments, both signals: half to each, or all to the values."""
    place = place_of_weights(mode, call.args[:2], summed) if mode.weights_are_constant else None
    if place is None:
        return mode.shared(call.on_signals(), call.signals(), 0.5, HALF_TO_EACH)
    args = [arg.detach() if i == place else arg for i, arg in enumerate(call.args)]
    of_values = Call(call.func, tuple(args), call.kwargs)
    return mode.shared(of_values.on_signals(), of_values.signals(), words=ALL_TO_THE_VALUES)


def product_of_signals(mode: RelevancePass, call: Call, node: type[ProductNode]) -> Tensor:
    """A product of two signals under ``node``."""
    a, b = call.args
    if node is MatrixProductNode:
        site = ProductSite(mode.stabilizer)
        site.a, site.b = mode.saver.save(a), mode.saver.save(b)
    else:
        site = ProductSite(mode.stabilizer, (mode.by_hand.factors(a), mode.by_hand.factors(b)))
    result: Tensor = node.apply(a, b, call.func, site)
    site.result = mode.saver.save(result)
    if node is ProductNode:
        mode.by_hand.note_factors(result, sum(site.factors))
    return result


@rule_for("mul", "multiply", "__mul__", "__rmul__", arguments=FACTORS)
def product(mode: RelevancePass, call: Call) -> Result:
    """By a constant or by a gate everything passes to the factor; of two signals, half to each."""
    if len(call.args) != 2 or call.kwargs or not call.signals():
        return mode.plain(call)
    a, b = call.args
    if is_complex(a) or is_complex(b):
        return complex_product(mode, call)
    if needs_relevance(a) and needs_relevance(b):
        for exponential, inverse in ((a, b), (b, a)):
            if (mixed := _mixed_by_softmax(mode, call, exponential, inverse, is_inverse=True)) is not None:
                return mixed
        rank_a, rank_b = mode.gate_rank(a), mode.gate_rank(b)
        if (root := mode.by_hand.bent_root(a, b)) is not None:
            return joined(mode, root, call, min(rank_a, rank_b))
        place = _place_of_weights(mode, a, b, rank_a, rank_b) if mode.weights_are_constant else None
        if rank_a == rank_b and place is None:
            product = product_of_signals(mode, call, ProductNode)
            mode.note_gate(product, rank_a)  # of two gates one, of two divisors a divisor
            return product
        signal, gate = (b, a) if (rank_a > rank_b if place is None else place == 0) else (a, b)
        values = gate.detach()
        result = _scaled(mode, signal, values, lambda t: call.func(*((t, values) if signal is a else (values, t))))
        mode.by_hand.note_weighted(result, signal, gate)
        return result
    signal, constant = (a, b) if needs_relevance(a) else (b, a)
    if (mask := mode.masks.of(constant)) is not None and mask.root is signal:
        return as_function_of(signal, lambda: call.func(*(part.detach() if isinstance(part, Tensor) else part for part in (a, b))))
    if (folded := _behind_layer(mode, call)) is not None:
        signal, constant = (a, b) if needs_relevance(a) else (b, a)
        return _noted_scaled(mode, folded, signal, constant, torch.mul)
    if needs_relevance(a):
        return _noted_scaled(mode, _scaled(mode, a, b, lambda t: call.func(t, b)), a, b, torch.mul)
    return _noted_scaled(mode, _scaled(mode, b, a, lambda t: call.func(a, t)), b, a, torch.mul)


def _place_of_weights(mode: RelevancePass, a: Tensor, b: Tensor, rank_a: int, rank_b: int) -> int | None:
    """Which of two factors is attention weights, place by place; divisors are no factors, and of two gates one is as good."""
    return None if DIVISOR in (rank_a, rank_b) else place_of_weights(mode, (a, b), None)


def _behind_layer(mode: RelevancePass, call: Call) -> Tensor | None:
    """The product of a layer's output and a constant, if both are one layer."""
    a, b = call.args
    if needs_relevance(a):
        return mode.with_constants(a, b, lambda: (b, 0.0), lambda t: call.func(t, b))
    return mode.with_constants(b, a, lambda: (a, 0.0), lambda t: call.func(a, t))


@rule_for("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout")
def dropout(mode: RelevancePass, call: Call) -> Result:
    """Nothing in evaluation mode; where it is left on, a product with what is drawn."""
    given = dict(zip(("p", "training", "inplace"), call.rest, strict=False)) | call.named
    is_on = given.get("training", given.get("train", True)) and given.get("p", 0.5) > 0
    if not is_on or given.get("inplace") or not needs_relevance(call.x):
        return mode.plain(call)
    mask = call.run(torch.ones_like(call.x, requires_grad=False))
    with mode:
        return call.x * mask


@rule_for("__rtruediv__", "__rdiv__")
def reflected_quotient(mode: RelevancePass, call: Call) -> Result:
    """``b / a``, as Python calls it."""
    if len(call.args) != 2 or not call.signals():
        return mode.plain(call)
    return quotient(mode, Call(torch.div, call.args[::-1], {}))


@rule_for("div", "divide", "true_divide", "__truediv__", arguments=FACTORS)
def quotient(mode: RelevancePass, call: Call) -> Result:
    """Everything passes to the numerator; the denominator is a scale."""
    if len(call.args) != 2 or call.named.get("rounding_mode") or not call.signals():
        return mode.plain(call)
    a, b = call.args
    if is_complex(a) or is_complex(b):
        return complex_product(mode, call) if not needs_relevance(b) else mode.plain(call)
    if not needs_relevance(a):
        if is_one(a):
            return one_over(mode, b, lambda t: call.func(a, t))
        return passed(mode, Call(lambda t: call.func(a, t), (b,), {}), gate_rank=DIVISOR)
    if needs_relevance(b):
        if (softmax := _softmax_by_hand(mode, call, a, b)) is not None:
            return softmax
        if (mixed := _mixed_by_softmax(mode, call, a, b, is_inverse=False)) is not None:
            return mixed
        if (root := mode.by_hand.bent_root(a, b)) is not None:
            of_a, of_b = mode.by_hand.of(a), mode.by_hand.of(b)
            is_sigmoid = (of_a.form, of_b.form) == ("exp", "1 + exp") and of_a.exponent is of_b.exponent
            return joined(mode, root, call, gate_rank=2 if is_sigmoid else 0)
        divisor = b.detach()
        return _scaled(mode, a, torch.ones((), device=a.device), lambda t: call.func(t, divisor))
    folded = mode.with_constants(a, b, lambda: (torch.as_tensor(b, device=a.device).to(a).reciprocal(), 0.0), lambda t: call.func(t, b))
    if folded is not None:
        return _noted_scaled(mode, folded, a, b, torch.div)
    return _noted_scaled(mode, _scaled(mode, a, 1.0, lambda t: call.func(t, b)), a, b, torch.div)


@rule_for("neg", "negative", "__neg__")
def negative(mode: RelevancePass, call: Call) -> Result:
    """Everything passes."""
    if needs_relevance(call.x):
        folded = mode.with_constants(call.x, None, lambda: (-1.0, 0.0), torch.neg)
        result = passed(mode, call, gate_rank=mode.gate_rank(call.x), is_bent=False) if folded is None else folded
        return mode.by_hand.note_scaled(result, call.x, lambda: -1.0)
    return passed(mode, call, gate_rank=mode.gate_rank(call.x), is_bent=False)


@rule_for("neg_", "negative_")
def negative_in_place(mode: RelevancePass, call: Call) -> Result:
    """``a.neg_()``."""
    return in_place(negative, "neg", mode, call)


@rule_for("mul_", "__imul__", arguments=FACTORS)
def product_in_place(mode: RelevancePass, call: Call) -> Result:
    """``a *= b``."""
    return in_place(product, "mul", mode, call)


@rule_for("div_", "__itruediv__", arguments=FACTORS)
def quotient_in_place(mode: RelevancePass, call: Call) -> Result:
    """``a /= b``."""
    return in_place(quotient, "div", mode, call)


def _scaled(mode: RelevancePass, x: Tensor, constant: object, compute: Callable[[Tensor], Tensor]) -> Tensor:
    scale = constant.detach() if isinstance(constant, Tensor) else torch.tensor(constant, device=x.device)
    result: Tensor = ScaleNode.apply(x, scale, compute)
    mode.by_hand.keep_factors(x, result)
    return mode.still_gate(result, x)


def _noted_scaled(mode: RelevancePass, result: Tensor, x: Tensor, constant: object, function: Operation) -> Tensor:
    """Remember that a result is a multiple of a signal, if the constant is a number; else that it is weighed or masked."""
    if not isinstance(constant, Tensor) or (constant.numel() == 1 and not mode.is_of_samples(constant)):
        return mode.by_hand.note_scaled(result, x, lambda: float(function(torch.ones((), dtype=torch.float64, device="cpu"), constant)))
    is_mask = mode.by_hand.note_masked(result, x, constant) or constant.dtype == torch.bool
    if constant.ndim < result.ndim and not is_mask:
        mode.by_hand.note_weighted(result, x, constant)
    return result


def is_complex(value: object) -> bool:
    """Whether a factor is complex."""
    return isinstance(value, complex) or (isinstance(value, Tensor) and value.is_complex())


def complex_product(mode: RelevancePass, call: Call) -> Result:
    """A product that mixes real and imaginary parts: each by its share, of two signals half to each."""
    signals = call.signals()
    return mode.shared(call.on_signals(), signals, 1 / len(signals), EACH_ITS_SHARE if len(signals) == 1 else HALF_TO_EACH)


def _softmax_by_hand(mode: RelevancePass, call: Call, exponential: Tensor, divisor: Tensor) -> Tensor | None:
    """``exp(x) / sum(exp(x))`` as the softmax that it is; None if it is none."""
    found = mode.by_hand.softmax_by_hand(exponential, divisor)
    if found is None:
        return None
    x, axes, mask = found
    if mask is not None:
        with mode:
            x = x.masked_fill(mask == 0, -math.inf)
    return softmax_of(mode, x, axes, lambda: call.func(*(part.detach() for part in call.args)))


def _mixed_by_softmax(mode: RelevancePass, call: Call, numerator: Tensor, divisor: Tensor, is_inverse: bool) -> Tensor | None:
    """``(exp(x) @ v) / sum(exp(x))`` as what is made of a softmax that it is; None if it is none."""
    if not mode.by_hand.has_exponentials or (found := mode.divided_later.quotient(numerator, divisor, is_inverse)) is None:
        return None
    with mode:
        e = exponential_of(*found.exponential)
        mixed = found.compute(torch.div(e, torch.sum(e, found.axes, keepdim=True)))
        mixed = mixed if found.number == 1 else mixed / found.number
    if found.total is None:
        return mixed
    ratio = found.total * divisor.detach() if is_inverse else found.total / divisor.detach()
    return _scaled(mode, mixed, ratio, lambda t: t * ratio)


def joined(mode: RelevancePass, root: Tensor, call: Call, gate_rank: int = 0) -> Tensor:
    """What two functions of one value of a root make together is one more."""
    result = as_function_of(root, lambda: call.func(*(part.detach() for part in call.args)))
    mode.by_hand.note_bent(result, mode.by_hand.of(root))
    mode.note_gate(result, gate_rank)
    return result


def is_one(value: object) -> bool:
    """Whether a constant is the number 1."""
    return bool((value == 1).all()) if isinstance(value, Tensor) else value == 1
