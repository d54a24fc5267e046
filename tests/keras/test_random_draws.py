"""Keras models that draw random numbers, by Keras, NumPy or Python, in layers or in functions that layers hold, are refused."""

import random

import numpy as np
import pytest
import torch

from signxai import explain
from signxai.common import ModelError
from signxai.engine.generators import _places_of_methods

keras = pytest.importorskip("keras")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)
L = keras.layers


class Noise(L.Layer):
    """Draws in every mode, by a generator of its own or by Keras' global one."""

    def __init__(self, has_generator):
        super().__init__()
        self.generator = keras.random.SeedGenerator(3) if has_generator else None

    def call(self, x):
        return x + keras.random.normal(x.shape[1:], seed=self.generator)


class NumPyNoise(L.Layer):
    """Draws by NumPy."""

    def call(self, x):
        return x + np.random.normal()


def scaled_by_chance(x):
    """Draws by Python."""
    return x * random.random()


DRAWING = {
    "Keras' global generator": lambda: Noise(False),
    "a generator of the layer": lambda: Noise(True),
    "NumPy": NumPyNoise,
    "an activation": lambda: L.Dense(3, activation=scaled_by_chance),
    "a function in a layer": lambda: L.Activation(scaled_by_chance),
    "a Lambda layer": lambda: L.Lambda(lambda x: x * random.random()),
    "a layer within a layer": lambda: L.TimeDistributed(L.Dense(2, activation=scaled_by_chance)),
}


@pytest.mark.parametrize("make", DRAWING.values(), ids=DRAWING)
def test_draws_are_found_and_leave_no_trace(make):
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((3, 4)), L.Dense(5), make(), L.Flatten(), L.Dense(2)])
    before = [weight.value.detach().clone() for weight in net.variables], random.getstate(), np.random.get_state()[1].copy()
    with pytest.raises(ModelError, match="draws random numbers in its forward pass"):
        explain(net, torch.ones(2, 3, 4), "lrp_epsilon_0_1", 0)
    assert all(torch.equal(weight.value, old) for weight, old in zip(net.variables, before[0], strict=True))
    assert random.getstate() == before[1]
    np.testing.assert_array_equal(np.random.get_state()[1], before[2])


@pytest.mark.parametrize("kind", [L.Dense, L.BatchNormalization, keras.Model])
def test_keras_own_code_is_not_searched(kind):
    assert not _places_of_methods(kind)  # of MobileNetV2, that search took four seconds
