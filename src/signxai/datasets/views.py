"""How an entry of a data set is drawn: as a picture, as a signal, or as numbers. A store keeps it, so that a report needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from signxai.common.errors import InputError, OptionError
from signxai.datasets.parts import ONE, as_given, parts_of

__all__ = [
    "PictureView",
    "SignalView",
    "ValuesView",
    "View",
    "Views",
    "check_fits",
    "check_views",
    "kept",
    "view_of_shape",
    "view_read",
    "views_of",
]

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
        lead_names: by lead; empty: they are called channels, and numbered.
        units: of the values, as the network takes them, or what 1 stands for behind a normalization, as "interquartile ranges"; "": nobody
            says.
        zero_at_s: where in the entry its event is, in seconds.
        event: what that is, such as "the beat's annotation"; "": nobody says.
    """

    sampling_rate: float | None = None
    lead_names: Sequence[str] = ()
    units: str = ""
    zero_at_s: float = 0.0
    event: str = ""

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
Views = View | Mapping[str, View]
"""How an entry is drawn; of several inputs each, by its name."""


def view_of_shape(shape: Sequence[int]) -> View:
    """How an entry of which nobody says anything is drawn, by its shape.

    >>> view_of_shape((3, 224, 224)), view_of_shape((12, 1000)), view_of_shape((5,))
    (PictureView(mean=(), std=()), SignalView(sampling_rate=None, lead_names=(), units='', zero_at_s=0.0, event=''), ValuesView(names=()))
    """
    if len(shape) == 3 and shape[0] in (1, _RGB):
        return PictureView()
    return SignalView() if len(shape) == 2 else ValuesView()


_FITTING = {PictureView: ("a picture", (3,), "(C, H, W)"), SignalView: ("a signal", (1, 2), "(leads, samples)")}


def check_fits(view: View, shape: Sequence[int], name: str = ONE) -> None:
    """Refuse a view by which entries of this shape cannot be drawn.

    Args:
        view: as somebody said it.
        shape: of an entry, without the batch axis.
        name: of the input; "": the only one.

    Raises:
        InputError: it does not fit.

    >>> check_fits(PictureView(), (3, 8, 8))
    >>> check_fits(PictureView(), (2, 300))
    Traceback (most recent call last):
    signxai.common.errors.InputError: entries of the shape (2, 300) have the view of a picture, which is (C, H, W); give view= another one
    """
    what, axes, said = _FITTING.get(type(view), ("numbers", (len(shape),), ""))
    if len(shape) not in axes:
        which = f"input {name!r}: " if name else ""
        raise InputError(f"{which}entries of the shape {tuple(shape)} have the view of {what}, which is {said}; give view= another one")


def check_views(given: object) -> None:
    """Refuse what is no view, and one that no store can keep.

    Raises:
        OptionError: it is.

    >>> check_views(ValuesView("age"))
    Traceback (most recent call last):
    signxai.common.errors.OptionError: view=ValuesView(names='age'): no list: 'age'
    """
    for view in given.values() if isinstance(given, Mapping) else (given,):
        if not isinstance(view, View):
            raise OptionError(
                f"view={view!r:.60}: give a PictureView, SignalView or ValuesView, or with several inputs one of each by name"
            )
        try:
            view_read(json.loads(json.dumps(kept(view))))
        except (TypeError, ValueError) as error:
            raise OptionError(f"view={view!r}: {error}") from error


def views_of(shapes: Mapping[str, Sequence[int]], given: Views | None) -> Views:
    """How entries are drawn: as is said, and by the shapes of their parts where nobody says it.

    Raises:
        OptionError: what is given is not of these parts.
        InputError: it does not fit their shapes.

    >>> views_of({"age": (), "ecg": (2, 100)}, {"age": ValuesView(("years",))})["ecg"]
    SignalView(sampling_rate=None, lead_names=(), units='', zero_at_s=0.0, event='')
    """
    said: dict[str, View] = {} if given is None else parts_of(given)
    if strange := [name for name in said if name not in shapes]:
        parts = "one array" if ONE in shapes else ", ".join(map(repr, shapes))
        raise OptionError(
            f"view={given!r}: {strange[0] or 'one view'!r} is of none of the entries' parts, {parts}; give a view of each by name"
        )
    for name, view in said.items():
        check_fits(view, shapes[name], name)
    return as_given({name: said.get(name) or view_of_shape(shape) for name, shape in shapes.items()})


def kept(view: Views) -> dict[str, Any]:
    """A view, or several by name, as JSON has it.

    >>> view_read(kept(SignalView(360.0, ("MLII",))))
    SignalView(sampling_rate=360.0, lead_names=('MLII',), units='', zero_at_s=0.0, event='')
    >>> view_read(kept({"age": ValuesView(("years",))}))
    {'age': ValuesView(names=('years',))}
    """
    if isinstance(view, Mapping):
        return {"kind": "several", "views": {name: kept(one) for name, one in view.items()}}
    kind = "picture" if isinstance(view, PictureView) else "signal" if isinstance(view, SignalView) else "values"
    return {"kind": kind} | {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(view).items()}


def view_read(content: Any) -> Any:
    """The view that ``kept`` made this of, or the dict of them.

    Raises:
        TypeError, KeyError, OptionError: it made no view of this.
    """
    if content["kind"] == "several":
        return {_word(name): view_read(one) for name, one in dict(content["views"]).items()}
    if content["kind"] == "picture":
        return PictureView(_numbers(content["mean"]), _numbers(content["std"]))
    if content["kind"] == "signal":
        rate = content["sampling_rate"]
        rate = None if rate is None else _number(rate)
        known = (rate, _words(content["lead_names"]), _word(content["units"]), _number(content["zero_at_s"]))
        return SignalView(*known, _word(content.get("event", "")))
    if content["kind"] == "values":
        return ValuesView(_words(content["names"]))
    raise TypeError(f"no kind of view: {content['kind']!r}")


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"no word: {value!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"no number: {value!r}")
    return value


def _words(values: Any) -> tuple[str, ...]:
    return tuple(_word(value) for value in _listed(values))


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(_number(value) for value in _listed(values))


def _listed(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError(f"no list: {values!r}")
    return values
