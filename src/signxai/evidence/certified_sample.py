"""What is certified of one sample."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from signxai.evidence.criteria import CRITERIA

__all__ = ["CertifiedSample", "Check", "Place"]


@dataclass(frozen=True)
class Check:
    """One check of one sample.

    Attributes:
        name: one of ``CRITERIA``.
        value: what was measured; None where nothing can be.
        threshold: the limit that it was compared with.
        passed: whether it passed; None where it says nothing of this map, for the reason that the sentence gives.
        source: where the measure and the limit come from.
        sentence: the result in words.
    """

    name: str
    value: float | None
    threshold: float
    passed: bool | None
    source: str
    sentence: str

    @property
    def limit(self) -> str:
        """The limit in words.

        >>> Check("batch", 0.0, 0.01, True, "", "").limit
        'at most 0.01'
        """
        return f"{CRITERIA[self.name].passes}{self.threshold:g}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; one that is infinite is None."""
        return asdict(self) | {"value": self.value if self.value is not None and math.isfinite(self.value) else None}


@dataclass(frozen=True)
class Place:
    """An operation that absorbs relevance, as shares of what relevance started with.

    Attributes:
        place, operation, rule: of the operation, as in a ``Row`` of ``signxai.inspect_model``.
        by_bias, by_stabilizer, elsewhere: what it absorbed; negative where it added some.
    """

    place: str
    operation: str
    rule: str
    by_bias: float
    by_stabilizer: float
    elsewhere: float

    @property
    def absorbed(self) -> float:
        """All of it."""
        return self.by_bias + self.by_stabilizer + self.elsewhere


@dataclass(frozen=True)
class CertifiedSample:
    """What is certified of one sample.

    Attributes:
        number: of the sample in its batch.
        target: what is explained, in words.
        checks: in the order of ``CRITERIA``; fewer where the work was interrupted.
        signs_turned: whether a logit below 0 turns the signs of the map, or of a part of it, as that of LRP that starts with 1.
        other_start: the ``relevance=`` that puts that right.
        places: the three operations that absorb most, the first most of all; none where there is no account.
    """

    number: int
    target: str
    checks: tuple[Check, ...] = ()
    places: tuple[Place, ...] = ()
    signs_turned: bool = False
    other_start: str = ""

    @property
    def is_partial(self) -> bool:
        """Whether checks are missing, because the work was interrupted."""
        return len(self.checks) < len(CRITERIA)

    def count(self, passed: bool | None) -> int:
        """How many checks passed (True), failed (False), or say nothing of this map (None)."""
        return sum(check.passed is passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers."""
        checks = [check.to_dict() for check in self.checks]
        known = {"sample": self.number, "target": self.target, "is_partial": self.is_partial, "signs_turned": self.signs_turned}
        return {**known, "checks": checks, "places": self._places()}

    def _places(self) -> list[dict[str, Any]]:
        return [asdict(place) for place in self.places]
