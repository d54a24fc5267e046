"""Torch's own modules of which it is known what their forward reads and that it changes nothing."""

from __future__ import annotations

import operator
from collections.abc import Iterable

from torch import Tensor, nn

from signxai.engine.fused.runs import has_global_hooks

STEADY = {
    *(nn.Sequential, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Softmax, nn.LogSoftmax),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    *(nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
}
"""Modules whose forward in evaluation mode changes nothing, neither an attribute nor a buffer."""

_CONSTANTS = {name for kind in STEADY for base in kind.__mro__ for name in vars(base).get("__constants__", ())}
_NAMES = vars(nn.Module()).keys() | _CONSTANTS | {"transposed", "_reversed_padding_repeated_twice"}
"""What their attributes are called; a module with another one holds something of its owner's."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_hooks_of = operator.itemgetter(*_HOOKS)
PLAIN_TENSORS = {nn.Parameter, Tensor}


def is_plain(module: nn.Module) -> bool:
    """Whether a module is one of these as its class made it: no hooks, no method or attribute of its owner's."""
    if type(module) not in STEADY:
        return False
    attributes = module.__dict__
    return _NAMES.issuperset(attributes) and not any(_hooks_of(attributes))


def are_steady(modules: Iterable[nn.Module], tensors: Iterable[Tensor]) -> bool:
    """Whether nothing but the code of such modules runs in a network."""
    return all(map(is_plain, modules)) and PLAIN_TENSORS.issuperset(map(type, tensors)) and not has_global_hooks()
