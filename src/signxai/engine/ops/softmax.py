"""Softmax inside a network (AttnLRP)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass
from signxai.engine.saved import Saver


class SoftmaxNode(RelevanceNode):
    """Softmax along axes: ``R_i = x_i (R_i - s_i sum_j R_j)`` (Achtibat et al. 2024, AttnLRP, proposition 3.1)."""

    words = "softmax (AttnLRP)"
    shares = True

    @staticmethod
    def forward(ctx: Node, x: Tensor, compute: Callable[[Tensor], Tensor], axes: tuple[int, ...], saver: Saver) -> Tensor:
        result = compute(x)
        ctx.x, ctx.s, ctx.axes = saver.save(x), saver.save(result), axes
        return result

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        # masked scores are -inf with a weight of 0: they get none, not NaN
        x = ctx.x.take()
        x = x.masked_fill(x.isinf(), 0.0)
        return x * (relevance - ctx.s.take() * relevance.sum(dim=ctx.axes, keepdim=True)), None, None, None


@rule_for("log_softmax", arguments=("input", "dim"))
def log_softmax(mode: RelevancePass, call: Call) -> Tensor:
    """``x - logsumexp(x)``: each value by its share."""
    result: Tensor = mode.shared(call.run, (call.x,)) if needs_relevance(call.x) else mode.plain(call)
    mode.by_hand.note_log_softmax(result, call.x, _axis_of(call))
    return result


@rule_for("softmax", arguments=("input", "dim"))
def softmax(mode: RelevancePass, call: Call) -> Tensor:
    """A softmax; the result is a gate where it is a factor."""
    result: Tensor = _under_rule(mode, call) if needs_relevance(call.x) else mode.plain(call)
    return result


def _under_rule(mode: RelevancePass, call: Call) -> Tensor:
    return softmax_of(mode, call.x, (_axis_of(call),), lambda: call.run(call.x.detach()))


def _axis_of(call: Call) -> int:
    axis = call.rest[0] if call.rest else None
    if axis is None:
        axis = 0 if call.x.ndim in (0, 1, 3) else 1  # as torch.nn.functional.softmax chooses it
    return int(axis)


def softmax_of(mode: RelevancePass, x: Tensor, axes: tuple[int, ...], compute: Callable[[], Tensor]) -> Tensor:
    """A softmax along axes, however it is computed; what is subtracted from all its inputs alike changes nothing."""
    x = mode.by_hand.softmax_argument(x, axes)
    result: Tensor = SoftmaxNode.apply(x, lambda _: compute(), axes, mode.saver)
    mode.note_gate(result, rank=2)
    return result
