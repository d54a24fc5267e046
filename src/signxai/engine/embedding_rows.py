"""The rows that embeddings read by token ids, in the place of these: taken down in one run, and carried back to the ids."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from signxai.common.errors import ForwardError, ModelError
from signxai.engine.joint_inputs import NOWHERE, JointInputs, Key, Reading, RowsSlot, in_rows
from signxai.engine.token_ids import GivenRows, RowsRead


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
    slots = [replace(slot, columns=next(columns) if slot.ids is None else NOWHERE) for slot in inputs.slots]
    rows_slots = [
        RowsSlot(tuple(rows.shape[1:]), next(columns), read.origin.keys, axis, rows, of_ids)
        for read, (axis, rows, of_ids) in zip(down.read, found, strict=True)
    ]
    joint = replace(inputs, slots=tuple(slots), rows=tuple(rows_slots))
    return ReadRows(joint, in_rows(parts) if parts else points[:, :0], leaves, tuple(down.read))


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
