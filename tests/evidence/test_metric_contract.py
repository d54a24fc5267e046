"""What holds for every metric on every kind of input: a new record joins by itself."""

import inspect
import math
import sys

import numpy as np
import pytest
import torch

from kinds_of_input import KINDS, N, negated
from places import TOOLS
from signxai import evidence
from signxai.common.errors import InputError, OptionError, TargetError
from signxai.evidence import METRICS
from signxai.evidence.records import FAMILIES
from untouched import assert_untouched, state

sys.path.append(str(TOOLS))

import evidence_page

SMALL = {"steps": 4, "samples": 4, "smoothed": 2, "radius": 0.1, "k": 3}
"""Few of everything that is counted."""


def few(metric):
    taken = inspect.signature(metric.function).parameters
    few = {name: value for name, value in SMALL.items() if name in taken}
    return {**few, "steps": (0.2, 0.5, 1.0)} if metric.name == "road" else few


def measured(metric, case, **run):
    """The metric on a case, with what the case needs of it."""
    kwargs = {"forward_kwargs": case.how["forward_kwargs"]} if "forward_kwargs" in case.how else {}
    if metric.takes == "map":
        return metric.function(case.relevance)
    if metric.takes == "mask":
        return metric.function(case.relevance, case.mask, **few(metric))
    if metric.takes == "method":
        return metric.function(case.net, case.x, case.explains, case.target, **few(metric), **kwargs, **run)
    how = {"baseline": case.how.get("imputer", 0.0), **kwargs} if metric.name == "completeness" else case.how
    return metric.function(case.net, case.x, case.relevance, case.target, **few(metric), **how, **run)


COUNTS_FEW = ("road", "pointing_game", "relevance_rank", "top_k_intersection")
"""Metrics that count cases, and may count as many of a map as of its negative."""


def is_defined(metric, case):
    """Token ids can neither change a little nor be averaged; everything else is measured."""
    return not (case.has_only_ids and metric.name in ("max_sensitivity", "average_sensitivity", "smprt"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_keeps_the_contract(name, kind):
    metric, case = METRICS[name], KINDS[kind]()
    before = state(case.net)
    if not is_defined(metric, case):
        with pytest.raises((InputError, OptionError), match="embeddings"):
            measured(metric, case)
        return
    found = measured(metric, case)
    assert_untouched(case.net, before)
    assert found.shape == (N,)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert (found >= metric.lowest).all()
    assert (found <= metric.highest).all()
    np.testing.assert_array_equal(measured(metric, case), found)
    alone = np.concatenate([measured(metric, case.rows(row)) for row in range(N)])
    np.testing.assert_allclose(alone, found, rtol=1e-12, atol=1e-12)
    if metric.takes in ("decision", "method"):
        np.testing.assert_allclose(measured(metric, case, batch_size=2), found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["linear", "cnn2d", "several", "token ids"])
@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.takes != "method"])
def test_the_sign_of_a_map_counts_or_the_record_says_that_it_does_not(name, kind):
    metric, case = METRICS[name], KINDS[kind]()
    found = measured(metric, case)
    case.relevance = negated(case.relevance)
    other = measured(metric, case)
    if metric.sign == "magnitude":
        np.testing.assert_array_equal(other, found)
    elif name not in COUNTS_FEW:  # few steps, and a few samples may score alike by chance
        assert (other != found).all()


@pytest.mark.parametrize("name", COUNTS_FEW)
def test_the_sign_counts_for_those_that_count_few_cases(name):
    """Where all relevance lies inside, and the decision rests on it, the negated map is as bad as can be."""
    x = torch.ones(2, 10, dtype=torch.float64)
    net = torch.nn.Linear(10, 2, bias=False).double()
    net.weight.data = torch.zeros(2, 10, dtype=torch.float64)
    net.weight.data[0, :5] = 1.0
    net.weight.data[1, 5:] = 0.5
    relevance = np.repeat(np.where(np.arange(10) < 5, 1.0, -1.0)[None], 2, axis=0) * np.linspace(1, 2, 10)
    metric = METRICS[name]
    scores = []
    for own in (relevance, -relevance):
        if name == "road":
            scores.append(metric.function(net, x, own, 0, imputer=0.0, steps=(0.4, 0.5)))
        else:
            scores.append(metric.function(own, relevance > 0, **({"k": 5} if "top" in name else {})))
    good, bad = scores if metric.better == "higher" else (-scores[0], -scores[1])
    assert (good > bad).all()


@pytest.mark.parametrize("name", METRICS)
def test_a_record_says_what_its_function_is(name):
    metric = METRICS[name]
    assert metric.name == name == metric.function.__name__
    assert metric.family in FAMILIES
    assert metric.better in ("higher", "lower")
    assert metric.lowest < metric.highest
    assert getattr(evidence, name) is metric.function
    text = metric.function.__doc__
    assert f"{metric.better} is" in text
    assert any(paper.citation.split()[0] in text for paper in metric.sources)
    assert "Args:" in text
    if math.isfinite(metric.highest):
        assert f"{metric.highest:g}" in text


def test_an_unknown_metric_is_refused_with_the_nearest():
    with pytest.raises(OptionError, match="srg"):
        evidence.metric("srgg")


@pytest.mark.parametrize("values", ["zero", "constant", "negative"])
@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.takes != "method"])
def test_flat_and_negative_maps_have_a_score(name, values):
    case = KINDS["cnn1d"]()
    flat = {"zero": np.zeros((N, 3, 16)), "constant": np.ones((N, 3, 16)), "negative": -1.0 - np.abs(case.relevance)}
    case.relevance = flat[values]
    assert np.isfinite(measured(METRICS[name], case)).all()


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.takes == "decision"])
def test_an_input_of_one_unit_has_a_score(name):
    case = KINDS["cnn1d"]()
    case.how = {} if name == "completeness" else {"unit": np.zeros((1, 3, 16), dtype=int)}
    found = measured(METRICS[name], case)
    assert np.isfinite(found).all()
    if name in ("srg", "faithfulness_correlation", "sensitivity_n"):
        assert not found.any()


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.takes == "method"])
def test_a_method_that_gives_one_map_for_everything_has_a_score(name):
    case = KINDS["cnn1d"]()
    for value in (0.0, 1.0):

        def flat(model, x, target, value=value):
            return torch.full_like(x, value)

        assert np.isfinite(METRICS[name].function(case.net, case.x, flat, case.target, **few(METRICS[name]))).all()


def test_what_needs_a_class_says_so():
    case = KINDS["cnn1d"]()
    with pytest.raises(TargetError, match="class"):
        evidence.random_logit(case.net, case.x, "gradient", lambda outputs: outputs.sum(1))
    with pytest.raises(OptionError, match="logit"):
        evidence.deletion(case.net, case.x, case.relevance, lambda outputs: outputs.sum(1))


def test_the_page_is_what_the_records_say():
    page = evidence_page.PAGE.read_text(encoding="utf-8")
    assert evidence_page.rendered(page) == page, "run python tools/evidence_page.py"
    assert all(f"`{name}`" in page for name in METRICS)
