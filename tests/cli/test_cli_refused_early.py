"""When a mistake is told: what no network is needed for before one is loaded, what it alone can tell before it runs."""

import numpy as np
import pytest
from PIL import Image

from command_line import explained, refused

NETS = """
import numpy as np
import torch
from torch import nn
from signxai.models import Classifier

class Telling(nn.Sequential):
    def forward(self, x):
        print("it runs", flush=True)
        return super().forward(x)

def pixels(image):
    return torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32) / 255).permute(2, 0, 1)

def pictures():
    print("it is loaded", flush=True)
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    return Classifier(Telling(*layers), pixels, ["lynx", "crane", "owl"])

def leads():
    print("it is loaded", flush=True)
    torch.manual_seed(0)
    return Telling(nn.Conv1d(2, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(16, 3))
"""
PICTURES = ["--model", "early_nets:pictures"]
LEADS = ["--model", "early_nets:leads"]
GRADIENT = ["--method", "gradient"]
LRP = ["--method", "lrp_z"]
GINI = ["--metric", "gini", "--no-timing", "--draws", "20"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures and recordings of two leads."""
    folder = tmp_path_factory.mktemp("early")
    (folder / "early_nets.py").write_text(NETS)
    random = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    for name in "stu":
        recording(folder / f"{name}.csv", random.normal(size=(200, 2)).cumsum(axis=0))
    (folder / "latin.txt").write_bytes("Müller\nMeier\n".encode("latin-1"))
    (folder / "notes.md").write_text("mine")
    np.save(folder / "masks.npy", np.ones((5, 8, 8), dtype=bool))
    return folder


def recording(path, values, rate=100):
    lines = [f"{number / rate}," + ",".join(f"{value:.4f}" for value in row) for number, row in enumerate(values)]
    names = ",".join(f"{name} (mV)" for name in ("I", "II", "III")[: values.shape[1]])
    path.write_text("\n".join([f"time (s),{names}", *lines]) + "\n")


# Before a network is loaded


@pytest.mark.parametrize("command", [("explain",), ("certify",), ("evaluate",), ("inspect",)])
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["a.png", *PICTURES, *LRP, "--at-beat", "3"], ["--at-beat", "a.png"]),
        (["a.png", *PICTURES, *LRP, "--window", ":3s"], ["--window", "a.png"]),
        (["a.png", *PICTURES, *LRP, "--sampling-rate", "100"], ["--sampling-rate", "a.png"]),
        (["a.png", *PICTURES, *LRP, "--one-sample"], ["--one-sample", "several inputs"]),
        (["s.csv", *LEADS, *LRP, "--size", "8"], ["--size", "none of the inputs is one"]),
        (["a.png", *PICTURES, *LRP, "--weights", "a.png"], ["'a.png'", ".safetensors"]),
        (["a.png", *PICTURES, *LRP, "--weights", "gone.pt"], ["gone.pt"]),
    ],
)
def test_options_that_do_not_go_with_the_files_are_told_before_a_network_is_loaded(run, command, args, words):
    done = run(*command, *args)
    refused(done, *words)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["explain", "a.png", *PICTURES, *GRADIENT, "--target", "owl", "--above", "0.5"], ["--above"]),
        (["explain", "a.png", *PICTURES, *GRADIENT, "--frequency"], ["--frequency", "sampling rate"]),
        (["explain", "a.png", *PICTURES, *GRADIENT, "--summary", "s.csv"], ["--summary", "a.png"]),
        (["explain", "s.csv", *LEADS, *GRADIENT, "--overlay", "--output", "maps.png"], ["--overlay"]),
        (["explain", "s.csv", "a.png", *LEADS, *GRADIENT], ["s.csv", "a.png", "explain them apart"]),
        (["inspect", "a.png", *PICTURES, *GRADIENT], ["'gradient'", "lrp"]),
        (["inspect", "a.png", *PICTURES, "--method", "lrp_z_x_input"], ["multiplies"]),
        *((["inspect", "a.png", *PICTURES, *LRP, "--option", f"{name}=1"], [f"{name}="]) for name in ("seed", "relevance", "as_tensor")),
        (["certify", "a.png", *PICTURES, *LRP, "--require", "srg", "--without-srg"], ["--without-srg", "--require"]),
        (["certify", "a.png", *PICTURES, *LRP, "--threshold", "srg=1", "--without-srg"], ["--without-srg", "--threshold"]),
        (["evaluate", "a.png", *PICTURES, *GRADIENT, *GINI, "--groups", "latin.txt"], ["latin.txt", "UTF-8"]),
        (["evaluate", "a.png", *PICTURES, *GRADIENT, "--metric", "relevance_mass", "--masks", "a.png"], ["a.png"]),
    ],
)
def test_what_says_two_things_or_nothing_is_told_before_a_network_is_loaded(run, args, words):
    done = run(*args)
    refused(done, *words)
    assert done.stdout == ""


# Before it runs


@pytest.mark.parametrize(
    ("args", "words"),
    [
        *(
            ([*command, "a.png", "b.png", *PICTURES, *LRP, *targets], words)
            for command in (["explain"], ["certify", "--without-srg"])
            for targets, words in (
                (["--target", "owl", "--versus", "owl"], ["--versus owl", "explained itself"]),
                (["--target", "2", "--versus", "owl"], ["--versus owl", "explained itself"]),
                (["--target", "owl", "--target", "lynx", "--versus", "lynx"], ["--versus lynx"]),
                (["--target", "all", "--versus", "owl"], ["--versus owl", "explained itself"]),
                (["--target", "owl", "--target", "lynx", "--target", "owl"], ["3 targets for 2 inputs"]),
            )
        ),
        (["inspect", "a.png", *PICTURES, *LRP, "--target", "owl", "--versus", "owl"], ["--versus owl"]),
        (["evaluate", "a.png", "b.png", *PICTURES, *GRADIENT, *GINI, "--target", "all"], ["--target all"]),
        (["evaluate", "a.png", "b.png", *PICTURES, *GRADIENT, *GINI, *["--target", "owl"] * 3], ["3 targets for 2 inputs"]),
        (["evaluate", "a.png", *PICTURES, *GRADIENT, "--metric", "srg", "--imputer", "nan"], ["imputer", "nan"]),
        (["evaluate", "a.png", *PICTURES, *GRADIENT, "--masks", "masks.npy"], ["relevance_rank", "(5, 8, 8)"]),
    ],
)
def test_what_the_network_and_the_inputs_tell_is_told_before_it_runs(run, args, words):
    done = run(*args)
    refused(done, *words)
    assert "it runs" not in done.stdout


def test_a_lead_of_a_summary_that_there_is_not_is_told_before_the_network_runs(run, here):
    pytest.importorskip("neurokit2")
    (here / "beats.csv").write_text("sample\n50\n150\n")
    done = run("explain", "s.csv", *LEADS, *GRADIENT, "--beats", "beats.csv", "--summary", "s.png", "--summary-lead", "V9")
    refused(done, "--summary-lead V9", "s.csv", "I, II")
    assert "it runs" not in done.stdout


@pytest.mark.parametrize("command", ["explain", "certify"])
def test_a_layer_whose_name_is_a_number_is_found(run, here, command):
    save = ["--save", "maps.npz"] if command == "explain" else ["--without-srg"]
    assert run(command, "a.png", *PICTURES, "--method", "grad_cam", "--option", "layer=0", *save).returncode == 0
    refused(run(command, "a.png", *PICTURES, "--method", "grad_cam", "--option", "layer=9"), "no module '9'")


# One among several


@pytest.mark.parametrize(
    ("values", "rate"), [((100, 2), 100), ((200, 2), 250), ((200, 1), 100)], ids=["too short", "another rate", "too few leads"]
)
@pytest.mark.parametrize("command", [("explain",), ("certify", "--without-srg"), ("evaluate", *GINI)])
def test_a_recording_that_is_not_as_most_is_told_at_the_end(run, here, command, values, rate):
    recording(here / "odd.csv", np.random.default_rng(1).normal(size=values).cumsum(axis=0), rate)
    done = run(command[0], "s.csv", "odd.csv", "t.csv", *LEADS, *GRADIENT, *command[1:])
    assert done.returncode == 3, done.stdout + done.stderr
    first, reason = done.stderr.splitlines()
    assert "1 of 3 inputs could not be read" in first
    assert reason.startswith("signxai: odd.csv: ")
    assert f"{values[1]} x {values[0]} at {rate} Hz" in reason
    assert "2 x 200 at 100 Hz" in reason
    refused(run(command[0], "s.csv", "odd.csv", *LEADS, *GRADIENT, *command[1:]), "s.csv", "odd.csv", "explain them apart")


def test_an_array_that_is_not_as_most_is_told_at_the_end(run, here):
    random = np.random.default_rng(0)
    for name, shape in (("x", (2, 3, 8, 8)), ("odd", (1, 4, 8, 8)), ("y", (1, 3, 8, 8))):
        np.save(here / f"{name}.npy", random.normal(size=shape))
    done = run("explain", "x.npy", "odd.npy", "y.npy", *PICTURES, *GRADIENT, "--save", "maps.npz")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "odd.npy: its shape behind the batch axis is (4, 8, 8), and that of most inputs (3, 8, 8)" in done.stderr
    with np.load("maps.npz") as maps:
        assert maps["path"].tolist() == ["x.npy", "x.npy", "y.npy"]
        assert maps["failed_path"].tolist() == ["odd.npy"]
    refused(run("explain", "x.npy", "odd.npy", *PICTURES, *GRADIENT), "x.npy", "odd.npy", "explain them apart")


def test_a_file_that_is_nothing_is_told_at_the_end_beside_recordings(run):
    done = run("explain", "s.csv", "notes.md", "t.csv", *LEADS, *GRADIENT)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "notes.md: " in done.stderr.splitlines()[1]
    assert explained(run("explain", "s.csv", "t.csv", *LEADS, *GRADIENT))
