"""Where in the input the values of a tensor stand: an interval of each axis of the input for each value.

At the input each value stands at itself. Operations that move values move their positions with them, sums over an axis stand at all
that was summed, a convolution divides what it reads among its cells. ``following`` has a rule for each operation; here is
what the rules are made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

LOW, HIGH, LOWEST, HIGHEST = range(4)
"""The columns of a table: where a value stands, and the least interval that holds all it was computed from."""

_NOWHERE = (math.inf, -math.inf, math.inf, -math.inf)
_SIGNS = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64, device="cpu")


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


def _spans(values: Tensor) -> Spans:
    """Intervals (..., 4) as codes."""
    rows, codes = unique_rows(values.reshape(-1, 4).mul(2**20).round().div(2**20))
    is_nowhere = rows[:, LOW] == math.inf
    codes = torch.where(is_nowhere[codes], 0, codes + 1).view(values.shape[:-1])
    return Spans(_compact(codes), torch.cat([rows.new_tensor([_NOWHERE]), rows]))


def _compact(codes: Tensor) -> Tensor:
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
    return _normal(codes + 1, torch.cat([spans.table[:1], rows]))


def _normal(codes: Tensor, table: Tensor) -> Spans:
    """Codes of a table in which rows may be alike, nowhere also elsewhere than at 0, without that."""
    rows, numbers = unique_rows(table)
    is_nowhere = rows[:, LOW] == math.inf
    numbers = torch.where(is_nowhere[numbers], 0, numbers + 1)
    return Spans(_compact(numbers[codes]), torch.cat([table.new_tensor([_NOWHERE]), rows]))


@dataclass(frozen=True)
class Positions:
    """Where the values of a tensor stand along each axis of the input.

    Attributes:
        shape: of the tensor.
        spans: one for each axis of the input.
        other: of a product of two signals that stand at different places, as queries and keys: where the second stands.
        has_tokens: some of those that are nowhere are learned, or not all of one number: rather tokens than padding.
    """

    shape: tuple[int, ...]
    spans: tuple[Spans, ...]
    other: Positions | None = None
    has_tokens: bool = False

    @staticmethod
    def of_input(shape: Sequence[int]) -> Positions:
        """Each value at itself.

        >>> Positions.of_input((2, 3)).spans[1].values()[0, :, :2].tolist()
        [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]
        """
        spans = []
        for axis, length in enumerate(shape):
            low = torch.arange(length, dtype=torch.float64, device="cpu").view(*(-1 if other == axis else 1 for other in range(len(shape))))
            spans.append(_spans(torch.stack([low, low + 1, low, low + 1], -1)))
        return Positions(tuple(shape), tuple(spans))

    def each(self, change: Callable[[Spans], Spans], shape: Sequence[int]) -> Positions:
        """The positions, changed alike along each axis of the input."""
        other = None if self.other is None else self.other.each(change, shape)
        return _settled(replace(self, shape=tuple(shape), spans=tuple(map(change, self.spans)), other=other))

    def contracted(self, *axes: int) -> Positions:
        """Behind a sum over axes, which are kept with length 1: at all that was summed."""
        axes = tuple(axis % len(self.shape) for axis in axes)
        shape = tuple(1 if axis in axes else length for axis, length in enumerate(self.shape))

        def change(spans: Spans) -> Spans:
            kept = [axis for axis in axes if spans.codes.shape[axis] > 1]
            return _hull_of(spans, kept) if kept else spans

        return self.each(change, shape)

    def widened(self, axis: int, length: int) -> Positions:
        """The same with another length of an axis along which nothing changes."""
        shape = list(self.shape)
        shape[axis] = length
        return self.each(lambda spans: spans, shape)

    def stretched(self, axis: int, length: int) -> Positions:
        """Behind an operation of a window along an axis, which divides what it reads among so many cells.

        Padding in front of it is the operation's own: it has no part in what is divided.
        """
        axis %= len(self.shape)

        def change(spans: Spans) -> Spans:
            if spans.codes.shape[axis] == 1:
                return spans
            return _spans(_cells(spans.values().movedim(axis, -2), length).movedim(-2, axis))

        inner = self._without_padding(axis, keeps_tokens=self.shape[axis] == length)
        return inner.widened_by(change, axis, length)

    def _without_padding(self, axis: int, keeps_tokens: bool) -> Positions:
        """The part along an axis between what was padded at its ends: constants, or copies of what stands in between.

        Args:
            axis: the axis.
            keeps_tokens: what is learned, or stands for all, remains beside the others.
        """
        changing = self._spans_along(axis)
        if not changing or (keeps_tokens and self.has_tokens):
            return self
        is_nowhere = torch.stack([_stands_nowhere(spans, axis) for spans in changing]).all(0)
        is_for_all = torch.stack([_stands_for_all(spans, axis) for spans in changing]).any(0) & (not keeps_tokens)
        inner = self._part(axis, *_between_padding(is_nowhere | is_for_all))
        changing = inner._spans_along(axis)
        return inner._part(axis, *_without_copies(changing, axis)) if changing else inner

    def _spans_along(self, axis: int) -> list[Spans]:
        """Those that change along an axis."""
        every = [*self.spans, *(self.other.spans if self.other is not None else ())]
        return [spans for spans in every if spans.codes.shape[axis] > 1]

    def _part(self, axis: int, first: int, last: int) -> Positions:
        """From one place along an axis to in front of another."""

        def change(spans: Spans) -> Spans:
            is_whole = spans.codes.shape[axis] in (1, last - first)
            return spans if is_whole else Spans(_compact(spans.codes.narrow(axis, first, last - first)), spans.table)

        return self.widened_by(change, axis, last - first)

    def widened_by(self, change: Callable[[Spans], Spans], axis: int, length: int) -> Positions:
        """The positions, changed alike, with another length of an axis."""
        shape = list(self.shape)
        shape[axis] = length
        return self.each(change, shape)

    def mixed_along(self, *axes: int) -> Positions:
        """Behind an operation after which each value depends on all along these axes."""
        return merged([self, self.contracted(*axes)], self.shape)

    def places(self) -> tuple[list[int], Tensor]:
        """The axes of the tensor along which its values stand at different places, and where (places, input axes, 4)."""
        single = self if self.other is None else merged([replace(self, other=None), self.other], self.shape)
        axes = sorted(set().union(*(_changing(spans.values()[..., :2]) for spans in single.spans)))
        rest = [axis for axis in range(len(self.shape)) if axis not in axes]
        lengths = [self.shape[axis] for axis in axes]
        columns = [_hull(spans.values(), rest).squeeze(rest).expand(*lengths, 4).reshape(-1, 4) for spans in single.spans]
        return axes, torch.stack(columns, 1)

    def axes_along(self, of_input: int) -> set[int]:
        """The axes of the tensor along which its values stand at different places of an axis of the input."""
        places = self.spans[of_input].values()[..., :2]
        is_nowhere = places[..., :1] == math.inf
        least, most = (places.masked_fill(is_nowhere, fill) for fill in (math.inf, -math.inf))
        lengths = enumerate(places.shape[:-1])
        return {axis for axis, length in lengths if length > 1 and bool((least.amin(axis) < most.amax(axis)).any())}


def _changing(values: Tensor) -> set[int]:
    """The axes of values (..., 2) along which they are not all the same."""
    changing = [axis for axis, length in enumerate(values.shape[:-1]) if length > 1]
    return {axis for axis in changing if not torch.equal(values, values.narrow(axis, 0, 1).expand_as(values))}


def _hull(values: Tensor, axes: Sequence[int]) -> Tensor:
    """The least intervals that hold those along axes, which are kept with length 1."""
    signs = _SIGNS.to(values)
    return (values * signs).amin(tuple(axes), keepdim=True) * signs


def _cells(values: Tensor, length: int) -> Tensor:
    """Intervals along the second last axis (..., before, 4), divided among so many cells (..., length, 4)."""
    whole = _hull(values, (-2,))
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
        return _cells(values.flip(-2), length).flip(-2)
    else:
        borders = [(place * size // length, -((-(place + 1) * size) // length)) for place in range(length)]
        parts = torch.cat([_hull(values[..., first:last, :], (-2,)) for first, last in borders], -2)
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


def _between_padding(is_padding: Tensor) -> tuple[int, int]:
    """Where padding at the ends stops; what stands between values at equal distances, as behind each that zeros spread, is none."""
    places = (~is_padding).nonzero().flatten()
    if not len(places):
        return 0, len(is_padding)
    steps = torch.unique(places.diff())
    return int(places[0]), min(int(places[-1]) + (int(steps[0]) if len(steps) == 1 else 1), len(is_padding))


def _stands_nowhere(spans: Spans, axis: int) -> Tensor:
    """Where along an axis all values stand nowhere."""
    return (spans.codes == 0).movedim(axis, 0).flatten(1).all(1)


def _stands_for_all(spans: Spans, axis: int) -> Tensor:
    """Where along an axis no value stands for less than all that others stand for a part of each."""
    is_used = torch.zeros(len(spans.table), dtype=torch.bool, device="cpu")
    is_used[spans.codes.reshape(-1)] = True
    is_used &= spans.table[:, LOW] < math.inf
    whole = _hull(spans.table[is_used], (0,)) if bool(is_used.any()) else spans.table[:1]
    is_all = (spans.table[:, LOW] <= whole[:, LOW]) & (spans.table[:, HIGH] >= whole[:, HIGH])
    if not bool((is_used & ~is_all).any()):
        return torch.zeros(spans.codes.shape[axis], dtype=torch.bool, device="cpu")
    is_all[0] = True  # nowhere is no part of it
    return is_all[spans.codes].movedim(axis, 0).flatten(1).all(1)


def _without_copies(changing: Sequence[Spans], axis: int) -> tuple[int, int]:
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


def merged(parts: Sequence[Positions], shape: Sequence[int]) -> Positions:
    """Of one value computed from several: where the one stands that stands within the others, else within all of them."""
    first = reduce(lambda one, two: _merged_two(one, two, shape), (replace(part, other=None) for part in parts))
    others = [part.other for part in parts if part.other is not None]
    result = replace(first, shape=tuple(shape), other=None)
    return _settled(replace(result, other=merged(others, shape))) if others else result


def product(left: Positions, right: Positions, shape: Sequence[int]) -> Positions:
    """Of a product of two signals: where both stand, as long as neither stands within the other."""
    if left.other is not None or right.other is not None:
        return merged([left, right], shape)
    has_tokens = left.has_tokens or right.has_tokens
    return _settled(Positions(tuple(shape), left.spans, Positions(tuple(shape), right.spans), has_tokens))


def _settled(pair: Positions) -> Positions:
    """A product of two as one of them, where that stands within the other everywhere."""
    if pair.other is None:
        return pair
    spans = [_merged_spans(*both) for both in zip(_filled(pair, pair.shape), _filled(pair.other, pair.shape), strict=True)]
    is_one = all(is_within for _, is_within in spans)
    return replace(pair, spans=tuple(one for one, _ in spans), other=None) if is_one else pair


def _merged_two(one: Positions, two: Positions, shape: Sequence[int]) -> Positions:
    spans = [_merged_spans(*both)[0] for both in zip(_filled(one, shape), _filled(two, shape), strict=True)]
    return Positions(tuple(shape), tuple(spans), has_tokens=one.has_tokens or two.has_tokens)


def _filled(one: Positions, shape: Sequence[int]) -> list[Spans]:
    """The spans with as many axes as a shape to which theirs broadcasts."""
    return [Spans(spans.codes.reshape(*(1,) * (len(shape) - spans.codes.ndim), *spans.codes.shape), spans.table) for spans in one.spans]


def _merged_spans(one: Spans, two: Spans) -> tuple[Spans, bool]:
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
    return _normal(codes + 1, torch.cat([one.table[:1], torch.cat([places, reach], 1)])), is_within


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


def moved(parts: Sequence[Positions], shape: Sequence[int], move: Callable[[list[Tensor]], Tensor], is_pure: bool) -> Positions:
    """Behind an operation that moves values.

    Args:
        parts: where its tensors stand, constants included.
        shape: of the result.
        move: what it does to tensors of their shapes.
        is_pure: nothing stands in the result but values of one tensor.
    """
    spans, has_tokens = _moved_spans(parts, shape, move, is_pure), any(part.has_tokens for part in parts)
    other = None if len(parts) > 1 or parts[0].other is None else moved([parts[0].other], shape, move, is_pure)
    return _settled(Positions(tuple(shape), spans, other, has_tokens))


def _moved_spans(
    parts: Sequence[Positions], shape: Sequence[int], move: Callable[[list[Tensor]], Tensor], is_pure: bool
) -> tuple[Spans, ...]:
    """The codes along all axes of the input are moved as one number, which float64 holds."""
    axes = range(len(parts[0].spans))
    tables = [torch.cat([parts[0].spans[axis].table[:1], *(part.spans[axis].table[1:] for part in parts)]) for axis in axes]
    changing = [axis for axis in axes if not is_pure or parts[0].spans[axis].codes.numel() > 1]
    found = {axis: parts[0].spans[axis].codes.reshape(-1)[:1].sum().view((1,) * len(shape)) for axis in axes}  # of no values: 0
    for group in _groups(changing, [len(table) for table in tables]):
        offsets = dict.fromkeys(group, 0)
        packed = []
        for part in parts:
            numbers = torch.zeros((1,) * len(part.shape), dtype=torch.int64, device="cpu")
            for axis in group:
                codes = part.spans[axis].codes
                numbers = numbers * len(tables[axis]) + torch.where(codes > 0, codes + offsets[axis], 0)
                offsets[axis] += len(part.spans[axis].table) - 1
            packed.append(numbers.double().expand(part.shape))
        moved_numbers = _compact(move(packed)).round().long()
        for axis in reversed(group):
            found[axis] = moved_numbers % len(tables[axis])
            moved_numbers = moved_numbers // len(tables[axis])
    return tuple(_normal(found[axis], tables[axis]) for axis in axes)


_MOST_PACKED = 1 << 52


def _groups(axes: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Axes whose codes fit into one number together."""
    groups: list[list[int]] = []
    room = 0
    for axis in axes:
        room //= lengths[axis]
        if not groups or room < 1:
            groups.append([])
            room = _MOST_PACKED // lengths[axis]
        groups[-1].append(axis)
    return groups


def nowhere(shape: Sequence[int], axes: int, has_tokens: bool) -> Positions:
    """Of a constant, for an input of so many axes."""
    spans = Spans(
        torch.zeros((1,) * len(shape), dtype=torch.int64, device="cpu"), torch.tensor([_NOWHERE], dtype=torch.float64, device="cpu")
    )
    return Positions(tuple(shape), (spans,) * axes, has_tokens=has_tokens)
