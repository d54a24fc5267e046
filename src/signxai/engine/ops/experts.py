"""Mixtures of experts that all run: a sum of stacked outputs, each times its gate, is no product of attention."""

from __future__ import annotations

import torch
from torch import Tensor

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.graph import needs_relevance, nodes_behind
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass


@rule_for("stack", arguments=("tensors", "dim"))
def stacked(mode: RelevancePass, call: Call) -> Result:
    """As the gradient; what was stacked may be outputs of experts."""
    result = mode.plain(call)
    return _noted(mode, result, call.args[1] if len(call.args) > 1 else 0, call)


@rule_for("cat", "concat", "concatenate", arguments=("tensors", "dim"))
def joined(mode: RelevancePass, call: Call) -> Result:
    """The same, where each has the axis already."""
    result = mode.plain(call)
    axis = call.args[1] if len(call.args) > 1 else 0
    is_stack = isinstance(axis, int) and all(part.ndim == result.ndim and part.shape[axis] == 1 for part in tensors_in(call.args[:1]))
    return _noted(mode, result, axis, call) if is_stack else result


def _noted(mode: RelevancePass, result: Result, axis: int, call: Call) -> Result:
    if needs_relevance(result):
        mode.by_hand.note_stacked(result, axis % result.ndim, tensors_in(call.args[:1]))
    return result


def is_mixture(mode: RelevancePass, gates: Tensor, outputs: Tensor, axis: int) -> bool:
    """Whether a sum of products along an axis of ``outputs`` is of experts' outputs, each with its gate.

    The axis of experts is made by the network: by stacking what decides neither on the gates nor on each other, or by weights for
    each. Else it is attention, to values along an axis of the input.
    """
    if mode.gate_rank(gates) != 2:
        return False
    found = mode.by_hand.stacked_along(outputs)
    if found is None or found[0] != axis % outputs.ndim:
        return mode.is_axis_of_weights(outputs, axis)
    parts = set(found[1]) - {None}
    if any(node in parts for node in nodes_behind(gates.grad_fn)):
        return False
    return not any(node in parts and node is not found[1][-1] for node in nodes_behind(found[1][-1]))  # else steps of a sequence


def mixed(mode: RelevancePass, a: Tensor, b: Tensor) -> Tensor | None:
    """A matrix product of gates and of experts' outputs as the sum that it is; None if it is none.

    Outputs that several rows of weights mix are attended to, as channels in cross-covariance attention.
    """
    if min(a.ndim, b.ndim) < 2:
        return None
    from_left, from_right = a.shape[-2] == 1 and is_mixture(mode, a, b, -2), b.shape[-1] == 1 and is_mixture(mode, b, a, -1)
    if not (from_left or from_right):
        return None
    with mode:
        return torch.sum(a.unsqueeze(-1) * b.unsqueeze(-3), -2)
