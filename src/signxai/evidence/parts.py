"""One input or several, and the maps of them, as one thing: a dict by the key of each part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from signxai.common.errors import InputError
from signxai.engine.given_inputs import is_structured
from signxai.evidence.options import FloatArray

__all__ = ["Key", "as_read", "flat", "maps_of", "parts_of", "rows_at", "rows_of", "stretches", "with_parts"]

Key: TypeAlias = "int | str"
"""The keyword or the position of an input; 0 for one input alone."""


def parts_of(given: Any) -> dict[Key, Any]:
    """What was given, by key; what is None is left out.

    >>> sorted(parts_of({"signal": 1, "age": 2})), list(parts_of([[1.0, 2.0]]))
    (['age', 'signal'], [0])
    """
    if isinstance(given, Mapping):
        return {key: value for key, value in given.items() if value is not None}
    if is_structured(given):
        return {key: value for key, value in enumerate(given) if value is not None}
    return {0: given}


def maps_of(relevance: Any, name: str = "relevance") -> dict[Key, FloatArray]:
    """Relevance maps by the key of their input, in double precision.

    Raises:
        InputError: if one is no array (N, ...) of finite numbers, or they have different numbers of samples.
    """
    maps = {key: _as_map(value, name) for key, value in parts_of(relevance).items()}
    if len({len(one) for one in maps.values()}) != 1:
        raise InputError(f"{name} has the shapes {[one.shape for one in maps.values()]}; each part needs one row per sample")
    return maps


def _as_map(value: Any, name: str) -> FloatArray:
    array = np.asarray(value.detach().cpu().double().numpy() if isinstance(value, Tensor) else value)
    if array.dtype.kind not in "fiub" or array.ndim < 2 or not array.size:
        raise InputError(f"{name} of shape {array.shape} and type {array.dtype} is no map; give real numbers (N, ...), as explain does")
    array = array.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity, by which nothing can be ranked; clean it first")
    return array


def flat(maps: Mapping[Key, FloatArray]) -> FloatArray:
    """All parts of each sample side by side (N, values)."""
    return np.concatenate([one.reshape(len(one), -1) for one in maps.values()], axis=1)


def within_range(maps: Mapping[Key, FloatArray]) -> dict[Key, FloatArray]:
    """Each sample's maps divided by one power of two, so that sums and squares of the largest values are finite; for what no scale changes.

    >>> within_range({0: np.array([[3e300, -1.5e300]])})[0].tolist() == [[3e300 / 2**999, -1.5e300 / 2**999]]
    True
    """
    largest = np.max([np.abs(one).reshape(len(one), -1).max(axis=1) for one in maps.values()], axis=0)
    _, exponents = np.frexp(largest)
    return {key: np.ldexp(one, -exponents.reshape(-1, *(1,) * (one.ndim - 1))) for key, one in maps.items()}


def rows_at(x: Tensor, rows: Sequence[int]) -> Tensor:
    """The rows of samples, one for each point."""
    return x[torch.tensor(rows, dtype=torch.int64, device=x.device)]


def stretches(rows: Sequence[int]) -> Iterator[tuple[int, slice]]:
    """Where points that follow each other are made of one sample: its row, and their places.

    >>> list(stretches([3, 3, 0]))
    [(3, slice(0, 2, None)), (0, slice(2, 3, None))]
    """
    start = 0
    for row, places in groupby(rows):
        stop = start + sum(1 for _ in places)
        yield row, slice(start, stop)
        start = stop


def rows_of(value: Any, rows: list[int], samples: int) -> Any:
    """The rows of some samples; what has not one row for each is left whole."""
    if isinstance(value, Tensor):
        return value[torch.tensor(rows, device=value.device)] if value.ndim and len(value) == samples else value
    if isinstance(value, np.ndarray):
        return value[rows] if value.ndim and len(value) == samples else value
    return value


def as_read(given: Any, parts: Mapping[Key, Tensor]) -> Any:
    """What was given, with the parts as they were read in place of lists and tables, which cannot be cut into samples.

    >>> as_read([[1.0], [2.0]], {0: torch.tensor([[1.0], [2.0]])}).shape
    torch.Size([2, 1])
    """

    def part(key: Key, value: Any) -> Any:
        if isinstance(value, Tensor | np.ndarray):
            return value
        is_list = isinstance(value, list | tuple) and value and isinstance(value[0], int | float | list | tuple)
        return np.asarray(value) if is_list and key not in parts else parts.get(key, value)

    return _of_each(given, part)


def _of_each(given: Any, part: Callable[[Key, Any], Any]) -> Any:
    if isinstance(given, Mapping):
        return {key: part(key, value) for key, value in given.items()}
    if is_structured(given):
        return tuple(part(key, value) for key, value in enumerate(given))
    return part(0, given)


def with_parts(given: Any, parts: Mapping[Key, Tensor], rows: list[int], samples: int) -> Any:
    """What was given, for some samples, with other values in some parts."""

    def part(key: Key, value: Any) -> Any:
        return parts[key] if key in parts else rows_of(value, rows, samples)

    return _of_each(given, part)
