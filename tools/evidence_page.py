"""Writes what docs/evidence.md has from the records of signxai.evidence: the tables of metrics and of checks, and the references.

    python tools/evidence_page.py          # write it
    python tools/evidence_page.py --check  # say whether the page is up to date

A part of the page between ``<!-- from the records: NAME -->`` and ``<!-- end -->`` is what the function NAME gives.
"""

from __future__ import annotations

import math

from generated_page import DOCS, main, parts_from, table, with_parts
from signxai.evidence.criteria import CRITERIA, Criterion
from signxai.evidence.papers import METRIC_PAPERS
from signxai.evidence.records import METRICS, Metric

PAGE = DOCS / "evidence.md"
PART = parts_from("the records")
TAKES = {"decision": "model, input, map", "method": "model, input, method", "mask": "map, mask", "map": "map"}


def rendered(page: str) -> str:
    """The page with every part as the records have it now."""
    return with_parts(page, PART, PARTS)


def metrics() -> str:
    """A row for each metric."""
    header = ("function", "", "family", "better", "range", "takes", "costs per sample", "source")
    return table(header, map(_row, METRICS.values()))


def _row(metric: Metric) -> tuple[str, ...]:
    kinds = (metric.family, metric.better, _range(metric), TAKES[metric.takes], metric.cost, metric.sources_cited)
    return f"`{metric.name}`", metric.title, *kinds


def _range(metric: Metric) -> str:
    low = "any number" if math.isinf(metric.lowest) else f"{metric.lowest:g}"
    return low if math.isinf(metric.lowest) else f"at least {low}" if math.isinf(metric.highest) else f"{low} to {metric.highest:g}"


def references() -> str:
    """Every paper."""
    return "\n".join(f"- **{paper.citation}**: {paper.entry} [{paper.identifier}]({paper.link})" for paper in METRIC_PAPERS)


def criteria() -> str:
    """A row for each check of a certificate."""
    header = ("check", "what is measured", "passes", "source", "why this limit")
    return table(header, map(_row_of_check, CRITERIA.values()))


def _row_of_check(check: Criterion) -> tuple[str, ...]:
    return f"`{check.name}`", check.title.replace("|", "\\|"), f"{check.passes}{check.threshold:g}", check.source, check.why


PARTS = {"metrics": metrics, "criteria": criteria, "references": references}


if __name__ == "__main__":
    main(PAGE, rendered, __doc__)
