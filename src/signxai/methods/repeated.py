"""Methods of many gradients for each sample: integrated, smoothed, and the variance of the smoothed ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError, OptionError
from signxai.engine.activation_memory import MeasuringPass, TooLargeError
from signxai.engine.channel_axis import channel_axis
from signxai.engine.generators import lent_generators
from signxai.engine.joint_inputs import JointInputs, Slot
from signxai.engine.keras_calls import arguments_of
from signxai.engine.mixing import UNMIXED, MixedSamplesError, mixes
from signxai.engine.mode import ForwardPass, GradientPass
from signxai.engine.module_outputs import ValuesOf
from signxai.engine.targets import Target
from signxai.methods.analyzer import MOST_PASSES, Analyzer, CommonOptions, check_finite, like_input, number, whole_number
from signxai.methods.batch import Batch, OutputsOf, gradient_of
from signxai.methods.by_input import by_key, in_columns, is_by_input, named_values, ranges_by_input, values_of
from signxai.methods.joining import joined

if TYPE_CHECKING:
    from typing_extensions import Unpack

_TRIAL_BYTES = 5 << 19
"""So much input has the first chunk, by which the activations are measured."""

NextPoints: TypeAlias = Callable[[int], tuple[Tensor, Tensor]]
"""From a number of points to a leaf and the next points that are made from it, both (points, samples, ...).

The points' derivative by the leaf is 1, and its gradient theirs. They are no leaf themselves: the network may write to them.
"""

PointsOf: TypeAlias = Callable[[slice], NextPoints]
"""From a slice of samples to what makes their points."""

StartsOf: TypeAlias = Callable[[slice, int], Callable[[Tensor], Tensor]]
"""From a slice of samples and a number of points to a function from the points' outputs to what relevance starts with there."""

GradientsAt: TypeAlias = Callable[[slice, Tensor, Tensor, ForwardPass, Callable[[Tensor], Tensor]], Sequence[Tensor]]
"""Runs the network at some points of some samples, and gives the gradients there, each (points, samples, ...).

Its arguments: the slice of samples, the leaf, the points (points * samples, ...), the pass, and from outputs to what relevance starts with.
"""

OutputsAt: TypeAlias = Callable[[slice, Sequence[int], Tensor, ForwardPass], Tensor]
"""Runs the network at some of the points of some samples, and gives the logits.

Its arguments: the slice of samples, the number of each point (point * samples + sample), these points, and the pass.
"""


class _RepeatedGradientAnalyzer(Analyzer):
    """Gradients at many points for each sample; the target and its initial relevance are those of the sample itself.

    Points and samples run in chunks of at most about 1 GiB of activations (fewer where that is quicker), or of ``batch_size``. Where the
    network mixes what runs together, the points of a single sample run one by one, and several samples are refused.
    """

    chunks_itself = True
    points: int

    def _gradients(
        self, batch: Batch, points: PointsOf, gradients_at: GradientsAt | None = None, outputs_at: OutputsAt | None = None
    ) -> Iterator[tuple[slice, slice, Sequence[Tensor]]]:
        """The gradients at all points of every sample, a chunk at a time.

        Yields the slice of samples, the slice of points, and the gradients of a chunk, each (points, samples, ...): by the points alone,
        unless ``gradients_at`` says otherwise; then ``outputs_at`` says how the network runs at points, if they are not its input.

        Raises:
            MixedSamplesError: if there are several samples, and the network mixes them.
        """
        at_input = gradients_at is None  # at a layer, runs would depend on what other layers are asked for
        by = gradients_at or partial(_by_points, batch)
        x = batch.x
        starts, known = self._starts(batch)
        known = 1 if batch.stochastic else known
        company = _Company(self.model, batch, GradientPass(at_input, at_input), outputs_at)
        most = known or max(1, _TRIAL_BYTES // x[0].nbytes)
        first = 0
        while first < len(x):
            samples = slice(first, min(first + most, len(x)))
            next_points, begin = points(samples), 0
            while begin < self.points:
                count = min(self.points - begin, max(1, most // (samples.stop - samples.start)))
                mode = GradientPass(at_input, at_input) if known else MeasuringPass(most > 1, at_input, at_input)
                try:
                    leaf, chunk = next_points(count)
                    start = company.watching(samples, chunk, starts(samples, count))
                    gradients = by(samples, leaf, chunk.flatten(0, 1), mode, start)
                except TooLargeError:
                    most = 1  # measured at once, and nothing of these samples has been yielded
                    break
                if isinstance(mode, MeasuringPass):
                    known = most = mode.most_samples()
                if company.matters():
                    known = most = 1
                    gradients = company.apart(by, starts(samples, 1))
                batch.advance((samples.stop - samples.start) * count / self.points)
                yield samples, slice(begin, begin + count), gradients
                begin += count
            else:
                first = samples.stop

    def _starts(self, batch: Batch) -> tuple[StartsOf, int]:
        """What relevance starts with at the points; and how many rows a chunk may have, 0 if nobody knows.

        That is the same as at the samples, or the gradient there of a score of the outputs.
        """
        target = batch.target
        if target.indices is not None and batch.relevance == "one_hot":  # whatever the outputs: no need to see them

            def start_of(samples: slice, count: int) -> Callable[[Tensor], Tensor]:
                return partial(target.repeated(samples, count).initial_relevance, relevance="one_hot")

            return start_of, self.batch_size or 0
        measure = MeasuringPass()
        with torch.no_grad():
            rows = torch.split(torch.arange(len(batch.x)), self.batch_size or len(batch.x))
            logits = torch.cat([batch.run(batch.x[part[0] : part[-1] + 1], measure, part.tolist()) for part in rows])
        most = self.batch_size or measure.most_samples()
        fixed = target.resolved(logits)
        if fixed.score is not None:
            return partial(_score_starts, fixed, logits, batch.relevance), most
        start = fixed.initial_relevance(logits, batch.relevance)
        return lambda samples, count: lambda _: torch.cat([start[samples]] * count), most


class _Company:
    """Watches the first points of a batch that run together, to see whether the network mixes them.

    Args:
        model: the network as the user gave it. Where only torch's own code runs in it, it is asked once for all.
        batch: the samples.
        mode: a pass like those in which they run.
        outputs_at: how the network runs at points; None: they are its input.
    """

    def __init__(self, model: nn.Module, batch: Batch, mode: ForwardPass, outputs_at: OutputsAt | None) -> None:
        self.model, self.batch, self.mode = model, batch, mode
        self.outputs_at = outputs_at or (
            lambda samples, rows, points, mode: batch.outputs(points, mode, batch.x, _samples_at(samples, rows))
        )
        self._is_known = batch.output is None and batch.inputs is None and not lent_generators().is_watched and model in UNMIXED
        self._points: Tensor | None = None
        self._logits: Tensor | None = None
        self._samples = slice(0)

    def watching(self, samples: slice, points: Tensor, start: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """What relevance starts with at points (points, samples, ...), which are kept where nothing is known: a network may write."""
        self._points = None
        if self._is_known or len(points) * (samples.stop - samples.start) == 1:
            return start
        self._samples, self._points = samples, points.detach().clone()

        def seen(logits: Tensor) -> Tensor:
            self._logits = logits.detach()
            return start(logits)

        return seen

    def matters(self) -> bool:
        """Whether the network mixes the points that have just run.

        Raises:
            MixedSamplesError: if there are several samples.
        """
        if self._points is None:
            return False
        self._is_known = True
        is_single = len(self.batch.x) == 1
        count = len(self._points) * (self._samples.stop - self._samples.start)
        each = self._points.reshape(count, -1, *self._points.shape[2:])

        def run(rows: Sequence[int], factor: float) -> Tensor:
            points = each[list(rows)].flatten(0, 1) * factor
            return self.outputs_at(self._samples, rows, points, self.mode.renewed())

        if not mixes(run, each, self._logits, by_place=is_single):
            if self.batch.output is None and self.batch.inputs is None:  # else another output, or other arguments, may mix them
                UNMIXED.add(self.model)
            return False
        if not is_single:
            raise MixedSamplesError
        return True

    def apart(self, by: GradientsAt, start: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """The gradients at the points that have just run together, each alone."""
        assert self._points is not None
        parts = []
        for point in torch.split(self._points, 1):
            leaf = point.requires_grad_(True)
            parts.append(by(self._samples, leaf, leaf.clone().flatten(0, 1), self.mode.renewed(), start))
        return [torch.cat(gradients) for gradients in zip(*parts, strict=True)]


def _rounds(samples: slice, points: Tensor) -> list[int]:
    """Of which sample each of the points (points * samples, ...) is made."""
    return [*range(samples.start, samples.stop)] * (len(points) // (samples.stop - samples.start))


def _samples_at(samples: slice, rows: Sequence[int]) -> list[int]:
    """Of which sample points of these numbers (point * samples + sample) are made."""
    return [samples.start + row % (samples.stop - samples.start) for row in rows]


def _check_rows(batch: Batch, names: Sequence[str], batch_size: int | None) -> None:
    """Refuse modules whose output does not have the samples, or so many rows for each, along its first axis.

    Raises:
        ModelError: if there is one.
    """
    alone = _shapes(batch, names, batch.x[:1])
    of_two = [(2, *shape[1:]) for shape in alone] if batch_size == 1 else _shapes(batch, names, torch.cat([batch.x[:1]] * 2))
    for name, shape, twice in zip(names, alone, of_two, strict=True):
        if twice != (2 * shape[0], *shape[1:]):
            raise ModelError(
                f"at={name!r}: the output of shape {shape} for one sample has not one row for each sample, first of all axes, which a "
                "method of many gradients needs; choose another module"
            )


def _shapes(batch: Batch, names: Sequence[str], x: Tensor) -> list[tuple[int, ...]]:
    """The shapes of the outputs of modules."""
    places = [ValuesOf(batch.net, name) for name in names]
    with ExitStack() as watching:
        for place in places:
            watching.enter_context(place.watching)
        batch.outputs(x.detach().clone().requires_grad_(True).clone(), GradientPass(), batch.x, [0] * len(x))
    return [tuple(place.values().shape) for place in places]


def _by_points(
    batch: Batch, samples: slice, leaf: Tensor, points: Tensor, mode: ForwardPass, start: Callable[[Tensor], Tensor]
) -> Sequence[Tensor]:
    """The gradient by the points themselves."""
    logits = batch.outputs(points, mode, batch.x, _rounds(samples, points))
    return [gradient_of(logits, leaf, start(logits))]


def _by_outputs(
    names: Sequence[str],
    batch: Batch,
    samples: slice,
    leaf: Tensor,
    points: Tensor,
    mode: ForwardPass,
    start: Callable[[Tensor], Tensor],
) -> Sequence[Tensor]:
    """The gradients by the outputs of modules, from one backward pass."""
    with OutputsOf(batch.net, names) as outputs:
        logits = batch.outputs(points, mode, batch.x, _rounds(samples, points))
    gradients = outputs.gradients(logits, start(logits))
    return [gradient.view(len(leaf), -1, *gradient.shape[1:]) for gradient in gradients]


def _score_starts(target: Target, logits: Tensor, relevance: str, samples: slice, count: int) -> Callable[[Tensor], Tensor]:
    """A score's gradient at each point's outputs, which take the place of the sample's own: the score sees the whole batch, always."""

    def start(outputs: Tensor) -> Tensor:
        parts = []
        for at_point in outputs.detach().view(count, -1, *outputs.shape[1:]):
            whole = logits.clone()
            whole[samples] = at_point
            parts.append(target.initial_relevance(whole, "one_hot")[samples])
            if relevance == "logit":
                parts[-1] = parts[-1] * logits[samples]
        return torch.cat(parts)

    return start


class IntegratedGradientsAnalyzer(_RepeatedGradientAnalyzer):
    """Integrated gradients: the mean gradient on the straight path from a baseline, times the difference from the baseline.

    Source: Sundararajan et al., Axiomatic attribution for deep networks, ICML 2017.

    The integral is taken by the trapezoidal rule on equally spaced points, both ends included (one point: the middle), so
    the map of a sample sums to f_c(x) - f_c(baseline) up to an error that falls with the number of points. A callable target's score
    is evaluated at every point, and takes the place of f_c.

    At a layer (``at=``) the path is the straight one from the module's output for the baseline to that for the sample, from which the
    rest of the network runs; what else it reads is computed from the sample, as in Captum's ``LayerIntegratedGradients``. So the map sums
    to f_c(x) less the logit with the module's output for the baseline: to f_c(x) - f_c(baseline), unless a connection goes around the
    module. Each of several layers has a path, and passes, of its own.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        steps: points on the path, at least 1.
        baseline: where the path begins: None (zeros), a number, one sample or a batch; of several inputs also a mapping or tuple of them in
            their structure.
        baseline_ids: token ids whose embeddings are the baseline of those that are explained: one for all places, or in their shape, or a
            mapping or tuple in the structure of the inputs. None: a zero embedding.

    >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    >>> x = torch.ones(1, 3).double()
    >>> at_a_layer = IntegratedGradientsAnalyzer(model, steps=500, at="0", as_tensor=True).analyze(x, 1)
    >>> bool(abs(at_a_layer.sum() - (model(x) - model(0 * x))[0, 1]) < 1e-5)
    True
    """

    changes_model = False
    explains_layers = True
    takes_several = True

    def __init__(
        self, model: nn.Module, steps: int = 50, baseline: Any = None, *, baseline_ids: Any = None, **common: Unpack[CommonOptions]
    ) -> None:
        super().__init__(model, **common)
        self.steps = self.points = whole_number("steps", steps, at_least=1, at_most=MOST_PASSES)
        for name, start in named_values("baseline", baseline):
            check_finite(name, _as_numbers(name, start))
        for ids in values_of(baseline_ids):
            _as_ids(ids)
        self.baseline = baseline
        self.baseline_ids = baseline_ids

    def attribute(self, batch: Batch) -> Tensor:
        baseline = self._baseline_of(batch)
        relevance = self._integrated(batch, lambda samples: (baseline[samples], batch.x[samples]))
        if batch.inputs is not None and batch.inputs.rows and batch.relevance == "one_hot":
            self._say_if_incomplete(batch, relevance, baseline)
        return relevance

    def _say_if_incomplete(self, batch: Batch, relevance: Tensor, baseline: Tensor) -> None:
        """Warn of a path from a zero embedding on which the network bends sharply, as behind an RMS norm: points say little of it."""
        with torch.no_grad():
            ends = [self._logits(batch, x) for x in (batch.x, baseline)]
        score = batch.score(ends[0])
        wanted = (score(ends[0]) - score(ends[1])).detach()
        missing = (relevance.flatten(1).sum(1) - wanted).abs()
        row = int((missing / wanted.abs().clamp(min=_INCOMPLETE * float(wanted.abs().max()))).argmax())
        rounding = torch.finfo(relevance.dtype).eps ** 0.5 * relevance.flatten(1).abs().sum(1)
        if bool(missing[row] > _INCOMPLETE * wanted.abs().max() + rounding[row]):
            warnings.warn(
                f"integrated gradients of {self.steps} steps sum to {float(relevance[row].sum()):.3g} where the score differs from that of "
                f"the baseline by {float(wanted[row]):.3g}: the path is too steep, as one from a zero embedding through an RMS norm; "
                "give more steps=, or baseline_ids=",
                IncompleteWarning,
                stacklevel=2,
            )

    def _logits(self, batch: Batch, x: Tensor) -> Tensor:
        rows = torch.split(torch.arange(len(x)), self.batch_size or len(x))
        return torch.cat([batch.run(x[part[0] : part[-1] + 1], GradientPass(), part.tolist()) for part in rows])

    def attribute_at(self, batch: Batch, names: Sequence[str]) -> Sequence[Tensor]:
        _check_rows(batch, names, self.batch_size)
        baseline, at_one = self._baseline_of(batch), batch.as_one_of(len(names))
        return [self._at_layer(at_one, baseline, name) for name in names]

    def _at_layer(self, batch: Batch, baseline: Tensor, name: str) -> Tensor:
        layer = _LayerPath(batch, baseline, name)
        return self._integrated(batch, layer.ends, layer.gradients, layer.outputs)

    def _integrated(
        self,
        batch: Batch,
        ends: Callable[[slice], tuple[Tensor, Tensor]],
        gradients_at: GradientsAt | None = None,
        outputs_at: OutputsAt | None = None,
    ) -> Tensor:
        """The integral along the straight path between its ends, which each slice of samples has."""
        places, weights = self.quadrature()
        parts: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # by the first of some samples: difference, mean gradient, weights of points

        def path(samples: slice) -> NextPoints:
            start, end = ends(samples)
            difference = end - start
            place, weight = (torch.tensor(values, dtype=end.dtype, device=end.device) for values in (places, weights))
            parts[samples.start] = difference, torch.zeros_like(difference), weight
            rest = iter(place.view(-1, *(1,) * end.ndim))

            def next_points(count: int) -> tuple[Tensor, Tensor]:
                leaf = start.expand(count, *start.shape).requires_grad_(True)
                return leaf, torch.addcmul(leaf, difference, torch.stack(list(islice(rest, count))))

            return next_points

        for samples, points, (gradients,) in self._gradients(batch, path, gradients_at, outputs_at):
            _, mean, weight = parts[samples.start]
            mean += torch.tensordot(weight[points], gradients, dims=1)
        return joined([self.of_mean(mean, difference) for difference, mean, _ in parts.values()])

    def quadrature(self) -> tuple[list[float], list[float]]:
        """Places of the points on the path, in [0, 1], and the weight of each."""
        return _trapezoid(self.steps)

    def of_mean(self, mean: Tensor, difference: Tensor) -> Tensor:
        """The map, from the mean gradient on the path and the difference from the baseline."""
        return mean * difference

    def _baseline_of(self, batch: Batch) -> Tensor:
        inputs = batch.inputs
        if self.baseline_ids is not None and (inputs is None or not inputs.rows):
            raise OptionError(f"baseline_ids={self.baseline_ids!r}: none of the inputs are token ids, by which an embedding is read")
        if inputs is None:
            return self._like("baseline", self.baseline, batch.x, batch.rows)
        return self._joint_baseline(batch, inputs)

    def _like(self, name: str, value: Any, x: Tensor, rows: slice) -> Tensor:
        """A baseline, as it was given, in the shape of the samples; zeros if there is none."""
        if value is None:
            return torch.zeros_like(x)
        if isinstance(value, Mapping):
            raise OptionError(f"{name}={value!r} is given for each of several inputs, and x is one tensor")
        baseline = _as_numbers(name, value, x.dtype).to(x.device)
        if baseline.ndim == x.ndim and len(baseline) > 1:
            baseline = baseline[rows]
        return like_input(name, baseline, x)

    def _joint_baseline(self, batch: Batch, inputs: JointInputs) -> Tensor:
        """The baseline of several inputs: for each, or one number for all values; for ids, rows that others pick out, or zeros."""
        is_each = is_by_input(self.baseline) and not inputs.is_one_tensor
        given = by_key("baseline", self.baseline, inputs) if is_each else {}
        result = torch.zeros_like(batch.x)
        for slot in inputs.slots:
            if slot.ids is None:
                x = batch.x if inputs.is_own else slot.of(batch.x)
                value = given.get(slot.name) if is_each else self.baseline
                part = self._like(f"baseline of {slot.name!r}" if is_each else "baseline", value, x, batch.rows)
                if inputs.is_own:
                    return part
                result[:, slice(*slot.columns)] = part.reshape(len(part), -1)
        ids = self._baseline_ids(inputs, given, batch.rows)
        return self._with_rows(result, batch, inputs, ids) if ids else result

    def _baseline_ids(self, inputs: JointInputs, given: Mapping[str, Any], rows: slice) -> dict[int | str, Tensor]:
        """Token ids of the baseline, by the key of their input."""
        each = by_key("baseline_ids", self.baseline_ids, inputs) if isinstance(self.baseline_ids, Mapping | tuple) else None
        read = frozenset[str]().union(*(slot.keys for slot in inputs.rows))
        has_values = any(slot.ids is None for slot in inputs.slots)
        of_all = None if has_values or (is_by_input(self.baseline) and not inputs.is_one_tensor) else self.baseline
        if wrong := (each or {}).keys() - read:
            raise OptionError(
                f"baseline_ids= names {', '.join(sorted(wrong))}, by which no embedding is read; token ids are {sorted(read)}"
            )
        found = {}
        for slot in inputs.slots:
            value = self.baseline_ids if each is None else each.get(slot.name)
            value = given.get(slot.name, of_all) if value is None else value
            if slot.ids is not None and slot.name in read and value is not None:
                found[slot.key] = _ids_like(slot, value, rows)
        return found

    def _with_rows(self, baseline: Tensor, batch: Batch, inputs: JointInputs, ids: Mapping[int | str, Tensor]) -> Tensor:
        """A baseline with the rows that other ids pick out."""
        names = {str(key) for key in ids}
        if partly := next((slot.keys for slot in inputs.rows if slot.keys & names and not slot.keys <= names), None):
            raise OptionError(
                f"the model reads the ids of {', '.join(sorted(partly))} from one embedding together: give baseline_ids= for all"
            )
        others = batch.reading_rows(inputs.with_ids(ids)).inputs.rows
        if [slot.shape for slot in others] != [slot.shape for slot in inputs.rows]:
            raise ModelError("the model reads its embeddings otherwise for baseline_ids= than for the ids that are explained")
        for slot, other in zip(inputs.rows, others, strict=True):
            if slot.keys <= names:
                baseline[:, slice(*slot.columns)] = other.rows.reshape(len(baseline), -1).to(baseline.dtype)
        return baseline


_INCOMPLETE = 0.2
"""So much of the difference of scores may be missing from a map."""


class IncompleteWarning(UserWarning):
    """Integrated gradients do not sum to what they should."""


def _as_numbers(name: str, value: Any, dtype: torch.dtype | None = None) -> Tensor:
    """A baseline as a tensor, of a type; None: of its own.

    Raises:
        OptionError: if it is no array of numbers.
    """
    try:
        return torch.as_tensor(value, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise OptionError(f"{name}={value!r} is no number, tensor or array of numbers: {error}") from error


def _as_ids(value: Any) -> Tensor:
    """Token ids of a baseline as a tensor.

    Raises:
        OptionError: if they are no whole numbers.
    """
    ids = _as_numbers("baseline_ids", value)
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise OptionError(f"baseline_ids={value!r} must be token ids: whole numbers")
    return ids


def _ids_like(slot: Slot, value: Any, rows: slice) -> Tensor:
    """Token ids of a baseline in the shape of those of the samples.

    Raises:
        OptionError: if they are no whole numbers, or of another shape.
    """
    assert slot.ids is not None
    ids = _as_ids(value)
    if ids.ndim == slot.ids.ndim and len(ids) > 1:
        ids = ids[rows]
    return like_input("baseline_ids", ids, slot.ids).clone()


class _LayerPath:
    """The straight path of a module's output from that for the baseline to that for the sample.

    Args:
        batch: the samples.
        baseline: in their shape.
        name: of the module.
    """

    def __init__(self, batch: Batch, baseline: Tensor, name: str) -> None:
        self.batch, self.baseline, self.name = batch, baseline, name
        self._at_samples: ValuesOf

    def ends(self, samples: slice) -> tuple[Tensor, Tensor]:
        """The outputs for the baselines and for the samples."""
        start, self._at_samples = (self._output(x[samples], samples) for x in (self.baseline, self.batch.x))
        return start.values(), self._at_samples.values()

    def _output(self, x: Tensor, samples: slice) -> ValuesOf:
        place, points = ValuesOf(self.batch.net, self.name), x.detach().clone().requires_grad_(True).clone()
        with place.watching:
            self.batch.outputs(points, GradientPass(is_quick=True), self.batch.x, _rounds(samples, points))
        return place

    def gradients(
        self, samples: slice, leaf: Tensor, points: Tensor, mode: ForwardPass, start: Callable[[Tensor], Tensor]
    ) -> Sequence[Tensor]:
        """The gradient by the points, which take the place of the output while the network runs on the samples."""
        x = self.batch.x[samples]
        with self._at_samples.replaced_by(points):
            x = torch.cat([x] * len(leaf))
            logits = self.batch.outputs(x, mode, self.batch.x, _rounds(samples, x))
        return [gradient_of(logits, leaf, start(logits))]

    def outputs(self, samples: slice, rows: Sequence[int], points: Tensor, mode: ForwardPass) -> Tensor:
        """The logits at some of the points."""
        x = self.batch.x[samples]
        with self._at_samples.replaced_by(points):
            return self.batch.outputs(x[[row % len(x) for row in rows]], mode, self.batch.x, _samples_at(samples, rows))


def _trapezoid(points: int) -> tuple[list[float], list[float]]:
    """Places in [0, 1] and weights that sum to 1.

    >>> _trapezoid(3)
    ([0.0, 0.5, 1.0], [0.25, 0.5, 0.25])
    """
    if points == 1:
        return [0.5], [1.0]
    weights = np.full(points, 1 / (points - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0.0, 1.0, points).tolist(), weights.tolist()


class SmoothGradAnalyzer(_RepeatedGradientAnalyzer):
    """SmoothGrad: the mean gradient at noisy copies of the input (Smilkov et al. 2017).

    The noise is normal with sigma = noise_level * (max - min) of the sample. It depends on the seed alone, not on the place
    of a sample in its batch, nor on the order in which inputs are named: it is drawn for one after the other as the model takes them
    (arguments of ``forward``, inputs of a Keras model), and sorted by name where the model takes any names.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        noise_level: sigma as a fraction of the sample's range, at least 0; of several inputs each has its own range, and may have its own
            level: a mapping or tuple in their structure.
        num_samples: noisy copies, at least 1.

    At a layer (``at=``) it is the mean gradient by the module's output, at the same copies of the input.
    """

    changes_model = False
    explains_layers = True
    takes_several = True

    def __init__(self, model: nn.Module, noise_level: Any = 0.2, num_samples: int = 50, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, **common)
        for level in values_of(noise_level) or (noise_level,):
            number("noise_level", level, at_least=0)
        self.noise_level = noise_level
        self.num_samples = self.points = whole_number("num_samples", num_samples, at_least=1, at_most=MOST_PASSES)

    def attribute(self, batch: Batch) -> Tensor:
        return self._statistics(batch, None)[0]

    def attribute_at(self, batch: Batch, names: Sequence[str]) -> Sequence[Tensor]:
        _check_rows(batch, names, self.batch_size)
        return self._statistics(batch, partial(_by_outputs, names, batch))

    def _statistics(self, batch: Batch, gradients_at: GradientsAt | None) -> list[Tensor]:
        """What the method makes of the gradients at the noisy copies, at each of its places."""
        totals: dict[int, list[Tensor]] = {}
        for samples, _, gradients in self._gradients(batch, self._noisy(batch), gradients_at):
            before = totals.get(samples.start)
            sums = [gradient.sum(dim=0) for gradient in gradients]
            totals[samples.start] = sums if before is None else [total.add_(part) for total, part in zip(before, sums, strict=True)]
        return [joined(parts) / self.num_samples for parts in zip(*totals.values(), strict=True)]

    def _noisy(self, batch: Batch) -> PointsOf:
        x, sigma = batch.x, in_columns("noise_level", self.noise_level, batch, 0.0) * ranges_by_input(batch)
        order = _order_of_draws(batch)

        def points(samples: slice) -> NextPoints:
            generator = torch.Generator().manual_seed(self.seed)

            def next_points(count: int) -> tuple[Tensor, Tensor]:
                # Drawn one by one, so that they are the same in any chunks, and in float32, which is many times as fast as float64.
                noise = torch.empty(count, *x.shape[1:], dtype=torch.float32, device="cpu")
                for one in noise:
                    torch.randn(one.shape, generator=generator, out=one, device="cpu")
                noise = _in_layout(noise if order is None else noise[:, order], batch)
                leaf = x[samples].expand(count, *x[samples].shape).requires_grad_(True)
                return leaf, torch.addcmul(leaf, sigma[samples], noise.to(x).unsqueeze(1))

            return next_points

        return points


def _order_of_draws(batch: Batch) -> Tensor | None:
    """Which number that is drawn goes to each column of the points, so that the order in which inputs are named changes nothing.

    They are drawn in the order in which the network takes its inputs; names of which it says nothing come last, sorted. None: each goes to
    its own column.
    """
    inputs = batch.inputs
    if inputs is None or inputs.is_own or not any(isinstance(slot.key, str) for slot in inputs.slots):
        return None
    taken = {name: place for place, name in enumerate(arguments_of(batch.net).names)}

    def place(slot: Slot) -> tuple[int, str]:
        return (slot.key - len(inputs.slots) if isinstance(slot.key, int) else taken.get(slot.key, len(taken))), slot.name

    spans = [slot.columns for slot in sorted(inputs.slots, key=place)] + [slot.columns for slot in inputs.rows]
    columns = torch.cat([torch.arange(*span, device="cpu") for span in spans])
    return None if torch.equal(columns, columns.sort().values) else columns.argsort()


def _in_layout(noise: Tensor, batch: Batch) -> Tensor:
    """Noise (count, ...) as if it were drawn with the channels in front, so that the layout of a network changes nothing."""
    if batch.inputs is None or batch.inputs.is_own:
        return _channels_moved(noise, noise.shape[1:], batch.net)
    for slot in batch.inputs.slots:
        columns = slice(*slot.columns)
        if slot.columns[0] < slot.columns[1]:
            noise[:, columns] = _channels_moved(noise[:, columns].clone(), slot.shape, batch.net).flatten(1)
    return noise


def _channels_moved(noise: Tensor, shape: Sequence[int], net: nn.Module) -> Tensor:
    """Noise of an input whose samples have this shape, its values taken in the order of the same input with the channels in front."""
    if len(shape) < 2:
        return noise
    channels = channel_axis(net, len(shape) + 1)
    if channels == 1:
        return noise
    first = [shape[channels - 1], *shape[: channels - 1], *shape[channels:]]
    return noise.reshape(len(noise), *first).movedim(1, channels)


class VarGradAnalyzer(SmoothGradAnalyzer):
    """VarGrad: the population variance of the gradients that SmoothGrad averages (Adebayo et al. 2018).

    Args:
        model: as for ``Analyzer``, and its keyword options.
        num_samples: noisy copies, at least 1.
        noise_level: sigma as a fraction of the sample's range, at least 0.
    """

    changes_model = False
    explains_layers = True
    takes_several = True

    def __init__(self, model: nn.Module, num_samples: int = 50, noise_level: Any = 0.2, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, noise_level, num_samples, **common)

    def _statistics(self, batch: Batch, gradients_at: GradientsAt | None) -> list[Tensor]:
        spreads: dict[int, list[_Spread]] = {}
        for samples, points, gradients in self._gradients(batch, self._noisy(batch), gradients_at):
            of_samples = spreads.setdefault(samples.start, [_Spread(gradient[0]) for gradient in gradients])
            for spread, gradient in zip(of_samples, gradients, strict=True):
                spread.add(gradient, points.start)
        return [joined([spread.squares for spread in parts]) / self.num_samples for parts in zip(*spreads.values(), strict=True)]


class _Spread:
    """The mean of gradients and the sum of their squared distances from it, chunk by chunk (Chan et al. 1979): no large squares cancel."""

    def __init__(self, like: Tensor) -> None:
        self.mean, self.squares = torch.zeros_like(like), torch.zeros_like(like)

    def add(self, gradients: Tensor, so_far: int) -> None:
        """Let the gradients (points, samples, ...) of a chunk join the ``so_far`` points of those before."""
        count, joined = len(gradients), so_far + len(gradients)
        of_chunk = gradients.mean(dim=0)
        change = of_chunk - self.mean
        self.squares += (gradients - of_chunk).square().sum(dim=0) + change.square() * (so_far * count / joined)
        self.mean += change * (count / joined)
