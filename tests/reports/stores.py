"""Small stores to report on."""

import numpy as np
import torch
from torch import nn

from signxai.datasets import ArraySource, PictureView, explain_dataset

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'single' & 😀 שלום"
NAMES = ["cat", HOSTILE, "owl " + "very" * 40]
METHODS = ["lrp_epsilon_0_1", "gradient_x_input"]


def network(classes=3):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)]
    return nn.Sequential(*layers).eval()


class Keyed(ArraySource):
    """Arrays whose entries have names of their own."""

    def __init__(self, values, keys, **columns):
        super().__init__(values, **columns)
        object.__setattr__(self.entries, "keys", keys)


def pictures(path, count=60, size=12, failing=17, methods=METHODS, class_names=NAMES, columns=True, **options):
    """Pictures of three classes in two groups; one cannot be explained."""
    draw = np.random.default_rng(0)
    values = draw.normal(0.3, 1, (count, 3, size, size)).astype("f4")
    if failing is not None:
        values[failing, 0, 0, 0] = np.nan
    labels = [index % 3 for index in range(count)]
    keys = [f"folder/{HOSTILE if index == 3 else index}" for index in range(count)]
    groups = [f"{HOSTILE} {index % 2}" for index in range(count)]
    given = {"labels": labels, "groups": groups} if columns else {}
    source = Keyed(values, keys, **given)
    view = options.pop("view", PictureView((0.3,) * 3, (1.0,) * 3))
    return explain_dataset(network(), source, methods, path, class_names=class_names, batch_size=8, view=view, **options)
