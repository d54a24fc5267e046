"""The option ``at=``: at the outputs of which modules relevance is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from torch import Tensor, nn

from signxai.common.errors import OptionError
from signxai.engine.model_loan import unwrapped
from signxai.engine.module_names import name_of_module

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")

LayerOption: TypeAlias = "str | nn.Module | None"
"""A module by its dotted name or itself; of one executed several times the name with the number of the execution; None: the input."""

LayersOption: TypeAlias = "list[Any] | tuple[str | nn.Module, ...]"
"""Several of them."""

Relevance: TypeAlias = "Tensor | dict[str, Tensor] | tuple[Tensor | None, ...]"
"""Relevance at the input or at one module's output; at several, from the name of each to it; of several inputs in their structure."""


@dataclass(frozen=True)
class Layers:
    """The layers at which relevance is asked for.

    Attributes:
        names: dotted name of each, as it was given.
        is_one: one was given by itself, not in a sequence.
    """

    names: tuple[str, ...]
    is_one: bool

    def named(self, values: list[Tensor]) -> Relevance:
        """One value for each layer as a result: the value itself, or a dict."""
        return values[0] if self.is_one else dict(zip(self.names, values, strict=True))


def layers_of(at: LayerOption | LayersOption, model: nn.Module) -> Layers | None:
    """The layers that the option ``at=`` says; None: the input.

    Raises:
        OptionError: if it is no module, name or sequence of them, a module is not one of the model's, or one is given twice.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> layers_of(["0", model[1]], model)
    Layers(names=('0', '1'), is_one=False)
    """
    if at is None:
        return None
    if isinstance(at, str | nn.Module):
        return Layers((_name_of(at, model),), is_one=True)
    if not isinstance(at, list | tuple) or not at or not all(isinstance(layer, str | nn.Module) for layer in at):
        raise OptionError(f"at={at!r} must be a module's name, a module of the model, or a list of at least one of them")
    names = tuple(_name_of(layer, model) for layer in at)
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise OptionError(f"at={list(names)!r}: {twice!r} is given twice; leave one out")
    return Layers(names, is_one=False)


def _name_of(layer: str | nn.Module, model: nn.Module) -> str:
    return layer if isinstance(layer, str) else name_of_module(unwrapped(model), layer)


def of_each(function: Callable[[Any], Value], relevance: Any) -> Any:
    """A function of relevance at one place, or of that at each of several places or inputs; None where there is none.

    >>> of_each(len, {"0": [1, 2], "1": [3]})
    {'0': 2, '1': 1}
    """
    if isinstance(relevance, Tensor):  # as it mostly is, and asked quickly
        return function(relevance)
    if isinstance(relevance, Mapping):
        return {name: of_each(function, one) for name, one in relevance.items()}
    if isinstance(relevance, tuple):
        return tuple(of_each(function, one) for one in relevance)
    return None if relevance is None else function(relevance)
