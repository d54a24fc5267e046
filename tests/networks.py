"""Small random networks of every kind and their inputs; all in float64."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


def drawn(*shape: int, seed: int = 1) -> Tensor:
    """A normally distributed tensor of this shape, the same one at every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(kind: str, n: int = 4, seed: int = 1) -> Tensor:
    """N random samples for that kind of network."""
    return drawn(n, *SHAPES[kind], seed=seed)


def conv(i: int = 3, o: int = 4, k: int = 3, **options) -> nn.Conv2d:
    """A convolution that keeps the size of an image."""
    return nn.Conv2d(i, o, k, **{"padding": k // 2, **options})


class Written(nn.Module):
    """A network whose forward is a function of its layers, by name, and of the input."""

    def __init__(self, function: Callable[[nn.ModuleDict, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layers, x)


class OneByOne(nn.Module):
    """The same modules under the same names, called in a loop that is no nn.Sequential, and registered last first."""

    def __init__(self, modules: nn.Sequential) -> None:
        super().__init__()
        for place, module in reversed(list(enumerate(modules))):
            self.add_module(str(place), module)

    def forward(self, x: Tensor) -> Tensor:
        for place in range(len(self._modules)):
            x = self.get_submodule(str(place))(x)
        return x


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


class Noted(list):
    """A list that a view of a model does not copy, as it does plain ones: what a forward notes in it stays."""


class Counting(nn.Module):
    """A network that notes how many samples each of its forward passes with a graph, or of several samples, has.

    That leaves out those that see, once for each network, whether a sample alone is what it is in its batch.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.calls: list[int] = Noted()

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1 or torch.is_grad_enabled():
            self.calls.append(len(x))
        return self.net(x)


class MemoryEfficientSwish(torch.autograd.Function):
    """As EfficientNet ports spell SiLU: no operation that can be watched."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return gradient * (s * (1 + x * (1 - s)))


class RowSwish(torch.autograd.Function):
    """The same with the gate of a whole row: a function that mixes values, which nobody can watch."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x.mean(-1, keepdim=True))

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x.mean(-1, keepdim=True))
        return gradient * s + (gradient * x * s * (1 - s)).mean(-1, keepdim=True)
