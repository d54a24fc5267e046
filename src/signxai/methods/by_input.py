"""Options that may differ from input to input: one value for all, or a value for each in the structure of the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from signxai.common.errors import OptionError
from signxai.engine.joint_inputs import JointInputs
from signxai.methods.analyzer import number
from signxai.methods.batch import Batch
from signxai.methods.sign import sign_about


def is_by_input(value: object) -> bool:
    """Whether an option is given for each input by itself."""
    return isinstance(value, Mapping | tuple | list)


def values_of(value: Any) -> list[Any]:
    """The values of an option: one, or one for each input."""
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else (value,)
    return [item for item in items if item is not None]


def named_values(name: str, value: Any) -> list[tuple[str, Any]]:
    """The values of an option with their names in errors: its own, or with the input that each is for.

    >>> named_values("baseline", 0.5), named_values("baseline", {"ecg": 0.5})
    ([('baseline', 0.5)], [("baseline of 'ecg'", 0.5)])
    """
    if not is_by_input(value):
        return [] if value is None else [(name, value)]
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    return [(f"{name} of {str(key)!r}", one) for key, one in items if one is not None]


def by_key(name: str, value: Any, inputs: JointInputs | None) -> dict[str, Any]:
    """An option that is given for each input, by the name of each.

    Args:
        name: of the option.
        value: a mapping from keys, or a sequence with one item for each position.
        inputs: the inputs; None: there is one tensor, without a key.

    Raises:
        OptionError: if its structure is not that of the inputs.
    """
    if inputs is None:
        raise OptionError(f"{name}={value!r} is given for each of several inputs, and x is one tensor")
    names = {slot.key: slot.name for slot in inputs.slots}
    found: dict[Any, Any] = dict(value) if isinstance(value, Mapping) else {}
    if not isinstance(value, Mapping):
        positions = [key for key in inputs.order if isinstance(key, int)]
        if len(value) != len(positions):
            raise OptionError(f"{name}= has {len(value)} items for {len(positions)} inputs; give one for each, None where there is none")
        found = dict(zip(positions, value, strict=True))
    found = {key: item for key, item in found.items() if item is not None}
    if unknown := [key for key in found if key not in names]:
        raise OptionError(
            f"{name}= names {', '.join(map(repr, unknown))}, and the inputs that are explained are {', '.join(map(repr, names))}"
        )
    return {names[key]: item for key, item in found.items()}


def in_columns(name: str, value: Any, batch: Batch, default: float) -> Tensor | float:
    """A number for each input, spread to the columns of a batch's points (row,); one for all as it is.

    Raises:
        OptionError: if its structure is not that of the inputs.
    """
    if not is_by_input(value):
        return number(name, value)
    found = {key: number(f"{name} of {key!r}", item) for key, item in by_key(name, value, batch.inputs).items()}
    inputs = batch.inputs
    assert inputs is not None
    if inputs.is_own:
        return found.get(inputs.slots[0].name, default)
    result = batch.x.new_full(batch.x.shape[1:], default)
    for keys, columns in inputs.spans():
        result[columns] = _of_all(name, found, keys, default)
    return result


def _of_all(name: str, found: Mapping[str, float], keys: frozenset[str], default: float) -> float:
    """The number of the inputs that a part of the row stands for.

    Raises:
        OptionError: if they differ in it.
    """
    values = {found.get(key, default) for key in keys}
    if len(values) > 1:
        raise OptionError(
            f"{name}= differs among the inputs {', '.join(sorted(keys))}, which the model reads from one embedding together; give one "
            "value for them"
        )
    return values.pop()


def sign_by_input(batch: Batch, mu: Any) -> Tensor:
    """The signs of a batch's points about a threshold, or one for each input."""
    threshold = in_columns("mu", mu, batch, 0.0)
    if isinstance(threshold, float):
        return sign_about(batch.x, threshold)
    x = batch.x.detach()
    return torch.where(x >= threshold, x.new_ones(()), x.new_full((), -1))


def ranges_by_input(batch: Batch) -> Tensor:
    """The difference of the largest and the least value of each sample, of each input by itself, as it broadcasts."""
    x, inputs = batch.x, batch.inputs
    if inputs is None or inputs.is_own:
        axes = tuple(range(1, x.ndim))
        return x.amax(axes, keepdim=True) - x.amin(axes, keepdim=True) if axes else torch.zeros_like(x)
    result = torch.zeros_like(x)
    for _, columns in inputs.spans():
        part = x[:, columns]
        if part.shape[1]:
            result[:, columns] = part.amax(1, keepdim=True) - part.amin(1, keepdim=True)
    return result
