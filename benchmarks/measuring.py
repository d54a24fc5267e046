"""Times, memory and deviations of calls."""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

Call: TypeAlias = "Callable[[], Any]"


@dataclass(frozen=True)
class Spread:
    """The middle and the ends of what repeats gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def interleaved_seconds(calls: Mapping[str, Call], repeats: int, warm_up: bool = True, number: int = 1) -> dict[str, list[float]]:
    """Seconds of each call in each round; a round runs each ``number`` times (their mean), each round beginning with the next one."""
    names = list(calls)
    if warm_up:
        for call in calls.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            seconds[name].append(seconds_of(calls[name], number))
    return seconds


def seconds_of(call: Call, number: int = 1) -> float:
    """The mean time of some calls in a row, without the collection of garbage that earlier calls left."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(number):
            call()
        return (time.perf_counter() - start) / number
    finally:
        gc.enable()


def interleaved_clocks(calls: Mapping[str, Call], repeats: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds by the clock, and of the processor's work in this process, of each call in each round, interleaved as above."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    work: dict[str, list[float]] = {name: [] for name in calls}

    def noted(name: str, call: Call) -> None:
        start, start_of_work = time.perf_counter(), time.process_time()
        call()
        work[name].append(time.process_time() - start_of_work)
        wall[name].append(time.perf_counter() - start)

    interleaved_seconds({name: partial(noted, name, call) for name, call in calls.items()}, repeats, warm_up=False)
    return wall, work


def ratios(seconds: Mapping[str, list[float]], to: str) -> dict[str, Spread]:
    """Each call's time relative to that of the call ``to`` in the same round."""
    return {
        name: Spread.of([value / reference for value, reference in zip(values, seconds[to], strict=True)])
        for name, values in seconds.items()
    }


def keep_freed_memory() -> None:
    """Let the C library keep what is freed: how often it gives memory back, to ask for it again, depends on what else lies there."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # glibc's
        library.mallopt(_M_MMAP_THRESHOLD, 1 << 25)
        library.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
CAN_MEASURE_MEMORY = sys.platform == "linux" and Path("/proc/self/clear_refs").exists()


def peak_mebibytes(call: Call) -> float:
    """How far the process's resident memory rises above what it is just before the call; NaN where the system cannot tell.

    Freed memory is given back to the system first, and the kernel's high-water mark set to the present state, so that the
    whole rise is the call's own. Unlike torch's profiler this also counts what the kernels allocate for themselves.
    """
    if not CAN_MEASURE_MEMORY:
        return float("nan")
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    before = _status("VmRSS")
    kept = call()
    peak = _status("VmHWM")
    del kept
    return peak - before


def process_peak_mebibytes() -> float:
    """The largest resident memory this process ever had. (ru_maxrss would include the process that started it.)"""
    return _status("VmHWM") if CAN_MEASURE_MEMORY else float("nan")


def mapped_mebibytes(file: Path) -> float:
    """How much of a file that this process has mapped is in its resident memory."""
    if not CAN_MEASURE_MEMORY:
        return float("nan")
    _, found, rest = Path("/proc/self/smaps").read_text().partition(f" {file.resolve()}\n")
    return int(rest.partition("Rss:")[2].split()[0]) / 1024 if found else 0.0


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def deviation(got: Tensor, expected: Tensor) -> float:
    """The largest difference relative to the largest expected value; NaN if that is NaN, which ``got`` must not be."""
    if got.isnan().any():
        raise ValueError("the map to compare holds NaN")
    return float((got.double() - expected.double()).abs().max() / expected.double().abs().max())
