"""From a method's name and its options to a relevance map: the one path behind every public entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError, OptionError, UnknownOptionError
from signxai.engine.given_inputs import is_structured
from signxai.engine.inputs import as_input, is_finite
from signxai.engine.model_loan import unwrapped
from signxai.methods.analyzer import Analyzer, as_array, check_graph, flag, number
from signxai.methods.batch import Batch, SharedResults, not_finite
from signxai.methods.by_input import is_by_input, sign_by_input
from signxai.methods.layers_option import of_each
from signxai.methods.registry import analyzer_for, method_of
from signxai.methods.sign import sign_about
from signxai.names.grammar import MethodSpec, Multiplier, parse_method


@dataclass(frozen=True)
class Explainer:
    """A method's name with all its options, bound to a model.

    Attributes:
        model: what is explained, as the user gave it.
        analyzer: what gives the map.
        multipliers: what the map is multiplied by, every threshold filled in.
        as_tensor: whether a tensor is wanted instead of a NumPy array.
        thresholds: the open threshold of each input, where they differ.
    """

    model: nn.Module
    analyzer: Any
    multipliers: tuple[Multiplier, ...]
    as_tensor: bool
    thresholds: Any = None

    def explain(self, x: Any, target_class: Any = None, shared: SharedResults | None = None) -> Any:
        """The map of an input, or from each of several layers to its own; ``shared``: what other methods have computed for this model,
        input and target, and will."""
        if self._is_joint(x):
            return self._explain_joint(x, target_class, shared)
        relevance = self._relevance(x, target_class, shared)
        if not (self._is_analyzer and self.analyzer.layers is not None):
            relevance = self._multiplied(relevance, x)
        is_checked = self._is_analyzer and all(multiplier.kind == "sign" for multiplier in self.multipliers)
        if not is_checked and not is_finite(relevance):
            raise not_finite(None)
        return relevance if self.as_tensor else of_each(as_array, relevance)

    def _is_joint(self, x: Any) -> bool:
        """Whether what the model takes is more than one tensor of values."""
        return self.analyzer.is_joint(x) if self._is_ours else is_structured(x)

    @cached_property
    def _is_analyzer(self) -> bool:
        """Whether the analyzer is an ``Analyzer``."""
        return isinstance(self.analyzer, Analyzer)

    @property
    def _is_ours(self) -> bool:
        """Whether the analyzer's ``analyze`` is that of all analyzers, not one that a user wrote."""
        return self._is_analyzer and type(self.analyzer).analyze is Analyzer.analyze

    def _explain_joint(self, x: Any, target_class: Any, shared: SharedResults | None) -> Any:
        """The maps of several inputs, in their structure."""
        if self._is_ours:
            relevance = self.analyzer.relevance_of(x, target_class, shared, self._multiply_batch if self.multipliers else None)
            return relevance if self.as_tensor else of_each(as_array, relevance)
        if self.multipliers:
            raise OptionError("a multiplier does not go with several inputs where a method has an analyze of its own; leave it out")
        return self.analyzer.analyze(x, target_class)

    def _multiply_batch(self, relevance: Tensor, batch: Batch) -> Tensor:
        inputs = batch.inputs
        if inputs is not None and inputs.has_ids and not inputs.rows and batch.found.read:
            raise OptionError(
                "token ids are names, by which no relevance can be multiplied; leave the multiplier out, or use a gradient method"
            )
        for multiplier in self.multipliers:
            mu = self.thresholds if multiplier.mu is None else multiplier.mu
            relevance = relevance * (batch.x if multiplier.kind == "input" else sign_by_input(batch, mu))
        if not is_finite(relevance):
            raise not_finite(None)
        return relevance

    def _relevance(self, x: Any, target_class: Any, shared: SharedResults | None) -> Any:
        """What the analyzer gives. An ``analyze`` that a user wrote is called as it is, and shares nothing."""
        if self._is_ours:
            return self.analyzer.relevance_of(x, target_class, shared)
        relevance = self.analyzer.analyze(x, target_class)
        return relevance if isinstance(relevance, Tensor) else torch.as_tensor(relevance, device="cpu")

    def _multiplied(self, relevance: Tensor, x: Any) -> Tensor:
        if self.thresholds is not None and is_by_input(self.thresholds):
            raise OptionError(f"mu={self.thresholds!r} is given for each of several inputs, and x is one tensor")
        shape = tuple(x.shape) if isinstance(x, Tensor | np.ndarray) else np.shape(x)
        if relevance.shape != shape:
            raise ModelError(f"the analyzer returned relevance of shape {tuple(relevance.shape)} for an input of shape {shape}")
        if not self.multipliers:
            return relevance
        tensor = as_input(unwrapped(self.model), x).to(relevance.device)
        if relevance.requires_grad and isinstance(x, Tensor):
            tensor = x.to(tensor)  # with its graph
        for multiplier in self.multipliers:
            relevance = relevance * (tensor if multiplier.kind == "input" else sign_about(tensor, multiplier.mu or 0.0))
        return relevance


def explain_together(
    explainers: Mapping[str, Explainer], x: Any, target_class: Any = None, shared: SharedResults | None = None
) -> dict[str, Any]:
    """Explain one decision by several methods of one model, which share what they can.

    Args:
        explainers: by name.
        x, target_class: as for ``signxai.explain``.
        shared: where they share it, for whoever asks for it afterwards; None: nobody does.
    """
    shared = shared or SharedResults(len(explainers))
    return {name: explainer.explain(x, target_class, shared) for name, explainer in explainers.items()}


def explainer_for(model: nn.Module, name: str | MethodSpec, options: Mapping[str, Any]) -> Explainer:
    """Bind a method's name and options to a model.

    Raises:
        MethodNameError: if the name is none.
        OptionError: if the method does not take an option, the name already sets it, or its value is not allowed.
    """
    spec = spec_of(name)
    taken = method_of(spec).options
    rest = dict(options)
    as_tensor = flag("as_tensor", rest.pop("as_tensor", False))
    check_graph(rest.get("create_graph", False), as_tensor)
    mu = rest.get("mu")
    if _has_open_threshold(spec) and ("mu" not in taken or "mu" in dict(spec.params)):
        rest.pop("mu", None)  # it is the multiplier's alone
    if "as_tensor" in taken:
        rest["as_tensor"] = True  # an array is made of it once, at the end
    multipliers = spec.multipliers if mu is not None and is_by_input(mu) else _filled_in(spec, mu)
    analyzer = analyzer_for(spec, model, rest)
    if multipliers and _is_at_a_layer(analyzer):
        raise OptionError(f"{str(spec)!r} multiplies by the input, so at= does not go with it; leave one of them out")
    return Explainer(model, analyzer, multipliers, as_tensor, mu)


def explainers_for(model: nn.Module, names: Sequence[str | MethodSpec], options: Mapping[str, Any]) -> dict[str, Explainer]:
    """The same for several names, as given; each option goes to the methods that take it.

    Raises:
        MethodNameError, OptionError: as ``explainer_for``, and if none of the methods takes an option.
    """
    if isinstance(names, str | MethodSpec):
        raise OptionError(f"method_names={str(names)!r} is one name; give a sequence of names, or call explain")
    specs = {str(name): spec_of(name) for name in names}
    own = {name: {key: value for key, value in options.items() if takes(spec, key)} for name, spec in specs.items()}
    unknown = [key for key in options if not any(key in taken for taken in own.values())]
    if unknown:
        raise UnknownOptionError(f"none of the methods takes the option {unknown[0]!r}")
    return {name: explainer_for(model, spec, own[name]) for name, spec in specs.items()}


def spec_of(name: str | MethodSpec) -> MethodSpec:
    """A name, read; a value of one checks itself when it is made.

    Raises:
        MethodNameError: if there is no such name.
    """
    return name if isinstance(name, MethodSpec) else parse_method(name)


def takes(spec: MethodSpec, option: str) -> bool:
    """Whether a method takes an option of this name."""
    return option == "as_tensor" or option in method_of(spec).options or (option == "mu" and _has_open_threshold(spec))


def _has_open_threshold(spec: MethodSpec) -> bool:
    """Whether a sign multiplier of the name waits for the option ``mu=``."""
    return any(multiplier.kind == "sign" and multiplier.mu is None for multiplier in spec.multipliers)


def _filled_in(spec: MethodSpec, mu: Any) -> tuple[Multiplier, ...]:
    """The name's multipliers, an open threshold set to ``mu``."""
    if not _has_open_threshold(spec):
        return spec.multipliers
    if mu is None:
        raise OptionError(f"{str(spec)!r} names a threshold without a number; give the option mu=, or write _x_sign_mu_0_5")
    threshold = Multiplier("sign", number("mu", mu))
    return tuple(threshold if one.kind == "sign" and one.mu is None else one for one in spec.multipliers)


def _is_at_a_layer(analyzer: Any) -> bool:
    return isinstance(analyzer, Analyzer) and analyzer.layers is not None
