"""Networks with several inputs on the command line: where the inputs come from, what is kept, what is drawn, and what is refused."""

import json
import re
import shlex

import numpy as np
import pytest
import torch
from PIL import Image

import signxai
from command_line import explained, in_a_process, refused
from places import ROOT
from processes import forked
from signxai.targets import contrast

NETS = """
import numpy as np
import torch
from torch import nn
from signxai.models import Classifier

class Joint(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.table, self.out = nn.Conv1d(2, 4, 5, padding=2), nn.Linear(2, 4), nn.Linear(8, 3)

    def forward(self, ecg, meta, mask, scale=1.0):
        assert mask.dtype == torch.bool
        signal = (self.conv(ecg).relu() * mask.unsqueeze(1)).mean(2)
        return self.out(torch.cat([signal, self.table(meta).relu()], 1)) * scale

class OneByOne(Joint):
    def forward(self, ecg, meta, mask):
        if len(ecg) > 1:
            raise RuntimeError("one at a time")
        return super().forward(ecg, meta, mask)

class NamedX(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = nn.Linear(5, 3), nn.Linear(2, 3)

    def forward(self, x, meta=None):
        return self.one(x) if meta is None else self.one(x) + self.other(meta)

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.rows, self.conv, self.out = nn.Embedding(50, 8), nn.Conv2d(3, 4, 3), nn.Linear(12, 3)

    def forward(self, input_ids, image):
        assert input_ids.dtype == torch.int64
        return self.out(torch.cat([self.rows(input_ids).mean(1), self.conv(image).relu().mean((2, 3))], 1))

class Anything(Joint):
    def forward(self, **inputs):
        return super().forward(**inputs)

class Long(nn.Module):
    def forward(self, video, meta):
        return video.mean((2, 3, 4)) * meta

def pixels(image):
    return torch.from_numpy(np.asarray(image.resize((12, 8)), dtype=np.float32) / 255).permute(2, 0, 1)

def words():
    return Classifier(Words(), pixels, ["cat", "dog", "cow"])
"""
JOINT = ["--model", "joint_nets:Joint"]
FILES = ["--input", "ecg=ecg.npy", "--input", "meta=meta.npy", "--input", "mask=mask.npy"]


def joint_inputs():
    random = np.random.default_rng(0)
    mask = np.ones((3, 40), dtype=bool)
    mask[1, 20:] = False
    return {"ecg": random.normal(size=(3, 2, 40)).astype("float32"), "meta": random.normal(size=(3, 2)), "mask": mask}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder: networks with several inputs, and files for them."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "joint_nets.py").write_text(NETS)
    x = joint_inputs()
    np.savez(folder / "in.npz", **x)
    np.savez(folder / "one.npz", **{name: values[1] for name, values in x.items()})
    np.savez(folder / "uneven.npz", **(x | {"meta": x["meta"][:2]}))
    np.savez(folder / "texts.npz", **x, diagnosis=np.array(["a", "b", "c"]))
    np.savez(folder / "named_x.npz", x=np.ones((1, 5)), meta=np.ones((1, 2)))
    np.savez(folder / "x_and_more.npz", x=np.ones((1, 5)), label=np.ones(1))
    np.savez(folder / "video.npz", video=np.ones((1, 3, 2, 4, 4)), meta=np.ones((1, 3)))
    torch.save({name: torch.from_numpy(values) for name, values in x.items()}, folder / "in.pt")
    for name, values in x.items():
        np.save(folder / f"{name}.npy", values)
    np.savez(folder / "only_meta.npz", whatever=x["meta"])
    np.save(folder / "ids.npy", np.array([[3, 1, 49, 7, 7]]))
    np.save(folder / "meta_of_one.npy", x["meta"][:1])
    np.save(folder / "mask_of_one.npy", np.ones((1, 40), dtype=bool))
    np.save(folder / "number.npy", np.array(2.0))
    (folder / "ecg.csv").write_text("I,II\n" + "".join(f"{first},{other}\n" for first, other in x["ecg"][0].T))
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / "photo.png")
    return folder


def in_python(method, target=None, x=None, model="Joint", **options):
    import joint_nets as nets

    return signxai.explain(getattr(nets, model)(), x or joint_inputs(), method, target, **options)


def saved(name="maps.npz"):
    with np.load(name) as content:
        return dict(content)


def kept(content, method):
    """The relevance of a method by input."""
    return {name.removeprefix(f"{method}/"): values for name, values in content.items() if name.startswith(f"{method}/")}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


# Where the inputs come from


@pytest.mark.parametrize("source", [["in.npz"], ["in.pt"], FILES, [*FILES[:2], "--input", "meta=only_meta.npz", *FILES[4:]]])
def test_the_maps_saved_are_those_of_python(run, here, source):
    explained(run("explain", *source, *JOINT, "--method", "lrp_epsilon_0_1", "integrated_gradients", "--save", "maps.npz"))
    content = saved()
    for method in ("lrp_epsilon_0_1", "integrated_gradients"):
        same(kept(content, method), in_python(method))
    same(kept(content, "x"), joint_inputs())
    assert {name: content[f"x/{name}"].dtype for name in ("ecg", "meta", "mask")} == {
        name: values.dtype for name, values in joint_inputs().items()
    }
    assert content["target"].tolist() == content["logits"].argmax(axis=1).tolist()
    assert len(content["name"]) == 3


def test_a_file_with_most_inputs_and_another_one_for_the_rest(run, here):
    np.savez("most.npz", ecg=joint_inputs()["ecg"], meta=joint_inputs()["meta"])
    explained(run("explain", "most.npz", "--input", "mask=mask.npy", *JOINT, "--method", "lrp_z", "--save", "maps.npz"))
    same(kept(saved(), "lrp_z"), in_python("lrp_z"))


def test_what_was_saved_can_be_explained_again(run, here):
    explained(run("explain", "in.npz", *JOINT, "--method", "lrp_z", "--save", "maps.npz"))
    explained(run("explain", "maps.npz", *JOINT, "--method", "lrp_z", "--save", "again.npz"))
    first, again = saved(), saved("again.npz")
    assert first.keys() == again.keys()
    same(*({name: values for name, values in one.items() if name not in ("name", "path")} for one in (first, again)))
    assert set(again["path"].tolist()) == {"maps.npz"}


def test_arrays_of_one_sample_are_said_to_be_one(run, here):
    said = explained(run("explain", "one.npz", "--one-sample", *JOINT, "--method", "lrp_z", "--save", "maps.npz"))
    assert "1 sample of 3 inputs, each array taken as one (--one-sample)" in said
    x = {name: values[1:2] for name, values in joint_inputs().items()}
    same(kept(saved(), "lrp_z"), in_python("lrp_z", x=x))
    assert saved()["name"].tolist() == ["one.npz"]


def test_a_number_is_one_sample_of_a_number(run, here):
    np.savez("numbers.npz", x=np.ones(5), meta=np.ones(2))
    explained(run("explain", "numbers.npz", "--one-sample", "--model", "joint_nets:NamedX", "--method", "lrp_z", "--save", "maps.npz"))
    assert saved()["lrp_z/meta"].shape == (1, 2)
    refused(run("explain", "--input", "x=number.npy", "--model", "joint_nets:NamedX", "--method", "lrp_z"), "'x'", "()", "--one-sample")


def test_what_was_taken_for_what_is_said(run):
    said = explained(run("explain", "in.npz", *JOINT, "--method", "lrp_z", "--explained", "ecg", "--forward", "scale=2"))
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[:5] == [
        "3 samples of 3 inputs, counted by the first axis of each array",
        "ecg 2 x 40, float32",
        "meta 2, float64, not explained",
        "mask 40, bool, not explained",
        "scale 2, passed on",
    ]
    assert [line for line in lines if line.startswith("in.npz")] == ["in.npz[0]", "in.npz[1]", "in.npz[2]"]


def test_an_array_named_x_is_the_input_unless_all_arrays_are_arguments_of_the_model(run, here):
    named_x = ["--model", "joint_nets:NamedX", "--method", "gradient", "--save", "maps.npz"]
    explained(run("explain", "x_and_more.npz", *named_x))
    assert saved()["gradient"].shape == saved()["x"].shape == (1, 5)
    explained(run("explain", "named_x.npz", *named_x))
    assert {name for name in saved() if "/" in name} == {"x/x", "x/meta", "gradient/x", "gradient/meta"}


def test_ids_stay_integers_and_a_picture_is_prepared_as_the_model_says(run, here):
    inputs = ["--input", "input_ids=ids.npy", "--input", "image=photo.png"]
    explained(run("explain", *inputs, "--model", "joint_nets:words", "--method", "lrp_z", "--target", "dog", "--save", "maps.npz"))
    import joint_nets as nets

    x = {"input_ids": np.load("ids.npy"), "image": nets.pixels(Image.open("photo.png"))[None]}
    same(kept(saved(), "lrp_z"), in_python("lrp_z", 1, x, "Words"))
    assert saved()["x/input_ids"].dtype == np.int64


def test_a_signal_is_read_with_its_options(run, here):
    files = ["--input", "ecg=ecg.csv", "--input", "meta=meta_of_one.npy", "--input", "mask=mask_of_one.npy"]
    options = ["--sampling-rate", 100, "--units", "mV", "--leads", "II,I"]
    explained(run("explain", *files, *options, *JOINT, "--method", "lrp_z", "--save", "maps.npz", "--output", "inputs.svg"))
    x = joint_inputs()
    x = {"ecg": x["ecg"][:1, ::-1].copy(), "meta": x["meta"][:1], "mask": np.ones((1, 40), dtype=bool)}
    for name, values in kept(saved(), "lrp_z").items():
        np.testing.assert_allclose(values, in_python("lrp_z", x=x)[name], atol=1e-6)
    assert saved()["name"].tolist() == ["ecg.csv + meta_of_one.npy + mask_of_one.npy"]
    refused(run("explain", *files[:2], *FILES[2:], *options, *JOINT, "--method", "lrp_z"), "'ecg' has 1", "'meta' has 3")


def test_an_array_of_signals_has_the_sampling_rate_that_is_told(run, here):
    said = explained(run("explain", *FILES, "--sampling-rate", 100, *JOINT, "--method", "lrp_z", "--output", "inputs.svg"))
    drawn = [text.strip() for text in re.findall(r"<!-- (.*?) -->", (here / "inputs.svg").read_text())]
    assert "time from the start (s)" in drawn
    found = in_python("lrp_z")
    strengths = {name: np.abs(values[0]).sum() for name, values in found.items() if values is not None}
    shares = ", ".join(f"{name} {strength / sum(strengths.values()):.1%}" for name, strength in strengths.items())
    assert f"of all |R|, {shares}" in said


def test_a_stretch_of_a_signal_is_named(run, here):
    np.save("mask_of_stretch.npy", np.ones((1, 20), dtype=bool))
    files = ["--input", "ecg=ecg.csv", "--input", "meta=meta_of_one.npy", "--input", "mask=mask_of_stretch.npy"]
    options = ["--sampling-rate", 100, "--units", "mV", "--window", "0.1:0.3s"]
    explained(run("explain", *files, *options, *JOINT, "--method", "lrp_z", "--save", "maps.npz"))
    assert saved()["name"].tolist() == ["ecg.csv, 0.1 s to 0.3 s + meta_of_one.npy + mask_of_stretch.npy"]
    np.testing.assert_allclose(saved()["x/ecg"], joint_inputs()["ecg"][:1, :, 10:30], atol=1e-6)


def test_a_model_that_takes_any_argument_is_given_what_there_is(run, here):
    explained(run("explain", "in.npz", "--model", "joint_nets:Anything", "--method", "lrp_z", "--save", "maps.npz"))
    same(kept(saved(), "lrp_z"), in_python("lrp_z"))


# What is explained


def test_only_what_is_asked_for_gets_relevance(run, here):
    explained(run("explain", "in.npz", *JOINT, "--explained", "meta", "--method", "lrp_z", "--save", "maps.npz"))
    same(kept(saved(), "lrp_z"), in_python("lrp_z", explained="meta"))
    assert list(kept(saved(), "lrp_z")) == ["meta"]


def test_an_argument_is_passed_on(run, here):
    explained(run("explain", "in.npz", *JOINT, "--forward", "scale=2.5", "--method", "gradient", "--save", "maps.npz"))
    same(kept(saved(), "gradient"), in_python("gradient", forward_kwargs={"scale": 2.5}))
    import joint_nets as nets

    tensors = {name: torch.from_numpy(values) for name, values in joint_inputs().items()}
    tensors["meta"] = tensors["meta"].float()
    np.testing.assert_allclose(saved()["logits"], nets.Joint()(**tensors, scale=2.5).detach(), rtol=1e-5)


@pytest.mark.parametrize(
    ("args", "target"),
    [(["--target", 2], 2), (["--target", 0, "--target", 1, "--target", 2], [0, 1, 2]), (["--target", 2, "--versus", 0], contrast(2, 0))],
)
def test_targets_are_those_of_python(run, here, args, target):
    explained(run("explain", "in.npz", *JOINT, *args, "--method", "lrp_z", "--save", "maps.npz"))
    same(kept(saved(), "lrp_z"), in_python("lrp_z", target, **({"relevance": "logit"} if "--versus" in args else {})))


@pytest.mark.parametrize("args", [["--target", "all"], ["--above", 0]])
def test_several_classes_repeat_their_sample(run, here, args):
    explained(run("explain", "in.npz", *JOINT, *args, "--method", "lrp_z", "--save", "maps.npz", "--output", "all.png"))
    content = saved()
    assert content["target"].tolist() == [0, 1, 2] * 3
    assert content["name"].tolist() == [f"in.npz[{row}]" for row in range(3) for _ in range(3)]
    np.testing.assert_array_equal(content["x/mask"], np.repeat(joint_inputs()["mask"], 3, axis=0))
    for target in range(3):
        for name, values in in_python("lrp_z", target).items():
            np.testing.assert_array_equal(content[f"lrp_z/{name}"][target::3], values)


def test_relevance_at_a_layer(run, here):
    explained(run("explain", "in.npz", *JOINT, "--at", "conv", "--at", "table", "--method", "lrp_z", "--save", "layers.npz"))
    expected = in_python("lrp_z", at=["conv", "table"])
    content = saved("layers.npz")
    same({name: content[f"lrp_z@{name}"] for name in ("conv", "table")}, expected)
    assert kept(content, "lrp_z") == {}


def test_no_forward_pass_is_larger_than_the_batch_size(run, here):
    one_by_one = ["--model", "joint_nets:OneByOne", "--method", "lrp_z"]
    explained(run("explain", "in.npz", *one_by_one, "--batch-size", 1, "--save", "maps.npz"))
    same(kept(saved(), "lrp_z"), in_python("lrp_z", batch_size=1))
    refused(run("explain", "in.npz", *one_by_one), "one at a time")


def test_inputs_without_relevance_by_a_method_are_said(run):
    said = explained(run("explain", "in.npz", *JOINT, "--method", "lrp_z", "grad_cam"))
    assert "lrp_z no relevance of mask" in " ".join(said.split())
    assert "grad_cam no relevance of meta, mask" in " ".join(said.split())
    [line] = [line for line in said.splitlines() if line.startswith("lrp_z/meta")]
    total = in_python("lrp_z")["meta"].sum()
    assert float(line.split()[line.split().index("sum") + 1]) == pytest.approx(total, rel=1e-3)


def test_the_report_is_the_librarys(run, here):
    args = ["--explained", "ecg", "--forward", "scale=2", "--target", 1, "--method", "lrp_epsilon_0_1", "--save", "report.json"]
    said = explained(run("inspect", *FILES, *JOINT, *args))
    import joint_nets as nets

    options = {"explained": "ecg", "forward_kwargs": {"scale": 2}}
    report = signxai.inspect_model(nets.Joint(), joint_inputs(), "lrp_epsilon_0_1", 1, **options)
    assert str(report) in said
    written = json.loads((here / "report.json").read_text())
    assert written.pop("about")["paths"] == [path.partition("=")[2] for path in FILES if "=" in path]
    assert written == json.loads(json.dumps(report.to_dict()))
    assert str(report) not in explained(run("inspect", "in.npz", *JOINT, "--method", "lrp_epsilon_0_1"))


# What is drawn


@pytest.mark.slow
def test_a_figure_of_several_samples_in_a_process_of_its_own(here):
    names = ["--names", "meta=age,sex", "--names", "ecg=I,II"]
    args = [*JOINT, "--method", "lrp_epsilon_0_25_std_x", "grad_cam", *names, "--output", "inputs.svg"]
    said = explained(in_a_process("explain", "in.npz", *args, cwd=here))
    assert said.splitlines()[-1] == "wrote inputs.svg"
    assert sorted(path.suffix for path in here.iterdir() if path.stem == "inputs") == [".svg"]
    drawn = [text.strip() for text in re.findall(r"<!-- (.*?) -->", (here / "inputs.svg").read_text())]
    for word in ("age", "sex", "I", "II", "ecg", "meta"):
        assert drawn.count(word) >= 3, word  # of each sample
    relevance = in_python("lrp_epsilon_0_25_std_x")
    for row in range(3):
        total = {name: np.abs(values[row]).sum() for name, values in relevance.items()}
        for name in ("ecg", "meta"):
            assert f"{name}: {100 * total[name] / sum(total.values()):.1f} % of all |R|" in drawn
        assert any(text.startswith(f"in.npz[{row}]: predicted class") and "relevance: mask" in text for text in drawn)


def test_pictures_and_ids_and_scales_of_their_own(run, here):
    args = ["--input", "input_ids=ids.npy", "--input", "image=photo.png", "--model", "joint_nets:words", "--method", "lrp_z"]
    explained(run("explain", *args, "--output", "one.png"))
    explained(run("explain", *args, "--output", "own.png", "--own-scales"))
    with Image.open("one.png") as one, Image.open("own.png") as own:
        assert one.size == own.size
        assert np.any(np.asarray(one) != np.asarray(own))


# Mistakes

GRADIENT = [*JOINT, "--method", "gradient"]
MISTAKES = {
    "no input": (GRADIENT, ["INPUT", "--input NAME=FILE"]),
    "no name": (["--input", "ecg.npy", *GRADIENT], ["--input", "'ecg.npy'", "NAME=VALUE"]),
    "no such file": (["--input", "ecg=none.npy", *GRADIENT], ["--input", "none.npy"]),
    "a name that the model does not take": (
        ["--input", "egc=ecg.npy", *FILES[2:], *GRADIENT],
        ["ecg.npy: ", "'egc'", "ecg, meta, mask, scale"],
    ),
    "an array that the model does not take": (["video.npz", *GRADIENT], ["'video'", "ecg, meta, mask, scale", "named 'x'"]),
    "an input that is missing": (FILES[:4] + GRADIENT, ["'mask'", "--input mask=FILE", "--forward mask=VALUE"]),
    "a name given twice": ([*FILES, "--input", "ecg=meta.npy", *GRADIENT], ["--input ecg", "ecg.npy", "meta.npy"]),
    "a name given in both ways": (["in.npz", *FILES[:2], *GRADIENT], ["in.npz", "'ecg'"]),
    "a file with several arrays for a name": (["--input", "ecg=in.npz", *GRADIENT], ["ecg=in.npz", "ecg, meta, mask"]),
    "an array without a name": (["ecg.npy", *FILES[2:], *GRADIENT], ["ecg.npy", "--input NAME=ecg.npy"]),
    "two files of several": (["in.npz", "one.npz", *GRADIENT], ["in.npz", "one.npz"]),
    "uneven": (["uneven.npz", *GRADIENT], ["'ecg' has 3", "'meta' has 2", "'mask' has 3", "--one-sample"]),
    "without a batch axis": (["one.npz", *GRADIENT], ["'ecg' has 2", "'mask' has 40", "--one-sample"]),
    "one sample where there are several": (["in.npz", "--one-sample", *GRADIENT], ["shape"]),
    "no numbers": (["texts.npz", *GRADIENT], ["texts.npz", "'diagnosis'", "<U1"]),
    "explained, but no input": (["in.npz", "--explained", "age", *GRADIENT], ["--explained age", "ecg, meta, mask"]),
    "a mask explained": (["in.npz", "--explained", "mask", *GRADIENT], ["--explained mask", "booleans"]),
    "explained of one input": (["ecg.npy", "--explained", "ecg", *GRADIENT], ["--explained", "--input NAME=FILE"]),
    "one sample of one input": (["ecg.npy", "--one-sample", *GRADIENT], ["--one-sample", "--input NAME=FILE"]),
    "passed on and given": (["in.npz", "--forward", "ecg=1", *GRADIENT], ["--forward ecg"]),
    "passed on, but no argument": (["in.npz", "--forward", "factor=1", *GRADIENT], ["--forward", "'factor'", "ecg, meta, mask, scale"]),
    "passed on twice": (["in.npz", "--forward", "scale=1", "--forward", "scale=2", *GRADIENT], ["--forward scale", "twice"]),
    "explained as an option": (["in.npz", "--option", "explained=ecg", *GRADIENT], ["--explained"]),
    "arguments as an option": (["in.npz", "--option", "forward_kwargs=1", *GRADIENT], ["--forward"]),
    "frequencies": (["in.npz", "--frequency", *GRADIENT], ["--frequency", "several inputs"]),
    "options of signals": ([*FILES, "--units", "mV", *GRADIENT], ["--units", "ecg.npy, meta.npy, mask.npy", "--sampling-rate alone"]),
    "options of signals for a file of several": (["in.npz", "--leads", "I", *GRADIENT], ["--leads", "in.npz", "--input NAME=FILE"]),
    "names without a figure": (["in.npz", "--names", "meta=age,sex", *GRADIENT], ["--names", "--output"]),
    "too few names": (["in.npz", "--names", "meta=age", "--output", "a.png", *GRADIENT], ["1 names for the 2 numbers of 'meta'"]),
    "names of no input": (["in.npz", "--names", "x=age", "--output", "a.png", *GRADIENT], ["--names x", "ecg, meta, mask"]),
    "no figure of videos": (
        ["video.npz", "--model", "joint_nets:Long", "-m", "gradient", "--output", "a.png"],
        ["'video'", "(3, 2, 4, 4)"],
    ),
    "figure of layers": (["in.npz", "--at", "conv", "--output", "a.png", *GRADIENT], ["--output", "--at"]),
    "no such folder": ([*FILES, "--output", "in.png", "--save", "none/maps.npz", *GRADIENT], ["none"]),
    "a picture without preprocessing": (["--input", "ecg=photo.png", *FILES[2:], *GRADIENT], ["photo.png", "preprocess"]),
    "a target out of range": (["in.npz", "--target", 3, *GRADIENT], ["3", "0 to 2"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_line_with_status_2_and_nothing_written(run, here, name):
    args, words = MISTAKES[name]
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    refused(run("explain", *args, *([] if "--save" in args or "--output" in args else ["--save", "out.npz"])), *words)
    assert {path: path.read_bytes() for path in here.iterdir() if path.is_file()} == before


def test_an_input_with_a_name_is_not_overwritten(run, here):
    refused(run("explain", "--input", "ecg=in.npz", *GRADIENT, "--save", "in.npz"), "in.npz", "would be lost")


@pytest.mark.parametrize(
    "name", ["no input", "a name that the model does not take", "an input that is missing", "explained of one input", "uneven"]
)
def test_a_mistake_of_inspect_ends_in_one_line(run, here, name):
    args, words = MISTAKES[name]
    refused(run("inspect", *("lrp_z" if word == "gradient" else word for word in args)), *words)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no input", "no name", "an input that is missing"])
def test_so_it_ends_in_a_process_of_its_own(here, name):
    args, words = MISTAKES[name]
    refused(in_a_process("explain", *args, cwd=here), *words)


# The README


@pytest.mark.slow
def test_the_commands_of_the_readme_run_behind_its_example(run, here):
    text = (ROOT / "README.md").read_text().partition("### Several inputs, token ids")[2].partition("\n## ")[0]
    [example] = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    [commands] = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    done = forked("-W", "error", "-c", example, cwd=here)
    assert done.returncode == 0, done.stderr
    (here / "readme_nets.py").write_text(example.partition("\nx = ")[0])
    lines = [shlex.split(line) for line in commands.splitlines()]
    assert {line[1] for line in lines} == {"explain", "inspect"}
    for command, *args in lines:
        assert command == "signxai"
        explained(run(*[arg.replace("nets:", "readme_nets:") for arg in args]))
