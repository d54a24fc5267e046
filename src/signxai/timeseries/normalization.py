"""Leads brought to a common scale for a network, and back to physical units for a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError
from signxai.timeseries.signals import Signal

__all__ = ["Normalization"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Normalization:
    """Each lead less its centre, divided by its scale; `undo` gives back what `apply` took.

    Attributes:
        center: float64 (leads,), in the units of the values.
        scale: float64 (leads,), above 0, in the same units.

    Raises:
        InputError: center and scale are not of one length, not finite, or a scale is not above 0.

    >>> normalization = Normalization.z_score([[1.0, 3.0], [10.0, 30.0]])
    >>> normalization.apply([[1.0, 3.0], [10.0, 30.0]])
    array([[-1.,  1.],
           [-1.,  1.]])
    >>> normalization.undo([[0.0], [0.5]])
    array([[ 2.],
           [25.]])
    """

    center: FloatArray
    scale: FloatArray

    def __post_init__(self) -> None:
        for name in ("center", "scale"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        if self.center.ndim != 1 or self.center.shape != self.scale.shape:
            raise InputError(f"center {self.center.shape} and scale {self.scale.shape}: one number per lead each")
        if not (np.all(np.isfinite(self.center)) and np.all(np.isfinite(self.scale)) and np.all(self.scale > 0)):
            raise InputError(f"center {self.center} and scale {self.scale}: finite numbers, each scale above 0")

    @classmethod
    def z_score(cls, values: Signal | npt.ArrayLike) -> Normalization:
        """Fit mean and standard deviation (of the population) of each lead; gaps (NaN) do not count.

        Args:
            values: a signal, or an array (..., leads, samples) such as windows of it.

        Raises:
            InputError: no such array, or a lead without values or without any movement.
        """
        leads = _by_lead(values)
        return _fitted(cls, np.nanmean(leads, axis=1), np.nanstd(leads, axis=1), leads, values)

    @classmethod
    def robust(cls, values: Signal | npt.ArrayLike) -> Normalization:
        """Fit median and interquartile range of each lead, which a few artefacts do not move; else as `z_score`.

        >>> Normalization.robust([[0.0, 1.0, 2.0, 3.0, 1000.0]])
        Normalization(center=array([2.]), scale=array([2.]))
        """
        leads = _by_lead(values)
        low, middle, high = np.nanquantile(leads, [0.25, 0.5, 0.75], axis=1)
        return _fitted(cls, middle, high - low, leads, values)

    def apply(self, values: Signal | npt.ArrayLike) -> FloatArray:
        """(values - center) / scale for each lead.

        Args:
            values: a signal, or an array (..., leads, samples).

        Returns:
            Array of the same shape, without a unit.

        Raises:
            InputError: no real numbers, or another number of leads.
        """
        array = self._checked(values)
        return (array - self.center[:, None]) / self.scale[:, None]

    def undo(self, values: npt.ArrayLike) -> FloatArray:
        """Values * scale + center for each lead: the inverse of `apply`, back in physical units.

        Raises:
            InputError: no real numbers, or another number of leads.
        """
        return self._checked(values) * self.scale[:, None] + self.center[:, None]

    def _checked(self, values: Signal | npt.ArrayLike) -> FloatArray:
        array = _real(values)
        if array.shape[-2] != len(self.center):
            raise InputError(f"{array.shape[-2]} leads in shape {array.shape}, fitted were {len(self.center)}")
        return array


def _real(values: Signal | npt.ArrayLike) -> FloatArray:
    array = np.asarray(values.values if isinstance(values, Signal) else values)
    if array.ndim < 2 or array.size == 0 or not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"real numbers of shape (..., leads, samples), not {array.dtype} of shape {array.shape}")
    return np.asarray(array, dtype=np.float64)


def _by_lead(values: Signal | npt.ArrayLike) -> FloatArray:
    """All values of each lead, (leads, values)."""
    array = _real(values)
    leads = np.moveaxis(array, -2, 0).reshape(array.shape[-2], -1)
    if np.any(np.isinf(leads)):
        raise InputError("a normalization is fitted on finite values (and NaN, which is left out), not on infinity")
    for index in np.flatnonzero(np.isnan(leads).all(axis=1)):
        raise InputError(f"lead {_name(values, int(index))} has no values to fit a normalization on")
    return leads


def _fitted(
    cls: type[Normalization], center: FloatArray, scale: FloatArray, leads: FloatArray, values: Signal | npt.ArrayLike
) -> Normalization:
    # Rounding leaves a constant lead a little spread: what is below the rounding of the values is none.
    rounding = np.finfo(np.float64).eps * np.nanmax(np.abs(leads), axis=1)
    for index in np.flatnonzero(scale <= 4 * rounding):
        raise InputError(f"lead {_name(values, int(index))} does not move enough to be scaled (flat, or mostly so)")
    return cls(center, scale)


def _name(values: Signal | npt.ArrayLike, index: int) -> str:
    return repr(values.lead_names[index]) if isinstance(values, Signal) else str(index)
