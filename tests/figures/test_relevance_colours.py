"""One colour map for relevance, which equal steps pass evenly, and whose sides the colour-blind tell apart."""

import inspect
import re
from importlib.resources import files

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from signxai.common.visualization import RELEVANCE_COLOURS
from signxai.figures import ecg_map_plots, ecg_plots, input_plots, map_plots, spectrum_plots, text_plots
from signxai.methods import sign_words
from signxai.text.page import Passage, Section, page
from signxai.timeseries import dft_relevance, stdft_relevance

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
    figure = map_plots.image_figure(map_plots.Sample(np.zeros((4, 4)), {"lrp_z": np.ones((4, 4))}))
    for said in (figure.axes[-1].get_xlabel(), sign_words.MEANING, a_page()):
        assert said.index("speaks against") < said.index("speaks for")


# Maps whose numbers are no shares

SLOPE = "larger values lower the score ← slope → raise it"
TURNED_SLOPE = "larger values raise the score ← slope → lower it (signs turned)"
VARIANCE = "none below 0 ← variance of the slope → varies much"
SIGNAL, MAP = np.random.default_rng(0).normal(size=(2, 2, 100))


def grid_of(kind, methods, turned=()):
    """A figure of one sample by several methods, on one colour bar where there are several."""
    if kind == "image":
        return map_plots.image_figure(map_plots.Sample(np.zeros((4, 4)), dict.fromkeys(methods, np.eye(4)), turned=turned))
    if kind == "signal":
        return map_plots.signal_figure(map_plots.Sample(SIGNAL, dict.fromkeys(methods, MAP), turned=turned))
    if kind == "inputs":
        x = {"ecg": SIGNAL, "meta": np.ones(2)}
        maps = {method: {"ecg": MAP, "meta": np.ones(2)} for method in methods}
        return input_plots.inputs_figure(input_plots.InputsSample(x, maps, turned=turned))
    sample = ecg_map_plots.EcgSample(SIGNAL, dict.fromkeys(methods, MAP), turned=turned)
    return ecg_map_plots.plot_ecg_maps(sample, sampling_rate=50)[0].figure


def bar_of(figure):
    return figure.axes[-1].get_xlabel().split("\n")[0]


def said_above(figure, method):
    """The lines that say what the sides of a method's map are."""
    [*titles] = [text.get_text() for text in figure.texts if text.get_text().split("\n")[0] == method]
    return {tuple(line for line in text.split("\n") if "←" in line or line == "signs turned") for text in titles}


@pytest.mark.parametrize("kind", ["image", "signal", "inputs", "ecg"])
@pytest.mark.parametrize(
    ("methods", "turned", "bar", "hints"),
    [
        (["gradient"], [], SLOPE, [()]),
        (["gradient", "smoothgrad"], [], SLOPE, [(), ()]),
        (["gradient"], ["gradient"], TURNED_SLOPE, [()]),
        (["vargrad"], [], VARIANCE, [()]),
        (["gradient", "lrp_z"], [], sign_words.MEANING, [("lowers ← slope → raises",), ()]),
        (["lrp_z", "gradient"], ["gradient"], sign_words.MEANING, [(), ("raises ← slope → lowers (turned)",)]),
        (["lrp_z", "vargrad"], ["lrp_z"], sign_words.TURNED_MEANING, [(), ("none below 0 ← variance → much",)]),
        (["deconvnet", "mine"], [], sign_words.MEANING, [("lowers ← cut slope → raises",), ()]),
        (["gradient_x_input", "mine"], [], sign_words.MEANING, [(), ()]),
        (["lrp_z", "grad_cam"], ["lrp_z"], f"{sign_words.MEANING} (reversed if turned)", [("signs turned",), ()]),
        (["lrp_z", "lrp_epsilon_0_1"], ["lrp_z", "lrp_epsilon_0_1"], sign_words.TURNED_MEANING, [(), ()]),
    ],
)
def test_a_scale_says_what_the_numbers_are_and_a_title_where_they_are_others(kind, methods, turned, bar, hints):
    figure = grid_of(kind, methods, turned)
    assert bar_of(figure) == bar
    for method, hint in zip(methods, hints, strict=True):
        assert said_above(figure, method) == {hint}
    figure.draw_without_rendering()
    label = figure.axes[-1].xaxis.label.get_window_extent()
    assert figure.bbox.x0 <= label.x0 < label.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= label.y0


def test_figures_of_one_map_take_the_name_of_its_method():
    figure = ecg_plots.plot_ecg(SIGNAL, MAP, sampling_rate=50, method="gradient").figure
    assert bar_of(figure) == SLOPE
    assert bar_of(ecg_plots.plot_ecg(SIGNAL, MAP, sampling_rate=50, title="gradient").figure) == sign_words.MEANING
    tokens = text_plots.TokenPanel(["a", " b"], np.array([1.0, -1.0]), method="gradient")
    for drawn in (text_plots.plot_tokens(tokens).figure, text_plots.plot_several_tokens([tokens])):
        assert bar_of(drawn) == SLOPE
    matrix = text_plots.plot_token_matrix(np.eye(2), ["a", "b"], ["b", "c"], [1, 2], method="gradient").figure
    assert " ".join(matrix.axes[-1].get_ylabel().split()) == SLOPE


def test_of_frequencies_that_share_slopes_out_no_side_is_said():
    spectral = dft_relevance(SIGNAL, MAP, sampling_rate=50)
    short = stdft_relevance(SIGNAL, MAP, window_length=20, sampling_rate=50)
    for method, said in (("gradient", "below 0 ← part of the map's sum → above 0"), ("lrp_z", sign_words.MEANING)):
        several = spectrum_plots.plot_spectrum_maps(spectrum_plots.SpectrumSample(SIGNAL, {method: spectral}))[0][0, 0]
        alone = spectrum_plots.plot_spectrum(SIGNAL, spectral, method=method)[0, 0]
        over_time = spectrum_plots.plot_spectrogram(short, method=method)[0]
        for axes in (several, alone, over_time):
            assert bar_of(axes.figure.figure) == said


def test_a_small_bar_says_it_in_fewer_words():
    assert sign_words.in_short(f"{SLOPE}\nmore") == "lowers ← slope → raises\nmore"
    assert sign_words.in_short(sign_words.MEANING) == sign_words.SHORT_MEANING


@pytest.mark.parametrize("method", ["gradient", "lrp_z", "guided_backprop", "vargrad"])
@pytest.mark.parametrize("is_turned", [False, True])
def test_the_bar_of_tokens_on_axes_of_a_small_figure_is_not_cut(method, is_turned):
    figure = Figure(figsize=(3.4, 2.4), layout="constrained")
    panel = text_plots.TokenPanel(["a", " b"], np.array([1.0, -1.0]), is_turned=is_turned, method=method)
    text_plots.plot_tokens(panel, axes=figure.subplots())
    figure.draw_without_rendering()
    figure.draw_without_rendering()
    label = figure.axes[-1].xaxis.label.get_window_extent()
    assert figure.bbox.x0 <= label.x0 < label.x1 <= figure.bbox.x1
