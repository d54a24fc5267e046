"""What metrics take beside what they measure: how the model is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from torch import Tensor
from typing_extensions import Unpack

from signxai.common.errors import OptionError

__all__ = ["FloatArray", "RunOptions", "Unpack", "count", "is_number", "one_of", "positive", "share"]

FloatArray = npt.NDArray[np.float64]


class RunOptions(TypedDict, total=False):
    """How the model is run, by keyword.

    Attributes:
        batch_size: most samples in one forward pass; None: at most 256, and so few that a pass has at most about a
            million input values on a CPU, and sixteen million elsewhere.
        seed: seeds every random draw; what is drawn for a sample depends on the seed and on the sample's own values, not on its place.
        output: from what the model returns to the tensor that is explained, as for ``signxai.explain``.
        stochastic: the model draws random numbers: each point is run alone, with those of the seed.
        forward_kwargs: arguments of the model that are passed on.
    """

    batch_size: int | None
    seed: int
    output: Callable[[Any], Tensor] | None
    stochastic: bool
    forward_kwargs: Mapping[str, Any] | None


def count(name: str, value: Any, at_least: int = 1) -> int:
    """Check an option that counts something.

    >>> count("steps", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise OptionError(f"{name}={value!r} must be a whole number of at least {at_least}")
    return int(value)


def is_number(value: Any) -> bool:
    """Whether something is a real number, which truth values and texts are not.

    >>> is_number(0.5), is_number("0.5"), is_number(True)
    (True, False, False)
    """
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def share(name: str, value: Any, of: str) -> float:
    """Check an option that is a share, more than 0 and at most 1.

    >>> share("until", 0.5, "the share of the units that are removed")
    0.5
    """
    if not is_number(value) or not 0 < value <= 1:
        raise OptionError(f"{name}={value!r}: {of}, more than 0 and at most 1")
    return float(value)


def positive(name: str, value: Any, of: str) -> float:
    """Check an option that is a finite number of more than 0.

    >>> positive("radius", 1, "a radius")
    1.0
    """
    if not is_number(value) or not 0 < value < np.inf:
        raise OptionError(f"{name}={value!r}: {of}, more than 0")
    return float(value)


def one_of(name: str, value: Any, allowed: Mapping[str, Any]) -> Any:
    """What a word stands for.

    Raises:
        OptionError: if it is none of those.

    >>> one_of("order", "most", {"most": 1})
    1
    """
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}")
    return allowed[value]
