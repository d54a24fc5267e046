"""Patterns over a data set: which of a method's maps of a class are alike, by spectral relevance analysis (Lapuschkin et al. 2019)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai._version import __version__
from signxai.common.errors import InputError, OptionError, StoreError
from signxai.datasets.clusters import Clusters, write_clusters
from signxai.datasets.map_features import features_of
from signxai.datasets.packages import require_clustering, require_umap
from signxai.datasets.store import Rows, Store
from signxai.datasets.store_writer import StoreWriter

__all__ = ["LEAST_ENTRIES", "ClusterSettings", "classes_of", "cluster_maps"]

Array = npt.NDArray[Any]

LEAST_ENTRIES = 10
"""Of fewer maps nothing is said."""
CHOSEN = "hdbscan"
_KMEANS = range(2, 9)
_EIGENVALUES = 32
_DIMENSIONS = 16
_EQUAL = 1e-9
_DENSE_IN, _DENSE_SHARE = 12, 0.02
"""Dimensions in which dense clusters are looked for, and the share of a class that the smallest has."""
_PERPLEXITY = 30.0


@dataclass(frozen=True)
class ClusterSettings:
    """How maps are compared, and what is a cluster.

    Attributes:
        side: places along each side to which pictures are brought down, at most; signals keep four times as many along time.
        smoothing: standard deviation as a share of a picture's side, half of it along time: how far a thing may move and still be
            the same.
        neighbours: of each map in the graph; None: 8, or half the root of their number where that is more.
        umap: whether there is an embedding by UMAP, too.
        seed: of every draw.

    Raises:
        OptionError: a value that is not allowed.
    """

    side: int = 16
    smoothing: float = 0.05
    neighbours: int | None = None
    umap: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "side": (self.side >= 2, "at least 2 places"),
            "smoothing": (0 <= self.smoothing < 1, "a share of the side, from 0 to less than 1"),
            "neighbours": (self.neighbours is None or self.neighbours >= 2, "at least 2, or None"),
            "seed": (0 <= self.seed < 2**32, "a whole number from 0 to 4294967295"),
        }
        for name, (is_right, said) in checks.items():
            if not is_right:
                raise OptionError(f"{name}={getattr(self, name)!r} must be {said}")

    def neighbours_of(self, count: int) -> int:
        """How many neighbours each of so many maps has: never more than half of the others.

        >>> ClusterSettings().neighbours_of(100), ClusterSettings().neighbours_of(2000), ClusterSettings().neighbours_of(10)
        (8, 22, 4)
        """
        return min(self.neighbours or max(8, round(count**0.5 / 2)), (count - 1) // 2)


def cluster_maps(
    store: Store | str | Path,
    method: str,
    target: int | str | None = None,
    *,
    label: int | str | None = None,
    wrong: bool | None = None,
    settings: ClusterSettings | None = None,
) -> Clusters:
    """Find clusters among a method's maps of one class, and keep them in the store, in place of earlier ones.

    Maps are down-sized, smoothed and brought to one length; a graph joins each with its nearest. The clustering to lead with,
    ``hdbscan`` (Campello et al. 2013), has the dense clusters of the graph's spectral embedding, and -1 for what lies in none; where
    nothing is denser than the rest, all are one cluster. There are ``kmeans-2`` to ``kmeans-8`` of the embedding, too, and a t-SNE of it
    to draw. Maps that are zero are in no cluster (-1), and lie at 0. The same store, settings and versions give the same arrays, byte by
    byte, on the same machine.

    Args:
        store: with all its entries explained.
        method: whose maps.
        target: the class that they explain, by number or name; None: the only one of which there are maps.
        label: only of entries that are said to belong to this class.
        wrong: True: only of entries whose predicted class is not their label; False: only where it is; None: of all.
        settings: how maps are compared.

    Raises:
        OptionError: no such method, or several classes and none is named.
        TargetError: no such class.
        InputError: fewer than ten entries, or than ten whose map is not zero.
        StoreError: a run writes to the store, or it is not complete; or a package is missing.
        OSError: the store cannot be written.
    """
    require_clustering()
    settings = settings or ClusterSettings()
    if settings.umap:
        require_umap()
    path = store.path if isinstance(store, Store) else Path(store)
    Store(path)  # what is no store gets no lock beside it
    with StoreWriter(path):
        opened = Store(path)
        number = _class(opened, method, target)
        clusters = _found(opened, method, number, _rows(opened, method, number, label, wrong), settings, _as_json(label=label, wrong=wrong))
        write_clusters(path, clusters)
    return clusters


def _as_json(**asked: Any) -> dict[str, Any]:
    """What was asked for, with numbers of NumPy as plain ones."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in asked.items()}


def classes_of(store: Store, method: str) -> dict[int, int]:
    """How many of a method's maps explain each class, by its number.

    Raises:
        OptionError: the store has no such method.
    """
    if method not in store.methods:
        raise OptionError(f"{store.path} has no {method!r}; it has {', '.join(store.methods)}")
    numbers, counts = np.unique(store.array("target", store.rows()), return_counts=True)
    return {int(number): int(count) for number, count in zip(numbers, counts, strict=True)}


def _class(store: Store, method: str, target: int | str | None) -> int:
    """The number of the class whose maps are asked for."""
    there = classes_of(store, method)
    if target is not None:
        return store.class_of(target)
    if len(there) != 1:
        listed = ", ".join(f"{number}: {name}" if (name := _name(store, number)) else str(number) for number in [*there][:10])
        raise OptionError(f"maps of {len(there)} classes ({listed}): give target=, the one to be looked at, by number or name")
    return next(iter(there))


def _name(store: Store, number: int) -> str:
    """What a class is called; "": it has a number only."""
    return str(store.class_names[number]) if number < len(store.class_names) else ""


def _rows(store: Store, method: str, target: int, label: int | str | None, wrong: bool | None) -> Rows:
    """The entries whose maps are compared.

    Raises:
        StoreError: the store is not complete.
        InputError: there are too few.
    """
    if not store.is_complete:
        raise StoreError(f"{store.path}: its run has not ended, and clusters of a part would pass for those of all; let the run end first")
    rows = store.rows(target=target, label=label, wrong=wrong)
    if len(rows) < LEAST_ENTRIES:
        raise InputError(f"{len(rows)} maps of {method} explain class {target} as asked for; at least {LEAST_ENTRIES} are needed")
    return rows


def _found(store: Store, method: str, target: int, rows: Rows, settings: ClusterSettings, asked: dict[str, Any]) -> Clusters:
    from threadpoolctl import threadpool_limits

    features = features_of(store, method, rows, settings.side, settings.smoothing)
    is_there: npt.NDArray[np.bool_] = np.abs(features).max(1) > 0
    if is_there.sum() < LEAST_ENTRIES:
        raise InputError(f"{is_there.sum()} of {len(rows)} maps of {method} and class {target} are not zero; {LEAST_ENTRIES} are needed")
    with threadpool_limits(1):  # sums in one order, however many cores there are
        eigenvalues, embeddings, clusterings = _analysis(features[is_there], settings)
    return Clusters(
        method=method,
        target=target,
        rows=rows,
        embeddings={name: _spread(values.astype(np.float32), is_there, 0.0) for name, values in embeddings.items()},
        clusterings={name: _spread(values.astype(np.int64), is_there, -1) for name, values in clusterings.items()},
        eigenvalues=tuple(float(value) for value in eigenvalues),
        shown="umap" if settings.umap else "tsne",
        chosen=CHOSEN,
        settings=asdict(settings) | asked | {"neighbours": settings.neighbours_of(int(is_there.sum()))},
        class_name=_name(store, target),
        seed=settings.seed,
        versions={"signxai": __version__} | {name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
    )


def _spread(values: Array, is_there: npt.NDArray[np.bool_], fill: float) -> Array:
    """Values of the maps that are not zero as those of all."""
    spread = np.full((len(is_there), *values.shape[1:]), fill, values.dtype)
    spread[is_there] = values
    return spread


def _analysis(features: Array, settings: ClusterSettings) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    """The eigenvalues, embeddings and clusterings of maps none of which is zero."""
    from signxai.datasets import spectral

    graph = spectral.neighbour_graph(features, settings.neighbours_of(len(features)))
    eigenvalues, vectors = spectral.laplacian_eigen(graph, min(_EIGENVALUES, len(features)), settings.seed)
    points = spectral.embedding(vectors, _DIMENSIONS)
    embeddings = {"spectral": points, "tsne": _tsne(points, settings.seed)}
    if settings.umap:
        embeddings["umap"] = _umap(points, settings.seed)
    differ = bool(np.ptp(features, axis=0).max() > _EQUAL)  # of equal maps, neighbours are any
    dense = _hdbscan(spectral.embedding(vectors, _DENSE_IN if differ else 1), max(LEAST_ENTRIES // 2, round(_DENSE_SHARE * len(features))))
    clusterings = {CHOSEN: dense} | {
        f"kmeans-{count}": _kmeans(spectral.embedding(vectors, count), count, settings.seed) for count in _KMEANS
    }
    return eigenvalues, embeddings, clusterings


def _by_size(found: Rows) -> Rows:
    """Numbers of clusters anew, 0 for the largest; -1, in none, stays.

    >>> _by_size(np.array([4, 4, -1, 2, 2, 2])).tolist()
    [1, 1, -1, 0, 0, 0]
    """
    names, counts = np.unique(found[found >= 0], return_counts=True)
    order = {int(name): place for place, name in enumerate(names[np.argsort(-counts, kind="stable")])}
    return np.array([order.get(int(name), -1) for name in found], dtype=np.int64)


def _hdbscan(points: Array, smallest: int) -> Rows:
    """The dense cluster of each point, 0 for the largest; -1: in none. Where none is denser than the others, all are one."""
    from sklearn.cluster import HDBSCAN

    found = HDBSCAN(min_cluster_size=smallest, copy=True).fit_predict(points.round(9))
    return _by_size(found) if (found >= 0).any() else np.zeros(len(points), dtype=np.int64)


def _kmeans(points: Array, count: int, seed: int) -> Rows:
    """The cluster of each point by k-means, 0 for the largest; fewer clusters where fewer points differ."""
    from sklearn.cluster import KMeans

    differing = len(np.unique(points.round(9), axis=0))
    return _by_size(KMeans(min(count, differing), n_init=10, random_state=seed).fit_predict(points.round(9)))


def _start(points: Array) -> Array:
    """Where embeddings in two dimensions begin: the two directions in which the points differ most, small."""
    centred = points - points.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    axes = left[:, :2] * sizes[:2]
    axes = axes * np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1.0, 1.0)
    return np.asarray(axes / max(float(axes[:, 0].std()), 1e-12))


def _tsne(points: Array, seed: int) -> Array:
    """The points in two dimensions, neighbours near each other (van der Maaten & Hinton 2008)."""
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    start = (_start(points) * 1e-4).astype(np.float32)
    return np.asarray(TSNE(2, perplexity=perplexity, learning_rate="auto", init=start, random_state=seed).fit_transform(points))


def _umap(points: Array, seed: int) -> Array:
    """The points in two dimensions by UMAP (McInnes et al. 2018)."""
    from umap import UMAP

    start = (_start(points) * 10).astype(np.float32)
    found = UMAP(n_neighbors=min(15, len(points) - 1), n_components=2, init=start, random_state=seed, n_jobs=1).fit_transform(points)
    return np.asarray(found)
