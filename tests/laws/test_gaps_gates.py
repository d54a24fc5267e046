"""Which factor of a product is a gate, whose relevance the other factor gets, and which is a signal that gets its half."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
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


class TwoFactors(nn.Module):
    """A function of the first half of the input (N, 6, 4) times one of the other half, into a classifier."""

    def __init__(self, first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor], swapped: bool) -> None:
        super().__init__()
        self.first, self.second, self.swapped = first, second, swapped
        self.fc = nn.Linear(12, CLASSES)

    def product(self, x: Tensor) -> Tensor:
        a, b = self.first(x[:, :3]), self.second(x[:, 3:])
        return b * a if self.swapped else a * b

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.product(x).flatten(1))


def parts_of_the_relevance(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor], swapped: bool) -> tuple[float, float]:
    """What part of the product's relevance either half of the input gets, the same at each element."""
    net = randomized(TwoFactors(first, second, swapped))
    x = 0.3 + torch.rand(3, 6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got = torch.from_numpy(explain(net, x, "lrp_z", 1))
    with torch.no_grad():
        product = net.product(x)
        r = product * (net.fc.weight[1] * share(torch.ones(3, 1, dtype=torch.float64), net(x)[:, 1:2])).reshape(product.shape)
    part = got / torch.cat([r, r], 1)
    a, b = part[:, :3], part[:, 3:]
    assert torch.allclose(a, a[0, 0, 0].expand_as(a), atol=1e-9)
    assert torch.allclose(b, b[0, 0, 0].expand_as(b), atol=1e-9)
    return round(float(a[0, 0, 0]), 6), round(float(b[0, 0, 0]), 6)


def signal(t: Tensor) -> Tensor:
    return t


def partly_written(t: Tensor) -> Tensor:
    result = t.sigmoid()
    result[:, :1] = t[:, :1]
    return result


def sigmoid_of_a_copy(t: Tensor) -> Tensor:
    return t.clone().sigmoid_()


GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "sigmoid in place": sigmoid_of_a_copy,
    "hardsigmoid": F.hardsigmoid,
    "softmax over channels": lambda t: F.softmax(t, 1),
    "softmax over places": lambda t: t.softmax(dim=-1),
    "softmax as a module": nn.Softmax(2),
    "tanh": torch.tanh,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "clamp": lambda t: t.clamp(0.4, 0.9),
    "one minus a gate": lambda t: 1 - t.sigmoid(),
    "a gate minus a half": lambda t: t.sigmoid() - 0.5,
    "two gates' worth": lambda t: 2 * t.sigmoid(),
    "a moved gate": lambda t: t.sigmoid().transpose(1, 2).contiguous().transpose(2, 1),
    "a reshaped gate": lambda t: t.sigmoid().flatten(1).view(-1, 3, 4),
    "slices of a gate": lambda t: torch.cat([t, t], 1).sigmoid()[:, 3:],
    "a part of a gate": lambda t: torch.cat([t, t], 1).sigmoid().chunk(2, 1)[1],
    "a flipped gate": lambda t: t.sigmoid().flip(1).flip(1),
    "a gate where a mask has it": lambda t: torch.where(torch.arange(4) != 2, t.sigmoid(), 0.5),
    "a masked gate": lambda t: t.sigmoid().masked_fill(torch.arange(4) == 2, 0.5),
    "an expanded gate": lambda t: t.sigmoid()[:, None].expand(-1, 2, -1, -1)[:, 1],
}
SIGNALS: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": signal,
    "relu": F.relu,
    "silu": F.silu,
    "abs": torch.abs,
    "a gate that is partly written to": partly_written,
    "the largest of gates": lambda t: t.sigmoid()[..., None].amax(-1),
    "the mean of gates": lambda t: t.sigmoid()[..., None].mean(-1),
}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_beside_a_gate_a_signal_gets_all(name, swapped):
    assert parts_of_the_relevance(GATES[name], signal, swapped) == (0, 1)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("name", SIGNALS)
def test_two_signals_get_half_each(name, swapped):
    assert parts_of_the_relevance(SIGNALS[name], signal, swapped) == (0.5, 0.5)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("first", "second", "parts"),
    [
        (torch.sigmoid, torch.tanh, (0, 1)),
        (torch.sigmoid, F.relu6, (0, 1)),
        (lambda t: F.softmax(t, 1), torch.tanh, (0, 1)),
        (torch.sigmoid, torch.sigmoid, (0.5, 0.5)),
        (torch.tanh, torch.tanh, (0.5, 0.5)),
        (torch.tanh, F.relu6, (0.5, 0.5)),
    ],
)
def test_of_two_gates_the_surer_one_is_the_gate(first, second, parts, swapped):
    assert parts_of_the_relevance(first, second, swapped) == parts
