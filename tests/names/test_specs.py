"""Method specs built by hand: each one that can be built has a name that reads as the same value; all others are refused."""

import math
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from networks import inputs, network
from signxai import explain, inspect_model, parse_method
from signxai.common import MethodNameError
from signxai.names import catalog
from signxai.names.catalog import Parameter, Rule
from signxai.names.grammar import MethodSpec, Multiplier
from signxai.torch_signxai import calculate_relevancemap

EPSILON = (("epsilon", 0.1),)

REFUSED = {
    "a method word that there is not": (lambda: MethodSpec("banana"), ["'banana' is not a method", "gradient", "lrpsign"]),
    "a rule that there is not": (lambda: MethodSpec("lrp", "nonsense"), ["'lrp'", "'nonsense'", "epsilon_std_x", "zplus"]),
    "attention that there is not": (lambda: MethodSpec("lrp", "z", attention="cap"), ["'cap'", "attnlrp, cp"]),
    "attention of a gradient": (lambda: MethodSpec("gradient", attention="cp"), ["'cp'", "attnlrp"]),
    "attention that is no word": (lambda: MethodSpec("lrp", "z", attention=None), ["None", "attnlrp, cp"]),
    "a rule that only input words lead to": (lambda: MethodSpec("lrp", "zbox"), ["'zbox'", "the rules are"]),
    "a rule behind a method without rules": (lambda: MethodSpec("gradient", "z"), ["'gradient' takes no rule", "'z'", "lrp"]),
    "an input word without a rule": (lambda: MethodSpec("lrpsign"), ["'lrpsign' needs a rule", "missing", "epsilon"]),
    "a method that is no word": (lambda: MethodSpec(["lrp"], "z"), ["words", "['lrp']"]),
    "a rule that is no word": (lambda: MethodSpec("lrp", 3), ["words", "3"]),
    "a parameter of no rule": (lambda: MethodSpec("lrp", "z", (("banana", 1.0),)), ["'banana'", "it takes none"]),
    "another rule's parameter": (lambda: MethodSpec("lrp", "z", EPSILON), ["'epsilon'", "it takes none"]),
    "another method's parameter": (lambda: MethodSpec("smoothgrad", None, (("steps", 5),)), ["'steps'", "noise_level, num_samples"]),
    "a parameter by its word in a name": (lambda: MethodSpec("smoothgrad", None, (("noise", 0.5),)), ["'noise'", "noise_level"]),
    "a parameter that is an option only": (lambda: MethodSpec("lrp", "epsilon_plus", EPSILON), ["'epsilon'", "it takes none"]),
    "a parameter given twice": (lambda: MethodSpec("lrp", "epsilon", EPSILON + EPSILON), ["'epsilon' is given twice"]),
    "a parameter out of range": (lambda: MethodSpec("lrp", "epsilon", (("epsilon", -0.1),)), ["epsilon = -0.1", "at least 0"]),
    "a count out of range": (lambda: MethodSpec("integrated_gradients", None, (("steps", 0),)), ["steps = 0", "at least 1"]),
    "a count that is not whole": (lambda: MethodSpec("integrated_gradients", None, (("steps", 2.5),)), ["steps = 2.5", "whole"]),
    "a parameter that is text": (lambda: MethodSpec("lrp", "epsilon", (("epsilon", "0.1"),)), ["epsilon = '0.1'", "number"]),
    "a parameter that is a truth value": (lambda: MethodSpec("lrp", "epsilon", (("epsilon", True),)), ["epsilon = True", "number"]),
    "a parameter that is nothing": (lambda: MethodSpec("lrp", "epsilon", (("epsilon", None),)), ["epsilon = None", "number"]),
    "a parameter that is not a number": (lambda: MethodSpec("lrp", "epsilon", (("epsilon", math.nan),)), ["epsilon = nan", "finite"]),
    "an infinite parameter": (lambda: MethodSpec("lrp", "epsilon", (("epsilon", math.inf),)), ["epsilon is too large", "finite"]),
    "a number beyond all floats": (lambda: MethodSpec("lrp", "epsilon", (("epsilon", 10**400),)), ["epsilon is too large"]),
    "a count beyond all floats": (lambda: MethodSpec("integrated_gradients", None, (("steps", 10**5000),)), ["steps is too large"]),
    "an array as a parameter": (lambda: MethodSpec("lrp", "epsilon", (("epsilon", np.ones(2)),)), ["epsilon", "number"]),
    "numbers that contradict each other": (
        lambda: MethodSpec("lrp", "alpha_beta", (("alpha", 2.0), ("beta", 2.0))),
        ["alpha = 2 and beta = 2", "must be 1"],
    ),
    "bounds the wrong way round": (lambda: MethodSpec("zblrp", "z", (("low", 1.0), ("high", 0.0))), ["low = 1", "high = 0"]),
    "a rule without its number": (lambda: MethodSpec("lrp", "gamma"), ["'gamma' is missing", "gamma_NUM"]),
    "an open number behind another word than lrp": (lambda: MethodSpec("lrpsign", "epsilon"), ["'epsilon' is missing"]),
    "one of two numbers": (lambda: MethodSpec("lrp", "alpha_beta", (("beta", 1.0),)), ["'alpha' is missing", "alpha_NUM_beta_NUM"]),
    "params as a dict": (lambda: MethodSpec("lrp", "epsilon", {"epsilon": 0.1}), ["params", "(keyword, value)"]),
    "params that are no pairs": (lambda: MethodSpec("lrp", "epsilon", ("epsilon", 0.1)), ["params", "(keyword, value)"]),
    "a multiplier as text": (lambda: MethodSpec("gradient", multipliers=("x_input",)), ["multipliers", "Multiplier"]),
    "one multiplier without a tuple": (lambda: MethodSpec("gradient", multipliers=Multiplier("input")), ["multipliers", "tuple"]),
    "a multiplier of another kind": (lambda: Multiplier("cosine"), ["'cosine'", "'input'", "'sign'"]),
    "a multiplier without a kind": (lambda: Multiplier(None), ["None", "'input'"]),
    "a threshold of the input": (lambda: Multiplier("input", 0.5), ["'input' takes no mu", "0.5"]),
    "a threshold that is text": (lambda: Multiplier("sign", "0"), ["mu = '0'", "number"]),
    "a threshold that is infinite": (lambda: Multiplier("sign", -math.inf), ["mu is too large"]),
    "a preset that there is not": (lambda: MethodSpec("grad_cam", preset="VGG16"), ["preset='VGG16'", "VGG16ILSVRC"]),
    "a preset that is no text": (lambda: MethodSpec("grad_cam", preset=16), ["preset=16", "VGG16ILSVRC"]),
    "a change for the worse": (lambda: replace(parse_method("lrp_epsilon_0_1"), rule="gamma"), ["'epsilon'", "gamma"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_no_name_stands_for_cannot_be_built(case):
    build, words = REFUSED[case]
    with pytest.raises(MethodNameError) as caught:
        build()
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    "ask", [explain, inspect_model, lambda net, x, spec: calculate_relevancemap(spec, x[0], net), lambda _, __, spec: str(spec)]
)
def test_a_spec_whose_rule_has_been_taken_out_again_is_refused_everywhere(ask):
    with catalog.registered(Rule("passing", "signxai.methods.rules.Z", meaning="for a while")):
        spec = MethodSpec("lrp", "passing")
    with pytest.raises(MethodNameError, match="'passing' is not; the rules are"):
        ask(network("mlp"), inputs("mlp"), spec)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (MethodSpec("smoothgrad", None, (("num_samples", 20), ("noise_level", 0.3))), "smoothgrad_noise_0_3_samples_20"),
        (MethodSpec("lrpsign", "epsilon", (("mu", 1), ("epsilon", 2))), "lrpsign_epsilon_2_mu_1"),
        (MethodSpec("lrp", "alpha_beta", [("beta", 0), ("alpha", 1)]), "lrp_alpha_1_beta_0"),
        (MethodSpec("integrated_gradients", None, (("steps", np.int64(7)),)), "integrated_gradients_steps_7"),
        (MethodSpec("lrp", "epsilon", (("epsilon", np.float32(0.5)),)), "lrp_epsilon_0_5"),
        (MethodSpec("lrp", "epsilon", (("epsilon", Fraction(1, 4)),)), "lrp_epsilon_0_25"),
        (MethodSpec("lrp", "epsilon", (("epsilon", -0.0),)), "lrp_epsilon_0"),
        (MethodSpec("gradient", multipliers=[Multiplier("sign", 1)]), "gradient_x_sign_mu_1"),
        (MethodSpec("lrp", "epsilon"), "lrp.epsilon"),
    ],
)
def test_order_and_types_of_what_is_given_do_not_matter(spec, name):
    assert str(spec) == name
    assert parse_method(name) == spec
    assert hash(parse_method(name)) == hash(spec)
    assert all(type(value) in (int, float) for _, value in spec.params)
    assert all(multiplier.mu is None or type(multiplier.mu) is float for multiplier in spec.multipliers)


def test_a_rule_that_may_leave_all_its_numbers_open_may_not_leave_one():
    both = (Parameter("a", default=1.0), Parameter("b", default=2.0))
    with catalog.registered(Rule("pair", "my_package.Pair", meaning="m", spelling="pair_a_NUM_b_NUM", parameters=both, dotted="pair")):
        for spec in (MethodSpec("lrp", "pair"), MethodSpec("lrp", "pair", (("a", 3), ("b", 4)))):
            assert parse_method(str(spec)) == spec
        with pytest.raises(MethodNameError, match="'b' is missing: the rule is spelled pair_a_NUM_b_NUM"):
            MethodSpec("lrp", "pair", (("a", 3),))


def test_a_rule_whose_dotted_name_has_numbers_may_leave_none_open():
    with pytest.raises(MethodNameError, match="'alpha' is missing: the rule is spelled alpha_NUM_beta_NUM"):
        MethodSpec("lrp", "alpha_beta")


@st.composite
def built(draw):
    """Whatever MethodSpec takes: parts that go together, and parts that do not."""
    tables = catalog.current()
    method = draw(st.sampled_from([*tables.first_words, "banana"]))
    rule = draw(st.sampled_from([None, *tables.rules, *tables.composites]))
    keywords = draw(
        st.lists(
            st.sampled_from(["epsilon", "alpha", "beta", "gamma", "mu", "low", "high", "steps", "num_samples", "noise_level"]), max_size=3
        )
    )
    if method in tables.first_words and draw(st.booleans()):
        rule = None if method in tables.methods else draw(st.sampled_from([*tables.rule_words]))
        form = tables.form(method, rule)
        keywords = [p.keyword for p in (*form.spelled.values(), *form.following.values())]
        keywords = draw(st.permutations(keywords))
    values = st.integers() | st.floats() | st.sampled_from([0, 1, 2, 0.5, 1.5])
    kinds = st.builds(Multiplier, st.just("sign"), st.none() | st.floats(allow_nan=False, allow_infinity=False)) | st.just(
        Multiplier("input")
    )
    multipliers = draw(st.lists(kinds, max_size=2))
    params = [(keyword, draw(values)) for keyword in keywords]
    return method, rule, tuple(params), tuple(multipliers), draw(st.sampled_from([None, "MNISTCNN", "LENET"]))


@settings(max_examples=300, deadline=None)
@given(built())
def test_every_value_that_can_be_built_prints_a_name_that_reads_as_itself(parts):
    try:
        spec = MethodSpec(*parts)
    except MethodNameError:
        return
    assert parse_method(str(spec)) == spec
    assert replace(spec) == spec


def test_explaining_by_a_spec_is_explaining_by_its_name():
    net, x = network("mlp"), inputs("mlp")
    spec = MethodSpec("lrpsign", "epsilon", (("mu", 0.25), ("epsilon", 0.1)), (Multiplier("input"),))
    torch.testing.assert_close(explain(net, x, spec, 1), explain(net, x, "lrpsign_epsilon_0_1_mu_0_25_x_input", 1), rtol=0, atol=0)
    assert re.fullmatch(r"lrpsign_epsilon_0_1_mu_0_25_x_input", spec.name)
