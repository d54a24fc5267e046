"""Captum's own calls for every method: its noise tunnel, its metrics and whatever else takes an ``Attribution`` take these.

``SignxaiAttribution`` is any method by its name, and gives what ``signxai.explain`` gives: of the logit, in front of a final softmax or
sigmoid. ``Saliency``, ``InputXGradient``, ``GuidedBackprop``, ``Deconvolution`` and ``IntegratedGradients`` take the place of Captum's
classes of these names: as those they explain the output as it is. All borrow the model in evaluation mode, whatever mode it is in, and
leave it and the inputs as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from torch import Tensor, nn

from signxai.adapters.captum_calls import ForwardModule, Inputs, call_of, target_of
from signxai.api import explain
from signxai.common.errors import MissingPackageError, OptionError
from signxai.methods.explainer import explainer_for, spec_of
from signxai.methods.repeated import IntegratedGradientsAnalyzer
from signxai.names.grammar import MethodSpec

try:
    from captum.attr import Attribution, GradientAttribution
except ModuleNotFoundError as error:
    missing = (error.name or "captum").partition(".")[0]
    raise MissingPackageError(
        f'signxai.adapters.captum needs the package {missing}, which is missing: pip install "signxai[captum]"', name=missing
    ) from error

__all__ = ["Deconvolution", "GuidedBackprop", "InputXGradient", "IntegratedGradients", "Saliency", "SignxaiAttribution"]

P = ParamSpec("P")
R = TypeVar("R")

_OWN = ("as_tensor", "at", "create_graph", "explained", "forward_kwargs")
"""Options of ``explain`` that say what Captum's calls say otherwise, or not at all."""

_TIMES_INPUT = ("deep_taylor", "input_t_gradient", "integrated_gradients")


def _unlogged(function: Callable[P, R]) -> Callable[P, R]:
    """A method with itself as ``__wrapped__``, by which Captum's noise tunnel calls it."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return call


class _Attribution(Attribution):  # type: ignore[misc]  # Captum has no types for mypy
    """What all attributions here share; a subclass says how ``attribute`` is called.

    Attributes:
        as_it_is: whether the output is explained as it is, probabilities too.
    """

    as_it_is = False

    def __init__(self, forward_func: Callable[..., Any], method_name: str | MethodSpec, options: Mapping[str, Any]) -> None:
        super().__init__(forward_func)
        self.method_name = method_name
        self.options = dict(options)
        self._whole = ForwardModule(forward_func, (), self.as_it_is)
        self._spec = spec_of(method_name)
        explainer_for(self._whole, self._spec, {key: value for key, value in options.items() if key != "layer"})

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether the map is of contributions, in the units of the output, rather than of slopes."""
        is_relevance = self._spec.rule is not None or self._spec.method in _TIMES_INPUT
        return is_relevance or any(one.kind == "input" for one in self._spec.multipliers)

    def attribute_future(self) -> None:
        """Captum's maps of results to come, which are not to be had.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{type(self).__name__} has no attribute_future; call attribute")

    def _maps(self, inputs: Inputs, target: Any, additional_forward_args: Any, baselines: Any = None) -> Any:
        call = call_of(self.forward_func, inputs, additional_forward_args, self._whole)
        options = call.options(self.options, baselines)
        return call.given_back(explain(call.net, call.x, self._spec, target_of(target, inputs), as_tensor=True, **options))


class SignxaiAttribution(_Attribution):
    """Any method of signxai as an attribution of Captum's.

    Args:
        forward_func: a module, a method of one, or any function of tensors. What a function calls runs as it is: modules in it stay in
            the mode in which they are, and no layer in it has a name.
        method_name: a name of the grammar, for example ``"lrpsign_epsilon_0_25_std_x"``, or a parsed one.
        **options: of the method, as for ``signxai.explain``; ``at=``, ``create_graph=``, ``forward_kwargs=``, ``explained=`` and
            ``as_tensor=`` aside.

    Raises:
        MethodNameError, OptionError: as ``signxai.explain`` does, before anything is computed.
        ModelError: if ``forward_func`` is no function.

    >>> import torch
    >>> from captum.attr import NoiseTunnel
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> lrp = SignxaiAttribution(net, "lrp_epsilon_0_25")
    >>> NoiseTunnel(lrp).attribute(torch.ones(2, 3), nt_samples=4, target=1).shape
    torch.Size([2, 3])
    """

    def __init__(self, forward_func: Callable[..., Any], method_name: str | MethodSpec, **options: Any) -> None:
        if own := next((name for name in _OWN if name in options), None):
            raise OptionError(f"{own}= is no option here: Captum's calls say what is explained; for the rest call signxai.explain")
        super().__init__(forward_func, method_name, options)

    @_unlogged
    def attribute(self, inputs: Inputs, target: Any = None, additional_forward_args: Any = None, *, baselines: Any = None) -> Any:
        """Explain a batch.

        Args:
            inputs: a tensor (N, ...), or a tuple of them: the function's first arguments, each of which gets relevance.
            target: an integer, a tuple of one index for each axis behind the batch, a tensor or list of N integers, or a list of N tuples;
                also a target of ``signxai.targets``. None: the output has one value for each sample.
            additional_forward_args: the function's further arguments: a value or a tuple of them. Tensors with N rows go with their
                samples, anything else is passed whole.
            baselines: of integrated gradients: a number, a tensor (1, ...) or (N, ...), or a tuple of them, one for each input.

        Returns:
            Relevance in the shapes of the inputs, in their types and on their devices: a tensor, or a tuple of them.

        Raises:
            InputError, TargetError, OptionError, ModelError: as ``signxai.explain`` does.
        """
        return self._maps(inputs, target, additional_forward_args, baselines)


class _InPlaceOfCaptums(_Attribution, GradientAttribution):  # type: ignore[misc]
    """A method that Captum has as well: of the output as it is, probabilities too."""

    as_it_is = True


class Saliency(_InPlaceOfCaptums):
    """The gradient (Simonyan et al. 2014), or its magnitude, as Captum's ``Saliency``.

    >>> import torch
    >>> Saliency(lambda x: -3 * x).attribute(torch.ones(1, 1))
    tensor([[3.]])
    """

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        super().__init__(forward_func, "gradient", {})

    @_unlogged
    def attribute(self, inputs: Inputs, target: Any = None, abs: bool = True, additional_forward_args: Any = None) -> Any:
        """The gradient by each input; ``abs``: its magnitude. Else as ``SignxaiAttribution.attribute``."""
        maps = self._maps(inputs, target, additional_forward_args)
        if not abs:
            return maps
        return tuple(one.abs() for one in maps) if isinstance(maps, tuple) else maps.abs()


class InputXGradient(_InPlaceOfCaptums):
    """Gradient times input (Shrikumar et al. 2016), as Captum's ``InputXGradient``."""

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        super().__init__(forward_func, "input_t_gradient", {})

    @_unlogged
    def attribute(self, inputs: Inputs, target: Any = None, additional_forward_args: Any = None) -> Any:
        """The gradient by each input times that input. Else as ``SignxaiAttribution.attribute``."""
        return self._maps(inputs, target, additional_forward_args)


class GuidedBackprop(_InPlaceOfCaptums):
    """Guided backpropagation (Springenberg et al. 2015), as Captum's ``GuidedBackprop``.

    Captum changes modules ``nn.ReLU``; here every ReLU counts, however it is written.

    Raises:
        ModelError: by ``attribute``, if no ReLU is executed; Captum's gives the gradient then.
    """

    def __init__(self, model: Callable[..., Any]) -> None:
        super().__init__(model, "guided_backprop", {})

    @_unlogged
    def attribute(self, inputs: Inputs, target: Any = None, additional_forward_args: Any = None) -> Any:
        """The map of each input. Else as ``SignxaiAttribution.attribute``."""
        return self._maps(inputs, target, additional_forward_args)


class Deconvolution(_InPlaceOfCaptums):
    """DeconvNet (Zeiler and Fergus 2014), as Captum's ``Deconvolution``.

    Captum changes modules ``nn.ReLU``; here every ReLU counts, however it is written.

    Raises:
        ModelError: by ``attribute``, if no ReLU is executed; Captum's gives the gradient then.
    """

    def __init__(self, model: Callable[..., Any]) -> None:
        super().__init__(model, "deconvnet", {})

    @_unlogged
    def attribute(self, inputs: Inputs, target: Any = None, additional_forward_args: Any = None) -> Any:
        """The map of each input. Else as ``SignxaiAttribution.attribute``."""
        return self._maps(inputs, target, additional_forward_args)


class IntegratedGradients(_InPlaceOfCaptums):
    """Integrated gradients (Sundararajan et al. 2017) by the rules of integration of Captum's ``IntegratedGradients``.

    Args:
        forward_func: as for ``SignxaiAttribution``.
        multiply_by_inputs: False: the mean gradient on the path, not multiplied by the difference from the baseline.
    """

    def __init__(self, forward_func: Callable[..., Any], multiply_by_inputs: bool = True) -> None:
        super().__init__(forward_func, "integrated_gradients", {})
        self._multiply_by_inputs = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether the mean gradient is multiplied by the difference from the baseline."""
        return self._multiply_by_inputs

    def has_convergence_delta(self) -> bool:
        """Whether ``attribute`` takes ``return_convergence_delta``: it does."""
        return True

    @_unlogged
    def attribute(
        self,
        inputs: Inputs,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Explain a batch; arguments as for ``SignxaiAttribution.attribute``, and:

        Args:
            n_steps: points on the path: at least 1, of Riemann's sums at least 2.
            method: "gausslegendre", "riemann_left", "riemann_right", "riemann_middle" or "riemann_trapezoid" (whose weights sum to
                1 - 1 / n_steps, as Captum's).
            internal_batch_size: most points in one forward pass; None: as many as memory allows.
            return_convergence_delta: also how much the sum of each sample's map exceeds the difference of outputs.

        Returns:
            The map or a tuple of maps; with ``return_convergence_delta`` a pair of that and the differences (N,).

        Raises:
            OptionError: if ``method`` or ``n_steps`` is not one of these. Others as there.
        """
        call = call_of(self.forward_func, inputs, additional_forward_args, self._whole)
        options = call.options({"batch_size": internal_batch_size}, baselines)
        analyzer = _PathAnalyzer(call.net, n_steps, method, self._multiply_by_inputs, options)
        maps = call.given_back(analyzer.analyze(call.x, target_of(target, inputs)))
        if not return_convergence_delta:
            return maps
        return maps, self.compute_convergence_delta(maps, baselines, inputs, target, additional_forward_args)


class _PathAnalyzer(IntegratedGradientsAnalyzer):
    """Integrated gradients by one of Captum's rules of integration."""

    changes_model = False
    takes_several = True

    def __init__(self, model: nn.Module, steps: int, rule: str, multiplies: bool, options: dict[str, Any]) -> None:
        super().__init__(model, steps, as_tensor=True, **options)
        if rule not in _RULES:
            raise OptionError(f"method={rule!r} is no rule of integration; take one of {', '.join(map(repr, _RULES))}")
        if rule != "gausslegendre" and self.steps < 2:
            raise OptionError(f"n_steps={steps}: a Riemann sum takes at least 2 steps")
        self.rule = rule
        self.multiplies = multiplies

    def quadrature(self) -> tuple[list[float], list[float]]:
        """Places and weights of Captum's rule."""
        places, weights = _RULES[self.rule](self.steps)
        return places.tolist(), weights.tolist()

    def of_mean(self, mean: Tensor, difference: Tensor) -> Tensor:
        """The mean gradient, multiplied or not."""
        return super().of_mean(mean, difference) if self.multiplies else mean


Quadrature = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
"""Places in [0, 1], and the weight of each."""


def _gauss_legendre(steps: int) -> Quadrature:
    places, weights = np.polynomial.legendre.leggauss(steps)
    return (1 + places) / 2, weights / 2


def _riemann(first: float, last: float) -> Callable[[int], Quadrature]:
    """Equal weights, at places from ``first`` to 1 - ``last`` steps."""

    def rule(steps: int) -> Quadrature:
        return np.linspace(first / steps, 1 - last / steps, steps), np.full(steps, 1 / steps)

    return rule


def _trapezoid(steps: int) -> Quadrature:
    places, weights = _riemann(0, 0)(steps)
    weights[[0, -1]] /= 2
    return places, weights


_RULES: dict[str, Callable[[int], Quadrature]] = {
    "gausslegendre": _gauss_legendre,
    "riemann_left": _riemann(0, 1),
    "riemann_right": _riemann(1, 0),
    "riemann_middle": _riemann(0.5, 0.5),
    "riemann_trapezoid": _trapezoid,
}
