"""What can be changed: cosmic-ray's operators, those of them that are worth a test run, and three that it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider
from parso.python.tree import Keyword, String

# Of cosmic-ray's 12 x 11 replacements of binary operators those by a near one: a remote one (``a << b`` of tensors) raises at once.
_BINARY = (
    "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_FloorDiv Pow_Mul BitOr_BitAnd BitAnd_BitOr BitXor_BitOr RShift_LShift LShift_RShift"
)
_COMPARISONS = "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is"
_UNARY = "Delete_USub Delete_Not Delete_Invert"
_OTHERS = (
    "AddNot ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceAndWithOr ReplaceOrWithAnd ReplaceBreakWithContinue "
    "ReplaceContinueWithBreak ExceptionReplacer NumberReplacer RemoveDecorator ZeroIterationForLoop"
)


class DropOperand(Operator):  # type: ignore[misc]
    """Leaves out one operand of ``and`` or ``or``."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type in ("or_test", "and_test"):
            for operand in node.children[::2]:
                yield operand.start_pos, operand.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        prefix = node.get_first_leaf().prefix
        del node.children[max(2 * index - 1, 0) : max(2 * index - 1, 0) + 2]
        node.get_first_leaf().prefix = prefix
        return node.children[0] if len(node.children) == 1 else node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class DeleteStatement(Operator):  # type: ignore[misc]
    """Leaves out a statement: a call, a raise, a write to an attribute or an element, or one that gives a variable a new value."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.parent is not None and node.parent.type == "simple_stmt" and _can_go(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return Keyword("pass", node.start_pos, prefix=node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


def _can_go(node: Any) -> bool:
    if node.type == "atom_expr":
        return bool(node.children[-1].type == "trailer")
    if node.type == "expr_stmt":
        target, written = node.children[0], node.children[1]
        if written.type == "annassign":
            return False
        rest = "".join(child.get_code() for child in node.children[2:])
        return (
            target.type == "atom_expr"
            or written.value != "="
            or re.search(rf"\b{re.escape(target.get_code().strip())}\b", rest) is not None
        )
    return node.type in ("raise_stmt", "del_stmt")


class ReplaceWord(Operator):  # type: ignore[misc]
    """Replaces a string of one word, such as the name of an operation, by another word."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(node, String) and re.fullmatch(r"""(["'])[\w.]+\1""", node.value):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return String(f"{node.value[:-1]}_x{node.value[-1]}", node.start_pos, prefix=node.prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


def operators() -> dict[str, Operator]:
    """All operators by name."""
    provider = OperatorProvider()
    names = [
        *(f"ReplaceBinaryOperator_{change}" for change in _BINARY.split()),
        *(f"ReplaceComparisonOperator_{change}" for change in _COMPARISONS.split()),
        *(f"ReplaceUnaryOperator_{change}" for change in _UNARY.split()),
        *_OTHERS.split(),
    ]
    return {**{name: provider[name]() for name in names}, **{own.__name__: own() for own in (DropOperand, DeleteStatement, ReplaceWord)}}
