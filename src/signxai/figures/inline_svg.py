"""A figure as an element of a page, in the page's own colour of text, so that it can be read by light and by dark."""

import io
from html import escape
from typing import Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

__all__ = ["inline_svg"]

_INK = "#1b1b1c"
"""What stands for the colour of the page's text while the figure is written."""

_BLACK = (0.0, 0.0, 0.0, 1.0)
_COLOURS = ("color", "edgecolor", "markeredgecolor")


def inline_svg(figure: Figure, label: str) -> str:
    """The figure as SVG, without a background; whatever is black in it has the colour of the text around it.

    Args:
        figure: is changed: black becomes another colour.
        label: what it shows, for who cannot see it.
    """
    figure.draw_without_rendering()  # ticks are made when they are drawn
    for artist in figure.findobj():
        _take_ink(artist)
    text = io.BytesIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    whole = text.getvalue().decode("utf-8")
    element = whole[whole.index("<svg") :].replace(_INK, "currentColor")
    return element.replace("<svg", f'<svg role="img" aria-label="{escape(label)}" fill="currentColor"', 1)


def _take_ink(artist: Any) -> None:
    for name in _COLOURS:
        reads, writes = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
        if reads is not None and writes is not None and _is_black(reads()):
            writes(_INK)


def _is_black(colour: Any) -> bool:
    return (isinstance(colour, str) or np.shape(colour) in ((3,), (4,))) and to_rgba(colour) == _BLACK
