"""Attention weights as a factor of a product: constants under CP-LRP (Ali et al. 2022), and where heads are looked for.

Weights are what depends on the input through softmaxes alone: a softmax, and whatever is moved, masked, scaled, renormalized or mixed of
several. A product of them with anything else, its values, is an attention product, over whichever axis the softmax runs. A softmax that
weighs constants (a memory that is learned, an embedding of classes) gives a signal, for otherwise nothing would reach the input.
"""

from __future__ import annotations

import torch
from torch import Tensor

from signxai.engine.graph import Node, function_of, our_function_of
from signxai.engine.linear_node import RuleSite
from signxai.engine.ops.softmax import SoftmaxNode
from signxai.engine.relevance import RelevancePass

SQUASHED = 2
"""The gate rank of softmaxes and sigmoids."""


def are_weights(tensor: Tensor) -> bool:
    """Whether a tensor depends on the input through softmaxes alone."""
    has_softmax, seen, pending = False, set(), [tensor.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if our_function_of(node) is SoftmaxNode:
            has_softmax = True
        elif not node.next_functions or _reads_a_softmax(node):
            return False
        else:
            pending.extend(parent for parent, _ in node.next_functions)
    return has_softmax


def _reads_a_softmax(node: Node) -> bool:
    """Whether a linear layer weighs constants by a softmax over its inputs; one that mixes heads reads others."""
    if not getattr(function_of(node), "is_linear_layer", False):
        return False
    site: RuleSite = node.site if hasattr(node, "site") else node.passages[0]
    assert site.x is not None
    x = site.x.take()
    return sums_to_one(x, 1 - x.ndim if site.layer.kind == "convolution" else -1)


def sums_to_one(weights: Tensor, axis: int) -> bool:
    """Whether the values along an axis make 1."""
    total = weights.detach().sum(axis)
    return torch.allclose(total, torch.ones_like(total), atol=1e-4)


def place_of_weights(mode: RelevancePass, factors: tuple[Tensor, Tensor], summed: tuple[int, int] | None) -> int | None:
    """Which of two factors is attention weights, 0 or 1; None if neither is, or both are alike.

    Of two that are weights, or of none, it is the one that is squashed (a softmax; a sigmoid of scores), as in a product place by place;
    of two that are squashed the one whose values make 1 along the axis that is summed over.

    Args:
        mode: the pass.
        factors: both depend on the input.
        summed: the axis of each that is summed over; None if there is none.
    """
    is_it = [are_weights(factor) for factor in factors]
    if is_it[0] == is_it[1]:
        is_it = [mode.gate_rank(factor) == SQUASHED for factor in factors]
    if all(is_it) and summed is not None:
        is_it = [sums_to_one(factor, axis) for factor, axis in zip(factors, summed, strict=True)]
    return is_it.index(True) if is_it[0] != is_it[1] else None
