"""What modules hold of Keras beside their layers: generators of random numbers, metrics, and layers that stand in containers alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from signxai.engine.module_names import is_keras
from signxai.engine.random_sources import Value, is_seed_generator

_REACH = 4
"""So many lists, tables and plain objects deep is looked for what a layer keeps."""

_OF_OTHERS = ("builtins", "keras", "torch", "numpy")
"""In whose objects nothing of the user's is looked for."""


@dataclass(frozen=True)
class HeldOfKeras:
    """What was found among the attributes of modules, each once.

    Attributes:
        generators: SeedGenerators, which move with each draw.
        metrics: which a layer may update when it is called.
        layers: that are none of the modules.
    """

    generators: Sequence[Value] = ()
    metrics: Sequence[Value] = ()
    layers: Sequence[nn.Module] = ()

    def written(self) -> list[Tensor]:
        """The tensors that a call may write to."""
        variables = [variable for metric in self.metrics for variable in metric.variables]
        return [variable.value for variable in (*(generator.state for generator in self.generators), *variables)]


def held_of_keras(modules: Sequence[nn.Module]) -> HeldOfKeras:
    """What modules hold of Keras, if somebody has imported it."""
    if "keras" not in sys.modules:
        return HeldOfKeras()
    seen: dict[int, Value] = {}
    known = set(map(id, modules))
    found: dict[int, Value] = {}
    for module in modules:
        for attribute in list(module.__dict__.values()):
            found.update((id(value), value) for value in _in_reach(attribute, _REACH, seen) if id(value) not in known)
    held = list(found.values())
    layers = [value for value in held if is_keras(value)]
    return HeldOfKeras([value for value in held if is_seed_generator(value)], [value for value in held if _is_metric(value)], layers)


def _is_metric(value: Value) -> bool:
    kind = getattr(sys.modules["keras"], "Metric", None)
    return kind is not None and isinstance(value, kind)


def _in_reach(attribute: Value, depth: int, seen: dict[int, Value]) -> Iterator[Value]:
    """An attribute, and what stands in it, if it is a list, a table or an object of a class of the user's own, each looked into once.

    Nothing but its type and what it holds is asked of an object, as its attributes may be code.
    """
    yield attribute
    if not depth or id(attribute) in seen or is_seed_generator(attribute):
        return
    seen[id(attribute)] = attribute
    for value in _held_by(attribute, type(attribute)):
        yield from _in_reach(value, depth - 1, seen)


def _held_by(attribute: Value, kind: type) -> list[Value]:
    if issubclass(kind, list | tuple):
        return list(attribute)
    if issubclass(kind, dict):
        return list(attribute.values())
    if issubclass(kind, nn.Module | Tensor | type) or kind.__module__.partition(".")[0] in _OF_OTHERS:
        return []
    try:
        return list(object.__getattribute__(attribute, "__dict__").values())
    except AttributeError:
        return []
