"""A factor that is partly a gate and partly a signal is no gate: it gets half of the relevance of a product, as any signal."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from comparing import deviation
from networks import CLASSES, drawn, randomized
from oracles import share
from signxai import explain

Factor = Callable[[Tensor, Tensor], Tensor]


class Product(nn.Module):
    """A factor of ``a`` and ``b``, times ``c``, into a classifier; all three are parts of the input (N, 9, 4)."""

    def __init__(self, factor: Factor, channels: int, swapped: bool) -> None:
        super().__init__()
        self.factor, self.channels, self.swapped = factor, channels, swapped
        self.fc = nn.Linear(12, CLASSES)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x[:, : self.channels], x[:, 3:6], x[:, 6:]

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = self.parts(x)
        factor = self.factor(a, b)
        return self.fc((c * factor if self.swapped else factor * c).flatten(1))


def of_sum(r: Tensor, a: Tensor, b: Tensor, sign: int = 1) -> tuple[Tensor, Tensor]:
    """The relevance of both terms; a gate of one channel is added to each channel and collects from each."""
    gate = sign * a.sigmoid()
    each = share(r, gate + b)
    return (gate * each).sum_to_size(a.shape), b * each


def of_difference(r: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return of_sum(r, a, b, -1)


def of_joint(r: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    r_a, r_b = torch.zeros_like(a), torch.zeros_like(b)
    r_a[:, :1], r_b[:, 1:] = r[:, :1], r[:, 1:]
    return r_a, r_b


FACTORS: dict[str, tuple[Factor, int, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]]] = {
    "gate + signal": (lambda a, b: a.sigmoid() + b, 3, of_sum),
    "gate + signal, of fewer channels": (lambda a, b: a.sigmoid() + b, 1, of_sum),
    "torch.add of a scaled gate": (lambda a, b: torch.add((2 * a.sigmoid()) / 2, b), 1, of_sum),
    "signal - gate": (lambda a, b: b - a.sigmoid(), 3, of_difference),
    "signal - gate, of fewer channels": (lambda a, b: b - a.sigmoid(), 1, of_difference),
    "sum of a stack": (lambda a, b: torch.stack([a.sigmoid(), b]).sum(0), 3, of_sum),
    "cat": (lambda a, b: torch.cat([a[:, :1].sigmoid(), b[:, 1:]], 1), 3, of_joint),
}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_of_gates_and_signals_is_a_signal(name, swapped):
    factor, channels, of_factor = FACTORS[name]
    net = randomized(Product(factor, channels, swapped))
    x = drawn(3, 9, 4)
    a, b, c = net.parts(x)
    with torch.no_grad():
        product = factor(a, b) * c
        r = product * (net.fc.weight[1] * share(torch.ones(3, 1, dtype=torch.float64), net(x)[:, 1:2])).reshape(product.shape)
        expected = torch.zeros_like(x)
        expected[:, 6:] = r / 2
        expected[:, :channels], expected[:, 3:6] = of_factor(r / 2, a, b)
    assert deviation(explain(net, x, "lrp_z", 1), expected.numpy()) < 1e-10
