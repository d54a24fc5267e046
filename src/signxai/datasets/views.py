"""How an entry of a data set is drawn: as a picture, as a signal, or as numbers. A store keeps it, so that a report needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from signxai.common.errors import OptionError

__all__ = ["PictureView", "SignalView", "ValuesView", "View", "kept", "view_of_shape", "view_read"]

_RGB = 3


@dataclass(frozen=True)
class PictureView:
    """Entries (C, H, W) are pictures.

    Attributes:
        mean, std: of the preprocessing's last step, per channel, by which an input becomes a picture with values in [0, 1] again; empty:
            each picture is spread from black to white.
    """

    mean: Sequence[float] = ()
    std: Sequence[float] = ()

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise OptionError(f"mean={list(self.mean)}, std={list(self.std)}: one number of each for every channel")


@dataclass(frozen=True)
class SignalView:
    """Entries (leads, samples) are signals.

    Attributes:
        sampling_rate: samples per second, in Hz; None: nobody says, and samples are counted.
        lead_names: by lead; empty: leads are numbered.
        units: of the values, as the network takes them; "": none, as behind a normalization.
        zero_at_s: where in the entry its event is, such as the beat, in seconds.
    """

    sampling_rate: float | None = None
    lead_names: Sequence[str] = ()
    units: str = ""
    zero_at_s: float = 0.0

    def __post_init__(self) -> None:
        if self.sampling_rate is not None and not self.sampling_rate > 0:
            raise OptionError(f"sampling_rate={self.sampling_rate}: samples per second, more than 0")


@dataclass(frozen=True)
class ValuesView:
    """Entries are numbers, such as measurements (n,), each with a name of its own, or arrays of any other shape.

    Attributes:
        names: by place; empty: places are numbered.
    """

    names: Sequence[str] = ()


View = PictureView | SignalView | ValuesView


def view_of_shape(shape: Sequence[int]) -> View:
    """How an entry of which nobody says anything is drawn, by its shape.

    >>> view_of_shape((3, 224, 224)), view_of_shape((12, 1000)), view_of_shape((5,))
    (PictureView(mean=(), std=()), SignalView(sampling_rate=None, lead_names=(), units='', zero_at_s=0.0), ValuesView(names=()))
    """
    if len(shape) == 3 and shape[0] in (1, _RGB):
        return PictureView()
    return SignalView() if len(shape) == 2 else ValuesView()


def kept(view: View) -> dict[str, Any]:
    """A view as JSON has it.

    >>> view_read(kept(SignalView(360.0, ("MLII",))))
    SignalView(sampling_rate=360.0, lead_names=('MLII',), units='', zero_at_s=0.0)
    """
    kind = "picture" if isinstance(view, PictureView) else "signal" if isinstance(view, SignalView) else "values"
    return {"kind": kind} | {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(view).items()}


def view_read(content: Mapping[str, Any]) -> View:
    """The view that ``kept`` made this of."""
    if content["kind"] == "picture":
        return PictureView(tuple(content["mean"]), tuple(content["std"]))
    if content["kind"] == "signal":
        return SignalView(content["sampling_rate"], tuple(content["lead_names"]), content["units"], content["zero_at_s"])
    return ValuesView(tuple(content["names"]))
