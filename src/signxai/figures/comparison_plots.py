"""Figures of a comparison of methods: curves with bands, the agreement of maps as a matrix, and critical-difference diagrams.

Nothing here computes anything: means, intervals and distances come as numbers. No figure touches pyplot's global state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from signxai.figures.glyphs import readable
from signxai.figures.pages import DOTS, TEXT_SIZE
from signxai.figures.places import AxesLike, figure_of, listed_axes

__all__ = ["CurvePanel", "RankPanel", "agreement_figure", "comparison_figure", "curves_figure", "ranks_figure"]

FloatArray = npt.NDArray[np.float64]

# In inches.
_MARGIN, _LETTER, _LINE = 0.3, 0.075, 0.19
_CURVES_WIDTH, _CURVES_HEIGHT, _CURVES_LEFT, _CURVES_BELOW = 4.6, 3.0, 0.75, 0.55
_CELL, _BAR, _BAR_LABELS = 0.42, 0.14, 0.55
_RANKS_WIDTH, _RANKS_ABOVE, _RANKS_STEP, _RANKS_BAR = 4.2, 0.95, 0.22, 0.11
_TITLE = 0.3

_WARNING = "#b3261e"
_STYLES: Mapping[str, Literal["-", "--"]] = {"most": "-", "least": "--"}
_ORDERS = {"most": "most relevant first", "least": "least relevant first"}


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """Curves of several methods.

    Attributes:
        title: above them.
        methods: (M) names.
        places: along the axis (points,).
        bands: by order the mean curves (M, points) and the ends of their intervals (M, points, 2); NaN for what is not there.
        x_label, y_label: what the axes mean.
    """

    title: str
    methods: Sequence[str]
    places: FloatArray
    bands: Mapping[str, tuple[FloatArray, FloatArray]]
    x_label: str
    y_label: str


@dataclass(frozen=True, eq=False)
class RankPanel:
    """Mean ranks of several methods.

    Attributes:
        title: above them.
        methods: (M) names.
        means: their mean ranks (M,).
        distance: how far apart those lie that can be told apart.
    """

    title: str
    methods: Sequence[str]
    means: FloatArray
    distance: float


def curves_figure(panel: CurvePanel, *, axes: Axes | None = None) -> Figure:
    """The curves of one metric, with a legend beside them.

    Args:
        panel: what is drawn.
        axes: where; None: a new figure.
    """
    if axes is not None:
        _draw_curves(axes, panel)
        axes.legend(handles=_legend(panel), fontsize=TEXT_SIZE, frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1.0))
        readable(axes)
        return figure_of(axes)
    return _page([_curves_block(panel)])


def agreement_figure(methods: Sequence[str], agreement: FloatArray, *, axes: Axes | None = None) -> Figure:
    """A matrix of the agreement of each two methods (M, M), from -1 to 1; columns are numbered as the rows."""
    if axes is not None:
        _draw_agreement(axes, methods, agreement)
        readable(axes)
        return figure_of(axes)
    return _page([_agreement_block(methods, agreement)])


def ranks_figure(panel: RankPanel, *, axes: Axes | None = None) -> Figure:
    """A critical-difference diagram: the best on the left; a bar joins methods that are not told apart."""
    if axes is not None:
        _draw_ranks(axes, panel)
        readable(axes)
        return figure_of(axes)
    return _page([_ranks_block(panel)])


def comparison_figure(
    curves: Sequence[CurvePanel],
    methods: Sequence[str],
    agreement: FloatArray,
    ranks: Sequence[RankPanel],
    *,
    note: str = "",
    axes: AxesLike | None = None,
) -> Figure:
    """All of them below each other, under a note if there is one; or each on one of the axes, in this order, without the note.

    Raises:
        InputError: another number of axes.
    """
    if axes is not None:
        listed = listed_axes(axes, len(curves) + 1 + len(ranks), "parts: the curves, the agreement, the ranks")
        for each, panel in zip(listed, curves, strict=False):
            curves_figure(panel, axes=each)
        for each, diagram in zip(listed[len(curves) + 1 :], ranks, strict=True):
            ranks_figure(diagram, axes=each)
        return agreement_figure(methods, agreement, axes=listed[len(curves)])
    return _page([*map(_curves_block, curves), _agreement_block(methods, agreement), *map(_ranks_block, ranks)], note)


# A page is a pile of blocks, whose sizes are known before anything is drawn, so that names of any length fit and nothing overlaps.


@dataclass(frozen=True)
class _Block:
    """Something to draw, and the room that it needs, in inches: its own, and to its left, right and below for labels."""

    title: str
    width: float
    height: float
    draw: Callable[[Figure, Axes], None]
    left: float = 0.0
    right: float = 0.0
    below: float = 0.0

    @property
    def whole_width(self) -> float:
        return max(self.left + self.width + self.right, len(self.title) * _LETTER * 1.15)


def _page(blocks: Sequence[_Block], note: str = "") -> Figure:
    titles = _LETTER * 1.15
    width = 2 * _MARGIN + max(*(block.whole_width for block in blocks), len(note) * titles)
    height = _MARGIN + sum(_TITLE + block.height + block.below + _MARGIN for block in blocks) + (_TITLE if note else 0.0)
    figure = Figure(figsize=(width, height), dpi=DOTS)
    top = height - _MARGIN
    if note:
        figure.text(_MARGIN / width, top / height, note, fontsize=TEXT_SIZE + 1.5, va="top", color=_WARNING, parse_math=False)
        top -= _TITLE
    for block in blocks:
        figure.text(_MARGIN / width, top / height, block.title, fontsize=TEXT_SIZE + 1.5, va="top", weight="bold", parse_math=False)
        bottom = top - _TITLE - block.height
        box = ((_MARGIN + block.left) / width, bottom / height, block.width / width, block.height / height)
        block.draw(figure, figure.add_axes(box))
        top = bottom - block.below - _MARGIN
    readable(figure)
    return figure


def _longest(names: Sequence[str]) -> float:
    return max(map(len, names)) * _LETTER


# Curves


def _curves_block(panel: CurvePanel) -> _Block:
    handles = _legend(panel)

    def draw(figure: Figure, axes: Axes) -> None:
        _draw_curves(axes, panel)
        axes.set_title("")
        axes.legend(handles=handles, fontsize=TEXT_SIZE, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0.0)

    right = _longest([str(handle.get_label()) for handle in handles]) + 0.6
    height = max(_CURVES_HEIGHT, len(handles) * _LINE + 0.1)
    return _Block(panel.title, _CURVES_WIDTH, height, draw, _CURVES_LEFT, right, _CURVES_BELOW)


def _draw_curves(axes: Axes, panel: CurvePanel) -> None:
    for order, (means, ends) in panel.bands.items():
        for place, (mean, band) in enumerate(zip(means, ends, strict=True)):
            colour = _colour(place, panel.methods)
            axes.plot(panel.places, mean, color=colour, linestyle=_STYLES.get(order, "-"), linewidth=1.4)
            axes.fill_between(panel.places, band[:, 0], band[:, 1], color=colour, alpha=0.15, linewidth=0)
    axes.set_title(panel.title, fontsize=TEXT_SIZE + 1.5, parse_math=False)
    axes.set_xlabel(panel.x_label, fontsize=TEXT_SIZE, parse_math=False)
    axes.set_ylabel(panel.y_label, fontsize=TEXT_SIZE, parse_math=False)
    axes.tick_params(labelsize=TEXT_SIZE)
    axes.spines[["top", "right"]].set_visible(False)
    if np.array_equal(panel.places, np.round(panel.places)):
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _legend(panel: CurvePanel) -> list[Line2D]:
    """A line for each method, and for each order if there are two."""
    methods = [Line2D([], [], color=_colour(place, panel.methods), label=name) for place, name in enumerate(panel.methods)]
    orders = [Line2D([], [], color="black", linestyle=_STYLES[order], label=_ORDERS[order]) for order in panel.bands if order in _ORDERS]
    return [*methods, *(orders if len(orders) > 1 else [])]


def _colour(place: int, methods: Sequence[str]) -> Any:
    """Of a method; the baseline is gray. Both are seen on white and on black."""
    if methods[place] == "random_uniform":
        return "#8a8a8a"
    colours = [colour for number, colour in enumerate(colormaps["tab10" if len(methods) <= 10 else "tab20"].colors) if number % 10 != 7]  # type: ignore[attr-defined]
    return colours[place % len(colours)]


# The matrix


def _agreement_block(methods: Sequence[str], agreement: FloatArray) -> _Block:
    side = len(methods) * _CELL

    def draw(figure: Figure, axes: Axes) -> None:
        _draw_agreement(axes, methods, agreement)
        axes.set_title("")
        left, bottom, width, height = axes.get_position().bounds
        bar = figure.add_axes((left + width + 0.2 / figure.get_figwidth(), bottom, _BAR / figure.get_figwidth(), height))
        figure.colorbar(ScalarMappable(_AGREEMENT, _MAP), cax=bar, ticks=[-1, -0.5, 0, 0.5, 1])
        bar.tick_params(labelsize=TEXT_SIZE)

    left = _longest(methods) + 0.45
    return _Block(_AGREEMENT_TITLE, side, side, draw, left, 0.2 + _BAR + _BAR_LABELS, 0.3)


_AGREEMENT_TITLE = "agreement: rank correlation of the maps, mean over samples"
_AGREEMENT, _MAP = Normalize(-1.0, 1.0), "PRGn"
_DARK = 0.7  # beyond it a cell is so dark that letters on it are white


def _draw_agreement(axes: Axes, methods: Sequence[str], agreement: FloatArray) -> None:
    axes.imshow(agreement, cmap=_MAP, norm=_AGREEMENT)
    numbers = range(len(methods))
    axes.set_yticks(numbers, [f"{name}  {place + 1}" for place, name in enumerate(methods)], fontsize=TEXT_SIZE)
    axes.set_xticks(numbers, [str(place + 1) for place in numbers], fontsize=TEXT_SIZE)
    axes.tick_params(length=0)
    axes.set_title(_AGREEMENT_TITLE, fontsize=TEXT_SIZE + 1.5)
    for row, column in np.ndindex(*agreement.shape):
        value = agreement[row, column]
        said = f"{value:.2f}".replace("-0.00", "0.00") if np.isfinite(value) else "–"
        colour = "#ffffff" if abs(value) > _DARK else "#111111"
        axes.text(column, row, said, fontsize=TEXT_SIZE - 1, ha="center", va="center", color=colour)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)


# Critical differences


def _ranks_block(panel: RankPanel) -> _Block:
    lines = -(-len(panel.methods) // 2)
    bars = len(_cliques(np.sort(panel.means), panel.distance))
    height = _RANKS_ABOVE + bars * _RANKS_BAR + lines * _RANKS_STEP
    width = _RANKS_WIDTH + 2 * (_longest(panel.methods) + 0.75)
    return _Block(panel.title, width, height, lambda figure, axes: _draw_ranks(axes, panel, is_titled=False))


def _draw_ranks(axes: Axes, panel: RankPanel, is_titled: bool = True) -> None:
    """In units of an inch downwards, and of ranks to the right."""
    order = np.argsort(panel.means, kind="stable")
    means, names = panel.means[order], [panel.methods[place] for place in order]
    cliques = _cliques(means, panel.distance)
    most = len(names)
    beyond = (most - 1) * (_longest(names) + 0.75) / _RANKS_WIDTH
    axes.set_xlim(1 - beyond, most + beyond)
    first = _RANKS_ABOVE + len(cliques) * _RANKS_BAR
    axes.set_ylim(first + -(-most // 2) * _RANKS_STEP, 0)
    axes.set_axis_off()
    if is_titled:
        axes.set_title(panel.title, fontsize=TEXT_SIZE + 1.5, parse_math=False)
    _draw_scale(axes, most, panel.distance)
    for number, (low, high) in enumerate(cliques):
        axes.plot(
            [means[low] - 0.02 * most / 4, means[high] + 0.02 * most / 4],
            [_AXIS + 0.13 + number * _RANKS_BAR] * 2,
            linewidth=3.5,
            color="#8a8a8a",
        )
    half = -(-most // 2)
    for place, (mean, name) in enumerate(zip(means, names, strict=True)):
        is_left = place < half
        line = place if is_left else most - 1 - place
        _draw_name(axes, mean, name, first + (line + 0.3) * _RANKS_STEP, 1 - 0.02 * most if is_left else most + 0.02 * most, is_left)


_AXIS = 0.72
"""How far below the top the scale lies."""


def _draw_scale(axes: Axes, most: int, distance: float) -> None:
    axes.plot([1, most], [_AXIS] * 2, color="black", linewidth=1)
    for rank in range(1, most + 1):
        axes.plot([rank, rank], [_AXIS - 0.06, _AXIS], color="black", linewidth=1)
        axes.text(rank, _AXIS - 0.09, str(rank), fontsize=TEXT_SIZE, ha="center", va="bottom")
    if np.isfinite(distance):
        end = 1 + min(distance, most - 1)
        axes.plot([1, 1, 1, end, end, end], [0.2, 0.3, 0.25, 0.25, 0.2, 0.3], color="black", linewidth=1)
        beyond = " (longer than the scale)" if distance > most - 1 else ""
        axes.text(1, 0.15, f"critical difference {distance:.2f}{beyond}", fontsize=TEXT_SIZE, ha="left", va="bottom")


def _draw_name(axes: Axes, mean: float, name: str, y: float, x: float, is_left: bool) -> None:
    axes.plot([mean, mean, x], [_AXIS, y, y], color="black", linewidth=0.8)
    said = f"{name}  {mean:.2f}" if is_left else f"{mean:.2f}  {name}"
    side = "right" if is_left else "left"
    axes.text(x, y, f"{said} " if is_left else f" {said}", fontsize=TEXT_SIZE, ha=side, va="center_baseline", parse_math=False)


def _cliques(means: FloatArray, distance: float) -> list[tuple[int, int]]:
    """First and last of the methods, by rising mean rank, within less than a critical difference; each set that no other one holds.

    >>> _cliques(np.array([1.0, 1.5, 2.2, 4.0]), 1.0)
    [(0, 1), (1, 2)]
    """
    found: list[tuple[int, int]] = []
    for low, mean in enumerate(means):
        high = int(np.flatnonzero(means - mean < distance).max())
        if high > low and (not found or high > found[-1][1]):
            found.append((low, high))
    return found
