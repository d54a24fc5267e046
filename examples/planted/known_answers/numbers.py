"""From the scores of single maps to the numbers that are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from known_answers.methods import BASELINE, METHODS, with_value, without_input
from known_answers.networks import Facts
from known_answers.scene import FloatArray, Task
from known_answers.scores import METRICS, SCORES, interval, mean_of, resampled
from known_answers.tasks import IS_AT_ZERO, TASKS

DIGITS = 4
GROUPS = {"all": (False, True), "cause away from zero": (False,), "cause at zero": (True,)}
"""Tasks by whether the input is near zero where the cause lies."""
LEVEL = 4.0
"""So many standard errors from chance is level with it: of many scores some lie outside of their own 95 %."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A task with all that was measured.

    Attributes:
        facts: of each network.
        chance: what a map without order scores, by the name of the score.
        scores: of each network (methods, SCORES, N).
        drawn: what the drawn samples are known by.
    """

    task: Task
    facts: Sequence[Facts]
    chance: Mapping[str, float]
    scores: Sequence[FloatArray]
    drawn: Mapping[str, float]


def report(measured: Sequence[Measured]) -> dict[str, Any]:
    """All numbers, for JSON: means with the ends of their intervals."""
    redrawn = [resampled(one.scores, TASKS.index(one.task)) for one in measured]
    means = [mean_of(one.scores) for one in measured]
    return {
        "tasks": [_of_task(one, mean, draws) for one, mean, draws in zip(measured, means, redrawn, strict=True)],
        "means over tasks": {name: _over_tasks(_chosen(measured, means, redrawn, name)) for name in GROUPS},
        "sign and value": _pairs(measured, means, redrawn, with_value),
        "sign and neither": _pairs(measured, means, redrawn, without_input),
    }


def _of_task(one: Measured, mean: FloatArray, redrawn: FloatArray) -> dict[str, Any]:
    return {
        **{name: getattr(one.task, name) for name in ("name", "kind", "cause", "removal", "beside")},
        "drawn": dict(one.drawn),
        "networks": [_of_network(facts, own.shape[-1]) for facts, own in zip(one.facts, one.scores, strict=True)],
        "chance": {name: round(value, DIGITS) for name, value in one.chance.items()},
        "methods": _table(mean, redrawn),
        "noise level with chance": _noise(one.chance, mean, redrawn),
    }


def _of_network(facts: Facts, explained: int) -> dict[str, Any]:
    return {**asdict(facts), "shift_beside": round(facts.shift_beside, DIGITS), "explained": explained}


def _table(mean: FloatArray, redrawn: FloatArray) -> dict[str, Any]:
    """By method and score the mean with its interval, of (methods, SCORES) and (resamples, methods, SCORES)."""
    return {
        method: {name: _estimate(mean[row, column], redrawn[:, row, column]) for column, name in enumerate(SCORES)}
        for row, method in enumerate(METHODS)
    }


def _estimate(mean: float, redrawn: FloatArray) -> list[float]:
    return [round(float(value), DIGITS) for value in (mean, *interval(redrawn))]


def _noise(chance: Mapping[str, float], mean: FloatArray, redrawn: FloatArray) -> dict[str, bool]:
    """Whether the noise scores like chance, by each metric."""
    row, found = METHODS.index(BASELINE), {}
    for column, name in enumerate(METRICS):
        error = redrawn[:, row, column].std()
        found[name] = bool(abs(mean[row, column] - chance[name]) <= LEVEL * error)
    return found


def _chosen(
    measured: Sequence[Measured], means: Sequence[FloatArray], redrawn: Sequence[FloatArray], group: str
) -> list[tuple[FloatArray, FloatArray]]:
    rows = zip(measured, means, redrawn, strict=True)
    return [(mean, draws) for one, mean, draws in rows if (one.task.name in IS_AT_ZERO) in GROUPS[group]]


def _over_tasks(chosen: Sequence[tuple[FloatArray, FloatArray]]) -> dict[str, Any]:
    if not chosen:
        return {}
    means, redrawn = zip(*chosen, strict=True)
    return _table(np.mean(means, axis=0), np.mean(redrawn, axis=0))


def _pairs(measured: Sequence[Measured], means: Sequence[FloatArray], redrawn: Sequence[FloatArray], twin_of: Any) -> list[dict[str, Any]]:
    """What each method with SIGN scores more than its twin, by metric and task."""
    twins = {method: twin for method in METHODS if (twin := twin_of(method)) is not None}
    found = []
    for method, twin in twins.items():
        own, other = METHODS.index(method), METHODS.index(twin)
        differences = {
            name: [
                _estimate(mean[own, column] - mean[other, column], draws[:, own, column] - draws[:, other, column])
                for mean, draws in zip(means, redrawn, strict=True)
            ]
            for column, name in enumerate(METRICS)
        }
        found.append({"method": method, "twin": twin, "tasks": [f"{one.task.kind}: {one.task.name}" for one in measured], **differences})
    return found
