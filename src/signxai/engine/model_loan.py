"""Borrowing a model: what is explained is a view of it, and the model stays as it is."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from signxai.common.errors import ModelError
from signxai.engine.checkpoints import without_checkpoints
from signxai.engine.generators import Generators, generators_of, lend, take_back
from signxai.engine.held_of_keras import HeldOfKeras, held_of_keras
from signxai.engine.keras_calls import losses_stay
from signxai.engine.model_view import ModelView
from signxai.engine.module_names import is_keras
from signxai.engine.parameters import UNCOUNTED, nobody_writes_to, versions_of
from signxai.engine.quantized import DequantizedForward, dequantized, may_dequantize
from signxai.engine.steady_modules import PLAIN_TENSORS, STEADY, are_steady
from signxai.engine.tensors_of_modules import modules_of, tensors_of


def unwrapped(model: Any) -> nn.Module:
    """The model inside ``DataParallel`` and ``torch.compile`` wrappers, whose layers can be watched.

    Raises:
        ModelError: if it is no module, or TorchScript, whose layers are hidden.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"a torch.nn.Module is needed, not {_what_it_is(model)}")
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod
        else:
            break
    _refuse_script(model)
    return model  # type: ignore[no-any-return]


def _what_it_is(model: object) -> str:
    """What came instead of a module, and what to do."""
    if isinstance(model, type):
        return f"the class {model.__name__}; make an instance of it"
    if isinstance(getattr(model, "model", None), nn.Module):
        return f"{type(model).__name__}; give its attribute .model"
    return f"{type(model).__name__}; wrap a function in a module's forward"


def _refuse_script(module: nn.Module) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError("a TorchScript model hides its layers; explain the nn.Module that it was made from")


def copied_as_view(net: nn.Module) -> nn.Module:
    """A network that runs as this one does, over parameters in memory of its own, made without a word of the classes of its modules."""
    modules = modules_of(net)
    view = ModelView(modules, tensors_of(modules, "_parameters"), tensors_of(modules, "_buffers"), copies=True)
    view.release()
    return view.net


@contextmanager
def borrowed(model: nn.Module, copy_parameters: bool, seed: int, only_model_runs: bool) -> Iterator[ModelView]:
    """Lend a view of the model, in evaluation mode and with frozen parameters; the model itself is not touched.

    Args:
        model: any module; ``DataParallel`` and compiled wrappers are taken off.
        copy_parameters: the borrower may write to the parameters' values (as Zennit's canonizers do).
        seed: seeds torch's generator where code runs that is not the model's; what was drawn from comes back as it was.
        only_model_runs: the borrower runs no code but its own and the model's.

    Raises:
        ModelError: if the model's layers or gradients cannot be had, or somebody writes to its parameters meanwhile.
    """
    net = unwrapped(model)
    modules = modules_of(net)
    parameters, buffers = tensors_of(modules, "_parameters"), tensors_of(modules, "_buffers")
    tensors = [tensor for *_, tensor in parameters]
    of_both = [*tensors, *(tensor for *_, tensor in buffers)]
    versions = versions_of(of_both)
    may_be_saved = UNCOUNTED not in versions
    is_steady = may_be_saved and only_model_runs and not copy_parameters and are_steady(modules, of_both)
    quantized = [] if is_steady else _dequantized(modules, parameters)
    if not (is_steady and all(tensor.is_floating_point() and not tensor.is_meta for tensor in tensors)):
        _check(modules, parameters, {id(module) for module, _ in quantized})
    of_keras = HeldOfKeras() if is_steady else held_of_keras(modules)
    beside = [module for layer in of_keras.layers for module in modules_of(layer)]  # they run as they are, without a view
    for module in filter(is_keras, beside):
        _check_keras(module)
    counters = {id(tensor): (net, "", tensor) for tensor in of_keras.written()}
    tensors = [tensor for tensor in tensors if id(tensor) not in counters]
    view = ModelView(modules, parameters, [*buffers, *counters.values()], is_steady, copy_parameters)
    for module, forward in quantized:
        view.exchange_forward(module, forward)
    shared = of_both if is_steady else [] if copy_parameters else tensors
    with (
        nullcontext() if is_steady else losses_stay(modules),
        nobody_writes_to(shared, "explain a copy of it", versions if is_steady else None),
        _nothing_else_runs()
        if is_steady
        else _other_code_runs([*(map(view.of, modules) if counters else modules), *beside], None if only_model_runs else seed),
    ):
        try:
            yield view
        finally:
            view.release()


def _nothing_else_runs() -> AbstractContextManager[None]:
    """Torch's own modules draw nothing in evaluation mode: every generator is left alone."""
    return _lent(Generators([], is_watched=False))


@contextmanager
def _other_code_runs(modules: list[nn.Module], seed: int | None) -> Iterator[None]:
    """What code that is not torch's own needs around it: nothing compiled, no checkpoints; with a seed, its random numbers."""
    generators = generators_of(modules)
    with _lent(generators), _uncompiled(), without_checkpoints():
        if seed is not None:
            generators.seed_torch(seed)
        yield


class _lent:  # noqa: N801, as contextlib.suppress
    """Lets the network that this thread runs draw from some generators."""

    def __init__(self, generators: Generators) -> None:
        self._generators = generators

    def __enter__(self) -> None:
        self._before = lend(self._generators)

    def __exit__(self, *error: object) -> None:
        take_back(self._generators, self._before)


def _dequantized(modules: list[nn.Module], parameters: list[tuple[nn.Module, str, Tensor]]) -> list[tuple[nn.Module, DequantizedForward]]:
    """The quantized layers that offer their weights, and what they are in floating point."""
    owners = [module for module, _, parameter in parameters if type(parameter) not in PLAIN_TENSORS or parameter.dtype is torch.int8]
    candidates = owners + [module for module in modules if type(module) not in STEADY and may_dequantize(type(module))]  # type: ignore[arg-type]
    if not candidates:
        return []
    found = ((module, dequantized(module)) for module in {id(module): module for module in candidates}.values())
    return [(module, forward) for module, forward in found if forward is not None]


def _check_keras(layer: nn.Module) -> None:
    """Refuse a model or layer of Keras that has no weights yet, and layers whose results depend on earlier calls."""
    name = getattr(layer, "name", type(layer).__name__)
    is_model = isinstance(layer, sys.modules["keras"].Model)
    if not layer.built and (is_model or not _needs_no_weights(layer)):
        kind = "model" if is_model else f"layer ({type(layer).__name__})"
        raise ModelError(
            f"the Keras {kind} {name!r} is not built yet, so that it has no weights; run it once on an input, model(x), or "
            "build(input_shape)"
        )
    if getattr(layer, "stateful", False) is True:
        raise ModelError(
            f"the layer {name!r} ({type(layer).__name__}) is stateful: what it computes depends on what it was given before; build the "
            "model with stateful=False, and give it the same weights: model.set_weights(other.get_weights())"
        )


def _needs_no_weights(layer: nn.Module) -> bool:
    """Whether a layer of Keras makes no weights when it is first called: it has no ``build`` of its own, and nor have those within."""
    empty = sys.modules["keras"].Layer.build
    return all(one.built or getattr(type(one), "build", None) is empty for one in modules_of(layer) if is_keras(one))


def _check(modules: list[nn.Module], parameters: list[tuple[nn.Module, str, Tensor]], dequantized: Collection[int]) -> None:
    """Refuse TorchScript parts, quantized ones, parameters without values, and models without floating-point parameters.

    Args:
        modules, parameters: the model's.
        dequantized: the quantized ones among the modules that run in floating point, by ``id``.
    """
    others = [module for module in modules if type(module) not in STEADY and id(module) not in dequantized]
    quantized = _quantized_classes(tuple(name for name in _QUANTIZED_PACKAGES if name in sys.modules)) if others else frozenset()
    for module in others:
        _refuse_script(module)
        if not quantized.isdisjoint(type(module).__mro__):
            name = type(module).__name__
            raise ModelError(
                f"{name} is a quantized layer, whose input is quantized too and which has no gradients: explain the float model it was "
                "made from"
            )
    for module in filter(is_keras, others):
        _check_keras(module)
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
