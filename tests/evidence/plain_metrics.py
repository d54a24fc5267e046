"""Every metric once more, one sample, one point and one unit at a time, in NumPy: to compare with."""

from __future__ import annotations

import copy
import itertools
import math
import zlib
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage, stats
from torch import nn

Array = np.ndarray


def draws(x: Array, seed: int = 0, use: int = 0) -> np.random.Generator:
    """What a sample draws from."""
    return np.random.default_rng([seed, zlib.crc32((x.astype(np.float32) + np.float32(0)).tobytes()), use])


def logits(net: nn.Module, x: Array) -> Array:
    with torch.no_grad():
        return net(torch.from_numpy(x[None]))[0].numpy()


def score(net: nn.Module, x: Array, target: int, kind: str = "logit") -> float:
    out = logits(net, x)
    if kind == "decision":
        return float(out[target] == max(out))
    if kind == "probability":
        return math.exp(out[target]) / sum(math.exp(value) for value in out)
    return float(out[target])


# --- what is removed ---------------------------------------------------------------------------------------------------------


def pixels(shape: tuple[int, ...]) -> Array:
    """The number of each value's place, in the shape of a sample."""
    numbers = np.zeros(shape, dtype=int)
    places = {}
    for index in itertools.product(*map(range, shape)):
        numbers[index] = places.setdefault(index[1:] if len(shape) > 1 else index, len(places))
    return numbers


def removed(x: Array, units: Array, chosen, fill: Callable[[Array, Array], Array]) -> Array:
    mask = np.zeros(x.shape, dtype=bool)
    for unit in chosen:
        mask |= units == unit
    return fill(x, mask)


def constant(value: float) -> Callable[[Array, Array], Array]:
    return lambda x, mask: np.where(mask, value, x)


def mean_of_channels(x: Array, mask: Array) -> Array:
    result = x.copy()
    if x.ndim == 1:
        result[mask] = x.mean()
        return result
    for channel in range(len(x)):
        result[channel][mask[channel]] = x[channel].mean()
    return result


def blurred(sigma: float) -> Callable[[Array, Array], Array]:
    def fill(x: Array, mask: Array) -> Array:
        values = x
        for axis in range(min(1, x.ndim - 1), x.ndim):
            values = ndimage.gaussian_filter1d(values, sigma, axis=axis, mode="nearest", truncate=4, radius=math.ceil(4 * sigma))
        return np.where(mask, values, x)

    return fill


def interpolated(x: Array, mask: Array) -> Array:
    result = x.copy()
    for index in itertools.product(*map(range, x.shape[:-1])):
        gone = mask[index]
        places = np.arange(x.shape[-1])
        line = np.full(x.shape[-1], x[index].mean()) if gone.all() else np.interp(places, places[~gone], x[index][~gone])
        result[index][gone] = line[gone]
    return result


def from_neighbours(x: Array, mask: Array) -> Array:
    """Each removed value the weighted mean of its neighbours: one dense system for each channel."""
    result = x.copy()
    for values, gone, out in zip(x, mask, result, strict=True) if x.ndim > 1 else [(x, mask, result)]:
        places = list(map(tuple, np.argwhere(gone)))
        if len(places) == gone.size:
            out[...] = values.mean()
            continue
        matrix, right = np.zeros((len(places), len(places))), np.zeros(len(places))
        for row, place in enumerate(places):
            for step in itertools.product((-1, 0, 1), repeat=values.ndim):
                other = tuple(a + b for a, b in zip(place, step, strict=True))
                if not any(step) or not all(0 <= a < size for a, size in zip(other, values.shape, strict=True)):
                    continue
                weight = 1 / sum(a * a for a in step)
                matrix[row, row] += weight
                if gone[other]:
                    matrix[row, places.index(other)] -= weight
                else:
                    right[row] += weight * values[other]
        out[gone] = np.linalg.solve(matrix, right)
    return result


# --- curves ------------------------------------------------------------------------------------------------------------------


def ranking(relevance: Array, units: Array, x: Array, seed: int = 0) -> list[int]:
    sums = [math.fsum(relevance[units == unit]) for unit in range(units.max() + 1)]
    shuffled = list(draws(x, seed).permutation(len(sums)))
    return sorted(shuffled, key=lambda unit: -sums[unit])


def curve(net, x, relevance, target, units, fill, shares, order="most", kind="logit") -> tuple[list[float], list[float]]:
    ranked = ranking(relevance, units, x)
    ranked = ranked if order == "most" else ranked[::-1]
    counts = [math.floor(share * len(ranked) + 0.5) for share in shares]
    return [n / len(ranked) for n in counts], [score(net, removed(x, units, ranked[:n], fill), target, kind) for n in counts]


def steps(number: int) -> list[float]:
    return [step / number for step in range(number + 1)]


def area(places: list[float], heights: list[float]) -> float:
    parts = [(b - a) * (f + g) / 2 for (a, b), (f, g) in zip(itertools.pairwise(places), itertools.pairwise(heights), strict=True)]
    return sum(parts) / places[-1]


def srg(net, x, relevance, target, units, fill, number=5, kind="logit") -> float:
    least, most = (area(*curve(net, x, relevance, target, units, fill, steps(number), order, kind)) for order in ("least", "most"))
    return least - most


def aopc(net, x, relevance, target, units, fill, number=5) -> float:
    _, scores = curve(net, x, relevance, target, units, fill, steps(number))
    return sum(scores[0] - own for own in scores) / len(scores)


def deletion(net, x, relevance, target, units, fill, number=5) -> float:
    return area(*curve(net, x, relevance, target, units, fill, steps(number), "most", "probability"))


def insertion(net, x, relevance, target, units, fill, number=5) -> float:
    """Most relevant first into what is filled in everywhere."""
    ranked, places, heights = ranking(relevance, units, x), [], []
    for share in steps(number):
        count = len(ranked) - math.floor((1 - share) * len(ranked) + 0.5)
        places.append(count / len(ranked))
        heights.append(score(net, removed(x, units, ranked[count:], fill), target, "probability"))
    return area(places, heights)


def road(net, x, relevance, target, units, fill, shares) -> float:
    _, scores = curve(net, x, relevance, target, units, fill, shares, "most", "decision")
    return sum(scores) / len(scores)


# --- subsets -----------------------------------------------------------------------------------------------------------------


def correlation(a, b) -> float:
    return 0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else float(stats.pearsonr(a, b).statistic)


def subsets(x: Array, units: int, sizes) -> list[Array]:
    generator = draws(x, use=2)
    return [np.argsort(generator.random(units))[:size] for size in sizes]


def sums_and_drops(net, x, relevance, target, units, fill, chosen):
    whole = score(net, x, target)
    sums = [math.fsum(relevance[np.isin(units, list(own))]) for own in chosen]
    return sums, [whole - score(net, removed(x, units, own, fill), target) for own in chosen]


def share_of(share: float, units: Array) -> int:
    return max(1, math.floor(share * (units.max() + 1) + 0.5))


def faithfulness_correlation(net, x, relevance, target, units, fill, subset=0.2, samples=20) -> float:
    chosen = subsets(x, units.max() + 1, [share_of(subset, units)] * samples)
    return correlation(*sums_and_drops(net, x, relevance, target, units, fill, chosen))


def sensitivity_n(net, x, relevance, target, units, fill, sizes, samples) -> float:
    chosen = subsets(x, units.max() + 1, [share_of(share, units) for share in sizes for _ in range(samples)])
    parts = [chosen[place : place + samples] for place in range(0, len(chosen), samples)]
    return float(np.mean([correlation(*sums_and_drops(net, x, relevance, target, units, fill, part)) for part in parts]))


def infidelity(net, x, relevance, target, units, fill, samples=20, kind="contribution", scaled=False) -> float:
    sizes = np.maximum(1, draws(x, use=3).binomial(units.max() + 1, 0.5, size=samples))
    chosen = subsets(x, units.max() + 1, sizes)
    said, drops = sums_and_drops(net, x, relevance, target, units, fill, chosen)
    if kind == "sensitivity":
        said = [float((relevance * (x - removed(x, units, own, fill))).sum()) for own in chosen]
    factor = max(0.0, np.dot(said, drops) / np.dot(said, said)) if scaled else 1.0
    return float(np.mean([(factor * a - b) ** 2 for a, b in zip(said, drops, strict=True)]))


def completeness(net, x, relevance, target, baseline=0.0) -> float:
    return abs(math.fsum(relevance.ravel()) - (score(net, x, target) - score(net, np.full_like(x, baseline), target)))


# --- explaining again --------------------------------------------------------------------------------------------------------


def gradient(net: nn.Module, x: Array, target: int) -> Array:
    leaf = torch.from_numpy(x[None]).requires_grad_(True)
    return torch.autograd.grad(net(leaf)[0, target], leaf)[0][0].numpy()


def sensitivities(net, x, target, radius=0.1, of_range=True, samples=5) -> list[float]:
    own, size = gradient(net, x, target), radius * (x.max() - x.min() if of_range else 1.0)
    moved = x + size * draws(x).uniform(-1, 1, (samples, *x.shape))
    return [float(np.linalg.norm(gradient(net, one, target) - own) / np.linalg.norm(own)) for one in moved]


def random_layers(net: nn.Module, order: str, seed: int = 0):
    """The networks of the test, for a network whose layers are registered in the order in which they run."""
    names = [name for name, module in net.named_modules() if list(module.parameters(recurse=False))]
    other = copy.deepcopy(net)
    for name in names if order != "top_down" else names[::-1]:
        other = copy.deepcopy(net) if order == "independent" else other
        torch.manual_seed(seed + names.index(name))
        other.get_submodule(name).reset_parameters()
        yield other


def rank_correlation(a: Array, b: Array) -> float:
    return float(stats.spearmanr(a.ravel(), b.ravel()).statistic)


def mprt(net, x, target, order="top_down") -> float:
    own = gradient(net, x, target)
    return float(np.mean([rank_correlation(own, gradient(other, x, target)) for other in random_layers(net, order)]))


def smprt(net, x, target, smoothed=3, noise=0.1) -> float:
    points = x + noise * (x.max() - x.min()) * draws(x).standard_normal((smoothed, *x.shape))

    def smooth(other: nn.Module) -> Array:
        return np.mean([gradient(other, point, target) for point in points], axis=0)

    own = smooth(net)
    return float(np.mean([rank_correlation(own, smooth(other)) for other in random_layers(net, "bottom_up")]))


def emprt(net, x, target, bins=100) -> float:
    *_, other = random_layers(net, "bottom_up")
    before, after = (stats.entropy(np.histogram(gradient(one, x, target), bins)[0]) for one in (net, other))
    return float((after - before) / before)


def random_logit(net, x, target) -> float:
    classes = [one for one in range(len(logits(net, x))) if one != target]
    other = classes[draws(x).integers(len(classes))]
    return rank_correlation(gradient(net, x, target), gradient(net, x, other))


# --- maps alone --------------------------------------------------------------------------------------------------------------


def pointing_game(values: Array, inside: Array, tolerance: int = 0) -> float:
    """Of places with one relevance each."""
    if values.max() <= 0:
        return 0.0
    targets = np.argwhere(inside)
    hits = [min(np.sum((targets - place) ** 2, axis=1)) <= tolerance**2 for place in np.argwhere(values == values.max())]
    return float(np.mean(hits))


def relevance_mass(relevance: Array, inside: Array) -> float:
    positive = [(value, yes) for value, yes in zip(relevance.ravel(), inside.ravel(), strict=True) if value > 0]
    return sum(value for value, yes in positive if yes) / sum(value for value, _ in positive) if positive else 0.0


def share_of_top(values: Array, inside: Array, k: int) -> float:
    """The mean over both ways to break ties, for one tie at most at the edge."""
    flat, yes = values.ravel(), inside.ravel()
    ways = [sorted(range(flat.size), key=lambda place: (-flat[place], sign * place))[:k] for sign in (1, -1)]
    return float(np.mean([[yes[place] for place in way] for way in ways]))


def auc(values: Array, inside: Array) -> float:
    own, others = values[inside], values[~inside]
    return float(np.mean([[1.0 if a > b else 0.5 if a == b else 0.0 for b in others] for a in own]))


def gini(relevance: Array) -> float:
    """Half the mean absolute difference of two values, relative to their mean."""
    sizes = np.abs(relevance).ravel()
    return float(np.mean([[abs(a - b) for b in sizes] for a in sizes]) / (2 * sizes.mean()))


def entropy(relevance: Array) -> float:
    return float(stats.entropy(np.abs(relevance).ravel()))


def effective_complexity(relevance: Array, threshold: float = 1e-5) -> float:
    largest = max(abs(value) for value in relevance.ravel())
    return float(sum(abs(value) > threshold * largest for value in relevance.ravel()))
