"""The records as the parser, the registry and the descriptions look them up. A set of tables never changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from signxai.common.errors import MethodNameError
from signxai.names.consistency import check_needed, check_one_reading, check_records
from signxai.names.forms import Form
from signxai.names.records import Composite, InputWord, Method, Parameter, Record, Rule
from signxai.names.wording import listed, shown

__all__ = ["Tables"]


class Tables:
    """Records in order of registration, and the ways to find them."""

    def __init__(self, records: tuple[Record, ...]) -> None:
        self.records = records
        self._forms: dict[tuple[str, str | None], Form] = {}

    def with_records(self, new: Iterable[Record]) -> Tables:
        """These and further records.

        Raises:
            MethodNameError: as ``catalog.register`` says.
        """
        new = tuple(new)
        check_records(self.records, new)
        check_one_reading(self.records, new)
        return Tables((*self.records, *new))

    def without_records(self, gone: Iterable[Record]) -> Tables:
        """These records but for some.

        Raises:
            MethodNameError: as ``catalog.unregister`` says.
        """
        left, gone = list(self.records), tuple(gone)
        for record in gone:
            if record not in left:
                raise MethodNameError(f"cannot unregister {shown(record)}: it is not in the catalog")
            left.remove(record)
        check_needed(left, gone)
        return Tables(tuple(left))

    @cached_property
    def methods(self) -> Mapping[str, Method]:
        """Method words that stand alone."""
        return {record.word: record for record in self.records if isinstance(record, Method)}

    @cached_property
    def input_words(self) -> Mapping[str, InputWord]:
        """Words that a rule follows."""
        return {record.word: record for record in self.records if isinstance(record, InputWord)}

    @cached_property
    def rules(self) -> Mapping[str, Rule]:
        """Rules of one kind of layer, by name."""
        return {record.name: record for record in self.records if isinstance(record, Rule)}

    @cached_property
    def composites(self) -> Mapping[str, Composite]:
        """Composites by name."""
        return {record.name: record for record in self.records if isinstance(record, Composite)}

    @cached_property
    def rule_words(self) -> Mapping[str, Rule | Composite]:
        """The rules and composites that a name can carry, by name."""
        both: dict[str, Rule | Composite] = {**self.rules, **self.composites}
        return {name: record for name, record in both.items() if record.spelling is not None}

    @cached_property
    def spellings(self) -> Mapping[str, str]:
        """Name of a rule or composite -> how method names spell it."""
        return {name: record.spelling for name, record in self.rule_words.items() if record.spelling is not None}

    @cached_property
    def dotted_spellings(self) -> Mapping[str, str]:
        """Name of a rule or composite -> how iNNvestigate spells it behind ``lrp.``."""
        return {name: record.dotted for name, record in self.rule_words.items() if record.dotted}

    @cached_property
    def first_words(self) -> tuple[str, ...]:
        """What a name can begin with."""
        return (*self.methods, *self.input_words)

    @cached_property
    def parameter_words(self) -> frozenset[str]:
        """The word of every parameter that some name can carry."""
        found: list[Parameter] = [p for record in self.records if not isinstance(record, InputWord) for p in record.parameters]
        return frozenset(parameter.word for parameter in found)

    def form(self, method: str, rule: str | None) -> Form:
        """What is known of a method word, or of an input word with a rule.

        Raises:
            MethodNameError: there is no such method, or no such rule, or the two do not go together.
        """
        key = (method, rule)
        if not isinstance(method, str) or not (rule is None or isinstance(rule, str)):
            raise MethodNameError(f"a method and its rule are words, not {shown(method)} and {shown(rule)}")
        if key not in self._forms:
            self._forms[key] = self._form(method, rule)
        return self._forms[key]

    def _form(self, method: str, rule: str | None) -> Form:
        if method in self.methods:
            if rule is not None:
                raise MethodNameError(
                    f"{method!r} takes no rule, but {shown(rule)} is given; rules stand behind {listed(self.input_words)}"
                )
            return Form(self.methods[method])
        if method not in self.input_words:
            raise MethodNameError(f"{shown(method)} is not a method; the methods are {listed(self.first_words)}")
        if rule is None or rule not in self.rule_words:
            what = f"needs a rule behind it, which {'is missing' if rule is None else shown(rule) + ' is not'}"
            raise MethodNameError(f"{method!r} {what}; the rules are {listed(self.rule_words)}")
        head = self.input_words[method]
        return Form(head, self.rule_words[rule], None if head.rule is None else self.rules[head.rule])
