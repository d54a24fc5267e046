"""What the arguments of a command may be: files, names of WFDB records, several methods in a row."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any

import click

from signxai.timeseries.formats import signal_suffixes

__all__ = ["Command", "ExplainCommand", "FiniteRange", "Input", "Place", "Seed", "TextCommand", "named_file", "named_text", "names_record"]

_ARRAYS_AND_PICTURES = (".npy", ".npz", ".pt", ".pth", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")


class Command(click.Command):
    """Refuses an option that is given again though it has one value: of several the last would count, without a word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        given = Counter(one for one in order if isinstance(one, click.Option) and not (one.multiple or one.is_flag or one.count))
        if twice := next((option for option, times in given.items() if times > 1), None):
            name = max(twice.opts, key=len)
            raise click.UsageError(f"{name} is given {given[twice]} times, and has one value: leave all but one out", ctx)
        return super().parse_args(ctx, args)


class ExplainCommand(Command):
    """Lets ``--method`` take several names in a row: ``--method gradient lrp_z`` is ``--method gradient --method lrp_z``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_spread(args, _looks_like_a_file)))


class TextCommand(Command):
    """The same where the other arguments are texts: what has white space within is one. A single word after a method is read as a name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_spread(args, lambda arg: len(arg.split()) != 1)))


def _spread(args: Sequence[str], is_an_input: Callable[[str], bool]) -> Iterator[str]:
    in_names, value_is_next = False, False
    for arg in args:
        if in_names and not value_is_next and not arg.startswith("-") and not is_an_input(arg):
            yield "--method"
        elif not value_is_next:
            in_names = arg in ("--method", "-m") or arg.startswith("--method=")
        value_is_next = arg in ("--method", "-m")
        yield arg


def _looks_like_a_file(arg: str) -> bool:
    path = Path(arg)
    has_suffix = path.suffix.lower() in (*_ARRAYS_AND_PICTURES, *signal_suffixes())
    return len(path.parts) != 1 or has_suffix or has_magic(arg) or path.exists() or names_record(path)


def names_record(path: Path) -> bool:
    """Whether it names a WFDB record, whose files have suffixes."""
    return bool(path.name) and os.path.isfile(f"{path}.hea")  # not Path.is_file, to which too long a name is an error


class Input(click.Path):
    """A file that is there, or the name of a WFDB record.

    Args:
        may_be_folder: whether a folder will do, too.
        may_be_missing: whether the name of a file that is not there will do, which is told with those that cannot be read; so may be
            a pattern, as ``photos/*.jpg``, which not every shell replaces by the files.
    """

    def __init__(self, may_be_folder: bool = False, may_be_missing: bool = False) -> None:
        super().__init__(exists=True, dir_okay=may_be_folder, path_type=Path)
        self.may_be_missing = may_be_missing

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        is_missing = self.may_be_missing and bool(str(value)) and not os.path.exists(value)
        return Path(value) if is_missing or names_record(Path(value)) else super().convert(value, param, ctx)


class Place(click.Path):
    """A file or folder by its name, which need not be there; no name at all, which would mean the folder one is in, is none.

    Args:
        kind: what it is given as.
    """

    def __init__(self, kind: type[str] | type[Path] = Path) -> None:
        super().__init__(path_type=kind)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("the name is empty: give that of a file or a folder, or leave the option out", param, ctx)
        return super().convert(value, param, ctx)


class FiniteRange(click.FloatRange):
    """A number within limits: neither NaN, which no limit keeps out, nor infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


class Seed(click.IntRange):
    """A number that generators take as a seed."""

    def __init__(self) -> None:
        super().__init__(min=0, max=2**63 - 1)


def named_file(text: str) -> tuple[str, Path]:
    """The name of an argument of the model, and the file of what is given for it: ``NAME=FILE``."""
    name, path = named_text(text)
    return name, Input().convert(path, None, None)


def named_text(text: str) -> tuple[str, str]:
    """The name of an argument of the model, and what is said of it: ``NAME=VALUE``.

    >>> named_text("scale=0.5")
    ('scale', '0.5')
    """
    name, _, value = text.partition("=")
    if not value or not name.isidentifier():
        raise click.BadParameter(f"{text!r}: write NAME=VALUE, with the name of an argument of the model's forward.")
    return name, value
