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
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.moves import MOVES_ALONE, in_any_layout
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
        sources: the tensors that stood in front; what is known holds as long as nobody writes to them.
    """

    logits: Callable[[], Tensor]
    name: str
    is_log: bool = False
    sources: tuple[AsItWas, ...] = ()

    def is_intact(self) -> bool:
        """Whether what stood in front is still what it was."""
        return all(source.get() is not None for source in self.sources)


def _table(**kinds: tuple[str, ...]) -> dict[Operation, str]:
    found = {function: kind for kind, names in kinds.items() for function in functions_named(*names)}
    return dict.fromkeys(MOVES_ALONE, "moves") | found


KINDS = _table(
    softmax=("softmax", "special_softmax"),
    log_softmax=("log_softmax", "special_log_softmax"),
    sigmoid=("sigmoid", "sigmoid_", "expit", "special_expit"),
    log_sigmoid=("logsigmoid", "log_sigmoid"),
    moves=("to", "float", "double", "half", "bfloat16", "type", "dropout", "index_select", "type_as", "permute", "T", "mT"),
    joins=("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack"),
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
        self._differences: FreshNotes[tuple[AsItWas, Tensor]] = FreshNotes()
        self._candidates: deque[tuple[str, AsItWas]] = deque(maxlen=_REMEMBERED)

    def note(self, result: object, logits: object, name: str = SOFTMAX) -> None:
        """Remember that ``result`` is a softmax, or sigmoid, of ``logits``."""
        if isinstance(result, Tensor) and isinstance(logits, Tensor):
            self._put(result, Probabilities(lambda: logits, name, sources=(AsItWas(logits),)))

    def _put(self, result: Tensor, known: Probabilities) -> None:
        self._any = True
        self._notes.put(result, known)

    def before(self, kind: str, call: Call) -> Probabilities | Tensor | None:
        """What must be known before a call of one of ``KINDS`` runs, which may write to its input."""
        if kind in _TAKEN_OFF:
            x = call.x
            if not isinstance(x, Tensor):
                return None
            return x.clone() if call.writes_in_place() else self._without_what_is_alike(x, call) if "softmax" in kind else x
        if kind in ("exp", "tanh", "softplus", "logsumexp", "differences"):
            self._remember(kind, call)
        return self._notes.get(call.x) if self._any and kind != "joins" else None

    def _remember(self, kind: str, call: Call) -> None:
        x = call.x
        if not isinstance(x, Tensor) or call.writes_in_place():
            return
        if kind == "differences" and not _spreads(call):
            return
        self._candidates.append((kind, AsItWas(x)))

    def after(self, kind: str, call: Call, before: Probabilities | Tensor | None, result: Result) -> None:
        """Note what is still, or now, a probability."""
        if kind in _TAKEN_OFF:
            if isinstance(result, Tensor) and isinstance(before, Tensor):
                name, is_log = _TAKEN_OFF[kind]
                self._put(result, Probabilities(lambda: before, name, is_log, (AsItWas(before),)))
        elif kind == "differences":
            if isinstance(result, Tensor) and isinstance(call.x, Tensor) and _spreads(call):
                self._differences.put(result, (AsItWas(call.x), call.args[1]))
        elif kind == "joins":
            self._join(call, result)
        elif isinstance(before, Probabilities):
            self._follow(kind, call, before, result)

    def _without_what_is_alike(self, x: Tensor, call: Call) -> Tensor:
        """What a softmax along an axis is one of: what was subtracted from all its inputs alike changes nothing."""
        axis = call.rest[0] if call.rest else call.named.get("dim")
        if not isinstance(axis, int):
            return x
        known, difference = self._notes.get(x), self._differences.get(x)
        if known is not None and known.name == SOFTMAX and known.is_log and known.is_intact() and x.ndim == 2:
            return known.logits()
        a = None if difference is None else difference[0].get()
        if a is None or difference is None:
            return x
        place, b = axis % x.ndim - x.ndim, difference[1]
        return self._without_what_is_alike(a, call) if b.ndim < -place or b.shape[place] == 1 else x

    def _follow(self, kind: str, call: Call, known: Probabilities, result: Result) -> None:
        call = in_any_layout(_out_of_place(call))
        if kind == "moves" and not isinstance(result, Tensor):
            for place, part in enumerate(result if isinstance(result, tuple | list) else ()):
                if isinstance(part, Tensor):
                    self._put(part, replace(known, logits=lambda place=place: call.run(known.logits())[place]))  # type: ignore[misc]
        elif not isinstance(result, Tensor):
            return
        elif kind == "moves":
            self._put(result, replace(known, logits=lambda: call.run(known.logits())))
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

        sources = tuple(source for known in found if known is not None for source in known.sources)
        self._put(result, replace(first, logits=joined, sources=sources))

    def of(self, output: Tensor) -> Probabilities | None:
        """What is known of an output; None if it is none that is known to hold probabilities."""
        known = self._notes.get(output)
        return known if known is not None and known.is_intact() else self._recognized(output)

    def _recognized(self, output: Tensor) -> Probabilities | None:
        """What is known by what the output equals."""
        if not self._candidates or not output.is_floating_point():
            return None
        values = output.detach()
        is_log = bool((values <= 0).all())
        if not is_log and not bool(((values >= 0) & (values <= 1)).all()):
            return None
        for kind, tensor in self._candidates:
            x = tensor.get()
            if x is None or x.numel() != output.numel() or x.requires_grad != output.requires_grad:
                continue
            known = _reading_of(kind, x, values.reshape(x.shape), is_log)
            if known is not None:
                return replace(known, logits=partial(_reshaped, known.logits, output.shape))
        return None

    def say_if_unrecognized(self, output: Tensor, total: float) -> None:
        """Warn where an output that nothing is known of, whose values sum to ``total``, looks like probabilities of classes."""
        if output.ndim < 2 or output.shape[1] < 2 or not output.is_floating_point():
            return
        if not math.isclose(total * output.shape[1], output.numel(), rel_tol=1e-3):  # most outputs: one sum tells
            return
        values = output.detach()
        if not bool(((values > 0) & (values <= 1)).all()) or not torch.allclose(values.sum(1), torch.ones_like(values.sum(1)), atol=1e-4):
            return
        warnings.warn(
            "the model's output looks like probabilities, which sum to 1 over the classes, but their logits are not known: the "
            "probabilities are explained; let the model return logits, or name them by output=",
            ProbabilitiesWarning,
            stacklevel=2,
        )


def _reading_of(kind: str, x: Tensor, values: Tensor, is_log: bool) -> Probabilities | None:
    """What values are of something that was remembered, if they are that to rounding."""
    rtol, atol = _TOLERANCES.get(values.dtype, (2e-2, 1e-7))
    plain = x.detach()
    if kind == "exp" and any(torch.equal(values, other) for other in (plain.exp(), plain.exp().log1p())):  # as small ones of a sigmoid
        return None
    for factor, name, logarithm in _readings(kind, plain):
        wanted = logarithm if is_log else logarithm.exp()
        if torch.allclose(values, wanted, rtol=rtol, atol=atol):
            return Probabilities(partial(_times, x, factor), name, is_log)
    return None


def _readings(kind: str, x: Tensor) -> Iterator[tuple[float, str, Tensor]]:
    """Of which multiple of what was remembered an output may be the softmax or sigmoid, and the logarithm of what it would be then."""
    if kind == "exp":
        yield -1.0, SIGMOID, F.logsigmoid(-x)
        yield 1.0, SIGMOID, F.logsigmoid(x)
    elif kind == "tanh":
        yield 2.0, SIGMOID, F.logsigmoid(2 * x)
    elif kind == "softplus":
        yield -1.0, SIGMOID, F.logsigmoid(-x)
    if kind in ("exp", "logsumexp", "differences"):
        for axis in range(1, x.ndim):
            yield 1.0, SOFTMAX, torch.log_softmax(x, axis)


_TOLERANCES = {torch.float64: (1e-9, 1e-30), torch.float32: (2e-5, 1e-30)}
"""Relative and absolute: small probabilities are told apart, too."""


def _times(x: Tensor, factor: float) -> Tensor:
    return x if factor == 1 else x * factor


def _reshaped(logits: Callable[[], Tensor], shape: torch.Size) -> Tensor:
    return logits().reshape(shape)


def _spreads(call: Call) -> bool:
    """Whether what is subtracted is alike along some axis."""
    if len(call.args) != 2 or not isinstance(call.args[1], Tensor):
        return False
    x, other = call.args
    return bool(other.ndim < x.ndim or any(size == 1 != whole for size, whole in zip(other.shape, x.shape, strict=False)))


def _out_of_place(call: Call) -> Call:
    """A move that changes a tensor's shape in place as one that leaves it alone."""
    name = getattr(call.func, "__name__", "")
    plain = getattr(torch.Tensor, name[:-1], None) if name.endswith("_") and not name.endswith("__") else None
    return call if plain is None else call.of(plain)


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
        return float(value) if value.ndim == 0 and not value.requires_grad else None
    return float(value) if isinstance(value, int | float) else None
