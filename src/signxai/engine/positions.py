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

from signxai.engine.spans import (
    NOWHERE,
    Spans,
    between_padding,
    cells,
    changing_axes,
    compact,
    hull,
    merged_spans,
    normal,
    spans_of,
    stands_for_all,
    stands_nowhere,
    stands_where_the_last_does,
    sum_over,
    without_copies,
)


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
            spans.append(spans_of(torch.stack([low, low + 1, low, low + 1], -1)))
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
            return sum_over(spans, kept) if kept else spans

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
            return spans_of(cells(spans.values().movedim(axis, -2), length).movedim(-2, axis))

        keeps_length = self.shape[axis] == length
        inner = self._without_padding(axis, keeps_tokens=keeps_length)
        apart = inner._distance(axis) if keeps_length and inner.shape[axis] == length else 1
        if apart > 1:
            inner = inner._spread_over(axis, apart)
        return inner.widened_by(change, axis, length)

    def _distance(self, axis: int) -> int:
        """How far apart along an axis the places are behind each of which nothing stands, or the same once more; 1 if that is not alike.

        So values are spread by zeros, or repeated, before a convolution that keeps the length: both are one with an up-sampling.
        """
        changing = self._spans_along(axis)
        if not changing:
            return 1
        is_first = ~torch.stack([stands_nowhere(spans, axis) for spans in changing]).all(0)
        if self.has_tokens and not bool(is_first.all()):
            return 1
        is_first[1:] &= ~torch.stack([stands_where_the_last_does(spans, axis) for spans in changing]).all(0)
        places = is_first.nonzero().flatten()
        steps = torch.unique(places.diff())
        if len(steps) != 1 or int(places[0]) != 0 or len(is_first) - int(places[-1]) > int(steps[0]):
            return 1
        return int(steps[0])

    def _spread_over(self, axis: int, apart: int) -> Positions:
        """Values so far apart along an axis, and what stands nowhere behind each of them, over equal parts of where they stand."""
        length = self.shape[axis]

        def change(spans: Spans) -> Spans:
            if spans.codes.shape[axis] == 1:
                return spans
            values = spans.values().movedim(axis, -2)
            return spans_of(cells(values[..., ::apart, :], length).movedim(-2, axis))

        return self.widened_by(change, axis, length)

    def _without_padding(self, axis: int, keeps_tokens: bool) -> Positions:
        """The part along an axis between what was padded at its ends: constants, or copies of what stands in between.

        Args:
            axis: the axis.
            keeps_tokens: what is learned, or stands for all, remains beside the others.
        """
        changing = self._spans_along(axis)
        if not changing or (keeps_tokens and self.has_tokens):
            return self
        is_nowhere = torch.stack([stands_nowhere(spans, axis) for spans in changing]).all(0)
        if keeps_tokens and bool(is_nowhere[0]) != bool(is_nowhere[-1]) and len(torch.unique(is_nowhere.diff().nonzero())) == 1:
            return self  # at one end alone: shifted, and each value stays in its place
        is_for_all = torch.stack([stands_for_all(spans, axis) for spans in changing]).any(0) & (not keeps_tokens)
        inner = self._part(axis, *between_padding(is_nowhere | is_for_all))
        changing = inner._spans_along(axis)
        return inner._part(axis, *without_copies(changing, axis)) if changing else inner

    def _spans_along(self, axis: int) -> list[Spans]:
        """Those that change along an axis."""
        every = [*self.spans, *(self.other.spans if self.other is not None else ())]
        return [spans for spans in every if spans.codes.shape[axis] > 1]

    def _part(self, axis: int, first: int, last: int) -> Positions:
        """From one place along an axis to in front of another."""

        def change(spans: Spans) -> Spans:
            is_whole = spans.codes.shape[axis] in (1, last - first)
            return spans if is_whole else Spans(compact(spans.codes.narrow(axis, first, last - first)), spans.table)

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
        axes = sorted(set().union(*(changing_axes(spans.values()[..., :2]) for spans in single.spans)))
        rest = [axis for axis in range(len(self.shape)) if axis not in axes]
        lengths = [self.shape[axis] for axis in axes]
        columns = [hull(spans.values(), rest).squeeze(rest).expand(*lengths, 4).reshape(-1, 4) for spans in single.spans]
        return axes, torch.stack(columns, 1)

    def axes_along(self, of_input: int) -> set[int]:
        """The axes of the tensor along which its values stand at different places of an axis of the input."""
        places = self.spans[of_input].values()[..., :2]
        is_nowhere = places[..., :1] == math.inf
        least, most = (places.masked_fill(is_nowhere, fill) for fill in (math.inf, -math.inf))
        lengths = enumerate(places.shape[:-1])
        return {axis for axis, length in lengths if length > 1 and bool((least.amin(axis) < most.amax(axis)).any())}


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
    spans = [merged_spans(*both) for both in zip(_filled(pair, pair.shape), _filled(pair.other, pair.shape), strict=True)]
    is_one = all(is_within for _, is_within in spans)
    return replace(pair, spans=tuple(one for one, _ in spans), other=None) if is_one else pair


def _merged_two(one: Positions, two: Positions, shape: Sequence[int]) -> Positions:
    spans = [merged_spans(*both)[0] for both in zip(_filled(one, shape), _filled(two, shape), strict=True)]
    return Positions(tuple(shape), tuple(spans), has_tokens=one.has_tokens or two.has_tokens)


def _filled(one: Positions, shape: Sequence[int]) -> list[Spans]:
    """The spans with as many axes as a shape to which theirs broadcasts."""
    return [Spans(spans.codes.reshape(*(1,) * (len(shape) - spans.codes.ndim), *spans.codes.shape), spans.table) for spans in one.spans]


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
        moved_numbers = compact(move(packed)).round().long()
        for axis in reversed(group):
            found[axis] = moved_numbers % len(tables[axis])
            moved_numbers = moved_numbers // len(tables[axis])
    return tuple(normal(found[axis], tables[axis]) for axis in axes)


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
        torch.zeros((1,) * len(shape), dtype=torch.int64, device="cpu"), torch.tensor([NOWHERE], dtype=torch.float64, device="cpu")
    )
    return Positions(tuple(shape), (spans,) * axes, has_tokens=has_tokens)
