"""Sources: what a data set consists of, entry by entry, each addressed by its index and read when its turn comes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from signxai.common.errors import InputError

__all__ = ["ArraySource", "Entries", "Source", "TorchSource"]

Array = npt.NDArray[Any]
Class = int | str
"""A class by its number, or by its name."""

_LOOKED_AT = 16


@dataclass(frozen=True)
class Entries:
    """What is known of a data set's entries before any of them is read.

    Attributes:
        keys: what each is called: its file, or its index.
        labels: the class that each belongs to; None: nobody says, of one or of all.
        groups: what belongs together, such as the recordings of one patient; None: nobody says.
        targets: the class of which each is explained; None: nobody says.

    Raises:
        InputError: as many labels, groups or targets as there are keys are not given, or two entries have one key.
    """

    keys: Sequence[str]
    labels: Sequence[Class | None] | None = None
    groups: Sequence[str] | None = None
    targets: Sequence[Class] | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "groups", "targets"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.keys):
                raise InputError(f"{len(given)} {name} of {len(self.keys)} entries; give one for each")
        if not self.keys:
            raise InputError("the data set has no entries")
        seen: set[str] = set()
        for key in self.keys:
            if key in seen:
                raise InputError(f"two entries are called {key!r}; each needs a name of its own")
            seen.add(key)

    def fingerprint(self) -> str:
        """A hash of all of it, by which another data set is told from this one."""
        digest = hashlib.sha256()
        for part in (self.keys, self.labels, self.groups, self.targets):
            digest.update(b"\1" if part is None else b"\2")
            for value in part or ():
                digest.update(repr(value).encode() + b"\0")
        return digest.hexdigest()


class Source(Protocol):
    """A data set, of which each entry can be read by itself, as often as wanted and in any order."""

    @property
    def kind(self) -> str:
        """What it is, in a word, and where it comes from."""

    @property
    def entries(self) -> Entries:
        """What is known before reading."""

    def content_hash(self) -> str:
        """A hash of what can be had of the values without reading all of them, by which a changed data set is noticed."""

    def read(self, index: int) -> Array:
        """One entry as the network takes it, without the batch axis.

        Raises:
            SignxaiError, OSError: it cannot be read; the message says why.
        """


@dataclass(frozen=True, eq=False)
class ArraySource:
    """An array (N, ...): in memory, mapped from a file, or of zarr.

    Args:
        values: the array; anything with ``shape`` and ``values[index]`` does.
        labels, groups, targets: (N,), as ``Entries`` has them.
        kind: what it is, and where it comes from.

    Raises:
        InputError: no array, or one without a batch axis.

    >>> source = ArraySource(np.zeros((5, 3, 8, 8)), labels=[0, 1, 0, 1, 1])
    >>> len(source.entries.keys), source.read(2).shape
    (5, (3, 8, 8))
    """

    values: Any
    labels: Sequence[Class | None] | None = None
    groups: Sequence[str] | None = None
    targets: Sequence[Class] | None = None
    kind: str = "array"
    entries: Entries = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = getattr(self.values, "shape", None)
        if not shape or len(shape) < 2:
            raise InputError(f"values of {'no' if shape is None else f'the shape {tuple(shape)},'} shape; an array (N, ...) is needed")
        plain = [None if part is None else _plain(part) for part in (self.labels, self.groups, self.targets)]
        object.__setattr__(self, "entries", Entries([str(index) for index in range(shape[0])], *plain))

    def content_hash(self) -> str:
        """Of the shape, the type, and at most 16 entries from the first to the last."""
        count = self.values.shape[0]
        picked = sorted({round(place) for place in np.linspace(0, count - 1, min(count, _LOOKED_AT))})
        digest = hashlib.sha256(f"{tuple(self.values.shape)} {self.values.dtype}".encode())
        for index in picked:
            digest.update(np.ascontiguousarray(_numbers(self.values[index])).tobytes())
        return digest.hexdigest()

    def read(self, index: int) -> Array:
        return _as_array(self.values[index])


@dataclass(frozen=True, eq=False)
class TorchSource:
    """A ``torch.utils.data.Dataset`` that is addressed by index: entries that are a tensor, or begin with one.

    Args:
        dataset: with ``len`` and ``dataset[index]``.
        kind: what it is.
        has_labels: the second part of each entry is its class, an integer. To know all of them, every entry is read once at the
            beginning, unless the data set has them as ``targets`` (torchvision's way).
        groups, targets: (N,), as ``Entries`` has them.

    Raises:
        InputError: it has no length, or no labels where they are asked for.

    >>> pairs = torch.utils.data.TensorDataset(torch.zeros(4, 2), torch.tensor([1, 0, 1, 1]))
    >>> TorchSource(pairs, has_labels=True).entries.labels
    [1, 0, 1, 1]
    """

    dataset: Any
    kind: str = "torch data set"
    has_labels: bool = False
    groups: Sequence[str] | None = None
    targets: Sequence[Class] | None = None
    entries: Entries = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            count = len(self.dataset)
        except TypeError as error:
            raise InputError(f"{type(self.dataset).__name__} has no length; a data set that is addressed by index is needed") from error
        labels = self._labels(count) if self.has_labels else None
        object.__setattr__(self, "entries", Entries([str(index) for index in range(count)], labels, self.groups, self.targets))

    def _labels(self, count: int) -> list[Class]:
        known = getattr(self.dataset, "targets", None)
        if known is not None and len(known) == count:
            return _plain(known)
        return _plain([_second(self.dataset[index], index) for index in range(count)])

    def content_hash(self) -> str:
        """Of the number of entries and the first of them."""
        first = self._values(0)
        return hashlib.sha256(f"{first.shape} {first.dtype}".encode() + np.ascontiguousarray(first).tobytes()).hexdigest()

    def read(self, index: int) -> Array:
        return _as_array(self._values(index))

    def _values(self, index: int) -> Array:
        entry = self.dataset[index]
        return _numbers(entry[0] if isinstance(entry, tuple | list) else entry)


def _second(entry: object, index: int) -> object:
    if not isinstance(entry, tuple | list) or len(entry) < 2:
        raise InputError(f"entry {index} of the data set is {type(entry).__name__} without a second part, its label")
    return entry[1]


def _plain(values: Any) -> list[Any]:
    """Classes or names as plain integers and strings.

    Raises:
        InputError: a value is neither.
    """
    plain = [value.item() if isinstance(value, np.generic | torch.Tensor) else value for value in values]
    for value in plain:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise InputError(f"{value!r} is no class; classes are whole numbers or names")
    return plain


def _as_array(value: Any) -> Array:
    """Numbers of an entry.

    Raises:
        InputError: it is no array of numbers, or holds NaN or infinity.
    """
    array = _numbers(value)
    if not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_:
        raise InputError(f"the entry is {type(value).__name__} of {array.dtype}, not an array of numbers")
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        raise InputError("the entry holds NaN or infinity")
    return array


def _numbers(value: Any) -> Array:
    return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
