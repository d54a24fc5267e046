"""Recordings in the European Data Format and its 24-bit form (EDF, EDF+, BDF), read by the package edfio."""

import warnings
from pathlib import Path

import numpy as np

from signxai.common.errors import InputError
from signxai.timeseries.file_content import FileContent, distinct, refused
from signxai.timeseries.packages import package

__all__ = ["read_edf"]

# Headers are ASCII by the standard; recorders write the micro sign all the same.
_ENCODING = "latin-1"


def read_edf(path: Path) -> FileContent:
    """Read all leads of an EDF, EDF+ or BDF file; its annotations are free text, from which no beats are made.

    Raises:
        InputError: edfio is missing, or the file is broken, truncated, or an EDF+D whose records do not follow each other.
        OSError: the file cannot be opened.
    """
    edfio = package("edfio", "reading EDF and BDF files")
    kind = path.suffix[1:].upper()
    with path.open("rb"):
        pass
    with refused(path, f"a file of {kind}"), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # edfio only warns of a file that is cut off
        recording = (edfio.read_bdf if kind == "BDF" else edfio.read_edf)(path, header_encoding=_ENCODING)
        if not recording.is_continuous:
            raise InputError(f"{path}: there are gaps between its records ({kind}+D); export each stretch without one as a file of its own")
        signals = recording.signals
        return FileContent(
            leads=[np.array(signal.data, dtype=np.float64) for signal in signals],
            lead_names=distinct([signal.label for signal in signals]),
            units=[signal.physical_dimension for signal in signals],
            sampling_rates=[float(signal.sampling_frequency) for signal in signals],
        )
