"""Many samples on several pages, as a figure with all of them would be higher than anybody can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from signxai.common.errors import InputError, OptionError
from signxai.files import FIGURE_SUFFIXES, check_destination, write_atomically

__all__ = ["pages", "save_pages"]

SampleT = TypeVar("SampleT")


def pages(figure: Callable[[Sequence[SampleT]], Figure], samples: Sequence[SampleT], *, per_page: int = 6) -> Iterator[Figure]:
    """Draw so many samples on each page, one page after the other.

    Args:
        figure: draws a list of samples: `image_figure`, `signal_figure`, `inputs_figure`, or one of them with options
            (``functools.partial``).
        samples: what it takes, at least one.
        per_page: so many samples are on a page, the last of which may have fewer.

    Raises:
        InputError: no sample.
        OptionError: `per_page` below 1.

    >>> import numpy as np
    >>> from signxai.figures.map_plots import Sample, image_figure
    >>> samples = [Sample(np.zeros((4, 4)), {"gradient": np.ones((4, 4))}, f"picture {number}") for number in range(5)]
    >>> [figure.texts[0].get_text() for figure in pages(image_figure, samples, per_page=2)]
    ['picture 0', 'picture 2', 'picture 4']
    """
    if per_page < 1:
        raise OptionError(f"per_page={per_page}: a page shows at least one sample")
    if not samples:
        raise InputError("pages need at least one sample")
    return (figure(samples[first : first + per_page]) for first in range(0, len(samples), per_page))


def save_pages(figures: Iterator[Figure] | Sequence[Figure], path: str | Path) -> list[Path]:
    """Write pages: of a .pdf all into one file; otherwise each into a file of its own, numbered from 1: maps-1.png, maps-2.png.

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
    if path.suffix.lower() == ".pdf":
        write_atomically({path: partial(_write_pdf, figures=listed)})
        return [path]
    numbered = [path.with_stem(f"{path.stem}-{number + 1:0{len(str(len(listed)))}}") for number in range(len(listed))]
    write_atomically({each: figure.savefig for each, figure in zip(numbered, listed, strict=True)})
    return numbered


def _write_pdf(path: Path, figures: Sequence[Figure]) -> None:
    with PdfPages(path) as file:
        for figure in figures:
            file.savefig(figure)
