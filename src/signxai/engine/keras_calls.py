"""How several inputs are handed to a model: one by one, but to a Keras model that takes all of them as one argument, as it does."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from signxai.engine.module_names import is_keras

_BESIDE = ("training", "mask")


def called(net: nn.Module, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """What a model returns for these arguments.

    A functional Keras model, or one whose ``call`` has one parameter for what it takes, gets several inputs in a list, and named ones in a
    dict.

    Args:
        net: the model.
        args: its inputs by position.
        named: those by name, and arguments beside them.
    """
    if len(args) + len(named) < 2 or not is_keras(net):
        return net(*args, **named)
    parameters = inspect.signature(net.call).parameters  # type: ignore[arg-type]
    taken = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD and name not in _BESIDE]
    if len(taken) != 1:
        return net(*args, **named)
    if args:
        return net(list(args) if len(args) > 1 else args[0], **named)
    inputs = {name: value for name, value in named.items() if name not in parameters}
    return net(inputs, **{name: value for name, value in named.items() if name in parameters}) if inputs else net(**named)
