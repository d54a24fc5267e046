"""Networks for time series as people write them: explained down to the last share, batch as samples, and left as they were."""

import numpy as np
import pytest
import torch

from comparing import deviation
from crossing import in_turn
from series_networks import built, recordings, series_networks
from signxai import explain, inspect_model

NETWORKS = series_networks()
METHODS = ["lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrpsign_epsilon_0_25_std_x", "zblrp_epsilon_0_1"]
X = recordings(3)


def test_there_are_many():
    assert len(NETWORKS) >= 50


@pytest.mark.parametrize(("name", "method"), in_turn(NETWORKS, METHODS, of_each=2))
def test_a_batch_is_its_samples_and_nothing_is_unaccounted(name, method):
    network = built(NETWORKS[name])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    together = explain(network, X, method, 1, strict=True)
    alone = np.concatenate([explain(network, x[None], method, 1, strict=True) for x in X])
    assert np.abs(together).max() > 0
    assert deviation(together, alone) < 1e-11
    assert abs(inspect_model(network, X[:1], method, 1, strict=True).unaccounted) < 1e-9
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_is_autograds(name):
    network, leaf = built(NETWORKS[name]), X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(network(leaf * 1)[:, 1].sum(), leaf)
    assert deviation(explain(network, X, "gradient", 1), expected) < 1e-12
