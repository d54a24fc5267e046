"""Explaining again: at points made of samples, or with another model; for metrics that judge a method rather than one map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import InputError, OptionError
from signxai.engine.channel_axis import channel_axis
from signxai.engine.model_loan import unwrapped
from signxai.engine.targets import Target
from signxai.evidence.decision import Decision, Predicted, Settings, deciding, rows_of_target, settings_of
from signxai.evidence.options import FloatArray
from signxai.evidence.parts import Key, as_read, flat, maps_of, rows_of, with_parts
from signxai.methods.batch import SharedResults
from signxai.methods.explainer import explainer_for
from signxai.names.grammar import MethodSpec

__all__ = ["Explaining", "Method", "Points"]

Method: TypeAlias = "str | MethodSpec | Callable[[nn.Module, Any, Any], Any]"
"""A method's name, or a function of model, input and target that returns a map in the shape of the input."""

_RUN = ("batch_size", "seed", "output", "stochastic", "forward_kwargs")


@dataclass(frozen=True, eq=False)
class Points:
    """Points that are made of samples.

    Attributes:
        rows: the sample of each.
        parts: what is another in them, by key; the rest is as it is.
    """

    rows: list[int]
    parts: Mapping[Key, Tensor]


class Explaining:
    """A method on samples, whose target stays what it is for the samples as they are.

    Args:
        model, x, target_class: as for ``signxai.explain``.
        method: a name, or a function.
        options: of the method, and ``RunOptions``.

    Attributes:
        parts: the input's parts, by key.
        samples: how many there are.
        seeds: a number for each, by which it draws.
        settings: how the model is run.

    Raises:
        OptionError: if the method does not take an option.
    """

    def __init__(self, model: nn.Module, x: Any, method: Method, target_class: Any, options: Mapping[str, Any]) -> None:
        self.model, self.method = model, method
        self._target_class, self._run = target_class, {name: value for name, value in options.items() if name in _RUN}
        self._own = {name: value for name, value in options.items() if name not in _RUN}
        self.settings: Settings = settings_of(self._run)
        self._check()
        self._shape: torch.Size | None = None
        self._see = deciding(_Seen.of, model, x, target_class, self._run)
        self.parts, self.samples, self.seeds = self._see.parts, self._see.samples, self._see.seeds
        self.x = as_read(x, self.parts)

    def _check(self) -> None:
        if callable(self.method) and self._own:
            raise OptionError(f"the method is a function, which takes no option {next(iter(self._own))!r}; bind it by functools.partial")
        if wrong := next((name for name in ("at", "as_tensor", "create_graph") if name in self._own), None):
            raise OptionError(f"{wrong}= does not go with a metric, which compares maps of the input")

    def by(self, method: Method, options: Mapping[str, Any]) -> Explaining:
        """Another method on the same samples, run in the same way; nothing of the samples is computed anew.

        Args:
            method: a name, or a function.
            options: of the method alone.

        Raises:
            OptionError: if the method does not take an option.
        """
        other = copy(self)
        other.method, other._own = method, dict(options)
        other._check()
        return other

    @cached_property
    def logits(self) -> Tensor:
        """Of the samples; run when somebody asks for them, unless the target needed them."""
        if self._see.predicted is not None:
            return self._see.predicted.logits
        return deciding(lambda decision: decision.logits, self.model, self.x, self._target_class, self._run)

    @property
    def predicted(self) -> Predicted | None:
        """What the model says to the samples, if the target needed it."""
        return self._see.predicted

    @cached_property
    def channel_axes(self) -> dict[Key, int]:
        """The axis of the channels in each part, as the network's layout has it.

        Raises:
            ModelError: it is not known.
        """
        net = unwrapped(self.model)
        return {key: channel_axis(net, part.ndim) if part.ndim > 2 else 1 for key, part in self.parts.items()}

    @property
    def map_shapes(self) -> list[tuple[int, ...]]:
        """The shape of each input's map of one sample."""
        return [tuple(part.shape[1:]) for part in self.parts.values()]

    @cached_property
    def output_shape(self) -> torch.Size:
        """The shape (1, ...) of the output for one sample; a pass of its own where none has shown it."""
        if self._shape is not None:
            return self._shape
        if self._see.predicted is not None:
            return self._see.predicted.logits[:1].shape
        first = Points([0], {})
        target = _as_user_gives(self._see.target_of([0]))
        return deciding(lambda decision: decision.logits.shape, self.model, self.inputs_of(first), target, self.run_options(first))

    @property
    def chunk(self) -> int:
        """Most points that are explained at once."""
        return self._see.chunk

    def points_of_samples(self) -> Points:
        """The samples as they are."""
        return Points(list(range(self.samples)), {})

    def maps(self, points: Points, model: nn.Module | None = None, target: Target | None = None) -> FloatArray:
        """The maps of points, all inputs side by side (points, values).

        Args:
            points: of the samples.
            model: another one; None: the model.
            target: another one than that of the samples, an index for each sample.
        """
        found = [self._explained(chunk, self.model if model is None else model, target) for chunk in self._chunks(points)]
        return np.concatenate(found)

    def _chunks(self, points: Points) -> Iterator[Points]:
        step = self._see.chunk
        for start in range(0, len(points.rows), step):
            part = slice(start, start + step)
            yield Points(points.rows[part], {key: value[part] for key, value in points.parts.items()})

    def _explained(self, points: Points, model: nn.Module, target: Target | None) -> FloatArray:
        return flat(self.maps_at_once(points, model, target))

    def maps_at_once(self, points: Points, model: nn.Module | None = None, target: Target | None = None) -> dict[Key, FloatArray]:
        """The maps of points that are explained in one call, by the key of each input; arguments as for ``maps``."""
        x = self.inputs_of(points)
        own = self._see.target_of(points.rows) if target is None else rows_of_target(target, points.rows)
        relevance = self._called(self.model if model is None else model, x, own, points)
        maps = maps_of(relevance, "the method's map")
        if any(len(one) != len(points.rows) for one in maps.values()):
            raise InputError(f"the method gave {len(next(iter(maps.values())))} maps for {len(points.rows)} samples")
        return maps

    def target_at(self, row: int) -> Any:
        """What is explained of one sample, as ``signxai.explain`` takes it for that alone."""
        return _as_user_gives(self._see.target_of([row]))

    @property
    def started_with(self) -> str:
        """What relevance starts with at the target: "one_hot", 1, or "logit", its logit."""
        return str(self._own.get("relevance", "one_hot"))

    def target_of(self, row: int) -> Target:
        """What is explained of one sample alone."""
        return self._see.target_of([row])

    @property
    def target(self) -> Target | None:
        """What is explained, one index for each sample; None: a function."""
        return self._see.target

    @property
    def target_given(self) -> Any:
        """The same as a user gives it; None: a function."""
        return None if self.target is None else _as_user_gives(self.target)

    def inputs_of(self, points: Points) -> Any:
        """The points as the model takes them."""
        return with_parts(self.x, points.parts, points.rows, self.samples)

    def run_options(self, points: Points) -> dict[str, Any]:
        """How the model is run on the points."""
        kwargs = self.settings.forward_kwargs
        own = None if kwargs is None else {name: rows_of(value, points.rows, self.samples) for name, value in kwargs.items()}
        options = {"seed": self.settings.seed, "output": self.settings.output, "stochastic": self.settings.stochastic}
        return options if own is None else {**options, "forward_kwargs": own}

    def options_at(self, points: Points) -> dict[str, Any]:
        """The options of the method, and how the model is run on the points."""
        return {**self._own, **self.run_options(points)}

    def _called(self, model: nn.Module, x: Any, target: Target, points: Points) -> Any:
        given = _as_user_gives(target)
        if not isinstance(self.method, str | MethodSpec):
            return self.method(model, x, given)
        shared = SharedResults(methods=1)
        found = explainer_for(model, self.method, self.options_at(points)).explain(x, given, shared)
        if model is self.model and (logits := shared.logits(1)) is not None:
            self._shape = logits.shape
        return found


@dataclass(frozen=True, eq=False)
class _Seen:
    """What remains of a decision when the model is given back."""

    parts: Mapping[Key, Tensor]
    samples: int
    seeds: Sequence[int]
    predicted: Predicted | None
    target: Target | None
    targets: list[Target]
    chunk: int

    @classmethod
    def of(cls, decision: Decision) -> _Seen:
        chunk = 1 if decision.target is None else decision.chunk  # a function of the outputs knows only its own sample
        return cls(decision.parts, decision.samples, decision.seeds, decision.predicted, decision.target, decision.targets, chunk)

    def target_of(self, rows: Sequence[int]) -> Target:
        return self.targets[rows[0]] if self.target is None else rows_of_target(self.target, rows)


def _as_user_gives(target: Target) -> Any:
    """A target as ``explain`` takes it: classes (n,), indices (n, k), or a function."""
    if target.indices is None:
        return target.score
    return target.indices[:, 0].numpy() if target.indices.shape[1] == 1 else target.indices.numpy()
