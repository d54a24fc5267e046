"""The command line: ``PYTHONPATH=tools python -m mutants --help``."""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_threads] = "1"  # the forks are what runs side by side
os.environ["COVERAGE_CORE"] = "ctrace"  # the only one that knows which test runs a line

from mutants import candidates, coverage_map, equivalents, forks, plans, report, results, sampling  # noqa: E402
from mutants.mutant import ROOT, Mutant, Place  # noqa: E402
from mutants.pytest_runs import all_failures, first_failure  # noqa: E402
from mutants.report import CAUGHT, EQUIVALENT, SURVIVED, UNCOVERED, Result  # noqa: E402

SOURCES = ("src/signxai/engine", "src/signxai/methods", "src/signxai/names")
TESTS = ("tests/names", "tests/methods", "tests/engine", "tests/laws", *SOURCES)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description="Change one place of the source at a time: does a test notice?")
    parser.add_argument("--count", type=int, default=300, help="size of the sample (300)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another sample (0)")
    parser.add_argument("--only", nargs="+", default=SOURCES, metavar="PATH", help="files or folders of the source to change")
    parser.add_argument("--ids", nargs="+", metavar="ID", help="these mutants, in place of a sample")
    parser.add_argument("--workers", type=int, default=2, help="how many run side by side (2)")
    parser.add_argument("--show", metavar="ID", help="print a mutant's change and the tests that cover it, and run nothing")
    parser.add_argument("--list", action="store_true", help="print the sample's changes, and run nothing")
    parser.add_argument("--again", action="store_true", help="run also what an earlier run settled on the same source and tests")
    parser.add_argument("--although-tests-fail", action="store_true", help="leave out tests that fail before anything is changed")
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
    keys = coverage_map.keys(TESTS)
    coverage = coverage_map.load(keys, arguments.workers)
    if coverage.failing and not arguments.although_tests_fail:
        raise SystemExit(f"{len(coverage.failing)} tests fail before anything is changed, the first: {coverage.failing[0]}")
    print(f"{len(mutants)} mutants of {len(places)} places; {len(coverage.tests)} tests, {sum(coverage.seconds):.0f} s", flush=True)
    if arguments.show:
        _show(mutants[0], coverage)
        return
    listed = equivalents.read()
    found = list(_tested(mutants, coverage, keys, listed, arguments))
    _check_catchers(found, coverage)
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
    for number, batch in enumerate(_batches(mutant, coverage, 0), 1):
        print(f"batch {number}: {len(batch)} tests, {sum(batch.values()):.1f} s, as {', '.join(list(batch)[:5])}")


def _batches(mutant: Mutant, coverage: coverage_map.CoverageMap, seed: int) -> list[dict[str, float]]:
    return plans.batches(plans.covering_tests(mutant.place, coverage), coverage, seed)


def _tested(
    mutants: Sequence[Mutant],
    coverage: coverage_map.CoverageMap,
    keys: dict[str, str],
    listed: Sequence[equivalents.Equivalent],
    arguments: argparse.Namespace,
) -> Iterator[Result]:
    """What becomes of each mutant. Of one that is listed as equivalent only the first batch is run: it must not be caught there."""
    store = results.Store(coverage_map.STORE / "results.jsonl", keys)
    jobs, of_job = [], {mutant.place.name: mutant for mutant in mutants}
    for mutant in mutants:
        known = None if arguments.again else store.get(mutant)
        batches = _batches(mutant, coverage, arguments.seed)
        reason = equivalents.reason_for(mutant, listed)
        if reason is not None:
            batches = batches[:1]
        if known is not None and reason is None:
            yield known
        elif not batches:
            yield Result(mutant, EQUIVALENT, reason) if reason else Result(mutant, UNCOVERED)
        else:
            jobs.append(forks.Job(mutant.place.name, functools.partial(_test, mutant, batches)))
    for number, outcome in enumerate(forks.run(jobs, arguments.workers, coverage_map.STORE / "logs"), 1):
        mutant = of_job[outcome.job.name]
        result = _result(mutant, outcome, equivalents.reason_for(mutant, listed))
        if result.status != EQUIVALENT:
            store.put(result)
        place = mutant.place
        print(
            f"{number}/{len(jobs)} {place.name} {place.path}:{place.line} {result.status} ({result.by}), {outcome.seconds:.0f} s",
            flush=True,
        )
        yield result


def _test(mutant: Mutant, batches: list[dict[str, float]], allow: Any) -> dict[str, object]:
    return first_failure((mutant.module, mutant.after), batches, allow)


def _result(mutant: Mutant, outcome: forks.Outcome, reason: str | None) -> Result:
    value = outcome.value or {"by": outcome.end, "ran": 0}
    if value["by"] is not None:
        if reason is not None:
            print(f"{mutant.place.name} is listed as equivalent, but caught: take it from {equivalents.LIST.relative_to(ROOT)}")
        return Result(mutant, CAUGHT, value["by"], value["ran"])
    return Result(mutant, EQUIVALENT, reason, value["ran"]) if reason is not None else Result(mutant, SURVIVED, None, value["ran"])


def _check_catchers(found: Sequence[Result], coverage: coverage_map.CoverageMap) -> None:
    """Run the tests that caught a mutant once more without it: they must pass in this selection too."""
    seconds = dict(zip(coverage.tests, coverage.seconds, strict=True))
    catchers = {test: seconds[test] for test in sorted({result.by for result in found if result.by in seconds and result.status == CAUGHT})}
    if not catchers:
        return
    job = forks.Job("unchanged", functools.partial(all_failures, catchers))
    for outcome in forks.run([job], 1, coverage_map.STORE / "logs"):
        if outcome.end != "done" or outcome.value:
            raise SystemExit(f"without any mutant there is a {outcome.end} of the tests that caught one; failing: {outcome.value}")


if __name__ == "__main__":
    main()
