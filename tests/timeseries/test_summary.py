"""A summary's sums are those of the map, and each sample stands where a cardiologist would put it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from places import ECG_DATA, PACKAGE_DATA
from signxai.common import InputError, OptionError
from signxai.timeseries import PARTS, Beats, Signal, Waves, find_waves, read_signal, summarize, summary

E208, E233 = ECG_DATA / "208_1020s.hea", PACKAGE_DATA / "233_1655s.hea"
MISSING = [-1, -1]
POSITIONS = [100, 300, 500]
WAVES = Waves(
    {
        "P": np.array([[60, 80], MISSING, [460, 480]]),
        "QRS": np.array([[90, 110], [290, 312], [490, 510]]),
        "T": np.array([[150, 190], [350, 390], MISSING]),
    }
)
SIGNAL = Signal(np.random.default_rng(0).normal(size=(2, 600)), ["II", "V1"], "mV", 100.0, beats=Beats(POSITIONS, "NVN"))
MAP = np.random.default_rng(1).normal(size=(2, 600))


@pytest.fixture
def waves(monkeypatch):
    """These waves, whatever is there."""
    monkeypatch.setattr(summary, "find_waves", lambda signal, beats: WAVES)


def place_of(sample):
    """The beat and the part of a sample, one rule after the other."""
    for name in ("QRS", "T", "P"):
        for beat, (begin, end) in enumerate(WAVES.spans[name]):
            if begin <= sample < end:
                return beat, PARTS.index(name)
    beat = sum(sample >= np.ceil(one + (other - one) * 2 / 3) for one, other in pairwise(POSITIONS))
    end, begin = WAVES.spans["QRS"][beat][1], WAVES.spans["T"][beat][0]
    return beat, PARTS.index("ST" if end <= sample < begin else "rest")


@pytest.mark.parametrize(("start", "stop"), [(0, 600), (250, 480), (95, 96)])
@pytest.mark.usefixtures("waves")
def test_the_sums_are_those_of_a_plain_loop(start, stop):
    found = summarize(SIGNAL, MAP[:, start:stop], start=start)
    expected = np.zeros((2, 3, 2, len(PARTS)))
    seconds = np.zeros((3, len(PARTS)))
    for sample in range(start, stop):
        beat, part = place_of(sample)
        seconds[beat, part] += 0.01
        for lead in (0, 1):
            expected[int(MAP[lead, sample] < 0), beat, lead, part] += MAP[lead, sample]
    there = np.flatnonzero(seconds.sum(axis=1))
    assert found.numbers.tolist() == there.tolist()
    np.testing.assert_allclose(found.for_it, expected[0][there])
    np.testing.assert_allclose(found.against_it, expected[1][there])
    np.testing.assert_allclose(found.seconds, seconds[there])


@pytest.mark.usefixtures("waves")
def test_nothing_is_lost_and_every_table_has_the_same_sum():
    found = summarize(SIGNAL, MAP)
    rows = list(found.rows())
    for sums in (found.by_lead(), found.by_beat(), found.by_part(), np.array([[row.for_it, row.against_it] for row in rows])):
        np.testing.assert_allclose(sums.sum(), MAP.sum())
        np.testing.assert_allclose(np.abs(sums).sum(), np.abs(MAP).sum())
    np.testing.assert_allclose(found.by_lead().sum(axis=1), MAP.sum(axis=1))
    assert sum(row.seconds for row in rows if row.lead == "II") == pytest.approx(6.0)
    assert "3 beats (annotated); waves found: P in 2 beats, QRS in 3 beats, T in 2 beats" in str(found)


@pytest.mark.usefixtures("waves")
@pytest.mark.parametrize(
    ("values", "start", "error", "words"),
    [
        (MAP[:1], 0, InputError, "one value for each sample of each lead"),
        (MAP[0], 0, InputError, "shape"),
        (MAP * np.inf, 0, InputError, "infinity"),
        (MAP * 1j, 0, InputError, "real numbers"),
        (MAP[:, :100], 501, OptionError, "between 0 and 500"),
        (MAP, -1, OptionError, "between 0 and 0"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(values, start, error, words):
    with pytest.raises(error, match=words):
        summarize(SIGNAL, values, start=start)


def test_a_signal_without_beats_is_refused():
    with pytest.raises(InputError, match="detect_beats"):
        summarize(SIGNAL.with_beats(None), MAP)


def with_a_gap(first, stop):
    values = np.array(SIGNAL.values)
    values[1, first:stop] = np.nan
    return replace(SIGNAL, values=values)


def test_waves_are_searched_for_up_to_a_gap_beside_the_map_and_none_in_it_is_taken(monkeypatch):
    around = []
    monkeypatch.setattr(summary, "find_waves", lambda signal, beats: around.append((signal, beats)) or find_none(beats))
    found = summarize(with_a_gap(400, 410), MAP[:, :200], start=100)
    np.testing.assert_array_equal(around[0][0].values, SIGNAL.values[:, :400])
    assert around[0][1].positions.tolist() == [100, 300]
    np.testing.assert_allclose(found.by_lead().sum(), MAP[:, :200].sum())
    with pytest.raises(InputError, match=r"gap in V1 from 1\.5 s to 1\.6 s"):
        summarize(with_a_gap(150, 160), MAP[:, :200], start=100)


def find_none(beats):
    return Waves({name: np.full((len(beats), 2), -1) for name in WAVES.spans})


@pytest.mark.usefixtures("waves")
def test_beats_that_are_not_the_signals_are_refused():
    with pytest.raises(InputError, match="a beat at sample 600 lies outside"):
        summarize(SIGNAL, MAP, Beats([100, 600], "NN"))


# Waves


@pytest.mark.usefixtures("neurokit2")
@pytest.mark.parametrize("path", [E208, E233])
def test_the_qrs_complexes_are_where_the_beats_are_annotated_and_waves_are_in_order(path):
    signal = read_signal(path)
    waves = find_waves(signal)
    begin, end = waves.spans["QRS"][waves.found("QRS")].T
    positions = signal.beats.positions[waves.found("QRS")]
    assert waves.found("QRS").all()
    assert np.all((begin <= positions) & (positions < end))
    assert np.all((end - begin >= 0.09 * 360) & (end - begin <= 0.3 * 360 + 1))
    assert min(waves.found("P").mean(), waves.found("T").mean()) > 0.7
    for one, other in (("P", "QRS"), ("QRS", "T")):
        both = waves.found(one) & waves.found(other)
        assert np.all(waves.spans[one][both, 0] < waves.spans[other][both, 0])


@pytest.mark.usefixtures("neurokit2")
def test_waves_are_not_found_across_gaps():
    with pytest.raises(InputError, match="gap in V1 from 2 s"):
        find_waves(with_a_gap(200, 210))


@pytest.mark.usefixtures("neurokit2")
@pytest.mark.parametrize("seed", range(4))
def test_however_beats_follow_each_other_each_has_a_qrs_complex_and_nothing_is_lost(seed):
    """As two programs annotate one beat twice, a few samples apart; or the first and the last sample of the signal."""
    draw = np.random.default_rng(seed)
    positions = np.sort(np.concatenate([[0, 999], draw.integers(0, 1000, 30), [300, 301, 303]]))
    signal = Signal(draw.normal(size=(2, 1000)).cumsum(axis=1), ["II", "V1"], "mV", 100.0, beats=Beats(positions, "N" * 35))
    relevance = draw.normal(size=(2, 1000))
    found = summarize(signal, relevance)
    assert found.waves_found["QRS"] == len(found.beats)
    np.testing.assert_allclose(found.by_part().sum(), relevance.sum())


@pytest.mark.usefixtures("neurokit2")
def test_a_single_beat_has_a_qrs_complex_and_no_other_wave_is_made_up():
    signal = read_signal(E233).between(0, 0.9)
    waves = find_waves(signal)
    assert len(signal.beats) == 1
    assert [bool(waves.found(wave)[0]) for wave in ("P", "QRS", "T")] == [False, True, False]


@pytest.mark.usefixtures("neurokit2")
def test_the_waves_of_a_made_up_beat_are_found_where_they_were_put():
    rate = 500
    since = (np.arange(10 * rate) / rate - 0.1) % 0.8 - 0.3
    made = [(-0.16, 0.025, 0.14), (-0.025, 0.008, -0.06), (0, 0.011, 1.1), (0.03, 0.01, -0.15), (0.26, 0.045, 0.3)]
    trace = sum(height * np.exp(-0.5 * ((since - at) / width) ** 2) for at, width, height in made)
    peaks = np.flatnonzero(np.abs(since) < 1e-9)
    waves = find_waves(Signal([trace], ["II"], "mV", rate, beats=Beats(peaks, "N" * len(peaks))))
    for wave, at in (("P", -0.16), ("QRS", 0.0), ("T", 0.26)):
        kept = waves.found(wave)
        assert kept[1:-1].all()
        middle = waves.spans[wave][kept].mean(axis=1) - peaks[kept]
        np.testing.assert_allclose(middle / rate, at, atol=0.04)
