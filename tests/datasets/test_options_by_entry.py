"""Options that have a row for each entry: each entry gets its own, whatever fails, ends the run or spreads it."""

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from signxai import explain
from signxai.common import OptionError
from signxai.datasets import ArraySource, Store, explain_dataset

pytest.importorskip("zarr")

COUNT, BATCH = 20, 8
IG = "integrated_gradients_steps_5"
DRAW = np.random.default_rng(0)
X, ROWS = (DRAW.normal(size=(COUNT, 6)).astype("f4") for _ in range(2))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).eval()


def run(path, source=None, method=IG, net=None, **options):
    return explain_dataset(net or network(), source or ArraySource(X), [method], path, **{"batch_size": BATCH, "target": 1, **options})


@pytest.mark.parametrize("made", [np.asarray, torch.from_numpy, np.ndarray.tolist], ids=["array", "tensor", "list"])
def test_a_baseline_with_a_row_for_each_entry(made, tmp_path):
    store = run(tmp_path / "maps.zarr", baseline=made(ROWS))
    assert deviation(store.relevance(IG), explain(network(), X, IG, 1, baseline=ROWS)) < 1e-6


@pytest.mark.parametrize("baseline", [None, 0.5, ROWS[0], ROWS[:1], ROWS[0].tolist()])
def test_a_baseline_for_all(baseline, tmp_path):
    store = run(tmp_path / "maps.zarr", baseline=baseline)
    assert deviation(store.relevance(IG), explain(network(), X, IG, 1, baseline=baseline)) < 1e-6


@pytest.mark.parametrize("shape", [(BATCH, 6), (COUNT % BATCH, 6), (COUNT - 1, 6), (COUNT, 5), (COUNT,), (COUNT, 1, 6)])
def test_a_baseline_that_is_neither_is_refused(shape, tmp_path):
    with pytest.raises(OptionError, match=r"one entry \(6,\) for all, or a row for each of the 20 entries"):
        run(tmp_path / "maps.zarr", baseline=np.zeros(shape, "f4"))
    assert not (tmp_path / "maps.zarr").exists()


@pytest.mark.parametrize("made", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_row_that_no_entry_can_have_is_refused_before_any_is_explained(made, value, tmp_path):
    rows = ROWS.copy()
    rows[13, 2] = value
    with pytest.raises(OptionError, match=r"baseline: the row of entry 13 \(counted from 0\) has values that are NaN or infinite"):
        run(tmp_path / "maps.zarr", baseline=made(rows))
    assert not (tmp_path / "maps.zarr").exists()


class Failing(ArraySource):
    """Entries of which some cannot be read, and one is of another shape."""

    def read(self, index):
        if index in (1, 9):
            raise OSError("gone")
        return super().read(index)[: 5 if index == 12 else 6]


@pytest.mark.parametrize("workers", [0, 1])
def test_rows_stay_with_their_entries_when_others_fail(workers, tmp_path):
    """Also in a batch that fails as a whole, so that its entries are tried one by one."""
    x = X.copy()
    x[4] = 1e30
    store = run(tmp_path / "maps.zarr", Failing(x), net=Refusing(), baseline=ROWS, workers=workers)
    assert [failure.index for failure in store.failed] == [1, 4, 9, 12]
    rows = store.rows()
    assert deviation(store.relevance(IG, rows), explain(network(), X[rows], IG, 1, baseline=ROWS[rows])) < 1e-6


class Refusing(nn.Module):
    """Refuses large values."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        return self.net(x) + (x.amax(1, keepdim=True) / 1e6) ** 9


def test_a_run_that_is_gone_on_with_has_each_row_once(tmp_path):
    class Ending(ArraySource):
        def read(self, index):
            if index == 17:
                raise KeyboardInterrupt
            return super().read(index)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "maps.zarr", Ending(X), baseline=ROWS)
    assert len(Store(tmp_path / "maps.zarr").rows()) < COUNT
    store = run(tmp_path / "maps.zarr", baseline=ROWS)
    assert deviation(store.relevance(IG), explain(network(), X, IG, 1, baseline=ROWS)) < 1e-6


class Scaled(nn.Module):
    """Scales each sample, and the classes."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x, masks, weights=1.0):
        masks = masks["of"][0] if isinstance(masks, dict) else masks
        return self.net(x * masks) * weights


@pytest.mark.parametrize("method", ["gradient", IG])
@pytest.mark.parametrize("masks", [ROWS, {"of": (torch.from_numpy(ROWS),)}], ids=["array", "tensor within"])
def test_arguments_with_a_row_for_each_entry(method, masks, tmp_path):
    given = {"masks": masks, "weights": torch.tensor([1.0, 2.0, 3.0])}
    store = run(tmp_path / "maps.zarr", method=method, net=Scaled(), forward_kwargs=given)
    assert deviation(store.relevance(method), explain(Scaled(), X, method, 1, forward_kwargs=given)) < 1e-6
    with torch.no_grad():
        wanted = network()(torch.from_numpy(X * ROWS)) * given["weights"]
    assert deviation(store.array("logits"), wanted.numpy()) < 1e-6


@pytest.mark.parametrize("rows", [BATCH, COUNT % BATCH])
def test_arguments_of_as_many_rows_as_a_batch_are_refused(rows, tmp_path):
    with pytest.raises(OptionError, match=f"an array of {rows} rows, as many as entries in a batch"):
        run(tmp_path / "maps.zarr", net=Scaled(), forward_kwargs={"masks": torch.ones(6), "weights": torch.ones(rows)})
    with pytest.raises(OptionError, match=f"a list of numbers of {rows} rows"):
        run(tmp_path / "maps.zarr", net=Scaled(), forward_kwargs={"masks": [0.0] * rows})
    with pytest.raises(OptionError, match="an array of 20 rows"):
        run(tmp_path / "maps.zarr", net=Scaled(), forward_kwargs={"masks": {"of": (ROWS,)}})
    assert not (tmp_path / "maps.zarr").exists()


@pytest.mark.parametrize("low", [X.min() - ROWS**2 - 1, np.full(6, X.min()), np.full((1, 6), X.min())], ids=["rows", "one", "one row"])
def test_bounds_of_each_entry(low, tmp_path):
    options = {"low": low, "high": 9.0}
    method = "zblrp_z"
    store = run(tmp_path / "maps.zarr", method=method, **options)
    assert deviation(store.relevance(method), explain(network(), X, method, 1, **options)) < 1e-6
    with pytest.raises(OptionError, match="spreads to one entry, or a row for each of the 20 entries"):
        run(tmp_path / "none.zarr", method=method, low=np.zeros((BATCH, 6)))


def test_options_that_are_one_for_all_have_no_rows(tmp_path):
    for method, name in (("gradient_x_sign_mu", "mu"), ("smoothgrad", "noise_level"), ("lrp_z", "stabilizer")):
        with pytest.raises(OptionError, match=f"{name}= is an array of 20 rows, one for each entry, and is one for all; give one value"):
            run(tmp_path / "maps.zarr", method=method, **{name: np.zeros(COUNT)})
    assert not (tmp_path / "maps.zarr").exists()


class Two(nn.Module):
    """A net of two inputs, one of token ids."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.net = nn.Embedding(9, 6), network()

    def forward(self, x, ids):
        return self.net(x + self.embedding(ids).mean(1))


def test_rows_of_several_inputs(tmp_path):
    ids, others = DRAW.integers(0, 9, (2, COUNT, 4))
    options = {"baseline": {"x": ROWS}, "baseline_ids": {"ids": others}}
    store = run(tmp_path / "maps.zarr", ArraySource({"x": X, "ids": ids}), net=Two(), **options)
    wanted = explain(Two(), {"x": X, "ids": ids}, IG, 1, **options)
    for name, relevance in store.relevance(IG).items():
        assert deviation(relevance, wanted[name]) < 1e-5
    with pytest.raises(OptionError, match=r"baseline_ids of 'ids' has the shape \(8, 4\); give a number, one entry \(4,\) for all"):
        run(tmp_path / "none.zarr", ArraySource({"x": X, "ids": ids}), net=Two(), baseline_ids={"ids": others[:8]})
