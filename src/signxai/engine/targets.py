"""Targets: which entry of a model's output is explained, and the relevance that it starts with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from signxai.common.errors import SignxaiError, TargetError

TargetLike: TypeAlias = "int | Sequence[int] | tuple[int, ...] | np.ndarray[Any, Any] | Tensor | Callable[[Tensor], Tensor] | None"


@runtime_checkable
class NamedTarget(Protocol):
    """A score that knows its samples: those of ``signxai.targets``."""

    def rows(self, start: int, stop: int) -> NamedTarget:
        """The score of some of the samples."""

    def fixed(self, outputs: Tensor) -> Callable[[Tensor], Tensor]:
        """The score for points that are made of samples with these outputs."""


@runtime_checkable
class ProbabilityTarget(Protocol):
    """A score of probabilities, which the network's final activation makes of the outputs unless it says by what."""

    @property
    def asks_for_activation(self) -> bool:
        """Whether it takes the activation that the network ends in."""

    def behind(self, activation: str | None) -> Callable[[Tensor], Tensor]:
        """The score for a network that ends in this activation; None: in none."""


@dataclass(frozen=True)
class Target:
    """What is explained: for each sample one entry of the output, or any score of it. None of them: argmax.

    ``indices`` is (N, k), k indices after the batch axis for each sample; ``classes`` (N, 1) is what a tuple means instead
    where the output has one axis after the batch; ``score`` maps outputs to (N,).
    """

    indices: Tensor | None = None
    classes: Tensor | None = None
    score: Callable[[Tensor], Tensor] | None = None

    @property
    def asks_for_activation(self) -> bool:
        """Whether it is of probabilities, by the activation that the network ends in."""
        return self.score is not None and isinstance(self.score, ProbabilityTarget) and self.score.asks_for_activation

    def behind(self, activation: str | None) -> Target:
        """The same for a network that ends in this activation; None: in none."""
        return Target(score=self.score.behind(activation)) if isinstance(self.score, ProbabilityTarget) else self

    def rows(self, start: int, stop: int) -> Target:
        """The target of some of the samples."""
        if self.score is not None and isinstance(self.score, NamedTarget):  # to ask a protocol takes long
            rows = self.score.rows(start, stop)
            return self if rows == self.score else Target(score=rows)
        if self.indices is None or (start <= 0 and stop >= len(self.indices)):
            return self
        return Target(self.indices[start:stop], None if self.classes is None else self.classes[start:stop])

    def repeated(self, samples: slice, count: int) -> Target:
        """The target of some of the samples, ``count`` times one after the other."""
        part = self.rows(samples.start, samples.stop)
        if part.indices is None:
            return part
        return Target(part.indices.repeat(count, 1), None if part.classes is None else part.classes.repeat(count, 1))

    def resolved(self, logits: Tensor) -> Target:
        """This target with its indices fixed by these logits, where it follows the largest one, or a score names classes."""
        if self.score is not None and isinstance(self.score, NamedTarget):
            return Target(score=self.score.fixed(logits.detach()))
        if self.score is not None:
            values = _scores(self.score, logits.detach())
            names_classes = isinstance(values, list | tuple | np.ndarray) or (isinstance(values, Tensor) and not values.is_floating_point())
            return as_target(values, len(logits)) if names_classes else self
        if self.indices is not None:
            return self
        return Target(torch.stack(self._index(logits), dim=1) if logits.ndim > 1 else logits.new_zeros(len(logits), 1).long())

    def initial_relevance(self, logits: Tensor, relevance: str) -> Tensor:
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

    def scores(self, logits: Tensor) -> Tensor:
        """What is explained of each sample (N,): its entry of the output, or its score.

        Raises:
            TargetError: if the target does not fit the output.
        """
        if self.score is None:
            place = (torch.arange(len(logits), device=logits.device), *self._index(logits.detach()))
            return logits[place]
        values = _checked_scores(self.score, logits)
        return values if values.is_floating_point() else as_target(values, len(logits)).scores(logits)

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
                f"{'index' if len(axes) == 1 else 'indices'} after the batch axis, not {indices.shape[1]}"
            )
        columns = []
        for column, size in zip(indices.unbind(1), axes, strict=True):
            least = -size if len(axes) > 1 else 0  # positions may count from the end, classes may not
            entries = column.tolist()
            wrong = [entry for entry in entries if not least <= entry < size]
            if wrong:
                raise TargetError(f"target {wrong[0]} is out of range: the output has {size} entries on that axis, 0 to {size - 1}")
            columns.append((column % size if min(entries) < 0 else column).to(logits.device))
        return tuple(columns)


def _score_gradient(score: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """The gradient of a user's score by the logits; a score of whole numbers names classes."""
    leaf = logits.detach().requires_grad_(True)
    with torch.enable_grad():
        values = _checked_scores(score, leaf)
        if not values.is_floating_point():
            return as_target(values, len(logits)).initial_relevance(logits, "one_hot")
        if not values.requires_grad:
            raise TargetError("the callable target's scores do not depend on the outputs; compute them from its argument, without detach")
        return torch.autograd.grad(values.sum(), leaf)[0]


def _checked_scores(score: Callable[[Tensor], object], logits: Tensor) -> Tensor:
    """What a user's score gives (N,): finite numbers, or classes."""
    values = _scores(score, logits)
    if isinstance(values, list | tuple | np.ndarray):
        values = torch.from_numpy(_integers(values))
    if not isinstance(values, Tensor) or values.shape != (len(logits),):
        came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise TargetError(f"a callable target must turn the outputs into a tensor of shape ({len(logits)},), not {came}")
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        raise TargetError("the callable target's scores hold NaN or infinity")
    return values


def _scores(score: Callable[[Tensor], object], leaf: Tensor) -> object:
    """What the user's function makes of the outputs: it may raise anything."""
    try:
        return score(leaf)
    except SignxaiError:
        raise
    except Exception as error:
        if isinstance(error, Warning):
            raise
        raise TargetError(
            f"the callable target failed on outputs of shape {tuple(leaf.shape)}: {type(error).__name__}: {error}; it is given the logits "
            "and must turn them into a tensor (N,)"
        ) from error


def as_target(target: object, samples: int) -> Target:
    """Read a target as ``explain`` takes it, for a batch of ``samples``.

    Raises:
        TargetError: if it is not made of integers or has not one entry per sample.
    """
    if target is None:
        return Target()
    if type(target) is int and abs(target) < 1 << 32:  # most often; arrays take longer
        return Target(torch.full((samples, 1), target, device="cpu"))
    if isinstance(target, Target):
        return target
    if callable(target):
        return Target(score=target)
    array = _integers(target)
    if array.ndim == 0:
        return Target(torch.full((samples, 1), int(array), device="cpu"))
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
