"""Pairs of two lists for tests, where all pairs are too many."""

import pytest


def in_turn(many, few, of_each=1, names=str):
    """Each of many with one of few, or with several, the next with the next of them: each of both occurs with many of the other.

    >>> [param.values for param in in_turn(["a", "b", "c", "d"], [1, 2])]
    [('a', 1), ('b', 2), ('c', 2), ('d', 1)]
    """
    few, pairs = list(few), []
    for number, one in enumerate(many):
        for step in range(min(of_each, len(few))):
            other = few[(number * of_each + step + number // len(few)) % len(few)]
            pairs.append(pytest.param(one, other, id=f"{names(one)}-{names(other)}"))
    return pairs
