"""One colour map for relevance, which equal steps pass evenly, and whose sides the colour-blind tell apart."""

import inspect
import re
from importlib.resources import files

import matplotlib
import numpy as np
import pytest

from signxai.common.visualization import RELEVANCE_COLOURS
from signxai.figures import ecg_map_plots, ecg_plots, input_plots, map_plots, relevance_colours, spectrum_plots, text_plots
from signxai.text.page import Passage, Section, page

FIGURES = [
    map_plots.image_figure,
    map_plots.signal_figure,
    input_plots.inputs_figure,
    ecg_plots.plot_ecg,
    ecg_map_plots.plot_ecg_maps,
    spectrum_plots.plot_spectrum,
    spectrum_plots.plot_spectrum_maps,
    spectrum_plots.plot_spectrogram,
    text_plots.plot_tokens,
    text_plots.plot_several_tokens,
    text_plots.plot_token_matrix,
]

# What linear RGB becomes for who lacks one of the three cones (Machado et al. 2009, severity 1).
SEEN = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
STRENGTHS = np.linspace(-1, 1, 33)


def seen_as(name, cones="all cones"):
    """The colours of a map as CIE L*a*b* (strengths, 3), in which distances are those that are seen."""
    rgb = matplotlib.colormaps[name]((STRENGTHS + 1) / 2)[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ np.transpose(SEEN[cones]), 0, 1) @ TO_XYZ.T / [0.95047, 1.0, 1.08883]
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)


def distance_of_signs(name, cones):
    """The least distance between relevance for and as much of it against, from a quarter of the scale on."""
    colours = seen_as(name, cones)
    return np.linalg.norm(colours - colours[::-1], axis=1)[STRENGTHS >= 0.25].min()


def evenness(name):
    """The longest of equal steps over the shortest."""
    steps = np.linalg.norm(np.diff(seen_as(name), axis=0), axis=1)
    return steps.max() / steps.min()


def skewness(name):
    """How much darker one side is than the other, of 100."""
    lightness = seen_as(name)[:, 0]
    return np.abs(lightness - lightness[::-1]).max()


@pytest.mark.parametrize("cones", SEEN)
def test_the_colour_blind_tell_relevance_for_from_relevance_against(cones):
    assert distance_of_signs(RELEVANCE_COLOURS, cones) > 35


def test_equal_steps_look_equal_and_both_sides_equally_strong():
    assert evenness(RELEVANCE_COLOURS) < 1.4
    assert skewness(RELEVANCE_COLOURS) < 2
    assert np.all(np.diff(seen_as(RELEVANCE_COLOURS)[:17, 0]) > 0)  # lighter up to the middle


@pytest.mark.parametrize("other", ["seismic", "bwr", "RdBu_r"])
def test_maps_that_are_often_used_pass_unevenly(other):
    assert evenness(other) > 2


def test_every_figure_takes_the_one_map():
    defaults = {figure.__name__: inspect.signature(figure).parameters["cmap"].default for figure in FIGURES}
    assert set(defaults.values()) == {RELEVANCE_COLOURS}, defaults


def test_no_other_map_is_named_in_the_package():
    folder = files("signxai")
    diverging = r'"(bwr|seismic|coolwarm|RdBu_r|Spectral|vlag|berlin|vanimo)"'
    named = [path.name for path in folder.rglob("*.py") if re.search(diverging, path.read_text(encoding="utf-8"))]
    assert named == ["visualization.py"]  # the map itself, and that of relevance_to_heatmap, which is given


def test_the_pages_of_reports_have_the_colours_of_figures():
    script = (files("signxai.reports") / "assets" / "report.js").read_text(encoding="utf-8")
    written = re.findall(r"\[([\d, ]+)\]", re.search(r"STOPS = \[(.*?)\];", script, re.DOTALL)[1])
    stops = [[int(number) for number in stop.split(",")] for stop in written]
    places = np.linspace(0, 1, len(stops))
    np.testing.assert_allclose(stops, 255 * matplotlib.colormaps[RELEVANCE_COLOURS](places)[:, :3], atol=1)


@pytest.mark.parametrize("what", ["reports", "texts"])
def test_the_signs_on_pages_have_the_ends_of_the_map(what):
    style = (files("signxai.reports") / "assets" / "report.css").read_text(encoding="utf-8") if what == "reports" else a_page()
    names = {"reports": ("for", "against"), "texts": ("positive", "negative")}[what]
    for sign, end in zip(names, (1.0, 0.0), strict=True):
        [light, dark] = [tuple(map(int, found.split(","))) for found in re.findall(rf"--{sign}: ([\d, ]+);", style)]
        expected = matplotlib.colormaps[RELEVANCE_COLOURS](end)
        np.testing.assert_allclose(light, 255 * np.array(expected[:3]), atol=1)
        paler = matplotlib.colormaps[RELEVANCE_COLOURS](0.85 if end else 0.15)
        np.testing.assert_allclose(dark, 255 * np.array(paler[:3]), atol=1)


def a_page():
    return page([Section("a", [Passage("", ["a"], ["a"], [1.0], [False])])])


def test_every_scale_says_what_its_sides_stand_for():
    figure = map_plots.image_figure(map_plots.Sample(np.zeros((4, 4)), {"gradient": np.ones((4, 4))}))
    for said in (figure.axes[-1].get_xlabel(), relevance_colours.MEANING, a_page()):
        assert said.index("speaks against") < said.index("speaks for")
