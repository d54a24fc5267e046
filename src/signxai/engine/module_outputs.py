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

_EXECUTION = re.compile(r"^(?P<name>.*?)\[(?P<index>\d+)\]$")


def find_module(net: nn.Module, name: str) -> nn.Module:
    """A module of the network, by its dotted name.

    Raises:
        OptionError: if it is not in the network.
    """
    modules: dict[str, nn.Module] = dict(net.named_modules())
    if name not in modules:
        raise OptionError(f"the model has no module {name!r}; its modules are {', '.join(filter(None, modules))}")
    return modules[name]


def name_of_module(model: nn.Module, layer: nn.Module | str) -> str:
    """The dotted name of a module of the model, which may be given as one.

    Raises:
        OptionError: if a module is given that is not in the model.
    """
    if isinstance(layer, str):
        return layer
    names: list[str] = [name for name, module in model.named_modules() if module is layer]
    if not names:
        raise OptionError(f"the layer {layer!r} is not a module of this model; give one of model.named_modules() or its name")
    return names[0]


class EachOutput:
    """While entered, calls ``function`` with each output of a module that depends on the network's input."""

    def __init__(self, module: nn.Module, function: Callable[[Tensor], None]) -> None:
        self.module = module
        self.function = function
        self._handle: Any = None

    def __enter__(self) -> EachOutput:
        self._handle = self.module.register_forward_hook(self._see)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._handle.remove()

    def _see(self, _: nn.Module, args: Any, output: Any) -> None:
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
        self._edges: list[Any] = []
        self.watching = EachOutput(find_module(net, match["name"] if match else name), self._keep)

    def _keep(self, output: Tensor) -> None:
        self._edges.append(torch.autograd.graph.get_gradient_edge(output))

    def edge(self) -> Any:
        """The edge of the graph at which relevance arrives at the output.

        Raises:
            ModelError: if the module was not executed, or not that often.
            OptionError: if it was executed several times and the name does not say which one is meant.
        """
        times = len(self._edges)
        if not times:
            raise ModelError(f"at={self.name!r}: the module was not executed, or its output does not depend on the input; choose another")
        if self.execution is None and times > 1:
            which = f"'{self.name}[0]' to '{self.name}[{times - 1}]'"
            raise OptionError(f"at={self.name!r}: the module is executed {times} times; say which: {which}")
        if self.execution is not None and self.execution >= times:
            raise OptionError(f"at={self.name!r}: the module is executed {times} times; the last is [{times - 1}]")
        return self._edges[self.execution or 0]
