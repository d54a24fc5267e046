"""A file that cannot be read among several is named at the end, whatever it is; where nothing is left, every reason is told."""

import numpy as np
import pytest
from PIL import Image

from command_line import explained, refused

NETS = """
import numpy as np
import torch
from torch import nn
from signxai.models import Classifier
from signxai.timeseries import prepare_for_beats
from signxai.timeseries.signal_input import AsRecorded, SignalInput

def pixels(image):
    return torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32) / 255).permute(2, 0, 1)

def bare():
    print("it is loaded", flush=True)
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))

def pictures():
    return Classifier(bare(), pixels, ["lynx", "crane", "owl"])

def leads():
    print("it is loaded", flush=True)
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(2, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(16, 3))

def beats():
    return Classifier(leads(), signal_input=SignalInput(before_s=0.2, after_s=0.2))

class Halved(AsRecorded):
    values = property(lambda self: self.signal.values / 2)

def prepared():
    return Classifier(leads(), signal_input=SignalInput(Halved))

def filtered():
    return Classifier(leads(), signal_input=SignalInput(prepare_for_beats))

def one_lead():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(16, 3))

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.p, self.q = nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, p, q):
        return self.p(p) + self.q(q)

def two():
    torch.manual_seed(0)
    return Two()
"""
PICTURES = ["--model", "broken_nets:pictures"]
LEADS = ["--model", "broken_nets:leads"]
TWO = ["--model", "broken_nets:two"]
AS_SIGNALS = ["--sampling-rate", "100", "--units", "mV"]
COMMANDS = {
    "explain": ["--method", "gradient"],
    "evaluate": ["--method", "gradient", "--metric", "gini", "--no-timing", "--draws", "20"],
    "certify": ["--method", "lrp_z", "--without-srg"],
}
GRADIENT = COMMANDS["explain"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sound files of each kind, and broken ones."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "broken_nets.py").write_text(NETS)
    random = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(folder / f"{name}.png")
        np.save(folder / f"{name}.npy", random.normal(size=(1, 3, 8, 8)).astype(np.float32))
        np.save(folder / f"wave-{name}.npy", random.normal(size=(2, 200)).cumsum(axis=1))
    for place in ("s.csv", "t.csv", "mixed/s.csv", "mixed/t.csv"):
        recording(folder / place, random.normal(size=(200, 2)).cumsum(axis=0))
    np.savez(folder / "two.npz", p=random.normal(size=(2, 4)), q=random.normal(size=(2, 5)))
    np.save(folder / "complex.npy", np.ones((1, 3, 8, 8)) + 1j)
    np.save(folder / "complex-wave.npy", np.ones((2, 200)) + 1j)
    np.savez(folder / "complex.npz", p=np.ones((2, 4)) + 1j, q=np.ones((2, 5)))
    for suffix in ("png", "npy", "npz", "pt", "csv", "xml"):
        (folder / f"broken.{suffix}").write_bytes(b"\x93NUMPY torn")
    (folder / "mixed" / "broken.npy").write_bytes(b"torn")
    (folder / "bare").mkdir()
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    return folder


def recording(path, values):
    path.parent.mkdir(exist_ok=True)
    lines = [f"{number / 100}," + ",".join(f"{value:.4f}" for value in row) for number, row in enumerate(values)]
    path.write_text("\n".join(["time (s),I (mV),II (mV)", *lines]) + "\n")


def told_at_the_end(done, *paths, of):
    """These are left out, each in a line, and the others are explained."""
    assert done.returncode == 3, done.stdout + done.stderr
    first, *reasons = done.stderr.splitlines()
    assert first.startswith(f"signxai: {len(paths)} of {of} inputs could not be read, the others are ")
    assert len(reasons) == len(paths)
    for path, reason in zip(paths, reasons, strict=True):
        assert reason.startswith(f"signxai: {path}: ")
        assert reason.count(path) == 1
    return reasons


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("given", "broken", "options"),
    [
        *(([*"ab"], broken, PICTURES) for broken in ("broken.npy", "broken.npz", "broken.pt", "broken.csv", "broken.xml", "complex.npy")),
        *(([*"ab"], broken, PICTURES) for broken in ("gone.png", "gone.npy", "gone", "dangling.png")),
        *((["s.csv", "t.csv"], broken, LEADS) for broken in ("broken.npy", "broken.npz", "broken.pt", "broken.png", "gone.csv", "gone")),
        *(
            (["wave-a.npy", "wave-b.npy"], broken, [*LEADS, *AS_SIGNALS])
            for broken in ("broken.npy", "broken.npz", "complex-wave.npy", "gone.npy")
        ),
    ],
)
def test_a_broken_file_among_others_is_told_at_the_end(run, command, given, broken, options):
    first, last = (f"{name}.png" if name in "ab" else name for name in given)
    told_at_the_end(run(command, first, broken, last, *options, *COMMANDS[command]), broken, of=3)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("broken", ["broken.npz", "broken.pt", "broken.npy", "broken.png", "gone.npz", "gone"])
def test_a_broken_file_beside_one_of_several_inputs_is_told_at_the_end(run, command, broken):
    told_at_the_end(run(command, "two.npz", broken, *TWO, *COMMANDS[command]), broken, of=2)
    refused(run(command, broken, "two.npz", *TWO, *COMMANDS[command], "--target", "0", "--target", "1"), "2 targets", broken)


def test_a_sound_file_beside_one_of_several_inputs_needs_a_name(run):
    refused(run("explain", "two.npz", "a.png", *TWO, *GRADIENT), "a.png", "--input NAME=a.png")


def test_what_is_saved_of_several_inputs_names_the_files_that_were_read(run, here):
    run("explain", "two.npz", "broken.npz", *TWO, *GRADIENT, "--save", "maps.npz")
    with np.load("maps.npz") as maps:
        assert maps["path"].tolist() == ["two.npz"] * 2
        assert maps["failed_path"].tolist() == ["broken.npz"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_broken_array_in_a_folder_of_signals_is_told_at_the_end(run, command):
    told_at_the_end(run(command, "mixed", *LEADS, *COMMANDS[command]), "mixed/broken.npy", of=3)


def test_sound_files_of_two_kinds_are_not_explained_together(run):
    for signal, other in (("s.csv", "a.npy"), ("s.csv", "a.png")):
        refused(run("explain", signal, other, "broken.npy", *LEADS, *GRADIENT), signal, other, "explain them apart")


@pytest.mark.parametrize("path", ["broken.npy", "broken.npz", "broken.pt", "broken.png", "complex.npy", "complex.npz", "gone.png", "gone"])
def test_a_broken_file_alone_is_refused_by_its_name(run, path):
    assert refused(run("explain", path, *PICTURES, *GRADIENT), path).count(path) == 1


def test_files_that_are_not_there_are_told_before_a_network_is_loaded(run):
    done = run("explain", "gone.png", "bare", "*.bmp", "dangling.png", *PICTURES, *GRADIENT)
    refused(done, "none of the 4 inputs", "gone.png: there is no such file", "bare: holds no pictures", "*.bmp: no file", "and 1 more")
    assert done.stdout == ""


# Nothing is left


@pytest.mark.parametrize("command", COMMANDS)
def test_every_reason_is_told_where_nothing_is_left(run, command):
    done = run(command, "broken.png", "a.png", "b.png", "bare", "--model", "broken_nets:bare", *COMMANDS[command])
    refused(done, "none of the 4 inputs", "broken.png: neither a picture", "a.png, b.png: this model does not say", "bare: holds no")


def test_one_reason_of_all_is_told_once(run):
    line = refused(run("explain", "wave-a.npy", "wave-b.npy", "--sampling-rate", "100", *LEADS, *GRADIENT), "--units", "2 inputs")
    assert line.count("--units") == 1


# What a file does not hold


def test_a_beat_or_stretch_that_a_recording_does_not_have_is_no_fault_of_the_file(run, here):
    (here / "beats.csv").write_text("sample\n50\n100\n")
    beats = ["--model", "broken_nets:beats", "--beats", "beats.csv"]
    refused(run("explain", "s.csv", *beats, *GRADIENT, "--at-beat", "2"), "--at-beat 2: s.csv has 2 given beats, 0 to 1")
    done = run("explain", "s.csv", "t.csv", *LEADS, *GRADIENT, "--window", "1:3s")
    refused(done, "none of the 2 inputs can be explained", "--window 1:3s: s.csv runs from 0 s to 2 s")


def test_a_stretch_that_one_recording_does_not_have_is_said_as_such(run, here):
    recording(here / "short.csv", np.random.default_rng(1).normal(size=(100, 2)).cumsum(axis=0))
    done = run("explain", "s.csv", "short.csv", *LEADS, *GRADIENT, "--window", "0.5:1.5s")
    assert done.returncode == 3, done.stdout + done.stderr
    first, reason = done.stderr.splitlines()
    assert first == "signxai: 1 of 2 inputs are left out, the others are explained:"
    assert "--window 0.5:1.5s: short.csv runs from 0 s to 1 s" in reason


# Classes, one for each


@pytest.mark.parametrize("lost", ["broken.png", "gone.png", "broken.npy", "bare"])
def test_classes_of_each_input_are_treated_alike_by_all_commands(run, lost):
    targets = [word for target in ("owl", "lynx", "crane") for word in ("--target", target)]
    ends = {}
    for command, options in COMMANDS.items():
        done = run(command, "a.png", lost, "b.png", *PICTURES, *options, *targets)
        ends[command] = (done.returncode, done.stderr.splitlines()[-1])
        said = " ".join(line for line in done.stdout.splitlines() if "explained:" in line)
        assert [name for name in ("owl", "lynx", "crane") if name in said] == (["owl", "crane"] if done.returncode == 3 else [])
    assert len(set(ends.values())) == 1, ends


# Data sets


@pytest.mark.parametrize("gone", ["gone.csv", "gone.edf", "gone"])
def test_a_recording_of_a_data_set_that_is_not_there_is_an_entry_that_fails(run, here, gone):
    pytest.importorskip("zarr")
    done = run("run", "s.csv", gone, *LEADS, *GRADIENT, "--window-length", "1", "--store", "maps.zarr")
    assert done.returncode == 3, done.stdout + done.stderr
    assert gone in done.stdout
    refused(run("run", gone, *LEADS, *GRADIENT, "--window-length", "1", "--store", "none.zarr"), f"{gone}: there is no such file")


def test_a_data_set_that_is_not_there_or_mixed_is_told_before_a_network_is_loaded(run, here):
    for sources, words in ((["a.png", "gone"], ["gone"]), (["gone", "away"], ["gone", "away"]), (["."], [".: holds recordings"])):
        done = run("run", *sources, *PICTURES, *GRADIENT, "--store", "maps.zarr")
        refused(done, *words)
        assert done.stdout == ""


def test_a_data_set_of_complex_numbers_is_refused_by_its_name(run, here):
    refused(run("run", "complex.npy", *PICTURES, *GRADIENT, "--store", "maps.zarr"), "complex.npy", "complex numbers")


def test_a_folder_of_pictures_may_be_the_one_that_one_is_in(run, here, monkeypatch):
    pytest.importorskip("zarr")
    (here / "only").mkdir()
    (here / "only" / "a.png").write_bytes((here / "a.png").read_bytes())
    monkeypatch.chdir(here / "only")
    assert explained(run("run", ".", *PICTURES, *GRADIENT, "--store", here / "maps.zarr"))


# Gaps


@pytest.mark.parametrize("unit", ["mV", "mmHg"])
def test_a_gap_is_told_with_its_lead_its_time_and_what_can_be_done_here(run, here, unit):
    lines = [f"{number / 100},{np.sin(number / 7):.4f},{'' if 50 <= number < 70 else number % 9}" for number in range(200)]
    (here / "gap.csv").write_text("\n".join([f"time (s),I ({unit}),II ({unit})", *lines]) + "\n")
    refused(run("explain", "gap.csv", *LEADS, *GRADIENT), "gap", "II from 0.5 s to 0.7 s", "--window", "--leads")
    refused(run("explain", "gap.csv", *LEADS, *GRADIENT, "--window", "0.4:1s"), "II from 0.5 s to 0.7 s")
    assert explained(run("explain", "gap.csv", *LEADS, *GRADIENT, "--window", "1:2s"))
    assert explained(run("explain", "gap.csv", "--model", "broken_nets:one_lead", *GRADIENT, "--leads", "I"))


def test_a_gap_that_a_filter_would_spread_is_told_without_words_of_python(run, here):
    lines = [f"{number / 100},{np.sin(number / 7):.4f},{'' if 50 <= number < 70 else number % 9}" for number in range(200)]
    (here / "gap.csv").write_text("\n".join(["time (s),I (mV),II (mV)", *lines]) + "\n")
    line = refused(run("explain", "gap.csv", "--model", "broken_nets:filtered", *GRADIENT), "II from 0.5 s to 0.7 s", "--leads")
    assert "between" not in line


def test_a_gap_in_an_array_is_told_with_its_place(run, here):
    values = np.ones((2, 3, 8, 8))
    values[1, 2, 5, 4] = np.nan
    np.save(here / "gap.npy", values)
    refused(run("explain", "gap.npy", *PICTURES, *GRADIENT), "gap.npy: sample 1 of 2", "[2, 5, 4]")


# Arrays beside a preparation


def test_an_array_that_is_not_prepared_as_a_recording_is_said_to_be_so(run, here):
    pytest.importorskip("zarr")
    np.save(here / "x.npy", np.load(here / "wave-a.npy")[None])
    prepared = ["--model", "broken_nets:prepared"]
    told = "x.npy: taken as it is, without the preparation of recordings"
    for command, options in COMMANDS.items():
        said = explained(run(command, "x.npy", *prepared, *options))
        assert told in said
        assert "--sampling-rate" in said
    assert told in explained(run("run", "x.npy", *prepared, *GRADIENT, "--store", "maps.zarr"))
    assert "taken as it is" not in explained(run("explain", "x.npy", *LEADS, *GRADIENT))
    assert "taken as it is" not in explained(run("explain", "wave-a.npy", *prepared, *AS_SIGNALS, *GRADIENT))
