"""Rules that users give to operations: torch functions, tensor methods, module classes, autograd functions.

Functions and methods are seen by the mode that watches the forward pass. Calls of modules and of autograd functions are not, so
their class gets a ``forward`` or ``apply`` that asks for the rule, as long as there is one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.overrides import _get_current_function_mode_stack, get_overridable_functions

from signxai.common.errors import ModelError, OptionError
from signxai.engine.call import Call, tensors_in
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.registry import Rule
from signxai.engine.saved import Saver
from signxai.engine.torch_functions import Operation, functions_named

RelevanceRule: TypeAlias = Callable[..., Any]
"""``(inputs, output, relevance)`` or ``(inputs, output, relevance, call)`` -> relevance at the inputs; see ``register_rule``."""

Target: TypeAlias = "str | Operation | type[nn.Module] | type[Function]"


@dataclass(frozen=True)
class UserRule:
    """A user's rule, and the name that reports give it."""

    function: RelevanceRule
    name: str
    takes_call: bool

    def relevance(self, call: Call, inputs: tuple[Tensor, ...], output: Any, relevance: Any) -> tuple[Tensor | None, ...]:
        """Relevance at each of the inputs; None at those that get none.

        Raises:
            ModelError: if the rule returns something else than relevance in the shapes of the inputs.
        """
        arguments = (inputs, output, relevance, call) if self.takes_call else (inputs, output, relevance)
        result = self.function(*arguments)
        signals = [place for place, tensor in enumerate(inputs) if tensor.requires_grad]
        if isinstance(result, Tensor):
            if len(signals) != 1:
                raise ModelError(f"the rule {self.name!r} returned one tensor for {len(signals)} inputs; return a tuple, one for each")
            result = tuple(result if place == signals[0] else None for place in range(len(inputs)))
        if not isinstance(result, tuple | list) or len(result) != len(inputs):
            raise ModelError(f"the rule {self.name!r} must return relevance for each of its {len(inputs)} inputs, not {_shown(result)}")
        for place in signals:
            self._check(result[place], inputs[place])
        return tuple(part if place in signals else None for place, part in enumerate(result))

    def _check(self, relevance: Any, x: Tensor) -> None:
        if relevance is not None and (not isinstance(relevance, Tensor) or relevance.shape != x.shape):
            raise ModelError(f"the rule {self.name!r} returned {_shown(relevance)} for an input of shape {tuple(x.shape)}")


def _shown(value: Any) -> str:
    return f"relevance of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__} {value!r}"[:80]


class UserRuleNode(RelevanceNode):
    """An operation under a user's rule."""

    shares = True

    @staticmethod
    def forward(
        ctx: Node, compute: Callable[..., tuple[Tensor, ...]], rule: UserRule, call: Call, saver: Saver, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.rule, ctx.call = rule, call
        ctx.saved = [saver.save(x) for x in inputs]
        ctx.needed = [x.requires_grad for x in inputs]
        if (written := call.written()) is not None:
            saver.before_write(written)
        versions = [x._version for x in inputs]
        outputs = compute(*inputs)
        ctx.mark_dirty(*(x for x, version in zip(inputs, versions, strict=True) if x._version != version))
        ctx.outputs = [saver.save(output) for output in outputs]
        return outputs

    @staticmethod
    def backward(ctx: Node, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        inputs = tuple(saved.take().detach().requires_grad_(needed) for saved, needed in zip(ctx.saved, ctx.needed, strict=True))
        outputs = tuple(saved.take() for saved in ctx.outputs)
        only = len(outputs) == 1
        at_inputs = ctx.rule.relevance(ctx.call, inputs, outputs[0] if only else outputs, relevance[0] if only else relevance)
        return None, None, None, None, *at_inputs

    @staticmethod
    def words_of(ctx: Node) -> str:
        return str(ctx.rule.name)


def run_under(rule: UserRule, call: Call, compute: Callable[..., Any], saver: Saver) -> Any:
    """The result of a call, tied to its input by a user's rule.

    Args:
        rule: the rule.
        call: the call; its ``func`` is the module, where a module is called.
        compute: what computes the result from the call's arguments.
        saver: saves what the rule is given later.
    """
    inputs = [tensor for tensor in tensors_in((call.args, call.kwargs)) if tensor.is_floating_point() or needs_relevance(tensor)]
    structure: list[Any] = []

    def flat(*tensors: Tensor) -> tuple[Tensor, ...]:
        replaced = iter(tensors)
        chosen = {id(tensor) for tensor in inputs}
        args, kwargs = _mapped((call.args, call.kwargs), lambda t: next(replaced) if id(t) in chosen else t)
        structure.append(compute(*args, **kwargs))
        return tuple(tensors_in(structure[0]))

    outputs = UserRuleNode.apply(flat, rule, call, saver, *inputs)
    results = iter(outputs)
    return _mapped(structure[0], lambda _: next(results))


def _mapped(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """A nest of tuples, lists and dicts with each tensor replaced, in the order of ``tensors_in``."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: _mapped(item, function) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(item, function) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(_mapped(item, function) for item in value)
    return value


class UserRules:
    """The rules that hold for one forward pass."""

    def __init__(self, rules: Mapping[Any, UserRule]) -> None:
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
    def user_rule(mode: Any, call: Call) -> Any:
        return run_under(rule, call, call.func, mode.saver) if call.has_signal() else mode.plain(call)

    return user_rule


class _Registered:
    """The rules that hold everywhere, and the classes whose calls are watched for rules."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.rules: dict[Any, UserRule] = {}
        self._watched: dict[type, tuple[int, str, Any]] = {}

    def add(self, rules: Mapping[Any, UserRule]) -> None:
        with self.lock:
            taken = [operation for operation in rules if operation in self.rules]
            if taken:
                raise OptionError(f"{_named(taken[0])} has a rule already, {self.rules[taken[0]].name!r}; remove that first")
            self.rules.update(rules)

    def remove(self, rules: Mapping[Any, UserRule]) -> None:
        with self.lock:
            for operation, rule in rules.items():
                if self.rules.get(operation) is rule:
                    del self.rules[operation]

    def watch(self, classes: Iterable[type]) -> None:
        """Let classes ask for rules when they are called."""
        with self.lock:
            for kind in classes:
                count, name, own = self._watched.get(kind) or (0, *_watched_attribute(kind))
                self._watched[kind] = count + 1, name, own

    def unwatch(self, classes: Iterable[type]) -> None:
        """Let them be as they were."""
        with self.lock:
            for kind in classes:
                count, name, own = self._watched.pop(kind)
                if count > 1:
                    self._watched[kind] = count - 1, name, own
                elif own is None:
                    delattr(kind, name)
                else:
                    setattr(kind, name, own)


def _watched_attribute(kind: type) -> tuple[str, Any]:
    """Exchange what a class is called by; the attribute's name, and what it was in the class itself (None: inherited)."""
    name, asking = ("forward", _asking_module) if issubclass(kind, nn.Module) else ("apply", _asking_function)
    own = vars(kind).get(name)
    setattr(kind, name, asking(kind, own))
    return name, own


def _asking_module(kind: Any, own: Any) -> Any:
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        original = super(kind, self).forward if own is None else own.__get__(self)
        return _called(kind, original, Call(self, args, kwargs))

    return forward


def _asking_function(kind: Any, own: Any) -> Any:
    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        original = super(kind, cls).apply if own is None else own.__get__(None, cls)
        return _called(kind, original, Call(cls, args, kwargs)) if cls is kind else original(*args, **kwargs)

    return classmethod(apply)


def _called(kind: type, original: Operation, call: Call) -> Any:
    """Carry out a call of a watched class: under its rule if a pass that has one watches this thread."""
    for mode in reversed(_get_current_function_mode_stack()):  # type: ignore[no-untyped-call]
        rules = getattr(mode, "user_rules", None)
        rule = rules.of_class(kind) if rules is not None else None
        if rule is not None and call.has_signal():
            with torch._C.DisableTorchFunction():
                return mode.under_user_rule(kind, rule, call, original)
    return original(*call.args, **call.kwargs)


_REGISTERED = _Registered()
_SCOPED: ContextVar[Mapping[Any, UserRule]] = ContextVar("rules_for", default={})  # noqa: B039  # a Mapping, never changed


def user_rules() -> UserRules:
    """The rules that hold now, in this thread."""
    return UserRules({**_REGISTERED.rules, **_SCOPED.get()})


class RuleHandle:
    """A registered rule, which ``remove`` takes away."""

    def __init__(self, rules: Mapping[Any, UserRule]) -> None:
        self._rules: Mapping[Any, UserRule] | None = rules

    def remove(self) -> None:
        """Take the rule away; a second time nothing happens."""
        if self._rules is not None:
            _REGISTERED.remove(self._rules)
            _REGISTERED.unwatch(_classes(self._rules))
            self._rules = None


def register_rule(operations: Target | Iterable[Target], rule: RelevanceRule, *, name: str | None = None) -> RuleHandle:
    """Give operations a relevance rule of your own: LRP uses it from then on, and reports name it.

    Args:
        operations: one or several of: a torch function or tensor method (``torch.erf``) or its name (``"erf"``), both for every
            function and method of that name; a module class, for its instances (and those of subclasses that do not override
            ``forward``); a subclass of ``torch.autograd.Function``. It goes before a rule that signxai has.
        rule: ``rule(inputs, output, relevance)``: ``inputs`` are the call's floating-point tensors, in order, those that relevance
            passes with ``requires_grad``; ``output`` is its result and ``relevance`` that at the output, in its shape. It returns
            relevance at the inputs in their shapes, as a tuple (None for constants), or one tensor if relevance passes one input.
            A fourth parameter named ``call`` is given the call: ``call.func`` (for a module the module), ``call.args``,
            ``call.kwargs``.
        name: what reports call the rule; by default the function's own name.

    Returns:
        A handle; ``handle.remove()`` takes the rule away.

    Raises:
        OptionError: if an operation is none of these, or has a rule of a user's already.

    >>> import torch
    >>> from signxai import explain
    >>> def passes(inputs, output, relevance):
    ...     return relevance
    >>> handle = register_rule(torch.erf, passes)
    >>> class Net(torch.nn.Module):
    ...     def forward(self, x):
    ...         return torch.erf(x)
    >>> explain(Net(), torch.ones(1, 2), "lrp_z", 1, strict=True)
    array([[0., 1.]], dtype=float32)
    >>> handle.remove()
    """
    rules = _resolved(operations, rule, name)
    _REGISTERED.add(rules)
    _REGISTERED.watch(_classes(rules))
    return RuleHandle(rules)


@contextmanager
def rules_for(operations: Target | Iterable[Target], rule: RelevanceRule, *, name: str | None = None) -> Iterator[None]:
    """Give operations a relevance rule within a ``with`` block, in this thread alone.

    Args:
        operations, rule, name: as for ``register_rule``. A rule of an inner block goes before that of an outer one.

    Raises:
        OptionError: if an operation is none that can have a rule.

    >>> import torch
    >>> from signxai import inspect_model
    >>> with rules_for(torch.nn.GELU, lambda inputs, output, relevance: relevance, name="as it is"):
    ...     [row.rule for row in inspect_model(torch.nn.Sequential(torch.nn.GELU()), torch.ones(1, 2), "lrp_z").rows]
    ['as it is']
    """
    rules = _resolved(operations, rule, name)
    _REGISTERED.watch(_classes(rules))
    token = _SCOPED.set({**_SCOPED.get(), **rules})
    try:
        yield
    finally:
        _SCOPED.reset(token)
        _REGISTERED.unwatch(_classes(rules))


def _classes(rules: Mapping[Any, UserRule]) -> list[type]:
    return [operation for operation in rules if isinstance(operation, type)]


def _resolved(operations: Target | Iterable[Target], rule: RelevanceRule, name: str | None) -> dict[Any, UserRule]:
    """From every function and class that is meant to the rule."""
    if not callable(rule):
        raise OptionError(f"rule={rule!r} is not callable; give a function (inputs, output, relevance) -> relevance at the inputs")
    named = name or str(getattr(rule, "__name__", type(rule).__name__))
    entry = UserRule(rule, named, "call" in inspect.signature(rule).parameters)
    several = isinstance(operations, Iterable) and not isinstance(operations, str | type)
    targets: Iterable[Any] = operations if several else [operations]  # type: ignore[assignment]
    found = {function: entry for target in targets for function in _functions_of(target)}
    if not found:
        raise OptionError("register_rule was given no operation; give a torch function, its name, a module class or an autograd function")
    return found


def _functions_of(target: Any) -> set[Any]:
    if isinstance(target, type) and issubclass(target, nn.Module | Function):
        return {target}
    if isinstance(target, str):
        functions = functions_named(target)
    elif callable(target) and any(target in functions for functions in get_overridable_functions().values()):
        functions = {target} | functions_named(target.__name__)
    else:
        functions = set()
    if not functions:
        raise OptionError(
            f"{_named(target)} cannot have a rule: give a torch function or tensor method, its name, a class of nn.Module or of "
            "torch.autograd.Function"
        )
    return functions


def _named(operation: Any) -> str:
    return getattr(operation, "__name__", None) or repr(operation)
