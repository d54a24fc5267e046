"""Reads the entries of a data set ahead of the work: batch by batch, in workers, with what fails by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset

from signxai.common.errors import SignxaiError
from signxai.datasets.sources import Source
from signxai.datasets.store_writer import Failure

__all__ = ["ReadBatch", "batches_of", "read_batch", "rows_of"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ReadBatch:
    """The entries of one batch that could be read.

    Attributes:
        number: of the batch.
        rows: which entries of the data set the batch consists of.
        indices: those that were read.
        samples: their values, in the same order.
        failures: the others.
    """

    number: int
    rows: range
    indices: list[int]
    samples: list[Array]
    failures: list[Failure]


def rows_of(number: int, batch_size: int, count: int) -> range:
    """The entries of a batch.

    >>> rows_of(2, batch_size=4, count=10)
    range(8, 10)
    """
    return range(number * batch_size, min((number + 1) * batch_size, count))


def read_batch(source: Source, number: int, batch_size: int) -> ReadBatch:
    """One batch of a source."""
    rows = rows_of(number, batch_size, len(source.entries.keys))
    return _batch(number, rows, [_read(source, index) for index in rows])


def batches_of(source: Source, numbers: Sequence[int], batch_size: int, workers: int) -> Iterator[ReadBatch]:
    """The batches of these numbers, in their order.

    Args:
        source: of the entries.
        numbers: of the batches.
        batch_size: entries in each.
        workers: processes that read ahead, two batches each; 0: none.
    """
    if not workers:
        yield from (read_batch(source, number, batch_size) for number in numbers)
        return
    rows = [rows_of(number, batch_size, len(source.entries.keys)) for number in numbers]
    loader: DataLoader[Array | Failure] = DataLoader(
        _AsDataset(source), batch_sampler=[list(part) for part in rows], num_workers=workers, collate_fn=list, prefetch_factor=2
    )
    for number, part, values in zip(numbers, rows, loader, strict=True):
        yield _batch(number, part, values)


class _AsDataset(Dataset[Array | Failure]):
    """A source as torch's loader takes it: an entry that fails is its failure."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, index: int) -> Array | Failure:
        return _read(self.source, index)


def _read(source: Source, index: int) -> Array | Failure:
    try:
        return np.asarray(source.read(index))
    except (SignxaiError, OSError) as error:
        return Failure(index, source.entries.keys[index], reason_of(error))


def reason_of(error: Exception) -> str:
    """Why an entry failed, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _batch(number: int, rows: range, values: Sequence[Array | Failure]) -> ReadBatch:
    read = [(index, value) for index, value in zip(rows, values, strict=True) if not isinstance(value, Failure)]
    failures = [value for value in values if isinstance(value, Failure)]
    return ReadBatch(number, rows, [index for index, _ in read], [value for _, value in read], failures)
