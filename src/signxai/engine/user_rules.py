"""Rules that users give to operations: what such a rule is asked for, and the node that asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError, SignxaiError
from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.mode import ForwardPass
from signxai.engine.registry import Rule
from signxai.engine.saved import SavedTensor, Saver
from signxai.engine.torch_functions import Operation

RelevanceRule: TypeAlias = Callable[..., object]
"""``(inputs, output, relevance)`` or ``(inputs, output, relevance, call)`` -> relevance at the inputs; see ``register_rule``."""

RulesByOperation: TypeAlias = "Mapping[Operation | type, UserRule]"


@dataclass(frozen=True)
class UserRule:
    """A user's rule, and the name that reports give it."""

    function: RelevanceRule
    name: str
    takes_call: bool

    def relevance(self, call: Call, inputs: tuple[Tensor, ...], output: Result, relevance: Result) -> tuple[Tensor | None, ...]:
        """Relevance at each of the inputs; None at those that get none.

        Raises:
            ModelError: if the rule raises, or returns something else than relevance in the shapes of the inputs.
        """
        arguments = (inputs, output, relevance, call) if self.takes_call else (inputs, output, relevance)
        result = self._returned(arguments)
        signals = [place for place, tensor in enumerate(inputs) if tensor.requires_grad]
        if isinstance(result, Tensor):
            if len(signals) != 1:
                raise ModelError(f"the rule {self.name!r} returned one tensor for {len(signals)} inputs; return a tuple, one for each")
            result = tuple(result if place == signals[0] else None for place in range(len(inputs)))
        if not isinstance(result, tuple | list) or len(result) != len(inputs):
            raise ModelError(
                f"the rule {self.name!r} returned {_shown(result)}; return a tensor for each input, of which there are {len(inputs)}"
            )
        for place in signals:
            self._check(result[place], inputs[place])
        return tuple(part if place in signals else None for place, part in enumerate(result))

    def _returned(self, arguments: tuple[object, ...]) -> object:
        """What the user's function returns: it may raise anything."""
        try:
            return self.function(*arguments)
        except (SignxaiError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if isinstance(error, Warning):
                raise
            raise ModelError(f"the rule {self.name!r} failed: {type(error).__name__}: {error}") from error

    def _check(self, relevance: object, x: Tensor) -> None:
        if relevance is not None and (not isinstance(relevance, Tensor) or relevance.shape != x.shape):
            raise ModelError(
                f"the rule {self.name!r} returned {_shown(relevance)} for an input of shape {tuple(x.shape)}; return a tensor of that shape"
            )


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"{len(value)} entries"
    return f"relevance of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


class UserRuleSite:
    """One call under a user's rule as it was executed."""

    __slots__ = ("call", "inputs", "needed", "outputs", "rule")

    def __init__(self, rule: UserRule, call: Call) -> None:
        self.rule, self.call = rule, call
        self.inputs: list[SavedTensor] = []
        self.needed: list[bool] = []
        self.outputs: list[SavedTensor] = []

    def relevance(self, relevance: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        """Relevance at each input, from that at each output."""
        inputs = tuple(saved.take().detach().requires_grad_(needed) for saved, needed in zip(self.inputs, self.needed, strict=True))
        outputs = tuple(saved.take() for saved in self.outputs)
        only = len(outputs) == 1
        return self.rule.relevance(self.call, inputs, outputs[0] if only else outputs, relevance[0] if only else relevance)


class UserRuleNode(RelevanceNode):
    """An operation under a user's rule."""

    shares = True
    is_users = True

    @staticmethod
    def forward(
        ctx: Node, compute: Callable[..., tuple[Tensor, ...]], site: UserRuleSite, saver: Saver, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.site = site
        site.inputs, site.needed = [saver.save(x) for x in inputs], [x.requires_grad for x in inputs]
        if (written := site.call.written()) is not None:
            saver.before_write(written)
        elif isinstance(site.call.func, nn.Module | type):  # what they write, nobody sees
            for x in inputs:
                saver.before_write(x)
        versions = [x._version for x in inputs]
        outputs = compute(*inputs)
        dirty = [x for x, version in zip(inputs, versions, strict=True) if x._version != version]
        ctx.mark_dirty(*dirty)
        return tuple(_apart_from(inputs, output, dirty) for output in outputs)

    @staticmethod
    def backward(ctx: Node, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *ctx.site.relevance(relevance)

    @staticmethod
    def words_of(ctx: Node) -> str:
        return str(ctx.site.rule.name)


def _apart_from(inputs: tuple[Tensor, ...], output: Tensor, dirty: list[Tensor]) -> Tensor:
    """An output in memory of its own, unless it is an input that was written to: what follows may write to it."""
    memory = output.untyped_storage().data_ptr()
    is_view = any(x.untyped_storage().data_ptr() == memory for x in inputs) and all(output is not x for x in dirty)
    return output.clone() if is_view else output


def run_under(rule: UserRule, call: Call, compute: Operation, saver: Saver) -> Result:
    """The result of a call, tied to its input by a user's rule.

    Args:
        rule: the rule.
        call: the call; its ``func`` is the module, where a module is called.
        compute: what computes the result from the call's arguments.
        saver: saves what the rule is given later.
    """
    inputs = [tensor for tensor in tensors_in((call.args, call.kwargs)) if tensor.is_floating_point() or needs_relevance(tensor)]
    structure: list[Result] = []

    def flat(*tensors: Tensor) -> tuple[Tensor, ...]:
        replaced = iter(tensors)
        chosen = {id(tensor) for tensor in inputs}
        args, kwargs = _mapped((call.args, call.kwargs), lambda t: next(replaced) if id(t) in chosen else t)
        structure.append(compute(*args, **kwargs))
        outputs = tuple(tensors_in(structure[0]))
        if not outputs:
            raise ModelError(
                f"the rule {rule.name!r} is for what returns tensors, alone or in tuples, lists and dicts; {_shown(structure[0])} came"
            )
        return outputs

    site = UserRuleSite(rule, call)
    outputs = UserRuleNode.apply(flat, site, saver, *inputs)
    site.outputs = [saver.save(output) for output in outputs]  # after the call, which counts as a write to what it wrote
    results = iter(outputs)
    return _mapped(structure[0], lambda _: next(results))


def _without_items(value: dict[object, object]) -> dict[object, object]:
    """An empty dict of a dict's own class, which may offer its items as attributes."""
    kind = type(value)
    result = kind.__new__(kind)
    if hasattr(result, "__dict__"):
        result.__dict__.update(vars(value))
    return result


def _mapped(value: Result, function: Callable[[Tensor], object]) -> Result:
    """A nest of tuples, lists and dicts with each tensor replaced, in the order of ``tensors_in``."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        result = _without_items(value)
        for key, item in value.items():
            result[key] = _mapped(item, function)
        return result
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(item, function) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(_mapped(item, function) for item in value)
    return value


class UserRules:
    """The rules that hold for one forward pass."""

    def __init__(self, rules: RulesByOperation) -> None:
        self._rules = rules

    def __bool__(self) -> bool:
        return bool(self._rules)

    def of_class(self, kind: type) -> UserRule | None:
        """The rule of a module class or an autograd function."""
        return self._rules.get(kind)

    def on_top_of(self, rules: Mapping[Operation, Rule]) -> Mapping[Operation, Rule]:
        """Rules by operation, with the user's instead of ours."""
        functions = {operation: rule for operation, rule in self._rules.items() if not isinstance(operation, type)}
        return {**rules, **{operation: _rule_of_function(rule) for operation, rule in functions.items()}} if functions else rules


def _rule_of_function(rule: UserRule) -> Rule:
    def user_rule(mode: ForwardPass, call: Call) -> Result:
        if not call.has_signal():
            return mode.plain(call)
        return run_under(rule, call, call.func, mode.saver)

    return user_rule
