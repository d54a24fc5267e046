"""The sentences of a certificate."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "percent",
    "said_of_absorbed",
    "said_of_batch",
    "said_of_cancellation",
    "said_of_gain",
    "said_of_precision",
    "said_of_random_layers",
    "said_of_runner_up",
    "said_of_unknown",
]

_MOST_NAMED = 3
_NOTHING = 1e-6


def percent(share: float) -> str:
    """The size of a share as people read it.

    >>> percent(0.934), percent(-0.0013), percent(3e-5), percent(1e-9), percent(0.0)
    ('93 %', '0.13 %', '0.003 %', 'less than 0.0001 %', '0 %')
    """
    size = 100 * abs(share)
    if 0 < abs(share) < _NOTHING:
        return "less than 0.0001 %"
    return f"{size:.0f} %" if size >= 10 else f"{size:.2g} %"


def said_of_absorbed(by: str, share: float, explained: float) -> str:
    """What some operations take, of a map that sums to ``explained`` of the decision.

    >>> said_of_absorbed("biases", 0.93, 0.07)
    '93 % of the relevance is absorbed by biases before it reaches the input: the map explains 7 % of the decision'
    """
    if abs(share) < _NOTHING:
        return f"Nothing is absorbed {_by(by)}: {_explained(explained)}"
    if share < 0:
        return f"{percent(share)} is added to the relevance {_by(by)} before it reaches the input: {_explained(explained)}"
    return f"{percent(share)} of the relevance is absorbed {_by(by)} before it reaches the input: {_explained(explained)}"


def _by(words: str) -> str:
    return words if words.startswith("elsewhere") else f"by {words}"


def _explained(share: float) -> str:
    if -_NOTHING <= share <= 1 + _NOTHING:
        return f"the map explains {percent(share)} of the decision"
    return f"the map sums to {'-' if share < 0 else ''}{percent(share)} of the decision"


def said_of_cancellation(value: float) -> str:
    """How much of a map its own signs take away.

    >>> said_of_cancellation(4.0)
    'The positive and the negative parts of the map cancel: its sum has 25 % of its size'
    """
    if math.isinf(value):
        return "The positive and the negative parts of the map cancel out: it sums to zero"
    if value <= 1 + _NOTHING:
        return "Nothing cancels: all relevance of the map has one sign"
    return f"The positive and the negative parts of the map cancel: its sum has {percent(1 / value)} of its size"


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


def said_of_runner_up(other: int, alike: float, is_apart: bool) -> str:
    """How a map differs from that of another class."""
    verdict = "the map speaks of its class" if is_apart else "the map hardly speaks of its class"
    return f"The map of class {other}, the strongest other one, orders the input alike by {alike:.2f}: {verdict}"


def said_of_random_layers(layers: str, left: float, draws: int, is_changed: bool) -> str:
    """How a map differs from those of random networks."""
    verdict = "the map rests on what was learned" if is_changed else "the map hardly rests on what was learned"
    return f"With {layers} random the map's order stays alike by {left:.2f} (mean of {draws} draws): {verdict}"


def said_of_gain(gain: float, around: float, maps: int, is_more: bool) -> str:
    """What the order of a map is worth when units are removed by it."""
    verdict = "the decision rests where the map says" if is_more else "that is no more than chance gives"
    order = f"Removing the least relevant first keeps the score {gain:.3g} higher than the most relevant first"
    return f"{order}; {maps} random maps: 0 ± {around:.2g}: {verdict}"
