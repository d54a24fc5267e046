"""Faithfulness: does the decision change where the map says that it rests?

The first half is made of perturbation curves (``curves``), the second of random subsets of units. All of them take a finished map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from signxai.common.errors import OptionError
from signxai.evidence.curves import perturbation_curve, perturbation_curves
from signxai.evidence.decision import Decision, deciding
from signxai.evidence.options import FloatArray, RunOptions, Unpack, count, one_of, share
from signxai.evidence.similarities import pearson
from signxai.evidence.subsets import Study

__all__ = ["aopc", "deletion", "faithfulness_correlation", "infidelity", "insertion", "road", "sensitivity_n", "sensitivity_n_curve", "srg"]


def srg(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    imputer: Any = "mean",
    unit: Any = "pixel",
    steps: Any = 20,
    score: str = "logit",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Symmetric relevance gain: the area under the least-relevant-first curve less that under the most-relevant-first one.

    Bluecher et al. 2024, SRG = LIF - MIF: what an imputer does to any input, whatever the map, is in both and drops out.

    Args:
        model, x, relevance, target_class, imputer, unit, steps, score, **run: as for ``perturbation_curve``.

    Returns:
        (N,), in units of the score; higher is better, a random map has 0 on average, and the negated map has just the negative value (but
        for ties). 0 for a sample of one unit.

    Raises:
        OptionError, InputError: as ``perturbation_curve`` does.

    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 1.0)
    >>> x = torch.tensor([[1.0, 3.0]])
    >>> srg(model, x, x, 0, imputer=0.0, steps=2), srg(model, x, -x, 0, imputer=0.0, steps=2)
    (array([1.]), array([-1.]))
    """
    curves = perturbation_curves(model, x, relevance, target_class, imputer=imputer, unit=unit, steps=steps, score=score, **run)
    return curves["least"].area() - curves["most"].area()


def aopc(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    imputer: Any = "mean",
    unit: Any = "pixel",
    steps: Any = 20,
    until: float = 1.0,
    score: str = "logit",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Area over the perturbation curve, the most relevant first: the mean drop of the score over all steps, the zeroth included.

    Samek et al. 2017, eq. 12, for one sample. The paper removes a part of the picture (``until``), by 9 x 9 patches of noise.

    Args:
        model, x, relevance, target_class, imputer, unit, steps, until, score, **run: as for ``perturbation_curve``.

    Returns:
        (N,), in units of the score; higher is better.

    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 1.0)
    >>> x = torch.tensor([[1.0, 3.0]])
    >>> aopc(model, x, x, 0, imputer=0.0, steps=2).round(3)
    array([2.333])
    """
    curve = perturbation_curve(
        model, x, relevance, target_class, order="most", imputer=imputer, unit=unit, steps=steps, until=until, score=score, **run
    )
    return curve.mean_drop()


def deletion(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    imputer: Any = 0.0,
    unit: Any = "pixel",
    steps: Any = 20,
    score: str = "probability",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Deletion: the area under the probability while the most relevant units are set to zero (Petsiuk et al. 2018).

    Args:
        model, x, relevance, target_class, imputer, unit, steps, score, **run: as for ``perturbation_curve``; the imputer and the score are
            the paper's. For a target that is a function, give ``score="logit"``.

    Returns:
        (N,), in [0, 1] for probabilities; lower is better.
    """
    curve = perturbation_curve(model, x, relevance, target_class, order="most", imputer=imputer, unit=unit, steps=steps, score=score, **run)
    return curve.area()


def insertion(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    imputer: Any = "blur",
    unit: Any = "pixel",
    steps: Any = 20,
    score: str = "probability",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Insertion: the area under the probability while the most relevant units come into a blurred input (Petsiuk et al. 2018).

    That is the least-relevant-first curve read from its end: ``insertion - deletion`` with one imputer and one score is ``srg``.

    Args:
        model, x, relevance, target_class, imputer, unit, steps, score, **run: as for ``deletion``.

    Returns:
        (N,), in [0, 1] for probabilities; higher is better.
    """
    curve = perturbation_curve(
        model, x, relevance, target_class, order="least", imputer=imputer, unit=unit, steps=steps, score=score, **run
    )
    return curve.area()


ROAD_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def road(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    imputer: Any = "noisy_linear",
    unit: Any = "pixel",
    steps: Any = ROAD_SHARES,
    score: str = "decision",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Remove and debias: how often the decision survives while the most relevant units are replaced from their neighbours.

    Rong et al. 2022: the mean over samples is their accuracy, averaged over the shares, where the target is the true class.

    Args:
        model, x, relevance, target_class, imputer, unit, steps, score, **run: as for ``perturbation_curve``; ``steps`` are shares.

    Returns:
        (N,), in [0, 1] for decisions; lower is better.
    """
    curve = perturbation_curve(model, x, relevance, target_class, order="most", imputer=imputer, unit=unit, steps=steps, score=score, **run)
    return curve.mean()


# --- random subsets ----------------------------------------------------------------------------------------------------------

_IN_A_SUBSET = "the share of the units in a subset"


def faithfulness_correlation(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    imputer: Any = 0.0,
    unit: Any = "pixel",
    subset: float = 0.2,
    samples: int = 100,
    score: str = "logit",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Faithfulness correlation: of random subsets, the correlation of their relevance with the drop of the score without them.

    Bhatt et al. 2020: Pearson's correlation over subsets S of the sum of R over S with f(x) - f(x without S).

    Args:
        model, x, relevance, target_class, imputer, unit, score, **run: as for ``perturbation_curve``.
        subset: the share of units in each subset; at least one unit.
        samples: how many subsets, drawn for each sample by ``seed``.

    Returns:
        (N,), in [-1, 1]; higher is better. 0 where the sums or the drops are all equal, as of a constant map.

    Raises:
        OptionError, InputError: as ``perturbation_curve`` does.
    """
    part, times = share("subset", subset, _IN_A_SUBSET), count("samples", samples, 2)

    def work(decision: Decision) -> FloatArray:
        study = Study.of(decision, relevance, unit, imputer)
        return pearson(*study.sums_and_drops(study.sizes([part], times), score))

    return deciding(work, model, x, target_class, run)


def sensitivity_n(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    imputer: Any = 0.0,
    unit: Any = "pixel",
    sizes: Sequence[float] = (0.05, 0.1, 0.2, 0.4, 0.8),
    samples: int = 50,
    score: str = "logit",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Sensitivity-n: of random subsets of n units, the correlation of their relevance with the drop of the score, averaged over n.

    Ancona et al. 2018; ``sensitivity_n_curve`` gives each n's.

    Args:
        model, x, relevance, target_class, imputer, unit, sizes, samples, score, **run: as for ``sensitivity_n_curve``.

    Returns:
        (N,), in [-1, 1]; higher is better; 1 for a linear model and its exact contributions.
    """
    by_size = sensitivity_n_curve(
        model, x, relevance, target_class, imputer=imputer, unit=unit, sizes=sizes, samples=samples, score=score, **run
    )
    return np.asarray(by_size.mean(axis=1))


def sensitivity_n_curve(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    imputer: Any = 0.0,
    unit: Any = "pixel",
    sizes: Sequence[float] = (0.05, 0.1, 0.2, 0.4, 0.8),
    samples: int = 50,
    score: str = "logit",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Of random subsets of n units, for each n, the correlation of their relevance with the drop of the score without them.

    Ancona et al. 2018: Pearson's correlation over subsets of one size.

    Args:
        model, x, relevance, target_class, imputer, unit, score, **run: as for ``perturbation_curve``.
        sizes: shares of the units; at least one unit.
        samples: how many subsets of each size.

    Returns:
        (N, sizes), in [-1, 1]; higher is better. 0 where the sums or the drops are all equal.
    """
    if np.ndim(sizes) != 1 or not len(sizes):
        raise OptionError(f"sizes={sizes!r}: a sequence of shares of the units in a subset, at least one")
    shares, times = [share("sizes", size, _IN_A_SUBSET) for size in sizes], count("samples", samples, 2)

    def work(decision: Decision) -> FloatArray:
        study = Study.of(decision, relevance, unit, imputer)
        sums, drops = (np.split(both, len(shares), axis=1) for both in study.sums_and_drops(study.sizes(shares, times), score))
        return np.stack([pearson(*pair) for pair in zip(sums, drops, strict=True)], axis=1)

    return deciding(work, model, x, target_class, run)


_KINDS = {"contribution": False, "sensitivity": True}


def infidelity(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    kind: str = "contribution",
    scaled: bool = False,
    imputer: Any = 0.0,
    unit: Any = "pixel",
    subset: float | None = None,
    samples: int = 50,
    score: str = "logit",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Infidelity: the mean squared difference between what a map says that a perturbation changes and what it changes.

    Yeh et al. 2019, definition 2.1: E over perturbations I of (I . R - (f(x) - f(x - I)))^2, where x - I has random units removed.

    Args:
        model, x, relevance, target_class, imputer, unit, score, **run: as for ``perturbation_curve``.
        kind: what the map says. "contribution" (gradient x input, LRP, integrated gradients): a unit's part of the score, so that what its
            removal changes is the sum of R over it; "sensitivity" (gradient): a slope, so that it is the sum of R times the change of the
            input, as the paper's formula has it.
        scaled: multiply the map by the number, not negative, that fits best: a map's scale then does not count, its sign does.
        subset: the share of units in each subset; None: each unit with probability one half.
        samples: how many subsets.

    Returns:
        (N,), at least 0, in squared units of the score; lower is better.

    Raises:
        OptionError: also if ``kind="sensitivity"`` is asked of token ids.
    """
    is_slope = one_of("kind", kind, _KINDS)
    times = count("samples", samples)
    shares = None if subset is None else [share("subset", subset, f"{_IN_A_SUBSET} (None: half by chance)")]

    def work(decision: Decision) -> FloatArray:
        study = Study.of(decision, relevance, unit, imputer)
        sizes = study.sizes_by_chance(times) if shares is None else study.sizes(shares, times)
        said, drops = study.slopes_and_drops(sizes, score) if is_slope else study.sums_and_drops(sizes, score)
        factor = _best_factor(said, drops) if scaled else 1.0
        return np.asarray(((factor * said - drops) ** 2).mean(axis=1))

    return deciding(work, model, x, target_class, run)


def _best_factor(said: FloatArray, drops: FloatArray) -> FloatArray:
    """The number of each sample, not negative, by which what a map says comes nearest to the drops (N, 1); 0 for a map of zeros."""
    above, below = (said * drops).sum(axis=1, keepdims=True), (said * said).sum(axis=1, keepdims=True)
    return np.asarray(np.maximum(0.0, above / np.where(below > 0, below, 1.0)))
