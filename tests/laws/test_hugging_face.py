"""Hugging Face's transformers as they are: a vision transformer on pixels, BERT on the embeddings of tokens."""

import importlib
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from comparing import deviation
from networks import drawn
from places import TOOLS
from signxai import explain, inspect_model
from untouched import assert_untouched, state

pytest.importorskip("transformers")
sys.path.append(str(TOOLS))
architectures = importlib.import_module("architectures")

MAKERS = {"vit": architectures.hugging_face_vit, "bert": architectures.hugging_face_bert}
SHAPES = {"vit": (3, 32, 32), "bert": (7, 24)}
METHODS = ("lrp_epsilon_0_1", "lrp_z")
EVERY_CASE = [(kind, attention) for kind in MAKERS for attention in ("eager", "sdpa")]


def made(kind, attention):
    net = architectures.randomized(MAKERS[kind](attention))
    assert net.model.config._attn_implementation == attention
    return net


def samples(kind, n=2):
    return drawn(n, *SHAPES[kind])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kind", "attention"), EVERY_CASE)
def test_the_report_accounts_for_all_relevance(kind, attention, method):
    report = inspect_model(made(kind, attention), samples(kind), method, 2)  # warnings are errors here
    assert report.relevance_at_output == 2  # 1 for each sample
    assert report.relevance_at_input != 0
    assert not report.unknown_operations
    assert architectures.imbalance(report) <= 1e-9


BORROWED = [*((kind, method) for kind in MAKERS for method in (*METHODS, "gradient")), ("vit", "grad_cam")]


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("kind", "method"), BORROWED)
def test_the_model_comes_back_untouched(kind, attention, method):
    net, x = made(kind, attention), samples(kind)
    net.train()
    before = state(net)
    explain(net, x, method, 1)
    assert_untouched(net, before)


@pytest.fixture
def own_precision(monkeypatch):
    """Eager attention of the vision transformer rounds its weights to float32, whatever the network's dtype; here it does not."""
    monkeypatch.setattr(F, "softmax", lambda x, dim=None, **kwargs: torch.softmax(x, dim))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", MAKERS)
def test_any_attention_gives_the_same_map(own_precision, kind, method):
    eager, fused, x = made(kind, "eager"), made(kind, "sdpa"), samples(kind)
    with torch.no_grad():
        assert torch.allclose(eager(x), fused(x), rtol=0, atol=1e-12), "the two are not the same function"
    assert deviation(explain(eager, x, method, 2), explain(fused, x, method, 2)) <= 1e-10


@pytest.mark.parametrize("method", METHODS)
def test_weights_rounded_to_float32_change_the_map_no_more_than_that(method):
    x = samples("vit")
    assert deviation(explain(made("vit", "eager"), x, method, 2), explain(made("vit", "sdpa"), x, method, 2)) <= 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kind", "attention"), EVERY_CASE)
def test_a_batch_gives_what_its_samples_give(kind, attention, method):
    net, x = made(kind, attention), samples(kind)
    one_by_one = np.concatenate([explain(net, sample[None], method, 2) for sample in x])
    rounding = 1e-6 if (kind, attention) == ("vit", "eager") else 1e-9
    assert deviation(explain(net, x, method, 2), one_by_one) <= rounding


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_grad_cam_of_a_vision_transformer_is_a_map_of_its_patches(attention):
    cams = np.stack([explain(made("vit", attention), samples("vit"), "grad_cam", target) for target in range(10)])
    assert cams.shape == (10, 2, 3, 32, 32)
    assert cams.min() >= 0
    peaks = cams.max(axis=(2, 3, 4))
    assert np.isin(peaks, (0, 1)).all()  # a class that everything speaks against has a map of zeros
    assert peaks.any(axis=0).all()
    assert (cams.std(axis=(2, 3, 4))[peaks == 1] > 0.05).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_padding_has_no_relevance(attention, method):
    relevance = explain(made("bert", attention), samples("bert"), method, 2)
    assert not relevance[:, 5:].any()
    assert (np.abs(relevance[:, :5]).max(axis=2) > 0).all()
