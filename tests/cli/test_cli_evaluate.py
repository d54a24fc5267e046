"""``signxai evaluate`` as a user meets it."""

import csv
import signal
import time

import numpy as np
import pytest
import torch

from command_line import MAIN, explained, refused, with_arguments
from places import PACKAGE_DATA
from processes import Forked, python
from signxai import explain
from signxai.cli import evaluate_methods
from signxai.evidence import Window, comparing, srg
from signxai.evidence.comparison_plan import DEFAULT_METRICS
from signxai.targets import contrast

NETS = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14, 3))

class Joint(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.of_signal, self.of_table = nn.Linear(32, 3), nn.Linear(4, 3)

    def forward(self, signal, table):
        return self.of_signal(signal.flatten(1)) + self.of_table(table)

def joint():
    return Joint()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    (folder / "nets_to_judge.py").write_text(NETS)
    random = np.random.default_rng(0)
    x = random.normal(size=(6, 2, 16)).astype(np.float32)
    np.save(folder / "x.npy", x)
    np.save(folder / "recorded.npy", x[0])
    np.save(folder / "more.npy", x[:2] + 1)
    np.savez(folder / "joint.npz", signal=x, table=random.normal(size=(6, 4)).astype(np.float32))
    np.save(folder / "mask.npy", np.arange(16) < 5)
    np.save(folder / "table.npy", np.load(folder / "joint.npz")["table"])
    (folder / "patients.txt").write_text("a\na\nb\nb\nc\nc\n")
    return folder


def read(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


ARGS = ["evaluate", "x.npy", "--model", "nets_to_judge:net", "--method", "gradient", "lrp_z"]
FEW = ["--metric-option", "steps=4", "--draws", "50"]


def test_a_page_tables_and_a_figure_are_written(run, here):
    outputs = [option for name in ("a.html", "a.csv", "a.tex", "a.png") for option in ("--output", name)]
    metrics = ["--metric", "srg", "--metric", "relevance_rank", "--masks", "mask.npy"]
    said = explained(
        run(*ARGS, *metrics, *FEW, *outputs, "--scores", "s.csv", "--groups", "patients.txt", "--unit", "window:4", "--imputer", "0")
    )
    assert said.startswith("explained: class 0 (4 of 6), class 1 (2 of 6)\n\n")
    assert said.splitlines()[2] == "3 methods on 6 samples: means with 95 % bootstrap intervals over 3 groups (50 draws)"
    assert [line for line in said.splitlines() if line.startswith("wrote")] == [
        f"wrote {name}" for name in ("a.html", "a.csv", "a.tex", "a.png", "s.csv")
    ]
    rows = read(here / "a.csv")
    assert {(row["method"], row["metric"]) for row in rows} == {
        (a, b) for a in ("gradient", "lrp_z", "random_uniform") for b in ("srg", "relevance_rank")
    }
    scores = [row for row in read(here / "s.csv") if (row["method"], row["metric"]) == ("lrp_z", "srg")]
    assert np.mean([float(row["score"]) for row in scores]) == pytest.approx(
        next(float(row["mean"]) for row in rows if row["method"] == "lrp_z")
    )
    assert (here / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert (here / "a.png").stat().st_size > 10_000


def test_the_default_metrics_are_those_of_the_function(run):
    assert evaluate_methods._METRICS == DEFAULT_METRICS
    said = explained(run(*ARGS, *FEW))
    assert next(line for line in said.splitlines() if "↑" in line).split() == ["cost", "srg", "↑", "mprt", "↓", "gini", "↑"]


def test_scores_name_the_samples_and_their_files_as_the_table_of_explain_does(run, here):
    explained(run(ARGS[0], "x.npy", "more.npy", *ARGS[2:], "--metric", "gini", "--scores", "s.csv", "--no-timing"))
    explained(run("explain", "x.npy", "more.npy", *ARGS[2:4], "-m", "gradient", "--table", "t.csv"))
    rows, table = read(here / "s.csv"), read(here / "t.csv")
    told = [(row["name"], row["path"]) for row in rows if row["method"] == "lrp_z"]
    assert told == [(row["name"], row["path"]) for row in table]
    assert told[6][1] == "more.npy"
    assert [row["sample"] for row in rows if row["method"] == "lrp_z"] == [str(number) for number in range(8)]


def test_scores_of_several_inputs_name_all_of_their_files(run, here):
    explained(run("evaluate", *APART, *JOINT, "--scores", "s.csv"))
    assert {row["path"] for row in read(here / "s.csv")} == {"x.npy + table.npy"}


def test_files_are_groups(run):
    said = explained(run(ARGS[0], "x.npy", "more.npy", *ARGS[2:], "--metric", "gini", "--groups-by-file"))
    assert said.splitlines()[2].startswith("3 methods on 8 samples: means with 95 % bootstrap intervals over 2 groups")


JOINT = ["--model", "nets_to_judge:joint", "-m", "lrp_z", "--metric", "srg", *FEW, "--no-timing"]
APART = ["--input", "signal=x.npy", "--input", "table=table.npy"]


def test_several_inputs_are_compared_from_one_file_and_from_a_file_for_each(run):
    said, apart = (explained(run("evaluate", *given, *JOINT)) for given in (["joint.npz"], APART))
    lines = said.splitlines()
    assert lines[0] == "6 samples of 2 inputs, counted by the first axis of each array"
    assert lines[5].startswith("2 methods on 6 samples")
    assert apart == said


def test_only_some_of_several_inputs_are_explained(run, here):
    for args, name in ((["--explained", "table"], "a.csv"), ([], "b.csv")):
        assert ("signal  2 x 16, float32, not explained" in explained(run("evaluate", *APART, *JOINT, "--output", name, *args))) == bool(
            args
        )
    one, both = (next(float(row["mean"]) for row in read(here / name) if row["method"] == "lrp_z") for name in ("a.csv", "b.csv"))
    net, x, table = joint_of(here)
    maps = explain(net, {"signal": x, "table": table}, "lrp_z", explained=["table"])
    assert list(maps) == ["table"]
    assert one == pytest.approx(srg(net, {"signal": x, "table": table}, maps, steps=4).mean(), abs=1e-5)
    assert one != pytest.approx(both)


def joint_of(folder):
    names = {}
    exec(NETS, names)
    with np.load(folder / "joint.npz") as held:
        return names["joint"](), torch.from_numpy(held["signal"]), torch.from_numpy(held["table"])


def test_without_timing_methods_run_once_and_no_file_has_costs(run, here, monkeypatch):
    ran, own = [], comparing._Work._explained
    monkeypatch.setattr(comparing._Work, "_explained", lambda work, one: ran.append(one.label) or own(work, one))
    names = [f"a.{suffix}" for suffix in ("html", "csv", "tex")]
    said = explained(run(*ARGS, "--metric", "gini", "--no-timing", *(option for name in names for option in ("--output", name))))
    assert ran == ["gradient", "lrp_z", "random_uniform"]
    assert next(line for line in said.splitlines() if "↑" in line).split() == ["gini", "↑"]
    assert "cost: not measured, no method was timed" in said
    assert "cost_in_gradients" not in read(here / "a.csv")[0]
    assert {row["timed"] for row in read(here / "a.csv")} == {"false"}


@pytest.mark.slow
def test_beats_of_a_recording_are_compared(run):
    pytest.importorskip("wfdb")
    record = PACKAGE_DATA / "233_1655s"
    options = ["--window", "0:5s", "-m", "gradient_x_input", "--metric", "gini", "--draws", "50"]
    said = explained(run("evaluate", record, "--model", "ecg_beats", *options)).splitlines()
    assert said[0].startswith("explained: N (normal) (5 of 6), V")
    assert said[1] == "6 samples of 1 file are taken as independent of each other; where a file is a patient's, say --groups-by-file"
    assert said[3].startswith("2 methods on")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--metric", "auc"], ["--metric auc", "give --masks FILE"]),
        (["--unit", "patch"], ["--unit 'patch'", "patch:8"]),
        (["--metric", "gini", "--unit", "pixel"], ["--unit: none of the metrics removes anything"]),
        (["--metric-option", "unit=pixel"], ["unit= has an option of its own, --unit"]),
        (["--metric-option", "gini:steps=1"], ["'gini' takes no option 'steps'"]),
        (["--metric-option", "mprt:x"], ["--metric-option 'mprt:x'", "METRIC:KEY=VALUE", "one of the metrics"]),
        (["--metric-option", "steps"], ["--metric-option 'steps'", "write KEY=VALUE"]),
        (["--metric-option", "steps=1", "--metric-option", "steps=2"], ["--metric-option 'steps=2'", "given twice"]),
        (["--metric", "srg:steps=0"], ["--metric srg:steps=0: takes a name alone", "--metric srg --metric-option srg:steps=0"]),
        (["--option", "stepz=1"], ["none of the methods takes the option 'stepz'"]),
        (["--output", "a.doc"], ["a.doc", ".html"]),
        (["--groups", "patients.txt", "--groups-by-file"], ["give one of them"]),
        (["--groups", "nets_to_judge.py"], ["lines for 6 inputs"]),
        (["--target", "all"], ["--target all", "one class of each input"]),
        (["--explained", "x"], ["--explained goes with several inputs"]),
        (["--input", "x=more.npy"], ["x.npy: beside inputs with names this one needs its own"]),
        (["--option", "explained=x"], ["explained= has an option of its own, --explained"]),
    ],
)
def test_a_mistake_is_told_in_a_line(args, words, run):
    refused(run(*ARGS, *args), *words)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], ["Missing argument 'INPUT': give a file, or --input NAME=FILE"]),
        (APART[:2], ["the model also needs 'table': give --input table=FILE"]),
        ([*APART, "--input", "beats=x.npy"], ["takes no argument 'beats'"]),
        ([*APART[:2], "--input", "table=more.npy"], ["'signal' has 6, 'table' has 2"]),
        ([*APART, "--forward", "table=1"], ["--forward table: is an input already"]),
        ([*APART, "--groups-by-file"], ["--groups-by-file", "by --groups FILE"]),
        ([*APART, "--output", "table.npy"], ["table.npy"]),
        ([*APART, "--scores", "table.npy"], ["table.npy"]),
    ],
)
def test_mistakes_with_several_inputs_are_told_in_a_line(given, words, run):
    refused(run("evaluate", *given, *JOINT), *words)


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        (["--metric", "gini", "--groups", "groups.csv", "--output", "groups.csv"], "groups.csv"),
        (["--metric", "gini", "--groups", "groups.csv", "--scores", "./groups.csv"], "groups.csv"),
        (["--metric", "gini", "--masks", "mask.npy", "--output", "link.csv"], "mask.npy"),
        (["--metric", "gini", "--output", "net.csv"], "nets_to_judge.py"),
    ],
)
def test_nothing_that_is_read_is_written_over(args, kept, run, here):
    (here / "groups.csv").write_text("a\na\nb\nb\nc\nc\n")
    (here / "link.csv").symlink_to("mask.npy")
    (here / "net.csv").symlink_to("nets_to_judge.py")
    before = (here / kept).read_bytes()
    refused(run(*ARGS, *args), args[-1].removeprefix("./"))
    assert (here / kept).read_bytes() == before


@pytest.mark.parametrize("args", [["--output", "a.csv", "--scores", "./a.csv"], ["--output", "a.csv", "--output", "a.csv"]])
def test_two_results_are_not_written_to_one_file(args, run, here):
    refused(run(*ARGS, "--metric", "gini", *args), "a.csv", "one would be lost")
    assert not (here / "a.csv").exists()


def test_wrong_names_are_told_before_torch_is_loaded(folder):
    for args, words in ((["--metric", "srgg"], ["'srgg'", "nearest: srg"]), (["-m", "lrpp"], ["lrpp"])):
        code = f"{with_arguments(ARGS[0], 'x.npy', '-m', 'gradient', *args)}\ntry:\n {MAIN}\nfinally:\n print('torch' in sys.modules)"
        done = python("-c", code, cwd=folder)
        assert done.stdout.strip() == "False"
        refused(done, *words)


@pytest.mark.slow
def test_ctrl_c_leaves_what_is_done_marked_as_partial(here):
    """The second method's curves are not to end by themselves."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        f"{with_arguments(*ARGS, '--metric', 'gini', '--metric', 'srg', '--output', 'c.html', '--output', 'c.csv')}\n"
        "import signxai.evidence.comparing as c, pathlib, time\n"
        "own = c.perturbation_curves\n"
        "def slow(*a, **k):\n pathlib.Path('begun').touch(); time.sleep(60)\n return own(*a, **k)\n"
        f"c.perturbation_curves = slow\n{MAIN}"
    )
    process = Forked("-c", code, cwd=here, out=here / "printed.txt", err=here / "errors.txt")
    while not (here / "begun").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    status = process.wait(60)
    out, err = process.out.read_text(), process.err.read_text()
    assert (status, err) == (130, "signxai: interrupted: what was done is marked as partial\n")
    assert "\nPARTIAL: interrupted; 3 of 6 pairs of a method and a metric are done\n" in out
    assert "PARTIAL" in (here / "c.html").read_text()
    assert {row["partial"] for row in read(here / "c.csv")} == {"true"}


def test_signs_that_a_logit_below_zero_turns_are_told_and_put_right_for_one_method(run, here):
    scope: dict = {}
    exec(NETS, scope)
    x = np.load("x.npy")
    logits = scope["net"]()(torch.from_numpy(x)).detach()
    low = int(logits.min(dim=0).values.argmin())
    assert (logits[:, low] < 0).any()
    args = ["evaluate", "x.npy", "--model", "nets_to_judge:net", "--method", "lrp_z", "gradient_x_input", "--target", str(low)]
    args += ["--metric", "gini", "--no-timing", "--draws", "20"]
    count = int((logits[:, low] < 0).sum())
    assert f"lrp_z ({count} of 6 samples)" in explained(run(*args))
    turned = explained(run(*args, "--relevance", "logit"))
    assert f"gradient_x_input ({count} of 6 samples)" in turned
    assert "random_uniform (" not in turned
    assert "SIGNS TURNED" not in explained(run(*args, "--option", "lrp_z:relevance=logit"))
    refused(run(*args, "--option", "lrp_z:steps=3"), "lrp_z", "steps")
    refused(run(*args, "--option", "relevance=logit", "--relevance", "one_hot"), "--relevance", "--option relevance=")


def test_methods_are_compared_on_one_class_rather_than_another(run, here):
    args = ["evaluate", "x.npy", "--model", "nets_to_judge:net", "--method", "lrp_z", "gradient_x_input", "--target", "2", "--versus", "0"]
    said = explained(run(*args, "--metric", "srg", *FEW, "--no-timing", "--output", "a.csv", "--scores", "s.csv"))
    assert "rather than class 0" in said
    assert "SIGNS TURNED" not in said
    scope: dict = {}
    exec(NETS, scope)
    net, x = scope["net"](), torch.from_numpy(np.load("x.npy"))
    for method, start in (("lrp_z", "logit"), ("gradient_x_input", "one_hot")):
        maps = explain(net, x, method, contrast(2, 0), relevance=start)
        by_hand = srg(net, x, maps, contrast(2, 0), steps=4)
        own = [float(row["score"]) for row in read(here / "s.csv") if row["method"] == method]
        assert own == pytest.approx(list(by_hand), abs=1e-5)
    refused(run(*args[:-1], "2", "--metric", "srg"), "--versus 2", "is explained itself")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--unit", "window:99999"], ["--unit window:99999: longer than the input, which has 16 samples", "window:K"]),
        (["--unit", "patch:4"], ["--unit patch:4", "as a signal", "this one has pixel, value, window:K"]),
        (["--unit", "pixel", "--unit", "value"], ["--unit value: is given twice"]),
        (["--unit", "x=pixel"], ["--unit x=pixel: goes with several inputs", "write --unit pixel"]),
    ],
)
def test_units_that_the_input_does_not_have_are_refused_before_the_network_runs(args, words, run, monkeypatch):
    monkeypatch.setattr("signxai.cli.evaluate_files.decide", lambda *_: pytest.fail("the network ran"))
    refused(run(*ARGS, *FEW, "--metric", "srg", *args), *words)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--unit", "patch:4"], ["--unit patch:4 for the input 'signal'", "as --unit signal=pixel"]),
        (["--unit", "window:16"], ["--unit window:16 for the input 'table'", "4 samples"]),
        (["--unit", "signal=window:17"], ["--unit window:17 for the input 'signal'", "16 samples"]),
        (["--unit", "image=patch:4"], ["--unit image=: there is no such input; the inputs: signal, table"]),
        (["--unit", "signal=pixel", "--unit", "signal=value"], ["--unit signal=value: is given twice for signal"]),
    ],
)
def test_of_several_inputs_each_is_asked_for_its_own_units(args, words, run, monkeypatch):
    monkeypatch.setattr("signxai.cli.evaluate_files.decide", lambda *_: pytest.fail("the network ran"))
    refused(run("evaluate", *APART, *JOINT, *args), *words)


def test_a_recording_has_no_tokens(run, monkeypatch):
    monkeypatch.setattr("signxai.cli.evaluate_files.decide", lambda *_: pytest.fail("the network ran"))
    args = ["--unit", "token", "--sampling-rate", "100", "--units", "mV"]
    done = run("evaluate", "recorded.npy", *ARGS[2:], *FEW, "--metric", "srg", *args)
    refused(done, "--unit token", "a signal, which has no tokens", "this one has pixel, value, window:K")


def test_of_several_inputs_each_has_its_own_units(run, here):
    explained(run("evaluate", *APART, *JOINT, "--unit", "signal=window:4", "--unit", "table=value", "--output", "a.csv"))
    net, signal_, table = joint_of(here)
    x = {"signal": signal_, "table": table}
    by_hand = srg(net, x, explain(net, x, "lrp_z"), steps=4, unit={"signal": Window(4), "table": "value"}).mean()
    assert float(next(row["mean"] for row in read(here / "a.csv") if row["method"] == "lrp_z")) == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize(
    ("args", "there", "elsewhere"),
    [
        (["evaluate", "--metric", "srg", "--metric-option", "qqq=1"], "score, steps", ("unit", "imputer")),
        (
            ["explain", "--option", "qqq=1"],
            "its options are attention, stabilizer, strict",
            ("as_tensor", "progress", "forward_kwargs", "create_graph", "output"),
        ),
    ],
)
def test_options_that_only_python_takes_are_not_offered(args, there, elsewhere, run):
    done = run(args[0], *ARGS[1:4], "-m", "lrp_z_cp", *args[1:])
    refused(done, "'qqq'", there)
    assert not [name for name in elsewhere if name in done.stderr]


@pytest.mark.parametrize("targets", [["--target", "all", "--versus", "1"], ["--versus", "all"]])
def test_all_classes_are_compared_with_none_and_none_with_all(targets, run):
    refused(run("explain", *ARGS[1:4], "-m", "gradient", *targets), *targets[-2:], "name ")


def test_a_figure_of_several_classes_says_how_many_inputs_it_shows(run):
    said = explained(run("explain", *ARGS[1:4], "-m", "gradient", "--target", "all", "--output", "f.png"))
    assert "6 inputs, with 18 explained classes in all, are shown on 3 pages" in said


def test_names_of_classes_with_a_comma_are_quoted_in_lists(run, here):
    (here / "classes.txt").write_text("lynx\ntiger cat, tabby\nowl\n")
    named = [*ARGS[1:4], "-m", "gradient", "--classes", "classes.txt"]
    assert 'explained: lynx (class 0), "tiger cat, tabby" (class 1), owl (class 2)' in explained(run("explain", *named, "--target", "all"))
    said = explained(run("evaluate", *named, "--metric", "gini", "--no-timing"))
    assert said.startswith('explained: lynx (4 of 6), "tiger cat, tabby" (2 of 6)\n')
    refused(run("explain", *named, "--target", "dog"), 'the classes are lynx, "tiger cat, tabby", owl')
