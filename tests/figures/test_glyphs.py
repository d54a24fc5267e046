"""Names in any script: figures are drawn without a warning, by a font that has the letters, or with the letters' codes."""

import re
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from signxai import show
from signxai.figures import comparison_plots, ecg_map_plots, ecg_plots, input_plots, map_plots, spectrum_plots, summary_plots, text_plots
from signxai.figures.glyphs import drawable, readable
from signxai.figures.lines import in_lines

NONE = "\ue123"  # a letter for private use, which no font has
NAME = f"猫{NONE}.png"
CODE = r"\ue123"
SIGNAL, RELEVANCE = np.random.default_rng(0).normal(size=(2, 2, 200))
PICTURE = np.zeros((3, 8, 8))
SPECTRAL = SimpleNamespace(relevance=np.ones((2, 101)), frequencies=np.arange(101.0))
SUMS = SimpleNamespace(
    lead_names=(NAME, "II"),
    beats=SimpleNamespace(positions=np.array([50, 150]), symbols=(NAME, "V")),
    sampling_rate=100.0,
    start=0,
    part=np.zeros(200, int),
    by_lead=lambda: np.stack([np.maximum(RELEVANCE, 0).sum(axis=1), np.minimum(RELEVANCE, 0).sum(axis=1)], axis=-1),
    by_beat=lambda: np.ones((2, 2)),
    by_part=lambda: np.ones((5, 2)),
)
PANEL = text_plots.TokenPanel([NAME, " b"], np.array([1.0, -1.0]), NAME)
NAMES, HERTZ = (NAME, "II"), {"sampling_rate": 100}
FIGURES = {
    "pictures": partial(map_plots.image_figure, map_plots.Sample(PICTURE, {NAME: PICTURE}, NAME)),
    "signals": partial(map_plots.signal_figure, map_plots.Sample(SIGNAL, {NAME: RELEVANCE}, NAME), leads=NAMES),
    "several inputs": partial(
        input_plots.inputs_figure,
        input_plots.InputsSample({NAME: np.ones(2)}, {NAME: {NAME: np.ones(2)}}, NAME),
        names={NAME: [NAME, "b"]},
    ),
    "an ECG": partial(
        ecg_plots.plot_ecg, SIGNAL, RELEVANCE, sampling_rate=100, lead_names=NAMES, title=NAME, r_peaks=[9], beat_labels=[NAME]
    ),
    "maps of ECGs": partial(
        ecg_map_plots.plot_ecg_maps, ecg_map_plots.EcgSample(SIGNAL, {NAME: RELEVANCE}, NAME, NAMES), sampling_rate=100
    ),
    "a spectrum": partial(spectrum_plots.plot_spectrum, SIGNAL, SPECTRAL, lead_names=NAMES, title=NAME),
    "maps of spectra": partial(spectrum_plots.plot_spectrum_maps, spectrum_plots.SpectrumSample(SIGNAL, {NAME: SPECTRAL}, NAME, NAMES)),
    "a spectrogram": partial(
        spectrum_plots.plot_spectrogram,
        SimpleNamespace(relevance=np.ones((2, 4, 101)), frequencies=np.arange(101.0), times=np.arange(4.0)),
        lead_names=NAMES,
        title=NAME,
    ),
    "a summary": partial(summary_plots.plot_summary, SIGNAL, RELEVANCE, SUMS, title=NAME),
    "tokens": partial(text_plots.plot_tokens, PANEL),
    "rows of tokens": partial(text_plots.plot_several_tokens, [PANEL, PANEL]),
    "a matrix of tokens": partial(text_plots.plot_token_matrix, np.eye(2), [NAME, "b"], ["b", NAME], [1, 2], title=NAME),
    "agreement": partial(comparison_plots.agreement_figure, [NAME, "gradient"], np.eye(2)),
}


def figure_of(drawn):
    if isinstance(drawn, Figure):
        return drawn
    first = drawn
    while isinstance(first, (list, np.ndarray)):
        first = first[0]
    figure = first.figure
    while not isinstance(figure, Figure):
        figure = figure.figure
    return figure


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_warns_of_letters_that_no_font_has_and_their_codes_are_read(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figure_of(FIGURES[name]())
        figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text"))]
    assert not [text for text in texts if NONE in text]
    assert CODE in re.sub(r"\s", "", "".join(texts))


@pytest.mark.parametrize("named", [NAME, "tabby"])
def test_maps_on_axes_of_ones_own_are_drawn_without_a_warning(named):
    axes = Figure().subplots(1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        show(PICTURE[None], {named: PICTURE[None]}, axes=axes).draw_without_rendering()
    assert axes.get_title() == drawable(named)


def test_a_font_that_has_the_letters_draws_them():
    figure = Figure()
    text = figure.text(0, 0, "\U0001d49c\u0416")  # a script letter, which matplotlib brings in STIXGeneral and not in its usual font
    readable(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    assert text.get_text() == "\U0001d49c\u0416"
    assert text.get_fontfamily()[0] == "sans-serif"
    assert len(text.get_fontfamily()) == 2


def test_letters_as_wide_as_two_have_room_in_a_line():
    assert [len(line) for line in in_lines("가" * 25, 10)] in ([5] * 5, [len(line) for line in in_lines(drawable("가" * 25), 10)])
