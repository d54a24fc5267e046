"""Sources: what a data set consists of, entry by entry, each addressed by its index and read when its turn comes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from signxai.common.errors import InputError, SignxaiError
from signxai.datasets.classes import check_numbers
from signxai.datasets.fingerprints import add_values, is_plain, numbers, spread
from signxai.datasets.parts import ONE, Entry, as_given, check_names, parts_of

__all__ = ["ArraySource", "Entries", "Source", "TorchSource", "as_text"]

Array = npt.NDArray[Any]
Class = int | str
"""A class by its number, or by its name."""


@dataclass(frozen=True)
class Entries:
    """What is known of a data set's entries before any of them is read.

    Names of files that are no UTF-8 stand in all of them as ``as_text`` spells them, since no store, page or table holds them otherwise.

    Attributes:
        keys: what each is called: its file, or its index.
        labels: the class that each belongs to; None, or among names "": nobody says, of one or of all.
        groups: what belongs together, such as the recordings of one patient; None: nobody says.
        targets: the class of which each is explained; None: nobody says.

    Raises:
        InputError: as many labels, groups or targets as there are keys are not given, a key is no text or that of two entries, or a class
            is neither a name nor a whole number from 0 of up to 64 bits.

    >>> Entries(["caf\\udce9.png"], labels=["cat"]).keys
    ['caf\\\\xe9.png']
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
        for name in ("keys", "labels", "groups", "targets"):
            if (given := getattr(self, name)) is not None:
                plain = _plain_labels(given) if name in ("labels", "targets") else given
                object.__setattr__(self, name, [as_text(value) if isinstance(value, str) else value for value in plain])
        if not self.keys:
            raise InputError("the data set has no entries")
        for name, classes in (("labels", self.labels), ("targets", self.targets)):
            if classes is not None:
                check_numbers(name, classes, self.keys)
        seen: set[str] = set()
        for key in self.keys:
            if not isinstance(key, str):
                raise InputError(f"an entry is called {key!r}; give its name as text")
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


def as_text(name: str) -> str:
    """A name as text that any file holds: bytes of a file's name that are no UTF-8 are spelled, as is half a pair of surrogates.

    >>> as_text("café"), as_text("caf\\udce9"), as_text("\\ud800")
    ('café', 'caf\\\\xe9', '\\\\ud800')
    """
    if name.isascii():
        return name
    spelled = "".join(f"\\x{ord(one) - 0xDC00:02x}" if "\udc80" <= one <= "\udcff" else one for one in name)
    return spelled.encode("utf-8", "backslashreplace").decode("utf-8")


def is_of_64_bits(number: int) -> bool:
    """Whether a store can hold a class of this number."""
    return -(2**63) <= number < 2**63


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

    def read(self, index: int) -> Entry:
        """One entry as the network takes it, without the batch axis; of a network with several inputs an array for each, by name.

        Raises:
            SignxaiError, OSError: it cannot be read; the message says why.
        """


@dataclass(frozen=True, eq=False)
class ArraySource:
    """An array (N, ...): in memory, mapped from a file, or of zarr; for a network with several inputs one of each.

    Args:
        values: the array; anything with ``shape`` and ``values[index]`` does. Or a mapping of them, by the
            arguments of the model's forward.
        labels, groups, targets: (N,), as ``Entries`` has them; a label may be None.
        kind: what it is, and where it comes from.

    Raises:
        InputError: no array, one without a batch axis, or several that differ in how many entries they have.

    >>> source = ArraySource(np.zeros((5, 3, 8, 8)), labels=[0, 1, 0, 1, 1])
    >>> len(source.entries.keys), source.read(2).shape
    (5, (3, 8, 8))
    >>> sorted(ArraySource({"ecg": np.zeros((5, 2, 100)), "age": np.zeros(5)}).read(2))
    ['age', 'ecg']
    """

    values: Any
    labels: Sequence[Class | None] | None = None
    groups: Sequence[str] | None = None
    targets: Sequence[Class] | None = None
    kind: str = "array"
    entries: Entries = field(init=False, repr=False)

    def __post_init__(self) -> None:
        count = _count_of(self.values)
        labels = None if self.labels is None else _plain_labels(self.labels)
        groups, targets = (None if part is None else _plain(part) for part in (self.groups, self.targets))
        object.__setattr__(self, "entries", Entries([str(index) for index in range(count)], labels, groups, targets))

    def content_hash(self) -> str:
        """Of the names, the shapes, the types, and the values: of arrays in memory, or mapped from a file, all of them up to 256 MB, and
        of larger ones entries of 256 MB together (16 to 4096 of them) from the first to the last, with the size and the time of a
        mapped file; of other arrays, as those of zarr, 16 entries from the first to the last.
        """
        digest = hashlib.sha256()
        for name, values in parts_of(self.values).items():
            digest.update(f"{name}{tuple(values.shape)} {values.dtype}".encode())
            add_values(digest, values)
        return digest.hexdigest()

    def read(self, index: int) -> Entry:
        return as_given({name: _as_array(values[index], name) for name, values in parts_of(self.values).items()})

    def read_together(self, rows: range) -> Entry | None:
        """Several entries (n, ...) as they lie in NumPy arrays; None of others, or where ``read`` would refuse one, or is another's."""
        parts = parts_of(self.values)
        if type(self).read is not ArraySource.read or not all(_lies_in_memory(values) for values in parts.values()):
            return None
        read = {name: np.asarray(values[rows.start : rows.stop]) for name, values in parts.items()}
        return as_given(read) if all(part.dtype.kind != "f" or np.isfinite(part).all() for part in read.values()) else None


def _lies_in_memory(values: Any) -> bool:
    """Whether values are numbers of an array of NumPy itself, of which a row is the same among others and alone, and torch's types."""
    return is_plain(values) and values.dtype.kind in "fiub" and values.dtype.itemsize <= np.dtype(np.float64).itemsize


def _count_of(values: Any) -> int:
    """How many entries arrays have.

    Raises:
        InputError: they are none, or differ in that.
    """
    if not isinstance(values, Mapping):
        shape = getattr(values, "shape", None)
        if not shape or len(shape) < 2:
            raise InputError(f"values {_of_shape(values)}; an array (N, ...) is needed, of an entry on each place of the first axis")
        return int(shape[0])
    check_names(list(values))
    shapes = {name: getattr(part, "shape", None) for name, part in values.items()}
    for name, shape in shapes.items():
        if not shape:
            raise InputError(f"input {name!r} {_of_shape(values[name])}; an array (N, ...) is needed")
    counts = {name: int(shape[0]) for name, shape in shapes.items() if shape}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise InputError(f"the inputs have one number of entries, on the first axis of each, but of these {said}")
    return next(iter(counts.values()))


def _of_shape(values: Any) -> str:
    """What is said of values that are no array of entries.

    >>> _of_shape(np.zeros(10)), _of_shape([1, 2])
    ('of the shape (10,)', 'that are a list, which has no shape')
    """
    shape = getattr(values, "shape", None)
    return f"that are a {type(values).__name__}, which has no shape" if shape is None else f"of the shape {tuple(shape)}"


@dataclass(frozen=True, eq=False)
class TorchSource:
    """A ``torch.utils.data.Dataset`` that is addressed by index: entries that are a tensor, or begin with one.

    For a network with several inputs an entry is a mapping of tensors, or begins with one; or its first parts are the tensors that
    ``inputs`` names.

    Args:
        dataset: with ``len`` and ``dataset[index]``.
        kind: what it is.
        has_labels: the part of each entry behind what the network takes is its class, an integer. To know all of them, every entry is
            read once at the beginning, unless the data set has them as ``targets`` (torchvision's way); one that cannot be read has none,
            and fails when its turn comes.
        groups, targets: (N,), as ``Entries`` has them.
        inputs: which arguments of the model's forward the first parts of an entry are, in their order.

    Raises:
        InputError: it has no length, or no labels where they are asked for, not one entry can be read for its label, or ``inputs`` is a
            word instead of a list of them.

    >>> pairs = torch.utils.data.TensorDataset(torch.zeros(4, 2), torch.tensor([1, 0, 1, 1]))
    >>> TorchSource(pairs, has_labels=True).entries.labels
    [1, 0, 1, 1]
    >>> sorted(TorchSource(pairs, inputs=["x", "kind"]).read(0))
    ['kind', 'x']
    """

    dataset: Any
    kind: str = "torch data set"
    has_labels: bool = False
    groups: Sequence[str] | None = None
    targets: Sequence[Class] | None = None
    inputs: Sequence[str] = ()
    entries: Entries = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            count = len(self.dataset)
        except TypeError as error:
            raise InputError(f"{type(self.dataset).__name__} has no length; a data set that is addressed by index is needed") from error
        if isinstance(self.inputs, str):
            raise InputError(f"inputs={self.inputs!r} is one word; give a list of names: [{self.inputs!r}]")
        if self.inputs:
            check_names(self.inputs)
        labels = self._labels(count) if self.has_labels else None
        object.__setattr__(self, "entries", Entries([str(index) for index in range(count)], labels, self.groups, self.targets))

    def _labels(self, count: int) -> list[Class | None]:
        known = getattr(self.dataset, "targets", None)
        if known is not None and len(known) == count:
            return _plain_labels(known)
        failed: list[Exception] = []
        labels = _plain_labels(list(self._labels_read(count, failed)))
        if failed and len(failed) == count:
            raise failed[0]
        return labels

    def _labels_read(self, count: int, failed: list[Exception]) -> Iterator[Any]:
        """The label of each entry; None of one that cannot be read, whose error is put to the others."""
        for index in range(count):
            try:
                yield self._parts(index)[1]
            except (SignxaiError, OSError) as error:
                failed.append(error)
                yield None

    def content_hash(self) -> str:
        """Of the number of entries, and of 16 of them from the first to the last: more cannot be had without reading them all."""
        digest = hashlib.sha256(str(len(self.entries.keys)).encode())
        for index in spread(len(self.entries.keys)):
            for name, values in self._looked_at(index).items():
                digest.update(f"{index} {name}{values.shape} {values.dtype}".encode() + np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def _looked_at(self, index: int) -> dict[str, Array]:
        """The values of an entry; none of one that cannot be read, which is said when its turn comes."""
        try:
            return {str(name): numbers(value) for name, value in parts_of(self._given(index)).items()}
        except (SignxaiError, OSError, TypeError, ValueError, RuntimeError):
            return {}

    def read(self, index: int) -> Entry:
        given = self._given(index)
        if isinstance(given, Mapping):
            check_names(list(given))
        return as_given({name: _as_array(value, name) for name, value in parts_of(given).items()})

    def _given(self, index: int) -> Any:
        """What the network takes of an entry: a tensor, or a mapping of them."""
        given, _ = self._parts(index)
        return given

    def _parts(self, index: int) -> tuple[Any, Any]:
        """What the network takes of an entry, and what follows; None where nothing does.

        Raises:
            InputError: it has too few parts, or cannot be read.
        """
        entry = self._entry(index)
        parts = list(entry) if isinstance(entry, tuple | list) else [entry]
        if self.inputs and isinstance(parts[0], tuple | list):
            parts = [*parts[0], *parts[1:]]
        count = 1 if isinstance(parts[0], Mapping) else len(self.inputs) or 1
        if len(parts) < count + self.has_labels:
            label = " and a label" if self.inputs else ""
            wanted = f"{', '.join(self.inputs)}{label}" if self.inputs else "a second part, its label"
            raise InputError(f"entry {index} of the data set is {type(entry).__name__} of {len(parts)} without {wanted}")
        if not self.inputs and isinstance(parts[0], tuple | list):
            raise InputError(
                f"entry {index} of the data set has several inputs; say by inputs= which arguments of the model's forward they are"
            )
        named = self.inputs and not isinstance(parts[0], Mapping)
        given = dict(zip(self.inputs, parts, strict=False)) if named else parts[0]
        return given, parts[count] if len(parts) > count else None

    def _entry(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except (SignxaiError, OSError):
            raise
        except Exception as error:  # a data set may raise anything
            raise InputError(f"the data set failed on entry {index}: {type(error).__name__}: {error}") from error


def _plain_labels(values: Any) -> list[Class | None]:
    """Classes as plain integers and strings, None where nobody says.

    Raises:
        InputError: a value is neither.

    >>> _plain_labels(np.array([1, 0])), _plain_labels(["cat", None])
    ([1, 0], ['cat', None])
    """
    return [None if value is None else _plain([value])[0] for value in values]


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


def _as_array(value: Any, name: str = ONE) -> Array:
    """Numbers of an entry, or of its part of this name.

    Raises:
        InputError: it is no array of numbers, or holds NaN or infinity.
    """
    if np.ma.is_masked(value):
        raise InputError(f"{_called(name)} has masked values, which no network leaves out; fill them")
    array = numbers(value)
    if not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_:
        raise InputError(f"{_called(name)} is {type(value).__name__} of {array.dtype}, not an array of numbers")
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        raise InputError(f"{_called(name)} holds NaN or infinity")
    return array


def _called(name: str) -> str:
    return f"the entry's input {name!r}" if name else "the entry"
