"""Zeros around a tensor that a padding has put there: in front of a convolution they are its padding, written apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.notes import FreshNotes
from signxai.engine.torch_functions import Operation, functions_named

_IN_MODES = functions_named("pad")
_BY_A_NUMBER = functions_named("constant_pad_nd")
PADS: frozenset[Operation] = frozenset(_IN_MODES | _BY_A_NUMBER)
"""Operations that may put zeros around a tensor."""

Widths: TypeAlias = tuple[tuple[int, int], ...]
"""How many zeros stand in front of a tensor's values and behind them, along each axis."""


def zeros_put_around(call: Call) -> tuple[int, ...]:
    """What a call puts around its input, as ``F.pad`` counts it; () if it is no padding by zeros, or cuts values off."""
    if call.func not in PADS:
        return ()
    names = ("input", "pad", "mode", "value") if call.func in _IN_MODES else ("input", "pad", "value")
    given = dict(zip(names[1:], call.with_arguments(names).args[1:], strict=False))
    amounts = tuple(given.get("pad", ()))
    by_zeros = given.get("mode", "constant") == "constant" and given.get("value") in (None, 0)
    return amounts if by_zeros and all(type(amount) is int and amount >= 0 for amount in amounts) else ()


def padded_by_its_border(index: Tensor, amounts: tuple[int, ...]) -> Tensor:
    """A tensor of whole numbers with those at its border once more for each zero that ``F.pad`` would put there."""
    for axis, (before, behind) in enumerate(zip(amounts[::2], amounts[1::2], strict=True), start=1):
        size = index.shape[-axis]
        places = torch.arange(-before, size + behind, device=index.device).clamp(0, size - 1)
        index = index.index_select(-axis, places)
    return index


Write: TypeAlias = Callable[[Tensor], Tensor]
"""What writing into a tensor does to its places: it may write into the mask that it is given, and returns it, or another."""


class Writes:
    """What was written into a tensor, in order: its places are only computed if somebody asks."""

    __slots__ = ("_start", "_writes")

    def __init__(self, start: Tensor, writes: Sequence[Write] = ()) -> None:
        self._start, self._writes = start, list(writes)

    def then(self, count: int, write: Write) -> tuple[Writes, int]:
        """The first so many and one more, as what is known of the tensor from now on."""
        log = self if count == len(self._writes) else Writes(self._start, self._writes[:count])  # a copy that was written to itself
        log._writes.append(write)
        return log, count + 1

    def places(self, count: int) -> Tensor:
        """The places after so many writes."""
        mask = self._start.clone(memory_format=torch.contiguous_format)
        for write in self._writes[:count]:
            mask = write(mask)
        return mask


class Constants(NamedTuple):
    """Which places of a tensor hold what no value of the input passes, alike for all samples.

    Attributes:
        widths: how many such places stand around the others; None if they are anywhere.
        mask: the places, of size 1 along axes on which nothing depends; None if ``widths`` or ``written`` says it all.
        are_zero: whether zeros stand there for sure; else their values tell.
        written: what was written into the tensor, and how many of these writes count.
    """

    widths: Widths | None
    mask: Tensor | None
    are_zero: bool
    written: tuple[Writes, int] | None = None

    def over(self, x: Tensor) -> Tensor:
        """The places as a mask of a tensor's shape."""
        if self.mask is not None:
            return self.mask.expand(x.shape)
        if self.written is not None:
            return self.written[0].places(self.written[1])
        assert self.widths is not None
        inner = torch.zeros(
            [size - sum(width) if sum(width) else 1 for size, width in zip(x.shape, self.widths, strict=True)], dtype=torch.bool
        )
        around = [amount for width in reversed(self.widths) for amount in width]
        return F.pad(inner, around, value=True).to(x.device).expand(x.shape)


def constants_at(mask: Tensor, are_zero: bool) -> Constants | None:
    """Places by a mask that spreads over the tensor, cut to one value along axes on which nothing depends; None if there are none."""
    for axis, (size, stride) in enumerate(zip(mask.shape, mask.stride(), strict=True)):
        if size > 1 and stride == 0:
            mask = mask.narrow(axis, 0, 1)
    return Constants(None, mask, are_zero) if bool(mask.any()) else None


class ZeroPadding:
    """Which places of the tensors of a forward pass are constant, as long as nobody else writes to them."""

    def __init__(self) -> None:
        self._notes: FreshNotes[Constants] = FreshNotes()
        self._masks: FreshNotes[bool] = FreshNotes()
        self._everywhere: dict[tuple[bool, torch.device], Tensor] = {}
        self.any = False

    def everywhere(self, are_constant: bool, device: torch.device) -> Tensor:
        """Places that are all constant, or none."""
        found = self._everywhere.get((are_constant, device))
        if found is None:
            found = self._everywhere[are_constant, device] = torch.full((), are_constant, device=device)
        return found

    def is_mask(self, constant: Tensor) -> bool:
        """Whether a constant holds nothing but zeros, of which there are some, and ones; looked at once."""
        found = self._masks.get(constant)
        if found is None:
            found = bool(((constant == 0) | (constant == 1)).all()) and not bool(constant.all())
            self._masks.put(constant, found)
        return found

    def of(self, x: object) -> Constants | None:
        """What is known of a tensor."""
        return self._notes.get(x) if self.any else None

    def may_know(self, values: Iterable[object]) -> bool:
        """Whether something may be known of one of some values."""
        return self._notes.may_know(values)

    def put(self, x: Tensor, constants: Constants) -> None:
        """Remember what is known of a tensor."""
        self.any = True
        self._notes.put(x, constants)

    def around(self, x: Tensor, axes: int) -> list[tuple[int, ...]]:
        """How many zeros stand around the last axes of a tensor, as ``F.pad`` counts them: once for all samples or for each; [] if none."""
        found = self.of(x)
        if found is None or axes > x.ndim:
            return []
        widths = found.widths if found.are_zero else None
        of_each = _widths_of_samples(_zeros(found, x), axes) if widths is None else [widths[-axes:]]
        amounts = [tuple(width for pair in reversed(pairs) for width in pair) or (0,) * (2 * axes) for pairs in of_each]
        return amounts if any(map(any, amounts)) else []


def _zeros(constants: Constants, x: Tensor) -> Tensor:
    """The places where zeros stand, of those that are constant."""
    mask = constants.over(x)
    return mask if constants.are_zero else mask & (x.detach() == 0)


def _widths_of_samples(mask: Tensor, axes: int) -> list[Widths]:
    """The widths of what stands around a box, along the last axes: one for all samples, or one for each; () where it is no box."""
    if mask.ndim > axes + 1 and len(mask) > 1 and bool(mask.ne(mask[:1]).any()):
        return [_widths_of(one, axes) for one in mask]
    return [_widths_of(mask, axes)]


def _widths_of(mask: Tensor, axes: int) -> Widths:
    """The widths of what stands around a box, along the last axes, the same in front of all others; () if it is no box."""
    leading = tuple(range(mask.ndim - axes))
    everywhere = mask.amin(leading) if leading else mask
    if bool((mask.amax(leading) if leading else mask).ne(everywhere).any()):
        return ()
    inside, widths, box = ~everywhere, [], []
    for axis in range(axes):
        others = [other for other in range(axes) if other != axis]
        places = (inside.amax(others) if others else inside).nonzero().flatten().tolist()
        if not places:
            return ()
        widths.append((places[0], inside.shape[axis] - 1 - places[-1]))
        box.append(slice(places[0], places[-1] + 1))
    return tuple(widths) if bool(inside[tuple(box)].all()) else ()
