"""Where each lead stands on the paper of an ECG figure.

Positions are in millimetres of the paper, so that a second is 25 of them and a millivolt 10; how large the paper itself is drawn
is another matter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from signxai.common.errors import InputError, OptionError
from signxai.figures.ecg_recording import Beat, Recording, annotated_beats, positive, usual_gain
from signxai.figures.relevance_colours import relevance_norm

__all__ = [
    "INCH",
    "MAJOR",
    "PULSE_ROOM",
    "SPEED",
    "STANDARD_LEADS",
    "Cell",
    "Drawing",
    "Sheet",
    "lay_out",
    "own_scale",
    "scale_of",
    "to_major",
]

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_LAYOUTS = ("clinical", "rows")
_LEAST_OF_CLINICAL = 8  # with fewer of the standard leads, most of the clinical layout would be empty
_COLUMNS, _COLUMN_ROWS = 4, 3
_COLUMN_SECONDS = 2.5
_ROW_SECONDS = (10, 20, 30, 60)
_MOST_ROWS = 24

# Millimetres of the paper
SPEED = 25.0  # per second
MAJOR = 5.0
PULSE_ROOM = 10.0
_COLUMN_GAP = 5.0
_LEAST_REACH = 5.0

# Millimetres of the figure
INCH = 25.4
_NARROWEST, _WIDEST, _TALLEST, _TALLEST_ENLARGED = 110.0, 290.0, 400.0, 180.0
_LARGEST_SCALE = 6.0

_Places = Sequence[tuple[str, int | None]]


@dataclass(frozen=True)
class Cell:
    """A stretch of a lead's trace: samples `first` to `stop`, from `left` on, in a row; no lead where none was recorded."""

    name: str
    lead: int | None
    first: int
    stop: int
    row: int
    left: float
    marked: bool = False

    def beats(self, beats: Sequence[Beat], sampling_rate: float) -> list[tuple[float, str]]:
        """Where the beats within stand on the paper, and their labels."""
        inside = [beat for beat in beats if self.first <= beat.sample < self.stop]
        return [(self.left + SPEED * (beat.sample - self.first) / sampling_rate, beat.label) for beat in inside]


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
class Sheet:
    """The paper: its cells, its rows from the top, and where time runs along it."""

    cells: Sequence[Cell]
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

    @property
    def phase(self) -> float:
        """Where the first square begins that round times begin with, in millimetres."""
        first = self.stretches[0]
        return round(first.left - SPEED * first.start, 6) % MAJOR


def _sheet(recording: Recording, layout: str | None, rhythm_lead: str, gain: float) -> Sheet:
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


def _columns(recording: Recording, places: _Places, rows: int, rhythm: tuple[str, int | None] | None, gain: float) -> Sheet:
    """Leads in columns; with a rhythm lead they follow each other in time, else each shows all of it."""
    columns = math.ceil(len(places) / rows)
    cells = []
    for number, (name, lead) in enumerate(places):
        column, row = divmod(number, rows)
        if rhythm is None:
            left, first, stop = column * to_major(SPEED * recording.seconds + _COLUMN_GAP), 0, recording.samples
        else:
            first, stop = (recording.samples * (column + more) // columns for more in (0, 1))
            left = SPEED * first / recording.sampling_rate
        cells.append(Cell(name, lead, first, stop, row, PULSE_ROOM + left, marked=rhythm is None and row == 0))
    if rhythm is None:
        lefts = sorted({cell.left for cell in cells})
        stretches = [_Stretch(left, recording.seconds, recording.start) for left in lefts]
    else:
        cells.append(Cell(*rhythm, 0, recording.samples, rows, PULSE_ROOM, marked=True))
        stretches = [_Stretch(PULSE_ROOM, recording.seconds, recording.start)]
    width = to_major(stretches[-1].left + SPEED * recording.seconds)
    return Sheet(cells, _rows(cells, recording, gain), stretches, width, in_columns=True, wrapped=False)


def _below_each_other(recording: Recording, gain: float) -> Sheet:
    """All of each lead; a long signal goes on below, with all leads again."""
    leads = len(recording.traces)
    fitting = [seconds for seconds in _ROW_SECONDS if leads * math.ceil(recording.seconds / seconds) <= _MOST_ROWS]
    seconds = min(recording.seconds, fitting[0] if fitting else _ROW_SECONDS[-1])
    samples = max(1, round(seconds * recording.sampling_rate))
    firsts = range(0, recording.samples, samples)
    cells = [
        Cell(name, lead, first, min(first + samples, recording.samples), block * leads + lead, PULSE_ROOM, marked=lead == 0)
        for block, first in enumerate(firsts)
        for lead, name in enumerate(recording.names)
    ]
    wrapped = len(firsts) > 1
    stretch = _Stretch(PULSE_ROOM, seconds, 0.0 if wrapped else recording.start)
    width = to_major(PULSE_ROOM + SPEED * seconds)
    return Sheet(cells, _rows(cells, recording, gain), [stretch], width, in_columns=False, wrapped=wrapped)


def _rows(cells: Sequence[Cell], recording: Recording, gain: float) -> list[_Row]:
    """As high as their traces, in whole major squares, so that baselines lie on lines of the grid."""
    rows = []
    for row in range(max(cell.row for cell in cells) + 1):
        traces = [recording.traces[cell.lead, cell.first : cell.stop] for cell in cells if cell.row == row and cell.lead is not None]
        pulse = [np.ones(1)] if recording.unit == "mV" else []
        known = gain * np.nan_to_num(np.concatenate([*traces, *pulse, np.zeros(1)]))
        rows.append(_Row(to_major(max(known.max() + 1, _LEAST_REACH)), to_major(max(1 - known.min(), _LEAST_REACH))))
    return rows


def to_major(millimetres: float) -> float:
    """The next whole number of major squares, in millimetres."""
    # What rounding adds to a whole number of squares is not to make another one.
    return MAJOR * math.ceil(round(millimetres / MAJOR, 6))


@dataclass(frozen=True)
class Drawing:
    """A recording laid out on paper, before it is known how large that is drawn."""

    recording: Recording
    beats: Sequence[Beat]
    sheet: Sheet
    gain: float
    norm: Normalize | None
    cmap: str
    letters: float = 1.0
    """How large text is, beside that of a page of its own."""
    is_turned: bool = False
    """Whether the signs of relevance are turned."""
    method: str = ""
    """By which relevance is, which says what its sides stand for; "": it is not known."""

    @property
    def hidden(self) -> float:
        r"""The share of the sum of |relevance| that no cell shows; 0 without relevance."""
        relevance = self.recording.relevance
        if relevance is None or not relevance.any():
            return 0.0
        shown = np.zeros(relevance.shape, dtype=bool)
        for cell in self.sheet.cells:
            if cell.lead is not None:
                shown[cell.lead, cell.first : cell.stop] = True
        strength = np.abs(relevance)
        return float(strength[~shown].sum() / strength.sum())

    @property
    def notice(self) -> str:
        """What a reader must know of what is not shown; nothing where all is."""
        if not self.hidden:
            return ""
        return f"each lead shows its part of the time only: {self.hidden:.0%} of the relevance is not shown (layout rows shows all)"


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
    beats = annotated_beats(r_peaks, beat_labels, recording.samples)
    gain = usual_gain(recording) if gain is None else positive("gain", gain)
    norm = None if recording.relevance is None else relevance_norm(recording.relevance, limit, percentile)
    return Drawing(recording, beats, _sheet(recording, layout, rhythm_lead, gain), gain, norm, cmap)


def own_scale(drawing: Drawing) -> float:
    """The scale that suits a drawing on a figure of its own."""
    return _scale(drawing.sheet.width, drawing.sheet.height)


def _scale(width: float, height: float) -> float:
    """Millimetres of the figure per millimetre of the paper.

    >>> [round(_scale(width, 60), 2) for width in (22.5, 260, 760)]
    [3.0, 1.0, 0.38]
    """
    return min(max(1.0, min(_NARROWEST / width, _TALLEST_ENLARGED / height, _LARGEST_SCALE)), _WIDEST / width, _TALLEST / height)


def scale_of(axes: Axes, sheet: Sheet) -> float:
    """Millimetres of the figure for one of the paper, on axes of somebody else's."""
    box = axes.get_window_extent()
    dots = axes.figure.dpi / INCH
    return float(min(box.width / sheet.width, box.height / sheet.height) / dots)
