"""From what was measured to a check with a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from signxai.evidence.certified_sample import Check
from signxai.evidence.criteria import CRITERIA

__all__ = ["Verdicts"]


@dataclass(frozen=True)
class Verdicts:
    """Judges by limits.

    Attributes:
        thresholds: the limit of each check.
    """

    thresholds: Mapping[str, float]

    def judged(self, name: str, value: float, say: Callable[[bool], str]) -> Check:
        """A value that passes or fails; ``say`` gives the sentence for either."""
        passed = CRITERIA[name].met_by(value, self.thresholds[name])
        return self._check(name, value, passed, say(passed))

    def failed(self, name: str, sentence: str) -> Check:
        """A failure that no number expresses."""
        return self._check(name, None, False, sentence)

    def silent(self, name: str, sentence: str, value: float | None = None) -> Check:
        """A check that says nothing of this map, for this reason."""
        return self._check(name, value, None, sentence)

    def _check(self, name: str, value: float | None, passed: bool | None, sentence: str) -> Check:
        criterion, limit = CRITERIA[name], self.thresholds[name]
        return Check(name, value, limit, passed, criterion.source if limit == criterion.threshold else criterion.source_of_given, sentence)
