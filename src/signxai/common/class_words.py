"""What a word for a class means: its name, or its number."""

from __future__ import annotations

import re
from collections.abc import Sequence

from signxai.common.errors import TargetError

__all__ = ["class_of_word", "number_in"]


def number_in(word: str) -> int | None:
    """The whole number that a word is; None: it is none, or has more than 19 digits, which no class has.

    >>> number_in("7"), number_in(" -1 "), number_in("seven"), number_in("9" * 20)
    (7, -1, None, None)
    """
    return int(word) if re.fullmatch(r"[+-]?\d{1,19}", word.strip()) else None


def class_of_word(word: str, named: Sequence[int], names: Sequence[str], classes: int) -> int | None:
    """The number of the class that a word means, by its name or its number.

    Args:
        word: as somebody wrote it.
        named: the numbers of the classes that have it as their name.
        names: of all classes; fewer, or none: the others have numbers only.
        classes: how many there are.

    Returns:
        The class; a number that is written may be that of none. None: the word is neither.

    Raises:
        TargetError: it is the name of several classes, or the name of one and the number of another.

    >>> class_of_word("lynx", [1], ["cat", "lynx"], 2), class_of_word("7", [2], ["1", "0", "7"], 3), class_of_word("2", [], [], 3)
    (1, 2, 2)
    """
    number = number_in(word)
    if len(named) > 1:
        raise TargetError(f"class {word!r} is the name of the classes {' and '.join(map(str, named))}; give the number")
    if not named:
        return number
    if number is not None and 0 <= number < classes and number != named[0]:
        own = f" of class {named[0]}" if named[0] < classes else ""
        other = f"the class {names[number]!r}" if number < len(names) else f"class {number}"
        raise TargetError(
            f"class {word!r}: a name{own}, and the number of {other}; give classes names that are no numbers of others, or from Python the "
            "number as an int"
        )
    return named[0]
