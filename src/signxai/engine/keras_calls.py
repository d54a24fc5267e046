"""How a model is called: with several inputs one by one, but a Keras model that takes all of them as one argument, as it does, and with
``training=False``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from signxai.common.errors import ModelError
from signxai.engine.module_names import is_keras

_BESIDE = ("training", "mask")
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Arguments:
    """What a model takes by name.

    Attributes:
        names: of the arguments, in order.
        needed: those of them that have no default.
        takes_any: whether it takes any other name, too.
    """

    names: tuple[str, ...]
    needed: tuple[str, ...] = ()
    takes_any: bool = False


def arguments_of(net: nn.Module) -> Arguments:
    """What a model takes by name: the arguments of its forward; of a Keras model its inputs, or the arguments of its ``call``.

    Args:
        net: the model, without wrappers.
    """
    if is_keras(net):
        return _functional_inputs(net) or _call_arguments(net)
    try:
        return _arguments(inspect.signature(net.forward).parameters)
    except (TypeError, ValueError):  # a callable written in C says nothing of its arguments
        return Arguments((), takes_any=True)


def _arguments(parameters: Mapping[str, inspect.Parameter]) -> Arguments:
    by_name = {name: one for name, one in parameters.items() if one.kind in _BY_NAME}
    needed = tuple(name for name, one in by_name.items() if one.default is inspect.Parameter.empty)
    return Arguments(tuple(by_name), needed, any(one.kind is one.VAR_KEYWORD for one in parameters.values()))


def _functional_inputs(net: nn.Module) -> Arguments | None:
    """The inputs of a functional Keras model: keys of a dict, or names of its input layers; None: it is none, or they are nested."""
    inputs = getattr(net, "_inputs_struct", None)
    if inputs is None:
        return None
    named = inputs if isinstance(inputs, dict) else {one.name: one for one in getattr(net, "inputs", ())}
    if any(not hasattr(one, "shape") for one in named.values()):
        return None
    return Arguments(tuple(named), tuple(name for name, one in named.items() if not getattr(one, "optional", False)))


def _call_arguments(net: nn.Module) -> Arguments:
    """The arguments of a Keras model's ``call``; of one that takes everything as one of them, any names."""
    found = _arguments(inspect.signature(net.call).parameters)  # type: ignore[arg-type]
    return Arguments((), takes_any=True) if len([name for name in found.names if name not in _BESIDE]) == 1 else found


def called(net: nn.Module, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """What a model returns for these arguments; of Keras, what ``predict`` computes: it is called with ``training=False``.

    A functional Keras model, or one whose ``call`` has one parameter for what it takes, gets several inputs in a list, and named ones in a
    dict. Layers of Keras in a module of PyTorch run as that module calls them.

    Args:
        net: the model.
        args: its inputs by position.
        named: those by name, and arguments beside them.

    Raises:
        ModelError: a functional Keras model has no input of such a name, or needs another.
    """
    if not is_keras(net):
        return net(*args, **named)
    functional, parameters = _functional_inputs(net), inspect.signature(net.call).parameters  # type: ignore[arg-type]
    is_one = len(args) + len(named) < 2 and not (functional and any(name in functional.names for name in named))
    if "training" in parameters:  # as ``predict`` calls it; a layer's own default may be True
        named = {"training": False, **named}
    if is_one:
        return net(*args, **named)
    taken = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD and name not in _BESIDE]
    if len(taken) != 1:
        return net(*args, **named)
    if args:
        return net(list(args) if len(args) > 1 else args[0], **named)
    of_inputs = {name: value for name, value in named.items() if name not in parameters or (functional and name in functional.names)}
    inputs: object = of_inputs
    if functional and of_inputs:
        _check_names(functional, of_inputs)
        inputs = _as_built(net, of_inputs)
    return net(inputs, **{name: value for name, value in named.items() if name not in of_inputs}) if of_inputs else net(**named)


def called_on(net: nn.Module, x: Any) -> Any:
    """The same for one input."""
    return called(net, (x,), {})


@contextmanager
def losses_stay(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Put back what layers of Keras hold of the losses of the last call, such as those of activity regularizers."""
    held = (layer.__dict__.get("_losses") for layer in layers if is_keras(layer))
    kept = [(losses, list(losses)) for losses in held if isinstance(losses, list)]
    try:
        yield
    finally:
        for losses, before in kept:
            losses[:] = before


def _as_built(net: nn.Module, inputs: Mapping[str, object]) -> object:
    """Inputs by name as a functional Keras model takes them: the only one by itself where it was built so, as Keras warns otherwise."""
    built = net._inputs_struct
    if len(inputs) > 1 or isinstance(built, dict):
        return inputs
    alone = next(iter(inputs.values()))
    return [alone] if isinstance(built, list | tuple) else alone


def _check_names(taken: Arguments, inputs: Mapping[str, object]) -> None:
    """Refuse names that Keras would leave out without a word, and inputs that are missing."""
    if unknown := [name for name in inputs if name not in taken.names]:
        raise ModelError(f"the model has no input {unknown[0]!r}; its inputs are {', '.join(taken.names)}")
    if missing := [name for name in taken.needed if name not in inputs]:
        raise ModelError(f"the model also needs the input {missing[0]!r}; its inputs are {', '.join(taken.names)}")
