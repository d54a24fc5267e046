"""Randomization: does the map change where the model, or what is explained, is another one? If not, it shows the input alone.

These judge a method, which explains again: a sign that is wrong in all of its maps does not show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from signxai.common.errors import ModelError, OptionError, TargetError
from signxai.engine.targets import Target
from signxai.evidence.clouds import clouds, range_of
from signxai.evidence.draws import generator
from signxai.evidence.explaining import Explaining, Method
from signxai.evidence.layers_in_use import has_same_outputs, layers_in_use
from signxai.evidence.options import FloatArray, count, one_of, positive
from signxai.evidence.random_models import ORDERS, check_layers, random_model, random_models
from signxai.evidence.similarities import similarity_of
from signxai.evidence.statistics import means

__all__ = ["RandomizationCurve", "emprt", "mprt", "random_logit", "randomization_curve", "smprt"]


@dataclass(frozen=True, eq=False)
class RandomizationCurve:
    """How alike maps are to those of random models.

    Attributes:
        layers: the layer that was made random last, by name.
        similarities: of the map of the model with that of the random one (N, layers); NaN where that alone is constant, and so has no
            order: the random network computes nothing of the input there, as one with zeros for weights.
    """

    layers: tuple[str, ...]
    similarities: FloatArray

    def mean(self) -> FloatArray:
        """The mean over all layers with a similarity (N,); NaN without any."""
        return means(self.similarities)


def randomization_curve(
    model: nn.Module,
    x: Any,
    method_name: Method,
    target_class: Any = None,
    *,
    order: str = "top_down",
    layers: Sequence[str] | None = None,
    similarity: Any = "spearman",
    smoothed: int = 0,
    noise: float = 0.1,
    **options: Any,
) -> RandomizationCurve:
    """How alike the map stays while layer after layer gets random parameters (Adebayo et al. 2018).

    Args:
        model, x, target_class: as for ``signxai.explain``; the target stays that of the trained model. The model is copied, never changed.
        method_name: a method's name, or a function of model, input and target that returns a map.
        order: "top_down" (cascading from the output), "bottom_up" (from the input), or "independent" (each layer alone).
        layers: names of the modules that are made random, from the input to the output; None: all whose parameters the
            output depends on for some sample, in the order in which they run; others, as an auxiliary head, are no steps of the test.
        similarity: "spearman" (of signed relevance), "pearson", "spearman_of_magnitudes", "ssim" (structural similarity, Wang et al.
            2004, of maps brought from 0 to 1, with 1/2 for no relevance), "ssim_of_magnitudes" (of absolute maps, as Adebayo et al.
            have it), or a function of two arrays (n, values).
        smoothed: explain so many noisy copies of each sample and take the mean of their maps (sMPRT); 0: the sample itself.
        noise: the noise's standard deviation, as a share of the range of each input of the sample.
        **options: of the method, and ``RunOptions``; ``seed=`` is also that of the random parameters.

    Returns:
        The curve. Two constant maps are alike (1), and that of a random model which alone is constant has no similarity (NaN).

    Raises:
        OptionError: for an unknown word, option or layer.
        ModelError: if the model cannot be copied, or computes the same with all of these layers drawn anew.
    """
    how: dict[str, Any] = {"order": order, "layers": layers, "similarity": similarity, "smoothed": smoothed, "noise": noise}
    return randomization_curves({"": Explaining(model, x, method_name, target_class, options)}, **how)[""]


def randomization_curves(
    explained: Mapping[str, Explaining],
    *,
    order: str = "top_down",
    layers: Sequence[str] | None = None,
    similarity: Any = "spearman",
    smoothed: int = 0,
    noise: float = 0.1,
) -> dict[str, RandomizationCurve]:
    """The curves of several methods on the same samples of one model, which share the random models.

    Args:
        explained: the methods on the samples, by name; they have one seed.
        order, layers, similarity, smoothed, noise: as for ``randomization_curve``.

    Returns:
        From each name to its curve.
    """
    alike = {name: similarity_of(similarity, explaining.map_shapes) for name, explaining in explained.items()}  # each ranks its own once
    first = next(iter(explained.values()))
    one_of("order", order, ORDERS)
    how = count("smoothed", smoothed, 0), positive("noise", noise, "a share of the range of the input")
    names = _layers(first, layers)
    own = {name: _mean_maps(explaining, *how, None) for name, explaining in explained.items()}
    found: dict[str, list[FloatArray]] = {name: [] for name in explained}
    made_random, is_same = [], []
    for layer, net in random_models(first.model, names, order, first.settings.seed):
        made_random.append(layer)
        maps = {name: _mean_maps(explaining, *how, net) for name, explaining in explained.items()}
        is_same.append(_is_without_effect(first, net, own, maps))
        for name, others in maps.items():
            found[name].append(np.where(_is_lost(own[name], others), np.nan, alike[name](own[name], others)))
    _refuse_the_same(made_random, all(is_same))
    return {name: RandomizationCurve(tuple(made_random), np.stack(values, axis=1)) for name, values in found.items()}


def mprt(
    model: nn.Module,
    x: Any,
    method_name: Method,
    target_class: Any = None,
    *,
    order: str = "top_down",
    layers: Sequence[str] | None = None,
    similarity: Any = "spearman",
    **options: Any,
) -> FloatArray:
    """Model parameter randomization test: the mean similarity of the map to those of models with more and more random layers.

    Adebayo et al. 2018; the mean over layers as in Hedstroem et al. 2024.

    Args:
        model, x, method_name, target_class, order, layers, similarity, **options: as for ``randomization_curve``, which gives each layer's.

    Returns:
        (N,), in [-1, 1]; lower is better: the map depends on what the model has learned; NaN where no layer has a similarity. One
        explanation for each layer, and one.
    """
    curve = randomization_curve(model, x, method_name, target_class, order=order, layers=layers, similarity=similarity, **options)
    return curve.mean()


def smprt(
    model: nn.Module,
    x: Any,
    method_name: Method,
    target_class: Any = None,
    *,
    order: str = "bottom_up",
    layers: Sequence[str] | None = None,
    similarity: Any = "spearman",
    smoothed: int = 10,
    noise: float = 0.1,
    **options: Any,
) -> FloatArray:
    """Smooth MPRT: as ``mprt``, of maps that are averaged over noisy inputs, so that a method's own noise does not pass for sensitivity.

    Hedstroem et al. 2024: noise of a tenth of the input's range, 50 samples in the paper; from the input, as it advises.

    Args:
        model, x, method_name, target_class, order, layers, similarity, smoothed, noise, **options: as for ``randomization_curve``.

    Returns:
        (N,), in [-1, 1]; lower is better. ``smoothed`` explanations for each sample and layer, and for the model.
    """
    how: dict[str, Any] = {"smoothed": count("smoothed", smoothed), "noise": noise, **options}
    return mprt(model, x, method_name, target_class, order=order, layers=layers, similarity=similarity, **how)


def emprt(
    model: nn.Module,
    x: Any,
    method_name: Method,
    target_class: Any = None,
    *,
    layers: Sequence[str] | None = None,
    bins: int = 100,
    **options: Any,
) -> FloatArray:
    """Efficient MPRT: by how much the complexity of the map rises where all parameters are random.

    Hedstroem et al. 2024: (c(R') - c(R)) / c(R), with c the entropy of the histogram of a map's values. It needs no similarity.

    Args:
        model, x, method_name, target_class, layers, **options: as for ``randomization_curve``; all of ``layers`` are made random.
        bins: of the histogram, from the least to the largest value of each map.

    Returns:
        (N,), at least -1; higher is better. Where c(R) is 0, as of a constant map, it is c(R') itself; NaN where R' alone is
        constant. Two explanations for each sample.
    """
    parts = count("bins", bins, 2)
    explaining = Explaining(model, x, method_name, target_class, options)
    names = _layers(explaining, layers)
    points = explaining.points_of_samples()
    own = explaining.maps(points)
    net = random_model(model, names, explaining.settings.seed)
    others = explaining.maps(points, net)
    _refuse_the_same(names, _is_without_effect(explaining, net, {"": own}, {"": others}))
    before, after = histogram_entropy(own, parts), histogram_entropy(others, parts)
    return np.where(_is_lost(own, others), np.nan, (after - before) / np.where(before > 0, before, 1.0))


def random_logit(
    model: nn.Module,
    x: Any,
    method_name: Method,
    target_class: Any = None,
    *,
    other_class: Any = None,
    similarity: Any = "spearman",
    **options: Any,
) -> FloatArray:
    """Random logit test: how alike the map is to that of another class (Sixt et al. 2020).

    Args:
        model, x, method_name, target_class, similarity, **options: as for ``randomization_curve``; outputs (N, classes).
        other_class: the other class, or one for each sample; None: drawn for each from all but the target by ``seed``.

    Returns:
        (N,), in [-1, 1]; lower is better. Two explanations for each sample.

    Raises:
        TargetError: if the outputs are not (N, classes) of at least two, the target is a function, or ``other_class`` is no class
            or the target.
    """
    explaining = Explaining(model, x, method_name, target_class, options)
    alike = similarity_of(similarity, explaining.map_shapes)
    given = None if other_class is None else _given(other_class, _own_classes(explaining))
    points = explaining.points_of_samples()
    own = explaining.maps(points)  # first: it shows how many classes there are
    return alike(own, explaining.maps(points, target=_other_target(explaining, given)))


def histogram_entropy(maps: FloatArray, bins: int) -> FloatArray:
    """The entropy of the histogram of each row's values (n,), in nats.

    >>> histogram_entropy(np.array([[0.0, 1.0], [2.0, 2.0]]), 10).round(3)
    array([0.693, 0.   ])
    """
    shares = _histograms(maps, bins) / maps.shape[1]
    return np.asarray(-(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)) + 0.0


def _histograms(maps: FloatArray, bins: int) -> npt.NDArray[np.int64]:
    """``numpy.histogram`` of each row (n, bins), all at once.

    >>> _histograms(np.array([[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]]), 2).tolist()
    [[2, 1], [0, 3]]
    """
    low, high = maps.min(axis=1, keepdims=True), maps.max(axis=1, keepdims=True)
    low, high = np.where(low == high, low - 0.5, low), np.where(low == high, high + 0.5, high)
    edges = np.linspace(low[:, 0], high[:, 0], bins + 1, axis=1)
    places = np.minimum(((maps - low) / (high - low) * bins).astype(np.int64), bins - 1)
    places -= maps < np.take_along_axis(edges, places, axis=1)  # where rounding has put a value beside its bin
    places += (maps >= np.take_along_axis(edges, places + 1, axis=1)) & (places < bins - 1)
    numbered = places + bins * np.arange(len(maps))[:, None]
    return np.bincount(numbered.ravel(), minlength=bins * len(maps)).reshape(-1, bins)


def _layers(explaining: Explaining, layers: Sequence[str] | None) -> list[str]:
    names = layers_in_use(explaining, range(explaining.samples)) if layers is None else list(layers)
    if isinstance(layers, str) or not names:
        raise OptionError(f"layers={layers!r}: names of modules with parameters are needed, at least one; the model may have none")
    check_layers(explaining.model, names)
    return names


def _is_lost(own: FloatArray, others: FloatArray) -> npt.NDArray[np.bool_]:
    """Which of the other maps (n, values) are constant, where their own are not."""
    return np.asarray((np.ptp(others, axis=1) == 0) & (np.ptp(own, axis=1) > 0))


def _is_without_effect(explaining: Explaining, net: nn.Module, own: Mapping[str, FloatArray], others: Mapping[str, FloatArray]) -> bool:
    """Whether a random network is the model itself: by the outputs, which are only run where no map of any method changed."""
    are_equal = all(np.array_equal(own[name], others[name]) for name in own) and any(map(np.ptp, own.values()))
    return are_equal and has_same_outputs(explaining, net, range(explaining.samples))


def _refuse_the_same(layers: Sequence[str], is_same: bool) -> None:
    if is_same:
        raise ModelError(
            f"with random parameters in {', '.join(map(repr, layers))} the model computes what it did: it does not compute with them, as "
            "where a hook of its own or its forward sets the weights; name other layers by layers=, or put the weights into parameters"
        )


def _mean_maps(explaining: Explaining, smoothed: int, noise: float, net: nn.Module | None) -> FloatArray:
    """The maps of the samples (N, values), or their means over noisy copies."""
    if not smoothed:
        return explaining.maps(explaining.points_of_samples(), net)
    parts = clouds(explaining, smoothed, lambda sample: noise * range_of(sample), np.random.Generator.standard_normal)
    return np.concatenate([explaining.maps(points, net).reshape(len(rows), smoothed, -1).mean(axis=1) for rows, points in parts])


def _own_classes(explaining: Explaining) -> npt.NDArray[np.int64]:
    """The class that is explained of each sample (N,).

    Raises:
        TargetError: what is explained is no class.
    """
    target = explaining.target
    if target is None or target.indices is None or target.indices.shape[1] != 1:
        raise TargetError(f"{_NEEDS} what is explained is {'a function' if target is None or target.indices is None else 'an entry'}")
    return np.asarray(target.indices[:, 0].cpu().numpy(), dtype=np.int64)


_NEEDS = "the random logit test needs a class as the target and outputs (N, classes) of at least two;"


def _other_target(explaining: Explaining, given: npt.NDArray[np.int64] | None) -> Target:
    own, outputs = _own_classes(explaining), explaining.output_shape
    if len(outputs) != 2 or outputs[1] < 2:
        raise TargetError(f"{_NEEDS} the outputs are ({', '.join(map(str, ('N', *outputs[1:])))})")
    others = _drawn(explaining, own, outputs[1]) if given is None else given
    return Target(torch.from_numpy(np.array(others, dtype=np.int64))[:, None])


def _given(other_class: Any, own: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The other class of each sample (N,), as a user gives it.

    Raises:
        TargetError: it is none, or the class that is explained.
    """
    classes = np.asarray(other_class.detach().cpu() if isinstance(other_class, torch.Tensor) else other_class)
    if classes.dtype.kind not in "iu" or classes.shape not in ((), own.shape):
        raise TargetError(f"other_class={other_class!r} must be the number of a class, or one for each of {len(own)} samples")
    others = np.broadcast_to(classes, own.shape)
    if same := np.flatnonzero(others == own).tolist():
        raise TargetError(f"other_class= is the target of sample {same[0]}; give another class")
    return np.asarray(others, dtype=np.int64)


def _drawn(explaining: Explaining, own: Any, classes: int) -> Any:
    drawn = [generator(explaining.settings.seed, seed).integers(classes - 1) for seed in explaining.seeds]
    return np.array([other + (other >= target) for other, target in zip(drawn, own, strict=True)])
