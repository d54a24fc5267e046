"""Where values stand along one axis of the input: an interval for each, kept as codes of a table of those that occur."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LOW, HIGH, LOWEST, HIGHEST = range(4)
"""The columns of a table: where a value stands, and the least interval that holds all it was computed from."""

NOWHERE = (math.inf, -math.inf, math.inf, -math.inf)

_SIGNS = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64, device="cpu")


class CannotFollowError(Exception):
    """Nobody can tell where the result of an operation stands; the message says which."""


@dataclass(frozen=True)
class Spans:
    """Along one axis of the input, the interval at which each value stands.

    Attributes:
        codes: rows of ``table`` (int64), of the tensor's axes; an axis along which nothing changes has length 1.
        table: (rows, 4): low, high, and the same of all that it was computed from; row 0 is nowhere, as of constants.
    """

    codes: Tensor
    table: Tensor

    def values(self) -> Tensor:
        """The intervals (..., 4)."""
        return self.table[self.codes]


def unique_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """The different ones among values along the first axis, and which of them each is."""
    rows, numbers = torch.unique(values, dim=0, return_inverse=True)
    return rows, numbers


def spans_of(values: Tensor) -> Spans:
    """Intervals (..., 4) as codes."""
    rows, codes = unique_rows(values.reshape(-1, 4).mul(2**20).round().div(2**20))
    is_nowhere = rows[:, LOW] == math.inf
    codes = torch.where(is_nowhere[codes], 0, codes + 1).view(values.shape[:-1])
    return Spans(compact(codes), torch.cat([rows.new_tensor([NOWHERE]), rows]))


def compact(codes: Tensor) -> Tensor:
    """The codes with length 1 along each axis along which they are the same; the last is the likeliest."""
    for axis in reversed(range(codes.ndim)):
        if codes.shape[axis] > 1:
            first = codes.narrow(axis, 0, 1)
            if torch.equal(first, codes.narrow(axis, -1, 1)) and bool((codes == first).all()):
                codes = first
    return codes


_MOST_COUNTED = 1 << 22
"""Up to so many numbers, those that occur are found by marking them; sorting takes longer."""


def _occurring(numbers: Tensor, bound: int) -> tuple[Tensor, Tensor]:
    """The different ones among numbers from 0 to below a bound, in order, and which of them each is."""
    if bound > _MOST_COUNTED:
        found, places = torch.unique(numbers, return_inverse=True)
        return found, places
    is_there = torch.zeros(bound, dtype=torch.bool, device="cpu")
    is_there[numbers.reshape(-1)] = True
    return is_there.nonzero().squeeze(1), (is_there.long().cumsum(0) - 1)[numbers]


def sum_over(spans: Spans, axes: Sequence[int]) -> Spans:
    """Where sums over axes stand, which are kept with length 1: at the least intervals that hold all that was summed.

    Of channels that were shifted against each other, or of which parts were set to a number, they stand where those do that were not;
    channels that stand for all that others stand for a part of count as little as in a sum of two tensors.

    Raises:
        CannotFollowError: if they are shifted, and none stays in its place.
    """
    whole = _hull_of(spans, axes)
    codes = spans.codes.movedim(tuple(axes), tuple(range(len(axes)))).flatten(0, len(axes) - 1)
    shape = [1 if axis in axes else length for axis, length in enumerate(spans.codes.shape)]
    if codes[0].numel() == 1:
        return whole
    rows = torch.unique(codes.flatten(1), dim=0)
    if not 1 < len(rows) <= _MOST_ROWS:
        return whole
    rows = _least_rows(rows, spans.table)
    row = rows[0] if len(rows) == 1 else _whole_row(rows, spans.table, shape)
    if row is not None:
        places = spans.table[row].view(*shape, 4)
    elif len(rows) < len(codes):
        places = hull(spans.table[rows].view(len(rows), *shape, 4), (0,)).squeeze(0)
    else:
        return whole
    return spans_of(torch.cat([places[..., :2], whole.values()[..., 2:].expand(*shape, 2)], -1))


_MOST_ROWS = 64
"""Channels that differ in where they stand are few; where there are more, they are no channels."""


def _least_rows(rows: Tensor, table: Tensor) -> Tensor:
    """The rows of codes (rows, places) that do not stand, at each place, for all that another one stands for a part of."""
    values = table[rows]
    low, high = values[..., LOW], values[..., HIGH]
    is_kept = torch.ones(len(rows), dtype=torch.bool, device="cpu")
    for index in range(len(rows)):
        is_within = (low >= low[index]) & (high <= high[index]) & (rows > 0) & (rows[index] > 0)
        is_less = ((low > low[index]) | (high < high[index])).any(1)
        is_kept[index] = not bool((is_within.all(1) & is_less).any())
    return rows[is_kept]


def _whole_row(rows: Tensor, table: Tensor, shape: Sequence[int]) -> Tensor | None:
    """Of rows of codes, shifted against each other, one that is not: at all places that occur. None if there is none.

    Raises:
        CannotFollowError: if there are several.
    """
    places = torch.unique(rows)
    places = places[places > 0]
    if not 0 < len(places) <= rows.shape[1]:
        return None
    is_there = torch.zeros(len(rows), len(table), dtype=torch.bool, device="cpu").scatter_(1, rows, True)
    whole = rows[is_there[:, places].all(1)]
    if not len(whole):
        return _in_order(rows, places, table)
    gaps = (whole == 0).sum(1)
    whole = whole[gaps == gaps.min()]
    along = {tuple(sorted(changing_axes(table[row].view(*shape, 4)[..., :2]))) for row in whole}
    leaps = (table[whole][..., LOW].diff(dim=1).abs() * ((whole[:, 1:] > 0) & (whole[:, :-1] > 0))).nan_to_num().sum(1)
    whole = whole[leaps <= leaps.min() + 1e-6]
    filled = whole.amax(0)  # gaps of one may be filled by another
    if len(along) > 1 or not bool(((whole == filled) | (whole == 0)).all()):
        raise CannotFollowError("a sum of channels that are laid out otherwise against each other, of which none tells where it lies")
    return filled


def _in_order(rows: Tensor, places: Tensor, table: Tensor) -> Tensor | None:
    """As many places as rows are long, in the order in which all rows run through them."""
    low = table[rows][..., LOW]
    steps = low.diff(dim=1)[(rows[:, 1:] > 0) & (rows[:, :-1] > 0)]
    if len(places) != rows.shape[1] or not (bool((steps > 0).all()) or bool((steps < 0).all())):
        return None
    return places[table[places, LOW].argsort(descending=bool((steps < 0).any()))]


def _hull_of(spans: Spans, axes: Sequence[int]) -> Spans:
    """The least intervals that hold those along axes, which are kept with length 1."""
    columns = [torch.unique(spans.table[:, column], return_inverse=True) for column in range(4)]
    numbers = torch.zeros((), dtype=torch.int64, device="cpu")
    bound = 1
    for column, (found, ranks) in enumerate(columns):
        of_values = ranks[spans.codes]
        least = of_values.amin(tuple(axes), keepdim=True) if column in (LOW, LOWEST) else of_values.amax(tuple(axes), keepdim=True)
        numbers, bound = numbers * len(found) + least, bound * len(found)
    different, codes = _occurring(numbers, bound)
    rows = different.new_empty(len(different), 4).double()
    for column, (found, _) in reversed(list(enumerate(columns))):
        rows[:, column] = found[different % len(found)]
        different = different // len(found)
    return normal(codes + 1, torch.cat([spans.table[:1], rows]))


def normal(codes: Tensor, table: Tensor) -> Spans:
    """Codes of a table in which rows may be alike, nowhere also elsewhere than at 0, without that."""
    rows, numbers = unique_rows(table)
    is_nowhere = rows[:, LOW] == math.inf
    numbers = torch.where(is_nowhere[numbers], 0, numbers + 1)
    return Spans(compact(numbers[codes]), torch.cat([table.new_tensor([NOWHERE]), rows]))


def changing_axes(values: Tensor) -> set[int]:
    """The axes of values (..., 2) along which they are not all the same."""
    changing = [axis for axis, length in enumerate(values.shape[:-1]) if length > 1]
    return {axis for axis in changing if not torch.equal(values, values.narrow(axis, 0, 1).expand_as(values))}


def hull(values: Tensor, axes: Sequence[int]) -> Tensor:
    """The least intervals that hold those along axes, which are kept with length 1."""
    signs = _SIGNS.to(values)
    return (values * signs).amin(tuple(axes), keepdim=True) * signs


def cells(values: Tensor, length: int) -> Tensor:
    """Intervals along the second last axis (..., before, 4), divided among so many cells (..., length, 4)."""
    whole = hull(values, (-2,))
    size = values.shape[-2]
    if size == length:
        low, high = values[..., :2].unbind(-1)
    elif _is_tiling(values):
        edges = torch.linspace(0, 1, length + 1, dtype=values.dtype, device="cpu")
        start = whole[..., LOW]
        width = (whole[..., HIGH] - start).masked_fill(start == math.inf, 0)
        low, high = start + width * edges[:-1], start + width * edges[1:]
        high = high.masked_fill(start == math.inf, -math.inf)
    elif _is_tiling(values.flip(-2)):
        return cells(values.flip(-2), length).flip(-2)
    elif size % length and length % size:
        raise CannotFollowError("windows over values that do not stand in a row")
    else:
        borders = [(place * size // length, -((-(place + 1) * size) // length)) for place in range(length)]
        parts = torch.cat([hull(values[..., first:last, :], (-2,)) for first, last in borders], -2)
        low, high = parts[..., :2].unbind(-1)
    return torch.cat([torch.stack([low, high], -1), whole[..., 2:].expand(*low.shape, 2)], -1)


def _is_tiling(values: Tensor) -> bool:
    """Whether intervals along the second last axis follow upon each other, but for places at the ends that are nowhere."""
    low, high = values[..., LOW], values[..., HIGH]
    is_somewhere = low < math.inf
    follows = (low[..., 1:] - high[..., :-1]).abs() < 1e-5
    both = is_somewhere[..., 1:] & is_somewhere[..., :-1]
    starts = (is_somewhere[..., 1:] & ~is_somewhere[..., :-1]).sum(-1) + is_somewhere[..., 0]
    return bool((follows | ~both).all()) and bool((starts <= 1).all())


def between_padding(is_padding: Tensor) -> tuple[int, int]:
    """Where padding at the ends stops; what stands between values at equal distances, as behind each that zeros spread, is none."""
    places = (~is_padding).nonzero().flatten()
    if not len(places):
        return 0, len(is_padding)
    steps = torch.unique(places.diff())
    return int(places[0]), min(int(places[-1]) + (int(steps[0]) if len(steps) == 1 else 1), len(is_padding))


def stands_nowhere(spans: Spans, axis: int) -> Tensor:
    """Where along an axis all values stand nowhere."""
    return (spans.codes == 0).movedim(axis, 0).flatten(1).all(1)


def stands_where_the_last_does(spans: Spans, axis: int) -> Tensor:
    """Where along an axis, from the second place on, all values stand at the places of those in front of them."""
    codes = spans.codes.movedim(axis, 0).flatten(1)
    return (codes[1:] == codes[:-1]).all(1)


def stands_for_all(spans: Spans, axis: int) -> Tensor:
    """Where along an axis no value stands for less than all that others stand for a part of each."""
    is_used = torch.zeros(len(spans.table), dtype=torch.bool, device="cpu")
    is_used[spans.codes.reshape(-1)] = True
    is_used &= spans.table[:, LOW] < math.inf
    whole = hull(spans.table[is_used], (0,)) if bool(is_used.any()) else spans.table[:1]
    is_all = (spans.table[:, LOW] <= whole[:, LOW]) & (spans.table[:, HIGH] >= whole[:, HIGH])
    if not bool((is_used & ~is_all).any()):
        return torch.zeros(spans.codes.shape[axis], dtype=torch.bool, device="cpu")
    is_all[0] = True  # nowhere is no part of it
    return is_all[spans.codes].movedim(axis, 0).flatten(1).all(1)


def without_copies(changing: Sequence[Spans], axis: int) -> tuple[int, int]:
    """Where along an axis each place occurs in its turn, in front of and behind which are copies of them, as padding repeats or mirrors.

    Args:
        changing: the intervals that change along the axis.
        axis: the axis; the whole of it, if what stands beside the core is no padding.
    """
    length = changing[0].codes.shape[axis]
    places = torch.unique(torch.stack([_numbers_along(spans.codes, axis) for spans in changing], 1), dim=0, return_inverse=True)[1]
    count = int(places.max()) + 1
    if 1 < count < length < 3 * count:
        order = torch.argsort(places, stable=True)
        before = torch.full((length,), -1, device="cpu")  # where the same place occurred last
        before[order[1:]] = torch.where(places[order[1:]] == places[order[:-1]], order[:-1], -1)
        starts = torch.arange(length - count + 1, device="cpu")
        is_core = (before.unfold(0, count, 1).amax(1) < starts) & (starts < count) & (length - count - starts < count)
        for first in is_core.nonzero().flatten().tolist():
            if all(_is_tiling(_values_along(spans, axis, first, count)) for spans in changing):
                return first, first + count
    return 0, length


def _numbers_along(codes: Tensor, axis: int) -> Tensor:
    """Numbers for what stands along an axis, the same where the same does."""
    numbers: Tensor = torch.unique(codes.movedim(axis, 0).flatten(1), dim=0, return_inverse=True)[1]
    return numbers


def _values_along(spans: Spans, axis: int, first: int, count: int) -> Tensor:
    """A part of the intervals along an axis, in their rising order."""
    values = spans.table[spans.codes.narrow(axis, first, count)].movedim(axis, -2)
    is_falling = bool((values[..., -1, LOW] < values[..., 0, LOW]).any())
    return values.flip(-2) if is_falling else values


def merged_spans(one: Spans, two: Spans) -> tuple[Spans, bool]:
    """The intervals of values computed from two, and whether everywhere one interval is within the other."""
    if one.table.shape == two.table.shape and torch.equal(one.table, two.table) and torch.equal(one.codes, two.codes):
        return one, True
    pairs, codes = _occurring(one.codes * len(two.table) + two.codes, len(one.table) * len(two.table))
    a, b = one.table[pairs // len(two.table)], two.table[pairs % len(two.table)]
    hull = torch.stack([torch.minimum(a[:, 0], b[:, 0]), torch.maximum(a[:, 1], b[:, 1])], 1)
    nowhere_a, nowhere_b = a[:, LOW] == math.inf, b[:, LOW] == math.inf
    a_within = (nowhere_b | ((a[:, LOW] >= b[:, LOW]) & (a[:, HIGH] <= b[:, HIGH]))) & ~nowhere_a
    b_within = (nowhere_a | ((b[:, LOW] >= a[:, LOW]) & (b[:, HIGH] <= a[:, HIGH]))) & ~nowhere_b
    is_within = bool((a_within | b_within | (nowhere_a & nowhere_b)).all())
    places = torch.where(a_within[:, None], a[:, :2], torch.where(b_within[:, None], b[:, :2], hull))
    if not is_within and _run_alike(one, two):
        wider, narrower, is_empty = (b, a, nowhere_b) if _extent(two) > _extent(one) else (a, b, nowhere_a)
        places = torch.where(is_empty[:, None], narrower[:, :2], wider[:, :2])
    reach = torch.stack([torch.minimum(a[:, 2], b[:, 2]), torch.maximum(a[:, 3], b[:, 3])], 1)
    return normal(codes + 1, torch.cat([one.table[:1], torch.cat([places, reach], 1)])), is_within


def _run_alike(one: Spans, two: Spans) -> bool:
    """Whether both run along one axis of the tensor in the same direction, if not in step: as behind a window without padding."""
    axes = [axis for axis, lengths in enumerate(zip(one.codes.shape, two.codes.shape, strict=True)) if min(lengths) > 1]
    directions = [_direction(spans, axes[0]) for spans in (one, two)] if len(axes) == 1 else [0]
    return directions in ([1, 1], [-1, -1])


def _direction(spans: Spans, axis: int) -> int:
    """1 if places rise along an axis of the tensor, -1 if they fall, 0 if they do neither."""
    low = spans.values()[..., LOW].movedim(axis, -1)
    steps = (low[..., 1:] - low[..., :-1])[(low[..., 1:] < math.inf) & (low[..., :-1] < math.inf)]
    return 1 if bool((steps > 0).all()) else -1 if bool((steps < 0).all()) else 0


def _extent(spans: Spans) -> float:
    """How much of the axis of the input is stood at, from the first place to the last."""
    used = spans.table[torch.unique(spans.codes)]
    used = used[used[:, LOW] < math.inf]
    return float(used[:, HIGH].max() - used[:, LOW].min()) if len(used) else 0.0
