"""A relevance pass that keeps accounts: what each operation was given, what it handed on, and what it absorbed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from signxai.engine.decompositions import tensors_in
from signxai.engine.fused.runs import Plan
from signxai.engine.layers import ChannelMap, Layer
from signxai.engine.nodes import (
    CutOffNode,
    EmbeddingNode,
    LinearNode,
    OverOutput,
    PassNode,
    Rule,
    RuleSite,
    SoftmaxNode,
    SumNode,
)
from signxai.engine.places import Place, place_of_call
from signxai.engine.relevance import FOLLOWS_GRADIENT, RelevancePass, ScaleNode, is_foreign
from signxai.engine.stabilizer import not_shared, stabilized_share


class AccountedSite(RuleSite):
    """A linear layer that also says what its bias and its stabilizer absorbed."""

    __slots__ = ("bias", "rule", "stabilizer")

    def __init__(self, layer: Layer, choose_rule: Callable[[], Rule], once: bool = True) -> None:
        super().__init__(layer, choose_rule, once)
        self.rule: Rule | None = None
        self.bias = self.stabilizer = 0.0

    def relevance(self, relevance: Tensor) -> Tensor:
        self.rule = self.choose_rule()
        assert self.x is not None
        bias, stabilizer = self.rule.absorbed(self.layer, self.x.take(), self.z.take(), relevance)
        self.bias, self.stabilizer = self.bias + bias, self.stabilizer + stabilizer
        return super().relevance(relevance)


class Record:
    """One operation as it was executed, and the relevance that passed it."""

    def __init__(self, operation: Any, place: Place, nodes: list[Any]) -> None:
        self.operation = operation
        self.place = place
        self.nodes = nodes
        self.folded = False
        self.at_output = 0.0
        self.at_input = 0.0
        self.stabilizer = 0.0
        self.lost = 0.0  # where a share is 0 / 0
        members = set(nodes)
        for node in nodes:
            node.register_hook(self._accountant(node, members))

    def _accountant(self, node: Any, members: set[Any]) -> Callable[[Any, Any], None]:
        """A hook for one autograd node: what arrives from and goes to nodes outside of this operation."""

        def account(to_inputs: Any, at_outputs: Any) -> None:
            handed_on = [(gradient, parent) for gradient, (parent, _) in zip(to_inputs, node.next_functions, strict=False)]
            inside = _total(gradient for gradient, parent in handed_on if parent in members)
            self.at_output += _total(at_outputs) - inside
            # what a constant operand would get, without a parent, is absorbed here
            self.at_input += _total(gradient for gradient, parent in handed_on if parent is not None) - inside
            stabilizer, lost = _not_shared(node, at_outputs)
            self.stabilizer, self.lost = self.stabilizer + stabilizer, self.lost + lost

        return account

    @property
    def site(self) -> AccountedSite | None:
        """The linear layer, if the operation is one."""
        return next((node.site for node in self.nodes if _is(node, LinearNode)), None)

    @property
    def absorbed(self) -> tuple[float, float, float]:
        """What was absorbed by the bias (or other constants), by the stabilizer, and elsewhere."""
        total = self.at_output - self.at_input
        site = self.site
        if site is not None:
            return site.bias, site.stabilizer, total - site.bias - site.stabilizer
        if any(_is(node, OverOutput, SumNode, SoftmaxNode) for node in self.nodes):
            return total - self.stabilizer - self.lost, self.stabilizer, self.lost
        return 0.0, 0.0, total

    @property
    def rule(self) -> str:
        """The rule, in words."""
        if self.folded:
            return "with the batch norm behind it"
        site = self.site
        if site is not None:
            return repr(site.rule) if site.rule is not None else "not reached"
        for node_type, words in _WORDS:
            if any(_is(node, node_type) for node in self.nodes):
                return words
        if any(_is(node, OverOutput) for node in self.nodes):
            factor = next(node.factor for node in self.nodes if _is(node, OverOutput))
            return "each its share" if factor == 1 else "half to each factor, by share"
        return "as the gradient" if self.is_known else "unknown: as the gradient"

    @property
    def is_known(self) -> bool:
        """Whether a rule is known for the operation, be it that of the gradient."""
        return self.operation in FOLLOWS_GRADIENT or any(_is(node, *_OURS) for node in self.nodes)


_OURS = (LinearNode, PassNode, CutOffNode, OverOutput, SumNode, SoftmaxNode, EmbeddingNode, ScaleNode)
_WORDS: tuple[tuple[Any, str], ...] = (
    (SoftmaxNode, "softmax (AttnLRP)"),
    (SumNode, "each its share"),
    (EmbeddingNode, "sum over the row"),
    (ScaleNode, "all to the signal"),
    (PassNode, "pass through"),
    (CutOffNode, "pass through below the cut-off"),
)


def _is(node: Any, *functions: Any) -> bool:
    return isinstance(node, tuple(function._backward_cls for function in functions))


def _total(gradients: Any) -> float:
    return sum(float(gradient.sum(dtype=torch.float64)) for gradient in gradients if gradient is not None)


def _not_shared(node: Any, at_outputs: Any) -> tuple[float, float]:
    """Of a share by contribution: what the stabilizer in its denominator takes, and what is lost at 0 / 0."""
    relevance = at_outputs[0]
    if relevance is None or not _is(node, OverOutput, SumNode):
        return 0.0, 0.0
    output = node.kept.take() if _is(node, OverOutput) else node.site.result.take()
    stabilizer = node.stabilizer if _is(node, OverOutput) else node.site.stabilizer
    share = stabilized_share(relevance, output, stabilizer)
    lost = relevance.masked_fill((output != 0) | (share != 0), 0.0)
    return not_shared(relevance, output, share), float(lost.sum(dtype=torch.float64))


class InspectingPass(RelevancePass):
    """Keeps a record of every operation that relevance may pass, in order of execution."""

    site_type: type[RuleSite] = AccountedSite

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.records: list[Record] = []
        self.names: dict[int, str] | None = None
        self._owner: dict[Any, Record | None] = {}

    def plan_of(self, sequential: nn.Sequential) -> Plan | None:
        return None

    def begin(self, x: Tensor) -> None:
        """Say which tensor is the network's input."""
        self._owner[x.grad_fn] = None

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = super().__torch_function__(func, types, args, kwargs)
        self._record(func, result if result is not None else args[:1])
        return result

    def logits_of(self, output: Tensor) -> Tensor:
        logits = super().logits_of(output)
        self._record("other", logits)
        return logits

    def folded_layer(self, output: Tensor, channel_map: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor | None:
        result = super().folded_layer(output, channel_map, compute)
        record = self._owner.get(output.grad_fn)
        if result is not None and record is not None:
            record.folded = True
        return result

    def _record(self, operation: Any, result: Any) -> None:
        nodes: list[Any] = []
        pending = [tensor.grad_fn for tensor in tensors_in(result)]
        while pending:
            node = pending.pop()
            if node is None or node in self._owner or node.name() == "torch::autograd::AccumulateGrad":
                continue
            self._owner[node] = None
            nodes.append(node)
            pending.extend(parent for parent, _ in node.next_functions)
        foreign = [node for node in nodes if is_foreign(getattr(node, "_forward_cls", None))]
        for node in reversed(foreign):  # no call of it was seen
            self._add(node._forward_cls, [node])
        if len(nodes) > len(foreign):
            self._add(operation, [node for node in nodes if node not in foreign])

    def _add(self, operation: Any, nodes: list[Any]) -> None:
        record = Record(operation, place_of_call(self.names), nodes)
        self._owner.update(dict.fromkeys(nodes, record))
        self.records.append(record)
