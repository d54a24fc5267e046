"""Beats in files of their own: what another program found, or what somebody annotated."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from signxai.common.errors import InputError
from signxai.timeseries.beats import UNCLASSIFIED, Beats
from signxai.timeseries.file_content import FloatArray, refused
from signxai.timeseries.signals import Signal
from signxai.timeseries.wfdb_files import read_annotations

__all__ = ["read_beats"]

_TABLES = (".csv", ".tsv", ".txt")
_DELIMITERS = ",;\t"
_PLACES = {"sample": None, "time": 1.0, "time (s)": 1.0, "time_s": 1.0, "time (ms)": 1e-3, "time_ms": 1e-3}
_SYMBOLS = ("symbol", "label", "class")


def read_beats(path: str | PathLike[str], signal: Signal) -> Beats:
    """Read the beats of a signal from a file of their own.

    A table (.csv, .tsv, .txt) names its columns in the first line: "sample" (counted from 0 at the signal's sampling rate),
    "time" (in s, from the signal's beginning) or "time (ms)", and where it is known "symbol" (that of WFDB's annotations, such as N or
    V). Any other file is one of WFDB annotations, such as 100.qrs.

    Args:
        path: the file.
        signal: whose beats they are.

    Returns:
        The beats, in the order of time, of the origin "given".

    Raises:
        InputError: a broken file, one that does not say where the beats are, no beat, one outside the signal, or a symbol that stands
            for no beat; wfdb is missing.
        OSError: the file cannot be opened.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     written = Path(folder, "found.csv").write_text("time (s),symbol\\n0.5,N\\n1.5,V\\n")
    ...     read_beats(Path(folder, "found.csv"), Signal(np.zeros((1, 8)), ["II"], "mV", sampling_rate=4.0)).positions
    array([2, 6])
    """
    place = Path(path)
    read = _read_table if place.suffix.lower() in _TABLES else _annotations
    found = read(place, signal.sampling_rate)
    if not len(found.times):
        raise InputError(f"{place}: holds no beat")
    samples = np.rint(found.times * signal.sampling_rate)
    outside = found.times[(samples < 0) | (samples >= signal.values.shape[1])]
    if outside.size:
        raise InputError(f"{place}: a beat at {outside[0]:g} s; the signal runs from 0 s to {signal.duration:g} s")
    try:
        return Beats(samples.astype(np.int64), found.symbols, origin="given")
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


@dataclass(frozen=True)
class _Found:
    times: FloatArray
    symbols: Sequence[str]


def _annotations(path: Path, rate: float) -> _Found:
    """Beats from a file of WFDB annotations, which ends with a word of zeros; whatever else is read as one gives beats at random."""
    with path.open("rb") as file:
        content = file.read()
    if len(content) % 2 or not content.endswith(b"\0\0"):
        raise InputError(f"{path}: holds no WFDB annotations, which end with two zero bytes; tables of beats are {', '.join(_TABLES)}")
    return _Found(*read_annotations(path, rate))


def _read_table(path: Path, rate: float) -> _Found:
    with refused(path, "a table of beats"), path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        delimiter = max(_DELIMITERS, key=first.count)
        names = [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])]
        rows = [row for row in csv.reader(file, delimiter=delimiter) if any(row)]
    places = [name for name in names if name in _PLACES]
    if len(places) != 1:
        raise InputError(f"{path}: its first line names its columns, one of which is {', '.join(map(repr, _PLACES))}; it has {names}")
    if ragged := next((line for line, row in enumerate(rows, start=2) if len(row) != len(names)), None):
        raise InputError(f"{path}: line {ragged} has another number of fields than the first line")
    per_second = _PLACES[places[0]]
    numbers = [_number(path, line, row[names.index(places[0])], whole=per_second is None) for line, row in enumerate(rows, start=2)]
    column = next((names.index(name) for name in _SYMBOLS if name in names), None)
    symbols = [UNCLASSIFIED if column is None else row[column].strip() for row in rows]
    return _Found(np.array(numbers) * (1 / rate if per_second is None else per_second), symbols)


def _number(path: Path, line: int, text: str, whole: bool) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number) or (whole and number != int(number)):
        raise InputError(f"{path}: line {line}: {text!r} is no {'whole ' * whole}number")
    return number
