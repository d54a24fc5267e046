"""What ``signxai report`` does: pages of what a store of relevance maps holds."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from signxai.datasets.store import Store
from signxai.reports.writing import write_report

__all__ = ["ReportRequest", "report_data_set"]


@dataclass(frozen=True)
class ReportRequest:
    """What the user asked for: see ``signxai report --help``."""

    store: Path
    output: Path
    title: str
    methods: tuple[str, ...]


def report_data_set(request: ReportRequest, say: Callable[[str], None]) -> None:
    """Do what ``signxai report`` was asked for.

    Args:
        request: what to do.
        say: takes each line of the report.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: the report cannot be written.
    """
    store = Store(request.store)
    page = write_report(store, request.output, title=request.title, methods=request.methods, progress=sys.stderr.isatty())
    size = sum(file.stat().st_size for file in page.parent.rglob("*") if file.is_file())
    say(f"{len(store.rows())} of {len(store)} entries, {size / 1e6:.3g} MB; open {page}")
