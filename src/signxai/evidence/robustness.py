"""Robustness: does the map stay what it is where the input hardly changes?

These judge a method, which explains again: a sign that is wrong in all of its maps is in all of them, and does not show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import InputError, OptionError
from signxai.evidence.draws import generator
from signxai.evidence.explaining import Explaining, Method, Points
from signxai.evidence.options import FloatArray, count
from signxai.evidence.parts import Key

__all__ = ["average_sensitivity", "max_sensitivity", "sensitivities"]


def max_sensitivity(
    model: nn.Module,
    x: Any,
    method_name: Method,
    target_class: Any = None,
    *,
    radius: float = 0.02,
    of_range: bool = True,
    samples: int = 10,
    relative: bool = True,
    **options: Any,
) -> FloatArray:
    """Max-sensitivity: the largest change of the map within a small ball around the input (Yeh et al. 2019, definition 3.1).

    max over ||u||_inf <= r of ||R(x + u) - R(x)||_2, of ``samples`` draws of u, divided by ||R(x)||_2.

    Args:
        model, x, target_class: as for ``signxai.explain``; the target stays the one of ``x`` as it is. Token ids stay as they are.
        method_name: a method's name, or a function of model, input and target that returns a map.
        radius: of the ball.
        of_range: the radius is a share of the range (max - min) of each input of the sample; else in units of the input.
        samples: how many points are drawn, uniformly.
        relative: divide by the norm of the map; where that is 0, by 1.
        **options: of the method, and ``RunOptions``.

    Returns:
        (N,), at least 0; lower is better. ``samples + 1`` explanations for each sample.

    Raises:
        OptionError: if the method does not take an option, or a number is out of range.
        InputError: if there is nothing but token ids.

    >>> import torch
    >>> max_sensitivity(torch.nn.Linear(3, 2), torch.randn(2, 3), "gradient", 0)
    array([0., 0.])
    """
    how: dict[str, Any] = {"radius": radius, "of_range": of_range, "samples": samples, "relative": relative}
    return np.asarray(sensitivities(model, x, method_name, target_class, **how, **options).max(axis=1))


def average_sensitivity(
    model: nn.Module,
    x: Any,
    method_name: Method,
    target_class: Any = None,
    *,
    radius: float = 0.02,
    of_range: bool = True,
    samples: int = 10,
    relative: bool = True,
    **options: Any,
) -> FloatArray:
    """Average sensitivity: the mean change of the map within a small ball around the input (Yeh et al. 2019; Bhatt et al. 2020).

    Args:
        model, x, method_name, target_class, radius, of_range, samples, relative, **options: as for ``max_sensitivity``.

    Returns:
        (N,), at least 0; lower is better.
    """
    how: dict[str, Any] = {"radius": radius, "of_range": of_range, "samples": samples, "relative": relative}
    return np.asarray(sensitivities(model, x, method_name, target_class, **how, **options).mean(axis=1))


def sensitivities(
    model: nn.Module,
    x: Any,
    method_name: Method,
    target_class: Any = None,
    *,
    radius: float = 0.02,
    of_range: bool = True,
    samples: int = 10,
    relative: bool = True,
    **options: Any,
) -> FloatArray:
    """The change of the map at each point that is drawn (N, samples), of which the two above are the maximum and the mean."""
    if isinstance(radius, bool) or not isinstance(radius, int | float | np.number) or not 0 < radius < np.inf:
        raise OptionError(f"radius={radius!r} must be a number of more than 0")
    times = count("samples", samples)
    explaining = Explaining(model, x, method_name, target_class, options)
    values = {key: part for key, part in explaining.parts.items() if part.is_floating_point()}
    if not values:
        raise InputError("token ids cannot change a little; explain the embeddings (inputs_embeds) instead")
    maps = explaining.maps(explaining.points_of_samples())
    changes = _changes(explaining, values, maps, float(radius), of_range, times)
    norms = np.sqrt((maps * maps).sum(axis=1, keepdims=True))
    return changes / np.where((norms > 0) & relative, norms, 1.0)


def _changes(explaining: Explaining, values: dict[Key, Tensor], maps: FloatArray, radius: float, of_range: bool, times: int) -> FloatArray:
    """||R(x + u) - R(x)|| (N, times); the points of so many samples are held at once as fill a pass of the model."""
    changes = []
    step = max(1, explaining.chunk // times)
    for start in range(0, explaining.samples, step):
        own = range(start, min(start + step, explaining.samples))
        draws = [generator(explaining.settings.seed, explaining.seeds[row]) for row in own]
        moved = {
            key: torch.cat([_moved(part[row], radius, of_range, times, drawn) for row, drawn in zip(own, draws, strict=True)])
            for key, part in values.items()
        }
        rows = [row for row in own for _ in range(times)]
        difference = explaining.maps(Points(rows, moved)) - maps[rows]
        changes.append(np.sqrt((difference * difference).sum(axis=1)).reshape(len(own), times))
    return np.concatenate(changes)


def _moved(sample: Tensor, radius: float, of_range: bool, times: int, draws: np.random.Generator) -> Tensor:
    size = radius * float(sample.max() - sample.min()) if of_range else radius
    noise = size * draws.uniform(-1.0, 1.0, (times, *sample.shape))
    return sample + torch.from_numpy(noise).to(sample)
