"""What the catalog says of a method, a rule, a composite and an input word: one record for each.

A record names classes by dotted name, so that reading method names loads no torch; the class itself does as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, TypeAlias

from signxai.names.papers import Paper
from signxai.names.spelling import spell_number

__all__ = ["COMMON_OPTIONS", "Composite", "InputWord", "Method", "Option", "Parameter", "Record", "Rule", "Use"]

Where: TypeAlias = "str | Callable[..., Any]"
"""A class, or its dotted name."""

Values: TypeAlias = Mapping[str, Any]
"""Parameters' values by keyword."""


@dataclass(frozen=True)
class Parameter:
    """A number that a method or rule takes, by keyword and, unless the record says otherwise, in a name.

    Args:
        word: how a name calls it (``noise`` in ``smoothgrad_noise_0_3``).
        keyword: how options and the class call it; the word, unless given.
        kind: int or float.
        minimum: the least value that is allowed.
        default: what holds where it is not given; None where ``unset`` says it in words.
        unset: in words, what holds where it is not given.
        in_name: whether a name can carry it; else only the option gives it.
        takes_tensor: whether the option may also be a tensor or an array.
        by_input: whether the option may also be a mapping or a sequence with a value for each of several inputs.
    """

    word: str
    _: KW_ONLY
    keyword: str = ""
    kind: type[int] | type[float] = float
    minimum: float | None = None
    default: float | None = None
    unset: str = ""
    in_name: bool = True
    takes_tensor: bool = False
    by_input: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "keyword", self.keyword or self.word)

    def complaint(self, value: object) -> str | None:
        """Say why the value is not allowed; None if it is.

        >>> Parameter("steps", kind=int, minimum=1).complaint(0)
        'steps = 0 is out of range: it must be at least 1'
        """
        if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(size := _as_float(value)):
            return f"{self.keyword} = {value!r} must be a finite number"
        if self.kind is int and math.isfinite(size) and not isinstance(value, Integral):
            return f"{self.keyword} = {value!r} must be a whole number"
        if not math.isfinite(size):
            shown = f" ({value!r})" if isinstance(value, float) else ""  # Python refuses to print an int of 5000 digits
            return f"{self.keyword} is too large for a floating-point number{shown}: it must be a finite number"
        if self.minimum is not None and value < self.minimum:
            return f"{self.keyword} = {size:g} is out of range: it must be at least {self.minimum:g}"
        return None


def _as_float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:  # an int beyond the greatest float
        return math.inf


@dataclass(frozen=True)
class Option:
    """Something beside the parameters that a method takes by keyword.

    Args:
        keyword: how ``explain`` calls it.
        unset: what holds where it is not given, for ``describe``, which leaves the option out without it.
        unset_by_preset: the same where the name ends in a preset.
        argument: how the analyzer's class calls it; the keyword, unless given.
    """

    keyword: str
    unset: str = ""
    unset_by_preset: str = ""
    argument: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "argument", self.argument or self.keyword)


COMMON_OPTIONS = tuple(
    map(
        Option,
        ("batch_size", "seed", "relevance", "as_tensor", "create_graph", "output", "stochastic", "forward_kwargs", "explained", "progress"),
    )
)
"""What every ``Analyzer`` takes."""


@dataclass(frozen=True)
class Method:
    """A method word that stands alone, such as ``smoothgrad``.

    Args:
        word: the method's word in a name.
        analyzer: its class, called as ``analyzer(model, **parameters)``.
        meaning: a few words for ``signxai methods``.
        parameters: its numbers, in canonical order.
        options: everything else that it takes by keyword.
        formula: lines of plain text for ``describe``.
        latex: the formula for the documentation.
        papers: its sources.
        starts_with_logit: whether the original package starts relevance with the logit.
    """

    word: str
    analyzer: Where
    _: KW_ONLY
    meaning: str
    parameters: tuple[Parameter, ...] = ()
    options: tuple[Option, ...] = COMMON_OPTIONS
    formula: tuple[str, ...] = ()
    latex: str = ""
    papers: tuple[Paper, ...] = ()
    starts_with_logit: bool = False

    @property
    def example(self) -> str:
        """A name of it for ``list_methods``."""
        return self.word


@dataclass(frozen=True)
class _RuleWord:
    """What a rule and a composite have in common: they stand behind an input word.

    Args:
        name: ``spec.rule`` of the names that carry it.
        meaning: a few words, in which ``{keyword}`` stands for a parameter's value.
        spelling: its words in a name, where ``NUM`` behind a parameter's word stands for its number: ``epsilon_NUM_std_x``; the
            name, unless given. None: it has no words of its own, and input words alone lead to it.
        parameters: its numbers, in canonical order. Those that the spelling leaves out may follow it, with their word.
        papers: its sources.
        listed_as: an example of the spelling for ``list_methods``; with the parameters' defaults, unless given.
        dotted: how iNNvestigate spells it behind ``lrp.``; "": not at all.
        dotted_values: what iNNvestigate takes for the numbers that this spelling leaves open.
        contradiction: says what is wrong with numbers in a name that contradict each other, None if nothing.
    """

    name: str
    _: KW_ONLY
    meaning: str
    spelling: str | None = ""
    parameters: tuple[Parameter, ...] = ()
    papers: tuple[Paper, ...] = ()
    listed_as: str = ""
    dotted: str = ""
    dotted_values: Mapping[str, float] = field(default_factory=dict)
    contradiction: Callable[[Values], str | None] | None = None

    def __post_init__(self) -> None:
        if self.spelling == "":
            object.__setattr__(self, "spelling", self.name)

    @property
    def tokens(self) -> list[tuple[str, str]]:
        """The tokens of its spelling, each with the one before it; none if it has no words of its own."""
        return list(pairwise(["", *self.spelling.split("_")])) if self.spelling else []

    @property
    def spelled_words(self) -> list[str]:
        """The words of the parameters whose numbers stand within the spelling."""
        return [word for word, token in self.tokens if token == "NUM"]

    def filled(self, numbers: Mapping[str, str]) -> str:
        """The spelling with numbers, each by the parameter's word.

        >>> Rule("damped", "Damped", meaning="damped", spelling="damped_by_NUM").filled({"by": "0_5"})
        'damped_by_0_5'
        """
        return "_".join(numbers[word] if token == "NUM" else token for word, token in self.tokens)

    @property
    def example(self) -> str:
        """A name of it for ``list_methods``; "" if it has no words of its own."""
        defaults = {parameter.word: spell_number(parameter.default or 0.0) for parameter in self.parameters}
        return f"lrp_{self.listed_as or self.filled(defaults)}" if self.spelling else ""


@dataclass(frozen=True)
class Rule(_RuleWord):
    """A rule of linear layers.

    Args:
        rule: its class, a ``signxai.methods.rules.LinearRule``. It is called with the parameters by keyword, and with
            ``stabilizer`` if it takes one.
        arguments: the class's arguments that are called otherwise than the parameter: argument -> keyword.
        title: its name in a text; the name, unless given.
        analyzer_name: how ``AdvancedLRPAnalyzer`` and ``LRPSequential`` call it; the name, unless given.
        is_for_inputs: whether ``AdvancedLRPAnalyzer`` gives it to the layers that read the input alone.
        completed: fills in parameters that follow from others.
        formula: lines of plain text for ``describe``.
        latex: the formula for the documentation, "R_i =" left out.
    """

    rule: Where
    _: KW_ONLY
    arguments: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    analyzer_name: str = ""
    is_for_inputs: bool = False
    completed: Callable[[Values], Values] | None = None
    formula: tuple[str, ...] = ()
    latex: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "title", self.title or self.name)
        object.__setattr__(self, "analyzer_name", self.analyzer_name or self.name)


@dataclass(frozen=True)
class Use:
    """A rule in a composite, with the values that are fixed there; the rest are the composite's parameters, or defaults."""

    rule: str
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Composite(_RuleWord):
    """A rule for each kind of layer.

    Args:
        linear: for fully connected layers.
        convolution: for convolutions and transposed convolutions.
        first: for the layers that read the input, where it differs.
        first_is_convolution: whether ``first`` is for convolutions alone.
    """

    _: KW_ONLY
    linear: Use
    convolution: Use
    first: Use | None = None
    first_is_convolution: bool = False

    @property
    def places(self) -> dict[str, Use]:
        """The rule of each kind of layer, in words for people."""
        first = "first convolution" if self.first_is_convolution else "first linear layer"
        return ({first: self.first} if self.first else {}) | {"Linear": self.linear, "convolutions": self.convolution}


@dataclass(frozen=True)
class InputWord:
    """The word before a rule; it says which rule the layers that read the input take.

    Args:
        word: the word in a name.
        rule: the name of that rule; None: the same rule as everywhere. Its parameters may follow in a name.
        use: what it is good for, for the documentation.
        papers: the sources of the idea; the rule brings its own.
        preset_values: what a preset at the end of the name gives for the rule's parameters.
        listed_as: an example for ``list_methods``; with the rule z, unless given.
    """

    word: str
    rule: str | None
    _: KW_ONLY
    use: str = ""
    papers: tuple[Paper, ...] = ()
    preset_values: Mapping[str, float] = field(default_factory=dict)
    listed_as: str = ""

    @property
    def example(self) -> str:
        """A name of it for ``list_methods``."""
        return self.listed_as or f"{self.word}_z"


Record: TypeAlias = Method | Rule | Composite | InputWord
