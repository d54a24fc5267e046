"""Which axis of an input is its channels: behind the samples for PyTorch, where the layout says for Keras."""

from __future__ import annotations

import sys

from torch import nn

from signxai.common.errors import ModelError
from signxai.engine.module_names import is_keras, named_modules

CHANNELS_FIRST = "channels_first"
CHANNELS_LAST = "channels_last"


def channel_axis(net: nn.Module, axes: int) -> int:
    """The axis of the channels in an input with so many axes, the samples' included.

    A Keras network reads its input in the layout of its first layer that has one (``data_format``), without any in that of
    ``keras.config.image_data_format()``; a layer that permutes axes in front of that one is reckoned with. A module of PyTorch
    around layers of Keras may do anything before them, and says it itself, by its own ``data_format``. Every other network has
    channels on axis 1.

    Args:
        net: the network.
        axes: how many the input has, at least 2.

    Raises:
        ModelError: a module of PyTorch around layers of Keras that have a layout does not say its own.
    """
    if not is_keras(net):
        return _axis_around(net, axes)
    axis = axes - 1
    permuted: list[tuple[int, ...]] = []
    for layer in named_modules(net).values():
        layout = getattr(layer, "data_format", None)
        if layout is not None:
            axis = 1 if layout == CHANNELS_FIRST else axes - 1
            break
        if _permutes(layer):
            permuted.append(tuple(layer.dims))  # type: ignore[arg-type]
    else:
        return 1 if sys.modules["keras"].config.image_data_format() == CHANNELS_FIRST else axes - 1
    for dims in reversed(permuted):
        axis = dims[axis - 1] if len(dims) == axes - 1 else axis
    return axis


def _axis_around(net: nn.Module, axes: int) -> int:
    """The axis of a module of PyTorch: as it says, where it is around layers of Keras, which it must if these have a layout."""
    held = [layer for layer in named_modules(net).values() if is_keras(layer)] if "keras" in sys.modules and axes > 2 else []
    told = getattr(net, "data_format", None) if held else CHANNELS_FIRST
    if told in (CHANNELS_FIRST, CHANNELS_LAST):
        return 1 if told == CHANNELS_FIRST else axes - 1
    if any(hasattr(layer, "data_format") for layer in held):
        raise ModelError(
            f"where the channels of the input are is not known of {type(net).__name__}, a module of PyTorch around layers of Keras; set "
            f"its data_format to '{CHANNELS_LAST}' or '{CHANNELS_FIRST}', or explain the Keras model itself"
        )
    return 1


def _permutes(layer: nn.Module) -> bool:
    """Whether it is Keras' layer that permutes axes, given as ``dims``, from 1 on."""
    return is_keras(layer) and isinstance(layer, sys.modules["keras"].layers.Permute)
