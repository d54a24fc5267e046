"""Several inputs of a model, and arguments beside them, as the one tensor of points that methods work on.

What is explained of a sample, its values and token ids, stands in one row: methods take gradients by it, add noise to it and walk paths
in it, whatever the model takes. Whatever else the model takes goes with the samples, or is passed whole.

Token ids are integers in every run. A pass that can carry relevance to them (LRP) finds numbers in their places of the row, to which notes
lead (``token_ids``). For other methods, the rows of embeddings that the ids pick out take their place: they are read in a run beforehand.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

from signxai.common.errors import ModelError, OptionError
from signxai.engine.call import tensors_in
from signxai.engine.keras_calls import called
from signxai.engine.mode import ForwardPass
from signxai.engine.token_ids import GivenRows, TokenIds

Key: TypeAlias = "int | str"
"""The position of an input, or its keyword."""

Value: TypeAlias = Any
"""What a model takes, or returns."""


NOWHERE = (0, 0)
"""The columns of ids in whose place rows of embeddings stand."""


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
        return in_rows([parts[slot.key] for slot in self.slots])

    def spans(self) -> list[tuple[frozenset[str], slice]]:
        """The parts of a row: the names of the inputs that each stands for, and its columns."""
        of_slots = [(frozenset({slot.name}), slice(*slot.columns)) for slot in self.slots if slot.columns != NOWHERE]
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
        watching = _pass()
        ids = None if watching is None else watching.token_ids
        is_first_reading = self.reading is not None and not self.reading.down.read
        if ids is not None and self.reading is not None and is_first_reading:
            ids.rows = self.reading.down
        elif ids is not None and self.has_ids:  # what is read depends on the input: it is told by that from tables
            ids.rows = GivenRows(partial(self._instead, points) if self.rows else None)
        arguments = {key: _owned(value) for key, value in self.beside.items()}
        if watching is not None:
            watching.note_given(tensors_in(tuple(arguments.values())))
        for slot in self.slots:
            arguments[slot.key] = self._argument(slot, points, ids)
        args = [arguments[key] for key in self.order if isinstance(key, int)]
        returned = called(net, args, {key: arguments[key] for key in self.order if isinstance(key, str)})
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
        return slot.ids.to(torch.float64) if slot.columns == NOWHERE else slot.of(points)

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


def in_rows(parts: Sequence[Tensor]) -> Tensor:
    """Parts (N, ...) side by side, each flattened, in a type that holds them all and is good for sums."""
    dtype = torch.float32
    for part in parts:
        dtype = torch.promote_types(dtype, part.dtype)
    return torch.cat([part.to(dtype).reshape(len(part), -1) for part in parts], dim=1)


def _pass() -> ForwardPass | None:
    """The pass that watches now; None if nothing watches."""
    modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return next((mode for mode in reversed(modes) if isinstance(mode, ForwardPass)), None)


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
    return in_container(value, lambda item: _rows_of(item, index, count), value)


def _owned(value: Value) -> Value:
    """The same in memory of its own, to which a model may write.

    Raises:
        OptionError: if there can be no such thing.
    """
    if isinstance(value, Tensor):
        return value.detach().clone()
    if type(value) in _INERT:
        return value
    found = in_container(value, _owned, None)
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


def in_container(value: Value, change: Callable[[Value], Value], otherwise: Value) -> Value:
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
