"""How many samples run together where nobody says so: so many that memory stays bounded, whatever their number."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from signxai.common.errors import SignxaiError
from signxai.engine.activation_memory import MeasuringPass
from signxai.engine.forward import OutputOption, run_forward
from signxai.engine.joint_inputs import JointInputs

__all__ = ["samples_at_once"]

_FEW, _SMALL_BYTES = 64, 5 << 19
"""Up to so many samples of so few bytes together run at once unmeasured: measuring them would take longer than it could save."""


def samples_at_once(net: nn.Module, x: Tensor, inputs: JointInputs | None, output: OutputOption, draws_from: int | None) -> int:
    """The most samples of a pass: those whose activations, measured on the first sample, take about 1 GiB; on the CPU fewer where that is
    quicker.

    Args:
        net: the network, borrowed.
        x: all samples (N, ...).
        inputs, output, draws_from: as for ``run_forward``.

    Returns:
        1 to N; N too where the network does not run on the first sample alone: what is wrong then, the pass itself says.

    >>> samples_at_once(nn.Linear(4, 3), torch.ones(10, 4), None, None, None)
    10
    """
    count = len(x)
    if count == 1 or (count <= _FEW and x.nbytes <= _SMALL_BYTES):
        return count
    mode = MeasuringPass()
    try:
        with torch.no_grad():
            run_forward(net, x[:1].clone(), mode, None, output, draws_from, inputs and inputs.at([0]))
    except SignxaiError:
        return count
    return min(count, mode.most_samples() or count)
