"""The modules within a model and what they are called, also those that Keras keeps in lists of its own.

A Keras 3 model on the torch backend is a module, but its layers are in no table of torch's: ``named_modules()`` knows those alone that
are attributes, by the attribute's name. Here every layer is found, and called as Keras calls it: ``block5_conv3``, in a nested
model ``backbone/block5_conv3``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TypeGuard

from torch import nn

from signxai.common.errors import OptionError


def is_keras(module: object) -> TypeGuard[nn.Module]:
    """Whether a module is a layer or model of Keras."""
    kind = _kind_of_keras("Layer")
    return kind is not None and isinstance(module, kind)


def is_keras_operation(value: object) -> bool:
    """Whether an object is a node of a functional Keras model that is no layer, as of ``a + b``."""
    kind = _kind_of_keras("Operation")
    return kind is not None and isinstance(value, kind) and not isinstance(value, nn.Module)


def _kind_of_keras(name: str) -> type | None:
    """A class of Keras, if somebody has imported it."""
    found = getattr(sys.modules.get("keras"), name, None)
    return found if isinstance(found, type) else None


def folder_of_keras() -> tuple[str, ...]:
    """Where Keras' own code lies, if somebody has imported it."""
    path = getattr(sys.modules.get("keras"), "__file__", None)
    return (str(Path(path).parent),) if path else ()


def name_within(model: str, operation: object) -> str:
    """The full name of an operation that is no layer, in the Keras model of this name."""
    name = str(getattr(operation, "name", ""))
    return f"{model}/{name}" if model else name


def children_of(module: nn.Module) -> Iterator[nn.Module]:
    """The modules directly within a module, as torch and as Keras keep them; some more than once."""
    yield from (child for child in module.__dict__["_modules"].values() if child is not None)
    if is_keras(module):
        yield from _layers_of(module)


def _layers_of(layer: nn.Module) -> Iterator[nn.Module]:
    """The layers directly within a Keras layer, those of a functional model in the order of the model; some more than once."""
    attributes = layer.__dict__
    own = (child for key, child in attributes["_modules"].items() if key not in _NO_LAYERS)
    yield from filter(is_keras, chain(attributes.get("_operations", ()), attributes.get("_layers", ()), own))


def named_modules(net: nn.Module) -> dict[str, nn.Module]:
    """Every module in a network, the network itself first, by its name; one that has several comes under each.

    Names are dotted, as torch has them; those of Keras' layers within layers are joined by slashes, as in Keras' paths.
    """
    found: dict[str, nn.Module] = {}
    pending: list[tuple[str, nn.Module]] = [("", net)]
    on_the_way: dict[str, frozenset[int]] = {"": frozenset((id(net),))}
    while pending:
        name, module = pending.pop()
        found[name] = module
        inner = []
        for child_name, child in _named_children(name, module):
            if id(child) not in on_the_way[name] and child_name not in on_the_way:
                on_the_way[child_name] = on_the_way[name] | {id(child)}
                inner.append((child_name, child))
        pending += reversed(inner)
    return found


def _named_children(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules directly within one of this name, each with its full name."""
    if not is_keras(module):
        prefix = f"{name}." if name else ""
        yield from ((f"{prefix}{key}", child) for key, child in module._modules.items() if child is not None)
        return
    prefix, taken, seen = f"{name}/" if name else "", set[str](), set[int]()
    for layer in _layers_of(module):
        if id(layer) not in seen:
            seen.add(id(layer))
            own = _free(str(layer.name), taken)
            taken.add(own)
            yield f"{prefix}{own}", layer
    for key, child in module._modules.items():
        if child is not None and not is_keras(child) and key not in _NO_LAYERS:
            yield f"{prefix}{_free(key, taken)}", child


_NO_LAYERS = {"_torch_params", "torch_params", "_functional"}
"""Modules in which Keras keeps the parameters for torch (in 3.4 without the underscore), and a sequential model the functional one that
runs its layers."""


def _free(name: str, taken: set[str]) -> str:
    """A name that no layer beside has: with a number from 2 on, where Keras allows one name twice."""
    number, result = 1, name
    while result in taken:
        number += 1
        result = f"{name}~{number}"
    return result


def parameters_of(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module itself, without those of the modules in it; of Keras' variables those that training may change."""
    if not is_keras(module):
        return list(module.parameters(recurse=False))
    return [variable.value for variable in module.__dict__.get("_trainable_variables", ())]


def names_by_id(net: nn.Module) -> dict[int, str]:
    """The name of each module in a network by its ``id``; of several, the first."""
    names: dict[int, str] = {}
    for name, module in named_modules(net).items():
        names.setdefault(id(module), name)
        if is_keras(module):
            names.update((id(child), name) for key, child in module._modules.items() if key in _NO_LAYERS)
    return names


def find_module(net: nn.Module, name: str) -> nn.Module:
    """A module of the network, by its name: the full one, or in Keras models as much of its end as says which it is.

    Raises:
        OptionError: if it is not in the network, or several Keras layers are meant.
    """
    modules = named_modules(net)
    if name in modules:
        return modules[name]
    by_attribute: dict[str, nn.Module] = dict(net.named_modules(remove_duplicate=False))
    if name in by_attribute and not _is_table(name):
        return by_attribute[name]
    ends = {id(module): full for full, module in reversed(modules.items()) if name and is_keras(module) and _ends(full, name)}
    if len(ends) > 1:
        raise OptionError(f"the model has several layers {name!r}; write the full name: {' or '.join(reversed(ends.values()))}")
    if not ends:
        raise OptionError(f"the model has no module {name!r}; its modules are {', '.join(filter(None, modules))}")
    return modules[next(iter(ends.values()))]


def _is_table(name: str) -> bool:
    return not _NO_LAYERS.isdisjoint(name.split("."))


def _ends(full: str, name: str) -> bool:
    """Whether a full name is this one or ends so, at a separator; ``/`` and ``.`` are one."""
    whole, end = (part.replace(".", "/") for part in (full, name))
    return whole == end or whole.endswith(f"/{end}")


def name_of_module(net: nn.Module, module: nn.Module) -> str:
    """The full name of a module in the network; of several, the first.

    Raises:
        OptionError: if it is not in the network.
    """
    modules = named_modules(net)
    for name, other in modules.items():
        if other is module:
            return name
    names = ", ".join(filter(None, modules))
    raise OptionError(f"the layer {module!r} is not a module of this model; give one of model.named_modules() or its name: {names}")
