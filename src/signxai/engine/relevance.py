"""The pass of layer-wise relevance propagation: what the rules in ``ops`` are written with."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError
from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.channel_constants import Constant, channel_map
from signxai.engine.contributions import EACH_ITS_SHARE, share_by_contribution
from signxai.engine.divided_later import DividedLater
from signxai.engine.final_activation import SIGMOID, SOFTMAX
from signxai.engine.fused.gradient_runs import BatchNormNode
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
from signxai.engine.graph import depends_on_input, needs_relevance, reads_input_only, third_party_nodes
from signxai.engine.layers import CONVOLUTIONS, ChannelMap, ConvolutionLayer, Layer
from signxai.engine.linear_node import LayerRule, LinearNode, RuleSite
from signxai.engine.masks import Masks
from signxai.engine.mode import ForwardPass
from signxai.engine.moves import MOVES_ALONE, ONE_TO_ONE, Move, Moves, each_moved, moves_one_to_one
from signxai.engine.notes import AsItWas, FreshNotes, TensorNotes
from signxai.engine.padding_steps import CARRIES, STARTING, Carried, carried_by
from signxai.engine.piece_steps import FOLLOWED, Followed
from signxai.engine.pieces import Pieces
from signxai.engine.places import place_of_call
from signxai.engine.registry import RELEVANCE, Rule, RuleTable
from signxai.engine.rule_registration import user_rules
from signxai.engine.sample_axes import SampleAxes
from signxai.engine.samples import Places, SampleAxis, SampleLayout
from signxai.engine.saved import SavedReLU, SavedTensor
from signxai.engine.stabilizer import Stabilizer
from signxai.engine.third_party import ThirdPartyNode, any_relevance
from signxai.engine.token_ids import EmbeddingNode
from signxai.engine.torch_functions import OF_SHAPE, OF_SHAPE_ALONE, WRITING, Operation, functions_named
from signxai.engine.user_rules import UserRule, UserRules, run_under
from signxai.engine.written_by_hand import WrittenByHand
from signxai.engine.zero_padding import PADS, ZeroPadding, zeros_put_around

RuleChooser = Callable[[str, bool, bool], LayerRule]
"""(kind of layer: "linear" or "convolution", reads the network's input, is the last one executed) -> rule."""


_MAKES_SAMPLES = functions_named(
    *("linear", "matmul", "mm", "bmm", "mv", "addmm", "baddbmm", "einsum", "__matmul__", "__rmatmul__", "embedding", *CONVOLUTIONS),
    *("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell", "bilinear"),
)
"""Functions that make of constants, such as a state to start from, what counts as a sample's own."""


_TRIANGLES = functions_named("tril", "triu")

DIVISOR = 3
"""The gate rank of a divisor that is written as a factor: ``x * y.rsqrt()`` is ``x / y.sqrt()``."""


class UnknownOperationWarning(UserWarning):
    """An operation mixes its inputs and no LRP rule is known for it: the map follows its gradient there."""


class MadeByLayer:
    """A tensor that is the output of a linear layer, as it was executed, or that output moved."""

    __slots__ = ("first", "index", "input", "layer", "moves", "z")

    def __init__(self, layer: Layer, x: AsItWas, index: int, first: bool, moves: Moves, z: SavedTensor | None) -> None:
        self.layer, self.input, self.index, self.first, self.moves = layer, x, index, first, moves
        self.z = z  # None if it was moved since

    def moved(self, move: Move) -> MadeByLayer:
        """The same for what a move made of the tensor."""
        return MadeByLayer(self.layer, self.input, self.index, self.first, self.moves.then(move), None)


class _Layers:
    """How many linear layers were executed, and the rule of each; the graph holds this, and not the pass, which holds tensors."""

    __slots__ = ("choose_rule", "count")

    def __init__(self, choose_rule: RuleChooser) -> None:
        self.choose_rule, self.count = choose_rule, 0

    def rule_of(self, kind: str, first: bool, index: int) -> LayerRule:
        """The rule of the layer of this number, once all were executed."""
        return self.choose_rule(kind, first, index == self.count - 1)


class RelevancePass(ForwardPass):
    """A forward pass whose backward pass is layer-wise relevance propagation.

    Args:
        choose_rule: says which rule each linear layer takes.
        stabilizer: added to the denominators of sums, means and products, with their sign; 0: exact, where 0 / 0 is 0.
        strict: an operation without a known rule is an error instead of a warning.
        cut_offs_absorb: where an activation is cut off at a constant (ReLU6 above 6), the constant takes the relevance, as the
            z rule on a piecewise-linear network has it; otherwise relevance passes there too, as at any activation.
        weights_are_constant: attention weights get nothing, and the values that they weigh all (CP-LRP); otherwise half to each (AttnLRP).

    Attributes:
        looks_for_weights: whether products are looked at for attention weights among their factors.
        has_gates: whether any tensor is a gate yet.
    """

    table: ClassVar[RuleTable] = RELEVANCE
    site_type: type[RuleSite] = RuleSite

    def __init__(
        self,
        choose_rule: RuleChooser,
        stabilizer: Stabilizer = 0.0,
        strict: bool = False,
        cut_offs_absorb: bool = False,
        weights_are_constant: bool = False,
    ) -> None:
        super().__init__()
        self.cut_offs_absorb = cut_offs_absorb
        self.weights_are_constant = self.looks_for_weights = weights_are_constant
        self.choose_rule = choose_rule
        self.stabilizer = stabilizer
        self.strict = strict
        self._layers = _Layers(choose_rule)
        self.user_rules: UserRules = user_rules()
        self.rules = self.user_rules.on_top_of(self.rules)
        self._made_by_layer: FreshNotes[MadeByLayer] = FreshNotes()
        self._relu_of_layer: TensorNotes[tuple[SavedTensor, int]] = TensorNotes()
        self._gates: TensorNotes[tuple[int, int]] = TensorNotes()
        self.has_gates = False
        self.by_hand = WrittenByHand()
        self.divided_later = DividedLater(self.by_hand)
        self.masks = Masks()
        self.pieces = Pieces()
        self.zero_padding = ZeroPadding()
        self._of_samples: TensorNotes[bool] = TensorNotes()
        self.axes: SampleAxes | None = None
        self._has_of_samples = False
        self._warned: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        rule = self.rules.get(func)
        if rule is None and func in OF_SHAPE:
            return func(*args, **(kwargs or {}))
        if rule is None or kwargs or torch._C._are_functorch_transforms_active():
            result = super().__torch_function__(func, types, args, kwargs)
        else:
            result = self.carried_out(rule, Call(func, args, {}))  # most calls; the same, in fewer steps
        first = result[0] if type(result) is tuple and result else result
        if not isinstance(first, Tensor) or not first.requires_grad:
            self._note_cut(func, args, kwargs, result)
        return result

    # Samples: on which axis of a tensor they are, for rules that look at each as a whole

    def begins(self, net: nn.Module, x: Tensor) -> None:
        super().begins(net, x)
        if x.ndim and len(x) > 1 and getattr(self.choose_rule, "looks_at_samples", True):
            self.axes = self.axes or SampleAxes()
            self.axes.begin(x)

    def _places_in(self, x: Tensor, kind: str) -> Places:
        if self.samples <= 1:
            return SampleLayout.ONE if self.samples else SampleLayout.EACH_ROW
        found = None if self.axes is None else self.axes.of(x)
        if self.axes is None or found is None or (kind == "convolution" and found.axis):
            return SampleLayout.UNKNOWN
        # a piece with some of the samples may be cut otherwise where there are others
        return found if found.is_batch or found.count == self.axes.count else SampleLayout.UNKNOWN

    def carried_out(self, rule: Rule | None, call: Call) -> Result:
        in_place = self.divided_later.ways_in_place(call) if self.by_hand.has_exponentials else None
        piece, constants = self._followed(call)
        if self.axes is None:
            result = super().carried_out(rule, call)
        else:
            signals = call.all_signals()
            result = super().carried_out(rule, call)
            self.axes.follow(call, signals, result, rule is not None)
        if piece is not None:
            piece.note(result)
        if constants is not None:
            constants.note(result)
        if self.by_hand.has_exponentials:
            self.divided_later.follow(call, result)
        if in_place:
            self.divided_later.note_ways_in_place(result, in_place)
        return result

    def _followed(self, call: Call) -> tuple[Followed | None, Carried | None]:
        """What follows pieces and constant places through a call; nothing does within a transform, such as vmap."""
        function = call.func
        is_followed, is_carried = function in FOLLOWED, function in (CARRIES if self.zero_padding.any else STARTING)
        if not (is_followed or is_carried) or torch._C._are_functorch_transforms_active():
            return None, None
        return Followed(self, call) if is_followed else None, carried_by(self, call) if is_carried else None

    def renewed(self) -> ForwardPass:
        return type(self)(self.choose_rule, self.stabilizer, self.strict, self.cut_offs_absorb, self.weights_are_constant)

    # Constants that belong to samples: computed from the input but cut from the graph, or from what a sample starts from

    def _note_cut(self, func: Operation, args: tuple[object, ...], kwargs: dict[str, object] | None, result: Result) -> None:
        self.divided_later.note_made(func, result)
        if func in OF_SHAPE_ALONE:
            return
        of_values = args[:1] if func in RELEVANCE.shaped_by_others else (args, kwargs)
        values = tensors_in(of_values)
        is_cut = any(needs_relevance(value) or self._of_samples.get(value) for value in values)
        if is_cut or func in _MAKES_SAMPLES or any(map(self.is_of_samples, values)):
            self._has_of_samples = True
            written = args[:1] if func in WRITING else ()
            for tensor in tensors_in((result, written)):
                if not tensor.requires_grad:
                    self._of_samples.put(tensor, is_cut)

    def note_given(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            if tensor.ndim and not tensor.requires_grad:
                self._has_of_samples = True
                self._of_samples.put(tensor, False)

    def is_of_samples(self, value: object) -> bool:
        """Whether a constant may differ from sample to sample."""
        return self._has_of_samples and self._of_samples.get(value) is not None

    def _differs_by_sample(self, constant: object, output: Tensor) -> bool:
        """The same beside an output, whose samples a constant of fewer axes cannot tell apart, unless it came from the input."""
        is_cut = self._of_samples.get(constant) if self._has_of_samples else None
        return is_cut is not None and (is_cut or (isinstance(constant, Tensor) and constant.ndim == output.ndim))

    # Operations as they are

    def plain(self, call: Call) -> Result:
        made = self._made(call.x) if call.func in ONE_TO_ONE or call.func in PADS else None
        result = self.as_it_is(call)
        self.masks.follow(call, result)
        if not needs_relevance(call.x) and depends_on_input(result) and not call.has_signal():
            return _detached(result)  # made of weights that no module holds: constants
        follows_gradient = call.func in RELEVANCE.as_gradient
        if not follows_gradient and depends_on_input(result):
            self._unknown_result(call, result)
        elif made is not None and (moves_one_to_one(call) or zeros_put_around(call)):
            for tensor, move in each_moved(call, result):
                if tensor is not call.x or call.func in WRITING:
                    self._made_by_layer.put(tensor, made.moved(move))
        if call.func in MOVES_ALONE:
            self.by_hand.moved(call, result)
        elif call.func in _TRIANGLES and self.by_hand.has_exponentials and needs_relevance(call.x):
            self.by_hand.note_kept(result, call.x, call.run(torch.ones_like(call.x.detach())))
        if follows_gradient and self.has_gates and call.func in RELEVANCE.keep_gates:
            self._stays_gate(call, result)
        return self.with_token_ids(call, result) if self.token_ids.any else result

    def with_token_ids(self, call: Call, result: Result) -> Result:
        """The result, where rows of a table were looked up by token ids tied to them."""
        origin = self.token_ids.looked_up(call, result)
        if origin is not None:
            return EmbeddingNode.apply(origin, lambda: result)
        if not self.follow_ids(call, result):
            self.unknown(call)
        return result

    def as_gradient(self, call: Call) -> Result:
        """Run an operation as it is, whose gradient relevance follows."""
        return self.as_it_is(call)

    def _unknown_result(self, call: Call, result: Result) -> None:
        """Have the operation named if relevance arrives at its result, which matters to nobody otherwise."""
        name, place = getattr(call.func, "__name__", repr(call.func)), str(place_of_call())
        for tensor in tensors_in(result):
            if tensor.grad_fn is not None:
                tensor.grad_fn.register_prehook(partial(_arrived, weakref.ref(self), name, place))

    def unknown(self, call: Call) -> None:
        """Have an operation named that no rule is known for."""
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
        if isinstance(call.func, nn.Softmax | nn.LogSoftmax | nn.Softmax2d | nn.Sigmoid | nn.LogSigmoid):  # taken off all the same
            name = SIGMOID if isinstance(call.func, nn.Sigmoid | nn.LogSigmoid) else SOFTMAX
            self.note_logits(result, call.x, name, isinstance(call.func, nn.LogSoftmax | nn.LogSigmoid))
        return result

    def logits_of(self, output: Tensor) -> Tensor:
        logits = super().logits_of(output)
        for node in third_party_nodes(logits):
            ThirdPartyNode(node, self.unknown_operation)
        return logits

    # Linear layers

    def linear_layer(self, layer: Layer, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Carry out a linear layer under the rule that is chosen for it."""
        index, first = self._layers.count, reads_input_only(x)
        layer = self._with_padding(layer, x)
        layer.samples = self._places_in(x, layer.kind)
        self._layers.count += 1
        return self._under_rule(layer, x, compute, index, first)

    def _with_padding(self, layer: Layer, x: Tensor) -> Layer:
        """A layer with the zeros around its input that were put there, if it is a convolution."""
        if not isinstance(layer, ConvolutionLayer) or layer.options[3]:
            return layer
        amounts = self.zero_padding.around(x, layer.own_weight.ndim - 2)
        if len(amounts) > 1:
            return layer.behind_paddings(amounts)
        return layer.behind_padding(amounts[0]) if amounts else layer

    def with_constants(
        self, output: Tensor, constant: object, factors: Callable[[], tuple[Constant, Constant]], compute: Callable[[Tensor], Tensor]
    ) -> Tensor | None:
        """``scale * output + shift`` behind a linear layer, as one layer with it; None if they are not one.

        Args:
            output: the layer's output, which moves may have moved since.
            constant: what scale and shift are made of.
            factors: gives scale and shift; nowhere may they differ but from channel to channel.
            compute: the map.
        """
        made = self._made(output)
        if made is None or self._differs_by_sample(constant, output):
            return None
        found = channel_map(made.layer, output.detach(), made.moves, *factors())
        return None if found is None else self.with_layer(output, made, found, compute)

    def with_layer(self, output: Tensor, made: MadeByLayer, by_channel: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """A map per channel and the layer before it, as one layer."""
        values, x = output.detach(), made.input.get()
        assert x is not None
        return self._under_rule(made.layer.folded(by_channel), x, lambda _: compute(values), made.index, made.first, made.moves)

    def _made(self, output: Tensor) -> MadeByLayer | None:
        """The layer that a tensor is the output of, if neither that nor the layer's input has been written to since."""
        made = self._made_by_layer.get(output)
        return made if made is not None and made.input.get() is not None else None

    def batch_norm(self, x: Tensor, by_axis_1: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Batch norm in eval is an affine map per channel: folded into the linear layer whose output it reads, else on its own."""
        made = self._made(x)
        if made is not None and not made.moves and made.layer.can_fold(x):
            return self.with_layer(x, made, by_axis_1, compute)
        by_channel = (-1, *(1,) * (x.ndim - 2))
        folded = self.with_constants(x, None, lambda: (by_axis_1.scale.view(by_channel), by_axis_1.shift.view(by_channel)), compute)
        # by a node of our own: torch's gradient of it is wrong for one sample where the layouts in memory differ
        return folded if folded is not None else self.shared(lambda t: BatchNormNode.apply(t, compute, by_axis_1), (x,), is_linear=True)

    def shared(
        self,
        function: Callable[..., Tensor],
        tensors: tuple[Tensor, ...],
        factor: float = 1.0,
        words: str = EACH_ITS_SHARE,
        is_linear: bool = False,
    ) -> Tensor:
        """Run ``function`` on ``tensors``; each is given its share of the relevance, times ``factor``, which reports say in ``words``."""
        return share_by_contribution(function, tensors, self.saver, self.stabilizer, factor, words, is_linear)

    def _under_rule(
        self, layer: Layer, x: Tensor, compute: Callable[[Tensor], Tensor], index: int, first: bool, moves: Moves | None = None
    ) -> Tensor:
        site = self.site_type(layer, partial(self._layers.rule_of, layer.kind, first, index), moves=moves or None)
        site.x = self._saved_input(x)
        result: Tensor = LinearNode.apply(x, compute, site, self.saver)
        moves = moves if moves is not None else Moves(result.shape)
        self._made_by_layer.put(result, MadeByLayer(layer, AsItWas(x), index, first, moves, site.z))
        return result

    def _saved_input(self, x: Tensor) -> SavedTensor | None:
        """The input of a layer as the ReLU of another layer's saved output, if it still is that."""
        relu = self._relu_of_layer.get(x)
        return SavedReLU(relu[0]) if relu is not None and relu[1] == x._version else None

    def output_of_layer(self, tensor: Tensor) -> SavedTensor | None:
        """What is saved of a tensor that is the unchanged output of a linear layer."""
        made = self._made(tensor)
        return made.z if made is not None else None

    def is_axis_of_weights(self, tensor: Tensor, axis: int) -> bool:
        """Whether a tensor is the output of a linear layer in which other weights belong to each place along an axis."""
        made = self._made(tensor)
        if made is None or tensor.shape[axis] < 2:
            return False
        channel = made.moves(made.layer.channel_index(made.moves.shape))
        return not torch.equal(channel.select(axis, 0), channel.select(axis, 1))

    def have_weights_of_their_own(self, a: Tensor, b: Tensor) -> bool:
        """Whether two tensors were moved out of the output of one linear layer, in which other weights belong to each."""
        one, other = self._made(a), self._made(b)
        if one is None or other is None or a.shape != b.shape:
            return False
        channels = [made.moves(made.layer.channel_index(made.moves.shape)) for made in (one, other)]
        return not torch.equal(*channels)

    def values_weighed(self, result: Tensor, values: Tensor, weights: Tensor) -> None:
        """Is told of a matrix product of attention weights with values, if it ``looks_for_weights``."""

    def note_nearly(self, result: Tensor, total: Tensor) -> None:
        """Remember that a tensor is a sum, but for a number that only keeps it from 0."""
        if self.by_hand.is_sum(total):
            self.by_hand.copied(total, result)
        if self.by_hand.has_exponentials:
            self.divided_later.note_nearly(result, total)

    def copy_of(self, tensor: Tensor) -> Tensor:
        """A copy of a tensor, of which the same is known."""
        return self.became(self.by_hand.note_scaled(tensor.clone(), tensor), tensor)

    def became(self, tensor: Tensor, result: Tensor) -> Tensor:
        """Remember of a tensor that ``result`` was written to what is known of that; returns the tensor."""
        made = self._made(result)
        if made is not None:
            self._made_by_layer.put(tensor, made)
        self.by_hand.copied(result, tensor)
        self.divided_later.copied(result, tensor)
        self.note_gate(tensor, self.gate_rank(result))
        return tensor

    def note_relu(self, result: Tensor, of: SavedTensor) -> None:
        """Remember that a tensor is the ReLU of a layer's output; if written in place, that output is no more."""
        self._made_by_layer.drop(result)
        self._relu_of_layer.put(result, (of, result._version))

    # Layers in a row in an nn.Sequential

    def plan_of(self, sequential: nn.Sequential) -> Plan | None:
        """What to call instead of the modules one by one, if anything: with rules of the user's, every operation is watched."""
        return None if self.user_rules else plan_of(sequential, sequential is self.net)

    def takes(self, run: Run, x: object) -> bool:
        """Whether a run is carried out as a whole; not behind a padding, which is its first layer's."""
        return run.takes(x) and self.zero_padding.of(x) is None

    def carry_out(self, run: Run, x: Tensor) -> Tensor:
        """The output of a run, under the rules of its layers."""
        passages: list[Any] = []
        first = reads_input_only(x)
        places = self._places_behind(x, run)
        for step in run.steps:
            passages.append(self._passage(step, first, places))
            first = False
        saved = self._saved_input(x) or self.saver.save(x)
        result: Tensor = RunNode.apply(x, saved, run.steps, passages)
        if run.ends_in_relu:
            self._relu_of_layer.put(result, (passages[-1].z, result._version))
        if self.axes is not None and isinstance(places, SampleAxis):
            self.axes.put(result, places)
        return result

    def _places_behind(self, x: Tensor, run: Run) -> Places:
        """Where the samples are in all that a run reads and gives: linear layers alone also take axes in front of the batch's."""
        places = self._places_in(x, "linear")
        if isinstance(places, SampleAxis) and places.axis and not all(_is_linear_stage(step) for step in run.steps):
            return SampleLayout.UNKNOWN
        return places

    def _passage(self, step: Step, first: bool, places: Places) -> Passage:
        if isinstance(step, Pooling):
            return PoolingPassage(self.stabilizer)
        if isinstance(step, Flattening):
            return FlatteningPassage()
        assert isinstance(step, Stage)  # plans with max pools are not asked for
        self._layers.count += 1
        layer = step.folded_layer()
        layer.samples = places
        return RuleSite(layer, partial(self._layers.rule_of, step.layer.kind, first, self._layers.count - 1))

    # Gates: factors in [0, 1] that scale a signal and get no relevance

    def note_gate(self, result: Tensor, rank: int) -> None:
        """Remember that a tensor is a gate: of rank 2 behind sigmoids and softmax, 1 behind tanh and clamps."""
        if rank:
            self.has_gates = True
            self._gates.put(result, (rank, result._version))

    def gate_rank(self, tensor: Tensor) -> int:
        """How surely a factor is a gate; 0 for anything else, and for a gate that was written to."""
        gate = self._gates.get(tensor) if self.has_gates else None
        return gate[0] if gate is not None and gate[1] == tensor._version else 0

    def still_gate(self, result: Tensor, gate: Tensor) -> Tensor:
        """The result of an operation that scales or moves a tensor, a gate if that is."""
        self.note_gate(result, self.gate_rank(gate))
        return result

    def _stays_gate(self, call: Call, result: Result) -> None:
        if call.func in RELEVANCE.shaped_by_others:
            for tensor, source in zip(tensors_in(result), tensors_in(call.args), strict=False):
                self.still_gate(tensor, source)
            return
        if needs_relevance(call.x) and not self.gate_rank(call.x):
            return  # most calls: a signal that is no gate
        ranks = [self.gate_rank(tensor) for tensor in tensors_in((call.args, call.kwargs)) if needs_relevance(tensor)]
        for tensor in tensors_in(result):
            self.note_gate(tensor, min(ranks, default=0))


def _is_linear_stage(step: Step) -> bool:
    return isinstance(step, Stage) and step.layer.kind == "linear"


def _detached(result: Result) -> Result:
    if isinstance(result, Tensor):
        return result.detach()
    return type(result)(map(_detached, result)) if type(result) in (tuple, list) else result


def _arrived(mode: weakref.ref[RelevancePass], name: str, place: str, relevance: Sequence[Tensor | None]) -> None:
    """A hook, which must not hold the pass: that holds tensors, and so the hook."""
    watching = mode()
    if watching is not None and any_relevance(relevance):
        watching.unknown_operation(name, place)
