"""What was explained and its relevance, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from signxai.common.errors import InputError, MethodNameError, OptionError
from signxai.common.visualization import as_array, summed_over_channels
from signxai.figures.input_plots import InputsSample, inputs_figure, spread
from signxai.figures.map_plots import Sample, image_figure, signal_figure
from signxai.figures.places import AxesLike
from signxai.methods.turned_signs import OTHER_START, turns_signs
from signxai.names.grammar import parse_method

__all__ = ["show"]

Array = npt.NDArray[Any]

_MOST_ROWS = 6
_MOST_LEADS = 32
_CHANNELS = (1, 3)
_UNNAMED = "relevance"
_SEVERAL = (Mapping, tuple, list)


def show(
    x: Any,
    relevance: Any,
    *,
    rows: Sequence[int] | None = None,
    overlay: bool = True,
    percentile: float = 99,
    axes: AxesLike | None = None,
    logits: Any = None,
    started_with: str = "one_hot",
    channels: str | None = None,
    method: str = "",
) -> Figure:
    """Draw inputs and their relevance, as `signxai.explain` took and gave them; a notebook shows the figure, ``savefig`` writes it.

    What x is, is told by its axes: (N, C, H, W) are pictures, (N, H, W, C) too where C is 1 or 3 and the second axis is neither,
    (N, leads, time) signals, (N, values) lists of numbers, and a mapping, a tuple or a list several inputs. A picture outside [0, 1] is
    shown from its darkest to its brightest value.

    Args:
        x: a batch of samples, an array or a tensor; a picture of PIL, as large as its relevance; or several inputs.
        relevance: of the same shape, of pictures also (N, H, W), of one of PIL (1, C, H, W), (C, H, W) or (H, W); or by method, as
            `signxai.explain_all` gives it.
        rows: which samples; None: the first six, where there are more with a word that says so.
        overlay: pictures alone: lay maps over the picture in gray, the more opaque the stronger; False draws them by themselves.
        percentile: of |R|, where the colours of each map end.
        axes: draw on these: one for each map, or one for each panel; None: on a page of its own.
        logits: (N,) of the explained classes: headings give them, and say by which of the methods a logit below 0 turns the signs: what
            speaks for the class is blue there, and the colour bar says so. Of a map without a method's name they say when it is so.
        started_with: the ``relevance=`` of `signxai.explain`: "one_hot" or "logit".
        channels: where pictures have their channels and signals their leads: "first", or "last" as Keras networks take (N, H, W, C) and
            (N, time, leads); None: told by the axes as above, signals first.
        method: by which a single map is: its title, and where its numbers are no shares of a score, as slopes (`gradient`), what the colour
            bar says; maps by method have their names already.

    Raises:
        InputError: what goes in does not fit together, or is none of these.
        OptionError: a row that is not there, a percentile outside [0, 100], another word for ``channels``, or a method beside maps by
            method.

    >>> x, relevance = np.zeros((2, 3, 8, 8)), np.ones((2, 3, 8, 8))
    >>> [text.get_text() for text in show(x, relevance).texts if "sample" in text.get_text()]
    ['sample 0', 'sample 1']
    """
    relevance = _by_method(x, relevance, method)
    if isinstance(x, _SEVERAL):
        return _show_several(x, relevance, rows, percentile, axes, (logits, started_with))
    if channels not in (None, "first", "last"):
        raise OptionError(f'channels={channels!r} is not "first", "last" or None')
    inputs, maps = _of_photo(x, relevance) if isinstance(x, Image.Image) else _of_batch(x, relevance, channels)
    headings = _headings(rows, len(inputs))
    signs = _Signs.of(logits, len(inputs), list(maps), started_with)
    headings = {row: signs.heading(row, said) for row, said in headings.items()}
    samples = {row: {method: values[row] for method, values in maps.items()} for row in headings}
    if inputs.ndim == 4:
        pictures = [Sample(_picture(inputs[row]), samples[row], said, signs.turned(row)) for row, said in headings.items()]
        return image_figure(pictures, overlay=overlay, percentile=percentile, axes=axes)
    if inputs.ndim == 3:
        signals = [Sample(inputs[row], samples[row], said, signs.turned(row)) for row, said in headings.items()]
        return signal_figure(signals, percentile=percentile, axes=axes)
    lists = [
        InputsSample({"input": inputs[row]}, {name: {"input": part} for name, part in samples[row].items()}, said, turned=signs.turned(row))
        for row, said in headings.items()
    ]
    return inputs_figure(lists, percentile=percentile, axes=axes)


def _by_method(x: Any, relevance: Any, method: str) -> Any:
    """Relevance under the name of its method, if one is said.

    Raises:
        OptionError: it has names of methods already.
    """
    if not method:
        return relevance
    of_inputs = isinstance(x, _SEVERAL)
    if isinstance(relevance, Mapping) and (not of_inputs or any(isinstance(values, _SEVERAL) for values in relevance.values())):
        raise OptionError(f"method={method!r} names a single map, and relevance is by method already: {', '.join(map(str, relevance))}")
    return {method: relevance}


def _show_several(
    x: Any, relevance: Any, rows: Sequence[int] | None, percentile: float, axes: AxesLike | None, start: tuple[Any, str]
) -> Figure:
    parts = [as_array(part) for part in (x.values() if isinstance(x, Mapping) else x) if part is not None]
    if not parts or not all(part.ndim for part in parts):
        raise InputError("several inputs are arrays whose first axis counts the samples; there are none, or some have no axis")
    methods = [name for name, values in relevance.items() if isinstance(values, _SEVERAL)] if isinstance(relevance, Mapping) else []
    headings = _headings(rows, len(parts[0]))
    signs = _Signs.of(start[0], len(parts[0]), methods or [_UNNAMED], start[1])
    samples = [
        replace(InputsSample.of_batch(x, relevance, row, signs.heading(row, said)), turned=signs.turned(row))
        for row, said in headings.items()
    ]
    return inputs_figure(samples, percentile=percentile, axes=axes)


def _of_photo(x: Image.Image, relevance: Any) -> tuple[Array, dict[str, Array]]:
    """A picture of PIL and its maps as a batch of one.

    Raises:
        InputError: relevance that is not as large as the picture.
    """
    pixels = np.asarray(x.convert("RGB")).transpose(2, 0, 1)[None]
    maps = {name: _of_pixels(values, pixels.shape[2:]) for name, values in _named(relevance).items()}
    for name, values in maps.items():
        if values.shape != pixels.shape[2:]:
            raise InputError(
                f"map {name!r} of shape {values.shape} is no relevance of a picture {x.height} high and {x.width} wide; show it as the "
                "network took it, cropped and resized"
            )
    return pixels, {name: values[None] for name, values in maps.items()}


def _of_pixels(values: Array, shape: tuple[int, ...]) -> Array:
    """Relevance (1, C, H, W), (C, H, W), the same with channels last, or (H, W) by pixel."""
    values = values[0] if values.ndim == 4 and len(values) == 1 else values
    return summed_over_channels(values, shape) if values.ndim == 3 else values


def _of_batch(x: Any, relevance: Any, channels: str | None) -> tuple[Array, dict[str, Array]]:
    """Samples and their maps, the channels of pictures and the leads of signals first."""
    inputs, maps = as_array(x), _named(relevance)
    looks_last = inputs.ndim == 4 and inputs.shape[1] not in _CHANNELS and inputs.shape[3] in _CHANNELS
    if channels == "last" or (channels is None and looks_last):
        axes = inputs.ndim
        inputs = np.moveaxis(inputs, -1, 1)
        maps = {name: np.moveaxis(values, -1, 1) if values.ndim == axes else values for name, values in maps.items()}
    _check(inputs, maps)
    return inputs, maps


def _named(relevance: Any) -> dict[str, Array]:
    maps = relevance if isinstance(relevance, Mapping) else {_UNNAMED: relevance}
    return {str(name): as_array(values) for name, values in maps.items()}


def _check(x: Array, maps: Mapping[str, Array]) -> None:
    """Refuse what cannot be drawn.

    Raises:
        InputError: the inputs are no batch that is told by its axes, or a map does not fit them.
    """
    if x.ndim not in (2, 3, 4) or not x.size:
        raise InputError(
            f"x of shape {x.shape} cannot be drawn: pictures are (N, C, H, W), signals (N, leads, time) and lists of numbers (N, values)"
        )
    if x.ndim == 3 and (x.shape[1] > _MOST_LEADS or (x.shape[0] in _CHANNELS and x.shape[1] == x.shape[2] > 1)):
        raise InputError(
            f"x of shape {x.shape} would be {x.shape[0]} signals of {x.shape[1]} leads; of one picture (C, H, W) show x[None] and "
            "relevance[None]; signals of any shape are drawn by signxai.figures.map_plots.signal_figure"
        )
    for name, values in maps.items():
        if values.shape != x.shape and not (x.ndim == 4 and values.shape == (len(x), *x.shape[2:])):
            raise InputError(f"map {name!r} of shape {values.shape} is no relevance of inputs of shape {x.shape}")


def _headings(rows: Sequence[int] | None, count: int) -> dict[int, str]:
    """The samples that are shown, by number, and what stands above each."""
    shown = range(min(count, _MOST_ROWS)) if rows is None else [int(row) for row in rows]
    for row in shown:
        if not 0 <= row < count:
            raise OptionError(f"rows={list(shown)}: of {count} samples the numbers run from 0 to {count - 1}")
    more = f" (the first {len(shown)} of {count} are shown; rows= chooses others)" if rows is None and len(shown) < count else ""
    return {row: f"sample {row}{more if place == 0 else ''}" for place, row in enumerate(shown)}


@dataclass(frozen=True)
class _Signs:
    """The logits of samples, and by which methods those below 0 turn the signs.

    Attributes:
        logits: (N,); None: they are not known.
        methods: whose maps are shown.
        turning: those that turn signs.
        unknown: those that are no method's name, of which it is not known.
        started_with: what relevance started with.
    """

    logits: Array | None = None
    methods: Sequence[str] = ()
    turning: Sequence[str] = ()
    unknown: Sequence[str] = ()
    started_with: str = "one_hot"

    @classmethod
    def of(cls, logits: Any, count: int, methods: Sequence[str], started_with: str) -> _Signs:
        """Of so many samples.

        Raises:
            InputError: there is not one logit for each sample, or one is not finite.
            OptionError: relevance starts with neither.
        """
        if started_with not in OTHER_START:
            raise OptionError(f"started_with={started_with!r}: relevance starts with 'one_hot' or 'logit'")
        if logits is None:
            return cls()
        values = as_array(logits)
        if values.shape != (count,):
            raise InputError(f"logits of shape {values.shape} for {count} samples; give one of each explained class, ({count},)")
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise InputError(f"logits: that of sample {row} is {values[row]}; logits of explained classes are finite numbers")
        turning = [name for name in methods if turns_signs(name, started_with)]
        return cls(values, methods, turning, [name for name in methods if not _is_method(name)], started_with)

    def turned(self, row: int) -> Sequence[str]:
        """The methods whose maps of a sample have their signs turned."""
        return self.turning if self.logits is not None and self.logits[row] < 0 else ()

    def heading(self, row: int, text: str) -> str:
        """What stands above a sample, with its logit and what that says of signs."""
        return text if self.logits is None else f"{text}: logit {self.logits[row]:.2f}{self._said(row)}"

    def _said(self, row: int) -> str:
        assert self.logits is not None
        if self.logits[row] >= 0:
            return ""
        by = "" if len(self.turning) == len(self.methods) else f" by {', '.join(self.turning)}"
        of = "" if len(self.unknown) == len(self.methods) else f" of {', '.join(self.unknown)}"
        when = _WHEN[self.started_with]
        return (f"; signs turned{by}" if self.turning else "") + (f"; signs{of} are turned where relevance {when}" if self.unknown else "")


_WHEN = {"one_hot": "is a share of it (LRP with z or epsilon)", "logit": "starts with it (gradient methods)"}


def _is_method(name: str) -> bool:
    try:
        parse_method(name)
    except MethodNameError:
        return False
    return True


def _picture(x: Array) -> Array:
    """What the network took (C, H, W) as a picture (H, W, 3), or (H, W, 1)."""
    pixels = np.moveaxis(spread(x), 0, -1)
    return pixels if pixels.shape[-1] in (1, 3) else pixels.mean(axis=-1, keepdims=True)
