"""What ``signxai run`` says at its end: what was explained, what failed and why, and what to do with the store."""

import shlex
from collections.abc import Sequence
from unicodedata import normalize

import numpy as np

from signxai.cli.signal_files import as_written_here
from signxai.datasets.reading import reason_alone
from signxai.datasets.rounding import lost_in_16_bits
from signxai.datasets.store import Rows, Store
from signxai.methods.turned_signs import OTHER_START, turns_signs

__all__ = ["next_step", "report_of_run"]

_REASONS = 3
"""So many reasons are told, the most frequent first."""


def report_of_run(store: Store) -> list[str]:
    """The lines of the report."""
    rows = store.rows()
    lines = [f"{len(rows)} of {len(store)} entries explained by {_counted(len(store.methods), 'method')}: {store.path}"]
    if len(rows):
        lines += [*_agreement(store), *_alike(store)] if "label" in store else []
        lines += [_absorption(store, method, rows) for method in store.methods if f"absorbed/{method}" in store]
        lines += _signs(store, rows)
    lines += [*lost_in_16_bits(store), *_failures(store)]
    return [*lines, next_step(store)] if len(rows) else lines


def next_step(store: Store) -> str:
    """How the maps are looked at."""
    return f"to look at them: signxai report {shlex.quote(str(store.path))} --output report"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _agreement(store: Store) -> list[str]:
    """How many of the entries with a label are predicted as labelled, and which labels are none of the model's classes."""
    if not store.predicts_classes:
        return ["the network has one logit, which predicts no class: how many are predicted as labelled is not told"]
    if not store.knows_labels:
        return [
            "labels are names, and the network's classes have none: how many are predicted as labelled is not told; let the factory "
            "return a signxai.models.Classifier with class_names="
        ]
    right, wrong = len(store.rows(wrong=False)), len(store.rows(wrong=True))
    lines = [f"{right} of {right + wrong} predicted as labelled ({right / (right + wrong):.1%})"] if right + wrong else []
    if strange := store.labels_that_are_no_classes():
        lines.append(f"labels that are none of the model's classes, and count as predicted wrongly: {', '.join(strange[:5])}")
    return lines


def _alike(store: Store) -> list[str]:
    """The labels that are names and differ only in case, or in how accents are encoded: most often these are one, spelled in two ways."""
    labels = store.array("label")
    names = set() if labels.dtype.kind in "iu" else {str(name) for name in labels}
    spellings: dict[str, list[str]] = {}
    for name in sorted(names):
        spellings.setdefault(normalize("NFC", name).casefold(), []).append(name)
    found = [" and ".join(map(repr, group)) for group in spellings.values() if len(group) > 1]
    return [f"labels that differ only in case or accents, and count as different: {', '.join(found[:_REASONS])}"] if found else []


def _absorption(store: Store, method: str, rows: Rows) -> str:
    share = float(np.median(store.array(f"absorbed/{method}", rows) / _starts(store, rows)))
    return f"{method}: median {share:.3g} of the relevance absorbed on the way to the input{_meaning(share)}"


def _starts(store: Store, rows: Rows) -> Rows | float:
    """What relevance started with: 1, or the logit."""
    if store.run["options"].get("relevance") != "logit":
        return 1.0
    logits = store.logits_of_targets(rows)
    return np.asarray(np.where(logits == 0, 1, logits))


def _meaning(share: float) -> str:
    """What a share means that looks impossible.

    >>> _meaning(0.3), _meaning(1.001), _meaning(-0.5)
    ('', '', ' (less than 0: biases and stabilizers gave relevance rather than took it)')
    """
    if float(f"{share:.3g}") > 1:  # as it is printed
        return " (biases and stabilizers took more than all of it: such a map sums to the other sign, and shows where, not how much)"
    return " (less than 0: biases and stabilizers gave relevance rather than took it)" if share < 0 else ""


def _signs(store: Store, rows: Rows) -> list[str]:
    """In how many maps what speaks for the explained class looks as if it spoke against it."""
    start = str(store.run["options"].get("relevance", "one_hot"))
    methods = [method for method in store.methods if turns_signs(method, start)]
    below = int((store.logits_of_targets(rows) < 0).sum()) if methods else 0
    if not below:
        return []
    return [
        f"signs are turned in {below} of {len(rows)} maps by {', '.join(methods)}: the logit of the explained class is below 0 there, so "
        f"that they show what speaks for it as speaking against it; a run with --relevance {OTHER_START[start]} has them right"
    ]


def _failures(store: Store) -> list[str]:
    """How many entries failed, and the most frequent reasons, each with the first of its entries."""
    if not store.failed:
        return []
    by_reason: dict[str, list[str]] = {}
    for failure in store.failed:
        by_reason.setdefault(as_written_here(reason_alone(failure)), []).append(failure.key)
    reasons = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    lines = [f"  {_some(keys)}: {reason}" for reason, keys in reasons[:_REASONS]]
    left = len(reasons) - len(lines)
    more = [f"  and {_counted(left, 'more reason')}, which the store has"] if left else []
    return [f"{len(store.failed)} of {len(store)} entries failed:", *lines, *more]


def _some(keys: Sequence[str]) -> str:
    """The first of some entries, and how many more there are.

    >>> _some(["a.png"]), _some(["a.png", "b.png", "c.png"])
    ('a.png', 'a.png and 2 more')
    """
    return keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"
