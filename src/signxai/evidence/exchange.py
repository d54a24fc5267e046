"""Values in the place of others where a mask says so, by their bits.

``torch.where`` branches, which takes ten times as long where a mask is irregular.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from signxai.evidence.parts import rows_at

__all__ = ["Exchange", "where_removed"]

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By the bytes of a number."""


class Exchange:
    """Samples, and what stands in the place of their values.

    Args:
        others: what stands there, as it broadcasts to ``x``; of the same type.
        x: the samples (N, ...).
    """

    def __init__(self, others: Tensor, x: Tensor) -> None:
        self._x, self._dtype = _bits(x), x.dtype
        self._difference = self._x ^ _bits(others)

    def at(self, rows: Sequence[int], removed: Tensor) -> Tensor:
        """Points made of some rows, with the others where ``removed`` (points, ...), as it broadcasts."""
        return _exchanged(rows_at(self._x, rows), rows_at(self._difference, rows), removed).view(self._dtype)


def where_removed(removed: Tensor, others: Tensor, x: Tensor) -> Tensor:
    """``torch.where(removed, others, x)``, bit by bit, of tensors of one type.

    >>> where_removed(torch.tensor([True, False]), torch.tensor([torch.inf, torch.nan]), torch.tensor([1.0, -0.0]))
    tensor([inf, -0.])
    """
    return _exchanged(_bits(x), _bits(x) ^ _bits(others), removed).view(x.dtype)


def _exchanged(x: Tensor, difference: Tensor, removed: Tensor) -> Tensor:
    """The bits of x, with those that differ exchanged; memory is that of the difference."""
    return difference.bitwise_and_(removed.to(x.dtype).neg_()).bitwise_xor_(x)  # -1 has all bits


def _bits(x: Tensor) -> Tensor:
    return x.view(_INTEGERS[x.element_size()])
