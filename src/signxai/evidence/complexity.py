"""Complexity: on how few values a map rests. By definition of the absolute relevance alone: these say nothing of a map's sign or truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from signxai.common.errors import OptionError
from signxai.evidence.options import FloatArray, is_number
from signxai.evidence.parts import flat, maps_of, within_range

__all__ = ["effective_complexity", "entropy", "gini"]


def gini(relevance: Any) -> FloatArray:
    """Sparseness: the Gini index of the absolute relevance (Chalasani et al. 2020).

    1 - 2 sum_k |R|_(k) / ||R||_1 (d - k + 1/2) / d over the d values, sorted to rise.

    Args:
        relevance: maps (N, ...), or those of several inputs, taken together.

    Returns:
        (N,), in [0, 1); higher is sparser. 0 for a constant map, one of zeros included. Unchanged by the sign.

    Raises:
        InputError: if it is no map, or holds NaN.

    >>> gini(np.array([[0.0, 0.0, 0.0, -2.0], [1.0, 1.0, 1.0, 1.0]]))
    array([0.75, 0.  ])
    """
    sizes = np.sort(np.abs(flat(within_range(maps_of(relevance)))), axis=1)
    values = sizes.shape[1]
    weights = 2 * np.arange(1, values + 1) - values - 1
    total = sizes.sum(axis=1)
    return np.asarray((weights * sizes).sum(axis=1) / (values * np.where(total > 0, total, 1.0)))


def entropy(relevance: Any) -> FloatArray:
    """Complexity: the entropy of the absolute relevance, each value's share of the sum taken as a probability (Bhatt et al. 2020).

    Args:
        relevance: as for ``gini``.

    Returns:
        (N,), in [0, ln d] for d values, in nats; lower is simpler. ln d for a constant map, one of zeros included. Unchanged by the sign.

    >>> entropy(np.array([[0.0, 3.0], [1.0, -1.0]])).round(3)
    array([0.   , 0.693])
    """
    sizes = np.abs(flat(within_range(maps_of(relevance))))
    total = sizes.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, sizes / np.where(total > 0, total, 1.0), 1 / sizes.shape[1])
    return np.asarray(-(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)) + 0.0


def effective_complexity(relevance: Any, *, threshold: float = 1e-5) -> FloatArray:
    """Effective complexity: how many values have an absolute relevance above a share of the largest one.

    Nguyen and Martinez 2020 count the features beyond which the model's expected loss hardly changes; this is the count by a threshold on
    the map itself, as Quantus has it, which needs no model.

    Args:
        relevance: as for ``gini``.
        threshold: the share of the largest absolute relevance, from 0 to below 1.

    Returns:
        (N,), whole numbers from 0 (a map of zeros) to d; lower is simpler. Unchanged by the sign.

    >>> effective_complexity(np.array([[0.0, 3.0, -2.0], [0.0, 0.0, 0.0]]))
    array([2., 0.])
    """
    if not is_number(threshold) or not 0 <= threshold < 1:
        raise OptionError(f"threshold={threshold!r}: a share of the largest relevance, from 0 to below 1")
    sizes = np.abs(flat(maps_of(relevance)))
    return np.asarray((sizes > threshold * sizes.max(axis=1, keepdims=True)).sum(axis=1), dtype=np.float64)
