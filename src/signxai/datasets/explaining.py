"""Explains one batch of a data set: what a run computes, wherever it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from signxai.common.errors import ForwardError, InputError, MethodNameError, ModelError, OptionError, SignxaiError, TargetError
from signxai.datasets.classes import class_number
from signxai.datasets.entry_options import options_at, options_by_entry
from signxai.datasets.parts import ONE, as_given, parts_of, place_of, stacked
from signxai.datasets.plan import Plan
from signxai.datasets.probe import Probe
from signxai.datasets.reading import ReadBatch, lost_reader, reason_of
from signxai.datasets.sources import Class, Entries
from signxai.datasets.store_writer import ArrayKind, BatchResult, Failure
from signxai.datasets.usual_entries import Example, InputKind
from signxai.engine.prediction import predict
from signxai.methods.batch import SharedResults
from signxai.methods.explainer import explain_together, explainers_for
from signxai.names.grammar import parse_method

__all__ = ["BatchExplainer"]

Array = npt.NDArray[Any]
Parts = Mapping[str, Array]
Maps = Mapping[str, Mapping[str, Array]]
"""Relevance by method, and by the name of the input."""


@dataclass(frozen=True, eq=False)
class BatchExplainer:
    """What turns batches into rows of a store.

    Attributes:
        model: on its device, in evaluation mode.
        plan: what is computed.
        entries: of the data set.
        class_names: by class; empty: classes are numbered.
        example: the entry that the others must be like.
        options: of the plan, see ``options_by_entry``.
        explained: for each method the inputs of which it has maps.
        probe: what the model says of the example; None: it has not been asked.
    """

    model: nn.Module
    plan: Plan
    entries: Entries
    class_names: tuple[str, ...]
    example: Example
    options: Mapping[str, Any]
    explained: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    probe: Probe | None = None

    @classmethod
    def of(cls, model: nn.Module, plan: Plan, entries: Entries, class_names: Sequence[str], example: Example) -> BatchExplainer:
        """One for entries like this example, of which the model has not been asked yet: see ``asked``.

        Args:
            model, plan, entries, class_names, example: as the attributes.

        Raises:
            OptionError: an option does not fit the entries.
        """
        shapes = {name: kind.shape for name, kind in example.kinds.items()}
        options = options_by_entry(plan.options, len(entries.keys), shapes, plan.batch_size)
        return cls(model, plan, entries, tuple(class_names), example, options)

    def probed(self, example: Example) -> Probe:
        """What the model says of an entry.

        Raises:
            SignxaiError: the model does not take it.
        """
        logits = self._predicted([example.index], stacked([example.parts]))
        if logits.ndim != 2:
            raise ModelError(f"the model's output has the shape {tuple(logits.shape)}; a data set's must be (N, classes), by output=")
        return Probe.of(example.index, logits[0])

    def asked(self) -> BatchExplainer:
        """One that knows what the model says of the example, and which maps there are of it.

        Raises:
            SignxaiError: the model does not take it, or a target, a label or an option does not fit the model.
        """
        try:
            explainer = replace(self, probe=self.probed(self.example))
        except ForwardError as error:
            raise ForwardError(
                f"the network does not take the entry {self.example.key!r}, which others are like: {reason_of(error)}"
            ) from error
        explainer._check_names()
        explainer._check_targets()
        targets = [self.plan.target] if isinstance(self.plan.target, int) else None
        maps, _ = explainer._explained([self.example.index], stacked([self.example.parts]), targets)
        return replace(explainer, explained={method: tuple(parts) for method, parts in maps.items()})

    @cached_property
    def inputs(self) -> Mapping[str, InputKind]:
        """What every entry consists of, by name."""
        return self.example.kinds

    @property
    def classes(self) -> int:
        """How many the model has; 0 before it is asked."""
        return 0 if self.probe is None else self.probe.classes

    def on(self, device: str) -> BatchExplainer:
        """The same with the model on another device."""
        return replace(self, model=self.model.to(device))

    def arrays(self) -> dict[str, ArrayKind]:
        """The arrays that a store holds of every entry."""
        nan = float("nan")
        kinds = {"logits": ArrayKind((self.classes,), "float32", nan), "target": ArrayKind((), "int64", -1)}
        if self.plan.keeps_inputs:
            kinds |= {place_of("input", name): self._kind_of_input(kind) for name, kind in self.inputs.items()}
            kinds |= {"rounding/input": ArrayKind((), "float32", nan)} if self._rounds_inputs else {}
        for method, names in self.explained.items():
            relevance = {name: ArrayKind(self.inputs[name].shape, self.plan.dtype, nan) for name in names}
            kinds |= {place_of(f"relevance/{method}", name): kind for name, kind in relevance.items()}
            kinds[f"sum/{method}"] = ArrayKind((), "float64", nan)
            kinds |= {f"sum_by_input/{method}/{name}": ArrayKind((), "float64", nan) for name in names if name}
            if self.plan.dtype == "float16":
                kinds[f"rounding/{method}"] = ArrayKind((), "float32", nan)
            if _is_lrp(method):
                kinds[f"absorbed/{method}"] = ArrayKind((), "float64", nan)
        return kinds

    def _kind_of_input(self, kind: InputKind) -> ArrayKind:
        is_float = kind.dtype.kind == "f"
        return ArrayKind(kind.shape, self.plan.dtype if is_float else str(kind.dtype), float("nan") if is_float else 0)

    def result(self, batch: ReadBatch) -> BatchResult:
        """The rows of a batch; of entries that fail, fill values."""
        indices, x, failures = self._fit(batch)
        found, failed = self._computed(indices, x)
        failures = sorted([*failures, *failed], key=lambda failure: failure.index)
        return BatchResult(batch.number, self._in_rows(batch.rows, found), failures)

    def _in_rows(self, rows: range, found: Sequence[tuple[list[int], Parts]]) -> dict[str, Array]:
        """The arrays of a batch, with fill values in the rows of which nothing was found."""
        kinds = self.arrays()
        if len(found) == 1 and len(found[0][0]) == len(rows):
            return {name: np.asarray(found[0][1][name], kind.dtype) for name, kind in kinds.items()}
        arrays = {name: np.full((len(rows), *kind.shape), kind.fill, kind.dtype) for name, kind in kinds.items()}
        for indices, columns in found:
            for name, values in columns.items():
                arrays[name][np.array(indices) - rows.start] = values
        return arrays

    def _fit(self, batch: ReadBatch) -> tuple[list[int], Array | Parts, list[Failure]]:
        """The entries that are like the others, by their indices and together, and the failures: of reading, and those that are not."""
        if batch.together is not None and not self._unfit({name: part[0] for name, part in batch.together.items()}):
            return batch.indices, as_given(batch.together), []
        failures, indices, samples = list(batch.failures), [], []
        for index, sample in zip(batch.indices, batch.entries(), strict=True):
            reason = self._unfit(sample)
            if reason:
                failures.append(Failure(index, self.entries.keys[index], reason))
            else:
                indices.append(index)
                samples.append(sample)
        return indices, stacked(samples) if samples else {}, failures

    def _unfit(self, sample: Parts) -> str:
        """Why a sample is not like the others; empty if it is."""
        if sample.keys() != self.inputs.keys():
            return f"has {_listed(sample)}, where {self._others()} have {_listed(self.inputs)}"
        for name, part in sample.items():
            kind, which = self.inputs[name], f"input {name!r} is " if name else ""
            if part.shape != kind.shape:
                return f"{which}of the shape {part.shape}, where {self._others()} have {kind.shape}"
            if not _holds(kind.dtype, part.dtype):
                return f"{which}of {part.dtype}, where {self._others()} are of {kind.dtype}"
        return ""

    def _others(self) -> str:
        """How the entries are spoken of that another one is not like."""
        return f"others, such as {self.example.key},"

    def _computed(self, indices: Sequence[int], x: Array | Parts) -> tuple[list[tuple[list[int], Parts]], list[Failure]]:
        """The arrays of entries, with their indices, and those that could not be explained, which is tried one by one."""
        if not indices:
            return [], []
        try:
            return [(list(indices), self._columns(indices, x))], []
        except (MethodNameError, OptionError):
            raise
        except SignxaiError as error:
            if (lost := lost_reader(error)) is not None:
                raise lost from error
            if len(indices) == 1:
                return [], [Failure(indices[0], self.entries.keys[indices[0]], reason_of(error))]
        alone = [as_given({name: part[place : place + 1] for name, part in parts_of(x).items()}) for place in range(len(indices))]
        parts = [self._computed([index], entry) for index, entry in zip(indices, alone, strict=True)]
        return [one for found, _ in parts for one in found], [one for _, failed in parts for one in failed]

    def _columns(self, indices: Sequence[int], x: Array | Parts) -> dict[str, Array]:
        """What is stored of entries, by array."""
        maps, logits = self._explained(indices, x, self._targets(indices))
        targets = self._targets(indices) or logits.argmax(1).tolist()
        columns = {"logits": np.asarray(logits.float()), "target": np.array(targets)}
        starts = self._starts(logits, targets)
        if self.plan.keeps_inputs:
            columns |= self._of_inputs(parts_of(x))
        for method, parts in maps.items():
            columns |= self._of_method(method, parts, starts)
        return columns

    def _starts(self, logits: Tensor, targets: Sequence[int]) -> Array:
        """What the relevance of each entry (n,) is, before any is carried back."""
        if self.plan.options.get("relevance") != "logit":
            return np.ones(len(targets))
        return np.asarray(logits[torch.arange(len(targets)), torch.tensor(targets)].double())

    @property
    def _rounds_inputs(self) -> bool:
        """Whether inputs are stored in less than they may be of."""
        return self.plan.dtype == "float16" and any(kind.dtype.kind == "f" for kind in self.inputs.values())

    def _of_inputs(self, parts: Parts) -> dict[str, Array]:
        """What is stored of inputs."""
        stored = {name: self._stored_input(name, part) for name, part in parts.items()}
        columns = {place_of("input", name): values for name, values in stored.items()}
        if self._rounds_inputs:
            columns["rounding/input"] = _largest_rounding({name: part for name, part in parts.items() if part.dtype.kind == "f"}, stored)
        return columns

    def _stored_input(self, name: str, values: Array) -> Array:
        return self._stored(f"the input {name}".rstrip(), values) if values.dtype.kind == "f" else values

    def _stored(self, name: str, values: Array) -> Array:
        """Values in the type of the store.

        Raises:
            InputError: they are more than it holds.
        """
        with np.errstate(over="ignore"):
            stored: Array = values.astype(self.plan.dtype, copy=False)
        if not np.isfinite(stored).all():
            raise InputError(f"{name}: values of up to {np.abs(values).max():.3g} are more than {self.plan.dtype} holds; store float32")
        return stored

    def _of_method(self, method: str, parts: Parts, starts: Array) -> dict[str, Array]:
        """What is stored of a method's maps."""
        if self.explained[method] != tuple(parts):
            raise ModelError(
                f"{method}: has maps of {_listed(parts)}, where those of {self._others()} are of {_listed(self.explained[method])}"
            )
        stored = {name: self._stored(" ".join([method, name]).rstrip(), relevance) for name, relevance in parts.items()}
        sums = {name: relevance.reshape(len(relevance), -1).sum(1, dtype=np.float64) for name, relevance in parts.items()}
        total = np.sum(list(sums.values()), axis=0)
        columns = {place_of(f"relevance/{method}", name): values for name, values in stored.items()} | {f"sum/{method}": total}
        columns |= {f"sum_by_input/{method}/{name}": values for name, values in sums.items() if name}
        if self.plan.dtype == "float16":
            columns[f"rounding/{method}"] = _largest_rounding(parts, stored)
        if _is_lrp(method):
            columns[f"absorbed/{method}"] = starts - total
        return columns

    def _explained(self, indices: Sequence[int], x: Array | Parts, targets: Sequence[int] | None) -> tuple[Maps, Tensor]:
        """Maps of entries by method and input, and the logits: those that a method has seen on the way, if one has."""
        plan, options = self.plan, options_at(self.options, indices)
        explainers = explainers_for(self.model, plan.methods, {"seed": plan.seed, "output": plan.output, **options})
        shared, given = SharedResults(len(explainers)), None if targets is None else list(targets)
        maps = explain_together(explainers, x, given, shared)
        logits = shared.logits(len(next(iter(parts_of(x).values()))))
        by_input = {method: {name: np.asarray(part) for name, part in parts_of(relevance).items()} for method, relevance in maps.items()}
        return by_input, (self._predicted(indices, x) if logits is None else logits).cpu()

    def _predicted(self, indices: Sequence[int], x: Array | Parts) -> Tensor:
        given = {name: self.options[name] for name in ("stochastic", "forward_kwargs") if name in self.options}
        options = options_at(given, indices)
        return predict(self.model, x, seed=self.plan.seed, output=self.plan.output, **options).cpu()

    def _targets(self, indices: Sequence[int]) -> list[int] | None:
        """The class of which each entry is explained; None: the one that is predicted."""
        return None if self.plan.target == "predicted" else [self._target(index) for index in indices]

    def _target(self, index: int) -> int:
        """The class of which an entry is explained, if that is not the one that is predicted."""
        if isinstance(self.plan.target, int):
            return self.plan.target
        classes = self.entries.labels if self.plan.target == "label" else self.entries.targets
        value = None if classes is None else classes[index]
        if value is None:
            raise TargetError(f"{self.entries.keys[index]} has no {self.plan.target}, which is to be explained")
        return class_number(value, self.class_names, self.classes)

    def _check_names(self) -> None:
        """Let names that are not one for each class, each its own, be an error; a single output may have those of both sides of its
        decision.

        Raises:
            OptionError: they are.
        """
        count = len(self.class_names)
        if twice := [name for name, times in Counter(self.class_names).items() if times > 1]:
            numbers = " and ".join(str(number) for number, name in enumerate(self.class_names) if name == twice[0])
            raise OptionError(f"class_names: {twice[0]!r} is the name of the classes {numbers}; give each a name of its own")
        if count and count != self.classes and (self.classes, count) != (1, 2):
            raise OptionError(f"class_names: {count} names, where the model has {self.classes} classes; give one for each, or none")

    def _check_targets(self) -> None:
        """Let a class that the model does not have be an error before anything is computed.

        Raises:
            TargetError: there is one, or none is given where one is asked for.
        """
        if isinstance(self.plan.target, int):
            class_number(self.plan.target, self.class_names, self.classes)
        elif self.plan.target != "predicted":
            classes = self.entries.labels if self.plan.target == "label" else self.entries.targets
            if classes is None:
                raise TargetError(f"the data set has no {self.plan.target}s; explain the class that is predicted, or a number")
            for value, place in {value: place for place, value in reversed([*enumerate(classes)]) if value is not None}.items():
                self._check_class(value, place)

    def _check_class(self, value: Class, place: int) -> None:
        """Let an entry's class that the model does not have be an error that names the entry."""
        try:
            class_number(value, self.class_names, self.classes)
        except TargetError as error:
            what = self.plan.target
            raise TargetError(
                f"entry {place} (counted from 0), {self.entries.keys[place]}: its {what}, which is to be explained: {error}; "
                f"mend the {what}, leave the entry out, or explain the class that is predicted instead"
            ) from error


def _holds(kept: np.dtype[Any], given: np.dtype[Any]) -> bool:
    """Whether values of one type stand in a store of another as what they are, floats but for rounding.

    >>> _holds(np.dtype("uint8"), np.dtype("uint16")), _holds(np.dtype("uint16"), np.dtype("uint8"))
    (False, True)
    """
    return given.kind == kept.kind and (given.kind == "f" or np.can_cast(given, kept))


def _is_lrp(method: str) -> bool:
    """Whether a method carries all relevance to the input but for what is absorbed on the way, which is what is missing there then."""
    spec = parse_method(method)
    return spec.form.rule is not None and spec.method != "lrpsign" and not spec.multipliers


def _largest_rounding(parts: Parts, stored: Parts) -> Array:
    """The largest error of the parts of entries (n,), see ``_rounding``."""
    return np.asarray(np.max([_rounding(part, stored[name]) for name, part in parts.items()], axis=0))


def _rounding(relevance: Array, stored: Array) -> Array:
    """The largest error of stored values (n, ...) as a share of the largest value of each (n,)."""
    flat, short = relevance.reshape(len(relevance), -1), stored.astype(np.float64).reshape(len(relevance), -1)
    largest = np.abs(flat).max(1)
    return np.asarray(np.abs(flat - short).max(1) / np.where(largest > 0, largest, 1))


def _listed(names: Iterable[str]) -> str:
    """Inputs as they are spoken of."""
    return ", ".join(map(repr, names)).replace(repr(ONE), "one array") or "none"
