"""What earlier runs found, for as long as the source and the tests that it rests on are the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mutants.mutant import Mutant
from mutants.report import CAUGHT, SURVIVED, Result


class Store:
    """Results in a file, one on each line."""

    def __init__(self, path: Path, keys: dict[str, str]) -> None:
        self.path, self.keys = path, keys
        self.all_tests = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16]
        lines = path.read_text().splitlines() if path.exists() else []
        self.known = {entry["id"]: entry for entry in map(json.loads, lines)}

    def get(self, mutant: Mutant) -> Result | None:
        """The result of a mutant, if nothing has changed that could change it."""
        entry = self.known.get(mutant.place.name)
        if (
            entry is None
            or entry["status"] not in (CAUGHT, SURVIVED)
            or entry["change"] != mutant.diff
            or entry["key"] != self._key(entry["by"])
        ):
            return None
        return Result(mutant, entry["status"], entry["by"], entry["ran"])

    def put(self, result: Result) -> None:
        """Remember a result."""
        entry = {"id": result.mutant.place.name, "change": result.mutant.diff, "status": result.status, "by": result.by, "ran": result.ran}
        entry["key"] = self._key(result.by if result.status == CAUGHT else None)
        with self.path.open("a") as file:
            print(json.dumps(entry), file=file)

    def _key(self, by: str | None) -> str:
        """One that is caught stays so while the catching test's file does; a survivor while all tests do."""
        return self.keys.get((by or "").partition("::")[0], self.all_tests)
