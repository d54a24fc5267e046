"""Inputs that are left out of a command, and why: one among others is told at the end, and where nothing is left, all are told."""

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from signxai.cli.arguments import names_record
from signxai.cli.progress_bars import watched
from signxai.common.errors import InputError, OptionError

__all__ = [
    "Failure",
    "NotHeldError",
    "NothingLeftError",
    "as_most",
    "attempted",
    "check_some_exist",
    "check_there",
    "in_order",
    "joined_failures",
    "not_as_most",
    "told_of_failures",
]

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound=Hashable)

_FEW = 3


@dataclass(frozen=True)
class Failure:
    """An input that is left out, and why, in a sentence that names it.

    Attributes:
        path: the file, folder or pattern.
        reason: the sentence.
        unread: whether it could not be read; else an option asks for what it does not hold.
    """

    path: Path
    reason: str
    unread: bool = True


class NotHeldError(OptionError):
    """An option asks for what a file, which can be read, does not hold."""


class NothingLeftError(InputError):
    """None of the inputs can be explained.

    Attributes:
        failures: all of them.
    """

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(_why_nothing_is_left(failures))
        self.failures = tuple(failures)


SOME_FAILED = 3
"""The exit status of a command that could not read some of its inputs."""


def told_of_failures(failures: Sequence[Failure], given: int, done: str) -> int:
    """Say on standard error which of so many inputs are left out; the exit status that comes of it.

    Args:
        failures: these.
        given: how many inputs there are.
        done: what was done to the others.
    """
    if failures:
        what = "could not be read" if all(failure.unread for failure in failures) else "are left out"
        click.echo(f"signxai: {len(failures)} of {given} inputs {what}, the others are {done}:", err=True)
    for failure in failures:
        click.echo(f"signxai: {failure.reason}", err=True)
    return SOME_FAILED if failures else 0


def _why_nothing_is_left(failures: Sequence[Failure]) -> str:
    """The reasons of all, those that say one thing of several files once; of many the first few.

    >>> _why_nothing_is_left([Failure(Path(name), f"{name}: is empty") for name in ("a", "b")] + [Failure(Path("c"), "c: is torn")])
    'none of the 3 inputs can be read: a, b: is empty; c: is torn'
    """
    if len({failure.reason for failure in failures}) == 1:
        return failures[0].reason
    alike: dict[str, list[Failure]] = {}
    for failure in failures:
        alike.setdefault(failure.reason.replace(str(failure.path), ""), []).append(failure)
    kinds = list(alike.values())
    said = list(map(_said_once, kinds[:_FEW]))
    rest = sum(map(len, kinds[_FEW:]))
    what = "read" if all(failure.unread for failure in failures) else "explained"
    return f"none of the {len(failures)} inputs can be {what}: {'; '.join([*said, *([f'and {rest} more'] if rest else [])])}"


def _said_once(failures: Sequence[Failure]) -> str:
    """What is to be said of several files, once."""
    first, more = failures[0], len(failures) - _FEW
    if not first.reason.startswith(f"{first.path}: "):
        return first.reason + (f" (and {len(failures) - 1} more likewise)" if len(failures) > 1 else "")
    names = ", ".join(str(failure.path) for failure in failures[:_FEW]) + (f" and {more} more" if more > 0 else "")
    return f"{names}{first.reason.removeprefix(str(first.path))}"


@contextmanager
def joined_failures(others: Sequence[Failure]) -> Iterator[None]:
    """While entered, an error that nothing is left tells these, too.

    Raises:
        NothingLeftError: nothing is left.
    """
    try:
        yield
    except NothingLeftError as error:
        raise NothingLeftError([*others, *error.failures]) from error


def check_there(path: Path) -> None:
    """Refuse a file that is not there.

    Raises:
        InputError: it is not, nor is it the name of a WFDB record.
    """
    if names_record(path) or os.path.exists(path):  # not Path.exists, to which too long a name is an error
        return
    if os.path.islink(path):
        raise InputError(f"{path}: is a link that leads nowhere")
    raise InputError(f"{path}: there is no such file; look at its name and its folder")


def check_some_exist(files: Sequence[Path], failures: Sequence[Failure]) -> None:
    """Refuse inputs of which none is there.

    Args:
        files: those that were named or found.
        failures: folders and patterns without any.

    Raises:
        NothingLeftError: if so.
    """
    missing: list[Failure] = []
    for path in files:
        try:
            check_there(path)
        except InputError as error:
            missing.append(Failure(path, str(error)))
    if len(missing) == len(files) and (missing or failures):
        raise NothingLeftError([*failures, *missing])


def attempted(paths: Sequence[Path], read: Callable[[Path], Result], may_fail: bool) -> tuple[dict[int, Result], list[Failure]]:
    """What ``read`` gives of each path, by its number, and those of which it gives nothing.

    Raises:
        InputError, OptionError, OSError: the first error, unless ``may_fail``.
        NothingLeftError: none of the files can be read, with the options that are given.
    """
    results: dict[int, Result] = {}
    errors: dict[int, Exception] = {}
    for number, path in enumerate(watched(paths, "reading")):
        try:
            check_there(path)
            results[number] = read(path)
        except (InputError, OptionError, OSError) as error:
            errors[number] = error
            if not may_fail:
                raise
    alike = not results and len({_reason(error) for error in errors.values()}) == 1  # an option is mistaken, whatever the file
    failures = [_failure(paths[number], error, alike) for number, error in errors.items()]
    if not results:
        raise NothingLeftError(failures) from errors[0]
    return results, failures


def _failure(path: Path, error: Exception, alike: bool) -> Failure:
    reason = _reason(error) if alike else _with_path(_reason(error), path)
    return Failure(path, reason, not isinstance(error, NotHeldError))


def as_most(kinds: Mapping[int, Kind]) -> tuple[dict[int, Kind], dict[int, Kind]]:
    """Those of the kind that more than half of them are of, and the others; all of them where there is no such kind.

    >>> as_most({0: "a", 1: "b", 2: "a"}), as_most({0: "a", 1: "b"})
    (({0: 'a', 2: 'a'}, {1: 'b'}), ({0: 'a', 1: 'b'}, {}))
    """
    kind, times = Counter(kinds.values()).most_common(1)[0]
    if 2 * times <= len(kinds):
        return dict(kinds), {}
    return {number: own for number, own in kinds.items() if own == kind}, {number: own for number, own in kinds.items() if own != kind}


def not_as_most(paths: Sequence[Path], alike: Mapping[int, object], others: Mapping[int, object], said: str) -> Iterator[Failure]:
    """The failures of inputs that cannot go into one batch with most of them; ``said`` takes the own kind and that of most."""
    for number, own in others.items():
        yield Failure(paths[number], f"{paths[number]}: {said.format(own, next(iter(alike.values())))}")


def in_order(paths: Sequence[Path], failures: Sequence[Failure]) -> list[Failure]:
    """Failures in the order in which the inputs were given."""
    return sorted(failures, key=lambda failure: paths.index(failure.path))


def _with_path(reason: str, path: Path) -> str:
    """A reason that names the file that it is about.

    >>> _with_path("a/b.csv: is empty", Path("a/b.csv")), _with_path("has no beats", Path("a/b.csv"))
    ('a/b.csv: is empty', 'a/b.csv: has no beats')
    """
    return reason if str(path) in reason else f"{path}: {reason}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
