"""The methods that are compared, and what their names say about the input's part in their maps."""

from __future__ import annotations

from collections.abc import Sequence

BASELINE = "random_uniform"

_NOISE = (BASELINE, "random_uniform_x_input", "random_uniform_x_sign")
_GRADIENTS = ("gradient", "gradient_x_input", "gradient_x_sign", "smoothgrad", "smoothgrad_x_input", "smoothgrad_x_sign")
_GUIDED = ("guided_backprop", "guided_backprop_x_input", "guided_backprop_x_sign")
_LRP = (
    *("lrp_epsilon_0_25_std_x", "lrpsign_epsilon_0_25_std_x", "w2lrp_epsilon_0_25_std_x"),
    *("lrp_gamma_0_25", "lrpsign_gamma_0_25"),
    *("lrp_alpha_1_beta_0", "lrpsign_alpha_1_beta_0", "w2lrp_alpha_1_beta_0"),
    *("lrp_alpha_2_beta_1", "lrpsign_alpha_2_beta_1"),
    *("lrp_sequential_composite_a", "lrpsign_sequential_composite_a"),
)

OF_BEATS = (*_NOISE, *_GRADIENTS, "integrated_gradients", *_GUIDED, "deconvnet", "grad_cam_timeseries", *_LRP, "lrp_epsilon_gamma_box")
OF_PHOTOS = (*_NOISE, *_GRADIENTS, "integrated_gradients", *_GUIDED, "deconvnet", "grad_cam", *_LRP, "lrp_epsilon_plus_flat")


def factor(method: str) -> str:
    """How the input enters a map as a factor: with its "value", with its "sign" (SIGN), or not ("none").

    >>> [factor(method) for method in ("lrp_gamma_0_25", "lrpsign_gamma_0_25", "lrp_epsilon_plus_flat", "gradient_x_input", "gradient")]
    ['value', 'sign', 'none', 'value', 'none']
    """
    if method.startswith("lrpsign_") or method.endswith("_x_sign"):
        return "sign"
    of_value = method.startswith("lrp_") and not method.endswith(("_flat", "_box"))
    return "value" if of_value or method.endswith("_x_input") or method == "integrated_gradients" else "none"


def with_value(method: str) -> str:
    """The twin of a method with SIGN that takes the input's value.

    >>> with_value("lrpsign_gamma_0_25"), with_value("gradient_x_sign")
    ('lrp_gamma_0_25', 'gradient_x_input')
    """
    return method.replace("lrpsign_", "lrp_").replace("_x_sign", "_x_input")


def with_neither(method: str) -> str:
    """The twin of a method with SIGN that takes neither: the plain map, or LRP with w-square as the rule of the input.

    >>> with_neither("lrpsign_gamma_0_25"), with_neither("gradient_x_sign")
    ('w2lrp_gamma_0_25', 'gradient')
    """
    return method.replace("lrpsign_", "w2lrp_").removesuffix("_x_sign")


def twins(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Each method with SIGN and its twins, with the value and with neither, that are among the methods.

    >>> twins(["gradient", "gradient_x_input", "gradient_x_sign", "lrpsign_z"])
    [('gradient_x_sign', 'gradient_x_input'), ('gradient_x_sign', 'gradient')]
    """
    signs = [method for method in methods if factor(method) == "sign"]
    return [(method, twin) for of in (with_value, with_neither) for method in signs if (twin := of(method)) in methods]


def points_of(methods: Sequence[str], points: int) -> dict[str, int]:
    """The options by which the methods that explain several points take so many of them.

    >>> points_of(["gradient", "smoothgrad_x_sign"], 20)
    {'num_samples': 20}
    """
    takers = {"num_samples": "smoothgrad", "steps": "integrated_gradients"}
    return {option: points for option, word in takers.items() if any(method.startswith(word) for method in methods)}
