"""Watches a forward pass operation by operation, whether a module or a function issues it; nothing is changed in the model.

Every pass finds the softmax at the model's end and the values before it (the logits), and secures kept tensors against
in-place operations. Subclasses give operations a backward pass of their own by adding handlers to the table.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from signxai.common.errors import InputError, ModelError
from signxai.engine.fused.gradient_runs import BatchNormNode, GradientRunNode
from signxai.engine.fused.runs import Plan, Run, plan_of
from signxai.engine.layers import ChannelMap, batch_norm_map
from signxai.engine.nodes import needs_relevance
from signxai.engine.saved import Keeper

Handler: TypeAlias = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any]

_NAMESPACES = (torch, torch.Tensor, F, torch._C._nn, torch.special)


def functions_named(*names: str) -> set[Any]:
    """Every torch function or tensor method of these names, for example torch.relu, Tensor.relu and F.relu."""
    return {getattr(space, name) for name in names for space in _NAMESPACES if hasattr(space, name)}


def table_of(*rows: tuple[Iterable[str], Handler]) -> dict[Any, Handler]:
    """A table from function to handler, from rows of names and their handler."""
    return {function: handler for names, handler in rows for function in functions_named(*names)}


def split_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The first argument, wherever it stands, and the others."""
    if args:
        return args[0], args[1:], kwargs
    name = "input" if "input" in kwargs else "self"
    return kwargs.get(name), (), {key: value for key, value in kwargs.items() if key != name}


class TensorTable:
    """Notes about tensors that are still alive, found by the identity of the tensor."""

    def __init__(self) -> None:
        self._notes: dict[int, tuple[weakref.ref[Tensor], Any]] = {}

    def put(self, tensor: Tensor, note: Any) -> None:
        """Take a note of ``tensor``; it is forgotten with the tensor."""
        key = id(tensor)
        notes = self._notes
        notes[key] = (weakref.ref(tensor, lambda _: notes.pop(key, None)), note)

    def drop(self, tensor: Tensor) -> None:
        """Forget the note of ``tensor``, and what it holds."""
        self._notes.pop(id(tensor), None)

    def get(self, tensor: Any) -> Any:
        """The note of ``tensor``, or None."""
        entry = self._notes.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None


_WRITES = {
    function
    for space in _NAMESPACES
    for name in dir(space)
    if (name.endswith("_") and not name.endswith("__")) or name in ("__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__")
    for function in [getattr(space, name, None)]
    if callable(function)
}


def writes_in_place(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call may write to its first argument; activations take ``inplace`` by position too, so any True counts."""
    return function in _WRITES or any(arg is True for arg in args) or bool(kwargs.get("inplace"))


class ForwardPass(TorchFunctionMode):
    """A plain forward pass: what remains is the gradient."""

    handlers: Mapping[Any, Handler] = {}

    def __init__(self) -> None:
        super().__init__()
        self.keeper = Keeper()
        self._before_softmax = TensorTable()
        self.net: nn.Module | None = None
        self.samples = 0  # of all forward passes that were run under it

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        handler = self.handlers.get(func)
        if handler is not None:
            return handler(self, func, args, kwargs)
        return self.plain(func, args, kwargs)

    def plain(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation as it is, after securing what it may overwrite."""
        if func in _WRITES or kwargs.get("inplace"):
            target = split_input(args, kwargs)[0]
            if isinstance(target, Tensor):
                self.keeper.before_write(target)
        elif isinstance(kwargs.get("out"), Tensor):
            self.keeper.before_write(kwargs["out"])
        return func(*args, **kwargs)

    def softmax(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Run a softmax (subclasses: under a rule)."""
        result: Tensor = self.plain(func, args, kwargs)
        return result

    def batch_norm(self, x: Tensor, channel_map: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Run a batch norm, which is a map per channel (subclasses: under a rule)."""
        result: Tensor = BatchNormNode.apply(x, compute, channel_map)
        return result

    def logits_of(self, output: Tensor) -> Tensor:
        """What stood before the final softmax or log-softmax; the output itself if there is none."""
        logits = self._before_softmax.get(output)
        return output if logits is None else logits

    def note_logits(self, output: Any, logits: Any) -> None:
        """Remember that ``output`` is a softmax of ``logits``."""
        if isinstance(output, Tensor) and isinstance(logits, Tensor):
            self._before_softmax.put(output, logits)


def _softmax(watch: ForwardPass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    result = watch.softmax(func, args, kwargs)
    watch.note_logits(result, split_input(args, kwargs)[0])
    return result


def _log(watch: ForwardPass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The logarithm of a softmax is a log-softmax: the logits are the same."""
    result: Tensor = watch.plain(func, args, kwargs)
    watch.note_logits(result, watch._before_softmax.get(split_input(args, kwargs)[0]))
    return result


def _after_softmax(watch: ForwardPass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An operation that only reshapes or converts: do the same to the logits of a softmax."""
    first, rest, named = split_input(args, kwargs)
    result = watch.plain(func, args, kwargs)
    logits = watch._before_softmax.get(first)
    if logits is not None and result is not first:
        watch.note_logits(result, func(logits, *rest, **named))
    return result


def _embedding(watch: ForwardPass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Inputs are floating-point numbers here; token ids among them become whole numbers again."""
    indices, rest, named = split_input(args, kwargs)
    if needs_relevance(indices):
        raise InputError("token ids have no gradient; explain them by an LRP method, or explain the embeddings that they stand for")
    return watch.plain(func, (indices.long() if indices.is_floating_point() else indices, *rest), named)


def _batch_norm(watch: ForwardPass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, rest, named = split_input(args, kwargs)
    channel_map = _channel_map(x, *rest, **named)
    if not needs_relevance(x):
        return watch.plain(func, args, kwargs)
    return watch.batch_norm(x, channel_map, lambda t: func(t, *rest, **named))


def _torch_batch_norm(watch: ForwardPass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``torch.batch_norm`` takes the same things in another order."""
    names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    values = dict(zip(names, args, strict=False)) | kwargs  # without cudnn_enabled, the last
    return _batch_norm(watch, F.batch_norm, (), {name: values[name] for name in names})


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
    """The map per channel that a call of ``F.batch_norm`` is."""
    check_statistics(running_mean, running_var, training)
    assert running_mean is not None
    assert running_var is not None
    return batch_norm_map(running_mean, running_var, weight, bias, eps)


def check_statistics(mean: Any, var: Any, training: bool) -> None:
    """Refuse a batch norm that takes its statistics from the batch.

    Raises:
        ModelError: if it does.
    """
    if training or mean is None or var is None:
        raise ModelError(
            "a batch norm without running statistics mixes the samples of a batch, so no sample has a map of its own; "
            "use track_running_stats=True"
        )


def embedding_by_table(handler: Any) -> Handler:
    """``torch.embedding`` takes the table first: a handler for it from one for ``F.embedding``."""

    def by_table(watch: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        values = dict(zip(("weight", "indices", "padding_idx", "scale_grad_by_freq", "sparse"), args, strict=False)) | kwargs
        return handler(watch, F.embedding, (values["indices"], values["weight"]), {})

    return by_table


SOFTMAX_NAMES = ("softmax", "log_softmax")
KEEPS_LOGITS_NAMES = (
    *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "contiguous", "clone"),
    *("to", "float", "double", "half", "bfloat16", "type", "dropout", "__getitem__"),
)
BASE_TABLE = table_of((SOFTMAX_NAMES, _softmax), (("log",), _log), (KEEPS_LOGITS_NAMES, _after_softmax))
BASE_TABLE |= {
    F.embedding: _embedding,
    torch.embedding: embedding_by_table(_embedding),
    F.embedding_bag: _embedding,
    F.batch_norm: _batch_norm,
    torch.batch_norm: _torch_batch_norm,
}


class GradientPass(ForwardPass):
    """Leaves every operation its own gradient.

    Args:
        is_quick: carry out straight runs as is quickest for many samples (see ``GradientRunNode``).
    """

    handlers: Mapping[Any, Handler] = BASE_TABLE

    def __init__(self, is_quick: bool = False) -> None:
        super().__init__()
        self.is_quick = is_quick

    def plan_of(self, sequential: nn.Sequential) -> Plan | None:
        return plan_of(sequential, sequential is self.net, with_max_pools=True)

    def carry_out(self, run: Run, x: Tensor) -> Tensor:
        result: Tensor = GradientRunNode.apply(x, run.steps, self.is_quick, self.keeps)
        return result

    def keeps(self, tensor: Tensor) -> None:
        """Is told each tensor that a run keeps."""


CONVOLUTION_NAMES = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
