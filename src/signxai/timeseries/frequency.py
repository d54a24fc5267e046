"""Relevance of frequencies: what a map over samples says about the sine waves of which the signal is the sum.

DFT-LRP (Vielhaben, Lapuschkin, Montavon, Samek 2024, "Explainable AI for time series via virtual inspection layers", Pattern
Recognition 150) thinks a layer in front of the network that makes the signal from its frequencies, and passes relevance
through it by the z-rule. The network stays as it is: all that is needed are a signal and its relevance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from signxai.common.errors import InputError, OptionError

__all__ = ["ShortTimeRelevance", "SpectralRelevance", "Values", "dft_relevance", "stdft_relevance"]

Values = npt.NDArray[Any] | Tensor

_WINDOWS = ("half_sine", "rectangular")
# Below this share of the largest |x|, x and with it R / x is mostly rounding error.
_ZERO_BELOW = {torch.float32: 1e-4, torch.float64: 1e-10}
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_LARGEST_ITEM = 8  # bytes, of the numbers that torch knows


@dataclass(frozen=True, eq=False)
class SpectralRelevance:
    """Relevance of the frequencies of signals (..., n); there are n // 2 + 1 of them.

    Attributes:
        relevance: (..., n // 2 + 1), signed; sums to the relevance of the samples.
        frequencies: (n // 2 + 1,), from 0 to at most half of the sampling rate, in Hz.
        parts: complex, (..., n // 2 + 1): the relevance of each frequency's cosine (real part) and sine (imaginary part),
            which add up to `relevance`.
    """

    relevance: Values
    frequencies: Values
    parts: Values

    def inverse(self, signal: npt.ArrayLike | Tensor) -> Values:
        """Pass the parts' relevance back to the samples: the z-rule through the DFT that makes the spectrum from the signal.

        The relevance of the samples comes back as it was, unless some of them counted as zero or a cosine or sine is missing
        in the signal: both hold nothing back, and what is left is shared in proportion to the samples' energy, x_t^2.

        Args:
            signal: the same signal, (..., n).

        Returns:
            Relevance (..., n) with the sum of `relevance`.

        Raises:
            InputError: a signal of another shape, or with NaN or infinity in it.

        >>> dft_relevance([1.0, 2.0, -1.0], [3.0, 0.5, 1.0]).inverse([1.0, 2.0, -1.0]).round(12)
        array([3. , 0.5, 1. ])
        """
        x, parts, as_values = _signal_and_parts(signal, self.parts)
        if x.shape[:-1] != parts.shape[:-1] or x.shape[-1] // 2 + 1 != parts.shape[-1]:
            raise InputError(f"the signal's shape {tuple(x.shape)} does not fit a spectrum of shape {tuple(parts.shape)}")
        return as_values(_relevance_of_samples(x, parts, torch.ones_like(x)))


@dataclass(frozen=True, eq=False)
class ShortTimeRelevance:
    """Relevance of the frequencies in windows of signals (..., n).

    Attributes:
        relevance: (..., frames, window_length // 2 + 1), signed; sums to the relevance of the samples.
        times: (frames,), the middle of each window, in seconds from the first sample.
        frequencies: (window_length // 2 + 1,), from 0 to at most half of the sampling rate, in Hz.
        parts: complex, in the shape of `relevance`, to which its real (cosine) and imaginary (sine) parts add up.
        window_length, hop: in samples.
        window: "half_sine" or "rectangular".
    """

    relevance: Values
    times: Values
    frequencies: Values
    parts: Values
    window_length: int
    hop: int
    window: str

    def inverse(self, signal: npt.ArrayLike | Tensor) -> Values:
        """Pass the parts' relevance back to the samples, window by window, as `SpectralRelevance.inverse` does.

        Args:
            signal: the same signal, (..., n).

        Returns:
            Relevance (..., n) with the sum of `relevance`.

        Raises:
            InputError: a signal of another shape, or with NaN or infinity in it.

        >>> signal, relevance = [1.0, 3.0, -1.0, 4.0], [3.0, 0.5, 1.0, -2.0]
        >>> stdft_relevance(signal, relevance, window_length=2).inverse(signal).round(12)
        array([ 3. ,  0.5,  1. , -2. ])
        """
        x, parts, as_values = _signal_and_parts(signal, self.parts)
        if x.shape[-1] < self.window_length:
            raise InputError(f"the signal's shape {tuple(x.shape)} does not fit windows of {self.window_length} samples")
        framing = _Framing(x.shape[-1], self.window_length, self.hop)
        if (*x.shape[:-1], framing.frames) != tuple(parts.shape[:-1]):
            raise InputError(f"the signal's shape {tuple(x.shape)} does not fit a spectrogram of shape {tuple(parts.shape)}")
        shares = framing.shares(_window(self.window, self.window_length, x))
        return as_values(framing.overlapped(_relevance_of_samples(shares * framing.framed(x), parts, shares)))


def dft_relevance(
    signal: npt.ArrayLike | Tensor, relevance: npt.ArrayLike | Tensor, *, sampling_rate: float = 1.0, zero_below: float | None = None
) -> SpectralRelevance:
    """Redistribute the relevance of a signal's samples to its frequencies (DFT-LRP).

    A signal is the sum of its frequencies' contributions, x_t = sum_k c_kt. Each sample's relevance goes to them by the z-rule,
    R_k = sum_t c_kt / x_t R_t, so that sum_k R_k = sum_t R_t. With the DFTs X of x and S of R / x this is
    R_k = w_k / n Re(X_k conj(S_k)), where w_k is 2, but 1 at 0 Hz and, for even n, at half of the sampling rate.

    The contributions to a sample at zero cancel, and the z-rule does not say how they share its relevance: they get it in
    proportion to their part of the signal's power, w_k |X_k|^2, which is their mean squared contribution to a sample. In a
    signal that is zero throughout all n coefficients of the DFT, cosines and sines, get the same. What the sums lose by
    rounding is shared in the same way.

    Relevance that does not vanish where the signal crosses zero, as that of SIGN, gives large relevance of both signs to
    many frequencies, which cancels in the sum: a `zero_below` of 0.01 or 0.05 keeps such samples from drowning the others.

    Args:
        signal: tensor or array (..., n), float32 or float64 (integers take the other's type).
        relevance: the relevance of its samples, of the same shape.
        sampling_rate: samples per second.
        zero_below: samples count as zero up to this share of the largest |x| of their signal, in [0, 1); None: 1e-4 for
            float32, 1e-10 for float64.

    Returns:
        Relevance over frequencies, as arrays for an array of relevance, as tensors on its device for a tensor, through which
        gradients flow to both arguments. Time is O(n log n), memory O(n).

    Raises:
        InputError: different shapes or devices, no samples, other types, NaN or infinity.
        OptionError: a sampling rate or `zero_below` out of range.

    >>> result = dft_relevance([1.0, -1.0, 1.0, -1.0], [1.0, 2.0, 3.0, 4.0], sampling_rate=100)
    >>> result.frequencies
    array([ 0., 25., 50.])
    >>> result.relevance
    array([ 0.,  0., 10.])
    """
    _check_positive("sampling_rate", sampling_rate)
    x, r, as_values = _signal_and_relevance(signal, relevance)
    parts = _parts(x, _quotient(x, r, zero_below), r.sum(dim=-1))
    return SpectralRelevance(
        relevance=as_values(parts.real + parts.imag),
        frequencies=as_values(_frequencies(x.shape[-1], sampling_rate, x)),
        parts=as_values(parts),
    )


def stdft_relevance(
    signal: npt.ArrayLike | Tensor,
    relevance: npt.ArrayLike | Tensor,
    *,
    window_length: int,
    hop: int | None = None,
    window: str = "half_sine",
    sampling_rate: float = 1.0,
    zero_below: float | None = None,
) -> ShortTimeRelevance:
    """Redistribute the relevance of a signal's samples to the frequencies in windows of it (short-time DFT-LRP).

    Window s takes the share v_s(t) of sample t, its weight there divided by the weights of all windows there. Its part of the
    signal, v_s(t) x_t, is the sum of its frequencies' contributions, to which the z-rule gives R_sk = sum_t c_skt / x_t R_t.
    So each window keeps sum_k R_sk = sum_t v_s(t) R_t, and together they keep sum_t R_t. Samples at zero are treated as
    `dft_relevance` does, by the power within the window.

    The first window starts at the first sample, and the last one ends at the last sample or reaches over it, where zeros
    that have no relevance fill it up.

    Args:
        signal, relevance, sampling_rate, zero_below: as for `dft_relevance`.
        window_length: in samples, from 1 to n.
        hop: from one window's start to the next, in samples, from 1 to `window_length`; None: half of `window_length`.
        window: "half_sine", sin(pi (j + 1/2) / window_length) at the window's sample j, or "rectangular".

    Returns:
        Relevance over windows and frequencies, as arrays or tensors, as from `dft_relevance`.

    Raises:
        InputError: as `dft_relevance`.
        OptionError: an unknown window, or an option out of range.

    >>> result = stdft_relevance([1.0, 1.0, -1.0, 1.0], [1.0, 2.0, 3.0, 4.0], window_length=2, hop=2, window="rectangular")
    >>> result.times
    array([0.5, 2.5])
    >>> result.relevance
    array([[3., 0.],
           [0., 7.]])
    """
    _check_positive("sampling_rate", sampling_rate)
    x, r, as_values = _signal_and_relevance(signal, relevance)
    _check_count("window_length", window_length, x.shape[-1], "the signal's length")
    hop = max(window_length // 2, 1) if hop is None else hop
    _check_count("hop", hop, window_length, "the window's length")
    framing = _Framing(x.shape[-1], window_length, hop)
    shares = framing.shares(_window(window, window_length, x))
    quotient = framing.framed(_quotient(x, r, zero_below))
    parts = _parts(shares * framing.framed(x), quotient, (shares * framing.framed(r)).sum(dim=-1))
    starts = hop * torch.arange(framing.frames, dtype=x.dtype, device=x.device)
    return ShortTimeRelevance(
        relevance=as_values(parts.real + parts.imag),
        times=as_values((starts + (window_length - 1) / 2) / sampling_rate),
        frequencies=as_values(_frequencies(window_length, sampling_rate, x)),
        parts=as_values(parts),
        window_length=window_length,
        hop=hop,
        window=window,
    )


# The rule, from samples to frequencies and back. Complex numbers are seen as pairs (cosine, sine) of real ones.


def _quotient(x: Tensor, r: Tensor, zero_below: float | None) -> Tensor:
    """R / x of a scaled signal, and 0 where it counts as zero."""
    if zero_below is None:
        zero_below = _ZERO_BELOW[x.dtype]
    elif not 0 <= zero_below < 1:
        raise OptionError(f"zero_below={zero_below}: it must lie in [0, 1); None takes the default")
    zero = x.detach().abs() <= zero_below  # the largest is 1
    return r / x.masked_fill(zero, math.inf)


def _parts(x: Tensor, quotient: Tensor, total: Tensor) -> Tensor:
    """Relevance of the cosines and sines of x (..., n), complex; `total` (...) is what they share."""
    n = x.shape[-1]
    spectrum = torch.view_as_real(torch.fft.rfft(x))
    weighted = _weights(n, x) / n * spectrum
    parts = weighted * torch.view_as_real(torch.fft.rfft(quotient))
    return torch.view_as_complex(_with_what_is_left(parts, total, weighted * spectrum, _coefficients(n, x), axes=(-2, -1)))


def _relevance_of_samples(x: Tensor, parts: Tensor, support: Tensor) -> Tensor:
    """Relevance of the samples of x (..., n), of which those with no `support` get none."""
    n = x.shape[-1]
    pairs, spectrum = torch.view_as_real(parts), torch.view_as_real(torch.fft.rfft(x))
    # What rounding leaves of a coefficient that is missing. The signal's own scale is 1: in a window of next to nothing, all are.
    below = 16 * torch.finfo(x.dtype).eps
    zero = spectrum.detach().abs() <= below * _largest(spectrum.flatten(-2))[..., None].clamp(min=below)
    quotient = n / _weights(n, x) * pairs / spectrum.masked_fill(zero, math.inf)
    relevance = x * torch.fft.irfft(torch.view_as_complex(quotient), n)
    return _with_what_is_left(relevance, pairs.sum(dim=(-2, -1)), x**2, support, axes=(-1,))


def _with_what_is_left(relevance: Tensor, total: Tensor, amounts: Tensor, otherwise: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Add what is missing to the total, in proportion to `amounts`, or to `otherwise` where all of them are next to 0."""
    # In float32 the sum of large relevance of both signs would lose more than is missing.
    left = (total.double() - relevance.sum(dim=axes, dtype=torch.float64)).to(relevance.dtype)
    left = left.reshape(*left.shape, *[1] * len(axes))
    whole = amounts.sum(dim=axes, keepdim=True)
    nothing = whole <= torch.finfo(whole.dtype).eps ** 2  # of the square of the signal's largest value
    relevance = torch.addcmul(relevance, amounts, left.masked_fill(nothing, 0.0) / whole.masked_fill(nothing, 1.0))
    return torch.addcmul(relevance, otherwise, left.masked_fill(~nothing, 0.0) / otherwise.sum(dim=axes, keepdim=True))


def _largest(x: Tensor) -> Tensor:
    """The largest |x_t|, (..., 1), a constant for gradients: nothing that is scaled by it depends on it."""
    least, most = torch.aminmax(x.detach(), dim=-1, keepdim=True)
    return torch.maximum(-least, most)


def _scaled(x: Tensor) -> Tensor:
    """Divided by the largest |x_t|, so that neither squares nor quotients leave the range of the type; zeros stay zeros."""
    largest = _largest(x)
    return x / largest.masked_fill(largest == 0, 1.0)


def _weights(n: int, like: Tensor) -> Tensor:
    """How many of the DFT's n frequencies, positive and negative, each of the n // 2 + 1 pairs stands for, (n // 2 + 1, 1)."""
    weights = torch.full((n // 2 + 1, 1), 2.0, dtype=like.dtype, device=like.device)
    weights[0] = 1.0
    if n % 2 == 0:
        weights[-1] = 1.0
    return weights


def _coefficients(n: int, like: Tensor) -> Tensor:
    """1 for each of the n cosines and sines that a signal can have, (n // 2 + 1, 2); two sines are zero at all samples."""
    return torch.cat([torch.ones_like(_weights(n, like)), _weights(n, like) - 1.0], dim=-1)


def _frequencies(n: int, sampling_rate: float, like: Tensor) -> Tensor:
    return torch.arange(n // 2 + 1, dtype=like.dtype, device=like.device) * (sampling_rate / n)


# Windows


@dataclass(frozen=True)
class _Framing:
    """Where the windows of a signal of `length` samples lie."""

    length: int
    window_length: int
    hop: int

    @property
    def frames(self) -> int:
        return math.ceil((self.length - self.window_length) / self.hop) + 1

    @property
    def padded(self) -> int:
        return (self.frames - 1) * self.hop + self.window_length

    def framed(self, x: Tensor) -> Tensor:
        """(..., length) as (..., frames, window_length), with zeros behind the end."""
        padded: Tensor = F.pad(x, (0, self.padded - self.length))
        frames: Tensor = padded.unfold(-1, self.window_length, self.hop)
        return frames

    def overlapped(self, frames: Tensor) -> Tensor:
        """The sum of the frames (..., frames, window_length), each at its place, (..., length)."""
        columns = frames.reshape(-1, self.frames, self.window_length).mT
        summed = F.fold(columns, (1, self.padded), (1, self.window_length), stride=(1, self.hop))
        return summed.reshape(*frames.shape[:-2], self.padded)[..., : self.length]

    def shares(self, window: Tensor) -> Tensor:
        """The share that each window takes of each sample, (frames, window_length); 0 behind the end."""
        weights = self.framed(torch.ones_like(window[:1]).expand(self.length)) * window
        whole = self.framed(self.overlapped(weights))
        return weights / whole.masked_fill(whole == 0, 1.0)


def _window(name: str, length: int, like: Tensor) -> Tensor:
    if name not in _WINDOWS:
        raise OptionError(f"window={name!r}: it must be one of {', '.join(_WINDOWS)}")
    if name == "rectangular":
        return torch.ones(length, dtype=like.dtype, device=like.device)
    return torch.sin((torch.arange(length, dtype=like.dtype, device=like.device) + 0.5) * (math.pi / length))


# What comes in, and the form in which it goes out


def _signal_and_relevance(
    signal: npt.ArrayLike | Tensor, relevance: npt.ArrayLike | Tensor
) -> tuple[Tensor, Tensor, Callable[[Tensor], Values]]:
    """Both as tensors of one type and device, the signal scaled, and how to give results in the form of the relevance."""
    x, r = _tensor("signal", signal), _tensor("relevance", relevance)
    if x.shape != r.shape:
        raise InputError(f"the relevance has the shape {tuple(r.shape)}; it needs that of the signal, {tuple(x.shape)}")
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(f"a signal has the shape (..., n) with at least one sample, not {tuple(x.shape)}")
    x, r = _together(x, r, moved=not isinstance(signal, Tensor) or not isinstance(relevance, Tensor))
    return _scaled(x), r, _form_of(relevance)


def _signal_and_parts(signal: npt.ArrayLike | Tensor, parts: Values) -> tuple[Tensor, Tensor, Callable[[Tensor], Values]]:
    pairs = parts if isinstance(parts, Tensor) else torch.as_tensor(parts, device="cpu")
    x = _tensor("signal", signal)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(f"a signal has the shape (..., n) with at least one sample, not {tuple(x.shape)}")
    return _scaled(x.to(pairs.device, pairs.real.dtype)), pairs, _form_of(parts)


def _form_of(values: object) -> Callable[[Tensor], Values]:
    return _itself if isinstance(values, Tensor) else _as_array


def _itself(values: Tensor) -> Values:
    return values


def _as_array(values: Tensor) -> Values:
    return np.asarray(values.detach())


def _tensor(name: str, values: npt.ArrayLike | Tensor) -> Tensor:
    tensor = values if isinstance(values, Tensor) else _tensor_of(name, np.asarray(values))
    if not (tensor.dtype in _ZERO_BELOW or tensor.dtype in _INTEGERS):
        raise _type_error(name, tensor.dtype)
    if tensor.numel() and not all(math.isfinite(value) for value in torch.aminmax(tensor.detach())):
        raise InputError(f"the {name} has NaN or infinity in it; fill or cut out what is missing first")
    return tensor


def _tensor_of(name: str, array: npt.NDArray[Any]) -> Tensor:
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > _LARGEST_ITEM:
        raise _type_error(name, array.dtype)
    # A copy, as torch warns of arrays that must not be written to, in the machine's byte order, as torch knows no other.
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))


def _type_error(name: str, dtype: object) -> InputError:
    return InputError(f"the {name} holds {dtype}; it must be float32, float64 or integers")


def _together(x: Tensor, r: Tensor, moved: bool) -> tuple[Tensor, Tensor]:
    """In one floating type, on the device of the relevance; only an array is moved there unasked."""
    if x.device != r.device and not moved:
        raise InputError(f"the signal is on {x.device} and the relevance on {r.device}; move one of them to the other's device")
    floating = [values.dtype for values in (x, r) if values.is_floating_point()] or [torch.float64]
    dtype = torch.promote_types(floating[0], floating[-1])
    return x.to(r.device, dtype), r.to(dtype)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise OptionError(f"{name}={value}: it must be positive and finite")


def _check_count(name: str, value: int, most: int, meaning: str) -> None:
    if not isinstance(value, Integral) or not 1 <= value <= most:
        raise OptionError(f"{name}={value}: it must be a whole number from 1 to {most}, {meaning}")
