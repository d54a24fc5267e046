"""Train the beat classifier ``ecg_beats`` on the MIT-BIH Arrhythmia Database, and report it on patients that it has never seen.

    python examples/ecg/train.py DATABASE OUTPUT

DATABASE is a folder of WFDB records. OUTPUT gets ``ecg_beats.safetensors`` and ``ecg_beats.json`` with the figures. Everything
was chosen on the records of DS1 (de Chazal et al. 2004), by ``--validate``, which trains on some of its patients and reports
on the others. The same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from signxai.timeseries import beat_windows, read_signal
from signxai.timeseries.beat_network import AFTER_S, BEAT_CLASSES, BEFORE_S, BeatNetwork, prepare_for_beats

DS1 = tuple(
    f"{record}" for record in (101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230)
)
DS2 = tuple(f"{record}" for record in (100, 103, 105, 111, 200, 202, 210, 213, 221, 233))
VALIDATION = ("114", "119", "203", "207", "208", "220")  # of DS1: patients with beats of every class

SEED, EPOCHS, BATCH, RATE, WEIGHT_DECAY = 0, 12, 128, 2e-3, 1e-2
SHARE_OF_N = 0.25  # of the normal beats, drawn anew for each epoch
CLASS_WEIGHTS = (1.0, 2.0, 1.5, 1.5)


@dataclass(frozen=True)
class Examples:
    """Windows (beats, 2, samples) and the number of each one's class."""

    x: Tensor
    y: Tensor


def examples(database: Path, records: Sequence[str]) -> Examples:
    windows, classes = [], []
    for record in tqdm(records, desc="reading", disable=None):
        prepared = prepare_for_beats(read_signal(database / record))
        around = beat_windows(replace(prepared.signal, values=prepared.values), BEFORE_S, AFTER_S)
        known = [index for index, name in enumerate(around.beats.classes) if name in BEAT_CLASSES]
        windows.append(around.values[known].astype(np.float32))
        classes += [BEAT_CLASSES.index(around.beats.classes[index]) for index in known]
    return Examples(torch.from_numpy(np.concatenate(windows)), torch.tensor(classes))


def train(data: Examples, epochs: int) -> BeatNetwork:
    torch.manual_seed(SEED)
    net = BeatNetwork().train()
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * (len(_drawn(data, torch.Generator().manual_seed(SEED))) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(weight=torch.tensor(CLASS_WEIGHTS), label_smoothing=0.05)
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        batches = list(_batches(data, generator))
        for x, y in tqdm(batches, desc=f"epoch {epoch + 1}/{epochs}", disable=None):
            optimizer.zero_grad()
            loss = loss_of(net(_varied(x, generator)), y)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}: loss {total / len(batches):.3f}, {time.perf_counter() - started:.0f} s", flush=True)
    return net.eval()


def _drawn(data: Examples, generator: torch.Generator) -> Tensor:
    """Indices for one epoch, in random order: all rare beats, and a share of the normal ones."""
    normal = torch.nonzero(data.y == 0).flatten()
    chosen = normal[torch.randperm(len(normal), generator=generator)[: int(SHARE_OF_N * len(normal))]]
    indices = torch.cat([chosen, torch.nonzero(data.y != 0).flatten()])
    return indices[torch.randperm(len(indices), generator=generator)]


def _batches(data: Examples, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    indices = _drawn(data, generator)
    for start in range(0, len(indices) // BATCH * BATCH, BATCH):
        rows = indices[start : start + BATCH]
        yield data.x[rows], data.y[rows]


def _varied(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each window shifted by up to 10 samples, each lead scaled, moved and a little noisy, as other patients' would be."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    n, leads, samples = x.shape
    shifts = torch.randint(-10, 11, (n, 1), generator=generator)
    places = (torch.arange(samples) + shifts).clamp(0, samples - 1)
    x = x.gather(2, places[:, None].expand(n, leads, samples))
    return x * torch.exp(0.25 * draw(n, leads, 1)) + 0.1 * draw(n, leads, 1) + 0.05 * draw(n, leads, samples)


@torch.no_grad()
def confusion(net: nn.Module, data: Examples) -> np.ndarray:
    """Rows: annotated; columns: predicted."""
    predicted = torch.cat([net(part).argmax(1) for part in data.x.split(512)])
    table = np.zeros((len(BEAT_CLASSES),) * 2, dtype=int)
    np.add.at(table, (data.y.numpy(), predicted.numpy()), 1)
    return table


def figures(table: np.ndarray) -> dict[str, dict[str, float]]:
    """Sensitivity, precision and F1 of each class."""
    result = {}
    for index, name in enumerate(BEAT_CLASSES):
        right, annotated, predicted = table[index, index], table[index].sum(), table[:, index].sum()
        result[name] = {
            "sensitivity": round(float(right / max(annotated, 1)), 4),
            "precision": round(float(right / max(predicted, 1)), 4),
            "f1": round(float(2 * right / max(annotated + predicted, 1)), 4),
            "beats": int(annotated),
        }
    return result


def report(table: np.ndarray) -> str:
    rows = [f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items()) for name, values in figures(table).items()]
    return "\n".join([*rows, "confusion (rows annotated, columns predicted, N S V F):", str(table)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("output", type=Path, nargs="?", help="folder for weights and figures; not with --validate")
    parser.add_argument("--validate", action="store_true", help="train on some patients of DS1 and report on its others")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args(arguments)
    torch.use_deterministic_algorithms(True)
    learned = [record for record in DS1 if not options.validate or record not in VALIDATION]
    net = train(examples(options.database, learned), options.epochs)
    table = confusion(net, examples(options.database, VALIDATION if options.validate else DS2))
    print(report(table))
    if options.output is not None and not options.validate:
        options.output.mkdir(parents=True, exist_ok=True)
        save_file(net.state_dict(), options.output / "ecg_beats.safetensors")
        content = {"classes": BEAT_CLASSES, "trained on": learned, "reported on": DS2}
        content |= {"figures": figures(table), "confusion": table.tolist()}
        (options.output / "ecg_beats.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
