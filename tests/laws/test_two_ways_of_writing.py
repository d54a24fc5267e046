"""Law 7 as a table: two ways of writing one function give one map.

A row is one way to write the part of a network between two layers and another way to write the same, as functions of the
signal. Each is put behind a linear layer, behind an activation, behind a convolution and behind a sum.
"""

import math
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from comparing import deviation
from crossing import in_turn
from networks import drawn
from signxai import explain
from signxai.common import ModelError

N, T, C = 3, 5, 6
W, V, B, S = drawn(C, C, seed=1), drawn(C, C, seed=2), drawn(C, seed=3), drawn(C, seed=4).abs() + 0.2
KERNEL, EXPERTS, HEAD, WIDE = drawn(C, C, 1, seed=5), drawn(2, C, C, seed=6), drawn(4, C, seed=7), drawn(C, C, 5, seed=12)
MEAN, VAR, MASK = drawn(C, seed=8), drawn(C, seed=9).abs() + 0.3, drawn(T, C, seed=10) > 0
PLACES = torch.tensor([0, 2, 1, 1, 0])


def rms(y: Tensor) -> Tensor:
    return F.rms_norm(y, (C,), p(S, y), 1e-5)


def less_maximum(y: Tensor) -> Tensor:
    return y - y.amax(-1, keepdim=True)


def mean_square(y: Tensor) -> Tensor:
    return y.pow(2).mean(-1, keepdim=True) + 1e-5


def rotated(y: Tensor) -> Tensor:
    a, b, angle = y[..., 0::2], y[..., 1::2], torch.linspace(0, 1, T * C // 2, dtype=y.dtype).view(T, -1)
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1).flatten(-2)


def rotated_as_complex(y: Tensor) -> Tensor:
    angle = torch.linspace(0, 1, T * C // 2, dtype=y.dtype).view(T, -1)
    z = torch.view_as_complex(y.reshape(*y.shape[:-1], C // 2, 2)) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(z).flatten(-2)


def gates(y: Tensor) -> Tensor:
    return F.softmax(F.linear(y, p(W, y)[:2]), -1)


def dense_experts(y: Tensor) -> Tensor:
    return sum((y @ EXPERTS[e].to(y)) * gates(y)[..., e, None] for e in range(2))


def gathered_experts(y: Tensor) -> Tensor:
    tokens, chosen, result = y.reshape(-1, C), gates(y).reshape(-1, 2), torch.zeros(y.numel() // C, C, dtype=y.dtype)
    for e in range(2):
        index = torch.arange(len(tokens))
        result.index_add_(0, index, (tokens[index] @ EXPERTS[e].to(y)) * chosen[index, e, None])
    return result.view(y.shape)


def by_exp(y: Tensor, shift: Tensor | float = 0.0) -> Tensor:
    e = torch.exp(y - shift)
    return e / e.sum(-1, keepdim=True)


def as_image(y: Tensor) -> Tensor:
    return y.transpose(1, 2).unsqueeze(-1)


def frozen(y: Tensor) -> Tensor:
    norm = FrozenBatchNorm2d(C).to(y.dtype)
    for buffer, value in ((norm.weight, S), (norm.bias, B), (norm.running_mean, MEAN), (norm.running_var, VAR)):
        buffer.copy_(value)
    return norm(F.conv2d(as_image(y), KERNEL[..., None].to(y))).squeeze(-1).transpose(1, 2)


def batch_norm(y: Tensor) -> Tensor:
    z = F.conv2d(as_image(y), KERNEL[..., None].to(y))
    return F.batch_norm(z, MEAN.to(y), VAR.to(y), S.to(y), B.to(y)).squeeze(-1).transpose(1, 2)


def uneven(y: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own: it pads by hand
        return F.conv1d(y.mT, p(WIDE, y)[..., :4], p(B, y), padding="same").mT


def p(parameter: Tensor, y: Tensor) -> Tensor:
    return parameter.to(y)


# what is compared: one way, the other
BIASES = {
    "x @ W + b": (lambda y: F.linear(y, p(W, y), p(B, y)), lambda y: y @ p(W, y).t() + p(B, y)),
    "b + x @ W": (lambda y: F.linear(y, p(W, y), p(B, y)), lambda y: p(B, y) + torch.matmul(y, p(W, y).t())),
    "addmm": (lambda y: F.linear(y, p(W, y), p(B, y)), lambda y: torch.addmm(p(B, y), y.view(-1, C), p(W, y).t()).view(y.shape)),
    "addmm, beta": (
        lambda y: F.linear(y, p(W, y), 2 * p(B, y)),
        lambda y: torch.addmm(p(B, y), y.view(-1, C), p(W, y).t(), beta=2).view(y.shape),
    ),
    "einsum": (lambda y: F.linear(y, p(W, y), p(B, y)), lambda y: torch.einsum("nti,oi->nto", y, p(W, y)) + p(B, y)),
    "einsum to another order": (
        lambda y: F.linear(y, p(W, y), p(B, y)),
        lambda y: (torch.einsum("nti,oi->not", y, p(W, y)) + p(B, y)[:, None]).transpose(1, 2),
    ),
    "convolution": (
        lambda y: F.conv1d(y.mT, p(KERNEL, y), p(B, y)).mT,
        lambda y: (F.conv1d(y.mT, p(KERNEL, y)) + p(B, y).view(1, -1, 1)).mT,
    ),
    "convolution, channels last": (
        lambda y: F.conv1d(y.mT, p(KERNEL, y), p(B, y)).mT,
        lambda y: F.conv1d(y.mT, p(KERNEL, y)).permute(0, 2, 1) + p(B, y).reshape(1, 1, C),
    ),
    **{
        f"a padding apart, {name}": (lambda y: F.conv1d(y.mT, p(WIDE, y), p(B, y), padding=2).mT, padded)
        for name, padded in {
            "by F.pad": lambda y: F.conv1d(F.pad(y.mT, (2, 2)), p(WIDE, y), p(B, y)).mT,
            "by a module": lambda y: F.conv1d(nn.ZeroPad1d(2)(y.mT), p(WIDE, y), p(B, y)).mT,
            "by its operator": lambda y: F.conv1d(torch.constant_pad_nd(y.mT, (2, 2)), p(WIDE, y), p(B, y)).mT,
            "in part": lambda y: F.conv1d(F.pad(y.mT, (1, 1)), p(WIDE, y), p(B, y), padding=1).mT,
            "in two steps": lambda y: F.conv1d(F.pad(F.pad(y.mT, (0, 2)), (2, 0)), p(WIDE, y), p(B, y)).mT,
            "channels last": lambda y: F.conv1d(F.pad(y, (0, 0, 2, 2)).permute(0, 2, 1), p(WIDE, y), p(B, y)).mT,
            "the bias, too": lambda y: F.conv1d(F.pad(y.mT, (2, 2)), p(WIDE, y)).mT + p(B, y),
        }.items()
    },
    "a padding apart, uneven": (
        uneven,
        lambda y: F.conv1d(F.pad(y.mT, (1, 2)), p(WIDE, y)[..., :4], p(B, y)).mT,
    ),
    "a padding apart, for two": (
        lambda y: F.conv1d(y.mT, p(WIDE, y), padding=2).mT + F.conv1d(y.mT, p(WIDE, y).flip(-1), padding=2).mT,
        lambda y: F.conv1d(z := F.pad(y.mT, (2, 2)), p(WIDE, y)).mT + F.conv1d(z, p(WIDE, y).flip(-1)).mT,
    ),
    "in place": (lambda y: F.linear(y, p(W, y), p(B, y)), lambda y: F.linear(y, p(W, y)).add_(p(B, y))),
    "+=": (lambda y: F.linear(y, p(W, y), p(B, y)), lambda y: F.linear(y, p(W, y)).__iadd__(p(B, y))),
    "subtracted": (lambda y: F.linear(y, p(W, y), -p(B, y)), lambda y: torch.sub(F.linear(y, p(W, y)), p(B, y))),
    "alpha": (lambda y: F.linear(y, p(W, y), -2 * p(B, y)), lambda y: F.linear(y, p(W, y)).sub(p(B, y), alpha=2)),
    "from a constant": (lambda y: F.linear(y, -p(W, y), 1 - p(B, y)), lambda y: 1 - F.linear(y, p(W, y), p(B, y))),
    "negated": (lambda y: F.linear(y, -p(W, y), -p(B, y)), lambda y: -F.linear(y, p(W, y), p(B, y))),
    "divided": (lambda y: F.linear(y, p(W, y) / 3, p(B, y) / 3), lambda y: F.linear(y, p(W, y), p(B, y)) / 3),
    "layer scale": (
        lambda y: F.linear(y, p(W, y) * p(S, y)[:, None], p(B, y) * p(S, y)),
        lambda y: p(S, y) * F.linear(y, p(W, y), p(B, y)),
    ),
    "scaled by heads": (
        lambda y: F.linear(y, p(W, y) * p(S, y)[:, None], p(B, y) * p(S, y)),
        lambda y: (F.linear(y, p(W, y), p(B, y)).view(N, T, 3, 2).transpose(1, 2) * p(S, y).view(3, 1, 2)).transpose(1, 2).flatten(2),
    ),
    "scaled after a split": (
        lambda y: torch.cat([F.linear(y, 2 * p(W, y)[:3]), F.linear(y, p(W, y)[3:])], -1),
        lambda y: torch.cat([part * factor for part, factor in zip(F.linear(y, p(W, y)).chunk(2, -1), (2, 1), strict=True)], -1),
    ),
    "frozen batch norm": (batch_norm, frozen),
    "batch norm by hand": (
        lambda y: batch_norm(y),
        lambda y: (F.conv1d(y.mT, p(KERNEL, y)).mT - p(MEAN, y)) / torch.sqrt(p(VAR, y) + 1e-5) * p(S, y) + p(B, y),
    ),
    "batch norm on channels last": (
        lambda y: F.linear(y, p(W, y) * p(S, y)[:, None], p(B, y)),
        lambda y: torch.addcmul(p(B, y), F.linear(y, p(W, y)), p(S, y)),
    ),
}
ONE_VALUE = {
    "gelu": (F.gelu, lambda y: 0.5 * y * (1 + torch.erf(y / math.sqrt(2)))),
    "gelu, tanh": (
        lambda y: F.gelu(y, approximate="tanh"),
        lambda y: 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * torch.pow(y, 3)))),
    ),
    "silu": (F.silu, lambda y: y * torch.sigmoid(y)),
    "silu by exp": (F.silu, lambda y: y / (1 + torch.exp(-y))),
    "silu by a quotient": (F.silu, lambda y: y * (1 / (1 + torch.exp(-y)))),
    "silu in place": (F.silu, lambda y: F.silu(y.clone(), inplace=True)),
    "sigmoid": (torch.sigmoid, lambda y: 1 / (1 + torch.exp(-y))),
    "sigmoid, other half": (torch.sigmoid, lambda y: torch.exp(y) / (1 + torch.exp(y))),
    "sigmoid by reciprocal": (torch.sigmoid, lambda y: (1 + (-y).exp()).reciprocal()),
    "sigmoid by tanh": (torch.sigmoid, lambda y: 0.5 * (1 + torch.tanh(y / 2))),
    "sigmoid reflected": (torch.sigmoid, lambda y: 1 - torch.sigmoid(-y)),
    "tanhshrink": (F.tanhshrink, lambda y: y - torch.tanh(y)),
    "tanhshrink, turned": (lambda y: -F.tanhshrink(y), lambda y: torch.tanh(y) - y),
    "softplus": (F.softplus, lambda y: torch.log(1 + torch.exp(y))),
    "mish": (F.mish, lambda y: y * torch.tanh(torch.log1p(torch.exp(y)))),
    "softsign": (F.softsign, lambda y: y / (1 + y.abs())),
    "expm1": (torch.expm1, lambda y: torch.exp(y) - 1),
    "tanh": (torch.tanh, lambda y: (torch.exp(y) - torch.exp(-y)) / (torch.exp(y) + torch.exp(-y))),
    "square": (torch.square, lambda y: y * y),
    "elu": (F.elu, lambda y: torch.where(y > 0, y, torch.exp(y) - 1)),
    "leaky relu": (lambda y: F.leaky_relu(y, 0.1), lambda y: torch.where(y > 0, y, 0.1 * y)),
    "leaky relu by maximum": (lambda y: F.leaky_relu(y, 0.1), lambda y: torch.maximum(y, 0.1 * y)),
    "leaky relu by halves": (lambda y: F.leaky_relu(y, 0.1), lambda y: y.relu() - 0.1 * F.relu(-y)),
    "leaky relu by halves, added": (lambda y: F.leaky_relu(y, 0.1), lambda y: y.clamp(min=0) + -0.1 * torch.neg(y).relu()),
    "leaky relu by halves, in place": (lambda y: F.leaky_relu(y, 0.1), lambda y: y.relu().mul(1.0).sub_((-y).relu() * 0.1)),
    "prelu by halves": (lambda y: F.prelu(y.mT, p(S, y)).mT, lambda y: F.relu(y) - p(S, y) * F.relu(-y)),
    "a size by halves": (torch.abs, lambda y: y.relu() + (-y).relu()),
    "hardswish": (F.hardswish, lambda y: y * F.relu6(y + 3) / 6),
    "operator": (F.gelu, lambda y: torch.ops.aten.gelu(y)),
}
NORMS = {
    "rsqrt": (rms, lambda y: y * torch.rsqrt(mean_square(y)) * p(S, y)),
    "rsqrt first": (rms, lambda y: p(S, y) * (torch.rsqrt(mean_square(y)).expand_as(y) * y)),
    "a power": (rms, lambda y: p(S, y) * (y * mean_square(y).pow(-0.5))),
    "a quotient as a factor": (rms, lambda y: p(S, y) * (y * (1 / mean_square(y).sqrt()))),
    "reciprocal": (rms, lambda y: p(S, y) * (y * mean_square(y).sqrt().reciprocal())),
    "a quotient": (rms, lambda y: y / torch.sqrt(mean_square(y)) * p(S, y)),
    "layer norm": (
        lambda y: F.layer_norm(y, (C,), p(S, y), p(B, y), 1e-5),
        lambda y: (y - y.mean(-1, keepdim=True)) * torch.rsqrt(y.var(-1, correction=0, keepdim=True) + 1e-5) * p(S, y) + p(B, y),
    ),
    "normalize, kept from zero": (
        lambda y: F.normalize(y, dim=-1),
        lambda y: y / torch.maximum(y.norm(dim=-1, keepdim=True), torch.tensor(1e-12).to(y)),
    ),
    "normalize": (lambda y: F.normalize(y, dim=-1), lambda y: y / y.norm(dim=-1, keepdim=True)),
    "detached": (lambda y: y / (y.std(-1, keepdim=True) + 0.1), lambda y: y / (y.detach().std(-1, keepdim=True) + 0.1)),
}
SOFTMAX = {
    "along a leading axis": (lambda y: y.softmax(-1), lambda y: ((e := y.permute(2, 0, 1).exp()) / e.sum(0)).permute(1, 2, 0)),
    "its exponent computed twice": (
        lambda y: (-y / 2).softmax(-1),
        lambda y: torch.exp(-y / 2) / torch.exp(-y / 2).sum(-1, keepdim=True),
    ),
    "its exponent computed twice, less its maximum": (
        lambda y: (-y).softmax(-1),
        lambda y: torch.exp(-y - (-y).amax(-1, keepdim=True)) / torch.exp(-y - (-y).amax(-1, keepdim=True)).sum(-1, keepdim=True),
    ),
    "turned and masked twice": (
        lambda y: y.mT.masked_fill(MASK.mT, -1e9).softmax(-2).mT,
        lambda y: (torch.exp(y.mT.masked_fill(MASK.mT, -1e9)) / torch.exp(y.mT.masked_fill(MASK.mT, -1e9)).sum(-2, keepdim=True)).mT,
    ),
    "less a maximum that is cut off": (
        lambda y: y.softmax(-1),
        lambda y: (e := torch.exp(y - y.detach().amax(-1, keepdim=True))) / e.sum(-1, keepdim=True),
    ),
    "an exponential of a sum": (
        lambda y: y * torch.exp(y.sum(-1, keepdim=True)),
        lambda y: y * torch.exp(torch.einsum("ntc->nt", y)[..., None]),
    ),
    "exp / sum": (lambda y: F.softmax(y, -1), by_exp),
    "exp twice": (lambda y: F.softmax(y, -1), lambda y: torch.exp(y) / torch.exp(y).sum(-1, keepdim=True)),
    "less the maximum": (lambda y: F.softmax(y, -1), lambda y: by_exp(y, y.max(-1, keepdim=True).values)),
    "less the maximum, in front": (lambda y: F.softmax(y, -1), lambda y: F.softmax(y - y.amax(-1, keepdim=True), -1)),
    "by logsumexp": (lambda y: F.softmax(y, -1), lambda y: torch.exp(y - torch.logsumexp(y, -1, keepdim=True))),
    "by log_softmax": (lambda y: F.softmax(y, -1), lambda y: torch.exp(F.log_softmax(y, -1))),
    "an axis taken and given back": (lambda y: F.softmax(y, -1), lambda y: torch.exp(y) / torch.exp(y).sum(-1)[..., None]),
    "by a reciprocal": (lambda y: F.softmax(y, -1), lambda y: torch.exp(y) * (1 / torch.exp(y).sum(-1, keepdim=True))),
    "the maximum taken twice": (lambda y: F.softmax(y, -1), lambda y: less_maximum(y).exp() / less_maximum(y).exp().sum(-1, keepdim=True)),
    "in place": (lambda y: F.softmax(y, -1), lambda y: (lambda e: e / e.sum(-1, keepdim=True))(less_maximum(y).exp_())),
    "times a mask": (
        lambda y: F.softmax(y.masked_fill(~MASK, -torch.inf), -1),
        lambda y: (lambda e: e / e.sum(-1, keepdim=True))(y.exp() * MASK),
    ),
    "divided behind the product": (
        lambda y: F.softmax(y, -1) @ F.linear(y, p(V, y)).mT @ y,
        lambda y: (y.exp() @ F.linear(y, p(V, y)).mT) / y.exp().sum(-1, keepdim=True) @ y,
    ),
    "of a product that is summed": (
        lambda y: torch.einsum("nt,ntc->nc", F.softmax(y.mean(-1), -1), y)[:, None].expand_as(y),
        lambda y: (F.softmax(y.mean(-1), -1)[..., None] * y).sum(1, keepdim=True).expand_as(y),
    ),
}


def attended(y: Tensor) -> Tensor:
    """What the rows below write otherwise: a softmax over the positions, and what it weighs."""
    return F.softmax(scores(y), -1) @ values(y)


def scores(y: Tensor) -> Tensor:
    return F.linear(y, p(W, y)) @ y.mT / C


def values(y: Tensor) -> Tensor:
    return F.linear(y, p(V, y))


def pieces(w: Tensor, v: Tensor) -> list[Tensor]:
    return [w[..., i : i + 1] * v[:, i : i + 1] for i in range(T)]


def pooled(w: Tensor, v: Tensor) -> list[Tensor]:
    return [w[:, i : i + 1] * v[:, i] for i in range(T)]


def weighed(y: Tensor) -> list[Tensor]:
    return pieces(F.softmax(scores(y), -1), values(y))


def added(terms: list[Tensor], start: Tensor) -> Tensor:
    for term in terms:
        start += term
    return start


def divided(mixed: Callable[[Tensor, Tensor], Tensor], total: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A quotient of what is made of exponentials and values, and what is made of the exponentials, which are computed twice."""

    def quotient(y: Tensor) -> Tensor:
        s = scores(y)
        return mixed(s.exp(), values(y)) / total(s.exp())

    return quotient


def along_positions(e: Tensor) -> Tensor:
    return e.sum(-1, keepdim=True)


def by_one_exponential(mixed: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same where both read one tensor."""
    return lambda y: mixed((scores(y) - scores(y).amax(-1, keepdim=True)).exp(), values(y))


def causal(y: Tensor) -> Tensor:
    return F.softmax(scores(y).masked_fill(torch.ones(T, T).tril() == 0, -torch.inf), -1) @ values(y)


def by_causal_exponential(mixed: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda y: mixed(scores(y).exp() * torch.ones(T, T).tril().to(y), values(y))


def selected(y: Tensor, mix: Callable[[list[Tensor], Tensor], Tensor]) -> Tensor:
    """Selective kernels: two branches weighed by a softmax that their sum decides on."""
    branches = [values(y), F.linear(y, p(W, y))]
    return mix(branches, F.softmax(torch.stack([sum(branches) * s for s in (0.5, -0.2)]), 0))


ATTENTION = {
    "a product, summed": (attended, divided(lambda e, v: (e[..., None] * v[:, None]).sum(-2), along_positions)),
    "a product, spread and summed": (
        attended,
        divided(lambda e, v: (v[:, None] * e.unsqueeze(-1).expand(-1, -1, -1, C)).sum(2), lambda e: e.sum(-1).unsqueeze(-1)),
    ),
    "axes in front": (attended, by_one_exponential(lambda e, v: (lambda a: (a * v[:, None]).sum(-2) / a.sum(-2))(e[..., None]))),
    "einsum": (
        attended,
        divided(lambda e, v: torch.einsum("nts,nsd->ntd", e, v), lambda e: torch.einsum("nts->nt", e)[..., None]),
    ),
    "columns": (attended, divided(lambda e, v: torch.bmm(v.mT, e.mT).mT, along_positions)),
    "a reciprocal": (attended, by_one_exponential(lambda e, v: (e @ v) * (1 / e.sum(-1, keepdim=True)))),
    "a reciprocal, moved": (attended, by_one_exponential(lambda e, v: e.sum(-1).reciprocal()[..., None] * (e @ v))),
    "divided in place": (attended, by_one_exponential(lambda e, v: (e @ v).div_(e.sum(-1, keepdim=True)))),
    "scaled in between": (attended, by_one_exponential(lambda e, v: (e @ v * 2) / e.sum(-1, keepdim=True) / 2)),
    "summed behind": (
        attended,
        by_one_exponential(lambda e, v: (e[..., None] * v[:, None] / e.sum(-1, keepdim=True)[..., None]).sum(2)),
    ),
    "ones beside the values": (
        attended,
        by_one_exponential(lambda e, v: (lambda m: m[..., :-1] / m[..., -1:])(e @ torch.cat([v, torch.ones_like(v[..., :1])], -1))),
    ),
    "a product with ones": (attended, divided(lambda e, v: e @ v, lambda e: e @ torch.ones(T, 1).to(e))),
    "masked": (causal, by_causal_exponential(lambda e, v: (e[..., None] * v[:, None]).sum(-2) / e.sum(-1, keepdim=True))),
    "masked, by a matrix product": (causal, by_causal_exponential(lambda e, v: (e @ v) / e.sum(-1, keepdim=True))),
    "of constants": (
        lambda y: F.softmax(scores(y), -1) @ p(W, y)[:T],
        lambda y: (lambda s: F.linear(s.exp(), p(W, y)[:T].T) / along_positions(s.exp()))(scores(y)),
    ),
    "a loop": (attended, lambda y: sum(weighed(y))),
    "a loop from zeros": (attended, lambda y: sum(weighed(y), torch.zeros_like(y))),
    "a loop in place": (attended, lambda y: added(weighed(y), torch.zeros_like(y))),
    "a list stacked": (attended, lambda y: torch.stack(weighed(y), 1).sum(1)),
    "a list stacked, its axis kept": (attended, lambda y: torch.stack(weighed(y), -1).sum(-1, keepdim=True).squeeze(-1)),
    "a loop over unbound": (
        attended,
        lambda y: sum(w[..., None] * v[:, None] for w, v in zip(F.softmax(scores(y), -1).unbind(-1), values(y).unbind(1), strict=True)),
    ),
    "a loop, divided behind": (attended, divided(lambda e, v: sum(pieces(e, v)), along_positions)),
    "a loop in place, divided behind": (attended, divided(lambda e, v: added(pieces(e, v), torch.zeros_like(v)), along_positions)),
    "a mean as divisor": (attended, divided(lambda e, v: e @ v / T, lambda e: e.mean(-1, keepdim=True))),
    "two means": (attended, divided(lambda e, v: (e[..., None] * v[:, None]).mean(2), lambda e: e.mean(-1, keepdim=True))),
    "a logsumexp as divisor": (attended, lambda y: (lambda s: (s.exp() @ values(y)) / s.logsumexp(-1, keepdim=True).exp())(scores(y))),
    "powers of 2": (attended, lambda y: (lambda e: (e @ values(y)) / along_positions(e))(torch.exp2(scores(y) / math.log(2)))),
    "powers of e": (attended, lambda y: (lambda e: (e / along_positions(e)) @ values(y))(torch.pow(math.e, scores(y)))),
    "a number to the power": (attended, lambda y: (lambda e: (e / along_positions(e)) @ values(y))(math.e ** scores(y))),
    "columns side by side": (attended, divided(lambda e, v: torch.cat([e @ v[..., :2], e @ v[..., 2:]], -1), along_positions)),
    "columns stacked": (
        attended,
        divided(lambda e, v: torch.stack([(e @ v[..., i : i + 1])[..., 0] for i in range(C)], -1), along_positions),
    ),
    "a triangle": (causal, lambda y: (lambda e: (e @ values(y)) / along_positions(e))(scores(y).exp().tril())),
    "a triangle, divided first": (causal, lambda y: (lambda e: (e / along_positions(e)) @ values(y))(scores(y).exp().tril())),
    "kept from 0": (attended, divided(lambda e, v: e @ v, lambda e: along_positions(e) + 1e-14)),
    "kept from 0, divided first": (attended, lambda y: (lambda e: (e / (along_positions(e) + 1e-14)) @ values(y))(scores(y).exp())),
    "cut off above 0": (attended, divided(lambda e, v: e @ v, lambda e: along_positions(e).clamp(min=1e-9))),
    "a loop from a bias": (lambda y: p(B, y) + attended(y), lambda y: sum(weighed(y), p(B, y))),
    "a loop from a residual": (lambda y: y + attended(y), lambda y: sum(weighed(y), y)),
    "a loop, the softmax anew": (
        attended,
        lambda y: (lambda s, v: sum(F.softmax(s, -1)[..., i : i + 1] * v[:, i : i + 1] for i in range(T)))(scores(y), values(y)),
    ),
    "a loop for each query": (
        attended,
        lambda y: (lambda w, v: torch.stack([sum(pooled(w[:, t], v)) for t in range(T)], 1))(F.softmax(scores(y), -1), values(y)),
    ),
    "pooling": (
        lambda y: torch.einsum("nt,ntc->nc", F.softmax(y.mean(-1), -1), values(y))[:, None].expand_as(y),
        lambda y: sum(pooled(F.softmax(y.mean(-1), -1), values(y)))[:, None].expand_as(y),
    ),
    "pooling, divided behind": (
        lambda y: torch.einsum("nt,ntc->nc", F.softmax(y.mean(-1), -1), values(y))[:, None].expand_as(y),
        lambda y: (lambda e: sum(pooled(e, values(y))) / e.sum(1, keepdim=True))(y.mean(-1).exp())[:, None].expand_as(y),
    ),
    "two branches": (
        lambda y: selected(y, lambda branches, w: (torch.stack(branches) * w).sum(0)),
        lambda y: selected(y, lambda branches, w: branches[0] * w[0] + branches[1] * w[1]),
    ),
}
GATES = {
    "a gate by exp": (lambda y: y.flip(-1) * torch.sigmoid(y), lambda y: y.flip(-1) * (1 / (1 + torch.exp(-y)))),
    "a gate by tanh": (
        lambda y: F.linear(y, p(V, y)) * torch.sigmoid(y),
        lambda y: F.linear(y, p(V, y)) * (0.5 * torch.tanh(y * 0.5) + 0.5),
    ),
    "a gate as a divisor": (lambda y: y.flip(-1) * torch.sigmoid(y), lambda y: y.flip(-1) / (1 + torch.exp(-y))),
    "a gate by a tensor of ones": (
        lambda y: y.flip(-1) * torch.sigmoid(y),
        lambda y: y.flip(-1) * (torch.ones_like(y) / (1 + torch.exp(-y))),
    ),
    "two gates, one by a tensor that is one": (
        lambda y: torch.sigmoid(F.linear(y, p(V, y))) * torch.sigmoid(y),
        lambda y: torch.sigmoid(F.linear(y, p(V, y))) * (torch.ones((), dtype=y.dtype) / (1 + torch.exp(-y))),
    ),
    "two gates, one by a sum with a tensor that is one": (
        lambda y: torch.sigmoid(F.linear(y, p(V, y))) * torch.sigmoid(y),
        lambda y: torch.sigmoid(F.linear(y, p(V, y))) * (1 / (torch.ones((), dtype=y.dtype) + torch.exp(-y))),
    ),
    "a divisor that is nearly a gate": (
        lambda y: torch.sigmoid(F.linear(y, p(V, y))) * (1 / (torch.exp(-y) + torch.full_like(y, 2))),
        lambda y: torch.sigmoid(F.linear(y, p(V, y))) * (1 / (2 + torch.exp(-y))),
    ),
    "two gates, one by hand": (
        lambda y: torch.sigmoid(y) * torch.sigmoid(F.linear(y, p(V, y))),
        lambda y: torch.sigmoid(y) * (1 / (1 + torch.exp(-F.linear(y, p(V, y))))),
    ),
    "a gate by einsum": (
        lambda y: y.flip(-1) * torch.sigmoid(y.mean(-1, keepdim=True)),
        lambda y: torch.einsum("ntc,nt->ntc", y.flip(-1), torch.sigmoid(y.mean(-1))),
    ),
    "two gates joined": (
        lambda y: y.flip(-1) * torch.sigmoid(y) * torch.sigmoid(-y),
        lambda y: y.flip(-1) * (torch.sigmoid(y) * torch.sigmoid(-y)),
    ),
    "a gate squared": (lambda y: y.flip(-1) * torch.sigmoid(y) * torch.sigmoid(y), lambda y: y.flip(-1) * torch.sigmoid(y) ** 2),
    "two divisors joined": (
        lambda y: y.flip(-1) / (y.abs() + 1).sqrt() / mean_square(y).sqrt(),
        lambda y: y.flip(-1) * ((y.abs() + 1).rsqrt() * mean_square(y).rsqrt()),
    ),
    "gates side by side": (
        lambda y: y.flip(-1) * torch.cat([torch.sigmoid(y[..., :3]), torch.sigmoid(y[..., 3:])], -1),
        lambda y: y.flip(-1) * torch.sigmoid(y),
    ),
    "glu": (lambda y: F.glu(y, -1).repeat(1, 1, 2), lambda y: (y[..., :3] * torch.sigmoid(y[..., 3:])).repeat(1, 1, 2)),
}
MOVES = {
    "index_add": (
        lambda y: torch.stack([y[:, 0] + y[:, 4], y[:, 2] + y[:, 3], y[:, 1]], 1),
        lambda y: torch.zeros(N, 3, C, dtype=y.dtype).index_add_(1, PLACES, y),
    ),
    "scatter_add": (
        lambda y: torch.stack([y[:, 0] + y[:, 4], y[:, 2] + y[:, 3], y[:, 1]], 1),
        lambda y: torch.zeros(N, 3, C, dtype=y.dtype).scatter_add_(1, PLACES[None, :, None].expand_as(y), y),
    ),
    "experts": (dense_experts, gathered_experts),
    "a rotation": (rotated, rotated_as_complex),
    "diff": (lambda y: y[:, 1:] - y[:, :-1], lambda y: torch.diff(y, dim=1)),
    "a product": (lambda y: y * y.flip(1), lambda y: torch.stack([y, y.flip(1)]).prod(0)),
    "bmm by keyword": (lambda y: torch.bmm(y, p(W, y).expand(N, C, C)), lambda y: torch.bmm(input=y, mat2=p(W, y).expand(N, C, C))),
    "baddbmm by keyword": (
        lambda y: p(B, y) + torch.bmm(y, p(W, y).expand(N, C, C)),
        lambda y: torch.baddbmm(p(B, y).expand(N, T, C), batch1=y, batch2=p(W, y).expand(N, C, C)),
    ),
    "a linear layer by operators": (
        lambda y: F.linear(y, p(W, y), p(B, y)).relu(),
        lambda y: torch.ops.aten.relu.default(torch.ops.aten.linear(y, p(W, y), p(B, y))),
    ),
    "a mask in place": (
        lambda y: F.linear(y, p(W, y)).masked_fill(MASK, 0.0),
        lambda y: F.linear(y, p(W, y)).masked_fill_(MASK, 0.0),
    ),
    "halved in place": (lambda y: F.linear(y, p(W, y)) / 2, lambda y: F.linear(y, p(W, y)).div_(2)),
    "doubled by itself": (lambda y: F.linear(y, p(W, y)).tanh() * y, lambda y: F.linear(y, p(W, y)).tanh().mul(y)),
    "logsumexp with a maximum": (
        lambda y: y + torch.logsumexp(y, -1, keepdim=True),
        lambda y: y + ((m := y.detach().amax(-1, keepdim=True)) + torch.exp(y - m).sum(-1, keepdim=True).log()),
    ),
    "a multiple of a product in a product": (
        lambda y: y * y.flip(1) * y.flip(-1) * 0.5,
        lambda y: (y * y.flip(1) * 0.5) * y.flip(-1),
    ),
    "a scaled product in a product": (
        lambda y: y * y.flip(1) * y.flip(-1) * p(S, y),
        lambda y: (y * y.flip(1) * p(S, y)) * y.flip(-1),
    ),
    "added by index_put": (
        lambda y: y + y.flip(-1),
        lambda y: y.index_put(torch.meshgrid(*map(torch.arange, y.shape), indexing="ij"), y.flip(-1), accumulate=True),
    ),
    "an exponent overwritten meanwhile": (
        lambda y: y.exp() @ p(W, y) + y.exp() @ p(V, y),
        lambda y: y.exp() @ p(W, y) + ((z := y.clone()).exp() @ p(V, y), z.add_(1))[0],
    ),
    "a number subtracted by keyword": (lambda y: y - 2, lambda y: torch.sub(y, other=2)),
    "upsampled, by position": (lambda y: F.interpolate(y, scale_factor=2)[..., ::2], lambda y: F.interpolate(y, None, 2)[..., ::2]),
    "a residual in place": (lambda y: F.linear(y, p(W, y)) + y, lambda y: F.linear(y, p(W, y)).add_(y)),
    "a cumulative sum in place": (lambda y: F.linear(y, p(W, y)).cumsum(1), lambda y: F.linear(y, p(W, y)).cumsum_(1)),
    "a product in place": (lambda y: F.linear(y, p(W, y)) * y.flip(1), lambda y: F.linear(y, p(W, y)).mul_(y.flip(1))),
}
TWINS = {
    f"{kind}: {name}": pair
    for kind, pairs in {
        "bias": BIASES, "one value": ONE_VALUE, "norm": NORMS, "softmax": SOFTMAX, "attention": ATTENTION,
        "gate": GATES, "other": MOVES,
    }.items()
    for name, pair in pairs.items()
}  # fmt: skip
METHODS = [
    *("gradient", "lrp_z", "lrp_epsilon_0_25", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_gamma_0_25"),
    *("lrpsign_epsilon_0_25_std_x", "zblrp_epsilon_0_1", "w2lrp_z", "flatlrp_z"),
]
FRONTS = {
    "a layer": lambda x: F.linear(x, V.to(x), S.to(x)),
    "an activation": lambda x: F.linear(x, V.to(x), S.to(x)).tanh(),
    "a sum": lambda x: F.linear(x, V.to(x)) + x,
}


class Part(nn.Module):
    """A part of a network between a front and a classifier."""

    def __init__(self, front, part) -> None:
        super().__init__()
        self.front, self.part = front, part

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.part(self.front(x)).relu().mean(1), HEAD.to(x))


@pytest.mark.parametrize(("twin", "front"), in_turn(TWINS, FRONTS))
def test_two_ways_of_writing_one_function_give_one_map(twin, front):
    one, other = (Part(FRONTS[front], part) for part in TWINS[twin])
    x = drawn(N, T, C, seed=11)
    torch.testing.assert_close(one(x), other(x), rtol=1e-12, atol=1e-12)
    found = {}
    for name in METHODS:
        if name == "gradient" and twin == "norm: detached":
            continue  # which is another gradient
        options = {} if name == "gradient" else {"strict": True}
        found[name] = deviation(explain(other, x, name, 1, **options), explain(one, x, name, 1, **options))
    assert {name: by for name, by in found.items() if not by < 1e-11} == {}


@pytest.mark.parametrize("twin", TWINS)
def test_the_same_in_float32(twin):
    one, other = (Part(FRONTS["an activation"], part) for part in TWINS[twin])
    x = drawn(N, T, C, seed=11).float()
    for name in ("lrp_epsilon_0_25", "lrp_epsilon_0_25_std_x"):
        assert deviation(explain(other, x, name, 1), explain(one, x, name, 1)) < 1e-5


def test_signals_within_a_transform_are_refused_and_constants_are_not():
    def mapped(y: Tensor) -> Tensor:
        return torch.func.vmap(lambda row: row.relu())(y)

    x = drawn(N, T, C, seed=11)
    with pytest.raises(ModelError, match="vmap"):
        explain(Part(FRONTS["a layer"], mapped), x, "lrp_z", 1)
    masked = Part(FRONTS["a layer"], lambda y: y * torch.func.vmap(lambda row: row * 2)(torch.ones(T, C).to(y)))
    plain = Part(FRONTS["a layer"], lambda y: y * 2)
    assert deviation(explain(masked, x, "lrp_z", 1, strict=True), explain(plain, x, "lrp_z", 1)) < 1e-12
