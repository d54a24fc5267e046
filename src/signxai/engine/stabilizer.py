"""The division that every LRP rule rests on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Stabilizer: TypeAlias = "float | Callable[[Tensor], Tensor]"
"""A number e (z becomes z + e sign(z), with sign(0) = +1), or a function from z to the denominator, as in Zennit."""


def stabilized_share(relevance: Tensor, output: Tensor, stabilizer: Stabilizer | Tensor) -> Tensor:
    """``R / (z + e sign(z))`` with sign(0) = +1; where the denominator is 0 the share is 0. A new tensor.

    >>> stabilized_share(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([2.0, 0.0, -1.0]), 0.0)
    tensor([ 0.5000,  0.0000, -1.0000])
    >>> stabilized_share(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, -1.0]), 1.0)
    tensor([ 0.5000,  1.0000, -0.5000])
    """
    if callable(stabilizer):
        return relevance / stabilizer(output)
    if not isinstance(stabilizer, Tensor):
        if stabilizer == 0:
            return (relevance / output).masked_fill_(output == 0, 0.0)
        stabilizer = output.new_full((), stabilizer)
        may_be_zero = False
    else:
        may_be_zero = bool((stabilizer == 0).any())
    # few passes over memory: a layer's output is large, and this division is what LRP costs beyond the gradient
    denominator = torch.copysign(stabilizer, output).add_(output)
    share = torch.div(relevance, denominator, out=denominator if relevance.shape == denominator.shape else None)
    return share.masked_fill_((output == 0) & (stabilizer == 0), 0.0) if may_be_zero else share


def one_signed_share(relevance: Tensor, output: Tensor, sign: int, stabilizer: Stabilizer) -> Tensor:
    """The same for an output whose values all have one sign (or are 0); ``output`` is overwritten.

    A neuron without any contribution of that sign has the output 0: its share meets contributions of 0, whatever it is.

    >>> one_signed_share(torch.tensor([1.0, 1.0]), torch.tensor([-1.0, -3.0]), -1, 1.0)
    tensor([-0.5000, -0.2500])
    """
    if callable(stabilizer):
        return relevance / stabilizer(output)
    if stabilizer == 0:
        zero = output == 0
        return torch.div(relevance, output, out=output).masked_fill_(zero, 0.0)
    return torch.div(relevance, output.add_(sign * stabilizer), out=output)


def not_shared(relevance: Tensor, output: Tensor, share: Tensor) -> float:
    """The sum of what a stabilizer keeps: ``R - z s``. (Where 0 / 0 makes the share 0, no stabilizer is at work.)

    >>> not_shared(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0]))
    1.0
    """
    return float(torch.where(share == 0, 0.0, relevance - output * share).sum(dtype=torch.float64))
