"""Torch's functions and tensor methods, found by their names, and which of them write to their input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

Operation: TypeAlias = Callable[..., Any]
"""A torch function, a tensor method or operator, as a function mode sees it."""

_NAMESPACES = (torch, torch.Tensor, F, torch._C._nn, torch.special, torch.linalg)


def functions_named(*names: str) -> set[Operation]:
    """Every torch function and tensor method of these names: of "relu" torch.relu, Tensor.relu and F.relu."""
    found = {getattr(space, name) for name in names for space in _NAMESPACES if hasattr(space, name)}
    return {function for function in found if callable(function)}  # torch.float is a dtype


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
