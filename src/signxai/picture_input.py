"""How a picture becomes a network's input, said in numbers: its size, and the mean and standard deviation of its channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from signxai.common.errors import OptionError

__all__ = ["PictureInput", "PictureSize", "read_channels"]

_CHANNELS = 3


@dataclass(frozen=True)
class PictureSize:
    """The size in pixels to which a picture is brought: scaled without changing its proportions, and its middle cut out.

    Attributes:
        height, width: of what is cut out.
        side: the shorter side of the scaled picture; None: the picture is scaled as far as it still fills height and width.

    >>> PictureSize.read("256:224"), PictureSize.read("240x320")
    (PictureSize(height=224, width=224, side=256), PictureSize(height=240, width=320, side=None))
    """

    height: int
    width: int
    side: int | None = None

    @classmethod
    def read(cls, text: str) -> PictureSize:
        """A size as it is written.

        Raises:
            OptionError: it is none.
        """
        if found := re.fullmatch(r"(?:([1-9]\d{0,3}):)?([1-9]\d{0,3})", text.strip()):
            side, crop = (None if part is None else int(part) for part in found.groups())
            if crop is not None and (side is None or side >= crop):
                return cls(crop, crop, side or crop)
        elif found := re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text.strip()):
            return cls(*map(int, found.groups()))
        raise OptionError(
            f"--size {text!r}: write 224 (the shorter side is scaled to 224 and the middle 224 x 224 cut out), 256:224 (scaled to 256, "
            "the middle 224 x 224 cut out) or 240x320 (height x width, scaled and cut to fill it), each up to 9999"
        )

    def __str__(self) -> str:
        scaled = f"shorter side scaled to {self.side}, " if self.side else "scaled, "
        return f"{scaled}middle {self.height} x {self.width} (height x width) cut out"

    def __call__(self, image: Image.Image) -> Image.Image:
        if self.side is None:
            return ImageOps.fit(image, (self.width, self.height), Image.Resampling.BILINEAR)
        scaled = functional.resize(image, [self.side], transforms.InterpolationMode.BILINEAR)
        cut: Image.Image = functional.center_crop(scaled, [self.height, self.width])
        return cut


@dataclass(frozen=True)
class PictureInput:
    """From a picture (RGB) to a network's input (3, H, W): brought to a size, values in [0, 1], less the mean, by the standard deviation.

    Attributes:
        size: None: the picture stays as large as it is.
        mean, std: of each channel, where black is 0 and white 1; none: values stay in [0, 1].

    >>> PictureInput(PictureSize(2, 2), (0.5,) * 3, (0.25,) * 3)(Image.new("RGB", (9, 4), "white")).unique()
    tensor([2.])
    """

    size: PictureSize | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __call__(self, image: Image.Image) -> Tensor:
        values: Tensor = functional.to_tensor(image if self.size is None else self.size(image))
        if not self.mean:
            return values
        mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (self.mean, self.std))
        return (values - mean) / std

    def __str__(self) -> str:
        size = "as large as they are" if self.size is None else str(self.size)
        if not self.mean:
            return f"{size}; values in 0 to 1, not normalized"
        return f"{size}; mean {_listed(self.mean)}, standard deviation {_listed(self.std)}"


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)


def read_channels(option: str, text: str, may_be_zero: bool = False) -> tuple[float, ...]:
    """A number for each channel, or one for all, as it is written: where black is 0 and white is 1.

    Args:
        option: by which it is given.
        text: what was given.
        may_be_zero: as a mean may, and a standard deviation may not.

    Raises:
        OptionError: other than one or three numbers, or numbers that cannot be meant for values from 0 to 1.

    >>> read_channels("--mean", "0.485,0.456,0.406"), read_channels("--std", "0.5")
    ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5))
    """
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, _CHANNELS) or not all(0 < number <= 1 or (may_be_zero and number == 0) for number in numbers):
        raise OptionError(
            f"{option} {text!r}: write three numbers (red, green, blue) or one for all, for values from 0 (black) to 1 (white), as "
            "0.485,0.456,0.406; of numbers for values up to 255 give a 255th"
        )
    return numbers if len(numbers) == _CHANNELS else numbers * _CHANNELS
