"""Which rule a linear layer takes: made from the catalog's records of rules, composites and input words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from signxai.common.errors import OptionError
from signxai.engine.stabilizer import Stabilizer
from signxai.methods.rules import Epsilon, LinearRule
from signxai.names import catalog
from signxai.names.records import Composite, Rule, Use


@dataclass(frozen=True)
class LayerRules:
    """The rule of every linear layer, by its kind and its place in the order of execution.

    ``first`` goes to the layers that read the network's input (with ``first_is_convolution`` only to convolutions), ``last``
    to the one executed last.
    """

    linear: LinearRule
    convolution: LinearRule
    first: LinearRule | None = None
    last: LinearRule | None = None
    first_is_convolution: bool = False

    @property
    def is_z(self) -> bool:
        """Whether the rule for all layers but the first is z, or epsilon with 0: then ``lrp_z`` is gradient times input."""
        rules = (self.linear, self.convolution, self.last or self.linear)
        return all(isinstance(rule, Epsilon) and isinstance(rule.epsilon, int | float) and rule.epsilon == 0 for rule in rules)

    @property
    def looks_at_samples(self) -> bool:
        """Whether a rule looks at each sample as a whole."""
        return any(rule.looks_at_samples for rule in (self.linear, self.convolution, self.first, self.last) if rule is not None)

    def __call__(self, kind: str, reads_input: bool, is_last: bool) -> LinearRule:
        """The rule of one layer: of kind "linear" or "convolution"."""
        if self.first is not None and reads_input and (kind == "convolution" or not self.first_is_convolution):
            return self.first
        if self.last is not None and is_last:
            return self.last
        return self.convolution if kind == "convolution" else self.linear


def layer_rules(input_word: str, rule: str, values: Mapping[str, Any] | None = None, stabilizer: Stabilizer = 0.0) -> LayerRules:
    """The rules that a method name such as ``lrpsign_epsilon_0_25`` asks for.

    Args:
        input_word: the word before the rule, for example "lrp".
        rule: the name of a rule or composite.
        values: the rules' parameters by keyword; defaults hold for the rest.
        stabilizer: for rules that take one.

    Raises:
        MethodNameError: there is no such word or rule.

    >>> layer_rules("lrpsign", "epsilon", {"epsilon": 0.25}).first
    Sign(mu=0.0, stabilizer=0.0)
    """
    form, values = catalog.current().form(input_word, rule), values or {}
    if isinstance(form.rule, Composite):
        rules = _composite_rules(form.rule, values, stabilizer)
    else:
        everywhere = layer_rule(catalog.current().rules[rule], values, stabilizer)
        rules = LayerRules(linear=everywhere, convolution=everywhere)
    return rules if form.first is None else replace(rules, first=layer_rule(form.first, values, stabilizer), first_is_convolution=False)


def layer_rule(record: Rule, values: Mapping[str, Any], stabilizer: Stabilizer = 0.0) -> LinearRule:
    """The rule that a record describes, with these values of its parameters; defaults hold for the rest.

    >>> layer_rule(catalog.current().rules["epsilon_std_x"], {"epsilon": 0.5})
    StdxEpsilon(k=0.5)
    """
    values = record.completed(values) if record.completed else values
    arguments = {p.keyword: values.get(p.keyword, p.default) for p in record.parameters}
    for argument, keyword in record.arguments.items():
        arguments[argument] = arguments.pop(keyword)
    rule_class = loaded(record.rule)
    if _takes_stabilizer(rule_class):
        arguments["stabilizer"] = stabilizer
    rule: LinearRule = rule_class(**arguments)
    return rule


def _composite_rules(record: Composite, values: Mapping[str, Any], stabilizer: Stabilizer) -> LayerRules:
    defaults = {p.keyword: p.default for p in record.parameters if p.default is not None}

    def rule_at(use: Use) -> LinearRule:
        return layer_rule(catalog.current().rules[use.rule], {**defaults, **values, **use.values}, stabilizer)

    return LayerRules(
        linear=rule_at(record.linear),
        convolution=rule_at(record.convolution),
        first=None if record.first is None else rule_at(record.first),
        first_is_convolution=record.first_is_convolution,
    )


@lru_cache(maxsize=256)
def _takes_stabilizer(rule_class: Callable[..., Any]) -> bool:
    return "stabilizer" in inspect.signature(rule_class).parameters


def loaded(where: str | Callable[..., Any]) -> Callable[..., Any]:
    """The class that a record names by its dotted name, or the class itself.

    Raises:
        OptionError: the dotted name leads to no class; the original error is the ``__cause__``.

    >>> loaded("signxai.methods.rules.Z").__name__
    'Z'
    """
    if not isinstance(where, str):
        return where
    try:
        return _imported(where)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(f"the catalog names a class {where!r} that cannot be imported: {error}") from error


@lru_cache(maxsize=256)
def _imported(where: str) -> Callable[..., Any]:
    module, _, name = where.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
