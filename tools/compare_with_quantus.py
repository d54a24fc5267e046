"""Compare the metrics of signxai.evidence with those of Quantus under the same settings: python tools/compare_with_quantus.py

Quantus wants other versions of much, so this runs in an environment of its own:

    python -m venv .venv-quantus
    .venv-quantus/bin/pip install . "quantus==0.6.*" captum scipy
    .venv-quantus/bin/python tools/compare_with_quantus.py

A random network in double precision, eight pictures (2, 8, 8) and their gradients times input. Where a metric draws random subsets, noise
or weights, both are given the same draws: for the time of the comparison, Quantus finds those of signxai in the place of NumPy's and
torch's. It writes docs/quantus.md: the largest difference of each metric, and why two are not the same number, where they are not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import quantus
import torch
from torch import Tensor, nn

from signxai import evidence, explain
from signxai.evidence import subsets as random_subsets
from signxai.evidence.draws import generator, seeds_of
from signxai.evidence.similarities import pearson

PAGE = Path(__file__).resolve().parents[1] / "docs" / "quantus.md"
SAMPLES, CLASSES, SHAPE = 8, 5, (2, 8, 8)
VALUES = int(np.prod(SHAPE))
QUIET = {"disable_warnings": True, "display_progressbar": False}
AS_IT_IS = {"abs": False, "normalise": False, **QUIET}


class InDouble(nn.Module):
    """Quantus hands over single precision, in which all inputs here are exact; what follows is in double."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers).double()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.double())
        return logits


def network() -> nn.Module:
    """Random, of three layers."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, CLASSES)]
    return InDouble(*layers).eval()


NET = network()
X = torch.randn(SAMPLES, *SHAPE, generator=torch.Generator().manual_seed(1)).double()
TARGETS = NET(X).argmax(1).numpy()
MAP = explain(NET, X, "gradient_x_input", TARGETS)
MASK = np.random.default_rng(2).random((SAMPLES, 1, 8, 8)) < 0.4
SEEDS = seeds_of({0: X})


def explained(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
    """What Quantus calls for a map."""
    return explain(model, torch.as_tensor(np.asarray(inputs), dtype=torch.float64), "gradient", np.asarray(targets))


def theirs(metric: Any, relevance: np.ndarray | None = MAP, mask: np.ndarray | None = None, net: nn.Module = NET, x: Tensor = X) -> Any:
    """What a metric of Quantus gives of these maps."""
    how = {"explain_func": explained, "softmax": False, "channel_first": True, "batch_size": len(x), "device": "cpu"}
    targets = TARGETS if net is NET else np.zeros(len(x), dtype=int)
    own = None if relevance is None else relevance.copy()  # some are written to
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(model=net, x_batch=x.numpy(), y_batch=targets, a_batch=own, s_batch=mask, **how)


@contextmanager
def instead(where: str, values: Sequence[Any]) -> Iterator[None]:
    """Calls of a function give these values, in this order."""
    with mock.patch(where, side_effect=values):
        yield


# --- the metrics, each as (settings, ours, theirs, what is to be said) -------------------------------------------------------

Row = tuple[str, np.ndarray, np.ndarray, str]


def pixel_flipping() -> Row:
    """The curve, the most relevant first."""
    curve = evidence.perturbation_curve(NET, X, MAP, TARGETS, unit="value", imputer=0.0, steps=16).scores[:, 1:]
    found = theirs(quantus.PixelFlipping(features_in_step=VALUES // 16, perturb_baseline=0.0, **AS_IT_IS))
    return "each value alone, 16 steps, zeros; logit", curve, np.array(found), ""


def faithfulness_correlation() -> Row:
    """Over random subsets."""
    size, runs = 26, 40
    draws = [generator(0, seed, 2) for seed in SEEDS]
    subsets = [[own.permutation(VALUES)[:size] for own in draws] for _ in range(runs)]
    metric = quantus.FaithfulnessCorrelation(nr_runs=runs, subset_size=size, perturb_baseline=0.0, return_aggregate=False, **AS_IT_IS)
    with instead("numpy.random.choice", [own for run in subsets for own in run]):
        found = theirs(metric)
    ours = evidence.faithfulness_correlation(NET, X, MAP, TARGETS, unit="value", subset=size / VALUES, samples=runs)
    return "each value alone, 40 subsets of 26, zeros; the same subsets", ours, np.array(found), ""


def sensitivity_n() -> Row:
    """What Quantus calls so."""
    step = VALUES // 16
    curve = evidence.perturbation_curve(NET, X, MAP, TARGETS, unit="value", imputer=0.0, steps=16).scores
    ordered = -np.sort(-MAP.reshape(SAMPLES, -1), axis=1)
    sums = ordered.reshape(SAMPLES, 16, step).sum(2)
    ours = pearson(sums.T, (curve[:, :1] - curve[:, 1:]).T)
    metric = quantus.SensitivityN(features_in_step=step, n_max_percentage=1.0, perturb_baseline=0.0, return_aggregate=False, **AS_IT_IS)
    said = (
        "By definition: Quantus takes no random subsets, but the steps of pixel flipping, and correlates the relevance of each step with "
        "the drop since the beginning, over the samples of the batch. That, computed from our curves, is compared here; ours is "
        "Ancona's, per sample."
    )
    found = np.array(theirs(metric))  # of as many steps as there are places in one channel
    return "each value alone, 16 steps, zeros", ours[: len(found)], found, said


def infidelity() -> Row:
    """Of patches."""
    patches = np.arange(VALUES).reshape(2, 4, 2, 4, 2).transpose(1, 3, 0, 2, 4).reshape(16, -1)
    members = np.zeros((SAMPLES, 16, VALUES), dtype=bool)
    for number in range(16):
        members[:, number, patches[: number + 1].ravel()] = True
    slope = explained(NET, X, TARGETS)
    with mock.patch.object(random_subsets.Study, "_of_row", side_effect=lambda row, sizes: members[row]):
        ours = evidence.infidelity(NET, X, slope, TARGETS, kind="sensitivity", unit="value", samples=16)
    found = theirs(quantus.Infidelity(perturb_patch_sizes=[2], n_perturb_samples=1, perturb_baseline=0.0, **AS_IT_IS), slope)
    said = (
        "By definition: Quantus draws nothing, but removes 2 x 2 patches from the first to the last, each on top of those before it. "
        "Ours, given these sets in the place of random ones, is compared here. Quantus takes every map for a slope."
    )
    return "2 x 2 patches, zeros, the map a gradient (`kind='sensitivity'`)", ours, np.array(found), said


def max_sensitivity() -> Row:
    """Of a gradient."""
    draws = [generator(0, seed).uniform(-1.0, 1.0, (10, *SHAPE)) for seed in SEEDS]
    noise = [0.1 * np.stack([own[number] for own in draws]).reshape(SAMPLES, -1) for number in range(10)]
    metric = quantus.MaxSensitivity(nr_samples=10, lower_bound=0.1, **AS_IT_IS)
    with instead("numpy.random.uniform", noise):
        found = theirs(metric, explained(NET, X, TARGETS))
    ours = evidence.max_sensitivity(NET, X, "gradient", TARGETS, radius=0.1, of_range=False, samples=10)
    return "gradient, 10 draws within 0.1 of the input; the same draws", ours, np.array(found), ""


def mprt() -> Row:
    """From the output."""
    manual_seed = torch.manual_seed
    seeds = iter([2, 1, 0])  # of the layers, from the last
    metric = quantus.MPRT(layer_order="top_down", similarity_func=quantus.similarity_func.correlation_spearman, **AS_IT_IS)
    with mock.patch("torch.manual_seed", side_effect=lambda *args, **kwargs: manual_seed(next(seeds))):
        found = theirs(metric, explained(NET, X, TARGETS))
    curve = evidence.randomization_curve(NET, X, "gradient", TARGETS)
    assert list(found)[1:] == list(curve.layers), (list(found), curve.layers)
    return (
        "gradient, top-down, Spearman; the same random weights",
        curve.similarities,
        np.stack([found[name] for name in curve.layers], 1),
        "",
    )


def random_logit() -> Row:
    """Of a gradient."""
    drawn = np.array([generator(0, seed).integers(CLASSES - 1) for seed in SEEDS])
    metric = quantus.RandomLogit(num_classes=CLASSES, similarity_func=quantus.similarity_func.correlation_spearman, **AS_IT_IS)
    with instead("numpy.random.randint", [drawn]):
        found = theirs(metric, explained(NET, X, TARGETS))
    return "gradient, Spearman; the same other classes", evidence.random_logit(NET, X, "gradient", TARGETS), np.array(found), ""


ONE_CHANNEL = MAP.sum(1, keepdims=True)
POSITIVE = np.abs(ONE_CHANNEL)


def localized(metric: Any, relevance: np.ndarray) -> np.ndarray:
    """What a metric of Quantus gives of maps and masks."""
    return np.array(theirs(metric, relevance, MASK), dtype=float)


def pointing_game() -> Row:
    """Of the sum of channels."""
    found = localized(quantus.PointingGame(**AS_IT_IS), ONE_CHANNEL)
    said = "Of places that share the maximum, Quantus counts a hit if any lies inside, and ours the share of them that does."
    return "sum of channels", evidence.pointing_game(ONE_CHANNEL, MASK), found, said


def relevance_mass() -> Row:
    """Of positive maps."""
    found = localized(quantus.RelevanceMassAccuracy(**AS_IT_IS), POSITIVE)
    said = "Of maps with negative relevance Quantus divides signed sums, which leaves [0, 1]; ours is Arras's, of the positive relevance."
    return "absolute sum of channels", evidence.relevance_mass(POSITIVE, MASK), found, said


def relevance_rank() -> Row:
    """Of the sum of channels."""
    found = localized(quantus.RelevanceRankAccuracy(**AS_IT_IS), ONE_CHANNEL)
    return "sum of channels", evidence.relevance_rank(ONE_CHANNEL, MASK), found, ""


def top_k_intersection() -> Row:
    """Of the sum of channels."""
    found = localized(quantus.TopKIntersection(k=10, **AS_IT_IS), ONE_CHANNEL)
    return "sum of channels, k = 10", evidence.top_k_intersection(ONE_CHANNEL, MASK, k=10), found, ""


def auc() -> Row:
    """Of the sum of channels."""
    found = localized(quantus.AUC(**AS_IT_IS), ONE_CHANNEL)
    return "sum of channels", evidence.auc(ONE_CHANNEL, MASK), found, ""


ABSOLUTE = {"abs": True, "normalise": False, **QUIET}


def gini() -> Row:
    """Sparseness."""
    shifted = np.abs(MAP) + 1e-7
    found = np.array(theirs(quantus.Sparseness(**ABSOLUTE)))
    return "", evidence.gini(shifted), found, f"Quantus adds 1e-7 to each value; so done here. Without: {gap(evidence.gini(MAP), found)}."


def entropy() -> Row:
    """Complexity."""
    found = np.array(theirs(quantus.Complexity(**ABSOLUTE)))
    return "", evidence.entropy(MAP), found, "Quantus adds 1e-12 inside of the logarithm."


def effective_complexity() -> Row:
    """Above a threshold."""
    scaled = MAP / np.abs(MAP).max((1, 2, 3), keepdims=True)
    found = np.array(theirs(quantus.EffectiveComplexity(eps=0.05, **ABSOLUTE), scaled), dtype=float)
    return "threshold 0.05 of the maximum", evidence.effective_complexity(MAP, threshold=0.05), found, ""


def completeness() -> Row:
    """Of a linear model."""
    net = InDouble(nn.Flatten(), nn.Linear(VALUES, 1)).eval()
    layer = net.layers[1]
    layer.weight.data = torch.arange(VALUES, dtype=torch.float64).remainder(7)[None] - 3
    layer.bias.data.fill_(2.0)
    x = (X * 4).round()
    relevance = (x.flatten(1) * layer.weight).reshape(x.shape).detach().numpy()
    relevance[::2] += 0.25
    found = np.array(theirs(quantus.Completeness(perturb_baseline=0.0, **AS_IT_IS), relevance, net=net, x=x), dtype=float)
    ours = (evidence.completeness(net, x, relevance, 0) == 0).astype(float)
    assert 0 < found.mean() < 1
    said = "By definition: Quantus says whether the sum is exactly right, and ours by how much it is not; compared is whether that is 0."
    return "a linear model of whole numbers, half of the maps spoilt; zeros", ours, found, said


METRICS: tuple[Callable[[], Row], ...] = (
    pixel_flipping, faithfulness_correlation, sensitivity_n, infidelity, max_sensitivity, mprt, random_logit, pointing_game,
    relevance_mass, relevance_rank, top_k_intersection, auc, gini, entropy, effective_complexity, completeness,
)  # fmt: skip


def gap(ours: np.ndarray, others: np.ndarray) -> str:
    """The largest difference."""
    assert ours.shape == others.shape, (ours.shape, others.shape)
    return f"{np.abs(ours - others).max():.1e}"


def table() -> str:
    """A row for each metric."""
    lines = ["| metric | settings | values | largest difference | |", "| --- | --- | --- | --- | --- |"]
    for metric in METRICS:
        settings, ours, others, said = metric()
        spread = f"{ours.min():.3g} to {ours.max():.3g}"
        lines.append(f"| `{metric.__name__}` | {settings} | {spread} | {gap(ours, others)} | {said} |".replace("|  |", "| |"))
    return "\n".join(lines)


HEADER = """# The metrics of signxai.evidence and Quantus

Written by `tools/compare_with_quantus.py`, with Quantus {quantus}, torch {torch} and NumPy {numpy}: a random network in double precision,
eight pictures (2, 8, 8), gradient times input unless another map is named. Where a metric draws at random, both were given the same draws.
The last column says where the two define a number differently.

"""


TIMES = "\n## Times"
"""Where the part begins that tools/quantus_times.py writes."""


def main() -> None:
    """Write the page, but for the times."""
    versions = {name: version(name) for name in ("quantus", "torch", "numpy")}
    _, times, measured = PAGE.read_text(encoding="utf-8").partition(TIMES) if PAGE.exists() else ("", "", "")
    PAGE.write_text(HEADER.format(**versions) + table() + "\n" + times + measured, encoding="utf-8")


if __name__ == "__main__":
    main()
