"""Which methods give a class with a negative logit a map with turned signs: what speaks for the class looks as if it spoke against it."""

from __future__ import annotations

from signxai.common.errors import MethodNameError
from signxai.methods.explainer import takes
from signxai.names.grammar import MethodSpec, parse_method

__all__ = ["OTHER_START", "start_for", "turns_signs"]

# Their shares have a sign of their own, whatever that of the output that they are shares of.
_KEEP_SIGNS = ("alpha_beta", "zplus", "flat", "wsquare")

_NEVER_TURNED = ("random_uniform", "vargrad")
"""Maps that do not depend on what the network says, and so are multiplied with nothing; variances, which are multiplied with a square."""

_LRP_BY_ANOTHER_NAME = ("deep_taylor",)
"""Methods that are LRP with epsilon at the last layer."""

OTHER_START = {"one_hot": "logit", "logit": "one_hot"}
"""With which ``relevance=`` the signs are right where this one turns them."""


def turns_signs(method: str | MethodSpec, relevance: str) -> bool:
    """Whether a map's signs are those of a negative logit.

    LRP with epsilon or z at the last layer divides by the logit, and so wants to start with it; others have its
    sign if they do.

    Args:
        method: by name; of a name that is none, as that of a method that is not registered here, nothing is known: False.
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
    divides = spec.method in _LRP_BY_ANOTHER_NAME or (spec.rule is not None and spec.rule not in _KEEP_SIGNS)
    return divides if relevance == "one_hot" else not divides and takes(spec, "relevance") and spec.method not in _NEVER_TURNED


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
