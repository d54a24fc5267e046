"""The second pass over a store: sheets of thumbnails for the gallery, and a page for each entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.reports.encoding import companded, packed, rounded
from signxai.reports.pages import Pages
from signxai.reports.parts import Part
from signxai.reports.statistics import lengths_of
from signxai.reports.survey import Subject, Survey

__all__ = ["SHEET", "EntryWriter", "map_payload", "sheet_of_maps"]

Array = npt.NDArray[Any]

SHEET = 48
"""Thumbnails in one file at most."""


def sheet_of_maps(planes: Array) -> dict[str, Any]:
    """Maps (n, rows, columns) as the report's script reads them: 8 bits, and the largest |R| of each."""
    codes, largest = companded(planes)
    return {"own": rounded(largest), "data": packed(codes)}


def map_payload(plane: Array) -> dict[str, Any]:
    """One map (rows, columns) as the report's script reads it."""
    sheet = sheet_of_maps(plane[None])
    return {"own": sheet["own"][0], "data": sheet["data"]}


@dataclass(frozen=True, eq=False)
class _Block:
    """Entries that were read at once.

    Attributes:
        maps: by method and part, as the store has them.
        planes: the same as they are drawn.
        inputs: by part; None: not in the store.
    """

    maps: list[list[Array]]
    planes: list[list[Array]]
    inputs: list[Array | None]


@dataclass(eq=False)
class EntryWriter:
    """Writes what belongs to single entries.

    Attributes:
        subject, survey: what is known.
        pages: where it goes.
        facts: what the page of an entry says of it in words, by its place.
        typicality: by method, the cosine similarity of each entry's map to the mean of its class (n,); NaN: one of them is 0.
        starts: the place of the first entry on each sheet.
    """

    subject: Subject
    survey: Survey
    pages: Pages
    facts: Callable[[int], dict[str, Any]]
    typicality: Array = field(init=False)
    starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.typicality = np.full((len(self.subject.methods), len(self.subject.table.rows)), np.nan)

    def write(self, step: Callable[[int], Any]) -> None:
        """Write all of it; ``step`` is told of the entries that are done."""
        for block in self.subject.blocks:
            read = self._read(block)
            for method, planes in enumerate(read.planes):
                self.typicality[method, block] = self._similarity(method, block, planes)
            for start in range(block.start, block.stop, SHEET):
                self._write_sheet(read, block, slice(start, min(start + SHEET, block.stop)))
                step(min(start + SHEET, block.stop) - start)

    def _read(self, block: slice) -> _Block:
        found = [self.subject.maps(name, block) for name in self.subject.methods]
        planes = [[part.planes(maps) for part, maps in zip(self.subject.parts, of_parts, strict=True)] for of_parts in found]
        return _Block(found, planes, self.subject.inputs(block))

    def _similarity(self, method: int, block: slice, planes: list[Array]) -> Array:
        """The cosine of the angle between each map, with all its parts, and the mean of its class.

        Maps are brought to one length first, as squares of very large and very small numbers are no floats.
        """
        lengths = lengths_of(planes)[:, None, None]
        found = [means.products(block, plane / lengths) for means, plane in zip(self.survey.means[method], planes, strict=True)]
        products, own, of_mean = (np.sum([columns[place] for columns in found], axis=0) for place in range(3))
        lengths = np.sqrt(own) * np.sqrt(of_mean)
        return np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), np.nan)

    def _write_sheet(self, read: _Block, block: slice, sheet: slice) -> None:
        number, within = len(self.starts), slice(sheet.start - block.start, sheet.stop - block.start)
        self.starts.append(sheet.start)
        for place, part in enumerate(self.subject.parts):
            for method, planes in enumerate(read.planes):
                self._put(f"maps-{method}-{place}", number, sheet_of_maps(part.thumbs(planes[place][within])))
            values = read.inputs[place]
            if values is not None and part.kind != "values":
                self._put(f"input-{place}", number, part.thumb_inputs(values[within]))
        for place in range(sheet.start, sheet.stop):
            self._write_page(place, read, place - block.start)

    def _put(self, kind: str, number: int, content: dict[str, Any]) -> None:
        name = f"{kind}/{number:05d}"
        self.pages.write_data(f"data/{name}.js", "sheet", {"name": name} | content)

    def _write_page(self, place: int, read: _Block, within: int) -> None:
        methods, parts = range(len(self.subject.methods)), self.subject.parts
        drawn = [number for number, part in enumerate(parts) if part.kind != "values"]
        inputs = [_page_input(part, values, within) for part, values in zip(parts, read.inputs, strict=True)]
        figures: list[dict[str, Any]] = [{"part": part, "input": part} for part in drawn if self.subject.has_inputs]
        figures += [
            {"method": method, "part": part, "input": part, "map": map_payload(read.planes[method][part][within])}
            | ({"turned": True} if method in self.subject.turned_at[place] else {})
            for method in methods
            for part in drawn
        ]
        content = self.facts(place) | {
            "payload": {"place": place, "inputs": inputs, "figures": figures},
            "drawn": drawn,
            "tables": [list(self._tables(read, method, within)) for method in methods],
        }
        self.pages.write(f"entries/{self.subject.table.rows[place]:06d}.html", "entry.html", **content)

    def _tables(self, read: _Block, method: int, within: int) -> Iterator[tuple[Part, list[dict[str, Any]]]]:
        """The numbers of the parts that are listed rather than drawn."""
        for part, maps, values in zip(self.subject.parts, read.maps[method], read.inputs, strict=True):
            if part.kind == "values":
                yield part, part.largest(maps[within], None if values is None else values[within])


def _page_input(part: Part, values: Array | None, within: int) -> dict[str, Any] | None:
    return None if values is None or part.kind == "values" else part.page_input(values[within])
