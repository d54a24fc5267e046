"""The tool behind ``make mutants``: what it draws, changes and recognizes, without running any test."""

import importlib
import sys
from collections import Counter

import pytest

from places import TOOLS

sys.path.append(str(TOOLS))
equivalents = importlib.import_module("mutants.equivalents")
mutant = importlib.import_module("mutants.mutant")
pytest_runs = importlib.import_module("mutants.pytest_runs")
report = importlib.import_module("mutants.report")
sampling = importlib.import_module("mutants.sampling")

BEFORE = "def largest(values):\n    most = 0\n    return max(most,  *values)\n"
AFTER = BEFORE.replace("= 0", "= 1")


def place(path="src/signxai/names/grammar.py", line=2, code="most = 0", function="largest", repetition=0):
    return mutant.Place(path, function, line, 4, "NumberReplacer", 0, code, repetition)


def changed(where=None, after=AFTER):
    return mutant.Mutant(where or place(), BEFORE, after)


PLACES = [
    place(f"src/signxai/{package}/file.py", line, f"x = {line}")
    for package, size in (("engine", 80), ("names", 20))
    for line in range(size)
]


def drawn(places, count, seed):
    return {found.place for found in sampling.sample(places, count, seed, changed)}


def test_a_seed_draws_one_sample_and_another_seed_another():
    assert drawn(PLACES, 30, 0) == drawn(list(reversed(PLACES)), 30, 0)
    assert drawn(PLACES, 30, 0) != drawn(PLACES, 30, 1)


def test_each_package_gets_its_part_of_the_sample():
    assert Counter(found.package for found in drawn(PLACES, 30, 0)) == {"engine": 24, "names": 6}
    assert len(drawn(PLACES, 1000, 0)) == 100


def test_a_new_line_elsewhere_moves_no_other_place_from_the_sample():
    moved = [place(found.path, found.line + 7, found.code) for found in PLACES]
    assert {found.name for found in drawn(moved, 30, 0)} == {found.name for found in drawn(PLACES, 30, 0)}


def test_places_without_a_mutant_are_passed_over():
    def odd_only(found):
        return changed(found) if found.line % 2 else None

    sample = sampling.sample(PLACES, 30, 0, odd_only)
    assert len(sample) == 30
    assert all(found.place.line % 2 for found in sample)


def test_the_changed_text_is_imported_in_place_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "to_be_changed.py").write_text(BEFORE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [pytest_runs.ChangedModule("to_be_changed", AFTER), *sys.meta_path])
    module = importlib.import_module("to_be_changed")
    monkeypatch.delitem(sys.modules, "to_be_changed")
    assert module.largest([-5]) == 1
    assert (tmp_path / "to_be_changed.py").read_text() == BEFORE


def test_a_mutant_shows_its_change():
    found = changed()
    assert found.diff == "-    most = 0\n+    most = 1"
    assert (found.removed, found.added) == ("most = 0", "most = 1")
    assert found.module == "signxai.names.grammar"


TOML = """
[[equivalent]]
file = "src/signxai/names/grammar.py"
function = "largest"
before = "most   = 0"
after = "most = 1"
reason = "all values are above 1"
"""


@pytest.fixture
def listed(tmp_path):
    (tmp_path / "mutants.toml").write_text(TOML)
    return equivalents.read(tmp_path / "mutants.toml")


def test_an_equivalent_is_recognized_on_another_line_and_nothing_else_is(listed):
    assert equivalents.reason_for(changed(place(line=200)), listed) == "all values are above 1"
    assert equivalents.reason_for(changed(after=BEFORE.replace("= 0", "= -1")), listed) is None
    assert equivalents.reason_for(changed(place(function="smallest")), listed) is None
    assert equivalents.reason_for(changed(place(path="src/signxai/names/describe.py")), listed) is None


def test_an_equivalent_of_a_line_that_is_gone_is_outdated(listed):
    assert listed[0].is_outdated()


def test_an_equivalent_needs_a_reason(tmp_path):
    (tmp_path / "mutants.toml").write_text(TOML.replace("all values are above 1", " "))
    with pytest.raises(SystemExit, match="reason"):
        equivalents.read(tmp_path / "mutants.toml")


def test_the_committed_list_is_readable_and_up_to_date():
    assert [entry for entry in equivalents.read() if entry.is_outdated()] == []


def test_the_report_counts_what_can_be_caught_and_shows_the_rest():
    results = [
        report.Result(changed(), report.CAUGHT, "tests/test_a.py::test_b", 3),
        report.Result(changed(), report.SURVIVED, None, 12),
        report.Result(changed(), report.EQUIVALENT, "all values are above 1", 2),
    ]
    text = report.as_markdown(results, 0, 5, 1000, [])
    assert "**1 of 2 mutants that change anything are caught (50.0 %).**" in text
    assert "| names | 1 | 1 | 0 | 1 |" in text
    assert "12 tests passed" in text
    assert "all values are above 1" in text
