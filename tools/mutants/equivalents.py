"""Mutants that no test can tell from the original, listed by hand in ``tests/mutants.toml``.

An entry names file, function and the changed lines as they are before and after, not their numbers, so that it outlives changes
elsewhere in the file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mutants.mutant import ROOT, Mutant

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIST = ROOT / "tests" / "mutants.toml"


@dataclass(frozen=True)
class Equivalent:
    """A change that changes nothing, and why."""

    file: str
    function: str
    before: str
    after: str
    reason: str

    def is_of(self, mutant: Mutant) -> bool:
        """Whether this entry speaks of ``mutant``."""
        place = mutant.place
        is_there = (self.file, self.function) == (place.path, place.function)
        return is_there and (_bare(self.before), _bare(self.after)) == (_bare(mutant.removed), _bare(mutant.added))

    def is_outdated(self) -> bool:
        """Whether the file no longer holds the line that the entry changes."""
        path = ROOT / self.file
        return not path.exists() or _bare(self.before) not in _bare(path.read_text())


def _bare(text: str) -> str:
    """Without white space, of which cosmic-ray adds some."""
    return "".join(text.split())


def read(path: Path = LIST) -> list[Equivalent]:
    """The listed equivalents.

    Raises:
        SystemExit: where an entry lacks a key, or its reason is empty.
    """
    entries = tomllib.loads(path.read_text()).get("equivalent", []) if path.exists() else []
    for entry in entries:
        if set(entry) != {"file", "function", "before", "after", "reason"} or not entry["reason"].strip():
            raise SystemExit(f"{path}: an equivalent needs file, function, before, after and a reason, not {sorted(entry)}")
    return [Equivalent(**entry) for entry in entries]


def reason_for(mutant: Mutant, listed: Sequence[Equivalent]) -> str | None:
    """Why a mutant is equivalent; None if it is not listed."""
    return next((entry.reason for entry in listed if entry.is_of(mutant)), None)
