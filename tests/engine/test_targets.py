"""Every way to say which output is explained."""

import numpy as np
import pytest
import torch
from torch import nn

import oracles
from comparing import deviation
from networks import CLASSES, inputs, network, randomized
from signxai import explain, targets
from signxai.common import TargetError
from signxai.torch_signxai.methods.zennit_impl import Analyzer, GradientAnalyzer, LRPAnalyzer, SmoothGradAnalyzer

NAMES = ["gradient", "lrp_epsilon_0_25_std_x", "integrated_gradients_steps_4", "smoothgrad_samples_3", "guided_backprop", "grad_cam"]
EACH = [2, 0, 3, 1]


@pytest.mark.parametrize("target", [1, np.int64(1), np.array(1), torch.tensor(1), [1] * 4, (1,) * 4, lambda output: [1] * 4,
                                    lambda output: output[:, 1]])  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_one_class_for_all(net, x, name, target):
    expected = np.concatenate([explain(net, x[i : i + 1], name, 1) for i in range(4)])
    assert deviation(explain(net, x, name, target), expected) < 1e-12


@pytest.mark.parametrize(
    "target",
    [
        EACH,
        tuple(EACH),
        np.array(EACH),
        np.array(EACH, dtype=np.uint8),
        torch.tensor(EACH),
        torch.tensor(EACH, dtype=torch.int32),
        [np.int64(c) for c in EACH],
        [torch.tensor(c) for c in EACH],
        lambda output: EACH,
        lambda output: torch.tensor(EACH),
        lambda output: np.array(EACH),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_class_for_each_sample(net, x, name, target):
    expected = np.concatenate([explain(net, x[i : i + 1], name, EACH[i]) for i in range(4)])
    assert deviation(explain(net, x, name, target), expected) < 1e-12


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_25_std_x", "guided_backprop", "grad_cam"])
def test_a_callable_that_picks_a_score_for_each_sample(net, x, name):
    got = explain(net, x, name, lambda output: output[range(4), EACH])
    assert deviation(got, explain(net, x, name, EACH)) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_no_target_is_each_samples_largest_logit(net, name):
    x = 3 * inputs("cnn2d", 8)
    with torch.no_grad():
        predicted = net(x).argmax(1)
    assert len(set(predicted.tolist())) > 1
    np.testing.assert_array_equal(explain(net, x, name), explain(net, x, name, predicted))


@pytest.mark.parametrize("name", ["gradient", "lrp_z", "grad_cam"])
def test_a_callable_that_gives_classes_sees_the_logits_whatever_the_batch_size(net, x, name):
    second = explain(net, x, name, lambda output: output.topk(2).indices[:, 1])
    with torch.no_grad():
        expected = explain(net, x, name, net(x).topk(2).indices[:, 1])
    np.testing.assert_array_equal(second, expected)
    assert deviation(explain(net, x, name, lambda output: output.topk(2).indices[:, 1], batch_size=3), expected) < 1e-12


def test_the_gradient_of_a_callables_scores(net, x):
    def score(output):
        return output[:, 1] - 0.5 * output[:, 2] ** 2

    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(score(net(leaf)).sum(), leaf)[0]
    assert deviation(explain(net, x, "gradient", score), expected) < 1e-12


def test_lrp_of_a_linear_combination_of_logits_is_the_combination_of_their_maps(net, x):
    got = explain(net, x, "lrp_epsilon_0_1", lambda output: output[:, 1] - output[:, 2])
    expected = explain(net, x, "lrp_epsilon_0_1", 1) - explain(net, x, "lrp_epsilon_0_1", 2)
    assert deviation(got, expected) < 1e-12


class PerStep(nn.Module):
    """A network on (N, 3, 16) with an output (N, classes, time), or with time first."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv1d(3, 5, 3, padding=1), nn.Conv1d(5, CLASSES, 1)

    def forward(self, x):
        return self.out(torch.relu(self.conv(x)))


class AtStep(nn.Module):
    """One time step of it."""

    def __init__(self, net, step):
        super().__init__()
        self.net, self.step = net, step

    def forward(self, x):
        return self.net(x)[:, :, self.step]


@pytest.mark.parametrize(
    "name", ["gradient", "lrp_z", "lrp_alpha_2_beta_1", "integrated_gradients_steps_3", "smoothgrad_samples_2", "grad_cam"]
)
def test_a_tuple_is_an_index_behind_the_batch_axis(name):
    net, x = randomized(PerStep()), inputs("cnn1d")
    for relevance in ("one_hot", "logit"):
        got = explain(net, x, name, (2, 7), relevance=relevance)
        assert deviation(got, explain(AtStep(net, 7), x, name, 2, relevance=relevance)) < 1e-12
    assert np.abs(explain(net, x, "lrp_z", (2, 7))[:, :, 9:]).max() == 0


@pytest.mark.parametrize("target", [1, [1, 2, 3, 0], (4, 0), (0, 16), (0, 1, 2), (0, 1.5), (0, "1")])
def test_an_output_of_more_axes_needs_an_index_for_each(target):
    with pytest.raises(TargetError):
        explain(randomized(PerStep()), inputs("cnn1d"), "gradient", target)


class Wrapped(nn.Module):
    """A network whose output is put into something."""

    def __init__(self, net, wrap):
        super().__init__()
        self.net, self.wrap = net, wrap

    def forward(self, x):
        return self.wrap(self.net(x))


class Output(dict):
    """What Hugging Face's models return: a dict with attributes, in an order of its own."""

    @property
    def logits(self):
        return self["logits"]


class Plain:
    """An object with .logits."""

    def __init__(self, logits):
        self.logits, self.loss = logits, None


WRAPS = {
    "Hugging Face": lambda z: Output(hidden=z * 2, logits=z),
    "attribute": Plain,
    "tuple": lambda z: (z, z * 2),
    "list": lambda z: [z, z * 2],
    "tuple whose first is no tensor": lambda z: (None, z, z * 2),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrap", WRAPS)
def test_an_output_in_a_wrapping_is_unwrapped(net, x, wrap, name):
    wrapped = Wrapped(net, WRAPS[wrap])
    assert deviation(explain(wrapped, x, name, EACH), explain(net, x, name, EACH)) < 1e-12
    np.testing.assert_array_equal(explain(wrapped, x, name), explain(net, x, name))


@pytest.mark.parametrize("analyzer", [GradientAnalyzer, LRPAnalyzer, SmoothGradAnalyzer])
def test_analyzers_take_the_same_targets(net, x, analyzer):
    with torch.no_grad():
        predicted = net(x).argmax(1)
    one = analyzer(net)
    np.testing.assert_array_equal(one.analyze(x), one.analyze(x, predicted))
    np.testing.assert_array_equal(one.analyze(x, EACH), one.analyze(x, target_class=torch.tensor(EACH)))


def test_the_target_counts(net, x):
    for target in range(CLASSES):
        assert deviation(explain(net, x, "gradient", target), oracles.gradient(net, x, target)) < 1e-12


def test_a_row_of_indices_for_each_sample_of_an_output_with_more_axes():
    net = nn.Conv1d(2, 3, 3).double()
    x = torch.randn(4, 2, 8, dtype=torch.float64)
    rows = [[0, 5], [2, 0], [1, 3], [2, 5]]
    expected = np.concatenate([explain(net, x[i : i + 1], "gradient", tuple(row)) for i, row in enumerate(rows)])
    for target in (rows, np.array(rows), torch.tensor(rows)):
        np.testing.assert_array_equal(explain(net, x, "gradient", target), expected)
    with pytest.raises(TargetError, match="one integer for all, or one for each sample"):
        explain(net, x, "gradient", np.zeros((4, 2, 1), dtype=int))


FAILING = {
    "two arguments": lambda logits, more: logits,
    "a key": lambda logits: logits["scores"],
    "an attribute": lambda logits: logits.scores,
    "an index": lambda logits: logits[:, 99],
    "another shape": lambda logits: logits @ torch.ones(99, 1).to(logits),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_a_callable_raises_is_said_with_what_it_is_given(name):
    with pytest.raises(TargetError, match=r"callable target failed on outputs of shape .*: \w+Error: .* given the logits"):
        explain(network("linear"), inputs("linear", 2), "gradient", FAILING[name])


SCORES = {
    "predicted": (None, lambda logits: logits.amax(1)),
    "one class": (1, lambda logits: logits[:, 1]),
    "each its own": ([0, 1], lambda logits: torch.stack([logits[0, 0], logits[1, 1]])),
    "a probability": (lambda logits: logits.softmax(1)[:, 1],) * 2,
    "classes": (lambda logits: logits.argmin(1), lambda logits: logits.amin(1)),
    "margin": (targets.margin(), lambda logits: logits.topk(2, 1).values[:, 0] - logits.topk(2, 1).values[:, 1]),
}


@pytest.mark.parametrize("kind", SCORES)
def test_a_score_of_points_is_what_is_explained(kind):
    target, wanted_of = SCORES[kind]

    class Keeps(Analyzer):
        changes_model = False

        def attribute(self, batch):
            with torch.no_grad():
                logits = batch.run()
                score = batch.score(logits)
                found.append((logits, score(logits), score(logits + 1), batch.initial_relevance(logits)))
            return batch.x

    found = []
    net, x = network("linear"), inputs("linear", 2)
    Keeps(net).analyze(x, target)
    logits, own, moved, start = found[0]
    leaf = logits.clone().requires_grad_()
    wanted = wanted_of(leaf)
    assert torch.allclose(own, wanted.detach())
    assert torch.allclose(start, torch.autograd.grad(wanted.sum(), leaf)[0])
    assert moved.shape == own.shape
