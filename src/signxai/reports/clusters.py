"""Clusters of a store's maps, as a report shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.datasets.store import Store
from signxai.reports.entries import EntryTable

__all__ = ["Clustering", "clusterings_of", "meaning_of", "shares", "standing_apart"]

Array = npt.NDArray[Any]

_MEMBERS = 8


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
        spectral: where each lies in the spectral embedding (n, d), in which clusters are found.
    """

    method: int
    target: int
    name: str
    others: list[str]
    places: Array
    ids: Array
    points: Array
    drawn: str
    spectral: Array

    @property
    def page(self) -> str:
        """The name of its page's file."""
        return f"{self.method}-{self.target}"

    @cached_property
    def clusters(self) -> list[int]:
        """The numbers of the clusters, those that stand farthest apart first; -1, in none, at the end."""
        apart = standing_apart(self.spectral, self.ids)
        return [*sorted(apart, key=lambda number: (-round(apart[number], 6), number)), *([-1] if (self.ids < 0).any() else [])]

    @property
    def count(self) -> int:
        """How many clusters there are, the entries in none left out."""
        return sum(1 for number in self.clusters if number >= 0)

    @property
    def counted(self) -> str:
        """The same in words; of a single one, what it means."""
        if self.count == 1:
            rest = f", {(self.ids < 0).sum()} of {len(self.ids)} entries in no cluster" if (self.ids < 0).any() else ""
            return f"one cluster: no pattern stands apart{rest}"
        return f"{self.count} clusters" if self.count else "no cluster"

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

    def rest(self, number: int) -> Array:
        """The places of the entries that were clustered with them and are not among them."""
        return np.asarray(self.places[self.ids != number])

    def nearest(self, number: int, count: int) -> list[int]:
        """The places of so many of a cluster's entries in the table, those nearest its centre, the nearest first."""
        found = self.spectral[self.ids == number]
        order = np.argsort(np.linalg.norm(found - found.mean(0), axis=1), kind="stable")
        return [int(place) for place in self.members(number)[order[:count]]]

    def some_members(self, number: int) -> list[int]:
        """A few of them, evenly spaced from the first to the last."""
        members = self.members(number)
        picked = np.unique(np.linspace(0, len(members) - 1, min(len(members), _MEMBERS)).round().astype(int))
        return [int(place) for place in members[picked]]


def clusterings_of(store: Store, methods: Sequence[str], table: EntryTable) -> list[Clustering]:
    """The clusters that a store holds of these methods."""
    found = [_clustering(store, methods.index(method), method, target, table) for method, target in store.clustered() if method in methods]
    return [one for one in found if len(one.places)]


def _clustering(store: Store, number: int, method: str, target: int, table: EntryTable) -> Clustering:
    found = store.clusters(method, target)
    rows = np.asarray(found.rows)
    is_there = np.isin(rows, table.rows)
    places = np.searchsorted(table.rows, rows[is_there])
    ids = np.asarray(found.clusterings[found.chosen])[is_there]
    others = [name for name in found.clusterings if name != found.chosen]
    spectral = np.asarray(found.embeddings["spectral"], dtype=np.float64)[is_there]
    points = _in_two(np.asarray(found.embeddings[found.shown], dtype=np.float64)[is_there])
    return Clustering(number, target, found.chosen, others, places, ids, points, found.shown, spectral)


def standing_apart(points: Array, ids: Array) -> dict[int, float]:
    """How far each cluster stands apart: the mean over its points of (b - a) / max(a, b), where a is the distance to the cluster's own
    centre and b that to the nearest centre of another (the silhouette by centres, Hruschka et al. 2004), in [-1, 1]; of a single one, 0.

    Args:
        points: (n, d).
        ids: the cluster of each (n,); -1: in none.

    >>> standing_apart(np.array([[0.0], [1.0], [9.5], [10.5], [5.0]]), np.array([0, 0, 3, 3, -1]))
    {0: 0.9472222222222222, 3: 0.9472222222222222}
    """
    numbers = np.unique(ids[ids >= 0]).tolist()
    if len(numbers) < 2:
        return dict.fromkeys(numbers, 0.0)
    centres = [points[ids == number].mean(0) for number in numbers]
    return {number: _silhouette(points[ids == number], centres, place) for place, number in enumerate(numbers)}


def _silhouette(points: Array, centres: Sequence[Array], place: int) -> float:
    """The same of the cluster whose centre has this place."""
    distances = np.stack([np.linalg.norm(points - centre, axis=1) for centre in centres], axis=1)
    own, other = distances[:, place], np.delete(distances, place, axis=1).min(1)
    largest = np.maximum(own, other)
    return float(((other - own) / np.where(largest > 0, largest, 1)).mean())


_MEANINGS = {
    "hdbscan": "groups in which maps lie densely; what lies between them is in no cluster",
    "kmeans": "as many groups as the number says, each map in that with the nearest centre",
    "tsne": "t-SNE, the plane in which neighbours stay neighbours; how far groups lie from each other says little",
    "umap": "UMAP, the plane in which neighbours stay neighbours; how far groups lie from each other says little",
    "spectral": "the first two eigenvectors of the graph that joins maps that are alike",
}


def meaning_of(name: str) -> str:
    """What a clustering or an embedding of this name is, in a few words; "": of another.

    >>> meaning_of("kmeans-2")
    'as many groups as the number says, each map in that with the nearest centre'
    """
    return _MEANINGS.get(name.partition("-")[0], "")


def _in_two(points: Array) -> Array:
    """The first two coordinates of points (n, d), in [0, 1]."""
    plane = np.zeros((len(points), 2))
    plane[:, : points.shape[1]] = points[:, :2]
    low, high = (edge(plane, axis=0, initial=0) if not len(plane) else edge(plane, axis=0) for edge in (np.min, np.max))
    return np.asarray((plane - low) / np.where(high > low, high - low, 1))


def shares(words: Sequence[str], others: Sequence[str], most: int = 6) -> list[tuple[str, int, float, float | None]]:
    """How often each word is there, with its share and that among other words, the most frequent first; None: there are no others.

    >>> shares(["a", "b", "a", "a"], ["a", "b"])
    [('a', 3, 0.75, 0.5), ('b', 1, 0.25, 0.5)]
    """
    elsewhere = Counter(others)
    return [
        (word or "none", count, count / len(words), elsewhere[word] / len(others) if others else None)
        for word, count in Counter(words).most_common(most)
    ]
