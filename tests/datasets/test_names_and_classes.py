"""Names that are no UTF-8, classes of one name, labels that are no classes, networks of one logit, and what is no source."""

import json
import logging
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from signxai.common import InputError, OptionError, TargetError
from signxai.datasets import ArraySource, Entries, Store, TorchSource, explain_dataset, export_virelay, image_folder
from signxai.datasets.given_models import given
from signxai.models import Classifier
from signxai.reports import write_report

pytest.importorskip("zarr")

VALUES = np.random.default_rng(0).normal(size=(8, 3, 4, 4)).astype("f4")


def network(logits=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, logits)).eval()


def run(path, source=None, logits=3, **options):
    return explain_dataset(network(logits), ArraySource(VALUES) if source is None else source, ["gradient"], path, batch_size=3, **options)


def pixels(picture):
    return torch.tensor(np.asarray(picture)).permute(2, 0, 1) / 255


@pytest.mark.skipif(os.name != "posix", reason="names are bytes")
def test_files_whose_names_are_no_utf8_are_entries_like_others(tmp_path):
    folder = os.fsencode(tmp_path / "photos")
    for place, content in {b"cat/a.png": None, b"d\xf6g/caf\xe9.png": None, b"d\xf6g/b\xff.png": b"no picture"}.items():
        os.makedirs(os.path.join(folder, os.path.dirname(place)), exist_ok=True)
        with open(os.path.join(folder, place), "wb") as file:
            file.write(content) if content else Image.new("RGB", (4, 4), "red").save(file, "PNG")
    store = run(tmp_path / "maps.zarr", image_folder(tmp_path / "photos", pixels), class_names=["cat", "d\udcf6g", "owl"])
    assert store.keys() == ["cat/a.png", r"d\xf6g/b\xff.png", r"d\xf6g/caf\xe9.png"]
    assert [(failure.index, failure.key) for failure in store.failed] == [(1, r"d\xf6g/b\xff.png")]
    assert r"b\xff.png: neither a picture" in store.failed[0].reason
    assert list(store.rows(label=r"d\xf6g")) == [2] == list(store.rows(label=1))
    assert write_report(store, tmp_path / "report").is_file()
    run(tmp_path / "maps.zarr", image_folder(tmp_path / "photos", pixels), class_names=["cat", "d\udcf6g", "owl"])


def test_two_files_that_are_spelled_alike_are_told():
    with pytest.raises(InputError, match="two entries are called"):
        Entries(["caf\udce9.png", r"caf\xe9.png"])


@pytest.mark.skipif(os.name != "posix", reason="names are bytes")
def test_a_store_in_a_folder_whose_name_is_no_utf8(tmp_path):
    store = run(tmp_path / "caf\udce9" / "maps.zarr")
    assert write_report(store, tmp_path / "report").is_file()
    assert export_virelay(store, tmp_path / "export")[0].is_file()


def test_two_classes_of_one_name_are_refused(tmp_path):
    with pytest.raises(OptionError, match="'cat' is the name of the classes 0 and 2; give each a name of its own"):
        run(tmp_path / "maps.zarr", class_names=["cat", "dog", "cat"])


def test_classes_of_a_classifier_have_names_that_differ():
    names = ["N (normal)", "V (ventricular)", "N (noise)", "crane", "crane"]
    assert given(Classifier(nn.Identity(), class_names=names), ArraySource(VALUES)).class_names == [
        "N (normal)", "V", "N (noise)", "crane (3)", "crane (4)"
    ]  # fmt: skip


def test_labels_beyond_the_classes_are_told_and_predicted_by_nobody(tmp_path):
    store = run(tmp_path / "maps.zarr", ArraySource(VALUES, [0, 1, 2, 3, 7, 7, None, None]))
    assert store.labels_that_are_no_classes() == ["3", "7"]
    assert {3, 4, 5} <= set(store.rows(wrong=True))
    assert not {6, 7} & {*store.rows(wrong=True), *store.rows(wrong=False)}
    with pytest.raises(TargetError, match="class 7: the model has 3 classes"):
        store.rows(label=7)
    with pytest.raises(TargetError, match=r"entry 3 .*, 3: its label, .*: class 3: the model has 3 classes, 0 to 2; mend the label"):
        run(tmp_path / "labels.zarr", ArraySource(VALUES, [0, 1, 2, 3, 0, 9, 3, 0]), target="label")
    page = write_report(store, tmp_path / "report").read_text()
    assert "count as predicted wrongly: 3, 7" in page


def test_labels_beyond_the_classes_are_exported_as_what_they_are(tmp_path):
    h5py = pytest.importorskip("h5py")
    store = run(tmp_path / "maps.zarr", ArraySource(VALUES, [0, 1, 2, 3, 7, 4, None, 7]))
    export_virelay(store, tmp_path / "export")
    names = [one["name"] for one in json.loads((tmp_path / "export" / "label-map.json").read_text())]
    with h5py.File(tmp_path / "export" / "dataset.h5") as file:
        assert [names[number] for number in file["label"]] == [*(f"class {number}" for number in (0, 1, 2, 3, 7, 4)), "no label", "class 7"]


@pytest.fixture(scope="module")
def of_one_logit(tmp_path_factory):
    source = ArraySource(VALUES, [0, 1] * 4, groups=["a"] * 8)
    return run(tmp_path_factory.mktemp("one") / "maps.zarr", source, logits=1, class_names=["no", "yes"])


def test_one_logit_predicts_no_class(of_one_logit, tmp_path):
    assert not of_one_logit.predicts_classes
    assert not of_one_logit.knows_labels
    assert (of_one_logit.predictions() == -1).all()
    assert list(of_one_logit.rows(label=1)) == [1, 3, 5, 7] == list(of_one_logit.rows(label="yes"))
    for asked in ({"wrong": True}, {"wrong": False}, {"predicted": 0}):
        with pytest.raises(OptionError, match="the network has one logit, which predicts no class"):
            of_one_logit.rows(**asked)
    assert run(tmp_path / "three.zarr").predicts_classes


def test_a_report_of_one_logit_states_no_accuracy(of_one_logit, tmp_path):
    page = write_report(of_one_logit, tmp_path / "report").read_text()
    assert [words for words in ("accuracy", "predicted as labelled", "right of", "Confusion", "confusion") if words in page] == []
    entries = (tmp_path / "report" / "data" / "entries.js").read_text()
    assert '"right":null' in entries
    assert '"predicted":null' in entries


SOURCES = {
    "an array": (lambda: VALUES, r"type ndarray, which is no source of entries; wrap it in ArraySource\(...\)"),
    "a tensor": (lambda: torch.from_numpy(VALUES), r"wrap it in ArraySource\(...\)"),
    "arrays by name": (lambda: {"x": VALUES}, r"type dict, which is no source of entries; wrap it in ArraySource\(...\)"),
    "a data set": (lambda: torch.utils.data.TensorDataset(torch.zeros(3, 2)), r"type TensorDataset, .* wrap it in TorchSource\(...\)"),
    "a loader": (lambda: torch.utils.data.DataLoader([1, 2]), r"TorchSource\(loader.dataset\)"),
    "a path": (lambda: "photos", r"image_folder\('photos'\)"),
    "a number": (lambda: 3, r"type int, which is no source of entries; give ArraySource\(...\)"),
    "a list": (lambda: [VALUES], r"type list, which is no source of entries; give ArraySource\(...\)"),
}


@pytest.mark.parametrize("what", SOURCES)
def test_what_is_no_source_is_told_how_it_becomes_one(what, tmp_path):
    made, said = SOURCES[what]
    with pytest.raises(InputError, match=said):
        run(tmp_path / "maps.zarr", made())
    assert not (tmp_path / "maps.zarr").exists()


def test_one_name_is_no_list_of_names(of_one_logit, tmp_path):
    said = r"'gradient' is one name; give a list: \['gradient'\]"
    with pytest.raises(InputError, match=said):
        explain_dataset(network(), ArraySource(VALUES), "gradient", tmp_path / "maps.zarr")
    with pytest.raises(InputError, match=said):
        export_virelay(of_one_logit, tmp_path / "export", "gradient")
    with pytest.raises(InputError, match=said):
        write_report(of_one_logit, tmp_path / "report", methods="gradient")
    with pytest.raises(InputError, match=r"inputs='ecg' is one word; give a list of names: \['ecg'\]"):
        TorchSource(torch.utils.data.TensorDataset(torch.zeros(3, 2)), inputs="ecg")


@pytest.mark.parametrize(("values", "said"), [
    (np.zeros(10), r"values of the shape \(10,\); an array \(N, ...\) is needed"),
    ([1, 2], r"values that are a list, which has no shape; an array"),
    ({"a": np.zeros(())}, r"input 'a' of the shape \(\); an array"),
    ({"a": [1]}, r"input 'a' that are a list, which has no shape; an array"),
])  # fmt: skip
def test_what_is_no_array_of_entries_reads_well(values, said):
    with pytest.raises(InputError, match=said):
        ArraySource(values)


def test_labels_may_be_missing():
    assert ArraySource(VALUES[:3], labels=[0, None, np.int64(2)]).entries.labels == [0, None, 2]
    assert ArraySource(VALUES[:2], labels=["cat", None]).entries.labels == ["cat", None]
    with pytest.raises(InputError, match="None is no class"):
        ArraySource(VALUES[:2], targets=[0, None])


def test_an_entry_that_is_not_like_others_is_told_which_these_are(tmp_path):
    for name, size in {"a": 3, "b": 4, "c": 5}.items():
        np.save(tmp_path / f"{name}.npy", np.zeros((3, size, 4), dtype="f4"))
    (tmp_path / "a.npy").write_bytes(b"broken")
    store = run(tmp_path / "maps.zarr", image_folder(tmp_path))
    assert store.failed[-1].reason == "of the shape (3, 5, 4), where others, such as b.npy, have (3, 4, 4)"


def test_a_run_says_how_far_an_earlier_one_came(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "signxai.datasets.run")
    path = tmp_path / "maps.zarr"

    class Ended(ArraySource):
        def read(self, index):
            if index == 6:
                raise KeyboardInterrupt
            return super().read(index)

    with pytest.raises(KeyboardInterrupt):
        run(path, Ended(VALUES))
    assert caplog.messages == []
    done = len(Store(path).rows())
    assert 0 < done < 8
    for _ in range(2):
        run(path)
    assert caplog.messages == [f"continues: {done} of 8 entries done in {path}", f"all 8 entries are already in {path}; nothing to do"]
