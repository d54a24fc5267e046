"""The paper under an ECG figure: what stands where on it, how large it is drawn, and how it is drawn.

Positions on the paper are in its millimetres, so that a second is 25 of them and a millivolt 10; how large the paper itself is
drawn is another matter.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullFormatter, NullLocator

from signxai.common.errors import InputError, OptionError
from signxai.common.visualization import FloatArray, as_array
from signxai.figures.relevance_colours import TEXT_SIZE, beyond, label_bar, relevance_norm

__all__ = [
    "STANDARD_LEADS",
    "Block",
    "Drawing",
    "Panel",
    "Recording",
    "draw_on",
    "lay_out",
    "own_scale",
    "page",
    "panel",
    "recording_of",
    "usual_gain",
]

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

_LAYOUTS = ("clinical", "rows")
_LEAST_OF_CLINICAL = 8  # with fewer of the standard leads, most of the clinical layout would be empty
_COLUMNS, _COLUMN_ROWS = 4, 3
_COLUMN_SECONDS = 2.5
_ROW_SECONDS = (10, 20, 30, 60)
_MOST_ROWS = 24

_IN_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "μV": 1e-3, "V": 1e3}

# Millimetres of the paper
_SPEED = 25.0  # per second
_MAJOR, _MINOR = 5.0, 1.0
_PULSE_ROOM, _PULSE_START, _PULSE_WIDTH = 10.0, 2.5, 5.0
_COLUMN_GAP = 5.0
_TALLEST_TRACE, _USUAL_TRACE, _LEAST_REACH = 60.0, 25.0, 5.0

# Millimetres of the figure
_INCH = 25.4
_NARROWEST, _WIDEST, _TALLEST, _TALLEST_ENLARGED = 110.0, 290.0, 400.0, 180.0
_LARGEST_SCALE, _SMALLEST_WITH_MINOR_LINES = 6.0, 0.7
_MARGIN, _LETTER, _LINE = 4.0, 2.1, 4.5
_TIME_AXIS, _BAR_BAND, _BAR_WIDTH, _BAR_HEIGHT, _BAR_LABELS = 13.0, 18.0, 100.0, 3.5, 12.0
_NAME_SIZE, _TITLE_SIZE, _METHOD_SIZE = 10.0, 12.0, 10.0
_PAGE_WIDTH, _PANEL_GAP = 300.0, 4.0
_COLOUR_WIDTH = 3.0  # of the broad line, in points, 72 to the inch
_DOTS = 150  # per inch

_TIME_STEPS = (0.2, 0.4, 1, 2, 5, 10, 20)  # seconds
_TIME_LABEL = 12.0

_NO_SIGNAL, _NO_LEAD = "no signal", "not recorded"
_NOTE: dict[str, Any] = {"fontsize": TEXT_SIZE, "style": "italic", "color": "0.35"}

_MAJOR_COLOUR, _MINOR_COLOUR = "#eab8b0", "#f8e2de"


# What is drawn


@dataclass(frozen=True)
class Recording:
    """Traces (leads, samples) about their medians in the drawn unit, and what else is known of them."""

    traces: FloatArray
    relevance: FloatArray | None
    names: tuple[str, ...]
    unit: str
    sampling_rate: float
    start: float

    @property
    def samples(self) -> int:
        return len(self.traces[0])

    @property
    def seconds(self) -> float:
        return self.samples / self.sampling_rate


@dataclass(frozen=True)
class _Beat:
    sample: int
    label: str


def recording_of(
    signal: npt.ArrayLike, relevance: npt.ArrayLike | None, sampling_rate: float, lead_names: Sequence[str], units: str, start: float
) -> Recording:
    """Check a signal and its relevance, and bring them into the form that is drawn; the arguments are those of `plot_ecg`.

    Raises:
        InputError, OptionError: as `plot_ecg` does.
    """
    traces = _leads(signal, "signal")
    if np.isinf(traces).any():
        raise InputError("the signal has infinity in it; samples that are missing are NaN")
    names = tuple(lead_names) or _numbers(len(traces))
    if len(names) != len(traces):
        raise InputError(f"{len(names)} names for {len(traces)} leads")
    if len(set(names)) < len(names):
        raise InputError(f"lead_names={list(names)}: each name must be there once")
    if not math.isfinite(start):
        raise OptionError(f"start={start}: it must be finite")
    traces = traces * _IN_MILLIVOLTS.get(units, 1.0)
    present = ~np.isnan(traces).all(axis=1)
    traces[present] -= np.nanmedian(traces[present], axis=1, keepdims=True)
    unit = "mV" if units in _IN_MILLIVOLTS else units
    return Recording(traces, _relevance(relevance, traces), names, unit, _positive("sampling_rate", sampling_rate), start)


def _numbers(leads: int) -> tuple[str, ...]:
    return tuple(str(lead + 1) for lead in range(leads)) if leads > 1 else ("",)


def _leads(values: npt.ArrayLike, name: str) -> FloatArray:
    array: npt.NDArray[Any] = as_array(values)
    if array.ndim not in (1, 2) or array.size == 0:
        raise InputError(f"the {name} has the shape (samples,) or (leads, samples), not {array.shape}")
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"the {name} holds {array.dtype}, not real numbers")
    return np.array(np.atleast_2d(array), dtype=np.float64)


def _relevance(relevance: npt.ArrayLike | None, traces: FloatArray) -> FloatArray | None:
    """Relevance, 0 where there is no signal to colour."""
    if relevance is None:
        return None
    values = _leads(relevance, "relevance")
    if values.shape != traces.shape:
        raise InputError(f"the relevance has the shape {values.shape}; it needs that of the signal, {traces.shape}")
    values[np.isnan(traces)] = 0.0
    if not np.isfinite(values).all():
        raise InputError("the relevance has NaN or infinity where the signal has none")
    return values


def _beats(r_peaks: Sequence[int], beat_labels: Sequence[str], samples: int) -> list[_Beat]:
    labels = [str(label) for label in beat_labels] or [""] * len(r_peaks)
    if len(labels) != len(r_peaks):
        raise InputError(f"{len(labels)} beat labels for {len(r_peaks)} R peaks")
    outside = [int(peak) for peak in r_peaks if not 0 <= peak < samples]
    if outside:
        raise InputError(f"R peaks are sample numbers from 0 to {samples - 1}; these lie outside: {outside[:5]}")
    return sorted((_Beat(int(peak), label) for peak, label in zip(r_peaks, labels, strict=True)), key=lambda beat: beat.sample)


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise OptionError(f"{name}={value}: it must be positive and finite")
    return value


def usual_gain(recording: Recording) -> float:
    """Millimetres per unit at which the largest trace fits."""
    known = np.nan_to_num(recording.traces)  # the median, 0, lies within every trace
    largest = float(np.ptp(known, axis=1).max())
    if recording.unit == "mV":
        return 10.0 / 2 ** max(0, math.ceil(math.log2(10.0 * largest / _TALLEST_TRACE))) if largest else 10.0
    if not largest:
        return 10.0
    power = 10.0 ** math.floor(math.log10(_USUAL_TRACE / largest))
    return max(step * power for step in (1, 2, 5) if step * power * largest <= _USUAL_TRACE)


# Where it stands on the paper


@dataclass(frozen=True)
class _Cell:
    """A stretch of a lead's trace: samples `first` to `stop`, from `left` on, in a row; no lead where none was recorded."""

    name: str
    lead: int | None
    first: int
    stop: int
    row: int
    left: float
    marked: bool = False


@dataclass(frozen=True)
class _Row:
    above: float  # from the baseline up to the next row
    below: float
    headroom: float = 0.0  # part of `above` that no trace reaches

    @property
    def height(self) -> float:
        return self.above + self.below


@dataclass(frozen=True)
class _Stretch:
    """Where time runs along the paper: from `left` on, for that many seconds, starting with `start`."""

    left: float
    seconds: float
    start: float


@dataclass(frozen=True)
class _Sheet:
    cells: Sequence[_Cell]
    rows: Sequence[_Row]
    stretches: Sequence[_Stretch]
    width: float
    in_columns: bool
    wrapped: bool

    @property
    def height(self) -> float:
        return sum(row.height for row in self.rows)

    def top(self, row: int) -> float:
        return sum(other.height for other in self.rows[row:])

    def baseline(self, row: int) -> float:
        return self.top(row) - self.rows[row].above


def _sheet(recording: Recording, layout: str | None, rhythm_lead: str, gain: float) -> _Sheet:
    if layout not in (None, *_LAYOUTS):
        raise OptionError(f"layout={layout!r}: it must be one of {', '.join(_LAYOUTS)}, or None")
    standard = {name.upper() for name in STANDARD_LEADS}
    known = [name for name in recording.names if name.upper() in standard]
    if layout == "clinical" and len(known) < len(recording.names):
        others = ", ".join(name for name in recording.names if name.upper() not in standard)
        raise InputError(f"the clinical layout has a place for {', '.join(STANDARD_LEADS)}, not for {others}; take layout='rows'")
    short = recording.seconds <= _COLUMN_SECONDS
    if layout == "clinical" or (
        layout is None and len(known) == len(recording.names) >= _LEAST_OF_CLINICAL and recording.seconds <= _COLUMNS * _COLUMN_SECONDS
    ):
        leads = {name.upper(): lead for lead, name in enumerate(recording.names)}
        places = [(name, leads.get(name.upper())) for name in STANDARD_LEADS]
        rhythm = None if short else (rhythm_lead, leads.get(rhythm_lead.upper()))
        return _columns(recording, places, _COLUMN_ROWS, rhythm, gain)
    places = [(name, lead) for lead, name in enumerate(recording.names)]
    if layout is None and short and len(places) > _COLUMN_ROWS:
        return _columns(recording, places, max(_COLUMN_ROWS, math.ceil(len(places) / _COLUMNS)), None, gain)
    return _below_each_other(recording, gain)


_Places = Sequence[tuple[str, int | None]]


def _columns(recording: Recording, places: _Places, rows: int, rhythm: tuple[str, int | None] | None, gain: float) -> _Sheet:
    """Leads in columns; with a rhythm lead they follow each other in time, else each shows all of it."""
    columns = math.ceil(len(places) / rows)
    cells = []
    for number, (name, lead) in enumerate(places):
        column, row = divmod(number, rows)
        if rhythm is None:
            left, first, stop = column * _to_major(_SPEED * recording.seconds + _COLUMN_GAP), 0, recording.samples
        else:
            first, stop = (recording.samples * (column + more) // columns for more in (0, 1))
            left = _SPEED * first / recording.sampling_rate
        cells.append(_Cell(name, lead, first, stop, row, _PULSE_ROOM + left, marked=rhythm is None and row == 0))
    if rhythm is None:
        lefts = sorted({cell.left for cell in cells})
        stretches = [_Stretch(left, recording.seconds, recording.start) for left in lefts]
    else:
        cells.append(_Cell(*rhythm, 0, recording.samples, rows, _PULSE_ROOM, marked=True))
        stretches = [_Stretch(_PULSE_ROOM, recording.seconds, recording.start)]
    width = _to_major(stretches[-1].left + _SPEED * recording.seconds)
    return _Sheet(cells, _rows(cells, recording, gain), stretches, width, in_columns=True, wrapped=False)


def _below_each_other(recording: Recording, gain: float) -> _Sheet:
    """All of each lead; a long signal goes on below, with all leads again."""
    leads = len(recording.traces)
    fitting = [seconds for seconds in _ROW_SECONDS if leads * math.ceil(recording.seconds / seconds) <= _MOST_ROWS]
    seconds = min(recording.seconds, fitting[0] if fitting else _ROW_SECONDS[-1])
    samples = max(1, round(seconds * recording.sampling_rate))
    firsts = range(0, recording.samples, samples)
    cells = [
        _Cell(name, lead, first, min(first + samples, recording.samples), block * leads + lead, _PULSE_ROOM, marked=lead == 0)
        for block, first in enumerate(firsts)
        for lead, name in enumerate(recording.names)
    ]
    wrapped = len(firsts) > 1
    stretch = _Stretch(_PULSE_ROOM, seconds, 0.0 if wrapped else recording.start)
    width = _to_major(_PULSE_ROOM + _SPEED * seconds)
    return _Sheet(cells, _rows(cells, recording, gain), [stretch], width, in_columns=False, wrapped=wrapped)


def _rows(cells: Sequence[_Cell], recording: Recording, gain: float) -> list[_Row]:
    """As high as their traces, in whole major squares, so that baselines lie on lines of the grid."""
    rows = []
    for row in range(max(cell.row for cell in cells) + 1):
        traces = [recording.traces[cell.lead, cell.first : cell.stop] for cell in cells if cell.row == row and cell.lead is not None]
        pulse = [np.ones(1)] if recording.unit == "mV" else []
        known = gain * np.nan_to_num(np.concatenate([*traces, *pulse, np.zeros(1)]))
        rows.append(_Row(_to_major(max(known.max() + 1, _LEAST_REACH)), _to_major(max(1 - known.min(), _LEAST_REACH))))
    return rows


def _to_major(millimetres: float) -> float:
    # What rounding adds to a whole number of squares is not to make another one.
    return _MAJOR * math.ceil(round(millimetres / _MAJOR, 6))


def _with_headroom(sheet: _Sheet, scale: float, beats: Sequence[_Beat]) -> _Sheet:
    """Make room for text above the traces; text has its size in the figure, not on the paper."""
    of_beats = 0.6 * bool(beats) + any(beat.label for beat in beats)
    marked = {cell.row for cell in sheet.cells if cell.marked}
    rows = []
    for number, row in enumerate(sheet.rows):
        lines = sheet.in_columns + (number in marked) * of_beats
        headroom = _LINE * lines / scale
        rows.append(replace(row, above=_to_major(row.above + headroom), headroom=headroom))
    return replace(sheet, rows=rows)


@dataclass(frozen=True)
class Drawing:
    """A recording laid out on paper, before it is known how large that is drawn."""

    recording: Recording
    beats: Sequence[_Beat]
    sheet: _Sheet
    gain: float
    norm: Normalize | None
    cmap: str


def lay_out(
    recording: Recording,
    *,
    r_peaks: Sequence[int],
    beat_labels: Sequence[str],
    layout: str | None,
    rhythm_lead: str,
    gain: float | None,
    limit: float | None,
    percentile: float,
    cmap: str,
) -> Drawing:
    """Say what stands where; the arguments are those of `plot_ecg`.

    Raises:
        InputError, OptionError: as `plot_ecg` does.
    """
    beats = _beats(r_peaks, beat_labels, recording.samples)
    gain = usual_gain(recording) if gain is None else _positive("gain", gain)
    norm = None if recording.relevance is None else relevance_norm(recording.relevance, limit, percentile)
    return Drawing(recording, beats, _sheet(recording, layout, rhythm_lead, gain), gain, norm, cmap)


# How large the paper is


def own_scale(drawing: Drawing) -> float:
    """The scale that suits a drawing on a figure of its own."""
    return _scale(drawing.sheet.width, drawing.sheet.height)


def _scale(width: float, height: float) -> float:
    """Millimetres of the figure per millimetre of the paper.

    >>> [round(_scale(width, 60), 2) for width in (22.5, 260, 760)]
    [3.0, 1.0, 0.38]
    """
    return min(max(1.0, min(_NARROWEST / width, _TALLEST_ENLARGED / height, _LARGEST_SCALE)), _WIDEST / width, _TALLEST / height)


def _scale_of(axes: Axes, sheet: _Sheet) -> float:
    box = axes.get_window_extent()
    dots = axes.figure.dpi / _INCH
    return float(min(box.width / sheet.width, box.height / sheet.height) / dots)


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

    @property
    def height(self) -> float:
        return self.head + self.drawing.sheet.height * self.scale + self.foot


def panel(drawing: Drawing, scale: float, title: str, *, of_several: bool = False) -> Panel:
    """Give a drawing its place for text; the title of one of several is smaller than the heading above them all."""
    drawing = replace(drawing, sheet=_with_headroom(drawing.sheet, scale, drawing.beats))
    sheet = drawing.sheet
    left = _MARGIN if sheet.in_columns else 2 * _MARGIN + _LETTER * _longest_side_name(sheet, drawing.recording)
    width = max(left + sheet.width * scale + 2 * _MARGIN, _BAR_WIDTH + 4 * _MARGIN)
    size = _METHOD_SIZE if of_several else _TITLE_SIZE
    lines = _in_lines(title, width - 2 * _MARGIN, size)
    style = {"fontsize": size, **({} if of_several else {"weight": "bold"})}
    foot = _TIME_AXIS + (_BAR_BAND if drawing.norm else 0.0)
    return Panel(drawing, scale, lines, style, left, width, _MARGIN + _height_of(lines, size), foot)


@dataclass(frozen=True)
class Block:
    """Panels under a heading, beside each other as far as the page is wide, then below."""

    heading: str
    panels: Sequence[Panel]


def page(blocks: Sequence[Block]) -> list[Axes]:
    """Draw blocks below each other on a figure of their own.

    Returns:
        The axes of each paper, in order.
    """
    widest = max(panel.width for block in blocks for panel in block.panels)
    columns = min(max(1, int((_PAGE_WIDTH + _PANEL_GAP) // (widest + _PANEL_GAP))), max(len(block.panels) for block in blocks))
    width = columns * (widest + _PANEL_GAP) - _PANEL_GAP
    bands = [band for block in blocks for band in _bands(block, width, columns)]
    height = sum(band.height for band in bands)
    figure = Figure(figsize=(width / _INCH, height / _INCH), dpi=_DOTS)
    axes, top = [], height
    for band in bands:
        if band.heading:
            style: dict[str, Any] = {"fontsize": _TITLE_SIZE, "weight": "bold", "va": "top", "parse_math": False}
            figure.text(_MARGIN / width, (top - _MARGIN) / height, "\n".join(band.heading), **style)
        for column, each in enumerate(band.panels):
            axes.append(_draw_panel(figure, each, column * (widest + _PANEL_GAP), top - each.height))
        top -= band.height
    return axes


@dataclass(frozen=True)
class _Band:
    height: float
    heading: Sequence[str] = ()
    panels: Sequence[Panel] = ()


def _bands(block: Block, width: float, columns: int) -> Iterator[_Band]:
    if block.heading:
        lines = _in_lines(block.heading, width - 2 * _MARGIN, _TITLE_SIZE)
        yield _Band(_MARGIN + _height_of(lines, _TITLE_SIZE), heading=lines)
    for first in range(0, len(block.panels), columns):
        beside = block.panels[first : first + columns]
        yield _Band(max(each.height for each in beside), panels=beside)


def _in_lines(text: str, width: float, size: float) -> list[str]:
    """Break a text into lines of a width, at spaces and behind the underscores of names."""
    lines = wrap(text.replace("_", "_ "), int(width / (_LETTER * size / TEXT_SIZE)))
    return [line.replace("_ ", "_") for line in lines]


def _height_of(lines: Sequence[str], size: float) -> float:
    return len(lines) * _LINE * size / TEXT_SIZE


def _draw_panel(figure: Figure, panel: Panel, left: float, bottom: float) -> Axes:
    """Draw the paper with its title above and the colour bar below."""
    width, height = figure.get_size_inches() * _INCH
    drawing, scale = panel.drawing, panel.scale
    sheet, recording, norm = drawing.sheet, drawing.recording, drawing.norm
    if panel.title:
        middle, top = left + panel.width / 2, bottom + panel.height - _MARGIN / 2
        text = "\n".join(panel.title)
        figure.text(middle / width, top / height, text, ha="center", va="top", parse_math=False, **panel.title_style)
    box = left + panel.left, bottom + panel.foot, sheet.width * scale, sheet.height * scale
    axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
    if norm is not None and recording.relevance is not None:
        left += (panel.width - _BAR_WIDTH) / 2
        box = left, bottom + _BAR_LABELS, _BAR_WIDTH, _BAR_HEIGHT
        place: dict[str, Any] = {"orientation": "horizontal", "extend": beyond(recording.relevance, norm)}
        place["cax"] = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        label_bar(figure.colorbar(ScalarMappable(norm, drawing.cmap), **place), recording.relevance, norm)
    _draw(axes, drawing, scale)
    return axes


def draw_on(axes: Axes, drawing: Drawing, title: str) -> None:
    """Draw on axes that are there, in the size that they have."""
    sheet, recording, norm = drawing.sheet, drawing.recording, drawing.norm
    axes.set_title(title, fontsize=_TITLE_SIZE, weight="bold", parse_math=False)
    if norm is not None and recording.relevance is not None:
        place: dict[str, Any] = {"ax": axes, "location": "bottom", "shrink": 0.5, "aspect": 30}
        bar = axes.figure.colorbar(ScalarMappable(norm, drawing.cmap), extend=beyond(recording.relevance, norm), **place)
        label_bar(bar, recording.relevance, norm)
    # Text makes the paper higher, and that makes the scale smaller.
    scale = _scale_of(axes, _with_headroom(sheet, _scale_of(axes, sheet), drawing.beats))
    _draw(axes, replace(drawing, sheet=_with_headroom(sheet, scale, drawing.beats)), scale)


# How it is drawn


def _draw(axes: Axes, drawing: Drawing, scale: float) -> None:
    sheet, recording, gain = drawing.sheet, drawing.recording, drawing.gain
    _draw_paper(axes, sheet, scale)
    _label_time(axes, sheet, scale, gain, recording)
    for cell in sheet.cells:
        _draw_cell(axes, cell, sheet, scale, recording, gain, drawing.norm, drawing.cmap)
        _name_cell(axes, cell, sheet, scale, recording)
        if cell.marked:
            _mark_beats(axes, cell, sheet, scale, recording.sampling_rate, drawing.beats)


def _draw_paper(axes: Axes, sheet: _Sheet, scale: float) -> None:
    axes.set(xlim=(0, sheet.width), ylim=(0, sheet.height), aspect="equal", facecolor="white")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(_MAJOR))
        axis.set_minor_locator(MultipleLocator(_MINOR) if scale >= _SMALLEST_WITH_MINOR_LINES else NullLocator())
    axes.yaxis.set_major_formatter(NullFormatter())
    axes.grid(which="major", color=_MAJOR_COLOUR, linewidth=0.7)
    axes.grid(which="minor", color=_MINOR_COLOUR, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=TEXT_SIZE)
    for spine in axes.spines.values():
        spine.set_color(_MAJOR_COLOUR)


def _label_time(axes: Axes, sheet: _Sheet, scale: float, gain: float, recording: Recording) -> None:
    step = next((step for step in _TIME_STEPS if step * _SPEED * scale >= _TIME_LABEL), _TIME_STEPS[-1])

    def label(x: float, _: int) -> str:
        for stretch in sheet.stretches:
            seconds = round((x - stretch.left) / _SPEED, 6)
            if 0 <= seconds <= round(stretch.seconds, 6) and math.isclose(seconds / step, round(seconds / step), abs_tol=1e-6):
                return f"{round(stretch.start + seconds, 3):.10g}"
        return ""

    axes.xaxis.set_major_formatter(FuncFormatter(label))
    time = "time from the start of the row (s)" if sheet.wrapped else "time (s)"
    size = "" if math.isclose(scale, 1.0, abs_tol=0.005) else f"; drawn at {scale:.2g} times its size"
    of_unit = f"{gain:.3g} mm/mV" if recording.unit == "mV" else f"{gain:.3g} mm per {recording.unit}"
    axes.set_xlabel(f"{time}; {_SPEED:g} mm/s, {of_unit}{size}", fontsize=TEXT_SIZE, parse_math=False)


def _draw_cell(
    axes: Axes, cell: _Cell, sheet: _Sheet, scale: float, recording: Recording, gain: float, norm: Normalize | None, cmap: str
) -> None:
    baseline = sheet.baseline(cell.row)
    trace = np.full(1, np.nan) if cell.lead is None else recording.traces[cell.lead, cell.first : cell.stop]
    if np.isnan(trace).all():
        width = _SPEED * (cell.stop - cell.first) / recording.sampling_rate
        axes.text(cell.left + width / 2, baseline, _NO_LEAD if cell.lead is None else _NO_SIGNAL, ha="center", va="center", **_NOTE)
        return
    if recording.unit == "mV" and cell.left == _PULSE_ROOM:
        _draw_pulse(axes, baseline, gain)
    time = np.arange(cell.stop - cell.first) / recording.sampling_rate
    points = np.stack([cell.left + _SPEED * time, baseline + gain * trace], axis=-1)
    lines = min(max(scale, 0.7), 1.0)  # on reduced paper broad lines would run into each other
    style: dict[str, Any] = {"marker": ".", "markersize": 2} if len(points) == 1 else {}
    axes.plot(*points.T, color="black", linewidth=0.8 if norm is None else 0.5 * lines, zorder=3, **style)
    if norm is not None and recording.relevance is not None and cell.lead is not None:
        _colour_trace(axes, points, recording.relevance[cell.lead, cell.first : cell.stop], norm, cmap, _COLOUR_WIDTH * lines)


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
    axes.plot([0, left, left, right, right, _PULSE_ROOM], baseline + gain * np.array([0, 0, 1, 1, 0, 0]), color="black", linewidth=0.8)


def _name_cell(axes: Axes, cell: _Cell, sheet: _Sheet, scale: float, recording: Recording) -> None:
    style: dict[str, Any] = {"fontsize": _NAME_SIZE, "weight": "bold", "parse_math": False}
    if sheet.in_columns:
        left = 0.0 if cell.left == _PULSE_ROOM else cell.left
        axes.text(left + 1 / scale, sheet.top(cell.row) - 0.5 / scale, cell.name, va="top", **style)
        if cell.left > _PULSE_ROOM:
            axes.vlines(cell.left, sheet.baseline(cell.row) - 2, sheet.baseline(cell.row) + 2, color="black", linewidth=0.8)
    else:
        text = "\n".join(_side_name(cell, sheet, recording))
        axes.text(-1.5 / scale, sheet.baseline(cell.row), text, ha="right", va="center", **style)


def _longest_side_name(sheet: _Sheet, recording: Recording) -> int:
    return max(len(line) for cell in sheet.cells for line in _side_name(cell, sheet, recording))


def _side_name(cell: _Cell, sheet: _Sheet, recording: Recording) -> list[str]:
    """Lines beside the row: the lead's name and, where the signal goes on in further rows, when this one starts."""
    time = f"{round(recording.start + cell.first / recording.sampling_rate, 2):.10g} s"
    return [cell.name, *([time] if sheet.wrapped and cell.marked else [])]


def _mark_beats(axes: Axes, cell: _Cell, sheet: _Sheet, scale: float, sampling_rate: float, beats: Sequence[_Beat]) -> None:
    """A triangle above each R peak, and its label unless that of another takes its place."""
    inside = [beat for beat in beats if cell.first <= beat.sample < cell.stop]
    if not inside:
        return
    row = sheet.rows[cell.row]
    y = sheet.baseline(cell.row) + row.above - row.headroom + 1 / scale
    positions = [cell.left + _SPEED * (beat.sample - cell.first) / sampling_rate for beat in inside]
    axes.plot(positions, [y] * len(inside), linestyle="none", marker="v", markersize=4, color="black")
    for x, label in _without_overlaps([(x, beat.label) for x, beat in zip(positions, inside, strict=True)], _LETTER / scale):
        axes.text(x, y + 1 / scale, label, ha="center", va="bottom", fontsize=TEXT_SIZE, parse_math=False)


def _without_overlaps(labels: Sequence[tuple[float, str]], letter: float) -> list[tuple[float, str]]:
    """Labels about their places that have room beside each other; longer ones, which say more, and then earlier ones come first.

    >>> _without_overlaps([(0, "N"), (4, "V (beat 3)"), (20, "N"), (20.5, "A")], letter=1.0)
    [(4, 'V (beat 3)'), (20, 'N')]
    """
    placed: list[tuple[float, str]] = []
    for x, label in sorted(labels, key=lambda found: -len(found[1])):
        if label and all(abs(x - other) >= letter * (len(label) + len(text) + 1) / 2 for other, text in placed):
            placed.append((x, label))
    return placed
