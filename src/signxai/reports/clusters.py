"""Clusters of a store's maps, as a report shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from signxai.datasets.store import Store
from signxai.reports.entries import EntryTable

__all__ = ["Clustering", "clusterings_of"]

Array = npt.NDArray[Any]

_MEMBERS = 8


class _Found(Protocol):
    """What a store says of the clusters of a class."""

    rows: Array
    embeddings: Mapping[str, Array]
    clusterings: Mapping[str, Array]
    shown: str
    chosen: str


@dataclass(frozen=True, eq=False)
class Clustering:
    """The clusters of one class by one method.

    Attributes:
        method: its number in the report.
        target: the class.
        name: of the clustering.
        others: the other clusterings in the store.
        places: of its entries in the table (n,).
        ids: the cluster of each; -1: in none.
        points: where each is drawn (n, 2).
        drawn: the name of the embedding that has these points.
    """

    method: int
    target: int
    name: str
    others: list[str]
    places: Array
    ids: Array
    points: Array
    drawn: str

    @property
    def page(self) -> str:
        """The name of its page's file."""
        return f"{self.method}-{self.target}"

    @property
    def clusters(self) -> list[int]:
        """The numbers of the clusters, the largest first; -1, in none, at the end."""
        sizes = Counter(self.ids.tolist())
        return sorted(sizes, key=lambda number: (number < 0, -sizes[number], number))

    @cached_property
    def by_place(self) -> dict[int, int]:
        """The cluster of each entry, by its place in the table."""
        return dict(zip(self.places.tolist(), self.ids.tolist(), strict=True))

    def groups(self, count: int) -> Array:
        """For each of so many entries the place of its cluster in ``clusters``; -1: it is not among them."""
        order = {number: place for place, number in enumerate(self.clusters)}
        groups = np.full(count, -1)
        groups[self.places] = [order[number] for number in self.ids.tolist()]
        return groups

    def members(self, number: int) -> Array:
        """The places of a cluster's entries in the table."""
        return np.asarray(self.places[self.ids == number])

    def some_members(self, number: int) -> list[int]:
        """A few of them, evenly spaced from the first to the last."""
        members = self.members(number)
        picked = np.unique(np.linspace(0, len(members) - 1, min(len(members), _MEMBERS)).round().astype(int))
        return [int(place) for place in members[picked]]


def clusterings_of(store: Store, methods: Sequence[str], table: EntryTable) -> list[Clustering]:
    """The clusters that a store holds of these methods."""
    listed = getattr(store, "clustered", None)
    pairs = listed() if listed is not None else []
    found = [_clustering(store, methods.index(method), method, target, table) for method, target in pairs if method in methods]
    return [one for one in found if len(one.places)]


def _clustering(store: Any, number: int, method: str, target: int, table: EntryTable) -> Clustering:
    found: _Found = store.clusters(method, target)
    rows = np.asarray(found.rows)
    is_there = np.isin(rows, table.rows)
    places = np.searchsorted(table.rows, rows[is_there])
    ids = np.asarray(found.clusterings[found.chosen])[is_there]
    others = [name for name in found.clusterings if name != found.chosen]
    points = _in_two(np.asarray(found.embeddings[found.shown], dtype=np.float64)[is_there])
    return Clustering(number, target, found.chosen, others, places, ids, points, found.shown)


def _in_two(points: Array) -> Array:
    """The first two coordinates of points (n, d), in [0, 1]."""
    plane = np.zeros((len(points), 2))
    plane[:, : points.shape[1]] = points[:, :2]
    low, high = (edge(plane, axis=0, initial=0) if not len(plane) else edge(plane, axis=0) for edge in (np.min, np.max))
    return np.asarray((plane - low) / np.where(high > low, high - low, 1))


def shares(words: Sequence[str], most: int = 6) -> list[tuple[str, int, float]]:
    """How often each word is there, with its share, the most frequent first.

    >>> shares(["a", "b", "a"])
    [('a', 2, 0.6666666666666666), ('b', 1, 0.3333333333333333)]
    """
    return [(word or "none", count, count / len(words)) for word, count in Counter(words).most_common(most)]
