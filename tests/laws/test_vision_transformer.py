"""AttnLRP and CP-LRP on torchvision's vit_b_16 are what the formulas of the paper, written out, give."""

import pytest
import torch
from torchvision.models import VisionTransformer, vit_b_16

import vit_oracle
from comparing import deviation
from networks import drawn, randomized
from signxai import explain, inspect_model

# Relevance of the random network neither explodes nor dies under any of these, so that one tolerance does for all.
TOLERANCE = 1e-10


def lively(net):
    """The network with random parameters whose attention is far from uniform, so that scores have relevance to speak of."""
    net = randomized(net)
    for block in net.encoder.layers:
        attention = block.self_attention
        attention.in_proj_weight.data[: 2 * attention.embed_dim] *= 2
    return net


@pytest.fixture(scope="module")
def small():
    """Four blocks of vit_b_16, a quarter as wide, for images of 32 x 32: four patches and the class token."""
    net = VisionTransformer(image_size=32, patch_size=16, num_layers=4, num_heads=3, hidden_dim=192, mlp_dim=768, num_classes=10)
    return lively(net)


def images(n, size):
    return drawn(n, 3, size, size)


@pytest.mark.parametrize("relevance", ["one_hot", "logit"])
@pytest.mark.parametrize("method", vit_oracle.RULES)
def test_a_method_gives_the_map_of_the_written_out_formulas(small, method, relevance):
    x = images(1, 32)
    expected, logits = vit_oracle.attnlrp(small, x, 3, relevance=relevance, **vit_oracle.RULES[method])
    with torch.no_grad():
        assert torch.allclose(small(x), logits, rtol=0, atol=1e-12), "the oracle computes another function"
    assert expected.abs().max() > 1e-7
    assert deviation(explain(small, x, method, 3, relevance=relevance), expected.numpy()) < TOLERANCE


@pytest.mark.parametrize("method", vit_oracle.RULES)
def test_cp_lrp_gives_the_map_of_its_formulas(small, method):
    x = images(1, 32)
    expected, _ = vit_oracle.attnlrp(small, x, 3, attention="cp", **vit_oracle.RULES[method])
    assert deviation(explain(small, x, f"{method}_cp", 3), expected.numpy()) < TOLERANCE
    assert deviation(explain(small, x, method, 3), expected.numpy()) > 1e-3, "the two variants cannot be told apart here"


@pytest.mark.parametrize("attention", ["attnlrp", "cp"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_the_report_has_the_relevance_of_each_head(small, attention, batch_size):
    x, method = images(3, 32), "lrp_epsilon_0_1"
    expected = vit_oracle.of_heads(small, x, 3, vit_oracle.RULES[method]["rule"], attention)
    rows = inspect_model(small, x, method, 3, attention=attention, batch_size=batch_size).heads
    names = [f"encoder.layers.encoder_layer_{block}.self_attention" for block in range(4)]
    assert [(row.place, row.attention, row.head) for row in rows] == [(names[i], i, head) for i in range(4) for head in range(3)]
    found = torch.tensor([row.relevance for row in rows], dtype=torch.float64).view(4, 3)
    assert (found - expected).abs().max() < TOLERANCE * expected.abs().max()


def test_a_batch_gives_the_maps_of_its_images(small):
    x = images(3, 32)
    expected, _ = vit_oracle.attnlrp(small, x, 5, **vit_oracle.RULES["lrp_epsilon_0_1"])
    assert deviation(explain(small, x, "lrp_epsilon_0_1", 5), expected.numpy()) < TOLERANCE


WRONG = {
    "softmax_relevance": lambda x, s, r: x * s * (r - (s * r).sum(-1, keepdim=True)),  # the gradient's
    "layer_norm_relevance": lambda x, scale, output, r: r,  # the identity, as other rules for transformers have it
    "product": lambda a, b, r: (torch.zeros_like(a), b * (a.transpose(-2, -1) @ vit_oracle.share(r, a @ b))),  # all to the second factor
    "sum_": lambda a, b, r: (r / 2, r / 2),
}


@pytest.mark.parametrize("operation", WRONG)
def test_another_rule_for_an_operation_would_show(small, monkeypatch, operation):
    x, method = images(1, 32), "lrp_epsilon_0_1"
    right = explain(small, x, method, 3)
    monkeypatch.setattr(vit_oracle, operation, WRONG[operation])
    assert deviation(vit_oracle.attnlrp(small, x, 3, **vit_oracle.RULES[method])[0].numpy(), right) > 1e-2


@pytest.mark.slow
def test_vit_b_16_on_images_of_224():
    net, x = lively(vit_b_16(weights=None)), images(1, 224)
    expected, _ = vit_oracle.attnlrp(net, x, 281, **vit_oracle.RULES["lrp_epsilon_0_1"])
    assert expected.abs().max() > 1e-7
    assert deviation(explain(net, x, "lrp_epsilon_0_1", 281), expected.numpy()) < TOLERANCE
