"""Compare Grad-CAM with the package grad-cam on the same networks: python tools/compare_with_grad_cam.py

It brings its own versions of what it needs, so this runs in an environment of its own:

    python -m venv .venv-grad-cam
    .venv-grad-cam/bin/pip install . grad-cam==1.5.7
    .venv-grad-cam/bin/python tools/compare_with_grad_cam.py

Random networks of torchvision in float64, one image of 3 x 224 x 224, and the layer that signxai takes by default, which the other
package is given, with the layout of its output where that is not (N, C, H, W). Both weigh channels by their mean gradient, cut off
what is negative and make the map larger bilinearly, the other one in float32. It subtracts the least value before it divides by the
largest, so that is done to both maps, at the size of the image. (Activations are not in place: behind those the other package would
read what they have overwritten.) It prints the largest deviation between them.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import models

from signxai import explain
from signxai.methods.cam import GradCAMAnalyzer

NETWORKS = (
    *("alexnet", "vgg11", "vgg16_bn", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "squeezenet1_1", "densenet121"),
    *("googlenet", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "efficientnet_b0", "regnet_y_400mf"),
    *("convnext_tiny", "swin_t", "vit_b_32"),
)


def random_network(name: str) -> nn.Module:
    """A network whose head is not zero to begin with."""
    torch.manual_seed(0)
    network: nn.Module = getattr(models, name)(weights=None, **({"init_weights": True} if name == "googlenet" else {})).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return network


def arranged(name: str) -> Callable[[Tensor], Tensor] | None:
    """How the other package is told to lay out a layer's output."""
    if name.startswith("vit"):
        return lambda values: values[:, 1:].transpose(1, 2).unflatten(2, (7, 7))
    return (lambda values: values.permute(0, 3, 1, 2)) if name.startswith(("convnext", "swin")) else None


def deviation(name: str) -> tuple[str, float]:
    """The layer, and the largest deviation of their map from ours, both from 0 to 1."""
    package: Any = importlib.import_module("pytorch_grad_cam")
    targets: Any = importlib.import_module("pytorch_grad_cam.utils.model_targets")
    network, x = random_network(name), torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1)).double()
    for target in range(20):
        ours = explain(network, x, "grad_cam", target)[0, 0]
        if ours.any():
            break
    taken = GradCAMAnalyzer(network).feature_map(x, target)
    with package.GradCAM(network, [network.get_submodule(taken.layer)], reshape_transform=arranged(name)) as cam:
        theirs = cam(x, [targets.ClassifierOutputTarget(target)])[0]
    ours = ours - ours.min()
    return taken.layer, float(np.abs(ours / ours.max() - theirs / theirs.max()).max())


def main() -> None:
    """One line for each network."""
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or NETWORKS:
        layer, largest = deviation(name)
        sys.stdout.write(f"| {name} | {layer} | {largest:.1e} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
