"""Running a model under a mode: its logits, or an error that says what to do."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from signxai.common.errors import ForwardError, InputError, ModelError, SignxaiError
from signxai.engine.inputs import first_floating, is_finite
from signxai.engine.mode import ForwardPass
from signxai.engine.places import door


def first_tensor(output: Any) -> Tensor:
    """The logits among what a model returns: ``.logits`` (Hugging Face), a tensor, or the first one of a tuple or mapping.

    Raises:
        ModelError: if there is no tensor in it.
    """
    if isinstance(output, Tensor):
        return output
    logits = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    values: Iterable[Any] = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    for value in values:
        if isinstance(value, Tensor):
            return value
    raise ModelError(f"the model returned {type(output).__name__} without a tensor; it must return logits (N, classes)")


class _ForwardErrors:
    """Turns whatever a model's forward raises into a ``ForwardError`` that keeps it as its cause."""

    def __init__(self, net: nn.Module, x: Tensor, mode: ForwardPass) -> None:
        self.net = net
        self.x = x
        self.mode = mode

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, TypeError) and self.mode.refusal is not None:
            raise self.mode.refusal from None
        if isinstance(error, Exception) and not isinstance(error, SignxaiError | Warning):
            shape = tuple(self.x.shape)
            own = first_floating(self.net)
            if own is not None and self.x.dtype != own.dtype.to_real():  # wider, for token ids
                raise InputError(
                    f"x holds integers that {own.dtype} rounds, and the model takes them as numbers, not as token ids ({error}); give x as "
                    "floating-point numbers, or run the model in float32"
                ) from error
            if _takes_one_sample_as(self.net, self.x):
                raise InputError(f"x of shape {shape} has no batch axis; pass x[None], of shape {(1, *shape)}") from error
            raise ForwardError(
                f"the model's forward failed on x of shape {shape}: {type(error).__name__}: {error}; "
                "check that x has the shape (N, ...) that the model takes, and that model(x) works"
            ) from error


def _takes_one_sample_as(net: nn.Module, x: Tensor) -> bool:
    """Whether the model takes ``x`` once it has a batch axis, and not as it is."""
    with suppress(Exception), torch.no_grad():  # a trial: a model may raise anything
        net(x)
        return False
    with suppress(Exception), torch.no_grad():
        output = first_tensor(net(x[None]))
        return output.ndim > 0 and output.shape[0] == 1
    return False


@door
def run_forward(net: nn.Module, x: Tensor, mode: ForwardPass, made_from: Tensor | None = None) -> Tensor:
    """Run the model under ``mode`` and return its logits (N, ...), with any final softmax or sigmoid taken off.

    Args:
        net: the model.
        x: a batch (N, ...).
        mode: what sees its operations.
        made_from: what the user gave, if ``x`` are points made from it: errors speak of that.

    Raises:
        ForwardError: if the forward fails.
        InputError: if ``x`` has no batch axis.
        ModelError: if the output has not one row per sample, is no floating-point tensor, or holds NaN or infinity.
    """
    mode.net = net
    mode.samples += x.shape[0] if x.ndim else 0
    with _ForwardErrors(net, x if made_from is None else made_from, mode), mode:
        output = net(x)
    logits = mode.logits_of(first_tensor(output))
    if logits.ndim == 0 or logits.shape[0] != x.shape[0]:
        raise ForwardError(
            f"the model turned x of shape {tuple(x.shape)} into an output of shape {tuple(logits.shape)}, which has not one row per "
            f"sample of a batch; if x is one sample, pass x[None], of shape {(1, *x.shape)}"
        )
    if not logits.is_floating_point():
        raise ModelError(f"the model's output is {logits.dtype}; it must be floating-point logits")
    if not is_finite(logits):
        raise ModelError("the model's output holds NaN or infinity for this input; its relevance would be meaningless")
    return logits
