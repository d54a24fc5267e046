"""Entries and their maps as pictures of three channels (H, W, 3), for programs that show nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from signxai.common.errors import OptionError
from signxai.datasets.views import PictureView, SignalView

__all__ = ["PictureRendering", "Rendering", "SignalRendering", "rendering_of"]

Array = npt.NDArray[Any]

_CHANNELS = 3
_LEAST = 4
"""Pixels along each side, at least: of a smaller picture nobody could tell which axis the channels are."""
_BAND, _WIDEST = 64, 1024
"""Pixels of a lead's height, and of a signal's width, at most."""


class Rendering(Protocol):
    """How entries become pictures."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3 channels."""

    def pictures(self, inputs: Array) -> Array:
        """Entries (n, ...) as pictures (n, H, W, 3), uint8."""

    def maps(self, relevance: Array) -> Array:
        """Their maps in the same places (n, H, W, 3), float32, of the same sums."""


def rendering_of(path: Path, view: Any, sample: Any) -> Rendering:
    """How entries of a store are drawn.

    Args:
        path: of the store, for messages.
        view: how it says they are drawn.
        sample: the maps of some entries.

    Raises:
        OptionError: they are neither pictures nor signals, of one input.
    """
    if isinstance(view, PictureView) and sample.ndim == 4 and sample.shape[1] in (1, _CHANNELS):
        return PictureRendering(view, tuple(sample.shape[1:]))
    if isinstance(view, SignalView) and sample.ndim == 3:
        return SignalRendering(*sample.shape[1:])
    what = f"are arrays {tuple(sample.shape[1:])}" if hasattr(sample, "shape") else "have several inputs"
    raise OptionError(f"{path}: its entries {what}; pictures (C, H, W) of 1 or 3 channels and signals (leads, samples) can be exported")


@dataclass(frozen=True)
class PictureRendering:
    """Pictures as they were before the network's preprocessing.

    Attributes:
        view: with the mean and standard deviation that are undone; without them each picture is spread from black to white.
        sample_shape: channels, height and width.
    """

    view: PictureView
    sample_shape: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3 channels."""
        _, height, width = self.sample_shape
        return height * self._times, width * self._times, _CHANNELS

    @property
    def _times(self) -> int:
        """How often each pixel is repeated along both sides."""
        return -(-_LEAST // min(self.sample_shape[1:]))

    def pictures(self, inputs: Array) -> Array:
        """Pictures (n, H, W, 3), uint8, of inputs (n, C, H, W)."""
        values = np.asarray(inputs, dtype=np.float64)
        values = self._undone(values) if len(self.view.mean) else _spread_out(values)
        channels = values if values.shape[1] == _CHANNELS else values.repeat(_CHANNELS, axis=1)
        return np.asarray(self._laid_out((255 * np.clip(channels, 0, 1)).round().astype(np.uint8)))

    def maps(self, relevance: Array) -> Array:
        """Maps (n, H, W, 3), float32; of one channel in the first, so that the sum over channels is the map."""
        values = np.zeros((len(relevance), _CHANNELS, *self.sample_shape[1:]), dtype=np.float32)
        values[:, : relevance.shape[1]] = relevance
        return self._laid_out(values / np.float32(self._times**2))

    def _undone(self, values: Array) -> Array:
        mean, std = (np.asarray(numbers, dtype=np.float64)[None, :, None, None] for numbers in (self.view.mean, self.view.std))
        return np.asarray(values * std + mean)

    def _laid_out(self, values: Array) -> Array:
        """Channels last, pixels repeated."""
        return np.moveaxis(values.repeat(self._times, axis=2).repeat(self._times, axis=3), 1, 3)


def _spread_out(values: Array) -> Array:
    """Each entry from 0 to 1."""
    axes = tuple(range(1, values.ndim))
    low, high = values.min(axes, keepdims=True), values.max(axes, keepdims=True)
    return np.asarray((values - low) / np.where(high > low, high - low, 1))


@dataclass(frozen=True)
class SignalRendering:
    """Signals as dark lines on white, a band for each lead; a map colours the column of its sample in the lead's band.

    Attributes:
        leads, samples: of each entry; more samples than a picture is wide are drawn by their extremes.
    """

    leads: int
    samples: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3 channels."""
        return self.leads * _BAND, max(_LEAST, min(self.samples, _WIDEST)), _CHANNELS

    def pictures(self, inputs: Array) -> Array:
        """Pictures (n, H, W, 3), uint8, of inputs (n, leads, samples)."""
        heights = (1 - _spread_out(np.asarray(inputs, dtype=np.float64))) * (_BAND - 1)
        tops, bottoms = (reduce.reduceat(heights, self._starts(), axis=2).round() for reduce in (np.minimum, np.maximum))
        joined = slice(None), slice(None), slice(1, None)
        before_tops, before_bottoms = tops[..., :-1].copy(), bottoms[..., :-1].copy()
        tops[joined] = np.minimum(tops[joined], before_bottoms)
        bottoms[joined] = np.maximum(bottoms[joined], before_tops)
        levels = np.arange(_BAND)[:, None]
        is_line = (levels >= tops[:, :, None]) & (levels <= bottoms[:, :, None])
        grey = np.where(is_line, 0, 255).astype(np.uint8).reshape(len(inputs), self.leads * _BAND, -1)
        return np.repeat(grey[..., None], _CHANNELS, axis=3)

    def maps(self, relevance: Array) -> Array:
        """Maps (n, H, W, 3), float32: what a column's samples have, spread evenly over its lead's band, in the first channel."""
        columns = np.add.reduceat(np.asarray(relevance, dtype=np.float64), self._starts(), axis=2)
        shares = 1.0 if self.samples >= _LEAST else np.array([1 / np.bincount(self._starts())[self._starts()]])
        values = np.zeros((len(relevance), *self.shape), dtype=np.float32)
        values[..., 0] = (columns * shares / _BAND).repeat(_BAND, axis=1)
        return values

    def _starts(self) -> npt.NDArray[np.int64]:
        """The sample with which each column begins."""
        width = self.shape[1]
        return np.arange(width) * self.samples // width
