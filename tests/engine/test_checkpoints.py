"""A part under gradient checkpointing runs once, where it is watched, and the checkpoints come back afterwards."""

import pytest
import torch
from torch import nn
from torch.utils import checkpoint

from networks import Noted
from signxai import explain
from signxai.engine.checkpoints import without_checkpoints


class Checkpointed(nn.Module):
    def __init__(self, use_reentrant):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)
        self.use_reentrant = use_reentrant
        self.forward_passes = Noted()

    def part(self, x):
        self.forward_passes.append(x.shape)
        return torch.relu(self.first(x)).square()

    def forward(self, x):
        return self.last(checkpoint.checkpoint(self.part, x, use_reentrant=self.use_reentrant))


NAMES = ["CheckpointFunction", "_checkpoint_without_reentrant_generator", "_checkpoint_without_reentrant_generator_impl"]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_version_of_torch_calls_its_checkpoints_they_are_left_out_and_come_back(name, monkeypatch):
    mark = object()
    monkeypatch.setattr(checkpoint, name, mark, raising=False)
    with without_checkpoints():
        stand_in = vars(checkpoint)[name]
    if name == "CheckpointFunction":
        assert stand_in.apply(abs, True, -3) == 3
    else:
        assert len(list(stand_in(abs, True, -3))) == 1
    assert vars(checkpoint)[name] is mark


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_1", "guided_backprop"])
def test_a_checkpointed_part_runs_once(name, use_reentrant):
    net, before = Checkpointed(use_reentrant), dict(vars(checkpoint))
    explain(net, torch.ones(2, 3), name, 1)
    assert net.forward_passes == [(2, 3)]
    assert dict(vars(checkpoint)) == before
    net(torch.ones(2, 3, requires_grad=True)).sum().backward()
    assert len(net.forward_passes) == 3  # again in backward, as its owner wants it
