"""Functions that networks spell out in several steps, each beside torch's own name for it, within a network over a sequence."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain, inspect_model

N, T, C = 4, 5, 6
V, W, U = (drawn(C, C, seed=seed) for seed in (1, 2, 3))
B, HEAD = drawn(C, seed=4), drawn(3, C, seed=5)
X = drawn(N, T, C, seed=6)
METHODS = ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrp_gamma_0_25"]


class Part(nn.Module):
    """A part behind a layer and a tanh, in front of a ReLU, a mean over time and a layer."""

    def __init__(self, part) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.part(F.linear(x, V, B).tanh()).relu().mean(1), HEAD)


def a(y: Tensor) -> Tensor:
    return F.linear(y, W)


def b(y: Tensor) -> Tensor:
    return F.linear(y, U)


def softmax(y: Tensor) -> Tensor:
    return F.softmax(y, -1)


KEPT = torch.arange(C) < 4


def masked_softmax(y: Tensor) -> Tensor:
    return F.softmax(y.masked_fill(~KEPT, -torch.inf), -1)


def normalized(e: Tensor) -> Tensor:
    return e / e.sum(-1, keepdim=True)


def spread_sum(y: Tensor) -> Tensor:
    e = torch.exp(y)
    return e / e.sum(-1, keepdim=True).expand_as(e)


def repeated_sum(y: Tensor) -> Tensor:
    e = torch.exp(y)
    return e / e.sum(-1).unsqueeze(-1).repeat(1, 1, C)


def moved_exponential(y: Tensor) -> Tensor:
    e = torch.exp(y - y.amax(-1, keepdim=True)).transpose(1, 2)
    return (e / e.sum(1, keepdim=True)).transpose(1, 2)


def leading_axis(y: Tensor) -> Tensor:
    e = torch.exp(y.permute(2, 0, 1))
    return (e / e.sum(0)).permute(1, 2, 0)


def over_both_axes(y: Tensor) -> Tensor:
    e = torch.exp(y)
    return e / e.sum((1, 2), keepdim=True)


def log_softmax_of_shifted(y: Tensor) -> Tensor:
    m = y.amax(-1, keepdim=True).detach()
    return torch.exp(y - (m + torch.log(torch.exp(y - m).sum(-1, keepdim=True))))


SOFTMAX = {
    "the sum spread by expand_as": (softmax, spread_sum),
    "the sum repeated": (softmax, repeated_sum),
    "the exponential moved": (softmax, moved_exponential),
    "along the first axis, which needs no keepdim": (softmax, leading_axis),
    "log(sum(exp)) subtracted": (softmax, lambda y: torch.exp(y - torch.log(torch.exp(y).sum(-1, keepdim=True)))),
    "log(sum(exp)) with its maximum": (softmax, log_softmax_of_shifted),
    "over two axes": (lambda y: F.softmax(y.flatten(1), -1).view_as(y), over_both_axes),
    "of the negative": (lambda y: F.softmax(-y, -1), lambda y: F.softmin(y, dim=-1)),
    "masked by masked_fill": (masked_softmax, lambda y: normalized(torch.exp(y).masked_fill(~KEPT, 0.0))),
    "masked by where": (masked_softmax, lambda y: normalized(torch.where(KEPT, torch.exp(y), 0.0))),
    "masked twice": (masked_softmax, lambda y: (y.exp() * KEPT.to(y)) / (y.exp() * KEPT.to(y)).sum(-1, keepdim=True)),
    "an epsilon that changes nothing": (softmax, lambda y: (lambda e: e / (e.sum(-1, keepdim=True) + 1e-17))(torch.exp(y))),
}
LOGSUMEXP = {
    "log(sum(exp))": (lambda y: y * torch.logsumexp(y, -1, True).sigmoid(), lambda y: y * y.exp().sum(-1, keepdim=True).log().sigmoid()),
    "without the axis": (lambda y: y + torch.logsumexp(y, -1)[..., None], lambda y: y + torch.log(torch.exp(y).sum(-1))[..., None]),
    "over two axes": (lambda y: y + torch.logsumexp(y, (1, 2), True), lambda y: y + torch.log(torch.exp(y).sum((1, 2), keepdim=True))),
    "with its maximum": (
        lambda y: y + torch.logsumexp(y, -1, True),
        lambda y: y + (y.amax(-1, True) + torch.log(torch.exp(y - y.amax(-1, True)).sum(-1, True))),
    ),
}


def in_a_buffer(y: Tensor) -> Tensor:
    gate = torch.empty(N, T, C, dtype=y.dtype)
    gate[:] = b(y).sigmoid()
    return a(y) * gate


def in_parts_of_a_buffer(y: Tensor) -> Tensor:
    gate, whole = y.new_zeros(y.shape), b(y).sigmoid()
    for step in range(T):
        gate[:, step] = whole[:, step]
    return a(y) * gate


def stable_sigmoid(y: Tensor) -> Tensor:
    return torch.where(y > 0, 1 / (1 + torch.exp(-y)), torch.exp(y) / (1 + torch.exp(y)))


def gated(y: Tensor) -> Tensor:
    return a(y) * b(y).sigmoid()


def both_squashed(y: Tensor) -> Tensor:
    return a(y).tanh() * b(y).sigmoid()


GATES = {
    "written into a buffer": (gated, in_a_buffer),
    "written into a buffer step by step": (gated, in_parts_of_a_buffer),
    "copy_": (gated, lambda y: a(y) * torch.empty_like(y).copy_(b(y).sigmoid())),
    "a sigmoid in two branches": (gated, lambda y: a(y) * stable_sigmoid(b(y))),
    "exp(logsigmoid)": (gated, lambda y: a(y) * F.logsigmoid(b(y)).exp()),
    "the negative": (lambda y: -gated(y), lambda y: a(y) * -b(y).sigmoid()),
    "a sigmoid by tanh": (both_squashed, lambda y: a(y).tanh() * (0.5 * torch.tanh(b(y) / 2) + 0.5)),
    "a sigmoid by tanh, halved behind": (both_squashed, lambda y: a(y).tanh() * (0.5 * (1 + torch.tanh(b(y) / 2)))),
    "a sigmoid by tanh, in place": (both_squashed, lambda y: a(y).tanh() * (b(y) / 2).tanh_().add_(1).div_(2)),
    "a sigmoid that is cut off": (both_squashed, lambda y: a(y).tanh() * b(y).sigmoid().clamp(0, 1)),
    "a sigmoid in place": (gated, lambda y: a(y) * (-b(y)).exp_().add_(1).reciprocal_()),
    "hardsigmoid by relu6": (
        lambda y: F.relu6(a(y)) * F.hardsigmoid(b(y)),
        lambda y: F.relu6(a(y)) * (F.relu6(b(y) + 3) / 6),
    ),
    "hardsigmoid by clamp": (
        lambda y: F.relu6(a(y)) * F.hardsigmoid(b(y)),
        lambda y: F.relu6(a(y)) * (b(y) / 6 + 0.5).clamp(0, 1),
    ),
    "ndtr by erf": (
        lambda y: a(y).tanh() * torch.special.ndtr(b(y)),
        lambda y: a(y).tanh() * (0.5 * (1 + torch.erf(b(y) / math.sqrt(2)))),
    ),
    "ndtr by erfc": (
        lambda y: a(y).tanh() * torch.special.ndtr(b(y)),
        lambda y: a(y).tanh() * (0.5 * torch.erfc(-b(y) / math.sqrt(2))),
    ),
}
BENT = {
    "tanh_() + 1": (lambda y: y.tanh() + 1, lambda y: y.clone().tanh_() + 1),
    "(tanh().mT + 1).mT": (lambda y: y.tanh() + 1, lambda y: (y.tanh().mT + 1).mT),
    "softplus in another shape": (F.softplus, lambda y: torch.log(1 + torch.exp(y).reshape(-1, C)).view(y.shape)),
    "softplus in place": (F.softplus, lambda y: torch.exp(y).add_(1).log_()),
    "gelu by ndtr": (F.gelu, lambda y: y * torch.special.ndtr(y)),
    "gelu by erfc": (F.gelu, lambda y: y * 0.5 * torch.erfc(-y / math.sqrt(2))),
}


def time_first(y: Tensor) -> Tensor:
    e = torch.exp(y.transpose(0, 1)).contiguous().view(T * N, C)
    return (e / e.sum(-1, keepdim=True)).view(T, N, C).transpose(0, 1)


STRIDED = {
    "softmax": (softmax, time_first),
    "tanh + 1": (lambda y: y.tanh() + 1, lambda y: (torch.tanh(y.mT).contiguous().view(N, C * T) + 1).view(N, C, T).mT),
    "a bias": (
        lambda y: F.linear(y, W) + B,
        lambda y: (F.linear(y, W).transpose(0, 1).contiguous().view(T * N, C) + B).view(T, N, C).transpose(0, 1),
    ),
}
EXPERTS = drawn(3, C, C, seed=7)


def routed(y: Tensor) -> Tensor:
    return F.softmax(F.linear(y, U[:3]), -1)


def outputs(y: Tensor) -> list[Tensor]:
    return [F.linear(F.linear(y, expert).relu(), expert) for expert in EXPERTS]


def one_by_one(y: Tensor) -> Tensor:
    return sum(routed(y)[..., e, None] * output for e, output in enumerate(outputs(y)))


def side_by_side(y: Tensor) -> Tensor:
    """The outputs of all experts (N, T, experts, C)."""
    hidden = torch.einsum("ntc,edc->nted", y, EXPERTS).relu()
    return torch.einsum("nted,eod->nteo", hidden, EXPERTS)


def states(y: Tensor) -> list[Tensor]:
    h, found = torch.zeros_like(y[:, 0]), []
    for step in y.unbind(1):
        h = torch.tanh(F.linear(step, W) + F.linear(h, U))
        found.append(h)
    return found


def attended_step_by_step(y: Tensor) -> Tensor:
    found = states(y)
    weights = torch.softmax(torch.cat([F.linear(h.tanh(), U[:1]) for h in found], 1), 1)
    return (weights[..., None] * torch.stack(found, 1)).sum(1, keepdim=True)


def attended(h: Tensor) -> Tensor:
    """Weights over time, from what is attended to."""
    return torch.softmax(F.linear(h.tanh(), U[:1]), 1)


def channels_attended(y: Tensor, mix) -> Tensor:
    """Cross-covariance attention: each channel attends to all."""
    return mix(F.softmax(a(y).mT @ b(y), -1), F.linear(y, V).mT).mT


MIXTURES = {
    "experts, stacked": (one_by_one, lambda y: (routed(y)[..., None] * torch.stack(outputs(y), 2)).sum(2)),
    "experts, stacked behind": (one_by_one, lambda y: (routed(y)[..., None, :] * torch.stack(outputs(y), -1)).sum(-1)),
    "experts, concatenated": (
        one_by_one,
        lambda y: (torch.cat([output.unsqueeze(2) for output in outputs(y)], 2) * routed(y).unsqueeze(-1)).sum(dim=2),
    ),
    "experts by einsum": (one_by_one, lambda y: torch.einsum("nte,ntec->ntc", routed(y), torch.stack(outputs(y), 2))),
    "experts by einsum, first": (one_by_one, lambda y: torch.einsum("entc,nte->ntc", torch.stack(outputs(y)), routed(y))),
    "experts by a matrix product": (one_by_one, lambda y: (routed(y).unsqueeze(-2) @ torch.stack(outputs(y), 2)).squeeze(-2)),
    "experts by a matrix product, mirrored": (one_by_one, lambda y: (torch.stack(outputs(y), -1) @ routed(y)[..., None]).squeeze(-1)),
    "experts side by side": (one_by_one, lambda y: (routed(y)[..., None] * side_by_side(y)).sum(2)),
    "experts side by side, by einsum": (one_by_one, lambda y: torch.einsum("nte,nteo->nto", routed(y), side_by_side(y))),
    "attention to stacked steps": (
        lambda y: attended(a(y)).mT @ a(y),
        lambda y: (lambda h: (attended(h) * h).sum(1, keepdim=True))(torch.stack([a(y[:, step]) for step in range(T)], 1)),
    ),
    "attention to the steps of a recurrent network": (
        lambda y: (lambda h: (attended(h) * h).sum(1, keepdim=True))(torch.stack(states(y), 1)),
        attended_step_by_step,
    ),
    "attention of channels": (
        lambda y: channels_attended(y, torch.matmul),
        lambda y: channels_attended(y, lambda weights, values: torch.einsum("nij,njt->nit", weights, values)),
    ),
}
CONSTANTS = {
    "einsum of three, in another order": (
        lambda y: torch.einsum("nti,ri,or->nto", y, W[:2], U[:, :2]),
        lambda y: torch.einsum("or,ri,nti->nto", U[:, :2], W[:2], y),
    ),
    "addmm(out=None)": (lambda y: torch.addmm(B, y[:, 0], W)[:, None], lambda y: torch.addmm(B, y[:, 0], W, out=None)[:, None]),
    "ldexp": (lambda y: a(y) * 4, lambda y: torch.ldexp(a(y), torch.tensor(2))),
}
SPARSE = F.hardshrink(W, 0.6)
SPARSE_WEIGHTS = {
    "torch.sparse.mm": lambda y: torch.sparse.mm(SPARSE.to_sparse(), y.reshape(-1, C).t()).t().view(y.shape),
    "a matrix product from the left": lambda y: (SPARSE.to_sparse() @ y.reshape(-1, C).t()).t().view(y.shape),
    "compressed rows": lambda y: (SPARSE.to_sparse_csr() @ y.reshape(-1, C).t()).t().view(y.shape),
    "addmm": lambda y: torch.sparse.addmm(torch.zeros(C, N * T).to(y), SPARSE.to_sparse(), y.reshape(-1, C).t()).t().view(y.shape),
    "linear": lambda y: F.linear(y.reshape(-1, C), SPARSE.to_sparse()).view(y.shape),
}
SPELLINGS = {
    f"{kind}: {name}": pair
    for kind, pairs in {
        "softmax": SOFTMAX,
        "logsumexp": LOGSUMEXP,
        "gate": GATES,
        "bent": BENT,
        "mixture": MIXTURES,
        "otherwise in memory": STRIDED,
        "constants": CONSTANTS,
    }.items()
    for name, pair in pairs.items()
}


SPELLINGS |= {f"sparse weights: {name}": (lambda y: F.linear(y, SPARSE), other) for name, other in SPARSE_WEIGHTS.items()}


def deviations(one, other) -> dict[str, float]:
    """By method, of the maps of two ways to write a part."""
    one, other = Part(one), Part(other)
    torch.testing.assert_close(one(X), other(X), rtol=1e-12, atol=1e-12)
    return {name: deviation(explain(other, X, name, 1, strict=True), explain(one, X, name, 1, strict=True)) for name in METHODS}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("name", SPELLINGS)
def test_what_is_spelled_out_has_the_map_of_its_name(name):
    assert {method: by for method, by in deviations(*SPELLINGS[name]).items() if not by < 1e-11} == {}


def sums_of_other_rows(y: Tensor) -> Tensor:
    e = torch.exp(y)
    return e / e.sum(-1, keepdim=True).flip(1)


def sums_along_the_other_axis(y: Tensor) -> Tensor:
    e = torch.exp(a(y)[:, :, :T])
    return F.pad(e / e.sum(-1, keepdim=True).expand(-1, T, T).mT, (0, 1))


def sums_in_another_order(y: Tensor) -> Tensor:
    e = torch.exp(y)
    return e / e.sum(-1, keepdim=True)[:, [1, 2, 3, 4, 0]]


@pytest.mark.parametrize("quotient", [sums_of_other_rows, sums_along_the_other_axis, sums_in_another_order])
def test_exponentials_by_the_sums_of_others_are_no_softmax(quotient):
    assert not any("softmax" in row.rule for row in inspect_model(Part(quotient), X, "lrp_z", 1).rows)


def test_channels_that_attend_to_each_other_are_no_experts():
    report = inspect_model(Part(lambda y: channels_attended(y, torch.matmul)), X, "lrp_z", 1)
    assert sum("half to each factor" in row.rule for row in report.rows) == 2


class OneByOne(nn.Module):
    """A convolution on one image at a time, without a batch axis."""

    def __init__(self, has_axis: bool) -> None:
        super().__init__()
        self.has_axis, self.conv, self.fc = has_axis, nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        images = [self.conv(image[None])[0] if self.has_axis else self.conv(image) for image in x]
        return self.fc(torch.stack(images).relu().mean((2, 3)))


@pytest.mark.parametrize("method", METHODS)
def test_a_convolution_of_one_image_without_a_batch_axis(method):
    one, other, x = OneByOne(True).double(), OneByOne(False).double(), drawn(3, 3, 6, 6)
    other.load_state_dict(one.state_dict())
    assert deviation(explain(other, x, method, 1, strict=True), explain(one, x, method, 1, strict=True)) < 1e-12


class Borrowing(nn.Module):
    """A module in a plain list, whose parameters the network does not know."""

    def __init__(self, module: nn.Module, call) -> None:
        super().__init__()
        self.modules_elsewhere, self.call, self.fc = [module], call, nn.Linear(C, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.call(self.modules_elsewhere[0], x).mean(1))


@pytest.mark.parametrize(
    ("module", "call"),
    [
        (nn.MultiheadAttention(C, 2, batch_first=True), lambda module, x: module(x, x, x)[0]),
        (nn.LSTM(C, C, batch_first=True), lambda module, x: module(x)[0]),
        (nn.Linear(C, C), lambda module, x: F.linear(x, module.weight * 2, module.bias.clone())),
        (nn.GRU(C, C, batch_first=True, bidirectional=True), lambda module, x: module(x)[0][..., :C]),
    ],
    ids=["attention", "LSTM", "weights that are computed", "GRU"],
)
@pytest.mark.parametrize("method", METHODS)
def test_parameters_of_a_module_in_a_plain_list_are_constants(module, call, method):
    borrowing = Borrowing(module.double().eval(), call).double()
    owning = Borrowing(module, call).double()
    owning.owned = module
    owning.load_state_dict(borrowing.state_dict(), strict=False)
    assert deviation(explain(borrowing, X, method, 1, strict=True), explain(owning, X, method, 1, strict=True)) < 1e-12
    assert all(parameter.requires_grad for parameter in module.parameters())
