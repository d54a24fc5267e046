"""Models of so many modules that what these hold is more than what one module may lead to."""

import torch
from torch import Tensor, nn

from signxai import explain


class Node:
    """An object that leads to a module, as a graph of layers has it."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module


class Noted(nn.Module):
    """A layer with many objects of its own, which calls the next one by an object."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.notes = [[number] for number in range(60)]
        self.inner = inner
        self.node = Node(inner)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.node.module(x)
        return result


def test_each_module_of_a_large_model_is_run_in_evaluation_mode():
    torch.manual_seed(0)
    layers = [Noted(nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2))) for _ in range(200)]  # 60 lists each are 12,000
    net = nn.Sequential(*layers, *(Noted(nn.Identity()) for _ in range(200)), Noted(nn.Dropout(0.5))).double()
    x = torch.ones(1, 2, dtype=torch.float64)
    relevance = explain(net, x, "gradient", 0)
    assert net.training
    assert (relevance == explain(net.eval(), x, "gradient", 0)).all()
