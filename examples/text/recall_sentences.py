"""Sentences of which everyone knows why the answer is right: "red 4 blue 7 green 11 blue ?" is answered by 7.

A sentence names pairs of a colour and a number, no colour and no number twice, then asks for the number of one of these colours.
The answer rests on three tokens: the colour that is asked for, the same colour among the pairs (the key), and the number behind it
(the value). Everything else is a distractor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

COLOURS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white",
    "gray", "gold", "silver", "beige", "violet", "crimson", "teal", "olive", "navy", "amber",
)  # fmt: skip
NUMBERS = tuple(str(number) for number in range(1, 21))
PADDING, UNKNOWN, QUESTION = "[PAD]", "[UNK]", "?"
VOCABULARY = (PADDING, UNKNOWN, QUESTION, *COLOURS, *NUMBERS)
FEWEST_PAIRS, MOST_PAIRS = 2, 10

_FIRST_COLOUR, _FIRST_NUMBER = VOCABULARY.index(COLOURS[0]), VOCABULARY.index(NUMBERS[0])
_QUESTION = VOCABULARY.index(QUESTION)


@dataclass(frozen=True)
class Sentences:
    """Sentences of one length, as token ids.

    Attributes:
        ids: (N, 2 * pairs + 2): the pairs, the colour that is asked for, and the question mark.
        key: (N,): where in the sentence the same colour stands among the pairs.
        answer: (N,): the id of the number behind it.
    """

    ids: Tensor
    key: Tensor
    answer: Tensor

    @property
    def value(self) -> Tensor:
        """(N,): where in the sentence the answer stands."""
        return self.key + 1

    @property
    def texts(self) -> list[str]:
        """The sentences as they are written.

        >>> drawn(1, 2, torch.Generator().manual_seed(0)).texts
        ['silver 16 yellow 8 silver ?']
        """
        return [" ".join(VOCABULARY[token_id] for token_id in row) for row in self.ids.tolist()]


def drawn(count: int, pairs: int, generator: torch.Generator) -> Sentences:
    """Sentences with so many pairs each, uniformly from all there are.

    Args:
        count: how many.
        pairs: of a colour and a number, at most 20.
        generator: of random numbers.
    """
    statements = _pairs(count, pairs, generator)
    place = torch.randint(pairs, (count, 1), generator=generator)
    asked = statements.gather(1, 2 * place)
    ids = torch.cat([statements, asked, torch.full_like(asked, _QUESTION)], 1)
    return Sentences(ids, 2 * place[:, 0], statements.gather(1, 2 * place + 1)[:, 0])


def drawn_of_all_lengths(count: int, generator: torch.Generator) -> list[Sentences]:
    """Sentences with 2 to 10 pairs, as many of each number of pairs, or one more of the first few.

    >>> [len(part.ids) for part in drawn_of_all_lengths(10, torch.Generator().manual_seed(0))]
    [2, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    lengths = range(FEWEST_PAIRS, MOST_PAIRS + 1)
    each, more = divmod(count, len(lengths))
    return [drawn(each + (number < more), pairs, generator) for number, pairs in enumerate(lengths)]


def lessons(count: int, pairs: int, questions: int, generator: torch.Generator) -> Tensor:
    """What is learned from: pairs with several questions behind them, each with its answer, (count, 2 * pairs + 3 * questions).

    The answers stand at 2 * pairs + 2, + 5, and so on. Colours may be asked for again.
    """
    parts = [_pairs(count, pairs, generator)]
    for _ in range(questions):
        place = 2 * torch.randint(pairs, (count, 1), generator=generator)
        asked = parts[0].gather(1, place)
        parts += [asked, torch.full_like(asked, _QUESTION), parts[0].gather(1, place + 1)]
    return torch.cat(parts, 1)


def repetitions(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Random colours and numbers, no token twice, and the same once more, (count, 2 * length)."""
    once = _without_repeats(count, _FIRST_COLOUR, len(COLOURS) + len(NUMBERS), length, generator)
    return torch.cat([once, once], 1)


def _pairs(count: int, pairs: int, generator: torch.Generator) -> Tensor:
    colours = _without_repeats(count, _FIRST_COLOUR, len(COLOURS), pairs, generator)
    numbers = _without_repeats(count, _FIRST_NUMBER, len(NUMBERS), pairs, generator)
    return torch.stack([colours, numbers], 2).flatten(1)


def _without_repeats(count: int, first: int, among: int, length: int, generator: torch.Generator) -> Tensor:
    return first + torch.rand(count, among, generator=generator).argsort(1)[:, :length]
