"""Methods of one plain gradient: the gradient itself, times input, times sign; and noise as the baseline that knows nothing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from signxai.engine.channel_axis import channel_axis
from signxai.methods.analyzer import Analyzer, CommonOptions, number
from signxai.methods.batch import Batch
from signxai.methods.sign import sign_about

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GradientAnalyzer(Analyzer):
    """The gradient of the target's logit by the input (Simonyan et al. 2014).

    >>> model = torch.nn.Linear(2, 3, bias=False)
    >>> bool((GradientAnalyzer(model, as_tensor=True).analyze(torch.ones(1, 2), 2) == model.weight[2]).all())
    True
    """

    changes_model = False
    takes_several = True
    is_one_backward_pass = True

    def attribute(self, batch: Batch) -> Tensor:
        return batch.gradient()


class GradientXInputAnalyzer(GradientAnalyzer):
    """Gradient times input (Shrikumar et al. 2016)."""

    changes_model = False
    takes_several = True
    is_one_backward_pass = False

    def attribute(self, batch: Batch) -> Tensor:
        return batch.gradient() * batch.x


class GradientXSignAnalyzer(GradientAnalyzer):
    """Gradient times the input's sign about ``mu`` (SIGN, Gumpfer et al. 2023).

    Args:
        model: as for ``Analyzer``, and its keyword options.
        mu: threshold in the units of the input.
    """

    changes_model = False
    takes_several = True
    is_one_backward_pass = False

    def __init__(self, model: nn.Module, mu: float = 0.0, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, **common)
        self.mu = number("mu", mu)

    def attribute(self, batch: Batch) -> Tensor:
        return batch.gradient() * sign_about(batch.x, self.mu)


class RandomUniformAnalyzer(Analyzer):
    """The baseline that knows nothing: uniform noise in [-1, 1], the same in every channel, from the seed and the sample.

    The noise is drawn from the seed and the sample's values, so it differs between samples, not between batches.
    """

    changes_model = False
    takes_several = True
    takes_token_ids = True

    def attribute(self, batch: Batch) -> Tensor:
        batch.initial_relevance(batch.run())  # a wrong target is an error here too
        if batch.inputs is None or batch.inputs.is_own:
            return torch.stack([self._noise(sample, batch.net) for sample in batch.x])
        result = torch.zeros_like(batch.x)
        for slot in batch.inputs.slots:
            noise = torch.stack([self._noise(sample, batch.net) for sample in slot.of(batch.x)])
            result[:, slice(*slot.columns)] = noise.reshape(len(noise), -1)
        return result

    def _noise(self, sample: Tensor, net: nn.Module) -> Tensor:
        """Drawn for the sample with its channels in front, so that the layout of a network changes nothing."""
        if sample.ndim > 1:
            channels = channel_axis(net, sample.ndim + 1) - 1
            return self._drawn(sample.movedim(channels, 0)).movedim(0, channels)
        return self._drawn(sample)

    def _drawn(self, sample: Tensor) -> Tensor:
        content = hashlib.blake2b(sample.double().cpu().contiguous().numpy().tobytes(), digest_size=16).digest()
        generator = np.random.default_rng([self.seed, int.from_bytes(content, "little")])
        shape = sample.shape[1:] if sample.ndim > 1 else sample.shape
        return torch.from_numpy(generator.uniform(-1.0, 1.0, tuple(shape))).to(sample).expand_as(sample)
