"""Feature maps found while a network runs: outputs of convolutions, and of norms over the features of tokens.

How a map lies over the input is not guessed from its shape but followed, operation by operation (``following``). Which of the maps
is the last one that the target depends on is known when all have run: each is remembered by its place in autograd's graph, the values of
the last ones besides; those of an earlier one take a second run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.following import Known, Step, lost, positions_at, start, steps_of
from signxai.engine.graph import Node, needs_relevance
from signxai.engine.layers import CONVOLUTIONS
from signxai.engine.mode import ForwardPass
from signxai.engine.module_names import names_by_id
from signxai.engine.places import Place, place_of_call
from signxai.engine.positions import Positions
from signxai.engine.registry import Rule
from signxai.engine.saved import SavedTensor
from signxai.engine.torch_functions import OPERATORS, Operation, builtin_of, functions_named, operator_name

_REMEMBERED = 16
"""The values of so many feature maps are kept; an earlier one takes a second run."""

Key = tuple[Node, int]
"""A tensor's place in autograd's graph."""


@dataclass
class FeatureMap:
    """One feature map as it was executed.

    Attributes:
        number: how many were executed before.
        edge: its place in the graph, whatever is done in place to the tensor later.
        step: how its positions are followed.
        layer: what the executions of one layer have in common.
        place: the module and the line of code.
        operation: the function that made it, or the class of the module that was asked for.
        shape: of its values.
        is_norm: of tokens, at most of which the target may not depend, as where one is read out.
        values: None where they were let go.
    """

    number: int
    edge: Any
    step: Step
    layer: object
    place: Place
    operation: str
    shape: tuple[int, ...]
    is_norm: bool = False
    values: SavedTensor | None = None

    @property
    def key(self) -> Key:
        """Its place in the graph, to be looked up."""
        return self.edge.node, self.edge.output_nr


def _key(tensor: Tensor) -> Key:
    edge = torch.autograd.graph.get_gradient_edge(tensor)
    return edge.node, edge.output_nr


@dataclass
class _LinearChains:
    """Which tensors are what linear layers without an activation in between made, and of what.

    A sum of two that were made of one tensor is one linear layer, as of a frozen convolution and its low-rank adapter: the
    feature map is the sum.
    """

    sources: dict[Key, tuple[Key, ...]] = field(default_factory=dict)

    def follow(self, call: Call, result: Result, trail: Trail) -> bool:
        """Take note of a call; whether it made such a sum."""
        key_of = trail.key
        if not isinstance(result, Tensor) or not trail.was_signal(call.x) or not needs_relevance(result):
            return False
        if call.func in _LINEAR:
            source = key_of(call.x)
            self.sources[_key(result)] = (source, *self.sources.get(source, ()))
        elif call.func in _SCALING and not any(map(trail.was_signal, call.rest)):
            self._pass_on(key_of(call.x), result)
        elif call.func in _ADDING and call.rest and trail.was_signal(call.rest[0]):
            return self._is_one_layer(key_of(call.x), key_of(call.rest[0]), result)
        return False

    def _pass_on(self, key: Key, result: Tensor) -> None:
        if key in self.sources:
            self.sources[_key(result)] = self.sources[key]

    def _is_one_layer(self, a: Key, b: Key, result: Tensor) -> bool:
        of_a, of_b = self.sources.get(a, ()), self.sources.get(b, ())
        if not of_a or not of_b or b in of_a or a in of_b or not (of_a[0] in of_b or of_b[0] in of_a):
            return False
        self.sources[_key(result)] = of_a if of_a[0] in of_b else of_b
        return True


_CONVOLUTIONS, _NORMS = functions_named(*CONVOLUTIONS), functions_named("layer_norm", "rms_norm")
_LINEAR = functions_named("linear") | _CONVOLUTIONS
_SCALING = functions_named(
    *("mul", "__mul__", "__rmul__", "__imul__", "mul_", "multiply", "div", "__truediv__", "dropout", "dropout2d", "to", "type_as"),
    *("contiguous", "clone", "float", "double"),
)
_MOVES = functions_named("permute", "movedim", "moveaxis", "transpose", "contiguous", "to")
_ADDING = functions_named("add", "__add__", "__radd__", "__iadd__", "add_")


class FeatureMapPass(ForwardPass):
    """Remembers feature maps, and how the positions of all tensors follow from those of the input.

    Args:
        automatic: look for feature maps; otherwise only ``capture`` says what one is.
        only: keep the values of the maps of these numbers; None: of the last ones.

    Attributes:
        found: the feature maps, in the order of their execution.
    """

    def __init__(self, automatic: bool, only: frozenset[int] | None = None) -> None:
        super().__init__()
        self.automatic, self.only = automatic, only
        self.found: list[FeatureMap] = []
        self._steps: dict[Key, Step] = {}
        self._known: dict[Step, Known] = {}
        self._chains = _LinearChains()
        self._names: dict[int, str] = {}
        self._without_bias: dict[Key, int] = {}
        self._reader: tuple[Step, int] | None = None
        self.input_shape: tuple[int, ...] = ()

    def renewed(self) -> FeatureMapPass:
        return FeatureMapPass(self.automatic, self.only)

    def begins(self, net: nn.Module, x: Tensor) -> None:
        super().begins(net, x)
        self._names = names_by_id(net)
        self.input_shape = tuple(x.shape)
        if needs_relevance(x):
            self._steps[_key(x)] = start(x.shape)

    def carried_out(self, rule: Rule | None, call: Call) -> Result:
        """The result of a call, with a note of where its values stand."""
        call = call.with_tensors_in_place() if call.kwargs else call
        written = _of_function(call).written()
        tensors = (call.args, call.kwargs, None if written is None else written._base)
        before = {id(value): _key(value) for value in tensors_in(tensors) if needs_relevance(value)}
        result = super().carried_out(rule, call)
        if before or self.token_ids.any:
            self._note(_of_function(call), result, Trail(self, before))
        return result

    def _note(self, call: Call, result: Result, trail: Trail) -> None:
        for tensor, step in steps_of(call, result, trail, self._place):
            self._steps[_key(tensor)] = step
        if self._reader is None and (call.func in _NORMS or call.func in _LINEAR) and trail.was_signal(call.x):
            self._reader = trail(call.x), 1 if call.func in _CONVOLUTIONS and call.x.ndim > 2 else -1
        is_sum = self._chains.follow(call, result, trail)
        if self.automatic and isinstance(result, Tensor) and needs_relevance(result):
            if self._is_biased(call, result, trail):
                return
            is_norm = call.func in _NORMS
            if is_norm or is_sum or call.func in _CONVOLUTIONS:
                self._add(result, _layer_of(call) if not is_sum else None, _name_of(call.func), is_norm)

    def _is_biased(self, call: Call, result: Tensor, trail: Trail) -> bool:
        """Whether a call adds the bias of the convolution just before, which is then part of it: the sum is the feature map."""
        number = self._without_bias.get(trail.key(call.x)) if trail.was_signal(call.x) else None
        if call.func in _CONVOLUTIONS:
            if (call.rest[1] if len(call.rest) > 1 else call.named.get("bias")) is None:
                self._without_bias[_key(result)] = len(self.found)
        elif number is not None and call.func in _MOVES:
            self._without_bias[_key(result)] = number
        elif number == len(self.found) - 1 and call.func in _ADDING and call.rest and not trail.was_signal(call.rest[0]):
            bias = call.rest[0]
            if isinstance(bias, Tensor) and bias.numel() == max(bias.shape, default=1):
                before = self.found.pop()
                self._add(result, before.layer, before.operation, False, before.place)
                return True
        return False

    def _place(self) -> Place:
        return place_of_call(self._names)

    def _add(self, tensor: Tensor, layer: object, operation: str, is_norm: bool, place: Place | None = None) -> None:
        place = place or self._place()
        layer = layer or (place.module, place.line)
        edge = torch.autograd.graph.get_gradient_edge(tensor)
        number = len(self.found)
        found = FeatureMap(number, edge, self.step_at(_key(tensor), tensor), layer, place, operation, tuple(tensor.shape), is_norm)
        self.found.append(found)
        if self.only is None or number in self.only:
            found.values = self.saver.save(tensor)
        if self.only is None and self.automatic and number >= _REMEMBERED:
            self.found[number - _REMEMBERED].values = None

    def capture(self, feature_map: Tensor, name: str, module: nn.Module) -> None:
        """Remember the output of a module that was asked for."""
        if needs_relevance(feature_map):
            self._add(feature_map, module, type(module).__name__, False, Place(name, type(module).__name__, ""))

    def positions(self, found: FeatureMap) -> Known:
        """Where the values of a feature map stand."""
        return positions_at(found.step, self._known)

    def input_features(self) -> frozenset[int]:
        """The axes of the input that its first layer reads as channels, all of them at each place."""
        known = positions_at(self._reader[0], self._known) if self._reader else None
        if self._reader is None or not isinstance(known, Positions):
            return frozenset()
        axis = self._reader[1] % len(known.shape)
        return frozenset(of_input for of_input in range(1, len(known.spans)) if known.axes_along(of_input) == {axis})

    def step_at(self, key: Key, tensor: Tensor) -> Step:
        """How the positions of a signal follow from those of the input."""
        if key not in self._steps:
            self._steps[key] = self._unseen(tensor)
        return self._steps[key]

    def _unseen(self, tensor: Tensor) -> Step:
        """The same of what an operation made that no mode sees: a function of each value stands where they do."""
        sources = self._sources(tensor)
        if len(sources) == 1 and _is_place_by_place(tensor, sources[0]):
            return Step([self._steps[sources[0]]], lambda given: given[0])
        return lost(f"an operation that cannot be watched ({tensor.grad_fn.name() if tensor.grad_fn else 'unknown'}) in {self._place()}")

    def _sources(self, tensor: Tensor) -> list[Key]:
        """The signals with known steps that a tensor was computed from without others in between."""
        pending, seen, sources = [tensor.grad_fn], set(), []
        while pending:
            node = pending.pop()
            for key in () if node is None else node.next_functions:
                if key[0] is None or key in seen:
                    continue
                seen.add(key)
                if key in self._steps:
                    sources.append(key)
                else:
                    pending.append(key[0])
        return sources


class Trail:
    """Finds the steps of the signals of one call, as they were before it."""

    def __init__(self, mode: FeatureMapPass, before: dict[int, Key]) -> None:
        self.mode, self.before = mode, before

    def was_signal(self, tensor: object) -> bool:
        """Whether a tensor was a signal when the call began, or ids that were made of one."""
        return id(tensor) in self.before

    def key(self, tensor: Tensor) -> Key:
        """The place of a signal in the graph."""
        return self.before[id(tensor)] if id(tensor) in self.before else _key(tensor)

    def __call__(self, tensor: Tensor) -> Step:
        """The step of a signal."""
        if id(tensor) in self.before:
            return self.mode.step_at(self.before[id(tensor)], tensor)
        origin = self.mode.token_ids.values_of(tensor)
        return lost("token ids") if origin is None else self.mode.step_at(_key(origin), origin)


def _of_function(call: Call) -> Call:
    """The call of the function that an operator of ``torch.ops`` is."""
    if not isinstance(call.func, OPERATORS):
        return call
    name = operator_name(call.func)
    return call.of(builtin_of(name) or name)  # type: ignore[arg-type]


def _layer_of(call: Call) -> object:
    """What all executions of one layer have in common: its weight, if that is no other tensor each time."""
    return next((id(value) for value in tensors_in((call.rest, call.named)) if isinstance(value, nn.Parameter)), None)


def _name_of(function: Operation) -> str:
    return str(getattr(function, "__name__", function)).strip("_")


def _is_place_by_place(tensor: Tensor, source: Key) -> bool:
    """Whether each value was computed from the one at its place alone: tried on halves of them."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(_TRIALS):
        half = torch.rand(tensor.shape, generator=generator, device="cpu").to(tensor.device) < 0.5
        edge = torch.autograd.graph.GradientEdge(*source)
        gradient = torch.autograd.grad(tensor, edge, half.to(tensor.dtype), retain_graph=True)[0]
        if gradient.shape != tensor.shape or bool(gradient[~half].any()):
            return False
    return True


_TRIALS = 3
