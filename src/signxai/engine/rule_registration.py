"""Which rules users have registered, for whom and how long.

Functions and methods are seen by the mode that watches the forward pass. Calls of modules and of autograd functions are not, so
their class gets a ``forward`` or ``apply`` that asks for the rule, as long as there is one.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.autograd import Function
from torch.overrides import _get_current_function_mode_stack, get_overridable_functions

from signxai.common.errors import OptionError
from signxai.engine.call import Call, Result
from signxai.engine.torch_functions import Operation, functions_named
from signxai.engine.user_rules import RelevanceRule, RulesByOperation, UserRule, UserRules

Target: TypeAlias = "str | Operation | type[nn.Module] | type[Function]"

Class: TypeAlias = Any
"""A class whose calls are watched; one of its methods is exchanged."""


class _Registered:
    """The rules that hold everywhere, and the classes whose calls are watched for rules."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.rules: dict[Operation | type, UserRule] = {}
        self._watched: dict[type, tuple[int, str, Class]] = {}

    def add(self, rules: RulesByOperation) -> None:
        with self.lock:
            taken = [operation for operation in rules if operation in self.rules]
            if taken:
                raise OptionError(f"{_named(taken[0])} has a rule already, {self.rules[taken[0]].name!r}; remove that first")
            self.rules.update(rules)

    def remove(self, rules: RulesByOperation) -> None:
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


def _watched_attribute(kind: type) -> tuple[str, Class]:
    """Exchange what a class is called by; the attribute's name, and what it was in the class itself (None: inherited)."""
    name, asking = ("forward", _asking_module) if issubclass(kind, nn.Module) else ("apply", _asking_function)
    own = vars(kind).get(name)
    setattr(kind, name, asking(kind, own))
    return name, own


def _asking_module(kind: Class, own: Class) -> Operation:
    def forward(self: nn.Module, *args: object, **kwargs: object) -> Result:
        original = super(kind, self).forward if own is None else own.__get__(self)
        return _called(kind, original, Call(self, args, kwargs))

    return forward


def _asking_function(kind: Class, own: Class) -> Class:
    def apply(cls: Class, *args: Any, **kwargs: Any) -> Result:
        original = super(kind, cls).apply if own is None else own.__get__(None, cls)
        return _called(kind, original, Call(cls, args, kwargs)) if cls is kind else original(*args, **kwargs)

    return classmethod(apply)


def _called(kind: type, original: Operation, call: Call) -> Result:
    """Carry out a call of a watched class: under its rule if a pass that has one watches this thread."""
    for mode in reversed(_get_current_function_mode_stack()):  # type: ignore[no-untyped-call]
        rules = getattr(mode, "user_rules", None)
        rule = rules.of_class(kind) if rules is not None else None
        if rule is not None and call.has_signal():
            with torch._C.DisableTorchFunction():
                return mode.under_user_rule(kind, rule, call, original)
    return original(*call.args, **call.kwargs)


_REGISTERED = _Registered()
_SCOPED: ContextVar[tuple[RulesByOperation, ...]] = ContextVar("rules_for", default=())


def user_rules() -> UserRules:
    """The rules that hold now, in this thread."""
    return UserRules({operation: rule for rules in (_REGISTERED.rules, *_SCOPED.get()) for operation, rule in rules.items()})


class RuleHandle:
    """A registered rule, which ``remove`` takes away."""

    def __init__(self, rules: RulesByOperation) -> None:
        self._rules: RulesByOperation | None = rules

    def remove(self) -> None:
        """Take the rule away; a second time nothing happens."""
        if self._rules is not None:
            _REGISTERED.remove(self._rules)
            _REGISTERED.unwatch(_classes(self._rules))
            self._rules = None


def register_rule(operations: Target | Collection[Target], rule: RelevanceRule, *, name: str | None = None) -> RuleHandle:
    """Give operations a relevance rule of your own: LRP uses it from then on, and reports name it.

    Args:
        operations: one or several of: a torch function or tensor method (``torch.erf``) or its name (``"erf"``), both for every
            function and method of that name; a module class, for its instances (and those of subclasses that do not override
            ``forward``); a subclass of ``torch.autograd.Function``, for calls of its own ``apply`` (one that was taken off the class
            beforehand, ``f = Mine.apply``, goes past the rule, with a warning). It goes before a rule that signxai has.
        rule: ``rule(inputs, output, relevance)``: ``inputs`` are the call's floating-point tensors, in order; those that receive
            relevance have ``requires_grad=True``; ``output`` is its result and ``relevance`` that at the output, in its shape. It returns
            relevance at the inputs in their shapes, as a tuple (None for constants), or one tensor if relevance passes one input.
            A fourth parameter named ``call`` is given the call: ``call.func`` (for a module the module), ``call.args``,
            ``call.kwargs``.
        name: what reports call the rule; by default the function's own name.

    Returns:
        A handle; ``handle.remove()`` takes the rule away.

    Raises:
        OptionError: if an operation is none of these or already has a user's rule, or the rule does not take these arguments.

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
def rules_for(operations: Target | Collection[Target], rule: RelevanceRule, *, name: str | None = None) -> Iterator[None]:
    """Give operations a relevance rule within a ``with`` block, in this thread alone.

    Args:
        operations, rule, name: as for ``register_rule``. A rule of an inner block goes before that of an outer one.

    Raises:
        OptionError: if an operation cannot have a rule, or the rule does not take these arguments.

    >>> import torch
    >>> from signxai import inspect_model
    >>> with rules_for(torch.nn.GELU, lambda inputs, output, relevance: relevance, name="as it is"):
    ...     [row.rule for row in inspect_model(torch.nn.Sequential(torch.nn.GELU()), torch.ones(1, 2), "lrp_z").rows]
    ['as it is']
    """
    rules = _resolved(operations, rule, name)
    _REGISTERED.watch(_classes(rules))
    _SCOPED.set((*_SCOPED.get(), rules))
    try:
        yield
    finally:
        _SCOPED.set(tuple(other for other in _SCOPED.get() if other is not rules))  # blocks may end in any order
        _REGISTERED.unwatch(_classes(rules))


def _classes(rules: RulesByOperation) -> list[type]:
    return [operation for operation in rules if isinstance(operation, type)]


def _resolved(operations: Target | Collection[Target], rule: RelevanceRule, name: str | None) -> dict[Operation | type, UserRule]:
    """From every function and class that is meant to the rule."""
    if not callable(rule):
        raise OptionError(f"rule={rule!r} is not callable; give a function (inputs, output, relevance) -> relevance at the inputs")
    takes_call = _takes_call(rule)
    named = name or str(getattr(rule, "__name__", type(rule).__name__))
    entry = UserRule(rule, named, takes_call)
    targets: Iterable[Target] = operations if isinstance(operations, list | tuple | set | frozenset) else [operations]  # type: ignore[list-item]
    found = {function: entry for target in targets for function in _functions_of(target)}
    if not found:
        raise OptionError("register_rule was given no operation; give a torch function, its name, a module class or an autograd function")
    return found


def _takes_call(rule: RelevanceRule) -> bool:
    """Whether a rule asks for the call beside inputs, output and relevance."""
    try:
        signature = inspect.signature(rule)
    except ValueError as error:
        raise OptionError(f"the parameters of {rule!r} cannot be told; wrap it in a function (inputs, output, relevance)") from error
    takes_call = "call" in signature.parameters
    try:
        signature.bind(*(None,) * (4 if takes_call else 3))
    except TypeError as error:
        given = "inputs, output, relevance" + (", call" if takes_call else "")
        raise OptionError(f"the rule {rule!r} is called with ({given}), but {error}; give it these parameters") from error
    return takes_call


_OF_TOKEN_IDS = "cannot have a rule: relevance of token ids is read off at its output and does not pass it"


def _functions_of(target: Target) -> set[Operation | type]:
    if isinstance(target, type) and issubclass(target, nn.Module | Function):
        if issubclass(target, nn.Embedding | nn.EmbeddingBag) and target.forward in (nn.Embedding.forward, nn.EmbeddingBag.forward):
            raise OptionError(f"{target.__name__} {_OF_TOKEN_IDS}")
        return {target}
    if isinstance(target, str):
        functions = functions_named(target)
    elif callable(target) and any(target in functions for functions in get_overridable_functions().values()):
        functions = {target} | functions_named(target.__name__)
    elif callable(target) and not isinstance(target, type) and target in functions_named(getattr(target, "__name__", "")):
        # one that torch does not list, such as torch.relu_
        functions = functions_named(target.__name__)
    else:
        functions = set()
    if functions & functions_named("embedding", "embedding_bag"):
        raise OptionError(f"an embedding {_OF_TOKEN_IDS}")
    if not functions:
        raise OptionError(
            f"{_named(target)} cannot have a rule: give a torch function or tensor method, its name, a class of nn.Module or of "
            "torch.autograd.Function"
        )
    return functions


def _named(operation: object) -> str:
    return getattr(operation, "__name__", None) or repr(operation)
