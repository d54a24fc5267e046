"""Spectral relevance analysis (Lapuschkin et al. 2019): the neighbour graph of maps, and its embedding.

The graph joins each map with its nearest neighbours, by weights that fall with the distance as it is measured where both lie
(Zelnik-Manor & Perona 2004), so that a small dense group among many that differ keeps nearly all its weight within. The embedding is
made of the graph's smoothest functions: the first eigenvectors of its normalized Laplacian (Ng, Jordan & Weiss 2001).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import eigsh
from sklearn.neighbors import NearestNeighbors

__all__ = ["embedding", "laplacian_eigen", "neighbour_graph"]

Array = npt.NDArray[Any]

_DENSE = 2500
"""Graphs of up to so many maps are decomposed as dense matrices, exactly."""
_SCALE = 7
"""The neighbour whose distance is a map's measure, as Zelnik-Manor & Perona have it."""


def neighbour_graph(features: Array, neighbours: int) -> Any:
    """The symmetric weights (n, n) between maps that are near each other, sparse, in float64, from 0 to 1.

    Args:
        features: (n, d), as ``features_of`` gives them.
        neighbours: of each map; a weight stands where one of two is among the other's.
    """
    distances, indices = NearestNeighbors(n_neighbors=neighbours).fit(features).kneighbors()
    measure = np.maximum(distances[:, min(_SCALE, neighbours) - 1], 1e-9)
    weights = np.exp(-(distances**2) / (measure[:, None] * measure[indices]))
    places = np.repeat(np.arange(len(features)), neighbours), indices.ravel()
    one_way = csr_matrix((weights.ravel(), places), shape=(len(features), len(features))).maximum(_copies(features))
    return one_way.maximum(one_way.T).tocsr()


def _copies(features: Array) -> Any:
    """Weights of 1 between equal maps, each joined with the 1st, 2nd, 4th, 8th ... next: of many at distance 0 the nearest are any."""
    _, numbers = np.unique(features.round(12), axis=0, return_inverse=True)
    order = np.argsort(numbers.ravel(), kind="stable")
    ends: list[tuple[Array, Array]] = []
    for copies in np.split(order, np.flatnonzero(np.diff(numbers.ravel()[order])) + 1):
        ends += [(copies, np.roll(copies, -(2**power))) for power in range((len(copies) - 1).bit_length())]
    rows, columns = (np.concatenate([pair[side] for pair in ends] or [order[:0]]) for side in (0, 1))
    apart = rows != columns
    return csr_matrix((np.ones(apart.sum()), (rows[apart], columns[apart])), shape=(len(features), len(features))).minimum(1)


def laplacian_eigen(graph: Any, count: int, seed: int) -> tuple[Array, Array]:
    """The smallest eigenvalues (count,) of the normalized Laplacian ``1 - D^-1/2 A D^-1/2`` and their eigenvectors (n, count).

    Args:
        graph: the weights A (n, n).
        count: of eigenvalues, at most n.
        seed: of where the search in a large graph begins.
    """
    scales = 1 / np.sqrt(np.maximum(_degrees(graph), 1e-300))
    scaled = graph.multiply(scales[:, None]).multiply(scales[None]).tocsr()
    if graph.shape[0] <= _DENSE:
        values, vectors = eigh(np.eye(graph.shape[0]) - scaled.toarray(), subset_by_index=(0, count - 1))
    else:
        start = np.random.default_rng(seed).normal(size=graph.shape[0])
        found, vectors = eigsh(scaled, count, which="LA", v0=start, ncv=4 * count + 20)
        order = np.argsort(-found, kind="stable")
        values, vectors = 1 - found[order], vectors[:, order]
    return np.maximum(values, 0), vectors * _signs(vectors)


def _signs(vectors: Array) -> Array:
    """By which each eigenvector's largest value is positive."""
    return np.where(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def embedding(vectors: Array, dimensions: int) -> Array:
    """Where each map lies by the first eigenvectors (n, dimensions): rows of length 1."""
    rows = vectors[:, :dimensions]
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300))


def _degrees(graph: Any) -> Array:
    return np.asarray(graph.sum(axis=1)).ravel()
