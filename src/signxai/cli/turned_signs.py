"""Whose maps have their signs turned because a score is below 0, as those of LRP that starts with 1, which are shares of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from signxai.cli.decisions import Decisions, numbered
from signxai.methods.turned_signs import OTHER_START, turns_signs
from signxai.models import Classifier

__all__ = ["noting_signs", "told_of_signs"]

_FEW = 3


def told_of_signs(decisions: Decisions, classifier: Classifier, methods: Sequence[str], relevance: str) -> Iterator[str]:
    """What is to be said before a map is read: of which classes it shows what speaks for and against them with turned signs."""
    turned = [name for name in methods if turns_signs(name, relevance)]
    below = _below_zero(decisions)
    if not turned or not below:
        return
    classes = _some([numbered(classifier, target) for target in dict.fromkeys(target for _, target in below)])
    inputs = _some(list(dict.fromkeys(decisions.names[row] for row, _ in below)))
    why, other = _WHY[relevance], OTHER_START[relevance]
    yield (
        f"the logit of {classes} is below 0 in {inputs}: maps by {_some(turned)}, {why}, show what speaks for that as speaking against it, "
        f"and the other way round; --relevance {other} puts that right"
    )


def noting_signs(decisions: Decisions, methods: Sequence[str], relevance: str) -> Decisions:
    """The decisions with what headings of figures have to say of turned signs: a figure travels without the report."""
    turned = [name for name in methods if turns_signs(name, relevance)]
    if not turned:
        return decisions
    by = "" if len(turned) == len(methods) else f" by {_some(turned)}"
    below = _below_zero(decisions)
    # Of a difference the signs are turned as a whole only where both logits turn them.
    parts = 1 if decisions.versus is None else 2
    whole = [row for row, count in Counter(row for row, _ in below).items() if count == parts]
    notes = {row: f"; signs turned{by}: {_which_logit(row in whole, parts)} below 0" for row, _ in below}
    return replace(decisions, notes=notes, turned=dict.fromkeys(whole, turned))


def _which_logit(is_whole: bool, parts: int) -> str:
    if parts == 1:
        return "a logit is"
    return "both logits are" if is_whole else "in part, as one of both logits is"


_WHY = {"one_hot": "which are shares of it", "logit": "which are multiplied with it"}


def _below_zero(decisions: Decisions) -> list[tuple[int, int]]:
    """The rows and classes, explained or compared with, whose logit is negative."""
    of_rows = partial(zip, range(len(decisions.names)), strict=True)
    pairs = [*of_rows(decisions.targets), *(of_rows(decisions.versus) if decisions.versus is not None else ())]
    return [(row, target) for row, target in pairs if decisions.logits[row, target] < 0]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
