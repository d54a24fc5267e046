"""Embeddings: each token id gets the relevance of its row."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import ModelError
from signxai.engine.call import Call, Result
from signxai.engine.graph import needs_relevance
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass
from signxai.engine.token_ids import EmbeddingNode


@rule_for(F.embedding)
def embedding(mode: RelevancePass, call: Call) -> Result:
    """Rows of a table: of constant indices a constant, of the input's own each index gets what its row gets."""
    indices = call.x
    origin = indices if needs_relevance(indices) else mode.token_ids.origin_of(indices)
    if origin is None:
        if (mixed_by := mode.token_ids.mixed_by(indices)) is not None:
            mode.unknown_operation(*mixed_by)
            return mode.as_gradient(call)
        return mode.plain(call)
    if indices.is_floating_point():
        indices = mode.token_ids.as_whole_numbers(indices)
    return EmbeddingNode.apply(origin, lambda: call.run(indices))


@rule_for(F.embedding_bag)
def embedding_bag(mode: RelevancePass, call: Call) -> Result:
    """Bags of equal size: the rows, then their sum, mean or maximum."""
    with mode:
        return bag_of_rows(*call.args, **call.kwargs)


def bag_of_rows(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """``F.embedding_bag`` of bags that are rows (N, ids)."""
    if input.ndim != 2 or offsets is not None or max_norm is not None:
        raise ModelError("embedding_bag is supported for bags that are rows (N, ids), without offsets and max_norm")
    rows = F.embedding(input, weight)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    if padding_idx is None:
        return rows.amax(1) if mode == "max" else rows.mean(1) if mode == "mean" else rows.sum(1)
    padding = (input == padding_idx).unsqueeze(-1)
    if mode == "max":
        return rows.masked_fill(padding, -math.inf).amax(1)
    total = rows.masked_fill(padding, 0.0).sum(1)
    return total / padding.logical_not().sum(1).clamp(min=1) if mode == "mean" else total
