"""Constant places of tensors on another device, beside numbers and scalars on the CPU: on torch's device that holds nothing."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.padding_steps import Carried, places_beside
from signxai.engine.zero_padding import ZeroPadding


class Watched:
    """A pass that follows nothing else."""

    def __init__(self) -> None:
        self.zero_padding = ZeroPadding()

    def is_of_samples(self, value: object) -> bool:
        return False


CALLS: dict[str, Callable[[Tensor, Tensor], Call]] = {
    "masked_fill": lambda x, mask: Call(Tensor.masked_fill, (x, mask, float("-inf")), {}),
    "where beside a number": lambda x, mask: Call(torch.where, (mask, x, 0.0), {}),
    "where beside a scalar": lambda x, mask: Call(torch.where, (mask, x, torch.zeros(())), {}),
    "a mask": lambda x, mask: Call(torch.mul, (x, mask), {}),
    "a number": lambda x, mask: Call(torch.mul, (x, 2.0), {}),
    "a scalar": lambda x, mask: Call(torch.mul, (x, torch.zeros(())), {}),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_constants_are_looked_at_where_the_signal_is(call):
    x = torch.empty(2, 4, 6, 6, device="meta", requires_grad=True) * 1
    made = call(x, torch.empty(6, 6, dtype=torch.bool, device="meta"))
    found = places_beside(Carried(Watched(), made), made, torch.empty(2, 4, 6, 6, device="meta"))
    assert found is not None
    assert found.device.type == "meta"
