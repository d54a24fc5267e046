"""What a gradient pass carries out otherwise than torch, batch norms and straight runs, has the gradient that torch gives."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from comparing import deviation
from networks import CLASSES, drawn, randomized
from signxai import explain
from signxai.engine.activation_memory import MeasuringPass
from signxai.engine.forward import run_forward
from signxai.engine.fused import gradient_runs
from signxai.engine.model_loan import borrowed

RUNS = {
    "1-D": ((3, 37), lambda: [
        *(nn.Conv1d(3, 6, 5, padding="same"), nn.BatchNorm1d(6, eps=0.3), nn.ReLU(), nn.MaxPool1d(3, 2, 1)),
        *(nn.Conv1d(6, 8, 3, stride=2, groups=2, bias=False), nn.BatchNorm1d(8, affine=False), nn.ReLU(inplace=True)),
        *(nn.MaxPool1d(2, dilation=2, ceil_mode=True), nn.Conv1d(8, 5, 2, dilation=2), nn.ReLU(), nn.Dropout()),
        *(nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(10, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, CLASSES)),
    ]),
    "2-D": ((3, 13, 11), lambda: [
        *(nn.Conv2d(3, 6, (1, 3), padding="same"), nn.BatchNorm2d(6, eps=0.3), nn.ReLU()),
        *(nn.MaxPool2d((2, 3), (2, 1), (1, 1), ceil_mode=True), nn.Conv2d(6, 6, 3, groups=3), nn.ReLU(), nn.AdaptiveAvgPool2d((3, None))),
        *(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, CLASSES)),
    ]),
    "along time, then 1-D": ((4, 9), lambda: [
        *(nn.Linear(9, 8), nn.ReLU(), nn.Conv1d(4, 5, 3), nn.BatchNorm1d(5), nn.ReLU(), nn.MaxPool1d(2, return_indices=False)),
        *(nn.Conv1d(5, 5, 1), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(15, CLASSES)),
    ]),
    "3-D": ((2, 5, 6, 5), lambda: [
        *(nn.Conv3d(2, 4, 2), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 3, 2), nn.ReLU(), nn.MaxPool3d(2)),
        *(nn.Flatten(), nn.Linear(6, CLASSES)),
    ]),
    "one value wide": ((1, 1), lambda: [nn.Conv1d(1, 1, 1), nn.ReLU(), nn.MaxPool1d(1), nn.Conv1d(1, 1, 1), nn.ReLU(), nn.Flatten()]),
}  # fmt: skip


def with_input(name: str, samples: int = 3) -> tuple[nn.Sequential, torch.Tensor]:
    shape, layers = RUNS[name]
    x = drawn(samples, *shape, seed=5)
    return randomized(nn.Sequential(*layers()), seed=2), x


def by_torch(net: nn.Module, x: torch.Tensor, target: int = 0) -> torch.Tensor:
    leaf = x.detach().clone().requires_grad_(True)
    return torch.autograd.grad(net(leaf.clone()).flatten(1)[:, target].sum(), leaf)[0]


def by_many(net: nn.Module, x: torch.Tensor, target: int = 0):
    """The gradient by the way that is quick for many samples: copies without noise."""
    return explain(net, x, "smoothgrad", target, noise_level=0.0, num_samples=2)


def always_channels_last(monkeypatch):
    monkeypatch.setattr(gradient_runs, "_is_quicker_channels_last", lambda layer, x: True)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("channels_last", [True, False])
def test_a_run_has_the_gradient_of_its_modules(monkeypatch, name, samples, channels_last):
    net, x = with_input(name, samples)
    expected = by_torch(net, x)
    if name != "one value wide":
        assert expected.abs().max() > 1e-3
    if channels_last:
        always_channels_last(monkeypatch)
    assert deviation(explain(net, x, "gradient", 0), expected) < 1e-13
    assert deviation(by_many(net, x), expected) < 1e-13


@pytest.mark.parametrize("name", RUNS)
def test_a_run_in_float32_has_it_too(name):
    net, x = with_input(name, 8)
    expected = by_torch(net, x)
    for explained in (explain(net.float(), x.float(), "gradient", 0), by_many(net.float(), x.float())):
        assert deviation(explained, expected) < 1e-5


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch is built without oneDNN")
@pytest.mark.parametrize(("name", "expected"), [("1-D", True), ("2-D", True), ("3-D", False)])
def test_convolutions_for_many_samples_have_their_channels_last(monkeypatch, name, expected):
    net, x = with_input(name)
    seen = []
    convolution = torch.convolution
    monkeypatch.setattr(torch, "convolution", lambda x, *rest: seen.append(x) or convolution(x, *rest))
    by_many(net.float(), x.float())
    assert seen
    assert all(each.ndim == 4 and each.is_contiguous(memory_format=torch.channels_last) for each in seen) == expected


@pytest.mark.parametrize("channels_last", [True, False])
def test_what_a_run_reads_may_be_overwritten_behind_it(monkeypatch, channels_last):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv1d(3, 4, 1), nn.Linear(20, CLASSES)
            self.inner = nn.Sequential(nn.Conv1d(4, 6, 3, padding=1), nn.ReLU(), nn.Conv1d(6, 4, 1))

        def forward(self, x):
            x = self.first(x)
            x += self.inner(x)
            return self.last(x.flatten(1))

    class OutOfPlace(Residual):
        def forward(self, x):
            x = self.first(x)
            return self.last((x + self.inner(x)).flatten(1))

    if channels_last:
        always_channels_last(monkeypatch)
    net = randomized(Residual())
    other = OutOfPlace().double()
    other.load_state_dict(net.state_dict())
    x = drawn(2, 3, 5)
    expected = by_torch(other, x)
    net.requires_grad_(False)  # else torch would ask for what is overwritten
    for explained in (explain(net, x, "gradient", 0), by_many(net, x)):
        assert deviation(explained, expected) < 1e-13


def test_a_run_that_is_explained_at_its_end_and_used_twice():
    net, x = with_input("1-D")

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net[:3]

        def forward(self, x):
            return torch.cat([self.net(x).mean(2), self.net(2 * x).amax(2)], dim=1)

    assert deviation(by_many(Twice(), x, 7), by_torch(Twice(), x, 7)) < 1e-13


NORMS = {
    "module": lambda norm, x: norm(x),
    "function by position": lambda norm, x: F.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.1, norm.eps
    ),
    "function by name": lambda norm, x: F.batch_norm(
        input=x, eps=norm.eps, running_var=norm.running_var, running_mean=norm.running_mean, weight=norm.weight, bias=norm.bias
    ),
    "torch's by position": lambda norm, x: torch.batch_norm(
        x, norm.weight, norm.bias, norm.running_mean, norm.running_var, False, 0.1, norm.eps, True
    ),
    "torch's by name": lambda norm, x: torch.batch_norm(
        input=x, weight=norm.weight, bias=norm.bias, running_mean=norm.running_mean, running_var=norm.running_var,
        training=False, momentum=0.1, eps=norm.eps, cudnn_enabled=True,
    ),
}  # fmt: skip


class Normed(nn.Module):
    """A batch norm between two elementwise operations, the second in place."""

    def __init__(self, how: str, axes: int, affine: bool):
        super().__init__()
        kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[axes]
        self.norm, self.how = kind(3, eps=0.3, affine=affine), how

    def forward(self, x):
        return NORMS[self.how](self.norm, x.sin()).relu_().flatten(1)[:, :2]


@pytest.mark.parametrize("how", NORMS)
@pytest.mark.parametrize("axes", [2, 3, 4, 5])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "guided_backprop"])
def test_a_batch_norm_has_the_gradient_that_torch_gives(how, axes, affine, method):
    net = randomized(Normed(how, axes, affine))
    x = drawn(4, *(3, 2, 3, 2)[: axes - 1], seed=3)
    options = {"noise_level": 0.0, "num_samples": 2} if method == "smoothgrad" else {}
    assert deviation(explain(net, x, method, 1, **options), by_torch(net, x, 1)) < 1e-13


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_batch_norm_in_half_precision_has_the_gradient_that_torch_gives(dtype):
    net, x = with_input("2-D")
    net, x = net.to(dtype), x.to(dtype)
    assert deviation(explain(copy.deepcopy(net), x, "gradient", 0), by_torch(net, x).float()) < 0.05


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("channels_last", [True, False])
def test_an_even_kernel_is_padded_more_behind(monkeypatch, channels_last):
    if channels_last:
        always_channels_last(monkeypatch)
    for axes, convolution in ((1, nn.Conv1d), (2, nn.Conv2d)):
        net = randomized(nn.Sequential(convolution(3, CLASSES, 4, padding="same"), nn.ReLU(), nn.Flatten()))
        x = drawn(2, 3, *(7, 5)[:axes], seed=3)
        assert deviation(by_many(net, x, 6), by_torch(net, x, 6)) < 1e-13


def test_what_a_run_keeps_is_measured():
    net = randomized(nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(3, 4, 1), nn.ReLU()))
    measure = MeasuringPass()
    x = torch.randn(5, 2, 10, dtype=torch.float64).requires_grad_(True)
    with borrowed(net, copy_parameters=False, seed=0, only_model_runs=False) as lent:
        run_forward(lent.net, x.view_as(x), measure)
    assert measure.bytes == 5 * 8 * (3 * 8 + 2 * 3 * 4 + 4 * 4)  # the ReLU's output, the largest values and where they are, the output
    assert measure.largest == 5 * 8 * 3 * 8
