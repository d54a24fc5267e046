"""The pages of clusters: what is in each, beside what was clustered with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.reports.clusters import Clustering, meaning_of
from signxai.reports.entry_pages import map_payload
from signxai.reports.overview import cluster_facts
from signxai.reports.parts import Part
from signxai.reports.statistics import Means
from signxai.reports.survey import Subject

__all__ = ["cluster_page", "listed_of", "page_average"]

Array = npt.NDArray[Any]
Of = Callable[[Means], Array]
"""Picks a mean: of a cluster, or of the others."""


def cluster_page(
    subject: Subject, clustering: Clustering, means: list[Means], of_inputs: list[Means | None], short: list[str]
) -> dict[str, Any]:
    """What the page of a clustering is made of.

    Args:
        subject: what is reported on.
        clustering: whose page it is.
        means, of_inputs: by part, of the maps and of the inputs of each cluster.
        short: what entries are called.
    """
    figures = _Figures(subject.parts, clustering.method, means, of_inputs)
    facts = cluster_facts(subject, clustering)
    clusters = [one | {"sides": figures.sides(one)} for one in facts]
    payload = {"inputs": figures.inputs, "figures": figures.figures, "points": _points(subject, clustering, facts, short)}
    return {"payload": payload, "clustering": clustering, "clusters": clusters, "meaning_of": meaning_of}


@dataclass(eq=False)
class _Figures:
    """The figures of a page, in the order of their numbers.

    Attributes:
        parts: what of each entry is drawn.
        method: the number of the clustered maps' method.
        means, of_inputs: by part.
        inputs, figures: as the report's script reads them.
    """

    parts: list[Part]
    method: int
    means: list[Means]
    of_inputs: list[Means | None]
    inputs: list[Any] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)

    def sides(self, one: dict[str, Any]) -> list[dict[str, Any]]:
        """A cluster and, where there are any, the others, each with its figures and tables; their mean maps have one scale."""
        position = one["position"]
        sides: list[tuple[str, int, Of]] = [(one["name"], one["count"], lambda means: means.of(position))]
        if one["others"]:
            sides.append(("the others", one["others"], lambda means: means.without(position)))
        ends = [max(float(np.abs(of(means)).max(initial=0)) for _, _, of in sides) for means in self.means]
        spans = [_span([given for _, _, of in sides if (given := _of(means, of)) is not None]) for means in self.of_inputs]
        return [self._side(name, of, ends, spans) | {"name": name, "count": count} for name, count, of in sides]

    def _side(self, name: str, of: Of, ends: list[float], spans: list[list[Any] | None]) -> dict[str, Any]:
        figures: list[dict[str, Any]] = []
        tables: list[Any] = []
        for place, part in enumerate(self.parts):
            mean, given = of(self.means[place]), _of(self.of_inputs[place], of)
            tables += listed_of(part, mean, given)
            if part.kind != "values":
                where = {"part": place, "input": self._input(part, given)} | ({"span": spans[place]} if part.kind == "signal" else {})
                figures += self._of_part(name, part, where, mean, ends[place])
        return {"figures": figures, "tables": tables}

    def _input(self, part: Part, mean: Array | None) -> int:
        self.inputs.append(page_average(part, mean))
        return len(self.inputs) - 1

    def _of_part(self, name: str, part: Part, where: dict[str, Any], mean: Array, end: float) -> Iterator[dict[str, Any]]:
        """Of pictures the mean input by itself, and the mean map."""
        if part.kind == "picture" and self.inputs[where["input"]] is not None:
            yield self._figure("mean input", name, part, where)
        is_line = part.kind == "signal" and self.inputs[where["input"]] is not None
        what = "mean input (line) and mean relevance (colour)" if is_line else "mean map"
        yield self._figure(what, name, part, where | {"method": self.method, "map": map_payload(mean), "mean": True, "end": end})

    def _figure(self, what: str, name: str, part: Part, content: dict[str, Any]) -> dict[str, Any]:
        of_part = f": {part.name}" if part.name else ""
        self.figures.append(content)
        return {"number": len(self.figures) - 1, "label": f"{what} of {name}{of_part}", "caption": what + of_part}


def page_average(part: Part, mean: Array | None) -> dict[str, Any] | None:
    """A mean input as a page draws it; None: it is not there, or listed."""
    return None if mean is None else part.page_average(mean)


def listed_of(part: Part, mean: Array, of_inputs: Array | None) -> list[tuple[Part, list[dict[str, Any]]]]:
    """The largest numbers of a mean map of a part that is listed; of one that is drawn in fewer points, nothing."""
    return [(part, part.largest(mean, of_inputs))] if part.kind == "values" and mean.size == int(np.prod(part.shape)) else []


def _of(means: Means | None, of: Of) -> Array | None:
    return None if means is None else of(means)


def _span(means: list[Array]) -> list[Any] | None:
    """The lowest and the highest value of each row of several mean inputs (rows, ...), for one axis; None: there are none.

    >>> _span([np.array([[0, 2]]), np.array([[-1, 1]])])
    [[-1.0], [2.0]]
    """
    rows = [mean.reshape(len(mean), -1).astype(float) for mean in means]
    return [np.min([one.min(1) for one in rows], axis=0).tolist(), np.max([one.max(1) for one in rows], axis=0).tolist()] if rows else None


def _points(subject: Subject, clustering: Clustering, facts: list[dict[str, Any]], short: list[str]) -> dict[str, Any]:
    """What the embedding is drawn of."""
    return {
        "x": [round(float(value), 4) for value in clustering.points[:, 0]],
        "y": [round(float(value), 4) for value in clustering.points[:, 1]],
        "places": clustering.places.tolist(),
        "rows": subject.table.rows[clustering.places].tolist(),
        "keys": [short[place] for place in clustering.places],
        "groups": clustering.groups(len(subject.table.rows))[clustering.places].tolist(),
        "names": [one["name"] for one in facts],
        "none": [one["position"] for one in facts if one["number"] < 0],
    }
