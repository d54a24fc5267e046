"""Convolutional networks."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from . import CHANNELS, CLASSES


def _block(inputs: int, outputs: int, width: int, **options: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(inputs, outputs, width, padding=width // 2, **options), nn.BatchNorm1d(outputs), nn.ReLU())


class FCN(nn.Module):
    """Wang et al. 2017."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(CHANNELS, 8, 7), _block(8, 16, 5), _block(16, 8, 3))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(-1))


class ResNet1d(nn.Module):
    """Wang et al. 2017: a shortcut with a batch norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(CHANNELS, 8, 7), nn.Conv1d(8, 8, 3, padding="same"), nn.BatchNorm1d(8))
        self.shortcut = nn.Sequential(nn.Conv1d(CHANNELS, 8, 1), nn.BatchNorm1d(8))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.shortcut(x) + self.body(x), inplace=True)
        return self.head(F.adaptive_avg_pool1d(x, 1).squeeze(-1))


class _XBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv1d(inputs, 4, 1, bias=False),
            nn.BatchNorm1d(4),
            nn.ReLU(inplace=True),
            nn.Conv1d(4, 4, 5, stride=stride, padding=2, bias=False),
            nn.BatchNorm1d(4),
            nn.ReLU(inplace=True),
            nn.Conv1d(4, outputs, 1, bias=False),
            nn.BatchNorm1d(outputs),
        )
        self.pool = nn.AvgPool1d(2, ceil_mode=True) if stride > 1 else nn.Identity()
        self.idconv = nn.Sequential(nn.Conv1d(inputs, outputs, 1, bias=False), nn.BatchNorm1d(outputs))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.convs(x) + self.idconv(self.pool(x)))


class XResNet1d(nn.Module):
    """He et al. 2018 in one dimension, as in fastai and the PTB-XL benchmark (Strodthoff et al. 2020): two poolings at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_block(CHANNELS, 6, 5, stride=2), _block(6, 8, 5), nn.MaxPool1d(3, 2, 1))
        self.body = nn.Sequential(_XBlock(8, 16, 1), _XBlock(16, 16, 2))
        self.head = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.stem(x))
        return self.head(torch.cat([F.adaptive_avg_pool1d(x, 1), F.adaptive_max_pool1d(x, 1)], 1))


class _Inception(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.bottleneck = nn.Conv1d(inputs, 4, 1, bias=False)
        self.convs = nn.ModuleList(nn.Conv1d(4, 4, width, padding="same", bias=False) for width in (9, 5, 3))
        self.pooled = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(inputs, 4, 1, bias=False))
        self.bn = nn.BatchNorm1d(16)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bottleneck(x)
        return F.relu(self.bn(torch.cat([*(conv(narrow) for conv in self.convs), self.pooled(x)], dim=1)))


class InceptionTime(nn.Module):
    """Ismail Fawaz et al. 2020."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_Inception(CHANNELS), _Inception(16), _Inception(16)])
        self.shortcut = nn.Sequential(nn.Conv1d(CHANNELS, 16, 1), nn.BatchNorm1d(16))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        for block in self.blocks:
            x = block(x)
        return self.head(torch.mean(F.relu(x + shortcut), dim=2))


class _TemporalBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.padding = 2 * dilation
        self.one = weight_norm(nn.Conv1d(inputs, outputs, 3, padding=self.padding, dilation=dilation))
        self.two = weight_norm(nn.Conv1d(outputs, outputs, 3, padding=self.padding, dilation=dilation))
        self.downsample = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.dropout(F.relu(self.one(x)[:, :, : -self.padding].contiguous()), 0.2, self.training)
        y = F.relu(self.two(y)[:, :, : -self.padding].contiguous())
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class TCN(nn.Module):
    """Bai et al. 2018: causal, by cutting off what was padded; weight norm."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_TemporalBlock(CHANNELS, 6, 1), _TemporalBlock(6, 6, 2), _TemporalBlock(6, 6, 4))
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[:, :, -1])


class WaveNet(nn.Module):
    """van den Oord et al. 2016: gated units, skip connections that are summed."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Conv1d(CHANNELS, 6, 1)
        self.dilated = nn.ModuleList(nn.Conv1d(6, 12, 2, dilation=2**i) for i in range(4))
        self.skips = nn.ModuleList(nn.Conv1d(6, 8, 1) for _ in range(4))
        self.residuals = nn.ModuleList(nn.Conv1d(6, 6, 1) for _ in range(4))
        self.end = nn.Sequential(nn.ReLU(), nn.Conv1d(8, 8, 1), nn.ReLU(), nn.Conv1d(8, CLASSES, 1))

    def forward(self, x: Tensor) -> Tensor:
        x, skip = self.start(x), 0
        for dilated, to_skip, residual in zip(self.dilated, self.skips, self.residuals, strict=True):
            filtered, gate = dilated(F.pad(x, (dilated.dilation[0], 0))).chunk(2, dim=1)
            gated = torch.tanh(filtered) * torch.sigmoid(gate)
            skip = skip + to_skip(gated)
            x = (x + residual(gated)) * math.sqrt(0.5)
        return self.end(skip)[..., -1]


class _Excited(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 5, padding=2, groups=4)
        self.norm = nn.GroupNorm(2, channels)
        self.squeeze, self.excite = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.norm(self.conv(x)))
        return x + y * self.excite(F.relu(self.squeeze(y.mean(-1)))).sigmoid().unsqueeze(-1)


class SEResNeXt1d(nn.Module):
    """Grouped convolutions, group norm, squeeze and excitation (Hong et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(CHANNELS, 8, 7, 2, 3), _Excited(8), nn.MaxPool1d(2), _Excited(8))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).amax(-1))


class _Ribeiro(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(channels, channels, 5, padding=2, bias=False), nn.Conv1d(channels, channels, 5, 2, 2, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)
        self.skip = nn.Sequential(nn.MaxPool1d(2), nn.Conv1d(channels, channels, 1, bias=False))

    def forward(self, xy: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, y = xy
        y = self.skip(y)
        x = self.two(F.dropout(F.relu(self.bn1(self.one(x))), 0.2, self.training))
        x += y
        y = x
        return F.relu(self.bn2(x)), y


class RibeiroECG(nn.Module):
    """Ribeiro et al. 2020: the shortcut leaves before the norm, two streams go from block to block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(CHANNELS, 6, 5, padding=2, bias=False), nn.BatchNorm1d(6), nn.ReLU())
        self.blocks = nn.ModuleList([_Ribeiro(6), _Ribeiro(6)])
        self.head = nn.Linear(6 * 16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = x
        for block in self.blocks:
            x, y = block((x, y))
        return self.head(x.view(x.size(0), -1))


class UNet1d(nn.Module):
    """Ronneberger et al. 2015 in one dimension: transposed convolutions, skips by concatenation; the mean of its mask."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([_block(CHANNELS, 4, 3), _block(4, 8, 3)])
        self.bottom = _block(8, 8, 3)
        self.up = nn.ModuleList([nn.ConvTranspose1d(8, 8, 2, 2), nn.ConvTranspose1d(8, 4, 2, 2)])
        self.merge = nn.ModuleList([_block(16, 8, 3), _block(8, 4, 3)])
        self.out = nn.Conv1d(4, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for down in self.down:
            x = down(x)
            kept.append(x)
            x = F.max_pool1d(x, 2)
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat((up(x), kept.pop()), 1))
        return self.out(x).mean(-1)


class OmniScaleCNN(nn.Module):
    """Tang et al. 2022: kernels of all prime sizes, zero where a smaller kernel stands, masked in the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        mask = torch.zeros(12, CHANNELS, 7)
        for i, width in enumerate((1, 2, 3, 5)):
            mask[3 * i : 3 * i + 3, :, 3 - (width - 1) // 2 : 3 - (width - 1) // 2 + width] = 1
        self.register_buffer("mask", mask)
        self.weight, self.bias = nn.Parameter(torch.randn(12, CHANNELS, 7)), nn.Parameter(torch.zeros(12))
        self.pad, self.bn, self.head = nn.ConstantPad1d((3, 3), 0), nn.BatchNorm1d(12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv1d(self.pad(x), self.weight * self.mask, self.bias)
        return self.head(nn.AdaptiveAvgPool1d(1)(F.relu(self.bn(y))).squeeze_(-1))


class RocketLike(nn.Module):
    """Dempster et al. 2020: random dilated kernels; of each the maximum and a soft share of positive values."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = nn.ModuleList(nn.Conv1d(CHANNELS, 6, 9, dilation=d, padding=4 * d).requires_grad_(False) for d in (1, 2, 4))
        self.register_buffer("mean", 0.1 * torch.randn(36))
        self.register_buffer("scale", 0.5 + torch.rand(36))
        self.head = nn.Linear(36, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        features = []
        for conv in self.kernels:
            y = conv(x)
            features += [y.max(dim=-1).values, torch.sigmoid(10 * y).mean(-1)]
        return self.head((torch.hstack(features) - self.mean) / self.scale)


class EEGNet(nn.Module):
    """Lawhern et al. 2018: over time, over electrodes, apart; weights are kept short in the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Conv2d(1, 4, (1, 9), padding="same", bias=False)
        self.space = nn.Conv2d(4, 8, (CHANNELS, 1), groups=4, bias=False)
        self.depth, self.point = nn.Conv2d(8, 8, (1, 5), padding="same", groups=8, bias=False), nn.Conv2d(8, 8, 1, bias=False)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(4), nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.head = nn.Linear(8 * 4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.time(x[:, None]))
        x = F.conv2d(x, torch.renorm(self.space.weight, p=2, dim=0, maxnorm=1), groups=4)
        x = F.avg_pool2d(F.elu(self.bn2(x)), (1, 4))
        x = F.avg_pool2d(F.elu(self.bn3(self.point(self.depth(x)))), (1, 4))
        return self.head(x.flatten(1))


class ShallowConvNet(nn.Module):
    """Schirrmeister et al. 2017: the logarithm of mean squares, band power."""

    def __init__(self) -> None:
        super().__init__()
        self.time, self.space = nn.Conv2d(1, 6, (1, 9)), nn.Conv2d(6, 6, (CHANNELS, 1), bias=False)
        self.bn, self.head = nn.BatchNorm2d(6), nn.Conv2d(6, CLASSES, (1, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.square(self.bn(self.space(self.time(x.unsqueeze(1)))))
        x = torch.log(torch.clamp(F.avg_pool2d(x, (1, 16), (1, 8)), min=1e-6))
        return self.head(x).squeeze(3).squeeze(2)


class SincNet(nn.Module):
    """Ravanelli and Bengio 2018: band-pass kernels computed from two parameters each."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.band = nn.Parameter(torch.tensor([0.02, 0.05, 0.1, 0.2])), nn.Parameter(torch.full((4,), 0.1))
        self.register_buffer("n", torch.arange(-10, 11).float())
        self.register_buffer("window", torch.hamming_window(21, periodic=False))
        self.body, self.head = _block(4 * CHANNELS, 8, 5), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        low = self.low.abs()[:, None]
        high = torch.clamp(low + self.band.abs()[:, None], max=0.5)
        kernels = (2 * high * torch.sinc(2 * high * self.n) - 2 * low * torch.sinc(2 * low * self.n)) * self.window
        n, c, t = x.shape
        y = F.conv1d(x.reshape(n * c, 1, t), kernels[:, None], padding=10).reshape(n, -1, t)
        return self.head(F.max_pool1d(self.body(F.layer_norm(y, y.shape[1:]).abs()), 4).mean(-1))


class DilatedEncoder(nn.Module):
    """TS2Vec (Yue et al. 2022): a linear layer per time step, GELU in front of each convolution, the maximum over time."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(CHANNELS, 8)
        self.convs = nn.ModuleList(nn.Conv1d(8, 8, 3, padding=2**i, dilation=2**i) for i in range(4))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        x[x.isnan()] = 0
        x = self.project(x).transpose(1, 2)
        for one, two in zip(self.convs[::2], self.convs[1::2], strict=True):
            x = two(F.gelu(one(F.gelu(x)))) + x
        return self.head(F.max_pool1d(x.transpose(1, 2).transpose(1, 2), kernel_size=x.size(2)).squeeze(-1))


class HaarNet(nn.Module):
    """A wavelet transform by strided convolution with constant filters, one small network for each level."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", torch.tensor([[1.0, 1.0], [1.0, -1.0]])[:, None] / math.sqrt(2))
        self.levels = nn.ModuleList(_block(CHANNELS, 4, 3) for _ in range(3))
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for level in self.levels:
            y = F.conv1d(x, self.filters.repeat(CHANNELS, 1, 1), stride=2, groups=CHANNELS)
            x, detail = y[:, 0::2], y[:, 1::2]
            found.append(level(detail).mean(-1))
        return self.head(torch.cat(found, -1))
