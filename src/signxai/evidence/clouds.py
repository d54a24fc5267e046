"""Points that are drawn around samples: the same of a sample whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from signxai.common.errors import InputError
from signxai.evidence.draws import generator
from signxai.evidence.explaining import Explaining, Points
from signxai.evidence.options import FloatArray
from signxai.evidence.parts import Key

__all__ = ["Draw", "cloud_parts", "clouds", "range_of"]

Draw: TypeAlias = "Callable[[np.random.Generator, tuple[int, ...]], FloatArray]"
"""Numbers in a shape, from a generator, for a radius of 1."""


def clouds(explaining: Explaining, times: int, radius: Callable[[Tensor], float], draw: Draw) -> Iterator[tuple[range, Points]]:
    """``times`` points around each sample, those of one behind each other; of so many samples at once as fill a pass of the model.

    Args:
        explaining: the samples.
        times: how many points.
        radius: of each input of a sample.
        draw: what is added to it, for a radius of 1.

    Yields:
        The rows of some samples, and their points.

    Raises:
        InputError: if there is nothing but token ids.
    """
    values = cloud_parts(explaining)
    step = max(1, explaining.chunk // times)
    for start in range(0, explaining.samples, step):
        rows = range(start, min(start + step, explaining.samples))
        draws = [generator(explaining.settings.seed, explaining.seeds[row]) for row in rows]
        parts = {
            key: torch.cat([_around(part[row], times, radius, draw, own) for row, own in zip(rows, draws, strict=True)])
            for key, part in values.items()
        }
        yield rows, Points([row for row in rows for _ in range(times)], parts)


def cloud_parts(explaining: Explaining) -> dict[Key, Tensor]:
    """The inputs that can change a little, by key.

    Raises:
        InputError: if there is nothing but token ids.
    """
    values = {key: part for key, part in explaining.parts.items() if part.is_floating_point()}
    if not values:
        raise InputError("token ids cannot change a little; explain the embeddings (inputs_embeds) instead")
    return values


def _around(sample: Tensor, times: int, radius: Callable[[Tensor], float], draw: Draw, draws: np.random.Generator) -> Tensor:
    return sample + torch.from_numpy(radius(sample) * draw(draws, (times, *sample.shape))).to(sample)


def range_of(sample: Tensor) -> float:
    """From the least to the largest value."""
    return float(sample.max() - sample.min())
