"""Text that fonts can draw: a font that has the letters if one is installed, else what they are in ASCII, and no warning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

__all__ = ["drawable", "readable"]

_PREFERRED = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans", "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans", "Microsoft YaHei"),
    *("Yu Gothic", "SimHei", "Malgun Gothic", "Apple SD Gothic Neo", "NanumGothic", "Noto Sans", "Arial Unicode MS", "Segoe UI Symbol"),
)
_OF_NO_LETTERS = ("Last Resort", "STIXNonUnicode", "STIXSize", "Color", "Colour", "Apple Color")
"""In names of fonts that have boxes or pictures in the place of letters."""


def readable(*drawn: Artist) -> None:
    """Let all text within figures or axes be drawn by fonts that have its letters; those that no font has are escaped.

    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> text = figure.text(0, 0, "tabby \\ue000")  # a letter for private use
    >>> readable(figure)
    >>> print(text.get_text())
    tabby \\ue000
    """
    for artist in drawn:
        if isinstance(artist, Axis):
            _read(artist.label)
            _read_ticks(artist)
        elif isinstance(artist, Text):
            _read(artist)
        else:
            readable(*artist.get_children())


def drawable(text: str) -> str:
    """The text, with letters that no installed font has written as their codes, by which it is recognized.

    >>> print(drawable("tabby"), drawable("\\ue000"))
    tabby \\ue000
    """
    lacking = {letter for letter in _lacking(text, tuple(FontProperties().get_family())) if _font_with(letter) is None}
    return _escaped(text, lacking)


def _read_ticks(axis: Axis) -> None:
    """Names at ticks; ticks that matplotlib chooses have numbers, and are made when they are drawn: to look at them makes too many."""
    if not isinstance(axis.get_major_locator(), FixedLocator):
        return
    labels = axis.get_ticklabels()
    if any(_lacking(label.get_text(), _families(label)) for label in labels):
        axis.set_ticks(axis.get_ticklocs(), labels=[drawable(label.get_text()) for label in labels])
        for label in labels:
            _read(label)


def _read(text: Text) -> None:
    families = _families(text)
    lacking = _lacking(text.get_text(), families)
    if not lacking:
        return
    found = dict.fromkeys(font for letter in sorted(lacking) if (font := _font_with(letter)) is not None)
    if found:
        text.set_fontfamily([*families, *found])
    text.set_text(_escaped(text.get_text(), {letter for letter in lacking if _font_with(letter) is None}))


def _escaped(text: str, lacking: Iterable[str]) -> str:
    for letter in lacking:
        text = text.replace(letter, letter.encode("ascii", "backslashreplace").decode())
    return text


def _families(text: Text) -> tuple[str, ...]:
    families: str | Sequence[str] = text.get_fontfamily()
    return (families,) if isinstance(families, str) else tuple(families)


def _lacking(text: str, families: tuple[str, ...]) -> set[str]:
    """The letters of a text that its fonts do not have; spaces and ends of lines are none."""
    if text.isascii():
        return set()
    had = [_letters(fontManager.findfont(FontProperties(family=[family]))) for family in families]
    return {letter for letter in set(text) if letter.isprintable() and not any(ord(letter) in letters for letters in had)} | {
        letter for letter in set(text) if not letter.isprintable() and not letter.isspace()
    }


@lru_cache(maxsize=64)
def _letters(path: str) -> frozenset[int]:
    """The codes that a font has; those of a file that cannot be opened: none."""
    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@lru_cache(maxsize=4096)
def _font_with(letter: str) -> str | None:
    """The name of an installed font that has a letter; None: there is no such font."""
    if not letter.isprintable():
        return None
    paths = {entry.name: entry.fname for entry in fontManager.ttflist if not any(word in entry.name for word in _OF_NO_LETTERS)}
    order = [*(name for name in _PREFERRED if name in paths), *sorted(paths.keys() - set(_PREFERRED))]
    return next((name for name in order if ord(letter) in _letters(paths[name])), None)
