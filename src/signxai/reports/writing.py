"""Writes a report: two passes over a store, one batch in memory at a time, into a folder that is there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from signxai.common.errors import InputError, OptionError
from signxai.common.terminals import bar_columns
from signxai.datasets.store import Store
from signxai.methods.sign_words import is_share, of_colours, sides_of
from signxai.reports.cluster_pages import cluster_page, listed_of, page_average
from signxai.reports.clusters import Clustering
from signxai.reports.encoding import rounded
from signxai.reports.entry_pages import SHEET, EntryWriter, map_payload, sheet_of_maps
from signxai.reports.folders import folder_in_the_making
from signxai.reports.keys import common_folder, short_keys
from signxai.reports.overview import (
    class_facts,
    cluster_facts,
    confusions,
    entry_facts,
    failures,
    method_facts,
    report_title,
    run_facts,
    unexplained_facts,
)
from signxai.reports.packages import jinja_package
from signxai.reports.pages import Pages
from signxai.reports.statistics import Means
from signxai.reports.survey import Subject, Survey

__all__ = ["write_report"]

Array = npt.NDArray[Any]

_IN_FULL = 12
"""So many classes, and clusterings, are shown with their maps on the first page."""
_CLUSTERS, _OF_EACH = 12, 2
"""So many clusters of each are shown there, by so many entries."""


def write_report(
    store: Store | str | Path, folder: str | Path, *, title: str = "", methods: Sequence[str] = (), progress: bool = False
) -> Path:
    """Write what a store of relevance maps holds as a folder of pages, which a browser opens from disk without any network.

    ``index.html`` has the run, the classes and the failures, ``gallery.html`` all entries with filters, and each entry has a page of its
    own. Entries are read twice, one batch in memory at a time.

    Args:
        store: opened, or where it lies.
        folder: of the report; another report that lies there is replaced.
        title: of the report; "": which data set is explained by which model.
        methods: which of the store's methods are shown, in this order; none: all.
        progress: whether a bar shows what is done and left, on standard error.

    Returns:
        The first page.

    Raises:
        StoreError: it is no store, or not one entry of it is explained.
        InputError: what the store says of how entries are drawn does not fit them.
        OptionError: the store has no such method, something else than a report lies in the folder's place, or jinja2 is missing.
        InputError: ``methods`` is one name instead of a list.
        OSError: the folder cannot be written.

    >>> import tempfile, torch
    >>> from signxai.datasets import ArraySource, explain_dataset
    >>> net, source = torch.nn.Linear(4, 3), ArraySource(torch.ones(10, 4).numpy())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = explain_dataset(net, source, ["gradient"], f"{folder}/maps.zarr")
    ...     write_report(store, f"{folder}/report").name
    'index.html'
    """
    jinja_package()
    opened = store if isinstance(store, Store) else Store(store)
    subject = Subject.of(opened, _chosen(opened, methods))
    with folder_in_the_making(Path(folder), opened.path) as part:
        steps = 2 * len(subject.table.rows)
        with closing(tqdm(total=steps, unit="entry", disable=not progress, ncols=bar_columns())) as bar:
            _Writer(subject, part, title or report_title(opened.run)).write(bar.update)
    return Path(folder) / "index.html"


def _chosen(store: Store, methods: Sequence[str]) -> list[str]:
    if isinstance(methods, str):
        raise InputError(f"methods={methods!r} is one name; give a list: [{methods!r}]")
    missing = [name for name in methods if name not in store.methods]
    if missing:
        raise OptionError(f"{store.path} has no {missing[0]!r}; it has {', '.join(store.methods)}")
    return list(dict.fromkeys(methods)) or store.methods


class _Writer:
    def __init__(self, subject: Subject, folder: Path, title: str) -> None:
        self._subject, self._folder = subject, folder
        keys = [*subject.table.keys, *(failure.key for failure in subject.store.failed)]
        self._short = dict(zip(keys, short_keys(keys), strict=True))
        common = {
            "title": title,
            "prefix": common_folder(keys),
            "short": self._short,
            "methods": method_facts(subject),
            "parts": subject.parts,
            "class_name": subject.table.classes.explained,
            "table": subject.table,
            "has_inputs": subject.has_inputs,
            "has_right": subject.table.is_right is not None,
            "is_one_logit": subject.table.classes.is_one_logit,
            "starts_with_logit": subject.starts_with_logit,
            "has_clusters": bool(subject.clusterings),
            "turned_at": subject.turned_at,
        }
        self._pages = Pages(folder, common)

    @property
    def _names(self) -> list[str]:
        """What the entries of the table are called on pages."""
        return [self._short[key] for key in self._subject.table.keys]

    def write(self, step: Callable[[int], Any]) -> None:
        work = self._folder / "work"
        work.mkdir()
        survey = Survey(self._subject, work, step)
        entries = EntryWriter(self._subject, survey, self._pages, lambda place: entry_facts(self._subject, place))
        entries.write(step)
        self._write_means(survey)
        self._write_meta(survey, entries)
        self._write_entries(entries.typicality)
        facts = [class_facts(self._subject, entries.typicality, int(number)) for number in self._subject.targets]
        self._write_first_pages(facts)
        for one in facts:
            self._write_class(one, survey)
        for number, clustering in enumerate(self._subject.clusterings):
            self._write_clusters(clustering, survey.of_clusters[number], survey.inputs_of_clusters[number])
        shutil.rmtree(work)

    def _write_means(self, survey: Survey) -> None:
        """Sheets of the classes' mean maps."""
        for place, part in enumerate(self._subject.parts):
            for number, start in enumerate(range(0, len(self._subject.targets), SHEET)):
                positions = range(start, min(start + SHEET, len(self._subject.targets)))
                for method, means in enumerate(survey.means):
                    planes = np.stack([means[place].of(position) for position in positions])
                    self._put_sheet(f"means-{method}-{place}/{number:05d}", sheet_of_maps(part.thumbs(planes)))
                if (of_inputs := survey.inputs[place]) is not None and part.kind == "signal":
                    drawn = np.stack([of_inputs.of(position) for position in positions])
                    self._put_sheet(f"traces-{place}/{number:05d}", part.thumb_averages(drawn))

    def _put_sheet(self, name: str, content: dict[str, Any]) -> None:
        self._pages.write_data(f"data/{name}.js", "sheet", {"name": name} | content)

    def _write_meta(self, survey: Survey, entries: EntryWriter) -> None:
        scales = [[scale.end for scale in of_method] for of_method in survey.scales]
        thumb_scales = [[scale.end for scale in of_method] for of_method in survey.thumb_scales]
        content = {
            "methods": list(self._subject.methods),
            "parts": [part.described() | {"shared": survey.have_one_scale(place)} for place, part in enumerate(self._subject.parts)],
            "scales": scales,
            "thumbScales": thumb_scales,
            "starts": entries.starts,
            "sheet": SHEET,
            "count": len(self._subject.table.rows),
            "inputs": self._subject.has_inputs,
            "sides": [_sides(method) for method in self._subject.methods],
            "turnedSides": [_sides(method, is_turned=True) for method in self._subject.methods],
            "turned": [int(self._subject.turned(method).sum()) for method in self._subject.methods],
            "colours": f"{of_colours(self._subject.methods)}{_EXCHANGED if any(self._subject.turned_at) else ''}",
        }
        self._pages.write_data("data/meta.js", "meta", content)

    def _write_entries(self, typicality: Array) -> None:
        """What the gallery sorts and filters by, a list for each column."""
        table = self._subject.table
        right = table.is_right
        ledgers = {
            kind: [None if (found := table.ledger(kind, method)) is None else rounded(found) for method in self._subject.methods]
            for kind in ("sum", "absorbed")
        }
        numbers = sorted({*table.targets.tolist(), *table.predicted.tolist()})
        content = {
            "rows": table.rows.tolist(),
            "keys": self._names,
            "folder": common_folder(list(self._short)),
            "classes": {str(number): table.classes.explained(number) for number in numbers},
            "label": table.labels and _indexed(table.labels),
            "group": table.groups and _indexed(table.groups),
            "target": table.targets.tolist(),
            "predicted": None if table.classes.is_one_logit else table.predicted.tolist(),
            "right": None if right is None else right.tolist(),
            "logit": rounded(table.explained),
            "typicality": [rounded(of_method) for of_method in typicality],
            "turned": self._subject.turned_at if any(self._subject.turned_at) else None,
            "clusters": {one.page: {"places": one.places.tolist(), "ids": one.ids.tolist()} for one in self._subject.clusterings},
        }
        self._pages.write_data("data/entries.js", "entries", content | ledgers)

    def _write_first_pages(self, facts: list[dict[str, Any]]) -> None:
        store = self._subject.store
        content = {
            "facts": run_facts(self._subject),
            "classes": facts,
            "unexplained": unexplained_facts(self._subject),
            "in_full": facts if len(facts) <= _IN_FULL else [],
            "confusions": confusions(self._subject.table),
            "strange": store.labels_that_are_no_classes() if "label" in store else [],
            "has_nameless_classes": "label" in store and store.predicts_classes and not store.knows_labels,
            "failed": failures(store),
            "count": len(store),
            "is_complete": store.is_complete,
            "clusterings": [{"of": one, "shown": self._some_clusters(one)} for one in self._subject.clusterings],
            "numbers": _overall(self._subject),
        }
        self._pages.write("index.html", "index.html", **content)
        self._pages.write("gallery.html", "gallery.html")

    def _some_clusters(self, clustering: Clustering) -> list[dict[str, Any]]:
        """The clusters that stand farthest apart with the entries nearest the centre of each, as the first page shows them; of many
        clusterings, none."""
        if len(self._subject.clusterings) > _IN_FULL:
            return []
        found = [one for one in cluster_facts(self._subject, clustering) if one["number"] >= 0][:_CLUSTERS]
        return [one | {"members": clustering.nearest(one["number"], _OF_EACH)} for one in found]

    def _write_class(self, facts: dict[str, Any], survey: Survey) -> None:
        position = facts["position"]
        of_inputs = [None if means is None else means.of(position) for means in survey.inputs]
        inputs = [page_average(part, mean) for part, mean in zip(self._subject.parts, of_inputs, strict=True)]
        planes = [[means.of(position) for means in of_method] for of_method in survey.means]
        turned, count = facts["turned"], facts["count"]
        figures = self._figures(planes)
        for one in figures:
            one |= {"turned": turned[one["method"]] == count, "ofSome": 0 < turned[one["method"]] < count}
        tables = [self._tables(of_method, of_inputs) for of_method in planes]
        payload = {"inputs": inputs, "figures": figures}
        self._pages.write(f"classes/{facts['number']:04d}.html", "class.html", payload=payload, one=facts, tables=tables)

    def _write_clusters(self, clustering: Clustering, means: list[Means], of_inputs: list[Means | None]) -> None:
        content = cluster_page(self._subject, clustering, means, of_inputs, self._names)
        self._pages.write(f"clusters/{clustering.page}.html", "clusters.html", **content)

    def _figures(self, planes: list[list[Array]]) -> list[dict[str, Any]]:
        """Mean maps, by method and part, of the parts that are drawn."""
        return [
            {"method": method, "part": place, "input": place, "map": map_payload(plane), "mean": True}
            for method, of_method in enumerate(planes)
            for place, plane in enumerate(of_method)
            if self._subject.parts[place].kind != "values"
        ]

    def _tables(self, planes: list[Array], of_inputs: list[Array | None]) -> list[Any]:
        """The largest numbers of mean maps whose parts are listed."""
        found = zip(self._subject.parts, planes, of_inputs, strict=True)
        return [line for part, plane, given in found for line in listed_of(part, plane, given)]


def _overall(subject: Subject) -> dict[str, Any]:
    right = subject.table.is_right
    known = None if right is None else right[right >= 0]
    return {
        "explained": len(subject.table.rows),
        "right": None if known is None else int(known.sum()),
        "labelled": None if known is None else len(known),
        "absorbed": [
            None if (found := subject.table.ledger("absorbed", method)) is None else float(np.median(found)) for method in subject.methods
        ],
    }


def _indexed(words: Sequence[str]) -> dict[str, Any]:
    """Words by their places in the list of those that are different."""
    names = sorted(set(words))
    places = {name: place for place, name in enumerate(names)}
    return {"names": names, "of": [places[word] for word in words]}


_EXCHANGED = " Where signs are turned, as it is said there, the sides have changed places."


def _sides(method: str, is_turned: bool = False) -> list[str]:
    """The words at both ends of a scale, from below 0 to above."""
    return list(sides_of(method, is_short=not is_share(method)).ends(is_turned))
