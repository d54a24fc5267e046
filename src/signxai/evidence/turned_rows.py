"""Of which samples a method's maps have turned signs, so that evidence judges them upside down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from signxai.evidence.explaining import Explaining
from signxai.methods.turned_signs import OTHER_START, turns_signs
from signxai.names.grammar import MethodSpec

__all__ = ["is_turned", "other_start", "turned_rows", "turns"]


def turns(explaining: Explaining) -> bool:
    """Whether the method turns signs where a logit is below 0."""
    return isinstance(explaining.method, str | MethodSpec) and turns_signs(explaining.method, explaining.started_with)


def other_start(explaining: Explaining) -> str:
    """With which ``relevance=`` the method's signs are right where those of its maps are turned."""
    return OTHER_START[explaining.started_with]


def turned_rows(explaining: Explaining, logits: Tensor) -> npt.NDArray[np.bool_]:
    """Which samples (N,), with these logits, are explained by one below 0 that turns the signs of their map, or those of a part of it."""
    if not turns(explaining):
        return np.zeros(explaining.samples, dtype=bool)
    return np.array([_is_below_zero(explaining, logits, row) for row in range(explaining.samples)])


def is_turned(explaining: Explaining, row: int) -> bool:
    """Whether that holds of one sample."""
    return turns(explaining) and _is_below_zero(explaining, explaining.logits, row)


def _is_below_zero(explaining: Explaining, logits: Tensor, row: int) -> bool:
    own = logits[[row]].detach()
    return bool(((own < 0) & (explaining.target_of(row).initial_relevance(own, "one_hot") != 0)).any())
