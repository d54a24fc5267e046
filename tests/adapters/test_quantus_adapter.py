"""Every method as an explain_func of Quantus: as Quantus calls it, and in Quantus itself where that is installed."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from signxai import explain
from signxai.adapters.quantus import ExplainFunction, explain_func
from signxai.common import InputError, MapError, MethodNameError, OptionError
from untouched import assert_untouched, state

METHODS = ["gradient_x_sign", "integrated_gradients_steps_5", "guided_backprop", "grad_cam", "lrpsign_epsilon_0_25_std_x", "random_uniform"]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4), nn.Softmax(1)).eval()


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(5, 2, 4, 4)).astype(np.float32)


Y = np.array([0, 3, 1, 2, 0])


def signed(weights):
    """A network of one linear layer, whose gradient is known."""
    model = nn.Linear(len(weights), 2, bias=False)
    model.weight.data = torch.tensor([weights, [1.0] * len(weights)])
    return model


class FakeMetric:
    """What Quantus's metrics do with a function, by the words of its ``Metric.explain_batch`` and ``assert_attributions``."""

    def __call__(self, model, x_batch, y_batch, explain_func, explain_func_kwargs, device=None):
        kwargs = dict(explain_func_kwargs)
        if device is not None and "device" not in kwargs:
            kwargs["device"] = device
        maps = explain_func(model=model, inputs=x_batch, targets=y_batch, **kwargs)
        assert type(maps) is np.ndarray
        assert len(maps) == len(x_batch)
        assert maps.ndim == x_batch.ndim
        assert not np.all(maps == 0)
        assert not np.all(maps == 1)
        assert len(set(maps.flatten().tolist())) > 1
        assert not np.all(maps < 0)
        return maps


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("name", METHODS)
def test_a_metric_is_given_what_explain_gives(net, x, name):
    before = state(net)
    maps = FakeMetric()(net, x, Y, explain_func(name), {"method": "as the user calls it"}, device="cpu")
    assert np.array_equal(maps, explain(net, x, name, Y))
    assert_untouched(net, before)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_the_type_is_that_of_the_inputs(net, x, kind):
    assert explain_func("lrp_z")(net, x.astype(kind), Y).dtype == kind


def test_integers_become_numbers_of_the_model_s_type(net, x):
    assert explain_func("lrp_z")(net, x.astype(np.int64), Y).dtype == np.float32


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_batches_of_any_size_give_each_sample_its_map(net, x, rows):
    assert np.allclose(explain_func("lrp_epsilon_0_25")(net, x[:rows], Y[:rows]), explain(net, x, "lrp_epsilon_0_25", Y)[:rows], atol=1e-6)


class TestAxes:
    def test_maps_are_summed_over_channels_as_quantus_sums_them(self, net, x):
        maps = explain_func("lrp_z", reduce_axes=(1,))(net, x, Y)
        assert maps.shape == (5, 1, 4, 4)
        assert np.allclose(maps, explain(net, x, "lrp_z", Y).sum(1, keepdims=True))

    def test_or_as_a_call_says(self, net, x):
        function = explain_func("lrp_z", reduce_axes=(1,), absolute=True)
        maps = function(net, x, Y, reduce_axes=[-1], keepdims=False, absolute=False)
        assert np.allclose(maps, explain(net, x, "lrp_z", Y).sum(-1))

    @pytest.mark.parametrize("axes", [(0,), (4,), (-4,), 1, (1.0,), "1", (1, 1), (-1, 1, -1)])
    def test_wrong_ones_are_errors(self, net, x, axes):
        with pytest.raises(OptionError, match="reduce_axes="):
            explain_func("lrp_z", reduce_axes=axes)(net, x, Y)


class TestOptions:
    def test_are_the_method_s_own_from_either_place(self, net, x):
        expected = explain(net, x, "integrated_gradients", Y, steps=3, baseline=0.5)
        assert np.array_equal(explain_func("integrated_gradients", steps=3, baseline=0.5)(net, x, Y), expected)
        assert np.array_equal(explain_func("integrated_gradients", steps=3)(net, x, Y, baseline=0.5), expected)

    def test_an_open_threshold_is_one(self, net, x):
        assert np.array_equal(explain_func("lrp_z_x_sign_mu", mu=0.5)(net, x, Y), explain(net, x, "lrp_z_x_sign_mu", Y, mu=0.5))

    def test_unknown_ones_are_errors_at_once(self):
        with pytest.raises(MethodNameError, match="banana"):
            explain_func("banana")
        with pytest.raises(OptionError, match="takes no option 'step' here; its options are"):
            explain_func("integrated_gradients", step=3)
        with pytest.raises(OptionError, match="takes no option 'as_tensor' here"):
            explain_func("gradient", as_tensor=True)

    def test_and_in_a_call(self, net, x):
        for wrong in ("softmax", "as_tensor", "at"):
            with pytest.raises(OptionError, match=f"takes no option '{wrong}' here"):
                explain_func("gradient")(net, x, Y, **{wrong: True})

    def test_none_is_given_twice(self, net, x):
        with pytest.raises(OptionError, match="steps= is given twice"):
            explain_func("integrated_gradients", steps=3)(net, x, Y, steps=4)


class TestWhatQuantusRefuses:
    def test_a_flat_map_says_that_it_is(self):
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        model[0].bias.data -= 100
        with pytest.raises(MapError, match=r"the map of 2 samples by 'lrp_z' is flat: 0 everywhere\. .*inspect_model"):
            explain_func("lrp_z")(model, np.ones((2, 3), np.float32), np.array([0, 1]))

    @pytest.mark.parametrize("value", [1.0, 0.5])
    def test_and_which_value_it_has(self, value):
        with pytest.raises(MapError, match=f"of 1 sample by 'gradient' is flat: {value:g} everywhere"):
            explain_func("gradient")(signed([value, value]), np.ones((1, 2), np.float32), [0])

    def test_a_wholly_negative_map_says_so_and_magnitudes_are_a_way_out(self):
        model, x = signed([-0.25, -2.0]), np.ones((1, 2), np.float32)
        with pytest.raises(MapError, match=r"wholly negative, from -2 to -0\.25: .*absolute=True"):
            explain_func("gradient")(model, x, [0])
        assert explain_func("gradient", absolute=True)(model, x, [0]).tolist() == [[0.25, 2.0]]

    def test_a_batch_is_asked_as_a_whole_as_quantus_asks_it(self):
        model, x = signed([-0.25, -2.0]), np.ones((2, 2), np.float32)
        assert explain_func("gradient")(model, x, [0, 1]).tolist() == [[-0.25, -2.0], [1.0, 1.0]]

    def test_an_empty_batch_is_none(self, net, x):
        with pytest.raises(InputError, match="empty"):
            explain_func("gradient")(net, x[:0], Y[:0])


def test_a_function_can_be_copied_and_pickled(net, x):
    function = explain_func("integrated_gradients", steps=3, reduce_axes=(1,))
    assert isinstance(function, ExplainFunction)
    assert function.__name__ == "integrated_gradients"
    for other in (copy.deepcopy(function), pickle.loads(pickle.dumps(function))):
        assert other == function
        assert np.array_equal(other(net, x, Y), function(net, x, Y))


@pytest.mark.slow
def test_quantus_itself_takes_methods_and_names_what_it_refuses(net, x):
    quantus = pytest.importorskip("quantus")
    methods = {name: explain_func(name) for name in ("gradient_x_sign", "lrp_epsilon_0_25", "random_uniform")}
    metrics = {"Sparseness": quantus.Sparseness(disable_warnings=True), "Random Logit": quantus.RandomLogit(num_classes=4)}
    scores = quantus.evaluate(metrics, methods, net, x, Y, explain_func_kwargs={})
    assert {name: len(scores[name]["Random Logit"]) for name in methods} == dict.fromkeys(methods, 5)
    with pytest.raises(MapError, match="wholly negative"):
        quantus.Sparseness(disable_warnings=True)(
            signed([-1.0, -2.0]), np.ones((2, 2)), np.array([0, 0]), explain_func=explain_func("gradient")
        )
