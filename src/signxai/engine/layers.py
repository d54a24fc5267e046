"""Linear layers as pure functions of their input and their weight: what LRP rules are written in.

A layer answers two questions for any elementwise map of its weight: the output, and the transposed map (the
vector-Jacobian product). No rule needs anything else, so none branches on the type of layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import ClassVar, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.once import computed_once
from signxai.engine.samples import Places, SampleLayout
from signxai.engine.torch_functions import Operation

WeightMap: TypeAlias = Callable[[Tensor], Tensor]
"""An elementwise map of weights, for example the positive part."""

ConvolutionOptions: TypeAlias = tuple[Sequence[int], Sequence[int], Sequence[int], bool, Sequence[int], int]

AnyLayer = TypeVar("AnyLayer", bound="Layer")

_convolution_backward = torch.ops.aten.convolution_backward.default
_convolution_by_sample = torch.ops.aten.thnn_conv2d.default

_SMALL_CONVOLUTION = 1 << 18
"""Products per sample up to which a convolution runs sample by sample, where that is as fast as all at once."""

_SMALL_MATRIX = 1 << 14
"""Weights up to which a linear layer is computed in float64, where that costs little more than its call."""

_BLOCK = 1 << 20
"""Weights of a matrix mapped at a time: they stay in the cache, where a mapped copy of the matrix would not."""

_FEW_VECTORS = 4
"""At most so many vectors are multiplied with such blocks element by element."""


class ChannelMap:
    """``y -> scale * y + shift`` per channel, computed when a rule asks for it: what a batch norm in evaluation mode is."""

    def __init__(self, scale: Callable[[], Tensor], shift: Callable[[Tensor], Tensor]) -> None:
        self._scale = scale
        self._shift = shift

    @computed_once
    def scale(self) -> Tensor:
        """The factors (channels,)."""
        return self._scale()

    @computed_once
    def shift(self) -> Tensor:
        """The summands (channels,)."""
        return self._shift(self.scale)

    def then(self, other: ChannelMap) -> ChannelMap:
        """This map with another behind it."""
        return ChannelMap(lambda: self.scale * other.scale, lambda _: self.shift * other.scale + other.shift)


def batch_norm_map(mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> ChannelMap:
    """The map per channel that a batch norm in evaluation mode is."""

    def scale() -> Tensor:
        inverse = (var + eps).rsqrt_()
        return inverse if weight is None else inverse.mul_(weight)

    def shift(scale: Tensor) -> Tensor:
        return -mean * scale if bias is None else torch.addcmul(bias, mean, scale, value=-1)

    return ChannelMap(scale, shift)


class Layer(ABC):
    """``y = W x + b``, with a map per output channel behind it where a batch norm is folded in."""

    kind: ClassVar[str]
    samples: Places = SampleLayout.EACH_ROW
    """Where the samples are in its input."""
    zeros_around: Sequence[int] = ()
    """What of the tensor that it reads is its padding, as ``F.pad`` counts it, and no input."""
    zeros_around_each: Sequence[Sequence[int]] = ()
    """The same of each sample, where it differs from one to another."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.own_weight = weight.detach() if weight.requires_grad else weight
        self.own_bias = bias.detach() if bias is not None and bias.requires_grad else bias
        self.channel_map: ChannelMap | None = None

    @computed_once
    def weight(self) -> Tensor:
        """The weight, what is folded in included."""
        return self.own_weight if self.channel_map is None else self._scaled_weight(self.channel_map.scale)

    @computed_once
    def bias(self) -> Tensor | None:
        """The bias (out,), what is folded in included, or None."""
        if self.channel_map is None:
            return self.own_bias
        shift = self.channel_map.shift
        return shift if self.own_bias is None else self.own_bias * self.channel_map.scale + shift

    @abstractmethod
    def output(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's output for another input, weight and bias."""

    def output_as_called(self, x: Tensor) -> Tensor:
        """The layer's output, bit by bit as the call that it stands for gives it."""
        return self.output(x, self.weight, self.bias)

    @abstractmethod
    def transposed(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """``W^T g`` for another weight, in the shape of ``x``."""

    def is_batch_invariant(self, x: Tensor) -> bool:
        """Whether ``output`` takes an algorithm of its own, which treats each sample alike in a batch and alone.

        Torch's algorithms for one sample and for several differ by float32's rounding, which a rule without a stabilizer
        magnifies where a pre-activation is near 0. For a small layer there is one that costs no more and does not.
        """
        return False

    @property
    @abstractmethod
    def channels(self) -> torch.Size:
        """The shape of what has a value for each output channel, such as the bias."""

    @abstractmethod
    def channel_index(self, shape: torch.Size) -> Tensor:
        """The number of the output channel that each value of an output of this shape belongs to; int64, of stride 0 otherwise."""

    @abstractmethod
    def can_fold(self, output: Tensor) -> bool:
        """Whether a per-channel map on axis 1 behind this layer acts on its output channels."""

    @abstractmethod
    def _scaled_weight(self, scale: Tensor) -> Tensor:
        """The weight times a scale per output channel."""

    @abstractmethod
    def _channels_last_axis(self) -> bool:
        """Whether the output's channels are its last axis (else axis 1)."""

    def of_each_sample(self) -> list[Layer]:
        """This layer as it is for each sample; none where it is one for all."""
        return []

    def folded(self: AnyLayer, channel_map: ChannelMap) -> AnyLayer:
        """This layer with a map per output channel behind it."""
        result = object.__new__(type(self))
        state = result.__dict__
        state.update(self.__dict__)
        state.pop("weight", None)  # computed from the map
        state.pop("bias", None)
        result.channel_map = channel_map if self.channel_map is None else self.channel_map.then(channel_map)
        return result

    def without(self: AnyLayer, *parameters: str) -> AnyLayer:
        """This layer with its "weight", its "bias" or both as zeros, what is folded in included."""
        if not parameters:
            return self
        result = copy(self)
        result.channel_map = None
        result.own_weight = torch.zeros_like(self.weight) if "weight" in parameters else self.weight
        result.own_bias = None if "bias" in parameters else self.bias
        result.__dict__.pop("weight", None)  # computed anew
        result.__dict__.pop("bias", None)
        return result

    def transposed_own(self, gradient: Tensor, x: Tensor) -> Tensor:
        """``W^T g`` for the layer's own weight; ``gradient`` may be overwritten."""
        if self.channel_map is None or self.own_weight.numel() < gradient.numel():
            return self.transposed(gradient, self.weight, x)
        scale = self.channel_map.scale
        scale = scale if self._channels_last_axis() else scale.view(-1, *(1,) * (gradient.ndim - 2))
        return self.transposed(gradient.mul_(scale), self.own_weight, x)

    def through_bias(self, share: Tensor, bias: Tensor | None) -> float:
        """``sum_j b_j s_j``: what flows into a bias (out,) when the outputs have these shares."""
        if bias is None:
            return 0.0
        channels = share if self._channels_last_axis() else share.movedim(1, -1)
        return float((channels * bias).sum(dtype=torch.float64))

    def runs_in_blocks(self) -> bool:
        """Whether the weight is a matrix so large that it is best mapped block by block; see ``LinearLayer.signed_blocks``."""
        return False

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


def row_blocks(weight: Tensor) -> list[slice]:
    """The rows of a large matrix in blocks."""
    rows = max(1, _BLOCK // weight.shape[1])
    return [slice(start, start + rows) for start in range(0, len(weight), rows)]


class BlockProducts:
    """Products of vectors x (n, in) or g (n, out) with a matrix of which blocks of rows are made one after the other.

    A few vectors are multiplied element by element: BLAS may divide a block among threads otherwise than the operation that has
    just made it, and half of it would move from one core's cache to another's, which takes several times as long.
    """

    def __init__(self, weight: Tensor, vectors: int) -> None:
        shape = (len(weight[row_blocks(weight)[0]]), weight.shape[1])
        self.by_element = vectors <= _FEW_VECTORS
        self._scratch = weight.new_empty(shape if self.by_element else 0)
        self._sums = weight.new_zeros((vectors, *shape) if self.by_element else (vectors, weight.shape[1]))

    def output(self, x: Tensor, block: Tensor) -> Tensor:
        """``block x`` (n, rows)."""
        if not self.by_element:
            return F.linear(x, block)
        return torch.stack([torch.mul(block, vector, out=self._scratch[: len(block)]).sum(1) for vector in x])

    def add_transposed(self, gradient: Tensor, block: Tensor) -> None:
        """Add ``block^T g`` to the result."""
        if not self.by_element:
            self._sums += gradient.matmul(block)
            return
        for sums, vector in zip(self._sums, gradient, strict=True):
            sums[: len(block)].addcmul_(block, vector.unsqueeze(1))

    def transposed(self) -> Tensor:
        """The sum of what was added (n, in)."""
        return self._sums.sum(1) if self.by_element else self._sums


class _BlockwiseMap(MappedLayer):
    """A large matrix mapped block by block, at each use: faster than writing and reading a mapped copy of it."""

    def __init__(self, weight: Tensor, weight_map: WeightMap) -> None:
        self.weight = weight
        self.weight_map = weight_map
        self.blocks = row_blocks(weight)

    def output(self, x: Tensor, bias: Tensor | None) -> Tensor:
        vectors = x.reshape(-1, x.shape[-1])
        products = BlockProducts(self.weight, len(vectors))
        result = torch.cat([products.output(vectors, self.weight_map(self.weight[rows])) for rows in self.blocks], dim=1)
        result = result if bias is None else result.add_(bias)
        return result.view(*x.shape[:-1], len(self.weight))

    def transposed(self, gradient: Tensor, x: Tensor) -> Tensor:
        vectors = gradient.reshape(-1, gradient.shape[-1])
        products = BlockProducts(self.weight, len(vectors))
        for rows in self.blocks:
            products.add_transposed(vectors[:, rows], self.weight_map(self.weight[rows]))
        return products.transposed().view(x.shape)


class LinearLayer(Layer):
    """``torch.nn.functional.linear`` over the last axis: x (N, ..., in), W (out, in), b (out,)."""

    kind: ClassVar[str] = "linear"

    def output(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.is_batch_invariant(x):
            return F.linear(x.double(), weight.double(), None if bias is None else bias.double()).float()
        return F.linear(x, weight, bias)

    def output_as_called(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def is_batch_invariant(self, x: Tensor) -> bool:
        """Whether this is a small matrix on samples without further axes, computed in float64."""
        return x.ndim == 2 and self.own_weight.numel() <= _SMALL_MATRIX and _in_float32_on_cpu(x, self.own_weight)

    def transposed(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        return gradient.matmul(weight)

    @property
    def channels(self) -> torch.Size:
        return self.own_weight.shape[:1]

    def channel_index(self, shape: torch.Size) -> Tensor:
        return torch.arange(shape[-1], device=self.own_weight.device).expand(shape)

    def can_fold(self, output: Tensor) -> bool:
        return output.ndim == 2

    def _scaled_weight(self, scale: Tensor) -> Tensor:
        return self.own_weight * scale[:, None]

    def _channels_last_axis(self) -> bool:
        return True

    def mapped(self, weight_map: WeightMap) -> MappedLayer:
        return _BlockwiseMap(self.weight, weight_map) if self.runs_in_blocks() else _WholeMap(self, weight_map)

    def runs_in_blocks(self) -> bool:
        return self.own_weight.numel() > 4 * _BLOCK

    def signed_blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Rows of the weight, their positive and their negative part, which are valid until the next ones are asked for."""
        weight, blocks = self.weight, row_blocks(self.weight)
        positive, negative = torch.empty_like(weight[blocks[0]]), torch.empty_like(weight[blocks[0]])
        for rows in blocks:
            block = weight[rows]
            count = len(block)
            yield rows, torch.clamp(block, min=0, out=positive[:count]), torch.clamp(block, max=0, out=negative[:count])


class MatmulLayer(Layer):
    """``torch.matmul`` with constant matrices: x (N, ..., k, in), W (..., in, out), one for each place on the axes in front."""

    kind: ClassVar[str] = "linear"

    def output(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        result = torch.matmul(x, weight)
        return result if bias is None else result + bias.unsqueeze(-2)

    def transposed(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        return gradient.matmul(weight.transpose(-1, -2)).sum_to_size(x.shape)

    @property
    def channels(self) -> torch.Size:
        return torch.Size((*self.own_weight.shape[:-2], self.own_weight.shape[-1]))

    def channel_index(self, shape: torch.Size) -> Tensor:
        index = torch.arange(self.channels.numel(), device=self.own_weight.device).view(self.channels)
        return index.unsqueeze(-2).expand(shape)

    def can_fold(self, output: Tensor) -> bool:
        return False

    def _scaled_weight(self, scale: Tensor) -> Tensor:
        return self.own_weight * scale.unsqueeze(-2)

    def transposed_own(self, gradient: Tensor, x: Tensor) -> Tensor:
        return self.transposed(gradient, self.weight, x)

    def through_bias(self, share: Tensor, bias: Tensor | None) -> float:
        return 0.0 if bias is None else float((share * bias.unsqueeze(-2)).sum(dtype=torch.float64))

    def _channels_last_axis(self) -> bool:
        return True


class ConvolutionLayer(Layer):
    """A convolution of one to three spatial axes, or its transpose: x (N, C, ...), as ``torch.convolution``.

    Args:
        weight, bias: as that function takes them.
        options: stride, padding, dilation, whether it is transposed, output padding, groups, as that function takes them.
        extra_padding: 'same' with an even kernel, or a padding written apart: as for ``F.pad``, in front of the convolution.
    """

    kind: ClassVar[str] = "convolution"

    def __init__(self, weight: Tensor, bias: Tensor | None, options: ConvolutionOptions, extra_padding: Sequence[int] = ()) -> None:
        super().__init__(weight, bias)
        self.options = options
        self.extra_padding = extra_padding

    def output(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = F.pad(x, self.extra_padding) if self.extra_padding else x
        if self.is_batch_invariant(x):
            return self._by_sample(x, weight, bias)
        return torch.convolution(x, weight, bias, *self.options)

    def output_as_called(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.extra_padding) if self.extra_padding else x
        return torch.convolution(x, self.weight, self.bias, *self.options)

    def is_batch_invariant(self, x: Tensor) -> bool:
        """Whether this is a small convolution that torch can run sample by sample, outside oneDNN."""
        if self.own_weight.numel() > _SMALL_CONVOLUTION:
            return False
        weight, (stride, padding, dilation, is_transpose, _, groups) = self.own_weight, self.options
        if is_transpose or groups != 1 or not 3 <= weight.ndim == x.ndim <= 4 or not _in_float32_on_cpu(x, weight):
            return False
        if max(dilation) != 1 or x.shape[1] != weight.shape[1]:
            return False
        outputs = 1
        for size, kernel, step, pad in zip(x.shape[2:], weight.shape[2:], stride, padding, strict=True):
            outputs *= (size + 2 * pad - kernel) // step + 1
        return 0 < outputs * weight.numel() <= _SMALL_CONVOLUTION

    def _by_sample(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        stride, padding = self.options[:2]
        if x.ndim == 4:
            result: Tensor = _convolution_by_sample(x, weight, weight.shape[2:], bias, stride, padding)
            return result
        wide, weight = x.unsqueeze(2), weight.unsqueeze(2)
        result = _convolution_by_sample(wide, weight, weight.shape[2:], bias, (1, *stride), (0, *padding))
        return result.squeeze(2)

    def behind_padding(self, amounts: Sequence[int]) -> ConvolutionLayer:
        """This layer together with a padding by zeros in front of it, as for ``F.pad``."""
        own = self.extra_padding or (0,) * len(amounts)
        result = copy(self)
        result.extra_padding = [a + b for a, b in zip(own, amounts, strict=True)]
        result.zeros_around, result.zeros_around_each = tuple(amounts), ()
        return result

    def behind_paddings(self, of_each: Sequence[Sequence[int]]) -> ConvolutionLayer:
        """This layer together with a padding of its own in front of it for each sample."""
        result = copy(self)
        result.zeros_around_each = tuple(map(tuple, of_each))
        return result

    def of_each_sample(self) -> list[Layer]:
        return [self.behind_padding(amounts) for amounts in self.zeros_around_each]

    def in_two_axes(self) -> ConvolutionLayer:
        """The layer of one spatial axis, nothing folded into it, as one of two, the first of size 1."""
        stride, padding, dilation, is_transpose, output_padding, groups = self.options
        options = (1, *stride), (0, *padding), (1, *dilation), is_transpose, (0, *output_padding), groups
        return ConvolutionLayer(self.own_weight.unsqueeze(2), self.own_bias, options, self.extra_padding)

    def transposed(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        padded = F.pad(x, self.extra_padding) if self.extra_padding else x
        result: Tensor = _convolution_backward(gradient, padded, weight, None, *self.options, (True, False, False))[0]
        return F.pad(result, [-amount for amount in self.extra_padding]) if self.extra_padding else result

    @property
    def channels(self) -> torch.Size:
        is_transpose, groups = self.options[3], self.options[5]
        return torch.Size((self.own_weight.shape[1] * groups if is_transpose else self.own_weight.shape[0],))

    def channel_index(self, shape: torch.Size) -> Tensor:
        axes = self.own_weight.ndim - 2
        index = torch.arange(self.channels.numel(), device=self.own_weight.device)
        return index.view(-1, *(1,) * axes).expand(shape)

    def can_fold(self, output: Tensor) -> bool:
        return output.ndim == self.own_weight.ndim

    def _scaled_weight(self, scale: Tensor) -> Tensor:
        weight = self.own_weight
        spatial = (1,) * (weight.ndim - 2)
        is_transpose, groups = self.options[3], self.options[5]
        if not is_transpose:
            return weight * scale.view(-1, 1, *spatial)
        grouped = weight.reshape(groups, -1, *weight.shape[1:]) * scale.view(groups, 1, -1, *spatial)
        return grouped.flatten(0, 1)

    def _channels_last_axis(self) -> bool:
        return False


def _in_float32_on_cpu(x: Tensor, weight: Tensor) -> bool:
    return x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"


def _per_axis(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    if type(value) is tuple and len(value) == axes:
        return value
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> LinearLayer:
    """The layer of a call ``F.linear(input, weight, bias)``."""
    return LinearLayer(weight, bias)


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
    options = (_per_axis(stride, axes), paddings, dilations, False, (0,) * axes, groups)
    return ConvolutionLayer(weight, bias, options, extra)


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
    options = (
        *(_per_axis(stride, axes), _per_axis(padding, axes), _per_axis(dilation, axes)),
        *(True, _per_axis(output_padding, axes), groups),
    )
    return ConvolutionLayer(weight, bias, options)


CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")

LAYER_OF_FUNCTION: dict[Operation, Callable[..., Layer]] = {
    F.linear: linear,
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), convolution),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), transposed_convolution),
}
