"""What is read as written by hand is that and nothing else: functions that look like it are treated by the rules of their steps."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain
from signxai.engine.relevance import RelevancePass
from signxai.methods.composites import layer_rules

N, C = 3, 6
W, V, B, HEAD = drawn(C, C, seed=1), drawn(C, C, seed=2), drawn(C, seed=3), drawn(4, C, seed=4)
X = drawn(N, C, seed=5)
METHODS = ["lrp_z", "lrp_epsilon_0_25", "lrp_alpha_2_beta_1", "lrp_epsilon_0_25_std_x"]


class Part(nn.Module):
    def __init__(self, part) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.part(F.linear(x, W, B)), HEAD)


def differences(one, other):
    """By method, of the maps of two ways to write a part."""
    torch.testing.assert_close(Part(one)(X), Part(other)(X), rtol=1e-12, atol=1e-12)
    return {name: deviation(explain(Part(other), X, name, 1, strict=True), explain(Part(one), X, name, 1, strict=True)) for name in METHODS}


def relevance(function, *tensors):
    """What arrives at tensors, under the z rule, of ones at the output."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    tensors = tuple(leaf.clone() for leaf in leaves)
    with RelevancePass(layer_rules("lrp", "z"), strict=True):
        y = function(*tensors)
    found = torch.autograd.grad(y, leaves, torch.ones_like(y), allow_unused=True)
    return tuple(torch.zeros_like(leaf) if part is None else part for leaf, part in zip(leaves, found, strict=True))


def halved_exponentials(y: Tensor, in_place: bool) -> Tensor:
    """A softmax that is halved where a mask says so: the exponentials are, after they were summed."""
    e = torch.exp(y)
    total = e.sum(-1, keepdim=True)
    factor = torch.where(B > 0, 0.5, 1.0)
    return (e.mul_(factor) if in_place else e * factor) / total


def overwritten_difference(y: Tensor, in_place: bool) -> Tensor:
    """A softmax, but not of the difference as it was."""
    z = y - y.amax(-1, keepdim=True)
    return F.softmax(z.mul_(B) if in_place else z * B, -1)


def overwritten_mask(y: Tensor, in_place: bool) -> Tensor:
    """Exponentials by a mask that is turned round before they are divided."""
    mask = (B > 0).to(y)
    e = torch.exp(y) * mask
    total = e.sum(-1, keepdim=True)
    mask = mask.mul_(-1).add_(1) if in_place else 1 - mask
    return e / total + mask


def overwritten_values(y: Tensor, in_place: bool) -> Tensor:
    """A mix of values by exponentials, of which the values are halved before it is divided: their part in it is not."""
    v, e = F.linear(y, V), torch.exp(y)
    mixed, total = (e * v).sum(-1, keepdim=True), e.sum(-1, keepdim=True)
    v = v.mul_(0.5) if in_place else v * 0.5
    return mixed / total + v


def overwritten_terms(y: Tensor, in_place: bool) -> Tensor:
    """The same of values that are weighed one by one by a softmax: a term is made, its value is halved, the rest is added."""
    v, w = F.linear(y, V).split(1, -1), F.softmax(y, -1).split(1, -1)
    v = [value.clone() for value in v]
    terms = [weight * value for weight, value in zip(w, v, strict=True)]
    v[0] = v[0].mul_(0.5) if in_place else v[0] * 0.5
    return torch.cat([sum(terms), *v[1:]], -1) + v[0]


OVERWRITTEN = [halved_exponentials, overwritten_difference, overwritten_mask]


@pytest.mark.parametrize("function", OVERWRITTEN)
def test_what_was_overwritten_is_not_what_it_was(function):
    found = differences(lambda y: function(y, False), lambda y: function(y, True))
    assert {name: by for name, by in found.items() if not by < 1e-11} == {}


@pytest.mark.parametrize("function", [overwritten_values, overwritten_terms])
def test_what_was_mixed_before_its_values_were_overwritten_is_a_sum_of_products(function):
    """Nothing keeps what the values were, so the steps' own rules hold; each still passes on all that arrives."""
    y = drawn(N, C, seed=6)
    torch.testing.assert_close(function(y.clone(), True), function(y.clone(), False))
    (found,) = relevance(lambda y: function(y, True), y)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("size", [1.0, 1e-1, 1e-2])
def test_values_that_cancel_say_nothing_of_what_mixes_them(size):
    """Whether a quotient is a mix is asked of other numbers than those of the sample."""

    def centred(y: Tensor) -> Tensor:
        v = F.linear(y, V)
        return v - v.mean(0, keepdim=True)

    def first(y: Tensor) -> Tensor:
        return F.softmax(y @ y.mT, -1) @ centred(y)

    def last(y: Tensor) -> Tensor:
        e = (y @ y.mT).exp()
        return (e @ centred(y)) / e.sum(-1, keepdim=True)

    x = drawn(N, C, seed=5) * size
    with torch.no_grad():
        torch.testing.assert_close(first(x), last(x), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(relevance(last, x)[0], relevance(first, x)[0], rtol=1e-8, atol=1e-8)


NO_MIXTURES = {
    "summed over another axis": (
        lambda a, v: (a.exp() * v).sum(0, keepdim=True) / a.exp().sum(-1, keepdim=True),
        lambda a, v: (a.exp() * v).sum(0, keepdim=True) / plain_total(a, -1),
    ),
    "less than all": (
        lambda a, v: (a.exp() * v).sum(-1, keepdim=True) / a[:, 1:].exp().sum(-1, keepdim=True),
        lambda a, v: (a.exp() * v).sum(-1, keepdim=True) / plain_total(a[:, 1:], -1),
    ),
    "more than all": (
        lambda a, v: (a.exp() * v).sum(-1, keepdim=True) / (a.exp().sum(-1, keepdim=True) + 1),
        lambda a, v: (a.exp() * v).sum(-1, keepdim=True) / (plain_total(a, -1) + 1),
    ),
    "by another exponential": (
        lambda a, v: (a.exp() * v).sum(-1, keepdim=True) / (2 * a).exp().sum(-1, keepdim=True),
        lambda a, v: (a.exp() * v).sum(-1, keepdim=True) / plain_total(2 * a, -1),
    ),
    "with a bias": (
        lambda a, v: F.linear(a.exp(), V, B) / a.exp().sum(-1, keepdim=True),
        lambda a, v: F.linear(a.exp(), V, B) / plain_total(a, -1),
    ),
    "some terms of a softmax": (
        lambda a, v: sum(F.softmax(a, -1)[:, i : i + 1] * v[:, i : i + 1] for i in range(C - 1)),
        lambda a, v: sum(F.softmax(a, -1).detach()[:, i : i + 1] * v[:, i : i + 1] for i in range(C - 1)),
    ),
    "a term twice": (
        lambda a, v: sum(F.softmax(a, -1)[:, i : i + 1] * v[:, i : i + 1] for i in (0, 0, 1, 2, 3, 4)),
        lambda a, v: sum(F.softmax(a, -1).detach()[:, i : i + 1] * v[:, i : i + 1] for i in (0, 0, 1, 2, 3, 4)),
    ),
    "of two softmaxes": (
        lambda a, v: sum(F.softmax(a * (1 + i % 2), -1)[:, i : i + 1] * v[:, i : i + 1] for i in range(C)),
        lambda a, v: sum(F.softmax(a * (1 + i % 2), -1).detach()[:, i : i + 1] * v[:, i : i + 1] for i in range(C)),
    ),
}


def plain_total(a: Tensor, axis: int) -> Tensor:
    """A sum of exponentials as nothing but numbers."""
    return a.detach().exp().sum(axis, keepdim=True)


@pytest.mark.parametrize("pair", NO_MIXTURES.values(), ids=NO_MIXTURES)
def test_what_looks_like_a_softmax_that_mixes_and_is_none_keeps_the_rules_of_its_steps(pair):
    """A divisor and the gates get nothing: with constants in their place the map is the same."""
    a, v = drawn(N, C, seed=6), drawn(N, C, seed=7)
    for one, other in zip(relevance(pair[0], a, v), relevance(pair[1], a, v), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_softmax_of_a_difference_whose_first_term_was_overwritten_is_none_of_what_is_there_now():
    """``z * (R - s * sum(R))`` at the difference, of which the first term takes its share ``y / z``."""

    def overwritten(y: Tensor) -> Tensor:
        z = y - y.detach().mean(-1, keepdim=True)
        y.mul_(0.5)
        return F.softmax(z, -1)

    (got,) = relevance(overwritten, X)
    torch.testing.assert_close(got, X * (1 - C * torch.softmax(X, -1)))


def test_a_maximum_subtracted_in_place_is_taken_off_too():
    found = differences(lambda y: F.softmax(y, -1), lambda y: F.softmax(y.sub_(y.amax(-1, keepdim=True)), -1))
    assert {name: by for name, by in found.items() if not by < 1e-11} == {}


def test_a_constant_in_front_of_a_bent_function_absorbs_whatever_comes_behind():
    """``tanh(a + 1)``, where a is a sum of signals, and a ReLU or not: the 1 takes its share."""
    a = drawn(N, C, seed=6).abs() + 0.1

    def shifted(a: Tensor) -> Tensor:
        return torch.tanh(a.cumsum(0) + 1)

    (plain,) = relevance(shifted, a)
    (behind,) = relevance(lambda a: F.relu(shifted(a)), a)
    torch.testing.assert_close(behind, plain)
    assert plain.sum() < N * C - 1


def test_a_shifted_value_beside_its_own_gate_leaves_the_shift_its_share():
    a = drawn(N, C, seed=6).abs() + 0.1
    (got,) = relevance(lambda a: (a * 1 + 1) * torch.sigmoid(a * 1), a)
    torch.testing.assert_close(got, a / (a + 1))


def test_a_cut_off_behind_a_bent_function_takes_the_relevance_under_z():
    a = torch.linspace(0.5, 3, C, dtype=torch.float64)[None]
    leaf = a.clone().requires_grad_()
    x = leaf.clone()
    with RelevancePass(layer_rules("lrp", "z"), cut_offs_absorb=True):
        y = torch.clamp(torch.exp(x), max=5.0)
    (got,) = torch.autograd.grad(y, leaf, torch.ones_like(y))
    torch.testing.assert_close(got, (a.exp() < 5).double())


def test_one_and_a_divisor_is_no_divisor():
    a, b = drawn(N, C, seed=6).abs() + 0.1, drawn(N, C, seed=7).abs() + 0.1
    to_a, _ = relevance(lambda a, b: a * (1 + b.rsqrt()), a, b)
    torch.testing.assert_close(to_a, torch.full_like(a, 0.5))
    to_a, to_b = relevance(lambda a, b: a * b.rsqrt(), a, b)
    torch.testing.assert_close((to_a, to_b), (torch.ones_like(a), torch.zeros_like(b)))


def test_a_quotient_that_is_no_sigmoid_is_no_gate():
    """exp(-y) / (1 + exp(y)) is not within [0, 1]."""
    a, y = drawn(N, C, seed=6).abs() + 0.1, drawn(N, C, seed=7)
    to_a, _ = relevance(lambda a, y: a * (torch.exp(-y) / (1 + torch.exp(y))), a, y)
    torch.testing.assert_close(to_a, torch.full_like(a, 0.5))
    to_a, _ = relevance(lambda a, y: a * (torch.exp(y) / (1 + torch.exp(y))), a, y)
    torch.testing.assert_close(to_a, torch.ones_like(a))


TWICE = {
    "outer": (lambda a: torch.outer(a, a), (C,)),
    "kron": (lambda a: torch.kron(a, a), (2, 3)),
    "vdot": (lambda a: torch.vdot(a, a), (C,)),
    "vecdot": (lambda a: torch.linalg.vecdot(a, a), (2, C)),
    "einsum": (lambda a: torch.einsum("i,j->ij", a, a), (C,)),
    "matmul": (lambda a: a @ a, (3, 3)),
    "mul": (lambda a: a.cumsum(0) * a.flip(0), (C,)),
    "addbmm": (lambda a: torch.addbmm(torch.zeros(3, 3, dtype=a.dtype), a, a), (2, 3, 3)),
    "baddbmm": (lambda a: torch.baddbmm(torch.zeros(2, 3, 3, dtype=a.dtype), a, a), (2, 3, 3)),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_product_of_a_signal_with_itself_keeps_the_relevance(name):
    function, shape = TWICE[name]
    a = drawn(*shape, seed=6).abs() + 0.1
    (got,) = relevance(function, a)
    torch.testing.assert_close(got.sum(), torch.tensor(float(function(a).numel()), dtype=torch.float64))


def test_each_of_three_factors_gets_a_third():
    a, b, c = (drawn(N, C, seed=seed).abs() + 0.1 for seed in (6, 7, 8))
    third = torch.full_like(a, 1 / 3)
    products = {
        "from the left": lambda a, b, c: a * b * c,
        "from the right": lambda a, b, c: a * (b * c),
        "prod": lambda a, b, c: torch.stack([a, b, c]).prod(0),
        "einsum": lambda a, b, c: torch.einsum("ij,ij,ij->ij", a, b, c),
        "in place": lambda a, b, c: (a * b).mul_(c),
    }
    for name, product in products.items():
        torch.testing.assert_close(relevance(product, a, b, c), (third,) * 3, msg=name)


# --- constants behind a layer


def test_a_layer_whose_input_was_overwritten_is_not_joined_with_what_comes_later():
    def written(y: Tensor, in_place: bool) -> Tensor:
        y = y.relu()
        z = F.linear(y, V)
        y = y.mul_(B) if in_place else y * B
        return z * 2 + B + y

    x, leaf = X.clone(), X.clone().requires_grad_()
    maps = [explain(Part(lambda y, w=w: written(y, w)), x, "lrp_z", 1, relevance="logit") for w in (False, True)]
    Part(lambda y: written(y, False))(leaf)[:, 1].sum().backward()
    for found in maps:  # law 1: the network is linear in pieces
        assert deviation(found, (leaf.grad * x).numpy()) < 1e-11


def test_a_bias_that_is_computed_from_parameters_is_a_bias():
    low, high = drawn(C, 2, seed=8), drawn(2, seed=9)
    found = differences(lambda y: F.linear(y, V, low @ high), lambda y: F.linear(y, V) + low @ high)
    assert {name: by for name, by in found.items() if not by < 1e-11} == {}


# --- operators of torch.ops


MEAN, VAR = drawn(C, seed=10), drawn(C, seed=11).abs() + 0.3
OPERATORS = {
    "batch_norm": (
        lambda y: F.batch_norm(y, MEAN, VAR, B, HEAD[0]),
        lambda y: torch.ops.aten.batch_norm(y, B, HEAD[0], MEAN, VAR, False, 0.1, 1e-5, False),
    ),
    "layer_norm": (lambda y: F.layer_norm(y, (C,), B, HEAD[0]), lambda y: torch.ops.aten.layer_norm.default(y, [C], B, HEAD[0])),
    "softmax": (lambda y: F.softmax(y, -1), lambda y: torch.ops.aten.softmax.int(y, -1)),
    "addmm": (lambda y: F.linear(y, V, B), lambda y: torch.ops.aten.addmm(B, y, V.t())),
    "in place": (lambda y: F.linear(y, V).relu(), lambda y: torch.ops.aten.relu_(torch.ops.aten.linear(y, V))),
    "moves": (lambda y: F.linear(y, V).t().t() + B, lambda y: torch.ops.aten.t(torch.ops.aten.t(torch.ops.aten.linear(y, V))) + B),
    "mean": (lambda y: y + y.mean(-1, keepdim=True), lambda y: y + torch.ops.aten.mean.dim(y, [-1], True)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_the_function_that_it_is(name):
    assert {method: by for method, by in differences(*OPERATORS[name]).items() if not by < 1e-11} == {}


def test_an_embedding_by_its_operator():
    table, ids = drawn(9, C, seed=12), torch.tensor([[1, 4, 2], [8, 0, 3]])

    class Read(nn.Module):
        def __init__(self, look_up) -> None:
            super().__init__()
            self.look_up, self.head = look_up, nn.Parameter(HEAD)

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(self.look_up(x.long()).mean(1), self.head)

    one, other = Read(lambda ids: F.embedding(ids, table)), Read(lambda ids: torch.ops.aten.embedding(table, ids))
    assert deviation(explain(other, ids, "lrp_z", 1, strict=True), explain(one, ids, "lrp_z", 1)) < 1e-12
