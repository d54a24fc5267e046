"""Many inputs, some of them broken: folders, patterns, pages, tables, what is kept with maps, and what ends a command."""

import csv
import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn
from tqdm import tqdm

import signxai
from command_line import MAIN, explained, refused, with_arguments
from processes import Forked, python
from signxai import files
from signxai.cli.decisions import Targets
from signxai.cli.failures import Failure
from signxai.common.errors import OptionError
from signxai.models import Classifier
from signxai.picture_input import PictureInput, PictureSize

NETS = """
import time
import numpy as np
import torch
from torch import nn
from signxai.models import Classifier

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))

def pixels(image):
    return torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32) / 255).permute(2, 0, 1)

def named():
    return Classifier(small(), pixels, ["lynx", "crane", "owl"])

class Slow(nn.Sequential):
    def forward(self, x):
        print("it runs", flush=True)
        time.sleep(60)
        return super().forward(x)

def slow():
    return Classifier(Slow(small()), pixels)

class Telling(nn.Sequential):
    def forward(self, x):
        print("it runs", flush=True)
        return super().forward(x)

def telling():
    return Classifier(Telling(small()), pixels, ["lynx", "crane", "owl"])
"""
NAMED = ["--model", "many_nets:named", "--method", "gradient"]
SMALL = ["--model", "many_nets:small", "--method", "gradient"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of photos of a user, some of them in sub-folders."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "many_nets.py").write_text(NETS)
    random = np.random.default_rng(0)
    for name in ("photos/a.png", "photos/b.jpg", "photos/deep/a.png", "photos/.hidden/c.png", "single.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(folder / name)
    np.save(folder / "photos" / "labels.npy", np.arange(3))
    (folder / "photos" / "notes.txt").write_text("mine")
    np.save(folder / "x.npy", random.normal(size=(20, 3, 8, 8)))
    np.save(folder / "nan.npy", np.where(np.arange(384).reshape(2, 3, 8, 8) == 300, np.nan, 0.5))
    (folder / "broken.png").write_bytes((folder / "single.png").read_bytes()[:100])
    return folder


def picture(path):
    Image.new("RGB", (12, 16), "red").save(path, "PNG")


def saved(path="maps.npz"):
    with np.load(path) as arrays:
        return dict(arrays)


# Folders and patterns


@pytest.mark.parametrize("given", ["photos", "photos/", Path("photos").absolute])
def test_a_folder_stands_for_the_pictures_in_it_and_its_sub_folders(run, here, given):
    said = explained(run("explain", here / "photos" if callable(given) else given, *NAMED, "--save", "maps.npz"))
    paths = [Path(path).relative_to(here / "photos" if callable(given) else "photos").as_posix() for path in saved()["path"].tolist()]
    assert paths == ["a.png", "b.jpg", "deep/a.png"]
    assert "3 inputs; left out labels.npy, notes.txt (2 files)" in said


@pytest.mark.parametrize(("pattern", "found"), [("photos/*.png", 1), ("photos/**/*.png", 2), ("photos/[ab].*", 2)])
def test_a_pattern_that_the_shell_leaves_alone_stands_for_its_files(run, here, pattern, found):
    explained(run("explain", pattern, *NAMED, "--save", "maps.npz"))
    assert len(saved()["name"]) == found


def test_a_file_whose_name_looks_like_a_pattern_is_itself(run, here):
    (here / "one[1].png").write_bytes((here / "single.png").read_bytes())
    explained(run("explain", *NAMED, "one[1].png", "--save", "maps.npz"))
    assert saved()["path"].tolist() == ["one[1].png"]


def test_a_pattern_behind_the_methods_is_no_method(run, here):
    explained(run("explain", *NAMED, "*ngle.png", "--save", "maps.npz"))
    assert saved()["path"].tolist() == ["single.png"]


def test_folders_and_patterns_without_inputs_are_refused(run, here):
    (here / "empty").mkdir()
    refused(run("explain", "empty", *NAMED), "empty", "no pictures")
    refused(run("explain", "photos/*.bmp", *NAMED), "photos/*.bmp", "no file matches")


def test_certify_and_evaluate_take_them_too(run, here):
    certified = run("certify", "photos/*.png", *NAMED, "--without-srg")
    assert "a.png" in explained(certified)
    said = explained(run("evaluate", "photos", *NAMED, "--metric", "gini", "--draws", "20"))
    assert "left out labels.npy" in said


def test_folders_and_patterns_without_inputs_are_told_at_the_end_beside_others(run, here):
    (here / "empty").mkdir()
    first, *reasons = failed(run("explain", "empty", "single.png", "photos/*.bmp", *NAMED, "--save", "maps.npz"))
    assert "2 of 3 inputs could not be read" in first
    assert [word for word, line in zip(("empty", "photos/*.bmp"), reasons, strict=True) if word in line] == ["empty", "photos/*.bmp"]
    assert saved()["path"].tolist() == ["single.png"]
    for command in (("certify", "--without-srg"), ("evaluate", "--metric", "gini", "--no-timing", "--draws", "20")):
        assert failed(run(command[0], "empty", "photos", *NAMED, *command[1:]))


# Broken ones among others


def failed(done):
    """It ended with status 3, and these lines on standard error."""
    assert done.returncode == 3, done.stdout + done.stderr
    return done.stderr.splitlines()


@pytest.mark.parametrize("broken", ["broken.png", "nan.npy"])
def test_a_broken_input_is_told_at_the_end_and_the_others_are_explained(run, here, broken):
    done = run("explain", "photos/a.png", broken, "single.png", *NAMED, "--save", "maps.npz", "--output", "maps.png", "--table", "t.csv")
    first, reason = failed(done)
    assert "1 of 3 inputs could not be read" in first
    assert broken in reason
    kept = saved()
    assert kept["path"].tolist() == ["photos/a.png", "single.png"]
    assert broken in kept["failed_path"].item()
    assert "wrote maps.png" in done.stdout
    alone = run("explain", "photos/a.png", "single.png", *NAMED, "--save", "alone.npz")
    explained(alone)
    np.testing.assert_array_equal(saved("alone.npz")["gradient"], kept["gradient"])


def test_classes_stay_with_their_inputs_where_one_is_broken(run, here):
    targets = [word for name in ("owl", "lynx", "crane") for word in ("--target", name)]
    failed(run("explain", "single.png", "broken.png", "photos/a.png", *NAMED, *targets, "--save", "maps.npz"))
    assert saved()["target_name"].tolist() == ["owl", "crane"]
    refused(run("explain", "single.png", "nan.npy", "photos/a.png", *NAMED, *targets, "--save", "maps.npz"), "3 targets", "nan.npy")


def test_where_nothing_can_be_read_nothing_is_done(run, here):
    (here / "empty.png").write_bytes(b"")
    refused(run("explain", "broken.png", "empty.png", *NAMED, "--save", "maps.npz"), "none of the 2 inputs", "broken.png")
    refused(run("explain", "broken.png", *NAMED, "--save", "maps.npz"), "broken.png")
    assert not (here / "maps.npz").exists()


def test_targets_of_the_inputs_that_were_read():
    with pytest.raises(OptionError):
        Targets(("1", "2", "3")).at([0, 1], 2, [_failure("a.png")])
    assert Targets(("1", "2", "3")).at([0, 2], 3, [_failure("a.png")]).texts == ("1", "3")
    assert Targets(("1",)).at([0, 2], 3, [_failure("a.npy")]).texts == ("1",)


def _failure(name):
    return Failure(Path(name), f"{name}: broken")


# Many


def test_more_inputs_than_fit_on_a_page_are_shown_on_several(run, here):
    said = explained(run("explain", "x.npy", *SMALL, "--output", "maps.png"))
    count = int(re.search(r"20 inputs are shown on (\d+) pages", said)[1])
    paths = ["maps.png", *(f"maps-{number}.png" for number in range(2, count + 1))]
    assert [line for line in said.splitlines() if line.startswith("wrote")] == [f"wrote {path}" for path in paths]
    for path in paths:
        with Image.open(path) as page:
            assert page.height / 150 <= 20.01  # inches: two printed pages


def test_a_pdf_has_pages_of_its_own(run, here):
    said = explained(run("explain", "x.npy", *SMALL, "--output", "maps.pdf"))
    assert "in one file" in said
    written = (here / "maps.pdf").read_bytes()
    assert written.count(b"/Type /Page ") >= 3
    assert b"/Type3" not in written  # journals refuse these fonts
    assert b"/CIDFontType2" in written


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_gets_a_figure_for_each_input(run, here, exists):
    if exists:
        (here / "out").mkdir()
    explained(run("explain", "photos", "single.png", *NAMED, "--output", "out" if exists else "out/"))
    assert sorted(path.name for path in (here / "out").iterdir()) == ["b.png", "photos_a.png", "photos_deep_a.png", "single.png"]


def test_figures_of_several_classes_of_an_input_bear_the_names_of_these(run, here):
    explained(run("explain", "single.png", "photos/a.png", *NAMED, "--target", "all", "--output", "out/"))
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        f"{name}_{bird}.png" for name in ("a", "single") for bird in ("crane", "lynx", "owl")
    ]


def test_a_folder_for_figures_that_cannot_be_is_refused_first(run, here):
    refused(run("explain", "single.png", *NAMED, "--output", "x.npy/"), "x.npy", "is a file")
    refused(run("explain", "single.png", *NAMED, "--output", "no/such/"), "no folder")
    refused(run("explain", "single.png", *NAMED, "--output", "./"), "single.png", "would be lost")
    assert not (here / "no").exists()


def test_a_folder_that_nothing_came_to_lie_in_goes_again(run, here, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("signxai.cli.explain_results._write_figure", full)
    refused(run("explain", "single.png", *NAMED, "--output", "out/"), "out/single.png: No space left on device")
    assert not (here / "out").exists()


def test_all_predictions_are_printed(run):
    lines = explained(run("explain", "x.npy", *SMALL)).splitlines()
    assert [name for name in (f"x.npy[{row}]" for row in range(20)) if not any(name in line for line in lines)] == []
    assert "and 12 more inputs" in "\n".join(lines)


def test_the_table_has_a_row_for_each_explained_class(run, here):
    explained(run("explain", "photos/a.png", "photos/deep/a.png", *NAMED, "--target", "owl", "--versus", "lynx", "--table", "t.csv"))
    with open("t.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["photos/a.png", "photos/deep/a.png"]
    assert [row["name"] for row in rows] == ["photos/a.png", "photos/deep/a.png"]
    assert [(row["explained_class"], row["explained_class_name"], row["versus_class_name"]) for row in rows] == [("2", "owl", "lynx")] * 2
    assert all(0 < float(row["explained_probability"]) < 1 for row in rows)
    for row in rows:
        assert float(row["predicted_logit"]) >= float(row["explained_logit"])


# What is kept


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_is_saved_says_what_it_is(run, here, suffix):
    args = ["--method", "lrpsign_epsilon_0_25_std_x", "smoothgrad", "--option", "smoothgrad:num_samples=2", "--seed", "5"]
    explained(run("explain", "photos/a.png", "photos/deep/a.png", "--model", "many_nets:named", *args, "--save", f"maps{suffix}"))
    if suffix == ".npz":
        kept = saved()
        texts = {name: kept[name].tolist() for name in ("path", "name", "target_name", "class_names", "spec", "versions")}
    else:
        with safe_open(f"maps{suffix}", "np") as file:
            kept, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        texts = {name: json.loads(text) if name not in ("spec", "versions") else text for name, text in metadata.items()}
    assert texts["path"] == texts["name"] == ["photos/a.png", "photos/deep/a.png"]
    assert texts["class_names"] == ["lynx", "crane", "owl"]
    assert texts["target_name"] == [texts["class_names"][target] for target in kept["target"]]
    np.testing.assert_allclose(kept["probability"].sum(1), 1)
    spec, versions = json.loads(texts["spec"]), json.loads(texts["versions"])
    assert (spec["model"], spec["weights"], spec["seed"], spec["relevance"]) == ("many_nets:named", "DEFAULT", 5, "one_hot")
    assert spec["methods"]["smoothgrad"]["options"] == {"num_samples": 2}
    sign = spec["methods"]["lrpsign_epsilon_0_25_std_x"]
    assert (sign["method"], sign["rule"], sign["params"]) == ("lrpsign", "epsilon_std_x", [["epsilon", 0.25]])
    assert (versions["signxai"], versions["torch"]) == (signxai.__version__, str(torch.__version__))
    import many_nets

    x = torch.stack([many_nets.pixels(Image.open(path).convert("RGB")) for path in texts["path"]])
    expected = signxai.explain(many_nets.small(), x, "lrpsign_epsilon_0_25_std_x")
    np.testing.assert_allclose(kept["lrpsign_epsilon_0_25_std_x"], expected, atol=1e-6)


# Folders and names that are unusual


def test_a_folder_that_may_not_be_looked_into_is_told_at_the_end(run, here, monkeypatch):
    (here / "some" / "secret").mkdir(parents=True)
    picture(here / "some" / "a.png")
    scan = os.scandir

    def closed(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", closed)
        done = run("explain", "some", *NAMED, "--save", "maps.npz")
        for_each = run("explain", "some", *NAMED, "--target", "owl", "--target", "lynx")
        compared = run("evaluate", "some", *NAMED, "--metric", "gini", "--no-timing")
    assert done.returncode == 3
    assert "1 of 2 inputs could not be read" in done.stderr
    assert "some/secret: Permission denied" in done.stderr
    assert np.load("maps.npz")["failed_path"].tolist() == ["some/secret"]
    refused(for_each, "2 targets", "some/secret: Permission denied")
    assert compared.returncode == 3
    assert "1 of 2 inputs could not be read, the others are compared on:" in compared.stderr


def test_certify_and_evaluate_leave_out_what_cannot_be_read(run, here):
    inputs = ["single.png", "broken.png", "photos/a.png", *NAMED]
    both = ["--target", "owl", "--target", "lynx", "--target", "crane"]
    done = run("certify", *inputs, *both, "--without-srg", "--json", "some.json")
    assert done.returncode == 3
    assert "1 of 3 inputs could not be read, the others are certified:" in done.stderr
    content = json.loads(Path("some.json").read_text())
    assert [sample["name"] for sample in content["samples"]] == ["single.png", "a.png"]
    assert [failure["path"] for failure in content["about"]["failed"]] == ["broken.png"]
    done = run("evaluate", *inputs, *both, "--metric", "gini", "--no-timing")
    assert done.returncode == 3
    assert "on 2 samples" in done.stdout
    assert "explained: owl (1 of 2), crane (1 of 2)" in done.stdout
    (here / "groups.txt").write_text("a\nb\nc\n")
    refused(run("evaluate", *inputs, "--metric", "gini", "--no-timing", "--groups", "groups.txt"), "--groups", "broken.png")


def test_a_folder_that_is_linked_is_looked_into_once(run, here):
    (here / "linked" / "real").mkdir(parents=True)
    picture(here / "linked" / "real" / "a.png")
    (here / "linked" / "loop").symlink_to(here / "linked")
    (here / "linked" / "again").symlink_to(here / "linked" / "real")
    said = explained(run("explain", "linked", *NAMED))
    assert said.count("(3 x 8 x 8)") == 1


def test_a_pattern_stands_for_inputs_of_one_kind_and_for_folders(run, here):
    (here / "all" / "deep").mkdir(parents=True)
    for name in ("all/a.png", "all/deep/b.png"):
        picture(here / name)
    (here / "all" / "notes.txt").write_text("words")
    said = explained(run("explain", "all/*", *NAMED))
    assert "all/*: 2 inputs; left out all/notes.txt (1 file)" in said
    assert ("a.png (3" in said, "b.png (3" in said) == (True, True)


ODD = ["cost$5$.png", "$\\frac$.png", "x" * 250 + ".png", "my.photo 1.png", "-v.png", "ünï.png", "100%.png", "{x}.png", "<b>.png"]


def test_files_may_have_any_name(run, here):
    (here / "odd").mkdir()
    for name in ODD:
        picture(here / "odd" / name)
    explained(run("explain", "odd", *NAMED, "--output", "figures/", "--save", "odd.npz", "--table", "odd.csv"))
    assert len(list((here / "figures").iterdir())) == len(ODD)
    assert sorted(Path(path).name for path in np.load("odd.npz")["path"]) == sorted(ODD)
    with open("odd.csv", encoding="utf-8", newline="") as file:
        assert sorted(row["name"] for row in csv.DictReader(file)) == sorted(ODD)


def test_a_name_that_is_no_utf_8_is_written_nevertheless(run, here):
    (here / "latin").mkdir()
    picture(here / "latin" / "a.png")
    os.rename(b"latin/a.png", b"latin/\xff.png")
    outputs = ["--output", "latin.pdf", "--save", "latin.safetensors", "--table", "latin.csv"]
    said = explained(run("explain", "latin", *NAMED, *outputs))
    assert "\\xff.png (3 x 8 x 8)" in said
    with open("latin.csv", encoding="utf-8", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["latin/\\xff.png"]
    with safe_open("latin.safetensors", "np") as kept:
        [path] = json.loads(kept.metadata()["path"])
    assert Path(path).is_file()


@pytest.mark.parametrize("output", ["photos/maps.png", "photos/", "photos/new/", "photos/deep/maps.webp"])
def test_figures_do_not_come_among_the_pictures_that_are_read(run, here, output):
    refused(run("explain", "photos", *NAMED, "--output", output), "lies in photos", "outside")
    assert not (here / "photos" / "new").exists()


# How it ends


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "told to end")])
def test_who_ends_it_is_told_that_nothing_was_written(here, number, status, word):
    args = ["explain", "single.png", "--model", "many_nets:slow", "--method", "gradient", "--save", "maps.npz"]
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        f"{with_arguments(*args)}\n{MAIN}"
    )
    process = Forked("-c", code, cwd=here, out=here / "printed.txt", err=here / "errors.txt")
    while "it runs\n" not in (process.out.read_text() if process.out.exists() else "") and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(number)
    assert (process.wait(60), process.err.read_text().strip()) == (status, f"signxai: {word}: nothing was written")
    assert [path.name for path in here.iterdir() if "maps" in path.name] == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--option", "gradient:steps=3"], ["steps", "gradient"]),
        (["--option", "seed=3"], ["--seed"]),
        (["--option", "progress=3"], ["progress="]),
        (["-m", "integrated_gradients", "--option", "integrated_gradients:steps=0"], ["steps = 0"]),
        (["--target", "lynks"], ["'lynks'", "nearest: lynx"]),
        (["--target", "owl", "--above", "0.5"], ["--above"]),
        (["--device", "banana"], ["banana"]),
        (["--above", "nan"], ["nan is no finite number"]),
        (["--seed", str(2**63)], ["--seed", "range"]),
        (["-m", "grad_cam", "--option", "grad_cam:layer=nowhere"], ["no module 'nowhere'"]),
        (["--at", "nowhere[0]", "--save", "b.npz"], ["no module 'nowhere'"]),
        (["--model", "many_nets:small", "--size", "8", "--target", "owl"], ["'owl'", "numbers only"]),
    ],
)
def test_what_is_mistaken_is_told_before_an_input_is_read(run, here, args, words, monkeypatch):
    monkeypatch.setattr("signxai.cli.explain_files.read_inputs", None)
    done = run("explain", "single.png", *(SMALL[2:] if "--model" in args else NAMED), *args)
    refused(done, *words)
    assert done.stdout == ""


def test_an_option_that_no_method_takes_is_told_before_a_network_is_loaded(run, monkeypatch):
    monkeypatch.setattr("signxai.cli.explain_files.loaded", None)
    refused(run("explain", "single.png", "--model", "torchvision:vgg16", "--method", "gradient", "--option", "steps=3"), "steps")
    refused(run("explain", "single.png", *NAMED, "--option", "steps=3"), "steps")  # a factory that registers no such method


@pytest.mark.parametrize("command", ["inspect", "certify", "evaluate", "run"])
@pytest.mark.parametrize(("option", "word"), [(["--option", "banana=3"], "banana"), (["--device", "banana"], "banana")])
def test_every_command_tells_it_before_a_network_is_loaded(run, here, monkeypatch, command, option, word):
    module = {"inspect": "inspect_files", "certify": "certify_files", "evaluate": "evaluate_files", "run": "run_data_sets"}[command]
    monkeypatch.setattr(f"signxai.cli.{module}.loaded", None)
    source = ["photos/deep", "--store", "maps.zarr"] if command == "run" else ["single.png"]
    if command == "run":
        pytest.importorskip("zarr")
    refused(run(command, *source, "--model", "many_nets:named", "--method", "lrp_z", *option), word)


@pytest.mark.parametrize(
    ("command", "args", "words"),
    [
        *(
            (command, args, words)
            for command in ("certify", "evaluate")
            for args, words in (
                (["--method", "grad_cam", "--option", "layer=nowhere"], ["no module 'nowhere'"]),
                (["--method", "integrated_gradients", "--option", "baseline=nan"], ["baseline holds NaN or infinity"]),
                (["--method", "integrated_gradients", "--option", "steps=0"], ["steps", "0"]),
                (["--method", "gradient", "--target", "lynks"], ["'lynks'", "nearest: lynx"]),
                (["--method", "gradient", "--target", "7"], ["0 to 2"]),
            )
        ),
        ("inspect", ["--method", "lrp_z", "--target", "lynks"], ["'lynks'", "nearest: lynx"]),
        ("inspect", ["--method", "lrp_z", "--target", "7"], ["0 to 2"]),
        ("inspect", ["--method", "lrp_z", "--option", "stabilizer=-1"], ["stabilizer", "at least 0"]),
        ("evaluate", ["--method", "gradient", "--metric", "srg", "--metric-option", "srg:banana=3"], ["banana"]),
        ("evaluate", ["--method", "gradient", "--metric", "srg", "--metric-option", "steps=0"], ["steps"]),
        ("evaluate", ["--method", "gradient", "--metric", "relevance_mass", "--masks", "masks.npy"], ["relevance_mass"]),
        ("explain", ["--method", "integrated_gradients", "--option", "integrated_gradients:baseline=nan"], ["baseline holds NaN"]),
        ("explain", ["--method", "gradient", "--target", "7"], ["0 to 2"]),
    ],
)
def test_what_is_mistaken_is_told_before_the_network_runs(run, here, command, args, words):
    np.save(here / "masks.npy", np.ones((5, 8, 8), dtype=bool))
    done = run(command, "single.png", "--model", "many_nets:telling", *args)
    refused(done, *words)
    assert "it runs" not in done.stdout


@pytest.mark.parametrize("option", ["--table", "--seed", "--model"])
def test_an_option_with_one_value_is_not_given_twice(run, option):
    values = {"--table": "b.csv", "--seed": "1", "--model": "many_nets:named"}
    twice = [option, values[option]] * 2
    rest = NAMED[2:] if option == "--model" else NAMED
    refused(run("explain", "single.png", *rest, *twice), f"{option} is given 2 times")


def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(here):
    def full(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    def vague(path):
        raise OSError("encoder error -2")

    with pytest.raises(OSError, match=r"No space left on device: 'maps\.npz'"):
        files.write_atomically({Path("maps.npz"): full})
    with pytest.raises(OSError, match=r"maps\.png: could not be written: encoder error"):
        files.write_atomically({Path("maps.png"): vague})
    assert [path.name for path in here.iterdir() if "maps" in path.name] == []


@pytest.fixture
def ctrl_c_raises():
    """As in a shell's foreground: its background jobs ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
def test_ctrl_c_between_two_files_leaves_both(here, monkeypatch):
    replace, written = Path.replace, []

    def interrupted(path, target):
        signal.raise_signal(signal.SIGINT)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically({Path(name): lambda path: path.write_text("new") for name in ("b.txt", "c.txt")}, written)
    assert written == [Path("b.txt"), Path("c.txt")]
    assert [(here / path).read_text() for path in written] == ["new", "new"]


def test_a_file_in_the_place_of_a_module_is_told_how_to_be_named(run):
    refused(run("explain", "single.png", "--model", "many_nets.py:small", "--method", "gradient"), "leave .py out", "'many_nets:small'")


@pytest.mark.parametrize(("mean", "std"), [((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)), ((), ())])
def test_a_preparation_in_numbers_is_undone_in_what_is_shown(mean, std):
    prepare = PictureInput(PictureSize(8, 8, 8), mean, std)
    pixels = np.random.default_rng(0).integers(60, 200, (8, 8, 3), dtype=np.uint8)
    shown = Classifier(nn.Identity(), prepare).picture(prepare(Image.fromarray(pixels)).numpy())
    np.testing.assert_allclose(shown, pixels / 255, atol=1e-6)


def test_units_that_are_none_are_refused(run, here):
    np.save("signal.npy", np.zeros((3, 64)))
    said = refused(run("explain", "signal.npy", *SMALL, "--sampling-rate", "100", "--units", "banana"), "banana")
    assert "mV" in said


def test_progress_moves_while_figures_are_written(run, here, monkeypatch):
    shown = []

    class Bar(tqdm):
        def __init__(self, *args, desc, **options):
            self.told = desc
            super().__init__(*args, desc=desc, **options)

        def update(self, n=1):
            shown.append((self.told, n))
            return super().update(n)

    monkeypatch.setattr("signxai.cli.progress_bars.tqdm", Bar)
    explained(run("explain", "photos", *NAMED, "--output", "bars/"))
    assert [step for step in shown if step[0] == "writing"] == [("writing", 1)] * 3


@pytest.mark.parametrize("command", [("explain",), ("evaluate", "--metric", "gini", "--no-timing"), ("certify", "--without-srg")])
def test_progress_moves_while_inputs_are_read_and_predicted(run, monkeypatch, command):
    shown = []

    class Bar(tqdm):
        def __init__(self, *args, desc, **options):
            self.told = desc
            super().__init__(*args, desc=desc, **options)

        def update(self, n=1):
            shown.append((self.told, n))
            return super().update(n)

    monkeypatch.setattr("signxai.cli.progress_bars.tqdm", Bar)
    monkeypatch.setattr("signxai.cli.decisions._AT_ONCE", 2)
    done = run(command[0], "photos", *NAMED, *command[1:])
    assert (done.returncode, done.stderr) == (0, "")
    assert [moved for told, moved in shown if told == "reading"] == [1] * 3
    assert [moved for told, moved in shown if told == "predicting"] == [2, 1]


def test_several_outputs_of_one_run(run, here):
    outputs = ("all.png", "all.pdf", "all.npz", "each/")
    said = explained(run("explain", "photos", *NAMED, *(word for output in outputs for word in ("--output", output))))
    written = [line.removeprefix("wrote ") for line in said.splitlines() if line.startswith("wrote ")]
    assert written[:2] == ["all.png", "all.pdf"]
    assert sorted(written) == sorted(str(path.relative_to(here)) for path in (*here.glob("all.*"), *here.glob("each/*")))
    assert len(written) == 6


def test_a_figure_of_a_folder_that_another_output_would_be_is_refused_before_anything_is_explained(run, here, monkeypatch):
    monkeypatch.setattr("signxai.cli.explain_files._explain_all", None)
    Path("figures").mkdir()
    refused(run("explain", "photos", *NAMED, "--output", "figures", "--output", "figures/b.png"), "figures/b.png", "would be lost")


def test_progress_moves_while_one_method_runs(run, monkeypatch):
    shown = []

    def show(bar, method, before, done, count):
        shown.append((before + done) / (2 * count))

    monkeypatch.setattr("signxai.cli.explain_files._show", show)
    args = ["--method", "smoothgrad_samples_3", "gradient", "--batch-size", "5"]
    explained(run("explain", "x.npy", "--model", "many_nets:small", *args))
    assert shown == sorted(shown)
    assert shown[-1] == pytest.approx(1)
    assert len(shown) > 8


ENDED_AT = """
import os, signal, sys

class Ending:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Ending())
sys.argv = ["signxai", "methods"]
from runpy import run_module
run_module("signxai", run_name="__main__", alter_sys=True)
"""


NOT_IGNORED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it


@pytest.mark.parametrize("module", ["click", "signxai.names.catalog", "signxai.cli.evaluate_methods"])
def test_who_ends_it_while_it_begins_reads_one_line(module):
    done = python("-c", NOT_IGNORED + ENDED_AT.format(module=module))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "signxai: interrupted\n")
