"""Numbers of every kind that NumPy has are explained, or one line says why not; and what 16 bits lose of them is told."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from signxai import explain
from signxai.cli.run_results import report_of_run
from signxai.common import InputError
from signxai.datasets import ArraySource, TorchSource, explain_dataset

pytest.importorskip("zarr")

COUNT = 20
X = np.random.default_rng(0).normal(size=(COUNT, 6)).astype("f4")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).eval()


def run(path, values, method="gradient", **options):
    given = values if hasattr(values, "read") else ArraySource(values)
    return explain_dataset(network(), given, [method], path, batch_size=8, **options)


@pytest.mark.parametrize("kind", [ArraySource, lambda values: TorchSource(list(values))], ids=["together", "one by one"])
@pytest.mark.parametrize("dtype", [">i4", ">u2", ">f4", ">f8", "i1", "u8", "f2", "?"])
def test_numbers_in_any_order_of_bytes(kind, dtype, tmp_path):
    values = (np.abs(X) * 9).astype(dtype)
    store = run(tmp_path / "maps.zarr", kind(values))
    assert not store.failed
    assert deviation(store.relevance("gradient"), explain(network(), values.astype("f4"), "gradient")) < 1e-6
    assert np.array_equal(store.inputs(), values)
    assert run(tmp_path / "maps.zarr", kind(values)).is_complete


def test_integers_that_no_floating_point_number_holds(tmp_path):
    values = (np.abs(X) * 9).astype("u8")
    values[3] = 2**63 + 1
    store = run(tmp_path / "maps.zarr", values)
    assert [(failure.index, failure.reason) for failure in store.failed] == [
        (3, f"x holds integers beyond 2**53, such as {2**63 + 1}, that no floating-point type holds; give smaller ones")
    ]
    with pytest.raises(InputError, match=f"such as {2**64 - 1}, that no floating-point"):
        run(tmp_path / "none.zarr", np.full_like(values, 2**64 - 1))
    with pytest.raises(InputError, match=f"such as {-(2**63) + 1}, that no floating-point"):
        explain(network(), np.full((1, 6), -(2**63) + 1), "gradient")


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="it is no other type here")
def test_numbers_of_more_than_64_bits(tmp_path):
    long = X.astype(np.longdouble)
    with pytest.raises(InputError, match=f"the first: is of {long.dtype}, which torch does not have; give float64"):
        run(tmp_path / "maps.zarr", long)
    store = run(tmp_path / "maps.zarr", TorchSource([long[0], *X[1:]]))
    assert [failure.index for failure in store.failed] == [0]
    with pytest.raises(InputError, match=f"x is of {long.dtype}, which torch does not have"):
        explain(network(), long, "gradient")


class Doubled(np.ndarray):
    """An array whose rows, picked by a number, are not those of its memory."""

    def __getitem__(self, index):
        rows = super().__getitem__(index)
        return 2 * np.asarray(rows) if isinstance(index, int) else rows


def test_arrays_of_a_class_of_ones_own_are_read_by_index(tmp_path):
    store = run(tmp_path / "maps.zarr", X.view(Doubled))
    assert np.array_equal(store.inputs(), 2 * X)


def test_masked_values_fail(tmp_path):
    masked = np.ma.masked_array(X, mask=False)
    masked[4, 2] = np.ma.masked
    store = run(tmp_path / "maps.zarr", masked)
    assert [(failure.index, failure.reason) for failure in store.failed] == [
        (4, "the entry has masked values, which no network leaves out; fill them")
    ]


def test_what_16_bits_lose_is_told(tmp_path, caplog):
    values = X.copy()
    values[:3] *= 1e-9
    with caplog.at_level(logging.WARNING):
        store = run(tmp_path / "maps.zarr", values, "gradient_x_input", dtype="float16")
    told = [
        "16 bits lose more than 1 % of the largest value in 3 maps of gradient_x_input; keep 32 bits in another store",
        "16 bits lose more than 1 % of the largest value in 3 inputs; keep 32 bits in another store",
    ]
    assert caplog.messages == told
    assert [line for line in report_of_run(store) if "16 bits" in line] == told
    lost = np.abs(values - store.inputs().astype("f8")).max(1) / np.abs(values).max(1)
    assert np.allclose(store.array("rounding/input"), lost, rtol=1e-3)


@pytest.mark.parametrize("options", [{}, {"dtype": "float16"}, {"dtype": "float16", "keep_inputs": False}])
def test_nothing_is_told_where_nothing_is_lost(options, tmp_path, caplog):
    store = run(tmp_path / "maps.zarr", X, **options)
    assert not caplog.messages
    assert ("rounding/input" in store) == (options == {"dtype": "float16"})
