"""Signals on the command line: from a recording's file to the maps of its beats, and what is refused on the way."""

import itertools
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

import signxai
from command_line import CHELSEA, MAIN, explained, in_a_process, refused, with_arguments
from places import ECG_DATA
from processes import forked
from signxai.cli import commands, option_texts, signal_results
from signxai.models import Classifier, load_classifier
from signxai.timeseries import BeatNetwork, beat_windows, load_beat_network, plot_ecg_maps, prepare_for_beats, read_signal
from signxai.timeseries.beat_network import AFTER_S, BEFORE_S
from signxai.timeseries.packages import deprecations_ignored

pytest.importorskip("scipy")
pytest.importorskip("edfio")
with deprecations_ignored():
    wfdb = pytest.importorskip("wfdb")

DATA = Path(signxai.__file__).parent / "data"
E233 = DATA / "233_1655s.hea"
RATE = 360
LRP = "lrp_epsilon_0_25_std_x"

NETS = """
import torch
from torch import nn
from signxai.models import Classifier
from signxai.timeseries import SignalInput
from signxai.timeseries.signal_input import AsRecorded

def plain(leads=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(leads, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(16, 3))

def single():
    return plain(1)

def beats():
    return Classifier(plain(), class_names=["normal", "early", "late"], signal_input=SignalInput(before_s=0.3, after_s=0.5))

def upside_down():
    class Turned(AsRecorded):
        values = property(lambda self: -self.signal.values)
    return Classifier(plain(), signal_input=SignalInput(Turned))

def failing():
    return Classifier(plain(), signal_input=SignalInput(lambda signal: 1 / 0))

def shorter():
    class Shorter(AsRecorded):
        values = property(lambda self: self.signal.values[:, 1:])
    return Classifier(plain(), signal_input=SignalInput(Shorter))
"""


def waves(leads=2, samples=500):
    return np.random.default_rng(0).normal(size=(leads, samples)).cumsum(axis=1) / 50


def write_record(folder, name, values, beats=None, symbols="N"):
    leads = len(values)
    names = ["MLII", "V1", "V5"][:leads]
    common = {
        "fs": 100,
        "units": ["mV"] * leads,
        "sig_name": names,
        "fmt": ["16"] * leads,
        "adc_gain": [1000.0] * leads,
        "baseline": [0] * leads,
    }
    with deprecations_ignored(), np.errstate(invalid="ignore"):  # wfdb 4.1 casts NaN to integers before it replaces them
        wfdb.wrsamp(name, p_signal=values.T, write_dir=str(folder), **common)
        if beats is not None:
            wfdb.wrann(name, "atr", np.array(beats), symbol=list(symbols), write_dir=str(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder: factories, records and tables."""
    folder = tmp_path_factory.mktemp("signals")
    (folder / "ecg_nets.py").write_text(NETS)
    values = waves()
    np.save(folder / "array.npy", values)
    table = "time,MLII (mV),V1 (mV)\n" + "\n".join(f"{k / 100:.2f},{a!r},{b!r}" for k, (a, b) in enumerate(values.T.tolist()))
    (folder / "table.csv").write_text(table + "\n")
    (folder / "pressure.csv").write_text(table.replace("(mV)", "(mmHg)") + "\n")
    (folder / "no_rate.csv").write_text("MLII (mV),V1 (mV)\n" + "\n".join(f"{a!r},{b!r}" for a, b in values.T.tolist()) + "\n")
    write_record(folder, "bare", values)
    write_record(folder, "single", values[:1], [100, 200], "NV")
    flat = values.copy()
    flat[1, 180:320] = flat[1, 180]
    write_record(folder, "flat", flat, [100, 250, 400], "NVN")
    gap = values.copy()
    gap[0, 240:260] = np.nan
    write_record(folder, "gap", gap, [10, 100, 250, 400], "NNVA")
    write_record(folder, "longer", waves(samples=600), [100, 200, 300], "NNV")
    return folder


@pytest.fixture
def saved(run):
    """The arrays that a command keeps."""

    def call(*args):
        explained(run("explain", *args, "--save", "saved.npz"))
        with np.load("saved.npz") as content:
            return dict(content)

    return call


def windows(path):
    prepared = prepare_for_beats(read_signal(path))
    return beat_windows(replace(prepared.signal, values=prepared.values), BEFORE_S, AFTER_S)


BEATS = ["--model", "ecg_beats"]
PLAIN = ["--model", "ecg_nets:plain", "--method", "gradient"]


# Beats


def test_the_map_of_a_beat_is_the_librarys_on_its_window(saved):
    content = saved(E233, *BEATS, "--at-beat", 13, "--at-beat", 2, "--method", LRP, "gradient")
    around = windows(E233)
    rows = [around.indices.tolist().index(beat) for beat in (13, 2)]
    x = around.values[rows].astype(np.float32)
    np.testing.assert_array_equal(content["x"], x)
    for method in (LRP, "gradient"):
        np.testing.assert_array_equal(content[method], signxai.explain(load_beat_network(), x, method))
    recorded = read_signal(E233).beats
    assert content["beat"].tolist() == [13, 2]
    assert content["beat_symbol"].tolist() == ["V", "F"] == [recorded.symbols[beat] for beat in (13, 2)]
    assert content["beat_sample"].tolist() == recorded.positions[[13, 2]].tolist()
    np.testing.assert_allclose(content["beat_time"], recorded.positions[[13, 2]] / RATE)
    assert (content["beat_sample"] - content["start_sample"]).tolist() == [around.beat_at] * 2
    assert content["sampling_rate"] == RATE


def test_the_report_says_which_beat_it_is_and_what_it_was_annotated_as(run):
    said = explained(run("explain", E233, *BEATS, "--at-beat", 91, "--method", "gradient"))
    time = read_signal(E233).beats.positions[91] / RATE
    assert f"233_1655s.hea, beat 91 at {time:.3f} s, annotated A (class S) (2 x 792)" in said
    assert "explained: " in said


def test_a_strip_is_the_sum_of_the_maps_of_its_beats(saved):
    strip = saved(E233, *BEATS, "--window", "10:14.5s", "--method", LRP)
    recorded = read_signal(E233).beats
    inside = [index for index, place in enumerate(recorded.positions) if 10 * RATE <= place < 14.5 * RATE]
    assert strip["beat"].tolist() == inside
    assert len(inside) > 5
    single = saved(E233, *BEATS, *itertools.chain(*(("--at-beat", index) for index in inside)), "--method", LRP)
    whole = np.zeros((2, 60 * RATE))
    for beat, relevance in zip(inside, single[LRP], strict=True):
        first = recorded.positions[beat] - round(BEFORE_S * RATE)
        whole[:, first : first + relevance.shape[1]] += relevance
    expected = whole[:, 10 * RATE : round(14.5 * RATE)]
    np.testing.assert_allclose(strip[f"{LRP}_strip"][0], expected, atol=1e-5 * np.abs(expected).max())
    prepared = prepare_for_beats(read_signal(E233))
    np.testing.assert_array_equal(strip["strip_x"][0], prepared.values[:, 10 * RATE : round(14.5 * RATE)])
    assert strip["strip_start_sample"].tolist() == [10 * RATE]
    assert strip["strip_of"].tolist() == [0] * len(inside)


def test_a_strip_names_each_beat_and_those_that_have_no_window(run):
    said = explained(run("explain", E233, *BEATS, "--window", ":3s", "--method", "gradient", "--target", "V"))
    beats = read_signal(E233).beats
    inside = [index for index, place in enumerate(beats.positions) if place < 3 * RATE]
    lines = {index: line for index in inside for line in said.splitlines() if f"beat {index} at" in line}
    assert list(lines) == inside
    for index, line in lines.items():
        assert f"at {beats.positions[index] / RATE:.3f} s, annotated {beats.symbols[index]}" in line
        assert ("predicted" in line) == (beats.positions[index] >= BEFORE_S * RATE)
        assert ("not explained" in line and "beginning" in line) == (beats.positions[index] < BEFORE_S * RATE)


def test_each_file_has_its_strip(saved, here):
    for path in DATA.glob("233*"):
        shutil.copy(path, here)
    args = (*BEATS, "--window", "10:12s", "--method", "gradient")
    both, one = saved("233_1655s.hea", E233, *args), saved(E233, *args)
    assert both["strip_of"].tolist() == [0] * len(one["x"]) + [1] * len(one["x"])
    for strip in both["gradient_strip"]:
        np.testing.assert_allclose(strip, one["gradient_strip"][0], atol=1e-6 * np.abs(strip).max())


def test_relevance_of_frequencies_is_that_of_the_samples(saved):
    content = saved(E233, *BEATS, "--window", "10:13s", "--method", "gradient_x_input", LRP, "--frequency")
    for method in ("gradient_x_input", LRP):
        for name in (method, f"{method}_strip"):
            np.testing.assert_allclose(content[f"{name}_frequency"].sum(-1), content[name].sum(-1, dtype=np.float64), atol=1e-9)
    for frequencies, length in (("frequencies", 792), ("strip_frequencies", 3 * RATE)):
        np.testing.assert_allclose(content[frequencies], np.fft.rfftfreq(length, 1 / RATE))
    x, relevance = (content[name].astype(np.float64) for name in ("x", LRP))
    direct = signxai.timeseries.dft_relevance(x, relevance, sampling_rate=RATE, zero_below=0.02)
    np.testing.assert_allclose(content[f"{LRP}_frequency"], direct.relevance, atol=1e-12)


@pytest.mark.parametrize("name", ["233_1655s.dat", "233_1655s.atr", "233_1655s"])
def test_a_record_is_known_by_any_of_its_names(run, name):
    args = ("--method", "gradient", *BEATS, "--at-beat", 13)
    lines = [explained(run("explain", path, *args)).splitlines()[1:6] for path in (E233, DATA / name)]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("name", ["208_1020s", "208_1020s.hea"])
def test_a_record_may_stand_behind_the_methods(run, here, name):
    for path in ECG_DATA.glob("208*"):
        shutil.copy(path, here)
    assert "beat 12 at" in explained(run("explain", *BEATS, "--at-beat", 12, "--method", "gradient", "lrp_z", name))


@pytest.mark.parametrize("target", ["V", "v", "V (ventricular)", "2"])
def test_a_class_is_named_by_its_letter_its_name_or_its_number(target):
    assert load_classifier("ecg_beats").class_index(target, 4) == 2


def test_no_letter_is_guessed():
    with pytest.raises(signxai.common.TargetError, match=r"'Q'.*N \(normal\), S \(supraventricular\), V \(ventricular\), F \(fusion\)"):
        load_classifier("ecg_beats").class_index("Q", 4)


def test_weights_are_the_packages_a_files_or_random(run, here):
    packaged = load_file(DATA / "ecg_beats.safetensors")
    assert all(torch.equal(packaged[key], value) for key, value in load_beat_network().state_dict().items())
    first, same, other = (load_classifier("ecg_beats", "none", seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    save_file({key: torch.zeros_like(value) for key, value in BeatNetwork().state_dict().items()}, here / "zero.safetensors")
    args = ("explain", E233, *BEATS, "--at-beat", 13, "--method", "gradient")
    assert explained(run(*args, "--weights", "zero.safetensors")).count("25.00%") == 4
    torch.save({"a": torch.ones(1)}, here / "other.pt")
    refused(run(*args, "--weights", "other.pt"), "other.pt", "another network than BeatNetwork")


# Other networks


def as_csv(folder):
    return ["table.csv"]


def as_npy(folder):
    return ["array.npy", "--sampling-rate", 100, "--units", "mV", "--leads", "MLII,V1"]


def as_npz(folder):
    np.savez(folder / "array.npz", x=waves(), sampling_rate=100, units="mV", lead_names=["MLII", "V1"])
    return ["array.npz", "--sampling-rate", 100]


def as_csv_without_times(folder):
    return ["no_rate.csv", "--sampling-rate", 100]


@pytest.mark.parametrize("form", [as_csv, as_npy, as_npz, as_csv_without_times])
@pytest.mark.parametrize(("window", "start", "stop"), [([], 0, 500), (["--window", "1:2.5s"], 100, 250), (["--window", "4.5:"], 450, 500)])
def test_a_network_takes_a_stretch_as_it_was_recorded(saved, here, form, window, start, stop):
    content = saved(*form(here), *PLAIN, *window)
    np.testing.assert_array_equal(content["x"], waves()[None, :, start:stop].astype(np.float32))
    assert content["lead_names"].tolist() == [["MLII", "V1"]]
    assert (content["start_sample"].tolist(), float(content["sampling_rate"])) == ([start], 100.0)
    import ecg_nets

    np.testing.assert_array_equal(content["gradient"], signxai.explain(ecg_nets.plain(), content["x"], "gradient"))


def test_an_array_without_a_sampling_rate_is_what_the_network_takes(saved, here):
    np.save("batch.npy", waves()[None])
    content = saved("batch.npy", *PLAIN)
    np.testing.assert_array_equal(content["x"], waves()[None])
    assert "sampling_rate" not in content


def test_leads_are_taken_in_the_order_asked_for(saved):
    content = saved("table.csv", *PLAIN, "--leads", "V1, MLII")
    np.testing.assert_array_equal(content["x"][0], waves()[::-1].astype(np.float32))
    content = saved("table.csv", "--model", "ecg_nets:single", "--method", "gradient", "--leads", "V1")
    np.testing.assert_array_equal(content["x"][0], waves()[1:].astype(np.float32))


def test_a_factory_says_how_a_recording_becomes_its_input(saved):
    content = saved("longer.hea", "--model", "ecg_nets:beats", "--method", "gradient", "--at-beat", 1)
    expected = read_signal("longer.hea").values[None, :, 200 - 30 : 200 + 50].astype(np.float32)
    np.testing.assert_array_equal(content["x"], expected)
    content = saved("table.csv", "--model", "ecg_nets:upside_down", "--method", "gradient", "--window", ":1s")
    np.testing.assert_array_equal(content["x"], -waves()[None, :, :100].astype(np.float32))


def test_a_recording_is_used_beside_its_gaps_and_flat_lines(saved):
    for name in ("gap.hea", "flat.hea"):
        content = saved(name, "--model", "ecg_nets:beats", "--method", "gradient", "--at-beat", 1 if name == "gap.hea" else 0)
        assert np.isfinite(content["gradient"]).all()
    content = saved("gap.hea", "--model", "ecg_nets:beats", "--method", "gradient", "--window", "0:5s")
    assert content["beat"].tolist() == [1, 3]
    assert not content["gradient_strip"][0][:, 240:260].any()


def test_the_report_on_a_beat_is_the_librarys(run):
    out = explained(run("inspect", E233, *BEATS, "--at-beat", 13, "--method", LRP, "--target", "N"))
    around = windows(E233)
    x = around.values[[around.indices.tolist().index(13)]].astype(np.float32)
    assert str(signxai.inspect_model(load_beat_network(), x, LRP, [0])) in out
    assert "beat 13 at" in out


# Figures


def height_and_width(path):
    with Image.open(path) as figure:
        return figure.height, figure.width


@pytest.mark.slow
def test_a_beat_has_a_figure_in_a_process_of_its_own(here):
    for path in ECG_DATA.glob("208*"):
        shutil.copy(path, here / path.name.replace("208_1020s", "208"))
    header = here / "208.hea"
    header.write_text(header.read_text().replace("208_1020s", "208"))
    args = ("208.hea", "--model", "ecg_beats", "--at-beat", 12, "--method", "lrpsign_epsilon_0_25_std_x", "--output", "beat.png")
    said = explained(in_a_process("explain", *args, cwd=here))
    assert "208.hea, beat 12 at" in said
    assert said.endswith("wrote beat.png\n")
    assert min(height_and_width(here / "beat.png")) > 400


@pytest.mark.slow
@pytest.mark.parametrize("frequency", [[], ["--frequency"]])
def test_methods_and_beats_each_have_their_place_in_the_figure(run, frequency):
    args = ("explain", E233, *BEATS, *frequency)
    explained(run(*args, "--method", "gradient", "--at-beat", 13, "--output", "one.png"))
    explained(run(*args, "--method", "gradient", LRP, "--at-beat", 13, "--at-beat", 14, "--output", "four.png"))
    explained(run(*args, "--method", "gradient", LRP, "--window", "10:20s", "--output", "strips.png"))
    one, four, strips = (
        sum(math.prod(height_and_width(page)) for page in Path().glob(f"{name}*.png")) for name in ("one", "four", "strips")
    )
    assert four > 3 * one
    assert strips > 1.5 * one


@pytest.fixture
def drawn(monkeypatch):
    """The samples that were given to be drawn."""
    samples = []

    def plot(given, **options):
        samples.extend(given)
        return plot_ecg_maps(given, **options)

    monkeypatch.setattr(signal_results, "plot_ecg_maps", plot)
    return samples


def test_a_strip_labels_each_beat_with_what_was_annotated_and_what_is_predicted(saved, drawn):
    content = saved(E233, *BEATS, "--window", "0.6:6s", "--method", "gradient", "--output", "strip.png")
    beats = read_signal(E233).beats
    predicted = dict(zip(content["beat"].tolist(), content["logits"].argmax(axis=1), strict=True))
    [sample] = drawn
    labels = {place + round(0.6 * RATE): label for place, label in zip(sample.r_peaks, sample.beat_labels, strict=True)}
    assert labels == {
        place: f"{of_class}/{'NSVF'[predicted[index]]}" if index in predicted else of_class
        for index, (place, of_class) in enumerate(zip(beats.positions.tolist(), beats.classes, strict=True))
        if 0.6 * RATE <= place < 6 * RATE
    }
    assert 0 < len(predicted) < len(labels)
    assert sample.start == pytest.approx(0.6)
    np.testing.assert_allclose(sample.signal, prepare_for_beats(read_signal(E233)).signal.values[:, 216:2160], atol=1e-12)


def test_a_beat_is_named_in_the_heading_and_on_the_paper(run, drawn):
    explained(run("explain", E233, *BEATS, "--at-beat", 91, "--method", "gradient", "--target", "S", "--output", "beat.png"))
    [sample] = drawn
    assert sample.heading.startswith("233_1655s.hea, beat 91 at 54.931 s, annotated A (class S): predicted ")
    assert re.search(r"(explained|predicted) S: [\d.]+ % \(logit ", sample.heading)
    assert dict(zip(sample.r_peaks, sample.beat_labels, strict=True))[round(BEFORE_S * RATE)] == "S (beat 91)"
    assert (sample.start, sample.time_label) == (pytest.approx(-BEFORE_S, abs=1 / RATE), "time from the beat (s)")
    assert sorted(set(sample.beat_labels)) == ["N", "S (beat 91)"]


@pytest.mark.parametrize("frequency", [[], ["--frequency"]])
@pytest.mark.parametrize("name", ["pressure.csv", "table.csv"])
def test_what_is_no_voltage_has_a_figure_too(run, here, name, frequency):
    explained(run("explain", name, *PLAIN, *frequency, "--window", "1:3s", "--output", "figure.png"))
    assert min(height_and_width("figure.png")) > 200


# Mistakes

ECG = [E233, *BEATS, "--method", "gradient"]
MINE = ["--model", "ecg_nets:beats", "--method", "gradient"]
MISTAKES = {
    "neither beat nor window": (ECG, ["233_1655s.hea", "--at-beat", "--window", "100 annotated beats", "0 to 99"]),
    "both": ([*ECG, "--at-beat", "3", "--window", "1:2"], ["--at-beat", "--window", "one of them"]),
    "a beat that is not there": ([*ECG, "--at-beat", "100"], ["--at-beat 100", "100 annotated beats", "0 to 99"]),
    "a negative beat": ([*ECG, "--at-beat", "-1"], ["--at-beat", "-1"]),
    "no beat's number": ([*ECG, "--at-beat", "V"], ["--at-beat", "'V'"]),
    "too near the beginning": ([*ECG, "--at-beat", "0"], ["beat 0 at 0.4", "annotated N", "too near", "1.2 s before", "have room"]),
    "too near the end": ([*ECG, "--at-beat", "99"], ["beat 99 at", "too near", "1 s behind"]),
    "no window": ([*ECG, "--window", "ten"], ["--window 'ten'", "600:610s"]),
    "a window that ends first": ([*ECG, "--window", "5:4s"], ["--window '5:4s'", "end after"]),
    "a window beyond the end": ([*ECG, "--window", "50:70s"], ["--window 50:70s", "233_1655s.hea", "0 s to 60 s"]),
    "a window without beats": ([*ECG, "--window", "0:0.1s"], ["0 s to 0.1 s", "none of its 0 annotated beats"]),
    "a window whose beats have no room": ([*ECG, "--window", ":1s"], ["none of its 1 annotated beats"]),
    "a missing lead": ([*ECG, "--at-beat", "13", "--leads", "MLII,aVF"], ["'aVF'", "MLII, V1"]),
    "a single lead": (["single.hea", *BEATS, "--method", "gradient", "--at-beat", "0"], ["two leads", "MLII"]),
    "a beat in a gap": (["gap.hea", *MINE, "--at-beat", "2"], ["gap.hea, beat 2 at 2.500 s, annotated V", "gap"]),
    "a gap where filters would spread it": (
        ["gap.hea", *BEATS, "--method", "gradient", "--at-beat", "1"],
        ["gap", "MLII from 2.4 s to 2.6 s"],
    ),
    "a stretch with a gap": (["gap.hea", *PLAIN, "--window", "2:3s"], ["gap", "MLII from 2.4 s to 2.6 s"]),
    "a stretch with a flat line": (["flat.hea", *PLAIN, "--window", "1:4s"], ["flat", "V1 from 1.8 s to 3.2 s"]),
    "a beat for a network without windows": (["longer.hea", *PLAIN, "--at-beat", "1"], ["--at-beat", "--window", "before_s"]),
    "a picture with a beat": ([CHELSEA, "--method", "gradient", "--at-beat", "1"], ["--at-beat", "chelsea.png", ".hea"]),
    "an array with a window": (["array.npy", *PLAIN, "--window", "1:2s"], ["--window", "array.npy", "--sampling-rate"]),
    "a picture with a rate": ([CHELSEA, "--method", "gradient", "--sampling-rate", "100"], ["--sampling-rate", "chelsea.png"]),
    "frequencies of an array": (["array.npy", *PLAIN, "--frequency"], ["--frequency", "--sampling-rate"]),
    "frequencies that the signal does not have": (
        ["table.csv", *PLAIN, "--frequency", "--output", "a.png", "--highest-hz", "50.1"],
        ["50.1", "50 Hz", "Nyquist"],
    ),
    "a signal and an array": (["table.csv", "array.npy", *PLAIN], ["array.npy", "explain them apart"]),
    "two lengths": (["table.csv", "longer.hea", *PLAIN], ["table.csv: 2 x 500", "longer.hea: 2 x 600", "apart"]),
    "no rate": (["no_rate.csv", *PLAIN, "--window", "1:2s"], ["no_rate.csv", "--sampling-rate"]),
    "another rate": (["table.csv", *PLAIN, "--sampling-rate", "50"], ["100 Hz", "50 Hz"]),
    "a rate of zero": (["array.npy", *PLAIN, "--sampling-rate", "0"], ["--sampling-rate"]),
    "no units": (["array.npy", *PLAIN, "--sampling-rate", "100"], ["array.npy", "--units"]),
    "other units": (["table.csv", *PLAIN, "--units", "mmHg"], ["mV", "mmHg"]),
    "units of too many leads": (["array.npy", *PLAIN, "--sampling-rate", "100", "--units", "mV,mV,mV"], ["--units"]),
    "no voltage for beats": (["pressure.csv", *BEATS, "--method", "gradient", "--window", "1:2s"], ["mmHg"]),
    "a broken record": (["broken.hea", *PLAIN], ["broken.hea"]),
    "a record that is not there": (["missing", *PLAIN], ["missing"]),
    "a header without samples": (["lonely.hea", *PLAIN], ["lonely.dat"]),
    "a failing preparation": (["table.csv", "--model", "ecg_nets:failing", "-m", "gradient"], ["table.csv", "ZeroDivisionError"]),
    "a preparation that loses samples": (["table.csv", "--model", "ecg_nets:shorter", "-m", "gradient"], ["(2, 499)", "(2, 500)"]),
    "another number of leads": (["table.csv", "--model", "ecg_nets:single", "--method", "gradient"], ["(1, 2, 500)"]),
    "a class that is none": ([*ECG, "--at-beat", "13", "--target", "Q"], ["'Q'", "V (ventricular)"]),
    "too many targets": ([*ECG, "--at-beat", "13", "--target", "V", "--target", "N"], ["2 targets for 1 inputs"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_line_with_status_2_and_nothing_written(run, here, name):
    args, words = MISTAKES[name]
    (here / "broken.hea").write_text("no header\n")
    (here / "lonely.hea").write_text((here / "bare.hea").read_text().replace("bare", "lonely"))
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    refused(run("explain", *args, "--save", "out.npz"), *words)
    assert {path: path.read_bytes() for path in here.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "name", ["neither beat nor window", "a beat that is not there", "a missing lead", "no units", "a picture with a beat"]
)
def test_inspect_refuses_the_same(run, name):
    args, words = MISTAKES[name]
    refused(run("inspect", *("lrp_z" if word == "gradient" else word for word in args)), *words)


@pytest.mark.slow
@pytest.mark.parametrize("package", ["wfdb", "scipy.signal"])
def test_a_missing_package_is_named(package):
    arguments = with_arguments("explain", E233, "--model", "ecg_beats", "--at-beat", 13, "-m", "gradient")
    done = forked("-c", f"{arguments}; sys.modules[{package!r}] = None; {MAIN}")
    refused(done, package, 'pip install "signxai[ecg]"')


# What the command line knows without reading


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.sampled_from(["", "s", " s"]))
def test_a_window_is_read_as_it_is_written(start, length, unit):
    start, end = round(start, 6), round(start + length + 1, 6)
    assert option_texts.window(f"{start:.6f}{unit}:{end:.6f}{unit}") == (start, end)
    assert option_texts.window(f"{start:.6f}:") == (start, None)
    assert option_texts.window(f":{end:.6f}s") == (None, end)


def test_the_help_names_every_option():
    said = {command: CliRunner().invoke(commands.cli, [command, "--help"]).output for command in ("explain", "inspect")}
    for option in ("--at-beat", "--window", "--sampling-rate", "--units", "--leads"):
        assert all(option in text for text in said.values())
    assert "--frequency" in said["explain"]
    assert "add up" in " ".join(said["explain"].split())


def test_a_classifier_takes_signals_as_they_are_unless_it_says_so():
    assert Classifier(BeatNetwork()).signal_input is None
    wanted = load_classifier("ecg_beats").signal_input
    assert (wanted.before_s, wanted.after_s, wanted.prepare) == (BEFORE_S, AFTER_S, prepare_for_beats)
