"""Models in states in which they may come: compiled in part, exported, traced, lazy, without values, with integer weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import Written, drawn
from signxai import explain
from signxai.common import ModelError

X = drawn(2, 3, 8, 8, seed=3)
METHODS = ["gradient", "grad_cam", "lrp_z", "lrp_epsilon_0_25_std_x", "lrpsign_alpha_2_beta_1"]


def body() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)]
    return nn.Sequential(*layers).double().eval()


STATES = {
    "compiled": lambda: torch.compile(body()),
    "compiled within": lambda: Written(lambda m, x: m["body"](x), body=torch.compile(body())),
    "exported": lambda: torch.export.export(body(), (X,)).module(),
    "traced by fx": lambda: torch.fx.symbolic_trace(body()),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("state", STATES)
def test_the_map_is_that_of_the_model_as_it_was_written(state, method):
    assert deviation(explain(STATES[state](), X, method, 1), explain(body(), X, method, 1)) < 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_autocast_around_a_sequential(method):
    def cast(m, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return m["body"](x)

    net = Written(cast, body=body().float())
    assert deviation(explain(net, X.float(), method, 1), explain(body().float(), X.float(), method, 1)) < 0.1


def test_a_lazy_layer_without_a_shape():
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ModelError, match=r"LazyLinear.weight has no shape yet.*run the model once"):
        explain(net, X.float(), "gradient", 1)
    net(X.float())
    assert explain(net, X.float(), "gradient", 1).shape == X.shape


def test_parameters_without_values():
    with pytest.raises(ModelError, match=r"Conv2d.weight is on the meta device.*load it whole"):
        explain(body().to("meta"), X, "lrp_z", 1)


class Dequantizing(nn.Module):
    """A layer whose weights are integers and a scale for each row."""

    def __init__(self) -> None:
        super().__init__()
        weight = drawn(3, 192, seed=1)
        self.scale = nn.Parameter(weight.abs().amax(1) / 127)
        self.weight = nn.Parameter((weight / self.scale[:, None]).round().to(torch.int8), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.weight.double() * self.scale[:, None])


@pytest.mark.parametrize("method", ["gradient", "lrp_z", "lrp_alpha_2_beta_1"])
def test_integer_weights_that_the_forward_scales(method):
    layer, plain = Dequantizing(), nn.Linear(192, 3, bias=False).double()
    plain.weight.data = (layer.weight.double() * layer.scale[:, None]).detach()
    assert deviation(explain(layer, X, method, 1), explain(nn.Sequential(nn.Flatten(), plain), X, method, 1)) < 1e-12


def test_a_model_of_integers_alone():
    net = nn.Linear(4, 3)
    net.weight = nn.Parameter(torch.ones(3, 4, dtype=torch.int8), requires_grad=False)
    net.bias = None
    with pytest.raises(ModelError, match=r"Linear.weight is torch.int8, and no parameter is floating-point"):
        explain(net, torch.ones(1, 4), "gradient", 1)


@pytest.mark.parametrize("method", METHODS)
def test_integer_buffers_in_front(method):
    net = Written(lambda m, x: m["body"](x), body=body())
    holder = nn.Module()
    holder.register_buffer("seed", torch.zeros(2, dtype=torch.int64))
    first = nn.Sequential()
    first.add_module("seed", holder)
    holder.forward = lambda x: x
    first.add_module("net", net)
    assert deviation(explain(first.double(), X, method, 1), explain(body(), X, method, 1)) < 1e-12
