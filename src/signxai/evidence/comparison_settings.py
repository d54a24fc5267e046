"""How a comparison was made, in words: what a reader of its table needs to make it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from signxai._version import __version__
from signxai.evidence.comparison_plan import ChosenMetric, Contestant
from signxai.evidence.explaining import Explaining

__all__ = ["settings_of_comparison"]

_MOST_NAMED = 6


def settings_of_comparison(explaining: Explaining, contestants: Sequence[Contestant], metrics: Sequence[ChosenMetric]) -> dict[str, str]:
    """What the comparison is of, by name, the options of each metric and method under its own.

    Args:
        explaining: the samples, their target, and how the model is run.
        contestants: the methods.
        metrics: with their options.
    """
    methods = {one.label: _listed(one.options) for one in contestants if one.options}
    return {
        "model": type(explaining.model).__qualname__,
        "explained": _explained(explaining),
        "seed": str(explaining.settings.seed),
        "version": f"signxai {__version__}",
        **{one.name: _listed({name: one.option(name) for name in one.option_names}) for one in metrics if one.option_names},
        **methods,
    }


def _explained(explaining: Explaining) -> str:
    """The classes of the samples, the most frequent first."""
    target = explaining.target
    if target is None or target.indices is None:
        return "a function of the outputs"
    entries = [tuple(int(index) for index in row) for row in target.indices]
    counted = Counter(entries).most_common()
    told = [f"{_entry(entry)} ({times} of {len(entries)})" for entry, times in counted[:_MOST_NAMED]]
    rest = len(counted) - _MOST_NAMED
    return ", ".join([*told, *([f"{rest} more"] if rest > 0 else [])])


def _entry(entry: tuple[int, ...]) -> str:
    return f"class {entry[0]}" if len(entry) == 1 else f"entry {entry}"


def _listed(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={brief(value)}" for name, value in options.items())


def brief(value: object) -> str:
    """A value on part of a line.

    >>> brief("mean"), brief(np.zeros((2, 3))), brief(brief)
    ("'mean'", 'an array (2, 3)', 'brief')
    """
    if isinstance(value, np.ndarray | Tensor):
        return f"an array {tuple(value.shape)}"
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
