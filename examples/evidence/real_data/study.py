"""The study of one set of samples: what is compared by which metrics, and all numbers that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from torch import Tensor, nn

import signxai
from real_data.methods import BASELINE, points_of
from real_data.numbers import FAITHFULNESS, LOCALIZATION, below_noise, consistency, estimates, of_comparison, of_randomization, of_twins
from signxai import compare_methods
from signxai.evidence import METRICS, Comparison

MetricOptions = Mapping[str, Mapping[str, Any]]

OF_MAPS = (*FAITHFULNESS, "completeness", "gini", "entropy")


@dataclass(frozen=True)
class Samples:
    """What is explained.

    Attributes:
        x: (N, ...).
        target: the class that is explained, or one of each.
        groups: what each belongs to; None: they are independent.
        masks: where relevance should lie; None: nobody knows.
    """

    x: Tensor
    target: Any
    groups: Sequence[str] | None = None
    masks: Any = None


@dataclass(frozen=True)
class Settings:
    """How a study is made.

    Attributes:
        methods: by name.
        metric_options, method_options: as ``compare_methods`` takes them.
        levels: of noise, for consistency.
        again: the metrics that explain again, with their options; "mprt" among them.
        draws: of the bootstrap.
        seed: of all draws.
    """

    methods: Sequence[str]
    metric_options: Mapping[str, Any]
    method_options: Mapping[str, Any]
    levels: Sequence[float]
    again: MetricOptions
    draws: int = 4000
    seed: int = 0
    batch_size: int = 32


def measured(net: nn.Module, many: Samples, few: Samples, settings: Settings) -> dict[str, Any]:
    """All numbers: of many samples what takes their maps, and of few what explains again, which costs much more."""
    of_maps = [*OF_MAPS, *(() if many.masks is None else LOCALIZATION)]
    by_maps = _compared(net, many, {name: {} for name in of_maps}, settings, settings.metric_options)
    by_methods = _compared(net, few, settings.again, settings, {})
    return {
        "methods": list(by_maps.methods),
        "metrics": of_comparison(by_maps) | of_comparison(by_methods),
        "twins": _joined(of_twins(by_maps), of_twins(by_methods)),
        "groups": [by_maps.blocks, by_methods.blocks],
        "agreement": np.round(by_maps.agreement, 3).tolist(),
        "randomization": of_randomization(by_methods),
        "consistency": _consistency(net, few, by_methods, settings),
        "magnitudes": _magnitudes(net, many, by_maps, settings),
    }


def _compared(net: nn.Module, samples: Samples, metrics: MetricOptions, settings: Settings, options: Mapping[str, Any]) -> Comparison:
    return compare_methods(
        net,
        samples.x,
        settings.methods,
        samples.target,
        metrics=metrics,
        groups=samples.groups,
        masks=samples.masks,
        metric_options=options,
        method_options=settings.method_options,
        draws=settings.draws,
        seed=settings.seed,
        batch_size=settings.batch_size,
    )


def _magnitudes(net: nn.Module, samples: Samples, comparison: Comparison, settings: Settings) -> dict[str, dict[str, list[float]]]:
    """By metric, of the methods that are worse than noise: by how much they are better if relevance counts by its size alone."""
    found = of_comparison(comparison)
    worse = {metric: below_noise(found, metric) for metric in (*FAITHFULNESS, *LOCALIZATION) if metric in found}
    chosen = sorted({method for own in worse.values() for method in own})
    options = {name: settings.method_options[name] for name in points_of(chosen, 1)}
    maps = signxai.explain_all(net, samples.x, chosen, samples.target, **options, batch_size=settings.batch_size) if chosen else {}
    sizes = {method: np.abs(own) for method, own in maps.items()}
    return {
        metric: {method: _gain(net, samples, sizes[method], metric, comparison, settings) for method in own}
        for metric, own in worse.items()
    }


def _gain(net: nn.Module, samples: Samples, maps: Any, metric: str, comparison: Comparison, settings: Settings) -> list[float]:
    """By how much maps score better than noise, with the interval."""
    record = METRICS[metric]
    if record.takes == "mask":
        scores = record.function(maps, samples.masks)
    else:
        taken = signature(record.function).parameters
        how = {name: value for name, value in settings.metric_options.items() if name in taken}
        scores = record.function(net, samples.x, maps, samples.target, **how, batch_size=settings.batch_size, seed=settings.seed)
    return estimates(np.asarray(scores - comparison.scores_of(BASELINE, metric))[None], comparison)[0]


def _joined(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**a, **b} for a, b in zip(one, other, strict=True)]


def _consistency(net: nn.Module, few: Samples, comparison: Comparison, settings: Settings) -> list[dict[str, Any]]:
    options = {**settings.method_options, "batch_size": settings.batch_size, "seed": settings.seed}
    found, kept = consistency(net, few.x, comparison.methods, few.target, settings.levels, options, settings.seed)
    return [
        {
            "noise": level,
            "same class": int(stays.sum()),
            "of": len(stays),
            "methods": dict(zip(comparison.methods, estimates(alike, comparison), strict=True)),
        }
        for (level, alike), stays in zip(found.items(), kept, strict=True)
    ]
