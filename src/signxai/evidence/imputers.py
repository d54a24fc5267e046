"""What stands in the place of what is removed: a constant, a mean, a blur, or what the neighbours say.

An imputer is called with an input (n, ...), a mask that broadcasts to it, True where values are removed, and a seed for each of the n. What
is kept stays bit by bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.common.errors import OptionError
from signxai.evidence.draws import generator
from signxai.evidence.exchange import Exchange, where_removed
from signxai.evidence.neighbours import from_neighbours, on_a_line
from signxai.evidence.options import is_number, one_of, positive
from signxai.evidence.parts import Key, rows_at, stretches

__all__ = [
    "Blur",
    "ChannelsLast",
    "Constant",
    "Function",
    "Imputer",
    "ImputerLike",
    "Interpolation",
    "Mean",
    "NoisyLinear",
    "Prepared",
    "as_imputer",
]

Prepared: TypeAlias = "Callable[[Sequence[int], Tensor], Tensor]"
"""From the rows of samples, one for each point, and the points' masks to the points."""


class Imputer(ABC):
    """Fills in what is removed."""

    takes_ids = False
    """Whether it can fill in token ids."""

    @abstractmethod
    def __call__(self, x: Tensor, removed: Tensor, seeds: Sequence[int]) -> Tensor:
        """Points ``x`` (n, ...) with other values where ``removed``."""

    def prepared(self, x: Tensor, seeds: Sequence[int]) -> Prepared:
        """The same for points that are made of samples ``x``: what all points of a sample share is computed once."""
        return lambda rows, removed: self(rows_at(x, rows), removed, [seeds[row] for row in rows])


class Filled(Imputer):
    """Fills in values that do not depend on what is removed."""

    @abstractmethod
    def values(self, x: Tensor) -> Tensor:
        """What stands where ``x`` (n, ...) is removed, as it broadcasts to it."""

    def __call__(self, x: Tensor, removed: Tensor, seeds: Sequence[int]) -> Tensor:
        return where_removed(removed, self.values(x), x)

    def prepared(self, x: Tensor, seeds: Sequence[int]) -> Prepared:
        exchange = Exchange(self.values(x), x)
        return lambda rows, removed: exchange.at(rows, removed)


@dataclass(frozen=True, eq=False)
class Constant(Filled):
    """A number, or an array as it broadcasts to one sample: a value of each channel (C, 1, 1), an embedding (D,), a token id.

    >>> Constant(-1.0)(torch.zeros(1, 3), torch.tensor([[True, False, True]]), [0]).tolist()
    [[-1.0, 0.0, -1.0]]
    """

    value: float | npt.ArrayLike = 0.0
    takes_ids = True

    def __post_init__(self) -> None:
        value = np.asarray(_on_cpu(self.value))
        if value.dtype.kind in "fc" and not np.isfinite(value).all():
            raise OptionError(f"imputer={self.value!r} holds NaN or infinity; give what may stand in a sample")

    def values(self, x: Tensor) -> Tensor:
        value = torch.as_tensor(np.asarray(_on_cpu(self.value)), device=x.device)
        if not x.is_floating_point() and not torch.equal(value.double(), value.double().round()):
            raise OptionError(f"imputer={self.value!r}: token ids are whole numbers; give the id that stands for nothing, as of padding")
        if value.ndim > x.ndim - 1 or any(
            own not in (1, size) for own, size in zip(reversed(value.shape), reversed(x.shape), strict=False)
        ):
            raise OptionError(f"imputer= is an array of shape {tuple(value.shape)}, which does not fit a sample {tuple(x.shape[1:])}")
        return value.to(x.dtype).reshape(*(1,) * (x.ndim - value.ndim), *value.shape)


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value


@dataclass(frozen=True, eq=False)
class Mean(Filled):
    """Each channel's mean: over the sample, or over data if they are given; of (N, n) the sample's mean, or each value's over the data.

    Attributes:
        data: an array (M, ...) of such inputs; None: the sample itself.
    """

    data: Any = None

    def values(self, x: Tensor) -> Tensor:
        if self.data is None:
            return x.mean(dim=tuple(range(min(2, x.ndim - 1), x.ndim)), keepdim=True)
        data = torch.as_tensor(self.data, dtype=torch.float64)
        if data.shape[1:2] != x.shape[1:2] or data.ndim != x.ndim:
            raise OptionError(f"Mean(data=) has the shape {tuple(data.shape)}; inputs like {tuple(x.shape)} are needed")
        return data.mean(dim=(0, *range(2, x.ndim)), keepdim=True).to(x)


@dataclass(frozen=True)
class Blur(Filled):
    """The sample blurred by a Gaussian along each axis behind the channels, its edge values repeated outside (Petsiuk et al. 2018).

    Attributes:
        sigma: standard deviation in places; the Gaussian is cut off at four of them.

    Raises:
        OptionError: if it is not more than 0.
    """

    sigma: float = 5.0

    def __post_init__(self) -> None:
        positive("Blur(sigma)", self.sigma, "a number of places")

    def values(self, x: Tensor) -> Tensor:
        radius = ceil(4 * self.sigma)
        steps = torch.arange(-radius, radius + 1, dtype=torch.float64)
        weights = torch.exp(-0.5 * (steps / self.sigma) ** 2)
        kernel = (weights / weights.sum()).to(x)[None, None]
        for axis in range(min(2, x.ndim - 1), x.ndim):
            moved = x.movedim(axis, -1)
            lines = F.pad(moved.reshape(-1, 1, moved.shape[-1]), (radius, radius), mode="replicate")
            x = F.conv1d(lines, kernel).reshape(moved.shape).movedim(-1, axis)
        return x


@dataclass(frozen=True)
class NoisyLinear(Imputer):
    """ROAD: each removed value the weighted mean of its neighbours, removed ones among them, plus noise (Rong et al. 2022).

    Neighbours weigh by one over their squared distance, that is 1/6 and 1/12 in a picture and 1/2 in a signal; those outside are left out.
    Where a whole channel is removed, its mean stands there.

    Attributes:
        noise: standard deviation of the normal noise, in units of the input.

    Raises:
        OptionError: if it is no number of at least 0.
    """

    noise: float = 0.01

    def __post_init__(self) -> None:
        if not is_number(self.noise) or not 0 <= self.noise < np.inf:
            raise OptionError(f"NoisyLinear(noise={self.noise!r}): a standard deviation, at least 0")

    def __call__(self, x: Tensor, removed: Tensor, seeds: Sequence[int]) -> Tensor:
        return self._filled(x, removed, ((slice(row, row + 1), self._drawn(seed, x.shape[1:])) for row, seed in enumerate(seeds)))

    def prepared(self, x: Tensor, seeds: Sequence[int]) -> Prepared:
        drawn = lru_cache(maxsize=1)(lambda row: self._drawn(seeds[row], x.shape[1:]).to(x))  # points of a sample follow each other
        return lambda rows, removed: self._filled(rows_at(x, rows), removed, ((where, drawn(row)) for row, where in stretches(rows)))

    def _drawn(self, seed: int, shape: Sequence[int]) -> Tensor:
        return torch.from_numpy(self.noise * generator(0, seed, use=_NOISE).standard_normal(shape))

    def _filled(self, x: Tensor, removed: Tensor, noise: Iterable[tuple[slice, Tensor]]) -> Tensor:
        """Points filled in, with what is drawn for each stretch of them."""
        filled = from_neighbours(x, removed)
        for where, own in noise:
            filled[where] += own.to(filled)
        return where_removed(removed, filled, x)


_NOISE = 1


@dataclass(frozen=True)
class Interpolation(Imputer):
    """A straight line along the last axis between the nearest kept values before and behind; at the ends the one that there is.

    Where all values of a row are removed, their mean stands there.

    >>> Interpolation()(torch.tensor([[1.0, 9.0, 9.0, 4.0]]), torch.tensor([[False, True, True, False]]), [0]).tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """

    def __call__(self, x: Tensor, removed: Tensor, seeds: Sequence[int]) -> Tensor:
        return where_removed(removed, on_a_line(x, removed), x)


@dataclass(frozen=True, eq=False)
class ChannelsLast(Imputer):
    """An imputer for inputs whose channels are their last axis, as Keras has them: it is given them as the first one behind the samples.

    Attributes:
        imputer: a word, an ``Imputer``, or whatever else stands for one.
    """

    imputer: Any

    def __call__(self, x: Tensor, removed: Tensor, seeds: Sequence[int]) -> Tensor:
        filled = as_imputer(self.imputer)(x.movedim(-1, 1), removed.expand(len(x), *removed.shape[1:]).movedim(-1, 1), seeds)
        return filled.movedim(1, -1)


@dataclass(frozen=True)
class Function(Imputer):
    """A user's own: called as ``function(x, removed)`` with tensors (n, ...), it returns the new x; each row by itself."""

    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, removed: Tensor, seeds: Sequence[int]) -> Tensor:
        filled = self.function(x.clone(), removed.expand_as(x))
        if not isinstance(filled, Tensor) or filled.shape != x.shape:
            came = tuple(filled.shape) if isinstance(filled, Tensor) else type(filled).__name__
            raise OptionError(
                f"imputer= returned {came} for points {tuple(x.shape)}; it must return the points with the removed values filled in"
            )
        return torch.where(removed, filled.to(x), x)


ImputerLike: TypeAlias = "str | float | Imputer | npt.ArrayLike | Callable[[Tensor, Tensor], Tensor] | Mapping[Key, Any]"
"""A word ("mean", "blur", "noisy_linear", "interpolation"), an ``Imputer``, a constant, a function, or a dict of them by input."""

_WORDS: dict[str, Imputer] = {"mean": Mean(), "blur": Blur(), "noisy_linear": NoisyLinear(), "interpolation": Interpolation()}


def as_imputer(imputer: Any, ids: bool = False) -> Imputer:
    """An imputer, of whatever stands for one.

    Args:
        imputer: what a user gave.
        ids: it is for token ids.

    Raises:
        OptionError: if it stands for none, or for none that fills in token ids.
    """
    found = _imputer(imputer)
    if ids and not found.takes_ids:
        raise OptionError(
            f"imputer={imputer!r}: token ids are names, of which there is no mean; give the id that stands for nothing: imputer=0"
        )
    return found


def _imputer(imputer: Any) -> Imputer:
    if isinstance(imputer, Imputer):
        return imputer
    if isinstance(imputer, str):
        found: Imputer = one_of("imputer", imputer, _WORDS)
        return found
    if isinstance(imputer, int | float | np.number | np.ndarray | Tensor | list) and not isinstance(imputer, bool):
        return Constant(imputer)
    if callable(imputer):
        return Function(imputer)
    raise OptionError(f"imputer={imputer!r} is none; give one of {', '.join(map(repr, _WORDS))}, a number, an array or a function")
