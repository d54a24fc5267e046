"""Checks of stores: what a broken one says of itself, and batches whose files are gone, are told before anybody takes them for maps."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import StoreError
from signxai.datasets.parts import ONE, place_of
from signxai.datasets.views import view_read

__all__ = [
    "BROKEN",
    "check_attributes",
    "check_failed",
    "check_manifest",
    "check_names",
    "check_shape",
    "held",
    "names_of_arrays",
    "refuse_lost",
    "refuse_lost_batches",
    "refuse_within_group",
]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

BROKEN = (
    ArithmeticError,
    AttributeError,
    FileNotFoundError,
    LookupError,
    MemoryError,
    NotADirectoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What zarr, and its codecs, raise on broken files, whichever field or byte is broken."""

METADATA = "zarr.json"
_OF_RUN = ("model", "source", "methods", "options", "settings", "versions")
_ALWAYS_FINITE = ("relevance/", "input", "sum/")
_ANEW = "delete the store or run again into a new one"
_OF_ENTRIES = ("key", "label", "group", "target_given")
"""Arrays of what is known before anything is computed, each of one chunk."""


def check_attributes(file: Path, attributes: Mapping[str, Any]) -> None:
    """Refuse a store that says of itself what no run writes.

    Args:
        file: where it says so.
        attributes: what it says.

    Raises:
        StoreError: something is missing, or of another kind.
    """
    for name in ("run", "class_names", "batch_size"):
        if name not in attributes:
            raise StoreError(f"{file}: does not say its {name}; it is broken: name another place, or remove it")
    run = attributes["run"]
    checks = {
        "run": isinstance(run, Mapping),
        "class_names": _are_words(attributes["class_names"]),
        "batch_size": _is_count(attributes["batch_size"]) and attributes["batch_size"] > 0,
        "inputs": _are_words(attributes.get("inputs", [])),
        "arrays": _are_words(attributes.get("arrays", [])),
        "view": "view" not in attributes or _is_view(attributes["view"]),
    }
    _refuse_first(file, checks, attributes)
    _refuse_first(file, {name: isinstance(run.get(name), Mapping) for name in _OF_RUN}, run)
    settings = run["settings"]
    said = {
        "model": all(isinstance(run["model"].get(name), str) for name in ("name", "class", "weights")),
        "source": isinstance(run["source"].get("kind"), str) and _is_count(run["source"].get("entries")),
        "methods": bool(run["methods"]),
        "settings": _is_count(settings.get("batch_size")) and isinstance(settings.get("target", ""), str | int),
    }
    _refuse_first(file, said, run)


def _refuse_first(file: Path, checks: Mapping[str, bool], content: Mapping[str, Any]) -> None:
    for name, is_right in checks.items():
        if not is_right:
            raise StoreError(
                f"{file}: says of its {name} {content.get(name)!r:.40}, which no run writes; it is broken: name another place, or remove it"
            )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _is_view(content: Any) -> bool:
    try:
        view_read(content)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return True


def check_manifest(file: Path, manifest: Mapping[str, Any], count: int, batch_size: int) -> None:
    """Refuse a record of batches and entries that the store does not have.

    Args:
        file: where it stands.
        manifest: as ``read_manifest`` has it.
        count: entries of the store.
        batch_size: entries of each batch.

    Raises:
        StoreError: there are such.
    """
    batches, before = -(-count // batch_size), 0
    for first, stop in manifest["done"]:
        if not before <= first < stop <= batches:
            raise StoreError(f"{file}: lists the batches {first} to {stop - 1} of {batches}; it is broken: remove the store, and run again")
        before = stop
    done = {number for first, stop in manifest["done"] for number in range(first, stop)}
    failed: set[int] = set()
    for index, *words in manifest["failed"]:
        if not 0 <= index < count or index // batch_size not in done or not _are_words(words) or index in failed:
            twice = " twice" if index in failed else ""
            raise StoreError(f"{file}: lists entry {index} of {count} as failed{twice}; it is broken: remove the store, and run again")
        failed.add(index)


def check_failed(file: Path, failed: Iterable[tuple[int, str, str]], keys: Sequence[str]) -> None:
    """Refuse a record of entries that failed which calls one otherwise than the store does.

    Args:
        file: where it stands.
        failed: the index of each, its key and the reason.
        keys: of all entries.

    Raises:
        StoreError: there is one.
    """
    for index, key, _ in failed:
        if keys[index] != key:
            raise StoreError(
                f"{file}: lists entry {index} as failed and calls it {key!r:.80}, which is {keys[index]!r:.80}; it is broken: remove the "
                "store, and run again"
            )


def held(path: Path, name: object) -> bool:
    """Whether a store has an array, or a group of arrays, of this name, if only a broken one.

    Args:
        path: of the store.
        name: as ``relevance/lrp_z``.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    parts = PurePosixPath(name).parts
    return not any(part.startswith((".", "/")) for part in parts) and (path / name).is_dir()


def refuse_lost(path: Path, name: str, array: Any, values: Array, rows: Rows, is_explained: npt.NDArray[np.bool_]) -> None:
    """Refuse rows of an array that were written, and whose chunk is gone, so that they read as if nothing could be computed.

    A chunk of nothing but the fill value has no file. So one is lost only where an explained entry has that value, which none has; only of
    whole numbers, whose fill value is 0, and of labels and groups that are names, of which it is "", it cannot be told.

    Args:
        path: of the store.
        name: of the array.
        array: of zarr.
        values: of some rows.
        rows: which these are.
        is_explained: of all entries (N,), whether they were explained.

    Raises:
        StoreError: there are such rows.
    """
    if not values.size:
        return
    was_written = np.full(len(rows), name == "key" and array.shape[0] > 1) if name in _OF_ENTRIES else is_explained[rows]
    suspects = rows[was_written & _are_fill(values.reshape(len(values), -1)[:, 0], array.fill_value)]
    size = _sizes(array)[0]
    for number in np.unique(suspects // size).tolist():
        if not (path / name / _key(array, number)).is_file():
            raise StoreError(_lost(path, name, number, size, array.shape[0]))
    if len(suspects) and name.startswith(_ALWAYS_FINITE):
        raise StoreError(f"{path}: {name} has no values of entry {suspects[0]}, which was explained; {_ANEW}")


def _are_fill(values: Array, fill: Any) -> npt.NDArray[np.bool_]:
    """Which values are the fill value, where no entry can have that."""
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values)) if np.isnan(fill) else np.zeros(len(values), dtype=bool)
    if values.dtype.kind in "iu":
        return np.asarray(values == fill) if fill < 0 else np.zeros(len(values), dtype=bool)
    return np.array([str(value) == "" for value in values]) if values.dtype.kind in "OUT" else np.zeros(len(values), dtype=bool)


def _sizes(array: Any) -> tuple[int, ...]:
    """The shape of what one file of an array holds."""
    return tuple(array.shards or array.chunks)


def _key(array: Any, number: int) -> str:
    """The name of the file of a batch."""
    key: str = array.metadata.encode_chunk_key((number, *[0] * (array.ndim - 1)))
    return key


def _lost(path: Path, name: str, number: int, size: int, count: int) -> str:
    entries = f"entries {number * size} to {min((number + 1) * size, count) - 1}"
    what = f"the file of {entries}" if name in _OF_ENTRIES else f"the file of batch {number} ({entries})"
    return f"{path}: {name} lacks {what}, or it is empty, though it was written once; {_ANEW}"


def refuse_lost_batches(path: Path, arrays: Mapping[str, Any], done: Iterable[int], failed: Iterable[int]) -> None:
    """Refuse to go on with a store of which a batch that is done has lost a file, or has an empty one, or a folder in its place.

    Args:
        path: of the store.
        arrays: of zarr, those that a run writes, by name.
        done: numbers of the batches that are.
        failed: entries that could not be explained; a batch of nothing else has no files.

    Raises:
        StoreError: there is one; the message names the array and the batch.
    """
    left, of_failed = sorted(done), list(failed)
    for name, array in arrays.items():
        if 0 in array.shape:
            continue
        size, count = _sizes(array)[0], array.shape[0]
        failures = Counter(index // size for index in of_failed)
        there = _bytes_in(path / name)
        for number in left:
            computed = min((number + 1) * size, count) - number * size - failures[number]
            must_be = computed > 0 and not _may_be_fill(array.fill_value)
            if there.get(_key(array, number), 0 if must_be else 1) == 0:
                raise StoreError(_lost(path, name, number, size, count))


def _bytes_in(folder: Path) -> dict[str, int]:
    """How long what lies in a folder is, by its name; 0 of what is no file."""
    with os.scandir(folder) as places:
        return {place.name: place.stat().st_size if place.is_file() else 0 for place in places}


def _may_be_fill(fill: Any) -> bool:
    """Whether entries may have the value that stands where nothing was computed."""
    return bool(fill >= 0)


def refuse_within_group(path: Path) -> None:
    """Refuse a new store inside of another store, or of another group of zarr, whose readers would take it for a part of that.

    Raises:
        StoreError: it is.
    """
    for folder in path.resolve().parents:
        if (folder / METADATA).is_file() or (folder / ".zgroup").is_file():
            raise StoreError(f"{path}: lies in {folder}, which is a store or another group of zarr; name a place outside of it")


def names_of_arrays(path: Path, run: Mapping[str, Any], inputs: Sequence[str], listed: Sequence[str]) -> list[str]:
    """The arrays that the store of a run must have.

    Args:
        path: of the store.
        run: what it says it was.
        inputs: the names of several; empty: an entry is one array.
        listed: those that it says it has; of stores of early versions none.
    """
    names = ["key", "logits", "target", *(f"sum/{method}" for method in run["methods"])]
    if run["settings"].get("keeps_inputs"):
        names += [place_of("input", name) for name in inputs or [ONE]]
    for method in run["methods"]:
        explained = [name for name in inputs if held(path, f"sum_by_input/{method}/{name}")] if inputs else [ONE]
        names += [place_of(f"relevance/{method}", name) for name in explained]
    return list(dict.fromkeys([*names, *listed]))


def check_shape(path: Path, name: str, array: Any, count: int) -> None:
    """Refuse an array of a store that does not have a row for each entry, or whose files are not of whole rows.

    Raises:
        StoreError: so it is, or logits are no table.
    """
    is_right = bool(array.shape) and array.shape[0] == count and (name != "logits" or array.ndim == 2)
    if not is_right or _sizes(array)[1:] != tuple(size or 1 for size in array.shape[1:]):
        raise StoreError(
            f"{path}: {name} is of the shape {tuple(array.shape)}, in files of {_sizes(array)}, where the data set has {count} entries; "
            "it is broken: remove the store, and run again"
        )


def check_names(path: Path, class_names: Sequence[str], classes: int) -> None:
    """Refuse a store whose classes are not as many as their names, each its own; one logit may have those of both sides of its decision.

    Raises:
        StoreError: it is one.
    """
    if class_names and len(class_names) != classes and (classes, len(class_names)) != (1, 2):
        raise StoreError(
            f"{path}: names {len(class_names)} classes, and has logits of {classes}; it is broken: remove the store, and run again"
        )
    if twice := [name for name, times in Counter(class_names).items() if times > 1]:
        raise StoreError(f"{path}: names two classes {twice[0]!r}; it is broken: remove the store, and run again")
