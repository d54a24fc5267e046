"""A comparison of methods as a user has it: printed, written as a page, as CSV and in LaTeX, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from signxai.common.errors import OptionError
from signxai.evidence.compared_scores import ComparedScores
from signxai.evidence.comparison_text import about, csv_of, csv_of_samples, latex_of, text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Comparison"]


@dataclass(frozen=True, eq=False)
class Comparison(ComparedScores):
    """What ``compare_methods`` gives; ``print`` shows it on one screen. See ``ComparedScores`` for what it holds."""

    def __str__(self) -> str:
        return text_of(self)

    def to_csv(
        self, path: str | Path | None = None, *, per_sample: bool = False, names: Sequence[str] = (), paths: Sequence[str] = ()
    ) -> str:
        """The table as CSV, a line for each method by each metric.

        Args:
            path: of a file that is written as well; None: none is.
            per_sample: a line for each sample instead, with its number and its score.
            names, paths: with ``per_sample``, what each sample is called, and the file that it is of, (N,) each: columns "name" and "path".
                Empty: no such column.

        Raises:
            OptionError: if names or paths are not one for each sample, or without ``per_sample``.
        """
        said = {heading: texts for heading, texts in {"name": names, "path": paths}.items() if len(texts)}
        if said and not per_sample:
            raise OptionError(f"{next(iter(said))}s= are of samples, and the table has a line for each method; say per_sample=True, too")
        return _kept(csv_of_samples(self, said) if per_sample else csv_of(self), path)

    def to_latex(self, path: str | Path | None = None) -> str:
        r"""The table in LaTeX, for the package booktabs: a row for each method, the best in bold, its intervals beside the means.

        Args:
            path: of a file that is written as well; None: none is.
        """
        return _kept(latex_of(self), path)

    def to_html(self, path: str | Path | None = None, *, title: str = "") -> str:
        """One page with the table and the figures, light or dark as the browser is, that loads nothing.

        Args:
            path: of a file that is written as well; None: none is.
            title: of the page.
        """
        from signxai.evidence.comparison_page import page_of

        return _kept(page_of(self, title or "Methods compared"), path)

    def plot(self) -> Figure:
        """All figures on one page: the curves, the agreement of the maps, and the mean ranks by each metric."""
        from signxai.evidence.comparison_panels import curve_panels, rank_panels
        from signxai.figures.comparison_plots import comparison_figure

        note = about(self)[0] if self.partial else ""
        return comparison_figure(curve_panels(self), self.methods, self.agreement, rank_panels(self), note=note)

    def plot_curves(self, metric_name: str, *, axes: Axes | None = None) -> Figure:
        """The mean curves of each method, with bands of 95 % bootstrap intervals.

        Args:
            metric_name: one that is made of curves.
            axes: where it is drawn; None: a new figure.

        Raises:
            OptionError: if the metric has no curves.
        """
        from signxai.evidence.comparison_panels import curve_panel
        from signxai.figures.comparison_plots import curves_figure

        return curves_figure(curve_panel(self, metric_name), axes=axes)

    def plot_agreement(self, *, axes: Axes | None = None) -> Figure:
        """A matrix: how alike the maps of each two methods are."""
        from signxai.figures.comparison_plots import agreement_figure

        return agreement_figure(self.methods, self.agreement, axes=axes)

    def plot_ranks(self, metric_name: str, *, axes: Axes | None = None) -> Figure:
        """A critical-difference diagram (Demsar 2006, figure 1): mean ranks; a bar joins methods that cannot be told apart.

        Args:
            metric_name: by which they are ranked.
            axes: where it is drawn; None: a new figure.
        """
        from signxai.evidence.comparison_panels import rank_panel
        from signxai.figures.comparison_plots import ranks_figure

        return ranks_figure(rank_panel(self, metric_name), axes=axes)


def _kept(text: str, path: str | Path | None) -> str:
    if path is not None:
        from signxai.files import write_atomically

        write_atomically({Path(path): lambda part: _write(part, text)})
    return text


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
