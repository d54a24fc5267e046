"""Networks as Keras models and as their PyTorch twins: the same function, with the same weights."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

import keras
from golden import golden
from networks import CLASSES, drawn

L = keras.layers


@contextmanager
def in_float64() -> Iterator[None]:
    """Let Keras compute in float64: on torch, ``Dense`` and means take their values as float32 otherwise, whatever the policy."""
    types = importlib.import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE
    before, policy, narrowed = keras.config.floatx(), keras.config.dtype_policy(), types["float64"]
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    types["float64"] = "float64"
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(policy)
        types["float64"] = narrowed


def channels_last(x: Tensor) -> Tensor:
    """(N, C, ...) as (N, ..., C)."""
    return x.movedim(1, -1).contiguous() if x.ndim > 2 else x


# the golden networks


@cache
def golden_twin(file: str) -> keras.Model:
    """The network of a golden file as a Keras model that reads channels last; the same one at every call, within ``in_float64``."""
    case = golden(file)
    shapes, a = [], case.x
    for module in case.model:
        shapes.append(a.shape[1:])
        a = module(a)
    layers = [L.Input(tuple(channels_last(case.x).shape[1:]))]
    layers += [_golden_layer(module, a.shape[1]) for module, a in zip(case.model, _outputs(case.model, case.x), strict=True)]
    model = keras.Sequential(layers)
    owners = [layer for layer in model.layers if layer.weights]
    modules = [module for module in case.model if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)]
    moved = {id(b): shape for (a, b), shape in zip(pairwise(case.model), shapes, strict=False) if isinstance(a, nn.Flatten)}
    for layer, module in zip(owners, modules, strict=True):
        weight = module.weight.detach()
        if id(module) in moved:
            weight = weight.reshape(len(weight), *moved[id(module)])
            weight = channels_last(weight).flatten(1)
        axes = tuple(range(2, weight.ndim))
        layer.set_weights([weight.permute(*axes, 1, 0).numpy(), module.bias.detach().numpy()])
    return model


def _outputs(modules: nn.Sequential, x: Tensor) -> list[Tensor]:
    outputs = []
    for module in modules:
        x = module(x)
        outputs.append(x)
    return outputs


def _golden_layer(module: nn.Module, width: int) -> keras.Layer:
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        kind = L.Conv1D if isinstance(module, nn.Conv1d) else L.Conv2D
        return kind(width, module.kernel_size, strides=module.stride, padding="same" if any(module.padding) else "valid")
    pool = {nn.MaxPool1d: L.MaxPooling1D, nn.MaxPool2d: L.MaxPooling2D}.get(type(module))
    if pool is not None:
        return pool(module.kernel_size, strides=module.stride)
    return L.Dense(width) if isinstance(module, nn.Linear) else {nn.ReLU: L.ReLU, nn.Flatten: L.Flatten}[type(module)]()


# twins of a few layers


@dataclass(frozen=True)
class Twins:
    """A Keras model, its PyTorch twin, and an input in the layout of each."""

    keras: keras.Model
    torch: nn.Module
    x: Tensor
    x_torch: Tensor
    channels_first: bool

    def in_keras_layout(self, relevance: np.ndarray) -> np.ndarray:
        """A map of the twin's input as one of the Keras model's."""
        return np.moveaxis(relevance, 1, -1) if self.channels_first else relevance


class Twin(nn.Module):
    """Layers between a dense layer in front, if any, and one behind, which see the axes in Keras' order.

    Args:
        front, body, head: the modules.
        channels_first: the body, and the network as a whole, reads (N, C, ...).
    """

    def __init__(self, front: nn.Module | None, body: nn.Module, head: nn.Linear, channels_first: bool) -> None:
        super().__init__()
        self.front, self.body, self.head, self.channels_first = front, body, head, channels_first

    def forward(self, x: Tensor) -> Tensor:
        if self.front is not None:
            x = self.front(x.movedim(1, -1)).relu().movedim(-1, 1) if self.channels_first else self.front(x).relu()
        x = self.body(x)
        return self.head((x.movedim(1, -1) if self.channels_first else x).flatten(1))


Body = Callable[[Sequence[keras.Layer]], nn.Module]
"""Makes the PyTorch twin of built Keras layers."""


def twins(shape: Sequence[int], layers: Sequence[keras.Layer], body: Body, channels_first: bool = True, first: bool = True) -> Twins:
    """Layers and their twin as networks; the layers read the input, or else a dense layer with ReLU in front."""
    front = [] if first else [L.Dense(shape[-1], activation="relu")]
    head = L.Dense(CLASSES)
    model = keras.Sequential([L.Input(tuple(shape)), *front, *layers, L.Flatten(), head])
    randomize(model)
    twin = Twin(dense(front[0]) if front else None, body(layers), dense(head), channels_first).double().eval()
    x = drawn(3, *shape)
    return Twins(model, twin, x, x.movedim(-1, 1) if channels_first else x, channels_first)


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Draw all of a model's weights anew, biases and statistics too, of a size that keeps signals alive."""
    generator = torch.Generator().manual_seed(seed)
    for variable in model.weights:
        value = torch.randn(tuple(variable.shape), generator=generator, dtype=torch.float64)
        if variable.dtype != "float64":
            continue
        if "variance" in variable.path:
            value = 0.5 + value.abs()
        elif variable.path.endswith(("gamma", "scale")):
            value = 1 + 0.3 * value
        else:
            inputs = value[..., 0].numel()
            value = value * ((1.5 / inputs) ** 0.5 if value.ndim > 1 else 0.3)
        variable.assign(value)


def weights_of(layer: keras.Layer) -> list[Tensor]:
    """A layer's weights, as Keras lays them out."""
    return [variable.value.detach().clone() for variable in layer.weights]


def with_weights(module: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """The module with these parameters."""
    module.weight = nn.Parameter(weight)
    module.bias = None if bias is None else nn.Parameter(bias)
    return module


def dense(layer: keras.Layer) -> nn.Linear:
    """The twin of a Dense layer, without its activation."""
    kernel, *bias = weights_of(layer)
    return with_weights(nn.Linear(*kernel.shape), kernel.T, *(bias or [None]))


def convolution(layer: keras.Layer, padding: int | str = 0, **options: int) -> nn.Module:
    """The twin of a Conv1D to Conv3D, without its activation."""
    kernel, *bias = weights_of(layer)
    axes = kernel.ndim - 2
    options = {"stride": layer.strides, "dilation": layer.dilation_rate, "groups": layer.groups, **options}
    module = getattr(nn, f"Conv{axes}d")(kernel.shape[-2] * layer.groups, kernel.shape[-1], kernel.shape[:-2], padding=padding, **options)
    return with_weights(module, kernel.permute(-1, -2, *range(axes)), *(bias or [None]))


def depthwise(layer: keras.Layer, kernel: Tensor, bias: Tensor | None, padding: int | str = 0) -> nn.Module:
    """The twin of a depthwise convolution with a kernel (..., channels, multiplier)."""
    axes = kernel.ndim - 2
    channels, results = kernel.shape[-2], kernel.shape[-2] * kernel.shape[-1]
    options = {"stride": layer.strides, "dilation": layer.dilation_rate, "padding": padding, "groups": channels}
    module = getattr(nn, f"Conv{axes}d")(channels, results, kernel.shape[:-2], **options)
    return with_weights(module, kernel.reshape(*kernel.shape[:-2], 1, results).permute(-1, -2, *range(axes)), bias)


def transposed_convolution(layer: keras.Layer, padding: int | Sequence[int] = 0, output_padding: int = 0) -> nn.Module:
    """The twin of a Conv1DTranspose to Conv3DTranspose, without its activation."""
    kernel, *bias = weights_of(layer)
    axes = kernel.ndim - 2
    options = {"stride": layer.strides, "dilation": layer.dilation_rate, "padding": padding, "output_padding": output_padding}
    module = getattr(nn, f"ConvTranspose{axes}d")(kernel.shape[-1], kernel.shape[-2], kernel.shape[:-2], **options)
    return with_weights(module, kernel.permute(-1, -2, *range(axes)), *(bias or [None]))


def batch_norm(layer: keras.Layer, axes: int) -> nn.Module:
    """The twin of a BatchNormalization over inputs of so many axes."""
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    mean = layer.moving_mean.value.detach().clone()
    module = kinds[axes](len(mean), eps=layer.epsilon)
    module.running_mean, module.running_var = mean, layer.moving_variance.value.detach().clone()
    scale = layer.gamma.value.detach().clone() if layer.scale else torch.ones_like(mean)
    return with_weights(module, scale, layer.beta.value.detach().clone() if layer.center else torch.zeros_like(mean))


class Function(nn.Module):
    """A function of modules and of the input as a module."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.inner = function, nn.ModuleList(modules)

    def forward(self, *x: Tensor) -> Tensor:
        return self.function(*self.inner, *x)
