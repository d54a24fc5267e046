"""Norms whose standard deviation counts as a constant; what remains is linear and shared (AttnLRP, section 3.3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.contributions import LinearMap
from signxai.engine.graph import needs_relevance
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass


@rule_for("layer_norm")
def layer_norm(mode: RelevancePass, call: Call) -> Result:
    """Each value by its share of the centred sum."""
    return _normalized(mode, call, _layer_norm_map)


@rule_for("rms_norm")
def rms_norm(mode: RelevancePass, call: Call) -> Result:
    """All relevance stays where it is."""
    return _normalized(mode, call, _rms_norm_map)


@rule_for("group_norm")
def group_norm(mode: RelevancePass, call: Call) -> Result:
    """Each value by its share of the sum centred by group."""
    return _normalized(mode, call, _group_norm_map)


def _normalized(mode: RelevancePass, call: Call, linear_map: Callable[..., LinearMap]) -> Result:
    if not needs_relevance(call.x):
        return mode.plain(call)
    return mode.shared(linear_map(call.x.detach(), *call.rest, **call.named), (call.x,), is_linear=True)


def _layer_norm_map(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> LinearMap:
    axes = tuple(range(x.ndim - len(tuple(shape)), x.ndim))
    scale = (x.var(axes, correction=0, keepdim=True) + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = 0.0 if bias is None else bias
    return lambda t: (t.contiguous() - t.mean(axes, keepdim=True)) * scale + shift


def _rms_norm_map(x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> LinearMap:
    axes = tuple(range(x.ndim - len(tuple(shape)), x.ndim))
    scale = (x.square().mean(axes, keepdim=True) + (torch.finfo(x.dtype).eps if eps is None else eps)).rsqrt()
    scale = scale if weight is None else scale * weight
    if _rms_norm_keeps_layout():
        return lambda t: t * scale
    layout = _layout(x)
    return lambda t: t.contiguous(memory_format=layout) * scale


@cache
def _rms_norm_keeps_layout() -> bool:
    """Whether this version of torch computes it in steps, each laid out in memory as its input."""
    return not F.rms_norm(torch.ones(2, 2, 2, device="cpu").mT.requires_grad_(), (2,)).is_contiguous()


def _layout(x: Tensor) -> torch.memory_format:
    """How torch lays the result of a norm out in memory: a network may go on with ``view``."""
    is_channels_last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_channels_last else torch.contiguous_format


def _group_norm_map(x: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> LinearMap:
    def by_channel(parameter: Tensor) -> Tensor:
        return parameter.view(1, -1, *(1,) * (x.ndim - 2))

    grouped, layout = x.reshape(len(x), groups, -1), _layout(x)
    scale = (grouped.var(2, correction=0, keepdim=True) + eps).rsqrt()

    def linear(t: Tensor) -> Tensor:
        centred = t.reshape(len(t), groups, -1)
        result = ((centred - centred.mean(2, keepdim=True)) * scale).reshape(t.shape)
        result = result.contiguous(memory_format=layout)
        result = result if weight is None else result * by_channel(weight)
        return result if bias is None else result + by_channel(bias)

    return linear


@rule_for(F.instance_norm)
def instance_norm(mode: RelevancePass, call: Call) -> Result:
    """``F.instance_norm``: a group norm with one channel a group, or with running statistics a batch norm."""
    return _instance_norm_of(mode, *call.args, **call.kwargs)


def _instance_norm_of(
    mode: RelevancePass,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Result:
    if not use_input_stats:
        statistics = (input, running_mean, running_var, weight, bias, False, momentum, eps)
        return mode.rules[F.batch_norm](mode, Call(F.batch_norm, statistics, {}))
    if not needs_relevance(input):
        return F.instance_norm(input, None, None, weight, bias, True, momentum, eps)
    normalized = _group_norm_map(input.detach(), input.shape[1], weight, bias, eps)
    return mode.shared(lambda t: normalized(t.contiguous()).contiguous(), (input,), is_linear=True)
