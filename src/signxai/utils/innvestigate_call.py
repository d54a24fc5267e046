"""``calculate_explanation_innvestigate``: the original package's call by iNNvestigate's names and keywords, in the words of the grammar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from signxai.common.errors import MethodNameError, OptionError
from signxai.methods.wrappers import calculate_relevancemap
from signxai.names.grammar import MethodSpec, parse_method

_KERAS_EPSILON = 1e-7
_INPUT_WORDS = {None: "lrp", "SIGN": "lrpsign", "SIGNmu": "lrpsign", "Z": "lrpz", "WSquare": "w2lrp", "Flat": "flatlrp", "Bounded": "zblrp"}
# LRP: the rule, and the keywords of its parameters with their defaults (None: it has to be given).
_RULES: dict[str, tuple[str, dict[str, tuple[str, float | None]]]] = {
    "lrp.z": ("z", {}),
    "lrp.epsilon": ("epsilon", {"epsilon": ("epsilon", _KERAS_EPSILON)}),
    "lrp.stdxepsilon": ("epsilon_std_x", {"stdfactor": ("epsilon", 0.25)}),
    "lrp.w_square": ("wsquare", {}),
    "lrp.flat": ("flat", {}),
    "lrp.alpha_beta": ("alpha_beta", {"alpha": ("alpha", None), "beta": ("beta", None)}),
    "lrp.alpha_2_beta_1": ("alpha_beta", {}),
    "lrp.alpha_1_beta_0": ("alpha_beta", {}),
    "lrp.z_plus": ("zplus", {}),
    "lrp.sequential_composite_a": ("sequential_composite_a", {}),
    "lrp.sequential_composite_b": ("sequential_composite_b", {}),
}
_FIXED = {"lrp.alpha_2_beta_1": {"alpha": 2.0, "beta": 1.0}, "lrp.alpha_1_beta_0": {"alpha": 1.0, "beta": 0.0}}
# Gradient methods: iNNvestigate's keyword, ours, and iNNvestigate's default (None: ours is the same).
_OTHERS: dict[str, dict[str, tuple[str, float | None]]] = {
    "gradient": {},
    "input_t_gradient": {},
    "deconvnet": {},
    "guided_backprop": {},
    "integrated_gradients": {"steps": ("steps", 16), "reference_inputs": ("baseline", 0)},
    "smoothgrad": {"augment_by_n": ("num_samples", 16)},
    "vargrad": {"augment_by_n": ("num_samples", 16)},
}
_BY_INDEX = "rules for layers by index are a Zennit composite, for AdvancedLRPAnalyzer(model, 'custom', composite=...)"
_IGNORES_BIAS = "its rule leaves biases out, which no name here does; write 'lrp.{}' for the rule with biases"
_NO_METHOD = {
    "deep_lift": "DeepLIFT is not among the methods; integrated_gradients also compares with a baseline",
    "lrp": "write the rule in the name, such as 'lrp.epsilon', or give a Zennit composite to AdvancedLRPAnalyzer",
    "lrp.gamma": "its rule differs where inputs are negative; write signxai.explain(model, x, 'lrp_gamma_0_5') for Zennit's",
    "lrp.z_IB": _IGNORES_BIAS.format("z"),
    "lrp.epsilon_IB": _IGNORES_BIAS.format("epsilon"),
    "lrp.alpha_2_beta_1_IB": _IGNORES_BIAS.format("alpha_2_beta_1"),
    "lrp.alpha_1_beta_0_IB": _IGNORES_BIAS.format("alpha_1_beta_0"),
    "lrp.z_plus_fast": "its rule is that of inputs that are never negative; write 'lrp.z_plus'",
    "lrp.rule_until_index": _BY_INDEX,
}
_NO_OPTION = {
    "until_layer_idx": _BY_INDEX,
    "until_index_rule": _BY_INDEX,
    "bn_layer_rule": "batch norm is the affine map that it is, and part of the layer before it",
    "bn_layer_fuse_mode": "batch norm is the affine map that it is, and part of the layer before it",
    "noise_scale": "it is a standard deviation; write noise_level=, the share of each sample's range (maximum less minimum)",
    "postprocess": "take the absolute value or the square of the map",
    "explained_layer_names": "write at='LAYER'",
    "stop_mapping_at_layers": "write at='LAYER' for the relevance at a layer",
    "r_init": "write relevance='logit' or relevance='one_hot'",
    "f_init": "write target_class= in signxai.explain for another target",
}


def calculate_explanation_innvestigate(
    model: nn.Module, x: Any, method: str = "lrp.epsilon", neuron_selection: Any = None, batchmode: bool = False, **kwargs: Any
) -> Any:
    """Explain by a method as iNNvestigate names it, with its keywords.

    Args:
        model: a Keras model on the torch backend, or any ``torch.nn.Module``, with or without its softmax.
        x: one sample without a batch axis, in the model's layout; with ``batchmode=True`` a batch (N, ...).
        method: "lrp.epsilon", "lrp.stdxepsilon", "lrp.z", "lrp.alpha_beta", "gradient", ...; docs/migrating.md has all of them.
        neuron_selection: the target; None or "max_activation": the largest logit.
        batchmode: whether ``x`` has a batch axis.
        **kwargs: of LRP ``input_layer_rule`` ("SIGN", "SIGNmu" with ``mu``, "Z", "WSquare", "Flat", "Bounded" with ``low`` and ``high``, or
            (low, high)), ``epsilon``, ``stdfactor``, ``alpha``, ``beta``; ``steps``, ``reference_inputs``, ``augment_by_n``; and the
            options of ``signxai.explain``.

    Returns:
        Relevance in the shape of ``x``. It starts with the logit for LRP, guided backprop and deconvnet.

    Raises:
        MethodNameError: if the method is none, or none that has a name here; it says what to write.
        OptionError: the same for a keyword.
        SignxaiError: as ``signxai.explain`` does.

    >>> import torch
    >>> model, x = torch.nn.Linear(4, 3), torch.ones(4)
    >>> R = calculate_explanation_innvestigate(model, x, method="lrp.stdxepsilon", stdfactor=0.1, input_layer_rule="SIGN")
    >>> bool((R == calculate_relevancemap("lrpsign_epsilon_0_1_std_x", x, model)).all())
    True
    """
    for keyword, advice in _NO_OPTION.items():
        if keyword in kwargs:
            raise OptionError(f"{keyword}= has no counterpart here: {advice}")
    spec, options = _lrp(method, kwargs) if method in _RULES else _other(method, kwargs)
    return calculate_relevancemap(spec, x, model, neuron_selection=neuron_selection, batchmode=batchmode, **options)


def _other(method: str, given: Mapping[str, Any]) -> tuple[MethodSpec, dict[str, Any]]:
    """A method without rules, and its options."""
    if method not in _OTHERS:
        advice = _NO_METHOD.get(method, f"the methods are {', '.join([*_OTHERS, *_RULES])}; other names go to calculate_relevancemap")
        raise MethodNameError(f"method {method!r} has no counterpart in calculate_explanation_innvestigate: {advice}")
    words = _OTHERS[method]
    if method in ("smoothgrad", "vargrad") and "noise_level" not in given:
        raise OptionError(f"{method!r} needs noise_level=, the share of each sample's range; iNNvestigate's noise_scale= is no share")
    options = {keyword: value for keyword, value in given.items() if keyword not in words}
    for theirs, (ours, default) in words.items():
        if theirs in given and theirs != ours and ours in given:
            raise OptionError(f"{theirs}= and {ours}= are one option; give one of them")
        options.setdefault(ours, given.get(theirs, default))
    return parse_method(method), options


def _lrp(method: str, given: Mapping[str, Any]) -> tuple[MethodSpec, dict[str, Any]]:
    """The method's value with the numbers that are given, and the other options."""
    rule, words = _RULES[method]
    options = dict(given)
    if options.pop("bias", True) is not True:
        raise OptionError(f"bias={given['bias']!r} has no counterpart here: a layer's biases are part of its rule; leave it out")
    numbers: dict[str, Any] = dict(_FIXED.get(method, {}))
    for theirs, (ours, default) in words.items():
        numbers[ours] = options.pop(theirs, default)
        if numbers[ours] is None:
            raise OptionError(f"{method!r} needs {theirs}=; give both alpha= and beta=, with alpha - beta = 1")
    numbers = {word: float(value) if isinstance(value, int) and not isinstance(value, bool) else value for word, value in numbers.items()}
    return MethodSpec(_input_word(options), rule, tuple(numbers.items())), options


def _input_word(options: dict[str, Any]) -> str:
    """The input word of ``input_layer_rule``, which is taken out of the options; a pair of bounds becomes ``low`` and ``high``."""
    given = options.pop("input_layer_rule", None)
    if isinstance(given, tuple) and len(given) == 2 and not {"low", "high"} & set(options):
        options["low"], options["high"] = given
        given = "Bounded"
    if not (given is None or isinstance(given, str)) or given not in _INPUT_WORDS:
        allowed = ", ".join(repr(word) for word in _INPUT_WORDS if word)
        raise OptionError(f"input_layer_rule={given!r} is not one of {allowed}, or a pair (low, high)")
    if given == "Bounded" and not {"low", "high"} <= set(options):
        raise OptionError("input_layer_rule='Bounded' needs low= and high=, the smallest and largest value that an input can have")
    if given == "SIGNmu" and "mu" not in options:
        raise OptionError("input_layer_rule='SIGNmu' needs mu=, the threshold; input_layer_rule='SIGN' is that with 0")
    if given != "SIGNmu" and "mu" in options:
        raise OptionError("mu= goes with input_layer_rule='SIGNmu'")
    return _INPUT_WORDS[given]
