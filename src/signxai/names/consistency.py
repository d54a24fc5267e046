"""What records must keep to, so that every name has one reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Formatter

from signxai.common.errors import MethodNameError
from signxai.names.attention_rules import ATTENTION_RULES
from signxai.names.forms import ATTENTION, LRP_OPTIONS
from signxai.names.papers import Paper
from signxai.names.records import Composite, InputWord, Method, Option, Parameter, Record, Rule, Use
from signxai.names.wording import shown

__all__ = ["check_needed", "check_one_reading", "check_records"]

_RECORDS = (Method, InputWord, Rule, Composite)


def check_records(present: Sequence[Record], new: Sequence[Record]) -> None:
    """Refuse a new record that is ill-formed, taken, or refers to a rule that there is not.

    Raises:
        MethodNameError: the message names the record and says what is wrong with it.
    """
    for record in new:
        if not isinstance(record, _RECORDS):
            raise MethodNameError(f"cannot register {shown(record)}: it is not a record, that is a Method, Rule, Composite or InputWord")
        _check_fields(record)
        _check_words(record)
    everything = [*present, *new]
    for record in new:
        if [(_kind(other), name_of(other)) for other in everything].count((_kind(record), name_of(record))) > 1:
            raise _refused(record, "the name is taken")
    rules = {record.name: record for record in everything if isinstance(record, Rule)}
    for record in new:
        for name in _rules_needed(record):
            if name not in rules:
                raise _refused(record, f"there is no rule {shown(name)}; the rules are {', '.join(rules)}")
    _check_shared_words(everything, new)
    _check_aliases(everything, new)


def check_needed(left: Iterable[Record], gone: Iterable[Record]) -> None:
    """Refuse to take out a rule that a record which stays refers to.

    Raises:
        MethodNameError: the message names the two.
    """
    rules = {record.name for record in gone if isinstance(record, Rule)}
    for record in left:
        for name in rules.intersection(_rules_needed(record)):
            raise MethodNameError(f"cannot unregister {name!r}: {name_of(record)!r} needs it")


def name_of(record: Record) -> str:
    """The word or name under which a record is known."""
    return record.word if isinstance(record, Method | InputWord) else record.name


def _kind(record: Record) -> str:
    return "word" if isinstance(record, Method | InputWord) else "rule"


def _refused(record: Record, why: str) -> MethodNameError:
    return MethodNameError(f"cannot register {shown(name_of(record))}: {why}")


def _rules_needed(record: Record) -> Iterator[str]:
    if isinstance(record, InputWord) and record.rule is not None:
        yield record.rule
    if isinstance(record, Composite):
        yield from (use.rule for use in (record.first, record.linear, record.convolution) if use is not None)


# --- fields ----------------------------------------------------------------------------------------------------------------

_TEXTS = ("meaning", "latex", "title", "analyzer_name", "dotted", "listed_as", "use")
_SEQUENCES: dict[str, type] = {"parameters": Parameter, "options": Option, "formula": str, "papers": Paper}
_CALLABLES = ("completed", "contradiction")
_VALUES = ("dotted_values", "preset_values", "arguments")


def _check_fields(record: Record) -> None:
    """Refuse what would fail only later, where nobody knows the record any more."""
    fields = vars(record)
    for name in _TEXTS:
        if not isinstance(fields.get(name, ""), str):
            raise _refused(record, f"{name}={shown(fields[name])} is not text")
    for name, kind in _SEQUENCES.items():
        values = fields.get(name, ())
        if not isinstance(values, tuple) or not all(isinstance(value, kind) for value in values):
            raise _refused(record, f"{name}={shown(values)} is not a tuple of {kind.__name__}")
    for name in _CALLABLES:
        if fields.get(name) is not None and not callable(fields[name]):
            raise _refused(record, f"{name}={shown(fields[name])} is not a function")
    for name in _VALUES:
        if not isinstance(fields.get(name, {}), Mapping):
            raise _refused(record, f"{name}={shown(fields[name])} is not a mapping")
    for name in ("analyzer", "rule"):
        where = fields.get(name, "")
        if not isinstance(record, InputWord) and not isinstance(where, str) and not callable(where):
            raise _refused(record, f"{name}={shown(where)} is neither a class nor its dotted name")
    for name in ("linear", "convolution", "first"):
        use = fields.get(name)
        if isinstance(record, Composite) and not isinstance(use, Use) and not (use is None and name == "first"):
            raise _refused(record, f"{name}={shown(use)} is not a Use of a rule")


def _check_aliases(everything: Iterable[Record], new: Iterable[Record]) -> None:
    """One rule for each of the other names under which rules are known."""
    for field in ("dotted", "analyzer_name"):
        owners: dict[str, Record] = {}
        for record in everything:
            alias = getattr(record, field, "")
            owner = owners.setdefault(alias, record)
            if alias and owner is not record:
                raise _refused(record if record in list(new) else owner, f"{field}={alias!r} is already {name_of(owner)!r}")


# --- words -----------------------------------------------------------------------------------------------------------------


def _check_words(record: Record) -> None:
    if not _is_word(name_of(record)):
        raise _refused(record, "a method name is lower-case letters and digits in words joined by '_'")
    parameters = _parameters(record)
    for parameter in parameters:
        _check_parameter(record, parameter)
    for values in ([p.word for p in parameters], [p.keyword for p in parameters]):
        if len(set(values)) < len(values):
            raise _refused(record, "a parameter's word or keyword stands twice")
    if isinstance(record, Rule | Composite):
        _check_spelling(record)
        unknown = {field for _, field, _, _ in Formatter().parse(record.meaning) if field} - {p.keyword for p in parameters}
        if unknown:
            raise _refused(record, f"its meaning speaks of {shown(min(unknown))}, which is no parameter of it")


def _check_parameter(record: Record, parameter: Parameter) -> None:
    word = parameter.word
    if not _is_word(word) or any(token[0].isdigit() for token in word.split("_")) or not str(parameter.keyword).isidentifier():
        raise _refused(record, f"parameter {shown(word)} is not lower-case words joined by '_'")
    if parameter.keyword in {option.keyword for option in _options_beside(record)}:
        raise _refused(record, f"{parameter.keyword!r} is an option of its own, so no parameter can be called so")
    if parameter.kind is not int and parameter.kind is not float:
        raise _refused(record, f"parameter {word!r} is of type {shown(parameter.kind)}; a name carries int or float")
    if _first_token(word) == "x":
        raise _refused(record, "a parameter beginning with 'x' reads as a multiplier (x_input, x_sign)")
    if _first_token(word) in ATTENTION_RULES:
        raise _refused(record, f"a parameter beginning with {_first_token(word)!r} reads as how attention is treated")
    if parameter.default is not None and (complaint := parameter.complaint(parameter.default)):
        raise _refused(record, f"the default: {complaint}")


def _options_beside(record: Record) -> tuple[Option, ...]:
    return record.options if isinstance(record, Method) else LRP_OPTIONS


def _check_spelling(record: Rule | Composite) -> None:
    words = {parameter.word: parameter for parameter in record.parameters}
    for before, token in record.tokens:
        if token == "NUM" and before not in words:
            raise _refused(record, f"NUM in {record.spelling!r} stands behind {before!r}, which is no parameter of it")
        if token == "NUM" and words[before].default is None and not record.listed_as:
            raise _refused(record, f"parameter {before!r} has no default for the list of methods: give it one, or listed_as=")
        if token != "NUM" and (not _is_word(token) or token == "neg"):
            raise _refused(record, f"{token!r} in {record.spelling!r} is not a word of lower-case letters and digits")
    if record.tokens and record.tokens[0] == ("", "x"):
        raise _refused(record, "a rule beginning with 'x' reads as a multiplier (x_input, x_sign)")


def _is_word(text: object) -> bool:
    """Whether a text is lower-case letters and digits, in groups joined by underscores, a letter first."""
    if not isinstance(text, str) or not text:
        return False
    return text.isascii() and text == text.lower() and all(group.isalnum() for group in text.split("_")) and text[0].isalpha()


def _check_shared_words(everything: Iterable[Record], new: Iterable[Record]) -> None:
    """One word means one parameter wherever an input word's rule and the rule behind it meet in a name."""
    seen: dict[str, tuple[Parameter, Record]] = {}
    newly = list(new)
    for record in everything:
        for parameter in _parameters(record) if isinstance(record, Rule | Composite) else ():
            known, owner = seen.setdefault(parameter.keyword, (parameter, record))
            if (known.word, known.kind, known.minimum) != (parameter.word, parameter.kind, parameter.minimum):
                about = record if record in newly else owner
                raise _refused(
                    about, f"parameter {parameter.keyword!r} is another one in {name_of(owner)!r}: another word, type or minimum"
                )


# --- readings --------------------------------------------------------------------------------------------------------------


def check_one_reading(present: Sequence[Record], new: Sequence[Record]) -> None:
    """Refuse new records with which some name could be read in two ways.

    Behind each word stand only certain tokens; a longer word that goes on with one of them would hide a name, or be hidden.

    Raises:
        MethodNameError: the message names the two readings.
    """
    everything = [*present, *new]
    behind_words = {name_of(record): _behind_word(record, everything) for record in everything if isinstance(record, Method | InputWord)}
    rules = [record for record in everything if isinstance(record, Rule | Composite) and record.spelling]
    behind_rules = {str(record.spelling): _behind_rule(record, everything) for record in rules}
    if len(behind_rules) < len(rules):
        spellings = [record.spelling for record in rules]
        twice = next(record for record in reversed(rules) if spellings.count(record.spelling) > 1)
        raise _refused(twice, f"another rule is spelled {twice.spelling!r} as well")
    about = ", ".join(shown(name_of(record)) for record in new)
    for continuations in (behind_words, behind_rules):
        for short, tokens in continuations.items():
            for long in continuations:
                rest = long.removeprefix(short + "_")
                if rest != long and _first_token(rest) in tokens:
                    both = f"{long!r} would also read as {short!r} followed by {_first_token(rest)!r}"
                    raise MethodNameError(f"cannot register {about}: {both}")


def _behind_word(record: Record, everything: Sequence[Record]) -> set[str]:
    """The tokens that may stand behind a method word or an input word."""
    if isinstance(record, InputWord):
        return {_first_token(str(rule.spelling)) for rule in everything if isinstance(rule, Rule | Composite) and rule.spelling}
    own = {_first_token(parameter.word) for parameter in _parameters(record)}
    has_attention = isinstance(record, Method) and ATTENTION in record.options
    return {"x"} | own | (set(ATTENTION_RULES) if has_attention else set())


def _behind_rule(record: Rule | Composite, everything: Sequence[Record]) -> set[str]:
    """The tokens that may stand behind a rule: multipliers, and parameters, its own or those of an input word's rule."""
    for_inputs = {word.rule for word in everything if isinstance(word, InputWord)}
    others = [rule for rule in everything if isinstance(rule, Rule) and rule.name in for_inputs]
    own = {_first_token(parameter.word) for rule in (record, *others) for parameter in rule.parameters if parameter.in_name}
    return {"x", *ATTENTION_RULES} | own


def _parameters(record: Record) -> tuple[Parameter, ...]:
    return () if isinstance(record, InputWord) else record.parameters


def _first_token(text: str) -> str:
    return text.split("_", 1)[0]
