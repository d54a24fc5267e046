"""What the numbers of a method's maps are, and so what their signs say: shares speak for and against, slopes say what larger values do."""

from __future__ import annotations

from collections import Counter
from enum import Enum

from signxai.common.errors import MethodNameError
from signxai.names.grammar import MethodSpec, Multiplier, parse_method

__all__ = ["Numbers", "numbers_of"]


class Numbers(Enum):
    """What the numbers of a map are."""

    SHARE = "share"
    """Of the score, or a slope times what it is the slope by, or its sign: above 0 speaks for what is explained, below 0 against it."""
    SLOPE = "slope"
    """How much the score rises with a value: above 0 a larger value raises it, below 0 lowers it, wherever the value lies itself."""
    CUT_SLOPE = "cut slope"
    """The same along the paths that the ReLUs let through."""
    VARIANCE = "variance"
    """How much a slope varies: never below 0."""
    RANDOM = "random"
    """They say nothing."""
    PRODUCT = "product"
    """Such numbers times an input, or its sign, which do not make a share of them: the sign speaks of both."""


_OF_METHODS = {
    "gradient": Numbers.SLOPE,
    "smoothgrad": Numbers.SLOPE,  # the mean of slopes
    "vargrad": Numbers.VARIANCE,
    "guided_backprop": Numbers.CUT_SLOPE,
    "deconvnet": Numbers.CUT_SLOPE,
    "guided_grad_cam": Numbers.CUT_SLOPE,  # weighted with Grad-CAM, which is never below 0
    "input_t_gradient": Numbers.SHARE,
    "integrated_gradients": Numbers.SHARE,
    "grad_cam": Numbers.SHARE,  # what speaks against the class is cut off
    "grad_cam_timeseries": Numbers.SHARE,
    "deep_taylor": Numbers.SHARE,
    "random_uniform": Numbers.RANDOM,
}
"""Of each method word that stands alone. LRP is shares under every rule: those of zplus are negative at most where sums and products share
out by sign."""


def numbers_of(method: str | MethodSpec) -> Numbers | None:
    """What the numbers of a method's maps are.

    Args:
        method: by name; of a name that is none, and of a method that was registered from outside, nothing is known: None.

    >>> [numbers_of(name).value for name in ("gradient", "gradient_x_input", "lrp_z", "vargrad")]
    ['slope', 'share', 'share', 'variance']
    >>> numbers_of("gradient_x_input_x_sign").value, numbers_of("lrp_z_x_sign").value, numbers_of("mine")
    ('slope', 'product', None)
    """
    try:
        spec = parse_method(method) if isinstance(method, str) else method
    except MethodNameError:
        return None
    alone = Numbers.SHARE if spec.rule is not None else _OF_METHODS.get(spec.method)
    return None if alone is None else _multiplied(alone, spec.multipliers)


def _multiplied(alone: Numbers, multipliers: tuple[Multiplier, ...]) -> Numbers:
    """What numbers become that are multiplied with the input or its sign: twice with the same sign leaves the signs as they were."""
    counts = Counter(0.0 if one.kind == "input" else one.mu for one in multipliers)
    left = sum(count % 2 for count in counts.values())
    if alone is Numbers.RANDOM or not left:
        return alone
    return Numbers.SHARE if alone in (Numbers.SLOPE, Numbers.CUT_SLOPE) and left == 1 else Numbers.PRODUCT
