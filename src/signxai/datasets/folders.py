"""Folders that are written beside their place first: what keeps them from being written is said of the place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["said_of_folder"]


@contextmanager
def said_of_folder(folder: Path, part: Path) -> Iterator[None]:
    """Let what keeps a folder from being written, as a full disk, be said of it.

    Args:
        folder: as the user named it.
        part: where it is written first; an error that is said of a file elsewhere stays.

    Raises:
        OSError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and part not in (Path(error.filename), *Path(error.filename).parents):
            raise
        raise OSError(error.errno, f"{error.strerror or error}; what was there stays", str(folder)) from error
