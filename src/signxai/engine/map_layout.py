"""A feature map laid out over the input: its cells in grids along the input's axes, and from there up to the input's size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from signxai.engine.positions import Positions
from signxai.engine.spans import HIGH, LOW, LOWEST, unique_rows

_TOLERANCE = 1e-3
"""Of places in the input, which are counted in its steps."""


class NoMapError(Exception):
    """A tensor is no feature map; the message says why, to be completed by which one it is."""


class NowhereError(NoMapError):
    """None of its values stands at a place of the input."""


@dataclass(frozen=True)
class Line:
    """Cells in a row along one axis of the input: ``count`` of them, ``step`` apart, over the interval from ``low`` to ``high``."""

    count: int
    step: float
    low: float
    high: float

    def weights(self, length: int) -> Tensor:
        """Linear interpolation from the cells' centres to so many steps of the input (length, count); 0 beyond the interval.

        >>> Line(2, 2.0, 0.0, 4.0).weights(4).tolist()
        [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
        """
        steps = torch.arange(length, dtype=torch.float64, device="cpu") + 0.5
        width = self.high - self.low - (self.count - 1) * self.step
        place = ((steps - self.low - width / 2) / self.step).clamp(0, self.count - 1)
        first = place.floor().clamp(max=max(self.count - 2, 0))
        weights = torch.zeros(length, self.count, dtype=torch.float64, device="cpu")
        rows, columns, rest = torch.arange(length, device="cpu"), first.long(), place - first
        weights[rows, columns] = 1 - rest
        if self.count > 1:
            weights[rows, columns + 1] = rest
        return weights * ((steps > self.low) & (steps < self.high))[:, None]


@dataclass(frozen=True)
class Part:
    """The feature map of one image (signal, frame): all that was computed together.

    Attributes:
        features, gradient: (samples, cells, channels); 0 where a cell is missing.
        present: (samples, cells) whether a cell is there.
        lines: the grid of the cells along each axis of the input behind the first.
    """

    features: Tensor
    gradient: Tensor
    present: Tensor
    lines: tuple[Line, ...]

    def spread(self, of_cells: Tensor, shape: Sequence[int]) -> Tensor:
        """One value for each cell (samples, cells), up-sampled linearly to samples of this shape."""
        values = of_cells.view(len(of_cells), *(line.count for line in self.lines))
        for axis, (line, length) in enumerate(zip(self.lines, shape, strict=True), start=1):
            if line != Line(length, 1.0, 0.0, float(length)):
                values = torch.tensordot(values, line.weights(length).to(values), ([axis], [1])).movedim(-1, axis)
        return values


@dataclass(frozen=True)
class Layout:
    """Where the positions of one execution of a layer are.

    Attributes:
        axes: the axes of its output that are positions; the others are channels.
        places: of each position (positions, input axes, 4).
        along: for each axis of the input behind the first, the axes of the output along which it is run through.
    """

    axes: list[int]
    places: Tensor
    along: tuple[tuple[int, ...], ...]

    def rows(self, values: Tensor) -> Tensor:
        """Values of the output as (positions, channels)."""
        rest = [axis for axis in range(values.ndim) if axis not in self.axes]
        return values.permute(*self.axes, *rest).reshape(len(self.places), -1)


def layout_of(positions: Positions, input_features: frozenset[int]) -> Layout:
    """How an output lies over the input.

    Args:
        positions: where its values stand.
        input_features: the axes of the input that are read as channels: positions along them are none.
    """
    for axis in range(len(positions.shape)):
        along = {of_input for of_input in range(len(positions.spans)) if axis in positions.axes_along(of_input)}
        if along and along <= input_features:
            positions = positions.contracted(axis)
    axes, places = positions.places()
    along_each = (tuple(sorted(positions.axes_along(axis))) for axis in range(1, len(positions.spans)))
    return Layout(axes, places, tuple(along_each))


def cells_of(layouts: Sequence[Layout]) -> tuple[Tensor, Tensor]:
    """Which positions of all executions are cells of the map, and all positions (positions, input axes, 4).

    What stands nowhere (class tokens, registers), or for all that others stand for a part of, is no cell.

    Raises:
        NoMapError: if they stand for several samples, or are of different sizes.
    """
    places = torch.cat([layout.places for layout in layouts])
    is_somewhere = (places[:, :, LOW] < math.inf).all(1)
    if not bool(is_somewhere.any()):
        raise NowhereError("none of its values stands at a place of the input")
    boxes, box_of = unique_rows(places[is_somewhere][:, 1:, :2])
    is_least = ~_holds_others(boxes)
    if not _are_whole(boxes[is_least]):
        raise NoMapError("its values stand for parts of the input of different sizes")
    if not _are_made_up(boxes[~is_least], boxes[is_least]):
        raise NoMapError("its values stand for parts of the input that overlap, of different sizes")
    is_cell = is_somewhere.clone()
    is_cell[is_somewhere] = is_least[box_of]
    if bool((places[is_cell][:, 0, HIGH] - places[is_cell][:, 0, LOW] > 1 + _TOLERANCE).any()):
        raise NoMapError("each of its values stands for several samples")
    return is_cell, places


def _holds_others(boxes: Tensor) -> Tensor:
    """Which boxes (boxes, axes, 2) hold another one that is smaller."""
    low, high = boxes.unbind(-1)
    widths = high - low
    is_larger = (widths > widths.amin(0) + _TOLERANCE).any(1)
    holds = torch.zeros(len(boxes), dtype=torch.bool, device="cpu")
    for rows in torch.split(is_larger.nonzero().squeeze(1), _AT_ONCE):
        within = ((low[rows, None] <= low + _TOLERANCE) & (high[rows, None] >= high - _TOLERANCE)).all(2)
        holds[rows] = (within & (widths[rows, None] > widths + _TOLERANCE).any(2)).any(1)
    return holds


_AT_ONCE = 256


def _are_made_up(larger: Tensor, least: Tensor) -> bool:
    """Whether each of some boxes (boxes, axes, 2) reaches from the first to the last of the least ones within it."""
    for box in larger:
        within = least[((least[..., 0] >= box[:, 0] - _TOLERANCE) & (least[..., 1] <= box[:, 1] + _TOLERANCE)).all(1)]
        reach = torch.stack([within[..., 0].amin(0), within[..., 1].amax(0)], 1)
        if bool(((reach - box).abs() > _TOLERANCE).any()):
            return False
    return True


def _are_whole(cells: Tensor) -> bool:
    """Whether cells (cells, axes, 2) are of one size, but for those cut off at the ends, where something was padded."""
    low, high = cells.unbind(-1)
    widths = high - low
    is_end = (low <= low.amin(0) + _TOLERANCE) | (high >= high.amax(0) - _TOLERANCE)
    return bool((is_end | (widths >= widths.amax(0) - _TOLERANCE)).all())


def overlap(one: Tensor, other: Tensor) -> bool:
    """Whether any of the places (positions, input axes, 4) of two executions overlap."""
    a, b = (unique_rows(places[:, :, :2])[0] for places in (one, other))
    common = (a[:, None, :, 0] < b[None, :, :, 1] - _TOLERANCE) & (b[None, :, :, 0] < a[:, None, :, 1] - _TOLERANCE)
    return bool(common.all(2).any())


def parts_of(layouts: Sequence[Layout], values: Sequence[Tensor], gradients: Sequence[Tensor], samples: int) -> list[Part]:
    """A feature map, image by image.

    Args:
        layouts, values, gradients: of each execution of the layer.
        samples: how many samples there are.

    Raises:
        NoMapError: if its values cannot be laid out as grids.
    """
    is_cell, places = cells_of(layouts)
    features = torch.cat([layout.rows(one) for layout, one in zip(layouts, values, strict=True)])
    gradient = torch.cat([layout.rows(one) for layout, one in zip(layouts, gradients, strict=True)])
    places = places[is_cell]
    parts = []
    for rows in _images(places):
        chosen = is_cell.nonzero().squeeze(1)[rows].to(features.device)
        parts.append(_part(places[rows], features[chosen], gradient[chosen], samples))
    return parts


def _images(places: Tensor) -> list[Tensor]:
    """The cells of each image: those that were computed from common parts of the input; of one, if each cell is alone."""
    reach, image_of = unique_rows(places[:, 1:, LOWEST:])
    if len(reach) == 1 or len(reach) == len(unique_rows(places[:, 1:, :2])[0]):
        return [torch.arange(len(places), device="cpu")]
    low, high = reach.unbind(-1)
    touches = ((low[:, None] < high[None] - _TOLERANCE) & (low[None] < high[:, None] - _TOLERANCE)).all(2)
    labels = torch.arange(len(reach), device="cpu")
    for _ in range(len(reach)):
        least = torch.where(touches, labels, len(reach)).amin(1)
        if torch.equal(least, labels):
            break
        labels = least
    return [(labels[image_of] == label).nonzero().squeeze(1) for label in torch.unique(labels)]


def _part(places: Tensor, features: Tensor, gradient: Tensor, samples: int) -> Part:
    """The cells of one image (cells, channels), in a grid."""
    lines, index = [], torch.zeros(len(places), dtype=torch.int64, device="cpu")
    for axis in range(1, places.shape[1]):
        line, numbers = _line(places[:, axis])
        lines.append(line)
        index = index * line.count + numbers
    count = math.prod(line.count for line in lines)
    slots = places[:, 0, LOW].round().long() * count + index
    counts = torch.bincount(slots, minlength=samples * count)
    times = torch.unique(counts[counts > 0])
    if len(times) > 1:
        raise NoMapError("some places of the input have more of its values than others")
    order = torch.argsort(slots, stable=True).to(features.device)
    filled = (counts > 0).to(features.device)

    def in_grid(rows: Tensor) -> Tensor:
        grid = rows.new_zeros(samples * count, int(times) * rows.shape[1])
        grid[filled] = rows[order].reshape(-1, grid.shape[1])
        return grid.view(samples, count, -1)

    return Part(in_grid(features), in_grid(gradient), filled.view(samples, count), tuple(lines))


def _line(places: Tensor) -> tuple[Line, Tensor]:
    """Cells (cells, 4) along one axis as a row, and which of it each is.

    Raises:
        NoMapError: if they do not lie at equal distances.
    """
    low, high = places[:, LOW], places[:, HIGH]
    step, numbers = _numbered(low)
    if numbers is None:
        step, numbers = _numbered(high)
    if numbers is None:
        raise NoMapError("its values do not stand at equal distances")
    count = int(numbers.max()) + 1
    first, last = _rounded(float(low.min())), _rounded(float(high.max()))
    is_tiling = last - first <= count * step + 10 * _TOLERANCE  # or less, where the last is cut off
    return Line(count, (last - first) / count if is_tiling and count > 1 else step, first, last), numbers


def _numbered(places: Tensor) -> tuple[float, Tensor | None]:
    """The distance between places that lie equally far apart, and their numbers; no numbers if they do not."""
    gaps = torch.unique(places).diff()
    gaps = gaps[gaps > _TOLERANCE]
    step = float(gaps.min()) if len(gaps) else 1.0
    numbers = (places - places.min()) / step
    is_even = not bool(((numbers - numbers.round()).abs() > 10 * _TOLERANCE).any())
    return step, numbers.round().long() if is_even else None


def _rounded(place: float) -> float:
    return float(round(place)) if abs(place - round(place)) < _TOLERANCE else place
