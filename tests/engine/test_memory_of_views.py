"""A view's buffers share memory among each other as the model's do, and nothing else of the model is the view's."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from comparing import deviation
from networks import CLASSES, drawn, randomized
from signxai import explain
from signxai.engine.model_loan import borrowed
from signxai.engine.steady_modules import STEADY, is_plain
from untouched import assert_untouched, state

METHODS = ["gradient", "lrp_z", "smoothgrad_samples_2", "grad_cam"]


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv1d(3, 4, 3, padding=1), nn.Linear(4, CLASSES)
        self.init()

    def init(self) -> None:
        pass

    def write(self, h: Tensor) -> Tensor:
        return h

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.write(self.conv(x)).relu().mean(2))


class StatisticsInOneBuffer(Base):
    def init(self):
        self.register_buffer("stats", torch.zeros(2, 4))
        self.register_buffer("mean", self.stats[0])
        self.register_buffer("var", self.stats[1])

    def write(self, h):
        self.stats.copy_(torch.stack([h.detach().mean((0, 2)), h.detach().var((0, 2))]))
        return (h - self.mean[:, None]) / (self.var[:, None] + 1e-5).sqrt()


class AttributesOverABuffer(Base):
    def init(self):
        self.register_buffer("cache", torch.zeros(2, 4))
        self.low, self.both = self.cache[0], [self.cache[1]]

    def write(self, h):
        self.low.copy_(h.detach().amin((0, 2)))
        self.both[0].copy_(h.detach().amax((0, 2)))
        return (h - self.cache[0][:, None]) * self.cache[1][:, None]


class PartsOfOneMemory(Base):
    def init(self):
        whole = torch.zeros(9)
        self.register_buffer("front", whole[:4])
        self.register_buffer("turned", whole[1:9].view(2, 4).t())

    def write(self, h):
        self.front.copy_(h.detach().mean((0, 2)))
        return h * (1 + self.turned[:, 0][:, None])


class BufferOverAParameter(Base):
    def init(self):
        self.register_buffer("weight", self.fc.weight.data)

    def write(self, h):
        self.weight.copy_(h.detach().mean() * torch.ones_like(self.weight))
        return h


class AttributesOfTensors(Base):
    def init(self):
        self.register_buffer("scale", torch.ones(4))
        self.scale.seen, self.fc.weight.seen = [2.0], {"count": 0}

    def write(self, h):
        self.scale.seen.append(3.0)
        self.fc.weight.seen["count"] += 1
        return h * self.scale[:, None] * self.scale.seen[0]


class Overlapping(Base):
    def init(self):
        self.register_buffer("one", torch.ones(1).expand(4))

    def write(self, h):
        return h * self.one[:, None]


class OfAnotherKind(torch.Tensor):
    """A tensor without memory of its own."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        def inner_of(value):
            return value.inner if isinstance(value, OfAnotherKind) else value

        result = func(*map(inner_of, args), **(kwargs or {}))
        return cls(result) if func in (torch.ops.aten.detach.default, torch.ops.aten.clone.default) else result


class BuffersOfAnotherKind(Base):
    def init(self):
        self.register_buffer("scale", torch.full((4,), 2.0))
        self.register_buffer("wrapped", OfAnotherKind(torch.full((4,), 3.0)))
        self.attribute = OfAnotherKind(torch.full((4,), 0.5))

    def write(self, h):
        return h * self.scale[:, None] * (self.wrapped + 0.0)[:, None] * (self.attribute + 0.0)[:, None]


KINDS = [
    *(BuffersOfAnotherKind, StatisticsInOneBuffer, AttributesOverABuffer, PartsOfOneMemory, BufferOverAParameter, AttributesOfTensors),
    Overlapping,
]


@pytest.fixture(autouse=True)
def double():
    """Everything in float64 from the beginning: to convert a network takes its tensors apart."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def made(kind, is_training=False):
    torch.manual_seed(0)
    return kind().train(is_training)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_training", [False, True])
def test_the_gradient_is_that_of_a_network_of_its_own_and_nothing_stays(kind, is_training):
    net, x, leaf = made(kind, is_training), drawn(1, 3, 7), drawn(1, 3, 7).requires_grad_()
    before = state(net)
    expected = torch.autograd.grad(made(kind)(leaf)[:, 1].sum(), leaf)[0]
    for _ in range(2):
        assert deviation(explain(net, x, "gradient", 1), expected.numpy()) < 1e-12
    for method in METHODS:
        assert np.isfinite(explain(net, x, method, 1)).all()
    assert_untouched(net, before)
    if kind is AttributesOfTensors:
        assert net.scale.seen == [2.0]
        assert net.fc.weight.seen == {"count": 0}


ARGUMENTS = {
    "Linear": (3, 3),
    "Conv": (3, 3, 1),
    "BatchNorm": (3,),
    "Adaptive": (1,),
    "MaxPool": (2,),
    "AvgPool": (2,),
    "Unflatten": (1, (1, 3)),
}


@pytest.mark.parametrize("kind", sorted(STEADY, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_a_module_of_torch_s_own_is_known_to_be_steady_until_somebody_adds_to_it(kind):
    module = kind(*next((given for start, given in ARGUMENTS.items() if kind.__name__.startswith(start)), ()))
    assert is_plain(module)
    module.remark = "mine"
    assert not is_plain(module)


def steady() -> nn.Sequential:
    layers = [nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, CLASSES)]
    return randomized(nn.Sequential(*layers))


@pytest.mark.parametrize("is_frozen", [False, True])
def test_hooks_that_another_thread_puts_on_the_model_meanwhile_are_not_run(is_frozen):
    net, x = steady().requires_grad_(not is_frozen), drawn(1, 3, 7)
    ran = []
    with borrowed(net, copy_parameters=False, seed=0, only_model_runs=True) as view:
        for module in net.modules():
            module.register_forward_hook(lambda *_: ran.append("forward"))
            module.register_forward_pre_hook(lambda *_: ran.append("before"))
        assert torch.equal(view.net(x), net(x))
        assert len(ran) == 2 * len(list(net.modules()))
        assert all(own is not module for own, module in zip(view.net.modules(), net.modules(), strict=True))
