"""What a method name means, in words: one line, or parameters, formula and papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from signxai.names.attention_rules import ATTENTION_RULES, DEFAULT_ATTENTION
from signxai.names.catalog import LEGEND, current
from signxai.names.forms import ATTENTION, Form
from signxai.names.papers import GUMPFER_2023
from signxai.names.records import Composite, Method, Rule, Use
from signxai.names.spec import MethodSpec, Multiplier
from signxai.names.spelling import plain

__all__ = ["describe", "layer_rule", "summary"]


def summary(spec: MethodSpec) -> str:
    """Say in one line what a method name means.

    >>> from signxai.names.grammar import parse_method
    >>> summary(parse_method("lrpsign_epsilon_0_25_std_x"))
    "LRP: shares damped by epsilon = 0.25 std(x) of each layer's input; SIGN rule on the first layer"
    >>> summary(parse_method("gradient_x_sign_mu_0_5"))
    'gradient of the logit with respect to the input; times the sign of the input about 0.5'
    """
    form = spec.form
    pieces = [_meaning(spec, form)]
    if form.first is not None:
        pieces.append(f"{form.first.title} rule{_given(form.first, dict(spec.params))} on the first layer")
    if spec.attention != DEFAULT_ATTENTION:
        rule = ATTENTION_RULES[spec.attention]
        pieces.append(f"{rule.meaning} ({rule.title})")
    pieces.extend(_multiplier_meaning(multiplier) for multiplier in spec.multipliers)
    if spec.preset is not None:
        pieces.append(f"preset {spec.preset}")
    return "; ".join(pieces)


def describe(spec: MethodSpec) -> str:
    """Describe a method name: canonical name, meaning, parameters and where they come from, formula, papers."""
    form = spec.form
    of_attention = ATTENTION_RULES[spec.attention].papers if spec.attention != DEFAULT_ATTENTION else ()
    of_sign = (GUMPFER_2023,) if any(multiplier.kind == "sign" for multiplier in spec.multipliers) else ()
    sections = {
        "parameters": [_row(*row) for row in _parameters(spec, form)],
        "formula": list(_formula(spec, form)),
        "papers": list(map(str, dict.fromkeys(form.papers + of_attention + of_sign))),
    }
    lines = [spec.name, f"  {summary(spec)}"]
    for title, content in sections.items():
        if content:
            lines += ["", f"{title}:", *(f"  {line}" for line in content)]
    return "\n".join(lines)


_WIDTH_OF_VALUES = 10


def _row(keyword: str, value: str, source: str) -> str:
    """A parameter in columns; behind a value that is wider than its column, where it comes from stands in brackets.

    >>> _row("layer", "the last convolution", "default")
    'layer        the last convolution (default)'
    """
    is_wide = len(value) > _WIDTH_OF_VALUES
    return f"{keyword:<12} {value} ({source})" if is_wide else f"{keyword:<12} {value:<{_WIDTH_OF_VALUES}} {source}"


def layer_rule(use: Use, composite: Composite) -> str:
    """A rule in a composite, in words.

    >>> from signxai.names.catalog import current
    >>> composite = current().composites["epsilon_alpha2_beta1"]
    >>> layer_rule(composite.convolution, composite), layer_rule(composite.linear, composite)
    ('alpha_beta rule, alpha = 2, beta = 1', 'epsilon rule, epsilon = 0.000001')
    """
    rule = current().rules[use.rule]
    own = {parameter.keyword: parameter.default for parameter in (*rule.parameters, *composite.parameters)}
    values = {parameter.keyword: use.values.get(parameter.keyword, own[parameter.keyword]) for parameter in rule.parameters}
    numbers = [f", {keyword} = {plain(value)}" for keyword, value in values.items() if value is not None]
    return f"{rule.title} rule{''.join(numbers)}"


def _meaning(spec: MethodSpec, form: Form) -> str:
    if isinstance(form.head, Method):
        return form.head.meaning
    defaults = {keyword: parameter.default for keyword, parameter in form.parameters.items()}
    values = {**defaults, **form.values_left_open(spec.preset), **dict(spec.params)}
    shown = {keyword: "?" if value is None else plain(value) for keyword, value in values.items()}
    return f"LRP: {form.rule.meaning.format(**shown)}" if form.rule is not None else ""


def _given(rule: Rule, values: Mapping[str, float]) -> str:
    """The rule's numbers that a name gives, in brackets."""
    numbers = [f"{p.keyword} = {plain(values[p.keyword])}" for p in rule.parameters if p.keyword in values]
    return f" ({', '.join(numbers)})" if numbers else ""


def _multiplier_meaning(multiplier: Multiplier) -> str:
    if multiplier.kind == "input":
        return "times the input"
    threshold = "mu" if multiplier.mu is None else plain(multiplier.mu)
    return "times the sign of the input" if multiplier.mu == 0 else f"times the sign of the input about {threshold}"


def _formula(spec: MethodSpec, form: Form) -> Iterator[str]:
    if isinstance(form.head, Method):
        yield from form.head.formula
    if form.rule is not None:
        yield from _rule_formula(form.rule)
        if form.first is not None:
            yield "first layer, instead:"
            yield from form.first.formula
        yield LEGEND
    if spec.attention != DEFAULT_ATTENTION:
        attention = ATTENTION_RULES[spec.attention]
        yield f"attention o = p v, by {attention.title}: {attention.formula}"
    for multiplier in spec.multipliers:
        if multiplier.kind == "input":
            yield "then R_i <- x_i R_i"
        else:
            yield f"then R_i <- s_i R_i,  s_i = +1 where x_i >= {'mu' if multiplier.mu is None else plain(multiplier.mu)}, else -1"


def _rule_formula(rule: Rule | Composite) -> Iterator[str]:
    if isinstance(rule, Rule):
        yield from rule.formula
        return
    for place, use in rule.places.items():
        yield f"{place}: {layer_rule(use, rule)}"


def _parameters(spec: MethodSpec, form: Form) -> Iterator[tuple[str, str, str]]:
    """Each parameter as keyword, value, and where the value comes from."""
    given = dict(spec.params)
    for keyword, value in given.items():
        yield keyword, plain(value), "from the name"
    of_preset, of_nothing = form.values_left_open(spec.preset), form.values_left_open(None)
    for keyword, parameter in form.parameters.items():
        if keyword in given:
            continue
        holds = of_preset.get(keyword, parameter.default)
        if holds is None:
            yield keyword, parameter.unset, f"default, per sample; option {keyword}="
        else:
            source = "default" if of_preset.get(keyword) == of_nothing.get(keyword) else f"preset {spec.preset}"
            yield keyword, plain(holds), f"{source}; option {keyword}="
    for option in form.own_options:
        if option == ATTENTION and spec.attention != DEFAULT_ATTENTION:
            yield option.keyword, spec.attention, "from the name"
            continue
        if option.unset_by_preset and spec.preset is not None:
            yield option.keyword, option.unset_by_preset, f"preset {spec.preset}; option {option.keyword}="
        elif option.unset:
            yield option.keyword, option.unset, f"default; option {option.keyword}="
    if any(multiplier.kind == "sign" and multiplier.mu is None for multiplier in spec.multipliers):
        yield "mu", "?", "of _x_sign_mu: the option mu= must give it"
