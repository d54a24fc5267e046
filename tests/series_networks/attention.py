"""Transformers."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import CHANNELS, CLASSES, LENGTH


class PatchTST(nn.Module):
    """Nie et al. 2023: patches of each channel by itself, learned positions, batch norm over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.position = nn.Linear(8, 12), nn.Parameter(0.1 * torch.randn(15, 12))
        self.attention, self.ff = (
            nn.MultiheadAttention(12, 3, batch_first=True),
            nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12)),
        )
        self.bn1, self.bn2 = nn.BatchNorm1d(12), nn.BatchNorm1d(12)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * 12, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        mean, std = x.mean(-1, keepdim=True).detach(), torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5).detach()
        patches = ((x - mean) / std).unfold(dimension=-1, size=8, step=4)
        z = self.embed(patches.reshape(-1, 15, 8)) + self.position
        z = self.bn1((z + self.attention(z, z, z, need_weights=False)[0]).transpose(1, 2)).transpose(1, 2)
        z = self.bn2((z + self.ff(z)).transpose(1, 2)).transpose(1, 2)
        return self.head(z.reshape(-1, CHANNELS, 15, 12).mean(2))


class EncoderWithClassToken(nn.Module):
    """Convolutions, then torch's own transformer encoder with a class token and sines as positions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(CHANNELS, 8, 7, 4, 3), nn.BatchNorm1d(8), nn.GELU())
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8), enable_nested_tensor=False)
        self.token, self.head = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, CLASSES)
        steps = torch.arange(17)[:, None] * torch.exp(torch.arange(0, 8, 2) * (-math.log(1e4) / 8))
        self.register_buffer("positions", torch.stack([steps.sin(), steps.cos()], -1).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        z = self.stem(x).permute(0, 2, 1)
        z = torch.cat([self.token.expand(len(z), -1, -1), z], dim=1) + self.positions
        return self.head(self.encoder(z)[:, 0])


class DistillingAttention(nn.Module):
    """Informer's distilling (Zhou et al. 2021): attention by einsum, a circular convolution, ELU and pooling between."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Conv1d(CHANNELS, 8, 3, padding=1, padding_mode="circular", bias=False)
        self.projections = nn.ModuleList(nn.Linear(8, 24) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(2))
        self.distil, self.bn, self.head = nn.Conv1d(8, 8, 3, padding=1, padding_mode="circular"), nn.BatchNorm1d(8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.token(x[:, :, ::2]).transpose(1, 2)
        for i, (project, norm) in enumerate(zip(self.projections, self.norms, strict=True)):
            q, k, v = (t.view(*x.shape[:2], 2, 4) for t in project(x).chunk(3, dim=-1))
            scores = torch.einsum("blhe,bshe->bhls", q, k)
            weights = torch.softmax(scores / math.sqrt(4), dim=-1)
            x = norm(x + torch.einsum("bhls,bshd->blhd", weights, v).contiguous().view(x.shape))
            if i == 0:
                x = F.max_pool1d(F.elu(self.bn(self.distil(x.permute(0, 2, 1)))), 3, 2, 1).transpose(1, 2)
        return self.head(x.mean(1))


class ITransformer(nn.Module):
    """Liu et al. 2024: channels are the tokens; means and deviations are put back at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv, self.out = nn.Linear(LENGTH, 8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.norm, self.project, self.mix = nn.LayerNorm(8), nn.Linear(8, 6), nn.Linear(6 * CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(2, keepdim=True).detach()
        x = x - means
        stdev = torch.sqrt(torch.var(x, dim=2, keepdim=True, unbiased=False) + 1e-5)
        x = x / stdev
        z = self.embed(x)
        q, k, v = self.qkv(z).view(len(z), CHANNELS, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        y = self.project(self.norm(z + self.out(attended)))
        y = y * (stdev[:, :, 0].unsqueeze(2).repeat(1, 1, 6)) + means[:, :, 0].unsqueeze(2).repeat(1, 1, 6)
        return self.mix(y.flatten(1))


class LinearAttention(nn.Module):
    """Katharopoulos et al. 2020: causal, ``elu + 1`` in place of the softmax, sums that run along."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv, self.norm, self.head = nn.Linear(CHANNELS, 8), nn.Linear(8, 24), nn.LayerNorm(8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x[..., ::4].transpose(-1, -2))
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        kv = torch.cumsum(k.unsqueeze(-1) * v.unsqueeze(-2), dim=1)
        top = (q.unsqueeze(-2) @ kv).squeeze(-2)
        bottom = (q * k.cumsum(1)).sum(-1, keepdim=True) + 1e-6
        return self.head(self.norm(x + top / bottom)[:, -1])


class RotaryTransformer(nn.Module):
    """Rotated queries and keys, RMS norm by hand, SwiGLU: a language model's block on patches of a signal."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.q, self.k, self.v, self.o = nn.Linear(8, 8), *(nn.Linear(8, 8, bias=False) for _ in range(4))
        self.gate, self.up, self.down = nn.Linear(8, 12, bias=False), nn.Linear(8, 12, bias=False), nn.Linear(12, 8, bias=False)
        self.scales, self.head = nn.Parameter(torch.rand(3, 8)), nn.Linear(8, CLASSES)
        angles = torch.outer(torch.arange(16.0), 1e4 ** (-torch.arange(0, 4, 2) / 4))
        self.register_buffer("cos", torch.cat([angles, angles], -1).cos())
        self.register_buffer("sin", torch.cat([angles, angles], -1).sin())

    def rms(self, x: Tensor, i: int) -> Tensor:
        return self.scales[i] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    def rotated(self, x: Tensor) -> Tensor:
        a, b = x[..., :2], x[..., 2:]
        return x * self.cos + torch.cat((-b, a), -1) * self.sin

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.unfold(-1, 4, 4).transpose(1, 2).flatten(2))
        h = self.rms(x, 0)
        q, k, v = (layer(h).view(len(x), 16, 2, 4).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = self.rotated(q) @ self.rotated(k).transpose(2, 3) / 2
        scores = scores.masked_fill(torch.ones(16, 16, dtype=torch.bool).triu(1), float("-inf"))
        x = x + self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(len(x), 16, 8))
        h = self.rms(x, 1)
        x = x + self.down(F.silu(self.gate(h)) * self.up(h))
        return self.head(self.rms(x, 2)[:, -1])


class CrossDimension(nn.Module):
    """Crossformer (Zhang and Yan 2023): attention over time, then over channels through a few routers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.routers = nn.Linear(8, 8), nn.Parameter(torch.randn(8, 3, 8))
        self.time, self.send, self.receive = (nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(3))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        z = self.embed(x.view(n * CHANNELS, 8, 8))
        z = self.norm(z + self.time(z, z, z)[0])
        z = z.view(n, CHANNELS, 8, 8).transpose(1, 2).reshape(n * 8, CHANNELS, 8)
        routers = self.routers.repeat(n, 1, 1)
        buffer = self.send(routers, z, z)[0]
        z = self.norm(z + self.receive(z, buffer, buffer)[0])
        return self.head(z.view(n, -1, 8).mean(1))


class VariableSelection(nn.Module):
    """Pieces of the temporal fusion transformer (Lim et al. 2021): gated residual networks, variables weighed by a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.singles = nn.ModuleList(_GatedResidual(1, 6, 6) for _ in range(CHANNELS))
        self.weights = _GatedResidual(CHANNELS * 6, 6, CHANNELS)
        self.lstm, self.gate, self.norm = nn.LSTM(6, 6, batch_first=True), nn.Linear(6, 12), nn.LayerNorm(6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, ::8].transpose(1, 2)
        parts = torch.stack([single(x[..., i : i + 1]) for i, single in enumerate(self.singles)], -1)
        weights = F.softmax(self.weights(parts.flatten(2)), -1).unsqueeze(2)
        z = (parts * weights).sum(-1)
        steps, _ = self.lstm(z)
        return self.head(self.norm(z + F.glu(self.gate(steps)))[:, -1])


class _GatedResidual(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.one, self.two, self.gate = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs), nn.Linear(outputs, 2 * outputs)
        self.skip, self.norm = nn.Linear(inputs, outputs), nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.skip(x) + F.glu(self.gate(self.two(F.elu(self.one(x))))))
