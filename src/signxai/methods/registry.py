"""From a parsed name and options to a ready analyzer; and how an analyzer class becomes a method of the catalog."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from torch import nn

from signxai.common.errors import OptionError, UnknownOptionError
from signxai.methods.analyzer import Analyzer
from signxai.methods.by_input import is_by_input
from signxai.methods.composites import loaded
from signxai.names import catalog
from signxai.names.attention_rules import DEFAULT_ATTENTION
from signxai.names.catalog import COMMON_OPTIONS, Form, Method, Option, Parameter
from signxai.names.forms import ATTENTION
from signxai.names.spec import MethodSpec

__all__ = ["MethodHandle", "analyzer_for", "method_of", "register"]


class MethodHandle:
    """A registered method, which ``remove`` takes away."""

    def __init__(self, record: Method) -> None:
        self._record: Method | None = record

    def remove(self) -> None:
        """Make the name unknown again; a second time nothing happens."""
        if self._record is not None:
            catalog.unregister(self._record)
            self._record = None


def register(name: str, analyzer_class: Callable[..., Any]) -> MethodHandle:
    """Add a method; see ``signxai.register_method``."""
    takes = list(inspect.signature(analyzer_class).parameters.values())[1:]
    common = {option.keyword for option in COMMON_OPTIONS}
    own = [p for p in takes if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in common]
    numbers = tuple(Parameter(p.name, kind=type(p.default), default=p.default) for p in own if type(p.default) in (int, float))
    rest = [Option(p.name) for p in own if type(p.default) not in (int, float)]
    taken = _options_beyond(analyzer_class, takes, {p.name for p in own})
    meaning = "a method registered with register_method"
    record = Method(name, analyzer_class, meaning=meaning, parameters=numbers, options=(*rest, *taken))
    catalog.register(record)
    return MethodHandle(record)


def _options_beyond(analyzer_class: Callable[..., Any], takes: Sequence[inspect.Parameter], own: Container[str]) -> list[Option]:
    """The options that a class takes besides its own parameters: an ``Analyzer`` also those of the classes above it."""
    if isinstance(analyzer_class, type) and issubclass(analyzer_class, Analyzer):
        return [Option(keyword) for keyword in analyzer_class.options() if keyword not in own]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in takes)
    return [option for option in COMMON_OPTIONS if takes_any or any(p.name == option.keyword for p in takes)]


def method_of(spec: MethodSpec) -> Form:
    """What the catalog says of a parsed name's method; ``.options`` holds every option that ``explain`` takes for it."""
    return spec.form


def analyzer_for(spec: MethodSpec, model: nn.Module, options: Mapping[str, Any]) -> Any:
    """A ready analyzer for a parsed name and the options beside it.

    Raises:
        OptionError: if an option is unknown, or the name already sets it.
    """
    form = spec.form
    in_name: dict[str, Any] = dict(spec.params)
    if spec.attention != DEFAULT_ATTENTION:
        in_name[ATTENTION.keyword] = spec.attention
    arguments: dict[str, Any] = form.values_left_open(spec.preset) | in_name
    given_as: dict[str, str] = {}
    for name, value in options.items():
        if name not in form.options:
            hint = "; which layer it looks at is said by layer=" if name == "at" and "layer" in form.options else ""
            raise UnknownOptionError(f"{name!r} is not an option of {str(spec)!r}{hint}; its options are ", form.options)
        argument = form.options[name]
        if name in in_name or argument in in_name:
            said = _plain(in_name[argument])
            raise OptionError(f"{name}={value!r} is given, but the name {str(spec)!r} already says {said}; leave one out")
        if argument in given_as:
            raise OptionError(f"{name!r} and {given_as[argument]!r} are the same option of {str(spec)!r}; leave one out")
        parameter = form.parameters.get(name)
        is_free = parameter is None or value is None or parameter.takes_tensor or (parameter.by_input and is_by_input(value))
        if parameter is not None and not is_free and (complaint := parameter.complaint(value)):
            raise OptionError(complaint)
        given_as[argument] = name
        arguments[argument] = value
    words = {} if spec.rule is None else {"input_word": spec.method, "rule": spec.rule}
    return loaded(form.analyzer)(model, **words, **arguments)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
