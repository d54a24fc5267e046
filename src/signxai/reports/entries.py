"""What a report says of each entry beside its maps, read from a store batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import StoreError
from signxai.datasets.parts import parts_of
from signxai.datasets.store import Store

__all__ = ["Classes", "EntryTable", "blocks"]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

_AT_ONCE = 48
_TOP = 5


def blocks(rows: Rows, batch_size: int) -> Iterator[slice]:
    """Places in ``rows`` of which each slice lies in chunks of its own, as many as make a sheet of thumbnails, or one that is larger.

    >>> list(blocks(np.array([0, 1, 40, 70]), 16))
    [slice(0, 3, None), slice(3, 4, None)]
    """
    size = batch_size * max(1, _AT_ONCE // batch_size)
    edges = np.flatnonzero(np.diff(rows // size)) + 1
    bounds = [0, *edges.tolist(), len(rows)]
    return (slice(start, stop) for start, stop in pairwise(bounds))


@dataclass(frozen=True)
class Classes:
    """What classes are called.

    Attributes:
        names: by number; empty: they are numbered.
        count: how many logits the model has.
    """

    names: Sequence[str]
    count: int

    @property
    def is_one_logit(self) -> bool:
        """Whether there is a single logit, of which no class is the largest: nothing is predicted, and nothing is right or wrong."""
        return self.count == 1

    def explained(self, number: int) -> str:
        """What an explained class is called; the only logit of a model is none of two classes.

        >>> Classes(["no", "yes"], 1).explained(0), Classes(["no", "yes"], 2).explained(0), Classes([], 1).explained(0)
        ('the logit (no or yes)', 'no', 'the logit')
        """
        if not self.is_one_logit or len(self.names) == 1 or number < 0:
            return self.name(number)
        return f"the logit ({' or '.join(map(str, self.names))})" if self.names else "the logit"

    def name(self, number: int) -> str:
        """What a class is called; of none, a dash.

        >>> Classes(["cat"], 2).name(0), Classes(["cat"], 2).name(1), Classes([], 2).name(-1)
        ('cat', 'class 1', '–')
        """
        if number < 0:
            return "–"
        return str(self.names[number]) if number < len(self.names) else f"class {number}"


@dataclass(frozen=True, eq=False)
class EntryTable:
    """The entries that were explained, one in each row (n).

    Attributes:
        rows: their indices in the store.
        keys: what they are called.
        labels: what they are labelled as, in words, "" where nobody says; None: of none.
        label_classes: the same as classes; -1: nobody says, or no class of the model; None: nobody says which class a label is, or the
            network has one logit, which predicts none of several.
        groups: what they belong to; None: nobody says.
        targets: the class that was explained.
        predicted: the class of the largest logit; -1: logits that are not finite, or a model of one logit.
        explained: the logit of the target.
        top: the classes of the five largest logits (n, 5), these logits, and the softmax of all logits at them.
        ledgers: by the name of an array, such as ``absorbed/lrp_z``, its numbers (n,).
        classes: what classes are called.
    """

    rows: Rows
    keys: list[str]
    labels: list[str] | None
    label_classes: Rows | None
    groups: list[str] | None
    targets: Rows
    predicted: Rows
    explained: Array
    top: tuple[Array, Array, Array]
    ledgers: dict[str, Array]
    classes: Classes

    @cached_property
    def is_right(self) -> Array | None:
        """Of each entry 1: predicted as labelled, 0: not, -1: it has no label; None: nobody says which class a label is, or the model has
        one logit."""
        if self.labels is None or self.label_classes is None or self.classes.is_one_logit:
            return None
        has_label = np.array([bool(label) for label in self.labels])
        return np.where(has_label, (self.predicted == self.label_classes).astype(int), -1)

    def ledger(self, kind: str, method: str) -> Array | None:
        """A sum of each map, such as ``absorbed``; None where the store has none."""
        return self.ledgers.get(f"{kind}/{method}")

    @classmethod
    def read(cls, store: Store, methods: Sequence[str], batch_size: int) -> EntryTable:
        """Of a store.

        Raises:
            StoreError: not one entry was explained.
        """
        rows = store.rows()
        if not len(rows):
            failed = f"; the first that failed: {store.failed[0].reason}" if store.failed else ""
            raise StoreError(f"{store.path}: not one entry is explained, so there is nothing to report{failed}")
        predicted, top, count = _predictions(store, rows, batch_size)
        classes = Classes(store.class_names, count)
        labels, label_classes = _labels(store, rows, classes)
        names = [f"{kind}/{method}" for kind in ("sum", "absorbed", "rounding") for method in methods]
        names += [f"sum_by_input/{method}/{name}" for method in methods for name in parts_of(store.view) if name]
        ledgers = {name: store.array(name)[rows].astype(np.float64) for name in names if name in store}
        groups = [str(group) for group in store.array("group")[rows]] if "group" in store else None
        keys = [str(key) for key in store.array("key")[rows]]
        logits = np.concatenate([store.logits_of_targets(rows[block]) for block in blocks(rows, batch_size)])
        known = (store.array("target")[rows].astype(np.int64), predicted, logits)
        return cls(rows, keys, labels, label_classes, groups, *known, top, ledgers, classes)


def _predictions(store: Store, rows: Rows, batch_size: int) -> tuple[Rows, tuple[Array, Array, Array], int]:
    """The class of the largest logit, the first classes with logits and their softmax, and the number of classes."""
    found = [_top(store.array("logits", rows[block]).astype(np.float64)) for block in blocks(rows, batch_size)]
    count = found[0][3]
    order, logits, shares = (np.concatenate([one[part] for one in found]) for part in range(3))
    predicted = np.where(np.isfinite(shares).all(1) & (count > 1), order[:, 0], -1)
    return predicted.astype(np.int64), (order, logits, shares), count


def _top(logits: Array) -> tuple[Array, Array, Array, int]:
    """Of logits (n, classes) the largest; the shares of a row that is not finite are NaN."""
    order = np.argsort(-logits, axis=1, kind="stable")[:, :_TOP]
    is_finite: Array = np.asarray(np.isfinite(logits).all(1))
    safe = np.where(is_finite[:, None], logits, 0)
    powers = np.exp(safe - safe.max(1, keepdims=True))
    shares = np.where(is_finite[:, None], powers / powers.sum(1, keepdims=True), np.nan)
    return order, np.take_along_axis(logits, order, 1), np.take_along_axis(shares, order, 1), logits.shape[1]


def _labels(store: Store, rows: Rows, classes: Classes) -> tuple[list[str] | None, Rows | None]:
    """Labels in words, and as classes where that is known."""
    if "label" not in store:
        return None, None
    labels = store.array("label")[rows]
    if labels.dtype.kind in "iu":
        numbers = labels.astype(np.int64)
        words = ["" if number < 0 else classes.name(int(number)) for number in numbers]
        return words, np.where(numbers < classes.count, numbers, -1) if classes.count > 1 else None
    words = [str(label) for label in labels]
    if not store.class_names or classes.count == 1:
        return words, None
    places = {str(name): number for number, name in reversed(list(enumerate(store.class_names)))}
    return words, np.array([places.get(word, -1) for word in words], dtype=np.int64)
