"""Pages of panels: rows below each other under their headings, and the scale of the colours at the foot."""

import io
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from signxai.common.errors import InputError
from signxai.figures.glyphs import readable
from signxai.figures.lines import in_lines
from signxai.figures.own_axes import bar_below, broken, letters, width_of
from signxai.figures.places import AxesLike, Box, BoxOfPage, GivenAxes, Place, figure_of, listed_axes
from signxai.figures.relevance_colours import TEXT_SIZE
from signxai.methods.sign_words import ends, hint

__all__ = [
    "DOTS",
    "HIGHEST",
    "SCALE",
    "TEXT_SIZE",
    "Page",
    "PageError",
    "Panel",
    "PanelSize",
    "Row",
    "bar_label",
    "check_height",
    "hinted",
    "page_of",
]

# Lengths are in inches; font sizes are in points, 72 to the inch.
DOTS = 150  # per inch
_MARGIN, _GAP = 0.24, 0.16
_BAR_WIDTH, _BAR_HEIGHT, _BAR_LABELS = 4.6, 0.14, 0.68
_NARROW_BAR = 1.6  # has no room for five numbers
_HEADING_SIZE, _TITLE_SIZE = 12.0, 10.0
_LINE_HEIGHT = 1.4 / 72  # of a line of text, per point of its size
_LETTER_WIDTH = 0.6 / 72  # of a letter, on the wide side, per point of its size

SCALE = Normalize(-1.0, 1.0)
"""Of relevance that `normalize_relevance_map` has brought to [-1, 1]."""

HIGHEST = 100.0
"""Inches of the highest figure of several samples that is drawn; more goes on several pages."""


class PageError(InputError):
    """A page would be higher than any is drawn."""


class Page(Figure):
    """A figure that a notebook shows where it is the last word of a cell."""

    def _repr_png_(self) -> bytes:
        written = io.BytesIO()
        self.savefig(written, format="png")
        return written.getvalue()


@dataclass(frozen=True)
class Panel:
    """What is drawn in one place: a title, a line below it if there is more to say, and how to fill a place."""

    title: str
    draw: Callable[[Place], None]
    note: str = ""
    is_input: bool = False


@dataclass(frozen=True)
class PanelSize:
    """Width and height of what is drawn, with room for labels to the left and below."""

    width: float
    height: float
    left: float = 0.0
    below: float = 0.0


@dataclass(frozen=True)
class Row:
    """Panels of one size side by side, or in several lines, under a heading; or one that goes on below the row before it."""

    heading: str
    panels: Sequence[Panel]
    size: PanelSize
    goes_on: bool = False


def hinted(panels: Iterable[Panel], turned: Collection[str], methods: Sequence[str], of_all: Sequence[bool]) -> list[Panel]:
    """Panels of a sample, under their methods' names, with what the sides of each mean where the bar below all ``methods``, of which
    ``of_all`` says whose signs are turned, says another thing."""
    found = []
    for panel in panels:
        said = "" if panel.is_input else hint(panel.title, panel.title in turned, methods, of_all)
        found.append(replace(panel, note="\n".join(filter(None, (panel.note, said)))))
    return found


def bar_label(percentile: float, each: str = "each map", more: str = "", turned: Iterable[bool] = (), methods: Iterable[str] = ()) -> str:
    """What the colours mean, in two lines; of each map whether its signs are turned, and by which method it is."""
    return f"{ends(turned, methods)}\n({each} divided by the {percentile:g} % quantile of its |R|{more})"


# Where it is drawn. The page is a pile of bands whose heights are added up before anything is drawn,
# so that neither long names nor many rows can make two things overlap.


@dataclass(frozen=True)
class _Band:
    height: float
    draw: Callable[["_Page", float], None]  # given the band's bottom, in inches


@dataclass(frozen=True)
class _Page:
    figure: Figure
    width: float
    height: float

    def box(self, left: float, bottom: float, width: float, height: float) -> Box:
        return left / self.width, bottom / self.height, width / self.width, height / self.height

    def write(self, text: str, x: float, y: float, size: float, **style: Any) -> None:
        # A dollar sign in a file's name is no formula.
        self.figure.text(x / self.width, y / self.height, text, fontsize=size, parse_math=False, **style)


def page_of(rows: Sequence[Row], label: str, cmap: str, axes: AxesLike | None = None) -> Figure:
    """Draw the rows below each other, and below them the colour bar with its label; or the panels on axes that are there.

    Raises:
        PageError: the page would be too high.
        InputError: there are as many axes neither as panels nor as panels without the inputs.
    """
    if axes is not None:
        return _drawn_on(axes, [panel for row in rows for panel in row.panels], label, cmap)
    columns = _columns(max(len(row.panels) for row in rows), len(rows))
    widest = max(row.size.left + row.size.width for row in rows)
    width = max(2 * _MARGIN + columns * (widest + _GAP) - _GAP, 2 * _MARGIN + _BAR_WIDTH)
    bands = [_space(_MARGIN)]
    for row in rows:
        if row is not rows[0] and not row.goes_on:
            bands.append(_space(2 * _GAP))
        bands.append(_heading_band(row.heading, width))
        for first in range(0, len(row.panels), columns):
            bands += _panel_bands(row.panels[first : first + columns], row.size)
    bands.append(_bar_band(label, cmap))
    height = sum(band.height for band in bands)
    check_height(height, sum(not row.goes_on for row in rows))
    page = _Page(Page(figsize=(width, height), dpi=DOTS), width, height)
    for band in bands:
        height -= band.height
        band.draw(page, height)
    readable(page.figure)
    return page.figure


def check_height(height: float, samples: int) -> None:
    """Refuse a page of several samples that is too high in inches; a sample alone has the height that it needs.

    Raises:
        PageError: it is.
    """
    if height > HIGHEST and samples > 1:
        raise PageError(
            f"{samples} samples on one page make it {height:.0f} inches high, and {HIGHEST:g} is the most; "
            "signxai.figures.paging.pages draws them on several"
        )


def _drawn_on(axes: AxesLike, panels: Sequence[Panel], label: str, cmap: str) -> Figure:
    """Draw panels on axes, the inputs only where there are axes for them, and one colour bar below them all."""
    maps = [panel for panel in panels if not panel.is_input]
    chosen = maps if isinstance(axes, Axes) or len(np.ravel(np.asarray(axes, dtype=object))) == len(maps) else panels
    size = letters()
    listed = listed_axes(axes, len(chosen), f"panels ({', '.join(panel.title for panel in chosen)})")
    for each, panel in zip(listed, chosen, strict=True):
        panel.draw(GivenAxes(each, size))
        title = "\n".join(filter(None, (panel.title, panel.note)))
        each.set_title(broken(title, width_of([each]), TEXT_SIZE * size), fontsize=TEXT_SIZE * size, pad=3.0, parse_math=False)
    bar = bar_below(listed, ScalarMappable(SCALE, cmap), label, TEXT_SIZE * size, between=2)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1] if width_of([bar.ax]) > _NARROW_BAR * size else [-1, 0, 1])
    readable(*listed)
    return figure_of(listed[0])


def _columns(panels: int, rows: int) -> int:
    """How many panels stand side by side: few enough that their titles stay readable on a screen.

    >>> [_columns(panels, rows=1) for panels in (2, 4, 5, 9, 10)]
    [2, 4, 3, 3, 4]
    """
    if rows > 1:
        return min(panels, 5)
    return panels if panels <= 4 else math.ceil(math.sqrt(panels))


def _space(height: float) -> _Band:
    return _Band(height, lambda page, bottom: None)


def _heading_band(text: str, width: float) -> _Band:
    lines = in_lines(text, int((width - 2 * _MARGIN) / (_LETTER_WIDTH * _HEADING_SIZE)))
    height = len(lines) * _LINE_HEIGHT * _HEADING_SIZE

    def draw(page: _Page, bottom: float) -> None:
        page.write("\n".join(lines), _MARGIN, bottom + height, _HEADING_SIZE, va="top", weight="bold")

    return _Band(height, draw)


def _panel_bands(panels: Sequence[Panel], size: PanelSize) -> list[_Band]:
    titles = ["\n".join(_title(line, size.width) for line in (panel.title, *panel.note.splitlines())) for panel in panels]
    title_height = max(title.count("\n") + 1 for title in titles) * _LINE_HEIGHT * _TITLE_SIZE

    def left(column: int) -> float:
        return _MARGIN + column * (size.left + size.width + _GAP) + size.left

    def draw_titles(page: _Page, bottom: float) -> None:
        for column, title in enumerate(titles):
            page.write(title, left(column) + size.width / 2, bottom + 0.04, _TITLE_SIZE, ha="center", va="bottom")

    def draw_panels(page: _Page, bottom: float) -> None:
        for column, panel in enumerate(panels):
            panel.draw(BoxOfPage(page.figure, page.box(left(column), bottom + size.below, size.width, size.height)))

    return [_Band(title_height + 0.08, draw_titles), _Band(size.height + size.below, draw_panels), _space(_GAP)]


def _title(name: str, width: float) -> str:
    """Break a name into lines that fit the width.

    >>> print(_title("lrpsign_epsilon_0_25_std_x_mu_0_5", 2.0))
    lrpsign_epsilon_0_25_
    std_x_mu_0_5
    """
    return "\n".join(in_lines(name, int(width / (_LETTER_WIDTH * _TITLE_SIZE))))


def _bar_band(label: str, cmap: str) -> _Band:
    def draw(page: _Page, bottom: float) -> None:
        axes = page.figure.add_axes(page.box((page.width - _BAR_WIDTH) / 2, bottom + _BAR_LABELS, _BAR_WIDTH, _BAR_HEIGHT))
        bar = page.figure.colorbar(ScalarMappable(SCALE, cmap), cax=axes, orientation="horizontal", ticks=[-1, -0.5, 0, 0.5, 1])
        bar.ax.tick_params(labelsize=TEXT_SIZE)
        bar.set_label(label, fontsize=TEXT_SIZE)

    return _Band(_BAR_HEIGHT + _BAR_LABELS + 0.05, draw)
