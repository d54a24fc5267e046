"""Activations and other functions of one value: relevance passes through unchanged."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass


class PassNode(RelevanceNode):
    """An elementwise function: relevance passes through unchanged."""

    words = "pass through"

    @staticmethod
    def forward(ctx: Node, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        result = compute(x)
        if result is x:
            ctx.mark_dirty(x)
        return result

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance, None


class CutOffNode(RelevanceNode):
    """An activation that is cut off at constants (ReLU6): relevance passes, but where a constant stands for the input."""

    words = "pass through below the cut-off"

    @staticmethod
    def forward(ctx: Node, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        before = x.clone()
        result = compute(x)
        if result is x:
            ctx.mark_dirty(x)
        ctx.is_constant = (result != before) & (result != 0)
        return result

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance.masked_fill(ctx.is_constant, 0.0), None


def passed(mode: RelevancePass, call: Call, node: type[RelevanceNode] = PassNode, gate_rank: int = 0) -> Result:
    """Carry out a function of one value under ``node``; its result counts as a gate of this rank."""
    if not needs_relevance(call.x) or not call.rest_is_constant():
        return mode.plain(call)
    if call.writes_in_place():
        mode.saver.before_write(call.x)
    result = node.apply(call.x, call.on_input())
    mode.note_gate(result, gate_rank)
    return result


@rule_for("relu", "relu_")
def relu(mode: RelevancePass, call: Call) -> Result:
    """A ReLU; that of a linear layer's output is not saved twice."""
    saved = mode.output_of_layer(call.x)
    result = passed(mode, call)
    if saved is not None and needs_relevance(call.x):
        mode.note_relu(result, saved)
    return result


@rule_for(
    *("leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "selu_", "celu", "celu_", "gelu", "silu", "mish"),
    *("hardswish", "softplus", "softsign", "hardshrink", "softshrink", "tanhshrink", "threshold", "threshold_", "prelu", "rrelu"),
    *("rrelu_", "logsigmoid", "neg", "negative", "abs", "absolute", "exp", "expm1", "log1p", "log2", "log10", "sqrt", "rsqrt"),
    *("square", "pow", "reciprocal", "sin", "cos", "tan", "atan", "erf", "sinh", "cosh", "arctan", "exp_", "abs_", "neg_", "sqrt_"),
    *("square_", "pow_", "__rpow__", "__pow__", "float_power", "normalize"),
)
def activation(mode: RelevancePass, call: Call) -> Result:
    """Relevance passes through unchanged."""
    return passed(mode, call)


@rule_for("sigmoid", "sigmoid_", "hardsigmoid", "hardsigmoid_", "expit")
def squash(mode: RelevancePass, call: Call) -> Result:
    """The same; the result is surely a gate where it is a factor."""
    return passed(mode, call, gate_rank=2)


@rule_for("tanh", "tanh_")
def tanh(mode: RelevancePass, call: Call) -> Result:
    """The same; the result is a gate beside a factor that is none."""
    return passed(mode, call, gate_rank=1)


@rule_for(
    *("hardtanh", "hardtanh_", "relu6", "relu6_", "clamp", "clamp_", "clip", "clip_"),
    *("clamp_min", "clamp_min_", "clamp_max", "clamp_max_"),
)
def cut_off(mode: RelevancePass, call: Call) -> Result:
    """The same, but under the z rule relevance ends where a constant stands for the input."""
    return passed(mode, call, CutOffNode if mode.cut_offs_absorb else PassNode, gate_rank=1)


@rule_for("log")
def log(mode: RelevancePass, call: Call) -> Result:
    """The same; the logarithm of a softmax is a log-softmax, of the same logits."""
    result = passed(mode, call)
    mode.note_logits(result, mode.softmax_input(call.x))
    return result
