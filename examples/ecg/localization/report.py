"""The tables and the figure of what ``localize.py`` measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from document import table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator, PercentFormatter

from localization.methods import NOISE, REFERENCE

__all__ = ["figure_of", "tables"]


def tables(found: Mapping[str, Any]) -> str:
    """What stands in the document, in Markdown."""
    parts = [_beats(found), _method_table(found["methods"])]
    if empty := [row for row in found["methods"] if row["maps without positive relevance"]]:
        named = ", ".join(f"`{row['method']}` {row['maps without positive relevance']}" for row in empty)
        parts.append(f"Maps without positive relevance, which score 0: {named}; no other method had any.")
    if found["sign"]:
        twins = "What SIGN changes: against the twin with the input's value in the place of its sign, and in how many patients it has more:"
        parts += [twins, _sign_table(found)]
    return "\n\n".join(parts)


def _beats(found: Mapping[str, Any]) -> str:
    each = ", ".join(f"{patient['explained']} of {patient['V beats']} in {patient['record']}" for patient in found["patients"])
    all_of_them = f"{_all_beats(found)} V beats of {len(found['patients'])} patients"
    return f"Explained are {all_of_them} ({each}). Chance is {_percent(found['chance'])} %."


def _all_beats(found: Mapping[str, Any]) -> int:
    return sum(patient["explained"] for patient in found["patients"])


def _method_table(methods: Sequence[Mapping[str, Any]]) -> str:
    header = ("method", "share (%)", "minus gradient", "odds over noise", "pointing (%)", "minus gradient")
    rows = []
    for line in _lines(methods):
        rows.append([f"**{line}**", *[""] * (len(header) - 1)] if isinstance(line, str) else _method_row(line))
    return table(header, rows)


def _method_row(row: Mapping[str, Any]) -> list[str]:
    share, pointing = row["share"], row["pointing"]
    minus = [
        "" if row["method"] == REFERENCE else _with_interval(measure[f"minus {REFERENCE}"], _percent, signed=True)
        for measure in (share, pointing)
    ]
    odds = "" if row["method"] in NOISE.values() else _with_interval(row["odds over noise"], _times)
    return [f"`{row['method']}`", _with_interval(share, _percent), minus[0], odds, _with_interval(pointing, _percent), minus[1]]


def _sign_table(found: Mapping[str, Any]) -> str:
    header = ("method", "share (points)", "odds over noise (factor)", "pointing (points)")
    return table(header, [_sign_row(row, len(found["patients"])) for row in found["sign"]])


def _sign_row(row: Mapping[str, Any], patients: int) -> list[str]:
    share, odds, pointing = (
        f"{_with_interval(row[measure], spell, signed=spell is _percent)}; {row[measure]['patients above']} of {patients}"
        for measure, spell in (("share", _percent), ("odds over noise", _times), ("pointing", _percent))
    )
    return [f"`{row['method']}`", share, "" if row["method"] in NOISE.values() else odds, pointing]


def _percent(share: float, signed: bool = False) -> str:
    """In percent, with one digit.

    >>> _percent(0.0922), _percent(0.1, signed=True), _percent(-0.0001, signed=True)
    ('9.2', '+10.0', '0.0')
    """
    text = f"{100 * share:{'+' if signed else ''}.1f}"
    return "0.0" if float(text) == 0 else text


def _times(ratio: float, signed: bool = False) -> str:
    """A ratio, with one digit behind the point from 10 on and with two below.

    >>> _times(12.345), _times(0.1)
    ('12.3', '0.10')
    """
    return f"{ratio:{'+' if signed else ''}.{1 if ratio >= 10 else 2}f}"


def _with_interval(estimate: Mapping[str, float], spell: Callable[..., str], signed: bool = False) -> str:
    """A mean and its interval.

    >>> _with_interval({"value": 0.123, "low": 0.1, "high": 0.15}, _percent)
    '12.3 (10.0, 15.0)'
    """
    value, low, high = (spell(estimate[key], signed) for key in ("value", "low", "high"))
    return f"{value} ({low}, {high})"


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

_WIDTH, _LEFT, _RIGHT, _GAP, _ABOVE, _BELOW, _LINE = 12.0, 2.75, 0.3, 0.3, 0.85, 1.05, 0.21
_DOTS = 150  # per inch
_COLOURS = {"value": "#1f4e79", "sign": "#d95f02", "none": "#5aa469"}
_MEANINGS = {"value": "contains the input's value", "sign": "contains its sign (SIGN)", "none": "contains neither"}


@dataclass(frozen=True)
class _Panel:
    measure: str
    title: str
    chance: float
    is_ratio: bool = False


def figure_of(found: Mapping[str, Any]) -> Figure:
    """The measures of all methods side by side, with intervals, chance and the gradient."""
    lines = _lines(found["methods"])
    panels = [
        _Panel("share", "positive relevance\nwithin 100 ms of the beat (%)", found["chance"]),
        _Panel("odds over noise", "odds of that, over those of\nnoise with the same factor", 1.0, is_ratio=True),
        _Panel("pointing", "largest relevance\nwithin 100 ms of the beat (%)", found["chance"]),
    ]
    height = _ABOVE + _LINE * len(lines) + _BELOW
    width = (_WIDTH - _LEFT - _RIGHT - (len(panels) - 1) * _GAP) / len(panels)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DOTS)
    for number, panel in enumerate(panels):
        left = _LEFT + number * (width + _GAP)
        axes = figure.add_axes((left / _WIDTH, _BELOW / height, width / _WIDTH, 1 - (_ABOVE + _BELOW) / height))
        _draw_panel(axes, panel, lines)
        _name_lines(axes, lines if number == 0 else [""] * len(lines))
    _explain_marks(figure, found, height)
    return figure


def _draw_panel(axes: Axes, panel: _Panel, lines: Sequence[_Line]) -> None:
    axes.axvline(panel.chance, color="black", linestyle="--", linewidth=1, zorder=1)
    for y, line in enumerate(lines):
        if not isinstance(line, str):
            value, low, high = (line[panel.measure][key] for key in ("value", "low", "high"))
            colour = _COLOURS[line["factor"]]
            axes.plot([low, high], [y, y], color=colour, linewidth=1.5, zorder=2, solid_capstyle="butt")
            face = "white" if line["method"] in NOISE.values() else colour
            axes.plot(value, y, marker="o", markersize=5, color=colour, markerfacecolor=face, zorder=3)
            if line["method"] == REFERENCE:
                axes.axvline(value, color=_COLOURS["none"], linestyle=":", linewidth=1.5, zorder=1)
    if panel.is_ratio:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    else:
        axes.set_xlim(-0.03, 1.03)
        axes.xaxis.set_major_locator(MultipleLocator(0.2))
        axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_title(panel.title, fontsize=9.5)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.grid(axis="x", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["left", "right", "top"]].set_visible(False)


def _name_lines(axes: Axes, lines: Sequence[_Line]) -> None:
    axes.set_yticks(range(len(lines)), [line if isinstance(line, str) else line["method"] for line in lines])
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    for text, line in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if isinstance(line, str) else "normal")


def _explain_marks(figure: Figure, found: Mapping[str, Any], height: float) -> None:
    title = f"Where the relevance of ventricular beats lies: {_all_beats(found)} beats of {len(found['patients'])} patients"
    figure.text(0.5, 1 - 0.12 / height, title, ha="center", va="top", fontsize=12, weight="bold")
    dots = {"linestyle": "none", "marker": "o", "markersize": 5}
    handles = [
        *(Line2D([], [], color=_COLOURS[name], label=meaning, **dots) for name, meaning in _MEANINGS.items()),
        Line2D([], [], color="black", markerfacecolor="white", label="noise", **dots),
        Line2D([], [], color="black", linestyle="--", linewidth=1, label="chance"),
        Line2D([], [], color=_COLOURS["none"], linestyle=":", linewidth=1.5, label="the plain gradient"),
    ]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.32 / height), ncols=len(handles), frameon=False, fontsize=9)
    note = "Dots: mean over all beats. Lines: 95 % interval by bootstrap over patients."
    figure.text(0.5, 0.16 / height, note, ha="center", va="bottom", fontsize=9)
