"""Grad-CAM, and its product with guided backpropagation."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError, OptionError
from signxai.engine.feature_maps import FeatureMap, FeatureMapPass
from signxai.engine.following import Lost
from signxai.engine.graph import cut_graph, nodes_behind
from signxai.engine.joint_inputs import JointInputs
from signxai.engine.map_layout import Layout, NoMapError, NowhereError, Part, cells_of, layout_of, overlap, parts_of
from signxai.engine.model_loan import unwrapped
from signxai.engine.module_names import find_module, name_of_module
from signxai.engine.module_outputs import EachOutput
from signxai.engine.samples import AmbiguousSamplesError
from signxai.engine.spans import unique_rows
from signxai.methods.analyzer import Analyzer, CommonOptions
from signxai.methods.backprop import GuidedBackpropAnalyzer
from signxai.methods.batch import Batch, for_batch, gradient_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)


class ZeroMapWarning(UserWarning):
    """A Grad-CAM map is zero everywhere; the message says why."""


@dataclass(frozen=True)
class TakenLayer:
    """Which feature map Grad-CAM takes, and how it lies over the input.

    Attributes:
        layer: dotted name of the module that made it; "" for the model itself.
        operation: the function that made it, or the class of the module that was asked for.
        where: module, class and line of code, in words.
        shape: of the output; of one execution, if there are several.
        executions: how often the layer was run, each time on another part of the input.
        channel_axes: the axes of the output that are channels.
        position_axes: for each axis of the input behind the batch, the axes of the output that run along it; () if none does.
        cells: for each axis of the input behind the batch, how many cells the map has along it (within one image, frame).
    """

    layer: str
    operation: str
    where: str
    shape: tuple[int, ...]
    executions: int
    channel_axes: tuple[int, ...]
    position_axes: tuple[tuple[int, ...], ...]
    cells: tuple[int, ...]

    def __str__(self) -> str:
        times = f", executed {self.executions} times" if self.executions > 1 else ""
        along = ", ".join(
            f"axis {axis} of the input along {_axes(of_output)} ({cells} cells)"
            for axis, (of_output, cells) in enumerate(zip(self.position_axes, self.cells, strict=True), start=1)
            if of_output
        )
        channels = _axes(self.channel_axes)
        return f"the output of {self.operation!r} in {self.where}, of shape {self.shape}{times}: channels on {channels}, {along}"


def _axes(axes: Sequence[int]) -> str:
    return f"ax{'i' if len(axes) == 1 else 'e'}s {', '.join(map(str, axes))}" if axes else "no axis"


@dataclass(frozen=True)
class _Taken:
    """A feature map as it was chosen, with all executions of its layer."""

    found: FeatureMap
    layouts: list[Layout]
    parts: list[Part]

    @property
    def report(self) -> TakenLayer:
        """Which it is, in words and numbers."""
        first = self.layouts[0]
        channels = tuple(axis for axis in range(len(self.found.shape)) if axis not in first.axes and self.found.shape[axis] > 1)
        counts = zip(*((line.count for line in part.lines) for part in self.parts), strict=True)
        cells = tuple(max(of_parts) for of_parts in counts)
        place = self.found.place
        shape = self.found.shape
        return TakenLayer(place.module, self.found.operation, str(place), shape, len(self.layouts), channels, first.along, cells)


class GradCAMAnalyzer(Analyzer):
    """Grad-CAM: ReLU of the feature maps weighted by their mean gradient, scaled to the input (Selvaraju et al. 2017).

    How the feature map lies over the input is followed through the network, operation by operation, in whatever layout: the
    axes that run along those of the input are positions, the others channels; class tokens and whatever else stands nowhere, or for
    all positions together, are left out. A layer that is run on several images or frames, in a row of the batch or one after the other,
    has weights of its own for each that was not yet mixed with others there. The map is up-sampled linearly to the part of the input that
    it was made of, divided by its maximum (each sample's own; all zero stays zero) and repeated over the other axes: values in [0, 1].

    Args:
        model: as for ``Analyzer``, and its keyword options.
        target_layer: a module of the model or its dotted name, of Keras the layer's name; None: the last feature map executed, of more
            than one position, that the target depends on: the output of a convolution (with its low-rank adapter) or, in a transformer, of
            a norm over the features of tokens.

    Raises:
        ModelError: if no feature map is found, or how it lies over the input cannot be followed.
        OptionError: if the target layer is not in the model.

    Warns:
        ZeroMapWarning: if the map of a sample is zero everywhere, with the reason.

    >>> import torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    >>> taken = GradCAMAnalyzer(net).feature_map(torch.ones(1, 3, 8, 8), 0)
    >>> taken.layer, taken.channel_axes, taken.position_axes, taken.cells
    ('0', (1,), ((), (2,), (3,)), (1, 6, 6))
    """

    changes_model = False
    takes_several = True

    def __init__(self, model: nn.Module, target_layer: nn.Module | str | None = None, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, **common)
        self.target_layer = target_layer

    def feature_map(self, input_tensor: Any, target_class: Any = None) -> TakenLayer:
        """Which layer's output the map is made of, and which of its axes are which; arguments as for ``analyze``."""
        return self.in_batches(self._report, input_tensor, target_class)

    def _report(self, batches: list[Batch]) -> TakenLayer:
        inputs = batches[0].inputs
        if inputs is not None and not inputs.is_own:
            raise OptionError(f"here are {inputs}: say by explained= which of them the feature map is to lie over")
        return for_batch(batches[0], self._taken)[0].report

    def _puts_hooks(self) -> bool:
        return self.target_layer is not None

    def attribute(self, batch: Batch) -> Tensor:
        if batch.inputs is None or batch.inputs.is_own:
            return self._at_own(batch)
        return self._at_each(batch, batch.inputs)

    def _at_each(self, batch: Batch, inputs: JointInputs) -> Tensor:
        """The map of each input of several positions by itself, the others held as they are."""
        result = torch.zeros_like(batch.x)
        with_positions = [slot for slot in inputs.slots if slot.ids is None and len(slot.shape) > 1]
        if not with_positions:
            raise ModelError(
                f"none of the inputs {inputs} has several positions, as an image or a signal (N, C, T) has; choose another method"
            )
        batch.found.without.update(slot.name for slot in inputs.slots if slot not in with_positions)  # token ids, too
        for slot in with_positions:
            own, x = inputs.alone(slot, batch.x)
            cam = self._at_own(replace(batch, x=x, inputs=own, first_logits=None))
            result[:, slice(*slot.columns)] = cam.reshape(len(cam), -1)
        return result

    def _at_own(self, batch: Batch) -> Tensor:
        taken = self._taken(batch)
        _LOG.info("Grad-CAM takes %s; name another layer by layer=", taken.report)
        cam = _class_activation(taken.parts, batch.x)
        self._say_if_zero(cam, taken)
        return cam

    def _taken(self, batch: Batch) -> _Taken:
        try:
            return self._chosen(batch, None)
        except _LetGoError as missing:
            return self._chosen(batch, missing.numbers)

    def _chosen(self, batch: Batch, only: frozenset[int] | None) -> _Taken:
        mode = FeatureMapPass(self.target_layer is None, only)
        with self._capturing(batch.net, mode):
            logits = batch.run(batch.x.detach().requires_grad_(True), mode)
        batch.tell(logits)
        if not mode.found:
            if not logits.requires_grad:
                raise cut_graph()
            raise ModelError(self._nothing_captured())
        return _Choice(mode, logits, batch.initial_relevance(logits), self.target_layer is None).taken()

    def _nothing_captured(self) -> str:
        if self.target_layer is None:
            return (
                "Grad-CAM needs a convolution, or a norm over tokens, of more than one position, and none was executed; choose another "
                "method, or name a layer by layer="
            )
        return f"the target layer {self.target_layer!r} was not executed, or its output does not depend on the input; choose another"

    def _capturing(self, net: nn.Module, mode: FeatureMapPass) -> AbstractContextManager[Any]:
        if self.target_layer is None:
            return nullcontext()
        layer = self.target_layer
        name = layer if isinstance(layer, str) else name_of_module(unwrapped(self.model), layer)
        module = find_module(net, name)
        return EachOutput(module, partial(mode.capture, name=name, module=module))

    def _say_if_zero(self, cam: Tensor, taken: _Taken) -> None:
        """Warn of samples whose map is zero everywhere, with the reason."""
        is_zero = ~cam.flatten(1).any(1)
        if not bool(is_zero.any()):
            return
        has_gradient = torch.stack([part.gradient.flatten(1).any(1) for part in taken.parts]).any(0)
        reasons = {
            "all evidence there is against the class": is_zero & has_gradient,
            "the class's score does not change with any value there (its gradient is zero)": is_zero & ~has_gradient,
        }
        told = "; ".join(f"sample {_numbers(which)}: {reason}" for reason, which in reasons.items() if bool(which.any()))
        warnings.warn(
            f"the Grad-CAM map of {int(is_zero.sum())} of {len(cam)} samples is zero everywhere. {told}. It was made of {taken.report}; "
            "name another layer by layer=, or explain another class",
            ZeroMapWarning,
            stacklevel=2,
        )


def _numbers(which: Tensor) -> str:
    return ", ".join(str(int(number)) for number in which.nonzero().flatten())


class _LetGoError(Exception):
    """The values of these feature maps were let go; another run has to keep them."""

    def __init__(self, numbers: frozenset[int]) -> None:
        super().__init__()
        self.numbers = numbers


class _Choice:
    """Chooses among the feature maps that a run has found.

    Args:
        mode: the pass of that run.
        logits: its output.
        start: what is explained of it.
        is_automatic: the last feature map is looked for; otherwise the layer was named.
    """

    def __init__(self, mode: FeatureMapPass, logits: Tensor, start: Tensor, is_automatic: bool) -> None:
        self.mode, self.logits, self.start, self.is_automatic = mode, logits, start, is_automatic
        self.samples = mode.samples
        behind = set(nodes_behind(logits.grad_fn))
        self.reached = [found for found in mode.found if found.edge.node in behind]
        self._any_gradient = False
        self._last_gradient: tuple[FeatureMap, Tensor] | None = None

    def taken(self) -> _Taken:
        """The last feature map of more than one position that the target depends on.

        Raises:
            ModelError: if there is none, or how it lies over the input is unknown.
        """
        last: FeatureMap | None = None
        for found in reversed(self.reached):
            if not self._has_positions(found):
                continue
            last = last or found
            if not self.is_automatic or self._matters(found):
                return self._with_executions(found)
        if last is None:
            raise ModelError(self._none_reached())
        if self._any_gradient:
            raise ModelError("no feature map of this transformer has a gradient at more than one token; name a layer by layer=")
        return self._with_executions(last)

    def _none_reached(self) -> str:
        places = sorted({str(found.place) for found in self.mode.found})
        which = "; ".join(places[:3]) + (f"; and {len(places) - 3} more" if len(places) > 3 else "")
        if not self.is_automatic:
            return f"the class that is explained does not depend on the output of {which}; name another by layer="
        return (
            "Grad-CAM needs a convolution, or a norm over tokens, of more than one position on which the class that is explained depends; "
            f"none of those that were executed is one: {which}; choose another method, or name a layer by layer="
        )

    def _has_positions(self, found: FeatureMap) -> bool:
        if not self.is_automatic:
            return True
        lengths = found.shape[:-1] if found.is_norm else found.shape[2:]
        if torch.Size(lengths).numel() <= (self.samples if found.is_norm else 1):
            return False
        layout = self._layout(found)
        try:
            is_cell, places = self._laid_out(found, partial(cells_of, [layout]))
        except NowhereError:
            return False
        return len(unique_rows(places[is_cell][:, 1:, :2])[0]) > 1

    def _layout(self, found: FeatureMap) -> Layout:
        known = self.mode.positions(found)
        if isinstance(known, Lost):
            raise ModelError(
                f"Grad-CAM cannot follow how the output of {found.operation!r} in {found.place}, of shape {found.shape}, lies over the "
                f"input of shape {self.mode.input_shape}: its axes are lost in {known.by}; name a layer in front of that by layer="
            )
        return layout_of(known, self.mode.input_features())

    def _laid_out(self, found: FeatureMap, compute: Callable[[], Result]) -> Result:
        try:
            return compute()
        except NowhereError:
            if self.is_automatic:
                raise
            raise self._no_map(found, "none of its values stands at a place of the input") from None
        except NoMapError as error:
            raise self._no_map(found, str(error)) from error

    def _no_map(self, found: FeatureMap, reason: str) -> ModelError:
        return ModelError(
            f"the output of {found.operation!r} in {found.place}, of shape {found.shape}, is no feature map over an input of shape "
            f"{self.mode.input_shape}: {reason}; name another layer by layer="
        )

    def _gradient(self, found: FeatureMap) -> Tensor:
        if self._last_gradient is None or self._last_gradient[0] is not found:
            self._last_gradient = found, gradient_of(self.logits, found.edge, self.start, keep_graph=True)
        return self._last_gradient[1]

    def _matters(self, found: FeatureMap) -> bool:
        """Whether the target depends on it, in a transformer at more than one token."""
        layout, gradient = self._layout(found), self._gradient(found)
        is_cell, places = cells_of([layout])
        reached = layout.rows(gradient).any(1).cpu() & is_cell
        sample_of = places[:, 0, 0].masked_fill(~is_cell, 0).long()
        self._any_gradient |= bool(reached.any())
        counts = torch.bincount(sample_of[reached], minlength=self.samples)
        enough = counts > (1 if found.is_norm else 0)
        if bool(enough.any()) and not bool(enough.all()):
            raise AmbiguousSamplesError("the class depends on other feature maps in some samples than in others; set batch_size=1")
        return bool(enough.all())

    def _with_executions(self, found: FeatureMap) -> _Taken:
        """A feature map with those of the same layer on other parts of the input."""
        executions, layouts = [found], [self._layout(found)]
        for other in reversed(self.reached[: self.reached.index(found)]):
            if other.layer == found.layer:
                layout = self._layout(other)
                if any(overlap(layout.places, one.places) for one in layouts):
                    break
                executions.append(other)
                layouts.append(layout)
        missing = frozenset(one.number for one in executions if one.values is None)
        if missing:
            raise _LetGoError(frozenset(one.number for one in executions))
        values = [one.values.take() for one in executions if one.values is not None]
        gradients = [self._gradient(one) for one in executions]
        if len({layout.rows(one).shape[1] for layout, one in zip(layouts, values, strict=True)}) > 1:
            raise ModelError(f"executions of {found.place} have outputs of different shapes; name another layer by layer=")
        parts = self._laid_out(found, partial(parts_of, layouts, values, gradients, self.samples))
        if all(part.present.shape[1] == 1 for part in parts):
            raise self._no_map(found, "it has one position only")
        return _Taken(found, layouts, parts)


def _class_activation(parts: Sequence[Part], x: Tensor) -> Tensor:
    """ReLU of the channel sum weighted by the mean gradient, laid over ``x`` and divided by the maximum of each sample."""
    with torch.no_grad():
        cam = torch.zeros_like(x)
        for part in parts:
            weights = part.gradient.sum(1) / part.present.sum(1, keepdim=True).clamp(min=1)
            of_cells = (part.features * weights[:, None]).sum(2).clamp(min=0)
            cam += part.spread(of_cells, x.shape[1:])
        maximum = cam.flatten(1).amax(1).view(-1, *(1,) * (x.ndim - 1))
        return cam / maximum.masked_fill(maximum == 0, 1.0)


class GuidedGradCAMAnalyzer(Analyzer):
    """Guided Grad-CAM: Grad-CAM times guided backpropagation (Selvaraju et al. 2017).

    Args:
        model: as for ``Analyzer``, and its keyword options.
        target_layer: as for ``GradCAMAnalyzer``.

    Raises:
        ModelError: as for ``GradCAMAnalyzer``, or if no ReLU is executed.
    """

    changes_model = False
    takes_several = True

    def __init__(self, model: nn.Module, target_layer: nn.Module | str | None = None, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, **common)
        self.target_layer = target_layer
        self._factors: tuple[Analyzer, Analyzer] = (GradCAMAnalyzer(model, target_layer, **common), GuidedBackpropAnalyzer(model, **common))

    def _puts_hooks(self) -> bool:
        return self.target_layer is not None

    def attribute(self, batch: Batch) -> Tensor:
        cam, guided = (factor.attribute(batch) for factor in self._factors)
        return cam * guided
