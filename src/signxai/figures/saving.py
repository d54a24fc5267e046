"""Figures in files: text in a PDF stays text, in fonts that a journal takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

__all__ = ["save_book", "write_to"]


def _true_type() -> AbstractContextManager[None]:
    """Type 3 fonts, which matplotlib writes by default, are refused by many journals and cannot be edited."""
    return rc_context({"pdf.fonttype": 42, "ps.fonttype": 42})


def write_to(figure: Figure, path: Path) -> None:
    """Write a figure to a file, in the format that its name ends with.

    Args:
        figure: the figure.
        path: where; an existing file is overwritten.
    """
    with _true_type():
        figure.savefig(path)


def save_book(draw: Iterable[Callable[[], Figure]], path: Path) -> None:
    """Write figures to the pages of one PDF, each drawn when it is its turn.

    Args:
        draw: what draws each page.
        path: where; an existing file is overwritten.
    """
    with _true_type(), PdfPages(path) as book:
        for one in draw:
            book.savefig(one())
