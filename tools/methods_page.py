"""Writes what docs/methods.md has from the catalog: the grammar, the tables, the formulas and the references.

    python tools/methods_page.py          # write it
    python tools/methods_page.py --check  # say whether the page is up to date

A part of the page between ``<!-- from the catalog: NAME ARGUMENTS -->`` and ``<!-- end -->`` is what the function NAME gives.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator

from generated_page import DOCS, main, parts_from, table, with_parts
from signxai.names import catalog
from signxai.names.attention_rules import ATTENTION_RULES, DEFAULT_ATTENTION
from signxai.names.catalog import Composite, InputWord, Method, Paper, Parameter, Rule, Use
from signxai.names.papers import PAPERS
from signxai.names.spelling import plain, spell_number

PAGE = DOCS / "methods.md"
PART = parts_from("the catalog")


def rendered(page: str) -> str:
    """The page with every part as the catalog has it now."""
    return with_parts(page, PART, PARTS)


# --- parts of the page -------------------------------------------------------------------------------------------------------


def grammar() -> str:
    """How names are built, every word of them."""
    tables = catalog.current()
    following = {p.word: p for p in _parameters() if p.in_name and not _is_spelled(p)}
    lines = [
        'name       = method { "_" param } [ "_" attention ] { multiplier } [ "_" preset ]',
        *_alternatives("method", [*tables.methods, 'input_rule "_" rule']),
        *_alternatives("input_rule", tables.input_words),
        *_alternatives("rule", tables.spellings.values()),
        *_alternatives("param", (f"{word}_{'INT' if p.kind is int else 'NUM'}" for word, p in following.items())),
        *_alternatives("attention", tables.form("lrp", "z").attention_words),
        "multiplier = _x_input | _x_sign [ _mu_NUM ]",
        *_alternatives("preset", catalog.PRESETS),
        "NUM        = [ neg_ ] INT [ _ DIGITS ]",
    ]
    return "\n".join(["```text", *lines, "```"])


def _alternatives(name: str, words: Iterable[str]) -> list[str]:
    lines = textwrap.wrap(" | ".join(words).replace(' "_" ', '~"_"~'), 105, break_long_words=False, break_on_hyphens=False)
    joined = [line.removesuffix(" |").replace("~", " ") for line in lines]
    return [f"{name:<10} = {joined[0]}", *(f"{'':<11}| {line.removeprefix('| ')}" for line in joined[1:])]


def parameters() -> str:
    """Every parameter: its word, its option, the methods that take it, its default and its range."""
    rows = []
    for parameter in _parameters():
        default = f"{parameter.unset}, per sample" if parameter.default is None else plain(parameter.default)
        rows.append(
            (
                f"`{parameter.word}_`" if parameter.in_name else "",
                f"`{parameter.keyword}=`",
                ", ".join(f"`{name}`" for name in _names_with(parameter)),
                "" if _is_spelled(parameter) else default,
                _range(parameter),
            )
        )
    return table(("in the name", "option", "methods", "default", "allowed"), rows)


def formula(word: str) -> str:
    """A method's formula."""
    return f"$${catalog.current().methods[word].latex}$$"


def backward(*words: str) -> str:
    """What methods do on the way back through a ReLU, beside the gradient."""
    rows = [("`gradient`, for comparison", r"$g \to g \cdot [z > 0]$", "")]
    methods = (catalog.current().methods[word] for word in words)
    rows += [(f"`{method.word}`", f"${method.latex}$", _cited(method.papers)) for method in methods]
    return table(("name", r"backward through a ReLU $a = \max(z, 0)$", "paper"), rows)


def rules() -> str:
    """The rules that a name can carry."""
    found = (rule for rule in catalog.current().rules.values() if rule.spelling)
    return table(
        ("rule in a name", "$R_i =$", "source"), [(f"`{_with_letters(rule)}`", _latex(rule), _cited(rule.papers)) for rule in found]
    )


def input_words() -> str:
    """The words before a rule."""
    tables, rows = catalog.current(), []
    for word in tables.input_words.values():
        rule = tables.rules.get(word.rule or "")
        first = (
            "the same rule as everywhere" if rule is None else f"`{rule.spelling}`" if rule.spelling in tables.spellings else _latex(rule)
        )
        rows.append((f"`{word.word}_RULE`", first, word.use, _cited((rule.papers if rule else ()) + word.papers)))
    return table(("name", "first layer: $R_i =$", "use it for", "source"), rows)


def composites() -> str:
    """The composites and the rule of each kind of layer."""
    rows = []
    for composite in catalog.current().composites.values():
        first = "as the others" if composite.first is None else _filled(composite.first, composite)
        where = " (if a convolution)" if composite.first_is_convolution else ""
        layers = (_filled(composite.convolution, composite), _filled(composite.linear, composite))
        rows.append((f"`{_with_letters(composite)}`", first + where, *layers, _cited(composite.papers)))
    return table(("rule in a name", "first layer", "convolutions", "Linear", "source"), rows)


def attention() -> str:
    """How LRP treats attention."""
    rows = [
        (
            rule.title,
            f"`attention={rule.word!r}`".replace("'", '"'),
            "" if rule.word == DEFAULT_ATTENTION else f"`*_{rule.word}`",
            rule.latex,
        )
        for rule in ATTENTION_RULES.values()
    ]
    cited = [_cited(rule.papers) for rule in ATTENTION_RULES.values()]
    return table(("variant", "option", "name", "relevance", "source"), [(*row, papers) for row, papers in zip(rows, cited, strict=True)])


def references() -> str:
    """Every paper."""
    return "\n".join(f"- **{paper.citation}**: {paper.entry} [{paper.identifier}]({paper.link})" for paper in PAPERS)


PARTS: dict[str, Callable[..., str]] = {
    part.__name__: part for part in (grammar, parameters, formula, backward, rules, input_words, composites, attention, references)
}


# --- words -------------------------------------------------------------------------------------------------------------------


def _parameters() -> list[Parameter]:
    """Every parameter once, those within a rule's spelling first, those that no name carries last."""
    records = [record for record in catalog.current().records if not isinstance(record, InputWord)]
    found = list(dict.fromkeys(parameter for record in records for parameter in record.parameters))
    return sorted(found, key=lambda parameter: (not parameter.in_name, not _is_spelled(parameter)))


def _is_spelled(parameter: Parameter) -> bool:
    return any(f"{parameter.word}_NUM" in spelling for spelling in catalog.current().spellings.values()) and parameter.in_name


def _names_with(parameter: Parameter) -> Iterator[str]:
    tables = catalog.current()
    for record in tables.records:
        if isinstance(record, InputWord):
            if record.rule is not None and parameter in tables.rules[record.rule].parameters:
                yield f"{record.word}_*"
        elif parameter in record.parameters and isinstance(record, Method):
            yield record.word
        elif parameter in record.parameters and isinstance(record, Rule | Composite) and record.spelling:
            yield f"*_{_with_letters(record)}"


def _range(parameter: Parameter) -> str:
    number = "a whole number" if parameter.kind is int else "any number"
    return number if parameter.minimum is None else f"{number} of at least {plain(parameter.minimum)}"


def _with_letters(rule: Rule | Composite) -> str:
    """The spelling, with each number as its word's capital letter: ``alpha_A_beta_B``."""
    return rule.filled({parameter.word: parameter.word[0].upper() for parameter in rule.parameters})


def _latex(rule: Rule) -> str:
    return rule.latex or "; ".join(rule.formula)


def _filled(use: Use, composite: Composite) -> str:
    """A rule as a name spells it, with its numbers in the composite."""
    rule = catalog.current().rules[use.rule]
    if not rule.spelling:
        return rule.title
    defaults = {parameter.keyword: parameter.default for parameter in (*rule.parameters, *composite.parameters)}
    numbers = {p.word: spell_number(use.values.get(p.keyword, defaults[p.keyword]) or 0.0) for p in rule.parameters}
    return f"`{rule.filled(numbers)}`"


def _cited(papers: Iterable[Paper]) -> str:
    return ", ".join(dict.fromkeys(paper.citation for paper in papers))


if __name__ == "__main__":
    main(PAGE, rendered, __doc__)
