"""Keras models that draw random numbers, by Keras, NumPy or Python, in layers or in functions that layers hold, are refused."""

import random

import numpy as np
import pytest
import torch

from signxai import explain
from signxai.common import ModelError
from signxai.engine.reachable_generators import _places_of_methods

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


class Around(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net, self.data_format = net, "channels_last"

    def forward(self, x):
        return self.net(x, training=True)


class WithGenerator(torch.nn.Module):
    """A module of PyTorch that holds a generator of Keras itself."""

    def __init__(self, net):
        super().__init__()
        self.net, self.generators, self.data_format = net, [keras.random.SeedGenerator(5)], "channels_last"

    def forward(self, x):
        return self.net(x * keras.random.uniform((4,), seed=self.generators[0]))


def drawing(*inner):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3, 4)), *inner, L.Dense(8, activation="relu"), L.Flatten(), L.Dense(2)])


NETS = {
    "a generator of the layer": lambda: drawing(Noise(True), Noise(True)),
    "Keras' global generator": lambda: drawing(Noise(False)),
    "dropout left on": lambda: Around(drawing(L.Dropout(0.5))),
    "a generator of the module around": lambda: WithGenerator(drawing()),
}
X = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(0))


def counters(net):
    """Where each generator of Keras is: of the layers, of modules, and Keras' own of this thread."""
    from keras.src.random.seed_generator import global_seed_generator

    held = [value for module in net.modules() for value in vars(module).values()]
    held += [one for value in held if isinstance(value, list) for one in value]
    found = [global_seed_generator(), *(one for one in held if isinstance(one, keras.random.SeedGenerator))]
    return [generator.state.value.tolist() for generator in found], [generator.state.value._version for generator in found[1:]]


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
@pytest.mark.parametrize("method", ["gradient", "lrp_epsilon_0_1", "smoothgrad_samples_3"])
def test_keras_generators_stay_where_they_are(make, method):
    net = make()
    before, of_python = counters(net), random.getstate()
    with pytest.raises(ModelError, match="draws random numbers in its forward pass"):
        explain(net, X, method, 0)
    assert counters(net) == before
    maps = explain(net, X, method, 0, stochastic=True, seed=3)
    assert counters(net) == before
    assert random.getstate() == of_python
    net(X)  # which draws
    np.testing.assert_array_equal(explain(net, X, method, 0, stochastic=True, seed=3), maps)
    assert not np.array_equal(explain(net, X, method, 0, stochastic=True, seed=4), maps)
    for row in range(len(X)):
        np.testing.assert_allclose(explain(net, X[row : row + 1], method, 0, stochastic=True, seed=3), maps[row : row + 1], atol=1e-6)


def test_keras_generators_stay_where_they_are_after_an_error():
    class Fails(WithGenerator):
        def forward(self, x):
            super().forward(x)
            raise RuntimeError("fails")

    net = Fails(drawing(Noise(True)))
    before = counters(net)
    for stochastic in (False, True):
        with pytest.raises(ModelError, match="fails"):
            explain(net, X, "gradient", 0, stochastic=stochastic)
        assert counters(net) == before


def test_keras_global_generator_is_not_made():
    from keras.src.backend.common import global_state

    net = drawing(Noise(False))
    global_state.set_global_attribute("global_seed_generator", None)
    of_python = random.getstate()
    with pytest.raises(ModelError, match="draws random numbers in its forward pass"):
        explain(net, X, "gradient", 0)
    explain(net, X, "gradient", 0, stochastic=True)
    assert global_state.get_global_attribute("global_seed_generator") is None
    assert random.getstate() == of_python


class Holder:
    def __init__(self):
        self.generators = [keras.random.SeedGenerator(4)]


def test_a_generator_that_an_object_of_the_layer_holds_stays_where_it_is():
    class Noisy(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.kept = Holder()

        def call(self, x):
            return x + keras.random.normal((x.shape[-1],), seed=self.kept.generators[0])

    layer = Noisy()
    net = keras.Sequential([keras.Input((5,)), layer, keras.layers.Dense(2)])
    x = torch.ones(2, 5)
    net(x)
    state = layer.kept.generators[0].state
    before = state.value.tolist()
    with pytest.raises(ModelError, match="stochastic"):
        explain(net, x, "lrp_z", 0)
    assert state.value.tolist() == before
    maps = [explain(net, x, "lrp_z", 0, stochastic=True, seed=seed) for seed in (1, 1, 2)]
    assert state.value.tolist() == before
    np.testing.assert_array_equal(maps[0], maps[1])
    assert not np.allclose(maps[0], maps[2])
