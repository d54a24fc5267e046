"""What every pass does: it carries out batch norms, and looks up token ids."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import InputError, ModelError
from signxai.engine.call import Call, Result
from signxai.engine.graph import needs_relevance
from signxai.engine.layers import ChannelMap, batch_norm_map
from signxai.engine.mode import ForwardPass
from signxai.engine.registry import ANY_PASS


@ANY_PASS.rule_for(F.softmin)
def softmin(mode: ForwardPass, call: Call) -> Tensor:
    """A softmax of the negative."""
    values = dict(zip(("input", "dim", "_stacklevel", "dtype"), call.args, strict=False)) | call.kwargs
    with mode:
        return F.softmax(-values.pop("input"), **values)


@ANY_PASS.rule_for("__getitem__")
def part(mode: ForwardPass, call: Call) -> Result:
    """Parts of a tensor; rows that are picked by token ids, which are floating-point numbers here, are an embedding."""
    index = call.rest[0] if call.rest else None
    if isinstance(index, Tensor) and index.is_floating_point() and call.x.ndim == 2:
        return mode.rules[F.embedding](mode, Call(F.embedding, (index, call.x), {}))
    return mode.plain(call)


@ANY_PASS.rule_for(F.embedding, F.embedding_bag)
def embedding(mode: ForwardPass, call: Call) -> Result:
    """Inputs are floating-point numbers here; token ids among them become whole numbers again. Rows read by given ids may be exchanged."""
    indices = call.x
    if needs_relevance(indices) or mode.token_ids.is_made_of_x(indices):
        raise InputError(
            "token ids have no gradient, and the model reads an embedding by values of x; explain it by an LRP method, or explain the "
            "embeddings that the ids stand for"
        )
    if call.func is F.embedding_bag and mode.token_ids.values_of(indices) is not None:
        with mode:
            return bag_of_rows(*call.args, **call.kwargs)
    call = with_own_table(call)
    rows = mode.as_it_is(Call(call.func, (indices.long() if indices.is_floating_point() else indices, *call.rest), call.named))
    return mode.token_ids.exchanged(indices, rows) if mode.token_ids.any else rows


def with_own_table(call: Call) -> Call:
    """A call of an embedding with a copy of its table, if it scales rows of that down to ``max_norm``, which writes to it."""
    placed = call.with_arguments(("input", "weight", "third", "max_norm"))
    max_norm = placed.args[3] if len(placed.args) > 3 else placed.kwargs.get("max_norm")
    if max_norm is None or len(placed.args) < 2:
        return call
    return Call(call.func, (placed.args[0], placed.args[1].clone(), *placed.args[2:]), placed.kwargs)


@ANY_PASS.rule_for("long", "int", "short", "to", "type", "type_as")
def to_whole_numbers(mode: ForwardPass, call: Call) -> Result:
    """A conversion may be to integers, where autograd ends: an embedding behind it is one of token ids all the same."""
    result = mode.plain(call)
    if needs_relevance(call.x) and isinstance(result, Tensor) and not result.requires_grad:
        mode.token_ids.note(result, call.x)
    return result


@ANY_PASS.rule_for(torch.embedding)
def torch_embedding(mode: ForwardPass, call: Call) -> Result:
    """``torch.embedding``, which takes the table first."""
    return mode.rules[F.embedding](mode, indices_first(call))


def indices_first(call: Call) -> Call:
    """A call of ``torch.embedding`` as one of ``F.embedding``."""
    values = dict(zip(("weight", "indices"), call.args, strict=False)) | call.kwargs
    return Call(F.embedding, (values["indices"], values["weight"]), {})


@ANY_PASS.rule_for(F.batch_norm)
def batch_norm(mode: ForwardPass, call: Call) -> Result:
    """A batch norm in evaluation mode, which is a map per channel."""
    if not needs_relevance(call.x):
        return mode.plain(call)  # of weights, too, which it may standardize
    channel_map = _channel_map(call.x, *call.rest, **call.named)
    return mode.batch_norm(call.x, channel_map, call.run)


@ANY_PASS.rule_for(torch.batch_norm)
def torch_batch_norm(mode: ForwardPass, call: Call) -> Result:
    """``torch.batch_norm``, which takes the same things in another order."""
    names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    values = dict(zip(names, call.args, strict=False)) | call.kwargs  # without cudnn_enabled, the last
    return batch_norm(mode, Call(F.batch_norm, (), {name: values[name] for name in names}))


def _channel_map(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> ChannelMap:
    """The map per channel that a call of ``F.batch_norm`` is.

    Raises:
        ModelError: if the batch norm takes its statistics from the batch.
    """
    if training and running_mean is not None:
        raise ModelError(
            "a batch norm in training mode mixes the samples of a batch, so no sample has a map of its own; where .eval() does not reach "
            "it, as in a plain list, keep it in nn.ModuleList or as an attribute of a module, or call .eval() on it; in a Keras "
            "model, give its `call` an argument `training` and pass it to the TorchModuleWrapper, which trains without"
        )
    if training or running_mean is None or running_var is None:
        raise ModelError(
            "a batch norm without running statistics mixes the samples of a batch, so no sample has a map of its own; "
            "use track_running_stats=True"
        )
    return batch_norm_map(running_mean, running_var, weight, bias, eps)


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
