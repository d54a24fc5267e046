"""How the paper and the traces of an ECG figure are drawn."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullFormatter, NullLocator

from signxai.common.visualization import FloatArray
from signxai.figures.ecg_beat_labels import SMALL, labels_above, with_headroom
from signxai.figures.ecg_layout import MAJOR, PULSE_ROOM, SPEED, Cell, Drawing, Sheet, scale_of
from signxai.figures.ecg_recording import Recording
from signxai.figures.glyphs import readable
from signxai.figures.own_axes import bar_below, broken, letters, width_of
from signxai.figures.relevance_colours import TEXT_SIZE, beyond, meaning, number_bar

__all__ = ["TITLE_SIZE", "draw", "draw_on", "longest_side_name", "time_label"]

# Millimetres of the paper
_MINOR = 1.0
_PULSE_START, _PULSE_WIDTH = 2.5, 5.0

# Millimetres of the figure
_SMALLEST_WITH_MINOR_LINES = 0.7
_NAME_SIZE, TITLE_SIZE = 10.0, 12.0
_COLOUR_WIDTH = 3.0  # of the broad line, in points, 72 to the inch
_TIME_STEPS = (0.2, 0.4, 1, 2, 5, 10, 20)  # seconds
_TIME_LABEL = 12.0
_NARROW_BAR = 2.0  # inches: it has no room for five numbers
_NO_SIGNAL, _NO_LEAD = "no signal", "not recorded"
_NOTE: dict[str, Any] = {"style": "italic", "color": "0.35"}

_MAJOR_COLOUR, _MINOR_COLOUR = "#eab8b0", "#f8e2de"


def draw_on(axes: Axes, drawing: Drawing, title: str) -> None:
    """Draw on axes that are there, in the size that they have."""
    size = letters()
    drawing = replace(drawing, letters=size)
    sheet, recording, norm = drawing.sheet, drawing.recording, drawing.norm
    width = width_of([axes])
    axes.set_title(broken(title, width, TITLE_SIZE * size), fontsize=TITLE_SIZE * size, weight="bold", parse_math=False)
    if norm is not None and recording.relevance is not None:
        lines = 2 + time_label(drawing, 0.5, width).count("\n")
        of_bar = (
            ScalarMappable(norm, drawing.cmap),
            meaning(recording.relevance, drawing.is_turned, drawing.method),
            TEXT_SIZE * size,
            lines,
        )
        bar = bar_below([axes], *of_bar, beyond(recording.relevance, norm))
        number_bar(bar, norm, (-1, -0.5, 0, 0.5, 1) if width_of([bar.ax]) > _NARROW_BAR * size else (-1, 0, 1))
    # Text makes the paper higher, and that makes the scale smaller.
    scale = scale_of(axes, with_headroom(drawing, scale_of(axes, sheet)))
    draw(axes, replace(drawing, sheet=with_headroom(drawing, scale)), scale, width)
    readable(axes)


def draw(axes: Axes, drawing: Drawing, scale: float, width: float) -> None:
    """Draw paper, traces, relevance and beats at so many millimetres of the figure for one of the paper.

    Args:
        axes, drawing, scale: what is drawn, and how large.
        width: of what stands below it, in inches.
    """
    sheet = drawing.sheet
    _draw_paper(axes, sheet, scale)
    axes.tick_params(which="both", length=0, labelsize=TEXT_SIZE * drawing.letters)
    _label_time(axes, drawing, scale)
    axes.set_xlabel(time_label(drawing, scale, width), fontsize=TEXT_SIZE * drawing.letters, parse_math=False)
    for cell in sheet.cells:
        _draw_cell(axes, cell, drawing, scale)
        _name_cell(axes, cell, drawing, scale)
        if cell.marked:
            _mark_beats(axes, cell, drawing, scale)


def _draw_paper(axes: Axes, sheet: Sheet, scale: float) -> None:
    axes.set(xlim=(0, sheet.width), ylim=(0, sheet.height), aspect="equal", facecolor="white")
    for axis in (axes.xaxis, axes.yaxis):
        phase = sheet.phase if axis is axes.xaxis else 0.0
        axis.set_major_locator(MultipleLocator(MAJOR, offset=phase))
        axis.set_minor_locator(MultipleLocator(_MINOR, offset=phase % _MINOR) if scale >= _SMALLEST_WITH_MINOR_LINES else NullLocator())
    axes.yaxis.set_major_formatter(NullFormatter())
    axes.grid(which="major", color=_MAJOR_COLOUR, linewidth=0.7)
    axes.grid(which="minor", color=_MINOR_COLOUR, linewidth=0.5)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(_MAJOR_COLOUR)


def _label_time(axes: Axes, drawing: Drawing, scale: float) -> None:
    sheet = drawing.sheet
    room = _TIME_LABEL * drawing.letters
    step = next((step for step in _TIME_STEPS if step * SPEED * scale >= room), _TIME_STEPS[-1])

    def label(x: float, _: int) -> str:
        for stretch in sheet.stretches:
            seconds = round((x - stretch.left) / SPEED, 6)
            time = stretch.start + seconds
            if 0 <= seconds <= round(stretch.seconds, 6) and math.isclose(time / step, round(time / step), abs_tol=1e-4):
                return f"{round(time, 3) or 0.0:.10g}"  # no minus sign before 0
        return ""

    axes.xaxis.set_major_formatter(FuncFormatter(label))


def time_label(drawing: Drawing, scale: float, width: float) -> str:
    """What the axis of time means, and what is not shown, in lines of a width in inches."""
    sheet, gain, recording = drawing.sheet, drawing.gain, drawing.recording
    time = "time from the start of the row (s)" if sheet.wrapped else recording.time_label
    size = "" if math.isclose(scale, 1.0, abs_tol=0.005) else f"; drawn at {scale:.2g} times its size"
    of_unit = f"{gain:.3g} mm/mV" if recording.unit == "mV" else f"{gain:.3g} mm per {recording.unit}"
    said = f"{time}; {SPEED:g} mm/s, {of_unit}{size}"
    return broken("\n".join(filter(None, (said, drawing.notice))), width, TEXT_SIZE * drawing.letters)


def _draw_cell(axes: Axes, cell: Cell, drawing: Drawing, scale: float) -> None:
    sheet, recording, gain, norm = drawing.sheet, drawing.recording, drawing.gain, drawing.norm
    baseline = sheet.baseline(cell.row)
    trace = np.full(1, np.nan) if cell.lead is None else recording.traces[cell.lead, cell.first : cell.stop]
    if np.isnan(trace).all():
        width = SPEED * (cell.stop - cell.first) / recording.sampling_rate
        axes.text(
            cell.left + width / 2,
            baseline,
            _NO_LEAD if cell.lead is None else _NO_SIGNAL,
            ha="center",
            va="center",
            fontsize=TEXT_SIZE * drawing.letters,
            **_NOTE,
        )
        return
    if recording.unit == "mV" and cell.left == PULSE_ROOM:
        _draw_pulse(axes, baseline, gain)
    time = np.arange(cell.stop - cell.first) / recording.sampling_rate
    points = np.stack([cell.left + SPEED * time, baseline + gain * trace], axis=-1)
    lines = min(max(scale, 0.7), 1.0)  # on reduced paper broad lines would run into each other
    style: dict[str, Any] = {"marker": ".", "markersize": 2} if len(points) == 1 else {}
    axes.plot(*points.T, color="black", linewidth=0.8 if norm is None else 0.5 * lines, zorder=3, **style)
    if norm is not None and recording.relevance is not None and cell.lead is not None:
        _colour_trace(axes, points, recording.relevance[cell.lead, cell.first : cell.stop], norm, drawing.cmap, _COLOUR_WIDTH * lines)


def _colour_trace(axes: Axes, points: FloatArray, relevance: FloatArray, norm: Normalize, cmap: str, width: float) -> None:
    """Lay a broad line under the trace: each sample colours the halves of the steps to its neighbours."""
    middles = (points[:-1] + points[1:]) / 2
    pieces = np.stack([np.concatenate([points[:1], middles]), points, np.concatenate([middles, points[-1:]])], axis=1)
    pieces = np.where(np.isnan(pieces), points[:, None], pieces)  # beside a gap there is only one half
    # Pieces overlap where samples are dense: the strongest relevance is drawn last, so that no neighbour hides it.
    order = np.argsort(np.abs(relevance), kind="stable")
    order = order[~np.isnan(points[order, 1])]
    line = LineCollection(list(pieces[order]), array=relevance[order], cmap=cmap, norm=norm, linewidths=width, capstyle="round", zorder=2)
    axes.add_collection(line, autolim=False)


def _draw_pulse(axes: Axes, baseline: float, gain: float) -> None:
    """The calibration pulse: 1 mV for 0.2 s."""
    left, right = _PULSE_START, _PULSE_START + _PULSE_WIDTH
    axes.plot([0, left, left, right, right, PULSE_ROOM], baseline + gain * np.array([0, 0, 1, 1, 0, 0]), color="black", linewidth=0.8)


def _name_cell(axes: Axes, cell: Cell, drawing: Drawing, scale: float) -> None:
    sheet, recording = drawing.sheet, drawing.recording
    style: dict[str, Any] = {"fontsize": _NAME_SIZE * drawing.letters, "weight": "bold", "parse_math": False}
    if sheet.in_columns:
        left = 0.0 if cell.left == PULSE_ROOM else cell.left
        axes.text(left + 1 / scale, sheet.top(cell.row) - 0.5 / scale, cell.name, va="top", **style)
        if cell.left > PULSE_ROOM:
            axes.vlines(cell.left, sheet.baseline(cell.row) - 2, sheet.baseline(cell.row) + 2, color="black", linewidth=0.8)
    else:
        text = "\n".join(_side_name(cell, sheet, recording))
        axes.text(-1.5 / scale, sheet.baseline(cell.row), text, ha="right", va="center", **style)


def longest_side_name(sheet: Sheet, recording: Recording) -> int:
    """Letters of the longest line beside the paper."""
    return max(len(line) for cell in sheet.cells for line in _side_name(cell, sheet, recording))


def _side_name(cell: Cell, sheet: Sheet, recording: Recording) -> list[str]:
    """Lines beside the row: the lead's name and, where the signal goes on in further rows, when this one starts."""
    time = f"{round(recording.start + cell.first / recording.sampling_rate, 2):.10g} s"
    return [cell.name, *([time] if sheet.wrapped and cell.marked else [])]


def _mark_beats(axes: Axes, cell: Cell, drawing: Drawing, scale: float) -> None:
    """A triangle above each R peak, and above them the labels, in as many lines as they need."""
    sheet = drawing.sheet
    positions = [x for x, _ in cell.beats(drawing.beats, drawing.recording.sampling_rate)]
    if not positions:
        return
    row = sheet.rows[cell.row]
    y = sheet.baseline(cell.row) + row.above - row.headroom + 1 / scale
    axes.plot(positions, [y] * len(positions), linestyle="none", marker="v", markersize=4, color="black")
    found = labels_above(cell, drawing, scale)
    for label in found.labels:
        place = label.x, y + (1 + found.line_height * label.line) / scale
        size = TEXT_SIZE * drawing.letters * (SMALL if found.small else 1.0)
        axes.text(*place, label.text, ha="center", va="bottom", fontsize=size, parse_math=False)
