"""Figures of several inputs of one model: a row for each input, a column for each method, one colour scale for all inputs of a sample.

Nothing here computes relevance or touches pyplot's global state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from signxai.common.errors import InputError
from signxai.common.visualization import RELEVANCE_COLOURS, FloatArray, as_array, normalize_relevance_map, require_finite, rgb_picture
from signxai.figures.pages import SCALE, TEXT_SIZE, Panel, PanelSize, Row, bar_label, hinted, page_of
from signxai.figures.panels import SignalAxis, draw_bars, draw_image, draw_signal, draw_values, draw_words
from signxai.figures.places import AxesLike, Place
from signxai.figures.text_plots import draw_tokens, height_of_tokens

__all__ = ["InputsSample", "check_inputs", "inputs_figure", "spread"]

Array = npt.NDArray[Any]
Several = Mapping[str, npt.ArrayLike] | Sequence[npt.ArrayLike | None]
"""By the keys of inputs, or in their order; None where there is none."""

# In inches.
_WIDTH, _IMAGE_HEIGHT, _TRACE_HEIGHT, _LEAST_TRACES_HEIGHT, _LINE_HEIGHT, _TIME_AXIS = 3.9, 2.9, 0.5, 1.0, 0.24, 0.45
_LEAST_LABEL, _LETTER_WIDTH = 0.45, 0.085

_MOST_LEADS = 32
_MOST_BARS = 24
_LONGEST_NAME = 24
_MOST_MAPS = 4  # side by side


@dataclass(frozen=True)
class InputsSample:
    """One sample of a model with several inputs.

    Attributes:
        x: what went in, by input, without a batch axis.
        maps: by method, then by input: relevance in the shape of the input. An input without relevance is left out.
        heading: what stands above it.
        pictures: of some inputs that are images the picture to show, as `rgb_picture` takes it, where what went in was made of it; others
            are shown from the darkest to the brightest value.
        turned: the methods whose maps have their signs turned; the colour bar says so. It also says what the sides of a map stand for whose
            numbers are no shares of a score, as slopes (`gradient`).
    """

    x: Mapping[str, npt.ArrayLike]
    maps: Mapping[str, Mapping[str, npt.ArrayLike]]
    heading: str = ""
    pictures: Mapping[str, npt.ArrayLike] = field(default_factory=dict)
    turned: Collection[str] = ()

    @staticmethod
    def of_batch(x: Several, relevance: Mapping[str, Any] | Sequence[Any], row: int = 0, heading: str = "") -> InputsSample:
        """One sample of a batch.

        Args:
            x: the inputs (N, ...), as ``signxai.explain`` took them: a mapping, or a tuple or list, whose parts are called "input_0" and
                so on.
            relevance: what ``signxai.explain`` gave for them, or ``explain_all``, by method.
            row: which sample.
            heading: what stands above it.

        Raises:
            InputError: if there is no such sample, or the relevance is not in the structure of the inputs.

        >>> x = {"ecg": np.zeros((4, 2, 50)), "meta": np.zeros((4, 2))}
        >>> sample = InputsSample.of_batch(x, {"lrp_z": {"ecg": np.ones((4, 2, 50))}}, row=3)
        >>> {method: list(maps) for method, maps in sample.maps.items()}
        {'lrp_z': ['ecg']}
        """
        inputs = _by_name(x)
        is_by_method = isinstance(relevance, Mapping) and any(isinstance(part, Mapping | tuple | list) for part in relevance.values())
        maps = {method: _by_name(part) for method, part in relevance.items()} if is_by_method else {"relevance": _by_name(relevance)}  # type: ignore[union-attr]
        for method, of_inputs in maps.items():
            if unknown := [name for name in of_inputs if name not in inputs]:
                raise InputError(f"map {method!r}: has relevance of {unknown[0]!r}, which is none of the inputs {', '.join(inputs)}")
        return InputsSample(_row_of(inputs, row), {method: _row_of(part, row) for method, part in maps.items()}, heading)


def _by_name(parts: Any) -> dict[str, Array]:
    if isinstance(parts, Mapping):
        return {str(key): as_array(value) for key, value in parts.items() if value is not None}
    if isinstance(parts, tuple | list):
        return {f"input_{number}": as_array(value) for number, value in enumerate(parts) if value is not None}
    raise InputError(
        f"several inputs are a mapping, a tuple or a list, not a {type(parts).__name__}; one input is drawn by image_figure "
        "or signal_figure of signxai.figures.map_plots"
    )


def _row_of(parts: Mapping[str, Array], row: int) -> dict[str, Array]:
    for name, values in parts.items():
        if not values.ndim or not -len(values) <= row < len(values):
            raise InputError(f"row={row}: {name!r} of shape {values.shape} has no such sample; the first axis counts them")
    return {name: values[row] for name, values in parts.items()}


def inputs_figure(
    samples: InputsSample | Sequence[InputsSample],
    *,
    percentile: float = 99,
    one_scale: bool = True,
    cmap: str = RELEVANCE_COLOURS,
    names: Mapping[str, Sequence[str]] | None = None,
    sampling_rates: Mapping[str, float] | None = None,
    axes: AxesLike | None = None,
) -> Figure:
    """Show several inputs and their relevance: a row per input, first the input itself, then a panel per method.

    The colours of a method are one scale for all inputs of a sample, so that a value of one input can be compared with one of another.
    Above each panel stands the share of the sum of |R| that the input holds. An input without relevance by any method, as a mask,
    is named above and not drawn.

    What an input is, is told by its shape and type, without the batch axis: integers are token ids, a cell each; numbers (H, W, C) or
    (C, H, W) an image, whose relevance is summed over the channels; (leads, time) a signal of at most 32 leads, or else a matrix; up to 24
    numbers a list with a bar for each, as long as its relevance, and more of them a trace.

    Args:
        samples: one sample, or several below each other.
        percentile: of |R| over all inputs, by which each method's maps are divided (`normalize_relevance_map`). What is beyond it has
            the colour of the scale's end: so a few tokens do, beside the many pixels of an image that share as much relevance.
        one_scale: False gives each input a scale of its own, by that percentile of its own |R|: then colours say nothing between inputs.
        cmap: a diverging colour map of matplotlib; its middle is relevance 0.
        names: by input, the names of numbers in a list, of leads, or of tokens.
        sampling_rates: by input, samples per second of a signal.
        axes: as for `signxai.figures.map_plots.image_figure`.

    Raises:
        InputError: no sample, nothing with relevance, relevance of another shape than its input or not finite, another number of names
            than there are things to name, or an input that no panel can show.
        OptionError: the percentile lies outside [0, 100].

    >>> x = {"ecg": np.zeros((2, 50)), "meta": np.array([63.0, 1.0])}
    >>> relevance = {"ecg": np.ones((2, 50)), "meta": np.array([300.0, 0.0])}
    >>> figure = inputs_figure(InputsSample(x, {"lrp_z": relevance}), names={"meta": ["age", "sex"]})
    >>> [text.get_text() for text in figure.texts if "meta" in text.get_text()]
    ['meta', "lrp_z\\nmeta: 75.0 % of all |R|\\nlargest: 300 times the colours' end"]
    """
    listed = [samples] if isinstance(samples, InputsSample) else list(samples)
    if not listed:
        raise InputError("a figure needs at least one sample")
    labels = _Labels(names or {}, sampling_rates or {})
    scale = _Scale(percentile, one_scale, cmap)
    methods = [method for sample in listed for method in sample.maps]
    turned = [method in sample.turned for sample in listed for method in sample.maps]
    rows = [
        replace(row, panels=hinted(row.panels, sample.turned, methods, turned)) for sample in listed for row in _rows(sample, scale, labels)
    ]
    left = max(row.size.left for row in rows)
    rows = [replace(row, size=replace(row.size, left=left)) for row in rows]
    label = bar_label(percentile, "each method's maps of a sample" if one_scale else "each map", "; beside bars as it is", turned, methods)
    return page_of(rows, label, cmap, axes)


def check_inputs(x: Mapping[str, npt.ArrayLike], names: Mapping[str, Sequence[str]] | None = None) -> None:
    """Refuse inputs of a sample that no panel can show.

    Raises:
        InputError: one has more than three axes or no values, or another number of names than there are things to name.

    >>> check_inputs({"ecg": np.zeros((12, 500)), "meta": np.zeros(2)}, {"meta": ["age", "sex"]})
    """
    for name, values in x.items():
        _kind_of(name, as_array(values), _Labels(names or {}, {}))


@dataclass(frozen=True)
class _Labels:
    names: Mapping[str, Sequence[str]]
    sampling_rates: Mapping[str, float]


_FAR_BEYOND = 10.0
"""From so many times the end of the colours on, a panel says that colours no longer tell how much."""


@dataclass(frozen=True)
class _Scale:
    percentile: float
    is_one: bool
    cmap: str

    def coloured(self, maps: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Maps of a method, brought to [-1, 1] together, or each by itself."""
        if not self.is_one or not maps:
            return {name: normalize_relevance_map(values, self.percentile) for name, values in maps.items()}
        together = normalize_relevance_map(np.concatenate([values.ravel() for values in maps.values()]), self.percentile)
        parts = np.split(together, np.cumsum([values.size for values in maps.values()])[:-1])
        return {name: part.reshape(values.shape) for (name, values), part in zip(maps.items(), parts, strict=True)}

    def times_beyond(self, relevance: FloatArray, maps: Mapping[str, FloatArray]) -> float:
        """How many times the end of the colours the largest value is; 0 where each map has a scale of its own."""
        if not self.is_one:
            return 0.0
        sizes = np.abs(np.concatenate([values.ravel() for values in maps.values()]))
        end = float(np.percentile(sizes, self.percentile)) or float(sizes.max())
        return float(np.abs(relevance).max()) / end if end else 0.0


def _rows(sample: InputsSample, scale: _Scale, labels: _Labels) -> list[Row]:
    """A row for each input, and of more methods than there is room for others below them."""
    maps = {method: _checked(method, parts, sample.x) for method, parts in sample.maps.items()}
    shown = [name for name in sample.x if any(name in parts for parts in maps.values())]
    if not shown:
        raise InputError(f"no input has relevance: the inputs are {', '.join(sample.x)}")
    without = ", ".join(name for name in sample.x if name not in shown)
    heading = "; ".join(part for part in (sample.heading, without and f"without relevance: {without}") if part)
    kinds = {name: _kind_of(name, as_array(sample.x[name]), labels, sample.pictures.get(name)) for name in shown}
    columns = [_Column(method, parts, kinds, scale) for method, parts in maps.items()]
    rows: list[Row] = []
    for first in range(0, len(columns), _MOST_MAPS):
        for name, kind in kinds.items():
            panels = [Panel(name, kind.draw_input, is_input=True), *(column.panel(name) for column in columns[first : first + _MOST_MAPS])]
            size = PanelSize(_WIDTH, kind.height, kind.left, kind.below)
            rows.append(Row("" if rows else heading, panels, size, goes_on=bool(rows)))
    return rows


def _checked(method: str, parts: Mapping[str, npt.ArrayLike], x: Mapping[str, npt.ArrayLike]) -> dict[str, FloatArray]:
    """The maps of a method, each of an input that is there, in its shape."""
    found = {}
    for name, values in parts.items():
        relevance = as_array(values).astype(np.float64)
        if name not in x:
            raise InputError(f"map {method!r}: has relevance of {name!r}, which is none of the inputs {', '.join(x)}")
        if relevance.shape != (shape := as_array(x[name]).shape):
            raise InputError(f"map {method!r}: relevance of {name!r} has the input's shape {shape}, not {relevance.shape}")
        require_finite(relevance, f"map {method!r}: relevance of {name!r}")
        found[name] = relevance
    return found


class _Column:
    """The maps of one method of one sample."""

    def __init__(self, method: str, maps: Mapping[str, FloatArray], kinds: Mapping[str, _Kind], scale: _Scale) -> None:
        self.method, self.cmap, self.kinds = method, scale.cmap, kinds
        self.shown = {name: kinds[name].shown(relevance) for name, relevance in maps.items()}
        self.coloured = scale.coloured(self.shown)
        self.strengths = {name: float(np.abs(relevance).sum()) for name, relevance in maps.items()}
        self.beyond = {name: scale.times_beyond(relevance, self.shown) for name, relevance in self.shown.items()}

    def panel(self, name: str) -> Panel:
        if name not in self.shown:
            return Panel(self.method, partial(draw_words, words="no relevance by this method"), _short(name))
        total = sum(self.strengths.values())
        share = f"{self.strengths[name] / total * 100:.1f} % of all |R|" if total else "relevance is 0 everywhere"
        draw = partial(self.kinds[name].draw_map, relevance=self.shown[name], coloured=self.coloured[name], cmap=self.cmap)
        beyond = f"\nlargest: {self.beyond[name]:,.0f} times the colours' end" if self.beyond[name] >= _FAR_BEYOND else ""
        return Panel(self.method, draw, f"{_short(name)}: {share}{beyond}")


# What an input is


class _Kind(Protocol):
    """How an input is shown, and in how much room, in inches."""

    @property
    def height(self) -> float: ...
    @property
    def left(self) -> float: ...
    @property
    def below(self) -> float: ...

    def shown(self, relevance: FloatArray) -> FloatArray:
        """What of the relevance is coloured."""

    def draw_input(self, place: Place) -> None: ...

    def draw_map(self, place: Place, relevance: FloatArray, coloured: FloatArray, cmap: str) -> None: ...


def _kind_of(name: str, x: Array, labels: _Labels, picture: npt.ArrayLike | None = None) -> _Kind:
    names = tuple(labels.names.get(name, ()))
    if x.ndim > 3 or not x.size:
        raise InputError(
            f"the input {name!r} of shape {x.shape} cannot be drawn: panels show images, signals (leads, time), lists of numbers and token "
            "ids; keep its relevance as an array"
        )
    if np.iscomplexobj(x) or (not np.issubdtype(x.dtype, np.number) and x.dtype != np.bool_):
        raise InputError(f"the input {name!r} holds {x.dtype}, which cannot be drawn; leave its relevance out")
    if np.issubdtype(x.dtype, np.integer) and x.ndim < 3:
        return _Ids(_named(name, names, x.size, "tokens") or tuple(str(number) for number in x.ravel()))
    if x.ndim == 3:
        return _Picture.of(x, picture)
    if x.ndim == 2 and len(x) > _MOST_LEADS:
        return _Picture(spread(x), None, "auto")
    if x.ndim < 2 and (names or x.size <= _MOST_BARS):
        listed = _named(name, names, x.size, "numbers") or tuple(str(number + 1) for number in range(x.size))
        return _Values(x.ravel().astype(np.float64), tuple(_short(text) for text in listed))
    rate = labels.sampling_rates.get(name)
    label = "index" if x.ndim < 2 and rate is None else "time (samples)" if rate is None else "time from the start (s)"
    signal = np.atleast_2d(x)
    return _Signal(signal, SignalAxis(_named(name, names, len(signal), "leads"), label, rate or 1.0))


def _named(name: str, names: tuple[str, ...], count: int, what: str) -> tuple[str, ...]:
    if names and len(names) != count:
        raise InputError(f"{len(names)} names for the {count} {what} of {name!r}")
    return names


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def _label_width(names: Sequence[str]) -> float:
    return max(_LEAST_LABEL, max(map(len, names), default=0) * _LETTER_WIDTH + 0.12)


def spread(pixels: Array) -> FloatArray:
    """Pixels as gray values from 0 to 1; those in [0, 1] as they are."""
    values = pixels.astype(np.float64) / (255.0 if pixels.dtype == np.uint8 else 1.0)
    low, high = float(values.min()), float(values.max())
    return values if low >= 0 and high <= 1 else (values - low) / ((high - low) or 1.0)


@dataclass(frozen=True)
class _Picture:
    """An image, or a matrix of numbers.

    Attributes:
        pixels: (H, W, C) or (H, W), in [0, 1].
        channel_axis: of what it was made of; None: it has none.
        aspect: "equal", or "auto" if it fills the panel.
    """

    pixels: FloatArray
    channel_axis: int | None
    aspect: str = "equal"
    left: float = 0.0
    below: float = 0.0

    @classmethod
    def of(cls, x: Array, picture: npt.ArrayLike | None) -> _Picture:
        """An image whose channels come last if there are one or three of them there, and first otherwise."""
        axis = 2 if x.shape[2] in (1, 3) else 0
        if picture is not None:
            return cls(rgb_picture(picture), axis)
        pixels = np.moveaxis(spread(x), axis, 2)
        return cls(pixels if pixels.shape[2] in (1, 3) else pixels.mean(axis=2), axis)

    @property
    def height(self) -> float:
        high, wide = self.pixels.shape[:2]
        return min(_IMAGE_HEIGHT, max(0.6, _WIDTH * high / wide)) if self.aspect == "equal" else _IMAGE_HEIGHT

    def shown(self, relevance: FloatArray) -> FloatArray:
        return relevance if self.channel_axis is None else np.asarray(relevance.sum(axis=self.channel_axis))

    def draw_input(self, place: Place) -> None:
        draw_image(place, rgb_picture(self.pixels), aspect=self.aspect)

    def draw_map(self, place: Place, relevance: FloatArray, coloured: FloatArray, cmap: str) -> None:
        draw_image(place, coloured, cmap=cmap, norm=SCALE, aspect=self.aspect)


@dataclass(frozen=True)
class _Signal:
    """A signal (leads, time)."""

    signal: Array
    axis: SignalAxis
    below: float = _TIME_AXIS

    @property
    def left(self) -> float:
        return _label_width(self.axis.leads)

    @property
    def height(self) -> float:
        return max(_LEAST_TRACES_HEIGHT, len(self.signal) * _TRACE_HEIGHT)

    def shown(self, relevance: FloatArray) -> FloatArray:
        return np.atleast_2d(relevance)

    def draw_input(self, place: Place) -> None:
        draw_signal(place, self.signal, self.axis)

    def draw_map(self, place: Place, relevance: FloatArray, coloured: FloatArray, cmap: str) -> None:
        draw_signal(place, self.signal, self.axis, coloured, cmap)


@dataclass(frozen=True)
class _Values:
    """A list of numbers, each with its name."""

    values: FloatArray
    names: tuple[str, ...]
    below: float = 0.0

    @property
    def left(self) -> float:
        return _label_width(self.names)

    @property
    def height(self) -> float:
        return len(self.names) * _LINE_HEIGHT

    def shown(self, relevance: FloatArray) -> FloatArray:
        return relevance.ravel()

    def draw_input(self, place: Place) -> None:
        draw_values(place, self.values, self.names)

    def draw_map(self, place: Place, relevance: FloatArray, coloured: FloatArray, cmap: str) -> None:
        draw_bars(place, relevance, self.names, coloured, cmap)


@dataclass(frozen=True)
class _Ids:
    """Token ids in lines, a cell each."""

    texts: tuple[str, ...]
    left: float = 0.0
    below: float = 0.0

    @property
    def cells(self) -> list[str]:
        """What is written, with the room beside it."""
        return [f" {' '.join(text.split()) or '␣'} " for text in self.texts]

    @property
    def height(self) -> float:
        return height_of_tokens(self.cells, _WIDTH, TEXT_SIZE)

    def shown(self, relevance: FloatArray) -> FloatArray:
        return relevance.ravel()

    def draw_input(self, place: Place) -> None:
        self.draw_map(place, np.zeros(0), np.zeros(len(self.cells)), RELEVANCE_COLOURS)

    def draw_map(self, place: Place, relevance: FloatArray, coloured: FloatArray, cmap: str) -> None:
        draw_tokens(place.whole(), self.cells, coloured, SCALE, cmap)
