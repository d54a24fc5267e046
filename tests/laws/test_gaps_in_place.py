"""What is written into a layer's output before the next layer reads it counts: the layers are no longer one behind the other."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import oracles
from comparing import deviation
from networks import CLASSES, inputs, randomized
from signxai import explain

METHODS = ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_1_beta_0", "lrp_gamma_0_25", "lrpsign_epsilon_0_25_std_x"]


class Between(nn.Module):
    """A convolution, something that is done to its output, and what reads the result."""

    def __init__(self, between: Callable[[Tensor], Tensor], then: str) -> None:
        super().__init__()
        self.between, self.then = between, then
        self.conv, self.norm, self.again, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        if self.then == "norm":
            h = self.again(F.relu(self.norm(self.between(h))))
        elif self.then == "relu":
            h = self.again(F.relu(self.between(h)))
        else:
            h = self.again(self.between(F.relu(h)))
        return self.fc(F.relu(h).flatten(1))


def network(between: Callable[[Tensor], Tensor], then: str) -> nn.Module:
    return randomized(Between(between, then))


def written(change: Callable[[Tensor], None]) -> Callable[[Tensor], Tensor]:
    def between(h: Tensor) -> Tensor:
        change(h)
        return h

    return between


def sets_channels(h: Tensor) -> None:
    h[:, :2] = 0.5


def sets_one_place(h: Tensor) -> None:
    h[..., 0, 0] = 0.5


def copies(h: Tensor) -> None:
    h.narrow(1, 0, 2).copy_(torch.full_like(h[:, :2], 0.5))


def masks(h: Tensor) -> None:
    h.masked_fill_(h.detach() > 0.1, 0.5)


def doubles_channels(h: Tensor) -> None:
    h[:, :2] *= 2


def half_set(h: Tensor) -> Tensor:
    return torch.cat([torch.full_like(h[:, :2], 0.5), h[:, 2:]], 1)


def one_place_set(h: Tensor) -> Tensor:
    corner = torch.zeros_like(h, dtype=torch.bool)
    corner[..., 0, 0] = True
    return h.masked_fill(corner, 0.5)


PAIRS = {
    "constant channels": (sets_channels, half_set),
    "a constant at one place": (sets_one_place, one_place_set),
    "constants copied into a view": (copies, half_set),
    "masked": (masks, lambda h: h.masked_fill(h.detach() > 0.1, 0.5)),
    "doubled channels": (doubles_channels, lambda h: torch.cat([h[:, :2] * 2, h[:, 2:]], 1)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("then", ["norm", "relu", "convolution"])
@pytest.mark.parametrize("name", PAIRS)
def test_writing_into_a_tensor_is_making_another_one(name, then, method):
    change, anew = PAIRS[name]
    x = inputs("cnn2d")
    in_place, out_of_place = network(written(change), then), network(anew, then)
    assert torch.allclose(in_place(x), out_of_place(x), rtol=1e-12, atol=1e-12), "the twins are not the same function"
    untouched = explain(network(lambda h: h, then), x, method, 1)
    expected = explain(out_of_place, x, method, 1)
    assert deviation(untouched, expected) > 1e-2, "what is written does not matter enough to tell"
    assert deviation(explain(in_place, x, method, 1), expected) < 1e-11


def channelwise_z(norm: nn.BatchNorm2d, h: Tensor, r: Tensor) -> Tensor:
    """The z rule of a batch norm on its own: what its bias adds to an output takes its share."""
    zero = norm(torch.zeros_like(h)).detach()
    y = norm(h).detach()
    return (y - zero) * oracles.share(r, y)


def test_constants_between_a_convolution_and_its_batch_norm_take_their_share():
    """By hand: batch norm shares by contribution, what was overwritten drops, the convolution shares what is left."""
    net, x = network(written(sets_channels), "norm"), inputs("cnn2d")
    maps = []
    for sample in x[:, None]:
        h = half_set(net.conv(sample)).detach()
        tail = [nn.ReLU(), net.again, nn.ReLU(), nn.Flatten(), net.fc]
        r = torch.tensor(oracles.lrp(tail, net.norm(h).detach(), 1, oracles.z))
        r = channelwise_z(net.norm, h, r)
        r[:, :2] = 0
        maps.append(oracles.z(*oracles.matrix(net.conv, sample.shape[1:]), sample.flatten(), r.flatten()).reshape(sample.shape[1:]))
    assert deviation(explain(net, x, "lrp_z", 1), np.stack(maps)) < 1e-9
