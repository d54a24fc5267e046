"""The shipped beat network: the committed figures are its own, and the laws hold on it with real patients' beats."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from comparing import deviation
from places import ROOT
from signxai import explain, inspect_model
from signxai.timeseries import BEAT_CLASSES, beat_windows, load_beat_network, prepare_for_beats, read_signal
from signxai.timeseries.beat_network import AFTER_S, BEFORE_S

DATA = ROOT / "src" / "signxai" / "data"
DATABASE = ROOT.parent / "shared" / "mitdb"
V = BEAT_CLASSES.index("V")


def windows_of(path):
    """The network's windows (beats, 2, samples) around the beats it knows, and their classes."""
    prepared = prepare_for_beats(read_signal(path))
    around = beat_windows(replace(prepared.signal, values=prepared.values), BEFORE_S, AFTER_S)
    known = [index for index, name in enumerate(around.beats.classes) if name in BEAT_CLASSES]
    return torch.from_numpy(around.values[known]).float(), np.array([BEAT_CLASSES.index(around.beats.classes[index]) for index in known])


def predicted(x):
    net = load_beat_network()
    with torch.no_grad():
        return torch.cat([net(part).argmax(1) for part in x.split(512)]).numpy()


@pytest.fixture(scope="module")
def excerpt():
    return windows_of(DATA / "233_1655s")


@pytest.fixture(scope="module")
def exact(excerpt):
    """The network and three beats of each class of the excerpt, in float64."""
    x, classes = excerpt
    chosen = np.concatenate([np.flatnonzero(classes == number)[:3] for number in range(len(BEAT_CLASSES))])
    return load_beat_network().double(), x[chosen].double()


def test_the_weights_are_small_and_the_network_evaluates():
    assert (DATA / "ecg_beats.safetensors").stat().st_size <= 1_000_000
    assert not load_beat_network().training


def test_it_finds_ventricular_beats_of_the_excerpt(excerpt):
    x, classes = excerpt
    found = predicted(x)
    assert np.mean(found[classes == V] == V) > 0.9
    assert np.mean(found[classes == 0] == 0) > 0.9


@pytest.mark.skipif(not DATABASE.exists(), reason="the database is not here")
@pytest.mark.parametrize("record", ["200", "233"])
def test_whole_records_of_patients_never_seen_give_the_committed_figures(record):
    committed = json.loads((DATA / "ecg_beats.json").read_text())["confusion by record"][record]
    x, classes = windows_of(DATABASE / record)
    table = np.zeros((len(BEAT_CLASSES),) * 2, dtype=int)
    np.add.at(table, (classes, predicted(x)), 1)
    assert np.abs(table - committed).sum() <= 0.002 * len(x)  # another processor rounds a logit otherwise


def test_the_figures_add_up_and_reach_what_is_promised():
    content = json.loads((DATA / "ecg_beats.json").read_text())
    table = np.sum(list(content["confusion by record"].values()), axis=0)
    assert table.tolist() == content["confusion"]
    sensitivity, precision = table[V, V] / table[V].sum(), table[V, V] / table[:, V].sum()
    assert sensitivity >= 0.85
    assert precision >= 0.80
    assert content["figures"]["V"]["sensitivity"] == pytest.approx(sensitivity, abs=1e-4)
    assert content["figures"]["V"]["precision"] == pytest.approx(precision, abs=1e-4)


def test_law_1_holds_on_real_beats(exact):
    net, x = exact
    for target in range(len(BEAT_CLASSES)):
        expected = explain(net, x, "gradient_x_input", target)
        assert deviation(explain(net, x, "lrp_z", target, relevance="logit"), expected) < 1e-9


@pytest.mark.parametrize("method", ["lrp_z", "lrp_epsilon_0_25_std_x", "lrp_alpha_1_beta_0", "lrp_gamma_0_25"])
def test_the_report_accounts_for_all_relevance(exact, method):
    net, x = exact
    report = inspect_model(net, x, method, V)
    assert report.unknown_operations == []
    assert abs(report.unaccounted) < 1e-9


@pytest.mark.parametrize("method", ["lrpsign_epsilon_0_25_std_x", "lrp_zplus", "gradient", "grad_cam_timeseries", "guided_backprop"])
def test_a_batch_of_beats_is_explained_as_its_beats_one_by_one(excerpt, method):
    x = excerpt[0][:5]
    single = np.concatenate([explain(load_beat_network(), one[None], method) for one in x])
    assert deviation(explain(load_beat_network(), x, method), single) < 1e-5
    assert single.shape == x.shape
