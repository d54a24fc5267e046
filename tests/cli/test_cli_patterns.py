"""``signxai cluster`` and ``signxai export`` as a user runs them on a store."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from command_line import explained, in_this_process, refused
from signxai.datasets import ArraySource, Store, explain_dataset

pytest.importorskip("zarr")


class Channels(nn.Module):
    """Two classes, by the sum of all values and its negative."""

    def forward(self, x):
        return torch.stack([x.flatten(1).sum(1), -x.flatten(1).sum(1)], 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of 60 pictures of class "pos", of which the last 12, all of one group, are bright in a corner, and 3 of class "neg"."""
    folder = tmp_path_factory.mktemp("patterns")
    draw = np.random.default_rng(0)
    values = 0.1 * draw.normal(size=(63, 3, 16, 16)).astype(np.float32)
    for row, (down, right) in enumerate(draw.integers(5, 12, (48, 2))):
        values[row, :, down : down + 4, right : right + 4] += 1
    values[48:60, :, :4, :4] += 1
    groups = ["a camera"] * 48 + ["b camera"] * 15
    targets = [0] * 60 + [1] * 3
    source = ArraySource(values, labels=[0, 1] * 31 + [0], groups=groups, targets=targets)
    explain_dataset(Channels(), source, ["gradient_x_input"], folder / "maps.zarr", target="target", class_names=["pos", "neg"])
    return folder


def test_clusters_are_found_told_and_kept(run):
    told = explained(run("cluster", "maps.zarr")).splitlines()
    assert told[0] == "class 1 (neg): 3 entries, too few for clusters"
    assert told[1].startswith("gradient_x_input, class 0 (pos): 60 entries, eigengap after ")
    assert told[-1] == "to look at them: signxai report maps.zarr --output report"
    assert any("12 entries (20.0%), group b camera 100% (others 0%); nearest its centre " in line for line in told[2:])
    found = Store("maps.zarr").clusters("gradient_x_input", "pos")
    assert list(range(48, 60)) in [found.members(number).tolist() for number in found.sizes()]
    again = explained(run("cluster", "maps.zarr", "--method", "gradient_x_input", "--class", "pos", "--right", "--label", "0")).splitlines()
    assert len(Store("maps.zarr").clusters("gradient_x_input", 0).rows) == len(Store("maps.zarr").rows(target=0, label=0, wrong=False))
    assert again[0].startswith("gradient_x_input, class 0 (pos): ")


def test_labels_beyond_the_names_are_numbered(tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=(12, 3, 16, 16)).astype(np.float32)
    source = ArraySource(values, labels=[7] * 12)
    explain_dataset(Channels(), source, ["gradient_x_input"], tmp_path / "few.zarr", target=1, class_names=["pos", "neg"])
    told = explained(in_this_process("cluster", tmp_path / "few.zarr", capsys=capsys))
    assert told.startswith("gradient_x_input, class 1 (neg): 12 entries")
    assert "label 7" in told
    assert "no groups: none of the maps lie closer together than the others, so all are one cluster\n" in told


@pytest.mark.parametrize("option", [("--side", "8"), ("--smoothing", "0.1")])
def test_what_is_about_places_is_refused_for_lists_of_numbers(option, tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    explain_dataset(Channels(), ArraySource(values), ["gradient_x_input"], tmp_path / "few.zarr", target=1)
    done = in_this_process("cluster", tmp_path / "few.zarr", *option, capsys=capsys)
    refused(done, f"{option[0]}: goes with maps of pictures and signals", "few.zarr are lists of numbers")
    assert "12 entries" in explained(in_this_process("cluster", tmp_path / "few.zarr", "--neighbours", "4", capsys=capsys))


def test_an_export_is_written_and_says_how_it_is_opened(run):
    told = explained(run("export", "maps.zarr", "--virelay", "out", "--class", "neg"))
    assert "3 entries of maps.zarr; open them by: virelay out/gradient_x_input.project.yaml" in told
    assert json.loads(Path("out/signxai-export.json").read_text())["entries"] == 3
    assert explained(run("export", "maps.zarr", "--virelay", "out")).startswith("63 entries")


def test_a_run_that_has_not_ended_is_not_exported(folder, tmp_path, capsys):
    part = shutil.copytree(folder / "maps.zarr", tmp_path / "part.zarr")
    manifest = part / "manifest" / "zarr.json"
    content = json.loads(manifest.read_text())
    content["attributes"]["done"] = []
    manifest.write_text(json.dumps(content))
    refused(in_this_process("export", part, "--virelay", tmp_path / "out", capsys=capsys), "part.zarr", "has not ended")
    assert not (tmp_path / "out").exists()


WRONG = {
    "no store": (["cluster", "photos"], ["photos", "no store of relevance maps"]),
    "no method": (["cluster", "maps.zarr", "-m", "lrp_z"], ["has no 'lrp_z'", "gradient_x_input"]),
    "no class": (["cluster", "maps.zarr", "--class", "cow"], ["'cow'", "pos, neg"]),
    "few entries": (["cluster", "maps.zarr", "--class", "neg"], ["3 maps", "at least 10"]),
    "none with that label": (["cluster", "maps.zarr", "--wrong", "--class", "1"], ["at least 10"]),
    "no smoothing": (["cluster", "maps.zarr", "--smoothing", "2"], ["--smoothing"]),
    "no place": (["export", "maps.zarr"], ["--virelay"]),
    "photos": (["export", "maps.zarr", "--virelay", "photos"], ["photos", "holds what no export wrote"]),
    "an export of no method": (["export", "maps.zarr", "--virelay", "new", "-m", "lrp_z"], ["has no 'lrp_z'"]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_mistakes_end_in_one_line(run, wrong, here):
    (here / "photos").mkdir(exist_ok=True)
    (here / "photos" / "cat.txt").write_text("cat")
    arguments, words = WRONG[wrong]
    refused(run(*arguments), *words)
    assert not (here / "new").exists()
