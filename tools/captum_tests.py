"""Captum's own tests with the adapter's classes in place of Captum's: ``python tools/captum_tests.py CHECKOUT``.

CHECKOUT is a folder with Captum's repository, or its ``tests/`` alone, of about the version that is installed; nothing is fetched. The
tests run twice, each time in a process of its own: as they are, and with ``Saliency``, ``InputXGradient``, ``GuidedBackprop``,
``Deconvolution`` and ``IntegratedGradients`` of ``signxai.adapters.captum`` under Captum's names wherever a test takes them. Captum's own
modules keep their own classes. Of the files with generated tests those run that concern these classes. The table goes to the standard
output.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import captum
import pytest

NAMES = ("Saliency", "InputXGradient", "GuidedBackprop", "Deconvolution", "IntegratedGradients")
WHOLE = (
    "attr/test_saliency.py",
    "attr/test_input_x_gradient.py",
    "attr/test_guided_backprop.py",
    "attr/test_deconvolution.py",
    "attr/test_integrated_gradients_basic.py",
    "attr/test_integrated_gradients_classification.py",
    "metrics/test_infidelity.py",
    "metrics/test_sensitivity.py",
)
GENERATED = ("attr/test_targets.py", "attr/test_hook_removal.py")
"""Files with tests of every class of Captum's, whose names end in that of the class."""


def put_in_place() -> None:
    """Give the adapter's classes Captum's names; what of Captum has been imported by then keeps its own."""
    from signxai.adapters import captum as adapter

    for module in pkgutil.walk_packages(captum.attr.__path__, "captum.attr."):
        importlib.import_module(module.name)
    homes = {name: getattr(captum.attr, name).__module__ for name in NAMES}
    for name, home in homes.items():
        for module in (captum.attr, sys.modules[home]):
            setattr(module, name, getattr(adapter, name))


class Recorder:
    """A plugin for pytest that keeps what is asked for, and each test's outcome with the last line of its error."""

    def __init__(self) -> None:
        self.outcomes: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if concerns(item.nodeid)]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            crash = getattr(report.longrepr, "reprcrash", None)
            text = crash.message.splitlines()[0] if crash else str(report.longrepr or "")
            self.outcomes[report.nodeid.partition("tests/")[2]] = report.outcome, text


def concerns(test: str) -> bool:
    """Whether a test is one that concerns the classes."""
    return not any(file in test for file in GENERATED) or test.endswith(tuple(f"_{name}" for name in (*NAMES, *with_noise())))


def with_noise() -> tuple[str, ...]:
    """The classes' names as generated tests have them that run them under the noise tunnel."""
    return tuple(f"{name}_NoiseTunnel" for name in NAMES)


def run_here(checkout: Path, is_replaced: bool, report: Path) -> None:
    """Run the tests in this process, and write what came of each."""
    if is_replaced:
        put_in_place()
    recorder = Recorder()
    files = [str(checkout / "tests" / file) for file in (*WHOLE, *GENERATED)]
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "--no-header", "--tb=short", f"--rootdir={checkout}", "-c", "/dev/null"]
    pytest.main([*options, *files], plugins=[recorder])
    report.write_text(json.dumps(recorder.outcomes), encoding="utf-8")


def outcomes(checkout: Path, is_replaced: bool) -> dict[str, tuple[str, str]]:
    """What came of each test, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, __file__, str(checkout), "--report", str(report), *(["--replaced"] if is_replaced else [])]
        subprocess.run(command, stdout=sys.stderr, check=True)
        found: dict[str, tuple[str, str]] = json.loads(report.read_text(encoding="utf-8"))
    return found


def table(before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]]) -> str:
    """A row for each file, and a line for each test that fails with the adapter's classes."""
    lines = ["| file | tests | pass with Captum's classes | pass with the adapter's |", "| --- | --- | --- | --- |"]
    for file in (*WHOLE, *GENERATED):
        tests = [test for test in before if test.startswith(file)]
        passed = [sum(run.get(test, ("", ""))[0] == "passed" for test in tests) for run in (before, after)]
        lines.append(f"| `{file}` | {len(tests)} | {passed[0]} | {passed[1]} |")
    failed = [(test, text) for test, (outcome, text) in after.items() if outcome == "failed"]
    return "\n".join([*lines, "", *(f"- `{test}`{is_old(before, test)}: {text}" for test, text in failed)])


def is_old(before: dict[str, tuple[str, str]], test: str) -> str:
    """Say if a test fails with Captum's own classes as well."""
    return " (fails with Captum's own as well)" if before.get(test, ("", ""))[0] == "failed" else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tests both ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--replaced", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.report is not None:
        run_here(options.checkout.resolve(), options.replaced, options.report)
        return
    before, after = (outcomes(options.checkout.resolve(), is_replaced) for is_replaced in (False, True))
    sys.stdout.write(f"Captum {captum.__version__}\n\n{table(before, after)}\n")


if __name__ == "__main__":
    main()
