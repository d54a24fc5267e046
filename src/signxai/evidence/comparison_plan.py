"""What a comparison is asked for, checked before anything is computed: methods and metrics, each with the options that it takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

from signxai.common.errors import OptionError, UnknownOptionError
from signxai.evidence.compared_scores import BASELINE
from signxai.evidence.explaining import Method
from signxai.evidence.records import Metric, metric
from signxai.methods.explainer import spec_of, takes
from signxai.names.grammar import MethodSpec

__all__ = ["DEFAULT_METRICS", "ChosenMetric", "Contestant", "Metrics", "contestants_of", "metrics_of"]

Metrics: TypeAlias = "str | Sequence[str] | Mapping[str, Mapping[str, Any]]"

DEFAULT_METRICS = ("srg", "mprt", "gini")
"""One each of whether a map fits the decision, depends on what was learned, and rests on few values; of every kind of input."""

DEFAULT_WITH_MASKS = "relevance_rank"


@dataclass(frozen=True)
class Contestant:
    """A method under its label, with the options that it takes."""

    label: str
    method: Method
    options: Mapping[str, Any]


def contestants_of(names: Sequence[str | MethodSpec] | Mapping[str, Method], options: Mapping[str, Any]) -> list[Contestant]:
    """The methods with their options, the baseline among them.

    Raises:
        MethodNameError: if a name is none.
        OptionError: if there are none, a label is no text on one line, or none of them takes an option.
    """
    if isinstance(names, str | MethodSpec):
        raise OptionError(f"method_names={str(names)!r} is one name; give a sequence of names, as [{str(names)!r}]")
    given: dict[str, Method] = dict(names) if isinstance(names, Mapping) else {str(name): name for name in names}
    if not given:
        raise OptionError("method_names is empty; give at least one name")
    if wrong := [label for label in given if not isinstance(label, str) or "".join(label.splitlines()) != label]:
        raise OptionError(f"method_names has the label {wrong[0]!r}; a label is text on one line, which names a row of each table")
    all_of_them = {**given, BASELINE: given.get(BASELINE, BASELINE)}
    own = {label: dict(options[label]) for label in all_of_them if isinstance(options.get(label), Mapping)}
    shared = {key: value for key, value in options.items() if key not in own}
    found = [_contestant(label, method, shared, own.get(label, {})) for label, method in all_of_them.items()]
    if unknown := [key for key in shared if not any(key in one.options for one in found)]:
        raise OptionError(f"none of the methods takes the option {unknown[0]!r}")
    return found


def _contestant(label: str, method: Method, shared: Mapping[str, Any], own: Mapping[str, Any]) -> Contestant:
    """A method with the shared options that it takes, and its own.

    Raises:
        OptionError: if it does not take one of its own.
    """
    spec = spec_of(method) if isinstance(method, str | MethodSpec) else None
    if unknown := [key for key in own if spec is None or not takes(spec, key)]:
        raise OptionError(f"the method {label!r} takes no option {unknown[0]!r}; leave it out")
    if spec is None:
        return Contestant(label, method, {})
    return Contestant(label, spec, {**{key: value for key, value in shared.items() if takes(spec, key)}, **own})


@dataclass(frozen=True)
class ChosenMetric:
    """A metric with its options."""

    record: Metric
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def option_names(self) -> list[str]:
        """Of all options that it takes, in order."""
        parameters = inspect.signature(self.record.function).parameters.values()
        return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]

    def option(self, name: str) -> Any:
        """An option, as given or as it is by default."""
        return self.options[name] if name in self.options else inspect.signature(self.record.function).parameters[name].default

    def those(self, *names: str) -> dict[str, Any]:
        """Several of them, by name."""
        return {name: self.option(name) for name in names}


def metrics_of(metrics: Metrics | None, masks: Any, shared: Mapping[str, Any]) -> list[ChosenMetric]:
    """The metrics with their options.

    Raises:
        OptionError: if there is no such metric, it does not take an option of its own, none takes a shared one, or masks are missing.
    """
    default = (*DEFAULT_METRICS, *(() if masks is None else (DEFAULT_WITH_MASKS,)))
    given = default if metrics is None else (metrics,) if isinstance(metrics, str) else metrics
    own = dict(given) if isinstance(given, Mapping) else {name: {} for name in given}
    if not own:
        raise OptionError("metrics is empty; give at least one name, as metrics=['srg']")
    found = [_chosen(metric(name), shared, options) for name, options in own.items()]
    known = {option for one in found for option in _options_of(one.record)}
    if unknown := [name for name in shared if name not in known]:
        raise _unknown(f"none of the metrics takes the option {unknown[0]!r}", unknown[0], known)
    if needing := [one.name for one in found if one.record.takes == "mask" and masks is None]:
        raise OptionError(
            f"the metric {needing[0]!r} asks whether relevance lies where it should; give masks=, True inside, one for each sample, as "
            "signxai.evidence.box_mask and interval_mask make them, or leave it out"
        )
    return found


def _chosen(record: Metric, shared: Mapping[str, Any], own: Mapping[str, Any]) -> ChosenMetric:
    taken = _options_of(record)
    if unknown := [name for name in own if name not in taken]:
        raise _unknown(f"the metric {record.name!r} takes no option {unknown[0]!r}", unknown[0], taken)
    return ChosenMetric(record, {**{name: value for name, value in shared.items() if name in taken}, **own})


def _options_of(record: Metric) -> set[str]:
    parameters = inspect.signature(record.function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def _unknown(said: str, name: str, known: set[str]) -> OptionError:
    near = get_close_matches(name, sorted(known))
    if near:
        return OptionError(f"{said}; nearest: {', '.join(near)}")
    return UnknownOptionError(f"{said}; there are ", known) if known else OptionError(f"{said}; there are none")
