"""Certificates: what they say where the truth is known, against plain loops, and what holds for every method and kind of input."""

import copy
import json
import math
import random

import numpy as np
import pytest
import torch
from torch import nn

import plain_metrics as plain
import signxai
from kinds_of_input import KINDS, N
from networks import drawn, inputs, network, randomized
from refusals import raises
from signxai import evidence, explain
from signxai.common.errors import InputError, OptionError
from signxai.engine.relevance import UnknownOperationWarning
from signxai.evidence import CRITERIA, Certificate
from signxai.evidence.certificate_pages import page_of_one, page_of_several
from signxai.evidence.certified_gain import RANDOM_MAPS
from signxai.evidence.certified_sample import CertifiedSample, Check, Place
from signxai.evidence.draws import Seeds, generator
from signxai.targets import contrast, margin
from untouched import assert_untouched, state


def certified(net, x, method="lrp_z", target=None, srg=False, **options):
    return signxai.certify(net, x, method, target, srg=srg, **options)


def linear(weight, bias=None):
    net = nn.Linear(len(weight[0]), len(weight), bias=bias is not None).double()
    net.weight.data = torch.tensor(weight).double()
    if bias is not None:
        net.bias.data = torch.tensor(bias).double()
    return net


def verdicts(certificate):
    return {name: check.passed for name, check in certificate.checks.items()}


# --- where the truth is known ------------------------------------------------------------------------------------------------


def test_of_a_linear_network_without_bias_everything_is_known():
    weight, x = [[1.0, -2.0, 3.0], [2.0, 1.0, -1.0], [0.0, 0.5, -2.0]], torch.tensor([[1.0, 1.0, 2.0]]).double()
    checks = certified(linear(weight), x, "lrp_z", 0).checks  # shares (1, -2, 6) / 5; of class 1, the strongest other, (2, 1, -2) / 1
    assert list(checks) == list(CRITERIA)
    assert [checks[name].value for name in ("absorbed_by_bias", "absorbed_by_stabilizer", "absorbed_elsewhere")] == pytest.approx([0] * 3)
    assert "Nothing is absorbed by biases: the map explains 100 % of the decision" in checks["absorbed_by_bias"].sentence
    assert checks["cancellation"].value == pytest.approx(9 / 5)
    assert checks["cancellation"].sentence.endswith("of what it shows, 56 % remain in its sum")
    assert checks["runner_up"].value == pytest.approx(-0.5)  # ranks (2, 1, 3) and (3, 2, 1)
    told = "The map's ranks correlate by -0.50 with those of the map of class 1, the strongest other one"
    assert checks["runner_up"].sentence.startswith(told)
    assert (checks["precision"].value, checks["precision"].passed) == (0.0, True)
    assert (checks["unknown_operations"].value, checks["unknown_operations"].passed) == (0.0, True)
    assert checks["batch"].value == pytest.approx(0.0, abs=1e-12)
    assert checks["random_last_layer"].sentence.startswith("With the last layer random")
    assert checks["random_all_layers"].sentence.startswith("With its one layer random")


@pytest.mark.parametrize(
    ("bias", "value", "sentence", "passed"),
    [
        (
            93.0,
            0.93,
            "93 % of the relevance is absorbed by biases before it reaches the input: the map explains 7 % of the decision",
            False,
        ),
        (3.0, 0.3, "30 % of the relevance is absorbed by biases before it reaches the input: the map explains 70 % of the decision", True),
        (-2.0, -0.4, "40 % is added to the relevance by biases before it reaches the input: the map sums to 140 % of the decision", True),
        (
            -14.0,
            2.0,
            "200 % of the relevance is absorbed by biases before it reaches the input: the map sums to -100 % of the decision",
            False,
        ),
    ],
)
def test_a_bias_that_takes_its_share_is_said_to(bias, value, sentence, passed):
    check = certified(linear([[3.0, 4.0]], [bias]), torch.ones(1, 2), target=0).checks["absorbed_by_bias"]
    assert check.value == pytest.approx(value)
    assert (check.sentence, check.passed) == (sentence, passed)


def test_shares_are_of_what_relevance_starts_with():
    net, x = linear([[3.0, 4.0]], [93.0]), torch.ones(1, 2)
    one, other = (certified(net, x, "lrp_epsilon_100", 0, relevance=relevance) for relevance in ("one_hot", "logit"))
    for name in ("absorbed_by_bias", "absorbed_by_stabilizer"):
        assert one.checks[name].value == pytest.approx(other.checks[name].value)
    assert one.samples[0].places[0].by_stabilizer == pytest.approx(other.samples[0].places[0].by_stabilizer)
    assert one.checks["absorbed_by_stabilizer"].value == pytest.approx(0.5)


def test_what_is_absorbed_in_all_fails_where_no_part_of_it_does():
    """A network that is (6 + 4) of which 4 is a bias's, and half of what is left the stabilizer's, as it is as large."""
    checks = certified(linear([[3.0, 3.0]], [4.0]), torch.ones(1, 2), "lrp_epsilon_10", 0).checks
    parts = [checks[name] for name in ("absorbed_by_bias", "absorbed_by_stabilizer", "absorbed_elsewhere")]
    assert [check.value for check in parts] == pytest.approx([0.2, 0.5, 0.0])
    assert all(check.passed and "explains" not in check.sentence for check in parts)
    assert (checks["absorbed"].passed, checks["absorbed"].value) == (False, pytest.approx(0.7))
    told = "In all, 70 % of the relevance is absorbed before it reaches the input: the map explains 30 % of the decision"
    assert checks["absorbed"].sentence == told


def test_classes_are_called_by_their_names_and_limits_by_who_gave_them():
    net, x = linear([[1.0, 2.0], [0.0, 2.0], [0.0, 1.0]]), torch.ones(1, 2)
    certificate = certified(net, x, target=0, class_names=["cat", "dog", "eel"], thresholds={"runner_up": 0.0})
    check = certificate.checks["runner_up"]
    assert "class 1 (dog), the strongest other one" in check.sentence
    assert ("as given" in check.source, "as given" in certificate.checks["precision"].source) == (True, False)
    assert "lrp_z, class 0 (cat), sample 0" in str(certificate)
    assert "no verdict" in str(certified(net, x, "gradient", 0))


def test_a_map_that_is_worse_than_chance_is_said_to_be():
    """The map of a linear network with its sign turned."""
    net, x = linear([[1.0] * 20]), torch.arange(1.0, 21.0).unsqueeze(0)
    check = signxai.certify(net, x, lambda model, x, target: -explain(model, x, "lrp_z", target), 0).checks["srg"]
    assert check.value < -2.23
    assert not check.passed
    assert "lower than the most relevant first" in check.sentence
    assert check.sentence.endswith("less than chance gives: the decision rests where the map says it does not")


def test_a_map_that_is_the_negative_of_the_runner_ups_speaks_of_its_class():
    check = certified(linear([[1.0, -2.0, 4.0], [-1.0, 2.0, -4.0]]), torch.ones(1, 3), "gradient", 0).checks["runner_up"]
    assert (check.value, check.passed) == (pytest.approx(-1.0), True)


def test_shares_of_two_opposite_logits_are_maps_of_opposite_classes():
    """The shares of z and of -z are the same numbers: LRP's maps of two opposite outputs differ by the logit's sign alone."""
    net, x = linear([[1.0, -2.0, 4.0], [-1.0, 2.0, -4.0]]), torch.ones(1, 3)
    assert np.array_equal(explain(net, x, "lrp_z", 0), explain(net, x, "lrp_z", 1))
    for target in (0, 1):
        check = certified(net, x, "lrp_z", target).checks["runner_up"]
        assert (check.value, check.passed) == (pytest.approx(-1.0), True)
        assert certified(net, x, "lrp_z", target, relevance="logit").checks["runner_up"].value == pytest.approx(-1.0)


@pytest.mark.parametrize(("method", "start", "other"), [("lrp_z", "one_hot", "logit"), ("gradient_x_input", "logit", "one_hot")])
def test_a_certificate_says_that_a_logit_below_zero_turns_the_signs(method, start, other):
    net, x = linear([[1.0, -2.0, 4.0], [-1.0, 2.0, -4.0]]), torch.ones(2, 3)
    told = f'relevance="{other}" (--relevance {other}) puts that right'
    by_class = certified(net, x, method, [0, 1], relevance=start)
    assert [sample.signs_turned for sample in by_class.samples] == [False, True]
    assert [sample["signs_turned"] for sample in by_class.to_dict()["samples"]] == [False, True]
    assert "1 of 2 samples. An explained logit is below 0" in str(by_class)
    assert [told in " ".join(str(one).split()) for one in by_class] == [False, True]
    assert not any(sample.signs_turned for sample in certified(net, x, method, [0, 1], relevance=other).samples)
    rather = contrast([0, 1], [1, 0])  # of one of both the logit is below 0
    assert all(sample.signs_turned for sample in certified(net, x, method, rather, relevance=start).samples)


def test_the_places_that_absorb_most_are_named_the_first_most_of_all():
    net = nn.Sequential(linear([[4.0]], [4.0]), linear([[0.5]], [2.0]), linear([[1.0]], [0.5]), linear([[1.0]], [0.1]))
    places = certified(net, torch.ones(1, 1), target=0).samples[0].places
    whole = 4.0 + 2.0 + 0.5 + 0.1  # what arrives: 1 * 4 + 4 = 8, half of it 4, and so on
    assert [place.place for place in places] == ["0", "1", "2"]
    assert [place.by_bias for place in places] == pytest.approx([2.0 / whole, 2.0 / whole, 0.5 / whole])
    assert [place.absorbed for place in places] == pytest.approx([place.by_bias for place in places])


def test_a_stabilizer_is_told_from_a_bias():
    checks = certified(linear([[1.0, 1.0]]), torch.ones(1, 2), "lrp_epsilon_2", 0).checks
    assert checks["absorbed_by_stabilizer"].value == pytest.approx(0.5)
    assert checks["absorbed_by_stabilizer"].passed
    assert checks["absorbed_by_bias"].value == pytest.approx(0.0)


def test_a_map_that_sums_to_zero_fails_and_is_written_without_infinity():
    certificate = certified(linear([[1.0, -1.0], [1.0, 2.0]]), torch.ones(1, 2), "gradient_x_input", 0)
    check = certificate.checks["cancellation"]
    assert (check.value, check.passed) == (math.inf, False)
    assert "sums to zero" in check.sentence
    json.dumps(certificate.to_dict(), allow_nan=False)


def test_a_map_of_zeros_explains_nothing():
    certificate = certified(linear([[1.0, -1.0], [1.0, 2.0]]), torch.zeros(1, 2), "gradient_x_input", 0, srg=True)
    failed = [name for name, passed in verdicts(certificate).items() if passed is False]
    assert failed == ["cancellation", "runner_up", "random_last_layer", "random_all_layers"]
    assert "constant" in certificate.checks["runner_up"].sentence
    assert certificate.checks["precision"].value == certificate.checks["batch"].value == 0.0
    assert certificate.checks["srg"].passed is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(bad):
    with raises(InputError, "NaN or infinity"):
        certified(linear([[1.0, 2.0]]), torch.tensor([[1.0, bad]]))
    with raises(InputError, "NaN or infinity"):
        certified(linear([[1.0, 2.0]]), torch.ones(1, 2), lambda model, x, target: np.full((len(x), 2), bad))


class Near(nn.Module):
    """Whether a value is above one half, computed far away from it, where single precision has no halves."""

    def forward(self, x):
        return torch.relu((x + 1e8) - 1e8 - 0.5) + 1e-3 * x


def test_rounding_that_decides_at_a_tie_is_seen():
    net, x = Near(), torch.tensor([[1.0, 0.0]])
    check = certified(net, x, "gradient", 0).checks["precision"]
    assert check.value == pytest.approx(1 / 1.001, rel=1e-3)
    assert not check.passed
    assert "ties of ReLUs" in check.sentence


def test_a_map_that_depends_on_the_batch_fails():
    def mixing(model, x, target):
        return np.asarray(x) / len(x)

    check = certified(linear([[1.0, 2.0]]), drawn(1, 2), mixing, 0).checks["batch"]
    assert check.value == pytest.approx(2 / 3)
    assert not check.passed


def test_edges_of_the_input_fail_where_the_network_is_another_one():
    def edges(model, x, target):
        return np.abs(np.diff(np.asarray(x), axis=-1, append=0))

    found = verdicts(certified(network("cnn2d").float(), inputs("cnn2d", 1).float(), edges))
    assert [name for name, passed in found.items() if passed is False] == ["runner_up", "random_last_layer", "random_all_layers"]


def test_guided_backprop_hardly_rests_on_the_last_layer_and_the_gradient_does():
    net, x = deep(), drawn(1, 2, 40).float()
    assert verdicts(certified(net, x, "guided_backprop"))["random_last_layer"] is False
    assert verdicts(certified(net, x, "gradient"))["random_last_layer"] is True


def deep():
    """A network whose ReLUs only let positive relevance pass: what is left of guided backpropagation is of the first layers."""
    net = nn.Sequential(
        *(nn.Conv1d(2, 8, 5, padding=2), nn.ReLU(), nn.Conv1d(8, 32, 5, padding=2), nn.ReLU(), nn.Conv1d(32, 32, 5, padding=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 5)),
    )
    return randomized(net).float()


def test_contributions_of_a_linear_network_gain_more_than_random_maps_and_their_negative_less():
    net, x = linear([[*range(-5, 15)], [0.0] * 20]), torch.ones(1, 20)

    def contributions(sign, model, x, target):
        return sign * model.weight[0].detach().to(x) * x

    for sign, passes in ((1, True), (-1, False)):
        check = certified(net, x, lambda *given, sign=sign: contributions(sign, *given), 0, srg=True, imputer=0.0).checks["srg"]
        assert check.passed is passes
        assert np.sign(check.value) == sign


class Hypotenuse(nn.Linear):
    def forward(self, x):
        return super().forward(torch.hypot(x, torch.ones_like(x)))


def test_an_operation_without_a_rule_is_named_and_warned_of_once():
    with pytest.warns(UnknownOperationWarning, match="hypot") as caught:
        check = certified(randomized(Hypotenuse(3, 2)), drawn(1, 3)).checks["unknown_operations"]
    assert len(caught) <= 2  # of the map and of its account
    assert (check.value, check.passed) == (1.0, False)
    assert "hypot" in check.sentence


# --- against plain loops -----------------------------------------------------------------------------------------------------


def difference(a, b):
    return float(np.sqrt(((a - b) ** 2).sum() / (b**2).sum()))


def test_the_comparisons_are_those_of_plain_loops():
    net, x = network("cnn1d").float(), inputs("cnn1d", 1).float()
    checks = certified(net, x, "lrp_epsilon_0_1", 2).checks
    own = explain(net, x, "lrp_epsilon_0_1", 2).astype(float)
    assert checks["precision"].value == pytest.approx(
        difference(own, explain(copy.deepcopy(net).double(), x.double(), "lrp_epsilon_0_1", 2)), rel=1e-9
    )
    order = torch.argsort(net(x)[0], descending=True).tolist()
    other = next(index for index in order if index != 2)
    assert checks["runner_up"].value == pytest.approx(
        plain.rank_correlation(own.ravel(), explain(net, x, "lrp_epsilon_0_1", other).astype(float).ravel())
    )
    for name, layers in (("random_last_layer", ["6"]), ("random_all_layers", ["0", "3", "6"])):
        assert checks[name].value == pytest.approx(np.mean([left(net, x, own, layers, draw) for draw in range(3)]))


def left(net, x, own, layers, draw):
    other, number = copy.deepcopy(net), {"0": 0, "3": 1, "6": 2}
    for name in layers:
        torch.manual_seed(3 * draw + number[name])
        other.get_submodule(name).reset_parameters()
    return abs(plain.rank_correlation(own.ravel(), explain(other, x, "lrp_epsilon_0_1", 2).astype(float).ravel()))


def test_the_gain_is_that_of_the_metric_in_deviations_of_random_maps():
    net, x = network("cnn1d"), inputs("cnn1d", 1)
    how = {"unit": evidence.Window(2), "imputer": "mean", "steps": 4}
    check = signxai.certify(net, x, "gradient_x_input", 1, srg_steps=4, unit=evidence.Window(2), imputer="mean").checks["srg"]
    seed = Seeds({0: x})[0]
    maps = [generator(0, seed, 7 + number).standard_normal(tuple(x.shape)) for number in range(RANDOM_MAPS)]
    chance = np.sqrt(np.mean([evidence.srg(net, x, one, 1, **how)[0] ** 2 for one in maps]))
    assert check.value == pytest.approx(evidence.srg(net, x, explain(net, x, "gradient_x_input", 1), 1, **how)[0] / chance)


# --- what holds for all ------------------------------------------------------------------------------------------------------

METHODS = (
    *("gradient", "gradient_x_sign", "input_t_gradient", "integrated_gradients_steps_3", "smoothgrad_samples_3", "vargrad_samples_3"),
    *("guided_backprop", "deconvnet", "grad_cam", "guided_grad_cam", "deep_taylor", "random_uniform", "lrp_z_x_sign"),
    *("lrp_z", "lrp_epsilon_0_1_cp", "lrpsign_epsilon_0_25_std_x", "lrp_zplus", "lrp_gamma_0_25", "lrp_epsilon_plus_flat", "w2lrp_z"),
)
_ACCOUNTED = ("absorbed", "absorbed_by_bias", "absorbed_by_stabilizer", "absorbed_elsewhere", "unknown_operations")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_certificate_or_reasons(method):
    net, x = network("cnn1d").float().train(), inputs("cnn1d", 1).float()
    before, states = state(net), (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    certificate = certified(net, x, method)
    assert_untouched(net, before)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]
    found = verdicts(certificate)
    assert list(found) == list(CRITERIA)
    assert all(check.sentence and check.source for check in certificate.checks.values())
    has_account = method.startswith(("lrp", "w2lrp")) and not method.endswith("x_sign")
    assert all((found[name] is None) is not has_account for name in _ACCOUNTED)
    assert found["precision"] is found["batch"] is True
    assert certificate == certified(net, x, method)
    json.dumps(certificate.to_dict(), allow_nan=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_says_what_its_samples_say_alone(kind):
    case = KINDS[kind]()
    before = state(case.net)
    kwargs = {"forward_kwargs": case.how["forward_kwargs"]} if "forward_kwargs" in case.how else {}
    together = signxai.certify(case.net, case.x, case.explains, case.target, srg_steps=2, imputer=case.how.get("imputer"), **kwargs)
    assert_untouched(case.net, before)
    assert len(together) == N
    alone = case.rows(1)
    own = {"forward_kwargs": alone.how["forward_kwargs"]} if kwargs else {}
    found = signxai.certify(alone.net, alone.x, case.explains, alone.target, srg_steps=2, imputer=case.how.get("imputer"), **own)
    assert verdicts(found) == verdicts(together[1])
    for name in CRITERIA:
        np.testing.assert_allclose(found.values(name), together[1].values(name), rtol=1e-9, atol=1e-12)
    assert found.samples[0].places == together.samples[1].places


def test_a_certificate_takes_few_explanations():
    count = []

    def counting(model, x, target):
        count.append(len(x))
        return explain(model, x, "gradient", target)

    certified(network("cnn1d").float(), inputs("cnn1d", 1).float(), counting)
    assert sum(count) == 12  # itself, in double precision, three of a batch, of the runner-up, twice three of random networks


def one_output():
    return randomized(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)))


def noisy():
    return randomized(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)))


class Integers(nn.Linear):
    """Refuses other types than single precision."""

    def forward(self, x):
        return super().forward(x.float())


@pytest.mark.parametrize(
    ("net", "x", "options", "names", "words"),
    [
        (one_output, drawn(1, 4), {}, ["runner_up"], "no runner-up"),
        (noisy, drawn(1, 4), {"target": contrast(0, 1)}, ["absorbed_by_bias", "absorbed_elsewhere"], "sum of 0"),
        (noisy, drawn(1, 4), {"target": margin()}, ["runner_up", "batch"], "function"),
        (noisy, drawn(1, 4), {"stochastic": True}, ["batch"], "random numbers"),
        (lambda: Integers(4, 2), drawn(1, 4).float(), {}, ["precision"], "does not run in double precision"),
        (lambda: nn.Flatten(), drawn(1, 4), {}, ["random_last_layer", "random_all_layers"], "no parameters"),
        (noisy, drawn(1, 4), {}, ["srg"], "Left out"),
        (lambda: KINDS["token ids"]().net, KINDS["token ids"]().x[:1], {"srg": True}, ["srg"], "imputer="),
    ],
)
def test_what_a_check_cannot_say_has_its_reason(net, x, options, names, words):
    checks = certified(net(), x, **options).checks
    for name in names:
        assert (checks[name].passed, checks[name].value) == (None, None), checks[name]
        assert words in checks[name].sentence


# --- limits, and what is asked -----------------------------------------------------------------------------------------------


def test_a_limit_of_ones_own_changes_the_verdict_and_not_the_value():
    net, x = linear([[3.0, 4.0]], [3.0]), torch.ones(1, 2)
    checks = [certified(net, x, target=0, thresholds={"absorbed_by_bias": limit}).checks["absorbed_by_bias"] for limit in (0.2, 0.4)]
    assert [check.passed for check in checks] == [False, True]
    assert [check.threshold for check in checks] == [0.2, 0.4]
    assert checks[0].value == checks[1].value


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thresholds": {"runner": 0.5}}, ["'runner'", "runner_up"]),
        ({"thresholds": {"batch": -1}}, ["'batch'", "-1", "at least 0"]),
        ({"thresholds": {"batch": math.nan}}, ["nan"]),
        ({"thresholds": {"batch": True}}, ["True"]),
        ({"srg": True, "srg_steps": 0}, ["srg_steps=0"]),
        ({"banana": 1}, ["banana"]),
        ({"at": "0"}, ["at="]),
    ],
)
def test_what_is_no_option_is_refused(options, words):
    with raises(OptionError, *words):
        certified(noisy(), drawn(1, 4), **options)


def test_what_is_required_is_there_or_named_with_its_reason():
    certificate = certified(linear([[3.0, 4.0]], [93.0]), torch.ones(2, 2), target=0)
    assert not certificate.passed
    assert certificate.lacking(["precision", "batch"]) == []
    assert [reason.split(":")[0] for reason in certificate.lacking("absorbed_by_bias")] == [
        "absorbed_by_bias of sample 0",
        "absorbed_by_bias of sample 1",
    ]
    assert "no runner-up" in certificate.lacking(["runner_up"])[0]  # by name it must pass
    assert all("runner_up" not in reason for reason in certificate.lacking("all"))
    with raises(OptionError, "'bias'", "absorbed_by_bias"):
        certificate.lacking("bias")


def test_a_certificate_without_all_checks_is_partial_and_does_not_pass():
    whole = certified(noisy(), drawn(1, 4), thresholds={name: 1e6 for name in CRITERIA if name != "srg"})
    assert whole.passed
    sample = whole.samples[0]
    part = Certificate(whole.method, (CertifiedSample(0, sample.target, sample.checks[:3]),))
    assert part.is_partial
    assert not part.passed
    assert "partial" in str(part)
    assert "interrupted" in part.lacking("all")[0]
    assert part.to_dict()["is_partial"]


def test_several_samples_are_one_certificate_that_is_indexed():
    certificate = certified(noisy(), drawn(3, 4))
    assert [len(one) for one in certificate] == [1, 1, 1]
    assert certificate[1].samples[0].number == 1
    assert certificate.values("runner_up").shape == (3,)
    assert np.isnan(certificate.values("srg")).all()
    with raises(OptionError, r"certificate\[0\].checks"):
        _ = certificate.checks
    with raises(OptionError, "runner_up"):
        certificate.values("runner")
    assert "3 samples" in str(certificate)
    assert all(f"\n{name} " in str(certificate) for name in CRITERIA)


@pytest.mark.parametrize("method", ["lrp_epsilon_0_1", "gradient"])
def test_a_certificate_fits_on_a_screen(method):
    page = str(signxai.certify(network("cnn1d").float(), inputs("cnn1d", 1).float(), method)).splitlines()
    assert len(page) <= 40
    assert max(map(len, page)) <= 120
    assert all(any(name in line for line in page) for name in CRITERIA)


def test_some_of_several_samples_have_a_certificate():
    several = certified(linear([[3.0, 4.0]]), drawn(3, 2), target=0)
    assert [sample.number for sample in several[:2].samples] == [0, 1]
    assert str(several[1:2]) == str(several[1])
    assert "2 samples" in str(several[::2])
    with raises(OptionError, "none of the 3 samples"):
        several[5:]
    with pytest.raises(IndexError):
        several[3]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"unit": "beat"}, "unit='beat'"),
        ({"unit": np.zeros((5,), dtype=int)}, r"unit= has the shape"),
        ({"imputer": "noise"}, "imputer='noise'"),
        ({"imputer": np.zeros((5, 1))}, "does not fit"),
        ({"srg_steps": 0}, "srg_steps=0"),
    ],
)
def test_what_is_removed_is_checked_before_anything_is_explained(how, words):
    def explains(model, x, target):
        pytest.fail("something was explained")

    with raises((OptionError, InputError), words):
        certified(network("cnn1d"), inputs("cnn1d"), explains, 0, srg=True, **how)


@pytest.mark.parametrize(("weights", "word"), [([0.0, 0.0, 0.0], "zero"), ([1.0, 1.0, 1.0], "the same")])
def test_a_runner_up_whose_map_has_no_order_gives_no_verdict(weights, word):
    check = certified(linear([[1.0, -2.0, 4.0], weights]), torch.ones(1, 3), "gradient", 0).checks["runner_up"]
    assert (check.passed, check.value) == (None, None)
    assert f"map of class 1, the strongest other one, is {word} everywhere" in check.sentence


@pytest.mark.parametrize(
    ("values", "median"), [([1.0, 2.0, 4.0, 8.0], "3"), ([1.0, 2.0, 8.0], "2"), ([1.0, math.inf, math.inf, math.inf], "inf")]
)
def test_the_median_over_samples_is_the_mean_of_the_two_in_the_middle(values, median):
    checks = [Check("cancellation", value, 10.0, True, "", "") for value in values]
    page = page_of_several("lrp_z", [CertifiedSample(number, "class 0", (check,)) for number, check in enumerate(checks)])
    [row] = [line.split() for line in page.splitlines() if line.startswith("cancellation")]
    assert row[4] == median


def test_a_share_of_nearly_nothing_has_no_sign():
    place = Place("0", "linear", "Z", -1e-9, 0.0, 0.0)
    page = page_of_one("lrp_z", CertifiedSample(0, "class 0", places=(place,)))
    assert "Most is absorbed by 0 (linear) less than 0.0001 %" in page
