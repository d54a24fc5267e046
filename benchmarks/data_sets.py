"""The table of runs over data sets: against a loop over explain, spread over two processes, and in memory."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from measuring import Call, Spread, interleaved_seconds, ratios
from tables import Settings, markdown, marked
from torch import nn
from torchvision.models import resnet18

import networks
import signxai
from signxai.datasets import ArraySource, RayOptions, explain_dataset
from signxai.models import load_classifier

Array: TypeAlias = "npt.NDArray[Any]"

BATCH = 32
METHODS = ("gradient", "lrp_epsilon_0_25_std_x", "lrp_zplus")
LOOPED = (METHODS[:1], METHODS[1:2], METHODS)
LOOP_BOUND = 0.9
RAY_BOUND = 1.6
RAY_REPEATS = 3
MEMORY_BOUND = 1.1
STORES = Path(__file__).parents[1] / "out"
RUN_ALONE = Path(__file__).with_name("memory_of_run.py")


@dataclass(frozen=True)
class Work:
    """A network, and a data set for it.

    Attributes:
        name: as the table shows it.
        net: in eval mode, parameters frozen, float32.
        x: the entries (N, ...), in memory.
    """

    name: str
    net: nn.Module
    x: Array


def datasets(settings: Settings) -> str:
    looped = [methods for methods in LOOPED if set(methods) <= set(settings.methods)]
    if not looped or not _is_there("zarr", settings):
        return ""
    STORES.mkdir(exist_ok=True)
    threads, folder = torch.get_num_threads(), Path(tempfile.mkdtemp(prefix="benchmark-", dir=STORES))
    stores = (folder / f"{number}.zarr" for number in count())
    torch.set_num_threads(1)
    try:
        parts = [_loops(looped, stores, settings)]
        parts += [_rays(stores, settings)] if METHODS in looped and _is_there("ray", settings) else []
        parts += [_memory(folder, settings)] if METHODS[:1] in looped else []
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(folder)  # at the end alone: just after many files were removed creating some is slow
    return "\n\n".join(parts)


def _is_there(package: str, settings: Settings) -> bool:
    if not find_spec(package):
        settings.report(f"datasets: {package} is not installed, what needs it is left out")
    return find_spec(package) is not None


def _works(quick: bool, pictures: int = 512, beats: int = 8192) -> dict[str, Callable[[], Work]]:
    if quick:
        return {"1-D CNN": partial(_work, "1-D CNN", networks.cnn_1d, (5 * BATCH - 1, 12, 64))}
    return {
        "ResNet18": partial(_work, "ResNet18, 64 x 64", _resnet18, (pictures, 3, 64, 64)),
        "ecg_beats": partial(_work, "ecg_beats", lambda: load_classifier("ecg_beats").model, (beats, 2, 792)),
    }


def _work(name: str, make: Callable[[], nn.Module], shape: tuple[int, ...]) -> Work:
    with torch.random.fork_rng():
        torch.manual_seed(networks.SEED)
        net = make().eval().requires_grad_(False)
    return Work(f"{name}, {shape[0]:,} entries", net, np.random.default_rng(networks.SEED).standard_normal(shape, np.float32))


def _resnet18() -> nn.Module:
    return networks.randomized(resnet18())


# Against a loop


def _loops(looped: Sequence[tuple[str, ...]], stores: Iterator[Path], settings: Settings) -> str:
    rows = [_loop_row(make(), methods, stores, settings) for make in _works(settings.quick).values() for methods in looped]
    explanation = (
        f"Seconds of a loop that calls signxai.explain (explain_all for several methods) on {BATCH} entries at a time and keeps nothing, "
        "over seconds of explain_dataset, which also compresses each map and its input and writes them into a new store; medians, and the "
        "ratio's range over the interleaved rounds. Arrays in memory, one process, torch with one thread; a run writes the "
        "chunks of a batch in a second thread while the next one is explained, on another core where one is free."
    )
    header = ["network and data", "methods", "loop", "run", "loop / run", "bound"]
    return f"### A run against a loop\n\n{explanation}\n\n{markdown(header, rows)}"


def _loop_row(work: Work, methods: Sequence[str], stores: Iterator[Path], settings: Settings) -> list[str]:
    few = replace(work, x=work.x[: 2 * BATCH])
    _loop(few, methods)
    _run(few, methods, next(stores))
    calls: dict[str, Call] = {
        "loop": partial(_loop, work, methods),
        "run": lambda: _run(work, methods, next(stores)),
    }
    seconds = interleaved_seconds(calls, settings.repeats, warm_up=False)
    ratio = ratios(seconds, "run")["loop"]
    medians = [f"{Spread.of(seconds[name]).median:.2f} s" for name in calls]
    row = [work.name, ", ".join(methods), *medians, str(ratio), marked(ratio.median, LOOP_BOUND, at_least=True)]
    settings.report(" | ".join(row))
    return row


def _loop(work: Work, methods: Sequence[str]) -> None:
    for start in range(0, len(work.x), BATCH):
        if len(methods) == 1:
            signxai.explain(work.net, work.x[start : start + BATCH], methods[0])
        else:
            signxai.explain_all(work.net, work.x[start : start + BATCH], list(methods))


def _run(work: Work, methods: Sequence[str], store: Path, ray: RayOptions | None = None) -> None:
    explain_dataset(work.net, ArraySource(work.x), methods, store, batch_size=BATCH, ray=ray)


# By several processes


def _rays(stores: Iterator[Path], settings: Settings) -> str:
    work = next(iter(_works(settings.quick, pictures=3328).values()))()
    repeats = 1 if settings.quick else min(RAY_REPEATS, settings.repeats)
    one, two = _rates(work, stores, repeats)
    ratio = Spread.of([many / single for many, single in zip(two, one, strict=True)])
    medians = [f"{Spread.of(rates).median:.1f}" for rates in (one, two)]
    row = [work.name, ", ".join(METHODS), *medians, str(ratio), marked(ratio.median, RAY_BOUND, at_least=True)]
    settings.report(" | ".join(row))
    explanation = (
        f"Entries per second of explain_dataset with RayOptions(actors=1) and actors=2 in turn, one thread each, {BATCH} entries in a "
        f"batch, medians of {repeats}; Ray has {os.cpu_count()} CPUs. Counted from when as many batches as there are actors lie in the "
        "store to when the last one does, so without the start of Ray and of its actors."
    )
    header = ["network and data", "methods", "1 actor", "2 actors", "2 actors / 1 actor", "bound"]
    return f"### Two actors of Ray against one\n\n{explanation}\n\n{markdown(header, [row])}"


def _rates(work: Work, stores: Iterator[Path], repeats: int) -> tuple[list[float], list[float]]:
    """Entries per second of one actor and of two, in each round."""
    ray = import_module("ray")
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        rounds = [[_rate(work, next(stores), actors) for actors in (1, 2)] for _ in range(repeats)]
    finally:
        ray.shutdown()
    return [single for single, _ in rounds], [many for _, many in rounds]


def _rate(work: Work, store: Path, actors: int) -> float:
    _run(work, METHODS, store, RayOptions(actors=actors))
    written = sorted(chunk.stat().st_mtime for chunk in (store / "logits").glob("c.*"))
    return BATCH * (len(written) - actors) / max(written[-1] - written[actors - 1], 1e-3)


# Memory


def _memory(folder: Path, settings: Settings) -> str:
    sizes = (BATCH, 2 * BATCH) if settings.quick else (1000, 20000)
    (few, mapped_few), (many, mapped_many) = (_peaks(folder, size) for size in sizes)
    row = [f"{few:.0f} MiB (+ {mapped_few:.0f})", f"{many:.0f} MiB (+ {mapped_many:.0f})", f"{many / few:.2f}"]
    row.append(marked(many / few, MEMORY_BOUND))
    settings.report(" | ".join(row))
    explanation = (
        "Peak of the resident memory of a process that does nothing else, with all libraries: explain_dataset by gradient on a 1-D CNN, "
        "entries of 12 x 256 numbers from a mapped .npy. In brackets what of that file is in memory at the end, which is not counted "
        "in what stands before: the system keeps pages that were read for as long as nobody else needs memory."
    )
    header = [*(f"{size:,} entries" for size in sizes), "ratio", "bound"]
    return f"### Memory by the number of entries\n\n{explanation}\n\n{markdown(header, [row])}"


def _peaks(folder: Path, size: int) -> tuple[float, float]:
    """The peak without what is mapped of the file, and what is mapped of it, in MiB."""
    file = folder / f"{size}.npy"
    np.save(file, np.random.default_rng(networks.SEED).standard_normal((size, 12, 256), np.float32))
    done = subprocess.run([sys.executable, RUN_ALONE, file, file.with_suffix(".zarr")], stdout=subprocess.PIPE, text=True, check=True)
    peak, mapped = map(float, done.stdout.split())
    return peak, mapped
