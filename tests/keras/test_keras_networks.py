"""Keras networks of parts that hand on more than one tensor: recurrent ones, attention, several inputs; against their PyTorch twins."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from networks import drawn
from signxai import explain, inspect_model

keras = pytest.importorskip("keras")
from twins import convolution, dense, in_float64, randomize, weights_of  # noqa: E402

L = keras.layers
METHODS = ["gradient", "lrp_z", "lrp_epsilon_0_25", "lrp_epsilon_0_25_std_x", "lrp_gamma_0_25", "lrpsign_epsilon_0_25_std_x", "w2lrp_z"]
WHOLE = [name for name in METHODS if "std_x" not in name]
"""Of which it makes no difference whether a layer is executed for all steps at once, or for each: std_x is that of an execution's input."""
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_double_precision():
    with in_float64():
        yield


def assert_twins(model, twin, x, methods=METHODS, x_of_twin=None, back=lambda relevance: relevance):
    """Two networks compute the same, and have the same maps."""
    other = x if x_of_twin is None else x_of_twin
    calls = [lambda net, given: net(given) if isinstance(given, torch.Tensor) else net(*given)] * 2
    with torch.no_grad():
        one = model(x if isinstance(x, torch.Tensor) else list(x))
        torch.testing.assert_close(one, calls[1](twin, other), rtol=1e-12, atol=1e-12)
    found = {}
    for name in methods:
        own, wanted = explain(model, x, name, 1), explain(twin, other, name, 1)
        pairs = zip(own, wanted, strict=True) if isinstance(own, tuple) else [(own, back(wanted))]
        found[name] = max(deviation(a, b) for a, b in pairs)
    assert {name: by for name, by in found.items() if not by < 1e-11} == {}


def assert_one_of_twins(model, ways, x, methods):
    """A network has the maps of one of several ways to write it, the same one by all methods."""
    with torch.no_grad():
        for way in ways:
            torch.testing.assert_close(model(x), way(x), rtol=1e-12, atol=1e-12)
    found = [{name: deviation(explain(model, x, name, 1), explain(way, x, name, 1)) for name in methods} for way in ways]
    assert min(max(own.values()) for own in found) < 1e-11, found


class Recurrent(nn.Module):
    """A recurrent network, of which all steps or the last one go on to a linear layer."""

    def __init__(self, cells, head, takes_all) -> None:
        super().__init__()
        self.cells, self.head, self.takes_all = cells, head, takes_all

    def forward(self, x):
        states, _ = self.cells(x)
        if self.takes_all:
            return self.head(states.flatten(1))
        if self.cells.bidirectional:
            size = self.cells.hidden_size
            return self.head(torch.cat([states[:, -1, :size], states[:, 0, size:]], 1))
        return self.head(states[:, -1])


class StepByStep(nn.Module):
    """An LSTM step by step, by the formula (Hochreiter and Schmidhuber 1997, with forget gates), with the weights of PyTorch's."""

    def __init__(self, cells, head, takes_all, at_once, bias_first) -> None:
        super().__init__()
        self.cells, self.head, self.takes_all, self.at_once, self.bias_first = cells, head, takes_all, at_once, bias_first

    def _of_input(self, x):
        """What each step adds of the input, computed for all steps at once, or for each by itself."""
        weight = self.cells.weight_ih_l0.T
        if self.at_once:
            return self._with_bias(x @ weight, self.bias_first).unbind(1)
        return [self._with_bias(x[:, step] @ weight, self.bias_first) for step in range(x.shape[1])]

    def _with_bias(self, z, is_added):
        return z + self.cells.bias_ih_l0 if is_added else z

    def forward(self, x):
        h = c = x.new_zeros(len(x), self.cells.hidden_size)
        states = []
        for own in self._of_input(x):
            z = self._with_bias(own + h @ self.cells.weight_hh_l0.T, not self.bias_first)
            i, f, g, o = z.chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            states.append(h)
        return self.head(torch.stack(states, 1).flatten(1) if self.takes_all else h)


class AtEachStep(nn.Module):
    """A dense layer for each step by itself."""

    def __init__(self, own, head) -> None:
        super().__init__()
        self.own, self.head = own, head

    def forward(self, x):
        return self.head(torch.stack([self.own(x[:, step]).relu() for step in range(x.shape[1])], 1).flatten(1))


def lstm_of(layers, inputs, **options):
    """The twin of LSTM layers, the second of which runs backwards."""
    units = layers[0].units
    cells = nn.LSTM(inputs, units, batch_first=True, **options)
    for layer, suffix in zip(layers, ("", "_reverse"), strict=False):
        kernel, recurrent, bias = weights_of(layer)
        setattr(cells, f"weight_ih_l0{suffix}", nn.Parameter(kernel.T.contiguous()))
        setattr(cells, f"weight_hh_l0{suffix}", nn.Parameter(recurrent.T.contiguous()))
        setattr(cells, f"bias_ih_l0{suffix}", nn.Parameter(bias))
        setattr(cells, f"bias_hh_l0{suffix}", nn.Parameter(torch.zeros_like(bias)))
    return cells


def gru_of(layer, inputs):
    """The twin of a GRU, whose gates are in another order."""
    kernel, recurrent, bias = weights_of(layer)
    cells = nn.GRU(inputs, layer.units, batch_first=True)

    def ordered(value):
        z, r, h = value.chunk(3, -1)
        return torch.cat([r, z, h], -1)

    cells.weight_ih_l0, cells.weight_hh_l0 = nn.Parameter(ordered(kernel).T.contiguous()), nn.Parameter(ordered(recurrent).T.contiguous())
    cells.bias_ih_l0, cells.bias_hh_l0 = (nn.Parameter(ordered(row)) for row in bias)
    return cells


@pytest.mark.parametrize("takes_all", [False, True])
def test_an_lstm_is_its_twin(takes_all):
    layer, head = L.LSTM(4, return_sequences=takes_all), L.Dense(3)
    model = keras.Sequential([L.Input((6, 2)), layer, *([L.Flatten()] if takes_all else []), head])
    randomize(model)
    cells = lstm_of([layer], 2)
    orders = itertools.product((True, False), repeat=2)  # versions of Keras differ in it
    ways = [StepByStep(cells, dense(head), takes_all, *order).double() for order in orders]
    assert_one_of_twins(model, ways, drawn(3, 6, 2), METHODS)
    assert_one_of_twins(Recurrent(cells, dense(head), takes_all).double(), ways, drawn(3, 6, 2), WHOLE)


def test_a_bidirectional_lstm_is_its_twin():
    both, head = L.Bidirectional(L.LSTM(4)), L.Dense(3)
    model = keras.Sequential([L.Input((6, 2)), both, head])
    randomize(model)
    cells = lstm_of([both.forward_layer, both.backward_layer], 2, bidirectional=True)
    skip_unless_bias_comes_first()
    assert_twins(model, Recurrent(cells, dense(head), False).double(), drawn(3, 6, 2), WHOLE)


def skip_unless_bias_comes_first():
    """Before 3.10 or so Keras adds the bias behind both products of an LSTM, as no layer of PyTorch does."""
    layer = L.LSTM(2)
    model = keras.Sequential([L.Input((3, 2)), layer, L.Dense(2)])
    randomize(model)
    places = [row.rule for row in inspect_model(model, drawn(1, 3, 2), "lrp_epsilon_0_25", 1).rows if row.operation == "add"]
    if not places[0].startswith("Epsilon"):
        pytest.skip("this version of Keras adds the bias of an LSTM behind both products")


def test_a_gru_is_its_twin():
    layer, head = L.GRU(4), L.Dense(3)
    model = keras.Sequential([L.Input((6, 2)), layer, head])
    randomize(model)
    assert_twins(model, Recurrent(gru_of(layer, 2), dense(head), False).double(), drawn(3, 6, 2), WHOLE)


def test_layers_that_are_distributed_over_time_are_one_layer():
    own, head = L.Dense(4, activation="relu"), L.Dense(3)
    model = keras.Sequential([L.Input((6, 2)), L.TimeDistributed(own), L.Flatten(), head])
    randomize(model)
    twin = nn.Sequential(dense(own), nn.ReLU(), nn.Flatten(), dense(head)).double()
    assert_twins(model, twin, drawn(3, 6, 2), WHOLE)
    assert_twins(model, AtEachStep(dense(own), dense(head)).double(), drawn(3, 6, 2))


class JointTwin(nn.Module):
    """A signal and a list of values, each with a layer of its own, joined."""

    def __init__(self, of_signal, of_table, head) -> None:
        super().__init__()
        self.of_signal, self.of_table, self.head = of_signal, of_table, head

    def forward(self, signal, table):
        pooled = self.of_signal(signal).relu().mean(-1)
        return self.head(torch.cat([pooled, self.of_table(table).relu()], 1))


def test_a_network_of_two_inputs_is_its_twin():
    signal, table = keras.Input((20, 2), name="signal"), keras.Input((4,), name="table")
    of_signal, of_table, head = L.Conv1D(5, 3, activation="relu"), L.Dense(3, activation="relu"), L.Dense(3)
    joined = L.Concatenate()([L.GlobalAveragePooling1D()(of_signal(signal)), of_table(table)])
    model = keras.Model([signal, table], head(joined))
    randomize(model)
    twin = JointTwin(convolution(of_signal), dense(of_table), dense(head)).double()
    x, values = drawn(3, 20, 2), drawn(3, 4, seed=5)
    with torch.no_grad():
        torch.testing.assert_close(model([x, values]), twin(x.mT, values), rtol=1e-12, atol=1e-12)
    for name in METHODS:
        wanted = explain(twin, (x.mT, values), name, 1)
        for given in ((x, values), {"signal": x, "table": values}):
            own = explain(model, given, name, 1)
            one, other = own.values() if isinstance(own, dict) else own
            assert deviation(one, np.swapaxes(wanted[0], 1, 2)) < 1e-11, name
            assert deviation(other, wanted[1]) < 1e-11, name


MERGES = {
    "Add": (L.Add, lambda a, b: a + b),
    "Subtract": (L.Subtract, lambda a, b: a - b),
    "Multiply": (L.Multiply, lambda a, b: a * b),
    "Average": (L.Average, lambda a, b: (a + b) / 2),
    "Maximum": (L.Maximum, torch.maximum),
    "Minimum": (L.Minimum, torch.minimum),
}


class Merged(nn.Module):
    """Two layers of one input, joined by a function."""

    def __init__(self, one, other, function, head) -> None:
        super().__init__()
        self.one, self.other, self.function, self.head = one, other, function, head

    def forward(self, x):
        return self.head(self.function(self.one(x).relu(), self.other(x).tanh()))


@pytest.mark.parametrize("merge", MERGES)
def test_merge_layers_are_what_they_are_in_pytorch(merge):
    kind, function = MERGES[merge]
    x, one, other, head = keras.Input((5,)), L.Dense(4, activation="relu"), L.Dense(4, activation="tanh"), L.Dense(3)
    model = keras.Model(x, head(kind()([one(x), other(x)])))
    randomize(model)
    assert_twins(model, Merged(dense(one), dense(other), function, dense(head)).double(), drawn(3, 5))


def test_a_lambda_layer_and_a_subclassed_model_are_their_operations():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.head = L.Dense(4), L.Dense(3)
            self.scaled = L.Lambda(lambda y: keras.ops.relu(y) * 2.0)

        def call(self, x):
            return self.head(self.scaled(self.first(x)))

    model, x = Own(), drawn(3, 5)
    model(x)
    randomize(model)
    twin = nn.Sequential(dense(model.first), Doubled(), dense(model.head)).double()
    assert_twins(model, twin, x)
    assert f"{model.first.name}: Dense" in str(inspect_model(model, x, "lrp_z", 1))


class Doubled(nn.Module):
    """Twice a ReLU."""

    def forward(self, y):
        return y.relu() * 2.0


class Attention(nn.Module):
    """Self-attention with heads, written by hand as Keras counts its weights."""

    def __init__(self, layer, head, scales_query=False) -> None:
        super().__init__()
        self.scales_query = scales_query
        (self.q, self.bq), (self.k, self.bk), (self.v, self.bv), (self.o, self.bo) = (
            map(nn.Parameter, weights_of(part)) for part in (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense)
        )
        self.head = head

    def forward(self, x):
        q, k, v = (
            torch.einsum("ntc,chd->nhtd", x, weight) + bias[None, :, None]
            for weight, bias in ((self.q, self.bq), (self.k, self.bk), (self.v, self.bv))
        )
        scale = q.shape[-1] ** -0.5
        weights = ((q * scale) @ k.mT if self.scales_query else q @ k.mT * scale).softmax(-1)
        return self.head((torch.einsum("nhtd,hdc->ntc", weights @ v, self.o) + self.bo).flatten(1))


def test_attention_is_its_twin():
    x = keras.Input((5, 6))
    layer, head = L.MultiHeadAttention(2, 3), L.Dense(3)
    model = keras.Model(x, head(L.Flatten()(layer(x, x))))
    randomize(model)
    ways = [Attention(layer, dense(head), scales_query).double() for scales_query in (False, True)]  # versions of Keras differ in it
    assert_one_of_twins(model, ways, drawn(3, 5, 6), ["gradient", "lrp_z", "lrp_epsilon_0_25", "lrp_gamma_0_25"])


def test_an_embedding_has_the_maps_of_token_ids():
    layer, head = L.Embedding(10, 4), L.Dense(3)
    model = keras.Sequential([L.Input((5,), dtype="int64"), layer, L.Flatten(), head])
    randomize(model)
    [table] = weights_of(layer)
    twin = nn.Sequential(nn.Embedding.from_pretrained(table), nn.Flatten(), dense(head)).double()
    assert_twins(model, twin, torch.tensor([[1, 2, 3, 4, 5], [9, 8, 7, 6, 5]]), ["gradient_x_input", "lrp_z", "lrp_epsilon_0_25"])
