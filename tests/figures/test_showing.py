"""What was explained and its relevance in one line; every figure on axes of one's own; overlays; pages."""

import importlib
import inspect
import pkgutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import signxai
from boxes import laid_out
from signxai import figures
from signxai.common import InputError, OptionError
from signxai.common.visualization import (
    normalize_relevance_map,
    overlay_heatmap,
    overlay_relevance,
    relevance_to_heatmap,
)
from signxai.figures import comparison_plots, ecg_map_plots, ecg_plots, input_plots, map_plots, spectrum_plots, summary_plots, text_plots
from signxai.figures.pages import HIGHEST, PageError, check_height
from signxai.figures.paging import pages, save_pages
from signxai.methods.sign_words import MEANING, TURNED_MEANING, ends
from signxai.timeseries import dft_relevance, stdft_relevance

RANDOM = np.random.default_rng(3)
SIGNAL, RELEVANCE = RANDOM.normal(size=(2, 100)), RANDOM.normal(size=(2, 100))
SPECTRUM = dft_relevance(SIGNAL, RELEVANCE, sampling_rate=50)
SLOPE = "larger values lower the score ← slope → raise it"


def texts(figure):
    return [text.get_text() for text in figure.texts]


# One line


def test_pictures_are_shown_with_their_maps_over_them():
    x, relevance = RANDOM.normal(size=(2, 3, 8, 8)), RANDOM.normal(size=(2, 3, 8, 8))
    figure = signxai.show(torch.tensor(x, requires_grad=True), relevance)
    assert [text for text in texts(figure) if "sample" in text] == ["sample 0", "sample 1"]
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    picture = np.moveaxis((x[1] - x[1].min()) / np.ptp(x[1]), 0, -1)
    np.testing.assert_allclose(shown[2], picture)
    np.testing.assert_allclose(shown[3], overlay_relevance(picture, relevance[1]))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_may_come_last_as_in_keras(channels):
    x, relevance = RANDOM.random((2, channels, 8, 6)), RANDOM.normal(size=(2, channels, 8, 6))
    first = [axes.images[0].get_array() for axes in signxai.show(x, relevance).axes if axes.images]
    for of_last in (np.moveaxis(relevance, 1, 3), relevance.sum(axis=1)):
        last = [axes.images[0].get_array() for axes in signxai.show(np.moveaxis(x, 1, 3), of_last).axes if axes.images]
        np.testing.assert_allclose(last, first)


@pytest.mark.parametrize("shape", [(1, 3, 8, 6), (3, 8, 6), (8, 6)])
def test_a_picture_of_pil_is_shown_with_relevance_of_its_size(shape):
    pixels, relevance = RANDOM.integers(0, 256, (8, 6, 3), dtype=np.uint8), RANDOM.normal(size=shape)
    picture, over = (axes.images[0].get_array() for axes in signxai.show(Image.fromarray(pixels), relevance).axes if axes.images)
    np.testing.assert_allclose(picture, pixels / 255)
    by_pixel = relevance.reshape(-1, 8, 6).sum(axis=0)
    np.testing.assert_allclose(over, overlay_relevance(pixels, by_pixel))


def test_maps_of_several_methods_and_of_channels_summed_up_are_shown():
    x, maps = np.zeros((1, 3, 8, 8)), {"gradient_x_input": np.ones((1, 3, 8, 8)), "grad_cam": np.ones((1, 8, 8))}
    assert {"gradient_x_input", "grad_cam"} <= set(texts(signxai.show(x, maps, overlay=False)))


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((1, 2, 50)), "relevance"),
        (np.zeros((1, 5)), "relevance\ninput: relevance is 0 everywhere"),
        ({"a": np.zeros((1, 5)), "b": np.zeros((1, 2, 50))}, "relevance\nb: relevance is 0 everywhere"),
        ((np.zeros((1, 5)), np.zeros((1, 4))), "relevance\ninput_1: relevance is 0 everywhere"),
    ],
)
def test_signals_lists_and_several_inputs_are_shown(x, said):
    assert said in texts(signxai.show(x, x))


def test_what_explain_gives_is_shown():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(72, 3))
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    figure = signxai.show(x, signxai.explain_all(model, x, ["gradient", "lrp_z"]), rows=[1])
    assert {"sample 1", "gradient\nlowers ← slope → raises", "lrp_z"} <= set(texts(figure))


def test_of_many_samples_the_first_are_shown_with_a_word():
    figure = signxai.show(np.zeros((60, 1, 4, 4)), np.ones((60, 1, 4, 4)))
    assert "".join(texts(figure)).count("sample") == 6
    assert "sample 0 (the first 6 of 60 are shown; rows= chooses others)" in " ".join(texts(figure)).replace("\n", " ")


def test_of_logits_below_0_it_is_said_whose_signs_are_turned():
    x, maps = np.zeros((2, 3, 8, 8)), {"lrp_z": np.ones((2, 3, 8, 8)), "gradient": np.ones((2, 3, 8, 8))}

    def said(maps, **options):
        return [
            " ".join(text.get_text().split())
            for text in signxai.show(x, maps, logits=[-1.5, 2], **options).texts
            if "sample" in text.get_text()
        ]

    assert said(maps) == ["sample 0: logit -1.50; signs turned by lrp_z", "sample 1: logit 2.00"]
    assert said(maps, started_with="logit") == ["sample 0: logit -1.50; signs turned by gradient", "sample 1: logit 2.00"]
    assert said({"lrp_z": maps["lrp_z"]})[0] == "sample 0: logit -1.50; signs turned"
    unnamed = "sample 0: logit -1.50; signs are turned where relevance is a share of it (LRP with z or epsilon)"
    assert said({"mine": maps["lrp_z"]}) == said(maps["lrp_z"]) == [unnamed, "sample 1: logit 2.00"]
    several = signxai.show({"a": x, "b": x}, {"lrp_z": {"a": x + 1, "b": x - 1}}, logits=[-1.5, 2])
    assert "sample 0: logit -1.50; signs turned" in [text.get_text() for text in several.texts]


@pytest.mark.parametrize(
    ("logits", "methods", "meaning"),
    [
        ([-1.0, -2.0], ["lrp_z"], TURNED_MEANING),
        ([1.0, 2.0], ["lrp_z"], MEANING),
        ([-1.0, 2.0], ["lrp_z"], ends([True, False])),
        ([-1.0, -2.0], ["lrp_z", "gradient_x_input"], ends([True, False])),
        ([-1.0, -2.0], ["lrp_z", "gradient"], TURNED_MEANING),
        ([-1.0, -2.0], ["gradient_x_input"], MEANING),
        ([-1.0, -2.0], ["gradient"], SLOPE),
        ([-1.0, -2.0], ["smoothgrad", "vargrad"], SLOPE),
        ([1.0, -2.0], ["mine"], MEANING),
    ],
)
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 2, 40), (2, 5), None])
def test_the_colour_bar_says_which_side_speaks_for_the_class(shape, logits, methods, meaning):
    x = RANDOM.random(shape or (2, 4)) if shape else {"a": RANDOM.random((2, 4)), "b": RANDOM.random((2, 2, 40))}
    figure = signxai.show(x, dict.fromkeys(methods, x), logits=logits)
    assert figure.axes[-1].get_xlabel().split("\n")[0] == meaning


@pytest.mark.parametrize("turned", [[], ["lrp_z"]])
def test_bars_of_ecgs_and_spectra_say_which_side_speaks_for_the_class(turned):
    meaning = TURNED_MEANING if turned else MEANING
    ecg = ecg_map_plots.EcgSample(SIGNAL, {"lrp_z": RELEVANCE}, turned=turned)
    spectrum = spectrum_plots.SpectrumSample(SIGNAL, {"lrp_z": SPECTRUM}, turned=turned)
    for axes in (ecg_map_plots.plot_ecg_maps(ecg, sampling_rate=50)[0], spectrum_plots.plot_spectrum_maps(spectrum)[0][0, 0]):
        assert axes.figure.figure.axes[-1].get_xlabel() == meaning
    two = ecg_map_plots.plot_ecg_maps([ecg, ecg], sampling_rate=50)[0].figure
    assert two.axes[-1].get_xlabel().split("\n")[0] == meaning


@pytest.mark.parametrize("logit", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(logit):
    with pytest.raises(InputError, match=r"sample 1 is (nan|inf)"):
        signxai.show(np.zeros((2, 3, 8, 8)), np.ones((2, 3, 8, 8)), logits=[1.0, logit])


@pytest.mark.parametrize(("options", "error"), [({"logits": [1.0]}, InputError), ({"started_with": "both"}, OptionError)])
def test_logits_that_are_not_of_the_samples_are_refused(options, error):
    with pytest.raises(error):
        signxai.show(np.zeros((2, 3, 8, 8)), np.ones((2, 3, 8, 8)), **options)


def test_a_notebook_shows_the_figure():
    assert signxai.show(np.zeros((1, 1, 4, 4)), np.ones((1, 1, 4, 4)))._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("x", "relevance", "options", "error", "words"),
    [
        (np.zeros((3, 64, 64)), np.zeros((3, 64, 64)), {}, InputError, r"3 signals of 64 leads.*x\[None\]"),
        (np.zeros((2, 3, 8, 8)), np.zeros((1, 3, 8, 8)), {}, InputError, r"\(1, 3, 8, 8\).*\(2, 3, 8, 8\)"),
        (np.zeros((3, 32, 32)), np.zeros((3, 32, 32)), {}, InputError, r"3 signals of 32 leads.*x\[None\]"),
        (np.zeros((1, 28, 28)), np.zeros((1, 28, 28)), {}, InputError, r"1 signals of 28 leads.*signal_figure"),
        (np.zeros((1, 6, 6, 3)), np.zeros((1, 6, 5, 3)), {}, InputError, "is no relevance"),
        (Image.new("RGB", (6, 4)), np.zeros((3, 6, 4)), {}, InputError, "4 high and 6 wide.*cropped"),
        (Image.new("RGB", (6, 4)), np.zeros((2, 3, 4, 6)), {}, InputError, "4 high and 6 wide"),
        ("a text", np.zeros((1, 2)), {}, InputError, "cannot be drawn"),
        (np.zeros((1, 1, 4, 4)), np.full((1, 1, 4, 4), np.nan), {}, InputError, "NaN"),
        (np.zeros((1, 2, 40)), np.full((1, 2, 40), np.inf), {}, InputError, "infinity"),
        (np.zeros((1, 4)), np.full((1, 4), np.nan), {}, InputError, "NaN"),
        (np.zeros((2, 5)), {"lrp_z": np.zeros((2, 4))}, {}, InputError, r"'lrp_z'.*\(2, 4\)"),
        (np.zeros(5), np.zeros(5), {}, InputError, r"\(5,\) cannot be drawn"),
        (np.zeros((2, 5)), np.zeros((2, 5)), {"rows": [2]}, OptionError, "0 to 1"),
        ({}, {}, {}, InputError, "none"),
    ],
)
def test_what_cannot_be_shown_is_refused(x, relevance, options, error, words):
    with pytest.raises(error, match=words):
        signxai.show(x, relevance, **options)


# Axes of one's own


IMAGE = map_plots.Sample(np.zeros((4, 4)), {"gradient": np.eye(4), "lrp_epsilon_0_25_std_x": np.eye(4)}, "a heading")
LEADS = map_plots.Sample(SIGNAL, {"gradient": RELEVANCE})
ECG = ecg_map_plots.EcgSample(SIGNAL, {"gradient": RELEVANCE, "lrp_z": RELEVANCE})
TOKENS = text_plots.TokenPanel(["a", " b"], np.array([1.0, -1.0]), "a text")
SEVERAL = input_plots.InputsSample({"ecg": SIGNAL, "meta": np.ones(2)}, {"lrp_z": {"ecg": RELEVANCE, "meta": np.ones(2)}})
CURVES = comparison_plots.CurvePanel("srg", ["a", "b"], np.arange(3.0), {"most": (np.zeros((2, 3)), np.zeros((2, 3, 2)))}, "steps", "score")
SUMS = SimpleNamespace(
    lead_names=("I", "II"),
    beats=SimpleNamespace(positions=np.array([20, 70]), symbols=("N", "V")),
    sampling_rate=50.0,
    start=0,
    part=np.zeros(100, dtype=int),
    by_lead=lambda: np.stack([np.maximum(RELEVANCE, 0).sum(axis=1), np.minimum(RELEVANCE, 0).sum(axis=1)], axis=-1),
    by_part=lambda: np.ones((5, 2)),
    by_beat=lambda: np.ones((2, 2)),
)
RANKS = comparison_plots.RankPanel("ranks", ["a", "b"], np.array([1.0, 2.0]), 0.5)

ON_AXES = {
    "maps of a picture": (2, partial(map_plots.image_figure, IMAGE)),
    "a picture and its maps": (3, partial(map_plots.image_figure, IMAGE, overlay=True)),
    "a map of a signal": (1, partial(map_plots.signal_figure, LEADS)),
    "several inputs": (2, partial(input_plots.inputs_figure, SEVERAL)),
    "an ECG": (1, partial(ecg_plots.plot_ecg, SIGNAL, RELEVANCE, sampling_rate=50)),
    "maps of an ECG": (2, partial(ecg_map_plots.plot_ecg_maps, ECG, sampling_rate=50)),
    "a spectrum": ((2, 2), partial(spectrum_plots.plot_spectrum, SIGNAL, SPECTRUM)),
    "a spectrogram": (
        2,
        partial(spectrum_plots.plot_spectrogram, stdft_relevance(SIGNAL, RELEVANCE, window_length=20, sampling_rate=50)),
    ),
    "a summary": (4, partial(summary_plots.plot_summary, SIGNAL, RELEVANCE, SUMS)),
    "tokens": (1, partial(text_plots.plot_tokens, TOKENS)),
    "several tokens": (2, partial(text_plots.plot_several_tokens, [TOKENS, TOKENS])),
    "a matrix of tokens": (1, partial(text_plots.plot_token_matrix, np.eye(2), ["a", "b"], ["b", "c"], [1, 2])),
    "curves": (1, partial(comparison_plots.curves_figure, CURVES)),
    "agreement": (1, partial(comparison_plots.agreement_figure, ["a", "b"], np.eye(2))),
    "ranks": (1, partial(comparison_plots.ranks_figure, RANKS)),
    "a comparison": (3, partial(comparison_plots.comparison_figure, [CURVES], ["a", "b"], np.eye(2), [RANKS])),
    "what is shown": (1, partial(signxai.show, np.zeros((1, 3, 8, 8)), np.ones((1, 3, 8, 8)))),
}


def axes_of(shape):
    rows, columns = shape if isinstance(shape, tuple) else (1, shape)
    figure = Figure(figsize=(4 * columns, 4 * rows))
    return figure, figure.subplots(rows, columns)


@pytest.mark.parametrize("name", ON_AXES)
def test_every_figure_is_drawn_on_axes_that_are_given(name):
    shape, draw = ON_AXES[name]
    figure, axes = axes_of(shape)
    empty = [each for each in np.ravel(axes) if not each.has_data() and not each.child_axes]
    draw(axes=axes)
    laid_out(figure)
    assert len(empty) == np.size(axes)
    assert all(each.has_data() or each.child_axes or each.texts for each in np.ravel(axes))


def test_no_figure_of_the_package_lacks_the_argument():
    modules = [importlib.import_module(f"signxai.figures.{found.name}") for found in pkgutil.iter_modules(figures.__path__)]
    drawing = [
        function
        for module in modules
        for name, function in vars(module).items()
        if name in module.__all__ and inspect.isfunction(function) and (name.startswith("plot_") or name.endswith("_figure"))
    ]
    assert len(drawing) == len(set(drawing)) == 16
    assert [function.__name__ for function in drawing if "axes" not in inspect.signature(function).parameters] == []


@pytest.mark.parametrize("name", ["maps of a picture", "maps of an ECG", "a spectrum", "a summary", "several tokens", "a comparison"])
def test_another_number_of_axes_is_refused(name):
    axes = axes_of(5)[1]
    with pytest.raises(InputError, match=r"5 axes for \d"):
        ON_AXES[name][1](axes=axes)


def test_maps_on_axes_have_their_names_and_one_colour_bar():
    figure, axes = axes_of(2)
    assert map_plots.image_figure(IMAGE, axes=axes) is figure
    assert [each.get_title() for each in axes] == ["gradient\nlowers ← slope → raises", "lrp_epsilon_0_25_std_x"]
    assert len(figure.axes) == 3
    np.testing.assert_array_equal(axes[0].images[0].get_array(), normalize_relevance_map(np.eye(4)))


# Overlays


def test_an_overlay_shows_the_picture_where_nothing_speaks_and_the_colour_where_relevance_is_strongest():
    picture = RANDOM.random((4, 4, 3))
    relevance = np.zeros((4, 4))
    relevance[0, :3] = 1.0, -1.0, 0.25
    over = overlay_relevance(picture, relevance, percentile=100)
    gray = (picture @ [0.2126, 0.7152, 0.0722])[..., None].repeat(3, axis=-1)
    np.testing.assert_allclose(over[1:], gray[1:])
    np.testing.assert_allclose(over[0, :2], relevance_to_heatmap([1.0, -1.0], cmap="coolwarm"))
    np.testing.assert_allclose(over[0, 2], 0.5 * gray[0, 2] + 0.5 * relevance_to_heatmap([1.0, 0.25], cmap="coolwarm")[1])
    np.testing.assert_allclose(overlay_relevance(picture, relevance, gray=False)[1:], picture[1:])
    np.testing.assert_allclose(overlay_relevance(picture, np.stack([relevance, relevance]), percentile=100), over)


def test_options_of_the_plain_overlay_leave_it_as_it_is_by_default():
    picture, heatmap = RANDOM.random((4, 4, 3)), RANDOM.random((4, 4, 3))
    np.testing.assert_allclose(overlay_heatmap(picture, heatmap, 0.3), 0.7 * picture + 0.3 * heatmap)
    np.testing.assert_allclose(overlay_heatmap(picture, heatmap, 0.3, opacity=np.ones((4, 4))), 0.7 * picture + 0.3 * heatmap)
    np.testing.assert_allclose(overlay_heatmap(picture, heatmap, 0.3, opacity=np.zeros((2, 2))), picture)


@pytest.mark.parametrize("relevance", [np.zeros(4), np.zeros((1, 3, 4, 4))])
def test_an_overlay_of_what_is_no_picture_is_refused(relevance):
    with pytest.raises(InputError, match=r"\(H, W\), \(C, H, W\) or \(H, W, C\)"):
        overlay_relevance(np.zeros((4, 4)), relevance)


# Pages


SAMPLES = [map_plots.Sample(np.zeros((4, 4)), {"gradient": np.eye(4)}, f"picture {number}") for number in range(40)]


def test_what_no_page_holds_is_refused_and_drawn_on_several():
    with pytest.raises(InputError, match=r"inches high.*pages"):
        map_plots.image_figure(SAMPLES)
    drawn = list(pages(map_plots.image_figure, SAMPLES, per_page=15))
    names = [text for figure in drawn for text in texts(figure) if "picture" in text]
    assert names == [sample.heading for sample in SAMPLES]
    assert 10 < max(figure.get_figheight() for figure in drawn) <= 20


def test_pages_have_as_many_samples_as_are_asked_for_where_they_fit():
    drawn = list(pages(map_plots.image_figure, SAMPLES[:7], per_page=3))
    assert [sum("picture" in text for text in texts(figure)) for figure in drawn] == [3, 3, 1]


def test_no_page_of_frequencies_is_higher_than_two_printed_ones():
    samples = [spectrum_plots.SpectrumSample(SIGNAL, {"gradient": SPECTRUM}, f"class {number}") for number in range(9)]
    drawn = list(pages(lambda some: spectrum_plots.plot_spectrum_maps(some)[0][0, 0].figure.figure, samples, per_page=8))
    assert len(drawn) > 1
    assert max(figure.get_figheight() for figure in drawn) <= 20


def with_maps(count, heading):
    return map_plots.Sample([0.0], {f"method {number}": [1.0] for number in range(count)}, heading)


def below_each_other(samples):
    """A page with maps of three inches each below each other."""
    figure = Figure(figsize=(4, 3 * sum(len(sample.maps) for sample in samples)))
    for sample in samples:
        for text in (sample.heading, *sample.maps):
            figure.text(0, 0, text)
    return figure


def beside_each_other(height, samples):
    figure = below_each_other(samples)
    figure.set_figheight(height + 0.1 * len(samples[0].maps))
    return figure


def test_a_sample_that_is_high_alone_has_its_maps_on_several_pages():
    drawn = list(pages(below_each_other, [with_maps(10, "cat"), with_maps(10, "dog")], per_page=2))
    assert [figure.get_figheight() for figure in drawn] == [18, 12, 18, 12]
    shown = [texts(figure) for figure in drawn]
    assert [each[0] for each in shown] == [f"{pet}; maps {which} of 10" for pet in ("cat", "dog") for which in ("1 to 6", "7 to 10")]
    assert [text for each in shown[:2] for text in each[1:]] == list(with_maps(10, "").maps)


def test_one_map_on_the_last_page_is_said_to_be_one():
    *_, last = pages(below_each_other, [with_maps(7, "cat")])
    assert texts(last) == ["cat; map 7 of 7", "method 6"]


def test_maps_that_are_high_beside_each_other_stay_together():
    [drawn] = pages(partial(beside_each_other, 40), [with_maps(5, "eighty leads")])
    assert texts(drawn)[0] == "eighty leads"


def test_no_page_of_ecgs_or_spectra_is_too_high_but_that_of_a_sample_alone():
    with pytest.raises(PageError, match="80 samples"):
        ecg_map_plots.plot_ecg_maps([ECG] * 80, sampling_rate=50)
    with pytest.raises(PageError, match="80 samples"):
        spectrum_plots.plot_spectrum_maps([spectrum_plots.SpectrumSample(SIGNAL, {"gradient": SPECTRUM})] * 80)
    check_height(HIGHEST + 1, 1)


@pytest.mark.parametrize("several", [False, True])
def test_a_single_map_is_said_to_be_by_its_method(several):
    x, relevance = np.zeros((2, 3, 8, 8)), np.ones((2, 3, 8, 8))
    figure = signxai.show((x,), (relevance,), method="gradient") if several else signxai.show(x, relevance, method="gradient")
    assert figure.axes[-1].get_xlabel().startswith("larger values lower the score ← slope → raise it")
    assert [text for text in texts(figure) if text.startswith("gradient")]
    by_method = {"lrp_z": (relevance,) if several else relevance}
    with pytest.raises(OptionError, match="is by method already: lrp_z"):
        signxai.show((x,) if several else x, by_method, method="gradient")


def test_pages_are_written_into_one_document_or_numbered_pictures(tmp_path):
    drawn = list(pages(map_plots.image_figure, SAMPLES[:3], per_page=1))
    assert save_pages(drawn, tmp_path / "maps.pdf") == [tmp_path / "maps.pdf"]
    assert (tmp_path / "maps.pdf").read_bytes().count(b"/Type /Page ") == 3
    assert [path.name for path in save_pages(drawn, tmp_path / "maps.png")] == ["maps.png", "maps-2.png", "maps-3.png"]


def test_no_page_and_no_sample_on_one_are_refused(tmp_path):
    with pytest.raises(InputError):
        pages(map_plots.image_figure, [])
    with pytest.raises(OptionError):
        pages(map_plots.image_figure, SAMPLES, per_page=0)
    with pytest.raises(InputError):
        save_pages([], tmp_path / "maps.pdf")


BROKEN = np.where(np.arange(100) == 7, np.nan, RELEVANCE)
NOT_FINITE = {
    "an overlay": partial(overlay_relevance, np.zeros((4, 4)), np.full((4, 4), np.nan)),
    "a picture": partial(map_plots.image_figure, map_plots.Sample(np.zeros((4, 4)), {"lrp_z": np.full((4, 4), np.nan)})),
    "a signal": partial(map_plots.signal_figure, map_plots.Sample(SIGNAL, {"lrp_z": BROKEN})),
    "an ECG": partial(ecg_plots.plot_ecg, SIGNAL, BROKEN, sampling_rate=50),
    "several inputs": partial(input_plots.inputs_figure, input_plots.InputsSample({"a": SIGNAL}, {"lrp_z": {"a": BROKEN}})),
    "tokens": partial(text_plots.plot_tokens, text_plots.TokenPanel(["a"], np.array([np.nan]), "")),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_relevance_that_is_no_number_is_not_drawn_as_if_nothing_spoke_there(name):
    with pytest.raises(InputError, match="NaN"):
        NOT_FINITE[name]()
