"""Localization: does relevance lie where it is known that it should? On masks, boxes (``box_mask``) and intervals (``interval_mask``).

Where several places have the same relevance and some of them count, each counts alike: the score is the mean over all ways to order them,
so that a constant map scores like chance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from signxai.common.errors import InputError
from signxai.evidence.masks import places
from signxai.evidence.options import FloatArray, count
from signxai.evidence.similarities import average_ranks

__all__ = ["auc", "pointing_game", "relevance_mass", "relevance_rank", "top_k_intersection"]


def pointing_game(relevance: Any, mask: Any, *, tolerance: int = 0, pool: str = "max") -> FloatArray:
    """The pointing game: whether the most relevant place lies inside (Zhang et al. 2018).

    Args:
        relevance: maps (N, ...), or those of several inputs.
        mask: True inside, in the shape of a map, of its places without channels, or of one sample for all.
        tolerance: how many places outside still count as inside; the paper takes 15 pixels.
        pool: how a place with several channels gets one relevance: "sum", "positive", "max" or "norm".

    Returns:
        1 or 0, (N,); higher is better. Of places that share the largest relevance each counts alike; 0 where no relevance is positive.

    Raises:
        InputError: if the shapes do not fit, or a sample's mask is empty.

    >>> pointing_game(np.array([[0.1, 0.9, 0.3]]), np.array([[0, 1, 0]]))
    array([1.])
    """
    values, inside = places(relevance, mask, pool, tolerance)
    largest = values.max(axis=1, keepdims=True)
    is_largest = values == largest
    return np.asarray(np.where(largest[:, 0] > 0, (is_largest & inside).sum(axis=1) / is_largest.sum(axis=1), 0.0))


def relevance_mass(relevance: Any, mask: Any, *, pool: str = "positive") -> FloatArray:
    """Relevance mass accuracy: the share of the positive relevance that lies inside (Arras et al. 2022).

    Args:
        relevance, mask, pool: as for ``pointing_game``; what is negative after pooling does not count.

    Returns:
        (N,), in [0, 1]; higher is better. 0 for a map without positive relevance.

    >>> relevance_mass(np.array([[1.0, 3.0, -5.0]]), np.array([[0, 1, 1]]))
    array([0.75])
    """
    values, inside = places(relevance, mask, pool)
    positive = np.maximum(values, 0.0)
    total = positive.sum(axis=1)
    return np.asarray((positive * inside).sum(axis=1) / np.where(total > 0, total, 1.0))


def relevance_rank(relevance: Any, mask: Any, *, pool: str = "sum") -> FloatArray:
    """Relevance rank accuracy: of the K most relevant places, the share inside, with K places inside (Arras et al. 2022).

    Args:
        relevance, mask, pool: as for ``pointing_game``.

    Returns:
        (N,), in [0, 1]; higher is better; by chance the share of places that lie inside.

    >>> relevance_rank(np.array([[1.0, 3.0, 2.0, 0.0]]), np.array([[1, 1, 0, 0]]))
    array([0.5])
    """
    values, inside = places(relevance, mask, pool)
    return _share_of_top(values, inside, inside.sum(axis=1))


def top_k_intersection(relevance: Any, mask: Any, *, k: int = 1000, pool: str = "sum") -> FloatArray:
    """Top-k intersection: of the k most relevant places, the share inside (Theiner et al. 2021).

    Args:
        relevance, mask, pool: as for ``pointing_game``.
        k: how many places; all of them, if there are fewer.

    Returns:
        (N,), in [0, 1]; higher is better; by chance the share of places that lie inside.

    >>> top_k_intersection(np.array([[1.0, 3.0, 2.0, 0.0]]), np.array([[1, 1, 0, 0]]), k=1)
    array([1.])
    """
    values, inside = places(relevance, mask, pool)
    return _share_of_top(values, inside, np.full(len(values), min(count("k", k), values.shape[1])))


def auc(relevance: Any, mask: Any, *, pool: str = "sum") -> FloatArray:
    """The area under the ROC curve of relevance as a classifier of what lies inside (Fawcett 2006; Fong et al. 2018).

    It is the probability that a place inside has more relevance than one outside, equal ones counted half.

    Args:
        relevance, mask, pool: as for ``pointing_game``.

    Returns:
        (N,), in [0, 1]; higher is better; 1/2 by chance, and for a constant map.

    Raises:
        InputError: also if a sample's mask leaves nothing outside.

    >>> auc(np.array([[1.0, 3.0, 2.0, 0.0]]), np.array([[1, 1, 0, 0]]))
    array([0.75])
    """
    values, inside = places(relevance, mask, pool)
    own, others = inside.sum(axis=1), (~inside).sum(axis=1)
    if not others.all():
        raise InputError(f"mask= of sample {np.flatnonzero(others == 0)[0]} leaves nothing outside: there is nothing to tell apart")
    sums = (average_ranks(values) * inside).sum(axis=1)
    return np.asarray((sums - own * (own + 1) / 2) / (own * others))


def _share_of_top(values: FloatArray, inside: Any, sizes: Any) -> FloatArray:
    """The share of the ``sizes`` largest values of each row that lie inside; those at the edge count by their share of it."""
    edges = -np.sort(-values, axis=1)[np.arange(len(values)), sizes - 1][:, None]
    above, at_edge = values > edges, values == edges
    wanted = sizes - above.sum(axis=1)
    hits = (above & inside).sum(axis=1) + wanted * (at_edge & inside).sum(axis=1) / at_edge.sum(axis=1)
    return np.asarray(hits / sizes)
