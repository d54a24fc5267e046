"""Entries of several named parts: what a network with several inputs takes of one sample, and where that stands in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError

__all__ = ["ONE", "Entry", "as_given", "check_names", "parts_of", "place_of", "stacked"]

Array = npt.NDArray[Any]
Entry = Array | Mapping[str, Array]
"""One entry: an array, or of a network with several inputs an array for each, by the argument of its forward."""
Value = TypeVar("Value")

ONE = ""
"""What the only part of an entry is called."""


def parts_of(entry: Value | Mapping[str, Value]) -> dict[str, Value]:
    """The parts of an entry, of its views or its maps, by name.

    >>> parts_of(3), parts_of({"ecg": 3, "age": 4})
    ({'': 3}, {'ecg': 3, 'age': 4})
    """
    return dict(entry) if isinstance(entry, Mapping) else {ONE: entry}


def as_given(parts: Mapping[str, Value]) -> Value | dict[str, Value]:
    """The parts as a user has them: the only one as it is, several by name.

    >>> as_given({"": 3}), as_given({"ecg": 3})
    (3, {'ecg': 3})
    """
    return parts[ONE] if set(parts) == {ONE} else dict(parts)


def place_of(array: str, name: str) -> str:
    """Where an array of a part stands in a store.

    >>> place_of("input", ""), place_of("relevance/lrp_z", "ecg")
    ('input', 'relevance/lrp_z/ecg')
    """
    return f"{array}/{name}" if name else array


def stacked(entries: Sequence[Mapping[str, Array]]) -> Array | dict[str, Array]:
    """Entries of one kind as a batch (n, ...), as ``signxai.explain`` takes it."""
    return as_given({name: np.stack([entry[name] for entry in entries]) for name in entries[0]})


def check_names(names: Sequence[object]) -> None:
    """Refuse parts that cannot be keyword arguments of a network.

    Raises:
        InputError: there are none, or a name is none.
    """
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            raise InputError(f"input {name!r}: the inputs are called as the arguments of the model's forward, such as 'ecg'")
    if not names:
        raise InputError("an entry without inputs; give an array for each argument of the model's forward")
