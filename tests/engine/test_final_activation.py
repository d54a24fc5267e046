"""The activation at the output is taken off, however it is written: the logit is explained, by every method alike."""

import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain, explain_all, inspect_model
from signxai.engine.final_activation import ProbabilitiesWarning
from signxai.torch_signxai.utils import predict, remove_softmax

N, CLASSES = 4, 3
X = drawn(N, 2, 8, 8, seed=3)
METHODS = [
    *("gradient", "gradient_x_input", "integrated_gradients", "smoothgrad", "vargrad", "guided_backprop", "deconvnet", "grad_cam"),
    *("guided_grad_cam", "lrp_z", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrpsign_epsilon_0_1", "lrpsign_sequential_composite_a"),
]


class Ended(nn.Module):
    """A small convolutional network with an ending."""

    def __init__(self, ending=lambda z: z) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head, self.ending = nn.Linear(16, CLASSES), ending

    def forward(self, x: Tensor) -> Tensor:
        return self.ending(self.head(self.body(x)))


def network(ending=lambda z: z) -> Ended:
    return Ended(ending).double().eval()


def by_hand(z: Tensor) -> Tensor:
    e = torch.exp(z - z.max(dim=-1, keepdim=True)[0])
    return e / e.sum(-1, keepdim=True)


def in_place(z: Tensor) -> Tensor:
    return z.sigmoid_()


SIGMOIDS = {
    "a module": nn.Sigmoid(),
    "a function": torch.sigmoid,
    "torch.special": torch.special.expit,
    "in place": in_place,
    "a logarithm": F.logsigmoid,
    "the logarithm of a sigmoid": lambda z: torch.log(torch.sigmoid(z)),
    "the logarithm with an epsilon": lambda z: torch.log(torch.sigmoid(z) + 1e-7),
    "by exp": lambda z: 1 / (1 + torch.exp(-z)),
    "by exp of both": lambda z: torch.exp(z) / (1 + torch.exp(z)),
    "by reciprocal": lambda z: (1 + (-z).exp()).reciprocal(),
    "by tanh": lambda z: 0.5 * (1 + torch.tanh(0.5 * z)),
    "a logarithm by softplus": lambda z: -F.softplus(-z),
    "clamped": lambda z: torch.sigmoid(z).clamp(1e-6, 1 - 1e-6),
    "times one": lambda z: torch.sigmoid(z) * 1.0,
    "each output alone": lambda z: torch.cat([torch.sigmoid(z[:, i : i + 1]) for i in range(CLASSES)], 1),
    "each output alone, stacked": lambda z: torch.stack([torch.sigmoid(z[:, i]) for i in range(CLASSES)], 1),
    "reshaped": lambda z: torch.sigmoid(z[:, None]).squeeze(1),
    "an operator": torch.ops.aten.sigmoid.default,
    "by exp, then moved": lambda z: (1 / (1 + torch.exp(-z.unsqueeze(1)))).squeeze(1),
    "moved in place": lambda z: torch.sigmoid(z[:, None]).squeeze_(1),
    "columns": lambda z: torch.column_stack([torch.sigmoid(z[:, i]) for i in range(CLASSES)]),
}
SOFTMAXES = {
    "a module": nn.Softmax(dim=1),
    "a log-softmax": nn.LogSoftmax(dim=1),
    "exp of a log-softmax": lambda z: F.log_softmax(z, -1).exp(),
    "the logarithm with an epsilon": lambda z: torch.log(F.softmax(z, 1) + 1e-8),
    "the logarithm of what is clamped": lambda z: F.softmax(z, 1).clamp(min=1e-7).log(),
    "clamped": lambda z: torch.clamp(F.softmax(z, 1), 1e-7, 1.0),
    "times one": lambda z: 1.0 * F.softmax(z, 1),
    "divided by a number": lambda z: F.softmax(z, 1) / 2,
    "reshaped": lambda z: F.softmax(z[:, :, None, None], 1).flatten(1),
    "transposed": lambda z: F.softmax(z.T, 0).T,
    "one sample after the other": lambda z: torch.cat([F.softmax(row[None], 1) for row in z]),
    "one sample after the other, stacked": lambda z: torch.stack([F.softmax(row, 0) for row in z]),
    "by exp": lambda z: z.exp() / z.exp().sum(-1, keepdim=True),
    "by exp, less the maximum": by_hand,
    "by logsumexp": lambda z: z - z.logsumexp(-1, keepdim=True),
    "by logsumexp, exponentiated": lambda z: torch.exp(z - torch.logsumexp(z, 1, keepdim=True)),
    "softmin": lambda z: F.softmin(-z, 1),
    "less the maximum": lambda z: F.softmax(z - z.max(1, keepdim=True)[0], 1),
    "less the mean": lambda z: F.log_softmax(z - z.mean(1, keepdim=True), 1),
    "of a log-softmax": lambda z: F.softmax(F.log_softmax(z, 1), 1),
    "of a distribution": lambda z: torch.distributions.Categorical(logits=z).probs,
    "by exp, less the maximum of all": lambda z: (lambda e: e / e.sum(1, keepdim=True))(torch.exp(z - z.max())),
    "by exp, then moved": lambda z: by_hand(z[:, None]).squeeze(1),
}
ENDINGS = {f"sigmoid: {name}": ending for name, ending in SIGMOIDS.items()} | {f"softmax: {name}": it for name, it in SOFTMAXES.items()}


@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_changes_no_map(name):
    plain, ended = explain_all(network(), X, METHODS, 1), explain_all(network(ENDINGS[name]), X, METHODS, 1)
    assert {method: by for method in METHODS if not (by := deviation(ended[method], plain[method])) < 1e-9} == {}


@pytest.mark.parametrize("name", ENDINGS)
def test_relevance_starts_with_the_logit(name):
    plain = explain(network(), X, "lrp_epsilon_0_1", 1, relevance="logit")
    assert deviation(explain(network(ENDINGS[name]), X, "lrp_epsilon_0_1", 1, relevance="logit"), plain) < 1e-9


@pytest.mark.parametrize("name", ENDINGS)
def test_what_is_predicted_are_the_logits(name):
    net = network(ENDINGS[name])
    torch.testing.assert_close(predict(net, X), network()(X).detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(remove_softmax(net)(X), network()(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["sigmoid: a module", "sigmoid: by exp", "softmax: by exp, less the maximum"])
def test_in_float32_too(name):
    plain, ended = network().float(), network(ENDINGS[name]).float()
    for method in ("gradient", "lrp_epsilon_0_1"):
        assert deviation(explain(ended, X, method, 1), explain(plain, X, method, 1)) < 1e-4


def test_a_saturated_sigmoid_is_taken_off_too():
    net, plain = network(lambda z: torch.sigmoid(40 + z)), network(lambda z: 40 + z)
    assert abs(explain(net, X, "gradient", 1)).max() > 0
    assert deviation(explain(net, X, "gradient", 1), explain(plain, X, "gradient", 1)) < 1e-12


def test_one_output():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1), nn.Sigmoid()).double()
    x = drawn(5, 4)
    assert deviation(explain(net, x, "gradient", 0), explain(net[:3], x, "gradient", 0)) < 1e-12
    squeezed = nn.Sequential(*net, nn.Flatten(0)).double()
    assert deviation(explain(squeezed, x, "gradient", 0), explain(net[:3], x, "gradient", 0)) < 1e-12


def test_a_mask_of_an_image():
    body, x = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 1, 3)).double(), X
    ended = nn.Sequential(*body, nn.Sigmoid())
    assert deviation(explain(ended, x, "lrp_z", (0, 2, 2)), explain(body, x, "lrp_z", (0, 2, 2))) < 1e-12
    assert deviation(explain(ended, x, "gradient", (0, 2, 2)), explain(body, x, "gradient", (0, 2, 2))) < 1e-12


def test_a_sigmoid_within_the_network_stays():
    def gated(z: Tensor) -> Tensor:
        return z * torch.sigmoid(z.flip(-1))

    leaf = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(network(gated)(leaf)[:, 1].sum(), leaf)
    assert deviation(explain(network(gated), X, "gradient", 1), wanted.numpy()) < 1e-12


@pytest.mark.parametrize(
    "ending",
    [
        lambda z: 1 - torch.sigmoid(z),
        lambda z: torch.sigmoid(z) * torch.arange(1.0, 4.0).to(z),
        lambda z: torch.sigmoid(z) + 0.5,
        lambda z: 10 * torch.sigmoid(z),
        lambda z: -torch.sigmoid(z),
    ],
    ids=["the opposite", "each its factor", "an offset", "a quantity from 0 to 10", "the negative"],
)
def test_what_is_made_of_probabilities_is_explained_as_it_is(ending):
    leaf = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(network(ending)(leaf)[:, 1].sum(), leaf)
    assert deviation(explain(network(ending), X, "gradient", 1), wanted.numpy()) < 1e-12


def rates(z: Tensor) -> Tensor:
    return torch.exp(z - 8)


def softplus_by_hand(z: Tensor) -> Tensor:
    return torch.log1p(torch.exp(z - 8))


def likelihoods(z: Tensor) -> Tensor:
    return -z.square() - 20 + torch.exp(z.flip(1) - 15)


def of_its_own_size(z: Tensor) -> Tensor:
    return F.softmax(z, 1) * (z.detach().abs().sum(1, keepdim=True) > 0).to(z)


def overwritten(z: Tensor) -> Tensor:
    p = torch.sigmoid(z)
    z.mul_(-1)
    return p


@pytest.mark.parametrize("ending", [rates, softplus_by_hand, likelihoods, of_its_own_size, overwritten])
@pytest.mark.filterwarnings("ignore::signxai.engine.final_activation.ProbabilitiesWarning")
def test_what_is_no_probability_of_what_is_there_is_explained_as_it_is(ending):
    leaf = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(network(ending)(leaf)[:, 1].sum(), leaf)
    assert deviation(explain(network(ending), X, "gradient", 1), wanted.numpy()) < 1e-11
    assert deviation(explain(network(ending), X[:1], "gradient", 1), wanted[:1].numpy()) < 1e-11


def test_two_heads_of_many_classes_in_half_precision_are_no_softmax_of_one():
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(6, 500), nn.Linear(6, 500)

        def forward(self, x: Tensor) -> Tensor:
            return (by_hand(self.a(x)) + by_hand(self.b(x))) / 2

    net, x = TwoHeads().bfloat16(), drawn(2, 6).bfloat16()
    with pytest.warns(ProbabilitiesWarning):
        got = explain(net, x, "gradient", 1)
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(net(leaf)[:, 1].sum(), leaf)
    assert deviation(got, wanted.float().numpy()) < 0.1


def test_probabilities_that_were_written_to_are_no_softmax_any_more():
    def ending(z: Tensor) -> Tensor:
        p = F.softmax(z, 1).clone()
        p[:, 0] = z[:, 1]
        return p

    leaf = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(network(ending)(leaf)[:, 0].sum(), leaf)
    assert deviation(explain(network(ending), X, "gradient", 0), wanted.numpy()) < 1e-12


def test_probabilities_whose_logits_nobody_knows_are_named():
    def mean_of_two(z: Tensor) -> Tensor:
        return (F.softmax(z, 1) + F.softmax(z.flip(1), 1)) / 2

    with pytest.warns(ProbabilitiesWarning, match="looks like probabilities"):
        explain(network(mean_of_two), X, "gradient", 1)


def test_logits_that_happen_to_be_positive_are_no_probabilities():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(network(lambda z: z.abs()), X, "gradient", 1)
        explain(network(torch.relu), X, "gradient", 1)


def test_the_account_ends_with_the_logits():
    report = inspect_model(network(nn.Sigmoid()), X, "lrp_z", 1)
    assert math.isclose(report.relevance_at_output, N)
