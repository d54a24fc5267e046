"""A method name as a value: which method, which rule, which numbers. Every value that can be built prints as a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signxai.common.errors import MethodNameError
from signxai.names import catalog
from signxai.names.attention_rules import DEFAULT_ATTENTION
from signxai.names.cursor import DOT
from signxai.names.forms import Form
from signxai.names.records import Composite, Parameter, Rule
from signxai.names.spelling import spell_number
from signxai.names.wording import listed, shown

__all__ = ["MethodSpec", "Multiplier"]

_MU = Parameter("mu")


@dataclass(frozen=True)
class Multiplier:
    """What a map is multiplied with: the input, or the input's sign about mu.

    ``mu`` is None for the input, and for a sign whose threshold the option ``mu=`` must give.

    Raises:
        MethodNameError: the kind is neither "input" nor "sign", or mu does not go with it.
    """

    kind: str
    mu: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in catalog.MULTIPLIERS.values():
            raise MethodNameError(f"kind={shown(self.kind)} is not one of {listed(map(repr, catalog.MULTIPLIERS.values()))}")
        if self.mu is None:
            return
        if self.kind == "input":
            raise MethodNameError(f"the multiplier 'input' takes no mu, but {shown(self.mu)} is given")
        if complaint := _MU.complaint(self.mu):
            raise MethodNameError(complaint)
        object.__setattr__(self, "mu", float(self.mu))

    def __str__(self) -> str:
        if self.kind == "input":
            return "x_input"
        if self.mu is None:
            return "x_sign_mu"
        return f"x_sign_mu_{spell_number(self.mu)}" if self.mu else "x_sign"


@dataclass(frozen=True)
class MethodSpec:
    """A method name, read: which method, which rule, which numbers; it prints as its canonical name.

    ``params`` holds (keyword, value) pairs, which are brought into canonical order; ``multipliers`` stands in the order of
    application; ``attention`` is the word of one of the ``ATTENTION_RULES``.

    Raises:
        MethodNameError: no name stands for the value; the message says which part of it is wrong and what is allowed.

    >>> from signxai.names.grammar import parse_method
    >>> spec = parse_method("lrpsign_epsilon_0_6_std_x_mu_0_3")
    >>> spec.method, spec.rule, spec.params
    ('lrpsign', 'epsilon_std_x', (('epsilon', 0.6), ('mu', 0.3)))
    >>> str(parse_method("smoothgrad_samples_20_noise_0_30_x_sign_mu_0"))
    'smoothgrad_noise_0_3_samples_20_x_sign'
    >>> parse_method("lrp_epsilon_0_25_cp_x_input").attention
    'cp'
    """

    method: str
    rule: str | None = None
    params: tuple[tuple[str, float | int], ...] = ()
    multipliers: tuple[Multiplier, ...] = ()
    preset: str | None = None
    attention: str = DEFAULT_ATTENTION

    def __post_init__(self) -> None:
        form = self.form
        object.__setattr__(self, "params", _canonical(form, _pairs(self.params)))
        values = dict(self.params)
        if form.rule is not None:
            _check_spelled(form, form.rule, values)
        if complaint := form.contradiction(values):
            raise MethodNameError(complaint)
        if not isinstance(self.multipliers, tuple | list) or not all(isinstance(one, Multiplier) for one in self.multipliers):
            raise MethodNameError(f"multipliers={shown(self.multipliers)} is not a tuple of Multiplier")
        object.__setattr__(self, "multipliers", tuple(self.multipliers))
        if self.preset is not None and self.preset not in catalog.PRESETS:
            raise MethodNameError(f"preset={shown(self.preset)} is not one of {listed(catalog.PRESETS)}")
        allowed = (DEFAULT_ATTENTION, *form.attention_words)
        if self.attention not in allowed:
            raise MethodNameError(f"attention={shown(self.attention)} is not one of {listed(allowed)}")

    @property
    def name(self) -> str:
        """The canonical name."""
        return str(self)

    @property
    def form(self) -> Form:
        """What the catalog says of the method and its rule."""
        return catalog.current().form(self.method, self.rule)

    def __str__(self) -> str:
        form, values = self.form, dict(self.params)
        pieces = [self.method] if form.rule is None else [_spelled(self.method, form.rule, values)]
        for word, parameter in form.following.items():
            if parameter.keyword in values:
                pieces.append(f"{word}_{spell_number(values[parameter.keyword])}")
        if self.attention != DEFAULT_ATTENTION:
            pieces.append(self.attention)
        pieces.extend(str(multiplier) for multiplier in self.multipliers)
        if self.preset is not None:
            pieces.append(self.preset)
        return "_".join(pieces)


def _pairs(params: Any) -> dict[str, Any]:
    if not isinstance(params, tuple | list) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in params):
        raise MethodNameError(f"params={shown(params)} is not a tuple of (keyword, value) pairs")
    keywords = [keyword for keyword, _ in params]
    for keyword in keywords:
        if keywords.count(keyword) > 1:
            raise MethodNameError(f"{shown(keyword)} is given twice")
    return dict(params)


def _canonical(form: Form, values: Mapping[str, Any]) -> tuple[tuple[str, float | int], ...]:
    """The parameters that a name carries, in its order, each of its type."""
    carried = {parameter.keyword: parameter for parameter in (*form.spelled.values(), *form.following.values())}
    for keyword, value in values.items():
        if keyword not in carried:
            raise MethodNameError(f"{shown(keyword)} is not a parameter that the name can carry: it takes {listed(carried)}")
        if complaint := carried[keyword].complaint(value):
            raise MethodNameError(complaint)
    return tuple((keyword, parameter.kind(values[keyword])) for keyword, parameter in carried.items() if keyword in values)


def _check_spelled(form: Form, rule: Rule | Composite, values: Mapping[str, float]) -> None:
    """A rule with its numbers has a name; one without them has only iNNvestigate's, if that leaves them open."""
    missing = [word for word, parameter in form.spelled.items() if parameter.keyword not in values]
    if missing and (len(missing) < len(form.spelled) or not _may_be_dotted(form, rule)):
        raise MethodNameError(f"{missing[0]!r} is missing: the rule is spelled {rule.spelling}")


def _may_be_dotted(form: Form, rule: Rule | Composite) -> bool:
    return f"{form.head.word}." == DOT and bool(rule.dotted) and "NUM" not in rule.dotted


def _spelled(method: str, rule: Rule | Composite, values: Mapping[str, float]) -> str:
    """The input word with its rule."""
    numbers = {p.word: spell_number(values[p.keyword]) for p in rule.parameters if p.keyword in values}
    if any(word not in numbers for word in rule.spelled_words):
        return DOT + rule.dotted
    return f"{method}_{rule.filled(numbers)}"
