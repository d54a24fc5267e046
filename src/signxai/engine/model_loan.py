"""Borrowing a model: whatever happens while it is explained, it comes back exactly as it was."""

from __future__ import annotations

import operator
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from signxai.common.errors import ModelError
from signxai.engine.checkpoints import without_checkpoints
from signxai.engine.fused.runs import has_global_hooks, lend_forward, without_lent_forward
from signxai.engine.generators import generators_of, lend, take_back, torch_generators
from signxai.engine.quantized import DequantizedForward, dequantized, may_dequantize

_TABLES = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict | set))
"""Every module's tables of parameters, buffers, submodules and hooks."""

_all_tables = operator.itemgetter(*_TABLES)

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_hooks_of = operator.itemgetter(*_HOOKS)

_STEADY = {
    *(nn.Sequential, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Softmax, nn.LogSoftmax),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    *(nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
}
"""Torch's own modules whose forward in evaluation mode changes nothing: neither an attribute nor a buffer."""
_PLAIN_TENSORS = {nn.Parameter, Tensor}
_METHODS = {kind: frozenset(name for name in dir(kind) if callable(getattr(kind, name))) for kind in _STEADY}


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


def _modules_of(net: nn.Module) -> list[nn.Module]:
    """Each module once; ``net.modules()`` makes their names as well, which takes many times as long."""
    found = {id(net): net}
    pending = [net]
    while pending:
        for child in pending.pop().__dict__["_modules"].values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                pending.append(child)
    return list(found.values())


def _tensors_of(modules: list[nn.Module], table: str) -> list[tuple[nn.Module, str, Tensor]]:
    """The parameters or buffers of all modules, each once, with the module and the name it has there."""
    seen: set[int] = set()
    found = []
    for module in modules:
        for name, tensor in module.__dict__[table].items():
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                found.append((module, name, tensor))
    return found


class _TensorStates:
    """What a borrower may change about parameters or buffers; their values too where they are ``copied``."""

    def __init__(self, tensors: list[Tensor], copied: bool) -> None:
        self.leaves = [tensor for tensor in tensors if tensor.is_leaf]
        self.requires_grad = [tensor.requires_grad for tensor in self.leaves]
        self.grads = [tensor.grad for tensor in self.leaves]
        is_plain = _PLAIN_TENSORS.issuperset(map(type, tensors))
        self.tensors = tensors if is_plain else [part for tensor in tensors for part in _parts_of(tensor)]
        self.data = [tensor.data for tensor in self.tensors]
        self.copies = [data.clone() for data in self.data] if copied else []

    def freeze(self) -> None:
        """Let no tensor ask for a gradient."""
        if any(self.requires_grad):
            for tensor in self.leaves:
                tensor.requires_grad_(False)

    def restore(self) -> None:
        """Put back whatever is not as it was."""
        for tensor, data in zip(self.tensors, self.data, strict=True):
            if tensor.layout != torch.strided or not tensor.is_set_to(data):  # a sparse one has no memory of its own to compare
                tensor.data = data
        for data, copy in zip(self.data, self.copies, strict=False):
            if not _equal(data, copy):  # a version would miss what is written to ``.data``
                data.copy_(copy)
        for tensor, requires_grad, grad in zip(self.leaves, self.requires_grad, self.grads, strict=True):
            if tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)
            if tensor.grad is not grad:
                tensor.grad = grad


def _parts_of(tensor: Tensor) -> Iterable[Tensor]:
    """The tensors that a tensor is made of, which hold its values: of a wrapper others than itself."""
    if type(tensor) in _PLAIN_TENSORS or not is_traceable_wrapper_subclass(tensor):
        return (tensor,)
    names = tensor.__tensor_flatten__()[0]
    return [part for name in names for part in _parts_of(getattr(tensor, name))]


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same; of sparse ones nobody can tell."""
    return a.layout == torch.strided and torch.equal(a, b)


class _ModuleStates:
    """Every module's attributes, shallow, and the contents of its tables."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.attributes = [(module.__dict__, _without_lent(module.__dict__.copy())) for module in modules]
        tables = [table for attributes, _ in self.attributes for table in _tables_of(attributes)]
        self.filled = [(table, table.copy()) for table in tables if table]
        self.empty = [table for table in tables if not table]

    def restore(self) -> None:
        """Put back whatever is not as it was."""
        for attributes, _ in self.attributes:
            _without_lent(attributes)  # nothing else of a module that another thread runs may be missing, be it for a moment
        for table, saved in (*self.attributes, *self.filled):
            if not _same(table, saved):
                table.clear()
                table.update(saved)
        if any(self.empty):
            for table in filter(None, self.empty):
                table.clear()


def _without_lent(attributes: dict[str, Any]) -> dict[str, Any]:
    """The same attributes of a module, less any ``forward`` that was lent, by this thread or another one."""
    if type(attributes.get("forward")) is DequantizedForward:
        attributes.pop("forward", None)
    return without_lent_forward(attributes)


def _tables_of(attributes: dict[str, Any]) -> Iterable[Any]:
    try:
        return _all_tables(attributes)  # type: ignore[no-any-return]
    except KeyError:  # a module pickled by an older torch lacks the latest
        return map(attributes.get, _TABLES)


def _same(table: Any, saved: Any) -> bool:
    """Whether a table holds the same objects in the same order; tensors are not to be compared by value."""
    if len(table) != len(saved):
        return False
    if isinstance(saved, set):
        return bool(table == saved)
    return list(table) == list(saved) and all(map(operator.is_, table.values(), saved.values()))


class _Everything:
    """All that code in a module may change."""

    def __init__(self, modules: list[nn.Module], parameters: list[Tensor], buffers: list[Tensor], copy_parameters: bool) -> None:
        self.modules = _ModuleStates(modules)
        self.tensors = [_TensorStates(parameters, copy_parameters), _TensorStates(buffers, copied=True)]

    def freeze(self) -> None:
        """Let no tensor ask for a gradient."""
        for state in self.tensors:
            state.freeze()

    def restore(self) -> None:
        """Put back whatever is not as it was."""
        self.modules.restore()
        for state in self.tensors:
            state.restore()


class _Switches:
    """What lending itself changes, and all that changes in a model made of steady modules."""

    def __init__(self, modules: list[nn.Module], tensors: list[Tensor]) -> None:
        self.attributes = [module.__dict__ for module in modules]
        self.training = [attributes.get("training") for attributes in self.attributes]
        self.compiled = [attributes.get("_compiled_call_impl") for attributes in self.attributes]
        self.asking = [tensor for tensor in tensors if tensor.requires_grad and tensor.is_leaf]

    def freeze(self) -> None:
        """Let no tensor ask for a gradient."""
        for tensor in self.asking:
            tensor.requires_grad_(False)

    def restore(self) -> None:
        """Put back whatever is not as it was."""
        for attributes, training, compiled in zip(self.attributes, self.training, self.compiled, strict=True):
            without_lent_forward(attributes)
            if training:
                attributes["training"] = training
            if compiled is not None:
                attributes["_compiled_call_impl"] = compiled
        for tensor in self.asking:
            tensor.requires_grad_(True)


def _are_steady(modules: list[nn.Module], tensors: list[Tensor]) -> bool:
    """Whether nothing but steady code of torch runs in the modules."""
    return all(map(_is_steady, modules)) and _PLAIN_TENSORS.issuperset(map(type, tensors)) and not has_global_hooks()


def _is_steady(module: nn.Module) -> bool:
    attributes = module.__dict__
    methods = _METHODS.get(type(module))
    return methods is not None and not any(_hooks_of(attributes)) and methods.isdisjoint(attributes)


@contextmanager
def borrowed(model: nn.Module, copy_parameters: bool = False, seed: int = 0, only_model_runs: bool = False) -> Iterator[nn.Module]:
    """Lend the model in evaluation mode with frozen parameters, and take it back exactly as it was, also after an error.

    Args:
        model: any module; ``DataParallel`` and compiled wrappers are taken off for the time being.
        copy_parameters: the borrower may write to the parameters' values (as Zennit's canonizers do).
        seed: seeds what the model itself may draw from torch's generator; the states of all generators come back too.
        only_model_runs: the borrower runs no code but its own and the model's.

    Raises:
        ModelError: if the model's layers or gradients cannot be had.
    """
    net = unwrapped(model)
    modules = _modules_of(net)
    parameters, buffers = _tensors_of(modules, "_parameters"), _tensors_of(modules, "_buffers")
    forwards = _dequantized(modules, parameters)
    _check(modules, parameters, {id(module) for module, _ in forwards})
    tensors = [tensor for *_, tensor in parameters], [buffer for *_, buffer in buffers]
    state: _Everything | _Switches
    is_steady = only_model_runs and not copy_parameters and _are_steady(modules, [*tensors[0], *tensors[1]])
    state = _Switches(modules, [*tensors[0], *tensors[1]]) if is_steady else _Everything(modules, *tensors, copy_parameters)
    generators = torch_generators(is_watched=False) if is_steady else generators_of(modules)
    generators_before = lend(generators)
    try:
        for module in modules:
            attributes = module.__dict__
            if attributes.get("training"):  # a compiled module has that of the module inside
                attributes["training"] = False
            if attributes.get("_compiled_call_impl") is not None:
                attributes["_compiled_call_impl"] = None
            lend_forward(module)
        for module, forward in forwards:
            module.__dict__["forward"] = forward
        state.freeze()
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would prepare every accelerator as well
        if is_steady:  # nothing in it was compiled, and nothing checkpoints
            yield net
        else:
            with _uncompiled(), without_checkpoints():
                yield net
    finally:
        state.restore()
        take_back(generators, generators_before)


def _dequantized(modules: list[nn.Module], parameters: list[tuple[nn.Module, str, Tensor]]) -> list[tuple[nn.Module, DequantizedForward]]:
    """The quantized layers that offer their weights, and what they are in floating point."""
    owners = [module for module, _, parameter in parameters if type(parameter) not in _PLAIN_TENSORS or parameter.dtype is torch.int8]
    candidates = owners + [module for module in modules if type(module) not in _STEADY and may_dequantize(type(module))]  # type: ignore[arg-type]
    if not candidates:
        return []
    found = ((module, dequantized(module)) for module in {id(module): module for module in candidates}.values())
    return [(module, forward) for module, forward in found if forward is not None]


def _check(modules: list[nn.Module], parameters: list[tuple[nn.Module, str, Tensor]], dequantized: Collection[int]) -> None:
    """Refuse TorchScript parts, quantized ones, parameters without values, and models without floating-point parameters.

    Args:
        modules, parameters: the model's.
        dequantized: the quantized ones among the modules that run in floating point, by ``id``.
    """
    others = [module for module in modules if type(module) not in _STEADY and id(module) not in dequantized]
    quantized = _quantized_classes(tuple(name for name in _QUANTIZED_PACKAGES if name in sys.modules)) if others else frozenset()
    for module in others:
        _refuse_script(module)
        if not quantized.isdisjoint(type(module).__mro__):
            name = type(module).__name__
            raise ModelError(
                f"{name} is a quantized layer, whose input is quantized too and which has no gradients: explain the float model it was "
                "made from"
            )
    for module, name, parameter in parameters:
        where = f"parameter {type(module).__name__}.{name}"
        if is_lazy(parameter):
            raise ModelError(f"{where} has no shape yet, as of a lazy layer; run the model once on an input: model(x)")
        if parameter.is_meta:
            raise ModelError(
                f"{where} is on the meta device, without values, as of a model that is offloaded or was not loaded; load it whole"
            )
    if parameters and not dequantized and not any(parameter.is_floating_point() or parameter.is_complex() for *_, parameter in parameters):
        module, name, parameter = parameters[0]
        raise ModelError(
            f"parameter {type(module).__name__}.{name} is {parameter.dtype}, and no parameter is floating-point; only floating-point "
            "models have gradients: explain the model that it was made from, or call model.float()"
        )


_QUANTIZED_PACKAGES = ("torch.ao.nn.quantized", "torch.ao.nn.quantized.dynamic", "torch.ao.nn.intrinsic.quantized")


@cache
def _quantized_classes(packages: tuple[str, ...]) -> frozenset[type]:
    """Torch's quantized modules, of these packages, which somebody has imported."""
    members = {member for package in packages for member in vars(sys.modules[package]).values() if isinstance(member, type)}
    return frozenset(member for member in members if issubclass(member, nn.Module)) - frozenset(_classes_of(nn))


def _classes_of(package: ModuleType) -> Iterator[type]:
    return (member for member in vars(package).values() if isinstance(member, type))


def _uncompiled() -> AbstractContextManager[Any]:
    """Run compiled submodules and functions by their original code, where anything can have been compiled at all."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
