"""Several inputs of a model, and arguments beside them, as the one tensor of points that methods work on.

What is explained of a sample, its values and token ids, stands in one row: methods take gradients by it, add noise to it and walk paths
in it, whatever the model takes. Whatever else the model takes goes with the samples, or is passed whole.

Token ids are integers in every run. A pass that can carry relevance to them (LRP) finds numbers in their places of the row, to which notes
lead (``token_ids``). For other methods, the rows of embeddings that the ids pick out take their place: they are read in a run beforehand.
"""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

from signxai.common.errors import ForwardError, InputError, ModelError, OptionError
from signxai.engine.inputs import as_input, as_tensor, first_floating
from signxai.engine.mode import ForwardPass
from signxai.engine.token_ids import GivenRows, RowsRead, TokenIds

Key: TypeAlias = "int | str"
"""The position of an input, or its keyword."""

Value: TypeAlias = Any
"""What a model takes, or returns."""

ForwardKwargs: TypeAlias = "Mapping[str, object] | None"
"""Arguments of a model that are passed on and not explained, by keyword."""


_NOWHERE = (0, 0)


@dataclass(frozen=True)
class Slot:
    """An input that is explained, and where it stands in the row of a sample.

    Attributes:
        key: of the input.
        shape: of one sample.
        columns: where it begins and ends in the row; nowhere, if rows of embeddings take its place.
        dtype: as the model takes it.
        ids: token ids (N, *shape); None: it is values.
    """

    key: Key
    shape: tuple[int, ...]
    columns: tuple[int, int]
    dtype: torch.dtype
    ids: Tensor | None = None

    def of(self, points: Tensor) -> Tensor:
        """Its part of points (n, row), in its shape (n, *shape)."""
        return points[:, slice(*self.columns)].reshape(len(points), *self.shape)

    @property
    def name(self) -> str:
        """What notes of its ids say."""
        return str(self.key)


@dataclass(frozen=True)
class RowsSlot:
    """Rows that an embedding reads by token ids, as a part of the row of a sample.

    Attributes:
        shape: of one sample, with the axis of the samples taken out.
        columns: where it begins and ends in the row.
        keys: the inputs of ids by which it is read.
        axis: of what is read, that of the samples; None: they stand behind each other on the first one.
        rows: what was read (N, *shape).
        of_ids: where it was read by ids that are explained (N, ...), with an axis for each of the ids' and ones for those of a row.
    """

    shape: tuple[int, ...]
    columns: tuple[int, int]
    keys: frozenset[str]
    axis: int | None
    rows: Tensor
    of_ids: Tensor

    def of(self, points: Tensor) -> Tensor:
        """Its part of points (n, row), in its shape (n, *shape)."""
        return points[:, slice(*self.columns)].reshape(len(points), *self.shape)

    def at(self, index: Tensor) -> RowsSlot:
        """The same for some of the samples."""
        return replace(self, rows=self.rows[index], of_ids=self.of_ids[index])

    def as_read(self, values: Tensor) -> Tensor:
        """Something for each sample (n, ...), as an embedding gives it."""
        return values.flatten(0, 1) if self.axis is None else values.movedim(0, self.axis)


@dataclass(frozen=True)
class Reading:
    """Takes down what embeddings read by given ids.

    Attributes:
        leaves: of each input of ids, numbers by which the origins of what was read can be differentiated.
        down: what was read.
    """

    leaves: Mapping[str, Tensor]
    down: GivenRows


@dataclass(frozen=True)
class JointInputs:
    """What a model takes for some samples.

    Attributes:
        slots: what is explained.
        beside: by key, what goes with the samples, with N rows, or is passed whole.
        order: of all keys, as they were given.
        kind: of what the user gave: a tuple, a list, a mapping, or one tensor.
        count: how many samples there are, N.
        rows: what embeddings read by the ids, where methods need that in the place of the ids.
        reading: takes down what embeddings read, in the first run.
    """

    slots: tuple[Slot, ...]
    beside: Mapping[Key, Value]
    order: tuple[Key, ...]
    kind: type
    count: int
    rows: tuple[RowsSlot, ...] = ()
    reading: Reading | None = None

    @property
    def is_own(self) -> bool:
        """Whether points are one input of values in its own shape, as nothing else is explained."""
        return len(self.slots) == 1 and self.slots[0].ids is None and not self.rows

    @property
    def is_one_tensor(self) -> bool:
        """Whether the user gave one tensor, not a structure of them."""
        return not issubclass(self.kind, Mapping | tuple | list)

    def as_numbers(self, points: Tensor) -> tuple[JointInputs, Tensor]:
        """The same where one tensor of integers turned out to be no token ids, but numbers; and the points in its shape."""
        (slot,) = self.slots
        return replace(self, slots=(replace(slot, ids=None),)), slot.of(points).to(slot.dtype)

    @property
    def is_several(self) -> bool:
        """Whether the model takes more than one tensor of values."""
        return len(self.order) > 1 or self.has_ids or isinstance(self.order[0], str)

    @property
    def has_ids(self) -> bool:
        """Whether there are integers that may be token ids."""
        return any(slot.ids is not None for slot in self.slots)

    def row_of(self, parts: Mapping[Key, Tensor]) -> Tensor:
        """The points (N, row) of values, and numbers in the places of ids, by key."""
        if self.is_own:
            return parts[self.slots[0].key]
        return _in_rows([parts[slot.key] for slot in self.slots])

    def row_with_graph(self, x: Value) -> Tensor:
        """The points (N, row) of what a user gave, with the graph of tensors that have one."""
        given = dict(_items(x))
        parts = {}
        for slot in self.slots:
            value = given[slot.key]
            tensor = value if isinstance(value, Tensor) else as_tensor(value)
            parts[slot.key] = tensor.to(slot.dtype) if slot.ids is None else slot.ids.to(slot.dtype)
        return self.row_of(parts)

    def spans(self) -> list[tuple[frozenset[str], slice]]:
        """The parts of a row: the names of the inputs that each stands for, and its columns."""
        of_slots = [(frozenset({slot.name}), slice(*slot.columns)) for slot in self.slots if slot.columns != _NOWHERE]
        return of_slots + [(slot.keys, slice(*slot.columns)) for slot in self.rows]

    def with_ids(self, ids: Mapping[Key, Tensor]) -> JointInputs:
        """The same with other token ids of the same shapes, by key, and nothing known of what embeddings read."""
        slots = tuple(replace(slot, ids=ids[slot.key]) if slot.key in ids else slot for slot in self.slots)
        return replace(self, slots=slots, rows=())

    def alone(self, slot: Slot, points: Tensor) -> tuple[JointInputs, Tensor]:
        """One input of values as the only one that is explained, all others constant; and its points, in its own shape."""
        others = {one.key: one.of(points).to(one.dtype) if one.ids is None else one.ids for one in self.slots if one is not slot}
        return replace(self, slots=(slot,), beside={**self.beside, **others}, rows=()), slot.of(points)

    def at(self, rows: Sequence[int]) -> JointInputs:
        """The same for some of the samples, in any order and any number of times."""
        if list(rows) == list(range(self.count)):
            return self
        index = torch.tensor(rows, dtype=torch.int64, device="cpu")
        slots = tuple(slot if slot.ids is None else replace(slot, ids=slot.ids[index.to(slot.ids.device)]) for slot in self.slots)
        beside = {key: _rows_of(value, index, self.count) for key, value in self.beside.items()}
        of_rows = tuple(slot.at(index.to(slot.rows.device)) for slot in self.rows)
        return replace(self, slots=slots, beside=beside, count=len(rows), rows=of_rows)

    def run(self, net: nn.Module, points: Tensor) -> Value:
        """What the model returns for points of the samples: one for each, round by round; or fewer, of the first samples."""
        return self._for(len(points))._run(net, points)

    def _for(self, count: int) -> JointInputs:
        if count <= self.count:
            return self.at(range(count))
        rounds, rest = divmod(count, self.count)
        return self.at([0] * count if rest else [*range(self.count)] * rounds)

    def _run(self, net: nn.Module, points: Tensor) -> Value:
        ids = _ids_of_pass()
        is_first_reading = self.reading is not None and not self.reading.down.read
        if ids is not None and self.reading is not None and is_first_reading:
            ids.rows = self.reading.down
        elif ids is not None and self.has_ids:  # what is read depends on the input: it is told by that from tables
            ids.rows = GivenRows(partial(self._instead, points) if self.rows else None)
        arguments = {key: _owned(value) for key, value in self.beside.items()}
        for slot in self.slots:
            arguments[slot.key] = self._argument(slot, points, ids)
        args = [arguments[key] for key in self.order if isinstance(key, int)]
        returned = net(*args, **{key: arguments[key] for key in self.order if isinstance(key, str)})
        if self.rows and ids is not None and ids.rows is not None and len(ids.rows.read) != len(self.rows):
            raise OtherRowsError
        return returned

    def _argument(self, slot: Slot, points: Tensor, ids: TokenIds | None) -> Tensor:
        if slot.ids is None:
            values = points if self.is_own else slot.of(points).clone()  # in memory of its own: the model may write to it
            return values.to(slot.dtype) if values.dtype != slot.dtype else values
        given = slot.ids.clone()
        if ids is not None:
            ids.note(given, self._origin(slot, points), frozenset({slot.name}))
        return given

    def _origin(self, slot: Slot, points: Tensor) -> Tensor:
        """Numbers in the places of token ids."""
        if self.reading is not None and slot.name in self.reading.leaves:
            return self.reading.leaves[slot.name]
        assert slot.ids is not None
        return slot.ids.to(torch.float64) if slot.columns == _NOWHERE else slot.of(points)

    def _instead(self, points: Tensor, number: int, rows: Tensor) -> Tensor:
        """What takes the place of the rows that an embedding reads: those of the points, where ids were read that are explained."""
        slot = self.rows[number] if number < len(self.rows) else None
        if slot is None or (read := slot.as_read(slot.rows)).shape != rows.shape or not torch.equal(read, rows):
            raise OtherRowsError
        return torch.where(slot.as_read(slot.of_ids), slot.as_read(slot.of(points)).to(rows.dtype), rows)

    def __str__(self) -> str:
        shapes = {slot.key: slot.shape for slot in self.slots}
        shapes |= {key: tuple(value.shape[1:]) for key, value in self.beside.items() if isinstance(value, Tensor) and value.ndim}
        words = {key: f" of shape ({', '.join(map(str, ('N', *shape)))})" for key, shape in shapes.items()}
        return ", ".join(f"{key!r}{words.get(key, '')}" for key in self.order)

    def structured(self, relevance: Tensor, ids: Iterable[str], without: Iterable[str] = ()) -> Value:
        """Relevance (N, row) in the structure of what the user gave: None, or no key, for what no relevance reaches.

        Args:
            relevance: of all inputs.
            ids: which inputs of integers are token ids.
            without: which inputs have no map by this method.
        """
        ids, without = set(ids), set(without)
        wanted = [slot for slot in self.slots if slot.name not in without and (slot.ids is None or slot.name in ids)]
        return self.like_given({slot.key: relevance if self.is_own else slot.of(relevance) for slot in wanted})

    def like_given(self, parts: Mapping[Key, Value]) -> Value:
        """Something for some inputs in the structure of what the user gave."""
        if issubclass(self.kind, Mapping):
            return {key: parts[key] for key in self.order if key in parts}
        if issubclass(self.kind, tuple | list):
            return tuple(parts.get(key) for key in self.order if isinstance(key, int))
        return parts[0]


class OtherRowsError(ModelError):
    """Embeddings are read otherwise than they were."""

    def __init__(self) -> None:
        super().__init__(
            "the model reads its embeddings another number of times, in another order, or other rows of them, for other values of its "
            "inputs than for those given: nothing tells which rows belong to which token ids; use an LRP method"
        )


def _in_rows(parts: Sequence[Tensor]) -> Tensor:
    """Parts (N, ...) side by side, each flattened, in a type that holds them all and is good for sums."""
    dtype = torch.float32
    for part in parts:
        dtype = torch.promote_types(dtype, part.dtype)
    return torch.cat([part.to(dtype).reshape(len(part), -1) for part in parts], dim=1)


def _ids_of_pass() -> TokenIds | None:
    """Where the pass that watches now keeps its token ids; None if nothing watches."""
    modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return next((mode.token_ids for mode in reversed(modes) if isinstance(mode, ForwardPass)), None)


def _rows_of(value: Value, index: Tensor, count: int) -> Value:
    """The rows of some samples of what goes with them; what has not one row for each is passed whole.

    Raises:
        OptionError: if it may be both: a list with a number for each of several samples.
    """
    if isinstance(value, Tensor):
        has_rows = value.layout is torch.strided and value.ndim and len(value) == count
        return value[index.to(value.device)] if has_rows else value
    if type(value) is list and len(value) == count > 1 and all(isinstance(item, int | float) for item in value):
        raise OptionError(
            f"the argument {value!r} is a list with a number for each of {count} samples; give a tensor if they go with the samples, and "
            "a tuple if they are passed whole"
        )
    return _in_container(value, lambda item: _rows_of(item, index, count), value)


def _owned(value: Value) -> Value:
    """The same in memory of its own, to which a model may write.

    Raises:
        OptionError: if there can be no such thing.
    """
    if isinstance(value, Tensor):
        return value.detach().clone()
    if type(value) in _INERT:
        return value
    found = _in_container(value, _owned, None)
    if found is not None:
        return found
    try:
        return copy.deepcopy(value)
    except Exception as error:  # a class may say in any way that it cannot be copied
        raise OptionError(
            f"the argument of type {type(value).__name__} cannot be copied ({type(error).__name__}: {error}), and a model may change what "
            "it is given; let the model keep it as an attribute, or detach() the tensors in it"
        ) from error


_INERT = {int, float, bool, str, bytes, complex, type(None)}


def _in_container(value: Value, change: Callable[[Value], Value], otherwise: Value) -> Value:
    """A mapping, tuple or list, of whatever class, with each item changed; ``otherwise`` for anything else."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(change, value))
    if type(value) in (tuple, list):
        return type(value)(map(change, value))
    if isinstance(value, dict):
        result = copy.copy(value)
        for key, item in value.items():
            result[key] = change(item)
        return result
    return otherwise


# What a user gives


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


# The rows of embeddings in the place of token ids


@dataclass(frozen=True)
class ReadRows:
    """What embeddings read by the token ids of some samples.

    Attributes:
        inputs: the inputs whose ids were read, with the rows in their place.
        points: (N, row) of these.
        leaves: of each input of ids, numbers by which the origins of what was read can be differentiated (n, ...).
        read: what was read, in order, for n samples: N, or a single one twice.
    """

    inputs: JointInputs
    points: Tensor
    leaves: Mapping[str, Tensor]
    read: Sequence[RowsRead]

    def at_ids(self, relevance: Tensor, original: JointInputs) -> Tensor:
        """Relevance (N, row) of values and rows as that of values and ids, in the row of the original inputs: each id gets the sum of what
        its rows have."""
        parts: dict[Key, Tensor] = {slot.key: slot.of(relevance) for slot in self.inputs.slots if slot.ids is None}
        if self.inputs.rows:
            per_id = [self._per_id(slot, read, relevance) for slot, read in zip(self.inputs.rows, self.read, strict=True)]
            values = [read.origin.values for read in self.read]
            leaves = list(self.leaves.values())
            found = torch.autograd.grad(values, leaves, per_id, allow_unused=True, retain_graph=True)
            sums = {name: part for name, part in zip(self.leaves, found, strict=True) if part is not None}
        else:
            sums = {}
        for slot in original.slots:
            if slot.ids is not None:
                part = sums.get(slot.name)
                empty = relevance.new_zeros(original.count, *slot.shape)
                parts[slot.key] = empty if part is None else part[: original.count].to(relevance.dtype)
        return original.row_of(parts)

    def _per_id(self, slot: RowsSlot, read: RowsRead, relevance: Tensor) -> Tensor:
        """The sum over each row, as the ids lay when it was read."""
        values = slot.of(relevance)
        if len(values) < len(next(iter(self.leaves.values()))):  # a single sample was run twice
            values = torch.cat([values, torch.zeros_like(values)])
        values = slot.as_read(values)
        origin = read.origin.values
        if values.ndim == origin.ndim:
            return values.to(origin.dtype)
        values = values.flatten(origin.ndim)
        sums = values.sum(-1)
        _say_if_cancelled(sums, values)
        return sums.to(origin.dtype)


def _say_if_cancelled(sums: Tensor, values: Tensor) -> None:
    """Warn of sums over rows that are rounding alone: behind a layer norm, which takes the mean off, a gradient sums to zero."""
    most = float(values.abs().sum(-1).max()) if values.numel() else 0.0
    if most > 0 and float(sums.abs().max()) < 64 * torch.finfo(values.dtype).eps * most:
        warnings.warn(
            "the map sums to zero over each row of the embedding, up to rounding, as the gradient does where a layer norm follows at once; "
            "take gradient_x_input, integrated gradients or an LRP method",
            CancelledWarning,
            stacklevel=2,
        )


class CancelledWarning(UserWarning):
    """A map of token ids is nothing but rounding."""


def reading_rows(inputs: JointInputs, points: Tensor, run: Callable[[JointInputs, Tensor], object]) -> ReadRows:
    """Run the network once and take down the rows that its embeddings read by given ids.

    Args:
        inputs, points: with ids.
        run: runs the network under a pass of gradients. It must keep its graph, by which what depends on the input is told from tables.

    Raises:
        ModelError: if it is not known which samples the rows belong to.
    """
    both, leaves, down = _taken_down(inputs, points, run)
    parts = [slot.of(points) for slot in inputs.slots if slot.ids is None]
    found = [_of_samples(read, leaves, both.count, inputs.count) for read in down.read]
    parts += [rows for _, rows, _ in found]
    columns = iter(itertools.pairwise(itertools.accumulate((part[0].numel() for part in parts), initial=0)))
    slots = [replace(slot, columns=next(columns) if slot.ids is None else _NOWHERE) for slot in inputs.slots]
    rows_slots = [
        RowsSlot(tuple(rows.shape[1:]), next(columns), read.origin.keys, axis, rows, of_ids)
        for read, (axis, rows, of_ids) in zip(down.read, found, strict=True)
    ]
    joint = replace(inputs, slots=tuple(slots), rows=tuple(rows_slots))
    return ReadRows(joint, _in_rows(parts) if parts else points[:, :0], leaves, tuple(down.read))


def _taken_down(
    inputs: JointInputs, points: Tensor, run: Callable[[JointInputs, Tensor], object]
) -> tuple[JointInputs, dict[str, Tensor], GivenRows]:
    """The inputs as they were run, numbers by which what was read can be differentiated, and what was read.

    Of one sample, nothing tells along which axis others would lie, so it is run twice, unless the model takes one alone.
    """
    for both in [inputs.at([0, 0]), inputs] if inputs.count == 1 else [inputs]:
        leaves = {slot.name: slot.ids.to(torch.float64).requires_grad_(True) for slot in both.slots if slot.ids is not None}
        down = GivenRows()
        with torch.enable_grad(), suppress(ForwardError) if both is not inputs else nullcontext():
            run(replace(both, reading=Reading(leaves, down)), torch.cat([points] * (both.count // inputs.count)).requires_grad_(True))
            break
    return both, leaves, down


def _of_samples(read: RowsRead, leaves: Mapping[str, Tensor], ran: int, count: int) -> tuple[int | None, Tensor, Tensor]:
    """Along which axis of what was read the samples lie; the rows by sample; and where they were read by ids."""
    numbers = _samples_of(read.origin.values, list(leaves.values()))
    axis = _axis_of_samples(numbers, ran)
    of_ids = (numbers > 0).view(*numbers.shape, *(1,) * (read.rows.ndim - numbers.ndim))

    def by_sample(values: Tensor) -> Tensor:
        return (values.reshape(ran, -1, *values.shape[1:]) if axis is None else values.movedim(axis, 0))[:count]

    return axis, by_sample(read.rows), by_sample(of_ids)


def _axis_of_samples(numbers: Tensor, count: int) -> int | None:
    """Along which axis of ids that were read the samples lie; None: behind each other on the first.

    Args:
        numbers: of each id, the number of its sample from 1; 0 for constants.
        count: how many samples there are.

    Raises:
        ModelError: if along none.
    """
    shape, known = numbers.shape, numbers > 0
    each = torch.arange(1, count + 1, dtype=numbers.dtype, device=numbers.device)
    for axis, length in enumerate(shape):
        if length == count and bool(((numbers == each.view(-1, *(1,) * (len(shape) - 1 - axis))) | ~known).all()):
            return axis
    if shape and shape[0] % count == 0:
        merged = each.repeat_interleave(shape[0] // count).view(-1, *(1,) * (len(shape) - 1))
        if bool(((numbers == merged) | ~known).all()):
            return None
    raise ModelError(
        f"the model reads an embedding by token ids of shape {tuple(shape)}, of which it is not known which belong to which of {count} "
        "samples; give one sample at a time, or use an LRP method"
    )


def _samples_of(origin: Tensor, leaves: Sequence[Tensor]) -> Tensor:
    """The number of each id's sample, from 1; 0 for constants: each value of ``origin`` is one of the leaves', or none."""
    probe = torch.zeros_like(origin, requires_grad=True)
    back = torch.autograd.grad(origin, leaves, probe, create_graph=True, allow_unused=True, retain_graph=True)
    total = torch.zeros_like(origin)
    for leaf, part in zip(leaves, back, strict=True):
        if part is not None:
            numbers = torch.arange(1, len(leaf) + 1, dtype=leaf.dtype, device=leaf.device).view(-1, *(1,) * (leaf.ndim - 1)).expand_as(leaf)
            total = total + torch.autograd.grad(part, probe, numbers, retain_graph=True)[0]
    return total.detach()
