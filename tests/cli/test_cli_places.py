"""Where results go: places that cannot be written to, links, and no name at all, all told before the network runs."""

import os
from pathlib import Path

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
"""
EXPLAIN = ["explain", "a.png", "b.png", "--model", "places_nets:pictures", "--method", "gradient"]
CERTIFY = ["certify", "a.png", "--model", "places_nets:pictures", "--method", "lrp_z", "--without-srg"]
EVALUATE = ["evaluate", "a.png", "b.png", "--model", "places_nets:pictures", "--method", "gradient", "--metric", "gini", "--no-timing"]
INSPECT = ["inspect", "a.png", "--model", "places_nets:pictures", "--method", "lrp_z"]
RUN = ["run", ".", "--model", "places_nets:pictures", "--method", "gradient"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures, and what is not to be written over."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "places_nets.py").write_text(NETS)
    for number, name in enumerate("ab"):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    (folder / "mine.txt").write_text("mine")
    return folder


@pytest.mark.parametrize("leads_to", ["mine.txt", "other.png", "nowhere/x.png"])
def test_a_link_in_the_folder_of_figures_is_not_written_through(run, here, leads_to):
    (here / "other.png").write_bytes((here / "a.png").read_bytes())
    (here / "maps").mkdir()
    (here / "maps" / "b.png").symlink_to(here / leads_to)
    done = run(*EXPLAIN, "--output", "maps/")
    refused(done, "maps/b.png", "is a link")
    assert "it runs" not in done.stdout
    assert (here / "mine.txt").read_text() == "mine"
    assert (here / "other.png").read_bytes() == (here / "a.png").read_bytes()
    assert list((here / "maps").iterdir()) == [here / "maps" / "b.png"]


def test_a_folder_in_the_place_of_a_figure_in_a_folder_is_told_before_the_network_runs(run, here):
    (here / "maps" / "b.png").mkdir(parents=True)
    done = run(*EXPLAIN, "--output", "maps/")
    refused(done, "maps/b.png", "is a folder")
    assert "it runs" not in done.stdout


def test_a_link_in_the_place_of_a_further_page_is_not_written_through(run, here):
    many = [here / f"p{number}.png" for number in range(9)]
    for path in many:
        path.write_bytes((here / "a.png").read_bytes())
    (here / "maps-2.png").symlink_to(here / "mine.txt")
    done = run("explain", *many, *EXPLAIN[3:], "--output", "maps.png")
    refused(done, "maps-2.png", "mine.txt")
    assert done.stdout == ""
    assert (here / "mine.txt").read_text() == "mine"


def test_a_folder_of_figures_may_itself_be_a_link(run, here):
    (here / "real").mkdir()
    (here / "maps").symlink_to(here / "real")
    assert explained(run(*EXPLAIN, "--output", "maps/"))
    assert {path.name for path in (here / "real").iterdir()} == {"a.png", "b.png"}


@pytest.mark.parametrize("written", ["maps.png", "maps/", "maps"])
@pytest.mark.parametrize("leads_to", ["nowhere/x.png", "nowhere/x", "maps.png"])
def test_a_link_that_leads_nowhere_is_told_before_a_network_is_loaded(run, here, written, leads_to):
    (here / written.rstrip("/")).symlink_to(here / leads_to)
    done = run(*EXPLAIN, "--output", written)
    refused(done, written.rstrip("/"))
    assert done.stdout == ""


PROC = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder into which nobody may write")


@PROC
@pytest.mark.parametrize(
    "args",
    [
        [*EXPLAIN, "--output", "/proc/maps.png"],
        [*EXPLAIN, "--output", "/proc/maps/"],
        [*EXPLAIN, "--output", "/proc/"],
        [*EXPLAIN, "--save", "/proc/maps.npz"],
        [*EXPLAIN, "--table", "/proc/maps.csv"],
        [*CERTIFY, "--json", "/proc/maps.json"],
        [*EVALUATE, "--output", "/proc/page.html"],
        [*EVALUATE, "--scores", "/proc/scores.csv"],
        [*INSPECT, "--save", "/proc/report.json"],
    ],
    ids=lambda args: f"{args[0]} {' '.join(args[-2:])}",
)
def test_a_folder_that_takes_no_file_is_told_before_a_network_is_loaded(run, args):
    done = run(*args)
    refused(done, "/proc", "nothing can be written")
    assert done.stdout == ""


@pytest.mark.parametrize(
    "args",
    [
        *([*EXPLAIN, option, ""] for option in ("--output", "--save", "--table", "--summary", "--beats")),
        [*CERTIFY, "--json", ""],
        [*EVALUATE, "--output", ""],
        [*EVALUATE, "--scores", ""],
        [*INSPECT, "--save", ""],
        [*RUN, "--store", ""],
        ["report", "", "--output", "pages"],
        ["report", ".", "--output", ""],
        ["export", ".", "--virelay", ""],
        ["text", "words", "--output", ""],
        [*EXPLAIN, "--weights", ""],
    ],
    ids=lambda args: f"{args[0]} {args[-2]}",
)
def test_no_name_is_no_place(run, here, args):
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    done = run(*args)
    refused(done, "is empty")
    assert done.stdout == ""
    assert {path: path.read_bytes() for path in here.iterdir() if path.is_file()} == before


def test_looking_whether_a_folder_can_be_written_to_leaves_nothing(run, here):
    (here / "maps").mkdir()
    before = os.stat(here / "maps").st_mtime_ns
    refused(run(*EXPLAIN, "--output", "maps/", "--target", "wolf"), "wolf")
    assert list((here / "maps").iterdir()) == []
    assert os.stat(here / "maps").st_mtime_ns == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--at", "0", "--at", "4", "--at", "0", "--save", "maps.npz"], ["--at 0", "twice"]),
        (["--at", "0", "--output", "maps.png"], ["--output", "--at"]),
        (["--at", "0", "--summary", "waves.csv"], ["--summary"]),
    ],
)
def test_layers_named_twice_or_with_what_shows_inputs_are_told_before_a_network_is_loaded(run, args, words):
    done = run(*EXPLAIN, *args)
    refused(done, *words)
    assert done.stdout == ""
