"""What entries are like is told by most of them, so that an odd one, the first too, is one entry that fails."""

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from signxai import explain
from signxai.common import ForwardError
from signxai.datasets import ArraySource, Store, explain_dataset
from signxai.datasets.usual_entries import usual_entry

pytest.importorskip("zarr")

COUNT = 40
X = np.random.default_rng(0).normal(size=(COUNT, 6)).astype("f4")


class Odd(ArraySource):
    """Entries of which some are others; an exception is raised instead of returned."""

    odd: dict[int, object]

    def read(self, index):
        other = self.odd.get(index)
        if isinstance(other, BaseException):
            raise other
        return super().read(index) if other is None else other


def odd(others, values=X):
    source = Odd(values)
    object.__setattr__(source, "odd", others)
    return source


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


ODD = {
    "shape": (np.zeros(3, "f4"), r"of the shape (3,), where others, such as 1, have (6,)"),
    "type": (np.zeros(6, "i4"), "of int32, where others, such as 1, are of float32"),
    "parts": ({"x": np.zeros(6, "f4")}, "has 'x', where others, such as 1, have one array"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("workers", [0, 1])
def test_an_odd_first_entry_fails_alone(kind, workers, tmp_path):
    other, reason = ODD[kind]
    store = explain_dataset(network(), odd({0: other}), ["gradient"], tmp_path / "maps.zarr", batch_size=16, workers=workers)
    assert [(failure.index, failure.reason) for failure in store.failed] == [(0, reason)]
    assert deviation(store.relevance("gradient", range(1, COUNT)), explain(network(), X[1:], "gradient")) < 1e-6


def test_a_run_that_is_gone_on_with_compares_with_the_same_entry(tmp_path):
    """Also where the entry could not be read the first time, and would be an example now."""
    path = tmp_path / "maps.zarr"
    with pytest.raises(KeyboardInterrupt):
        explain_dataset(network(), odd({0: OSError("away"), 32: KeyboardInterrupt()}), ["gradient"], path, batch_size=8)
    assert {failure.index for failure in Store(path).failed} == {0}
    store = explain_dataset(network(), odd({32: X[32, :3]}), ["gradient"], path, batch_size=8)
    assert [(failure.index, failure.reason) for failure in store.failed][1:] == [
        (32, "of the shape (3,), where others, such as 1, have (6,)")
    ]


@pytest.mark.parametrize(
    ("others", "index"),
    [
        ({}, 0),
        ({0: OSError()}, 1),
        ({0: np.zeros(3)}, 1),
        ({0: np.zeros(3), 39: np.zeros(3)}, 1),
        ({index: np.zeros(3, "f4") for index in range(0, 40, 2)} | {1: OSError()}, 0),
        ({index: OSError() for index in range(40) if index != 19}, 19),
        ({index: np.zeros(6, "f8") for index in range(1, 40)}, 0),
    ],
    ids=["alike", "unreadable", "odd", "two of three", "half", "one", "float32 and float64 are one kind"],
)
def test_which_entry_the_others_are_to_be_like(others, index):
    assert usual_entry(odd(others)).index == index


def test_few_entries_are_read_where_all_are_alike():
    were_read = []

    class Counting(ArraySource):
        def read(self, index):
            were_read.append(index)
            return super().read(index)

    usual_entry(Counting(X))
    assert were_read == [0, 20, 39]


def test_what_the_network_does_not_take_is_told_in_a_line(tmp_path):
    with pytest.raises(
        ForwardError, match=r"^the network does not take the entry '0', which others are like: the model's forward failed .*\(1, 5\)"
    ):
        explain_dataset(network(), ArraySource(X[:, :5]), ["gradient"], tmp_path / "maps.zarr")
    assert not (tmp_path / "maps.zarr").exists()
