"""Products and quotients: everything to the signal beside a constant, a gate or a divisor; half to each of two signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.contributions import EACH_ITS_SHARE
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.one_value import Kind
from signxai.engine.ops.activations import as_function_of, passed
from signxai.engine.ops.softmax import softmax_of
from signxai.engine.ops.sums import in_place
from signxai.engine.registry import rule_for
from signxai.engine.relevance import DIVISOR, RelevancePass
from signxai.engine.saved import SavedTensor
from signxai.engine.stabilizer import Stabilizer, stabilized_share

FACTORS = ("input", "other")

HALF_TO_EACH = "half to each factor, by share"


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

    __slots__ = ("a", "b", "result", "stabilizer")

    def __init__(self, stabilizer: Stabilizer) -> None:
        self.stabilizer = stabilizer
        self.a: SavedTensor
        self.b: SavedTensor
        self.result: SavedTensor


class ProductNode(RelevanceNode):
    """``a * b``, place by place: half of the relevance to each factor (AttnLRP, proposition 3.3)."""

    words = HALF_TO_EACH
    shares = True

    @staticmethod
    def forward(ctx: Node, a: Tensor, b: Tensor, compute: Callable[[Tensor, Tensor], Tensor], site: ProductSite) -> Tensor:
        ctx.site, ctx.shapes = site, (a.shape, b.shape)
        return compute(a, b)

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        result = ctx.site.result.take()
        half = (stabilized_share(relevance, result, ctx.site.stabilizer) * result).mul_(0.5)
        return *(half.sum_to_size(shape) for shape in ctx.shapes), None, None

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


def product_of_signals(mode: RelevancePass, call: Call, node: type[ProductNode]) -> Tensor:
    """A product of two signals under ``node``."""
    a, b = call.args
    site = ProductSite(mode.stabilizer)
    if node is MatrixProductNode:
        site.a, site.b = mode.saver.save(a), mode.saver.save(b)
    result: Tensor = node.apply(a, b, call.func, site)
    site.result = mode.saver.save(result)
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
            summed = mode.reciprocal_of(inverse)
            if summed is not None and (softmax := _softmax_by_hand(mode, call, exponential, summed)) is not None:
                return softmax
        if (root := mode.functions.smooth_root(a, b)) is not None:
            return joined(mode, root, call)
        rank_a, rank_b = mode.gate_rank(a), mode.gate_rank(b)
        if rank_a == rank_b:
            return product_of_signals(mode, call, ProductNode)
        a, b = (a.detach(), b) if rank_a > rank_b else (a, b.detach())
    elif (folded := _behind_layer(mode, call)) is not None:
        return mode.note_scaled(folded, a if needs_relevance(a) else b)
    if needs_relevance(a):
        return _scaled(mode, a, b, lambda t: call.func(t, b))
    return _scaled(mode, b, a, lambda t: call.func(a, t))


def _behind_layer(mode: RelevancePass, call: Call) -> Tensor | None:
    """The product of a layer's output and a constant, if both are one layer."""
    a, b = call.args
    if needs_relevance(a):
        return mode.with_constants(a, b, lambda: (b, 0.0), lambda t: call.func(t, b))
    return mode.with_constants(b, a, lambda: (a, 0.0), lambda t: call.func(a, t))


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
        of_one = mode.functions.of(b)
        gate_rank = 2 if of_one.form == "1 + exp" and is_one(a) else DIVISOR  # 1 / (1 + exp(-x)) is a sigmoid
        result = passed(mode, Call(lambda t: call.func(a, t), (b,), {}), gate_rank=gate_rank)
        if is_one(a):
            mode.note_reciprocal(result, b)
        return result
    if needs_relevance(b):
        if (softmax := _softmax_by_hand(mode, call, a, b)) is not None:
            return softmax
        if (root := mode.functions.smooth_root(a, b)) is not None:
            forms = mode.functions.of(a).form, mode.functions.of(b).form
            return joined(mode, root, call, gate_rank=2 if forms == ("exp", "1 + exp") else 0)
        divisor = b.detach()
        return _scaled(mode, a, torch.ones(()).to(a.device), lambda t: call.func(t, divisor))
    folded = mode.with_constants(a, b, lambda: (torch.as_tensor(b).to(a).reciprocal(), 0.0), lambda t: call.func(t, b))
    return mode.note_scaled(folded, a) if folded is not None else _scaled(mode, a, 1.0, lambda t: call.func(t, b))


@rule_for("neg", "negative", "__neg__")
def negative(mode: RelevancePass, call: Call) -> Result:
    """Everything passes."""
    if needs_relevance(call.x):
        folded = mode.with_constants(call.x, None, lambda: (-1.0, 0.0), torch.neg)
        if folded is not None:
            return mode.note_scaled(folded, call.x)
    return passed(mode, call, kind=Kind.SCALED)


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


def _scaled(mode: RelevancePass, x: Tensor, constant: Any, compute: Callable[[Tensor], Tensor]) -> Tensor:
    scale = constant.detach() if isinstance(constant, Tensor) else torch.tensor(constant, device=x.device)
    result: Tensor = ScaleNode.apply(x, scale, compute)
    if scale.numel() == 1 and not mode.is_of_samples(constant):
        mode.note_scaled(result, x)
    return mode.still_gate(result, x)


def is_complex(value: object) -> bool:
    """Whether a factor is complex."""
    return isinstance(value, complex) or (isinstance(value, Tensor) and value.is_complex())


def complex_product(mode: RelevancePass, call: Call) -> Result:
    """A product that mixes real and imaginary parts: each by its share, of two signals half to each."""
    signals = call.signals()
    return mode.shared(call.on_signals(), signals, 1 / len(signals), EACH_ITS_SHARE if len(signals) == 1 else HALF_TO_EACH)


def _softmax_by_hand(mode: RelevancePass, call: Call, exponential: Tensor, divisor: Tensor) -> Tensor | None:
    """``exp(x) / sum(exp(x))`` as the softmax that it is; None if it is none."""
    x, summed = mode.exponents.get(exponential), mode.sums_of.get(divisor)
    if x is None or summed is None or summed.name != "sum" or not summed.keeps_axis:
        return None
    other = mode.exponents.get(summed.source)
    if other is not x and (other is None or mode.differences.get(other) != mode.differences.get(x) or mode.differences.get(x) is None):
        return None
    return softmax_of(mode, x, summed.axis, lambda: call.func(*(part.detach() for part in call.args)))


def joined(mode: RelevancePass, root: Tensor, call: Call, gate_rank: int = 0) -> Tensor:
    """What two functions of one value of a root make together is one more."""
    of = mode.functions.of(root)
    result = as_function_of(root, lambda: call.func(*(part.detach() for part in call.args)))
    mode.functions.note(result, of, Kind.SMOOTH)
    mode.note_gate(result, gate_rank)
    return result


def is_one(value: object) -> bool:
    """Whether a constant is the number 1."""
    return bool((value == 1).all()) if isinstance(value, Tensor) else value == 1
