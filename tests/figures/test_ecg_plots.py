"""An ECG figure has the paper, the scale and the places that a cardiologist expects, and the colours of its relevance."""

import itertools
from functools import cache

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from boxes import laid_out, within
from processes import loaded
from signxai.common import InputError, OptionError
from signxai.figures.ecg_plots import STANDARD_LEADS, plot_ecg
from signxai.methods.sign_words import MEANING

RATE = 100
LEFT = 10.0  # millimetres, of the calibration pulse


def ecg(leads=2, seconds=10.0, rate=RATE):
    """Beats of 1 mV once a second, on noise."""
    time = np.arange(round(seconds * rate)) / rate
    beats = np.exp(-(((time % 1 - 0.5) / 0.02) ** 2))
    return beats * np.linspace(1, 0.5, leads)[:, None] + 0.01 * np.random.default_rng(0).normal(size=(leads, len(time)))


def relevance_of(signal):
    return np.random.default_rng(1).normal(size=signal.shape) * np.abs(signal)


def twelve(seconds=10.0, **options):
    signal = ecg(12, seconds)
    return plot_ecg(signal, relevance_of(signal), sampling_rate=RATE, lead_names=STANDARD_LEADS, **options)


def traces(axes, samples_at_least=20):
    return [line.get_xydata() for line in axes.lines if len(line.get_xydata()) >= samples_at_least]


def coloured(axes):
    return [item for item in axes.collections if isinstance(item, LineCollection) and item.get_array() is not None]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def place(axes, name):
    """Where a lead's name stands, in millimetres."""
    return [text.get_position() for text in axes.texts if text.get_text().split("\n")[0] == name]


def time_labels(axes):
    """Position in millimetres and label of each labelled tick."""
    laid_out(axes.figure)
    return [(tick.get_loc(), tick.label1.get_text()) for tick in axes.xaxis.get_major_ticks() if tick.label1.get_text()]


def bar_of(axes):
    [bar] = [other for other in axes.figure.axes if other is not axes]
    return bar


# The paper


@pytest.mark.parametrize("seconds", [0.5, 2.5, 10, 60])
def test_lines_of_the_paper_are_5_mm_apart_and_1_mm_between(seconds):
    axes = plot_ecg(ecg(2, seconds), sampling_rate=RATE)
    for axis, end in ((axes.xaxis, axes.get_xlim()[1]), (axes.yaxis, axes.get_ylim()[1])):
        major, minor = axis.get_majorticklocs(), axis.get_minorticklocs()
        np.testing.assert_allclose(major[(major >= 0) & (major <= end)], np.arange(0, end + 1, 5), atol=1e-9)
        between = minor[(minor >= 0) & (minor <= end)].round(9)
        np.testing.assert_allclose(between, [line for line in np.arange(end + 1) if line % 5], atol=1e-9)
        assert all(line.get_visible() for line in axis.get_gridlines())


def test_a_second_is_25_mm_and_a_millivolt_10():
    signal = ecg(1, 10)
    [trace] = traces(plot_ecg(signal, sampling_rate=RATE))
    np.testing.assert_allclose(trace[:, 0], LEFT + 25 * np.arange(1000) / RATE)
    np.testing.assert_allclose(np.diff(trace[:, 1]), 10 * np.diff(signal[0]), atol=1e-12)


def test_ten_seconds_have_their_true_size_and_are_as_high_as_wide():
    for axes in (plot_ecg(ecg(2, 10), sampling_rate=RATE), twelve()):
        laid_out(axes.figure)
        box = axes.get_window_extent()
        per_mm = axes.figure.dpi / 25.4
        assert box.width / np.ptp(axes.get_xlim()) == pytest.approx(per_mm, rel=1e-3)
        assert box.height / np.ptp(axes.get_ylim()) == pytest.approx(per_mm, rel=1e-3)
        assert "times" not in axes.get_xlabel()


@pytest.mark.parametrize(("leads", "seconds"), [(1, 0.5), (12, 60)])
def test_paper_of_another_size_says_so(leads, seconds):
    axes = plot_ecg(ecg(leads, seconds), sampling_rate=RATE)
    said = float(axes.get_xlabel().split("drawn at ")[1].split(" times")[0])
    box = axes.get_window_extent()
    assert box.width / np.ptp(axes.get_xlim()) / (axes.figure.dpi / 25.4) == pytest.approx(said, rel=0.05)


def test_baselines_lie_on_lines_of_the_grid_and_medians_on_baselines():
    signal = ecg(3, 5) + np.array([[2.0], [-3.0], [0.0]])
    for trace in traces(plot_ecg(signal, sampling_rate=RATE)):
        assert np.median(trace[:, 1]) % 5 == pytest.approx(0, abs=1e-9)


def test_no_trace_reaches_into_another_row_or_off_the_paper():
    axes = plot_ecg(5 * ecg(4, 5) - 3 * ecg(4, 5)[::-1] ** 2, sampling_rate=RATE)
    lowest, highest = (np.array([bound(trace[:, 1]) for trace in traces(axes)]) for bound in (np.min, np.max))
    assert np.all(lowest[:-1] > highest[1:])
    assert lowest[-1] > axes.get_ylim()[0]
    assert highest[0] < axes.get_ylim()[1]


@pytest.mark.parametrize("seconds", [0.5, 2.5, 10.0])
def test_labels_of_the_time_stand_where_that_time_is(seconds):
    labels = time_labels(plot_ecg(ecg(1, seconds), sampling_rate=RATE, start=600))
    assert len(labels) >= 2
    for x, label in labels:
        assert x == pytest.approx(LEFT + 25 * (float(label) - 600))


def test_the_pulse_is_1_mv_for_02_s():
    lines = [line.get_xydata() for line in plot_ecg(np.zeros((1, 1000)), sampling_rate=RATE).lines]
    [pulse] = [line for line in lines if np.ptp(line[:, 1])]
    assert np.ptp(pulse[:, 1]) == pytest.approx(10)
    assert np.ptp(pulse[pulse[:, 1] == pulse[:, 1].max(), 0]) == pytest.approx(25 * 0.2)


# Units and gain


@pytest.mark.parametrize(("units", "factor"), [("mV", 1.0), ("uV", 1e3), ("µV", 1e3), ("V", 1e-3)])
def test_volts_of_any_size_are_drawn_in_millivolts(units, factor):
    drawn = traces(plot_ecg(factor * ecg(), sampling_rate=RATE, units=units))
    for one, other in zip(drawn, traces(plot_ecg(ecg(), sampling_rate=RATE)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_large_amplitudes_halve_the_gain_and_the_label_says_so():
    axes = plot_ecg(9 * ecg(1), sampling_rate=RATE)
    assert "5 mm/mV" in axes.get_xlabel()
    assert np.ptp(traces(axes)[0][:, 1]) == pytest.approx(5 * np.ptp(9 * ecg(1)))


def test_other_units_get_a_round_gain_and_no_pulse():
    axes = plot_ecg(300 * ecg(1), sampling_rate=RATE, units="standard deviation")
    assert "0.05 mm per standard deviation" in axes.get_xlabel()
    assert len(axes.lines) == 1


def test_the_gain_can_be_set():
    assert np.ptp(traces(plot_ecg(ecg(1), sampling_rate=RATE, gain=20))[0][:, 1]) == pytest.approx(20 * np.ptp(ecg(1)))


# The colours


def test_each_sample_has_the_colour_of_its_relevance_on_one_scale_for_all_leads():
    signal = ecg(3, 4)
    relevance = relevance_of(signal)
    axes = plot_ecg(signal, relevance, sampling_rate=RATE, percentile=90)
    end = np.percentile(np.abs(relevance), 90)
    for lead, (line, trace) in enumerate(zip(coloured(axes), traces(axes), strict=True)):
        assert line.get_clim() == (-end, end)
        at = {round(segment[1][0], 6): (segment[1][1], value) for segment, value in zip(line.get_segments(), line.get_array(), strict=True)}
        drawn = np.array([at[round(x, 6)] for x in trace[:, 0]])
        np.testing.assert_allclose(drawn[:, 0], trace[:, 1])
        np.testing.assert_allclose(drawn[:, 1], relevance[lead])
        assert np.all(np.diff(np.abs(line.get_array())) >= 0)  # the strongest is drawn last


def test_the_pieces_of_a_trace_cover_all_of_it():
    axes = plot_ecg(ecg(1, 4), relevance_of(ecg(1, 4)), sampling_rate=RATE)
    segments = sorted((tuple(map(tuple, segment)) for segment in coloured(axes)[0].get_segments()), key=lambda piece: piece[1][0])
    for (_, _, end), (begin, _, _) in itertools.pairwise(segments):
        assert end == pytest.approx(begin)


def test_the_colour_bar_has_the_traces_scale_and_colours():
    axes = plot_ecg(ecg(), relevance_of(ecg()), sampling_rate=RATE, cmap="bwr")
    bar = bar_of(axes)
    assert bar.get_xlim() == coloured(axes)[0].get_clim()
    assert bar.get_xlabel() == MEANING
    assert {line.get_cmap().name for line in coloured(axes)} == {"bwr"}
    ticks = bar.get_xticks()
    np.testing.assert_allclose(ticks, np.linspace(-1, 1, 5) * bar.get_xlim()[1])
    assert [float(label.get_text()) for label in bar.get_xticklabels()] == [pytest.approx(tick, rel=0.06) for tick in ticks]


def test_a_limit_puts_several_figures_on_one_scale():
    for factor in (1, 10):
        axes = plot_ecg(ecg(), factor * relevance_of(ecg()), sampling_rate=RATE, limit=2.5)
        assert {line.get_clim() for line in coloured(axes)} == {(-2.5, 2.5)}


def test_relevance_of_0_everywhere_has_the_middle_colour_and_is_called_so():
    axes = plot_ecg(ecg(), 0 * ecg(), sampling_rate=RATE)
    for line in coloured(axes):
        line.update_scalarmappable()
        np.testing.assert_allclose(line.get_colors(), np.broadcast_to(matplotlib.colormaps["coolwarm"](0.5), line.get_colors().shape))
    assert "0 everywhere" in bar_of(axes).get_xlabel()


def test_without_relevance_there_are_neither_colours_nor_a_bar():
    axes = plot_ecg(ecg(), sampling_rate=RATE)
    assert coloured(axes) == []
    assert axes.figure.axes == [axes]


# The places


def test_the_clinical_layout_has_3_rows_of_4_leads_one_after_the_other_and_the_rhythm_lead():
    axes = twelve()
    signal = ecg(12)
    lines = traces(axes)
    assert len(lines) == 13
    for number, (lead, line) in enumerate(zip(signal, lines, strict=False)):
        column, row = divmod(number, 3)
        np.testing.assert_allclose(line[:, 0], LEFT + 25 * (2.5 * column + np.arange(250) / RATE))
        np.testing.assert_allclose(np.diff(line[:, 1]), 10 * np.diff(lead[250 * column : 250 * (column + 1)]), atol=1e-9)
        assert place(axes, STANDARD_LEADS[number])[0][1] == pytest.approx(place(axes, STANDARD_LEADS[row])[0][1])
    np.testing.assert_allclose(np.diff(lines[12][:, 1]), 10 * np.diff(signal[1]), atol=1e-9)
    assert [len(place(axes, name)) for name in STANDARD_LEADS] == [1, 2, *[1] * 10]


def test_leads_are_found_by_their_names_whatever_their_order_and_case():
    order = np.random.default_rng(0).permutation(12)
    signal = ecg(12)
    axes = plot_ecg(signal[order], sampling_rate=RATE, lead_names=[STANDARD_LEADS[lead].upper() for lead in order])
    for one, other in zip(traces(axes), traces(twelve()), strict=True):
        np.testing.assert_allclose(one, other)


def test_in_a_short_signal_each_lead_of_the_clinical_layout_shows_all_of_it():
    lines = traces(twelve(2.0))
    assert [len(line) for line in lines] == [200] * 12
    labels = time_labels(twelve(2.0))
    assert [float(label) for _, label in labels] == [0, 1, 2] * 4
    assert [line[0, 0] for line in lines[::3]] == [pytest.approx(x) for x, label in labels if label == "0"]


def test_a_lead_without_signal_and_one_that_is_not_there_keep_their_places_with_a_note():
    signal = ecg(12)
    relevance = relevance_of(signal)
    signal[4] = np.nan
    relevance[4] = np.nan
    names = [name for name in STANDARD_LEADS if name != "V4"]
    axes = plot_ecg(np.delete(signal, 9, 0), np.delete(relevance, 9, 0), sampling_rate=RATE, lead_names=names)
    whole = twelve()
    assert place(axes, "V4")[0] == pytest.approx(place(whole, "V4")[0])
    assert texts(axes).count("not recorded") == texts(axes).count("no signal") == 1
    assert len(traces(axes)) == len(coloured(axes)) == 11
    notes = {text.get_text(): text.get_position() for text in axes.texts}
    assert notes["not recorded"][0] == pytest.approx(LEFT + 25 * 8.75)
    assert notes["no signal"][0] == pytest.approx(LEFT + 25 * 3.75)


def test_a_gap_breaks_the_trace_and_its_colours_and_nothing_else():
    signal = ecg(1, 4)
    signal[0, 100:150] = np.nan
    axes = plot_ecg(signal, relevance_of(np.nan_to_num(signal)), sampling_rate=RATE)
    drawn = np.array([segment[1][0] for segment in coloured(axes)[0].get_segments()])
    expected = np.r_[0:100, 150:400]
    np.testing.assert_allclose(np.sort(drawn), LEFT + 25 * expected / RATE)
    assert all(np.isfinite(segment).all() for segment in coloured(axes)[0].get_segments())


def test_rows_show_all_of_each_lead_below_each_other_named_at_their_baseline():
    axes = twelve(layout="rows")
    assert [len(line) for line in traces(axes)] == [1000] * 12
    heights = [place(axes, name)[0][1] for name in STANDARD_LEADS]
    assert heights == sorted(heights, reverse=True)
    np.testing.assert_allclose(heights, [np.median(line[:, 1]) for line in traces(axes)], atol=1e-9)


@pytest.mark.parametrize(("leads", "seconds", "blocks"), [(1, 60, 6), (2, 25, 3), (3, 60, 6), (12, 60, 2)])
def test_a_long_signal_goes_on_below(leads, seconds, blocks):
    signal = ecg(leads, seconds)
    axes = plot_ecg(signal, sampling_rate=RATE, start=5, lead_names=[f"lead {lead}" for lead in range(leads)])
    lines = traces(axes)
    assert len(lines) == leads * blocks
    for lead in range(leads):
        assert sum(len(line) for line in lines[lead::leads]) == len(signal[lead])
        steps = np.concatenate([np.diff(line[:, 1]) for line in lines[lead::leads]])
        parts = np.split(signal[lead], range(len(lines[0]), len(signal[lead]), len(lines[0])))
        np.testing.assert_allclose(steps, 10 * np.concatenate([np.diff(part) for part in parts]), atol=1e-9)
    starts = [text.split("\n")[1] for text in texts(axes) if "\n" in text]
    assert starts == [f"{5 + block * round(len(lines[0]) / RATE)} s" for block in range(blocks)]


# Beats


def test_r_peaks_are_marked_and_labelled_above_their_samples():
    signal = ecg(2, 5)
    peaks, labels = [50, 150, 350], ["N", "V", "F"]
    axes = plot_ecg(signal, sampling_rate=RATE, r_peaks=peaks, beat_labels=labels)
    [marks] = [line for line in axes.lines if line.get_marker() == "v"]
    np.testing.assert_allclose(marks.get_xdata(), LEFT + 25 * np.array(peaks) / RATE)
    assert min(marks.get_ydata()) > traces(axes)[0][:, 1].max()
    at = {text.get_text(): text.get_position() for text in axes.texts}
    for peak, label in zip(peaks, labels, strict=True):
        assert at[label][0] == pytest.approx(LEFT + 25 * peak / RATE)
        assert at[label][1] > max(marks.get_ydata())


def test_beats_come_in_arrays_too():
    axes = plot_ecg(ecg(2, 5), sampling_rate=RATE, r_peaks=np.array([50, 150]), beat_labels=np.array(["N", "V"]))
    assert {"N", "V"} <= set(texts(axes))


def test_beats_stand_at_the_rhythm_lead_of_the_clinical_layout():
    axes = twelve(r_peaks=[50, 950], rhythm_lead="V1")
    [marks] = [line for line in axes.lines if line.get_marker() == "v"]
    assert marks.get_ydata()[0] < np.min(traces(axes)[0][:, 1])
    assert len(place(axes, "V1")) == 2


def test_every_beat_of_a_long_signal_is_marked_once_in_its_row():
    peaks = list(range(50, 6000, 100))
    axes = plot_ecg(ecg(2, 60), sampling_rate=RATE, r_peaks=peaks)
    marks = [line.get_xdata() for line in axes.lines if line.get_marker() == "v"]
    np.testing.assert_allclose(np.concatenate(marks), [LEFT + 25 * (peak % 1000) / RATE for peak in peaks])


def labels_of(axes, kinds):
    return [text for text in axes.texts if text.get_text() in kinds]


def test_no_label_is_lost_and_none_lies_on_another():
    peaks = list(range(50, 6000, 45))  # 130 beats a minute
    symbols = ["N/N" if number % 7 else "V/V" for number in range(len(peaks))]
    for leads in (2, 12):
        axes = plot_ecg(ecg(leads, 60), sampling_rate=RATE, r_peaks=peaks, beat_labels=symbols)
        found = labels_of(axes, symbols)
        assert sorted(text.get_text() for text in found) == sorted(symbols)
        laid_out(axes.figure)
        boxes = [text.get_window_extent() for text in found]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_rare_labels_stand_next_to_their_beats_and_crowded_ones_are_smaller():
    peaks = [100, 110, 120, 400, 500, 600, 700]
    symbols = ["N/N", "V/V", "N/N", "N/N", "N/N", "N/N", "N/N"]
    axes = plot_ecg(ecg(2, 10), sampling_rate=RATE, r_peaks=peaks, beat_labels=symbols)
    height = {
        (text.get_text(), round((text.get_position()[0] - LEFT) / 25 * RATE)): text.get_position()[1] for text in labels_of(axes, symbols)
    }
    assert height["V/V", 110] == min(height.values()) == height["N/N", 400]
    assert min(height["N/N", 100], height["N/N", 120]) > height["V/V", 110]
    apart = plot_ecg(ecg(2, 10), sampling_rate=RATE, r_peaks=peaks[3:], beat_labels=symbols[3:])
    sizes = {text.get_fontsize() for axes in (axes, apart) for text in labels_of(axes, symbols)}
    assert len(sizes) == 2
    assert labels_of(axes, symbols)[0].get_fontsize() == min(sizes)


def test_what_a_layout_hides_of_the_relevance_is_said():
    signal = ecg(12)
    relevance = np.zeros((12, 1000))
    relevance[0, :250], relevance[0, 250:500], relevance[1, 900:] = 3.0, 1.0, -1.0  # II is shown in the rhythm strip, I to 2.5 s
    options = {"sampling_rate": RATE, "lead_names": STANDARD_LEADS}
    hidden = 250 / (750 + 250 + 100)
    assert f"{hidden:.0%} of the relevance is not shown" in plot_ecg(signal, relevance, **options).get_xlabel()
    relevance[0, 250:500] = 0
    for axes in (
        plot_ecg(signal, relevance, **options),
        plot_ecg(signal, relevance, layout="rows", **options),
        plot_ecg(signal, **options),
    ):
        assert "not shown" not in axes.get_xlabel()


# How it looks


def labelled(leads, seconds, names=(), **options):
    peaks = list(range(RATE // 4, round(seconds * RATE), RATE // 2))
    signal = ecg(leads, seconds)
    labels = [label for _, label in zip(peaks, itertools.cycle(["N", "(AFIB"]), strict=False)]
    relevance = relevance_of(signal)
    return plot_ecg(signal, relevance, sampling_rate=RATE, lead_names=names, r_peaks=peaks, beat_labels=labels, **options)


FIGURES = {
    "one lead, half a second": lambda: labelled(1, 0.5),
    "one lead, 60 s": lambda: labelled(1, 60, ["a long name"]),
    "two leads, 2.5 s": lambda: labelled(2, 2.5, ["MLII", "V1"]),
    "two leads, 60 s": lambda: labelled(2, 60, ["MLII", "V1"], title="a title of many words " * 12),
    "twelve leads, half a second": lambda: labelled(12, 0.5, STANDARD_LEADS),
    "twelve leads without names": lambda: labelled(12, 2),
    "twelve leads, 10 s": lambda: labelled(12, 10, STANDARD_LEADS, title="twelve leads"),
    "twelve leads, 60 s": lambda: labelled(12, 60, STANDARD_LEADS),
    "one sample": lambda: plot_ecg([[1.0]], [[1.0]], sampling_rate=1.0),
    "nothing recorded": lambda: plot_ecg(np.full((2, 500), np.nan), sampling_rate=RATE),
    "flat": lambda: plot_ecg(np.zeros((2, 500)), np.zeros((2, 500)), sampling_rate=RATE),
}


@cache
def figure_called(name):
    """One figure for all tests that only look at it."""
    return laid_out(FIGURES[name]().figure)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_no_words_overlap_and_nothing_leaves_the_page(name):
    figure = figure_called(name)
    words = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in words]
    assert [word for word, box in boxes if not within(box, figure.bbox)] == []
    assert [(a, b) for (a, box), (b, other) in itertools.combinations(boxes, 2) if box.padded(-1).overlaps(other.padded(-1))] == []
    assert min(text.get_fontsize() for text in words) >= 7  # of beats that stand close


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_fits_a_page_of_a_document(name):
    width, height = figure_called(name).get_size_inches()
    assert 4 < width < 13
    assert height < 22


def test_axes_that_are_given_are_drawn_on():
    figure = Figure(figsize=(12, 8))
    mine, other = figure.subplots(2, 1)
    assert plot_ecg(ecg(), relevance_of(ecg()), sampling_rate=RATE, axes=mine, title="mine") is mine
    assert mine.get_title() == "mine"
    assert other.lines[:] == []
    laid_out(figure)
    box = mine.get_window_extent()
    assert box.width / np.ptp(mine.get_xlim()) == pytest.approx(box.height / np.ptp(mine.get_ylim()), rel=1e-3)


def test_a_tensor_that_tracks_gradients_is_drawn():
    torch = pytest.importorskip("torch")
    assert len(traces(plot_ecg(torch.from_numpy(ecg()).requires_grad_(), sampling_rate=RATE))) == 2


def test_what_comes_in_stays_as_it_was():
    signal, relevance = ecg(), relevance_of(ecg())
    signal[0, :5] = relevance[0, :5] = np.nan
    before = signal.copy(), relevance.copy()
    plot_ecg(signal, relevance, sampling_rate=RATE)
    np.testing.assert_array_equal(before, (signal, relevance))


def test_neither_torch_nor_pyplot_is_loaded():
    code = "import numpy as np; from signxai.figures.ecg_plots import plot_ecg; plot_ecg(np.zeros((2, 500)), sampling_rate=100)"
    assert loaded(code, "torch", "matplotlib.pyplot") == []


# Any signal


@settings(max_examples=30, deadline=None)
@given(
    leads=st.integers(1, 13),
    samples=st.integers(1, 400),
    rate=st.floats(1, 1e4),
    factor=st.sampled_from([0.0, 1e-12, 1.0, 1e12]),
    units=st.sampled_from(["mV", "uV", "counts"]),
    layout=st.sampled_from([None, "rows"]),
)
def test_every_sample_of_every_signal_stands_on_the_paper(leads, samples, rate, factor, units, layout):
    signal = factor * np.random.default_rng(0).normal(size=(leads, samples))
    axes = plot_ecg(signal, signal, sampling_rate=rate, units=units, layout=layout)
    points = np.concatenate([segment[1:2] for line in coloured(axes) for segment in line.get_segments()])
    assert len(points) == signal.size
    for values, limits in zip(points.T, (axes.get_xlim(), axes.get_ylim()), strict=True):
        assert limits[0] <= values.min() <= values.max() <= limits[1]


# Mistakes


@pytest.mark.parametrize(
    ("signal", "relevance", "options", "error", "words"),
    [
        (np.zeros((2, 3, 4)), None, {}, InputError, r"\(2, 3, 4\)"),
        ([], None, {}, InputError, r"\(0,\)"),
        (["a"], None, {}, InputError, "<U1"),
        ([np.inf, 1.0], None, {}, InputError, "infinity"),
        (ecg(), ecg()[:, 1:], {}, InputError, r"\(2, 999\).*\(2, 1000\)"),
        (ecg(), np.full((2, 1000), np.nan), {}, InputError, "NaN"),
        (ecg(), None, {"lead_names": ["II"]}, InputError, "1 names for 2 leads"),
        (ecg(), None, {"lead_names": ["II", "II"]}, InputError, "once"),
        (ecg(), None, {"r_peaks": [5, 1000]}, InputError, "1000"),
        (ecg(), None, {"r_peaks": [5], "beat_labels": ["N", "V"]}, InputError, "2 beat labels for 1 R peaks"),
        (ecg(), None, {"lead_names": ["MLII", "V1"], "layout": "clinical"}, InputError, "MLII"),
        (ecg(), None, {"layout": "square"}, OptionError, "square"),
        (ecg(), None, {"sampling_rate": 0.0}, OptionError, "sampling_rate"),
        (ecg(), None, {"gain": -1.0}, OptionError, "gain"),
        (ecg(), None, {"start": np.nan}, OptionError, "start"),
        (ecg(), ecg(), {"limit": 0.0}, OptionError, "limit"),
        (ecg(), ecg(), {"percentile": 101}, OptionError, "percentile"),
    ],
)
def test_what_does_not_fit_is_refused(signal, relevance, options, error, words):
    with pytest.raises(error, match=words):
        plot_ecg(signal, relevance, **{"sampling_rate": RATE, **options})
