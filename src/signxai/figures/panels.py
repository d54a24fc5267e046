"""What fills a panel of a page: a picture, the traces of a signal, bars, token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from signxai.common.visualization import FloatArray
from signxai.figures.pages import SCALE, TEXT_SIZE
from signxai.figures.places import Place

__all__ = ["SignalAxis", "draw_bars", "draw_image", "draw_signal", "draw_values", "draw_words"]

_BAR_THICKNESS = 0.62
_ROOM_FOR_NUMBERS = 0.42  # beside the longest bar, in its length


def draw_image(place: Place, pixels: FloatArray, **colours: Any) -> None:
    """Show pixels (H, W, 3), or numbers (H, W) in the colours of ``cmap`` and ``norm``, as they are."""
    axes = place.whole()
    # matplotlib would smooth across pixels; only where they are smaller than a dot must it average.
    axes.imshow(pixels, interpolation="nearest" if axes.get_window_extent().width >= len(pixels[0]) - 1 else "antialiased", **colours)
    axes.set_xticks([])
    axes.set_yticks([])


@dataclass(frozen=True)
class SignalAxis:
    """The axis along a signal: what it means, samples per unit of it, and the names of the leads, none to number them."""

    leads: tuple[str, ...]
    label: str
    sampling_rate: float


def draw_signal(place: Place, signal: npt.NDArray[Any], axis: SignalAxis, relevance: FloatArray | None = None, cmap: str = "") -> None:
    """Draw a signal (leads, time), a row per lead, over relevance in [-1, 1] of its shape, if there is any."""
    time = np.arange(signal.shape[1]) / axis.sampling_rate
    names = axis.leads or [str(lead + 1) for lead in range(len(signal)) if len(signal) > 1] or [""]
    for lead, (axes, trace) in enumerate(zip(place.rows(len(signal)), signal, strict=True)):
        axes.plot(time, trace, color="black", linewidth=0.8 if relevance is None else 0.5, zorder=3)
        if relevance is not None:
            _colour_trace(axes, np.stack([time, trace], axis=-1), relevance[lead], cmap)
        _dress_trace(axes, names[lead], axis.label if lead == len(signal) - 1 else "", TEXT_SIZE * place.letters)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=axis.sampling_rate == 1))  # there is no half sample


def _colour_trace(axes: Axes, points: FloatArray, relevance: FloatArray, cmap: str) -> None:
    """Lay a broad line under the trace: each sample colours the halves of the steps to its neighbours."""
    middles = (points[:-1] + points[1:]) / 2
    pieces = np.stack([np.concatenate([points[:1], middles]), points, np.concatenate([middles, points[-1:]])], axis=1)
    # Pieces overlap where samples are dense: the strongest relevance is drawn last, so that no neighbour hides it.
    order = np.argsort(np.abs(relevance), kind="stable")
    line = LineCollection(list(pieces[order]), array=relevance[order], cmap=cmap, norm=SCALE, linewidths=3.5, capstyle="round")
    axes.add_collection(line, autolim=False)


def _dress_trace(axes: Axes, name: str, x_label: str, size: float) -> None:
    axes.margins(x=0.01, y=0.15)
    axes.set_yticks([])
    axes.set_ylabel(name, fontsize=size, rotation=0, ha="right", va="center", parse_math=False)
    axes.set_xlabel(x_label, fontsize=size, parse_math=False)
    axes.tick_params(labelsize=size, labelbottom=bool(x_label), bottom=bool(x_label))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_visible(bool(x_label))


def draw_values(place: Place, values: FloatArray, names: Sequence[str]) -> None:
    """Write numbers (n,) below each other, each behind its name."""
    axes = _lines(place, names)
    axes.set_xlim(0, 1)
    for number, value in enumerate(values):
        axes.text(0.02, number, f"{value:.6g}", fontsize=TEXT_SIZE * place.letters, va="center_baseline", ha="left", parse_math=False)


def draw_bars(place: Place, relevance: FloatArray, names: Sequence[str], coloured: FloatArray, cmap: str) -> None:
    """Draw a bar for each number (n,), as long as its relevance, which stands beside it, in the colour of the same in [-1, 1]."""
    axes = _lines(place, names)
    axes.barh(range(len(names)), relevance, height=_BAR_THICKNESS, color=colormaps[cmap](SCALE(coloured)), edgecolor="0.4", linewidth=0.5)
    axes.axvline(0, color="black", linewidth=0.8)
    longest = float(np.abs(relevance).max()) or 1.0
    room = longest * (1 + _ROOM_FOR_NUMBERS)
    axes.set_xlim(-room if relevance.min() < 0 else -0.02 * longest, room if relevance.max() > 0 or not relevance.any() else 0.02 * longest)
    for number, value in enumerate(relevance):
        side = 1 if value >= 0 else -1
        beside = (value + side * 0.03 * longest, number)
        style: dict[str, Any] = {"fontsize": TEXT_SIZE * place.letters, "va": "center_baseline", "ha": "left" if side > 0 else "right"}
        axes.text(*beside, f"{value:.3g}", parse_math=False, **style)


def _lines(place: Place, names: Sequence[str]) -> Axes:
    """Axes with a line for each name, from above."""
    axes = place.whole()
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), list(names), fontsize=TEXT_SIZE * place.letters)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return axes


def draw_words(place: Place, words: str) -> None:
    """Write a few words in the middle of a panel that has nothing to show."""
    axes = place.whole()
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, fontsize=TEXT_SIZE * place.letters, ha="center", va="center", color="0.35", parse_math=False)
