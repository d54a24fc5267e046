"""One sample with its map, of which a certificate is made."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import nn

from signxai.engine.relevance import UnknownOperationWarning
from signxai.engine.targets import NamedTarget, Target
from signxai.evidence.explaining import Explaining, Points
from signxai.evidence.options import FloatArray
from signxai.evidence.parts import Key, flat
from signxai.evidence.turned_rows import is_turned
from signxai.evidence.verdicts import Verdicts
from signxai.methods.cam import ZeroMapWarning

__all__ = ["ExplainedSample"]


@dataclass(frozen=True)
class ExplainedSample:
    """A sample, and the map that is to be judged.

    Attributes:
        explaining: the method on all samples.
        row: the number of the sample.
        maps: of this sample alone (1, ...), by the key of each input.
        verdicts: what judges.
        class_names: by class; empty: classes are numbered.
    """

    explaining: Explaining
    row: int
    maps: Mapping[Key, FloatArray]
    verdicts: Verdicts
    class_names: Sequence[str] = ()

    @classmethod
    def of(cls, explaining: Explaining, row: int, verdicts: Verdicts, class_names: Sequence[str] = ()) -> ExplainedSample:
        """Explain a sample."""
        return cls(explaining, row, explaining.maps_at_once(Points([row], {})), verdicts, class_names)

    @cached_property
    def map(self) -> FloatArray:
        """The map of all inputs side by side (1, values)."""
        return flat(self.maps)

    @property
    def is_constant(self) -> bool:
        """Whether all values of the map are equal, so that it points to nothing."""
        return not np.ptp(self.map)

    def explained_by(self, model: nn.Module | None = None, target: Target | None = None, points: Points | None = None) -> FloatArray:
        """The maps (n, values) by another model, of another target, or at other points, without the warnings that the own one gave."""
        with _quietly():
            return flat(self.explaining.maps_at_once(points or Points([self.row], {}), model, target))

    @cached_property
    def has_turned_signs(self) -> bool:
        """Whether a logit below 0 turns the signs of the map, or of a part of it."""
        return is_turned(self.explaining, self.row)

    @property
    def target_in_words(self) -> str:
        """What is explained."""
        target = self.explaining.target_at(self.row)
        if callable(target):
            return repr(target) if isinstance(target, NamedTarget) else "a function of the outputs"
        entry = [int(index) for index in np.ravel(target)]
        return self.class_in_words(entry[0]) if len(entry) == 1 else f"entry {tuple(entry)}"

    def class_in_words(self, index: int) -> str:
        """A class by its number, and by its name if it has one."""
        return f"class {index} ({self.class_names[index]})" if 0 <= index < len(self.class_names) else f"class {index}"


@contextmanager
def _quietly() -> Iterator[None]:
    """While entered, nothing warns of maps that nobody sees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownOperationWarning)
        warnings.simplefilter("ignore", ZeroMapWarning)
        yield
