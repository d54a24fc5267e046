"""Parameters of a view: most share the memory of the user's model, to which nobody may write; some are copies."""

from __future__ import annotations

from torch import Tensor, nn

from signxai.common.errors import ModelError

_MARK = "_is_copy_of_parameter"


class ParametersWrittenError(ModelError):
    """Somebody writes to the parameters while the model is explained: it has to be explained on a copy of them."""


def as_copy(parameter: Tensor) -> Tensor:
    """A copy of a parameter, which may be written to."""
    copied = parameter.detach().clone()
    setattr(copied, _MARK, True)
    return copied


def shared_memory(net: nn.Module) -> set[int]:
    """Where the memory begins that a view's parameters share with those of the model."""
    shared = (parameter for parameter in net.parameters() if not hasattr(parameter, _MARK))
    return {parameter.untyped_storage().data_ptr() for parameter in shared}
