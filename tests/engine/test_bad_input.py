"""Every mistake raises its own class with a message that names it, and costs nothing."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from networks import CLASSES, Written, inputs, network, randomized
from refusals import raises
from signxai import explain
from signxai.common import (
    ForwardError,
    InputError,
    MethodNameError,
    ModelError,
    OptionError,
    SignxaiError,
    TargetError,
)
from signxai.torch_signxai import calculate_relevancemap
from signxai.torch_signxai.methods.zennit_impl import (
    AdvancedLRPAnalyzer,
    DeconvNetAnalyzer,
    GradCAMAnalyzer,
    GuidedBackpropAnalyzer,
    IntegratedGradientsAnalyzer,
    LRPAnalyzer,
    LRPSequential,
    SmoothGradAnalyzer,
)


def test_each_class_is_also_what_python_would_raise():
    assert issubclass(MethodNameError, (SignxaiError,))
    for error in (MethodNameError, TargetError, InputError, ModelError, OptionError):
        assert issubclass(error, SignxaiError)
        assert issubclass(error, (ValueError, TypeError))
    assert issubclass(ForwardError, ModelError)


NAMES = {
    "lrp_banana_7": ["banana", "lrp_"],
    "gradient_typo": ["typo", "gradient"],
    "lrp_epsilon_-1": ["-1", "lrp_epsilon"],
    "lrp_epsilon_neg_1": ["neg_1|-1", "epsilon"],
    "": [],
    "lrp": ["lrp_"],
    "lrp_epsilon": ["epsilon"],
    "lrp_alpha_2_beta_0": ["alpha", "beta", "1"],
    "smoothgrad_samples_0": ["samples"],
    "smoothgrad_steps_7": ["steps"],
    "gradient_mu_0_5": ["mu"],
    "integrated_gradients_steps_5_steps_6": ["steps"],
    "Gradient": ["Gradient", "gradient"],
    "gradient ": ["gradient"],
    "grad_cam_VGG19": ["VGG19"],
    "lrp_epsilon_0_1_x_banana": ["banana"],
    "zblrp_z_low_2_high_1": ["low", "high"],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_the_grammar_does_not_know(net, x, name):
    with raises(MethodNameError, *NAMES[name]):
        explain(net, x, name)


@pytest.mark.parametrize("name", [None, 3, b"gradient", ["gradient"]])
def test_a_name_that_is_no_text(net, x, name):
    with raises(MethodNameError, re.escape(type(name).__name__)):
        explain(net, x, name)


OPTIONS = [
    ("gradient", {"epsilon": 0.1}, ["epsilon", "gradient"]),
    ("gradient", {"bananas": 1}, ["bananas"]),
    ("lrp_z", {"batchsize": 2}, ["batchsize", "batch_size"]),
    ("lrp_epsilon_0_1", {"epsilon": 0.2}, ["epsilon", "lrp_epsilon_0_1"]),
    ("lrp_epsilon_0_1", {"epsilon": 0.1}, ["epsilon"]),
    ("lrpsign_epsilon_0_1_mu_0_5", {"mu": 0.1}, ["mu"]),
    ("gradient_x_sign_mu_0_5", {"mu": 0.5}, ["mu"]),
    ("integrated_gradients_steps_10", {"steps": 10}, ["steps"]),
    ("smoothgrad_noise_0_1", {"noise_level": 0.1}, ["noise"]),
    ("zblrp_z_low_0", {"low": 0.0}, ["low"]),
    ("gradient_x_sign_mu", {}, ["mu"]),
    ("integrated_gradients", {"steps": 0}, ["steps", "0"]),
    ("integrated_gradients", {"steps": -3}, ["steps", "-3"]),
    ("integrated_gradients", {"steps": 2.5}, ["steps", "2.5"]),
    ("integrated_gradients", {"steps": "10"}, ["steps", "10"]),
    ("smoothgrad", {"num_samples": 0}, ["samples"]),
    ("smoothgrad", {"noise_level": -0.1}, ["noise", "-0.1"]),
    ("smoothgrad", {"noise_level": float("nan")}, ["noise", "nan"]),
    ("smoothgrad", {"seed": 1.5}, ["seed", "1.5"]),
    ("smoothgrad", {"seed": -1}, ["seed", "-1"]),
    ("smoothgrad", {"seed": 2**70}, ["seed", str(2**70)]),
    ("lrpsign_z", {"mu": float("inf")}, ["mu", "inf"]),
    ("lrpsign_z", {"mu": "0.5"}, ["mu", "0.5"]),
    ("zblrp_z", {"low": 2.0, "high": 1.0}, ["low", "high"]),
    ("lrp_z", {"relevance": "logits"}, ["relevance", "logits", "one_hot"]),
    ("lrp_z", {"batch_size": 0}, ["batch_size", "0"]),
    ("lrp_z", {"batch_size": -1}, ["batch_size", "-1"]),
    ("lrp_z", {"batch_size": 1.5}, ["batch_size", "1.5"]),
    ("lrp_z", {"stabilizer": -1.0}, ["stabilizer", "-1"]),
    ("grad_cam", {"layer": "features.9"}, ["features.9"]),
    ("grad_cam", {"layer": 3}, ["layer", "3"]),
    ("integrated_gradients", {"baseline": torch.zeros(5, 8, 8)}, ["baseline", "5, 8, 8"]),
    ("integrated_gradients", {"baseline": float("nan")}, ["baseline", "nan"]),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(OPTIONS)))
def test_an_option_that_is_unknown_or_given_twice_or_not_allowed(net, x, index):
    name, options, words = OPTIONS[index]
    # a layer that the model does not have may be counted as the option's fault or as the model's
    error = (OptionError, ModelError) if "layer" in options else OptionError
    with raises(error, *map(re.escape, words)):
        explain(net, x, name, 1, **options)


TARGETS = [
    (CLASSES, ["4"]),
    (-1, ["-1"]),
    (1000, ["1000", "4"]),
    (2.7, ["2.7"]),
    (2.0, ["2.0"]),
    ("2", ["'2'|\"2\""]),
    (True, ["True"]),
    ([0, 1], ["2", "4"]),
    ([0, 1, 2, 3, 0], ["5", "4"]),
    ([0, 1, 2, 4], ["4"]),
    ([0, 1, 2.5, 3], ["2.5|float"]),
    ([0, 1, True, 3], ["True|bool"]),
    ([0, 1, np.True_, 3], ["True|bool"]),
    ([[0, 1], [1, 0], [2, 0], [3, 0]], []),
    (np.array([0.0, 1.0, 2.0, 3.0]), ["float"]),
    (np.array([True] * 4), ["bool"]),
    (torch.tensor([0.5] * 4), ["float"]),
    (torch.tensor([0, 1, 2, 9]), ["9"]),
    (torch.tensor([1, 2]), ["2", "4"]),
    ((1, 0), ["(1, 0)|axis|axes|index"]),
    ({"class": 1}, ["dict"]),
    (object(), ["object"]),
    (float("nan"), ["nan"]),
    (lambda output: output.sum(), ["callable|returned|shape"]),
    (lambda output: output, ["callable|returned|shape"]),
    (lambda output: "cat", ["callable|returned|str"]),
    (lambda output: torch.tensor([0, 1, 2, 4]), ["4"]),
    (lambda output: output[:, 1] * float("nan"), ["nan|finite"]),
]


@pytest.mark.parametrize("index", range(len(TARGETS)))
def test_a_target_out_of_range_of_the_wrong_length_or_no_integer(net, x, index):
    target, words = TARGETS[index]
    with raises(TargetError, *words):
        explain(net, x, "lrp_z", target)


def test_target_1000_of_1000_says_how_many_there_are():
    net = randomized(nn.Sequential(nn.Flatten(), nn.Linear(192, 1000)))
    with raises(TargetError, "1000", "999|1000 classes"):
        explain(net, inputs("cnn2d"), "gradient", 1000)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_25_std_x", "random_uniform", "grad_cam"])
def test_nan_or_infinity_in_the_input(net, x, name, number):
    bad = x.clone()
    bad[1, 0, 0, 0] = number
    with raises(InputError, "nan|inf|finite"):
        explain(net, bad, name, 1)


INPUTS = [
    (lambda x: x[0], InputError, ["batch"]),
    (lambda x: x[:0], InputError, ["empty|0"]),
    (lambda x: x[:, :2], (InputError, ModelError), ["2, 8, 8"]),
    (lambda x: x[:, :, :1, :1], (InputError, ModelError), ["1, 1"]),
    (lambda x: x[0, 0, 0, 0], InputError, ["batch"]),
    (lambda x: "photo.jpg", InputError, ["str"]),
    (lambda x: None, InputError, ["None"]),
    (lambda x: x.to(torch.complex128), InputError, ["complex"]),
    (lambda x: x.numpy().astype(complex), InputError, ["complex"]),
    (lambda x: x.numpy().astype(object), InputError, ["object"]),
    (lambda x: np.array(["a", "b"]), InputError, ["str|<U1|text"]),
]


@pytest.mark.parametrize("index", range(len(INPUTS)))
def test_an_input_of_the_wrong_shape_or_type(net, x, index):
    make, error, words = INPUTS[index]
    with raises(error, *words):
        explain(net, make(x), "gradient", 1)


@pytest.mark.parametrize("kind", ["cnn1d", "cnn2d", "cnn3d"])
@pytest.mark.parametrize("name", ["gradient", "lrp_z", "grad_cam", "random_uniform"])
def test_no_batch_axis(kind, name):
    with raises(InputError, "batch", r"unsqueeze|\[None\]|x\[None"):
        explain(network(kind), inputs(kind)[0], name, 1)


class Explodes(nn.Module):
    """A network whose logits are not finite."""

    def __init__(self, number):
        super().__init__()
        self.fc, self.number = nn.Linear(12, CLASSES), number

    def forward(self, x):
        return self.fc(x) * self.number


@pytest.mark.parametrize("name", ["gradient", "lrp_z", "integrated_gradients"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_or_infinity_in_the_logits(number, name):
    with raises(ModelError, "nan|inf|finite", "logit|output"):
        explain(randomized(Explodes(number)), inputs("linear"), name, 1)


class NotATensor(nn.Module):
    """A network that returns text."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x):
        self.fc(x)
        return "cat"


MODELS = [
    (lambda: lambda x: x, ["function|module"]),
    (lambda: None, ["None"]),
    (lambda: network("linear").state_dict(), ["dict"]),
    (lambda: network("linear").to(torch.complex128), ["complex|float"]),
    (lambda: randomized(NotATensor()), ["str|tensor"]),
    (lambda: nn.Sequential(nn.Linear(12, 4).double(), nn.Flatten(0)), ["shape|16"]),
]


@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("index", range(len(MODELS)))
def test_a_model_that_cannot_be_explained(index):
    make, words = MODELS[index]
    with raises(ModelError, *words):
        explain(make(), inputs("linear"), "lrp_z", 1)


class Integers(nn.Module):
    """A network of integer weights."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(12, 4, dtype=torch.int64), requires_grad=False)

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize("name", ["gradient", "lrp_z", "smoothgrad"])
def test_a_model_that_is_not_floating(name):
    with raises(ModelError, "int64|float"):
        explain(Integers(), torch.ones(2, 12), name, 1)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", ["gradient", "lrp_z", "grad_cam", "guided_backprop"])
@pytest.mark.parametrize("compiler", [lambda net: torch.jit.script(net), lambda net: torch.jit.trace(net, inputs("cnn2d"))])
def test_a_torchscript_model(net, x, compiler, name):
    with raises(ModelError, "TorchScript"):
        explain(compiler(net), x, name, 1)


class Fails(nn.Module):
    """A network whose forward raises."""

    def __init__(self, error):
        super().__init__()
        self.fc, self.error = nn.Linear(12, CLASSES), error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("shapes 3 and 4"), ValueError("oh"), KeyError("key"), TypeError("two arguments")])
@pytest.mark.parametrize("name", ["gradient", "lrp_z", "grad_cam", "guided_backprop", "smoothgrad"])
def test_a_forward_that_fails_keeps_its_error_as_the_cause(name, error):
    with raises(ForwardError, re.escape(str(error)), "4, 12") as caught:
        explain(Fails(error).double(), inputs("linear"), name, 1)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_what_is_no_error_is_not_caught(error):
    with pytest.raises(type(error)):
        explain(Fails(error).double(), inputs("linear"), "lrp_z", 1)


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet", "guided_backprop_x_sign"])
def test_guided_backprop_and_deconvnet_without_a_relu(name):
    with raises(ModelError, "ReLU"):
        explain(network("cnn2d", activation=nn.GELU), inputs("cnn2d"), name, 1)


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_timeseries", "guided_grad_cam", "grad_cam_VGG16ILSVRC"])
def test_a_cam_without_a_convolution(name):
    with raises(ModelError, "convolution"):
        explain(network("mlp"), inputs("mlp"), name, 1)


ANALYZERS = [
    (LRPAnalyzer, {"rule": "banana"}, ["banana", "epsilon"]),
    (LRPAnalyzer, {"epsilon": -1.0}, ["epsilon"]),
    (LRPAnalyzer, {"rule": "alphabeta", "alpha": 2, "beta": 0}, ["alpha", "beta"]),
    (AdvancedLRPAnalyzer, {"rule_type": "banana"}, ["banana", "zbox"]),
    (AdvancedLRPAnalyzer, {"rule_type": "custom"}, ["composite"]),
    (AdvancedLRPAnalyzer, {"rule_type": "custom", "composite": "EpsilonPlus"}, ["composite", "str|EpsilonPlus"]),
    (AdvancedLRPAnalyzer, {"rule_type": "zbox", "low": 1.0, "high": 0.0}, ["low", "high"]),
    (AdvancedLRPAnalyzer, {"rule_type": "gamma", "banana": 1}, ["banana"]),
    (AdvancedLRPAnalyzer, {"rule_type": "gamma", "low": 1.0}, ["low"]),
    (AdvancedLRPAnalyzer, {"rule_type": "sign", "hidden_rule": "banana"}, ["banana"]),
    (LRPSequential, {"first_layer_rule": "banana"}, ["banana"]),
    (LRPSequential, {"middle_layer_rule": "banana"}, ["banana"]),
    (LRPSequential, {"last_layer_rule": "banana"}, ["banana"]),
    (SmoothGradAnalyzer, {"num_samples": 0}, ["num_samples"]),
    (IntegratedGradientsAnalyzer, {"steps": 0}, ["steps"]),
    (GradCAMAnalyzer, {"target_layer": nn.Conv2d(1, 1, 1)}, ["layer"]),
]


@pytest.mark.parametrize("index", range(len(ANALYZERS)))
def test_an_analyzer_refuses_what_it_does_not_know(net, x, index):
    analyzer, arguments, words = ANALYZERS[index]
    with raises((OptionError, ModelError), *words):
        analyzer(net, **arguments).analyze(x, 1)


@pytest.mark.parametrize("analyzer", [GuidedBackpropAnalyzer, DeconvNetAnalyzer])
def test_an_analyzer_without_a_relu(analyzer):
    with raises(ModelError, "ReLU"):
        analyzer(network("cnn2d", activation=nn.Tanh)).analyze(inputs("cnn2d"))


def test_calculate_relevancemap_refuses_the_same(net, x):
    with raises(MethodNameError, "banana"):
        calculate_relevancemap("lrp_banana_7", x[0], net)
    with raises(TargetError, "4"):
        calculate_relevancemap("lrp_z", x[0], net, neuron_selection=4)
    with raises(InputError, "nan|finite"):
        calculate_relevancemap("lrp_z", x[0] * float("nan"), net)
    with raises(OptionError, "banana"):
        calculate_relevancemap("lrp_z", x[0], net, banana=1)


# --- models that are unwrapped instead of refused


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "guided_backprop", "grad_cam", "lrpsign_z"])
@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda net: nn.DataParallel(torch.compile(net))])
def test_data_parallel_and_compiled_models_are_unwrapped(net, x, wrap, name):
    assert deviation(explain(wrap(net), x, name, 1), explain(net, x, name, 1)) == 0


def test_a_module_compiled_in_place_is_explained_by_its_own_forward(x):
    net = network("cnn2d")
    expected = explain(net, x, "lrp_z", 1)
    net.compile()
    assert deviation(explain(net, x, "lrp_z", 1), expected) == 0


@pytest.mark.parametrize("method", ["gradient", "lrp_z", "guided_backprop", "integrated_gradients"])
def test_a_batch_norm_that_mixes_samples_is_refused(method):
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(ModelError, match="track_running_stats=True"):
        explain(net, torch.randn(4, 4), method, 1)


GLOBAL_NORM = nn.BatchNorm1d(3)


class Kept:
    def __init__(self, norm):
        self.norm = norm


@pytest.mark.parametrize("kept", ["list", "dict", "object", "closure", "global"])
@pytest.mark.parametrize("method", ["gradient", "lrp_z", "guided_backprop", "integrated_gradients"])
def test_a_batch_norm_that_eval_does_not_reach_is_said_to_be_in_training_mode(method, kept):
    norm = nn.BatchNorm1d(3)
    find = {
        "list": lambda m: m.kept[0],
        "dict": lambda m: m.kept["norm"],
        "object": lambda m: m.kept.norm,
        "closure": lambda m: norm,
        "global": lambda m: GLOBAL_NORM,
    }[kept]
    net = Written(lambda m, x: m["last"](find(m)(m["first"](x))), first=nn.Linear(4, 3), last=nn.Linear(3, 2)).eval()
    object.__setattr__(net.layers, "kept", {"list": [norm], "dict": {"norm": norm}}.get(kept, Kept(norm)))
    with pytest.raises(ModelError, match=r"batch norm in training mode.*nn\.ModuleList.*call \.eval\(\) on it"):
        explain(net, torch.randn(4, 4), method, 1)


@pytest.mark.filterwarnings("ignore")  # of torch, about quantization
def test_a_quantized_layer_is_named():
    net = nn.Sequential(nn.Linear(4, 3), torch.ao.nn.quantized.Linear(3, 2))
    with pytest.raises(ModelError, match="Linear is a quantized layer"):
        explain(net, torch.randn(4, 4), "gradient", 1)
