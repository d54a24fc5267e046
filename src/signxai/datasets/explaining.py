"""Explains one batch of a data set: what a run computes, wherever it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from signxai.api import explain_all
from signxai.common.errors import InputError, MethodNameError, ModelError, OptionError, SignxaiError, TargetError
from signxai.datasets.plan import Plan
from signxai.datasets.reading import ReadBatch, reason_of
from signxai.datasets.sources import Class, Entries
from signxai.datasets.store_writer import ArrayKind, BatchResult, Failure
from signxai.engine.prediction import predict
from signxai.names.grammar import parse_method

__all__ = ["BatchExplainer"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class BatchExplainer:
    """What turns batches into rows of a store.

    Attributes:
        model: on its device, in evaluation mode.
        plan: what is computed.
        entries: of the data set.
        class_names: by class; empty: classes are numbered.
        sample_shape, sample_dtype: of every entry, without the batch axis.
        classes: how many the model has.
    """

    model: nn.Module
    plan: Plan
    entries: Entries
    class_names: tuple[str, ...]
    sample_shape: tuple[int, ...]
    sample_dtype: np.dtype[Any]
    classes: int

    @classmethod
    def of(cls, model: nn.Module, plan: Plan, entries: Entries, class_names: Sequence[str], sample: Array) -> BatchExplainer:
        """One for entries like this sample.

        Raises:
            SignxaiError: the model does not take it, or a target, a label or an option does not fit the model.
        """
        logits = predict(model, sample[None], seed=plan.seed, output=plan.output)
        if logits.ndim != 2:
            raise ModelError(f"the model's output has the shape {tuple(logits.shape)}; a data set's must be (N, classes), by output=")
        explainer = cls(model, plan, entries, tuple(class_names), sample.shape, sample.dtype, logits.shape[1])
        explainer._check_targets()
        explainer._explained(sample[None], [explainer._target(0) or 0])
        return explainer

    def on(self, device: str) -> BatchExplainer:
        """The same with the model on another device."""
        return replace(self, model=self.model.to(device))

    def arrays(self) -> dict[str, ArrayKind]:
        """The arrays that a store holds of every entry."""
        nan = float("nan")
        kinds = {"logits": ArrayKind((self.classes,), "float32", nan), "target": ArrayKind((), "int64", -1)}
        kinds["explained"] = ArrayKind((), "float32", nan)
        if self.plan.keeps_inputs:
            is_float = self.sample_dtype.kind == "f"
            kinds["input"] = ArrayKind(self.sample_shape, self.plan.dtype if is_float else str(self.sample_dtype), nan if is_float else 0)
        for method in self.plan.methods:
            kinds[f"relevance/{method}"] = ArrayKind(self.sample_shape, self.plan.dtype, nan)
            kinds[f"sum/{method}"] = ArrayKind((), "float64", nan)
            if self.plan.dtype == "float16":
                kinds[f"rounding/{method}"] = ArrayKind((), "float32", nan)
            if _is_lrp(method):
                kinds[f"absorbed/{method}"] = ArrayKind((), "float64", nan)
        return kinds

    def result(self, batch: ReadBatch) -> BatchResult:
        """The rows of a batch; of entries that fail, fill values."""
        failures, indices, samples = list(batch.failures), [], []
        for index, sample in zip(batch.indices, batch.samples, strict=True):
            reason = self._unfit(sample)
            if reason:
                failures.append(Failure(index, self.entries.keys[index], reason))
            else:
                indices.append(index)
                samples.append(sample)
        found, failed = self._computed(indices, samples)
        failures += failed
        arrays = {name: np.full((len(batch.rows), *kind.shape), kind.fill, kind.dtype) for name, kind in self.arrays().items()}
        for row, values in found.items():
            for name, value in values.items():
                arrays[name][row - batch.rows.start] = value
        return BatchResult(batch.number, arrays, sorted(failures, key=lambda failure: failure.index))

    def _unfit(self, sample: Array) -> str:
        """Why a sample is not like the others; empty if it is."""
        if sample.shape != self.sample_shape:
            return f"of the shape {sample.shape}, where the first entry has {self.sample_shape}"
        if sample.dtype.kind != self.sample_dtype.kind:
            return f"of {sample.dtype}, where the first entry is of {self.sample_dtype}"
        return ""

    def _computed(self, indices: Sequence[int], samples: Sequence[Array]) -> tuple[dict[int, dict[str, Array]], list[Failure]]:
        """The values of entries by index and array, and those that could not be explained, which is tried one by one."""
        if not indices:
            return {}, []
        try:
            return dict(zip(indices, self._rows(indices, np.stack(samples)), strict=True)), []
        except (MethodNameError, OptionError):
            raise
        except SignxaiError as error:
            if len(indices) == 1:
                return {}, [Failure(indices[0], self.entries.keys[indices[0]], reason_of(error))]
        parts = [self._computed([index], [sample]) for index, sample in zip(indices, samples, strict=True)]
        return {row: values for found, _ in parts for row, values in found.items()}, [one for _, failed in parts for one in failed]

    def _rows(self, indices: Sequence[int], x: Array) -> list[dict[str, Array]]:
        logits = predict(self.model, x, seed=self.plan.seed, output=self.plan.output)
        given = [self._target(index) for index in indices]
        best = logits.argmax(1).tolist()
        targets = [best[row] if target is None else target for row, target in enumerate(given)]
        maps = self._explained(x, targets)
        explained = logits[torch.arange(len(targets)), torch.tensor(targets)].cpu()
        starts = explained.double().numpy() if self.plan.options.get("relevance") == "logit" else np.ones(len(targets))
        columns: dict[str, Array] = {
            "logits": _numpy(logits.float()),
            "target": np.array(targets),
            "explained": _numpy(explained.float()),
        }
        if self.plan.keeps_inputs:
            columns["input"] = self._stored("the input", x) if x.dtype.kind == "f" else x
        for method, relevance in maps.items():
            columns |= self._columns(method, relevance, starts)
        return [{name: values[row] for name, values in columns.items()} for row in range(len(indices))]

    def _stored(self, name: str, values: Array) -> Array:
        """Values in the type of the store.

        Raises:
            InputError: they are more than it holds.
        """
        with np.errstate(over="ignore"):
            stored: Array = values.astype(self.plan.dtype)
        if not np.isfinite(stored).all():
            raise InputError(f"{name}: values of up to {np.abs(values).max():.3g} are more than {self.plan.dtype} holds; store float32")
        return stored

    def _columns(self, method: str, relevance: Array, starts: Array) -> dict[str, Array]:
        """What is stored of a method's maps."""
        stored = self._stored(method, relevance)
        total = relevance.reshape(len(relevance), -1).sum(1, dtype=np.float64)
        columns = {f"relevance/{method}": stored, f"sum/{method}": total}
        if self.plan.dtype == "float16":
            flat, short = relevance.reshape(len(relevance), -1), stored.astype(np.float64).reshape(len(relevance), -1)
            largest = np.abs(flat).max(1)
            columns[f"rounding/{method}"] = np.abs(flat - short).max(1) / np.where(largest > 0, largest, 1)
        if _is_lrp(method):
            columns[f"absorbed/{method}"] = starts - total
        return columns

    def _explained(self, x: Array, targets: Sequence[int]) -> dict[str, Array]:
        maps = explain_all(
            self.model, x, list(self.plan.methods), list(targets), seed=self.plan.seed, output=self.plan.output, **self.plan.options
        )
        return {method: np.asarray(relevance) for method, relevance in maps.items()}

    def _target(self, index: int) -> int | None:
        """The class of which an entry is explained; None: the one that is predicted."""
        if isinstance(self.plan.target, int):
            return self.plan.target
        if self.plan.target == "predicted":
            return None
        classes = self.entries.labels if self.plan.target == "label" else self.entries.targets
        value = None if classes is None else classes[index]
        if value is None:
            raise TargetError(f"{self.entries.keys[index]} has no {self.plan.target}, which is to be explained")
        return class_number(value, self.class_names, self.classes)

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
            for value in {value for value in classes if value is not None}:
                class_number(value, self.class_names, self.classes)


def class_number(value: Class, names: Sequence[str], classes: int) -> int:
    """The number of a class that is given by it, or by its name.

    Raises:
        TargetError: there is none.

    >>> class_number("lynx", ["cat", "lynx"], classes=2), class_number(1, [], classes=2)
    (1, 1)
    """
    if isinstance(value, int):
        if not 0 <= value < classes:
            raise TargetError(f"class {value}: the model has {classes} classes, 0 to {classes - 1}")
        return value
    if value not in names:
        said = f"the classes are {', '.join(names[:10])}" if names else "its classes have numbers only; give class_names="
        raise TargetError(f"class {value!r} is none of the model's: {said}")
    return list(names).index(value)


def _is_lrp(method: str) -> bool:
    """Whether a method carries all relevance to the input but for what is absorbed on the way, which is what is missing there then."""
    spec = parse_method(method)
    return spec.form.rule is not None and spec.method != "lrpsign" and not spec.multipliers


def _numpy(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().cpu())
