"""What the pages on the whole run, its classes and its clusters say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import MethodNameError
from signxai.datasets.clusters import standing_out
from signxai.datasets.reading import reason_alone
from signxai.datasets.store import Store
from signxai.evidence.criteria import CRITERIA
from signxai.methods.sign_words import is_share, sides_of
from signxai.names.describe import summary
from signxai.names.grammar import parse_method
from signxai.reports.clusters import Clustering, shares
from signxai.reports.entries import EntryTable
from signxai.reports.statistics import most_and_least
from signxai.reports.survey import Subject

__all__ = [
    "class_facts",
    "cluster_facts",
    "confusions",
    "entry_facts",
    "failures",
    "method_facts",
    "report_title",
    "run_facts",
    "unexplained_facts",
]

Array = npt.NDArray[Any]

_IN_MATRIX = 30
_LISTED = 30
_TARGETS = {
    "predicted": "the class that is predicted",
    "label": "the class that the entry is labelled as",
    "target": "the class that the data set gives for each entry",
}
_SOURCES = {"folder": "the folder", "table": "the table", "array": "an array", "torch": "a torch"}
"""What stands before the first word of a source's kind, or in its place."""
_OF_START = {"logit": "the explained class's logit"}


def report_title(run: Mapping[str, Any]) -> str:
    """What a report is called: which data set is explained by which network.

    >>> report_title({"source": {"kind": "folder birds"}, "model": {"name": "vgg16"}})
    'Report of the folder birds, explained by vgg16'
    """
    kind = str(run["source"]["kind"])
    first, _, rest = kind.partition(" ")
    source = f"{_SOURCES[first]} {rest}".strip() if first in _SOURCES else kind
    return f"Report of {source}, explained by {run['model']['name']}"


def run_facts(subject: Subject) -> list[tuple[str, str]]:
    """What was run, as terms and what they are."""
    run = subject.store.run
    model, source, settings, options = run["model"], run["source"], run["settings"], dict(run.get("options", {}))
    start = _OF_START.get(options.pop("relevance", "one_hot"), "1")
    target = settings.get("target", "predicted")
    fixed = f"class {subject.table.classes.explained(target) if isinstance(target, int) else target}"
    facts = [
        ("model", f"{model['name']} ({model['class']}), weights {str(model['weights'])[:12]}"),
        ("data set", f"{source['kind']}, {source['entries']} entries"),
        ("explained class", _TARGETS.get(target, fixed)),
        ("relevance starts with", start),
        ("options", _listed(options)),
        ("settings", _listed({key: value for key, value in settings.items() if key in ("batch_size", "dtype", "seed") or value})),
        ("versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items())),
        ("store", str(subject.store.path)),
    ]
    return [(term, words) for term, words in facts if words]


def _listed(content: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in content.items() if key not in ("target", "keeps_inputs"))


def method_facts(subject: Subject) -> list[dict[str, Any]]:
    """Each method with a line of what it means, where its name says it, and in how many maps its signs are turned."""
    return [
        {
            "name": name,
            "meaning": _meaning(name),
            "absorbs": subject.table.ledger("absorbed", name) is not None,
            "number": number,
            "turned": int(subject.turned(name).sum()),
            "is_share": is_share(name),
            "sides": sides_of(name),
        }
        for number, name in enumerate(subject.methods)
    ]


def _meaning(name: str) -> str:
    try:
        return summary(parse_method(name))
    except MethodNameError:
        return "a method of one's own, registered where the run was made"


def class_facts(subject: Subject, typicality: Array, number: int) -> dict[str, Any]:
    """Numbers of one class: of the entries whose explained class it is, of those that are predicted as it, and of those labelled as it."""
    table = subject.table
    places = np.flatnonzero(table.targets == number)
    return {
        "number": int(number),
        "position": int(np.searchsorted(subject.targets, number)),
        "name": table.classes.explained(int(number)),
        "count": len(places),
        **_agreement(table, number),
        "absorbed": [_quartiles(table.ledger("absorbed", method), places) for method in subject.methods],
        "turned": [int(subject.turned(method)[places].sum()) for method in subject.methods],
        "typical": [most_and_least(of_method, places) for of_method in typicality],
        "clusterings": [one for one in subject.clusterings if one.target == number],
    }


def unexplained_facts(subject: Subject) -> list[dict[str, Any]]:
    """Numbers of the classes that entries are labelled as, and of which no entry was explained."""
    table = subject.table
    if table.label_classes is None or table.is_right is None:
        return []
    numbers = np.setdiff1d(table.label_classes[table.label_classes >= 0], subject.targets).tolist()
    return [{"name": table.classes.name(number), **_agreement(table, number)} for number in numbers]


def _agreement(table: EntryTable, number: int) -> dict[str, Any]:
    """How many entries with a label are predicted as a class, and the share of those that are labelled as it (precision); how many are
    labelled as it, and the share of those that are predicted as it (recall)."""
    right = table.is_right
    if right is None or table.label_classes is None:
        return {"predicted": None, "precision": None, "labelled": None, "recall": None}
    predicted = right[(table.predicted == number) & (right >= 0)]
    labelled = right[table.label_classes == number]
    return {"predicted": len(predicted), "precision": _share(predicted), "labelled": len(labelled), "recall": _share(labelled)}


def _share(right: Array) -> float | None:
    """The share of those that are right of those with a label."""
    known = right[right >= 0]
    return float(known.mean()) if len(known) else None


def _quartiles(ledger: Array | None, places: Array) -> list[float] | None:
    return None if ledger is None else [float(value) for value in np.percentile(ledger[places], [25, 50, 75])]


def confusions(table: EntryTable) -> dict[str, Any] | None:
    """What is predicted of what: a matrix of up to 30 classes, else the most frequent confusions; None: labels are not known."""
    if table.label_classes is None or table.labels is None or table.is_right is None:
        return None
    known = (table.label_classes >= 0) & (table.predicted >= 0)
    pairs = Counter(zip(table.label_classes[known].tolist(), table.predicted[known].tolist(), strict=True))
    present = sorted({number for pair in pairs for number in pair})
    if len(present) <= _IN_MATRIX:
        return {"known": bool(pairs), "classes": present, "pairs": [], "counts": pairs, "most": max(pairs.values(), default=1)}
    listed = [(pair, count) for pair, count in pairs.most_common() if pair[0] != pair[1]][:_LISTED]
    return {"known": True, "classes": [], "pairs": listed}


def cluster_facts(subject: Subject, clustering: Clustering) -> list[dict[str, Any]]:
    """Numbers of each cluster: size, shares of wrong predictions, labels, predictions and groups in it and elsewhere, some entries."""
    turned = subject.turned(subject.methods[clustering.method])
    return [
        _cluster(subject.table, clustering, number, position) | {"turned": int(turned[clustering.members(number)].sum())}
        for position, number in enumerate(clustering.clusters)
    ]


def _cluster(table: EntryTable, clustering: Clustering, number: int, position: int) -> dict[str, Any]:
    members, others = clustering.members(number), clustering.rest(number)
    found, elsewhere = _words(table, members), _words(table, others)
    return {
        "number": number,
        "position": position,
        "name": f"cluster {number}" if number >= 0 else "in no cluster",
        "count": len(members),
        "share": len(members) / len(clustering.ids),
        "others": len(others),
        "wrong": _wrong(table, members),
        "others_wrong": _wrong(table, others),
        "shares": {kind: shares(words, elsewhere[kind]) for kind, words in found.items()},
        "traits": [(kind, *trait) for kind, words in found.items() for trait in standing_out(words, elsewhere[kind])],
        "members": clustering.some_members(number),
    }


def _words(table: EntryTable, places: Array) -> dict[str, list[str]]:
    """What is known of entries in words, by what it is."""
    words: dict[str, list[str]] = {}
    if table.labels is not None:
        words["label"] = [table.labels[place] for place in places]
    if not table.classes.is_one_logit:
        words["predicted"] = [table.classes.name(int(table.predicted[place])) for place in places]
    if table.groups is not None:
        words["group"] = [table.groups[place] for place in places]
    return words


def _wrong(table: EntryTable, places: Array) -> float | None:
    """The share of entries that are predicted otherwise than labelled, of those with a label."""
    share = None if table.is_right is None else _share(table.is_right[places])
    return None if share is None else 1 - share


def failures(store: Store) -> list[dict[str, Any]]:
    """The entries that failed, each with why, without the file that stands beside it."""
    return [{"index": one.index, "key": one.key, "reason": reason_alone(one)} for one in store.failed]


def entry_facts(subject: Subject, place: int) -> dict[str, Any]:
    """What the page of an entry says of it in words."""
    table = subject.table
    order, logits, probabilities = (columns[place] for columns in table.top)
    right = table.is_right
    return {
        "place": place,
        "row": int(table.rows[place]),
        "key": table.keys[place],
        "label": None if table.labels is None else table.labels[place],
        "target": int(table.targets[place]),
        "predicted": int(table.predicted[place]),
        "is_right": None if right is None or right[place] < 0 else bool(right[place]),
        "group": None if table.groups is None else table.groups[place],
        "top": [(int(number), float(logit), float(share)) for number, logit, share in zip(order, logits, probabilities, strict=True)],
        "ledgers": [_ledger(subject, method, place) for method in subject.methods],
        "turned": [bool(subject.turned(method)[place]) for method in subject.methods],
        "certificates": [_certificate(subject, method, int(table.rows[place])) for method in subject.methods],
        "clusters": [{"clustering": one, "number": one.by_place[place]} for one in subject.clusterings if place in one.by_place],
        "neighbours": [int(table.rows[other]) if 0 <= other < len(table.rows) else None for other in (place - 1, place + 1)],
    }


_VERDICTS = {True: "passed", False: "failed", None: "without a verdict"}


def _certificate(subject: Subject, method: str, row: int) -> dict[str, Any] | None:
    """What is certified of a map; None: nothing."""
    held = subject.certificates[method].get(row)
    if held is None:
        return None
    sample = held.samples[0]
    checks = [check.to_dict() | {"limit": check.limit, "title": CRITERIA[check.name].title} for check in sample.checks]
    counts = [f"{count} {word}" for verdict, word in _VERDICTS.items() if (count := sample.count(verdict))]
    places = [{"place": one.place, "operation": one.operation, "absorbed": one.absorbed} for one in sample.places]
    return {"checks": checks, "counts": counts, "places": places}


def _ledger(subject: Subject, method: str, place: int) -> list[tuple[str, float, str]]:
    """The sums of a map, each with what it is."""
    table = subject.table
    found = {kind: float(of_all[place]) for kind in ("sum", "absorbed", "rounding") if (of_all := table.ledger(kind, method)) is not None}
    start = float(table.explained[place]) if subject.starts_with_logit else 1.0
    by_input = [
        (f"sum of {part.name}", float(of_all[place]), "of the relevance of this input")
        for part in subject.parts
        if part.name and (of_all := table.ledger("sum_by_input", f"{method}/{part.name}")) is not None
    ]
    meanings = {
        "sum": "of all relevance in the map",
        "absorbed": _absorbed(found["absorbed"], start) if "absorbed" in found else "",
        "rounding": "largest error of 16 bits, as a share of the map's largest value",
    }
    lines = [(kind, value, meanings[kind]) for kind, value in found.items()]
    return [
        *lines[:1],
        *by_input,
        *lines[1:],
        ("logit", float(table.explained[place]), "of the explained class, before any softmax or sigmoid"),
    ]


def _absorbed(value: float, start: float) -> str:
    """What an amount of absorbed relevance says of a map, in words.

    >>> print(_absorbed(1.5, 1.0).partition(", so that ")[2])
    the map sums to less than 0; it shows where, not how much
    """
    said = f"the {start:.4g} that relevance starts with, less the sum: "
    share = float(f"{value / start if start else 0.0:.4g}")  # as the page shows it
    if share < 0:
        return said + "biases gave relevance rather than took it, so that the map sums to more than there was"
    if share > 1:
        less = "less" if start > 0 else "more"
        return (
            said + f"biases and stabilizers took more than all of it, so that the map sums to {less} than 0; it shows where, not how much"
        )
    return said + "taken by biases and stabilizers on the way to the input"
