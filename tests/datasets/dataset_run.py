"""A run over a small data set as a process of its own: python dataset_run.py STORE [PAUSE]; with PAUSE it waits after each batch."""

import sys
import time

import numpy as np
import torch
from torch import nn

from signxai.datasets import ArraySource, explain_dataset

COUNT, BATCH = 60, 4
METHODS = ["gradient", "lrp_epsilon_0_1_std_x", "smoothgrad_samples_3"]


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)]
    return nn.Sequential(*layers).eval()


class Slow(ArraySource):
    def read(self, index):
        time.sleep(float(sys.argv[2]))
        return super().read(index)


def source(kind=ArraySource):
    values = np.random.default_rng(0).normal(size=(COUNT, 3, 8, 8)).astype("f4")
    values[17, 0, 0, 0] = np.nan
    return kind(values, labels=[index % 4 for index in range(COUNT)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    explain_dataset(network(), source(Slow if len(sys.argv) > 2 else ArraySource), METHODS, sys.argv[1], batch_size=BATCH)
