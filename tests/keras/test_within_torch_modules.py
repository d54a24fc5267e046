"""Layers of Keras within a module of PyTorch run as in a Keras model that is called with ``training=False``."""

import pytest
import torch
from torch import nn

import keras
from comparing import deviation
from keras import layers
from refusals import raises
from signxai import explain, inspect_model
from signxai.common.errors import ForwardError, ModelError
from untouched import assert_untouched, state

X = torch.randn(3, 9, 3, generator=torch.Generator().manual_seed(0))
METHODS = ("gradient", "lrp_alpha_2_beta_1", "grad_cam", "smoothgrad_samples_4", "integrated_gradients_steps_4")


class SquaredInTraining(layers.Layer):
    def call(self, x, training=True):
        return 2 * x * x if training else x


def keras_model(*inner) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((9, 3)), *inner, layers.Conv1D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)])


class Around(nn.Module):
    """A layer of Keras in front of a model of Keras, both in a module of PyTorch."""

    def __init__(self, first, body):
        super().__init__()
        self.first, self.body, self.data_format = first, body, "channels_last"

    def forward(self, x, shift=None):
        return self.body(self.first(x if shift is None else x + shift))


def identity():
    return layers.Activation("linear")


@pytest.mark.parametrize("name", METHODS)
def test_a_layer_that_differs_in_training_is_explained_as_in_a_keras_model(name):
    plain = explain(keras_model(), X, name, 1)
    for net in (Around(SquaredInTraining(), keras_model()), Around(identity(), keras_model(SquaredInTraining()))):
        assert deviation(explain(net, X, name, 1), plain) < 1e-6


def test_several_inputs_and_reports_are_so_too():
    net, plain = Around(SquaredInTraining(), keras_model()), Around(identity(), keras_model())
    inputs = {"x": X, "shift": X + 1}
    maps, wanted = explain(net, inputs, "gradient", 1), explain(plain, inputs, "gradient", 1)
    assert all(deviation(maps[key], wanted[key]) < 1e-6 for key in inputs)
    report, of_plain = inspect_model(net, X, "lrp_epsilon_1", 1), inspect_model(plain, X, "lrp_epsilon_1", 1)
    assert report.relevance_at_input == pytest.approx(of_plain.relevance_at_input, rel=1e-5)


def test_what_the_module_itself_says_holds():
    class Says(Around):
        def forward(self, x):
            return self.body(self.first(x, training=True))

    wanted = Around(layers.Lambda(lambda x: 2 * x * x), keras_model())
    assert deviation(explain(Says(SquaredInTraining(), keras_model()), X, "gradient", 1), explain(wanted, X, "gradient", 1)) < 1e-6


def test_the_module_goes_on_as_it_did_also_after_an_error():
    class Fails(Around):
        def forward(self, x):
            returned = super().forward(x)
            if not torch.equal(x, X):
                raise RuntimeError("on other inputs")
            return returned

    net = Fails(SquaredInTraining(), keras_model())
    before = net(X)
    explain(net, X, "gradient", 1)
    assert torch.equal(net(X), before)
    with raises(ForwardError, "on other inputs"):
        explain(net, X + 1, "gradient", 1)
    assert torch.equal(net(X), before)


class Trained(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.head = layer, nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(1))


@pytest.mark.parametrize(
    "make", [lambda: layers.Dense(4), lambda: layers.LSTM(4, return_sequences=True), lambda: layers.TimeDistributed(layers.Dense(4))]
)
@pytest.mark.parametrize("name", ["gradient", "lrp_z", "smoothgrad"])
def test_a_layer_without_weights_yet_is_refused_and_left_alone(make, name):
    net = Trained(make())
    before = state(net)
    with raises(ModelError, "not built", r"model\(x\)"):
        explain(net, X, name, 0)
    assert_untouched(net, before)
    assert not net.layer.built
    assert not net.layer.weights
    net(X)
    assert explain(net, X, name, 0).shape == X.shape


def test_a_layer_that_needs_no_weights_may_never_have_run():
    net = Around(SquaredInTraining(), keras_model())
    assert not net.first.built
    assert explain(net, X, "gradient", 1).shape == X.shape
    assert not net.first.built


@pytest.mark.filterwarnings("ignore:.*has unbuilt state:UserWarning")  # Keras' own, of such a model
def test_a_layer_that_is_never_called_needs_no_weights():
    class Held(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.unused = layers.Dense(3), layers.Dense(5)

        def call(self, x):
            return self.used(x)[:, 0]

    net = Held()
    net(X)
    assert explain(net, X, "gradient", 0).shape == X.shape
