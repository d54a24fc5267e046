"""Watches a network run, operation by operation, and gives each operation the backward pass that a method asks for.

The whole mechanism:

1. **A forward pass is watched.** ``run_forward`` enters a ``ForwardPass``, which is a torch mode (code calls it ``mode``), and
   calls the network. While it is entered, torch hands every call of a function, tensor method or operator to
   ``__torch_function__``, whether a module or a line of code issues it: no class of module needs to be known. The network
   is a view of the user's model (``model_view``), which itself is not touched; in a view an ``nn.Sequential`` has a
   ``forward`` by which layers in a row can be carried out as one (``fused``). Only where a user gives a module class or an
   autograd function a rule is that class itself exchanged (``rule_registration``).
2. **A rule carries out the call.** The pass looks the function up in its rule table (``registry``). The rule gets one ``Call``,
   computes its result with the mode switched off, and ties the result to its input by a node of its own in autograd's graph, a
   ``RelevanceNode``. Without a rule the operation runs as it is and keeps its gradient.
3. **A rule becomes a backward.** ``torch.autograd.grad`` from the logits to the input visits these nodes as it would visit
   torch's own. Theirs hand on relevance instead of a gradient, so what arrives at the input is the relevance map. Operations
   between them that only move values (``ops.moves``) need no node: their gradient moves relevance likewise.
4. **What is saved.** A rule that needs its input or output later saves it in the pass's ``saver`` (``saved``), which holds a
   reference and copies nothing. A linear layer lets go of both as soon as relevance has passed it, which bounds the memory.
5. **Writes in place.** Before any operation writes to memory (``relu_``, ``+=``, ``out=``), the pass calls
   ``saver.before_write``: whatever was saved of that memory is copied then, and only then. A write that the
   mode does not see raises the tensor's version number, by which it is found out and ends in an error.

Who calls whom::

    methods.analyzer.Analyzer.attribute
      forward.run_forward(net, x, mode)           the door to the network
        mode.__torch_function__(func, args)       each operation, in order
          a rule of mode.rules                    registry; rules stand in ops/
            mode.linear_layer / shared / ...      services of the pass (relevance.RelevancePass)
              a RelevanceNode's forward           contributions, linear_node, ops/
          mode.plain(call)                        no rule: as it is
        mode.carry_out(run, x)                    layers in a row in an nn.Sequential, as one node (fused/)
        mode.logits_of(output)                    what stood in front of a final softmax or sigmoid
      torch.autograd.grad(logits, x, relevance)   from the last node to the first
        a RelevanceNode's backward                relevance at its input from that at its output

The passes: ``GradientPass`` here, ``relevance.RelevancePass`` (LRP) and ``accounts.InspectingPass`` (LRP with accounts),
``relu_backward.ReLUPass`` (guided backpropagation), ``feature_maps.FeatureMapPass`` (Grad-CAM, which follows where values stand),
``activation_memory.MeasuringPass`` (how large a batch may be).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from signxai.common.errors import ModelError, SignxaiError
from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.draws import MAY_DRAW, generator_states, have_moved
from signxai.engine.final_activation import KINDS, SOFTMAX, FinalActivation
from signxai.engine.fused.gradient_runs import BatchNormNode, GradientRunNode
from signxai.engine.fused.runs import Plan, Run, plan_of
from signxai.engine.generators import lent_generators
from signxai.engine.layers import ChannelMap
from signxai.engine.moves import MOVES_ALONE
from signxai.engine.parameters import ParametersWrittenError, shared_memory, tensors_in_training
from signxai.engine.places import place_of_call
from signxai.engine.registry import ANY_PASS, RELEVANCE, Rule, RuleTable
from signxai.engine.saved import Saver
from signxai.engine.token_ids import TokenIds
from signxai.engine.torch_functions import OF_SHAPE, OF_SHAPE_ALONE, OPERATORS, WRITING, Operation, builtin_of, operator_name


class ForwardPass(TorchFunctionMode):
    """A forward pass that is watched: what all of them do.

    Attributes:
        saver: what rules save for the way back.
        net: the network that runs.
        samples: of all forward passes that were run under it.
        refusal: why an operation was refused, if one was.
        token_ids: integers that were made of the input.
        draws: the first operation that drew random numbers, and its place; "" if none did.
        final: watches for the activation at the output.
        taken_off: which one was: "softmax" or "sigmoid"; None before the end, and where there is none.
    """

    table: ClassVar[RuleTable] = ANY_PASS

    def __init__(self) -> None:
        super().__init__()
        self.rules: Mapping[Operation, Rule] = self.table.rules
        self.saver = Saver()
        self.final = FinalActivation(self.saver, partial(_copied, weakref.ref(self)))
        self.taken_off: str | None = None
        self.draws = ""
        self.token_ids = TokenIds()
        self.refusal: SignxaiError | None = None
        self.net: nn.Module | None = None
        self.samples = 0
        self._memory: set[int] | None = None
        self._beyond: frozenset[int] = frozenset()

    def note_given(self, tensors: Iterable[Tensor]) -> None:
        """Is told of what a network is handed beside the input that is explained."""

    def begins(self, net: nn.Module, x: Tensor) -> None:
        """Is told of a network that is about to run, and of its input (N, ...)."""
        self.net = net
        self._beyond = tensors_in_training(net)
        self.samples += x.shape[0] if x.ndim else 0

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if torch._C._are_functorch_transforms_active():
            self._refuse_hidden(args, kwargs)
        rule = self.rules.get(func)
        if rule is None:
            if func in OF_SHAPE:
                return func(*args, **(kwargs or {}))
            if isinstance(func, OPERATORS):
                func, rule = self._of_operator(func)
        call = Call(func, args, kwargs or {})
        if kwargs and rule is not None:
            call = call.with_tensors_in_place()
        return self.carried_out(rule, call)

    def carried_out(self, rule: Rule | None, call: Call) -> Result:
        """The result of a call under its rule, or as it is."""
        if self._beyond:
            self._refuse_beyond(call)
        kind = KINDS.get(call.func)
        before = None if kind is None else self.final.before(kind, call)
        generators = generator_states(call) if call.func in MAY_DRAW else None
        try:
            result = self.plain(call) if rule is None else rule(self, call)
            if kind is not None:
                self.final.after(kind, call, before, result)
            if generators is not None and have_moved(generators, generator_states(call)):
                self._note_draw(call, generators)
            return result
        except SignxaiError as error:  # an operator makes of a TypeError, which some of these are, that it does not know its operands
            self.refusal = error
            raise

    def _refuse_beyond(self, call: Call) -> None:
        """Refuse a tensor of the model itself instead of the view's: what it belongs to would run in training mode.

        Raises:
            ModelError: if it is one.
        """
        if call.func.__name__ != "__get__" and any(id(value) in self._beyond for value in tensors_in((call.args, call.kwargs))):
            raise ModelError(
                "the model reaches a module of its own, which is in training mode, by a global name or through too many objects to be "
                f"followed, in {place_of_call()}: keep it as an attribute of the module that calls it, or call model.eval() first"
            )

    def _note_draw(self, call: Call, before: list[Tensor]) -> None:
        """Remember the first operation that drew, and where a generator was that nobody has found so far."""
        self.draws = self.draws or f"{getattr(call.func, '__name__', repr(call.func))!r} in {place_of_call()}"
        own = call.kwargs.get("generator")
        if own is not None:
            lent_generators().meet(own, before[0])

    def _refuse_hidden(self, args: tuple[object, ...], kwargs: dict[str, object] | None) -> None:
        """Refuse signals within ``torch.func``'s transforms: there they look like constants.

        Raises:
            ModelError: if an argument is one.
        """
        for value in tensors_in((args, kwargs)):
            inner = value
            while torch._C._functorch.is_functorch_wrapped_tensor(inner):
                inner = torch._C._functorch.get_unwrapped(inner)
            if inner is not value and inner.requires_grad:
                raise ModelError(
                    "a signal passes torch.func.vmap or another transform of torch.func, in which its operations cannot be followed; "
                    "write that part as operations on the whole batch, or as a loop"
                )

    def _of_operator(self, func: object) -> tuple[object, Rule | None]:
        """An operator of ``torch.ops`` as the function that it is, and its rule."""
        name = operator_name(func)
        found = builtin_of(name)
        if found is not None and found in self.rules:
            return found, self.rules[found]
        return (found if found in self.table.as_gradient or found in KINDS or found in MAY_DRAW else func), self.rules.get(name)  # type: ignore[call-overload]

    def plain(self, call: Call) -> Result:
        """Run an operation as it is, and follow token ids through it."""
        result = self.as_it_is(call)
        return self.with_token_ids(call, result) if self.token_ids.any else result

    def as_it_is(self, call: Call) -> Result:
        """Run an operation as it is, after securing what it may overwrite."""
        if call.func in WRITING or call.kwargs:
            written = call.written()
            if written is not None:
                self._refuse_parameter(written)
                self.saver.before_write(written)
                if self.token_ids.any:
                    self.token_ids.before_write(written)
        return call.func(*call.args, **call.kwargs)

    def _refuse_parameter(self, written: Tensor) -> None:
        """Refuse a write to the memory of a parameter, which is the model's.

        Raises:
            ParametersWrittenError: if it is one.
        """
        if written.requires_grad or self.net is None:  # most writes
            return
        if self._memory is None:
            self._memory = shared_memory(self.net)
        if written.untyped_storage().data_ptr() in self._memory:
            raise ParametersWrittenError(f"the model writes to its parameters, first in {place_of_call()}")

    def with_token_ids(self, call: Call, result: Result) -> Result:
        """The result of an operation as it is, where some tensors are integers made of the input."""
        rows = self.token_ids.rows_of(call, result)
        if rows is not None:
            return rows
        self.follow_ids(call, result)
        return result

    def follow_ids(self, call: Call, result: Result) -> bool:
        """Carry what is known of token ids over an operation, as relevance would follow it; False if some of x were lost."""
        if call.func in OF_SHAPE_ALONE:
            return True
        moves = call.func in RELEVANCE.as_gradient or call.func in MOVES_ALONE
        return self.token_ids.follow(call, result, moves, call.func in RELEVANCE.shaped_by_others)

    def batch_norm(self, x: Tensor, by_axis_1: ChannelMap, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Run a batch norm, which is a map per channel (subclasses: under a rule)."""
        result: Tensor = BatchNormNode.apply(x, compute, by_axis_1)
        return result

    def renewed(self) -> ForwardPass:
        """A pass like this one that has seen nothing yet."""
        return type(self)()

    def logits_of(self, output: Tensor) -> Tensor:
        """What stood in front of the activation at the output; the output itself if there is none."""
        known = self.final.of(output)
        self.taken_off = None if known is None else known.name
        if known is None:
            return output
        with self:
            return known.logits()

    def note_logits(self, output: object, logits: object, name: str = SOFTMAX, is_log: bool = False) -> None:
        """Remember that ``output`` is a softmax, or sigmoid, of ``logits``, or the logarithm of one."""
        self.final.note(output, logits, name, is_log)


def _copied(mode: weakref.ref[ForwardPass], tensor: Tensor) -> Tensor:
    """A copy of a tensor that is about to be written to, as a move that the pass sees; it must not hold the pass itself."""
    watching = mode()
    with nullcontext() if watching is None else watching:
        return tensor.clone()


class GradientPass(ForwardPass):
    """Leaves every operation its own gradient.

    Args:
        is_quick: carry out runs of plain layers as is quickest for many samples (see ``GradientRunNode``).
        has_runs: carry out layers in a row as one.
    """

    def __init__(self, is_quick: bool = False, has_runs: bool = True) -> None:
        super().__init__()
        self.is_quick = is_quick
        self.has_runs = has_runs

    def renewed(self) -> ForwardPass:
        return GradientPass(self.is_quick, self.has_runs)

    def _refuse_hidden(self, args: tuple[object, ...], kwargs: dict[str, object] | None) -> None:
        """Nothing: gradients pass transforms as they are."""

    def plan_of(self, sequential: nn.Sequential) -> Plan | None:
        """What to call instead of the modules one by one, if anything."""
        return plan_of(sequential, sequential is self.net, with_max_pools=True) if self.has_runs else None

    def takes(self, run: Run, x: object) -> bool:
        """Whether a run is carried out as a whole."""
        return run.takes(x)

    def carry_out(self, run: Run, x: Tensor) -> Tensor:
        """The output of a run."""
        result: Tensor = GradientRunNode.apply(x, run.steps, self.is_quick, self.saves)
        return result

    def saves(self, tensor: Tensor) -> None:
        """Is told each tensor that a run saves."""
