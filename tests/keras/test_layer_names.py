"""Layers of Keras models by their Keras names: in reports, and as at= and layer= take them."""

import re

import numpy as np
import pytest
import torch

from signxai import explain, inspect_model
from signxai.common import OptionError

keras = pytest.importorskip("keras")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)
L = keras.layers


def block(size, name=None):
    conv = L.Conv2D(3, 3, padding="same", activation="relu", name="conv")
    return keras.Sequential([keras.Input((size, size, 2)), conv, L.MaxPooling2D(name="pool")], name=name)


@pytest.fixture(scope="module")
def net():
    """Two nested models with layers of the same names, an addition that is no layer, and a name with a dot."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2))
    a, b = block(8, "left")(inputs), block(8, "right")(inputs)
    x = L.Conv2D(4, 3, name="block5_conv3")(a + b)
    x = L.Dense(4, name="dense", activation="relu")(L.Flatten(name="flat.1")(x))
    return keras.Model(inputs, L.Dense(3, name="predictions", activation="softmax")(x))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype(np.float32)


def test_a_report_names_layers_as_keras_does(net, x):
    report = inspect_model(net, x, "lrp_epsilon_0_1")
    rows = {row.name: row for row in report.rows}
    assert {"left/conv", "right/conv", "left/pool", "block5_conv3", "flat.1", "dense", "predictions"} <= rows.keys()
    assert rows["block5_conv3"].module_type == "Conv2D"
    (added,) = [row.name for row in report.rows if row.module_type == "Add"]
    assert re.fullmatch(r"add(_\d+)?", added)  # Keras numbers what it names in a process
    assert not any(row.line for row in report.rows)
    assert re.search(r"^\d+ +block5_conv3: Conv2D +conv2d ", str(report), re.MULTILINE)


@pytest.mark.parametrize("name", ["block5_conv3", "left/conv", "left.conv", "right/pool", "flat.1"])
def test_relevance_at_a_layer_of_this_name_is_that_at_the_layer_object(net, x, name):
    *models, own = re.split("[/.]", name) if "flat" not in name else ["flat.1"]
    layer = net
    for part in (*models, own):
        layer = layer.get_layer(part)
    by_name, by_object = (explain(net, x, "lrp_z", 0, at=at) for at in (name, layer))
    assert by_name.shape == (2, *layer.output.shape[1:])
    np.testing.assert_array_equal(by_name, by_object)


def test_a_name_in_two_nested_models_is_refused_with_both_full_names(net, x):
    with pytest.raises(OptionError, match=r"several layers 'conv'.*left/conv or right/conv"):
        explain(net, x, "lrp_z", 0, at="conv")


def test_a_name_that_is_not_there_is_refused_with_those_that_are(net, x):
    with pytest.raises(OptionError, match=r"no module 'conv7'.*left/conv, left/pool.*block5_conv3"):
        explain(net, x, "grad_cam", 0, layer="conv7")


def test_a_layer_that_is_used_twice_is_told_apart_by_execution():
    shared, inputs = L.Dense(4, name="shared", activation="relu"), keras.Input((4,))
    net = keras.Model(inputs, L.Dense(2)(shared(shared(inputs))))
    x = np.ones((1, 4), np.float32)
    with pytest.raises(OptionError, match=r"executed 2 times.*shared\[0\]' to 'shared\[1\]"):
        explain(net, x, "lrp_z", at="shared")
    assert explain(net, x, "lrp_z", at="shared[0]").shape == (1, 4)


def test_wrapped_and_recurrent_layers_have_names():
    inputs = keras.Input((5, 6, 2))
    y = L.TimeDistributed(L.Conv1D(3, 3, name="beat"), name="each")(inputs)
    y = L.Bidirectional(L.LSTM(3, name="rhythm"), name="both")(L.Reshape((5, 12))(y))
    net = keras.Model(inputs, L.Dense(2, name="head")(y))
    x = np.random.default_rng(0).normal(size=(1, 5, 6, 2)).astype(np.float32)
    names = {row.name for row in inspect_model(net, x, "lrp_epsilon_0_1", 0).rows}
    assert {"each/beat", "head"} <= names
    assert any(name.startswith("both/forward_rhythm") for name in names)
    assert explain(net, x, "lrp_epsilon_0_1", 0, at="both").shape == (1, 6)


def test_layers_in_lists_of_a_subclassed_model_and_in_a_torch_module_have_names(x):
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.stack = [L.Conv2D(3, 3, name="first"), L.Conv2D(3, 3, name="second")]
            self.head = L.Dense(2, name="head")

        def call(self, inputs):
            for layer in self.stack:
                inputs = layer(inputs)
            return self.head(inputs.mean((1, 2)))

    own = Own()
    own(x)
    assert {"first", "second", "", "head"} == {row.name for row in inspect_model(own, x, "lrp_z", 0).rows}
    outer = torch.nn.Module()
    outer.inner, outer.forward = own, lambda images: own(images)
    np.testing.assert_array_equal(explain(outer, x, "lrp_z", 0, at="inner/second"), explain(own, x, "lrp_z", 0, at="second"))


def test_a_layer_without_a_rule_is_named_by_its_keras_name(x):
    inputs = keras.Input((8, 8, 2))
    odd = L.Lambda(lambda values: torch.special.i1(values), name="odd", output_shape=(8, 8, 2))
    net = keras.Model(inputs, L.Dense(2)(L.Flatten()(odd(inputs))))
    with pytest.warns(UserWarning, match=r"odd \(Lambda\), test_layer_names"):
        explain(net, x, "lrp_z", 0)


def test_explaining_by_a_layers_name_leaves_the_model_as_it_was(net, x):
    before = [{key: id(value) for key, value in layer.__dict__.items()} for layer in net._flatten_layers()]
    weights = [weight.value.detach().clone() for weight in net.weights]
    explain(net, x[:1], "grad_cam", [0], layer="block5_conv3")
    explain(net, x, "lrp_z", 0, at="left/conv")
    assert before == [{key: id(value) for key, value in layer.__dict__.items()} for layer in net._flatten_layers()]
    assert all(torch.equal(a, b.value) for a, b in zip(weights, net.weights, strict=True))
    assert not any(layer._forward_hooks for layer in net._flatten_layers())
