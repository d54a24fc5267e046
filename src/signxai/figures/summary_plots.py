"""A figure of relevance summed by wave, by lead and by beat, below the rhythm strip that it belongs to.

Nothing here computes relevance or touches pyplot's global state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from signxai.common.errors import InputError, OptionError
from signxai.common.visualization import RELEVANCE_COLOURS, FloatArray
from signxai.figures.glyphs import readable
from signxai.figures.places import AxesLike, listed_axes
from signxai.figures.relevance_colours import TEXT_SIZE, relevance_norm
from signxai.methods.sign_words import is_share, sides_of

__all__ = ["lead_of_strip", "plot_summary"]

AxesArray = npt.NDArray[np.object_]


class Beats(Protocol):
    """Beats, as ``signxai.timeseries.Beats``."""

    @property
    def positions(self) -> Any:
        """(beats,), in samples of the signal."""

    @property
    def symbols(self) -> Sequence[str]:
        """One for each beat."""


class Summary(Protocol):
    """Sums of relevance, as ``signxai.timeseries.summarize`` gives them."""

    @property
    def lead_names(self) -> Sequence[str]:
        """Of the leads."""

    @property
    def beats(self) -> Beats:
        """The beats that have samples in the map."""

    @property
    def sampling_rate(self) -> float:
        """In Hz."""

    @property
    def start(self) -> int:
        """The map's first sample."""

    @property
    def part(self) -> Any:
        """Of which part of a beat each sample of the map is (samples,): P, QRS, ST, T or the rest."""

    def by_lead(self) -> Any:
        """For and against (leads, 2)."""

    def by_beat(self) -> Any:
        """For and against (beats, 2)."""

    def by_part(self) -> Any:
        """For and against (parts, 2)."""


_PARTS = ("P", "QRS", "ST", "T", "rest")
_COLOURS = ("#bfe3c8", "#d0d0d0", "#fbe3b5", "#d5cdf0")
_RHYTHM = ("II", "MLII", "LII", "ML2")
_UNCLASSIFIED = "?"
_WIDTH, _STRIP, _BEATS, _LEAST_BARS, _BAR = 11.0, 2.2, 1.3, 1.6, 0.22  # inches
_MOST_LABELLED = 40
_LEAST_SHARE = 0.05  # in percent: what would be written as more than 0.0
_DOTS = 150


def plot_summary(
    signal: npt.ArrayLike,
    relevance: npt.ArrayLike,
    summary: Summary,
    *,
    lead: str | int | None = None,
    units: str = "mV",
    title: str = "",
    percentile: float = 99,
    cmap: str = RELEVANCE_COLOURS,
    is_turned: bool = False,
    method: str = "",
    axes: AxesLike | None = None,
) -> AxesArray:
    """Draw a rhythm strip with its waves, and below it relevance for and against by beat, by part of the beats, and by lead.

    Bars are in percent of the sum of |R| of the whole map: what speaks for the class goes up or to the right, what speaks against it
    down or to the left; where signs are turned the other way round, which the legend and the axes say.

    Args:
        signal: (leads, samples), the stretch that the map is of.
        relevance: signed relevance, in the same shape.
        summary: what `summarize` gives for it.
        lead: the strip's, by name or by number from 0; None: II (or MLII), else the first. It stands above the strip.
        units: of the signal.
        title: above the figure.
        percentile: of |R| of the strip's lead, beyond which its colours stay the same.
        cmap: a diverging colour map of matplotlib; its ends are the colours of the bars.
        is_turned: whether the signs of relevance are turned, as those of LRP that starts with 1 where the logit is below 0.
        method: by which the relevance is; the legend and the axes then say what its sides stand for where they are no shares of a score, as
            slopes (`gradient`).
        axes: draw on these four, without the title; None: on a figure of their own.

    Returns:
        Axes (4,): the strip, the beats, the parts, the leads; their ``figure`` has ``savefig``.

    Raises:
        InputError: the signal, the relevance and the summary do not fit each other, relevance that is not finite, or another number of
            axes.
        OptionError: a lead that is not there, or a percentile outside [0, 100].
    """
    shown = lead_of_strip(lead, summary.lead_names)
    traces, values = np.asarray(signal, dtype=np.float64), np.asarray(relevance, dtype=np.float64)
    shape = len(summary.lead_names), len(summary.part)
    if traces.shape != shape or values.shape != shape:
        raise InputError(f"a summary of {shape[0]} leads and {shape[1]} samples for a signal of {traces.shape} and a map of {values.shape}")
    if not np.isfinite(values).all():
        raise InputError("the relevance has NaN or infinity in it")
    sums = np.stack([np.maximum(values, 0).sum(axis=1), np.minimum(values, 0).sum(axis=1)], axis=-1)
    if not np.allclose(summary.by_lead(), sums, rtol=1e-4, atol=1e-4 * float(np.abs(values).sum())):
        raise InputError("the summary is of another map: its sums by lead are not those of the relevance")
    places = _axes(len(summary.lead_names), title) if axes is None else _dressed(listed_axes(axes, 4, "panels of a summary"))
    times = (summary.start + np.arange(shape[1])) / summary.sampling_rate
    _draw_strip(places[0], times, traces[shown], values[shown], summary.part, percentile, cmap, _Said(method, is_turned))
    places[0].set_ylabel(
        f"{summary.lead_names[shown]} ({units})" if units else summary.lead_names[shown], fontsize=TEXT_SIZE, parse_math=False
    )
    places[0].set_title(f"lead {summary.lead_names[shown]}", fontsize=TEXT_SIZE + 1, loc="left", parse_math=False)
    whole = float(np.abs(values).sum()) or 1.0
    _draw_beats(places[1], summary, 100 / whole, cmap)
    places[1].set_xlim(times[0], times[-1])
    _draw_bars(places[2], _PARTS, summary.by_part() * 100 / whole, "by part of the beat", cmap, _Said(method, is_turned))
    _draw_bars(places[3], summary.lead_names, summary.by_lead() * 100 / whole, "by lead", cmap, _Said(method, is_turned))
    readable(*([places[0].figure] if axes is None else places))
    return places


def lead_of_strip(lead: str | int | None, names: Sequence[str]) -> int:
    """The number of the lead that is drawn as a strip.

    Raises:
        OptionError: there is no such lead.

    >>> lead_of_strip("V1", ["I", "II", "V1"]), lead_of_strip(None, ["I", "II", "V1"]), lead_of_strip(None, ["V5", "V1"])
    (2, 1, 0)
    """
    if lead is None:
        return next((list(names).index(name) for name in _RHYTHM if name in names), 0)
    if isinstance(lead, str) and lead in names:
        return list(names).index(lead)
    if isinstance(lead, (str, bool)) or not 0 <= lead < len(names):
        raise OptionError(f"lead={lead!r}: the leads are {', '.join(names)}; give one of them, or its number from 0 to {len(names) - 1}")
    return lead


def _axes(leads: int, title: str) -> AxesArray:
    bars = max(_LEAST_BARS, _BAR * leads)
    figure = Figure(figsize=(_WIDTH, _STRIP + _BEATS + bars + 1.2), dpi=_DOTS, layout="constrained")
    figure.suptitle(title, fontsize=12, weight="bold", wrap=True, parse_math=False)
    grid = figure.add_gridspec(3, 2, height_ratios=(_STRIP, _BEATS, bars))
    strip = figure.add_subplot(grid[0, :])
    places = [strip, figure.add_subplot(grid[1, :], sharex=strip), figure.add_subplot(grid[2, 0]), figure.add_subplot(grid[2, 1])]
    return _dressed(places)


def _dressed(places: Sequence[Axes]) -> AxesArray:
    for axes in places:
        axes.tick_params(labelsize=TEXT_SIZE)
        axes.spines[["top", "right"]].set_visible(False)
    dressed = np.empty(len(places), dtype=object)
    dressed[:] = places
    return dressed


def _draw_strip(
    axes: Axes, times: FloatArray, trace: FloatArray, relevance: FloatArray, part: Any, percentile: float, cmap: str, said: _Said
) -> None:
    step = times[1] - times[0] if len(times) > 1 else 1.0
    at = 0
    for number, run in groupby(part.tolist()):
        length = len(list(run))
        if number < len(_COLOURS):
            axes.axvspan(times[at] - step / 2, times[at + length - 1] + step / 2, color=_COLOURS[number], linewidth=0, zorder=0)
        at += length
    points = np.stack([times, trace], axis=-1)
    pieces = np.stack([points[:-1], points[1:]], axis=1)
    strength = (relevance[:-1] + relevance[1:]) / 2
    order = np.argsort(np.abs(strength), kind="stable")  # the strongest last, so that no neighbour hides it
    norm = relevance_norm(relevance, None, percentile)
    axes.add_collection(LineCollection(list(pieces[order]), array=strength[order], cmap=cmap, norm=norm, linewidths=3, capstyle="round"))
    axes.plot(times, trace, color="black", linewidth=0.5)
    axes.margins(x=0)
    axes.tick_params(labelbottom=False)
    of_parts = dict(zip(_PARTS, _COLOURS, strict=False))
    ends = dict(zip(said.legend, (colormaps[cmap](0.0), colormaps[cmap](1.0)), strict=True))
    handles = [Patch(color=colour, label=name) for name, colour in (of_parts | ends).items()]
    axes.legend(handles=handles, ncols=len(handles), fontsize=TEXT_SIZE, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))


@dataclass(frozen=True)
class _Said:
    """What relevance below and above 0 says, by a method, with its signs turned or not."""

    method: str
    is_turned: bool

    @property
    def legend(self) -> tuple[str, str]:
        """In the legend."""
        sides = sides_of(self.method, is_short=not is_share(self.method))
        below, above = sides.ends(self.is_turned)
        return f"{below}{' (signs turned)' * self.is_turned}", above

    @property
    def axis(self) -> str:
        """Below the bars."""
        sides = sides_of(self.method, is_short=True)
        below, above = sides.ends(self.is_turned)
        of = "all relevance" if is_share(self.method) else f"the sum of |{sides.what}|"
        return f"{below}    |    {above}   (% of {of}{'; signs turned' * self.is_turned})"


def _draw_beats(axes: Axes, summary: Summary, scale: float, cmap: str) -> None:
    times = np.asarray(summary.beats.positions) / summary.sampling_rate
    sums = summary.by_beat() * scale
    width = 0.35 * float(np.median(np.diff(times))) if len(times) > 1 else 0.2
    for column, end in enumerate((1.0, 0.0)):
        axes.bar(times, sums[:, column], width=width, color=colormaps[cmap](end))
    symbols = ["" if symbol == _UNCLASSIFIED else symbol for symbol in summary.beats.symbols]
    rare = {symbol for symbol in symbols if symbol and 2 * symbols.count(symbol) < len(symbols)}
    for time, symbol, top in zip(times, symbols, sums[:, 0], strict=True):
        if symbol in rare or len(symbols) <= _MOST_LABELLED:
            axes.text(time, top, symbol, ha="center", va="bottom", fontsize=TEXT_SIZE, clip_on=True, parse_math=False)
    end = (summary.start + len(summary.part)) / summary.sampling_rate
    beyond = (times < summary.start / summary.sampling_rate) | (times >= end)
    if (share := float(np.abs(sums[beyond]).sum())) >= _LEAST_SHARE:
        axes.set_title(f"{share:.1f} % are of beats whose R peak is outside of the strip", fontsize=TEXT_SIZE, loc="right")
    axes.axhline(0, color="black", linewidth=0.5)
    axes.margins(y=0.2)
    axes.set_ylabel("by beat (%)", fontsize=TEXT_SIZE)
    axes.set_xlabel("time (s)", fontsize=TEXT_SIZE)


def _draw_bars(axes: Axes, names: Sequence[str], sums: FloatArray, heading: str, cmap: str, said: _Said) -> None:
    """A row for each name: relevance above 0, as a rule what speaks for the class, to the right, below 0 to the left, with the numbers."""
    rows = np.arange(len(names))
    reach = 1.25 * max(float(np.abs(sums).max()), 1e-9)
    for column, (end, side) in enumerate(((1.0, "left"), (0.0, "right"))):
        axes.barh(rows, sums[:, column], color=colormaps[cmap](end))
        for row, value in enumerate(sums[:, column]):
            axes.text(value, row, f" {abs(value):.1f} ", ha=side, va="center", fontsize=TEXT_SIZE - 1)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(rows, list(names), fontsize=TEXT_SIZE)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.axvline(0, color="black", linewidth=0.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_xlabel(said.axis, fontsize=TEXT_SIZE)
    axes.set_title(heading, fontsize=TEXT_SIZE + 1)
