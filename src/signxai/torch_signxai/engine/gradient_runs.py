"""Gradients of batch norms and of straight runs by the input alone: what a gradient of parameters would need is not kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from signxai.torch_signxai.engine.linear_layers import ChannelMap, ConvolutionLayer, Layer
from signxai.torch_signxai.engine.straight_runs import Flattening, MaxPooling, Pooling, Stage, Step, pool_backward

Note: TypeAlias = Callable[[Tensor], None]
"""Is told each tensor that is kept."""

Backward: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From the gradient by a step's output, its input and its output to the gradient by its input."""

_relu_backward = torch.ops.aten.threshold_backward.default


class BatchNormNode(Function):
    """A batch norm with fixed statistics, a map per channel: its gradient needs neither its input nor sums over that."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compute: Callable[[Tensor], Tensor], channel_map: ChannelMap) -> Tensor:
        ctx.channel_map = channel_map
        return compute(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _through(ctx.channel_map, gradient), None, None


class GradientRunNode(Function):
    """A run that keeps one tensor per layer, its output: the input of the next, which says where a ReLU between them is active.

    ``is_quick``: batch norms are folded into the layers in front of them, and on the CPU tensors have their channels last in
    memory, for which oneDNN is faster. Sums are rounded otherwise than in the model then.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: list[Step], is_quick: bool, note: Note) -> Tensor:
        ctx.axes = x.ndim if is_quick and _is_quicker_channels_last(x, steps) else 0
        x = _channels_last(x) if ctx.axes else x
        ctx.input = x.detach()  # of which only the shape matters: who called may write to it
        outputs, ctx.backwards = [], []
        for step in steps:
            x, backward = _carried_out(step, x, is_quick, note)
            note(x)
            outputs.append(x)
            ctx.backwards.append(backward)
        ctx.save_for_backward(*outputs)
        return _with_axes(x, ctx.axes).contiguous() if ctx.axes else x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.input, *ctx.saved_tensors
        gradient = _channels_last(gradient) if ctx.axes else gradient
        for index in reversed(range(len(ctx.backwards))):
            gradient = ctx.backwards[index](gradient, tensors[index], tensors[index + 1])
        return _with_axes(gradient, ctx.axes), None, None, None


def _is_quicker_channels_last(x: Tensor, steps: list[Step]) -> bool:
    """Whether there are convolutions of one or two axes that oneDNN carries out."""
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    is_spatial = x.is_cpu and x.dtype == torch.float32 and x.ndim in (3, 4)
    return has_onednn and is_spatial and any(isinstance(step, Stage) and isinstance(step.layer, ConvolutionLayer) for step in steps)


def _channels_last(x: Tensor) -> Tensor:
    """A tensor with one or two axes behind the channels with the channels last in memory, one axis as two: (N, C, 1, L)."""
    if x.ndim == 3:
        x = x.unsqueeze(2)
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _with_axes(x: Tensor, axes: int) -> Tensor:
    """What ``_channels_last`` made of a tensor with so many axes, as it was."""
    return x.squeeze(2) if axes == 3 and x.ndim == 4 else x


def _carried_out(step: Step, x: Tensor, is_quick: bool, note: Note) -> tuple[Tensor, Backward]:
    if isinstance(step, Pooling):
        return _pooled(step, x), lambda gradient, x, _: pool_backward(gradient, x)
    if isinstance(step, MaxPooling):
        return _max_pooled(step, x, note)
    if isinstance(step, Flattening):
        return x.flatten(1), lambda gradient, x, _: gradient.reshape(x.shape)
    return _computed(step, x, is_quick)


def _pooled(step: Pooling, x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, (1, step.size)) if step.axes == 3 and x.ndim == 4 else step.output(x)


def _max_pooled(step: MaxPooling, x: Tensor, note: Note) -> tuple[Tensor, Backward]:
    axes = x.ndim
    output, indices = step.output(x.unsqueeze(2) if axes == 3 else x)
    note(indices)

    def backward(gradient: Tensor, x: Tensor, _: Tensor) -> Tensor:
        if axes == 3:
            return step.gradient(gradient.unsqueeze(2), x.unsqueeze(2), indices).squeeze(2)
        return step.gradient(gradient, x, indices)

    return output.squeeze(2) if axes == 3 else output, backward


def _computed(step: Stage, x: Tensor, is_quick: bool) -> tuple[Tensor, Backward]:
    layer, norm = _layer_and_norm(step, x, is_quick)
    z = layer.output_as_called(x)
    if norm is not None and step.norm is not None:
        z = torch.batch_norm(z, *step.norm)

    def backward(gradient: Tensor, x: Tensor, output: Tensor) -> Tensor:
        gradient = _relu_backward(gradient, output, 0) if step.has_relu else gradient
        gradient = gradient if norm is None else _through(norm, gradient)
        return layer.transposed(gradient, layer.weight, x)

    return z.relu_() if step.has_relu else z, backward


def _layer_and_norm(stage: Stage, x: Tensor, is_quick: bool) -> tuple[Layer, ChannelMap | None]:
    """The layer for an input with so many axes, and the batch norm behind it: None if there is none, or the layer holds it."""
    layer, norm = stage.layer, stage.norm_map()
    if isinstance(layer, ConvolutionLayer) and layer.own_weight.ndim == 3 and x.ndim == 4:
        layer = layer.in_two_axes()
    can_fold = norm is not None and norm.scale.dtype == layer.own_weight.dtype
    if norm is None or not is_quick or not can_fold or layer.own_weight.numel() > x.numel():
        return layer, norm
    return layer.folded(norm), None


def _through(channel_map: ChannelMap, gradient: Tensor) -> Tensor:
    """The gradient in front of a map per channel (axis 1)."""
    scale = channel_map.scale.view(-1, *(1,) * (gradient.ndim - 2))
    return (gradient * scale).to(gradient.dtype)
