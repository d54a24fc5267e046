"""Layers whose weights are stored as integers and scales: for the time being they run by the weights that those stand for.

A layer is recognized by what it offers, not by the package that it comes from, which need not be installed:

- its weight is a tensor with a ``dequantize`` of its own (torchao, quanto), or one that torch has quantized;
- its weight has a ``quant_state`` that the ``dequantize_4bit`` of the weight's package reads (bitsandbytes, 4 bits);
- its weight is of int8 and has a scale ``SCB`` for each row, or its ``state`` has (bitsandbytes, 8 bits);
- it is a dynamically quantized layer of torch, whose ``weight()`` gives a quantized tensor;
- it has a method ``dequantize`` that gives its weight (HQQ).

What it rounds of its input is left unrounded: rounding has no gradient.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from signxai.common.errors import ModelError

_PLAIN = {Tensor, nn.Parameter}
_DYNAMIC = "torch.ao.nn.quantized.dynamic"
_MOST_DEVIATION = 0.05
"""Of a layer's own output, which may be computed from a rounded input, from that by its dequantized weight."""


class DequantizedForward:
    """What a layer's ``forward`` is while it is lent: the layer in floating point.

    Args:
        module: the layer.
        weight: what its weight stands for.
        is_known: its class is known to compute nothing else; otherwise its first output is compared with that of its own forward.
    """

    def __init__(self, module: nn.Module, weight: Tensor, is_known: bool) -> None:
        self.module = module
        self.weight = weight
        self.is_known = is_known
        bias: Any = getattr(module, "bias", None)
        self.bias: Tensor | None = bias() if callable(bias) and not isinstance(bias, Tensor) else bias

    def __call__(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.detach().to(input.dtype)
        weight = self.weight.to(input.dtype)
        result = self._run(input, weight, bias)
        if not self.is_known:
            self._compare(input, result)
            self.is_known = True
        return result

    def _run(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if isinstance(self.module, nn.modules.conv._ConvNd):
            result: Tensor = self.module._conv_forward(input, weight, bias)
            return result
        return F.linear(input, weight, bias)

    def _compare(self, input: Tensor, result: Tensor) -> None:
        with torch.no_grad(), torch._C.DisableTorchFunction():
            own: Any = type(self.module).forward(self.module, input.detach())
            is_close = isinstance(own, Tensor) and own.shape == result.shape
            if not is_close or float((own - result).abs().max()) > _MOST_DEVIATION * float(own.abs().max()):
                raise ModelError(
                    f"{type(self.module).__name__} computes something else than its dequantized weight gives; explain the model that it "
                    "was made from, or let its forward call torch.nn.functional.linear with the dequantized weight"
                )


def dequantized(module: nn.Module) -> DequantizedForward | None:
    """The layer in floating point, of a module that is quantized and offers its weights; None for any other."""
    if any(parameter is not None and parameter.is_meta for parameter in module._parameters.values()):
        return None
    for read in (_weight_of_tensor, _weight_of_4_bits, _weight_of_8_bits, _weight_of_torch, _weight_of_method):
        weight = read(module)
        if weight is not None:
            is_known = read is not _weight_of_method and (read is not _weight_of_tensor or type(module) in _LAYERS)
            return DequantizedForward(module, weight.detach(), is_known)
    return None


_LAYERS = {nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d}


@lru_cache(maxsize=1024)
def may_dequantize(kind: type[nn.Module]) -> bool:
    """Whether modules of a class may offer a weight that is no parameter of theirs, or stored otherwise."""
    return hasattr(kind, "dequantize") or kind.__module__.startswith(_DYNAMIC)


def _own_weight(module: nn.Module) -> Any:
    """The parameter "weight" of a module that is a layer: linear, or a convolution."""
    weight = module.__dict__["_parameters"].get("weight")
    is_convolution = isinstance(module, nn.modules.conv._ConvNd) and not isinstance(module, nn.modules.conv._ConvTransposeNd)
    return weight if isinstance(module, nn.Linear) or is_convolution else None


def has_own_dequantize(tensor: Tensor) -> bool:
    """Whether a tensor stands for another one, that it gives by ``dequantize``."""
    return tensor.is_quantized or (type(tensor) not in _PLAIN and type(tensor).dequantize is not Tensor.dequantize)


def _weight_of_tensor(module: nn.Module) -> Tensor | None:
    weight: Tensor | None = _own_weight(module)
    if weight is None or not has_own_dequantize(weight):
        return None
    found: Tensor = weight.dequantize()
    return found


def _weight_of_4_bits(module: nn.Module) -> Tensor | None:
    weight = _own_weight(module)
    state = getattr(weight, "quant_state", None) or getattr(module, "quant_state", None)  # on its way to a device, the module's
    if state is None or weight is None:
        return None
    package = type(weight).__module__.partition(".")[0]
    functional: Any = sys.modules.get(f"{package}.functional") or sys.modules[type(weight).__module__]
    packed = weight.data
    if getattr(state, "packing_format_for_cpu", False):  # laid out for a kernel, by a forward pass on the CPU
        state, scales = copy.copy(state), state.absmax
        state.original_nested = False  # its scales are not quantized any more, and need not be again
        packed, state = functional._convert_weight_packed_for_cpu_inverse(packed, state)
        state.absmax = scales.T.reshape(-1).float()  # that leaves them as the kernel wants them: the blocks of a row in a column
    unpacked: Tensor = functional.dequantize_4bit(packed, state)
    return unpacked


def _weight_of_8_bits(module: nn.Module) -> Tensor | None:
    weight, state = _own_weight(module), getattr(module, "state", None)
    if weight is not None and weight.is_floating_point():  # it is rounded at each call
        return weight if getattr(state, "has_fp16_weights", False) is True else None
    scales = next((found for owner in (weight, state) if (found := getattr(owner, "SCB", None)) is not None), None)
    if not isinstance(scales, Tensor) or weight.dtype is not torch.int8 or len(scales) != len(weight):
        return None
    scales = scales.to(torch.promote_types(scales.dtype, torch.float32)) / torch.iinfo(torch.int8).max
    unpacked: Tensor = weight.data.to(scales.dtype) * scales[:, None]
    return unpacked


def _weight_of_torch(module: nn.Module) -> Tensor | None:
    dynamic: Any = sys.modules.get(_DYNAMIC)
    if dynamic is None or type(module) is not dynamic.Linear:
        return None
    weight: Tensor = module.weight().dequantize()  # type: ignore[operator]
    return weight


def _weight_of_method(module: nn.Module) -> Tensor | None:
    method: Callable[[], Any] | None = getattr(module, "dequantize", None)
    is_layer = not module._modules and not isinstance(module, nn.modules.conv._ConvNd)  # what holds layers may add them up
    weight = method() if callable(method) and is_layer else None
    return weight if isinstance(weight, Tensor) and weight.ndim == 2 and weight.is_floating_point() else None
