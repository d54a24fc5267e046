"""The colour scale of signed relevance, the same for every figure: symmetric about 0, and labelled."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize

from signxai.common.errors import OptionError
from signxai.common.visualization import FloatArray, require_finite
from signxai.methods.sign_words import ends, sides_of

__all__ = [
    "TEXT_SIZE",
    "beyond",
    "label_bar",
    "meaning",
    "number_bar",
    "relevance_norm",
]

TEXT_SIZE = 9.0  # points, 72 to the inch


def relevance_norm(relevance: FloatArray, limit: float | None, percentile: float) -> Normalize:
    """The scale from -limit to limit; without a limit, to that percentile of |R|, or to their maximum if that is 0.

    Raises:
        InputError: NaN or infinity among the relevance.
        OptionError: a limit that is not positive, or a percentile outside [0, 100].

    >>> relevance_norm(np.array([0.5, -2.0]), limit=None, percentile=100).vmin
    -2.0
    """
    if not 0 <= percentile <= 100:
        raise OptionError(f"percentile={percentile}: it must lie in [0, 100]")
    if limit is not None and not 0 < limit < math.inf:
        raise OptionError(f"limit={limit}: it must be positive and finite")
    require_finite(relevance)
    strength = np.abs(relevance)
    end = limit or float(np.percentile(strength, percentile)) or float(strength.max()) or 1.0
    return Normalize(-end, end)


def beyond(relevance: FloatArray, norm: Normalize) -> str:
    """Whether the scale's ends stand for more than their value, in matplotlib's words; always both, so that 0 is in the middle."""
    return "both" if np.abs(relevance).max() > _end(norm) else "neither"


def label_bar(bar: Colorbar, relevance: FloatArray, norm: Normalize, is_turned: bool | Sequence[bool] = False, method: str = "") -> None:
    """Ticks at the ends, at 0 and halfway between, and what the colours mean; of the map, or of each, whether its signs are turned."""
    number_bar(bar, norm)
    bar.set_label(meaning(relevance, is_turned, method), fontsize=TEXT_SIZE)
    bar.ax.tick_params(labelsize=TEXT_SIZE)


def meaning(relevance: FloatArray, is_turned: bool | Sequence[bool] = False, method: str = "") -> str:
    """What the colours of relevance by a method mean; "": of one that is not known."""
    if not relevance.any():
        return f"{sides_of(method).what} (0 everywhere)"
    turned = [is_turned] if isinstance(is_turned, bool) else is_turned
    return ends(turned, [method] * len(turned))


def number_bar(bar: Colorbar, norm: Normalize, shares: Sequence[float] = (-1, -0.5, 0, 0.5, 1)) -> None:
    """Ticks at shares of the end."""
    end = _end(norm)
    bar.set_ticks([share * end for share in shares], labels=[_short(share * end) for share in shares])


def _end(norm: Normalize) -> float:
    assert norm.vmax is not None
    return norm.vmax


def _short(value: float) -> str:
    """Two digits, in the form that is easiest to read.

    >>> [_short(value) for value in (-3841.0, 0.12345, 0.0, 1.26e-7)]
    ['-3800', '0.12', '0', '1.3e-07']
    """
    return f"{float(f'{value:.2g}'):g}"
