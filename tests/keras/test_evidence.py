"""Evidence on Keras models: random copies, metrics over pixels with all their channels, certificates."""

import numpy as np
import pytest
import torch

from signxai.evidence import Pixel, certify, compare_methods, deletion
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
