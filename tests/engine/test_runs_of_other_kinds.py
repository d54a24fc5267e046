"""Runs of plain layers whose modules are spelled or typed in rarer ways, against the gradient module by module."""

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from signxai import explain
from signxai.common import ForwardError, InputError

STEPS = 3


def mean_gradient(net, x):
    """Integrated gradients with three points, from gradients one by one, under a hook, which no run goes on behind."""
    handles = [module.register_forward_hook(lambda *_: None) for module in net]
    points = [explain(net, x * place, "gradient", 1) for place in (0.0, 0.5, 1.0)]
    for handle in handles:
        handle.remove()
    return (points[0] / 4 + points[1] / 2 + points[2] / 4) * x.numpy()


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool1d(2), nn.MaxPool1d((2,)), nn.MaxPool1d((2,), (2,)), nn.MaxPool1d(3, 2, (1,)), nn.MaxPool1d(2, dilation=(2,))],
    ids=repr,
)
def test_a_max_pool_of_one_axis_however_its_sizes_are_written(pool):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), pool, nn.Conv1d(3, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    x = torch.randn(2, 2, 20)
    net(x)
    net, x = net.double().eval(), x.double()
    assert deviation(explain(net, x, "integrated_gradients", 1, steps=STEPS), mean_gradient(net, x)) < 1e-12


def test_a_batch_norm_of_another_precision_than_its_layer_is_not_folded_into_it():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).bfloat16().eval()
    net[1].float()
    net[1].running_var.uniform_(0.5, 2)
    x = torch.randn(2, 2, 8, 8).bfloat16()
    relevance = explain(net, x, "integrated_gradients", 1, steps=STEPS)
    assert relevance.dtype == np.float32
    assert deviation(relevance, mean_gradient(net, x.float())) < 0.05


class Picky(nn.Module):
    """A model that fails without a batch axis, and whose output for one sample has another shape than a batch's."""

    def __init__(self, of_one):
        super().__init__()
        self.of_one = of_one
        self.weight = nn.Parameter(torch.ones(4, 3))

    def forward(self, x):
        if x.ndim < 2:
            raise RuntimeError("one sample")
        return self.of_one(x @ self.weight)


def test_only_a_model_that_takes_one_sample_as_a_batch_says_that_the_batch_axis_is_missing():
    with pytest.raises(InputError, match="has no batch axis"):
        explain(Picky(lambda logits: logits), torch.ones(4), "gradient", 1)
    for of_one in (lambda logits: logits.sum(), lambda logits: torch.cat([logits, logits]), lambda logits: [][0]):
        with pytest.raises(ForwardError, match="RuntimeError: one sample"):
            explain(Picky(of_one), torch.ones(4), "gradient", 1)
