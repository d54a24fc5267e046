"""Zeros around a tensor that a padding has put there: in front of a convolution they are its padding, written apart."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.graph import needs_relevance
from signxai.engine.notes import FreshNotes
from signxai.engine.torch_functions import Operation, functions_named

_IN_MODES = functions_named("pad")
_BY_A_NUMBER = functions_named("constant_pad_nd")
PADS: frozenset[Operation] = frozenset(_IN_MODES | _BY_A_NUMBER)
"""Operations that may put zeros around a tensor."""

AXES_IN_ORDER: frozenset[Operation] = frozenset(
    functions_named(*("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "unsqueeze", "contiguous", "clone"))
) | {getattr(Tensor, name).__get__ for name in ("T", "mT")}
"""Operations behind which each axis of their input is one of the result's, whole."""

_SIZES = (2, 3, 5, 7, 11, 13, 17, 19)
"""One for each axis, which is found again by it."""

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


class ZeroPadding:
    """Which tensors of a forward pass have zeros around them that were put there, as long as nobody writes to them."""

    def __init__(self) -> None:
        self._widths: FreshNotes[Widths] = FreshNotes()
        self._any = False

    def follow(self, call: Call, result: object) -> None:
        """Take a note of a tensor that was padded, or of one whose axes were put in another order."""
        if not isinstance(result, Tensor):
            return
        if call.func in PADS and needs_relevance(call.x):
            self._padded(call, result)
        elif self._any and call.func in AXES_IN_ORDER:
            self._moved(call, result)

    def _padded(self, call: Call, result: Tensor) -> None:
        amounts = zeros_put_around(call)
        if not amounts:
            return
        widths = list(self._widths.get(call.x) or ((0, 0),) * call.x.ndim)
        for axis, added in enumerate(zip(amounts[::2], amounts[1::2], strict=True), start=1):
            widths[-axis] = widths[-axis][0] + added[0], widths[-axis][1] + added[1]
        self._any = True
        self._widths.put(result, tuple(widths))

    def _moved(self, call: Call, result: Tensor) -> None:
        widths = self._widths.get(call.x)
        if widths is None or result is call.x or len(widths) > len(_SIZES):
            return
        moved = call.run(torch.empty(_SIZES[: len(widths)], device="meta")).shape
        self._widths.put(result, tuple(widths[_SIZES.index(size)] if size > 1 else (0, 0) for size in moved))

    def around(self, x: Tensor, axes: int) -> tuple[int, ...]:
        """How many zeros stand around the last axes of a tensor, as ``F.pad`` counts them; () if none."""
        widths = self._widths.get(x) if self._any else None
        amounts = () if widths is None else tuple(width for pair in reversed(widths[-axes:]) for width in pair)
        return amounts if any(amounts) else ()
