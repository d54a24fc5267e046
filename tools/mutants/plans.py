"""Which tests a mutant is run against, and in which order."""

from __future__ import annotations

import ast
import functools
import random
import re
from collections import Counter, deque
from dataclasses import dataclass

from mutants.coverage_map import CoverageMap
from mutants.mutant import ROOT, SOURCE, Place

READERS = ("tests/engine/test_words.py",)
"""Files of tests that read the source in place of running it: they cover all of it."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def covering_tests(place: Place, coverage: CoverageMap) -> int:
    """The tests that run the changed statement; of what runs at import, those that run a line that names what it defines."""
    statement, owner = _statement_at(place.path, place.line)
    lines = _own_lines(statement)
    found = coverage.covering(place.path, lines)
    if not coverage.runs_at_import(place.path, lines):
        return found
    found |= _reading(coverage)
    if isinstance(statement, _Function):
        found |= coverage.covering(place.path, range(statement.lineno, (statement.end_lineno or 0) + 1))
    return found | _tests_naming(_defined(statement) | ({owner} if owner else set()), coverage)


def _reading(coverage: CoverageMap) -> int:
    return sum(1 << index for index, test in enumerate(coverage.tests) if test.startswith(READERS))


def _tests_naming(names: set[str], coverage: CoverageMap) -> int:
    found, seen, pending = 0, set(names), list(names)
    while pending:
        name = pending.pop()
        for path, line in _mentions(name):
            statement, owner = _statement_at(path, line)
            lines = _own_lines(statement)
            found |= coverage.covering(path, lines)
            if coverage.runs_at_import(path, lines) and not isinstance(statement, ast.Import | ast.ImportFrom):
                new = (_defined(statement) | ({owner} if owner else set())) - seen
                seen |= new
                pending += new
    return found


@functools.cache
def _mentions(name: str) -> tuple[tuple[str, int], ...]:
    word = re.compile(rf"\b{re.escape(name)}\b")
    files = sorted((SOURCE / "signxai").rglob("*.py"))
    return tuple(
        (path.relative_to(ROOT).as_posix(), number)
        for path in files
        for number, text in enumerate(path.read_text().splitlines(), 1)
        if word.search(text)
    )


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value."""
    if isinstance(statement, _Function):
        return {statement.name}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _own_lines(statement: ast.stmt) -> range:
    """The lines of a statement without those of the statements in it."""
    first = min([statement.lineno, *(decorator.lineno for decorator in getattr(statement, "decorator_list", ()))])
    inner = [child.lineno for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt | ast.ExceptHandler)]
    last = statement.end_lineno or first
    return range(first, max(first, min([last, *(line - 1 for line in inner)])) + 1)


@functools.cache
def _statements(path: str) -> dict[int, tuple[ast.stmt, str]]:
    """Line -> its innermost statement, and the outermost function that it is in (by name)."""
    found: dict[int, tuple[ast.stmt, str]] = {}

    def visit(node: ast.AST, owner: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = owner
            if isinstance(child, ast.stmt):
                first = min([child.lineno, *(decorator.lineno for decorator in getattr(child, "decorator_list", ()))])
                for line in range(first, (child.end_lineno or first) + 1):
                    found[line] = (child, owner)
                if isinstance(child, ast.FunctionDef) and not owner:
                    inside = child.name
            visit(child, inside)

    visit(ast.parse((ROOT / path).read_text()), "")
    return found


def _statement_at(path: str, line: int) -> tuple[ast.stmt, str]:
    every = _statements(path)
    # comments and empty lines belong to no statement: take the next one
    return every[line] if line in every else every[min((other for other in every if other > line), default=max(every))]


Batch = dict[str, float]
"""Test name -> its usual seconds; the tests of a file stand together."""

_FIRST_SECONDS = (2.0, 20.0)
_OTHER_SECONDS = 60.0  # each in a process of its own, for tests with large networks leave their memory behind


@dataclass(frozen=True)
class Plan:
    """The tests of a mutant in the order in which they are run: nearly all are caught by the ``first`` batches."""

    first: list[Batch]
    rest: list[Batch]


def plan(tests: int, coverage: CoverageMap, seed: int) -> Plan:
    """Of each test function one case at first, the quick ones before the slow ones, then the second case of each and so on."""
    chosen = [index for index in range(tests.bit_length()) if tests >> index & 1]
    random.Random(seed).shuffle(chosen)
    count: Counter[str] = Counter()
    turns: dict[int, int] = {}
    for index in chosen:
        function = coverage.tests[index].partition("[")[0]
        turns[index] = count[function]
        count[function] += 1
    chosen.sort(key=lambda index: (turns[index], coverage.seconds[index]))
    pending = deque(chosen)
    first = [_batch(pending, coverage, seconds) for seconds in _FIRST_SECONDS if pending]
    pending, rest = deque(sorted(pending)), []
    while pending:
        rest.append(_batch(pending, coverage, _OTHER_SECONDS))
    return Plan(first, rest)


def _batch(pending: deque[int], coverage: CoverageMap, seconds: float) -> Batch:
    taken: list[int] = []
    while pending and sum(coverage.seconds[index] for index in taken) < seconds:
        taken.append(pending.popleft())
    return {coverage.tests[index]: coverage.seconds[index] for index in sorted(taken)}
