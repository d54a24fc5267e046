"""From comparisons to the numbers that are reported: means, differences to noise and to twins, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import signxai
from real_data.methods import BASELINE, twins
from signxai.evidence import METRICS, Comparison
from signxai.evidence.similarities import spearman
from signxai.evidence.statistics import block_means, bootstrap_intervals, means

FloatArray = npt.NDArray[np.float64]

DIGITS = 4
FAITHFULNESS = ("srg", "aopc", "faithfulness_correlation")
LOCALIZATION = ("relevance_mass", "relevance_rank", "pointing_game", "auc")


def of_comparison(comparison: Comparison) -> dict[str, Any]:
    """By metric and method: mean, low and high; minus noise, low and high, larger always being better; and the rank of the mean."""
    return {metric: _of_metric(comparison, metric) for metric in comparison.metrics}


def _of_metric(comparison: Comparison, metric: str) -> dict[str, dict[str, Any]]:
    scores = np.stack([comparison.scores_of(method, metric) for method in comparison.methods])
    gains = _sign(metric) * (scores - scores[comparison.methods.index(BASELINE)])
    of_gains = estimates(gains, comparison)
    found = {}
    for place, method in enumerate(comparison.methods):
        row = comparison.row(method, metric)
        own = {"mean": _rounded([row.mean, row.low, row.high]), "better than noise": of_gains[place], "rank": row.rank}
        found[method] = own
    return found


def _sign(metric: str) -> int:
    return 1 if METRICS[metric].better == "higher" else -1


def estimates(scores: FloatArray, comparison: Comparison) -> list[list[float]]:
    """Of each row (methods, samples) the mean, and the ends of its 95 % interval over groups."""
    intervals = bootstrap_intervals(scores, comparison.groups, comparison.draws, comparison.seed)
    return [_rounded([mean, *ends]) for mean, ends in zip(means(scores), intervals, strict=True)]


def below_noise(metrics: Mapping[str, Any], metric: str) -> list[str]:
    """The methods that are worse than ``random_uniform``, as the intervals of their differences tell."""
    rows = metrics[metric]
    return [method for method, row in rows.items() if method != BASELINE and (row["better than noise"][2] or 0) < 0]


def of_twins(comparison: Comparison) -> list[dict[str, Any]]:
    """By how much SIGN is better than its twins, by each metric, and in how many groups."""
    return [{"sign": own, "twin": other, **_against(comparison, own, other)} for own, other in twins(comparison.methods)]


def _against(comparison: Comparison, own: str, other: str) -> dict[str, Any]:
    found = {}
    for metric in comparison.metrics:
        gains = _sign(metric) * (comparison.scores_of(own, metric) - comparison.scores_of(other, metric))[None]
        above = int((block_means(gains, comparison.groups) > 0).sum())
        found[metric] = [*estimates(gains, comparison)[0], above]
    return found


def of_randomization(comparison: Comparison) -> dict[str, list[list[float]]]:
    """By method the similarity of maps once the last layer is random, half of the layers, and all of them."""
    values = comparison.curves["mprt"].values[""]
    places = (0, (values.shape[2] - 1) // 2, values.shape[2] - 1)
    columns = [estimates(values[:, :, place], comparison) for place in places]
    return {method: [column[place] for column in columns] for place, method in enumerate(comparison.methods)}


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


# What noise leaves of a map


def consistency(
    net: nn.Module, x: Tensor, methods: Sequence[str], target: Any, levels: Sequence[float], options: Mapping[str, Any], seed: int
) -> tuple[dict[float, FloatArray], npt.NDArray[np.bool_]]:
    """The rank correlation of maps with those of noisy copies that the network still gives the same class.

    Args:
        net, x, methods, target: what is explained.
        levels: the noise's standard deviation, as a share of the range of each sample.
        options: of the methods that take them.
        seed: of the noise.

    Returns:
        By level (methods, samples), NaN where the class changed; and which samples kept their class (levels, samples).
    """
    maps = _maps(net, x, methods, target, options)
    found, kept = {}, []
    for level in levels:
        noisy = _noisy(x, level, seed)
        stays = _stays(net, x, noisy)
        others = _maps(net, noisy, methods, target, options)
        alike = np.stack([spearman(_flat(maps[method]), _flat(others[method])) for method in methods])
        found[level] = np.where(stays, alike, np.nan)
        kept.append(stays)
    return found, np.stack(kept)


def _maps(net: nn.Module, x: Tensor, methods: Sequence[str], target: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
    return signxai.explain_all(net, x, methods, target, **options)


def _noisy(x: Tensor, level: float, seed: int) -> Tensor:
    sizes = level * (x.flatten(1).amax(1) - x.flatten(1).amin(1))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    return x + sizes.view(-1, *[1] * (x.ndim - 1)) * noise


@torch.no_grad()
def _stays(net: nn.Module, x: Tensor, noisy: Tensor) -> npt.NDArray[np.bool_]:
    return (net(x).argmax(1) == net(noisy).argmax(1)).numpy()


def _flat(maps: Any) -> FloatArray:
    array = np.asarray(maps, dtype=np.float64)
    return array.reshape(len(array), -1)
