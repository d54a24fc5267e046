"""Figures: the maps of several methods on one input side by side, on one colour scale.

Nothing here computes relevance or touches pyplot's global state: each function gives a matplotlib ``Figure``,
and its ``savefig`` writes it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import wrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from signxai.common.errors import InputError
from signxai.common.visualization import FloatArray, as_array, normalize_relevance_map, rgb_picture

__all__ = ["Sample", "heading", "image_figure", "signal_figure"]

# Lengths are in inches; font sizes are in points, 72 to the inch.
_IMAGE_WIDTH = 2.9
_TRACE_WIDTH, _TRACE_HEIGHT, _LEAST_TRACES_HEIGHT = 3.9, 0.5, 1.6
_LEAD_NAME, _TIME_AXIS = 0.45, 0.45
_MARGIN, _GAP = 0.24, 0.16
_DOTS = 150  # per inch
_BAR_WIDTH, _BAR_HEIGHT, _BAR_LABELS = 4.6, 0.14, 0.5
_HEADING_SIZE, _TITLE_SIZE, _TEXT_SIZE = 12.0, 10.0, 9.0
_LINE_HEIGHT = 1.4 / 72  # of a line of text, per point of its size
_LETTER_WIDTH = 0.6 / 72  # of a letter, on the wide side, per point of its size

_SCALE = Normalize(-1.0, 1.0)


@dataclass(frozen=True)
class Sample:
    """One explained input: what went in, its map by each method, and the heading above them.

    `x` is an image as `rgb_picture` takes it, or a signal of shape (leads, time) or (time,). A map of an image has the
    shape (H, W) or (C, H, W), where it is summed over the channels; a map of a signal has the signal's own shape.
    A batch axis of length 1 may come first.
    """

    x: npt.ArrayLike
    maps: Mapping[str, npt.ArrayLike]
    heading: str = ""


def heading(predicted: str, logit: float, explained: str = "", explained_logit: float = math.nan) -> str:
    """Say what the network predicts, and which class the maps explain where it is another one.

    >>> heading("tabby", 7.5)
    'predicted tabby (logit 7.50)'
    >>> heading("tabby", 7.5, "lynx", 3.25)
    'predicted tabby (logit 7.50), explained lynx (logit 3.25)'
    """
    said = f"predicted {predicted} (logit {logit:.2f})"
    if explained in ("", predicted):
        return said
    return f"{said}, explained {explained} (logit {explained_logit:.2f})"


def label_heading(explained: str, probability: float, logit: float) -> str:
    """Say of a class that has a probability of its own what the network says of it.

    >>> label_heading("STEMI", 0.9312, 2.605)
    'explained STEMI: 93.12 % (logit 2.60)'
    """
    return f"explained {explained}: {probability * 100:.2f} % (logit {logit:.2f})"


def image_figure(samples: Sample | Sequence[Sample], *, percentile: float = 99, cmap: str = "bwr") -> Figure:
    """Show images and their maps: first the image, then a panel per method, all on one colour scale.

    Args:
        samples: one sample, or several below each other.
        percentile: of |R|, by which each map is divided (`normalize_relevance_map`).
        cmap: a diverging colour map of matplotlib; its middle is relevance 0.

    Raises:
        InputError: no sample, or an image or a map of another shape than `Sample` says.
        OptionError: the percentile lies outside [0, 100].
    """
    rows = [_Row(sample.heading, list(_image_panels(sample, percentile, cmap))) for sample in _listed(samples)]
    return _figure(rows, _image_panel_size([rgb_picture(sample.x) for sample in _listed(samples)]), _bar_label(percentile), cmap)


def signal_figure(
    samples: Sample | Sequence[Sample],
    *,
    percentile: float = 99,
    cmap: str = "coolwarm",
    leads: Sequence[str] = (),
    x_label: str = "time (samples)",
    sampling_rate: float = 1.0,
) -> Figure:
    """Show signals and their maps: a row per lead, its trace coloured by relevance, a panel per method, one colour scale.

    Args:
        samples: one sample, or several below each other.
        percentile: of |R| over all leads, by which each map is divided (`normalize_relevance_map`).
        cmap: a diverging colour map of matplotlib, with a middle that can be seen on white.
        leads: the leads' names, in order; without them they are numbered from 1.
        x_label: what the axis along the signal means.
        sampling_rate: samples per unit of that axis.

    Raises:
        InputError: no sample, another number of names than leads, or a signal or a map of another shape than `Sample` says.
        OptionError: the percentile lies outside [0, 100].
    """
    axis = _SignalAxis(tuple(leads), x_label, sampling_rate)
    rows = [_Row(sample.heading, list(_signal_panels(sample, percentile, cmap, axis))) for sample in _listed(samples)]
    most_leads = max(len(_signal(sample.x)) for sample in _listed(samples))
    height = max(_LEAST_TRACES_HEIGHT, most_leads * _TRACE_HEIGHT)
    return _figure(rows, _PanelSize(_TRACE_WIDTH, height, left=_LEAD_NAME, below=_TIME_AXIS), _bar_label(percentile), cmap)


def _listed(samples: Sample | Sequence[Sample]) -> Sequence[Sample]:
    listed = [samples] if isinstance(samples, Sample) else list(samples)
    if not listed:
        raise InputError("a figure needs at least one sample")
    return listed


def _bar_label(percentile: float) -> str:
    return f"relevance (each map divided by the {percentile:g} % quantile of its |R|)"


# What is drawn: a panel knows its title and how to fill a box of the page.

_Box = tuple[float, float, float, float]  # left, bottom, width, height, as fractions of the figure


@dataclass(frozen=True)
class _Panel:
    title: str
    draw: Callable[[Figure, _Box], None]


@dataclass(frozen=True)
class _Row:
    heading: str
    panels: Sequence[_Panel]


@dataclass(frozen=True)
class _PanelSize:
    width: float
    height: float
    left: float = 0.0
    below: float = 0.0


def _image_panels(sample: Sample, percentile: float, cmap: str) -> Iterator[_Panel]:
    picture = rgb_picture(sample.x)
    yield _Panel("input", partial(_draw_image, pixels=picture))
    for name, values in sample.maps.items():
        relevance = normalize_relevance_map(_image_map(name, values), percentile)
        yield _Panel(name, partial(_draw_image, pixels=relevance, cmap=cmap, norm=_SCALE))


def _image_panel_size(pictures: Sequence[FloatArray]) -> _PanelSize:
    """About `_IMAGE_WIDTH` wide, and as a rule a whole number of dots per pixel, so that each pixel is shown as it is."""
    pixels = len(pictures[0][0])
    dots_per_pixel = round(_IMAGE_WIDTH * _DOTS / pixels)
    width = dots_per_pixel * pixels / _DOTS if dots_per_pixel else _IMAGE_WIDTH
    tallest = max(len(picture) / len(picture[0]) for picture in pictures)
    # The axes keep their image's aspect; bounds keep the panels of a strip of an image from vanishing or running off.
    return _PanelSize(width, width * min(max(tallest, 0.2), 2.0))


def _image_map(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Relevance per pixel, (H, W)."""
    relevance = _without_batch_axis(values, axes=3)
    if relevance.ndim == 3:
        return np.asarray(relevance.sum(axis=0))
    if relevance.ndim == 2:
        return relevance
    raise InputError(f"map {name!r}: the map of an image has the shape (H, W) or (C, H, W), not {relevance.shape}")


def _without_batch_axis(values: npt.ArrayLike, axes: int) -> npt.NDArray[Any]:
    array = as_array(values)
    return array[0] if array.ndim == axes + 1 and len(array) == 1 else array


def _draw_image(figure: Figure, box: _Box, pixels: FloatArray, **colours: Any) -> None:
    axes = figure.add_axes(box)
    # matplotlib would smooth across pixels; only where they are smaller than a dot must it average.
    axes.imshow(pixels, interpolation="nearest" if axes.get_window_extent().width >= len(pixels[0]) - 1 else "antialiased", **colours)
    axes.set_xticks([])
    axes.set_yticks([])


@dataclass(frozen=True)
class _SignalAxis:
    leads: tuple[str, ...]
    label: str
    sampling_rate: float


def _signal_panels(sample: Sample, percentile: float, cmap: str, axis: _SignalAxis) -> Iterator[_Panel]:
    signal = _signal(sample.x)
    if axis.leads and len(axis.leads) != len(signal):
        raise InputError(f"{len(axis.leads)} names for {len(signal)} leads")
    yield _Panel("input", partial(_draw_signal, signal=signal, axis=axis))
    for name, values in sample.maps.items():
        relevance = _signal(values)
        if relevance.shape != signal.shape:
            raise InputError(f"map {name!r}: the map of a signal has the signal's shape {signal.shape}, not {relevance.shape}")
        relevance = normalize_relevance_map(relevance, percentile)
        yield _Panel(name, partial(_draw_signal, signal=signal, axis=axis, relevance=relevance, cmap=cmap))


def _signal(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """The signal as (leads, time)."""
    signal = _without_batch_axis(values, axes=2)
    if signal.ndim not in (1, 2) or signal.size == 0:
        raise InputError(f"a signal has the shape (time,) or (leads, time), not {signal.shape}")
    return np.atleast_2d(signal)


def _draw_signal(
    figure: Figure, box: _Box, signal: npt.NDArray[Any], axis: _SignalAxis, relevance: FloatArray | None = None, cmap: str = ""
) -> None:
    left, bottom, width, height = box
    each = height / len(signal)
    time = np.arange(signal.shape[1]) / axis.sampling_rate
    names = axis.leads or [str(lead + 1) for lead in range(len(signal)) if len(signal) > 1] or [""]
    for lead, trace in enumerate(signal):
        axes = figure.add_axes((left, bottom + height - (lead + 1) * each, width, each))
        axes.plot(time, trace, color="black", linewidth=0.8 if relevance is None else 0.5, zorder=3)
        if relevance is not None:
            _colour_trace(axes, np.stack([time, trace], axis=-1), relevance[lead], cmap)
        _dress_trace(axes, names[lead], axis.label if lead == len(signal) - 1 else "")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=axis.sampling_rate == 1))  # there is no half sample


def _colour_trace(axes: Axes, points: FloatArray, relevance: FloatArray, cmap: str) -> None:
    """Lay a broad line under the trace: each sample colours the halves of the steps to its neighbours."""
    middles = (points[:-1] + points[1:]) / 2
    pieces = np.stack([np.concatenate([points[:1], middles]), points, np.concatenate([middles, points[-1:]])], axis=1)
    # Pieces overlap where samples are dense: the strongest relevance is drawn last, so that no neighbour hides it.
    order = np.argsort(np.abs(relevance), kind="stable")
    line = LineCollection(list(pieces[order]), array=relevance[order], cmap=cmap, norm=_SCALE, linewidths=3.5, capstyle="round")
    axes.add_collection(line, autolim=False)


def _dress_trace(axes: Axes, name: str, x_label: str) -> None:
    axes.margins(x=0.01, y=0.15)
    axes.set_yticks([])
    axes.set_ylabel(name, fontsize=_TEXT_SIZE, rotation=0, ha="right", va="center", parse_math=False)
    axes.set_xlabel(x_label, fontsize=_TEXT_SIZE, parse_math=False)
    axes.tick_params(labelsize=_TEXT_SIZE, labelbottom=bool(x_label), bottom=bool(x_label))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_visible(bool(x_label))


# Where it is drawn. The page is a pile of bands whose heights are added up before anything is drawn,
# so that neither long names nor many rows can make two things overlap.


@dataclass(frozen=True)
class _Band:
    height: float
    draw: Callable[["_Page", float], None]  # given the band's bottom, in inches


@dataclass(frozen=True)
class _Page:
    figure: Figure
    width: float
    height: float

    def box(self, left: float, bottom: float, width: float, height: float) -> _Box:
        return left / self.width, bottom / self.height, width / self.width, height / self.height

    def write(self, text: str, x: float, y: float, size: float, **style: Any) -> None:
        # A dollar sign in a file's name is no formula.
        self.figure.text(x / self.width, y / self.height, text, fontsize=size, parse_math=False, **style)


def _figure(rows: Sequence[_Row], size: _PanelSize, bar_label: str, cmap: str) -> Figure:
    columns = _columns(max(len(row.panels) for row in rows), len(rows))
    width = max(2 * _MARGIN + columns * (size.left + size.width + _GAP) - _GAP, 2 * _MARGIN + _BAR_WIDTH)
    bands = [_space(_MARGIN)]
    for row in rows:
        if row is not rows[0]:
            bands.append(_space(2 * _GAP))
        bands.append(_heading_band(row.heading, width))
        for first in range(0, len(row.panels), columns):
            bands += _panel_bands(row.panels[first : first + columns], size)
    bands.append(_bar_band(bar_label, cmap))
    height = sum(band.height for band in bands)
    page = _Page(Figure(figsize=(width, height), dpi=_DOTS), width, height)
    for band in bands:
        height -= band.height
        band.draw(page, height)
    return page.figure


def _columns(panels: int, rows: int) -> int:
    """How many panels stand side by side: few enough that their titles stay readable on a screen.

    >>> [_columns(panels, rows=1) for panels in (2, 4, 5, 9, 10)]
    [2, 4, 3, 3, 4]
    """
    if rows > 1:
        return min(panels, 5)
    return panels if panels <= 4 else math.ceil(math.sqrt(panels))


def _space(height: float) -> _Band:
    return _Band(height, lambda page, bottom: None)


def _heading_band(text: str, width: float) -> _Band:
    lines = wrap(text, int((width - 2 * _MARGIN) / (_LETTER_WIDTH * _HEADING_SIZE)))
    height = len(lines) * _LINE_HEIGHT * _HEADING_SIZE

    def draw(page: _Page, bottom: float) -> None:
        page.write("\n".join(lines), _MARGIN, bottom + height, _HEADING_SIZE, va="top", weight="bold")

    return _Band(height, draw)


def _panel_bands(panels: Sequence[_Panel], size: _PanelSize) -> list[_Band]:
    titles = [_title(panel.title, size.width) for panel in panels]
    title_height = max(title.count("\n") + 1 for title in titles) * _LINE_HEIGHT * _TITLE_SIZE

    def left(column: int) -> float:
        return _MARGIN + column * (size.left + size.width + _GAP) + size.left

    def draw_titles(page: _Page, bottom: float) -> None:
        for column, title in enumerate(titles):
            page.write(title, left(column) + size.width / 2, bottom + 0.04, _TITLE_SIZE, ha="center", va="bottom")

    def draw_panels(page: _Page, bottom: float) -> None:
        for column, panel in enumerate(panels):
            panel.draw(page.figure, page.box(left(column), bottom + size.below, size.width, size.height))

    return [_Band(title_height + 0.08, draw_titles), _Band(size.height + size.below, draw_panels), _space(_GAP)]


def _title(name: str, width: float) -> str:
    """Break a name behind underscores into lines that fit the width.

    >>> print(_title("lrpsign_epsilon_0_25_std_x_mu_0_5", 2.0))
    lrpsign_epsilon_0_25_
    std_x_mu_0_5
    """
    letters = int(width / (_LETTER_WIDTH * _TITLE_SIZE))
    # textwrap breaks at spaces: the underscores become spaces for the time of the breaking.
    return "_\n".join(line.replace(" ", "_") for line in wrap(name.replace("_", " "), letters - 1, break_on_hyphens=False))


def _bar_band(label: str, cmap: str) -> _Band:
    def draw(page: _Page, bottom: float) -> None:
        axes = page.figure.add_axes(page.box((page.width - _BAR_WIDTH) / 2, bottom + _BAR_LABELS, _BAR_WIDTH, _BAR_HEIGHT))
        bar = page.figure.colorbar(ScalarMappable(_SCALE, cmap), cax=axes, orientation="horizontal", ticks=[-1, -0.5, 0, 0.5, 1])
        bar.ax.tick_params(labelsize=_TEXT_SIZE)
        bar.set_label(label, fontsize=_TEXT_SIZE)

    return _Band(_BAR_HEIGHT + _BAR_LABELS + 0.05, draw)
