"""Figures of frequencies show the signal's amplitudes and the relevance they were given, where it belongs, on one scale."""

import itertools
import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.text import Text

from boxes import laid_out
from processes import loaded
from signxai.common import InputError, OptionError
from signxai.figures.ecg_plots import STANDARD_LEADS
from signxai.figures.spectrum_plots import SpectrumSample, highest_telling, plot_spectrogram, plot_spectrum, plot_spectrum_maps
from signxai.methods.sign_words import MEANING
from signxai.timeseries.frequency import dft_relevance, stdft_relevance

RATE = 100


def drawn(leads, n=300):
    random = np.random.default_rng(0)
    return random.normal(size=(leads, n)) + 2, random.normal(size=(leads, n))


def spectrum(leads=2, n=300, highest=math.inf, **options):
    signal, relevance = drawn(leads, n)
    spectral = dft_relevance(signal, relevance, sampling_rate=RATE)
    return plot_spectrum(signal, spectral, highest=highest, **options), spectral


def spectrogram(leads=2, n=300, highest=math.inf, **options):
    signal, relevance = drawn(leads, n)
    short_time = stdft_relevance(signal, relevance, window_length=50, hop=10, sampling_rate=RATE)
    return plot_spectrogram(short_time, highest=highest, **options), short_time


def bars(axes):
    [line] = [item for item in axes.collections if isinstance(item, LineCollection) and item.get_array() is not None]
    return line


def shown_bars(axes):
    """Of each bar its frequency, its ends and the number of its colour, by frequency."""
    line = bars(axes)
    rows = [(*segment[1], segment[0][1], value) for segment, value in zip(line.get_segments(), line.get_array(), strict=True)]
    return np.array(sorted(rows))


def mesh(axes):
    [mesh] = [item for item in axes.collections if isinstance(item, QuadMesh)]
    return mesh


def bar_of(figure):
    return figure.axes[-1]


# Spectra


@pytest.mark.parametrize("n", [300, 301])
def test_the_amplitude_of_a_cosine_is_shown_at_its_frequency(n):
    time = np.arange(n) / RATE
    frequencies = RATE * np.array([0, 15, n // 2]) / n
    signal = 1.5 + 0.7 * np.cos(2 * np.pi * frequencies[1] * time) + 0.3 * np.cos(2 * np.pi * frequencies[2] * time)
    axes = plot_spectrum(signal, dft_relevance(signal, signal, sampling_rate=RATE))[0, 0]
    shown = dict(np.round(axes.lines[0].get_xydata(), 9))
    assert [shown[frequency] for frequency in frequencies.round(9)] == pytest.approx([1.5, 0.7, 0.3])
    assert np.count_nonzero(np.array(list(shown.values())) > 1e-6) == 3


def test_each_frequency_has_a_bar_as_high_as_its_relevance_in_its_colour():
    axes, spectral = spectrum(leads=3)
    for lead, (_, right) in enumerate(axes):
        values = spectral.relevance[lead]
        np.testing.assert_allclose(shown_bars(right), np.c_[spectral.frequencies, values, 0 * values, values])
        assert bars(right).get_clim() == (-np.abs(spectral.relevance).max(), np.abs(spectral.relevance).max())


def test_bars_of_many_frequencies_are_no_hairlines_and_the_strongest_hides_none():
    signal, values = np.random.default_rng(0).normal(size=(2, 12, 5001)).cumsum(axis=-1)
    spectral = SimpleNamespace(relevance=values[:, :2501], frequencies=np.arange(2501) / 10)
    for _, right in plot_spectrum(signal, spectral, highest=250.0):
        line = bars(right)
        assert min(line.get_linewidths()) >= 2  # points: three dots of a page of 150 to the inch
        assert (np.diff(np.abs(line.get_array())) >= 0).all()


def test_all_of_the_relevance_is_seen_on_one_scale_for_all_leads():
    axes, spectral = spectrum(leads=3)
    [limits] = {right.get_ylim() for right in axes[:, 1]}
    assert limits[0] < spectral.relevance.min() < spectral.relevance.max() < limits[1]


def test_frequencies_above_the_highest_are_not_shown():
    axes, spectral = spectrum(highest=20.0)
    np.testing.assert_allclose(shown_bars(axes[0, 1])[:, 0], spectral.frequencies[spectral.frequencies <= 20])
    rows, short_time = spectrogram(highest=20.0)
    assert rows[0].get_ylim()[1] == pytest.approx(21)  # a bin of 2 Hz reaches 1 Hz to either side of its middle
    assert mesh(rows[0]).get_array().shape == (11, len(short_time.times))


def slow(above=0.005):
    """Relevance and power below 30 Hz of 250, but for a share of the relevance at 200 Hz and a little noise."""
    time = np.arange(1000) / 500
    signal = sum(np.cos(2 * np.pi * hertz * time) / hertz for hertz in (1, 5, 30)) + 1e-4 * np.random.default_rng(0).normal(size=1000)
    relevance = np.zeros(501)
    relevance[[2, 10, 60, 400]] = 1.0, -1.0, 1.0, 3 * above / (1 - above)  # 2 bins to a Hertz
    return signal, SimpleNamespace(relevance=relevance, frequencies=np.arange(501) / 2, times=np.arange(4.0))


def test_the_axis_ends_where_99_percent_of_relevance_and_power_lie():
    signal, spectral = slow()
    [[left, right]] = plot_spectrum(signal, spectral)
    assert shown_bars(right)[-1, 0] == left.lines[0].get_xdata()[-1] == 30
    assert left.get_xlabel() == right.get_xlabel() == "frequency (Hz); 0.5% of the relevance lies above"
    over_time = SimpleNamespace(**{**vars(spectral), "relevance": np.tile(spectral.relevance, (4, 1))})
    [axes] = plot_spectrogram(over_time)
    assert axes.get_ylim()[1] == pytest.approx(30.25)
    assert axes.get_xlabel().endswith("0.5% of the relevance lies above")


def test_relevance_or_power_that_lies_high_is_shown():
    signal, spectral = slow(above=0.05)
    assert shown_bars(plot_spectrum(signal, spectral)[0, 1])[-1, 0] == 200
    fast = signal + np.cos(2 * np.pi * 100 * np.arange(1000) / 500) / 2
    assert shown_bars(plot_spectrum(fast, slow()[1])[0, 1])[-1, 0] == 100
    assert plot_spectrum(fast + 100.0, slow()[1])[0, 0].lines[0].get_xdata()[-1] == 100  # the mean is no part of the power


def test_all_maps_of_a_page_end_at_one_frequency():
    signal, spectral = slow()
    sample = SpectrumSample(signal, {"low": spectral, "high": slow(above=0.3)[1]})
    assert highest_telling([sample]) == 200
    assert {grid[0, 0].lines[0].get_xdata()[-1] for grid in plot_spectrum_maps(sample)} == {200}


# Spectrograms


def test_each_window_and_frequency_has_the_colour_of_its_relevance():
    axes, short_time = spectrogram(leads=3, percentile=90)
    end = np.percentile(np.abs(short_time.relevance), 90)
    for lead, panel in enumerate(axes):
        np.testing.assert_allclose(mesh(panel).get_array(), short_time.relevance[lead].T)
        assert mesh(panel).get_clim() == (-end, end)


def test_windows_and_frequencies_lie_in_the_middle_of_their_colours():
    [axes], short_time = spectrogram(leads=1, start=600.0)
    corners = mesh(axes).get_coordinates()
    middles = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    np.testing.assert_allclose(middles[0, :, 0], 600 + short_time.times)
    np.testing.assert_allclose(middles[:, 0, 1], short_time.frequencies, atol=1e-12)
    np.testing.assert_allclose(np.diff(corners[0, :, 0]), 0.1)


def test_one_window_is_as_wide_as_it_is_long():
    signal, relevance = drawn(1, 50)
    [axes] = plot_spectrogram(stdft_relevance(signal, relevance, window_length=50, sampling_rate=RATE))
    assert axes.get_xlim() == pytest.approx((-0.005, 0.495))


# Both


@pytest.mark.parametrize("of", [spectrum, spectrogram])
def test_the_colour_bar_has_the_scale_and_0_in_its_middle(of):
    axes, result = of(limit=2.5)
    bar = bar_of(axes.flat[0].figure)
    assert bar.get_xlim() == (-2.5, 2.5)
    assert bar.get_xlabel() == MEANING
    panel = axes.flat[-1]
    assert (bars(panel) if of is spectrum else mesh(panel)).get_clim() == (-2.5, 2.5)
    assert np.abs(result.relevance).max() > 0


def test_leads_units_and_axes_are_named():
    axes, _ = spectrum(lead_names=["MLII", "V1"], units="uV", title="record 208")
    assert [left.get_ylabel() for left, _ in axes] == ["MLII", "V1"]
    assert axes[0, 0].get_title() == "amplitude (uV)"
    assert {panel.get_xlabel() for panel in axes[-1]} == {"frequency (Hz)"}
    rows, _ = spectrogram(lead_names=["MLII", "V1"])
    assert [panel.get_ylabel() for panel in rows] == ["MLII\nfrequency (Hz)", "V1\nfrequency (Hz)"]
    assert rows[-1].get_xlabel() == "time (s)"


FIGURES = {
    "spectrum of one lead": lambda: spectrum(1)[0],
    "spectra of twelve leads": lambda: spectrum(12, lead_names=STANDARD_LEADS, title="twelve leads")[0],
    "spectrum of one sample": lambda: plot_spectrum([1.0], dft_relevance([1.0], [1.0])),
    "spectrum of nothing": lambda: plot_spectrum(np.zeros(9), dft_relevance(np.zeros(9), np.zeros(9))),
    "large relevance": lambda: plot_spectrum(np.ones(9), dft_relevance(np.ones(9), 1e9 * np.ones(9))),
    "spectrogram of one lead": lambda: spectrogram(1)[0],
    "spectrograms of twelve leads": lambda: spectrogram(12, lead_names=STANDARD_LEADS, title="a title of many words " * 8)[0],
    "spectrogram of one sample": lambda: plot_spectrogram(stdft_relevance([1.0], [1.0], window_length=1)),
    "spectrogram of nothing": lambda: plot_spectrogram(stdft_relevance(np.zeros(9), np.zeros(9), window_length=4)),
}


@cache
def figure_called(name):
    """One figure for all tests that only look at it."""
    return laid_out(FIGURES[name]().flat[0].figure)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_no_words_overlap_and_nothing_leaves_the_page(name):
    figure = figure_called(name)
    titles = [text.get_window_extent() for text in figure.texts if text.get_text()]
    panels = [axes.get_tightbbox() for axes in figure.axes]
    page = figure.bbox.padded(1)
    for box in [*titles, *panels]:
        assert page.x0 <= box.x0 <= box.x1 <= page.x1
        assert page.y0 <= box.y0 <= box.y1 <= page.y1
    assert not any(one.padded(-1).overlaps(other.padded(-1)) for one, other in itertools.combinations([*titles, *panels], 2))
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 9


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_the_labels_of_an_axis_do_not_run_into_each_other(name):
    figure = figure_called(name)
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            ticks = [tick for tick in axis.get_major_ticks() if min(limits) <= tick.get_loc() <= max(limits)]
            words = [tick.label1 for tick in ticks if tick.label1.get_visible() and tick.label1.get_text()]
            boxes = [word.get_window_extent() for word in words]
            assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("of", [spectrum, spectrogram])
def test_relevance_of_0_everywhere_is_called_so(of):
    name = "spectrum of nothing" if of is spectrum else "spectrogram of nothing"
    assert "0 everywhere" in bar_of(FIGURES[name]().flat[0].figure).get_xlabel()


def test_tensors_are_drawn():
    torch = pytest.importorskip("torch")
    signal, relevance = (torch.from_numpy(values).requires_grad_() for values in drawn(2))
    assert plot_spectrum(signal, dft_relevance(signal, relevance)).shape == (2, 2)
    assert plot_spectrogram(stdft_relevance(signal, relevance, window_length=50)).shape == (2,)


def test_the_figures_need_neither_torch_nor_pyplot():
    assert loaded("import signxai.figures.spectrum_plots", "torch", "matplotlib.pyplot") == []


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: plot_spectrum(np.ones((2, 9)), dft_relevance(np.ones(9), np.ones(9))), InputError, r"\(2, 9\).*\(2, 5\).*\(1, 5\)"),
        (lambda: plot_spectrum(np.ones(11), dft_relevance(np.ones(9), np.ones(9))), InputError, r"\(1, 6\)"),
        (lambda: plot_spectrum(np.ones((1, 2, 9)), dft_relevance(np.ones(9), np.ones(9))), InputError, r"\(1, 2, 9\)"),
        (lambda: plot_spectrum([np.nan] * 9, dft_relevance(np.ones(9), np.ones(9))), InputError, "NaN"),
        (lambda: spectrum(lead_names=["I"]), InputError, "1 names for 2 leads"),
        (lambda: spectrogram(lead_names=["I"]), InputError, "1 names for 2 leads"),
        (lambda: spectrum(highest=0.0), OptionError, "highest"),
        (lambda: spectrum(limit=-1.0), OptionError, "limit"),
        (lambda: spectrogram(percentile=-1.0), OptionError, "percentile"),
        (lambda: spectrogram(start=np.inf), OptionError, "start"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


# Several spectra on one page


def spectra(leads=2, methods=2, beats=1, **options):
    samples = []
    for beat in range(beats):
        signal, relevance = drawn(leads, 220)
        maps = {f"lrp_epsilon_{k}_std_x": dft_relevance(signal, 10.0**k * relevance, sampling_rate=RATE) for k in range(methods)}
        names = STANDARD_LEADS[:leads] if leads > 3 else ("MLII", "V1", "V5")[:leads]
        samples.append(SpectrumSample(signal, maps, f"208.hea, beat {beat}, annotated V: predicted V (logit 5.31)", names))
    return samples, plot_spectrum_maps(samples, **options)


@pytest.mark.slow
@pytest.mark.parametrize(("leads", "methods", "beats"), [(1, 1, 1), (2, 2, 1), (2, 1, 3), (12, 2, 1)])
def test_spectra_on_one_page_show_what_each_shows_alone(leads, methods, beats):
    samples, grids = spectra(leads, methods, beats, highest=40.0)
    maps = [(sample, spectral) for sample in samples for spectral in sample.maps.values()]
    for grid, (sample, spectral) in zip(grids, maps, strict=True):
        alone = plot_spectrum(sample.signal, spectral, lead_names=sample.lead_names, highest=40.0)
        for (left, right), (left_alone, right_alone) in zip(grid, alone, strict=True):
            np.testing.assert_array_equal(left.lines[0].get_xydata(), left_alone.lines[0].get_xydata())
            np.testing.assert_array_equal(bars(right).get_array(), bars(right_alone).get_array())
            assert bars(right).get_clim() == bars(right_alone).get_clim()
            assert left.get_ylabel() == left_alone.get_ylabel()


@pytest.mark.slow
@pytest.mark.parametrize(("leads", "methods", "beats"), [(1, 1, 1), (2, 2, 1), (2, 1, 3), (12, 2, 1)])
def test_nothing_on_a_page_of_spectra_overlaps(leads, methods, beats):
    samples, grids = spectra(leads, methods, beats)
    figure = laid_out(grids[0][0, 0].figure.figure)
    page = figure.bbox
    written = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert {sample.heading for sample in samples} | {name for sample in samples for name in sample.maps} <= {t.get_text() for t in written}
    titles = [text for text in written if text.get_text().startswith(("208", "lrp", "relevance", "frequency"))]
    boxes = [text.get_window_extent() for text in titles] + [axes.get_window_extent() for grid in grids for axes in grid.flat]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= page.width
        assert box.y1 <= page.height
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def test_a_page_of_spectra_needs_a_sample_and_a_map():
    with pytest.raises(InputError, match="at least one sample"):
        plot_spectrum_maps([])
    with pytest.raises(InputError, match="each sample a map"):
        plot_spectrum_maps(SpectrumSample(np.ones(5), {}))


def test_noise_of_a_lead_without_power_does_not_make_the_axis_long():
    time = np.arange(1000) / 500
    signal = np.stack([np.cos(2 * np.pi * 10 * time), 1e-4 * np.random.default_rng(0).normal(size=1000)])
    relevance = np.stack([signal[0], 0 * time])
    axes = plot_spectrum(signal, dft_relevance(signal, relevance, sampling_rate=500))
    assert axes[0, 1].get_xlim()[1] < 15


def test_bars_at_both_ends_lie_within_the_panel():
    axes, _ = spectrum(leads=12)
    laid_out(axes[0, 0].figure)
    for right in axes[:, 1]:
        line, panel = bars(right), right.get_window_extent()
        half = line.get_linewidths()[0] / 2 * right.figure.dpi / 72
        places = [right.transData.transform(segment[0])[0] for segment in line.get_segments()]
        assert panel.x0 <= min(places) - half
        assert max(places) + half <= panel.x1


def test_names_of_twelve_leads_do_not_touch_their_numbers():
    axes, _ = spectrum(leads=12, lead_names=STANDARD_LEADS)
    laid_out(axes[0, 0].figure)
    for left in axes[:, 0]:
        name = left.yaxis.label.get_window_extent()
        numbers = [label.get_window_extent() for label in left.get_yticklabels() if label.get_text()]
        assert name.x1 + 3 < min(box.x0 for box in numbers)
