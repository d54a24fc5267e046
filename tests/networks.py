"""Small random networks of every kind, their inputs, and the golden networks; all in float64."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

DATA = Path(__file__).parent / "data"
GOLDEN_FILES = ("ecg_cnn", "image_cnn", "mlp")
CLASSES = 4
SHAPES = {"linear": (12,), "mlp": (4, 5), "cnn1d": (3, 16), "cnn2d": (3, 8, 8), "cnn3d": (2, 5, 6, 6)}
CONVOLUTIONAL = ("cnn1d", "cnn2d", "cnn3d")


def randomized(net: nn.Module, seed: int = 0) -> nn.Module:
    """The network in float64 and eval with all its parameters and statistics drawn anew, of a size that keeps signals alive."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64)

    net = net.double().eval()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.affine:
                module.weight.data = 1 + 0.3 * draw(module.weight)
                module.bias.data = 0.3 * draw(module.bias)
            module.running_mean = 0.3 * draw(module.running_mean)
            module.running_var = 0.5 + draw(module.running_var).abs()
        else:
            for parameter in module.parameters(recurse=False):
                fan_in = max(1, parameter[0].numel())
                parameter.data = draw(parameter) * ((1.5 / fan_in) ** 0.5 if parameter.ndim > 1 else 0.3)
    return net


def network(kind: str, *, bias: bool = True, seed: int = 0, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """A small nn.Sequential of one kind of ``SHAPES`` with ``CLASSES`` outputs."""
    act = activation
    layers = {
        "linear": lambda: [
            nn.Linear(12, 20, bias), act(), nn.Linear(20, 20, bias), act(), nn.Linear(20, CLASSES, bias)],
        "mlp": lambda: [nn.Flatten(), nn.Linear(20, 16, bias), act(), nn.Linear(16, 16, bias), act(), nn.Linear(16, CLASSES, bias)],
        "cnn1d": lambda: [
            nn.Conv1d(3, 5, 3, padding=1, bias=bias), act(), nn.MaxPool1d(2), nn.Conv1d(5, 6, 3, stride=2, bias=bias), act(),
            nn.Flatten(), nn.Linear(18, CLASSES, bias)],
        "cnn2d": lambda: [
            nn.Conv2d(3, 5, 3, padding="same", bias=bias), act(), nn.Conv2d(5, 6, 3, bias=bias), act(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(54, 20, bias), act(), nn.Linear(20, CLASSES, bias)],
        "cnn3d": lambda: [
            nn.Conv3d(2, 4, 2, bias=bias), act(), nn.AvgPool3d(2), nn.Conv3d(4, 5, 2, bias=bias), act(),
            nn.Flatten(), nn.Linear(5, CLASSES, bias)],
    }  # fmt: skip
    return randomized(nn.Sequential(*layers[kind]()), seed)


def inputs(kind: str, n: int = 4, seed: int = 1) -> Tensor:
    """N random samples for that kind of network."""
    return torch.randn(n, *SHAPES[kind], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Sum(nn.Module):
    """A residual addition as a module."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Residual(nn.Module):
    """A two-branch block on (N, 3, 8, 8) whose addition and ReLUs are written in one of many ways."""

    def __init__(self, add: str = "+", relu: str = "module", norm: bool = True) -> None:
        super().__init__()
        self.add, self.how = add, relu
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.bn1, self.bn2 = (nn.BatchNorm2d(6), nn.BatchNorm2d(6)) if norm else (nn.Identity(), nn.Identity())
        self.act = nn.ReLU(inplace=relu == "inplace module")
        self.again = nn.ReLU()
        self.sum = Sum()
        self.fc = nn.Linear(6 * 16, CLASSES)

    def relu(self, x: Tensor) -> Tensor:
        written = {
            "module": lambda: self.act(x),
            "inplace module": lambda: self.act(x),
            "F.relu": lambda: F.relu(x),
            "F.relu inplace": lambda: F.relu(x, inplace=True),
            "torch.relu": lambda: torch.relu(x),
            "method": lambda: x.relu(),
            "method inplace": lambda: x.relu_(),
            "clamp": lambda: x.clamp(min=0),
        }
        return written[self.how]()

    def plus(self, a: Tensor, b: Tensor) -> Tensor:
        if self.add == "+=":
            a += b
            return a
        written = {"+": lambda: a + b, "torch.add": lambda: torch.add(a, b), "method": lambda: a.add(b), "add_": lambda: a.add_(b),
                   "module": lambda: self.sum(a, b)}  # fmt: skip
        return written[self.add]()

    def forward(self, x: Tensor) -> Tensor:
        a = self.relu(self.bn1(self.conv1(x)))
        a = self.relu(self.plus(self.bn2(self.conv2(a)), a))
        return self.fc(F.max_pool2d(a, 2).flatten(1))


@dataclass(frozen=True)
class Golden:
    """One golden file: the network (float64, eval), its two samples, and the original package's maps by method name."""

    model: nn.Sequential
    x: Tensor
    logits: np.ndarray
    target: int
    maps: dict[str, np.ndarray]


def golden(file: str) -> Golden:
    """Read tests/data/<file>.npz and build its network."""
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


def deviation(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest |difference| relative to the largest |expected| value; infinite where ``got`` is not finite or of another shape."""
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    scale = np.abs(expected).max()
    return float(np.abs(got - expected).max() / scale) if scale > 0 else float(np.abs(got).max())
