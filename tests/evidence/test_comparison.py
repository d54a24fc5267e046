"""Methods compared: the scores are the metrics' own, what is shared is computed once, and what follows is told openly."""

import csv
import html
import io
import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from kinds_of_input import KINDS, N, Words, of_network
from networks import drawn, inputs, network, randomized
from refusals import raises
from signxai import compare_methods, evidence, explain
from signxai.common.errors import InputError, MethodNameError, ModelError, OptionError, TargetError
from signxai.evidence import METRICS, Comparison, comparing, latex, randomization, similarities
from signxai.evidence.compared_scores import ComparedScores
from signxai.evidence.comparing import agreement_of
from signxai.targets import contrast
from test_metric_contract import few
from untouched import assert_untouched, state

METHODS = ["gradient_x_input", "lrp_z"]


@pytest.fixture(autouse=True)
def timed_once(request, monkeypatch):
    """How long methods take is of no interest here, but to one test."""
    if "costs" not in request.node.name:
        monkeypatch.setattr(comparing, "_TIMED", ((1, np.inf),))


def compared(kind="cnn1d", metrics=("srg", "gini"), methods=METHODS, **options):
    case = KINDS[kind]()
    how = {key: value for key, value in case.how.items() if key in ("unit", "imputer")}
    run = {key: value for key, value in case.how.items() if key == "forward_kwargs"}
    is_curve = metrics is None or "srg" in metrics
    options = {"metric_options": {"steps": 4, **how} if is_curve else {}, "draws": 200, **options}
    return compare_methods(case.net, case.x, methods, case.target, metrics=metrics, **options, **run)


def test_every_score_is_that_of_the_metric_itself():
    case = of_network("cnn1d")
    metrics = {name: few(record) for name, record in METRICS.items()}
    comparison = compare_methods(case.net, case.x, METHODS, case.target, metrics=metrics, masks=case.mask, draws=50, batch_size=5)
    assert comparison.methods == (*METHODS, "random_uniform")
    assert comparison.metrics == tuple(METRICS)
    for method in comparison.methods:
        maps = explain(case.net, case.x, method, case.target)
        for name, record in METRICS.items():
            given = {"map": (maps,), "mask": (maps, case.mask), "method": (case.net, case.x, method, case.target)}
            own = given.get(record.takes, (case.net, case.x, maps, case.target))
            assert comparison.scores_of(method, name) == pytest.approx(record.function(*own, **few(record)), abs=1e-9), (method, name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_is_compared(kind):
    case = KINDS[kind]()
    before = state(case.net)
    methods = ["lrp_z"] if case.has_only_ids else METHODS
    comparison = compared(kind, methods=methods, metrics=("srg", "gini", "relevance_rank"), masks=case.mask)
    assert comparison.done.all()
    assert np.isfinite(comparison.scores).all()
    assert comparison.scores.shape == (len(methods) + 1, 3, N)
    assert_untouched(case.net, before)


def test_masks_bring_a_metric_of_localization_by_default():
    case = of_network("cnn1d")
    assert compared(metrics=None).metrics == ("srg", "mprt", "gini")
    assert compared(metrics=None, masks=case.mask).metrics == ("srg", "mprt", "gini", "relevance_rank")


# What is shared


SEEN = []


class Counting(nn.Linear):
    """Notes how many samples it is run on."""

    def forward(self, x):
        SEEN.append(len(x))
        return super().forward(x)


@pytest.fixture
def points_run():
    """How many points the model is run on for a metric, beyond those for the maps and the decision."""

    def counted(metrics, methods, **options):
        fixed = {name: (lambda model, x, target, seed=seed: drawn(*x.shape, seed=seed).numpy()) for seed, name in enumerate(methods)}
        totals = []
        for own, how in ((["gini"], {}), (metrics, options)):
            SEEN.clear()
            compare_methods(Counting(12, 3).double(), inputs("linear", N), fixed, 0, metrics=own, metric_options=how, draws=10)
            totals.append(sum(SEEN))
        return totals[1] - totals[0] - N

    return counted


def test_random_subsets_cost_the_same_for_any_number_of_methods(points_run):
    one, three = (points_run(["faithfulness_correlation"], methods, samples=8) for methods in ("a", "abc"))
    assert 0 < one == three <= N * 8


def test_metrics_of_one_curve_run_it_once(points_run):
    alone = points_run(["srg"], "a", steps=5)
    assert points_run(["srg", "aopc"], "a", steps=5) == alone > 0


def test_methods_share_the_ends_of_their_curves(points_run):
    """Each has 4 points between the ends in each direction; all removed is one point for all, and the baseline is a method, too."""
    most = N * (4 * 2 * 4 + 1)
    assert most - 6 <= points_run(["srg"], "abc", steps=5) <= most  # of 12 units, two orders may have a part in common


@pytest.mark.parametrize(
    ("target", "metrics"),
    [
        *((None, metrics) for metrics in (["gini"], ["srg", "deletion"], ["completeness"], {"aopc": {"score": "decision"}})),
        (contrast([0, 1, 2], [2, 0, 1]), ["srg"]),
        (lambda outputs: outputs[:, 0], ["srg", "completeness"]),
        ([0, 1, 2], ["srg", "deletion"]),
    ],
)
def test_samples_are_predicted_once(target, metrics):
    """The maps are given, and no point of a curve is a sample itself."""
    x = inputs("linear", N)
    seen = []

    class Noting(nn.Linear):
        def forward(self, x):
            seen.extend(row.tobytes() for row in x.detach().numpy())
            return super().forward(x)

    net = Noting(12, 3).double()
    fixed = {
        "a": lambda model, x, target: drawn(*x.shape).numpy(),
        "random_uniform": lambda model, x, target: drawn(*x.shape, seed=1).numpy(),
    }
    compare_methods(net, x, fixed, target, metrics=metrics, draws=5, timed=False)
    assert [seen.count(row.tobytes()) for row in x.numpy()] == [1] * N


def test_random_models_are_drawn_once(monkeypatch):
    drawn_models = []
    own = randomization.random_models
    monkeypatch.setattr(randomization, "random_models", lambda *given: drawn_models.append(1) or own(*given))
    compared(metrics=("mprt",), metric_options={})
    assert len(drawn_models) == 1


def test_maps_that_those_of_random_models_are_compared_with_are_ranked_once(monkeypatch):
    ranked, own = [], similarities.average_ranks
    monkeypatch.setattr(similarities, "average_ranks", lambda values: ranked.append(1) or own(values))
    comparison = compared(metrics=("mprt",), metric_options={})
    layers = comparison.curves["mprt"].places.size
    assert layers > 1
    assert len(ranked) == len(comparison.methods) * (1 + layers)


def test_points_of_one_input_are_told_from_those_of_another_with_the_same_values():
    class Weighing(nn.Module):
        def forward(self, a, b):
            return (a + 10 * b).sum(1, keepdim=True)

    x, relevance = drawn(2, 4), np.tile(np.arange(4.0), (2, 1))
    methods = {key: (lambda model, x, target, key=key: {key: relevance}) for key in "ab"}
    found = compare_methods(Weighing(), {"a": x, "b": x}, methods, 0, metrics={"aopc": {"imputer": 0.0, "steps": 2}}, draws=5)
    assert found.scores_of("b", "aopc") == pytest.approx(10 * found.scores_of("a", "aopc"), abs=1e-9)


def test_points_that_differ_in_few_bits_are_told_apart():
    """In the last bit, or in signs alone, of which an even number would cancel each other in a plain sum."""
    net = nn.Linear(4, 1).double()
    x = torch.ones(1, 4, dtype=torch.float64)
    imputers = [lambda x, removed, value=value: torch.full_like(x, value) for value in (1.0, np.nextafter(1.0, 2.0), -1.0)]
    relevance = np.arange(4.0)[None]
    metrics = [{"srg": {"imputer": imputer, "steps": 3}} for imputer in imputers]
    for one in metrics:
        found = compare_methods(net, x, {"map": lambda *_: relevance}, 0, metrics={**one, "aopc": one["srg"]}, draws=5)
        assert found.scores_of("map", "srg") == pytest.approx(evidence.srg(net, x, relevance, 0, **one["srg"]), abs=1e-15)
        assert found.scores_of("map", "aopc") == pytest.approx(evidence.aopc(net, x, relevance, 0, **one["srg"]), abs=1e-15)


# What holds


@pytest.fixture(scope="module")
def linear():
    """A linear model of which only the first places matter, on 24 samples."""
    weight = torch.cat([1 + torch.rand(8, generator=torch.Generator().manual_seed(0)), torch.zeros(8)])
    net = nn.Linear(16, 1, bias=False)
    net.weight.data = weight[None]
    mask = np.zeros(16, dtype=bool)
    mask[:8] = True
    metrics = ["srg", "aopc", "faithfulness_correlation", "infidelity", "completeness", "relevance_rank", "auc", "pointing_game"]
    lrp = lambda model, x, target: explain(model, x, "lrp_z", target, relevance="logit")  # noqa: E731
    methods = {name: name for name in ("gradient", "gradient_x_input", "random_uniform")} | {"lrp": lrp}
    x = drawn(24, 16, seed=5).float()
    return compare_methods(net, x, methods, 0, metrics=metrics, masks=mask[None], metric_options={"imputer": 0.0, "steps": 8})


def test_contributions_win_on_a_linear_model(linear):
    for name in ("srg", "aopc", "faithfulness_correlation", "infidelity", "completeness"):
        assert linear.row("gradient_x_input", name).rank <= 1.5, name
        assert linear.row("lrp", name).mean == pytest.approx(linear.row("gradient_x_input", name).mean, abs=1e-5)
        assert linear.row("gradient_x_input", name).beats_random


def test_the_random_map_is_last_or_level_with_chance(linear):
    for name in ("srg", "faithfulness_correlation", "relevance_rank", "auc"):
        row, chance = linear.row("random_uniform", name), 0.5 if name in ("auc", "relevance_rank") else 0.0
        assert row.low <= chance <= row.high, name
    assert linear.row("random_uniform", "pointing_game").rank == 4
    assert linear.row("random_uniform", "aopc").rank > 2
    assert all(np.isnan(row.p_random) and not row.beats_random for row in linear.table() if row.method == "random_uniform")


def test_one_method_of_the_same_maps_agrees_with_itself_alone(linear):
    assert linear.agreement.diagonal().tolist() == [1.0] * 4
    assert linear.agreement[1, 3] == pytest.approx(1.0, abs=1e-6)
    assert abs(linear.agreement[0, 2]) < 0.2


def test_agreement_is_of_the_inputs_that_both_explain():
    a, b = {"x": drawn(3, 5).numpy(), "ids": drawn(3, 2).numpy()}, {"x": -drawn(3, 5).numpy()}
    assert agreement_of([a, b])[0, 1] == pytest.approx(-1.0)
    assert np.isnan(agreement_of([a, {"other": b["x"]}])[0, 1])
    assert agreement_of([{0: np.ones((2, 3))}, {0: np.zeros((2, 3))}])[0, 1] == 1.0


def test_a_comparison_comes_out_the_same_again():
    first, second = compared(), compared()
    assert np.array_equal(first.scores, second.scores)
    assert [row.low for row in first.table()] == [row.low for row in second.table()]
    assert [row.low for row in first.table()] != [row.low for row in compared(seed=1).table()]


def test_costs_are_in_gradients():
    costs = dict(zip((*METHODS, "smoothgrad", "random_uniform"), compared(methods=[*METHODS, "smoothgrad"]).costs, strict=True))
    assert costs["smoothgrad"] > costs["gradient_x_input"] > 0


def test_untimed_costs_are_absent_and_nothing_runs_for_them(monkeypatch):
    ran, own = [], comparing._Work._explained
    monkeypatch.setattr(comparing._Work, "_explained", lambda work, one: ran.append(one.label) or own(work, one))
    untimed = compared(timed=False)
    assert ran == [*METHODS, "random_uniform"]
    timed = compared()
    assert len(ran) > 2 * len(METHODS) + 2
    assert untimed.costs is None
    assert np.isnan([row.cost for row in untimed.table()]).all()
    assert np.array_equal(untimed.scores, timed.scores)
    assert np.array_equal(untimed.agreement, timed.agreement)
    for text in (str(untimed), untimed.to_html(), untimed.to_latex()):
        assert text.count("cost") == 1
        assert "cost: not measured, no method was timed" in text
    assert r"\begin{tabular}{lll}" in untimed.to_latex()
    assert '<th scope="col">cost</th>' in timed.to_html()
    one, other = (list(csv.DictReader(io.StringIO(found.to_csv()))) for found in (untimed, timed))
    assert set(one[0]) ^ set(other[0]) == {"timed", "cost_in_gradients"}
    assert {row["timed"] for row in one} == {"false"}
    untimed.plot()


def test_functions_and_options_of_methods_are_taken():
    mine = {"mine": lambda model, x, target: explain(model, x, "gradient_x_input", target), "smooth": "smoothgrad"}
    comparison = compared(methods=mine, metrics=("gini", "mprt"), method_options={"num_samples": 2}, metric_options={})
    assert comparison.methods == ("mine", "smooth", "random_uniform")
    assert comparison.scores_of("mine", "gini") == pytest.approx(compared(metrics="gini").scores_of("gradient_x_input", "gini"))
    case = of_network("cnn1d")
    assert comparison.scores_of("smooth", "mprt") == pytest.approx(
        evidence.mprt(case.net, case.x, "smoothgrad", case.target, num_samples=2), abs=1e-9
    )


def test_a_model_without_gradients_is_compared_by_functions():
    class Steps(nn.Module):
        def forward(self, x):
            return (x > 0).to(x).detach().cumsum(1)

    comparison = compare_methods(Steps(), drawn(4, 6), {"value": lambda model, x, target: x}, 5, metrics="srg", draws=10)
    assert np.isnan(comparison.costs).all()
    assert "–" in str(comparison)


# What is refused


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"metrics": ["srgg"]}, OptionError, "no metric 'srgg'; nearest: srg"),
        ({"metrics": []}, OptionError, "metrics is empty"),
        ({"metrics": {"srg": {"step": 3}}}, OptionError, "'srg' takes no option 'step'; nearest: steps"),
        ({"metric_options": {"unti": "pixel"}}, OptionError, "none of the metrics takes the option 'unti'; nearest: unit"),
        ({"metrics": ["auc"]}, OptionError, "'auc' asks whether relevance lies where it should; give masks="),
        ({"methods": "lrp_z"}, OptionError, "one name; give a sequence"),
        ({"methods": []}, OptionError, "method_names is empty"),
        ({"methods": ["lrp_zz"]}, MethodNameError, "lrp_zz"),
        ({"method_options": {"stepz": 1}}, OptionError, "none of the methods takes the option 'stepz'"),
        ({"groups": ["a"]}, OptionError, "groups= names 1 samples, and x has 3"),
        ({"groups": np.zeros((3, 1))}, OptionError, "groups= of sample 0 is [0.0], which is no group; give one name or number for each"),
        ({"groups": [1.0, 1.0, float("nan")]}, OptionError, "groups= of sample 2 is nan"),
        ({"groups": 3}, OptionError, "groups=3 is no sequence"),
        ({"methods": {"a\nb": "gradient"}}, OptionError, "the label 'a\\nb'; a label is text on one line"),
        ({"methods": {1: "gradient"}}, OptionError, "the label 1; a label is text on one line"),
    ],
)
def test_what_is_wrong_is_told(how, error, said):
    with pytest.raises(error, match=re.escape(said)):
        compared(**how)


@pytest.mark.parametrize(
    ("metrics", "masks", "said"),
    [
        ({"srg": {"steps": 0}}, None, "srg: steps=0"),
        ({"srg": {"score": "loss"}}, None, "srg: score='loss'"),
        ({"aopc": {"imputer": "noise"}}, None, "aopc: imputer='noise'"),
        ({"aopc": {"unit": np.zeros((3, 5), dtype=int)}}, None, "aopc: unit= has the shape"),
        ({"completeness": {"baseline": np.zeros((5, 1))}}, None, "completeness: imputer= is an array of shape"),
        ({"infidelity": {"subset": 2}}, None, "infidelity: subset=2"),
        ({"sensitivity_n": {"sizes": ()}}, None, "sensitivity_n: sizes=()"),
        ({"effective_complexity": {"threshold": 2}}, None, "effective_complexity: threshold=2"),
        ({"mprt": {"order": "sideways"}}, None, "mprt: order='sideways'"),
        ({"mprt": {"layers": ["nowhere"]}}, None, "mprt: layers= names 'nowhere'"),
        ({"smprt": {"similarity": "likeness"}}, None, "smprt: similarity='likeness'"),
        ({"emprt": {"bins": 1}}, None, "emprt: bins=1"),
        ({"random_logit": {"other_class": 0}}, None, "random_logit: other_class= is the target of sample"),
        ({"max_sensitivity": {"radius": 0}}, None, "max_sensitivity: radius=0"),
        ({"auc": {"pool": "mean"}}, np.eye(3, 16)[:, None], "auc: pool='mean'"),
        (["auc"], np.ones((3, 5)), "auc: mask= has the shape (3, 5)"),
        (["pointing_game"], np.zeros((3, 1, 16)), "pointing_game: mask=: sample 0 has nothing inside"),
        ({"top_k_intersection": {"k": 0}}, np.eye(3, 16)[:, None], "top_k_intersection: k=0"),
    ],
)
def test_options_and_masks_are_checked_before_maps_are_computed(metrics, masks, said, monkeypatch):
    monkeypatch.setattr(comparing._Work, "everything", lambda self: pytest.fail("something was computed"))
    case = of_network("cnn1d")
    with pytest.raises((OptionError, InputError, TargetError), match=re.escape(said)):
        compare_methods(case.net, case.x, METHODS, 0, metrics=metrics, masks=masks)


def test_options_of_one_of_several_inputs_are_enough_where_only_that_is_explained():
    class Joint(nn.Module):
        def forward(self, a, b):
            return (a + 2 * b).sum(1, keepdim=True)

    x = {"a": drawn(2, 4), "b": drawn(2, 4, seed=1)}
    how = {
        "metrics": ["srg", "auc"],
        "metric_options": {"unit": {"a": "value"}, "imputer": {"a": 0.0}},
        "method_options": {"explained": ["a"]},
    }
    found = compare_methods(Joint(), x, ["lrp_z"], 0, masks={"a": np.eye(2, 4)}, draws=5, **how)
    assert found.done.all()
    with pytest.raises(OptionError, match="srg: unit= has nothing for the input 'a'"):
        compare_methods(Joint(), x, ["lrp_z"], 0, metrics=["srg"], metric_options={"unit": {"c": "value"}})


def test_the_method_that_is_refused_is_named():
    net, x = network("mlp"), inputs("mlp", 2)
    with pytest.raises(ModelError, match=r"maps of grad_cam: .*convolution"):
        compare_methods(net, x, ["gradient", "grad_cam"], 0, metrics=["gini"])
    wrong = {
        "the method's map holds NaN": np.full(x.shape, np.nan),
        "the method gave 1 maps for 2 samples": np.ones((1, 3)),
        "the method gave maps of shape (2, 1)": np.ones((2, 1)),
    }
    for said, maps in wrong.items():
        with pytest.raises(InputError, match=re.escape(f"maps of mine: {said}")):
            compare_methods(net, x, {"mine": lambda *_, maps=maps: maps}, 0, metrics=["gini"])
    with pytest.raises(InputError, match="srg of mine: relevance has the shape"):
        compare_methods(net, x, {"mine": lambda model, x, target: x[:, None]}, 0, metrics=["srg"])


def test_an_error_of_a_forward_keeps_its_cause():
    class Failing(nn.Linear):
        def forward(self, x):
            if x.requires_grad:
                raise RuntimeError("no gradient today")
            return super().forward(x)

    with pytest.raises(ModelError, match="maps of gradient: ") as raised:
        compare_methods(Failing(3, 2), drawn(2, 3).float(), ["gradient"], 0, metrics=["gini"])
    assert "no gradient today" in f"{raised.value.__cause__}"


def test_how_many_draws_is_checked_before_anything_is_computed():
    with pytest.raises(OptionError, match="draws=0 must be a whole number of at least 1"):
        compared(draws=0, progress=lambda *_: pytest.fail("something was computed"))


def test_what_a_comparison_does_not_have_is_told():
    comparison = compared()
    for ask in (lambda: comparison.row("lrp", "srg"), lambda: comparison.ranks("mprt"), lambda: comparison.plot_curves("gini")):
        with pytest.raises(OptionError, match=r"gradient_x_input|srg"):
            ask()


# Ended before it is done


def interrupted(after, **options):
    def progress(what, done, total):
        if done >= after:
            raise KeyboardInterrupt

    return compared(metrics=("gini", "srg", "mprt"), progress=progress, metric_options={"steps": 3}, **options)


def test_what_is_done_is_kept_and_marked():
    comparison = interrupted(after=7, keep_partial=True)
    assert comparison.partial
    assert comparison.done.tolist() == [[True, True, False], [True, False, False], [True, False, False]]
    assert np.array_equal(np.isfinite(comparison.scores).all(axis=2), comparison.done)
    whole = compared(metrics=("gini", "srg"), metric_options={"steps": 3})
    assert comparison.scores[0, :2] == pytest.approx(whole.scores[0, :2])
    said = "PARTIAL: interrupted; 4 of 9 pairs of a method and a metric are done"
    for text in (str(comparison), comparison.to_html(), comparison.to_latex()):
        assert said in text
        assert text.count("not done") == 5
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert {row["partial"] for row in rows} == {"true"}
    assert sum(row["mean"] == "" for row in rows) == 5
    assert any(said in text.get_text() for text in comparison.plot().texts)


def test_without_being_asked_to_keep_or_with_nothing_to_keep_ctrl_c_ends_it():
    for after, keeps in ((7, False), (0, True), (2, True)):
        with pytest.raises(KeyboardInterrupt):
            interrupted(after, keep_partial=keeps)


def test_progress_counts_up_to_the_whole():
    seen = []
    compared(metrics=("gini", "srg", "mprt"), progress=lambda *told: seen.append(told))
    done = [count for _, count, _ in seen]
    assert done == sorted(done)
    assert seen[0] == ("maps of gradient_x_input", 0, 12)
    assert seen[-1] == ("", 12, 12)


# What is shown


def made(scores, metrics=("srg", "mprt"), methods=("lrp_z", "a_b%<c>", "random_uniform"), groups=None):
    scores = np.asarray(scores, dtype=np.float64)
    done = np.ones(scores.shape[:2], dtype=bool)
    return Comparison(methods, metrics, scores, done, groups, np.eye(3), np.ones(3), {}, 200, 0)


def ten(*means):
    """Scores about some means, of ten samples."""
    noise = 0.01 * np.random.default_rng(0).normal(size=(len(means), 10))
    return np.asarray(means)[:, None] + noise


def test_scores_that_are_undefined_are_counted_openly():
    srg = ten(2.0, 1.0, 0.0)
    srg[0, 3:5] = np.nan
    comparison = made(np.stack([srg, ten(0.1, 0.2, 0.9)], axis=1))
    row = comparison.row("lrp_z", "srg")
    assert (row.samples, row.rank, row.done) == (8, 1.0, True)
    assert row.mean == pytest.approx(np.nanmean(srg[0]))
    assert comparison.ranks("srg").blocks == 8
    for text in (str(comparison), comparison.to_html(), comparison.to_latex()):
        assert "srg of lrp_z: 8 of 10 samples have a score" in text


class _PerStep(nn.Module):
    """Classes of each step of time along the last axis (N, T, classes), behind a softmax along it."""

    def __init__(self):
        super().__init__()
        self.net = randomized(nn.Sequential(nn.Conv1d(2, 5, 3, padding=1), nn.Tanh(), nn.Conv1d(5, 4, 1)))

    def forward(self, x):
        return self.net(x).transpose(1, 2).softmax(-1)


def test_probabilities_are_by_the_networks_own_softmax_in_a_comparison_too():
    net, x, how = _PerStep().double(), drawn(3, 2, 6), {"imputer": 0.0, "steps": 3}
    found = compare_methods(net, x, ["gradient"], (2, 1), metrics=["deletion"], metric_options=how, timed=False)
    curve = evidence.perturbation_curve(net, x, explain(net, x, "gradient", (2, 1)), (2, 1), order="most", score="probability", **how)
    assert curve.scores[:, 0] == pytest.approx(net(x)[:, 2, 1].detach().numpy())
    assert found.curves["deletion"].values["most"][0] == pytest.approx(curve.scores)


@pytest.mark.parametrize("blocks", [1, 5, 6, 7, 10])
def test_too_few_samples_for_any_test_are_said_to_be(blocks):
    """Of four methods the least p-value is three times 2 to the power of one less the samples: with 7 samples 0.047, with 8 half of it."""
    methods = ("lrp_z", "gradient", "gradient_x_input", "random_uniform")
    scores = np.stack([ten(9.0, 5.0, 2.0, 0.0)[:, :blocks]] * 2, axis=1)
    done = np.ones(scores.shape[:2], dtype=bool)
    comparison = Comparison(methods, ("srg", "mprt"), scores, done, None, np.eye(4), np.ones(4), {}, 200, 0)
    is_shown = comparison.row("lrp_z", "srg").beats_random
    assert comparison.least_p == pytest.approx(min(1, 3 * 2.0 ** (1 - blocks)))
    said = f"{blocks} sample{'s' * (blocks > 1)} and 4 methods: no test can reach 5 %" in str(comparison)
    assert (said, is_shown) == (comparison.least_p > 0.05, comparison.least_p <= 0.05)


def test_a_page_says_how_the_comparison_was_made():
    """And the cost of the gradient is one, however busy the machine is."""
    comparison = compared(methods=["gradient", "lrp_z"])
    assert comparison.row("gradient", "srg").cost == 1
    page, settings = comparison.to_html(), comparison.settings
    assert settings["model"] == "Sequential"
    assert "signxai" in settings["version"]
    for name, text in settings.items():
        assert f'<th scope="row">{name}</th><td>{html.escape(text)}</td>' in page
    assert "steps=" in settings["srg"]
    assert "unit=" in settings["srg"]


def test_what_is_easily_misread_is_said():
    comparison = made(np.stack([ten(2.0, 1.0, 0.0)] * 2, axis=1), metrics=("infidelity", "mprt"))
    assert "infidelity: compare only methods whose maps are on one scale" in str(comparison)
    assert "mprt: random_uniform does not see the network" in str(comparison)


def test_a_method_without_any_score_has_no_rank():
    srg = ten(2.0, 1.0, 0.0)
    srg[0] = np.nan
    comparison = made(np.stack([srg, ten(0.1, 0.2, 0.9)], axis=1))
    row = comparison.row("lrp_z", "srg")
    assert (row.samples, row.done, row.is_best) == (0, True, False)
    assert np.isnan([row.mean, row.low, row.rank, row.p_best]).all()
    assert comparison.row("a_b%<c>", "srg").is_best
    assert comparison.ranks("srg").blocks == 0
    assert "srg of lrp_z: 0 of 10 samples have a score" in str(comparison)
    comparison.plot()


def test_better_is_lower_where_the_record_says_so():
    comparison = made(np.stack([ten(2.0, 1.0, 0.0), ten(0.1, 0.2, 0.9)], axis=1))
    assert [row.rank for row in comparison.table()] == [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]
    worse = made(np.stack([ten(-2.0, 1.0, 0.0), ten(0.99, 0.2, 0.9)], axis=1))
    assert [worse.row("lrp_z", name).beats_random for name in worse.metrics] == [False, False]
    assert worse.row("lrp_z", "srg").p_random < 0.05


def test_groups_are_what_tests_count():
    scores = np.stack([ten(2.0, 1.0, 0.0), ten(0.1, 0.2, 0.9)], axis=1)
    alone, grouped = made(scores), made(scores, groups=np.arange(10) // 2)
    assert alone.row("lrp_z", "srg").p_random < 0.05 < grouped.row("lrp_z", "srg").p_random  # five groups are too few: 2 / 2^5
    assert (alone.blocks, grouped.blocks, grouped.ranks("srg").blocks) == (10, 5, 5)
    assert "over 5 groups" in str(grouped)


def test_ties_share_their_ranks():
    same = np.stack([ten(1.0, 0.0, 0.0), ten(0.1, 0.1, 0.9)], axis=1)
    same[1, 0] = same[0, 0]
    comparison = made(same)
    assert [comparison.row(method, "srg").rank for method in comparison.methods] == [1.5, 1.5, 3.0]
    assert [comparison.row(method, "srg").is_best for method in comparison.methods] == [True, True, False]
    assert not any(row.is_level_with_best for row in comparison.table() if row.metric == "srg")
    assert np.isnan(comparison.row("a_b%<c>", "srg").p_best)


def test_all_that_share_the_best_mean_are_best():
    scores = np.stack([np.zeros((3, 10)), ten(0.1, 0.2, 0.9)], axis=1)
    comparison = made(scores)
    assert [comparison.row(method, "srg").rank for method in comparison.methods] == [2.0, 2.0, 2.0]
    assert [comparison.row(method, "srg").is_best for method in comparison.methods] == [True] * 3
    assert [line.count("*") for line in str(comparison).splitlines()[2:5]] == [2, 1, 1]
    assert "not told from the best" not in str(comparison)


@pytest.mark.parametrize(("metric", "sign"), [("srg", 1.0), ("mprt", -1.0)])
def test_a_mean_and_a_test_that_contradict_each_other_are_no_victory(metric, sign):
    """The mean is better by one sample, and nine of ten say the opposite."""
    ahead = np.array([100.0, *[-1.0] * 9])
    scores = np.stack([ahead, ahead + np.linspace(1e-3, 1e-2, 10), np.zeros(10)])
    own = made(np.stack([sign * scores] * 2, axis=1)).row("lrp_z", metric)
    assert (own.rank < 3, own.beats_random) == (True, False)
    many = np.tile(scores, 3)
    assert made(np.stack([sign * many] * 2, axis=1)).row("lrp_z", metric).p_random < 0.05
    assert not made(np.stack([sign * many] * 2, axis=1)).row("lrp_z", metric).beats_random


def test_a_method_that_the_test_finds_better_than_the_best_mean_is_not_told_from_it():
    few_large, many_small = np.tile([100.0, *[-1.0] * 9], 3), np.zeros(30)
    comparison = made(np.stack([np.stack([few_large, many_small, np.full(30, -200.0)])] * 2, axis=1))
    best, other, random = (comparison.row(method, "srg") for method in comparison.methods)
    assert (best.is_best, other.p_best < 0.05, other.is_level_with_best) == (True, True, True)
    assert not random.is_level_with_best


@pytest.fixture(scope="module")
def shown():
    return made(np.stack([ten(2.0, 1.999, 0.0), ten(0.1, 0.2, 0.9)], axis=1))


def test_the_table_fits_a_screen(shown):
    lines = str(shown).splitlines()
    assert lines[0] == "3 methods on 10 samples: means with 95 % bootstrap intervals over samples (200 draws)"
    assert lines[1].split() == ["cost", "srg", "↑", "mprt", "↓"]
    assert lines[2].startswith("lrp_z")
    assert lines[2].count("*") == 2
    wide = compared(metrics=[name for name, record in METRICS.items() if record.takes == "decision"], metric_options={"samples": 4})
    assert max(map(len, str(wide).splitlines())) <= 150


def test_latex_has_the_best_in_bold_and_names_that_latex_can_read(shown):
    text = shown.to_latex()
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert body[0] == r"\begin{tabular}{lrll}"
    assert body[1] == r"\toprule"
    assert body[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert text.count(r"\textbf") == 2
    assert r"\texttt{a\_b\%<c>}" in text
    assert all(line.count("&") == 3 and line.endswith(r" \\") for line in body if line.startswith(r"\texttt"))


ODD_NAMES = (
    "lrp_z",
    "a_b%&#$~^\\{x}",
    "größe_µ α→β Ω ≤ <c>|\"'` -- ?` [0] * − ς ł “x” – é",
    "日本\nnext \t\u00ad ð e\u0301 \U0001f600",
)
_GLYPH = re.compile(r"\\(?:textbackslash|textasciitilde|textasciicircum)\{\}|\\[&%$#_{}]|\\ensuremath\{(?:\\[A-Za-z]+|-)\}|[^\\&%$#_{}~^]")


def test_whatever_methods_are_called_latex_reads_a_table():
    """A parser of what LaTeX makes of a row: commands that print, letters that its fonts have, and nothing that it acts on."""
    scores = np.stack([ten(2.0, 1.0, 0.5, 0.4, 0.0), ten(0.1, 0.2, 0.9, 0.5, 0.6)], axis=1)
    scores[1, 0, 0] = np.nan
    methods = (*ODD_NAMES, "random_uniform")
    for costs in (np.ones(5), None):
        comparison = Comparison(methods, ("srg", "mprt"), scores, np.ones((5, 2), dtype=bool), None, np.eye(5), costs, {}, 200, 0)
        rows = [line for line in comparison.to_latex().splitlines() if not line.startswith("%")]
        assert len(rows) == 6 + len(methods)
        for row in rows[4:-2]:
            name = row[len(r"\texttt{") : row.index("} & ")]
            assert "".join(_GLYPH.findall(name)) == name
            assert len(re.findall(r"(?<!\\)&", row)) == (2 if costs is None else 3)
            assert all(letter < "\u0180" or letter in "–→“”" for letter in name)
            assert row.count("{") - row.count(r"\{") == row.count("}") - row.count(r"\}")
    assert latex.escaped(ODD_NAMES[3]) == "U+65E5U+672C next U+00AD U+00F0 é U+1F600"


def test_csv_has_the_numbers_in_full(shown):
    rows = list(csv.DictReader(io.StringIO(shown.to_csv())))
    assert [float(row["mean"]) for row in rows] == [row.mean for row in shown.table()]
    assert [row["p_best"] for row in rows if row["method"] == "lrp_z"] == ["", ""]
    samples = list(csv.DictReader(io.StringIO(shown.to_csv(per_sample=True))))
    assert [float(row["score"]) for row in samples if (row["method"], row["metric"]) == ("lrp_z", "mprt")] == shown.scores[0, 1].tolist()


def test_csv_of_samples_has_their_names_where_they_are_given(shown):
    assert next(iter(csv.reader(io.StringIO(shown.to_csv(per_sample=True))))) == ["method", "metric", "sample", "group", "score", "partial"]
    names = [f"beat {number}, V" for number in range(shown.samples)]
    rows = list(csv.DictReader(io.StringIO(shown.to_csv(per_sample=True, names=names, paths=["a.npy"] * shown.samples))))
    assert list(rows[0]) == ["method", "metric", "sample", "name", "path", "group", "score", "partial"]
    assert {(row["sample"], row["name"], row["path"]) for row in rows} == {(str(n), name, "a.npy") for n, name in enumerate(names)}
    with raises(OptionError, "names=", "1 entries", f"{shown.samples} samples"):
        shown.to_csv(per_sample=True, names=["one"])
    with raises(OptionError, "paths=", "per_sample=True"):
        shown.to_csv(paths=["a"] * shown.samples)


def test_a_page_loads_nothing_and_names_are_no_markup(shown, tmp_path):
    page = shown.to_html(tmp_path / "page.html", title="a & b")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert "<title>a &amp; b</title>" in page
    assert "<c>" not in page
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)|url\((?!#)|@import', page)
    assert "Bluecher et al. 2024" in page
    assert "currentColor" in page


def test_files_are_written_as_they_are_returned(shown, tmp_path):
    for write, name in ((shown.to_csv, "a.csv"), (shown.to_latex, "a.tex")):
        assert write(tmp_path / name) == (tmp_path / name).read_text(encoding="utf-8")


def test_one_sample_is_compared_without_intervals_or_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison = compare_methods(network("cnn1d"), inputs("cnn1d", 1), METHODS, 0, metrics=["srg", "gini"], draws=10)
        assert "[" not in str(comparison)
        comparison.plot()


def test_curves_are_those_of_the_metrics():
    comparison = compared(metrics=("srg", "sensitivity_n", "mprt"), metric_options={"steps": 4, "samples": 3})
    case = of_network("cnn1d")
    maps = explain(case.net, case.x, "lrp_z", case.target)
    curves = comparison.curves["srg"].values
    assert curves["most"][1] == pytest.approx(evidence.perturbation_curve(case.net, case.x, maps, case.target, steps=4).scores, abs=1e-9)
    assert comparison.curves["mprt"].values[""][1].mean(axis=1) == pytest.approx(comparison.scores_of("lrp_z", "mprt"))
    means, ends = comparison.bands("srg")["least"]
    assert means == pytest.approx(curves["least"].mean(axis=1))
    assert (ends[..., 0] <= means).all()
    assert (means <= ends[..., 1]).all()
    assert isinstance(comparison, ComparedScores)


def test_token_ids_keep_their_names():
    net = randomized(Words())
    ids = torch.randint(1, 9, (4, 6), generator=torch.Generator().manual_seed(2))
    comparison = compare_methods(net, ids, ["lrp_z", "gradient"], metrics=["srg", "mprt"], metric_options={"imputer": 0, "unit": "token"})
    assert comparison.done.all()


@pytest.mark.parametrize(
    "target", [contrast([0, 1, 2], [3, 3, 3]), lambda outputs: outputs[:, 0] - outputs[:, 1]], ids=["contrast", "function"]
)
def test_targets_that_are_functions_are_compared(target):
    net, x = network("cnn1d"), inputs("cnn1d", N)
    comparison = compare_methods(net, x, ["lrp_z"], target, metrics={"srg": {"steps": 3}, "mprt": {}}, draws=10)
    maps = explain(net, x, "lrp_z", target)
    assert comparison.scores_of("lrp_z", "srg") == pytest.approx(evidence.srg(net, x, maps, target, steps=3), abs=1e-9)
    assert comparison.scores_of("lrp_z", "mprt") == pytest.approx(evidence.mprt(net, x, "lrp_z", target), abs=1e-9)


# --- turned signs ------------------------------------------------------------------------------------------------------------


def test_a_comparison_says_whose_maps_a_logit_below_zero_turns_upside_down():
    """The map of a linear network has the best gain there is; with turned signs it has the worst."""
    net, x = nn.Linear(12, 2, bias=False), torch.rand(4, 12) + 0.1
    with torch.no_grad():
        net.weight[0] = torch.linspace(-2.0, 1.0, 12)
        net.weight[1] = 1.0
    assert (net(x)[:, 0] < 0).all()
    how = {"metrics": ["srg"], "metric_options": {"imputer": 0.0}, "draws": 50, "timed": False}
    turned = compare_methods(net, x, METHODS, 0, **how)
    assert turned.turned == {"lrp_z": 4}
    for said in (str(turned), turned.to_html(), turned.to_latex()):
        assert "SIGNS TURNED" in said
    assert turned.row("lrp_z", "srg").mean == pytest.approx(-turned.row("gradient_x_input", "srg").mean)
    right = compare_methods(net, x, METHODS, 0, method_options={"lrp_z": {"relevance": "logit"}}, **how)
    assert not right.turned
    assert "SIGNS TURNED" not in str(right)
    assert right.row("lrp_z", "srg").mean == pytest.approx(right.row("gradient_x_input", "srg").mean)
    assert compare_methods(net, x, METHODS, 1, **how).turned == {}


def test_options_of_one_method_are_refused_where_it_does_not_take_them():
    with pytest.raises(OptionError, match="'gradient' takes no option 'steps'"):
        compared(methods=["gradient"], method_options={"gradient": {"steps": 3}})
    with pytest.raises(OptionError, match="'mine' takes no option 'seed'"):
        compared(methods={"mine": lambda model, x, target: x}, method_options={"mine": {"seed": 3}})
