"""What entries are called on pages: their files without the folder that all lie in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePosixPath

__all__ = ["common_folder", "short_keys"]

_LAST = 2


def common_folder(keys: Sequence[str]) -> str:
    """The folder that all keys lie in, which need not be repeated; "": none.

    >>> common_folder(["/data/a/1.png", "/data/b/1.png"]), common_folder(["0", "1"]), common_folder(["a/1"])
    ('/data/', '', '')
    """
    first, last = min(keys), max(keys)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return first[:common].rpartition("/")[0] + "/" if len(keys) > 1 and "/" in first[:common] else ""


def short_keys(keys: Sequence[str]) -> list[str]:
    """Keys without the folder that all lie in, or of absolute paths the last parts; where those would not differ, as they are.

    >>> short_keys(["/data/a/1.png", "/data/b/1.png"]), short_keys(["/data/new/a/1.png"]), short_keys(["a/1"])
    (['a/1.png', 'b/1.png'], ['…/a/1.png'], ['a/1'])
    """
    folder = common_folder(keys)
    short = [_last_parts(key[len(folder) :]) for key in keys]
    return short if len(set(short)) == len(set(keys)) else list(keys)


def _last_parts(key: str) -> str:
    parts = PurePosixPath(key).parts
    return "…/" + "/".join(parts[-_LAST:]) if key.startswith("/") and len(parts) > _LAST + 1 else key
