"""Signals cut, filtered, resampled and normalized keep what they should keep, by SciPy's and by plain analysis' measure."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from places import ECG_DATA
from refusals import raises
from signxai.common import InputError, OptionError
from signxai.timeseries import Beats, Normalization, Signal, bandpass, beat_windows, notch, read_signal, resample, window

pytest.importorskip("scipy")

E208 = ECG_DATA / "208_1020s.hea"
RANDOM = np.random.default_rng(0)


def sine(frequency, rate=250.0, seconds=20.0, phase=0.3):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate + phase)


def signal_of(*leads, rate=250.0, beats=None):
    return Signal(np.stack(leads), [f"V{lead + 1}" for lead in range(len(leads))], "mV", rate, "made", beats)


def middle(values, share=0.25):
    cut = int(values.shape[-1] * share)
    return values[..., cut:-cut]


# A signal


def test_a_signal_belongs_to_nobody_else():
    values = RANDOM.normal(size=(1, 10))
    signal = Signal(values, ["II"], "mV", 250)
    kept = values.copy()
    values[:] = 0
    np.testing.assert_array_equal(signal.values, kept)
    with pytest.raises(FrozenInstanceError):
        signal.sampling_rate = 100


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"values": np.zeros(5)}, ["leads, samples"]),
        ({"values": np.zeros((1, 0))}, ["leads, samples"]),
        ({"values": np.full((1, 5), np.inf)}, ["infinity"]),
        ({"values": np.zeros((1, 5), dtype=complex)}, ["complex"]),
        ({"values": [["a"]]}, ["real numbers"]),
        ({"lead_names": ["I", "II"]}, ["2 names"]),
        ({"units": ["mV", "mV"]}, ["2 units"]),
        ({"units": [""]}, ["'I'", "unit"]),
        ({"sampling_rate": 0}, ["sampling_rate=0"]),
        ({"sampling_rate": float("nan")}, ["sampling_rate=nan"]),
        ({"beats": Beats([5], "N")}, ["sample 5", "outside"]),
        ({"values": np.zeros((2, 5)), "lead_names": ["I", "I"], "units": "mV"}, ["name of its own"]),
    ],
)
def test_a_signal_that_cannot_be(changes, words):
    with raises(InputError, *words):
        replace(Signal(np.zeros((1, 5)), ["I"], ["mV"], 250), **changes)


def test_a_stretch_of_time_has_its_samples_and_its_beats():
    signal = read_signal(E208)
    part = signal.between(10, 20)
    np.testing.assert_array_equal(part.values, signal.values[:, 3600:7200])
    inside = [at for at in signal.beats.positions if 3600 <= at < 7200]
    np.testing.assert_array_equal(part.beats.positions, np.array(inside) - 3600)
    assert part.beats.symbols == tuple(
        symbol for at, symbol in zip(signal.beats.positions, signal.beats.symbols, strict=True) if 3600 <= at < 7200
    )
    assert part.duration == 10
    assert part.times[-1] == 10 - 1 / 360


@given(start=st.integers(0, 99), length=st.integers(1, 100), rate=st.sampled_from([1.0, 128.0, 250.0, 360.0, 1000.0]))
def test_two_stretches_that_meet_are_the_whole(start, length, rate):
    signal = signal_of(np.arange(200.0), rate=rate, beats=Beats(np.arange(0, 200, 7), "N" * 29))
    end = start + length
    parts = [signal.between(first / rate, last / rate) for first, last in ((0, start), (start, end), (end, 200)) if first < last]
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts], axis=1), signal.values)
    assert sum(len(part.beats) for part in parts) == 29


def test_a_time_means_its_nearest_sample():
    signal = signal_of(np.arange(100.0), rate=100)
    assert 0.29 * 100 < 29  # in floating point
    assert signal.between(0.29, 0.58).values[0].tolist() == [*range(29, 58)]
    assert signal.between(0.104, 0.106).values[0].tolist() == [10]


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (6, 5), (0, 20.1), (float("nan"), 5), (0, float("inf"))])
def test_a_stretch_outside_the_signal(start, end):
    with raises(OptionError, "s"):
        signal_of(sine(1)).between(start, end)


def test_units_are_converted_there_and_back_exactly_enough():
    signal = Signal(RANDOM.normal(size=(2, 999)), ["I", "II"], ["mV", "µV"], 250)
    assert signal.units == ("mV", "uV")
    in_volts = signal.in_units("V")
    np.testing.assert_allclose(in_volts.values, signal.values * [[1e-3], [1e-6]], rtol=1e-15)
    np.testing.assert_allclose(in_volts.in_units("mV").values[0], signal.values[0], rtol=1e-15)
    np.testing.assert_array_equal(signal.in_units("mv").values[0], signal.values[0])
    with raises(OptionError, "'mmHg'", "mV"):
        signal.in_units("mmHg")


# Resampling


@pytest.mark.parametrize(("rate", "new"), [(360, 250), (360, 500), (250, 1000), (1000, 250), (360, 360), (128.5, 257), (500, 333.25)])
@pytest.mark.parametrize("frequency", [0.5, 5.0, 25.0])
def test_a_resampled_sine_is_the_sine_at_the_new_times(rate, new, frequency):
    resampled = resample(signal_of(sine(frequency, rate), rate=rate), new)
    expected = sine(frequency, new, seconds=resampled.duration)
    assert resampled.sampling_rate == new
    assert resampled.values.shape[1] == int(np.ceil(round(20 * rate) * new / rate))
    np.testing.assert_allclose(middle(resampled.values[0], 0.1), middle(expected, 0.1), atol=2e-3)


def test_resampling_keeps_out_what_the_new_rate_cannot_hold():
    resampled = resample(signal_of(sine(5, 1000) + sine(300, 1000), rate=1000), 250)
    np.testing.assert_allclose(middle(resampled.values[0]), middle(sine(5, 250)), atol=5e-3)


def test_a_constant_stays_what_it_is_to_its_ends():
    np.testing.assert_allclose(resample(signal_of(np.full(500, 3.0), rate=360), 250).values, 3.0, rtol=1e-3)


@pytest.mark.parametrize("new", [250.0, 720.0, 1000.0, 100.0])
def test_beats_stay_at_their_time_within_half_a_sample(new):
    signal = read_signal(E208)
    moved = resample(signal, new)
    assert moved.beats.symbols == signal.beats.symbols
    assert np.abs(moved.beats.positions / new - signal.beats.positions / 360).max() <= 0.5 / new + 1e-12


def test_the_peaks_of_the_beats_stay_under_them():
    """At each annotated beat the resampled trace has the value that the trace had."""
    signal = bandpass(read_signal(E208), 0.5, 30)
    moved = resample(signal, 720)
    before, after = (s.values[:, s.beats.positions] for s in (signal, moved))
    np.testing.assert_allclose(after, before, atol=0.01 * np.abs(before).max())


def test_a_beat_at_the_last_sample_stays_within():
    resampled = resample(signal_of(sine(1, 360), rate=360, beats=Beats([7199], "N")), 100)
    assert resampled.beats.positions[-1] < resampled.values.shape[1]


@pytest.mark.parametrize("rate", [0, -250, float("nan"), float("inf"), 250 * np.pi, 1e-9, 1e9])
def test_a_rate_that_cannot_be(rate):
    with raises(OptionError, "rate="):
        resample(signal_of(sine(5)), rate)


# Filters


def test_a_notch_takes_out_its_frequency_and_leaves_the_rest():
    filtered = notch(signal_of(sine(5) + sine(50), sine(12)), 50)
    np.testing.assert_allclose(middle(filtered.values[0]), middle(sine(5)), atol=1e-3)
    np.testing.assert_allclose(middle(filtered.values[1]), middle(sine(12)), atol=1e-3)


@pytest.mark.parametrize("quality", [10.0, 30.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_notch_is_as_wide_as_its_quality_says(quality, side):
    """At the edges of a resonance (their product is f^2, their distance f / quality) one pass leaves -3 dB, both half the amplitude."""
    edge = 50 * (np.sqrt(1 + 1 / (4 * quality**2)) + side / (2 * quality))
    filtered = notch(signal_of(sine(edge, rate=4000), rate=4000), 50, quality)
    assert np.sqrt(2 * np.mean(middle(filtered.values) ** 2)) == pytest.approx(0.5, rel=0.01)


def test_a_bandpass_keeps_its_band_and_takes_out_drift_and_noise():
    drift, ecg, noise = sine(0.05, seconds=60), sine(10, seconds=60), sine(100, seconds=60)
    filtered = bandpass(signal_of(3 * drift + ecg + noise), 0.5, 40)
    np.testing.assert_allclose(middle(filtered.values[0]), middle(ecg), atol=3e-3)


@pytest.mark.parametrize("edge", [2.0, 40.0])
def test_half_of_the_amplitude_remains_at_the_edges_of_the_band(edge):
    filtered = bandpass(signal_of(sine(edge)), 2, 40)
    assert np.sqrt(2 * np.mean(middle(filtered.values) ** 2)) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("filtering", [lambda s: bandpass(s, 1, 40), lambda s: notch(s, 50), lambda s: resample(s, 250)])
def test_filters_do_not_shift_in_time(filtering):
    """What is the same forwards and backwards stays so: only a filter without delay does that."""
    pulse = np.exp(-0.5 * ((np.arange(2001) - 1000) / 5) ** 2)
    filtered = filtering(signal_of(pulse)).values[0]
    np.testing.assert_allclose(filtered, filtered[::-1], atol=1e-6)
    assert filtered.argmax() == 1000


@pytest.mark.parametrize("filtering", [lambda s: bandpass(s, 1, 40), lambda s: notch(s, 50)])
def test_filters_treat_leads_alone_and_linearly_and_leave_the_rest_of_the_signal(filtering):
    signal = read_signal(E208)
    filtered = filtering(signal)
    alone = filtering(signal.choose_leads("V1"))
    np.testing.assert_allclose(filtered.values[1:], alone.values, atol=1e-12)
    twice = filtering(replace(signal, values=2 * signal.values))
    np.testing.assert_allclose(twice.values, 2 * filtered.values, atol=1e-10)
    assert (filtered.lead_names, filtered.units, filtered.sampling_rate) == (signal.lead_names, signal.units, 360)
    np.testing.assert_array_equal(filtered.beats.positions, signal.beats.positions)


def test_the_filters_are_scipys():
    from scipy.signal import butter, filtfilt, iirnotch

    leads = RANDOM.normal(size=(2, 5000)).cumsum(axis=1) / 100
    band = filtfilt(*butter(4, (5, 40), "bandpass", fs=250), leads)
    np.testing.assert_allclose(middle(bandpass(signal_of(*leads), 5, 40).values), middle(band), atol=1e-9)
    np.testing.assert_allclose(middle(notch(signal_of(*leads), 50).values), middle(filtfilt(*iirnotch(50, 30, fs=250), leads)), atol=1e-9)


@pytest.mark.parametrize(("low", "high"), [(0, 40), (-1, 40), (40, 40), (40, 0.5), (0.5, 125), (0.5, 200), (float("nan"), 40)])
def test_a_band_that_cannot_be(low, high):
    with raises(OptionError, "low=", "125 Hz"):
        bandpass(signal_of(sine(5)), low, high)


@pytest.mark.parametrize("options", [{"frequency": 0}, {"frequency": 125}, {"frequency": 300}, {"frequency": 50, "quality": 0}])
def test_a_notch_that_cannot_be(options):
    with raises(OptionError, "frequency|quality"):
        notch(signal_of(sine(5)), **options)


def test_a_signal_too_short_for_a_filter_says_how_long_it_must_be():
    short = signal_of(sine(5, seconds=0.5))
    with raises(InputError, "made", "0.5 s are too short", "at least 2 s"):
        bandpass(short, 0.5, 40)
    with raises(InputError, "too short", "at least 0.6 s"):
        notch(short, 50)
    with raises(InputError, "too short"):
        bandpass(signal_of([1.0]), 100, 120)
    assert bandpass(short, 2, 40).values.shape == short.values.shape


@pytest.mark.parametrize("filtering", [lambda s: bandpass(s, 1, 40), lambda s: notch(s, 50), lambda s: resample(s, 100)])
def test_a_gap_is_not_spread(filtering):
    values = sine(5)
    values[100:200] = np.nan
    with raises(InputError, "V1 from 0.4 s to 0.8 s", "between"):
        filtering(signal_of(values))


# Windows


def test_a_window_has_its_samples():
    signal = read_signal(E208)
    np.testing.assert_array_equal(window(signal, 100, 388), signal.values[:, 100:388])


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (0, 5001), (0.0, 5), (True, 5)])
def test_a_window_outside_the_signal(start, end):
    with raises(OptionError, "start="):
        window(signal_of(sine(5)), start, end)


@settings(deadline=None)
@given(
    samples=st.integers(1, 60),
    places=st.lists(st.integers(0, 59), max_size=20),
    before=st.integers(0, 12),
    after=st.integers(1, 12),
    missing=st.sets(st.integers(0, 59), max_size=3),
    rate=st.sampled_from([1.0, 250.0, 360.0]),
)
def test_each_beat_has_the_window_around_it_or_is_said_to_have_none(samples, places, before, after, missing, rate):
    places = sorted(place for place in places if place < samples)
    values = np.arange(2.0 * samples).reshape(2, samples)
    values[0, [place for place in missing if place < samples]] = np.nan
    signal = signal_of(*values, rate=rate, beats=Beats(np.array(places, dtype=int), "NV" * (len(places) // 2) + "N" * (len(places) % 2)))
    around = beat_windows(signal, before / rate, after / rate)
    assert around.values.shape == (len(around.indices), 2, before + after)
    assert around.values.dtype == np.float64
    assert sorted([*around.indices, *around.at_an_edge, *around.in_a_gap]) == list(range(len(places)))
    for index in range(len(places)):
        start, end = places[index] - before, places[index] + after
        if start < 0 or end > samples:
            assert index in around.at_an_edge
        elif np.isnan(values[:, start:end]).any():
            assert index in around.in_a_gap
        else:
            row = list(around.indices).index(index)
            np.testing.assert_array_equal(around.values[row], values[:, start:end])
            np.testing.assert_array_equal(around.values[row, :, around.beat_at], values[:, places[index]])
            assert (around.beats.positions[row], around.beats.symbols[row]) == (places[index], signal.beats.symbols[index])


def test_windows_of_a_real_record_start_where_they_should():
    signal = read_signal(E208)
    around = beat_windows(signal, 0.25, 0.5)
    assert around.values.shape == (len(around), 2, 90 + 180)
    np.testing.assert_array_equal(around.values[3], window(signal, around.beats.positions[3] - 90, around.beats.positions[3] + 180))
    assert len(around) + len(around.at_an_edge) == len(signal.beats)


def test_windows_that_cannot_be():
    signal = read_signal(E208)
    for options in ({"before_s": -1, "after_s": 1}, {"before_s": 1, "after_s": 0}, {"before_s": float("nan"), "after_s": 1}):
        with raises(OptionError, "_s="):
            beat_windows(signal, **options)
    with raises(InputError, "made", "no annotated beats"):
        beat_windows(signal_of(sine(5)), 0.1, 0.1)
    with raises(InputError, "gap"):
        window(signal_of([0.0, np.nan, 1.0]), 0, 3)


# Normalization


BOTH = pytest.mark.parametrize("fit", [Normalization.z_score, Normalization.robust])


@BOTH
def test_undo_gives_back_what_apply_took(fit):
    signal = read_signal(E208)
    normalization = fit(signal)
    np.testing.assert_allclose(normalization.undo(normalization.apply(signal)), signal.values, rtol=1e-13, atol=1e-13)
    windows = beat_windows(signal, 0.3, 0.5).values
    np.testing.assert_allclose(normalization.undo(normalization.apply(windows)), windows, rtol=1e-13, atol=1e-13)


@settings(deadline=None)
@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(3, 30)), elements=st.floats(-1e6, 1e6)),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_undo_inverts_apply_for_any_scale(values, scale, center):
    normalization = Normalization(np.full(len(values), center), np.full(len(values), scale))
    np.testing.assert_allclose(normalization.undo(normalization.apply(values)), values, rtol=1e-12, atol=1e-12 * (abs(center) + 1))


def test_a_z_score_has_mean_zero_and_deviation_one_and_a_robust_one_median_zero_and_quartiles_one_apart():
    values = read_signal(E208).values
    scored = Normalization.z_score(values).apply(values)
    np.testing.assert_allclose(scored.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(scored.std(axis=1), 1, rtol=1e-12)
    robust = Normalization.robust(values).apply(values)
    np.testing.assert_allclose(np.median(robust, axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.subtract(*np.quantile(robust, [0.75, 0.25], axis=1)), 1, rtol=1e-12)


@BOTH
def test_a_normalization_knows_no_unit(fit):
    signal = read_signal(E208)
    in_microvolts = signal.in_units("uV")
    np.testing.assert_allclose(fit(signal).apply(signal), fit(in_microvolts).apply(in_microvolts), atol=1e-9)


@BOTH
def test_windows_are_fitted_as_all_their_values_of_a_lead(fit):
    windows = beat_windows(read_signal(E208), 0.3, 0.5).values
    by_lead = np.stack([windows[:, 0].ravel(), windows[:, 1].ravel()])
    np.testing.assert_allclose(fit(windows).center, fit(by_lead).center)
    np.testing.assert_allclose(fit(windows).scale, fit(by_lead).scale)


@BOTH
def test_gaps_do_not_count_and_stay_gaps(fit):
    values = RANDOM.normal(size=(2, 50))
    with_gap = np.concatenate([values, np.full((2, 7), np.nan)], axis=1)
    np.testing.assert_allclose(fit(with_gap).scale, fit(values).scale)
    assert np.isnan(fit(with_gap).apply(with_gap)).sum() == 14


@BOTH
@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((1, 50), 0.1), ["lead 0", "flat"]),
        (Signal([np.arange(9.0), np.full(9, 0.3)], ["II", "V1"], "mV", 250), ["'V1'", "flat"]),
        (np.full((1, 5), np.nan), ["no values"]),
        (np.array([[1.0, np.inf]]), ["infinity"]),
        (np.zeros(5), ["leads, samples"]),
        (np.array([["a", "b"]]), ["real numbers"]),
    ],
)
def test_what_no_normalization_can_be_fitted_on(fit, values, words):
    with raises(InputError, *words):
        fit(values)


def test_a_normalization_of_other_leads_is_refused():
    normalization = Normalization.z_score(RANDOM.normal(size=(2, 9)))
    for change in (normalization.apply, normalization.undo):
        with raises(InputError, "3 leads", "fitted were 2"):
            change(RANDOM.normal(size=(3, 9)))
    for center, scale in (([0.0], [0.0]), ([0.0], [-1.0]), ([np.nan], [1.0]), ([0.0, 0.0], [1.0]), (0.0, 1.0)):
        with raises(InputError, "center"):
            Normalization(center, scale)
