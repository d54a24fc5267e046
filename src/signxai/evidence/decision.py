"""A model's decision on some samples, and how it changes at other points: the one place where metrics run the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import InputError, OptionError
from signxai.engine.channel_axis import channel_axis
from signxai.engine.forward import OutputOption, run_forward, run_unwatched, shows_enough
from signxai.engine.generators import in_turn
from signxai.engine.given_inputs import ForwardKwargs, points_of
from signxai.engine.joint_inputs import JointInputs
from signxai.engine.mode import GradientPass
from signxai.engine.model_loan import borrowed
from signxai.engine.model_view import ModelView
from signxai.engine.parameters import ParametersWrittenError
from signxai.engine.prediction import ids_or_numbers
from signxai.engine.targets import Target, as_target
from signxai.evidence.draws import Seeds
from signxai.evidence.options import FloatArray, count
from signxai.evidence.parts import Key, maps_of
from signxai.evidence.scores import Scoring

__all__ = ["Decided", "Decision", "Predicted", "Settings", "deciding", "rows_of_target", "settings_of"]

Result = TypeVar("Result")

_MOST_POINTS = 256
_MOST_VALUES = {"cpu": 1 << 20, "other": 1 << 24}
"""In one forward pass: a CPU is slower where its caches no longer hold the activations."""


@dataclass(frozen=True)
class Settings:
    """``RunOptions``, each with its value."""

    batch_size: int | None = None
    seed: int = 0
    output: OutputOption = None
    stochastic: bool = False
    forward_kwargs: ForwardKwargs = None

    def __post_init__(self) -> None:
        count("seed", self.seed, at_least=0)
        if self.batch_size is not None:
            count("batch_size", self.batch_size)


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a model said to samples when it was run on them before.

    Attributes:
        logits: theirs.
        activation: the last one of the network, which was taken off; None: it ends in none.
        class_axis: see ``Decision``.
    """

    logits: Tensor
    activation: str | None
    class_axis: int | None


class Decision:
    """What a model decides on samples, while it is borrowed.

    Args:
        view: of the model.
        x, target_class: as for ``signxai.explain``.
        settings: how the model is run.
        predicted: what it says to the samples, if that is known already.

    Attributes:
        parts: the input's parts that can be explained, by key: values on the model's device and of its type, or token ids.
        known_logits: of the samples; None: nobody has asked for them.
        target: what is explained, one for all samples; None: ``targets`` has one for each.
        seeds: a number for each sample, by which it draws.
        activation: what the network ends in, "softmax" or "sigmoid"; None: in none.
        class_axis: of the outputs, along which classes lie: that of a softmax at their end; else the first one behind the samples, and of
            token ids the last one. None: a softmax along several axes.
    """

    def __init__(self, view: ModelView, x: Any, target_class: Any, settings: Settings, predicted: Predicted | None = None) -> None:
        self.settings = settings
        self._net, self._output = view.net, settings.output and view.of(settings.output)
        self._draws_from = settings.seed if settings.stochastic else None
        self.parts, self._joint = self._read(x)
        self.samples = len(next(iter(self.parts.values())))
        self.seeds: Sequence[int] = Seeds(self.parts)
        self.activation: str | None = None
        self.class_axis: int | None = 1 if all(part.is_floating_point() for part in self.parts.values()) else -1
        self._seen: GradientPass | None = None  # the first pass, which is enough to know what the network does
        self.known_logits: Tensor | None = None
        if predicted is not None:
            self.known_logits, self.activation, self.class_axis = predicted.logits, predicted.activation, predicted.class_axis
        self._find_target(as_target(view.of(target_class) if callable(target_class) else target_class, self.samples))

    @property
    def logits(self) -> Tensor:
        """Of the samples, run when somebody first asks for them."""
        if self.known_logits is None:
            parts = self._slices(self.samples)
            self.known_logits = torch.cat([self._logits(self._as_they_are(part), range(part.start, part.stop)) for part in parts])
        return self.known_logits

    @property
    def predicted(self) -> Predicted | None:
        """What the model says to the samples, if it was run on them."""
        return None if self.known_logits is None else Predicted(self.known_logits, self.activation, self.class_axis)

    def _read(self, x: Any) -> tuple[dict[Key, Tensor], JointInputs | None]:
        points, joint = points_of(self._net, x, self.settings.forward_kwargs, may_be_ids=True)
        points, joint = ids_or_numbers(self._net, points, joint, self._output, self._draws_from)
        if joint is None:
            return {0: points}, None
        if joint.is_own:
            return {joint.slots[0].key: points}, joint
        return {slot.key: slot.of(points).to(slot.dtype) if slot.ids is None else slot.ids for slot in joint.slots}, joint

    def _find_target(self, target: Target) -> None:
        self.targets: list[Target] = []
        if target.indices is not None and target.classes is None:  # said without a look at the outputs
            self.target: Target | None = target
            return
        logits = self.logits
        target = target.behind(self.activation) if target.asks_for_activation else target
        resolved = target.resolved(logits)
        is_of_classes = logits.ndim == 2 and resolved.classes is not None
        self.target = None if resolved.indices is None else Target(resolved.classes if is_of_classes else resolved.indices)
        if self.target is None:
            self.targets = [target.rows(row, row + 1).resolved(logits[row : row + 1]) for row in range(self.samples)]

    def target_of(self, rows: Sequence[int]) -> Target:
        """What is explained at points of these samples; of one point, where each has a target of its own."""
        return self.targets[rows[0]] if self.target is None else rows_of_target(self.target, rows)

    @property
    def chunk(self) -> int:
        """Most points in one forward pass."""
        if self.settings.stochastic:
            return 1
        values = sum(part[0].numel() for part in self.parts.values())
        most = _MOST_VALUES["cpu" if next(iter(self.parts.values())).is_cpu else "other"]
        return self.settings.batch_size or max(1, min(_MOST_POINTS, most // values))

    def scores(self, rows: Sequence[int], points: Callable[[slice], Mapping[Key, Tensor]], score: str) -> FloatArray:
        """What is explained at points that are made of samples (points,).

        Args:
            rows: of which sample each point is made.
            points: makes those of a slice, by key; parts that it leaves out stay as they are.
            score: "logit", "probability", "change" or "decision".
        """
        scoring = Scoring(score, self)
        found = [scoring.of(self._logits(points(part), rows[part]), rows[part]) for part in self._slices(len(rows))]
        return np.concatenate(found) if found else np.zeros(0)

    def scores_here(self, score: str) -> FloatArray:
        """What is explained at the samples themselves (N,)."""
        return Scoring(score, self).of(self.logits, range(self.samples))

    def channel_axis(self, part: Tensor) -> int:
        """The axis of the channels in an input, as the network's layout has it."""
        return channel_axis(self._net, part.ndim) if part.ndim > 2 else 1

    def parameters_reached(self) -> set[str]:
        """The names of the floating-point parameters from which the outputs for the samples have a gradient; of a network of one's own."""
        named = {name: own for name, own in self._net.named_parameters(remove_duplicate=False) if own.is_floating_point()}
        found: set[str] = set()
        with torch.enable_grad():
            for own in named.values():
                own.requires_grad_()
            for part in self._slices(self.samples):
                logits = self._with_graph(self._as_they_are(part), range(part.start, part.stop))
                gradients = torch.autograd.grad(logits.sum(), list(named.values()), allow_unused=True) if logits.requires_grad else ()
                found.update(name for name, own in zip(named, gradients, strict=False) if own is not None)
        return found

    def _with_graph(self, parts: Mapping[Key, Tensor], rows: Sequence[int]) -> Tensor:
        """Outputs with autograd's own graph, where the network can be run as it is: a watched batch norm hides its parameters in it."""
        if self._joint is None and self._draws_from is None:
            return run_unwatched(self._net, parts[0], _DecisionPass(has_runs=False), self._output)
        return self._logits(parts, rows)

    def _slices(self, points: int) -> list[slice]:
        return [slice(start, min(start + self.chunk, points)) for start in range(0, points, self.chunk)]

    def _as_they_are(self, part: slice) -> dict[Key, Tensor]:
        return {key: value[part].clone() for key, value in self.parts.items()}  # a model may write to its input

    def _logits(self, parts: Mapping[Key, Tensor], rows: Sequence[int]) -> Tensor:
        if self._seen is not None:
            return run_unwatched(self._net, parts[0], self._seen, self._output)
        mode = _DecisionPass(has_runs=False)
        logits = self._run(parts, rows, mode)
        if mode.taken_off is not None:
            self.activation, self.class_axis = mode.taken_off, mode.class_axis
        if self._joint is None and self._draws_from is None and shows_enough(mode):
            self._seen = mode
        return logits

    def _run(self, parts: Mapping[Key, Tensor], rows: Sequence[int], mode: GradientPass) -> Tensor:
        if self._joint is None:
            return run_forward(self._net, parts[0], mode, None, self._output, self._draws_from)
        index = torch.tensor(rows, dtype=torch.int64)
        whole = {key: parts[key] if key in parts else value[index.to(value.device)] for key, value in self.parts.items()}
        ids = {slot.key: whole[slot.key] for slot in self._joint.slots if slot.ids is not None}
        joint = self._joint.at(rows).with_ids(ids)
        return run_forward(self._net, joint.row_of(whole), mode, None, self._output, self._draws_from, joint)

    def maps(self, relevance: Any) -> dict[Key, FloatArray]:
        """Relevance by the key of its input.

        Raises:
            InputError: if a map has another shape than its input, or there is no such input.
        """
        maps = maps_of(relevance)
        for key, own in maps.items():
            if key not in self.parts:
                raise InputError(f"relevance has a map for the input {key!r}, and the inputs with values are {list(self.parts)}")
            if own.shape != tuple(self.parts[key].shape):
                named = f" of the input {key!r}" if len(self.parts) > 1 else ""
                raise InputError(
                    f"relevance{named} has the shape {own.shape}, and x has {tuple(self.parts[key].shape)}: they must be equal"
                )
        return maps


class _DecisionPass(GradientPass):
    """A pass that sees along which axis the network ends in a softmax.

    Attributes:
        class_axis: that one; None: along several.
    """

    class_axis: int | None = 1

    def logits_of(self, output: Tensor) -> Tensor:
        logits = super().logits_of(output)
        if self.taken_off == "softmax" and logits.ndim > 2:
            self.class_axis = _axis_of_softmax(output.double(), logits.double())
        return logits


_ROUNDING = 0.02
"""Of half precision, which is less than what a softmax along another axis differs by somewhere."""


def _axis_of_softmax(output: Tensor, logits: Tensor) -> int | None:
    """Along which axis an output is the softmax, or its logarithm, of logits; None: along none alone."""
    of_axes = {axis: logits.softmax(axis) for axis in range(1, logits.ndim)}
    errors = {axis: min(_largest(own - output), _largest(own - output.exp())) for axis, own in of_axes.items()}
    nearest = min(errors, key=errors.__getitem__)
    return nearest if errors[nearest] < _ROUNDING else None


def _largest(difference: Tensor) -> float:
    return float(difference.abs().max())


def rows_of_target(target: Target, rows: Sequence[int]) -> Target:
    """The target of some of the samples, of one that is an index for each."""
    assert target.indices is not None
    return Target(target.indices.cpu()[torch.tensor(list(rows), dtype=torch.int64)])


@dataclass(frozen=True, eq=False)
class Decided:
    """What a metric may be given in the place of a model, while that is borrowed: its decision on the samples, which metrics share."""

    decision: Decision


def deciding(
    work: Callable[[Decision], Result],
    model: nn.Module | Decided,
    x: Any,
    target_class: Any,
    options: Mapping[str, Any],
    kind: Callable[..., Decision] = Decision,
) -> Result:
    """What ``work`` gives of a model's decision; where somebody writes to its parameters meanwhile, of that of a copy.

    Args:
        work: is given the decision.
        model, x, target_class: as for ``signxai.explain``; of a model that is ``Decided`` the rest was said before.
        options: ``RunOptions``.
        kind: makes the decision, of what ``Decision`` takes.

    Raises:
        OptionError: for an option that is none of ``RunOptions``.
        InputError, ModelError, TargetError: as ``signxai.explain`` does.
    """
    if isinstance(model, Decided):
        return work(model.decision)
    settings = settings_of(options)
    try:
        with _open(model, settings, callable(target_class), copies_parameters=False) as view:
            return work(kind(view, x, target_class, settings))
    except ParametersWrittenError:
        with _open(model, settings, callable(target_class), copies_parameters=True) as view:
            return work(kind(view, x, target_class, settings))


def settings_of(options: Mapping[str, Any]) -> Settings:
    """``RunOptions``, checked."""
    if unknown := sorted(options.keys() - Settings.__dataclass_fields__.keys()):
        raise OptionError(f"a metric takes no option {unknown[0]!r}; how the model is run: {', '.join(Settings.__dataclass_fields__)}")
    return Settings(**options)


@contextmanager
def _open(model: nn.Module, settings: Settings, is_function: bool, copies_parameters: bool) -> Iterator[ModelView]:
    """A view of the model; ``is_function``: its target is a user's own code."""
    only_model_runs = settings.output is None and not is_function
    loan = borrowed(model, copies_parameters, settings.seed, only_model_runs)
    with in_turn(settings.stochastic), torch.inference_mode(False), torch.no_grad(), loan as view:
        yield view
