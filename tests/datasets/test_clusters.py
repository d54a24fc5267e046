"""Clusters among maps: what is written is read back, whole, and replaced by what is found later."""

import numpy as np
import pytest

from signxai.common import OptionError, TargetError
from signxai.datasets import ArraySource, Clusters, Store, explain_dataset

zarr = pytest.importorskip("zarr")

from signxai.datasets.clusters import write_clusters  # noqa: E402


def layers():
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


@pytest.fixture
def store(tmp_path):
    values = np.random.default_rng(0).normal(size=(30, 3, 2, 2)).astype("f4")
    return explain_dataset(
        layers(), ArraySource(values), ["gradient", "lrp_z"], tmp_path / "maps.zarr", class_names=["a", "b", "c"], target=1
    )


def some(method="lrp_z", target=1, count=5):
    draw = np.random.default_rng(count)
    return Clusters(
        method=method,
        target=target,
        rows=np.arange(count),
        embeddings={"spectral": draw.normal(size=(count, 3)).astype("f4"), "tsne": draw.normal(size=(count, 2)).astype("f4")},
        clusterings={"chosen": np.array([0, 1, -1, 0, 1, 1, 0][:count]), "kmeans-2": np.arange(count) % 2},
        eigenvalues=(0.0, 0.25, 1.5),
        shown="tsne",
        chosen="chosen",
        settings={"neighbours": 8, "side": 32},
        class_name="b",
        seed=3,
        versions={"numpy": "2"},
    )


def same(one, other):
    arrays = {"rows", "embeddings", "clusterings"}
    plain = {name: value for name, value in vars(one).items() if name not in arrays}
    assert plain == {name: value for name, value in vars(other).items() if name not in arrays}
    assert np.array_equal(one.rows, other.rows)
    for name in ("embeddings", "clusterings"):
        mine, others = getattr(one, name), getattr(other, name)
        assert list(mine) == list(others)
        assert all(np.array_equal(mine[key], others[key]) and mine[key].dtype == others[key].dtype for key in mine)


def test_what_is_written_is_read_back(store):
    assert store.clustered() == []
    written = some()
    write_clusters(store.path, written)
    again = Store(store.path)
    assert again.clustered() == [("lrp_z", 1)]
    same(again.clusters("lrp_z", "b"), written)
    assert list(again.clusters("lrp_z", 1).members(1)) == [1, 4]
    assert again.clusters("lrp_z", 1).sizes() == {0: 2, 1: 2}


def test_later_clusters_replace_earlier_ones_and_no_others(store):
    for found in (some(count=5), some(method="gradient", target=2), some(count=7)):
        write_clusters(store.path, found)
    again = Store(store.path)
    assert again.clustered() == [("gradient", 2), ("lrp_z", 1)]
    same(again.clusters("lrp_z", 1), some(count=7))
    same(again.clusters("gradient", 2), some(method="gradient", target=2))


def test_any_reader_of_zarr_sees_them(store):
    write_clusters(store.path, some())
    group = zarr.open_group(store.path, mode="r")["cluster/lrp_z/1"]
    assert group["embedding/tsne"].shape == (5, 2)
    assert group["clustering/kmeans-2"].dtype == np.int64
    assert {"method", "class", "class_name", "eigenvalues", "shown", "chosen", "settings", "seed", "versions"} == set(group.attrs)


def test_a_writer_that_is_killed_leaves_no_half_clusters(store, monkeypatch):
    from signxai.datasets import clusters

    def killed(group, found):
        group.create_array("rows", shape=(2,), dtype="int64")[:] = 0
        raise KeyboardInterrupt

    write_clusters(store.path, some())
    with monkeypatch.context() as patched:
        patched.setattr(clusters, "_fill", killed)
        for found in (some(count=7), some(target=2)):
            with pytest.raises(KeyboardInterrupt):
                write_clusters(store.path, found)
    again = Store(store.path)
    assert again.clustered() == [("lrp_z", 1)]
    same(again.clusters("lrp_z", 1), some())
    write_clusters(store.path, some(count=7))
    same(Store(store.path).clusters("lrp_z", 1), some(count=7))


def test_clusters_that_are_not_there_are_refused(store):
    with pytest.raises(OptionError, match="there are none at all: find them by `signxai cluster`"):
        store.clusters("lrp_z", 1)
    write_clusters(store.path, some())
    with pytest.raises(OptionError, match="there are lrp_z of class 1"):
        store.clusters("gradient", 1)
    with pytest.raises(TargetError, match="class 'd'"):
        store.clusters("lrp_z", "d")
    with pytest.raises(OptionError, match="no clustering 'mine'; there are chosen, kmeans-2"):
        Store(store.path).clusters("lrp_z", 1).members(0, "mine")
