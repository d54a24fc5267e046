"""How a run over a data set ends that somebody ends: with a line that says what is kept."""

from contextlib import AbstractContextManager
from pathlib import Path

from signxai.cli.interrupts import ended_by_a_signal
from signxai.common.errors import SignxaiError
from signxai.datasets.store import Store

__all__ = ["ended_in_a_line"]


def ended_in_a_line(store: Path, kept: str = "") -> AbstractContextManager[None]:
    """While entered, let Ctrl-C and SIGTERM end the process with a line on standard error that says how much is kept.

    Args:
        store: what the line speaks of.
        kept: what is kept; "": how many entries.

    Raises:
        SystemExit: 130 after Ctrl-C, 143 after SIGTERM.
    """
    return ended_by_a_signal(lambda: kept or _kept(store))


def _kept(path: Path) -> str:
    """What is in a store, and how it is gone on with.

    >>> _kept(Path("nowhere.zarr"))
    'nothing was written yet'
    """
    try:
        store = Store(path)
    except (SignxaiError, OSError):
        return "nothing was written yet"
    return f"{len(store.rows()) + len(store.failed)} of {len(store)} entries are kept in {path}; the same command goes on"
