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
from signxai.reports.clusters import Clustering, clusterings_of
from signxai.reports.entries import EntryTable, blocks
from signxai.reports.parts import Part, named, parts_of
from signxai.reports.statistics import Means, Scale

__all__ = ["Subject", "Survey"]

Array = npt.NDArray[Any]
Step = Callable[[int], Any]


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
        means: by method and part, over the classes in the order of ``subject.targets``.
        traces: of signals by part, the same of the inputs; None: none is drawn.
        scales, thumb_scales: by method and part, where the colours of pages and of the gallery end.
        of_clusters: for each clustering by part, the means of its clusters; and of the inputs.
    """

    def __init__(self, subject: Subject, folder: Path, step: Step) -> None:
        methods, parts = range(len(subject.methods)), range(len(subject.parts))
        self._subject, self._folder = subject, folder
        groups, count = np.searchsorted(subject.targets, subject.table.targets), len(subject.targets)
        self.means = [[self._means(groups, count, part) for part in subject.parts] for _ in methods]
        self.traces = [self._traces(groups, count, part) for part in subject.parts]
        self.of_clusters = [self._of_clustering(one, self._means) for one in subject.clusterings]
        self.cluster_traces = [self._of_clustering(one, self._traces) for one in subject.clusterings]
        self.scales, self.thumb_scales = ([[Scale(len(subject.blocks)) for _ in parts] for _ in methods] for _ in range(2))
        for number, block in enumerate(subject.blocks):
            self._take(number, block)
            step(block.stop - block.start)

    def _means(self, groups: Array, count: int, part: Part) -> Means:
        return Means(groups, count, part.plane_shape, self._folder)

    def _traces(self, groups: Array, count: int, part: Part) -> Means | None:
        return self._means(groups, count, part) if self._subject.has_inputs and part.kind == "signal" else None

    def _of_clustering(self, clustering: Clustering, make: Callable[[Array, int, Part], Any]) -> list[Any]:
        groups = clustering.groups(len(self._subject.table.rows))
        return [make(groups, len(clustering.clusters), part) for part in self._subject.parts]

    def _take(self, number: int, block: slice) -> None:
        for method, name in enumerate(self._subject.methods):
            for place, (part, maps) in enumerate(zip(self._subject.parts, self._subject.maps(name, block), strict=True)):
                self._take_planes(number, block, (method, place), part, part.planes(maps))
        if any(self.traces):
            for place, values in enumerate(self._subject.inputs(block)):
                self._take_traces(block, place, values)

    def _take_planes(self, number: int, block: slice, where: tuple[int, int], part: Part, planes: Array) -> None:
        method, place = where
        self.means[method][place].add(block, planes)
        self.scales[method][place].add(number, planes)
        self.thumb_scales[method][place].add(number, part.thumbs(planes))
        for clustering, means in zip(self._subject.clusterings, self.of_clusters, strict=True):
            if clustering.method == method:
                means[place].add(block, planes)

    def _take_traces(self, block: slice, place: int, values: Array | None) -> None:
        drawn = None if values is None else self._subject.parts[place].traces(values)
        for means in (self.traces[place], *(found[place] for found in self.cluster_traces)):
            if means is not None and drawn is not None:
                means.add(block, drawn)
