"""Classes as people give them, by number or by name, as numbers; and as a store holds those of entries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from signxai.common.class_words import class_of_word
from signxai.common.errors import InputError, TargetError

__all__ = ["NONE", "WrittenNumber", "check_numbers", "class_asked", "class_number", "classes_kept"]

NONE = -1
"""What stands for no class among numbers; among names, it is ""."""


class WrittenNumber(int):
    """A number that stands in a table as a word, and so is the name of a class where one is called so.

    Attributes:
        word: as it stands there.

    >>> WrittenNumber("007") == 7, WrittenNumber("007").word
    (True, '007')
    """

    word: str

    def __new__(cls, word: str | int) -> WrittenNumber:
        made = super().__new__(cls, word)
        made.word = str(word)
        return made


def class_number(value: int | str | np.integer, names: Sequence[str], classes: int) -> int:
    """The number of a class that is given by it, or by its name.

    Args:
        value: a number, or a name; as ``WrittenNumber`` either.
        names: by class; empty: classes are numbered.
        classes: how many there are.

    Raises:
        TargetError: there is none, several have the name, or it is neither a whole number nor a name.

    >>> class_number("lynx", ["cat", "lynx"], classes=2), class_number(1, [], classes=2)
    (1, 1)
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer | str):
        raise TargetError(f"class {value!r}: a class is given by its number, a whole one, or by its name")
    if isinstance(value, WrittenNumber):
        return class_asked(value.word, names, classes)
    if isinstance(value, int | np.integer):
        return _in_range(int(value), classes)
    named = _named(value, names)
    found = class_of_word(value, named, names, 0) if named else None
    if found is None:
        said = f"the classes are {', '.join(names[:10])}" if names else "its classes have numbers only; give class_names="
        raise TargetError(f"class {value!r} is none of the model's: {said}")
    return found


def class_asked(value: int | str | np.integer, names: Sequence[str], classes: int) -> int:
    """The number of a class that somebody asks for: a word may be its number, too, if no class is called so.

    Args:
        value, names, classes: as of ``class_number``.

    Raises:
        TargetError: as by ``class_number``, or the word is the name of one class and the number of another.

    >>> class_asked("lynx", ["cat", "lynx"], classes=2), class_asked("0", ["cat", "lynx"], classes=2)
    (1, 0)
    """
    number = class_of_word(value, _named(value, names), names, classes) if isinstance(value, str) else None
    return class_number(value if number is None else number, names, classes)


def _named(word: str, names: Sequence[str]) -> list[int]:
    return [number for number, name in enumerate(names) if name == word]


def _in_range(number: int, classes: int) -> int:
    if not 0 <= number < classes:
        there = f"{classes} classes, 0 to {classes - 1}" if classes > 1 else "one class, 0"
        raise TargetError(f"class {number}: the model has {there}")
    return number


def check_numbers(what: str, values: Sequence[int | str | None], keys: Sequence[str]) -> None:
    """Refuse numbers that are none of a class whatever the model is; those of a table may be names.

    Args:
        what: the values are: labels or targets.
        values: of entries; None: nobody says.
        keys: what the entries are called.

    Raises:
        InputError: there is one; the message names the first.
    """
    for value, key in zip(values, keys, strict=True):
        if isinstance(value, int) and not isinstance(value, WrittenNumber):
            _check_number(what, value, key)


def _check_number(what: str, number: int, key: str) -> None:
    if number < 0:
        raise InputError(
            f"{what}: {number} of entry {key} is no class: classes are numbered from 0; give their names instead; where nobody says, "
            "None, or '' among names"
        )
    if number >= 2**63:
        raise InputError(
            f"{what}: class {number} is no whole number of 64 bits, but is that of entry {key}; number the classes from 0, or give its name"
        )


def classes_kept(
    what: str, values: Sequence[int | str | None], keys: Sequence[str], names: Sequence[str]
) -> npt.NDArray[np.int64 | np.str_]:
    """Classes of entries as a store holds them: numbers, with -1 where nobody says; or, if one is none, names, with "" where nobody says.

    Args:
        what, values, keys: as of ``check_numbers``.
        names: by class; empty: classes are numbered.

    Raises:
        InputError: a number of a table is negative, and the name of no class.
        TargetError: one is the name of one class and the number of another.

    >>> classes_kept("labels", [1, None], ["a", "b"], []), classes_kept("labels", [0, "lynx", None], ["a", "b", "c"], ["cat", "owl"])
    (array([ 1, -1]), array(['cat', 'lynx', ''], dtype='<U4'))
    """
    read = [_read(what, value, key, names) for value, key in zip(values, keys, strict=True)]
    if all(value is None or isinstance(value, int) for value in read):
        return np.array([NONE if value is None else value for value in read], dtype=np.int64)
    return np.array([_as_name(value, names) for value in read])


def _as_name(value: int | str | None, names: Sequence[str]) -> str:
    """A class by its name, "" where nobody says; a number stands for a class that has none."""
    if isinstance(value, int) and value < len(names):
        return names[value]
    return "" if value is None else str(value)


def _read(what: str, value: int | str | None, key: str, names: Sequence[str]) -> int | str | None:
    """A class as it is given, that of a table as the number that it means."""
    if not isinstance(value, WrittenNumber):
        return value
    number = class_of_word(value.word, _named(value.word, names), names, len(names))
    known = int(value) if number is None else number
    _check_number(what, known, key)
    return known
