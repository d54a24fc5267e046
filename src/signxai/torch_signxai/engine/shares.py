"""The division that every LRP rule rests on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Stabilizer: TypeAlias = "float | Callable[[Tensor], Tensor]"
"""A number e (z becomes z + e sign(z), with sign(0) = +1), or a function from z to the denominator, as in Zennit."""


def stabilized_share(relevance: Tensor, output: Tensor, stabilizer: Stabilizer | Tensor) -> Tensor:
    """``R / (z + e sign(z))`` with sign(0) = +1; where the denominator is 0 the share is 0.

    >>> stabilized_share(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([2.0, 0.0, -1.0]), 0.0)
    tensor([ 0.5000,  0.0000, -1.0000])
    >>> stabilized_share(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, -1.0]), 1.0)
    tensor([ 0.5000,  1.0000, -0.5000])
    """
    if callable(stabilizer):
        return relevance / stabilizer(output)
    if not isinstance(stabilizer, Tensor) and stabilizer == 0:
        denominator = output
    else:
        denominator = torch.where(output < 0, output - stabilizer, output + stabilizer)
    return (relevance / denominator).masked_fill_(denominator == 0, 0.0)
