"""Torch's functions and tensor methods, found by their names, and which of them write to their input."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import isdatadescriptor
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

Operation: TypeAlias = Callable[..., Any]
"""A torch function, a tensor method or operator, as a function mode sees it."""

_C: Any = torch._C
_NAMESPACES = (
    *(torch, torch.Tensor, F, torch.special, torch.linalg, _C._nn, _C._VariableFunctions, _C._sparse),
    *(_C._linalg, _C._special),  # where torch.linalg.solve is called linalg_solve
)


def functions_named(*names: str) -> set[Operation]:
    """Every torch function and tensor method of these names: of "relu" torch.relu, Tensor.relu and F.relu."""
    found = {getattr(space, name) for name in names for space in _NAMESPACES if hasattr(space, name)}
    return {function for function in found if callable(function)}  # torch.float is a dtype


OPERATORS = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)
"""What ``torch.ops`` holds."""


def operator_name(operator: Any) -> str:
    """The name of an operator of ``torch.ops``, with its library: ``torchvision::roi_align``."""
    packet = operator.overloadpacket if isinstance(operator, torch._ops.OpOverload) else operator
    return str(packet._qualified_op_name)


@cache
def builtin_of(operator: str) -> Operation | None:
    """The function of torch that takes what an operator of ATen takes, in its order: none that is written in Python need do so."""
    library, _, name = operator.partition("::")
    found = (getattr(space, name, None) for space in _BUILTIN if library == "aten")
    functions = (getattr(function, "__get__", None) if isdatadescriptor(function) else function for function in found)
    return next((function for function in functions if callable(function) and not hasattr(function, "__code__")), None)


_BUILTIN = (torch, _C._nn, _C._fft, _C._linalg, _C._special, torch.Tensor, _C._VariableFunctions, _C._sparse)
"""Where torch keeps the functions that are not written in Python, by the names of its operators."""


@cache
def argument_names(name: str) -> tuple[tuple[str, ...], ...]:
    """The names of the arguments that a function of torch takes by position too; one row for each way to call it."""
    schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    return tuple(tuple(argument.name for argument in schema.arguments if not argument.kwarg_only) for schema in schemas)


OF_SHAPE: frozenset[Operation] = frozenset(
    functions_named("size", "stride", "numel", "nelement", "dim", "ndimension", "is_floating_point", "is_complex", "is_contiguous")
    | {getattr(torch.Tensor, name).__get__ for name in ("shape", "ndim", "dtype", "device", "is_cuda")}
)
"""Functions that make no tensor and look at no value: what a network asks before it computes."""

_OPERATORS_THAT_WRITE = ("__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__")

WRITING: frozenset[Operation] = frozenset(
    function
    for space in _NAMESPACES
    for name in dir(space)
    if (name.endswith("_") and not name.endswith("__")) or name in _OPERATORS_THAT_WRITE
    for function in [getattr(space, name, None)]
    if callable(function)
)
"""Functions that write to their first argument: torch ends their names with an underscore."""


OF_SHAPE_ALONE = functions_named(
    *("new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like", "size", "stride", "numel"),
    *("dim", "is_floating_point", "zeros", "ones", "empty"),
)
"""Functions whose result does not depend on the values that they are given."""
