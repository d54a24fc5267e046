"""No map with NaN or infinity: the error names the operation that made the first of it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks import drawn
from signxai import explain, inspect_model, rules_for
from signxai.common.errors import ModelError
from test_registry import at_output_of, relevance_of

W = drawn(3, 4)


class Root(nn.Module):
    """The gradient of a root at 0 is infinite, and 0 times that is NaN."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.sqrt(x * torch.zeros(4).to(x)), W)


class Broken(torch.autograd.Function):
    """A function whose gradient is infinite."""

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        return gradient / 0


class Behind(nn.Module):
    """A function between two layers, which are finite in themselves."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.function(torch.sin(x))), W)


def test_torchs_own_operation_is_named():
    with pytest.raises(ModelError, match="holds NaN or infinity, the first of it made by 'sqrt'; give that operation a rule"):
        explain(Root(), drawn(2, 4), "gradient", 1)


def test_a_function_of_the_networks_own_is_named():
    with pytest.raises(ModelError, match="the first of it made by 'Broken'"):
        explain(Behind(Broken.apply), drawn(2, 4), "gradient", 1)


@pytest.mark.parametrize("entry", [explain, inspect_model])
def test_a_rule_is_named(entry):
    with rules_for(torch.cos, lambda inputs, output, relevance: [relevance / 0]), pytest.raises(ModelError, match="first of it made by"):
        entry(Behind(torch.cos), drawn(2, 4), "lrp_z", 1)


@pytest.mark.parametrize("reduce", ["amax", "amin"])
def test_a_largest_value_that_is_scattered_follows_the_gradient(reduce):
    def run(x: Tensor) -> Tensor:
        return torch.scatter_reduce(torch.full((2, 3), 0.5).to(x), 1, torch.tensor([[0, 0, 1, 1], [2, 2, 0, 1]]), x, reduce)

    leaf = torch.rand(2, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 0.8 + 0.1
    leaf.requires_grad_()
    y = run(leaf)
    (wanted,) = torch.autograd.grad(y, leaf, at_output_of(y))
    torch.testing.assert_close(relevance_of(run, (2, 4)), wanted)


@pytest.mark.parametrize("entry", [explain, inspect_model])
def test_a_rule_of_the_users_is_not_advised_to_become_one(entry):
    def mine(inputs, output, relevance):
        return relevance * float("nan")

    with rules_for(torch.cos, mine), pytest.raises(ModelError, match=r"rule 'mine'.*let that rule return finite values") as caught:
        entry(Behind(torch.cos), drawn(2, 4), "lrp_z", 1)
    assert "register_rule" not in str(caught.value)
