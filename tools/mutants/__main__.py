"""The command line: ``PYTHONPATH=tools python -m mutants --help``."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_threads] = "1"  # the forks are what runs side by side
os.environ["COVERAGE_CORE"] = "ctrace"  # the only one that knows which test runs a line

from mutants import candidates, coverage_map, equivalents, forks, plans, report, results, sampling, testing  # noqa: E402
from mutants.mutant import Mutant, Place  # noqa: E402

SOURCES = ("src/signxai/engine", "src/signxai/methods", "src/signxai/names")
TESTS = ("tests/names", "tests/methods", "tests/engine", "tests/laws", *SOURCES)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description="Change one place of the source at a time: does a test notice?")
    parser.add_argument("--count", type=int, default=300, help="size of the sample (300)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another sample (0)")
    parser.add_argument("--only", nargs="+", default=SOURCES, metavar="PATH", help="files or folders of the source to change")
    parser.add_argument("--tests", nargs="+", default=TESTS, metavar="PATH", help="files or folders of the tests to run")
    parser.add_argument("--ids", nargs="+", metavar="ID", help="these mutants, in place of a sample")
    parser.add_argument("--workers", type=int, default=2, help="how many run side by side (2)")
    parser.add_argument("--show", metavar="ID", help="print a mutant's change and the tests that cover it, and run nothing")
    parser.add_argument("--list", action="store_true", help="print the sample's changes, and run nothing")
    parser.add_argument("--again", action="store_true", help="run also what an earlier run settled on the same source and tests")
    parser.add_argument("--although-tests-fail", action="store_true", help="leave out tests that fail before anything is changed")
    parser.add_argument("--quick", action="store_true", help="run each mutant against the first tests alone, 22 seconds of them")
    parser.add_argument("--output", type=Path, help="where the report goes (printed); `make mutants` writes tests/mutants.md")
    return parser.parse_args()


def main() -> None:
    """Do what the command line says."""
    arguments = _arguments()
    start = time.monotonic()
    places = [place for path in candidates.sources(arguments.only) for place in candidates.candidates(path)]
    mutants = _chosen(places, arguments)
    if arguments.list:
        print("\n\n".join(map(_description, mutants)))
        return
    forks.import_third_party()
    keys = coverage_map.keys(arguments.tests)
    coverage = coverage_map.load(keys, arguments.workers)
    if coverage.failing and not arguments.although_tests_fail:
        raise SystemExit(f"{len(coverage.failing)} tests fail before anything is changed, the first: {coverage.failing[0]}")
    print(f"{len(mutants)} mutants of {len(places)} places; {len(coverage.tests)} tests, {sum(coverage.seconds):.0f} s", flush=True)
    if arguments.show:
        _show(mutants[0], coverage)
        return
    listed = equivalents.read()
    store = None if arguments.again else results.Store(coverage_map.STORE / "results.jsonl", keys)
    found = testing.Testing(mutants, coverage, listed, arguments.seed, arguments.workers, store).run(arguments.quick)
    text = report.as_markdown(found, arguments.seed, (time.monotonic() - start) / 60, len(places), listed)
    if arguments.output:
        arguments.output.write_text(text)
    print(text)


def _chosen(places: Sequence[Place], arguments: argparse.Namespace) -> list[Mutant]:
    wanted = [arguments.show] if arguments.show else arguments.ids
    if not wanted:
        return sampling.sample(places, arguments.count, arguments.seed, candidates.mutant_at)
    by_name = {place.name: place for place in places}
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise SystemExit(f"there is no mutant {missing[0]} in the source as it is")
    return [mutant for name in wanted if (mutant := candidates.mutant_at(by_name[name])) is not None]


def _description(mutant: Mutant) -> str:
    place = mutant.place
    return f"{place.name} {place.path}:{place.line} {place.function} ({place.operator})\n{mutant.diff}"


def _show(mutant: Mutant, coverage: coverage_map.CoverageMap) -> None:
    print(_description(mutant))
    found = plans.plan(plans.covering_tests(mutant.place, coverage), coverage, 0)
    for number, batch in enumerate([*found.first, *found.rest], 1):
        print(f"batch {number}: {len(batch)} tests, {sum(batch.values()):.1f} s, as {', '.join(list(batch)[:5])}")


if __name__ == "__main__":
    main()
