"""Borrowing a model: whatever happens while it is explained, it comes back exactly as it was."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError

_TABLES = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict | set))
"""Every module's tables of parameters, buffers, submodules and hooks."""


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
    _refuse_script(model)
    return model  # type: ignore[no-any-return]


def _refuse_script(module: nn.Module) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError("a TorchScript model hides its layers; explain the nn.Module that it was made from")


def _tensors_of(modules: list[nn.Module], table: str) -> dict[str, Tensor]:
    """The parameters or buffers of all modules, each once, by a name that helps to find it."""
    found: dict[int, tuple[str, Tensor]] = {}
    for module in modules:
        for name, tensor in module.__dict__[table].items():
            if tensor is not None:
                found.setdefault(id(tensor), (f"{type(module).__name__}.{name}#{len(found)}", tensor))
    return dict(found.values())


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
            if tensor.requires_grad != self.requires_grad:
                tensor.requires_grad_(self.requires_grad)
            if tensor.grad is not self.grad:
                tensor.grad = self.grad


class _ModuleState:
    """A module's attributes, shallow, and the contents of its tables."""

    __slots__ = ("attributes", "module", "tables")

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes = dict(module.__dict__)
        self.tables = [(table, table.copy()) for table in map(self.attributes.get, _TABLES) if table is not None]

    def restore(self) -> None:
        current = self.module.__dict__
        current.clear()
        current.update(self.attributes)
        for table, saved in self.tables:
            if (table or saved) and not _same(table, saved):
                table.clear()
                table.update(saved)


def _same(table: Any, saved: Any) -> bool:
    """Whether a table holds the same objects in the same order; tensors are not to be compared by value."""
    if isinstance(saved, set):
        return bool(table == saved)
    return list(table) == list(saved) and all(map(operator.is_, table.values(), saved.values()))


@contextmanager
def borrowed(model: nn.Module, copy_parameters: bool = False, seed: int = 0) -> Iterator[nn.Module]:
    """Lend the model in evaluation mode with frozen parameters, and take it back exactly as it was, also after an error.

    Args:
        model: any module; ``DataParallel`` and compiled wrappers are taken off for the time being.
        copy_parameters: the borrower may write to the parameters' values (as Zennit's canonizers do).
        seed: seeds what the model itself may draw; the global random state comes back too.

    Raises:
        ModelError: if the model's layers or gradients cannot be had.
    """
    net = unwrapped(model)
    modules = list(net.modules())
    parameters, buffers = _tensors_of(modules, "_parameters"), _tensors_of(modules, "_buffers")
    _check(modules, parameters)
    module_states = [_ModuleState(module) for module in modules]
    tensor_states = [_TensorState(tensor, copy_parameters) for tensor in parameters.values()]
    tensor_states += [_TensorState(buffer, True) for buffer in buffers.values()]
    random_state = torch.get_rng_state()
    try:
        for module in modules:
            module.__dict__["training"] = False
            if module.__dict__.get("_compiled_call_impl") is not None:
                module.__dict__["_compiled_call_impl"] = None
        for state in tensor_states:
            if state.requires_grad and state.tensor.is_leaf:
                state.tensor.requires_grad_(False)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would prepare every accelerator as well
        with _uncompiled():
            yield net
    finally:
        for module_state in module_states:
            module_state.restore()
        for state in tensor_states:
            state.restore()
        torch.set_rng_state(random_state)


def _check(modules: list[nn.Module], parameters: dict[str, Tensor]) -> None:
    """Refuse TorchScript parts, and parameters that are not real floating-point numbers (quantized, integer, complex)."""
    for module in modules:
        _refuse_script(module)
    for name, parameter in parameters.items():
        if not parameter.is_floating_point():
            raise ModelError(f"parameter {name} is {parameter.dtype}; only floating-point models have gradients: call model.float()")


def _uncompiled() -> AbstractContextManager[Any]:
    """Run compiled submodules and functions by their original code, where anything can have been compiled at all."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
