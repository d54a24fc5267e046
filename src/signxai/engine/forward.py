"""Inputs as a model takes them, outputs as logits, and targets as what relevance starts from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import ForwardError, InputError, ModelError, SignxaiError, TargetError
from signxai.engine.mode import ForwardPass
from signxai.engine.places import door

TargetLike: TypeAlias = "int | Sequence[int] | tuple[int, ...] | np.ndarray[Any, Any] | Tensor | Callable[[Tensor], Tensor] | None"


def as_input(net: nn.Module, x: Any) -> Tensor:
    """The input as a floating-point tensor on the model's device and of its dtype, outside of any graph.

    Raises:
        InputError: if it is no numeric array, has no batch axis, is empty, or holds NaN or infinity.
    """
    tensor = _as_tensor(x)
    if tensor.ndim == 0:
        raise InputError("x is a single number; a batch of shape (N, ...) is needed")
    if tensor.numel() == 0:
        raise InputError(f"x is empty: its shape is {tuple(tensor.shape)}; at least one sample with at least one value is needed")
    if tensor.is_complex():
        raise InputError(f"x is {tensor.dtype}; real numbers are needed: stack real and imaginary part as channels")
    like = _first_floating(net)
    dtype = like.dtype if like is not None else (tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype())
    device = like.device if like is not None else tensor.device
    tensor = tensor.detach().to(device=device, dtype=dtype)
    if tensor.is_inference():
        tensor = tensor.clone()
    if not _is_finite(tensor):
        raise InputError(f"x holds NaN or infinity ({int((~torch.isfinite(tensor)).sum())} of {tensor.numel()} values); clean it first")
    return tensor


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite. NaN and infinity show in the sum, which is many times as fast; a large one may just overflow."""
    return math.isfinite(float(tensor.detach().sum())) or bool(torch.isfinite(tensor).all())


def _as_tensor(x: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"x is not an array: {error}; give a tensor or array of shape (N, ...)") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"x is {type(x).__name__} of {array.dtype}; a numeric tensor or array of shape (N, ...) is needed")
    if not array.ndim:
        return torch.tensor(array.item())
    if not array.flags.writeable or not array.dtype.isnative or min(array.strides) < 0:
        array = array.astype(array.dtype.newbyteorder("="))  # a copy: torch takes only writable, native memory
    return torch.from_numpy(array)


def _first_floating(net: nn.Module) -> Tensor | None:
    return next((p for tensors in (net.parameters(), net.buffers()) for p in tensors if p.is_floating_point()), None)


def first_tensor(output: Any) -> Tensor:
    """The logits among what a model returns: ``.logits`` (Hugging Face), a tensor, or the first one of a tuple or mapping.

    Raises:
        ModelError: if there is no tensor in it.
    """
    if isinstance(output, Tensor):
        return output
    logits = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    values: Iterable[Any] = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    for value in values:
        if isinstance(value, Tensor):
            return value
    raise ModelError(f"the model returned {type(output).__name__} without a tensor; it must return logits (N, classes)")


class _ForwardErrors:
    """Turns whatever a model's forward raises into a ``ForwardError`` that keeps it as its cause."""

    def __init__(self, net: nn.Module, x: Tensor) -> None:
        self.net = net
        self.x = x

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, SignxaiError | Warning):
            shape = tuple(self.x.shape)
            if _takes_one_sample_as(self.net, self.x):
                raise InputError(f"x of shape {shape} has no batch axis; pass x[None], of shape {(1, *shape)}") from error
            raise ForwardError(
                f"the model's forward failed on x of shape {shape}: {type(error).__name__}: {error}; "
                "check that x has the shape (N, ...) that the model takes, and that model(x) works"
            ) from error


def _takes_one_sample_as(net: nn.Module, x: Tensor) -> bool:
    """Whether the model takes ``x`` once it has a batch axis."""
    failures: list[BaseException] = []
    with _Recording(failures), torch.no_grad():
        output = first_tensor(net(x[None]))
        return not failures and output.ndim > 0 and output.shape[0] == 1
    return False


class _Recording:
    """Swallows an error of a trial run, after recording it."""

    def __init__(self, failures: list[BaseException]) -> None:
        self.failures = failures

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is not None:
            self.failures.append(error)
        return isinstance(error, Exception)


@door
def run_forward(net: nn.Module, x: Tensor, watch: ForwardPass, made_from: Tensor | None = None) -> Tensor:
    """Run the model under ``watch`` and return its logits (N, ...), with any final softmax taken off.

    Args:
        net: the model.
        x: a batch (N, ...).
        watch: what sees its operations.
        made_from: what the user gave, if ``x`` are points made from it: errors speak of that.

    Raises:
        ForwardError: if the forward fails.
        InputError: if ``x`` has no batch axis.
        ModelError: if the output has not one row per sample, is no floating-point tensor, or holds NaN or infinity.
    """
    watch.net = net
    watch.samples += x.shape[0] if x.ndim else 0
    with _ForwardErrors(net, x if made_from is None else made_from), watch:
        output = net(x)
    logits = watch.logits_of(first_tensor(output))
    if logits.ndim == 0 or logits.shape[0] != x.shape[0]:
        raise ForwardError(
            f"the model turned x of shape {tuple(x.shape)} into an output of shape {tuple(logits.shape)}, which has not one row per "
            f"sample of a batch; if x is one sample, pass x[None], of shape {(1, *x.shape)}"
        )
    if not logits.is_floating_point():
        raise ModelError(f"the model's output is {logits.dtype}; it must be floating-point logits")
    if not _is_finite(logits):
        raise ModelError("the model's output holds NaN or infinity for this input; its relevance would be meaningless")
    return logits


@dataclass(frozen=True)
class Target:
    """What is explained: for each sample one entry of the output, or any score of it. None of them: argmax.

    ``indices`` is (N, k), k indices behind the batch axis for each sample; ``classes`` (N, 1) is what a tuple means instead
    where the output has one axis behind the batch; ``score`` maps outputs to (N,).
    """

    indices: Tensor | None = None
    classes: Tensor | None = None
    score: Callable[[Tensor], Tensor] | None = None

    def rows(self, start: int, stop: int) -> Target:
        """The target of some of the samples."""
        if self.indices is None:
            return self
        return Target(self.indices[start:stop], None if self.classes is None else self.classes[start:stop])

    def repeated(self, samples: slice, count: int) -> Target:
        """The target of some of the samples, ``count`` times one after the other."""
        part = self.rows(samples.start, samples.stop)
        if part.indices is None:
            return part
        return Target(part.indices.repeat(count, 1), None if part.classes is None else part.classes.repeat(count, 1))

    def settled(self, logits: Tensor) -> Target:
        """This target with its indices fixed by these logits, where it follows the largest one."""
        if self.indices is not None or self.score is not None:
            return self
        return Target(torch.stack(self._index(logits), dim=1) if logits.ndim > 1 else logits.new_zeros(len(logits), 1).long())

    def starting_relevance(self, logits: Tensor, relevance: str) -> Tensor:
        """Relevance at the output, in the shape of ``logits``: 1 at the target ("one_hot") or its logit ("logit").

        Raises:
            TargetError: if the target does not fit the output.
        """
        if self.score is not None:
            start = _score_gradient(self.score, logits)
        else:
            values = logits.detach()
            index = self._index(values)
            start = torch.zeros_like(values)
            if len(index) == 1:
                start.scatter_(1, index[0].unsqueeze(1), 1.0)
            else:
                start.index_put_((torch.arange(len(values), device=values.device), *index), values.new_ones(()))
        return start if relevance == "one_hot" else start * logits.detach()

    def _index(self, logits: Tensor) -> tuple[Tensor, ...]:
        axes = tuple(logits.shape[1:])
        if self.indices is None:
            return torch.unravel_index(logits.flatten(1).argmax(dim=1), axes) if axes else ()
        indices = self.classes if self.classes is not None and len(axes) == 1 else self.indices
        if not axes and indices.shape[1] == 1:  # one score per sample
            if bool((indices != 0).any()):
                raise TargetError(f"target {int(indices.max())}: the model gives one value per sample, so the only target is 0")
            return ()
        if indices.shape[1] != len(axes):
            raise TargetError(
                f"the output has the shape (N, {', '.join(map(str, axes))}): a target is {len(axes)} "
                f"{'index' if len(axes) == 1 else 'indices'} behind the batch axis, not {indices.shape[1]}"
            )
        for column, size in zip(indices.unbind(1), axes, strict=True):
            wrong = [entry for entry in column.tolist() if not 0 <= entry < size]
            if wrong:
                raise TargetError(f"target {wrong[0]} is out of range: the output has {size} entries on that axis, 0 to {size - 1}")
        return tuple(indices.to(logits.device).unbind(1))


def _score_gradient(score: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """The gradient of a user's score by the logits; a score of whole numbers names classes."""
    leaf = logits.detach().requires_grad_(True)
    with torch.enable_grad():
        values = _scores(score, leaf)
    if isinstance(values, list | tuple | np.ndarray):
        values = torch.from_numpy(_integers(values))
    if not isinstance(values, Tensor) or values.shape != (len(logits),):
        came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise TargetError(f"a callable target must turn the outputs into a tensor of shape ({len(logits)},), not {came}")
    if not values.is_floating_point():
        return as_target(values, len(logits)).starting_relevance(logits, "one_hot")
    if not values.requires_grad:
        raise TargetError("the callable target's scores do not depend on the outputs; compute them from its argument, without detach")
    if not bool(torch.isfinite(values).all()):
        raise TargetError("the callable target's scores hold NaN or infinity")
    return torch.autograd.grad(values.sum(), leaf)[0]


def _scores(score: Callable[[Tensor], Any], leaf: Tensor) -> Any:
    try:
        return score(leaf)
    except IndexError as error:
        raise TargetError(f"the callable target failed on outputs of shape {tuple(leaf.shape)}: {error}") from error


def as_target(target: Any, samples: int) -> Target:
    """Read a target as ``explain`` takes it, for a batch of ``samples``.

    Raises:
        TargetError: if it is not made of integers or has not one entry per sample.
    """
    if target is None:
        return Target()
    if isinstance(target, Target):
        return target
    if callable(target) and not isinstance(target, Tensor):
        return Target(score=target)
    array = _integers(target)
    if array.ndim == 0:
        return Target(torch.full((samples, 1), int(array)))
    if isinstance(target, tuple) and array.ndim == 1:
        is_sequence = len(array) == samples and len(array) > 1
        return Target(torch.from_numpy(np.tile(array, (samples, 1))), torch.from_numpy(array[:, None]) if is_sequence else None)
    if array.shape[0] != samples or array.ndim > 2:
        raise TargetError(f"{array.shape[0]} targets for {samples} samples; give one integer for all, or one for each sample")
    return Target(torch.from_numpy(array.reshape(samples, -1)))


def _integers(target: Any) -> np.ndarray[Any, Any]:
    values = target.detach().cpu().numpy() if isinstance(target, Tensor) else target
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise TargetError(f"target {target!r} is not an integer or a sequence of integers") from error
    has_bool = isinstance(target, bool) or (isinstance(target, list | tuple) and any(isinstance(item, bool | np.bool_) for item in target))
    if array.dtype.kind not in "iu" or has_bool:
        kind = "bool" if has_bool or array.dtype.kind == "b" else type(target).__name__ if array.dtype.kind == "O" else array.dtype
        raise TargetError(f"target {target!r} ({kind}) is not an integer or a sequence of integers; give class indices such as 3 or [3, 5]")
    return array.astype(np.int64)
