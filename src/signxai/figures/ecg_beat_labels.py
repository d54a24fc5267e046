"""Labels above the beats of an ECG figure: none is lost; where they would overlap they are written smaller, and above each other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from signxai.figures.ecg_layout import Cell, Drawing, Sheet, to_major

__all__ = ["LETTER", "LINE", "SMALL", "BeatLabel", "BeatLabels", "labels_above", "with_headroom"]

# Millimetres of the figure
LETTER, LINE = 2.1, 4.5
SMALL = 7 / 9
"""The size of small labels, as a share of the usual size."""

_TRIANGLE = 0.6  # of a line


@dataclass(frozen=True)
class BeatLabel:
    """A label about a place of the paper, in a line above the beats, the lowest of which is 0."""

    x: float
    text: str
    line: int


@dataclass(frozen=True)
class BeatLabels:
    """The labels of a row, all in one size."""

    labels: Sequence[BeatLabel]
    small: bool
    letters: float = 1.0

    @property
    def lines(self) -> int:
        return max((label.line + 1 for label in self.labels), default=0)

    @property
    def line_height(self) -> float:
        """In millimetres of the figure."""
        return LINE * self.letters * (SMALL if self.small else 1.0)


def labels_above(cell: Cell, drawing: Drawing, scale: float) -> BeatLabels:
    """The labels of the beats within a cell that is drawn at a scale: in one line, or else smaller and in as many as they need."""
    labels = [(x, text) for x, text in cell.beats(drawing.beats, drawing.recording.sampling_rate) if text]
    frequency = Counter(beat.label for beat in drawing.beats)
    letter = LETTER * drawing.letters / scale
    usual = BeatLabels(_in_lines(labels, letter, frequency), False, drawing.letters)
    return usual if usual.lines < 2 else BeatLabels(_in_lines(labels, SMALL * letter, frequency), True, drawing.letters)


def _in_lines(labels: Sequence[tuple[float, str]], letter: float, frequency: Mapping[str, int]) -> list[BeatLabel]:
    """Each label in the lowest line that has room for it; rare ones, for whose sake one looks, come first, and then longer ones.

    >>> frequency = {"N": 20, "V (beat 3)": 1, "A": 2}
    >>> [(label.text, label.line) for label in _in_lines([(0, "N"), (4, "V (beat 3)"), (20, "N"), (20.5, "A")], 1.0, frequency)]
    [('V (beat 3)', 0), ('A', 0), ('N', 1), ('N', 1)]
    """
    placed: list[BeatLabel] = []
    for x, text in sorted(labels, key=lambda found: (frequency[found[1]], -len(found[1]))):
        taken = {other.line for other in placed if abs(x - other.x) < letter * (len(text) + len(other.text) + 1) / 2}
        placed.append(BeatLabel(x, text, next(line for line in range(len(placed) + 1) if line not in taken)))
    return placed


def with_headroom(drawing: Drawing, scale: float) -> Sheet:
    """The drawing's sheet with room for text above the traces; text has its size in the figure, not on the paper."""
    sheet = drawing.sheet
    rows = list(sheet.rows)
    for number, row in enumerate(rows):
        marked = [cell for cell in sheet.cells if cell.marked and cell.row == number]
        room = LINE * drawing.letters * sheet.in_columns + max((_room(cell, drawing, scale) for cell in marked), default=0.0)
        rows[number] = replace(row, above=to_major(row.above + room / scale), headroom=room / scale)
    return replace(sheet, rows=rows)


def _room(cell: Cell, drawing: Drawing, scale: float) -> float:
    if not drawing.beats:
        return 0.0
    labels = labels_above(cell, drawing, scale)
    return LINE * _TRIANGLE + max(labels.lines * labels.line_height, LINE * drawing.letters * any(beat.label for beat in drawing.beats))
