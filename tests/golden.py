"""The networks on which the original package's maps were recorded, and these maps."""

import json
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from places import DATA

GOLDEN_FILES = ("ecg_cnn", "image_cnn", "mlp")


@dataclass(frozen=True)
class Golden:
    """One golden file: the network (float64, eval), its two samples, and the original package's maps by method name."""

    model: nn.Sequential
    x: Tensor
    logits: np.ndarray
    target: int
    maps: dict[str, np.ndarray]


@cache
def golden(file: str) -> Golden:
    """Read tests/data/<file>.npz and build its network; the same one at every call."""
    with np.load(DATA / f"{file}.npz") as data:
        arrays = {key: data[key] for key in data.files}
    spec = json.loads(str(arrays["spec"]))
    x = torch.tensor(arrays["x"], dtype=torch.float64)
    layers: list[nn.Module] = []
    a, index = x, 0
    for kind, *sizes in spec["layers"]:
        layer = _layer(kind, sizes, a.shape[1])
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            layer.weight.data, layer.bias.data = torch.tensor(arrays[f"w{index}"]), torch.tensor(arrays[f"b{index}"])
            index += 1
        layers.append(layer.double())
        a = layers[-1](a).detach()
    maps = {key.removeprefix("map:"): value for key, value in arrays.items() if key.startswith("map:")}
    return Golden(nn.Sequential(*layers).eval(), x, arrays["logits"], spec["target"], maps)


def _layer(kind: str, sizes: list, width: int) -> nn.Module:
    if kind.startswith("conv"):
        channels, kernel, padding, stride = sizes
        conv = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d}[kind]
        return conv(width, channels, kernel, stride=stride, padding=(kernel - 1) // 2 if padding == "same" else 0)
    plain = {"relu": nn.ReLU, "flatten": nn.Flatten, "maxpool1d": nn.MaxPool1d, "maxpool2d": nn.MaxPool2d}
    return nn.Linear(width, *sizes) if kind == "dense" else plain[kind](*sizes)
