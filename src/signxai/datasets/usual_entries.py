"""What the entries of a data set are like: as most of those are that are looked at before a run begins. The others fail by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError, SignxaiError
from signxai.datasets.fingerprints import spread
from signxai.datasets.reading import parts_read, reason_of
from signxai.datasets.sources import Source

__all__ = ["Example", "InputKind", "example_at", "usual_entry"]

_GLANCE, _LOOK = 3, 32
"""So many entries are read where all of these are alike, and where they are not."""


@dataclass(frozen=True)
class InputKind:
    """What an input is like in every entry: its shape without the batch axis, and its type."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Example:
    """An entry that the others are to be like.

    Attributes:
        index: which one it is.
        key: what it is called.
        parts: its arrays, by name.
    """

    index: int
    key: str
    parts: Mapping[str, npt.NDArray[Any]]

    @property
    def kinds(self) -> dict[str, InputKind]:
        """What its parts are like, by name."""
        return {name: InputKind(part.shape, part.dtype) for name, part in self.parts.items()}

    def is_like(self) -> Hashable:
        """What other entries of its kind have in common with it: the parts, their shapes, and their types, of which all floats are one."""
        kinds = [(name, kind.shape, "f" if kind.dtype.kind == "f" else kind.dtype.str) for name, kind in self.kinds.items()]
        return tuple(sorted(kinds))


def example_at(source: Source, index: int) -> Example | None:
    """The entry of this index; None if it cannot be read."""
    try:
        return Example(index, source.entries.keys[index], parts_read(source, index))
    except (SignxaiError, OSError):
        return None


def usual_entry(source: Source) -> Example:
    """The first of those entries that are like most: of three from the first to the last, and of 32 where these are not alike.

    Raises:
        InputError: not one entry can be read.

    >>> from signxai.datasets import ArraySource
    >>> usual_entry(ArraySource(np.zeros((5, 2)))).index
    0
    """
    count = len(source.entries.keys)
    seen = _read(source, spread(count, _GLANCE))
    if len(seen) < min(count, _GLANCE) or len({example.is_like() for example in seen.values()}) > 1:
        seen |= _read(source, [index for index in spread(count, _LOOK) if index not in seen])
    if not seen:
        return _first_readable(source)
    ordered = [seen[index] for index in sorted(seen)]
    [(usual, _)] = Counter(example.is_like() for example in ordered).most_common(1)  # of equally many the first
    return next(example for example in ordered if example.is_like() == usual)


def _read(source: Source, indices: Iterable[int]) -> dict[int, Example]:
    """Those of some entries that can be read."""
    found = {index: example_at(source, index) for index in indices}
    return {index: example for index, example in found.items() if example is not None}


def _first_readable(source: Source) -> Example:
    """The first entry that can be read.

    Raises:
        InputError: there is none.
    """
    for index in range(len(source.entries.keys)):
        if (example := example_at(source, index)) is not None:
            return example
    try:
        parts_read(source, 0)
    except (SignxaiError, OSError) as error:
        reason = reason_of(error)
    raise InputError(f"none of the {len(source.entries.keys)} entries can be read; the first: {reason}")
