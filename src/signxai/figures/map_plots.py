"""Figures: the maps of several methods on one input side by side, on one colour scale.

Nothing here computes relevance or touches pyplot's global state: each function gives a matplotlib ``Figure``,
and its ``savefig`` writes it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from signxai.common.errors import InputError
from signxai.common.visualization import (
    RELEVANCE_COLOURS,
    FloatArray,
    as_array,
    normalize_relevance_map,
    overlay_relevance,
    require_finite,
    rgb_picture,
    summed_over_channels,
)
from signxai.figures.pages import DOTS, SCALE, Panel, PanelSize, Row, bar_label, hinted, page_of
from signxai.figures.panels import SignalAxis, draw_image, draw_signal
from signxai.figures.places import AxesLike

__all__ = ["Sample", "heading", "image_figure", "label_heading", "signal_figure"]

# In inches.
_IMAGE_WIDTH = 2.9
_TRACE_WIDTH, _TRACE_HEIGHT, _LEAST_TRACES_HEIGHT = 3.9, 0.5, 1.6
_LEAD_NAME, _TIME_AXIS = 0.45, 0.45


@dataclass(frozen=True)
class Sample:
    """One explained input: what went in, its map by each method, and the heading above them.

    `x` is an image as `rgb_picture` takes it, or a signal of shape (leads, time) or (time,). A map of an image has the
    shape (H, W), (C, H, W) or (H, W, C), where it is summed over the channels; a map of a signal has the signal's own shape.
    A batch axis of length 1 may come first. `turned` are the methods whose maps have their signs turned, as those of LRP have where the
    logit that they are shares of is below 0: then the colour bar says so. It also says what the sides of a map stand for whose numbers are
    no shares of a score, as slopes (`gradient`): by the method's name.
    """

    x: npt.ArrayLike
    maps: Mapping[str, npt.ArrayLike]
    heading: str = ""
    turned: Collection[str] = ()


def _turned(samples: Sequence[Sample]) -> list[bool]:
    """Of each map of samples whether its signs are turned."""
    return [method in sample.turned for sample in samples for method in sample.maps]


def _methods(samples: Sequence[Sample]) -> list[str]:
    """Of each map of samples its method."""
    return [method for sample in samples for method in sample.maps]


def heading(
    predicted: str,
    logit: float,
    explained: str = "",
    explained_logit: float = math.nan,
    *,
    probability: float | None = None,
    explained_probability: float | None = None,
) -> str:
    """Say what the network predicts, and which class the maps explain where it is another one.

    >>> heading("tabby", 7.5, probability=0.9312)
    'predicted tabby: 93.12 % (logit 7.50)'
    >>> heading("tabby", 7.5, "lynx", 3.25)
    'predicted tabby (logit 7.50), explained lynx (logit 3.25)'
    """
    said = f"predicted {_with_numbers(predicted, probability, logit)}"
    if explained in ("", predicted):
        return said
    return f"{said}, explained {_with_numbers(explained, explained_probability, explained_logit)}"


def label_heading(explained: str, probability: float, logit: float) -> str:
    """Say of a class that has a probability of its own what the network says of it.

    >>> label_heading("STEMI", 0.9312, 2.605)
    'explained STEMI: 93.12 % (logit 2.60)'
    """
    return f"explained {_with_numbers(explained, probability, logit)}"


def _with_numbers(name: str, probability: float | None, logit: float) -> str:
    return f"{name}{'' if probability is None else f': {probability * 100:.2f} %'} (logit {logit:.2f})"


def image_figure(
    samples: Sample | Sequence[Sample],
    *,
    percentile: float = 99,
    cmap: str = RELEVANCE_COLOURS,
    overlay: bool = False,
    axes: AxesLike | None = None,
) -> Figure:
    """Show images and their maps: first the image, then a panel per method, all on one colour scale.

    Args:
        samples: one sample, or several below each other.
        percentile: of |R|, by which each map is divided (`normalize_relevance_map`).
        cmap: a diverging colour map of matplotlib; its middle is relevance 0.
        overlay: lay the maps over the image in gray, the more opaque the stronger the relevance (`overlay_relevance`).
        axes: draw on these, without headings: one for each panel in order, or, without the images, one for each map; None: on a page of
            its own.

    Raises:
        InputError: no sample, an image or a map of another shape than `Sample` says, a map with NaN or infinity, more samples than a
            page holds, or another number of axes.
        OptionError: the percentile lies outside [0, 100].

    >>> axes = Figure().subplots(1, 2)
    >>> figure = image_figure(Sample(np.zeros((4, 4)), {"grad_cam": np.ones((4, 4)), "lrp_z": np.ones((4, 4))}), axes=axes)
    >>> [each.get_title() for each in axes]
    ['grad_cam', 'lrp_z']
    """
    listed = _listed(samples)
    size, methods = _image_panel_size([_picture_of(sample) for sample in listed]), _methods(listed)
    panels = [hinted(_image_panels(sample, percentile, cmap, overlay), sample.turned, methods, _turned(listed)) for sample in listed]
    rows = [Row(sample.heading, of_sample, size) for sample, of_sample in zip(listed, panels, strict=True)]
    more = "; weaker is more transparent" if overlay else ""
    return page_of(rows, bar_label(percentile, "each map", more, _turned(listed), methods), cmap, axes)


def signal_figure(
    samples: Sample | Sequence[Sample],
    *,
    percentile: float = 99,
    cmap: str = RELEVANCE_COLOURS,
    leads: Sequence[str] = (),
    x_label: str = "time (samples)",
    sampling_rate: float = 1.0,
    axes: AxesLike | None = None,
) -> Figure:
    """Show signals and their maps: a row per lead, its trace coloured by relevance, a panel per method, one colour scale.

    Args:
        samples: one sample, or several below each other.
        percentile: of |R| over all leads, by which each map is divided (`normalize_relevance_map`).
        cmap: a diverging colour map of matplotlib, with a middle that can be seen on white.
        leads: the leads' names, in order; without them they are numbered from 1.
        x_label: what the axis along the signal means.
        sampling_rate: samples per unit of that axis.
        axes: as for `image_figure`; the leads of a signal are axes within them.

    Raises:
        InputError: no sample, another number of names than leads, a signal or a map of another shape than `Sample` says, or a map with
            NaN or infinity.
        OptionError: the percentile lies outside [0, 100].
    """
    axis = SignalAxis(tuple(leads), x_label, sampling_rate)
    listed = _listed(samples)
    methods = _methods(listed)
    most_leads = max(len(_signal(sample.x)) for sample in listed)
    height = max(_LEAST_TRACES_HEIGHT, most_leads * _TRACE_HEIGHT)
    size = PanelSize(_TRACE_WIDTH, height, left=_LEAD_NAME, below=_TIME_AXIS)
    panels = [hinted(_signal_panels(sample, percentile, cmap, axis), sample.turned, methods, _turned(listed)) for sample in listed]
    rows = [Row(sample.heading, of_sample, size) for sample, of_sample in zip(listed, panels, strict=True)]
    return page_of(rows, bar_label(percentile, turned=_turned(listed), methods=methods), cmap, axes)


def _listed(samples: Sample | Sequence[Sample]) -> Sequence[Sample]:
    listed = [samples] if isinstance(samples, Sample) else list(samples)
    if not listed:
        raise InputError("a figure needs at least one sample")
    return listed


def _image_panels(sample: Sample, percentile: float, cmap: str, overlay: bool) -> Iterator[Panel]:
    picture = _picture_of(sample)
    yield Panel("input", partial(draw_image, pixels=picture), is_input=True)
    for name, values in sample.maps.items():
        relevance = _image_map(name, values, picture.shape)
        if overlay:
            yield Panel(name, partial(draw_image, pixels=overlay_relevance(picture, relevance, percentile=percentile, cmap=cmap)))
        else:
            yield Panel(name, partial(draw_image, pixels=normalize_relevance_map(relevance, percentile), cmap=cmap, norm=SCALE))


def _picture_of(sample: Sample) -> FloatArray:
    """What is shown of the image.

    Raises:
        InputError: as `rgb_picture` does; of values outside [0, 1] with what shows them.
    """
    x = as_array(sample.x)
    if np.issubdtype(x.dtype, np.floating) and np.isfinite(x).all() and x.size and not 0 <= x.min() <= x.max() <= 1:
        raise InputError(
            f"the image has values from {x.min():.3g} to {x.max():.3g}, as a network's input has; a picture has floats in [0, 1]: give the "
            "one that it was made of (Classifier.picture), or let signxai.show(x, relevance) show it from darkest to brightest"
        )
    return rgb_picture(sample.x)


def _image_panel_size(pictures: Sequence[FloatArray]) -> PanelSize:
    """About `_IMAGE_WIDTH` wide, and as a rule a whole number of dots per pixel, so that each pixel is shown as it is."""
    pixels = len(pictures[0][0])
    dots_per_pixel = round(_IMAGE_WIDTH * DOTS / pixels)
    width = dots_per_pixel * pixels / DOTS if dots_per_pixel else _IMAGE_WIDTH
    tallest = max(len(picture) / len(picture[0]) for picture in pictures)
    # The axes keep their image's aspect; bounds keep the panels of a strip of an image from vanishing or running off.
    return PanelSize(width, width * min(max(tallest, 0.2), 2.0))


def _image_map(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Relevance per pixel, (H, W)."""
    relevance = _without_batch_axis(values, axes=3)
    require_finite(relevance, f"map {name!r}")
    if relevance.ndim not in (2, 3):
        raise InputError(f"map {name!r}: the map of an image has the shape (H, W), (C, H, W) or (H, W, C), not {relevance.shape}")
    return summed_over_channels(relevance, shape)


def _without_batch_axis(values: npt.ArrayLike, axes: int) -> npt.NDArray[Any]:
    array = as_array(values)
    return array[0] if array.ndim == axes + 1 and len(array) == 1 else array


def _signal_panels(sample: Sample, percentile: float, cmap: str, axis: SignalAxis) -> Iterator[Panel]:
    signal = _signal(sample.x)
    if axis.leads and len(axis.leads) != len(signal):
        raise InputError(f"{len(axis.leads)} names for {len(signal)} leads")
    yield Panel("input", partial(draw_signal, signal=signal, axis=axis), is_input=True)
    for name, values in sample.maps.items():
        relevance = _signal(values)
        if relevance.shape != signal.shape:
            raise InputError(f"map {name!r}: the map of a signal has the signal's shape {signal.shape}, not {relevance.shape}")
        require_finite(relevance, f"map {name!r}")
        relevance = normalize_relevance_map(relevance, percentile)
        yield Panel(name, partial(draw_signal, signal=signal, axis=axis, relevance=relevance, cmap=cmap))


def _signal(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """The signal as (leads, time)."""
    signal = _without_batch_axis(values, axes=2)
    if signal.ndim not in (1, 2) or signal.size == 0:
        raise InputError(f"a signal has the shape (time,) or (leads, time), not {signal.shape}")
    return np.atleast_2d(signal)
