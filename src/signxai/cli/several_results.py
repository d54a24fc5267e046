"""What becomes of the explained inputs of a network with several: the arrays to keep, and a figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from signxai.cli.decisions import MOST_SHOWN, Decisions
from signxai.cli.several_inputs import SAVED, SeveralInputs
from signxai.figures.input_plots import InputsSample, check_inputs, inputs_figure
from signxai.figures.paging import NumberedSample, some_maps
from signxai.models import Classifier

__all__ = ["check_figure", "figure_of_several", "of_input", "saved_inputs", "shares"]

Array = npt.NDArray[Any]


def of_input(method: str, name: str) -> str:
    """The name under which a method's relevance of an input is kept.

    >>> of_input("lrp_z", "ecg")
    'lrp_z/ecg'
    """
    return f"{method}/{name}"


def saved_inputs(decisions: Decisions) -> dict[str, Array]:
    """The inputs as they are kept, by name."""
    assert isinstance(decisions.x, Mapping)
    return {f"{SAVED}{name}": values for name, values in decisions.x.items()}


def shares(decisions: Decisions, maps: Mapping[str, Array], methods: Sequence[str]) -> list[str]:
    """How much of |R| each input of the first samples has, by each method: a line for each."""
    assert isinstance(decisions.x, Mapping)
    lines = []
    for method in methods:
        of_inputs = {name: np.abs(maps[key]) for name in decisions.x if (key := of_input(method, name)) in maps}
        for row, sample in enumerate(decisions.names[:MOST_SHOWN]):
            strengths = {name: float(np.nansum(values[row])) for name, values in of_inputs.items()}
            total = sum(strengths.values())
            if len(strengths) > 1 and total:
                said = ", ".join(f"{name} {strength / total:.1%}" for name, strength in strengths.items())
                lines.append(f"{method}  {sample}: of all |R|, {said}")
    return lines


def check_figure(several: SeveralInputs, classifier: Classifier) -> None:
    """Refuse inputs that no figure shows, before anything is computed for one.

    Args:
        several: the inputs.
        classifier: says whether it has channels last.

    Raises:
        InputError: one that is explained has a shape that cannot be drawn, or another number of names than what it names.
    """
    explained = {
        name: _drawn(array[0], classifier)
        for name, array in several.arrays.items()
        if several.explained is None or name in several.explained
    }
    drawn = {name: array for name, array in explained.items() if np.issubdtype(array.dtype, np.floating) or name in several.labels}
    check_inputs(drawn, several.labels)


def figure_of_several(
    several: SeveralInputs,
    decisions: Decisions,
    maps: Mapping[str, Array],
    methods: Sequence[str],
    headings: Sequence[str],
    classifier: Classifier,
    one_scale: bool,
    shown: Sequence[NumberedSample],
) -> Figure:
    """Draw the samples of these numbers: a row for each input, a column for each method."""
    assert isinstance(decisions.x, Mapping)
    samples = []
    for numbered in shown:
        row = numbered.number
        of_methods = {
            method: {name: _drawn(maps[key][row], classifier) for name in decisions.x if (key := of_input(method, name)) in maps}
            for method in methods
        }
        x = {name: _drawn(values[row], classifier) for name, values in decisions.x.items()}
        pictures = {name: classifier.picture(x[name]) for name in several.pictures}
        sample = InputsSample(x, of_methods, headings[row], pictures, decisions.turned.get(row, ()))
        samples.append(some_maps(sample, numbered.maps))
    return inputs_figure(samples, one_scale=one_scale, names=several.labels, sampling_rates=several.sampling_rates)


def _drawn(sample: Array, classifier: Classifier) -> Array:
    """One sample as a figure takes it: signals have leads in front of time; where the channels of an image are, a figure sees."""
    return np.swapaxes(sample, 0, 1) if sample.ndim == 2 and classifier.channels_last(sample.ndim + 1) else sample
