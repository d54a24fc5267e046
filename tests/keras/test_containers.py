"""Layers, weights, variables and generators in lists, dicts and sets of a Keras layer, also within each other, run as those that are
attributes, and nothing in them is changed."""

import collections

import numpy as np
import pytest
import torch

from comparing import deviation
from signxai import explain
from signxai.common import ModelError

keras = pytest.importorskip("keras")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)
L = keras.layers

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
METHODS = ("gradient", "lrp_alpha_2_beta_1", "smoothgrad_samples_3")

CONTAINERS = {
    "attribute": (lambda one: one, lambda held: held),
    "list": (lambda one: [one], lambda held: held[0]),
    "dict": (lambda one: {"p": one}, lambda held: held["p"]),
    "ordered dict": (lambda one: collections.OrderedDict(p=one), lambda held: held["p"]),
    "set": (lambda one: {one}, lambda held: next(iter(held))),
    "list in a tuple": (lambda one: ([one],), lambda held: held[0][0]),
    "list in a list": (lambda one: [[one]], lambda held: held[0][0]),
    "list in a dict": (lambda one: {"p": [one]}, lambda held: held["p"][0]),
    "dict in a list": (lambda one: [{"p": one}], lambda held: held[0]["p"]),
    "list in a list in a dict": (lambda one: {"p": [[one]]}, lambda held: held["p"][0][0]),
}
NESTED = [name for name in CONTAINERS if name != "attribute"]


class Branches(keras.Model):
    """Runs a layer that stands in a container."""

    def __init__(self, kind):
        super().__init__()
        put, self.take = CONTAINERS[kind]
        self.first = L.Dense(4, activation="relu")
        self.held = put(L.Dense(3))

    def call(self, x):
        return self.take(self.held)(self.first(x))


class Weights(L.Layer):
    """Multiplies with a weight, and counts its calls in another, both in a container."""

    def __init__(self, kind):
        super().__init__()
        self.put, self.take = CONTAINERS[kind]

    def build(self, shape):
        self.held = self.put(self.add_weight(shape=(4, 3), name="w"))
        self.counts = self.put(self.add_weight(shape=(), initializer="zeros", trainable=False, name="n"))

    def call(self, x):
        self.take(self.counts).assign_add(1.0)
        return keras.ops.matmul(x, self.take(self.held))


class Counter(L.Layer):
    """Counts its calls in a variable of its own in a container."""

    def __init__(self, kind):
        super().__init__()
        put, self.take = CONTAINERS[kind]
        self.held = put(keras.Variable(0.0, trainable=False))

    def call(self, x):
        self.take(self.held).assign_add(1.0)
        return x * 2


class Noise(L.Layer):
    """Draws by a generator in a container."""

    def __init__(self, kind):
        super().__init__()
        put, self.take = CONTAINERS[kind]
        self.held = put(keras.random.SeedGenerator(3))

    def state(self):
        return self.take(self.held).state

    def call(self, x):
        return x * keras.random.normal(x.shape[1:], seed=self.take(self.held))


class Dropping(Noise):
    """Draws by a dropout that is left on, in a container."""

    def __init__(self, kind):
        super().__init__(kind)
        self.held = CONTAINERS[kind][0](L.Dropout(0.5, seed=3))

    def state(self):
        return self.take(self.held).seed_generator.state

    def call(self, x):
        return self.take(self.held)(x, training=True)


def run_once(net):
    with torch.no_grad():
        net(X)
    return net


def around(layer):
    keras.utils.set_random_seed(0)
    return run_once(keras.Sequential([keras.Input((4,)), L.Dense(4, activation="relu"), layer, L.Dense(3)]))


def branches(kind):
    keras.utils.set_random_seed(0)
    return run_once(Branches(kind))


def values(net):
    return [variable.value.detach().numpy().copy() for variable in net.variables]


MODELS = {"layers": branches, "weights": lambda kind: around(Weights(kind)), "variables": lambda kind: around(Counter(kind))}


@pytest.mark.parametrize(
    ("model", "kind"), [(model, kind) for model in MODELS for kind in NESTED if model == "layers" or kind != "set"]
)  # variables have no hash
def test_what_stands_in_containers_is_explained_as_what_is_an_attribute(model, kind):
    twin, net = MODELS[model]("attribute"), MODELS[model](kind)
    for own, other in zip(net.trainable_variables, twin.trainable_variables, strict=True):
        own.assign(other.value)
    before = values(net)
    for name in METHODS:
        assert deviation(explain(net, X, name, 1), explain(twin, X, name, 1)) < 1e-6
    for now, then in zip(values(net), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert all(variable.value.grad is None for variable in net.trainable_variables)


@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("layer", [Noise, Dropping])
def test_generators_in_containers_stay_where_they_are(layer, kind):
    net = around(layer(kind))
    state = net.layers[1].state()
    before = state.value.tolist()
    with pytest.raises(ModelError, match="draws random numbers in its forward pass"):
        explain(net, X, "gradient", 0)
    assert state.value.tolist() == before
    maps = [explain(net, X, "gradient", 0, stochastic=True, seed=seed) for seed in (1, 1, 2)]
    assert state.value.tolist() == before
    np.testing.assert_array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


class Notes(keras.Model):
    """Notes each call in containers of its own."""

    def __init__(self):
        super().__init__()
        self.out = L.Dense(3)
        self.log, self.table, self.kinds = [], {}, set()
        self.ordered = collections.OrderedDict(b=[], a={"n": 0})
        self.layers_and_notes = [self.out, []]

    def call(self, x):
        self.log.append(len(self.log))
        self.table[len(self.table)] = [1]
        self.kinds.add(len(self.kinds))
        self.ordered["b"].append(1)
        self.ordered["a"]["n"] += 1
        self.ordered["b"] = self.ordered.pop("b")
        self.layers_and_notes[1].append(1)
        self.log.insert(0, self.log.pop())
        return self.layers_and_notes[0](x)

    def notes(self):
        ordered = [(key, len(value), dict(value) if key == "a" else None) for key, value in self.ordered.items()]
        return list(self.log), dict(self.table), set(self.kinds), ordered, len(self.layers_and_notes[1]), len(self.layers)


@pytest.mark.parametrize("name", METHODS)
def test_what_a_call_notes_in_containers_stays_as_it_was(name):
    net = run_once(Notes())
    before, kinds = net.notes(), list(map(type, (net.log, net.table, net.kinds, net.ordered)))
    explain(net, X, name, 1)
    assert net.notes() == before
    assert list(map(type, (net.log, net.table, net.kinds, net.ordered))) == kinds
    run_once(net)
    assert len(net.log) == len(before[0]) + 1
    assert len(net.layers) == before[-1]
