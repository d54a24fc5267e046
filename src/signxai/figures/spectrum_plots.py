"""Figures of the relevance of frequencies: over a whole signal, and over time.

Nothing here computes relevance or touches pyplot's global state.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from signxai.common.errors import InputError, OptionError
from signxai.common.visualization import RELEVANCE_COLOURS, FloatArray, as_array
from signxai.figures.glyphs import readable
from signxai.figures.lines import in_lines
from signxai.figures.pages import check_height
from signxai.figures.places import AxesLike, figure_of, listed_axes
from signxai.figures.relevance_colours import TEXT_SIZE, beyond, label_bar, relevance_norm
from signxai.methods.sign_words import is_share

__all__ = ["SpectrumSample", "highest_telling", "plot_spectrogram", "plot_spectrum", "plot_spectrum_maps"]

AxesArray = npt.NDArray[np.object_]


class SpectralRelevance(Protocol):
    """Relevance of frequencies, as ``signxai.timeseries.dft_relevance`` gives it."""

    @property
    def relevance(self) -> Any:
        """(..., frequencies), signed."""

    @property
    def frequencies(self) -> Any:
        """(frequencies,), in Hz."""


class ShortTimeRelevance(SpectralRelevance, Protocol):
    """Relevance of frequencies in windows, as ``signxai.timeseries.stdft_relevance`` gives it: (..., frames, frequencies)."""

    @property
    def times(self) -> Any:
        """(frames,), in seconds."""


# Lengths in inches
_WIDTH, _BAR_BAND = 9.0, 0.75
_BAR_WIDTH, _BAR_HEIGHT, _BAR_LABELS = 4.6, 0.14, 0.5
_SPECTRUM_HEIGHT, _LEAST_SPECTRUM_HEIGHT = 2.0, 0.9
_SPECTROGRAM_HEIGHT, _LEAST_SPECTROGRAM_HEIGHT = 2.4, 1.3
_MANY_LEADS = 4
_DOTS = 150  # per inch
_POINTS = 72  # to the inch
_TITLE_SIZE, _NAME_SIZE = 12.0, 10.0
_LETTER = 0.7  # width of a letter, on the wide side, per point of its size
_LINE = 1.4 / _POINTS  # height of a line of text, per point of its size
_THINNEST_BAR = 2.4
"""Points: a hairline shows no colour. Of so many frequencies that bars overlap, the outline of the strongest is seen."""
_EDGE = 0.4
"""Points of gray to both sides of a bar, so that a pale one is seen."""
_NAME_GAP = 8.0  # points between a lead's name and its numbers
_PANEL_BAR_BAND, _BAR_GAP = 0.9, 0.1


def plot_spectrum(
    signal: npt.ArrayLike,
    spectral: SpectralRelevance,
    *,
    lead_names: Sequence[str] = (),
    units: str = "mV",
    highest: float | None = None,
    title: str = "",
    limit: float | None = None,
    percentile: float = 100,
    cmap: str = RELEVANCE_COLOURS,
    method: str = "",
    axes: AxesLike | None = None,
) -> AxesArray:
    """Draw the amplitudes of a signal's frequencies, and beside them their signed relevance, over the frequency in Hz.

    All leads share the scale of relevance, in height and in colour. Amplitudes have a scale of their own in each lead; the
    one at 0 Hz, the signal's mean, may run off it.

    Args:
        signal: (leads, samples) or (samples,).
        spectral: what `dft_relevance` gives for it.
        lead_names: in the order of the leads; without them they are numbered from 1.
        units: of the signal.
        highest: the largest frequency shown, in Hz; None: the one up to which 99 % of the sum of |R| and of the power of all leads
            (without their means) lie. What lies above it is said below the figure.
        title: above the figure.
        limit: relevance at the ends of the colour scale, which is symmetric about 0 and the same for all leads; None: the
            percentile.
        percentile: of |R| over what is shown, in [0, 100].
        cmap: a diverging colour map of matplotlib.
        method: by which the relevance of the samples is; the colour bar says so where that is no share of a score, as slopes (`gradient`).
        axes: draw on these (leads, 2), without the title; None: on a figure of their own.

    Returns:
        Axes (leads, 2): the amplitudes and the relevance of each lead; their ``figure`` has ``savefig``.

    Raises:
        InputError: the signal, the relevance and the names do not fit each other.
        OptionError: `highest`, `limit` or `percentile` out of range.

    >>> from signxai.timeseries.frequency import dft_relevance
    >>> signal, relevance = np.sin(np.arange(100.0)), np.ones(100)
    >>> plot_spectrum(signal, dft_relevance(signal, relevance, sampling_rate=50)).shape
    (1, 2)
    """
    spectrum = _spectrum(signal, spectral, lead_names, units, highest, limit, percentile)
    figure, grid = _page(len(spectrum.names), 2, spectrum.height, title, axes)
    _draw_spectrum(grid, spectrum, cmap)
    _finish(figure, grid, spectrum.label, spectrum.relevance, spectrum.norm, cmap, method)
    return grid


@dataclass(frozen=True, eq=False)
class SpectrumSample:
    """One explained signal: what went in, the relevance of its frequencies by each method, and what is known of it.

    Attributes:
        signal: (leads, samples) or (samples,).
        maps: from a method's name, or any other title, to what `dft_relevance` gives; at least one.
        heading: above the maps.
        lead_names: in the order of the leads; without them they are numbered from 1.
        turned: the titles of maps whose signs are turned; their colour bars say so, and which maps are by a method whose numbers are no
            shares of a score, as slopes (`gradient`).
    """

    signal: npt.ArrayLike
    maps: Mapping[str, SpectralRelevance]
    heading: str = ""
    lead_names: Sequence[str] = ()
    turned: Collection[str] = ()


def plot_spectrum_maps(
    samples: SpectrumSample | Sequence[SpectrumSample],
    *,
    units: str = "mV",
    highest: float | None = None,
    percentile: float = 100,
    cmap: str = RELEVANCE_COLOURS,
    axes: Sequence[AxesLike] | None = None,
) -> list[AxesArray]:
    """Draw several spectra and their relevance on one page, each as `plot_spectrum` does, with a colour bar of its own.

    Args:
        samples: one sample, or several below each other.
        units, percentile, cmap: as for `plot_spectrum`, for each map.
        highest: as for `plot_spectrum`, for all maps together.
        axes: those (leads, 2) of each map, sample by sample, as `plot_spectrum` takes them; None: on a page of its own.

    Returns:
        Axes (leads, 2) of each map, sample by sample; their ``figure.figure`` has ``savefig``.

    Raises:
        InputError: no sample or no map, one whose parts do not fit each other, or more samples than a page holds.
        OptionError: `highest` or `percentile` out of range.

    >>> from signxai.timeseries.frequency import dft_relevance
    >>> signal = np.sin(np.arange(100.0))
    >>> maps = {"one": dft_relevance(signal, np.ones(100)), "two": dft_relevance(signal, signal)}
    >>> [axes.shape for axes in plot_spectrum_maps(SpectrumSample(signal, maps), units="g")]
    [(1, 2), (1, 2)]
    """
    listed = [samples] if isinstance(samples, SpectrumSample) else list(samples)
    if not listed or not all(sample.maps for sample in listed):
        raise InputError("a figure needs at least one sample, and each sample a map")
    highest = (highest_telling(listed) or None) if highest is None else highest
    if axes is not None:
        return _on_axes(listed, axes, {"units": units, "highest": highest, "percentile": percentile, "cmap": cmap})
    bands = [band for sample in listed for band in _bands(sample, units, highest, percentile)]
    heights = [band.height for band in bands]
    check_height(sum(heights), len(listed))
    figure = Figure(figsize=(_WIDTH, sum(heights)), dpi=_DOTS, layout="constrained")
    places = figure.subfigures(len(bands), 1, squeeze=False, height_ratios=heights)[:, 0]
    grids = []
    for place, band in zip(places, bands, strict=True):
        if band.spectrum is None:
            style: dict[str, Any] = {"fontsize": _TITLE_SIZE, "weight": "bold", "va": "center", "parse_math": False}
            place.text(0.01, 0.5, "\n".join(band.text), **style)
        else:
            grids.append(_draw_band(place, band.spectrum, band.text, band.is_turned, cmap))
    readable(figure)
    return grids


def _on_axes(samples: Sequence[SpectrumSample], axes: Sequence[AxesLike], options: Mapping[str, Any]) -> list[AxesArray]:
    maps = [(sample, title, spectral) for sample in samples for title, spectral in sample.maps.items()]
    if len(axes) != len(maps):
        raise InputError(f"{len(axes)} groups of axes for {len(maps)} maps; give axes (leads, 2) for each, in order")
    return [
        plot_spectrum(sample.signal, spectral, lead_names=sample.lead_names, method=title, axes=each, **options)
        for (sample, title, spectral), each in zip(maps, axes, strict=True)
    ]


_FREQUENCY = "frequency (Hz)"
_TELLING = 0.99
_LEAST_BINS = 8


def _telling_frequency(frequencies: FloatArray, relevance: FloatArray, amplitudes: FloatArray) -> float:
    r"""The frequency up to which 99 % of the sum of |R| over all leads lie, and of their power without their means.

    Args:
        frequencies: (bins,), in Hz, rising.
        relevance, amplitudes: (leads, bins).

    >>> frequencies, amplitudes = np.arange(100.0), np.zeros((1, 100))
    >>> amplitudes[0, [10, 60]] = 1.0, 0.05
    >>> _telling_frequency(frequencies, np.where(frequencies == 20, 1.0, 0.0)[None], amplitudes)
    20.0
    """
    power = np.square(amplitudes)
    power[:, 0] = 0.0
    # Of the power of all leads together, as the noise of a lead that has hardly any would reach to the end.
    shares = [np.abs(relevance).sum(axis=0), power.sum(axis=0)]
    found = [int(np.searchsorted(np.cumsum(share), _TELLING * share.sum())) for share in shares if share.any()]
    least = min(_LEAST_BINS, len(frequencies)) - 1  # a few bars are no axis
    return float(frequencies[max([least, *found])])


def highest_telling(samples: Sequence[SpectrumSample]) -> float:
    r"""The frequency in Hz up to which 99 % of the sum of |R| of each map lie, and of the power of all leads without their means.

    Raises:
        InputError: a sample whose parts do not fit each other.
    """
    spectra = [
        _spectrum(sample.signal, spectral, sample.lead_names, "", math.inf, None, 100)
        for sample in samples
        for spectral in sample.maps.values()
    ]
    return max(_telling_frequency(spectrum.frequencies, spectrum.relevance, spectrum.amplitudes) for spectrum in spectra)


def _said_of_the_rest(relevance: FloatArray, shown: npt.NDArray[np.bool_]) -> str:
    """What share of the relevance lies beyond the axis, where any does."""
    strength = np.abs(relevance)
    beyond_it = float(strength[..., ~shown].sum())
    return f"; {beyond_it / strength.sum():.1%} of the relevance lies above" if beyond_it else ""


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Frequencies (bins,) that are shown, and amplitudes and relevance (leads, bins) of each lead."""

    frequencies: FloatArray
    amplitudes: FloatArray
    relevance: FloatArray
    names: Sequence[str]
    units: str
    norm: Normalize
    label: str

    @property
    def height(self) -> float:
        return _SPECTRUM_HEIGHT if len(self.names) < _MANY_LEADS else _LEAST_SPECTRUM_HEIGHT


def _spectrum(
    signal: npt.ArrayLike,
    spectral: SpectralRelevance,
    lead_names: Sequence[str],
    units: str,
    highest: float | None,
    limit: float | None,
    percentile: float,
) -> _Spectrum:
    traces = _leads(signal, axes=1, name="signal", shape="(samples,) or (leads, samples)")
    relevance = _leads(spectral.relevance, axes=1, name="relevance", shape="(bins,) or (leads, bins)")
    n = len(traces[0])
    if relevance.shape != (len(traces), n // 2 + 1):
        raise InputError(f"a signal of shape {traces.shape} has relevance of {(len(traces), n // 2 + 1)}, not {relevance.shape}")
    frequencies, amplitudes = as_array(spectral.frequencies), _amplitudes(traces)
    shown = frequencies <= (_telling_frequency(frequencies, relevance, amplitudes) if highest is None else _asked_for(highest))
    label = _FREQUENCY + _said_of_the_rest(relevance, shown)
    relevance = relevance[:, shown]
    norm = relevance_norm(relevance, limit, percentile)
    return _Spectrum(frequencies[shown], amplitudes[:, shown], relevance, _names(lead_names, len(traces)), units, norm, label)


def _draw_spectrum(grid: AxesArray, spectrum: _Spectrum, cmap: str) -> None:
    for (left, right), name, amplitude, values in zip(grid, spectrum.names, spectrum.amplitudes, spectrum.relevance, strict=True):
        _draw_amplitudes(left, spectrum.frequencies, amplitude)
        _draw_relevance(right, spectrum.frequencies, values, spectrum.norm, cmap)
        _set_reach(right, spectrum.relevance)
        left.set_ylabel(name, fontsize=_NAME_SIZE, weight="bold", rotation=0, ha="right", va="center", parse_math=False)
        left.yaxis.labelpad = _NAME_GAP
    figure_of(grid[0, 0]).align_ylabels(grid[:, 0])
    for axes, heading in zip(grid[0], (f"amplitude ({spectrum.units})", "relevance"), strict=True):
        axes.set_title(heading, fontsize=TEXT_SIZE, parse_math=False)


@dataclass(frozen=True, eq=False)
class _Band:
    """A part of the page, from side to side: a heading, or a spectrum with its title."""

    text: Sequence[str]
    spectrum: _Spectrum | None = None
    is_turned: bool = False

    @property
    def height(self) -> float:
        if self.spectrum is None:
            return _LINE * _TITLE_SIZE * (len(self.text) + 1)
        return _LINE * _NAME_SIZE * len(self.text) + len(self.spectrum.names) * self.spectrum.height + _PANEL_BAR_BAND


def _bands(sample: SpectrumSample, units: str, highest: float | None, percentile: float) -> Iterator[_Band]:
    if sample.heading:
        yield _Band(_in_lines(sample.heading))
    for title, spectral in sample.maps.items():
        yield _Band(
            [title], _spectrum(sample.signal, spectral, sample.lead_names, units, highest, None, percentile), title in sample.turned
        )


def _draw_band(place: SubFigure, spectrum: _Spectrum, title: Sequence[str], is_turned: bool, cmap: str) -> AxesArray:
    grid = _grid(place, len(spectrum.names), 2)
    _draw_spectrum(grid, spectrum, cmap)
    for axes in grid[-1]:
        axes.set_xlabel(spectrum.label, fontsize=TEXT_SIZE)
    place.suptitle("\n".join(title), fontsize=_NAME_SIZE, parse_math=False)
    bar: dict[str, Any] = {"ax": list(grid.flat), "location": "bottom", "shrink": _BAR_WIDTH / _WIDTH, "aspect": _BAR_WIDTH / _BAR_HEIGHT}
    bar["pad"] = _BAR_GAP / (len(spectrum.names) * spectrum.height)
    extend = beyond(spectrum.relevance, spectrum.norm)
    drawn = place.colorbar(ScalarMappable(spectrum.norm, cmap), extend=extend, **bar)
    _label_bar(drawn, spectrum.relevance, spectrum.norm, is_turned, title[0])
    return grid


def _label_bar(bar: Colorbar, relevance: FloatArray, norm: Normalize, is_turned: bool, method: str) -> None:
    """What the colours mean; slopes that frequencies share out say of none of these what a larger value does."""
    label_bar(bar, relevance, norm, is_turned)
    if relevance.any() and not is_share(method):
        bar.set_label("below 0 ← part of the map's sum → above 0", fontsize=TEXT_SIZE)


def plot_spectrogram(
    short_time: ShortTimeRelevance,
    *,
    lead_names: Sequence[str] = (),
    highest: float | None = None,
    start: float = 0.0,
    title: str = "",
    limit: float | None = None,
    percentile: float = 99,
    cmap: str = RELEVANCE_COLOURS,
    method: str = "",
    axes: AxesLike | None = None,
) -> AxesArray:
    """Draw signed relevance over time and frequency, each lead in a panel of its own, on one scale with 0 in its middle.

    A window's colours reach half a hop to either side of the window's middle.

    Args:
        short_time: what `stdft_relevance` gives for a signal (leads, samples) or (samples,).
        start: time of the first sample, in seconds.
        lead_names, highest, title, limit, percentile, cmap, method: as for `plot_spectrum`.
        axes: draw on these (leads,), without the title; None: on a figure of their own.

    Returns:
        Axes (leads,); their ``figure`` has ``savefig``.

    Raises:
        InputError: relevance of another shape, or names that do not fit.
        OptionError: `highest`, `limit`, `percentile` or `start` out of range.

    >>> from signxai.timeseries.frequency import stdft_relevance
    >>> relevance = stdft_relevance(np.sin(np.arange(100.0)), np.ones(100), window_length=20, sampling_rate=50)
    >>> plot_spectrogram(relevance)[0].get_ylabel()
    'frequency (Hz)'
    """
    if not math.isfinite(start):
        raise OptionError(f"start={start}: it must be finite")
    relevance = _leads(short_time.relevance, axes=2, name="relevance", shape="(frames, bins) or (leads, frames, bins)")
    frequencies, times = as_array(short_time.frequencies), start + as_array(short_time.times)
    window = _step(frequencies, otherwise=1.0)  # the distance of frequencies is one over the window's seconds
    over_time = np.abs(relevance).sum(axis=1)
    end = _telling_frequency(frequencies, over_time, np.zeros_like(over_time)) if highest is None else _asked_for(highest)
    shown = frequencies <= end
    said = _said_of_the_rest(relevance, shown)
    relevance = relevance[..., shown]
    norm = relevance_norm(relevance, limit, percentile)
    names = _names(lead_names, len(relevance))
    height = _SPECTROGRAM_HEIGHT if len(relevance) < _MANY_LEADS else _LEAST_SPECTROGRAM_HEIGHT
    figure, grid = _page(len(relevance), 1, height, title, axes)
    edges = _edges(times, _step(times, otherwise=1 / window)), _edges(frequencies[shown], window)
    for each, name, values in zip(grid[:, 0], names, relevance, strict=True):
        each.pcolormesh(*edges, values.T, norm=norm, cmap=cmap, rasterized=True)
        each.set_ylim(max(0.0, edges[1][0]), edges[1][-1])
        each.set_ylabel(f"{name}\nfrequency (Hz)".lstrip("\n"), fontsize=TEXT_SIZE, parse_math=False)
    _finish(figure, grid, f"time (s){said}", relevance, norm, cmap, method)
    return grid[:, 0]


def _leads(values: Any, axes: int, name: str, shape: str) -> FloatArray:
    """With an axis for the leads in front of the others, of which there are `axes`."""
    array: npt.NDArray[Any] = as_array(values)
    if array.ndim not in (axes, axes + 1) or array.size == 0:
        raise InputError(f"the {name} has the shape {shape}, not {array.shape}")
    array = np.asarray(array, dtype=np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"the {name} has NaN or infinity in it")
    return array[None] if array.ndim == axes else array


def _names(lead_names: Sequence[str], leads: int) -> tuple[str, ...]:
    names = tuple(lead_names) or (tuple(str(lead + 1) for lead in range(leads)) if leads > 1 else ("",))
    if len(names) != leads:
        raise InputError(f"{len(names)} names for {leads} leads")
    return names


def _asked_for(highest: float) -> float:
    if not highest > 0:
        raise OptionError(f"highest={highest}: it must be a positive frequency, in Hz")
    return highest


def _amplitudes(traces: FloatArray) -> FloatArray:
    """Of the cosine wave at each frequency, in the signal's unit."""
    n = traces.shape[-1]
    amplitudes = np.abs(np.fft.rfft(traces)) * (2 / n)
    amplitudes[:, 0] /= 2
    if n % 2 == 0:
        amplitudes[:, -1] /= 2
    return np.asarray(amplitudes)


def _step(values: FloatArray, otherwise: float) -> float:
    return float(values[1] - values[0]) if len(values) > 1 else otherwise


def _edges(middles: FloatArray, step: float) -> FloatArray:
    return np.append(middles - step / 2, middles[-1] + step / 2)


# How it is drawn


def _page(leads: int, columns: int, height: float, title: str, axes: AxesLike | None) -> tuple[Figure | None, AxesArray]:
    """A figure with axes for each lead; no figure where axes are given."""
    if axes is not None:
        given = np.empty(leads * columns, dtype=object)
        given[:] = listed_axes(axes, leads * columns, f"panels, {columns} for each of {leads} leads")
        return None, given.reshape(leads, columns)
    whole = leads * height + _BAR_BAND
    above_the_bar = ConstrainedLayoutEngine(rect=(0.0, _BAR_BAND / whole, 1.0, 1.0 - _BAR_BAND / whole))
    figure = Figure(figsize=(_WIDTH, whole), dpi=_DOTS, layout=above_the_bar)
    figure.suptitle("\n".join(_in_lines(title)), fontsize=_TITLE_SIZE, weight="bold", parse_math=False)
    return figure, _grid(figure, leads, columns)


def _in_lines(title: str) -> list[str]:
    return in_lines(title, int(_WIDTH * _POINTS / (_LETTER * _TITLE_SIZE)))


def _grid(figure: Figure | SubFigure, leads: int, columns: int) -> AxesArray:
    grid: AxesArray = figure.subplots(leads, columns, sharex=True, squeeze=False)
    for axes in grid.flat:
        axes.tick_params(labelsize=TEXT_SIZE)
    return grid


def _draw_amplitudes(axes: Axes, frequencies: FloatArray, amplitudes: FloatArray) -> None:
    axes.plot(frequencies, amplitudes, color="black", linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.fill_between(frequencies, amplitudes, color="0.85", linewidth=0)
    # The mean of the signal is often larger than all amplitudes.
    axes.set_ylim(0, 1.05 * float(amplitudes[1:].max(initial=0.0)) or 1.05 * float(amplitudes[0]) or 1.0)


def _draw_relevance(axes: Axes, frequencies: FloatArray, relevance: FloatArray, norm: Normalize, cmap: str) -> None:
    bars = np.stack([np.stack([frequencies, 0 * relevance], axis=-1), np.stack([frequencies, relevance], axis=-1)], axis=1)
    width = min(max(0.3 * _WIDTH * _POINTS / len(frequencies), _THINNEST_BAR), 6.0)
    order = np.argsort(np.abs(relevance), kind="stable")  # the strongest last: where bars overlap, no neighbour hides it
    style: dict[str, Any] = {"array": relevance[order], "cmap": cmap, "norm": norm, "linewidths": width, "zorder": 2}
    axes.add_collection(LineCollection(list(bars[order]), colors="0.5", linewidths=width + 2 * _EDGE, zorder=1.9), autolim=False)
    axes.add_collection(LineCollection(list(bars[order]), **style), autolim=False)
    axes.axhline(0.0, color="black", linewidth=0.5)
    # A bar at the end is as wide as the others, half of it on either side of its frequency.
    beside = max(0.01, (width / 2 + 2 * _EDGE) / (0.38 * _WIDTH * _POINTS)) * (frequencies[-1] - frequencies[0])
    axes.set_xlim(frequencies[0] - beside or -1.0, frequencies[-1] + beside or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _set_reach(axes: Axes, relevance: FloatArray) -> None:
    """From the least to the largest relevance of all leads, with 0 and some room."""
    least, most = min(float(relevance.min()), 0.0), max(float(relevance.max()), 0.0)
    room = 0.08 * (most - least) or 1.0
    axes.set_ylim(least - room, most + room)


def _finish(figure: Figure | None, grid: AxesArray, label: str, relevance: FloatArray, norm: Normalize, cmap: str, method: str) -> None:
    for axes in grid[-1]:
        axes.set_xlabel(label, fontsize=TEXT_SIZE)
    if figure is None:
        below: dict[str, Any] = {"ax": list(grid.flat), "location": "bottom", "shrink": 0.5, "aspect": 30}
        bar = figure_of(grid[0, 0]).colorbar(ScalarMappable(norm, cmap), extend=beyond(relevance, norm), **below)
        _label_bar(bar, relevance, norm, False, method)
        readable(*grid.flat)
        return
    height = figure.get_figheight()
    box = ((_WIDTH - _BAR_WIDTH) / 2 / _WIDTH, _BAR_LABELS / height, _BAR_WIDTH / _WIDTH, _BAR_HEIGHT / height)
    place: dict[str, Any] = {"cax": figure.add_axes(box), "orientation": "horizontal"}
    _label_bar(figure.colorbar(ScalarMappable(norm, cmap), extend=beyond(relevance, norm), **place), relevance, norm, False, method)
    readable(figure)
