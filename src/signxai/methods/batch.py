"""What a method works on: some samples, the borrowed network, and what may be asked of both."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from signxai.common.errors import ModelError
from signxai.engine.forward import OutputOption, run_forward
from signxai.engine.graph import nodes_behind
from signxai.engine.inputs import is_finite
from signxai.engine.mode import ForwardPass, GradientPass
from signxai.engine.module_outputs import OutputOf
from signxai.engine.not_finite import Watch
from signxai.engine.notes import FreshNotes
from signxai.engine.samples import AmbiguousSamplesError
from signxai.engine.targets import Target

Result = TypeVar("Result")


class SharedResults:
    """What several methods compute alike for one model, input and target: each is computed once."""

    def __init__(self) -> None:
        self._results: dict[Hashable, Any] = {}

    def once(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """What ``compute`` gave for this key when it was first asked for."""
        if key not in self._results:
            self._results[key] = compute()
        result: Result = self._results[key]
        return result


@dataclass(frozen=True)
class Batch:
    """Some samples to explain, with the network to run.

    Attributes:
        net: the network, borrowed: in evaluation mode, parameters frozen. Change nothing in it, and do not keep it.
        x: the samples (n, ...), on the network's device and of its dtype. Do not write to them.
        target: what is explained of each sample.
        rows: which of all samples that were given these are.
        relevance: what relevance starts with: "one_hot" (1 at the target) or "logit" (the target's logit).
        seed: what seeds random draws.
        at: dotted name of the module at whose output relevance is read off; None: at the input.
        shared: where several methods on one decision find what another has computed; None: there is one method alone.
        output: from what the network returns to the tensor that is explained; None: the logits.
        stochastic: whether the network draws random numbers: it runs on one point at a time, each time with those of the seed.
    """

    net: nn.Module
    x: Tensor
    target: Target
    rows: slice
    relevance: str = "one_hot"
    seed: int = 0
    at: str | None = None
    shared: SharedResults | None = None
    output: OutputOption = None
    stochastic: bool = False
    _finite: FreshNotes[bool] = field(default_factory=FreshNotes, repr=False, compare=False)

    def singles(self) -> list[Batch]:
        """The same, of each sample alone."""
        starts = range(self.rows.start, self.rows.start + len(self.x))
        return [
            replace(self, x=self.x[i : i + 1], target=self.target.rows(i, i + 1), rows=slice(start, start + 1))
            for i, start in enumerate(starts)
        ]

    def run(self, x: Tensor | None = None, mode: ForwardPass | None = None) -> Tensor:
        """The network's logits (n, ...), with any final softmax or sigmoid taken off.

        Args:
            x: points to run it on, (n, ...); None: the samples. A copy is run, so the network may write to its input.
            mode: gives operations another backward pass; None: their own gradient.

        Raises:
            ModelError: if the network fails, or its output is no finite floating-point tensor with one row per point.
        """
        return run_forward(self.net, (self.x if x is None else x).clone(), mode or GradientPass(), None, self.output, self.draws_from)

    @property
    def draws_from(self) -> int | None:
        """What seeds the network's own draws; None: it must draw nothing."""
        return self.seed if self.stochastic else None

    def initial_relevance(self, logits: Tensor) -> Tensor:
        """What relevance starts with at the output, in the shape of ``logits``; ``(logits * it)`` sums to what is explained.

        Raises:
            TargetError: if the target does not fit the output.
        """
        return self.target.initial_relevance(logits, self.relevance)

    def gradient(self) -> Tensor:
        """The plain gradient: initial relevance carried back from the output to the input (or to ``at``), in its shape.

        Raises:
            ModelError: if the output does not depend on it.
        """
        if self.shared is None:
            return self.backward(GradientPass())
        key = ("gradient", self.rows.start, self.rows.stop, self.relevance, self.seed, self.at)
        return self.shared.once(key, lambda: self.backward(GradientPass())).clone()  # each method may write to its own

    def backward(self, mode: ForwardPass) -> Tensor:
        """Initial relevance carried back along the graph that ``mode`` builds, to the input (or to ``at``), in its shape.

        Raises:
            ModelError: if the output does not depend on it.
        """
        result = self._backward(mode)
        if not is_finite(result):
            self._backward(mode.renewed(), looks_for_culprit=True)
        self._finite.put(result, True)
        return result

    def has_finite(self, result: Tensor) -> bool:
        """Whether a result holds neither NaN nor infinity; what a backward pass gave has been looked at."""
        return self._finite.get(result) is not None or is_finite(result)

    def _backward(self, mode: ForwardPass, looks_for_culprit: bool = False) -> Tensor:
        leaf = self.x.detach().requires_grad_(True)
        place = None if self.at is None else OutputOf(self.net, self.at)
        with nullcontext() if place is None else place.watching:
            logits = self.run(leaf, mode)
        watch = Watch(logits) if looks_for_culprit else None
        start = self.initial_relevance(logits)
        with nullcontext() if place is None else _folded_layers_named(self.at):
            result = gradient_of(logits, leaf if place is None else place.edge(), start)
        if watch is not None:
            raise not_finite(watch.culprit)
        return result


def for_batch(batch: Batch, compute: Callable[[Batch], Result]) -> list[Result]:
    """What ``compute`` gives of a batch; of each sample alone where the network mixes up their places."""
    if batch.stochastic:
        return [compute(single) for single in batch.singles()]
    try:
        return [compute(batch)]
    except AmbiguousSamplesError:
        if len(batch.x) == 1:
            raise
    return [compute(single) for single in batch.singles()]


def not_finite(culprit: str | None) -> ModelError:
    """The error for a map that holds NaN or infinity."""
    by = f", the first of it made by {culprit}" if culprit else ""
    return ModelError(
        f"the relevance holds NaN or infinity{by}; give that operation a rule by signxai.register_rule, set stabilizer=, or run the "
        "model in float64"
    )


@contextmanager
def _folded_layers_named(at: str | None) -> Iterator[None]:
    """Say why relevance may not arrive at a module's output, though it does at the input."""
    try:
        yield
    except UnreachedError as error:
        raise ModelError(
            f"no relevance arrives at the output of {at!r}: the prediction does not depend on it, or a batch norm after it makes one "
            "layer with it; ask for the output of that batch norm"
        ) from error


class UnreachedError(ModelError):
    """The gradient does not reach what it was asked for."""


def gradient_of(logits: Tensor, leaf: Any, start: Tensor, keep_graph: bool = False) -> Tensor:
    """The vector-Jacobian product from the logits to ``leaf``.

    Raises:
        ModelError: if the output does not depend on it.
    """
    if not logits.requires_grad:
        raise ModelError(
            "the model's output has no gradient: its forward cuts the graph (no_grad, detach, argmax, NumPy) between input and output; "
            "remove that cut"
        )
    if isinstance(leaf, GradientEdge) and all(node is not leaf.node for node in nodes_behind(logits.grad_fn)):  # torch before 2.7 crashes
        raise UnreachedError("the model's output does not depend on it")
    try:
        gradient: Tensor | None = torch.autograd.grad(logits, leaf, start, allow_unused=True, retain_graph=keep_graph)[0]
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        advice = "; write that operation out of place" if "modified" in str(error) else ""
        raise ModelError(f"no gradient can be taken through the model: {error}{advice}") from error
    if gradient is None:
        raise UnreachedError("the model's output does not depend on it: the graph is cut (detach, no_grad) in between; remove that cut")
    return gradient
