"""How a run over a data set ends that somebody ends: with a line that says what is kept."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType

import click

from signxai.common.errors import SignxaiError
from signxai.datasets.store import Store

__all__ = ["ended_in_a_line"]

_BY_SIGNAL = 128


class _Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM), as a machine does that shuts down, or a queue whose time is up."""


@contextmanager
def ended_in_a_line(store: Path, kept: str = "") -> Iterator[None]:
    """While entered, let Ctrl-C and SIGTERM end the process with a line on standard error, and with the status that shells give.

    Args:
        store: what the line speaks of.
        kept: what is kept; "": how many entries.

    Raises:
        SystemExit: 130 after Ctrl-C, 143 after SIGTERM.
    """
    try:
        with _terminating():
            yield
    except _Terminated:
        click.echo(f"signxai: told to end: {kept or _kept(store)}", err=True)
        sys.exit(_BY_SIGNAL + signal.SIGTERM)
    except KeyboardInterrupt:
        click.echo(f"signxai: interrupted: {kept or _kept(store)}", err=True)
        sys.exit(_BY_SIGNAL + signal.SIGINT)


@contextmanager
def _terminating() -> Iterator[None]:
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(_: int, __: FrameType | None) -> None:
    raise _Terminated


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
