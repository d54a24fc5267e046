"""The graph that autograd records: one way to walk it, and what our nodes in it say about themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeAlias, TypeGuard

import torch
from torch import Tensor
from torch.autograd import Function

from signxai.common.errors import ModelError
from signxai.engine.stabilizer import Stabilizer

Node: TypeAlias = Any
"""A node of autograd's graph. Of an autograd function written in Python it is what its ``forward`` knows as ``ctx``."""


class RelevanceNode(Function):
    """Base of the autograd functions whose backward pass hands on relevance: what a report says of such a node.

    Attributes:
        words: the rule in words; None where the node is only part of one, or says it by ``words_of``.
        is_linear_layer: relevance passes linear layers there: what lies behind does not read the network's input.
        shares: relevance is shared among all terms; constants absorb what is theirs.
        is_users: a rule of the user's carries it out.
    """

    words: ClassVar[str | None] = None
    is_linear_layer: ClassVar[bool] = False
    shares: ClassVar[bool] = False
    is_users: ClassVar[bool] = False

    @staticmethod
    def words_of(ctx: Node) -> str | None:
        """The rule in words, for one node."""
        function = our_function_of(ctx)
        return function.words if function is not None else None

    @staticmethod
    def denominator(ctx: Node) -> tuple[Tensor, Stabilizer] | None:
        """What relevance is divided by, and the stabilizer that is added to it; None if it is not divided."""
        return None


class BeforeWrite(RelevanceNode):
    """Stands for a tensor that is about to be written to, in the graph alone: it has the shape, and no memory of its own."""

    @staticmethod
    def forward(ctx: Node, x: Tensor) -> Tensor:
        return x.new_zeros(()).expand(x.shape)

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> Tensor:
        return relevance


def cut_graph() -> ModelError:
    """The error for an output that has no graph."""
    return ModelError(
        "the model's output has no gradient: its forward cuts the graph (no_grad, inference_mode, detach, argmax, NumPy) between input and "
        "output; remove that cut"
    )


def function_of(node: Node) -> type[Function] | None:
    """The autograd function, written in Python, that made a node; None for torch's own nodes."""
    return getattr(node, "_forward_cls", None)


def our_function_of(node: Node) -> type[RelevanceNode] | None:
    """The same if it hands on relevance, else None."""
    function = function_of(node)
    return function if function is not None and issubclass(function, RelevanceNode) else None


def third_party_function_of(node: Node) -> type[Function] | None:
    """The same if somebody else wrote it, so that no mode sees its calls, and it is not part of a rule; else None."""
    function = function_of(node)
    return None if function is None or issubclass(function, RelevanceNode) or node.metadata.get(WITHIN_RULE) else function


def nodes_behind(start: Node, is_behind: Callable[[Node], bool] | None = None) -> Iterator[Node]:
    """Each node on the way from ``start``, itself included, to what it was computed from; once, in no particular order.

    Args:
        start: a node, or None.
        is_behind: nodes for which it says no are left out, with what lies behind them alone.
    """
    seen: set[Node] = set()
    pending = [start]
    while pending:
        node = pending.pop()
        if node is None or node in seen or (is_behind is not None and not is_behind(node)):
            continue
        seen.add(node)
        yield node
        for parent, _ in node.next_functions:
            pending.append(parent)


def reads_input_only(tensor: Tensor) -> bool:
    """Whether no linear layer lies between the network's input and ``tensor``."""
    node = tensor.grad_fn
    while node is not None and not _is_linear_layer(node) and len(node.next_functions) == 1:  # most nodes stand in a row
        node = node.next_functions[0][0]
    return node is None or not (_is_linear_layer(node) or any(map(_is_linear_layer, nodes_behind(node))))


def _is_linear_layer(node: Node) -> bool:
    return getattr(function_of(node), "is_linear_layer", False)


def third_party_nodes(output: Tensor) -> list[Node]:
    """The nodes of autograd functions that somebody else wrote in Python, on the way to ``output``."""
    return [node for node in nodes_behind(output.grad_fn) if third_party_function_of(node) is not None]


WITHIN_RULE = "part of a rule"
"""What the metadata of a node hold that a rule has made with a function of somebody else's."""


def needs_relevance(value: object) -> TypeGuard[Tensor]:
    """Whether a value depends on the network's input.

    Parameters are frozen while a network is explained; those of modules that it only borrows from elsewhere are leaves, which
    the input never is.
    """
    return isinstance(value, torch.Tensor) and value.requires_grad and not value.is_leaf


def depends_on_input(result: object) -> bool:
    """Whether a result, or any of several, has a gradient."""
    if isinstance(result, Tensor):
        return result.requires_grad
    return isinstance(result, tuple | list) and any(depends_on_input(item) for item in result)
