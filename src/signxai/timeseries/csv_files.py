"""Signals in tables of text (.csv, .tsv, .txt): a line of names, then a line per sample."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signxai.common.errors import InputError
from signxai.timeseries.file_content import FileContent, FloatArray, distinct, refused

__all__ = ["read_csv"]

_DELIMITERS = ",;\t"
_SECONDS_PER = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3, "us": 1e-6}
_TIME_NAMES = ("time", "t", "elapsed time", "seconds", "sec", "ms", "milliseconds")
_COUNTER_NAMES = ("sample", "samples", "sample #", "index", "")
_MISSING = ("", "-", "nan", "na", "n/a", "null", "none")  # "-" is what WFDB's tools write
# How far a time may lie from its place, as a share of the step between samples, before the samples are not evenly spaced.
_JITTER = 0.5


@dataclass(frozen=True)
class _Column:
    name: str
    unit: str
    values: FloatArray


def read_csv(path: Path) -> FileContent:
    """Read a table with a column per lead, and a column of times where there is one.

    The first line names the columns, a unit may stand behind a name ("II (mV)", "V1 [uV]") or in a second line. A column
    "time" (in s, or as its unit says) or "time_ms" gives the sampling rate. Fields are parted by commas, semicolons or tabs;
    with the latter two a comma may be the decimal sign. An empty field is a gap.

    Raises:
        InputError: no names in the first line, a field that is no number, lines of different length, or times that are not
            evenly spaced.
        OSError: the file cannot be opened.
    """
    with refused(path, "a table of text"), path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        delimiter = max(_DELIMITERS, key=first.count)
        names = _fields(next(csv.reader([first], delimiter=delimiter), []))
        rows = [_fields(row) for row in csv.reader(file, delimiter=delimiter)]
    columns = _columns(path, names, rows, decimal="," if delimiter != "," else ".")
    leads = [column for column in columns if not (_is_time(column) or _is_counter(column))]
    if not leads:
        raise InputError(f"{path}: no lead among its columns {', '.join(map(repr, names))}")
    rate, tolerance = _sampling_rate(path, columns)
    return FileContent(
        leads=[column.values for column in leads],
        lead_names=distinct([column.name for column in leads]),
        units=[column.unit for column in leads],
        sampling_rates=[rate] * len(leads),
        rate_tolerance=tolerance,
    )


def _fields(row: Iterable[str]) -> list[str]:
    return [field.strip().strip("'\"").strip() for field in row]


def _columns(path: Path, names: Sequence[str], rows: list[list[str]], decimal: str) -> list[_Column]:
    if not any(names) or any(_is_number(name, decimal) for name in names):
        raise InputError(f"{path}: its first line must name the columns (time, and each lead), not hold numbers")
    units = [""] * len(names)
    begin = 2
    if rows and len(rows[0]) == len(names) and not any(_is_number(field, decimal) or field.lower() in _MISSING for field in rows[0]):
        units, begin = rows.pop(0), 3
    while rows and not any(rows[-1]):  # empty lines at the end
        rows.pop()
    values = _numbers(path, names, rows, decimal, begin)
    return [_column(name, unit, column) for name, unit, column in zip(names, units, values, strict=True)]


def _column(name: str, unit: str, values: FloatArray) -> _Column:
    """Part a name from the unit behind it, as in "II (mV)" or "time_ms"."""
    found = re.fullmatch(r"(.*?)\s*[(\[]([^()\[\]]*)[)\]]", name)
    if found:
        return _Column(found[1], unit or found[2].strip(), values)
    stem, _, suffix = name.rpartition("_")
    if stem.lower() in _TIME_NAMES and suffix.lower() in _SECONDS_PER:
        return _Column(stem, unit or suffix, values)
    return _Column(name, unit, values)


def _is_number(text: str, decimal: str) -> bool:
    try:
        float(text.replace(decimal, "."))
    except ValueError:
        return False
    return text.lower() not in _MISSING


def _numbers(path: Path, names: Sequence[str], rows: Sequence[Sequence[str]], decimal: str, begin: int) -> FloatArray:
    if not rows:
        raise InputError(f"{path}: holds no sample")
    for line, row in enumerate(rows, start=begin):
        if len(row) != len(names):
            raise InputError(f"{path}: line {line} has {len(row)} fields, the first line names {len(names)} columns")
    columns = [[row[index] for row in rows] for index in range(len(names))]
    return np.array([_parse(path, name, column, decimal, begin) for name, column in zip(names, columns, strict=True)])


def _parse(path: Path, name: str, fields: Sequence[str], decimal: str, begin: int) -> FloatArray:
    values = np.empty(len(fields))
    for index, field in enumerate(fields):
        try:
            values[index] = float("nan" if field.lower() in _MISSING else field.replace(decimal, "."))
        except ValueError as error:
            values[index] = _clock_time(field)
            if np.isnan(values[index]):
                raise InputError(f"{path}: line {begin + index}, column {name!r}: {field!r} is no number") from error
    return values


def _clock_time(field: str) -> float:
    """Seconds of a time of day such as WFDB's tools write it, 1:02.500 or 00:01:02.500; NaN if it is none.

    >>> _clock_time("1:02.500"), _clock_time("01:00:00.25"), _clock_time("II")
    (62.5, 3600.25, nan)
    """
    found = re.fullmatch(r"\[?(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)\]?", field)
    if not found:
        return float("nan")
    return int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])


def _is_time(column: _Column) -> bool:
    return column.name.lower() in _TIME_NAMES


def _is_counter(column: _Column) -> bool:
    return column.name.lower() in _COUNTER_NAMES


def _sampling_rate(path: Path, columns: Sequence[_Column]) -> tuple[float | None, float]:
    """Samples per second that the column of times gives, and how far, as a share, the rounding of the times lets it be off."""
    for counter in filter(_is_counter, columns):
        _check_even(path, counter.values, f"column {counter.name!r}", 1.0)
    times = list(filter(_is_time, columns))
    if not times:
        return None, 0.0
    if len(times) > 1:
        raise InputError(f"{path}: columns {', '.join(repr(column.name) for column in times)} all look like the time; keep one of them")
    seconds = times[0].values * _seconds_per(path, times[0])
    jitter = _check_even(path, seconds, f"column {times[0].name!r}", None)
    span = float(seconds[-1] - seconds[0])
    rate, tolerance = (len(seconds) - 1) / span, max(2 * jitter / span, 1e-9)
    # Times are rounded to, say, milliseconds: of the rates that they allow, a whole number is the one that was meant.
    return (float(round(rate)) if abs(round(rate) - rate) <= tolerance * rate else rate), tolerance


def _seconds_per(path: Path, column: _Column) -> float:
    unit = (column.unit or (column.name if column.name.lower() in _SECONDS_PER else "s")).lower()
    if ":" in unit:  # "hh:mm:ss.mmm", the form of a time of day
        return 1.0
    if unit not in _SECONDS_PER:
        raise InputError(f"{path}: times in {column.unit!r}; known are {', '.join(_SECONDS_PER)}")
    return _SECONDS_PER[unit]


def _check_even(path: Path, marks: FloatArray, what: str, step: float | None) -> float:
    """Refuse marks that are not evenly spaced; returns the farthest that one lies from its place.

    Raises:
        InputError: fewer than two, one missing, or one that does not follow its neighbours.
    """
    if np.any(np.isnan(marks)) or len(marks) < 2:
        raise InputError(f"{path}: {what} must have a number in every line, and at least two")
    steps = np.diff(marks)
    usual = float(np.median(steps)) if step is None else step
    if usual <= 0:
        raise InputError(f"{path}: {what} does not rise")
    # First the steps, which show where a line is missing; then the places, which show a slow drift.
    worst = int(np.argmax(np.abs(steps - usual)))
    places = np.linspace(marks[0], marks[-1], len(marks))
    jitter = float(np.max(np.abs(marks - places)))
    if abs(steps[worst] - usual) > 2 * _JITTER * usual - 1e-9 * usual or (step is None and jitter > 2 * _JITTER * usual):
        raise InputError(
            f"{path}: {what} goes from {marks[worst]:.6g} to {marks[worst + 1]:.6g} where its usual step is {usual:.6g}: "
            "a gap, or samples that are not evenly spaced"
        )
    return jitter
