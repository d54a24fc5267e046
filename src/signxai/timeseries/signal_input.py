"""How a recording becomes what a network takes: the preparation, and the window about a beat."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from signxai.common.errors import OptionError
from signxai.timeseries.signals import Signal

__all__ = ["AsRecorded", "Prepared", "SignalInput"]

FloatArray = npt.NDArray[np.float64]


class Prepared(Protocol):
    """A recording as a network takes it, such as a `PreparedSignal`."""

    @property
    def signal(self) -> Signal:
        """The recording as it is drawn: filtered, but in physical units, with its beats."""

    @property
    def values(self) -> FloatArray:
        """What the network takes, (leads, samples), sample by sample at the times of `signal`."""


@dataclass(frozen=True, eq=False)
class AsRecorded:
    """A recording that a network takes as it is.

    >>> AsRecorded(Signal([[0.0, 1.0]], ["II"], "mV", sampling_rate=2.0)).values
    array([[0., 1.]])
    """

    signal: Signal

    @property
    def values(self) -> FloatArray:
        return self.signal.values


@dataclass(frozen=True)
class SignalInput:
    """What a network wants of a recording; a `signxai.models.Classifier` may have one, to have signal files read.

    Attributes:
        prepare: from the whole recording, with all its leads, to what the network takes of it; filters and normalization are
            fitted here, before anything is cut out.
        before_s, after_s: where the network's window begins and ends about a beat's annotation, in seconds; None: the network
            takes whatever stretch it is given.
        highest_hz: the highest frequency that the preparation lets pass, where figures of frequencies end at the latest; None: half of
            the sampling rate.
        units: of what ``prepare`` gives, or what 1 stands for behind a normalization; "": nobody says. Of values as they were recorded the
            recording says it.
        channels_last: whether the network takes (samples, leads), as Keras does, rather than (leads, samples).

    Raises:
        OptionError: one of before_s and after_s without the other.

    >>> SignalInput(before_s=0.3, after_s=0.5).about_beats, SignalInput().about_beats
    (True, False)
    """

    prepare: Callable[[Signal], Prepared] = AsRecorded
    before_s: float | None = None
    after_s: float | None = None
    highest_hz: float | None = None
    units: str = ""
    channels_last: bool = False

    def __post_init__(self) -> None:
        if (self.before_s is None) != (self.after_s is None):
            raise OptionError(f"before_s={self.before_s}, after_s={self.after_s}: a window about a beat needs both")

    def as_taken(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values (..., leads, samples) as the network takes them.

        >>> SignalInput(channels_last=True).as_taken(np.zeros((2, 300))).shape
        (300, 2)
        """
        return np.ascontiguousarray(np.swapaxes(values, -1, -2)) if self.channels_last else values

    @property
    def about_beats(self) -> bool:
        """Whether the network takes windows about beats."""
        return self.before_s is not None
