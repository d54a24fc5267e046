"""What a network said of one entry when a run began, by which another network, or another preprocessing, is told from it later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signxai.common.errors import StoreError
from signxai.datasets.fingerprints import spread

__all__ = ["Probe", "refuse_other_network"]

_TOLERANCE = 1e-3
"""Of the largest logit: what another device or another number of threads rounds otherwise is less."""
_KEPT = 1024


@dataclass(frozen=True)
class Probe:
    """The logits of one entry.

    Attributes:
        entry: its index.
        classes: how many logits there are.
        logits: those of all classes; of more than 1024, of so many from the first to the last.
        tolerance: so far may they differ from those of the same network, as a share of the largest.
    """

    entry: int
    classes: int
    logits: tuple[float, ...]
    tolerance: float = _TOLERANCE

    @classmethod
    def of(cls, entry: int, logits: Tensor) -> Probe:
        """The probe of an entry and its logits (classes,)."""
        tolerance = max(_TOLERANCE, 4 * torch.finfo(logits.dtype).eps)  # of 8 significant bits more is rounded
        return cls(entry, len(logits), tuple(logits[spread(len(logits), _KEPT)].double().tolist()), tolerance)

    def kept(self) -> dict[str, Any]:
        """As JSON has it.

        >>> Probe.read(Path("maps.zarr"), Probe(3, 2, (0.5, -1.0)).kept(), count=4) == Probe(3, 2, (0.5, -1.0))
        True
        """
        return asdict(self) | {"logits": list(self.logits)}

    @classmethod
    def read(cls, path: Path, content: Any, count: int) -> Probe:
        """The probe that ``kept`` made this of.

        Args:
            path: of the store.
            content: what it says of its probe.
            count: entries of the data set.

        Raises:
            StoreError: ``kept`` made no probe of this.
        """
        try:
            entry, classes = range(count)[content["entry"]], index(content["classes"])
            return cls(entry, classes, tuple(float(logit) for logit in content["logits"]), float(content["tolerance"]))
        except (LookupError, TypeError, ValueError) as error:
            raise StoreError(
                f"{path}: says of its probe {content!s:.40}, which no run writes; it is broken: name another place, or remove it"
            ) from error

    def is_other(self, now: Probe) -> bool:
        """Whether the logits are not those of the same network."""
        if (self.classes, len(self.logits)) != (now.classes, len(now.logits)):
            return True
        then, values = np.array(self.logits), np.array(now.logits)
        return bool(np.abs(then - values).max() > self.tolerance * max(np.abs(then).max(), np.abs(values).max()))

    def __str__(self) -> str:
        more = ", ..." if self.classes > 3 else ""
        return ", ".join(f"{logit:.4g}" for logit in self.logits[:3]) + more


def refuse_other_network(path: Path, then: Probe, key: str, ask: Callable[[], Probe]) -> None:
    """Raise if a network says something else of an entry than that of the run that began the store.

    Where it says something else each time it is asked, as it draws beside the seed, nothing can be told.

    Args:
        path: of the store.
        then: what was said.
        key: what the entry is called.
        ask: reads the entry, and asks the network.

    Raises:
        StoreError: it does.
    """
    now = ask()
    if then.is_other(now) and not now.is_other(ask()):
        raise StoreError(
            f"{path}: the network (or its preprocessing) gives other logits for {key!r}: they were {then}, and are {now}; name another "
            "store, or repeat that run"
        )
