"""Where the results of ``signxai explain`` go: refused before anything is computed, if two of them would be one file."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from signxai.cli.explain_results import FigurePlace
from signxai.common.errors import OptionError
from signxai.files import check_destination, check_different

__all__ = ["check_places", "folders_of", "joined_writers"]

_IN_ONE_FILE = (".csv", ".pdf")


def check_places(
    figures: Sequence[FigurePlace], others: Sequence[tuple[Path, tuple[str, ...]]], paged: Sequence[Path], read: tuple[Path, ...]
) -> None:
    """Refuse places that cannot be written to, and two results in one file.

    Args:
        figures: of maps.
        others: further files, each with the suffixes that it may have.
        paged: those of them that may go on in further files.
        read: files that must not be lost.

    Raises:
        OptionError: if there is such a place.
    """
    for place in figures:
        place.check(read)
    for path, suffixes in others:
        check_destination(path, suffixes, read)
    whole = [place.path for place in figures if not place.is_folder]
    files = [*whole, *(path for path, _ in others)]
    check_different(files)
    check_different([place.path for place in figures if place.is_folder])
    for path in (path for path in (*whole, *paged) if path.suffix.lower() not in _IN_ONE_FILE):
        _check_pages(path, files)


def _check_pages(path: Path, files: Sequence[Path]) -> None:
    """Refuse another file that would be a further page of this one."""
    of_pages = re.compile(rf"{re.escape(path.stem)}-([2-9]|[1-9]\d+)")
    for other in files:
        same_kind = other.parent.resolve() == path.parent.resolve() and other.suffix == path.suffix
        if same_kind and of_pages.fullmatch(other.stem):
            raise OptionError(f"{other}: has the name of a further page of {path}, and one would be lost; choose another name")


def joined_writers(
    writers: Mapping[Path, Callable[[Path], None]], more: Mapping[Path, Callable[[Path], None]]
) -> dict[Path, Callable[[Path], None]]:
    """Both together.

    Raises:
        OptionError: a file is in both.
    """
    check_different([*writers, *more])
    return {**writers, **more}


@contextmanager
def folders_of(places: Sequence[FigurePlace]) -> Iterator[None]:
    """While entered, the folders of figures are there; one that was made goes again if nothing comes to lie in it."""
    with ExitStack() as stack:
        for place in places:
            if place.is_folder and not place.path.exists():
                place.path.mkdir()
                stack.callback(_remove_if_empty, place.path)
        yield


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
