"""``signxai run`` as a user runs it: a folder, a table, arrays and recordings into a store."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import explained, in_a_process, refused
from comparing import deviation
from places import PACKAGE_DATA
from signxai import explain
from signxai.datasets import Store, beats_of
from signxai.models import load_classifier

zarr = pytest.importorskip("zarr")

NETS = """
import torch
from torch import nn
from torchvision.transforms.functional import to_tensor
from signxai.models import Classifier

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3), nn.Softmax(dim=1))

class Joint(nn.Linear):
    def forward(self, x, age, scale=1.0):
        return super().forward(torch.cat([x, age.unsqueeze(1)], 1)) * scale

def joint():
    torch.manual_seed(0)
    return Joint(5, 3)

def named():
    return Classifier(small(), to_tensor, ["cat", "dog", "owl"])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data_sets")
    (folder / "nets.py").write_text(NETS)
    draw = np.random.default_rng(0)
    for name in ("cat/a.png", "cat/b.png", "dog/a.png", "owl/a.png", "owl/b.png"):
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / "photos" / name)
    x = draw.normal(size=(7, 3, 8, 8)).astype(np.float32)
    np.save(folder / "x.npy", x)
    np.savez(folder / "x.npz", x=x, label=np.arange(7) % 3, group=[f"patient {index // 2}" for index in range(7)])
    (folder / "table.csv").write_text("file,label,group\nphotos/cat/a.png,cat,tom\nphotos/dog/a.png,dog,rex\n")
    sys.modules.pop("nets", None)
    return folder


def test_a_folder_of_photos(run):
    told = explained(run("run", "photos", "--model", "nets:named", "-m", "gradient", "lrp_epsilon_0_1", "--store", "maps.zarr"))
    store = Store("maps.zarr")
    assert store.keys() == ["cat/a.png", "cat/b.png", "dog/a.png", "owl/a.png", "owl/b.png"]
    x = torch.stack([load_classifier("nets:named").preprocess(Image.open(f"photos/{key}")) for key in store.array("key")])
    for method in ("gradient", "lrp_epsilon_0_1"):
        assert deviation(store.relevance(method), explain(load_classifier("nets:named").model, x, method)) < 1e-5
    right = len(store.rows(wrong=False))
    assert "5 of 5 entries explained by 2 methods: maps.zarr" in told
    assert f"{right} of 5 predicted as labelled" in told
    assert list(store.rows(label="owl")) == [3, 4]


def test_notes_beside_photos_are_no_recording(run, folder):
    (folder / "photos" / "notes.txt").write_text("taken in May")
    told = explained(run("run", "photos", "--model", "nets:named", "-m", "gradient", "--store", "with_notes.zarr"))
    assert "5 of 5 entries explained" in told
    (folder / "photos" / "notes.txt").unlink()


def test_a_table_without_files_is_told_to_be_none(run, folder):
    (folder / "semicolons.csv").write_text("file;label\na.png;cat\n")
    done = run("run", "semicolons.csv", "--model", "nets:named", "-m", "gradient", "--store", "none.zarr")
    refused(done, "semicolons.csv", "a table of files has a column called file")


def test_a_table_explains_its_labels(run):
    explained(run("run", "table.csv", "--model", "nets:named", "-m", "gradient", "--store", "maps.zarr", "--target", "label"))
    store = Store("maps.zarr")
    assert list(store.array("target")) == [0, 1]
    assert list(store.rows(group="rex")) == [1]


def test_entries_are_counted_among_those_with_a_label(run, folder):
    np.savez(folder / "some.npz", x=np.load(folder / "x.npy"), label=np.array([0, 1, -1, -1, 2, 0, -1]))
    told = explained(run("run", "some.npz", "--model", "nets:small", "-m", "gradient", "--store", "some.zarr"))
    assert f"{len(Store('some.zarr').rows(wrong=False))} of 4 predicted as labelled" in told


def test_labels_that_are_no_classes_are_told_beside_the_others(run, folder):
    (folder / "strange.csv").write_text("file,label\nphotos/cat/a.png,cat\nphotos/dog/a.png,wolf\n")
    told = explained(run("run", "strange.csv", "--model", "nets:named", "-m", "gradient", "--store", "strange.zarr"))
    assert "of 2 predicted as labelled" in told
    assert "none of the model's classes, and count as predicted wrongly: wolf" in told


@pytest.mark.parametrize("file", ["x.npy", "x.npz"])
def test_arrays(run, file):
    explained(run("run", file, "--model", "nets:small", "-m", "gradient", "--store", "maps.zarr", "--target", "2", "--batch-size", "3"))
    store = Store("maps.zarr")
    assert deviation(store.relevance("gradient"), explain(load_classifier("nets:small").model, np.load("x.npy"), "gradient", 2)) < 1e-5
    assert store.knows_labels == (file == "x.npz")


@pytest.fixture(scope="module")
def patients(folder):
    draw = np.random.default_rng(0)
    x, age = draw.normal(size=(6, 4)).astype(np.float32), draw.normal(size=6).astype(np.float32)
    np.savez(folder / "patients.npz", x=x, age=age, label=np.arange(6) % 3)
    np.savez(folder / "labels.npz", label=np.arange(6) % 3, x=x)
    np.save(folder / "joint_x.npy", x)
    np.save(folder / "age.npy", age)
    zarr.save_group(folder / "patients.zarr", x=x, age=age, label=np.arange(6) % 3)
    return {"x": x, "age": age}


@pytest.mark.parametrize("words", [
    ["patients.npz"], ["patients.zarr"], ["--input", "x=joint_x.npy", "--input", "age=age.npy"], ["labels.npz", "--input", "age=age.npy"],
], ids=" ".join)  # fmt: skip
def test_several_inputs(run, patients, words):
    explained(run("run", *words, "--model", "nets:joint", "-m", "gradient_x_input", "--store", "maps.zarr", "--forward", "scale=2.0"))
    store = Store("maps.zarr")
    wanted = explain(load_classifier("nets:joint").model, patients, "gradient_x_input", forward_kwargs={"scale": 2.0})
    assert sorted(store.input_names) == ["age", "x"]
    for name, relevance in store.relevance("gradient_x_input").items():
        assert deviation(relevance, wanted[name]) < 1e-6
    assert ("label" in store) == ("--input" not in words[:1])


def test_of_several_inputs_one_is_explained(run, patients):
    arguments = ("--model", "nets:joint", "-m", "gradient", "--store", "maps.zarr")
    explained(run("run", "patients.npz", *arguments, "--explained", "age"))
    assert list(Store("maps.zarr").relevance("gradient")) == ["age"]
    refused(run("run", "patients.npz", *arguments, "--explained", "eeg"), "--explained eeg: is none of the inputs x, age")
    refused(run("run", "patients.npz", *arguments, "--input", "age=age.npy"), "holds 'age' already")
    refused(run("run", "joint_x.npy", *arguments, "--forward", "scale=2"), "--forward goes with several inputs")
    refused(run("run", "--input", "x=joint_x.npy", *arguments), "the model also needs 'age': give --input age=FILE")
    refused(run("run", "--input", "x=photos/cat/a.png", *arguments), "inputs of a data set are arrays")
    refused(run("run", "photos", "--input", "x=joint_x.npy", *arguments), "--input: goes with arrays")
    refused(run("run", *arguments), "Missing argument 'SOURCE'")


def test_a_broken_photo_is_told_and_the_others_are_explained(run, here):
    (here / "some" / "cat").mkdir(parents=True)
    for name, size in (("a", 30), ("b", None)):
        photo = (here / "photos" / "cat" / f"{name}.png").read_bytes()
        (here / "some" / "cat" / f"{name}.png").write_bytes(photo[:size])
    done = run("run", "some", "--model", "nets:named", "-m", "gradient", "--store", "maps.zarr")
    assert done.returncode == 3
    assert "1 of 2 entries explained" in done.stdout
    assert "1 entries failed, the first cat/a.png: some/cat/a.png" in done.stdout


def test_the_same_command_again_changes_nothing(run, here):
    command = ("run", "x.npz", "--model", "nets:small", "-m", "smoothgrad_samples_2", "--store", "maps.zarr", "--seed", "3")
    first = explained(run(*command))
    before = {path: path.stat().st_mtime_ns for path in (here / "maps.zarr").rglob("0")}
    assert explained(run(*command)) == first
    assert {path: path.stat().st_mtime_ns for path in (here / "maps.zarr").rglob("0")} == before
    refused(run(*command[:-1], "4"), "of another run", "settings.seed was 3 and is 4")


@pytest.mark.slow
def test_beats_of_a_recording(run):
    record = PACKAGE_DATA / "233_1655s.hea"
    method = "lrpsign_epsilon_0_25_std_x"
    explained(run("run", record, "--model", "ecg_beats", "--beats", "--method", method, "--store", "maps.zarr", "--half"))
    store, classifier = Store("maps.zarr"), load_classifier("ecg_beats")
    source = beats_of([record], classifier.signal_input)
    x = np.stack([source.read(index) for index in range(len(source.entries.keys))])
    assert deviation(store.relevance(method), explain(classifier.model, x, method)) < 1e-3
    assert [str(label) for label in store.array("label")] == source.entries.labels
    assert store.knows_labels


@pytest.mark.slow
def test_a_process_of_its_own(folder):
    done = in_a_process("run", "x.npy", "--model", "nets:small", "-m", "gradient", "--store", "own.zarr", "--workers", "2", cwd=folder)
    assert "7 of 7 entries explained by 1 method: own.zarr" in explained(done)


@pytest.mark.slow
def test_a_run_by_ray(run, folder):
    pytest.importorskip("ray")
    arguments = ("--model", "nets:small", "-m", "gradient", "--batch-size", "2")
    explained(run("run", "x.npy", *arguments, "--store", "one.zarr"))
    done = in_a_process("run", "x.npy", "--ray", "--actors", "2", *arguments, "--store", "ray.zarr", cwd=folder, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert deviation(Store(folder / "ray.zarr").relevance("gradient"), Store(folder / "one.zarr").relevance("gradient")) < 1e-6


WRONG = {
    "no store": (["x.npy"], ["--store"]),
    "two data sets": (["x.npy", "x.npz", "--store", "m.zarr"], ["2 data sets"]),
    "beats of photos": (["photos", "--beats", "--store", "m.zarr"], ["--beats", "no recordings"]),
    "labels of none": (["x.npy", "--target", "label", "--store", "m.zarr"], ["has no labels"]),
    "a class by name": (["x.npy", "--target", "cat", "--store", "m.zarr"], ["cat", "have no names"]),
    "one method's option": (["x.npy", "--option", "gradient:mu=1", "--store", "m.zarr"], ["for all methods"]),
    "a seed as an option": (["x.npy", "--option", "seed=3", "--store", "m.zarr"], ["--option seed", "give --seed"]),
    "a view as an option": (
        ["x.npy", "--option", "view=3", "--store", "m.zarr"],
        ["--option view", "no option of a method", "leave it out"],
    ),
    "inputs as an option": (["x.npy", "--option", "keep_inputs=no", "--store", "m.zarr"], ["give --without-inputs"]),
    "actors alone": (["x.npy", "--actors", "2", "--store", "m.zarr"], ["--actors", "give --ray, too"]),
    "two ways of reading": (["x.npy", "--ray", "--workers", "2", "--store", "m.zarr"], ["--workers", "--ray"]),
    "a text": (["nets.py", "--store", "m.zarr"], ["a data set is"]),
    "a folder of both": ([PACKAGE_DATA, "--store", "m.zarr"], ["recordings (233_1655s.hea) and pictures (chelsea.png)"]),
    "a recording": ([PACKAGE_DATA / "233_1655s.hea", "--store", "m.zarr"], ["--beats or by --window-length"]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_mistakes_end_in_one_line(run, wrong, here):
    arguments, words = WRONG[wrong]
    refused(run("run", *arguments, "--model", "nets:small", "-m", "gradient"), *words)
    assert not (here / "m.zarr").exists()
