"""What of a comparison is drawn."""

from __future__ import annotations

from signxai.evidence.compared_scores import ComparedScores
from signxai.evidence.records import METRICS
from signxai.figures.comparison_plots import CurvePanel, RankPanel

__all__ = ["curve_panel", "curve_panels", "rank_panel", "rank_panels"]


def curve_panels(comparison: ComparedScores) -> list[CurvePanel]:
    """Of each metric that is made of curves."""
    return [curve_panel(comparison, name) for name in comparison.metrics if name in comparison.curves]


def curve_panel(comparison: ComparedScores, name: str) -> CurvePanel:
    """The curves of a metric.

    Raises:
        OptionError: if it has none.
    """
    bands, record = comparison.bands(name), METRICS[name]
    curves = comparison.curves[name]
    title = f"{name}: {record.title} ({record.better} is better)"
    return CurvePanel(title, comparison.methods, curves.places, bands, curves.x_label, curves.y_label)


def rank_panels(comparison: ComparedScores) -> list[RankPanel]:
    """Of each metric by which at least two methods can be ranked."""
    panels = [rank_panel(comparison, name) for name in comparison.metrics]
    return [panel for panel in panels if len(panel.methods) > 1]


def rank_panel(comparison: ComparedScores, name: str) -> RankPanel:
    """The mean ranks by a metric; of no methods, if nothing has a score of each."""
    summary = comparison.ranks(name)
    over = "samples" if comparison.groups is None else "groups"
    there = summary.methods if summary.blocks else ()
    return RankPanel(
        f"{name}: mean ranks over {summary.blocks} {over}, 1 is the best", there, summary.means[: len(there)], summary.distance
    )
