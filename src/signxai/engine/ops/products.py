"""Products and quotients: everything to the signal beside a constant, a gate or a divisor; half to each of two signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.ops.activations import passed
from signxai.engine.ops.sums import in_place
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass

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


@rule_for("mul", "multiply", "__mul__", "__rmul__", arguments=FACTORS)
def product(mode: RelevancePass, call: Call) -> Result:
    """By a constant or by a gate everything passes to the factor; of two signals, half to each."""
    if len(call.args) != 2 or call.kwargs or not call.signals():
        return mode.plain(call)
    a, b = call.args
    if needs_relevance(a) and needs_relevance(b):
        rank_a, rank_b = mode.gate_rank(a), mode.gate_rank(b)
        if rank_a == rank_b:
            return mode.shared(call.func, (a, b), 0.5, HALF_TO_EACH)
        a, b = (a.detach(), b) if rank_a > rank_b else (a, b.detach())
    if needs_relevance(a):
        return _scaled(mode, a, b, lambda t: call.func(t, b))
    return _scaled(mode, b, a, lambda t: call.func(a, t))


@rule_for("div", "divide", "true_divide", "__truediv__", "__rtruediv__", "__rdiv__", arguments=FACTORS)
def quotient(mode: RelevancePass, call: Call) -> Result:
    """Everything passes to the numerator; the denominator is a scale."""
    if len(call.args) != 2 or call.named.get("rounding_mode") or not call.signals():
        return mode.plain(call)
    a, b = call.args
    if not needs_relevance(a):
        return passed(mode, Call(lambda t: call.func(a, t), (b,), {}))
    constant = b.detach() if isinstance(b, Tensor) else b
    return _scaled(mode, a, torch.ones(()).to(a.device), lambda t: call.func(t, constant))


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
    return mode.still_gate(result, x)
