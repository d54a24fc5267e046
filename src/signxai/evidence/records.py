"""What is known of every metric: one record each, from which tables, figures and the contract of the tests come."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from signxai.common.errors import OptionError
from signxai.evidence import papers
from signxai.names.papers import Paper

__all__ = ["FAMILIES", "METRICS", "Metric", "metric"]

FAMILIES = ("faithfulness", "robustness", "randomization", "localization", "complexity", "axioms")


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: of its function in ``signxai.evidence``.
        family: one of ``FAMILIES``.
        title: how a table calls it.
        better: "higher" or "lower".
        lowest, highest: its range; infinite where there is no bound.
        takes: what it is a function of: "decision" (model, input, map), "method" (model, input, method name), "mask" (map, mask), "map".
        sign: what negating the map does: "seen" (another score), "magnitude" (none: it is of the absolute relevance by definition), or
            "method" (it explains again, and compares maps that would all be negated).
        cost: for one sample, by the function's arguments.
        sources: the papers.
    """

    name: str
    family: str
    title: str
    better: str
    lowest: float
    highest: float
    takes: str
    sign: str
    cost: str
    sources: tuple[Paper, ...]

    @property
    def function(self) -> Callable[..., Any]:
        """The metric itself.

        >>> METRICS["gini"].function([[0.0, 1.0]])
        array([0.5])
        """
        found: Callable[..., Any] = getattr(import_module(f"signxai.evidence.{self.family}"), self.name)
        return found

    @property
    def sources_cited(self) -> str:
        """The papers as a text cites them."""
        return ", ".join(paper.citation for paper in self.sources)


_INF = math.inf
_CURVE, _SUBSETS = "steps + 1 forward passes", "samples + 1 forward passes"


def _records() -> list[Metric]:
    higher, lower = "higher", "lower"
    of_decision, of_method = ("decision", "seen"), ("method", "method")
    faithfulness = [
        ("srg", "symmetric relevance gain", higher, -_INF, _INF, "2 steps forward passes", papers.BLUECHER_2024),
        ("aopc", "area over the perturbation curve", higher, -_INF, _INF, _CURVE, papers.SAMEK_2017),
        ("deletion", "deletion", lower, 0.0, 1.0, _CURVE, papers.PETSIUK_2018),
        ("insertion", "insertion", higher, 0.0, 1.0, _CURVE, papers.PETSIUK_2018),
        ("road", "remove and debias", lower, 0.0, 1.0, _CURVE, papers.RONG_2022),
        ("faithfulness_correlation", "faithfulness correlation", higher, -1.0, 1.0, _SUBSETS, papers.BHATT_2020),
        ("sensitivity_n", "sensitivity-n", higher, -1.0, 1.0, "sizes x samples + 1 forward passes", papers.ANCONA_2018),
        ("infidelity", "infidelity", lower, 0.0, _INF, _SUBSETS, papers.YEH_2019),
    ]
    robustness = [
        ("max_sensitivity", "max-sensitivity", lower, 0.0, _INF, "samples + 1 explanations", papers.YEH_2019),
        ("average_sensitivity", "average sensitivity", lower, 0.0, _INF, "samples + 1 explanations", papers.YEH_2019, papers.BHATT_2020),
    ]
    randomization = [
        (
            "mprt",
            "parameter randomization (MPRT)",
            lower,
            -1.0,
            1.0,
            "layers + 1 explanations",
            papers.ADEBAYO_2018,
            papers.HEDSTROEM_2024,
        ),
        ("smprt", "smooth MPRT", lower, -1.0, 1.0, "(layers + 1) x smoothed explanations", papers.HEDSTROEM_2024),
        ("emprt", "efficient MPRT", higher, -1.0, _INF, "2 explanations", papers.HEDSTROEM_2024),
        ("random_logit", "random logit", lower, -1.0, 1.0, "2 explanations", papers.SIXT_2020),
    ]
    localization = [
        ("pointing_game", "pointing game", higher, 0.0, 1.0, "", papers.ZHANG_2018),
        ("relevance_mass", "relevance mass accuracy", higher, 0.0, 1.0, "", papers.ARRAS_2022),
        ("relevance_rank", "relevance rank accuracy", higher, 0.0, 1.0, "", papers.ARRAS_2022),
        ("top_k_intersection", "top-k intersection", higher, 0.0, 1.0, "", papers.THEINER_2021),
        ("auc", "area under the ROC curve", higher, 0.0, 1.0, "", papers.FAWCETT_2006),
    ]
    complexity = [
        ("gini", "sparseness (Gini index)", higher, 0.0, 1.0, "", papers.CHALASANI_2020),
        ("entropy", "complexity (entropy)", lower, 0.0, _INF, "", papers.BHATT_2020),
        ("effective_complexity", "effective complexity", lower, 0.0, _INF, "", papers.NGUYEN_2020),
    ]
    axioms = [("completeness", "completeness", lower, 0.0, _INF, "2 forward passes", papers.SUNDARARAJAN_2017)]
    families: list[tuple[str, tuple[str, str], list[Any]]] = [
        ("faithfulness", of_decision, faithfulness),
        ("robustness", of_method, robustness),
        ("randomization", of_method, randomization),
        ("localization", ("mask", "seen"), localization),
        ("complexity", ("map", "magnitude"), complexity),
        ("axioms", of_decision, axioms),
    ]
    return [_record(family, kind, row) for family, kind, rows in families for row in rows]


def _record(family: str, kind: tuple[str, str], row: tuple[Any, ...]) -> Metric:
    name, title, better, lowest, highest, cost, *sources = row
    return Metric(name, family, title, better, lowest, highest, *kind, cost or "nothing", tuple(sources))


METRICS = {record.name: record for record in _records()}
"""The record of each metric by its name."""


def metric(name: str) -> Metric:
    """The record of a metric.

    Raises:
        OptionError: if there is none of this name; it names the nearest.

    >>> metric("srg").better, metric("srg").sources_cited
    ('higher', 'Bluecher et al. 2024')
    """
    if name not in METRICS:
        near = get_close_matches(str(name), METRICS) or list(METRICS)
        raise OptionError(f"there is no metric {name!r}; nearest: {', '.join(near)}")
    return METRICS[name]
