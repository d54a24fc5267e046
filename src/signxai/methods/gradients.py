"""Methods built on the plain gradient: gradient, times input, times sign, integrated, smoothed, its variance."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from signxai.engine.activation_memory import MeasuringPass, TooLargeError
from signxai.engine.forward import Target, run_forward
from signxai.engine.mode import GradientPass
from signxai.methods.analyzer import Analyzer, gradient_of, like_input, number, whole_number
from signxai.methods.sign import sign_about

_TRIAL_BYTES = 5 << 19
"""So much input has the first chunk, by which the activations are measured."""

NextPoints: TypeAlias = Callable[[int], tuple[Tensor, Tensor]]
"""From a number of points to a leaf and the next points that are made from it, both (points, samples, ...).

The points' derivative by the leaf is 1, and its gradient theirs. They are no leaf themselves: the network may write to them.
"""

PointsOf: TypeAlias = Callable[[slice], NextPoints]
"""From a slice of samples to what makes their points."""

StartsOf: TypeAlias = Callable[[slice, int], Callable[[Tensor], Tensor]]
"""From a slice of samples and a number of points to a function from the points' outputs to what relevance starts with there."""


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

    Points and samples run in chunks of at most about 1 GiB of activations (fewer where that is quicker), or of ``batch_size``.
    """

    chunks_itself = True
    points: int

    def _gradients(self, net: nn.Module, x: Tensor, target: Target, points: PointsOf) -> Iterator[tuple[slice, slice, Tensor]]:
        """The gradients at all points of every sample, a chunk at a time.

        Yields the slice of samples, the slice of points, and the gradients (points, samples, ...) of a chunk.
        """
        starts, known = self._starts(net, x, target)
        most = known or max(1, _TRIAL_BYTES // x[0].nbytes)
        first = 0
        while first < len(x):
            samples = slice(first, min(first + most, len(x)))
            next_points, begin = points(samples), 0
            while begin < self.points:
                count = min(self.points - begin, max(1, most // (samples.stop - samples.start)))
                watch = GradientPass(is_quick=True) if known else MeasuringPass(may_stop=most > 1, is_quick=True)
                try:
                    leaf, chunk = next_points(count)
                    logits = run_forward(net, chunk.flatten(0, 1), watch, made_from=x)
                    gradient = gradient_of(logits, leaf, starts(samples, count)(logits))
                except TooLargeError:
                    most = 1  # measured at once, and nothing of these samples has been yielded
                    break
                if isinstance(watch, MeasuringPass):
                    known = most = watch.most_samples()
                yield samples, slice(begin, begin + count), gradient
                begin += count
            else:
                first = samples.stop

    def _starts(self, net: nn.Module, x: Tensor, target: Target) -> tuple[StartsOf, int]:
        """What relevance starts with at the points, the same as at the samples; and how many rows a chunk may have, 0 if nobody knows."""
        if target.indices is not None and self.relevance == "one_hot":  # whatever the outputs: no need to see them

            def start_of(samples: slice, count: int) -> Callable[[Tensor], Tensor]:
                return partial(target.repeated(samples, count).starting_relevance, relevance="one_hot")

            return start_of, self.batch_size or 0
        step, measure = self.batch_size or len(x), MeasuringPass()
        with torch.no_grad():
            logits = torch.cat([run_forward(net, x[first : first + step].clone(), measure) for first in range(0, len(x), step)])
        start = target.starting_relevance(logits, self.relevance)
        return lambda samples, count: lambda _: torch.cat([start[samples]] * count), self.batch_size or measure.most_samples()


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
        self.steps = self.points = whole_number("steps", steps, at_least=1)
        self.baseline = baseline

    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        baseline = self._baseline_of(x, rows)
        way = x - baseline
        places, weights = _trapezoid(self.steps)

        weight, place = (torch.tensor(values, dtype=x.dtype, device=x.device) for values in (weights, places))

        def path(samples: slice) -> NextPoints:
            rest = iter(place.view(-1, *(1,) * x.ndim))

            def next_points(count: int) -> tuple[Tensor, Tensor]:
                leaf = baseline[samples].expand(count, *way[samples].shape).requires_grad_(True)
                return leaf, torch.addcmul(leaf, way[samples], torch.stack(list(islice(rest, count))))

            return next_points

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
        self.num_samples = self.points = whole_number("num_samples", num_samples, at_least=1)

    def _explain(self, net: nn.Module, x: Tensor, target: Target, rows: slice) -> Tensor:
        total = torch.zeros_like(x)
        for samples, _, gradients in self._gradients(net, x, target, self._noisy(x)):
            total[samples] += gradients.sum(dim=0)
        return total / self.num_samples

    def _noisy(self, x: Tensor) -> PointsOf:
        axes = tuple(range(1, x.ndim))
        sigma = self.noise_level * (x.amax(axes, keepdim=True) - x.amin(axes, keepdim=True)) if axes else torch.zeros_like(x)

        def points(samples: slice) -> NextPoints:
            generator = torch.Generator().manual_seed(self.seed)

            def next_points(count: int) -> tuple[Tensor, Tensor]:
                # Drawn one by one, so that they are the same in any chunks, and in float32, which is many times as fast as float64.
                noise = torch.empty(count, *x.shape[1:], dtype=torch.float32)
                for one in noise:
                    torch.randn(one.shape, generator=generator, out=one)
                leaf = x[samples].expand(count, *x[samples].shape).requires_grad_(True)
                return leaf, torch.addcmul(leaf, sigma[samples], noise.to(x).unsqueeze(1))

            return next_points

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
