"""What a user gives, one tensor or several inputs and arguments, as a model takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import InputError, OptionError
from signxai.engine.inputs import as_input, as_tensor, first_floating
from signxai.engine.joint_inputs import JointInputs, Key, Slot, Value

ForwardKwargs: TypeAlias = "Mapping[str, object] | None"
"""Arguments of a model that are passed on and not explained, by keyword."""


def is_structured(x: object) -> bool:
    """Whether x is several inputs: a mapping (keyword arguments), or a tuple or list with tensors or arrays in it (positional ones)."""
    if type(x) in _ARRAYS:  # which it mostly is
        return False
    return isinstance(x, Mapping) or (
        isinstance(x, tuple | list) and any(isinstance(item, Tensor | np.ndarray | JointInputs) for item in x)
    )


_ARRAYS = {Tensor, np.ndarray}


_ID_TYPES = {torch.int64, torch.int32}


def are_whole_numbers(x: object) -> bool:
    """Whether x is one tensor or array of such integers as token ids are."""
    if isinstance(x, Tensor):
        return x.dtype in _ID_TYPES and x.ndim > 0
    return isinstance(x, np.ndarray) and x.dtype.kind == "i" and x.dtype.itemsize >= 4 and x.ndim > 0


def points_of(
    net: nn.Module, x: Value, forward_kwargs: ForwardKwargs = None, explained: object = None, may_be_ids: bool = False
) -> tuple[Tensor, JointInputs | None]:
    """The points (N, ...) of what a user gave, and what the network takes for them, if that is more than one tensor.

    Args:
        net, x, forward_kwargs, explained: as for ``joint_inputs``; or ``x`` is the two already.
        may_be_ids: one tensor of integers may be token ids.
    """
    may_be_ids = may_be_ids and are_whole_numbers(x)
    if forward_kwargs is None and explained is None and not may_be_ids and not is_structured(x):
        return as_input(net, x), None
    if isinstance(x, tuple) and x and isinstance(x[0], JointInputs):
        return x[1], x[0]
    inputs, points = joint_inputs(net, x, forward_kwargs, explained, may_be_ids)
    return points, inputs


def joint_inputs(
    net: nn.Module, x: Value, forward_kwargs: ForwardKwargs = None, explained: object = None, may_be_ids: bool = False
) -> tuple[JointInputs, Tensor]:
    """What a model takes, and the points (N, row) of what is explained.

    Args:
        net: the model.
        x: a mapping, a tuple or list, or one tensor.
        forward_kwargs: arguments that are passed on and not explained.
        explained: keys or positions of the inputs that are; None: all of floating-point numbers, and token ids.
        may_be_ids: one tensor of integers may be token ids, as those of several inputs may.

    Raises:
        InputError: if an input is no array, has not one row per sample, is empty, or holds NaN or infinity.
        OptionError: if ``forward_kwargs`` or ``explained`` do not fit.
    """
    given: dict[Key, Value] = {key: _read(key, value) for key, value in _items(x)}
    if not given:
        raise InputError(f"x is an empty {type(x).__name__}; give the arguments that the model takes")
    extra = _checked_kwargs(forward_kwargs or {}, given)
    names = _names_explained(explained, given)
    count = _common_count(given)
    like = first_floating(net)
    slots, parts, start = [], {}, 0
    for key in names:
        value, name = given[key], _named(key, x)
        is_integer = (may_be_ids or is_structured(x)) and not value.is_floating_point() and not value.is_complex()
        numbers = as_input(net, value, name)
        ids = value.detach().to(numbers.device).clone() if is_integer else None
        columns = (start, start + numbers[0].numel())
        slots.append(Slot(key, tuple(numbers.shape[1:]), columns, numbers.dtype, ids))
        parts[key], start = numbers, columns[1]
    beside = {key: _placed(value, like) for key, value in given.items() if key not in parts}
    beside |= {key: _placed(value, like) for key, value in extra.items()}
    joint = JointInputs(tuple(slots), beside, (*given, *extra), type(x) if is_structured(x) else Tensor, count)
    return joint, joint.row_of(parts)


def _items(x: Value) -> list[tuple[Key, Value]]:
    if isinstance(x, Mapping):
        wrong = [key for key in x if not isinstance(key, str)]
        if wrong:
            raise InputError(f"x has the key {wrong[0]!r}; the keys of a mapping are the keywords of the model's forward, as 'input_ids'")
        return list(x.items())
    return list(enumerate(x)) if is_structured(x) else [(0, x)]


def _named(key: Key, x: object) -> str:
    """How errors call an input."""
    return f"the input {key!r}" if is_structured(x) else "x"


def _read(key: Key, value: Value) -> Value:
    """An input as a tensor, if it is numbers; what else a model may take as it is.

    Raises:
        InputError: if it is a list that is no array.
    """
    if isinstance(value, Tensor):
        if value.layout is not torch.strided:
            raise InputError(f"the input {key!r} is sparse; give it by to_dense(), or by forward_kwargs= if it is not to be explained")
        return value
    if isinstance(value, np.ndarray) or (isinstance(value, list | tuple) and value and isinstance(value[0], int | float | list | tuple)):
        return as_tensor(value, f"the input {key!r}")
    return value


def _checked_kwargs(forward_kwargs: object, given: Mapping[Key, Value]) -> dict[Key, Value]:
    if not isinstance(forward_kwargs, Mapping) or not all(isinstance(key, str) for key in forward_kwargs):
        raise OptionError(f"forward_kwargs={forward_kwargs!r} must be a dict from keywords of the model's forward to their values")
    if twice := next((key for key in forward_kwargs if key in given), None):
        raise OptionError(f"forward_kwargs= gives {twice!r}, which is an input already: leave one of them out")
    return {key: _array_as_tensor(value) for key, value in forward_kwargs.items()}


def _array_as_tensor(value: Value) -> Value:
    """A NumPy array of numbers as a tensor; anything else as it is."""
    is_numeric = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    return as_tensor(value, "an array in forward_kwargs") if is_numeric else value


def _names_explained(explained: object, given: Mapping[Key, Value]) -> list[Key]:
    """The inputs that are explained, in the order in which they were given.

    Raises:
        OptionError: if there is no such input, or it is none that can be explained.
        InputError: if there is none that can be.
    """
    able = [key for key, value in given.items() if isinstance(value, Tensor) and value.ndim and value.dtype != torch.bool]
    listed = ", ".join(map(repr, given))
    if explained is None:
        if not able:
            raise InputError(f"none of the inputs {listed} can be explained: give floating-point numbers (N, ...), or token ids")
        return able
    wanted = [explained] if isinstance(explained, str | int) else explained
    if not isinstance(wanted, Sequence | set | frozenset) or not wanted or not all(isinstance(key, str | int) for key in wanted):
        raise OptionError(f"explained={explained!r} must be keys or positions of inputs, of {listed}")
    for key in wanted:
        if isinstance(key, bool) or key not in given:
            raise OptionError(f"explained={explained!r}: there is no input {key!r}; the inputs are {listed}")
        if key not in able:
            raise OptionError(f"explained={explained!r}: the input {key!r} is no array of numbers (N, ...); those are {able}")
    return [key for key in given if key in wanted]


def _common_count(given: Mapping[Key, Value]) -> int:
    """How many samples there are.

    Raises:
        InputError: if inputs differ in that.
    """
    counts = {key: len(value) for key, value in given.items() if isinstance(value, Tensor) and value.ndim}
    first = next(iter(counts))
    for key, count in counts.items():
        if count != counts[first]:
            raise InputError(
                f"the input {key!r} has {count} rows and the input {first!r} has {counts[first]}: each needs one row per sample; what is "
                "the same for all samples goes to forward_kwargs="
            )
    return counts[first]


def _placed(value: Value, like: Tensor | None) -> Value:
    """An argument on the model's device; floating-point numbers in its type."""
    if not isinstance(value, Tensor):
        return value
    value = value.detach()
    if like is None:
        return value
    return value.to(like.device, like.dtype.to_real()) if value.is_floating_point() else value.to(like.device)


def row_with_graph(inputs: JointInputs, x: Value) -> Tensor:
    """The points (N, row) of what a user gave, with the graph of tensors that have one."""
    given = dict(_items(x))
    parts = {}
    for slot in inputs.slots:
        value = given[slot.key]
        tensor = value if isinstance(value, Tensor) else as_tensor(value)
        parts[slot.key] = tensor.to(slot.dtype) if slot.ids is None else slot.ids.to(slot.dtype)
    return inputs.row_of(parts)
