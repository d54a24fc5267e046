"""Choices between values, place by place: relevance follows what was chosen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.graph import needs_relevance
from signxai.engine.masks import ABOVE, BELOW, is_zero
from signxai.engine.ops.activations import as_function_of
from signxai.engine.registry import rule_for
from signxai.engine.relevance import DIVISOR, RelevancePass


@rule_for(*ABOVE, *BELOW)
def compared(mode: RelevancePass, call: Call) -> Result:
    """A mask, which is a constant; with it a choice may be an activation of what was compared."""
    result = mode.plain(call)
    mode.masks.compared(call, result)
    return result


@rule_for("where", "maximum", "minimum", "fmax", "fmin", "max", "min")
def chosen(mode: RelevancePass, call: Call) -> Result:
    """As the gradient; between functions of one value, or one and a number, it is an activation: relevance passes unchanged."""
    options = call.args[1:] if call.func in _WHERE else call.args
    if call.func in _WHERE_METHOD and call.args:
        options = (call.args[0], *call.args[2:])
    signals = [option for option in options if needs_relevance(option)]
    if len(options) != 2 or call.kwargs or not signals or (len(signals) == 1 and not _is_function_of(mode, call, options, signals[0])):
        result = mode.plain(call)
        if call.func in _WHERE and len(signals) == 1 and signals[0] is options[0] and is_zero(options[1]):
            mode.by_hand.note_kept(result, signals[0], call.args[0])
        return result
    found = [mode.by_hand.of(option) for option in signals]
    if found[0].root is not found[-1].root:
        return mode.plain(call)
    values = [part.detach() if isinstance(part, Tensor) else part for part in call.args]
    result = as_function_of(found[0].root, lambda: call.func(*values))
    if any(of.is_bent for of in found):
        mode.by_hand.note_bent(result, found[0])
    mode.note_gate(result, min(map(mode.gate_rank, signals)))
    return result


def _is_function_of(mode: RelevancePass, call: Call, options: Sequence[object], signal: Tensor) -> bool:
    """Whether a choice between a signal and a constant is a function of the signal's values alone, such as a ReLU."""
    constant = options[0] if options[1] is signal else options[1]
    if isinstance(constant, Tensor) and (constant.numel() != 1 and not is_zero(constant)):
        return False
    if isinstance(constant, bool) or not isinstance(constant, Tensor | int | float) or mode.is_of_samples(constant):
        return False
    if isinstance(constant, Tensor) and torch.broadcast_shapes(constant.shape, signal.shape) != signal.shape:  # type: ignore[no-untyped-call]
        return False
    if mode.cut_offs_absorb and not is_zero(constant) and mode.gate_rank(signal) != DIVISOR:  # no relevance reaches a divisor
        return False
    if call.func not in _WHERE | _WHERE_METHOD:
        return isinstance(constant, Tensor)  # max(x, 1) is the largest along an axis
    mask = mode.masks.of(call.args[0] if call.func in _WHERE else call.args[1])
    return mask is not None and mask.root is mode.by_hand.of(signal).root


@rule_for("masked_fill", arguments=("input", "mask", "value"))
def masked(mode: RelevancePass, call: Call) -> Result:
    """As the gradient; an exponential that is masked by 0 may become a masked softmax."""
    mask = mode.masks.of(call.rest[0]) if len(call.rest) == 2 else None
    is_number = mask is not None and not needs_relevance(call.rest[1]) and (not mode.cut_offs_absorb or is_zero(call.rest[1]))
    if mask is not None and mask.root is call.x and is_number:
        return as_function_of(call.x, lambda: call.run(call.x.detach()))
    result = mode.plain(call)
    if needs_relevance(call.x) and len(call.rest) == 2 and is_zero(call.rest[1]):
        mode.by_hand.note_kept(result, call.x, call.rest[0].logical_not())
    return result


_WHERE = {torch.where}
_WHERE_METHOD = {torch.Tensor.where}
