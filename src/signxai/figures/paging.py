"""Many samples on several pages, as a figure with all of them would be higher than anybody can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

from matplotlib.figure import Figure

from signxai.common.errors import InputError, OptionError
from signxai.figures.pages import PageError
from signxai.figures.saving import save_book, write_to
from signxai.files import FIGURE_SUFFIXES, check_destination, write_atomically

__all__ = ["page_path", "page_writers", "pages", "save_pages"]

SampleT = TypeVar("SampleT")
Draw: TypeAlias = Callable[[], Figure]
Writer: TypeAlias = Callable[[Path], None]

_HIGHEST = 20.0
"""Inches of a page with several samples: about two printed pages."""


def pages(figure: Callable[[Sequence[SampleT]], Figure], samples: Sequence[SampleT], *, per_page: int = 6) -> Iterator[Figure]:
    """Draw so many samples on each page, one page after the other.

    Args:
        figure: draws a list of samples: `image_figure`, `signal_figure`, `inputs_figure`, or one of them with options
            (``functools.partial``).
        samples: what it takes, at least one.
        per_page: at most so many samples are on a page, as many on each but the last; fewer where that many would be higher than 20 inches,
            about two printed pages. A sample alone has the height that it needs.

    Raises:
        InputError: no sample, or one that is too high alone.
        OptionError: `per_page` below 1.

    >>> import numpy as np
    >>> from signxai.figures.map_plots import Sample, image_figure
    >>> samples = [Sample(np.zeros((4, 4)), {"gradient": np.ones((4, 4))}, f"picture {number}") for number in range(5)]
    >>> [figure.texts[0].get_text() for figure in pages(image_figure, samples, per_page=2)]
    ['picture 0', 'picture 2', 'picture 4']
    """
    return (draw() for draw in _drawings(figure, samples, per_page))


def save_pages(figures: Iterator[Figure] | Sequence[Figure], path: str | Path) -> list[Path]:
    """Write pages: of a .pdf all into one file; otherwise each into a file of its own: maps.png, maps-2.png, maps-3.png.

    Args:
        figures: at least one; an iterator is drawn to its end first.
        path: where to; with a suffix of `FIGURE_SUFFIXES`.

    Returns:
        The files, in order.

    Raises:
        InputError: no figure.
        OptionError: another suffix.
        OSError: a file cannot be written; then none is.
    """
    path = Path(path)
    check_destination(path, FIGURE_SUFFIXES)
    listed = list(figures)
    if not listed:
        raise InputError(f"{path}: there is no page to write")
    writers = _writers([partial(_same, figure) for figure in listed], path)
    write_atomically(writers)
    return list(writers)


def page_writers(
    figure: Callable[[Sequence[SampleT]], Figure], samples: Sequence[SampleT], path: Path, *, per_page: int = 6
) -> dict[Path, Writer]:
    """What writes the file, or the files, of `save_pages`, for `signxai.files.write_atomically`; a page is drawn when it is written.

    Args:
        figure, samples, per_page: as for `pages`.
        path: as for `save_pages`.

    Raises:
        InputError, OptionError: as `pages` does.
    """
    return _writers(_drawings(figure, samples, per_page), path)


def page_path(path: Path, number: int) -> Path:
    """The file of a page, counted from 1; that of the first has the name that was given, so that it is never one of an earlier figure.

    >>> page_path(Path("maps.png"), 1).name, page_path(Path("maps.png"), 2).name
    ('maps.png', 'maps-2.png')
    """
    return path if number == 1 else path.with_stem(f"{path.stem}-{number}")


def _drawings(figure: Callable[[Sequence[SampleT]], Figure], samples: Sequence[SampleT], per_page: int) -> list[Draw]:
    """What draws each page; whether so many samples fit on one is found out on the first, which is drawn here."""
    if per_page < 1:
        raise OptionError(f"per_page={per_page}: a page shows at least one sample")
    if not samples:
        raise InputError("pages need at least one sample")
    first, per_page = _first_page(figure, samples, min(per_page, len(samples)))
    others = [partial(figure, samples[start : start + per_page]) for start in range(per_page, len(samples), per_page)]
    return [partial(_same, first), *others]


def _first_page(figure: Callable[[Sequence[SampleT]], Figure], samples: Sequence[SampleT], count: int) -> tuple[Figure, int]:
    """The first page, and how many samples are on it: as many as may be, as long as it does not get too high."""
    while True:
        try:
            drawn = figure(samples[:count])
        except PageError:
            if count == 1:
                raise
            count //= 2
            continue
        if count == 1 or drawn.get_figheight() <= _HIGHEST:
            return drawn, count
        count = max(1, min(count - 1, int(count * _HIGHEST / drawn.get_figheight())))


def _same(figure: Figure) -> Figure:
    return figure


def _writers(drawings: Sequence[Draw], path: Path) -> dict[Path, Writer]:
    if path.suffix.lower() == ".pdf":
        return {path: partial(_write_pdf, drawings)}
    return {page_path(path, number): partial(_write, draw) for number, draw in enumerate(drawings, start=1)}


def _write(draw: Draw, path: Path) -> None:
    write_to(draw(), path)


def _write_pdf(drawings: Sequence[Draw], path: Path) -> None:
    save_book(drawings, path)
