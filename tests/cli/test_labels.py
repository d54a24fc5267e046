"""The command line on networks whose outputs each have a probability of their own: labels of an ECG, a single finding."""

import csv
import json

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from command_line import explained, refused
from signxai import explain
from signxai.cli import explain_files, signal_results
from signxai.targets import contrast

NETS = """
import torch
from torch import nn
from signxai.models import Classifier

LABELS = ["NORM", "MI", "STTC", "CD", "HYP"]

def body(outputs):
    torch.manual_seed(0)
    return [nn.Conv1d(12, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(8, outputs)]

def ecg():
    return Classifier(nn.Sequential(*body(5), nn.Sigmoid()), class_names=LABELS)

def bare():
    return Classifier(nn.Sequential(*body(5)), class_names=LABELS, activation="sigmoid")

def unsaid():
    return Classifier(nn.Sequential(*body(5)), class_names=LABELS)

def finding():
    return Classifier(nn.Sequential(*body(1), nn.Sigmoid()), class_names=["atrial fibrillation"])

def squeezed():
    return Classifier(nn.Sequential(*body(1), nn.Flatten(0)), class_names=["atrial fibrillation"])

def wrong():
    return Classifier(nn.Sequential(*body(5)), activation="tanh")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    (folder / "label_nets.py").write_text(NETS)
    np.save(folder / "ecg.npy", np.random.default_rng(0).normal(size=(2, 12, 100)).astype("float32"))
    return folder


def logits_of(folder, outputs=5):
    scope = {}
    exec(NETS, scope)
    net = torch.nn.Sequential(*scope["body"](outputs))
    x = np.load(folder / "ecg.npy")
    return net, x, net(torch.from_numpy(x)).detach().double().numpy()


def saved_maps():
    with np.load("maps.npz") as saved:
        return dict(saved)


def told(output):
    """By label the probability and the logit of the first input."""
    first = output.split("explained:")[0]
    return {
        line.split("%  ")[1].split(" (")[0]: (float(line.split("%")[0]), float(line.split()[-1]))
        for line in first.splitlines()
        if "%" in line
    }


@pytest.mark.parametrize("net", ["ecg", "bare"])
def test_each_label_has_its_own_probability_and_its_real_logit(run, here, net):
    said = told(explained(run("explain", "ecg.npy", "--model", f"label_nets:{net}", "--method", "gradient")))
    _, _, logits = logits_of(here)
    assert set(said) == {"NORM", "MI", "STTC", "CD", "HYP"}
    for index, label in enumerate(["NORM", "MI", "STTC", "CD", "HYP"]):
        assert said[label] == (pytest.approx(100 / (1 + np.exp(-logits[0, index])), abs=0.006), pytest.approx(logits[0, index], abs=0.006))


def test_a_network_that_ends_in_logits_is_taken_for_one_of_classes_that_exclude_each_other(run, here):
    said = told(explained(run("explain", "ecg.npy", "--model", "label_nets:unsaid", "--method", "gradient")))
    assert sum(probability for probability, _ in said.values()) == pytest.approx(100, abs=0.05)


@pytest.mark.parametrize("net", ["finding", "squeezed"])
def test_a_single_finding_is_not_certain_because_it_is_the_only_one(run, here, net):
    output = explained(run("explain", "ecg.npy", "--model", f"label_nets:{net}", "--method", "gradient", "--save", "maps.npz"))
    _, x, logits = logits_of(here, 1)
    probability, logit = told(output)["atrial fibrillation"]
    assert (probability, logit) == (pytest.approx(100 / (1 + np.exp(-logits[0, 0])), abs=0.006), pytest.approx(logits[0, 0], abs=0.006))
    assert saved_maps()["gradient"].shape == x.shape


def test_all_labels_are_explained(run, here):
    run_it = run("explain", "ecg.npy", "--model", "label_nets:ecg", "--method", "gradient", "--target", "all", "--save", "maps.npz")
    output = explained(run_it)
    net, x, logits = logits_of(here)
    saved = saved_maps()
    assert saved["target"].tolist() == [0, 1, 2, 3, 4] * 2
    np.testing.assert_allclose(saved["logits"], np.repeat(logits, 5, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(saved["probability"], 1 / (1 + np.exp(-np.repeat(logits, 5, axis=0))), rtol=1e-5, atol=1e-6)
    wanted = explain(net, np.repeat(x, 5, axis=0), "gradient", [0, 1, 2, 3, 4] * 2)
    np.testing.assert_allclose(saved["gradient"], wanted, rtol=1e-4, atol=1e-7)
    assert output.count("explained: NORM (class 0), MI (class 1), STTC (class 2), CD (class 3), HYP (class 4)") == 2


def test_the_labels_above_a_probability_are_explained(run, here):
    explained(run("explain", "ecg.npy", "--model", "label_nets:ecg", "--method", "lrp_z", "--above", "0.5", "--save", "maps.npz"))
    _, _, logits = logits_of(here)
    rows, classes = np.nonzero(logits > 0)
    saved = saved_maps()
    assert saved["target"].tolist() == classes.tolist()
    assert saved["name"].tolist() == [f"ecg.npy[{row}]" for row in rows]


def test_a_figure_of_all_labels(run, here):
    np.save("one.npy", np.load("ecg.npy")[:1])
    explained(run("explain", "one.npy", "--model", "label_nets:ecg", "--method", "lrp_z", "--target", "all", "--output", "maps.svg"))
    assert (here / "maps.svg").stat().st_size > 0


def test_signals_have_a_map_for_each_label(run, here):
    args = ["explain", "ecg.npy", "--model", "label_nets:ecg", "--sampling-rate", "100", "--units", "mV", "--method", "lrp_z"]
    np.save("one.npy", np.load("ecg.npy")[0])
    args[1] = "one.npy"
    explained(run(*args, "--target", "all", "--output", "maps.png", "--save", "maps.npz"))
    assert saved_maps()["lrp_z"].shape == (5, 12, 100)


def test_no_label_so_probable(run):
    refused(run("explain", "ecg.npy", "--model", "label_nets:ecg", "--method", "gradient", "--above", "1"), "--above 1", "highest")


def test_a_probability_and_a_target_do_not_go_together(run):
    args = ["explain", "ecg.npy", "--model", "label_nets:ecg", "--method", "gradient", "--above", "0.5", "--target", "MI"]
    refused(run(*args), "--above", "--target")


def test_an_unknown_activation_is_refused(run):
    refused(run("explain", "ecg.npy", "--model", "label_nets:wrong", "--method", "gradient"), "tanh", "sigmoid")


# Scores below 0


@pytest.mark.parametrize(
    ("relevance", "turned", "other"), [("one_hot", "lrp_z", "logit"), ("logit", "gradient_x_input, lrp_zplus", "one_hot")]
)
def test_whose_signs_a_score_below_zero_turns_is_said(run, here, relevance, turned, other):
    net, x, logits = logits_of(here)
    low = int(logits[0].argmin())
    assert logits[0, low] < 0
    np.save("one.npy", x[:1])
    methods = ["--method", "lrp_z", "gradient_x_input", "lrp_zplus"]
    args = ["explain", "one.npy", "--model", "label_nets:bare", "--target", str(low), *methods, "--save", "maps.npz"]
    said = explained(run(*args, "--relevance", relevance))
    assert f"(class {low}) is below 0 in one.npy" in said
    assert f"maps by {turned}, which" in said
    assert f"--relevance {other} puts that right" in said
    towards = explain(net, x[:1], "gradient_x_input", low)
    for method, values in saved_maps().items():
        if method in ("lrp_z", "gradient_x_input"):
            assert (np.corrcoef(values.ravel(), towards.ravel())[0, 1] < 0) == (method in turned.split(", ")), method


def test_a_score_above_zero_turns_no_signs_unless_it_is_compared_with_one_below(run, here):
    _, x, logits = logits_of(here)
    low, high = str(logits[0].argmin()), str(logits[0].argmax())
    assert logits[0].max() > 0
    np.save("one.npy", x[:1])
    args = ["explain", "one.npy", "--model", "label_nets:bare", "--target", high, "--method", "lrp_z"]
    assert "below 0" not in explained(run(*args))
    assert "below 0" in explained(run(*args, "--versus", low, "--relevance", "one_hot"))


@pytest.mark.parametrize("command", ["explain", "inspect", "certify"])
def test_one_class_rather_than_another_is_the_difference_of_their_logits(run, here, command):
    net, x, logits = logits_of(here)
    low, high = int(logits[0].argmin()), int(logits[0].argmax())
    assert logits[0, low] < 0 < logits[0, high]
    np.save("one.npy", x[:1])
    args = [command, "one.npy", "--model", "label_nets:bare", "--target", str(high), "--versus", str(low)]
    if command != "explain":
        less = ["--without-srg", "--json", "own.json"] if command == "certify" else ["--save", "own.json"]
        open_ended, told = (explained(run(*args, *less, "--method", "lrp_z", *start)) for start in ([], ["--relevance", "logit"]))
        assert open_ended == told
        assert "leave --relevance out" not in told
        assert "turned signs" in explained(run(*args, *less, "--method", "lrp_z", "--relevance", "one_hot"))
        return
    methods = ["lrp_z", "gradient_x_input", "lrp_zplus"]
    said = explained(run(*args, "--method", *methods, "--save", "maps.npz"))
    assert "below 0" not in said
    maps, difference = saved_maps(), contrast(high, low)
    for method, start in zip(methods, ("logit", "one_hot", "one_hot"), strict=True):
        np.testing.assert_array_equal(maps[method], explain(net, x[:1], method, difference, relevance=start))
    np.testing.assert_allclose(maps["lrp_z"], maps["gradient_x_input"], rtol=1e-4, atol=1e-6)  # the law for one class holds for two
    with np.load("maps.npz") as kept:
        assert json.loads(str(kept["spec"]))["relevance"] == dict(zip(methods, ("logit", "one_hot", "one_hot"), strict=True))


@pytest.mark.parametrize(("relevance", "method"), [("one_hot", "lrp_z"), ("logit", "gradient_x_input")])
def test_what_is_not_the_difference_of_two_logits_is_said(run, here, relevance, method):
    _, x, logits = logits_of(here)
    low, high = str(logits[0].argmin()), str(logits[0].argmax())
    np.save("one.npy", x[:1])
    args = ["explain", "one.npy", "--model", "label_nets:bare", "--target", high, "--versus", low, "--method", "lrp_z", "gradient_x_input"]
    said = explained(run(*args, "--relevance", relevance))
    assert f"maps by {method} are what speaks for the one class less what speaks for the other" in said
    assert f"(class {low}), whose logit is below 0, has turned signs in one.npy" in said
    assert "leave --relevance out" in said


def headings_of(run, monkeypatch, *args):
    """What figures of a command are headed by; nothing is drawn in them."""
    turned = {}

    def told(samples):
        turned.update((sample.heading, bool(sample.turned)) for sample in samples)
        return Figure()

    monkeypatch.setattr(explain_files, "signal_figure", lambda samples, *rest, **options: told(samples))
    monkeypatch.setattr(signal_results, "plot_ecg_maps", lambda samples, **options: [told(samples).add_subplot()])
    explained(run(*args, "--output", "maps.png"))
    assert turned == {heading: "signs turned" in heading for heading in turned}
    return list(turned)


@pytest.mark.parametrize("as_signal", [False, True])
def test_a_figure_says_whose_signs_are_turned(run, here, monkeypatch, as_signal):
    net = "label_nets:ecg" if as_signal else "label_nets:bare"
    _, x, logits = logits_of(here)
    np.save("one.npy", x[0] if as_signal else x[:1])
    words = ["--sampling-rate", "100", "--units", "mV"] if as_signal else []
    args = ["explain", "one.npy", "--model", net, *words, "--target", "all", "--method", "lrp_z"]
    below = [logit < 0 for logit in logits[0]]
    assert 0 < sum(below) < len(below)
    assert ["signs turned: a logit is below 0" in heading for heading in headings_of(run, monkeypatch, *args)] == below
    both = headings_of(run, monkeypatch, *args, "--method", "lrp_zplus")
    assert ["signs turned by lrp_z: a logit is below 0" in heading for heading in both] == below
    assert not any("signs turned" in heading for heading in headings_of(run, monkeypatch, *args, "--relevance", "logit"))


def test_the_table_has_the_probability_of_each_label(run, here):
    explained(run("explain", "ecg.npy", "--model", "label_nets:ecg", "--method", "gradient", "--table", "labels.csv"))
    _, _, logits = logits_of(here)
    with (here / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [[float(row[f"probability_of_{label}"]) for label in ("NORM", "MI", "STTC", "CD", "HYP")] for row in rows]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), rtol=1e-5)
