"""One call of an operation, as every rule takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from signxai.engine.graph import needs_relevance
from signxai.engine.torch_functions import WRITING, Operation, argument_names

Positional: TypeAlias = tuple[Any, ...]
Keywords: TypeAlias = dict[str, Any]

Result: TypeAlias = Any
"""What an operation returns: a tensor, or a tuple of several."""


class Call:
    """One call of an operation while a network runs: nothing has been computed yet.

    Attributes:
        func: the operation.
        args, kwargs: its arguments as they came.
        x: its input, the first argument, wherever it stands.
    """

    __slots__ = ("args", "func", "kwargs", "x")

    def __init__(self, func: Operation, args: Positional, kwargs: Keywords) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs
        self.x: Any = args[0] if args else kwargs.get(_input_in(kwargs))

    @property
    def rest(self) -> Positional:
        """The positional arguments behind the input."""
        return self.args[1:]

    @property
    def named(self) -> Keywords:
        """The keyword arguments beside the input."""
        if self.args:
            return self.kwargs
        name = _input_in(self.kwargs)
        return {key: value for key, value in self.kwargs.items() if key != name}

    def plain(self) -> Result:
        """The result, as the operation itself gives it."""
        return self.func(*self.args, **self.kwargs)

    def run(self, x: object) -> Result:
        """The result for another input."""
        return self.func(x, *self.rest, **self.named)

    def on_input(self) -> Callable[[Tensor], Result]:
        """The call as a function of its input alone."""
        return self.run if self.rest or self.named else self.func

    def signals(self) -> tuple[Tensor, ...]:
        """The positional arguments that relevance passes."""
        return tuple(value for value in self.args if needs_relevance(value))

    def all_signals(self) -> list[Tensor]:
        """All arguments that relevance passes, be they in a list."""
        found: list[Tensor] = []
        for value in self.args:
            kind = type(value)
            if kind is Tensor:
                found.append(value)
            elif kind not in _SCALARS and not (kind is tuple and _SCALARS.issuperset(map(type, value))):
                _collect((value,), found)
        if self.kwargs:
            _collect(self.kwargs.values(), found)
        return [value for value in found if value.requires_grad and not value.is_leaf]

    def has_signal(self) -> bool:
        """Whether relevance passes any argument, be it in a list."""
        return any(map(needs_relevance, tensors_in((self.args, self.kwargs))))

    def on_signals(self) -> Operation:
        """The call as a function of its signals, in their order."""
        places = [place for place, value in enumerate(self.args) if needs_relevance(value)]

        def compute(*tensors: Tensor) -> Result:
            values = list(self.args)
            for place, tensor in zip(places, tensors, strict=True):
                values[place] = tensor
            return self.func(*values, **self.kwargs)

        return compute

    def with_signals(self, signals: Sequence[Tensor], tensors: Sequence[Tensor]) -> Result:
        """The result with other tensors in the place of these, wherever they stand."""
        found = {id(signal): tensor for signal, tensor in zip(signals, tensors, strict=True)}
        args = [found.get(id(value), value) for value in self.args]
        return self.func(*args, **{name: found.get(id(value), value) for name, value in self.kwargs.items()})

    def rest_is_constant(self) -> bool:
        """Whether relevance can only pass the input, of the positional arguments."""
        return not any(map(needs_relevance, self.rest))

    def named_is_constant(self) -> bool:
        """Whether relevance passes none of the keyword arguments."""
        return not any(map(needs_relevance, self.named.values()))

    def writes_in_place(self) -> bool:
        """Whether the call may write to its input; activations take ``inplace`` by position too, so any True counts."""
        return self.func in WRITING or any(arg is True for arg in self.args) or bool(self.kwargs.get("inplace"))

    def written(self) -> Tensor | None:
        """The tensor that the call writes to, its input or ``out``; None if there is none."""
        if self.func in WRITING:
            target = self.x
        elif not self.kwargs:
            return None
        else:
            target = self.x if self.kwargs.get("inplace") else self.kwargs.get("out")
        return target if isinstance(target, Tensor) else None

    def with_input(self, x: Tensor) -> Call:
        """The same call of another input, wherever that stands."""
        args = [x if value is self.x else value for value in self.args]
        return Call(self.func, tuple(args), {name: x if value is self.x else value for name, value in self.kwargs.items()})

    def of(self, func: Operation) -> Call:
        """The same arguments for another function."""
        return Call(func, self.args, self.kwargs)

    def with_tensors_in_place(self) -> Call:
        """The call with tensors that were given by keyword in their places, if torch's own parser read the call.

        An ``out`` of None, which means none, is left out.
        """
        if "out" in self.kwargs and self.kwargs["out"] is None:
            return Call(self.func, self.args, {key: value for key, value in self.kwargs.items() if key != "out"}).with_tensors_in_place()
        if hasattr(self.func, "__code__") or not any(isinstance(value, Tensor) for value in self.kwargs.values()):
            return self
        given = {"self" if name == "input" else name for name in self.kwargs}
        for names in argument_names(getattr(self.func, "__name__", "").strip("_")):
            plain = tuple("self" if name == "input" else name for name in names)
            if given & set(plain[len(self.args) :]) and len(self.args) < len(plain):
                return self.with_arguments(tuple("input" if name == "self" else name for name in plain))
        return self

    def with_arguments(self, names: Sequence[str]) -> Call:
        """The call with what it was given by these keywords in their places among the positional arguments."""
        if not self.kwargs:
            return self
        args, kwargs = [*self.args], dict(self.kwargs)
        for name in names[len(args) :]:
            name = "self" if name == "input" and name not in kwargs else name
            if name not in kwargs:
                break
            args.append(kwargs.pop(name))
        return Call(self.func, tuple(args), kwargs)


def _input_in(kwargs: Keywords) -> str:
    return "input" if "input" in kwargs else "self"


def tensors_in(value: object) -> list[Tensor]:
    """The tensors in a nest of tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return [value]
    found: list[Tensor] = []
    _collect((value,), found)
    return found


def _collect(values: Iterable[object], found: list[Tensor]) -> None:
    for value in values:
        if type(value) in _SCALARS:
            continue
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, _SEQUENCES):
            _collect(value, found)
        elif isinstance(value, dict):
            _collect(value.values(), found)


_SCALARS = {int, float, bool, str, type(None)}  # most arguments beside tensors
_SEQUENCES = (tuple, list)  # a union takes longer to ask
