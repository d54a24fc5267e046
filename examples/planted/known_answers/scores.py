"""What a map scores where the answer is known, and how sure the means over maps and networks are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from known_answers.scene import BoolArray, FloatArray, Planted
from signxai import evidence
from signxai.evidence.masks import dilated

CONFIDENCE, RESAMPLES = 0.95, 2000
TOP = 10

Maps: TypeAlias = npt.NDArray[Any]
Score: TypeAlias = "Callable[[Maps, Planted, int], FloatArray]"
"""Of maps (N, 1, ...), what was planted, and how far surroundings reach: (N,)."""


def _on_cause(metric: Callable[..., FloatArray], maps: Maps, planted: Planted, margin: int, **options: Any) -> FloatArray:
    return metric(maps, planted.inside, **options)


def _with_margin(maps: Maps, planted: Planted, margin: int) -> FloatArray:
    return evidence.relevance_mass(maps, surroundings(planted.inside, margin))


def _least_part(maps: Maps, planted: Planted, margin: int) -> FloatArray:
    parts = [evidence.relevance_mass(maps, planted.causes[:, part]) for part in range(planted.causes.shape[1])]
    return np.asarray(np.min(parts, axis=0))


def _beside(maps: Maps, planted: Planted, margin: int) -> FloatArray:
    return evidence.relevance_mass(maps, planted.beside)


def _of_magnitude(metric: Callable[..., FloatArray], maps: Maps, planted: Planted, margin: int) -> FloatArray:
    return metric(np.abs(maps), planted.inside)


def _empty(maps: Maps, planted: Planted, margin: int) -> FloatArray:
    return np.asarray((maps.reshape(len(maps), -1).max(axis=1) <= 0).astype(float))


METRICS: Mapping[str, Score] = {
    "relevance_mass": partial(_on_cause, evidence.relevance_mass),
    "relevance_rank": partial(_on_cause, evidence.relevance_rank),
    "pointing_game": partial(_on_cause, evidence.pointing_game),
    "top_k_intersection": partial(_on_cause, evidence.top_k_intersection, k=TOP),
    "auc": partial(_on_cause, evidence.auc),
}
"""The metrics of localization, on all parts of the cause."""

FURTHER: Mapping[str, Score] = {
    "mass with surroundings": _with_margin,
    "mass on the least part": _least_part,
    "mass on the thing beside": _beside,
    "mass of |R|": partial(_of_magnitude, evidence.relevance_mass),
    "auc of |R|": partial(_of_magnitude, evidence.auc),
    "maps without positive relevance": _empty,
}
"""What else is counted."""

SCORES = {**METRICS, **FURTHER}


def surroundings(mask: BoolArray, margin: int) -> BoolArray:
    """A mask (N, ...) with all that is no farther from it than the margin."""
    return dilated(mask[:, None], margin)[:, 0]


def chances(planted: Planted, margin: int) -> dict[str, float]:
    """What a map without any order scores: the share of places that count, or 1/2."""
    area = {
        "mass with surroundings": surroundings(planted.inside, margin),
        "mass on the least part": planted.causes,
        "mass on the thing beside": planted.beside,
        **dict.fromkeys((*METRICS, "mass of |R|"), planted.inside),
    }
    found = {name: float(mask.mean()) for name, mask in area.items()}
    return found | {"auc": 0.5, "auc of |R|": 0.5}


def scored(maps: Mapping[str, Maps], planted: Planted, margin: int) -> FloatArray:
    """What each map scores (methods, SCORES, N)."""
    return np.stack([np.stack([score(own, planted, margin) for score in SCORES.values()]) for own in maps.values()])


def resampled(scores: Sequence[FloatArray], seed: int, resamples: int = RESAMPLES) -> FloatArray:
    """Means of redrawn scores: networks are drawn with replacement, and of each that is drawn its samples (Efron and Tibshirani 1993).

    All methods and scores are redrawn alike, so that their differences are paired.

    Args:
        scores: of each network (..., N), N of its own.
        seed: of the draws.

    Returns:
        (resamples, ...).
    """
    draw = np.random.default_rng(seed)
    networks = len(scores)
    chosen = draw.integers(0, networks, (resamples, networks))
    total = np.zeros((resamples, *scores[0].shape[:-1]))
    for place in range(networks):
        for number, own in enumerate(scores):
            rows = np.flatnonzero(chosen[:, place] == number)
            samples = own.shape[-1]
            counts = draw.multinomial(samples, np.full(samples, 1 / samples), len(rows))
            total[rows] += np.tensordot(counts / samples, own, axes=(1, own.ndim - 1))
    return total / networks


def mean_of(scores: Sequence[FloatArray]) -> FloatArray:
    """The mean over networks of their means (...)."""
    return np.asarray(np.mean([own.mean(axis=-1) for own in scores], axis=0))


def interval(redrawn: FloatArray) -> list[float]:
    """The percentile interval of redrawn means (resamples,)."""
    low, high = np.quantile(redrawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return [float(low), float(high)]
