"""Borrowing a model: whatever happens while it is explained, it comes back exactly as it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError

_MODULE_TABLES = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")


def unwrapped(model: Any) -> nn.Module:
    """The model inside ``DataParallel`` and ``torch.compile`` wrappers, whose layers can be watched.

    Raises:
        ModelError: if it is no module, or TorchScript, whose layers are hidden.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"a torch.nn.Module is needed, not {type(model).__name__}; wrap a function in a module's forward")
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod
        else:
            break
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ModelError("a TorchScript model hides its layers; explain the nn.Module that it was made from")
    return model  # type: ignore[no-any-return]


def check_floating(model: nn.Module) -> None:
    """Refuse a model whose parameters are not all real floating-point numbers (quantized, integer or complex ones)."""
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            raise ModelError(f"parameter {name!r} is {parameter.dtype}; only floating-point models have gradients: call model.float()")


class _TensorState:
    """What a borrower may change about one parameter or buffer."""

    __slots__ = ("copy", "data", "grad", "requires_grad", "tensor", "version")

    def __init__(self, tensor: Tensor, copied: bool) -> None:
        self.tensor = tensor
        self.requires_grad = tensor.requires_grad
        self.grad = tensor.grad if tensor.is_leaf else None
        self.version = None if tensor.is_inference() else tensor._version
        self.data = tensor.data
        self.copy = tensor.detach().clone() if copied else None

    def restore(self) -> None:
        tensor = self.tensor
        if tensor.data_ptr() != self.data.data_ptr() or tensor.shape != self.data.shape:
            tensor.data = self.data
        if self.copy is not None and self.version is not None and self.data._version != self.version:
            with torch.no_grad():
                self.data.copy_(self.copy)
        if tensor.is_leaf:
            tensor.requires_grad_(self.requires_grad)
            if tensor.grad is not self.grad:
                tensor.grad = self.grad


class _ModuleState:
    """A module's attributes, shallow, and the tables of its parameters, buffers, submodules and hooks."""

    __slots__ = ("attributes", "module", "tables")

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes = dict(module.__dict__)
        self.tables = {
            name: value.copy()
            for name, value in self.attributes.items()
            if isinstance(value, dict | set) and (name in _MODULE_TABLES or "hooks" in name)
        }

    def restore(self) -> None:
        current = self.module.__dict__
        current.clear()
        current.update(self.attributes)
        for name, saved in self.tables.items():
            table = current[name]
            if not _same(table, saved):
                table.clear()
                table.update(saved)


def _same(table: Any, saved: Any) -> bool:
    """Whether a table holds the same objects in the same order; tensors are not to be compared by value."""
    if isinstance(saved, set):
        return bool(table == saved)
    return list(table) == list(saved) and all(table[key] is saved[key] for key in saved)


@contextmanager
def borrowed(model: nn.Module, copy_parameters: bool = False) -> Iterator[nn.Module]:
    """Lend the model in evaluation mode with frozen parameters, and take it back exactly as it was, also after an error.

    Args:
        model: any module; ``DataParallel`` and compiled wrappers are taken off for the time being.
        copy_parameters: the borrower may write to the parameters' values (as Zennit's canonizers do).

    Raises:
        ModelError: if the model's layers or gradients cannot be had.
    """
    net = unwrapped(model)
    check_floating(net)
    modules = [_ModuleState(module) for module in net.modules()]
    tensors = [_TensorState(parameter, copy_parameters) for parameter in net.parameters()]
    tensors += [_TensorState(buffer, True) for buffer in net.buffers()]
    random_state = torch.get_rng_state()
    try:
        for state in modules:
            state.module.__dict__["training"] = False
            if state.attributes.get("_compiled_call_impl") is not None:
                state.module.__dict__["_compiled_call_impl"] = None
        for tensor in tensors:
            if tensor.requires_grad and tensor.tensor.is_leaf:
                tensor.tensor.requires_grad_(False)
        with _uncompiled():
            yield net
    finally:
        for state in modules:
            state.restore()
        for tensor in tensors:
            tensor.restore()
        torch.set_rng_state(random_state)


def _uncompiled() -> AbstractContextManager[Any]:
    """Run compiled submodules and functions by their original code, where anything can have been compiled at all."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
