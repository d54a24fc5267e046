"""What modules hold of Keras beside their layers: metrics that a call updates stay, and layers in containers alone are as others are."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import keras
from comparing import deviation
from keras import layers
from refusals import raises
from signxai import explain, inspect_model
from signxai.common.errors import ModelError

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


class Watched(layers.Layer):
    """Divides by one more than the mean of what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = keras.metrics.Mean()

    def call(self, x):
        self.mean.update_state(x)
        return x / (1.0 + self.mean.result())


class WatchedInTorch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.mean = nn.Linear(4, 3), keras.metrics.Mean()

    def forward(self, x):
        self.mean.update_state(x.detach())
        return self.linear(x)


def states(metric) -> list[float]:
    return [float(variable.value) for variable in metric.variables]


def watched():
    layer = Watched()
    return keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="relu"), layer, layers.Dense(3)]), layer.mean


def within(build):
    net, metric = build()
    return nn.Sequential(nn.Linear(4, 4), net), metric


def in_torch():
    net = WatchedInTorch()
    return net, net.mean


@pytest.mark.parametrize("build", [watched, lambda: within(watched), in_torch], ids=["keras", "keras in torch", "torch"])
def test_metrics_that_a_call_updates_stay_as_they_were(build):
    keras.utils.set_random_seed(0)
    net, metric = build()
    with torch.no_grad():
        net(X)
    before = states(metric)
    first = explain(net, X, "gradient", 1)
    explain(net, 10 * X, "smoothgrad_samples_3", 1)
    inspect_model(net, X, "lrp_z")
    assert states(metric) == before
    assert deviation(explain(net, X, "gradient", 1), first) == 0


HOLDING = {
    "a dict": lambda layer: {"body": layer},
    "lists in a dict": lambda layer: {"body": [[layer]]},
    "an object": lambda layer: SimpleNamespace(body=layer),
}


def body_of(held):
    while not isinstance(held, layers.Layer):
        held = held.body if isinstance(held, SimpleNamespace) else held["body"] if isinstance(held, dict) else held[0]
    return held


class Holding(nn.Module):
    def __init__(self, how: str, layer: layers.Layer) -> None:
        super().__init__()
        self.linear, self.held = nn.Linear(4, 4), HOLDING[how](layer)

    def forward(self, x):
        return body_of(self.held)(self.linear(x))


@pytest.mark.parametrize("how", HOLDING)
def test_a_layer_that_is_not_built_is_refused_wherever_a_module_of_torch_holds_it(how):
    layer = layers.Dense(3)
    with raises(ModelError, "not built yet"):
        explain(Holding(how, layer), X, "gradient", 1)
    assert not layer.built
    assert layer(X).shape == (3, 3)
    assert explain(Holding(how, layer), X, "gradient", 1).shape == (3, 4)


@pytest.mark.parametrize("how", HOLDING)
def test_what_a_layer_draws_is_fixed_and_put_back_wherever_it_is_held(how):
    layer = layers.Dropout(0.5, seed=1)
    net = Holding(how, layer)
    layer.call = lambda x, training=True, call=layer.call: call(x, training=True)
    before = layer.seed_generator.state.value.tolist()
    with raises(ModelError, "draws random numbers"):
        explain(net, X, "gradient", 1)
    first, second = (explain(net, X, "gradient", 1, stochastic=True) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert layer.seed_generator.state.value.tolist() == before
