"""Packages whose public names are fetched from their modules at first use, so that importing the package itself takes no time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["fetched_at_first_use"]


def fetched_at_first_use(
    package: str, homes: Mapping[str, str], public: Iterable[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__``.

    Args:
        package: its name.
        homes: the module of each name that is fetched.
        public: its ``__all__``.

    >>> fetch, listed = fetched_at_first_use("signxai.names", {"number": "signxai.names.spelling"}, ["number"])
    >>> fetch("number")("neg_0_5"), "number" in listed()
    (-0.5, True)
    """

    def fetch(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; public names: {', '.join(public)}")
        return getattr(import_module(homes[name]), name)

    def listed() -> list[str]:
        return sorted({*vars(import_module(package)), *public})

    return fetch, listed
