"""Methods of many gradients for each sample: integrated, smoothed, and the variance of the smoothed ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from signxai.engine.activation_memory import MeasuringPass, TooLargeError
from signxai.engine.forward import run_forward
from signxai.engine.mode import GradientPass
from signxai.engine.targets import Target
from signxai.methods.analyzer import Analyzer, CommonOptions, like_input, number, whole_number
from signxai.methods.batch import Batch, gradient_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

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


class _RepeatedGradientAnalyzer(Analyzer):
    """Gradients at many points for each sample; the target and its initial relevance are those of the sample itself.

    Points and samples run in chunks of at most about 1 GiB of activations (fewer where that is quicker), or of ``batch_size``.
    """

    chunks_itself = True
    points: int

    def _gradients(self, batch: Batch, points: PointsOf) -> Iterator[tuple[slice, slice, Tensor]]:
        """The gradients at all points of every sample, a chunk at a time.

        Yields the slice of samples, the slice of points, and the gradients (points, samples, ...) of a chunk.
        """
        x = batch.x
        starts, known = self._starts(batch)
        known = 1 if batch.stochastic else known
        most = known or max(1, _TRIAL_BYTES // x[0].nbytes)
        first = 0
        while first < len(x):
            samples = slice(first, min(first + most, len(x)))
            next_points, begin = points(samples), 0
            while begin < self.points:
                count = min(self.points - begin, max(1, most // (samples.stop - samples.start)))
                mode = GradientPass(is_quick=True) if known else MeasuringPass(may_stop=most > 1, is_quick=True)
                try:
                    leaf, chunk = next_points(count)
                    logits = run_forward(batch.net, chunk.flatten(0, 1), mode, x, batch.output, batch.draws_from)
                    gradient = gradient_of(logits, leaf, starts(samples, count)(logits))
                except TooLargeError:
                    most = 1  # measured at once, and nothing of these samples has been yielded
                    break
                if isinstance(mode, MeasuringPass):
                    known = most = mode.most_samples()
                yield samples, slice(begin, begin + count), gradient
                begin += count
            else:
                first = samples.stop

    def _starts(self, batch: Batch) -> tuple[StartsOf, int]:
        """What relevance starts with at the points; and how many rows a chunk may have, 0 if nobody knows.

        That is the same as at the samples, or the gradient there of a score of the outputs.
        """
        target = batch.target
        if target.indices is not None and batch.relevance == "one_hot":  # whatever the outputs: no need to see them

            def start_of(samples: slice, count: int) -> Callable[[Tensor], Tensor]:
                return partial(target.repeated(samples, count).initial_relevance, relevance="one_hot")

            return start_of, self.batch_size or 0
        measure = MeasuringPass()
        with torch.no_grad():
            logits = torch.cat([batch.run(part, measure) for part in torch.split(batch.x, self.batch_size or len(batch.x))])
        most = self.batch_size or measure.most_samples()
        fixed = target.resolved(logits)
        if fixed.score is not None:
            return partial(_score_starts, fixed, logits, batch.relevance), most
        start = fixed.initial_relevance(logits, batch.relevance)
        return lambda samples, count: lambda _: torch.cat([start[samples]] * count), most


def _score_starts(target: Target, logits: Tensor, relevance: str, samples: slice, count: int) -> Callable[[Tensor], Tensor]:
    """A score's gradient at each point's outputs, which take the place of the sample's own: the score sees the whole batch, always."""

    def start(outputs: Tensor) -> Tensor:
        parts = []
        for at_point in outputs.detach().view(count, -1, *outputs.shape[1:]):
            whole = logits.clone()
            whole[samples] = at_point
            parts.append(target.initial_relevance(whole, "one_hot")[samples])
            if relevance == "logit":
                parts[-1] = parts[-1] * logits[samples]
        return torch.cat(parts)

    return start


class IntegratedGradientsAnalyzer(_RepeatedGradientAnalyzer):
    """Integrated gradients: the mean gradient on the straight path from a baseline, times the difference from the baseline.

    Source: Sundararajan et al., Axiomatic attribution for deep networks, ICML 2017.

    The integral is taken by the trapezoidal rule on equally spaced points, both ends included (one point: the middle), so
    the map of a sample sums to f_c(x) - f_c(baseline) up to an error that falls with the number of points. A callable target's score
    is evaluated at every point, and takes the place of f_c.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        steps: points on the path, at least 1.
        baseline: where the path begins: None (zeros), a number, one sample or a batch.
    """

    changes_model = False

    def __init__(self, model: nn.Module, steps: int = 50, baseline: Any = None, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, **common)
        self.steps = self.points = whole_number("steps", steps, at_least=1)
        self.baseline = baseline

    def attribute(self, batch: Batch) -> Tensor:
        x, baseline = batch.x, self._baseline_of(batch)
        difference = x - baseline
        places, weights = _trapezoid(self.steps)
        weight, place = (torch.tensor(values, dtype=x.dtype, device=x.device) for values in (weights, places))

        def path(samples: slice) -> NextPoints:
            rest = iter(place.view(-1, *(1,) * x.ndim))

            def next_points(count: int) -> tuple[Tensor, Tensor]:
                leaf = baseline[samples].expand(count, *difference[samples].shape).requires_grad_(True)
                return leaf, torch.addcmul(leaf, difference[samples], torch.stack(list(islice(rest, count))))

            return next_points

        total = torch.zeros_like(x)
        for samples, points, gradients in self._gradients(batch, path):
            total[samples] += torch.tensordot(weight[points], gradients, dims=1)
        return total * difference

    def _baseline_of(self, batch: Batch) -> Tensor:
        x = batch.x
        if self.baseline is None:
            return torch.zeros_like(x)
        baseline = torch.as_tensor(self.baseline, dtype=x.dtype, device=x.device)
        if baseline.ndim == x.ndim and len(baseline) > 1:
            baseline = baseline[batch.rows]
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

    changes_model = False

    def __init__(self, model: nn.Module, noise_level: float = 0.2, num_samples: int = 50, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, **common)
        self.noise_level = number("noise_level", noise_level, at_least=0)
        self.num_samples = self.points = whole_number("num_samples", num_samples, at_least=1)

    def attribute(self, batch: Batch) -> Tensor:
        total = torch.zeros_like(batch.x)
        for samples, _, gradients in self._gradients(batch, self._noisy(batch.x)):
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

    changes_model = False

    def __init__(self, model: nn.Module, num_samples: int = 50, noise_level: float = 0.2, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, noise_level, num_samples, **common)

    def attribute(self, batch: Batch) -> Tensor:
        mean, squares = torch.zeros_like(batch.x), torch.zeros_like(batch.x)
        for samples, points, gradients in self._gradients(batch, self._noisy(batch.x)):
            # mean and squared distances of the chunk join those so far (Chan et al. 1979): no large squares cancel
            count, joined = points.stop - points.start, points.stop
            of_chunk = gradients.mean(dim=0)
            change = of_chunk - mean[samples]
            squares[samples] += (gradients - of_chunk).square().sum(dim=0) + change.square() * (points.start * count / joined)
            mean[samples] += change * (count / joined)
        return squares / self.num_samples
