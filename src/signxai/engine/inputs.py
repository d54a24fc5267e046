"""Inputs as a model takes them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import InputError

_MOST_BYTES = 8
"""Of a floating-point number, as torch has them."""


def as_input(net: nn.Module, x: object, name: str = "x") -> Tensor:
    """The input as a floating-point tensor on the model's device and of its dtype, outside of any graph.

    Args:
        net: the model.
        x: the input.
        name: how errors call it.

    Raises:
        InputError: if it is no numeric array, has no batch axis, is empty, or holds NaN or infinity.
    """
    tensor = as_tensor(x, name)
    if tensor.ndim == 0:
        raise InputError(f"{name} is a single number; a batch of shape (N, ...) is needed")
    if tensor.numel() == 0:
        raise InputError(f"{name} is empty: its shape is {tuple(tensor.shape)}; at least one sample with at least one value is needed")
    if tensor.is_meta:
        raise InputError(f"{name} is on the meta device, without values; give it on the model's device")
    if tensor.is_complex():
        raise InputError(f"{name} is {tensor.dtype}; real numbers are needed: stack real and imaginary part as channels")
    like = first_floating(net)
    dtype = like.dtype.to_real() if like is not None else (tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype())
    if not tensor.is_floating_point():
        dtype = _wide_enough(tensor, dtype, name)
    device = like.device if like is not None else tensor.device
    tensor = tensor.detach().to(device=device, dtype=dtype)
    if tensor.is_inference():
        tensor = tensor.clone()
    if not is_finite(tensor):
        wrong = (~torch.isfinite(tensor)).nonzero()
        raise InputError(
            f"{name} holds NaN or infinity ({len(wrong)} of {tensor.numel()} values, the first at index {tuple(wrong[0].tolist())}); "
            "clean it first"
        )
    return tensor


def _wide_enough(integers: Tensor, dtype: torch.dtype, name: str) -> torch.dtype:
    """The first floating-point type, from the model's own, that holds these integers as they are: token ids must not be rounded."""
    wider = [one for one in (torch.float32, torch.float64) if torch.finfo(one).bits > torch.finfo(dtype).bits]
    for one in (dtype, *wider):
        if torch.equal(integers.to(one).to(torch.int64), integers.to(torch.int64)):
            return one
    values = integers.cpu().numpy()  # whose largest torch does not find of unsigned ones
    largest = max(int(values.max()), int(values.min()), key=abs)
    raise InputError(f"{name} holds integers beyond 2**53, such as {largest}, that no floating-point type holds; give smaller ones")


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite. NaN and infinity show in the sum, which is many times as fast; a large one may just overflow."""
    return is_finite_with_sum(tensor, sum_of(tensor))


def is_finite_with_sum(tensor: Tensor, total: float) -> bool:
    """The same, of a tensor whose sum is known."""
    return math.isfinite(total) or bool(torch.isfinite(tensor).all())


def sum_of(tensor: Tensor) -> float:
    """The sum of all values, outside of any graph."""
    return float((tensor.detach() if tensor.requires_grad else tensor).sum().item())


def as_tensor(x: object, name: str = "x") -> Tensor:
    """A tensor, array or nest of numbers as a tensor.

    Raises:
        InputError: if it is none.
    """
    if isinstance(x, Tensor):
        return x
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"{name} is not an array: {error}; give a tensor or array of shape (N, ...)") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} is {type(x).__name__} of {array.dtype}; a numeric tensor or array of shape (N, ...) is needed")
    if not array.ndim:
        return torch.tensor(array.item(), device="cpu")
    if not array.flags.writeable or not array.dtype.isnative or min(array.strides) < 0:
        array = array.astype(array.dtype.newbyteorder("="))  # a copy: torch takes only writable, native memory
    if array.dtype.kind == "f" and array.dtype.itemsize > _MOST_BYTES:
        raise InputError(f"{name} is of {array.dtype}, which torch does not have; give float64")
    return torch.from_numpy(array)


def first_floating(net: nn.Module) -> Tensor | None:
    """The first parameter or buffer that holds numbers, whose type and device the input takes; None if there is none."""
    for table in ("_parameters", "_buffers"):
        pending = [net]
        while pending:  # as ``net.parameters()`` goes, which takes many times as long
            attributes = pending.pop().__dict__
            for tensor in attributes[table].values():
                if tensor is not None and (tensor.is_floating_point() or tensor.is_complex()):
                    return tensor  # type: ignore[no-any-return]
            pending += [child for child in reversed(attributes["_modules"].values()) if child is not None]
    return None
