"""What kind of data set the command line's paths are, which options go with it, and the source that comes of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from signxai.cli.arguments import names_record
from signxai.cli.array_data_sets import ARRAYS, array_source, refuse_elsewhere
from signxai.cli.failures import check_some_exist, check_there
from signxai.cli.several_inputs import SeveralOptions
from signxai.common.errors import InputError, OptionError
from signxai.datasets.file_sources import image_folder, manifest
from signxai.datasets.recording_sources import RecordingSource, beats_of, windows_of
from signxai.datasets.sources import Source
from signxai.files import PICTURE_SUFFIXES
from signxai.models import Classifier
from signxai.timeseries.formats import signal_suffixes
from signxai.timeseries.signal_input import SignalInput

__all__ = ["DataSet", "RecordingOptions", "found_data_set"]

_MAY_BE_NOTES = frozenset({".csv", ".txt"})
_READ_AS_ARRAYS = frozenset({".npy", ".npz"})
_BESIDE_HEADERS = frozenset({".dat", ".atr"})

Kind = Literal["recordings", "arrays", "folder", "table"]
_SPOKEN_OF = {"arrays": "holds arrays", "folder": "is a folder of pictures or arrays", "table": "is a table of files"}


@dataclass(frozen=True)
class RecordingOptions:
    """What the user says of recordings, see ``signxai run --help``; None or nothing where nothing was said."""

    beats: bool = False
    beat_classes: tuple[str, ...] = ()
    window_length: float | None = None
    sampling_rate: float | None = None
    units: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()

    def given(self) -> list[str]:
        """The options that were given, as they are written.

        >>> RecordingOptions(beats=True, units=("mV",)).given()
        ['--beats', '--units']
        """
        values = {
            "--beats": self.beats or None,
            "--beat-classes": self.beat_classes or None,
            "--window-length": self.window_length,
            "--sampling-rate": self.sampling_rate,
            "--units": self.units or None,
            "--leads": self.leads or None,
        }
        return [name for name, value in values.items() if value is not None]

    def of_reading(self) -> dict[str, object]:
        """What ``signxai.timeseries.read_signal`` is told."""
        units = self.units[0] if len(self.units) == 1 else self.units or None
        values = {"sampling_rate": self.sampling_rate, "lead_names": self.leads or None, "units": units}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class DataSet:
    """A data set of the command line, of which the names alone are known; options that do not go with it are refused.

    Attributes:
        kind: what it is.
        files: the recordings; else the one folder or file, or none where arrays come by ``--input`` alone.
        of_recordings: what is said of recordings.
        of_several: what is said of several inputs.
    """

    kind: Kind
    files: tuple[Path, ...]
    of_recordings: RecordingOptions
    of_several: SeveralOptions

    def source(self, classifier: Classifier) -> Source:
        """Its entries, for a network.

        Raises:
            InputError, OptionError, ModelError: it cannot be read, or an option does not go with the network.
            OSError: a file cannot be opened.
        """
        if self.kind == "recordings":
            return _of_recordings(self.files, self.of_recordings, classifier.signal_input or SignalInput())
        if self.kind == "arrays":
            return array_source(self.files[0] if self.files else None, classifier.model, self.of_several)
        return image_folder(self.files[0]) if self.kind == "folder" else manifest(self.files[0])


def found_data_set(paths: Sequence[Path], of_recordings: RecordingOptions, of_several: SeveralOptions) -> DataSet:
    """The data set that the command line's words mean, before the network is loaded and before entries are read.

    Raises:
        InputError: none, or several.
        OptionError: an option that does not go with it; the message says with what it goes.
    """
    check_some_exist(paths, [])
    recordings = _recordings(paths)
    if not recordings:
        for path in paths:
            check_there(path)
    if not all(path.suffix.lower() in ARRAYS for path in paths):
        refuse_elsewhere(of_several, paths)
    if recordings:
        _refuse_mixture(paths, recordings)
        _check_samples(recordings, of_recordings)
        return DataSet("recordings", tuple(recordings), of_recordings, of_several)
    if len(paths) > 1:
        raise OptionError(f"{len(paths)} data sets: give one folder, one table or one file of arrays; several files may be recordings only")
    kind = _kind(paths[0]) if paths else "arrays"
    if unfit := of_recordings.given():
        what = f"{paths[0]} {_SPOKEN_OF[kind]}" if paths else "the data set is arrays"
        raise OptionError(f"{unfit[0]}: goes with recordings ({', '.join(sorted(_recording_suffixes()))}), and {what}")
    return DataSet(kind, tuple(paths), of_recordings, of_several)


def _kind(path: Path) -> Kind:
    if path.suffix.lower() in ARRAYS:
        return "arrays"
    if path.is_dir():
        return "folder"
    if path.suffix.lower() == ".csv":
        return "table"
    raise InputError(f"{path}: a data set is a folder of pictures or recordings, a table (.csv), recordings, or arrays (.npy, .npz, .zarr)")


def _recording_suffixes() -> set[str]:
    return set(signal_suffixes()) - _READ_AS_ARRAYS - _BESIDE_HEADERS


def _recordings(paths: Sequence[Path]) -> list[Path]:
    """The recordings among the paths and in the folders; of a table of files none, though it is called .csv."""
    suffixes = _recording_suffixes()
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() and path.suffix.lower() != ".zarr" else [path]
        beside = suffixes - _MAY_BE_NOTES if path.is_dir() and _has_pictures(path) else suffixes
        found += [one for one in inside if one.suffix.lower() in beside and not _is_table(one)]
        if not path.suffix and names_record(path):
            found.append(path.with_name(f"{path.name}.hea"))
    if not any(map(os.path.exists, found)):
        return []
    missing = {path for path in paths if path not in found and not (os.path.exists(path) or names_record(path))}
    return [*found, *(path for path in paths if path in missing)]  # each is an entry, which fails


def _has_pictures(folder: Path) -> bool:
    """Whether there are pictures in a folder or its sub-folders; text beside them is no recording."""
    return any(one.suffix.lower() in PICTURE_SUFFIXES for one in folder.rglob("*"))


def _is_table(path: Path) -> bool:
    """Whether a file is a table of files: CSV that has a column of that name."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return "file" in [name.strip() for name in file.readline().split(",")]


def _refuse_mixture(paths: Sequence[Path], recordings: Sequence[Path]) -> None:
    """Raise if pictures lie beside the recordings of a folder."""
    for folder in (path for path in paths if path.is_dir()):
        picture = next((one for one in sorted(folder.iterdir()) if one.suffix.lower() in PICTURE_SUFFIXES), None)
        if picture is not None:
            raise InputError(
                f"{folder}: holds recordings ({recordings[0].name}) and pictures ({picture.name}); name the recordings one by one"
            )


def _check_samples(files: Sequence[Path], options: RecordingOptions) -> None:
    """Raise unless it is said, in one way, what one sample of recordings is."""
    if options.beats == (options.window_length is not None):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        table = "; a table of files has a column called file, between commas" if files[0].suffix.lower() == ".csv" else ""
        raise OptionError(f"{files[0]}{more}: recordings; say what is one entry, by --beats or by --window-length SECONDS{table}")
    if options.beat_classes and not options.beats:
        raise OptionError("--beat-classes: says which of the beats are taken that --beats takes, and goes with it alone")


def _of_recordings(files: Sequence[Path], options: RecordingOptions, signal_input: SignalInput) -> RecordingSource:
    """Beats or windows of recordings.

    Raises:
        OptionError: the network takes the other of the two.
    """
    if options.beats != signal_input.about_beats:
        raise OptionError(_other_samples(signal_input))
    if options.window_length is None:
        return beats_of(files, signal_input, options.beat_classes, **options.of_reading())
    return windows_of(files, options.window_length, signal_input, **options.of_reading())


def _other_samples(signal_input: SignalInput) -> str:
    """What is wrong if a network takes windows about beats and others are asked for, or the other way round."""
    if signal_input.about_beats:
        stretch = f"{signal_input.before_s:g} s before to {signal_input.after_s:g} s after each"
        return f"--window-length: the network takes windows about beats, {stretch}; give --beats instead"
    return (
        "--beats: the network does not say where its window about a beat lies; give --window-length SECONDS, or let the factory return a "
        "signxai.models.Classifier with signal_input=SignalInput(..., before_s=, after_s=)"
    )
