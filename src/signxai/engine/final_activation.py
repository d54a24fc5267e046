"""The activation at a network's output that turns logits into probabilities: what stood in front of it is explained.

It is found by notes where torch has a name for it, softmax or sigmoid, or their logarithms, and behind whatever leaves it one in
the eyes of a user: moves, a factor, a clamp, an epsilon. Written by hand it is recognized by what it computes: the output equals the
softmax or the sigmoid of something that the network took the exponential of.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.moves import MOVES_ALONE
from signxai.engine.notes import AsItWas, FreshNotes
from signxai.engine.torch_functions import Operation, functions_named

SOFTMAX, SIGMOID = "softmax", "sigmoid"

_MOST_EPSILON = 1e-3
_REMEMBERED = 8


class ProbabilitiesWarning(UserWarning):
    """The output looks like probabilities, and nothing that was computed is their logits: the probabilities are explained."""


@dataclass(frozen=True)
class Probabilities:
    """What is known of a tensor that holds probabilities, or their logarithms.

    Attributes:
        logits: gives what stood in front.
        name: "softmax" or "sigmoid".
        is_log: whether it holds logarithms.
    """

    logits: Callable[[], Tensor]
    name: str
    is_log: bool = False


def _table(**kinds: tuple[str, ...]) -> dict[Operation, str]:
    found = {function: kind for kind, names in kinds.items() for function in functions_named(*names)}
    return dict.fromkeys(MOVES_ALONE, "moves") | found


KINDS = _table(
    softmax=("softmax", "special_softmax"),
    log_softmax=("log_softmax", "special_log_softmax"),
    sigmoid=("sigmoid", "sigmoid_", "expit", "special_expit"),
    log_sigmoid=("logsigmoid", "log_sigmoid"),
    moves=("to", "float", "double", "half", "bfloat16", "type", "dropout", "index_select", "type_as", "permute", "T", "mT"),
    joins=("cat", "concat", "concatenate", "stack", "hstack", "vstack"),
    scales=(
        *("mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"),
        *("div", "div_", "divide", "true_divide", "__truediv__", "__itruediv__"),
    ),
    shifts=("add", "add_", "__add__", "__radd__", "__iadd__"),
    cuts=("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_", "clamp_max", "clamp_max_", "nan_to_num"),
    log=("log", "log_"),
    exp=("exp", "exp_"),
    tanh=("tanh", "tanh_"),
    softplus=("softplus",),
    logsumexp=("logsumexp", "special_logsumexp"),
    differences=("sub", "__sub__", "subtract"),
)  # fmt: skip
"""What a function does to probabilities, or to what may become some."""

_TAKEN_OFF = {"softmax": (SOFTMAX, False), "log_softmax": (SOFTMAX, True), "sigmoid": (SIGMOID, False), "log_sigmoid": (SIGMOID, True)}


class FinalActivation:
    """Watches for what may be the activation at the output; one for each forward pass."""

    def __init__(self) -> None:
        self._notes: FreshNotes[Probabilities] = FreshNotes()
        self._any = False
        self._candidates: deque[tuple[str, AsItWas]] = deque(maxlen=_REMEMBERED)

    def note(self, result: object, logits: object, name: str = SOFTMAX) -> None:
        """Remember that ``result`` is a softmax, or sigmoid, of ``logits``."""
        if isinstance(result, Tensor) and isinstance(logits, Tensor):
            self._put(result, Probabilities(lambda: logits, name))

    def _put(self, result: Tensor, known: Probabilities) -> None:
        self._any = True
        self._notes.put(result, known)

    def before(self, kind: str, call: Call) -> Probabilities | Tensor | None:
        """What must be known before a call of one of ``KINDS`` runs, which may write to its input."""
        if kind in _TAKEN_OFF:
            x = call.x
            return x.clone() if isinstance(x, Tensor) and call.writes_in_place() else x if isinstance(x, Tensor) else None
        if kind in ("exp", "tanh", "softplus", "logsumexp", "differences"):
            self._remember(kind, call)
        return self._notes.get(call.x) if self._any and kind != "joins" else None

    def _remember(self, kind: str, call: Call) -> None:
        x = call.x
        if not isinstance(x, Tensor) or call.writes_in_place():
            return
        if kind == "differences" and not _is_less_its_maximum(call):
            return
        self._candidates.append((kind, AsItWas(x)))

    def after(self, kind: str, call: Call, before: Probabilities | Tensor | None, result: Result) -> None:
        """Note what is still, or now, a probability."""
        if kind in _TAKEN_OFF:
            if isinstance(result, Tensor) and isinstance(before, Tensor):
                name, is_log = _TAKEN_OFF[kind]
                self._put(result, Probabilities(lambda: before, name, is_log))
        elif kind == "joins":
            self._join(call, result)
        elif isinstance(before, Probabilities):
            self._follow(kind, call, before, result)

    def _follow(self, kind: str, call: Call, known: Probabilities, result: Result) -> None:
        if kind == "moves" and not isinstance(result, Tensor):
            for place, part in enumerate(result if isinstance(result, tuple | list) else ()):
                if isinstance(part, Tensor):
                    self._put(part, replace(known, logits=lambda place=place: call.run(known.logits())[place]))  # type: ignore[misc]
        elif not isinstance(result, Tensor):
            return
        elif kind == "moves":
            self._put(result, known if result is call.x else replace(known, logits=lambda: call.run(known.logits())))
        elif kind == "log" and not known.is_log:
            self._put(result, replace(known, is_log=True))
        elif kind == "exp" and known.is_log:
            self._put(result, replace(known, is_log=False))
        elif kind == "cuts" or (kind in ("scales", "shifts") and _leaves_probabilities(kind, call, known)):
            self._put(result, known)

    def _join(self, call: Call, result: Result) -> None:
        if not self._any or not isinstance(result, Tensor):
            return
        parts = list(tensors_in(call.args[:1] or tuple(call.kwargs.values())[:1]))
        found = [self._notes.get(part) for part in parts]
        first = found[0] if found else None
        if first is None or any(known is None or (known.name, known.is_log) != (first.name, first.is_log) for known in found):
            return

        def joined() -> Tensor:
            logits: Tensor = call.run([known.logits() for known in found if known is not None])
            return logits

        self._put(result, replace(first, logits=joined))

    def of(self, output: Tensor) -> Probabilities | None:
        """What is known of an output; None if it is none that is known to hold probabilities."""
        return self._notes.get(output) or self._recognized(output)

    def _recognized(self, output: Tensor) -> Probabilities | None:
        """What is known by what the output equals."""
        if not self._candidates or not output.is_floating_point():
            return None
        values = output.detach()
        is_log = bool((values <= 0).all())
        if not is_log and not bool(((values >= 0) & (values <= 1)).all()):
            return None
        wanted = values.exp() if is_log else values
        for kind, tensor in self._candidates:
            x = tensor.get()
            if x is None or x.shape != output.shape or x.requires_grad != output.requires_grad:
                continue
            for factor, name, probabilities in _readings(kind, x.detach()):
                if torch.allclose(probabilities, wanted, rtol=1e-3, atol=_tolerance(values.dtype)):
                    return Probabilities((lambda x=x, factor=factor: x if factor == 1 else x * factor), name, is_log)  # type: ignore[misc]
        return None

    def say_if_unrecognized(self, output: Tensor) -> None:
        """Warn where an output that nothing is known of looks like probabilities of classes."""
        values = output.detach()
        if values.ndim < 2 or values.shape[1] < 2 or not values.is_floating_point():
            return
        if not math.isclose(float(values.sum()) * values.shape[1], values.numel(), rel_tol=1e-3):  # most outputs: one sum tells
            return
        if not bool(((values > 0) & (values <= 1)).all()) or not torch.allclose(values.sum(1), torch.ones_like(values.sum(1)), atol=1e-4):
            return
        warnings.warn(
            "the model's output looks like probabilities, which sum to 1 over the classes, but their logits are not known: the "
            "probabilities are explained; let the model return logits, or name them by output=",
            ProbabilitiesWarning,
            stacklevel=2,
        )


def _readings(kind: str, x: Tensor) -> Iterator[tuple[float, str, Tensor]]:
    """Of which multiple of what was remembered an output may be the softmax or sigmoid, and what it would be then."""
    if kind == "exp":
        yield -1.0, SIGMOID, torch.sigmoid(-x)
        yield 1.0, SIGMOID, torch.sigmoid(x)
    elif kind == "tanh":
        yield 2.0, SIGMOID, torch.sigmoid(2 * x)
    elif kind == "softplus":
        yield -1.0, SIGMOID, torch.sigmoid(-x)
    if kind in ("exp", "logsumexp", "differences"):
        for axis in range(1, x.ndim):
            yield 1.0, SOFTMAX, torch.softmax(x, axis)


def _tolerance(dtype: torch.dtype) -> float:
    return 1e-5 if dtype in (torch.float32, torch.float64) else 1e-2


def _is_less_its_maximum(call: Call) -> bool:
    if len(call.args) != 2 or not isinstance(call.args[1], Tensor) or call.args[1].ndim != call.x.ndim:
        return False
    axes = [axis for axis in range(call.x.ndim) if call.args[1].shape[axis] == 1 != call.x.shape[axis]]
    return len(axes) == 1 and torch.equal(call.x.detach().amax(axes, keepdim=True), call.args[1].detach())


def _leaves_probabilities(kind: str, call: Call, known: Probabilities) -> bool:
    """Whether a factor, or what is added, is a number that probabilities are still ones with."""
    others = [value for value in call.args if value is not call.x]
    if len(others) != 1 or call.kwargs.keys() - {"out"}:
        return False
    number = _number(others[0])
    if number is None:
        return False
    if kind == "scales":
        return number == 1 or (number > 0 and known.name == SOFTMAX)  # ten times a sigmoid is no probability
    return not known.is_log and 0 <= number <= _MOST_EPSILON


def _number(value: Any) -> float | None:
    if isinstance(value, Tensor):
        return float(value) if value.numel() == 1 and not value.requires_grad else None
    return float(value) if isinstance(value, int | float) else None
