"""What a task is: a pattern is planted into noise, and taken out again, so that it is known what decides the class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Shape: TypeAlias = "tuple[int, ...]"


@dataclass(frozen=True)
class Planted:
    """Samples of a task, each in all of its states.

    Attributes:
        states: (N, 1 + removals, 2, 1, ...): with the cause, and with each of its removals in turn; of each as it is, and without (or
            with a changed) thing beside the cause. ``states[:, 0, 0]`` is what is explained.
        causes: True where each part of the cause lies (N, parts, ...).
        beside: True where the thing beside the cause lies (N, ...).
    """

    states: npt.NDArray[np.float32]
    causes: BoolArray
    beside: BoolArray

    @property
    def x(self) -> npt.NDArray[np.float32]:
        """What is explained (N, 1, ...)."""
        return self.states[:, 0, 0]

    @property
    def inside(self) -> BoolArray:
        """True where any part of the cause lies (N, ...)."""
        return np.asarray(self.causes.any(axis=1))

    def __getitem__(self, rows: Any) -> Planted:
        return Planted(self.states[rows], self.causes[rows], self.beside[rows])


@dataclass(frozen=True)
class Task:
    """A question whose answer is known.

    Attributes:
        name: as tables call it.
        kind: "picture" or "signal".
        cause: what decides the class, in a sentence.
        removal: how it is taken out, which must turn the class over.
        beside: what else is changed, which must not.
        draw: one sample.
        margin: how far from the cause its surroundings reach, in pixels or samples.
        accompanies: how often the thing beside stands there with the cause, and without, in training.
        ignores: train until the network does not heed the thing beside at all.
    """

    name: str
    kind: str
    cause: str
    removal: str
    beside: str
    draw: Callable[[np.random.Generator], Planted]
    margin: int
    accompanies: tuple[float, float] = (0.5, 0.5)
    ignores: bool = False


def planted(
    ground: FloatArray,
    causes: Sequence[FloatArray],
    beside: Sequence[FloatArray],
    where: Sequence[BoolArray],
    where_beside: BoolArray,
) -> Planted:
    """One sample: a ground to which layers are added.

    Args:
        ground: all that stays (...).
        causes: the layer of the cause, and what stands in its place after each of its removals.
        beside: the layer of the thing beside, and what stands in its place when it is changed.
        where: True where each part of the cause lies.
        where_beside: True where the thing beside lies.
    """
    states = np.stack([np.stack([ground + own + other for other in beside]) for own in causes])
    return Planted(states[None, :, :, None].astype(np.float32), np.stack(where)[None], where_beside[None])


def drawn(task: Task, count: int, draw: np.random.Generator) -> Planted:
    """So many samples of a task, one after the other."""
    found = [task.draw(draw) for _ in range(count)]
    return Planted(*(np.concatenate([getattr(one, name) for one in found]) for name in ("states", "causes", "beside")))


def apart(draw: np.random.Generator, sizes: Sequence[Shape], space: Shape) -> list[Shape]:
    """The first corner of each box, drawn so that no two boxes touch and all lie within the space."""
    while True:
        corners = [tuple(int(draw.integers(0, whole - own + 1)) for whole, own in zip(space, size, strict=True)) for size in sizes]
        boxes = list(zip(corners, sizes, strict=True))
        if not any(_touch(one, other) for place, one in enumerate(boxes) for other in boxes[:place]):
            return corners


def _touch(one: tuple[Shape, Shape], other: tuple[Shape, Shape]) -> bool:
    return all(a <= b + size_b and b <= a + size_a for a, size_a, b, size_b in zip(*one, *other, strict=True))


def layer(space: Shape, corner: Shape, values: FloatArray) -> FloatArray:
    """A layer of zeros with these values at a corner."""
    found = np.zeros(space)
    found[box_of(corner, values.shape)] = values
    return found


def within(space: Shape, corner: Shape, size: Shape) -> BoolArray:
    """True within a box."""
    found = np.zeros(space, dtype=bool)
    found[box_of(corner, size)] = True
    return found


def box_of(corner: Shape, size: Shape) -> tuple[slice, ...]:
    """A box as an index."""
    return tuple(slice(start, start + length) for start, length in zip(corner, size, strict=True))
