"""Patterns among maps: what was planted is found, what was not is not, and the numbers are those of a plain computation."""

import numpy as np
import pytest
import torch
from torch import nn

from signxai.common import InputError, OptionError, StoreError, TargetError
from signxai.datasets import ArraySource, ClusterSettings, PictureView, SignalView, Store, ValuesView, cluster_maps, explain_dataset

zarr = pytest.importorskip("zarr")

from planted import picture, pictures, trained  # noqa: E402
from signxai.datasets.map_features import feature_rows, features_of  # noqa: E402
from signxai.datasets.spectral import embedding, laplacian_eigen, neighbour_graph  # noqa: E402
from signxai.datasets.store_writer import StoreWriter  # noqa: E402

connected_components = pytest.importorskip("scipy.sparse.csgraph").connected_components


class AsItIs(nn.Module):
    """Two outputs, each the sum of its half of the channels: gradient x input is the input."""

    def forward(self, x):
        flat = x.flatten(1)
        return torch.stack([flat.sum(1), -flat.sum(1)], 1)


def store_of(maps, path, **options):
    """A store whose maps of class 0 by gradient x input are these."""
    values = np.asarray(maps, dtype=np.float32)
    given = {"target": 0, "batch_size": 16} | options
    labels = given.pop("labels", None)
    return explain_dataset(AsItIs(), ArraySource(values, labels=labels), ["gradient_x_input"], path, **given)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Maps of 300 discs, 15 of which carry a tag that the network uses."""
    values, kinds, tagged = pictures(seed=1, count=300, tagged=15)
    net = trained(values, kinds)
    others = np.stack([picture(np.random.default_rng(place), 1 + place % 2, (2, 2, 7, 9)) for place in range(40)])
    with torch.no_grad():
        assert (net(torch.from_numpy(others)).argmax(1) == 0).float().mean() > 0.8, "the network does not use the tag"
    path = tmp_path_factory.mktemp("planted") / "maps.zarr"
    methods = ["lrp_epsilon_0_25_std_x", "lrp_alpha_1_beta_0", "gradient_x_input"]
    discs = np.flatnonzero(kinds == 0)
    store = explain_dataset(net, ArraySource(values[discs], labels=[0] * len(discs)), methods, path, target="label")
    return store, tagged[discs]


@pytest.mark.parametrize("method", ["lrp_epsilon_0_25_std_x", "lrp_alpha_1_beta_0", "gradient_x_input"])
def test_a_tag_that_the_network_uses_is_one_cluster(planted, method):
    store, tagged = planted
    found = cluster_maps(store, method)
    clusters = [np.isin(np.arange(len(store)), found.members(number)) for number in found.sizes()]
    purest = max(clusters, key=lambda members: tagged[members].mean())
    assert tagged[purest].mean() >= 0.9
    assert tagged[purest].sum() >= 0.9 * tagged.sum()


def test_the_same_store_and_seed_give_the_same_bytes(planted):
    store, _ = planted
    folder = store.path / "cluster" / "lrp_alpha_1_beta_0" / "0"

    def contents():
        cluster_maps(store, "lrp_alpha_1_beta_0", settings=ClusterSettings(seed=7))
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    first = contents()
    assert first == contents()
    assert {"rows", "embedding", "clustering", "zarr.json"} <= {name.split("/")[0] for name in first}
    again = Store(store.path).clusters("lrp_alpha_1_beta_0", 0)
    assert set(again.clusterings) == {"hdbscan", *(f"kmeans-{count}" for count in range(2, 9))}
    assert all(len(again.sizes(f"kmeans-{count}")) == count for count in range(2, 9))
    assert again.embeddings["tsne"].shape == (300, 2)
    assert (again.shown, again.chosen, again.seed) == ("tsne", "hdbscan", 7)


def drawn(count, seed=0):
    """Features (n, 6) in three groups."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(count, 6)) * 0.3 + np.eye(6)[draw.integers(0, 3, count)]
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def plain_graph(features, neighbours):
    """The weights as their definition has them, one by one."""
    count = len(features)
    distances = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in features] for a in features])
    weights = np.zeros((count, count))
    near = [sorted((j for j in range(count) if j != i), key=lambda j: distances[i, j])[:neighbours] for i in range(count)]
    measure = [distances[i, near[i][min(7, neighbours) - 1]] for i in range(count)]
    for i in range(count):
        for j in near[i]:
            weights[i, j] = weights[j, i] = np.exp(-(distances[i, j] ** 2) / (measure[i] * measure[j]))
    return weights


@pytest.mark.parametrize("neighbours", [3, 8])
def test_graph_and_embedding_are_those_of_a_plain_computation(neighbours):
    features = drawn(60)
    graph = neighbour_graph(features, neighbours)
    weights = plain_graph(features, neighbours)
    assert np.allclose(graph.toarray(), weights, rtol=1e-10, atol=1e-12)
    degrees = weights.sum(1)
    wanted, functions = np.linalg.eigh(np.eye(60) - weights / np.sqrt(degrees[:, None] * degrees))
    values, vectors = laplacian_eigen(graph, 10, seed=0)
    assert np.allclose(values, np.maximum(wanted[:10], 0), atol=1e-12)
    # Equal eigenvalues leave a rotation open: what they span together is compared.
    edges = np.flatnonzero(np.diff(wanted[:11]) > 1e-6) + 1
    for start, stop in zip([0, *edges[:-1]], edges, strict=True):
        mine, plain = vectors[:, start:stop], functions[:, start:stop]
        assert np.allclose(mine @ mine.T, plain @ plain.T, atol=1e-8)
    assert np.allclose(np.linalg.norm(embedding(vectors, 4), axis=1), 1)


def test_a_large_graph_has_the_eigenvalues_of_a_dense_one(monkeypatch):
    from signxai.datasets import spectral

    graph = neighbour_graph(drawn(300), 8)
    dense = laplacian_eigen(graph, 12, seed=0)
    monkeypatch.setattr(spectral, "_DENSE", 100)
    sparse = laplacian_eigen(graph, 12, seed=0)
    assert np.allclose(dense[0], sparse[0], atol=1e-10)
    apart = np.flatnonzero((np.diff(dense[0], prepend=-1) > 1e-3) & (np.diff(dense[0], append=3) > 1e-3))
    assert np.allclose(abs((dense[1] * sparse[1]).sum(0))[apart], 1, atol=1e-8)


def spikes(count, at, draw):
    values = 0.3 * draw.normal(size=(count, 2, 400))
    for row, place in enumerate(draw.integers(100, 300, count)):
        values[row, :, place : place + 30] += 1
    values[: count // 20, 1, at : at + 12] += 6
    return values


def test_a_spike_in_signals_is_one_cluster(tmp_path):
    store = store_of(spikes(200, 350, np.random.default_rng(0)), tmp_path / "maps.zarr")
    assert isinstance(store.view, SignalView)
    found = cluster_maps(store, "gradient_x_input")
    assert list(range(10)) in [list(found.members(number)) for number in found.sizes()]


def test_maps_are_read_in_parts_and_down_sized(tmp_path, monkeypatch):
    from signxai.datasets import map_features

    maps = np.random.default_rng(0).normal(size=(30, 3, 48, 32))
    store = store_of(maps, tmp_path / "maps.zarr")
    whole = features_of(store, "gradient_x_input", np.arange(30), 16, 0.0)
    signed = store.relevance("gradient_x_input").astype(np.float64).sum(1).reshape(30, 16, 3, 16, 2)
    means = [np.sqrt((np.where(sign * signed > 0, signed, 0) ** 2).mean((2, 4))).reshape(30, 256) for sign in (1, -1)]
    wanted = np.concatenate(means, axis=1)
    assert np.allclose(whole, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-12)
    monkeypatch.setattr(map_features, "_AT_ONCE", 7 * 3 * 48 * 32)
    assert np.allclose(features_of(store, "gradient_x_input", np.arange(30), 16, 0.0), whole, atol=1e-14)
    assert feature_rows(np.ones((2, 5)), ValuesView(), 16, 0.1).shape == (2, 10)
    assert feature_rows(np.ones((2, 3, 9, 7)), PictureView(), 16, 0.1).shape == (2, 126)


def test_zero_maps_are_in_no_cluster(tmp_path):
    maps = np.random.default_rng(0).normal(size=(40, 3, 6, 6))
    maps[[3, 17]] = 0
    found = cluster_maps(store_of(maps, tmp_path / "maps.zarr"), "gradient_x_input", 0)
    assert all(list(found.members(-1, name)) == [3, 17] for name in found.clusterings)
    assert not found.embeddings["tsne"][[3, 17]].any()
    assert sum(found.sizes().values()) == 38


@pytest.mark.parametrize("count", [10, 60])
def test_equal_maps_are_one_cluster(count, tmp_path):
    maps = np.ones((count, 3, 6, 6)) * np.random.default_rng(0).normal(size=(3, 6, 6))
    found = cluster_maps(store_of(maps, tmp_path / "maps.zarr"), "gradient_x_input", 0)
    assert found.sizes() == {0: count}
    assert np.isfinite(found.embeddings["tsne"]).all()


def test_equal_maps_hang_together_however_many():
    """The nearest of many at distance 0 are any, and may leave them in pieces."""
    features = np.concatenate([np.tile([[0.0, 0.6, 0.8]], (200, 1)), drawn(50)[:, :3]])
    graph = neighbour_graph(features, 4)[:200, :200]
    assert connected_components(graph)[0] == 1
    assert (graph.diagonal(1) == 1).all(), "each with its next"
    assert (graph.diagonal(64) == 1).all(), "and with ones far off"


def test_a_graph_in_pieces_is_its_pieces(tmp_path):
    draw = np.random.default_rng(0)
    kinds = np.repeat(range(4), 25)
    maps = np.zeros((100, 3, 16, 16))
    for row, kind in enumerate(kinds):
        maps[row, :, 8 * (kind // 2) + 2 : 8 * (kind // 2) + 5, 8 * (kind % 2) + 2 : 8 * (kind % 2) + 5] = 1 + 0.1 * draw.normal(
            size=(3, 3)
        )
    found = cluster_maps(store_of(maps, tmp_path / "maps.zarr"), "gradient_x_input", 0, settings=ClusterSettings(smoothing=0.0))
    assert found.eigenvalues[3] < 1e-9 < found.eigenvalues[4]
    assert found.eigengap() == 4
    pieces = [list(range(25 * kind, 25 * kind + 25)) for kind in range(4)]
    assert sorted(list(found.members(number, "kmeans-4")) for number in found.sizes("kmeans-4")) == pieces
    assert all(len(set(found.members(number) // 25)) == 1 for number in found.sizes())


def test_entries_are_picked_by_class_label_and_being_wrong(tmp_path):
    maps = np.random.default_rng(0).normal(size=(60, 3, 6, 6))
    store = store_of(maps, tmp_path / "maps.zarr", target="predicted", labels=[index % 2 for index in range(60)], class_names=["a", "b"])
    assert list(cluster_maps(store, "gradient_x_input", "a").rows) == list(store.rows(target=0))
    picked = cluster_maps(store.path, "gradient_x_input", "a", label="a", wrong=False)
    assert list(picked.rows) == list(store.rows(target=0, label=0, wrong=False))
    assert (picked.class_name, picked.settings["label"], picked.settings["wrong"]) == ("a", "a", False)
    with pytest.raises(OptionError, match=r"maps of 2 classes \(0: a, 1: b\): give target="):
        cluster_maps(store, "gradient_x_input")


WRONG = {
    "no such method": ({"method": "lrp_z"}, OptionError, "has no 'lrp_z'; it has gradient_x_input"),
    "no such class": ({"target": 7}, TargetError, "0 to 1"),
    "a class without maps": ({"target": 1}, InputError, "0 maps of gradient_x_input explain class 1"),
    "no smoothing": ({"settings": {"smoothing": -1.0}}, OptionError, "smoothing=-1.0"),
    "no neighbours": ({"settings": {"neighbours": 1}}, OptionError, "neighbours=1"),
    "one place": ({"settings": {"side": 1}}, OptionError, "side=1"),
    "a seed below 0": ({"settings": {"seed": -1}}, OptionError, "seed=-1"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return store_of(np.random.default_rng(0).normal(size=(20, 3, 6, 6)), tmp_path_factory.mktemp("small") / "maps.zarr")


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_and_nothing_is_written(small, wrong):
    asked, error, said = WRONG[wrong]
    asked = {"method": "gradient_x_input", "target": 0} | asked
    with pytest.raises(error, match=said):
        cluster_maps(small, asked["method"], asked["target"], settings=ClusterSettings(**asked.get("settings", {})))
    assert Store(small.path).clustered() == []


@pytest.mark.parametrize(("count", "zeros", "said"), [(9, 0, "9 maps of"), (12, 3, "9 of 12 maps of")])
def test_few_maps_are_refused(count, zeros, said, tmp_path):
    maps = np.random.default_rng(0).normal(size=(count, 3, 6, 6))
    maps[:zeros] = 0
    with pytest.raises(InputError, match=said):
        cluster_maps(store_of(maps, tmp_path / "maps.zarr"), "gradient_x_input", 0)


def test_a_store_that_is_written_to_or_not_complete_is_refused(tmp_path, monkeypatch):
    maps = np.random.default_rng(0).normal(size=(20, 3, 6, 6))
    store = store_of(maps, tmp_path / "maps.zarr")
    with StoreWriter(store.path), pytest.raises(StoreError, match="another run writes to it"):
        cluster_maps(store, "gradient_x_input", 0)
    monkeypatch.setattr(Store, "is_complete", False)
    with pytest.raises(StoreError, match="its run has not ended"):
        cluster_maps(store, "gradient_x_input", 0)


def test_missing_packages_are_named(small, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(StoreError, match=r'clusters of maps need the package sklearn, which is missing: pip install "signxai\[cluster\]"'):
        cluster_maps(small, "gradient_x_input", 0)


def test_umap_needs_its_package(small, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(StoreError, match=r"UMAP needs the package umap"):
        cluster_maps(small, "gradient_x_input", 0, settings=ClusterSettings(umap=True))
