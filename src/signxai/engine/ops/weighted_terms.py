"""Sums of products with the pieces of one softmax, term by term: the matrix product that they make together.

``sum(w[..., i, None] * v[:, i, None] for i in range(n))`` is ``w @ v``. Nothing tells before the last term.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.graph import Node, needs_relevance, our_function_of
from signxai.engine.ops.experts import are_experts
from signxai.engine.ops.softmax import SoftmaxNode
from signxai.engine.relevance import RelevancePass
from signxai.engine.torch_functions import WRITING
from signxai.engine.written_by_hand import SumOfTerms, Terms

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def axes_of(factor: Tensor, shape: Sequence[int]) -> list[int]:
    """The axes of a product's shape along which a factor is not spread."""
    missing = len(shape) - factor.ndim
    return [missing + i for i in range(factor.ndim) if factor.shape[i] == shape[missing + i]]


def contracted(mode: RelevancePass, factors: tuple[Tensor, Tensor], shape: Sequence[int], axis: int) -> Tensor:
    """The sum along an axis of the product of two factors, of which it has the shape, as the matrix product that it is."""
    of = [axes_of(factor, shape) for factor in factors]
    equation = [[_LETTERS[place] for place in places] for places in (*of, [place for place in range(len(shape)) if place != axis])]
    x, w, y = map("".join, equation)
    with mode:
        parts = [factor.reshape([shape[place] for place in places]) for factor, places in zip(factors, of, strict=True)]
        result: Tensor = torch.einsum(f"{x},{w}->{y}", *parts)
        return result


def terms_of(mode: RelevancePass, call: Call) -> SumOfTerms | None:
    """The signals and the pieces of one softmax that the terms of a sum are products of, and what else it starts from."""
    if not mode.has_gates or len(call.args) != 2 or call.kwargs:
        return None
    a, b = ((None if isinstance(value, int | float) else mode.by_hand.terms(value)) for value in call.args)
    if a is None and b is None:
        return None
    terms = (a.terms if a else ()) + (b.terms if b else ())
    if None in (softmaxes := {softmax_of_gate(gate) for _, gate in terms}) or len(softmaxes) != 1:
        return None
    starts = [found.start for found in (a, b) if found is not None and found.start is not None]
    if a is None or b is None:
        start = call.args[0 if a is None else 1]
        if not isinstance(start, Tensor):
            return SumOfTerms(terms, *starts) if start == 0 else None
        starts.append(start if needs_relevance(start) else start.detach().clone())  # the sum may be written to it
    return SumOfTerms(terms, *starts) if len(starts) <= 1 else None


def sum_of_terms(mode: RelevancePass, call: Call, result: Tensor, found: SumOfTerms) -> Tensor:
    """The result of a sum of such terms, as a matrix product once these are all."""
    whole = _whole(mode, found.terms, result)
    if whole is None:
        mode.by_hand.note_terms(result, found)
        return result
    if found.start is not None:
        with mode:
            whole = torch.add(found.start, whole)
    if call.func not in WRITING:
        return whole
    mode.saver.before_write(call.x)
    return mode.became(call.x.copy_(whole), whole)


def stacked_terms(mode: RelevancePass, stacked: Tensor, axis: int, keeps_axis: bool) -> Tensor | None:
    """The sum of such terms that were stacked along an axis; None if it is none."""
    found = mode.by_hand.stacked_terms(stacked)
    if found is None or found[0] != axis % stacked.ndim or len({softmax_of_gate(gate) for _, gate in found[1]}) != 1:
        return None
    whole = _whole(mode, found[1], stacked.select(axis, 0))
    with mode:
        return whole.unsqueeze(axis) if whole is not None and keeps_axis else whole


def softmax_of_gate(gate: Tensor) -> tuple[Node, int, tuple[int, ...]] | None:
    """The argument and the axes of the softmax that a tensor is a piece of, be that computed anew for each; None if there is none."""
    node = softmax_behind(gate)
    return None if node is None else (*node.next_functions[0], tuple(axis % node.s.take().ndim for axis in node.axes))


def softmax_behind(gate: Tensor) -> Node | None:
    """The softmax that a tensor was moved out of; None if it is not known to be that."""
    node = gate.grad_fn
    while node is not None and (function := our_function_of(node)) is not SoftmaxNode:
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        if function is not None or len(parents) != 1:
            return None
        node = parents[0]
    return node


def _whole(mode: RelevancePass, terms: Terms, like: Tensor) -> Tensor | None:
    """The sum of all terms of one softmax as a matrix product; None if some are missing, or these are experts with their gates."""
    softmax = softmax_behind(terms[0][1])
    assert softmax is not None
    gates, s = [gate.detach() for _, gate in terms], softmax.s.take()
    if len(terms) != math.prod(s.shape[axis] for axis in softmax.axes) or len({gate.shape for gate in gates}) != 1:
        return None
    total = torch.stack(gates).sum(0)
    if not torch.allclose(total, torch.ones_like(total), atol=1e-4) or are_experts(mode, [x for x, _ in terms], terms[0][1]):
        return None
    with mode:
        signals, weights = (torch.stack([_widened(term[place], like.ndim) for term in terms]) for place in (0, 1))
    mode.by_hand.forget_stack(signals)  # it was decided above that these are no experts
    return contracted(mode, (signals, weights), (len(terms), *like.shape), 0)


def _widened(tensor: Tensor, axes: int) -> Tensor:
    return tensor.reshape([1] * (axes - tensor.ndim) + list(tensor.shape))
