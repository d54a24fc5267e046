"""What a certificate compares a map with: that in double precision, among others, of another class, and of random networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError, SignxaiError
from signxai.engine.module_names import find_module, is_keras
from signxai.engine.targets import Target
from signxai.evidence.certificate_words import (
    said_of_batch,
    said_of_constant_runner_up,
    said_of_precision,
    said_of_random_layers,
    said_of_runner_up,
)
from signxai.evidence.certified_sample import Check
from signxai.evidence.explained_sample import ExplainedSample
from signxai.evidence.explaining import Explaining, Points
from signxai.evidence.layers_in_use import has_same_outputs, layers_in_use
from signxai.evidence.options import FloatArray
from signxai.evidence.random_models import copied, randomized
from signxai.evidence.similarities import spearman
from signxai.evidence.turned_rows import turns

__all__ = ["RANDOM_NETWORKS", "among_others", "in_double_precision", "of_random_networks", "of_the_runner_up"]

RANDOM_NETWORKS = 3
"""So many are drawn: of one alone a small map may be alike by chance."""

_CONSTANT = "The map is constant: it points to nothing, whatever is explained"


def in_double_precision(sample: ExplainedSample) -> Check:
    """How far the map is from that of the same network in double precision."""
    name, explaining = "precision", sample.explaining
    if all(not part.is_floating_point() or part.dtype == torch.float64 for part in explaining.parts.values()) and _is_double(explaining):
        return sample.verdicts.judged(name, 0.0, lambda _: "The network computes in double precision itself")
    if any(map(is_keras, explaining.model.modules())):
        return sample.verdicts.silent(name, "Layers of Keras compute in the precision of their dtype policy, which a copy cannot change")
    try:
        exact = sample.explained_by(_in_double(explaining.model), points=_points_in_double(explaining, sample.row))
    except (SignxaiError, RuntimeError) as error:
        return sample.verdicts.silent(name, f"The network does not run in double precision: {_first_line(error)}")
    change = _relative(sample.map, exact)
    return sample.verdicts.judged(name, change, lambda is_small: said_of_precision(change, is_small))


def _is_double(explaining: Explaining) -> bool:
    return all(parameter.dtype == torch.float64 for parameter in explaining.model.parameters() if parameter.is_floating_point())


def _in_double(model: nn.Module) -> nn.Module:
    """A copy in double precision; on the CPU where the model's device has none."""
    net = copied(model)
    is_possible = all(parameter.device.type != "mps" for parameter in net.parameters())
    return net.double() if is_possible else net.cpu().double()


def _points_in_double(explaining: Explaining, row: int) -> Points:
    return Points([row], {key: part[[row]].double() for key, part in explaining.parts.items() if part.is_floating_point()})


def _first_line(error: Exception) -> str:
    return f"{error}".partition("\n")[0]


def _relative(one: FloatArray, other: FloatArray) -> float:
    """How far one map is from another, by the norm of that; infinite where that is zero and the one is not."""
    distance, size = float(np.linalg.norm(one - other)), float(np.linalg.norm(other))
    return distance / size if size else (np.inf if distance else 0.0)


# --- among others ------------------------------------------------------------------------------------------------------------


def among_others(sample: ExplainedSample) -> Check:
    """How far the map is from that of the sample between two others that are made of it: one reversed, one of half its size."""
    name, explaining = "batch", sample.explaining
    if explaining.settings.stochastic:
        return sample.verdicts.silent(name, "The model draws random numbers, so each sample is explained alone")
    if explaining.target is None:
        return sample.verdicts.silent(name, "The target is a function of this sample's outputs, so it is explained alone")
    points = Points([sample.row] * 3, {key: _between_others(part[sample.row]) for key, part in explaining.parts.items()})
    try:
        together = sample.explained_by(points=points)[1:2]
    except SignxaiError as error:
        return sample.verdicts.silent(name, f"Other samples, made of this one, cannot be explained beside it: {_first_line(error)}")
    change = _relative(together, sample.map)
    return sample.verdicts.judged(name, change, lambda is_small: said_of_batch(change, is_small))


def _between_others(part: Tensor) -> Tensor:
    """The reversed sample, the sample, and that of half its size (of token ids moved on by one)."""
    if not part.ndim:
        return torch.stack([part] * 3)
    return torch.stack([part.flip(-1), part, part / 2 if part.is_floating_point() else part.roll(1, -1)])


# --- of another class --------------------------------------------------------------------------------------------------------


def of_the_runner_up(sample: ExplainedSample) -> Check:
    """How alike the map is to that of the strongest other class."""
    name, explaining = "runner_up", sample.explaining
    target, outputs = explaining.target, explaining.logits
    if target is None or target.indices is None:
        return sample.verdicts.silent(name, "The target is a function of the outputs, which has no runner-up")
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        return sample.verdicts.silent(name, f"Outputs of shape {tuple(outputs.shape)} have no runner-up: it needs (N, classes)")
    if sample.is_constant:
        return sample.verdicts.failed(name, _CONSTANT)
    other = _strongest_other(outputs[sample.row], int(target.indices[sample.row, 0]))
    of_other = sample.explained_by(target=_for_all(other, len(outputs)))
    if not np.ptp(of_other):
        return sample.verdicts.silent(name, said_of_constant_runner_up(sample.class_in_words(other), is_zero=not of_other.any()))
    # Two shares of logits of which one is below 0 are of opposite classes where they are equal.
    sign = -1.0 if turns(explaining) and bool(outputs[sample.row, other] < 0) != sample.has_turned_signs else 1.0
    alike = float(spearman(sample.map, sign * of_other)[0])
    return sample.verdicts.judged(name, alike, lambda is_apart: said_of_runner_up(sample.class_in_words(other), alike, is_apart))


def _strongest_other(logits: Tensor, explained: int) -> int:
    order: list[int] = logits.argsort(descending=True, stable=True).tolist()
    return next(index for index in order if index != explained)


def _for_all(index: int, samples: int) -> Target:
    return Target(torch.full((samples, 1), index))


# --- of random networks ------------------------------------------------------------------------------------------------------


def of_random_networks(sample: ExplainedSample) -> Iterator[Check]:
    """How alike the map stays where the last layer, or all of them, have random parameters."""
    names = ("random_last_layer", "random_all_layers")
    if sample.is_constant:
        yield from (sample.verdicts.failed(name, _CONSTANT) for name in names)
        return
    try:
        layers, net = layers_in_use(sample.explaining, [sample.row]), copied(sample.explaining.model)
        if not layers:
            raise ModelError("it has no parameters that its output depends on")
    except SignxaiError as error:
        yield from (sample.verdicts.silent(name, f"No random network can be explained: {_first_line(error)}") for name in names)
        return
    named = f" ({layers[-1]})" if layers[-1] else ""
    words = f"the last layer{named}", f"all {len(layers)} layers" if len(layers) > 1 else "its one layer"
    numbered, seeds = list(enumerate(layers)), _seeds(sample.explaining, layers)
    yield _random(sample, names[0], words[0], _alike_with_random(sample, net, numbered[-1:], seeds))
    yield _random(sample, names[1], words[1], _alike_with_random(sample, net, numbered, seeds))


def _random(sample: ExplainedSample, name: str, layers: str, drawn: Iterator[float | None]) -> Check:
    """The check of the draws, of which one is NaN whose map is constant, and None where the network computes what it did."""
    try:
        alike = list(drawn)
    except SignxaiError as error:
        return sample.verdicts.silent(name, f"No random network can be explained: {_first_line(error)}")
    if None in alike:
        return sample.verdicts.silent(name, f"With {layers} drawn anew the network computes what it did: its weights come from elsewhere")
    left = [value for value in alike if value is not None and not np.isnan(value)]
    if not left:
        return sample.verdicts.silent(
            name, f"With {layers} random the map is constant, which has no order: of what was learned it says nothing"
        )
    mean = float(np.mean(left))
    return sample.verdicts.judged(name, mean, lambda changes: said_of_random_layers(layers, mean, len(left), changes))


def _seeds(explaining: Explaining, layers: Sequence[str]) -> list[int]:
    """Of the draws; each layer adds its number, so that no two layers of two draws have the same."""
    return [explaining.settings.seed + draw * len(layers) for draw in range(RANDOM_NETWORKS)]


def _alike_with_random(
    sample: ExplainedSample, net: nn.Module, layers: Sequence[tuple[int, str]], seeds: Sequence[int]
) -> Iterator[float | None]:
    """The size of the rank correlation with the map of a network of which these layers are drawn anew, in place, by each seed."""
    for seed in seeds:
        for number, name in layers:
            randomized(find_module(net, name), seed + number)
        other = sample.explained_by(net)
        if np.array_equal(other, sample.map) and has_same_outputs(sample.explaining, net, [sample.row]):
            yield None
        yield abs(float(spearman(sample.map, other)[0])) if np.ptp(other) else float("nan")
