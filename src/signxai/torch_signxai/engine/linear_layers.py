"""Linear layers as pure functions of their input and their weight: what LRP rules are written in.

A layer answers two questions for any weight of its shape: the output, and the transposed map (the vector-Jacobian
product). No rule needs anything else, so none branches on the type of layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LinearLayer:
    """``y = W x + b`` over the last axis, as ``torch.nn.functional.linear``: x (N, ..., in), W (out, in), b (out,)."""

    weight: Tensor
    bias: Tensor | None

    kind = "linear"

    def output(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's output for another input, weight and bias."""
        return F.linear(x, weight, bias)

    def transposed(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """``W^T g``, in the shape of ``x``."""
        return gradient.matmul(weight)

    def can_fold(self, output: Tensor) -> bool:
        """Whether a per-channel map on axis 1 behind this layer acts on its output features."""
        return output.ndim == 2 and self.weight.ndim == 2

    def folded(self, scale: Tensor, shift: Tensor) -> LinearLayer:
        """This layer with ``y -> scale * y + shift`` per output feature behind it."""
        return replace(self, weight=self.weight * scale[:, None], bias=_folded_bias(self.bias, scale, shift))


@dataclass(frozen=True, slots=True)
class ConvolutionLayer:
    """A convolution of one to three spatial axes, or its transpose: x (N, C, ...), as ``torch.convolution``."""

    weight: Tensor
    bias: Tensor | None
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    is_transpose: bool
    output_padding: Sequence[int]
    groups: int
    extra_padding: Sequence[int] = ()  # 'same' with an even kernel: as for F.pad, in front of the convolution

    kind = "convolution"

    def output(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's output for another input, weight and bias."""
        x = F.pad(x, self.extra_padding) if self.extra_padding else x
        return torch.convolution(
            x, weight, bias, self.stride, self.padding, self.dilation, self.is_transpose, self.output_padding, self.groups
        )

    def transposed(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """``W^T g``, in the shape of ``x``."""
        padded = F.pad(x, self.extra_padding) if self.extra_padding else x
        result: Tensor = torch.ops.aten.convolution_backward(
            gradient,
            padded,
            weight,
            None,
            self.stride,
            self.padding,
            self.dilation,
            self.is_transpose,
            self.output_padding,
            self.groups,
            (True, False, False),
        )[0]
        return F.pad(result, [-amount for amount in self.extra_padding]) if self.extra_padding else result

    def can_fold(self, output: Tensor) -> bool:
        """Whether a per-channel map on axis 1 behind this layer acts on its output channels."""
        return output.ndim == self.weight.ndim

    def folded(self, scale: Tensor, shift: Tensor) -> ConvolutionLayer:
        """This layer with ``y -> scale * y + shift`` per output channel behind it."""
        weight = self.weight
        spatial = (1,) * (weight.ndim - 2)
        if self.is_transpose:
            grouped = weight.view(self.groups, -1, *weight.shape[1:]) * scale.view(self.groups, 1, -1, *spatial)
            weight = grouped.flatten(0, 1)
        else:
            weight = weight * scale.view(-1, 1, *spatial)
        return replace(self, weight=weight, bias=_folded_bias(self.bias, scale, shift))


Layer = LinearLayer | ConvolutionLayer


def _folded_bias(bias: Tensor | None, scale: Tensor, shift: Tensor) -> Tensor:
    return shift if bias is None else bias * scale + shift


def _per_axis(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> LinearLayer:
    """The layer of a call ``F.linear(input, weight, bias)``."""
    return LinearLayer(weight.detach(), None if bias is None else bias.detach())


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> ConvolutionLayer:
    """The layer of a call ``F.conv1d(...)``, ``F.conv2d(...)`` or ``F.conv3d(...)``."""
    axes = weight.ndim - 2
    dilations = _per_axis(dilation, axes)
    extra: tuple[int, ...] = ()
    if isinstance(padding, str):
        paddings, extra = _named_padding(padding, weight.shape[2:], dilations)
    else:
        paddings = _per_axis(padding, axes)
    return ConvolutionLayer(
        weight.detach(),
        None if bias is None else bias.detach(),
        _per_axis(stride, axes),
        paddings,
        dilations,
        False,
        (0,) * axes,
        groups,
        extra,
    )


def _named_padding(name: str, kernel: Sequence[int], dilation: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Padding on both sides, and what 'same' adds behind the last element where the total is odd."""
    if name == "valid":
        return (0,) * len(kernel), ()
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if all(total % 2 == 0 for total in totals):
        return tuple(total // 2 for total in totals), ()
    extra = [amount for total in reversed(totals) for amount in (total // 2, total - total // 2)]
    return (0,) * len(kernel), tuple(extra)


def transposed_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> ConvolutionLayer:
    """The layer of a call ``F.conv_transpose1d(...)`` to ``F.conv_transpose3d(...)``."""
    axes = weight.ndim - 2
    return ConvolutionLayer(
        weight.detach(),
        None if bias is None else bias.detach(),
        _per_axis(stride, axes),
        _per_axis(padding, axes),
        _per_axis(dilation, axes),
        True,
        _per_axis(output_padding, axes),
        groups,
    )


LAYER_OF_FUNCTION: dict[Any, Any] = {
    F.linear: linear,
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), convolution),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), transposed_convolution),
}
