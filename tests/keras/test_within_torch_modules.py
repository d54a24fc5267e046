"""Layers of Keras within a module of PyTorch run as that module calls them."""

import pytest
import torch
from torch import nn

import keras
from comparing import deviation
from keras import layers
from refusals import raises
from signxai import explain
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


class Calls(Around):
    """Says how its first layer is to run."""

    def __init__(self, first, body, training):
        super().__init__(first, body)
        self.says = {} if training is None else {"training": training}

    def forward(self, x):
        return self.body(self.first(x, **self.says))


def squared():
    return layers.Lambda(lambda x: 2 * x * x)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("training", "twin"), [(None, squared), (True, squared), (False, identity)])
def test_a_layer_that_differs_in_training_is_explained_as_the_module_calls_it(training, twin, name):
    net, plain = Calls(SquaredInTraining(), keras_model(), training), Around(twin(), keras_model())
    torch.testing.assert_close(net(X), plain(X))
    assert deviation(explain(net, X, name, 1), explain(plain, X, name, 1)) < 1e-6


def test_what_is_said_to_one_layer_says_nothing_to_the_next():
    net = Calls(identity(), keras_model(layers.BatchNormalization()), True)
    plain = Around(identity(), keras_model(layers.BatchNormalization()))
    for model in (net, plain):
        model.body.layers[0].moving_variance.assign([5.0, 6.0, 7.0])
    torch.testing.assert_close(net(X), plain(X))
    assert deviation(explain(net, X, "gradient", 1), explain(plain, X, "gradient", 1)) < 1e-6


@pytest.mark.parametrize("is_within", [False, True])
def test_losses_of_the_last_call_stay(is_within):
    model = keras_model(layers.Dense(3, activity_regularizer="l2"))
    net = Around(identity(), model) if is_within else model
    net(X)
    [before] = model.losses
    for _ in range(2):
        explain(net, X + 1, "smoothgrad_samples_4", 1)
    [now] = model.losses
    assert now is before


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
def test_a_branch_that_never_ran_is_refused_and_left_alone():
    class Branches(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.other = layers.Dense(3), layers.Dense(3)

        def call(self, x):
            return (self.one(x) if x.shape[0] > 2 else self.other(x))[:, 0]

    net = Branches()
    net(X)
    before = len(net.weights)
    with raises(ModelError, "Dense", "not built yet", r"build\(input_shape\)"):
        explain(net, X[:2], "gradient", 0)
    assert len(net.weights) == before
    assert not net.other.built
    net.other.build((None, 9, 3))
    assert explain(net, X[:2], "gradient", 0).shape == X[:2].shape
