"""What a certificate says of faithfulness: the symmetric relevance gain of a map against those of random maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from signxai.evidence.certificate_words import said_of_gain
from signxai.evidence.certified_sample import Check
from signxai.evidence.draws import generator
from signxai.evidence.explained_sample import ExplainedSample
from signxai.evidence.explaining import Points
from signxai.evidence.faithfulness import srg
from signxai.evidence.imputers import ChannelsLast, as_imputer
from signxai.evidence.layout import imputer_in_layout, unit_in_layout
from signxai.evidence.options import FloatArray
from signxai.evidence.parts import Key
from signxai.evidence.units import Partition, Patch, Window

__all__ = ["RANDOM_MAPS", "Removing", "of_removing"]

RANDOM_MAPS = 10
"""So many random maps say how far chance goes; the limit of the check, 2.23, is Student's t at 97.5 % for this many."""

_RANDOM_MAP = 7
_MOST_CHANNELS = 4


@dataclass(frozen=True)
class Removing:
    """How units are removed for the symmetric relevance gain.

    Attributes:
        unit, imputer: as for ``signxai.evidence.srg``; None: what suits the input's shape.
        steps: of the curves; 0: the gain is left out.
    """

    unit: Any = None
    imputer: Any = None
    steps: int = 10

    def units(self, parts: Mapping[Key, Tensor], channel_axes: Mapping[Key, int]) -> Any:
        """The units of all inputs."""
        return {key: _unit(part, channel_axes[key]) for key, part in parts.items()} if self.unit is None else self.unit

    def imputers(self, parts: Mapping[Key, Tensor], channel_axes: Mapping[Key, int]) -> Any:
        """What stands in their places."""
        return {key: _imputer(part, channel_axes[key]) for key, part in parts.items()} if self.imputer is None else self.imputer

    def check(self, parts: Mapping[Key, Tensor], channel_axes: Mapping[Key, int]) -> None:
        """Refuse units and an imputer that do not fit one sample of these inputs, before anything is explained.

        Of several inputs a method may explain some alone, to which units by input are then limited: these are left to the metric.

        Raises:
            OptionError, InputError: as ``signxai.evidence.srg`` does.
        """
        if len(parts) > 1:
            return
        [(key, part)] = parts.items()
        unit, imputer, shape = self.units(parts, channel_axes), self.imputer, (1, *part.shape[1:])
        Partition({key: shape}, unit_in_layout(unit, channel_axes, {key: shape}))
        if imputer is not None:
            own = imputer.get(key) if isinstance(imputer, Mapping) else imputer
            own = imputer_in_layout(own, channel_axes[key], shape)
            as_imputer(own, ids=not part.is_floating_point()).prepared(part[:1], [0])


def _unit(part: Tensor, channel_axis: int) -> Any:
    """A sixteenth of the side of a picture or volume, a fiftieth of a signal, a value of a list."""
    if part.ndim <= 2:
        return "pixel"
    if part.ndim == 3:
        return Window(-(-part.shape[3 - channel_axis] // 50))
    axis = -1 if _are_channels_last(part, channel_axis) else 1
    sides = [length for place, length in enumerate(part.shape) if place not in (0, axis % part.ndim)]
    return Patch(tuple(min(-(-max(sides) // 16), side) for side in sides), axis)


def _imputer(part: Tensor, channel_axis: int) -> Any:
    if part.ndim == 3:
        return "interpolation"
    return ChannelsLast("mean") if part.ndim > 3 and _are_channels_last(part, channel_axis) else "mean"


def _are_channels_last(part: Tensor, channel_axis: int) -> bool:
    """Whether they are, of a picture or volume: as the network's layout has it, or of any other network as the lengths say."""
    return channel_axis == part.ndim - 1 or part.shape[-1] <= _MOST_CHANNELS < part.shape[1]


def of_removing(sample: ExplainedSample, removing: Removing) -> Check:
    """What the map's order is worth when units are removed by it, against orders that are drawn."""
    parts = {key: sample.explaining.parts[key] for key in sample.maps}
    if not removing.steps:
        return sample.verdicts.silent("srg", "Left out")
    if removing.imputer is None and not all(part.is_floating_point() for part in parts.values()):
        return sample.verdicts.silent(
            "srg", "Token ids have no mean to stand in their places: give imputer=, the id that stands for nothing"
        )
    gain, *drawn = (_gain(sample, maps, parts, removing) for maps in [dict(sample.maps), *_random_maps(sample)])
    deviation = float(np.sqrt(np.mean(np.square(drawn))))
    if not deviation:
        return sample.verdicts.silent("srg", "No order of the units changes the score, so none is better than another")
    is_less = gain / deviation < -sample.verdicts.thresholds["srg"]
    return sample.verdicts.judged("srg", gain / deviation, lambda is_more: said_of_gain(gain, deviation, RANDOM_MAPS, is_more, is_less))


def _gain(sample: ExplainedSample, maps: Mapping[Key, FloatArray], parts: Mapping[Key, Tensor], removing: Removing) -> float:
    points = Points([sample.row], {})
    axes = sample.explaining.channel_axes
    how: dict[str, Any] = {"unit": removing.units(parts, axes), "imputer": removing.imputers(parts, axes), "steps": removing.steps}
    x, target = sample.explaining.inputs_of(points), sample.explaining.target_at(sample.row)
    run = sample.explaining.run_options(points) | {"batch_size": sample.explaining.settings.batch_size}
    return float(srg(sample.explaining.model, x, maps, target, **how, **run)[0])


def _random_maps(sample: ExplainedSample) -> list[dict[Key, FloatArray]]:
    seed, own = sample.explaining.settings.seed, sample.explaining.seeds[sample.row]
    draws = [generator(seed, own, _RANDOM_MAP + number) for number in range(RANDOM_MAPS)]
    return [{key: drawn.standard_normal(values.shape) for key, values in sample.maps.items()} for drawn in draws]
