"""Networks that forecast: what is explained is one of four future values."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import CHANNELS, CLASSES, LENGTH


class DLinear(nn.Module):
    """Zeng et al. 2023: a linear map of the trend and one of the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.season, self.trend = nn.Linear(LENGTH, CLASSES), nn.Linear(LENGTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        trend = F.avg_pool1d(F.pad(x, (6, 6), mode="replicate"), 13, 1)
        return (self.season(x - trend) + self.trend(trend))[:, 0]


class NLinear(nn.Module):
    """Zeng et al. 2023: the last value is subtracted and added back."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(LENGTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        last = x[:, :, -1:].detach()
        return (self.linear(x - last) + last)[:, 0]


class RevINForecast(nn.Module):
    """Kim et al. 2022: each series is normalized with a scale of its own, the forecast brought back."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(CHANNELS)), nn.Parameter(torch.zeros(CHANNELS))
        self.net = nn.Sequential(nn.Linear(LENGTH, 16), nn.ReLU(), nn.Linear(16, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        mean, stdev = x.mean(1, keepdim=True).detach(), torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-5).detach()
        x = (x - mean) / stdev * self.weight + self.bias
        y = self.net(x.transpose(1, 2)).transpose(1, 2)
        y = (y - self.bias) / (self.weight + 1e-10) * stdev + mean
        return y[..., 0]


class NBeats(nn.Module):
    """Oreshkin et al. 2020: blocks explain away what they see; polynomials, waves and free bases."""

    def __init__(self) -> None:
        super().__init__()
        t = torch.arange(LENGTH + CLASSES) / LENGTH
        trend = torch.stack([t**i for i in range(3)])
        season = torch.cat([torch.stack([torch.cos(2 * torch.pi * i * t), torch.sin(2 * torch.pi * i * t)]) for i in range(1, 3)])
        self.register_buffer("trend", trend)
        self.register_buffer("season", season)
        self.bodies = nn.ModuleList(nn.Sequential(nn.Linear(LENGTH, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()) for _ in range(3))
        self.thetas = nn.ModuleList(nn.Linear(16, size, bias=False) for size in (3, 4, 6))
        self.free = nn.Linear(6, LENGTH + CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        residual, forecast = x[:, 0].flip(-1), x[:, 0, -1:]
        bases = (lambda a: a @ self.trend, lambda a: torch.einsum("bp,pt->bt", a, self.season), self.free)
        for body, theta, basis in zip(self.bodies, self.thetas, bases, strict=True):
            both = basis(theta(body(residual)))
            residual = residual - both[:, :LENGTH]
            forecast = forecast + both[:, LENGTH:]
        return forecast


class NHiTS(nn.Module):
    """Challu et al. 2023: pooled at several rates, interpolated back."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = (8, 4, 1)
        self.bodies = nn.ModuleList(
            nn.Sequential(nn.Linear(LENGTH // rate, 12), nn.ReLU(), nn.Linear(12, LENGTH // rate + 2)) for rate in self.rates
        )

    def forward(self, x: Tensor) -> Tensor:
        residual, forecast = x[:, 0], torch.zeros(len(x), CLASSES).to(x)
        for rate, body in zip(self.rates, self.bodies, strict=True):
            pooled = F.max_pool1d(residual.unsqueeze(1), rate, rate, ceil_mode=True).squeeze(1)
            back, ahead = body(pooled).split([LENGTH // rate, 2], -1)
            residual = residual - F.interpolate(back[:, None], size=LENGTH, mode="linear")[:, 0]
            forecast = forecast + F.interpolate(ahead[:, None], size=CLASSES, mode="linear")[:, 0]
        return forecast


class TSMixer(nn.Module):
    """Chen et al. 2023: linear maps over time and over channels in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm1d(LENGTH * CHANNELS), nn.BatchNorm1d(LENGTH * CHANNELS)
        self.time, self.up, self.down = nn.Linear(LENGTH, LENGTH), nn.Linear(CHANNELS, 8), nn.Linear(8, CHANNELS)
        self.head = nn.Linear(LENGTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        y = self.norm1(torch.flatten(x, 1, -1)).reshape(x.shape).transpose(1, 2)
        x = x + F.relu(self.time(y)).transpose(1, 2)
        y = self.norm2(torch.flatten(x, 1, -1)).reshape(x.shape)
        x = x + self.down(F.relu(self.up(y)))
        return self.head(x.transpose(1, 2))[:, 0]


class SCINet(nn.Module):
    """Liu et al. 2022: even and odd steps teach each other, scaled by exponentials."""

    def __init__(self) -> None:
        super().__init__()
        self.phi, self.psi, self.rho, self.eta = (nn.Sequential(nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1), nn.Tanh()) for _ in range(4))
        self.head = nn.Linear(LENGTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        even, odd = x[:, :, ::2], x[:, :, 1::2]
        d, c = odd.mul(torch.exp(self.phi(even))), even.mul(torch.exp(self.psi(odd)))
        even, odd = c.add(self.eta(d)), d.sub(self.rho(c))
        y = torch.stack([even, odd], -1).flatten(2)
        return self.head(y + x)[:, -1]


class DeepAR(nn.Module):
    """Salinas et al. 2020: scaled by the mean of absolute values, an LSTM, the mean of a Gaussian."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.mu = nn.LSTM(CHANNELS, 6, 2, batch_first=True), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        scale = 1 + x.abs().mean(-1, keepdim=True)
        steps, _ = self.lstm((x / scale).transpose(1, 2)[:, ::4])
        return self.mu(steps[:, -1]) * scale[:, 0]
