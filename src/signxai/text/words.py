"""Words of a text, each with the relevance of its tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Span: TypeAlias = "tuple[int, int]"
"""Where a token begins and ends in its text, counted in characters."""


@dataclass(frozen=True)
class Word:
    """What stands between two white spaces of a text, or a token that stands for no part of it.

    Attributes:
        text: as it is written; of a special token, its name.
        start, end: where it stands in the text; None for a special token.
        relevance: the sum over its tokens.
        tokens: their numbers, from 0.
    """

    text: str
    start: int | None
    end: int | None
    relevance: float
    tokens: tuple[int, ...]


def words_of(text: str, tokens: Sequence[str], offsets: Sequence[Span | None], relevance: Sequence[float], first: int = 0) -> list[Word]:
    """The words of a text, and its special tokens, in order; their relevance sums to that of the tokens.

    Args:
        text: the text.
        tokens, offsets, relevance: of each token its name, its place (None: it has none) and its relevance.
        first: the number of the first of these tokens.

    >>> words_of("un do it", ["<s>", "un", " d", "o", " it"], [None, (0, 2), (2, 4), (4, 5), (5, 8)], [5.0, 1.0, 2.0, 3.0, 4.0])[2]
    Word(text='do', start=3, end=5, relevance=5.0, tokens=(2, 3))
    """
    return [_word(text, tokens, offsets, relevance, group, first) for group in _groups(text, offsets)]


def _groups(text: str, offsets: Sequence[Span | None]) -> Iterator[list[int]]:
    """The tokens of each word."""
    group: list[int] = []
    for number, span in enumerate(offsets):
        if group and _begins_a_word(text, offsets[number - 1], span):
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _begins_a_word(text: str, before: Span | None, span: Span | None) -> bool:
    """Whether white space, or the edge of the text, lies between a token and the one before it."""
    if before is None or span is None:
        return True
    own = text[slice(*span)]
    gap = text[before[1] : span[0]] + own[: len(own) - len(own.lstrip())]
    return gap != "" or text[slice(*before)][-1:].isspace()


def _word(
    text: str, tokens: Sequence[str], offsets: Sequence[Span | None], relevance: Sequence[float], group: Sequence[int], first: int
) -> Word:
    total = float(sum(relevance[number] for number in group))
    numbers = tuple(first + number for number in group)
    begin, end = offsets[group[0]], offsets[group[-1]]
    if begin is None or end is None:
        return Word(tokens[group[0]], None, None, total, numbers)
    whole = text[begin[0] : end[1]]
    bare = whole.strip()
    start = begin[0] + len(whole) - len(whole.lstrip()) if bare else begin[0]
    written = bare or whole
    return Word(written, start, start + len(written), total, numbers)
