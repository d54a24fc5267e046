"""Method names: the grammar that reads a name into a frozen value and prints that value as its canonical name.

::

    name       = method { "_" param } { multiplier } [ "_" preset ]
    method     = a word of METHODS | input_rule "_" rule | "lrp." rule as iNNvestigate spells it
    param      = a word of PARAMETERS "_" NUM
    multiplier = "_x_input" | "_x_sign" [ "_mu_" NUM ]
    NUM        = [ "neg_" ] INT [ "_" DIGITS ]          0_25 is 0.25, neg_0_5 is -0.5, 100 is 100

A name is read once, from left to right, over the tokens between its underscores; the tables below are the only
place that knows the words. Reading touches no tensor and needs neither torch nor numpy.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache, lru_cache
from itertools import pairwise
from typing import Generic, TypeVar

from signxai.common.errors import MethodNameError

__all__ = [
    "DOTTED_EPSILON",
    "INPUT_RULES",
    "METHODS",
    "PARAMETERS",
    "PRESETS",
    "PRESET_BOUNDS",
    "RULES",
    "MethodSpec",
    "Multiplier",
    "Parameter",
    "list_methods",
    "number",
    "parse_method",
    "register_form",
    "spell_number",
]


@dataclass(frozen=True)
class Parameter:
    """A parameter that a name can carry: the analyzers' keyword, its type, its least value and what holds without it."""

    keyword: str
    kind: type[int] | type[float]
    minimum: float | None = None
    default: float | None = None


# The word in a name -> the parameter. This order is the canonical order in a name, behind the rule's own numbers.
PARAMETERS: Mapping[str, Parameter] = {
    "mu": Parameter("mu", float, default=0.0),
    "noise": Parameter("noise_level", float, minimum=0, default=0.2),
    "samples": Parameter("num_samples", int, minimum=1, default=50),
    "steps": Parameter("steps", int, minimum=1, default=50),
    "low": Parameter("low", float),
    "high": Parameter("high", float),
}

# The numbers inside a rule's spelling; their word is the analyzers' keyword.
RULE_PARAMETERS: Mapping[str, Parameter] = {word: Parameter(word, float, minimum=0) for word in ("epsilon", "alpha", "beta", "gamma")}

# Method word -> the words of the parameters it takes.
METHODS: Mapping[str, tuple[str, ...]] = {
    "gradient": (),
    "input_t_gradient": (),
    "integrated_gradients": ("steps",),
    "smoothgrad": ("noise", "samples"),
    "vargrad": ("noise", "samples"),
    "guided_backprop": (),
    "deconvnet": (),
    "grad_cam": (),
    "grad_cam_timeseries": (),
    "guided_grad_cam": (),
    "deep_taylor": (),
    "random_uniform": (),
}

# Input rule -> the words of the parameters it takes; a rule of RULES always follows.
INPUT_RULES: Mapping[str, tuple[str, ...]] = {
    "lrp": (),
    "lrpsign": ("mu",),
    "lrpz": (),
    "zblrp": ("low", "high"),
    "w2lrp": (),
    "flatlrp": (),
}

# Rule -> how a name spells it; NUM stands for the number of the word before it.
RULES: Mapping[str, str] = {
    "z": "z",
    "epsilon": "epsilon_NUM",
    "epsilon_std_x": "epsilon_NUM_std_x",
    "alpha_beta": "alpha_NUM_beta_NUM",
    "gamma": "gamma_NUM",
    "zplus": "zplus",
    "wsquare": "wsquare",
    "flat": "flat",
    "sequential_composite_a": "sequential_composite_a",
    "sequential_composite_b": "sequential_composite_b",
    "epsilon_plus": "epsilon_plus",
    "epsilon_plus_flat": "epsilon_plus_flat",
    "epsilon_alpha2_beta1": "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat": "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box": "epsilon_gamma_box",
}

# Rules that take parameters behind their spelling, as methods do.
PARAMETERS_OF_RULES: Mapping[str, tuple[str, ...]] = {"epsilon_gamma_box": ("low", "high")}

# (input rule, rule) -> how iNNvestigate spells it behind "lrp." (Alber et al. 2019).
DOTTED: Mapping[tuple[str, str], str] = {
    ("lrp", "z"): "z",
    ("lrp", "epsilon"): "epsilon",
    ("lrp", "alpha_beta"): "alpha_NUM_beta_NUM",
    ("lrp", "zplus"): "z_plus",
    ("lrp", "wsquare"): "w_square",
    ("lrp", "flat"): "flat",
    ("lrp", "sequential_composite_a"): "sequential_composite_a",
    ("lrp", "sequential_composite_b"): "sequential_composite_b",
}
_DOT = "lrp."

# What lrp.epsilon, which carries no number, takes where no option gives it: Keras' fuzz factor, as iNNvestigate does.
DOTTED_EPSILON = 1e-7

MULTIPLIERS: Mapping[str, str] = {"x_input": "input", "x_sign": "sign"}

PRESETS: tuple[str, ...] = ("VGG16ILSVRC", "VGG16MITPL365", "MNISTCNN")

# The bounds low and high that a preset gives zblrp: the least and greatest value of a Caffe-normalized pixel.
PRESET_BOUNDS: tuple[float, float] = (-123.68, 151.061)

# One name for each family and rule that the original package's names leave out.
_FURTHER_NAMES = (
    "guided_grad_cam",
    "deep_taylor",
    "lrp_alpha_2_beta_1",
    "lrp_gamma_0_25",
    "lrp_zplus",
    "lrp_wsquare",
    "lrp_flat",
    "lrp_epsilon_plus",
    "lrp_epsilon_plus_flat",
    "lrp_epsilon_alpha2_beta1",
    "lrp_epsilon_alpha2_beta1_flat",
    "lrp_epsilon_gamma_box",
)

# Methods added by register_form: name -> its parameters, by their word in a name.
_registered: dict[str, dict[str, Parameter]] = {}

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Multiplier:
    """What a map is multiplied with: the input, or the input's sign about mu.

    ``mu`` is None for the input, and for a sign whose threshold the option ``mu=`` must give.
    """

    kind: str
    mu: float | None = None

    def __str__(self) -> str:
        if self.kind == "input":
            return "x_input"
        if self.mu is None:
            return "x_sign_mu"
        return f"x_sign_mu_{spell_number(self.mu)}" if self.mu else "x_sign"


@dataclass(frozen=True)
class MethodSpec:
    """A method name, read: which method, which rule, which numbers; it prints as its canonical name.

    ``params`` holds (keyword, value) pairs in canonical order, ``multipliers`` stands in the order of application.

    >>> spec = parse_method("lrpsign_epsilon_0_6_std_x_mu_0_3")
    >>> spec.method, spec.rule, spec.params
    ('lrpsign', 'epsilon_std_x', (('epsilon', 0.6), ('mu', 0.3)))
    >>> str(parse_method("smoothgrad_samples_20_noise_0_30_x_sign_mu_0"))
    'smoothgrad_noise_0_3_samples_20_x_sign'
    """

    method: str
    rule: str | None = None
    params: tuple[tuple[str, float | int], ...] = ()
    multipliers: tuple[Multiplier, ...] = ()
    preset: str | None = None

    @property
    def name(self) -> str:
        """The canonical name."""
        return str(self)

    def __str__(self) -> str:
        values, parameters = dict(self.params), _parameters_of(self.method, self.rule)
        pieces = [self._spelled_method(values)]
        for word, parameter in parameters.items():
            if parameter.keyword in values:
                pieces.append(f"{word}_{spell_number(values[parameter.keyword])}")
        pieces.extend(str(multiplier) for multiplier in self.multipliers)
        if self.preset is not None:
            pieces.append(self.preset)
        return "_".join(pieces)

    def _spelled_method(self, values: Mapping[str, float]) -> str:
        """The method with its rule; a rule whose number is left open has only iNNvestigate's name."""
        if self.rule is None:
            return self.method
        tokens = RULES[self.rule].split("_")
        if all(word in values for word, slot in pairwise(tokens) if slot == "NUM"):
            spelled = [spell_number(values[word]) if slot == "NUM" else slot for word, slot in pairwise(["", *tokens])]
            return "_".join([self.method, *spelled])
        dotted = DOTTED.get((self.method, self.rule), "NUM")
        if "NUM" in dotted:
            raise MethodNameError(f"{self.method!r} with rule {self.rule!r} has no name without the numbers of {RULES[self.rule]!r}")
        return _DOT + dotted


def parse_method(name: str) -> MethodSpec:
    """Read a method name; ``parse_method(str(spec)) == spec`` for every value this returns.

    Raises:
        MethodNameError: the name is no sentence of the grammar; the message says which token is wrong, and where,
            and names the nearest methods.

    >>> parse_method("gradient_x_input_x_sign_mu_neg_0_5").multipliers
    (Multiplier(kind='input', mu=None), Multiplier(kind='sign', mu=-0.5))
    >>> parse_method("lrp.alpha_2_beta_1") == parse_method("lrp_alpha_2_beta_1")
    True
    """
    if not isinstance(name, str):
        raise MethodNameError(f"a method name is a string like 'lrp_epsilon_0_1', not {_shown(name)} ({type(name).__name__})")
    return _parsed(name)


@lru_cache(maxsize=4096)
def _parsed(name: str) -> MethodSpec:
    cursor = _Cursor(name)
    method, rule, values = _read_method(cursor)
    parameters = _parameters_of(method, rule)
    values |= _read_parameters(cursor, parameters)
    multipliers = _read_multipliers(cursor)
    preset = cursor.take(PRESETS)
    if not cursor.at_end:
        raise cursor.error(_why_not(cursor, parameters, multipliers, preset))
    _check_values(cursor, values, parameters)
    return MethodSpec(method, rule, tuple(values.items()), multipliers, preset)


def list_methods(pattern: str | None = None) -> list[str]:
    """List method names, all or those that match a glob pattern (case counts).

    The names of the original package come first, then one name of each further family and rule, then registered
    ones. The grammar has endlessly many more: any number may stand where one of these has a number.

    >>> list_methods("w2lrp_[zs]*")
    ['w2lrp_z', 'w2lrp_sequential_composite_a', 'w2lrp_sequential_composite_b']
    """
    from fnmatch import fnmatchcase

    names = [*_original_names(), *_FURTHER_NAMES, *_registered]
    return names if pattern is None else [name for name in names if fnmatchcase(name, pattern)]


def register_form(name: str, params: Mapping[str, type]) -> None:
    """Add a method word and its numeric parameters to the grammar, written ``name_window_8``; multipliers may follow.

    Raises:
        MethodNameError: the name or a parameter's is ill-formed, taken, or would give some name two readings, or a
            parameter's type is neither int nor float.
    """
    if not isinstance(name, str) or not _is_word(name):
        raise MethodNameError(f"cannot register {_shown(name)}: a method name is lower-case letters and digits in words joined by '_'")
    for word, kind in params.items():
        if not isinstance(word, str) or not _is_word(word) or any(token[0].isdigit() for token in word.split("_")):
            raise MethodNameError(f"cannot register {name!r}: parameter {_shown(word)} is not lower-case words joined by '_'")
        if kind is not int and kind is not float:
            raise MethodNameError(f"cannot register {name!r}: parameter {word!r} is of type {_shown(kind)}; a name carries int or float")
    if "x" in _first_tokens(params):
        raise MethodNameError(f"cannot register {name!r}: a parameter beginning with 'x' reads as a multiplier (x_input, x_sign)")
    _check_one_reading(name, params)
    _registered[name] = {word: Parameter(word, int if kind is int else float) for word, kind in params.items()}
    _parsed.cache_clear()


def number(text: str) -> float:
    """Read a number as method names spell it.

    Raises:
        MethodNameError: the text is not ``[neg_]INT[_DIGITS]``.

    >>> number("neg_0_5")
    -0.5
    """
    cursor = _Cursor(text)
    value = cursor.number()
    if value is None or not cursor.at_end:
        raise MethodNameError(f"{_shown(text)} {_NOT_A_NUMBER}")
    return value


def spell_number(value: float) -> str:
    """Spell a finite number as method names do, without loss and without exponent.

    >>> [spell_number(value) for value in (0.25, -0.5, 100.0, 1e-07, -0.0)]
    ['0_25', 'neg_0_5', '100', '0_0000001', '0']
    """
    digits = str(value) if isinstance(value, int) else format(Decimal(repr(float(value))), "f").removesuffix(".0")
    spelled = digits.replace(".", "_").replace("-", "neg_")
    return "0" if spelled == "neg_0" else spelled


# --- reading -----------------------------------------------------------------------------------------------------------

_NOT_A_NUMBER = "is not a number as method names spell them (0_25 is 0.25, neg_1 is -1)"


class _Cursor:
    """A place among the tokens of a name: everything before it is read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dotted = name.startswith(_DOT)
        # "lrp.z" has the tokens of "lrp_z"; all other dots stay in their token and fail there.
        self.tokens = (name.replace(".", "_", 1) if self.dotted else name).split("_")
        self.position = 0

    def at(self, position: int) -> _Cursor:
        """Another cursor on the same name."""
        other = copy(self)
        other.position = position
        return other

    @property
    def at_end(self) -> bool:
        return self.position == len(self.tokens)

    @property
    def token(self) -> str | None:
        """The token to read next; None behind the last."""
        return None if self.at_end else self.tokens[self.position]

    @property
    def wrong(self) -> str:
        """The token to read next, as error messages show it."""
        if self.token is None:
            return "the end of the name"
        return _shown(self.token) if self.token else "an empty token (a doubled, leading or trailing underscore)"

    @property
    def after(self) -> str:
        """Where that token stands, as error messages say it."""
        read = sum(len(token) + 1 for token in self.tokens[: self.position])
        return f" (after {_shown(self.name[: read - 1])})" if read else ""

    def error(self, reason: str) -> MethodNameError:
        return MethodNameError(f"unknown method {_shown(self.name)}: {reason}; nearest: {', '.join(_nearest(self.name))}")

    def common(self, word: str) -> int:
        """How many tokens of a word stand here, counted from its first."""
        tokens = word.split("_")
        here = self.tokens[self.position : self.position + len(tokens)]
        same = [mine == theirs for mine, theirs in zip(tokens, here, strict=False)]
        return same.index(False) if False in same else len(same)

    def take(self, words: Iterable[str]) -> str | None:
        """Read the longest of the words that stands here in full; None if there is none."""
        here = [word for word in words if self.common(word) == word.count("_") + 1]
        longest = max(here, key=len, default=None)
        if longest is not None:
            self.position += longest.count("_") + 1
        return longest

    def number(self) -> float | None:
        """Read ``[neg_]INT[_DIGITS]``; None if no number stands here."""
        sign = "-" if self.take(["neg"]) else ""
        whole = self.token
        # 025 is refused: it may be meant as 0.25, 2.5 or 25.
        if whole is None or not _is_digits(whole) or (whole[0] == "0" and whole != "0"):
            return None
        self.position += 1
        fraction = self.token
        if fraction is None or not _is_digits(fraction):
            return float(sign + whole) + 0.0  # + 0.0 makes -0.0 the one zero
        self.position += 1
        return float(f"{sign}{whole}.{fraction}") + 0.0


def _read_method(cursor: _Cursor) -> tuple[str, str | None, dict[str, float | int]]:
    """Read the method word and, for LRP, the rule with its numbers."""
    words = ["lrp"] if cursor.dotted else [*METHODS, *INPUT_RULES, *_registered]
    method = cursor.take(words)
    if method is None:
        cursor.position = max(cursor.common(word) for word in words)
        raise cursor.error(f"{cursor.wrong} is not a method{cursor.after}")
    if cursor.dotted:
        (method, rule), values = _read_spelling(cursor, DOTTED)
        return method, rule, values
    if method in INPUT_RULES:
        return method, *_read_spelling(cursor, RULES)
    return method, None, {}


@dataclass(frozen=True)
class _Attempt(Generic[_Key]):
    """How far one spelling stands at a cursor: its numbers so far, where it ends, the token missing there (None: complete)."""

    key: _Key
    values: dict[str, float | int]
    cursor: _Cursor
    missing: str | None


def _read_spelling(cursor: _Cursor, spellings: Mapping[_Key, str]) -> tuple[_Key, dict[str, float | int]]:
    """Read the longest of the spellings that stands here in full, with its numbers.

    Where none does, or another one goes on further but breaks off, the error names the token at which that one breaks off.
    """
    attempts = [_attempt(cursor.at(cursor.position), key, spelling) for key, spelling in spellings.items()]
    best = max(attempts, key=lambda attempt: (attempt.cursor.position, attempt.missing is None))
    if best.missing is None:
        cursor.position = best.cursor.position
        return best.key, best.values
    if best.cursor.position == cursor.position:
        raise cursor.error(f"{cursor.wrong} is not a rule{cursor.after}")
    missing = {attempt.missing for attempt in attempts if attempt.cursor.position == best.cursor.position}
    words = sorted(token for token in missing if token is not None and token != "NUM")
    complaint = _NOT_A_NUMBER if "NUM" in missing else "does not continue a rule"
    instead = f"; the words that may stand there: {', '.join(words)}" if words else ""
    raise cursor.error(f"{best.cursor.wrong} {complaint}{best.cursor.after}{instead}")


def _attempt(cursor: _Cursor, key: _Key, spelling: str) -> _Attempt[_Key]:
    """Follow a spelling as far as it stands at the cursor."""
    values: dict[str, float | int] = {}
    for word, expected in pairwise(["", *spelling.split("_")]):
        if expected != "NUM":
            if cursor.take([expected]) is None:
                return _Attempt(key, values, cursor, expected)
            continue
        value = cursor.number()
        if value is None:
            return _Attempt(key, values, cursor, expected)
        values[word] = value
    return _Attempt(key, values, cursor, None)


def _read_parameters(cursor: _Cursor, parameters: Mapping[str, Parameter]) -> dict[str, float | int]:
    """Read every parameter that stands here, in any order; give them by keyword in canonical order."""
    values: dict[str, float | int] = {}
    start = cursor.position
    while (word := cursor.take(parameters)) is not None:
        keyword = parameters[word].keyword
        if keyword in values:
            raise cursor.at(start).error(f"{word!r} is given twice{cursor.at(start).after}")
        values[keyword] = _read_value(cursor, word, parameters[word])
        start = cursor.position
    return {parameter.keyword: values[parameter.keyword] for parameter in parameters.values() if parameter.keyword in values}


def _read_value(cursor: _Cursor, word: str, parameter: Parameter) -> float | int:
    start = cursor.position
    value = cursor.number()
    if value is None:
        raise cursor.error(f"{cursor.wrong} {_NOT_A_NUMBER}{cursor.after}")
    if parameter.kind is float or not math.isfinite(value):
        return value
    digits = [token for token in cursor.tokens[start : cursor.position] if token != "neg"]
    if len(digits) > 1:
        raise cursor.error(f"{word!r} takes a whole number, not {'_'.join(cursor.tokens[start : cursor.position])}")
    return int(digits[0]) if value >= 0 else -int(digits[0])


def _read_multipliers(cursor: _Cursor) -> tuple[Multiplier, ...]:
    multipliers = []
    while (word := cursor.take(MULTIPLIERS)) is not None:
        multipliers.append(_read_sign(cursor) if MULTIPLIERS[word] == "sign" else Multiplier("input"))
    return tuple(multipliers)


def _read_sign(cursor: _Cursor) -> Multiplier:
    """Read what may follow ``_x_sign``: nothing (mu = 0), ``_mu_NUM``, or ``_mu`` alone (the option gives it)."""
    if cursor.take(["mu"]) is None:
        return Multiplier("sign", 0.0)
    follows = cursor.token
    if follows is None or follows == "x" or follows in PRESETS:
        return Multiplier("sign")
    mu = cursor.number()
    if mu is None or not math.isfinite(mu):
        raise cursor.error(f"{cursor.wrong} {_NOT_A_NUMBER}{cursor.after}" if mu is None else "mu is not a finite number")
    return Multiplier("sign", mu)


# --- what a name may not say ---------------------------------------------------------------------------------------------


def _why_not(cursor: _Cursor, parameters: Mapping[str, Parameter], multipliers: tuple[Multiplier, ...], preset: str | None) -> str:
    """Say why the name cannot go on with the token at the cursor."""
    token, wrong, after = cursor.token or "", cursor.wrong, cursor.after
    takes = f"it takes {', '.join(parameters)}" if parameters else "it takes none"
    if preset is not None:
        return f"{wrong} stands behind the preset {preset!r}, which ends a name{after}"
    if token == "x":
        cursor.position += 1
        return f"{cursor.wrong} cannot follow 'x': the multipliers are x_input and x_sign{cursor.after}"
    if multipliers and token in parameters:
        return f"{wrong} is a parameter, and parameters stand before the multipliers{after}"
    if token in PARAMETERS or token in RULE_PARAMETERS:
        return f"{wrong} is not a parameter of this method: {takes}{after}"
    if _is_digits(token) or token == "neg":
        return f"{wrong} is a number with no parameter before it{after}"
    return f"{wrong}{after} is neither a parameter ({takes}), nor a multiplier (x_input, x_sign), nor a preset ({', '.join(PRESETS)})"


def _check_values(cursor: _Cursor, values: Mapping[str, float | int], parameters: Mapping[str, Parameter]) -> None:
    """Refuse values out of range, and values that contradict each other."""
    minima = {parameter.keyword: parameter.minimum for parameter in (*parameters.values(), *RULE_PARAMETERS.values())}
    for keyword, value in values.items():
        if not math.isfinite(value):
            raise cursor.error(f"{keyword} is too large for a floating-point number")
        minimum = minima[keyword]
        if minimum is not None and value < minimum:
            raise cursor.error(f"{keyword} = {value:g} is out of range: it must be at least {minimum:g}")
    if "alpha" in values and not _differ_by_one(values["alpha"], values["beta"]):
        raise cursor.error(f"alpha = {values['alpha']:g} and beta = {values['beta']:g}: alpha - beta must be 1")
    if "low" in values and "high" in values and values["low"] > values["high"]:
        raise cursor.error(f"low = {values['low']:g} is greater than high = {values['high']:g}")


def _differ_by_one(alpha: float, beta: float) -> bool:
    """Whether alpha - beta is 1 as written: in binary, 1.4 - 0.4 is not."""
    exact = Context(prec=1000)  # more digits than two floats' difference can have
    return exact.subtract(Decimal(repr(alpha)), Decimal(repr(beta))) == 1


def _check_one_reading(name: str, params: Mapping[str, type]) -> None:
    """Refuse a new method word that is taken, or with which some name could be read in two ways."""
    # Behind a method word stands one of these; a longer word that goes on with one of them would hide such a name.
    continuations = {word: {"x"} | _first_tokens([*PARAMETERS, *RULE_PARAMETERS]) for word in METHODS}
    continuations |= {word: _first_tokens(RULES.values()) for word in INPUT_RULES}
    continuations |= {word: {"x"} | _first_tokens(parameters) for word, parameters in _registered.items()}
    if name in continuations:
        raise MethodNameError(f"cannot register {name!r}: the name is taken")
    continuations[name] = {"x"} | _first_tokens(params)
    for other in continuations:
        for short, long in ((other, name), (name, other)):
            rest = long.removeprefix(short + "_")
            if rest != long and _first_token(rest) in continuations[short]:
                both = f"{long!r} would also read as {short!r} followed by {_first_token(rest)!r}"
                raise MethodNameError(f"cannot register {name!r}: {both}")


# --- small helpers ---------------------------------------------------------------------------------------------------


def _parameters_of(method: str, rule: str | None) -> dict[str, Parameter]:
    """The parameters that may follow a method (and rule), by their word in a name, in canonical order."""
    if rule is None and method in _registered:
        return _registered[method]
    if rule is None and method in METHODS:
        words = METHODS[method]
    elif rule is not None and rule in RULES and method in INPUT_RULES:
        words = (*INPUT_RULES[method], *PARAMETERS_OF_RULES.get(rule, ()))
    else:
        raise MethodNameError(f"no method {_shown(method)} with rule {_shown(rule)}; a rule stands behind {', '.join(INPUT_RULES)}")
    return {word: parameter for word, parameter in PARAMETERS.items() if word in words}


def _is_digits(token: str) -> bool:
    # isdigit alone also accepts other scripts' digits and superscripts
    return token.isascii() and token.isdigit()


def _is_word(text: str) -> bool:
    """Whether a text is lower-case letters and digits, in groups joined by underscores, a letter first."""
    groups = text.split("_")
    return text.isascii() and text == text.lower() and all(group.isalnum() for group in groups) and text[0].isalpha()


def _first_token(text: str) -> str:
    return text.split("_", 1)[0]


def _first_tokens(texts: Iterable[str]) -> set[str]:
    return {_first_token(text) for text in texts}


def _shown(value: object, most: int = 80) -> str:
    """A value as error messages show it: quoted, and cut where it is long."""
    text = repr(value[:most] if isinstance(value, str) else value)
    return text[:most] + "..." if len(text) > most or (isinstance(value, str) and len(value) > most) else text


def _nearest(name: str) -> list[str]:
    """The three listed names most like this one."""
    from difflib import get_close_matches

    return get_close_matches(name[:100], list_methods(), n=3, cutoff=0.0)


@cache
def _original_names() -> tuple[str, ...]:
    """The names of the original package, in the order of the file."""
    from importlib.resources import files

    return tuple(files("signxai.names").joinpath("method_names.txt").read_text(encoding="ascii").split())
