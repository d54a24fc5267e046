"""Heart beats, annotated or detected: where they are, what they were called, and their class by the standard ANSI/AAMI EC57."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError

__all__ = ["AAMI_CLASSES", "UNCLASSIFIED", "Beats"]

IntArray = npt.NDArray[np.int64]

_SYMBOLS_OF = {
    "N": "NLRBejn",  # normal, bundle branch block, escape from atrium or node
    "S": "AaJS",  # supraventricular: premature from atrium or node
    "V": "VEr",  # ventricular: premature, escape, R on T
    "F": "F",  # fusion of ventricular and normal
    "Q": "/fQ?",  # paced, fusion of paced and normal, unclassifiable
}

AAMI_CLASSES = MappingProxyType({symbol: name for name, symbols in _SYMBOLS_OF.items() for symbol in symbols})
"""The AAMI class N, S, V, F or Q of each beat symbol of WFDB; symbols that stand for no beat are not in it."""


UNCLASSIFIED = "?"
"""The symbol of a beat of which nobody said what it is."""

_ORIGINS = ("annotated", "given", "detected")


@dataclass(frozen=True, eq=False)
class Beats:
    """Beats of a signal, in the order of time.

    Their classes are those of ANSI/AAMI EC57 as de Chazal et al. (2004, IEEE Trans. Biomed. Eng. 51(7), table II) read it and
    the inter-patient literature after them: escape beats from atrium or node (e, j) count as N.

    Attributes:
        positions: sample of each beat's annotation (as a rule its R peak), integers (beats,), not falling.
        symbols: each beat's symbol in WFDB's annotations, such as N, L, V or A; "?" where nobody said what it is.
        origin: who says so: "annotated" in the recording, "given" by the user, or "detected" by a program.

    Raises:
        InputError: another number of positions than symbols, positions that are no whole numbers >= 0 or that fall, a
            symbol that stands for no beat, or an unknown origin.

    >>> beats = Beats([18, 300, 700], "NVA")
    >>> beats.classes
    ('N', 'V', 'S')
    >>> beats.select([1]).positions
    array([300])
    """

    positions: IntArray
    symbols: Sequence[str]
    origin: str = "annotated"

    def __post_init__(self) -> None:
        positions = np.asarray(self.positions)
        if positions.size and not np.issubdtype(positions.dtype, np.integer):
            raise InputError(f"positions of beats are whole numbers of samples, not {positions.dtype}")
        object.__setattr__(self, "positions", np.array(positions, dtype=np.int64))
        object.__setattr__(self, "symbols", tuple(self.symbols))
        self._check()

    def _check(self) -> None:
        if self.positions.shape != (len(self.symbols),):
            raise InputError(f"{len(self.symbols)} symbols for positions of shape {self.positions.shape}; each beat has one of both")
        if np.any(np.diff(self.positions, prepend=0) < 0):
            raise InputError("positions of beats are samples from 0 on, in the order of time")
        if unknown := sorted(set(self.symbols) - AAMI_CLASSES.keys()):
            raise InputError(f"{', '.join(map(repr, unknown))} stands for no beat; symbols of beats: {' '.join(AAMI_CLASSES)}")
        if self.origin not in _ORIGINS:
            raise InputError(f"origin={self.origin!r}: beats are one of {', '.join(_ORIGINS)}")

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def classes(self) -> tuple[str, ...]:
        """Each beat's AAMI class: N, S, V, F or Q."""
        return tuple(AAMI_CLASSES[symbol] for symbol in self.symbols)

    def select(self, chosen: npt.ArrayLike) -> Beats:
        """The beats that the indices, or the mask of booleans, choose."""
        indices = np.arange(len(self))[np.asarray(chosen, dtype=None if np.size(chosen) else np.int64)]
        return replace(self, positions=self.positions[indices], symbols=tuple(self.symbols[index] for index in indices))

    def within(self, start: int, end: int) -> Beats:
        """The beats at samples start <= position < end, counted from start.

        >>> Beats([18, 300, 700], "NVA").within(300, 700).positions
        array([0])
        """
        inside = self.select((self.positions >= start) & (self.positions < end))
        return replace(inside, positions=inside.positions - start)
