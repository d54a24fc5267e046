"""Where Zennit has the rule, Zennit gives the same numbers; and the user's own Zennit composites run unchanged."""

import inspect

import numpy as np
import pytest
import torch
import zennit.composites
import zennit.rules
from torch import nn
from torchvision.models import resnet18
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite
from zennit.torchvision import ResNetCanonizer
from zennit.types import Activation, AvgPool, Convolution
from zennit.types import Linear as AnyLinear

from comparing import deviation
from networks import drawn, inputs, network, randomized
from signxai import explain
from signxai.common import OptionError
from signxai.engine import layers
from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer, rules

STABILIZER = 1e-6
PAIRS = {
    "epsilon": lambda m: m.Epsilon(epsilon=0.1),
    "epsilon small": lambda m: m.Epsilon(),
    "zplus": lambda m: m.ZPlus(stabilizer=STABILIZER),
    "alpha 1 beta 0": lambda m: m.AlphaBeta(alpha=1, beta=0, stabilizer=STABILIZER),
    "alpha 2 beta 1": lambda m: m.AlphaBeta(alpha=2, beta=1, stabilizer=STABILIZER),
    "alpha 1.5 beta 0.5": lambda m: m.AlphaBeta(alpha=1.5, beta=0.5, stabilizer=STABILIZER),
    "gamma 0.25": lambda m: m.Gamma(gamma=0.25, stabilizer=STABILIZER),
    "gamma 10": lambda m: m.Gamma(gamma=10.0, stabilizer=STABILIZER),
    "flat": lambda m: m.Flat(stabilizer=STABILIZER),
    "wsquare": lambda m: m.WSquare(stabilizer=STABILIZER),
    "epsilon, no bias": lambda m: m.Epsilon(epsilon=0.25, zero_params="bias"),
    "zplus, no bias": lambda m: m.ZPlus(stabilizer=STABILIZER, zero_params=["bias"]),
    "alpha 2 beta 1, no bias": lambda m: m.AlphaBeta(alpha=2.0, beta=1.0, stabilizer=STABILIZER, zero_params="bias"),
    "gamma, no bias": lambda m: m.Gamma(gamma=0.25, stabilizer=STABILIZER, zero_params="bias"),
    "zbox, no bias": lambda m: m.ZBox(low=-3.0, high=2.5, stabilizer=STABILIZER, zero_params="bias"),
    "wsquare, no bias": lambda m: m.WSquare(stabilizer=STABILIZER, zero_params="bias"),
    "flat, no bias": lambda m: m.Flat(stabilizer=STABILIZER, zero_params="bias"),
    "epsilon, no weight": lambda m: m.Epsilon(epsilon=0.25, zero_params="weight"),
    "wsquare, no weight": lambda m: m.WSquare(stabilizer=STABILIZER, zero_params=["weight", "bias"]),
    "zbox": lambda m: m.ZBox(low=-3.0, high=2.5, stabilizer=STABILIZER),
    "zbox of tensors": lambda m: m.ZBox(torch.tensor(-3.0), torch.tensor(2.5).reshape(1), stabilizer=STABILIZER),
}


@pytest.mark.parametrize("name", ["Epsilon", "Gamma", "ZPlus", "AlphaBeta", "WSquare", "Flat", "Pass"])
def test_a_rule_without_arguments_is_that_of_zennit(name):
    ours, theirs = (
        {parameter.name: parameter.default for parameter in inspect.signature(getattr(module, name).__init__).parameters.values()}
        for module in (rules, zennit.rules)
    )
    assert ours == theirs
    assert isinstance(getattr(rules, name)(), zennit.core.Hook)


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), True, "0.1", None])
@pytest.mark.parametrize(
    "build", [lambda v: rules.Epsilon(v), lambda v: rules.Gamma(0.25, v), lambda v: rules.AlphaBeta(2, 1, v), lambda v: rules.ZPlus(v)]
)
def test_a_stabilizer_is_a_number_of_at_least_0_or_a_function(build, value):
    with pytest.raises(OptionError, match="must be a finite number of at least 0"):
        build(value)
    assert build(zennit.core.Stabilizer(1e-6)) is not None


LAYERS = {
    "linear": lambda bias: (nn.Linear(6, 5, bias=bias), (6,)),
    "linear on a sequence": lambda bias: (nn.Linear(6, 5, bias=bias), (4, 6)),
    "conv1d": lambda bias: (nn.Conv1d(4, 6, 3, bias=bias), (4, 9)),
    "conv2d": lambda bias: (nn.Conv2d(4, 6, 3, bias=bias), (4, 6, 7)),
    "conv3d": lambda bias: (nn.Conv3d(2, 3, 2, bias=bias), (2, 4, 4, 5)),
    "padding": lambda bias: (nn.Conv2d(4, 6, 3, padding=(1, 2), bias=bias), (4, 6, 7)),
    "padding same": lambda bias: (nn.Conv2d(4, 6, 4, padding="same", bias=bias), (4, 6, 7)),
    "padding same 1d, dilated": lambda bias: (nn.Conv1d(4, 6, 2, padding="same", dilation=3, bias=bias), (4, 11)),
    "circular padding": lambda bias: (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular", bias=bias), (4, 6, 7)),
    "stride": lambda bias: (nn.Conv2d(4, 6, 3, stride=2, bias=bias), (4, 6, 8)),
    "dilation": lambda bias: (nn.Conv2d(4, 6, 2, dilation=2, bias=bias), (4, 6, 7)),
    "groups": lambda bias: (nn.Conv2d(4, 6, 3, groups=2, padding=1, bias=bias), (4, 6, 7)),
    "depthwise": lambda bias: (nn.Conv2d(4, 4, 3, groups=4, padding=1, stride=2, bias=bias), (4, 6, 7)),
    "transposed 1d": lambda bias: (nn.ConvTranspose1d(4, 3, 3, stride=2, output_padding=1, bias=bias), (4, 5)),
    "transposed 2d": lambda bias: (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2, bias=bias), (4, 4, 5)),
    "transposed 3d": lambda bias: (nn.ConvTranspose3d(2, 3, 2, bias=bias), (2, 3, 3, 2)),
}
SIGNS = {
    "mixed": lambda x: x,
    "positive": lambda x: x.abs(),
    "negative": lambda x: -x.abs(),
    "with zeros": lambda x: x.clamp(min=0),
    "zero": lambda x: 0 * x,
    "not contiguous": lambda x: x.mT.contiguous().mT if x.ndim > 2 else x.repeat(1, 2)[:, ::2][:, : x.shape[1]],
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.flip(0),
}


def relevance_through(hook, layer, x, relevance):
    """Zennit's own machinery with this hook on the single layer."""
    net = nn.Sequential(layer)
    x = x.detach().requires_grad_()
    with LayerMapComposite([((type(layer),), hook)]).context(net):
        output = net(x)
        return torch.autograd.grad(output, x, relevance(output.shape))[0]


def random_relevance(shape):
    return drawn(*shape, seed=3)


def layer_and_input(name, bias):
    layer, shape = LAYERS[name](bias)
    x = drawn(3, *shape, seed=5)
    return randomized(layer, 2), x


def assert_zennits_rule(rule, layer, x):
    """On inputs of all signs, and however they lie in memory."""
    found = {}
    for signs, change in SIGNS.items():
        expected = relevance_through(PAIRS[rule](zennit.rules), layer, change(x), random_relevance)
        found[signs] = deviation(relevance_through(PAIRS[rule](rules), layer, change(x), random_relevance), expected)
    assert {signs: by for signs, by in found.items() if not by < 1e-12} == {}


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("rule", PAIRS)
def test_a_rule_is_zennits_rule(rule, layer, bias):
    assert_zennits_rule(rule, *layer_and_input(layer, bias))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("shape", [(6,), (4, 6)], ids=["samples", "sequences"])
@pytest.mark.parametrize("rule", PAIRS)
def test_a_rule_on_a_matrix_mapped_in_blocks_is_zennits_rule(rule, shape, bias, monkeypatch):
    monkeypatch.setattr(layers, "_BLOCK", 24)  # four rows at a time, and two that are left
    assert_zennits_rule(rule, randomized(nn.Linear(6, 50, bias=bias), 2), drawn(3, *shape, seed=5))


@pytest.mark.parametrize("rule", PAIRS)
def test_a_rule_is_zennits_rule_where_an_output_is_exactly_zero(rule):
    layer, x = nn.Linear(4, 3, bias=False).double(), torch.ones(2, 4, dtype=torch.float64)
    layer.weight.data = torch.tensor([[1.0, -1, 2, -2], [1, 1, -2, 0], [3, -1, -1, -1]], dtype=torch.float64)
    assert not layer(x).any()
    expected = relevance_through(PAIRS[rule](zennit.rules), layer, x, random_relevance)
    assert deviation(relevance_through(PAIRS[rule](rules), layer, x, random_relevance), expected) < 1e-12


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("layer", LAYERS)
def test_the_method_name_wsquare_leaves_the_bias_out(layer):
    module, x = layer_and_input(layer, False)
    expected = relevance_through(zennit.rules.WSquare(stabilizer=STABILIZER), module, x, random_relevance)
    biased, _ = layer_and_input(layer, True)
    biased.weight.data.copy_(module.weight.data)
    rule = rules.WSquareWithoutBias(stabilizer=STABILIZER)
    assert deviation(relevance_through(rule, biased, x, random_relevance), expected) < 1e-12


def test_parameters_that_a_layer_does_not_have_are_refused():
    with pytest.raises(OptionError, match="'weights'"):
        rules.Epsilon(zero_params="weights")


def test_a_composite_finds_the_rules_that_it_has_registered():
    """As Zennit's own tests of its composites look for them: by the hook in front of the module."""
    net, rule = nn.Sequential(nn.Linear(4, 3)), rules.ZPlus()
    with LayerMapComposite([((nn.Linear,), rule)]).context(net):
        assert any(type(hook.__self__) is rules.ZPlus for hook in net[0]._forward_pre_hooks.values())
    assert not net[0]._forward_pre_hooks
    assert not net[0]._forward_hooks


@pytest.mark.parametrize("rule", ["alpha 2 beta 1", "gamma 0.25", "epsilon", "zplus", "flat"])
def test_a_rule_stands_next_to_zennits_own_in_a_composite(rule):
    net, x = network("cnn2d"), inputs("cnn2d")
    ours, theirs = (
        LayerMapComposite([(Activation, zennit.rules.Pass()), (Convolution, PAIRS[rule](m)), ((nn.Linear,), zennit.rules.Epsilon(0.2))])
        for m in (rules, zennit.rules)
    )
    one_hot = torch.eye(4, dtype=torch.float64)
    expected = Gradient(net, theirs)(x.clone(), one_hot)[1]
    assert deviation(Gradient(net, ours)(x.clone(), one_hot)[1], expected) < 1e-12


def everywhere(rule):
    return LayerMapComposite([(Activation, zennit.rules.Pass()), (AvgPool, zennit.rules.Norm(stabilizer=STABILIZER)), (AnyLinear, rule)])


def first(rule, below):
    base = [(Activation, zennit.rules.Pass()), (AvgPool, zennit.rules.Norm(stabilizer=STABILIZER)), (AnyLinear, below)]
    return zennit.composites.SpecialFirstLayerMapComposite(layer_map=base, first_map=[(AnyLinear, rule)])


def sequential(rule):
    base = [(Activation, zennit.rules.Pass()), (AvgPool, zennit.rules.Norm(stabilizer=STABILIZER))]
    return LayerMapComposite([*base, (Convolution, rule), ((nn.Linear,), zennit.rules.Epsilon(0.1))])


R, S = zennit.rules, {"stabilizer": STABILIZER}
VGG16_BOUNDS = torch.tensor([-123.68, 151.061], dtype=torch.float64)  # Zennit would round plain numbers to float32
COMPOSITES = {
    "lrp_epsilon_0_1": lambda: everywhere(R.Epsilon(0.1)),
    "lrp_epsilon_20": lambda: everywhere(R.Epsilon(20.0)),
    "lrp_zplus": lambda: everywhere(R.ZPlus(**S)),
    "lrp_alpha_1_beta_0": lambda: everywhere(R.AlphaBeta(1, 0, **S)),
    "lrp_alpha_2_beta_1": lambda: everywhere(R.AlphaBeta(2, 1, **S)),
    "lrp_gamma_0_25": lambda: everywhere(R.Gamma(0.25, **S)),
    "lrp_flat": lambda: everywhere(R.Flat(**S)),
    "flatlrp_epsilon_0_1": lambda: first(R.Flat(**S), R.Epsilon(0.1)),
    "flatlrp_alpha_2_beta_1": lambda: first(R.Flat(**S), R.AlphaBeta(2, 1, **S)),
    "zblrp_gamma_0_5_low_neg_4_high_3_5": lambda: first(R.ZBox(-4.0, 3.5, **S), R.Gamma(0.5, **S)),
    "zblrp_epsilon_0_1_VGG16ILSVRC": lambda: first(R.ZBox(*VGG16_BOUNDS, **S), R.Epsilon(0.1)),
    "lrp_sequential_composite_a": lambda: sequential(R.AlphaBeta(1, 0, **S)),
    "lrp_sequential_composite_b": lambda: sequential(R.AlphaBeta(2, 1, **S)),
    "lrp_epsilon_plus": zennit.composites.EpsilonPlus,
    "lrp_epsilon_plus_flat": zennit.composites.EpsilonPlusFlat,
    "lrp_epsilon_alpha2_beta1": zennit.composites.EpsilonAlpha2Beta1,
    "lrp_epsilon_alpha2_beta1_flat": zennit.composites.EpsilonAlpha2Beta1Flat,
    "lrp_epsilon_gamma_box_low_neg_4_high_4": lambda: zennit.composites.EpsilonGammaBox(low=-4.0, high=4.0),
}
CASES = [(kind, name) for kind in ("mlp", "cnn1d", "cnn2d", "cnn3d") for name in COMPOSITES]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_method_is_zennits_composite(kind, name):
    net, x = network(kind), inputs(kind)
    one_hot = torch.eye(4, dtype=torch.float64)[[0, 3, 1, 2]]
    expected = Gradient(net, COMPOSITES[name]())(x.clone(), one_hot)[1]
    assert deviation(explain(net, x, name, [0, 3, 1, 2], stabilizer=STABILIZER), expected) < 1e-12


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
def test_a_relu_method_is_zennits_composite(name):
    net, x = network("cnn2d"), inputs("cnn2d")
    composite = {"guided_backprop": zennit.composites.GuidedBackprop, "deconvnet": zennit.composites.DeconvNet}[name]()
    expected = Gradient(net, composite)(x.clone(), torch.eye(4, dtype=torch.float64))[1]
    assert deviation(explain(net, x, name, [0, 1, 2, 3]), expected) < 1e-12


class Doubled(zennit.rules.Hook):
    """A rule of the user's own."""

    def backward(self, module, grad_input, grad_output):
        return (2 * grad_input[0],)


class Named:
    """A canonizer-free composite by module name, with a rule of the user's own."""

    def __call__(self):
        return zennit.composites.NameMapComposite([(["0"], Doubled()), (["2", "4"], zennit.rules.Epsilon(0.3))])


CUSTOM = {
    "EpsilonPlus": zennit.composites.EpsilonPlus,
    "EpsilonPlusFlat": zennit.composites.EpsilonPlusFlat,
    "EpsilonAlpha2Beta1": zennit.composites.EpsilonAlpha2Beta1,
    "EpsilonGammaBox": lambda: zennit.composites.EpsilonGammaBox(low=-3.0, high=3.0),
    "ExcitationBackprop": zennit.composites.ExcitationBackprop,
    "GuidedBackprop": zennit.composites.GuidedBackprop,
    "BetaSmooth": zennit.composites.BetaSmooth,
    "own rule by name": Named(),
    "no rule at all": lambda: LayerMapComposite([]),
}


def custom(net, composite, x, target):
    return AdvancedLRPAnalyzer(net, rule_type="custom", composite=composite).analyze(x, target)


@pytest.mark.parametrize("name", CUSTOM)
@pytest.mark.parametrize("kind", ["cnn1d", "cnn2d"])
def test_a_custom_composite_gives_exactly_what_zennit_gives(kind, name):
    net, x = network(kind), inputs(kind)
    expected = Gradient(net, CUSTOM[name]())(x.clone(), torch.eye(4, dtype=torch.float64))[1]
    np.testing.assert_array_equal(custom(net, CUSTOM[name](), x, [0, 1, 2, 3]), expected.numpy())


def test_a_custom_composite_with_a_batch_norm_canonizer():
    net = randomized(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                      nn.Linear(64, 4))
    )  # fmt: skip
    x = inputs("cnn2d")

    def composite():
        return zennit.composites.EpsilonPlusFlat(canonizers=[SequentialMergeBatchNorm()])

    expected = Gradient(net, composite())(x.clone(), torch.eye(4, dtype=torch.float64))[1]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    np.testing.assert_array_equal(custom(net, composite(), x, [0, 1, 2, 3]), expected.numpy())
    assert list(net.state_dict()) == list(before)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_custom_composite_with_the_resnet_canonizer():
    net = randomized(resnet18(num_classes=4))
    x = drawn(2, 3, 48, 48, seed=0)

    def composite():
        return zennit.composites.EpsilonPlus(canonizers=[ResNetCanonizer()])

    expected = Gradient(net, composite())(x.clone(), torch.eye(4, dtype=torch.float64)[[1, 2]])[1]
    np.testing.assert_array_equal(custom(net, composite(), x, [1, 2]), expected.numpy())


def test_a_custom_composite_may_be_used_again_and_by_another_analyzer():
    net, x = network("cnn2d"), inputs("cnn2d")
    composite = zennit.composites.EpsilonPlusFlat()
    analyzer = AdvancedLRPAnalyzer(net, rule_type="custom", composite=composite)
    once = analyzer.analyze(x, 1)
    np.testing.assert_array_equal(analyzer.analyze(x, 1), once)
    np.testing.assert_array_equal(custom(network("cnn2d"), composite, x, 1), once)
    assert not composite.handles


PAIR_LIST = [(Convolution, zennit.rules.ZPlus()), (nn.Linear, zennit.rules.Epsilon(epsilon=0.1)), (Activation, zennit.rules.Pass())]


@pytest.mark.parametrize("kind", ["cnn1d", "cnn2d", "mlp"])
def test_a_dict_layer_map_is_the_list_of_its_pairs(kind):
    net, x = network(kind), inputs(kind)
    expected = Gradient(net, LayerMapComposite(PAIR_LIST))(x.clone(), torch.eye(4, dtype=torch.float64))[1]
    np.testing.assert_array_equal(custom(net, LayerMapComposite(dict(PAIR_LIST)), x, [0, 1, 2, 3]), expected.numpy())


def test_order_matters_in_a_dict_layer_map_as_it_does_in_the_list():
    net, x = network("cnn2d"), inputs("cnn2d")
    swapped = {AnyLinear: zennit.rules.Epsilon(0.1), **dict(PAIR_LIST)}
    expected = Gradient(net, LayerMapComposite(list(swapped.items())))(x.clone(), torch.eye(4, dtype=torch.float64))[1]
    np.testing.assert_array_equal(custom(net, LayerMapComposite(swapped), x, [0, 1, 2, 3]), expected.numpy())


def test_a_dict_layer_map_itself_is_not_changed():
    composite = LayerMapComposite(dict(PAIR_LIST))
    custom(network("cnn2d"), composite, inputs("cnn2d"), 1)
    assert composite.layer_map == dict(PAIR_LIST)


@pytest.mark.parametrize("inplace", [False, True])
def test_pass_is_zennits_pass(inplace):
    net = randomized(nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2)), 1)
    maps = []
    for module in (rules, zennit.rules):
        x = drawn(3, 4).requires_grad_()
        # flat shares do not vanish with the activation: a gradient in place of a pass would show
        with LayerMapComposite([((Activation,), module.Pass()), ((AnyLinear,), zennit.rules.Flat())]).context(net):
            output = net(x)
            maps.append(torch.autograd.grad(output, x, torch.ones_like(output))[0])
    assert deviation(maps[0], maps[1]) < 1e-12
