"""Each method against its slow, plain re-implementation in tests/oracles.py, in float64."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from zennit.composites import LayerMapComposite

import oracles
from comparing import deviation
from networks import CLASSES, SHAPES, drawn, inputs, network, randomized
from signxai import explain
from signxai.engine import activation_memory
from signxai.methods.cam import ZeroMapWarning
from signxai.methods.sign import calculate_sign_mu
from signxai.torch_signxai.methods.zennit_impl import (
    AdvancedLRPAnalyzer,
    DeconvNetAnalyzer,
    DeepTaylorAnalyzer,
    GradCAMAnalyzer,
    GradientAnalyzer,
    GradientXInputAnalyzer,
    GradientXSignAnalyzer,
    GuidedBackpropAnalyzer,
    IntegratedGradientsAnalyzer,
    LRPAnalyzer,
    LRPSequential,
    SmoothGradAnalyzer,
    VarGradAnalyzer,
    rules,
)

TOLERANCE = 1e-10


def alpha_beta(alpha, beta):
    return partial(oracles.alpha_beta, alpha=alpha, beta=beta)


def eps(value):
    return partial(oracles.epsilon, eps=value)


def std_x(k):
    return partial(oracles.epsilon_std_x, k=k)


def gamma(g):
    return partial(oracles.gamma, g=g)


def box(low=None, high=None):
    return partial(oracles.zbox, low=low, high=high)


def lrp(rule, first=None, dense=None):
    return partial(oracles.lrp, rule=rule, first=first, dense=dense)


VGG = box(-123.68, 151.061)
ORACLES = {
    # name: rule everywhere, rule of the first linear layer, rule of nn.Linear where it is another
    "lrp_z": lrp(oracles.z),
    "lrp_epsilon_0_001": lrp(eps(0.001)),
    "lrp_epsilon_0_37": lrp(eps(0.37)),
    "lrp_epsilon_100": lrp(eps(100.0)),
    "lrp_epsilon_0_25_std_x": lrp(std_x(0.25)),
    "lrp_epsilon_3_std_x": lrp(std_x(3.0)),
    "lrp_alpha_1_beta_0": lrp(alpha_beta(1, 0)),
    "lrp_zplus": lrp(alpha_beta(1, 0)),
    "lrp_alpha_2_beta_1": lrp(alpha_beta(2, 1)),
    "lrp_alpha_1_5_beta_0_5": lrp(alpha_beta(1.5, 0.5)),
    "lrp_gamma_0_25": lrp(gamma(0.25)),
    "lrp_gamma_10": lrp(gamma(10.0)),
    "lrp_gamma_0": lrp(oracles.z),
    "lrp_wsquare": lrp(oracles.wsquare),
    "lrp_flat": lrp(oracles.flat),
    "lrpsign_z": lrp(oracles.z, oracles.sign),
    "lrpsign_epsilon_0_6_std_x_mu_0_3": lrp(std_x(0.6), partial(oracles.sign, mu=0.3)),
    "lrpsign_epsilon_20_mu_neg_0_5": lrp(eps(20.0), partial(oracles.sign, mu=-0.5)),
    "lrpsign_alpha_2_beta_1": lrp(alpha_beta(2, 1), oracles.sign),
    "lrpz_epsilon_0_1": lrp(eps(0.1), oracles.z),
    "lrpz_alpha_1_beta_0": lrp(alpha_beta(1, 0), oracles.z),
    "zblrp_z": lrp(oracles.z, box()),
    "zblrp_epsilon_0_1_low_neg_4_high_4": lrp(eps(0.1), box(-4.0, 4.0)),
    "zblrp_alpha_2_beta_1_low_neg_5": lrp(alpha_beta(2, 1), box(low=-5.0)),
    "zblrp_z_VGG16ILSVRC": lrp(oracles.z, VGG),
    "zblrp_gamma_0_5_VGG16ILSVRC": lrp(gamma(0.5), VGG),
    "zblrp_z_low_neg_9_VGG16ILSVRC": lrp(oracles.z, box(-9.0, 151.061)),
    "w2lrp_z": lrp(oracles.z, oracles.wsquare),
    "w2lrp_epsilon_0_5_std_x": lrp(std_x(0.5), oracles.wsquare),
    "flatlrp_z": lrp(oracles.z, oracles.flat),
    "flatlrp_gamma_1": lrp(gamma(1.0), oracles.flat),
    "lrp_sequential_composite_a": lrp(alpha_beta(1, 0), dense=eps(0.1)),
    "lrp_sequential_composite_b": lrp(alpha_beta(2, 1), dense=eps(0.1)),
    "lrpsign_sequential_composite_a": lrp(alpha_beta(1, 0), oracles.sign, eps(0.1)),
    "w2lrp_sequential_composite_b": lrp(alpha_beta(2, 1), oracles.wsquare, eps(0.1)),
    "zblrp_sequential_composite_b": lrp(alpha_beta(2, 1), box(), eps(0.1)),
    "lrp_epsilon_plus": lrp(alpha_beta(1, 0), dense=eps(1e-6)),
    "lrp_epsilon_plus_flat": lrp(alpha_beta(1, 0), oracles.flat, eps(1e-6)),
    "lrp_epsilon_alpha2_beta1": lrp(alpha_beta(2, 1), dense=eps(1e-6)),
    "lrp_epsilon_alpha2_beta1_flat": lrp(alpha_beta(2, 1), oracles.flat, eps(1e-6)),
    "lrpsign_epsilon_plus": lrp(alpha_beta(1, 0), oracles.sign, eps(1e-6)),
    "deep_taylor": lrp(eps(1e-6)),
    "gradient": oracles.gradient,
    "integrated_gradients_steps_7": partial(oracles.integrated_gradients, steps=7),
    "guided_backprop": partial(oracles.relu_backward, mode="guided"),
    "deconvnet": partial(oracles.relu_backward, mode="deconvnet"),
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("kind", SHAPES)
def test_a_method_is_its_oracle(kind, name):
    net, x = network(kind), inputs(kind, 2)
    expected = ORACLES[name](net, x, 2)
    assert np.abs(expected).max() > 0
    assert deviation(explain(net, x, name, 2), expected) < TOLERANCE


@pytest.mark.parametrize("name", [name for name in ORACLES if "lrp" in name or name in ("guided_backprop", "deconvnet")])
@pytest.mark.parametrize("kind", ["mlp", "cnn1d"])
def test_a_method_is_its_oracle_from_the_logit(kind, name):
    net, x = network(kind), inputs(kind, 2)
    assert deviation(explain(net, x, name, 2, relevance="logit"), ORACLES[name](net, x, 2, relevance="logit")) < TOLERANCE


STABILIZED = {
    "lrp_alpha_2_beta_1": lambda s: lrp(partial(alpha_beta(2, 1), **s)),
    "lrp_gamma_0_25": lambda s: lrp(partial(gamma(0.25), **s)),
    "lrp_flat": lambda s: lrp(partial(oracles.flat, **s)),
    "w2lrp_zplus": lambda s: lrp(partial(alpha_beta(1, 0), **s), partial(oracles.wsquare, **s)),
    "zblrp_zplus": lambda s: lrp(partial(alpha_beta(1, 0), **s), partial(oracles.zbox, **s)),
    "lrpsign_epsilon_0_1": lambda s: lrp(eps(0.1), partial(oracles.sign, **s)),
    "lrp_epsilon_plus_flat": lambda s: lrp(partial(alpha_beta(1, 0), **s), partial(oracles.flat, **s), eps(1e-6)),
}


@pytest.mark.parametrize("name", STABILIZED)
def test_a_stabilizer_is_added_to_the_denominators_that_have_no_epsilon(name):
    net, x, stabilizer = network("mlp"), inputs("mlp", 2), {"stabilizer": 0.05}
    expected = STABILIZED[name](stabilizer)(net, x, 1)
    assert deviation(expected, ORACLES.get(name, STABILIZED[name]({}))(net, x, 1)) > 1e-3
    assert deviation(explain(net, x, name, 1, **stabilizer), expected) < TOLERANCE


@pytest.mark.parametrize(("number", "mean"), [(0.3, 0.3), (None, 0.0)])
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_integrated_gradients_with_steps_and_a_number_as_baseline(steps, number, mean):
    net, x = network("cnn1d"), inputs("cnn1d", 2)
    expected = oracles.integrated_gradients(net, x, 1, steps, mean)
    assert deviation(explain(net, x, "integrated_gradients", 1, steps=steps, baseline=number), expected) < TOLERANCE
    assert deviation(IntegratedGradientsAnalyzer(net, steps, number).analyze(x, 1), expected) < TOLERANCE


def test_the_baseline_of_integrated_gradients_may_be_a_sample_or_a_batch():
    net, x = network("cnn1d"), inputs("cnn1d", 2)
    flat = torch.full((3, 16), 0.3, dtype=torch.float64)
    expected = explain(net, x, "integrated_gradients", 1, baseline=0.3)
    for baseline in (flat, flat.numpy(), flat[None], flat.expand(2, 3, 16)):
        assert deviation(explain(net, x, "integrated_gradients", 1, baseline=baseline), expected) < 1e-12
    each = inputs("cnn1d", 2, seed=9)
    got = explain(net, x, "integrated_gradients", 1, baseline=each)
    assert deviation(explain(net, x, "integrated_gradients", 1, baseline=each, batch_size=1), got) < 1e-12
    for i in range(2):
        assert deviation(got[i : i + 1], explain(net, x[i : i + 1], "integrated_gradients", 1, baseline=each[i])) < 1e-12


# --- CAMs


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_timeseries", "grad_cam_VGG16ILSVRC", "guided_grad_cam"])
@pytest.mark.parametrize("kind", ["cnn1d", "cnn2d", "cnn3d"])
@pytest.mark.parametrize("target", range(CLASSES))
def test_a_cam_is_its_oracle(kind, name, target):
    net, x = network(kind), inputs(kind)
    expected = oracles.grad_cam(net, x, target)
    if name.startswith("guided"):
        expected = expected * oracles.relu_backward(net, x, target, "guided")
    assert deviation(explain(net, x, name, target), expected) < TOLERANCE


def test_some_cam_of_these_networks_is_not_zero():
    for kind in ("cnn1d", "cnn2d", "cnn3d"):
        assert max(oracles.grad_cam(network(kind), inputs(kind), target).max() for target in range(CLASSES)) == 1


@pytest.mark.parametrize("layer", ["0", 0, 1, 3])
def test_a_cam_at_a_layer_by_name_or_module(layer):
    net, x = network("cnn2d"), inputs("cnn2d")
    expected = oracles.grad_cam(net, x, 2, int(layer))
    chosen = layer if isinstance(layer, str) else net[layer]
    assert deviation(explain(net, x, "grad_cam", 2, layer=chosen), expected) < TOLERANCE
    assert deviation(GradCAMAnalyzer(net, chosen).analyze(x, 2), expected) < TOLERANCE
    assert deviation(GradCAMAnalyzer(net, target_layer=str(layer)).analyze(x, 2), expected) < TOLERANCE


def test_a_cam_of_a_convolution_before_an_inplace_relu():
    net, x = network("cnn2d"), inputs("cnn2d")
    inplace = nn.Sequential(*[nn.ReLU(inplace=True) if isinstance(layer, nn.ReLU) else layer for layer in net])
    assert deviation(explain(inplace, x, "grad_cam", 2), oracles.grad_cam(net, x, 2)) < TOLERANCE


def test_an_all_zero_cam_stays_zero():
    net, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, CLASSES)), inputs("cnn2d")
    net = randomized(net)
    net[0].weight.data.abs_(), net[0].bias.data.abs_()
    net[2].weight.data.abs_().neg_()
    with pytest.warns(ZeroMapWarning, match="4 of 4 samples.* all evidence there is against the class.*'conv2d' in 0"):
        got = explain(net, x.abs(), "grad_cam", 1)
    np.testing.assert_array_equal(got, np.zeros_like(got))


def test_the_last_convolution_is_the_last_executed():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first, self.fc = nn.Conv2d(5, 6, 3), nn.Conv2d(3, 5, 3), nn.Linear(96, CLASSES)

        def forward(self, x):
            return self.fc(self.last(self.first(x).relu()).relu().flatten(1))

    net, x = randomized(Backwards()), inputs("cnn2d")
    expected = oracles.grad_cam([net.first, nn.ReLU(), net.last, nn.ReLU(), nn.Flatten(), net.fc], x, 1)
    assert deviation(explain(net, x, "grad_cam", 1), expected) < TOLERANCE


# --- the first linear layer is the one that reads the input


class TwoStems(nn.Module):
    """Two linear layers read the input; a third, registered before them, does not."""

    def __init__(self):
        super().__init__()
        self.top, self.left, self.right = nn.Linear(8, CLASSES), nn.Linear(12, 8), nn.Linear(12, 8)

    def forward(self, x):
        return self.top(torch.cat([self.left(x)[:, :4], self.right(x)[:, 4:]], 1).relu())


@pytest.mark.parametrize(("name", "first"), [("lrpsign_epsilon_0_1", oracles.sign), ("w2lrp_epsilon_0_1", oracles.wsquare),
                                             ("flatlrp_epsilon_0_1", oracles.flat), ("zblrp_epsilon_0_1", oracles.zbox)])  # fmt: skip
def test_an_input_rule_is_for_all_layers_that_read_the_input_and_no_other(name, first):
    net, x = randomized(TwoStems()), inputs("linear", 2)
    with torch.no_grad():
        hidden = torch.cat([net.left(x)[:, :4], net.right(x)[:, 4:]], 1)
    maps = []
    for a, sample in zip(hidden, x, strict=True):
        w, b = net.top.weight.data, net.top.bias.data
        r = oracles.epsilon(w, b, a.relu(), oracles.start(net.top(a.relu())[None].detach(), 1)[0], 0.1)
        halves = (net.left, r * (torch.arange(8) < 4)), (net.right, r * (torch.arange(8) >= 4))
        maps.append(sum(first(layer.weight.data, layer.bias.data, sample, half) for layer, half in halves).numpy())
    assert deviation(explain(net, x, name, 1), np.stack(maps)) < TOLERANCE


# --- multipliers


def test_multipliers_multiply_in_turn():
    net, x = network("cnn1d"), inputs("cnn1d")
    gradient, values = oracles.gradient(net, x, 1), x.numpy()
    sign = np.where(values >= 0, 1.0, -1.0)
    cases = {
        "gradient_x_input": gradient * values,
        "input_t_gradient": gradient * values,
        "gradient_x_sign": gradient * sign,
        "gradient_x_sign_mu_0_5": gradient * np.where(values >= 0.5, 1.0, -1.0),
        "gradient_x_input_x_sign_mu_neg_0_5": gradient * values * np.where(values >= -0.5, 1.0, -1.0),
        "gradient_x_input_x_input": gradient * values**2,
        "lrp_epsilon_50_x_sign": oracles.lrp(net, x, 1, eps(50.0)) * sign,
        "grad_cam_x_input": oracles.grad_cam(net, x, 1) * values,
    }
    for name, expected in cases.items():
        assert deviation(explain(net, x, name, 1), expected) < TOLERANCE, name
    assert deviation(explain(net, x, "gradient_x_sign_mu", 1, mu=0.7), gradient * np.where(values >= 0.7, 1.0, -1.0)) < TOLERANCE


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor])
def test_calculate_sign_mu(convert):
    x = convert([-1.0, -0.5, 0.0, -0.0, 0.5, 2.0])
    for kwargs, expected in (({}, [-1, -1, 1, 1, 1, 1]), ({"mu": 0.5}, [-1, -1, -1, -1, 1, 1]), ({"mu": -0.5}, [-1, 1, 1, 1, 1, 1]),
                             ({"mu": 0.5, "vlow": 0, "vhigh": 2}, [0, 0, 0, 0, 2, 2])):  # fmt: skip
        got = calculate_sign_mu(x, **kwargs)
        np.testing.assert_array_equal(np.asarray(got), expected)


def test_sign_counts_zero_and_mu_itself_as_plus_one():
    net = randomized(nn.Linear(3, CLASSES))
    x = torch.tensor([[0.0, 0.5, -0.5]], dtype=torch.float64)
    gradient = net.weight.data[1].numpy()
    np.testing.assert_allclose(explain(net, x, "gradient_x_sign", 1)[0], gradient * [1, 1, -1])
    np.testing.assert_allclose(explain(net, x, "gradient_x_sign_mu_0_5", 1)[0], gradient * [-1, 1, -1])
    with torch.no_grad():
        logit = net(x)[0, 1].item()
    np.testing.assert_allclose(explain(net, x, "lrpsign_z_mu_neg_0_5", 1)[0], gradient * [1, 1, 1] / logit)


# --- noise


class Power(nn.Module):
    """Every logit is the sum of |x|^power / power of the sample: its gradient at x > 0 is x^(power - 1)."""

    def __init__(self, power):
        super().__init__()
        self.power, self.weight = power, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        return (x.flatten(1) ** self.power / self.power).sum(1, keepdim=True).expand(-1, CLASSES) * self.weight


def test_the_noise_of_smoothgrad_and_vargrad_changes_nothing_in_a_linear_network():
    net, x = randomized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, CLASSES))), inputs("cnn2d")
    gradient = oracles.gradient(net, x, 1)
    assert deviation(explain(net, x, "smoothgrad", 1), gradient) < 1e-12
    assert np.abs(explain(net, x, "vargrad", 1)).max() < 1e-24 * np.abs(gradient).max() ** 2 + 1e-24


def test_vargrad_is_the_population_variance_of_the_gradients_that_smoothgrad_averages():
    x = inputs("cnn2d")
    mean = explain(Power(2), x, "smoothgrad", 0, num_samples=7, noise_level=0.3)
    mean_of_squares = explain(Power(3), x, "smoothgrad", 0, num_samples=7, noise_level=0.3)
    variance = explain(Power(2), x, "vargrad", 0, num_samples=7, noise_level=0.3)
    assert deviation(variance, mean_of_squares - mean**2) < 1e-9
    assert np.abs(explain(Power(2), x, "vargrad", 0, num_samples=1)).max() == 0


def test_the_noise_has_mean_zero_and_the_level_times_the_samples_range_as_deviation():
    x = drawn(2, 3, 40, 40, seed=0)
    x[1] *= 5
    for level in (0.1, 0.4):
        noise = explain(Power(2), x, "smoothgrad", 0, num_samples=1, noise_level=level) - x.numpy()
        sigma = level * (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).numpy()
        np.testing.assert_allclose(noise.std((1, 2, 3)), sigma, rtol=0.05)
        assert (np.abs(noise.mean((1, 2, 3))) < 4 * sigma / np.sqrt(4800)).all()
        within = (np.abs(noise) < sigma.reshape(2, 1, 1, 1)).mean()
        assert abs(within - 0.6827) < 0.03, "the noise is not Gaussian"
    zero = explain(Power(2), x, "smoothgrad_noise_0", 0)
    assert deviation(zero, x.numpy()) < 1e-12


def test_the_noise_differs_from_draw_to_draw():
    x = inputs("cnn2d")
    variance = explain(Power(2), x, "vargrad", 0, num_samples=400, noise_level=0.2)
    sigma = 0.2 * (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).numpy()
    np.testing.assert_allclose(variance.mean((1, 2, 3)), sigma**2, rtol=0.05)


def test_the_defaults_of_smoothgrad_and_vargrad():
    x = inputs("cnn2d")
    np.testing.assert_array_equal(explain(Power(3), x, "smoothgrad"), explain(Power(3), x, "smoothgrad_noise_0_2_samples_50"))
    np.testing.assert_array_equal(explain(Power(3), x, "vargrad"), explain(Power(3), x, "vargrad", noise_level=0.2, num_samples=50))


# --- analyzers


ANALYZED = [
    (lambda m: GradientAnalyzer(m), "gradient", {}),
    (lambda m: GradientXInputAnalyzer(m), "gradient_x_input", {}),
    (lambda m: GradientXSignAnalyzer(m), "gradient_x_sign", {}),
    (lambda m: GradientXSignAnalyzer(m, 0.5), "gradient_x_sign_mu_0_5", {}),
    (lambda m: IntegratedGradientsAnalyzer(m), "integrated_gradients_steps_50", {}),
    (lambda m: IntegratedGradientsAnalyzer(m, 7, 0.1), "integrated_gradients_steps_7", {"baseline": 0.1}),
    (lambda m: SmoothGradAnalyzer(m, 0.3, 4, seed=3), "smoothgrad_noise_0_3_samples_4", {"seed": 3}),
    (lambda m: VarGradAnalyzer(m, 4, 0.3, seed=3), "vargrad_noise_0_3_samples_4", {"seed": 3}),
    (lambda m: GuidedBackpropAnalyzer(m), "guided_backprop", {}),
    (lambda m: DeconvNetAnalyzer(m), "deconvnet", {}),
    (lambda m: GradCAMAnalyzer(m), "grad_cam", {}),
    (lambda m: LRPAnalyzer(m), "lrp_epsilon_0_000001", {}),
    (lambda m: LRPAnalyzer(m, "epsilon", 0.1), "lrp_epsilon_0_1", {}),
    (lambda m: LRPAnalyzer(m, "zplus"), "lrp_zplus", {}),
    (lambda m: LRPAnalyzer(m, rule="alphabeta"), "lrp_alpha_1_beta_0", {}),
    (lambda m: LRPAnalyzer(m, rule="alphabeta", alpha=2, beta=1), "lrp_alpha_2_beta_1", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "epsilon", epsilon=0.1), "lrp_epsilon_0_1", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "stdx_epsilon", epsilon=0.25), "lrp_epsilon_0_25_std_x", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "gamma", gamma=0.25), "lrp_gamma_0_25", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "zplus"), "lrp_zplus", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "alphabeta", alpha=2, beta=1), "lrp_alpha_2_beta_1", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "zbox", low=-4.0, high=4.0, hidden_rule="zplus"), "zblrp_zplus_low_neg_4_high_4", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "zbox", hidden_rule="zplus"), "zblrp_zplus", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "wsquare", hidden_rule="zplus"), "w2lrp_zplus", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "flat", hidden_rule="zplus"), "flatlrp_zplus", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "sign", mu=0.5, hidden_rule="zplus"), "lrpsign_zplus_mu_0_5", {}),
    (lambda m: AdvancedLRPAnalyzer(m, "sign", hidden_rule="epsilon", epsilon=0.1), "lrpsign_epsilon_0_1", {}),
    (lambda m: DeepTaylorAnalyzer(m), "deep_taylor", {}),
    (lambda m: DeepTaylorAnalyzer(m, 0.1), "lrp_epsilon_0_1", {}),
]


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("index", range(len(ANALYZED)))
@pytest.mark.parametrize("kind", ["cnn1d", "cnn2d"])
def test_an_analyzer_is_the_method_of_that_name_again_and_again(kind, index):
    make, name, options = ANALYZED[index]
    net, x = network(kind), inputs(kind)
    expected = explain(net, x, name, [0, 1, 2, 3], **options)
    analyzer = make(net)
    for _ in range(3):
        np.testing.assert_array_equal(analyzer.analyze(x, [0, 1, 2, 3]), expected)
    np.testing.assert_array_equal(analyzer.analyze(input_tensor=x.numpy(), target_class=[0, 1, 2, 3]), expected)


@pytest.mark.parametrize("kind", ["cnn1d", "cnn2d", "mlp"])
def test_lrp_sequential_takes_the_first_and_the_last_layer_executed(kind):
    net, x = network(kind), inputs(kind)
    last = [layer for layer in net if isinstance(layer, oracles.LINEAR)][-1]

    def walk(first, middle, end):
        def rule(w, b, a, r):
            return (end if w.shape[0] == CLASSES and w.shape[1] == last.in_features else middle)(w, b, a, r)

        return oracles.lrp(net, x, 1, rule, first=first)

    got = LRPSequential(net, low=-4.0, high=4.0, alpha=2, beta=1, epsilon=0.1).analyze(x, 1)
    assert deviation(got, walk(box(-4.0, 4.0), alpha_beta(2, 1), eps(0.1))) < TOLERANCE
    got = LRPSequential(net, "flat", "epsilon", "zplus", epsilon=0.1).analyze(x, 1)
    assert deviation(got, walk(oracles.flat, eps(0.1), alpha_beta(1, 0))) < TOLERANCE


# --- the hooks that Zennit has not


@pytest.mark.parametrize(
    ("hook", "rule"),
    [
        (lambda: rules.Z(), oracles.z),
        (lambda: rules.StdxEpsilon(0.25), std_x(0.25)),
        (lambda: rules.Sign(0.3, stabilizer=0.0), partial(oracles.sign, mu=0.3)),
        (lambda: rules.Sign(stabilizer=1e-3), partial(oracles.sign, stabilizer=1e-3)),
        (lambda: rules.ZBox(stabilizer=0.0), oracles.zbox),
        (lambda: rules.WSquareWithoutBias(stabilizer=1e-3), partial(oracles.wsquare, stabilizer=1e-3)),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_hook_that_zennit_has_not_in_a_zennit_composite(hook, rule, bias):
    layer = randomized(nn.Conv2d(3, 5, 3, padding=1, stride=2, bias=bias))
    x, r = inputs("cnn2d").requires_grad_(), drawn(4, 5, 4, 4, seed=3)
    net = nn.Sequential(layer)
    with LayerMapComposite([(nn.Conv2d, hook())]).context(net):
        got = torch.autograd.grad(net(x), x, r)[0]
    w, b = oracles.matrix(layer, (3, 8, 8))
    expected = torch.stack([rule(w, b, a.flatten(), s.flatten()).reshape(3, 8, 8) for a, s in zip(x.detach(), r, strict=True)])
    assert deviation(got, expected) < TOLERANCE


@pytest.mark.parametrize("values", [(1 << 19) - 1, (1 << 19) + 1, 600_001])
def test_the_standard_deviation_of_a_large_input_that_lies_far_from_0(values):
    net = randomized(nn.Sequential(nn.Linear(values, 2)))
    x = 50.0 + drawn(3, values, seed=1) * torch.tensor([[0.1], [1.0], [7.0]])
    got = explain(net, x, "lrp_epsilon_3_std_x", 1, as_tensor=True)
    w, b = net[0].weight.detach(), net[0].bias.detach()
    assert deviation(got, torch.stack([std_x(3.0)(w, b, a, torch.tensor([0.0, 1.0])) for a in x])) < TOLERANCE
    assert deviation(got, torch.cat([explain(net, a[None], "lrp_epsilon_3_std_x", 1, as_tensor=True) for a in x])) < TOLERANCE


@pytest.mark.parametrize("name", ["integrated_gradients_steps_5", "smoothgrad_samples_5", "vargrad_samples_5", "lrp_z", "grad_cam"])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_no_forward_pass_takes_more_than_batch_size(name, batch_size):
    net, x, seen = network("cnn2d"), inputs("cnn2d"), []
    net.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    explain(net, x, name, 1, batch_size=batch_size)
    assert 0 < max(seen) <= batch_size


REPEATED = ["integrated_gradients_steps_9", "smoothgrad_samples_9", "vargrad_samples_9"]


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("target", [1, None, lambda output: output[:, 2].square()], ids=["class", "argmax", "score"])
@pytest.mark.parametrize("points_at_once", [1, 2, 5])
@pytest.mark.parametrize(("activation", "kept"), [(nn.Sigmoid, 2), (nn.ReLU, 1)])  # a run of convolution and ReLU keeps one tensor
def test_chunks_keep_within_the_memory_for_activations_and_change_nothing(
    monkeypatch, name, samples, target, points_at_once, activation, kept
):
    net, x = randomized(nn.Sequential(nn.Conv2d(3, 4, 3), activation(), nn.Flatten(), nn.Linear(144, CLASSES))), inputs("cnn2d")[:samples]
    expected = explain(net, x, name, target, batch_size=1)
    per_row = 8 * (kept * 4 * 36 + CLASSES)  # the flattened activation is a view
    monkeypatch.setattr(activation_memory, "ACTIVATION_BYTES", points_at_once * per_row)
    rows = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            rows.extend([len(x)] * torch.is_grad_enabled())  # without: a look at the samples, or at a point alone
            return self.net(x)

    assert deviation(explain(Watched(), x, name, target), expected) < 1e-12
    with_graph = rows
    if not callable(target) and with_graph[0] > points_at_once:
        with_graph = with_graph[1:]  # the first chunk, by which memory is measured, was stopped
    assert max(with_graph) <= points_at_once
    assert sum(with_graph) == 9 * samples
