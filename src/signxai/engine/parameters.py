"""Parameters of a view: most share the memory of the user's model, to which nobody may write; some are copies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

from torch import Tensor, nn

from signxai.common.errors import ModelError
from signxai.engine.tensors_of_modules import modules_of, tensors_of

_MARK = "_is_copy_of_parameter"
UNCOUNTED = -1


class ParametersWrittenError(ModelError):
    """Somebody writes to the parameters while the model is explained: it has to be explained on a copy of them."""


def marked_as_copy(copied: Tensor) -> Tensor:
    """A copy of a parameter, which may be written to."""
    setattr(copied, _MARK, True)
    return copied


def shared_memory(net: nn.Module) -> set[int]:
    """Where the memory begins that a view's parameters share with those of the model."""
    # Not by net.parameters(): Keras would make a table of them then, in which it wants what no copy is.
    shared = (parameter for *_, parameter in tensors_of(modules_of(net), "_parameters") if not hasattr(parameter, _MARK))
    return {parameter.untyped_storage().data_ptr() for parameter in shared}


def versions_of(tensors: Sequence[Tensor]) -> list[int]:
    """How often each has been written to; those made under ``torch.inference_mode()`` do not count that, and are copied."""
    try:
        return [tensor._version for tensor in tensors]
    except RuntimeError:  # to ask each first takes three times as long
        return [UNCOUNTED if tensor.is_inference() else tensor._version for tensor in tensors]


class nobody_writes_to:  # noqa: N801, as contextlib.suppress
    """Refuses what was computed while somebody wrote to parameters or buffers, as a thread that trains the model does.

    Args:
        tensors: the parameters and buffers.
        advice: what to do.
        versions: theirs, if somebody has them.

    Raises:
        ParametersWrittenError: if somebody did.
    """

    def __init__(self, tensors: Sequence[Tensor], advice: str, versions: list[int] | None = None) -> None:
        self._tensors, self._advice = tensors, advice
        self._versions = versions_of(tensors) if versions is None else versions

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if (error is None or isinstance(error, ModelError)) and self._versions != versions_of(self._tensors):
            raise ParametersWrittenError(f"the model's parameters were written to while it was explained: {self._advice}") from error


_IN_TRAINING = "_tensors_of_model_in_training"


def note_tensors_in_training(view: nn.Module, tensors: Iterable[Tensor]) -> None:
    """Note in a view the tensors that only code which gets at the model itself, not by the view, can come across."""
    view.__dict__[_IN_TRAINING] = frozenset(map(id, tensors))


def tensors_in_training(view: nn.Module) -> frozenset[int]:
    """The ``id`` of each of those, if modules of the model are in training mode; else none."""
    found: frozenset[int] = view.__dict__.get(_IN_TRAINING, frozenset())
    return found
