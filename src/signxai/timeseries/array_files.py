"""Signals in arrays of NumPy (.npy, .npz)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError
from signxai.files import read_array
from signxai.timeseries.file_content import FileContent, distinct, refused

__all__ = ["read_numpy"]


def read_numpy(path: Path) -> FileContent:
    """Read an array (leads, samples) or (samples,), the one named ``x`` of several; nothing in the file is unpickled.

    An .npz file may also hold ``sampling_rate`` (Hz), ``lead_names`` and ``units`` (one per lead, or one for all).

    Raises:
        InputError: no such array in the file, or one with more leads than samples.
        OSError: the file cannot be opened.
    """
    values = np.atleast_2d(read_array(path))
    if values.ndim != 2 or np.iscomplexobj(values):
        raise InputError(f"{path}: a signal has the shape (leads, samples) and real values, not {values.shape} of {values.dtype}")
    if len(values) > values.shape[1]:
        raise InputError(f"{path}: shape {values.shape} has more leads than samples; transpose it to (leads, samples)")
    said = _said(path) if path.suffix.lower() == ".npz" else {}
    names = _texts(path, said, "lead_names", len(values))
    rate = float(_one(path, said["sampling_rate"])) if "sampling_rate" in said else None
    return FileContent(
        leads=list(values.astype(np.float64)),
        lead_names=distinct(names) if names else None,
        units=_texts(path, said, "units", len(values)) or [""] * len(values),
        sampling_rates=[rate] * len(values),
    )


def _said(path: Path) -> dict[str, npt.NDArray[Any]]:
    with refused(path, "an .npz file"), np.load(path, allow_pickle=False) as content:
        return {key: content[key] for key in ("sampling_rate", "lead_names", "units") if key in content.files}


def _one(path: Path, array: npt.NDArray[Any]) -> Any:
    if array.size != 1 or not np.issubdtype(array.dtype, np.number):
        raise InputError(f"{path}: its sampling_rate must be one number, in Hz")
    return array.item()


def _texts(path: Path, said: dict[str, npt.NDArray[Any]], key: str, leads: int) -> list[str]:
    if key not in said:
        return []
    texts = [str(text) for text in np.atleast_1d(said[key])]
    if len(texts) == 1 and key == "units":
        return texts * leads
    if len(texts) != leads:
        raise InputError(f"{path}: {len(texts)} {key} for {leads} leads")
    return texts
