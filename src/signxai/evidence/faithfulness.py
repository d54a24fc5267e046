"""Faithfulness: does the decision change where the map says that it rests?

The first half is made of perturbation curves (``curves``), the second of random subsets of units. All of them take a finished map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from signxai.common.errors import OptionError
from signxai.evidence.curves import perturbation_curve, perturbation_curves
from signxai.evidence.decision import Decision, deciding
from signxai.evidence.draws import generator
from signxai.evidence.options import FloatArray, RunOptions, Unpack, count, one_of
from signxai.evidence.parts import Key
from signxai.evidence.removal import BoolArray, Removal
from signxai.evidence.similarities import pearson

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
    how: dict[str, Any] = {"imputer": imputer, "unit": unit, "steps": steps, "until": until, "score": score}
    return perturbation_curve(model, x, relevance, target_class, order="most", **how, **run).mean_drop()


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
    how: dict[str, Any] = {"imputer": imputer, "unit": unit, "steps": steps, "score": score}
    return perturbation_curve(model, x, relevance, target_class, order="most", **how, **run).area()


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
    how: dict[str, Any] = {"imputer": imputer, "unit": unit, "steps": steps, "score": score}
    return perturbation_curve(model, x, relevance, target_class, order="least", **how, **run).area()


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
    how: dict[str, Any] = {"imputer": imputer, "unit": unit, "steps": steps, "score": score}
    return perturbation_curve(model, x, relevance, target_class, order="most", **how, **run).mean()


# --- random subsets ----------------------------------------------------------------------------------------------------------


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
    if not 0 < subset <= 1:
        raise OptionError(f"subset={subset!r}: the share of the units in a subset, more than 0 and at most 1")

    def work(decision: Decision) -> FloatArray:
        study = _Study.of(decision, relevance, unit, imputer)
        sizes = np.maximum(1, np.floor(subset * study.removal.counts + 0.5)).astype(np.int64)
        return pearson(*study.sums_and_drops(np.repeat(sizes[:, None], count("samples", samples, 2), axis=1), score))

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
    how: dict[str, Any] = {"imputer": imputer, "unit": unit, "sizes": sizes, "samples": samples, "score": score}
    return np.asarray(sensitivity_n_curve(model, x, relevance, target_class, **how, **run).mean(axis=1))


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
    shares = list(sizes)
    if not shares or not all(0 < share <= 1 for share in shares):
        raise OptionError(f"sizes={shares}: shares of the units in a subset, more than 0 and at most 1")
    times = count("samples", samples, 2)

    def work(decision: Decision) -> FloatArray:
        study = _Study.of(decision, relevance, unit, imputer)
        counts = np.maximum(1, np.floor(np.outer(study.removal.counts, shares) + 0.5)).astype(np.int64)
        sums, drops = study.sums_and_drops(np.repeat(counts, times, axis=1), score)
        return np.stack([pearson(sums[:, part], drops[:, part]) for part in _parts(len(shares), times)], axis=1)

    return deciding(work, model, x, target_class, run)


def _parts(pieces: int, length: int) -> list[slice]:
    return [slice(piece * length, (piece + 1) * length) for piece in range(pieces)]


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
    if subset is not None and not 0 < subset <= 1:
        raise OptionError(f"subset={subset!r}: the share of the units in a subset, more than 0 and at most 1; None: half by chance")

    def work(decision: Decision) -> FloatArray:
        study = _Study.of(decision, relevance, unit, imputer)
        sizes = study.sizes(subset, count("samples", samples))
        said, drops = study.slopes_and_drops(sizes, score) if is_slope else study.sums_and_drops(sizes, score)
        factor = _best_factor(said, drops) if scaled else 1.0
        return np.asarray(((factor * said - drops) ** 2).mean(axis=1))

    return deciding(work, model, x, target_class, run)


def _best_factor(said: FloatArray, drops: FloatArray) -> FloatArray:
    """The number of each sample, not negative, by which what a map says comes nearest to the drops (N, 1); 0 for a map of zeros."""
    above, below = (said * drops).sum(axis=1, keepdims=True), (said * said).sum(axis=1, keepdims=True)
    return np.asarray(np.maximum(0.0, above / np.where(below > 0, below, 1.0)))


class _Study:
    """Random subsets of the units of some samples, drawn where they are needed, and the relevance that they have."""

    def __init__(self, removal: Removal, maps: dict[Key, FloatArray]) -> None:
        self.removal, self.maps = removal, maps
        self.relevance = removal.units.sums(maps)
        self._last: tuple[int, BoolArray] | None = None

    @classmethod
    def of(cls, decision: Decision, relevance: Any, unit: Any, imputer: Any) -> _Study:
        maps = decision.maps(relevance)
        return cls(Removal.of(decision, list(maps), unit, imputer), maps)

    def sizes(self, subset: float | None, samples: int) -> npt.NDArray[np.int64]:
        """How many units each subset has (N, samples); those of one half each are drawn, and are at least 1."""
        counts = self.removal.counts
        if subset is not None:
            return np.repeat(np.maximum(1, np.floor(subset * counts + 0.5)).astype(np.int64)[:, None], samples, axis=1)
        drawn = [self._generator(row, _SIZES).binomial(units, 0.5, size=samples) for row, units in enumerate(counts)]
        return np.maximum(1, np.array(drawn, dtype=np.int64))

    def sums_and_drops(self, sizes: npt.NDArray[np.int64], score: str) -> tuple[FloatArray, FloatArray]:
        """The relevance of each subset, and by how much the score falls without it (N, subsets)."""
        return self._said_and_drops(sizes, score, lambda members, rows, made: (members * self.relevance[rows]).sum(axis=1))

    def slopes_and_drops(self, sizes: npt.NDArray[np.int64], score: str) -> tuple[FloatArray, FloatArray]:
        """What slopes say of each subset, the sum of relevance times the change of the input; and by how much the score falls."""
        if not all(self.removal.decision.parts[key].is_floating_point() for key in self.maps):
            raise OptionError("kind='sensitivity': token ids have no slope; take kind='contribution'")
        return self._said_and_drops(sizes, score, self._slopes)

    def _said_and_drops(self, sizes: npt.NDArray[np.int64], score: str, says: _Says) -> tuple[FloatArray, FloatArray]:
        """What ``says`` gives of each subset, and the drops; only the points of one pass are held at once."""
        decision, subsets = self.removal.decision, sizes.shape[1]
        rows = np.repeat(np.arange(len(sizes)), subsets).tolist()
        said: list[FloatArray] = []

        def points(part: slice) -> dict[Key, Tensor]:
            members = np.stack([self._of_row(row, sizes)[place % subsets] for place, row in enumerate(rows[part], part.start)])
            made = self.removal.points(rows[part], members)
            said.append(says(members, rows[part], made))
            return made

        scores = decision.scores(rows, points, score).reshape(sizes.shape)
        return np.concatenate(said).reshape(sizes.shape), decision.scores_here(score)[:, None] - scores

    def _of_row(self, row: int, sizes: npt.NDArray[np.int64]) -> BoolArray:
        """The subsets of one sample (subsets, width)."""
        if self._last is None or self._last[0] != row:
            self._last = row, self._drawn(row, sizes[row])
        return self._last[1]

    def _drawn(self, row: int, sizes: npt.NDArray[np.int64]) -> BoolArray:
        draws, units = self._generator(row, _SUBSETS), int(self.removal.counts[row])
        members = np.zeros((len(sizes), self.removal.units.width), dtype=bool)
        for own, size in zip(members, sizes, strict=True):
            own[draws.permutation(units)[:size]] = True
        return members

    def _generator(self, row: int, use: int) -> np.random.Generator:
        return generator(self.removal.decision.settings.seed, self.removal.decision.seeds[row], use)

    def _slopes(self, members: BoolArray, rows: list[int], made: Mapping[Key, Tensor]) -> FloatArray:
        total = np.zeros(len(rows))
        for key, own in self.maps.items():
            change = (self.removal.decision.parts[key][rows].double() - made[key].double()).cpu().numpy()
            total += (own[rows] * change).reshape(len(rows), -1).sum(axis=1)
        return total


_Says: TypeAlias = "Callable[[BoolArray, list[int], Mapping[Key, Tensor]], FloatArray]"
"""What a map says of subsets (n, width) of the units of samples, of which points are made."""

_SUBSETS, _SIZES = 2, 3
"""What generators are used for."""
