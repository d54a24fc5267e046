"""Functions that are short for a few others: they are carried out as those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import ModelError
from signxai.engine.decomposition import decomposed
from signxai.engine.registry import RELEVANCE, RELU_BACKWARD


@decomposed("glu")
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Half of the channels, gated by the other half."""
    signal, gate = input.chunk(2, dim)
    return signal.mul(gate.sigmoid())


@decomposed("lerp", tables=(RELEVANCE, RELU_BACKWARD))
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """A weighted mean of two tensors."""
    return torch.add((1 - weight) * input, weight * end)


@decomposed("ldexp")
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """A tensor times a power of 2."""
    scale: Tensor = torch.pow(2, other)
    return input * scale


@decomposed("aminmax")
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The least and the greatest value."""
    axes = () if dim is None else (dim,)
    return torch.return_types.aminmax((input.amin(axes, keepdim), input.amax(axes, keepdim)))


@decomposed("addcmul", tables=(RELEVANCE, RELU_BACKWARD))
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``."""
    return input + _times(tensor1 * tensor2, value)


@decomposed("addcdiv", tables=(RELEVANCE, RELU_BACKWARD))
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``."""
    return input + _times(tensor1 / tensor2, value)


@decomposed("baddbmm", "addmv", "_sparse_addmm")
def add_product(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``addmm``, ``baddbmm``, ``addmv``."""
    return _times(input, beta) + _times(torch.matmul(mat1, mat2), alpha)


@decomposed("addbmm")
def add_products(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``input`` and the sum of matrix products."""
    return _times(input, beta) + _times(torch.matmul(batch1, batch2).sum(0), alpha)


@decomposed("_grouped_mm", "grouped_mm")
def grouped_product(mat_a: Tensor, mat_b: Tensor, offs: Tensor | None = None, bias: Tensor | None = None, out_dtype: Any = None) -> Tensor:
    """A matrix product for each group of rows, which end at ``offs``: the experts of a mixture, side by side."""
    if mat_a.ndim != 2 or mat_b.ndim != 3 or offs is None or bias is not None:
        raise ModelError("grouped_mm is supported for rows (n, in) in groups and matrices (groups, in, out), without a bias")
    ends = [int(end) for end in offs]
    groups = zip([0, *ends], ends, mat_b, strict=False)
    product = torch.cat([torch.matmul(mat_a[start:end], matrix) for start, end, matrix in groups])
    return product if len(product) == len(mat_a) else F.pad(product, (0, 0, 0, len(mat_a) - len(product)))


def _times(tensor: Tensor, factor: float) -> Tensor:
    return tensor if factor == 1 else tensor * factor


@decomposed("inner")
def inner(input: Tensor, other: Tensor) -> Tensor:
    """A product over the last axis of both."""
    return tensordot(input, other, (-1, -1))


@decomposed(torch.functional.tensordot)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: None = None) -> Tensor:
    """A product over any axes of both, as one matrix product."""
    of_a, of_b = (list(range(a.ndim - dims, a.ndim)), list(range(dims))) if isinstance(dims, int) else map(_as_list, dims)
    of_a, of_b = [axis % a.ndim for axis in of_a], [axis % b.ndim for axis in of_b]
    rest_a, rest_b = ([axis for axis in range(t.ndim) if axis not in of] for t, of in ((a, of_a), (b, of_b)))
    length = math.prod(a.size(axis) for axis in of_a)
    rows = a.permute(*rest_a, *of_a).reshape(-1, length)
    columns = b.permute(*of_b, *rest_b).reshape(length, -1)
    return torch.matmul(rows, columns).reshape(*(a.size(axis) for axis in rest_a), *(b.size(axis) for axis in rest_b))


@decomposed(getattr(torch._C._VariableFunctions, "tensordot"))  # noqa: B009  # torch's types do not have it
def tensordot_over(input: Tensor, other: Tensor, dims_self: Sequence[int], dims_other: Sequence[int]) -> Tensor:
    """The same, as ATen's operator takes it."""
    return tensordot(input, other, (dims_self, dims_other))


def _as_list(axes: Any) -> list[int]:
    return [axes] if isinstance(axes, int) else [int(axis) for axis in axes]


@decomposed(torch.linalg.multi_dot)
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """Matrix products in a row, from the left."""
    product: Tensor = reduce(torch.matmul, tensors[1:], tensors[0])
    return product
