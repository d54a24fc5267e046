"""Which values of a layer's input belong to which sample, for rules that look at a whole sample."""

from __future__ import annotations

from torch import Tensor


class SamplesOf:
    """The samples in a tensor: on its first axis, on its second (time first), or several rows of the first for each.

    Args:
        x: a layer's input.
        count: how many samples the network was given; None: as many as ``x`` has rows.
        may_be_second: whether samples may stand on the second axis, which in front of a convolution has the channels.
    """

    def __init__(self, x: Tensor, count: int | None, may_be_second: bool = True) -> None:
        self.x = x
        self.count = len(x) if count is None else count
        self.is_second = may_be_second and x.ndim > 2 and len(x) != self.count == x.shape[1]
        self.rows = 1 if self.is_second or self.count == 0 or len(x) % self.count else len(x) // self.count

    def flat(self) -> Tensor:
        """The values of each sample (samples, values); where rows cannot be told apart, each is one."""
        x = self.x.transpose(0, 1) if self.is_second else self.x
        return x.reshape(len(x) // self.rows, -1)

    def spread(self, of_samples: Tensor, axes: int) -> Tensor:
        """What each sample has (samples,), as it broadcasts to a tensor of so many axes laid out like ``x``."""
        if self.is_second:
            return of_samples.view(1, -1, *(1,) * (axes - 2))
        return of_samples.repeat_interleave(self.rows).view(-1, *(1,) * (axes - 1))
