"""Runs of plain layers: layers in a row inside an ``nn.Sequential``, each linear one with a ReLU behind it.

Nobody sees or uses what lies between them, so a pass may carry out a run as a whole. In a small network, calls take longer
than the arithmetic, and this spares most of them. Whatever is not exactly such a run is called as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as modules_of_torch
from torch.overrides import _get_current_function_mode

from signxai.engine.call import Result
from signxai.engine.graph import Node, RelevanceNode, needs_relevance
from signxai.engine.layers import ChannelMap, Layer, batch_norm_map
from signxai.engine.linear_node import RuleSite, layer_of_module
from signxai.engine.saved import SavedReLU, SavedTensor
from signxai.engine.stabilizer import Stabilizer, stabilized_share

_INPUT_AXES: dict[type[nn.Module], int] = {nn.Linear: 0, nn.Conv1d: 3, nn.Conv2d: 4, nn.Conv3d: 5}
"""Modules that a stage begins with, and how many axes their input has (0: any number)."""

_POOLS: dict[type[nn.Module], int] = {nn.AdaptiveAvgPool1d: 3, nn.AdaptiveAvgPool2d: 4}
_MAX_POOLS: dict[type[nn.Module], int] = {nn.MaxPool1d: 3, nn.MaxPool2d: 4}
_NORM_BEHIND: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: nn.BatchNorm1d,
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}
_IDENTITIES = {nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d}

_SMALL = 1 << 16
"""Values up to which a ReLU's output is saved beside its input, which takes less time than computing it again."""

_TENSORS = {nn.Parameter, Tensor, type(None)}

KNOWN_AS_PLAIN = "_is_known_as_plain"
"""An attribute of modules in a view of which that has been found out."""


Module: TypeAlias = Any
"""A module whose attributes depend on its class, which has been looked at."""


class Passage(Protocol):
    """One step of a run as it was executed."""

    def relevance(self, relevance: Tensor) -> Tensor:
        """Relevance at its input, from that at its output."""


class Stage:
    """A linear layer, a batch norm or none, and a ReLU (which only the last layer of a network lacks)."""

    __slots__ = ("axes", "has_relu", "layer", "norm")

    def __init__(self, linear: nn.Module, norm: nn.Module | None, has_relu: bool) -> None:
        self.layer = layer_of_module(linear)
        self.axes = _INPUT_AXES[type(linear)] or (2 if norm is not None else 0)
        self.norm = None if norm is None else _norm_arguments(norm)
        self.has_relu = has_relu

    def axes_behind(self, axes: int) -> int:
        """How many axes the output has; 0 if it does not take an input of so many."""
        return axes if self.axes in (0, axes) else 0

    def run(self, x: Tensor, saved: SavedTensor, site: RuleSite) -> tuple[Tensor, SavedTensor]:
        """The output, also as a rule of the next layer saves it."""
        layer = self.layer
        z = layer.output(x, layer.own_weight, layer.own_bias)
        if self.norm is not None:
            z = torch.batch_norm(z, *self.norm)
        site.x, site.z = saved, SavedTensor(z)
        if not self.has_relu:
            return z, site.z
        output = torch.relu(z)
        return output, SavedTensor(output) if z.numel() < _SMALL else SavedReLU(site.z)

    def norm_map(self) -> ChannelMap | None:
        """What the batch norm does to a channel; None without one."""
        if self.norm is None:
            return None
        weight, bias, mean, var, _, _, eps, _ = self.norm
        return batch_norm_map(mean, var, weight, bias, eps)

    def folded_layer(self) -> Layer:
        """The layer with its batch norm."""
        norm_map = self.norm_map()
        return self.layer if norm_map is None else self.layer.folded(norm_map)


def _norm_arguments(norm: Module) -> tuple[Any, ...]:
    """What ``torch.batch_norm`` takes behind its input."""
    parameters, buffers = norm._parameters, norm._buffers
    statistics = buffers["running_mean"], buffers["running_var"]
    return parameters["weight"], parameters["bias"], *statistics, False, 0.0, norm.eps, torch.backends.cudnn.enabled


class Pooling:
    """An ``nn.AdaptiveAvgPool1d`` or ``2d``."""

    __slots__ = ("axes", "size")

    def __init__(self, module: Module) -> None:
        self.axes = _POOLS[type(module)]
        self.size = module.output_size

    def axes_behind(self, axes: int) -> int:
        """How many axes the output has; 0 if it does not take an input of so many."""
        return axes if axes == self.axes else 0

    def output(self, x: Tensor) -> Tensor:
        """The means."""
        return F.adaptive_avg_pool1d(x, self.size) if self.axes == 3 else F.adaptive_avg_pool2d(x, self.size)

    def run(self, x: Tensor, saved: SavedTensor, passage: PoolingPassage) -> tuple[Tensor, SavedTensor]:
        """The output, also as a rule of the next layer saves it."""
        output = self.output(x)
        passage.x, passage.output = saved, SavedTensor(output)
        return output, SavedTensor(output)  # another one: the next layer lets go of it first


class PoolingPassage:
    """A mean as it was executed: each value gets its share of the mean that it is part of."""

    __slots__ = ("output", "stabilizer", "x")

    def __init__(self, stabilizer: Stabilizer) -> None:
        self.stabilizer = stabilizer
        self.x: SavedTensor
        self.output: SavedTensor

    def relevance(self, relevance: Tensor) -> Tensor:
        x = self.x.take()
        share = stabilized_share(relevance, self.output.take(), self.stabilizer)
        return pool_backward(share, x).mul_(x)


def pool_backward(gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient of an adaptive average pooling by its input ``x`` (N, C, L) or (N, C, H, W)."""
    if x.ndim == 3:
        return pool_backward(gradient.unsqueeze(2), x.unsqueeze(2)).squeeze(2)
    result: Tensor = torch.ops.aten._adaptive_avg_pool2d_backward.default(gradient, x)
    return result


class MaxPooling:
    """An ``nn.MaxPool1d`` or ``2d``; one axis counts as two, the first of size 1."""

    __slots__ = ("axes", "options")

    def __init__(self, module: Module) -> None:
        self.axes = _MAX_POOLS[type(module)]
        options = zip((module.kernel_size, module.stride, module.padding, module.dilation), (1, 1, 0, 1), strict=True)
        pairs = [_pair(value) if self.axes == 4 else (of_one, _pair(value)[1]) for value, of_one in options]
        self.options = *pairs, module.ceil_mode

    def axes_behind(self, axes: int) -> int:
        """How many axes the output has; 0 if it does not take an input of so many."""
        return axes if axes == self.axes else 0

    def output(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maxima, and where they are, of x (N, C, H, W)."""
        output, indices = torch.ops.aten.max_pool2d_with_indices.default(x, *self.options)
        return output, indices

    def gradient(self, gradient: Tensor, x: Tensor, indices: Tensor) -> Tensor:
        """The gradient by x (N, C, H, W)."""
        result: Tensor = torch.ops.aten.max_pool2d_with_indices_backward.default(gradient, x, *self.options, indices)
        return result


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


class Flattening:
    """An ``nn.Flatten`` of all axes behind the batch."""

    __slots__ = ()

    def axes_behind(self, axes: int) -> int:
        """How many axes the output has."""
        return 2

    def run(self, x: Tensor, saved: SavedTensor, passage: FlatteningPassage) -> tuple[Tensor, SavedTensor]:
        """The output, also as a rule of the next layer saves it."""
        passage.shape = x.shape
        output = x.flatten(1)
        return output, SavedTensor(output)


class FlatteningPassage:
    """A flattening as it was executed."""

    __slots__ = ("shape",)

    def __init__(self) -> None:
        self.shape: torch.Size

    def relevance(self, relevance: Tensor) -> Tensor:
        return relevance.reshape(self.shape)


Step: TypeAlias = Stage | Pooling | MaxPooling | Flattening


class Run:
    """Steps in a row, and the modules that they are."""

    __slots__ = ("modules", "steps")

    def __init__(self, steps: list[Step], modules: list[Module]) -> None:
        self.steps = steps
        self.modules = modules

    @property
    def ends_in_relu(self) -> bool:
        last = self.steps[-1]
        return isinstance(last, Stage) and last.has_relu

    def takes(self, x: object) -> bool:
        """Whether ``x`` is an ordinary batch that relevance is to pass, and no autocast changes the type of what each layer is given."""
        if type(x) is not Tensor or not needs_relevance(x) or _is_autocast(x):
            return False
        axes = x.ndim
        for step in self.steps:
            axes = step.axes_behind(axes)
            if not axes:
                return False
        return True


Plan: TypeAlias = "list[Run | nn.Module | None]"
"""What an ``nn.Sequential`` calls, in order."""


class RunNode(RelevanceNode):
    """A run under LRP rules: relevance passes its steps from the last to the first, and its ReLUs unchanged."""

    is_linear_layer = True

    @staticmethod
    def forward(ctx: Node, x: Tensor, saved: SavedTensor, steps: list[Any], passages: list[Passage]) -> Tensor:
        ctx.passages = passages
        for step, passage in zip(steps, passages, strict=True):
            x, saved = step.run(x, saved, passage)
        return x

    @staticmethod
    def backward(ctx: Node, relevance: Tensor) -> tuple[Tensor | None, ...]:
        for passage in reversed(ctx.passages):
            relevance = passage.relevance(relevance)
        return relevance, None, None, None


def has_global_hooks() -> bool:
    """Whether somebody asked torch to call a hook at every module."""
    own = modules_of_torch
    return bool(own._global_forward_hooks or own._global_forward_pre_hooks or own._global_backward_hooks or own._global_backward_pre_hooks)


def plan_of(sequential: nn.Sequential, is_network: bool = False, with_max_pools: bool = False) -> Plan | None:
    """What to call instead of the modules of an ``nn.Sequential`` one by one; None if there is no run in it.

    Args:
        sequential: in evaluation mode.
        is_network: it is the network that is explained: nothing comes behind its last module.
        with_max_pools: runs go on behind a max pooling.
    """
    if has_global_hooks() or type(sequential).__iter__ is not nn.Sequential.__iter__:
        return None
    is_network = is_network and _is_plain(sequential, may_have_forward=True)
    modules: list[Module] = list(sequential._modules.values())
    plan: Plan = []
    index, has_run = 0, False
    while index < len(modules):
        run = _run_from(modules, index, is_network, with_max_pools)
        plan.append(run or modules[index])
        has_run = has_run or run is not None
        index += len(run.modules) if run is not None else 1
    return plan if has_run else None


def _run_from(modules: list[Module], start: int, is_network: bool, with_max_pools: bool) -> Run | None:
    """The longest run that begins there: it begins and ends with a stage."""
    steps: list[Step] = []
    count, index, end = 0, start, start
    while found := _stage_from(modules, index, is_network) or (_link_from(modules, index, with_max_pools) if steps else None):
        step, index = found
        steps.append(step)
        if isinstance(step, Stage):
            count, end = len(steps), index
    return Run(steps[:count], modules[start:end]) if count else None


def _stage_from(modules: list[Module], start: int, is_network: bool) -> tuple[Stage, int] | None:
    """A stage that begins there, and where it ends."""
    linear: Module = modules[start] if start < len(modules) else None
    if type(linear) not in _INPUT_AXES or not _is_plain(linear) or linear.__dict__.get("padding_mode", "zeros") != "zeros":
        return None
    norm: Module = None
    for index in range(start + 1, len(modules)):
        module: Module = modules[index]
        if not _is_plain(module):
            return None
        if type(module) is _NORM_BEHIND[type(linear)] and norm is None and module._buffers["running_mean"] is not None:
            norm = module
        elif type(module) is nn.ReLU:
            return Stage(linear, norm, has_relu=True), _behind_identities(modules, index + 1)
        elif type(module) not in _IDENTITIES:
            return None
    return (Stage(linear, norm, has_relu=False), len(modules)) if is_network else None


def _link_from(modules: list[Module], index: int, with_max_pools: bool) -> tuple[Step, int] | None:
    """A step between stages that begins there, and where it ends."""
    module: Module = modules[index] if index < len(modules) else None
    if with_max_pools and type(module) in _MAX_POOLS and _is_plain(module) and not module.return_indices:
        return MaxPooling(module), index + 1
    if type(module) in _POOLS and _is_plain(module):
        return Pooling(module), index + 1
    if type(module) is nn.Flatten and _is_plain(module) and (module.start_dim, module.end_dim) == (1, -1):
        return Flattening(), index + 1
    return None


def _behind_identities(modules: list[Module], index: int) -> int:
    while index < len(modules) and type(modules[index]) in _IDENTITIES and _is_plain(modules[index]):
        index += 1
    return index


def _is_plain(module: Module, may_have_forward: bool = False) -> bool:
    """Whether a module is as its class made it: no hooks, no forward of its own, no tensors of other kinds."""
    state = module.__dict__
    if KNOWN_AS_PLAIN in state:
        return True
    if state["_forward_hooks"] or state["_forward_pre_hooks"] or state["_backward_hooks"] or state["_backward_pre_hooks"]:
        return False
    if ("forward" in state and not may_have_forward) or "_conv_forward" in state or state["training"]:
        return False
    parameters, buffers = state["_parameters"], state["_buffers"]
    if not (state.keys().isdisjoint(parameters) and state.keys().isdisjoint(buffers)):  # an attribute stands in front of them
        return False
    return _TENSORS.issuperset(map(type, parameters.values())) and _TENSORS.issuperset(map(type, buffers.values()))


class RunsAhead(Protocol):
    """A forward pass that carries out runs as a whole."""

    def plan_of(self, sequential: nn.Sequential) -> Plan | None:
        """What to call instead of the modules one by one, if anything."""

    def takes(self, run: Run, x: Result) -> bool:
        """Whether a run is carried out as a whole."""

    def carry_out(self, run: Run, x: Tensor) -> Tensor:
        """The output of a run."""


def _forward(self: nn.Sequential, input: Result) -> Result:
    """``nn.Sequential.forward`` of a borrowed model: the pass that runs in this thread may have a plan for it."""
    mode: Any = _get_current_function_mode()  # type: ignore[no-untyped-call]
    steps: Any = self
    if hasattr(mode, "plan_of") and torch._C._len_torch_function_stack() == 1:  # another mode wants to see every operation
        with torch._C.DisableTorchFunction():  # which would watch every look at a tensor
            steps = mode.plan_of(self) or self
    for step in steps:
        input = _carried_out(mode, step, input) if type(step) is Run else step(input)
    return input


def _carried_out(mode: RunsAhead, run: Run, x: Result) -> Result:
    """The output of a run as a whole, or module by module where ``x`` is something else."""
    with torch._C.DisableTorchFunction():
        if mode.takes(run, x):
            return mode.carry_out(run, x)
    for module in run.modules:
        x = module(x)
    return x


_SEQUENTIAL_FORWARD = nn.Sequential.forward


def lend_forward(module: nn.Module) -> bool:
    """Let a module of a view follow plans, if it is an ``nn.Sequential`` that runs its modules in a row; whether it is."""
    is_lent = isinstance(module, nn.Sequential) and type(module).forward is _SEQUENTIAL_FORWARD and "forward" not in module.__dict__
    if is_lent:
        module.__dict__["forward"] = MethodType(_forward, module)
    return is_lent


_is_any_autocast: Callable[[], bool] = getattr(torch._C, "_is_any_autocast_enabled", lambda: True)


def _is_autocast(x: Tensor) -> bool:
    """Whether types are changed on the way on the device of a tensor; to ask for a device takes longer."""
    return _is_any_autocast() and torch.is_autocast_enabled(x.device.type)
