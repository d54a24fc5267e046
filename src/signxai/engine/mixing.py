"""Whether a network mixes the samples of a batch: whether what it makes of one depends on those beside it.

A sample that is run alone has the logits that it had in its batch, up to rounding, which other sizes of batches round otherwise. Where
they differ by more, that may still be rounding: of a network that cancels, or that decides by values. So it is run in a batch of the same
size again, beside copies of itself: there nothing is rounded otherwise, and a network that does not mix gives what it gave.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from signxai.common.errors import ForwardError, ModelError
from signxai.engine.joint_inputs import OtherRowsError

RunRows: TypeAlias = Callable[[Sequence[int], float], Tensor]
"""From rows of a batch, and a number by which their values are multiplied, to the logits of a batch of these rows alone."""

_COARSE = 0.05
"""Relative to the largest logit: so much no rounding changes, with numbers of ten bits neither."""

_NUDGES = (4e-3, -4e-3, 1e-3, -1e-3)

_NOT_FINITE = torch.tensor(torch.nan)


class MixedSamplesError(ModelError):
    """The network mixes the samples of a batch of several."""

    def __init__(self) -> None:
        super().__init__(
            "the model mixes the samples of a batch: its output for one depends on the others, so no sample has a map of its own; give one "
            "sample at a time, or batch_size=1"
        )


def mixes(run: RunRows, points: Tensor, logits: Tensor | None = None, by_place: bool = False, most: int = 1) -> bool:
    """Whether the network mixes the rows of a batch, as far as some of them show.

    Args:
        run: runs some of them.
        points: all rows (n, ...).
        logits: those of the whole batch, if somebody has them.
        by_place: a network whose output depends on the place of a row, whatever the others are, counts as well.
        most: how many rows are looked at; of a batch of three or fewer, all are.
    """
    count = len(points)
    if logits is None or len(logits) != count:
        logits = _logits(run, range(count))
    return any(
        _differ(_row(logits, row), _logits(run, [row])) and _is_confirmed(run, count, row, by_place) for row in _telling(points, most)
    )


def _telling(points: Tensor, most: int) -> Sequence[int]:
    """Rows that show what others do to them.

    None at an end, where a sum of all so far begins or a path is zero; the middle, which is the mean of a path, last of all; none with the
    largest or least value, by which a network may divide.
    """
    count, flat = len(points), points.reshape(len(points), -1)
    if count <= 3:
        return range(count)
    extreme = {int(flat.amax(1).argmax()), int(flat.amin(1).argmin())}
    inner = [2 * count // 3, count // 3, *range(count - 2, 0, -1)]
    return [row for row in dict.fromkeys(inner) if row not in extreme][:most] or inner[:most]


def _is_confirmed(run: RunRows, count: int, row: int, by_place: bool) -> bool:
    """Whether it is by other rows, or the number of them, that a row's logits differ from those that it has alone."""
    among, copies, alone = _logits(run, range(count)), _logits(run, [row] * count), _logits(run, [row])
    if _differ(_row(among, row), _row(_logits(run, range(count)), row)):
        return False  # a network that changes from one run to the next
    if _differ(_row(among, row), _row(copies, row)) or (by_place and _differ(_row(copies, 0), _row(copies, row))):
        return True
    first = _row(copies, 0)
    return _differ(alone, first, _COARSE) and not _is_rounding(run, row, alone, first)


def _is_rounding(run: RunRows, row: int, alone: Tensor | None, other: Tensor | None) -> bool:
    """Whether a slight change of the values makes about as much of a difference."""
    if alone is None or other is None or alone.shape != other.shape:
        return False
    distance = float((alone - other).abs().max())
    precision = torch.finfo(alone.dtype).eps
    nudged = (_logits(run, [row], 1 + nudge) for nudge in (4 * precision, -4 * precision, *_NUDGES))
    return any(one is None or one.shape != alone.shape or not float((one - alone).abs().max()) < distance / 2 for one in nudged)


def _logits(run: RunRows, rows: Sequence[int], factor: float = 1.0) -> Tensor | None:
    """The logits of some rows; not a number where they are not finite, and None where the network does not take so few."""
    try:
        with torch.no_grad():
            return run(rows, factor).detach()
    except (ForwardError, OtherRowsError):  # ``squeeze()`` without an axis; lengths of all samples
        return None
    except ModelError:
        return _NOT_FINITE


def _row(logits: Tensor | None, row: int) -> Tensor | None:
    return logits if logits is None or not logits.ndim else logits[row : row + 1]


def _differ(a: Tensor | None, b: Tensor | None, at_least: float = 0.0) -> bool:
    """Whether logits differ by more than rounding, as far as one can tell."""
    if a is None or b is None:
        return False
    if a.shape != b.shape or not a.ndim:
        return a.shape != b.shape
    tolerance = max(at_least, torch.finfo(a.dtype).eps ** 0.5 * (8 if at_least else 1))
    a, b = a.detach(), b.detach()
    return bool((a - b).abs().max() > tolerance * torch.maximum(a.abs().max(), b.abs().max()))


class UnmixedModels:
    """The models of which it is known that they do not mix samples, as long as they live."""

    def __init__(self) -> None:
        self._known: dict[int, weakref.ref[nn.Module]] = {}

    def add(self, model: nn.Module) -> None:
        """Take note of one."""
        key, known = id(model), self._known
        known[key] = weakref.ref(model, lambda _: known.pop(key, None))

    def __contains__(self, model: object) -> bool:
        found = self._known.get(id(model))
        return found is not None and found() is model


UNMIXED = UnmixedModels()
