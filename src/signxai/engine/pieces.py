"""Tensors that were made of another one value by value, in pieces that meet at 0: a sum of such is one more.

``relu(x) - slope * relu(-x)`` is a leaky ReLU of ``x``, however its halves were written, moved and put together. What is
remembered of a tensor is how to make it again of other values of ``x``; that is done, with values that tell places and
signs apart, for the few sums where it decides.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.graph import BeforeWrite
from signxai.engine.moves import Move, Moves
from signxai.engine.notes import FreshNotes

Compute: TypeAlias = Callable[[list[Tensor]], Tensor]

MAX_DEPTH = 16
"""How many steps are remembered in a row."""


class UnknownPieceError(Exception):
    """How a tensor was made is not known any more: a constant that it was made with has been written to."""


class Piece:
    """One tensor: what it was made of, and how.

    Args:
        tensor: the tensor, which is not kept alive.
        parents: what it was made of.
        compute: from their values to its own, which multiples of them multiply alike; None: it stands for itself.
        bends: whether it has another slope on either side of 0.
        moves: what it did to the places of its one parent.
        joins: whether it put its parents beside one another.
        relus: how many ReLUs it carried out.
    """

    __slots__ = ("_stand_in", "_tensor", "_version", "bends", "compute", "depth", "is_bent", "joins", "moves", "parents", "relus")

    def __init__(
        self,
        tensor: Tensor,
        parents: Sequence[Piece] = (),
        compute: Compute | None = None,
        bends: bool = False,
        moves: Sequence[Move] = (),
        joins: bool = False,
        relus: int = 0,
    ) -> None:
        self._tensor, self._version = weakref.ref(tensor), tensor._version
        self._stand_in: Tensor | None = None
        self.parents, self.compute = tuple(parents), compute
        self.bends, self.moves, self.joins, self.relus = bends, moves, joins, relus
        self.is_bent: bool = bends or any(parent.is_bent for parent in parents)
        self.depth: int = 1 + max((parent.depth for parent in parents), default=0)

    def tensor(self) -> Tensor | None:
        """The tensor, or what stands for it in the graph if it has been written to; None if it is no more."""
        tensor = self._tensor()
        return tensor if tensor is not None and tensor._version == self._version else self._stand_in

    def is_about_to_be_written(self, tensor: Tensor) -> None:
        """Keep its place in the graph, which the tensor itself is about to leave."""
        if self._stand_in is None:
            self._stand_in = BeforeWrite.apply(tensor)

    @torch.no_grad()
    def values(self, root: Piece, given: Tensor) -> Tensor:
        """What it would be if ``root`` were ``given``."""
        memory = {root: given}
        for piece in _in_order(self, root):
            if piece not in memory:
                assert piece.compute is not None
                memory[piece] = piece.compute([memory[parent] for parent in piece.parents])
        return memory[self]


def _in_order(piece: Piece, root: Piece | None) -> list[Piece]:
    """All from a root, or from the first, to a piece, each behind its parents."""
    found: dict[Piece, None] = {}
    pending = [piece]
    while pending:
        one = pending.pop()
        if one not in found:
            found[one] = None
            pending.extend(one.parents if one is not root else ())
    return sorted(found, key=lambda one: one.depth)


def _moved_piece(tensor: Tensor, start: Piece, calls: Sequence[tuple[Call, int | None]]) -> Piece:
    moves = [Move(call, place) for call, place in calls]
    return Piece(tensor, [start], lambda values: reduce(lambda value, move: move(value), moves, values[0]), moves=moves)


class Moved(NamedTuple):
    """Moves in a row, as long as nobody asks for the piece that they make.

    Attributes:
        of: the tensor that was moved, which is not kept alive.
        version: how often that had been written to.
        calls: the moves in order, each without its input, and which of its results is meant.
    """

    of: weakref.ref[Tensor]
    version: int
    calls: tuple[tuple[Call, int | None], ...]


class Root(NamedTuple):
    """What several pieces are functions of, value by value.

    Attributes:
        piece: the tensor that they were made of.
        moves: what puts its values where those of the pieces are; None if they are there.
        ways: all that was made on the way to the pieces.
    """

    piece: Piece
    moves: Moves | None
    ways: Sequence[Piece]

    def tensor(self) -> Tensor:
        """The tensor, its values in their places; to be called where operations are followed."""
        tensor = self.piece.tensor()
        assert tensor is not None
        return tensor if self.moves is None else self.moves(tensor)

    def slopes(self, piece: Piece, sign: float) -> Tensor:
        """What one of the pieces multiplies values above 0 by, or below."""
        tensor = self.piece.tensor()
        assert tensor is not None
        return sign * piece.values(self.piece, torch.full_like(tensor, sign, requires_grad=False))

    def take_relus(self) -> int:
        """How many ReLUs were carried out on the way; none is counted twice."""
        total = sum(one.relus for one in self.ways)
        for one in self.ways:
            one.relus = 0
        return total


class Pieces:
    """The tensors of a forward pass that were made of others in pieces, as long as nobody writes to them."""

    def __init__(self) -> None:
        self._notes: FreshNotes[Piece] = FreshNotes()
        self._moved: FreshNotes[Moved] = FreshNotes()

    def known(self, tensor: object) -> Piece | None:
        """What is remembered of a tensor."""
        found = self._notes.get(tensor)
        return found if found is not None else self._of_moved(tensor)

    def put_moved(self, tensor: Tensor, start: Tensor, call: Call, place: int | None = None) -> None:
        """Remember that a call, here without its input, moved the values of one tensor to another."""
        if (piece := self._notes.get(start)) is not None:
            self._notes.put(tensor, _moved_piece(tensor, piece, ((call, place),)))
            return
        moved = self._moved.get(start)
        if moved is None:
            self._moved.put(tensor, Moved(weakref.ref(start), start._version, ((call, place),)))
        else:
            self._moved.put(tensor, moved._replace(calls=(*moved.calls, (call, place))))

    def _of_moved(self, tensor: object) -> Piece | None:
        """The piece that a move made; None if it made none, or what it moved is no more."""
        moved = self._moved.get(tensor)
        start = None if moved is None else moved.of()
        if moved is None or start is None or start._version != moved.version or not isinstance(tensor, Tensor):
            return None
        piece = _moved_piece(tensor, self.of(start), moved.calls)
        self._notes.put(tensor, piece)
        return piece

    def of(self, tensor: Tensor) -> Piece:
        """The same; a tensor that nothing is known of stands for itself."""
        found = self.known(tensor)
        if found is None or found.depth >= MAX_DEPTH:
            found = Piece(tensor)
            self._notes.put(tensor, found)
        return found

    def put(self, tensor: Tensor, piece: Piece) -> None:
        """Remember how a tensor was made."""
        self._notes.put(tensor, piece)

    def root(self, operands: Sequence[object]) -> Root | None:
        """What all of some tensors of one shape are functions of, value by value; at least one of them is bent."""
        pieces = [piece for operand in operands if (piece := self.known(operand)) is not None]
        if len(pieces) < len(operands) or not any(piece.is_bent for piece in pieces):
            return None
        try:
            return _first_root(pieces, operands[0])
        except UnknownPieceError:
            return None

    def root_along(self, tensor: Tensor, axis: int) -> Root | None:
        """What all values along an axis of a tensor are functions of, one value for all of them."""
        piece = self.known(tensor)
        if piece is None or not piece.is_bent:
            return None
        try:
            return _first_root_along(piece, axis)
        except UnknownPieceError:
            return None


def _first_root_along(piece: Piece, axis: int) -> Root | None:
    for candidate in _common([piece]):
        ways, start = _ways([piece], candidate), candidate.tensor()
        if start is None or not _bends(ways) or not any(one.joins for one in ways) or not all(one.parents for one in ways):
            continue
        if (places := _places(candidate, start, [piece], axis)) is not None:
            return Root(candidate, None, ways) if _are_in_place(places, start) else None
    return None


def _first_root(pieces: Sequence[Piece], operand: object) -> Root | None:
    for candidate in _common(pieces):
        tensor = candidate.tensor()
        found = None if tensor is None else _root(candidate, tensor, pieces, operand)
        if found is not None:
            return found
    return None


def _common(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """What all of some pieces were made of, the nearest first."""
    found = [set(_in_order(piece, None)) for piece in pieces]
    return iter(sorted(set.intersection(*found), key=lambda piece: -piece.depth))


def _root(candidate: Piece, tensor: Tensor, pieces: Sequence[Piece], operand: object) -> Root | None:
    """A tensor as what pieces are functions of, if they are."""
    ways = _ways(pieces, candidate)
    if not _bends(ways) or not all(one.parents for one in ways):
        return None
    assert isinstance(operand, Tensor)
    if not any(one.joins or one.moves for one in ways):
        return Root(candidate, None, ways) if operand.shape == tensor.shape else None
    places = _places(candidate, tensor, pieces)
    if places is None or places.shape != operand.shape:
        return None
    if _are_in_place(places, tensor):
        return Root(candidate, None, ways)
    moves = _moves(candidate, tensor.shape, pieces[0])
    is_moved = moves is not None and torch.equal(moves(_numbered(tensor)), places)
    return Root(candidate, moves, ways) if is_moved else None


def _ways(pieces: Sequence[Piece], root: Piece) -> list[Piece]:
    """All that was made on the way from a root to pieces."""
    return list({one: None for piece in pieces for one in _in_order(piece, root) if one is not root})


def _bends(pieces: Sequence[Piece]) -> bool:
    return any(piece.bends for piece in pieces)


def _numbered(tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.device.type == "mps" else torch.float64
    return torch.arange(tensor.numel(), dtype=dtype, device=tensor.device).view(tensor.shape)


def _are_in_place(places: Tensor, tensor: Tensor) -> bool:
    return places.shape == tensor.shape and torch.equal(places, _numbered(tensor))


def _places(root: Piece, tensor: Tensor, pieces: Sequence[Piece], axis: int | None = None) -> Tensor | None:
    """Which value of a root stands where in pieces, or along an axis of one; None if it is not one for all of them, or none."""
    numbers = _numbered(tensor)
    found = numbers.new_full((), -1.0)
    for sign in (1.0, -1.0):
        for piece in pieces:
            one = piece.values(root, torch.full_like(numbers, sign))
            places = (piece.values(root, sign * (1 + numbers)) / one - 1).round().masked_fill(one == 0, -1.0)
            for part in [places] if axis is None else places.unbind(axis):
                if bool(((part != found) & (part >= 0) & (found >= 0)).any()):
                    return None
                found = torch.maximum(part, found)
    return found if bool((found >= 0).all()) else None


def _moves(root: Piece, shape: torch.Size, piece: Piece) -> Moves | None:
    """The moves on the way from a root to a piece, if that is one way."""
    found: list[Move] = []
    while piece is not root:
        if piece.joins or not piece.parents:
            return None
        found += reversed(piece.moves)
        piece = piece.parents[0]
    return Moves(shape, tuple(reversed(found)))
