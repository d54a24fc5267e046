"""Text in lines: names of methods break between their words, and never within a number."""

import re

__all__ = ["in_lines"]

_BREAKS = re.compile(r"(?<= )|(?<=_)(?![\d_]|$)")
"""Behind spaces, and behind underscores with which no number begins or goes on: 0_25 stays with the word that it belongs to."""


def in_lines(text: str, letters: int) -> list[str]:
    """Break a text into lines of at most so many letters: at spaces, and in names behind underscores that no digit follows.

    A piece that is longer than a line, such as the name of a file, is broken where the line ends.

    >>> in_lines("lrpsign_epsilon_0_25_std_x_mu_neg_0_5 for tabby", 21)
    ['lrpsign_epsilon_0_25_', 'std_x_mu_neg_0_5 for', 'tabby']
    """
    lines = [""]
    for piece in _BREAKS.split(" ".join(text.split())):
        rest = piece
        if lines[-1] and len(lines[-1]) + len(rest.rstrip()) > letters:
            lines.append("")
        while len(rest.rstrip()) > max(letters, 1):
            lines[-1:] = [rest[: max(letters, 1)], ""]
            rest = rest[max(letters, 1) :]
        lines[-1] += rest
    return [line.rstrip() for line in lines if line]
