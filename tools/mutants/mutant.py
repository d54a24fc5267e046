"""One change of one place in the source."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


@dataclass(frozen=True)
class Place:
    """Where an operator can change a file: the ``occurrence``-th place that it finds there."""

    path: str  # from the project's root, with slashes
    function: str  # with its classes, "" outside of functions and classes
    line: int
    column: int
    operator: str
    occurrence: int
    code: str  # the line without its indentation
    repetition: int  # the same change of the same text of the same function, counted from 0

    @cached_property
    def name(self) -> str:
        """Eight digits that stay the same while the line and its function do, wherever in the file they stand."""
        text = f"{self.path}:{self.function}:{self.code}:{self.operator}:{self.repetition}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def package(self) -> str:
        """The room that the file stands in, as ``engine``."""
        return Path(self.path).relative_to("src/signxai").parts[0]


@dataclass(frozen=True)
class Mutant:
    """A place and the file's text with the change."""

    place: Place
    before: str
    after: str

    @property
    def module(self) -> str:
        """The dotted name of the changed module."""
        return module_of(self.place.path)

    @property
    def diff(self) -> str:
        """The change as a patch without context."""
        return "\n".join(line for line in self._changed() if not line.startswith("@@"))

    @property
    def removed(self) -> str:
        """The changed lines as they were, without indentation."""
        return _joined(self._changed(), "-")

    @property
    def added(self) -> str:
        """The changed lines as they are, without indentation."""
        return _joined(self._changed(), "+")

    def _changed(self) -> list[str]:
        return list(difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), lineterm="", n=0))[2:]


def _joined(diff: list[str], sign: str) -> str:
    return "\n".join(" ".join(line[1:].split()) for line in diff if line.startswith(sign))


def module_of(path: str) -> str:
    """The dotted name of a source file.

    >>> module_of("src/signxai/engine/fused/__init__.py")
    'signxai.engine.fused'
    """
    parts = Path(path).relative_to("src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
