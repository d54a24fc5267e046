"""Measure signxai against Zennit, Captum and the plain gradient, its runs and metrics: python benchmarks/run.py [--help].

The tables are printed and saved as benchmarks/RESULTS.md, each with the time of its measurement: a run of some tables
(--only overhead memory) replaces those and leaves the others. A run of some methods or networks is saved only where --output says.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

import data_sets
import keras_models
import tables
import torch

import evidence
from networks import cases

RESULTS = Path(__file__).parent / "RESULTS.md"
TABLES = {
    "lrp": tables.lrp,
    "repeated": tables.repeated,
    "overhead": tables.overhead,
    "memory": tables.memory,
    "path_memory": tables.path_memory,
    "datasets": data_sets.datasets,
    "evidence": evidence.evidence,
    "keras": keras_models.keras_models,
}
HEADINGS = {
    "lrp": "LRP: cost and deviation",
    "repeated": "Many gradients: integrated gradients, SmoothGrad, VarGrad",
    "overhead": "Overhead on a 10-layer 1-D CNN",
    "memory": "Peak memory",
    "path_memory": "Peak memory of integrated_gradients",
    "datasets": "Data sets: a run against a loop",
    "evidence": "Metrics: against the passes that they need",
    "keras": "Keras: cost against its own gradient",
}
QUICK_FIRST = ("overhead", "memory", "lrp", "path_memory", "datasets", "evidence", "keras", "repeated")
PACKAGES = ("torch", "torchvision", "zennit", "captum", "signxai")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    warnings.filterwarnings("ignore", module="captum")
    warnings.filterwarnings("ignore", message="Setting .* hooks|Full backward hook")
    if options.quick or options.threads:
        torch.set_num_threads(options.threads or 1)
    gc.freeze()  # the libraries' own objects: collecting garbage before each call is quick then, and leaves the caches warm
    settings, wanted = chosen(options)
    is_whole = not options.quick and set(options.only) <= set(TABLES)
    output = options.output or (RESULTS if is_whole else None)
    parts = saved(output) if output and is_whole else {}
    for name in sorted(wanted, key=QUICK_FIRST.index):
        started = time.perf_counter()
        if table := TABLES[name](settings):
            measured = facts(options, (time.perf_counter() - started) / 60)
            parts[name] = f"## {HEADINGS[name]}\n\n{measured}\n\n{table}"
        text = "\n\n".join([*heading(options), *(parts[name] for name in TABLES if name in parts)]) + "\n"
        if output:
            write(output, text)  # after each table: what is measured is kept, whatever happens to the rest
    gc.unfreeze()
    print(text)


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--quick", action="store_true", help="tiny networks, one repeat, one thread: its numbers mean nothing")
    only = f"methods, networks or tables ({', '.join(TABLES)}) to measure, by name or pattern: 'lrp_*' 'VGG16*' memory"
    result.add_argument("--only", nargs="+", default=[], metavar="PATTERN", help=only)
    result.add_argument("--repeats", type=positive, default=None, help="interleaved rounds (default 5)")
    result.add_argument("--threads", type=positive, default=None, help="of torch (default: its own choice, the cores)")
    path = f"also integrated_gradients with {tables.PATH_STEPS} steps on VGG16: some ten minutes more"
    result.add_argument("--memory", action="store_true", help=path)
    output = f"where the tables are saved (default: {RESULTS.name} beside this script)"
    result.add_argument("--output", type=Path, help=output)
    return result


def positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return int(text)


def chosen(options: argparse.Namespace) -> tuple[tables.Settings, list[str]]:
    """What to measure. Patterns that match something of a kind (methods, networks, tables) restrict that kind."""
    repeats = options.repeats or (1 if options.quick else 5)
    makers, methods = cases(options.quick), tables.all_methods()
    for pattern in options.only:
        if not any(fnmatch(name, pattern) for name in (*methods, *makers, *TABLES)):
            sys.exit(f"--only {pattern}: no method, network or table; there are {', '.join((*methods, *makers, *TABLES))}")
    picked = {name: makers[name] for name in restricted(makers, options.only)}
    settings = tables.Settings(repeats, options.quick, restricted(methods, options.only), picked, report)
    wanted = restricted(TABLES, options.only)
    return settings, [name for name in wanted if name != "path_memory" or options.memory or name in options.only]


def restricted(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    names = list(names)
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)] or names


def report(row: str) -> None:
    print(row, file=sys.stderr, flush=True)


def facts(options: argparse.Namespace, minutes: float) -> str:
    """When a table was measured, how, and by what."""
    repeats = f"{options.repeats or (1 if options.quick else 5)} repeats"
    restricted_to = [pattern for pattern in options.only if pattern not in TABLES]
    only = f", only {' '.join(restricted_to)}" if restricted_to else ""
    return f"Measured {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC in {minutes:.0f} minutes, {repeats}{only}, by {versions()}."


def versions() -> str:
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)])


def saved(path: Path) -> dict[str, str]:
    """The tables of an earlier run, as they stand in the file."""
    if not path.exists():
        return {}
    sections = path.read_text(encoding="utf-8").rstrip().split("\n\n## ")[1:]
    by_heading = {section.partition("\n")[0]: f"## {section}" for section in sections}
    return {name: by_heading[heading] for name, heading in HEADINGS.items() if heading in by_heading}


def heading(options: argparse.Namespace) -> list[str]:
    """Title, machine, and what holds for all tables."""
    kind = "A quick run: its numbers mean nothing. " if options.quick else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{processor()}, {os.cpu_count()} cores ({torch.get_num_threads()} threads used), {memory:.0f} GiB memory"
    setting = (
        f"{kind}Made by `make bench` (benchmarks/run.py). All competitors run in one process, interleaved. CPU, float32, eval, "
        "parameters frozen; random input; torchvision networks with random weights and batch-norm statistics, "
        "EfficientNet-Lite0 with its real weights."
    )
    return ["# Benchmarks", setting, f"Machine: {machine}, {platform.system()}."]


def processor() -> str:
    """The processor's name as Linux knows it, else as Python does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write(path: Path, text: str) -> None:
    """Write beside, then rename: an interrupted run leaves the old results whole."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


if __name__ == "__main__":
    main()
