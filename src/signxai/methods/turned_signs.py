"""Which methods give a class with a negative logit a map with turned signs: what speaks for the class looks as if it spoke against it."""

from __future__ import annotations

from signxai.common.errors import MethodNameError
from signxai.names.catalog import current
from signxai.names.grammar import MethodSpec, parse_method

__all__ = ["OTHER_START", "keeps_behind_convolution", "start_for", "turns_signs"]

_DIVIDING = ("z", "epsilon", "epsilon_std_x", "gamma", "zbox", "sign")
"""Rules whose shares are divided by the output that they are shares of, with its sign; those of other rules have signs of their own."""

_OF_GRADIENTS = (
    *("gradient", "input_t_gradient", "integrated_gradients", "smoothgrad", "guided_backprop", "deconvnet"),
    *("grad_cam", "grad_cam_timeseries", "guided_grad_cam"),
)
"""Methods whose maps have the sign of what they start with."""

_KEEPING = ("alpha_beta", "zplus", "flat", "wsquare")

_LRP_BY_ANOTHER_NAME = ("deep_taylor",)
"""Methods that are LRP with epsilon at the last layer."""

OTHER_START = {"one_hot": "logit", "logit": "one_hot"}
"""With which ``relevance=`` the signs are right where this one turns them."""


def turns_signs(method: str | MethodSpec, relevance: str) -> bool:
    """Whether a map's signs are those of a negative logit.

    LRP with epsilon or z at the last layer divides by the logit, and so wants to start with it; others have its
    sign if they do.

    Args:
        method: by name; of a name that is none, and of methods and rules that were registered from outside, nothing is known: False. By a
            composite signs are turned where the network ends in a fully connected layer; see `keeps_behind_convolution`.
        relevance: what it starts with, "one_hot" or "logit".

    >>> turns_signs("lrp_epsilon_0_1", "one_hot"), turns_signs("lrp_epsilon_0_1", "logit"), turns_signs("gradient", "one_hot")
    (True, False, False)
    >>> turns_signs("gradient", "logit"), turns_signs("vargrad", "logit")
    (True, False)
    """
    try:
        spec = parse_method(method) if isinstance(method, str) else method
    except MethodNameError:
        return False
    if spec.rule is None and spec.method not in _LRP_BY_ANOTHER_NAME:
        return relevance == "logit" and spec.method in _OF_GRADIENTS
    rule = _rule_of_linear(spec)
    if rule not in _DIVIDING and rule not in _KEEPING:
        return False
    return (rule in _DIVIDING) == (relevance == "one_hot")


def keeps_behind_convolution(method: str | MethodSpec) -> bool:
    """Whether signs that a method turns are right where the network ends in a convolution: a composite has another rule for these.

    >>> keeps_behind_convolution("lrp_sequential_composite_a"), keeps_behind_convolution("lrp_epsilon_0_1")
    (True, False)
    """
    try:
        spec = parse_method(method) if isinstance(method, str) else method
    except MethodNameError:
        return False
    composite = current().composites.get(spec.rule or "")
    return composite is not None and composite.linear.rule in _DIVIDING and composite.convolution.rule in _KEEPING


def _rule_of_linear(spec: MethodSpec) -> str:
    """The rule of a network's last layer, if that is fully connected and not the first one, too."""
    if spec.rule is None:
        return "epsilon"
    composite = current().composites.get(spec.rule)
    return spec.rule if composite is None else composite.linear.rule


def start_for(method: str | MethodSpec, relevance: str | None, compares: bool) -> str:
    """What relevance starts with where a user may leave it open.

    One class rather than another is the difference of their logits: LRP that divides by a logit has to start with the logits for that.
    Other methods start with 1 and -1, as they would be multiplied with the logits.

    Args:
        method: by name.
        relevance: what the user said; None: nothing.
        compares: whether one class is explained rather than another.

    >>> [start_for(name, None, compares=True) for name in ("lrp_epsilon_0_1", "gradient", "lrp_alpha_1_beta_0")]
    ['logit', 'one_hot', 'one_hot']
    >>> start_for("lrp_epsilon_0_1", None, compares=False), start_for("lrp_epsilon_0_1", "one_hot", compares=True)
    ('one_hot', 'one_hot')
    """
    if relevance is not None:
        return relevance
    return OTHER_START["one_hot"] if compares and turns_signs(method, "one_hot") else "one_hot"
