"""``signxai run`` as a user runs it: a folder, a table, arrays and recordings into a store."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import explained, in_a_process, refused
from comparing import deviation
from places import PACKAGE_DATA
from signxai import explain
from signxai.datasets import PictureView, RayOptions, Store, beats_of, explain_dataset, image_folder
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

def nameless():
    return Classifier(small(), to_tensor)

def digits():
    return Classifier(small(), to_tensor, ["1", "0", "7"])

def shown():
    return Classifier(small(), to_tensor, ["cat (a pet)", "dog", "owl"], (0.5,) * 3, (0.25,) * 3)
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
    np.savez(folder / "some.npz", x=np.load(folder / "x.npy"), label=["cat", "dog", "", "", "owl", "cat", ""])
    told = explained(run("run", "some.npz", "--model", "nets:named", "-m", "gradient", "--store", "some.zarr"))
    assert f"{len(Store('some.zarr').rows(wrong=False))} of 4 predicted as labelled" in told


@pytest.mark.parametrize("name", ["label", "target"])
def test_negative_numbers_are_no_classes(run, folder, name):
    np.savez(folder / "signs.npz", x=np.load(folder / "x.npy"), **{name: np.array([0, 1, 1, -5, 1, -1, 0])})
    done = run("run", "signs.npz", "--model", "nets:small", "-m", "gradient", "--store", "signs.zarr")
    refused(done, f"{name}s: -5 of entry 3 is no class: classes are numbered from 0", "names")
    (folder / "signs.csv").write_text(f"file,{name}\nphotos/cat/a.png,1\nphotos/dog/a.png,-1\n")
    done = run("run", "signs.csv", "--model", "nets:named", "-m", "gradient", "--store", "signs.zarr")
    refused(done, f"{name}s: -1 of entry photos/dog/a.png is no class: classes are numbered from 0", "names")
    assert not Path("signs.zarr").exists()


@pytest.mark.parametrize("name", ["labels", "Label", "targets", "groups", "lables"])
def test_an_array_called_almost_as_the_labels_is_not_passed_over(run, folder, name):
    np.savez(folder / "almost.npz", x=np.load(folder / "x.npy"), **{name: np.arange(7) % 3})
    done = run("run", "almost.npz", "--model", "nets:small", "-m", "gradient", "--store", "almost.zarr")
    meant = {"t": "target", "g": "group"}.get(name[0], "label")
    refused(done, f"holds {name}, which is no array of a data set; did you mean {meant}?")


def test_other_arrays_beside_the_inputs_are_left_alone(run, folder):
    np.savez(folder / "beside.npz", x=np.load(folder / "x.npy"), recorded_in=np.arange(7))
    explained(run("run", "beside.npz", "--model", "nets:small", "-m", "gradient", "--store", "beside.zarr"))


def test_names_of_classes_that_have_none_are_told_to_say_nothing(run):
    told = explained(run("run", "table.csv", "--model", "nets:nameless", "-m", "gradient", "--store", "nameless.zarr"))
    assert "labels are names, and the network's classes have none: how many are predicted as labelled is not told" in told
    explained(run("report", "nameless.zarr", "--output", "nameless"))
    assert "nobody said which class each label is" in Path("nameless/index.html").read_text()


def test_words_of_the_command_line_and_of_tables_are_names_before_they_are_numbers(run, folder):
    rows = "".join(f"photos/{name},{label},7\n" for name, label in (("cat/a.png", "7"), ("cat/b.png", "2"), ("dog/a.png", "007")))
    (folder / "digits.csv").write_text(f"file,label,target\n{rows}")
    explained(run("run", "digits.csv", "--model", "nets:digits", "-m", "gradient", "--store", "digits.zarr", "--target", "target"))
    store = Store("digits.zarr")
    assert store.array("label").tolist() == [2, 2, 7]
    assert store.array("target").tolist() == [2, 2, 2] == store.array("target_given").tolist()
    explained(run("run", "digits.csv", "--model", "nets:digits", "-m", "gradient", "--store", "digits.zarr", "--target", "target"))
    explained(run("run", "digits.csv", "--model", "nets:digits", "-m", "gradient", "--store", "sevens.zarr", "--target", "7"))
    assert set(Store("sevens.zarr").array("target")) == {2}
    for words in (["cluster", "digits.zarr", "--class", "1"], ["cluster", "digits.zarr", "--label", "1"],
                  ["export", "digits.zarr", "--virelay", "out", "--class", "1"],
                  ["run", "digits.csv", "--model", "nets:digits", "-m", "gradient", "--store", "no.zarr", "--target", "1"]):  # fmt: skip
        refused(run(*words), "class '1': a name of class 0, and the number of the class '0'")
    (folder / "either.csv").write_text("file,label\nphotos/cat/a.png,1\n")
    done = run("run", "either.csv", "--model", "nets:digits", "-m", "gradient", "--store", "no.zarr")
    refused(done, "class '1': a name of class 0, and the number of the class '0'")


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


def test_a_broken_photo_is_told_and_the_others_are_explained(run, here, caplog):
    (here / "some" / "cat").mkdir(parents=True)
    for name, size in (("a", 30), ("b", None)):
        photo = (here / "photos" / "cat" / f"{name}.png").read_bytes()
        (here / "some" / "cat" / f"{name}.png").write_bytes(photo[:size])
    done = run("run", "some", "--model", "nets:named", "-m", "gradient", "--store", "maps.zarr")
    assert done.returncode == 3
    assert "1 of 2 entries explained by 1 method: maps.zarr" in done.stdout
    assert "1 of 2 entries failed:\n  cat/a.png: neither a picture" in done.stdout
    assert done.stdout.endswith("\nto look at them: signxai report maps.zarr --output report\n")
    assert (done.stderr, caplog.messages) == ("", []), "what failed is told once"


def test_what_failed_is_told_by_its_most_frequent_reasons(run, here):
    values = np.load("x.npy")
    for row, value in enumerate((np.nan, np.inf, 1e30)):
        values[row, 0, 0, 0] = value
    np.save("odd.npy", values)
    lines = run("run", "odd.npy", "--model", "nets:small", "-m", "gradient", "--store", "odd.zarr", "--half").stdout.splitlines()
    assert lines[0] == "4 of 7 entries explained by 1 method: odd.zarr"
    assert lines[1:3] == ["3 of 7 entries failed:", "  0 and 1 more: the entry holds NaN or infinity"]
    assert lines[3].startswith("  2: the input: values of up to 1e+30 are more than float16 holds")


def test_the_command_and_python_write_one_store(run, here):
    """The same folder, by the words of the command line and by a classifier in Python: every file has the same bytes."""
    methods = ["gradient", "lrp_epsilon_0_1"]
    (here / "some" / "cat").mkdir(parents=True)
    (here / "some" / "cat" / "a.png").write_bytes(b"no picture")
    (here / "some" / "cat" / "b.png").write_bytes((here / "photos" / "cat" / "b.png").read_bytes())
    explain_dataset(load_classifier("nets:shown"), image_folder("some"), methods, "python.zarr", model_name="nets:shown", target="cat")
    done = run("run", "some", "--model", "nets:shown", "-m", *methods, "--store", "shell.zarr", "--target", "cat")
    assert done.returncode == 3
    files = {file.relative_to("shell.zarr") for file in Path("shell.zarr").rglob("*") if file.is_file()}
    assert files == {file.relative_to("python.zarr") for file in Path("python.zarr").rglob("*") if file.is_file()}
    assert [file for file in sorted(files) if (Path("shell.zarr") / file).read_bytes() != (Path("python.zarr") / file).read_bytes()] == []
    assert Store("shell.zarr").view == PictureView((0.5,) * 3, (0.25,) * 3)
    assert run("run", "some", "--model", "nets:shown", "-m", *methods, "--store", "python.zarr", "--target", "cat").returncode == 3


ABSORBED = {
    "nothing": (1.0, 0.0, "one_hot", "lrp_z: median 0 of the relevance absorbed on the way to the input\n"),
    "a share of the logit": (1.0, 2.0, "logit", "lrp_z: median 0.5 of the relevance absorbed on the way to the input\n"),
    "more than all": (
        -1.0,
        4.0,
        "one_hot",
        "lrp_z: median 2 of the relevance absorbed on the way to the input (biases and stabilizers took",
    ),
    "less than nothing": (
        3.0,
        -2.0,
        "one_hot",
        "lrp_z: median -0.5 of the relevance absorbed on the way to the input (less than 0: biases",
    ),
}


@pytest.mark.parametrize("case", ABSORBED)
def test_what_is_absorbed_is_told_as_a_share_and_explained_where_it_is_odd(case, run):
    """Of the logit 2 w + b of two ones the inputs get 2 w / (2 w + b)."""
    weight, bias, start, said = ABSORBED[case]
    np.save("ones.npy", np.ones((3, 2), dtype=np.float32))
    lines = [f"    torch.nn.init.constant_(net.{name}, {value})\n" for name, value in (("weight", weight), ("bias", bias))]
    module = f"biased_{list(ABSORBED).index(case)}"  # two files of one name, size and second would be one to Python
    Path(f"{module}.py").write_text("import torch\ndef net():\n    net = torch.nn.Linear(2, 2)\n" + "".join(lines) + "    return net\n")
    assert said in explained(run("run", "ones.npy", "--model", f"{module}:net", "-m", "lrp_z", "--store", "o.zarr", "--relevance", start))


@pytest.mark.parametrize(("start", "turned"), [("one_hot", "lrp_z"), ("logit", "gradient")])
def test_it_is_told_in_how_many_maps_signs_are_turned(start, turned, run):
    np.save("signs.npy", np.array([[1, 1], [-1, -1], [-2, 0]], dtype=np.float32))
    Path("summing.py").write_text(
        "import torch\ndef net():\n    net = torch.nn.Linear(2, 2)\n    torch.nn.init.constant_(net.weight, 1.0)\n"
        "    torch.nn.init.zeros_(net.bias)\n    return net\n"
    )
    command = ("run", "signs.npy", "--model", "summing:net", "-m", "lrp_z", "gradient", "vargrad", "--store", "s.zarr")
    said = explained(run(*command, "--relevance", start))
    assert f"signs are turned in 2 of 3 maps by {turned}: " in said
    assert f"--relevance {'logit' if start == 'one_hot' else 'one_hot'} has them right" in said


def test_a_broken_store_ends_every_command_in_a_line(run, folder):
    again = ("run", "photos", "--model", "nets:named", "-m", "gradient", "--store", "broken.zarr")
    commands = [again, ("report", "broken.zarr", "--output", "r"), ("cluster", "broken.zarr"), ("export", "broken.zarr", "--virelay", "v")]
    explained(run(*again))
    chunk, metadata = Path("broken.zarr/relevance/gradient/c.0.0.0.0"), Path("broken.zarr/relevance/gradient/zarr.json")
    chunk.unlink()
    for command in commands[:2] + commands[3:]:
        refused(
            run(*command), "relevance/gradient lacks the file of batch 0 (entries 0 to 4)", "delete the store or run again into a new one"
        )
    metadata.write_text(metadata.read_text()[:40])
    for command in commands:
        refused(run(*command), "relevance/gradient is missing or broken")
    Path("broken.zarr/zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {"format": "1"}}')
    for command in commands:
        refused(run(*command), "of the format '1'")


@pytest.mark.parametrize("place", ["maps.zarr/x", "..", "/proc/x"])
def test_a_place_for_no_store_is_refused(place, run, folder):
    explained(run("run", "x.npz", "--model", "nets:small", "-m", "gradient", "--store", "maps.zarr"))
    refused(run("run", "x.npz", "--model", "nets:small", "-m", "gradient", "--store", place), place)


def test_of_one_logit_no_accuracy_is_told(run, folder):
    (folder / "one.py").write_text(
        "import nets, torch\ndef net():\n    return torch.nn.Sequential(nets.small()[:4], torch.nn.Linear(16, 1))\n"
    )
    told = explained(run("run", "x.npz", "--model", "one:net", "-m", "gradient", "--store", "one.zarr"))
    assert "the network has one logit, which predicts no class" in told
    assert "predicted as labelled (" not in told
    refused(run("cluster", "one.zarr", "--wrong"), "the network has one logit")


def test_labels_that_are_spelled_in_two_ways_are_told(run, folder):
    (folder / "cases.csv").write_text("file,label\nphotos/cat/a.png,Cat\nphotos/cat/b.png,cat\nphotos/dog/a.png,dog\n")
    told = explained(run("run", "cases.csv", "--model", "nets:named", "-m", "gradient", "--store", "cases.zarr"))
    assert "labels that differ only in case or accents, and count as different: 'Cat' and 'cat'\n" in told


@pytest.mark.skipif(os.name != "posix", reason="names are bytes")
def test_a_folder_with_names_that_are_no_utf8(run, folder):
    place = os.fsencode(folder / "odd") + b"/caf\xe9"
    os.makedirs(place)
    for name in (b"a.png", b"\xff.png"):
        Image.new("RGB", (8, 8), "red").save(os.fsdecode(place + b"/" + name))
    explained(run("run", "odd", "--model", "nets:named", "-m", "gradient", "--store", "odd.zarr"))
    assert Store("odd.zarr").keys() == [r"caf\xe9/a.png", r"caf\xe9/\xff.png"]
    explained(run("report", "odd.zarr", "--output", "r"))


def test_the_same_command_again_changes_nothing(run, here):
    command = ("run", "x.npz", "--model", "nets:small", "-m", "smoothgrad_samples_2", "--store", "maps.zarr", "--seed", "3")
    first = explained(run(*command))
    before = {path: path.stat().st_mtime_ns for path in (here / "maps.zarr").rglob("0")}
    assert explained(run(*command)) == f"all 7 entries are already in maps.zarr; nothing to do\n{first}"
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


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--ray", "--actors", "2"], RayOptions(None, 2)),
        (["--ray"], RayOptions(None, None)),
        (["--ray", "10.0.0.1:6379"], RayOptions("10.0.0.1:6379", None)),
    ],
)
def test_a_run_by_ray_is_asked_for_what_is_said(run, monkeypatch, words, wanted):
    """What Ray itself makes of it: test_ray_runs."""
    asked = []

    def explain_here(*args, ray, **options):
        asked.append(ray)
        return explain_dataset(*args, **options)

    monkeypatch.setattr("signxai.cli.run_data_sets.explain_dataset", explain_here)
    explained(run("run", "x.npy", *words, "--model", "nets:small", "-m", "gradient", "--store", "ray.zarr"))
    assert asked == [wanted]


WRONG = {
    "no store": (["x.npy"], ["--store"]),
    "two data sets": (["x.npy", "x.npz", "--store", "m.zarr"], ["2 data sets"]),
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


OF_RECORDINGS = {
    "--beats": [],
    "--beat-classes": ["V"],
    "--window-length": ["1"],
    "--sampling-rate": ["360"],
    "--units": ["mV"],
    "--leads": ["I"],
}
SOURCES = {
    "photos": "photos is a folder",
    "table.csv": "table.csv is a table",
    "x.npy": "x.npy holds arrays",
    "x.npz": "x.npz holds arrays",
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("option", OF_RECORDINGS)
def test_options_of_recordings_are_refused_elsewhere_before_the_network_is_loaded(run, option, source):
    arguments = (option, *OF_RECORDINGS[option], "--model", "nowhere:net", "-m", "gradient", "--store", "m.zarr")
    refused(run("run", source, *arguments), f"{option}: goes with recordings (", SOURCES[source])


@pytest.mark.parametrize(("options", "said"), {
    "windows of a network of beats": (["--window-length", "1"], "--window-length: the network takes windows about beats, 1.2 s before"),
    "beats beside windows": (["--window-length", "1", "--beats"], "by --beats or by --window-length"),
    "classes of windows": (["--window-length", "1", "--beat-classes", "V"], "--beat-classes: says which of the beats"),
    "no such class": (["--beats", "--beat-classes", "W"], "class 'W': the AAMI classes are"),
    "actors": (["--beats", "--actors", "2"], "--actors"),
    "inputs": (["--beats", "--input", "x=x.npy"], "--input: goes with arrays"),
    "another rate": (["--beats", "--sampling-rate", "100"], "is sampled at 360 Hz, not 100 Hz"),
}.values())  # fmt: skip
def test_options_that_do_not_go_with_recordings_are_refused(run, options, said):
    record = PACKAGE_DATA / "233_1655s.hea"
    refused(run("run", record, *options, "--model", "ecg_beats", "-m", "gradient", "--store", "m.zarr"), said)


def test_beats_for_a_network_that_takes_none_are_refused(run):
    record = PACKAGE_DATA / "233_1655s.hea"
    done = run("run", record, "--beats", "--model", "nets:small", "-m", "gradient", "--store", "m.zarr")
    refused(done, "--beats: the network does not say where its window about a beat lies", "--window-length SECONDS")


def test_a_recording_that_lacks_a_word_asks_for_the_option(run, here):
    (here / "bare.csv").write_text("I (mV)\n0.1\n0.2\n0.3\n")
    done = run("run", "bare.csv", "--window-length", "1", "--model", "nets:small", "-m", "gradient", "--store", "m.zarr")
    refused(done, "does not say its sampling rate; give --sampling-rate, in Hz")


@pytest.mark.parametrize("wrong", WRONG)
def test_mistakes_end_in_one_line(run, wrong, here):
    arguments, words = WRONG[wrong]
    refused(run("run", *arguments, "--model", "nets:small", "-m", "gradient"), *words)
    assert not (here / "m.zarr").exists()
