"""The laws of LRP, integrated gradients and of twin networks, on piecewise-linear networks written in many ways."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zennit.rules
from torch import Tensor, nn
from zennit.composites import LayerMapComposite

import oracles
from comparing import assert_same_map, deviation
from networks import CLASSES, SHAPES, Residual, Written, conv, inputs, network, randomized
from signxai import explain
from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer


def written(forward, **layers):
    return randomized(Written(forward, **layers))


def head(width):
    return nn.Linear(width, CLASSES)


def norm_in_any_order():
    net = Written(lambda m, x: m["fc"](F.relu(m["norm"](m["conv"](x))).flatten(1)), norm=nn.BatchNorm2d(4), fc=head(256), conv=conv(3, 4))
    return randomized(net)


def shared_norm_statistics(m, x):
    n = m["norm"]
    x = F.batch_norm(m["conv"](x), n.running_mean, n.running_var, n.weight, n.bias, False, 0.0, n.eps)
    return m["fc"](F.relu(x).flatten(1))


def two_uses(m, x):
    x = F.relu(m["first"](x))
    x = F.relu(m["conv"](x))
    x = F.relu(m["conv"](x))
    return m["fc"](x.flatten(1))


def dense_block(m, x):
    a = F.relu(m["n1"](m["c1"](x)))
    b = F.relu(m["c2"](m["n2"](a)))
    c = F.relu(m["c3"](torch.cat([a, b], 1)))
    return m["fc"](torch.cat([b, c], 1).mean((2, 3)))


def downsampling(m, x):
    a = F.relu(m["n1"](m["c1"](x)))
    return m["fc"](F.relu(m["n2"](m["c2"](a)) + m["n3"](m["c3"](a))).flatten(1))


def saturating(activation):
    """A network whose activation is cut off at many places."""
    net = randomized(nn.Sequential(conv(3, 4), activation, nn.Flatten(), head(256)))
    net[0].weight.data *= 8
    return net


# law 1: each a piecewise-linear network; batch norm after a convolution, before one, at the very start, and in the wrong order
PIECEWISE_LINEAR = {
    **{kind: (lambda kind=kind: network(kind)) for kind in SHAPES},
    "average pooling": lambda: randomized(
        nn.Sequential(conv(3, 4), nn.ReLU(), nn.AvgPool2d(2), conv(4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head(5))
    ),
    "overlapping pooling": lambda: randomized(
        nn.Sequential(conv(3, 4), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 1, 1), nn.Flatten(), head(64))
    ),
    "norm after convolution": lambda: randomized(
        nn.Sequential(
            conv(3, 4, bias=False), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), head(256)
        )
    ),
    "norm before convolution": lambda: randomized(
        nn.Sequential(conv(3, 4), nn.ReLU(), nn.BatchNorm2d(4), conv(4, 4), nn.ReLU(), nn.Flatten(), head(256))
    ),
    "norm first": lambda: randomized(nn.Sequential(nn.BatchNorm2d(3), conv(3, 4), nn.ReLU(), nn.Flatten(), head(256))),
    "norm without affine": lambda: randomized(
        nn.Sequential(conv(3, 4), nn.BatchNorm2d(4, affine=False), nn.ReLU(), nn.Flatten(), head(256))
    ),
    "norm after linear": lambda: randomized(
        nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), head(6))
    ),
    "norm registered before its convolution": norm_in_any_order,
    "norm as a function": lambda: written(shared_norm_statistics, conv=conv(3, 4), norm=nn.BatchNorm2d(4), fc=head(256)),
    "groups, dilation, stride": lambda: randomized(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, groups=3, padding=2, dilation=2), nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), head(36)
        )
    ),
    "transposed convolution": lambda: randomized(
        nn.Sequential(conv(3, 4, stride=2), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2, stride=2), nn.ReLU(), nn.Flatten(), head(192))
    ),
    "convolution used twice": lambda: written(two_uses, first=conv(3, 4), conv=conv(4, 4), fc=head(256)),
    "functional linear layers": lambda: written(
        lambda m, x: F.linear(F.relu(F.conv2d(x, m["c"].weight, m["c"].bias, padding=1)).flatten(1), m["f"].weight, m["f"].bias),
        c=conv(3, 4),
        f=head(256),
    ),
    "dense block": lambda: written(
        dense_block, c1=conv(3, 4), n1=nn.BatchNorm2d(4), n2=nn.BatchNorm2d(4), c2=conv(4, 3), c3=conv(7, 2), fc=head(5)
    ),
    "residual with downsampling": lambda: written(
        downsampling,
        c1=conv(3, 4),
        n1=nn.BatchNorm2d(4),
        c2=conv(4, 5, stride=2),
        n2=nn.BatchNorm2d(5),
        c3=conv(4, 5, 1, stride=2),
        n3=nn.BatchNorm2d(5),
        fc=head(80),
    ),
    "leaky": lambda: randomized(nn.Sequential(conv(3, 4), nn.LeakyReLU(0.2), nn.Flatten(), head(256))),
    "parametric": lambda: randomized(nn.Sequential(conv(3, 4), nn.PReLU(), nn.Flatten(), head(256))),
    "ReLU6 cut off": lambda: saturating(nn.ReLU6()),
    "ReLU6 cut off in place": lambda: saturating(nn.ReLU6(inplace=True)),
    "hardtanh cut off": lambda: saturating(nn.Hardtanh(-0.5, 0.7)),
    "clamp": lambda: written(lambda m, x: m["f"](m["c"](x).clamp(-0.3, 0.4).flatten(1)), c=conv(3, 4), f=head(256)),
    "no activation": lambda: randomized(nn.Sequential(conv(3, 4), nn.Flatten(), head(256))),
    **{f"residual {add}": (lambda add=add: randomized(Residual(add))) for add in ("+", "+=", "torch.add", "method", "add_", "module")},
    **{
        f"residual {relu}": (lambda relu=relu: randomized(Residual("+", relu)))
        for relu in ("inplace module", "F.relu", "F.relu inplace", "torch.relu", "method", "method inplace", "clamp")
    },
    "residual without norm": lambda: randomized(Residual(norm=False)),
    "dropout": lambda: randomized(nn.Sequential(conv(3, 4), nn.Dropout(), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), head(256))),
    "padding module": lambda: randomized(nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), head(256))),
    "reflection padding": lambda: randomized(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Flatten(), head(256))
    ),
}


def sample_for(name):
    return inputs(name if name in SHAPES else "cnn2d")


@pytest.mark.parametrize("method", ["lrp_z", "lrpz_z", "lrp_epsilon_0"])
@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_z_from_the_logit_is_gradient_times_input(name, method):
    net, x = PIECEWISE_LINEAR[name](), sample_for(name)
    expected = oracles.gradient(net, x, 2) * x.numpy()
    assert np.abs(expected).max() > 0
    assert deviation(explain(net, x, method, 2, relevance="logit"), expected) < 1e-9


def test_other_rules_pass_a_cut_off_as_zennit_does():
    net, x = saturating(nn.ReLU6()), inputs("cnn2d")
    with torch.no_grad():
        assert (net[0](x) > 6).any()
    composite = LayerMapComposite([(nn.ReLU6, zennit.rules.Pass()), ((nn.Conv2d, nn.Linear), zennit.rules.Epsilon(0.1))])
    expected = AdvancedLRPAnalyzer(net, rule_type="custom", composite=composite).analyze(x, 1)
    assert deviation(explain(net, x, "lrp_epsilon_0_1", 1), expected) < 1e-12


def test_layers_that_are_not_registered_are_layers_too():
    layer, last = randomized(conv(3, 4)), randomized(head(256))
    registered = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), last)
    expected = explain(registered, inputs("cnn2d"), "lrp_epsilon_0_1", 1)
    borrowed = Written(lambda m, x: last(F.relu(layer(x)).flatten(1)))  # trainable, and unknown to the network
    np.testing.assert_array_equal(explain(borrowed, inputs("cnn2d"), "lrp_epsilon_0_1", 1), expected)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in registered.parameters())


# --- law 2

CONSERVING = ["lrp_z", "lrp_alpha_1_beta_0", "lrp_alpha_2_beta_1", "lrp_alpha_1_5_beta_0_5", "lrp_gamma_0_25", "lrp_zplus", "lrp_wsquare",
              "lrp_flat", "lrpz_alpha_2_beta_1", "w2lrp_z", "flatlrp_zplus", "zblrp_z", "zblrp_gamma_10_low_neg_4_high_4"]  # fmt: skip


# wsquare and flat give relevance to averages of nothing but zeros too, whose shares are 0/0 = 0: cnn3d has an average pooling
CONSERVED = [(kind, name) for kind in SHAPES for name in CONSERVING if kind != "cnn3d" or name not in ("lrp_wsquare", "lrp_flat")]


@pytest.mark.parametrize("relevance", ["one_hot", "logit"])
@pytest.mark.parametrize(("kind", "method"), CONSERVED)
def test_without_biases_relevance_sums_at_every_layer_to_what_it_started_with(kind, method, relevance):
    net, a = network(kind, bias=False), inputs(kind)
    with torch.no_grad():
        begun = net(a)[:, 1].numpy() if relevance == "logit" else np.ones(len(a))
        for depth in range(len(net)):
            if any(isinstance(layer, oracles.LINEAR) for layer in net[depth:]):
                below = explain(net[depth:], a, method, 1, relevance=relevance)
                np.testing.assert_allclose(below.reshape(len(a), -1).sum(1), begun, rtol=1e-9, atol=1e-9, err_msg=f"input of layer {depth}")
            a = net[depth](a)


@pytest.mark.parametrize("method", CONSERVING)
def test_conservation_through_a_residual_network(method):
    net, x = randomized(Residual(norm=False)), inputs("cnn2d")
    for module in net.modules():
        if isinstance(module, oracles.LINEAR):
            module.bias = None
    np.testing.assert_allclose(explain(net, x, method, 1).reshape(4, -1).sum(1), np.ones(4), rtol=1e-9)


# --- law 4


@pytest.mark.parametrize("baseline", [None, 0.3])
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_integrated_gradients_sum_to_the_difference_of_logits(kind, baseline):
    net, x = network(kind, activation=nn.Softplus), inputs(kind)
    start = torch.full_like(x, baseline or 0.0)
    with torch.no_grad():
        expected = (net(x) - net(start))[range(4), [0, 1, 2, 3]].numpy()
    kwargs = {} if baseline is None else {"baseline": baseline}
    for steps, tolerance in ((50, 1e-3), (500, 1e-5)):  # the quadrature's error falls with the square of the steps
        got = explain(net, x, "integrated_gradients", [0, 1, 2, 3], steps=steps, **kwargs)
        np.testing.assert_allclose(got.reshape(4, -1).sum(1), expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("kind", SHAPES)
def test_integrated_gradients_of_a_relu_network_sum_nearly_to_the_difference(kind):
    net, x = network(kind), inputs(kind)
    with torch.no_grad():
        expected = (net(x) - net(torch.zeros_like(x)))[:, 1].numpy()
    got = explain(net, x, "integrated_gradients_steps_500", 1)
    np.testing.assert_allclose(got.reshape(4, -1).sum(1), expected, atol=5e-3 * np.abs(expected).max())


# --- law 7

METHODS = ["gradient", "integrated_gradients_steps_5", "guided_backprop", "deconvnet", "lrp_z", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x",
           "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrpsign_epsilon_0_1_mu_0_5", "zblrp_z", "w2lrp_zplus", "flatlrp_z", "grad_cam",
           "guided_grad_cam", "lrp_sequential_composite_a", "smoothgrad_samples_3"]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("relu", ["inplace module", "F.relu", "F.relu inplace", "torch.relu", "method", "method inplace"])
def test_any_way_of_writing_a_relu_gives_the_same_map(relu, method):
    assert_same_map(randomized(Residual()), randomized(Residual(relu=relu)), inputs("cnn2d"), method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("add", ["+=", "torch.add", "method", "add_", "module"])
def test_any_way_of_writing_an_addition_gives_the_same_map(add, method):
    assert_same_map(randomized(Residual()), randomized(Residual(add)), inputs("cnn2d"), method)


def base(m, x, norm=None, pool=None, shape=None, mean=None):
    x = m["conv"](x)
    x = norm(m["norm"], x) if norm else m["norm"](x)
    x = m["relu"](x)
    x = pool(x) if pool else m["pool"](x)
    x = m["relu"](m["conv2"](x))
    x = mean(x) if mean else m["average"](x).flatten(1)
    return m["fc"](shape(x) if shape else x)


def norm_function(n, x):
    return F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)


TWINS = {
    "F.batch_norm": {"norm": norm_function},
    "F.max_pool2d": {"pool": lambda x: F.max_pool2d(x, 2)},
    "adaptive_max_pool2d": {"pool": lambda x: F.adaptive_max_pool2d(x, 4)},
    "F.avg_pool2d": {"mean": lambda x: F.avg_pool2d(x, 4).flatten(1)},
    "F.adaptive_avg_pool2d": {"mean": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)},
    "Tensor.mean": {"mean": lambda x: x.mean((2, 3))},
    "torch.mean": {"mean": lambda x: torch.mean(x, dim=(-1, -2))},
    "mean keepdim": {"mean": lambda x: x.mean((2, 3), keepdim=True).flatten(1)},
    "mean of mean": {"mean": lambda x: x.mean(3).mean(2)},
    "sum over the count": {"mean": lambda x: x.sum((2, 3)) / 16},
    "view": {"mean": lambda x: F.adaptive_avg_pool2d(x, 1).view(x.shape[0], -1)},
    "reshape": {"mean": lambda x: F.adaptive_avg_pool2d(x, 1).reshape(-1, 5)},
    "torch.flatten": {"mean": lambda x: torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)},
    "squeeze": {"mean": lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(2)},
    "indexing": {"mean": lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0]},
}


def twin(**ways):
    layers = {"conv": conv(3, 4), "norm": nn.BatchNorm2d(4), "relu": nn.ReLU(), "pool": nn.MaxPool2d(2), "conv2": conv(4, 5),
              "average": nn.AdaptiveAvgPool2d(1), "fc": head(5)}  # fmt: skip
    return written(lambda m, x: base(m, x, **ways), **layers)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", TWINS)
def test_a_module_and_its_function_give_the_same_map(name, method):
    assert_same_map(twin(), twin(**TWINS[name]), inputs("cnn2d"), method)


class Unrolled(nn.Module):
    """A network that uses one ReLU and one linear layer twice, or copies of them."""

    def __init__(self, shared):
        super().__init__()
        self.first, self.fc, self.last = nn.Linear(12, 6), nn.Linear(6, 6), head(6)
        self.relu1, self.relu2, self.relu3 = (nn.ReLU(),) * 3 if shared else (nn.ReLU(), nn.ReLU(), nn.ReLU())
        self.again = self.fc if shared else nn.Linear(6, 6)

    def forward(self, x):
        return self.last(self.relu3(self.again(self.relu2(self.fc(self.relu1(self.first(x)))))))


@pytest.mark.parametrize("method", [name for name in METHODS if "cam" not in name])
def test_a_module_used_twice_is_like_two_modules(method):
    shared, apart = randomized(Unrolled(True)), Unrolled(False).double().eval()
    weights = shared.state_dict()
    apart.load_state_dict({**weights, "again.weight": weights["fc.weight"], "again.bias": weights["fc.bias"]})
    assert_same_map(shared, apart, inputs("linear"), method)


@pytest.mark.parametrize(
    "method", ["lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrp_flat", "w2lrp_z"]
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_is_folded_into_the_linear_layer_before_it(method, bias):
    first, norm, second, norm2 = conv(3, 4, bias=bias), nn.BatchNorm2d(4), conv(4, 3), nn.BatchNorm2d(3)
    net = randomized(nn.Sequential(first, norm, nn.ReLU(), second, norm2, nn.ReLU(), nn.Flatten(), head(192)))
    merged = nn.Sequential(oracles.folded(first, norm), net[2], oracles.folded(second, norm2), *net[5:])
    assert_same_map(merged, net, inputs("cnn2d"), method)


@pytest.mark.parametrize(
    "activation", [nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Tanh, nn.Sigmoid, nn.Hardswish, nn.Mish]
)
def test_relevance_passes_through_an_activation_unchanged(activation):
    net, x = network("linear", activation=activation), inputs("linear")
    relevance = explain(net[2:], net[:2](x).detach(), "lrp_epsilon_0_1", 1)
    expected = np.stack(
        [oracles.epsilon(net[0].weight.data, net[0].bias.data, a, torch.tensor(r), 0.1).numpy() for a, r in zip(x, relevance, strict=True)]
    )
    assert deviation(explain(net, x, "lrp_epsilon_0_1", 1), expected) < 1e-12


class Gated(nn.Module):
    """Squeeze-excitation: a feature map times a gate of itself; ``detached``, the gate is a constant."""

    def __init__(self, how="a * g", squash="sigmoid", detached=False):
        super().__init__()
        self.conv, self.down, self.up, self.fc = conv(3, 6), nn.Linear(6, 3), nn.Linear(3, 6), head(384)
        self.how, self.squash, self.detached = how, squash, detached

    def forward(self, x):
        a = F.relu(self.conv(x))
        g = {"sigmoid": torch.sigmoid, "Tensor.sigmoid": Tensor.sigmoid, "hardsigmoid": F.hardsigmoid}[self.squash](
            self.up(F.relu(self.down(a.mean((2, 3)))))
        )[:, :, None, None]
        g = g.detach() if self.detached else g
        product = {"a * g": lambda: a * g, "g * a": lambda: g * a, "torch.mul": lambda: torch.mul(a, g), "mul_": lambda: a.clone().mul_(g)}
        return self.fc(product[self.how]().flatten(1))


@pytest.mark.parametrize("squash", ["sigmoid", "Tensor.sigmoid", "hardsigmoid"])
@pytest.mark.parametrize("how", ["a * g", "g * a", "torch.mul", "mul_"])
def test_a_gate_passes_all_relevance_to_what_it_gates(how, squash):
    net, constant, x = randomized(Gated(how, squash)), randomized(Gated(how, squash, detached=True)), inputs("cnn2d")
    expected = oracles.gradient(constant, x, 1) * x.numpy()
    assert deviation(expected, oracles.gradient(net, x, 1) * x.numpy()) > 1e-2, "the gate is too weak to tell"
    assert deviation(explain(net, x, "lrp_z", 1, relevance="logit"), expected) < 1e-9


class Halved(torch.autograd.Function):
    """The identity that passes half of the gradient: what each factor of a product of two signals gets."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad / 2


class Attention(nn.Module):
    """One head of self-attention on (N, 4, 5), or with ``oracle`` one whose gradient times input is AttnLRP (Achtibat et al. 2024)."""

    def __init__(self, how="@", oracle=False):
        super().__init__()
        self.q, self.k, self.v, self.fc = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(5, 6), head(24)
        self.how, self.oracle = how, oracle

    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        if self.oracle:
            weights = torch.softmax(Halved.apply(q) @ Halved.apply(k).mT / 6**0.5, -1)
            return self.fc((Halved.apply(weights) @ Halved.apply(v)).flatten(1))
        ways = {
            "@": lambda: F.softmax(q @ k.mT / 6**0.5, -1) @ v,
            "matmul": lambda: torch.matmul((torch.matmul(q, k.transpose(1, 2)) * 6**-0.5).softmax(-1), v),
            "bmm": lambda: torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)) / 6**0.5, 2), v),
            "scaled_dot_product": lambda: F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0],
        }
        return self.fc(ways[self.how]().flatten(1))


@pytest.mark.parametrize("how", ["@", "matmul", "bmm", "scaled_dot_product"])
def test_softmax_and_products_of_attention_follow_attnlrp(how):
    net, oracle, x = randomized(Attention(how)), randomized(Attention(oracle=True)), inputs("mlp")
    expected = oracles.gradient(oracle, x, 1) * x.numpy()
    assert deviation(expected, oracles.gradient(net, x, 1) * x.numpy()) > 1e-2
    assert deviation(explain(net, x, "lrp_z", 1, relevance="logit"), expected) < 1e-9


@pytest.mark.parametrize("method", ["lrp_z", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrpsign_epsilon_0_1", "zblrp_z", "flatlrp_z"])
@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_a_layer_with_a_computed_weight_is_the_layer_with_that_weight(norm, method):
    net = network("cnn2d")
    for index in (0, 6):
        norm(net[index])
    net.eval()
    plain = network("cnn2d")
    for index in (0, 6):
        plain[index].weight.data = net[index].weight.detach().clone()
    assert_same_map(plain, net, inputs("cnn2d"), method)
