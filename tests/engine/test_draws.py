"""Networks that draw random numbers in their forward pass: refused with the place, or each sample with the draws of the seed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain, inspect_model
from signxai.common import ModelError
from signxai.engine.prediction import predict

N = 4
X = drawn(N, 8, seed=2)
METHODS = ["gradient", "integrated_gradients", "smoothgrad", "guided_backprop", "lrp_z", "lrp_epsilon_0_25_std_x"]


class Draws(nn.Module):
    """A small network with a part that may draw."""

    def __init__(self, part) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.part, self.head = nn.Linear(8, 8), part, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.part(self.first(x).relu()))


def network(part) -> Draws:
    return Draws(part).double().eval()


def dropout_that_stays_on(y: Tensor) -> Tensor:
    return F.dropout(y, 0.5)


DRAWING = {
    "dropout": dropout_that_stays_on,
    "dropout by keyword": lambda y: F.dropout(y, p=0.3, training=True),
    "alpha_dropout": lambda y: F.alpha_dropout(y, 0.5, True),
    "rand_like": lambda y: y * (torch.rand_like(y) > 0.5),
    "bernoulli": lambda y: y * torch.bernoulli(torch.full_like(y, 0.5)),
    "bernoulli_": lambda y: y * torch.empty_like(y).bernoulli_(0.5),
    "randn": lambda y: (y + torch.randn(y.shape).to(y)).tanh(),
    "normal_": lambda y: y + torch.empty_like(y).normal_(),
    "normal": lambda y: y + torch.normal(torch.zeros_like(y), 1.0),
    "randperm": lambda y: y[:, torch.randperm(8)],
    "randint": lambda y: y[:, torch.randint(0, 8, (8,))],
    "an operator": lambda y: y * torch.ops.aten.rand_like.default(y),
    "layer drop": lambda y: y + y.tanh() if torch.rand(1).item() > 0.2 else y,
    "multinomial": lambda y: y[:, torch.multinomial(torch.ones(8), 8)],
}


@pytest.mark.parametrize("method", ["gradient", "lrp_epsilon_0_1", "integrated_gradients"])
@pytest.mark.parametrize("name", DRAWING)
def test_a_draw_is_refused_with_its_place(name, method):
    with pytest.raises(
        ModelError, match=r"draws random numbers in its forward pass, first by '\w+' in Draws.*test_draws.py:\d+.*stochastic=True"
    ):
        explain(network(DRAWING[name]), X, method, 1)


def test_a_prediction_is_refused_too():
    with pytest.raises(ModelError, match="draws random numbers"):
        predict(network(dropout_that_stays_on), X)
    with pytest.raises(ModelError, match="draws random numbers"):
        explain(network(dropout_that_stays_on), X, "gradient")
    with pytest.raises(ModelError, match="draws random numbers"):
        inspect_model(network(dropout_that_stays_on), X, "lrp_z", 1)


def initialized_again(y: Tensor) -> Tensor:
    nn.init.kaiming_uniform_(torch.empty(3, 3))
    return y


HARMLESS = {
    "dropout in evaluation mode": lambda y: F.dropout(y, 0.5, training=False),
    "a module's dropout": nn.Dropout(0.5),
    "dropout of nothing": lambda y: F.dropout(y, 0.0),
    "what nobody reads": initialized_again,
    "a fixed generator": lambda y: y + 0 * torch.rand(y.shape, generator=torch.Generator().manual_seed(3)).to(y),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_draw_that_changes_nothing_is_let_pass(name):
    for method in METHODS:
        wanted = explain(network(lambda y: y), X, method, 1)
        assert deviation(explain(network(HARMLESS[name]), X, method, 1), wanted) < 1e-13


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["dropout", "rand_like", "randn", "randperm"])
def test_on_request_each_sample_has_the_draws_of_the_seed(name, method):
    net = network(DRAWING[name])
    batch = explain(net, X, method, 1, stochastic=True)
    for i in range(N):
        np.testing.assert_array_equal(explain(net, X[i : i + 1], method, 1, stochastic=True), batch[i : i + 1])
    np.testing.assert_array_equal(explain(net, X, method, 1, stochastic=True, batch_size=3), batch)
    assert deviation(explain(net, X, method, 1, stochastic=True, seed=1), batch) > 1e-6


@pytest.mark.parametrize("method", ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "gradient"])
def test_dropout_that_is_on_is_a_product_with_its_mask(method):
    torch.manual_seed(5)
    mask = F.dropout(torch.ones(1, 8, dtype=torch.float64), 0.5)
    wanted = explain(network(lambda y: y * mask), X, method, 1)
    assert deviation(explain(network(dropout_that_stays_on), X, method, 1, stochastic=True, seed=5), wanted) < 1e-13


def test_the_users_random_numbers_go_on_as_if_nothing_had_been():
    net = network(dropout_that_stays_on)
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    explain(net, X, "lrp_z", stochastic=True)
    with pytest.raises(ModelError):
        explain(net, X, "lrp_z")
    torch.testing.assert_close(torch.rand(3), wanted)
