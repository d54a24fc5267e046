"""Train the beat classifier ``ecg_beats`` on the MIT-BIH Arrhythmia Database, and report it on patients that it has never seen.

    python examples/ecg/train.py DATABASE OUTPUT
    python examples/ecg/train.py DATABASE --validate

DATABASE is a folder of WFDB records. OUTPUT gets ``ecg_beats.safetensors``, ``ecg_beats.json`` with the figures and, where the
model card ``ecg_beats.md`` lies there, its table. Everything was chosen on the records of DS1 (de Chazal et al. 2004), by
``--validate``: four times a network is trained on some of its patients and tested on the others. One thread computes, so that
the number of cores changes nothing: the same kind of machine gives the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from document import filled, network_figures
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from signxai.timeseries import beat_windows, read_signal
from signxai.timeseries.beat_network import AFTER_S, BEAT_CLASSES, BEFORE_S, SAMPLING_RATE, BeatNetwork, prepare_for_beats

DS2 = tuple(f"{record}" for record in (100, 103, 105, 111, 200, 202, 210, 213, 221, 233))
FOLDS = (  # DS1; patients with many ventricular and fusion beats are spread over the folds
    ("208", "119", "101", "114", "205", "122"),
    ("203", "106", "112", "220", "108"),
    ("207", "223", "209", "124", "115", "230"),
    ("201", "215", "116", "118", "109"),
)
DS1 = tuple(sorted(sum(FOLDS, ())))

SEED, EPOCHS, BATCH, RATE, WEIGHT_DECAY = 0, 8, 128, 2e-3, 1e-2
SHARE_OF_N = 0.2  # of the normal beats, drawn anew for each epoch
CLASS_WEIGHTS = (1.0, 2.0, 0.8, 1.5)
LABEL_SMOOTHING = 0.05

SHIFT = 10  # samples, at most
STRETCH, SCALE, OFFSET, NOISE = 0.1, 0.25, 0.1, 0.05  # standard deviations: of log time, of log amplitude, of lead and of sample
WITHOUT_SECOND_LEAD, WITHOUT_FIRST_LEAD = 0.2, 0.1  # shares of windows

Table = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """Windows (beats, 2, samples) and the number of each one's class."""

    x: Tensor
    y: Tensor


def examples(database: Path, record: str) -> Examples:
    """All beats of a record whose class the network knows, and whose window lies within the record."""
    prepared = prepare_for_beats(read_signal(database / record))
    around = beat_windows(replace(prepared.signal, values=prepared.values), BEFORE_S, AFTER_S)
    known = [index for index, name in enumerate(around.beats.classes) if name in BEAT_CLASSES]
    classes = [BEAT_CLASSES.index(around.beats.classes[index]) for index in known]
    return Examples(torch.from_numpy(around.values[known].astype(np.float32)), torch.tensor(classes))


def train(data: Examples, epochs: int) -> BeatNetwork:
    torch.manual_seed(SEED)
    net = BeatNetwork().train()
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    steps = len(_drawn(data, generator)) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps * epochs)
    loss_of = nn.CrossEntropyLoss(weight=torch.tensor(CLASS_WEIGHTS), label_smoothing=LABEL_SMOOTHING)
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        for x, y in tqdm(_batches(data, generator), total=steps, desc=f"epoch {epoch + 1}/{epochs}", disable=None, leave=False):
            optimizer.zero_grad()
            loss = loss_of(net(_varied(x, generator)), y)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}: loss {total / steps:.3f}, {time.perf_counter() - started:.0f} s", flush=True)
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
    """Windows as other patients' might be: moved and stretched in time, each lead scaled, moved and a little noisy, or missing."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    n, leads, samples = x.shape
    beat = round(BEFORE_S * SAMPLING_RATE)
    shifts = torch.randint(-SHIFT, SHIFT + 1, (n, 1), generator=generator)
    places = (torch.arange(samples) - beat) * torch.exp(STRETCH * draw(n, 1)) + beat + shifts
    x = x.gather(2, places.round().long().clamp(0, samples - 1)[:, None].expand(n, leads, samples))
    x = x * torch.exp(SCALE * draw(n, leads, 1)) + OFFSET * draw(n, leads, 1) + NOISE * draw(n, leads, samples)
    fate = torch.rand(n, generator=generator)
    present = torch.stack([fate <= 1 - WITHOUT_FIRST_LEAD, fate >= WITHOUT_SECOND_LEAD], dim=1)
    return x * present[:, :, None]


@torch.no_grad()
def confusion(net: nn.Module, data: Examples) -> Table:
    """Rows: annotated; columns: predicted."""
    predicted = torch.cat([net(part).argmax(1) for part in data.x.split(512)])
    table = np.zeros((len(BEAT_CLASSES),) * 2, dtype=np.int64)
    np.add.at(table, (data.y.numpy(), predicted.numpy()), 1)
    return table


def figures(table: Table) -> dict[str, dict[str, float]]:
    """Sensitivity, precision and F1 of each class, and how many beats of it were annotated."""
    result = {}
    for index, name in enumerate(BEAT_CLASSES):
        right, annotated, predicted = table[index, index], table[index].sum(), table[:, index].sum()
        result[name] = {
            "sensitivity": round(float(right / max(annotated, 1)), 4),
            "precision": round(float(right / max(predicted, 1)), 4),
            "F1": round(float(2 * right / max(annotated + predicted, 1)), 4),
            "beats": int(annotated),
        }
    return result


def report(tables: Mapping[str, Table]) -> str:
    """The figures, and where ventricular beats were missed or wrongly found, record by record."""
    v = BEAT_CLASSES.index("V")
    rows = [
        f"{record}: {table[v, v]} of {table[v].sum()} V found, {table[:, v].sum() - table[v, v]} others taken for V"
        for record, table in tables.items()
    ]
    return "\n".join([*rows, network_figures(summary(tables))])


def summary(tables: Mapping[str, Table]) -> dict[str, Any]:
    """What is kept of the confusion of each record, for JSON."""
    total = np.sum(list(tables.values()), axis=0)
    return {
        "classes": BEAT_CLASSES,
        "trained on": DS1,
        "reported on": list(tables),
        "figures": figures(total),
        "confusion": total.tolist(),
        "confusion by record": {record: table.tolist() for record, table in tables.items()},
    }


def validate(data: Mapping[str, Examples], epochs: int) -> dict[str, Table]:
    """Confusion of each record of DS1 by the network that was trained without its fold."""
    tables = {}
    for fold in FOLDS:
        net = train(joined([data[record] for record in DS1 if record not in fold]), epochs)
        tables |= {record: confusion(net, data[record]) for record in fold}
    return tables


def joined(parts: Sequence[Examples]) -> Examples:
    return Examples(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))


def write(output: Path, net: nn.Module, tables: Mapping[str, Table]) -> None:
    """Weights, figures and the model card's table; each beside its place first, then renamed."""
    output.mkdir(parents=True, exist_ok=True)
    content = summary(tables)
    _replace(output / "ecg_beats.safetensors", lambda path: save_file(net.state_dict(), path))
    _replace(output / "ecg_beats.json", lambda path: path.write_text(_json(content), encoding="utf-8"))
    card = output / "ecg_beats.md"
    if card.exists():
        text = filled(card.read_text(encoding="utf-8"), "network", network_figures(content))
        _replace(card, lambda path: path.write_text(text, encoding="utf-8"))


def _json(content: Mapping[str, object]) -> str:
    """One line for each entry."""
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()) + "\n}\n"


def _replace(path: Path, write_to: Callable[[Path], object]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    write_to(beside)
    beside.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("output", type=Path, nargs="?", help="folder for weights and figures")
    parser.add_argument("--validate", action="store_true", help="report on patients of DS1, by networks that have not seen them")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args(arguments)
    if options.validate == (options.output is not None):
        parser.error("give either OUTPUT or --validate")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    data = {record: examples(options.database, record) for record in tqdm(DS1, desc="reading", disable=None, leave=False)}
    if options.validate:
        print(report(validate(data, options.epochs)))
        return
    net = train(joined(list(data.values())), options.epochs)
    tables = {record: confusion(net, examples(options.database, record)) for record in DS2}
    print(report(tables))
    write(options.output, net, tables)


if __name__ == "__main__":
    main()
