"""Targets with names: what of a decision is explained, where that is more than one class's logit.

Each is a value that ``explain`` takes as ``target_class``. It prints as it is written, equals another of its kind, and is a function of the
outputs (N, classes, ...) to one score for each sample (N,), whose gradient is what relevance starts with: with 1 at the one class and -1 at
the other of a contrast, so that an LRP map is the map of the one less that of the other, each of which shares out 1. ``relevance="logit"``
starts with the logits times that: such a map shares out their difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import TargetError

__all__ = ["Contrast", "LogProbability", "Margin", "Token", "Top", "contrast", "log_probability", "margin", "token", "top"]

Entry: TypeAlias = "int | tuple[int, ...] | list[int]"
"""An entry of the outputs: a class; a tuple of as many indices as the outputs have axes after the batch; a list: one class per sample."""


@dataclass(frozen=True)
class Contrast:
    """One entry rather than another: the difference of their logits.

    Attributes:
        target: what is explained.
        rather_than: what it is compared with.
    """

    target: Entry
    rather_than: Entry

    def __call__(self, outputs: Tensor) -> Tensor:
        """The score of each sample (N,).

        Raises:
            TargetError: if both name the same entry of a sample, whose difference is zero.
        """
        one, other = _places(outputs, self.target), _places(outputs, self.rather_than)
        same = torch.stack([a == b for a, b in zip(one, other, strict=True)]).all(0).nonzero().flatten().tolist()
        if same:
            raise TargetError(f"{self} compares an entry with itself for sample {same[0]}, which gives zero; name two entries")
        return _at(outputs, one) - _at(outputs, other)

    def rows(self, start: int, stop: int) -> Contrast:
        """The target of some of the samples."""
        return Contrast(_rows(self.target, start, stop), _rows(self.rather_than, start, stop))

    def fixed(self, outputs: Tensor) -> Contrast:
        """The same for points that are made of samples with these outputs."""
        return self

    def __repr__(self) -> str:
        return f"contrast({self.target}, {self.rather_than})"


@dataclass(frozen=True)
class Margin:
    """The most probable class rather than the runner-up, of each sample."""

    def __call__(self, outputs: Tensor) -> Tensor:
        """The score of each sample (N,)."""
        return self.fixed(outputs)(outputs)

    def rows(self, start: int, stop: int) -> Margin:
        """The target of some of the samples."""
        return self

    def fixed(self, outputs: Tensor) -> Callable[[Tensor], Tensor]:
        """The two classes of each sample, for points that are made of it."""
        if outputs.ndim != 2 or outputs.shape[1] < 2:
            raise TargetError(
                f"{self}: outputs of shape {tuple(outputs.shape)} have no runner-up; they must be (N, classes), of at least 2"
            )
        first, second = outputs.detach().topk(2, dim=1).indices.unbind(1)
        return Contrast(first.tolist(), second.tolist())

    def __repr__(self) -> str:
        return "margin()"


@dataclass(frozen=True)
class LogProbability:
    """The logarithm of a class's probability by a softmax over all classes, or by a sigmoid of its own.

    Attributes:
        target: the class.
        activation: "softmax" or "sigmoid"; None: what the network ends in, and softmax where it ends in neither.
    """

    target: Entry
    activation: str | None = None

    def __post_init__(self) -> None:
        if self.activation not in (None, "softmax", "sigmoid"):
            raise TargetError(f"activation={self.activation!r} must be 'softmax', 'sigmoid' or None")

    @property
    def asks_for_activation(self) -> bool:
        """Whether it takes the activation that the network ends in."""
        return self.activation is None

    def behind(self, activation: str | None) -> LogProbability:
        """The same for a network that ends in this activation; None: in none."""
        return replace(self, activation=activation or "softmax")

    def __call__(self, outputs: Tensor) -> Tensor:
        """The score of each sample (N,)."""
        if self.activation == "sigmoid":
            return _entries(F.logsigmoid(outputs), self.target)
        axis = -1 if isinstance(self.target, tuple) else 1
        if outputs.ndim < 2 or outputs.shape[axis] == 1:
            raise TargetError(f"{self}: the model gives one value per sample, which a softmax makes 1; take activation='sigmoid'")
        return _entries(outputs.log_softmax(axis), self.target)

    def rows(self, start: int, stop: int) -> LogProbability:
        """The target of some of the samples."""
        return replace(self, target=_rows(self.target, start, stop))

    def fixed(self, outputs: Tensor) -> LogProbability:
        """The same for points that are made of samples with these outputs."""
        return self

    def __repr__(self) -> str:
        return f"log_probability({self.target})" if self.activation is None else f"log_probability({self.target}, {self.activation!r})"


@dataclass(frozen=True)
class Top:
    """The most probable classes of each sample together: the sum of their logits.

    Attributes:
        k: how many.
    """

    k: int

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise TargetError(f"top({self.k!r}): k must be a whole number of at least 1")

    def __call__(self, outputs: Tensor) -> Tensor:
        """The score of each sample (N,)."""
        return self.fixed(outputs)(outputs)

    def rows(self, start: int, stop: int) -> Top:
        """The target of some of the samples."""
        return self

    def fixed(self, outputs: Tensor) -> Callable[[Tensor], Tensor]:
        """The classes of each sample, for points that are made of it."""
        if outputs.ndim != 2 or outputs.shape[1] < self.k:
            raise TargetError(f"{self}: outputs of shape {tuple(outputs.shape)} have not so many classes; they must be (N, classes)")
        classes = outputs.detach().topk(self.k, dim=1).indices
        return lambda points: points.gather(1, classes).sum(1)

    def __repr__(self) -> str:
        return f"top({self.k})"


@dataclass(frozen=True)
class Token:
    """One token of a vocabulary at one position of a sequence: its logit, of outputs (N, positions, vocabulary).

    Attributes:
        position: in the sequence; a negative one counts from the end.
        token_id: which token of the vocabulary.
    """

    position: int
    token_id: int

    def __call__(self, outputs: Tensor) -> Tensor:
        """The score of each sample (N,)."""
        if outputs.ndim != 3:
            raise TargetError(f"{self}: outputs of shape {tuple(outputs.shape)} are not (N, positions, vocabulary)")
        return _entries(outputs, (self.position, self.token_id))

    def rows(self, start: int, stop: int) -> Token:
        """The target of some of the samples."""
        return self

    def fixed(self, outputs: Tensor) -> Token:
        """The same for points that are made of samples with these outputs."""
        return self

    def __repr__(self) -> str:
        return f"token({self.position}, {self.token_id})"


def contrast(target: Entry, rather_than: Entry) -> Contrast:
    """One class rather than another.

    Args:
        target, rather_than: a class, one class per sample in a list, or a tuple of an index for each axis after the batch.

    Returns:
        The target, for ``explain(..., target_class=)``: the difference of the two logits.

    Raises:
        TargetError: where it is explained, if both name the same entry of a sample.

    >>> contrast(3, 5)
    contrast(3, 5)
    >>> contrast(0, 2)(torch.tensor([[4.0, 1.0, 1.5]]))
    tensor([2.5000])
    """
    return Contrast(target, rather_than)


def margin() -> Margin:
    """The most probable class rather than the runner-up, of each sample.

    >>> margin()(torch.tensor([[4.0, 1.0, 1.5]]))
    tensor([2.5000])
    """
    return Margin()


def log_probability(target: Entry, activation: str | None = None) -> LogProbability:
    """The logarithm of a class's probability.

    Args:
        target: a class, one class per sample in a list, or a tuple of indices, of which the last is the class.
        activation: what makes probabilities of the logits: "softmax" over all classes, or "sigmoid" of each class alone. None: what the
            network ends in; where it gives logits, softmax.

    Raises:
        TargetError: for any other activation.

    >>> log_probability(0)(torch.tensor([[0.0, 0.0]])).exp()
    tensor([0.5000])
    """
    return LogProbability(target, activation)


def top(k: int) -> Top:
    """The ``k`` most probable classes of each sample together: the sum of their logits.

    Raises:
        TargetError: if ``k`` is not a whole number of at least 1.

    >>> top(2)(torch.tensor([[4.0, 1.0, 1.5]]))
    tensor([5.5000])
    """
    return Top(k)


def token(position: int, token_id: int) -> Token:
    """The logit of one token at one position, of outputs (N, positions, vocabulary).

    Args:
        position: in the sequence; a negative one counts from the end: -1 is where a causal model says what comes next.
        token_id: which token of the vocabulary.

    >>> token(-1, 7)
    token(-1, 7)
    """
    return Token(position, token_id)


def _rows(entry: Entry, start: int, stop: int) -> Entry:
    return entry[start:stop] if isinstance(entry, list) else entry


def _entries(outputs: Tensor, entry: Entry) -> Tensor:
    """The chosen entry of each sample's outputs (N,).

    Raises:
        TargetError: if it is not one of theirs.
    """
    return _at(outputs, _places(outputs, entry))


def _places(outputs: Tensor, entry: Entry) -> tuple[Tensor, ...]:
    """Where the chosen entry of each sample lies: an index (N,) for each axis of the outputs, or the first two of outputs (N,)."""
    axes = outputs.shape[1:] or torch.Size([1])
    indices: Sequence[object] = entry if isinstance(entry, tuple) else (entry,)
    if len(indices) != len(axes):
        raise TargetError(
            f"target {entry}: the output has {outputs.ndim - 1} axes after the batch, of shape {tuple(outputs.shape[1:])}; give an index "
            "for each"
        )
    columns = [_column(index, size, len(outputs), len(axes) > 1) for index, size in zip(indices, axes, strict=True)]
    return torch.arange(len(outputs), device="cpu"), *columns


def _at(outputs: Tensor, places: tuple[Tensor, ...]) -> Tensor:
    outputs = outputs if outputs.ndim > 1 else outputs[:, None]
    return outputs[tuple(place.to(outputs.device) for place in places)]


def _column(index: object, size: int, samples: int, may_be_negative: bool) -> Tensor:
    """An index along one axis, for each sample."""
    values: list[Any] = index if isinstance(index, list) else [index] * samples
    if any(isinstance(value, bool) or not isinstance(value, int) for value in values):
        raise TargetError(f"target {index!r} is not an integer or a list of integers")
    if len(values) != samples:
        raise TargetError(f"{len(values)} targets for {samples} samples; give one integer for all, or one for each sample")
    least = -size if may_be_negative else 0
    wrong = [value for value in values if not least <= value < size]
    if wrong:
        raise TargetError(f"target {wrong[0]} is out of range: the output has {size} entries on that axis, 0 to {size - 1}")
    return torch.tensor(values, device="cpu") % size
