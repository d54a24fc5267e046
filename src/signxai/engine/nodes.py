"""Autograd nodes whose backward pass hands on relevance instead of a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from signxai.common.errors import ModelError
from signxai.engine import layers
from signxai.engine.layers import Layer
from signxai.engine.saved import Keeper, Kept
from signxai.engine.stabilizer import Stabilizer, stabilized_share


class Rule(Protocol):
    """How relevance passes one linear layer; see ``zennit_impl.rules`` for the rules there are."""

    active: bool

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        """Relevance at the input of ``layer``."""
        ...

    def absorbed(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> tuple[float, float]:
        """How much of the relevance the bias and the stabilizer take."""
        ...


class RuleSite:
    """One linear layer as it was executed: what its rule needs, and which rule that is (settled at the latest in backward).

    Where relevance passes ``once``, input and output are let go of then, which bounds the memory.
    """

    __slots__ = ("choose_rule", "layer", "once", "x", "z")

    def __init__(self, layer: Layer, choose_rule: Callable[[], Rule], once: bool = True) -> None:
        self.layer = layer
        self.choose_rule = choose_rule
        self.once = once
        self.x: Kept | None = None  # set in front of the forward pass where the input is kept already
        self.z: Kept

    def relevance(self, relevance: Tensor) -> Tensor:
        rule = self.choose_rule()
        assert self.x is not None
        x, z = self.x.take(), self.z.take()
        if self.once:
            self.x.release()
            self.z.release()
        if not rule.active:
            return self.layer.transposed(relevance, self.layer.weight, x)
        return rule.relevance(self.layer, x, z, relevance)


class LinearNode(Function):
    """A linear layer under an LRP rule."""

    holds_linear_layers = True

    @staticmethod
    def forward(ctx: Any, x: Tensor, compute: Callable[[Tensor], Tensor], site: RuleSite, keeper: Keeper) -> Tensor:
        z = compute(x)
        site.x = keeper.keep(x) if site.x is None else site.x
        site.z = keeper.keep(z)
        ctx.site = site
        return z

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.site.relevance(relevance), None, None, None


class PassNode(Function):
    """An elementwise activation: relevance passes through unchanged. ``squash`` ranks it as a gate (see ``is_gate``)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compute: Callable[[Tensor], Tensor], squash: int) -> Tensor:
        ctx.squash = squash
        result = compute(x)
        if result is x:
            ctx.mark_dirty(x)
        return result

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance, None, None


class CutOffNode(Function):
    """An activation that is cut off at constants (ReLU6): relevance passes, but where a constant stands for the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compute: Callable[[Tensor], Tensor], squash: int) -> Tensor:
        ctx.squash = squash
        before = x.clone()
        result = compute(x)
        if result is x:
            ctx.mark_dirty(x)
        ctx.is_constant = (result != before) & (result != 0)
        return result

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance.masked_fill(ctx.is_constant, 0.0), None, None


class ReLUNode(Function):
    """A ReLU, or one cut off at ``upper`` (ReLU6), whose backward pass is given: ``(gradient, where active) -> gradient``."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, compute: Callable[[Tensor], Tensor], backward: Callable[[Tensor, Tensor], Tensor], upper: float | None
    ) -> Tensor:
        result = compute(x)
        if result is x:
            ctx.mark_dirty(x)
        ctx.active = result > 0 if upper is None else (result > 0) & (result < upper)
        ctx.rule = backward
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.rule(gradient, ctx.active), None, None, None


class TimesInput(Function):
    """Identity; in backward the gradient that arrives is multiplied by the input. First half of a share by contribution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keeper: Keeper) -> Tensor:
        ctx.kept = keeper.keep(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.kept.take() * gradient, None


class OverOutput(Function):
    """Identity; in backward relevance is divided by the output. Second half of a share by contribution."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, factor: float, stabilizer: Stabilizer, keeper: Keeper) -> Tensor:
        ctx.factor, ctx.stabilizer = factor, stabilizer
        result = y.clone()
        ctx.kept = keeper.keep(result)
        return result

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        share = stabilized_share(relevance, ctx.kept.take(), ctx.stabilizer)
        return (share if ctx.factor == 1.0 else share * ctx.factor), None, None, None


class SumSite:
    """One sum of two signals as it was executed: its second term, its result, and its first term unless that was overwritten."""

    __slots__ = ("first", "result", "second", "sign", "stabilizer")

    def __init__(self, sign: int, stabilizer: Stabilizer) -> None:
        self.sign, self.stabilizer = sign, stabilizer
        self.first: Kept | None = None
        self.second: Kept
        self.result: Kept


class SumNode(Function):
    """``a + b`` or ``a - b`` of one shape: each term by its share of the result."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, compute: Callable[[Tensor, Tensor], Tensor], site: SumSite) -> Tensor:
        ctx.site = site
        result = compute(a, b)
        if result is a:
            ctx.mark_dirty(a)
        return result

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        site: SumSite = ctx.site
        result, second = site.result.take(), site.second.take()
        share = stabilized_share(relevance, result, site.stabilizer)
        first = site.first.take() if site.first is not None else torch.sub(result, second, alpha=site.sign)
        to_second = second * share
        return share.mul_(first), to_second if site.sign > 0 else to_second.neg_(), None, None


def sum_by_contribution(
    compute: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, sign: int, in_place: bool, keeper: Keeper, stabilizer: Stabilizer
) -> Tensor:
    """Run ``a + b`` or ``a - b``, possibly into ``a``; in backward each term gets its share (stabilized; 0 / 0 = 0)."""
    site = SumSite(sign, stabilizer)
    site.second = keeper.keep(b)  # before the write: b may be a itself, or a view of it
    if in_place:
        keeper.before_write(a)
    else:
        site.first = keeper.keep(a)
    result: Tensor = SumNode.apply(a, b, compute, site)
    site.result = keeper.keep(result)
    return result


class SoftmaxNode(Function):
    """Softmax along one axis: ``R_i = x_i (R_i - s_i sum_j R_j)`` (Achtibat et al. 2024, AttnLRP, proposition 3.1)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compute: Callable[[Tensor], Tensor], axis: int, keeper: Keeper) -> Tensor:
        result = compute(x)
        ctx.x, ctx.s, ctx.axis, ctx.squash = keeper.keep(x), keeper.keep(result), axis, 2
        return result

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        # masked scores are -inf with a weight of 0: they get none, not NaN
        x = ctx.x.take()
        x = x.masked_fill(x.isinf(), 0.0)
        return x * (relevance - ctx.s.take() * relevance.sum(dim=ctx.axis, keepdim=True)), None, None, None


class EmbeddingNode(Function):
    """The rows of a table that indices name: each index gets the relevance of its row."""

    @staticmethod
    def forward(ctx: Any, origin: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        return compute()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance.sum(dim=-1), None


_LAYER_TYPES: dict[type[nn.Module], Any] = {
    nn.Linear: F.linear,
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
    nn.ConvTranspose1d: F.conv_transpose1d,
    nn.ConvTranspose2d: F.conv_transpose2d,
    nn.ConvTranspose3d: F.conv_transpose3d,
}


def layer_of_module(module: nn.Module) -> Layer:
    """The linear layer that a module is behind its padding, with its weights as they are now.

    Raises:
        ModelError: if the module is not a Linear, ConvNd or ConvTransposeNd.
    """
    kind = type(module) if type(module) in _LAYER_TYPES else next((kind for kind in _LAYER_TYPES if isinstance(module, kind)), None)
    if kind is None:
        raise ModelError(f"{type(module).__name__} is not a linear layer; LRP rules apply to Linear, Conv1d-3d and ConvTranspose1d-3d")
    make = layers.LAYER_OF_FUNCTION[_LAYER_TYPES[kind]]
    layer: Layer = make(None, module.weight, module.bias, *_options_of(module))
    return layer


def _options_of(module: Any) -> tuple[Any, ...]:
    """What a module's function takes behind input, weight and bias."""
    if isinstance(module, nn.Linear):
        return ()
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return module.stride, module.padding, module.output_padding, module.groups, module.dilation
    return module.stride, module.padding if module.padding_mode == "zeros" else 0, module.dilation, module.groups


def _padded(module: Any, x: Tensor) -> Tensor:
    """The input behind a padding that is not by zeros, which copies inputs: relevance follows its gradient."""
    mode = getattr(module, "padding_mode", "zeros")
    return x if mode == "zeros" else F.pad(x, module._reversed_padding_repeated_twice, mode=mode)


def rule_output(module: nn.Module, rule: Rule, x: Tensor, output: Tensor) -> Tensor:
    """A module's output, cut from its own graph and tied to its input by ``rule``; copies, so in-place code may follow."""
    site = RuleSite(layer_of_module(module), lambda: rule, once=False)
    compute = output.detach().clone
    result: Tensor = LinearNode.apply(_padded(module, x), lambda _: compute(), site, _CopyingKeeper())
    return result


class _CopyingKeeper(Keeper):
    """Keeps copies at once, where nobody watches for in-place operations."""

    def keep(self, tensor: Tensor) -> Kept:
        return Kept(tensor.detach().clone())


def share_by_contribution(
    function: Callable[..., Tensor], tensors: tuple[Tensor, ...], keeper: Keeper, stabilizer: Stabilizer = 0.0, factor: float = 1.0
) -> Tensor:
    """Run ``function`` on ``tensors``; in backward each element gets ``factor * x df/dx R / f`` (stabilized; 0 / 0 = 0).

    For a function that is linear in all tensors together (sum, mean) this is the z rule; for one linear in each of two
    (a product), a factor of 1/2 shares relevance evenly between both (AttnLRP, proposition 3.3).
    """
    marked = [TimesInput.apply(t, keeper) if t.requires_grad else t for t in tensors]
    result: Tensor = OverOutput.apply(function(*marked), factor, stabilizer, keeper)
    return result


# Nodes of operations that only move or select elements, or combine them with constants (1 - gate): a gate stays one behind them.
_MOVES = (
    *("View", "Reshape", "Expand", "Unsqueeze", "Squeeze", "Permute", "Transpose", "Alias", "Clone", "Repeat", "Slice", "Select", "T"),
    *("Split", "Unbind", "Rsub", "Sub", "Add", "OverOutput", "TimesInput", "ScaleNode", "UnsafeView", "Mul"),
)


def squash_rank(tensor: Tensor) -> int:
    """How surely a factor is a gate: 2 for sigmoids and softmax, 1 for tanh and clamps, 0 for anything else."""
    node: Any = tensor.grad_fn
    while node is not None and node.name().rstrip("0123456789").removesuffix("Backward").endswith(_MOVES):
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        if len(parents) != 1:
            return 0
        node = parents[0]
    return int(getattr(node, "squash", 0))


def reads_input_only(tensor: Tensor) -> bool:
    """Whether no linear layer lies between the network's input and ``tensor``."""
    stack, seen = [tensor.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        if getattr(getattr(node, "_forward_cls", None), "holds_linear_layers", False):
            return False
        seen.add(node)
        stack.extend(parent for parent, _ in node.next_functions)
    return True


def needs_relevance(value: Any) -> bool:
    """Whether a value depends on the network's input.

    Parameters are frozen while a network is explained; those of modules that it only borrows from elsewhere are leaves, which
    the input never is.
    """
    return isinstance(value, torch.Tensor) and value.requires_grad and not value.is_leaf
