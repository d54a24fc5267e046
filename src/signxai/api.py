"""The public functions: explain a model's decision, account for the explanation, and make new methods and rules known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from torch import Tensor, nn

from signxai.common.errors import OptionError
from signxai.engine.rule_registration import RuleHandle, register_rule, rules_for
from signxai.inspecting import HeadRow, Report, Row, inspect_model
from signxai.methods.explainer import explain_together, explainer_for, explainers_for
from signxai.methods.layers_option import LayerOption, LayersOption
from signxai.methods.registry import MethodHandle, register
from signxai.names.grammar import MethodSpec

__all__ = [
    "HeadRow",
    "Report",
    "Row",
    "RuleHandle",
    "explain",
    "explain_all",
    "inspect_model",
    "register_method",
    "register_rule",
    "rules_for",
]


@overload
def explain(
    model: nn.Module, x: Any, method_name: str | MethodSpec, target_class: Any = None, *, at: LayersOption, **options: Any
) -> dict[str, Any]: ...
@overload
def explain(
    model: nn.Module, x: Any, method_name: str | MethodSpec, target_class: Any = None, *, at: LayerOption = None, **options: Any
) -> np.ndarray[Any, Any] | Tensor: ...
def explain(model: nn.Module, x: Any, method_name: str | MethodSpec, target_class: Any = None, **options: Any) -> Any:
    """Show what a model's decision rests on: relevance for every value of the input.

    Args:
        model: any ``torch.nn.Module``. It is not changed, not even for a moment: other threads may predict with it, train or
            explain it meanwhile. A softmax or sigmoid at its output is taken off, however it is written; what is explained is the logit.
        x: tensor or array (N, ...), moved to the model's device and dtype; or several of them: a tuple or list (the model's positional
            arguments), or a mapping (its keyword arguments). Integers stay as they are, as token ids, masks and positions.
        method_name: a name of the grammar, for example ``"lrpsign_epsilon_0_25_std_x"``, or a parsed one.
        target_class: None (argmax of each sample), an integer, N integers, a tuple index after the batch axis for outputs
            with more axes, for example (class, time), or a callable from outputs to (N,).
        **options: parameters of the method that the name does not set (``epsilon=``, ``steps=``, ``mu=``, ``low=``,
            ``high=``, ``layer=``, ``baseline=``, ...), and for every method ``batch_size=`` (most samples in one forward
            pass; without it so many that memory stays bounded, however many there are), ``seed=`` (default 0),
            ``relevance=`` ("one_hot": relevance starts with 1, "logit": with the target's logit), ``output=`` (a function
            from what the model returns to the tensor (N, ...) that is explained, if it returns several), ``stochastic=``
            (True: the model draws random numbers; each sample is explained alone, with those of ``seed=``), ``as_tensor=``
            (return a tensor on the model's device) and with that ``create_graph=`` (True: the tensor can be differentiated by
            the parameters and by ``x``, where they require gradients), ``forward_kwargs=`` (arguments of the model that are
            passed on and not explained), ``explained=`` (keys or positions of the inputs that get relevance; None: all) and
            ``progress=`` (a function that is told again and again how many samples are done, as 2.5, and how many there are).
            LRP takes ``attention=`` ("attnlrp": half of the relevance of an attention product goes to the weights; "cp": they are
            constants, CP-LRP), which a name says too: ``"lrp_epsilon_0_25_cp"``.
            LRP, gradients, guided backpropagation, integrated gradients and SmoothGrad also take ``at="features.10"``, or the
            module itself: the relevance that arrives at that module's output, in its shape; and
            ``at=["features.10", model.classifier]``: at each of them.

    Returns:
        Relevance in the shape of ``x``, a floating-point NumPy array or tensor; with a list of layers as ``at=`` a dict from the dotted
        name of each, as given, to it. Of several inputs a tuple, or a dict by their keys, of floating-point inputs and token ids; None, or
        no key, for masks and whatever else no relevance reaches.

    Raises:
        MethodNameError, OptionError, TargetError, InputError, ModelError: all of them ``SignxaiError``; the message says
            what came, what is allowed and what to do.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
    >>> explain(model, torch.ones(2, 4), "gradient_x_sign", target_class=0).shape
    (2, 4)
    >>> at_layers = explain(model, torch.ones(2, 4), "lrp_z", target_class=0, at=[model[0]])
    >>> at_layers["0"].shape
    (2, 3)
    >>> explain(torch.nn.Bilinear(4, 2, 3), (torch.ones(2, 4), torch.ones(2, 2)), "lrp_z", target_class=0)[1].shape
    (2, 2)
    >>> relevance = explain(model, torch.ones(2, 4), "lrp_z", target_class=0, as_tensor=True, create_graph=True)
    >>> relevance[:, 0].square().sum().backward()  # as a part of a loss
    >>> model[0].weight.grad.shape
    torch.Size([3, 4])
    """
    return explainer_for(model, method_name, options).explain(x, target_class)


def explain_all(
    model: nn.Module, x: Any, method_names: Sequence[str | MethodSpec], target_class: Any = None, **options: Any
) -> dict[str, Any]:
    """Explain one decision by several methods, which share what they can: the prediction, and the plain gradient.

    Args:
        model, x, target_class: as for ``explain``.
        method_names: names or parsed names.
        **options: as for ``explain``; each goes to the methods that take it. So with ``at=`` the methods of one backward pass give
            relevance at that layer, and all others at the input, as without it.

    Returns:
        From each name, as given, to what ``explain`` gives for it with the options that it takes, whatever the other names and
        their order: an array, a tensor, or a dict of them.

    Raises:
        OptionError: before anything is computed, if none of the methods takes an option, or it does not go with a name that does.
        SignxaiError: as ``explain`` does.

    >>> import torch
    >>> maps = explain_all(torch.nn.Linear(4, 3), torch.ones(2, 4), ["gradient", "gradient_x_sign", "lrp_z"])
    >>> sorted(maps)
    ['gradient', 'gradient_x_sign', 'lrp_z']
    """
    return explain_together(explainers_for(model, method_names, options), x, target_class)


def register_method(name: str, analyzer_class: Callable[..., Any]) -> MethodHandle:
    """Make a new method known to ``explain`` under its name.

    Afterwards ``explain`` takes the name, with the class's numeric parameters (those with a default that is an int or a
    float) written into it, and with multipliers: ``blur_radius_3_x_sign`` for ``Blur(model, radius=1)`` under "blur".

    Args:
        name: words of lower-case letters and digits joined by "_"; not one that the grammar already reads.
        analyzer_class: called as ``analyzer_class(model, **parameters)``; its ``analyze(input_tensor, target_class=None)``
            returns relevance in the input's shape. A subclass of ``Analyzer`` gets batching, targets and borrowing for free.

    Returns:
        A handle; ``handle.remove()`` makes the name unknown again.

    Raises:
        MethodNameError: if the name is taken or ill-formed.
        OptionError: if the class is not one that can be called so.

    >>> from signxai.methods.gradients import GradientAnalyzer
    >>> handle = register_method("plain_slope", GradientAnalyzer)
    >>> import torch
    >>> explain(torch.nn.Linear(2, 2), torch.ones(1, 2), "plain_slope_x_sign", 0).shape
    (1, 2)
    >>> handle.remove()
    """
    if not callable(analyzer_class) or not callable(getattr(analyzer_class, "analyze", None)):
        raise OptionError(f"{analyzer_class!r} is not an analyzer class: it needs analyze(input_tensor, target_class=None)")
    return register(name, analyzer_class)
