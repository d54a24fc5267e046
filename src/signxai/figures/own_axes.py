"""Text and colour bars on axes that somebody else made: in the size of that figure's letters, and broken where the axes end."""

from collections.abc import Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.font_manager import font_scalings

from signxai.figures.lines import in_lines
from signxai.figures.places import figure_of
from signxai.methods.sign_words import in_short

__all__ = ["bar_below", "broken", "fitting", "letters", "width_of"]

_POINTS = 72  # to the inch
_USUAL = 10.0  # points: matplotlib's own size, with which figures of this package go
_LETTER, _LINE = 0.6, 1.4  # the width of a letter, on the wide side, and the height of a line, in their size
_SHRINK, _ASPECT, _PAD, _FRACTION = 0.7, 40, 0.15, 0.15


def letters() -> float:
    """How large letters are beside those of a page of this package: ``font.size`` of ``matplotlib.rcParams``, which is 10 by default.

    >>> letters()
    1.0
    """
    size: float | str = rcParams["font.size"]
    return (size if isinstance(size, int | float) else _USUAL * font_scalings[size]) / _USUAL


def width_of(axes: Sequence[Axes]) -> float:
    """From the left end of the first to the right end of the last, in inches."""
    boxes = [each.get_window_extent() for each in axes]
    dots: float = figure_of(axes[0]).dpi
    return float(max(box.x1 for box in boxes) - min(box.x0 for box in boxes)) / dots


def broken(text: str, width: float, size: float) -> str:
    """A text in lines of a width, in inches, of letters of a size, in points; its own ends of lines stay.

    >>> print(broken("lrp_epsilon_0_25_std_x", 1.0, 7.0))
    lrp_epsilon_0_25_
    std_x
    """
    return "\n".join(line for part in text.split("\n") for line in in_lines(part, max(1, int(width * _POINTS / (_LETTER * size)))))


def bar_below(axes: Sequence[Axes], colours: ScalarMappable, label: str, size: float, between: int, extend: str = "neither") -> Colorbar:
    """A colour bar below axes, with room for its label where no layout of matplotlib makes some.

    Args:
        axes: of one figure; they give the room.
        colours: of the bar.
        label: what it means, in lines.
        size: of its letters, in points.
        between: how many lines of text stand between the axes and the bar.
        extend: which ends go on, in matplotlib's words.
    """
    figure, label = figure_of(axes[0]), fitting(label, width_of(axes), size)
    pad, fraction = _PAD, _FRACTION
    if figure.get_layout_engine() is None:
        line, height = _LINE * size / _POINTS, figure.get_figheight()
        boxes = [each.get_position(original=True) for each in axes]
        bottom, top = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
        pad = max(pad, (between + 0.5) * line / (height * (top - bottom)))
        fraction = max(fraction, ((label.count("\n") + 3.5) * line - height * bottom) / (height * (top - bottom)))
        pad, fraction = min(pad, 0.4), min(fraction, 0.4)  # the axes keep a fifth of their height
    style: dict[str, Any] = {"location": "bottom", "shrink": _SHRINK, "aspect": _ASPECT, "extend": extend}
    style |= {"pad": pad, "fraction": fraction} if figure.get_layout_engine() is None else {}
    bar = figure.colorbar(colours, ax=list(axes), **style)
    bar.set_label(label, fontsize=size)
    bar.ax.tick_params(labelsize=size)
    return bar


def fitting(label: str, width: float, size: float) -> str:
    """The label of a bar in lines; what the ends mean is said in fewer words rather than on two."""
    ends = label.split("\n")[0]
    return broken(label if broken(ends, width, size) == ends else in_short(label), width, size)
