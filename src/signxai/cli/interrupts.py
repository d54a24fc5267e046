"""How a command ends that somebody ends: with a line that says what is left of it."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, TypeVar, cast

import click

__all__ = ["ended_by_a_signal", "writing_at_its_end"]

_BY_SIGNAL = 128


Command = TypeVar("Command", bound=Callable[..., Any])


def writing_at_its_end(command: Command) -> Command:
    """A command that, ended while it loads or computes, or while torch is imported, says that nothing was written."""

    @wraps(command)
    def called(*args: Any, **options: Any) -> Any:
        with ended_by_a_signal(lambda: "nothing was written"):
            return command(*args, **options)

    return cast("Command", called)


class _Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM), as a machine does that shuts down, or a queue whose time is up."""


@contextmanager
def ended_by_a_signal(kept: Callable[[], str]) -> Iterator[None]:
    """While entered, let Ctrl-C and SIGTERM end the process with a line on standard error, and with the status that shells give.

    Args:
        kept: what the line says is left.

    Raises:
        SystemExit: 130 after Ctrl-C, 143 after SIGTERM.
    """
    try:
        with _terminating():
            yield
    except _Terminated:
        click.echo(f"signxai: told to end: {kept()}", err=True)
        sys.exit(_BY_SIGNAL + signal.SIGTERM)
    except KeyboardInterrupt:
        click.echo(f"signxai: interrupted: {kept()}", err=True)
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
