"""Copies of a model in which the parameters of some layers are drawn anew. The model itself is only read."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from signxai.common.errors import ModelError, OptionError
from signxai.engine.model_loan import copied_as_view, unwrapped
from signxai.engine.module_names import find_module, is_keras, named_modules, parameters_of
from signxai.evidence.options import one_of

__all__ = ["ORDERS", "check_layers", "layers_with_parameters", "random_model", "random_models", "randomized"]

ORDERS = {"top_down": True, "bottom_up": False, "independent": None}
"""From the output to the input, from the input to the output, each time one layer more; or each layer alone."""


def copied(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode, in memory of its own.

    Raises:
        ModelError: if the model cannot be copied.
    """
    net = unwrapped(model)
    if any(map(is_keras, named_modules(net).values())):  # Keras copies by its own files, which take what is registered alone
        return copied_as_view(net)
    try:
        return copy.deepcopy(net, {id(tensor): tensor.detach().clone() for tensor in _computed(net)}).eval()
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"the model cannot be copied ({type(error).__name__}: {error}), and its own parameters are not touched") from error


def _computed(net: nn.Module) -> Iterator[Tensor]:
    """Tensors that modules have computed and hold, as the weights of ``weight_norm`` and pruning: those with a graph do not copy."""
    for module in net.modules():
        yield from (value for value in vars(module).values() if isinstance(value, Tensor) and not value.is_leaf)


def layers_with_parameters(model: nn.Module, run: Callable[[nn.Module], object] | None = None) -> list[str]:
    """The dotted names of the modules that have parameters of their own, in the order in which they are first run.

    What ``torch.nn.utils.parametrize`` adds to a module belongs to that.

    Args:
        model: any module.
        run: runs a copy of the model on an input, called as ``run(model)``; None: the modules are in the order of their registration. One
            that is never called itself comes after the one that it is in.
    """
    net = unwrapped(model) if run is None else copied(model)
    first = {} if run is None else _first_runs(net, run)
    parametrizations = {id(part) for module in net.modules() for part in _parametrizations_of(module)}
    own = [name for name, module in _named_once(net) if own_parameters(module) and id(module) not in parametrizations]

    def place(name: str) -> int:
        while name and name not in first:
            name = name[: max(name.rfind("."), name.rfind("/"), 0)]
        return first.get(name, 0)

    return sorted(own, key=place)


def _named_once(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each module of a network once, by the first name it has."""
    seen: set[int] = set()
    for name, module in named_modules(net).items():
        if id(module) not in seen:
            seen.add(id(module))
            yield name, module


def _parametrizations_of(layer: nn.Module) -> list[nn.Module]:
    """The modules that compute parameters of a layer from others."""
    return list(layer.parametrizations.modules()) if parametrize.is_parametrized(layer) else []  # type: ignore[union-attr]


def own_parameters(layer: nn.Module) -> list[nn.Parameter]:
    """The parameters of a layer itself, with those from which others of its are computed."""
    return [parameter for part in (layer, *_parametrizations_of(layer)) for parameter in parameters_of(part)]


def _first_runs(net: nn.Module, run: Callable[[nn.Module], object]) -> dict[str, int]:
    """When each module was first called, by name."""
    first: dict[str, int] = {}
    for name, module in _named_once(net):
        module.register_forward_pre_hook(partial(_note, first, name))
    run(net)
    return first


def _note(first: dict[str, int], name: str, _module: nn.Module, _arguments: object) -> None:
    first.setdefault(name, len(first))


def random_models(model: nn.Module, layers: Sequence[str], order: str, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """The layers by name, each with a copy of the model in which it is random; and all layers before it, unless the order is "independent".

    Args:
        model: any module.
        layers: names, from the input to the output.
        order: one of ``ORDERS``.
        seed: of the draws; a layer's do not depend on which others are drawn.

    Yields:
        The name and the model, which is the same object, changed, each time: explain it before you take the next.

    Raises:
        OptionError: for another order, or a name that is no module with parameters.
    """
    is_from_top = one_of("order", order, ORDERS)
    numbers = {name: number for number, name in enumerate(layers)}
    net = copied(model)
    for name in reversed(layers) if is_from_top else layers:
        if is_from_top is None:
            net = copied(model)
        randomized(_layer(net, name), seed + numbers[name])
        yield name, net


def check_layers(model: nn.Module, names: Sequence[str]) -> None:
    """Refuse a name that is no module with parameters of its own.

    Raises:
        OptionError: if there is one.
    """
    net = unwrapped(model)
    for name in names:
        _layer(net, name)


def _layer(net: nn.Module, name: str) -> nn.Module:
    try:
        found = find_module(net, name)
    except OptionError:
        found = None
    if found is None or not own_parameters(found):
        allowed = ", ".join(repr(own) for own in layers_with_parameters(net))
        raise OptionError(f"layers= names {name!r}, which is no module with parameters of its own; there are {allowed}")
    return found


def randomized(layer: nn.Module, seed: int) -> None:
    """Draw a layer's parameters anew, in place: by its ``reset_parameters``; what that leaves, normally with its own mean and deviation.

    Of a weight that is computed from others (``torch.nn.utils.parametrize``, ``weight_norm``, ``spectral_norm``, pruning) these are set so
    that it is a fresh one. A batch norm's ``reset_parameters`` resets its statistics, too (mean 0, variance 1), as in Quantus: those of the
    trained network do not fit what random layers give. The generators of torch, NumPy and Python come back as they were.
    """
    with _generators_kept([layer]), torch.no_grad():
        _drawn_anew(layer, seed)


def random_model(model: nn.Module, layers: Sequence[str], seed: int) -> nn.Module:
    """A copy of the model in which all of these layers are random: the last of ``random_models`` from either end.

    Raises:
        OptionError: for a name that is no module with parameters.
    """
    net = copied(model)
    found = [_layer(net, name) for name in layers]
    with _generators_kept(found), torch.no_grad():
        for number, layer in enumerate(found):
            _drawn_anew(layer, seed + number)
    return net


def _drawn_anew(layer: nn.Module, seed: int) -> None:
    _seed_for(layer, seed)
    np.random.seed(seed % (1 << 32))
    random.seed(seed)
    if parametrize.is_parametrized(layer):
        _draw_parametrized(layer)
    else:
        _draw(layer)
    _settle(layer)


def _draw(layer: nn.Module) -> None:
    """Draw the parameters of a layer, and set those from which hooks compute a weight."""
    parameters, reset = parameters_of(layer), getattr(layer, "reset_parameters", None)
    computed = {hook: getattr(layer, name).clone() for hook, name in _computing_hooks(layer)}
    before = [parameter.clone() for parameter in parameters]
    if callable(reset):
        reset()
    for hook, name in _computing_hooks(layer):
        if not torch.equal(getattr(layer, name), computed[hook]):
            _set_behind(layer, hook, name)
    for parameter, old in zip(parameters, before, strict=True):
        if torch.equal(parameter, old) and (parameter.is_floating_point() or not callable(reset)):
            parameter.copy_(_drawn_like(parameter))


def _computing_hooks(layer: nn.Module) -> list[tuple[Any, str]]:
    """The hooks by which ``weight_norm``, ``spectral_norm`` and pruning compute a tensor before each forward, with its name."""
    named = ((hook, getattr(hook, "_tensor_name", getattr(hook, "name", None))) for hook in layer._forward_pre_hooks.values())
    return [(hook, name) for hook, name in named if isinstance(name, str) and isinstance(getattr(layer, name, None), Tensor)]


def _set_behind(layer: nn.Module, hook: Any, name: str) -> None:
    """Set what a hook computes a tensor from, so that it computes what the tensor is now."""
    value = getattr(layer, name)
    if isinstance(hook, WeightNorm):
        getattr(layer, f"{name}_g").copy_(torch.norm_except_dim(value, 2, hook.dim))
        getattr(layer, f"{name}_v").copy_(value)
    elif isinstance(original := getattr(layer, f"{name}_orig", None), Tensor):
        original.copy_(value)


def _draw_parametrized(layer: nn.Module) -> None:
    """Draw as the layer without its parametrizations would, and set what these compute its parameters from.

    Where a parametrization has no inverse, what it computes from is drawn normally.
    """
    names: list[str] = list(layer.parametrizations)  # type: ignore[arg-type]
    plain: nn.Module = object.__new__(parametrize.type_before_parametrizations(layer))
    plain.__dict__.update(layer.__dict__)
    plain.__dict__["_parameters"] = {**layer._parameters, **{name: nn.Parameter(getattr(layer, name).clone()) for name in names}}
    _draw(plain)
    for parameter in layer.parametrizations.parameters():  # type: ignore[union-attr]
        parameter.copy_(_drawn_like(parameter))
    for name in names:
        _try_to_set(layer, name, getattr(plain, name).detach())


def _try_to_set(layer: nn.Module, name: str, value: Tensor) -> None:
    try:
        setattr(layer, name, value)
    except RuntimeError:  # it has no inverse
        return


_POWER_ITERATIONS = 20


def _settle(layer: nn.Module) -> None:
    """Let spectral norms find the norm of the new weight, for which they take a step at each run in training, and hooks compute theirs."""
    modes = [(part, part.training) for part in (layer, *_parametrizations_of(layer))]
    names = list(layer.parametrizations) if parametrize.is_parametrized(layer) else []  # type: ignore[arg-type]
    has_steps = any(hasattr(part, "_power_method") for part, _ in modes)
    for part, _ in modes:
        part.training = True
    for name in names * (_POWER_ITERATIONS if has_steps else 0):
        getattr(layer, name)
    for hook, _ in _computing_hooks(layer):
        for _step in range(_POWER_ITERATIONS if isinstance(hook, SpectralNorm) else 1):
            hook(layer, ())
    for part, is_training in modes:
        part.training = is_training


@contextmanager
def _generators_kept(layers: Sequence[nn.Module]) -> Iterator[None]:
    """When left, the generators that these layers may draw from are what they were."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(sorted({device for layer in layers for device in _devices(layer)}, key=str)):
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)


def _seed_for(layer: nn.Module, seed: int) -> None:
    """Seed what a layer draws from: of one on the CPU that device's generator alone, since to seed those of others, too, takes long."""
    if all(parameter.is_cpu for parameter in own_parameters(layer)):
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _devices(layer: nn.Module) -> list[torch.device]:
    return [device for device in {parameter.device for parameter in own_parameters(layer)} if device.type == "cuda"]


def _drawn_like(parameter: Tensor) -> Tensor:
    if not parameter.is_floating_point():
        raise ModelError(f"a parameter is {parameter.dtype}, which cannot be drawn anew; leave its layer out of layers=")
    values = parameter.double()
    deviation = values.std(correction=0)
    drawn = torch.randn(parameter.shape, dtype=torch.float64, device=parameter.device)
    return (values.mean() + deviation * drawn).to(parameter.dtype)
