"""A relevance pass that keeps accounts: what each operation was given, what it handed on, and what it absorbed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.fused.runs import Plan
from signxai.engine.graph import Node, nodes_behind, our_function_of, third_party_function_of
from signxai.engine.heads import HeadsRecord, heads_of
from signxai.engine.layers import ChannelMap, Layer
from signxai.engine.linear_node import LayerRule, LinearNode, RuleSite
from signxai.engine.moves import MOVES_ALONE, Move, Moves
from signxai.engine.notes import FreshNotes
from signxai.engine.ops.attention_weights import are_weights
from signxai.engine.places import Place, place_of_call
from signxai.engine.registry import RELEVANCE
from signxai.engine.relevance import MadeByLayer, RelevancePass, RuleChooser
from signxai.engine.stabilizer import Stabilizer, not_shared, stabilized_share
from signxai.engine.third_party import PASSES, any_relevance
from signxai.engine.torch_functions import Operation, functions_named
from signxai.engine.user_rules import UserRule

Gradients = Sequence["Tensor | None"]


class AccountedSite(RuleSite):
    """A linear layer that also says what its bias and its stabilizer absorbed."""

    __slots__ = ("bias", "rule", "stabilizer")

    def __init__(self, layer: Layer, choose_rule: Callable[[], LayerRule], once: bool = True, moves: Moves | None = None) -> None:
        super().__init__(layer, choose_rule, once, moves)
        self.rule: LayerRule | None = None
        self.bias = self.stabilizer = 0.0

    def relevance(self, relevance: Tensor) -> Tensor:
        self.rule = self.choose_rule()
        assert self.x is not None
        for layer, x, z, of_sample in self.samples(relevance):
            bias, stabilizer = self.rule.absorbed(layer, x, z, of_sample)
            self.bias, self.stabilizer = self.bias + bias, self.stabilizer + stabilizer
        return super().relevance(relevance)


class Record:
    """One operation as it was executed, and the relevance that passed it."""

    def __init__(self, operation: Operation, place: Place, nodes: list[Node]) -> None:
        self.operation = operation
        self.place = place
        self.nodes = nodes
        self.functions = [function for node in nodes if (function := our_function_of(node)) is not None]
        self.folded_by: Operation | None = None
        self.at_output = 0.0
        self.at_input = 0.0
        self.stabilizer = 0.0
        self.lost = 0.0  # where a share is 0 / 0
        self.is_reached = False
        members = set(nodes)
        self._hooks = [node.register_hook(self._accountant(node, members)) for node in nodes]

    def release(self) -> None:
        """Let go of the graph: a hook holds its node and the node its hook, which Python's collector cannot see."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self.nodes.clear()

    def _accountant(self, node: Node, members: set[Node]) -> Callable[[Gradients, Gradients], None]:
        """A hook for one autograd node: what arrives from and goes to nodes outside of this operation."""

        def account(to_inputs: Gradients, at_outputs: Gradients) -> None:
            self.is_reached = self.is_reached or any_relevance(at_outputs)
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
        return next((node.site for node in self.nodes if our_function_of(node) is LinearNode), None)

    @property
    def absorbed(self) -> tuple[float, float, float]:
        """What was absorbed by the bias (or other constants), by the stabilizer, and elsewhere."""
        total = self.at_output - self.at_input
        site = self.site
        if site is not None:
            return site.bias, site.stabilizer, total - site.bias - site.stabilizer
        if any(function.shares for function in self.functions):
            return total - self.stabilizer - self.lost, self.stabilizer, self.lost
        return 0.0, 0.0, total

    @property
    def rule(self) -> str:
        """The rule, in words."""
        site = self.site
        if site is not None and site.rule is not None:
            return repr(site.rule)
        if site is not None:
            return "not reached" if self.folded_by is None else f"with the {self._words_of_folding()} behind it"
        for node in self.nodes:
            function = our_function_of(node)
            words = function.words_of(node) if function is not None else None
            if words is not None:
                return str(words)
        if any(node.metadata.get(PASSES) for node in self.nodes):
            return "pass through"
        if self.operation in RELEVANCE.as_gradient:
            return "as the gradient"
        return "unknown: as the gradient" if self.is_reached else "not reached"

    def _words_of_folding(self) -> str:
        return "batch norm" if "batch_norm" in getattr(self.folded_by, "__name__", "") else "constants"

    @property
    def is_known(self) -> bool:
        """Whether a rule is known for the operation, be it that of the gradient; where no relevance arrives, none is needed."""
        if self.functions or self.operation in RELEVANCE.as_gradient or not self.is_reached:
            return True
        return any(node.metadata.get(PASSES) for node in self.nodes)


def _total(gradients: Iterable[Tensor | None]) -> float:
    return sum(float(_real(gradient).sum(dtype=torch.float64)) for gradient in gradients if gradient is not None)


def _real(gradient: Tensor) -> Tensor:
    """Relevance as real numbers: that of a complex signal is that of its real and of its imaginary part."""
    return torch.view_as_real(gradient.resolve_conj()) if gradient.is_complex() else gradient


def _not_shared(node: Node, at_outputs: Gradients) -> tuple[float, float]:
    """Of a share by contribution: what the stabilizer in its denominator takes, and what is lost at 0 / 0."""
    function, relevance = our_function_of(node), at_outputs[0]
    denominator = None if function is None else function.denominator(node)
    if denominator is None or relevance is None:
        return 0.0, 0.0
    output, stabilizer = denominator
    if output.is_complex():
        relevance, output = torch.view_as_real(relevance.resolve_conj()), torch.view_as_real(output.resolve_conj())
    share = stabilized_share(relevance, output, stabilizer)
    lost = relevance.masked_fill((output != 0) | (share != 0), 0.0)
    return not_shared(relevance, output, share), float(lost.sum(dtype=torch.float64))


_HEADS_IN_THEIR_PLACE = {F.scaled_dot_product_attention, F.multi_head_attention_forward}
"""Operations whose values have their heads where torch says."""


_JOINING = functions_named("cat", "concat", "concatenate")


def _only_part(call: Call) -> Tensor | None:
    """The one tensor with values among those that are joined, as what a cache of keys and values holds at first; else None."""
    parts = [part for part in tensors_in(call.args[:1]) if part.numel()]
    return parts[0] if len(parts) == 1 else None


def other() -> None:
    """Stands for operations whose call no mode saw."""


class InspectingPass(RelevancePass):
    """Keeps a record of every operation that relevance may pass, in order of execution."""

    site_type: type[RuleSite] = AccountedSite

    def __init__(
        self,
        choose_rule: RuleChooser,
        stabilizer: Stabilizer = 0.0,
        strict: bool = False,
        cut_offs_absorb: bool = False,
        weights_are_constant: bool = False,
    ) -> None:
        super().__init__(choose_rule, stabilizer, strict, cut_offs_absorb, weights_are_constant)
        self.looks_for_weights = True
        self.records: list[Record] = []
        self.heads: list[HeadsRecord] = []
        self._in_attention = 0
        self._hooks: list[RemovableHandle] = []
        self._spread: FreshNotes[MadeByLayer] = FreshNotes()
        self.names: dict[int, str] | None = None
        self._folded: list[Record] = []
        self._owner: dict[Node, Record | None] = {}

    def release(self) -> None:
        """Let go of the graph, and forget all records."""
        for record in self.records:
            record.release()
        self.records.clear()
        self._owner.clear()
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def plan_of(self, sequential: nn.Sequential) -> Plan | None:
        return None

    def begins(self, net: nn.Module, x: Tensor) -> None:
        super().begins(net, x)
        self._owner[x.grad_fn] = None

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        is_attention = func in _HEADS_IN_THEIR_PLACE
        self._in_attention += is_attention
        try:
            result = super().__torch_function__(func, types, args, kwargs)
        finally:
            self._in_attention -= is_attention
        self._record(func, result if result is not None else args[:1])
        while self._folded:
            self._folded.pop().folded_by = func
        return result

    def plain(self, call: Call) -> Result:
        source = call.x if call.func in MOVES_ALONE else _only_part(call) if call.func in _JOINING else None
        made = None if source is None else self._spread.get(source) or self._made(source)
        result = super().plain(call)
        if made is not None and isinstance(result, Tensor) and result is not call.x and self._made(result) is None:
            self._spread.put(result, made.moved(Move(call)) if source is call.x else made)
        return result

    def values_weighed(self, result: Tensor, values: Tensor, weights: Tensor) -> None:
        heads = heads_of(values, self._made(values), self._spread.get(values), self._in_attention > 0) if are_weights(weights) else None
        if heads is not None:
            record = HeadsRecord(place_of_call(self.names), heads)
            self.heads.append(record)
            self._hooks.append(result.register_hook(record.arrived))  # type: ignore[no-untyped-call]  # torch's

    def under_user_rule(self, operation: type, rule: UserRule, call: Call, compute: Operation) -> Result:
        result = super().under_user_rule(operation, rule, call, compute)
        self._record(operation, result)
        return result

    def logits_of(self, output: Tensor) -> Tensor:
        logits = super().logits_of(output)
        self._record(other, logits)
        return logits

    def with_layer(self, output: Tensor, made: MadeByLayer, by_channel: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor:
        self._folded += [record for record in self.records if record.site is not None and record.site.layer is made.layer]
        return super().with_layer(output, made, by_channel, compute)

    def _record(self, operation: Operation, result: object) -> None:
        nodes: list[Node] = []
        for tensor in tensors_in(result):
            for node in nodes_behind(tensor.grad_fn, self._is_new):
                self._owner[node] = None
                nodes.append(node)
        seen = []
        for node in reversed(nodes):
            third_party = third_party_function_of(node)
            if third_party is None:
                seen.append(node)
            else:  # no call of it was seen
                self._add(third_party, [node])
        if seen:
            self._add(operation, seen)

    def _is_new(self, node: Node) -> bool:
        return node not in self._owner and not hasattr(node, "variable")  # which only a leaf of the graph has

    def _add(self, operation: Operation, nodes: list[Node]) -> None:
        record = Record(operation, place_of_call(self.names), nodes)
        self._owner.update(dict.fromkeys(nodes, record))
        self.records.append(record)
