"""How a picture becomes the input of a Keras model: size and channels as the model says, values as ``keras.applications`` names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from signxai.common.errors import OptionError
from signxai.engine.channel_axis import channel_axis
from signxai.engine.module_names import is_keras
from signxai.picture_input import PictureSize

__all__ = ["PREPROCESSING", "KerasPictureInput", "Preprocessing", "input_shape_of", "input_shapes_of", "other_lengths", "picture_input_of"]

Preprocessing: TypeAlias = Literal["caffe", "tf", "torch", "none"]
PREPROCESSING: tuple[str, ...] = get_args(Preprocessing)

_CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SAID = {
    "caffe": "blue, green and red from 0 to 255 less the mean of ImageNet (--preprocess caffe)",
    "tf": "values from -1 to 1 (--preprocess tf)",
    "torch": "values by mean and standard deviation of ImageNet (--preprocess torch)",
    "none": "values from 0 to 255 (--preprocess none)",
}


@dataclass(frozen=True)
class KerasPictureInput:
    """From a picture (RGB) to a Keras model's input, (H, W, C) or (C, H, W), float32.

    Attributes:
        preprocessing: as ``mode`` of ``keras.applications.imagenet_utils.preprocess_input`` names it, and "none"; "": by mean and std.
        size: None: the picture stays as large as it is.
        mean, std: of each channel, where black is 0 and white 1, for "".
        channels: 3, or 1: the picture is made gray.
        channels_last: whether they are the last axis.

    >>> KerasPictureInput("tf", PictureSize(2, 3))(Image.new("RGB", (9, 6), "white")).shape
    torch.Size([2, 3, 3])
    """

    preprocessing: Preprocessing | Literal[""]
    size: PictureSize | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channels: int = 3
    channels_last: bool = True

    def __call__(self, image: Image.Image) -> Tensor:
        cut = (image if self.size is None else self.size(image)).convert("L" if self.channels == 1 else "RGB")
        values = np.array(cut, dtype=np.float32).reshape(cut.height, cut.width, self.channels)
        scaled = self._scaled(values)
        return torch.from_numpy(np.ascontiguousarray(scaled if self.channels_last else np.moveaxis(scaled, -1, 0)))

    def _scaled(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self.preprocessing == "caffe":
            return np.asarray(values[..., ::-1] - np.asarray(_CAFFE_MEAN, np.float32))
        if self.preprocessing == "tf":
            return np.asarray(values / np.float32(127.5) - np.float32(1.0))
        if self.preprocessing == "none":
            return values
        mean, std = (_TORCH_MEAN, _TORCH_STD) if self.preprocessing == "torch" else (self.mean, self.std)
        return np.asarray((values / np.float32(255.0) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32))

    @property
    def reverses_channels(self) -> bool:
        """Whether the network takes blue first."""
        return self.preprocessing == "caffe"

    @property
    def undone_by(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel of the input, by which it becomes values from 0 to 1 again."""
        if self.preprocessing == "caffe":
            return tuple(value / 255 for value in _CAFFE_MEAN), (1 / 255,) * 3
        if self.preprocessing == "torch":
            return _TORCH_MEAN, _TORCH_STD
        if self.preprocessing == "":
            return self.mean, self.std
        mean, std = (0.5, 0.5) if self.preprocessing == "tf" else (0.0, 1 / 255)
        return (mean,) * self.channels, (std,) * self.channels

    def shown(self, sample: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A network's input as a picture (H, W, C) in [0, 1]."""
        mean, std = self.undone_by
        values = np.clip((sample if self.channels_last else np.moveaxis(sample, 0, -1)) * std + np.asarray(mean), 0.0, 1.0)
        return np.asarray(values[..., ::-1] if self.reverses_channels else values)

    def __str__(self) -> str:
        size = "as large as they are" if self.size is None else str(self.size)
        gray = "made gray; " if self.channels == 1 else ""
        if self.preprocessing:
            return f"{size}; {gray}{_SAID[self.preprocessing]}"
        mean, std = (", ".join(f"{number:.4g}" for number in numbers) for numbers in (self.mean, self.std))
        return f"{size}; {gray}mean {mean}, standard deviation {std}"


def input_shape_of(model: nn.Module) -> tuple[int | None, ...] | None:
    """The shape that a Keras model takes, (None, ...); None: it takes several inputs, or does not say."""
    shape: object = getattr(model, "input_shape", None) if getattr(model, "built", False) else None
    if not isinstance(shape, tuple) or any(not isinstance(length, int | None) for length in shape):
        return None
    return shape


def other_lengths(model: nn.Module, shape: Sequence[int]) -> str:
    """The shape that a Keras model says a sample has, as (200, 2), where one has another shape; "": it has that, or nothing is said."""
    said = input_shape_of(model) if is_keras(model) else None
    if said is None or (len(said) - 1 == len(shape) and all(one in (None, length) for one, length in zip(said[1:], shape, strict=True))):
        return ""
    return f"({', '.join('any' if length is None else str(length) for length in said[1:])})"


def input_shapes_of(model: nn.Module) -> list[tuple[int | None, ...]]:
    """The shapes of all inputs that a Keras model takes, (None, ...); none where it does not say."""
    if (alone := input_shape_of(model)) is not None:
        return [alone]
    inputs = getattr(model, "inputs", None)
    return [tuple(one.shape) for one in inputs] if isinstance(inputs, list) else []


def picture_input_of(
    model: nn.Module,
    preprocessing: Preprocessing | Literal[""],
    size: PictureSize | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> KerasPictureInput:
    """How a picture becomes the input of a Keras model.

    Args:
        model: it says in which layout and size it takes pictures, and whether gray or in colour.
        preprocessing: how values are scaled; "": by mean and std.
        size: needed where the model takes pictures of any size.
        mean, std: of each channel.

    Raises:
        OptionError: the model takes no pictures, another size, or channels that these numbers are not for; or no size is said.
    """
    shape, channels_last = input_shape_of(model), channel_axis(model, 4) != 1
    if shape is not None and len(shape) != 4:
        raise OptionError(f"{_option(preprocessing)}: prepares pictures, and this network takes inputs {shape}; leave it out")
    rows = (None, None, 3) if shape is None else shape[1:] if channels_last else (*shape[2:], shape[1])
    channels = _channels(rows[2], preprocessing)
    if channels == 1 and len(set(zip(mean, std, strict=True))) > 1:
        raise OptionError("--mean and --std: this network takes gray pictures; give one number for each of them")
    found = _size(rows[0], rows[1], size)
    return KerasPictureInput(preprocessing, found, tuple(mean)[:channels], tuple(std)[:channels], channels, channels_last)


def _option(preprocessing: str) -> str:
    return f"--preprocess {preprocessing}" if preprocessing else "--size, --mean and --std"


def _channels(channels: int | None, preprocessing: str) -> int:
    """How many channels a picture is to have.

    Raises:
        OptionError: no picture has so many, or the preprocessing is for colours alone.
    """
    if channels not in (1, 3, None):
        raise OptionError(f"{_option(preprocessing)}: a picture has 3 channels, or 1 if it is gray, and this network takes {channels}")
    if channels == 1 and preprocessing in ("caffe", "torch"):
        raise OptionError(
            f"--preprocess {preprocessing}: is for colours, and this network takes gray pictures; tf, none or --mean and --std"
        )
    return channels or 3


def _size(height: int | None, width: int | None, size: PictureSize | None) -> PictureSize:
    """To which size pictures are brought.

    Raises:
        OptionError: it is not said, or the network takes another one.
    """
    if size is None:
        if height is None or width is None:
            raise OptionError("this network takes pictures of any size; give --size, as 224 or 240x320")
        return PictureSize(height, width)
    if height not in (None, size.height) or width not in (None, size.width):
        raise OptionError(f"--size: this network takes pictures of {height} x {width} (height x width), not {size.height} x {size.width}")
    return size
