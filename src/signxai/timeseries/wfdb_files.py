"""Records and annotations in PhysioNet's WFDB format, read by the package wfdb."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from signxai.common.errors import InputError, OptionError
from signxai.timeseries.beats import AAMI_CLASSES
from signxai.timeseries.file_content import FileContent, FloatArray, distinct, refused
from signxai.timeseries.formats import REFERENCE_ANNOTATOR
from signxai.timeseries.packages import deprecations_ignored, package

__all__ = ["read_annotations", "read_wfdb"]


_DEFINITION = re.compile(rb"## (?!annotation type definitions|end of definitions)")
_TIME_RESOLUTION = re.compile(rb"## time resolution: \d")


def read_wfdb(path: Path, annotator: str) -> FileContent:
    """Read a record, of one segment or several, and its annotated beats.

    Args:
        path: the header, or any file of the record whose name is the record's with another suffix.
        annotator: the suffix of the annotations.

    Raises:
        InputError: wfdb is missing, or a file is broken.
        OptionError: there are no annotations of this annotator, and it is not the reference that a record need not have.
        OSError: a file cannot be opened.
    """
    wfdb = package("wfdb", "reading WFDB records")
    header = path.with_suffix(".hea")
    with header.open("rb"):  # the system's error names the file before wfdb finds words of its own for it
        pass
    record_name = str(header.absolute().with_suffix(""))
    with refused(header, "a WFDB record"), deprecations_ignored():
        # Frames are not smoothed: that would bring leads of several sampling rates to one behind the reader's back.
        record = wfdb.rdrecord(record_name, physical=True, smooth_frames=False)
        leads = [np.asarray(lead, dtype=np.float64) for lead in record.e_p_signal or ()]
    if leads and not record.units:  # wfdb drops what differs between segments
        raise InputError(f"{header}: its segments are in different units; read them one by one")
    times, symbols = _read_beats(wfdb, header, record_name, annotator, float(record.fs))
    return FileContent(
        leads=leads,
        lead_names=distinct([name or "" for name in record.sig_name or ()]),
        units=[unit or "" for unit in record.units or ()],
        sampling_rates=[float(record.fs) * count for count in record.samps_per_frame or ()],
        beat_times=times,
        beat_symbols=symbols,
    )


def _read_beats(wfdb: Any, header: Path, record_name: str, annotator: str, rate: float) -> tuple[FloatArray | None, tuple[str, ...]]:
    path = header.with_suffix(f".{annotator}")
    if not path.exists():
        if annotator == REFERENCE_ANNOTATOR:
            return None, ()
        raise OptionError(f"annotator={annotator!r}: there is no file {path}")
    return _beats_of(wfdb, path, record_name, annotator, rate)


def read_annotations(path: Path, rate: float) -> tuple[FloatArray, tuple[str, ...]]:
    """Times (s) and symbols of the beats in a file of WFDB annotations, such as 100.qrs.

    Args:
        path: the file, whose name is a record's with the annotator as its suffix.
        rate: samples per second at which its places count, where it does not say so itself.

    Raises:
        InputError: wfdb is missing, or the file is broken.
        OSError: the file cannot be opened.
    """
    with path.open("rb"):
        pass
    return _beats_of(package("wfdb", "reading WFDB annotations"), path, str(path.absolute().with_suffix("")), path.suffix[1:], rate)


def _beats_of(wfdb: Any, path: Path, record_name: str, annotator: str, rate: float) -> tuple[FloatArray, tuple[str, ...]]:
    with refused(path, "WFDB annotations"), deprecations_ignored():
        _check_definitions(path)
        annotations = wfdb.rdann(record_name, annotator)
        times = np.asarray(annotations.sample, dtype=np.float64) / float(annotations.fs or rate)
        beats = [index for index, symbol in enumerate(annotations.symbol) if symbol in AAMI_CLASSES]
    if np.any(times[beats] < 0):
        raise InputError(f"{path}: a beat before the record's beginning")
    return times[beats], tuple(annotations.symbol[index] for index in beats)


def _check_definitions(path: Path) -> None:
    """Refuse definitions at which wfdb (4.3.1 at least) would turn for ever: one it does not know, or a second time resolution."""
    content = path.read_bytes()
    definitions = len(_DEFINITION.findall(content))
    if definitions > 1 or definitions != len(_TIME_RESOLUTION.findall(content)):
        raise InputError(f"{path}: of notes beginning with '## ' it may hold one time resolution and definitions of annotation types")
