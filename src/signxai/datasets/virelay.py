"""The export of a store to ViRelAy (Anders et al. 2021): HDF5 files, a map of labels, and a project for each method.

ViRelAy 1.0 reads ``data`` and ``label`` of the data set, ``attribution``, ``prediction`` and ``label`` of a method's file, and of its
analysis ``CLASS/index``, ``CLASS/embedding/NAME`` and ``CLASS/cluster/NAME``. A class is found by the label's ``word_net_id``. It draws
pictures of three channels only: grey ones are written three times, and signals drawn, each lead as a band.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai._version import __version__
from signxai.common.errors import InputError, OptionError, StoreError
from signxai.datasets.clusters import Clusters
from signxai.datasets.folders import said_of_folder
from signxai.datasets.packages import require_export
from signxai.datasets.renderings import Rendering, rendering_of
from signxai.datasets.store import Rows, Store

__all__ = ["export_virelay"]

Array = npt.NDArray[Any]

DATASET, LABELS, MARK = "dataset.h5", "label-map.json", "signxai-export.json"
_ENDS = ("attribution.h5", "analysis.h5", "project.yaml")
_ANALYSIS = "spectral"
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class _Export:
    """What is exported: entries of a store, and where it goes."""

    store: Store
    folder: Path
    rows: Rows
    labels: Rows
    names: Sequence[str]
    rendering: Rendering


def export_virelay(
    store: Store | str | Path, folder: str | Path, methods: Sequence[str] | None = None, target: int | str | None = None
) -> list[Path]:
    """Write what ViRelAy shows of a store: its entries, their maps, and the clusters that were found by ``cluster_maps``.

    The files are written beside the folder first. A folder of an earlier export is replaced; any other that is not empty is refused.

    Args:
        store: to be exported, with all its entries explained, and with its inputs.
        folder: where the files go.
        methods: whose maps; None: of all of its methods.
        target: only entries of which this class is explained, by number or name; None: all.

    Returns:
        The projects, one for each method: ``virelay PROJECT ...`` opens them.

    Raises:
        OptionError: no such method, no entry of this class, no inputs in the store, or entries that are no pictures and no signals.
        TargetError: no such class.
        InputError: ``methods`` is one name instead of a list.
        StoreError: the folder holds something else, lies in the store or has it in it; the store is not complete; or a package is missing.
        OSError: the files cannot be written; then what was there stays.
    """
    require_export()
    opened, place = store if isinstance(store, Store) else Store(store), Path(folder)
    chosen = _methods(opened, methods)
    if not opened.is_complete:
        raise StoreError(f"{opened.path}: its run has not ended, and an export of a part would pass for all; let the run end first")
    _refuse_store(place, opened.path)
    _refuse_foreign(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with said_of_folder(place, part):
            projects = _write(_of(opened, part, target), chosen)
            _replace(part, place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [place / project.name for project in projects]


def _methods(store: Store, methods: Sequence[str] | None) -> list[str]:
    if isinstance(methods, str):
        raise InputError(f"methods={methods!r} is one name; give a list: [{methods!r}]")
    chosen = list(dict.fromkeys(store.methods if methods is None else methods))
    for method in chosen:
        if method not in store.methods:
            raise OptionError(f"{store.path} has no {method!r}; it has {', '.join(store.methods)}")
    return chosen


def _refuse_foreign(place: Path) -> None:
    """Raise if there is what no export wrote.

    Raises:
        StoreError: there is.
    """
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise StoreError(f"{place}: is no folder; name another place")
    if place.is_dir() and any(place.iterdir()) and not (place / MARK).is_file():
        raise StoreError(f"{place}: holds what no export wrote (there is no {MARK}); name another folder")
    if (place / MARK).is_file() and (more := sorted({path.name for path in place.iterdir()} - _written(place / MARK))):
        raise StoreError(f"{place}: holds {more[0]!r}, which no export wrote and which would be lost; move it, or name another folder")


def _written(mark: Path) -> set[str]:
    """The names of the files of an export, by the methods that its mark lists."""
    try:
        methods = json.loads(mark.read_text(encoding="utf-8"))["methods"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{mark}: does not say what the export wrote; name another folder") from error
    return {DATASET, LABELS, MARK, *(f"{method}.{end}" for method in methods for end in _ENDS)}


def _refuse_store(place: Path, store: Path) -> None:
    """Raise if the folder lies in the store, or the store in it.

    Raises:
        StoreError: it does.
    """
    folder, path = place.resolve(), store.resolve()
    if folder == path or path in folder.parents:
        raise StoreError(f"{place}: lies in the store {store}; name a folder outside of it")
    if folder in path.parents:
        raise StoreError(f"{place}: the store {store} lies in it, and would be lost with an older export; name another folder")


def _replace(part: Path, place: Path) -> None:
    """Let what is written count, in place of an earlier export."""
    old = part.with_suffix(".old")
    if place.exists():
        place.rename(old)
    part.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _of(store: Store, folder: Path, target: int | str | None) -> _Export:
    rows = store.rows(target=target)
    if not len(rows):
        raise OptionError(f"{store.path}: no entry of which {'a class' if target is None else repr(target)} is explained")
    labels, names = _labels(store, rows)
    rendering = rendering_of(store.path, store.view, store.relevance(store.methods[0], rows[:1]))
    return _Export(store, folder, rows, labels, names, rendering)


def _labels(store: Store, rows: Rows) -> tuple[Rows, list[str]]:
    """The number of each entry's label, and the names by number: of the classes, of labels that are none, and of no label."""
    names = list(store.class_names) or [f"class {number}" for number in range(store.array("logits", rows[:1]).shape[1])]
    count = len(names)
    given = store.array("label", rows) if "label" in store else np.full(len(rows), -1)
    numbers = np.array([_number(value, names, count) for value in given.tolist()], dtype=np.int64)
    return np.where(numbers < 0, len(names), numbers), [*names, "no label"]


def _number(label: int | str, names: list[str], classes: int) -> int:
    """The number of a label; one that is no class yet becomes the last.

    >>> names = ["cat", "dog"]
    >>> [_number(label, names, classes=2) for label in (1, 7, "owl", 2, 7, -1)], names
    ([1, 2, 3, 4, 2, -1], ['cat', 'dog', 'class 7', 'owl', 'class 2'])
    """
    if label == "" or (isinstance(label, int) and label < 0):
        return -1
    if isinstance(label, int) and label < classes:
        return label
    name = f"class {label}" if isinstance(label, int) else label
    if name not in names:
        names.append(name)
    return names.index(name)


def _write(export: _Export, methods: Sequence[str]) -> list[Path]:
    export.folder.mkdir()
    labels = [{"index": number, "word_net_id": _category(number), "name": name} for number, name in enumerate(export.names)]
    (export.folder / LABELS).write_text(json.dumps(labels, indent=1, ensure_ascii=False), encoding="utf-8")
    _write_dataset(export)
    projects = [_write_method(export, method) for method in methods]
    mark = {"signxai": __version__, "store": str(export.store.path), "entries": len(export.rows), "methods": list(methods)}
    (export.folder / MARK).write_text(json.dumps(mark, indent=1), encoding="utf-8")
    return projects


def _category(target: int) -> str:
    """What a class is called in files; digits keep the classes in their order."""
    return f"{target:05d}"


def _parts(rows: Rows) -> list[slice]:
    """Stretches of the rows that are in memory at once."""
    return [slice(start, min(start + _AT_ONCE, len(rows))) for start in range(0, len(rows), _AT_ONCE)]


def _created(file: Any, name: str, shape: Sequence[int], dtype: str) -> Any:
    """An array of the file with a chunk for each entry, compressed in the way that every HDF5 library reads."""
    return file.create_dataset(name, shape=tuple(shape), dtype=dtype, chunks=(1, *shape[1:]), compression="gzip", compression_opts=4)


def _write_dataset(export: _Export) -> None:
    import h5py

    with h5py.File(export.folder / DATASET, "w") as file:
        data = _created(file, "data", (len(export.rows), *export.rendering.shape), "uint8")
        file["label"] = export.labels
        file.create_dataset("key", data=export.store.keys(export.rows), dtype=h5py.string_dtype())
        for part in _parts(export.rows):
            data[part] = export.rendering.pictures(export.store.inputs(export.rows[part]))


def _write_method(export: _Export, method: str) -> Path:
    """The attributions, the analysis and the project of a method."""
    import h5py

    with h5py.File(export.folder / f"{method}.attribution.h5", "w") as file:
        maps = _created(file, "attribution", (len(export.rows), *export.rendering.shape), "float32")
        file["prediction"] = export.store.array("logits", export.rows)
        file["label"] = export.labels
        for part in _parts(export.rows):
            maps[part] = export.rendering.maps(export.store.relevance(method, export.rows[part]))
    found = [export.store.clusters(name, target) for name, target in export.store.clustered() if name == method]
    shown = [clusters for clusters in found if np.isin(clusters.rows, export.rows).all()]
    if shown:
        _write_analysis(export, method, shown)
    return _write_project(export, method, bool(shown))


def _write_analysis(export: _Export, method: str, found: Sequence[Clusters]) -> None:
    """The clusters by class; ViRelAy offers those of the first class for all, so only what every class has is written."""
    import h5py

    embeddings = [name for name in _first(found[0].embeddings, found[0].shown) if all(name in one.embeddings for one in found)]
    clusterings = [name for name in _first(found[0].clusterings, found[0].chosen) if all(name in one.clusterings for one in found)]
    with h5py.File(export.folder / f"{method}.analysis.h5", "w", track_order=True) as file:
        for one in found:
            group = file.create_group(_category(one.target), track_order=True)
            group["index"] = np.searchsorted(export.rows, one.rows)
            kept = group.create_group("embedding", track_order=True)
            for name in embeddings:
                kept[name] = one.embeddings[name]
            kept["spectral"].attrs["eigenvalue"] = np.array(one.eigenvalues)
            clusters = group.create_group("cluster", track_order=True)
            for name in clusterings:
                clusters[name] = one.clusterings[name]
                clusters[name].attrs["embedding"] = "spectral"


def _first(names: Any, name: str) -> list[str]:
    """Names with one of them first, which is shown at the start."""
    return [name, *(other for other in names if other != name)]


def _write_project(export: _Export, method: str, has_analysis: bool) -> Path:
    import yaml

    strategy = {"predicted": "predicted_label", "label": "true_label"}.get(str(export.store.run["settings"]["target"]), "given_class")
    name = export.store.path.name
    project: dict[str, Any] = {
        "name": f"{name}: {method}",
        "model": export.store.run["model"]["name"],
        "label_map": LABELS,
        "dataset": {"name": name, "type": "hdf5", "path": DATASET, **_sizes(export.rendering)},
        "attributions": {"attribution_method": method, "attribution_strategy": strategy, "sources": [f"{method}.attribution.h5"]},
    }
    if has_analysis:
        project["analyses"] = [{"analysis_method": _ANALYSIS, "sources": [f"{method}.analysis.h5"]}]
    path = export.folder / f"{method}.project.yaml"
    path.write_text(yaml.safe_dump({"project": project}, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _sizes(rendering: Rendering) -> dict[str, Any]:
    height, width, _ = rendering.shape
    return {"input_width": width, "input_height": height, "down_sampling_method": "none", "up_sampling_method": "none"}
