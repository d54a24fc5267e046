"""The catalog: one record for each method word, rule, composite and input word, and how further ones are added.

Everything that knows method names comes from here: grammar, list, descriptions, options, the rules of LRP, the tables of
docs/methods.md. To add a method or a rule, write its class and its record: here, or from outside by ``register``.

>>> from signxai.names.catalog import Parameter, Rule, registered
>>> from signxai.names.grammar import parse_method
>>> soft = Rule("soft", "my_package.Soft", meaning="softened by {delta}", parameters=(Parameter("delta", minimum=0, default=0.1),))
>>> with registered(soft):
...     parse_method("lrpsign_soft_delta_0_5_x_input").params
(('delta', 0.5),)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Context, Decimal
from typing import Any

from signxai.names import papers
from signxai.names.forms import ATTENTION, STABILIZER, Form
from signxai.names.papers import Paper
from signxai.names.records import COMMON_OPTIONS, Composite, InputWord, Method, Option, Parameter, Record, Rule, Use
from signxai.names.tables import Tables

__all__ = [
    "COMMON_OPTIONS",
    "LEGEND",
    "MULTIPLIERS",
    "PRESETS",
    "Composite",
    "Form",
    "InputWord",
    "Method",
    "Option",
    "Paper",
    "Parameter",
    "Record",
    "Rule",
    "Use",
    "current",
    "register",
    "registered",
    "unregister",
]

LEGEND = "x: the layer's input, w: weights, b: bias, z: pre-activation, ^+ and ^-: positive and negative part, sign(0) = +1, 0/0 = 0"

MULTIPLIERS: Mapping[str, str] = {"x_input": "input", "x_sign": "sign"}
"""What may follow a method and its parameters: the words in a name -> the multiplier's kind."""

PRESETS: tuple[str, ...] = ("VGG16ILSVRC", "VGG16MITPL365", "MNISTCNN")
"""What may end a name."""

# --- parameters and options that several records share -------------------------------------------------------------------

_EPSILON = Parameter("epsilon", minimum=0, default=1e-6)
_EPSILON_OPTION = Parameter("epsilon", minimum=0, default=1e-6, in_name=False)
_GAMMA = Parameter("gamma", minimum=0, default=0.25)
_GAMMA_OPTION = Parameter("gamma", minimum=0, default=0.25, in_name=False)
_LOW = Parameter("low", unset="min x", takes_tensor=True)
_HIGH = Parameter("high", unset="max x", takes_tensor=True)
_NOISE = Parameter("noise", keyword="noise_level", minimum=0, default=0.2, by_input=True)
_SAMPLES = Parameter("samples", keyword="num_samples", kind=int, minimum=1, default=50)
_STEPS = Parameter("steps", kind=int, minimum=1, default=50)

_AT = Option("at")
_SEED = Option("seed", unset="0")
_UNSET_LAYER = "the last feature map that the target depends on"
_LAYERS = (
    Option("layer", _UNSET_LAYER, "the last convolution", argument="target_layer"),
    Option("target_layer"),
)


def _alpha_less_beta(values: Mapping[str, Any]) -> str | None:
    """alpha - beta must be 1 as written: in binary, 1.4 - 0.4 is not."""
    exact = Context(prec=1000)  # more digits than two floats' difference can have
    alpha, beta = (float(values[keyword]) for keyword in ("alpha", "beta"))
    if exact.subtract(Decimal(repr(alpha)), Decimal(repr(beta))) == 1:
        return None
    return f"alpha = {alpha:g} and beta = {beta:g}: alpha - beta must be 1"


def _alpha_from_beta(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """One of alpha and beta says the other."""
    if "alpha" in values and "beta" not in values:
        return {**values, "beta": values["alpha"] - 1}
    if "beta" in values and "alpha" not in values:
        return {**values, "alpha": values["beta"] + 1}
    return values


def _low_above_high(values: Mapping[str, Any]) -> str | None:
    if "low" in values and "high" in values and values["low"] > values["high"]:
        return f"low = {values['low']:g} is greater than high = {values['high']:g}"
    return None


# --- methods ---------------------------------------------------------------------------------------------------------------

_METHODS = (
    Method(
        "gradient",
        "signxai.methods.gradients.GradientAnalyzer",
        meaning="gradient of the logit with respect to the input",
        options=(_AT, *COMMON_OPTIONS),
        formula=("R_i = d f_c / d x_i",),
        latex=r"R_i = \frac{\partial f_c}{\partial x_i}",
        papers=(papers.SIMONYAN_2014,),
    ),
    Method(
        "input_t_gradient",
        "signxai.methods.gradients.GradientXInputAnalyzer",
        meaning="input times gradient",
        formula=("R_i = x_i * d f_c / d x_i",),
        latex=r"R_i = x_i \frac{\partial f_c}{\partial x_i}",
        papers=(papers.SHRIKUMAR_2016,),
    ),
    Method(
        "integrated_gradients",
        "signxai.methods.repeated.IntegratedGradientsAnalyzer",
        meaning="gradient averaged on the straight path from a baseline, times the difference from the baseline",
        parameters=(_STEPS,),
        options=(Option("baseline", unset="zeros"), Option("baseline_ids"), _AT, *COMMON_OPTIONS),
        formula=(
            "R_i = (x_i - b_i) * integral over t in [0, 1] of d f_c / d x_i at b + t (x - b)",
            "trapezoidal rule with `steps` points, both ends included; sum_i R_i tends to f_c(x) - f_c(b)",
        ),
        latex=r"R_i = (x_i - b_i) \int_0^1 \frac{\partial f_c}{\partial x_i}\big(b + t (x - b)\big)\, dt",
        papers=(papers.SUNDARARAJAN_2017,),
    ),
    Method(
        "smoothgrad",
        "signxai.methods.repeated.SmoothGradAnalyzer",
        meaning="mean gradient over noisy copies of the input",
        parameters=(_NOISE, _SAMPLES),
        options=(_SEED, _AT, *COMMON_OPTIONS),
        formula=(
            "R_i = mean over k of d f_c / d x_i at x + n_k,  n_k ~ N(0, sigma^2)",
            "sigma = noise_level * (max x - min x), per sample",
        ),
        latex=r"R_i = \frac{1}{K} \sum_{k=1}^{K} \frac{\partial f_c}{\partial x_i}(x + n_k), \qquad n_k \sim \mathcal{N}(0, \sigma^2), "
        r"\qquad \sigma = \text{noise level} \cdot (\max x - \min x)",
        papers=(papers.SMILKOV_2017,),
    ),
    Method(
        "vargrad",
        "signxai.methods.repeated.VarGradAnalyzer",
        meaning="variance of the gradient over noisy copies of the input",
        parameters=(_NOISE, _SAMPLES),
        options=(_SEED, _AT, *COMMON_OPTIONS),
        formula=(
            "R_i = population variance over k of d f_c / d x_i at x + n_k,  n_k ~ N(0, sigma^2)",
            "sigma = noise_level * (max x - min x), per sample",
        ),
        latex=r"R_i = \frac{1}{K} \sum_{k=1}^{K} \left( \frac{\partial f_c}{\partial x_i}(x + n_k) - "
        r"\overline{\frac{\partial f_c}{\partial x_i}} \right)^2",
        papers=(papers.ADEBAYO_2018,),
    ),
    Method(
        "guided_backprop",
        "signxai.methods.backprop.GuidedBackpropAnalyzer",
        meaning="gradient that every ReLU lets through only where it and its own input are positive",
        options=(_AT, *COMMON_OPTIONS),
        formula=("backward through a ReLU z -> max(z, 0):  g -> g * [z > 0] * [g > 0]",),
        latex=r"g \to \max(g, 0) \cdot [z > 0]",
        papers=(papers.SPRINGENBERG_2015,),
        starts_with_logit=True,
    ),
    Method(
        "deconvnet",
        "signxai.methods.backprop.DeconvNetAnalyzer",
        meaning="gradient that every ReLU lets through where it is positive, whatever its own input was",
        options=(_AT, *COMMON_OPTIONS),
        formula=("backward through a ReLU:  g -> max(g, 0)",),
        latex=r"g \to \max(g, 0)",
        papers=(papers.ZEILER_2014,),
        starts_with_logit=True,
    ),
    Method(
        "grad_cam",
        "signxai.methods.cam.GradCAMAnalyzer",
        meaning="where the last feature maps speak for the class",
        options=(*_LAYERS, *COMMON_OPTIONS),
        formula=(
            "R = ReLU( sum_k a_k A_k ),  a_k = mean over positions of d f_c / d A_k,  A_k: channel k of the layer's output",
            "up-sampled linearly to the input's size, then divided by its maximum",
        ),
        latex=r"R = \mathrm{ReLU}\Big( \sum_k \alpha_k A_k \Big), \qquad \alpha_k = \mathrm{mean}_p \frac{\partial f_c}{\partial A_{k,p}}",
        papers=(papers.SELVARAJU_2017,),
    ),
    Method(
        "grad_cam_timeseries",
        "signxai.methods.cam.GradCAMAnalyzer",
        meaning="Grad-CAM along the time axis of a signal (N, channels, time)",
        options=(*_LAYERS, *COMMON_OPTIONS),
        formula=(
            "R = ReLU( sum_k a_k A_k ),  a_k = mean over time of d f_c / d A_k,  A_k: channel k of the layer's output",
            "up-sampled linearly to the input's length, then divided by its maximum",
        ),
        papers=(papers.SELVARAJU_2017,),
    ),
    Method(
        "guided_grad_cam",
        "signxai.methods.cam.GuidedGradCAMAnalyzer",
        meaning="Grad-CAM times guided backprop",
        options=(*_LAYERS, *COMMON_OPTIONS),
        formula=("R_i = grad_cam_i * guided_backprop_i",),
        latex=r"R_i = R_i^{\text{Grad-CAM}} \cdot R_i^{\text{guided backprop}}",
        papers=(papers.SELVARAJU_2017, papers.SPRINGENBERG_2015),
    ),
    Method(
        "deep_taylor",
        "signxai.methods.lrp.DeepTaylorAnalyzer",
        meaning="deep Taylor decomposition, by LRP-epsilon as its proxy",
        parameters=(_EPSILON_OPTION,),
        options=(STABILIZER, Option("strict"), ATTENTION, _AT, *COMMON_OPTIONS),
        formula=("R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j,  e = epsilon", LEGEND),
        papers=(papers.MONTAVON_2017, papers.BACH_2015),
        starts_with_logit=True,
    ),
    Method(
        "random_uniform",
        "signxai.methods.gradients.RandomUniformAnalyzer",
        meaning="uniform noise in [-1, 1], the baseline that explains nothing",
        options=(_SEED, *COMMON_OPTIONS),
        formula=("R ~ U(-1, 1) from (seed, sample), the same in every channel",),
    ),
)

# --- rules -----------------------------------------------------------------------------------------------------------------

_ALPHA_BETA_FORMULA = (
    "R_i = alpha sum_j (x_i w_ij)^+ / z_j^+ R_j - beta sum_j (x_i w_ij)^- / z_j^- R_j",
    "z_j^+, z_j^-: sums of the positive and of the negative x_i w_ij, each with the bias of its sign",
)

_RULES = (
    Rule(
        "z",
        "signxai.methods.rules.Z",
        meaning="each input by its share of the pre-activation",
        dotted="z",
        formula=("R_i = sum_j x_i w_ij / z_j R_j",),
        latex=r"$\sum_j \frac{x_i w_{ij}}{z_j} R_j$",
        papers=(papers.BACH_2015,),
    ),
    Rule(
        "epsilon",
        "signxai.methods.rules.Epsilon",
        meaning="shares damped by epsilon = {epsilon}",
        spelling="epsilon_NUM",
        parameters=(_EPSILON,),
        listed_as="epsilon_0_1",
        dotted="epsilon",
        dotted_values={"epsilon": 1e-7},  # Keras' fuzz factor
        formula=("R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j,  e = epsilon",),
        latex=r"$\sum_j \frac{x_i w_{ij}}{z_j + e\, \mathrm{sign}(z_j)} R_j$ with $e = E$",
        papers=(papers.BACH_2015,),
    ),
    Rule(
        "epsilon_std_x",
        "signxai.methods.rules.StdxEpsilon",
        meaning="shares damped by epsilon = {epsilon} std(x) of each layer's input",
        spelling="epsilon_NUM_std_x",
        parameters=(_EPSILON,),
        arguments={"k": "epsilon"},
        listed_as="epsilon_0_25_std_x",
        analyzer_name="stdx_epsilon",
        formula=(
            "R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j,  e = epsilon * std(x)",
            "std(x): population, of the layer's input, per sample",
        ),
        latex=r"the same with $e = E \cdot \mathrm{std}(x)$, the population standard deviation of that layer's input, per sample",
        papers=(papers.BACH_2015, papers.GUMPFER_2023),
    ),
    Rule(
        "alpha_beta",
        "signxai.methods.rules.AlphaBeta",
        meaning="{alpha} times the positive less {beta} times the negative shares",
        spelling="alpha_NUM_beta_NUM",
        parameters=(Parameter("alpha", minimum=0, default=1.0), Parameter("beta", minimum=0, default=0.0)),
        listed_as="alpha_2_beta_1",
        dotted="alpha_NUM_beta_NUM",
        analyzer_name="alphabeta",
        completed=_alpha_from_beta,
        contradiction=_alpha_less_beta,
        formula=_ALPHA_BETA_FORMULA,
        latex=r"$\sum_j \left( A \frac{(x_i w_{ij})^+}{z_j^\oplus} - B \frac{(x_i w_{ij})^-}{z_j^\ominus} \right) R_j$, $A - B = 1$",
        papers=(papers.BACH_2015,),
    ),
    Rule(
        "gamma",
        "signxai.methods.rules.Gamma",
        meaning="positive contributions favoured by gamma = {gamma}",
        spelling="gamma_NUM",
        parameters=(_GAMMA,),
        formula=(
            "R_i = sum_j c_ij / (b_j + gamma b_j^s + sum_i' c_i'j) R_j,  s = + where z_j > 0, s = - where z_j < 0",
            "c_ij = x_i^+ (w_ij + gamma w_ij^s) + x_i^- (w_ij + gamma w_ij^-s)",
        ),
        latex=r"$\sum_j \frac{c_{ij}}{d_j + \sum_{i'} c_{i'j}} R_j$, see below",
        papers=(papers.MONTAVON_2019, papers.ANDEOL_2021),
    ),
    Rule(
        "zplus",
        "signxai.methods.rules.ZPlus",
        meaning="positive shares only",
        dotted="z_plus",
        formula=("alpha_beta with alpha = 1, beta = 0:", *_ALPHA_BETA_FORMULA),
        latex="`alpha_1_beta_0`",
        papers=(papers.BACH_2015, papers.MONTAVON_2017),
    ),
    Rule(
        "wsquare",
        "signxai.methods.rules.WSquareWithoutBias",
        meaning="shares by squared weights, whatever the input",
        is_for_inputs=True,
        dotted="w_square",
        formula=("R_i = sum_j w_ij^2 / (sum_i' w_i'j^2) R_j,  no bias",),
        latex=r"$\sum_j \frac{w_{ij}^2}{\sum_{i'} w_{i'j}^2} R_j$",
        papers=(papers.MONTAVON_2017,),
    ),
    Rule(
        "flat",
        "signxai.methods.rules.Flat",
        meaning="equal shares to all inputs of a unit",
        is_for_inputs=True,
        dotted="flat",
        formula=("R_i = sum_j 1 / (inputs of unit j) R_j",),
        latex=r"$\sum_j \frac{1}{n_j} R_j$, $n_j$: number of inputs of unit $j$",
        papers=(papers.LAPUSCHKIN_2019,),
    ),
    Rule(
        "zbox",
        "signxai.methods.rules.ZBox",
        meaning="shares of what exceeds the box [low, high] of the inputs",
        spelling=None,
        parameters=(_LOW, _HIGH),
        contradiction=_low_above_high,
        is_for_inputs=True,
        formula=("R_i = sum_j (x_i w_ij - low w_ij^+ - high w_ij^-) / (sum_i' x_i' w_i'j - low w_i'j^+ - high w_i'j^-) R_j",),
        latex=r"zbox: $\sum_j \frac{x_i w_{ij} - l\, w_{ij}^+ - h\, w_{ij}^-}"
        r"{\sum_{i'} (x_{i'} w_{i'j} - l\, w_{i'j}^+ - h\, w_{i'j}^-)} R_j$",
        papers=(papers.MONTAVON_2017,),
    ),
    Rule(
        "sign",
        "signxai.methods.rules.Sign",
        meaning="each input by its sign about mu = {mu}",
        title="SIGN",
        spelling=None,
        parameters=(Parameter("mu", default=0.0),),
        is_for_inputs=True,
        formula=("R_i = s_i sum_j w_ij R_j / z_j,  s_i = +1 where x_i >= mu, else -1",),
        latex=r"$s_i \sum_j \frac{w_{ij}}{z_j} R_j$, $s_i = +1$ where $x_i \ge \mu$, else $-1$",
        papers=(papers.GUMPFER_2023,),
    ),
)

# --- composites ------------------------------------------------------------------------------------------------------------

_EPSILON_0_1 = Use("epsilon", {"epsilon": 0.1})
_ALPHA_2_BETA_1 = Use("alpha_beta", {"alpha": 2.0, "beta": 1.0})
_OF_ZENNIT = (papers.ANDERS_2021, papers.KOHLBRENNER_2020)

_COMPOSITES = (
    Composite(
        "sequential_composite_a",
        meaning="epsilon 0.1 on Linear, alpha 1 beta 0 on convolutions",
        dotted="sequential_composite_a",
        linear=_EPSILON_0_1,
        convolution=Use("zplus"),
        papers=(papers.LAPUSCHKIN_2019, papers.KOHLBRENNER_2020, papers.ALBER_2019),
    ),
    Composite(
        "sequential_composite_b",
        meaning="epsilon 0.1 on Linear, alpha 2 beta 1 on convolutions",
        dotted="sequential_composite_b",
        linear=_EPSILON_0_1,
        convolution=_ALPHA_2_BETA_1,
        papers=(papers.LAPUSCHKIN_2019, papers.KOHLBRENNER_2020, papers.ALBER_2019),
    ),
    Composite(
        "epsilon_plus",
        meaning="Zennit's EpsilonPlus: zplus on convolutions, epsilon on Linear",
        parameters=(_EPSILON_OPTION,),
        linear=Use("epsilon"),
        convolution=Use("zplus"),
        papers=_OF_ZENNIT,
    ),
    Composite(
        "epsilon_plus_flat",
        meaning="Zennit's EpsilonPlusFlat: flat first, zplus on convolutions, epsilon on Linear",
        parameters=(_EPSILON_OPTION,),
        first=Use("flat"),
        linear=Use("epsilon"),
        convolution=Use("zplus"),
        papers=_OF_ZENNIT,
    ),
    Composite(
        "epsilon_alpha2_beta1",
        meaning="Zennit's EpsilonAlpha2Beta1: alpha 2 beta 1 on convolutions, epsilon on Linear",
        parameters=(_EPSILON_OPTION,),
        linear=Use("epsilon"),
        convolution=_ALPHA_2_BETA_1,
        papers=_OF_ZENNIT,
    ),
    Composite(
        "epsilon_alpha2_beta1_flat",
        meaning="Zennit's EpsilonAlpha2Beta1Flat: flat first, alpha 2 beta 1 on convolutions, epsilon on Linear",
        parameters=(_EPSILON_OPTION,),
        first=Use("flat"),
        linear=Use("epsilon"),
        convolution=_ALPHA_2_BETA_1,
        papers=_OF_ZENNIT,
    ),
    Composite(
        "epsilon_gamma_box",
        meaning="Zennit's EpsilonGammaBox: zbox first, gamma 0.25 on convolutions, epsilon on Linear",
        parameters=(_LOW, _HIGH, _EPSILON_OPTION, _GAMMA_OPTION),
        contradiction=_low_above_high,
        first=Use("zbox"),
        first_is_convolution=True,
        linear=Use("epsilon"),
        convolution=Use("gamma"),
        papers=(papers.ANDERS_2021, papers.MONTAVON_2019, papers.MONTAVON_2017),
    ),
)

# --- input words -----------------------------------------------------------------------------------------------------------

_INPUT_WORDS = (
    InputWord("lrp", None, papers=(papers.BACH_2015,)),
    InputWord("lrpsign", "sign", use="inputs whose value near zero means something ([SIGN](#sign))"),
    InputWord("lrpz", "z", use="undamped shares at the input", listed_as="lrpz_epsilon_0_1"),
    InputWord(
        "zblrp",
        "zbox",
        use="inputs in a box $[l, h]$, such as pixels",
        preset_values={"low": -123.68, "high": 151.061},  # the least and the greatest value of a Caffe-normalized pixel
        listed_as="zblrp_z_VGG16ILSVRC",
    ),
    InputWord("w2lrp", "wsquare", use="unbounded real-valued inputs"),
    InputWord("flatlrp", "flat", use="a coarse map, independent of input and first weights"),
)

# --- the catalog -----------------------------------------------------------------------------------------------------------

_tables = Tables((*_METHODS, *_RULES, *_COMPOSITES, *_INPUT_WORDS))


def current() -> Tables:
    """The catalog as it is now; it does not change, a registration makes another one."""
    return _tables


def register(*records: Record) -> None:
    """Add records, all of them or none.

    Raises:
        MethodNameError: a word is ill-formed or taken, or would give some name two readings; or a record names a rule that
            there is not.
    """
    global _tables
    _tables = _tables.with_records(records)


def unregister(*records: Record) -> None:
    """Take records out again.

    Raises:
        MethodNameError: a record is not in the catalog, or another one needs it.
    """
    global _tables
    _tables = _tables.without_records(records)


@contextmanager
def registered(*records: Record) -> Iterator[None]:
    """Have records in the catalog within a ``with`` block."""
    register(*records)
    try:
        yield
    finally:
        unregister(*records)
