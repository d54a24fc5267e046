"""The grammar of method names: every sentence reads, prints and reads again as the same value; all else is refused."""

import dataclasses
import math
import re
import string
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from places import ROOT
from processes import loaded
from signxai.common.errors import MethodNameError
from signxai.names import catalog, grammar
from signxai.names.catalog import Method, Parameter
from signxai.names.describe import describe, summary
from signxai.names.grammar import MethodSpec, Multiplier, list_methods, number, parse_method, spell_number
from signxai.names.papers import GUMPFER_2023, PAPERS

ORIGINAL_NAMES = Path(grammar.__file__).with_name("method_names.txt").read_text(encoding="ascii").split()
GRADIENT = "gradient"


# --- the grammar once more, written down independently of the parser's tables ---------------------------------------------


@st.composite
def numbers(draw, signed=False):
    """(text, value) of a NUM."""
    whole = draw(st.integers(0, 10**6) | st.integers(0, 3))
    digits = draw(st.none() | st.text("0123456789", min_size=1, max_size=9))
    negative = signed and draw(st.booleans())
    text = ("neg_" if negative else "") + str(whole) + ("" if digits is None else f"_{digits}")
    return text, (-1 if negative else 1) * float(f"{whole}.{digits or 0}")


@st.composite
def rules(draw):
    """(text, rule, parameters) of a rule."""
    text, value = draw(numbers())
    beta = Decimal(text.replace("_", "."))
    plain = ["z", "zplus", "wsquare", "flat", "sequential_composite_a", "sequential_composite_b", "epsilon_plus", "epsilon_plus_flat"]
    plain += ["epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box"]
    return draw(
        st.sampled_from(
            [
                *((rule, rule, {}) for rule in plain),
                *[(f"epsilon_{text}", "epsilon", {"epsilon": value})] * 3,
                *[(f"epsilon_{text}_std_x", "epsilon_std_x", {"epsilon": value})] * 3,
                (f"gamma_{text}", "gamma", {"gamma": value}),
                (f"alpha_{str(beta + 1).replace('.', '_')}_beta_{text}", "alpha_beta", {"alpha": float(beta + 1), "beta": value}),
            ]
        )
    )


WORDS = ["gradient", "input_t_gradient", "integrated_gradients", "smoothgrad", "vargrad", "guided_backprop", "deconvnet", "grad_cam"]
WORDS += ["grad_cam_timeseries", "guided_grad_cam", "deep_taylor", "random_uniform"]
INPUT_RULES = ["lrp", "lrpsign", "lrpz", "zblrp", "w2lrp", "flatlrp"]
KEYWORDS = {"mu": "mu", "noise": "noise_level", "samples": "num_samples", "steps": "steps", "low": "low", "high": "high"}


@st.composite
def sentences(draw):
    """(name, the value it stands for) for any sentence of the grammar."""
    method = draw(st.sampled_from(WORDS + 2 * INPUT_RULES))
    text, rule, values = draw(rules()) if method in INPUT_RULES else ("", None, {})
    pieces = [method, text] if rule else [method]
    takes = {"integrated_gradients": ["steps"], "smoothgrad": ["noise", "samples"], "vargrad": ["noise", "samples"], "lrpsign": ["mu"]}
    words = takes.get(method, []) + (["low", "high"] if method == "zblrp" or rule == "epsilon_gamma_box" else [])
    given_words = draw(st.lists(st.sampled_from(words), unique=True)) if words else []
    if "low" in given_words and "high" in given_words:
        bounds = sorted([draw(numbers(signed=True)), draw(numbers(signed=True))], key=lambda bound: bound[1])
    drawn = {}
    for word in given_words:
        if word in ("samples", "steps"):
            count = draw(st.integers(1, 10**9))
            spelled, drawn[KEYWORDS[word]] = str(count), count
        elif word in ("low", "high") and {"low", "high"} <= set(given_words):
            spelled, drawn[word] = bounds[word == "high"]
        else:
            spelled, drawn[KEYWORDS[word]] = draw(numbers(signed=word != "noise"))
        pieces.append(f"{word}_{spelled}")
    attention = draw(st.sampled_from(["attnlrp", "cp"])) if method in [*INPUT_RULES, "deep_taylor"] else "attnlrp"
    if attention == "cp":
        pieces.insert(draw(st.integers(2 if rule else 1, len(pieces))), "cp")  # among the parameters, in any order
    multipliers = []
    for kind in draw(st.lists(st.sampled_from(["x_input", "x_sign", "x_sign_mu", "x_sign_mu_NUM"]), max_size=3)):
        spelled, mu = draw(numbers(signed=True))
        pieces.append(kind.replace("NUM", spelled))
        multipliers.append(
            {
                "x_input": Multiplier("input"),
                "x_sign": Multiplier("sign", 0.0),
                "x_sign_mu": Multiplier("sign"),
                "x_sign_mu_NUM": Multiplier("sign", mu),
            }[kind]
        )
    preset = draw(st.sampled_from([None, None, "VGG16ILSVRC", "VGG16MITPL365", "MNISTCNN"]))
    if preset:
        pieces.append(preset)
    params = {**values, **{KEYWORDS[word]: drawn[KEYWORDS[word]] for word in KEYWORDS if KEYWORDS[word] in drawn}}
    return "_".join(pieces), MethodSpec(method, rule, tuple(params.items()), tuple(multipliers), preset, attention)


# --- laws -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(sentences())
def test_a_sentence_reads_as_what_it_says_and_prints_a_name_that_reads_the_same(sentence):
    name, expected = sentence
    spec = parse_method(name)
    assert spec == expected
    printed = str(spec)
    assert parse_method(printed) == spec
    assert str(parse_method(printed)) == printed == spec.name


@pytest.mark.parametrize("name", ORIGINAL_NAMES)
def test_each_original_name_reads_and_prints_itself_but_for_mu_0(name):
    # _x_sign and _x_sign_mu_0 say the same, and one of them must be the canonical way to say it
    canonical = name.removesuffix("_mu_0") if name.endswith("_x_sign_mu_0") else name
    assert str(parse_method(name)) == canonical
    assert parse_method(canonical) == parse_method(name)


def test_the_package_carries_the_152_original_names():
    assert len(ORIGINAL_NAMES) == len(set(ORIGINAL_NAMES)) == 152


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("lrp_epsilon_0_37", MethodSpec("lrp", "epsilon", (("epsilon", 0.37),))),
        ("lrpsign_epsilon_0_6_std_x_mu_0_3", MethodSpec("lrpsign", "epsilon_std_x", (("epsilon", 0.6), ("mu", 0.3)))),
        ("gradient_x_input_x_sign_mu_neg_0_5", MethodSpec("gradient", multipliers=(Multiplier("input"), Multiplier("sign", -0.5)))),
        (
            "smoothgrad_noise_0_3_samples_20_x_sign",
            MethodSpec("smoothgrad", params=(("noise_level", 0.3), ("num_samples", 20)), multipliers=(Multiplier("sign", 0.0),)),
        ),
        ("lrp_epsilon_0_25_cp", MethodSpec("lrp", "epsilon", (("epsilon", 0.25),), attention="cp")),
        (
            "lrpsign_epsilon_1_std_x_cp_x_sign",
            MethodSpec("lrpsign", "epsilon_std_x", (("epsilon", 1.0),), (Multiplier("sign", 0.0),), None, "cp"),
        ),
        ("deep_taylor_cp", MethodSpec("deep_taylor", attention="cp")),
        ("lrp.epsilon_cp", MethodSpec("lrp", "epsilon", attention="cp")),
        ("lrp_epsilon_50_x_sign", MethodSpec("lrp", "epsilon", (("epsilon", 50.0),), (Multiplier("sign", 0.0),))),
        ("lrp_alpha_1_5_beta_0_5", MethodSpec("lrp", "alpha_beta", (("alpha", 1.5), ("beta", 0.5)))),
        ("lrp_alpha_1_4_beta_0_4", MethodSpec("lrp", "alpha_beta", (("alpha", 1.4), ("beta", 0.4)))),
        ("gradient_x_sign_mu", MethodSpec("gradient", multipliers=(Multiplier("sign"),))),
        ("gradient_x_sign_mu_x_input", MethodSpec("gradient", multipliers=(Multiplier("sign"), Multiplier("input")))),
        ("lrp_epsilon_1_std_x_x_sign", MethodSpec("lrp", "epsilon_std_x", (("epsilon", 1.0),), (Multiplier("sign", 0.0),))),
        ("zblrp_z_VGG16ILSVRC", MethodSpec("zblrp", "z", preset="VGG16ILSVRC")),
        ("lrp_epsilon_gamma_box_high_1_low_0", MethodSpec("lrp", "epsilon_gamma_box", (("low", 0.0), ("high", 1.0)))),
        ("input_t_gradient", MethodSpec("input_t_gradient")),
    ],
)
def test_names_of_the_specification(name, spec):
    assert parse_method(name) == spec


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("smoothgrad_samples_20_noise_0_30", "smoothgrad_noise_0_3_samples_20"),
        ("lrp_epsilon_100_0", "lrp_epsilon_100"),
        ("lrp_epsilon_0_0000001", "lrp_epsilon_0_0000001"),
        ("lrp_epsilon_10000000000000000000000", "lrp_epsilon_10000000000000000000000"),
        ("lrpsign_z_mu_neg_0", "lrpsign_z_mu_0"),
        ("gradient_x_sign_mu_neg_0_0", "gradient_x_sign"),
    ],
)
def test_canonical_print(name, canonical):
    assert str(parse_method(name)) == canonical


@pytest.mark.parametrize(
    ("dotted", "name"),
    [
        ("lrp.z", "lrp_z"),
        ("lrp.alpha_1_beta_0", "lrp_alpha_1_beta_0"),
        ("lrp.alpha_2_beta_1_x_sign", "lrp_alpha_2_beta_1_x_sign"),
        ("lrp.z_plus", "lrp_zplus"),
        ("lrp.w_square", "lrp_wsquare"),
        ("lrp.flat", "lrp_flat"),
        ("lrp.sequential_composite_a", "lrp_sequential_composite_a"),
        ("lrp.sequential_composite_b", "lrp_sequential_composite_b"),
    ],
)
def test_innvestigate_names_are_aliases(dotted, name):
    assert parse_method(dotted) == parse_method(name)


def test_innvestigates_epsilon_leaves_the_number_open():
    spec = parse_method("lrp.epsilon_x_input")
    assert spec == MethodSpec("lrp", "epsilon", multipliers=(Multiplier("input"),))
    assert str(spec) == "lrp.epsilon_x_input"


# --- numbers --------------------------------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(-0.0)
def test_a_number_is_spelled_without_loss_or_exponent(value):
    spelled = spell_number(value)
    assert number(spelled) == value
    assert set(spelled.removeprefix("neg_")) <= set("0123456789_")


NO_NUMBERS = ["", "-1", "1.5", "1e3", "neg", "neg_", "_1", "1_", "1__5", "1_2_3", "neg_neg_1", "025", "00", "inf", "²", "٣"]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(MethodNameError, match="is not a number as method names spell them"):
        number(text)


def test_there_is_one_zero():
    assert math.copysign(1, number("neg_0")) == math.copysign(1, number("neg_0_00")) == 1


# --- refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lrp_banana_7", "'banana' is not a rule (after 'lrp')"),
        ("gradient_typo", "'typo' (after 'gradient') is neither a parameter"),
        ("lrp_epsilon_-1", "'-1' is not a number as method names spell them (0_25 is 0.25, neg_1 is -1) (after 'lrp_epsilon')"),
        ("lrp_epsilon_0.1", "'0.1' is not a number"),
        ("lrp_epsilon_025", "'025' is not a number"),
        ("lrp_epsilon_pluss", "'pluss' is not a number"),
        ("lrp_epsilon", "the end of the name is not a number"),
        ("lrp_epsilon_1_std", "the end of the name does not continue a rule (after 'lrp_epsilon_1_std')"),
        ("lrp_epsilon_1_std_y", "'y' does not continue a rule"),
        ("lrp_alpha_1", "the words that may stand there: beta"),
        ("lrp_sequential_composite_c", "the words that may stand there: a, b"),
        ("lrp", "the end of the name is not a rule"),
        ("banana", "'banana' is not a method"),
        ("LRP_z", "'LRP' is not a method"),
        ("grad_bam", "'bam' is not a method (after 'grad')"),
        ("", "an empty token"),
        ("gradient_", "an empty token"),
        ("gradient__x_sign", "an empty token"),
        (" gradient", "' gradient' is not a method"),
        ("gradient\n", "is not a method"),
        ("gradient_x", "the end of the name cannot follow 'x': the multipliers are x_input and x_sign"),
        ("gradient_x_foo", "'foo' cannot follow 'x'"),
        ("gradient_x_sign_mu_foo", "'foo' is not a number"),
        ("gradient_5", "'5' is a number with no parameter before it"),
        ("lrp_epsilon_1_2_3", "'3' is a number with no parameter before it"),
        ("gradient_mu_1", "'mu' is not a parameter of this method: it takes none"),
        ("smoothgrad_steps_5", "'steps' is not a parameter of this method: it takes noise, samples"),
        ("lrp_z_low_0", "'low' is not a parameter of this method"),
        ("lrpsign_z_x_input_mu_1", "'mu' is a parameter, and parameters stand before the multipliers"),
        ("smoothgrad_noise_0_1_samples_5_noise_0_2", "'noise' is given twice (after 'smoothgrad_noise_0_1_samples_5')"),
        ("smoothgrad_noise", "the end of the name is not a number"),
        ("smoothgrad_samples_2_5", "'samples' takes a whole number, not 2_5"),
        ("integrated_gradients_steps_0", "steps = 0 is out of range: it must be at least 1"),
        ("vargrad_samples_neg_3", "num_samples = -3 is out of range"),
        ("smoothgrad_noise_neg_0_1", "noise_level = -0.1 is out of range: it must be at least 0"),
        ("lrp_epsilon_neg_1", "epsilon = -1 is out of range"),
        ("lrp_gamma_neg_0_25", "gamma = -0.25 is out of range"),
        ("lrp_alpha_0_beta_neg_1", "beta = -1 is out of range"),
        ("lrp_alpha_2_beta_2", "alpha - beta must be 1"),
        ("lrp_alpha_1_beta_0_000000000000000000001", "alpha - beta must be 1"),
        ("zblrp_z_low_1_high_0", "low = 1 is greater than high = 0"),
        ("lrp_epsilon_" + "9" * 5000, "epsilon is too large"),
        ("smoothgrad_samples_" + "9" * 5000, "num_samples is too large"),
        ("gradient_x_sign_mu_" + "9" * 5000, "mu is not a finite number"),
        ("grad_cam_VGG16", "nor a preset (VGG16ILSVRC, VGG16MITPL365, MNISTCNN)"),
        ("grad_cam_VGG16ILSVRC_x_sign", "'x' stands behind the preset 'VGG16ILSVRC', which ends a name"),
        ("lrp.banana", "'banana' is not a rule"),
        ("lrp.epsilon_0_5", "'0' is a number with no parameter before it"),
        ("lrp.alpha_beta", "'beta' is not a number"),
        ("lrp.z.z", "'z.z' is not a rule"),
        ("gradient_cp", "'cp' says how attention is treated, which LRP names alone can say"),
        ("lrp_z_x_input_cp", "'cp' says how attention is treated, and stands before the multipliers (after 'lrp_z_x_input')"),
        ("lrp_z_cp_cp", "'cp' is given twice (after 'lrp_z_cp')"),
        ("lrp_z_attnlrp", "leave it out (after 'lrp_z')"),
        ("lrp_z_cpp", "nor how attention is treated (cp)"),
        ("lrpsign.z", "'lrpsign.z' is not a method"),
    ],
)
def test_the_message_names_the_wrong_token_and_the_nearest_methods(name, message):
    with pytest.raises(MethodNameError) as caught:
        parse_method(name)
    text = str(caught.value)
    assert message in text
    assert text.startswith("unknown method ")
    nearest = text.rsplit("nearest: ", 1)[1].split(", ")
    assert len(nearest) == 3
    assert set(nearest) <= set(list_methods())
    assert len(text) < 700


def test_how_attention_is_treated_is_printed_behind_the_parameters():
    spec = parse_method("lrpsign_z_cp_mu_0_3_x_input")
    assert str(spec) == "lrpsign_z_mu_0_3_cp_x_input"
    assert spec == parse_method(str(spec))
    assert spec != parse_method("lrpsign_z_mu_0_3_x_input")


def test_the_description_says_how_attention_is_treated():
    assert "attention    attnlrp    default; option attention=" in describe(parse_method("lrp_z"))
    text = describe(parse_method("lrp_epsilon_0_25_cp"))
    assert "attention    cp         from the name" in text
    assert "attention weights are constants (CP-LRP)" in text
    assert "Ali" in text
    assert "option attention=" not in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [("gradcam", "grad_cam"), ("gradient_typo", "gradient"), ("lrp_epsilon_-1", "lrp_epsilon_1"), ("smooth_grad", "smoothgrad")],
)
def test_the_method_that_was_meant_is_among_the_nearest(name, meant):
    with pytest.raises(MethodNameError) as caught:
        parse_method(name)
    assert meant in str(caught.value).rsplit("nearest: ", 1)[1].split(", ")


@pytest.mark.parametrize("value", [None, 5, 0.5, b"gradient", ["gradient"], ("lrp", "z"), object()])
def test_a_name_is_a_string(value):
    with pytest.raises(MethodNameError, match="a method name is a string"):
        parse_method(value)


TOKENS = ["lrp", "lrp.", "lrpsign", "zblrp", "lrp.z", "epsilon", "alpha", "beta", "gamma", "std", "x", "sign", "input", "mu", "noise"]
TOKENS += ["samples", "steps", "low", "high", "neg", "0", "1", "25", "-1", "cp", "attnlrp", *WORDS]
GARBAGE = (
    st.text() | st.text(string.ascii_lowercase + "_.0123456789") | st.lists(st.sampled_from(TOKENS) | st.text(max_size=3)).map("_".join)
)


@settings(max_examples=300, deadline=None)
@given(GARBAGE)
@example("_")
@example(".")
@example("lrp.")
@example("\0")
@example("\ud800")
@example("gradient_x_sign_mu_neg")
def test_garbage_is_refused_with_a_method_name_error_or_is_a_sentence(name):
    try:
        spec = parse_method(name)
    except MethodNameError:
        return
    assert parse_method(str(spec)) == spec


@settings(max_examples=150, deadline=None)
@given(sentences(), st.data())
def test_a_name_with_a_token_spoiled_is_refused(sentence, data):
    tokens = sentence[0].split("_")
    spoiled = data.draw(st.integers(0, len(tokens) - 1))
    tokens[spoiled] += "?"
    with pytest.raises(MethodNameError) as caught:
        parse_method("_".join(tokens))
    if tokens[spoiled] != "neg?":
        assert repr(tokens[spoiled]) in str(caught.value).split("; nearest")[0].split(": ", 1)[1]


def test_the_value_is_frozen_and_hashable():
    spec = parse_method("lrp_epsilon_0_1_x_sign")
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.method = GRADIENT
    assert {spec: 1}[parse_method("lrp_epsilon_0_10_x_sign_mu_0")] == 1


# --- listing --------------------------------------------------------------------------------------------------------------


def test_the_list_begins_with_the_originals_and_shows_every_method_and_rule():
    names = list_methods()
    assert names[:152] == ORIGINAL_NAMES
    assert len(names) == len(set(names))
    specs = [parse_method(name) for name in names]
    assert {spec.method for spec in specs} == {*catalog.current().methods, *catalog.current().input_words}
    assert {*WORDS, *INPUT_RULES} <= {spec.method for spec in specs}
    assert {spec.rule for spec in specs} - {None} == set(catalog.current().rule_words)


def test_a_pattern_selects_and_case_counts():
    assert list_methods("w2lrp_sequential*") == ["w2lrp_sequential_composite_a", "w2lrp_sequential_composite_b"]
    assert list_methods("*_VGG16MITPL365") == ["grad_cam_VGG16MITPL365", "guided_grad_cam_VGG16MITPL365"]
    assert list_methods("*_vgg16mitpl365") == []


def test_a_list_is_the_callers_own():
    list_methods().clear()
    assert len(list_methods()) >= 152


# --- registration ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def register():
    """Registers a method of numeric parameters, until the test ends."""
    before = catalog.current().records

    def one(name, params):
        numbers = tuple(Parameter(word, kind=kind) for word, kind in params.items())
        catalog.register(Method(name, "my_package.Mine", meaning="a registered method", parameters=numbers))

    yield one
    catalog.unregister(*(record for record in catalog.current().records if record not in before))


def test_a_registered_method_has_parameters_multipliers_and_a_place_in_the_list(register):
    register("occlusion", {"window": int, "fill_value": float})
    spec = parse_method("occlusion_fill_value_neg_0_5_window_8_x_sign")
    assert spec == MethodSpec("occlusion", None, (("window", 8), ("fill_value", -0.5)), (Multiplier("sign", 0.0),))
    assert str(spec) == "occlusion_window_8_fill_value_neg_0_5_x_sign"
    assert parse_method(str(spec)) == spec
    assert list_methods()[-1] == "occlusion"
    with pytest.raises(MethodNameError, match="'window' takes a whole number"):
        parse_method("occlusion_window_8_5")
    with pytest.raises(MethodNameError, match="nearest: occlusion,"):
        parse_method("oclusion")
    assert "registered" in summary(spec)


@pytest.mark.parametrize("name", ["gradient_squared", "grad_cam_plus_plus", "grad", "lrp_mine", "method_2", "x_ray"])
def test_a_name_beside_the_grammar_can_be_registered(register, name):
    register(name, {"window": int})
    assert parse_method(f"{name}_window_3_x_input") == MethodSpec(name, None, (("window", 3),), (Multiplier("input"),))
    for original in ORIGINAL_NAMES:
        assert parse_method(original).method != name


@pytest.mark.parametrize(
    "name",
    ["gradient", "lrp", "lrp_z", "lrp_epsilon", "lrp_epsilon_5", "gradient_x", "gradient_x_input", "smoothgrad_noise", "vargrad_noise_1"],
)
def test_a_name_that_the_grammar_reads_or_would_read_is_refused(register, name):
    with pytest.raises(MethodNameError, match=f"cannot register '{name}'"):
        register(name, {})


@pytest.mark.parametrize("name", ["", "_a", "a_", "a__b", "Mine", "my-method", "2fast", "my method", "é", "a.b", None, 3])
def test_an_ill_formed_name_is_refused(register, name):
    with pytest.raises(MethodNameError, match="cannot register"):
        register(name, {})


BAD_PARAMETERS = [
    {"Window": int},
    {"window_2": int},
    {"x": float},
    {"x_max": float},
    {"window": str},
    {"window": bool},
    {"": int},
    {1: int},
]


@pytest.mark.parametrize("params", BAD_PARAMETERS)
def test_a_parameter_that_a_name_cannot_carry_is_refused(register, params):
    with pytest.raises(MethodNameError, match="cannot register"):
        register("mine", params)


def test_a_registered_name_takes_nothing_from_innvestigates_names(register):
    register("lrp_w_square", {})
    assert parse_method("lrp.w_square") == parse_method("lrp_wsquare")
    assert parse_method("lrp_w_square") == MethodSpec("lrp_w_square")


def test_two_registered_names_cannot_make_one_name_ambiguous(register):
    register("mine", {"window": int})
    for name in ("mine", "mine_window"):
        with pytest.raises(MethodNameError, match="cannot register"):
            register(name, {})
    register("yours_window", {})
    with pytest.raises(MethodNameError, match="would also read as 'yours' followed by 'window'"):
        register("yours", {"window": int})


# --- descriptions ---------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(sentences())
def test_every_sentence_has_a_one_line_summary_and_a_description_with_its_numbers(sentence):
    spec = parse_method(sentence[0])
    line = summary(spec)
    assert line
    assert "\n" not in line
    assert "{" not in line
    text = describe(spec)
    assert text.splitlines()[0] == str(spec)
    assert line in text
    assert "formula:" in text
    for keyword, value in spec.params:
        shown = spell_number(value).replace("neg_", "-").replace("_", ".")
        assert any(row.split()[:2] == [keyword, shown] and "from the name" in row for row in text.splitlines())


@pytest.mark.parametrize("name", [name for name in list_methods() if name != "random_uniform"])
def test_every_method_names_its_paper(name):
    assert any(str(paper) in describe(parse_method(name)) for paper in PAPERS)


def test_a_sign_cites_the_paper_on_sign():
    for name in ("gradient_x_sign", "lrpsign_z", "lrp_z_x_sign_mu_0_5"):
        assert str(GUMPFER_2023) in describe(parse_method(name))


def test_a_description_says_where_each_value_comes_from():
    text = describe(parse_method("zblrp_z_high_100_x_sign_mu_VGG16ILSVRC"))
    rows = {row.split()[0]: row for row in text.split("parameters:\n")[1].split("\n\n")[0].splitlines()}
    assert "from the name" in rows["high"]
    assert "-123.68" in rows["low"]
    assert "preset VGG16ILSVRC" in rows["low"]
    assert "option mu= must give it" in rows["mu"]
    assert "default" in rows["stabilizer"]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("grad_cam", "layer        the last feature map that the target depends on .default; option layer=.$"),
        ("grad_cam_MNISTCNN", "layer        the last convolution .preset MNISTCNN; option layer=.$"),
        ("lrp_epsilon_plus", r"epsilon      0\.000001   default; option epsilon="),
        ("lrp.epsilon", r"epsilon      0\.0000001  default; option epsilon="),
        ("lrp_epsilon_0_5", r"epsilon      0\.5        from the name"),
        ("lrpsign_z", "mu           0          default; option mu="),
        ("lrp_epsilon_gamma_box", "first convolution: zbox rule"),
        ("lrp_epsilon_plus_flat", "first linear layer: flat rule"),
        ("zblrp_z", "low          min x      default, per sample; option low="),
    ],
)
def test_a_description_has_this_row(name, row):
    assert re.search(f"^  {row}$", describe(parse_method(name)), re.M)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lrp_epsilon_0_5", "LRP: shares damped by epsilon = 0.5"),
        ("lrp.epsilon", "LRP: shares damped by epsilon = 0.0000001"),
        ("lrp_alpha_2_beta_1", "LRP: 2 times the positive less 1 times the negative shares"),
        ("lrpsign_z_mu_0_5", "LRP: each input by its share of the pre-activation; SIGN rule (mu = 0.5) on the first layer"),
        ("zblrp_zplus_low_0", "LRP: positive shares only; zbox rule (low = 0) on the first layer"),
    ],
)
def test_a_summary_has_the_numbers_of_the_name(name, words):
    assert summary(parse_method(name)) == words


# --- cost -----------------------------------------------------------------------------------------------------------------


def test_importing_the_grammar_loads_neither_torch_nor_numpy():
    assert loaded("import signxai.names.grammar, signxai.names.describe", "torch", "numpy", "zennit") == []


# --- documentation --------------------------------------------------------------------------------------------------------

METHODS_PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("word", [*WORDS, *INPUT_RULES, *catalog.current().spellings, *KEYWORDS, *catalog.PRESETS])
def test_the_methods_page_tells_of_every_word_of_the_grammar(word):
    spelled = catalog.current().spellings.get(word, word).split("NUM")[0]
    assert f"`{spelled}" in METHODS_PAGE or (word in catalog.PRESETS and word in METHODS_PAGE)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.citation)
def test_the_methods_page_cites_and_lists_every_paper(paper):
    prose, _, references = METHODS_PAGE.partition("## References")
    assert f"**{paper.citation}**" in references
    assert f"[{paper.identifier}]({paper.link})" in references
    assert paper.citation in prose


def test_the_methods_pages_example_runs():
    for block in METHODS_PAGE.split("```python\n")[1:]:
        exec(block.split("```")[0], {})


def test_the_methods_page_names_no_method_that_does_not_exist():
    prose = METHODS_PAGE.split("## Which method when")[1].split("## References")[0]
    for name in re.findall(r"`((?:lrp|lrpsign|zblrp|w2lrp|gradient|guided|smoothgrad|grad_cam|deconvnet)[a-z0-9_]*)`", prose):
        parse_method(name)


def test_a_value_wider_than_its_column_is_set_apart_from_where_it_comes_from():
    assert "layer        the last feature map that the target depends on (default; option layer=)" in describe(parse_method("grad_cam"))
