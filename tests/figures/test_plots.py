"""Figures say what they show, on one scale, and no two things in them overlap."""

import re
from functools import cache

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection

from boxes import assert_nothing_overlaps, laid_out
from processes import loaded
from signxai.common import InputError
from signxai.common.visualization import normalize_relevance_map
from signxai.figures.lines import in_lines
from signxai.figures.map_plots import Sample, heading, image_figure, signal_figure

RANDOM = np.random.default_rng(0)
LONG = "lrpsign_epsilon_0_6_std_x_mu_0_3_x_input_x_sign_mu_neg_0_5_VGG16ILSVRC"
NAMES = ["gradient", "lrp_epsilon_0_25_std_x", LONG, "grad_cam", "smoothgrad", "lrp_z", "vargrad", "deconvnet"]


def image_sample(count=8, side=32, text="cat.png: predicted tiger cat (logit 9.25)"):
    maps = {name: RANDOM.normal(size=(3, side, side)) for name in NAMES[:count]}
    return Sample(RANDOM.random((side, side, 3)), maps, text)


def signal_sample(leads=3, count=3, length=50):
    maps = {name: RANDOM.normal(size=(leads, length)) for name in NAMES[:count]}
    return Sample(RANDOM.normal(size=(leads, length)), maps, "ecg.npy: predicted class 1 (logit 0.50)")


def texts(figure):
    labels = [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
    return [text.get_text() for text in [*figure.texts, *labels] if text.get_text()]


def title(name):
    """A title as it is drawn, without its line breaks."""
    return name.replace("\n", "")


def images(figure):
    return [image for axes in figure.axes for image in axes.images]


# What the figures say


def test_the_heading_names_the_predicted_class_and_its_logit():
    assert heading("tabby", 7.456) == "predicted tabby (logit 7.46)"
    assert heading("tabby", 7.456, "tabby", 7.456) == heading("tabby", 7.456)


def test_the_heading_names_the_explained_class_where_it_is_another_one():
    said = heading("tabby", 7.456, "lynx", -1.0)
    assert all(part in said for part in ("predicted tabby (logit 7.46)", "explained lynx (logit -1.00)"))


def test_the_heading_gives_the_probability_of_each_class():
    said = heading("tabby", 7.456, "lynx", -1.0, probability=0.93124, explained_probability=0.0007)
    assert said == "predicted tabby: 93.12 % (logit 7.46), explained lynx: 0.07 % (logit -1.00)"


# How names break


@pytest.mark.parametrize("name", [*NAMES, "smoothgrad_noise_0_3_samples_20_x_sign", "lrp_alpha_2_beta_1"])
def test_a_name_breaks_between_its_words_and_never_within_a_number(name):
    for letters in range(14, 40):
        lines = in_lines(name, letters)
        assert "".join(lines) == name
        assert max(map(len, lines)) <= letters
        assert all(line.endswith("_") for line in lines[:-1])
        assert not any(line[0].isdigit() for line in lines)


def test_text_breaks_at_spaces_and_what_is_longer_than_a_line_where_it_ends():
    assert in_lines("cat.png: predicted tiger cat", 12) == ["cat.png:", "predicted", "tiger cat"]
    assert in_lines("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]


@pytest.mark.parametrize(("figure_of", "sample"), [(image_figure, image_sample()), (signal_figure, signal_sample())])
def test_every_method_has_a_title_and_the_scale_a_label(figure_of, sample):
    said = [title(text) for text in texts(figure_of(sample))]
    names = [title(re.sub(r"\n[^\n]* ← [^\n]*$", "", text)) for text in texts(figure_of(sample))]  # without what slopes say
    assert said.count("input") == 1
    assert [text for text in names if text in sample.maps] == list(sample.maps)
    assert sample.heading in said
    assert any("relevance" in text and "99 %" in text for text in said)


def test_the_label_of_the_scale_follows_the_percentile():
    assert any("95 %" in text for text in texts(image_figure(image_sample(1), percentile=95)))


# What the figures show


def test_a_panel_shows_the_channel_sum_normalized_on_the_one_scale():
    sample = image_sample()
    shown = images(image_figure(sample, percentile=90))
    np.testing.assert_array_equal(shown[0].get_array(), sample.x)
    for image, relevance in zip(shown[1:], sample.maps.values(), strict=True):
        np.testing.assert_allclose(image.get_array(), normalize_relevance_map(relevance.sum(axis=0), 90), atol=1e-12)
        assert image.get_clim() == (-1, 1)
        assert image.get_cmap() == shown[1].get_cmap()


def test_the_colour_bar_runs_over_the_panels_scale_in_the_panels_colours():
    figure = image_figure(image_sample(1), cmap="seismic")
    bar = figure.axes[-1]
    assert bar.get_xlim() == (-1, 1)
    assert images(figure)[1].get_cmap().name == "seismic"
    [mesh] = [item for item in bar.collections if item.get_cmap().name == "seismic" and item.get_array() is not None]
    assert mesh.norm is images(figure)[1].norm


def test_a_sample_from_a_batch_of_one_and_a_map_without_channels_are_the_same():
    relevance = RANDOM.normal(size=(1, 3, 8, 8))
    picture = np.zeros((8, 8))
    forms = [relevance, relevance[0], relevance[0].sum(axis=0)]
    shown = [images(image_figure(Sample(picture, {"gradient": form})))[1].get_array() for form in forms]
    np.testing.assert_array_equal(shown[0], shown[1])
    np.testing.assert_allclose(shown[0], shown[2], atol=1e-12)


def test_every_sample_has_its_heading_its_image_and_its_maps():
    samples = [image_sample(2, text=f"{name}: predicted dog (logit 1.00)") for name in ("a.png", "b.png", "c.png")]
    figure = image_figure(samples)
    assert len(images(figure)) == 3 * (1 + 2)
    assert [text for text in texts(figure) if "predicted" in text] == [sample.heading for sample in samples]


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(32, 32), (224, 224), (100, 150)])
def test_each_pixel_is_drawn_as_it_is_by_as_many_dots_give_or_take_one(height, width):
    chessboard = np.indices((height, width)).sum(axis=0) % 2 * 2.0 - 1.0  # any smoothing would show in it
    figure = image_figure(Sample(np.zeros((height, width)), dict.fromkeys(NAMES, chessboard)), cmap="bwr")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for image in images(figure)[1:]:
        dots = blue_or_red_inside(np.asarray(canvas.buffer_rgba())[::-1], image.get_window_extent())
        edges = np.flatnonzero(np.diff(dots[len(dots) // 2])), np.flatnonzero(np.diff(dots[:, len(dots[0]) // 2]))
        dots_of_a_pixel = {*np.diff(edges[0]), *np.diff(edges[1])}
        assert max(dots_of_a_pixel) - min(dots_of_a_pixel) <= 1  # matplotlib before 3.11 rounds each edge by itself


def blue_or_red_inside(dots, box):
    """True where a dot is red, False where it is blue, within the frame; another colour is an error."""
    inner = dots[int(box.y0) + 3 : int(box.y1) - 3, int(box.x0) + 3 : int(box.x1) - 3, :3]
    assert {tuple(colour) for colour in np.unique(inner.reshape(-1, 3), axis=0)} == {(255, 0, 0), (0, 0, 255)}
    return inner[..., 0] == 255


def test_a_signal_has_a_row_per_lead_and_its_trace_the_colours_of_its_relevance():
    sample = signal_sample(leads=3, count=1)
    figure = signal_figure(sample, leads=["I", "II", "V6"])
    rows = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_ylabel() for axes in rows] == ["I", "II", "V6"] * 2
    expected = normalize_relevance_map(sample.maps["gradient"])
    for lead, axes in enumerate(rows[3:]):
        [line] = [item for item in axes.collections if isinstance(item, LineCollection)]
        assert line.get_clim() == (-1, 1)
        at = {segment[1][0]: value for segment, value in zip(line.get_segments(), line.get_array(), strict=True)}
        np.testing.assert_allclose([at[time] for time in range(50)], expected[lead])
        np.testing.assert_allclose([segment[1][1] for segment in line.get_segments()], sample.x[lead][[int(time) for time in at]])
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), sample.x[lead])


def test_the_strongest_relevance_is_drawn_last():
    line = signal_figure(signal_sample(leads=1, count=1)).axes[1].collections[0]
    assert np.all(np.diff(np.abs(line.get_array())) >= 0)


def test_the_axis_of_a_signal_is_labelled_and_can_be_in_seconds():
    assert "time (samples)" in texts(signal_figure(signal_sample()))
    figure = signal_figure(signal_sample(length=50), sampling_rate=100, x_label="time (s)")
    assert "time (s)" in texts(figure)
    assert figure.axes[0].lines[0].get_xdata()[-1] == pytest.approx(0.49)


def test_the_middle_of_a_signals_colours_shows_on_white():
    line = signal_figure(signal_sample(leads=1, count=1)).axes[1].collections[0]
    assert max(matplotlib.colormaps[line.get_cmap().name](0.5)[:3]) < 0.9


# How they look


FIGURES = {
    "eight maps": lambda: image_figure(image_sample()),
    "one map": lambda: image_figure(image_sample(1)),
    "two samples": lambda: image_figure([image_sample(6), image_sample(6, text="b.png: " + "a very long name of a class " * 12)]),
    "a strip": lambda: image_figure(Sample(np.zeros((4, 200)), {LONG: np.ones((4, 200))}, "strip")),
    "a column": lambda: image_figure(Sample(np.zeros((200, 4)), {LONG: np.ones((200, 4))}, "column")),
    "large image": lambda: image_figure(image_sample(2, side=900)),
    "one lead": lambda: signal_figure(signal_sample(leads=1, count=4)),
    "twelve leads": lambda: signal_figure([signal_sample(leads=12), signal_sample(leads=12)]),
    "one value": lambda: signal_figure(Sample([1.0], {"gradient": [2.0]})),
}


@cache
def figure_called(name):
    """One figure for all tests that only look at it."""
    return laid_out(FIGURES[name]())


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_overlaps_and_nothing_leaves_the_page(name):
    assert_nothing_overlaps(figure_called(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_too_small_to_read(name):
    figure = figure_called(name)
    assert min(text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()) >= 9


def test_eight_maps_and_their_image_stand_in_three_rows_of_three():
    boxes = [image.axes.get_position() for image in images(image_figure(image_sample()))]
    assert len({round(box.x0, 3) for box in boxes}) == len({round(box.y0, 3) for box in boxes}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_is_out_of_proportion(name):
    width, height = figure_called(name).get_size_inches()
    assert 1 / 4 < height / width < 4


def test_a_dollar_sign_is_no_formula(tmp_path):
    figure = image_figure(image_sample(1, text=r"a$\b_{$.png: predicted dog (logit 1.00)"))
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_pyplot_and_its_global_state_stay_out_of_it():
    drawing = "image_figure(Sample(np.zeros((4, 4)), {'gradient': np.ones((4, 4))}))"
    assert loaded(f"import numpy as np; from signxai.figures.map_plots import *; {drawing}", "matplotlib.pyplot") == []


# Mistakes


@pytest.mark.parametrize(
    ("figure_of", "samples", "words"),
    [
        (image_figure, [], "at least one"),
        (image_figure, Sample(np.zeros((4, 4)), {"vargrad": np.zeros(4)}), r"'vargrad'.*\(4,\)"),
        (image_figure, Sample(np.zeros((4, 4)), {"vargrad": np.zeros((2, 3, 4, 4))}), r"'vargrad'.*\(2, 3, 4, 4\)"),
        (image_figure, Sample(np.full((4, 4), 300.0), {}), "300"),
        (signal_figure, [], "at least one"),
        (signal_figure, Sample(np.zeros((2, 9)), {"vargrad": np.zeros((2, 8))}), r"'vargrad'.*\(2, 9\).*\(2, 8\)"),
        (signal_figure, Sample(np.zeros((2, 3, 9)), {}), r"\(2, 3, 9\)"),
        (signal_figure, Sample([], {}), r"\(0,\)"),
    ],
)
def test_what_does_not_fit_is_refused(figure_of, samples, words):
    with pytest.raises(InputError, match=words):
        figure_of(samples)


def test_leads_without_names_and_names_without_leads_are_refused():
    with pytest.raises(InputError, match="2 names for 3 leads"):
        signal_figure(signal_sample(leads=3), leads=["I", "II"])


def test_an_input_that_is_no_picture_is_refused_with_what_shows_it():
    with pytest.raises(InputError, match=r"from -2 to 2.*signxai\.show"):
        image_figure(Sample(np.linspace(-2, 2, 16).reshape(4, 4), {"gradient": np.eye(4)}))
