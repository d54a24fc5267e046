"""Operations that are carried out as the smaller ones they are made of, each of which has a rule of its own.

The steps run under the same watch, so that an ``nn.LSTM`` gives the map of the same cells written out as functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import ModelError
from signxai.engine.mode import ForwardPass, Handler, functions_named
from signxai.engine.nodes import needs_relevance


def in_steps(steps: Callable[..., Any]) -> Handler:
    """A handler that carries out ``steps``, an equal function of the same arguments, where relevance passes."""

    def handler(watch: ForwardPass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not any(map(needs_relevance, tensors_in((args, kwargs)))):
            return watch.plain(func, args, kwargs)
        with watch:
            return steps(*args, **kwargs)

    return handler


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in a nest of tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


# Attention


def _attention(
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


def _multi_head_attention(
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


# Recurrent networks: gates scale what passes and get no relevance (Arras et al. 2017), which is the rule of products with gates

Cell = Callable[[Tensor, tuple[Tensor, ...], Sequence[Tensor]], tuple[Tensor, ...]]
"""(input (N, F), state (N, H) or states, parameters) -> new state or states, the output first."""


def _affine(x: Tensor, h: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    biases = parameters[2:4] if len(parameters) > 3 else (None, None)
    return F.linear(x, parameters[0], biases[0]), F.linear(h, parameters[1], biases[1])


def _lstm_cell(x: Tensor, state: tuple[Tensor, ...], parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    h, c = state
    from_input, from_state = _affine(x, h, parameters)
    i, f, g, o = (from_input + from_state).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    if len(parameters) in (3, 5):  # a projection
        h = F.linear(h, parameters[-1])
    return h, c


def _gru_cell(x: Tensor, state: tuple[Tensor, ...], parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    (h,) = state
    from_input, from_state = (part.chunk(3, -1) for part in _affine(x, h, parameters))
    r = (from_input[0] + from_state[0]).sigmoid()
    z = (from_input[1] + from_state[1]).sigmoid()
    n = (from_input[2] + r * from_state[2]).tanh()
    return ((1 - z) * n + z * h,)


def _rnn_cell(activation: Callable[[Tensor], Tensor]) -> Cell:
    def cell(x: Tensor, state: tuple[Tensor, ...], parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
        from_input, from_state = _affine(x, state[0], parameters)
        return (activation(from_input + from_state),)

    return cell


_CELLS: dict[str, tuple[Cell, int]] = {
    "lstm": (_lstm_cell, 2),
    "gru": (_gru_cell, 1),
    "rnn_tanh": (_rnn_cell(torch.tanh), 1),
    "rnn_relu": (_rnn_cell(torch.relu), 1),
}


def _recurrent(cell: Cell, states: int) -> Callable[..., tuple[Tensor, ...]]:
    """``torch.lstm`` and its like, for padded and for packed sequences."""

    def padded(
        input: Tensor,
        hx: Any,
        weights: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Tensor, ...]:
        x = list(input.unbind(1 if batch_first else 0))
        x, final = _layers(cell, x, hx if states > 1 else (hx,), weights, num_layers, bidirectional)
        return torch.stack(x, 1 if batch_first else 0), *final

    def packed(
        data: Tensor,
        batch_sizes: Tensor,
        hx: Any,
        weights: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
    ) -> tuple[Tensor, ...]:
        x = list(torch.split(data, batch_sizes.tolist()))
        x, final = _layers(cell, x, hx if states > 1 else (hx,), weights, num_layers, bidirectional)
        return torch.cat(x), *final

    def steps(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        is_packed = isinstance(args[3], tuple | list)  # the weights stand one place later behind the batch sizes
        return packed(*args, **kwargs) if is_packed else padded(*args, **kwargs)

    return steps


def _layers(
    cell: Cell, x: list[Tensor], hx: Sequence[Tensor], weights: Sequence[Tensor], num_layers: int, bidirectional: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """All layers over a sequence of inputs (batch at that time, F): the outputs, and each state at the end (layers, N, H)."""
    directions = 2 if bidirectional else 1
    count = len(weights) // (num_layers * directions)
    final = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            state = tuple(h[index] for h in hx)
            output, state = _direction(cell, x, state, weights[index * count : (index + 1) * count], direction == 1)
            outputs.append(output)
            final.append(state)
        x = [torch.cat(both, -1) for both in zip(*outputs, strict=True)] if bidirectional else outputs[0]
    return x, [torch.stack(states) for states in zip(*final, strict=True)]


def _direction(
    cell: Cell, x: list[Tensor], start: tuple[Tensor, ...], parameters: Sequence[Tensor], backwards: bool
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """One layer in one direction; sequences of a packed batch are sorted by length, so that the longest come first."""
    outputs: list[Tensor] = [x[0]] * len(x)
    state, ended = tuple(h[: len(x[-1 if backwards else 0])] for h in start), []
    for time in reversed(range(len(x))) if backwards else range(len(x)):
        size = len(x[time])
        if size < len(state[0]):
            ended.append(tuple(h[size:] for h in state))
            state = tuple(h[:size] for h in state)
        going_on = len(state[0])
        parts = [cell(x[time][:going_on], state, parameters)]
        if size > going_on:  # apart from the others: for sequences that begin here the state is a constant, as it would be alone
            parts.append(cell(x[time][going_on:], tuple(first[going_on:size] for first in start), parameters))
        state = parts[0] if len(parts) == 1 else tuple(torch.cat(both) for both in zip(*parts, strict=True))
        outputs[time] = state[0]
    if ended:
        state = tuple(torch.cat(parts) for parts in zip(state, *reversed(ended), strict=True))
    return outputs, state


def _cell_call(cell: Cell, states: int) -> Callable[..., Any]:
    """``torch.lstm_cell`` and its like."""

    def steps(input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Any:
        parameters = [parameter for parameter in (w_ih, w_hh, b_ih, b_hh) if parameter is not None]
        state = cell(input, tuple(hx) if states > 1 else (hx,), parameters)
        return state if states > 1 else state[0]

    return steps


# Einstein sums


def _einsum(equation: Any, *operands: Any) -> Tensor:
    """``torch.einsum`` of two tensors as a matrix product, so that one with constant weights is a linear layer."""
    tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], tuple | list) else list(operands)
    inputs, output = _terms(equation, tensors)
    while len(tensors) > 1:
        kept = set(output).union(*inputs[2:])
        joined, labels = _pair(tensors[0], tensors[1], inputs[0], inputs[1], kept)
        tensors, inputs = [joined, *tensors[2:]], [labels, *inputs[2:]]
    return _arranged(tensors[0], inputs[0], output)


def _terms(equation: Any, tensors: list[Tensor]) -> tuple[list[str], str]:
    """The labels of each input and of the output, one letter per axis, an ellipsis spelled out."""
    if not isinstance(equation, str):
        raise ModelError("torch.einsum is called with lists of axes; write its equation as a string, for example 'bi,oi->bo'")
    left, arrow, right = equation.replace(" ", "").partition("->")
    names = left.split(",")
    spare = [letter for letter in map(chr, range(ord("A"), ord("z") + 1)) if letter.isalpha() and letter not in equation]
    widths = [tensor.ndim - len(name.replace("...", "")) for name, tensor in zip(names, tensors, strict=True)]
    most = max((width for name, width in zip(names, widths, strict=True) if "..." in name), default=0)
    dots = "".join(spare[:most])
    inputs = [name.replace("...", dots[most - width :]) for name, width in zip(names, widths, strict=True)]
    if not arrow:
        letters = "".join(inputs)
        right = dots + "".join(sorted(letter for letter in set(letters) - set(dots) if letters.count(letter) == 1))
    return inputs, right.replace("...", dots)


def _pair(a: Tensor, b: Tensor, of_a: str, of_b: str, kept: Iterable[str]) -> tuple[Tensor, str]:
    """Two factors as one: shared labels that stay are batches, shared ones that go are summed over."""
    if needs_relevance(b) and not needs_relevance(a):
        return _pair(b, a, of_b, of_a, kept)
    a, of_a = _own(a, of_a, {*of_b, *kept})
    b, of_b = _own(b, of_b, {*of_a, *kept})
    size = {label: max(sizes) for label, sizes in _sizes((a, of_a), (b, of_b)).items()}  # an axis of length 1 spreads
    a, b = a.expand([size[label] for label in of_a]), b.expand([size[label] for label in of_b])
    shared = [label for label in of_a if label in of_b]
    batch = "".join(label for label in shared if label in kept)
    summed = "".join(label for label in shared if label not in kept)
    only_a = "".join(label for label in of_a if label not in shared)
    only_b = "".join(label for label in of_b if label not in shared)
    length = math.prod(size[label] for label in summed)
    rows = _arranged(a, of_a, batch + only_a + summed).reshape(*(size[k] for k in batch + only_a), length)
    if not batch:
        columns = _arranged(b, of_b, only_b + summed).reshape(-1, length)
        product = F.linear(rows, columns) if not needs_relevance(b) else torch.matmul(rows.reshape(-1, length), columns.t())
    else:
        sizes = [size[k] for k in batch]
        columns = _arranged(b, of_b, batch + summed + only_b).reshape(*sizes, length, -1)
        product = torch.matmul(rows.reshape(*sizes, -1, length), columns)
    labels = batch + only_a + only_b
    return product.reshape([size[label] for label in labels]), labels


def _sizes(*terms: tuple[Tensor, str]) -> dict[str, list[int]]:
    sizes: dict[str, list[int]] = {}
    for tensor, labels in terms:
        for label, size in zip(labels, tensor.shape, strict=True):
            sizes.setdefault(label, []).append(size)
    return sizes


def _own(tensor: Tensor, labels: str, needed: set[str]) -> tuple[Tensor, str]:
    """The diagonal of repeated labels, and the sum over labels that nobody else needs."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first, second = labels.index(label), labels.rindex(label)
            tensor = tensor.diagonal(dim1=first, dim2=second)
            labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    gone = [axis for axis, label in enumerate(labels) if label not in needed]
    if gone:
        tensor = tensor.sum(gone)
        labels = "".join(label for label in labels if label in needed)
    return tensor, labels


def _arranged(tensor: Tensor, labels: str, wanted: str) -> Tensor:
    tensor, labels = _own(tensor, labels, set(wanted))
    order = [labels.index(label) for label in wanted]
    return tensor if order == list(range(len(order))) else tensor.permute(order)


# Shorthands


def _glu(input: Tensor, dim: int = -1) -> Tensor:
    signal, gate = input.chunk(2, dim)
    return signal.mul(gate.sigmoid())


def _lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    return torch.add((1 - weight) * input, weight * end)


def _addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    return input + _times(tensor1 * tensor2, value)


def _addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    return input + _times(tensor1 / tensor2, value)


def _add_product(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``addmm``, ``baddbmm``, ``addmv``."""
    return _times(input, beta) + _times(torch.matmul(mat1, mat2), alpha)


def _times(tensor: Tensor, factor: float) -> Tensor:
    return tensor if factor == 1 else tensor * factor


def _inner(input: Tensor, other: Tensor) -> Tensor:
    return _tensordot(input, other, (-1, -1))


def _tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: None = None) -> Tensor:
    of_a, of_b = (list(range(a.ndim - dims, a.ndim)), list(range(dims))) if isinstance(dims, int) else map(_as_list, dims)
    of_a, of_b = [axis % a.ndim for axis in of_a], [axis % b.ndim for axis in of_b]
    rest_a, rest_b = ([axis for axis in range(t.ndim) if axis not in of] for t, of in ((a, of_a), (b, of_b)))
    length = math.prod(a.size(axis) for axis in of_a)
    rows = a.permute(*rest_a, *of_a).reshape(-1, length)
    columns = b.permute(*of_b, *rest_b).reshape(length, -1)
    return torch.matmul(rows, columns).reshape(*(a.size(axis) for axis in rest_a), *(b.size(axis) for axis in rest_b))


def _as_list(axes: Any) -> list[int]:
    return [axes] if isinstance(axes, int) else [int(axis) for axis in axes]


def embedding_bag(
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


def _multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    product: Tensor = reduce(torch.matmul, tensors[1:], tensors[0])
    return product


_SHORTHANDS: dict[str, Callable[..., Any]] = {
    "glu": _glu,
    "lerp": _lerp,
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _add_product),
    "inner": _inner,
    "tensordot": _tensordot,
}

STEPS: dict[Any, Handler] = {
    F.scaled_dot_product_attention: in_steps(_attention),
    F.multi_head_attention_forward: in_steps(_multi_head_attention),
    **{function: in_steps(_recurrent(*of)) for name, of in _CELLS.items() for function in functions_named(name)},
    **{function: in_steps(_cell_call(*of)) for name, of in _CELLS.items() for function in functions_named(f"{name}_cell")},
    **dict.fromkeys(functions_named("einsum"), in_steps(_einsum)),
    **{function: in_steps(steps) for name, steps in _SHORTHANDS.items() for function in functions_named(name)},
    torch.linalg.multi_dot: in_steps(_multi_dot),
}
"""From operation to the handler that carries it out in steps."""

RELU_STEPS: dict[Any, Handler] = {function: STEPS[function] for function in functions_named("rnn_relu", "rnn_relu_cell")}
"""Those among them that have a ReLU in them."""
