"""What 16 bits cost: values that are far below 1 are rounded to few digits or to nothing, which is told at the end of a run."""

from __future__ import annotations

import numpy as np

from signxai.datasets.store import Store

__all__ = ["lost_in_16_bits"]

_TOO_MUCH = 0.01


def lost_in_16_bits(store: Store) -> list[str]:
    """In a line for each method, and for the inputs, how many maps or inputs have lost more than 1 % of their largest value to rounding."""
    kinds = {f"rounding/{method}": f"maps of {method}" for method in store.methods} | {"rounding/input": "inputs"}
    counts = {what: int(np.sum(store.array(name) > _TOO_MUCH)) for name, what in kinds.items() if name in store}
    return [
        f"16 bits lose more than 1 % of the largest value in {count} {what}; keep 32 bits in another store"
        for what, count in counts.items()
        if count
    ]
