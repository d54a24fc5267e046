"""The modules of a network, and their parameters and buffers, without a word of the classes of these modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from torch import Tensor, nn

from signxai.engine.module_names import children_of, is_keras

__all__ = ["modules_of", "tensors_of"]


def modules_of(net: nn.Module) -> list[nn.Module]:
    """Each module once; ``net.modules()`` makes their names as well, which takes many times as long."""
    found = {id(net): net}
    pending = [net]
    while pending:
        module = pending.pop()
        for child in children_of(module) if "keras" in sys.modules else module.__dict__["_modules"].values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                pending.append(child)
    return list(found.values())


def tensors_of(modules: list[nn.Module], table: str) -> list[tuple[nn.Module, str, Tensor]]:
    """The parameters or buffers of all modules, each once, with the module and the name it has there."""
    seen: set[int] = set()
    found = []
    for module in modules:
        own = module.__dict__[table]
        if not own:
            continue
        for name, tensor in own.items():
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                found.append((module, name, tensor))
    if table == "_parameters" and "keras" in sys.modules:
        # Keras hands its variables to torch where it builds a layer, or is asked for parameters: not in a subclassed model from a file.
        variables = {id(one[2]): one for module in filter(is_keras, modules) for one in _variables_of(module)}
        found += [one for key, one in variables.items() if key not in seen]
    return found


def _variables_of(layer: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """The values of a Keras layer's own variables."""
    for table in ("_trainable_variables", "_non_trainable_variables"):
        for variable in layer.__dict__.get(table, ()):
            if isinstance(value := getattr(variable, "value", None), Tensor):
                yield layer, str(variable.name), value
