"""Figures on axes of one's own: letters of that figure's size, no text cut, no name broken within its numbers."""

import re

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import signxai
from boxes import laid_out, within
from signxai.figures.ecg_map_plots import EcgSample, plot_ecg_maps
from signxai.figures.ecg_plots import STANDARD_LEADS, plot_ecg
from signxai.figures.lines import in_lines

RANDOM = np.random.default_rng(0)
LONG, SHORT = "lrpsign_epsilon_0_25_std_x", "lrp_epsilon_0_1"
BEATS = np.sin(np.arange(500) / 16)[None].repeat(2, axis=0) ** 15


def shown(shape):
    values = RANDOM.random(shape)
    return lambda axes: signxai.show(values, {LONG: values, SHORT: values}, axes=axes)


DRAWN = {
    "pictures": shown((1, 3, 16, 16)),
    "signals": shown((1, 2, 100)),
    "an ECG": lambda axes: plot_ecg(BEATS, BEATS, sampling_rate=100, lead_names=["MLII", "V1"], title=f"{SHORT} of a beat", axes=axes[0]),
}


def drawn(name, layout, size):
    figure = Figure(figsize=(3.4, 2.4), layout=layout)
    with matplotlib.rc_context({"font.size": size}):
        DRAWN[name](figure.subplots(1, 2))
        return laid_out(laid_out(figure))  # as ``savefig`` does: constrained layout comes to rest in its second turn


def texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


@pytest.mark.parametrize("layout", ["constrained", None])
@pytest.mark.parametrize("name", DRAWN)
def test_no_text_is_cut_on_axes_of_a_small_figure(name, layout):
    figure = drawn(name, layout, 7)
    assert within(figure.get_tightbbox().padded(-0.02), figure.bbox_inches)  # titles, labels and numbers included


@pytest.mark.parametrize("name", DRAWN)
def test_letters_are_as_large_as_the_figures(name):
    sizes = {size: sorted(text.get_fontsize() for text in texts(drawn(name, "constrained", size))) for size in (6.0, 8.0)}
    assert max(sizes[6.0]) <= 1.2 * 6.0
    assert max(sizes[8.0]) == pytest.approx(max(sizes[6.0]) * 8 / 6)


@pytest.mark.parametrize("letters", range(6, 30))
def test_names_are_not_broken_within_a_number(letters):
    for name in (LONG, SHORT, "lrp_alpha_1_5_beta_0_5"):
        lines = in_lines(name, letters)
        assert "".join(lines) == name
        for number in re.findall(r"\d+(?:_\d+)*", name):
            assert any(number in line for line in lines)


def test_what_twelve_leads_hide_is_said_within_the_page():
    signal = RANDOM.normal(size=(12, 400))
    sample = EcgSample(signal, {SHORT: signal}, "a stretch of four seconds", STANDARD_LEADS, 2.0)
    figure = laid_out(plot_ecg_maps(sample, sampling_rate=100)[0].figure)
    label = figure.axes[0].xaxis.label
    assert "is not shown" in " ".join(label.get_text().split())
    assert within(label.get_window_extent(), figure.bbox)
    assert not label.get_window_extent().overlaps(figure.axes[1].get_window_extent())


def test_what_a_shared_bar_means_is_within_a_narrow_page():
    samples = [EcgSample(BEATS[:, :80], {SHORT: BEATS[:, :80]}, turned=turned) for turned in ([], [SHORT])]
    figure = laid_out(plot_ecg_maps(samples, sampling_rate=100)[0].figure)
    assert within(figure.axes[-1].xaxis.label.get_window_extent(), figure.bbox)
