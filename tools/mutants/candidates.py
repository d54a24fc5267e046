"""Every place of the source that can be changed.

Left out is what says something only to people or to a type checker, and what cannot be noticed by a test or is noticed by any:

- docstrings, type annotations and unions of types, imports, ``__all__``, ``__slots__``, ``if TYPE_CHECKING``, ``TypeVar`` and ``cast``;
- the texts of errors and warnings (that they are raised is not left out), and f-strings that hold a sentence;
- ``assert``, which tells the type checker what is so, and ``zip(strict=True)``, which cannot fail either;
- the opposite of a whole condition by its operator (``==`` to ``!=``), which is the same as ``not`` in front of it;
- the options of ``@dataclass``; decorators without which nothing works (``@staticmethod``) or without which it is only slower
  (``@cache``).
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code

from mutants.mutant import ROOT, Mutant, Place
from mutants.operators import operators

_NEEDED_DECORATORS = (
    *("dataclass", "property", "staticmethod", "classmethod", "cached_property", "setter", "contextmanager", "wraps", "total_ordering"),
    *("overload", "override", "final", "abstractmethod", "runtime_checkable", "cache", "lru_cache"),
)
_TYPE = re.compile(
    r"(?:^|[.\s])(?:_?[A-Z]+[a-z]\w*|int|float|str|bool|complex|bytes|tuple|list|dict|set|frozenset|type|None)\s*(?:\[.*\])?\s*$", re.S
)
_OPPOSITES = tuple(
    f"ReplaceComparisonOperator_{change}"
    for change in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is", "Lt_GtE", "Gt_LtE", "LtE_Gt", "GtE_Lt")
)
_TYPING_CALLS = ("TypeVar", "ParamSpec", "NewType", "cast")
_NEVER = ("name", "newline", "endmarker", "import_name", "import_from", "fstring_start", "fstring_string", "fstring_end")


def candidates(path: Path) -> list[Place]:
    """All places of one file."""
    source = path.read_text()
    return list(_places(path.relative_to(ROOT).as_posix(), source))


def _places(path: str, source: str) -> Iterator[Place]:
    found: Counter[str] = Counter()
    same: Counter[tuple[str, ...]] = Counter()
    lines, functions = source.splitlines(), _functions(source)
    every = operators()
    for node, left_out in _walk(get_ast(source), False):
        if node.type in _NEVER:
            continue
        for name, operator in every.items():
            for (line, column), _ in operator.mutation_positions(node):
                occurrence = found[name]
                found[name] += 1
                if left_out or _is_vain(node, name):
                    continue
                code, function = lines[line - 1].strip(), functions.get(line, "")
                same[function, code, name] += 1
                yield Place(path, function, line, column, name, occurrence, code, same[function, code, name] - 1)


def _functions(source: str) -> dict[int, str]:
    """Line -> the function or class that it is in, with those around it, decorators included."""
    found: dict[int, str] = {}

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = outer
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{outer}.{child.name}" if outer else child.name
                first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                found.update(dict.fromkeys(range(first, (child.end_lineno or first) + 1), name))
            visit(child, name)

    visit(ast.parse(source), "")
    return found


def _walk(node: Any, left_out: bool) -> Iterator[tuple[Any, bool]]:
    """All nodes in the order in which cosmic-ray counts them, each with whether it is left out."""
    yield node, left_out
    for child in getattr(node, "children", ()):
        yield from _walk(child, left_out or _is_left_out(node, child))


def _is_left_out(parent: Any, child: Any) -> bool:
    """Whether everything under ``child`` is left out."""
    kind = parent.type
    if kind in ("annassign", "tfpdef"):
        return bool(child is parent.children[1] if kind == "annassign" else child is parent.children[-1])
    if kind == "funcdef":
        return bool(child is parent.annotation) or (_is_stub(parent) and child.type == "suite")
    if kind in ("raise_stmt", "assert_stmt"):
        return True
    if kind == "decorator":
        return _decorator(parent) in _NEEDED_DECORATORS
    if kind == "if_stmt":
        return bool(parent.children[1].get_code().strip().endswith("TYPE_CHECKING")) and child.type == "suite"
    if kind == "expr_stmt":
        return bool(parent.children[0].get_code().strip() in ("__all__", "__slots__"))
    if kind == "atom_expr":
        return child.type == "trailer" and _is_call_for_people(parent)
    if kind == "argument":
        return _is_strict_zip(parent)
    return child.type == "fstring" and re.search(r"\w \w|\w: |, ", child.get_code()) is not None


def _is_stub(function: Any) -> bool:
    return any(_decorator(decorator) in ("overload", "abstractmethod") for decorator in function.get_decorators())


def _decorator(node: Any) -> str:
    return str(re.split(r"[(\s]", node.get_code().strip().lstrip("@"))[0].rpartition(".")[2])


def _is_call_for_people(call: Any) -> bool:
    called = re.split(r"[(\[]", call.get_code().strip())[0]
    return called in ("warnings.warn", "warn", *_TYPING_CALLS) or called.startswith(("logging.", "logger."))


def _is_strict_zip(argument: Any) -> bool:
    call = argument.search_ancestor("atom_expr")
    return argument.get_code().strip() == "strict=True" and call is not None and call.get_code().strip().startswith("zip")


def _is_vain(node: Any, operator: str) -> bool:
    """Whether this change alone of this node is left out."""
    parent = node.parent
    if node.type == "assert_stmt" or node.get_code().strip() == "raise NotImplementedError":
        return True
    if operator in _OPPOSITES or operator == "ReplaceUnaryOperator_Delete_Not":
        return len(node.children) <= 3 and _is_condition(node)  # more: a chain, of which one link changes
    if operator == "RemoveDecorator":
        return _decorator(node) in _NEEDED_DECORATORS
    if operator.startswith("ReplaceBinaryOperator"):
        if parent.type in ("parameters", "lambdef", "param") or (node.value == "**" and parent.type in ("dictorsetmaker", "atom")):
            return True  # marks of signatures, and dictionaries that are put in
        return bool(node.value == "|" and any(_TYPE.search(side.get_code()) for side in parent.children if side.type != "operator"))
    return False


def _is_condition(node: Any) -> bool:
    """Whether a node is all that an ``if``, ``while`` or ``... if ... else`` asks."""
    return bool(node.parent.type in ("if_stmt", "while_stmt") or (node.parent.type == "test" and node is node.parent.children[2]))


def sources(only: Iterable[str]) -> list[Path]:
    """The source files under the given paths."""
    found: set[Path] = set()
    for path in (ROOT / name for name in only):
        if not path.exists():
            raise SystemExit(f"there is no {path}")
        found.update(path.rglob("*.py") if path.is_dir() else [path])
    return sorted(found)


def mutant_at(place: Place) -> Mutant | None:
    """The file with the change; None where the change is none, or no Python."""
    before = (ROOT / place.path).read_text()
    after = mutate_code(before, operators()[place.operator], place.occurrence)
    if after is None:
        raise RuntimeError(f"{place} is not in the file: places are counted otherwise than cosmic-ray counts them")
    try:
        changed = ast.dump(ast.parse(after))
    except SyntaxError:
        return None
    return Mutant(place, before, after) if changed != ast.dump(ast.parse(before)) else None
