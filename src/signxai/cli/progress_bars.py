"""Bars on standard error that say how far a command is and how long it still takes; none where that is no terminal."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

from signxai.common.terminals import bar_columns

__all__ = ["progress_bar", "watched"]

Item = TypeVar("Item")

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"
_FEWEST_S = 0.5
"""What is done by then has no bar: it would flash."""


def progress_bar(total: int, doing: str, at_once: bool = True) -> Any:
    """A bar of tqdm, to be entered.

    Args:
        total: of what ``update`` counts.
        doing: one word in front of it.
        at_once: whether it is there from the beginning, rather than half a second later.
    """
    delay = 0 if at_once else _FEWEST_S
    return tqdm(total=total, bar_format=_BAR, desc=doing, leave=False, disable=None, ncols=bar_columns(), delay=delay)


def watched(items: Sequence[Item], doing: str, weight: Sequence[int] | None = None) -> Iterator[Item]:
    """The items, with a bar that moves behind each of them; of one alone there is none.

    Args:
        items: what is gone through.
        doing: one word in front of the bar.
        weight: how far each moves it; None: by one.
    """
    if len(items) < 2:
        yield from items
        return
    weights = [1] * len(items) if weight is None else weight
    with progress_bar(sum(weights), doing, at_once=False) as bar:
        for item, moved in zip(items, weights, strict=True):
            yield item
            bar.update(moved)
