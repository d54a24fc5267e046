"""A decision that runs no point twice, whichever metric asks for it, and for the map of whichever method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signxai.engine.model_view import ModelView
from signxai.evidence.decision import Decision, Predicted, Settings
from signxai.evidence.options import FloatArray
from signxai.evidence.parts import Key

__all__ = ["RememberingDecision"]

_BYTES = 16


class RememberingDecision(Decision):
    """Keeps the score of each point that it has run, by a fingerprint of the point of 128 bits.

    Subsets that are drawn by seed and sample are the same for every method, and so are inputs of which everything is removed, baselines,
    and curves that two metrics have in common.

    Attributes:
        points_asked, points_run: how many points metrics have asked for, and how many the model has seen.
    """

    def __init__(self, view: ModelView, x: Any, target_class: Any, settings: Settings, predicted: Predicted | None = None) -> None:
        super().__init__(view, x, target_class, settings, predicted)
        self._known: dict[tuple[str, int, bytes], float] = {}
        self.points_asked = self.points_run = 0

    def scores(self, rows: Sequence[int], points: Callable[[slice], Mapping[Key, Tensor]], score: str) -> FloatArray:
        step = self.chunk
        found = [
            self._scores_of(points(slice(start, start + step)), rows[start : start + step], score) for start in range(0, len(rows), step)
        ]
        return np.concatenate(found) if found else np.zeros(0)

    def _scores_of(self, made: Mapping[Key, Tensor], rows: Sequence[int], score: str) -> FloatArray:
        names = [(score, row, point) for row, point in zip(rows, _fingerprints(made), strict=True)]
        new = list({name: place for place, name in enumerate(names) if name not in self._known}.values())
        self.points_asked, self.points_run = self.points_asked + len(names), self.points_run + len(new)
        if new:
            chosen = {key: part[torch.tensor(new, device=part.device)] for key, part in made.items()}
            values = super().scores([rows[place] for place in new], lambda part: _cut(chosen, part), score)
            self._known |= zip([names[place] for place in new], values.tolist(), strict=True)
        return np.array([self._known[name] for name in names])


def _fingerprints(made: Mapping[Key, Tensor]) -> list[bytes]:
    """Of each point (n), by the keys of what is another in it, and all its bytes."""
    keys = repr(tuple(made)).encode()
    parts = [part.detach().cpu().contiguous().reshape(len(part), -1).view(torch.uint8).numpy() for part in made.values()]
    return [blake2b(b"".join([keys, *(row.data for row in rows)]), digest_size=_BYTES).digest() for rows in zip(*parts, strict=True)]


def _cut(made: Mapping[Key, Tensor], part: slice) -> dict[Key, Tensor]:
    return {key: values[part] for key, values in made.items()}
