"""Heads of attention: which part of an attention product belongs to which head, and the relevance that passes each.

A head has projections of its own. So places along the batch axes of an attention product belong to different heads where their values come
from different channels of the layer that made them, however the network arranges its heads: on an axis, or one after the other with the
samples. Where values were copied for several queries' heads, or their making is unknown, the layout must say it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from signxai.engine.places import Place
from signxai.engine.relevance import MadeByLayer

HEAD_AXIS = -3
"""Of queries, keys and values (..., heads, tokens, width), as ``scaled_dot_product_attention`` takes them."""


class HeadsRecord:
    """One attention product as it was executed, and the relevance that arrived at what each of its heads gave.

    Attributes:
        place: where the product was executed.
        relevance: of each head, summed over samples, positions and channels.
    """

    def __init__(self, place: Place, heads: Tensor) -> None:
        self.place = place
        self.relevance = [0.0] * (int(heads.max()) + 1)
        self._heads = heads

    def arrived(self, relevance: Tensor) -> None:
        """Is told of the relevance at the product (..., tokens, width)."""
        at_places = relevance.sum((-2, -1), dtype=torch.float64)
        sums = at_places.new_zeros(len(self.relevance)).index_add_(0, self._heads.expand_as(at_places).flatten(), at_places.flatten())
        self.relevance = [before + more for before, more in zip(self.relevance, sums.tolist(), strict=True)]


def heads_of(values: Tensor, made: MadeByLayer | None, spread: MadeByLayer | None, is_known: bool) -> Tensor | None:
    """The head that each place along the batch axes of an attention product belongs to, from 0; None if nobody can say.

    Args:
        values: the values of the product (..., tokens, width).
        made: the layer that they are the output of, moved but not copied; None if it is not known.
        spread: the same where they were copied too.
        is_known: the layout is that of ``scaled_dot_product_attention``.
    """
    if made is not None:
        return _numbered(_channels(made))
    if values.ndim <= 3:
        return None
    heads = torch.arange(values.shape[HEAD_AXIS], device=values.device).expand(values.shape[:-2])
    if is_known:
        return heads
    channels = None if spread is None else _channels(spread)
    return None if channels is None or not _rises(channels) else heads


def _channels(made: MadeByLayer) -> Tensor:
    """The first channel of the values at each place along the batch axes."""
    channels = made.moves(made.layer.channel_index(made.moves.shape))
    return channels.flatten(-2).amin(-1)


def _numbered(channels: Tensor) -> Tensor:
    heads: Tensor = torch.unique(channels, return_inverse=True)[1]
    return heads


def _rises(channels: Tensor) -> bool:
    """Whether later places along the axis of heads have later channels, or the same as the one before, and not all the same."""
    steps = channels.diff(dim=-1)
    return bool((steps >= 0).all() and (channels[..., -1] > channels[..., 0]).all())
