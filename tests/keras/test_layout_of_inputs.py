"""Where the channels of inputs are: what draws, or removes, along them does for Keras what it does for the PyTorch twin."""

import numpy as np
import pytest
import torch
from torch import nn

import keras
from signxai import explain
from signxai.common import ModelError, OptionError
from signxai.evidence import Window, certify

L = keras.layers


class Twin(nn.Module):
    def __init__(self, conv, table, head):
        super().__init__()
        self.conv, self.table, self.head = nn.Conv1d(2, 5, 3), nn.Linear(4, 3), nn.Linear(8, 3)
        weights = {self.conv.weight: conv.kernel.value.permute(2, 1, 0), self.table.weight: table.kernel.value.T}
        weights |= {self.head.weight: head.kernel.value.T}
        for weight, value in weights.items():
            weight.data = value.detach().clone()
        for layer, of_keras in ((self.conv, conv), (self.table, table), (self.head, head)):
            layer.bias.data = of_keras.bias.value.detach().clone()

    def forward(self, signal, table=None):
        pooled = self.conv(signal).relu().mean(-1)
        table = pooled.new_zeros(len(pooled), 3) if table is None else self.table(table)
        return self.head(torch.cat([pooled, table], 1))


@pytest.fixture(scope="module")
def nets():
    """A Keras model of a signal and a table, the same of the signal alone, and their twin."""
    keras.utils.set_random_seed(0)
    signal, table = keras.Input((60, 2), name="signal"), keras.Input((4,), name="table")
    conv, of_table, head = L.Conv1D(5, 3, activation="relu"), L.Dense(3), L.Dense(3)
    pooled = L.GlobalAveragePooling1D()(conv(signal))
    both = keras.Model([signal, table], head(L.Concatenate()([pooled, of_table(table)])))
    alone = keras.Model(signal, head(L.Concatenate()([pooled, L.Lambda(lambda h: h[:, :3] * 0)(pooled)])))
    return both, alone, Twin(conv, of_table, head)


@pytest.fixture(scope="module")
def x():
    random = np.random.default_rng(0)
    return random.normal(size=(2, 60, 2)).astype("float32"), random.normal(size=(2, 4)).astype("float32")


@pytest.mark.parametrize("method", ["smoothgrad", "vargrad", "random_uniform", "smoothgrad_noise_0_3_samples_7_x_input"])
@pytest.mark.parametrize("names", [None, ("signal", "table")])
def test_the_noise_of_several_inputs_is_that_of_the_twin(nets, x, method, names):
    signal, table = x
    twin = explain(nets[2], (np.swapaxes(signal, 1, 2), table), method, 1)
    own = explain(nets[0], x if names is None else dict(zip(names, x, strict=True)), method, 1)
    if names:
        turned = explain(nets[0], dict(zip(reversed(names), reversed(x), strict=True)), method, 1)
        largest = max(np.abs(one).max() for one in own.values())
        assert all(np.allclose(turned[key], one, atol=1e-6 * largest) for key, one in own.items())
    own = tuple(own.values()) if names else own
    np.testing.assert_allclose(np.swapaxes(own[0], 1, 2), twin[0], atol=1e-6 * np.abs(twin[0]).max())
    np.testing.assert_allclose(own[1], twin[1], atol=1e-6 * np.abs(twin[1]).max())


def gain(net, x, **options):
    [check] = [one for one in certify(net, x, "lrp_epsilon_0_1", 1, **options).samples[0].checks if one.name == "srg"]
    return check.value


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"unit": Window(6)}, {"unit": Window(6, "each"), "imputer": "mean"}])
def test_a_certificate_removes_the_same_stretches_of_time(nets, x, monkeypatch, options):
    monkeypatch.setattr("signxai.evidence.certified_gain._random_maps", random_maps)
    last, first = x[0][:1], np.swapaxes(x[0][:1], 1, 2).copy()
    assert gain(nets[1], last, **options) == pytest.approx(gain(nets[2], first, **options), rel=1e-4)


def random_maps(sample):
    """Drawn for a time and a lead, wherever these are."""
    [(key, values)] = sample.maps.items()
    drawn = [np.random.default_rng(number).standard_normal((1, 60, 2)) for number in range(10)]
    return [{key: one if values.shape[1] == 60 else np.swapaxes(one, 1, 2)} for one in drawn]


class Around(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


class Turned(Around):
    def forward(self, x):
        return self.net(x.movedim(1, -1))


@pytest.mark.parametrize("method", ["random_uniform", "smoothgrad"])
def test_a_module_around_a_keras_model_says_its_layout(nets, x, method):
    wanted = explain(nets[1], x[0], method, 1)
    around, turned = Around(nets[1]), Turned(nets[1])
    with pytest.raises(ModelError, match=r"Around, a module of PyTorch around layers of Keras; set its data_format to 'channels_last' or"):
        explain(around, x[0], method, 1)
    around.data_format, turned.data_format = "channels_last", "channels_first"
    np.testing.assert_allclose(explain(around, x[0], method, 1), wanted, atol=1e-7)
    of_turned = explain(turned, np.swapaxes(x[0], 1, 2), method, 1)
    np.testing.assert_allclose(np.swapaxes(of_turned, 1, 2), wanted, atol=1e-7)


def test_what_needs_no_layout_asks_for_none(nets, x):
    np.testing.assert_array_equal(explain(Around(nets[1]), x[0], "lrp_z", 1), explain(nets[1], x[0], "lrp_z", 1))


def test_bounds_of_channels_last_are_refused_and_those_of_the_convolution_are_the_twins(nets, x):
    low, high = np.array([-6.0, -7.0]), np.array([6.0, 8.0])
    with pytest.raises(OptionError, match="does not fit the first layer's input"):
        explain(nets[1], x[0], "zblrp_z", 1, low=low, high=high)
    own = explain(nets[1], x[0], "zblrp_z", 1, low=low[:, None], high=high[:, None])
    twin = explain(nets[2], np.swapaxes(x[0], 1, 2), "zblrp_z", 1, low=low[:, None], high=high[:, None])
    np.testing.assert_allclose(np.swapaxes(own, 1, 2), twin, atol=1e-5 * np.abs(twin).max())


@pytest.mark.parametrize("method", ["lrp_epsilon_0_25_std_x", "smoothgrad", "random_uniform"])
def test_captums_calls_give_what_explain_gives(nets, x, method):
    pytest.importorskip("captum")
    attribution = pytest.importorskip("signxai.adapters.captum").SignxaiAttribution
    signal, table = (torch.from_numpy(part) for part in x)
    alone = attribution(nets[1], method).attribute(signal, target=1)
    np.testing.assert_allclose(alone.numpy(), explain(nets[1], x[0], method, 1), atol=1e-7)
    both = attribution(nets[0], method).attribute((signal, table), target=1)
    for own, wanted in zip(both, explain(nets[0], x, method, 1), strict=True):
        np.testing.assert_allclose(own.numpy(), wanted, atol=1e-7)


def test_a_store_takes_a_module_that_permutes_the_axes_and_says_so(nets, x, tmp_path):
    pytest.importorskip("zarr")
    from signxai.datasets import ArraySource, explain_dataset

    source = ArraySource(np.swapaxes(x[0], 1, 2).copy())
    with pytest.raises(OptionError, match="data_format = 'channels_first'"):
        explain_dataset(nets[1], ArraySource(x[0]), ["lrp_z"], tmp_path / "last.zarr")
    turned = Turned(nets[1])
    with pytest.raises(ModelError, match="set its data_format"):
        explain_dataset(turned, source, ["lrp_z"], tmp_path / "unsaid.zarr")
    turned.data_format = "channels_first"
    store = explain_dataset(turned, source, ["lrp_z"], tmp_path / "first.zarr")
    assert store.relevance("lrp_z").shape == (2, 2, 60)
