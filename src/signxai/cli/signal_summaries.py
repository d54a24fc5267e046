"""What ``signxai explain --summary`` writes: relevance for and against by lead, beat and wave, as a table and as figures."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from signxai.cli.signal_files import Excerpt
from signxai.common.errors import OptionError
from signxai.figures.summary_plots import plot_summary
from signxai.timeseries.beats import UNCLASSIFIED
from signxai.timeseries.summary import RelevanceSummary, summarize

__all__ = ["SignalSummaries", "SummarizedMap", "check_summaries"]

_COLUMNS = ("recording", "method", "explained", "beat", "time_s", "symbol", "origin", "lead", "part", "seconds", "for", "against")


def check_summaries(paths: Sequence[Path], maps: int) -> None:
    """Refuse a figure of one page for several maps.

    Raises:
        OptionError: there are several.
    """
    single = [path for path in paths if path.suffix.lower() not in (".csv", ".pdf")]
    if single and maps > 1:
        raise OptionError(
            f"--summary {single[0]}: one figure shows one map, and there are {maps}; write a .pdf, with a page for each, or a .csv"
        )


@dataclass(frozen=True)
class SummarizedMap:
    """A map of an excerpt by a method, and its summary; `explained` are the names of the classes, of a strip's beats maybe several."""

    excerpt: Excerpt
    heading: str
    method: str
    explained: str
    relevance: npt.NDArray[Any]
    summary: RelevanceSummary

    @classmethod
    def of(cls, excerpt: Excerpt, heading: str, method: str, explained: str, relevance: npt.NDArray[Any]) -> "SummarizedMap":
        """Summarize a map over the beats of its whole recording."""
        signal = excerpt.recording.signal.with_beats(excerpt.recording.beats)
        return cls(excerpt, heading, method, explained, relevance, summarize(signal, relevance, start=excerpt.start))

    def lines(self) -> Iterator[str]:
        """The sums, as they are reported."""
        yield f"{self.excerpt.name}, {self.explained} by {self.method}:"
        yield from (f"  {line}" for line in str(self.summary).splitlines())

    def rows(self) -> Iterator[tuple[object, ...]]:
        """A row of the table for each part of each beat in each lead."""
        origin = self.summary.beats.origin
        for row in self.summary.rows():
            symbol = "" if row.symbol == UNCLASSIFIED and origin != "annotated" else row.symbol
            beat = row.beat, f"{row.time_s:.4f}", symbol, origin
            sums = repr(row.for_it), repr(row.against_it)  # all digits: the table adds up to the map
            yield (self.excerpt.recording.file, self.method, self.explained, *beat, row.lead, row.part, f"{row.seconds:.4f}", *sums)

    def figure(self) -> Figure:
        """The rhythm strip, and the sums below it."""
        units = set(self.excerpt.signal.units)
        title = f"{self.heading}\n{self.method}; beats {self.summary.beats.origin}, waves found by neurokit2"
        axes = plot_summary(
            self.excerpt.signal.values, self.relevance, self.summary, units=units.pop() if len(units) == 1 else "", title=title
        )
        figure: Figure = axes[0].figure
        return figure


@dataclass(frozen=True)
class SignalSummaries:
    """The summaries of all maps that were computed."""

    maps: Sequence[SummarizedMap]

    def writers(self, paths: Sequence[Path]) -> Mapping[Path, Callable[[Path], None]]:
        """What writes each file.

        Raises:
            OptionError: a figure of one page for several maps.
        """
        check_summaries(paths, len(self.maps))
        kinds = {".csv": self._write_table, ".pdf": self._write_pages}
        return {path: kinds.get(path.suffix.lower(), self._write_figure) for path in paths}

    def _write_table(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(_COLUMNS)
            for each in self.maps:
                table.writerows(each.rows())

    def _write_pages(self, path: Path) -> None:
        with PdfPages(path) as pages:
            for each in self.maps:
                pages.savefig(each.figure())

    def _write_figure(self, path: Path) -> None:
        self.maps[0].figure().savefig(path)
