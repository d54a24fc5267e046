"""Methods built on the plain gradient: gradient, times input, times sign, integrated, smoothed, its variance."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from signxai.torch_signxai.engine.forward_pass import GradientPass, MeasuringPass
from signxai.torch_signxai.engine.inputs_and_outputs import Target, run_forward
from signxai.torch_signxai.methods.signed import sign_about
from signxai.torch_signxai.methods.zennit_impl.base import Analyzer, gradient_of, like_input, number, whole_number

ACTIVATION_BYTES = 1 << 30
"""About how much memory the activations of one chunk of points may take."""

PointsOf: TypeAlias = Callable[[slice], Iterator[Tensor]]
"""From a slice of samples to the points at which their gradients are taken, tensors (samples, ...), one after the other."""


class GradientAnalyzer(Analyzer):
    """The gradient of the target's logit by the input (Simonyan et al. 2014).

    >>> model = torch.nn.Linear(2, 3, bias=False)
    >>> bool((GradientAnalyzer(model, as_tensor=True).analyze(torch.ones(1, 2), 2) == model.weight[2]).all())
    True
    """

    is_one_backward_pass = True

    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        return self._backward(net, x, target, GradientPass())


class GradientXInputAnalyzer(GradientAnalyzer):
    """Gradient times input (Shrikumar et al. 2016)."""

    is_one_backward_pass = False

    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        return super()._explain(net, x, target, rows) * x


class GradientXSignAnalyzer(GradientAnalyzer):
    """Gradient times the input's sign about ``mu`` (SIGN, Gumpfer et al. 2023).

    Args:
        model: as for ``Analyzer``, and its keyword options.
        mu: threshold in the units of the input.
    """

    is_one_backward_pass = False

    def __init__(self, model: nn.Module, mu: float = 0.0, **common: Any) -> None:
        super().__init__(model, **common)
        self.mu = number("mu", mu)

    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        return super()._explain(net, x, target, rows) * sign_about(x, self.mu)


class _RepeatedGradientAnalyzer(Analyzer):
    """Gradients at many points for each sample; the target and its starting relevance are those of the sample itself.

    Points and samples run in chunks that hold about 1 GiB of activations, or ``batch_size`` of them.
    """

    chunks_itself = True

    def _gradients(self, net: nn.Module, x: Tensor, target: Target, points: PointsOf) -> Iterator[tuple[slice, slice, Tensor]]:
        """The gradients at all points of every sample, a chunk at a time.

        Yields the slice of samples, the slice of points, and the gradients (points, samples, ...) of a chunk.
        """
        measure = MeasuringPass()
        step = self.batch_size or len(x)
        with torch.no_grad():
            parts = (x[first : first + step].clone() for first in range(0, len(x), step))
            logits = torch.cat([run_forward(net, part, measure) for part in parts])
        start = target.starting_relevance(logits, self.relevance)
        most = self.batch_size or max(1, ACTIVATION_BYTES * len(x) // max(1, measure.bytes))
        step = min(len(x), most)
        for first in range(0, len(x), step):
            samples = slice(first, min(first + step, len(x)))
            stride = max(1, most // (samples.stop - samples.start))
            for begin, chunk in _grouped(points(samples), stride):
                rows = torch.cat([start[samples]] * len(chunk))
                gradient = self._gradient_at(net, torch.cat(chunk), rows)
                yield samples, slice(begin, begin + len(chunk)), gradient.view(len(chunk), -1, *x.shape[1:])

    def _gradient_at(self, net: nn.Module, points: Tensor, start: Tensor) -> Tensor:
        leaf = points.requires_grad_(True)
        return gradient_of(run_forward(net, leaf.clone(), GradientPass()), leaf, start)


def _grouped(points: Iterator[Tensor], size: int) -> Iterator[tuple[int, list[Tensor]]]:
    """The points in groups of at most ``size``, each with the number of its first."""
    begin = 0
    while group := list(islice(points, size)):
        yield begin, group
        begin += len(group)


class IntegratedGradientsAnalyzer(_RepeatedGradientAnalyzer):
    """Integrated gradients: the mean gradient on the straight path from a baseline, times the way (Sundararajan et al. 2017).

    The integral is taken by the trapezoidal rule on equally spaced points, both ends included (one point: the middle), so
    the map of a sample sums to f_c(x) - f_c(baseline) up to an error that falls with the number of points.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        steps: points on the path, at least 1.
        baseline: where the path begins: None (zeros), a number, one sample or a batch.
    """

    def __init__(self, model: nn.Module, steps: int = 50, baseline: Any = None, **common: Any) -> None:
        super().__init__(model, **common)
        self.steps = whole_number("steps", steps, at_least=1)
        self.baseline = baseline

    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        baseline = self._baseline_of(x, rows)
        way = x - baseline
        places, weights = _trapezoid(self.steps)

        def path(samples: slice) -> Iterator[Tensor]:
            return (torch.add(baseline[samples], way[samples], alpha=place) for place in places)

        weight = torch.tensor(weights, dtype=x.dtype, device=x.device)
        total = torch.zeros_like(x)
        for samples, points, gradients in self._gradients(net, x, target, path):
            total[samples] += torch.tensordot(weight[points], gradients, dims=1)
        return total * way

    def _baseline_of(self, x: Tensor, rows: slice) -> Tensor:
        if self.baseline is None:
            return torch.zeros_like(x)
        baseline = torch.as_tensor(self.baseline, dtype=x.dtype, device=x.device)
        if baseline.ndim == x.ndim and len(baseline) > 1:
            baseline = baseline[rows]
        return like_input("baseline", baseline, x)


def _trapezoid(points: int) -> tuple[list[float], list[float]]:
    """Places in [0, 1] and weights that sum to 1.

    >>> _trapezoid(3)
    ([0.0, 0.5, 1.0], [0.25, 0.5, 0.25])
    """
    if points == 1:
        return [0.5], [1.0]
    weights = np.full(points, 1 / (points - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0.0, 1.0, points).tolist(), weights.tolist()


class SmoothGradAnalyzer(_RepeatedGradientAnalyzer):
    """SmoothGrad: the mean gradient at noisy copies of the input (Smilkov et al. 2017).

    The noise is normal with sigma = noise_level * (max - min) of the sample. It depends on the seed alone, not on the place
    of a sample in its batch.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        noise_level: sigma as a fraction of the sample's range, at least 0.
        num_samples: noisy copies, at least 1.
    """

    def __init__(self, model: nn.Module, noise_level: float = 0.2, num_samples: int = 50, **common: Any) -> None:
        super().__init__(model, **common)
        self.noise_level = number("noise_level", noise_level, at_least=0)
        self.num_samples = whole_number("num_samples", num_samples, at_least=1)

    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        total = torch.zeros_like(x)
        for samples, _, gradients in self._gradients(net, x, target, self._noisy(x)):
            total[samples] += gradients.sum(dim=0)
        return total / self.num_samples

    def _noisy(self, x: Tensor) -> PointsOf:
        axes = tuple(range(1, x.ndim))
        sigma = self.noise_level * (x.amax(axes, keepdim=True) - x.amin(axes, keepdim=True)) if axes else torch.zeros_like(x)

        def points(samples: slice) -> Iterator[Tensor]:
            generator = torch.Generator().manual_seed(self.seed)
            for _ in range(self.num_samples):
                noise = torch.randn(x.shape[1:], generator=generator, dtype=torch.float64).to(x)
                yield torch.addcmul(x[samples], sigma[samples], noise)

        return points


class VarGradAnalyzer(SmoothGradAnalyzer):
    """VarGrad: the population variance of the gradients that SmoothGrad averages (Adebayo et al. 2018).

    Args:
        model: as for ``Analyzer``, and its keyword options.
        num_samples: noisy copies, at least 1.
        noise_level: sigma as a fraction of the sample's range, at least 0.
    """

    def __init__(self, model: nn.Module, num_samples: int = 50, noise_level: float = 0.2, **common: Any) -> None:
        super().__init__(model, noise_level, num_samples, **common)

    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        mean, squares = torch.zeros_like(x), torch.zeros_like(x)
        for samples, points, gradients in self._gradients(net, x, target, self._noisy(x)):
            # mean and squared distances of the chunk join those so far (Chan et al. 1979): no large squares cancel
            count, joined = points.stop - points.start, points.stop
            of_chunk = gradients.mean(dim=0)
            change = of_chunk - mean[samples]
            squares[samples] += (gradients - of_chunk).square().sum(dim=0) + change.square() * (points.start * count / joined)
            mean[samples] += change * (count / joined)
        return squares / self.num_samples


class RandomUniformAnalyzer(Analyzer):
    """The baseline that knows nothing: uniform noise in [-1, 1], the same in every channel, from the seed and the sample.

    The noise is drawn from the seed and the sample's values, so it differs between samples, not between batches.
    """

    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        logits = run_forward(net, x.clone(), GradientPass())
        target.starting_relevance(logits, self.relevance)  # a wrong target is an error here too
        return torch.stack([self._noise(sample) for sample in x])

    def _noise(self, sample: Tensor) -> Tensor:
        content = hashlib.blake2b(sample.double().cpu().contiguous().numpy().tobytes(), digest_size=16).digest()
        generator = np.random.default_rng([self.seed, int.from_bytes(content, "little")])
        shape = sample.shape[1:] if sample.ndim > 1 else sample.shape
        return torch.from_numpy(generator.uniform(-1.0, 1.0, tuple(shape))).to(sample).expand_as(sample)
