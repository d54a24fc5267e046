"""Evidence on Keras models: random copies, metrics over pixels with all their channels, certificates."""

import numpy as np
import pytest
import torch

from signxai import explain
from signxai.adapters.quantus import explain_func
from signxai.common import OptionError
from signxai.evidence import Pixel, Window, certify, compare_methods, deletion
from signxai.evidence.random_models import layers_with_parameters, random_models

keras = pytest.importorskip("keras")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)
L = keras.layers


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 10, 3))
    inner = keras.Sequential([keras.Input((8, 10, 3)), L.Conv2D(4, 3, name="conv", activation="relu")], name="inner")
    x = L.Flatten()(L.BatchNormalization(name="norm")(inner(inputs)))
    return keras.Model(inputs, L.Dense(3, name="head")(x))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(2, 8, 10, 3)).astype(np.float32)


def weights(net):
    return {weight.path: weight.value.detach().clone() for weight in net.weights}


def changed(before, net):
    return {path for path, value in weights(net).items() if not torch.equal(value, before[path])}


def test_layers_with_parameters_have_their_keras_names_in_the_order_of_the_run(net, x):
    names = layers_with_parameters(net, lambda copy: copy(torch.tensor(x)))
    assert names == ["inner/conv", "norm", "head"]


def test_random_copies_have_other_weights_layer_by_layer_and_the_model_its_own(net, x):
    before = weights(net)
    outputs = net(torch.tensor(x)).detach()
    for names, (name, copy) in zip((["head"], ["head", "norm"], ["head", "norm", "conv"]), _copies(net), strict=True):
        assert name.endswith(names[-1])
        drawn = changed(before, copy)
        assert drawn
        assert {path.split("/")[-2] for path in drawn} <= set(names)
        assert not torch.equal(copy(torch.tensor(x)), outputs)
    assert not changed(before, net)


def _copies(net):
    return random_models(net, ["inner/conv", "norm", "head"], "top_down", 0)


@pytest.mark.slow
def test_a_comparison_and_a_certificate_leave_the_model_as_it_was(net, x):
    before = weights(net)
    comparison = compare_methods(net, x, ["gradient", "lrp_epsilon_0_1"], metrics=["srg", "mprt"])
    assert {*comparison.methods} == {"gradient", "lrp_epsilon_0_1", "random_uniform"}
    told = str(certify(net, x[:1], "lrp_epsilon_0_1"))
    assert "inner/conv" in told or "head" in told
    assert not changed(before, net)


@pytest.mark.parametrize("imputer", ["mean", "blur", 0.0])
def test_pixels_have_all_their_channels_without_a_word_of_the_layout(net, x, imputer):
    relevance = np.random.default_rng(1).normal(size=x.shape)
    default = deletion(net, x, relevance, 0, imputer=imputer)
    said = deletion(net, x, relevance, 0, imputer=imputer, unit=Pixel(channel_axis=-1))
    np.testing.assert_array_equal(default, said)


def test_windows_of_a_signal_run_along_its_time():
    inputs = keras.Input((12, 2))
    net = keras.Model(inputs, L.Dense(2)(L.Flatten()(L.Conv1D(3, 3)(inputs))))
    x, relevance = np.random.default_rng(0).normal(size=(2, 1, 12, 2)).astype(np.float32)
    numbers = np.repeat(np.arange(12) // 4, 2).reshape(1, 12, 2)
    by_numbers = deletion(net, x, relevance, 0, unit=numbers)
    np.testing.assert_array_equal(deletion(net, x, relevance, 0, unit=Window(4)), by_numbers)


def test_quantus_gets_maps_in_the_layout_of_the_network(net, x):
    np.testing.assert_array_equal(explain_func("grad_cam")(net, x, np.array([0, 1])), explain(net, x, "grad_cam", [0, 1]))


def test_a_box_for_channels_last_is_refused_with_the_shape_that_the_convolution_reads(net, x):
    with pytest.raises(OptionError, match=r"\(1, C, 1, 1\) for a convolution, also for one of Keras"):
        explain(net, x, "zblrp_z", 0, low=np.array([-1.0, -2.0, -3.0]), high=np.array([1.0, 2.0, 3.0]))
