"""Operators of torchvision: sampled values share, by the z rule, in what they are sampled from."""

import pytest
import torch
import torchvision.ops
from torch import Tensor, nn

from comparing import deviation
from networks import CLASSES, Written, drawn, randomized
from signxai import explain, inspect_model

BOXES = torch.tensor([[0.0, 0, 5, 6], [1.3, 2, 6, 6.5]], dtype=torch.float64)
OFFSETS, KERNEL = drawn(1, 18, 8, 8, seed=3) * 0.3, drawn(4, 4, 3, 3, seed=4)


def with_index(n: int) -> Tensor:
    return torch.cat([torch.cat([torch.full((2, 1), float(i), dtype=torch.float64), BOXES], 1) for i in range(n)])


OPERATORS = {
    "roi_align": lambda y: torchvision.ops.roi_align(y, with_index(len(y)), 2, aligned=True).view(len(y), -1, 2, 2),
    "ps_roi_align": lambda y: torchvision.ops.ps_roi_align(y, with_index(len(y)), 2).view(len(y), -1, 2, 2),
    "deform_conv2d": lambda y: torchvision.ops.deform_conv2d(y, OFFSETS.expand(len(y), -1, -1, -1), KERNEL, padding=1),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_sampled_values_share_as_the_linear_map_that_they_are(name):
    operator = OPERATORS[name]
    layers = {"conv": nn.Conv2d(3, 4, 1, bias=False), "head": nn.LazyLinear(CLASSES, bias=False)}
    net = Written(lambda m, x: m["head"](operator(m["conv"](x)).relu().mean((2, 3))), **layers)
    x = drawn(2, 3, 8, 8)
    net = net.double()
    net(x)
    net = randomized(net)
    relevance = explain(net, x, "lrp_z", 1, relevance="logit", strict=True)
    assert deviation(relevance, explain(net, x, "input_t_gradient", 1)) < 1e-9  # law 1: the network is linear in pieces
    report = inspect_model(net, x, "lrp_epsilon_0_1", 1, strict=True)
    assert report.unknown_operations == []
    assert abs(report.unaccounted) < 1e-9
    alone = explain(net, x[:1], "lrp_epsilon_0_25_std_x", 1)
    assert deviation(explain(net, x, "lrp_epsilon_0_25_std_x", 1)[:1], alone) < 1e-12
