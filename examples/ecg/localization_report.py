"""The tables and the figure of what ``localize.py`` measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from document import table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

__all__ = ["figure_of", "tables"]

_REFERENCE = "gradient"
_TITLES = {"share": "positive relevance within 100 ms of the beat (%)", "pointing": "largest relevance within 100 ms of the beat (%)"}


def tables(found: Mapping[str, Any]) -> str:
    """What stands in the document, in Markdown."""
    parts = [_beats(found), _method_table(found["methods"])]
    if empty := [row for row in found["methods"] if row["maps without positive relevance"]]:
        named = ", ".join(f"`{row['method']}` {row['maps without positive relevance']}" for row in empty)
        parts.append(f"Maps without positive relevance, which score 0: {named}; no other method had any.")
    if found["sign"]:
        parts += ["SIGN minus its twin, which takes the input's value in the place of its sign:", _sign_table(found)]
    return "\n\n".join(parts)


def _beats(found: Mapping[str, Any]) -> str:
    each = ", ".join(f"{patient['explained']} of {patient['V beats']} in {patient['record']}" for patient in found["patients"])
    all_of_them = f"{_all_beats(found)} V beats of {len(found['patients'])} patients"
    return f"Explained are {all_of_them} ({each}). Chance is {_percent(found['chance'])} %."


def _all_beats(found: Mapping[str, Any]) -> int:
    return sum(patient["explained"] for patient in found["patients"])


def _method_table(methods: Sequence[Mapping[str, Any]]) -> str:
    return table(("method", "share (%)", "minus gradient", "pointing (%)", "minus gradient"), list(_method_rows(methods)))


def _method_rows(methods: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    for line in _lines(methods):
        if isinstance(line, str):
            yield [f"**{line}**", "", "", "", ""]
            continue
        cells = [f"`{line['method']}`"]
        for measure in _TITLES:
            difference = None if line["method"] == _REFERENCE else line[measure].get(f"minus {_REFERENCE}")
            cells += [_with_interval(line[measure]), _with_interval(difference, signed=True) if difference else ""]
        yield cells


def _sign_table(found: Mapping[str, Any]) -> str:
    header = ("method", "share (points)", "more in", "pointing (points)", "more in")
    return table(header, [_sign_row(row, len(found["patients"])) for row in found["sign"]])


def _sign_row(row: Mapping[str, Any], patients: int) -> list[str]:
    cells = [f"`{row['method']}` minus `{row['without SIGN']}`"]
    for measure in _TITLES:
        cells += [_with_interval(row[measure], signed=True), f"{row[measure]['patients above']} of {patients} patients"]
    return cells


def _percent(share: float, signed: bool = False) -> str:
    """In percent, with one digit.

    >>> _percent(0.0922), _percent(0.1, signed=True), _percent(-0.0001, signed=True)
    ('9.2', '+10.0', '0.0')
    """
    text = f"{100 * share:{'+' if signed else ''}.1f}"
    return "0.0" if float(text) == 0 else text


def _with_interval(estimate: Mapping[str, float], signed: bool = False) -> str:
    """A mean and its interval in percent.

    >>> _with_interval({"mean": 0.123, "low": 0.1, "high": 0.15})
    '12.3 (10.0, 15.0)'
    """
    mean, low, high = (_percent(estimate[key], signed) for key in ("mean", "low", "high"))
    return f"{mean} ({low}, {high})"


# A line of the table or the figure: a family's heading, or a method's numbers
_Line = str | Mapping[str, Any]


def _lines(methods: Sequence[Mapping[str, Any]]) -> list[_Line]:
    lines: list[_Line] = []
    for row in methods:
        if row["family"] not in lines:
            lines.append(row["family"])
        lines.append(row)
    return lines


# The figure. Lengths are in inches.

_WIDTH, _LEFT, _GAP, _ABOVE, _BELOW, _LINE = 10.0, 2.75, 0.25, 0.85, 1.05, 0.21
_DOTS = 150  # per inch
_WITHOUT_SIGN, _WITH_SIGN, _NO_METHOD = "#1f4e79", "#d95f02", "0.5"


def figure_of(found: Mapping[str, Any]) -> Figure:
    """Both measures of all methods side by side, with intervals, chance and the gradient."""
    lines = _lines(found["methods"])
    height = _ABOVE + _LINE * len(lines) + _BELOW
    figure = Figure(figsize=(_WIDTH, height), dpi=_DOTS)
    width = (_WIDTH - _LEFT - 2 * _GAP) / 2
    for number, measure in enumerate(_TITLES):
        box = ((_LEFT + number * (width + _GAP)) / _WIDTH, _BELOW / height, width / _WIDTH, 1 - (_ABOVE + _BELOW) / height)
        axes = figure.add_axes(box)
        _draw_measure(axes, measure, lines, found["chance"])
        _name_lines(axes, lines if number == 0 else [""] * len(lines))
    _explain_marks(figure, found, height)
    return figure


def _draw_measure(axes: Axes, measure: str, lines: Sequence[_Line], chance: float) -> None:
    axes.axvline(100 * chance, color="black", linestyle="--", linewidth=1, zorder=1)
    for y, line in enumerate(lines):
        if not isinstance(line, str):
            mean, low, high = (100 * line[measure][key] for key in ("mean", "low", "high"))
            axes.plot([low, high], [y, y], color=_colour(line), linewidth=1.5, zorder=2, solid_capstyle="butt")
            axes.plot(mean, y, marker="o", markersize=5, color=_colour(line), zorder=3)
            if line["method"] == _REFERENCE:
                axes.axvline(mean, color=_WITHOUT_SIGN, linestyle=":", linewidth=1.2, zorder=1)
    axes.set(xlim=(-2, 102), ylim=(len(lines) - 0.4, -0.6))
    axes.set_title(_TITLES[measure], fontsize=9.5)
    axes.xaxis.set_major_locator(MultipleLocator(20))
    axes.tick_params(axis="x", labelsize=8.5)
    axes.grid(axis="x", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["left", "right", "top"]].set_visible(False)


def _name_lines(axes: Axes, lines: Sequence[_Line]) -> None:
    axes.set_yticks(range(len(lines)), [line if isinstance(line, str) else line["method"] for line in lines])
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    for text, line in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if isinstance(line, str) else "normal")


def _colour(row: Mapping[str, Any]) -> str:
    if row["family"] == "Baselines":
        return _NO_METHOD
    return _WITH_SIGN if "sign" in row["method"] else _WITHOUT_SIGN


def _explain_marks(figure: Figure, found: Mapping[str, Any], height: float) -> None:
    title = f"Where the relevance of ventricular beats lies: {_all_beats(found)} beats of {len(found['patients'])} patients"
    figure.text(0.5, 1 - 0.15 / height, title, ha="center", va="top", fontsize=12, weight="bold")
    dots = {"linestyle": "none", "marker": "o", "markersize": 5}
    handles = [
        Line2D([], [], color=_WITHOUT_SIGN, label="without SIGN", **dots),
        Line2D([], [], color=_WITH_SIGN, label="with SIGN", **dots),
        Line2D([], [], color=_NO_METHOD, label="explains nothing", **dots),
        Line2D([], [], color="black", linestyle="--", linewidth=1, label=f"chance ({_percent(found['chance'])} %)"),
        Line2D([], [], color=_WITHOUT_SIGN, linestyle=":", linewidth=1.2, label="the plain gradient"),
    ]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.32 / height), ncols=5, frameon=False, fontsize=9)
    note = "Dots: mean over all beats. Lines: 95 % interval by bootstrap over patients."
    figure.text(0.5, 0.16 / height, note, ha="center", va="bottom", fontsize=9)
