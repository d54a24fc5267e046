"""Copies of a model in which the parameters of some layers are drawn anew. The model itself is only read."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError, OptionError
from signxai.engine.model_loan import unwrapped
from signxai.evidence.options import one_of

__all__ = ["ORDERS", "check_layers", "layers_with_parameters", "random_models", "randomized"]

ORDERS = {"top_down": True, "bottom_up": False, "independent": None}
"""From the output to the input, from the input to the output, each time one layer more; or each layer alone."""


def copied(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode, in memory of its own.

    Raises:
        ModelError: if the model cannot be copied.
    """
    try:
        return copy.deepcopy(unwrapped(model)).eval()
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"the model cannot be copied ({type(error).__name__}: {error}), and its own parameters are not touched") from error


def layers_with_parameters(model: nn.Module, run: Callable[[nn.Module], object] | None = None) -> list[str]:
    """The dotted names of the modules that have parameters of their own, in the order in which they are first run.

    Args:
        model: any module.
        run: runs a copy of the model on an input, called as ``run(model)``; None: the modules are in the order of their registration. One
            that is never called itself comes after the one that it is in.
    """
    net = unwrapped(model) if run is None else copied(model)
    first = {} if run is None else _first_runs(net, run)
    own = [name for name, module in net.named_modules() if any(True for _ in module.parameters(recurse=False))]

    def place(name: str) -> int:
        while name and name not in first:
            name = name.rpartition(".")[0]
        return first.get(name, 0)

    return sorted(own, key=place)


def _first_runs(net: nn.Module, run: Callable[[nn.Module], object]) -> dict[str, int]:
    """When each module was first called, by name."""
    first: dict[str, int] = {}
    for name, module in net.named_modules():
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
        found = net.get_submodule(name)
    except AttributeError:
        found = None
    if found is None or not any(True for _ in found.parameters(recurse=False)):
        allowed = ", ".join(repr(own) for own in layers_with_parameters(net))
        raise OptionError(f"layers= names {name!r}, which is no module with parameters of its own; there are {allowed}")
    return found


def randomized(layer: nn.Module, seed: int) -> None:
    """Draw a layer's parameters anew, in place: by its ``reset_parameters``, or normally with each parameter's own mean and deviation.

    A batch norm's ``reset_parameters`` resets its statistics, too (mean 0, variance 1), as in Quantus: those of the trained network do not
    fit what random layers give. Torch's generators come back as they were.
    """
    with torch.random.fork_rng(_devices(layer)), torch.no_grad():
        _seed_for(layer, seed)
        reset = getattr(layer, "reset_parameters", None)
        if callable(reset):
            reset()
        else:
            for parameter in layer.parameters(recurse=False):
                parameter.copy_(_drawn_like(parameter))


def _seed_for(layer: nn.Module, seed: int) -> None:
    """Seed what a layer draws from: of one on the CPU that device's generator alone, since to seed those of others, too, takes long."""
    if all(parameter.is_cpu for parameter in layer.parameters(recurse=False)):
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _devices(layer: nn.Module) -> list[torch.device]:
    return [device for device in {parameter.device for parameter in layer.parameters(recurse=False)} if device.type == "cuda"]


def _drawn_like(parameter: Tensor) -> Tensor:
    if not parameter.is_floating_point():
        raise ModelError(f"a parameter is {parameter.dtype}, which cannot be drawn anew; leave its layer out of layers=")
    values = parameter.double()
    deviation = values.std(correction=0)
    drawn = torch.randn(parameter.shape, dtype=torch.float64, device=parameter.device)
    return (values.mean() + deviation * drawn).to(parameter.dtype)
