"""The methods that are compared, and for each with SIGN its twins."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import signxai
from signxai.methods.cam import ZeroMapWarning

Maps: TypeAlias = npt.NDArray[Any]

BASELINE = "random_uniform"
FROM_MEAN = "integrated_gradients, from the mean"

FAMILIES: Mapping[str, Sequence[str]] = {
    "Noise": (BASELINE, "random_uniform_x_input"),
    "Gradient": (
        *("gradient", "gradient_x_input", "gradient_x_sign", "gradient_x_sign_mu_0_5"),
        *("smoothgrad", "smoothgrad_x_input", "smoothgrad_x_sign", "integrated_gradients", FROM_MEAN),
    ),
    "Modified backpropagation": ("guided_backprop", "guided_backprop_x_input", "guided_backprop_x_sign"),
    "Class activation maps": ("grad_cam",),
    "LRP": (
        *("lrp_epsilon_0_1", "lrpsign_epsilon_0_1", "lrp_epsilon_0_25_std_x", "lrpsign_epsilon_0_25_std_x"),
        *("lrpsign_epsilon_0_25_std_x_mu_0_5", "w2lrp_epsilon_0_25_std_x", "flatlrp_epsilon_0_25_std_x"),
        *("lrp_gamma_0_25", "lrpsign_gamma_0_25", "lrp_alpha_2_beta_1", "lrpsign_alpha_2_beta_1"),
        *("lrp_zplus", "lrpsign_zplus", "w2lrp_zplus"),
    ),
}
METHODS = tuple(method for methods in FAMILIES.values() for method in methods)
TARGET = 1


def with_value(method: str) -> str | None:
    """The method that takes the input's value where this one takes its sign about 0; None for all others.

    >>> with_value("lrpsign_zplus"), with_value("gradient_x_sign"), with_value("gradient_x_sign_mu_0_5"), with_value("gradient")
    ('lrp_zplus', 'gradient_x_input', None, None)
    """
    if "_mu_" in method:
        return None
    if method.startswith("lrpsign_"):
        return "lrp_" + method.removeprefix("lrpsign_")
    return method.removesuffix("_x_sign") + "_x_input" if method.endswith("_x_sign") else None


def without_input(method: str) -> str | None:
    """The method that has neither the input's value nor its sign where this one has its sign; None if there is none here.

    For the input layer of LRP that is the rule w-square.

    >>> without_input("smoothgrad_x_sign"), without_input("lrpsign_zplus"), without_input("lrpsign_gamma_0_25")
    ('smoothgrad', 'w2lrp_zplus', None)
    """
    if with_value(method) is None:
        return None
    plain = "w2lrp_" + method.removeprefix("lrpsign_") if method.startswith("lrpsign_") else method.removesuffix("_x_sign")
    return plain if plain in METHODS else None


def explained(network: nn.Module, x: npt.NDArray[np.float32], mean: float, seed: int, methods: Sequence[str] = METHODS) -> dict[str, Maps]:
    """The maps of each method, of the class with the cause.

    Args:
        network, x: what is explained.
        mean: of the inputs of the training, from which integrated gradients begin a second time.
        seed: of the methods that draw.
        methods: which.
    """
    inputs = torch.from_numpy(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroMapWarning)  # such maps are counted
        named = [method for method in methods if method != FROM_MEAN]
        found = signxai.explain_all(network, inputs, named, TARGET, seed=seed)
    if FROM_MEAN in methods:
        found[FROM_MEAN] = signxai.explain(network, inputs, "integrated_gradients", TARGET, baseline=mean)
    return {method: found[method] for method in methods}
