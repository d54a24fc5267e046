"""Mixtures of experts that all run: a sum of stacked outputs, each times its gate, is no product of attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.graph import Node, needs_relevance, nodes_behind, our_function_of
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
        parts = tensors_in(call.args[:1])
        mode.by_hand.note_stacked(result, axis % result.ndim, parts)
        if mode.has_gates and all(terms := [mode.by_hand.weighted(part) for part in parts]):
            mode.by_hand.note_stacked_terms(result, axis % result.ndim, tuple(term for term in terms if term is not None))
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
    return _decide_on_nothing(found[1], gates)


def are_experts(mode: RelevancePass, outputs: Sequence[Tensor], gate: Tensor) -> bool:
    """The same of outputs that are weighed one by one; what was moved out of one tensor is along an axis of that."""
    nodes = [output.grad_fn for output in outputs]
    if len(nodes) == 1:
        return _moved_out_of(nodes[0]) is nodes[0]
    if len({_moved_out_of(node) for node in nodes}) == 1:
        return mode.have_weights_of_their_own(outputs[0], outputs[1])
    return _decide_on_nothing(nodes, gate)


def _decide_on_nothing(nodes: Sequence[Node], gates: Tensor) -> bool:
    """Whether neither the gates were computed from these nodes' outputs, nor the last of those from the others."""
    parts = set(nodes) - {None}
    if any(node in parts for node in nodes_behind(gates.grad_fn)):
        return False
    return not any(node in parts and node is not nodes[-1] for node in nodes_behind(nodes[-1]))  # else steps of a sequence


def _moved_out_of(node: Node) -> Node:
    """The node of ours, or with several inputs, that a node's output was moved out of."""
    while our_function_of(node) is None and len(parents := [parent for parent, _ in node.next_functions if parent is not None]) == 1:
        node = parents[0]
    return node


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
