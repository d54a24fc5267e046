"""Panels of ECGs above each other on a page, with their titles and colour bars."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from signxai.figures.ecg_beat_labels import LETTER, LINE, with_headroom
from signxai.figures.ecg_drawing import TITLE_SIZE, draw, longest_side_name, time_label
from signxai.figures.ecg_layout import INCH, Drawing
from signxai.figures.glyphs import readable
from signxai.figures.lines import in_lines
from signxai.figures.pages import SCALE, check_height
from signxai.figures.relevance_colours import TEXT_SIZE, beyond, label_bar

__all__ = ["Block", "Panel", "SharedBar", "page", "panel"]

# Millimetres of the figure
_MARGIN = 4.0
_TIME_AXIS, _BAR_BAND, _BAR_WIDTH, _BAR_HEIGHT, _BAR_LABELS = 13.0, 18.0, 100.0, 3.5, 12.0
_METHOD_SIZE = 10.0
_PAGE_WIDTH, _PANEL_GAP = 300.0, 4.0
_DOTS = 150  # per inch
_SHARED_BAND, _SHARED_LABELS = 22.0, 17.0


@dataclass(frozen=True)
class Panel:
    """A drawing at a scale, with its title above and its colour bar below: a box of the figure, in the figure's millimetres."""

    drawing: Drawing
    scale: float
    title: Sequence[str]
    title_style: Mapping[str, Any]
    left: float
    width: float
    head: float
    foot: float
    has_bar: bool = True

    @property
    def height(self) -> float:
        return self.head + self.drawing.sheet.height * self.scale + self.foot


def panel(drawing: Drawing, scale: float, title: str, *, of_several: bool = False, has_bar: bool = True, hint: str = "") -> Panel:
    """Give a drawing its place for text; the title of one of several is smaller than the heading above them all.

    Without a colour bar of its own, a line under the title says at which relevance its colours end, and one what its sides stand for where
    the bar of them all says another thing, by ``hint``.
    """
    drawing = replace(drawing, sheet=with_headroom(drawing, scale))
    sheet = drawing.sheet
    left = _MARGIN if sheet.in_columns else 2 * _MARGIN + LETTER * longest_side_name(sheet, drawing.recording)
    width = max(left + sheet.width * scale + 2 * _MARGIN, _BAR_WIDTH + 4 * _MARGIN)
    size = _METHOD_SIZE if of_several else TITLE_SIZE
    lines = _in_lines(title, width - 2 * _MARGIN, size)
    if drawing.norm is not None and not has_bar:
        lines += [f"colours end at ±{drawing.norm.vmax:.2g}", *filter(None, (hint,))]
    style = {"fontsize": size, **({} if of_several else {"weight": "bold"})}
    more_lines = time_label(drawing, scale, (width - _MARGIN) / INCH).count("\n")
    foot = _TIME_AXIS + LINE * more_lines + (_BAR_BAND if drawing.norm and has_bar else 0.0)
    return Panel(drawing, scale, lines, style, left, width, _MARGIN + _height_of(lines, size), foot, has_bar)


@dataclass(frozen=True)
class Block:
    """Panels under a heading, beside each other as far as the page is wide, then below."""

    heading: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class SharedBar:
    """One colour bar below all papers."""

    label: str
    cmap: str


def page(blocks: Sequence[Block], shared: SharedBar | None = None) -> list[Axes]:
    """Draw blocks below each other on a figure of their own, and one colour bar below them if they share it.

    Returns:
        The axes of each paper, in order.

    Raises:
        PageError: several blocks together would be too high.
    """
    widest = max(panel.width for block in blocks for panel in block.panels)
    columns = min(max(1, int((_PAGE_WIDTH + _PANEL_GAP) // (widest + _PANEL_GAP))), max(len(block.panels) for block in blocks))
    width = columns * (widest + _PANEL_GAP) - _PANEL_GAP
    bands = [band for block in blocks for band in _bands(block, width, columns)]
    height = sum(band.height for band in bands) + (_SHARED_BAND if shared else 0.0)
    check_height(height / INCH, len(blocks))
    figure = Figure(figsize=(width / INCH, height / INCH), dpi=_DOTS)
    axes, top = [], height
    for band in bands:
        if band.heading:
            style: dict[str, Any] = {"fontsize": TITLE_SIZE, "weight": "bold", "va": "top", "parse_math": False}
            figure.text(_MARGIN / width, (top - _MARGIN) / height, "\n".join(band.heading), **style)
        for column, each in enumerate(band.panels):
            lower = max(other.head for other in band.panels) - each.head  # papers lie at one height, however many lines titles have
            axes.append(_draw_panel(figure, each, column * (widest + _PANEL_GAP), top - lower - each.height))
        top -= band.height
    if shared:
        box = (0.5 - _BAR_WIDTH / width / 2, _SHARED_LABELS / height, _BAR_WIDTH / width, _BAR_HEIGHT / height)
        bar = figure.colorbar(ScalarMappable(SCALE, shared.cmap), cax=figure.add_axes(box), orientation="horizontal", extend="both")
        bar.set_ticks([-1, -0.5, 0, 0.5, 1])
        bar.set_label(shared.label, fontsize=TEXT_SIZE)
        bar.ax.tick_params(labelsize=TEXT_SIZE)
    readable(figure)
    return axes


@dataclass(frozen=True)
class _Band:
    height: float
    heading: Sequence[str] = ()
    panels: Sequence[Panel] = ()


def _bands(block: Block, width: float, columns: int) -> Iterator[_Band]:
    if block.heading:
        lines = _in_lines(block.heading, width - 2 * _MARGIN, TITLE_SIZE)
        yield _Band(_MARGIN + _height_of(lines, TITLE_SIZE), heading=lines)
    for first in range(0, len(block.panels), columns):
        beside = block.panels[first : first + columns]
        yield _Band(max(each.head for each in beside) + max(each.height - each.head for each in beside), panels=beside)


def _in_lines(text: str, width: float, size: float) -> list[str]:
    """Break a text into lines of a width."""
    return in_lines(text, int(width / (LETTER * size / TEXT_SIZE)))


def _height_of(lines: Sequence[str], size: float) -> float:
    return len(lines) * LINE * size / TEXT_SIZE


def _draw_panel(figure: Figure, panel: Panel, left: float, bottom: float) -> Axes:
    """Draw the paper with its title above and the colour bar below."""
    width, height = figure.get_size_inches() * INCH
    drawing, scale = panel.drawing, panel.scale
    sheet, recording, norm = drawing.sheet, drawing.recording, drawing.norm
    if panel.title:
        middle, top = left + panel.width / 2, bottom + panel.height - _MARGIN / 2
        text = "\n".join(panel.title)
        figure.text(middle / width, top / height, text, ha="center", va="top", parse_math=False, **panel.title_style)
    box = left + panel.left, bottom + panel.foot, sheet.width * scale, sheet.height * scale
    axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
    if norm is not None and recording.relevance is not None and panel.has_bar:
        left += (panel.width - _BAR_WIDTH) / 2
        box = left, bottom + _BAR_LABELS, _BAR_WIDTH, _BAR_HEIGHT
        place: dict[str, Any] = {"orientation": "horizontal", "extend": beyond(recording.relevance, norm)}
        place["cax"] = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        bar = figure.colorbar(ScalarMappable(norm, drawing.cmap), **place)
        label_bar(bar, recording.relevance, norm, drawing.is_turned, drawing.method)
    draw(axes, drawing, scale, (panel.width - _MARGIN) / INCH)
    return axes
