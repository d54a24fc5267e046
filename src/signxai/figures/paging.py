"""Many samples, or one by many methods, on several pages, as a figure with all of them would be higher than anybody can read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from matplotlib.figure import Figure

from signxai.common.errors import InputError, OptionError
from signxai.figures.pages import PageError
from signxai.figures.saving import save_book, write_to
from signxai.files import FIGURE_SUFFIXES, check_destination, write_atomically

__all__ = ["NumberedSample", "page_path", "page_writers", "pages", "save_pages", "some_maps"]

SampleT = TypeVar("SampleT")
Draw: TypeAlias = Callable[[], Figure]
Writer: TypeAlias = Callable[[Path], None]

_HIGHEST = 20.0
"""Inches of a page with several samples, or several maps of one: about two printed pages."""

_LINES = 1.0
"""Inches of what may be said of each map where several are on a page."""


@dataclass(frozen=True)
class NumberedSample:
    """A sample that is made when it is drawn.

    Attributes:
        number: which one.
        maps: the numbers of the maps that are drawn of it.
    """

    number: int
    maps: Sequence[int]


def pages(figure: Callable[[Sequence[SampleT]], Figure], samples: Sequence[SampleT], *, per_page: int = 6) -> Iterator[Figure]:
    """Draw so many samples on each page, one page after the other.

    Args:
        figure: draws a list of samples: `image_figure`, `signal_figure`, `inputs_figure`, or one of them with options
            (``functools.partial``).
        samples: what it takes, at least one.
        per_page: at most so many samples are on a page, as many on each but the last; fewer where that many would be higher than 20 inches,
            about two printed pages. The maps of a sample that is higher alone go on several pages, and its heading says which they are;
            one map has the height that it needs.

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


def some_maps(sample: Any, chosen: Sequence[int]) -> Any:
    """A sample with some of its maps, its heading saying which.

    Args:
        sample: as figures take it, with `maps` and a `heading`.
        chosen: the numbers of maps that follow each other, at least one.

    >>> from signxai.figures.map_plots import Sample
    >>> some_maps(Sample([0.0], {"gradient": [1.0], "lrp_z": [2.0], "grad_cam": [3.0]}, "beat 12"), range(1, 3))
    Sample(x=[0.0], maps={'lrp_z': [2.0], 'grad_cam': [3.0]}, heading='beat 12; maps 2 to 3 of 3', turned=())
    """
    names = list(sample.maps)
    if len(chosen) == len(names):
        return sample
    which = f"maps {chosen[0] + 1} to {chosen[-1] + 1}" if len(chosen) > 1 else f"map {chosen[0] + 1}"
    heading = "; ".join(filter(None, (sample.heading, f"{which} of {len(names)}")))
    return replace(sample, maps={names[number]: sample.maps[names[number]] for number in chosen}, heading=heading)


def _drawings(figure: Callable[[Sequence[SampleT]], Figure], samples: Sequence[SampleT], per_page: int) -> list[Draw]:
    """What draws each page; whether so many samples fit on one is found out on the first, which is drawn here."""
    if per_page < 1:
        raise OptionError(f"per_page={per_page}: a page shows at least one sample")
    if not samples:
        raise InputError("pages need at least one sample")
    first, per_page = _first_page(figure, samples, min(per_page, len(samples)))
    if first.get_figheight() > _HIGHEST and _map_count(samples[0]) > 1:
        first, most = _first_page_of_maps(figure, samples[0], first)
        samples = [part for sample in samples for part in _in_parts(sample, most)]
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


def _first_page_of_maps(figure: Callable[[Sequence[SampleT]], Figure], sample: SampleT, whole: Figure) -> tuple[Figure, int]:
    """The first page of a sample that is too high alone, and how many of its maps are on it: those beside each other stay together."""
    drawn, most = whole, _map_count(sample)
    height = max(_HIGHEST, figure([next(_in_parts(sample, 1))]).get_figheight() + _LINES)
    while drawn.get_figheight() > height:
        most = min(most - 1, math.ceil(most * height / drawn.get_figheight()))
        drawn = figure([next(_in_parts(sample, most))])
    return drawn, most


def _map_count(sample: object) -> int:
    """How many maps a sample has; 0: it has none that can be drawn apart."""
    maps = getattr(sample, "maps", ())
    return len(maps) if isinstance(sample, NumberedSample) or isinstance(maps, Mapping) else 0


def _in_parts(sample: SampleT, most: int) -> Iterator[SampleT]:
    """A sample in parts with at most so many maps."""
    for first in range(0, max(1, count := _map_count(sample)), most):
        chosen = range(first, min(first + most, count))
        if not chosen:
            yield sample
        elif isinstance(sample, NumberedSample):
            yield replace(sample, maps=[sample.maps[number] for number in chosen])
        else:
            yield some_maps(sample, chosen)


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
