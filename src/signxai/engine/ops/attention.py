"""Attention: as the matrix products and the softmax that it is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import ModelError
from signxai.engine.decomposition import decomposed


@decomposed(F.scaled_dot_product_attention)
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``F.scaled_dot_product_attention``."""
    if is_causal and attn_mask is not None:
        raise ModelError("scaled_dot_product_attention takes attn_mask or is_causal=True, not both")
    if dropout_p > 0:
        raise ModelError("scaled_dot_product_attention is called with dropout; pass dropout_p=0.0 in evaluation mode")
    if enable_gqa:
        repeats = query.size(-3) // key.size(-3)
        key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
    if is_causal:
        attn_mask = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool, device=query.device).tril()
    return _attention_and_weights(query, key, value, attn_mask, scale, blind_gives_zero=True)[0]


def _attention_and_weights(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None = None, blind_gives_zero: bool = False
) -> tuple[Tensor, Tensor]:
    """Attention, and how much each query (axis -2) attends to each key (axis -1); a boolean mask is True where it may.

    A query that may attend to nothing gets NaN, as a softmax gives it, or zeros.
    """
    scores = torch.matmul(query, key.transpose(-2, -1)) * (query.size(-1) ** -0.5 if scale is None else scale)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(mask.logical_not(), -math.inf)
    elif mask is not None:
        scores = scores + mask
    weights = _softmax_or_zeros(scores) if blind_gives_zero and mask is not None else torch.softmax(scores, -1)
    return torch.matmul(weights, value), weights


def _softmax_or_zeros(scores: Tensor) -> Tensor:
    blind = (scores == -math.inf).all(-1, keepdim=True)
    return torch.softmax(scores.masked_fill(blind, 0.0), -1).masked_fill(blind, 0.0)


@decomposed(F.multi_head_attention_forward)
def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """``F.multi_head_attention_forward``: query (L, N, E), key and value (S, N, E), or without the batch axis."""
    if static_k is not None or static_v is not None or (training and dropout_p > 0):
        raise ModelError("multi_head_attention_forward with static_k, static_v or dropout in training is not supported; leave them out")
    batched = query.dim() == 3
    # samples first: rules that look at a layer's input by sample find them on axis 0
    rows = [t.transpose(0, 1) if batched else t.unsqueeze(0) for t in (query, key, value)]
    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else _thirds(in_proj_weight)
    biases = (None,) * 3 if in_proj_bias is None else _thirds(in_proj_bias)
    q, k, v = (F.linear(row, weight, bias) for row, weight, bias in zip(rows, weights, biases, strict=True))  # type: ignore[arg-type]
    if bias_k is not None and bias_v is not None:
        k = torch.cat([k, bias_k.transpose(0, 1).expand(len(k), -1, -1)], 1)
        v = torch.cat([v, bias_v.transpose(0, 1).expand(len(v), -1, -1)], 1)
    if add_zero_attn:
        k, v = (torch.cat([t, t.new_zeros(len(t), 1, t.size(2))], 1) for t in (k, v))
    q, k, v = (t.reshape(*t.shape[:2], num_heads, -1).transpose(1, 2) for t in (q, k, v))
    mask = _attention_mask(attn_mask, key_padding_mask, (len(q), num_heads, q.size(2), k.size(2)), batched)
    mixed, attended = _attention_and_weights(q, k, v, None if mask is None else mask.to(q), blind_gives_zero=not need_weights)
    output = F.linear(mixed.transpose(1, 2).flatten(2), out_proj_weight, out_proj_bias)
    output = output.transpose(0, 1) if batched else output.squeeze(0)
    output = output.contiguous() if query.is_contiguous() else output  # as torch lays it out; where samples come first, as they lie
    if not need_weights:
        return output, None
    attended = attended.mean(dim=1) if average_attn_weights else attended
    return output, attended if batched else attended.squeeze(0)


def _thirds(projection: Tensor | None) -> Sequence[Tensor]:
    assert projection is not None
    return projection.chunk(3)


def _attention_mask(mask: Tensor | None, padding: Tensor | None, shape: tuple[int, int, int, int], batched: bool) -> Tensor | None:
    """Both masks together as what is added to the scores (N, heads, L, S): -inf where a query must not look."""
    samples, heads, _, keys = shape
    total: Tensor | None = None
    if mask is not None:
        total = _additive(mask)
        total = total.view(samples, heads, *total.shape[-2:]) if total.dim() == 3 else total
        total = F.pad(total, (0, keys - total.size(-1)))  # keys added by bias_k or add_zero_attn are never masked
    if padding is not None:
        hidden = _additive(padding if batched else padding.unsqueeze(0))
        hidden = F.pad(hidden, (0, keys - hidden.size(-1))).view(samples, 1, 1, keys)
        total = hidden if total is None else total + hidden
    return total


def _additive(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, device=mask.device).masked_fill(mask, -math.inf) if mask.dtype == torch.bool else mask
