"""Networks for time series as people write them, small: (N, 2, 64) to (N, 4)."""

from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor, nn

CHANNELS, LENGTH, CLASSES = 2, 64, 4
ROOMS = ("attention", "convolutions", "forecasting", "recurrent", "spectra")


def series_networks() -> dict[str, Callable[[], nn.Module]]:
    """Every network's class by its name: those that a module of this folder defines itself."""
    modules = [import_module(f"{__name__}.{room}") for room in ROOMS]
    return {name: kind for module in modules for name, kind in vars(module).items() if _is_network(kind, module.__name__)}


def _is_network(kind: object, module: str) -> bool:
    return isinstance(kind, type) and issubclass(kind, nn.Module) and kind.__module__ == module and not kind.__name__.startswith("_")


def built(kind: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A network in float64 with random weights and, in its batch norms, random statistics."""
    torch.manual_seed(seed)
    network = kind()
    for module in network.modules():
        if isinstance(getattr(module, "running_mean", None), Tensor):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return network.double().eval()


def recordings(count: int, seed: int = 1) -> Tensor:
    """Recordings (count, 2, 64) with a rhythm in each."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(LENGTH, dtype=torch.float64)
    phases = torch.rand(count, CHANNELS, 1, generator=generator, dtype=torch.float64)
    return torch.sin(t / 5 + 6 * phases) + 0.5 * torch.randn(count, CHANNELS, LENGTH, generator=generator, dtype=torch.float64)
