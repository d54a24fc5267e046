"""The package Jinja of the extra ``data``, fetched where it is needed."""

from importlib import import_module
from typing import Any

from signxai.common.errors import OptionError

__all__ = ["jinja_package"]


def jinja_package() -> Any:
    """The package jinja2.

    Raises:
        OptionError: it, or a package that it needs, is not installed.
    """
    try:
        return import_module("jinja2")
    except ModuleNotFoundError as error:
        raise OptionError(f'a report needs the package {error.name}, which is missing: pip install "signxai[data]"') from error
