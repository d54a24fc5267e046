"""A run over a small data set as a process of its own: python dataset_run.py STORE [PAUSE [ACTORS]].

It waits for PAUSE seconds before each entry; with ACTORS it is spread over so many by Ray.
"""

import sys
import time

import numpy as np
import torch
from torch import nn

from signxai.datasets import ArraySource, RayOptions, explain_dataset

COUNT, BATCH = 60, 4
METHODS = ["gradient", "lrp_epsilon_0_1_std_x", "smoothgrad_samples_3"]


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)]
    return nn.Sequential(*layers).eval()


class Slow(ArraySource):
    pause = 0.0

    def read(self, index):
        time.sleep(self.pause)
        return super().read(index)


def source(pause=0.0):
    values = np.random.default_rng(0).normal(size=(COUNT, 3, 8, 8)).astype("f4")
    values[17, 0, 0, 0] = np.nan
    given = (Slow if pause else ArraySource)(values, labels=[index % 4 for index in range(COUNT)])
    if pause:
        object.__setattr__(given, "pause", pause)
    return given


if __name__ == "__main__":
    torch.set_num_threads(1)
    store, pause, actors = [*sys.argv[1:], *("0", "0")[len(sys.argv) - 2 :]]
    spread = RayOptions(actors=int(actors)) if int(actors) else None
    explain_dataset(network(), source(float(pause)), METHODS, store, batch_size=BATCH, ray=spread)
