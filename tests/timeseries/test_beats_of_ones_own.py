"""Beats that are given or detected say so wherever they go, and stand where they were put."""

from dataclasses import replace

import numpy as np
import pytest

from places import ECG_DATA, PACKAGE_DATA
from signxai.common import InputError
from signxai.timeseries import Beats, Signal, beat_windows, detect_beats, read_beats, read_signal, resample

E208, E233 = ECG_DATA / "208_1020s.hea", PACKAGE_DATA / "233_1655s.hea"
SIGNAL = Signal(np.random.default_rng(0).normal(size=(2, 500)), ["II", "V1"], "mV", sampling_rate=100.0, name="made")


def test_where_beats_come_from_goes_with_them():
    pytest.importorskip("scipy")
    given = SIGNAL.with_beats(Beats([100, 200, 300], "N?V", origin="given"))
    assert "3 beats given" in repr(given)
    assert repr(given.with_beats(Beats([1, 2, 3], "NNN"))).endswith("3 beats")
    for moved in (given.between(0.5, 2.5), resample(given, 50.0), given.choose_leads("V1"), given.in_units("uV")):
        assert moved.beats.origin == "given"
    assert beat_windows(given, 0.1, 0.1).beats.origin == "given"
    with pytest.raises(InputError, match="origin='guessed'"):
        Beats([1], "N", origin="guessed")


# Files


TABLES = {
    "sample,symbol\n100,N\n250,V\n": "NV",
    "Sample\n100\n250\n": "??",
    "time (s);class\n1.0;N\n2.5;V\n": "NV",
    "time\tsymbol\n1\tN\n2.5\tV\n\n": "NV",
    "symbol,time_ms\nN,1000\nV,2500.4\n": "NV",
}


@pytest.mark.parametrize("text", TABLES)
def test_a_table_says_where_the_beats_are_and_maybe_what(tmp_path, text):
    (tmp_path / "mine.csv").write_text(text)
    beats = read_beats(tmp_path / "mine.csv", SIGNAL)
    assert (beats.positions.tolist(), "".join(beats.symbols), beats.origin) == ([100, 250], TABLES[text], "given")


def test_wfdb_annotations_of_any_name_are_beats():
    pytest.importorskip("wfdb")
    signal = read_signal(E233)
    beats = read_beats(E233.with_suffix(".atr"), signal)
    assert (beats.positions.tolist(), beats.symbols) == (signal.beats.positions.tolist(), signal.beats.symbols)
    assert beats.origin == "given"


WRONG = {
    "": "first line",
    "100\n250\n": "first line",
    "sample,time\n100,1.0\n": "first line",
    "sample\n": "no beat",
    "sample\n100.5\n": "line 2: '100.5' is no whole number",
    "time\nlater\n": "line 2: 'later' is no number",
    "time\nnan\n": "is no number",
    "time,symbol\n1.0\n": "line 2 has another number of fields",
    "sample\n100\n500\n": "a beat at 5 s; the signal runs from 0 s to 5 s",
    "time\n-0.1\n": "a beat at -0.1 s",
    "sample\n200\n100\n": "in the order of time",
    "sample,symbol\n100,X\n": "'X' stands for no beat",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_table_that_leaves_it_open_is_refused(tmp_path, text):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(InputError, match=WRONG[text]) as caught:
        read_beats(tmp_path / "mine.csv", SIGNAL)
    assert "mine.csv" in str(caught.value)


FOREIGN = {
    "beats.json": b'{"beats": [100, 250], "symbols": ["N", "V"]}',
    "beats": b"sample,symbol\n100,N\n250,V\n",
    "beats.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }" + b" " * 50 + b"\nd\x00\xfa\x01",
    "beats.qrs": b"\x12",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_file_of_annotations_is_refused_rather_than_read_as_one(tmp_path, name):
    pytest.importorskip("wfdb")
    (tmp_path / name).write_bytes(FOREIGN[name])
    with pytest.raises(InputError, match=r"holds no WFDB annotations.*tables of beats are \.csv"):
        read_beats(tmp_path / name, SIGNAL)


# Detection


def missed_and_wrong(found, annotated, within):
    """How many annotated beats have no detected one that near, and the other way round."""
    near = np.abs(found[:, None] - annotated) <= within
    return int((~near.any(axis=0)).sum()), int((~near.any(axis=1)).sum())


@pytest.mark.usefixtures("neurokit2")
@pytest.mark.parametrize("path", [E208, E233])
def test_beats_are_found_where_cardiologists_annotated_them(path):
    signal = read_signal(path)
    beats = detect_beats(signal)
    assert (beats.origin, set(beats.symbols)) == ("detected", {"?"})
    assert max(missed_and_wrong(beats.positions, signal.beats.positions, 0.15 * 360)) <= 1


@pytest.mark.usefixtures("neurokit2")
def test_the_unit_an_offset_and_leads_that_are_no_ecg_change_nothing():
    signal = read_signal(E233).between(0, 20)
    plain = detect_beats(signal).positions
    moved = replace(signal, values=1000 * signal.values + 300, units="uV")
    breathing = np.sin(np.arange(7200) / 300)
    more = Signal([*signal.values, breathing, np.zeros(7200)], ["MLII", "V1", "Resp", "V5"], ["mV", "mV", "ohm", "mV"], 360.0)
    for other in (moved, more, signal.with_beats(None)):
        np.testing.assert_array_equal(detect_beats(other).positions, plain)


@pytest.mark.usefixtures("neurokit2")
def test_one_lead_at_another_rate_is_enough():
    pytest.importorskip("scipy")
    signal = resample(read_signal(E233).choose_leads("MLII"), 250.0)
    assert max(missed_and_wrong(detect_beats(signal).positions, signal.beats.positions, 0.15 * 250)) <= 2


def with_a_gap():
    values = np.array(SIGNAL.values)
    values[0, 100:120] = np.nan
    return replace(SIGNAL, values=np.tile(values, 2))


def heart(per_minute, seconds=10, rate=250):
    """QRS complexes of 1 mV in a little noise."""
    since = (np.arange(seconds * rate) / rate) % (60 / per_minute) - 0.2
    return Signal([np.exp(-0.5 * (since / 0.012) ** 2) + np.random.default_rng(0).normal(0, 0.01, since.shape)], ["II"], "mV", rate)


@pytest.mark.usefixtures("neurokit2")
@pytest.mark.parametrize("per_minute", [60, 75, 150])
def test_hearts_at_rest_and_at_work_are_counted(per_minute):
    missed, wrong = missed_and_wrong(detect_beats(heart(per_minute)).positions, np.arange(50, 2500, 15_000 / per_minute), 0.15 * 250)
    assert missed <= 1  # the first or the last, at the edge
    assert wrong == 0


NOISE = np.random.default_rng(0).normal(0, 0.05, (2, 5000))
REFUSED = {
    "too fast": (lambda: heart(240), "does not stand out.*of 200 beats a minute"),
    "noise": (lambda: replace(SIGNAL, values=NOISE, sampling_rate=500.0), "does not stand out"),
    "wandering": (lambda: replace(SIGNAL, values=NOISE.cumsum(axis=1), sampling_rate=250.0), "does not stand out"),
    "gap": (with_a_gap, "gap in II from 1 s"),
    "coarse": (lambda: replace(SIGNAL, sampling_rate=50.0), "from 100 Hz on"),
    "short": (lambda: SIGNAL.between(0, 4), "too short"),
    "no voltage": (lambda: replace(SIGNAL, units="mmHg"), "leads of voltage"),
    "flat": (lambda: replace(SIGNAL, values=np.ones((2, 1000))), "no lead moves"),
}


@pytest.mark.usefixtures("neurokit2")
@pytest.mark.parametrize("name", REFUSED)
def test_where_no_beat_can_be_found_nothing_is_guessed(name):
    make, words = REFUSED[name]
    with pytest.raises(InputError, match=words):
        detect_beats(make())


def test_a_missing_detector_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "neurokit2", None)
    with pytest.raises(InputError, match=r'neurokit2.*pip install "signxai\[ecg\]"'):
        detect_beats(replace(SIGNAL, values=np.tile(SIGNAL.values, 2)))
