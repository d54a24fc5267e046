"""Which operation has which rule: tables that rules enter where they are written.

A rule is a function ``(mode, call) -> result`` that carries out one call and ties its result to its input by a node whose
backward pass hands on what the rule says::

    @rule_for("relu", "relu_")
    def relu(mode, call): ...

It stands for every torch function and tensor method of these names. A second rule for the same operation is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from signxai.engine.call import Call, Result
from signxai.engine.torch_functions import Operation, functions_named

Rule: TypeAlias = Callable[[Any, Call], Result]
"""(the mode that watches, the call) -> the call's result."""

AnyRule = TypeVar("AnyRule", bound=Rule)


class RuleTable:
    """Rules by operation, on top of those of other tables, which it may replace.

    Attributes:
        rules: from operation to rule, those of the tables below included.
        as_gradient: operations that need no rule: relevance follows their gradient.
        keep_gates: those among them behind which a gate is still one.
        shaped_by_others: those whose further tensors give no more than a shape or a type: result by result, each is made of one.
    """

    def __init__(self, *below: RuleTable) -> None:
        self.rules: dict[Operation, Rule] = {}
        self.as_gradient: set[Operation] = set()
        self.keep_gates: set[Operation] = set()
        self.shaped_by_others: set[Operation] = set()
        self._own: dict[Operation, Rule] = {}
        self._above: list[RuleTable] = []
        for table in below:
            table._above.append(self)
            self.rules.update(table.rules)

    def rule_for(self, *operations: str | Operation, arguments: Sequence[str] = ()) -> Callable[[AnyRule], AnyRule]:
        """Enter the decorated function as the rule of these operations.

        Args:
            operations: names, each for every torch function and tensor method called so (a version of torch may lack some),
                functions themselves, or names of operators of other libraries (``torchvision::roi_align``).
            arguments: names of the leading arguments, if they may come by keyword: the rule finds them in their places.

        Raises:
            ValueError: if one of them has a rule already.
        """

        def enter(rule: AnyRule) -> AnyRule:
            self._enter(_functions(operations), _in_place(rule, tuple(arguments)) if arguments else rule)
            return rule

        return enter

    def _enter(self, functions: Iterable[Operation], rule: Rule) -> None:
        for function in functions:
            if function in self._own:
                raise ValueError(f"{function!r} has a rule already: {self._own[function]!r}")
            self._own[function] = self.rules[function] = rule
            for table in self._above:
                table._inherit(function, rule)

    def _inherit(self, function: Operation, rule: Rule) -> None:
        if function not in self._own:
            self.rules[function] = rule

    def follows_gradient(self, *operations: str | Operation, keeps_gates: bool, shaped_by_others: bool = False) -> None:
        """Enter operations that only move or select values, for relevance as for the gradient.

        Args:
            operations: as for ``rule_for``.
            keeps_gates: they move whatever they are given: behind them a gate is still one.
            shaped_by_others: each result is made of one tensor; the others give a shape or a type only.
        """
        functions = _functions(operations)
        self.as_gradient |= functions
        if keeps_gates:
            self.keep_gates |= functions
        if shaped_by_others:
            self.shaped_by_others |= functions

    def operations(self) -> set[Operation]:
        """Every operation that is known here."""
        return {*self.rules, *self.as_gradient}


def _functions(operations: Iterable[str | Operation]) -> set[Operation]:
    found: set[Operation] = set()
    for operation in operations:
        is_name = isinstance(operation, str) and "::" not in operation
        found |= functions_named(operation) if is_name else {operation}  # type: ignore[arg-type]
    return found


def _in_place(rule: Rule, arguments: tuple[str, ...]) -> Rule:
    """The rule, called with the named arguments in their places."""

    def with_arguments(mode: Any, call: Call) -> Result:
        return rule(mode, call.with_arguments(arguments))

    return with_arguments


ANY_PASS = RuleTable()
"""What every pass does: carry out batch norms, look up token ids."""

RELEVANCE = RuleTable(ANY_PASS)
"""How relevance passes each operation."""

RELU_BACKWARD = RuleTable(ANY_PASS)
"""The operations that are a ReLU, or have one in them."""

rule_for = RELEVANCE.rule_for
