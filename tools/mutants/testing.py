"""Runs mutants against their tests: all against the first tests, then those that are left against all that cover them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mutants import equivalents, forks, plans
from mutants.coverage_map import STORE, CoverageMap
from mutants.mutant import Mutant
from mutants.pytest_runs import all_failures, first_failure
from mutants.report import CAUGHT, EQUIVALENT, SURVIVED, UNCOVERED, UNDECIDED, Result
from mutants.results import Store


@dataclass
class Testing:
    """Mutants with all that is needed to test them; ``store`` knows results of earlier runs."""

    mutants: Sequence[Mutant]
    coverage: CoverageMap
    listed: Sequence[equivalents.Equivalent]
    seed: int
    workers: int
    store: Store | None
    _results: dict[str, Result] = field(default_factory=dict)

    def run(self, quick: bool = False) -> list[Result]:
        """What becomes of each mutant.

        Args:
            quick: leave it at the first tests; what passes them is undecided.
        """
        planned = {mutant.place.name: self._plan(mutant) for mutant in self.mutants if not self._is_known(mutant)}
        print(f"{len(planned)} mutants to run", flush=True)
        self._run({name: plan.first for name, plan in planned.items() if plan.first}, in_one=True)
        if not quick:
            self._run({name: plan.rest for name, plan in planned.items() if plan.rest}, in_one=False)
        for name, plan in planned.items():
            self._settle(name, is_whole=not quick or not plan.rest)
        self._check_catchers()
        return [self._results[mutant.place.name] for mutant in self.mutants]

    def _is_known(self, mutant: Mutant) -> bool:
        name, reason = mutant.place.name, equivalents.reason_for(mutant, self.listed)
        known = self.store.get(mutant) if self.store is not None and reason is None else None
        self._results[name] = known or (Result(mutant, EQUIVALENT, reason) if reason is not None else Result(mutant, UNCOVERED))
        return known is not None

    def _plan(self, mutant: Mutant) -> plans.Plan:
        """Of what is listed as equivalent only the very first tests are run: they must not catch it."""
        plan = plans.plan(plans.covering_tests(mutant.place, self.coverage), self.coverage, self.seed)
        is_equivalent = self._results[mutant.place.name].status == EQUIVALENT
        return plans.Plan(plan.first[:1], []) if is_equivalent else plan

    def _run(self, batches: dict[str, list[plans.Batch]], in_one: bool) -> None:
        """Run batches of tests, those of a mutant in one process or each in its own, until one catches it."""
        mutants = {mutant.place.name: mutant for mutant in self.mutants}

        def jobs() -> Iterator[forks.Job]:
            for name, of_mutant in batches.items():
                for number, group in enumerate([of_mutant] if in_one else [[batch] for batch in of_mutant]):
                    if self._results[name].status != CAUGHT:
                        yield forks.Job(f"{name}.{number}" if number else name, functools.partial(_test, mutants[name], group))

        for outcome in forks.run(jobs(), self.workers, STORE / "logs"):
            name = outcome.job.name.partition(".")[0]
            before = self._results[name]
            self._results[name] = after = _joined(before, outcome)
            place = mutants[name].place
            how = after.by or f"{after.ran} tests passed"
            print(f"{name} {place.path}:{place.line} {after.status} ({how}), {outcome.seconds:.0f} s", flush=True)
            if after.status == CAUGHT != before.status and self.store is not None:
                self.store.put(after)

    def _settle(self, name: str, is_whole: bool) -> None:
        """Call what is left after its last test a survivor, if those were all."""
        result = self._results[name]
        if result.status == SURVIVED and not is_whole:
            self._results[name] = replace(result, status=UNDECIDED)
        elif result.status == SURVIVED and self.store is not None:
            self.store.put(result)

    def _check_catchers(self) -> None:
        """Run the tests that caught a mutant once more without it: one that fails in this selection too has caught nothing."""
        seconds = dict(zip(self.coverage.tests, self.coverage.seconds, strict=True))
        by = {result.by for result in self._results.values() if result.status == CAUGHT}
        catchers = {test: seconds[test] for test in seconds if test in by}
        job = forks.Job("unchanged", functools.partial(all_failures, catchers))
        for outcome in forks.run([job] if catchers else [], 1, STORE / "logs"):
            failing = outcome.value if outcome.end == "done" else list(catchers)
            for name, result in self._results.items():
                if result.status == CAUGHT and result.by in failing:
                    self._results[name] = replace(result, status=UNDECIDED)
                    if self.store is not None:
                        self.store.put(self._results[name])
                    print(f"{name} is undecided: {result.by} fails without it too", flush=True)


def _test(mutant: Mutant, batches: list[plans.Batch], allow: Callable[[float], None]) -> dict[str, object]:
    return first_failure((mutant.module, mutant.after), batches, allow)


def _joined(before: Result, outcome: forks.Outcome) -> Result:
    """What is known of a mutant after one more job."""
    if outcome.end == "killed" or before.status in (CAUGHT, UNDECIDED):
        return replace(before, status=UNDECIDED) if before.status != CAUGHT else before
    value = outcome.value or {"by": outcome.end, "ran": 0}
    ran = before.ran + value["ran"]
    if value["by"] is not None:
        if before.status == EQUIVALENT:
            print(f"{before.mutant.place.name} is listed as equivalent, but caught: take it from {equivalents.LIST.name}", flush=True)
        return replace(before, status=CAUGHT, by=value["by"], ran=ran)
    return replace(before, status=before.status if before.status == EQUIVALENT else SURVIVED, ran=ran)
