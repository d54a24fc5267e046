"""What the scripts write: a document's places, figures beside it, and the numbers; all of them or none."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from signxai.files import write_atomically

__all__ = ["as_json", "filled", "versions", "write"]

DOCUMENT = "evidence_real.md"


def filled(text: str, place: str, content: str) -> str:
    """The document with the content between <!-- place:begin --> and <!-- place:end -->.

    Raises:
        ValueError: the document has no such place.
    """
    begin, end = f"<!-- {place}:begin -->", f"<!-- {place}:end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the document has no place for {place}: write {begin} and {end} into it, each on a line of its own")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def as_json(found: Mapping[str, Any]) -> str:
    """Lines of JSON, lists of numbers on one; what is undefined is null.

    >>> print(as_json({"a": [1.0, float("nan")]}).strip())
    {
     "a": [1.0, null]
    }
    """
    text = json.dumps(_defined(found), indent=1)
    return re.sub(r"\[[\s\d.,enul+-]*\]", lambda match: re.sub(r"\s+", " ", match[0]).replace("[ ", "[").replace(" ]", "]"), text) + "\n"


def _defined(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _defined(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(own) for own in value]
    return None if isinstance(value, float) and value != value else value


def versions() -> dict[str, str]:
    """What computed the numbers."""
    return {name: version(name) for name in ("torch", "numpy")} | {"Python": platform.python_version(), "machine": platform.machine()}


def write(
    output: Path,
    tables: Mapping[str, str],
    figures: Mapping[str, Callable[[Mapping[str, Any]], Figure]],
    found: Mapping[str, Any],
    files: Mapping[Path, str],
) -> None:
    """The tables into the document, the figures beside it, and the files."""
    text = (output / DOCUMENT).read_text(encoding="utf-8")
    for place, content in tables.items():
        text = filled(text, place, content)
    texts = {**files, output / DOCUMENT: text}
    write_atomically(
        {path: partial(Path.write_text, data=content, encoding="utf-8") for path, content in texts.items()}
        | {output / "images" / name: partial(_save, figure_of(found)) for name, figure_of in figures.items()}
    )


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Software": None})
