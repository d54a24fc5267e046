"""The small network that tells the four shapes apart, for ``--model network:load`` in this folder."""

from __future__ import annotations

from pathlib import Path

from draw import CLASSES, SIZE
from safetensors.torch import load_file
from torch import nn
from torchvision import transforms

from signxai.models import Classifier

WEIGHTS = Path(__file__).with_name("network.safetensors")
MEAN, STD = (0.43, 0.43, 0.43), (0.18, 0.18, 0.18)


def new_network() -> nn.Module:
    """Four convolutions with batch norms, and one linear layer over what is left of the picture."""
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 16, 1), (16, 32, 2), (32, 48, 2), (48, 64, 2)):
        layers += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(0.3), nn.Linear(9 * 64, len(CLASSES)))


def load() -> Classifier:
    """The network as ``train.py`` left it, with how a picture becomes its input and the names of its classes."""
    network = new_network()
    network.load_state_dict(load_file(WEIGHTS))
    steps = [transforms.Resize((SIZE, SIZE)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return Classifier(network.eval(), transforms.Compose(steps), CLASSES, MEAN, STD)
