"""Where relevance goes: an account of an LRP method, operation by operation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from signxai.common.errors import ModelError, OptionError
from signxai.engine.accounts import InspectingPass, Record
from signxai.engine.heads import HeadsRecord
from signxai.engine.inputs import is_finite
from signxai.engine.module_names import names_by_id
from signxai.engine.not_finite import Culprit
from signxai.methods.batch import Batch, for_batch, gradient_of, not_finite, refuse_mixed_samples
from signxai.methods.explainer import explainer_for, spec_of
from signxai.methods.lrp import MethodLRPAnalyzer
from signxai.methods.turned_signs import OTHER_START, turns_signs
from signxai.names.grammar import MethodSpec

__all__ = ["HeadRow", "Report", "Row", "inspect_model", "inspected_by"]


@dataclass(frozen=True)
class Row:
    """One operation of a forward pass, and the relevance that passed it (sums over all values and samples).

    Attributes:
        name: dotted name of the module that called the operation; "" for the model itself.
        module_type: the class of that module.
        line: ``file.py:line`` of the model's own code that called it, "" where torch's own modules did.
        operation: the operation, for example "conv2d".
        rule: the LRP rule that was applied.
        relevance_at_output: what arrived from the operations after it.
        relevance_at_input: what it handed on to the operations before it.
        absorbed_by_bias: what its bias, or another constant, took.
        absorbed_by_stabilizer: what its epsilon, or another stabilizer, took.
        absorbed_elsewhere: what was lost for any other reason: a share 0 / 0, a rule that does not share, a constant part.
        is_known: False where no rule is known and relevance followed the gradient.
    """

    name: str
    module_type: str
    line: str
    operation: str
    rule: str
    relevance_at_output: float
    relevance_at_input: float
    absorbed_by_bias: float
    absorbed_by_stabilizer: float
    absorbed_elsewhere: float
    is_known: bool

    @property
    def place(self) -> str:
        """Where the operation stands, for people: the module's name, or the line of code."""
        return _place_of(self)


def _place_of(row: Row | HeadRow) -> str:
    return row.name or row.line or row.module_type


@dataclass(frozen=True)
class HeadRow:
    """One head of an attention, and the relevance that passed it.

    Attributes:
        name, module_type, line: where the attention was executed, as for a ``Row``.
        attention: the number of the attention, from 0 in order of execution.
        head: the number of the head, from 0 in order of the channels of the values' projection.
        relevance: what arrived at the head's output, which is the values as its attention weighs them, before the projection behind; the
            sum over samples, positions and channels.
    """

    name: str
    module_type: str
    line: str
    attention: int
    head: int
    relevance: float

    @property
    def place(self) -> str:
        """Where the attention stands, for people: the module's name, or the line of code."""
        return _place_of(self)


@dataclass(frozen=True)
class Report:
    """The account of one explanation: relevance at the output = relevance at the input + what was absorbed.

    Attributes:
        method: the method's name.
        rows: one for each operation that depends on the input, in order of execution.
        relevance_at_output: what relevance started with, summed over the samples.
        relevance_at_input: the sum of the relevance map.
        positive, negative: the sums of the positive and of the negative values of the map.
        heads: one row for each head of each attention in the model whose heads are known; empty without any.
        turned: of how many samples an explained logit is below 0 and turns the signs of the map, as that of LRP that starts with 1: what
            speaks for the class is negative there.
        started_with: what relevance started with at the target: "one_hot", 1, or "logit", its logit.
    """

    method: str
    rows: tuple[Row, ...]
    relevance_at_output: float
    relevance_at_input: float
    positive: float
    negative: float
    heads: tuple[HeadRow, ...] = ()
    turned: int = 0
    started_with: str = "one_hot"

    @property
    def absorbed_by_bias(self) -> float:
        """What the biases and other constants of all operations took."""
        return sum(row.absorbed_by_bias for row in self.rows)

    @property
    def absorbed_by_stabilizer(self) -> float:
        """What the stabilizers of all operations took."""
        return sum(row.absorbed_by_stabilizer for row in self.rows)

    @property
    def absorbed_elsewhere(self) -> float:
        """What was lost for other reasons in all operations."""
        return sum(row.absorbed_elsewhere for row in self.rows)

    @property
    def unaccounted(self) -> float:
        """What the account misses: relevance at the output less that at the input less what was absorbed; rounding alone."""
        absorbed = self.absorbed_by_bias + self.absorbed_by_stabilizer + self.absorbed_elsewhere
        return self.relevance_at_output - self.relevance_at_input - absorbed

    @property
    def unknown_operations(self) -> list[str]:
        """Operations without a known rule, with their places."""
        return [f"{row.operation} in {row.place}" if row.place else row.operation for row in self.rows if not row.is_known]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dicts, lists, strings and numbers."""
        totals = (*_ABSORBED, "unaccounted", "unknown_operations")
        rows = {"rows": [asdict(row) for row in self.rows], "heads": [asdict(row) for row in self.heads]}
        return asdict(self) | rows | {name: getattr(self, name) for name in totals}

    def __str__(self) -> str:
        header = ["#", "place", "operation", "rule", "R at output", "R at input", "bias", "stabilizer", "elsewhere"]
        lines = list(_aligned([header, *(self._cells(index, row) for index, row in enumerate(self.rows))], texts=4))
        lines.insert(1, "-" * len(lines[0]))
        return "\n".join([f"{self.method}: where relevance goes, in order of execution", *lines, "", *self._summary(), *self._of_heads()])

    def _of_heads(self) -> Iterator[str]:
        """A line for each attention, with the relevance of its heads."""
        if not self.heads:
            return
        attentions: dict[int, list[HeadRow]] = {}
        for row in self.heads:
            attentions.setdefault(row.attention, []).append(row)
        most = max(map(len, attentions.values()))
        cells = [
            [rows[0].place, *(self._number(row.relevance) for row in rows), *[""] * (most - len(rows))] for rows in attentions.values()
        ]
        lines = list(_aligned([["attention", *(f"head {head}" for head in range(most))], *cells], texts=1))
        yield from ("", "Relevance that passes each head of attention", lines[0], "-" * len(lines[0]), *lines[1:])

    def _cells(self, index: int, row: Row) -> list[str]:
        values = (row.relevance_at_output, row.relevance_at_input, row.absorbed_by_bias, row.absorbed_by_stabilizer, row.absorbed_elsewhere)
        return [
            str(index),
            f"{row.name}: {row.module_type}" if row.name else row.place,
            row.operation,
            row.rule,
            *map(self._number, values),
        ]

    def _summary(self) -> Iterator[str]:
        at_output, at_input, bias, stabilizer, elsewhere, positive, negative = map(
            self._number,
            (
                *(self.relevance_at_output, self.relevance_at_input),
                *(self.absorbed_by_bias, self.absorbed_by_stabilizer, self.absorbed_elsewhere, self.positive, self.negative),
            ),
        )
        yield (
            f"Relevance {at_output} at the output = {at_input} at the input + ({bias}) absorbed by biases and constants "
            f"+ ({stabilizer}) by stabilizers + ({elsewhere}) elsewhere; unaccounted: {self.unaccounted:.0e}"
        )
        yield f"The map: positive {positive}, negative {negative}"
        if self.turned:
            yield (
                f"Signs are turned in {self.turned} map{'s' * (self.turned != 1)}, because a logit is below 0: what speaks for it is "
                f'negative; relevance="{OTHER_START[self.started_with]}" puts that right (signxai inspect: '
                f"--relevance {OTHER_START[self.started_with]})"
            )
        unknown = self.unknown_operations
        yield f"Without a known rule: {', '.join(unknown)}" if unknown else "Every operation has a rule"

    def _number(self, value: float) -> str:
        """Four digits; what is a millionth of the relevance at the output, or less, is shown as 0 (to_dict has all digits)."""
        return "0" if abs(value) <= 1e-6 * abs(self.relevance_at_output) else f"{value:.4g}"


def _aligned(rows: Sequence[Sequence[str]], texts: int) -> Iterator[str]:
    """Columns of one width, the first few to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:texts], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(row[texts:], widths[texts:], strict=True)]
        yield "  ".join(left + right)


def inspect_model(model: nn.Module, x: Any, method_name: str | MethodSpec, target_class: Any = None, **options: Any) -> Report:
    """Account for where relevance goes when ``explain`` carries out an LRP method: is the map to be trusted?

    Args:
        model, x, target_class: as for ``explain``; with several samples the report sums over them.
        method_name: an LRP method without multipliers, for example ``"lrp_epsilon_0_25_std_x"``.
        **options: as for ``explain``; those that only say what a map is returned as change nothing.

    Returns:
        A ``Report``: print it, or take it apart by ``.to_dict()``. Of attention, ``.heads`` says what passed each head.

    Raises:
        OptionError: if the method is not LRP or multiplies by the input.
        ModelError: with ``batch_size=``, if the model executes other operations for other samples.
        SignxaiError: as ``explain`` does.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    >>> report = inspect_model(model, torch.ones(1, 4), "lrp_z", 0)
    >>> [row.operation for row in report.rows]
    ['linear', 'relu', 'linear']
    >>> abs(report.unaccounted) < 1e-5
    True
    """
    analyzer = inspected_by(model, method_name, options)
    return analyzer.in_batches(partial(_report_of_all, str(spec_of(method_name)), analyzer), x, target_class)


def inspected_by(model: nn.Module, method_name: str | MethodSpec, options: Mapping[str, Any]) -> MethodLRPAnalyzer:
    """What ``inspect_model`` takes the account of; the model is not run.

    Raises:
        SignxaiError: as there, of the method and its options.
    """
    spec = spec_of(method_name)
    if spec.multipliers:
        raise OptionError(f"{str(spec)!r} multiplies the map by the input, which is no share of relevance; leave the multiplier out")
    analyzer = explainer_for(model, spec, options).analyzer
    if not isinstance(analyzer, MethodLRPAnalyzer) or analyzer.layers is not None:
        raise OptionError(f"{str(spec)!r} is not LRP down to the input, which alone has an account; use an lrp name, without at=")
    return analyzer


def _report_of_all(method: str, analyzer: MethodLRPAnalyzer, batches: list[Batch]) -> Report:
    return _joined([report for batch in batches for report in for_batch(batch, partial(_report, method, analyzer))])


def _report(method: str, analyzer: MethodLRPAnalyzer, batch: Batch) -> Report:
    """The account of a few samples."""
    mode = analyzer.mode(InspectingPass)
    mode.names = names_by_id(batch.net)
    try:
        report = _report_by(mode, method, batch)
    finally:
        mode.release()
    refuse_mixed_samples(batch, analyzer.model)
    return report


def _report_by(mode: InspectingPass, method: str, batch: Batch) -> Report:
    batch = batch.with_activation()
    leaf = batch.x.detach().requires_grad_(True)
    logits = batch.outputs(leaf.clone(), mode)
    start = batch.initial_relevance(logits)
    relevance = gradient_of(logits, leaf, start).double()
    if not is_finite(relevance):
        raise not_finite(_culprit(mode.records))
    return Report(
        method=method,
        rows=tuple(map(_row, mode.records)),
        relevance_at_output=float(start.double().sum()),
        relevance_at_input=float(relevance.sum()),
        positive=float(relevance.clamp(min=0).sum()),
        negative=float(relevance.clamp(max=0).sum()),
        heads=tuple(row for number, record in enumerate(mode.heads) for row in _head_rows(number, record)),
        turned=_below_zero(logits, start) if turns_signs(method, batch.relevance) else 0,
        started_with=batch.relevance,
    )


def _below_zero(logits: Tensor, start: Tensor) -> int:
    """The number of samples with a negative logit among those that relevance starts at."""
    negative = (logits.detach() < 0) & (start != 0)
    return int(negative.flatten(1).any(dim=1).sum())


def _culprit(records: Sequence[Record]) -> Culprit | None:
    """The first operation on the way back that handed on what is not finite."""
    for record in reversed(records):
        if math.isfinite(record.at_output) and not math.isfinite(record.at_input):
            is_users = any(function.is_users for function in record.functions)
            rule = f" under the rule {record.rule!r}" if is_users else ""
            return Culprit(f"{_name_of(record.operation)!r} in {record.place}{rule}", is_users)
    return None


def _joined(reports: Sequence[Report]) -> Report:
    """One account of all samples from those of their batches, operation by operation.

    Raises:
        ModelError: if the model executed other operations for another batch.
    """
    first = reports[0]
    if len(reports) == 1:
        return first
    operations = [[(row.name, row.line, row.operation) for row in report.rows] for report in reports]
    if any(other != operations[0] for other in operations):
        raise ModelError("the model executes other operations for other samples, which have no common account; leave batch_size= out")
    rows = [
        _sum_of(parts, ("relevance_at_output", "relevance_at_input", *_ABSORBED)) for parts in zip(*(r.rows for r in reports), strict=True)
    ]
    heads = [_sum_of(parts, ("relevance",)) for parts in zip(*(r.heads for r in reports), strict=True)]
    whole = _sum_of(reports, ("relevance_at_output", "relevance_at_input", "positive", "negative", "turned"))
    return replace(whole, rows=tuple(rows), heads=tuple(heads))


_ABSORBED = ("absorbed_by_bias", "absorbed_by_stabilizer", "absorbed_elsewhere")

Summable = TypeVar("Summable", Row, HeadRow, Report)


def _sum_of(parts: Sequence[Summable], fields: Sequence[str]) -> Summable:
    """The first one with these fields summed over all."""
    return replace(parts[0], **{name: sum(getattr(part, name) for part in parts) for name in fields})


def _row(record: Record) -> Row:
    bias, stabilizer, elsewhere = record.absorbed
    return Row(
        name=record.place.module,
        module_type=record.place.module_type,
        line=record.place.line,
        operation=_name_of(record.operation),
        rule=record.rule,
        relevance_at_output=record.at_output,
        relevance_at_input=record.at_input,
        absorbed_by_bias=bias,
        absorbed_by_stabilizer=stabilizer,
        absorbed_elsewhere=elsewhere,
        is_known=record.is_known,
    )


def _head_rows(attention: int, record: HeadsRecord) -> Iterator[HeadRow]:
    place = record.place
    for head, relevance in enumerate(record.relevance):
        yield HeadRow(place.module, place.module_type, place.line, attention, head, relevance)


def _name_of(operation: Any) -> str:
    """The operation as people write it: ``add`` for the operator ``+`` and its like."""
    name = str(getattr(operation, "__name__", operation))
    if name == "__get__":
        name = str(getattr(operation.__self__, "__name__", name))
    return _OPERATORS.get(name, name.strip("_"))


_OPERATORS = {f"__{kind}{name}__": name for kind in "ir" for name in ("add", "sub", "mul", "truediv", "matmul", "pow")}
