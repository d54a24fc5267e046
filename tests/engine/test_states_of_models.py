"""Models in states in which they may come: compiled in part, exported, traced, lazy, without values, with integer weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import Written, drawn
from signxai import explain, explain_all, inspect_model
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


LAYER_METHODS = [
    "lrp_z",
    "lrp_epsilon_0_1",
    "lrp_epsilon_0_25_std_x",
    "lrp_alpha_2_beta_1",
    "lrp_gamma_0_25",
    "flatlrp_z",
    "guided_backprop",
]


def under_autocast(run, dtype=torch.bfloat16):
    """A network of which one part runs in a type of its own."""

    def forward(m, x):
        with torch.autocast("cpu", dtype):
            return run(m["body"], x).float()

    torch.manual_seed(0)
    layers = [nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(2)]
    return Written(forward, body=nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))).eval()


def one_by_one(body, x):
    for layer in body:
        x = layer(x)
    return x


SERIES = drawn(2, 3, 16).float()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_gradient_under_an_autocast_inside_is_autograds(dtype):
    net, x = under_autocast(lambda body, x: body(x), dtype), SERIES.clone().requires_grad_()
    expected = torch.autograd.grad(net(x)[:, 1].sum(), x)[0]
    assert deviation(explain(net, SERIES, "gradient", 1), expected) < 1e-2  # half the bits: batch norms have a node of their own
    for method in ("integrated_gradients_steps_3", "smoothgrad_samples_3"):
        assert deviation(explain(net, SERIES, method, 1), explain(under_autocast(one_by_one, dtype), SERIES, method, 1)) < 1e-6


@pytest.mark.parametrize("method", ["gradient", *LAYER_METHODS])
def test_a_sequential_under_an_autocast_inside_is_its_layers_one_by_one(method):
    ours, by_hand = (explain(under_autocast(run), SERIES, method, 1) for run in (lambda body, x: body(x), one_by_one))
    assert deviation(ours, by_hand) < 1e-6


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients_steps_3", *LAYER_METHODS])
def test_autocast_around_an_explanation(method):
    net = under_autocast(one_by_one).layers["body"]
    with torch.autocast("cpu", torch.bfloat16):
        cast = explain(net, SERIES, method, 1)
    assert deviation(cast, explain(net, SERIES, method, 1)) < 0.2


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


class MakesNoTensors(nn.Module):
    """Convolutions, a norm over tokens and attention, none of which makes a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.last = nn.Conv2d(3, 4, 2, 2), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.first(x).flatten(2).transpose(1, 2) / 2)
        weights = (tokens @ tokens.mT).softmax(-1)
        return self.last((weights @ tokens).square().relu().mean(1) ** 0.5)


ANYWHERE = [*METHODS, *LAYER_METHODS, "smoothgrad_samples_3", "vargrad_samples_3", "integrated_gradients_steps_3", "random_uniform",
            "zblrp_z", "lrp_epsilon_gamma_box", "guided_grad_cam", "gradient_x_sign_mu_0_5", "deep_taylor"]  # fmt: skip


@pytest.mark.parametrize("method", ANYWHERE)
@pytest.mark.parametrize("make", [body, lambda: MakesNoTensors().double(), lambda: Written(lambda m, x: m["body"](x), body=body())])
def test_another_default_device_changes_nothing(make, method):
    net, x, options = make(), X.numpy(), {"low": -3.0, "high": 3.0} if method.endswith("box") else {}
    expected = explain(net, x, method, [1, 2], **options)
    of_argmax = explain(net, x, method, **options)
    with torch.device("meta"):
        assert deviation(explain(net, x, method, [1, 2], **options), expected) < 1e-12  # runs are not carried out as one
        assert deviation(explain(net, x, method, **options), of_argmax) < 1e-12


def test_another_default_device_at_other_doors():
    net, x = body(), X.numpy()
    report, by_name = inspect_model(net, x, "lrp_z", 1), explain_all(net, x, ["gradient", "smoothgrad_samples_3", "grad_cam"], 1)
    graph = explain(net, X, "lrp_z", 1, as_tensor=True, create_graph=True)
    with torch.device("meta"):
        assert inspect_model(net, x, "lrp_z", 1) == report
        for name, relevance in explain_all(net, x, list(by_name), 1).items():
            assert deviation(relevance, by_name[name]) < 1e-12
        assert torch.equal(explain(net, X, "lrp_z", 1, as_tensor=True, create_graph=True), graph)


class Scaled(nn.Module):
    """A network with a constant that is no buffer, and an embedding that writes to its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.table = body(), nn.Embedding(3, 1, max_norm=0.5).double()
        self.scale, self.listed = torch.full((), 2.0, dtype=torch.float64), [torch.full((), 0.5, dtype=torch.float64)]

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x * self.scale * self.listed[0]) + self.table(torch.tensor([0, 1, 2])).T


@pytest.mark.parametrize("is_frozen", [True, False])
@pytest.mark.parametrize("method", [*METHODS, "integrated_gradients_steps_3", "guided_backprop"])
@pytest.mark.parametrize("make", [body, lambda: Written(lambda m, x: m["body"](x), body=body()), Scaled])
def test_a_model_that_was_made_under_inference_mode(make, method, is_frozen):
    torch.manual_seed(0)
    expected = explain(make(), X, method, 1)
    torch.manual_seed(0)
    with torch.inference_mode():
        net = make().requires_grad_(not is_frozen)
    before = [tensor.clone() for tensor in (*net.parameters(), *net.buffers())]
    assert deviation(explain(net, X, method, 1), expected) < 1e-12
    with torch.inference_mode():
        assert deviation(explain(net, X.clone(), method, 1), expected) < 1e-12
    assert all(map(torch.equal, before, (*net.parameters(), *net.buffers())))
    assert inspect_model(net, X, "lrp_z", 1).rows
    with pytest.raises(ModelError, match=r"torch\.inference_mode\(\)"):
        explain(net, X, method, 1, as_tensor=True, create_graph=True)


class Decorated(nn.Module):
    """A network whose forward cannot be differentiated."""

    def __init__(self) -> None:
        super().__init__()
        self.body = body()

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def within(m, x):
    with torch.inference_mode():
        h = m["body"][0](x)
    return m["body"][1:](h)


@pytest.mark.parametrize("method", [*METHODS, "guided_backprop", "integrated_gradients_steps_3"])
@pytest.mark.parametrize("make", [Decorated, lambda: Written(within, body=body())])
def test_a_forward_under_inference_mode_is_named(make, method):
    with pytest.raises(ModelError, match="inference_mode"):
        explain(make(), X, method, 1)
