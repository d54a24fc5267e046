"""Token ids among the input: whole numbers, where autograd ends, and from which embeddings find their way back by notes.

Integers come in two ways: a forward makes them of floating-point numbers of x, or a user gives them beside other inputs. Given ones may
be token ids, masks or positions. What they are is told by what becomes of them, not by their values: those by which rows of a table are
picked out are ids, and all others constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import InputError
from signxai.engine.call import Call, Keywords, tensors_in
from signxai.engine.draws import MAY_DRAW
from signxai.engine.graph import Node, RelevanceNode
from signxai.engine.notes import TensorNotes
from signxai.engine.places import place_of_call
from signxai.engine.torch_functions import functions_named


class EmbeddingNode(RelevanceNode):
    """The rows of a table that indices name: each index gets the relevance of its row."""

    words = "sum over the row"

    @staticmethod
    def forward(ctx: Node, origin: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        ctx.axes = origin.ndim
        return compute()

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        return relevance.flatten(ctx.axes).sum(dim=-1) if relevance.ndim > ctx.axes else relevance, None


_GETITEM, _SETITEM = torch.Tensor.__getitem__, torch.Tensor.__setitem__
_LOOKUPS = functions_named("__getitem__", "index_select")
_PICKING = functions_named("__getitem__", "index_select", "gather", "take", "take_along_dim")
"""They read their first argument at places that others name."""


class Origin(NamedTuple):
    """What integers are made of.

    Attributes:
        values: the same numbers in floating point, tied to the input.
        keys: the inputs that a user gave as integers; ``OF_X`` among them where a forward made integers of floating-point numbers.
    """

    values: Tensor
    keys: frozenset[str]

    @property
    def is_given(self) -> bool:
        """Whether a user gave them all as integers."""
        return OF_X not in self.keys


class Mixed(NamedTuple):
    """By what integers were computed from others, not place by place.

    Attributes:
        operation, place: the first operation that did, and where.
        keys: as those of an origin.
    """

    operation: str
    place: str
    keys: frozenset[str]


OF_X = ""


class RowsRead(NamedTuple):
    """Rows of a table that a forward picked out by token ids that a user gave.

    Attributes:
        rows: what was picked out, of the ids' axes and those of a row.
        origin: what the ids are made of.
    """

    rows: Tensor
    origin: Origin


class GivenRows:
    """The rows that embeddings read by given ids: taken down in one run, and exchanged for others in the next.

    Attributes:
        read: those of this run, in order.
    """

    def __init__(self, others: Callable[[int, Tensor], Tensor] | None = None) -> None:
        self.read: list[RowsRead] = []
        self._others = others

    def instead(self, rows: Tensor, origin: Origin) -> Tensor:
        """What takes the place of the rows that were read; where nothing does, they depend on the input all the same."""
        number = len(self.read)
        self.read.append(RowsRead(rows.detach().clone(), origin))
        return rows.detach().requires_grad_(True).clone() if self._others is None else self._others(number, rows)


class TokenIds:
    """Notes from integer tensors to the floating-point numbers of the input that they are made of.

    Attributes:
        any: whether there are any.
        rows: where rows that are read by given ids go through, if somebody asks for them.
        were_read: the given inputs by which rows were picked out.
        were_mixed: those of which other integers were computed by which rows were picked out, and how.
    """

    def __init__(self) -> None:
        self._origins: TensorNotes[tuple[int, Origin]] = TensorNotes()
        self._mixed: TensorNotes[Mixed] = TensorNotes()
        self._before_write: tuple[Tensor, Origin | None] | None = None
        self.any = False
        self.rows: GivenRows | None = None
        self.were_read: set[str] = set()
        self.were_mixed: dict[str, Mixed] = {}

    def note(self, ids: Tensor, origin: Tensor, keys: frozenset[str] = frozenset({OF_X})) -> None:
        """Remember what ``ids`` was made of; relevance of an id goes to the same place of ``origin``."""
        self.any = True
        self._origins.put(ids, (ids._version, Origin(origin, keys)))

    def before_write(self, target: Tensor) -> None:
        """Is told of a tensor that is about to be written to."""
        self._before_write = target, self._known(target)

    def _known(self, ids: object) -> Origin | None:
        """What a tensor was made of; None if that is nothing of the input, or no longer known."""
        found = self._origins.get(ids)
        return found[1] if found is not None and isinstance(ids, Tensor) and found[0] == ids._version else None

    def _given_to(self, value: Tensor, written: Tensor | None) -> Origin | None:
        """What an argument of an operation that has just run was made of, before the operation wrote to it."""
        if written is not None and value is written and self._before_write is not None and self._before_write[0] is written:
            return self._before_write[1]
        return self._known(value)

    def origin_of(self, ids: object) -> Tensor | None:
        """What a tensor was made of, by which rows of a table are about to be picked out; or None.

        Raises:
            InputError: if that is not whole numbers, or the ids were written to so that it is not known any more.
        """
        found = self._known(ids)
        if found is None:
            if self._origins.get(ids) is not None:
                raise InputError(
                    "the model reads an embedding by token ids that were written to in place, through another tensor over the same memory, "
                    f"in {place_of_call()}: write that out of place"
                )
            return None
        self.were_read |= found.keys - {OF_X}
        if not found.is_given:
            self.as_whole_numbers(found.values)
        return found.values

    def values_of(self, ids: object) -> Tensor | None:
        """What a tensor was made of, whatever comes of it; or None."""
        found = self._known(ids)
        return None if found is None else found.values

    def is_made_of_x(self, ids: object) -> bool:
        """Whether a tensor was made of floating-point numbers of the input, in whatever way that is known."""
        if not self.any:
            return False
        return any(found is not None and OF_X in found.keys for found in (self._known(ids), self._mixed.get(ids)))

    def as_whole_numbers(self, values: Tensor) -> Tensor:
        """Token ids as integers.

        Raises:
            InputError: if they are not whole.
        """
        values = values.detach()
        if not torch.equal(values, values.round()):
            raise InputError("the model looks its input up in an embedding, so x must hold whole numbers (token ids)")
        exact = 2 / torch.finfo(values.dtype).eps if values.is_floating_point() else float("inf")
        if values.numel() and float(values.abs().max()) > exact:
            raise InputError(
                f"the model looks its input up in an embedding, and x holds token ids beyond {exact:.0f}, which {values.dtype} may have "
                "rounded; give them as integers"
            )
        return values.long()

    def mixed_by(self, ids: object) -> tuple[str, str] | None:
        """The operation, and its place, that computed integers from ids not place by place: an embedding of them has no way back.

        What was computed from given integers may be positions, counted by a mask, and is none; see ``were_mixed``.
        """
        mixed = self._mixed.get(ids)
        if mixed is None:
            return None
        self.were_mixed.update(dict.fromkeys(mixed.keys - {OF_X}, mixed))
        return mixed[:2] if OF_X in mixed.keys else None

    def looked_up(self, call: Call, result: object) -> Tensor | None:
        """What the ids were made of by which rows of a table were picked out, if that is what ``call`` did; else None."""
        index = self._index_of_rows(call, result)
        if index is None:
            return None
        self.mixed_by(index)
        return None if self._origins.get(index) is None else self.origin_of(index)

    def _index_of_rows(self, call: Call, result: object) -> object:
        """The indices by which rows of a table are picked out, if that is what ``call`` does."""
        if call.func not in _LOOKUPS or not isinstance(result, Tensor) or not result.is_floating_point() or result.requires_grad:
            return None
        names = () if call.func is _GETITEM else ("input", "dim", "index")
        along, index = (0, *call.with_arguments(names).rest)[-2:]
        if isinstance(index, tuple) and all(item == slice(None) for item in index[1:]):
            index = index[0]
        return index if along == 0 else None

    def rows_of(self, call: Call, result: Tensor) -> Tensor | None:
        """Rows that ``call`` picked out of a table by given ids, or those that take their place; None if that is not what it did."""
        index = self._index_of_rows(call, result)
        return None if index is None or self._origins.get(index) is None else self.exchanged(index, result)

    def exchanged(self, ids: object, rows: Tensor) -> Tensor:
        """Rows of a table that were picked out by given ids, or those that take their place."""
        self.mixed_by(ids)
        if self._origins.get(ids) is None:
            return rows
        self.origin_of(ids)
        found = self._known(ids)
        return rows if self.rows is None or found is None or not found.is_given else self.rows.instead(rows, found)

    def follow(self, call: Call, result: object, moves: bool, by_shape: bool = False) -> bool:
        """Carry the notes over an operation; False if one of floating-point numbers of the input was lost.

        An operation that only moves values moves what they were made of; one that keeps shape and integers (an offset) keeps
        it; comparisons make masks, which count as constants. What mixes them is marked, in case an embedding follows.

        Args:
            call, result: the operation.
            moves: it only moves values.
            by_shape: all tensors but the first give no more than a shape or a type.
        """
        given = tensors_in(call.x if by_shape else (call.args, call.kwargs))
        written = call.written()
        found = {id(value): origin for value in given if (origin := self._given_to(value, written)) is not None}
        mixed = [by for value in given if (by := self._mixed.get(value)) is not None]
        if not found and not mixed:
            return True
        origins = list(found.values())
        keys = frozenset[str]().union(*(origin.keys for origin in origins), *(by.keys for by in mixed))
        if call.func is _SETITEM and not mixed and isinstance(call.x, Tensor) and not call.x.is_floating_point():
            self._write(call, found, keys)
            return True
        if written is not None and written._base is not None and id(written) not in found:
            self._mix(call, written._base, mixed, keys)  # a part of other integers becomes ids
        results = [value for value in tensors_in(result) if not value.requires_grad and value.dtype != torch.bool]
        picks = call.func in _PICKING
        if moves and origins and not mixed and not (picks and id(call.x) not in found):
            self._move(call, results, found, keys, picks)
            return True
        if (picks and any(value.is_floating_point() for value in results)) or call.func is F.one_hot:
            self.were_mixed.update(dict.fromkeys(keys - {OF_X}, Mixed(*_named(call), keys)))
        if OF_X in keys and any(value.is_floating_point() for value in results):
            return False
        for ids in results:
            is_like = len(found) == 1 and not mixed and ids.shape == origins[0].values.shape and not ids.is_floating_point()
            if is_like and _is_place_by_place(call, next(iter(found))):
                self.note(ids, *origins[0])
            else:
                self._mix(call, ids, mixed, keys)
        return True

    def _mix(self, call: Call, result: Tensor, mixed: list[Mixed], keys: frozenset[str]) -> None:
        first = mixed[0][:2] if mixed else _named(call)
        self._mixed.put(result, Mixed(*first, keys))

    def _move(self, call: Call, results: list[Tensor], found: dict[int, Origin], keys: frozenset[str], picks: bool) -> None:
        """Carry the notes over an operation that only moves values; one in place works on a copy of what they were made of."""
        is_written = call.written() is not None
        with torch.enable_grad():
            origins = {key: origin.values.clone() if is_written else origin.values for key, origin in found.items()}
        values = self._moved(call, origins, picks)
        for place, ids in enumerate(results):
            moved = values[place] if len(values) == len(results) else None
            origin = next(iter(origins.values()))
            is_same = len(origins) == 1 and moved is not None and moved.shape == origin.shape and len(results) == 1
            if is_same and moved is not None and (moved.dtype != origin.dtype or not moved.requires_grad):
                self.note(ids, origin, keys)  # of another type, or detached
            elif moved is not None and moved.is_floating_point() and moved.requires_grad == origin.requires_grad:
                self.note(ids, moved, keys)
            else:  # indices, or what is cut off
                self._mix(call, ids, [], keys)

    @staticmethod
    def _moved(call: Call, origins: dict[int, Tensor], picks: bool) -> list[Tensor]:
        """What a call moves of what its arguments were made of; nothing where it takes no floating-point numbers."""
        others = dict(origins)
        if isinstance(call.x, Tensor) and id(call.x) not in origins and not call.x.is_floating_point():
            others[id(call.x)] = call.x.to(next(iter(origins.values())).dtype)  # a copy, into which ids are written
        for replaced in (others,) if call.written() is not None else (origins, others):
            with suppress(RuntimeError, TypeError, IndexError), torch.enable_grad():  # an index, which no floating-point number can be
                if picks:
                    return tensors_in(call.run(origins[id(call.x)]))
                return tensors_in(call.func(*_replaced(call.args, replaced), **_replaced(_without_out(call), replaced)))
        return []

    def _write(self, call: Call, found: dict[int, Origin], keys: frozenset[str]) -> None:
        """Carry the notes over a write of ids to a part of a tensor, such as one that shifts them by a place."""
        target, index, value = call.args
        of_target = found.get(id(target))
        like = next(iter(found.values())).values
        with torch.enable_grad():
            written = (target.to(like.dtype) if of_target is None else of_target.values).clone()
            written[index] = _replaced(value, {key: origin.values for key, origin in found.items()})
        self.note(target, written, keys)


def _named(call: Call) -> tuple[str, str]:
    """An operation and its place, for people."""
    return getattr(call.func, "__name__", repr(call.func)), str(place_of_call())


def _without_out(call: Call) -> Keywords:
    """The keyword arguments of a call but where its result goes: what is computed again must not be written there."""
    return {name: value for name, value in call.kwargs.items() if name != "out"}


def _is_place_by_place(call: Call, ids: int) -> bool:
    """Whether each integer was computed from the one at its place alone: tried by changing the others.

    Args:
        call: the operation, whose result is one tensor in the shape of the ids.
        ids: its argument, by ``id``.
    """
    if call.func in MAY_DRAW:
        return False
    tensor = next(value for value in tensors_in((call.args, call.kwargs)) if id(value) == ids)
    kwargs = _without_out(call)
    written = call.x if isinstance(call.x, Tensor) and call.written() is call.x else None
    half = ((torch.arange(tensor.numel(), device=tensor.device) % 2) == 0).view(tensor.shape)

    def result(given: Tensor) -> Tensor:
        values = {ids: given} if written is None else {id(written): written.clone(), ids: given.clone()}  # which the call may write to
        found: Tensor = call.func(*_replaced(call.args, values), **_replaced(kwargs, values))
        return found

    for changed in (half, ~half):
        for other in (tensor + 1, tensor - 1, tensor.min().expand_as(tensor), tensor.max().expand_as(tensor)):
            with suppress(IndexError, RuntimeError):  # it is beyond a table
                if not torch.equal(result(tensor.clone())[~changed], result(torch.where(changed, other, tensor))[~changed]):
                    return False
    return True


def _replaced(value: Any, origins: Mapping[int, Tensor]) -> Any:
    """A nest of arguments with each noted tensor replaced by what it was made of."""
    if isinstance(value, Tensor):
        return origins.get(id(value), value)
    if isinstance(value, dict):
        return {key: _replaced(item, origins) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_replaced(item, origins) for item in value)
    return value
