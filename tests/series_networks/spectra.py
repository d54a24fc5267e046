"""Networks that look at frequencies."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import CHANNELS, CLASSES, LENGTH


class DiagonalStateSpace(nn.Module):
    """S4D (Gu et al. 2022): a long kernel from complex parameters, its convolution by FFT, GLU behind."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.mix, self.head = nn.Linear(CHANNELS, 6), nn.Conv1d(6, 12, 1), nn.Linear(6, CLASSES)
        self.c = nn.Parameter(torch.randn(6, 8, 2))
        self.log_dt, self.d = nn.Parameter(torch.full((6,), -3.0)), nn.Parameter(torch.randn(6))
        self.log_real, self.imaginary = nn.Parameter(torch.zeros(6, 8)), nn.Parameter(math.pi * torch.arange(8.0).repeat(6, 1))

    def kernel(self) -> Tensor:
        c, a = torch.view_as_complex(self.c), -torch.exp(self.log_real) + 1j * self.imaginary
        dta = a * torch.exp(self.log_dt)[:, None]
        powers = torch.exp(dta[..., None] * torch.arange(LENGTH))
        return 2 * torch.einsum("hn,hnl->hl", c * (torch.exp(dta) - 1) / a, powers).real

    def forward(self, x: Tensor) -> Tensor:
        u = self.encode(x.transpose(1, 2)).transpose(1, 2)
        y = torch.fft.irfft(torch.fft.rfft(u, n=2 * LENGTH) * torch.fft.rfft(self.kernel(), n=2 * LENGTH), n=2 * LENGTH)[..., :LENGTH]
        y = self.mix(F.gelu(y + u * self.d.unsqueeze(-1)))
        return self.head((u + F.glu(y, dim=1)).mean(-1))


class SpectrogramCNN(nn.Module):
    """An STFT, the logarithm of its power, convolutions in two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(16))
        self.body = nn.Sequential(
            nn.Conv2d(CHANNELS, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU()
        )
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t = x.shape
        spectrum = torch.stft(x.reshape(n * c, t), 16, 4, window=self.window, return_complex=True)
        power = torch.log1p(spectrum.abs().pow(2)).view(n, c, *spectrum.shape[-2:])
        return self.head(self.body(power).mean((2, 3)))


class MelCNN(nn.Module):
    """A mel filter bank behind the STFT, decibels, normalization by its mean and deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hamming_window(16))
        self.register_buffer("bank", torch.rand(9, 5))
        self.body, self.head = nn.Conv2d(CHANNELS, 6, 3), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.unfold(-1, 16, 4) * self.window
        spectrum = torch.fft.rfft(frames, dim=-1)
        mel = torch.matmul(spectrum.real**2 + spectrum.imag**2, self.bank)
        decibels = 10 * torch.log10(torch.clamp(mel, min=1e-10))
        normalized = (decibels - decibels.mean((-2, -1), keepdim=True)) / (decibels.std((-2, -1), keepdim=True) + 1e-5)
        return self.head(F.relu(self.body(normalized)).mean((-2, -1)))


class FourierLayers(nn.Module):
    """FNO (Li et al. 2021): complex weights on the lowest frequencies, a convolution of width one beside."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.head = nn.Conv1d(CHANNELS, 6, 1), nn.Linear(6, CLASSES)
        self.weights = nn.Parameter(0.2 * torch.randn(2, 6, 6, 8, dtype=torch.cdouble))
        self.beside = nn.ModuleList(nn.Conv1d(6, 6, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(x)
        for weight, conv in zip(self.weights, self.beside, strict=True):
            spectrum = torch.fft.rfft(x)
            out = torch.zeros(len(x), 6, LENGTH // 2 + 1, dtype=torch.cdouble, device=x.device)
            out[:, :, :8] = torch.einsum("bix,iox->box", spectrum[:, :, :8], weight)
            x = F.gelu(torch.fft.irfft(out, n=LENGTH) + conv(x))
        return self.head(x.mean(-1))


class FourierMixing(nn.Module):
    """FNet (Lee-Thorp et al. 2022): the real part of a transform in two dimensions in place of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(CHANNELS, 8), nn.Linear(8, CLASSES)
        self.norm1, self.norm2, self.ff = nn.LayerNorm(8), nn.LayerNorm(8), nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.transpose(1, 2))
        x = self.norm1(x + torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real)
        return self.head(self.norm2(x + self.ff(x)).mean(1))


class TimesNet(nn.Module):
    """Wu et al. 2023: folded along periods into two dimensions, periods weighed by the sample's amplitudes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Conv1d(CHANNELS, 6, 3, padding=1), nn.LayerNorm(6), nn.Linear(6 * LENGTH, CLASSES)
        self.conv1, self.conv2 = nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).transpose(1, 2)
        amplitudes = torch.fft.rfft(x, dim=1).abs().mean(-1)
        frequencies = (2, 3, 5)  # of the training set
        folded = []
        for frequency in frequencies:
            period = LENGTH // frequency
            length = math.ceil(LENGTH / period) * period
            y = torch.cat([x, torch.zeros(len(x), length - LENGTH, 6).to(x)], dim=1) if length > LENGTH else x
            y = y.reshape(len(x), length // period, period, 6).permute(0, 3, 1, 2).contiguous()
            y = self.conv2(F.gelu(self.conv1(y)))
            folded.append(y.permute(0, 2, 3, 1).reshape(len(x), -1, 6)[:, :LENGTH])
        weights = F.softmax(amplitudes[:, list(frequencies)], dim=1)[:, None, None].repeat(1, LENGTH, 6, 1)
        x = self.norm(torch.sum(torch.stack(folded, dim=-1) * weights, -1) + x)
        return self.head(F.gelu(x).reshape(len(x), -1))


class AutoCorrelation(nn.Module):
    """Autoformer (Wu et al. 2021): a moving average is split off, delays by FFT, series rolled by the best of them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(CHANNELS, 6), nn.Linear(6, CLASSES)
        self.q, self.k, self.v, self.o = (nn.Linear(6, 6) for _ in range(4))

    def decomposed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        front, end = x[:, 0:1].repeat(1, 2, 1), x[:, -1:].repeat(1, 2, 1)
        trend = F.avg_pool1d(torch.cat([front, x, end], dim=1).permute(0, 2, 1), 5, 1).permute(0, 2, 1)
        return x - trend, trend

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.transpose(1, 2))
        q, k, v = self.q(x).mT, self.k(x).mT, self.v(x).mT
        correlation = torch.fft.irfft(torch.fft.rfft(q) * torch.conj(torch.fft.rfft(k)), n=LENGTH).mean(1)
        weights, delays = torch.topk(correlation, 3, dim=-1)
        weights = torch.softmax(weights, dim=-1)
        doubled, index = v.repeat(1, 1, 2), torch.arange(LENGTH).expand(v.shape)
        y = torch.zeros_like(v)
        for i in range(3):
            y = y + torch.gather(doubled, -1, index + delays[:, i].view(-1, 1, 1)) * weights[:, i].view(-1, 1, 1)
        season, trend = self.decomposed(x + self.o(y.mT))
        return self.head(season.abs().mean(1) + trend[:, -1])


class FrequencyEnhanced(nn.Module):
    """FEDformer's Fourier block (Zhou et al. 2022): a few random frequencies, each with a matrix of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Conv1d(CHANNELS, 8, 3, padding=1), nn.Linear(8, CLASSES)
        self.real, self.imaginary = nn.Parameter(0.2 * torch.randn(2, 4, 4, 5)), nn.Parameter(0.2 * torch.randn(2, 4, 4, 5))
        self.modes = (0, 2, 3, 7, 11)

    def forward(self, x: Tensor) -> Tensor:
        q = self.embed(x).view(len(x), 2, 4, LENGTH)
        spectrum, out = torch.fft.rfft(q), torch.zeros(len(x), 2, 4, LENGTH // 2 + 1, dtype=torch.cdouble)
        weights = torch.complex(self.real, self.imaginary)
        for i, mode in enumerate(self.modes):
            out[..., i] = torch.einsum("bhi,hio->bho", spectrum[..., mode], weights[..., i])
        y = torch.fft.irfft(out, n=LENGTH) + q
        return self.head(F.relu(y).mean(-1).flatten(1))


class GaborEnvelopes(nn.Module):
    """The first order of a scattering transform: moduli of complex band passes, averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        t = torch.arange(-8, 9.0)
        filters = torch.exp(-(t**2) / 20) * torch.exp(1j * torch.tensor([0.3, 0.6, 1.2])[:, None] * t)
        self.register_buffer("real", filters.real[:, None].repeat(CHANNELS, 1, 1))
        self.register_buffer("imaginary", filters.imag[:, None].repeat(CHANNELS, 1, 1))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(3 * CHANNELS * 4, 8), nn.ReLU(), nn.Linear(8, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        a = F.conv1d(x, self.real, padding=8, groups=CHANNELS)
        b = F.conv1d(x, self.imaginary, padding=8, groups=CHANNELS)
        return self.head(F.avg_pool1d(torch.sqrt(a**2 + b**2 + 1e-12), 16))
