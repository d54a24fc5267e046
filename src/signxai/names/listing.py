"""The list of method names, and the names on it that are most like another one."""

from __future__ import annotations

from functools import cache

from signxai.names import catalog

__all__ = ["list_methods", "nearest"]


def list_methods(pattern: str | None = None) -> list[str]:
    """List method names, all or those that match a glob pattern (case counts).

    The names of the original package come first, then one name of each further method and rule, then registered ones. The
    grammar has endlessly many more: any number may stand where one of these has a number.

    >>> list_methods("w2lrp_[zs]*")
    ['w2lrp_z', 'w2lrp_sequential_composite_a', 'w2lrp_sequential_composite_b']
    """
    from fnmatch import fnmatchcase

    examples = (record.example for record in catalog.current().records)
    names = dict.fromkeys([*_original_names(), *(example for example in examples if example)])
    return [name for name in names if pattern is None or fnmatchcase(name, pattern)]


def nearest(name: str) -> list[str]:
    """The three listed names most like this one."""
    from difflib import get_close_matches

    return get_close_matches(name[:100], list_methods(), n=3, cutoff=0.0)


@cache
def _original_names() -> tuple[str, ...]:
    """The names of the original package, in the order of the file."""
    from importlib.resources import files

    return tuple(files("signxai.names").joinpath("method_names.txt").read_text(encoding="ascii").split())
