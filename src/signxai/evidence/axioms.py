"""Axioms: does the map keep what it promises by its definition?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signxai.evidence.decision import Decision, deciding
from signxai.evidence.imputers import Prepared
from signxai.evidence.options import FloatArray, RunOptions, Unpack
from signxai.evidence.parts import Key
from signxai.evidence.removal import imputers_of

__all__ = ["completeness"]


def completeness(
    model: nn.Module,
    x: Any,
    relevance: Any,
    target_class: Any = None,
    *,
    baseline: Any = 0.0,
    relative: bool = False,
    score: str = "logit",
    **run: Unpack[RunOptions],
) -> FloatArray:
    """Completeness: by how much the sum of a map misses what it has to explain (Sundararajan et al. 2017, proposition 1).

    |sum R - (f(x) - f(baseline))|.

    Args:
        model, x, relevance, target_class, score, **run: as for ``perturbation_curve``.
        baseline: what the inputs that have relevance are compared with, as an imputer: a number, an array, "mean", a dict of them by input;
            None: nothing, f(baseline) is 0.
        relative: divide by |f(x) - f(baseline)|, where that is not 0.

    Returns:
        (N,), at least 0, in units of the score; lower is better. Maps whose scale is arbitrary, such as Grad-CAM, promise nothing of it.

    >>> import torch
    >>> model = torch.nn.Linear(2, 1)
    >>> x = torch.tensor([[1.0, 3.0]])
    >>> bool(completeness(model, x, (model.weight * x).detach(), 0) < 1e-6)
    True
    """

    def work(decision: Decision) -> FloatArray:
        maps = decision.maps(relevance)
        total = sum(own.reshape(len(own), -1).sum(axis=1) for own in maps.values())
        change = decision.scores_here(score) if baseline is None else _change(decision, list(maps), baseline, score)
        size = np.where((change != 0) & relative, np.abs(change), 1.0)
        return np.asarray(np.abs(total - change) / size)

    return deciding(work, model, x, target_class, run)


def _change(decision: Decision, keys: list[Key], baseline: Any, score: str) -> FloatArray:
    """By how much the scores fall with all of these inputs removed (N,); the samples are run beside, if nobody has run them."""
    samples, imputers = decision.samples, imputers_of(decision, keys, baseline)
    here = samples if decision.known_logits is None else 0
    rows = [*range(here), *range(samples)]

    def points(part: slice) -> dict[Key, Tensor]:
        kept, removed = slice(part.start, min(part.stop, here)), rows[max(part.start, here) : part.stop]
        return {key: torch.cat([decision.parts[key][kept], _filled(fill, removed, decision.parts[key])]) for key, fill in imputers.items()}

    scores = decision.scores(rows, points, score)
    return (scores[:samples] if here else decision.scores_here(score)) - scores[-samples:]


def _filled(fill: Prepared, rows: list[int], part: Tensor) -> Tensor:
    """Samples of which everything is removed; none of no samples."""
    everything = torch.ones((len(rows), *(1,) * (part.ndim - 1)), dtype=torch.bool, device=part.device)
    return fill(rows, everything) if rows else part[:0]
