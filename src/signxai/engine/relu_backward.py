"""Gives every ReLU of a forward pass another backward pass, however it is spelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from signxai.engine.decompositions import RELU_STEPS
from signxai.engine.mode import (
    BASE_TABLE,
    ForwardPass,
    Handler,
    functions_named,
    split_input,
    table_of,
    writes_in_place,
)
from signxai.engine.nodes import ReLUNode, needs_relevance


def _relu(watch: ReLUPass, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, rest, named = split_input(args, kwargs)
    if not needs_relevance(x) or not _is_relu(func, rest, named):
        return watch.plain(func, args, kwargs)
    watch.relus += 1
    if writes_in_place(func, args, kwargs):
        watch.keeper.before_write(x)
    upper = _upper_limit(func, rest, named)
    return ReLUNode.apply(x, lambda t: func(t, *rest, **named), watch.relu_backward, upper)


_CLAMPS = functions_named("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_")
_CLAMP_MINS = functions_named("clamp_min", "clamp_min_")
_RELU6 = functions_named("relu6", "relu6_")
_HARDTANH = functions_named("hardtanh", "hardtanh_")
_THRESHOLD = functions_named("threshold", "threshold_")


def _is_relu(func: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Whether a clamp, hardtanh or threshold is a ReLU (or ReLU6), spelled another way."""
    if func in _CLAMPS:
        return bool(_argument("min", 0, rest, named) == 0)
    if func in _HARDTANH:
        return bool(_argument("min_val", 0, rest, named) == 0)
    if func in _THRESHOLD:
        return bool(_argument("threshold", 0, rest, named) == 0 and _argument("value", 1, rest, named) == 0)
    return True


def _upper_limit(func: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> float | None:
    """Where a ReLU6, or a clamp or hardtanh that is one, is cut off."""
    if func in _RELU6:
        return 6.0
    if func in _CLAMPS - _CLAMP_MINS:
        return _argument("max", 1, rest, named)  # type: ignore[no-any-return]
    if func in _HARDTANH:
        return _argument("max_val", 1, rest, named)  # type: ignore[no-any-return]
    return None


def _argument(name: str, position: int, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
    value = rest[position] if len(rest) > position else named.get(name)
    return None if isinstance(value, Tensor) else value


RELU_NAMES = (
    *("relu", "relu_", "relu6", "relu6_", "hardtanh", "hardtanh_", "threshold", "threshold_"),
    *("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_"),
)


class ReLUPass(ForwardPass):
    """Gives every ReLU, module or function, another backward: ``(gradient, where active) -> gradient``."""

    handlers: Mapping[Any, Handler] = {**BASE_TABLE, **RELU_STEPS, **table_of((RELU_NAMES, _relu))}

    def __init__(self, relu_backward: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.relu_backward = relu_backward
        self.relus = 0
