"""A leaky ReLU that is written as a sum of what stands above and below 0 has the map of the activation that it is."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain, inspect_model

SLOPE = 0.1
METHODS = [
    *("lrp_z", "lrp_epsilon_0_25", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_zplus", "lrp_gamma_0_25", "lrpsign_alpha_1_beta_0"),
    *("guided_backprop", "deconvnet", "input_t_gradient"),
]


def in_steps(y: Tensor) -> Tensor:
    out = torch.zeros_like(y)
    for sign, factor in ((1, 1.0), (-1, -SLOPE)):
        out = out + factor * F.relu(sign * y)
    return out


def in_steps_of_a_number(y: Tensor) -> Tensor:
    out = 0
    for sign, factor in ((1, 1.0), (-1, -SLOPE)):
        out += factor * torch.relu(y * sign)
    return out


def onto_zeros(y: Tensor) -> Tensor:
    out = y.new_zeros(y.shape)
    out += F.relu(y)
    out -= SLOPE * F.relu(-y)
    return out


def onto_a_copy(y: Tensor) -> Tensor:
    out = F.relu(y).clone()
    out -= SLOPE * F.relu(-y)
    return out


def both_in_place(y: Tensor) -> Tensor:
    negative = -y
    return F.relu(y.clone(), inplace=True) - SLOPE * F.relu(negative, inplace=True)


def overwritten(y: Tensor) -> Tensor:
    h = y * 1.0
    negative = -h
    above = h.relu_()
    return above - SLOPE * negative.relu_()


def turned_in_between(y: Tensor) -> Tensor:
    h = y.clone()
    above = F.relu(h)
    return above - SLOPE * F.relu(h.neg_())


def crelu(y: Tensor) -> Tensor:
    both = torch.cat([F.relu(y), F.relu(-y)], 1)
    return both[:, : y.shape[1]] - SLOPE * both[:, y.shape[1] :]


def crelu_of_both(y: Tensor) -> Tensor:
    above, below = F.relu(torch.cat([y, -y], 1)).chunk(2, 1)
    return above - SLOPE * below


def crelu_split(y: Tensor) -> Tensor:
    above, below = torch.split(torch.cat([y, -y], 1).clamp(min=0), y.shape[1], 1)
    return torch.sub(above, below, alpha=SLOPE)


def with_one_tensor_of_slopes(y: Tensor) -> Tensor:
    slope, out = y.new_ones(()), 0
    for factor, sign in ((1.0, 1.0), (-SLOPE, -1.0)):
        slope = slope.fill_(factor) if sign > 0 else slope.clone().fill_(factor)
        out = out + F.relu(y * sign) * slope
    return out


def with_a_factor_that_is_written_to(y: Tensor) -> Tensor:
    slope = y.new_ones(4, 1)
    above = F.relu(y).detach() * slope  # what autograd keeps of it must not change
    slope.mul_(-SLOPE)
    below = F.relu(-y) * slope
    return F.relu(y) + below + 0 * above


def two_in_a_row(y: Tensor) -> Tensor:
    """With slopes whose product is that of one; all that is made on the way stays alive."""
    above, below = F.relu(y), F.relu(-y)
    once = above - SLOPE / 2 * below
    above_again, below_again = F.relu(once), F.relu(-once)
    return above_again - 2 * below_again


WAYS = {
    "two in a row": two_in_a_row,
    "with one tensor of slopes": with_one_tensor_of_slopes,
    "with a factor that is written to": with_a_factor_that_is_written_to,
    "an integer mask": lambda y: y * (y > 0).int() + SLOPE * y * (1 - (y > 0).int()),
    "1 less a mask": lambda y: y * (m := (y > 0).to(y)) + SLOPE * y * (1 - m),
    "1 less a mask, by a function": lambda y: y * (y > 0) + SLOPE * (y * torch.rsub((y > 0).to(y), 1)),
    "threshold and the rest": lambda y: F.threshold(y, 0.0, 0.0) + SLOPE * (y - F.threshold(y, 0.0, 0.0)),
    "spread": lambda y: F.relu(y).expand(*y.shape) - SLOPE * F.relu(-y),
    "picked": lambda y: F.relu(y).index_select(1, torch.arange(4)) - SLOPE * F.relu(-y),
    "picked by a list": lambda y: (F.relu(y)[:, [3, 2, 1, 0]] - SLOPE * F.relu(-y[:, [3, 2, 1, 0]]))[:, [3, 2, 1, 0]],
    "without NaN": lambda y: torch.nan_to_num(F.relu(y)) - SLOPE * F.relu(-y),
    "in place": lambda y: F.relu(y) - SLOPE * nn.ReLU(inplace=True)(-y),
    "the other in place": lambda y: nn.ReLU(inplace=True)(y.clone()) - SLOPE * F.relu(-y),
    "both in place": both_in_place,
    "overwritten": overwritten,
    "turned in between": turned_in_between,
    "clamp": lambda y: y.clamp(min=0) - SLOPE * (-y).clamp(min=0),
    "clamp to both sides": lambda y: y.clamp(min=0) + SLOPE * y.clamp(max=0),
    "clamp by position": lambda y: torch.clamp(y, 0) + SLOPE * torch.clamp(y, None, 0),
    "clip": lambda y: torch.clip(y, 0.0, None) + SLOPE * torch.clip(y, max=0.0),
    "clamp_min": lambda y: torch.clamp_min(y, 0) + SLOPE * torch.clamp_max(y, 0),
    "clamp by constants": lambda y: y.clamp(torch.zeros(1).to(y)) + SLOPE * y.clamp(max=torch.zeros(()).to(y)),
    "threshold": lambda y: F.threshold(y, 0, 0) - SLOPE * F.threshold(-y, 0.0, 0.0),
    "maximum": lambda y: torch.maximum(y, torch.zeros_like(y)) + SLOPE * torch.minimum(y, torch.zeros(()).to(y)),
    "maximum of two": lambda y: torch.max(y, torch.zeros_like(y)) + SLOPE * torch.min(y, y.new_zeros(1)),
    "where": lambda y: torch.where(y > 0, y, 0.0) + SLOPE * torch.where(y < 0, y, 0.0),
    "where by a method": lambda y: y.where(y > 0, torch.zeros_like(y)) + SLOPE * y.where(y <= 0, torch.zeros_like(y)),
    "where, negated": lambda y: torch.where(y > 0, y, torch.zeros_like(y)) - SLOPE * torch.where(y > 0, torch.zeros_like(y), -y),
    "masks": lambda y: y * (y > 0) + SLOPE * y * (y <= 0),
    "masks of floats": lambda y: (y > 0).to(y) * y + SLOPE * ((y < 0).double() * y),
    "a negated mask": lambda y: y * (m := y > 0) + y * ~m * SLOPE,
    "masked_fill": lambda y: y.masked_fill(y < 0, 0.0) + SLOPE * y.masked_fill(y > 0, 0.0),
    "times -1": lambda y: F.relu(y) - SLOPE * F.relu(-1 * y),
    "times -1, behind": lambda y: F.relu(y) - SLOPE * F.relu(y * -1),
    "from 0": lambda y: F.relu(y) - SLOPE * F.relu(0 - y),
    "from zeros": lambda y: F.relu(y) - SLOPE * F.relu(torch.zeros_like(y) - y),
    "rsub": lambda y: F.relu(y) - SLOPE * F.relu(torch.rsub(y, 0)),
    "through -1": lambda y: F.relu(y) - SLOPE * F.relu(y / -1.0),
    "twice as much, halved": lambda y: F.relu(2 * y) / 2 - SLOPE * F.relu(-y),
    "the slope inside": lambda y: F.relu(y) - F.relu(-SLOPE * y),
    "steps": in_steps,
    "steps, from a number": in_steps_of_a_number,
    "onto zeros": onto_zeros,
    "onto a copy": onto_a_copy,
    "sum of a list": lambda y: sum([F.relu(y), -SLOPE * F.relu(-y)]),
    "stacked": lambda y: torch.stack([F.relu(y), -SLOPE * F.relu(-y)]).sum(0),
    "stacked last": lambda y: torch.stack([F.relu(y), -SLOPE * F.relu(-y)], -1).sum(-1),
    "stacked, in the mean": lambda y: torch.stack([2 * F.relu(y), -2 * SLOPE * F.relu(-y)], 1).mean(1),
    "crelu": crelu,
    "crelu of both": crelu_of_both,
    "crelu split": crelu_split,
    "alpha": lambda y: torch.add(F.relu(y), F.relu(-y), alpha=-SLOPE),
    "sub alpha": lambda y: torch.sub(F.relu(y), F.relu(-y), alpha=SLOPE),
    "addcmul": lambda y: torch.addcmul(F.relu(y), F.relu(-y), y.new_full((1,), -SLOPE)),
    "a copy": lambda y: F.relu(y.clone()) - SLOPE * F.relu(-y),
    "contiguous": lambda y: F.relu(y.contiguous()) - SLOPE * F.relu(-y.mT.contiguous().mT),
    "in another order": lambda y: (F.relu(y).mT - SLOPE * F.relu(-y.mT)).mT,
    "in another order and back": lambda y: F.relu(y) - SLOPE * F.relu(-y.mT).mT,
    "flattened twice": lambda y: (F.relu(y.flatten(1)) - SLOPE * F.relu(-y.flatten(1))).view_as(y),
    "flattened behind": lambda y: (F.relu(y).flatten(1) - SLOPE * F.relu(-y).flatten(1)).view_as(y),
    "flipped twice": lambda y: F.relu(y) - SLOPE * F.relu(-y.flip(1)).flip(1),
    "in the other order": lambda y: -SLOPE * F.relu(-y) + F.relu(y),
    "identity": lambda y: nn.Identity()(F.relu(y)) - SLOPE * nn.Dropout(0.5).eval()(F.relu(-y)),
    "converted": lambda y: F.relu(y).to(torch.float64) - SLOPE * F.relu(-y).double(),
    "by its size": lambda y: 0.5 * (1 + SLOPE) * y + 0.5 * (1 - SLOPE) * y.abs(),
    "the slope everywhere": lambda y: SLOPE * y + (1 - SLOPE) * F.relu(y),
    "less what is below": lambda y: y - (1 - SLOPE) * y.clamp(max=0),
    "by sums with its size": lambda y: (y + y.abs()) / 2 + SLOPE * (y - y.abs()) / 2,
    "by halves of its size": lambda y: 0.5 * (torch.abs(y) + y) - 0.5 * SLOPE * (torch.abs(y) - y),
    "lerp": lambda y: torch.lerp(F.relu(y), y, SLOPE),
    "a factor by place": lambda y: y * torch.where(y > 0, y.new_ones(()), y.new_full((), SLOPE)),
    "hardtanh": lambda y: F.hardtanh(y, 0.0, math.inf) - SLOPE * F.hardtanh(-y, 0.0, math.inf),
    "out": lambda y: torch.sub(F.relu(y), SLOPE * F.relu(-y), out=None),
    "in a list": lambda y: torch.stack([f(y) for f in (F.relu, lambda t: -SLOPE * F.relu(-t))], dim=2).sum(dim=2),
    "from the sum of both": lambda y: (m := F.relu(-y), (y + m) - SLOPE * m)[-1],
    "a leaky relu of the one half": lambda y: F.leaky_relu(y, 1.0) - (1 - SLOPE) * y.minimum(y.new_zeros(())),
    "set to zero": lambda y: (a := y.clone(), b := y.clone(), a.__setitem__(y < 0, 0.0), b.__setitem__(b > 0, 0), a + SLOPE * b)[-1],
    "written": lambda y: (z := torch.empty_like(y), z.copy_(F.relu(y)), z - SLOPE * F.relu(-y))[-1],
    "written whole": lambda y: (z := torch.empty_like(y), z.__setitem__(..., F.relu(y)), z - SLOPE * F.relu(-y))[-1],
    "squeezed": lambda y: (F.relu(y[..., None]) - SLOPE * F.relu(-y.unsqueeze(-1))).squeeze(-1),
    "by channel": lambda y: torch.stack([F.relu(c) - SLOPE * F.relu(-c) for c in y.unbind(1)], 1),
    "by channel, halves later": lambda y: torch.stack([F.relu(c) for c in y.unbind(1)], 1) - SLOPE * F.relu(-y),
    "crelu as an axis": lambda y: (c := torch.stack([y, -y], 1).relu(), c[:, 0] - SLOPE * c[:, 1])[-1],
    "crelu, weighed": lambda y: (torch.stack([y, -y], 1).relu() * y.new_tensor([1.0, -SLOPE]).view(1, 2, 1, 1)).sum(1),
    "by modules": lambda y: nn.Sequential(nn.ReLU())(y) - SLOPE * nn.Sequential(nn.ReLU(inplace=True))(-y),
    "plus what is below": lambda y: y + (1 - SLOPE) * F.relu(-y),
}
NO_RELUS = {"by its size", "by sums with its size", "by halves of its size"}
"""Ways in which a guided method has no ReLU, or several, to tell: by definition a gradient of what stands there."""
REAL_RELUS = {"the slope everywhere", "lerp", "from the sum of both", "less what is below", "plus what is below"}


class Net(nn.Module):
    def __init__(self, act) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Conv1d(2, 4, 3), nn.Conv1d(4, 4, 3), nn.Linear(16, 3)
        self.act = act
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.second(self.act(self.first(x))))
        return self.last(hidden.flatten(1))


X = drawn(3, 2, 8, seed=1)


@pytest.mark.parametrize("way", WAYS)
def test_it_is_the_activation(way):
    leaky, written = Net(lambda y: F.leaky_relu(y, SLOPE)), Net(WAYS[way])
    assert torch.allclose(leaky(X), written(X), rtol=0, atol=1e-14)
    for name in METHODS:
        if name in ("guided_backprop", "deconvnet") and way in REAL_RELUS | NO_RELUS:
            continue
        assert deviation(explain(written, X, name, 1), explain(leaky, X, name, 1)) < 1e-12, name


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_equals_its_samples_and_nothing_is_unaccounted(way):
    net = Net(WAYS[way])
    whole = explain(net, X, "lrp_alpha_2_beta_1", 1)
    for place in range(len(X)):
        assert deviation(explain(net, X[place : place + 1], "lrp_alpha_2_beta_1", 1), whole[place : place + 1]) < 1e-12
    assert inspect_model(net, X, "lrp_epsilon_0_25", 1).unaccounted < 1e-12


OTHERS = {
    "flipped": lambda y: F.relu(y) - SLOPE * F.relu(-y.flip(1)),
    "in another order": lambda y: F.relu(y) - SLOPE * F.relu(-y.reshape(-1, y.shape[2], y.shape[1]).mT),
    "of other channels": lambda y: F.relu(y) - SLOPE * F.relu(-y.roll(1, 1)),
    "of what was written to": lambda y: (h := y.clone(), a := F.relu(h), h.add_(0.3), a - SLOPE * F.relu(-h))[-1],
    "of the means": lambda y: F.relu(y) - SLOPE * F.relu(-y.mean(1, keepdim=True)).expand_as(y),
    "crelu exchanged": lambda y: (c := torch.cat([F.relu(y), F.relu(-y)], 1), c[:, 1:5] - SLOPE * c[:, 4:])[-1],
    "of another layer": lambda y: F.relu(y) - SLOPE * F.relu(-F.conv1d(y, torch.eye(4)[..., None].to(y) * 1.1)),
}


@pytest.mark.parametrize("way", OTHERS)
def test_halves_of_other_values_are_a_sum(way):
    net = Net(OTHERS[way])
    free = Net(OTHERS[way])
    for layer in (free.first, free.second, free.last):
        layer.bias.data.zero_()
    gradient = explain(free, X, "input_t_gradient", 1)
    if way != "of what was written to":
        assert deviation(explain(free, X, "lrp_z", 1, relevance="logit"), gradient) < 1e-9
    assert inspect_model(net, X, "lrp_z", 1).unaccounted < 1e-12
