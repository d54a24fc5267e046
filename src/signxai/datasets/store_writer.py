"""Writes a store of relevance maps, batch by batch: a batch is in it whole or not at all, whatever happens to the process."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from operator import index
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from signxai.common.errors import OptionError, StoreError
from signxai.datasets.chunk_files import KEYS, ChunkFiles, compressor
from signxai.datasets.classes import classes_kept
from signxai.datasets.packages import zarr_package
from signxai.datasets.probe import Probe
from signxai.datasets.sources import Entries
from signxai.datasets.store_checks import BROKEN, check_attributes, check_failed, check_manifest, refuse_lost_batches, refuse_within_group
from signxai.datasets.views import Views, kept

__all__ = ["ArrayKind", "BatchResult", "Failure", "StoreWriter"]

Array = npt.NDArray[Any]

FORMAT = 1
"""Raised when a store of this version can no longer be read by the one before."""
MANIFEST = "manifest"
_ATTRIBUTES = "zarr.json"
_PART = ".part"
_BEGUN = ".begun"
_SECONDS = 0.25
"""Between manifests: each waits for the disk, as long as a small network takes for a batch or two."""


@dataclass(frozen=True)
class ArrayKind:
    """One array of a store (N, ...): its shape behind the first axis, its type, and what stands where nothing could be computed."""

    shape: tuple[int, ...]
    dtype: str
    fill: float | int


@dataclass(frozen=True)
class Failure:
    """An entry that could not be read or explained."""

    index: int
    key: str
    reason: str


@dataclass(frozen=True)
class BatchResult:
    """What was computed of one batch.

    Attributes:
        number: of the batch.
        arrays: for each array of the store its rows, one for each entry of the batch.
        failures: the entries whose rows hold the fill value.
    """

    number: int
    arrays: Mapping[str, Array]
    failures: Sequence[Failure]


class StoreWriter:
    """A store that is being written, by one run at a time.

    While entered, it is locked against other runs.

    Args:
        path: the folder of the store, as ``maps.zarr``.

    Raises:
        OptionError: the path has no name.
        StoreError: it would be a new one inside of another; on entering, if another run writes to it.
        OSError: on entering, if nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        if path.name in ("", ".."):
            raise OptionError(f"store {str(path)!r}: has no name of its own; name a folder for it, such as maps.zarr")
        if not path.exists():
            refuse_within_group(path)
        self.path = path
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        self._done: set[int] = set()
        self._failures: dict[int, Failure] = {}
        self._group: Any = None
        self._arrays: dict[str, ChunkFiles] = {}
        self.probe: Probe | None = None
        self._kept_at = -_SECONDS
        self._is_kept = True

    def __enter__(self) -> StoreWriter:
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            if not os.path.exists(self._lock.lock_file):  # not locked, but not to be made: as in /proc
                raise OSError(errno.EACCES, "no store can be written there", str(self.path)) from error
            raise StoreError(f"{self.path}: another run writes to it; wait for it, or name another store") from error
        except NotImplementedError as error:
            raise StoreError(f"{self.path}: lies on a file system that locks no files; name a store on another one") from error
        except OSError as error:
            raise OSError(error.errno, f"no store can be written there: {error.strerror}", str(self.path)) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()

    def let_go(self, _: int = 0) -> None:
        """In a forked process: let go of the lock, which would stay for as long as that lives, though the run itself were killed."""
        open_files = Path("/dev/fd")
        lock = Path(self._lock.lock_file)
        for number in [int(name) for name in os.listdir(open_files)] if open_files.is_dir() else []:
            with suppress(OSError):  # the one by which the folder was listed is closed by now
                if os.path.samestat(os.fstat(number), lock.stat()):
                    os.close(number)

    @property
    def exists(self) -> bool:
        """Whether there is a store to go on with."""
        return self.path.exists()

    def resume(self, run: Mapping[str, Any], entries: Entries, class_names: Sequence[str]) -> None:
        """Go on with the store of an earlier run.

        Args:
            run: what this run is, see ``Plan.description``.
            entries: of the data set.
            class_names: by class; empty: classes are numbered.

        Raises:
            StoreError: it is no store, broken, of another run, or of a newer version.
        """
        self._group = opened(self.path, "r+")
        attributes = attributes_of(self.path, self._group)
        refuse_other_run(self.path, _with_names(attributes["run"], attributes["class_names"]), _with_names(run, class_names))
        self.probe = Probe.read(self.path, attributes["probe"], len(entries.keys)) if "probe" in attributes else None
        manifest = read_manifest(self.path, attributes)
        check_failed(self.path / MANIFEST / _ATTRIBUTES, manifest["failed"], entries.keys)
        for name, values in _known(entries, attributes["class_names"]).items():
            if not np.array_equal(read_array(self.path, name, array_of(self.path, self._group, name), None).astype(values.dtype), values):
                raise StoreError(f"{self.path}: {name} is not what was written once; delete the store or run again into a new one")
        self._done = {number for first, stop in manifest["done"] for number in range(first, stop)}
        self._failures = {number: Failure(number, key, reason) for number, key, reason in manifest["failed"]}

    def create(
        self,
        run: Mapping[str, Any],
        entries: Entries,
        batch_size: int,
        arrays: Mapping[str, ArrayKind],
        class_names: Sequence[str],
        view: Views,
        probe: Probe | None = None,
    ) -> None:
        """Make the store, with what is known of the entries and nothing computed.

        Args:
            run: what this run is.
            entries: of the data set.
            batch_size: entries in one chunk.
            arrays: what is computed of each entry, by name.
            class_names: by class; empty: classes are numbered.
            view: how an entry is drawn; with several inputs by the name of each.
            probe: what the model says of an entry, by which another one is told from it when the run is gone on with.

        Raises:
            SignxaiError: a class that a table gives for an entry is none, or may be either of two.
            OSError: it cannot be written.
        """
        part = self.path.with_name(f".{self.path.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of a run that was ended while it made one
        attributes = {"format": FORMAT, "run": dict(run), "class_names": list(class_names), "batch_size": batch_size, "view": kept(view)}
        known = _known(entries, class_names)
        attributes["arrays"] = [*known, *arrays]
        if isinstance(view, Mapping):
            attributes["inputs"] = list(view)
        if probe is not None:
            attributes["probe"] = probe.kept()
        with _said_of(self.path, is_new=True):
            try:
                _make(part, attributes, known, batch_size, arrays)
                part.rename(self.path)
            except OSError:
                shutil.rmtree(part, ignore_errors=True)
                raise
        self._group = zarr_package().open_group(self.path, mode="r+")

    def refuse_other_view(self, view: Views) -> None:
        """Raise if the entries of the store that is gone on with are drawn in another way.

        Args:
            view: how they are to be drawn; with several inputs by the name of each.

        Raises:
            StoreError: they are drawn otherwise.
        """
        stored = self._group.attrs.get("view", {})
        refuse_other_run(self.path, {"view": stored}, {"view": kept(view)})

    def open_arrays(self, arrays: Mapping[str, ArrayKind]) -> None:
        """Have the arrays ready to be written to.

        Raises:
            StoreError: one is missing or broken, or another than the run makes, or has lost a batch that is done.
        """
        self._arrays = arrays_of(self.path, self._group, arrays)
        if self._done:
            refuse_lost_batches(self.path, {name: self._group[name] for name in arrays}, self._done, self._failures)

    def forget_begun(self) -> None:
        """Remove the notes of batches that an earlier run has begun."""
        shutil.rmtree(self.path / MANIFEST / _BEGUN, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what writers that were killed have left half written beside its place."""
        self.forget_begun()
        with _said_of(self.path):
            for part in [*self.path.rglob("*.partial"), self.path / MANIFEST / _PART]:
                part.unlink(missing_ok=True)

    def missing(self, batches: int) -> list[int]:
        """The numbers of the batches that are not there yet.

        Args:
            batches: how many there are in all.
        """
        return [number for number in range(batches) if number not in self._done]

    @property
    def failures(self) -> list[Failure]:
        """The entries that could not be read or explained, in their order."""
        return [self._failures[number] for number in sorted(self._failures)]

    def write(self, result: BatchResult) -> None:
        """Write the chunks of a batch, which counts only when it is committed.

        Raises:
            StoreError: the store is gone.
            OSError: it cannot be written, as the disk is full.
        """
        write_chunks(self.path, self._arrays, result)

    def commit(self, result: BatchResult) -> None:
        """Let a batch whose chunks are written count: within a quarter of a second, or as soon as ``keep`` is called, after any
        interruption, too.

        Raises:
            StoreError, OSError: as ``write`` does.
        """
        self._done.add(result.number)
        self._failures |= {failure.index: failure for failure in result.failures}
        self._is_kept = False
        if monotonic() - self._kept_at > _SECONDS:
            self.keep()

    def keep(self) -> None:
        """Write the manifest, if a batch has been committed since it was written.

        Raises:
            StoreError, OSError: as ``write`` does.
        """
        if not self._is_kept:
            with _said_of(self.path):
                _write_manifest(self.path, self._done, self._failures)
            self._kept_at, self._is_kept = monotonic(), True


def _make(path: Path, attributes: dict[str, Any], known: Mapping[str, Array], batch_size: int, arrays: Mapping[str, ArrayKind]) -> None:
    """A store in which nothing is computed yet."""
    count = len(known["key"])
    group = zarr_package().open_group(path, mode="w", zarr_format=3, attributes=attributes)
    for name, values in known.items():
        dtype = str if values.dtype.kind == "U" else values.dtype
        group.create_array(name, shape=(count,), chunks=(count,), dtype=dtype)[:] = values
    for name, kind in arrays.items():
        chunks = (min(batch_size, count), *(size or 1 for size in kind.shape))
        made = {"shape": (count, *kind.shape), "chunks": chunks, "dtype": kind.dtype, "fill_value": kind.fill}
        group.create_array(name, **made, compressors=compressor(), chunk_key_encoding=KEYS)
    group.create_group(MANIFEST)
    _write_manifest(path, set(), {})


@contextmanager
def _said_of(path: Path, is_new: bool = False) -> Iterator[None]:
    """Let what keeps the run from writing be said of its store, and what is to be done about it.

    Raises:
        StoreError: the store is gone.
        OSError: it cannot be written.
    """
    try:
        if not is_new and not (path / _ATTRIBUTES).is_file():
            raise FileNotFoundError
        yield
    except OSError as error:
        if not is_new and not (path / _ATTRIBUTES).is_file():
            raise StoreError(
                f"{path}: was removed or moved while the run wrote to it; put it back, or remove what is left, and run again"
            ) from error
        kept = "" if is_new else "; what is committed stays, and the same call goes on"
        raise OSError(error.errno, f"{error.strerror}{kept}", str(path)) from error


@contextmanager
def begun(path: Path, number: int, most: int) -> Iterator[None]:
    """While entered, keep a note beside the manifest that a batch is worked on; those of lost processes stay, and tell of them.

    Args:
        path: of the store.
        number: of the batch.
        most: so many notes there may be at once, of batches that are worked on and of those that were.

    Raises:
        StoreError: there are more: one process is lost after the other, and nothing gets done.
    """
    note = path / MANIFEST / _BEGUN / str(number)
    with _said_of(path):
        note.parent.mkdir(exist_ok=True)
        with note.open("ab") as file:
            file.write(b".")
        notes = sum(_size(one) for one in note.parent.iterdir())
    if notes > most:
        raise StoreError(
            f"{path}: one worker after the other is lost, the last ones over batch {number}, which most often is a lack of memory: take "
            "fewer actors, or smaller batches in another store; what is committed stays"
        )
    yield
    note.unlink(missing_ok=True)


def _size(file: Path) -> int:
    """In bytes; 0 where another process has removed it meanwhile."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def write_chunks(path: Path, arrays: Mapping[str, ChunkFiles], result: BatchResult) -> None:
    """Write a batch's rows into the arrays of a store, a chunk for each array.

    Raises:
        StoreError, OSError: as ``StoreWriter.write`` does.
    """
    with _said_of(path):
        for name, rows in result.arrays.items():
            arrays[name].write(result.number, rows)


def arrays_of(path: Path, group: Any, kinds: Mapping[str, ArrayKind]) -> dict[str, ChunkFiles]:
    """The arrays of a store that is written to, chunk by chunk.

    Raises:
        StoreError: one is missing or broken, or another than these.
    """
    arrays = {name: array_of(path, group, name) for name in kinds}
    for name, kind in kinds.items():
        if arrays[name].shape[1:] != kind.shape or arrays[name].dtype != np.dtype(kind.dtype):
            came = f"{arrays[name].dtype} {arrays[name].shape[1:]}"
            raise StoreError(f"{path}: {name} is of {came}, where this run has {kind.dtype} {kind.shape}; name another store, or remove it")
    return {name: ChunkFiles.of(path / name, array) for name, array in arrays.items()}


def read_array(path: Path, name: str, array: Any, rows: npt.NDArray[np.int64] | None) -> Array:
    """Some rows of an array, or all.

    Args:
        path, name: of the store, and of the array in it.
        array: as ``array_of`` gives it.
        rows: as ``indices_of`` gives them; None: all.

    Raises:
        StoreError: it is broken.
    """
    try:
        return np.asarray(array[:] if rows is None else array.oindex[rows])
    except BROKEN as error:
        raise StoreError(f"{path}: {name} has a broken chunk ({error}); remove the store, and run again") from error


def indices_of(rows: Any, count: int, name: str) -> npt.NDArray[np.int64]:
    """Rows that are given as indices, as a slice or by a mask, as indices.

    Args:
        rows: as somebody gives them.
        count: how many there are.
        name: of what, for messages.

    Raises:
        OptionError: neither, a mask of another length, or an index out of range.

    >>> indices_of(slice(1, None), 3, "logits").tolist(), indices_of([True, False, True], 3, "logits").tolist()
    ([1, 2], [0, 2])
    """
    given = _as_rows(rows, count)
    if given is None:
        said = " ".join(repr(rows).split())[:60]
        raise OptionError(f"{name}: rows={said}; pick entries by a list of indices, such as [0, 3], a slice, or a mask ({count},) of bool")
    if given.dtype == np.bool_:
        if given.shape != (count,):
            raise OptionError(f"{name} has {count} entries, and the mask is of the shape {given.shape}; give ({count},), or indices")
        return np.flatnonzero(given)
    if (outside := given[(given < -count) | (given >= count)]).size:
        raise OptionError(f"{name} has {count} entries, and no {outside.flat[0]}; give indices of 0 to {count - 1}, or a mask ({count},)")
    return given.astype(np.int64)


def _as_rows(rows: Any, count: int) -> Array | None:
    """Indices (n,) or a mask, as an array; None: it is neither."""
    try:
        given = np.arange(count)[rows] if isinstance(rows, slice) else np.asarray(rows)
    except (TypeError, ValueError):
        return None
    if not given.size and given.ndim == 1:
        return given.astype(np.int64) if given.dtype != np.bool_ else given
    return given if given.dtype == np.bool_ or (given.dtype.kind in "iu" and given.ndim == 1) else None


def array_of(path: Path, group: Any, name: str) -> Any:
    """An array of a store, as zarr has it.

    Raises:
        StoreError: it is missing or broken, or no array.
    """
    try:
        array = group[name]
    except BROKEN as error:
        raise StoreError(f"{path}: {name} is missing or broken ({type(error).__name__}); remove the store, and run again") from error
    if not hasattr(array, "oindex"):
        raise StoreError(f"{path}: {name} is no array but several; say which")
    return array


def opened(path: Path, mode: str) -> Any:
    """The group of a store.

    Raises:
        StoreError: it is no store, or of a newer version.
    """
    zarr = zarr_package()
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path}: no store of relevance maps, but a file; name another place")
    try:
        group = zarr.open_group(path, mode=mode)
        version = group.attrs["format"]
    except BROKEN as error:
        raise StoreError(f"{path}: no store of relevance maps ({type(error).__name__}); name another place, or remove it") from error
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise StoreError(
            f"{path}: of the format {version!r}, and formats are counted from 1; it is broken: name another place, or remove it"
        )
    if version > FORMAT:
        raise StoreError(f"{path}: written by a newer signxai, as format {version}; this one knows format {FORMAT}: update signxai")
    return group


def attributes_of(path: Path, group: Any) -> dict[str, Any]:
    """What a store says of itself.

    Raises:
        StoreError: it does not say all that it must.
    """
    attributes = dict(group.attrs)
    check_attributes(path / _ATTRIBUTES, attributes)
    return attributes


def read_manifest(path: Path, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What is in a store: the batches that are done, as ranges, and the entries that failed.

    Args:
        path: of the store.
        attributes: what it says of itself, see ``attributes_of``.

    Raises:
        StoreError: it is missing or broken, or lists what the store does not have.
    """
    file = path / MANIFEST / _ATTRIBUTES
    manifest = _manifest_in(file)
    check_manifest(file, manifest, attributes["run"]["source"]["entries"], attributes["batch_size"])
    return manifest


def _manifest_in(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text())["attributes"]
        return {
            "done": [(index(a), index(b)) for a, b in content["done"]],
            "failed": [(index(i), k, r) for i, k, r in content["failed"]],
        }
    except (OSError, *BROKEN) as error:
        raise StoreError(
            f"{file}: the record of what is in the store is missing or broken ({error}); remove the store, and run again"
        ) from error


def _write_manifest(path: Path, done: set[int], failures: Mapping[int, Failure]) -> None:
    listed = [[failure.index, failure.key, failure.reason] for _, failure in sorted(failures.items())]
    content = {"zarr_format": 3, "node_type": "group", "attributes": {"done": _ranges(done), "failed": listed}}
    file = path / MANIFEST / _ATTRIBUTES
    part = file.with_name(_PART)
    with part.open("w") as stream:
        json.dump(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def _ranges(numbers: set[int]) -> list[list[int]]:
    """Whole numbers as ranges.

    >>> _ranges({0, 1, 2, 5})
    [[0, 3], [5, 6]]
    """
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] += 1
        else:
            ranges.append([number, number + 1])
    return ranges


def refuse_other_run(path: Path, stored: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Raise if a store is of another run.

    Raises:
        StoreError: it names the first differences.
    """
    now_run = json.loads(json.dumps(run))
    if (held := list(stored.get("methods", ()))) != (asked := list(now_run.get("methods", ()))):
        raise StoreError(f"{path}: holds {', '.join(held)}, and {', '.join(asked)} is asked for; name another store, or repeat that run")
    differences = [f"{name} was {then!r} and is {now!r}" for name, then, now in _differences(stored, now_run)]
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise StoreError(f"{path}: of another run: {'; '.join(differences[:3])}{more}; name another store, or repeat that run")


def _with_names(run: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
    """A run with what its classes are called, by number, as labels and targets mean others if they are called otherwise."""
    return {**run, "class_names": {str(number): name for number, name in enumerate(class_names)}}


def _differences(stored: Any, run: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(stored, Mapping) and isinstance(run, Mapping):
        keys = [*run, *(key for key in stored if key not in run)]
        parts = [_differences(stored.get(key), run.get(key), f"{name}.{key}" if name else key) for key in keys]
        return [difference for part in parts for difference in part]
    return [] if stored == run else [(name, stored, run)]


def _known(entries: Entries, class_names: Sequence[str]) -> dict[str, Array]:
    """What is known of entries before they are read, as arrays: names as strings, numbers as int64 with -1 where nobody says.

    Raises:
        SignxaiError: a class that a table gives is none, or may be either of two.
    """
    known: dict[str, Array] = {"key": np.array(entries.keys, dtype=object).astype(str)}
    if entries.groups is not None:
        known["group"] = np.array(entries.groups, dtype=str)
    for name, what in (("label", "labels"), ("target_given", "targets")):
        if (values := getattr(entries, what)) is not None:
            known[name] = classes_kept(what, values, entries.keys, class_names)
    return known
