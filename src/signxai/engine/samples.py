"""Which values of a layer's input belong to which sample, for rules that look at a whole sample."""

from __future__ import annotations

from enum import Enum, auto
from typing import TypeAlias

import torch
from torch import Tensor

from signxai.common.errors import ModelError


class AmbiguousSamplesError(ModelError):
    """Several samples went in, and nothing tells which values of a layer's input belong to which: each has to go in alone."""


class SampleAxis:
    """The axis of a tensor along which each place is one sample's: that of the batch, or one that the batch was merged into.

    Attributes:
        axis: which one, from the first.
        samples: of each place, the number of its sample (places,).
        is_batch: whether no two places are of one sample.
        count: how many samples there are.
        length: how many places.
    """

    __slots__ = ("axis", "count", "is_batch", "length", "samples")

    def __init__(self, axis: int, samples: Tensor, count: int | None = None) -> None:
        self.axis, self.samples = axis, samples
        self.count = len(torch.unique(samples)) if count is None else count
        self.length = samples.shape[0]
        self.is_batch = self.count == self.length

    @classmethod
    def of_batch(cls, x: Tensor) -> SampleAxis:
        """That of a network's input (N, ...)."""
        return cls(0, torch.arange(len(x), device=x.device), len(x))

    def at(self, axis: int) -> SampleAxis:
        """The same along another axis."""
        return self if axis == self.axis else SampleAxis(axis, self.samples, self.count)

    def is_same_as(self, other: SampleAxis) -> bool:
        """Whether the places along another axis belong to the same samples."""
        return self.samples is other.samples or (self.length == other.length and torch.equal(self.samples, other.samples))

    def order(self) -> Tensor | None:
        """The places, those of one sample behind each other; None where samples have different numbers of them."""
        order = self.samples.argsort(stable=True)
        rows = self.samples[order].view(self.count, -1) if len(order) % self.count == 0 else None
        return order if rows is not None and bool((rows == rows[:, :1]).all()) else None


class SampleLayout(Enum):
    """Where the samples are, where that takes no axis to say."""

    ONE = auto()
    EACH_ROW = auto()
    UNKNOWN = auto()


Places: TypeAlias = "SampleAxis | SampleLayout"


class SamplesOf:
    """The samples in a layer's input.

    Args:
        x: the input.
        places: where they are.

    Raises:
        AmbiguousSamplesError: if that is unknown.
    """

    def __init__(self, x: Tensor, places: Places) -> None:
        is_merged = isinstance(places, SampleAxis) and not places.is_batch
        self._order = places.order() if is_merged and isinstance(places, SampleAxis) else None
        if places is SampleLayout.UNKNOWN or (is_merged and self._order is None):
            raise AmbiguousSamplesError(
                f"nothing tells which values of a layer's input of shape {tuple(x.shape)} belong to which sample, and the rule looks at "
                "each sample as a whole; set batch_size=1"
            )
        self.x, self.places = x, places

    def flat(self) -> Tensor:
        """The values of each sample (samples, values)."""
        if isinstance(self.places, SampleLayout):
            return self.x.flatten(1) if self.places is SampleLayout.EACH_ROW else self.x.reshape(1, -1)
        rows = self.x.movedim(self.places.axis, 0) if self.places.axis else self.x
        if self._order is None:
            return rows.flatten(1)
        return rows.index_select(0, self._order).reshape(self.places.count, -1)

    def spread(self, of_samples: Tensor, axes: int) -> Tensor:
        """What each sample has (samples,), as it broadcasts to a tensor of so many axes laid out like ``x``."""
        if isinstance(self.places, SampleLayout):
            return of_samples.view(-1, *(1,) * (axes - 1))
        if self._order is not None:
            of_samples = of_samples.index_select(0, torch.unique(self.places.samples, return_inverse=True)[1])
        return of_samples.view(*(1,) * self.places.axis, -1, *(1,) * (axes - 1 - self.places.axis))
