"""Recurrent networks and state spaces."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from . import CHANNELS, CLASSES, LENGTH


class LSTMFCN(nn.Module):
    """Karim et al. 2018: an LSTM that sees the channels as its steps, beside convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(LENGTH, 6, batch_first=True)
        self.convs = nn.Sequential(
            nn.Conv1d(CHANNELS, 8, 7), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 6, 5), nn.BatchNorm1d(6), nn.ReLU()
        )
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(x)
        return self.head(torch.cat([hidden[-1], self.convs(x).mean(2)], dim=1))


class GRUFCN(nn.Module):
    """Elsayed et al. 2018, with squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(CHANNELS, 6, batch_first=True)
        self.conv, self.bn = nn.Conv1d(CHANNELS, 6, 7), nn.BatchNorm1d(6)
        self.se = nn.Sequential(nn.Linear(6, 2), nn.ReLU(), nn.Linear(2, 6), nn.Sigmoid())
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn(self.conv(x)))
        y = y * self.se(y.mean(dim=2)).view(y.size(0), -1, 1)
        steps, _ = self.gru(x.permute(0, 2, 1)[:, ::4])
        return self.head(torch.cat((steps[:, -1], y.mean(dim=-1)), 1))


class DeepConvLSTM(nn.Module):
    """Ordonez and Roggen 2016: convolutions over time, two layers of LSTM, time in front."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, (5, 1)), nn.Conv2d(4, 4, (5, 1), stride=(4, 1))
        self.lstm, self.head = nn.LSTM(4 * CHANNELS, 6, num_layers=2), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2).unsqueeze(1)
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = x.permute(2, 0, 3, 1).reshape(x.shape[2], x.shape[0], -1)
        steps, _ = self.lstm(x)
        return self.head(steps[-1])


class AttentionPooledLSTM(nn.Module):
    """Both directions, packed; a softmax over time written out pools the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4 * CHANNELS, 5, batch_first=True, bidirectional=True)
        self.score, self.query, self.head = nn.Linear(10, 6), nn.Parameter(torch.randn(6)), nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.unfold(2, 4, 4).permute(0, 2, 1, 3).flatten(2)
        lengths = torch.full((len(x),), frames.shape[1])
        steps, _ = pad_packed_sequence(self.lstm(pack_padded_sequence(frames, lengths, batch_first=True))[0], batch_first=True)
        scores = torch.tanh(self.score(steps)) @ self.query
        weights = torch.exp(scores - scores.max(1, keepdim=True)[0])
        weights = weights / weights.sum(1, keepdim=True)
        return self.head(torch.sum(steps * weights.unsqueeze(-1), dim=1))


class LSTNet(nn.Module):
    """Lai et al. 2018: a convolution, a GRU, a GRU over periods, a linear highway."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, (5, CHANNELS))
        self.gru, self.skip = nn.GRU(6, 5), nn.GRU(6, 3)
        self.linear, self.highway = nn.Linear(5 + 4 * 3, CLASSES), nn.Linear(8, 1)
        self.mix = nn.Linear(CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        n = x.size(0)
        c = F.relu(self.conv(x.transpose(1, 2).reshape(n, 1, LENGTH, CHANNELS))).squeeze(3)
        _, r = self.gru(c[:, :, ::4].permute(2, 0, 1).contiguous())
        s = c[:, :, -40:].contiguous().view(n, 6, 10, 4).permute(2, 0, 3, 1).contiguous().view(10, n * 4, 6)
        _, s = self.skip(s)
        out = self.linear(torch.cat((r.squeeze(0), s.view(n, 4 * 3)), 1))
        z = self.highway(x[:, :, -8:].contiguous().view(-1, 8)).view(-1, CHANNELS)
        return out + self.mix(z)


class _DecayingCell(nn.Module):
    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.decay, self.update, self.reset = nn.Linear(1, size), nn.Linear(inputs + size, size), nn.Linear(inputs + size, size)
        self.candidate = nn.Linear(inputs + size, size)

    def forward(self, x: Tensor, h: Tensor, gap: Tensor) -> Tensor:
        h = torch.exp(-F.relu(self.decay(gap))) * h
        both = torch.cat([x, h], 1)
        z, r = torch.sigmoid(self.update(both)), torch.sigmoid(self.reset(both))
        new = torch.tanh(self.candidate(torch.cat([x, r * h], 1)))
        return (1 - z) * h + z * new


class GRUD(nn.Module):
    """Che et al. 2018: the state decays over the time since the last observation, here a constant per step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = _DecayingCell(CHANNELS, 6), nn.Linear(6, CLASSES)
        self.register_buffer("gaps", torch.rand(LENGTH))

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], 6)
        for t in range(0, LENGTH, 6):
            h = self.cell(x[:, :, t], h, self.gaps[t].expand(x.shape[0], 1))
        return self.head(h)


class ODERNN(nn.Module):
    """Rubanova et al. 2019: Euler steps between the observations."""

    def __init__(self) -> None:
        super().__init__()
        self.field = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6))
        self.cell, self.head = nn.GRUCell(CHANNELS, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 6, dtype=x.dtype, device=x.device)
        for step in x[:, :, ::8].unbind(-1):
            for _ in range(2):
                h = h + 0.5 * self.field(h)
            h = self.cell(step, h)
        return self.head(h)


class LiquidTimeConstants(nn.Module):
    """Hasani et al. 2021: fused steps, whose divisor depends on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.recurrent = nn.Linear(CHANNELS, 6), nn.Linear(6, 6, bias=False)
        self.tau, self.a, self.head = nn.Parameter(torch.rand(6)), nn.Parameter(torch.randn(6)), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 6).to(x)
        for t in range(0, LENGTH, 8):
            f = torch.sigmoid(self.inner(x[..., t]) + self.recurrent(h))
            h = (h + 0.1 * f * self.a) / (1 + 0.1 * (F.softplus(self.tau) + f))
        return self.head(h)


class EchoState(nn.Module):
    """Jaeger 2001: a reservoir of constants that leaks, a linear readout of its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("inner", torch.randn(10, CHANNELS))
        self.register_buffer("reservoir", 0.2 * torch.randn(10, 10))
        self.head = nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        state, states = torch.zeros(x.shape[0], 10).type_as(x), []
        for step in x.permute(2, 0, 1)[::6]:
            state = 0.7 * state + 0.3 * torch.tanh(step @ self.inner.t() + torch.einsum("nj,ij->ni", state, self.reservoir))
            states.append(state)
        return self.head(torch.stack(states).mean(0))


class SelectiveStateSpace(nn.Module):
    """Mamba (Gu and Dao 2023) by a loop: a causal depthwise convolution, a scan whose steps depend on the input, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.conv = nn.Linear(CHANNELS, 16, bias=False), nn.Conv1d(8, 8, 4, groups=8, padding=3)
        self.select, self.step = nn.Linear(8, 2 + 2 * 4, bias=False), nn.Linear(2, 8)
        self.a_log, self.d = nn.Parameter(torch.arange(1.0, 5).log().repeat(8, 1)), nn.Parameter(torch.ones(8))
        self.out, self.norm, self.head = nn.Linear(8, 8, bias=False), nn.RMSNorm(8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        u, z = self.inner(x[:, :, ::4].mT).chunk(2, -1)
        length = u.shape[1]
        u = F.silu(self.conv(u.mT)[..., :length]).mT
        step, b, c = self.select(u).split([2, 4, 4], -1)
        delta = F.softplus(self.step(step))
        decay = torch.exp(delta.unsqueeze(-1) * -self.a_log.exp())
        fed = delta[..., None] * b[:, :, None] * u[..., None]
        state, ys = torch.zeros_like(fed[:, 0]), []
        for t in range(length):
            state = decay[:, t] * state + fed[:, t]
            ys.append(torch.einsum("ndk,nk->nd", state, c[:, t]))
        y = torch.stack(ys, dim=1) + u * self.d
        return self.head(self.norm(self.out(y * F.silu(z))).mean(1))


class LinearRecurrence(nn.Module):
    """A diagonal recurrence in complex numbers (LRU, Orvieto et al. 2023), the real part of its states."""

    def __init__(self) -> None:
        super().__init__()
        self.nu, self.theta = nn.Parameter(torch.rand(6)), nn.Parameter(torch.rand(6))
        self.b, self.c = nn.Parameter(torch.randn(6, CHANNELS, 2)), nn.Parameter(torch.randn(8, 6, 2))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        decay = torch.exp(torch.complex(-torch.exp(self.nu), self.theta))
        u = x[:, :, ::4].transpose(1, 2).to(decay.dtype) @ torch.view_as_complex(self.b).T
        h = torch.zeros_like(u[:, 0])
        for t in range(u.shape[1]):
            h = decay * h + u[:, t]
        return self.head(F.gelu((h @ torch.view_as_complex(self.c).T).real))


class TimeMixing(nn.Module):
    """RWKV (Peng et al. 2023) by a loop: weighted means with exponential decay, numerator and denominator carried along."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(CHANNELS, 8)
        self.mix = nn.Parameter(torch.rand(3, 8))
        self.key, self.value, self.receptance = (nn.Linear(8, 8, bias=False) for _ in range(3))
        self.decay, self.first = nn.Parameter(torch.rand(8)), nn.Parameter(torch.rand(8))
        self.out, self.head = nn.Linear(8, 8, bias=False), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x[:, :, ::4].transpose(1, 2))
        shifted = F.pad(x, (0, 0, 1, -1))
        k, v, r = (
            layer(x * mix + shifted * (1 - mix)) for layer, mix in zip((self.key, self.value, self.receptance), self.mix, strict=True)
        )
        top = bottom = torch.zeros_like(x[:, 0])
        ys = []
        for t in range(x.shape[1]):
            weight = torch.exp(self.first + k[:, t])
            ys.append((top + weight * v[:, t]) / (bottom + weight))
            top, bottom = (
                torch.exp(-self.decay) * old + new for old, new in ((top, torch.exp(k[:, t]) * v[:, t]), (bottom, torch.exp(k[:, t])))
            )
        return self.head((x + self.out(torch.sigmoid(r) * torch.stack(ys, 1)))[:, -1])
