"""How error messages show what was given."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["listed", "shown"]


def shown(value: object, most: int = 80) -> str:
    """A value as error messages show it: quoted, and cut where it is long.

    >>> shown("lrp_z"), shown("a" * 9, most=3)
    ("'lrp_z'", "'aa...")
    """
    text = repr(value[:most] if isinstance(value, str) else value)
    return text[:most] + "..." if len(text) > most or (isinstance(value, str) and len(value) > most) else text


def listed(words: Iterable[str]) -> str:
    """Words as error messages list them; "none" where there is none.

    >>> listed(["low", "high"]), listed([])
    ('low, high', 'none')
    """
    return ", ".join(words) or "none"
