"""Networks that mix the samples of a batch: methods of many points run those of one sample apart, and a batch of several is refused."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain
from signxai.common import ModelError

X = drawn(4, 8, seed=2)
OF_MANY_POINTS = ["integrated_gradients", "smoothgrad", "vargrad", "integrated_gradients_steps_3", "smoothgrad_samples_2"]
OF_ONE_PASS = ["gradient", "gradient_x_input", "lrp_epsilon_0_1", "guided_backprop"]


class Mixing(nn.Module):
    """A small network behind something that may look at the whole batch."""

    def __init__(self, before, dtype=torch.float64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.before = before
        self.first, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.to(dtype).eval()

    def forward(self, x):
        return self.head(self.first(self.before(x)).relu())


WHOLE = {
    "norm": lambda x: x / (x.norm() + 1),
    "standardized": lambda x: (x - x.mean()) / (x.std() + 1e-3),
    "largest": lambda x: x / (x.abs().max() + 1e-6),
    "range": lambda x: (x - x.min()) / (x.max() - x.min() + 1e-6),
    "cumsum": lambda x: x.cumsum(0),
    "cumsum from the last": lambda x: x.flip(0).cumsum(0).flip(0),
    "softmax": lambda x: 8 * x.softmax(0),
    "attention": lambda x: (x @ x.T).softmax(1) @ x,
    "centred": lambda x: x - x.mean(0) + 0.5 * x,
    "the first": lambda x: x + x[:1],
    "the last": lambda x: x + x[-1:],
    "the next": lambda x: x + x.roll(1, 0),
    "the number": lambda x: x * len(x),
}


@pytest.mark.parametrize("method", OF_MANY_POINTS)
@pytest.mark.parametrize("name", WHOLE)
def test_the_points_of_one_sample_run_apart(name, method):
    net = Mixing(WHOLE[name])
    for sample in X[:2].split(1):
        wanted = explain(net, sample, method, 1, batch_size=1)
        np.testing.assert_allclose(explain(net, sample, method, 1), wanted, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(explain(net, sample, method, 1, batch_size=7), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", OF_MANY_POINTS)
def test_they_run_apart_at_a_layer_too(method):
    net = Mixing(lambda x: x)
    net.head.register_forward_pre_hook(lambda _, args: (args[0] / (args[0].norm() + 1),))
    if "vargrad" in method:
        return
    for at in ("first", ["first", "before" if isinstance(net.before, nn.Module) else "head"]):
        got, wanted = (explain(net, X[:1], method, 1, at=at, batch_size=size) for size in (None, 1))
        for one, other in zip(got.values(), wanted.values(), strict=True) if isinstance(got, dict) else [(got, wanted)]:
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    with pytest.raises(ModelError, match="mixes the samples of a batch"):
        explain(net, X, method, 1, at="first")


@pytest.mark.parametrize("method", [*OF_MANY_POINTS, *OF_ONE_PASS])
@pytest.mark.parametrize("name", WHOLE)
def test_several_samples_are_refused(name, method):
    net = Mixing(WHOLE[name])
    for _ in range(2):
        with pytest.raises(ModelError, match=r"mixes the samples of a batch: .*batch_size=1"):
            explain(net, X, method, 1)
    alone = np.concatenate([explain(net, sample, method, 1) for sample in X.split(1)])
    assert deviation(explain(net, X, method, 1, batch_size=1), alone) < 1e-12


class AsManyOutputsAsSamples(Mixing):
    """Its classes, once for each sample of the batch."""

    def forward(self, x):
        return torch.cat([super().forward(x)] * len(x), 1)


def test_an_output_that_is_wider_for_more_samples_is_refused():
    with pytest.raises(ModelError, match="mixes the samples of a batch"):
        explain(AsManyOutputsAsSamples(lambda x: x), X, "gradient", 1)


@pytest.mark.parametrize("method", ["integrated_gradients", "lrp_epsilon_0_1"])
def test_a_decision_by_the_whole_batch_is_refused_where_it_shows(method):
    net, x = Mixing(lambda x: x * 2 if x.sum() > 0 else -x), X.clone()
    x[:] = -x.abs()
    x[0] = 100
    with pytest.raises(ModelError, match="mixes the samples of a batch"):
        explain(net, x, method, 1)


class Rounded(nn.Module):
    """Decides by values, some of which lie where other roundings decide otherwise."""

    def forward(self, x):
        return ((x * 64).round() / 64 - x).detach() + x


def cancels(x):
    """Leaves hardly more than rounding."""
    y = 1e3 * x @ torch.ones(8, 8).to(x)
    return y - y.detach() + (y / 3 - (y.double() / 3).to(y)).detach() * 1e3


UNMIXED = {
    "nothing": lambda x: x,
    "rounding": Rounded(),
    "cancellation": cancels,
    "each sample's own": lambda x: (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 0.1),
    "time first": lambda x: x.T.cumsum(0).T,
    "a number that nobody reads": lambda x: x + 0 * x.max(),
    "constants": lambda x: x + x.detach().mul(0).sum(),
    "merged": lambda x: x.view(-1, 2, 4).flatten(0, 1).softmax(1).view(-1, 8),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["integrated_gradients", "smoothgrad_samples_9", "gradient", "guided_backprop"])
@pytest.mark.parametrize("name", UNMIXED)
def test_what_does_not_mix_is_let_pass(name, method, dtype):
    net = Mixing(UNMIXED[name], dtype)
    together = explain(net, X.to(dtype), method, 1)
    assert together.shape == X.shape


def test_a_network_that_takes_no_single_sample_is_let_pass():
    net = Mixing(lambda x: x.unsqueeze(1).squeeze())
    assert explain(net, X, "integrated_gradients", 1).shape == X.shape
    assert explain(net, X, "gradient", 1).shape == X.shape


def test_one_more_row_runs_where_nothing_is_mixed():
    rows = []
    net = Mixing(lambda x: rows.append(len(x)) or x)
    explain(net, X[:1], "integrated_gradients_steps_20", 1)
    assert sum(rows) == 21


def test_of_a_method_of_one_pass_it_is_asked_once():
    rows = []
    net = Mixing(lambda x: rows.append(len(x)) or x)
    for _ in range(3):
        explain(net, X, "lrp_epsilon_0_1", 1)
    assert 3 * len(X) < sum(rows) <= 3 * len(X) + 2


def test_samples_that_are_alike_say_nothing():
    net = Mixing(lambda x: x - x.mean(0) + x)
    explain(net, torch.zeros(4, 8), "gradient", 1)
    with pytest.raises(ModelError, match="mixes the samples of a batch"):
        explain(net, X, "gradient", 1)


class Heads(nn.Module):
    """Two outputs, one of which mixes the samples."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.fc(x)
        return y, y - 0.5 * y.mean(0).tanh()


@pytest.mark.parametrize("method", ["gradient", "lrp_z", "integrated_gradients_steps_5"])
def test_one_output_that_mixes_nothing_says_nothing_of_another(method):
    net, x = Heads().double().eval(), torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    explain(net, x, method, 1, output=lambda returned: returned[0])
    with pytest.raises(ModelError, match="mixes the samples"):
        explain(net, x, method, 1, output=lambda returned: returned[1])


class OfNumbers(nn.Module):
    """One number for each sample."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(2, 3)

    def forward(self, x):
        return self.last(torch.stack([x, x.sin()], dim=1))


@pytest.mark.parametrize("name", ["gradient", "lrp_z", "integrated_gradients_steps_3", "smoothgrad_samples_3"])
@pytest.mark.parametrize("samples", [1, 2, 6])
def test_samples_may_be_single_numbers(name, samples):
    x = torch.linspace(-1.0, 2.0, samples)
    got = explain(OfNumbers(), x, name, 1)
    assert got.shape == (samples,)
