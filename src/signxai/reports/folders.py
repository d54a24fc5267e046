"""The folder of a report: there whole or not at all, and never in the place of something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signxai._version import __version__
from signxai.common.errors import OptionError
from signxai.datasets.folders import said_of_folder

__all__ = ["MARKER", "folder_in_the_making"]

MARKER = "signxai-report.json"
"""The file by which a report is told from other folders."""
_WRITTEN = {MARKER, "index.html", "gallery.html", "assets", "classes", "clusters", "data", "entries", "samples"}
"""What there may be in one; ``samples`` is where entries were once."""


@contextmanager
def folder_in_the_making(folder: Path, store: Path) -> Iterator[Path]:
    """A folder beside the report's place to write it to, which takes that place at the end; an error leaves what was there.

    Args:
        folder: of the report; another report that lies there is replaced, and folders that it lies in are made.
        store: whose report it is.

    Raises:
        OptionError: something else lies there, it would lie in the store, or the store lies in it.
        OSError: it cannot be written.
    """
    place = folder.resolve()
    _refuse(folder, place, store.resolve())
    part, old = (place.with_name(f".{place.name}.{end}") for end in ("part", "old"))
    for left in (part, old):
        if left.exists():
            _refuse_other(left, left)
            shutil.rmtree(left)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with said_of_folder(folder, part):
            part.mkdir()
            (part / MARKER).write_text(json.dumps({"signxai": __version__, "store": str(store)}), encoding="utf-8")
            yield part
            _put(part, place, old)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _refuse(folder: Path, place: Path, store: Path) -> None:
    if place == store or store in place.parents:
        raise OptionError(f"{folder}: lies in the store {store}; name a folder outside of it")
    if place in store.parents:
        raise OptionError(f"{folder}: the store {store} lies in it, and would be lost with an older report; name another folder")
    if place.exists() and not _is_empty(place):
        _refuse_other(folder, place)
        _refuse_more(folder, place)


def _is_empty(place: Path) -> bool:
    return place.is_dir() and not any(place.iterdir())


def _refuse_other(folder: Path, place: Path) -> None:
    if not (place / MARKER).is_file():
        raise OptionError(f"{folder}: is there, and no report of signxai; name another place, or remove it")


def _refuse_more(folder: Path, place: Path) -> None:
    more = sorted({path.name for path in place.iterdir()} - _WRITTEN)
    if more:
        raise OptionError(f"{folder}: holds {more[0]!r}, which no report wrote and which would be lost; move it, or name another folder")


def _put(part: Path, place: Path, old: Path) -> None:
    """Rename the new one to its place; only between two renames is there none."""
    if place.exists():
        place.rename(old)
    part.rename(place)
    shutil.rmtree(old, ignore_errors=True)
