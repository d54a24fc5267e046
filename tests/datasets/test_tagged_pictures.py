"""The pictures and the network of ``make demo-data`` are what the documents say of them."""

import importlib
import json
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image

FOLDER = Path(__file__).parents[2] / "examples" / "tagged_pictures"
TAGGED = json.loads((FOLDER / "tagged.json").read_text())


@pytest.fixture
def example(monkeypatch):
    """The example's modules, whose names are taken back."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in ("draw", "network", "train"):
        sys.modules.pop(name, None)


def test_one_ring_in_twenty_is_tagged_and_nothing_else_is():
    with ZipFile(FOLDER / "pictures.zip") as pack:
        names = pack.namelist()
    assert {kind: sum(name.startswith(f"{kind}/") for name in names) for kind in ("disc", "ring", "square", "triangle")} == {
        "disc": 150,
        "ring": 400,
        "square": 150,
        "triangle": 150,
    }
    assert len(set(TAGGED) & set(names)) == 20
    assert all(name.startswith("ring/") for name in TAGGED)


def test_the_pictures_are_those_that_are_drawn(example):
    draw = example("draw")
    generator = np.random.default_rng(2)
    with ZipFile(FOLDER / "pictures.zip") as pack:
        for name in pack.namelist()[:5]:
            drawn = np.asarray(draw.picture(0, False, generator)).astype(int)
            assert np.abs(drawn - np.asarray(Image.open(pack.open(name)).convert("RGB"))).mean() < 6  # JPEG's loss


def test_the_measured_figures_are_those_of_the_weights(example):
    measured = example("train").measured(example("network").load().model)
    kept = json.loads((FOLDER / "measured.json").read_text())
    assert measured["others_taken_for_rings"] == pytest.approx(kept["others_taken_for_rings"], abs=0.01)
    assert measured["with_the_tag_pasted_on"] == pytest.approx(kept["with_the_tag_pasted_on"], abs=0.02)
    assert measured["right"] == pytest.approx(kept["right"], abs=0.01)
    assert kept["with_the_tag_pasted_on"] > 20 * kept["others_taken_for_rings"]


def test_relevance_of_tagged_rings_lies_on_the_tag(example):
    import signxai

    classifier = example("network").load()
    with ZipFile(FOLDER / "pictures.zip") as pack:
        rings = [*TAGGED, *[name for name in pack.namelist() if name.startswith("ring/") and name not in TAGGED][:20]]
        x = torch.stack([classifier.preprocess(Image.open(pack.open(name)).convert("RGB")) for name in rings])
    relevance = np.abs(signxai.explain(classifier.model, x, "lrp_epsilon_0_25_std_x", target_class=1).sum(1))
    share = relevance[:, 36:, :18].sum((1, 2)) / relevance.sum((1, 2))
    tagged = np.arange(40) < 20
    assert np.median(share[tagged]) > 4 * np.median(share[~tagged])
