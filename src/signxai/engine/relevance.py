"""The pass of layer-wise relevance propagation: what the rules in ``ops`` are written with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from signxai.common.errors import ModelError
from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.contributions import EACH_ITS_SHARE, share_by_contribution
from signxai.engine.fused.runs import (
    Flattening,
    FlatteningPassage,
    Passage,
    Plan,
    Pooling,
    PoolingPassage,
    Run,
    RunNode,
    Stage,
    Step,
    plan_of,
)
from signxai.engine.graph import depends_on_input, needs_relevance, reads_input_only, third_party_functions
from signxai.engine.layers import ChannelMap, Layer
from signxai.engine.linear_node import LayerRule, LinearNode, RuleSite
from signxai.engine.mode import ForwardPass
from signxai.engine.notes import TensorNotes
from signxai.engine.places import place_of_call
from signxai.engine.registry import RELEVANCE, RuleTable
from signxai.engine.rule_registration import user_rules
from signxai.engine.saved import SavedReLU, SavedTensor
from signxai.engine.stabilizer import Stabilizer
from signxai.engine.token_ids import TokenIds
from signxai.engine.torch_functions import Operation
from signxai.engine.user_rules import UserRule, UserRules, run_under

RuleChooser = Callable[[str, bool, bool], LayerRule]
"""(kind of layer: "linear" or "convolution", reads the network's input, is the last one executed) -> rule."""


class UnknownOperationWarning(UserWarning):
    """An operation mixes its inputs and no LRP rule is known for it: the map follows its gradient there."""


class _MadeByLayer:
    """A tensor that is the output of a linear layer, as it was executed."""

    __slots__ = ("first", "index", "layer", "version", "x", "z")

    def __init__(self, layer: Layer, x: Tensor, index: int, first: bool, version: int, z: SavedTensor) -> None:
        self.layer, self.x, self.index, self.first, self.version, self.z = layer, x, index, first, version, z


class RelevancePass(ForwardPass):
    """A forward pass whose backward pass is layer-wise relevance propagation.

    Args:
        choose_rule: says which rule each linear layer takes.
        stabilizer: added to the denominators of sums, means and products, with their sign; 0: exact, where 0 / 0 is 0.
        strict: an operation without a known rule is an error instead of a warning.
        cut_offs_absorb: where an activation is cut off at a constant (ReLU6 above 6), the constant takes the relevance, as the
            z rule on a piecewise-linear network has it; otherwise relevance passes there too, as at any activation.
    """

    table: ClassVar[RuleTable] = RELEVANCE
    site_type: type[RuleSite] = RuleSite

    def __init__(self, choose_rule: RuleChooser, stabilizer: Stabilizer = 0.0, strict: bool = False, cut_offs_absorb: bool = False) -> None:
        super().__init__()
        self.cut_offs_absorb = cut_offs_absorb
        self.choose_rule = choose_rule
        self.stabilizer = stabilizer
        self.strict = strict
        self.layers = 0
        self.user_rules: UserRules = user_rules()
        self.rules = self.user_rules.on_top_of(self.rules)
        self.token_ids = TokenIds()
        self._made_by_layer: TensorNotes[_MadeByLayer] = TensorNotes()
        self._relu_of_layer: TensorNotes[tuple[SavedTensor, int]] = TensorNotes()
        self._gates: TensorNotes[tuple[int, int]] = TensorNotes()
        self._has_gates = False
        self._warned: set[str] = set()

    # Operations as they are

    def plain(self, call: Call) -> Result:
        result = super().plain(call)
        follows_gradient = call.func in RELEVANCE.as_gradient
        if not follows_gradient and depends_on_input(result):
            self._unknown(call)
        elif self._has_gates and call.func in RELEVANCE.keep_gates:
            self._stays_gate(call, result)
        if self.token_ids.any and not self.token_ids.follow(call, result, follows_gradient):
            self._unknown(call)
        return result

    def _unknown(self, call: Call) -> None:
        self.unknown_operation(getattr(call.func, "__name__", repr(call.func)), str(place_of_call()))

    def unknown_operation(self, name: str, place: str) -> None:
        """Say that relevance follows the gradient at an operation; once for each name and place.

        Raises:
            ModelError: with ``strict``.
        """
        message = f"no LRP rule is known for the operation {name!r}{place and f' in {place}'}: relevance follows its gradient there"
        if self.strict:
            raise ModelError(f"{message}; leave out strict=True to accept that, or give it a rule by signxai.register_rule")
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, UnknownOperationWarning, stacklevel=2)

    def under_user_rule(self, operation: type, rule: UserRule, call: Call, compute: Operation) -> Result:
        """Carry out a call of a module or an autograd function under a rule of the user's."""
        result = run_under(rule, call, compute, self.saver)
        if isinstance(call.func, nn.Softmax | nn.LogSoftmax | nn.Softmax2d):  # at the end it is taken off all the same
            self.note_logits(result, call.x)
        return result

    def logits_of(self, output: Tensor) -> Tensor:
        logits = super().logits_of(output)
        for function in third_party_functions(logits):
            self.unknown_operation(function.__qualname__, f"{function.__module__}, a torch.autograd.Function")
        return logits

    # Linear layers

    def linear_layer(self, layer: Layer, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Carry out a linear layer under the rule that is chosen for it."""
        index, first = self.layers, reads_input_only(x)
        self.layers += 1
        return self._under_rule(layer, x, compute, index, first)

    def folded_layer(self, output: Tensor, channel_map: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor | None:
        """A per-channel map directly after a linear layer: both as one layer; None if it does not stand there."""
        made = self._made_by_layer.get(output)
        if made is None or output._version != made.version or not made.layer.can_fold(output):
            return None
        values = output.detach()
        return self._under_rule(made.layer.folded(channel_map), made.x, lambda _: compute(values), made.index, made.first)

    def batch_norm(self, x: Tensor, channel_map: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Batch norm in eval is an affine map per channel: folded into the linear layer whose output it reads, else on its own."""
        folded = self.folded_layer(x, channel_map, compute)
        return folded if folded is not None else self.shared(compute, (x,))

    def shared(
        self, function: Callable[..., Tensor], tensors: tuple[Tensor, ...], factor: float = 1.0, words: str = EACH_ITS_SHARE
    ) -> Tensor:
        """Run ``function`` on ``tensors``; each is given its share of the relevance, times ``factor``, which reports say in ``words``."""
        return share_by_contribution(function, tensors, self.saver, self.stabilizer, factor, words)

    def _under_rule(self, layer: Layer, x: Tensor, compute: Callable[[Tensor], Tensor], index: int, first: bool) -> Tensor:
        site = self.site_type(layer, partial(self._rule_of, layer.kind, first, index))
        site.x = self._saved_input(x)
        result: Tensor = LinearNode.apply(x, compute, site, self.saver)
        self._made_by_layer.put(result, _MadeByLayer(layer, x, index, first, result._version, site.z))
        return result

    def _rule_of(self, kind: str, first: bool, index: int) -> LayerRule:
        return self.choose_rule(kind, first, index == self.layers - 1)

    def _saved_input(self, x: Tensor) -> SavedTensor | None:
        """The input of a layer as the ReLU of another layer's saved output, if it still is that."""
        relu = self._relu_of_layer.get(x)
        return SavedReLU(relu[0]) if relu is not None and relu[1] == x._version else None

    def output_of_layer(self, tensor: Tensor) -> SavedTensor | None:
        """What is saved of a tensor that is the unchanged output of a linear layer."""
        made = self._made_by_layer.get(tensor)
        return made.z if made is not None and made.version == tensor._version else None

    def note_relu(self, result: Tensor, of: SavedTensor) -> None:
        """Remember that a tensor is the ReLU of a layer's output; if written in place, that output is no more."""
        self._made_by_layer.drop(result)
        self._relu_of_layer.put(result, (of, result._version))

    # Layers in a row in an nn.Sequential

    def plan_of(self, sequential: nn.Sequential) -> Plan | None:
        """What to call instead of the modules one by one, if anything: with rules of the user's, every operation is watched."""
        return None if self.user_rules else plan_of(sequential, sequential is self.net)

    def carry_out(self, run: Run, x: Tensor) -> Tensor:
        """The output of a run, under the rules of its layers."""
        passages: list[Any] = []
        first = reads_input_only(x)
        for step in run.steps:
            passages.append(self._passage(step, first))
            first = False
        saved = self._saved_input(x) or self.saver.save(x)
        result: Tensor = RunNode.apply(x, saved, run.steps, passages)
        if run.ends_in_relu:
            self._relu_of_layer.put(result, (passages[-1].z, result._version))
        return result

    def _passage(self, step: Step, first: bool) -> Passage:
        if isinstance(step, Pooling):
            return PoolingPassage(self.stabilizer)
        if isinstance(step, Flattening):
            return FlatteningPassage()
        assert isinstance(step, Stage)  # plans with max pools are not asked for
        self.layers += 1
        return RuleSite(step.folded_layer(), partial(self._rule_of, step.layer.kind, first, self.layers - 1))

    # Gates: factors in [0, 1] that scale a signal and get no relevance

    def note_gate(self, result: Tensor, rank: int) -> None:
        """Remember that a tensor is a gate: of rank 2 behind sigmoids and softmax, 1 behind tanh and clamps."""
        if rank:
            self._has_gates = True
            self._gates.put(result, (rank, result._version))

    def gate_rank(self, tensor: Tensor) -> int:
        """How surely a factor is a gate; 0 for anything else, and for a gate that was written to."""
        gate = self._gates.get(tensor) if self._has_gates else None
        return gate[0] if gate is not None and gate[1] == tensor._version else 0

    def still_gate(self, result: Tensor, gate: Tensor) -> Tensor:
        """The result of an operation of one tensor and constants, a gate if that tensor is (``1 - gate``)."""
        self.note_gate(result, self.gate_rank(gate))
        return result

    def _stays_gate(self, call: Call, result: Result) -> None:
        if call.func in RELEVANCE.shaped_by_others:
            for tensor, source in zip(tensors_in(result), tensors_in(call.args), strict=False):
                self.still_gate(tensor, source)
            return
        if needs_relevance(call.x) and not self.gate_rank(call.x):
            return  # most calls: a signal that is no gate
        signals = [tensor for tensor in tensors_in((call.args, call.kwargs)) if needs_relevance(tensor)]
        if len(signals) == 1:
            for tensor in tensors_in(result):
                self.still_gate(tensor, signals[0])
