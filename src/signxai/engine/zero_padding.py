"""Zeros around a tensor that a padding has put there: in front of a convolution they are its padding, written apart."""

from __future__ import annotations

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


class Constants(NamedTuple):
    """Which places of a tensor hold what no value of the input passes, alike for all samples.

    Attributes:
        widths: how many such places stand around the others; None if they are anywhere.
        mask: the places, of size 1 along axes on which nothing depends; None if ``widths`` says it all.
        are_zero: whether zeros stand there for sure; else their values tell.
    """

    widths: Widths | None
    mask: Tensor | None
    are_zero: bool

    def over(self, x: Tensor) -> Tensor:
        """The places as a mask of a tensor's shape."""
        if self.mask is not None:
            return self.mask.expand(x.shape)
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
        self.any = False

    def of(self, x: object) -> Constants | None:
        """What is known of a tensor."""
        return self._notes.get(x) if self.any else None

    def put(self, x: Tensor, constants: Constants) -> None:
        """Remember what is known of a tensor."""
        self.any = True
        self._notes.put(x, constants)

    def around(self, x: Tensor, axes: int) -> tuple[int, ...]:
        """How many zeros stand around the last axes of a tensor, as ``F.pad`` counts them; () if none."""
        found = self.of(x)
        if found is None or axes > x.ndim:
            return ()
        widths = found.widths if found.are_zero else None
        pairs = _widths_of(_zeros(found, x), axes) if widths is None else widths[-axes:]
        amounts = tuple(width for pair in reversed(pairs) for width in pair)
        return amounts if any(amounts) else ()


def _zeros(constants: Constants, x: Tensor) -> Tensor:
    """The places where zeros stand, of those that are constant."""
    mask = constants.over(x)
    return mask if constants.are_zero else mask & (x.detach() == 0)


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
