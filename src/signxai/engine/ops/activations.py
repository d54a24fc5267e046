"""Activations and other functions of one value: relevance passes through unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.divided_later import TINY
from signxai.engine.graph import BeforeWrite, Node, RelevanceNode, needs_relevance
from signxai.engine.ops.softmax import softmax_of
from signxai.engine.registry import rule_for
from signxai.engine.relevance import DIVISOR, RelevancePass
from signxai.engine.written_by_hand import OfOneValue


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


def passed(
    mode: RelevancePass,
    call: Call,
    node: type[RelevanceNode] = PassNode,
    gate_rank: int = 0,
    is_bent: bool = True,
) -> Result:
    """Carry out a function of one value under ``node``; its result counts as a gate of this rank.

    Args:
        mode: the pass.
        call: the call.
        node: what ties the result to the input.
        gate_rank: how surely the result is a gate where it is a factor.
        is_bent: whether the function is bent everywhere, so that others may be written with it.
    """
    if not needs_relevance(call.x) or not call.rest_is_constant():
        return mode.plain(call)
    of = mode.by_hand.of(call.x) if is_bent else None
    if call.writes_in_place():
        if of is not None and of.root is call.x:
            of = OfOneValue(BeforeWrite.apply(call.x))
        mode.saver.before_write(call.x)
    result = node.apply(call.x, call.on_input())
    if of is not None:
        mode.by_hand.note_bent(result, of)
    mode.note_gate(result, gate_rank)
    return result


def as_function_of(root: Tensor, compute: Callable[[], Tensor]) -> Tensor:
    """What is computed from a tensor value by value, in steps that relevance need not follow: it passes unchanged."""
    result: Tensor = PassNode.apply(root, lambda _: compute())
    return result


@rule_for("relu", "relu_")
def relu(mode: RelevancePass, call: Call) -> Result:
    """A ReLU; that of a linear layer's output is not saved twice."""
    saved = mode.output_of_layer(call.x)
    result = passed(mode, call, is_bent=False)
    if saved is not None and needs_relevance(call.x):
        mode.note_relu(result, saved)
    return result


@rule_for(
    *("elu", "elu_", "selu", "selu_", "celu", "celu_", "gelu", "silu", "mish", "hardswish", "softplus", "softsign", "tanhshrink"),
    *("expm1", "log1p", "log2", "log10", "sin", "cos", "tan", "atan", "sinh", "cosh", "arctan"),
    *("asin", "acos", "arcsin", "arccos", "asinh", "acosh", "atanh", "arcsinh", "arccosh", "arctanh", "sinc", "logit"),
    *("erfinv", "erfcx", "log_ndtr"),
)
def activation(mode: RelevancePass, call: Call) -> Result:
    """Relevance passes through unchanged."""
    return passed(mode, call)


@rule_for(
    *("leaky_relu", "leaky_relu_", "hardshrink", "softshrink", "prelu", "rrelu", "rrelu_"),
    *("abs", "absolute", "abs_"),
)
def activation_in_pieces(mode: RelevancePass, call: Call) -> Result:
    """Relevance passes through unchanged; of the size of a complex number each part has its share."""
    if isinstance(call.x, Tensor) and call.x.is_complex() and needs_relevance(call.x):
        return mode.shared(call.run, (call.x,))
    return passed(mode, call, is_bent=False)


@rule_for("normalize")
def normalize(mode: RelevancePass, call: Call) -> Result:
    """``x / |x|``: relevance passes through unchanged, the divisor is a scale."""
    if not needs_relevance(call.x) or not call.rest_is_constant():
        return mode.plain(call)
    return PassNode.apply(call.x, call.on_input())


@rule_for("exp")
def exponential(mode: RelevancePass, call: Call) -> Result:
    """Relevance passes through unchanged, unless the result is a softmax: ``exp(x - logsumexp(x))``."""
    if not needs_relevance(call.x):
        return mode.plain(call)
    if (log_softmax := mode.by_hand.log_softmax_of(call.x)) is not None:
        return softmax_of(mode, *log_softmax, lambda: call.run(call.x.detach()))
    of = mode.by_hand.of(call.x)
    result = passed(mode, call, gate_rank=2 if of.form == "log sigmoid" else 0)
    mode.by_hand.note_bent(result, of, "exp", call.x)
    if (found := mode.by_hand.summed_by_logsumexp(call.x)) is not None:
        mode.divided_later.note_sum(result, *found, keeps_axes=call.x.ndim == found[0].ndim)
    return result


@rule_for("exp2")
def exponential_of_two(mode: RelevancePass, call: Call) -> Result:
    """The same."""
    return _to_the_power(mode, call, call.x, 2.0)


@rule_for("__rpow__")
def power_of_number(mode: RelevancePass, call: Call) -> Result:
    """``2.0 ** x``."""
    return _to_the_power(mode, call, call.x, call.rest[0] if call.rest else None)


def _to_the_power(mode: RelevancePass, call: Call, x: Tensor, base: object) -> Result:
    """A positive number to the power of a signal: the exponential of a multiple of that."""
    result = passed(mode, call if x is call.x else Call(lambda t: call.func(call.x, t), (x,), {}))
    if needs_relevance(x) and isinstance(base, int | float) and base > 0 and base != 1 and not call.writes_in_place():
        of = mode.by_hand.of(x)
        with mode:
            exponent = x * math.log(base)
        mode.by_hand.note_bent(result, of, "exp", exponent)
    return result


@rule_for("logsigmoid")
def log_sigmoid(mode: RelevancePass, call: Call) -> Result:
    """Relevance passes through unchanged; the exponential of the result is a sigmoid."""
    result = passed(mode, call)
    if needs_relevance(call.x):
        mode.by_hand.note_bent(result, mode.by_hand.of(call.x), "log sigmoid")
    return result


def _is_negative(exponent: float | Tensor) -> bool:
    return bool((exponent < 0).all()) if isinstance(exponent, Tensor) else exponent < 0


@rule_for("pow", "pow_", "__pow__", "float_power", "sqrt", "sqrt_", "square", "square_")
def power(mode: RelevancePass, call: Call) -> Result:
    """Relevance passes through unchanged; a negative power is a divisor where it is a factor."""
    if not needs_relevance(call.x) and len(call.rest) == 1 and not call.named:  # of a constant base
        return _to_the_power(mode, call, call.rest[0], call.x)
    rank = mode.gate_rank(call.x) if isinstance(call.x, Tensor) else 0
    exponent = (*call.rest, call.kwargs.get("exponent"), None)[0]
    if not isinstance(exponent, Tensor) and exponent == -1 and needs_relevance(call.x) and not call.writes_in_place():
        return one_over(mode, call.x, call.run)
    is_negative = exponent is not None and not needs_relevance(exponent) and _is_negative(exponent)
    if rank == DIVISOR or is_negative:
        return passed(mode, call, gate_rank=0 if rank == DIVISOR and is_negative else DIVISOR)
    return passed(mode, call, gate_rank=rank)


@rule_for("rsqrt", "rsqrt_", "reciprocal_")
def inverse(mode: RelevancePass, call: Call) -> Result:
    """Relevance passes through unchanged; the result is a divisor where it is a factor."""
    return passed(mode, call, gate_rank=DIVISOR)


@rule_for("reciprocal")
def reciprocal(mode: RelevancePass, call: Call) -> Result:
    """The same; ``1 / (1 + exp(-x))`` is a sigmoid."""
    return one_over(mode, call.x, call.run) if needs_relevance(call.x) else mode.plain(call)


def one_over(mode: RelevancePass, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """``1 / x``: a divisor where it is a factor, or the sigmoid that it is."""
    of = mode.by_hand.of(x)
    is_sigmoid = of.form == "1 + exp"
    result = as_function_of(of.root, lambda: compute(x.detach())) if is_sigmoid else PassNode.apply(x, compute)
    mode.by_hand.note_bent(result, of)
    mode.divided_later.note_inverse(result, x)
    mode.note_gate(result, 2 if is_sigmoid else DIVISOR)
    return result


@rule_for("sigmoid", "sigmoid_", "hardsigmoid", "hardsigmoid_", "expit", "ndtr", "erfc", "erfc_")
def squash(mode: RelevancePass, call: Call) -> Result:
    """The same; the result is surely a gate where it is a factor."""
    return passed(mode, call, gate_rank=2)


@rule_for("tanh", "tanh_", "erf")
def squash_to_both_sides(mode: RelevancePass, call: Call) -> Result:
    """The same; the result, between -1 and 1, is a gate beside a factor that is none."""
    result = passed(mode, call, gate_rank=1)
    if needs_relevance(result):
        mode.by_hand.note_bounds(result, -1.0, 1.0)
    return result


@rule_for(
    *("hardtanh", "hardtanh_", "relu6", "relu6_", "clamp", "clamp_", "clip", "clip_"),
    *("clamp_min", "clamp_min_", "clamp_max", "clamp_max_"),
)
def cut_off(mode: RelevancePass, call: Call) -> Result:
    """The same, but under the z rule relevance ends where a constant stands for the input."""
    rank = max(1, mode.gate_rank(call.x)) if needs_relevance(call.x) else 1
    rank = 2 if rank == 1 and _is_hard_sigmoid(mode, call) else rank
    result = passed(mode, call, CutOffNode if mode.cut_offs_absorb else PassNode, gate_rank=min(rank, 2), is_bent=False)
    if mode.by_hand.has_exponentials and _keeps_from_zero(call):
        mode.note_nearly(result, call.x)
    return result


def _keeps_from_zero(call: Call) -> bool:
    """Whether a cut-off starts a little above 0 and does not end: it keeps a divisor from 0."""
    if not needs_relevance(call.x) or tensors_in((call.rest, call.named)) or call.writes_in_place():
        return False
    low, high = call.run(torch.tensor([-math.inf, math.inf], device="cpu")).tolist()
    return bool(0 <= low <= TINY and math.isinf(high))


def _is_hard_sigmoid(mode: RelevancePass, call: Call) -> bool:
    """Whether a cut-off starts at 0, ends, and is of a value that a number was added to: ``relu6(x + 3)``."""
    if not needs_relevance(call.x) or not mode.by_hand.was_shifted(call.x) or tensors_in((call.rest, call.named)):
        return False
    low, high = call.run(torch.tensor([-math.inf, math.inf], device="cpu")).tolist()
    return bool(low == 0 and math.isfinite(high))


@rule_for("threshold", "threshold_")
def threshold(mode: RelevancePass, call: Call) -> Result:
    """The same."""
    return passed(mode, call, CutOffNode if mode.cut_offs_absorb else PassNode, is_bent=False)


@rule_for("log")
def log(mode: RelevancePass, call: Call) -> Result:
    """The same; of a sum of exponentials it is a logsumexp."""
    summed = mode.by_hand.summed_exponential(call.x)
    if summed is not None and not call.writes_in_place():
        return logsumexp_of(mode, *summed, lambda: call.run(call.x.detach()))
    return passed(mode, call)


def logsumexp_of(mode: RelevancePass, x: Tensor, axes: tuple[int, ...], compute: Callable[[], Tensor]) -> Tensor:
    """The logarithm of a sum of exponentials that is computed in steps: by share, as ``torch.logsumexp``."""
    values = compute()
    keeps = values.ndim == x.ndim

    def whole(t: Tensor) -> Tensor:
        result = torch.logsumexp(t, axes, keeps)
        return result + (values - result.detach())  # the network's own values, to the last digit

    result = mode.shared(whole, (x,))
    mode.by_hand.note_sum(result, x, axes, "logsumexp", keeps)
    return result
