"""What ``signxai explain --summary`` writes: relevance for and against by lead, beat and wave, as a table and as figures."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from signxai.cli.signal_files import Excerpt
from signxai.common.errors import OptionError
from signxai.figures.paging import page_writers
from signxai.figures.summary_plots import lead_of_strip, plot_summary
from signxai.methods.sign_meanings import numbers_of
from signxai.methods.sign_words import is_share, sides_of
from signxai.timeseries.beats import UNCLASSIFIED
from signxai.timeseries.signals import Signal
from signxai.timeseries.summary import RelevanceSummary, summarize

__all__ = ["SignalSummaries", "SummarizedMap", "check_summaries"]

_COLUMNS = (
    "recording",
    "method",
    "explained",
    "beat",
    "time_s",
    "symbol",
    "origin",
    "lead",
    "part",
    "seconds",
    "for",
    "against",
    "signs",
    "numbers",
)

TURNED, PARTLY_TURNED = "turned", "turned in part"
"""What a table says of the signs of a map; "": they are as they should be."""

_OF_SIGNS = {
    "": "",
    TURNED: "; signs turned: what is listed for speaks against, and the other way round",
    PARTLY_TURNED: "; signs turned in part: what is listed for speaks against there, and the other way round",
}


def check_summaries(excerpts: Sequence[Excerpt], lead: str | None) -> None:
    """Refuse, before anything is explained, excerpts of which no map can be summed up.

    Raises:
        InputError: as ``summarize`` does: no lead of voltage, no beat near, a gap.
        OptionError: there is no such lead to be drawn.
    """
    for excerpt in excerpts:
        if lead is not None and lead not in (names := excerpt.signal.lead_names):
            raise OptionError(f"--summary-lead {lead}: {excerpt.recording.file} has the leads {', '.join(names)}; name one of them")
        summarize(_with_beats(excerpt), np.zeros(excerpt.values.shape), start=excerpt.start)


def _with_beats(excerpt: Excerpt) -> Signal:
    """The whole recording of an excerpt."""
    return excerpt.recording.signal.with_beats(excerpt.recording.beats)


@dataclass(frozen=True)
class SummarizedMap:
    """A map of an excerpt by a method, and its summary.

    Attributes:
        excerpt: of a recording.
        heading: above its figure.
        method: by name.
        explained: the names of the classes, of a strip's beats maybe several.
        relevance: the map.
        summary: of it.
        lead: that is drawn; None: as ``plot_summary`` chooses.
        signs: whether they are turned: "", `TURNED` or `PARTLY_TURNED`.
    """

    excerpt: Excerpt
    heading: str
    method: str
    explained: str
    relevance: npt.NDArray[Any]
    summary: RelevanceSummary
    lead: str | None = None
    signs: str = ""

    @classmethod
    def of(
        cls,
        excerpt: Excerpt,
        heading: str,
        method: str,
        explained: str,
        relevance: npt.NDArray[Any],
        lead: str | None = None,
        signs: str = "",
    ) -> "SummarizedMap":
        """Summarize a map over the beats of its whole recording."""
        summary = summarize(_with_beats(excerpt), relevance, start=excerpt.start)
        return cls(excerpt, heading, method, explained, relevance, summary, lead, signs)

    def lines(self) -> Iterator[str]:
        """The sums, as they are reported."""
        yield f"{self.excerpt.name}, {self.explained} by {self.method}{self._said()}:"
        yield from (f"  {line}" for line in str(self.summary).splitlines())

    def _said(self) -> str:
        """What the lists of for and against are of, where signs are turned or the numbers are no shares of a score."""
        if is_share(self.method):
            return _OF_SIGNS[self.signs]
        below, above = sides_of(self.method).ends(self.signs == TURNED)
        signs = f"; signs {self.signs}" if self.signs else ""
        return f"{signs}; against: {below}, for: {above}{', the other way round there' * (self.signs == PARTLY_TURNED)}"

    def rows(self) -> Iterator[tuple[object, ...]]:
        """A row of the table for each part of each beat in each lead."""
        origin = self.summary.beats.origin
        for row in self.summary.rows():
            symbol = "" if row.symbol == UNCLASSIFIED and origin != "annotated" else row.symbol
            beat = row.beat, f"{row.time_s:.4f}", symbol, origin
            sums = repr(row.for_it), repr(row.against_it)  # all digits: the table adds up to the map
            yield (
                self.excerpt.recording.file,
                self.method,
                self.explained,
                *beat,
                row.lead,
                row.part,
                f"{row.seconds:.4f}",
                *sums,
                self.signs,
                "" if (numbers := numbers_of(self.method)) is None else numbers.value,
            )

    def figure(self) -> Figure:
        """The rhythm strip, and the sums below it."""
        title = f"{self.heading}\n{self.method}; beats {self.summary.beats.origin}, waves found by neurokit2"
        names = self.excerpt.signal.lead_names
        of_strip = self.excerpt.signal.units[lead_of_strip(self.lead, names)]
        is_turned, values = self.signs == TURNED, self.excerpt.signal.values
        said: dict[str, Any] = {"title": title, "is_turned": is_turned, "method": self.method}
        axes = plot_summary(values, self.relevance, self.summary, lead=self.lead, units=of_strip, **said)
        figure: Figure = axes[0].figure
        return figure


@dataclass(frozen=True)
class SignalSummaries:
    """The summaries of all maps that were computed."""

    maps: Sequence[SummarizedMap]

    def writers(self, paths: Sequence[Path]) -> Mapping[Path, Callable[[Path], None]]:
        """What writes each file: one table of all maps, and figures with a page for each."""
        writers: dict[Path, Callable[[Path], None]] = {}
        for path in paths:
            if path.suffix.lower() == ".csv":
                writers[path] = self._write_table
            else:
                writers |= page_writers(_page, self.maps, path, per_page=1)
        return writers

    def _write_table(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(_COLUMNS)
            for each in self.maps:
                table.writerows(each.rows())


def _page(maps: Sequence[SummarizedMap]) -> Figure:
    return maps[0].figure()
