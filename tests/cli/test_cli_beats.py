"""Beats that nobody annotated, summaries and layouts on the command line: what a user gets, and what is said of it."""

import csv
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from command_line import explained, refused
from places import ECG_DATA
from signxai.cli import signal_results
from signxai.cli.signal_summaries import PARTLY_TURNED, TURNED, SummarizedMap
from signxai.timeseries import read_signal
from signxai.timeseries.packages import warnings_ignored

with warnings_ignored():
    pytest.importorskip("wfdb")
    pytest.importorskip("scipy")

NETS = """
import torch
from torch import nn

class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = twelve()

    def forward(self, a, b):
        return self.net(a) + self.net(b)

def both():
    return Both()

def twelve():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(12, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(16, 3))
"""
BEATS = ["--model", "ecg_beats", "--method", "gradient_x_input"]
BOTH = ["--model", "twelve_nets:both", "--method", "gradient_x_input"]
ROWS = ["--layout", "rows", "--output", "a.png"]
TWELVE = ["--model", "twelve_nets:twelve", "--method", "gradient_x_input"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a record without annotations, its beats in tables, and twelve leads of 10 s."""
    folder = tmp_path_factory.mktemp("unannotated")
    for suffix in (".hea", ".dat", ".atr"):
        shutil.copy(ECG_DATA / f"208_1020s{suffix}", folder)
    (folder / "208_1020s.atr").rename(folder / "208_1020s.mine")
    beats = read_signal(ECG_DATA / "208_1020s.hea").beats
    lines = [f"{position / 360:.4f},{symbol}" for position, symbol in zip(beats.positions, beats.symbols, strict=True)]
    (folder / "mine.csv").write_text("\n".join(["time (s),symbol", *lines]) + "\n")
    (folder / "late.csv").write_text("time (s)\n61\n")
    values = np.random.default_rng(0).normal(size=(12, 1000)).cumsum(axis=1) / 50
    names = [*("I", "II", "III", "aVR", "aVL", "aVF"), *(f"V{number}" for number in range(1, 7))]
    np.savez(folder / "twelve.npz", x=values, sampling_rate=100.0, lead_names=names, units="mV")
    np.save(folder / "plain.npy", values)
    (folder / "twelve_nets.py").write_text(NETS)
    return folder


def have_neurokit2():
    with warnings_ignored():
        pytest.importorskip("neurokit2")


# Beats


@pytest.mark.parametrize("file", ["mine.csv", "208_1020s.mine"])
def test_ones_own_beats_are_explained_and_marked_as_given(run, here, file):
    said = explained(run("explain", "208_1020s.hea", *BEATS, "--beats", file, "--at-beat", 12, "--save", "own.npz"))
    assert "beat 12 at" in said
    assert ", given as " in said
    with np.load(here / "own.npz") as saved:
        assert saved["beat_origin"].tolist() == ["given"]
        assert saved["beat_sample"][0] == read_signal(ECG_DATA / "208_1020s.hea").beats.positions[12]


def test_beats_that_nobody_annotated_are_detected_and_marked_so_everywhere(run, here, monkeypatch):
    have_neurokit2()
    headings, plot = [], signal_results.plot_ecg_maps

    def noted(samples, **options):
        headings.extend(samples)
        return plot(samples, **options)

    monkeypatch.setattr(signal_results, "plot_ecg_maps", noted)
    args = ("--window", "2:12s", "--save", "found.npz", "--output", "found.png")
    said = explained(run("explain", "208_1020s.hea", *BEATS, *args))
    assert "beats are not annotated but detected (neurokit2" in said
    assert "s, detected: predicted " in said
    assert "annotated as" not in said
    [sample] = headings
    assert "(detected), labelled as predicted" in sample.heading
    assert set(sample.beat_labels) <= {*"NSVF", ""}
    with np.load(here / "found.npz") as saved:
        assert set(saved["beat_origin"].tolist()) == {"detected"}


@pytest.mark.parametrize(("beats", "said"), [("detect", " (beats detected): "), ("two.csv", " (beats given): ")])
def test_beats_on_a_figure_of_a_whole_recording_say_where_they_come_from(run, here, monkeypatch, beats, said):
    have_neurokit2()
    headings, plot = [], signal_results.plot_ecg_maps
    monkeypatch.setattr(signal_results, "plot_ecg_maps", lambda samples, **options: headings.extend(samples) or plot(samples, **options))
    (here / "two.csv").write_text("sample\n113\n313\n")
    since = np.arange(1000) / 100 % 1.0 - 0.13
    np.save(
        here / "beating.npy", np.tile(np.exp(-0.5 * (since / 0.012) ** 2), (12, 1)) + np.random.default_rng(0).normal(0, 0.01, (12, 1000))
    )
    of_array = ("--sampling-rate", 100, "--units", "mV")
    explained(run("explain", "beating.npy", *TWELVE, *of_array, "--beats", beats, "--output", "twelve.png"))
    [sample] = headings
    assert len(sample.r_peaks)
    assert said in sample.heading


def test_detection_is_done_where_it_is_asked_for_and_annotations_are_taken_where_there_are_any(run):
    have_neurokit2()
    annotated = ECG_DATA / "208_1020s.hea"
    assert "detected" not in explained(run("explain", annotated, *BEATS, "--at-beat", 12, "--save", "a.npz"))
    said = explained(run("explain", annotated, *BEATS, "--beats", "detect", "--at-beat", 12, "--save", "a.npz"))
    assert "beat 12 at" in said
    assert " s, detected" in said
    assert "annotated N" not in said


@pytest.mark.parametrize(
    ("command", "options"),
    [("inspect", ()), ("certify", ("--without-srg",)), ("evaluate", ("--metric", "gini", "--no-timing", "--draws", 20))],
)
def test_every_command_says_that_beats_are_detected(run, command, options):
    have_neurokit2()
    args = ("208_1020s.hea", "--model", "ecg_beats", "--method", "lrp_epsilon_0_1", "--at-beat", 12)
    said = explained(run(command, *args, *options))
    assert said.count("beats are not annotated but detected (neurokit2") == 1
    assert "detected" not in explained(run(command, *args, *options, "--beats", "mine.csv"))


def test_no_command_takes_the_beats_of_one_recording_for_those_of_several(run):
    args = ("208_1020s.hea", "208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", "12")
    for command, options in (("certify", ()), ("evaluate", ("--metric", "gini"))):
        refused(run(command, *args, *options), "--beats mine.csv", "apart")


# Summaries


def test_a_summary_is_a_table_whose_sum_is_the_maps(run, here):
    have_neurokit2()
    args = (
        "--beats",
        "mine.csv",
        "--window",
        "10:20s",
        "--summary",
        "sums.csv",
        "--summary",
        "sums.png",
        "--summary-lead",
        "V1",
        "--save",
        "maps.npz",
    )
    said = explained(run("explain", "208_1020s.hea", *BEATS, *args))
    assert "beats (given); waves found: P in" in said
    with (here / "sums.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with np.load(here / "maps.npz") as saved:
        strip = saved["gradient_x_input_strip"][0].astype(np.float64)
    for lead, values in zip(("MLII", "V1"), strip, strict=True):
        of_lead = [row for row in rows if row["lead"] == lead]
        for sign, key in ((1, "for"), (-1, "against")):
            assert sum(float(row[key]) for row in of_lead) == pytest.approx(sign * np.maximum(sign * values, 0).sum(), rel=1e-13)
    assert {row["part"] for row in rows} == {"P", "QRS", "ST", "T", "rest"}
    assert {row["origin"] for row in rows} == {"given"}
    assert (here / "sums.png").stat().st_size > 10_000


def test_a_summary_of_several_classes_says_which_each_row_is_of(run, here):
    have_neurokit2()
    args = ("--target", "N", "--target", "V", "--summary", "sums.csv", "--save", "maps.npz")
    said = explained(run("explain", "208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", 12, "--at-beat", 13, *args))
    assert ", V by gradient_x_input:" in said
    with (here / "sums.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with np.load(here / "maps.npz") as saved:
        maps = saved["gradient_x_input"].astype(np.float64)
    for name, relevance in zip("NV", maps, strict=True):
        of_class = [row for row in rows if row["explained"] == name]
        assert sum(float(row["for"]) for row in of_class) == pytest.approx(np.maximum(relevance, 0).sum(), rel=1e-5)


@pytest.mark.slow
def test_a_summary_says_of_which_maps_the_signs_are_turned(run, here):
    have_neurokit2()
    methods = ("--method", "lrp_epsilon_0_1", "gradient_x_input")
    for versus in ((), ("--versus", "N", "--relevance", "one_hot")):
        args = ("--beats", "mine.csv", "--target", "V", *versus, "--at-beat", 12, "--summary", "sums.csv", "--save", "maps.npz")
        said = explained(run("explain", "208_1020s.hea", "--model", "ecg_beats", *methods, *args))
        with np.load(here / "maps.npz") as saved:
            logits = {str(name)[0]: logit for name, logit in zip(saved["class_names"], saved["logits"][0], strict=True)}
        assert logits["V"] < 0 < logits["N"]
        with (here / "sums.csv").open(encoding="utf-8", newline="") as file:
            signs = {(row["method"], row["signs"]) for row in csv.DictReader(file) if row["numbers"] == "share"}
        expected = "turned in part" if versus else "turned"
        assert signs == {("lrp_epsilon_0_1", expected), ("gradient_x_input", "")}
        [line] = [line for line in said.splitlines() if "by lrp_epsilon_0_1; " in line and line.endswith(":")]
        assert f"signs {expected}: what is listed for speaks against" in line


@pytest.mark.slow
def test_summaries_of_several_maps_are_pages(run, here):
    have_neurokit2()
    args = ("--at-beat", 12, "--at-beat", 13, "--summary", "sums.png", "--summary", "sums.pdf")
    said = explained(run("explain", "208_1020s.hea", *BEATS, "--beats", "mine.csv", *args))
    pages = ["sums.png", "sums-2.png"]
    assert [line for line in said.splitlines() if line.startswith("wrote")] == [f"wrote {name}" for name in [*pages, "sums.pdf"]]
    contents = {(here / name).read_bytes() for name in pages}
    assert len(contents) == 2
    assert (here / "sums.pdf").read_bytes().count(b"/Type /Page ") == 2


@pytest.mark.slow
def test_what_cannot_be_summed_up_is_refused_before_anything_is_explained(run, here, monkeypatch):
    have_neurokit2()
    monkeypatch.setattr("signxai.cli.explain_files._explain_all", None)
    (here / "near.csv").write_text("time (s)\n1\n2\n3\n")
    args = ("--sampling-rate", 100, "--units", "mmHg", "--beats", "near.csv", "--summary", "sums.csv")
    refused(run("explain", "plain.npy", *TWELVE, *args), "voltage")


# Broken ones among others


@pytest.mark.parametrize("fault", ["no recording", "another number of leads", "a gap"])
@pytest.mark.parametrize(
    "command", [("explain",), ("certify", "--without-srg"), ("evaluate", "--metric", "gini", "--no-timing", "--draws", "20")]
)
def test_a_broken_recording_is_told_at_the_end_and_the_others_are_used(run, here, command, fault):
    values = np.load(here / "plain.npy")
    broken = {"no recording": values[:0], "another number of leads": values[:3], "a gap": np.where(np.arange(1000) == 500, np.nan, values)}
    np.save(here / "broken.npy", broken[fault])
    np.save(here / "more.npy", values[:, ::-1])
    how = ("--sampling-rate", 100, "--units", "mV", "--leads", ",".join(f"lead {number}" for number in range(12)))
    done = run(command[0], "plain.npy", "broken.npy", "more.npy", *TWELVE, *how, *command[1:])
    assert done.returncode == 3, done.stdout + done.stderr
    first, reason = done.stderr.splitlines()
    assert "1 of 3 inputs could not be read" in first
    assert "broken.npy" in reason
    targets = ("--target", 0, "--target", 1, "--target", 2)
    refused(run(command[0], "plain.npy", "broken.npy", "more.npy", *TWELVE, *how, *targets, *command[1:]), "3 targets", "broken.npy")


# Layouts


def test_what_a_layout_hides_is_said_and_rows_show_all(run):
    options = ("--sampling-rate", 100, "--output", "twelve.png")
    said = explained(run("explain", "twelve.npz", *TWELVE, *options))
    assert "the figure's layout does not show " in said
    assert "of the relevance by gradient_x_input; --layout rows shows all" in said
    assert "does not show" not in explained(run("explain", "twelve.npz", *TWELVE, *options, "--layout", "rows"))


@pytest.mark.slow
@pytest.mark.slow
def test_a_recording_by_more_methods_than_fit_on_a_page_is_shown_on_several(run, here):
    methods = [word for name in ("gradient", "lrp_z") for word in ("--method", name)]
    said = explained(run("explain", "twelve.npz", *TWELVE, *methods, "--sampling-rate", 100, "--layout", "rows", "--output", "maps.png"))
    count = int(re.search(r"1 input is shown on (\d+) pages, maps.png to maps-\d.png", said)[1])
    for path in ["maps.png", *(f"maps-{number}.png" for number in range(2, count + 1))]:
        with Image.open(here / path) as page:
            assert page.height / 150 <= 20.01  # inches: two printed pages


def test_what_a_layout_hides_is_said_once_for_all_maps(run):
    several = ("--sampling-rate", 100, "--output", "twelve.png", "--target", "all")
    said = explained(run("explain", "twelve.npz", *TWELVE, *several))
    [line] = [line for line in said.splitlines() if "--layout rows" in line]
    assert line.startswith("twelve.npz: the figure's layout does not show ")
    assert line.endswith("% of the relevance by gradient_x_input in 3 maps; --layout rows shows all")


MISTAKES = {
    "beats behind the end": (["208_1020s.hea", *BEATS, "--beats", "late.csv", "--at-beat", "0"], ["late.csv", "a beat at 61 s"]),
    "beats that are not there": (["208_1020s.hea", *BEATS, "--beats", "gone.csv", "--at-beat", "0"], ["gone.csv"]),
    "beats of several": (["208_1020s.hea", "208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", "0"], ["--beats", "apart"]),
    "a layout without a figure": (
        ["twelve.npz", *TWELVE, "--sampling-rate", "100", "--layout", "rows", "--save", "a.npz"],
        ["--layout", "--output"],
    ),
    "an axis of no frequencies": (
        ["twelve.npz", *TWELVE, "--sampling-rate", "100", "--highest-hz", "30", "--output", "a.png"],
        ["--highest-hz"],
    ),
    "frequencies of a summary": (
        ["twelve.npz", *TWELVE, "--sampling-rate", "100", "--frequency", "--summary", "a.png"],
        ["--frequency", "--output", "--save"],
    ),
    "a layout of no signal": (["twelve.npz", *TWELVE, "--layout", "rows", "--output", "a.png"], ["--layout", "--sampling-rate"]),
    "a layout of several inputs": (
        [*("--input", "a=plain.npy", "--input", "b=plain.npy"), *BOTH, *ROWS],
        ["--layout"],
    ),
    "one file for two results": (
        ["208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", "12", "--output", "a.png", "--summary", "a.png"],
        ["a.png", "its own name"],
    ),
    "a summary over the beats": (
        ["208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", "12", "--summary", "mine.csv"],
        ["mine.csv", "would be lost"],
    ),
    "a summary of another kind": (["twelve.npz", *TWELVE, "--sampling-rate", "100", "--summary", "a.json"], ["a.json", ".csv"]),
    "a name that pages of the summary take": (
        ["208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", "12", "--summary", "a.png", "--output", "a-2.png"],
        ["a-2.png", "page of a.png"],
    ),
    "a summary of a lead that is not there": (
        ["208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", "12", "--summary", "a.png", "--summary-lead", "V9"],
        ["--summary-lead V9", "MLII, V1"],
    ),
    "a lead of no summary": (
        ["208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", "12", "--summary", "a.csv", "--summary-lead", "V1"],
        ["--summary-lead", "--summary FIGURE"],
    ),
    "two figures in one file": (
        ["208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", "12", "--output", "a.png", "--output", "./a.png"],
        ["a.png", "its own name"],
    ),
    "two archives in one file": (
        ["208_1020s.hea", *BEATS, "--beats", "mine.csv", "--at-beat", "12", "--output", "a.npz", "--save", "a.npz"],
        ["a.npz", "its own name"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_line_and_nothing_is_written(run, here, name):
    args, words = MISTAKES[name]
    if "--summary-lead" in args:
        have_neurokit2()
    before = sorted(here.iterdir())
    refused(run("explain", *args), *words)
    assert sorted(here.iterdir()) == before


def test_the_axis_of_frequencies_ends_where_one_asks_for_it(run, monkeypatch):
    ends, plot = [], signal_results.plot_spectrum_maps

    def noted(samples, **options):
        ends.append(options["highest"])
        return plot(samples, **options)

    monkeypatch.setattr(signal_results, "plot_spectrum_maps", noted)
    args = ("explain", "twelve.npz", *TWELVE, "--sampling-rate", 100, "--frequency", "--output", "hertz.png")
    explained(run(*args))
    explained(run(*args, "--highest-hz", 20))
    assert ends[1] == 20
    assert 0 < ends[0] < 50


@pytest.mark.parametrize(
    ("method", "signs", "said"),
    [
        ("lrp_z", "", ""),
        ("gradient", "", "; against: larger values lower the score, for: raise it"),
        ("gradient", TURNED, "; signs turned; against: larger values raise the score, for: lower it"),
        (
            "gradient",
            PARTLY_TURNED,
            "; signs turned in part; against: larger values lower the score, for: raise it, the other way round there",
        ),
        ("vargrad", "", "; against: none below 0, for: varies much"),
    ],
)
def test_sums_of_what_is_no_share_say_what_they_are(method, signs, said):
    summed = SummarizedMap(SimpleNamespace(name="a.hea"), "", method, "V", np.ones((1, 2)), "sums", signs=signs)
    assert list(summed.lines()) == [f"a.hea, V by {method}{said}:", "  sums"]
