"""Gives every ReLU of a forward pass another backward pass, however it is spelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from signxai.common.errors import ModelError
from signxai.engine.call import Call, Result
from signxai.engine.graph import Node, RelevanceNode, cut_graph, needs_relevance
from signxai.engine.masks import ABOVE, BELOW, Masks, is_zero
from signxai.engine.mode import ForwardPass
from signxai.engine.piece_steps import FOLLOWED, Followed
from signxai.engine.pieces import Piece, Pieces, Root, UnknownPieceError
from signxai.engine.registry import RELU_BACKWARD, Rule, RuleTable
from signxai.engine.torch_functions import WRITING

Limit = Tensor | float | None
"""Where a ReLU is cut off, if anywhere."""

ReLUBackward = Callable[[Tensor, Tensor], Tensor]
"""``(gradient, where the ReLU is active) -> gradient``."""


class ReLUNode(RelevanceNode):
    """A ReLU, or one cut off at ``upper`` (ReLU6), whose backward pass is given."""

    @staticmethod
    def forward(ctx: Node, x: Tensor, compute: Callable[[Tensor], Tensor], backward: ReLUBackward, upper: Limit) -> Tensor:
        result = compute(x)
        if result is x:
            ctx.mark_dirty(x)
        ctx.active = result > 0 if upper is None else (result > 0) & (result < upper)
        ctx.rule = backward
        return result

    @staticmethod
    def backward(ctx: Node, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.rule(gradient, ctx.active), None, None, None


class LeakyNode(RelevanceNode):
    """A leaky ReLU that was written in halves: its gradient."""

    @staticmethod
    def forward(ctx: Node, root: Tensor, result: Tensor, slope: Tensor) -> Tensor:
        ctx.slope = slope
        return result.view_as(result)

    @staticmethod
    def backward(ctx: Node, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient * ctx.slope, None, None


class ReLUPass(ForwardPass):
    """Gives every ReLU, module or function, another backward.

    Attributes:
        relus: how many were executed.
    """

    table: ClassVar[RuleTable] = RELU_BACKWARD

    def __init__(self, relu_backward: ReLUBackward) -> None:
        super().__init__()
        self.relu_backward = relu_backward
        self.relus = 0
        self.masks = Masks()
        self.pieces = Pieces()

    def carried_out(self, rule: Rule | None, call: Call) -> Result:
        is_followed = call.func in FOLLOWED and not torch._C._are_functorch_transforms_active()
        piece, before = Followed(self, call) if is_followed else None, self.relus
        result = super().carried_out(rule, call)
        if piece is not None:
            piece.note(result, self.relus - before)
        return result

    def plain(self, call: Call) -> Result:
        result = super().plain(call)
        self.masks.follow(call, result)
        return result

    def renewed(self) -> ReLUPass:
        return type(self)(self.relu_backward)

    def logits_of(self, output: Tensor) -> Tensor:
        if not output.requires_grad:
            raise cut_graph()
        if not self.relus:
            raise ModelError("the method changes the ReLUs of a network, and this one has none: the map would be its gradient")
        return super().logits_of(output)

    def carry_out_relu(self, call: Call, upper: Limit) -> Tensor:
        """A ReLU, or one that is cut off at ``upper``, with the other backward pass."""
        self.relus += 1
        if call.writes_in_place():
            self.saver.before_write(call.x)
        result: Tensor = ReLUNode.apply(call.x, call.run, self.relu_backward, upper)
        return result


@RELU_BACKWARD.rule_for("relu", "relu_")
def relu(mode: ReLUPass, call: Call) -> Tensor:
    """A ReLU, which may be half of a leaky one."""
    return _replaced(mode, call)


@RELU_BACKWARD.rule_for("add", "__add__", "__radd__", "add_", "__iadd__", "sub", "subtract", "__sub__", "sub_", "subtract_", "__isub__")
def total(mode: ReLUPass, call: Call) -> Result:
    """As it is; of the two halves of a leaky ReLU, which is no ReLU, its gradient."""
    args = call.args
    if len(args) != 2 or call.kwargs.keys() - {"alpha"} or not all(map(needs_relevance, args)) or (root := mode.pieces.root(args)) is None:
        return mode.plain(call)
    factor = float(call.kwargs.get("alpha", 1)) * (-1 if "sub" in call.func.__name__ else 1)
    parents = [mode.pieces.of(part) for part in args]
    slope = _slope_of_halves(root, [(args[0], parents[0], 1.0), (args[1], parents[1], factor)])
    if slope is None:
        result = mode.plain(call)
    else:
        mode.relus -= root.take_relus()
        a, b = (part.detach() for part in args)
        with mode:
            start = root.tensor()
        result = LeakyNode.apply(start, torch.add(a, b, alpha=factor), slope)
        if call.func in WRITING:
            mode.saver.before_write(call.x)
            result = call.x.copy_(result)
    mode.pieces.put(result, Piece(result, parents, lambda values: values[0] + factor * values[1], bends=True))
    return result


@RELU_BACKWARD.rule_for("sum", "mean", arguments=("input", "dim", "keepdim"))
def total_along(mode: ReLUPass, call: Call) -> Result:
    """As it is; of the halves of a leaky ReLU side by side, its gradient."""
    axis = call.rest[0] if call.rest else None
    axis = axis[0] if isinstance(axis, tuple | list) and len(axis) == 1 else axis
    x = call.x
    if call.named or not isinstance(axis, int) or not needs_relevance(x) or (root := mode.pieces.root_along(x, axis)) is None:
        return mode.plain(call)
    factor, piece = (1 / x.shape[axis] if call.func.__name__ == "mean" else 1.0), mode.pieces.of(x)
    slope = _slope_of_halves(root, [(x, piece, factor)], axis)
    if slope is None:
        return mode.plain(call)
    mode.relus -= root.take_relus()
    return LeakyNode.apply(root.tensor(), call.run(x.detach()), slope)


def _slope_of_halves(root: Root, parts: list[tuple[Tensor, Piece, float]], axis: int | None = None) -> Tensor | None:
    """What the values of a root are multiplied by in the sum of its halves; None if two of them are not 0 on one side.

    Args:
        root: what they are halves of.
        parts: tensors, what is known of them, and factors.
        axis: the axis along which a tensor holds halves, if it holds all.
    """
    try:
        return _slope(root, parts, axis)
    except UnknownPieceError:
        return None


def _slope(root: Root, parts: list[tuple[Tensor, Piece, float]], axis: int | None) -> Tensor | None:
    slope = torch.zeros(())
    for sign in (1.0, -1.0):
        found = [(values, factor * root.slopes(piece, sign)) for values, piece, factor in parts]
        if axis is not None:
            found = [pair for values, slopes in found for pair in zip(values.unbind(axis), slopes.unbind(axis), strict=True)]
        if bool((torch.stack([slopes.expand(values.shape) for values, slopes in found]) != 0).sum(0).gt(1).any()):
            return None
        for values, slopes in found:
            slope = torch.where((slopes != 0) & (values.detach() != 0), slopes.to(values), slope.to(values))
    return slope


@RELU_BACKWARD.rule_for("relu6", "relu6_")
def relu6(mode: ReLUPass, call: Call) -> Tensor:
    """A ReLU cut off at 6."""
    return _replaced(mode, call, upper=6.0)


@RELU_BACKWARD.rule_for("clamp", "clamp_", "clip", "clip_")
def clamp(mode: ReLUPass, call: Call) -> Tensor:
    """A ReLU if the lower limit is 0."""
    return _replaced(mode, call, _argument(call, "max", 1), is_zero(_argument(call, "min", 0)))


@RELU_BACKWARD.rule_for("clamp_min", "clamp_min_")
def clamp_min(mode: ReLUPass, call: Call) -> Tensor:
    """The same without an upper limit."""
    return _replaced(mode, call, None, is_zero(_argument(call, "min", 0)))


@RELU_BACKWARD.rule_for("hardtanh", "hardtanh_")
def hardtanh(mode: ReLUPass, call: Call) -> Tensor:
    """A ReLU if the lower limit is 0."""
    return _replaced(mode, call, _argument(call, "max_val", 1), is_zero(_argument(call, "min_val", 0)))


@RELU_BACKWARD.rule_for("threshold", "threshold_")
def threshold(mode: ReLUPass, call: Call) -> Tensor:
    """A ReLU if values up to 0 become 0."""
    return _replaced(mode, call, None, is_zero(_argument(call, "threshold", 0)) and is_zero(_argument(call, "value", 1)))


@RELU_BACKWARD.rule_for(*ABOVE, *BELOW)
def compared(mode: ReLUPass, call: Call) -> Result:
    """A mask, which may make a ReLU of a signal."""
    result = mode.plain(call)
    mode.masks.compared(call, result)
    return result


@RELU_BACKWARD.rule_for("maximum", "fmax", "max")
def maximum(mode: ReLUPass, call: Call) -> Result:
    """A ReLU if one of two tensors is full of zeros."""
    if len(call.args) != 2 or call.kwargs or not all(isinstance(value, Tensor) for value in call.args):
        return mode.plain(call)
    for signal, other in (call.args, call.args[::-1]):
        if needs_relevance(signal) and is_zero(other):
            return _relu_of(mode, call, signal)
    return mode.plain(call)


@RELU_BACKWARD.rule_for("where")
def where(mode: ReLUPass, call: Call) -> Result:
    """A ReLU if values above 0 are kept, and others are 0."""
    if len(call.args) != 3 or call.kwargs:
        return mode.plain(call)
    a, condition, b = call.args if call.func is Tensor.where else (call.args[1], call.args[0], call.args[2])
    for signal, other, is_above in ((a, b, True), (b, a, False)):
        if needs_relevance(signal) and is_zero(other) and _is_sign(mode, condition, signal, is_above):
            return _relu_of(mode, call, signal)
    return mode.plain(call)


@RELU_BACKWARD.rule_for("mul", "multiply", "__mul__", "__rmul__")
def product(mode: ReLUPass, call: Call) -> Result:
    """A ReLU if values above 0 are multiplied by 1, and others by 0."""
    if len(call.args) == 2 and not call.kwargs:
        for signal, other in (call.args, call.args[::-1]):
            if needs_relevance(signal) and _is_sign(mode, other, signal, is_above=True):
                return _relu_of(mode, call, signal)
    return mode.plain(call)


@RELU_BACKWARD.rule_for("masked_fill", arguments=("input", "mask", "value"))
def masked(mode: ReLUPass, call: Call) -> Result:
    """A ReLU if values below 0 become 0."""
    is_relu = len(call.rest) == 2 and is_zero(call.rest[1]) and _is_sign(mode, call.rest[0], call.x, is_above=False)
    return _relu_of(mode, call, call.x) if is_relu else mode.plain(call)


def _is_sign(mode: ReLUPass, condition: object, signal: object, is_above: bool) -> bool:
    mask = mode.masks.of(condition)
    return mask is not None and mask.root is signal and mask.number == 0 and mask.is_above == is_above


def _relu_of(mode: ReLUPass, call: Call, signal: Tensor) -> Tensor:
    """A ReLU of a signal that another operation is."""
    return mode.carry_out_relu(Call(lambda x: call.with_signals([signal], [x]), (signal,), {}), None)


def _replaced(mode: ReLUPass, call: Call, upper: Limit = None, is_relu: bool = True) -> Tensor:
    if not needs_relevance(call.x) or not is_relu:
        result: Tensor = mode.plain(call)
        return result
    return mode.carry_out_relu(call, upper)


def _argument(call: Call, name: str, position: int) -> Limit:
    """A limit, of numbers that are constants: one number, if they are alike."""
    value = call.rest[position] if len(call.rest) > position else call.named.get(name)
    if not isinstance(value, Tensor) or not value.numel():
        return value
    value = value.detach()
    return float(value.flatten()[0]) if bool((value == value.flatten()[0]).all()) else value
