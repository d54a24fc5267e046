"""Which test runs which line: measured once for each test file, and again when it, the source or the tests' helpers change."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import pkgutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mutants import forks
from mutants.mutant import ROOT, SOURCE
from mutants.pytest_runs import files_of_tests, run_pytest

STORE = ROOT / ".mutants"
_AT_IMPORT = "import"
_LONGEST_TEST = 1200.0


class Recorder:
    """A pytest plugin: gives every test, and every fixture that tests share, a coverage context of its own."""

    def __init__(self, coverage: Any, allow: Callable[[float], None]) -> None:
        self.coverage, self.allow = coverage, allow
        self.tests: list[dict[str, Any]] = []
        self._fixtures: dict[int, str] = {}  # of each shared fixture: the context of its latest set-up
        self._context = _AT_IMPORT
        self._starts_process = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.allow(_LONGEST_TEST)
        _clear_caches()
        test: dict[str, Any] = {"name": item.nodeid, "failed": False, "fixtures": []}
        self.tests.append(test)
        self._starts_process = False
        start = time.perf_counter()
        before = self._switch(f"test {len(self.tests) - 1}")
        result = yield
        self._switch(before)
        test["seconds"], test["starts_process"] = time.perf_counter() - start, self._starts_process
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        info: Any = getattr(item, "_fixtureinfo", None)  # doctests have none
        used = [fixtures[-1] for fixtures in info.name2fixturedefs.values()] if info else []
        self.tests[-1]["fixtures"] = sorted({self._fixtures[id(fixture)] for fixture in used if id(fixture) in self._fixtures})
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        context = self._fixtures[id(fixturedef)] = f"fixture {len(self._fixtures)} {len(self.tests)}"
        before = self._switch(context)
        try:
            return (yield)
        finally:
            self._switch(before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.skipped:
            self.tests[-1]["failed"] = self.tests[-1]["failed"] or report.failed
            self.tests[-1]["skipped"] = report.skipped

    def note_process(self) -> None:
        """The running test starts a process, which a mutant does not reach."""
        self._starts_process = True

    def _switch(self, context: str) -> str:
        before, self._context = self._context, context
        self.coverage.switch_context(context)
        return before


def _clear_caches() -> None:
    """Forget what was computed for other tests, so that every test is seen to run what it needs."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "signxai":
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


def measure(file: str, allow: Callable[[float], None]) -> dict[str, Any]:
    """Run one test file under coverage; in a fork."""
    import coverage

    allow(_LONGEST_TEST)
    traced = coverage.Coverage(data_file=None, config_file=False, source=[str(SOURCE / "signxai")], context=_AT_IMPORT)
    recorder = Recorder(traced, allow)
    _tell_of_processes(recorder)
    traced.start()
    _import_everything()
    run_pytest([file], recorder)
    traced.stop()
    return {"tests": recorder.tests, "lines": _by_line(traced.get_data(), recorder.tests)}


def _tell_of_processes(recorder: Recorder) -> None:
    start = subprocess.Popen.__init__

    def telling(*args: Any, **kwargs: Any) -> None:
        recorder.note_process()
        start(*args, **kwargs)

    subprocess.Popen.__init__ = telling  # type: ignore[method-assign]


def _import_everything() -> None:
    """So that what runs at import is not taken for what a test runs."""
    package = importlib.import_module("signxai")
    for module in pkgutil.walk_packages(package.__path__, "signxai."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _by_line(data: Any, tests: list[dict[str, Any]]) -> dict[str, dict[int, str]]:
    """Source file -> line -> the tests that run it, as the bits of a number in hexadecimal digits; -1: at import."""
    masks: dict[str, int] = defaultdict(int)
    for index, test in enumerate(tests):
        for context in (f"test {index}", *test["fixtures"]):
            masks[f"{_AT_IMPORT}|{context}"] |= 2 << index
    masks[_AT_IMPORT] = masks[f"{_AT_IMPORT}|{_AT_IMPORT}"] = 1
    result: dict[str, dict[int, str]] = {}
    for file in sorted(data.measured_files()):
        lines = {}
        for line, contexts in data.contexts_by_lineno(file).items():
            mask = functools.reduce(lambda a, b: a | b, (masks[context] for context in contexts), 0)
            lines[line] = f"{mask:x}"
        result[Path(file).relative_to(ROOT).as_posix()] = lines
    return result


class CoverageMap:
    """The tests with their durations, and for each line of the source the set of tests that run it.

    A set of tests is a number: bit ``i`` stands for ``tests[i]``.
    """

    def __init__(self, measured: dict[str, dict[str, Any]]) -> None:
        self.tests: list[str] = []
        self.seconds: list[float] = []
        self.failing: list[str] = []
        self._lines: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._at_import: dict[str, set[int]] = defaultdict(set)
        usable = 0
        for part in measured.values():
            offset = len(self.tests)
            for test in part["tests"]:
                usable |= (not test["failed"] and not test.get("skipped") and not test["starts_process"]) << len(self.tests)
                self.tests.append(test["name"])
                self.seconds.append(test["seconds"])
                self.failing += [test["name"]] * test["failed"]
            for file, lines in part["lines"].items():
                for line, digits in lines.items():
                    mask = int(digits, 16)
                    self._lines[file][int(line)] |= (mask >> 1) << offset
                    if mask & 1:
                        self._at_import[file].add(int(line))
        self.usable = usable

    def covering(self, file: str, lines: Sequence[int]) -> int:
        """The tests that run one of the lines, imports apart."""
        found = 0
        for line in lines:
            found |= self._lines[file].get(line, 0)
        return found & self.usable

    def runs_at_import(self, file: str, lines: Sequence[int]) -> bool:
        """Whether one of the lines is run when modules are imported or tests are read."""
        return not self._at_import[file].isdisjoint(lines)


def keys(directories: Sequence[str]) -> dict[str, str]:
    """Test file -> a digest of all that its coverage depends on."""
    shared = hashlib.sha256()
    helpers = [
        path for path in (ROOT / "tests").rglob("*") if path.is_file() and not path.name.startswith("test_") and path.suffix != ".pyc"
    ]
    for path in sorted([*(SOURCE / "signxai").rglob("*.py"), *helpers, *(ROOT / "tools").glob("*.py")]):
        if path.suffix not in (".md", ".toml"):
            shared.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    found = {}
    for file in files_of_tests(directories):
        digest = shared.copy()
        digest.update(file.encode() + (ROOT / file).read_bytes())
        found[file] = digest.hexdigest()[:16]
    return found


def load(keys_of_files: dict[str, str], workers: int) -> CoverageMap:
    """Measure what is not measured yet, and put everything together."""
    STORE.mkdir(exist_ok=True)
    stored = {file: STORE / f"{file.replace('/', '.')}.{key}.json" for file, key in keys_of_files.items()}
    missing = sorted((file for file in stored if not stored[file].exists()), key=lambda file: -(ROOT / file).stat().st_size)
    jobs = [forks.Job(file.replace("/", "."), functools.partial(measure, file)) for file in missing]
    for outcome in forks.run(jobs, workers, STORE / "logs"):
        if outcome.end != "done":
            raise SystemExit(f"measuring {outcome.job.name} ended in a {outcome.end}: see {STORE / 'logs' / outcome.job.name}.log")
        file = missing[[job.name for job in jobs].index(outcome.job.name)]
        for old in STORE.glob(f"{file.replace('/', '.')}.*.json"):
            old.unlink()
        stored[file].write_text(json.dumps(outcome.value))
        print(f"measured {file}: {len(outcome.value['tests'])} tests in {outcome.seconds:.0f} s", flush=True)
    return CoverageMap({file: json.loads(path.read_text()) for file, path in stored.items()})
