"""Linear layers as pure functions of their input and their weight: what LRP rules are written in.

A layer answers two questions for any elementwise map of its weight: the output, and the transposed map (the
vector-Jacobian product). No rule needs anything else, so none branches on the type of layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

WeightMap: TypeAlias = Callable[[Tensor], Tensor]
"""An elementwise map of weights, for example the positive part."""

AnyLayer = TypeVar("AnyLayer", bound="Layer")

_BLOCK = 1 << 20
"""Weights of a matrix mapped at a time: they stay in the cache, where a mapped copy of the matrix would not."""


@dataclass(frozen=True)
class Layer(ABC):
    """``y = W x + b``, with a scale and shift per output channel behind it where a batch norm is folded in."""

    own_weight: Tensor
    own_bias: Tensor | None
    scale: Tensor | None = None
    shift: Tensor | None = None

    kind: ClassVar[str]

    @cached_property
    def weight(self) -> Tensor:
        """The weight, what is folded in included."""
        return self.own_weight if self.scale is None else self._scaled_weight(self.scale)

    @cached_property
    def bias(self) -> Tensor | None:
        """The bias (out,), what is folded in included, or None."""
        if self.scale is None or self.shift is None:
            return self.own_bias
        return self.shift if self.own_bias is None else self.own_bias * self.scale + self.shift

    @abstractmethod
    def output(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's output for another input, weight and bias."""

    @abstractmethod
    def transposed(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """``W^T g`` for another weight, in the shape of ``x``."""

    @abstractmethod
    def can_fold(self, output: Tensor) -> bool:
        """Whether a per-channel map on axis 1 behind this layer acts on its output channels."""

    @abstractmethod
    def _scaled_weight(self, scale: Tensor) -> Tensor:
        """The weight times a scale per output channel."""

    @abstractmethod
    def _channels_last_axis(self) -> bool:
        """Whether the output's channels are its last axis (else axis 1)."""

    def folded(self: AnyLayer, scale: Tensor, shift: Tensor) -> AnyLayer:
        """This layer with ``y -> scale * y + shift`` per output channel behind it."""
        if self.scale is None or self.shift is None:
            return replace(self, scale=scale, shift=shift)
        return replace(self, scale=self.scale * scale, shift=self.shift * scale + shift)

    def transposed_own(self, gradient: Tensor, x: Tensor) -> Tensor:
        """``W^T g`` for the layer's own weight; ``gradient`` may be overwritten."""
        if self.scale is None or self.own_weight.numel() < gradient.numel():
            return self.transposed(gradient, self.weight, x)
        scale = self.scale if self._channels_last_axis() else self.scale.view(-1, *(1,) * (gradient.ndim - 2))
        return self.transposed(gradient.mul_(scale), self.own_weight, x)

    def mapped(self, weight_map: WeightMap) -> MappedLayer:
        """This layer with each weight replaced by its map."""
        return _WholeMap(self, weight_map)


class MappedLayer(ABC):
    """A layer with its weights under an elementwise map."""

    @abstractmethod
    def output(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The output for an input and a bias."""

    @abstractmethod
    def transposed(self, gradient: Tensor, x: Tensor) -> Tensor:
        """``map(W)^T g``, in the shape of ``x``."""


class _WholeMap(MappedLayer):
    """The mapped weight as one tensor, made once."""

    def __init__(self, layer: Layer, weight_map: WeightMap) -> None:
        self.layer = layer
        self.weight = weight_map(layer.weight)

    def output(self, x: Tensor, bias: Tensor | None) -> Tensor:
        return self.layer.output(x, self.weight, bias)

    def transposed(self, gradient: Tensor, x: Tensor) -> Tensor:
        return self.layer.transposed(gradient, self.weight, x)


class _BlockwiseMap(MappedLayer):
    """A large matrix mapped block by block, at each use: faster than writing and reading a mapped copy of it."""

    def __init__(self, weight: Tensor, weight_map: WeightMap) -> None:
        self.weight = weight
        self.weight_map = weight_map
        rows = max(1, _BLOCK // weight.shape[1])
        self.blocks = [slice(start, start + rows) for start in range(0, len(weight), rows)]

    def output(self, x: Tensor, bias: Tensor | None) -> Tensor:
        result = torch.cat([F.linear(x, self.weight_map(self.weight[rows])) for rows in self.blocks], dim=-1)
        return result if bias is None else result.add_(bias)

    def transposed(self, gradient: Tensor, x: Tensor) -> Tensor:
        result = torch.zeros_like(x)
        for rows in self.blocks:
            result += gradient[..., rows].matmul(self.weight_map(self.weight[rows]))
        return result


@dataclass(frozen=True)
class LinearLayer(Layer):
    """``torch.nn.functional.linear`` over the last axis: x (N, ..., in), W (out, in), b (out,)."""

    kind: ClassVar[str] = "linear"

    def output(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    def transposed(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        return gradient.matmul(weight)

    def can_fold(self, output: Tensor) -> bool:
        return output.ndim == 2

    def _scaled_weight(self, scale: Tensor) -> Tensor:
        return self.own_weight * scale[:, None]

    def _channels_last_axis(self) -> bool:
        return True

    def mapped(self, weight_map: WeightMap) -> MappedLayer:
        if self.own_weight.numel() <= 4 * _BLOCK:
            return _WholeMap(self, weight_map)
        return _BlockwiseMap(self.weight, weight_map)


@dataclass(frozen=True)
class ConvolutionLayer(Layer):
    """A convolution of one to three spatial axes, or its transpose: x (N, C, ...), as ``torch.convolution``."""

    stride: Sequence[int] = ()
    padding: Sequence[int] = ()
    dilation: Sequence[int] = ()
    is_transpose: bool = False
    output_padding: Sequence[int] = ()
    groups: int = 1
    extra_padding: Sequence[int] = ()  # 'same' with an even kernel: as for F.pad, in front of the convolution

    kind: ClassVar[str] = "convolution"

    def output(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = F.pad(x, self.extra_padding) if self.extra_padding else x
        return torch.convolution(
            x, weight, bias, self.stride, self.padding, self.dilation, self.is_transpose, self.output_padding, self.groups
        )

    def transposed(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        padded = F.pad(x, self.extra_padding) if self.extra_padding else x
        options = (self.stride, self.padding, self.dilation, self.is_transpose, self.output_padding, self.groups)
        result: Tensor = torch.ops.aten.convolution_backward(gradient, padded, weight, None, *options, (True, False, False))[0]
        return F.pad(result, [-amount for amount in self.extra_padding]) if self.extra_padding else result

    def can_fold(self, output: Tensor) -> bool:
        return output.ndim == self.own_weight.ndim

    def _scaled_weight(self, scale: Tensor) -> Tensor:
        weight = self.own_weight
        spatial = (1,) * (weight.ndim - 2)
        if not self.is_transpose:
            return weight * scale.view(-1, 1, *spatial)
        grouped = weight.reshape(self.groups, -1, *weight.shape[1:]) * scale.view(self.groups, 1, -1, *spatial)
        return grouped.flatten(0, 1)

    def _channels_last_axis(self) -> bool:
        return False


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
        stride=_per_axis(stride, axes),
        padding=paddings,
        dilation=dilations,
        output_padding=(0,) * axes,
        groups=groups,
        extra_padding=extra,
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
        stride=_per_axis(stride, axes),
        padding=_per_axis(padding, axes),
        dilation=_per_axis(dilation, axes),
        is_transpose=True,
        output_padding=_per_axis(output_padding, axes),
        groups=groups,
    )


LAYER_OF_FUNCTION: dict[Any, Any] = {
    F.linear: linear,
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), convolution),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), transposed_convolution),
}
