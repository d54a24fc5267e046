"""Where a panel is drawn: a box of a page, or axes that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signxai.common.errors import InputError

__all__ = ["AxesLike", "Box", "BoxOfPage", "GivenAxes", "Place", "figure_of", "listed_axes"]

Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, width and height, as fractions of the figure."""

AxesLike: TypeAlias = Axes | Sequence[Axes] | npt.NDArray[np.object_]
"""One axes, or several in order, as ``figure.subplots`` gives them."""


class Place(Protocol):
    """Gives the axes of a panel."""

    @property
    def letters(self) -> float:
        """How large text is, beside that of a page."""

    def whole(self) -> Axes:
        """One for all of it."""

    def rows(self, count: int) -> list[Axes]:
        """Several, from above."""


@dataclass(frozen=True)
class BoxOfPage:
    """A box of a figure that has no axes there yet."""

    figure: Figure
    box: Box
    letters: float = 1.0

    def whole(self) -> Axes:
        return self.figure.add_axes(self.box)

    def rows(self, count: int) -> list[Axes]:
        left, bottom, width, height = self.box
        each = height / count
        return [self.figure.add_axes((left, bottom + height - (row + 1) * each, width, each)) for row in range(count)]


@dataclass(frozen=True)
class GivenAxes:
    """Axes that somebody made; several rows are axes within them, and these are then not seen themselves."""

    axes: Axes
    letters: float = 1.0

    def whole(self) -> Axes:
        return self.axes

    def rows(self, count: int) -> list[Axes]:
        if count == 1:
            return [self.axes]
        self.axes.set_axis_off()
        return [self.axes.inset_axes((0, 1 - (row + 1) / count, 1, 1 / count)) for row in range(count)]


def listed_axes(axes: AxesLike, count: int, what: str) -> list[Axes]:
    """Axes in a list.

    Raises:
        InputError: another number than is needed.

    >>> [len(listed_axes(Figure().subplots(2, 2), 4, "panels"))]
    [4]
    """
    listed = [axes] if isinstance(axes, Axes) else list(np.ravel(np.asarray(axes, dtype=object)))
    if len(listed) != count:
        raise InputError(f"{len(listed)} axes for {count} {what}; give one for each, in order")
    return listed


def figure_of(axes: Axes) -> Figure:
    """The whole figure that axes lie in, whatever parts it has."""
    figure = axes.figure
    while not isinstance(figure, Figure):
        figure = figure.figure
    return figure
