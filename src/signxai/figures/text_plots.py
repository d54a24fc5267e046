"""Figures of texts: tokens in the colours of relevance, and the matrix of a generated text.

Nothing here computes relevance or touches pyplot's global state.
"""

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from signxai.common.errors import InputError
from signxai.common.visualization import RELEVANCE_COLOURS, FloatArray
from signxai.figures.glyphs import drawable, readable
from signxai.figures.lines import in_lines
from signxai.figures.own_axes import fitting, width_of
from signxai.figures.places import AxesLike, figure_of, listed_axes
from signxai.figures.relevance_colours import TEXT_SIZE, beyond, label_bar, relevance_norm

__all__ = ["TokenPanel", "draw_tokens", "height_of_tokens", "plot_several_tokens", "plot_token_matrix", "plot_tokens"]

_POINTS = 72  # to the inch
_DOTS = 150  # per inch
_SIZE, _LEAST_SIZE = 11.0, 4.0  # of the letters, in points
_WIDE = 0.602  # width of a letter of fixed width, in its size
_LINE = 2.0  # height of a line, in the size of its letters
_COLUMNS = 84
_BAR_BAND, _MARGIN = 0.75, 0.2  # inches
_TITLE_SIZE = 11.0
_STRENGTH = 0.8  # of the colours behind letters
_MIDDLE = 0.179  # the luminance on which black and white letters have the same contrast, by WCAG 2


@dataclass(frozen=True, eq=False)
class TokenPanel:
    """Tokens of one row of a figure.

    Attributes:
        tokens: as they are written, with the white space before them.
        relevance: of each (L,), signed.
        title: above them.
        limit: where the colours end; None: at the strongest token.
        is_turned: whether the signs of relevance are turned; the colour bar says so.
        method: by which the relevance is; the colour bar says what its sides stand for where they are no shares of a score, as slopes
            (`gradient`); "": it is not known.
    """

    tokens: Sequence[str]
    relevance: FloatArray
    title: str = ""
    limit: float | None = None
    is_turned: bool = False
    method: str = ""


def plot_tokens(panel: TokenPanel, *, axes: Axes | None = None, cmap: str = RELEVANCE_COLOURS) -> Axes:
    """Draw tokens in the colours of relevance, in lines that wrap: red and underlined for, blue and underlined with dots against.

    Args:
        panel: the tokens.
        axes: into which they are drawn; None: those of a figure of its own, with a colour bar.
        cmap: a diverging colour map of matplotlib.

    Returns:
        The axes; their ``figure`` has ``savefig``.

    Raises:
        InputError: not as many tokens as values.

    >>> plot_tokens(TokenPanel(["good", " bad"], np.array([1.0, -1.0]), "a film")).get_title("left")
    'a film'
    """
    panel = _drawable(panel)
    values, norm = _scaled(panel)
    is_own = axes is None
    if axes is None:
        size = _page_size(panel.tokens, panel.title)
        axes, below = _page(Figure(figsize=size, dpi=_DOTS), size, panel.tokens)
        place: dict[str, Any] = {"cax": below, "orientation": "horizontal"}
    else:
        place = {"ax": axes, "location": "bottom", "shrink": 0.7, "aspect": 30}
    bar = _draw_bar(axes, values, norm, cmap, place, panel)
    if not is_own:
        bar.set_label(fitting(bar.ax.get_xlabel(), width_of([axes]), TEXT_SIZE), fontsize=TEXT_SIZE)
    box = draw_tokens(axes, panel.tokens, values, norm, cmap)
    _set_title(axes, panel.title, box, _TITLE_SIZE if is_own else TEXT_SIZE)
    readable(axes)
    return axes


def _drawable(panel: TokenPanel) -> TokenPanel:
    """The panel with tokens as they will be drawn, so that each has its room."""
    return replace(panel, tokens=[drawable(token) for token in panel.tokens])


def _draw_bar(axes: Axes, values: FloatArray, norm: Normalize, cmap: str, place: dict[str, Any], panel: TokenPanel) -> Colorbar:
    """The colour bar of tokens, with points at its ends where some are beyond it."""
    extend = beyond(values, norm) if len(values) else "neither"
    bar = axes.figure.colorbar(ScalarMappable(norm, cmap), extend=extend, **place)
    label_bar(bar, values, norm, panel.is_turned, panel.method)
    return bar


def plot_several_tokens(panels: Sequence[TokenPanel], cmap: str = RELEVANCE_COLOURS, *, axes: AxesLike | None = None) -> Figure:
    """Draw several rows of tokens one below another, each as by itself: with its title and a colour bar of its own.

    Args:
        panels: at least one.
        cmap: a diverging colour map of matplotlib.
        axes: one for each panel, with a colour bar below it; None: on a figure of its own.

    Raises:
        InputError: no panel, not as many tokens as values in one, or another number of axes.

    >>> panel = TokenPanel(["good", " bad"], np.array([1.0, -1.0]), "a film")
    >>> len(plot_several_tokens([panel, panel]).axes)  # the tokens and the colour bar of each
    4
    """
    if not panels:
        raise InputError("there is nothing to draw: give at least one row of tokens")
    if axes is not None:
        listed = listed_axes(axes, len(panels), "rows of tokens")
        for panel, each in zip(panels, listed, strict=True):
            plot_tokens(panel, axes=each, cmap=cmap)
        return figure_of(listed[0])
    panels = [_drawable(panel) for panel in panels]
    sizes = [_page_size(panel.tokens, panel.title) for panel in panels]
    whole = sum(height for _, height in sizes)
    figure = Figure(figsize=(sizes[0][0], whole), dpi=_DOTS)
    bottom = whole
    for panel, size in zip(panels, sizes, strict=True):
        bottom -= size[1]
        values, norm = _scaled(panel)
        axes, bar = _page(figure, size, panel.tokens, bottom)
        _draw_bar(axes, values, norm, cmap, {"cax": bar, "orientation": "horizontal"}, panel)
        _set_title(axes, panel.title, draw_tokens(axes, panel.tokens, values, norm, cmap), _TITLE_SIZE)
    readable(figure)
    return figure


def _scaled(panel: TokenPanel) -> tuple[FloatArray, Normalize]:
    """The values of tokens, and their scale.

    Raises:
        InputError: not as many tokens as values.
    """
    values = np.asarray(panel.relevance, dtype=np.float64)
    if values.shape != (len(panel.tokens),):
        raise InputError(f"{len(panel.tokens)} tokens have relevance of shape ({len(panel.tokens)},), not {values.shape}")
    return values, relevance_norm(values, panel.limit, 100) if len(values) else Normalize(-1, 1)


def _page_size(tokens: Sequence[str], title: str) -> tuple[float, float]:
    """How wide and how high tokens, their title and the colour bar are, in inches."""
    width = _COLUMNS * _WIDE * _SIZE / _POINTS
    head = _MARGIN + len(_title_lines(title, width, _TITLE_SIZE)) * 1.5 * _TITLE_SIZE / _POINTS
    return width + 2 * _MARGIN, _height(tokens) + _BAR_BAND + head


def _height(tokens: Sequence[str]) -> float:
    """How high the lines of tokens are, in inches."""
    return (1 + max((line for line, *_ in _laid_out(tokens, _COLUMNS)), default=0)) * _LINE * _SIZE / _POINTS


def _page(figure: Figure, size: tuple[float, float], tokens: Sequence[str], bottom: float = 0.0) -> tuple[Axes, Axes]:
    """Axes for tokens and for their colour bar, in a part of a figure.

    Args:
        figure: into which they are put.
        size: of the part, in inches.
        tokens: what will be drawn.
        bottom: where the part begins, in inches from the figure's lower edge.
    """
    width, height = figure.get_size_inches()
    place = (_MARGIN / width, (bottom + _BAR_BAND) / height, (size[0] - 2 * _MARGIN) / width, _height(tokens) / height)
    return figure.add_axes(place), figure.add_axes((0.3, (bottom + 0.45) / height, 0.4, 0.12 / height))


def _title_lines(title: str, width: float, size: float) -> list[str]:
    """A title in lines of this width, in inches, of letters of this size, in points."""
    return in_lines(title, max(10, math.floor(width * _POINTS / (0.55 * size)))) or [""]


def _set_title(axes: Axes, title: str, width: float, size: float) -> None:
    axes.set_title("\n".join(_title_lines(title, width, size)), fontsize=size, loc="left", parse_math=False)


def height_of_tokens(tokens: Sequence[str], width: float, size: float) -> float:
    """How high tokens are in letters of this size (points), in lines of this width; in inches.

    >>> height_of_tokens([" one", " two"], width=1.0, size=9.0)
    0.25
    """
    lines = 1 + max((line for line, *_ in _laid_out(tokens, max(1, math.floor(width * _POINTS / (_WIDE * size))))), default=0)
    return lines * _LINE * size / _POINTS


def draw_tokens(axes: Axes, tokens: Sequence[str], values: FloatArray, norm: Normalize, cmap: str) -> float:
    """Draw tokens with their values, none of them more than ``norm`` has room for, into axes, in letters as large as they may be.

    Returns:
        The width of the axes, in inches.
    """
    box = axes.get_window_extent().transformed(axes.figure.dpi_scale_trans.inverted())
    size, columns, lines = _fitting(tokens, box.width, box.height)
    axes.set(xlim=(0, columns), ylim=(max(lines, box.height * _POINTS / (_LINE * size)), 0))
    axes.set_axis_off()
    colours = colormaps[cmap]
    for line, start, width, part, number in _laid_out(tokens, columns):
        place = float(norm(values[number]))
        colour = _paler(colours(place))
        axes.add_patch(Rectangle((start, line + 0.12), width, 0.66, facecolor=colour, linewidth=0))
        if values[number]:
            style = "solid" if values[number] > 0 else (0, (1, 1.2))
            line_style: dict[str, Any] = {"linewidth": size / 7, "linestyle": style, "alpha": min(1.0, 0.25 + 0.75 * abs(2 * place - 1))}
            axes.plot([start + 0.08, start + width - 0.08], [line + 0.85] * 2, color=colours(float(place > 0.5)), **line_style)
        ink = "black" if _luminance(colour) > _MIDDLE else "white"
        axes.text(start, line + 0.45, part, color=ink, fontsize=size, family="monospace", va="center", ha="left", parse_math=False)
    return float(box.width)


def _paler(colour: tuple[float, ...]) -> tuple[float, ...]:
    """A colour as it is behind letters, so that these can be read."""
    return tuple(1 - _STRENGTH * (1 - part) for part in colour[:3])


def _luminance(colour: tuple[float, ...]) -> float:
    """The relative luminance of an sRGB colour, by WCAG 2."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def _fitting(tokens: Sequence[str], width: float, height: float) -> tuple[float, int, int]:
    """The size of the letters, in points, the letters in a line and the number of lines, for a place of this size in inches."""
    size = _SIZE
    while True:
        columns = max(1, math.floor(width * _POINTS / (_WIDE * size) + 1e-6))
        lines = 1 + max((line for line, *_ in _laid_out(tokens, columns)), default=0)
        if lines * _LINE * size / _POINTS <= height * 1.001 or size <= _LEAST_SIZE:
            return size, columns, lines
        size -= 0.5


def _laid_out(tokens: Sequence[str], columns: int) -> Iterator[tuple[int, int, int, str, int]]:
    """The pieces of tokens in lines: the line, the first column, the width, the text and the token's number of each."""
    line = column = 0
    for number, token in enumerate(tokens):
        for count, piece in enumerate(_lines_of(token)):
            if count:
                line, column = line + 1, 0
            text, rest = piece, _rest_of_word(tokens, number)
            needed = _width(text) + (rest if _width(text) + rest <= columns and text[:1] == " " else 0)
            if column and column + needed > columns:
                line, column, text = line + 1, 0, text.lstrip(" ")
            while _width(text) > columns:
                yield line, 0, columns, text[:columns], number
                line, text = line + 1, text[columns:]
            if text:
                yield line, column, _width(text), text, number
                column += _width(text)


def _lines_of(token: str) -> list[str]:
    lines = token.replace("\r\n", "\n").replace("\t", "    ").split("\n")
    return ["".join("\ufffd" if unicodedata.category(letter) in _NO_LETTERS else letter for letter in line) for line in lines]


_NO_LETTERS = ("Cc", "Zl", "Zp")  # control characters and separators of lines, which fonts do not have


def _rest_of_word(tokens: Sequence[str], number: int) -> int:
    """The width of the tokens that follow one without white space between."""
    rest = 0
    for token in tokens[number + 1 :]:
        if token[:1].isspace():
            break
        rest += _width(_lines_of(token)[0])
        if "\n" in token:
            break
    return rest


def _width(text: str) -> int:
    """In columns: letters of East Asia take two, marks above others none."""
    return sum(0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def plot_token_matrix(
    matrix: FloatArray,
    tokens: Sequence[str],
    generated: Sequence[str],
    counts: Sequence[int],
    *,
    turned: Sequence[bool] = (),
    method: str = "",
    title: str = "",
    axes: Axes | None = None,
    cmap: str = RELEVANCE_COLOURS,
) -> Axes:
    """Draw the relevance of all tokens for each generated one, on one scale with 0 in its middle.

    Args:
        matrix: (n, L), signed.
        tokens: the names of the columns (L,).
        generated: those of the rows (n,).
        counts: how many tokens stand before each generated one; what stands behind is left blank.
        turned: of each row whether its signs are turned (n,), which its name and the colour bar say; (): of none.
        method: by which the relevance is, as in `TokenPanel`.
        title: above it.
        axes: into which it is drawn; None: those of a figure of its own.
        cmap: a diverging colour map of matplotlib.

    Returns:
        The axes; their ``figure`` has ``savefig``.

    Raises:
        InputError: names that do not fit the matrix.

    >>> plot_token_matrix(np.eye(2), ["a", "b"], ["b", "c"], [1, 2]).get_ylabel()
    'generated token'
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.shape != (len(generated), len(tokens)) or len(counts) != len(generated):
        raise InputError(f"{len(generated)} generated tokens over {len(tokens)} tokens do not fit a matrix of shape {values.shape}")
    norm = relevance_norm(values, None, 100)
    is_own = axes is None
    if axes is None:
        size = (max(4.5, 1.8 + 0.26 * len(tokens)), max(2.6, 2.2 + 0.26 * len(generated)))
        axes = Figure(figsize=size, dpi=_DOTS, layout="constrained").add_subplot()
    behind = np.arange(values.shape[1]) >= np.asarray(counts)[:, None]
    picture = axes.imshow(np.ma.array(values, mask=behind), norm=norm, cmap=cmap, aspect="auto", interpolation="nearest")
    names: dict[str, Any] = {"fontsize": TEXT_SIZE, "family": "monospace"}
    axes.set_xticks(range(len(tokens)), [_visible(token) for token in tokens], rotation=90, **names)
    signs = [" (turned)" if is_turned else "" for is_turned in turned] or [""] * len(generated)
    axes.set_yticks(range(len(generated)), [_visible(token) + sign for token, sign in zip(generated, signs, strict=True)], **names)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_parse_math(False)
    axes.set_ylabel("generated token", fontsize=TEXT_SIZE)
    axes.set_xlabel("token before it", fontsize=TEXT_SIZE)
    width = axes.get_window_extent().width / axes.figure.dpi
    _set_title(axes, title, width, _TITLE_SIZE if is_own else TEXT_SIZE)
    bar = axes.figure.colorbar(picture, ax=axes)
    label_bar(bar, values, norm, turned or False, method)
    height = bar.ax.get_window_extent().height / axes.figure.dpi
    bar.set_label("\n".join(_title_lines(bar.ax.get_ylabel(), height, TEXT_SIZE)), fontsize=TEXT_SIZE)
    readable(axes)
    return axes


def _visible(token: str) -> str:
    """A token in which white space can be seen."""
    return " ".join(_lines_of(token.replace("\n", "⏎").replace("\t", "⇥"))).replace(" ", "␣")
