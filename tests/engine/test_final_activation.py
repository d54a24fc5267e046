"""The activation at the output is taken off, however it is written: the logit is explained, by every method alike."""

import gc
import math
import warnings
import weakref
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain, explain_all, inspect_model
from signxai.engine.final_activation import ProbabilitiesWarning
from signxai.engine.forward import run_forward
from signxai.engine.mode import GradientPass
from signxai.engine.prediction import NoSoftmaxWrapper
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


def for_each_sign(z: Tensor) -> Tensor:
    e = torch.exp(-z.abs())
    return torch.where(z >= 0, 1 / (1 + e), e / (1 + e))


def for_each_sign_by_index(z: Tensor) -> Tensor:
    out, positive = torch.empty_like(z), z >= 0
    out[positive] = 1 / (1 + torch.exp(-z[positive]))
    e = torch.exp(z[~positive])
    out[~positive] = e / (1 + e)
    return out


def in_place(z: Tensor) -> Tensor:
    return z.sigmoid_()


def one_by_one(z: Tensor) -> Tensor:
    out = torch.empty_like(z)
    for i in range(CLASSES):
        out[:, i] = torch.sigmoid(z[:, i])
    return out


def one_by_one_by_hand(z: Tensor) -> Tensor:
    out = z.new_zeros(len(z), CLASSES)
    for i in range(CLASSES):
        out[:, i] = 1 / (1 + torch.exp(-z[:, i]))
    return out


def one_by_one_copied(z: Tensor) -> Tensor:
    out = torch.zeros(z.numel(), dtype=z.dtype).view(z.shape)
    for i in range(CLASSES):
        out[:, i].copy_(torch.sigmoid(z[:, i]))
    return out


def one_by_one_in_place(z: Tensor) -> Tensor:
    z = z.clone()
    for i in range(CLASSES):
        z[:, i] = torch.sigmoid(z[:, i])
    return z


def sample_by_sample(z: Tensor) -> Tensor:
    out = torch.zeros_like(z)
    for n, row in enumerate(z):
        out[n] = row.sigmoid()
    return out[:, None].squeeze(1)


def by_slices(z: Tensor) -> Tensor:
    out = torch.empty_like(z)
    out[:, :2], out[:, 2:] = torch.sigmoid(z[:, :2]), torch.sigmoid(z[:, 2:])
    return out.clamp(1e-7, 1 - 1e-7)


def overwritten(z: Tensor) -> Tensor:
    p = torch.sigmoid(z)
    z.mul_(-1)
    return p


def overwritten_in_part(z: Tensor) -> Tensor:
    p = torch.sigmoid(z)
    z[:, 0] = 0.0
    return p


def overwritten_by_hand(z: Tensor) -> Tensor:
    z = -z
    p = 1 / (1 + z.exp())
    z.zero_()
    return p


def stacked_by_hand(z: Tensor) -> Tensor:
    return torch.stack([1 / (1 + torch.exp(-z[:, i])) for i in range(CLASSES)], 1)


def divided_in_place(z: Tensor) -> Tensor:
    return torch.neg(z).exp().add_(1).reciprocal_()


SIGMOIDS = {
    "written one by one": one_by_one,
    "written one by one, by hand": one_by_one_by_hand,
    "copied one by one": one_by_one_copied,
    "written over the logits": one_by_one_in_place,
    "written sample by sample": sample_by_sample,
    "written in slices, clamped": by_slices,
    "of what is overwritten": overwritten,
    "of what is overwritten in part": overwritten_in_part,
    "by hand, of what is overwritten": overwritten_by_hand,
    "each output alone, by hand": stacked_by_hand,
    "by hand, in place": divided_in_place,
    "for each sign by itself": for_each_sign,
    "of the absolute value": lambda z: torch.where(z >= 0, 1 / (1 + torch.exp(-z.abs())), 1 - 1 / (1 + torch.exp(-z.abs()))),
    "for each sign by index": for_each_sign_by_index,
    "logits less their softplus": lambda z: z - F.softplus(z),
    "logarithm, of the absolute value": lambda z: torch.minimum(z, torch.zeros_like(z)) - torch.log1p(torch.exp(-z.abs())),
    "one less that of the opposite": lambda z: 1 - torch.sigmoid(-z),
    "one less that of the opposite, clamped": lambda z: (1.0 - torch.sigmoid(-z)).clamp(1e-7, 1),
    "one less that of the opposite, by rsub": lambda z: torch.rsub(torch.sigmoid(-z), 1),
    "one less that of the opposite, by ones": lambda z: torch.ones_like(z) - torch.sigmoid(-z),
    "the opposite, and one": lambda z: 1 + torch.sigmoid(-z).neg(),
    "one less each": lambda z: torch.stack([1 - torch.sigmoid(-z[:, i]) for i in range(CLASSES)], 1),
    "by exp2": lambda z: 1 / (1 + torch.exp2(-z * math.log2(math.e))),
    "by special.exp2": lambda z: 1 / (1 + torch.special.exp2(-z * (1 / math.log(2)))),
    "by expm1": lambda z: 1 / (2 + torch.expm1(-z)),
    "by expm1, an operator": lambda z: 1 / (2 + torch.ops.aten.special_expm1(-z)),
    "by expm1, in the numerator": lambda z: (1 + z.expm1()) / (2 + z.expm1()),
    "by torch.pow": lambda z: 1 / (1 + torch.pow(math.e, -z)),
    "by a power of torch.e": lambda z: 1 / (1 + torch.e ** (-z)),
    "by a power of NumPy's": lambda z: 1 / (1 + np.e ** (-z)),
    "by a power of a tensor": lambda z: 1 / (1 + torch.tensor(math.e, dtype=torch.float64) ** -z),
    "by float_power": lambda z: 1 / (1 + torch.float_power(math.e, -z)),
    "by tanh, divided": lambda z: (torch.tanh(z / 2) + 1) / 2,
    "by tanh, times and plus": lambda z: torch.tanh(z / 2) * 0.5 + 0.5,
    "by tanh of the opposite": lambda z: 0.5 - 0.5 * torch.tanh(-z / 2),
    "a logarithm by logaddexp": lambda z: -torch.logaddexp(torch.zeros_like(z), -z),
    "by logaddexp": lambda z: torch.exp(-torch.logaddexp(-z, torch.zeros_like(z))),
    "by exp in place": lambda z: 1 / (1 + (-z).exp_()),
    "all in place": lambda z: z.neg().exp_().add_(1).reciprocal_(),
    "of what is overwritten by exp": lambda z: 1 / (1 + z.neg_().exp_()),
    "by exp2 in place": lambda z: 1 / (1 + (-z * math.log2(math.e)).exp2_()),
    "by expm1 in place": lambda z: 1 / (2 + (-z).expm1_()),
    "by tanh in place": lambda z: (z / 2).tanh_().add_(1).div_(2),
    "by softmax of two": lambda z: torch.exp(z) / (torch.exp(z) + torch.exp(torch.zeros_like(z))),
    "the logarithm of base 2": lambda z: torch.log2(torch.sigmoid(z)),
    "another operator": torch.ops.aten.sigmoid,
    "an operator of torch.special": torch.ops.aten.special_expit.default,
    "by hand, then selected": lambda z: (1 / (1 + torch.exp(-torch.cat([z, z * 2], 1))))[:, :CLASSES],
    "of a distribution": lambda z: torch.distributions.Bernoulli(logits=z).probs,
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
    "by exp, written twice": lambda z: torch.exp(z - z.amax(1, keepdim=True)) / torch.exp(z - z.amax(1, keepdim=True)).sum(1, keepdim=True),
    "by exp, then moved": lambda z: (1 / (1 + torch.exp(-z.unsqueeze(1)))).squeeze(1),
    "moved in place": lambda z: torch.sigmoid(z[:, None]).squeeze_(1),
    "columns": lambda z: torch.column_stack([torch.sigmoid(z[:, i]) for i in range(CLASSES)]),
}


def over_the_last_of_three_axes(z: Tensor) -> Tensor:
    return F.softmax(torch.stack([z, -z], 1), 2)[:, 0]


def by_hand_over_the_last_of_three_axes(z: Tensor) -> Tensor:
    return by_hand(torch.stack([z, -z], 1))[:, 0]


def of_a_log_softmax_along_the_last_axis(z: Tensor) -> Tensor:
    return F.softmax(F.log_softmax(torch.stack([z, -z], 1), -1), 2)[:, 0]


def of_a_log_softmax_that_was_moved(z: Tensor) -> Tensor:
    return F.softmax(F.log_softmax(z, 1).T, 0).T


def softmax_sample_by_sample(z: Tensor) -> Tensor:
    out = torch.empty_like(z)
    for n in range(len(z)):
        out[n] = F.softmax(z[n], 0)
    return out


def softmax_overwritten(z: Tensor) -> Tensor:
    p = F.softmax(z, 1)
    z.zero_()
    return p


def by_hand_in_place(z: Tensor) -> Tensor:
    e = (z - z.amax(1, keepdim=True)).exp()
    return e.div_(e.sum(1, keepdim=True))


SOFTMAXES = {
    "torch.special": lambda z: torch.special.softmax(z, 1),
    "torch.special, logarithm": lambda z: torch.special.log_softmax(z, 1),
    "an operator": lambda z: torch.ops.aten._softmax(z, 1, False),
    "an operator of one overload": lambda z: torch.ops.aten._softmax.default(z, 1, False),
    "an operator, softmax": lambda z: torch.ops.aten.softmax.int(z, 1),
    "an operator, logarithm": lambda z: torch.ops.aten._log_softmax.default(z, 1, False),
    "an operator, log_softmax": lambda z: torch.ops.aten.log_softmax.int(z, 1),
    "torch._softmax": lambda z: torch._softmax(z, 1, False),
    "over the last of three axes": over_the_last_of_three_axes,
    "by hand, over the last of three axes": by_hand_over_the_last_of_three_axes,
    "of a log-softmax along the last axis": of_a_log_softmax_along_the_last_axis,
    "of a log-softmax that was moved": of_a_log_softmax_that_was_moved,
    "written sample by sample": softmax_sample_by_sample,
    "of what is overwritten": softmax_overwritten,
    "by hand, in place": by_hand_in_place,
    "by exp in place": lambda z: (lambda e: e / e.sum(1, keepdim=True))((z - z.amax(1, keepdim=True)).exp_()),
    "by exp2": lambda z: (lambda e: e / e.sum(1, keepdim=True))(torch.exp2(z * math.log2(math.e))),
    "by exp2, less the maximum": lambda z: (lambda e: e / e.sum(1, keepdim=True))(torch.exp2((z - z.amax(1, keepdim=True)) / math.log(2))),
    "by a power": lambda z: (lambda e: e / e.sum(1, keepdim=True))(math.e**z),
    "the logarithm of base 2": lambda z: F.softmax(z, 1).log2(),
    "by log2": lambda z: z * math.log2(math.e) - torch.log2(torch.exp(z).sum(1, keepdim=True)),
    "the logarithm of base 10": lambda z: F.softmax(z, 1).log10(),
    "exp2 of the logarithm of base 2": lambda z: F.softmax(z, 1).log2().exp2(),
    "selected": lambda z: F.softmax(z, 1)[:, [0, 1, 2]],
    "gathered": lambda z: F.softmax(z, 1).gather(1, torch.arange(CLASSES).expand(len(z), -1)),
    "taken along an axis": lambda z: torch.take_along_dim(F.softmax(z, 1), torch.arange(CLASSES).expand(len(z), -1), 1),
    "by hand, with an epsilon": lambda z: torch.log(by_hand(z) + 1e-7),
    "by hand, clamped": lambda z: by_hand(z).clamp(1e-7, 1),
    "normalized by its sum": lambda z: F.normalize(z.exp(), p=1.0, dim=1),
    "by nn.functional's axis": lambda z: F.softmax(z, dim=-1, dtype=torch.float64),
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


@cache
def _plain():
    """The maps of the network without an ending."""
    return explain_all(network(), X, METHODS, 1)


@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_changes_no_map(name):
    plain, ended = _plain(), explain_all(network(ENDINGS[name]), X, METHODS, 1)
    assert {method: by for method in METHODS if not (by := deviation(ended[method], plain[method])) < 1e-9} == {}


def softmax(z: Tensor) -> Tensor:
    return F.softmax(z, 1)


def opposite_sigmoid(z: Tensor) -> Tensor:
    return torch.sigmoid(-z)


PLACES = torch.arange(CLASSES)
FOUND_BY_NAME = [  # names of torch, what stands in front, the arguments behind
    ("softmax special_softmax log_softmax special_log_softmax", lambda z: z, (1,)),
    ("_softmax _log_softmax", lambda z: z, (1, False)),
    ("sigmoid sigmoid_ expit special_expit logsigmoid log_sigmoid", torch.clone, ()),
    ("mul mul_ multiply __mul__ __rmul__ __imul__ div div_ divide true_divide __truediv__ __itruediv__", softmax, (2.0,)),
    ("add add_ __add__ __radd__ __iadd__ clamp_min clamp_min_", softmax, (1e-7,)),
    ("clamp clamp_ clip clip_", softmax, (1e-7, 1.0)),
    ("clamp_max clamp_max_", softmax, (1.0,)),
    ("nan_to_num log log_ log2 log2_ log10 log10_ float double", softmax, ()),
    ("exp exp_", lambda z: F.log_softmax(z, 1), ()),
    ("exp2 exp2_ special_exp2", lambda z: F.softmax(z, 1).log2(), ()),
    ("rsub __rsub__", opposite_sigmoid, (1,)),
    ("to type", softmax, (torch.float64,)),
    ("type_as", softmax, (X,)),
    ("dropout", softmax, (0.5, False)),
    ("index_select", softmax, (1, PLACES)),
    ("gather", softmax, (1, PLACES.expand(N, -1))),
    ("take_along_dim", softmax, (PLACES.expand(N, -1), 1)),
    ("cat concat concatenate", lambda z: [F.softmax(row[None], 1) for row in z], ()),
    ("stack vstack", lambda z: [F.softmax(row, 0) for row in z], ()),
    ("hstack column_stack", lambda z: [torch.sigmoid(z[:, i : i + 1]) for i in range(CLASSES)], ()),
]


def spelled(names: str, before, arguments) -> dict:
    """Every function, method and operator of these names, called behind something."""
    spaces = {"torch": torch, "Tensor": Tensor, "F": F, "special": torch.special, "aten": torch.ops.aten}
    found = {f"{space}.{name}": getattr(where, name, None) for name in names.split() for space, where in spaces.items()}
    functions = {name: function for name, function in found.items() if callable(function)}  # torch.float is a type
    return {name: lambda z, function=function: function(before(z), *arguments) for name, function in functions.items()}


SPELLED = {name: ending for row in FOUND_BY_NAME for name, ending in spelled(*row).items()}


@pytest.mark.parametrize("name", SPELLED)
def test_whatever_function_leaves_an_ending_one_changes_no_map(name):
    plain, ended = (explain_all(network(ending), X, ["gradient", "lrp_epsilon_0_1"], 1) for ending in (lambda z: z, SPELLED[name]))
    assert {method: by for method in plain if not (by := deviation(ended[method], plain[method])) < 1e-6} == {}


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


SCALE = torch.tensor(0.7, dtype=torch.float64)
SCALED = {
    "a learned temperature": lambda z: z * SCALE.exp(),
    "one in a vector": lambda z: z * SCALE.view(1).exp(),
    "one of each sample": lambda z: z * z.mean(1, keepdim=True).exp(),
    "a quotient of each sample": lambda z: z / z.abs().mean(1, keepdim=True),
    "a norm": lambda z: z / (1 + z.tanh().square().sum(1, keepdim=True)),
}


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("ending", [lambda z: F.softmax(z, 1), lambda z: F.log_softmax(z, dim=1)], ids=["softmax", "log_softmax"])
def test_a_scale_that_is_alike_for_all_classes_stays_in_the_logits(ending, name):
    scale = SCALED[name]
    for method in ("gradient", "lrp_epsilon_0_1"):
        plain = explain(network(scale), X, method, 1)
        assert deviation(explain(network(lambda z: ending(scale(z))), X, method, 1), plain) < 1e-9


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
        lambda z: torch.sigmoid(z) * torch.arange(1.0, 4.0).to(z),
        lambda z: torch.sigmoid(z) + 0.5,
        lambda z: 10 * torch.sigmoid(z),
        lambda z: -torch.sigmoid(z),
    ],
    ids=["each its factor", "an offset", "a quantity from 0 to 10", "the negative"],
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


@pytest.mark.parametrize("ending", [rates, softplus_by_hand, likelihoods, of_its_own_size])
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


def two_kinds(z: Tensor) -> Tensor:
    return torch.cat([torch.sigmoid(z[:, :1]), F.softmax(z[:, 1:], 1)], 1)


def one_of_them(z: Tensor) -> Tensor:
    return torch.cat([torch.sigmoid(z[:, :1]), z[:, 1:]], 1)


def one_of_them_by_hand(z: Tensor) -> Tensor:
    return torch.cat([1 / (1 + torch.exp(-z[:, :1])), z[:, 1:]], 1)


def one_of_them_written(z: Tensor) -> Tensor:
    out = torch.zeros_like(z)
    out[:, 1], out[:, 0] = torch.sigmoid(z[:, 1]), z[:, 0]
    return out


def all_but_one(z: Tensor) -> Tensor:
    return 1 - F.softmax(z, 1)


def halves_of_a_softmax_over_pairs(z: Tensor) -> Tensor:
    return (F.softmax(torch.stack([z, -z], 2), 2) + F.softmax(torch.stack([z, -2 * z], 2), 2)) / 2


@pytest.mark.parametrize(
    "ending", [two_kinds, one_of_them, one_of_them_by_hand, one_of_them_written, all_but_one, halves_of_a_softmax_over_pairs]
)
def test_probabilities_that_stay_are_named(ending):
    target = (0, 1) if ending is halves_of_a_softmax_over_pairs else 1
    for method in ("gradient", "lrp_z"):
        with pytest.warns(ProbabilitiesWarning):
            explain(network(ending), X, method, target)
    with pytest.warns(ProbabilitiesWarning):
        predict(network(ending), X)


def gates_in_a_buffer(z: Tensor) -> Tensor:
    gates = torch.empty_like(z)
    for i in range(CLASSES):
        gates[:, i] = torch.sigmoid(z[:, i])
    return gates * z


def a_part_that_is_written_over(z: Tensor) -> Tensor:
    out = torch.sigmoid(z) * z
    out[:, 0] = z[:, 1] / (1 + z[:, 1].abs())
    return out


ORDINARY = {
    "a gate": lambda z: z * torch.sigmoid(z),
    "a gate of another": lambda z: torch.sigmoid(z) * torch.sigmoid(z.flip(1)),
    "gates in a buffer": gates_in_a_buffer,
    "a part that is written over": a_part_that_is_written_over,
    "within 0 and 1": lambda z: z.clamp(0, 1) * 0.5 + z / 100,
    "softsign": lambda z: z.abs() / (1 + z.abs()),
    "radial": lambda z: torch.exp(-z.square()),
    "one less a radial one": lambda z: 1 - torch.exp(-z.square()),
    "an algebraic sigmoid": lambda z: 0.5 + 0.5 * z / (1 + z.square()).sqrt(),
    "a square of tanh": lambda z: torch.tanh(z).square(),
    "tanh": torch.tanh,
    "half of tanh, and one": lambda z: 0.5 + 0.25 * torch.tanh(z),
    "a power": lambda z: 0.5 ** z.abs(),
    "a difference of sigmoids": lambda z: torch.sigmoid(z + 1) - torch.sigmoid(z),
    "a product of all": lambda z: torch.sigmoid(z).prod(1, keepdim=True).expand(-1, CLASSES) * z,
    "sums of probabilities": lambda z: F.softmax(z, 1).cumsum(1) * 0.9,
    "a mean of values by softmax": lambda z: F.softmax(z, 1) @ torch.linspace(0.1, 0.7, 9, dtype=torch.float64).view(3, 3),
    "an offset to what is one less": lambda z: 0.9 - torch.sigmoid(z),
    "a logarithm of a rate": lambda z: torch.log2(1 + torch.exp2(z)),
    "gates beside features, weighted": lambda z: (
        torch.cat([torch.sigmoid(z), z], 1) @ torch.linspace(-1, 1, 18, dtype=torch.float64).view(6, 3)
    ),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_outputs_stay_as_they_are(name):
    ending = ORDINARY[name]
    leaf = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(network(ending)(leaf)[:, 1].sum(), leaf)
    assert deviation(explain(network(ending), X, "gradient", 1), wanted.numpy()) < 1e-11
    assert deviation(explain(network(ending), X[:1], "gradient", 1), wanted[:1].numpy()) < 1e-11
    explain(network(ending), X, "lrp_z", 1)


BY_CHANCE = {
    "a sum with a ReLU": lambda a, b: torch.sigmoid(b) + torch.relu(a),
    "a sum with a ReLU of its own": lambda a, b: torch.sigmoid(b) + torch.relu(b),
    "a sum with a ReLU of its own, by hand": lambda a, b: 1 / (1 + torch.exp(-b)) + torch.relu(b),
    "the greater": lambda a, b: torch.maximum(torch.sigmoid(a), torch.sigmoid(b)),
    "the smaller": lambda a, b: torch.minimum(torch.sigmoid(a), torch.sigmoid(b)),
    "cut off": lambda a, b: torch.sigmoid(b) * (9 * a).clamp(0, 1),
    "gated": lambda a, b: torch.sigmoid(b) * F.hardsigmoid(9 * a),
    "chosen": lambda a, b: torch.where(a > 0, torch.sigmoid(b), torch.sigmoid(a)),
    "by hand, and more": lambda a, b: torch.exp(b) / (torch.exp(b) + 1 + torch.relu(a)),
    "a product": lambda a, b: torch.sigmoid(a) * (1 + torch.relu(b)),
}


class Two(nn.Module):
    """A function of two outputs of a layer."""

    def __init__(self, of_two) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.a, self.b, self.of_two = nn.Linear(6, 1), nn.Linear(6, 1), of_two

    def forward(self, x: Tensor) -> Tensor:
        return self.of_two(self.a(x), self.b(x))


@pytest.mark.parametrize("name", BY_CHANCE)
def test_what_equals_a_sigmoid_for_one_sample_alone_is_none(name):
    net, x = Two(BY_CHANCE[name]).double(), torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(net(leaf).sum(), leaf)
    assert deviation(explain(net, x, "gradient", 0), wanted.numpy()) < 1e-11
    together = explain(net, x, "lrp_z", 0, relevance="logit")
    for i in range(20):
        assert deviation(explain(net, x[i : i + 1], "gradient", 0), wanted[i : i + 1].numpy()) < 1e-11
        assert deviation(explain(net, x[i : i + 1], "lrp_z", 0, relevance="logit"), together[i : i + 1]) < 1e-9
        assert deviation(remove_softmax(net)(x[i : i + 1]).detach(), net(x[i : i + 1]).detach()) < 1e-12


def test_what_is_known_of_one_output_says_nothing_of_another():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.a, self.b = nn.Linear(6, 1), nn.Linear(6, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            p = 1 / (1 + torch.exp(-self.b(x)))
            return p, p + torch.relu(self.a(x))

    model, x = Both().double().eval(), torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x = x[model.a(x)[:, 0] < 0][:1]
    surely, by_chance = (NoSoftmaxWrapper(model, lambda returned, i=i: returned[i]) for i in (0, 1))
    assert deviation(surely(x).detach(), model.b(x).detach()) < 1e-12
    assert deviation(by_chance(x).detach(), model(x)[1].detach()) < 1e-12


def test_a_gate_of_ones_stays_in():
    net, x = nn.Linear(6, 3).double(), torch.ones(1, 6, dtype=torch.float64)

    class Gate(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :3] * torch.sigmoid(net(x))

    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(Gate()(leaf)[:, 1].sum(), leaf)
    assert deviation(explain(Gate(), x, "gradient", 1), wanted.numpy()) < 1e-11


def test_heads_of_their_own_are_taken_off_together():
    class Heads(nn.Module):
        def __init__(self, ending) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.heads, self.ending = nn.ModuleList(nn.Linear(6, 1) for _ in range(12)), ending

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.ending(head(x).squeeze(1)) for head in self.heads], 1)

    x = drawn(5, 6)
    for ending in (torch.sigmoid, lambda z: 1 / (1 + torch.exp(-z)), lambda z: 1 - torch.sigmoid(-z), F.logsigmoid):
        for method in ("gradient", "lrp_epsilon_0_1"):
            plain = explain(Heads(lambda z: z).double(), x, method, 7)
            assert deviation(explain(Heads(ending).double(), x, method, 7), plain) < 1e-9


def test_labels_of_two_states_each():
    class Labels(nn.Module):
        def __init__(self, ending) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.head, self.ending = nn.Linear(6, 8), ending

        def forward(self, x: Tensor) -> Tensor:
            return self.ending(self.head(x).unflatten(1, (4, 2)))

    x, plain = drawn(5, 6), Labels(lambda z: z).double()
    for ending in (nn.Softmax(dim=2), nn.LogSoftmax(-1), by_hand):
        net = Labels(ending).double()
        assert deviation(explain(net, x, "lrp_epsilon_0_1", (2, 1)), explain(plain, x, "lrp_epsilon_0_1", (2, 1))) < 1e-9
        chosen = Labels(lambda z, ending=ending: ending(z)[..., 1]).double()
        assert deviation(explain(chosen, x, "gradient", 2), explain(plain, x, "gradient", (2, 1))) < 1e-9


def test_one_probability_that_is_selected():
    for ending in (lambda z: F.softmax(z, 1)[:, 1], lambda z: by_hand(z)[:, 1:2], lambda z: by_hand(z).select(1, 1)):
        net, plain = network(ending), network(lambda z: z[:, 1:2])
        target = None if net(X).ndim == 1 else 0
        wanted = explain(plain, X, "lrp_epsilon_0_1", 0)
        assert deviation(explain(net, X, "lrp_epsilon_0_1", target), wanted) < 1e-9


def test_a_pass_is_freed_with_its_output():
    net = network(lambda z: torch.stack([1 / (1 + torch.exp(-z[:, i])) for i in range(CLASSES)], 1).clone())
    mode = GradientPass()
    leaf = X.clone().requires_grad_()
    logits = run_forward(net, leaf, mode)
    watched = weakref.ref(mode)
    gc.disable()
    try:
        del mode, logits
        assert watched() is None
    finally:
        gc.enable()
