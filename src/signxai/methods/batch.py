"""What a method works on: some samples, the borrowed network, and what may be asked of both."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from signxai.common.errors import ModelError
from signxai.engine.embedding_rows import ReadRows, reading_rows
from signxai.engine.forward import OutputOption, run_forward
from signxai.engine.graph import cut_graph, nodes_behind
from signxai.engine.inputs import is_finite
from signxai.engine.joint_inputs import JointInputs
from signxai.engine.mixing import UNMIXED, MixedSamplesError, mixes
from signxai.engine.mode import ForwardPass, GradientPass
from signxai.engine.module_outputs import OutputOf
from signxai.engine.not_finite import Culprit, Watch
from signxai.engine.notes import FreshNotes
from signxai.engine.prediction import lost_ids
from signxai.engine.samples import AmbiguousSamplesError
from signxai.engine.targets import Target
from signxai.engine.token_ids import Mixed, TokenIds

Result = TypeVar("Result")


class SharedResults:
    """What methods compute alike for one model, input and target: each is computed once. And what the network said of the samples.

    Args:
        methods: how many there are. Several agree on the predicted class before the first begins; a single one takes its own pass for that.
    """

    def __init__(self, methods: int) -> None:
        self.is_for_several = methods > 1
        self._results: dict[Hashable, Any] = {}
        self._logits: dict[int, Tensor] = {}

    def once(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """What ``compute`` gave for this key when it was first asked for."""
        if key not in self._results:
            self._results[key] = compute()
        result: Result = self._results[key]
        return result

    def see_logits(self, first: int, logits: Tensor) -> None:
        """Take note of what the network said of samples, from the one of number ``first`` on, at which it has run anyway."""
        self._logits[first] = logits.detach()

    def logits(self, count: int) -> Tensor | None:
        """The logits (count, ...) of all samples; None where no method has run the network at each of them.

        >>> shared = SharedResults(methods=1)
        >>> shared.see_logits(0, torch.zeros(2, 3))
        >>> shared.logits(3) is None, tuple(shared.logits(2).shape)
        (True, (2, 3))
        """
        parts: list[Tensor] = []
        while (first := sum(map(len, parts))) < count:
            if first not in self._logits:
                return None
            parts.append(self._logits[first])
        return torch.cat(parts)[:count]


class LayerTurns:
    """Lets a method explain a batch at several layers, one after the other: each of its backward passes runs once, for all of them.

    Args:
        names: of the layers.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.passes: list[list[Tensor]] = []

    def each(self, batch: Batch) -> list[Batch]:
        """The batch at each layer. What is computed for the first is there for the others, so they take their turns in order."""
        return [replace(batch, at=name, turn=LayerTurn(self, place)) for place, name in enumerate(self.names)]


class LayerTurn:
    """The turn of one layer."""

    def __init__(self, turns: LayerTurns, place: int) -> None:
        self.turns, self.place, self.count = turns, place, 0

    def result(self, carry_back: Callable[[Sequence[str]], list[Tensor]]) -> Tensor:
        """What this layer has of the next backward pass of the method, which runs in the turn of the first layer."""
        passes, number = self.turns.passes, self.count
        self.count += 1
        if number == len(passes):
            passes.append(carry_back(self.turns.names))
        return passes[number][self.place]


class InputsFound:
    """What has turned out about several inputs.

    Attributes:
        read: those of integers by which rows of a table were picked out: token ids.
        mixed: those of which other integers were computed that did, and by what.
        without: those of values of which a method has no map.
    """

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.mixed: dict[str, Mixed] = {}
        self.without: set[str] = set()

    def see(self, ids: TokenIds) -> None:
        """Take note of what a pass has seen.

        Raises:
            ModelError: if an input is both.
        """
        self.read |= ids.were_read
        self.mixed |= ids.were_mixed
        for key in sorted(self.read & self.mixed.keys()):
            raise lost_ids(key, self.mixed[key])


_NOTHING_FOUND = InputsFound()
"""Of one tensor nothing is to be found."""


def _tells_nobody(_: float) -> None:
    return None


class Progress:
    """How much of some samples has been worked on.

    Args:
        report: takes how many have been, parts of samples too, and how many there are.
        count: how many there are.
    """

    def __init__(self, report: Callable[[float, int], None], count: int) -> None:
        self.report, self.count, self.done = report, count, 0.0

    def advance(self, samples: float) -> None:
        """So many more have been."""
        self.done = min(self.done + samples, self.count)
        self.report(self.done, self.count)


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
        turn: where several layers are asked for, one after the other, the turn of ``at``; its results come from one backward pass.
        inputs: what the network takes, if that is more than ``x``, which are points of it then; see ``JointInputs``. None: ``x`` is.
        found: what runs have shown of these inputs.
        advance: takes how many of the samples have been worked on since it was last called, parts of samples too.
        first_logits: what the network first gave for as many points as there are samples, which is kept where it is still to be asked
            whether it mixes them; else None.
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
    turn: LayerTurn | None = field(default=None, repr=False, compare=False)
    first_logits: list[Tensor] | None = field(default=None, repr=False, compare=False)
    inputs: JointInputs | None = field(default=None, repr=False, compare=False)
    found: InputsFound = field(default=_NOTHING_FOUND, repr=False, compare=False)
    advance: Callable[[float], None] = field(default=_tells_nobody, repr=False, compare=False)
    _finite: FreshNotes[bool] = field(default_factory=FreshNotes, repr=False, compare=False)

    def singles(self) -> list[Batch]:
        """The same, of each sample alone."""
        starts = range(self.rows.start, self.rows.start + len(self.x))
        return [
            replace(
                self,
                x=self.x[i : i + 1],
                target=self.target.rows(i, i + 1),
                rows=slice(start, start + 1),
                first_logits=None,
                inputs=self.inputs and self.inputs.at([i]),
            )
            for i, start in enumerate(starts)
        ]

    def as_one_of(self, count: int) -> Batch:
        """The same, the samples of which are worked on so many times."""
        return self if count == 1 else replace(self, advance=lambda samples: self.advance(samples / count))

    def with_activation(self) -> Batch:
        """The same, with a target that knows what the network makes probabilities by, if it asks for that."""
        if not self.target.asks_for_activation:
            return self
        mode = GradientPass()
        with torch.no_grad():
            self.outputs(self.x.clone(), mode)
        return replace(self, target=self.target.behind(mode.taken_off))

    def run(self, x: Tensor | None = None, mode: ForwardPass | None = None, rows: Sequence[int] | None = None) -> Tensor:
        """The network's logits (n, ...), with any final softmax or sigmoid taken off.

        Args:
            x: points to run it on, (n, ...); None: the samples. A copy is run, so the network may write to its input.
            mode: gives operations another backward pass; None: their own gradient.
            rows: of which sample each point is made; None: of each one in turn, round by round.

        Raises:
            ModelError: if the network fails, or its output is no finite floating-point tensor with one row per point.
        """
        points = (self.x if x is None else x).clone()
        logits = self.outputs(points, mode or GradientPass(), None, rows)
        if self.first_logits is not None and not self.first_logits and len(logits) == len(self.x):
            self.first_logits.append(logits.detach())
        return logits

    def outputs(self, points: Tensor, mode: ForwardPass, made_from: Tensor | None = None, rows: Sequence[int] | None = None) -> Tensor:
        """The network's logits at points, which it may write to; arguments as for ``run`` and ``run_forward``."""
        if self.inputs is None:
            return run_forward(self.net, points, mode, made_from, self.output, self.draws_from)
        if rows is None and len(points) % self.inputs.count:
            raise ModelError(f"{len(points)} points of {self.inputs.count} samples: say by rows= of which sample each is made")
        inputs = self.inputs if rows is None else self.inputs.at(rows)
        if not inputs.has_ids:
            return run_forward(self.net, points, mode, made_from, self.output, self.draws_from, inputs)
        is_followed = torch.is_grad_enabled()
        with torch.enable_grad():  # by its graph, what depends on the input is told from tables
            points = points if points.requires_grad else points.requires_grad_(True).clone()
            logits = run_forward(self.net, points, mode, made_from, self.output, self.draws_from, inputs)
        self.found.see(mode.token_ids)
        return logits if is_followed else logits.detach()

    def reading_rows(self, inputs: JointInputs) -> ReadRows:
        """The rows that embeddings read by the token ids among the inputs, or others like them."""

        def run(inputs: JointInputs, points: Tensor) -> None:
            mode = GradientPass(has_runs=False)
            run_forward(self.net, points, mode, None, self.output, self.draws_from, inputs)
            self.found.see(mode.token_ids)

        return reading_rows(inputs, self.x, run)

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

    def score(self, logits: Tensor) -> Callable[[Tensor], Tensor]:
        """What is explained, as a function from the logits (n, ...) of points made of the samples to (n,).

        Args:
            logits: the samples' own, which say which class is predicted, or runner-up, where the target asks for that.

        Raises:
            TargetError: if the target does not fit the output.
        """
        return self.target.resolved(logits).scores

    def gradient(self) -> Tensor:
        """The plain gradient: initial relevance carried back from the output to the input (or to ``at``), in its shape.

        Raises:
            ModelError: if the output does not depend on it.
        """
        if self.shared is None or not self.shared.is_for_several:
            return self.backward(GradientPass())
        key = ("gradient", self.rows.start, self.rows.stop, self.relevance, self.seed, self.at)
        return self.shared.once(key, lambda: self.backward(GradientPass())).clone()  # each method may write to its own

    def tell(self, logits: Tensor) -> None:
        """Let whoever asks afterwards know what the network says of the samples: their logits (n, ...)."""
        if self.shared is not None:
            self.shared.see_logits(self.rows.start, logits)

    def backward(self, mode: ForwardPass) -> Tensor:
        """Initial relevance carried back along the graph that ``mode`` builds, to the input (or to ``at``), in its shape.

        Raises:
            ModelError: if the output does not depend on it.
        """
        if self.turn is not None:
            return self.turn.result(lambda names: self._carried_back(mode, names))
        return self._carried_back(mode, () if self.at is None else (self.at,))[0]

    def _carried_back(self, mode: ForwardPass, names: Sequence[str]) -> list[Tensor]:
        """What ``backward`` gives at the layers of these names, or at the input alone; each in memory of its own."""
        results = self._backward(mode, names)
        if not all(map(is_finite, results)):
            self._backward(mode.renewed(), names, looks_for_culprit=True)
        if len(results) > 1:
            results = _apart(results)
        for result in results:
            self._finite.put(result, True)
        return results

    def has_finite(self, result: Tensor) -> bool:
        """Whether a result holds neither NaN nor infinity; what a backward pass gave has been looked at."""
        return self._finite.get(result) is not None or is_finite(result)

    def _backward(self, mode: ForwardPass, names: Sequence[str], looks_for_culprit: bool = False) -> list[Tensor]:
        leaf = self.x.detach().requires_grad_(True)
        outputs = OutputsOf(self.net, names) if names else None
        with outputs or nullcontext():
            logits = self.run(leaf, mode)
        self.tell(logits)
        watch = Watch(logits) if looks_for_culprit else None
        start = self.initial_relevance(logits)
        results = [gradient_of(logits, leaf, start)] if outputs is None else outputs.gradients(logits, start)
        if watch is not None:
            raise not_finite(watch.culprit)
        return results


class OutputsOf:
    """While entered, watches the modules of these names for their outputs.

    Raises:
        OptionError: if the network has no such module.
    """

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        self.places = [OutputOf(net, name) for name in names]
        self._watching = ExitStack()

    def __enter__(self) -> OutputsOf:
        for place in self.places:
            self._watching.enter_context(place.watching)
        return self

    def __exit__(self, *error: Any) -> None:
        self._watching.close()

    def gradients(self, logits: Tensor, start: Tensor) -> list[Tensor]:
        """The vector-Jacobian products from the logits to each output, all from one backward pass.

        Raises:
            ModelError: if a module was not executed, or nothing arrives at its output.
            OptionError: if a module was executed several times, and its name does not say which one is meant.
        """
        gradients = _gradients(logits, [place.edge() for place in self.places], start)
        return [_arrived(gradient, place.name) for gradient, place in zip(gradients, self.places, strict=True)]


def _arrived(gradient: Tensor | None, name: str) -> Tensor:
    if gradient is None:
        raise ModelError(
            f"no relevance arrives at the output of {name!r}: the prediction does not depend on it, or it is a final sigmoid or softmax, "
            "which is taken off, or it makes gates or attention weights alone, which are constants, or a batch norm or constant after it "
            "makes one layer with it; ask for a layer before it or after"
        )
    return gradient


def _apart(results: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, none of which shares memory with another: what arrives in front of a move is a view of what arrives behind it."""
    seen: set[int] = set()
    apart = []
    for result in results:
        memory = result.untyped_storage().data_ptr()
        apart.append(result.clone() if memory in seen else result)
        seen.add(memory)
    return apart


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


def refuse_mixed_samples(batch: Batch, model: nn.Module) -> None:
    """Refuse a batch of several samples that the network mixes, if that is still to be asked: once for each model.

    Raises:
        MixedSamplesError: if it does.
    """
    if batch.first_logits is None:
        return
    if batch.inputs is None and torch.equal(batch.x[1:], batch.x[:-1]):  # samples that are alike would say nothing
        return

    apart = replace(batch, found=InputsFound())  # runs of some samples alone tell nothing of all

    def run(rows: Sequence[int], factor: float) -> Tensor:
        return apart.outputs(batch.x[list(rows)] * factor, GradientPass(), batch.x, rows)

    if mixes(run, batch.x, next(iter(batch.first_logits), None), most=2):
        raise MixedSamplesError
    if batch.output is None and batch.inputs is None:  # else another output, or other arguments, may mix them
        UNMIXED.add(model)


def not_finite(culprit: Culprit | None) -> ModelError:
    """The error for a map that holds NaN or infinity."""
    by = f", the first of it made by {culprit.name}" if culprit else ""
    if culprit is not None and culprit.is_users:
        return ModelError(f"the relevance holds NaN or infinity{by}, which you gave it; let that rule return finite values")
    return ModelError(
        f"the relevance holds NaN or infinity{by}; give that operation a rule by signxai.register_rule, set stabilizer=, or run the "
        "model in float64"
    )


def gradient_of(logits: Tensor, leaf: Any, start: Tensor, keep_graph: bool = False) -> Tensor:
    """The vector-Jacobian product from the logits to ``leaf``.

    Raises:
        ModelError: if the output does not depend on it.
    """
    gradient = _gradients(logits, [leaf], start, keep_graph)[0]
    if gradient is None:
        raise ModelError("the model's output does not depend on it: the graph is cut (detach, no_grad) in between; remove that cut")
    return gradient


def _gradients(logits: Tensor, leaves: Sequence[Any], start: Tensor, keep_graph: bool = False) -> Sequence[Tensor | None]:
    """The vector-Jacobian products from the logits to each leaf or edge; None where the logits do not depend on it."""
    if not logits.requires_grad:
        raise cut_graph()
    if isinstance(leaves[0], GradientEdge) and not {leaf.node for leaf in leaves} <= set(nodes_behind(logits.grad_fn)):
        return _gradients_of_reached(logits, leaves, start, keep_graph)  # torch before 2.7 crashes
    try:
        return torch.autograd.grad(logits, leaves, start, allow_unused=True, retain_graph=keep_graph)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        advice = "; write that operation out of place" if "modified" in str(error) else ""
        raise ModelError(f"no gradient can be taken through the model: {error}{advice}") from error


def _gradients_of_reached(logits: Tensor, edges: Sequence[GradientEdge], start: Tensor, keep_graph: bool) -> list[Tensor | None]:
    """The same where some edges are not in the graph of the logits."""
    nodes = set(nodes_behind(logits.grad_fn))
    reached = [edge for edge in edges if edge.node in nodes]
    gradients = iter(_gradients(logits, reached, start, keep_graph) if reached else ())
    return [next(gradients) if edge.node in nodes else None for edge in edges]
