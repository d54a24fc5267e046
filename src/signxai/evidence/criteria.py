"""The checks of a certificate: what each measures, which values pass, and where that comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

import numpy as np

from signxai.common.errors import OptionError
from signxai.evidence import papers
from signxai.names.papers import Paper

__all__ = ["CRITERIA", "Criterion", "criterion_named", "thresholds_with"]


@dataclass(frozen=True)
class Criterion:
    """What a check measures, and which values pass.

    Attributes:
        name: of the check.
        title: what is measured, in a few words.
        threshold: the limit, unless another one is given.
        passes: "at most" (the size of the value is at most the limit) or "more than".
        papers: where the measure comes from; none: it is our own.
        why: why the limit is this one.
    """

    name: str
    title: str
    threshold: float
    passes: str
    papers: tuple[Paper, ...]
    why: str

    @property
    def source(self) -> str:
        """The papers as a text cites them, and whose choice the limit is."""
        measure = ", ".join(paper.citation for paper in self.papers) or "own measure"
        return f"{measure}; limit: {self.why}"

    def met_by(self, value: float, threshold: float) -> bool:
        """Whether a value passes.

        >>> CRITERIA["absorbed_by_bias"].met_by(-0.4, 0.5), CRITERIA["srg"].met_by(-3.0, 2.23)
        (True, False)
        """
        return abs(value) <= threshold if self.passes == "at most" else value > threshold


_BACH, _ADEBAYO = (papers.BACH_2015,), (papers.ADEBAYO_2018,)
_HALF, _ROUNDING = "own choice, half of the decision", "own choice, one shade of a hundred"
_ORDER = "own choice, half of the order"

CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        criterion.name: criterion
        for criterion in (
            Criterion("absorbed_by_bias", "share of the relevance that biases and constants take", 0.5, "at most", _BACH, _HALF),
            Criterion("absorbed_by_stabilizer", "share of the relevance that stabilizers take", 0.5, "at most", _BACH, _HALF),
            Criterion("absorbed_elsewhere", "share of the relevance that is lost for other reasons", 0.5, "at most", _BACH, _HALF),
            Criterion("cancellation", "sum of |R| by the size of the sum of R", 10.0, "at most", (), "own choice, a tenth remains"),
            Criterion("precision", "change of the map in double precision, by its norm", 0.01, "at most", (), _ROUNDING),
            Criterion("unknown_operations", "operations without a rule that relevance reached", 0.0, "at most", (), "by definition"),
            Criterion("batch", "change of the map among other samples, by its norm", 0.01, "at most", (), _ROUNDING),
            Criterion(
                *("runner_up", "rank correlation with the map of the strongest other class", 0.95, "at most"),
                *((papers.SIXT_2020,), "own choice"),
            ),
            Criterion("random_last_layer", "rank correlation left with a random last layer", 0.5, "at most", _ADEBAYO, _ORDER),
            Criterion("random_all_layers", "rank correlation left with all layers random", 0.5, "at most", _ADEBAYO, _ORDER),
            Criterion(
                *("srg", "symmetric relevance gain by the deviation of random maps' gains", 2.23, "more than"),
                *((papers.BLUECHER_2024,), "95 % of random maps, Student's t"),
            ),
        )
    }
)
"""The checks of a certificate, in the order in which they are made."""


def criterion_named(name: str) -> str:
    """The name of a check, which there is.

    Raises:
        OptionError: if there is none of this name; it names the nearest.
    """
    if name not in CRITERIA:
        near = get_close_matches(str(name), CRITERIA) or list(CRITERIA)
        raise OptionError(f"there is no check {name!r}; nearest: {', '.join(near)}")
    return name


def thresholds_with(given: Mapping[str, float] | None) -> dict[str, float]:
    """The limits of all checks, some of them as given.

    Raises:
        OptionError: for a check that there is not, or a limit that is no number.

    >>> thresholds_with({"batch": 0.1})["batch"]
    0.1
    """
    for name, value in (given or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < math.inf:
            raise OptionError(f"thresholds= of {criterion_named(name)!r} is {value!r}; a limit is a finite number of at least 0")
    chosen = {criterion_named(name): float(value) for name, value in (given or {}).items()}
    return {name: criterion.threshold for name, criterion in CRITERIA.items()} | chosen
