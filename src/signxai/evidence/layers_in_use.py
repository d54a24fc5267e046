"""The layers that a decision depends on: an auxiliary head that does not run, or whose output is not explained, is none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from signxai.common.errors import ForwardError
from signxai.engine.module_names import find_module
from signxai.evidence.decision import Decision, deciding
from signxai.evidence.explaining import Explaining, Points
from signxai.evidence.random_models import copied, layers_with_parameters, own_parameters, randomized

__all__ = ["has_same_outputs", "layers_in_use"]

Result = TypeVar("Result")


def layers_in_use(explaining: Explaining, rows: Sequence[int]) -> list[str]:
    """The layers with parameters on which the outputs for some samples depend, by name, in the order in which they are first run.

    Those are the ones from whose parameters there is a gradient, and those without that change the outputs where they are drawn anew.

    Raises:
        ModelError: if the model cannot be copied.
    """
    net, reached = copied(explaining.model), set[str]()

    def run(other: nn.Module) -> None:
        try:
            reached.update(_decided(explaining, other, rows, Decision.parameters_reached))
        except ForwardError:  # it does not run with gradients of parameters
            _logits_by(explaining, other, rows)

    names = layers_with_parameters(explaining.model, run)
    of_reached = {id(parameter) for name, parameter in net.named_parameters(remove_duplicate=False) if name in reached}
    in_doubt = {name for name in names if _is_in_doubt(find_module(net, name), of_reached)}
    if not in_doubt:
        return names
    before = _logits_by(explaining, net, rows)
    return [name for name in names if name not in in_doubt or _changes(explaining, name, rows, before)]


def _is_in_doubt(layer: nn.Module, reached: set[int]) -> bool:
    return all(parameter.is_floating_point() and id(parameter) not in reached for parameter in own_parameters(layer))


def _changes(explaining: Explaining, name: str, rows: Sequence[int], before: Tensor) -> bool:
    """Whether the outputs change where a layer is drawn anew."""
    net = copied(explaining.model)
    randomized(find_module(net, name), explaining.settings.seed)
    return not torch.equal(_logits_by(explaining, net, rows), before)


def has_same_outputs(explaining: Explaining, net: nn.Module, rows: Sequence[int]) -> bool:
    """Whether another network makes of some samples what the model does."""
    return torch.equal(_logits_by(explaining, net, rows), _logits_by(explaining, explaining.model, rows))


def _logits_by(explaining: Explaining, net: nn.Module, rows: Sequence[int]) -> Tensor:
    """What another network makes of some samples."""
    return _decided(explaining, net, rows, lambda decision: decision.logits)


def _decided(explaining: Explaining, net: nn.Module, rows: Sequence[int], work: Callable[[Decision], Result]) -> Result:
    """What ``work`` gives of a network's decision on samples, whose target is of no account."""
    samples = Points(list(rows), {})
    return deciding(work, net, explaining.inputs_of(samples), 0, explaining.run_options(samples))
