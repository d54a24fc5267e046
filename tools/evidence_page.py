"""Writes what docs/evidence.md has from the records of signxai.evidence: the tables of metrics and of checks, and the references.

    python tools/evidence_page.py          # write it
    python tools/evidence_page.py --check  # say whether the page is up to date

A part of the page between ``<!-- from the records: NAME -->`` and ``<!-- end -->`` is what the function NAME gives.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path

from signxai.evidence.criteria import CRITERIA, Criterion
from signxai.evidence.papers import METRIC_PAPERS
from signxai.evidence.records import METRICS, Metric

PAGE = Path(__file__).resolve().parents[1] / "docs" / "evidence.md"
PART = re.compile(r"(<!-- from the records: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
TAKES = {"decision": "model, input, map", "method": "model, input, method", "mask": "map, mask", "map": "map"}


def rendered(page: str) -> str:
    """The page with every part as the records have it now."""
    return PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", page)


def metrics() -> str:
    """A row for each metric."""
    header = ("function", "", "family", "better", "range", "takes", "costs per sample", "source")
    rows = [header, ("---",) * len(header), *map(_row, METRICS.values())]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)


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
    rows = [header, ("---",) * len(header), *map(_row_of_check, CRITERIA.values())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row_of_check(check: Criterion) -> tuple[str, ...]:
    return f"`{check.name}`", check.title.replace("|", "\\|"), f"{check.passes}{check.threshold:g}", check.source, check.why


PARTS = {"metrics": metrics, "criteria": criteria, "references": references}


def main() -> None:
    """Write the page, or check it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="change nothing; exit status 1 if the page is out of date")
    before = PAGE.read_text(encoding="utf-8")
    after = rendered(before)
    if options.parse_args().check:
        sys.exit("docs/evidence.md is out of date: run python tools/evidence_page.py" if after != before else 0)
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
