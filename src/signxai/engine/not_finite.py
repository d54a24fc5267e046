"""Which operation has made a relevance map hold NaN or infinity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signxai.engine.graph import Node, function_of, nodes_behind, our_function_of
from signxai.engine.third_party import Gradients


@dataclass(frozen=True)
class Culprit:
    """What people know an operation by, and whether a rule of the user's carries it out."""

    name: str
    is_users: bool


class Watch:
    """Watches every node on the way back for the first that hands on what is not finite.

    Args:
        output: the tensor from which relevance starts.
    """

    def __init__(self, output: Tensor) -> None:
        self.culprit: Culprit | None = None
        for node in nodes_behind(output.grad_fn):
            if not hasattr(node, "variable"):  # which only a leaf of the graph has
                node.register_hook(self._hook_of(node))

    def _hook_of(self, node: Node) -> Callable[[Gradients, Gradients], None]:
        def look(to_inputs: Gradients, at_outputs: Gradients) -> None:
            if self.culprit is None and _finite(at_outputs) and not _finite(to_inputs):
                self.culprit = Culprit(_name_of(node), getattr(our_function_of(node), "is_users", False))

        return look


def _finite(gradients: Gradients) -> bool:
    return all(part is None or bool(torch.isfinite(part).all()) for part in gradients)


def _name_of(node: Node) -> str:
    """What people know an operation by: ``sqrt`` for torch's own ``SqrtBackward0``, the rule for one of ours."""
    ours = our_function_of(node)
    if ours is not None:
        return f"the rule {ours.words_of(node) or ours.__name__!r}"
    function = function_of(node)
    if function is not None:
        return repr(function.__qualname__)
    name: str = node.name()
    return repr(name.partition("Backward")[0].lower())
