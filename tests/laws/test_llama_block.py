"""A block of Llama, as Hugging Face writes it, against the formulas of AttnLRP written out from the output to the input.

Achtibat et al. 2024: a product of two signals gives each half by share, the softmax is a Taylor expansion, norms keep relevance
where it is; linear layers have the epsilon rule.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain

TOKENS, SIZE, HEADS, GROUPS, INNER, CLASSES = 5, 12, 4, 2, 16, 3
WIDTH = SIZE // HEADS // 2 * 2 or 2


class RMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(SIZE) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * x


def rotate_half(x: Tensor) -> Tensor:
    return torch.cat((-x[..., WIDTH // 2 :], x[..., : WIDTH // 2]), dim=-1)


def repeat_kv(x: Tensor) -> Tensor:
    n, groups, length, width = x.shape
    return x[:, :, None].expand(n, groups, HEADS // GROUPS, length, width).reshape(n, HEADS, length, width)


class Llama(nn.Module):
    """One block on embeddings (N, tokens, size), the last token's logits."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (
            nn.Linear(SIZE, HEADS * WIDTH, bias=False),
            nn.Linear(SIZE, GROUPS * WIDTH, bias=False),
            nn.Linear(SIZE, GROUPS * WIDTH, bias=False),
            nn.Linear(HEADS * WIDTH, SIZE, bias=False),
        )
        self.gate, self.up, self.down = (
            nn.Linear(SIZE, INNER, bias=False),
            nn.Linear(SIZE, INNER, bias=False),
            nn.Linear(INNER, SIZE, bias=False),
        )
        self.before, self.between, self.behind = RMSNorm(), RMSNorm(), RMSNorm()
        self.head = nn.Linear(SIZE, CLASSES, bias=False)
        angles = torch.outer(torch.arange(float(TOKENS)), 1e4 ** (-torch.arange(0.0, WIDTH, 2) / WIDTH))
        self.register_buffer("cos", torch.cat((angles, angles), -1).cos())
        self.register_buffer("sin", torch.cat((angles, angles), -1).sin())
        self.register_buffer("mask", torch.full((TOKENS, TOKENS), float("-inf")).triu(1))

    def heads(self, layer: nn.Linear, x: Tensor) -> Tensor:
        return layer(x).view(len(x), TOKENS, -1, WIDTH).transpose(1, 2)

    def rotated(self, x: Tensor) -> Tensor:
        return (x * self.cos) + (rotate_half(x) * self.sin)

    def forward(self, x: Tensor) -> Tensor:
        h = self.before(x)
        q, k = self.rotated(self.heads(self.q, h)), repeat_kv(self.rotated(self.heads(self.k, h)))
        scores = torch.matmul(q, k.transpose(2, 3)) * WIDTH**-0.5 + self.mask
        weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float64).to(q.dtype)
        mixed = torch.matmul(weights, repeat_kv(self.heads(self.v, h))).transpose(1, 2).contiguous()
        x = x + self.o(mixed.reshape(len(x), TOKENS, -1))
        h = self.between(x)
        x = x + self.down(F.silu(self.gate(h)) * self.up(h))
        return self.head(self.behind(x)[:, -1])


class ByFormulas:
    """Relevance of one sample (tokens, size), every step by its formula; epsilon is that of the linear layers."""

    def __init__(self, net: Llama, epsilon: float) -> None:
        self.net, self.epsilon = net, epsilon

    def linear(self, layer: nn.Linear, x: Tensor, relevance: Tensor) -> Tensor:
        z = x @ layer.weight.T
        return x * ((relevance / (z + self.epsilon * torch.where(z >= 0, 1.0, -1.0).to(z))) @ layer.weight)

    def rotation(self, x: Tensor, relevance: Tensor) -> Tensor:
        """Each row of the rotation's matrix shares what arrives at it."""
        result = torch.zeros_like(x)
        half, y = WIDTH // 2, self.net.rotated(x)
        for i in range(WIDTH):
            partner, sign = (i + half, -1) if i < half else (i - half, 1)
            share = relevance[..., i] / y[..., i]
            result[..., i] += x[..., i] * self.net.cos[:, i] * share
            result[..., partner] += sign * x[..., partner] * self.net.sin[:, i] * share
        return result

    def __call__(self, x: Tensor, target: int) -> Tensor:
        net = self.net
        h1 = net.before(x)
        raw_q, raw_k, v = (layer(h1).view(TOKENS, -1, WIDTH).transpose(0, 1) for layer in (net.q, net.k, net.v))
        q, k = net.rotated(raw_q), net.rotated(raw_k)
        share_of_head = [h // (HEADS // GROUPS) for h in range(HEADS)]
        scores = torch.stack([q[h] @ k[g].T for h, g in enumerate(share_of_head)]) / math.sqrt(WIDTH)
        weights = (scores + net.mask).softmax(-1)
        mixed = torch.stack([weights[h] @ v[g] for h, g in enumerate(share_of_head)])
        rows = mixed.transpose(0, 1).reshape(TOKENS, -1)
        attended = net.o(rows)
        x2 = x + attended
        h2 = net.between(x2)
        gate, up = net.gate(h2), net.up(h2)
        product = F.silu(gate) * up
        fed = net.down(product)
        x3 = x2 + fed
        h3 = net.behind(x3)

        at_head = torch.zeros(1, CLASSES, dtype=x.dtype)
        at_head[0, target] = 1
        r3 = torch.zeros_like(x)
        r3[-1:] = self.linear(net.head, h3[-1:], at_head)
        at_fed, r2 = r3 * fed / x3, r3 * x2 / x3
        at_product = self.linear(net.down, product, at_fed)
        r2 = r2 + self.linear(net.gate, h2, at_product / 2) + self.linear(net.up, h2, at_product / 2)
        at_attended, r1 = r2 * attended / x2, r2 * x / x2
        at_mixed = self.linear(net.o, rows, at_attended).view(TOKENS, HEADS, WIDTH).transpose(0, 1)
        at_q, at_k, at_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for h, g in enumerate(share_of_head):
            share = at_mixed[h] / mixed[h] / 2
            at_v[g] += v[g] * (weights[h].T @ share)
            at_weights = weights[h] * (share @ v[g].T)
            at_scores = scores[h] * (at_weights - weights[h] * at_weights.sum(-1, keepdim=True))
            share = at_scores / (q[h] @ k[g].T) / 2
            at_q[h] += q[h] * (share @ k[g])
            at_k[g] += k[g] * (share.T @ q[h])
        for layer, relevance in ((net.q, self.rotation(raw_q, at_q)), (net.k, self.rotation(raw_k, at_k)), (net.v, at_v)):
            r1 = r1 + self.linear(layer, h1, relevance.transpose(0, 1).reshape(TOKENS, -1))
        return r1


@pytest.mark.parametrize(("method", "epsilon"), [("lrp_z", 0.0), ("lrp_epsilon_0_1", 0.1)])
def test_a_llama_block_has_the_relevance_of_its_formulas(method, epsilon):
    torch.manual_seed(0)
    net = Llama().double().requires_grad_(False)
    x = drawn(2, TOKENS, SIZE, seed=3)
    found = explain(net, x, method, 1, strict=True)
    expected = torch.stack([ByFormulas(net, epsilon)(sample, 1) for sample in x])
    assert deviation(found, expected) < 1e-11
