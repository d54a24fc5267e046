"""Whether an output that equals a softmax or sigmoid of something is one for every input, and not for this one by chance.

``sigmoid(b) + relu(a)`` equals ``sigmoid(b)`` wherever ``a`` is negative. So the network is run once more, for one sample, with autograd's
own graph: between the output and what its logits would be, there may be nothing but functions without a bend, and both must be made of
the same. Two functions without a bend that are equal around one point are equal everywhere. Where there are bends, as in a sigmoid that is
written for each sign by itself, the output has to be recognized for many other inputs, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from signxai.engine.final_activation import Probabilities
from signxai.engine.graph import Node
from signxai.engine.mode import ForwardPass, GradientPass

_WITHOUT_BEND = {
    *("Exp", "Expm1", "Exp2", "Log", "Log1P", "Log2", "Log10", "Logaddexp", "Logsumexp", "LogSoftmax", "Softmax", "Sigmoid", "LogSigmoid"),
    *("Tanh", "Softplus", "Div", "Mul", "Add", "Sub", "Rsub", "Neg", "Reciprocal", "Pow", "Sqrt", "Rsqrt", "Sum", "Mean", "Square"),
    *("View", "UnsafeView", "ReshapeAlias", "Permute", "Transpose", "T", "Select", "Slice", "Unsqueeze", "Squeeze", "Expand", "Cat"),
    *("Stack", "Clone", "ToCopy", "Index", "Gather", "Alias", "Split", "SplitWithSizes", "Unbind", "CopySlices", "AsStrided", "Repeat"),
    *("IndexSelect", "Flip", "Roll", "Movedim", "Unflatten", "Contiguous", "Diagonal", "Narrow", "Clamp", "ClampMin", "ClampMax"),
    *("Amax", "Max", "IndexPut", "IndexPutImpl", "SliceScatter", "SelectScatter", "NanToNum", "SpecialExpit", "Copy"),
}
"""The nodes of such functions, and of moves. A clamp keeps probabilities from 0, and a maximum is taken off all logits alike."""

_WITH_BEND = {
    *(
        "Where",
        "Abs",
        "Relu",
        "Threshold",
        "Maximum",
        "Minimum",
        "Hardtanh",
        "Sgn",
        "Sign",
        "MaskedFill",
        "Min",
        "Amin",
        "LinalgVectorNorm",
    ),
}
_POINTS = 48

Run: TypeAlias = Callable[[Tensor], Tensor]
"""From a batch to what is explained of the network's output."""

_proven: WeakKeyDictionary[nn.Module, dict[tuple[str, bool], bool]] = WeakKeyDictionary()


def refuse_chance(mode: ForwardPass, net: nn.Module, x: Tensor, explained: Tensor, run: Run) -> None:
    """Let a pass forget what it knows of an output by its values, if that is so by chance.

    Args:
        mode: the pass that has just run.
        net: the network, for which the answer is kept: of one output of it.
        x: the batch (N, ...).
        explained: the output.
        run: runs the network.
    """
    known = mode.final.of(explained) if mode.final.may_be_by_chance else None
    if known is None or not known.is_by_value:
        return
    answers = _proven.setdefault(net, {})
    key = (known.name, known.is_log)
    if key not in answers:
        answers[key] = _is_proven(known, x.detach(), run)
    if not answers[key]:
        mode.final.was_by_chance()


def _is_proven(known: Probabilities, x: Tensor, run: Run) -> bool:
    output, again = _once_more(x, run)
    if again is None or (again.name, again.is_log) != (known.name, known.is_log):
        return False
    if not output.requires_grad:  # token ids are behind no graph
        return _is_recognized_elsewhere(known, x, run)
    sources = [tensor for source in again.sources if (tensor := source.get()) is not None]
    for nodes in (_WITHOUT_BEND, _WITHOUT_BEND | _WITH_BEND):
        if set(_made_of(output, nodes)) == {edge for source in sources for edge in _made_of(source, nodes)}:
            return nodes is _WITHOUT_BEND or _is_recognized_elsewhere(known, x, run)
    return False


def _once_more(x: Tensor, run: Run) -> tuple[Tensor, Probabilities | None]:
    """The output for the first sample, or all if the network takes no other number, with its graph, and what is known of it."""
    for points in (x[:1], x):
        with suppress(Exception):  # a trial, as below
            return _recognized(points.clone().requires_grad_(), run, with_graph=True)
    return x, None


def _recognized(x: Tensor, run: Run, with_graph: bool) -> tuple[Tensor, Probabilities | None]:
    """The output for some points, and what is known of it."""
    watching = GradientPass(has_runs=False)
    with torch.set_grad_enabled(with_graph), watching:
        output = run(x.clone())
    return output, watching.final.of(output)


def _made_of(tensor: Tensor, nodes: set[str]) -> Iterator[tuple[Node, int]]:
    """What a tensor is made of by functions whose nodes are named: where autograd's graph comes to any other."""
    seen: set[tuple[Node, int]] = set()
    pending = [(tensor.grad_fn, tensor.output_nr)]
    while pending:
        edge = pending.pop()
        node = edge[0]
        if node is None or edge in seen:
            continue
        seen.add(edge)
        if node.name().rpartition("::")[2].partition("Backward")[0] in nodes:
            pending += node.next_functions
        elif not isinstance(getattr(node, "variable", None), nn.Parameter):
            yield edge


def _is_recognized_elsewhere(known: Probabilities, x: Tensor, run: Run) -> bool:
    """Whether the output is such for many other points, made of the values of one sample; where it is not finite, nothing is learned."""
    gentle, wild = _points(x[:1])
    for points in (gentle, wild):
        try:
            output, again = _recognized(points, run, with_graph=False)
        except Exception:  # noqa: BLE001 (a trial: a model may raise anything)
            return False
        is_other = again is None or (again.name, again.is_log) != (known.name, known.is_log)
        if is_other and (points is gentle or bool(torch.isfinite(output).all())):
            return False
    return True


def _points(x: Tensor) -> tuple[Tensor, Tensor]:
    """Points of the values of a sample in another order, half of them mirrored; and such with other signs, three times as large."""
    generator = torch.Generator().manual_seed(0)
    values = x.flatten()
    orders = torch.stack([torch.randperm(len(values), generator=generator) for _ in range(_POINTS)]).to(x.device)
    gentle = values[orders]
    gentle[1::2] = values.min() + values.max() - gentle[1::2]
    if bool((values == values.round()).all()):  # token ids
        return gentle.view(_POINTS, *x.shape[1:]), gentle.flip(1).view(_POINTS, *x.shape[1:])
    signs = torch.randint(0, 2, gentle.shape, generator=generator).to(x) * 2 - 1
    return gentle.view(_POINTS, *x.shape[1:]), (3 * signs * gentle).view(_POINTS, *x.shape[1:])
