"""Every method as an ``explain_func`` of Quantus, for ``quantus.evaluate`` and each metric's call.

It needs nothing of Quantus itself. Quantus refuses maps that are flat or wholly negative by an assertion; they end here in a ``MapError``
that says what the map is like and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn

from signxai.api import explain
from signxai.common.errors import InputError, MapError, OptionError
from signxai.methods.explainer import spec_of
from signxai.methods.registry import method_of
from signxai.names.grammar import MethodSpec

__all__ = ["ExplainFunction", "explain_func"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ExplainFunction:
    """A method as Quantus calls it. It can be pickled and copied, as long as its options can.

    Attributes:
        method_name: a name of the grammar.
        options: of the method.
        absolute: whether the map's magnitudes are given.
        reduce_axes: the axes that maps are summed over.
        keepdims: whether these stay, of length 1.
    """

    method_name: str
    options: dict[str, Any] = field(default_factory=dict)
    absolute: bool = False
    reduce_axes: tuple[int, ...] = ()
    keepdims: bool = True

    @property
    def __name__(self) -> str:
        return self.method_name

    def __call__(
        self, model: nn.Module, inputs: Any, targets: Any, *, method: str | None = None, device: Any = None, **options: Any
    ) -> Array:
        """Explain a batch.

        Args:
            model: any ``torch.nn.Module``. It is explained where it is, and is not changed.
            inputs: an array (N, ...), channels first or last, as the model takes it.
            targets: a class for each sample (N,), or one for all.
            method: how ``quantus.evaluate`` calls this function; not read.
            device: where Quantus runs the model; not read.
            **options: of the method, as in ``explain_func_kwargs``, and ``absolute=``, ``reduce_axes=`` and ``keepdims=`` of
                ``explain_func``, which go before those given there.

        Returns:
            Relevance in the shape of the inputs (without the axes that are summed over), of their type of floating-point numbers.

        Raises:
            MapError: if Quantus refuses the map: all of it is one number, or below 0.
            OptionError: if the method does not take an option, or it was given to ``explain_func`` already.
            SignxaiError: as ``signxai.explain`` does.
        """
        one = self._with(options)
        x = inputs.detach().cpu().numpy() if isinstance(inputs, Tensor) else np.asarray(inputs)
        relevance = np.asarray(explain(model, inputs, one.method_name, targets, **one.options))
        relevance = one._reduced(relevance).astype(x.dtype if x.dtype.kind == "f" else relevance.dtype, copy=False)
        _refuse_what_quantus_refuses(relevance, one.method_name)
        return relevance

    def _with(self, options: dict[str, Any]) -> ExplainFunction:
        """The same with what a single call says beyond it."""
        shape = {name: options.pop(name, getattr(self, name)) for name in ("absolute", "reduce_axes", "keepdims")}
        _check_options(spec_of(self.method_name), options)
        if twice := next((name for name in options if name in self.options), None):
            raise OptionError(f"{twice}= is given twice, to explain_func and in explain_func_kwargs; leave one of them out")
        return ExplainFunction(self.method_name, {**self.options, **options}, **{**shape, "reduce_axes": _axes(shape["reduce_axes"])})

    def _reduced(self, relevance: Array) -> Array:
        wrong = next((axis for axis in self.reduce_axes if axis == 0 or not -relevance.ndim < axis < relevance.ndim), None)
        if wrong is not None:
            raise OptionError(f"reduce_axes={self.reduce_axes}: a map of shape {relevance.shape} has no axis {wrong} behind its samples")
        if len({axis % relevance.ndim for axis in self.reduce_axes}) < len(self.reduce_axes):
            raise OptionError(f"reduce_axes={self.reduce_axes}: names an axis of a map of shape {relevance.shape} twice; name each once")
        if self.reduce_axes:
            relevance = relevance.sum(axis=self.reduce_axes, keepdims=self.keepdims)
        return np.abs(relevance) if self.absolute else relevance


def explain_func(
    method_name: str | MethodSpec, *, absolute: bool = False, reduce_axes: Sequence[int] = (), keepdims: bool = True, **options: Any
) -> ExplainFunction:
    """A method as Quantus calls it, as in ``xai_methods={"SIGN": explain_func("gradient_x_sign")}`` of ``quantus.evaluate``.

    Args:
        method_name: a name of the grammar, or a parsed one.
        absolute: give magnitudes, after the sum; a map that is wholly negative can be evaluated so. Metrics with ``abs=True`` take
            them anyway.
        reduce_axes: sum maps over these axes, as ``quantus.explain`` sums over ``(1,)``, the channels; (): maps have the inputs' shape.
        keepdims: keep the axes that are summed over, of length 1.
        **options: of the method, as for ``signxai.explain``; ``as_tensor=``, ``create_graph=`` and ``at=`` aside.

    Returns:
        A function ``(model, inputs, targets, **kwargs)`` to an array.

    Raises:
        MethodNameError: if there is no such method.
        OptionError: if it does not take an option.

    >>> import torch
    >>> function = explain_func("lrp_z")
    >>> function(torch.nn.Linear(4, 3), np.ones((2, 4), np.float32), np.array([0, 2]), method="LRP", device="cpu").shape
    (2, 4)
    """
    spec = spec_of(method_name)
    _check_options(spec, options)
    return ExplainFunction(str(spec), options, absolute, _axes(reduce_axes), keepdims)


def _check_options(spec: MethodSpec, options: Mapping[str, Any]) -> None:
    """Refuse options that the method does not take, or that make something else of its map.

    Raises:
        OptionError: if there is one.
    """
    taken = {*method_of(spec).options, "mu"} - {"as_tensor", "create_graph", "at"}
    if unknown := next((name for name in options if name not in taken), None):
        raise OptionError(f"{str(spec)!r} takes no option {unknown!r} here; its options are {', '.join(sorted(taken))}")


def _axes(axes: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(axes, tuple | list) or not all(type(axis) is int for axis in axes):
        raise OptionError(f"reduce_axes={axes!r} must be a tuple of axes, as (1,); () sums over none")
    return tuple(axes)


def _refuse_what_quantus_refuses(relevance: Array, method_name: str) -> None:
    """Say in words what Quantus's ``assert_attributions`` would stop at, which asks all samples together.

    Raises:
        MapError: if the maps are flat or wholly negative.
    """
    if not relevance.size:
        raise InputError("the batch is empty; give at least one sample")
    least, most = relevance.min(), relevance.max()
    samples = f"of {len(relevance)} sample{'s' * (len(relevance) > 1)} by {method_name!r}"
    if least == most:
        raise MapError(
            f"the map {samples} is flat: {float(most):g} everywhere. It ranks nothing, and Quantus refuses it. Either no relevance reaches "
            "the input (signxai.inspect_model says where it stays, as in ReLUs that are all off), or the method gives every value the "
            "same; leave these samples or this method out"
        )
    if most < 0:
        raise MapError(
            f"the map {samples} is wholly negative, from {float(least):g} to {float(most):g}: every value speaks against the target. "
            "Quantus refuses such maps: give magnitudes by explain_func(..., absolute=True), or evaluate more samples in one batch, or "
            "another target"
        )
