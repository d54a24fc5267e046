"""Method names: the grammar that reads a name into a frozen value, which prints as its canonical name.

::

    name       = method { "_" param } [ "_" attention ] { multiplier } [ "_" preset ]
    method     = the word of a Method | the word of an InputWord "_" rule | "lrp." rule as iNNvestigate spells it
    rule       = the spelling of a Rule or Composite
    param      = the word of a Parameter "_" NUM
    attention  = the word of an AttentionRule other than the default, on LRP names
    multiplier = "_x_input" | "_x_sign" [ "_mu_" NUM ]
    NUM        = [ "neg_" ] INT [ "_" DIGITS ]          0_25 is 0.25, neg_0_5 is -0.5, 100 is 100

A name is read once, from left to right, over the tokens between its underscores; the words come from the catalog. Reading
touches no tensor and needs neither torch nor numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from signxai.common.errors import MethodNameError
from signxai.names import catalog
from signxai.names.attention_rules import ATTENTION_RULES, DEFAULT_ATTENTION
from signxai.names.cursor import Cursor, read_spelling
from signxai.names.forms import Form
from signxai.names.listing import list_methods
from signxai.names.records import Parameter
from signxai.names.spec import MethodSpec, Multiplier
from signxai.names.spelling import NOT_A_NUMBER, is_digits, number, spell_number
from signxai.names.tables import Tables
from signxai.names.wording import listed, shown

__all__ = ["MethodSpec", "Multiplier", "list_methods", "number", "parse_method", "spell_number"]


def parse_method(name: str) -> MethodSpec:
    """Read a method name; ``parse_method(str(spec)) == spec`` for every ``MethodSpec``.

    Raises:
        MethodNameError: the name is no sentence of the grammar; the message says which token is wrong, and where,
            and names the nearest methods.

    >>> parse_method("gradient_x_input_x_sign_mu_neg_0_5").multipliers
    (Multiplier(kind='input', mu=None), Multiplier(kind='sign', mu=-0.5))
    >>> parse_method("lrp.alpha_2_beta_1") == parse_method("lrp_alpha_2_beta_1")
    True
    """
    if not isinstance(name, str):
        raise MethodNameError(f"a method name is a string like 'lrp_epsilon_0_1', not {shown(name)} ({type(name).__name__})")
    read = _read(name, catalog.current())
    if isinstance(read, str):
        raise MethodNameError(read)
    return read


@lru_cache(maxsize=4096)
def _read(name: str, tables: Tables) -> MethodSpec | str:
    """What a name says, or why it is none; titles of figures, which need not be names, are asked for again and again."""
    try:
        return _parsed(name, tables)
    except MethodNameError as error:
        return str(error)


def _parsed(name: str, tables: Tables) -> MethodSpec:
    cursor = Cursor(name)
    form, values = _read_form(cursor, tables)
    parameters, attention = _read_parameters(cursor, form)
    values |= parameters
    multipliers = _read_multipliers(cursor)
    preset = cursor.take(catalog.PRESETS)
    if not cursor.at_end:
        raise cursor.error(_why_not(cursor, tables, form, multipliers, preset))
    _check_values(cursor, values, form)
    rule = None if form.rule is None else form.rule.name
    return MethodSpec(form.head.word, rule, tuple(values.items()), multipliers, preset, attention)


def _read_form(cursor: Cursor, tables: Tables) -> tuple[Form, dict[str, float | int]]:
    """Read the method word or, for LRP, the input word and the rule with its numbers."""
    words = ("lrp",) if cursor.dotted else tables.first_words
    method = cursor.take(words)
    if method is None:
        cursor.position = max(cursor.common(word) for word in words)
        raise cursor.error(f"{cursor.wrong} is not a method{cursor.after}")
    if method not in tables.input_words:
        return tables.form(method, None), {}
    rule, numbers = read_spelling(cursor, tables.dotted_spellings if cursor.dotted else tables.spellings)
    form = tables.form(method, rule)
    return form, {form.spelled[word].keyword: value for word, value in numbers.items()}


def _read_parameters(cursor: Cursor, form: Form) -> tuple[dict[str, float | int], str]:
    """Read every parameter that stands here, and how attention is treated, in any order; give the parameters by keyword."""
    values: dict[str, float | int] = {}
    attention = DEFAULT_ATTENTION
    start = cursor.position
    while (word := cursor.take([*form.following, *form.attention_words])) is not None:
        keyword = form.following[word].keyword if word in form.following else ""
        if keyword in values or (not keyword and attention != DEFAULT_ATTENTION):
            raise cursor.at(start).error(f"{word!r} is given twice{cursor.at(start).after}")
        if keyword:
            values[keyword] = _read_value(cursor, word, form.following[word])
        else:
            attention = word
        start = cursor.position
    return values, attention


def _read_value(cursor: Cursor, word: str, parameter: Parameter) -> float | int:
    start = cursor.position
    value = cursor.number()
    if value is None:
        raise cursor.error(f"{cursor.wrong} {NOT_A_NUMBER}{cursor.after}")
    if parameter.kind is float or not math.isfinite(value):
        return value
    digits = [token for token in cursor.tokens[start : cursor.position] if token != "neg"]
    if len(digits) > 1:
        raise cursor.error(f"{word!r} takes a whole number, not {'_'.join(cursor.tokens[start : cursor.position])}")
    return int(digits[0]) if value >= 0 else -int(digits[0])


def _read_multipliers(cursor: Cursor) -> tuple[Multiplier, ...]:
    multipliers = []
    while (word := cursor.take(catalog.MULTIPLIERS)) is not None:
        multipliers.append(_read_sign(cursor) if catalog.MULTIPLIERS[word] == "sign" else Multiplier("input"))
    return tuple(multipliers)


def _read_sign(cursor: Cursor) -> Multiplier:
    """Read what may follow ``_x_sign``: nothing (mu = 0), ``_mu_NUM``, or ``_mu`` alone (the option gives it)."""
    if cursor.take(["mu"]) is None:
        return Multiplier("sign", 0.0)
    follows = cursor.token
    if follows is None or follows == "x" or follows in catalog.PRESETS:
        return Multiplier("sign")
    mu = cursor.number()
    if mu is None or not math.isfinite(mu):
        raise cursor.error(f"{cursor.wrong} {NOT_A_NUMBER}{cursor.after}" if mu is None else "mu is not a finite number")
    return Multiplier("sign", mu)


# --- what a name may not say ---------------------------------------------------------------------------------------------


def _why_not(cursor: Cursor, tables: Tables, form: Form, multipliers: tuple[Multiplier, ...], preset: str | None) -> str:
    """Say why the name cannot go on with the token at the cursor."""
    token, wrong, after = cursor.token or "", cursor.wrong, cursor.after
    takes = f"it takes {listed(form.following)}"
    if preset is not None:
        return f"{wrong} stands behind the preset {preset!r}, which ends a name{after}"
    if token == "x":
        cursor.position += 1
        return f"{cursor.wrong} cannot follow 'x': the multipliers are x_input and x_sign{cursor.after}"
    if token in ATTENTION_RULES:
        return _why_not_attention(token, wrong, after, form)
    if multipliers and token in form.following:
        return f"{wrong} is a parameter, and parameters stand before the multipliers{after}"
    if token in tables.parameter_words:
        return f"{wrong} is not a parameter of this method: {takes}{after}"
    if is_digits(token) or token == "neg":
        return f"{wrong} is a number with no parameter before it{after}"
    attention = f", nor how attention is treated ({listed(form.attention_words)})" if form.attention_words else ""
    others = f"nor a multiplier (x_input, x_sign), nor a preset ({listed(catalog.PRESETS)})"
    return f"{wrong}{after} is neither a parameter ({takes}){attention}, {others}"


def _why_not_attention(token: str, wrong: str, after: str, form: Form) -> str:
    if token == DEFAULT_ATTENTION:
        return f"{wrong} is how attention is treated where a name says nothing: leave it out{after}"
    if token not in form.attention_words:
        return f"{wrong} says how attention is treated, which LRP names alone can say{after}"
    return f"{wrong} says how attention is treated, and stands before the multipliers{after}"


def _check_values(cursor: Cursor, values: Mapping[str, float | int], form: Form) -> None:
    """Refuse values out of range, and values that contradict each other."""
    for keyword, value in values.items():
        if complaint := form.parameters[keyword].complaint(value):
            raise cursor.error(complaint)
    if complaint := form.contradiction(values):
        raise cursor.error(complaint)
