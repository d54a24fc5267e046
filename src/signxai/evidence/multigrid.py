"""Linear systems on grids in which each removed place is the weighted mean of its neighbours, solved by multigrid.

Let m be 1 at the removed places of a grid and 0 at the kept ones, and W e the sum of each place's neighbours, each times its weight. The
values e of the removed places solve A e = m W (1 - m) x, with A e = m ((W m + k) e - W e) and k = W (1 - m): they are drawn to each other,
and by k to the kept ones. Of cells of two places along each axis the same is asked on a coarser grid, where m is 1 for the cells with a
removed place and k the sum over the cell, and so on: one cycle down to the coarsest grid and back takes away what is wrong at all lengths
alike (Trottenberg, Oosterlee, Schueller: Multigrid, 2001, chapters 2 and 5). It is the preconditioner of conjugate gradients, in single
precision; their result is refined by residuals in double precision, until what is left is enough of one for single precision to tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.evidence.exchange import where_removed

__all__ = ["filled_in"]

_MOST_VALUES = 1 << 19
"""That are solved for at once: more than the caches hold takes longer."""

_DAMPING = 0.8
"""Of Jacobi's steps, as it is best for such weights."""

_COARSEST = 64
"""Places of a grid that is solved at once."""

_TINY = 1e-30
"""Less than any sum of weights, or product of residuals, that is not 0."""

_PART, _MOST_STEPS, _MOST_ROUNDS = 1e-5, 60, 12
"""The least part of a residual that single precision tells, the most steps of a round of conjugate gradients, and the most rounds."""

_SURE = 1e-3
"""The least part of which conjugate gradients themselves say well enough how much is left: they are wrong by some 1e-6."""


def filled_in(values: Tensor, removed: Tensor, tolerance: float) -> Tensor:
    """Grids whose removed places are the weighted means of their neighbours, those outside left out.

    Args:
        values: (n, k, ...) in double precision, k of them on each grid.
        removed: True where places are, (n, 1, ...): some of each grid, and not all.
        tolerance: what may be left of the residual, relative to what the kept places give.
    """
    step = max(1, _MOST_VALUES // values[0].numel())
    parts = zip(torch.split(values, step), torch.split(removed, step), strict=True)
    return torch.cat([where_removed(gone, _solution(x, gone.double(), tolerance), x) for x, gone in parts])


def _solution(x: Tensor, m: Tensor, tolerance: float) -> Tensor:
    """Refined in double precision; each round begins with residuals of size 1, so that single precision holds them."""
    fine, grids = _Grid.of(m), list(_grids(m.float()))
    inverse = grids[-1].inverse()
    residual = right = m * neighbour_sums((1 - m) * x)
    sizes = _sizes(right)
    solution, allowed = torch.zeros_like(x), tolerance * sizes
    for _ in range(_MOST_ROUNDS):
        if bool((sizes <= allowed).all()):
            break
        scale = torch.where(sizes > allowed, sizes, torch.inf)  # what is solved stays as it is, whatever the rest of the batch does
        enough = allowed / scale
        found, is_reached = _correction(grids, inverse, (residual / scale).float(), enough.clamp(min=_PART))
        solution = solution.addcmul_(scale.nan_to_num(posinf=0.0), found.double())
        if is_reached and bool(((enough >= _SURE) | (sizes <= allowed)).all()):
            break
        residual = right - fine.times(solution)
        sizes = _sizes(residual)
    return solution


def _correction(grids: list[_Grid], inverse: Tensor, residual: Tensor, enough: Tensor) -> tuple[Tensor, bool]:
    """What solves the system for a residual up to a part of it (n, k, ...) that is enough, by conjugate gradients; whether it does."""
    fine, solution, direction = grids[0], torch.zeros_like(residual), torch.zeros_like(residual)
    before = torch.ones_like(enough, dtype=residual.dtype)
    for _ in range(_MOST_STEPS):
        found = _cycle(grids, inverse, residual)
        along = _products(residual, found)
        direction = found.addcmul_(direction, along / before)
        image = fine.times(direction)
        length = along / _products(direction, image).clamp(min=_TINY)
        solution.addcmul_(direction, length)
        before = along.clamp(min=_TINY)
        residual.addcmul_(image, length, value=-1)
        if bool((_sizes(residual) <= enough).all()):
            return solution, True
    return solution, False


@dataclass(frozen=True)
class _Grid:
    """A system.

    Attributes:
        m: 1 at the places that are solved for, and 0 elsewhere.
        diagonal: W m + k there.
        damped: the damping over the diagonal there, and 0 elsewhere.
    """

    m: Tensor
    diagonal: Tensor
    damped: Tensor

    @classmethod
    def of(cls, m: Tensor, k: Tensor | None = None) -> _Grid:
        diagonal = m * neighbour_sums(torch.ones_like(m) if k is None else m) + (0 if k is None else k)
        return cls(m, diagonal, _DAMPING * m / diagonal.clamp(min=_TINY))

    def times(self, e: Tensor) -> Tensor:
        """A e, of e that is 0 where m is."""
        return (self.diagonal * e).addcmul_(self.m, neighbour_sums(e), value=-1)

    def smoothed(self, e: Tensor, first: Tensor) -> Tensor:
        """One step of Jacobi, e + damped (right - A e), in the place of the first one, damped right."""
        return first.addcmul_(self.damped, neighbour_sums(e)).add_(e, alpha=1 - _DAMPING)

    def rest(self, e: Tensor, right: Tensor) -> Tensor:
        """right - A e, of the first step of Jacobi e = damped right."""
        return neighbour_sums(e).mul_(self.m).add_(right, alpha=1 - _DAMPING)

    def inverse(self) -> Tensor:
        """Of A, as a matrix (n, places, places), 0 where m is."""
        places = self.m[0].numel()
        unit = torch.eye(places).to(self.m).reshape(1, places, *self.m.shape[2:])
        matrix = self.times(self.m * unit) + (1 - self.m) * unit
        inverse: Tensor = torch.linalg.inv(matrix.flatten(2))
        return inverse * self.m.flatten(2)


def _grids(m: Tensor) -> Iterator[_Grid]:
    """From the finest to the coarsest."""
    k = m * neighbour_sums(1 - m)
    yield _Grid.of(m, k)
    while m[0].numel() > _COARSEST:
        m, k = _cell_sums(m).clamp(max=1), _cell_sums(k)
        yield _Grid.of(m, k)


def _cycle(grids: list[_Grid], inverse: Tensor, right: Tensor) -> Tensor:
    """One cycle through the grids from the first of them on: about what solves the system."""
    own, *coarser = grids
    if not coarser:
        return (right.flatten(2) @ inverse).reshape(right.shape)
    first = own.damped * right
    below = _cycle(coarser, inverse, _cell_sums(own.rest(first, right)))
    return own.smoothed(_with_cells(first, own.m, below), first)


# --- operations on grids (n, k, ...) -----------------------------------------------------------------------------------------


def neighbour_sums(e: Tensor) -> Tensor:
    """The sum of each place's neighbours, diagonal ones too, each times one over its squared distance; outside there are none.

    >>> neighbour_sums(torch.ones(1, 1, 2, 3))
    tensor([[[[2.5000, 4.0000, 2.5000],
              [2.5000, 4.0000, 2.5000]]]])
    """
    last = e.ndim - 1
    away = [e]  # the sums over the neighbours that are one step away along none, one, ... of the axes so far
    for axis in range(2, last):
        away.append(_both_sides(away[-1], axis))
        for steps in range(len(away) - 2, 0, -1):
            _with_both_sides(away[steps], away[steps - 1], axis)
    beside = e
    for steps, one in enumerate(away[1:], 2):
        beside = torch.add(beside, one, alpha=1 / steps)
    if last == 2:
        return _both_sides(e, last)
    here = away[1]
    for steps, one in enumerate(away[2:], 2):
        here = torch.add(here, one, alpha=1 / steps)
    return _with_both_sides(here, beside, last)


def _both_sides(e: Tensor, axis: int) -> Tensor:
    """What stands before and behind along an axis, added; written once, instead of to zeros."""
    size = e.shape[axis]
    if size == 1:
        return torch.zeros_like(e)
    sums = torch.empty_like(e)
    torch.add(e.narrow(axis, 0, size - 2), e.narrow(axis, 2, size - 2), out=sums.narrow(axis, 1, size - 2))
    sums.select(axis, 0).copy_(e.select(axis, 1))
    sums.select(axis, size - 1).copy_(e.select(axis, size - 2))
    return sums


def _with_both_sides(to: Tensor, e: Tensor, axis: int) -> Tensor:
    """With what stands before and behind along an axis added, in place."""
    size = e.shape[axis] - 1
    to.narrow(axis, 1, size).add_(e.narrow(axis, 0, size))
    to.narrow(axis, 0, size).add_(e.narrow(axis, 1, size))
    return to


def _cell_sums(e: Tensor) -> Tensor:
    """The sums over cells of two places along each axis; at the far edges of what is left."""
    for axis in range(2, e.ndim):
        if e.shape[axis] % 2:
            e = F.pad(e, [0, 0] * (e.ndim - 1 - axis) + [0, 1])
        first, second = e.reshape(*e.shape[:axis], -1, 2, *e.shape[axis + 1 :]).unbind(axis + 1)
        e = first + second
    return e


def _with_cells(e: Tensor, m: Tensor, cells: Tensor) -> Tensor:
    """e + m times the value of each place's cell."""
    last = e.ndim - 1
    for axis in range(3, last):
        cells = cells.repeat_interleave(2, axis).narrow(axis, 0, e.shape[axis])
    cells = _twice(cells).narrow(last, 0, e.shape[last])
    if last == 2:
        return torch.addcmul(e, m, cells)
    if e.shape[2] % 2:
        return torch.addcmul(e, m, cells.repeat_interleave(2, 2).narrow(2, 0, e.shape[2]))
    pairs, of_pairs = (one.reshape(*one.shape[:2], -1, 2, *one.shape[3:]) for one in (e, m))
    return torch.addcmul(pairs, of_pairs, cells.unsqueeze(3)).flatten(2, 3)  # both rows of a cell read its values where they lie


def _twice(cells: Tensor) -> Tensor:
    """Each value twice along the last axis; written as one complex number, which takes a quarter of the time of two numbers."""
    return torch.view_as_real(torch.complex(cells, cells)).flatten(-2)


def _products(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=tuple(range(2, a.ndim)), keepdim=True)


def _sizes(e: Tensor) -> Tensor:
    return _products(e, e).sqrt()
