"""Which values of a layer's input belong to which sample, for rules that look at a whole sample."""

from __future__ import annotations

from enum import Enum, auto

from torch import Tensor

from signxai.common.errors import ModelError


class AmbiguousSamplesError(ModelError):
    """Several samples went in, and nothing tells which values of a layer's input belong to which: each has to go in alone."""


class SampleLayout(Enum):
    """Where the samples are in a layer's input."""

    EACH_ROW = auto()
    SECOND_AXIS = auto()
    ONE = auto()
    UNKNOWN = auto()


def sample_layout(x: Tensor, count: int, is_convolution: bool) -> SampleLayout:
    """Where the samples are in a layer's input, where its shape leaves no doubt.

    Args:
        x: the layer's input; of a convolution (N, C, ...), of a linear layer (..., features).
        count: how many samples the network was given; 0: as many as there are rows.
        is_convolution: which of both the layer is.
    """
    if count <= 1:
        return SampleLayout.ONE if count else SampleLayout.EACH_ROW
    further = () if is_convolution else x.shape[1:-1]
    if len(x) % count and further[:1] == (count,):
        return SampleLayout.SECOND_AXIS
    is_step = x.ndim == 2 and len(x) < count  # of packed sequences, of which some have ended
    is_sure = (len(x) == count and count not in further) or is_step
    return SampleLayout.EACH_ROW if is_sure and not (x.ndim == 2 and _are_chosen_rows(x)) else SampleLayout.UNKNOWN


def _are_chosen_rows(x: Tensor) -> bool:
    """Whether rows were picked out of more, as for the experts of a mixture: there may be as many as samples."""
    return type(x.grad_fn).__name__ in ("IndexBackward0", "IndexSelectBackward0", "GatherBackward0")


class SamplesOf:
    """The samples in a layer's input.

    Args:
        x: the input.
        layout: where they are.

    Raises:
        AmbiguousSamplesError: if that is unknown.
    """

    def __init__(self, x: Tensor, layout: SampleLayout) -> None:
        if layout is SampleLayout.UNKNOWN:
            raise AmbiguousSamplesError(
                f"nothing tells which values of a layer's input of shape {tuple(x.shape)} belong to which sample, and the rule looks at "
                "each sample as a whole; set batch_size=1"
            )
        self.x, self.layout = x, layout

    def flat(self) -> Tensor:
        """The values of each sample (samples, values)."""
        if self.layout is SampleLayout.ONE:
            return self.x.reshape(1, self.x.numel())
        return (self.x.transpose(0, 1) if self.layout is SampleLayout.SECOND_AXIS else self.x).flatten(1)

    def spread(self, of_samples: Tensor, axes: int) -> Tensor:
        """What each sample has (samples,), as it broadcasts to a tensor of so many axes laid out like ``x``."""
        if self.layout is SampleLayout.SECOND_AXIS:
            return of_samples.view(1, -1, *(1,) * (axes - 2))
        return of_samples.view(-1, *(1,) * (axes - 1))
