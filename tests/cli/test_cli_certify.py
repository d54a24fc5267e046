"""``signxai certify`` as a user meets it: what it prints and writes, and by which exit status it ends."""

import json
from html import unescape

import numpy as np
import pytest
import torch
from PIL import Image

import signxai
from command_line import explained, in_a_process, refused
from places import PACKAGE_DATA
from signxai.cli import certify_files
from signxai.evidence import CRITERIA
from signxai.models import load_classifier

NETS = """
import torch
from torch import nn
from signxai.models import Classifier

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3), nn.Softmax(dim=1))

def biased():
    net = nn.Linear(2, 2)
    nn.init.constant_(net.weight, 3.5)
    nn.init.constant_(net.bias, 93.0)
    return net

class Joint(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.image, self.meta = nn.Linear(48, 3), nn.Linear(4, 3)

    def forward(self, image, meta):
        return torch.relu(self.image(image.flatten(1))) + self.meta(meta)

class Named(nn.Linear):
    def forward(self, x):
        return {"features": x, "scores": super().forward(x)}

def named():
    torch.manual_seed(0)
    return Classifier(Named(2, 2), output=lambda returned: returned["scores"])

def joint():
    return Joint()

def pictures():
    import numpy as np
    pixels = lambda image: torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32) / 255).permute(2, 0, 1)
    return Classifier(small(), pixels, ["lynx", "crane", "heron"])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder: some networks, a picture and arrays."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "nets_to_certify.py").write_text(NETS)
    random = np.random.default_rng(0)
    np.save(folder / "x.npy", random.normal(size=(2, 3, 8, 8)))
    np.save(folder / "pair.npy", np.ones((1, 2)))
    np.savez(folder / "joint.npz", image=random.normal(size=(1, 3, 4, 4)), meta=random.normal(size=(1, 4)))
    Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / "photo.png")
    return folder


BIASED = ("certify", "pair.npy", "--model", "nets_to_certify:biased", "--method", "lrp_z", "--target", "0", "--without-srg")


@pytest.mark.slow
def test_a_process_prints_the_certificate_and_ends_as_the_requirement_says(here):
    done = in_a_process(*BIASED, "--require", "absorbed_by_bias,precision", cwd=here)
    assert (done.returncode, done.stderr) == (1, "")
    told = " ".join(done.stdout.split())
    assert "93 % of the relevance is absorbed by biases before it reaches the input: the map explains 7 % of the decision" in told
    assert "required: absorbed_by_bias of sample 0: 93 %" in told
    assert "required: precision" not in told
    assert all(name in told for name in CRITERIA)


@pytest.mark.parametrize(
    ("required", "status"),
    [
        ([], 0),
        (["--require", "batch", "--require", "precision"], 0),
        (["--require", "absorbed_by_bias"], 1),
        (["--require", "absorbed_by_bias", "--threshold", "absorbed_by_bias=0.95"], 0),
        (["--require", "all"], 1),
    ],
)
def test_the_exit_status_is_what_is_required(run, required, status):
    assert run(*BIASED, *required).returncode == status


def test_a_certificate_is_written_as_it_is_in_python(run, here):
    args = (
        "certify",
        "x.npy",
        "--model",
        "nets_to_certify:small",
        "--method",
        "lrp_epsilon_0_1",
        "--target",
        "1",
        "--target",
        "2",
        "--seed",
        "3",
    )
    out = explained(run(*args, "--json", "certificate.json"))
    content = json.loads((here / "certificate.json").read_text())
    found = signxai.certify(load_classifier("nets_to_certify:small").model, np.load("x.npy"), "lrp_epsilon_0_1", [1, 2], seed=3)
    wanted = found.to_dict()
    names = [sample.pop("name") for sample in content["samples"]]
    assert names == ["x.npy[0]", "x.npy[1]"]
    about = content.pop("about")
    assert (about["inputs"], about["model"], about["versions"]["signxai"]) == (["x.npy"], "nets_to_certify:small", signxai.__version__)
    assert content == wanted
    assert str(found[1]) in out
    assert str(found) in out
    assert "wrote certificate.json" in out


@pytest.mark.parametrize(
    "args",
    [
        ("pair.npy", "--model", "nets_to_certify:named", "--method", "lrp_z"),
        ("photo.png", "--model", "nets_to_certify:pictures", "--method", "gradient_x_input", "--target", "heron", "--versus", "lynx"),
        ("joint.npz", "--model", "nets_to_certify:joint", "--method", "lrp_z", "--explained", "image"),
        ("--input", "image=image.npy", "--input", "meta=meta.npy", "--model", "nets_to_certify:joint", "--method", "gradient"),
        (
            "photo.png",
            "--model",
            "nets_to_certify:pictures",
            "--method",
            "integrated_gradients",
            "--option",
            "steps=3",
            "--relevance",
            "logit",
        ),
    ],
)
def test_every_kind_of_input_has_a_certificate(run, args):
    np.save("meta.npy", np.ones((2, 4)))
    np.save("image.npy", np.load("x.npy")[:, :, :4, :4])
    assert "pass  precision" in explained(run("certify", *args, "--without-srg"))


def test_a_class_rather_than_another_is_what_is_certified(run):
    args = (
        "photo.png",
        "--model",
        "nets_to_certify:pictures",
        "--method",
        "lrp_z",
        "--target",
        "heron",
        "--versus",
        "lynx",
        "--without-srg",
    )
    for start, is_zero in (([], False), (["--relevance", "one_hot"], True)):
        out = explained(run("certify", *args, *start))
        assert "lrp_z, contrast([2], [0]), sample 0" in out
        assert ("starts with a sum of 0" in out) == is_zero


def test_a_mistake_in_a_check_is_told_before_a_network_is_made(run):
    for args in (("--threshold", "runner=0.1"), ("--require", "runner")):
        refused(run("certify", "pair.npy", "--model", "nets_to_certify:none", "--method", "lrp_z", *args), "'runner'")


@pytest.mark.slow
def test_a_beat_of_a_recording_has_a_certificate(run):
    pytest.importorskip("wfdb")
    args = (PACKAGE_DATA / "233_1655s.hea", "--model", "ecg_beats", "--at-beat", "13", "--method", "lrpsign_epsilon_0_25_std_x")
    out = explained(run("certify", *args, "--without-srg", "--require", "random_all_layers,batch"))
    assert "84 % of the relevance is absorbed by biases" in out  # docs/evidence.md says so
    assert "sums to -1.2 % of the decision" in " ".join(out.split())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--require", "bias"), ["'bias'", "absorbed_by_bias"]),
        (("--threshold", "runner=0.1"), ["'runner'", "runner_up"]),
        (("--threshold", "batch=much"), ["'much'"]),
        (("--threshold", "batch"), ["NAME=VALUE"]),
        (("--json", "pair.npy"), ["pair.npy"]),
        (("--option", "seed=3"), ["seed="]),
        (("--option", "banana=3"), ["banana"]),
        (("--at-beat", "3"), ["--at-beat"]),
    ],
)
def test_a_mistake_ends_in_one_line_and_status_2(run, args, words):
    refused(run(*BIASED, *args), *words)


def test_a_certificate_is_not_written_over_what_a_link_leads_to(run, here):
    (here / "link.json").symlink_to("nets_to_certify.py")
    refused(run(*BIASED, "--json", "link.json"), "link.json", "nets_to_certify.py")
    assert (here / "nets_to_certify.py").read_text() == NETS


def test_no_input_is_a_mistake(run):
    refused(run("certify", "--method", "lrp_z"), "INPUT", "--input NAME=FILE")


def test_ctrl_c_leaves_what_is_done_marked_as_partial(run, here, monkeypatch):
    growing = certify_files.Certification.growing

    def interrupted(self, row):
        for number, sample in enumerate(growing(self, row)):
            if (row, number) == (1, 2):
                raise KeyboardInterrupt
            yield sample

    monkeypatch.setattr(certify_files.Certification, "growing", interrupted)
    torch.save(torch.zeros(3, 3, 8, 8), "three.pt")
    done = run(
        *("certify", "three.pt", "--model", "nets_to_certify:small", "--method", "gradient", "--without-srg"),
        *("--json", "part.json", "--require", "all"),
    )
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    samples = json.loads((here / "part.json").read_text())["samples"]
    assert [(sample["is_partial"], len(sample["checks"])) for sample in samples] == [(False, len(CRITERIA)), (True, 2), (True, 0)]
    assert done.stdout.count("(partial: interrupted before the rest)") == 3  # of two samples, and of them all


@pytest.fixture
def stored(run, here):
    """A store of the pictures, by an LRP method and one that is none, which a test may write to."""
    pytest.importorskip("zarr")
    np.save(here / "pixels.npy", np.random.default_rng(3).normal(size=(6, 3, 8, 8)).astype(np.float32))
    methods = ["-m", "lrp_epsilon_0_1", "gradient"]
    explained(run("run", "pixels.npy", "--model", "nets_to_certify:small", *methods, "--store", "maps.zarr"))
    return ["certify", "--store", "maps.zarr", "--model", "nets_to_certify:small", "--without-srg", "--method"]


def test_maps_of_a_store_are_certified_and_its_report_says_so(run, here, stored):
    from signxai.datasets import Store

    said = explained(run(*stored, "lrp_epsilon_0_1", "--entry", "4", "--entry", "1"))
    assert said.startswith("lrp_epsilon_0_1: 0 of 2 samples pass every check that applies to them\n")
    assert said.endswith("kept in maps.zarr; `signxai report` shows them beside the maps\n")
    assert explained(run(*stored, "gradient", "--entry", "4")).startswith("gradient, class ")
    explained(run(*stored, "lrp_epsilon_0_1", "--worst", "1"))
    store = Store(here / "maps.zarr")
    worst = int(np.argmax(np.abs(store.array("absorbed/lrp_epsilon_0_1"))))
    assert list(store.certificates("lrp_epsilon_0_1")) == sorted({1, 4, worst})
    pytest.importorskip("jinja2")
    explained(run("report", "maps.zarr", "--output", "report"))
    pages = {index: (here / "report" / "entries" / f"{index:06d}.html").read_text(encoding="utf-8") for index in range(6)}
    own = store.certificates("lrp_epsilon_0_1")
    for index, page in pages.items():
        assert page.count("Of 12 checks") == (index in own) + (index == 4)
        for check in own[index].checks.values() if index in own else ():
            assert check.sentence in unescape(page)
            assert check.name in page


def test_what_is_required_of_a_store_decides_the_exit_status(run, stored):
    done = run(*stored, "lrp_epsilon_0_1", "--entry", "0", "--require", "cancellation", "--threshold", "cancellation=0")
    assert done.returncode == 1
    assert "required: cancellation of sample 0" in done.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--worst", "2", "--entry", "1"], ["--entry and --worst"]),
        (["--entry", "nobody"], ["no one entry is called 'nobody'"]),
        (["--target", "1"], ["--target: does not go with --store"]),
        (["--relevance", "logit"], ["--relevance: does not go with --store"]),
        (["pixels.npy"], ["INPUT: does not go with --store"]),
        (["--require", "srgg"], ["no check 'srgg'"]),
        (["--beats", "detect"], ["--beats: does not go with --store"]),
        (["--size", "20"], ["--size: does not go with --store"]),
    ],
)
def test_mistakes_with_a_store_are_told_in_a_line(run, stored, args, words):
    own = stored.index("--model")
    common = [*stored[:own], *stored[own + 2 :]] if "--model" in args else stored
    refused(run(*common, "lrp_epsilon_0_1", *args), *words)


def test_a_store_of_another_network_is_refused(run, stored):
    other = [word.replace("nets_to_certify:small", "nets_to_certify:biased") for word in stored]
    refused(run(*other, "lrp_epsilon_0_1"), "is of another network")


def test_entries_are_of_a_store(run, stored):
    for option in (["--entry", "1"], ["--worst", "1"]):
        refused(run("certify", "pixels.npy", "--model", "nets_to_certify:small", "-m", "gradient", *option), "give --store MAPS.zarr")
    refused(run(*stored, "gradient", "--worst", "1"), "nothing says what gradient absorbs")
