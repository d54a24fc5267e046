"""A comparison in letters: as a table on one screen, as CSV, and in LaTeX."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from signxai.common.errors import OptionError
from signxai.evidence.compared_scores import ALPHA, BASELINE, ComparedScores, ComparisonRow
from signxai.evidence.latex import comment, escaped
from signxai.evidence.records import METRICS

__all__ = ["TURNED", "about", "arrow", "csv_of", "csv_of_samples", "interval", "latex_of", "legend", "number", "text_of"]

_WIDTH = 130
"""Letters in a line of a table; more metrics go on below."""

TURNED = "SIGNS TURNED"

MARKS = {"best": "*", "level": "~", "random": "o"}


def number(value: float) -> str:
    """Three digits of a number; what is not there is a dash.

    >>> number(0.123456), number(-20.0), number(float("nan"))
    ('0.123', '-20', '–')
    """
    return f"{value + 0.0:.3g}" if np.isfinite(value) else "–"


def interval(row: ComparisonRow) -> str:
    """The ends of an interval; "" without any."""
    return f"[{number(row.low)}, {number(row.high)}]" if np.isfinite(row.low) else ""


def arrow(name: str) -> str:
    """Which way a metric is better."""
    return "↑" if METRICS[name].better == "higher" else "↓"


def about(comparison: ComparedScores) -> list[str]:
    """What was compared, and how, line by line."""
    samples = f"{comparison.samples} sample{'s' * (comparison.samples != 1)}"
    over = "samples" if comparison.groups is None else f"{comparison.blocks} groups"
    lines = [f"{len(comparison.methods)} methods on {samples}: means with 95 % bootstrap intervals over {over} ({comparison.draws} draws)"]
    if comparison.partial:
        done = int(comparison.done.sum())
        lines.insert(0, f"PARTIAL: interrupted; {done} of {comparison.done.size} pairs of a method and a metric are done")
    return [*lines, *_turned(comparison)]


def _turned(comparison: ComparedScores) -> Iterator[str]:
    """Whose maps are judged upside down."""
    if not comparison.turned:
        return
    counted = ", ".join(f"{method} ({count} of {comparison.samples} samples)" for method, count in comparison.turned.items())
    yield (
        f"{TURNED}: a logit below 0 turns the signs of maps by {counted}, which are judged upside down; start their relevance otherwise "
        f"(--option {next(iter(comparison.turned))}:relevance=...: logit instead of one_hot, or one_hot instead of logit)"
    )


def legend(comparison: ComparedScores) -> list[str]:
    """What the marks mean, those that there are."""
    rows = comparison.table()
    said = {
        f"{MARKS['best']} best mean": any(row.is_best for row in rows),
        f"{MARKS['level']} not told from the best": any(row.is_level_with_best for row in rows),
        f"{MARKS['random']} not shown to be better than {BASELINE}": any(_is_useless(row) for row in rows),
    }
    marks = [text for text, is_there in said.items() if is_there]
    is_tested = len(marks) > any(row.is_best for row in rows)
    tests = ["tests: Wilcoxon's signed-rank test at 5 %, corrected by Holm over the methods"] if is_tested else []
    lines = [*(["; ".join(marks)] if marks else []), *tests]
    cost = "time of an explanation, in gradients of the same samples"
    told = "cost: not measured, no method was timed" if comparison.costs is None else f"cost: {cost}"
    return [*lines, *_too_few(comparison), *_missing(rows), *_of_metrics(comparison), told]


def _too_few(comparison: ComparedScores) -> Iterator[str]:
    """Where no test can tell anything."""
    if comparison.least_p > ALPHA:
        what = "sample" if comparison.groups is None else "group"
        counted = f"{comparison.blocks} {what}{'s' * (comparison.blocks != 1)} and {len(comparison.methods)} methods"
        yield f"{counted}: no test can reach 5 %, whatever the scores; {MARKS['level']} and {MARKS['random']} say no more than that"


_OF_SCALE = ("infidelity", "completeness")


def _of_metrics(comparison: ComparedScores) -> Iterator[str]:
    """What is easily misread."""
    if of_scale := [name for name in comparison.metrics if name in _OF_SCALE]:
        yield f"{', '.join(of_scale)}: compare only methods whose maps are on one scale"
    if blind := [name for name in comparison.metrics if METRICS[name].family == "randomization"]:
        yield f"{', '.join(blind)}: {BASELINE} does not see the network, so that it never changes"


def _missing(rows: Sequence[ComparisonRow]) -> Iterator[str]:
    """Where scores are undefined: how many are there."""
    most = max(row.samples for row in rows)
    for row in rows:
        if row.done and row.samples < most:
            yield f"{row.metric} of {row.method}: {row.samples} of {most} samples have a score"


def marked(row: ComparisonRow) -> str:
    """The marks of a row."""
    is_said = {"best": row.is_best, "level": row.is_level_with_best, "random": _is_useless(row)}
    return "".join(mark for name, mark in MARKS.items() if is_said[name])


def _is_useless(row: ComparisonRow) -> bool:
    return row.done and row.method != BASELINE and not row.beats_random


def text_of(comparison: ComparedScores) -> str:
    """The table as it is printed."""
    lines = [part for line in about(comparison) for part in textwrap.wrap(line, _WIDTH, break_on_hyphens=False)]
    width = max(map(len, comparison.methods))
    costs = _cost_column(comparison)
    for metrics in _that_fit(comparison, _WIDTH - width - 7 * len(costs)):
        columns = [*costs, *(_column(comparison, name) for name in metrics)]
        for place, method in enumerate(("", *comparison.methods)):
            lines.append("  ".join([f"{method:{width}}", *(column[place] for column in columns)]).rstrip())
        lines.append("")
    return "\n".join([*lines[:-1], *legend(comparison)])


def _cost_column(comparison: ComparedScores) -> list[list[str]]:
    """The heading and the cost of each method; no column where they were not measured."""
    return [] if comparison.costs is None else [[f"{text:>5}" for text in ("cost", *map(number, comparison.costs))]]


def _that_fit(comparison: ComparedScores, width: int) -> list[list[str]]:
    """The metrics that stand beside each other."""
    blocks: list[list[str]] = [[]]
    left = width
    for name in comparison.metrics:
        needed = 2 + len(_column(comparison, name)[0])
        if blocks[-1] and needed > left:
            blocks.append([])
            left = width
        blocks[-1].append(name)
        left -= needed
    return blocks


def _column(comparison: ComparedScores, name: str) -> list[str]:
    """A metric's heading and its cells, all of one width."""
    rows = [comparison.row(method, name) for method in comparison.methods]
    first = [number(row.mean) if row.done else "not done" for row in rows]
    width = max(map(len, first))
    cells = [f"{mean:>{width}} {interval(row)} {marked(row)}".rstrip() for mean, row in zip(first, rows, strict=True)]
    heading = f"{name} {arrow(name)}"
    whole = max(map(len, (heading, *cells)))
    return [f"{cell:{whole}}" for cell in (heading, *cells)]


_NUMBERS = ("mean", "low", "high", "samples", "rank", "p_best", "p_random")


def csv_of(comparison: ComparedScores) -> str:
    """A line for each method by each metric; numbers in full, empty where there is none; "timed", false, where costs were not measured."""
    cost = "timed" if comparison.costs is None else "cost_in_gradients"
    lines: list[tuple[str, ...]] = [("method", "metric", "better", *_NUMBERS, cost, "partial")]
    for row in comparison.table():
        cost = "false" if comparison.costs is None else _in_full(row.cost)
        numbers = (_in_full(getattr(row, name)) for name in _NUMBERS)
        lines.append((row.method, row.metric, row.better, *numbers, cost, str(comparison.partial).lower()))
    return _csv(lines)


def csv_of_samples(comparison: ComparedScores, said: Mapping[str, Sequence[str]]) -> str:
    """A line for each sample, with its group and its score by each metric of each method.

    Args:
        comparison: the scores.
        said: what else is known of each sample (N,), by the heading of its column behind the number.

    Raises:
        OptionError: if there is not one for each sample.
    """
    for heading, texts in said.items():
        if len(texts) != comparison.samples:
            raise OptionError(f"{heading}s= has {len(texts)} entries for {comparison.samples} samples; give one for each, or leave it out")
    groups = [""] * comparison.samples if comparison.groups is None else [str(group) for group in comparison.groups]
    lines: list[tuple[str, ...]] = [("method", "metric", "sample", *said, "group", "score", "partial")]
    own = [(str(sample), *(texts[sample] for texts in said.values()), groups[sample]) for sample in range(comparison.samples)]
    for method in comparison.methods:
        for name in comparison.metrics:
            for sample, score in enumerate(comparison.scores_of(method, name)):
                lines.append((method, name, *own[sample], _in_full(score), str(comparison.partial).lower()))
    return _csv(lines)


def _in_full(value: float) -> str:
    return repr(value if isinstance(value, int) else float(value)) if np.isfinite(value) else ""


def _csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def latex_of(comparison: ComparedScores) -> str:
    """The table of the means, in LaTeX with booktabs."""
    is_timed = comparison.costs is not None
    metrics = [f"{escaped(name)} ${_ARROWS[arrow(name)]}$" for name in comparison.metrics]
    headings = " & ".join(["method", *["cost"] * is_timed, *metrics])
    rows = [_latex_row(comparison, place) for place in range(len(comparison.methods))]
    notes = [f"% {comment(line)}" for line in (*about(comparison), *legend(comparison))]
    columns = f"l{'r' * is_timed}{'l' * len(comparison.metrics)}"
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{headings} \\", r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*notes, *body]) + "\n"


_ARROWS = {"↑": r"\uparrow", "↓": r"\downarrow"}


def _latex_row(comparison: ComparedScores, place: int) -> str:
    method = comparison.methods[place]
    cells = [_latex_cell(comparison.row(method, name)) for name in comparison.metrics]
    name = rf"\texttt{{{escaped(method)}}}"
    cost = [] if comparison.costs is None else [_latex_number(comparison.costs[place])]
    return " & ".join([name, *cost, *cells]) + r" \\"


def _latex_cell(row: ComparisonRow) -> str:
    if not row.done:
        return "not done"
    mean = rf"\textbf{{{_latex_number(row.mean)}}}" if row.is_best else _latex_number(row.mean)
    ends = rf" {{\scriptsize [{_latex_number(row.low)}, {_latex_number(row.high)}]}}" if np.isfinite(row.low) else ""
    return f"{mean}{ends}{''.join(_LATEX_MARKS[mark] for mark in marked(row) if mark in _LATEX_MARKS)}"


_LATEX_MARKS = {"~": r"$^{\sim}$", "o": r"$^{\circ}$"}


def _latex_number(value: float) -> str:
    return number(value).replace("–", "--").replace("-", "$-$", 1) if value < 0 else number(value).replace("–", "--")
