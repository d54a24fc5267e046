"""The checks of a certificate: what each measures, which values pass, and where that comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from signxai.common.errors import OptionError
from signxai.evidence import papers
from signxai.evidence.options import is_number
from signxai.names.papers import Paper

__all__ = ["CRITERIA", "Criterion", "criterion_named", "thresholds_with"]

_WITHIN, _AT_MOST, _MORE_THAN = "within ±", "at most ", "more than "


@dataclass(frozen=True)
class Criterion:
    """What a check measures, and which values pass.

    Attributes:
        name: of the check.
        title: what is measured, in a few words.
        threshold: the limit, unless another one is given.
        passes: which values pass, in words before the limit: "within ±", "at most ", or "more than ".
        papers: where the measure comes from; none: from here.
        limit_from: where the limit comes from.
        why: why it is this one.
    """

    name: str
    title: str
    threshold: float
    passes: str
    papers: tuple[Paper, ...]
    limit_from: str
    why: str

    @property
    def source(self) -> str:
        """The papers as a text cites them, and where the limit comes from."""
        return f"{self._measure}; limit: {self.limit_from}"

    @property
    def source_of_given(self) -> str:
        """The same where another limit is given."""
        return f"{self._measure}; limit: as given"

    @property
    def _measure(self) -> str:
        return ", ".join(paper.citation for paper in self.papers) or "signxai's measure"

    def met_by(self, value: float, threshold: float) -> bool:
        """Whether a value passes.

        >>> CRITERIA["absorbed_by_bias"].met_by(-0.6, 0.5), CRITERIA["runner_up"].met_by(-1.0, 0.95), CRITERIA["srg"].met_by(-3.0, 2.23)
        (False, True, False)
        """
        return value > threshold if self.passes == _MORE_THAN else (abs(value) if self.passes == _WITHIN else value) <= threshold


_BACH, _ADEBAYO, _SIXT, _BLUECHER = (papers.BACH_2015,), (papers.ADEBAYO_2018,), (papers.SIXT_2020,), (papers.BLUECHER_2024,)
_OWN = "signxai's choice"
_HALF = "what takes more than half leaves the smaller part of the decision to the map"
_ROUNDING = "a change of a hundredth is hardly seen in a picture of the map; rounding alone is a hundredth of that and less"
_LEARNED = "rules that only see positive relevance keep 0.65 and more on the networks that come along, LRP epsilon less than 0.1"
_ORDER = "guided backpropagation, which fails in the paper, keeps 0.9 and more on the networks that come along, LRP epsilon less than 0.45"
_CLASSES = (
    "maps of two kinds of cats are alike by 0.9 under LRP epsilon, and by more than 0.99 under rules that only see positive relevance"
)
_ROWS: tuple[tuple[str, str, float, str, tuple[Paper, ...], str, str], ...] = (
    ("absorbed", "share of the relevance that does not reach the input", 0.5, _WITHIN, _BACH, _OWN, _HALF),
    ("absorbed_by_bias", "share of the relevance that biases and constants take", 0.5, _WITHIN, _BACH, _OWN, _HALF),
    ("absorbed_by_stabilizer", "share of the relevance that stabilizers take", 0.5, _WITHIN, _BACH, _OWN, _HALF),
    ("absorbed_elsewhere", "share that is lost for other reasons: 0 / 0, rules that do not share", 0.5, _WITHIN, _BACH, _OWN, _HALF),
    (
        "cancellation",
        "sum of |R| by the size of the sum of R",
        10.0,
        _AT_MOST,
        (),
        _OWN,
        "a tenth of what the map shows remains in its sum",
    ),
    ("precision", "change of the map in double precision, by its norm", 0.01, _AT_MOST, (), _OWN, _ROUNDING),
    (
        *("unknown_operations", "operations without a rule that relevance reached", 0.0, _AT_MOST, ()),
        *("by definition", "where there is no rule, the map is another method's"),
    ),
    ("batch", "change of the map between two other samples, by its norm", 0.01, _AT_MOST, (), _OWN, _ROUNDING),
    ("runner_up", "rank correlation with the map of the strongest other class", 0.95, _AT_MOST, _SIXT, _OWN, _CLASSES),
    ("random_last_layer", "size of the rank correlation left with a random last layer", 0.5, _AT_MOST, _ADEBAYO, _OWN, _ORDER),
    ("random_all_layers", "size of the rank correlation left with all layers random", 0.5, _AT_MOST, _ADEBAYO, _OWN, _LEARNED),
    (
        *("srg", "symmetric relevance gain, in deviations of those of random maps", 2.23, _MORE_THAN, _BLUECHER),
        *("Student's t", "2.5 % of random maps reach it: the t distribution for the ten maps that are drawn"),
    ),
)

CRITERIA: Mapping[str, Criterion] = MappingProxyType({row[0]: Criterion(*row) for row in _ROWS})
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
        if not is_number(value) or not 0 <= value < math.inf:
            raise OptionError(f"thresholds= of {criterion_named(name)!r} is {value!r}; a limit is a finite number of at least 0")
    chosen = {criterion_named(name): float(value) for name, value in (given or {}).items()}
    return {name: criterion.threshold for name, criterion in CRITERIA.items()} | chosen
