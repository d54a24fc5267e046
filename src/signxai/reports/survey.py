"""The first pass over a store: the scales of colours, and the mean maps of classes and clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.datasets.store import Store
from signxai.evidence.certificate import Certificate
from signxai.methods.turned_signs import turns_signs
from signxai.reports.clusters import Clustering, clusterings_of
from signxai.reports.entries import EntryTable, blocks
from signxai.reports.parts import Part, named, parts_of
from signxai.reports.statistics import Means, Scale, lengths_of

__all__ = ["Subject", "Survey"]

Array = npt.NDArray[Any]
Step = Callable[[int], Any]

_MOST_APART = 4
"""Times by which the ranges of channels with one scale differ, at most."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is reported on.

    Attributes:
        store: of relevance maps.
        methods: of it, in the order of the report.
        table: its entries.
        parts: what of each entry is drawn.
        clusterings: the clusters that it holds.
        batch_size: entries in one chunk.
    """

    store: Store
    methods: tuple[str, ...]
    table: EntryTable
    parts: list[Part]
    clusterings: list[Clustering]
    batch_size: int

    @classmethod
    def of(cls, store: Store, methods: Sequence[str]) -> Subject:
        """Of a store, and some of its methods.

        Raises:
            StoreError: not one entry was explained.
            InputError: the store's view does not fit its maps.
        """
        batch_size = int(store.run["settings"]["batch_size"])
        table = EntryTable.read(store, methods, batch_size)
        return cls(store, tuple(methods), table, parts_of(store, int(table.rows[0])), clusterings_of(store, methods, table), batch_size)

    @cached_property
    def blocks(self) -> list[slice]:
        """Places in the table that are read at once."""
        return list(blocks(self.table.rows, self.batch_size))

    @cached_property
    def targets(self) -> Array:
        """The classes that were explained, each once, in their order."""
        return np.unique(self.table.targets)

    @cached_property
    def certificates(self) -> dict[str, dict[int, Certificate]]:
        """The certificates that the store has, by method and index of the entry."""
        return {method: self.store.certificates(method) for method in self.methods}

    @property
    def starts_with_logit(self) -> bool:
        """Whether relevance starts with the logit of the explained class; else with 1."""
        return bool(self.store.run.get("options", {}).get("relevance") == "logit")

    def turned(self, method: str) -> Array:
        """Whether each map has its signs turned, as the logit of the explained class is below 0 (entries)."""
        negative: Array = self.table.explained < 0
        return negative & turns_signs(method, "logit" if self.starts_with_logit else "one_hot")

    @cached_property
    def turned_at(self) -> list[list[int]]:
        """By entry, the numbers of the methods whose map of it has its signs turned."""
        of_methods = [self.turned(method) for method in self.methods]
        return [[number for number, turned in enumerate(of_methods) if turned[place]] for place in range(len(self.table.rows))]

    @property
    def has_inputs(self) -> bool:
        """Whether the store holds what the network took."""
        return "input" in self.store

    def maps(self, method: str, block: slice) -> list[Array]:
        """Maps of a method, for each part of the entries of a block."""
        found = named(self.store.relevance(method, self.table.rows[block]))
        return [found[part.name] for part in self.parts]

    def inputs(self, block: slice) -> list[Array | None]:
        """What the network took, for each part of the entries of a block; None where the store does not have it."""
        if not self.has_inputs:
            return [None] * len(self.parts)
        found = named(self.store.inputs(self.table.rows[block]))
        return [found[part.name] for part in self.parts]


class Survey:
    """What the second pass and the pages need to know of all maps.

    Args:
        subject: what is reported on.
        folder: where sums lie that are too large for memory.
        step: is told of the entries that are read.

    Attributes:
        means: by method and part, over the classes in the order of ``subject.targets``, of maps of length 1 (L2, all parts together), so
            that few large ones do not stand for all.
        inputs: by part, the same of the inputs themselves; None: none is shown, as of pictures.
        scales, thumb_scales: by method and part, where the colours of pages and of the gallery end.
        ranges: of signals by part, the sum over all entries of the range of each channel; None: it is none, or inputs are not stored.
        of_clusters, inputs_of_clusters: for each clustering by part, the means of its clusters, and of their inputs.
    """

    def __init__(self, subject: Subject, folder: Path, step: Step) -> None:
        methods, parts = range(len(subject.methods)), range(len(subject.parts))
        self._subject, self._folder = subject, folder
        groups, count = np.searchsorted(subject.targets, subject.table.targets), len(subject.targets)
        self.means = [[self._means(groups, count, part) for part in subject.parts] for _ in methods]
        self.inputs = [None if part.kind == "picture" else self._inputs(groups, count, part) for part in subject.parts]
        self.ranges = [np.zeros(part.plane_shape[0]) if part.kind == "signal" and subject.has_inputs else None for part in subject.parts]
        self.of_clusters = [self._of_clustering(one, self._means) for one in subject.clusterings]
        self.inputs_of_clusters = [self._of_clustering(one, self._inputs) for one in subject.clusterings]
        self.scales, self.thumb_scales = ([[Scale(len(subject.blocks)) for _ in parts] for _ in methods] for _ in range(2))
        for number, block in enumerate(subject.blocks):
            self._take(number, block)
            step(block.stop - block.start)

    def _means(self, groups: Array, count: int, part: Part) -> Means:
        return Means(groups, count, part.plane_shape, self._folder)

    def _inputs(self, groups: Array, count: int, part: Part) -> Means | None:
        shape = part.average_shape if self._subject.has_inputs else None
        return None if shape is None else Means(groups, count, shape, self._folder)

    def _of_clustering(self, clustering: Clustering, make: Callable[[Array, int, Part], Any]) -> list[Any]:
        groups = clustering.groups(len(self._subject.table.rows))
        return [make(groups, len(clustering.clusters), part) for part in self._subject.parts]

    def _take(self, number: int, block: slice) -> None:
        for method, name in enumerate(self._subject.methods):
            found = zip(self._subject.parts, self._subject.maps(name, block), strict=True)
            planes = [part.planes(maps) for part, maps in found]
            lengths = lengths_of(planes)[:, None, None]
            for place, of_part in enumerate(planes):
                self._take_scales(number, (method, place), of_part)
                self._take_means(block, (method, place), of_part / lengths)
        if any(self.inputs) or any(map(any, self.inputs_of_clusters)):
            for place, values in enumerate(self._subject.inputs(block)):
                self._take_inputs(block, place, values)

    def _take_scales(self, number: int, where: tuple[int, int], planes: Array) -> None:
        method, place = where
        self.scales[method][place].add(number, planes)
        self.thumb_scales[method][place].add(number, self._subject.parts[place].thumbs(planes))

    def _take_means(self, block: slice, where: tuple[int, int], planes: Array) -> None:
        """Take in planes of maps of length 1."""
        method, place = where
        self.means[method][place].add(block, planes)
        for clustering, means in zip(self._subject.clusterings, self.of_clusters, strict=True):
            if clustering.method == method:
                means[place].add(block, planes)

    def _take_inputs(self, block: slice, place: int, values: Array | None) -> None:
        wanted = [means for means in (self.inputs[place], *(found[place] for found in self.inputs_of_clusters)) if means is not None]
        if wanted and values is not None:
            averaged = self._subject.parts[place].averaged(values)
            self._take_ranges(place, averaged)
            for means in wanted:
                means.add(block, averaged)

    def _take_ranges(self, place: int, averaged: Array) -> None:
        ranges = self.ranges[place]
        if ranges is not None:
            ranges += np.ptp(averaged, axis=-1).sum(0, dtype=np.float64)

    def have_one_scale(self, place: int) -> bool:
        """Whether the channels of a signal are drawn on one scale: none of them moves so little beside another that its line were flat."""
        ranges = self.ranges[place]
        moving = np.zeros(0) if ranges is None else ranges[ranges > 0]
        return not len(moving) or bool(moving.max() <= _MOST_APART * moving.min())
