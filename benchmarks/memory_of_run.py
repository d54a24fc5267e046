"""The memory of a run over a mapped .npy, in a process that does nothing else: python memory_of_run.py FILE STORE.

It prints the peak without what is mapped of the file, and what is mapped of it at the end, in MiB.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from measuring import mapped_mebibytes, process_peak_mebibytes
from torch import nn

from signxai.datasets import ArraySource, explain_dataset


def main(file: Path, store: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    convolutions = [nn.Conv1d(12, 16, 5, 2), nn.ReLU(), nn.Conv1d(16, 32, 5, 2), nn.ReLU()]
    net = nn.Sequential(*convolutions, nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(128, 5)).eval().requires_grad_(False)
    source = ArraySource(np.load(file, mmap_mode="r"))
    explain_dataset(net, source, ["gradient"], store)
    mapped = mapped_mebibytes(file)
    print(process_peak_mebibytes() - mapped, mapped)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
