"""A call as Captum makes it, in signxai's terms: the module that is explained, what it is given, the target, the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from signxai.common.errors import InputError, ModelError, OptionError, TargetError
from signxai.engine.channel_axis import CHANNELS_FIRST, CHANNELS_LAST, channel_axis
from signxai.engine.forward import explained_tensor
from signxai.engine.keras_calls import called
from signxai.engine.model_loan import unwrapped
from signxai.engine.module_names import is_keras

__all__ = ["Call", "ForwardModule", "Inputs", "call_of", "target_of"]

Inputs: TypeAlias = "Tensor | tuple[Tensor, ...]"
"""What Captum explains: a tensor (N, ...), or a tuple of them."""

_AXES_OF_INPUTS = (3, 4, 5)


class _Unread(torch.autograd.Function):
    """Passes gradients on as they are, and hides by its values what made them: no activation is taken off in front of it."""

    @staticmethod
    def forward(ctx: Any, output: Tensor) -> Tensor:
        return output + 2.0  # by which nothing is a probability, nor equals one

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


@dataclass(frozen=True)
class _Place:
    """Where a tensor goes among a function's arguments."""

    number: int


class ForwardModule(nn.Module):
    """A forward function as a module.

    Args:
        forward_func: the function; a module's own method finds the module that is explained in its place.
        constants: arguments after the inputs: values, or the place of a tensor among those that the module is given.
        as_it_is: the output is explained as it is, probabilities too; then its values are other ones, and its gradients are not.
    """

    def __init__(self, forward_func: Callable[..., Any], constants: Sequence[Any] = (), as_it_is: bool = False) -> None:
        super().__init__()
        self.net, self.method = _net_and_method(forward_func)
        self.function = forward_func if self.net is None else None
        self.constants = tuple(constants)
        self.as_it_is = as_it_is

    def forward(self, *tensors: Tensor) -> Any:
        """What the function returns for these inputs, and the tensors among its other arguments."""
        places = [one for one in self.constants if isinstance(one, _Place)]
        inputs = tensors[: len(tensors) - len(places)]
        beside = [tensors[one.number] if isinstance(one, _Place) else one for one in self.constants]
        if self.net is not None and self.method == "forward":
            returned = called(self.net, (*inputs, *beside), {})
        else:
            returned = self._function()(*inputs, *beside)
        return _Unread.apply(explained_tensor(returned, len(tensors[0]))) if self.as_it_is else returned

    @property
    def data_format(self) -> str | None:
        """Where a Keras model that is explained has its channels; None: no such model, or its axes are permuted first."""
        if not is_keras(self.net):
            return None
        places = {1: CHANNELS_FIRST, -1: CHANNELS_LAST}
        found = {axis if (axis := channel_axis(self.net, axes)) == 1 else axis - axes for axes in _AXES_OF_INPUTS}
        return places.get(found.pop()) if len(found) == 1 else None

    def _function(self) -> Callable[..., Any]:
        if self.net is None:
            assert self.function is not None
            return self.function
        function: Callable[..., Any] = self.net if self.method == "forward" else getattr(self.net, self.method)
        return function


def _net_and_method(forward_func: object) -> tuple[nn.Module | None, str]:
    """The module that a forward function is, or is a method of, and the method's name; None for any other function.

    Raises:
        ModelError: if it is no function, or the layers of the module are hidden (TorchScript).
    """
    owner = forward_func if isinstance(forward_func, nn.Module) else getattr(forward_func, "__self__", None)
    if isinstance(owner, nn.Module):
        unwrapped(owner)
        return owner, "forward" if owner is forward_func else str(getattr(forward_func, "__name__", "forward"))
    if not callable(forward_func):
        raise ModelError(f"forward_func is {type(forward_func).__name__}; give a torch.nn.Module, or a function of tensors")
    return None, ""


@dataclass(frozen=True)
class Call:
    """One call, as ``signxai.explain`` takes it.

    Attributes:
        net: the module that is explained.
        x: what it is given.
        inputs: what the user gave.
        prefix: what the names of the user's modules begin with in ``net``.
    """

    net: nn.Module
    x: Inputs
    inputs: Inputs
    prefix: str

    @property
    def explained(self) -> tuple[int, ...] | None:
        """The positions that get relevance; None: what is given is all explained."""
        return tuple(range(len(_tuple_of(self.inputs)))) if isinstance(self.x, tuple) else None

    def options(self, options: dict[str, Any], baselines: Any) -> dict[str, Any]:
        """A method's options for this call: layers by their names in it, and the baseline.

        Raises:
            OptionError: if there are two baselines, or not one for each input.
        """
        found = dict(options)
        if isinstance(found.get("layer"), str):
            found["layer"] = self.prefix + found["layer"]
        if baselines is not None:
            if found.get("baseline") is not None:
                raise OptionError("a baseline is given twice, by baseline= and by baselines=; leave one of them out")
            found["baseline"] = self._baseline(baselines)
        return found if self.explained is None else found | {"explained": self.explained}

    def _baseline(self, baselines: Any) -> Any:
        given = baselines if isinstance(baselines, tuple) else (baselines,)
        count = len(_tuple_of(self.inputs))
        if len(given) != count:
            raise OptionError(f"baselines= has {len(given)} items for {count} inputs; give one for each, None where it is zero")
        return (*given, *(None,) * (len(self.x) - count)) if isinstance(self.x, tuple) else given[0]

    def given_back(self, relevance: Any) -> Any:
        """Relevance in the structure, the types and on the devices of what the user gave."""
        parts = relevance if isinstance(relevance, tuple) else (relevance,)
        maps = tuple(_like(part, one) for part, one in zip(parts, _tuple_of(self.inputs), strict=False))
        return maps if isinstance(self.inputs, tuple) else maps[0]


def _like(relevance: Tensor, given: Tensor) -> Tensor:
    return relevance.to(given.device, given.dtype if given.is_floating_point() else relevance.dtype)


def _tuple_of(inputs: Inputs) -> tuple[Tensor, ...]:
    return inputs if isinstance(inputs, tuple) else (inputs,)


def call_of(forward_func: Callable[..., Any], inputs: Inputs, additional_forward_args: Any, whole: ForwardModule) -> Call:
    """A call of Captum's.

    Args:
        forward_func: what the user gave.
        inputs: a tensor (N, ...), or a tuple of them.
        additional_forward_args: arguments after the inputs: tensors with a row for each sample go with their samples, anything else is
            passed whole.
        whole: the function as a module, without such arguments.

    Raises:
        InputError: if an input is no tensor.
    """
    tensors = _checked(inputs)
    extra = () if additional_forward_args is None else additional_forward_args
    extra = extra if isinstance(extra, tuple) else (extra,)
    if not extra:
        net = _direct(whole, forward_func)
        return Call(net, inputs, inputs, _prefix(net, forward_func))
    beside = [one for one in extra if _goes_with(tensors[0], one)]
    numbers = iter(range(len(tensors), len(tensors) + len(beside)))
    constants = [_Place(next(numbers)) if _goes_with(tensors[0], one) else one for one in extra]
    x = inputs if not beside else (*tensors, *beside)
    net = ForwardModule(forward_func, constants, whole.as_it_is)
    return Call(net, x, inputs, _prefix(net, forward_func))


def _direct(whole: ForwardModule, forward_func: object) -> nn.Module:
    """The user's own module, where nothing stands between it and what is explained."""
    return forward_func if isinstance(forward_func, nn.Module) and not whole.as_it_is else whole


def _prefix(net: nn.Module, forward_func: object) -> str:
    """What the names of the user's modules begin with."""
    return "net." if net is not forward_func and isinstance(net, ForwardModule) and net.net is not None else ""


def _goes_with(x: Tensor, value: object) -> bool:
    """Whether an argument has a row for each sample."""
    return isinstance(value, Tensor) and value.ndim > 0 and len(value) == len(x)


def _checked(inputs: object) -> tuple[Tensor, ...]:
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    if any(isinstance(one, Tensor) and one.dtype == torch.bool for one in tensors):
        raise InputError("inputs hold booleans, which get no relevance; give them as additional_forward_args")
    wrong = next((one for one in tensors if not isinstance(one, Tensor) or not one.ndim), None)
    if not tensors or wrong is not None:
        came = "a tensor without a batch axis" if isinstance(wrong, Tensor) else type(inputs if not tensors else wrong).__name__
        raise InputError(f"inputs hold {came}; give a tensor (N, ...), or a tuple of tensors")
    return tensors


def target_of(target: Any, inputs: Inputs) -> Any:
    """Captum's target as signxai takes it: none is no argmax, but an output of one value for each sample; a tuple is one index for all.

    >>> target_of(torch.tensor([3]), torch.ones(2, 4))
    3
    >>> target_of((0, 1), torch.ones(2, 4))
    [(0, 1), (0, 1)]
    """
    if target is None:
        return only_value
    if isinstance(target, tuple):
        return [target] * len(_tuple_of(inputs)[0])
    return target.item() if isinstance(target, Tensor) and target.numel() == 1 else target


def only_value(outputs: Tensor) -> Tensor:
    """The one value of each sample (N,).

    Raises:
        TargetError: if there are several.
    """
    if outputs[0].numel() != 1:
        raise TargetError(f"the output has the shape {tuple(outputs.shape)}: say by target= which entry of each sample is explained")
    return outputs.reshape(len(outputs))
