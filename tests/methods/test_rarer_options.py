"""What options mean at their limits and together."""

import inspect

import numpy as np
import pytest
import torch
import zennit.core
import zennit.rules
from torch import nn

from comparing import deviation
from networks import inputs, network
from signxai import explain, inspect_model
from signxai.common import OptionError
from signxai.engine import activation_memory
from signxai.methods import rules
from signxai.methods.composites import layer_rule
from signxai.names import catalog
from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer, LRPSequential

NET, X = network("cnn1d"), inputs("cnn1d")


def test_a_seed_is_any_whole_number_of_63_bits():
    last = 2**63 - 1
    assert np.abs(explain(NET, X, "smoothgrad_samples_2", 1, seed=last) - explain(NET, X, "smoothgrad_samples_2", 1, seed=0)).max() > 0
    for seed in (-1, last + 1, 1.0, True, "1"):
        with pytest.raises(OptionError, match="seed="):
            explain(NET, X, "smoothgrad_samples_2", 1, seed=seed)


def test_an_open_threshold_is_the_signs_alone():
    expected = explain(NET, X, "gradient", 1) * X.numpy() * np.where(X.numpy() >= 0.3, 1, -1)
    assert deviation(explain(NET, X, "gradient_x_input_x_sign_mu", 1, mu=0.3), expected) < 1e-12
    assert deviation(explain(NET, X, "gradient_x_sign_mu_x_input", 1, mu=0.3), expected) < 1e-12


@pytest.mark.parametrize("name", ["integrated_gradients_steps_3", "smoothgrad_samples_3", "vargrad_samples_3"])
@pytest.mark.parametrize("target", [None, 1])
def test_samples_that_take_too_much_memory_each_run_one_by_one(monkeypatch, name, target):
    expected = explain(NET, X, name, target)
    monkeypatch.setattr(activation_memory, "ACTIVATION_BYTES", 10)
    assert deviation(explain(NET, X, name, target), expected) < 1e-12


@pytest.mark.parametrize("name", ["lrp_alpha_2_beta_1", "lrp_zplus", "lrp_gamma_0_25", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x"])
def test_without_biases_the_stabilizer_takes_all_that_is_lost(name):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3, bias=False)).double()
    x = torch.randn(2, 2, 8, dtype=torch.float64)
    rows = inspect_model(net, x, name, 1, stabilizer=0.0 if "epsilon" in name else 0.1).rows
    layers = [row for row in rows if row.operation in ("conv1d", "linear")]
    assert len(layers) == 2
    for row in layers:
        assert abs(row.absorbed_by_stabilizer) > 1e-6
        assert abs(row.absorbed_by_bias) < 1e-12
        assert abs(row.absorbed_elsewhere) < 1e-12


ZENNITS = {"ZPlus": "ZPlus", "AlphaBeta": "AlphaBeta", "Gamma": "Gamma", "ZBox": "ZBox", "WSquare": "WSquare", "Flat": "Flat"}


@pytest.mark.parametrize("name", ZENNITS)
def test_a_rule_made_without_a_stabilizer_has_zennits(name):
    ours, theirs = getattr(rules, name), getattr(zennit.rules, ZENNITS[name])
    assert inspect.signature(ours).parameters["stabilizer"].default == inspect.signature(theirs).parameters["stabilizer"].default == 1e-6


@pytest.mark.parametrize("record", catalog.current().rules.values(), ids=lambda record: record.name)
def test_a_rule_of_the_catalog_is_exact_unless_it_is_told_otherwise(record):
    assert getattr(layer_rule(record, {}), "stabilizer", 0.0) == 0.0


def test_the_layer_of_an_unknown_rule_is_named():
    for argument in ("first_layer_rule", "middle_layer_rule", "last_layer_rule"):
        with pytest.raises(OptionError, match=f"{argument}='bananas'"):
            LRPSequential(NET, **{argument: "bananas"})


def test_only_zennits_own_layer_map_is_read_as_pairs():
    class Mine(zennit.core.Composite):
        """A composite that keeps something else under that name."""

        layer_map = {"anything": "else"}  # noqa: RUF012  # as a user may have it

        def __init__(self):
            super().__init__(module_map=lambda ctx, name, module: None)

    relevance = AdvancedLRPAnalyzer(NET, "custom", composite=Mine()).analyze(X, 1)
    assert deviation(relevance, explain(NET, X, "gradient", 1)) < 1e-12


def test_a_rule_as_a_hook_may_pass_relevance_more_than_once():
    layer = nn.Linear(4, 3).double()
    handles = rules.Epsilon(0.1).register(layer)
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    y = layer(x.clone())
    first, second = (torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)[0] for _ in range(2))
    handles.remove()
    torch.testing.assert_close(first, second, rtol=0, atol=0)
