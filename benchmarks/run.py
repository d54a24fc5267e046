"""Measure signxai against Zennit, Captum and the plain gradient: python benchmarks/run.py [--help].

A full run prints the tables and saves them as benchmarks/RESULTS.md; a part of it is saved only where --output says.
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

import tables
import torch

from networks import cases

RESULTS = Path(__file__).parent / "RESULTS.md"
TABLES = {
    "lrp": tables.lrp,
    "repeated": tables.repeated,
    "overhead": tables.overhead,
    "memory": tables.memory,
    "path_memory": tables.path_memory,
}
QUICK_FIRST = ("overhead", "memory", "lrp", "path_memory", "repeated")
PACKAGES = ("torch", "torchvision", "zennit", "captum", "signxai")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    warnings.filterwarnings("ignore", module="captum")
    warnings.filterwarnings("ignore", message="Setting .* hooks|Full backward hook")
    if options.quick or options.threads:
        torch.set_num_threads(options.threads or 1)
    gc.freeze()  # the libraries' own objects: collecting garbage before each call is quick then, and leaves the caches warm
    started = time.perf_counter()
    settings, wanted = chosen(options)
    part = options.quick or options.only
    output = options.output or (None if part else RESULTS)
    parts: dict[str, str] = {}
    for name in sorted(wanted, key=QUICK_FIRST.index):
        parts[name] = TABLES[name](settings)
        text = (
            "\n\n".join([*heading(options, (time.perf_counter() - started) / 60), *filter(None, (parts.get(name) for name in TABLES))])
            + "\n"
        )
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
    output = f"where the tables are saved (a full run: {RESULTS.name} beside this script)"
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


def heading(options: argparse.Namespace, minutes: float) -> list[str]:
    """Title, date, machine, versions, and how it was run."""
    kind = "A quick run: its numbers mean nothing. " if options.quick else ""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{processor()}, {os.cpu_count()} cores ({torch.get_num_threads()} threads used), {memory:.0f} GiB memory"
    facts = [
        f"- Date: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC; took {minutes:.0f} minutes",
        f"- Machine: {machine}, {platform.system()}",
        f"- Versions: Python {platform.python_version()}, {versions}",
        f"- Repeats: {options.repeats or (1 if options.quick else 5)}" + (f"; only {' '.join(options.only)}" if options.only else ""),
    ]
    setting = (
        f"{kind}Made by `make bench` (benchmarks/run.py). All competitors run in one process, interleaved. CPU, float32, eval, "
        "parameters frozen; random input; torchvision networks with random weights and batch-norm statistics, "
        "EfficientNet-Lite0 with its real weights."
    )
    return ["# Benchmarks", setting, "\n".join(facts)]


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
