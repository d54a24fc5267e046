"""A run over a small data set as a process of its own: python dataset_run.py STORE [PAUSE [ACTORS [SEVERAL]]].

It waits for PAUSE seconds before each entry; with ACTORS it is spread over so many by Ray; with SEVERAL the network takes several inputs.
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


class Patients(nn.Module):
    """An ECG, an age, a word of a vocabulary for each of three drugs, and which of them count."""

    def __init__(self):
        super().__init__()
        self.ecg = nn.Sequential(nn.Conv1d(2, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(3), nn.Flatten())
        self.drug = nn.Embedding(7, 4)
        self.last = nn.Linear(17, 3)

    def forward(self, ecg, age, drugs, counts):
        drugs = (self.drug(drugs) * counts.unsqueeze(2).float()).mean(1)
        return self.last(torch.cat([self.ecg(ecg), age.unsqueeze(1), drugs], 1))


def patients():
    torch.manual_seed(0)
    return Patients().eval()


class Slow(ArraySource):
    pause = 0.0

    def read(self, index):
        time.sleep(self.pause)
        return super().read(index)


def arrays_of_patients(count=COUNT):
    draw = np.random.default_rng(0)
    ecg, age = draw.normal(size=(count, 2, 40)).astype("f4"), draw.normal(size=count).astype("f4")
    drugs, counts = draw.integers(0, 7, (count, 3)), draw.integers(0, 2, (count, 3)).astype(bool)
    return {"ecg": ecg, "age": age, "drugs": drugs, "counts": counts}


def source(pause=0.0, several=False):
    values = arrays_of_patients() if several else np.random.default_rng(0).normal(size=(COUNT, 3, 8, 8)).astype("f4")
    (values["ecg"] if several else values[:, 0])[17, 0, 0] = np.nan
    given = (Slow if pause else ArraySource)(values, labels=[index % 4 for index in range(COUNT)])
    if pause:
        object.__setattr__(given, "pause", pause)
    return given


if __name__ == "__main__":
    torch.set_num_threads(1)
    store, pause, actors, several = [*sys.argv[1:], *("0", "0", "")[len(sys.argv) - 2 :]]
    spread = RayOptions(actors=int(actors)) if int(actors) else None
    net = patients() if several else network()
    explain_dataset(net, source(float(pause), bool(several)), METHODS, store, batch_size=BATCH, ray=spread)
