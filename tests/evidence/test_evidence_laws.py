"""What must hold: where the truth is known, what a batch is, that the model is left alone, and what is refused."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from kinds_of_input import SignalAndTable, Words
from networks import drawn, inputs, network, randomized
from refusals import raises
from signxai import certify, compare_methods, evidence, explain
from signxai.common.errors import InputError, ModelError, OptionError, TargetError
from signxai.evidence.curves import Steps
from signxai.evidence.layout import unit_in_layout
from signxai.evidence.units import Partition
from signxai.targets import contrast, margin
from untouched import assert_untouched, state


def linear(values: int = 5, outputs: int = 2, seed: int = 0) -> nn.Linear:
    return randomized(nn.Linear(values, outputs), seed)


def contributions(net: nn.Linear, x, target: int) -> np.ndarray:
    return (net.weight[target] * x).detach().numpy()


# --- linear models, where everything is known --------------------------------------------------------------------------------


def test_the_exact_contributions_are_the_best_of_all_rankings():
    net, x = linear(), drawn(1, 5)
    best = evidence.srg(net, x, contributions(net, x, 1), 1, imputer=0.0, steps=5)
    ranks = np.array(list(itertools.permutations(range(5))), dtype=float)
    others = evidence.srg(net, x.repeat(len(ranks), 1), ranks, 1, imputer=0.0, steps=5)
    assert best[0] == pytest.approx(others.max(), abs=1e-12)
    assert others.mean() == pytest.approx(0.0, abs=1e-12)
    assert (others < best - 1e-9).sum() == len(ranks) - 1
    worst = evidence.srg(net, x, -contributions(net, x, 1), 1, imputer=0.0, steps=5)
    assert worst[0] == pytest.approx(-best[0], abs=1e-12)
    assert worst[0] == pytest.approx(others.min(), abs=1e-12)


def test_a_linear_model_is_explained_perfectly_by_its_contributions():
    net, x = linear(20), drawn(4, 20)
    relevance = contributions(net, x, 1)
    np.testing.assert_allclose(evidence.infidelity(net, x, relevance, 1), 0, atol=1e-12)
    np.testing.assert_allclose(evidence.sensitivity_n(net, x, relevance, 1), 1, atol=1e-12)
    np.testing.assert_allclose(evidence.faithfulness_correlation(net, x, relevance, 1), 1, atol=1e-12)
    np.testing.assert_allclose(evidence.completeness(net, x, relevance, 1), 0, atol=1e-12)
    np.testing.assert_allclose(evidence.completeness(net, x, 2 * relevance, 1, relative=True), 1, atol=1e-12)
    slopes = net.weight[1].detach().expand_as(x)
    np.testing.assert_allclose(evidence.infidelity(net, x, slopes, 1, kind="sensitivity", imputer="mean"), 0, atol=1e-12)
    np.testing.assert_allclose(evidence.max_sensitivity(net, x, "gradient", 1), 0, atol=1e-12)


def test_the_negated_contributions_are_as_wrong_as_can_be():
    net, x = linear(20), drawn(4, 20)
    wrong = -contributions(net, x, 1)
    np.testing.assert_allclose(evidence.sensitivity_n(net, x, wrong, 1), -1, atol=1e-12)
    np.testing.assert_allclose(evidence.faithfulness_correlation(net, x, wrong, 1), -1, atol=1e-12)
    plain, scaled = (evidence.infidelity(net, x, wrong, 1, scaled=scaled) for scaled in (False, True))
    assert (plain > scaled).all()
    assert (scaled > 0.01).all()


def test_a_scaled_map_has_no_infidelity_of_its_scale():
    net, x = linear(20), drawn(4, 20)
    np.testing.assert_allclose(evidence.infidelity(net, x, 7 * contributions(net, x, 1), 1, scaled=True), 0, atol=1e-12)
    assert (evidence.infidelity(net, x, 7 * contributions(net, x, 1), 1) > 0.1).all()


def test_a_constant_map_scores_like_random_ones():
    net, x = network("cnn2d"), inputs("cnn2d", 8)
    seeds = range(12)
    scores = np.array([evidence.srg(net, x, np.ones(x.shape), 0, steps=6, seed=seed) for seed in seeds])
    random = np.array([evidence.srg(net, x, explain(net, x, "random_uniform", 0, seed=seed), 0, steps=6) for seed in seeds])
    real = evidence.srg(net, x, explain(net, x, "gradient_x_input", 0), 0, steps=6)
    error = scores.mean(1).std() / len(seeds) ** 0.5
    assert abs(scores.mean()) < 4 * error
    assert 0.5 < scores.std() / random.std() < 2
    assert real.mean() > 4 * scores.mean(1).std()


def test_a_constant_map_is_at_chance_where_relevance_should_lie():
    mask = np.random.default_rng(0).random((3, 1, 9, 9)) < 0.4
    chance = mask.reshape(3, -1).mean(1)
    flat = np.ones((3, 1, 9, 9))
    for metric in (evidence.pointing_game, evidence.relevance_mass, evidence.relevance_rank, evidence.top_k_intersection):
        np.testing.assert_allclose(metric(flat, mask), chance)
    np.testing.assert_allclose(evidence.auc(flat, mask), 0.5)


def test_srg_is_insertion_less_deletion_by_the_same_imputer_and_score():
    net, x = network("cnn1d"), inputs("cnn1d")
    relevance = explain(net, x, "lrp_z", 0)
    how = {"imputer": "mean", "score": "logit", "steps": 8}
    difference = evidence.insertion(net, x, relevance, 0, **how) - evidence.deletion(net, x, relevance, 0, **how)
    np.testing.assert_allclose(evidence.srg(net, x, relevance, 0, **how), difference, atol=1e-12)


def test_a_method_that_ignores_the_model_is_found_out():
    net, x = network("cnn2d"), inputs("cnn2d")
    edges = lambda model, x, target: x  # noqa: E731
    np.testing.assert_allclose(evidence.mprt(net, x, edges, 0), 1)
    np.testing.assert_allclose(evidence.random_logit(net, x, edges, 0), 1)
    np.testing.assert_allclose(evidence.emprt(net, x, edges, 0), 0)
    assert (np.abs(evidence.mprt(net, x, "gradient", 0)) < 0.5).all()


def test_a_map_that_never_changes_passes_no_randomization_test():
    net, x = network("cnn1d"), inputs("cnn1d")
    for similarity in ("spearman", "pearson", "spearman_of_magnitudes"):
        for value in (0.0, 2.0):
            how = {"similarity": similarity}
            flat = lambda model, x, target, value=value: torch.full_like(x, value)  # noqa: E731
            np.testing.assert_array_equal(evidence.mprt(net, x, flat, 0, **how), 1)
            np.testing.assert_array_equal(evidence.random_logit(net, x, flat, 0, **how), 1)
            np.testing.assert_array_equal(evidence.emprt(net, x, flat, 0), 0)
    changing = lambda model, x, target: x if model is net else torch.ones_like(x)  # noqa: E731
    np.testing.assert_array_equal(evidence.mprt(net, x, changing, 0), np.nan)


# --- what is run -------------------------------------------------------------------------------------------------------------


def test_the_predicted_class_is_the_target_where_none_is_given():
    net, x = network("cnn1d"), inputs("cnn1d")
    predicted = net(x).argmax(1).tolist()
    relevance = explain(net, x, "gradient_x_input")
    np.testing.assert_array_equal(evidence.srg(net, x, relevance), evidence.srg(net, x, relevance, predicted))
    np.testing.assert_array_equal(evidence.mprt(net, x, "gradient"), evidence.mprt(net, x, "gradient", predicted))


def test_targets_that_are_functions():
    net, x = network("cnn1d"), inputs("cnn1d")
    difference = lambda outputs: outputs[:, 0] - outputs[:, 2]  # noqa: E731
    relevance = explain(net, x, "gradient_x_input", difference)
    wanted = evidence.srg(net, x, relevance, 0) - evidence.srg(net, x, relevance, 2)
    for target in (difference, contrast(0, 2), contrast([0] * 4, [2] * 4)):
        np.testing.assert_allclose(evidence.srg(net, x, relevance, target, batch_size=3), wanted, atol=1e-12)
    first, second = net(x).topk(2, dim=1).indices.unbind(1)
    named = contrast(first.tolist(), second.tolist())
    np.testing.assert_allclose(evidence.srg(net, x, relevance, margin()), evidence.srg(net, x, relevance, named), atol=1e-12)
    np.testing.assert_allclose(
        evidence.max_sensitivity(net, x, "gradient", margin()), evidence.max_sensitivity(net, x, "gradient", named), atol=1e-12
    )


def test_a_final_activation_is_taken_off_and_gives_the_probability():
    net, x = network("cnn1d"), inputs("cnn1d")
    relevance = explain(net, x, "gradient_x_input", 1)
    with_softmax, with_sigmoid = nn.Sequential(net, nn.Softmax(1)), nn.Sequential(net, nn.Sigmoid())
    wanted = evidence.srg(net, x, relevance, 1)
    np.testing.assert_allclose(evidence.srg(with_softmax, x, relevance, 1), wanted, atol=1e-12)
    curve = evidence.perturbation_curve(net, x, relevance, 1, score="probability").scores
    np.testing.assert_allclose(curve[:, 0], net(x).softmax(1)[:, 1].detach(), atol=1e-12)
    found = evidence.perturbation_curve(with_sigmoid, x, relevance, 1, score="probability").scores
    np.testing.assert_allclose(found[:, 0], net(x).sigmoid()[:, 1].detach(), atol=1e-12)


def test_a_model_with_one_logit():
    body, x = randomized(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1))), drawn(4, 6)
    relevance = explain(body, x, "gradient_x_input", 0)
    for net in (body, nn.Sequential(body, nn.Flatten(0))):
        curve = evidence.perturbation_curve(net, x, relevance, 0, score="probability").scores
        np.testing.assert_allclose(curve[:, 0], body(x)[:, 0].sigmoid().detach(), atol=1e-12)
        decided = evidence.perturbation_curve(net, x, relevance, 0, score="decision").scores
        assert set(np.unique(decided)) <= {0.0, 1.0}
        assert decided[:, 0].all()


def test_outputs_with_more_axes_and_a_chosen_output():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(3, 4, 3, padding=1)

        def forward(self, x):
            return {"boxes": x.mean(2), "scores": self.conv(x)}

    net, x = randomized(Heads()), inputs("cnn1d")
    output = lambda returned: returned["scores"]  # noqa: E731
    relevance = explain(net, x, "gradient_x_input", (2, 7), output=output)
    curve = evidence.perturbation_curve(net, x, relevance, (2, 7), output=output, imputer=0.0)
    np.testing.assert_allclose(curve.scores[:, 0], net(x)["scores"][:, 2, 7].detach(), atol=1e-12)
    assert (evidence.srg(net, x, relevance, (2, 7), output=output, imputer=0.0) > 0).all()


PROBABILITIES = {
    "of a softmax along axis 1": (nn.Softmax(1), lambda logits: logits.softmax(1)),
    "of a softmax along the last axis": (nn.Softmax(2), lambda logits: logits.softmax(2)),
    "of the logarithm of one": (nn.LogSoftmax(1), lambda logits: logits.softmax(1)),
    "of logits": (nn.Identity(), lambda logits: logits.softmax(1)),
    "of sigmoids": (nn.Sigmoid(), lambda logits: logits.sigmoid()),
}


@pytest.mark.parametrize("name", PROBABILITIES)
def test_the_probability_of_an_entry_is_that_which_the_network_gives(name):
    activation, probabilities = PROBABILITIES[name]
    body, x = randomized(nn.Conv1d(3, 4, 3, padding=1)), inputs("cnn1d")
    wanted = probabilities(body(x)).detach()[:, 1, 7]
    found = evidence.perturbation_curve(nn.Sequential(body, activation), x, np.ones(x.shape), (1, 7), score="probability", steps=3)
    np.testing.assert_allclose(found.scores[:, 0], wanted, atol=1e-12)


def test_the_probability_of_a_place_of_one_channel_is_its_sigmoid():
    body, x = randomized(nn.Conv1d(3, 1, 3, padding=1)), inputs("cnn1d")
    found = evidence.perturbation_curve(body, x, np.ones(x.shape), (0, 7), score="probability", steps=3)
    np.testing.assert_allclose(found.scores[:, 0], body(x).sigmoid().detach()[:, 0, 7], atol=1e-12)


def test_the_probability_of_a_token_is_among_those_at_its_position():
    net, ids = randomized(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))), torch.arange(12).reshape(2, 6) % 9
    found = evidence.perturbation_curve(net, ids, np.ones((2, 6)), (-1, 3), score="probability", steps=3, imputer=0, unit="token")
    np.testing.assert_allclose(found.scores[:, 0], net(ids).softmax(-1)[:, -1, 3].detach(), atol=1e-12)


def test_a_softmax_along_several_axes_has_no_probability_of_a_class():
    class Spatial(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = randomized(nn.Conv1d(3, 4, 3, padding=1))

        def forward(self, x):
            return self.body(x).flatten(1).softmax(1).unflatten(1, (4, -1))

    net, x = Spatial(), inputs("cnn1d")
    with raises(OptionError, "score='probability'", "several"):
        evidence.perturbation_curve(net, x, np.ones(x.shape), (1, 7), score="probability", steps=3)


def test_the_change_is_the_logit_less_the_first_one():
    net, x = network("cnn1d"), inputs("cnn1d")
    relevance = explain(net, x, "gradient_x_input", 0)
    logit, change = (evidence.perturbation_curve(net, x, relevance, 0, score=score).scores for score in ("logit", "change"))
    np.testing.assert_allclose(change, logit - logit[:, :1], atol=1e-12)


def test_no_pass_is_larger_than_asked_for_and_none_is_run_twice():
    sizes = []

    class Noting(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network("cnn1d")

        def forward(self, x):
            sizes.append(len(x))
            return self.net(x)

    x = inputs("cnn1d")
    relevance = explain(network("cnn1d"), x, "gradient_x_input", 0)
    sizes.clear()
    evidence.srg(Noting(), x, relevance, 0, steps=8, batch_size=5)
    assert max(sizes) == 5
    assert sum(sizes) == len(x) * 2 * 8, "the samples, and the points of two curves of 8 steps that share both ends"


def test_a_metric_of_a_method_runs_nothing_beside_its_explanations_where_the_class_is_given():
    sizes, maps = [], []

    class Noting(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network("cnn1d")

        def forward(self, x):
            sizes.append(len(x))
            return self.net(x)

    def flat(model, x, target):
        maps.append(len(x))
        return torch.zeros_like(x)

    net, x = Noting(), inputs("cnn1d")
    evidence.max_sensitivity(net, x, flat, 0, samples=3)
    evidence.emprt(net, x, flat, [0, 1, 2, 3], layers=["net.0"])
    assert not sizes
    assert sum(maps) == len(x) * 4 + len(x) * 2
    evidence.random_logit(net, x, flat, 0)
    assert sizes == [1], "one sample says how many classes there are"
    evidence.max_sensitivity(net, x, flat, samples=3)
    assert sum(sizes) == 1 + len(x), "the samples say which class is explained"


def test_a_model_that_draws_is_run_point_by_point_with_the_draws_of_the_seed():
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network("cnn1d")

        def forward(self, x):
            return self.net(torch.nn.functional.dropout(x, 0.3, training=True))

    net, x = Dropping(), inputs("cnn1d")
    relevance = np.random.default_rng(0).normal(size=x.shape)
    with raises(ModelError, "stochastic=True"):
        evidence.srg(net, x, relevance, 0, steps=4)
    found = evidence.srg(net, x, relevance, 0, steps=4, stochastic=True)
    alone = [evidence.srg(net, x[row : row + 1], relevance[row : row + 1], 0, steps=4, stochastic=True)[0] for row in range(4)]
    np.testing.assert_allclose(found, alone, atol=1e-12)
    assert (found != evidence.srg(net, x, relevance, 0, steps=4, stochastic=True, seed=1)).all()
    assert np.isfinite(evidence.mprt(net, x, "gradient", 0, stochastic=True)).all()


def test_the_units_of_a_step_are_rounded_halves_up():
    units = np.array([5, 4, 1])
    np.testing.assert_array_equal(Steps.read(4).counts(units), [[0, 1, 3, 4, 5], [0, 1, 2, 3, 4], [0, 0, 1, 1, 1]])
    np.testing.assert_array_equal(Steps.read(2, until=0.5).counts(units), [[0, 1, 3], [0, 1, 2], [0, 0, 1]])
    np.testing.assert_array_equal(Steps.read((0.1,)).counts(units), [[0, 1], [0, 1], [0, 1]])


def test_several_inputs_are_ranked_together():
    """What is removed first is the most relevant of all inputs, and an input without a map stays."""
    net = randomized(SignalAndTable())
    x = (drawn(2, 2, 12), drawn(2, 3, seed=7))
    order = np.zeros((2, 2, 12)), np.zeros((2, 3))
    order[1][:, 1] = 5.0
    order[0][:, :, 4] = 1.0
    curve = evidence.perturbation_curve(net, x, order, 0, imputer=0.0, steps=(1 / 15, 2 / 15))
    without = [one.clone() for one in x]
    without[1][:, 1] = 0
    first = net(*without)[:, 0]
    without[0][:, :, 4] = 0
    second = net(*without)[:, 0]
    np.testing.assert_allclose(curve.scores[:, 1:], torch.stack([first, second], 1).detach(), atol=1e-12)
    alone = evidence.perturbation_curve(net, x, (order[0], None), 0, imputer=0.0, steps=(1 / 12,))
    kept = x[0].clone()
    kept[:, :, 4] = 0
    np.testing.assert_allclose(alone.scores[:, 1], net(kept, x[1])[:, 0].detach(), atol=1e-12)


@pytest.mark.parametrize("imputer", ["mean", "blur", evidence.NoisyLinear(noise=0.0), "interpolation"])
def test_channels_that_are_last(imputer):
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network("cnn2d")

        def forward(self, x):
            return self.net(x.movedim(-1, 1))

    x = inputs("cnn2d")
    relevance = explain(network("cnn2d"), x, "gradient_x_input", 0)
    wanted = evidence.perturbation_curve(network("cnn2d"), x, relevance, 0, imputer=imputer, steps=4).scores
    how = {"imputer": evidence.ChannelsLast(imputer), "unit": evidence.Pixel(channel_axis=-1), "steps": 4}
    found = evidence.perturbation_curve(Turned(), x.movedim(1, -1), np.moveaxis(relevance, 1, -1), 0, **how).scores
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_token_ids_are_replaced_as_integers():
    net, x = randomized(Words()), torch.tensor([[3, 1, 4, 1, 5, 2]])
    relevance = np.array([[0.0, 3.0, 0.0, 0.0, 9.0, 0.0]])
    curve = evidence.perturbation_curve(net, x, relevance, 0, imputer=7, unit="token", steps=(1 / 6, 2 / 6))
    wanted = net(torch.tensor([[3, 1, 4, 1, 7, 2], [3, 7, 4, 1, 7, 2]]))[:, 0]
    np.testing.assert_allclose(curve.scores[0, 1:], wanted.detach(), atol=1e-12)
    with raises(OptionError, "token ids", "imputer=0"):
        evidence.srg(net, x, relevance, 0)
    with raises(OptionError, "whole"):
        evidence.srg(net, x, relevance, 0, imputer=0.5)


# --- units -------------------------------------------------------------------------------------------------------------------


def numbers(unit, shape):
    return Partition({0: shape}, unit).numbers[0]


def test_units_of_pictures_and_volumes():
    np.testing.assert_array_equal(numbers("pixel", (2, 3, 2, 2))[0], [[[0, 1], [2, 3]]])
    np.testing.assert_array_equal(numbers(evidence.Patch(2), (1, 3, 3, 4))[0, 0], [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]])
    np.testing.assert_array_equal(numbers(evidence.Patch((1, 4)), (1, 3, 2, 4))[0, 0], [[0] * 4, [1] * 4])
    assert numbers(evidence.Patch(2), (1, 2, 4, 4, 4)).max() == 7
    np.testing.assert_array_equal(numbers(evidence.Pixel(channel_axis=-1), (1, 2, 2, 3))[0, :, :, 0], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(numbers("value", (1, 2, 2)), [[[0, 1], [2, 3]]])


def test_units_of_signals():
    np.testing.assert_array_equal(numbers(evidence.Window(3), (1, 2, 7)), [[[0, 0, 0, 1, 1, 1, 2]]])
    np.testing.assert_array_equal(numbers(evidence.Window(4, "each"), (1, 2, 6))[0], [[0, 0, 0, 0, 1, 1], [2, 2, 2, 2, 3, 3]])
    waves = evidence.Spans([[(1, 3), (4, 6)], [(0, 2)]])
    np.testing.assert_array_equal(numbers(waves, (2, 3, 7))[:, 0], [[0, 1, 1, 2, 3, 3, 4], [0, 0, 1, 1, 1, 1, 1]])
    kept = evidence.Spans([(0.5, 1.5)], between="kept", sampling_rate=2.0, leads="each")
    np.testing.assert_array_equal(numbers(kept, (2, 2, 4))[0], [[-1, 0, 0, -1], [-1, 1, 1, -1]])
    beats = evidence.Spans(evidence.beat_spans([2, 6], 8))
    np.testing.assert_array_equal(numbers(beats, (1, 1, 8))[0, 0], [0, 0, 0, 0, 1, 1, 1, 1])


def test_what_is_in_no_unit_is_never_removed():
    net, x = network("cnn1d"), inputs("cnn1d", 2)
    unit = np.where(np.arange(16) < 10, np.arange(16) // 5, -1)
    curve = evidence.perturbation_curve(net, x, np.ones((2, 3, 16)), 0, imputer=0.0, unit=unit, steps=1)
    cut = x.clone()
    cut[:, :, :10] = 0
    np.testing.assert_allclose(curve.scores[:, 1], net(cut)[:, 0].detach(), atol=1e-12)


def test_a_users_units_in_every_shape_that_fits():
    shape = (2, 3, 4, 5)
    whole = np.random.default_rng(0).integers(0, 6, shape)
    sums = Partition({0: shape}, whole).sums({0: np.ones(shape)})
    assert sums.sum() == whole.size
    for given in (whole[0], whole[:, 0], whole[0, 0], torch.from_numpy(whole[:1])):
        partition = Partition({0: shape}, given)
        assert partition.sums({0: np.ones(shape)}).sum() == whole.size
    np.testing.assert_array_equal(Partition({0: shape}, whole[:, 0]).counts, [len(np.unique(own)) for own in whole[:, 0]])


def test_units_of_several_inputs_follow_each_other():
    partition = Partition({"a": (2, 3), "b": (2, 1, 4)}, {"a": "value", "b": evidence.Window(2)})
    np.testing.assert_array_equal(partition.numbers["a"], [[0, 1, 2]])
    np.testing.assert_array_equal(partition.numbers["b"], [[[3, 3, 4, 4]]])


# --- where relevance should lie, and edges that are fractions ----------------------------------------------------------------


@pytest.mark.parametrize("rate", [1.0, 2.0, 100.0])
def test_edges_hold_what_lies_between_them(rate):
    edges = np.arange(0, 12) * 0.25
    for start, end in itertools.combinations(edges, 2):
        wanted = [start <= time < end for time in np.arange(6) / rate]
        if any(wanted):
            np.testing.assert_array_equal(evidence.interval_mask([[(start, end)]], 6, sampling_rate=rate), [wanted])
        else:
            with raises(InputError, "covers none"):
                evidence.interval_mask([[(start, end)]], 6, sampling_rate=rate)
    assert evidence.interval_mask([[(0.07, 0.29)]], 100, sampling_rate=100.0)[0].nonzero()[0].tolist() == list(range(7, 29))


def test_boxes_hold_the_pixels_between_their_edges():
    for left, top, right, bottom in ((0.5, 1.5, 1.5, 2.5), (1.5, 0.5, 2.5, 3.5), (-1, -2, 2.2, 9), (0, 1, 2, 3), (-np.inf, 0, 1, np.inf)):
        wanted = [[left <= column < right and top <= row < bottom for column in range(5)] for row in range(4)]
        np.testing.assert_array_equal(evidence.box_mask([[(left, top, right, bottom)]], (4, 5)), [wanted])


def test_spans_of_fractions_share_an_edge():
    assert evidence.Spans([(0.5, 1.5), (1.5, 2.5)], between="kept").numbers((1, 1, 4)).tolist() == [[[-1, 1, 3, -1]]]


# --- sizes and ranges at their ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e308, 1e-300])
def test_what_no_scale_changes_is_the_same_of_the_largest_maps(factor):
    maps = np.random.default_rng(0).uniform(-1, 1, (3, 2, 9))
    inside = maps[:, :1] > 0
    for metric in (evidence.gini, evidence.entropy, evidence.effective_complexity):
        np.testing.assert_allclose(metric(maps * factor), metric(maps), rtol=1e-12)
    for metric, pool in itertools.product((evidence.relevance_mass, evidence.relevance_rank, evidence.auc), ("sum", "positive", "norm")):
        np.testing.assert_allclose(metric(maps * factor, inside, pool=pool), metric(maps, inside, pool=pool), rtol=1e-12)


@pytest.mark.parametrize("metric", [evidence.max_sensitivity, evidence.average_sensitivity])
def test_a_constant_input_has_no_range_of_which_a_radius_is_a_share(metric):
    net, x = network("cnn1d"), inputs("cnn1d").clone()
    x[1] = 0.5
    found = metric(net, x, "gradient_x_input", 0, samples=3)
    assert np.isnan(found).tolist() == [False, True, False, False]
    assert (metric(net, x, "gradient_x_input", 0, samples=3, of_range=False) > 0).all()


# --- random models -----------------------------------------------------------------------------------------------------------


def test_layers_are_found_in_the_order_in_which_they_run():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(4, 3), nn.Linear(5, 4)
            self.scale = nn.Parameter(torch.ones(3))
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            hidden = self.first(x)[:, None]
            return self.last(self.attention(hidden, hidden, hidden)[0][:, 0]) * self.scale

    net, x = randomized(Backwards()), drawn(3, 5)
    found = evidence.randomization_curve(net, x, "gradient", 0, order="bottom_up")
    assert [name for name in found.layers if name] == ["first", "attention", "attention.out_proj", "last"]
    assert evidence.randomization_curve(net, x, "gradient", 0).layers == found.layers[::-1]
    assert found.similarities.shape == (3, len(found.layers))
    assert evidence.randomization_curve(net, x, "gradient", 0, layers=["last"]).layers == ("last",)


def test_a_random_layer_is_drawn_by_its_own_seed_and_generators_come_back():
    net, x = network("cnn1d"), inputs("cnn1d")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, two = (evidence.mprt(net, x, "gradient", 0, seed=seed) for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert (one != two).any()


@pytest.mark.parametrize("metric", [evidence.mprt, evidence.smprt, evidence.emprt, evidence.max_sensitivity])
def test_the_model_is_left_alone_also_when_explaining_fails(metric):
    net, x, calls = network("cnn1d"), inputs("cnn1d"), []

    def failing(model, x, target):
        calls.append(model)
        if len(calls) > 1:
            raise RuntimeError("no map today")
        return np.zeros(x.shape)

    before = state(net)
    with pytest.raises(RuntimeError, match="no map today"):
        metric(net, x, failing, 0)
    assert_untouched(net, before)


def test_batch_norms_are_reset_with_their_statistics():
    net = randomized(nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(56, 2)))
    x, seen = inputs("cnn1d"), []

    def noting(model, x, target):
        seen.append((model[1].running_var.clone(), model[0].weight.clone()))
        return np.zeros(x.shape)

    evidence.mprt(net, x, noting, 0, order="independent")
    variances = [one.eq(1).all().item() for one, _ in seen]
    assert variances == [False, False, True, False]
    assert [torch.equal(weight, net[0].weight) for _, weight in seen] == [True, False, True, True]


# --- what is refused ---------------------------------------------------------------------------------------------------------


def measured(**options):
    net, x = network("cnn1d"), inputs("cnn1d")
    return evidence.srg(net, x, options.pop("relevance", np.ones((4, 3, 16))), 0, **options)


@pytest.mark.parametrize(
    ("error", "words", "options"),
    [
        (OptionError, ("score='loss'", "'logit'"), {"score": "loss"}),
        (OptionError, ("steps=0", "at least 1"), {"steps": 0}),
        (OptionError, ("shares", "rising"), {"steps": (0.5, 0.2)}),
        (OptionError, ("unit='beat'", "'pixel'"), {"unit": "beat"}),
        (OptionError, ("integers", "float64"), {"unit": np.zeros((3, 16))}),
        (InputError, ("unit=", r"\(3, 5\)"), {"unit": np.zeros((3, 5), dtype=int)}),
        (InputError, ("without any unit",), {"unit": np.full((3, 16), -1)}),
        (OptionError, ("size=0",), {"unit": evidence.Patch(0)}),
        (OptionError, ("Patch", "Window"), {"unit": evidence.Patch((2, 2))}),
        (OptionError, ("leads='both'",), {"unit": evidence.Window(2, "both")}),
        (OptionError, ("start < end",), {"unit": evidence.Spans([(3, 9), (5, 12)])}),
        (OptionError, ("spans of 3 samples for 4",), {"unit": evidence.Spans([[(0, 4)]] * 3)}),
        (OptionError, ("imputer='noise'", "'mean'"), {"imputer": "noise"}),
        (OptionError, ("imputer=", "does not fit"), {"imputer": np.zeros((5, 1))}),
        (OptionError, ("must return the points",), {"imputer": lambda x, removed: x[:1]}),
        (OptionError, ("imputer=None",), {"imputer": None}),
        (OptionError, ("batch_size=0",), {"batch_size": 0}),
        (OptionError, ("no option 'batchsize'", "batch_size"), {"batchsize": 3}),
        (InputError, ("relevance", r"\(4, 3, 15\)", r"\(4, 3, 16\)"), {"relevance": np.ones((4, 3, 15))}),
        (InputError, ("NaN",), {"relevance": np.full((4, 3, 16), np.nan)}),
        (InputError, ("'signal'", "0"), {"relevance": {"signal": np.ones((4, 3, 16))}}),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(error, words, options):
    with raises(error, *words):
        measured(**options)


@pytest.mark.parametrize("orders", ["most", ("Most",), ("most", "foo"), (), [None]])
def test_orders_of_removal_are_named_or_refused(orders):
    with raises(OptionError, "orders?=", "most", "least"):
        evidence.perturbation_curves(network("cnn1d"), inputs("cnn1d"), np.ones((4, 3, 16)), 0, orders=orders, steps=2)


def test_what_methods_and_masks_cannot_be():
    net, x = network("cnn1d"), inputs("cnn1d")
    maps = np.ones((4, 3, 16))
    with raises(OptionError, "radius=0"):
        evidence.max_sensitivity(net, x, "gradient", 0, radius=0)
    with raises(OptionError, "epsilonn"):
        evidence.mprt(net, x, "lrp_epsilon_0_1", 0, epsilonn=1)
    with raises(OptionError, "similarity='likeness'", "spearman", "ssim"):
        evidence.mprt(net, x, "gradient", 0, similarity="likeness")
    with raises(OptionError, "'7'", "'0'"):
        evidence.mprt(net, x, "gradient", 0, layers=["7"])
    with raises(OptionError, "order='sideways'"):
        evidence.mprt(net, x, "gradient", 0, order="sideways")
    with raises(OptionError, "function", "functools"):
        evidence.mprt(net, x, lambda *_: maps, 0, epsilon=1)
    with raises(OptionError, "at="):
        evidence.mprt(net, x, "gradient", 0, at="0")
    with raises(InputError, "sample 2", "nothing inside"):
        evidence.pointing_game(maps, np.array([1, 1, 0, 1])[:, None, None] * np.ones((4, 1, 16)))
    with raises(InputError, "nothing outside"):
        evidence.auc(maps, np.ones((4, 1, 16)))
    with raises(OptionError, "pool='mean'"):
        evidence.auc(maps, np.ones((4, 1, 16)), pool="mean")
    with raises(InputError, "mask=", r"\(4, 3, 16\)"):
        evidence.auc(maps, np.ones((4, 15)))
    with raises(InputError, "size 1"):
        evidence.auc(np.ones((3, 3, 16)), np.ones((3, 16)))
    with raises(OptionError, "k=0"):
        evidence.top_k_intersection(maps, np.ones((4, 1, 16)), k=0)
    with raises(InputError, "box"):
        evidence.box_mask([[(3, 3, 3, 5)]], (8, 8))
    with raises(InputError, "intervals", "list of them for each"):
        evidence.interval_mask([(0, 2), (3, 4)], 8)
    with raises(InputError, "sample 1", "boxes"):
        evidence.box_mask([[(0, 0, 2, 2)], []], (8, 8))
    with raises(InputError, "mask=", "NaN"):
        evidence.relevance_mass(maps, np.where(np.eye(4, 16)[:, None] > 0, np.nan, 1.0))
    for boxes in ([[(0, 0, 2, np.nan)]], [[(0, 0, 2, 2)], [(np.nan, 0, 1, 1)]]):
        with raises(InputError, "boxes", "NaN"):
            evidence.box_mask(boxes, (8, 8))
    with raises(InputError, "intervals", "NaN"):
        evidence.interval_mask([[(np.nan, 3.0)]], 8)
    with raises(OptionError, "until=0.1", "shares"):
        evidence.aopc(net, x, maps, 0, steps=(0.2, 0.5), until=0.1)
    for other_class in (1.7, True, [1, 2], "1", [1.0, 1.0, 1.0, 1.0]):
        with raises(TargetError, "other_class=", "number of a class"):
            evidence.random_logit(net, x, "gradient", 0, other_class=other_class)


@pytest.mark.parametrize(
    ("error", "words", "work"),
    [
        (OptionError, ("subset='0.5'",), lambda *given: evidence.faithfulness_correlation(*given, subset="0.5")),
        (OptionError, ("subset=True",), lambda *given: evidence.infidelity(*given, subset=True)),
        (OptionError, ("until='1'",), lambda *given: evidence.perturbation_curve(*given, until="1")),
        (OptionError, ("sizes=0.5", "sequence"), lambda *given: evidence.sensitivity_n(*given, sizes=0.5)),
        (OptionError, ("sizes='0.5'", "sequence"), lambda *given: evidence.sensitivity_n(*given, sizes="0.5")),
        (OptionError, ("sizes=", "'a'"), lambda *given: evidence.sensitivity_n(*given, sizes=["a"])),
        (OptionError, (r"Blur\(sigma\)='a'",), lambda *_: evidence.Blur("a")),
        (OptionError, (r"Blur\(sigma\)=nan",), lambda *_: evidence.Blur(float("nan"))),
        (OptionError, (r"noise='a'",), lambda *_: evidence.NoisyLinear("a")),
        (OptionError, ("threshold='0.5'",), lambda *_: evidence.effective_complexity(np.ones((2, 3)), threshold="0.5")),
        (InputError, ("boxes", "nan"), lambda *_: evidence.box_mask([[(0, 0, np.nan, 2)]], (8, 8))),
        (InputError, ("intervals", "'3'"), lambda *_: evidence.interval_mask([[(0, "3")]], 8)),
        (OptionError, ("sampling_rate='2'",), lambda *_: evidence.interval_mask([[(0, 3)]], 8, sampling_rate="2")),
        (OptionError, ("spans", "nan"), lambda *given: evidence.srg(*given, unit=evidence.Spans([(0, np.nan)]))),
        (OptionError, ("sampling_rate=0",), lambda *given: evidence.srg(*given, unit=evidence.Spans([(0, 2)], sampling_rate=0))),
    ],
)
def test_what_is_no_number_is_refused_in_words(error, words, work):
    with raises(error, *words):
        work(network("cnn1d"), inputs("cnn1d"), np.ones((4, 3, 16)), 0)


class Table:
    """What NumPy reads as an array, and what cannot be cut into rows by numbers, as a data frame."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype=dtype)


@pytest.mark.parametrize("given", [Table, np.ndarray.tolist])
def test_tables_and_lists_are_measured_as_arrays(given):
    net, array = linear(5), drawn(6, 5).numpy()
    x = given(array)
    for metric in (evidence.mprt, evidence.max_sensitivity, evidence.random_logit, evidence.emprt, evidence.smprt):
        assert metric(net, x, "gradient_x_input", 0, batch_size=4) == pytest.approx(metric(net, array, "gradient_x_input", 0))
    assert evidence.srg(net, x, array, 0) == pytest.approx(evidence.srg(net, array, array, 0))
    assert str(certify(net, x, "lrp_z", 0, srg=False)) == str(certify(net, array, "lrp_z", 0, srg=False))
    found, wanted = (compare_methods(net, own, ["gradient_x_input"], 0, metrics=["srg", "mprt"], batch_size=4) for own in (x, array))
    assert np.array_equal(found.scores, wanted.scores)


def test_lists_among_several_inputs_are_measured_as_arrays():
    class Joint(nn.Module):
        def forward(self, a, b):
            return (a * b.to(a)).sum(1, keepdim=True)

    a, b = drawn(6, 4).numpy(), drawn(6, 4, seed=1).numpy()
    for explained in (None, ("a",)):
        how = {"explained": explained, "batch_size": 4, "radius": 0.1}
        found, wanted = (
            evidence.max_sensitivity(Joint(), x, "lrp_z", 0, **how) for x in ({"a": a.tolist(), "b": b.tolist()}, {"a": a, "b": b})
        )
        assert found == pytest.approx(wanted)


def test_a_model_that_cannot_be_copied_is_refused():
    class Locked(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network("cnn1d")

        def __deepcopy__(self, memo):
            raise TypeError("locked")

        def forward(self, x):
            return self.net(x)

    with raises(ModelError, "copied", "locked"):
        evidence.mprt(Locked(), inputs("cnn1d"), "gradient", 0)


# --- units that an input does not have ---------------------------------------------------------------------------------------

KINDS_OF_SHAPES = {"list": (2, 6), "signal": (2, 3, 16), "picture": (2, 3, 8, 6), "volume": (2, 1, 4, 4, 4)}


@pytest.mark.parametrize(
    ("kind", "unit", "words"),
    [
        ("picture", evidence.Patch(9999), ("9999", "larger than the input", "8 x 6")),
        ("picture", evidence.Patch(7), ("larger than the input", "8 x 6")),  # which is too wide alone
        ("picture", evidence.Patch((9, 2)), ("larger than the input",)),
        ("volume", evidence.Patch(5), ("larger than the input", "4 x 4 x 4")),
        ("signal", evidence.Window(99999), ("99999", "longer than the input", "16 samples")),
        ("list", evidence.Window(7), ("longer than the input", "6 samples")),
        ("picture", "token", ("unit='token'", "picture", "Patch")),
        ("volume", "token", ("unit='token'", "volume", "Patch")),
        ("signal", evidence.Patch(4), ("Patch", "signal", "Window")),
        ("list", evidence.Patch(2), ("Patch", "list", "Window")),
        ("picture", evidence.Window(2), ("Window", "picture", "Patch")),
        ("volume", evidence.Window(2, "each"), ("Window", "volume", "Patch")),
        ("picture", evidence.Spans([(0, 3)]), ("Spans", "picture", "Patch")),
    ],
)
def test_units_that_an_input_does_not_have_are_refused_with_those_that_it_has(kind, unit, words):
    with raises(OptionError, *words, "'pixel', 'value'"):
        numbers(unit, KINDS_OF_SHAPES[kind])


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        *(("picture", unit) for unit in (evidence.Patch((8, 6)), evidence.Patch(6), "pixel", "value")),
        *(("signal", unit) for unit in (evidence.Window(16), evidence.Spans([(0, 16)]), "pixel", "value", "token")),
        *(("list", unit) for unit in (evidence.Window(6), "pixel", "value", "token")),
    ],
)
def test_units_as_large_as_the_input_and_of_its_kind_are_taken(kind, unit):
    assert numbers(unit, KINDS_OF_SHAPES[kind]).min() == 0


def test_of_several_inputs_each_has_units_of_its_own_kind():
    shapes = {"image": KINDS_OF_SHAPES["picture"], "table": KINDS_OF_SHAPES["list"]}
    with raises(OptionError, "for the input 'table'", "Patch"):
        Partition(shapes, evidence.Patch(2))
    assert Partition(shapes, {"image": evidence.Patch(2), "table": "value"}).width == 12 + 6


def test_units_of_inputs_with_channels_last_are_checked_where_their_axes_lie():
    unit = unit_in_layout(evidence.Window(17), {0: 2}, {0: (2, 16, 3)})
    with raises(OptionError, r"Window\(samples=17", "16 samples"):
        Partition({0: (2, 16, 3)}, unit)
    assert Partition({0: (2, 16, 3)}, unit_in_layout(evidence.Window(16), {0: 2}, {0: (2, 16, 3)})).width == 1


@pytest.mark.parametrize("metric", ["srg", "aopc", "insertion", "faithfulness_correlation", "infidelity"])
def test_units_are_checked_before_the_network_runs(metric):
    net, x = network("cnn1d"), inputs("cnn1d")
    net.register_forward_hook(lambda *_: pytest.fail("the network ran"))
    with raises(OptionError, "longer than the input"):
        getattr(evidence, metric)(net, x, np.ones((4, 3, 16)), 0, unit=evidence.Window(17))
