"""The outputs of a chosen module, caught while the network runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError, OptionError
from signxai.engine.forward import first_tensor
from signxai.engine.module_names import find_module

_EXECUTION = re.compile(r"^(?P<name>.*?)\[(?P<index>\d+)\]$")


class EachOutput:
    """While entered, calls ``function`` with each output of a module that depends on the network's input.

    Attributes:
        calls: how often the module was called, whatever its output depends on.
    """

    def __init__(self, module: nn.Module, function: Callable[[Tensor], None]) -> None:
        self.module = module
        self.function = function
        self.calls = 0
        self._handle: Any = None

    def __enter__(self) -> EachOutput:
        self._handle = self.module.register_forward_hook(self._see)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._handle.remove()

    def _see(self, _: nn.Module, args: object, output: object) -> None:
        self.calls += 1
        tensor = first_tensor(output)
        if tensor.requires_grad:
            self.function(tensor)


class OutputOf:
    """A module's output as the place where relevance is read off, whatever is done in place to the tensor later.

    Args:
        name: dotted name of the module; of one that is executed several times with the number of the execution, ``"relu[0]"``.
    """

    def __init__(self, net: nn.Module, name: str) -> None:
        match = _EXECUTION.match(name)
        self.name = name
        self.execution = int(match["index"]) if match else None
        self.module = find_module(net, match["name"] if match else name)
        self._found: list[object] = []
        self.watching = EachOutput(self.module, lambda output: self._found.append(self._kept(output)))

    def _kept(self, output: Tensor) -> object:
        """What is kept of an execution."""
        return torch.autograd.graph.get_gradient_edge(output)

    def edge(self) -> object:
        """The edge of the graph at which relevance arrives at the output.

        Raises:
            ModelError: if the module was not executed.
            OptionError: if it was executed several times and the name does not say which one is meant, or not that often.
        """
        return self._of_execution()

    def _of_execution(self) -> Any:
        """What was kept of the execution that the name says."""
        times = len(self._found)
        if not times:
            raise ModelError(f"at={self.name!r}: the module was not executed, or its output does not depend on the input; choose another")
        if self.execution is None and times > 1:
            which = f"'{self.name}[0]' to '{self.name}[{times - 1}]'"
            raise OptionError(f"at={self.name!r}: the module is executed {times} times; say which: {which}")
        if self.execution is not None and self.execution >= times:
            raise OptionError(f"at={self.name!r}: the module is executed {times} times; the last is [{times - 1}]")
        return self._found[self.execution or 0]


class ValuesOf(OutputOf):
    """The values of a module's output, as they are when the module returns them."""

    def _kept(self, output: Tensor) -> tuple[Tensor, int]:
        return output.detach().clone(), self.watching.calls

    def values(self) -> Tensor:
        """The values.

        Raises:
            ModelError, OptionError: as ``edge``.
        """
        values: Tensor = self._of_execution()[0]
        return values

    def replaced_by(self, values: Tensor) -> ReplacedOutput:
        """What puts other values in their place, in a network that runs as it did here up to the module.

        Raises:
            ModelError, OptionError: as ``edge``.
        """
        return ReplacedOutput(self.module, self._of_execution()[1], self.name, values)


class ReplacedOutput:
    """While entered, a module's output at its n-th call is replaced by other values, of its shape.

    Raises:
        ModelError: if the output is no tensor and no tuple or list that holds one.
    """

    def __init__(self, module: nn.Module, call: int, name: str, values: Tensor) -> None:
        self.module, self.call, self.name, self.values = module, call, name, values
        self._calls = 0
        self._handle: Any = None

    def __enter__(self) -> ReplacedOutput:
        self._handle = self.module.register_forward_hook(self._replace)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._handle.remove()

    def _replace(self, _: nn.Module, args: object, output: object) -> object:
        self._calls += 1
        if self._calls != self.call:
            return output
        replaced = first_tensor(output)
        if isinstance(output, Tensor):
            return self.values
        if not isinstance(output, tuple | list):
            raise ModelError(
                f"at={self.name!r}: the module returns {type(output).__name__}; integrated gradients put values in the place of a tensor, "
                "or of the first one of a tuple or list; choose a module within it"
            )
        parts = [self.values if part is replaced else part for part in output]
        return output._make(parts) if hasattr(output, "_make") else type(output)(parts)
