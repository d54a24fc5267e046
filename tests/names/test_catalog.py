"""The catalog: whatever knows methods knows a record that is added, and forgets one that is taken out."""

import inspect
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from comparing import deviation
from contract import keeps_the_contract
from networks import inputs, network
from places import ROOT, TOOLS
from sentences import sentences
from signxai import explain, inspect_model, list_methods, parse_method
from signxai.cli.commands import cli
from signxai.common import MethodNameError, OptionError
from signxai.engine.stabilizer import stabilized_share
from signxai.methods.composites import layer_rule, loaded
from signxai.methods.rules import Epsilon, LinearRule, Z, ZBox
from signxai.names import catalog
from signxai.names.catalog import Composite, InputWord, Method, Paper, Parameter, Rule, Use, registered
from signxai.names.describe import describe
from signxai.names.grammar import MethodSpec, Multiplier
from signxai.torch_signxai import calculate_relevancemap
from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer, GradientAnalyzer, LRPSequential, MethodLRPAnalyzer

sys.path.append(str(TOOLS))

import methods_page


class Soft(LinearRule):
    """Shares damped by delta, as epsilon does: so that there is something to compare with."""

    def __init__(self, delta=0.1):
        super().__init__()
        self.delta = delta

    def relevance(self, layer, x, z, relevance):
        return layer.transposed(stabilized_share(relevance, z, self.delta), layer.weight, x) * x


class Scaled(GradientAnalyzer):
    """The gradient times a factor."""

    def __init__(self, model, factor=2, **common):
        super().__init__(model, **common)
        self.factor = factor

    def analyze(self, input_tensor, target_class=None):
        return super().analyze(input_tensor, target_class) * self.factor


PAPER = Paper("Nobody 2026", "A. Nobody: On Softness. 2026.", "arXiv:2601.00001")
DELTA = Parameter("delta", minimum=0, default=0.1)
SOFT = Rule("soft", Soft, meaning="shares softened by {delta}", parameters=(DELTA,), formula=("R_i = soft",), latex="$s$", papers=(PAPER,))
SPELLED = Rule("softly", Soft, meaning="softened by {delta}", spelling="softly_delta_NUM_std", parameters=(DELTA,))
SOFT_FIRST = Composite("soft_first", meaning="soft first", first=Use("soft"), linear=Use("z"), convolution=Use("soft", {"delta": 0.4}))
SOFT_WORD = InputWord("softlrp", "soft", use="soft inputs", preset_values={"delta": 0.7})
SCALED = Method("scaled", Scaled, meaning="scaled gradient", parameters=(Parameter("factor", kind=int, default=2),), starts_with_logit=True)


@pytest.fixture
def net():
    return network("mlp")


@pytest.fixture
def x():
    return inputs("mlp")


# --- the records that the package comes with ------------------------------------------------------------------------------


def test_the_built_in_records_keep_the_rules_for_records():
    tables = catalog.current()
    with registered(SOFT):  # whatever is registered is checked against everything that is there
        pass
    records = tables.records
    assert type(tables)(()).with_records(records).records == records


@pytest.mark.parametrize("rule", catalog.current().rules.values(), ids=lambda rule: rule.name)
def test_the_class_of_a_rule_takes_the_parameters_of_its_record(rule):
    assert issubclass(loaded(rule.rule), LinearRule)
    taken = set(inspect.signature(loaded(rule.rule)).parameters)
    renamed = {keyword: argument for argument, keyword in rule.arguments.items()}
    assert {renamed.get(parameter.keyword, parameter.keyword) for parameter in rule.parameters} == taken - {"stabilizer", "zero_params"}
    assert isinstance(layer_rule(rule, {}), LinearRule)


@pytest.mark.parametrize("method", catalog.current().methods.values(), ids=lambda method: method.word)
def test_the_analyzer_of_a_method_takes_what_its_record_says(method):
    analyzer = loaded(method.analyzer)
    taken = {name for base in analyzer.__mro__[:-1] if "__init__" in vars(base) for name in inspect.signature(base.__init__).parameters}
    form = catalog.current().form(method.word, None)
    assert set(form.options.values()) <= taken
    assert ("at" in form.options) == analyzer.takes_layers()
    defaults = {name: p.default for name, p in inspect.signature(analyzer).parameters.items()}
    assert {p.keyword: p.default for p in method.parameters} == {p.keyword: defaults[p.keyword] for p in method.parameters}


def test_every_record_has_a_name_on_the_list():
    specs = [parse_method(name) for name in list_methods()]
    tables = catalog.current()
    assert {spec.method for spec in specs} == set(tables.first_words)
    assert {spec.rule for spec in specs} - {None} == set(tables.rule_words)


STARTS_WITH_LOGIT = {"gradient": False, "smoothgrad": False, "grad_cam": False, "guided_grad_cam": False, "random_uniform": False,
                     "guided_backprop": True, "deconvnet": True, "deep_taylor": True, "lrp_z": True, "lrpsign_flat": True}  # fmt: skip


@pytest.mark.parametrize("name", STARTS_WITH_LOGIT)
def test_where_the_original_package_starts_with_the_logit(name):
    assert parse_method(name).form.starts_with_logit == STARTS_WITH_LOGIT[name]


# --- the analyzers that take rules by name ---------------------------------------------------------------------------------


def test_one_of_alpha_and_beta_says_the_other(net, x):
    expected = explain(net, x, "lrp_alpha_2_beta_1", 1)
    for given in ({"alpha": 2}, {"beta": 1}, {"alpha": 2, "beta": 1}):
        np.testing.assert_array_equal(AdvancedLRPAnalyzer(net, "alphabeta", **given).analyze(x, 1), expected)


def test_numbers_of_numpy_count_and_bounds_may_be_arrays(net, x):
    rules = AdvancedLRPAnalyzer(net, "gamma", gamma=np.float32(0.5)).composite
    assert type(rules.linear.gamma) is float
    low, high = torch.full((1, 1), -4.0, dtype=torch.float64), np.full((1, 1), 4.0)
    bounded = AdvancedLRPAnalyzer(net, "zbox", low=low, high=high, epsilon=0.1).analyze(x, 1)
    assert deviation(bounded, explain(net, x, "zblrp_epsilon_0_1_low_neg_4_high_4", 1)) < 1e-12
    with pytest.raises(OptionError, match="gamma"):
        AdvancedLRPAnalyzer(net, "gamma", gamma=torch.tensor(0.5))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda net: AdvancedLRPAnalyzer(net, "zplus", hidden_rule="gamma"), ["hidden_rule=", "zbox, sign", "'zplus'"]),
        (lambda net: AdvancedLRPAnalyzer(net, "sign", hidden_rule="flat"), ["hidden_rule='flat'", "'epsilon'", "'stdx_epsilon'"]),
        (lambda net: AdvancedLRPAnalyzer(net, "custom", composite=object(), hidden_rule="z"), ["hidden_rule="]),
        (lambda net: AdvancedLRPAnalyzer(net, "custom", composite=object(), epsilon=1), ["epsilon=", "no parameters"]),
        (lambda net: AdvancedLRPAnalyzer(net, ["zplus"]), ["['zplus']", "'zplus'"]),
    ],
)
def test_rules_that_do_not_go_together_are_refused(net, ask, words):
    with pytest.raises(OptionError) as caught:
        ask(net)
    assert [word for word in words if word not in str(caught.value)] == []


def test_an_input_word_takes_the_first_layer_whatever_the_composite_has_there():
    composite = MethodLRPAnalyzer(network("mlp"), "lrpz", "epsilon_gamma_box").composite
    assert [type(composite(kind, True, False)) for kind in ("linear", "convolution")] == [Z, Z]
    composite = MethodLRPAnalyzer(network("mlp"), "lrp", "epsilon_gamma_box").composite
    assert [type(composite(kind, True, False)) for kind in ("linear", "convolution")] == [Epsilon, ZBox]


@pytest.mark.parametrize("options", [("layer", "target_layer"), ("target_layer", "layer")])
def test_two_words_for_one_option_are_refused_in_either_order(options):
    with pytest.raises(OptionError, match="are the same option of 'grad_cam'"):
        explain(network("cnn2d"), inputs("cnn2d"), "grad_cam", 1, **dict.fromkeys(options, "0"))


# --- a record that is added ------------------------------------------------------------------------------------------------


def test_a_rule_with_a_parameter_of_its_own_is_one_class_and_one_record(net, x):
    with registered(SOFT):
        spec = parse_method("lrpsign_soft_delta_0_3_mu_0_5_x_input")
        assert spec == MethodSpec("lrpsign", "soft", (("delta", 0.3), ("mu", 0.5)), (Multiplier("input"),))
        assert parse_method(str(spec)) == spec
        assert "lrp_soft" in list_methods()
        for name, options, expected in (
            ("lrp_soft_delta_0_3", {}, "lrp_epsilon_0_3"),
            ("lrp_soft", {"delta": 0.3}, "lrp_epsilon_0_3"),
            ("lrp_soft", {}, "lrp_epsilon_0_1"),
            ("lrpsign_soft_mu_0_5", {"delta": 0.3}, "lrpsign_epsilon_0_3_mu_0_5"),
        ):
            assert deviation(explain(net, x, name, 1, **options), explain(net, x, expected, 1)) < 1e-12
        assert inspect_model(net, x, "lrp_soft_delta_0_3", 1).method == "lrp_soft_delta_0_3"
        assert deviation(calculate_relevancemap("lrp_soft", x[0], net, 1), calculate_relevancemap("lrp_epsilon_0_1", x[0], net, 1)) < 1e-12


def test_its_analyzers_take_it_too(net, x):
    with registered(SOFT):
        expected = explain(net, x, "lrp_epsilon_0_3", 1)
        for analyzer in (
            AdvancedLRPAnalyzer(net, "soft", delta=0.3),
            LRPSequential(net, "soft", "soft", "epsilon", delta=0.3, epsilon=0.3),
            MethodLRPAnalyzer(net, "lrp", "soft", delta=0.3),
        ):
            assert deviation(analyzer.analyze(x, 1), expected) < 1e-12
        signed = AdvancedLRPAnalyzer(net, "sign", hidden_rule="soft", delta=0.3, mu=0.5).analyze(x, 1)
        assert deviation(signed, explain(net, x, "lrpsign_epsilon_0_3_mu_0_5", 1)) < 1e-12


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda net, x: explain(net, x, "lrp_soft_delta_0_1", delta=0.2), ["already says 0.1"]),
        (lambda net, x: explain(net, x, "lrp_soft", delta=-1), ["delta = -1", "at least 0"]),
        (lambda net, x: explain(net, x, "lrp_soft", delta="0.1"), ["delta = '0.1'", "number"]),
        (lambda net, x: explain(net, x, "lrp_soft", gamma=1), ["'gamma'", "delta"]),
        (lambda net, x: explain(net, x, "lrp_z", delta=1), ["'delta'"]),
        (lambda net, x: AdvancedLRPAnalyzer(net, "soft", gamma=1), ["gamma=", "delta", "batch_size"]),
        (lambda net, x: AdvancedLRPAnalyzer(net, "soft", banana=None), ["banana=", "delta"]),
        (lambda net, x: AdvancedLRPAnalyzer(net, "zplus", delta=1), ["delta=", "no parameters"]),
        (lambda net, x: AdvancedLRPAnalyzer(net, "harsh"), ["'harsh'", "'soft'", "'stdx_epsilon'", "'custom'"]),
        (lambda net, x: LRPSequential(net, "soft", "zplus", "zplus", epsilon=1), ["epsilon=", "delta"]),
        (lambda net, x: MethodLRPAnalyzer(net, "lrp", "soft", mu=1), ["mu=", "delta"]),
    ],
)
def test_a_parameter_that_does_not_belong_is_refused_with_those_that_do(net, x, ask, words):
    with registered(SOFT), pytest.raises(OptionError) as caught:
        ask(net, x)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_parameter_that_is_none_is_not_given(net, x):
    expected = AdvancedLRPAnalyzer(net, "gamma").analyze(x, 1)
    np.testing.assert_array_equal(AdvancedLRPAnalyzer(net, "gamma", gamma=None, low=None).analyze(x, 1), expected)


def test_the_words_know_it():
    name = "softlrp_softly_delta_0_5_std_x_sign"
    with registered(SOFT, SPELLED, SOFT_WORD):
        assert parse_method(name).params == (("delta", 0.5),)
        text = describe(parse_method("softlrp_soft_MNISTCNN"))
        listing = CliRunner().invoke(cli, ["methods", "*soft*"]).output
        described = CliRunner().invoke(cli, ["describe", "lrp_soft_delta_0_25"]).output
    assert "LRP: shares softened by 0.7; soft rule on the first layer; preset MNISTCNN" in text
    assert "delta        0.7        preset MNISTCNN; option delta=" in text
    assert "R_i = soft" in text
    assert "arXiv:2601.00001" in text
    assert [line.split()[0] for line in listing.splitlines()] == ["lrp_soft", "lrp_softly_delta_0_1_std", "softlrp_z"]
    assert "LRP: shares softened by 0.1" in listing
    assert "delta        0.25       from the name" in described


def test_a_number_may_stand_within_the_rules_words(net, x):
    with registered(SPELLED):
        assert str(MethodSpec("lrp", "softly", (("delta", 0.3),))) == "lrp_softly_delta_0_3_std"
        assert deviation(explain(net, x, "lrp_softly_delta_0_3_std", 1), explain(net, x, "lrp_epsilon_0_3", 1)) < 1e-12
        with pytest.raises(MethodNameError, match="the end of the name does not continue a rule"):
            parse_method("lrp_softly_delta_0_3")


def test_composites_and_input_words_use_a_new_rule():
    net, x = network("cnn2d"), inputs("cnn2d")
    with registered(SOFT, SOFT_FIRST, SOFT_WORD):
        analyzer = (
            MethodLRPAnalyzer(net, "lrp", "soft_first", delta=0.2) if "delta" in dir() else MethodLRPAnalyzer(net, "lrp", "soft_first")
        )
        rules = analyzer.composite
        assert (rules.first.delta, rules.convolution.delta, type(rules.linear)) == (0.1, 0.4, Z)
        first = MethodLRPAnalyzer(net, "softlrp", "epsilon", delta=0.2, epsilon=0.3).composite
        assert (first.first.delta, first.linear.epsilon) == (0.2, 0.3)
        named = explain(net, x, "softlrp_epsilon_0_3_delta_0_2", 1)
        assert deviation(named, MethodLRPAnalyzer(net, "softlrp", "epsilon", delta=0.2, epsilon=0.3).analyze(x, 1)) < 1e-12
        by_preset = explain(net, x, "softlrp_z_MNISTCNN", 1)
        assert deviation(by_preset, explain(net, x, "softlrp_z_delta_0_7", 1)) < 1e-12
        assert "first linear layer: soft rule, delta = 0.1" in describe(parse_method("lrp_soft_first"))


def test_a_composite_fixes_some_values_and_passes_others_on(net):
    own = Parameter("delta", minimum=0, default=0.6, in_name=False)
    mine = Composite("mine", meaning="m", parameters=(own,), linear=Use("soft"), convolution=Use("soft", {"delta": 0.4}))
    with registered(SOFT, mine):
        for given, expected in (({}, (0.6, 0.4)), ({"delta": 0.2}, (0.2, 0.4))):
            rules = MethodLRPAnalyzer(net, "lrp", "mine", **given).composite
            assert (rules.linear.delta, rules.convolution.delta) == expected
        assert "delta        0.6        default; option delta=" in describe(parse_method("lrp_mine"))
        assert "Linear: soft rule, delta = 0.6" in describe(parse_method("lrp_mine"))
        with pytest.raises(MethodNameError, match="'delta' is not a parameter of this method: it takes none"):
            parse_method("lrp_mine_delta_0_1")


def test_a_method_is_one_class_and_one_record(net, x):
    with registered(SCALED):
        gradient = explain(net, x, "gradient", 1)
        for name, options, factor in (("scaled", {}, 2), ("scaled_factor_3", {}, 3), ("scaled", {"factor": 5}, 5)):
            assert deviation(explain(net, x, name, 1, **options), factor * gradient) < 1e-12
        assert "factor       2          default; option factor=" in describe(parse_method("scaled"))
        assert list_methods()[-1] == "scaled"
        started = calculate_relevancemap("scaled", x[0], net, 1)
        assert deviation(started, explain(net, x[:1], "scaled", 1, relevance="logit")[0]) < 1e-12
        assert deviation(started, explain(net, x[:1], "scaled", 1)[0]) > 1e-3


@pytest.mark.parametrize("kind", ["mlp", "cnn1d", "cnn2d"])
def test_the_contract_covers_it(kind):
    with registered(SOFT, SPELLED, SOFT_FIRST, SOFT_WORD, SCALED):
        for name in list_methods("*soft*"):
            keeps_the_contract(network(kind), inputs(kind), name)
        drawn = [parse_method(sentence) for sentence in sentences(500)]
    assert {spec.rule for spec in drawn} >= {"soft", "softly", "soft_first"}
    assert {spec.method for spec in drawn} >= {"softlrp", "scaled"}


def test_the_methods_page_is_what_the_catalog_says():
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert methods_page.rendered(page) == page, "run python tools/methods_page.py"
    assert {found[2] for found in methods_page.PART.finditer(page)} == set(methods_page.PARTS)
    assert page.count("<!-- from the catalog: ") == page.count("<!-- end -->")
    with registered(SOFT, SOFT_FIRST, SOFT_WORD, SCALED):
        changed = methods_page.rendered(page)
    rows = [line for line in changed.splitlines() if line not in page.splitlines()]
    assert "| `soft` | $s$ | Nobody 2026 |" in rows
    assert "| `soft_first` | `soft` | `soft` | `z` | |" in rows
    assert "| `softlrp_RULE` | `soft` | soft inputs | Nobody 2026 |" in rows
    assert "| `delta_` | `delta=` | `*_soft`, `softlrp_*` | 0.1 | any number of at least 0 |" in rows
    assert "| `factor_` | `factor=` | `scaled` | 2 | a whole number |" in rows
    assert any(row.startswith("input_rule = ") and row.endswith("| softlrp") for row in rows)
    assert methods_page.rendered(changed) == page


# --- taking out ------------------------------------------------------------------------------------------------------------


def test_what_is_taken_out_is_unknown_again(net, x):
    with registered(SOFT):
        explain(net, x, "lrp_soft")
    assert "lrp_soft" not in list_methods()
    for name in ("lrp_soft", "lrp_soft_delta_0_1"):
        with pytest.raises(MethodNameError, match="'soft' is not a rule"):
            explain(net, x, name)
    with pytest.raises(OptionError, match="'soft'"):
        AdvancedLRPAnalyzer(net, "soft")


def test_it_is_taken_out_after_an_error_too():
    before = catalog.current()
    with pytest.raises(RuntimeError, match="mine"), registered(SOFT):
        raise RuntimeError("mine")
    assert catalog.current().records == before.records


def test_what_another_record_needs_cannot_be_taken_out():
    with registered(SOFT, SOFT_WORD):
        with pytest.raises(MethodNameError, match="cannot unregister 'soft': 'softlrp' needs it"):
            catalog.unregister(SOFT)
        assert parse_method("softlrp_soft").rule == "soft"
    with pytest.raises(MethodNameError, match="it is not in the catalog"):
        catalog.unregister(SOFT)


def test_records_are_registered_all_or_none():
    before = catalog.current()
    with pytest.raises(MethodNameError):
        catalog.register(SOFT, InputWord("hardlrp", "hard"))
    assert catalog.current() is before


# --- refusals --------------------------------------------------------------------------------------------------------------


def rule(name, *parameters, **fields):
    return Rule(name, Soft, meaning="m", parameters=parameters, **fields)


REFUSED = {
    "no record": (["soft"], ["'soft'", "not a record"]),
    "an ill-formed name": ([rule("So-ft")], ["'So-ft'", "lower-case"]),
    "a rule that is there": ([rule("epsilon")], ["'epsilon'", "taken"]),
    "a composite under a rule's name": ([Composite("z", meaning="m", linear=Use("z"), convolution=Use("z"))], ["'z'", "taken"]),
    "an input word that is there": ([InputWord("lrp", "z")], ["'lrp'", "taken"]),
    "one name twice": ([SOFT, rule("soft")], ["'soft'", "taken"]),
    "a method under an input word": ([Method("zblrp", Scaled, meaning="m")], ["'zblrp'", "taken"]),
    "an input word for no rule": ([InputWord("hardlrp", "hard")], ["'hardlrp'", "no rule 'hard'", "epsilon"]),
    "a composite of no rule": ([Composite("mine", meaning="m", linear=Use("z"), convolution=Use("hard"))], ["'mine'", "'hard'"]),
    "a spelling that is there": ([rule("mine", spelling="zplus")], ["'mine'", "zplus"]),
    "a spelling that another hides": ([rule("mine", spelling="epsilon_plus_x")], ["epsilon_plus", "followed by 'x'"]),
    "a spelling that reads as a rule and its parameter": ([SOFT, rule("mine", DELTA, spelling="soft_delta_NUM")], ["followed by 'delta'"]),
    "a spelling that reads as a rule and an input word's parameter": ([rule("mine", spelling="z_mu")], ["'z' followed by 'mu'"]),
    "a rule behind whose word a method stands": ([Method("lrp_mine", Scaled, meaning="m"), rule("mine")], ["'lrp' followed by 'mine'"]),
    "a parameter that reads as how attention is treated": ([rule("mine", Parameter("cp_max"))], ["'cp'", "attention"]),
    "a rule that reads as another and how attention is treated": ([rule("z_cp")], ["'z' followed by 'cp'"]),
    "a method that reads as another and how attention is treated": (
        [Method("deep_taylor_cp", Scaled, meaning="m")],
        ["'deep_taylor' followed by 'cp'"],
    ),
    "a parameter that is called as the option": ([rule("mine", Parameter("attention"))], ["'attention' is an option of its own"]),
    "a number of no parameter": ([rule("mine", spelling="mine_NUM")], ["NUM", "'mine'", "no parameter"]),
    "a number at the start": ([rule("mine", DELTA, spelling="NUM_mine")], ["NUM", "no parameter"]),
    "an upper-case spelling": ([rule("mine", spelling="Mine")], ["'Mine'", "lower-case"]),
    "a spelling with neg": ([rule("mine", spelling="mine_neg")], ["'neg'"]),
    "a rule that reads as a multiplier": ([rule("x_mine")], ["'x'", "multiplier"]),
    "a parameter that reads as a multiplier": ([rule("mine", Parameter("x_max"))], ["'x'", "multiplier"]),
    "a parameter twice": ([rule("mine", DELTA, DELTA)], ["twice"]),
    "parameters that are no tuple": ([Rule("mine", Soft, meaning="m", parameters=DELTA)], ["tuple of Parameter"]),
    "a parameter that is text": ([rule("mine", "delta")], ["tuple of Parameter"]),
    "a meaning that is no text": ([Rule("mine", Soft, meaning=3)], ["meaning=3", "not text"]),
    "papers that are one text": ([rule("mine", papers="Bach 2015")], ["papers='Bach 2015'", "tuple of Paper"]),
    "an option that is text": ([Method("mine", Scaled, meaning="m", options=("seed",))], ["options", "tuple of Option"]),
    "a formula that is one text": ([rule("mine", formula="R_i = x_i")], ["formula", "tuple of str"]),
    "a check that is no function": ([rule("mine", contradiction="no")], ["contradiction='no'", "not a function"]),
    "values that are no mapping": ([InputWord("minelrp", "z", preset_values=3)], ["preset_values=3", "not a mapping"]),
    "a class that is none": ([Rule("mine", 3, meaning="m")], ["rule=3", "class"]),
    "an analyzer that is none": ([Method("mine", None, meaning="m")], ["analyzer=None", "class"]),
    "a composite of names": ([Composite("mine", meaning="m", linear="z", convolution=Use("z"))], ["linear='z'", "Use"]),
    "a composite without a rule": ([Composite("mine", meaning="m", linear=Use("z"), convolution=None)], ["convolution=None", "Use"]),
    "a parameter called as an option is": ([rule("mine", Parameter("strict", default=0.0))], ["'strict'", "option"]),
    "a method's parameter called as an option is": ([Method("mine", Scaled, meaning="m", parameters=(Parameter("seed"),))], ["'seed'"]),
    "an analyzer's name that is there": ([rule("mine", analyzer_name="stdx_epsilon")], ["'stdx_epsilon'", "'epsilon_std_x'"]),
    "a dotted name that is there": ([rule("mine", dotted="z_plus")], ["'z_plus'", "'zplus'"]),
    "a parameter of another kind": ([rule("mine", Parameter("delta", kind=complex))], ["complex", "int or float"]),
    "a default out of range": ([rule("mine", Parameter("delta", minimum=1, default=0.5))], ["default", "at least 1"]),
    "a number in the spelling that cannot be listed": ([rule("mine", Parameter("delta"), spelling="mine_delta_NUM")], ["no default"]),
    "a meaning that speaks of another parameter": ([Rule("mine", Soft, meaning="by {gamma}")], ["meaning", "'gamma'"]),
    "a parameter that is another one elsewhere": ([rule("mine", Parameter("mu", minimum=0))], ["'mu'", "'sign'"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_record_that_would_spoil_the_grammar_is_refused(case):
    records, words = REFUSED[case]
    before = catalog.current()
    with pytest.raises(MethodNameError, match="cannot register") as caught:
        catalog.register(*records)
    assert [word for word in words if word not in str(caught.value)] == []
    assert catalog.current() is before


@pytest.mark.parametrize("where", ["no_such_package.Rule", "signxai.methods.rules.Nothing", "Soft", ""])
def test_a_class_that_cannot_be_found_is_said_when_it_is_needed(net, x, where):
    with registered(Rule("lost", where, meaning="lost")):
        assert parse_method("lrp_lost").rule == "lost"
        with pytest.raises(OptionError, match="cannot be imported") as caught:
            explain(net, x, "lrp_lost")
        assert repr(where) in str(caught.value)


def test_a_rule_takes_the_stabilizer_if_its_class_does(net):
    assert MethodLRPAnalyzer(net, "lrp", "zplus", stabilizer=0.5).composite.linear.stabilizer == 0.5
    with registered(SOFT):
        assert torch.tensor(MethodLRPAnalyzer(net, "lrp", "soft", stabilizer=0.5).composite.linear.delta) == 0.1
    assert isinstance(MethodLRPAnalyzer(net, "lrp", "epsilon", stabilizer=0.5).composite.linear, Epsilon)
