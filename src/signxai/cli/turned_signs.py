"""Whose maps have their signs turned because a score is below 0, as those of LRP that starts with 1, which are shares of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from signxai.cli.decisions import Decisions, numbered
from signxai.methods.turned_signs import OTHER_START, keeps_behind_convolution, start_for, turns_signs
from signxai.models import Classifier

__all__ = ["as_kept", "noting_signs", "starts_of", "told_of_signs"]

_FEW = 3
_WHY = {"one_hot": "which are shares of it", "logit": "which start with it"}
_OF_BOTH = {"one_hot": "each as a share of its own logit", "logit": "each started with its own logit"}


def starts_of(methods: Sequence[str], relevance: str | None, compares: bool) -> dict[str, str]:
    """What relevance starts with, "one_hot" or "logit", by method.

    Args:
        methods: by name.
        relevance: what the user said; None: nothing.
        compares: whether a class is explained rather than another.
    """
    return {method: start_for(method, relevance, compares) for method in methods}


def as_kept(starts: Mapping[str, str]) -> str | dict[str, str]:
    """The same as files keep it: in one word, where it is one."""
    found = set(starts.values())
    return found.pop() if len(found) == 1 else dict(starts)


def told_of_signs(decisions: Decisions, classifier: Classifier, starts: Mapping[str, str]) -> Iterator[str]:
    """What is to be said before a map is read: of which classes it shows what speaks for and against them with turned signs, and which
    maps of one class rather than another are not of the difference of their logits.

    Args:
        decisions: what the network says.
        classifier: which names the classes.
        starts: what relevance starts with, by method.
    """
    said = _of_both if decisions.versus is not None else _of_one
    for relevance in ("one_hot", "logit"):
        turned = [name for name, start in starts.items() if start == relevance and turns_signs(name, relevance)]
        if turned:
            yield from said(decisions, classifier, turned, relevance)


def _of_one(decisions: Decisions, classifier: Classifier, turned: Sequence[str], relevance: str) -> Iterator[str]:
    if below := _below_zero(decisions):
        yield (
            f"the logit of {_classes(below, classifier)} is below 0 in {_inputs(below, decisions)}: maps by {_some(turned)}, "
            f"{_WHY[relevance]}, show what speaks for that as speaking against it, and the other way round; "
            f"--relevance {OTHER_START[relevance]} puts that right{_unless(turned, relevance)}"
        )


def _unless(turned: Sequence[str], relevance: str) -> str:
    """Where it is not so, which a method's name does not tell."""
    composites = [method for method in turned if relevance == "one_hot" and keeps_behind_convolution(method)]
    return f"; by {_some(composites)} signs are right as they are if the network ends in a convolution" if composites else ""


def _of_both(decisions: Decisions, classifier: Classifier, turned: Sequence[str], relevance: str) -> Iterator[str]:
    below = _below_zero(decisions)
    signs = f"; the part of {_classes(below, classifier)}, whose logit is below 0, has turned signs in {_inputs(below, decisions)}"
    yield (
        f"maps by {_some(turned)} are what speaks for the one class less what speaks for the other, {_OF_BOTH[relevance]}, not of the "
        f"difference of the logits{signs if below else ''}; leave --relevance out for the difference"
    )


def noting_signs(decisions: Decisions, starts: Mapping[str, str]) -> Decisions:
    """The decisions with what headings of figures have to say of turned signs: a figure travels without the report."""
    turned = [name for name, start in starts.items() if turns_signs(name, start)]
    if not turned:
        return decisions
    by = "" if len(turned) == len(starts) else f" by {_some(turned)}"
    below = _below_zero(decisions)
    # Of a difference the signs are turned as a whole only where both logits turn them.
    parts = 1 if decisions.versus is None else 2
    counts = Counter(row for row, _ in below)
    whole, some = ({row: turned for row, count in counts.items() if (count == parts) is whole} for whole in (True, False))
    notes = {row: _note(decisions, row, by) for row, _ in below}
    return replace(decisions, notes=notes, turned=whole, turned_in_part=some)


def _note(decisions: Decisions, row: int, by: str) -> str:
    if decisions.versus is None:
        return f"; signs turned{by}: a logit is below 0"
    target, other = (decisions.logits[row, index] < 0 for index in (decisions.targets[row], decisions.versus[row]))
    if target and other:
        return f"; signs turned{by}: both logits are below 0"
    return f"; signs of the {'first' if target else 'second'} class's part turned{by}: its logit is below 0"


def _below_zero(decisions: Decisions) -> list[tuple[int, int]]:
    """The rows and classes, explained or compared with, whose logit is negative."""
    of_rows = partial(zip, range(len(decisions.names)), strict=True)
    pairs = [*of_rows(decisions.targets), *(of_rows(decisions.versus) if decisions.versus is not None else ())]
    return [(row, target) for row, target in pairs if decisions.logits[row, target] < 0]


def _classes(below: Sequence[tuple[int, int]], classifier: Classifier) -> str:
    return _some([numbered(classifier, target) for target in dict.fromkeys(target for _, target in below)])


def _inputs(below: Sequence[tuple[int, int]], decisions: Decisions) -> str:
    return _some(list(dict.fromkeys(decisions.names[row] for row, _ in below)))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
