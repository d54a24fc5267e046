"""Reads the entries of a data set ahead of the work: batch by batch, in workers, with what fails by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset

from signxai.common.errors import InputError, SignxaiError, StoreError
from signxai.datasets.parts import Entry, parts_of
from signxai.datasets.sources import Source, as_text
from signxai.datasets.store_writer import Failure

__all__ = ["ReadBatch", "batches_of", "lost_reader", "parts_read", "read_batch", "reason_alone", "reason_of", "rows_of"]

Parts = Mapping[str, npt.NDArray[Any]]
"""What an entry consists of, see ``signxai.datasets.parts``."""


@dataclass(frozen=True)
class ReadBatch:
    """The entries of one batch that could be read.

    Attributes:
        number: of the batch.
        rows: which entries of the data set the batch consists of.
        indices: those that were read.
        samples: the parts of each, by name, in the same order.
        failures: the others.
        together: the parts of all (n, ...), by name, where they were read so, in place of ``samples``.
    """

    number: int
    rows: range
    indices: list[int]
    samples: list[Parts]
    failures: list[Failure]
    together: Parts | None = None

    def entries(self) -> list[Parts]:
        """The parts of each that was read, by name, however it was."""
        if self.together is None:
            return self.samples
        return [{name: part[place] for name, part in self.together.items()} for place in range(len(self.indices))]


@runtime_checkable
class ReadsTogether(Protocol):
    """A source that can give entries that follow one another at once, which entry by entry takes longer than a small network does."""

    def read_together(self, rows: range) -> Entry | None:
        """What ``read`` gives of entries, along a first axis; None where they have to be read one by one."""


def rows_of(number: int, batch_size: int, count: int) -> range:
    """The entries of a batch.

    >>> rows_of(2, batch_size=4, count=10)
    range(8, 10)
    """
    return range(number * batch_size, min((number + 1) * batch_size, count))


def read_batch(source: Source, number: int, batch_size: int) -> ReadBatch:
    """One batch of a source."""
    rows = rows_of(number, batch_size, len(source.entries.keys))
    if isinstance(source, ReadsTogether) and (entries := source.read_together(rows)) is not None:
        return ReadBatch(number, rows, list(rows), [], [], {name: _native(part) for name, part in parts_of(entries).items()})
    return _batch(number, rows, [_read(source, index) for index in rows])


def batches_of(
    source: Source, numbers: Sequence[int], batch_size: int, workers: int, at_start: Callable[[int], None] | None = None
) -> Iterator[ReadBatch]:
    """The batches of these numbers, in their order.

    Args:
        source: of the entries.
        numbers: of the batches.
        batch_size: entries in each.
        workers: processes that read ahead, two batches each; 0: none.
        at_start: what each of them does first, given its number.

    Raises:
        StoreError: one of them was lost.
    """
    if not workers:
        yield from (read_batch(source, number, batch_size) for number in numbers)
        return
    rows = [rows_of(number, batch_size, len(source.entries.keys)) for number in numbers]
    loader: DataLoader[Parts | Failure] = DataLoader(
        _AsDataset(source),
        batch_sampler=[list(part) for part in rows],
        num_workers=workers,
        collate_fn=list,
        prefetch_factor=2,
        worker_init_fn=at_start,
    )
    for number, part, values in zip(numbers, rows, loader, strict=True):
        yield _batch(number, part, values)


def lost_reader(error: BaseException | None) -> StoreError | None:
    """The error for a process that read ahead and is gone, if this one, or what caused it, is torch's for that; else None.

    torch has no class for it, and raises it from a handler of signals, wherever the run just is.
    """
    while error is not None:
        if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
            return StoreError("a process that reads ahead was killed, perhaps as memory ran out; run again, with fewer workers")
        error = error.__cause__
    return None


class _AsDataset(Dataset[Parts | Failure]):
    """A source as torch's loader takes it: an entry that fails is its failure."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, index: int) -> Parts | Failure:
        return _read(self.source, index)


def parts_read(source: Source, index: int) -> dict[str, npt.NDArray[Any]]:
    """The parts of one entry, by name.

    Raises:
        SignxaiError, OSError: it cannot be read; the message says why.
    """
    try:
        return {name: _native(np.asarray(part)) for name, part in parts_of(source.read(index)).items()}
    except (SignxaiError, OSError):
        raise
    except Exception as error:  # a source may raise anything
        raise InputError(f"the source failed on entry {index}: {type(error).__name__}: {error}") from error


def _native(part: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers in the machine's own order of bytes, as torch takes them and a store has them.

    Raises:
        InputError: they are of a type that torch does not have.
    """
    if part.dtype.kind == "f" and part.dtype.itemsize > np.dtype(np.float64).itemsize:
        raise InputError(f"is of {part.dtype}, which torch does not have; give float64")
    return part if part.dtype.isnative else part.astype(part.dtype.newbyteorder("="))


def _read(source: Source, index: int) -> Parts | Failure:
    try:
        return parts_read(source, index)
    except (SignxaiError, OSError) as error:
        return Failure(index, source.entries.keys[index], reason_of(error))


def reason_of(error: Exception) -> str:
    """Why an entry failed, in one line."""
    return as_text(" ".join(str(error).split()) or type(error).__name__)


def reason_alone(failure: Failure) -> str:
    """Why an entry failed, without the file before it that its key names as well.

    >>> reason_alone(Failure(0, "cat/a.png", "photos/cat/a.png: no picture")), reason_alone(Failure(7, "7", "no number"))
    ('no picture', 'no number')
    """
    place, colon, reason = failure.reason.partition(": ")
    names_it = place == failure.key or failure.key.startswith(f"{place} ") or place.endswith((f"/{failure.key}", f"\\{failure.key}"))
    return reason if colon and names_it else failure.reason


def _batch(number: int, rows: range, values: Sequence[Parts | Failure]) -> ReadBatch:
    read = [(index, value) for index, value in zip(rows, values, strict=True) if not isinstance(value, Failure)]
    failures = [value for value in values if isinstance(value, Failure)]
    return ReadBatch(number, rows, [index for index, _ in read], [value for _, value in read], failures)
