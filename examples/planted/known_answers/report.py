"""The tables and the figure of what ``measure.py`` measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from known_answers.methods import BASELINE, FAMILIES, METHODS
from known_answers.scores import FURTHER, METRICS
from known_answers.tasks import IS_AT_ZERO

Row = Mapping[str, Any]

TITLES = {
    "relevance_mass": "mass",
    "relevance_rank": "rank",
    "pointing_game": "pointing",
    "top_k_intersection": "top 10",
    "auc": "AUC",
}
_GROUP_PLACES = {"cause away from zero": "away", "cause at zero": "zero"}
_FURTHER_COLUMNS = (
    ("several causes", "mass on the least part", "least part"),
    ("absent cause", "mass with surroundings", "gap and surroundings"),
    ("distractor", "mass on the thing beside", "on the distractor"),
    ("near zero", "mass on the thing beside", "on what is brighter, wider"),
)

_WHAT_THEY_MEAN = "[docs/evidence_planted.md](../../docs/evidence_planted.md) says what they mean."


def filled(text: str, place: str, content: str) -> str:
    """The document with the content between <!-- place:begin --> and <!-- place:end -->.

    Raises:
        ValueError: the document has no such place.
    """
    begin, end = f"<!-- {place}:begin -->", f"<!-- {place}:end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the document has no place for {place}: write {begin} and {end} into it, each on a line of its own")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the document, in Markdown, by its place."""
    groups = {place: _group_table(found, group) for group, place in _GROUP_PLACES.items() if found["means over tasks"][group]}
    return {
        "tasks": _task_table(found),
        **groups,
        "best": _best_table(found),
        "sign": _sign_tables(found),
        "further": _further_table(found),
        "noise": _noise(found),
    }


def full_tables(found: Mapping[str, Any]) -> str:
    """All scores of all methods, a table for each task."""
    parts = ["# Scores where the answer is known", f"Written by `measure.py`: means, with 95 % intervals. {_WHAT_THEY_MEAN}"]
    for task in found["tasks"]:
        parts += [f"## {_label(task)}: {task['cause']}", _scores_table(task["methods"], task["chance"], (*METRICS, *FURTHER))]
    return "\n\n".join(parts) + "\n"


def _label(task: Row) -> str:
    return f"{task['name']}, {task['kind']}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    lines = [header, [*["---"] * left, *["---:"] * (len(header) - left)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# Tasks


def _task_table(found: Mapping[str, Any]) -> str:
    header = [
        "task",
        "in a",
        "the class is decided by",
        "removal",
        "right",
        "turned over by the removal",
        "by another change",
        "logit moved by that",
    ]
    rows = [[task["name"], task["kind"], task["cause"], task["removal"], *_facts(task["networks"])] for task in found["tasks"]]
    explained = sum(network["explained"] for task in found["tasks"] for network in task["networks"])
    networks = sum(len(task["networks"]) for task in found["tasks"])
    made = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    worst = f"Of each task's networks the worst. {explained} samples are explained, of {networks} networks."
    worst = f"{worst} Measured on {found['machine']}; {made}."
    return f"{_markdown(header, rows, left=4)}\n\n{worst}"


def _facts(networks: Sequence[Row]) -> list[str]:
    worst = (
        min(network["accuracy"] for network in networks),
        min(min(network["turned"]) for network in networks),
        max(network["turned_beside"] for network in networks),
        max(network["shift_beside"] for network in networks),
    )
    return [f"{100 * share:.1f} %" for share in worst]


# Methods


def _group_table(found: Mapping[str, Any], group: str) -> str:
    is_zero = group == "cause at zero"
    chosen = [task["chance"] for task in found["tasks"] if (task["name"] in IS_AT_ZERO) == is_zero]
    chance = {name: float(np.mean([own[name] for own in chosen])) for name in METRICS}
    return _scores_table(found["means over tasks"][group], chance, tuple(METRICS))


def _scores_table(methods: Mapping[str, Row], chance: Mapping[str, float], names: Sequence[str]) -> str:
    rows = [["chance", *(f"{100 * chance[name]:.1f}" if name in chance else "" for name in names)]]
    for family, members in FAMILIES.items():
        rows += [[f"**{family}**", *[""] * len(names)]]
        rows += [[_code(method), *(_spelled(methods[method][name]) for name in names)] for method in members if method in methods]
    return _markdown(["method", *(TITLES.get(name, name) for name in names)], rows)


def _code(method: str) -> str:
    name, comma, rest = method.partition(",")
    return f"`{name}`{comma}{rest}"


def _spelled(estimate: Sequence[float]) -> str:
    """A share and its interval, in percent.

    >>> _spelled([0.5, 0.4, 0.6])
    '50.0 (40.0, 60.0)'
    """
    value, low, high = (f"{100 * share:.1f}" for share in estimate)
    return f"{value} ({low}, {high})"


# SIGN


def _best_table(found: Mapping[str, Any]) -> str:
    """By task the method with the largest mass and rank, of those without SIGN and of those with it."""
    names = ("relevance_mass", "relevance_rank")
    kinds = (("without SIGN", lambda method: "sign" not in method), ("with SIGN", lambda method: "sign" in method))
    header = ["task", *(f"{TITLES[name]}, best {kind}" for name in names for kind, _ in kinds)]
    rows = [[_label(task), *(_best(task["methods"], name, is_one) for name in names for _, is_one in kinds)] for task in found["tasks"]]
    return _markdown(header, rows, left=len(header))


def _best(methods: Mapping[str, Row], name: str, is_one: Callable[[str], bool]) -> str:
    chosen = max((method for method in methods if is_one(method)), key=lambda method: methods[method][name][0])
    return f"{100 * methods[chosen][name][0]:.0f} {_code(chosen)}"


def _sign_tables(found: Mapping[str, Any]) -> str:
    value = "Against the twin with the input's value in the place of its sign, in how many tasks SIGN scores more / less / level:"
    neither = "Against the twin with neither (w-square as the input rule of LRP):"
    return "\n\n".join([value, _pairs_table(found["sign and value"]), neither, _pairs_table(found["sign and neither"])])


def _pairs_table(pairs: Sequence[Row]) -> str:
    names = ("relevance_mass", "relevance_rank", "pointing_game", "auc")
    header = ["SIGN", "twin", *(f"{TITLES[name]}, {group}" for group in ("away", "at zero") for name in names)]
    rows = [
        [_code(pair["method"]), _code(pair["twin"]), *(_counts(pair, name, is_zero) for is_zero in (False, True) for name in names)]
        for pair in pairs
    ]
    return _markdown(header, rows, left=2)


def _counts(pair: Row, name: str, is_zero: bool) -> str:
    """In how many tasks a difference's interval lies above 0, below, or holds it."""
    chosen = [
        estimate for task, estimate in zip(pair["tasks"], pair[name], strict=True) if (task.partition(": ")[2] in IS_AT_ZERO) == is_zero
    ]
    above, below = sum(low > 0 for _, low, _ in chosen), sum(high < 0 for _, _, high in chosen)
    return f"{above} / {below} / {len(chosen) - above - below}"


# What else is counted


def _further_table(found: Mapping[str, Any]) -> str:
    columns = [
        (task, score, f"{task['name']}, {task['kind']}: {title}")
        for name, score, title in _FURTHER_COLUMNS
        for task in found["tasks"]
        if task["name"] == name
    ]
    rows = [["chance", *(f"{100 * task['chance'][score]:.1f}" for task, score, _ in columns)]]
    rows += [[_code(method), *(f"{100 * task['methods'][method][score][0]:.1f}" for task, score, _ in columns)] for method in METHODS]
    return _markdown(["method", *(title for *_, title in columns)], rows)


def _noise(found: Mapping[str, Any]) -> str:
    """Where the noise stands in every table of a task and a metric."""
    places = [(task, name) for task in found["tasks"] for name in METRICS]
    level = sum(task["noise level with chance"][name] for task, name in places)
    rows = [[_label(task), *(_below(task["methods"], name) for name in METRICS)] for task in found["tasks"]]
    last = sum(cell == "" for row in rows for cell in row[1:])
    said = (
        f"`{BASELINE}` is level with chance in {level} of the {len(places)} tables of a task by a metric. No method is below it in {last};"
    )
    said = f"{said} elsewhere so many are, as their intervals tell:"
    return f"{said}\n\n{_markdown(['task', *(TITLES[name] for name in METRICS)], rows)}"


def _below(methods: Mapping[str, Row], name: str) -> str:
    """How many methods' intervals end below that of the noise."""
    noise = methods[BASELINE][name]
    below = [method for method in METHODS if methods[method][name][2] < noise[1]]
    return f"{len(below)}" if below else ""


# The figure


def figure_of(found: Mapping[str, Any]) -> Figure:
    """Two matrices of methods by tasks: the mass on the cause, coloured by its odds over those of chance, and the AUC."""
    figure = Figure(figsize=(12.6, 2.4 + 0.235 * len(METHODS)), dpi=90)
    space = {"wspace": 0.04, "left": 0.222, "right": 0.943, "top": 0.845, "bottom": 0.055}
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw=space)
    mass, area = _values(found, "relevance_mass"), _values(found, "auc")
    odds = np.log2(_odds(mass) / _odds(mass[:1]))
    _matrix(left, mass, odds, 6.0, found, "share of the positive relevance on the cause (%)\nred: its odds are more than those of chance")
    _matrix(right, area, area - 0.5, 0.5, found, "AUC (%): how often a place of the cause outranks another\nred: more often than by chance")
    left.set_yticks(range(len(mass)), ["chance", *METHODS], fontsize=8.5)
    return figure


def _values(found: Mapping[str, Any], name: str) -> np.ndarray[Any, Any]:
    """Chance, and below it the means of all methods (1 + methods, tasks)."""
    rows = [[task["methods"][method][name][0] for task in found["tasks"]] for method in METHODS]
    return np.array([[task["chance"][name] for task in found["tasks"]], *rows])


def _odds(shares: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    inner = np.clip(shares, 1e-3, 1 - 1e-3)
    return np.asarray(inner / (1 - inner))


def _matrix(axes: Axes, values: Any, colours: Any, most: float, found: Mapping[str, Any], title: str) -> None:
    axes.imshow(colours, cmap="RdBu_r", norm=Normalize(-most, most), aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        is_dark = abs(colours[row, column]) > 0.65 * most
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7.5, color="white" if is_dark else "black")
    labels = [_label(task) for task in found["tasks"]]
    axes.set_xticks(range(values.shape[1]), labels, rotation=50, ha="left", rotation_mode="anchor", fontsize=8.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlabel(title, fontsize=9)
    kinds = [task["kind"] for task in found["tasks"]]
    changes = [place - 0.5 for place in range(1, len(kinds)) if kinds[place] != kinds[place - 1]]
    ends = np.cumsum([1, *(len(members) for members in FAMILIES.values())])[:-1] - 0.5
    axes.vlines(changes, -0.5, len(values) - 0.5, color="black", linewidth=0.8)
    axes.hlines(ends, -0.5, values.shape[1] - 0.5, color="black", linewidth=0.8)
