"""Text in lines: names of methods break between their words, and never within a number."""

import re
from collections.abc import Iterator
from itertools import accumulate
from unicodedata import east_asian_width

from signxai.figures.glyphs import drawable

__all__ = ["in_lines"]

_BREAKS = re.compile(r"(?<= )|(?<=_)(?![\d_]|$)")
"""Behind spaces, and behind underscores with which no number begins or goes on: 0_25 stays with the word that it belongs to."""

_BEFORE_NUMBERS = re.compile(r"(?<=[^\W\d_]_)(?=\d)")
"""In names that are longer than a line: 0_25 stays whole."""


def in_lines(text: str, letters: int) -> list[str]:
    """Break a text into lines of at most so many letters: at spaces, and in names behind underscores that no digit follows.

    A piece that is longer than a line is broken before its number, and if it is still, as the name of a file, where the line ends; letters
    that no installed font has are written as their codes first.

    >>> in_lines("lrpsign_epsilon_0_25_std_x_mu_neg_0_5 for tabby", 21)
    ['lrpsign_epsilon_0_25_', 'std_x_mu_neg_0_5 for', 'tabby']
    >>> in_lines("lrp_epsilon_0_1", 10)
    ['lrp_', 'epsilon_', '0_1']
    """
    lines = [""]
    for piece in _pieces(" ".join(drawable(text).split()), letters):
        rest = piece
        if lines[-1] and _width(lines[-1]) + _width(rest.rstrip()) > letters:
            lines.append("")
        while len(rest) > 1 and _width(rest.rstrip()) > letters:
            fitting = max(1, sum(width <= letters for width in accumulate(map(_width, rest))))
            lines[-1:] = [rest[:fitting], ""]
            rest = rest[fitting:]
        lines[-1] += rest
    return [line.rstrip() for line in lines if line]


def _pieces(text: str, letters: int) -> Iterator[str]:
    """What stays in one line where it fits there."""
    for piece in _BREAKS.split(text):
        yield from [piece] if _width(piece.rstrip()) <= letters else _BEFORE_NUMBERS.split(piece)


def _width(text: str) -> int:
    """In letters of the Latin alphabet: those of Chinese, Japanese and Korean are as wide as two."""
    return sum(1 + (east_asian_width(letter) in "WF") for letter in text)
