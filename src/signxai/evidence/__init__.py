"""Evidence: how much a relevance map can be trusted, by the metrics of the literature. Each is a function that gives one number per sample.

Importing it loads no torch: each public name is fetched from its module at first use. ``METRICS`` has a record of every metric.
"""

from typing import TYPE_CHECKING

from signxai.common.lazy import fetched_at_first_use

if TYPE_CHECKING:
    from signxai.evidence.axioms import completeness
    from signxai.evidence.certificate import Certificate
    from signxai.evidence.certified_sample import CertifiedSample, Check, Place
    from signxai.evidence.certifying import certify
    from signxai.evidence.compared_scores import ComparisonRow, MetricCurves, RankSummary
    from signxai.evidence.comparing import compare_methods
    from signxai.evidence.comparison import Comparison
    from signxai.evidence.comparison_plan import DEFAULT_METRICS
    from signxai.evidence.complexity import effective_complexity, entropy, gini
    from signxai.evidence.criteria import CRITERIA, Criterion
    from signxai.evidence.curves import Curve, perturbation_curve, perturbation_curves
    from signxai.evidence.faithfulness import (
        aopc,
        deletion,
        faithfulness_correlation,
        infidelity,
        insertion,
        road,
        sensitivity_n,
        sensitivity_n_curve,
        srg,
    )
    from signxai.evidence.imputers import Blur, ChannelsLast, Constant, Imputer, Interpolation, Mean, NoisyLinear
    from signxai.evidence.localization import auc, pointing_game, relevance_mass, relevance_rank, top_k_intersection
    from signxai.evidence.masks import box_mask, interval_mask
    from signxai.evidence.options import RunOptions
    from signxai.evidence.randomization import RandomizationCurve, emprt, mprt, random_logit, randomization_curve, smprt
    from signxai.evidence.records import METRICS, Metric, metric
    from signxai.evidence.robustness import average_sensitivity, max_sensitivity, sensitivities
    from signxai.evidence.units import Patch, Pixel, Spans, Token, Unit, Value, Window, beat_spans

_HOMES = {
    "axioms": ("completeness",),
    "compared_scores": ("ComparisonRow", "MetricCurves", "RankSummary"),
    "comparing": ("compare_methods",),
    "comparison": ("Comparison",),
    "comparison_plan": ("DEFAULT_METRICS",),
    "certificate": ("Certificate",),
    "certified_sample": ("CertifiedSample", "Check", "Place"),
    "certifying": ("certify",),
    "complexity": ("effective_complexity", "entropy", "gini"),
    "criteria": ("CRITERIA", "Criterion"),
    "curves": ("Curve", "perturbation_curve", "perturbation_curves"),
    "faithfulness": (
        *("aopc", "deletion", "faithfulness_correlation", "infidelity", "insertion", "road", "sensitivity_n", "sensitivity_n_curve", "srg"),
    ),
    "imputers": ("Blur", "ChannelsLast", "Constant", "Imputer", "Interpolation", "Mean", "NoisyLinear"),
    "localization": ("auc", "pointing_game", "relevance_mass", "relevance_rank", "top_k_intersection"),
    "masks": ("box_mask", "interval_mask"),
    "options": ("RunOptions",),
    "randomization": ("RandomizationCurve", "emprt", "mprt", "random_logit", "randomization_curve", "smprt"),
    "records": ("METRICS", "Metric", "metric"),
    "robustness": ("average_sensitivity", "max_sensitivity", "sensitivities"),
    "units": ("Patch", "Pixel", "Spans", "Token", "Unit", "Value", "Window", "beat_spans"),
}
_HOME = {name: f"signxai.evidence.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "CRITERIA",
    "DEFAULT_METRICS",
    "METRICS",
    "Blur",
    "Certificate",
    "CertifiedSample",
    "ChannelsLast",
    "Check",
    "Comparison",
    "ComparisonRow",
    "Constant",
    "Criterion",
    "Curve",
    "Imputer",
    "Interpolation",
    "Mean",
    "Metric",
    "MetricCurves",
    "NoisyLinear",
    "Patch",
    "Pixel",
    "Place",
    "RandomizationCurve",
    "RankSummary",
    "RunOptions",
    "Spans",
    "Token",
    "Unit",
    "Value",
    "Window",
    "aopc",
    "auc",
    "average_sensitivity",
    "beat_spans",
    "box_mask",
    "certify",
    "compare_methods",
    "completeness",
    "deletion",
    "effective_complexity",
    "emprt",
    "entropy",
    "faithfulness_correlation",
    "gini",
    "infidelity",
    "insertion",
    "interval_mask",
    "max_sensitivity",
    "metric",
    "mprt",
    "perturbation_curve",
    "perturbation_curves",
    "pointing_game",
    "random_logit",
    "randomization_curve",
    "relevance_mass",
    "relevance_rank",
    "road",
    "sensitivities",
    "sensitivity_n",
    "sensitivity_n_curve",
    "smprt",
    "srg",
    "top_k_intersection",
]

__getattr__, __dir__ = fetched_at_first_use(__name__, _HOME, __all__)
