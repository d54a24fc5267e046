"""Means of maps of one length over the entries of a class or a cluster, how typical each entry is, and the scale that all maps share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Means", "Scale", "lengths_of", "most_and_least"]

Array = npt.NDArray[Any]

_IN_MEMORY = 1 << 28
_PER_BLOCK = 1 << 14
_BLOCKS = 64
_PERCENTILE = 99.0


def lengths_of(parts: Sequence[Array]) -> Array:
    """The length (L2) of each of n maps, with all its parts (n, ...); of a map that is 0, 1, so that anything can be divided by it.

    >>> lengths_of([np.array([[3.0], [0.0]]), np.array([[4.0], [0.0]])])
    array([5., 1.])
    """
    rows = np.concatenate([part.reshape(len(part), -1).astype(np.float64) for part in parts], axis=1)
    largest = np.abs(rows).max(1, initial=0)
    largest = np.where(largest > 0, largest, 1)  # squares of very large and very small numbers are no floats
    lengths = np.linalg.norm(rows / largest[:, None], axis=1) * largest
    return np.asarray(np.where(lengths > 0, lengths, 1))


class Means:
    """Means of planes, or of inputs, over groups of entries, of which one block is seen at a time.

    Args:
        groups: of each entry the number of its group (n,); -1: of none.
        count: of groups.
        shape: of what is averaged.
        folder: where sums lie that are too large for memory.

    >>> means = Means(np.array([0, 1, 0]), 2, (1, 2), Path())
    >>> means.add(slice(0, 3), np.array([[[1.0, 0.0]], [[5.0, 5.0]], [[3.0, 0.0]]]))
    >>> means.of(0).tolist()
    [[2.0, 0.0]]
    >>> means.without(1).tolist()
    [[2.0, 0.0]]
    """

    def __init__(self, groups: Array, count: int, shape: tuple[int, ...], folder: Path) -> None:
        self._groups = groups
        self._counts = np.bincount(groups[groups >= 0], minlength=count)
        self._sums: Array = _zeros((count, *shape), folder)

    def add(self, block: slice, planes: Array) -> None:
        """Take in the planes of the entries of a block."""
        groups = self._groups[block]
        for group in np.unique(groups[groups >= 0]):
            self._sums[group] += planes[groups == group].sum(0, dtype=np.float64)

    def of(self, group: int) -> Array:
        """The mean of a group; of an empty one, 0."""
        return np.asarray(self._sums[group] / max(1, int(self._counts[group])))

    def without(self, group: int) -> Array:
        """The mean of all that are in another group; 0 where none is."""
        others = np.arange(len(self._counts)) != group
        return np.asarray(self._sums[others].sum(0) / max(1, int(self._counts[others].sum())))

    def products(self, block: slice, planes: Array) -> tuple[Array, Array, Array]:
        """Of each plane its product with the mean of its group, and the squared lengths of both (n,)."""
        groups = self._groups[block]
        found = [self._product(int(group), plane.astype(np.float32)) for group, plane in zip(groups, planes, strict=True)]
        columns = np.array(found).reshape(-1, 3)
        return columns[:, 0], columns[:, 1], columns[:, 2]

    def _product(self, group: int, plane: Array) -> tuple[float, float, float]:
        mean = self.of(group)
        return float((plane * mean).sum()), float((plane**2).sum()), float((mean**2).sum())


def _zeros(shape: tuple[int, ...], folder: Path) -> Array:
    size = 8 * int(np.prod(shape))
    if size <= _IN_MEMORY:
        return np.zeros(shape)
    number = len(list(folder.glob("sums-*")))
    return np.memmap(folder / f"sums-{number}", dtype=np.float64, mode="w+", shape=shape)


@dataclass
class Scale:
    """Where the colours of a method's maps end: at the 99th percentile of |R| over the points of blocks from the first to the last.

    Attributes:
        blocks: how many there are in all; of more than 64, so many are looked at.

    >>> scale = Scale(blocks=1)
    >>> scale.add(0, np.array([0.0, -2.0]))
    >>> round(scale.end, 6)
    1.98
    """

    blocks: int
    _seen: list[Array] = field(default_factory=list)

    def add(self, number: int, planes: Array) -> None:
        """Take in the points of a block, if it is one of those that are looked at."""
        if number % -(-self.blocks // _BLOCKS) == 0:
            strength = np.abs(planes).ravel()
            self._seen.append(strength[:: -(-len(strength) // _PER_BLOCK)].astype(np.float64))

    @property
    def end(self) -> float:
        """The largest value that has a colour of its own; 1 where all maps are 0."""
        seen = np.concatenate(self._seen).astype(np.float64)
        return float(np.percentile(seen, _PERCENTILE)) or float(seen.max()) or 1.0


def most_and_least(typicality: Array, places: Sequence[int] | Array, count: int = 4) -> tuple[list[int], list[int]]:
    """The entries of a class that are most and least like its mean, each once; those without a similarity are neither.

    >>> most_and_least(np.array([0.1, 0.9, np.nan, 0.5]), [0, 1, 2, 3], count=2)
    ([1, 3], [0])
    """
    known = [int(place) for place in places if np.isfinite(typicality[place])]
    order = sorted(known, key=lambda place: (-typicality[place], place))
    return order[:count], order[count:][-count:][::-1]
