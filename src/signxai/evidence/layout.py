"""Units and imputers as a network's layout has the axes: both are written for channels in front, Keras has them last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signxai.common.errors import OptionError
from signxai.evidence.imputers import Blur, ChannelsLast, Interpolation, Mean, NoisyLinear
from signxai.evidence.parts import Key
from signxai.evidence.units import IntArray, Patch, Pixel, Shape, Spans, Unit, Window, as_unit

__all__ = ["imputer_in_layout", "unit_in_layout"]


@dataclass(frozen=True, repr=False)
class _WithChannelsLast(Unit):
    """A unit of inputs whose channels are their last axis: that of the same input with the channels in front."""

    unit: Unit

    def __repr__(self) -> str:
        return repr(self.unit)  # as the user gave it

    def misfit(self, shape: Shape) -> str | None:
        return self.unit.misfit(_channels_first(shape))

    def numbers(self, shape: Shape) -> IntArray:
        return np.moveaxis(self.unit.numbers(_channels_first(shape)), 1, -1)


def _channels_first(shape: Shape) -> Shape:
    return (shape[0], shape[-1], *shape[1:-1])


def unit_in_layout(unit: Any, channel_axes: Mapping[Key, int], shapes: Mapping[Key, Shape]) -> Any:
    """Units of inputs, as a user gave them, where their channels lie; those that say their axis, and a user's own numbers, stay.

    Raises:
        OptionError: as ``as_unit``, or for channels that are neither first nor last.
    """
    last = {key for key, axis in channel_axes.items() if _are_last(axis, shapes[key])}
    if not last:
        return unit
    own = unit if isinstance(unit, Mapping) else dict.fromkeys(shapes, unit)
    return {key: _moved_unit(one) if key in last else one for key, one in own.items()}


def _moved_unit(unit: Any) -> Any:
    found = as_unit(unit)
    is_written_for_first = isinstance(found, Window | Spans) or (isinstance(found, Pixel | Patch) and found.channel_axis is None)
    return _WithChannelsLast(found) if is_written_for_first else found


def imputer_in_layout(imputer: Any, channel_axis: int, shape: Shape) -> Any:
    """An imputer for one input, as a user gave it, where the channels of that lie; constants and a user's own functions stay.

    Raises:
        OptionError: for channels that are neither first nor last.
    """
    if not _are_last(channel_axis, shape):
        return imputer
    if isinstance(imputer, Mean) and imputer.data is not None:
        return ChannelsLast(replace(imputer, data=np.moveaxis(np.asarray(imputer.data), -1, 1)))
    return ChannelsLast(imputer) if isinstance(imputer, str | Mean | Blur | NoisyLinear | Interpolation) else imputer


def _are_last(axis: int, shape: Shape) -> bool:
    if len(shape) < 3 or axis == 1:
        return False
    if axis != len(shape) - 1:
        raise OptionError(f"the network has the channels of inputs {shape} on axis {axis}; give Pixel(channel_axis={axis}) and a constant")
    return True
