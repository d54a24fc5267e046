"""Random draws that depend on the seed and on a sample's own values, so that a batch draws what its samples draw alone."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from torch import Tensor

__all__ = ["Seeds", "generator"]


class Seeds(Sequence[int]):
    """A number for each sample, made of its values in single precision: the same alone, in a batch, and in float64.

    They are made when somebody first asks for one, since most metrics draw nothing.

    Args:
        parts: the inputs, by key.

    >>> import torch
    >>> a, b = Seeds({0: torch.tensor([[1.0, 2.0], [3.0, 4.0]])})
    >>> [b] == list(Seeds({0: torch.tensor([[3.0, 4.0]], dtype=torch.float64)})) and a != b
    True
    """

    def __init__(self, parts: Mapping[int | str, Tensor]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return len(next(iter(self._parts.values())))

    @overload
    def __getitem__(self, row: int) -> int: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[int]: ...
    def __getitem__(self, row: int | slice) -> int | Sequence[int]:
        return self._numbers[row]

    @cached_property
    def _numbers(self) -> list[int]:
        arrays = [part.detach().cpu().double().numpy().astype(np.float32) + np.float32(0.0) for part in self._parts.values()]  # no -0.0
        return [zlib.crc32(b"".join(array[row].tobytes() for array in arrays)) for row in range(len(arrays[0]))]


def generator(seed: int, sample: int, use: int = 0) -> np.random.Generator:
    """What a sample draws from.

    Args:
        seed: the user's.
        sample: the sample's number, of ``Seeds``.
        use: what it is drawn for, so that two uses are independent.
    """
    return np.random.default_rng([seed, sample, use])
