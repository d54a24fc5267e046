"""The sentences of a certificate."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "percent",
    "said_of_absorbed",
    "said_of_all_absorbed",
    "said_of_batch",
    "said_of_cancellation",
    "said_of_constant_runner_up",
    "said_of_gain",
    "said_of_precision",
    "said_of_random_layers",
    "said_of_runner_up",
    "said_of_turned_signs",
    "said_of_unknown",
    "signed",
]

_MOST_NAMED = 3
_NOTHING = 1e-6
_ROUNDED = 1e-3
"""Shares that differ by less look alike where they are told."""


def percent(share: float) -> str:
    """The size of a share as people read it.

    >>> percent(0.934), percent(-0.0013), percent(3e-5), percent(1e-9), percent(0.0)
    ('93 %', '0.13 %', '0.003 %', 'less than 0.0001 %', '0 %')
    """
    size = 100 * abs(share)
    if 0 < abs(share) < _NOTHING:
        return "less than 0.0001 %"
    return f"{size:.0f} %" if size >= 10 else f"{size:.2g} %"


def signed(share: float) -> str:
    """A share with its sign; one that is nearly none has none.

    >>> signed(-0.3), signed(0.3), signed(-1e-9)
    ('-30 %', '30 %', 'less than 0.0001 %')
    """
    return f"{'-' if share <= -_NOTHING else ''}{percent(share)}"


def said_of_absorbed(by: str, share: float, explained: float) -> str:
    """What some operations take, of a map that sums to ``explained`` of the decision; that is said where nothing else takes any.

    >>> said_of_absorbed("biases", 0.93, 0.07)
    '93 % of the relevance is absorbed by biases before it reaches the input: the map explains 7 % of the decision'
    >>> said_of_absorbed("biases", 0.4, 0.35)
    '40 % of the relevance is absorbed by biases before it reaches the input'
    """
    is_all = abs(1 - share - explained) < _ROUNDED
    end = f": {_explained(explained)}" if is_all else ""
    return f"{_taken(share, f' {by}' if by.startswith('elsewhere') else f' by {by}')}{end}"


def said_of_all_absorbed(explained: float) -> str:
    """What all operations take together.

    >>> said_of_all_absorbed(0.35)
    'In all, 65 % of the relevance is absorbed before it reaches the input: the map explains 35 % of the decision'
    """
    taken = _taken(1 - explained, "")
    return f"{taken if taken.startswith('Nothing') else f'In all, {taken}'}: {_explained(explained)}"


def _taken(share: float, by: str) -> str:
    if abs(share) < _NOTHING:
        return f"Nothing is absorbed{by}"
    if share < 0:
        return f"{percent(share)} is added to the relevance{by} before it reaches the input"
    return f"{percent(share)} of the relevance is absorbed{by} before it reaches the input"


def _explained(share: float) -> str:
    if -_NOTHING <= share <= 1 + _NOTHING:
        return f"the map explains {percent(share)} of the decision"
    return f"the map sums to {signed(share)} of the decision"


def said_of_cancellation(value: float) -> str:
    """How much of a map its own signs take away.

    >>> said_of_cancellation(4.0)
    'The positive and the negative parts of the map cancel: of what it shows, 25 % remain in its sum'
    """
    if math.isinf(value):
        return "The positive and the negative parts of the map cancel out: it sums to zero"
    if value <= 1 + _NOTHING:
        return "Nothing cancels: all relevance of the map has one sign"
    return f"The positive and the negative parts of the map cancel: of what it shows, {percent(1 / value)} remain in its sum"


def said_of_precision(change: float, is_small: bool) -> str:
    """How far a map is from that in double precision."""
    verdict = (
        "rounding plays no part" if is_small else "rounding decides, as at ties of ReLUs and maxima, or where a denominator is near zero"
    )
    return f"In double precision the map differs by {_change(change)}: {verdict}"


def said_of_batch(change: float, is_small: bool) -> str:
    """How far a map is from that of the sample among others."""
    verdict = "it is the sample's own" if is_small else "it depends on what it is explained with"
    return f"Explained among two other samples, the map differs by {_change(change)}: {verdict}"


def _change(change: float) -> str:
    return "more than all that it is" if math.isinf(change) else percent(change)


def said_of_unknown(operations: Sequence[str]) -> str:
    """Which operations have no rule.

    >>> said_of_unknown(["prod in head"])
    'Relevance reached 1 operation without a rule, where it follows the gradient: prod in head'
    """
    if not operations:
        return "Every operation that relevance reached has a rule"
    rest = f" and {len(operations) - _MOST_NAMED} more" if len(operations) > _MOST_NAMED else ""
    counted = "1 operation" if len(operations) == 1 else f"{len(operations)} operations"
    named = ", ".join(operations[:_MOST_NAMED])
    return f"Relevance reached {counted} without a rule, where it follows the gradient: {named}{rest}"


def said_of_runner_up(other: str, alike: float, is_apart: bool) -> str:
    """How a map differs from that of another class, which is given in words."""
    verdict = "the two can be told apart" if is_apart else "it hardly tells the classes apart"
    return f"The map's ranks correlate by {alike:.2f} with those of the map of {other}, the strongest other one: {verdict}"


def said_of_constant_runner_up(other: str, is_zero: bool) -> str:
    """Why a map cannot be compared with that of another class, which has no order.

    >>> said_of_constant_runner_up("class 1", is_zero=True)
    'The map of class 1, the strongest other one, is zero everywhere: it has no ranks to compare with'
    """
    return (
        f"The map of {other}, the strongest other one, is {'zero' if is_zero else 'the same'} everywhere: it has no ranks to compare with"
    )


def said_of_random_layers(layers: str, left: float, draws: int, is_changed: bool) -> str:
    """How a map differs from those of random networks."""
    verdict = "it changes with what was learned" if is_changed else "it hardly changes with what was learned"
    return f"With {layers} random, the map's ranks still correlate by {left:.2f} with its own (mean of {draws} draws): {verdict}"


def said_of_gain(gain: float, deviation: float, maps: int, is_more: bool, is_less: bool) -> str:
    """What the order of a map is worth when units are removed by it, against the orders of random maps."""
    chance = "less than chance gives: the decision rests where the map says it does not" if is_less else "no more than chance gives"
    verdict = "the decision rests where the map says" if is_more else f"that is {chance}"
    kept = f"{abs(gain):.3g} {'lower' if gain < 0 else 'higher'}"
    order = f"Removing the least relevant first keeps the score {kept} than the most relevant first"
    return f"{order}; of {maps} random maps that deviates by {deviation:.2g} from 0: {verdict}"


def said_of_turned_signs(other_start: str) -> str:
    """What a logit below 0 does to a map, and with which start of relevance it does not.

    >>> said_of_turned_signs("logit").rpartition("; ")[2]
    'relevance="logit" (--relevance logit) puts that right'
    """
    turned = "An explained logit is below 0, so that what speaks for it is negative in the map: removal goes by the wrong end"
    return f'{turned}; relevance="{other_start}" (--relevance {other_start}) puts that right'
