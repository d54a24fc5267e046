"""Keras models run as ``predict`` runs them, and stay what they are."""

import copy
import inspect

import pytest
import torch

import keras
from comparing import deviation
from keras import layers
from refusals import raises
from signxai import explain, inspect_model
from signxai.common.errors import ModelError
from signxai.models import Classifier
from signxai.timeseries import SignalInput

X = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(0))
METHODS = ("gradient", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrpsign_z")


@keras.saving.register_keras_serializable("tests")
class TwiceInTraining(layers.Layer):
    def call(self, x, training=True):
        return 2 * x if training else x


def sequential(*inner) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((9, 3)), *inner, layers.Conv1D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)])


def functional(*inner) -> keras.Model:
    keras.utils.set_random_seed(0)
    hidden = start = keras.Input((9, 3))
    for layer in (*inner, layers.Conv1D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)):
        hidden = layer(hidden)
    return keras.Model(start, hidden)


@pytest.mark.parametrize("build", [sequential, functional])
def test_a_layer_that_differs_in_training_is_explained_as_predict_computes_it(build):
    net, plain = build(TwiceInTraining()), build()
    assert torch.equal(net(X, training=False), plain(X, training=False))
    assert not torch.equal(net(X), plain(X))
    for name in METHODS:
        assert deviation(explain(net, X, name, 1), explain(plain, X, name, 1)) < 1e-6, name


def test_several_inputs_are_explained_so_too():
    def build(*inner):
        keras.utils.set_random_seed(0)
        one, other = keras.Input((9, 3), name="one"), keras.Input((9, 3), name="other")
        hidden = one
        for layer in inner:
            hidden = layer(hidden)
        return keras.Model([one, other], layers.Dense(3)(layers.Flatten()(layers.Add()([hidden, other]))))

    for inputs in ((X, X + 1), {"one": X, "other": X + 1}):
        maps, plain = explain(build(TwiceInTraining()), inputs, "gradient", 1), explain(build(), inputs, "gradient", 1)
        pairs = zip(maps.values(), plain.values(), strict=True) if isinstance(maps, dict) else zip(maps, plain, strict=True)
        assert all(deviation(one, other) < 1e-6 for one, other in pairs)


@pytest.mark.parametrize("layer", [layers.GaussianNoise(0.5), layers.Dropout(0.5), layers.SpatialDropout1D(0.5)])
def test_noise_of_training_is_left_out(layer):
    for name in METHODS:
        assert deviation(explain(sequential(layer), X, name, 1), explain(sequential(), X, name, 1)) < 1e-6, name


def test_pictures_are_not_augmented():
    def build(*inner):
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [keras.Input((12, 12, 3)), *inner, layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
        )

    x = torch.rand(2, 12, 12, 3, generator=torch.Generator().manual_seed(1))
    augmented = build(layers.RandomFlip(), layers.RandomContrast(0.5), layers.RandomBrightness(0.3))
    plain = keras.Sequential([keras.Input((12, 12, 3)), *augmented.layers[-3:]])
    for name in METHODS:
        assert deviation(explain(augmented, x, name, 1), explain(plain, x, name, 1)) < 1e-5, name


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU, layers.SimpleRNN])
@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_1", "smoothgrad"])
def test_a_layer_that_remembers_earlier_calls_is_refused_and_left_alone(kind, name):
    net = keras.Sequential([keras.Input((9, 3), batch_size=2), kind(4, stateful=True), layers.Dense(3)])
    before = [state.value.detach().clone() for state in net.layers[0].states]
    with raises(ModelError, "stateful", "stateful=False", "set_weights"):
        explain(net, X[:2], name, 0)
    assert all(torch.equal(one, other.value) for one, other in zip(before, net.layers[0].states, strict=True))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = layers.Conv1D(4, 3, activation="relu"), layers.Dense(3)

    def call(self, x):
        return self.last(keras.ops.mean(self.first(x), axis=1))


@pytest.mark.parametrize("build", [lambda: keras.Sequential([layers.Conv1D(4, 3), layers.Flatten(), layers.Dense(3)]), Subclassed])
@pytest.mark.parametrize("name", ["gradient", "grad_cam", "lrp_z"])
def test_a_model_without_weights_yet_is_refused_and_can_still_be_built(build, name):
    net = build()
    with raises(ModelError, "not built", r"model\(x\)"):
        explain(net, X, name, 0)
    assert not net.built
    assert not net.weights
    net(X)
    assert explain(net, X, name, 0).shape[0] == len(X)
    inspect_model(net, X, "lrp_z", 0)


def test_signals_are_turned_for_a_network_of_keras_whoever_says_how_it_takes_them():
    classifier = Classifier(sequential(), signal_input=SignalInput(before_s=0.3, after_s=0.5))
    assert classifier.signal_input.channels_last
    assert Classifier(sequential(), signal_input=SignalInput(channels_last=True)).signal_input.channels_last
    assert not Classifier(torch.nn.Conv1d(2, 3, 3), signal_input=SignalInput()).signal_input.channels_last


class TrainingUnsaid(keras.Model):
    """Its ``call`` knows nothing of training, so that Keras lets what PyTorch made train, in ``predict``, too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = layers.TorchModuleWrapper(torch_body())

    def call(self, x):
        return self.body(x)


class TrainingSaid(TrainingUnsaid):
    def call(self, x, training=False):
        return self.body(x, training=training)


def torch_body() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.BatchNorm1d(9), torch.nn.Flatten(), torch.nn.Linear(27, 3))


def test_a_batch_norm_of_torch_that_keras_lets_train_is_refused_with_what_helps():
    unsaid, said = TrainingUnsaid(), TrainingSaid()
    unsaid(X), said(X, training=False)
    if "training" in inspect.signature(layers.TorchModuleWrapper.call).parameters:
        with raises(ModelError, "an argument `training`", "TorchModuleWrapper"):
            explain(unsaid, X, "gradient", 1)
    else:  # older ones leave the module in the mode that it is in
        assert deviation(explain(unsaid, X, "gradient", 1), explain(copy.deepcopy(unsaid.body.module).eval(), X, "gradient", 1)) < 1e-6
    assert deviation(explain(said, X, "gradient", 1), explain(copy.deepcopy(said.body.module).eval(), X, "gradient", 1)) < 1e-6
