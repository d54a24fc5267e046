"""Several ECGs on one page: papers that compare, colours of their own, and nothing that overlaps."""

import itertools

import numpy as np
import pytest
from matplotlib.transforms import Bbox

from boxes import laid_out
from signxai.common import InputError, OptionError
from signxai.timeseries import STANDARD_LEADS, EcgSample, plot_ecg, plot_ecg_maps

RATE = 100


def ecg(leads=2, seconds=2.2, height=1.0):
    time = np.arange(round(seconds * RATE)) / RATE
    return height * np.exp(-(((time % 1 - 0.5) / 0.02) ** 2)) * np.linspace(1, 0.5, leads)[:, None]


def sample(leads=2, seconds=2.2, methods=2, height=1.0, **known):
    signal = ecg(leads, seconds, height)
    maps = {f"lrpsign_epsilon_0_{number}_std_x": (number + 1.0) * signal for number in range(methods)}
    names = STANDARD_LEADS if leads == 12 else ("MLII", "V1", "V5")[:leads]
    return EcgSample(signal, maps, "208.hea, beat 12 at 7.631 s, annotated V: predicted V (logit 5.31)", names, **known)


def millimetres(axes):
    """Dots of the figure per millimetre of the paper."""
    return axes.get_window_extent().width / np.ptp(axes.get_xlim())


def bars(papers):
    return [axes for axes in papers[0].figure.axes if axes not in papers]


PAGES = {
    "one": [sample(methods=1)],
    "one lead": [sample(leads=1)],
    "two methods": [sample()],
    "five methods": [sample(methods=5)],
    "three beats": [sample(start=float(start)) for start in range(3)],
    "twelve leads": [sample(leads=12)],
    "a strip": [sample(seconds=10)],
    "clinical": [sample(leads=12, seconds=10)],
    "a minute": [sample(seconds=60)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_papers_bars_and_titles_lie_apart_and_on_the_page(name):
    papers = plot_ecg_maps(PAGES[name], sampling_rate=RATE)
    figure = laid_out(papers[0].figure)
    boxes = [axes.get_tightbbox() for axes in figure.axes] + [text.get_window_extent() for text in figure.texts]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
    for one, other in itertools.combinations(boxes, 2):
        shared = Bbox.intersection(one, other)
        assert shared is None or shared.width < 1 or shared.height < 1


@pytest.mark.parametrize("name", PAGES)
def test_each_map_has_a_paper_and_each_sample_its_heading_and_all_have_one_colour_bar(name):
    papers = plot_ecg_maps(PAGES[name], sampling_rate=RATE)
    assert len(papers) == sum(len(one.maps) for one in PAGES[name])
    [bar] = bars(papers)
    written = ["".join(text.get_text().split()) for text in papers[0].figure.texts]
    for one in PAGES[name]:
        assert "".join(one.heading.split()) in written
        assert all(any(text.startswith(method) for text in written) for method in one.maps)
    if len(papers) == 1:
        ends = [max(float(label.get_text().replace("\N{MINUS SIGN}", "-")) for label in bar.get_xticklabels())]
    else:
        assert bar.get_xlim() == (-1, 1)
        ends = [float(text.split("±")[1]) for text in written if "±" in text]
    expected = [float(np.percentile(np.abs(values), 99)) for one in PAGES[name] for values in one.maps.values()]
    np.testing.assert_allclose(ends, expected, rtol=0.06)  # labels have two digits


def test_papers_beside_each_other_lie_at_one_height_however_many_lines_their_titles_have():
    x = np.zeros((1, 100))
    maps = dict.fromkeys(("lrp_z", "gradient"), np.ones((1, 100)))  # slopes have a line of their own
    one, other = plot_ecg_maps(EcgSample(x, maps), sampling_rate=RATE)
    assert one.get_position().x1 < other.get_position().x0
    assert one.get_position().y0 == pytest.approx(other.get_position().y0)


def test_lengths_on_all_papers_compare():
    papers = plot_ecg_maps([sample(height=1.0), sample(height=8.0, r_peaks=[50], beat_labels=["V"])], sampling_rate=RATE)
    assert len({round(millimetres(axes), 6) for axes in papers}) == 1
    assert len({axes.get_xlabel() for axes in papers}) == 1
    low, high = (np.ptp(axes.lines[1].get_ydata()) for axes in (papers[0], papers[-1]))
    assert high == pytest.approx(8 * low)


def test_a_paper_is_the_one_of_plot_ecg():
    one = sample(methods=1, start=6.4, r_peaks=[50, 150], beat_labels=["N", "V"])
    [paper] = plot_ecg_maps(one, sampling_rate=RATE)
    [relevance] = one.maps.values()
    alone = plot_ecg(
        one.signal, relevance, sampling_rate=RATE, lead_names=one.lead_names, start=6.4, r_peaks=[50, 150], beat_labels=["N", "V"]
    )
    assert (paper.get_xlim(), paper.get_ylim(), paper.get_xlabel()) == (alone.get_xlim(), alone.get_ylim(), alone.get_xlabel())
    for line, other in zip(paper.lines, alone.lines, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), other.get_xydata())
    assert [text.get_text() for text in paper.texts] == [text.get_text() for text in alone.texts]


@pytest.mark.parametrize(("start", "expected"), [(6.792, "6.8"), (-1.1, "-0.8"), (-0.8, "-0.8"), (0.0, "0")])
def test_ticks_are_at_round_times_wherever_the_excerpt_begins(start, expected):
    paper, _ = plot_ecg_maps(sample(start=start, time_label="time from the beat (s)"), sampling_rate=RATE)
    laid_out(paper.figure)
    ticks = [tick for tick in paper.xaxis.get_major_ticks() if tick.label1.get_text()]
    assert paper.get_xlabel().startswith("time from the beat (s)")
    assert ticks[0].label1.get_text() == expected
    for tick in ticks:
        time = float(tick.label1.get_text())
        assert time == pytest.approx(round(time / 0.4) * 0.4)
        assert tick.get_loc() - ticks[0].get_loc() == pytest.approx(25 * (time - float(expected)))


def test_a_sample_without_maps_is_its_trace():
    papers = plot_ecg_maps(EcgSample(ecg(), heading="a beat"), sampling_rate=RATE)
    assert (len(papers), bars(papers)) == (1, [])


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="at least one sample"):
        plot_ecg_maps([], sampling_rate=RATE)
    with pytest.raises(InputError, match=r"\(2, 7\)"):
        plot_ecg_maps(EcgSample(ecg(), {"gradient": np.ones((2, 7))}), sampling_rate=RATE)
    with pytest.raises(OptionError, match="gain=0"):
        plot_ecg_maps(sample(), sampling_rate=RATE, gain=0)
    with pytest.raises(OptionError, match="percentile=101"):
        plot_ecg_maps(sample(), sampling_rate=RATE, percentile=101)
