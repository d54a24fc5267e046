"""Fingerprints: by what can be had of the values without reading too many, a changed data set is told from the one of an earlier run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["add_values", "hash_of_files", "is_plain", "numbers", "spread"]

Array = npt.NDArray[Any]

WHOLE = 256 * 2**20
"""Bytes up to which all values are looked at: a fraction of a second."""
_LOOKED_AT, _ROWS = 16, 4096
_BLOCK = 16 * 2**20


class Digest(Protocol):
    """What takes bytes, as those of ``hashlib`` do."""

    def update(self, data: Any, /) -> None:
        """Take more of them."""


def spread(count: int, most: int = _LOOKED_AT) -> list[int]:
    """Places from the first to the last, evenly apart, at most so many.

    >>> spread(5), spread(100, 3)
    ([0, 1, 2, 3, 4], [0, 50, 99])
    """
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most)).tolist()})


def is_plain(values: object) -> bool:
    """Whether values are an array of NumPy itself, in memory or mapped from a file; a class of one's own may give other values by index."""
    return type(values) in (np.ndarray, np.memmap)


def numbers(value: Any) -> Array:
    """A tensor or an array as an array."""
    return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)


def add_values(digest: Digest, values: Any) -> None:
    """Let a hash be of the values of an array (N, ...), too.

    Args:
        digest: the hash.
        values: in memory or mapped from a file: all of up to 256 MB, else rows from the first to the last of 256 MB together (16 to
            4096 of them), with the size and the time of a mapped file; any other with ``shape`` and ``values[index]``: 16 rows.
    """
    if not (is_plain(values) or isinstance(values, torch.Tensor)):
        picked = spread(int(values.shape[0]))
    elif values.nbytes <= WHOLE:
        _add_blocks(digest, values)
        return
    else:
        picked = spread(len(values), max(_LOOKED_AT, min(_ROWS, WHOLE * len(values) // values.nbytes)))
        digest.update(_of_mapped_file(values).encode())
    for index in picked:
        digest.update(np.ascontiguousarray(numbers(values[index])).tobytes())


def _add_blocks(digest: Digest, values: Array | torch.Tensor) -> None:
    """All values, some rows at a time, as copies of all would not fit beside them."""
    rows = max(1, _BLOCK // max(1, values.nbytes // max(1, len(values))))
    for start in range(0, len(values), rows):
        digest.update(np.ascontiguousarray(numbers(values[start : start + rows])).tobytes())


def _of_mapped_file(values: Any) -> str:
    """The size and the time of the file that an array is mapped from; "" of one in memory."""
    name = getattr(values, "filename", None)
    if name is None or not os.path.isfile(name):
        return ""
    file = os.stat(name)
    return f"{file.st_size} {file.st_mtime_ns}"


def hash_of_files(files: Sequence[Path]) -> str:
    """A hash of the sizes of files in bytes, of which -1 says that one is missing, and of what is in them: in all of them where that is
    up to 256 MB together, else in the first, the last and 14 between, of each as much as is a sixteenth of that.
    """
    sizes = [file.stat().st_size if file.is_file() else -1 for file in files]
    is_whole = sum(sizes) <= WHOLE
    digest = hashlib.sha256(repr(sizes).encode())
    for place in range(len(files)) if is_whole else spread(len(files)):
        digest.update(_content(files[place], WHOLE if is_whole else WHOLE // _LOOKED_AT))
    return digest.hexdigest()


def _content(file: Path, most: int) -> bytes:
    """A hash of the first bytes of a file; none of one that is missing or cannot be opened, which is said when its turn comes."""
    try:
        with file.open("rb") as opened:
            digest = hashlib.sha256()
            while most > 0 and (part := opened.read(min(most, _BLOCK))):
                digest.update(part)
                most -= len(part)
            return digest.digest()
    except (OSError, ValueError):  # of a name with a zero byte
        return b"-"
