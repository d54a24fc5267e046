"""Autograd functions that somebody else wrote: no mode sees their calls, but their nodes stand in the graph.

One that is a function of one value, place by place, is an activation, through which relevance passes unchanged: its Jacobian is
diagonal, and whether it is one is tried when relevance arrives. At any other one relevance follows the gradient, which is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from signxai.engine.graph import Node, third_party_function_of

Gradients = Sequence["Tensor | None"]


def any_relevance(relevance: Gradients) -> bool:
    """Whether any relevance arrives."""
    return any(part is not None and bool(part.any()) for part in relevance)


class ThirdPartyNode:
    """Watches one node on the way back.

    Args:
        node: the node.
        unknown: is told the name and the place of a function that is no activation.
    """

    def __init__(self, node: Node, unknown: Callable[[str, str], None]) -> None:
        self.node = node
        self.unknown = unknown
        self.passes = False
        node.register_prehook(self._before)
        node.register_hook(self._after)

    def _before(self, relevance: Gradients) -> None:
        if not any_relevance(relevance):
            return
        self.passes = is_of_one_value(self.node, relevance)
        if self.passes:
            self.node.metadata[PASSES] = True
            return
        function = third_party_function_of(self.node)
        assert function is not None
        self.unknown(function.__qualname__, f"{function.__module__}, a torch.autograd.Function")

    def _after(self, to_inputs: Gradients, at_outputs: Gradients) -> Gradients | None:
        if not self.passes:
            return None
        return tuple(at_outputs[0] if part is not None else None for part in to_inputs)


PASSES = "relevance passes unchanged"
"""What the metadata of a node hold at which it does."""


def is_of_one_value(node: Node, at_outputs: Gradients) -> bool:
    """Whether a function has one input and one output of its shape, and its Jacobian is diagonal where it was evaluated."""
    if len(at_outputs) != 1 or at_outputs[0] is None:
        return False
    ones = torch.ones_like(at_outputs[0])
    probe = torch.rand(ones.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, device="cpu").to(ones) + 0.5
    slopes, probed = _only_gradient(node, ones), _only_gradient(node, probe)
    if slopes is None or probed is None or slopes.shape != ones.shape or not bool(slopes.any()):
        return False
    tolerance = _TOLERANCES.get(ones.dtype, 8 * torch.finfo(ones.dtype).eps)
    return len(_signals(node)) == 1 and torch.allclose(probed, slopes * probe, rtol=tolerance, atol=0.0)


_TOLERANCES = {torch.float64: 1e-7, torch.float32: 1e-4}
"""What rounding may make of a product; half precision rounds each step."""


def _signals(node: Node) -> list[Node]:
    return [parent for parent, _ in node.next_functions if parent is not None]


def _only_gradient(node: Node, at_output: Tensor) -> Tensor | None:
    """What the function hands back to its one input; None if it is not one tensor."""
    result = node.apply(at_output)
    found = [part for part in (result if isinstance(result, tuple) else (result,)) if part is not None]
    return found[0] if len(found) == 1 and isinstance(found[0], Tensor) else None
