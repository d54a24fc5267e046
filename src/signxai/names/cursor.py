"""Reading a name token by token, and the error that says at which token reading ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from itertools import pairwise

from signxai.common.errors import MethodNameError
from signxai.names.listing import nearest
from signxai.names.spelling import NOT_A_NUMBER, number_at
from signxai.names.wording import shown

__all__ = ["DOT", "Cursor", "read_spelling"]

DOT = "lrp."


class Cursor:
    """A place among the tokens of a name: everything before it is read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dotted = name.startswith(DOT)
        # "lrp.z" has the tokens of "lrp_z"; all other dots stay in their token and fail there.
        self.tokens = (name.replace(".", "_", 1) if self.dotted else name).split("_")
        self.position = 0

    def at(self, position: int) -> Cursor:
        """Another cursor on the same name."""
        other = copy(self)
        other.position = position
        return other

    @property
    def at_end(self) -> bool:
        return self.position == len(self.tokens)

    @property
    def token(self) -> str | None:
        """The token to read next; None behind the last."""
        return None if self.at_end else self.tokens[self.position]

    @property
    def wrong(self) -> str:
        """The token to read next, as error messages show it."""
        if self.token is None:
            return "the end of the name"
        return shown(self.token) if self.token else "an empty token (a doubled, leading or trailing underscore)"

    @property
    def after(self) -> str:
        """Where that token stands, as error messages say it."""
        read = sum(len(token) + 1 for token in self.tokens[: self.position])
        return f" (after {shown(self.name[: read - 1])})" if read else ""

    def error(self, reason: str) -> MethodNameError:
        return MethodNameError(f"unknown method {shown(self.name)}: {reason}; nearest: {', '.join(nearest(self.name))}")

    def common(self, word: str) -> int:
        """How many tokens of a word stand here, counted from its first."""
        tokens = word.split("_")
        here = self.tokens[self.position : self.position + len(tokens)]
        same = [mine == theirs for mine, theirs in zip(tokens, here, strict=False)]
        return same.index(False) if False in same else len(same)

    def take(self, words: Iterable[str]) -> str | None:
        """Read the longest of the words that stands here in full; None if there is none."""
        here = [word for word in words if self.common(word) == word.count("_") + 1]
        longest = max(here, key=len, default=None)
        if longest is not None:
            self.position += longest.count("_") + 1
        return longest

    def number(self) -> float | None:
        """Read ``[neg_]INT[_DIGITS]``; None if no number stands here."""
        value, self.position = number_at(self.tokens, self.position)
        return value


@dataclass(frozen=True)
class _Attempt:
    """How far one spelling stands at a cursor: its numbers so far, where it ends, the token missing there (None: complete)."""

    name: str
    values: dict[str, float]
    cursor: Cursor
    missing: str | None


def read_spelling(cursor: Cursor, spellings: Mapping[str, str]) -> tuple[str, dict[str, float]]:
    """Read the longest of the spellings that stands here in full; give its key and its numbers by the word before each.

    Raises:
        MethodNameError: none stands here, or another one goes on further but breaks off: the message names the token at which
            that one breaks off.
    """
    attempts = [_attempt(cursor.at(cursor.position), name, spelling) for name, spelling in spellings.items()]
    best = max(attempts, key=lambda attempt: (attempt.cursor.position, attempt.missing is None))
    if best.missing is None:
        cursor.position = best.cursor.position
        return best.name, best.values
    if best.cursor.position == cursor.position:
        raise cursor.error(f"{cursor.wrong} is not a rule{cursor.after}")
    missing = {attempt.missing for attempt in attempts if attempt.cursor.position == best.cursor.position}
    words = sorted(token for token in missing if token is not None and token != "NUM")
    complaint = NOT_A_NUMBER if "NUM" in missing else "does not continue a rule"
    instead = f"; the words that may stand there: {', '.join(words)}" if words else ""
    raise cursor.error(f"{best.cursor.wrong} {complaint}{best.cursor.after}{instead}")


def _attempt(cursor: Cursor, name: str, spelling: str) -> _Attempt:
    """Follow a spelling as far as it stands at the cursor."""
    values: dict[str, float] = {}
    for word, expected in pairwise(["", *spelling.split("_")]):
        if expected != "NUM":
            if cursor.take([expected]) is None:
                return _Attempt(name, values, cursor, expected)
            continue
        value = cursor.number()
        if value is None:
            return _Attempt(name, values, cursor, expected)
        values[word] = value
    return _Attempt(name, values, cursor, None)
