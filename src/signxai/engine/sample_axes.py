"""Follows the samples of a batch through a network: on which axis of a tensor they are, however code moves, merges and splits axes.

An operation that moves values is carried out on the numbers of the samples as well. One that computes values leaves the axes where they
are, counted from the last one. Behind anything else nothing is known, and samples are explained one by one where a rule asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.moves import COPIES, MOVES_ALONE, in_any_layout
from signxai.engine.notes import TensorNotes
from signxai.engine.registry import RELEVANCE
from signxai.engine.samples import SampleAxis
from signxai.engine.torch_functions import WRITING, Operation, functions_named

_MOVES = (MOVES_ALONE | functions_named("index_select", "gather", "take_along_dim", "_pack_padded_sequence")) - COPIES
_MOVES |= {torch.fft.fftshift, torch.fft.ifftshift}
_PADDING = functions_named("_pad_packed_sequence")
_JOINS = functions_named("cat", "concat", "concatenate", "stack")
_STACK = functions_named("stack")
_REDUCTIONS = functions_named(
    *("sum", "mean", "amax", "amin", "max", "min", "std", "var", "norm", "logsumexp", "prod", "median", "nansum", "nanmean", "argmax"),
)
_LEAVES_AXES = COPIES | functions_named(
    *("float", "double", "half", "bfloat16", "type", "cpu", "cuda", "masked_fill", "masked_fill_", "where", "pad", "dropout", "dropout_"),
    "constant_pad_nd",
    *("dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout", "maximum", "minimum", "fmax"),
    *("fmin", "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("nan_to_num", "tril", "triu", "requires_grad_", "cummax", "cummin", "max_pool1d_with_indices", "max_pool2d_with_indices", "to"),
    *("type_as", "max", "min"),
)
"""Of the operations that relevance follows as the gradient does, those that leave all values at their places along an axis."""

_OF_NUMBERS = functions_named("long", "int", "short", "float", "to", "type", "round", "clamp", "abs", "floor")
"""Functions that make token ids of the input, without a gradient."""

_LOOKUPS = functions_named("embedding")

_ALONG_ONE_AXIS = functions_named(
    *("index_add", "index_add_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_", "index_reduce", "index_reduce_"),
    *("index_copy", "index_copy_", "index_fill", "index_fill_", "scatter", "scatter_", "sort", "topk"),
)
"""Operations that place values anew along the axis that their second argument names."""

_PLACES_ANEW = functions_named(
    *("einsum", "tensordot", "outer", "kron", "bilinear", "embedding_bag", "unfold", "fold", "col2im", "im2col", "_grouped_mm", "put"),
    *("cdist", "inner", "mv", "dot", "_sparse_mm", "segment_reduce", "multi_head_attention_forward", "cov", "corrcoef"),
    *("lstm", "gru", "rnn_tanh", "rnn_relu", "put_", "index_put", "index_put_", "grouped_mm", "broadcast_tensors"),
    *("cross", "linalg_cross"),
)
"""Operations with a rule of their own behind which values may stand along another axis, or in another order."""


class SampleAxes:
    """What is known of the samples of one forward pass."""

    def __init__(self) -> None:
        self._axes: TensorNotes[SampleAxis] = TensorNotes()
        self.count = 0

    def begin(self, x: Tensor) -> None:
        """The input of the network (N, ...)."""
        self.count = len(x)
        self._axes.put(x, SampleAxis.of_batch(x))

    def of(self, tensor: Tensor) -> SampleAxis | None:
        """Where the samples are in a tensor; None if nobody knows."""
        found = self._axes.get(tensor)
        return found if found is not None and found.axis < tensor.ndim and tensor.shape[found.axis] == found.length else None

    def put(self, tensor: Tensor, found: SampleAxis | None) -> None:
        """Take a note of where they are in a tensor."""
        if found is None:
            self._axes.drop(tensor)
        else:
            self._axes.put(tensor, found)

    def follow(self, call: Call, signals: list[Tensor], result: Result, has_rule: bool) -> None:
        """Take notes of what a call, under a rule of the engine's or as it is, made of its signals."""
        func = call.func
        if len(signals) == 1 and func not in _MAY_PLACE_OTHERWISE and isinstance(result, Tensor) and _leaves_axes(func, has_rule):
            self._follow_one(signals[0], result)  # most calls, in fewer steps
            return
        if not signals:  # token ids are followed, too
            signals = [value for value in tensors_in((call.args, call.kwargs)) if self._axes.get(value) is not None]
        results = tensors_in(result)
        known = [found for found in map(self.of, signals) if found is not None]
        if not signals or len(known) < len(signals):
            axes: Iterable[SampleAxis | None] = [None] * len(results)
        else:
            axes = self._axes_of(call, has_rule, signals, known, results)
        for tensor, found in zip(results, axes, strict=True):
            is_inner = self._axes.get(tensor) is not None and not any(tensor is signal for signal in signals)
            if not is_inner:  # else the rule took several steps, each of which was followed
                self.put(tensor, found)

    def _follow_one(self, signal: Tensor, result: Tensor) -> None:
        """The same of a call that leaves one signal's values at their places along an axis."""
        if result is not signal and self._axes.get(result) is not None:
            return
        found, shape, of_result = self._axes.get(signal), signal.shape, result.shape
        if found is not None and found.axis < len(shape) == len(of_result) and shape[found.axis] == found.length == of_result[found.axis]:
            self._axes.put(result, found)
        else:
            self._axes.drop(result)

    def _axes_of(
        self, call: Call, has_rule: bool, signals: list[Tensor], known: list[SampleAxis], results: list[Tensor]
    ) -> list[SampleAxis | None]:
        func = call.func
        if func in _MOVES and len(signals) == 1 and signals[0] is call.x and func not in WRITING:
            return _moved(call, known[0], results)
        if func in _PADDING:
            return [_padded(call, known[0], tensor) for tensor in results]
        if func in _ALONG_ONE_AXIS:
            dim = call.named.get("dim", call.rest[0] if call.rest else None)
            is_other = isinstance(dim, int) and all(dim % signal.ndim != found.axis for signal, found in zip(signals, known, strict=True))
            return [_left_in_place(signals, known, tensor) if is_other else None for tensor in results]
        if func in _JOINS:
            return [_joined(call, signals, known)] * len(results)
        if func in _LOOKUPS:
            return [known[0]] * len(results)
        if func in _REDUCTIONS and results and results[0].ndim < signals[0].ndim:
            return [_reduced(call, known[0])] * len(results)
        if _leaves_axes(func, has_rule):
            return [_left_in_place(signals, known, tensor) for tensor in results]
        return [None] * len(results)


def _leaves_axes(func: Operation, has_rule: bool) -> bool:
    """Whether a function leaves all values at their places along an axis, unless it stands in one of the tables of those that may not."""
    return func in _LEAVES_AXES or func in _OF_NUMBERS or (has_rule and func not in _PLACES_ANEW and func not in RELEVANCE.as_gradient)


_MAY_PLACE_OTHERWISE = _MOVES | _PADDING | _ALONG_ONE_AXIS | _JOINS | _LOOKUPS | _REDUCTIONS


def _moved(call: Call, known: SampleAxis, results: list[Tensor]) -> list[SampleAxis | None]:
    """What a move makes of the numbers of the samples."""
    if any(isinstance(value, torch.dtype) for value in (*call.rest, *call.named.values())):
        return [None] * len(results)
    x: Tensor = call.x
    shape = (*(1,) * known.axis, -1, *(1,) * (x.ndim - 1 - known.axis))
    moved = tensors_in(in_any_layout(call).run(known.samples.view(shape).expand(x.shape)))
    return [_axis_of(tensor) for tensor in moved] if len(moved) == len(results) else [None] * len(results)


def _axis_of(numbers: Tensor) -> SampleAxis | None:
    """The one axis along which the numbers of the samples differ."""
    if not numbers.numel():
        return None
    axes = [axis for axis in range(numbers.ndim) if numbers.shape[axis] > 1 and numbers.stride(axis)]
    if not axes:
        first = next((axis for axis in range(numbers.ndim) if numbers.shape[axis] == 1), None)
        return None if first is None else SampleAxis(first, numbers.flatten()[:1], 1)
    for axis in axes:
        along = numbers.movedim(axis, 0).reshape(len(numbers.movedim(axis, 0)), -1)
        if len(axes) == 1 or bool((along == along[:, :1]).all()):
            return SampleAxis(axis, along[:, 0].clone())
    return None


def _padded(call: Call, known: SampleAxis, result: Tensor) -> SampleAxis | None:
    """Behind the padding of packed sequences (rows, ...): the first rows are the first steps of all."""
    batch_first = call.named.get("batch_first", call.args[2] if len(call.args) > 2 else False)
    axis = 0 if batch_first else 1
    if known.axis or result.ndim < 2:
        return None
    first = known.samples[: result.shape[axis]]
    steps = [first[:rows] for rows in call.args[1].tolist()]  # else the rows are of somebody's own making
    return SampleAxis(axis, first) if torch.equal(torch.cat(steps), known.samples) else None


def _joined(call: Call, signals: list[Tensor], known: list[SampleAxis]) -> SampleAxis | None:
    dim = call.named.get("dim", call.rest[0] if call.rest else 0)
    first = known[0]
    if not isinstance(dim, int) or any(other.axis != first.axis for other in known):
        return None
    is_alike = all(other.is_same_as(first) for other in known)
    if call.func in _STACK:
        dim %= signals[0].ndim + 1
        return first.at(first.axis + (dim <= first.axis)) if is_alike else None
    if dim % signals[0].ndim != first.axis:
        return first if is_alike else None
    are_all = len(signals) == len(tensors_in(call.args))  # a constant beside them is nobody's
    return SampleAxis(first.axis, torch.cat([other.samples for other in known])) if are_all else None


def _reduced(call: Call, known: SampleAxis) -> SampleAxis | None:
    """Behind a sum, mean, ... over some axes, which are no more."""
    dims = call.named.get("dim", call.rest[0] if call.rest else None)
    dims = (dims,) if isinstance(dims, int) else dims
    if not isinstance(dims, tuple | list) or not all(isinstance(dim, int) for dim in dims) or not dims:
        return None
    gone = {dim % call.x.ndim for dim in dims}
    return None if known.axis in gone else known.at(known.axis - sum(dim < known.axis for dim in gone))


def _left_in_place(signals: list[Tensor], known: list[SampleAxis], result: Tensor) -> SampleAxis | None:
    """Behind what computes values: axes are where they are, counted from the last."""
    first = known[0]
    from_last, most = signals[0].ndim - first.axis, signals[0].ndim
    for signal, found in zip(signals[1:], known[1:], strict=True):
        if signal.ndim - found.axis != from_last:
            return None
        most = max(most, signal.ndim)
    axis = result.ndim - from_last
    if result.ndim != most or axis < 0 or result.shape[axis] != first.length or not all(other.is_same_as(first) for other in known[1:]):
        return None
    return first.at(axis)
