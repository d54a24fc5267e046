"""Signals come out of files as they went in, and what a file lacks or gets wrong is said."""

import csv
import itertools
import shutil
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from places import ECG_DATA, PACKAGE_DATA, ROOT
from processes import loaded
from refusals import raises
from signxai.common import InputError, OptionError
from signxai.timeseries import AAMI_CLASSES, Beats, Signal, check_signal, find_flat_lines, find_gaps, formats, read_signal
from signxai.timeseries.file_content import FileContent

pytest.importorskip("wfdb")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # pandas warns of wfdb's use of it
    import wfdb

EXCERPTS = ECG_DATA
E208, E233 = EXCERPTS / "208_1020s.hea", PACKAGE_DATA / "233_1655s.hea"
MITDB = ROOT.parent / "shared" / "mitdb"
WAVES = np.random.default_rng(0).normal(size=(2, 500)).cumsum(axis=1) / 50


def with_wfdb(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return function(*arguments, **options)


def record(folder, values, units=("mV", "mV"), names=("I", "II"), name="made", rate=250, **options):
    """A WFDB record as wfdb itself writes it."""
    with_wfdb(
        wfdb.wrsamp, name, fs=rate, units=list(units), sig_name=list(names), p_signal=np.asarray(values).T, fmt=["32"] * len(names),
        write_dir=str(folder), **options,
    )  # fmt: skip
    return folder / f"{name}.hea"


# WFDB


@pytest.mark.parametrize("path", [E208, E233])
def test_a_record_is_what_wfdb_reads(path):
    signal = read_signal(path)
    values, fields = with_wfdb(wfdb.rdsamp, str(path.with_suffix("")))
    np.testing.assert_array_equal(signal.values, values.T)
    assert signal.values.dtype == np.float64
    assert list(signal.lead_names) == fields["sig_name"] == ["MLII", "V1"]
    assert list(signal.units) == fields["units"] == ["mV", "mV"]
    assert (signal.sampling_rate, signal.name) == (fields["fs"], path.stem)


@pytest.mark.parametrize("path", [E208, E233])
def test_the_beats_are_the_annotations_that_stand_for_a_beat(path):
    beats = read_signal(path).beats
    annotations = with_wfdb(wfdb.rdann, str(path.with_suffix("")), "atr")
    expected = [(at, symbol) for at, symbol in zip(annotations.sample, annotations.symbol, strict=True) if symbol != "+"]  # + : rhythm
    assert list(zip(beats.positions, beats.symbols, strict=True)) == expected
    assert {*"NVF"} <= set(beats.classes)


def test_a_record_is_found_by_any_of_its_files_and_without_suffix():
    for path in (E208, E208.with_suffix(".dat"), E208.with_suffix(".atr"), E208.with_suffix(""), str(E208)):
        np.testing.assert_array_equal(read_signal(path).values, read_signal(E208).values)


@pytest.mark.skipif(not MITDB.is_dir(), reason="the whole database is not here")
@pytest.mark.parametrize(("path", "start"), [(E208, 1020), (E233, 1655)])
def test_the_excerpts_are_the_databases_samples_and_beats(path, start):
    whole = read_signal(MITDB / path.stem.split("_")[0]).between(start, start + 60)
    excerpt = read_signal(path)
    np.testing.assert_array_equal(excerpt.values, whole.values)
    np.testing.assert_array_equal(excerpt.beats.positions, whole.beats.positions)
    assert excerpt.beats.symbols == whole.beats.symbols


# Moody and Mark (2001) and the database's table of beats: counts per symbol of whole records.
COUNTS = {"100": {"N": 2239, "S": 33, "V": 1}, "208": {"N": 1586, "S": 2, "V": 992, "F": 373, "Q": 2}}


@pytest.mark.skipif(not MITDB.is_dir(), reason="the whole database is not here")
@pytest.mark.parametrize("name", COUNTS)
def test_whole_records_have_the_published_numbers_of_beats(name):
    classes = read_signal(MITDB / name).beats.classes
    assert {each: classes.count(each) for each in set(classes)} == COUNTS[name]


def test_leads_are_chosen_by_name_in_the_order_asked_for():
    signal = read_signal(E208, lead_names=["V1", "MLII"])
    np.testing.assert_array_equal(signal.values, read_signal(E208).values[::-1])
    assert signal.lead_names == ("V1", "MLII")


def test_a_missing_lead_is_named_with_those_that_are_there():
    with raises(InputError, "208_1020s", "'aVF'", "MLII, V1"):
        read_signal(E208, lead_names=["MLII", "aVF"])
    with raises(InputError, "'aVF'", "MLII, V1"):
        read_signal(E208).choose_leads("aVF")
    with raises(OptionError, "list"):
        read_signal(E208, lead_names="MLII")
    with raises(OptionError, "once"):
        read_signal(E208, lead_names=["V1", "V1"])


def test_leads_of_different_sampling_rates_are_refused_and_can_be_read_apart(tmp_path):
    fast, slow = np.arange(800), np.arange(200)
    frames = np.concatenate([fast.reshape(200, 4), slow[:, None]], axis=1)
    frames.astype("<i2").tofile(tmp_path / "mixed.dat")
    (tmp_path / "mixed.hea").write_text("mixed 2 62.5 200\nmixed.dat 16x4 200/mV 16 0 0 0 0 II\nmixed.dat 16 200/mV 16 0 0 0 0 Resp\n")
    with raises(InputError, "II at 250 Hz", "Resp at 62.5 Hz", "lead_names="):
        read_signal(tmp_path / "mixed.hea")
    signal = read_signal(tmp_path / "mixed.hea", lead_names=["II"])
    assert signal.sampling_rate == 250
    np.testing.assert_array_equal(signal.values[0], fast / 200.0)


def test_annotations_in_a_clock_of_their_own_lie_at_the_same_time(tmp_path):
    path = record(tmp_path, np.random.default_rng(4).normal(size=(2, 60 * 720)), rate=720)
    shutil.copy(E208.with_suffix(".atr"), tmp_path / "made.qrs")  # these say themselves that they count at 360 Hz
    assert read_signal(path).beats is None  # the reference annotations would be made.atr
    np.testing.assert_array_equal(read_signal(path, annotator="qrs").beats.positions, 2 * read_signal(E208).beats.positions)
    with raises(OptionError, "annotator='ecg'", r"made\.ecg"):
        read_signal(path, annotator="ecg")


def several_segments(folder):
    """The headers of a record of variable layout: a segment that says what leads there are, two with data, none between them."""
    (folder / "whole.hea").write_text("whole/4 2 250 500\nlayout 0\nfirst 200\n~ 100\nlast 200\n")
    (folder / "layout.hea").write_text("layout 2 250 0\n~ 0 200 16 0 0 0 0 I\n~ 0 200 16 0 0 0 0 II\n")


def test_segments_in_different_units_are_refused(tmp_path):
    record(tmp_path, WAVES[:, :200], name="first")
    record(tmp_path, WAVES[:, 300:], units=["uV", "uV"], name="last")
    several_segments(tmp_path)
    with raises(InputError, "whole", "different units"):
        read_signal(tmp_path / "whole.hea")


def test_a_record_of_several_segments_is_one_signal_with_its_gap_named(tmp_path):
    record(tmp_path, WAVES[:, :200], name="first")
    record(tmp_path, WAVES[:, 300:], name="last")
    several_segments(tmp_path)
    with raises(InputError, "whole", "gaps", "I from 0.8 s to 1.2 s", "II from 0.8 s to 1.2 s"):
        read_signal(tmp_path / "whole.hea")
    signal = read_signal(tmp_path / "whole.hea", check=False)
    assert np.isnan(signal.values[:, 200:300]).all()
    np.testing.assert_allclose(signal.between(1.2, 2.0).values, WAVES[:, 300:], atol=1e-7)


@pytest.mark.parametrize("content", ["", "nonsense\n", "208 two 360 650000\n", "x 1 250 100\nmissing.dat 16 200 12 0 0 0 0 I\n"])
def test_a_broken_header_is_an_error_that_names_the_file(tmp_path, content):
    (tmp_path / "x.hea").write_text(content)
    with pytest.raises((InputError, OSError), match=r"x\.hea|missing\.dat"):
        read_signal(tmp_path / "x.hea")


def test_a_record_that_is_cut_off_or_whose_annotations_are_no_annotations_is_refused(tmp_path):
    for suffix in (".hea", ".dat", ".atr"):
        shutil.copy(E208.with_suffix(suffix), tmp_path)
    (tmp_path / E208.name).with_suffix(".dat").write_bytes(E208.with_suffix(".dat").read_bytes()[:1000])
    with raises(InputError, r"208_1020s\.hea", "WFDB record"):
        read_signal(tmp_path / E208.name)
    (tmp_path / E208.name).with_suffix(".dat").write_bytes(E208.with_suffix(".dat").read_bytes())
    (tmp_path / E208.name).with_suffix(".atr").write_bytes(b"\x01")
    with raises(InputError, r"208_1020s\.atr"):
        read_signal(tmp_path / E208.name)


@pytest.mark.parametrize("note", [b"## time_resolution: 360", b"## time resolution: abc", b"## something: else 1234"])
def test_a_definition_that_wfdb_would_never_leave_is_refused(tmp_path, note):
    content = E208.with_suffix(".atr").read_bytes()
    known = b"## time resolution: 360"
    assert content.count(known) == 1
    for suffix in (".hea", ".dat"):
        shutil.copy(E208.with_suffix(suffix), tmp_path)
    (tmp_path / E208.name).with_suffix(".atr").write_bytes(content.replace(known, note))
    with raises(InputError, r"208_1020s\.atr", "'## '"):
        read_signal(tmp_path / E208.name)


def test_files_that_are_not_there():
    for name in ("none.hea", "none.edf", "none.csv", "none.npy"):
        with pytest.raises(FileNotFoundError, match="none"):
            read_signal(name, sampling_rate=1, units="mV")
    with raises(OptionError, r"none\.hea", r"\.edf"):
        read_signal("none")
    with raises(OptionError, r"picture\.png", r"\.csv"):
        read_signal("picture.png")


# AAMI classes


def test_every_beat_symbol_of_wfdb_has_a_class_and_nothing_else_has():
    """PhysioNet lists as beats N L R B A a J S V r F e j n E / f Q ?."""
    assert set(AAMI_CLASSES) == set("NLRBAaJSVrFejnE/fQ?")
    assert set(AAMI_CLASSES) <= {label.symbol for label in wfdb.io.annotation.ann_labels}


# de Chazal, O'Dwyer, Reilly (2004), table II, for the symbols of the MIT-BIH database.
DE_CHAZAL = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}


def test_the_classes_are_those_of_the_literature():
    symbols = "".join(DE_CHAZAL.values())
    assert Beats(range(len(symbols)), symbols).classes == tuple(name for name, each in DE_CHAZAL.items() for _ in each)


@pytest.mark.parametrize(
    ("positions", "symbols", "words"),
    [([1, 2], "N", ["1 symbols"]), ([-1], "N", ["from 0"]), ([5, 3], "NN", ["order"]), ([1.5], "N", ["float64"]), ([1], "+", [r"'\+'"])],
)
def test_beats_that_cannot_be(positions, symbols, words):
    with raises(InputError, *words):
        Beats(positions, symbols)


# EDF


def edf(folder, leads, annotations=None, name="made.edf", **options):
    edfio = pytest.importorskip("edfio")
    kind, file = (edfio.BdfSignal, edfio.Bdf) if name.endswith("bdf") else (edfio.EdfSignal, edfio.Edf)
    signals = [kind(np.asarray(values), rate, label=label, physical_dimension=unit) for values, rate, label, unit in leads]
    file(signals, annotations=annotations, **options).write(folder / name)
    return folder / name


@pytest.mark.parametrize(("name", "steps"), [("made.edf", 2**16 - 1), ("made.bdf", 2**16 - 1)])
def test_edf_and_bdf_give_back_what_was_written_to_within_half_a_step(tmp_path, name, steps):
    path = edf(tmp_path, [(WAVES[0], 250, "ECG I", "mV"), (1000 * WAVES[1], 250, "ECG II", "uV")], name=name)
    signal = read_signal(path)
    for values, expected in zip(signal.values, [WAVES[0], 1000 * WAVES[1]], strict=True):
        # Beside the steps of the digits, the header keeps eight characters of the range.
        np.testing.assert_allclose(values, expected, atol=0.51 * np.ptp(expected) / steps + 2e-6 * np.abs(expected).max())
    assert (signal.lead_names, signal.units, signal.sampling_rate) == (("ECG I", "ECG II"), ("mV", "uV"), 250)
    np.testing.assert_allclose(signal.in_units("mV").values, WAVES, atol=1e-3)


def test_the_annotations_of_an_edf_plus_do_not_become_leads(tmp_path):
    edfio = pytest.importorskip("edfio")
    path = edf(tmp_path, [(WAVES[0], 250, "II", "mV")], [edfio.EdfAnnotation(0.5, None, "N")])
    signal = read_signal(path)
    assert (signal.lead_names, signal.beats) == (("II",), None)


def test_an_edf_with_leads_of_different_rates_is_refused_and_can_be_read_apart(tmp_path):
    path = edf(tmp_path, [(WAVES[0], 250, "II", "mV"), (WAVES[1, :100], 50, "Resp", "mV")])
    with raises(InputError, "II at 250 Hz", "Resp at 50 Hz", "lead_names="):
        read_signal(path)
    assert read_signal(path, lead_names=["Resp"]).values.shape == (1, 100)


def test_an_edf_whose_records_do_not_follow_each_other_is_refused(tmp_path):
    path = edf(tmp_path, [(WAVES[0], 250, "II", "mV")], [], data_record_duration=1)
    content = path.read_bytes()
    assert content.count(b"+1\x14\x14") == 1  # the second record's time: one second
    path.write_bytes(content.replace(b"+1\x14\x14", b"+9\x14\x14").replace(b"EDF+C", b"EDF+D"))
    with raises(InputError, r"made\.edf", "gaps between its records"):
        read_signal(path)


@pytest.mark.parametrize("length", [0, 100, 300, 1000])
@pytest.mark.parametrize("name", ["made.edf", "made.bdf"])
def test_an_edf_that_is_cut_off_is_refused(tmp_path, name, length):
    path = edf(tmp_path, [(WAVES[0], 250, "II", "mV")], name=name)
    path.write_bytes(path.read_bytes()[:length])
    with raises(InputError, name.replace(".", r"\.")):
        read_signal(path)


@pytest.mark.parametrize("name", ["made.edf", "made.bdf"])
@pytest.mark.parametrize("missing", [1, 250 * 3])
def test_an_edf_that_lacks_a_part_of_its_end_is_refused(tmp_path, name, missing):
    path = edf(tmp_path, [(WAVES[0], 250, "II", "mV")], name=name, data_record_duration=1)
    path.write_bytes(path.read_bytes()[:-missing])
    with raises(InputError, name.replace(".", r"\."), "record"):
        read_signal(path)


def test_an_edf_of_annotations_alone_holds_no_lead(tmp_path):
    edfio = pytest.importorskip("edfio")
    with raises(InputError, "no lead"):
        read_signal(edf(tmp_path, [], [edfio.EdfAnnotation(0.5, None, "N")]))


def test_the_micro_sign_is_u_and_two_leads_of_one_name_are_told_apart(tmp_path):
    path = edf(tmp_path, [(1e3 * WAVES[0], 250, "ECG", "uV"), (1e3 * WAVES[1], 250, "ECG", "uV")])
    path.write_bytes(path.read_bytes().replace(b"uV", "µV".encode("latin-1")))
    signal = read_signal(path)
    assert (signal.units, signal.lead_names) == (("uV", "uV"), ("ECG", "ECG_2"))


# CSV


def table(folder, *lines, name="made.csv"):
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


@settings(deadline=None, max_examples=25)
@given(
    values=arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 40)), elements=st.floats(-1e3, 1e3)),
    rate=st.sampled_from([50.0, 128.5, 250.0, 360.0, 500.0, 1000.0]),
)
def test_a_table_gives_back_what_was_written(tmp_path_factory, values, rate):
    path = tmp_path_factory.mktemp("csv") / "made.csv"
    names = [f"V{lead + 1}" for lead in range(len(values))]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *names])
        writer.writerows([index / rate, *row] for index, row in enumerate(values.T.tolist()))
    signal = read_signal(path, units="mV", check=False)
    np.testing.assert_array_equal(signal.values, values)
    assert list(signal.lead_names) == names
    assert signal.sampling_rate == pytest.approx(rate, rel=1e-9)


def test_a_table_as_pandas_writes_it(tmp_path):
    import pandas

    path = tmp_path / "frame.csv"
    pandas.DataFrame(WAVES.T, columns=["I", "II"]).to_csv(path)
    signal = read_signal(path, sampling_rate=250, units="mV")
    np.testing.assert_array_equal(signal.values, WAVES)
    assert signal.lead_names == ("I", "II")


def test_a_table_as_the_tools_of_wfdb_write_it(tmp_path):
    """Quoted names, units in a second line, times of day rounded to milliseconds."""
    times = [f"'0:{index / 360:06.3f}'" for index in range(720)]
    rows = [f"{time},{index % 7 / 10:.3f},{index % 5 / 10:.3f}" for index, time in enumerate(times)]
    signal = read_signal(table(tmp_path, "'Elapsed time','MLII','V1'", "'mm:ss.mmm','mV','mV'", *rows))
    assert (signal.lead_names, signal.units, signal.sampling_rate) == (("MLII", "V1"), ("mV", "mV"), 360.0)
    np.testing.assert_allclose(signal.values, [np.arange(720) % 7 / 10, np.arange(720) % 5 / 10])


@pytest.mark.parametrize(
    "lines",
    [
        ["time_ms,II (mV)", "0,0.5", "4,-0.5", "8,1"],
        ["time [ms];II [mV]", "0;0,5", "4;-0,5", "8;1"],
        ["Time (s)\tII (mV)", "0,000\t0,5", "0,004\t-0,5", "0,008\t1"],
        ["\ufeffsample,time,II (mV)", "0,0,0.5", "1,0.004,-0.5", "2,0.008,1", "", ""],
        ["II (mV),ms", "0.5,100", "-0.5,104", "1,108"],
    ],
)
def test_the_ways_to_write_a_table(tmp_path, lines):
    signal = read_signal(table(tmp_path, *lines), check=False)
    np.testing.assert_array_equal(signal.values, [[0.5, -0.5, 1.0]])
    assert (signal.lead_names, signal.units, signal.sampling_rate) == (("II",), ("mV",), 250.0)


WRONG_TABLES = {
    "no names": (["0.0,1.0", "0.1,2.0"], ["first line", "names?"]),
    "not a number": (["time,II (mV)", "0,1", "1,high"], ["line 3", "'II'|II", "'high'"]),
    "not a number below units": (["time,II", "s,mV", "0,1", "1,high"], ["line 4", "'high'"]),
    "short line": (["time,II (mV)", "0,1", "1"], ["line 3", "1 fields", "2 columns"]),
    "empty": ([""], ["first line"]),
    "no samples": (["time,II (mV)"], ["no sample"]),
    "no lead": (["time", "0", "1"], ["no lead"]),
    "missing line": (["time,II (mV)", "0,1", "1,2", "3,3", "4,4", "5,5"], ["from 1 to 3", "gap"]),
    "missing sample": (["sample,II (mV)", "0,1", "1,2", "3,3", "4,4", "5,5"], ["from 1 to 3", "gap"]),
    "backwards": (["time,II (mV)", "2,1", "1,2", "0,3"], ["does not rise"]),
    "time missing": (["time,II (mV)", "0,1", ",2", "2,3"], ["'time'", "every line"]),
    "unknown time": (["time (h),II (mV)", "0,1", "1,2"], ["times in 'h'", "ms"]),
    "gap": (["time,II (mV)", "0,1", "1,", "2,nan", "3,4"], ["gaps", "II from 1 s to 3 s"]),
    "infinite": (["time,II (mV)", "0,1", "1,inf"], ["infinity"]),
}


@pytest.mark.parametrize("fault", WRONG_TABLES)
def test_a_table_that_cannot_be_a_signal(tmp_path, fault):
    lines, words = WRONG_TABLES[fault]
    with raises(InputError, *words):
        read_signal(table(tmp_path, *lines))


def test_a_gap_of_a_table_is_nan_where_it_is_read_unchecked(tmp_path):
    signal = read_signal(table(tmp_path, "time,II (mV)", "0,1", "1,", "2,-", "3,4"), check=False)
    np.testing.assert_array_equal(signal.values, [[1.0, np.nan, np.nan, 4.0]])


def test_times_that_are_too_coarse_ask_for_the_sampling_rate(tmp_path):
    path = table(tmp_path, "time_ms,II (mV)", "3,1", "6,2", "8,3")
    with raises(OptionError, "coarse", "sampling_rate="):
        read_signal(path)
    assert read_signal(path, sampling_rate=360).sampling_rate == 360
    with raises(OptionError, "not 1000 Hz"):
        read_signal(path, sampling_rate=1000)


def test_a_table_in_another_encoding_or_of_bytes_is_refused(tmp_path):
    (tmp_path / "made.csv").write_bytes(b"time,II \xff(mV)\n0,1\n")
    with raises(InputError, r"made\.csv"):
        read_signal(tmp_path / "made.csv")


# Arrays


def test_an_array_is_read_with_what_the_caller_says_of_it(tmp_path):
    np.save(tmp_path / "made.npy", WAVES)
    signal = read_signal(tmp_path / "made.npy", sampling_rate=250, lead_names=["I", "II"], units="mV")
    np.testing.assert_array_equal(signal.values, WAVES)
    assert (signal.lead_names, signal.units, signal.sampling_rate, signal.name) == (("I", "II"), ("mV", "mV"), 250, "made")
    assert read_signal(tmp_path / "made.npy", sampling_rate=250, units=["mV", "uV"], check=False).lead_names == ("1", "2")


def test_an_npz_says_itself_what_it_holds(tmp_path):
    np.savez(tmp_path / "made.npz", x=WAVES, sampling_rate=250.0, lead_names=["I", "II"], units="mV")
    signal = read_signal(tmp_path / "made.npz", lead_names=["II"])
    np.testing.assert_array_equal(signal.values, WAVES[1:])
    assert (signal.lead_names, signal.units, signal.sampling_rate) == (("II",), ("mV",), 250)


def test_what_a_file_does_not_say_is_asked_for(tmp_path):
    np.save(tmp_path / "made.npy", WAVES)
    with raises(OptionError, "sampling_rate="):
        read_signal(tmp_path / "made.npy", units="mV")
    with raises(OptionError, "units="):
        read_signal(tmp_path / "made.npy", sampling_rate=250)
    with raises(OptionError, "3 names for 2 leads"):
        read_signal(tmp_path / "made.npy", sampling_rate=250, units="mV", lead_names=["I", "II", "III"])
    with raises(OptionError, "units="):
        read_signal(tmp_path / "made.npy", sampling_rate=250, units=["mV"])
    with raises(OptionError, "sampling_rate=0"):
        read_signal(tmp_path / "made.npy", sampling_rate=0, units="mV")
    with raises(OptionError, "annotator"):
        read_signal(tmp_path / "made.npy", sampling_rate=250, units="mV", annotator="qrs")


def test_what_contradicts_a_file_is_refused():
    with raises(OptionError, "360 Hz, not 250 Hz", "resample"):
        read_signal(E208, sampling_rate=250)
    with raises(OptionError, "'MLII' is in mV, not uV", "in_units"):
        read_signal(E208, units="uV")
    assert read_signal(E208, sampling_rate=360, units="mV").sampling_rate == 360


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WAVES.T, ["transpose"]),
        (np.zeros((2, 3, 4)), ["leads, samples"]),
        (WAVES * 1j, ["real"]),
        (np.array([{"a": 1}], dtype=object), ["unpickling"]),
        (np.full((1, 9), np.inf), ["infinity"]),
        (np.array(["a", "b"]), ["not numbers"]),
        (np.zeros((0, 9)), ["no lead"]),
        (np.zeros((1, 0)), ["samples"]),
    ],
)
def test_an_array_that_is_no_signal(tmp_path, content, words):
    np.save(tmp_path / "made.npy", content, allow_pickle=True)
    with raises(InputError, *words):
        read_signal(tmp_path / "made.npy", sampling_rate=250, units="mV")


@pytest.mark.parametrize(("key", "value"), [("lead_names", ["I"]), ("units", ["mV"] * 3), ("sampling_rate", [250.0, 360.0])])
def test_an_npz_that_contradicts_itself(tmp_path, key, value):
    said = {"sampling_rate": 250.0, "units": "mV", key: value}
    np.savez(tmp_path / "made.npz", x=WAVES, **said)
    with raises(InputError, key):
        read_signal(tmp_path / "made.npz")


# Checks


def test_gaps_and_flat_lines_are_named_in_seconds():
    values = np.random.default_rng(1).normal(size=(2, 1000))
    values[0, 100:150] = np.nan
    values[1, 500:800] = 0.25
    values[1, 800:] += 1.0  # where it moves again it does not do so from the same value
    signal = Signal(values, ["I", "II"], "mV", sampling_rate=100, name="holter")
    assert [str(gap) for gap in find_gaps(signal)] == ["I from 1 s to 1.5 s"]
    assert [str(flat) for flat in find_flat_lines(signal)] == ["II from 5 s to 8 s"]
    assert find_flat_lines(signal, shortest_s=3.01) == ()
    with raises(InputError, "holter", "gaps", "I from 1 s to 1.5 s", "flat lines", "II from 5 s to 8 s"):
        check_signal(signal)
    check_signal(signal.between(2, 5))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=20))
def test_gaps_are_the_runs_of_nan(runs):
    mask = np.concatenate([np.full(length, missing) for missing, length in runs])
    signal = Signal(np.where(mask, np.nan, 1.0)[None], ["I"], "mV", sampling_rate=1)
    found = np.zeros(len(mask), dtype=bool)
    gaps = find_gaps(signal)
    for gap in gaps:
        found[int(gap.start_s) : int(gap.end_s)] = True
    np.testing.assert_array_equal(found, mask)
    assert all(first.end_s < second.start_s for first, second in itertools.pairwise(gaps))


def test_a_lead_that_never_moves_is_flat_however_short(tmp_path):
    path = record(tmp_path, [WAVES[0, :100], np.full(100, 0.5)])
    with raises(InputError, "flat", "II from 0 s to 0.4 s"):
        read_signal(path)
    assert read_signal(path, lead_names=["I"]).values.shape == (1, 100)


def test_a_trace_at_the_end_of_its_range_for_a_moment_is_no_flat_line():
    """The longest in the 32 records of the MIT-BIH database lasts 0.74 s."""
    values = np.random.default_rng(2).normal(size=(1, 1000))
    values[0, 300:366] = 5.12
    check_signal(Signal(values, ["II"], "mV", sampling_rate=100))


@pytest.mark.parametrize(("unit", "likely"), [("uV", "mV"), ("V", "mV")])
def test_values_that_cannot_be_in_their_unit_are_refused_with_the_likely_one(unit, likely):
    signal = read_signal(E208)
    with raises(InputError, "MLII spans", f" {unit}", f"look like {likely}"):
        check_signal(replace(signal, units=[unit, unit]))
    with raises(InputError, "MLII spans", "look like uV"):
        check_signal(replace(signal.in_units("uV"), units=["mV", "mV"]))
    for right in ("V", "mV", "uV", "nV"):
        check_signal(signal.in_units(right))


def test_a_unit_that_is_no_voltage_is_refused_unless_its_lead_is_left_out(tmp_path):
    path = record(tmp_path, WAVES, units=["mV", "mmHg"], names=["II", "ABP"])
    with raises(InputError, "ABP is in mmHg", "mV"):
        read_signal(path)
    assert read_signal(path, lead_names=["II"]).units == ("mV",)
    with raises(InputError, "'ABP' is in mmHg"):
        read_signal(path, check=False).in_units("mV")


def test_many_faults_make_a_message_that_can_be_read():
    values = np.random.default_rng(3).normal(size=(1, 1000))
    values[:, ::3] = np.nan
    with raises(InputError, "and 329 more"):
        check_signal(Signal(values, ["I"], "mV", sampling_rate=100))


# What it costs


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wfdb", None)  # None there makes an import fail
    with raises(InputError, "reading WFDB records", "wfdb", r'pip install "signxai\[ecg\]"'):
        read_signal(E208)


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import signxai.timeseries; dir(signxai.timeseries)", ["torch", "numpy", "scipy", "wfdb", "pandas", "matplotlib"]),
        ("from signxai.timeseries import bandpass, beat_windows, read_signal", ["torch", "scipy", "wfdb", "edfio", "pandas", "matplotlib"]),
    ],
)
def test_what_is_heavy_is_loaded_where_it_is_needed(code, heavy):
    assert loaded(code, *heavy) == []


def test_an_unknown_public_name_is_an_attribute_error():
    import signxai.timeseries

    with pytest.raises(AttributeError, match="banana"):
        signxai.timeseries.banana  # noqa: B018
    assert {name for name in signxai.timeseries.__all__ if not hasattr(signxai.timeseries, name)} == set()


# Formats


def read_numbers(path):
    """A reader of a format of one's own: one lead in mV at 100 Hz, a number on each line."""
    values = np.array([float(line) for line in path.read_text().split()])
    return FileContent(leads=[values], lead_names=["I"], units=["mV"], sampling_rates=[100.0])


def test_a_format_is_a_row_and_a_reader(tmp_path, monkeypatch):
    path = tmp_path / "beat.numbers"
    path.write_text("0.5\n1.5\n-0.5\n")
    with pytest.raises(OptionError, match=r"nor one of .*\.npz"):
        read_signal(path)
    monkeypatch.setattr(formats, "FORMATS", [*formats.FORMATS, formats.SignalFormat("numbers", (".numbers",), f"{__name__}.read_numbers")])
    signal = read_signal(path)
    np.testing.assert_array_equal(signal.values, [[0.5, 1.5, -0.5]])
    assert (signal.lead_names, signal.units, signal.sampling_rate) == (("I",), ("mV",), 100)
    with pytest.raises(OptionError, match="only WFDB records have annotators"):
        read_signal(path, annotator="man")


def test_every_suffix_has_one_format():
    assert len(set(formats.signal_suffixes())) == len(formats.signal_suffixes())
