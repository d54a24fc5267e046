"""Robustness: does the map stay what it is where the input hardly changes?

These judge a method, which explains again: a sign that is wrong in all of its maps is in all of them, and does not show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from signxai.evidence.clouds import cloud_parts, clouds, range_of
from signxai.evidence.explaining import Explaining, Method
from signxai.evidence.options import FloatArray, count, positive

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
        (N,), at least 0; lower is better; NaN where all inputs of a sample are constant, of whose range of 0 no radius is a share: give one
        with ``of_range=False``. ``samples + 1`` explanations for each sample.

    Raises:
        OptionError: if the method does not take an option, or a number is out of range.
        InputError: if there is nothing but token ids.

    >>> import torch
    >>> max_sensitivity(torch.nn.Linear(3, 2), torch.randn(2, 3), "gradient", 0)
    array([0., 0.])
    """
    changes = sensitivities(
        model, x, method_name, target_class, radius=radius, of_range=of_range, samples=samples, relative=relative, **options
    )
    return np.asarray(changes.max(axis=1))


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
        (N,), at least 0; lower is better; NaN as for ``max_sensitivity``.
    """
    changes = sensitivities(
        model, x, method_name, target_class, radius=radius, of_range=of_range, samples=samples, relative=relative, **options
    )
    return np.asarray(changes.mean(axis=1))


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
    size = positive("radius", radius, "how far points lie from the input")
    times = count("samples", samples)
    explaining = Explaining(model, x, method_name, target_class, options)
    values = cloud_parts(explaining)  # before anything is explained
    maps = explaining.maps(explaining.points_of_samples())
    parts = clouds(explaining, times, lambda sample: size * (range_of(sample) if of_range else 1.0), _uniform)
    changes = np.concatenate([_lengths(explaining.maps(points) - maps[points.rows]).reshape(len(rows), times) for rows, points in parts])
    if of_range:
        changes[[all(not range_of(part[row]) for part in values.values()) for row in range(explaining.samples)]] = np.nan
    norms = _lengths(maps)[:, None]
    return np.asarray(changes / np.where((norms > 0) & relative, norms, 1.0))


def _uniform(draws: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return draws.uniform(-1.0, 1.0, shape)


def _lengths(maps: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", maps, maps)))
