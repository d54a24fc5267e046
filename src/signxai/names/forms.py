"""A form: what a method name can begin with, a method word alone or an input word with a rule, and all that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from signxai.names.attention_rules import ATTENTION_RULES, DEFAULT_ATTENTION
from signxai.names.papers import Paper
from signxai.names.records import COMMON_OPTIONS, Composite, InputWord, Method, Option, Parameter, Rule, Where

__all__ = ["ATTENTION", "LRP_OPTIONS", "STABILIZER", "Form"]

STABILIZER = Option("stabilizer", unset="0")

ATTENTION = Option("attention", unset=DEFAULT_ATTENTION)
"""Which of the ``ATTENTION_RULES``; a name can say it too."""

LRP_OPTIONS = (STABILIZER, Option("strict"), ATTENTION, Option("at"), *COMMON_OPTIONS)
"""What every LRP analyzer takes beside the parameters of its rules."""

_LRP_ANALYZER = "signxai.methods.lrp.MethodLRPAnalyzer"


@dataclass(frozen=True)
class Form:
    """A method word alone, or an input word with a rule.

    Attributes:
        head: the record of the method word or input word.
        rule: behind an input word the rule of all layers, or the composite.
        first: the input word's own rule, for the layers that read the input.
    """

    head: Method | InputWord
    rule: Rule | Composite | None = None
    first: Rule | None = None

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """Every parameter by its keyword, in canonical order."""
        found = [*self._spelled, *self._own]
        return {parameter.keyword: parameter for parameter in found}

    @cached_property
    def spelled(self) -> Mapping[str, Parameter]:
        """The parameters that stand within the rule's spelling, by their word."""
        return {parameter.word: parameter for parameter in self._spelled}

    @cached_property
    def following(self) -> Mapping[str, Parameter]:
        """The parameters that may follow in a name, by their word."""
        return {parameter.word: parameter for parameter in self._own if parameter.in_name}

    @property
    def _spelled(self) -> list[Parameter]:
        if self.rule is None:
            return []
        by_word = {parameter.word: parameter for parameter in self.rule.parameters}
        return [by_word[word] for word in self.rule.spelled_words]

    @property
    def _own(self) -> list[Parameter]:
        """All others: the input word's, then the rule's or the method's."""
        records = [record for record in (self.head, self.first, self.rule) if isinstance(record, Method | Rule | Composite)]
        spelled = {parameter.keyword for parameter in self._spelled}
        return [parameter for record in records for parameter in record.parameters if parameter.keyword not in spelled]

    @property
    def own_options(self) -> tuple[Option, ...]:
        """The options beside the parameters."""
        return self.head.options if isinstance(self.head, Method) else LRP_OPTIONS

    @cached_property
    def options(self) -> Mapping[str, str]:
        """From every keyword that ``explain`` takes to the analyzer's argument."""
        return {keyword: keyword for keyword in self.parameters} | {option.keyword: option.argument for option in self.own_options}

    @cached_property
    def attention_words(self) -> tuple[str, ...]:
        """The words in a name that say how attention is treated; none where the option is not taken."""
        return tuple(word for word in ATTENTION_RULES if word != DEFAULT_ATTENTION) if ATTENTION in self.own_options else ()

    @property
    def analyzer(self) -> Where:
        """The analyzer's class; that of a rule is called with ``input_word`` and ``rule`` as well."""
        return self.head.analyzer if isinstance(self.head, Method) else _LRP_ANALYZER

    @property
    def starts_with_logit(self) -> bool:
        """Whether the original package starts relevance with the logit."""
        return self.head.starts_with_logit if isinstance(self.head, Method) else True

    @property
    def papers(self) -> tuple[Paper, ...]:
        """The sources, each once."""
        records = [record for record in (self.rule, self.first, self.head) if record is not None]
        return tuple(dict.fromkeys(paper for record in records for paper in record.papers))

    def values_left_open(self, preset: str | None) -> dict[str, float]:
        """What holds for parameters that a name leaves open, where that differs from their default: a preset's, or iNNvestigate's."""
        of_preset = self.head.preset_values if isinstance(self.head, InputWord) and preset is not None else {}
        return {**of_preset, **(self.rule.dotted_values if self.rule is not None else {})}

    def contradiction(self, values: Mapping[str, float]) -> str | None:
        """Say which numbers in a name contradict each other; None if none do."""
        checks = [record.contradiction for record in (self.rule, self.first) if record is not None and record.contradiction]
        return next((complaint for check in checks if (complaint := check(values))), None)
