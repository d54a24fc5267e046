"""A registered analyzer class becomes a method like any other: name, parameters, multipliers, preset, options."""

import fnmatch

import numpy as np
import pytest
import torch

import oracles
from comparing import deviation
from networks import inputs, network
from signxai import explain, list_methods, parse_method, register_method
from signxai.common import MethodNameError, ModelError, OptionError, SignxaiError
from signxai.torch_signxai.methods.zennit_impl import Analyzer, GradientAnalyzer


class ScaledGradient(GradientAnalyzer):
    """The gradient times a factor, shifted: an example of a method of the user's own."""

    def __init__(self, model, factor: float = 2.0, power: int = 1, **kwargs):
        super().__init__(model, **kwargs)
        self.factor, self.power = factor, power

    def analyze(self, input_tensor, target_class=None):
        return super().analyze(input_tensor, target_class) * self.factor**self.power


class Constant:
    """The least that an analyzer must be: it takes the model and has analyze()."""

    def __init__(self, model, value: float = 1.0):
        self.value = value

    def analyze(self, input_tensor, target_class=None):
        return np.full(tuple(input_tensor.shape), self.value)


@pytest.fixture(scope="module", autouse=True)
def registered():
    register_method("scaled_gradient", ScaledGradient)
    register_method("constant", Constant)


@pytest.fixture
def net():
    return network("cnn1d")


@pytest.fixture
def x():
    return inputs("cnn1d")


def test_the_name_is_known(net, x):
    gradient = oracles.gradient(net, x, 1)
    values = x.numpy()
    cases = {
        "scaled_gradient": 2 * gradient,
        "scaled_gradient_factor_0_5": 0.5 * gradient,
        "scaled_gradient_factor_neg_3_power_3": -27 * gradient,
        "scaled_gradient_power_2_x_input": 4 * gradient * values,
        "scaled_gradient_x_sign_mu_0_5": 2 * gradient * np.where(values >= 0.5, 1.0, -1.0),
        "scaled_gradient_factor_3_MNISTCNN": 3 * gradient,
    }
    for name, expected in cases.items():
        assert deviation(explain(net, x, name, 1), expected) < 1e-12, name
        assert parse_method(str(parse_method(name))) == parse_method(name)


def test_its_parameters_are_options_too(net, x):
    expected = explain(net, x, "scaled_gradient_factor_5", 1)
    np.testing.assert_array_equal(explain(net, x, "scaled_gradient", 1, factor=5.0), expected)
    with pytest.raises(OptionError, match="factor"):
        explain(net, x, "scaled_gradient_factor_5", 1, factor=5.0)
    with pytest.raises(OptionError, match="banana"):
        explain(net, x, "scaled_gradient", 1, banana=5.0)
    with pytest.raises(MethodNameError, match="banana"):
        explain(net, x, "scaled_gradient_banana_5", 1)
    with pytest.raises(MethodNameError, match="power"):
        explain(net, x, "scaled_gradient_power_0_5", 1)


def test_any_class_with_analyze_will_do(net, x):
    np.testing.assert_array_equal(explain(net, x, "constant_value_7"), np.full(x.shape, 7.0))
    assert deviation(explain(net, x, "constant_x_input"), x.numpy()) < 1e-12
    assert isinstance(explain(net, x, "constant", as_tensor=True), torch.Tensor)


def test_it_is_listed():
    assert {"scaled_gradient", "constant"} <= set(list_methods())
    assert fnmatch.filter(list_methods("scaled*"), "scaled_gradient*")


@pytest.mark.parametrize(
    "name", ["gradient", "lrp_z", "scaled_gradient", "Scaled", "scaled gradient", "", "gradient_x_sign", "1st", "a__b"]
)
def test_a_name_that_is_taken_or_ill_formed_is_refused(name):
    with pytest.raises(SignxaiError):
        register_method(name, Constant)


@pytest.mark.parametrize("analyzer", [None, "Constant", Constant(None), int])
def test_what_is_no_analyzer_class_is_refused(analyzer):
    with pytest.raises(SignxaiError, match="analyze"):
        register_method("refused", analyzer)
    assert "refused" not in list_methods()


def test_the_model_is_no_option_of_a_registered_class():
    class Plain:
        def __init__(self, model, radius=1):
            self.model = model

        def analyze(self, input_tensor, target_class=None):
            return input_tensor

    register_method("plain_of_a_model", Plain)
    with pytest.raises(OptionError, match=r"its options are radius$"):
        explain(network("mlp"), inputs("mlp"), "plain_of_a_model", 1, bananas=2)


def test_a_handle_takes_the_method_away():
    handle = register_method("for_a_while", Constant)
    handle.remove()
    handle.remove()
    assert "for_a_while" not in list_methods()
    register_method("for_a_while", Constant).remove()


@pytest.mark.parametrize("value", ["3", True, float("nan"), 10**400])
def test_a_parameter_that_is_no_number_is_refused(net, x, value):
    with pytest.raises(OptionError, match="value"):
        explain(net, x, "constant", 1, value=value)


class Returns(Analyzer):
    """An analyzer that returns what it is told to."""

    def __init__(self, model, what, **common):
        super().__init__(model, **common)
        self.what = what

    def attribute(self, batch):
        return self.what(batch)


WRONG = {
    "nothing": (lambda batch: None, "NoneType; return a tensor"),
    "an array": (lambda batch: batch.x.numpy(), "ndarray; return a tensor"),
    "one channel": (lambda batch: batch.x[:, :1], r"shape \(\d+, 1, \d+\) for samples of shape"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_attribute_returns_is_checked(net, x, case):
    what, words = WRONG[case]
    with pytest.raises(ModelError, match=words):
        Returns(net, what).analyze(x, 1)


def test_a_map_shares_no_memory_with_the_input(net, x):
    for what in (lambda batch: batch.x, lambda batch: batch.x.flatten(1).view(batch.x.shape)):
        result = Returns(net, what).analyze(x, 1)
        np.testing.assert_array_equal(result, x.numpy())
        assert not np.shares_memory(result, x.numpy())
