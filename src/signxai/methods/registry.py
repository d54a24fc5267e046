"""Method name -> analyzer: one explicit table, and what turns a parsed name with options into a ready analyzer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from signxai.common.errors import OptionError
from signxai.methods.analyzer import Analyzer
from signxai.methods.backprop import DeconvNetAnalyzer, GuidedBackpropAnalyzer
from signxai.methods.cam import GradCAMAnalyzer, GuidedGradCAMAnalyzer
from signxai.methods.gradients import GradientAnalyzer, GradientXInputAnalyzer, RandomUniformAnalyzer
from signxai.methods.lrp import DeepTaylorAnalyzer, MethodLRPAnalyzer
from signxai.methods.repeated import IntegratedGradientsAnalyzer, SmoothGradAnalyzer, VarGradAnalyzer
from signxai.names.grammar import DOTTED_EPSILON, PRESET_BOUNDS, MethodSpec, register_form

_COMMON_OPTIONS = ("batch_size", "seed", "relevance", "as_tensor")
_LRP_OPTIONS = (*_COMMON_OPTIONS, "stabilizer", "strict", "at")


@dataclass(frozen=True)
class Method:
    """How a method word becomes an analyzer: the class, and the options that ``explain`` passes on under the class's names."""

    analyzer: Callable[..., Any]
    options: Mapping[str, str]


def _method(analyzer: Callable[..., Any], *own: str, **renamed: str) -> Method:
    return Method(analyzer, {name: name for name in (*own, *_COMMON_OPTIONS)} | renamed)


_METHODS: dict[str, Method] = {
    "gradient": _method(GradientAnalyzer, "at"),
    "input_t_gradient": _method(GradientXInputAnalyzer),
    "integrated_gradients": _method(IntegratedGradientsAnalyzer, "steps", "baseline"),
    "smoothgrad": _method(SmoothGradAnalyzer, "noise_level", "num_samples"),
    "vargrad": _method(VarGradAnalyzer, "noise_level", "num_samples"),
    "guided_backprop": _method(GuidedBackpropAnalyzer, "at"),
    "deconvnet": _method(DeconvNetAnalyzer, "at"),
    "grad_cam": _method(GradCAMAnalyzer, layer="target_layer", target_layer="target_layer"),
    "grad_cam_timeseries": _method(GradCAMAnalyzer, layer="target_layer", target_layer="target_layer"),
    "guided_grad_cam": _method(GuidedGradCAMAnalyzer, layer="target_layer", target_layer="target_layer"),
    "deep_taylor": _method(DeepTaylorAnalyzer, "epsilon", "stabilizer", "strict", "at"),
    "random_uniform": _method(RandomUniformAnalyzer),
}

_RULE_OPTIONS: dict[str, tuple[str, ...]] = {
    "epsilon": ("epsilon",),
    "epsilon_std_x": ("epsilon",),
    "alpha_beta": ("alpha", "beta"),
    "gamma": ("gamma",),
    "epsilon_plus": ("epsilon",),
    "epsilon_plus_flat": ("epsilon",),
    "epsilon_alpha2_beta1": ("epsilon",),
    "epsilon_alpha2_beta1_flat": ("epsilon",),
    "epsilon_gamma_box": ("epsilon", "gamma", "low", "high"),
}
_INPUT_WORD_OPTIONS = {"lrpsign": ("mu",), "zblrp": ("low", "high")}


def register(name: str, analyzer_class: Callable[..., Any]) -> None:
    """Add a method; see ``signxai.register_method``."""
    parameters = list(inspect.signature(analyzer_class).parameters.values())[1:]
    own = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in _COMMON_OPTIONS]
    numeric = {p.name: type(p.default) for p in own if type(p.default) in (int, float)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    common = _COMMON_OPTIONS if takes_any else tuple(p.name for p in parameters if p.name in _COMMON_OPTIONS)
    if isinstance(analyzer_class, type) and issubclass(analyzer_class, Analyzer):
        common = analyzer_class.options()  # those of the classes above it too
    register_form(name, numeric)
    _METHODS[name] = Method(analyzer_class, {option: option for option in (*(p.name for p in own), *common)})


def method_of(spec: MethodSpec) -> Method:
    """The entry of a parsed name; LRP names are a product of two tables, not entries."""
    if spec.rule is None:
        return _METHODS[spec.method]
    names = (*_RULE_OPTIONS.get(spec.rule, ()), *_INPUT_WORD_OPTIONS.get(spec.method, ()), *_LRP_OPTIONS)
    return Method(partial(MethodLRPAnalyzer, input_word=spec.method, rule=spec.rule), {name: name for name in names})


def analyzer_for(spec: MethodSpec, model: nn.Module, options: Mapping[str, Any]) -> Any:
    """A ready analyzer for a parsed name and the options beside it.

    Raises:
        OptionError: if an option is unknown, or the name already sets it.
    """
    method = method_of(spec)
    in_name = dict(spec.params)
    arguments = _defaults(spec) | in_name
    for name, value in options.items():
        if name not in method.options:
            allowed = ", ".join(sorted(method.options))
            raise OptionError(f"{name!r} is not an option of {str(spec)!r}; its options are {allowed}")
        parameter = method.options[name]
        if name in in_name or parameter in in_name:
            raise OptionError(f"{name}={value!r} is given, but the name {str(spec)!r} already says {in_name[parameter]:g}; leave one out")
        if parameter in arguments and name != parameter and parameter in options:
            raise OptionError(f"{name!r} and {parameter!r} are the same option of {str(spec)!r}; leave one out")
        arguments[parameter] = value
    return method.analyzer(model, **arguments)


def _defaults(spec: MethodSpec) -> dict[str, Any]:
    if spec.method == "zblrp" and spec.preset is not None:
        return dict(zip(("low", "high"), PRESET_BOUNDS, strict=True))
    if spec.rule == "epsilon" and "epsilon" not in dict(spec.params):
        return {"epsilon": DOTTED_EPSILON}
    return {}


__all__ = ["Method", "analyzer_for", "method_of", "register"]
