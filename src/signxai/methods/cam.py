"""Grad-CAM, and its product with guided backpropagation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from signxai.common.errors import InputError, ModelError
from signxai.engine.feature_maps import FeatureMapPass, Layout
from signxai.engine.model_loan import unwrapped
from signxai.engine.module_outputs import EachOutput, find_module, name_of_module
from signxai.methods.analyzer import Analyzer, CommonOptions
from signxai.methods.backprop import GuidedBackpropAnalyzer
from signxai.methods.batch import Batch, gradient_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


class GradCAMAnalyzer(Analyzer):
    """Grad-CAM: ReLU of the feature maps weighted by their mean gradient, scaled to the input (Selvaraju et al. 2017).

    The map is up-sampled linearly to the input's spatial size, divided by its maximum (each sample's own; all zero stays
    zero) and repeated over the input's channels: values in [0, 1].

    Args:
        model: as for ``Analyzer``, and its keyword options.
        target_layer: a module of the model or its dotted name; None: the last spatial feature map executed, which is the output
            of a convolution or, in a transformer, of a norm over tokens, laid out as a grid without the class token.

    Raises:
        ModelError: if no feature map is found, or the target layer gives none: (N, C, ...), (N, ..., C) or (N, tokens, C).
        OptionError: if the target layer is not in the model.
    """

    changes_model = False

    def __init__(self, model: nn.Module, target_layer: nn.Module | str | None = None, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, **common)
        self.target_layer = target_layer

    def attribute(self, batch: Batch) -> Tensor:
        mode = FeatureMapPass(batch.x.shape, automatic=self.target_layer is None)
        with self._capturing(batch.net, mode):
            logits = batch.run(batch.x.detach().requires_grad_(True), mode)
        if not mode.found:
            raise ModelError(self._nothing_captured())
        features, gradient = _last_reached(mode, logits, batch.initial_relevance(logits))
        return _spread(_class_activation(features, gradient), batch.x)

    def _nothing_captured(self) -> str:
        if self.target_layer is None:
            return "Grad-CAM needs a convolution, and none was executed; choose another method, or give target_layer="
        return f"the target layer {self.target_layer!r} was not executed, or its output does not depend on the input; choose another"

    def _capturing(self, net: nn.Module, mode: FeatureMapPass) -> AbstractContextManager[Any]:
        if self.target_layer is None:
            return nullcontext()
        layer = self.target_layer
        name = layer if isinstance(layer, str) else name_of_module(unwrapped(self.model), layer)
        return EachOutput(find_module(net, name), mode.capture)


def _last_reached(mode: FeatureMapPass, logits: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """The last feature map whose gradient is not at one place alone, and that gradient: both (N, C, ...)."""
    for found in reversed(mode.found):
        gradient = gradient_of(logits, found.edge, start, keep_graph=True)
        layout = found.layout or Layout(())
        features, gradient = layout.channels_first(found.values.take()), layout.channels_first(gradient)
        if found.is_certain or bool((gradient.flatten(2).abs().amax(1) > 0).sum(1).gt(1).all()):
            return features, gradient
    raise ModelError("no feature map of this transformer has a gradient at more than one token; give target_layer=")


def _class_activation(features: Tensor, gradient: Tensor) -> Tensor:
    """ReLU of the channel sum weighted by the mean gradient: (N, C, ...) to (N, 1, ...)."""
    if features.ndim < 3:
        raise ModelError(f"Grad-CAM needs feature maps (N, C, ...) with a spatial axis, not {tuple(features.shape)}; choose a convolution")
    axes = tuple(range(2, features.ndim))
    return (gradient.mean(dim=axes, keepdim=True) * features).sum(dim=1, keepdim=True).clamp(min=0)


def _spread(cam: Tensor, x: Tensor) -> Tensor:
    """Up-sample to the last axes of ``x``, divide by the maximum of each sample and repeat over the other axes."""
    spatial = cam.ndim - 2
    if spatial > 3 or spatial > x.ndim - 1:
        raise InputError(f"a feature map with {spatial} spatial axes cannot be laid over an input of shape {tuple(x.shape)}")
    with torch.no_grad():
        size = x.shape[x.ndim - spatial :]
        cam = F.interpolate(cam, size=size, mode=_INTERPOLATION[spatial], align_corners=False)
        maximum = cam.flatten(1).amax(dim=1).view(-1, *(1,) * (cam.ndim - 1))
        cam = cam / maximum.masked_fill(maximum == 0, 1.0)
        return cam.view(len(x), *(1,) * (x.ndim - 1 - spatial), *size).expand_as(x).clone()


class GuidedGradCAMAnalyzer(Analyzer):
    """Guided Grad-CAM: Grad-CAM times guided backpropagation (Selvaraju et al. 2017).

    Args:
        model: as for ``Analyzer``, and its keyword options.
        target_layer: as for ``GradCAMAnalyzer``.

    Raises:
        ModelError: if no convolution or no ReLU is executed.
    """

    changes_model = False

    def __init__(self, model: nn.Module, target_layer: nn.Module | str | None = None, **common: Unpack[CommonOptions]) -> None:
        super().__init__(model, **common)
        self.target_layer = target_layer
        self._factors: tuple[Analyzer, Analyzer] = (GradCAMAnalyzer(model, target_layer, **common), GuidedBackpropAnalyzer(model, **common))

    def attribute(self, batch: Batch) -> Tensor:
        cam, guided = (factor.attribute(batch) for factor in self._factors)
        return cam * guided
