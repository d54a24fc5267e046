"""Puts the relevance of batches, or of samples one by one, together to that of all samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from signxai.common.errors import ModelError
from signxai.engine.module_outputs import ValuesOf
from signxai.methods.batch import Batch


def joined(parts: list[Tensor] | tuple[Tensor, ...], axis: int = 0) -> Tensor:
    """The parts of a batch as one."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def joined_at(names: Sequence[str], parts: Sequence[Sequence[Tensor]], batch: Batch) -> list[Tensor]:
    """Relevance at each layer, from what each part of all samples has at them.

    Args:
        names: of the layers.
        parts: of each part of the samples, relevance at each layer.
        batch: one of the parts, on whose first sample the network is run again to see along which axis of an output samples are.

    Raises:
        ModelError: if there is no such axis, with one place for each sample.
    """
    if len(parts) == 1:
        return list(parts[0])
    axes = [_sample_axis(name, batch) for name in names]
    return [joined(at_layer, axis) for at_layer, axis in zip(zip(*parts, strict=True), axes, strict=True)]


def _sample_axis(name: str, batch: Batch) -> int:
    of_one, of_two = (_shape_at(name, batch, count) for count in (1, 2))
    axes = [axis for axis, sizes in enumerate(zip(of_one, of_two, strict=False)) if sizes[0] != sizes[1]]
    if len(of_one) != len(of_two) or len(axes) != 1 or of_one[axes[0]] != 1:
        raise ModelError(
            f"at={name!r}: the module's output has the shape {tuple(of_one)} for one sample and {tuple(of_two)} for two, not one row for "
            "each sample along one axis, so that relevance of several batches, or of samples one by one, cannot be put together there: "
            "give one sample, or leave batch_size= out"
        )
    return axes[0]


def _shape_at(name: str, batch: Batch, count: int) -> torch.Size:
    """The shape of a module's output for so many samples."""
    values = ValuesOf(batch.net, name)
    with values.watching:
        batch.run(torch.cat([batch.x[:1].detach()] * count).requires_grad_(True), None, [0] * count)
    return values.values().shape
