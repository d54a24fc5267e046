"""Runs over data sets: what is stored is what ``explain`` gives, whatever fails and whatever ends a run."""

import hashlib
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from comparing import deviation
from processes import Forked
from signxai import explain
from signxai.common import InputError, OptionError, StoreError, TargetError
from signxai.datasets import ArraySource, Entries, PictureView, SignalView, Store, TorchSource, ValuesView, explain_dataset
from signxai.engine.prediction import predict

zarr = pytest.importorskip("zarr")

from dataset_run import BATCH, COUNT, METHODS, arrays_of_patients, network, patients, source  # noqa: E402
from signxai.datasets.chunk_files import KEYS, ChunkFiles, compressor  # noqa: E402

RUN = Path(__file__).with_name("dataset_run.py")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return explain_dataset(network(), source(), METHODS, tmp_path_factory.mktemp("run") / "maps.zarr", batch_size=BATCH)


def contents(path):
    """The bytes of all arrays of a store."""
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.parent.name != "manifest"]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("method", METHODS)
def test_the_store_holds_what_explain_gives(undisturbed, method):
    net, values = network(), source().values
    rows = undisturbed.rows()
    assert list(rows) == [index for index in range(COUNT) if index != 17]
    wanted = explain(net, values[rows], method)
    assert deviation(undisturbed.relevance(method, rows), wanted) < 1e-5
    assert (
        np.array_equal(undisturbed.array("logits")[rows], predict(net, values[rows]))
        or deviation(undisturbed.array("logits")[rows], predict(net, values[rows]).numpy()) < 1e-6
    )
    assert np.array_equal(undisturbed.inputs(rows), values[rows])
    assert np.array_equal(undisturbed.logits_of_targets(rows), undisturbed.array("logits", rows).max(1))
    assert deviation(undisturbed.array(f"sum/{method}", rows), wanted.sum((1, 2, 3))) < 1e-4


@pytest.mark.parametrize("method", ["smoothgrad_samples_3", "vargrad", "integrated_gradients", "grad_cam", "random_uniform"])
def test_logits_are_those_of_the_entries_whatever_points_a_method_asks_for(method, tmp_path):
    store = explain_dataset(network(), source(), [method], tmp_path / "maps.zarr", target=1, batch_size=BATCH)
    rows = store.rows()
    assert deviation(store.array("logits", rows), predict(network(), source().values[rows]).numpy()) < 1e-6


def test_what_is_absorbed_is_missing_at_the_input(undisturbed):
    rows = undisturbed.rows()
    relevance = undisturbed.relevance(METHODS[1], rows).astype(np.float64)
    assert deviation(undisturbed.array(f"absorbed/{METHODS[1]}", rows), 1 - relevance.sum((1, 2, 3))) < 1e-6
    with pytest.raises(OptionError, match="has no 'absorbed/gradient'"):
        undisturbed.array("absorbed/gradient")


def test_an_entry_that_fails_is_listed_and_its_rows_are_empty(undisturbed):
    assert [(failure.index, failure.key, failure.reason) for failure in undisturbed.failed] == [
        (17, "17", "the entry holds NaN or infinity")
    ]
    assert np.isnan(undisturbed.relevance("gradient", [17])).all()
    assert np.isnan(undisturbed.logits_of_targets([17])).all()
    assert undisturbed.array("target", [17]) == -1
    assert undisturbed.is_complete


class OneByOne(ArraySource):
    """The same entries, read by a method of its own."""

    def read(self, index):
        return super().read(index)


@pytest.mark.parametrize("kind", [ArraySource, OneByOne], ids=["together", "one by one"])
def test_entries_of_an_array_are_the_same_together_and_one_by_one(kind, undisturbed, tmp_path):
    np.save(tmp_path / "x.npy", source().values)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    store = explain_dataset(network(), kind(mapped, source().labels), METHODS, tmp_path / "maps.zarr", batch_size=BATCH)
    assert contents(store.path) == contents(undisturbed.path)
    assert store.failed == undisturbed.failed


def test_any_reader_of_zarr_sees_the_same(undisturbed):
    group = zarr.open_group(undisturbed.path, mode="r")
    assert np.array_equal(group["relevance/gradient"][:5], undisturbed.relevance("gradient", range(5)))
    assert group["relevance/gradient"].chunks == (BATCH, 3, 8, 8)
    assert {name for name, _ in group.members()} >= {"relevance", "logits", "target", "label", "key", "absorbed", "manifest"}
    assert group["key"][3] == "3"


@pytest.mark.parametrize("view", [PictureView((0.5,) * 3, (0.2,) * 3), ValuesView(("age",)), None])
def test_a_store_says_how_its_entries_are_drawn(view, tmp_path):
    store = explain_dataset(network(), source(), METHODS[:1], tmp_path / "maps.zarr", view=view)
    assert store.view == (view or PictureView())


def test_a_store_that_draws_its_entries_otherwise_is_not_gone_on_with(tmp_path):
    def run(**options):
        return explain_dataset(network(), source(), METHODS[:1], tmp_path / "maps.zarr", **options).view

    first = PictureView((0.5,) * 3, (0.2,) * 3)
    run(view=first)
    with pytest.raises(StoreError, match=r"view.*mean was \[0.5, 0.5, 0.5\] and is \[\]"):
        run(view=PictureView())
    assert run(view=first) == run() == first


def test_a_view_that_does_not_fit_the_entries_is_refused_before_anything_is_written(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(20, 2))
    signals = ArraySource(np.zeros((3, 2, 10), "f4"))
    with pytest.raises(InputError, match=r"the shape \(2, 10\) have the view of a picture, which is \(C, H, W\); give view="):
        explain_dataset(net, signals, METHODS[:1], tmp_path / "maps.zarr", view=PictureView())
    assert not (tmp_path / "maps.zarr").exists()
    view = SignalView(100.0, ("I", "II"), "mV", 0.3, "the beat")
    assert explain_dataset(net, signals, ["gradient"], tmp_path / "maps.zarr", view=view).view == view


def test_entries_are_picked_out(undisturbed):
    rows, logits = undisturbed.rows(), undisturbed.array("logits")
    labels, predicted = np.arange(COUNT) % 4, logits.argmax(1)
    wrong = [row for row in rows if predicted[row] != labels[row]]
    assert list(undisturbed.rows(wrong=True)) == wrong
    assert list(undisturbed.rows(wrong=False)) == [row for row in rows if row not in wrong]
    assert list(undisturbed.rows(label=2)) == [row for row in rows if row % 4 == 2]
    assert list(undisturbed.rows(predicted=1, label=2)) == [row for row in rows if predicted[row] == 1 and row % 4 == 2]
    assert list(undisturbed.rows(target=int(predicted[0]))) == [row for row in rows if predicted[row] == predicted[0]]
    with pytest.raises(TargetError, match="0 to 3"):
        undisturbed.rows(label=4)
    with pytest.raises(OptionError, match="has no 'group'"):
        undisturbed.rows(group="a")


def test_entries_are_given_by_indices_or_a_mask(undisturbed):
    mask = np.arange(COUNT) % 7 == 2
    assert np.array_equal(undisturbed.relevance("gradient", mask), undisturbed.relevance("gradient", np.flatnonzero(mask)))
    assert undisturbed.keys(list(map(bool, mask))) == [str(index) for index in range(2, COUNT, 7)]
    assert undisturbed.array("target", []).shape == (0,)
    with pytest.raises(OptionError, match=r"the mask is of the shape \(5,\); give \(60,\)"):
        undisturbed.relevance("gradient", mask[:5])
    with pytest.raises(OptionError, match="has 60 entries, and no 60; give indices of 0 to 59"):
        undisturbed.array("target", [0, 60])


def test_entries_without_a_label_are_neither_right_nor_wrong(tmp_path):
    values, labels = np.delete(source().values, 17, 0)[:6], [0, None, 1, 2, None, 3]
    numbered = explain_dataset(network(), ArraySource(values, labels), ["gradient"], tmp_path / "numbers.zarr")
    assert sorted([*numbered.rows(wrong=True), *numbered.rows(wrong=False)]) == [0, 2, 3, 5]
    given = ["a", "strange", "b", "", "", "c"]
    named = explain_dataset(network(), ArraySource(values, given), ["gradient"], tmp_path / "names.zarr", class_names="abcd")
    assert sorted([*named.rows(wrong=True), *named.rows(wrong=False)]) == [0, 1, 2, 5]
    assert 1 in named.rows(wrong=True)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batches_of_another_size_give_the_same(undisturbed, batch_size, tmp_path):
    store = explain_dataset(network(), source(), METHODS, tmp_path / "maps.zarr", batch_size=batch_size)
    for name in ("logits", *(f"relevance/{method}" for method in METHODS)):
        assert deviation(np.nan_to_num(store.array(name)), np.nan_to_num(undisturbed.array(name))) < 1e-5


def test_workers_that_read_ahead_change_nothing(undisturbed, tmp_path):
    store = explain_dataset(network(), source(), METHODS, tmp_path / "maps.zarr", batch_size=BATCH, workers=2)
    assert contents(store.path) == contents(undisturbed.path)


@pytest.mark.parametrize("after", [0.05, 0.6, 1.2])
def test_a_killed_run_is_gone_on_with(undisturbed, after, tmp_path):
    path = tmp_path / "maps.zarr"
    for _ in range(2):
        process = Forked(RUN, path, "0.02")
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        time.sleep(after)
        process.kill()
        process.wait()
    explain_dataset(network(), source(), METHODS, path, batch_size=BATCH)
    assert contents(path) == contents(undisturbed.path)
    assert Store(path).is_complete


def test_a_batch_that_was_not_committed_is_computed_again(undisturbed, tmp_path, monkeypatch):
    """Its chunks may hold anything."""
    path = tmp_path / "maps.zarr"
    from signxai.datasets import store_writer

    commit = store_writer.StoreWriter.commit

    def killed(self, result):
        if result.number == 5:
            self._group["relevance/gradient"][20:24] = 7.0
            raise KeyboardInterrupt
        commit(self, result)

    monkeypatch.setattr(store_writer.StoreWriter, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        explain_dataset(network(), source(), METHODS, path, batch_size=BATCH)
    assert len(Store(path).rows()) == 20 - 1
    monkeypatch.setattr(store_writer.StoreWriter, "commit", commit)
    explain_dataset(network(), source(), METHODS, path, batch_size=BATCH)
    assert contents(path) == contents(undisturbed.path)


def test_what_a_killed_writer_left_half_written_goes(tmp_path):
    path = tmp_path / "maps.zarr"
    explain_dataset(network(), source(), METHODS, path, batch_size=BATCH)
    before = contents(path)
    left = path / "relevance" / "gradient" / "c.0.0.0.0.123.partial"
    left.write_bytes(b"half")
    (path / "manifest" / ".part").write_text("{")
    explain_dataset(network(), source(), METHODS, path, batch_size=BATCH)
    assert contents(path) == before
    assert not (path / "manifest" / ".part").exists()


@pytest.mark.parametrize(("shape", "dtype", "fill"), [((3, 4), "f4", np.nan), ((), "i8", -1), ((2,), "f2", np.nan), ((), "f8", np.nan)])
def test_chunks_are_the_files_that_zarr_writes(shape, dtype, fill, tmp_path):
    values = np.random.default_rng(0).normal(size=(10, *shape)).astype(dtype)
    values[4:8] = fill
    for folder in ("by_zarr", "by_us"):
        made = {"shape": values.shape, "chunks": (4, *shape), "dtype": dtype, "fill_value": fill, "compressors": compressor()}
        array = zarr.open_group(tmp_path / folder, mode="w").create_array("a", **made, chunk_key_encoding=KEYS)
        for number in range(3):
            rows = slice(number * 4, number * 4 + 4)
            if folder == "by_zarr":
                array[rows] = values[rows]
            else:
                ChunkFiles.of(tmp_path / folder / "a", array).write(number, values[rows])
    assert contents(tmp_path / "by_zarr") == contents(tmp_path / "by_us")
    assert len(contents(tmp_path / "by_us")) == 4  # two chunks, and zarr's two files: what holds nothing has no file


def test_arrays_that_are_kept_in_another_way_are_not_written_to(tmp_path):
    array = zarr.open_group(tmp_path / "other.zarr", mode="w").create_array("a", shape=(4,), chunks=(4,), dtype="f4")
    with pytest.raises(StoreError, match="not of a store of this version"):
        ChunkFiles.of(tmp_path / "other.zarr" / "a", array)


CHANGES = {
    "methods": (lambda: {"method_names": METHODS[:2]}, "smoothgrad_samples_3, and gradient, lrp_epsilon_0_1_std_x is asked for"),
    "an option": (lambda: {"relevance": "logit"}, "options.relevance was None and is 'logit'"),
    "the size of batches": (lambda: {"batch_size": 5}, "settings.batch_size was 4 and is 5"),
    "the seed": (lambda: {"seed": 1}, "settings.seed was 0 and is 1"),
    "weights": (lambda: {"model": _other()}, "model.weights"),
    "labels": (lambda: {"source": ArraySource(source().values, labels=[0] * COUNT)}, "source.hash"),
    "values": (lambda: {"source": ArraySource(source().values * 2, labels=source().labels)}, "source.hash"),
}


def _other():
    net = network()
    net[0].weight.data[0, 0, 0, 0] += 1
    return net


@pytest.mark.parametrize("change", CHANGES)
def test_a_store_of_another_run_is_refused(undisturbed, change):
    arguments = {"model": network(), "source": source(), "method_names": METHODS, "batch_size": BATCH, **CHANGES[change][0]()}
    before = contents(undisturbed.path)
    with pytest.raises(StoreError, match=CHANGES[change][1].replace(".", r"\.")):
        explain_dataset(arguments.pop("model"), arguments.pop("source"), arguments.pop("method_names"), undisturbed.path, **arguments)
    assert contents(undisturbed.path) == before


def test_two_runs_do_not_write_to_one_store(tmp_path):
    path = tmp_path / "maps.zarr"
    process = Forked(RUN, path, "0.3")
    try:
        while not path.exists() and process.poll() is None:
            time.sleep(0.05)
        with pytest.raises(StoreError, match="another run writes to it"):
            explain_dataset(network(), source(), METHODS, path, batch_size=BATCH)
    finally:
        process.kill()
        process.wait()


def test_what_is_no_store_is_refused_and_stays(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.txt").write_text("cat")
    with pytest.raises(StoreError, match="no store of relevance maps"):
        explain_dataset(network(), source(), METHODS, folder)
    assert (folder / "cat.txt").read_text() == "cat"
    with pytest.raises(StoreError, match="no store of relevance maps"):
        Store(tmp_path / "nowhere.zarr")


def test_a_newer_store_is_refused(undisturbed, tmp_path):
    import shutil

    path = shutil.copytree(undisturbed.path, tmp_path / "newer.zarr")
    zarr.open_group(path, mode="r+").attrs["format"] = 99
    with pytest.raises(StoreError, match="newer signxai, as format 99"):
        Store(path)


def test_half_precision_says_what_it_costs(undisturbed, tmp_path):
    store = explain_dataset(network(), source(), METHODS, tmp_path / "maps.zarr", batch_size=BATCH, dtype="float16")
    rows = store.rows()
    for method in METHODS:
        whole, half = undisturbed.relevance(method, rows), store.relevance(method, rows).astype(np.float32)
        assert store.relevance(method).dtype == np.float16
        error = np.abs(whole - half).max((1, 2, 3)) / np.abs(whole).max((1, 2, 3))
        assert np.allclose(store.array(f"rounding/{method}", rows), error, rtol=1e-3, atol=1e-9)
        assert error.max() < 1e-3


@pytest.mark.parametrize("large", ["input", "relevance"])
def test_what_is_more_than_half_precision_holds_fails_alone(large, tmp_path):
    values = np.ones((4, 2), np.float32)
    values[2] = 1e5 if large == "input" else 100.0
    net = nn.Linear(2, 2)
    net.weight.data.fill_(1.0 if large == "input" else 1000.0)
    store = explain_dataset(net, ArraySource(values), ["gradient_x_input"], tmp_path / "maps.zarr", dtype="float16")
    assert [failure.index for failure in store.failed] == [2]
    assert "1e+05 are more than float16 holds" in store.failed[0].reason
    assert np.isfinite(store.inputs([0, 1, 3])).all()


def test_targets_are_labels_numbers_or_given(tmp_path):
    net, values, labels = network(), np.delete(source().values, 17, 0), [index % 4 for index in range(COUNT - 1)]
    by_label = explain_dataset(net, ArraySource(values, labels), ["gradient"], tmp_path / "label.zarr", target="label")
    assert deviation(by_label.relevance("gradient"), explain(net, values, "gradient", labels)) < 1e-5
    by_number = explain_dataset(net, ArraySource(values), ["gradient"], tmp_path / "number.zarr", target=3)
    assert deviation(by_number.relevance("gradient"), explain(net, values, "gradient", 3)) < 1e-5
    names = ["a", "b", "c", "d"]
    named = ArraySource(values, targets=[names[label] for label in labels])
    given = explain_dataset(net, named, ["gradient"], tmp_path / "given.zarr", target="target", class_names=names)
    assert deviation(given.relevance("gradient"), by_label.relevance("gradient")) < 1e-6
    assert list(given.rows(target="b")) == list(by_label.rows(target=1))


def test_integers_of_numpy_are_numbers(tmp_path):
    values, options = source().values[:3], {"target": np.int64(3), "seed": np.int64(1), "batch_size": np.int64(2)}
    store = explain_dataset(
        network(), ArraySource(values), ["gradient", "smoothgrad"], tmp_path / "maps.zarr", **options, num_samples=np.int8(2)
    )
    assert store.run["options"] == {"num_samples": 2}
    assert store.run["settings"]["target"] == 3
    assert list(store.rows(target=np.int64(3))) == [0, 1, 2]
    assert deviation(store.relevance("gradient"), explain(network(), values, "gradient", 3)) < 1e-5


WRONG = {
    "no labels": ({"target": "label"}, TargetError, "has no labels"),
    "a class too high": ({"target": 4}, TargetError, "0 to 3"),
    "an unknown target": ({"target": "mine"}, OptionError, "target='mine'"),
    "a layer": ({"at": "0"}, OptionError, "at="),
    "an unknown option": ({"banana": 1}, OptionError, "banana"),
    "no batch": ({"batch_size": 0}, OptionError, "batch_size"),
    "a type": ({"dtype": "int8"}, OptionError, "float16"),
    "fewer than no workers": ({"workers": -1}, OptionError, "workers=-1 must be a whole number of at least 0"),
    "too few names": ({"class_names": "abc"}, OptionError, "3 names, where the model has 4 classes"),
    "no target": (
        {"target": None},
        OptionError,
        "target=None must be 'predicted', 'label', 'target' or the number of a class; where entries",
    ),
    "a target for each entry": ({"target": np.zeros(COUNT, int)}, OptionError, r"target=array\(\[0, .* give them to the source"),
    "a score": ({"target": lambda outputs: outputs[:, 0]}, OptionError, "target=<function .* must be 'predicted'"),
    "a model's number": ({"model_name": 3}, OptionError, "model_name=3 must be a word"),
    "no view": ({"view": "x"}, OptionError, "view='x': give a PictureView, SignalView or ValuesView"),
    "views that are none": ({"view": {"x": 3}}, OptionError, "view=3: give a PictureView"),
    "a view that cannot be kept": ({"view": SignalView(lead_names="II")}, OptionError, "no list: 'II'"),
    "names in no order": ({"class_names": set("abcd")}, OptionError, "of the type set; give a list, of which the first"),
    "names by number": ({"class_names": dict(enumerate("abcd"))}, OptionError, "of the type dict; give a list"),
    "a number of names": ({"class_names": 4}, OptionError, "class_names=4 is of the type int; give a list"),
    "a word for yes or no": ({"keep_inputs": "no"}, OptionError, "keep_inputs='no' must be True or False"),
    "an address": ({"ray": "auto"}, OptionError, r"ray='auto' must be RayOptions\(...\)"),
    "an option without a text": ({"mu": object()}, OptionError, "could not be told from another"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_before_anything_is_written(wrong, tmp_path):
    options, error, said = WRONG[wrong]
    with pytest.raises(error, match=said):
        explain_dataset(network(), ArraySource(source().values), ["gradient", "gradient_x_sign_mu"], tmp_path / "maps.zarr", **options)
    assert not (tmp_path / "maps.zarr").exists()


def test_what_is_wrong_with_other_arguments_is_said(tmp_path):
    with pytest.raises(OptionError, match="store=3 must be the name of a folder"):
        explain_dataset(network(), source(), METHODS, 3)
    with pytest.raises(InputError, match=r"method_names=None is no list of names; give a list: \['gradient'\]"):
        explain_dataset(network(), source(), None, tmp_path / "maps.zarr")
    with pytest.raises(InputError, match="of the kind 3; give kind= as a word"):
        explain_dataset(network(), ArraySource(source().values, kind=3), METHODS, tmp_path / "maps.zarr")
    with pytest.raises(InputError, match="an entry is called 3; give its name as text"):
        Entries([3])
    assert explain_dataset(network(), source(), ["gradient"], tmp_path / "maps.zarr", class_names=None).class_names == []


@pytest.mark.parametrize("place", [".", "/", "..", "maps/.."])
def test_a_store_without_a_name_is_refused(place):
    with pytest.raises(OptionError, match="has no name of its own"):
        explain_dataset(network(), source(), METHODS, place)


def test_a_single_output_may_have_two_names(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).eval()
    store = explain_dataset(net, ArraySource(np.ones((3, 12))), ["gradient"], tmp_path / "maps.zarr", class_names=["no", "yes"])
    assert store.class_names == ["no", "yes"]


def test_nothing_readable_is_an_error(tmp_path):
    with pytest.raises(InputError, match="none of the 3 entries can be read; the first: the entry holds NaN"):
        explain_dataset(network(), ArraySource(np.full((3, 3, 8, 8), np.nan)), ["gradient"], tmp_path / "maps.zarr")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_source_that_raises_anything_is_an_entry_that_fails(workers, tmp_path):
    class Lacking(ArraySource):
        def read(self, index):
            if index in (0, 2):
                raise KeyError("no such patient")
            return super().read(index)

    store = explain_dataset(network(), Lacking(source().values[:5]), ["gradient"], tmp_path / "maps.zarr", workers=workers)
    assert [failure.index for failure in store.failed] == [0, 2]
    assert store.failed[1].reason == "the source failed on entry 2: KeyError: 'no such patient'"


def test_samples_of_another_shape_fail_alone(tmp_path):
    rows = [(torch.zeros(3, 8, 8), 0), (torch.zeros(3, 9, 9), 1), (torch.ones(3, 8, 8), 2)]

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            return rows[index]

    store = explain_dataset(network(), TorchSource(Rows(), has_labels=True), ["gradient"], tmp_path / "maps.zarr")
    assert [(failure.index, failure.reason) for failure in store.failed] == [
        (1, "of the shape (3, 9, 9), where others, such as 0, have (3, 8, 8)")
    ]
    assert deviation(store.relevance("gradient", [2]), explain(network(), torch.ones(1, 3, 8, 8), "gradient")) < 1e-6


def test_whole_numbers_of_a_wider_type_fail_alone(tmp_path):
    class Widening(ArraySource):
        def read(self, index):
            entry = super().read(index)
            return entry | {"drugs": entry["drugs"].astype("i8" if index == 1 else "i4")}

    store = explain_dataset(patients(), Widening(arrays_of_patients(3)), ["lrp_epsilon_0_1"], tmp_path / "maps.zarr")
    assert [(failure.index, failure.reason) for failure in store.failed] == [
        (1, "input 'drugs' is of int64, where others, such as 0, are of int32")
    ]


def test_what_cannot_be_explained_fails_alone(tmp_path):
    class Root(nn.Module):
        def forward(self, x):
            return x.log()

    values = np.ones((6, 3, 8, 8), np.float32)
    values[2] = 0
    net = nn.Sequential(Root(), network()).eval()
    store = explain_dataset(
        net, ArraySource(values + np.arange(6)[:, None, None, None] * (values > 0)), ["gradient"], tmp_path / "maps.zarr"
    )
    assert [failure.index for failure in store.failed] == [2]
    assert "NaN or infinity" in store.failed[0].reason
    assert list(store.rows()) == [0, 1, 3, 4, 5]
