"""Without batch_size= memory is bounded, however many samples there are, and who wants to know is told how far it is."""

import numpy as np
import pytest
import torch
from torch import nn

from signxai import explain, explain_all
from signxai.common.errors import OptionError
from signxai.engine import batch_bound
from signxai.engine.prediction import predict
from signxai.targets import contrast

PASSES = []


def said(x):
    """Take note of how many samples a pass has."""
    PASSES.append(len(x))


class Counting(nn.Module):
    """A network of which it is known how many samples each of its passes has."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv1d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 30, 3)).double()

    def forward(self, x):
        said(x)
        return self.net(x)


@pytest.fixture(autouse=True)
def none_so_far():
    PASSES.clear()


@pytest.fixture
def few(monkeypatch):
    """Four samples at once are many."""
    monkeypatch.setattr(batch_bound, "_FEW", 4)
    monkeypatch.setattr(batch_bound.MeasuringPass, "most_samples", lambda self: 3)


X = torch.from_numpy(np.random.default_rng(0).normal(size=(10, 2, 32)))
METHODS = ["gradient", "gradient_x_sign", "guided_backprop", "grad_cam", "lrp_z", "lrp_epsilon_0_25_std_x", "random_uniform"]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("target", [None, 1, list(range(3)) * 3 + [0], contrast(0, 1)])
def test_large_batches_are_cut_and_the_maps_are_the_same(few, name, target):
    whole = explain(Counting(), X, name, target, batch_size=10)
    assert max(PASSES, default=10) == 10
    PASSES.clear()
    np.testing.assert_allclose(explain(Counting(), X, name, target), whole, atol=1e-12 * np.abs(whole).max())
    assert max(PASSES, default=0) <= 3


def test_methods_together_share_what_each_part_of_the_batch_has_in_common(few):
    maps = explain_all(Counting(), X, ["gradient", "gradient_x_sign"])
    assert max(PASSES) <= 3
    np.testing.assert_allclose(maps["gradient"], explain(Counting(), X, "gradient", batch_size=10), atol=1e-12)


def test_predictions_are_cut_too(few):
    net = Counting()
    torch.testing.assert_close(predict(net, X), net.net(X).detach())
    assert max(PASSES) == 3
    assert sum(PASSES) == 11  # and one by which the others are measured


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 10},
        {"target_class": lambda logits: logits[:, 0] - logits.mean()},  # compares the samples
        {"at": "net.1", "target_class": 0},
        {"as_tensor": True, "create_graph": True, "target_class": 0},
    ],
)
def test_what_asks_for_the_whole_batch_gets_it(few, options):
    explain(Counting(), X, "gradient", **options)
    assert 10 in PASSES


def test_few_and_small_samples_are_not_measured():
    explain(Counting(), X, "lrp_z", 0)
    assert PASSES[0] == 10


def test_a_network_that_takes_no_single_sample_is_given_all(few):
    class Ten(Counting):
        def forward(self, x):
            if len(x) != 10:
                raise RuntimeError("ten, please")
            return super().forward(x)

    assert batch_bound.samples_at_once(Ten(), X, None, None, None) == 10


def test_the_bound_is_that_of_the_activations():
    threads = torch.get_num_threads()
    large = nn.Sequential(nn.Conv2d(1, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.Flatten(1), nn.AdaptiveAvgPool1d(2))
    x = torch.zeros(200, 1, 128, 128)  # 12 MiB of activations a sample
    assert batch_bound.samples_at_once(large, x, None, None, None) <= 5 * threads


@pytest.mark.parametrize("name", ["gradient", "lrp_z", "integrated_gradients_steps_7", "smoothgrad_samples_5", "vargrad_samples_5"])
@pytest.mark.parametrize("batch_size", [1, 4, 10])
def test_progress_rises_to_the_number_of_samples(name, batch_size):
    told = []
    explain(Counting(), X, name, 0, batch_size=batch_size, progress=lambda done, count: told.append((done, count)))
    done = [one for one, _ in told]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(10)
    assert {count for _, count in told} == {10}
    if batch_size < 10 or "_" in name[4:]:
        assert len(told) > 2


def test_progress_of_several_layers_is_of_all_of_them():
    told = []
    options = {"at": ["net.0", "net.1"], "progress": lambda done, count: told.append(done / count)}
    explain(Counting(), X, "integrated_gradients_steps_4", 0, batch_size=10, **options)
    assert told == pytest.approx(np.linspace(0, 1, len(told) + 1)[1:])


def test_progress_is_a_function():
    with pytest.raises(OptionError, match="progress=3 must be a function"):
        explain(Counting(), X, "gradient", 0, progress=3)
