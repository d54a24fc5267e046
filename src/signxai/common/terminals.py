"""How wide a bar of progress may be."""

import os
import sys

__all__ = ["bar_columns"]

_USUAL = 80


def bar_columns() -> int | None:
    """The columns that a bar on standard error may take: None, its own measure, or 80 where the terminal says that it has none.

    Terminals of containers, of ``script`` and of some editors report 0 columns, in which tqdm draws nothing.
    """
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal, or none any more: then there is no bar
        return None
    return None if columns else _USUAL
