"""Targets with names: each map is that of the score written as a function, for every family of methods."""

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from networks import CLASSES, inputs, network, randomized
from signxai import explain, inspect_model
from signxai.common import TargetError
from signxai.targets import contrast, log_probability, margin, token, top

METHODS = ["gradient", "guided_backprop", "lrp_z", "lrp_epsilon_0_25_std_x", "lrpsign_gamma_0_25", "grad_cam",
           "integrated_gradients_steps_5", "smoothgrad_samples_3", "vargrad_samples_3"]  # fmt: skip
SCORES = {
    "contrast": (contrast(2, 0), lambda z: z[:, 2] - z[:, 0]),
    "log_probability": (log_probability(2), lambda z: z.log_softmax(1)[:, 2]),
    "log_probability of a label": (log_probability(2, "sigmoid"), lambda z: torch.nn.functional.logsigmoid(z[:, 2])),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("method", METHODS)
def test_a_named_target_is_its_score(method, name):
    net, x = network("cnn2d"), inputs("cnn2d")
    named, score = SCORES[name]
    assert deviation(explain(net, x, method, named), explain(net, x, method, score)) < 1e-12


@pytest.mark.parametrize("batch_size", [None, 1, 3])
@pytest.mark.parametrize("target", [margin(), top(2), contrast([0, 1, 2, 3], [1, 2, 3, 0]), log_probability([3, 2, 1, 0])], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_samples(method, target, batch_size):
    net, x = network("cnn2d"), inputs("cnn2d")
    together = explain(net, x, method, target, batch_size=batch_size)
    for i in range(len(x)):
        assert deviation(explain(net, x[i : i + 1], method, target.rows(i, i + 1)), together[i : i + 1]) < 1e-10


@pytest.mark.parametrize("method", METHODS)
def test_margin_is_the_first_class_rather_than_the_second(method):
    net, x = network("cnn2d"), inputs("cnn2d")
    first, second = net(x).detach().topk(2, 1).indices.unbind(1)
    wanted = explain(net, x, method, contrast(first.tolist(), second.tolist()))
    assert deviation(explain(net, x, method, margin()), wanted) < 1e-12


@pytest.mark.parametrize("method", ["gradient", "lrp_z", "integrated_gradients_steps_5"])
def test_a_token_is_an_entry_of_a_sequence(method):
    net, x = randomized(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5))), inputs("mlp").new_ones(2, 4, 6).cumsum(1)
    wanted = explain(net, x, method, (3, 2))
    assert deviation(explain(net, x, method, token(-1, 2)), wanted) < 1e-12
    assert np.array_equal(explain(net, x, method, (-1, 2)), wanted)
    assert np.array_equal(explain(net, x, method, (-1, -3)), wanted)


@pytest.mark.parametrize("target", [contrast(CLASSES, 0), contrast(-1, 0), contrast([0, 1], 0), contrast("cat", 0), token(0, 0), top(99),
                                    contrast((0, 1), 0), log_probability(True)], ids=str)  # fmt: skip
def test_what_is_no_entry_is_refused(target):
    with pytest.raises(TargetError):
        explain(network("cnn2d"), inputs("cnn2d"), "gradient", target)


@pytest.mark.parametrize("target", [contrast(1, 1), contrast([0, 1, 2, 0], 2), contrast([0, 1, 2, 3], [1, 2, 3, 3])], ids=str)
@pytest.mark.parametrize("method", ["gradient", "lrp_z", "grad_cam", "integrated_gradients_steps_5"])
def test_an_entry_is_not_compared_with_itself(method, target):
    with pytest.raises(TargetError, match="compares an entry with itself for sample"):
        explain(network("cnn2d"), inputs("cnn2d"), method, target)


def test_an_entry_counted_from_the_end_is_not_compared_with_itself():
    net, x = randomized(nn.Sequential(nn.Linear(6, 5))), inputs("mlp").new_ones(2, 4, 6)
    with pytest.raises(TargetError, match="sample 0"):
        explain(net, x, "gradient", contrast((-1, 2), (3, 2)))


ENDINGS = {
    "sigmoid": (nn.Sigmoid(), nn.functional.logsigmoid),
    "log-sigmoid": (nn.LogSigmoid(), nn.functional.logsigmoid),
    "softmax": (nn.Softmax(1), lambda z: z.log_softmax(1)),
    "log-softmax": (nn.LogSoftmax(1), lambda z: z.log_softmax(1)),
    "logits": (nn.Identity(), lambda z: z.log_softmax(1)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_probability_is_what_the_network_ends_in(ending, method):
    net, x = network("cnn2d"), inputs("cnn2d")
    last, log = ENDINGS[ending]
    wanted = explain(net, x, method, lambda z: log(z)[:, 2])
    ended = nn.Sequential(net, last).eval()
    assert deviation(explain(ended, x, method, log_probability(2)), wanted) < 1e-12


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_probability_has_one_account(ending):
    net, x = network("cnn2d"), inputs("cnn2d")
    last, log = ENDINGS[ending]
    wanted = inspect_model(net, x, "lrp_z", lambda z: log(z)[:, 2])
    found = inspect_model(nn.Sequential(net, last).eval(), x, "lrp_z", log_probability(2))
    assert found.relevance_at_output == pytest.approx(wanted.relevance_at_output, rel=1e-12)
    assert found.relevance_at_input == pytest.approx(wanted.relevance_at_input, rel=1e-12)


def test_a_single_output_has_no_softmax():
    net, x = randomized(nn.Sequential(nn.Linear(6, 1))), inputs("mlp").new_ones(2, 6)
    with pytest.raises(TargetError, match="take activation='sigmoid'"):
        explain(net, x, "gradient", log_probability(0))
    wanted = explain(net, x, "gradient", lambda z: nn.functional.logsigmoid(z)[:, 0])
    assert deviation(explain(nn.Sequential(net, nn.Sigmoid()), x, "gradient", log_probability(0)), wanted) < 1e-12


@pytest.mark.parametrize("make", [lambda: top(0), lambda: top(True), lambda: log_probability(1, "tanh")])
def test_what_cannot_be_is_refused_at_once(make):
    with pytest.raises(TargetError):
        make()


@pytest.mark.parametrize(
    "target",
    [contrast(3, 5), margin(), log_probability(3), log_probability(3, "sigmoid"), log_probability(3, "softmax"), top(2), token(-1, 7)],
    ids=str,
)
def test_a_target_prints_as_it_is_written(target):
    assert eval(repr(target)) == target
