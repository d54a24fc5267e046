"""Certificates that a store keeps: they are those of the maps that it holds, nothing else of it changes, and what is not its is refused."""

import hashlib
import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from dataset_run import network
from signxai import certify
from signxai.common.errors import OptionError, SignxaiError, StoreError
from signxai.datasets import ArraySource, Store, certify_entries, explain_dataset

zarr = pytest.importorskip("zarr")

from signxai.datasets import certifying_entries as module  # noqa: E402
from signxai.datasets.certifying_entries import most_absorbed  # noqa: E402

LRP, NOISY = "lrp_epsilon_0_1_std_x", "smoothgrad_samples_3"
COUNT = 9


def made(path, net=None, methods=(LRP, NOISY), values=None, **options):
    values = np.random.default_rng(0).normal(size=(COUNT, 3, 8, 8)).astype("f4") if values is None else values
    return explain_dataset(net or network(), ArraySource(values), list(methods), path, batch_size=4, **options)


def hashes(folder):
    files = [file for file in folder.rglob("*") if file.is_file() and "certificate" not in file.parts]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def plain(certificate):
    """Verdicts and values, without the last bits of these, which hang on how many threads there are."""
    return {name: (check.passed, None if check.value is None else f"{check.value + 1:.3g}") for name, check in certificate.checks.items()}


@pytest.mark.parametrize("options", [{}, {"relevance": "logit"}, {"dtype": "float16"}, {"target": 2}, {"seed": 5}], ids=str)
def test_they_are_those_of_the_stored_maps(tmp_path, options):
    store = made(tmp_path / "maps.zarr", **options)
    before = hashes(store.path)
    own = {key: value for key, value in options.items() if key in ("relevance", "seed")}
    for method in (LRP, NOISY):
        found = certify_entries(store, network(), method, [7, 2], srg=False)
        assert list(found) == [7, 2]
        for index, certificate in found.items():
            x, target = store.inputs([index]), store.array("target", [index])
            alone = certify(network(), x, method, target, srg=False, **{k: v for k, v in own.items() if method == LRP or k == "seed"})
            assert plain(certificate) == plain(alone[0])
            assert certificate.samples[0].number == index
    assert hashes(store.path) == before
    opened = Store(store.path)
    assert opened.certified() == sorted([LRP, NOISY])
    assert list(opened.certificates(LRP)) == [2, 7]
    assert plain(opened.certificate("7", NOISY)) == plain(opened.certificate(7, NOISY)) == plain(found[7])
    assert zarr.open_group(store.path, mode="r")[f"certificate/{LRP}"].attrs["rows"][0]["key"] == "2"


def test_entries_are_added_and_made_anew_and_the_run_goes_on_as_before(tmp_path):
    store = made(tmp_path / "maps.zarr")
    certify_entries(store.path, network(), LRP, [1], srg=False)
    strict = certify_entries(store, network(), LRP, np.arange(COUNT) == 1, srg=False, thresholds={"runner_up": 0.0})
    certify_entries(store, network(), LRP, slice(4, 5), srg=False)
    assert list(store.certificates(LRP)) == [1, 4]
    assert store.certificate(1, LRP).checks["runner_up"] == strict[1].checks["runner_up"]
    assert store.certificate(-5, LRP).checks == store.certificate(4, LRP).checks
    before = hashes(store.path)
    assert list(made(tmp_path / "maps.zarr").certificates(LRP)) == [1, 4]
    assert hashes(store.path) == before
    assert store.certificates(NOISY) == {}


def test_several_inputs_and_all_entries_but_those_that_failed(tmp_path):
    draw = np.random.default_rng(0)
    values = {"ecg": draw.normal(size=(6, 2, 40)).astype("f4"), "age": draw.normal(size=(6, 1)).astype("f4")}
    store = explain_dataset(Joint(), ArraySource(values), ["lrp_epsilon_0_1"], tmp_path / "maps.zarr", batch_size=4, explained=["ecg"])
    found = certify_entries(store, Joint(), "lrp_epsilon_0_1", [0, 3], srg=False)
    alone = certify(Joint(), values, "lrp_epsilon_0_1", srg=False, explained=["ecg"])
    assert [plain(found[index]) for index in (0, 3)] == [plain(alone[index]) for index in (0, 3)]
    broken = np.ones((3, 3, 8, 8), dtype="f4")
    broken[1, 0, 0, 0] = np.nan
    store = made(tmp_path / "broken.zarr", methods=["gradient"], values=broken)
    assert list(certify_entries(store, network(), "gradient", srg=False)) == [0, 2]
    with pytest.raises(OptionError, match="the entry 1, 1, was not explained"):
        certify_entries(store, network(), "gradient", [1])


def test_options_that_a_store_cannot_hold_are_to_be_given_as_they_were(tmp_path):
    baseline = np.random.default_rng(1).normal(size=(COUNT, 3, 8, 8)).astype("f4")
    method = "integrated_gradients_steps_8"
    store = made(tmp_path / "maps.zarr", methods=[method], baseline=baseline)
    for given in ({}, {"baseline": baseline + 1}, {"baseline": baseline, "noise_level": 0.1}):
        with pytest.raises(OptionError, match=r"its run had .*must be given as it was"):
            certify_entries(store, network(), method, [5], srg=False, **given)
    found = certify_entries(store, network(), method, [5], srg=False, baseline=baseline)
    alone = certify(network(), store.inputs([5]), method, store.array("target", [5]), srg=False, baseline=baseline[5])
    assert plain(found[5]) == plain(alone[0])


class Joint(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.ecg, self.age = nn.Linear(80, 3), nn.Linear(1, 3)

    def forward(self, ecg, age):
        return torch.relu(self.ecg(ecg.flatten(1))) + self.age(age)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        return x, self.net(x)


def second(returned):
    return returned[1]


def test_an_output_is_that_of_the_run(tmp_path):
    store = made(tmp_path / "maps.zarr", net=Pair().eval(), methods=["gradient"], output=second)
    with pytest.raises(OptionError, match="its run had output="):
        certify_entries(store, Pair().eval(), "gradient", [0])
    assert list(certify_entries(store, Pair().eval(), "gradient", [0], srg=False, output=second)) == [0]


def other_weights():
    net = network()
    with torch.no_grad():
        net[0].bias.add_(1)
    return net


def test_other_networks_and_other_maps_are_refused(tmp_path):
    store = made(tmp_path / "maps.zarr")
    shape = nn.Sequential(*network()[:-1], network()[-1], nn.Identity())
    for net, said in ((other_weights(), "its weights are not those"), (shape, "is of another network")):
        with pytest.raises(StoreError, match=said):
            certify_entries(store, net, LRP, [0])
    maps = zarr.open_group(store.path, mode="r+")[f"relevance/{LRP}"]
    maps[2] = 1.1 * maps[2]
    maps[3] = 0.999 * maps[3]
    with pytest.raises(StoreError, match=re.escape(f"{LRP} of the entry 2, 2, comes out otherwise than it is stored")):
        certify_entries(store, network(), LRP, [3, 2], srg=False)
    assert list(store.certificates(LRP)) == [3]


def test_ctrl_c_keeps_what_is_whole(tmp_path, monkeypatch):
    store, own = made(tmp_path / "maps.zarr"), module._certificate

    def ended(store, net, method, index, *rest):
        if index == 2:
            raise KeyboardInterrupt
        return own(store, net, method, index, *rest)

    monkeypatch.setattr(module, "_certificate", ended)
    with pytest.raises(KeyboardInterrupt):
        certify_entries(store, network(), LRP, srg=False)
    assert list(store.certificates(LRP)) == [0, 1]
    assert not [file for file in (store.path / "certificate").rglob("*") if file.is_file() and file.name != "zarr.json"]


def test_the_worst_are_those_that_absorb_most(tmp_path):
    store = made(tmp_path / "maps.zarr", relevance="logit")
    shares = np.abs(store.array(f"absorbed/{LRP}") / store.logits_of_targets())
    assert most_absorbed(store, LRP, 3) == sorted(range(COUNT), key=lambda index: -shares[index])[:3]
    assert len(most_absorbed(store, LRP, 99)) == COUNT
    with pytest.raises(OptionError, match="nothing says what smoothgrad_samples_3 absorbs"):
        most_absorbed(store, NOISY, 3)


def test_what_is_asked_for_and_is_not_there_is_told(tmp_path):
    store = made(tmp_path / "maps.zarr")
    for call, error, said in (
        (lambda: certify_entries(store, network(), "gradient"), OptionError, "has no 'gradient'"),
        (lambda: certify_entries(store, network(), LRP, [99]), OptionError, "no 99"),
        (lambda: certify_entries(store, network(), LRP, [0], thresholds={"srgg": 1.0}), SignxaiError, "no check 'srgg'"),
        (lambda: certify_entries(tmp_path / "no.zarr", network(), LRP), StoreError, "no store"),
        (lambda: store.certificate(0, LRP), OptionError, "has no certificate; make one by"),
        (lambda: store.certificate("x", LRP), OptionError, "no one entry is called 'x'"),
        (lambda: store.certificates("gradient"), OptionError, "has no 'gradient'"),
    ):
        with pytest.raises(error, match=said):
            call()
    assert not (store.path / "certificate").exists()
    without = made(tmp_path / "without.zarr", keep_inputs=False)
    with pytest.raises(OptionError, match="run with the inputs kept"):
        certify_entries(without, network(), LRP)


@pytest.mark.parametrize(
    "broken",
    [
        lambda rows: "[",
        lambda rows: json.dumps({"attributes": {}}),
        lambda rows: json.dumps({"attributes": {"rows": [{**rows[0], "key": "other"}]}}),
        lambda rows: json.dumps({"attributes": {"rows": [{**rows[0], "sample": 99}]}}),
        lambda rows: json.dumps({"attributes": {"rows": [{**rows[0], "checks": rows[0]["checks"][1:]}]}}),
        lambda rows: json.dumps({"attributes": {"rows": [{**rows[0], "checks": [{"name": "srg"}]}]}}),
        lambda rows: json.dumps({"attributes": {"rows": 3}}),
    ],
)
def test_broken_certificates_are_told_and_do_not_break_the_store(tmp_path, broken):
    store = made(tmp_path / "maps.zarr", methods=[LRP])
    certify_entries(store, network(), LRP, [0], srg=False)
    file = store.path / "certificate" / LRP / "zarr.json"
    file.write_text(broken(json.loads(file.read_text())["attributes"]["rows"]))
    opened = Store(store.path)
    for call in (lambda: opened.certificates(LRP), lambda: certify_entries(opened, network(), LRP, [1], srg=False)):
        with pytest.raises(StoreError, match=r"certificates are broken.*remove this folder"):
            call()
