"""The table and the figure of what ``measure.py`` counted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter

Row = Mapping[str, Any]

_VALUE, _KEY = "#1f4e79", "#d95f02"
_PANELS = (("all tokens", "among all tokens"), ("pairs", "among the pairs, without the question"))


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


def table(found: Mapping[str, Any]) -> str:
    """What stands in the document, in Markdown."""
    header = ["method", "value", "key", "colour asked for", "question mark", "value, among the pairs", "key, among the pairs"]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for family, rows in _families(found["methods"]):
        lines += [[f"**{family}**", *[""] * (len(header) - 1)], *map(_cells, rows)]
    explained = f"Explained are {found['explained']} of {found['drawn']} sentences, those with a right answer."
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(
        [f"{explained} Shares in percent, with 95 % intervals:", "", *rows, "", f"Measured on {found['machine']}; {versions}."]
    )


def _cells(row: Row) -> list[str]:
    among_all, pairs = row["all tokens"], row["pairs"]
    total = sum(among_all["counts"].values())
    beside = [f"{100 * among_all['counts'][name] / total:.1f}" for name in ("asked", "question mark")]
    name = re.sub(r"^([a-z_0-9]+_[a-z_0-9]+|gradient|smoothgrad)", r"`\1`", row["method"])
    values = [_spelled(shares["shares"][part]) for shares in (among_all, pairs) for part in ("value", "key")]
    return [name, *values[:2], *beside, *values[2:]]


def _spelled(share: Mapping[str, float]) -> str:
    """A share and its interval.

    >>> _spelled({"share": 0.5, "low": 0.4, "high": 0.6})
    '50.0 (40.0, 60.0)'
    """
    value, low, high = (f"{100 * share[name]:.1f}" for name in ("share", "low", "high"))
    return f"{value} ({low}, {high})"


def _families(methods: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    names = dict.fromkeys(row["family"] for row in methods)
    return [(name, [row for row in methods if row["family"] == name]) for name in names]


def figure_of(found: Mapping[str, Any]) -> Figure:
    """How often each method points to the value and to the key, with intervals."""
    rows = found["methods"]
    height = 1.7 + 0.27 * len(rows)
    figure = Figure(figsize=(11.0, height), dpi=150)
    for number, (among, title) in enumerate(_PANELS):
        left = 0.29 + number * 0.36
        axes = figure.add_axes((left, 1.0 / height, 0.335, (height - 1.7) / height))
        _draw(axes, rows, among)
        axes.set_title(title, fontsize=10)
        axes.set_yticks(range(len(rows)), [row["method"] if number == 0 else "" for row in rows])
        axes.tick_params(axis="y", length=0, labelsize=9)
    title = f"Where the largest relevance lies: {found['explained']} sentences such as “red 4 blue 7 green 11 blue ?”"
    figure.text(0.5, 1 - 0.1 / height, title, ha="center", va="top", fontsize=11.5, weight="bold")
    dots = {"linestyle": "none", "marker": "o", "markersize": 5}
    handles = [
        Line2D([], [], color=_VALUE, label="on the value, here 7", **dots),
        Line2D([], [], color=_KEY, label="on the key, here the first blue", markerfacecolor="white", **dots),
        Line2D([], [], color="0.4", label="95 % interval (Wilson)"),
    ]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.02), ncols=3, frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, rows: Sequence[Row], among: str) -> None:
    for y, row in enumerate(rows):
        for part, colour, face in (("key", _KEY, "white"), ("value", _VALUE, _VALUE)):
            share = row[among]["shares"][part]
            at = y + (0.16 if part == "key" else -0.16)
            axes.plot([share["low"], share["high"]], [at, at], color=colour, linewidth=1.5, solid_capstyle="butt")
            axes.plot(share["share"], at, marker="o", markersize=5, color=colour, markerfacecolor=face)
    axes.set_xlim(-0.03, 1.03)
    axes.xaxis.set_major_locator(MultipleLocator(0.2))
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.set_xlabel("share of sentences (%)", fontsize=9)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["left", "right", "top"]].set_visible(False)
