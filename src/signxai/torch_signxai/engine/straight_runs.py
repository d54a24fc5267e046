"""Straight runs: linear layers with a ReLU behind each, in a row inside an ``nn.Sequential``.

Nobody sees or uses what lies between them, so a pass may carry out a run as a whole. In a small network, calls take longer
than the arithmetic, and this spares most of them. Whatever is not exactly such a run is called as ever.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.module import _has_any_global_hook
from torch.overrides import _get_current_function_mode

from signxai.torch_signxai.engine.kept_tensors import Kept, KeptReLU
from signxai.torch_signxai.engine.linear_layers import Layer, batch_norm_map
from signxai.torch_signxai.engine.nodes import RuleSite, layer_of_module, needs_relevance

_INPUT_AXES: dict[type[nn.Module], int] = {nn.Linear: 0, nn.Conv1d: 3, nn.Conv2d: 4, nn.Conv3d: 5}
"""Modules that a stage begins with, and how many axes their input has (0: any number)."""

_NORMS = {nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d}
_IDENTITIES = {nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d}
_TENSORS = {nn.Parameter, Tensor, type(None)}


class Stage:
    """A linear layer, a batch norm or none, and a ReLU."""

    __slots__ = ("axes", "layer", "norm")

    def __init__(self, linear: nn.Module, norm: nn.Module | None) -> None:
        self.layer = layer_of_module(linear)
        self.axes = _INPUT_AXES[type(linear)] or (2 if norm is not None else 0)
        self.norm = None if norm is None else _norm_arguments(norm)

    def before_relu(self, x: Tensor) -> Tensor:
        """What the ReLU reads."""
        layer = self.layer
        z = layer.output(x, layer.own_weight, layer.own_bias)
        return z if self.norm is None else torch.batch_norm(z, *self.norm)

    def folded_layer(self) -> Layer:
        """The layer with its batch norm."""
        if self.norm is None:
            return self.layer
        weight, bias, mean, var, _, _, eps, _ = self.norm
        return self.layer.folded(batch_norm_map(mean, var, weight, bias, eps))


def _norm_arguments(norm: Any) -> tuple[Any, ...]:
    """What ``torch.batch_norm`` takes behind its input."""
    parameters, buffers = norm._parameters, norm._buffers
    statistics = buffers["running_mean"], buffers["running_var"]
    return parameters["weight"], parameters["bias"], *statistics, False, 0.0, norm.eps, torch.backends.cudnn.enabled


class Run:
    """Stages in a row, and the modules that they are."""

    __slots__ = ("modules", "stages")

    def __init__(self, stages: list[Stage], modules: list[Any]) -> None:
        self.stages = stages
        self.modules = modules

    def takes(self, x: Any) -> bool:
        """Whether ``x`` is an ordinary batch that relevance is to pass."""
        if type(x) is not Tensor or not needs_relevance(x):
            return False
        allowed = (0, x.ndim)
        return all(stage.axes in allowed for stage in self.stages)


Plan: TypeAlias = "list[Run | nn.Module | None]"
"""What an ``nn.Sequential`` calls, in order."""


class RunNode(Function):
    """A run under LRP rules: relevance passes its layers from the last to the first, and its ReLUs unchanged."""

    holds_linear_layers = True

    @staticmethod
    def forward(ctx: Any, x: Tensor, stages: list[Stage], sites: list[RuleSite]) -> Tensor:
        ctx.sites = sites
        for stage, site, following in zip(stages, sites, (*sites[1:], None), strict=True):
            z = stage.before_relu(x)
            site.z = Kept(z)
            if following is not None:
                following.x = KeptReLU(site.z)
            x = torch.relu(z)
        return x

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        for site in reversed(ctx.sites):
            relevance = site.relevance(relevance)
        return relevance, None, None


def plan_of(sequential: nn.Sequential) -> Plan | None:
    """What to call instead of the modules of an ``nn.Sequential`` one by one; None if there is no run in it."""
    if _has_any_global_hook() or type(sequential).__iter__ is not nn.Sequential.__iter__:  # type: ignore[no-untyped-call]
        return None
    modules: list[Any] = list(sequential._modules.values())
    plan: Plan = []
    index, has_run = 0, False
    while index < len(modules):
        run = _run_from(modules, index)
        plan.append(run or modules[index])
        has_run = has_run or run is not None
        index += len(run.modules) if run is not None else 1
    return plan if has_run else None


def _run_from(modules: list[Any], start: int) -> Run | None:
    """The longest run that begins there."""
    stages: list[Stage] = []
    end = start
    while (found := _stage_from(modules, end)) is not None:
        stages.append(found[0])
        end = found[1]
    return Run(stages, modules[start:end]) if stages else None


def _stage_from(modules: list[Any], start: int) -> tuple[Stage, int] | None:
    """A stage that begins there, and where it ends."""
    linear: Any = modules[start] if start < len(modules) else None
    if type(linear) not in _INPUT_AXES or not _is_plain(linear) or linear.__dict__.get("padding_mode", "zeros") != "zeros":
        return None
    norm: Any = None
    for index in range(start + 1, len(modules)):
        module: Any = modules[index]
        if not _is_plain(module):
            return None
        if type(module) in _NORMS and norm is None and module._buffers["running_mean"] is not None:
            norm = module
        elif type(module) is nn.ReLU:
            return Stage(linear, norm), _behind_identities(modules, index + 1)
        elif type(module) not in _IDENTITIES:
            return None
    return None


def _behind_identities(modules: list[Any], index: int) -> int:
    while index < len(modules) and type(modules[index]) in _IDENTITIES and _is_plain(modules[index]):
        index += 1
    return index


def _is_plain(module: Any) -> bool:
    """Whether a module is as its class made it: no hooks, no forward of its own, no tensors of other kinds."""
    state = module.__dict__
    if state["_forward_hooks"] or state["_forward_pre_hooks"] or state["_backward_hooks"] or state["_backward_pre_hooks"]:
        return False
    if "forward" in state or "_conv_forward" in state or state["training"]:
        return False
    parameters, buffers = state["_parameters"], state["_buffers"]
    return _TENSORS.issuperset(map(type, parameters.values())) and _TENSORS.issuperset(map(type, buffers.values()))


class RunsAhead(Protocol):
    """A forward pass that carries out runs as a whole."""

    def plan_of(self, sequential: nn.Sequential) -> Plan | None:
        """What to call instead of the modules one by one, if anything."""

    def carry_out(self, run: Run, x: Tensor) -> Tensor:
        """The output of a run."""


def _forward(self: nn.Sequential, input: Any) -> Any:
    """``nn.Sequential.forward`` of a borrowed model: the pass that runs in this thread may have a plan for it."""
    watch: Any = _get_current_function_mode()  # type: ignore[no-untyped-call]
    steps: Any = self
    if hasattr(watch, "plan_of") and torch._C._len_torch_function_stack() == 1:  # another mode wants to see every operation
        with torch._C.DisableTorchFunction():  # which would watch every look at a tensor
            steps = watch.plan_of(self) or self
    for step in steps:
        input = _carried_out(watch, step, input) if type(step) is Run else step(input)
    return input


def _carried_out(watch: RunsAhead, run: Run, x: Any) -> Any:
    """The output of a run as a whole, or module by module where ``x`` is something else."""
    with torch._C.DisableTorchFunction():
        if run.takes(x):
            return watch.carry_out(run, x)
    for module in run.modules:
        x = module(x)
    return x


def lend_forward(module: nn.Module) -> None:
    """Let a borrowed module follow plans, if it is an ``nn.Sequential`` that runs its modules in a row."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward and "forward" not in module.__dict__:
        module.__dict__["forward"] = MethodType(_forward, module)


def is_lent(forward: Any) -> bool:
    """Whether an attribute ``forward`` is a lent one, which another thread that explains the same model may have put there."""
    return type(forward) is MethodType and forward.__func__ is _forward
