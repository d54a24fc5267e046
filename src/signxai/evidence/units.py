"""What is removed at once: a pixel, a patch, a stretch of time, a token, a beat, or whatever a user's own numbers say."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import InputError, OptionError
from signxai.evidence.options import FloatArray, count, is_number, one_of, positive
from signxai.evidence.parts import Key, rows_at

__all__ = [
    "Given",
    "Partition",
    "Patch",
    "Pixel",
    "Spans",
    "Token",
    "Unit",
    "UnitLike",
    "Value",
    "Window",
    "beat_spans",
    "fitted",
    "fitting_units",
]

IntArray = npt.NDArray[np.int64]
Shape: TypeAlias = "tuple[int, ...]"

NEVER = -1
"""The number of what is in no unit, and is never removed."""


class Unit(ABC):
    """A way to cut one input (N, ...) into units."""

    @abstractmethod
    def numbers(self, shape: Shape) -> IntArray:
        """The number of each value's unit, of an input of this shape; with 1 for axes along which it is the same; -1: in no unit."""

    def misfit(self, shape: Shape) -> str | None:
        """Why an input of this shape has no such units, in words that go on behind "unit=...: "; None: it has."""
        return None


@dataclass(frozen=True)
class Pixel(Unit):
    """A place with all of its channels: of images (N, C, H, W), signals (N, C, T) and volumes; of (N, n) each value.

    Attributes:
        channel_axis: the axis of the channels; -1 for channels last; None: as the network has them, last for Keras, else 1.

    >>> Pixel().numbers((5, 3, 2, 2)).tolist()
    [[[[0, 1], [2, 3]]]]
    """

    channel_axis: int | None = None

    def numbers(self, shape: Shape) -> IntArray:
        return _counted(_without_channels(shape, 1 if self.channel_axis is None else self.channel_axis))


@dataclass(frozen=True)
class Value(Unit):
    """Each value alone."""

    def numbers(self, shape: Shape) -> IntArray:
        return _counted((1, *shape[1:]))


@dataclass(frozen=True)
class Token(Unit):
    """A place of a sequence: of token ids (N, T) each id, of embeddings (N, T, D) all components of a token."""

    def misfit(self, shape: Shape) -> str | None:
        return None if len(shape) in (2, 3) else f"{_said_of_kind(shape)}, and tokens are places of ids (N, T) or embeddings (N, T, D)"

    def numbers(self, shape: Shape) -> IntArray:
        return _counted((1, shape[1], *(1,) * (len(shape) - 2)))


@dataclass(frozen=True)
class Patch(Unit):
    """A square of a picture, or cube of a volume, of ``size`` places along each axis but the channels'; at the far edges what is left.

    Attributes:
        size: places along each axis, or one number for each.
        channel_axis: the axis of the channels; None: as for ``Pixel``.

    Raises:
        OptionError: if it is no whole number of at least 1. As ``unit=``: if the picture has fewer places, or the input is none.

    >>> Patch(2).numbers((1, 3, 2, 3)).tolist()
    [[[[0, 0, 1], [0, 0, 1]]]]
    """

    size: int | tuple[int, ...]
    channel_axis: int | None = None

    def misfit(self, shape: Shape) -> str | None:
        if len(shape) < 4:
            return f"{_said_of_kind(shape)}, and patches are parts of pictures (N, C, H, W) and volumes"
        axes, places = self._axes(shape), _without_channels(shape, self._channel_axis)
        sides = [places[axis] for axis in axes]
        if all(size <= side for size, side in zip(self._sizes(len(axes)), sides, strict=True)):
            return None
        return f"larger than the input, which has {' x '.join(map(str, sides))} places"

    def numbers(self, shape: Shape) -> IntArray:
        axes = self._axes(shape)
        return _in_blocks(_without_channels(shape, self._channel_axis), dict(zip(axes, self._sizes(len(axes)), strict=True)))

    @property
    def _channel_axis(self) -> int:
        return 1 if self.channel_axis is None else self.channel_axis

    def _axes(self, shape: Shape) -> list[int]:
        """Those of the places."""
        return [axis for axis in range(1, len(shape)) if len(shape) == 2 or axis != self._channel_axis % len(shape)]

    def _sizes(self, axes: int) -> list[int]:
        sizes = list(self.size) if isinstance(self.size, tuple) else [self.size] * axes
        if len(sizes) != axes:
            raise OptionError(f"Patch({self.size}): the input has {axes} axes behind its channels; give a number for each")
        return [count("size", size) for size in sizes]


_LEADS = {"all": False, "each": True}


@dataclass(frozen=True)
class Window(Unit):
    """``samples`` successive samples of a signal (N, leads, T), of all leads together or of each alone; at the end what is left.

    Attributes:
        samples: how many.
        leads: "all" or "each".

    Raises:
        OptionError: as ``unit=``: if the signal has fewer samples, or the input is a picture or volume.

    >>> Window(2, "each").numbers((1, 2, 3)).tolist()
    [[[0, 0, 1], [2, 2, 3]]]
    """

    samples: int
    leads: str = "all"

    def misfit(self, shape: Shape) -> str | None:
        if wrong := _no_signal(shape):
            return wrong
        is_larger = count("samples", self.samples) > shape[-1]
        return f"longer than the input, which has {shape[-1]} samples" if is_larger else None

    def numbers(self, shape: Shape) -> IntArray:
        is_each = one_of("leads", self.leads, _LEADS)
        blocks = {len(shape) - 1: count("samples", self.samples)}
        leads = dict.fromkeys(range(1, len(shape) - 1), 1) if is_each else {}
        places = (1, *(shape[1:-1] if is_each else (1,) * (len(shape) - 2)), shape[-1])
        return _in_blocks(places, {**leads, **blocks})


@dataclass(frozen=True)
class Spans(Unit):
    """Intervals of time of a signal (N, leads, T), such as waves or beats; what lies between two of them is a unit of its own, or stays.

    Attributes:
        spans: (start, end) of each, start <= sample < end, in order and apart; or a sequence of such for each sample.
        leads: "all" leads together, or "each" alone.
        between: "units": what lies between is removed as well, each stretch as one; "kept": it never is.
        sampling_rate: samples per second, if the spans are in seconds: start <= time < end, up to rounding.

    Raises:
        OptionError: if spans overlap, are empty, or lie outside of the signal.

    >>> Spans([(1, 3)]).numbers((1, 2, 5)).tolist()
    [[[0, 1, 1, 2, 2]]]
    """

    spans: Sequence[Any]
    leads: str = "all"
    between: str = "units"
    sampling_rate: float | None = None

    def misfit(self, shape: Shape) -> str | None:
        return _no_signal(shape)

    def numbers(self, shape: Shape) -> IntArray:
        is_each = one_of("leads", self.leads, _LEADS)
        keeps = one_of("between", self.between, {"units": False, "kept": True})
        own = [self._of_sample(spans, shape[-1], keeps) for spans in self._by_sample(shape[0])]
        rows = np.stack(own).reshape(len(own), *(1,) * (len(shape) - 2), shape[-1])
        if not is_each:
            return rows
        leads = _counted((1, *shape[1:-1], 1))
        return np.where(rows == NEVER, NEVER, rows + leads * (rows.max() + 1))

    def _by_sample(self, samples: int) -> list[Sequence[tuple[float, float]]]:
        is_one = all(len(span) == 2 and all(isinstance(end, int | float | np.number) for end in span) for span in self.spans)
        if is_one and len(self.spans):
            return [self.spans]
        if len(self.spans) != samples:
            raise OptionError(f"spans of {len(self.spans)} samples for {samples}; give (start, end) pairs, or such for each sample")
        return list(self.spans)

    def _of_sample(self, spans: Sequence[tuple[float, float]], length: int, keeps: bool) -> IntArray:
        rate = 1.0 if self.sampling_rate is None else positive("sampling_rate", self.sampling_rate, "samples per second")
        if not all(is_number(end) and np.isfinite(end) for span in spans for end in span):
            raise OptionError(f"spans {list(spans)} must be pairs of finite numbers; leave out those that are not known")
        ends = [(first_from(start * rate), first_from(end * rate)) for start, end in spans]
        if any(start >= end for start, end in ends) or any(a[1] > b[0] for a, b in pairwise([(0, 0), *ends, (length, length)])):
            raise OptionError(f"spans {list(spans)} must have start < end, follow each other, and lie within the {length} samples")
        numbers = np.full(length, NEVER)
        for number, (start, end) in enumerate(ends):
            numbers[start:end] = 2 * number + 1
        if not keeps:
            outside = np.searchsorted([end for _, end in ends], np.arange(length), side="right") * 2
            numbers = np.where(numbers == NEVER, outside, numbers)
        return numbers


def _no_signal(shape: Shape) -> str | None:
    """Why stretches of time are no units of an input of this shape."""
    if len(shape) < 4:
        return None
    return f"{_said_of_kind(shape)}, and stretches of time are parts of signals (N, leads, T); of one laid out so give a patch"


def _said_of_kind(shape: Shape) -> str:
    kinds = {2: "the input has one axis behind the samples, as a list of values", 3: "the input has two axes, as a signal (N, leads, T)"}
    return kinds.get(len(shape), f"the input has {len(shape) - 1} axes, as a {'picture' if len(shape) == 4 else 'volume'}")


_FITTING = {2: ("pixel", "value", "token", "window"), 3: ("pixel", "value", "window", "token")}


def fitting_units(axes: int) -> tuple[str, ...]:
    """Which units an input of so many axes, that of the samples among them, has: "pixel", "value", "token", "patch", "window".

    >>> fitting_units(4), fitting_units(3)
    (('pixel', 'value', 'patch'), ('pixel', 'value', 'window', 'token'))
    """
    return _FITTING.get(axes, ("pixel", "value", "patch"))


_ROUNDING = 1e-9
"""Of seconds times samples per second: 0.07 * 100 is a little more than 7."""


def first_from(edge: float) -> int:
    """The first place that does not lie before an edge, up to rounding.

    >>> first_from(1.5), first_from(2), first_from(0.07 * 100)
    (2, 2, 7)
    """
    return math.ceil(edge - _ROUNDING)


def beat_spans(positions: Sequence[int], samples: int) -> list[tuple[int, int]]:
    """The stretch of each beat: from half-way to the beat before to half-way to the next; the first and the last to the signal's ends.

    Args:
        positions: of the beats, as ``signxai.timeseries.Beats.positions``, rising.
        samples: of the signal.

    >>> beat_spans([10, 30, 60], 80)
    [(0, 20), (20, 45), (45, 80)]
    """
    ends = [0, *(round((a + b) / 2) for a, b in pairwise(map(int, positions))), samples]
    return list(pairwise(ends))


@dataclass(frozen=True, eq=False)
class Given(Unit):
    """A user's own units.

    Attributes:
        array: integers in the input's shape, that of one sample, or these without the channels' axis; equal ones are one unit, and
            negative ones are in none.
    """

    array: npt.ArrayLike

    def numbers(self, shape: Shape) -> IntArray:
        array = np.asarray(self.array.cpu() if isinstance(self.array, Tensor) else self.array)
        if array.dtype.kind not in "iu":
            raise OptionError(f"unit= is an array of {array.dtype}; the numbers of units are integers")
        return fitted(array, shape, "unit=").astype(np.int64)


UnitLike: TypeAlias = "str | Unit | npt.ArrayLike | Mapping[Key, Any]"
"""A word ("pixel", "value", "token"), a ``Unit``, an integer array, or one of them for each input by its key."""

_WORDS: dict[str, Unit] = {"pixel": Pixel(), "value": Value(), "token": Token()}


def as_unit(unit: Any) -> Unit:
    """A unit, of whatever stands for one.

    Raises:
        OptionError: if it stands for none.
    """
    if isinstance(unit, Unit):
        return unit
    if isinstance(unit, str) and unit in _WORDS:
        return _WORDS[unit]
    if isinstance(unit, np.ndarray | Tensor | list):
        return Given(unit)
    raise OptionError(f"unit={unit!r} is no unit; give one of {', '.join(map(repr, _WORDS))}, Patch(8), Window(10), Spans(...) or integers")


_SPELLED = {
    "pixel": "'pixel'",
    "value": "'value'",
    "token": "'token' (of embeddings (N, T, D))",
    "patch": "Patch(k) or Patch((k, ...)), no larger than it",
    "window": "Window(k), no longer than it",
}


def _fitting(unit: Any, shape: Shape, key: Key | None) -> Unit:
    """A unit that an input of this shape has.

    Raises:
        OptionError: it has none such; or as ``as_unit``.
    """
    found = as_unit(unit)
    if wrong := found.misfit(shape):
        named = "" if key is None else f" for the input {key!r}"
        allowed = ", ".join(_SPELLED[word] for word in fitting_units(len(shape)))
        raise OptionError(f"unit={unit!r}{named}: {wrong}; this one has {allowed}, or integers")
    return found


def fitted(array: npt.NDArray[Any], shape: Shape, name: str) -> npt.NDArray[Any]:
    """An array as it broadcasts to an input of this shape: of the whole input, of one sample, or of either without the channels.

    Raises:
        InputError: if it does not fit, or fits in two ways.
    """
    samples, rest = shape[0], shape[1:]
    ways = {shape: shape, rest: (1, *rest)}
    if len(shape) > 2:
        ways |= {(samples, *rest[1:]): (samples, 1, *rest[1:])} if (samples, *rest[1:]) not in ways else {}
        ways |= {rest[1:]: (1, 1, *rest[1:])}
        if array.shape == rest == (samples, *rest[1:]) and array.ndim < len(shape):
            raise InputError(
                f"{name} of shape {array.shape} may be one sample's, or all samples' without channels; give the axis of size 1"
            )
    if array.ndim == len(shape) and all(own in (1, size) for own, size in zip(array.shape, shape, strict=True)):
        return array
    if array.shape not in ways:
        raise InputError(f"{name} has the shape {array.shape}; for an input {shape} give one of {', '.join(map(str, ways))}")
    return array.reshape(ways[array.shape])


def _without_channels(shape: Shape, channel_axis: int) -> Shape:
    if len(shape) == 2:
        return (1, shape[1])
    axis = channel_axis % len(shape)
    return tuple(1 if place in (0, axis) else length for place, length in enumerate(shape))


def _counted(places: Shape) -> IntArray:
    return np.arange(int(np.prod(places)), dtype=np.int64).reshape(places)


def _in_blocks(places: Shape, sizes: Mapping[int, int]) -> IntArray:
    """The number of each place's block, of so many places along some axes."""
    numbers = np.zeros(places, dtype=np.int64)
    for axis, size in sorted(sizes.items()):
        length = places[axis]
        block = (np.arange(length) // size).reshape([-1 if place == axis else 1 for place in range(len(places))])
        numbers = numbers * (-(-length // size)) + block
    return numbers


class Partition:
    """The units of all inputs together, numbered from 0 for each sample.

    Args:
        shapes: (N, ...) of the inputs that have units, by key.
        unit: of all of them, or of each by key.
        device: where masks are made.

    Attributes:
        counts: how many units each sample has (N,).
        width: the largest of these.

    Raises:
        OptionError: if there is no such unit.
        InputError: if a sample has none.
    """

    def __init__(self, shapes: Mapping[Key, Shape], unit: Any, device: torch.device | None = None) -> None:
        self.shapes = dict(shapes)
        units = _by_key(unit, shapes)
        raw = {
            key: _fitting(units[key], tuple(shape), key if len(shapes) > 1 else None).numbers(tuple(shape)) for key, shape in shapes.items()
        }
        self.numbers, self.counts = _numbered(raw)
        if not self.counts.min():
            raise InputError("unit= leaves a sample without any unit; at least one number must be 0 or more")
        self.width = int(self.counts.max())
        self._indices = {key: torch.from_numpy(np.where(own < 0, self.width, own)).to(device or "cpu") for key, own in self.numbers.items()}
        self._starts = {key: _start_of_each_alone(own) for key, own in self.numbers.items()}

    def sums(self, maps: Mapping[Key, FloatArray]) -> FloatArray:
        """The sum of a map over each unit (N, width); 0 where a sample has fewer."""
        samples = len(next(iter(maps.values())))
        total = np.zeros((samples, self.width + 1))
        for key, own in maps.items():
            index = np.broadcast_to(np.where(self.numbers[key] < 0, self.width, self.numbers[key]), own.shape)
            for row in range(samples):
                total[row] += np.bincount(index[row].ravel(), own[row].ravel(), minlength=self.width + 1)
        return total[:, :-1]

    def masks(self, members: npt.NDArray[np.bool_], rows: Sequence[int]) -> dict[Key, Tensor]:
        """True where a value's unit is chosen, of points made of some samples, as it broadcasts to them.

        Args:
            members: whether each unit is chosen (points, width).
            rows: the sample of each point.
        """
        given = torch.from_numpy(members)
        return {key: self._mask(given.to(index.device), index, self._starts[key], rows) for key, index in self._indices.items()}

    def _mask(self, members: Tensor, index: Tensor, start: int | None, rows: Sequence[int]) -> Tensor:
        shape = (len(members), *index.shape[1:])
        if start is not None:
            return members[:, start : start + index[0].numel()].reshape(shape)
        padded, flat = F.pad(members, (0, 1)), index.flatten(1)
        return (padded.index_select(1, flat[0]) if len(flat) == 1 else padded.gather(1, rows_at(flat, rows))).reshape(shape)


def _start_of_each_alone(numbers: IntArray) -> int | None:
    """The first number, where all samples' values are units of their own and follow each other; else None."""
    flat = numbers.ravel()
    follow = len(numbers) == 1 and flat[0] >= 0 and np.array_equal(flat, flat[0] + np.arange(flat.size))
    return int(flat[0]) if follow else None


def _by_key(unit: Any, shapes: Mapping[Key, Shape]) -> Mapping[Key, Any]:
    if not isinstance(unit, Mapping):
        return dict.fromkeys(shapes, unit)
    if missing := [key for key in shapes if key not in unit]:
        raise OptionError(f"unit= has nothing for the input {missing[0]!r}; it needs an entry for each of {list(shapes)}")
    return unit


def _numbered(raw: Mapping[Key, IntArray]) -> tuple[dict[Key, IntArray], IntArray]:
    """Numbers from 0 without gaps for each sample, those of a part behind those of the parts before it; and how many there are."""
    rows = max(len(own) for own in raw.values())
    counts = np.zeros(rows, dtype=np.int64)
    numbered = {}
    for key, own in raw.items():
        is_alike = len(own) == 1 and not np.ptp(counts)
        dense = [_dense(row, int(before)) for row, before in zip(own if is_alike else np.broadcast_to(own, (rows, *own.shape[1:])), counts)]  # noqa: B905 - one row may stand for all
        numbered[key] = np.stack([numbers for numbers, _ in dense])
        counts = counts + np.array([added for _, added in dense])
    return numbered, counts


def _dense(numbers: IntArray, before: int) -> tuple[IntArray, int]:
    if not numbers.size or (
        numbers.min() == 0 and numbers.max() == numbers.size - 1 and np.array_equal(numbers.ravel(), np.arange(numbers.size))
    ):
        return numbers + before, numbers.size
    values, places = np.unique(numbers, return_inverse=True)
    places = places.reshape(numbers.shape)
    negative = int((values < 0).sum())
    return np.where(numbers < 0, NEVER, places - negative + before), len(values) - negative
