"""The packages of the extras ``ecg`` and ``hospital``, fetched where they are needed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from signxai.common.errors import InputError

__all__ = ["deprecations_ignored", "package", "warnings_ignored"]


def package(name: str, purpose: str, extra: str = "ecg") -> ModuleType:
    """Import a package that signxai itself does not need.

    Args:
        name: of the module, as in an import.
        purpose: what needs it, as the beginning of a sentence.
        extra: of signxai, by which it is installed.

    Raises:
        InputError: the package, or one that it needs, is not installed.

    >>> package("banana_files", "reading bananas")
    Traceback (most recent call last):
    signxai.common.errors.InputError: reading bananas needs the package banana_files, which is missing: pip install "signxai[ecg]"
    """
    try:
        with deprecations_ignored():
            return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(f'{purpose} needs the package {error.name}, which is missing: pip install "signxai[{extra}]"') from error


@contextmanager
def deprecations_ignored() -> Iterator[None]:
    """Keep quiet what one package warns another of, such as pandas of wfdb's use of it: its users can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextmanager
def warnings_ignored() -> Iterator[None]:
    """Keep quiet what a package's arithmetic warns of, such as means of nothing, where its results are looked at anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
