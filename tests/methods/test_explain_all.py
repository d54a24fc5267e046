"""Several methods on one input give what each gives alone, for less work."""

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from networks import Counting, inputs, network
from signxai import explain, explain_all
from signxai.common import OptionError
from signxai.engine.prediction import predict
from signxai.methods.batch import SharedResults
from signxai.methods.explainer import explain_together, explainers_for

NAMES = ["gradient", "gradient_x_input", "gradient_x_sign_mu_0_5", "input_t_gradient_x_sign", "lrp_epsilon_0_1", "grad_cam"]


@pytest.mark.parametrize("target", [None, 1, [0, 3, 1, 2]])
def test_each_map_is_that_of_explain(target):
    net, x = network("cnn2d"), inputs("cnn2d")
    maps = explain_all(net, x, NAMES, target)
    assert list(maps) == NAMES
    for name in NAMES:
        np.testing.assert_array_equal(maps[name], explain(net, x, name, target), err_msg=name)


def test_options_go_to_the_methods_that_take_them():
    net, x = network("cnn2d"), inputs("cnn2d")
    names = ["integrated_gradients", "gradient_x_sign_mu", "lrp_z"]
    maps = explain_all(net, x, names, 1, steps=5, mu=0.3, relevance="logit", as_tensor=True)
    assert torch.equal(maps["integrated_gradients"], explain(net, x, "integrated_gradients", 1, steps=5, relevance="logit", as_tensor=True))
    assert torch.equal(maps["gradient_x_sign_mu"], explain(net, x, "gradient_x_sign_mu", 1, mu=0.3, relevance="logit", as_tensor=True))
    with pytest.raises(OptionError, match="bananas"):
        explain_all(net, x, names, 1, mu=0.3, bananas=1)
    with pytest.raises(OptionError, match="steps"):
        explain_all(net, x, ["integrated_gradients_steps_5"], 1, steps=5)


def test_one_name_is_not_a_sequence_of_names():
    with pytest.raises(OptionError, match="sequence"):
        explain_all(network("cnn2d"), inputs("cnn2d"), "gradient")


def test_one_gradient_serves_all_that_are_made_of_it():
    net = Counting(network("cnn2d"))
    explain_all(net, inputs("cnn2d"), ["gradient", "gradient_x_input", "gradient_x_sign", "input_t_gradient"], 1)
    assert len(net.calls) == 1


@pytest.mark.parametrize("names", [["gradient"], ["lrp_z"], ["grad_cam"], ["integrated_gradients_steps_2"], ["random_uniform", "lrp_z"]])
@pytest.mark.parametrize("target", [None, 1])
def test_who_asks_for_logits_has_them_without_another_pass(names, target):
    net, x = network("cnn2d"), inputs("cnn2d")
    if names[0].startswith("integrated") and target is not None:
        pytest.skip("it runs at no sample itself")
    counting, shared = Counting(net), SharedResults(len(names))
    explain_together(explainers_for(counting, names, {}), x, target, shared)
    passes = list(counting.calls)
    assert deviation(shared.logits(len(x)).numpy(), predict(net, x).numpy()) < 1e-6
    explain(counting, x, names[0], target)
    assert len(names) > 1 or counting.calls == 2 * passes


def test_logits_of_samples_that_are_explained_one_by_one_are_their_own():
    class Centred(nn.Linear):
        def forward(self, x):
            return super().forward(x - x.mean(0))

    net, x, shared = Centred(3, 2), torch.arange(12.0).view(4, 3) ** 2, SharedResults(1)
    explain_together(explainers_for(net, ["gradient"], {"stochastic": True}), x, 0, shared)
    assert torch.equal(shared.logits(4), torch.cat([net(one[None]) for one in x]).detach())
    assert shared.logits(5) is None
