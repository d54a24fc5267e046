"""Gradients of batch norms and of runs of plain layers by the input alone: what a gradient of parameters would need is not saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.engine.fused.runs import Flattening, MaxPooling, Pooling, Stage, Step, pool_backward
from signxai.engine.graph import Node, RelevanceNode
from signxai.engine.layers import ChannelMap, ConvolutionLayer, Layer
from signxai.engine.saved import SavedTensor

Note: TypeAlias = Callable[[Tensor], None]
"""Is told each tensor that is saved."""

Backward: TypeAlias = Callable[[Tensor, Tensor, Tensor, bool], Tensor]
"""From the gradient by a step's output, its input, its output, and whether that gradient may be overwritten, to that by its input."""

_MOST_SUMMANDS = 640
"""Products in a convolution's sums up to which channels last is faster. oneDNN adds them one after the other then: with many, as
it is with 4608 in VGG16, the rounding error is three times that of its other layouts."""


class BatchNormNode(RelevanceNode):
    """A batch norm with fixed statistics, a map per channel: its gradient needs neither its input nor sums over that."""

    @staticmethod
    def forward(ctx: Node, x: Tensor, compute: Callable[[Tensor], Tensor], channel_map: ChannelMap) -> Tensor:
        ctx.channel_map = channel_map
        return compute(x)

    @staticmethod
    def backward(ctx: Node, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _through(ctx.channel_map, gradient), None, None


class GradientRunNode(RelevanceNode):
    """A run that saves one tensor per layer, its output: the input of the next, which says where a ReLU between them is active.

    ``is_quick``: batch norms are folded into the layers in front of them, and where oneDNN is faster so, channels are last in
    memory. Sums are rounded otherwise than in the model then.
    """

    @staticmethod
    def forward(ctx: Node, x: Tensor, steps: list[Step], is_quick: bool, note: Note) -> Tensor:
        ctx.widens = is_quick and x.ndim == 3
        x = x.unsqueeze(2) if ctx.widens else x
        ctx.is_quick, ctx.input = is_quick, x.detach()  # of which only the shape matters: who called may write to it
        ctx.passed = []
        for step in steps:
            x, backward = _carried_out(step, x, is_quick, note)
            note(x)
            ctx.passed.append((backward, SavedTensor(x.detach())))
        x = x.squeeze(2) if ctx.widens and x.ndim == 4 else x
        return x.contiguous() if is_quick else x

    @staticmethod
    def backward(ctx: Node, gradient: Tensor) -> tuple[Tensor | None, ...]:
        given = gradient
        gradient = gradient.unsqueeze(2) if ctx.widens and gradient.ndim == 3 else gradient
        for index in reversed(range(len(ctx.passed))):
            backward, output = ctx.passed[index]
            x = ctx.passed[index - 1][1].take() if index else ctx.input
            gradient = backward(gradient, x, output.take(), _may_be_written(gradient, given))
            if ctx.is_quick:  # such a pass has one backward pass only
                output.release()
        return gradient.squeeze(2) if ctx.widens else gradient, None, None, None


def _may_be_written(gradient: Tensor, given: Tensor) -> bool:
    """Whether a gradient lies in memory of its own: what is given belongs to autograd, which may hand it to others too."""
    return gradient.untyped_storage().data_ptr() != given.untyped_storage().data_ptr()


def _carried_out(step: Step, x: Tensor, is_quick: bool, note: Note) -> tuple[Tensor, Backward]:
    if isinstance(step, Pooling):
        return _pooled(step, x), lambda gradient, x, *_: pool_backward(gradient, x)
    if isinstance(step, MaxPooling):
        return _max_pooled(step, x, is_quick, note)
    if isinstance(step, Flattening):
        return x.flatten(1), lambda gradient, x, *_: gradient.reshape(x.shape)
    return _computed(step, x, is_quick)


def _pooled(step: Pooling, x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, (1, step.size)) if step.axes == 3 and x.ndim == 4 else step.output(x)


def _max_pooled(step: MaxPooling, x: Tensor, is_quick: bool, note: Note) -> tuple[Tensor, Backward]:
    axes = x.ndim
    x = x.unsqueeze(2) if axes == 3 else x
    output, indices = step.output(_laid_out(x, torch.channels_last if is_quick and x.is_cpu else torch.preserve_format))
    note(indices)

    def backward(gradient: Tensor, x: Tensor, output: Tensor, may_write: bool) -> Tensor:
        if axes == 3:
            return step.gradient(gradient.unsqueeze(2), x.unsqueeze(2), indices).squeeze(2)
        return step.gradient(gradient, x, indices)

    return output.squeeze(2) if axes == 3 else output, backward


def _computed(step: Stage, x: Tensor, is_quick: bool) -> tuple[Tensor, Backward]:
    layer, norm = _layer_and_norm(step, x, is_quick)
    memory_format = _memory_format(layer, x) if is_quick else torch.preserve_format
    z = layer.output_as_called(_laid_out(x, memory_format))
    if norm is not None and step.norm is not None:
        z = torch.batch_norm(z, *step.norm)

    def backward(gradient: Tensor, x: Tensor, output: Tensor, may_write: bool) -> Tensor:
        ours = _laid_out(gradient, memory_format)
        if step.has_relu:
            ours = _relu_backward(ours, output, may_write or ours is not gradient)
        ours = ours if norm is None else _through(norm, ours)
        like_x = torch.empty_like(x, memory_format=memory_format)  # the gradient needs no more of it
        return layer.transposed(ours, layer.weight, like_x)

    return z.relu_() if step.has_relu else z, backward


def _relu_backward(gradient: Tensor, output: Tensor, may_write: bool) -> Tensor:
    """The gradient where the ReLU is active, in place where it may be."""
    if may_write:
        return torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)  # type: ignore[no-any-return]
    return torch.ops.aten.threshold_backward.default(gradient, output, 0)  # type: ignore[no-any-return]


def _layer_and_norm(stage: Stage, x: Tensor, is_quick: bool) -> tuple[Layer, ChannelMap | None]:
    """The layer for an input with so many axes, and the batch norm behind it: None if there is none, or the layer holds it."""
    layer, norm = stage.layer, stage.norm_map()
    if isinstance(layer, ConvolutionLayer) and layer.own_weight.ndim == 3 and x.ndim == 4:
        layer = layer.in_two_axes()
    can_fold = norm is not None and norm.scale.dtype == layer.own_weight.dtype
    if norm is None or not is_quick or not can_fold or layer.own_weight.numel() > x.numel():
        return layer, norm
    return layer.folded(norm), None


def _memory_format(layer: Layer, x: Tensor) -> torch.memory_format:
    """How a layer's input and output lie in memory where it is quickest."""
    if x.ndim != 4 or not isinstance(layer, ConvolutionLayer):
        return torch.preserve_format
    return torch.channels_last if _is_quicker_channels_last(layer, x) else torch.contiguous_format


def _is_quicker_channels_last(layer: Layer, x: Tensor) -> bool:
    """Whether oneDNN carries out this convolution and its gradient faster with channels last, and rounds nearly as well."""
    weight = layer.own_weight
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    summands = max(weight[0].numel(), weight[:, 0].numel())
    return has_onednn and x.is_cpu and x.dtype == torch.float32 and summands <= _MOST_SUMMANDS


def _laid_out(x: Tensor, memory_format: torch.memory_format) -> Tensor:
    return x if memory_format == torch.preserve_format else x.contiguous(memory_format=memory_format)


def _through(channel_map: ChannelMap, gradient: Tensor) -> Tensor:
    """The gradient in front of a map per channel (axis 1)."""
    scale = channel_map.scale.view(-1, *(1,) * (gradient.ndim - 2))
    return (gradient * scale).to(gradient.dtype)
