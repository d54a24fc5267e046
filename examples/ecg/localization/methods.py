"""The methods that are compared, and what their names say about the input's part in their maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FAMILIES: Mapping[str, Sequence[str]] = {
    "Noise": ("random_uniform", "random_uniform_x_input", "random_uniform_x_sign"),
    "Gradient": (
        *("gradient", "gradient_x_input", "gradient_x_sign", "smoothgrad", "smoothgrad_x_input", "smoothgrad_x_sign"),
        *("vargrad", "integrated_gradients"),
    ),
    "Modified backpropagation": (
        *("guided_backprop", "guided_backprop_x_input", "guided_backprop_x_sign"),
        *("deconvnet", "deconvnet_x_input", "deconvnet_x_sign"),
    ),
    "Class activation maps": ("grad_cam_timeseries", "guided_grad_cam"),
    "LRP, one rule": (
        *("lrp_z", "lrpsign_z", "lrp_epsilon_0_25_std_x", "lrpsign_epsilon_0_25_std_x"),
        *("lrp_gamma_0_25", "lrpsign_gamma_0_25", "lrp_alpha_1_beta_0", "lrpsign_alpha_1_beta_0"),
        *("lrp_alpha_2_beta_1", "lrpsign_alpha_2_beta_1", "deep_taylor"),
    ),
    "LRP, other input rules": ("w2lrp_alpha_1_beta_0", "flatlrp_alpha_1_beta_0", "zblrp_alpha_1_beta_0"),
    "LRP, composites": (
        *("lrp_sequential_composite_a", "lrpsign_sequential_composite_a", "lrp_sequential_composite_b", "lrpsign_sequential_composite_b"),
        *("lrp_epsilon_plus_flat", "lrp_epsilon_alpha2_beta1_flat", "lrp_epsilon_gamma_box"),
    ),
}
"""lrp_zplus is lrp_alpha_1_beta_0, and so not among them."""

METHODS = tuple(method for methods in FAMILIES.values() for method in methods)
FAMILY_OF = {method: family for family, methods in FAMILIES.items() for method in methods}
REFERENCE = "gradient"

NOISE = {"value": "random_uniform_x_input", "sign": "random_uniform_x_sign", "none": "random_uniform"}
"""The noise that has the same factor as a map."""


def factor(method: str) -> str:
    """How the input enters a map as a factor: with its "value", with its "sign" (SIGN), or not ("none").

    The first layer's rule decides for LRP; flat, w-square and zbox give an input of zero relevance too.

    >>> [factor(method) for method in ("lrp_z", "lrpsign_z", "flatlrp_z", "lrp_epsilon_plus_flat", "gradient_x_input")]
    ['value', 'sign', 'none', 'none', 'value']
    """
    if method.startswith("lrpsign_") or method.endswith("_x_sign"):
        return "sign"
    of_value = method.startswith("lrp_") and not method.endswith(("_flat", "_box"))
    return "value" if of_value or method.endswith("_x_input") or method in ("integrated_gradients", "deep_taylor") else "none"


def without_sign(method: str) -> str | None:
    """The method that takes the input's value where this one takes its sign; None for a method without SIGN.

    >>> without_sign("lrpsign_z"), without_sign("gradient_x_sign"), without_sign("gradient")
    ('lrp_z', 'gradient_x_input', None)
    """
    if method.startswith("lrpsign_"):
        return "lrp_" + method.removeprefix("lrpsign_")
    return method.removesuffix("_x_sign") + "_x_input" if method.endswith("_x_sign") else None


def with_references(chosen: Sequence[str]) -> list[str]:
    """The chosen methods with those that they are held against, in the order of the families.

    >>> with_references(["lrp_z"])
    ['random_uniform', 'random_uniform_x_input', 'random_uniform_x_sign', 'gradient', 'lrp_z']
    """
    return [method for method in METHODS if method in {*NOISE.values(), REFERENCE, *chosen}]
