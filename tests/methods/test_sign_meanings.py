"""What is said of the signs of maps holds on networks where it can be tried: by raising a value, or by taking it away."""

import numpy as np
import pytest
import torch

import signxai
import signxai.methods.gradients
from signxai.methods.sign_meanings import _OF_METHODS, Numbers, numbers_of
from signxai.methods.turned_signs import keeps_behind_convolution, turns_signs
from signxai.names import catalog
from signxai.names.catalog import Method, Option, Rule, registered

X = torch.tensor([[0.7, -0.4, 0.9, -0.8], [-0.6, 0.3, -0.5, 0.2]], dtype=torch.float64)
SLOPES = ["gradient", "smoothgrad", "guided_backprop", "deconvnet", "gradient_x_input_x_sign", "gradient_x_sign_x_sign"]
SHARES = [
    "gradient_x_input",
    "gradient_x_sign",
    "smoothgrad_x_input",
    "guided_backprop_x_sign",
    "gradient_x_sign_x_sign_x_input",
    "input_t_gradient",
    "integrated_gradients",
    "deep_taylor",
    "lrp_z",
    "lrp_epsilon_0_1",
    "lrpsign_z",
    "lrp_z_x_sign_x_sign",
]


def network(bias=0.0):
    """Linear where it is looked at: the ReLU behind it lets everything through."""
    first, last = torch.nn.Linear(4, 3), torch.nn.Linear(3, 1)
    with torch.no_grad():
        first.weight[:] = torch.tensor([[0.5, 0.4, -0.6, -0.3], [0.4, 0.3, -0.5, -0.2], [0.6, 0.2, -0.4, -0.5]])
        first.bias[:] = 20.0
        last.weight[:] = torch.tensor([[1.0, 2.0, 0.5]])
        last.bias[:] = bias
    return torch.nn.Sequential(first, torch.nn.ReLU(), last).double()


def rises(net, changed):
    """The sign by which the score rises when each value in turn is changed."""
    result = np.zeros(X.shape)
    with torch.no_grad():
        for row, column in np.ndindex(*X.shape):
            other = X[row : row + 1].clone()
            other[0, column] = changed(other[0, column])
            result[row, column] = np.sign(float(net(other) - net(X[row : row + 1])))
    return result


@pytest.mark.parametrize("method", SLOPES)
def test_slopes_are_positive_where_a_larger_value_raises_the_score(method):
    net = network()
    assert numbers_of(method) in (Numbers.SLOPE, Numbers.CUT_SLOPE)
    np.testing.assert_array_equal(np.sign(signxai.explain(net, X, method, 0)), rises(net, lambda value: value + 0.01))


@pytest.mark.parametrize("method", SHARES)
def test_shares_are_positive_where_the_score_falls_without_the_value(method):
    net = network()
    assert numbers_of(method) is Numbers.SHARE
    np.testing.assert_array_equal(np.sign(signxai.explain(net, X, method, 0)), -rises(net, torch.zeros_like))


@pytest.mark.parametrize("method", ["lrp_z_x_sign", "integrated_gradients_x_sign", "vargrad_x_input", "gradient_x_sign_mu_0_5_x_sign"])
def test_products_have_no_sides(method):
    assert numbers_of(method) is Numbers.PRODUCT


def test_variances_are_never_negative_and_never_turned():
    net, x = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).double(), 3 * X
    with torch.no_grad():
        net[2].bias[:] = -50.0
    assert (net(x) < 0).all()
    assert numbers_of("vargrad") is Numbers.VARIANCE
    for relevance in ("one_hot", "logit"):
        assert signxai.explain(net, x, "vargrad", 0, relevance=relevance).min() >= 0
        assert not turns_signs("vargrad", relevance)


def test_every_method_of_the_catalog_has_a_decision():
    assert set(_OF_METHODS) == set(catalog.current().methods)
    assert not [name for name in signxai.list_methods() if numbers_of(name) is None]


def test_of_what_is_registered_from_outside_and_of_other_titles_nothing_is_known():
    class Mine(signxai.methods.gradients.GradientAnalyzer):
        pass

    handle = signxai.register_method("my_slope", Mine)
    try:
        assert numbers_of("my_slope") is None
        assert numbers_of("my_slope_x_input") is None
    finally:
        handle.remove()
    assert numbers_of("my_slope") is numbers_of("a title") is numbers_of("") is None


@pytest.mark.parametrize("multiplier", ["", "_x_input", "_x_sign"])
@pytest.mark.parametrize("name", ["deep_taylor", "lrp_epsilon_0_1", "lrp_z", "gradient", "input_t_gradient", "integrated_gradients"])
def test_signs_that_are_said_to_be_turned_are(name, multiplier):
    """Of a linear layer on values above 0, whose logit is below 0: what its weight raises speaks for it."""
    net, x = torch.nn.Linear(3, 1, bias=False).double(), torch.tensor([[2.0, 1.0, 0.5]], dtype=torch.float64)
    net.weight.data = torch.tensor([[-3.0, 2.0, -1.0]], dtype=torch.float64)
    for relevance in ("one_hot", "logit"):
        found = signxai.explain(net, x, name + multiplier, 0, relevance=relevance)
        is_right = (np.sign(found) == [[-1, 1, -1]]).all()
        assert is_right or (np.sign(found) == [[1, -1, 1]]).all()
        assert is_right != turns_signs(name + multiplier, relevance)


def test_of_what_was_registered_from_outside_no_signs_are_said_to_be_turned():
    rule = Rule("halved", "my_package.Halved", meaning="halved", spelling="halved")
    method = Method("occluded", "my_package.Occlusion", meaning="what is lost", options=(Option("relevance"),))
    with registered(rule, method):
        assert [turns_signs(name, start) for name in ("lrp_halved", "occluded") for start in ("one_hot", "logit")] == [False] * 4


@pytest.mark.parametrize("name", ["lrp_epsilon_plus", "lrp_sequential_composite_b"])
def test_a_composite_turns_signs_behind_a_fully_connected_layer_alone(name):
    """The logit of -6 w.r.t. values above 0: what the middle weight raises speaks for it."""
    weight = torch.tensor([[-3.0, 2.0, -1.0]], dtype=torch.float64)
    linear, convolution = torch.nn.Linear(3, 1, bias=False).double(), torch.nn.Conv1d(1, 1, 3, bias=False).double()
    linear.weight.data, convolution.weight.data = weight, weight[None]
    x = torch.tensor([[2.0, 1.0, 0.5]], dtype=torch.float64)
    assert signxai.explain(linear, x, name, 0)[0, 1] < 0
    assert signxai.explain(torch.nn.Sequential(convolution, torch.nn.Flatten()), x[None], name, 0)[0, 0, 1] > 0
    assert turns_signs(name, "one_hot")
    assert keeps_behind_convolution(name)
