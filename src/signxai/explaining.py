"""From a method's name, a model and an input to a relevance map; and how new methods get a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError, OptionError
from signxai.engine.forward import as_input
from signxai.engine.model_loan import unwrapped
from signxai.engine.prediction import predicted_target
from signxai.methods.analyzer import Analyzer, as_array, number
from signxai.methods.registry import analyzer_for, method_of, register
from signxai.methods.sign import sign_about
from signxai.names.grammar import MethodSpec, Multiplier, parse_method

__all__ = ["explain", "explain_all", "register_method"]


def explain(
    model: nn.Module, x: Any, method_name: str | MethodSpec, target_class: Any = None, **options: Any
) -> np.ndarray[Any, Any] | Tensor:
    """Show what a model's decision rests on: relevance for every value of the input.

    Args:
        model: any ``torch.nn.Module``. It is borrowed: afterwards it is exactly as before, also after an error. A softmax at
            its output is taken off; what is explained is the logit.
        x: tensor or array (N, ...), moved to the model's device and dtype.
        method_name: a name of the grammar, for example ``"lrpsign_epsilon_0_25_std_x"``, or a parsed one.
        target_class: None (argmax of each sample), an integer, N integers, a tuple index behind the batch axis for outputs
            with more axes, for example (class, time), or a callable from outputs to (N,).
        **options: parameters of the method that the name does not set (``epsilon=``, ``steps=``, ``mu=``, ``low=``,
            ``high=``, ``layer=``, ``baseline=``, ...), and for every method ``batch_size=`` (most samples in one forward
            pass), ``seed=`` (default 0), ``relevance=`` ("one_hot": relevance starts with 1, "logit": with the target's
            logit) and ``as_tensor=`` (return a tensor on the model's device). LRP and gradient methods of one backward pass
            also take ``at="features.10"``: the relevance that arrives at that module's output, in its shape.

    Returns:
        Relevance in the shape of ``x``, a floating-point NumPy array or tensor.

    Raises:
        MethodNameError, OptionError, TargetError, InputError, ModelError: all of them ``SignxaiError``; the message says
            what came, what is allowed and what to do.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
    >>> explain(model, torch.ones(2, 4), "gradient_x_sign", target_class=0).shape
    (2, 4)
    """
    spec = parse_method(str(method_name) if isinstance(method_name, MethodSpec) else method_name)
    multipliers, options = _multipliers(spec, options)
    as_tensor = _flag("as_tensor", options.pop("as_tensor", False))
    analyzer = analyzer_for(spec, model, options)
    if isinstance(analyzer, Analyzer):
        analyzer.as_tensor = True
    result = torch.as_tensor(analyzer.analyze(x, target_class))
    result = _multiplied(result, model, x, multipliers) if options.get("at") is None else result
    return result if as_tensor else as_array(result)


def explain_all(
    model: nn.Module, x: Any, method_names: Sequence[str | MethodSpec], target_class: Any = None, **options: Any
) -> dict[str, np.ndarray[Any, Any] | Tensor]:
    """Explain one decision by several methods, which share what they can: the prediction, and the plain gradient.

    Args:
        model, x, target_class: as for ``explain``.
        method_names: names or parsed names.
        **options: as for ``explain``; each goes to the methods that take it.

    Returns:
        From each name, as given, to what ``explain`` gives for it.

    Raises:
        OptionError: if none of the methods takes an option, or a name already sets it.
        SignxaiError: as ``explain`` does.

    >>> import torch
    >>> maps = explain_all(torch.nn.Linear(4, 3), torch.ones(2, 4), ["gradient", "gradient_x_sign", "lrp_z"])
    >>> sorted(maps)
    ['gradient', 'gradient_x_sign', 'lrp_z']
    """
    if isinstance(method_names, str):
        raise OptionError(f"method_names={method_names!r} is one name; give a sequence of names, or call explain")
    specs = {str(name): name if isinstance(name, MethodSpec) else parse_method(name) for name in method_names}
    taken = {name: {key: value for key, value in options.items() if _takes(spec, key)} for name, spec in specs.items()}
    unknown = [key for key in options if not any(key in own for own in taken.values())]
    if unknown:
        raise OptionError(f"none of the methods takes the option {unknown[0]!r}")
    target = predicted_target(model, x) if target_class is None and len(specs) > 1 else target_class
    gradient: dict[str, Any] = {}
    maps = {}
    for name, spec in specs.items():
        if spec.method not in _FROM_GRADIENT:
            maps[name] = explain(model, x, spec, target, **taken[name])
            continue
        multipliers, rest = _multipliers(_FROM_GRADIENT[spec.method](spec), taken[name])
        as_tensor = _flag("as_tensor", rest.pop("as_tensor", False))
        if not gradient:
            gradient["map"] = explain(model, x, "gradient", target, as_tensor=True, **rest)
        result = gradient["map"].clone()
        result = _multiplied(result, model, x, multipliers) if rest.get("at") is None else result
        maps[name] = result if as_tensor else as_array(result)
    return maps


_FROM_GRADIENT: dict[str, Callable[[MethodSpec], MethodSpec]] = {
    "gradient": lambda spec: spec,
    "input_t_gradient": lambda spec: replace(spec, multipliers=(Multiplier("input"), *spec.multipliers)),
}
"""Methods that are the plain gradient times multipliers, and which multipliers."""


def _takes(spec: MethodSpec, option: str) -> bool:
    open_threshold = any(multiplier.kind == "sign" and multiplier.mu is None for multiplier in spec.multipliers)
    return option in method_of(spec).options or (option == "mu" and open_threshold)


def register_method(name: str, analyzer_class: Callable[..., Any]) -> None:
    """Make a new method known to ``explain`` under its name.

    Afterwards ``explain`` takes the name, with the class's numeric parameters (those with a default that is an int or a
    float) written into it, and with multipliers: ``blur_radius_3_x_sign`` for ``Blur(model, radius=1)`` under "blur".

    Args:
        name: words of lower-case letters and digits joined by "_"; not one that the grammar already reads.
        analyzer_class: called as ``analyzer_class(model, **parameters)``; its ``analyze(input_tensor, target_class=None)``
            returns relevance in the input's shape. A subclass of ``Analyzer`` gets batching, targets and borrowing for free.

    Raises:
        MethodNameError: if the name is taken or ill-formed.
        OptionError: if the class is not one that can be called so.

    >>> from signxai.methods.gradients import GradientAnalyzer
    >>> register_method("plain_slope", GradientAnalyzer)
    >>> import torch
    >>> explain(torch.nn.Linear(2, 2), torch.ones(1, 2), "plain_slope_x_sign", 0).shape
    (1, 2)
    """
    if not callable(analyzer_class) or not callable(getattr(analyzer_class, "analyze", None)):
        raise OptionError(f"{analyzer_class!r} is not an analyzer class: it needs analyze(input_tensor, target_class=None)")
    register(name, analyzer_class)


def _multipliers(spec: MethodSpec, options: dict[str, Any]) -> tuple[list[Multiplier], dict[str, Any]]:
    """The name's multipliers with every threshold filled in, and the remaining options."""
    options = dict(options)
    if spec.multipliers and options.get("at") is not None:
        raise OptionError(f"{str(spec)!r} multiplies by the input, so at= does not go with it; leave one of them out")
    if not any(multiplier.kind == "sign" and multiplier.mu is None for multiplier in spec.multipliers):
        return list(spec.multipliers), options
    if "mu" not in options:
        raise OptionError(f"{str(spec)!r} names a threshold without a number; give the option mu=, or write _x_sign_mu_0_5")
    mu = number("mu", options["mu"])
    if spec.method != "lrpsign" or "mu" in dict(spec.params):
        del options["mu"]
    filled = [Multiplier("sign", mu) if m.kind == "sign" and m.mu is None else m for m in spec.multipliers]
    return filled, options


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise OptionError(f"{name}={value!r} must be True or False")
    return value


def _multiplied(result: Tensor, model: nn.Module, x: Any, multipliers: list[Multiplier]) -> Tensor:
    shape = tuple(x.shape) if isinstance(x, Tensor | np.ndarray) else np.shape(x)
    if result.shape != shape:
        raise ModelError(f"the analyzer returned relevance of shape {tuple(result.shape)} for an input of shape {shape}")
    if not multipliers:
        return result
    tensor = as_input(unwrapped(model), x).to(result.device)
    for multiplier in multipliers:
        result = result * (tensor if multiplier.kind == "input" else sign_about(tensor, multiplier.mu or 0.0))
    return result
