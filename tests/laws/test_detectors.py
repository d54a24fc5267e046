"""Models that return boxes, masks and vectors, explained by ``output=``: against autograd, and each sample as alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from comparing import deviation
from networks import randomized
from signxai import explain, inspect_model

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def surest(found):
    return torch.stack([boxes["scores"][:2] for boxes in found])


def mask_scores(returned):
    scores = returned["out"]
    return (scores * (scores > scores.mean((2, 3), keepdim=True))).mean((2, 3))


def detector() -> nn.Module:
    make = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    net = make(weights=None, weights_backbone=None, num_classes=5, box_score_thresh=0.0, min_size=64, max_size=64)
    return randomized(net)


def segmentation() -> nn.Module:
    return randomized(torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4))


MODELS = {"a box": (detector, surest, 1), "a mask": (segmentation, mask_scores, 2)}


@pytest.mark.slow
def test_the_gradient_of_a_box_is_that_of_its_logit():
    net, x, seen = detector(), IMAGES.clone().requires_grad_(), []
    net.roi_heads.box_predictor.cls_score.register_forward_hook(lambda module, args, logits: seen.append(logits))
    scores = surest(net(x))[:, 1]
    (logits,) = seen
    is_it = (logits.softmax(1).unsqueeze(2) - scores).abs() < 1e-12
    assert is_it.flatten(0, 1).sum(0).tolist() == [1, 1]
    (logits.unsqueeze(2) * is_it).sum().backward()
    net.roi_heads.box_predictor.cls_score._forward_hooks.clear()
    assert deviation(explain(net, IMAGES, "gradient", 1, output=surest), x.grad.numpy()) < 1e-9


@pytest.mark.slow
def test_the_gradient_of_a_mask_is_that_of_its_score():
    net, x = segmentation(), IMAGES.clone().requires_grad_()
    mask_scores(net(x))[:, 2].sum().backward()
    assert deviation(explain(net, IMAGES, "gradient", 2, output=mask_scores), x.grad.numpy()) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), [("a box", "lrp_zplus"), ("a mask", "gradient_x_input"), ("a mask", "lrp_epsilon_0_1")])
def test_a_batch_is_its_samples(name, method):
    make, score, target = MODELS[name]
    net = make()
    batch = explain(net, IMAGES, method, target, output=score)
    assert np.abs(batch).max() > 0
    alone = np.concatenate([explain(net, IMAGES[i : i + 1], method, target, output=score) for i in range(2)])
    assert deviation(alone, batch) < 1e-9


class Alike(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return F.cosine_similarity(self.encoder(a), self.encoder(b)).unsqueeze(1)


def encoder() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize("method", ["gradient", "gradient_x_input", "lrp_epsilon_0_1", "lrp_zplus", "integrated_gradients", "grad_cam"])
def test_two_inputs_that_are_compared_have_maps_that_change_places_with_them(method):
    model, a, b = randomized(Alike(encoder())), IMAGES, IMAGES.flip(3) ** 2
    (at_a, at_b), (again_b, again_a) = explain(model, (a, b), method, 0), explain(model, (b, a), method, 0)
    assert np.abs(at_a).max() > 0
    assert deviation(again_a, at_a) < 1e-12
    assert deviation(again_b, at_b) < 1e-12


def test_a_similarity_is_accounted_for():
    report = inspect_model(randomized(Alike(encoder())), (IMAGES, IMAGES.flip(3)), "lrp_epsilon_0_1", 0, strict=True)
    assert abs(report.unaccounted) < 1e-10
