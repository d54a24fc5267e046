"""Whole chunks of zarr arrays, written as the files that zarr itself would write, byte by byte, in a tenth of its time.

For each array zarr goes through an event loop, some 2 ms of Python, which a batch of a small network does not take as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import StoreError

__all__ = ["KEYS", "ChunkFiles", "compressor"]

Array = npt.NDArray[Any]

_LEVEL = 1
"""Of zstd: maps hardly shrink, and a higher level takes more time than it saves."""

KEYS = {"name": "default", "separator": "."}
"""How chunks are called: in one folder for each array, as a folder for each chunk takes as long as the chunk."""


def compressor() -> Mapping[str, Any]:
    """What arrays of a store are compressed by, as zarr has it."""
    return {"name": "zstd", "configuration": {"level": _LEVEL, "checksum": False}}


@dataclass(frozen=True)
class ChunkFiles:
    """The chunks of one array (N, ...), each of so many entries and whole along the other axes.

    Attributes:
        folder: of the array.
        shape: of a chunk.
        dtype: of the values.
        fill: stands behind the last entry, and a chunk of nothing else has no file.
        encode: from bytes to what the file holds.
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    encode: Any

    @classmethod
    def of(cls, folder: Path, array: Any) -> ChunkFiles:
        """Those of an array of zarr.

        Raises:
            StoreError: it is kept in another way than stores are.
        """
        codecs = [codec.to_dict() for codec in array.metadata.codecs]
        little = {"name": "bytes", "configuration": {"endian": "little"}}
        keys = array.metadata.chunk_key_encoding
        if codecs not in ([little, dict(compressor())], [{"name": "bytes"}, dict(compressor())]) or keys.separator != KEYS["separator"]:
            raise StoreError(f"{folder}: not of a store of this version, by its codecs {codecs}; name another store")
        encode = import_module("numcodecs.zstd").Zstd(level=_LEVEL).encode
        dtype = np.dtype(array.dtype).newbyteorder("<")
        return cls(folder, tuple(array.chunks), dtype, np.asarray(array.fill_value, dtype=dtype), encode)

    def write(self, number: int, rows: Array) -> None:
        """Write a chunk, beside its place first; the last one may have fewer rows.

        Raises:
            OSError: it cannot be written.
        """
        place = os.path.join(self.folder, ".".join(["c", str(number), *"0" * (len(self.shape) - 1)]))
        if self._is_empty(rows):
            Path(place).unlink(missing_ok=True)
            return
        content = self.encode(self._whole(rows).tobytes())
        part = f"{place}.{os.getpid()}.partial"
        with open(part, "wb", buffering=0) as file:
            file.write(content)
        os.replace(part, place)

    def _whole(self, rows: Array) -> Array:
        if len(rows) == self.shape[0]:
            return np.ascontiguousarray(rows, dtype=self.dtype)
        chunk = np.full(self.shape, self.fill, self.dtype)
        chunk[: len(rows)] = rows
        return chunk

    def _is_empty(self, rows: Array) -> bool:
        """Whether there is nothing but the fill value."""
        first = rows.flat[0]
        if not (first == self.fill or (first != first and self.fill != self.fill)):
            return False
        return bool(np.isnan(rows).all() if self.fill != self.fill else (rows == self.fill).all())
