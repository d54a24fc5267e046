"""Sums, differences, means and whatever is linear in all its tensors together: each by its share of the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.divided_later import TINY
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.ops.activations import as_function_of, logsumexp_of
from signxai.engine.ops.attention_weights import sums_to_one
from signxai.engine.ops.experts import is_mixture
from signxai.engine.ops.weighted_terms import axes_of, contracted, softmax_behind, stacked_terms, sum_of_terms, terms_of
from signxai.engine.pieces import Piece, Root
from signxai.engine.registry import Rule, rule_for
from signxai.engine.relevance import DIVISOR, RelevancePass
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


class CopyNode(RelevanceNode):
    """Values that are copied to several places: each has the relevance of all its copies."""

    words = "as the gradient"

    @staticmethod
    def forward(ctx: Node, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.shape, ctx.compute = x.shape, compute
        return compute(x)

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            x = relevance.new_zeros(ctx.shape).requires_grad_(True)
            (result,) = torch.autograd.grad(ctx.compute(x), x, relevance)
        return result, None


@rule_for(
    *("nanmean", "nansum", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d"),
    *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "cumsum", "fold"),
)
def shared(mode: RelevancePass, call: Call) -> Result:
    """Each tensor by its share of the result."""
    signals = call.signals() or ((call.x,) if needs_relevance(call.x) else ())
    if not signals or not call.named_is_constant():
        return mode.plain(call)
    name = call.func.__name__.removeprefix("special_")
    return mode.shared(call.on_signals() if call.args else call.run, signals, is_linear=name != "logsumexp")


@rule_for("interpolate", "upsample", "upsample_nearest")
def interpolated(mode: RelevancePass, call: Call) -> Result:
    """Each value by its share; nearest neighbours are copies, as by ``repeat_interleave``."""
    how = call.named.get("mode", "nearest")
    if not needs_relevance(call.x) or how not in ("nearest", "nearest-exact") or not call.rest_is_constant():
        return shared(mode, call)
    return mode.still_gate(CopyNode.apply(call.x, call.run), call.x)


@rule_for("sum", "logsumexp", arguments=("input", "dim", "keepdim"))
def sum_along_axes(mode: RelevancePass, call: Call) -> Result:
    """Each value by its share of the sum; what was summed is remembered for a softmax that is written by hand."""
    axes, keeps = (*call.rest, None, None)[:2]
    axes = tuple(range(call.x.ndim)) if axes is None else axes if isinstance(axes, tuple | list) else (axes,)
    if len(axes) == 1 and not call.named and (product := _weighted_sum(mode, call, axes[0], bool(keeps))) is not None:
        return product
    if call.func.__name__ == "sum" and (piece := _piece_along(mode, call, axes)) is not None:
        return piece
    result = shared(mode, call)
    if needs_relevance(result):
        name = call.func.__name__.removeprefix("special_")
        mode.by_hand.note_sum(result, call.x, tuple(sorted(axis % max(call.x.ndim, 1) for axis in axes)), name, bool(keeps))
    return result


@rule_for("mean", arguments=("input", "dim", "keepdim"))
def mean(mode: RelevancePass, call: Call) -> Result:
    """Each value by its share; of what weights weigh, the sum, divided."""
    axes, keeps = (*call.rest, None, None)[:2]
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    if len(axes) == 1 and isinstance(axes[0], int) and not call.named and isinstance(call.x, Tensor):
        product = _weighted_sum(mode, Call(torch.sum, (call.x,), {}), axes[0], bool(keeps))
        if product is not None:
            with mode:
                return product / call.x.shape[axes[0]]
    piece = _piece_along(mode, call, axes)
    return shared(mode, call) if piece is None else piece


def _weighted_sum(mode: RelevancePass, call: Call, axis: int, keeps_axis: bool) -> Tensor | None:
    """``(x * w).sum(axis)`` as the matrix product that it is: of constant weights, or of the softmax along that axis."""
    factors = mode.by_hand.weighted(call.x) if call.func.__name__ == "sum" else None
    if factors is None:
        return stacked_terms(mode, call.x, axis, keeps_axis) if call.func.__name__ == "sum" else None
    shape, axes = call.x.shape, call.x.ndim
    axis %= axes
    weights = factors[1]
    if (shape[axis] == 1 and softmax_behind(weights) is None) or any(axis not in axes_of(factor, shape) for factor in factors):
        return None
    if needs_relevance(weights) and (not sums_to_one(weights, axis - axes) or is_mixture(mode, weights, factors[0], axis - axes)):
        return None
    result = contracted(mode, factors, shape, axis)
    with mode:
        return result.unsqueeze(axis) if keeps_axis else result


@rule_for("rsub", "__rsub__", arguments=SUM_ARGUMENTS)
def reflected_difference(mode: RelevancePass, call: Call) -> Result:
    """``b - a``: each by its share; ``1 - gate`` is a gate."""
    if len(call.args) == 2 and all(map(needs_relevance, call.args)) and mode.pieces.root(call.args) is not None:
        return _sum(mode, Call(torch.sub, call.args[::-1], call.kwargs), -1)
    return _with_constant(mode, call, of_first=-_alpha(call))


@rule_for("add", "add_", "__add__", "__radd__", "__iadd__", arguments=SUM_ARGUMENTS)
def add(mode: RelevancePass, call: Call) -> Result:
    """``a + b``: each by its share; the last of the terms that a softmax weighs makes a matrix product of all."""
    terms = terms_of(mode, call)
    result = _sum(mode, call, +1)
    return result if terms is None else sum_of_terms(mode, call, result, terms)


@rule_for("sub", "sub_", "subtract", "subtract_", "__sub__", "__isub__", arguments=SUM_ARGUMENTS)
def subtract(mode: RelevancePass, call: Call) -> Result:
    """``a - b``: each by its share."""
    return _sum(mode, call, -1)


def _sum(mode: RelevancePass, call: Call, sign: int) -> Result:
    """Of two signals of one shape by a node of its own, which spares passes over memory."""
    args = call.args
    if sign > 0 and len(args) == 2 and not call.kwargs and (whole := _logsumexp_with_maximum(mode, call)) is not None:
        return whole
    if len(args) == 2 and needs_relevance(args[0]) and needs_relevance(args[1]):
        if (of_pieces := mode.pieces.root(args)) is not None:
            return _sum_of_pieces(mode, of_pieces, sign, call)
        root = mode.by_hand.bent_root(*args) if call.func not in WRITING else None
        if root is not None:
            return _function_of_one_value(mode, root, call)
        if not call.kwargs and args[0].shape == args[1].shape and not (args[0].is_complex() or args[1].is_complex()):
            return sum_by_contribution(call, sign, mode.saver, mode.stabilizer)
    if call.func in WRITING:
        return in_place(partial(_with_constant, of_second=sign * _alpha(call)), "add" if sign > 0 else "sub", mode, call)
    return _with_constant(mode, call, of_second=sign * _alpha(call))


def _sum_of_pieces(mode: RelevancePass, root: Root, sign: int, call: Call) -> Tensor:
    """A sum of what one value was bent into, such as the halves of a leaky ReLU: an activation of that value."""
    parents, factor = [mode.pieces.of(part) for part in call.args], sign * _alpha(call)
    with mode:
        start = root.tensor()
    is_written = call.func in WRITING
    function = partial(_function_of_one_value, mode, start)
    result: Tensor = in_place(lambda _, call: function(call), "add" if sign > 0 else "sub", mode, call) if is_written else function(call)
    mode.pieces.put(result, Piece(result, parents, lambda values: values[0] + factor * values[1], bends=True))
    return result


def _piece_along(mode: RelevancePass, call: Call, axes: Sequence[object]) -> Tensor | None:
    """A sum or mean along an axis of what one value was bent into: an activation of that value; None if it is none."""
    root = mode.pieces.root_along(call.x, axes[0]) if len(axes) == 1 and isinstance(axes[0], int) and not call.named else None
    return None if root is None else as_function_of(root.tensor(), lambda: call.run(call.x.detach()))


def _logsumexp_with_maximum(mode: RelevancePass, call: Call) -> Tensor | None:
    """``m + log(sum(exp(x - m)))`` as the logarithm of the sum of the exponentials of x that it is; None if it is none."""
    a, b = call.args
    if call.func in WRITING or not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return None
    found = mode.by_hand.logsumexp_with(a, b) or mode.by_hand.logsumexp_with(b, a)
    return None if found is None else logsumexp_of(mode, *found, lambda: call.func(a.detach(), b.detach()))


def _alpha(call: Call) -> float:
    return float(call.kwargs.get("alpha", 1))


def _with_constant(mode: RelevancePass, call: Call, of_first: float = 1, of_second: float = 1) -> Result:
    """A sum ``of_first * a + of_second * b``, behind a layer with a constant as one layer with it; else each by its share."""
    signals = call.signals()
    if len(signals) != 1 or len(call.args) != 2 or call.kwargs.keys() - {"alpha"}:
        return _noted_difference(mode, call, of_second, shared(mode, call))
    x, constant = signals[0], call.args[1 if needs_relevance(call.args[0]) else 0]
    is_number = not isinstance(constant, Tensor) or (constant.numel() == 1 and not mode.is_of_samples(constant))
    of = mode.by_hand.of(x)
    if is_number and of.is_bent:
        result = _function_of_one_value(mode, of.root, call)
        if of.form == "exp" and float(constant) == 1 and of_first == of_second == 1:
            mode.by_hand.note_bent(result, of, "1 + exp", of.exponent)
    else:
        folded = _behind_layer(mode, call, of_first, of_second)
        result = shared(mode, call) if folded is None else folded
        _noted_difference(mode, call, of_second, result)
    if is_number and of_first == of_second == 1 and abs(float(constant)) <= TINY:
        mode.note_nearly(result, x)
    rank = mode.gate_rank(x)
    if is_number:
        of_x, of_number = (of_first, of_second) if x is call.args[0] else (of_second, of_first)
        mode.by_hand.note_shifted(result, x, of_x, float(constant) * of_number)
        rank = 2 if rank == 1 and mode.by_hand.is_never_negative(result) else rank
    mode.note_gate(result, 0 if rank == DIVISOR else rank)  # ``1 - gate`` is a gate, 1 and a divisor is no divisor
    return result


def _function_of_one_value(mode: RelevancePass, root: Tensor, call: Call) -> Tensor:
    """A sum of functions of one value of a root, and numbers, is one more: relevance passes unchanged."""
    values = [part.detach() if isinstance(part, Tensor) else part for part in call.args]
    result = as_function_of(root, lambda: call.func(*values, **call.kwargs))
    mode.by_hand.note_bent(result, mode.by_hand.of(root))
    return result


def _noted_difference(mode: RelevancePass, call: Call, of_second: float, result: Result) -> Result:
    """Remember what was subtracted from a tensor, alike along some axis: a softmax of the result is one of the tensor."""
    if of_second == -1 and needs_relevance(call.args[0]) and isinstance(call.args[1], Tensor):
        a, b = call.args
        if result.shape == a.shape and b.shape != a.shape:
            mode.by_hand.note_difference(result, a, b)
    return result


def _behind_layer(mode: RelevancePass, call: Call, of_first: float, of_second: float) -> Tensor | None:
    """The sum of a layer's output and a constant, if both are one layer."""
    a, b = call.args
    if needs_relevance(a):
        return mode.with_constants(a, b, lambda: (of_first, b * of_second), lambda t: call.func(t, b, **call.kwargs))
    return mode.with_constants(b, a, lambda: (of_second, a * of_first), lambda t: call.func(a, t, **call.kwargs))


def in_place(rule: Rule, name: str, mode: RelevancePass, call: Call) -> Result:
    """``a += b`` and its like: the rule of the operation that writes nothing, then its result into ``a``."""
    if not call.has_signal():
        return mode.plain(call)
    operation = call.of(getattr(torch, name, None) or getattr(torch.Tensor, name))
    signals = sum(map(needs_relevance, tensors_in((call.args, call.kwargs))))
    if name == "exp" and needs_relevance(call.x):  # a softmax by hand is told by the exponent, which is about to be overwritten
        operation = operation.with_input(mode.became(call.x.clone(), call.x))
    elif not needs_relevance(call.x) or signals > 1:
        operation = operation.with_input(mode.copy_of(call.x))  # torch may keep what is about to be overwritten
    result = rule(mode, operation)
    mode.saver.before_write(call.x)
    return mode.became(call.x.copy_(result), result)
