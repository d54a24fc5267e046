"""What a method name means, in words: one line, or parameters, formula and papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from signxai.names.grammar import (
    DOTTED_EPSILON,
    INPUT_RULES,
    METHODS,
    PARAMETERS,
    PARAMETERS_OF_RULES,
    PRESET_BOUNDS,
    MethodSpec,
    Multiplier,
    spell_number,
)

__all__ = ["REFERENCES", "describe", "summary"]


@dataclass(frozen=True)
class Text:
    """The words on one method, rule or input rule; ``{...}`` in the meaning takes the name's numbers."""

    meaning: str
    formula: tuple[str, ...]
    papers: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()


REFERENCES: Mapping[str, str] = {
    "Achtibat 2024": (
        "R. Achtibat, S. M. V. Hatefi, M. Dreyer, A. Jain, T. Wiegand, S. Lapuschkin, W. Samek: AttnLRP: "
        "Attention-Aware Layer-Wise Relevance Propagation for Transformers. ICML 2024. arXiv:2402.05602"
    ),
    "Adebayo 2018": (
        "J. Adebayo, J. Gilmer, I. Goodfellow, B. Kim: Local Explanation Methods for Deep Neural Networks Lack "
        "Sensitivity to Parameter Values. ICLR 2018, workshop track. arXiv:1810.03307"
    ),
    "Alber 2019": (
        "M. Alber, S. Lapuschkin, P. Seegerer, M. Hägele, K. T. Schütt, G. Montavon, W. Samek, K.-R. Müller, S. "
        "Dähne, P.-J. Kindermans: iNNvestigate Neural Networks! Journal of Machine Learning Research 20(93), 2019. "
        "arXiv:1808.04260"
    ),
    "Anders 2021": (
        "C. J. Anders, D. Neumann, W. Samek, K.-R. Müller, S. Lapuschkin: Software for Dataset-wide XAI: From Local "
        "Explanations to Global Insights with Zennit, CoRelAy, and ViRelAy. 2021. arXiv:2106.13200"
    ),
    "Andéol 2021": (
        "L. Andéol, Y. Kawakami, Y. Wada, T. Kanamori, K.-R. Müller, G. Montavon: Learning Domain Invariant "
        "Representations by Joint Wasserstein Distance Minimization. 2021. arXiv:2106.04923"
    ),
    "Bach 2015": (
        "S. Bach, A. Binder, G. Montavon, F. Klauschen, K.-R. Müller, W. Samek: On Pixel-Wise Explanations for "
        "Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation. PLoS ONE 10(7), e0130140, 2015. "
        "doi:10.1371/journal.pone.0130140"
    ),
    "Gumpfer 2023": (
        "N. Gumpfer, J. Prim, T. Keller, B. Seeger, M. Guckert, J. Hannig: SIGNed explanations: Unveiling relevant "
        "features by reducing bias. Information Fusion 99, 101883, 2023. doi:10.1016/j.inffus.2023.101883"
    ),
    "Kohlbrenner 2020": (
        "M. Kohlbrenner, A. Bauer, S. Nakajima, A. Binder, W. Samek, S. Lapuschkin: Towards Best Practice in "
        "Explaining Neural Network Decisions with LRP. IJCNN 2020. arXiv:1910.09840"
    ),
    "Lapuschkin 2019": (
        "S. Lapuschkin, S. Wäldchen, A. Binder, G. Montavon, W. Samek, K.-R. Müller: Unmasking Clever Hans Predictors "
        "and Assessing What Machines Really Learn. Nature Communications 10, 1096, 2019. "
        "doi:10.1038/s41467-019-08987-4"
    ),
    "Montavon 2017": (
        "G. Montavon, S. Lapuschkin, A. Binder, W. Samek, K.-R. Müller: Explaining Nonlinear Classification Decisions "
        "with Deep Taylor Decomposition. Pattern Recognition 65, 211-222, 2017. doi:10.1016/j.patcog.2016.11.008"
    ),
    "Montavon 2019": (
        "G. Montavon, A. Binder, S. Lapuschkin, W. Samek, K.-R. Müller: Layer-Wise Relevance Propagation: An "
        "Overview. In: Explainable AI, LNCS 11700, 193-209, 2019. doi:10.1007/978-3-030-28954-6_10"
    ),
    "Selvaraju 2017": (
        "R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra: Grad-CAM: Visual Explanations from "
        "Deep Networks via Gradient-Based Localization. ICCV 2017. doi:10.1109/ICCV.2017.74"
    ),
    "Shrikumar 2016": (
        "A. Shrikumar, P. Greenside, A. Shcherbina, A. Kundaje: Not Just a Black Box: Learning Important Features "
        "Through Propagating Activation Differences. 2016. arXiv:1605.01713"
    ),
    "Simonyan 2014": (
        "K. Simonyan, A. Vedaldi, A. Zisserman: Deep Inside Convolutional Networks: Visualising Image Classification "
        "Models and Saliency Maps. ICLR 2014, workshop track. arXiv:1312.6034"
    ),
    "Smilkov 2017": (
        "D. Smilkov, N. Thorat, B. Kim, F. Viégas, M. Wattenberg: SmoothGrad: Removing Noise by Adding Noise. 2017. arXiv:1706.03825"
    ),
    "Springenberg 2015": (
        "J. T. Springenberg, A. Dosovitskiy, T. Brox, M. Riedmiller: Striving for Simplicity: The All Convolutional "
        "Net. ICLR 2015, workshop track. arXiv:1412.6806"
    ),
    "Sundararajan 2017": ("M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. ICML 2017. arXiv:1703.01365"),
    "Zeiler 2014": (
        "M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks. ECCV 2014. doi:10.1007/978-3-319-10590-1_53"
    ),
}

_LEGEND = "x: the layer's input, w: weights, b: bias, z: pre-activation, ^+ and ^-: positive and negative part, sign(0) = +1, 0/0 = 0"
_LAYER = ("layer", "the last feature map executed: a convolution's, or a transformer's tokens as a grid")
_SEED = ("seed", "0")

_METHOD_TEXTS: Mapping[str, Text] = {
    "gradient": Text("gradient of the logit with respect to the input", ("R_i = d f_c / d x_i",), ("Simonyan 2014",)),
    "input_t_gradient": Text("input times gradient", ("R_i = x_i * d f_c / d x_i",), ("Shrikumar 2016",)),
    "integrated_gradients": Text(
        "gradient averaged on the straight path from a baseline, times the way",
        (
            "R_i = (x_i - b_i) * integral over t in [0, 1] of d f_c / d x_i at b + t (x - b)",
            "trapezoidal rule with `steps` points, both ends included; sum_i R_i tends to f_c(x) - f_c(b)",
        ),
        ("Sundararajan 2017",),
        (("baseline", "zeros"),),
    ),
    "smoothgrad": Text(
        "mean gradient over noisy copies of the input",
        ("R_i = mean over k of d f_c / d x_i at x + n_k,  n_k ~ N(0, sigma^2)", "sigma = noise_level * (max x - min x), per sample"),
        ("Smilkov 2017",),
        (_SEED,),
    ),
    "vargrad": Text(
        "variance of the gradient over noisy copies of the input",
        (
            "R_i = population variance over k of d f_c / d x_i at x + n_k,  n_k ~ N(0, sigma^2)",
            "sigma = noise_level * (max x - min x), per sample",
        ),
        ("Adebayo 2018",),
        (_SEED,),
    ),
    "guided_backprop": Text(
        "gradient that every ReLU lets through only where it and its own input are positive",
        ("backward through a ReLU z -> max(z, 0):  g -> g * [z > 0] * [g > 0]",),
        ("Springenberg 2015",),
    ),
    "deconvnet": Text(
        "gradient that every ReLU lets through where it is positive, whatever its own input was",
        ("backward through a ReLU:  g -> max(g, 0)",),
        ("Zeiler 2014",),
    ),
    "grad_cam": Text(
        "where the last feature maps speak for the class",
        (
            "R = ReLU( sum_k a_k A_k ),  a_k = mean over positions of d f_c / d A_k,  A_k: channel k of the layer's output",
            "up-sampled linearly to the input's size, then divided by its maximum",
        ),
        ("Selvaraju 2017",),
        (_LAYER,),
    ),
    "grad_cam_timeseries": Text(
        "Grad-CAM along the time axis of a signal (N, channels, time)",
        (
            "R = ReLU( sum_k a_k A_k ),  a_k = mean over time of d f_c / d A_k,  A_k: channel k of the layer's output",
            "up-sampled linearly to the input's length, then divided by its maximum",
        ),
        ("Selvaraju 2017",),
        (_LAYER,),
    ),
    "guided_grad_cam": Text(
        "Grad-CAM times guided backprop",
        ("R_i = grad_cam_i * guided_backprop_i",),
        ("Selvaraju 2017", "Springenberg 2015"),
        (_LAYER,),
    ),
    "deep_taylor": Text(
        "deep Taylor decomposition, by LRP-epsilon as its proxy",
        ("R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j,  e = epsilon", _LEGEND),
        ("Montavon 2017", "Bach 2015"),
        (("epsilon", "0.000001"), ("stabilizer", "0")),
    ),
    "random_uniform": Text(
        "uniform noise in [-1, 1], the baseline that explains nothing",
        ("R ~ U(-1, 1) from (seed, sample), the same in every channel",),
        (),
        (_SEED,),
    ),
}

_ALPHA_BETA = (
    "R_i = alpha sum_j (x_i w_ij)^+ / z_j^+ R_j - beta sum_j (x_i w_ij)^- / z_j^- R_j",
    "z_j^+, z_j^-: sums of the positive and of the negative x_i w_ij, each with the bias of its sign",
)

_RULE_TEXTS: Mapping[str, Text] = {
    "z": Text("each input by its share of the pre-activation", ("R_i = sum_j x_i w_ij / z_j R_j",), ("Bach 2015",)),
    "epsilon": Text(
        "shares damped by epsilon = {epsilon}",
        ("R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j,  e = epsilon",),
        ("Bach 2015",),
    ),
    "epsilon_std_x": Text(
        "shares damped by epsilon = {epsilon} std(x) of each layer's input",
        ("R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j,  e = epsilon * std(x)", "std(x): population, of the layer's input, per sample"),
        ("Bach 2015", "Gumpfer 2023"),
    ),
    "alpha_beta": Text("{alpha} times the positive less {beta} times the negative shares", _ALPHA_BETA, ("Bach 2015",)),
    "gamma": Text(
        "positive contributions favoured by gamma = {gamma}",
        (
            "R_i = sum_j c_ij / (b_j + gamma b_j^s + sum_i' c_i'j) R_j,  s = + where z_j > 0, s = - where z_j < 0",
            "c_ij = x_i^+ (w_ij + gamma w_ij^s) + x_i^- (w_ij + gamma w_ij^-s)",
        ),
        ("Montavon 2019", "Andéol 2021"),
    ),
    "zplus": Text("positive shares only", ("alpha_beta with alpha = 1, beta = 0:", *_ALPHA_BETA), ("Bach 2015", "Montavon 2017")),
    "wsquare": Text(
        "shares by squared weights, whatever the input", ("R_i = sum_j w_ij^2 / (sum_i' w_i'j^2) R_j,  no bias",), ("Montavon 2017",)
    ),
    "flat": Text("equal shares to all inputs of a unit", ("R_i = sum_j 1 / (inputs of unit j) R_j",), ("Lapuschkin 2019",)),
    "sequential_composite_a": Text(
        "epsilon 0.1 on Linear, alpha 1 beta 0 on convolutions",
        ("Linear: epsilon rule, epsilon = 0.1", "convolutions: alpha_beta rule, alpha = 1, beta = 0"),
        ("Lapuschkin 2019", "Kohlbrenner 2020", "Alber 2019"),
    ),
    "sequential_composite_b": Text(
        "epsilon 0.1 on Linear, alpha 2 beta 1 on convolutions",
        ("Linear: epsilon rule, epsilon = 0.1", "convolutions: alpha_beta rule, alpha = 2, beta = 1"),
        ("Lapuschkin 2019", "Kohlbrenner 2020", "Alber 2019"),
    ),
    "epsilon_plus": Text(
        "Zennit's EpsilonPlus: zplus on convolutions, epsilon on Linear",
        ("Linear: epsilon rule, epsilon = 1e-6", "convolutions: zplus rule"),
        ("Anders 2021", "Kohlbrenner 2020"),
    ),
    "epsilon_plus_flat": Text(
        "Zennit's EpsilonPlusFlat: flat first, zplus on convolutions, epsilon on Linear",
        ("first linear layer: flat rule", "Linear: epsilon rule, epsilon = 1e-6", "convolutions: zplus rule"),
        ("Anders 2021", "Kohlbrenner 2020"),
    ),
    "epsilon_alpha2_beta1": Text(
        "Zennit's EpsilonAlpha2Beta1: alpha 2 beta 1 on convolutions, epsilon on Linear",
        ("Linear: epsilon rule, epsilon = 1e-6", "convolutions: alpha_beta rule, alpha = 2, beta = 1"),
        ("Anders 2021", "Kohlbrenner 2020"),
    ),
    "epsilon_alpha2_beta1_flat": Text(
        "Zennit's EpsilonAlpha2Beta1Flat: flat first, alpha 2 beta 1 on convolutions, epsilon on Linear",
        ("first linear layer: flat rule", "Linear: epsilon rule, epsilon = 1e-6", "convolutions: alpha_beta rule, alpha = 2, beta = 1"),
        ("Anders 2021", "Kohlbrenner 2020"),
    ),
    "epsilon_gamma_box": Text(
        "Zennit's EpsilonGammaBox: zbox first, gamma 0.25 on convolutions, epsilon on Linear",
        (
            "first convolution: zbox rule with bounds low, high",
            "Linear: epsilon rule, epsilon = 1e-6",
            "other convolutions: gamma rule, gamma = 0.25",
        ),
        ("Anders 2021", "Montavon 2019", "Montavon 2017"),
    ),
}

_INPUT_RULE_TEXTS: Mapping[str, Text] = {
    "lrp": Text("", (), ("Bach 2015",)),
    "lrpsign": Text("SIGN", ("R_i = s_i sum_j w_ij R_j / z_j,  s_i = +1 where x_i >= mu, else -1",), ("Gumpfer 2023",)),
    "lrpz": Text("z", ("R_i = sum_j x_i w_ij / z_j R_j",), ("Bach 2015",)),
    "zblrp": Text(
        "zbox",
        ("R_i = sum_j (x_i w_ij - low w_ij^+ - high w_ij^-) / (sum_i' x_i' w_i'j - low w_i'j^+ - high w_i'j^-) R_j",),
        ("Montavon 2017",),
    ),
    "w2lrp": Text("wsquare", _RULE_TEXTS["wsquare"].formula, ("Montavon 2017",)),
    "flatlrp": Text("flat", _RULE_TEXTS["flat"].formula, ("Lapuschkin 2019",)),
}


def summary(spec: MethodSpec) -> str:
    """Say in one line what a method name means.

    >>> from signxai.names.grammar import parse_method
    >>> summary(parse_method("lrpsign_epsilon_0_25_std_x"))
    "LRP: shares damped by epsilon = 0.25 std(x) of each layer's input; SIGN rule on the first layer"
    >>> summary(parse_method("gradient_x_sign_mu_0_5"))
    'gradient of the logit with respect to the input; times the sign of the input about 0.5'
    """
    pieces = [_meaning(spec)]
    if first := _first_layer_text(spec):
        mu = dict(spec.params).get("mu", 0)
        pieces.append(f"{first.meaning} rule{f' about {_plain(mu)}' if mu else ''} on the first layer")
    pieces.extend(_multiplier_meaning(multiplier) for multiplier in spec.multipliers)
    if spec.preset is not None:
        pieces.append(f"preset {spec.preset}")
    return "; ".join(pieces)


def describe(spec: MethodSpec) -> str:
    """Describe a method name: canonical name, meaning, parameters and where they come from, formula, papers."""
    sections = {
        "parameters": [f"{keyword:<12} {value:<10} {source}" for keyword, value, source in _parameters(spec)],
        "formula": list(_formula(spec)),
        "papers": list(dict.fromkeys(REFERENCES[paper] for text in _texts(spec) for paper in text.papers)),
    }
    if any(multiplier.kind == "sign" for multiplier in spec.multipliers) and REFERENCES["Gumpfer 2023"] not in sections["papers"]:
        sections["papers"].append(REFERENCES["Gumpfer 2023"])
    lines = [spec.name, f"  {summary(spec)}"]
    for title, content in sections.items():
        if content:
            lines += ["", f"{title}:", *(f"  {line}" for line in content)]
    return "\n".join(lines)


def _meaning(spec: MethodSpec) -> str:
    if spec.rule is not None:
        values = {"epsilon": DOTTED_EPSILON, **dict(spec.params)}
        return "LRP: " + _RULE_TEXTS[spec.rule].meaning.format(**{word: _plain(value) for word, value in values.items()})
    if spec.method in _METHOD_TEXTS:
        return _METHOD_TEXTS[spec.method].meaning
    return "a method registered with register_method"


def _first_layer_text(spec: MethodSpec) -> Text | None:
    """The words on the input rule, where it differs from the rule of the other layers."""
    return _INPUT_RULE_TEXTS[spec.method] if spec.rule is not None and spec.method != "lrp" else None


def _texts(spec: MethodSpec) -> list[Text]:
    """Every text that tells of the method, in the order of reading."""
    if spec.rule is None:
        return [_METHOD_TEXTS[spec.method]] if spec.method in _METHOD_TEXTS else []
    return [_RULE_TEXTS[spec.rule], _INPUT_RULE_TEXTS[spec.method]]


def _multiplier_meaning(multiplier: Multiplier) -> str:
    if multiplier.kind == "input":
        return "times the input"
    threshold = "mu" if multiplier.mu is None else _plain(multiplier.mu)
    return "times the sign of the input" if multiplier.mu == 0 else f"times the sign of the input about {threshold}"


def _formula(spec: MethodSpec) -> Iterator[str]:
    first = _first_layer_text(spec)
    if spec.rule is not None:
        yield from _RULE_TEXTS[spec.rule].formula
        if first:
            yield "first layer, instead:"
            yield from first.formula
        yield _LEGEND
    elif spec.method in _METHOD_TEXTS:
        yield from _METHOD_TEXTS[spec.method].formula
    for multiplier in spec.multipliers:
        if multiplier.kind == "input":
            yield "then R_i <- x_i R_i"
        else:
            yield f"then R_i <- s_i R_i,  s_i = +1 where x_i >= {'mu' if multiplier.mu is None else _plain(multiplier.mu)}, else -1"


def _parameters(spec: MethodSpec) -> Iterator[tuple[str, str, str]]:
    """Each parameter as keyword, value, and where the value comes from."""
    given = dict(spec.params)
    for keyword, value in given.items():
        yield keyword, _plain(value), "from the name"
    words = METHODS.get(spec.method, ()) if spec.rule is None else INPUT_RULES[spec.method] + PARAMETERS_OF_RULES.get(spec.rule, ())
    for parameter in (parameter for word, parameter in PARAMETERS.items() if word in words and parameter.keyword not in given):
        yield parameter.keyword, *_unset(spec, parameter.keyword, parameter.default)
    if spec.rule == "epsilon" and "epsilon" not in given:
        yield "epsilon", _plain(DOTTED_EPSILON), "default; option epsilon="
    if spec.rule is not None:
        yield "stabilizer", "0", "default; option stabilizer="
    for option, default in (option for text in _texts(spec) for option in text.options):
        if option == "layer" and spec.preset is not None:
            yield option, "the last convolution", f"preset {spec.preset}; option layer="
        else:
            yield option, default, f"default; option {option}="
    if any(multiplier.kind == "sign" and multiplier.mu is None for multiplier in spec.multipliers):
        yield "mu", "?", "of _x_sign_mu: the option mu= must give it"


def _unset(spec: MethodSpec, keyword: str, default: float | None) -> tuple[str, str]:
    """Value and source of a parameter that the name leaves open."""
    if default is not None:
        return _plain(default), f"default; option {keyword}="
    if spec.preset is not None and spec.method == "zblrp":
        return _plain(PRESET_BOUNDS[("low", "high").index(keyword)]), f"preset {spec.preset}; option {keyword}="
    return f"{'min' if keyword == 'low' else 'max'} x", f"default, per sample; option {keyword}="


def _plain(value: float) -> str:
    """A number as people read it, without exponent: 0.25, -0.5, 100."""
    return spell_number(value).replace("neg_", "-").replace("_", ".")
