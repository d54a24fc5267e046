"""Clusters of relevance maps in a store: their layout, read back, and written whole or not at all."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import OptionError, StoreError
from signxai.datasets.packages import zarr_package
from signxai.datasets.store_checks import BROKEN

__all__ = ["Clusters", "clustered", "clusters_read", "standing_out", "write_clusters"]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

FOLDER = "cluster"
_LOST = -2
"""What whole numbers read as whose file is gone: neither a row nor a cluster."""
_STANDS_OUT, _TIMES = 0.2, 3
"""A trait is told whose share is larger by that than among the others, or so many times larger."""
_AT_LEAST = 3
_TRAITS = 3


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters among a method's maps of one class.

    Attributes:
        method: whose maps these are.
        target: the class that the maps explain.
        rows: the entries (n,), ascending indices into the store.
        embeddings: by name, where each of them lies (n, d), float32: ``spectral``, ``tsne``, perhaps ``umap``.
        clusterings: by name, the cluster of each (n,), int64, from 0; -1: in none.
        eigenvalues: of the graph's Laplacian, the smallest first.
        shown: the name of the embedding to draw, of two dimensions.
        chosen: the name of the clustering to lead with.
        settings: by which they were found, as JSON has them.
        class_name: the name of the class; "": it has none.
        seed: of every draw.
        versions: of the packages that they were found with.
    """

    method: str
    target: int
    rows: Rows
    embeddings: Mapping[str, Array]
    clusterings: Mapping[str, Rows]
    eigenvalues: tuple[float, ...]
    shown: str
    chosen: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    class_name: str = ""
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    def members(self, cluster: int, clustering: str = "") -> Rows:
        """The entries of a cluster, as indices into the store.

        Args:
            cluster: its number; -1: the entries that are in none.
            clustering: by its name; "": the chosen one.

        Raises:
            OptionError: there is no such clustering.
        """
        found = self.clusterings.get(clustering or self.chosen)
        if found is None:
            raise OptionError(f"no clustering {clustering!r}; there are {', '.join(self.clusterings)}")
        return np.asarray(self.rows[found == cluster])

    def sizes(self, clustering: str = "") -> dict[int, int]:
        """How many entries each cluster has, by its number, the entries that are in none left out."""
        numbers, counts = np.unique(self.clusterings[clustering or self.chosen], return_counts=True)
        return {int(number): int(count) for number, count in zip(numbers, counts, strict=True) if number >= 0}

    def eigengap(self) -> int:
        """After how many eigenvalues the widest gap lies: about as many parts the graph has."""
        return 1 + int(np.argmax(np.diff(self.eigenvalues))) if len(self.eigenvalues) > 1 else 1

    def nearest(self, cluster: int, count: int = 3) -> Rows:
        """The entries nearest a cluster's centre in the spectral embedding, as indices into the store, the nearest first.

        Args:
            cluster: its number in the chosen clustering.
            count: of entries, at most.
        """
        members = np.flatnonzero(self.clusterings[self.chosen] == cluster)
        points = self.embeddings["spectral"][members].astype(np.float64)
        distances = np.linalg.norm(points - points.mean(0), axis=1)
        return np.asarray(self.rows[members[np.argsort(distances, kind="stable")[:count]]])


def clustered(path: Path) -> list[tuple[str, int]]:
    """Of which method and class a store has clusters, in the order of their names; what a killed writer left beside them is no class.

    Args:
        path: of the store.
    """
    places = [place for method in _folders(path / FOLDER) for place in _folders(method) if place.name.isdecimal()]
    return sorted((place.parent.name, int(place.name)) for place in places)


def _folders(folder: Path) -> list[Path]:
    return [place for place in folder.iterdir() if place.is_dir()] if folder.is_dir() else []


def _broken(folder: Path, error: Exception) -> StoreError:
    said = str(error) or type(error).__name__
    return StoreError(f"{folder}: clusters are broken ({said}); remove this folder, and find them anew by `signxai cluster`")


def clusters_read(path: Path, group: Any, method: str, target: int) -> Clusters:
    """The clusters that a store has of a method and a class.

    Args:
        path, group: of the store.
        method, target: whose.

    Raises:
        OptionError: there are none.
        StoreError: they are broken.
    """
    if (method, target) not in (known := clustered(path)):
        there = ", ".join(f"{name} of class {number}" for name, number in known) or "none at all"
        raise OptionError(f"no clusters of {method!r} and class {target}; there are {there}: find them by `signxai cluster`")
    try:
        found = _clusters_in(group[f"{FOLDER}/{method}/{target}"], method, target)
        _check(found)
    except BROKEN as error:
        raise _broken(path / FOLDER / method / str(target), error) from error
    return found


def _clusters_in(found: Any, method: str, target: int) -> Clusters:
    attributes = dict(found.attrs)
    return Clusters(
        method=method,
        target=target,
        rows=np.asarray(found["rows"][:]),
        embeddings=_arrays(found["embedding"]),
        clusterings=_arrays(found["clustering"]),
        eigenvalues=tuple(attributes["eigenvalues"]),
        shown=attributes["shown"],
        chosen=attributes["chosen"],
        settings=attributes["settings"],
        class_name=attributes["class_name"],
        seed=attributes["seed"],
        versions=attributes["versions"],
    )


def _check(found: Clusters) -> None:
    """Let what is not of these entries be an error.

    Raises:
        ValueError: it is not.
    """
    if found.shown not in found.embeddings or "spectral" not in found.embeddings or found.chosen not in found.clusterings:
        raise ValueError("an embedding or a clustering is missing")
    for name, values in (("rows", found.rows), *found.embeddings.items(), *found.clusterings.items()):
        if len(values) != len(found.rows) or _is_lost(values):
            raise ValueError(f"values of {name} are missing")
    if (np.diff(found.rows) <= 0).any():
        raise ValueError("the rows do not ascend")


def _is_lost(values: Array) -> bool:
    """Whether there is what stands where no file is."""
    return bool(np.isnan(values).any() if values.dtype.kind == "f" else (values == _LOST).any())


def _arrays(group: Any) -> dict[str, Array]:
    return {name: np.asarray(array[:]) for name, array in sorted(group.arrays())}


def write_clusters(path: Path, clusters: Clusters) -> None:
    """Write clusters into a store, beside their place first, then renamed; they replace earlier ones of the method and class.

    Args:
        path: of the store, which the caller has locked.
        clusters: to be kept.

    Raises:
        StoreError: earlier ones are broken, so that these cannot stand beside them.
        OSError: they cannot be written.
    """
    zarr = zarr_package()
    folder = path / FOLDER / clusters.method
    try:
        zarr.open_group(path, mode="r+").require_group(f"{FOLDER}/{clusters.method}")
    except BROKEN as error:
        raise _broken(path / FOLDER, error) from error
    part, old = folder / f".{clusters.target}.part", folder / f".{clusters.target}.old"
    for left in (part, old):
        shutil.rmtree(left, ignore_errors=True)
    _fill(zarr.open_group(part, mode="w", zarr_format=3, attributes=_attributes(clusters)), clusters)
    place = folder / str(clusters.target)
    if place.exists():
        place.rename(old)
    part.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _attributes(clusters: Clusters) -> dict[str, Any]:
    return {
        "method": clusters.method,
        "class": clusters.target,
        "class_name": clusters.class_name,
        "eigenvalues": list(clusters.eigenvalues),
        "shown": clusters.shown,
        "chosen": clusters.chosen,
        "settings": dict(clusters.settings),
        "seed": clusters.seed,
        "versions": dict(clusters.versions),
    }


def _fill(group: Any, clusters: Clusters) -> None:
    """Write the arrays, each as one chunk."""
    arrays: dict[str, Array] = {"rows": clusters.rows.astype(np.int64)}
    arrays |= {f"embedding/{name}": values.astype(np.float32) for name, values in clusters.embeddings.items()}
    arrays |= {f"clustering/{name}": values.astype(np.int64) for name, values in clusters.clusterings.items()}
    for name, values in arrays.items():
        lost = float("nan") if values.dtype.kind == "f" else _LOST
        group.create_array(name, shape=values.shape, chunks=values.shape, dtype=values.dtype, fill_value=lost)[:] = values


def standing_out(members: Sequence[str], others: Sequence[str]) -> list[tuple[str, float, float]]:
    """The labels, groups or predictions of a cluster that stand out, with their shares here and among the others, the most frequent first.

    >>> standing_out(["cat"] * 4, ["cat"] * 2 + ["dog"] * 6)
    [('cat', 1.0, 0.25)]
    """
    elsewhere = Counter(others)
    found = []
    for value, count in Counter(members).most_common():
        share, other = count / len(members), elsewhere[value] / max(1, len(others))
        if count >= _AT_LEAST and (share - other >= _STANDS_OUT or (share >= _STANDS_OUT / 2 and share >= _TIMES * other)):
            found.append((value, share, other))
    return found[:_TRAITS]
