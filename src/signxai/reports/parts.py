"""What of an entry is drawn, and how: a picture, a signal, or numbers. An entry of a model with several inputs has several such parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from signxai.datasets.store import Store
from signxai.datasets.views import PictureView, SignalView, ValuesView, View, check_fits
from signxai.reports.encoding import picture_uri, traces
from signxai.reports.reducing import block_means, extremes, factor_for

__all__ = ["Part", "PicturePart", "SignalPart", "ValuesPart", "named", "parts_of"]

Array = npt.NDArray[Any]

_PAGE_PIXELS, _THUMB_PIXELS = 512, 80
_PAGE_SAMPLES, _THUMB_SAMPLES, _THUMB_LEADS = 2000, 160, 12
_PAGE_VALUES, _THUMB_VALUES, _LISTED = 4096, 96, 40
_TILE = 8  # JPEG's blocks
_RGB = 3


@dataclass(frozen=True)
class Part(ABC):
    """One input of each entry.

    Attributes:
        name: of the input; "": the only one.
        shape: without the batch axis.
    """

    kind: ClassVar[str]
    name: str
    shape: tuple[int, ...]

    @property
    @abstractmethod
    def plane_shape(self) -> tuple[int, int]:
        """Of a map as a page draws it."""

    @abstractmethod
    def planes(self, relevance: Array) -> Array:
        """Maps (n, ...) as a page draws them, float32 (n, rows, columns)."""

    @abstractmethod
    def thumbs(self, planes: Array) -> Array:
        """The same as the gallery draws them."""

    @abstractmethod
    def page_input(self, value: Array) -> dict[str, Any]:
        """An input as its page draws it."""

    @abstractmethod
    def thumb_inputs(self, values: Array) -> dict[str, Any]:
        """Inputs (n, ...) as the gallery draws them."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """What the pages' script has to know to draw it."""

    @property
    def note(self) -> str:
        """What is left out of the drawing; "": nothing."""
        return ""

    @property
    @abstractmethod
    def average_shape(self) -> tuple[int, ...] | None:
        """Of what ``averaged`` gives of an input; None: it gives nothing."""

    @abstractmethod
    def averaged(self, values: Array) -> Array:
        """Inputs (n, ...) as they are averaged, to be shown beside the mean of their maps, float32."""

    def page_average(self, mean: Array) -> dict[str, Any] | None:
        """A mean of them as a page draws it; None: it is listed."""
        return None

    def thumb_averages(self, means: Array) -> dict[str, Any]:
        """Means (n, ...) of them as the overview draws them."""
        return {}

    def largest(self, relevance: Array, value: Array | None) -> list[dict[str, Any]]:
        """The places of a map of numbers with the largest |R|; of what is drawn as a whole, none."""
        return []

    def _described(self) -> dict[str, Any]:
        shape = self.plane_shape
        thumb = self.thumbs(np.zeros((1, *shape), np.float32)).shape[1:]
        return {"kind": self.kind, "name": self.name, "shape": list(shape), "thumb": list(thumb)}


@dataclass(frozen=True)
class PicturePart(Part):
    """A picture (C, H, W)."""

    kind = "picture"
    view: PictureView

    @property
    def plane_shape(self) -> tuple[int, int]:
        height, width = self.shape[-2:]
        return -(-height // self._factor), -(-width // self._factor)

    @property
    def _factor(self) -> int:
        return factor_for(max(self.shape[-2:]), _PAGE_PIXELS)

    @property
    def note(self) -> str:
        summed = "Relevance is summed over the channels. " if self.shape[0] > 1 else ""
        return summed + (f"Each point is the mean of {self._factor} x {self._factor} pixels." if self._factor > 1 else "")

    def planes(self, relevance: Array) -> Array:
        summed = relevance.astype(np.float32).reshape(len(relevance), -1, *self.shape[-2:]).sum(1)
        return block_means(summed, self._factor)

    def thumbs(self, planes: Array) -> Array:
        return block_means(planes, factor_for(max(planes.shape[1:]), _THUMB_PIXELS))

    def page_input(self, value: Array) -> dict[str, Any]:
        return {"image": picture_uri(_bytes(block_means(self._pixels(value[None]), self._factor))[0])}

    def thumb_inputs(self, values: Array) -> dict[str, Any]:
        pixels = block_means(self._pixels(values), self._factor)
        small = _bytes(block_means(pixels, factor_for(max(self.plane_shape), _THUMB_PIXELS)))
        height = small.shape[1]
        stride = -(-height // _TILE) * _TILE
        tiles = np.pad(small, ((0, 0), (0, stride - height), (0, 0), (0, 0)), mode="edge")
        return {"image": picture_uri(tiles.reshape(-1, *tiles.shape[2:])), "stride": stride}

    def _pixels(self, values: Array) -> Array:
        """Pixels in [0, 1], (n, 1 or 3, H, W), with the preprocessing undone, or each picture spread from black to white."""
        pictures: Array = values.astype(np.float32).reshape(len(values), -1, *self.shape[-2:])
        channels = pictures.shape[1]
        if values.dtype == np.uint8:
            pictures = pictures / 255
        elif len(self.view.mean) == channels:
            pictures = pictures * _by_channel(self.view.std) + _by_channel(self.view.mean)
        else:
            pictures = _spread(pictures)
        return pictures if channels in (1, _RGB) else pictures.mean(1, keepdims=True)

    def described(self) -> dict[str, Any]:
        return self._described() | {"spread": self.is_spread}

    @property
    def is_spread(self) -> bool:
        """Whether pictures are shown from black to white, as nobody says what their values mean."""
        return len(self.view.mean) != self.shape[0]

    @property
    def average_shape(self) -> tuple[int, ...]:
        return _RGB if self.shape[0] == _RGB else 1, *self.plane_shape

    def averaged(self, values: Array) -> Array:
        return block_means(self._pixels(values), self._factor)

    def page_average(self, mean: Array) -> dict[str, Any]:
        return {"image": picture_uri(_bytes(mean[None])[0])}


@dataclass(frozen=True)
class SignalPart(Part):
    """A signal (leads, samples), or (samples,)."""

    kind = "signal"
    view: SignalView

    @property
    def _leads(self) -> int:
        return int(np.prod(self.shape[:-1]))

    @property
    def _factor(self) -> int:
        return factor_for(self.shape[-1], _PAGE_SAMPLES)

    @property
    def plane_shape(self) -> tuple[int, int]:
        return self._leads, -(-self.shape[-1] // self._factor)

    @property
    def note(self) -> str:
        return f"Each point is the extreme of {self._factor} samples." if self._factor > 1 else ""

    def planes(self, relevance: Array) -> Array:
        return extremes(relevance.astype(np.float32).reshape(len(relevance), *self._rows), self._factor)

    @property
    def _rows(self) -> tuple[int, int]:
        return self._leads, self.shape[-1]

    def thumbs(self, planes: Array) -> Array:
        return extremes(planes[:, :_THUMB_LEADS], factor_for(planes.shape[-1], _THUMB_SAMPLES))

    @property
    def average_shape(self) -> tuple[int, int]:
        return self.plane_shape

    def averaged(self, values: Array) -> Array:
        return _trace(values.astype(np.float32).reshape(len(values), *self._rows), self._factor)

    def page_average(self, mean: Array) -> dict[str, Any]:
        return traces(mean)

    def page_input(self, value: Array) -> dict[str, Any]:
        return traces(self.averaged(value[None]))

    def thumb_inputs(self, values: Array) -> dict[str, Any]:
        return self.thumb_averages(self.averaged(values))

    def thumb_averages(self, means: Array) -> dict[str, Any]:
        whole = means[:, :_THUMB_LEADS]
        return traces(_trace(whole, factor_for(whole.shape[-1], _THUMB_SAMPLES)))

    def described(self) -> dict[str, Any]:
        rate = self.view.sampling_rate
        leads = list(self.view.lead_names)
        names = leads if len(leads) == self._leads else [f"channel {lead + 1}" for lead in range(self._leads)]
        said = {"units": self.view.units, "zero": self.view.zero_at_s, "event": self.view.event}
        return self._described() | said | {"leads": names, "rate": None if rate is None else rate / self._factor, "step": self._factor}


@dataclass(frozen=True)
class ValuesPart(Part):
    """Numbers (n,), or an array of any other shape as numbers in a row."""

    kind = "values"
    view: ValuesView

    @property
    def _count(self) -> int:
        return int(np.prod(self.shape))

    @property
    def _factor(self) -> int:
        return factor_for(self._count, _PAGE_VALUES)

    @property
    def plane_shape(self) -> tuple[int, int]:
        return 1, -(-self._count // self._factor)

    @property
    def note(self) -> str:
        if self._count <= _LISTED:
            return ""
        shape = " x ".join(map(str, self.shape))
        return f"Of the {self._count} numbers ({shape}) the {_LISTED} with the largest relevance are listed."

    @property
    def average_shape(self) -> tuple[int, int] | None:
        return self.plane_shape if self._factor == 1 else None

    def averaged(self, values: Array) -> Array:
        return values.astype(np.float32).reshape(len(values), 1, -1)

    def planes(self, relevance: Array) -> Array:
        return extremes(relevance.astype(np.float32).reshape(len(relevance), 1, -1), self._factor)

    def thumbs(self, planes: Array) -> Array:
        return extremes(planes, factor_for(planes.shape[-1], _THUMB_VALUES))

    def page_input(self, value: Array) -> dict[str, Any]:
        return {}

    def thumb_inputs(self, values: Array) -> dict[str, Any]:
        return {}

    def largest(self, relevance: Array, value: Array | None) -> list[dict[str, Any]]:
        flat = relevance.astype(np.float64).ravel()
        order = np.arange(len(flat)) if len(flat) <= _LISTED else np.argsort(-np.abs(flat), kind="stable")[:_LISTED]
        longest = float(np.abs(flat).max()) or 1.0
        inputs = [None] * len(flat) if value is None else value.ravel().tolist()
        return [
            {"name": self._name(int(place)), "value": inputs[place], "relevance": float(flat[place]), "share": float(flat[place]) / longest}
            for place in order
        ]

    def _name(self, place: int) -> str:
        if len(self.view.names) == self._count:
            return str(self.view.names[place])
        if self._count == 1:
            return self.name or "the value"
        indices = [int(index) for index in np.unravel_index(place, self.shape)]
        return ", ".join(map(str, indices))

    def described(self) -> dict[str, Any]:
        return self._described()


def named(content: Any) -> dict[str, Any]:
    """What belongs to each input of the model, by its name; the only one's is "".

    >>> named(1), named({"age": 1})
    ({'': 1}, {'age': 1})
    """
    return dict(content) if isinstance(content, Mapping) else {"": content}


def parts_of(store: Store, row: int) -> list[Part]:
    """What of a store's entries is drawn: the inputs that have relevance.

    Args:
        store: of relevance maps.
        row: of an entry that was explained.

    Raises:
        InputError: the store's view does not fit its maps.
    """
    maps = named(store.relevance(store.methods[0], [row]))
    return [_part(name, view, maps[name].shape[1:]) for name, view in named(store.view).items() if name in maps]


def _part(name: str, view: View, shape: Sequence[int]) -> Part:
    """How an input of this shape is drawn; of one without any values, nothing."""
    check_fits(view, shape, name)
    if isinstance(view, PictureView) and all(shape):
        return PicturePart(name, tuple(shape), view)
    if isinstance(view, SignalView) and all(shape):
        return SignalPart(name, tuple(shape), view)
    return ValuesPart(name, tuple(shape), view if isinstance(view, ValuesView) else ValuesView())


def _by_channel(numbers: Sequence[float]) -> Array:
    return np.asarray(numbers, dtype=np.float32)[:, None, None]


def _spread(pictures: Array) -> Array:
    """Each picture of (n, C, H, W) from black to white; one of a single value is gray."""
    low, high = (edge(pictures, axis=(1, 2, 3), keepdims=True) for edge in (np.min, np.max))
    return np.asarray(np.where(high > low, (pictures - low) / np.where(high > low, high - low, 1), np.float32(0.5)))


def _bytes(pixels: Array) -> Array:
    """Pixels (n, 1 or 3, H, W) in [0, 1] as uint8 RGB (n, H, W, 3)."""
    whole = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return np.repeat(np.moveaxis(whole, 1, -1), _RGB // pixels.shape[1], axis=-1)


def _trace(signals: Array, factor: int) -> Array:
    """Signals (..., samples) by what deviates most from the mean of each, of ``factor`` neighbours."""
    if factor == 1:
        return signals
    middle = signals.mean(-1, keepdims=True)
    return np.asarray(extremes(signals - middle, factor) + middle)
