"""Runs over data sets whose entries have several inputs: the store holds what ``explain`` gives for the batch."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from processes import Forked
from signxai import explain
from signxai.common import InputError, OptionError
from signxai.datasets import ArraySource, Entries, SignalView, Store, TorchSource, ValuesView, explain_dataset
from signxai.engine.prediction import predict

zarr = pytest.importorskip("zarr")

from dataset_run import BATCH, COUNT, METHODS, arrays_of_patients, patients, source  # noqa: E402
from test_explain_dataset import RUN, contents  # noqa: E402

ALL = ["gradient", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x", "integrated_gradients_steps_5"]
COUNTED = 10


@pytest.fixture(scope="module", params=[torch.float64, torch.float32], ids=["float64", "float32"])
def run(request, tmp_path_factory):
    net, arrays = patients().to(request.param), arrays_of_patients(COUNTED)
    return net, arrays, explain_dataset(net, ArraySource(arrays), ALL, tmp_path_factory.mktemp("run") / "maps.zarr", batch_size=4)


@pytest.mark.parametrize("method", ALL)
def test_the_store_holds_what_explain_gives(run, method):
    net, arrays, store = run
    batches = [slice(0, 4), slice(4, 8), slice(8, COUNTED)]
    wanted = [explain(net, {name: part[rows] for name, part in arrays.items()}, method) for rows in batches]
    got = store.relevance(method)
    assert list(got) == list(wanted[0]) == ["ecg", "age", "drugs"]
    for name, relevance in got.items():
        assert deviation(relevance, np.concatenate([part[name] for part in wanted])) < 1e-7
    sums = {name: relevance.reshape(COUNTED, -1).sum(1, dtype=np.float64) for name, relevance in got.items()}
    assert deviation(store.array(f"sum/{method}"), sum(sums.values())) < 1e-6
    for name, part in sums.items():
        assert np.abs(store.array(f"sum_by_input/{method}/{name}") - part).max() < 1e-6


def test_the_store_holds_what_the_network_was_given_and_said(run):
    net, arrays, store = run
    assert store.input_names == list(arrays)
    for name, part in store.inputs([1, 7]).items():
        assert np.array_equal(part, arrays[name][[1, 7]])
        assert part.dtype == arrays[name].dtype
    logits = predict(net, arrays)
    assert deviation(store.array("logits"), logits.numpy()) < 1e-6
    assert list(store.array("target")) == logits.argmax(1).tolist()
    absorbed = store.array("absorbed/lrp_epsilon_0_1") + store.array("sum/lrp_epsilon_0_1")
    assert deviation(absorbed, np.ones(COUNTED)) < 1e-12


def test_a_store_says_how_each_input_is_drawn(run, tmp_path):
    net, arrays, store = run
    assert store.view == {"ecg": SignalView(), "age": ValuesView(), "drugs": ValuesView(), "counts": ValuesView()}
    views = {"ecg": SignalView(100.0, ("I", "II"), "mV"), "drugs": ValuesView(("a", "b", "c"))}
    told = explain_dataset(net, ArraySource(arrays), ["gradient"], tmp_path / "maps.zarr", view=views)
    assert told.view == store.view | views
    with pytest.raises(OptionError, match="'eeg' is of none of the entries' parts, 'ecg', 'age'"):
        explain_dataset(net, ArraySource(arrays), ["gradient"], tmp_path / "none.zarr", view={"eeg": SignalView()})


def test_half_precision_says_what_it_costs(tmp_path):
    arrays = arrays_of_patients(COUNTED)
    store = explain_dataset(patients(), ArraySource(arrays), ["gradient"], tmp_path / "maps.zarr", dtype="float16")
    whole = explain(patients(), arrays, "gradient")
    errors = []
    for name, half in store.relevance("gradient").items():
        assert half.dtype == np.float16
        flat = whole[name].reshape(COUNTED, -1)
        errors.append(np.abs(flat - half.astype("f4").reshape(COUNTED, -1)).max(1) / np.abs(flat).max(1))
    assert np.allclose(store.array("rounding/gradient"), np.max(errors, 0), rtol=1e-3)
    assert store.inputs()["drugs"].dtype == np.int64


class Broken:
    """Entries of which some are not like the first."""

    kind = "broken"
    entries = Entries([str(index) for index in range(7)])

    def content_hash(self):
        return "broken"

    def read(self, index):
        entry = {name: part[index] for name, part in arrays_of_patients(7).items()}
        changes = {1: {"ecg": np.zeros((2, 41), "f4")}, 2: {"age": np.float32("nan")}, 4: {"drugs": np.zeros(3)}}
        entry |= changes.get(index, {})
        if index == 3:
            del entry["counts"]
        return entry if index != 5 else entry["ecg"]


def test_entries_fail_alone(tmp_path):
    store = explain_dataset(patients(), Broken(), ["gradient"], tmp_path / "maps.zarr")
    reasons = {failure.index: failure.reason for failure in store.failed}
    assert list(reasons) == [1, 2, 3, 4, 5]
    assert reasons[1] == "input 'ecg' is of the shape (2, 41), where others, such as 0, have (2, 40)"
    assert "the input 'age' holds NaN" in reasons[2]
    assert reasons[3] == "has 'ecg', 'age', 'drugs', where others, such as 0, have 'ecg', 'age', 'drugs', 'counts'"
    assert reasons[4] == "input 'drugs' is of float64, where others, such as 0, are of int64"
    assert reasons[5].startswith("has one array, where")
    alone = explain(patients(), {name: part[[0]] for name, part in arrays_of_patients(7).items()}, "gradient")
    assert deviation(store.relevance("gradient", [0])["ecg"], alone["ecg"]) < 1e-6
    assert np.isnan(store.relevance("gradient", [1, 2, 3, 4, 5])["drugs"]).all()


def test_constants_get_no_maps(tmp_path):
    store = explain_dataset(patients(), ArraySource(arrays_of_patients(3)), ["gradient"], tmp_path / "maps.zarr", explained=["age"])
    assert list(store.relevance("gradient")) == ["age"]
    assert list(store.inputs()) == ["ecg", "age", "drugs", "counts"]


def test_arguments_that_are_passed_on_reach_every_forward_pass(tmp_path):
    class Scaled(nn.Linear):
        def forward(self, x, factor):
            return super().forward(x) * factor

    torch.manual_seed(0)
    net, x = Scaled(3, 2), np.random.default_rng(0).normal(size=(5, 3)).astype("f4")
    options = {"forward_kwargs": {"factor": 3.0}}
    store = explain_dataset(net, ArraySource({"x": x}), ["gradient"], tmp_path / "maps.zarr", target=1, **options)
    assert deviation(store.relevance("gradient")["x"], explain(net, {"x": x}, "gradient", 1, **options)["x"]) < 1e-7
    assert deviation(store.array("logits"), net(torch.from_numpy(x), 3.0).detach().numpy()) < 1e-6


@pytest.mark.parametrize("how", ["mapping", "mapping and label", "parts", "a tuple and a label"])
def test_entries_of_a_torch_data_set(how, tmp_path):
    arrays = {name: torch.from_numpy(part) for name, part in arrays_of_patients(6).items()}
    rows = [{name: part[index] for name, part in arrays.items()} for index in range(6)]
    labels = [0, 1, 2, 0, 1, 2]
    made = {
        "mapping": lambda row, label: row,
        "mapping and label": lambda row, label: (row, label),
        "parts": lambda row, label: (*row.values(), label),
        "a tuple and a label": lambda row, label: (tuple(row.values()), label),
    }[how]
    data = [made(row, label) for row, label in zip(rows, labels, strict=True)]
    given = TorchSource(data, has_labels=how != "mapping", inputs=() if "mapping" in how else list(arrays))
    assert given.entries.labels == (None if how == "mapping" else labels)
    store = explain_dataset(patients(), given, ["gradient"], tmp_path / "maps.zarr")
    assert deviation(store.relevance("gradient")["drugs"], explain(patients(), arrays, "gradient")["drugs"]) < 1e-6


def test_what_says_nothing_of_its_inputs_is_refused():
    pair = [((torch.zeros(2), torch.zeros(3)), 0)]
    with pytest.raises(InputError, match="has several inputs; say by inputs="):
        TorchSource(pair).read(0)
    with pytest.raises(InputError, match="of 1 without a, b"):
        TorchSource([(torch.zeros(2),)], inputs=["a", "b"]).read(0)
    with pytest.raises(InputError, match="'a-b': the inputs are called as the arguments"):
        ArraySource({"a-b": np.zeros((2, 3))})
    with pytest.raises(InputError, match="'a' has 2, 'b' has 3"):
        ArraySource({"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(InputError, match=r"input 'b' of the shape \(\)"):
        ArraySource({"a": np.zeros(2), "b": np.zeros(())})
    with pytest.raises(InputError, match="failed on entry 0: ZeroDivisionError"):
        TorchSource(_Failing()).read(0)


class _Failing(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return index / 0


def test_a_killed_run_is_gone_on_with(tmp_path):
    wanted = explain_dataset(patients(), source(several=True), METHODS, tmp_path / "wanted.zarr", batch_size=BATCH)
    path = tmp_path / "maps.zarr"
    process = Forked(RUN, path, "0.02", "0", "several")
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.4)
    process.kill()
    process.wait()
    assert not Store(path).is_complete
    store = explain_dataset(patients(), source(several=True), METHODS, path, batch_size=BATCH, workers=2)
    assert contents(path) == contents(wanted.path)
    assert [failure.index for failure in store.failed] == [17]
    assert len(store.rows()) == COUNT - 1
