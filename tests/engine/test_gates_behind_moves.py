"""A gate stays one behind moves whose other tensors give no more than a shape or a type."""

import pytest
import torch
from torch import nn

from comparing import assert_same_map


class SqueezeExcitation(nn.Module):
    """A signal times a gate per channel, spread over the signal's positions in some way."""

    def __init__(self, spread):
        super().__init__()
        torch.manual_seed(0)
        self.signal, self.gate, self.classes = nn.Conv2d(1, 4, 3), nn.Linear(4, 4), nn.Linear(4, 3)
        self.spread = spread
        self.double()

    def forward(self, x):
        signal = self.signal(x).relu()
        gate = self.gate(signal.mean((2, 3))).sigmoid().view(-1, 4, 1, 1)
        return self.classes((signal * self.spread(gate, signal)).mean((2, 3)))


SPREADS = {
    "expand_as": lambda gate, signal: gate.expand_as(signal),
    "broadcast_tensors": lambda gate, signal: torch.broadcast_tensors(gate, signal)[0],
    "broadcast_tensors, the gate behind": lambda gate, signal: torch.broadcast_tensors(signal, gate)[1],
    "view_as": lambda gate, signal: gate.flatten(1).view_as(signal.mean((2, 3), keepdim=True)),
    "reshape_as": lambda gate, signal: gate.flatten(1).reshape_as(signal.mean((2, 3), keepdim=True)),
    "type_as": lambda gate, signal: gate.type_as(signal),
    "to another's type": lambda gate, signal: gate.to(signal),
    "type_as, of another type": lambda gate, signal: gate.type_as(signal.float()).type_as(signal),
}


@pytest.mark.parametrize("name", ["lrp_z", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1"])
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
def test_a_gate_spread_over_a_signal_is_the_gate(spread, name):
    tolerance = 1e-6 if spread is SPREADS["type_as, of another type"] else 1e-12  # it passes through float32
    other = (lambda gate, _: gate.float().double()) if tolerance > 1e-12 else (lambda gate, _: gate)
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert_same_map(SqueezeExcitation(other), SqueezeExcitation(spread), x, name, tolerance)


def test_the_signal_of_tensors_that_are_broadcast_together_is_no_gate():
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    spread = SqueezeExcitation(lambda gate, signal: torch.broadcast_tensors(gate, signal)[1])
    assert_same_map(SqueezeExcitation(lambda gate, signal: signal), spread, x, "lrp_z")
