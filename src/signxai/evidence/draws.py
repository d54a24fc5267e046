"""Random draws that depend on the seed and on a sample's own values, so that a batch draws what its samples draw alone."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from torch import Tensor

__all__ = ["generator", "seeds_of"]


def seeds_of(parts: Mapping[int | str, Tensor]) -> list[int]:
    """A number for each sample, made of its values in single precision: the same alone, in a batch, and in float64.

    >>> import torch
    >>> a, b = seeds_of({0: torch.tensor([[1.0, 2.0], [3.0, 4.0]])})
    >>> [b] == seeds_of({0: torch.tensor([[3.0, 4.0]], dtype=torch.float64)}) and a != b
    True
    """
    arrays = [part.detach().cpu().double().numpy().astype(np.float32) + np.float32(0.0) for part in parts.values()]  # no -0.0
    return [zlib.crc32(b"".join(array[row].tobytes() for array in arrays)) for row in range(len(arrays[0]))]


def generator(seed: int, sample: int, use: int = 0) -> np.random.Generator:
    """What a sample draws from.

    Args:
        seed: the user's.
        sample: the sample's number, of ``seeds_of``.
        use: what it is drawn for, so that two uses are independent.
    """
    return np.random.default_rng([seed, sample, use])
