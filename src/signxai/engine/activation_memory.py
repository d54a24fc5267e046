"""How large a batch may be: the memory of its activations, and what is quick on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from signxai.common.errors import SignxaiError
from signxai.engine.mode import GradientPass

ACTIVATION_BYTES = 1 << 30
"""About how much memory the activations of a batch may take."""

_QUICK_BYTES, _ROWS_PER_THREAD = 64 << 20, 5
"""On the CPU: small networks are fastest with as much memory of activations as is kept from pass to pass (see ``freed_memory``),
large ones with so many samples per thread."""

_LARGEST_ACTIVATION = 1 << 25
"""On the CPU: larger tensors get their memory from the system anew each time, which takes longer than a large batch saves."""


class TooLargeError(SignxaiError):
    """A batch's activations take more memory than they should."""


class MeasuringPass(GradientPass):
    """A pass for gradients that adds up the memory of the activations.

    Args:
        may_stop: raise TooLargeError as soon as they take more than ``ACTIVATION_BYTES``.
    """

    def __init__(self, may_stop: bool = False, is_quick: bool = False, has_runs: bool = True) -> None:
        super().__init__(is_quick, has_runs)
        self.may_stop = may_stop
        self.bytes = self.largest = 0
        self.on_cpu = True

    def __torch_function__(
        self, func: object, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        result = super().__torch_function__(func, types, args, kwargs)
        if isinstance(result, Tensor) and result._base is None:
            self.saves(result)
        return result

    def saves(self, tensor: Tensor) -> None:
        self.bytes += tensor.nbytes
        self.largest = max(self.largest, tensor.nbytes)
        self.on_cpu = tensor.is_cpu
        if self.may_stop and self.bytes > ACTIVATION_BYTES:
            raise TooLargeError("the activations of this batch take too much memory; set batch_size=")

    def most_samples(self) -> int:
        """How many samples a batch should have at most, 1 at least; 0 before anything is measured.

        On the CPU it is a multiple of the threads if it can be: they finish together.
        """
        if not self.samples:
            return 0
        most = ACTIVATION_BYTES * self.samples // max(1, self.bytes)
        if self.on_cpu:
            threads = torch.get_num_threads()
            quick = max(_QUICK_BYTES * self.samples // max(1, self.bytes), _ROWS_PER_THREAD * threads)
            most = min(most, quick, max(threads, _LARGEST_ACTIVATION * self.samples // max(1, self.largest)))
            most -= most % threads if most > threads else 0
        return max(1, most)
