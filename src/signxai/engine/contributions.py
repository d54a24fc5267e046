"""Sharing relevance by contribution, whatever the function: ``R_i = x_i (df / dx_i) R / f``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from signxai.engine.graph import Node, RelevanceNode
from signxai.engine.saved import Saver
from signxai.engine.stabilizer import Stabilizer, stabilized_share

LinearMap: TypeAlias = Callable[[Tensor], Tensor]
"""A function that is linear in its one tensor, or affine."""

EACH_ITS_SHARE = "each its share"
"""What reports say of a rule by contribution, unless the operation has other words for it."""


def times(x: Tensor, gradient: Tensor) -> Tensor:
    """``x * gradient``; of complex numbers the real and the imaginary parts each with their own."""
    if not x.is_complex():
        return x * gradient
    return torch.view_as_complex(torch.view_as_real(x.resolve_conj()) * torch.view_as_real(gradient.resolve_conj()))


def share_of(relevance: Tensor, output: Tensor, stabilizer: Stabilizer) -> Tensor:
    """``R / f``, stabilized; of complex numbers the real and the imaginary parts each with their own."""
    if not output.is_complex():
        return stabilized_share(relevance, output, stabilizer)
    at_output, real_output = (torch.view_as_real(tensor.resolve_conj()) for tensor in (relevance, output))
    return torch.view_as_complex(stabilized_share(at_output, real_output, stabilizer))


class TimesInput(RelevanceNode):
    """Identity; in backward the gradient that arrives is multiplied by the input. First half of a share by contribution."""

    @staticmethod
    def forward(ctx: Node, x: Tensor, saver: Saver, is_linear: bool) -> Tensor:
        ctx.saved = saver.save(x)
        # what is linear keeps no values of its own for the way back: its input may be overwritten later
        return x.data if is_linear else x.view_as(x)

    @staticmethod
    def backward(ctx: Node, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return times(ctx.saved.take(), gradient), None, None


class OverOutput(RelevanceNode):
    """Identity; in backward relevance is divided by the output. Second half of a share by contribution."""

    shares = True

    @staticmethod
    def forward(ctx: Node, y: Tensor, factor: float, stabilizer: Stabilizer, saver: Saver, words: str) -> Tensor:
        ctx.factor, ctx.stabilizer, ctx.rule = factor, stabilizer, words
        result = y.clone()
        ctx.saved = saver.save(result)
        return result

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        share = share_of(relevance, ctx.saved.take(), ctx.stabilizer)
        return (share if ctx.factor == 1.0 else share * ctx.factor), None, None, None, None

    @staticmethod
    def words_of(ctx: Node) -> str:
        return str(ctx.rule)

    @staticmethod
    def denominator(ctx: Node) -> tuple[Tensor, Stabilizer]:
        return ctx.saved.take(), ctx.stabilizer


def share_by_contribution(
    function: Callable[..., Tensor],
    tensors: tuple[Tensor, ...],
    saver: Saver,
    stabilizer: Stabilizer = 0.0,
    factor: float = 1.0,
    words: str = EACH_ITS_SHARE,
    is_linear: bool = False,
) -> Tensor:
    """Run ``function`` on ``tensors``; in backward each element gets ``factor * x df/dx R / f`` (stabilized; 0 / 0 = 0).

    For a function that is linear in all tensors together (sum, mean) this is the z rule; for one linear in each of two
    (a product), a factor of 1/2 shares relevance evenly between both (AttnLRP, proposition 3.3). ``words`` are what reports say;
    ``is_linear``: it is linear in all together.
    """
    marked = [TimesInput.apply(t, saver, is_linear) if t.requires_grad else t for t in tensors]
    result: Tensor = OverOutput.apply(function(*marked), factor, stabilizer, saver, words)
    return result
