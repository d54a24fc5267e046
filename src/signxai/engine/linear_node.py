"""One linear layer in autograd's graph, under the rule that is chosen for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from signxai.common.errors import ModelError
from signxai.engine.graph import Node, RelevanceNode
from signxai.engine.layers import LAYER_OF_FUNCTION, Layer
from signxai.engine.moves import Moves
from signxai.engine.saved import SavedTensor, Saver
from signxai.engine.torch_functions import Operation


class LayerRule(Protocol):
    """How relevance passes one linear layer; see ``methods.rules`` for the rules there are."""

    active: bool

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        """Relevance at the input of ``layer``."""
        ...

    def absorbed(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> tuple[float, float]:
        """How much of the relevance the bias and the stabilizer take."""
        ...


class RuleSite:
    """One linear layer as it was executed: what its rule needs, and which rule that is (resolved at the latest in backward).

    Where relevance passes ``once``, input and output are let go of then, which bounds the memory.
    """

    __slots__ = ("choose_rule", "layer", "moves", "once", "x", "z")

    def __init__(self, layer: Layer, choose_rule: Callable[[], LayerRule], once: bool = True, moves: Moves | None = None) -> None:
        self.layer = layer
        self.choose_rule = choose_rule
        self.once = once
        self.moves = moves  # what has moved the layer's output before constants behind it became part of it
        self.x: SavedTensor | None = None  # set before the forward pass where the input is saved already
        self.z: SavedTensor

    def taken(self) -> tuple[Tensor, Tensor]:
        """Its input and its output."""
        assert self.x is not None
        z, x = self.z.take(), self.x.take()
        return _without_padding(self.layer, x), z if self.moves is None else self.moves.back(z)

    def samples(self, relevance: Tensor) -> list[tuple[Layer, Tensor, Tensor, Tensor]]:
        """The layer, its input, its output and the relevance of each sample, where their paddings differ; else of all at once."""
        x, z = self.taken()
        layers = self.layer.of_each_sample()
        if not layers:
            return [(self.layer, x, z, relevance)]
        rows = [slice(row, row + 1) for row in range(len(layers))]
        return [(layer, _without_padding(layer, x[row]), z[row], relevance[row]) for layer, row in zip(layers, rows, strict=True)]

    def relevance_of(self, moved: Tensor) -> Tensor:
        """Relevance at the layer's input, from that at its output, moved as that is."""
        return self.relevance(moved if self.moves is None else self.moves.back(moved))

    def relevance(self, relevance: Tensor) -> Tensor:
        """Relevance at the layer's input, from that at its output."""
        rule = self.choose_rule()
        assert self.x is not None
        samples = self.samples(relevance)
        if self.once:
            self.x.release()
            self.z.release()
        found = []
        for layer, x, z, of_sample in samples:
            result = rule.relevance(layer, x, z, of_sample) if rule.active else layer.transposed(of_sample, layer.weight, x)
            found.append(F.pad(result, tuple(layer.zeros_around)) if layer.zeros_around else result)
        return found[0] if len(found) == 1 else torch.cat(found)


def _without_padding(layer: Layer, x: Tensor) -> Tensor:
    return F.pad(x, [-amount for amount in layer.zeros_around]) if layer.zeros_around else x


class LinearNode(RelevanceNode):
    """A linear layer under an LRP rule."""

    words = "the rule of the layer"
    is_linear_layer = True

    @staticmethod
    def forward(ctx: Node, x: Tensor, compute: Callable[[Tensor], Tensor], site: RuleSite, saver: Saver) -> Tensor:
        z = compute(x)
        z = z.data if z._is_view() else z  # a view made here could not be written to: of its memory nobody else knows
        site.x = saver.save(x) if site.x is None else site.x
        site.z = saver.save(z)
        ctx.site = site
        return z

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.site.relevance_of(relevance), None, None, None


_FUNCTION_OF: dict[type[nn.Module], Operation] = {
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
    kind = type(module) if type(module) in _FUNCTION_OF else next((kind for kind in _FUNCTION_OF if isinstance(module, kind)), None)
    if kind is None:
        raise ModelError(f"{type(module).__name__} is not a linear layer; LRP rules apply to Linear, Conv1d-3d and ConvTranspose1d-3d")
    make = LAYER_OF_FUNCTION[_FUNCTION_OF[kind]]
    layer: Layer = make(None, module.weight, module.bias, *_options_of(module))
    return layer


_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def _options_of(module: Any) -> tuple[Any, ...]:
    """What a module's function takes behind input, weight and bias."""
    if isinstance(module, nn.Linear):
        return ()
    if isinstance(module, _TRANSPOSED):
        return module.stride, module.padding, module.output_padding, module.groups, module.dilation
    return module.stride, module.padding if module.padding_mode == "zeros" else 0, module.dilation, module.groups


def _padded(module: Any, x: Tensor) -> Tensor:
    """The input behind a padding that is not by zeros, which copies inputs: relevance follows its gradient."""
    mode = getattr(module, "padding_mode", "zeros")
    return x if mode == "zeros" else F.pad(x, module._reversed_padding_repeated_twice, mode=mode)


def rule_output(module: nn.Module, rule: LayerRule, x: Tensor, output: Tensor) -> Tensor:
    """A module's output, cut from its own graph and tied to its input by ``rule``; copies, so in-place code may follow."""
    site = RuleSite(layer_of_module(module), lambda: rule, once=False)
    compute = output.detach().clone
    result: Tensor = LinearNode.apply(_padded(module, x), lambda _: compute(), site, _CopyingSaver())
    return result


class _CopyingSaver(Saver):
    """Saves copies at once, where nobody watches for in-place operations."""

    def save(self, tensor: Tensor) -> SavedTensor:
        return SavedTensor(tensor.detach().clone())
