"""A callable target that is not linear in the outputs: methods of many gradients evaluate it at every point."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain

N = 3
X = drawn(N, 4, seed=2)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def probability(outputs: Tensor) -> Tensor:
    return outputs.softmax(1)[:, 1]


def ratio(outputs: Tensor) -> Tensor:
    return outputs[:, 0] / (1 + outputs[:, 1].square())


def of_each_its_own(outputs: Tensor) -> Tensor:
    return outputs[torch.arange(N), torch.tensor([0, 2, 1])].square()


SCORES = [probability, ratio, of_each_its_own]


@pytest.mark.parametrize("score", SCORES)
def test_integrated_gradients_are_complete_in_the_score(score):
    net, baseline = network(), 0.3
    relevance = explain(net, X, "integrated_gradients", score, steps=2001, baseline=baseline)
    wanted = score(net(X)) - score(net(torch.full_like(X, baseline)))
    np.testing.assert_allclose(relevance.sum(1), wanted.detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("score", SCORES)
def test_the_size_of_batches_does_not_count(score, batch_size):
    expected, got = (explain(network(), X, "integrated_gradients", score, steps=41, batch_size=size) for size in (None, batch_size))
    assert deviation(got, expected) < 1e-12


def along_the_path(net: nn.Module, score, steps: int) -> np.ndarray:
    """Integrated gradients from zeros, point by point."""
    weights, places = np.full(steps, 1 / (steps - 1)), np.linspace(0, 1, steps)
    weights[[0, -1]] /= 2
    total = torch.zeros_like(X)
    for weight, place in zip(weights, places, strict=True):
        point = (place * X).requires_grad_()
        total += weight * torch.autograd.grad(score(net(point)).sum(), point)[0]
    return (total * X).numpy()


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("score", SCORES)
def test_the_path_is_that_of_the_score(score, batch_size):
    got = explain(network(), X, "integrated_gradients", score, steps=9, batch_size=batch_size)
    assert deviation(got, along_the_path(network(), score, 9)) < 1e-12


@pytest.mark.parametrize("method", ["smoothgrad", "vargrad"])
@pytest.mark.parametrize("score", [ratio, lambda outputs: outputs[:, 1].tanh()], ids=["ratio", "tanh"])
def test_noisy_copies_have_the_gradient_of_the_score(method, score):
    class Scored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: Tensor) -> Tensor:
            return score(self.net(x))[:, None]

    wanted = explain(Scored(), X, method, 0, num_samples=6)
    assert deviation(explain(network(), X, method, score, num_samples=6), wanted) < 1e-12


@pytest.mark.parametrize("method", ["integrated_gradients", "smoothgrad"])
def test_a_callable_that_names_classes_names_those_of_the_sample(method):
    classes = network()(X).argmax(1).tolist()
    assert deviation(explain(network(), X, method, lambda outputs: outputs.argmax(1)), explain(network(), X, method, classes)) < 1e-15


def test_a_linear_score_with_relevance_from_the_logit():
    got = explain(network(), X, "integrated_gradients", lambda outputs: outputs[:, 2], relevance="logit", steps=5)
    assert deviation(got, explain(network(), X, "integrated_gradients", 2, relevance="logit", steps=5)) < 1e-13
