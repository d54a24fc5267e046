"""A network that tells beats of a two-lead ECG apart, and how a recording is prepared for it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file
from torch import Tensor, nn

from signxai.common.errors import InputError
from signxai.timeseries.filters import bandpass, resample
from signxai.timeseries.normalization import Normalization
from signxai.timeseries.signals import Signal

__all__ = [
    "AFTER_S",
    "BEAT_CLASSES",
    "BEFORE_S",
    "HIGHEST_HZ",
    "SAMPLING_RATE",
    "BeatNetwork",
    "PreparedSignal",
    "load_beat_network",
    "prepare_for_beats",
]

BEAT_CLASSES = ("N", "S", "V", "F")
"""The AAMI classes, in the order of the network's outputs."""

SAMPLING_RATE = 360.0
"""Of the network's input, in Hz."""

BEFORE_S, AFTER_S = 1.2, 1.0
"""Where the network's window begins and ends about the beat's annotation, in seconds: the beats in front and behind are in it."""

_BAND = (0.5, 40.0)
_FIRST_LEADS = ("MLII", "II", "ML2", "LII")
_CHANNELS = ((24, 24, 1), (24, 32, 2), (32, 48, 2), (48, 64, 2), (64, 64, 2))
_KERNEL = 7


class BeatNetwork(nn.Module):
    """A 1-D residual network: prepared windows (N, 2, samples) about a beat to logits (N, 4) of ``BEAT_CLASSES``.

    >>> import torch
    >>> BeatNetwork().eval()(torch.zeros(1, 2, 792)).shape
    torch.Size([1, 4])
    """

    def __init__(self) -> None:
        super().__init__()
        first = _CHANNELS[0][0]
        self.stem = nn.Sequential(nn.Conv1d(2, first, 15, stride=2, padding=7, bias=False), nn.BatchNorm1d(first), nn.ReLU())
        self.blocks = nn.Sequential(*(_Block(*channels) for channels in _CHANNELS))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * _CHANNELS[-1][1], len(BEAT_CLASSES))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 4)."""
        logits: Tensor = self.head(self.blocks(self.stem(x)))
        return logits


class _Block(nn.Module):
    """Two convolutions with batch norms, and what goes past them."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        padding = _KERNEL // 2
        self.steps = nn.Sequential(
            nn.Conv1d(channels_in, channels_out, _KERNEL, stride, padding, bias=False), nn.BatchNorm1d(channels_out), nn.ReLU(),
            nn.Conv1d(channels_out, channels_out, _KERNEL, padding=padding, bias=False), nn.BatchNorm1d(channels_out),
        )  # fmt: skip
        same = channels_in == channels_out and stride == 1
        self.past = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv1d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm1d(channels_out))
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.relu(self.steps(x) + self.past(x))
        return result


@dataclass(frozen=True, eq=False)
class PreparedSignal:
    """A recording as the network takes it.

    Attributes:
        signal: filtered, 360 Hz, in mV, two leads of which the first is the limb lead (MLII or II) if there is one.
        normalization: of its leads, fitted on all of it.
    """

    signal: Signal
    normalization: Normalization

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The network's input (2, samples), without a unit."""
        return self.normalization.apply(self.signal)


def prepare_for_beats(signal: Signal) -> PreparedSignal:
    """Bring a recording into the form that the network was trained on; the more of it, the better its leads' scale is known.

    Args:
        signal: two leads of voltage, or more, of which the limb lead and the next one in their order are taken; at least 5 s.

    Raises:
        InputError: a single lead, or leads that cannot be converted, filtered or scaled.

    >>> signal = Signal(np.random.default_rng(0).normal(size=(2, 3600)), ["V1", "MLII"], "mV", sampling_rate=360.0)
    >>> prepare_for_beats(signal).signal.lead_names
    ('MLII', 'V1')
    """
    if len(signal.lead_names) < 2:
        raise InputError(f"{signal.name or 'signal'}: the network reads two leads, and there is only {signal.lead_names[0]}")
    first = next((name for name in signal.lead_names if name in _FIRST_LEADS), signal.lead_names[0])
    second = next(name for name in signal.lead_names if name != first)
    chosen = signal.choose_leads(first, second).in_units("mV")
    filtered = bandpass(resample(chosen, SAMPLING_RATE), *_BAND)
    return PreparedSignal(filtered, Normalization.robust(filtered))


HIGHEST_HZ = _BAND[1]
"""The highest frequency that the preparation lets pass, in Hz."""

_WEIGHTS = Path(__file__).parents[1] / "data" / "ecg_beats.safetensors"


def load_beat_network() -> BeatNetwork:
    """The network ``ecg_beats`` with the weights that come with the package, in evaluation mode.

    Returns:
        A network that takes what `prepare_for_beats` gives, cut into windows from ``BEFORE_S`` before to ``AFTER_S`` behind a
        beat's annotation. How it was trained, and how good it is, says ``ecg_beats.md`` beside the weights.

    >>> load_beat_network().training
    False
    """
    network = BeatNetwork()
    network.load_state_dict(load_file(_WEIGHTS))
    return network.eval()
