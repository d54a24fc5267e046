"""Functions that write their result to their input (``cumsum_``): as those that write nothing, whatever has a rule here."""

from __future__ import annotations

import torch

from signxai.engine.call import Call, Result
from signxai.engine.graph import needs_relevance
from signxai.engine.ops.sums import in_place
from signxai.engine.registry import RELEVANCE, Rule, rule_for
from signxai.engine.relevance import RelevancePass


def _writing(name: str, rule: Rule) -> Rule:
    def write(mode: RelevancePass, call: Call) -> Result:
        return in_place(rule, name, mode, call)

    return write


def _complete() -> None:
    """Enter every method that writes in place and has no rule yet, where the one without an underscore has."""
    for written in dir(torch.Tensor):
        name = written[:-1]
        method, plain = getattr(torch.Tensor, written), getattr(torch.Tensor, name, None)
        is_ours = written.endswith("_") and not written.endswith("__") and written != "detach_"
        if not is_ours or not callable(method) or method in RELEVANCE.operations():
            continue
        if plain in RELEVANCE.rules:
            rule_for(written)(_writing(name, RELEVANCE.rules[plain]))
        elif plain in RELEVANCE.as_gradient:
            RELEVANCE.follows_gradient(written, keeps_gates=plain in RELEVANCE.keep_gates)


@rule_for("copy_", "__setitem__")
def filled(mode: RelevancePass, call: Call) -> Result:
    """As the gradient; memory that is filled with nothing but gates is one."""
    target, value = call.x, call.args[-1] if call.rest else call.named.get("src")
    before = mode.gate_rank(target) if needs_relevance(target) else None
    rank = mode.gate_rank(value) if needs_relevance(value) else before
    result = mode.plain(call)
    if needs_relevance(target) and rank:
        mode.note_gate(target, rank if before is None else min(before, rank))
    return result


_complete()
RELEVANCE.follows_gradient("fill_", "zero_", keeps_gates=False)
