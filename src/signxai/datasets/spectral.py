"""Spectral relevance analysis (Lapuschkin et al. 2019): the neighbour graph of maps, its embedding, and what stands apart in it.

The graph joins each map with its nearest neighbours, by weights that fall with the distance as it is measured where both lie
(Zelnik-Manor & Perona 2004), so that a small dense group among many that differ keeps nearly all its weight within. How much of a
set's weight leaves it is its conductance. The embedding is made of the graph's smoothest functions: the first eigenvectors of its
normalized Laplacian (Ng, Jordan & Weiss 2001).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from sklearn.cluster import ward_tree
from sklearn.neighbors import NearestNeighbors

__all__ = ["conductances", "embedding", "laplacian_eigen", "neighbour_graph", "separated_sets"]

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

_DENSE = 2500
"""Graphs of up to so many maps are decomposed as dense matrices, exactly."""
_SCALE = 7
"""The neighbour whose distance is a map's measure, as Zelnik-Manor & Perona have it."""
_FULL_LIMIT, _FULL_SHARE = 40, 0.2
"""Larger sets than that, or than that share of all, may send out less, as the border of any part of a plane is: by the root of the size."""
_DIMENSIONS = (8, 16)
"""Of the embeddings whose trees propose sets."""
_PARTED = 4.0
"""A set of more than so many times a part's conductance, and _SLACK, is that part and something beside it."""
_SLACK = 0.02
_REFINEMENTS = 6


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


def conductances(graph: Any, sets: Flags) -> Array:
    """Of each set (m,) the share of its weight that leaves it, 0 to 1; of a set with more than half of all weight, that of the others.

    Args:
        graph: the weights (n, n).
        sets: which maps are in it, for each set (m, n).
    """
    degrees = _degrees(graph)
    inside = sets.astype(np.float64)
    volumes = inside @ degrees
    leaving = volumes - np.einsum("mn,nm->m", inside, graph @ inside.T)
    smaller = np.minimum(volumes, degrees.sum() - volumes)
    return np.where(smaller > 0, np.maximum(leaving, 0) / np.where(smaller > 0, smaller, 1), 1.0)


def separated_sets(graph: Any, vectors: Array, limit: float, smallest: int) -> list[Flags]:
    """The sets of maps (n,) that stand apart, the largest first, no map in two: nearly all of their weight stays within.

    Proposed are the components of the graph and the branches of Ward trees over it; a set takes what has most of its weight in it,
    and leaves what has not. Of those whose conductance is under the limit the largest counts that is not merely the sum of its parts.

    Args:
        graph: the weights (n, n).
        vectors: eigenvectors of its Laplacian (n, m).
        limit: conductance of a set of up to 40 maps and a fifth of all, at most; of larger ones it falls with the root of their size.
        smallest: maps in a set, at least.
    """
    sets = _proposed(graph, vectors, smallest)
    leaving = conductances(graph, sets)
    sizes = sets.sum(1)
    largest = min(_FULL_LIMIT, _FULL_SHARE * graph.shape[0])
    apart = leaving <= limit * np.minimum(1, np.sqrt(largest / np.maximum(sizes, 1)))
    sets, leaving, sizes = sets[apart], leaving[apart], sizes[apart]
    order = np.lexsort((leaving, -sizes))
    sets, leaving = sets[order], leaving[order]
    chosen: list[Flags] = []
    for number, candidate in enumerate(sets):
        if not any((candidate & taken).any() for taken in chosen) and _is_one(graph, number, sets, leaving):
            chosen.append(candidate)
    return chosen


def _is_one(graph: Any, number: int, sets: Flags, leaving: Array) -> bool:
    """Whether a set is not merely a part that stands further apart, with others beside it."""
    whole = sets[number]
    for place in np.flatnonzero((sets <= whole).all(1) & (sets.sum(1) < whole.sum())):
        part = sets[place]
        if leaving[number] > _PARTED * leaving[place] + _SLACK:
            return False
        to_rest, to_all = (float((graph @ others.astype(np.float64))[part].sum()) for others in (whole & ~part, ~part))
        if to_rest < to_all / 2 or to_all == 0:
            return False
    return True


def _proposed(graph: Any, vectors: Array, smallest: int) -> Flags:
    """Sets (m, n) that may stand apart, each of half of the maps at most."""
    first = [_components(graph), *(_branches(graph, embedding(vectors, count), smallest) for count in _DIMENSIONS)]
    found: dict[bytes, Flags] = {}
    sets = _halved(np.concatenate(first))
    for _ in range(_REFINEMENTS):
        sets = sets[(sets.sum(1) >= smallest) & (sets.sum(1) <= graph.shape[0] / 2)]
        found |= {one.tobytes(): one for one in sets if one.tobytes() not in found}
        sets = 0.5 * _degrees(graph) < (graph @ sets.T.astype(np.float64)).T
    return np.array(list(found.values()), dtype=bool).reshape(-1, graph.shape[0])


def _halved(sets: Flags) -> Flags:
    """Each set, or the others where it has more than half."""
    return np.where(sets.sum(1, keepdims=True) > sets.shape[1] / 2, ~sets, sets)


def _components(graph: Any) -> Flags:
    count, numbers = connected_components(graph, directed=False)
    return np.asarray(numbers == np.arange(count)[:, None])


def _branches(graph: Any, points: Array, smallest: int) -> Flags:
    """The branches (m, n) of a Ward tree along the graph's edges that are neither smaller than that nor lack so few."""
    children = ward_tree(points, connectivity=_joined(graph))[0]
    order, starts, stops = _leaves(children, len(points))
    wide = [node for node in range(len(starts)) if smallest <= stops[node] - starts[node] <= len(points) - smallest]
    branches = np.zeros((len(wide), len(points)), dtype=bool)
    for row, node in enumerate(wide):
        branches[row, order[starts[node] : stops[node]]] = True
    return branches


def _leaves(children: Array, count: int) -> tuple[Array, Array, Array]:
    """The leaves of a tree in an order in which those of each inner node lie from its start to its stop."""
    sizes = np.ones(count + len(children), dtype=np.int64)
    for node, (one, other) in enumerate(children, count):
        sizes[node] = sizes[one] + sizes[other]
    starts = np.zeros(count + len(children), dtype=np.int64)
    for node in range(len(sizes) - 1, count - 1, -1):
        one, other = children[node - count]
        starts[one], starts[other] = starts[node], starts[node] + sizes[one]
    return np.argsort(starts[:count], kind="stable"), starts[count:], (starts + sizes)[count:]


def _joined(graph: Any) -> Any:
    """The graph in one piece, for a tree over it: components hang on the first by an edge of next to no weight."""
    count, numbers = connected_components(graph, directed=False)
    if count == 1:
        return graph
    firsts = np.array([np.flatnonzero(numbers == number)[0] for number in range(count)])
    links = csr_matrix((np.full(count - 1, 1e-9), (firsts[1:], np.full(count - 1, firsts[0]))), graph.shape)
    return graph.maximum(links).maximum(links.T).tocsr()


def _degrees(graph: Any) -> Array:
    return np.asarray(graph.sum(axis=1)).ravel()
