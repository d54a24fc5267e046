"""The formats of signal files: a row for each, from its suffixes to what reads it. Nothing is loaded before a file is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from signxai.common.errors import OptionError

if TYPE_CHECKING:
    from signxai.timeseries.file_content import FileContent

__all__ = ["FORMATS", "REFERENCE_ANNOTATOR", "SignalFormat", "format_of", "signal_suffixes"]

REFERENCE_ANNOTATOR = "atr"
"""The suffix of WFDB annotations that cardiologists made."""


@dataclass(frozen=True)
class SignalFormat:
    """One format of signal files.

    Attributes:
        name: as people call it.
        suffixes: of its files, in lower case.
        reader: dotted name of a function from a path to a ``FileContent``; with ``has_annotators``, from a path and the suffix
            of the annotations.
        has_annotators: whether beats are in files of their own.
    """

    name: str
    suffixes: tuple[str, ...]
    reader: str
    has_annotators: bool = False

    def read(self, path: Path, annotator: str) -> FileContent:
        """What a file says.

        Raises:
            InputError: a broken file, or a package that is missing.
            OptionError: an annotator, where the format has none.
        """
        module, _, function = self.reader.rpartition(".")
        reader = cast("Callable[..., FileContent]", getattr(import_module(module), function))
        if self.has_annotators:
            return reader(path, annotator)
        if annotator != REFERENCE_ANNOTATOR:
            raise OptionError(f"annotator={annotator!r}: only WFDB records have annotators, not {path.name}")
        return reader(path)


FORMATS: list[SignalFormat] = [
    SignalFormat("WFDB", (".hea", ".dat", ".atr"), "signxai.timeseries.wfdb_files.read_wfdb", has_annotators=True),
    SignalFormat("EDF", (".edf", ".bdf"), "signxai.timeseries.edf_files.read_edf"),
    SignalFormat("DICOM", (".dcm",), "signxai.timeseries.dicom_files.read_dicom"),
    SignalFormat("SCP-ECG", (".scp",), "signxai.timeseries.exchange_files.read_scp"),
    SignalFormat("HL7 aECG", (".xml",), "signxai.timeseries.exchange_files.read_aecg"),
    SignalFormat("CSV", (".csv", ".tsv", ".txt"), "signxai.timeseries.csv_files.read_csv"),
    SignalFormat("NumPy", (".npy", ".npz"), "signxai.timeseries.array_files.read_numpy"),
]


def signal_suffixes() -> tuple[str, ...]:
    """The suffixes of all formats.

    >>> signal_suffixes()[:5]
    ('.hea', '.dat', '.atr', '.edf', '.bdf')
    """
    return tuple(suffix for row in FORMATS for suffix in row.suffixes)


def format_of(path: Path) -> SignalFormat | None:
    """The format of a file by its suffix; None if it is of no format.

    >>> format_of(Path("100.HEA")).name
    'WFDB'
    """
    return next((row for row in FORMATS if path.suffix.lower() in row.suffixes), None)
