"""Kill a run over a data set again and again: is its store that of an undisturbed run, byte by byte? python tools/kill_runs.py FOLDER

A run over 5,000 entries is killed (SIGKILL) at 20 random moments, from before its store is there to its last batches, and started again
each time; and then, spread by Ray, one of its workers at 10. It says how many files differ, and whether an entry is lost, doubled or
failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

COUNT, BATCH = 5_000, 25
METHODS = ["gradient", "lrp_epsilon_0_1_std_x"]


def run(store: Path, actors: int) -> None:
    """The run itself."""
    from signxai.datasets import ArraySource, RayOptions, explain_dataset

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)]
    values = np.random.default_rng(0).normal(size=(COUNT, 3, 16, 16)).astype(np.float32)
    values[::499] = np.nan
    spread = RayOptions(actors=actors) if actors else None
    explain_dataset(nn.Sequential(*layers).eval(), ArraySource(values), METHODS, store, batch_size=BATCH, ray=spread)


def started(store: Path, actors: int = 0) -> subprocess.Popen[bytes]:
    """The run in a process of its own."""
    command = [sys.executable, __file__, str(store), "--run", str(actors)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def contents(store: Path) -> dict[str, str]:
    """A hash of each file of the arrays."""
    files = [file for file in sorted(store.rglob("*")) if file.is_file() and file.parent.name != "manifest"]
    return {str(file.relative_to(store)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The actors among a process's descendants."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    rows = [line.split(None, 2) for line in listed]
    family = {process.pid}
    for _ in range(4):
        family |= {int(pid) for pid, parent, _ in rows if int(parent) in family}
    return [int(pid) for pid, _, words in rows if int(pid) in family and "_Worker" in words]


def done_of(store: Path) -> float:
    """The share of the batches that is committed; less than 0 before the store is there."""
    try:
        ranges = json.loads((store / "manifest" / "zarr.json").read_text())["attributes"]["done"]
    except FileNotFoundError:
        return -1.0
    return sum(stop - first for first, stop in ranges) * BATCH / COUNT


def killed_drivers(store: Path, times: int, draw: random.Random) -> int:
    """Start the run and kill it where a random share of it is done, then let it end; how often it was still running when it was killed."""
    alive, early = 0, times // 5
    for share in [-1.0] * early + sorted([*(draw.random() for _ in range(times - early - 1)), 0.99]):
        process = started(store)
        if share < 0:
            time.sleep(draw.uniform(0.0, 4.0))  # it loads packages, and makes the store
        while done_of(store) < share and process.poll() is None:
            time.sleep(0.002)
        time.sleep(draw.uniform(0.0, 0.03))  # at any place within a batch
        alive += process.poll() is None
        process.kill()
        process.wait()
    assert started(store).wait() == 0
    return alive


def killed_workers(store: Path, times: int, draw: random.Random) -> int:
    """Kill workers of a run that Ray spreads, at random moments; how many there were to kill."""
    killed = 0
    while killed < times:
        process = started(store, actors=2)
        while killed < times and process.poll() is None:
            time.sleep(draw.uniform(0.1, 1.5))
            if found := workers_of(process):
                os.kill(draw.choice(found), signal.SIGKILL)
                killed += 1
        assert process.wait() == 0
        if killed < times:
            shutil.rmtree(store)  # it was done before all were killed: once more
    return killed


def wrong_with(store: Path, wanted: Path) -> str:
    """What is lost, doubled, failed or unfinished in a store, where it is not in the other; empty if nothing is."""
    from signxai.datasets import Store

    found, whole = Store(store), Store(wanted)
    checks = {
        "keys": found.keys() == [str(index) for index in range(COUNT)],
        "batches": found.is_complete and done_of(store) == 1,
        "failures": found.failed == whole.failed and len(found.failed) == len(range(0, COUNT, 499)),
        "rows": np.array_equal(found.rows(), whole.rows()) and len(found.rows()) + len(found.failed) == COUNT,
    }
    return ", ".join(name for name, is_right in checks.items() if not is_right)


def main() -> None:
    """Do what the first lines say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        run(arguments.folder, arguments.run)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    draw, wanted = random.Random(0), arguments.folder / "undisturbed.zarr"
    assert started(wanted).wait() == 0
    undisturbed = contents(wanted)
    for name, disturb in (
        ("drivers", lambda store: killed_drivers(store, 20, draw)),
        ("workers", lambda store: killed_workers(store, 10, draw)),
    ):
        store = arguments.folder / f"{name}.zarr"
        killed = disturb(store)
        found = contents(store)
        different = [file for file in undisturbed if found.get(file) != undisturbed[file]]
        more = len(found) - len(undisturbed)
        differing = f"{len(different)} of {len(undisturbed)} files differ, {more} too many"
        sys.stdout.write(f"{killed} {name} killed; {differing}; wrong: {wrong_with(store, wanted) or 'nothing'}\n")
        shutil.rmtree(store)


if __name__ == "__main__":
    main()
