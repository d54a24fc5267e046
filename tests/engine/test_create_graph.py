"""Relevance with a graph: the same map, and derivatives that are those of finite differences, by every parameter and by the input."""

import pytest
import torch
import torch.nn.functional as F
import zennit.composites
from torch import Tensor, nn

from crossing import in_turn
from networks import CLASSES, Residual, conv, inputs, network, randomized
from signxai import explain, explain_all, register_rule
from signxai.common import ModelError, OptionError
from signxai.engine import tape
from signxai.torch_signxai import calculate_relevancemap
from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer, Analyzer, LRPAnalyzer

METHODS = [
    "gradient", "input_t_gradient", "guided_backprop", "gradient_x_sign",
    "lrp_z", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x", "lrp_zplus", "lrp_gamma_0_25", "lrp_alpha_2_beta_1",
    "lrpsign_epsilon_0_1", "lrpz_gamma_0_25", "zblrp_gamma_0_25", "zblrp_epsilon_0_1_low_neg_4_high_4", "w2lrp_zplus",
    "flatlrp_epsilon_0_1",
    "lrp_epsilon_0_1_x_input", "lrp_gamma_0_25_x_sign", "lrp_epsilon_plus_flat", "deep_taylor",
]  # fmt: skip


class Block(nn.Module):
    """A transformer block before a head: attention, layer norms, GELU, positions and a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(5, 8), nn.Linear(8, CLASSES)
        self.token, self.positions = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 6, 8))
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down = nn.Linear(8, 12), nn.Linear(12, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), self.embed(x)], 1) + self.positions[:, : x.shape[1] + 1]
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return self.head(x[:, 0])


class ByHand(nn.Module):
    """Weights that are made in the forward pass, writes in place, a gate, a norm and a softmax by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.direction, self.length = nn.Parameter(torch.zeros(6, 12)), nn.Parameter(torch.zeros(6, 1))
        self.gate, self.scale, self.last = nn.Linear(12, 6), nn.Parameter(torch.zeros(6)), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        weight = (2 + self.length) * self.direction / self.direction.norm(dim=1, keepdim=True)
        y = x @ weight.t() + self.scale
        y.mul_(torch.sigmoid(self.gate(x)))
        y[:, 1:3] += 0.3
        y = y * torch.rsqrt(y.pow(2).mean(1, keepdim=True) + 0.1) * (1 + self.scale)
        weights = y.exp() / y.exp().sum(1, keepdim=True)
        return self.last(F.silu(y) + weights)


class Normed(nn.Module):
    """Convolutions with batch norms apart from them, pools, a ReLU in place and a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.AvgPool2d(2), conv(4, 4, bias=False))
        self.norm, self.up, self.fc = nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.norm(self.body(x)))
        return self.fc(F.max_pool2d(F.elu(self.up(x)), 2).mean((2, 3)))


NETS = {
    "mlp": lambda: (network("linear"), inputs("linear", 2)),
    "cnn": lambda: (network("cnn2d"), inputs("cnn2d", 2)),
    "signals": lambda: (network("cnn1d"), inputs("cnn1d", 2)),
    "volumes": lambda: (network("cnn3d"), inputs("cnn3d", 2)),
    "batch norm and pools": lambda: (randomized(Normed()), inputs("cnn2d", 2)),
    "residual": lambda: (randomized(Residual()), inputs("cnn2d", 2)),
    "transformer": lambda: (randomized(Block()), inputs("mlp", 2)),
    "by hand": lambda: (randomized(ByHand()), inputs("linear", 2)),
}


def weighted(r: Tensor) -> Tensor:
    """A number made of a map, in which every value counts otherwise and not linearly."""
    weights = torch.randn(r.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(r.dtype)
    return (r * weights).sum() + (r * r * weights).sum()


def assert_derivatives(net: nn.Module, x: Tensor, relevance, tolerance: float = 2e-5) -> None:
    """The derivatives by each parameter and by the input against differences of maps that have no graph.

    Args:
        relevance: from whether it has a graph to the map.
    """
    tensors = {"x": x, **dict(net.named_parameters())}
    got = torch.autograd.grad(weighted(relevance(True)), list(tensors.values()), allow_unused=True)
    generator = torch.Generator().manual_seed(4)
    seen = 0
    for (name, tensor), gradient in zip(tensors.items(), got, strict=True):
        direction = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        values, step = tensor.detach().clone(), 1e-6
        ends = []
        for sign in (+1, -1):
            with torch.no_grad():
                tensor.copy_(values + sign * step * direction)
            ends.append(float(weighted(relevance(False))))
        with torch.no_grad():
            tensor.copy_(values)
        expected = (ends[0] - ends[1]) / (2 * step)
        found = 0.0 if gradient is None else float((gradient * direction).sum())
        scale = max(abs(expected), abs(found), 1e-3 * max(map(abs, ends)), 1e-8)
        assert abs(found - expected) <= tolerance * scale, (name, found, expected)
        seen += expected != 0
    assert seen > 1


def relevance_by(net, x, method, target=1, **options):
    return lambda graph: explain(net, x, method, target, as_tensor=True, create_graph=graph, **options)


@pytest.mark.parametrize(("method", "kind"), in_turn(METHODS, NETS, of_each=3))
def test_derivatives_are_those_of_finite_differences(kind, method):
    net, x = NETS[kind]()
    if method == "guided_backprop" and kind in ("transformer", "by hand"):
        pytest.skip("no ReLU")
    x.requires_grad_()
    assert_derivatives(net, x, relevance_by(net, x, method))


@pytest.mark.parametrize(("method", "kind"), in_turn(METHODS, NETS, of_each=3))
def test_the_map_is_the_same(kind, method):
    net, x = NETS[kind]()
    if method == "guided_backprop" and kind in ("transformer", "by hand"):
        pytest.skip("no ReLU")
    with_graph, without = (relevance_by(net, x, method)(graph) for graph in (True, False))
    assert not without.requires_grad
    assert with_graph.requires_grad
    assert float((with_graph.detach() - without).abs().max()) <= 1e-12 * float(without.abs().max())


# Other ways to ask


def difference(output: Tensor) -> Tensor:
    return output[:, 0] * output[:, 1]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("lrp_gamma_0_25", {"relevance": "logit"}),
        ("lrp_epsilon_0_1", {"batch_size": 1}),
        ("lrp_epsilon_0_1", {"target": difference}),
        ("lrp_epsilon_0_1", {"target": None}),
        ("lrp_gamma_0_25", {"stabilizer": 0.1}),
        ("integrated_gradients_steps_4", {}),
        ("integrated_gradients_steps_4", {"baseline": 0.5, "batch_size": 3}),
        ("smoothgrad_samples_3", {}),
        ("vargrad_samples_3", {}),
    ],
)
@pytest.mark.parametrize("kind", ["cnn", "by hand"])
def test_derivatives_are_those_of_finite_differences_with_every_option(kind, method, options):
    net, x = NETS[kind]()
    x.requires_grad_()
    options = dict(options)
    assert_derivatives(net, x, relevance_by(net, x, method, options.pop("target", 1), **options))


@pytest.mark.parametrize("method", ["gradient", "lrp_gamma_0_25", "integrated_gradients_steps_4"])
def test_derivatives_at_layers_are_those_of_finite_differences(method):
    net, x = NETS["cnn"]()
    x.requires_grad_()

    def both(graph: bool) -> Tensor:
        maps = explain(net, x, method, 1, at=["1", "4"], as_tensor=True, create_graph=graph)
        return torch.cat([values.flatten() for values in maps.values()])

    assert_derivatives(net, x, both)


def test_the_derivatives_of_a_zennit_composite_are_those_of_finite_differences():
    net, x = NETS["cnn"]()
    x.requires_grad_()
    composite = zennit.composites.EpsilonGammaBox(low=-4.0, high=4.0)

    def relevance(graph: bool) -> Tensor:
        return AdvancedLRPAnalyzer(net, "custom", composite=composite, as_tensor=True, create_graph=graph).analyze(x, 1)

    assert_derivatives(net, x, relevance)


def test_the_derivatives_of_a_rule_of_a_users_own_are_those_of_finite_differences():
    handle = register_rule(torch.tanh, lambda inputs, output, relevance: relevance * (1 + inputs[0].square()))
    net, x = randomized(nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, CLASSES))), inputs("linear", 2).requires_grad_()
    try:
        assert_derivatives(net, x, relevance_by(net, x, "lrp_epsilon_0_1"))
    finally:
        handle.remove()


class Dropping(nn.Module):
    """Drops values in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.dropout(torch.tanh(self.first(x)), 0.4, training=True) + 0.1 * torch.randn_like(self.first(x)))


def test_what_is_drawn_is_drawn_once():
    net, x = randomized(Dropping()), inputs("linear", 2).requires_grad_()
    assert_derivatives(net, x, relevance_by(net, x, "lrp_epsilon_0_1", stochastic=True))


@pytest.mark.parametrize("method", ["lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "gradient"])
@pytest.mark.parametrize("kind", ["mlp", "batch norm and pools", "transformer"])
def test_float32_has_the_same_derivatives_as_float64(kind, method):
    def derivatives(dtype):
        net, x = NETS[kind]()
        net, x = net.to(dtype), x.to(dtype).requires_grad_()
        r = explain(net, x, method, 1, as_tensor=True, create_graph=True)
        assert r.dtype == dtype
        return torch.cat([g.flatten().double() for g in torch.autograd.grad(weighted(r), [x, *net.parameters()], materialize_grads=True)])

    exact = derivatives(torch.float64)
    assert float((derivatives(torch.float32) - exact).abs().max()) < 1e-3 * float(exact.abs().max())


# Training


def test_relevance_in_the_loss_trains_a_network():
    net, x = network("cnn2d").train(), inputs("cnn2d")
    net[0].bias.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        r = explain(net, x, "lrp_epsilon_0_1", 1, as_tensor=True, create_graph=True)
        loss = F.cross_entropy(net(x), torch.ones(4).long()) + (r[..., :4] ** 2).sum()  # nothing is to be seen on the left
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert net[0].bias.grad is None


def test_the_model_and_its_gradients_stay_as_they_are():
    net, x = NETS["batch norm and pools"]()
    net.train()
    net.fc.weight.requires_grad_(False)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    before = [(p.requires_grad, p.grad, p._version) for p in net.parameters()]
    x.requires_grad_()
    explain(net, x, "lrp_gamma_0_25", 1, as_tensor=True, create_graph=True)
    assert net.training
    assert all(module.training for module in net.modules())
    assert all(
        a is c and b is d and e == f
        for (a, b, e), (c, d, f) in zip(before, [(p.requires_grad, p.grad, p._version) for p in net.parameters()], strict=True)
    )
    assert all(bool((p.grad == 1).all()) for p in net.parameters())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert x.grad is None


@pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.enable_grad])
def test_there_is_a_graph_whatever_the_mode_outside(grad_mode):
    net, x = NETS["mlp"]()
    with grad_mode():
        assert explain(net, x, "lrp_z", 1, as_tensor=True, create_graph=True).requires_grad


def test_an_input_in_a_graph_passes_derivatives_on():
    net, x = NETS["mlp"]()
    latent = torch.ones(12, dtype=torch.float32, requires_grad=True)
    r = explain(net, x * latent, "lrp_epsilon_0_1_x_input", 1, as_tensor=True, create_graph=True)
    (got,) = torch.autograd.grad(weighted(r), latent)
    leaf = x.clone().requires_grad_()
    (by_x,) = torch.autograd.grad(weighted(explain(net, leaf, "lrp_epsilon_0_1_x_input", 1, as_tensor=True, create_graph=True)), leaf)
    torch.testing.assert_close(got, (by_x * x).sum(0).float())


def test_every_entry_gives_the_same_graph():
    net, x = NETS["mlp"]()
    options = {"as_tensor": True, "create_graph": True}
    maps = {
        "explain": explain(net, x, "lrp_z", 1, **options),
        "explain_all": explain_all(net, x, ["gradient", "lrp_z"], 1, **options)["lrp_z"],
        "analyze": LRPAnalyzer(net, epsilon=0.0, **options).analyze(x, 1),
        "calculate_relevancemap": calculate_relevancemap("lrp_z", x, net, 1, batchmode=True, relevance="one_hot", **options),
    }
    gradients = [torch.autograd.grad(weighted(r), list(net.parameters())) for r in maps.values()]
    for other in gradients[1:]:
        assert all(map(torch.equal, other, gradients[0]))


# What is refused


def test_an_array_has_no_graph():
    net, x = NETS["mlp"]()
    for options in ({}, {"as_tensor": False}):
        with pytest.raises(OptionError, match="as_tensor=True"):
            explain(net, x, "lrp_z", 1, create_graph=True, **options)
    with pytest.raises(OptionError, match="create_graph"):
        explain(net, x, "lrp_z", 1, create_graph=1, as_tensor=True)


def test_a_map_without_anything_to_differentiate_by_is_refused():
    net, x = NETS["mlp"]()
    net.requires_grad_(False)
    with pytest.raises(ModelError, match="requires a gradient"):
        explain(net, x, "lrp_z", 1, create_graph=True, as_tensor=True)
    x.requires_grad_()
    assert explain(net, x, "lrp_z", 1, create_graph=True, as_tensor=True).requires_grad


class OutsideOfTorch(Analyzer):
    """Takes its map out of torch."""

    def attribute(self, batch):
        return torch.from_numpy(batch.gradient().numpy().copy())


def test_a_map_that_leaves_torch_is_refused():
    net, x = NETS["mlp"]()
    with pytest.raises(ModelError, match="by operations of torch"):
        OutsideOfTorch(net, create_graph=True, as_tensor=True).analyze(x, 1)


def test_an_operator_without_a_derivative_is_refused(monkeypatch):
    monkeypatch.delitem(tape._REPLACED, torch.ops.aten.silu_backward.default)
    net, x = NETS["by hand"]()
    with pytest.raises(ModelError, match=r"silu_backward.*has no derivative"):
        explain(net, x, "gradient", 1, create_graph=True, as_tensor=True)


def test_what_comes_out_otherwise_when_it_is_computed_again_is_refused(monkeypatch):
    monkeypatch.setitem(tape._REPLACED, torch.ops.aten.div.Tensor, torch.mul)
    net, x = NETS["mlp"]()
    with pytest.raises(ModelError, match="computed again, the map differs"):
        explain(net, x, "lrp_z", 1, create_graph=True, as_tensor=True)


class Distances(nn.Module):
    """Distances from points that are parameters, some of which are 0."""

    def __init__(self) -> None:
        super().__init__()
        self.points, self.fc = nn.Parameter(torch.zeros(5, 12)), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.cdist(x, self.points, p=3.0))


class Sampling(nn.Module):
    """Samples a feature map between its places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = conv(), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(0.9 * torch.eye(2, 3).to(x).expand(len(x), 2, 3), list(x.shape), align_corners=False)
        return self.fc(F.grid_sample(self.conv(x), grid, align_corners=False).mean((2, 3)))


@pytest.mark.parametrize("method", ["gradient", "lrp_epsilon_0_1"])
@pytest.mark.parametrize(("kind", "shape"), [(Distances, "linear"), (Sampling, "cnn2d")])
def test_operators_that_are_rarely_differentiated_twice_have_derivatives(kind, shape, method):
    net, x = randomized(kind()), inputs(shape, 2).requires_grad_()
    try:
        assert_derivatives(net, x, relevance_by(net, x, method))
    except (ModelError, NotImplementedError) as error:  # never a wrong one
        if not any(words in str(error) for words in ("has no derivative in this version of torch", "is not implemented")):
            raise
        pytest.skip("this version of torch has no second derivative of it")


class Scalars(nn.Module):
    """Single parameters that scale, shift and sharpen, a softmax by hand, and a sigmoid at the output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.act = nn.Linear(12, 6), nn.Linear(6, CLASSES), nn.PReLU()
        self.sharpness, self.shift = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.first(x) * (1.5 + self.sharpness) + self.shift)
        exponentials = torch.exp(y * (1 + self.sharpness))
        y = y * (exponentials / exponentials.sum(1, keepdim=True)) + self.shift * y - (self.sharpness + 2)
        return torch.sigmoid(self.last(y))


class Recurrent(nn.Module):
    """An LSTM and a GRU in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru, self.fc = nn.LSTM(5, 6, batch_first=True), nn.GRU(6, 4, batch_first=True), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.gru(self.lstm(x)[0])[0][:, -1])


class Parametrized(nn.Module):
    """Weight norm, group norm, logsumexp, a gate by tanh, a cut-off and a norm by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = (
            nn.utils.parametrizations.weight_norm(nn.Linear(12, 8)),
            nn.GroupNorm(2, 8),
            nn.Linear(8, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.first(x))
        h = torch.logsumexp(torch.stack([h, h * 0.5, F.softplus(h)]), 0)
        h = h * torch.tanh(h) + F.relu6(h * 3)
        return self.last(h / (h.norm(dim=1, keepdim=True) + 1e-3))


class Neighbours(nn.Module):
    """A graph network: each node takes what its neighbours have, by a sparse matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 5), nn.Linear(5, CLASSES)
        self.register_buffer("adjacency", (torch.eye(4) + 0.5 * torch.eye(4).roll(1, 0)).to_sparse())

    def forward(self, x: Tensor) -> Tensor:
        h = torch.stack([torch.sparse.mm(self.adjacency, torch.tanh(self.first(one.view(4, 3)))) for one in x])
        return self.last(h.mean(1))


class Causal(nn.Module):
    """Attention to what came before, by torch's function."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.last = nn.Linear(5, 3 * 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.embed(x).view(len(x), -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return self.last(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)[:, -2])


@pytest.mark.parametrize("method", ["gradient", "lrp_z", "lrp_epsilon_0_1", "lrp_gamma_0_25", "lrp_alpha_2_beta_1"])
@pytest.mark.parametrize(
    ("kind", "shape"), [(Scalars, "linear"), (Recurrent, "mlp"), (Parametrized, "linear"), (Neighbours, "linear"), (Causal, "mlp")]
)
def test_derivatives_of_other_networks_are_those_of_finite_differences(kind, shape, method):
    net, x = randomized(kind()), inputs(shape, 2).requires_grad_()
    assert_derivatives(net, x, relevance_by(net, x, method))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_recurrent_network_that_was_never_explained(kind):
    """Whether it mixes samples is found out in between, by a pass without gradients, in which an LSTM of float32 gives less."""
    torch.manual_seed(0)
    net = Recurrent().float()
    net.lstm = getattr(nn, kind)(5, 6, batch_first=True)
    x = torch.randn(4, 7, 5, requires_grad=True)
    relevance = explain(net, x, "lrp_epsilon_0_1", [0, 1, 0, 1], as_tensor=True, create_graph=True)
    expected = explain(net, x, "lrp_epsilon_0_1", [0, 1, 0, 1], as_tensor=True)
    assert torch.allclose(relevance, expected, atol=1e-6)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(relevance.square().sum(), [x, *net.lstm.parameters()]))


def test_of_several_layers_one_may_have_a_constant_map():
    net = randomized(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, CLASSES)))
    x = torch.linspace(-1, 2, 12).double().view(2, 6).requires_grad_()
    maps = explain(net, x, "lrp_epsilon_0_1", 1, as_tensor=True, create_graph=True, at=["0", "2"])
    assert maps["0"].requires_grad
    assert not maps["2"].requires_grad
    assert torch.equal(maps["2"].argmax(1), torch.ones(len(x)).long())
