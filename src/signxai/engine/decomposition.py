"""Operations that are carried out as the smaller ones they are made of, each of which has a rule of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from signxai.engine.call import Call, Result
from signxai.engine.mode import ForwardPass
from signxai.engine.registry import RELEVANCE, Rule, RuleTable
from signxai.engine.torch_functions import Operation

Steps = TypeVar("Steps", bound=Operation)


def decomposed(*operations: str | Operation, tables: tuple[RuleTable, ...] = (RELEVANCE,)) -> Callable[[Steps], Steps]:
    """Enter the decorated function, which takes the same arguments, as what is carried out instead of these operations."""

    def enter(steps: Steps) -> Steps:
        for table in tables:
            table.rule_for(*operations)(in_steps(steps))
        return steps

    return enter


def in_steps(steps: Operation) -> Rule:
    """A rule that carries out ``steps`` under the same mode, where relevance passes."""

    def rule(mode: ForwardPass, call: Call) -> Result:
        if not call.has_signal():
            return mode.plain(call)
        with mode:
            return steps(*call.args, **call.kwargs)

    return rule
