"""Choices between values, place by place: relevance follows what was chosen."""

from __future__ import annotations

import torch
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.graph import needs_relevance
from signxai.engine.ops.activations import as_function_of
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass


@rule_for("where", "maximum", "minimum", "fmax", "fmin")
def chosen(mode: RelevancePass, call: Call) -> Result:
    """As the gradient; between functions of one value it is an activation, through which relevance passes unchanged."""
    options = call.args[1:] if call.func in _WHERE else call.args
    if call.func in _WHERE_METHOD and call.args:
        options = (call.args[0], *call.args[2:])
    signals = [option for option in options if needs_relevance(option)]
    if len(options) != 2 or len(signals) != 2 or call.kwargs:
        result = mode.plain(call)
        if call.func in _WHERE and len(signals) == 1 and signals[0] is options[0] and _is_zero(options[1]):
            mode.by_hand.note_kept(result, signals[0], call.args[0])
        return result
    found = [mode.by_hand.of(option) for option in signals]
    if found[0].root is not found[1].root:
        return mode.plain(call)
    values = [part.detach() if isinstance(part, Tensor) else part for part in call.args]
    result = as_function_of(found[0].root, lambda: call.func(*values))
    if any(of.is_bent for of in found):
        mode.by_hand.note_bent(result, found[0])
    mode.note_gate(result, min(map(mode.gate_rank, signals)))
    return result


@rule_for("masked_fill", arguments=("input", "mask", "value"))
def masked(mode: RelevancePass, call: Call) -> Result:
    """As the gradient; an exponential that is masked by 0 may become a masked softmax."""
    result = mode.plain(call)
    if needs_relevance(call.x) and len(call.rest) == 2 and _is_zero(call.rest[1]):
        mode.by_hand.note_kept(result, call.x, call.rest[0].logical_not())
    return result


def _is_zero(value: object) -> bool:
    return isinstance(value, int | float) and value == 0


_WHERE = {torch.where}
_WHERE_METHOD = {torch.Tensor.where}
