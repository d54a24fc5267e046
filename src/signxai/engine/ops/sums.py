"""Sums, differences, means and whatever is linear in all its tensors together: each by its share of the result."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.registry import Rule, rule_for
from signxai.engine.relevance import RelevancePass
from signxai.engine.saved import SavedTensor, Saver
from signxai.engine.stabilizer import Stabilizer, stabilized_share
from signxai.engine.torch_functions import WRITING

SUM_ARGUMENTS = ("input", "other")


class SumSite:
    """One sum of two signals as it was executed: its second term, its result, and its first term unless that was overwritten."""

    __slots__ = ("first", "result", "second", "sign", "stabilizer")

    def __init__(self, sign: int, stabilizer: Stabilizer) -> None:
        self.sign, self.stabilizer = sign, stabilizer
        self.first: SavedTensor | None = None
        self.second: SavedTensor
        self.result: SavedTensor


class SumNode(RelevanceNode):
    """``a + b`` or ``a - b`` of one shape: each term by its share of the result."""

    words = "each its share"
    shares = True

    @staticmethod
    def forward(ctx: Node, a: Tensor, b: Tensor, compute: Callable[[Tensor, Tensor], Tensor], site: SumSite) -> Tensor:
        ctx.site = site
        result = compute(a, b)
        if result is a:
            ctx.mark_dirty(a)
        return result

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        site: SumSite = ctx.site
        result, second = site.result.take(), site.second.take()
        share = stabilized_share(relevance, result, site.stabilizer)
        first = site.first.take() if site.first is not None else torch.sub(result, second, alpha=site.sign)
        to_second = second * share
        return share.mul_(first), to_second if site.sign > 0 else to_second.neg_(), None, None

    @staticmethod
    def denominator(ctx: Node) -> tuple[Tensor, Stabilizer]:
        return ctx.site.result.take(), ctx.site.stabilizer


def sum_by_contribution(call: Call, sign: int, saver: Saver, stabilizer: Stabilizer) -> Tensor:
    """Run ``a + b`` or ``a - b``, possibly into ``a``; in backward each term gets its share (stabilized; 0 / 0 = 0)."""
    a, b = call.args
    site = SumSite(sign, stabilizer)
    site.second = saver.save(b)  # before the write: b may be a itself, or a view of it
    if call.func in WRITING:
        saver.before_write(a)
    else:
        site.first = saver.save(a)
    result: Tensor = SumNode.apply(a, b, call.func, site)
    site.result = saver.save(result)
    return result


@rule_for(
    *("mean", "sum", "nanmean", "nansum", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d"),
    *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "interpolate", "upsample", "cumsum", "fold"),
)
def shared(mode: RelevancePass, call: Call) -> Result:
    """Each tensor by its share of the result."""
    signals = call.signals() or ((call.x,) if needs_relevance(call.x) else ())
    if not signals or not call.named_is_constant():
        return mode.plain(call)
    return mode.shared(call.on_signals() if call.args else call.run, signals)


@rule_for("rsub", "__rsub__", arguments=SUM_ARGUMENTS)
def reflected_difference(mode: RelevancePass, call: Call) -> Result:
    """``b - a``: each by its share; ``1 - gate`` is a gate."""
    return _with_constant(mode, call)


@rule_for("add", "add_", "__add__", "__radd__", "__iadd__", arguments=SUM_ARGUMENTS)
def add(mode: RelevancePass, call: Call) -> Result:
    """``a + b``: each by its share."""
    return _sum(mode, call, +1)


@rule_for("sub", "sub_", "subtract", "subtract_", "__sub__", "__isub__", arguments=SUM_ARGUMENTS)
def subtract(mode: RelevancePass, call: Call) -> Result:
    """``a - b``: each by its share."""
    return _sum(mode, call, -1)


def _sum(mode: RelevancePass, call: Call, sign: int) -> Result:
    """Of two signals of one shape by a node of its own, which spares passes over memory."""
    args = call.args
    if len(args) == 2 and not call.kwargs and needs_relevance(args[0]) and needs_relevance(args[1]) and args[0].shape == args[1].shape:
        return sum_by_contribution(call, sign, mode.saver, mode.stabilizer)
    if call.func in WRITING:
        return in_place(_with_constant, "add" if sign > 0 else "sub", mode, call)
    return _with_constant(mode, call)


def _with_constant(mode: RelevancePass, call: Call) -> Result:
    result = shared(mode, call)
    signals = call.signals()
    return mode.still_gate(result, signals[0]) if len(signals) == 1 else result


def in_place(rule: Rule, name: str, mode: RelevancePass, call: Call) -> Result:
    """``a += b`` and its like: the rule of the operation that writes nothing, then its result into ``a``."""
    if not call.signals():
        return mode.plain(call)
    result = rule(mode, call.of(getattr(torch, name)))
    mode.saver.before_write(call.x)
    return call.x.copy_(result)
