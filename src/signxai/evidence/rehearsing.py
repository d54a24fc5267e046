"""Metrics tried without a run of the model, so that a mistake in their options or masks is told before maps are computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from signxai.common.errors import SignxaiError
from signxai.engine.model_loan import unwrapped
from signxai.evidence.comparison_plan import ChosenMetric
from signxai.evidence.decision import Decided, Decision
from signxai.evidence.explaining import Explaining
from signxai.evidence.options import FloatArray
from signxai.evidence.parts import Key
from signxai.evidence.scores import Scoring

__all__ = ["rehearsed"]


class _ModelNeededError(Exception):
    """A metric has read all that it was given, and asks for the model or for maps."""


class _RehearsedDecision(Decision):
    """What is known of a decision before anything is removed; whoever asks for more is done with its options."""

    def __init__(self, explaining: Explaining) -> None:
        self.settings, self.parts, self.samples, self.seeds = (
            explaining.settings,
            dict(explaining.parts),
            explaining.samples,
            explaining.seeds,
        )
        self._net = unwrapped(explaining.model)  # for its layout alone
        self.target, self.targets, self.activation, self.known_logits = explaining.target, [], None, None

    @property
    def logits(self) -> Tensor:
        raise _ModelNeededError

    def scores(self, rows: Sequence[int], points: Callable[[slice], Mapping[Key, Tensor]], score: str) -> FloatArray:
        return self.scores_here(score)

    def scores_here(self, score: str) -> FloatArray:
        Scoring(score, self)
        raise _ModelNeededError


def rehearsed(metrics: Sequence[ChosenMetric], explaining: Explaining, masks: Any, target: Any, run: Mapping[str, Any]) -> None:
    """Try each metric on maps of zeros, as far as it goes without the model.

    Args:
        metrics: with their options.
        explaining: the samples.
        masks: where relevance should lie, for those that ask.
        target: what is explained, as a user gives it.
        run: see ``RunOptions``.

    Raises:
        OptionError, InputError: as the metrics do; the message begins with the metric's name.
    """
    for one in sorted(metrics, key=_runs_the_model):
        try:
            _rehearse(one, explaining, masks, target, run)
        except _ModelNeededError:
            continue
        except SignxaiError as error:
            raise type(error)(f"{one.name}: {error}") from error


def _runs_the_model(one: ChosenMetric) -> bool:
    """Whether it may run the model before it asks for a map, as to find out in which order layers are executed."""
    return one.record.takes == "method"


def _rehearse(one: ChosenMetric, explaining: Explaining, masks: Any, target: Any, run: Mapping[str, Any]) -> None:
    if one.record.takes == "method":
        one.record.function(explaining.model, explaining.x, _no_map, target, **one.options, **run)
    else:
        _with_any_map(one, explaining, masks, target)


def _no_map(model: nn.Module, x: Any, target: Any) -> Any:
    raise _ModelNeededError


def _with_any_map(one: ChosenMetric, explaining: Explaining, masks: Any, target: Any) -> None:
    """Of several inputs methods may explain some, so that a map of any of them is enough."""
    errors: list[SignxaiError] = []
    for key, part in explaining.parts.items():
        zeros = np.broadcast_to(0.0, tuple(part.shape))
        try:
            _with_map(one, explaining, masks, target, zeros if key == 0 and len(explaining.parts) == 1 else {key: zeros})
        except SignxaiError as error:
            errors.append(error)
        else:
            return
    raise errors[0]


def _with_map(one: ChosenMetric, explaining: Explaining, masks: Any, target: Any, relevance: Any) -> None:
    if one.record.takes == "decision":
        one.record.function(Decided(_RehearsedDecision(explaining)), explaining.x, relevance, target, **one.options)
    else:
        one.record.function(relevance, *([masks] if one.record.takes == "mask" else []), **one.options)
