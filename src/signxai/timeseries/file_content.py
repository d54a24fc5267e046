"""What a file says about a signal, before it is known whether that is enough to make one of it."""

import csv
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError, SignxaiError

__all__ = ["FileContent", "distinct", "refused"]

FloatArray = npt.NDArray[np.float64]

# What the packages' readers raise on broken files, beside OSError: they read headers by position and convert as they go.
_BROKEN = (
    ValueError, LookupError, TypeError, AttributeError, EOFError, ArithmeticError, BadZipFile, struct.error, csv.Error, UserWarning
)  # fmt: skip


@dataclass(frozen=True)
class FileContent:
    """Leads as a file holds them.

    Attributes:
        leads: values of each lead (samples,), in the units of the file.
        lead_names: one per lead, all different; None: the file does not name them.
        units: one per lead; "" where the file does not say.
        sampling_rates: Hz, one per lead; None where the file does not say.
        beat_times: seconds of each annotated beat (beats,), or None where there are no annotations.
        beat_symbols: WFDB's symbol of each.
        rate_tolerance: how far, as a share, the true sampling rate may lie from what the file says.
    """

    leads: Sequence[FloatArray]
    lead_names: Sequence[str] | None
    units: Sequence[str]
    sampling_rates: Sequence[float | None]
    beat_times: FloatArray | None = None
    beat_symbols: Sequence[str] = ()
    rate_tolerance: float = 1e-6


def distinct(names: Sequence[str]) -> list[str]:
    """Names that are all different: one that returns gets a number, one that is empty is the lead's number.

    >>> distinct(["ECG", "ECG", "", "Resp"])
    ['ECG', 'ECG_2', '3', 'Resp']
    """
    found: list[str] = []
    for position, name in enumerate(names, start=1):
        plain = name.strip() or str(position)
        candidates = (plain, *(f"{plain}_{count}" for count in range(2, len(names) + 2)))
        found.append(next(candidate for candidate in candidates if candidate not in found))
    return found


@contextmanager
def refused(path: Path, kind: str) -> Iterator[None]:
    """Turn what a reader raises on a broken file into an InputError that names the file and its kind."""
    try:
        yield
    except SignxaiError:
        raise
    except OSError as error:
        if error.errno is not None:  # the system's own errors name the file already
            raise
        raise InputError(f"{path}: {kind} that cannot be read: {error}") from error
    except _BROKEN as error:
        raise InputError(f"{path}: {kind} that cannot be read: {error or type(error).__name__}") from error
