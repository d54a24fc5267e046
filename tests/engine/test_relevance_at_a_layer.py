"""Relevance read off at a module's output is that of the rest of the network on what the module gave."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import oracles
from comparing import deviation
from networks import CLASSES, SHAPES, Residual, inputs, network, randomized
from signxai import explain
from signxai.common import ModelError, OptionError
from signxai.torch_signxai.methods.zennit_impl import GradientAnalyzer, LRPAnalyzer

METHODS = ["gradient", "guided_backprop", "deconvnet", "lrp_z", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x", "lrp_alpha_1_beta_0",
           "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrp_zplus", "lrp_wsquare", "lrp_flat", "lrp_sequential_composite_a",
           "lrp_sequential_composite_b", "lrp_epsilon_plus", "lrp_epsilon_alpha2_beta1", "deep_taylor"]  # fmt: skip
INPUT_RULES = ["lrpsign_epsilon_0_1", "lrpz_gamma_0_25", "zblrp_z", "w2lrp_zplus", "flatlrp_alpha_2_beta_1"]


def activation(net: nn.Sequential, index: int, x: Tensor) -> Tensor:
    with torch.no_grad():
        return net[: index + 1](x)


def depths(kind: str, method: str) -> list[int]:
    """Where what is behind still has a linear layer, and a ReLU for methods that need one."""
    net = network(kind)
    needed = nn.ReLU if method in ("guided_backprop", "deconvnet") else oracles.LINEAR
    return [index for index in range(len(net) - 1) if any(isinstance(layer, needed) for layer in net[index + 1 :])]


CASES = [(kind, method, index) for kind in SHAPES for method in METHODS for index in depths(kind, method)]


@pytest.mark.parametrize(("kind", "method", "index"), CASES)
def test_relevance_at_a_layer_is_that_of_the_rest_of_the_network(kind, method, index):
    net, x = network(kind), inputs(kind)
    a = activation(net, index, x)
    expected = explain(net[index + 1 :], a, method, [0, 1, 2, 3])
    assert np.abs(expected).max() > 0
    got = explain(net, x, method, [0, 1, 2, 3], at=str(index))
    assert got.shape == tuple(a.shape)
    assert deviation(got, expected) < 1e-12


@pytest.mark.parametrize("method", INPUT_RULES)
@pytest.mark.parametrize("index", [0, 3, 5])
def test_an_input_rule_stays_at_the_input(index, method):
    net, x = network("cnn2d"), inputs("cnn2d")
    hidden = "lrp_" + method.partition("_")[2]
    expected = explain(net[index + 1 :], activation(net, index, x), hidden, 1)
    assert deviation(explain(net, x, method, 1, at=str(index)), expected) < 1e-12


@pytest.mark.parametrize("relevance", ["one_hot", "logit"])
@pytest.mark.parametrize("target", [None, 2, lambda output: output[:, 0] - output[:, 1]])
def test_targets_and_starts_count_as_without_a_layer(target, relevance):
    net, x = network("cnn2d"), inputs("cnn2d")
    expected = explain(net[4:], activation(net, 3, x), "lrp_gamma_0_25", target, relevance=relevance)
    assert deviation(explain(net, x, "lrp_gamma_0_25", target, at="3", relevance=relevance), expected) < 1e-12


def in_place(net: nn.Sequential) -> nn.Sequential:
    for layer in net:
        if isinstance(layer, nn.ReLU):
            layer.inplace = True
    return net


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("index", range(6))
def test_what_is_done_in_place_behind_the_layer_does_not_matter(index, method):
    x = inputs("cnn2d")
    expected = explain(network("cnn2d"), x, method, 1, at=str(index))
    assert deviation(explain(in_place(network("cnn2d")), x, method, 1, at=str(index)), expected) < 1e-12


class TwoSteps(nn.Module):
    """A ReLU and a convolution that are executed twice, in a part of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(256, CLASSES)
        self.part = nn.ModuleDict({"conv": nn.Conv2d(4, 4, 3, padding=1), "relu": nn.ReLU()})

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(2):
            x = self.part["relu"](self.part["conv"](x))
        return self.fc(x.flatten(1))


@pytest.mark.parametrize("method", METHODS)
def test_each_execution_of_a_module_is_a_place_of_its_own(method):
    net, x = randomized(TwoSteps()), inputs("cnn2d")
    conv, relu = net.part["conv"], net.part["relu"]
    flat = nn.Sequential(net.first, conv, relu, conv, nn.ReLU(), nn.Flatten(), net.fc)
    for at, index in (("part.conv[0]", 1), ("part.relu[0]", 2), ("part.conv[1]", 3), ("part.relu[1]", 4)):
        if at == "part.relu[1]" and method in ("guided_backprop", "deconvnet"):
            continue  # without a ReLU behind it, the rest of the network is no network for these
        expected = explain(flat[index + 1 :], activation(flat, index, x), method, 1)
        assert deviation(explain(net, x, method, 1, at=at), expected) < 1e-12
    assert deviation(explain(net, x, method, 1, at="first[0]"), explain(net, x, method, 1, at="first")) == 0


def test_a_module_executed_twice_must_be_told_apart():
    net, x = randomized(TwoSteps()), inputs("cnn2d")
    with pytest.raises(OptionError, match=r"executed 2 times.*'part\.relu\[0\]'.*'part\.relu\[1\]'"):
        explain(net, x, "lrp_z", 1, at="part.relu")
    with pytest.raises(OptionError, match="executed 2 times"):
        explain(net, x, "lrp_z", 1, at="part.relu[2]")


@pytest.mark.parametrize("at", ["features", "99", "fc.weight", "0[", "relu[0]", "[0]x"])
def test_an_unknown_module_is_refused(at):
    with pytest.raises(OptionError, match="no module"):
        explain(network("cnn2d"), inputs("cnn2d"), "lrp_z", 1, at=at)


@pytest.mark.parametrize("at", [3, True, {"0": 1}, nn.ReLU()])
def test_what_is_no_name_is_refused(at):
    with pytest.raises(OptionError, match=r"at=|not a module"):
        explain(network("cnn2d"), inputs("cnn2d"), "lrp_z", 1, at=at)


def test_a_module_that_is_not_executed_is_refused():
    net = network("cnn2d")
    net.register_module("idle", nn.ReLU())
    net.forward = lambda x: nn.Sequential(*list(net)[:-1])(x)
    with pytest.raises(ModelError, match="not executed"):
        explain(net, inputs("cnn2d"), "lrp_z", 1, at="idle")


def test_a_module_that_the_prediction_does_not_depend_on_is_refused():
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.aside = nn.Linear(12, CLASSES), nn.Linear(12, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x)
            return self.fc(x)

    with pytest.raises(ModelError, match="does not depend"):
        explain(randomized(Aside()), inputs("linear"), "lrp_z", 1, at="aside")


@pytest.mark.parametrize("method", ["lrp_z", "lrp_gamma_0_25"])
def test_a_convolution_that_is_one_layer_with_its_batch_norm_is_refused_and_its_norm_is_not(method):
    net, x = randomized(Residual()), inputs("cnn2d")
    with pytest.raises(ModelError, match=r"'conv1'.*batch norm"):
        explain(net, x, method, 1, at="conv1")
    assert explain(net, x, method, 1, at="bn1").shape == (4, 6, 8, 8)
    assert explain(net, x, "gradient", 1, at="conv1").shape == (4, 6, 8, 8)


@pytest.mark.parametrize(
    "method",
    ["grad_cam", "guided_grad_cam", "random_uniform", "grad_cam_timeseries"],
)
def test_methods_without_relevance_at_a_layer_take_none(method):
    with pytest.raises(OptionError):
        explain(network("cnn2d"), inputs("cnn2d"), method, 1, at="0")


@pytest.mark.parametrize("method", ["lrp_z_x_input", "gradient_x_sign", "gradient_x_sign_mu_0_5", "lrpsign_epsilon_0_1_x_input"])
def test_multipliers_by_the_input_do_not_go_with_a_layer(method):
    with pytest.raises(OptionError, match="multiplies"):
        explain(network("cnn2d"), inputs("cnn2d"), method, 1, at="0")


def test_the_gradient_times_the_input_does_not_go_with_a_layer():
    with pytest.raises(OptionError):
        explain(network("cnn2d"), inputs("cnn2d"), "input_t_gradient", 1, at="0")


@pytest.mark.parametrize("method", [*METHODS, *INPUT_RULES])
@pytest.mark.parametrize("at", ["conv2", "act[0]", "fc"])
def test_batches_of_one_equal_the_whole(at, method):
    net, x = randomized(Residual(norm=False)), inputs("cnn2d")
    whole = explain(net, x, method, [0, 1, 2, 3], at=at)
    for batch_size in (1, 3):
        assert deviation(explain(net, x, method, [0, 1, 2, 3], at=at, batch_size=batch_size), whole) < 1e-12


CONSERVING = ["lrp_z", "lrp_alpha_1_beta_0", "lrp_gamma_0_25", "lrpz_gamma_10", "w2lrp_z"]


@pytest.mark.parametrize("method", CONSERVING)
@pytest.mark.parametrize("kind", SHAPES)
def test_without_biases_relevance_sums_to_one_at_every_layer(kind, method):
    net, x = network(kind, bias=False), inputs(kind)
    for index in range(len(net)):
        r = explain(net, x, method, 1, at=str(index))
        np.testing.assert_allclose(r.reshape(len(x), -1).sum(1), np.ones(len(x)), rtol=1e-9)


def test_the_output_layer_has_what_relevance_starts_with():
    net, x = network("mlp"), inputs("mlp")
    expected = np.eye(CLASSES)[[3, 1, 0, 2]]
    assert (explain(net, x, "lrp_epsilon_0_1", [3, 1, 0, 2], at="5") == expected).all()
    with torch.no_grad():
        logits = net(x).numpy()
    assert deviation(explain(net, x, "gradient", [3, 1, 0, 2], at="5", relevance="logit"), expected * logits) < 1e-15


class Branches(nn.Module):
    """Two branches whose relevance at their outputs is that at their sum, without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Linear(12, 6), nn.Linear(12, 6), nn.Linear(6, CLASSES, bias=False)
        self.sum = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.sum(self.a(x) + self.b(x))))


@pytest.mark.parametrize("method", ["lrp_z", "lrp_epsilon_0_1", "lrp_gamma_0_25"])
def test_branches_share_the_relevance_at_their_sum(method):
    net, x = randomized(Branches()), inputs("linear")
    with torch.no_grad():
        a, b = net.a(x).numpy(), net.b(x).numpy()
    whole = explain(net, x, method, 1, at="sum")
    assert deviation(explain(net, x, method, 1, at="a"), whole * a / (a + b)) < 1e-12
    assert deviation(explain(net, x, method, 1, at="b"), whole * b / (a + b)) < 1e-12


def test_a_module_of_several_outputs_gives_its_first():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc = nn.LSTM(5, 6, batch_first=True), nn.Linear(24, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.rnn(x)[0].flatten(1))

    net, x = randomized(Recurrent()), inputs("mlp")
    with torch.no_grad():
        outputs = net.rnn(x)[0]
    expected = explain(net.fc, outputs.flatten(1), "lrp_epsilon_0_1", 1).reshape(outputs.shape)
    assert deviation(explain(net, x, "lrp_epsilon_0_1", 1, at="rnn"), expected) < 1e-12


@pytest.mark.parametrize("analyzer", [GradientAnalyzer, LRPAnalyzer])
def test_analyzers_take_a_layer_too_and_give_tensors_on_demand(analyzer):
    net, x = network("cnn2d"), inputs("cnn2d")
    r = analyzer(net, at="4", as_tensor=True).analyze(x, 1)
    assert isinstance(r, Tensor)
    assert r.shape == (4, 6, 3, 3)
    assert not r.requires_grad


def test_a_data_parallel_model_has_the_names_of_the_model_inside():
    net, x = network("cnn2d"), inputs("cnn2d")
    assert deviation(explain(nn.DataParallel(net), x, "lrp_z", 1, at="2"), explain(net, x, "lrp_z", 1, at="2")) == 0
