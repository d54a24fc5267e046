"""Runs pytest inside a fork."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from mutants.mutant import ROOT

LEAST_SECONDS = 20.0
"""What any test may take before it counts as hanging."""
PATIENCE = 10.0
"""How many times its usual duration a test may take."""


class ChangedModule(MetaPathFinder):
    """Imports one module from the given text in place of its file."""

    def __init__(self, module: str, text: str) -> None:
        self.module, self.text = module, text

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None:
            raise ImportError(f"there is no module {name}")
        spec.loader = _ChangedSource(name, spec.origin, self.text)
        return spec


class _ChangedSource(SourceFileLoader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)

    def get_source(self, fullname: str) -> str:
        return self.text


class Selection:
    """A pytest plugin: runs the given tests alone, in the given order, and notes the first that fails."""

    def __init__(self, seconds: dict[str, float], allow: Callable[[float], None]) -> None:
        self.seconds, self.allow = seconds, allow
        self.failed: str | None = None
        self.failures: list[str] = []
        self.passed = 0

    def pytest_collection_modifyitems(self, items: list[object]) -> None:
        place = {name: index for index, name in enumerate(self.seconds)}
        items[:] = sorted((item for item in items if _name(item) in place), key=lambda item: place[_name(item)])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.allow(max(LEAST_SECONDS, PATIENCE * self.seconds[nodeid]))

    def pytest_runtest_logreport(self, report: object) -> None:
        name, outcome = str(getattr(report, "nodeid", "")), getattr(report, "outcome", "")
        if outcome == "failed":
            self.failed = self.failed or name
            self.failures.append(name)
        self.passed += outcome == "passed" and getattr(report, "when", "") == "call"


def _name(item: object) -> str:
    return str(getattr(item, "nodeid", ""))


def run_pytest(files: Sequence[str], plugin: object, *options: str) -> int:
    """Run test files with a plugin; pytest's exit status."""
    import pytest

    os.chdir(ROOT)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    fixed = ["-q", "--tb=short", "--assert=plain", "--no-header", "-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin"]
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*fixed, *quiet, *options, *files], plugins=[plugin]))


def first_failure(mutant: tuple[str, str] | None, batches: Sequence[dict[str, float]], allow: Callable[[float], None]) -> dict[str, object]:
    """Run batches of tests (name -> usual seconds) one after the other until one fails.

    Args:
        mutant: module name and its changed text; None leaves everything as it is.

    Returns:
        ``by``: the test that failed, "import" where the tests could not even be read, or None; ``ran``: how many passed.
    """
    if mutant is not None:
        sys.meta_path.insert(0, ChangedModule(*mutant))
    ran = 0
    for batch in batches:
        plugin = Selection(batch, allow)
        status = run_pytest(_files(batch), plugin, "-x")
        ran += plugin.passed
        if plugin.failed or status not in (0, 5):  # 5: no test, where the mutant takes the tests' parameters away
            return {"by": plugin.failed or "import", "ran": ran}
    return {"by": None, "ran": ran}


def all_failures(tests: dict[str, float], allow: Callable[[float], None]) -> list[str]:
    """The tests that fail although nothing is changed."""
    plugin = Selection(tests, allow)
    run_pytest(_files(tests), plugin)
    return plugin.failures


def _files(tests: dict[str, float]) -> list[str]:
    return list(dict.fromkeys(name.partition("::")[0] for name in tests))


def files_of_tests(directories: Sequence[str]) -> Iterator[str]:
    """The files of tests and doctests under the given paths."""
    for directory in directories:
        pattern = "*.py" if directory.startswith("src") else "test_*.py"
        top = ROOT / directory
        for path in sorted(top.rglob(pattern)) if top.is_dir() else [top]:
            if pattern != "*.py" or ">>>" in path.read_text():
                yield path.relative_to(ROOT).as_posix()
