"""One question has one answer: every public entry, with every option, whatever other names stand beside a name and in which order."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from comparing import deviation
from crossing import in_turn
from networks import Counting, inputs, network
from signxai import explain, explain_all, inspect_model, parse_method, register_method
from signxai.common import InputError, MethodNameError, ModelError, OptionError, TargetError
from signxai.names.grammar import MethodSpec, Multiplier
from signxai.torch_signxai import calculate_relevancemap, calculate_relevancemaps
from signxai.torch_signxai.methods.zennit_impl import (
    Analyzer,
    DeconvNetAnalyzer,
    DeepTaylorAnalyzer,
    GradCAMAnalyzer,
    GradientAnalyzer,
    GradientXInputAnalyzer,
    GradientXSignAnalyzer,
    GuidedBackpropAnalyzer,
    GuidedGradCAMAnalyzer,
    IntegratedGradientsAnalyzer,
    MethodLRPAnalyzer,
    RandomUniformAnalyzer,
    SmoothGradAnalyzer,
    VarGradAnalyzer,
)

TARGETS = {"argmax": None, "class": 1, "classes": [0, 3, 1, 2], "score": lambda output: output[:, 0] - output[:, 2].square()}


class Halves(Analyzer):
    """A user's method: the gradient, halved; it writes to what it is given."""

    is_one_backward_pass = True

    def __init__(self, model, factor: float = 0.5, **common):
        super().__init__(model, **common)
        self.factor = factor

    def attribute(self, batch):
        return batch.gradient().mul_(self.factor)


class Scaled(GradientAnalyzer):
    """A user's method with an ``analyze`` of its own, which takes no options but its own."""

    def __init__(self, model, factor: float = 3.0):
        super().__init__(model)
        self.factor = factor

    def analyze(self, input_tensor, target_class=None):
        assert target_class is None or isinstance(target_class, int | list) or callable(target_class)  # as the user gave it
        return super().analyze(input_tensor, target_class) * self.factor


class Plain:
    """A user's method that is no ``Analyzer``."""

    def __init__(self, model, factor: float = 1.0):
        self.model, self.factor = model, factor

    def analyze(self, input_tensor, target_class=None):
        assert target_class is None or isinstance(target_class, int | list) or callable(target_class)
        return np.full(tuple(input_tensor.shape), self.factor)


@pytest.fixture(scope="module", autouse=True)
def registered():
    for name, analyzer in (("halves", Halves), ("scaled", Scaled), ("plain", Plain)):
        register_method(name, analyzer)


def lrp(input_word, rule, **parameters):
    return lambda net, **options: MethodLRPAnalyzer(net, input_word, rule, **parameters, **options)


def with_steps(analyzer, **parameters):
    return lambda net, **options: analyzer(net, **parameters | options)


ANALYZERS = {
    "gradient": GradientAnalyzer,
    "gradient_x_input": GradientXInputAnalyzer,
    "input_t_gradient": GradientXInputAnalyzer,
    "gradient_x_sign_mu_0_5": with_steps(GradientXSignAnalyzer, mu=0.5),
    "gradient_x_sign_mu": GradientXSignAnalyzer,
    "integrated_gradients_steps_5": with_steps(IntegratedGradientsAnalyzer, steps=5),
    "smoothgrad_samples_4": with_steps(SmoothGradAnalyzer, num_samples=4),
    "vargrad_samples_4": with_steps(VarGradAnalyzer, num_samples=4),
    "guided_backprop": GuidedBackpropAnalyzer,
    "deconvnet": DeconvNetAnalyzer,
    "grad_cam": GradCAMAnalyzer,
    "guided_grad_cam": GuidedGradCAMAnalyzer,
    "random_uniform": RandomUniformAnalyzer,
    "deep_taylor": DeepTaylorAnalyzer,
    "lrp_z": lrp("lrp", "z"),
    "lrp_epsilon_0_25_std_x": lrp("lrp", "epsilon_std_x", epsilon=0.25),
    "lrpsign_gamma_0_25": lrp("lrpsign", "gamma", gamma=0.25),
    "zblrp_zplus": lrp("zblrp", "zplus"),
    "lrpsign_gamma_0_25_cp": lrp("lrpsign", "gamma", gamma=0.25, attention="cp"),
    "halves": Halves,
    "halves_factor_2": with_steps(Halves, factor=2.0),
    "scaled": Scaled,
    "plain": Plain,
}
OPTIONS = {
    "none": {},
    "at": {"at": "1"},
    "at several layers": {"at": ["1", "4"]},
    "at a layer in a list, with more": {"at": ["1"], "batch_size": 3, "relevance": "logit", "as_tensor": True},
    "batches of one": {"batch_size": 1},
    "batches of three": {"batch_size": 3},
    "logit": {"relevance": "logit"},
    "tensor": {"as_tensor": True},
    "seed": {"seed": 5},
    "strict": {"strict": True},
    "stabilizer": {"stabilizer": 0.1},
    "attention": {"attention": "cp"},
    "no attention": {"attention": "dp"},
    "mu": {"mu": 0.3},
    "baseline": {"baseline": 0.5},
    "noise": {"noise_level": 0.4},
    "bounds": {"low": -2.0, "high": 2.0},
    "epsilon": {"epsilon": 0.1},
    "layer": {"layer": "0"},
    "factor": {"factor": 7.0},
    "many": {"batch_size": 3, "relevance": "logit", "seed": 5, "as_tensor": True},
    "many at a layer": {"at": "4", "batch_size": 3, "relevance": "logit"},
    "no module": {"at": "features"},
    "no layers": {"at": []},
    "a layer twice": {"at": ["1", "1"]},
    "no layer": {"layer": "features"},
    "batches of none": {"batch_size": 0},
    "no start": {"relevance": "logits"},
    "no flag": {"as_tensor": 1},
    "a graph without a tensor": {"create_graph": True},
    "a graph": {"create_graph": True, "as_tensor": True},
    "no flag of a graph": {"create_graph": 1, "as_tensor": True},
    "negative seed": {"seed": -1},
    "no strictness": {"strict": "yes"},
    "negative stabilizer": {"stabilizer": -1.0},
    "no number": {"mu": "0.3"},
    "unknown": {"bananas": 1},
}


class InPlace(nn.Module):
    """Writes to its input."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.mul_(1.5).add_(0.1))


class Drawing(nn.Module):
    """Adds noise of its own, also in evaluation mode."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x + torch.randn_like(x))


def answer(question):
    """What a call gives, or which of our errors it raises."""
    try:
        return question()
    except OptionError:  # and those that say more
        return OptionError
    except (ModelError, TargetError, InputError) as error:
        return type(error)


def assert_same(got, expected, said):
    if isinstance(expected, type):
        assert got is expected, said
        return
    assert type(got) is type(expected), said
    if isinstance(expected, dict):
        assert list(got) == list(expected), said
        for layer, values in expected.items():
            assert_same(got[layer], values, (said, layer))
        return
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype), said
    if isinstance(expected, Tensor):
        assert got.requires_grad == expected.requires_grad, said
        got, expected = got.detach(), expected.detach()
    np.testing.assert_array_equal(np.asarray(got), np.asarray(expected), err_msg=str(said))


def with_threshold(name, options):
    return {"mu": 0.7} | options if name == "gradient_x_sign_mu" else options


@cache
def taken_by(name, option):
    """Whether a name takes an option: "yes", "no", or "refused" where it says so already or multiplies by the input."""
    value = {
        "at": "1",
        "layer": "0",
        "relevance": "logit",
        "strict": True,
        "as_tensor": True,
        "create_graph": False,
        "attention": "cp",
    }.get(option, 1)
    try:
        explain(network("cnn2d"), inputs("cnn2d"), name, 1, **with_threshold(name, {option: value}))
    except OptionError as error:
        return "no" if "is not an option" in str(error) else "refused"
    return "yes"


@pytest.mark.parametrize(("name", "target"), in_turn(ANALYZERS, ["argmax", "classes"]))
def test_every_entry_gives_what_explain_gives(net, x, name, target):
    target = TARGETS[target]
    start = {"relevance": "one_hot"} if name not in ("plain", "scaled") else {}  # calculate_relevancemap has a default of its own
    for option, values in OPTIONS.items():
        options = with_threshold(name, values)
        expected = answer(lambda o=options: explain(net, x, name, target, **o))
        entries = {
            "a parsed name": lambda o=options: explain(net, x, parse_method(name), target, **o),
            "explain_all": lambda o=options: explain_all(net, x, [name], target, **o)[name],
            "calculate_relevancemap": lambda o=options: calculate_relevancemap(name, x, net, target, batchmode=True, **start | o),
            "calculate_relevancemaps": lambda o=options: calculate_relevancemaps([name], x, net, target, batchmode=True, **start | o)[name],
        }
        if name not in ("plain", "scaled") and all(taken_by(name, key) == "yes" for key in options):  # else the name says more
            renamed = {"target_layer" if key == "layer" else key: value for key, value in options.items()}
            entries["analyze"] = lambda o=renamed: ANALYZERS[name](net, **o).analyze(x, target)
        for entry, question in entries.items():
            assert_same(answer(question), expected, (entry, option))


@pytest.mark.parametrize(("option", "target"), in_turn(OPTIONS, TARGETS, of_each=2))
def test_neither_what_stands_beside_a_name_nor_the_order_changes_its_map(net, x, option, target):
    options = {"mu": 0.7} | OPTIONS[option]
    names = [name for name in ANALYZERS if all(taken_by(name, key) != "refused" for key in options)]
    own = {name: {key: value for key, value in options.items() if taken_by(name, key) == "yes"} for name in names}
    expected = {name: answer(lambda name=name: explain(net, x, name, TARGETS[target], **own[name])) for name in names}
    errors = {one for one in expected.values() if isinstance(one, type)} or ({OptionError} if option == "unknown" else set())
    for order in (names, names[::-1]):
        maps = answer(lambda order=order: explain_all(net, x, order, TARGETS[target], **options))
        if errors:
            assert maps in errors
        else:
            assert list(maps) == order
            for name in names:
                assert_same(maps[name], expected[name], name)


# of four names: each at each place, and each directly after each other one
ORDERS = [(0, 1, 3, 2), (1, 2, 0, 3), (2, 3, 1, 0), (3, 0, 2, 1)]


@pytest.mark.parametrize("kind", [InPlace, Drawing])
@pytest.mark.parametrize(("option", "target"), in_turn(["none", "batches of three", "logit", "seed", "many"], TARGETS, of_each=2))
def test_no_order_of_names_counts_where_the_network_writes_to_its_input_or_draws_numbers(net, option, target, kind):
    other, x, before = kind(net), inputs("cnn2d"), inputs("cnn2d")
    names = ["input_t_gradient", "gradient", "lrp_epsilon_0_1", "integrated_gradients_steps_4"]
    options = {**OPTIONS[option], "stochastic": kind is Drawing}
    expected = {name: explain(other, x, name, TARGETS[target], **options) for name in names}
    for places in ORDERS:
        order = [names[place] for place in places]
        maps = explain_all(other, x, order, TARGETS[target], **options)
        for name in names:
            assert_same(maps[name], expected[name], (name, order))
    assert torch.equal(x, before)


def test_at_goes_to_the_gradient_whatever_stands_before_it():
    net, x = network("cnn2d"), inputs("cnn2d")
    for names in (["input_t_gradient", "gradient"], ["gradient", "input_t_gradient"]):
        maps = explain_all(net, x, names, 1, at="0")
        assert maps["gradient"].shape == (4, 5, 8, 8)
        np.testing.assert_array_equal(maps["gradient"], explain(net, x, "gradient", 1, at="0"))
        np.testing.assert_array_equal(maps["input_t_gradient"], explain(net, x, "input_t_gradient", 1))
    for name in ("gradient_x_input", "lrp_z_x_sign"):
        with pytest.raises(OptionError, match="multiplies"):
            explain_all(net, x, ["gradient", name], 1, at="0")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_no_forward_pass_of_explain_all_takes_more_than_batch_size(batch_size):
    net = Counting(network("cnn2d"))
    explain_all(net, inputs("cnn2d"), ["gradient", "lrp_z", "integrated_gradients_steps_3"], batch_size=batch_size)
    assert max(net.calls) <= batch_size


def test_the_class_is_predicted_once_and_the_gradient_computed_once():
    net = Counting(network("cnn2d"))
    explain_all(net, inputs("cnn2d"), ["gradient", "gradient_x_sign", "input_t_gradient", "halves", "halves_factor_3", "gradient_MNISTCNN"])
    assert len(net.calls) == 2


def test_no_map_shares_memory_with_another():
    names = ["gradient", "gradient_MNISTCNN", "halves", "input_t_gradient"]
    maps = explain_all(network("cnn2d"), inputs("cnn2d"), names, 1)
    expected = {name: array.copy() for name, array in maps.items()}
    maps["gradient"][:] = 0
    for name in names[1:]:
        np.testing.assert_array_equal(maps[name], expected[name])


def test_nothing_is_computed_before_every_name_and_option_is_checked():
    net = Counting(network("cnn2d"))
    for names, options in (
        (["gradient", "lrp_nonsense"], {}),
        (["gradient", "lrp_z"], {"strict": 3}),
        (["gradient", "gradient_x_sign_mu"], {}),
    ):
        with pytest.raises((MethodNameError, OptionError)):
            explain_all(net, inputs("cnn2d"), names, **options)
    assert net.calls == []


# --- the account


ACCOUNTED = ["lrp_z", "lrp_epsilon_0_25_std_x", "lrpsign_gamma_0_25", "zblrp_zplus"]


@pytest.mark.parametrize("name", ACCOUNTED)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", [nn.Identity, InPlace, Drawing])
def test_the_account_is_that_of_the_map(net, x, name, target, kind):
    net, target = net if kind is nn.Identity else kind(net), TARGETS[target]
    for option, values in OPTIONS.items():
        if "at" in values:
            continue  # an account ends at the input
        values = {**values, "stochastic": kind is Drawing}
        expected = answer(lambda o=values: explain(net, x, name, target, **o))
        report = answer(lambda o=values: inspect_model(net, x, name, target, **o))
        if isinstance(expected, type):
            assert report is expected, option
            continue
        r = np.asarray(expected.detach() if isinstance(expected, Tensor) else expected)
        of_report = np.array([report.relevance_at_input, report.positive, report.negative])
        of_map = np.array([r.sum(), r.clip(min=0).sum(), r.clip(max=0).sum()])
        assert np.abs(of_report - of_map).max() <= 1e-12 * np.abs(r).sum(), option
        assert abs(report.unaccounted) <= 1e-9 * max(1.0, np.abs(r).sum()), option


@pytest.mark.parametrize("name", ACCOUNTED)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_account_of_batches_is_that_of_the_whole(name, batch_size):
    net = Counting(network("cnn2d"))
    whole = inspect_model(net, inputs("cnn2d"), name, TARGETS["classes"])
    net.calls.clear()
    parts = inspect_model(net, inputs("cnn2d"), name, TARGETS["classes"], batch_size=batch_size)
    assert max(net.calls) <= batch_size
    assert [(row.name, row.operation, row.rule) for row in parts.rows] == [(row.name, row.operation, row.rule) for row in whole.rows]
    scale = sum(abs(row.relevance_at_output) for row in whole.rows)
    for part, row in zip([*parts.rows, parts], [*whole.rows, whole], strict=True):
        for field in ("relevance_at_output", "relevance_at_input", "absorbed_by_bias", "absorbed_by_stabilizer", "absorbed_elsewhere"):
            assert abs(getattr(part, field) - getattr(row, field)) <= 1e-12 * scale


class Routed(nn.Module):
    """Takes another way for each sample."""

    def __init__(self):
        super().__init__()
        self.ways = nn.ModuleList([nn.Linear(12, 4), nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 4))]).double()

    def forward(self, x):
        return self.ways[int(x[0, 0] > 0)](x)


def test_batches_of_different_operations_have_no_common_account():
    x = torch.ones(2, 12).double()
    x[0] = -1
    with pytest.raises(ModelError, match="other operations"):
        inspect_model(Routed(), x, "lrp_z", 1, batch_size=1)


# --- values made by hand


def test_a_value_made_by_hand_counts_as_the_name_it_prints():
    net, x = network("cnn2d"), inputs("cnn2d")
    spec = MethodSpec("smoothgrad", params=(("num_samples", 3), ("noise_level", 0.3)), multipliers=[Multiplier("input")])
    np.testing.assert_array_equal(explain(net, x, spec, 1), explain(net, x, "smoothgrad_noise_0_3_samples_3_x_input", 1))


# --- the original package's calls


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("name", ["gradient", "lrp_z", "plain", "scaled"])
def test_samples_in_turn_are_the_batch(name, as_tensor):
    net, x = network("cnn2d"), inputs("cnn2d")
    got = calculate_relevancemaps(name, x, net, 1, as_tensor=as_tensor)
    assert isinstance(got, Tensor if as_tensor else np.ndarray)
    relevance = {"relevance": "logit"} if name == "lrp_z" else {}
    assert deviation(got, explain(net, x, name, 1, **relevance)) < 1e-12


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="no sample"):
        calculate_relevancemaps("gradient", [], network("cnn2d"))


# --- analyzers say what they take


ALLOWED = {
    "gradient": "as_tensor, at, batch_size, create_graph, explained, forward_kwargs, output, progress, relevance, seed, stochastic",
    "halves": "as_tensor, at, batch_size, create_graph, explained, factor, forward_kwargs, output, progress, relevance, seed, stochastic",
    "smoothgrad_samples_4": "as_tensor, at, batch_size, create_graph, explained, forward_kwargs, noise_level, num_samples, output",
    "lrp_z": "as_tensor, at, attention, batch_size, create_graph, explained, forward_kwargs, output, progress, relevance, seed, stabilizer",
}


@pytest.mark.parametrize(("name", "allowed"), ALLOWED.items())
def test_an_unknown_option_of_an_analyzer_is_answered_with_the_known_ones(name, allowed):
    with pytest.raises(OptionError, match=f"bananas.*{allowed}"):
        ANALYZERS[name](network("cnn2d"), bananas=1)


def test_whether_a_class_leaves_the_model_alone_is_not_inherited():
    class Writing(GradientAnalyzer):
        """Changes what the class above it leaves alone."""

        def attribute(self, batch):
            batch.net.register_buffer("note", torch.zeros(1))
            return super().attribute(batch)

    Writing.__module__ = "signxai.methods.writing"  # where a class stands, or says it stands, counts for nothing
    net = network("cnn2d")
    assert not GradientAnalyzer.changes_model
    assert Writing.changes_model
    Writing(net).analyze(inputs("cnn2d"), 1)
    assert "note" not in dict(net.named_buffers())
