"""What a run found, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mutants.equivalents import Equivalent
from mutants.mutant import ROOT, Mutant

DOCUMENT = ROOT / "tests" / "mutants.md"
CAUGHT, SURVIVED, UNCOVERED, EQUIVALENT = "caught", "survived", "covered by no test", "equivalent"
UNDECIDED = "undecided"
"""Passed the first tests and was run against no more, was killed from outside, or failed a test that fails without it too."""


@dataclass(frozen=True)
class Result:
    """What became of one mutant."""

    mutant: Mutant
    status: str
    by: str | None = None  # what caught it: a test, "import", "time-out" or "crash"; of an equivalent the reason
    ran: int = 0  # how many tests passed


def as_markdown(results: Sequence[Result], seed: int, minutes: float, candidates: int, listed: Sequence[Equivalent]) -> str:
    """The report as it is committed."""
    survivors = [result for result in results if result.status in (SURVIVED, UNCOVERED, UNDECIDED)]
    caught = sum(result.status == CAUGHT for result in results)
    effective = sum(result.status != EQUIVALENT for result in results)
    parts = [
        "# Mutants",
        f"`make mutants` changed one place of the source at a time: a sample of {len(results)} of {candidates} places (seed {seed}; "
        f"`tools/mutants/candidates.py` says what is left out). Each mutant ran against the tests that run its line; "
        f"it took {minutes:.0f} minutes.",
        f"**{caught} of {effective} mutants that change anything are caught ({100 * caught / max(effective, 1):.1f} %).**",
        _table(results),
        _ways(results),
        "## Survivors",
        "\n\n".join(map(_survivor, survivors)) or "None.",
        "## Equivalent",
        "Nobody can tell these from the original; listed in `tests/mutants.toml`.",
        "\n\n".join(_equivalent(result) for result in results if result.status == EQUIVALENT) or "None in this sample.",
    ]
    outdated = [entry for entry in listed if entry.is_outdated()]
    if outdated:
        parts += ["## Outdated entries", "\n".join(f"- `{entry.file}`, `{entry.function}`: `{entry.before}`" for entry in outdated)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(results: Sequence[Result]) -> str:
    packages = sorted({result.mutant.place.package for result in results})
    columns = (CAUGHT, SURVIVED, UNCOVERED, EQUIVALENT, UNDECIDED)
    count = Counter((result.mutant.place.package, result.status) for result in results)
    rows = [f"| {name} | {' | '.join(str(count[name, column]) for column in columns)} |" for name in packages]
    return "\n".join([f"| package | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}", *rows])


def _ways(results: Iterable[Result]) -> str:
    ways = Counter(
        result.by if result.by in ("import", "time-out", "crash") else "a failing test" for result in results if result.status == CAUGHT
    )
    return "Caught by: " + ", ".join(f"{way} {number}" for way, number in ways.most_common()) + "." if ways else ""


def _survivor(result: Result) -> str:
    place = result.mutant.place
    where = f"### {place.name} `{place.path}` `{place.function or 'module'}`"
    return f"{where}\n\n{result.status}; {result.ran} tests passed\n\n```diff\n{result.mutant.diff}\n```"


def _equivalent(result: Result) -> str:
    place = result.mutant.place
    return f"`{place.path}` `{place.function or 'module'}`: {result.by}\n\n```diff\n{result.mutant.diff}\n```"
