"""A comparison as one page of HTML, light or dark, that loads nothing: the table, its figures as SVG, and what the metrics are."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np
from matplotlib.figure import Figure

from signxai.evidence.compared_scores import ComparedScores, ComparisonRow
from signxai.evidence.comparison_panels import curve_panels, rank_panels
from signxai.evidence.comparison_text import TURNED, about, arrow, interval, legend, marked, number
from signxai.evidence.records import METRICS, Metric
from signxai.figures.comparison_plots import agreement_figure, curves_figure, ranks_figure
from signxai.figures.inline_svg import inline_svg

__all__ = ["page_of"]


def page_of(comparison: ComparedScores, title: str) -> str:
    """The page, of one string."""
    name = escape(title)
    kinds = [' class="warning"' if line.startswith(("PARTIAL", TURNED)) else "" for line in about(comparison)]
    notes = "".join(f"<p{kind}>{escape(line)}</p>\n" for kind, line in zip(kinds, about(comparison), strict=True))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{name}</title>\n<style>{_STYLE}</style></head>\n<body><main>\n<h1>{name}</h1>\n{notes}"
        f"{_table(comparison)}\n{_figures(comparison)}\n{_metrics(comparison)}\n{_settings(comparison)}\n</main></body></html>\n"
    )


def _table(comparison: ComparedScores) -> str:
    headings = "".join(f'<th scope="col">{escape(name)} {arrow(name)}</th>' for name in comparison.metrics)
    rows = "\n".join(_row(comparison, place) for place in range(len(comparison.methods)))
    shade = "the greener a cell, the better its rank among the methods; a cell's tooltip has its p-values"
    notes = "".join(f"<p class=note>{escape(line)}</p>\n" for line in [*legend(comparison), shade])
    cost = "" if comparison.costs is None else '<th scope="col">cost</th>'
    head = f'<thead><tr><th scope="col">method</th>{cost}{headings}</tr></thead>'
    return f'<div class="wide"><table>{head}\n<tbody>{rows}</tbody></table></div>\n{notes}'


def _row(comparison: ComparedScores, place: int) -> str:
    method = comparison.methods[place]
    cells = "".join(_cell(comparison.row(method, name), len(comparison.methods)) for name in comparison.metrics)
    cost = "" if comparison.costs is None else f"<td>{number(comparison.costs[place])}</td>"
    return f'<tr><th scope="row"><code>{escape(method)}</code></th>{cost}{cells}</tr>'


def _cell(row: ComparisonRow, methods: int) -> str:
    """The mean, its interval and its marks; the better its rank, the stronger its ground."""
    if not row.done:
        return '<td class="quiet">not done</td>'
    strength = (methods - row.rank) / max(methods - 1, 1) if np.isfinite(row.rank) else 0.0
    mean = f"<b>{number(row.mean)}</b>" if row.is_best else number(row.mean)
    told = f"rank {number(row.rank)} of {methods}; {row.samples} samples; against the best p = {number(row.p_best)}; "
    told += f"against random_uniform p = {number(row.p_random)}"
    return (
        f'<td style="--strength:{strength:.2f}" title="{escape(told)}">{mean} {marked(row)}'
        f'<br><span class="quiet">{interval(row)}</span></td>'
    )


def _figures(comparison: ComparedScores) -> str:
    return "\n".join(f'<figure aria-label="{escape(label)}">{inline_svg(figure, label)}</figure>' for label, figure in _drawn(comparison))


def _drawn(comparison: ComparedScores) -> Iterator[tuple[str, Figure]]:
    for curves in curve_panels(comparison):
        yield curves.title, curves_figure(curves)
    yield "agreement of the maps", agreement_figure(comparison.methods, comparison.agreement)
    for ranks in rank_panels(comparison):
        yield ranks.title, ranks_figure(ranks)


def _metrics(comparison: ComparedScores) -> str:
    """What each metric is, and where it comes from; and Friedman's test."""
    rows = "\n".join(_metric_row(comparison, name) for name in comparison.metrics)
    head = "".join(f'<th scope="col">{name}</th>' for name in ("metric", "family", "better", "range", "source", "Friedman's test"))
    return f'<h2>Metrics</h2>\n<div class="wide"><table class="words"><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _metric_row(comparison: ComparedScores, name: str) -> str:
    record, p = METRICS[name], comparison.ranks(name).p_friedman
    test = f"p = {number(p)}" if np.isfinite(p) else "–"
    cells = "".join(f"<td>{escape(text)}</td>" for text in (record.family, record.better, _range(record), record.sources_cited, test))
    return f'<tr><th scope="row"><code>{name}</code> {escape(record.title)}</th>{cells}</tr>'


def _range(record: Metric) -> str:
    low, high = (number(end) if np.isfinite(end) else "" for end in (record.lowest, record.highest))
    return f"{low} to {high}" if low and high else f"at least {low}" if low else "any number"


def _settings(comparison: ComparedScores) -> str:
    """How it was made."""
    if not comparison.settings:
        return ""
    rows = "\n".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in comparison.settings.items())
    return f'<h2>How it was made</h2>\n<div class="wide"><table class="words"><tbody>{rows}</tbody></table></div>'


_STYLE = """
:root { color-scheme: light dark;
  --ink: #1b1b1b; --paper: #ffffff; --line: #d5d5d9; --quiet: #5c5c5c; --good: 23, 103, 47; --bad: #a3201f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ededed; --paper: #16181c; --line: #3c4048; --quiet: #aaaaaa; --good: 86, 190, 120; --bad: #ff9a92; }
}
html { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
body { margin: 0; }
main { padding: 1em; max-width: 84em; margin: auto; }
h1 { font-size: 1.35em; margin: 0 0 .5em; }
h2 { font-size: 1.1em; margin: 1.4em 0 .4em; }
p { margin: .3em 0; }
.note { color: var(--quiet); font-size: .87em; }
.warning { border-left: 4px solid var(--bad); padding: .5em .8em; font-weight: 600; }
.wide { overflow-x: auto; margin: .8em 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3em .7em; border-bottom: 1px solid var(--line); font-weight: normal; white-space: nowrap; }
thead th { color: var(--quiet); font-size: .87em; vertical-align: bottom; }
td[style] { background: rgba(var(--good), calc(var(--strength) * .28)); }
.words td { white-space: normal; }
.quiet { color: var(--quiet); font-size: .87em; }
code { font: .93em ui-monospace, monospace; }
figure { margin: 1.2em 0; overflow-x: auto; }
svg { max-width: none; height: auto; }
@media print {
  :root { color-scheme: light; --ink: #1b1b1b; --paper: #ffffff; --line: #d5d5d9; --quiet: #5c5c5c; --good: 23, 103, 47; --bad: #a3201f; }
  .wide, figure { overflow: visible; }
  figure { break-inside: avoid; }
  svg { max-width: 100%; }
  table { font-size: .8em; }
  th, td { white-space: normal; padding: .25em .4em; }
  td[style] { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
