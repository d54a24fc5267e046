"""What is followed of a decision while its input changes: the target's logit, its probability, or whether it is still decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from signxai.common.errors import OptionError
from signxai.engine.targets import Target
from signxai.evidence.options import FloatArray, one_of

__all__ = ["SCORES", "Scoring"]

SCORES = {
    "logit": "the target's logit, or the score of a target that is a function: what maps explain, and the default",
    "probability": (
        "its probability, by the activation that the network ends in, along its axis; where it ends in none, softmax along axis 1 (of "
        "outputs of token ids the last axis), or sigmoid for one output"
    ),
    "change": "the logit less that of the sample as it is",
    "decision": "1 where the target is still the largest logit (one output: where it has still the same sign), else 0",
}


class Decided(Protocol):
    """What is known of the samples."""

    activation: str | None
    class_axis: int | None
    target: Target | None

    @property
    def logits(self) -> Tensor:
        """Theirs."""

    def target_of(self, rows: Sequence[int]) -> Target:
        """Their targets."""


class Scoring:
    """Gives one number for each point.

    Args:
        score: which one, of ``SCORES``.
        decided: the samples.

    Raises:
        OptionError: if there is none such, or none for a target that is a function.
    """

    def __init__(self, score: str, decided: Decided) -> None:
        one_of("score", score, SCORES)
        if score in ("probability", "decision") and decided.target is None:
            raise OptionError(f"score={score!r} needs a class as the target, and here it is a function; take score='logit'")
        self.score, self.decided = score, decided

    def of(self, logits: Tensor, rows: Sequence[int]) -> FloatArray:
        """The scores of points (n,) by their logits and the sample of each."""
        values = {"probability": self._probability, "decision": self._decision}.get(self.score, self._logit)(logits, rows)
        array: FloatArray = values.double().cpu().numpy()
        if self.score == "change":
            return np.asarray(array - self._logit(self.decided.logits, range(len(self.decided.logits))).double().cpu().numpy()[list(rows)])
        return array

    def _logit(self, logits: Tensor, rows: Sequence[int]) -> Tensor:
        if self.decided.target is not None:
            return self.decided.target_of(rows).scores(logits)
        return torch.cat([self.decided.target_of([row]).scores(logits[place : place + 1]) for place, row in enumerate(rows)])

    def _probability(self, logits: Tensor, rows: Sequence[int]) -> Tensor:
        """In double precision: the rest of a large one is small."""
        return self.decided.target_of(rows).scores(self._probabilities(logits.double()))

    def _probabilities(self, logits: Tensor) -> Tensor:
        activation, axis = self.decided.activation, self.decided.class_axis
        is_single = logits.ndim < 2 or logits[0].numel() == 1
        if is_single or activation == "sigmoid":
            return logits.sigmoid()
        if axis is None:
            raise OptionError(
                "score='probability' needs to know along which axis the classes lie, and the network ends in a softmax along several; take "
                "score='logit'"
            )
        return logits.sigmoid() if activation is None and logits.shape[axis] == 1 else logits.softmax(axis)

    def _decision(self, logits: Tensor, rows: Sequence[int]) -> Tensor:
        own = self._logit(logits, rows)
        if logits.ndim < 2 or logits[0].numel() == 1:
            before = self.decided.logits.flatten()[torch.tensor(list(rows), device=logits.device)]
            return (own > 0) == (before > 0)
        if logits.ndim > 2:
            raise OptionError(f"score='decision' needs outputs (N, classes), and these are {tuple(logits.shape)}; take score='logit'")
        return own >= logits.amax(dim=1)
