"""The figures of docs/evidence_real.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from real_data.methods import BASELINE, factor
from real_data.tables import TITLES
from signxai.figures.comparison_plots import agreement_figure as matrix_figure

Found = Mapping[str, Any]

_COLOURS = {"value": "#1f4e79", "sign": "#d95f02", "none": "#5aa469"}
_MEANINGS = {"value": "contains the input's value", "sign": "contains its sign (SIGN)", "none": "contains neither"}
_PANELS = ("srg", "faithfulness_correlation", "relevance_rank", "pointing_game", "mprt")
_LINE, _WIDTH, _LEFT, _ABOVE, _BELOW, _DOTS = 0.22, 13.0, 2.8, 0.75, 0.95, 130  # inches, and dots per inch


def agreement_figure(found: Found) -> Figure:
    """How alike the maps of each two methods are, of the first set."""
    first = next(iter(found["sets"].values()))
    return matrix_figure(first["methods"], np.array(first["agreement"]))


def overview_figure(found: Found) -> Figure:
    """The means of all methods by several metrics, with intervals; noise as a dashed line."""
    sets = found["sets"]
    first = next(iter(sets.values()))
    methods, panels = first["methods"], [metric for metric in _PANELS if metric in first["metrics"]]
    height = _ABOVE + _LINE * len(methods) + _BELOW
    figure = Figure(figsize=(_WIDTH, height), dpi=_DOTS)
    step = (_WIDTH - _LEFT - 0.2) / len(panels)
    for place, metric in enumerate(panels):
        left = (_LEFT + place * step) / _WIDTH
        axes = figure.add_axes((left, _BELOW / height, (step - 0.3) / _WIDTH, _LINE * len(methods) / height))
        _draw_panel(axes, sets, metric)
        _name_lines(axes, methods if place == 0 else [""] * len(methods))
    _explain_marks(figure, list(sets), height)
    return figure


def _draw_panel(axes: Axes, sets: Mapping[str, Found], metric: str) -> None:
    for place, one in enumerate(sets.values()):
        rows = one["metrics"][metric]
        shift = 0.16 * (2 * place - len(sets) + 1)
        for y, method in enumerate(one["methods"]):
            _draw_row(axes, rows[method]["mean"], y + shift, _COLOURS[factor(method)], is_first=place == 0)
        axes.axvline(rows[BASELINE]["mean"][0], color="black", linestyle="--" if place == 0 else ":", linewidth=0.9, zorder=1)
    better = "lower is better" if metric == "mprt" else "higher is better"
    axes.set_title(f"{TITLES[metric].removesuffix(' (%)')}\n({better})", fontsize=9.5)
    axes.grid(axis="x", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.spines[["left", "right", "top"]].set_visible(False)


def _draw_row(axes: Axes, estimate: Sequence[float | None], y: float, colour: str, is_first: bool) -> None:
    mean, low, high = estimate
    if low is not None:
        axes.plot([low, high], [y, y], color=colour, linewidth=1.3, alpha=1 if is_first else 0.5, solid_capstyle="butt", zorder=2)
    axes.plot(mean, y, marker="o", markersize=4.5, color=colour, markerfacecolor=colour if is_first else "white", zorder=3)


def _name_lines(axes: Axes, names: Sequence[str]) -> None:
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), list(names))
    axes.tick_params(axis="y", length=0, labelsize=8.5)


def _explain_marks(figure: Figure, names: Sequence[str], height: float) -> None:
    dots = {"linestyle": "none", "marker": "o", "markersize": 5}
    handles = [Line2D([], [], color=_COLOURS[name], label=meaning, **dots) for name, meaning in _MEANINGS.items()]
    for place, name in enumerate(names):
        face = "black" if place == 0 else "white"
        line = Line2D([], [], color="black", markerfacecolor=face, label=name, **dots)
        handles += [line] if name else []
    handles.append(Line2D([], [], color="black", linestyle="--", linewidth=1, label="random_uniform"))
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.22 / height), ncols=len(handles), frameon=False, fontsize=9)
    figure.text(0.5, 0.1 / height, "Lines: 95 % intervals.", ha="center", va="bottom", fontsize=9)
