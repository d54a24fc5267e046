"""Runs jobs in forks of a process in which everything but signxai is imported already."""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import json
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

_THIRD_PARTY = (
    *("torch", "torch.nn.functional", "torch.nn.utils.parametrizations", "torchvision", "torchvision.models", "numpy", "scipy.signal"),
    *("zennit", "zennit.attribution", "zennit.composites", "zennit.rules", "captum.attr", "transformers"),
    *("PIL.Image", "matplotlib.pyplot", "pytest", "hypothesis", "hypothesis.strategies"),
)
MEMORY = 8 << 30
"""How many bytes a job may take on top of those it starts with."""
START_SECONDS = 120.0
"""What a job may take before it says how much time it needs."""


@dataclass(frozen=True)
class Job:
    """Work for a fork: ``work`` is given ``allow``, by which it says how many seconds it may take from now on."""

    name: str
    work: Callable[[Callable[[float], None]], Any]


@dataclass(frozen=True)
class Outcome:
    """What a job handed back, in ``value``; ``end`` says how it ended: "done", "time-out", "crash", or "killed" from outside."""

    job: Job
    end: str
    value: Any
    seconds: float


def import_third_party() -> None:
    """Import what the tests import, but nothing of signxai, and make it cheap to fork."""
    for name in _THIRD_PARTY:
        importlib.import_module(name)
    importlib.import_module("torch").set_num_threads(1)
    _quiet_hypothesis()
    ours = [name for name in sys.modules if name.partition(".")[0] == "signxai"]
    if ours:
        raise RuntimeError(f"{ours[0]} is imported before the forks: mutants would have no effect")
    gc.collect()
    gc.freeze()


def _quiet_hypothesis() -> None:
    """The same examples in every run, without shrinking those that fail, without a data base of them."""
    hypothesis = importlib.import_module("hypothesis")
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", database=None, derandomize=True, deadline=None, phases=phases)
    hypothesis.settings.load_profile("mutants")


class _Fork:
    """One job in a process of its own, with pipe and deadline."""

    def __init__(self, job: Job, log: Path) -> None:
        self.job, self.start = job, time.monotonic()
        self.deadline = self.start + START_SECONDS
        self.value: Any = None
        self.has_value = False
        self._rest = b""
        self.reading, writing = os.pipe()
        sys.stdout.flush()
        self.process = os.fork()
        if self.process == 0:
            os.close(self.reading)
            _work(job, os.fdopen(writing, "w", buffering=1), log)
        os.close(writing)

    def read(self) -> bool:
        """Take what the job says; False at its end."""
        data = os.read(self.reading, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "allow" in message:
                self.deadline = time.monotonic() + message["allow"]
            else:
                self.value, self.has_value = message["value"], True
        return bool(data)

    def end(self, end: str) -> Outcome:
        if end == "time-out":
            self._kill()
        _, status = os.waitpid(self.process, 0)
        self._kill()  # what it started
        os.close(self.reading)
        if end == "crash" and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            end = "killed"  # the machine was out of memory, say
        return Outcome(self.job, end, self.value, time.monotonic() - self.start)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)


def _work(job: Job, pipe: TextIO, log: Path) -> None:
    """What the fork does; does not come back."""
    try:
        os.setpgid(0, 0)
        _limit_memory()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        value = job.work(lambda seconds: print(json.dumps({"allow": seconds}), file=pipe, flush=True))
        print(json.dumps({"value": value}), file=pipe, flush=True)
    except BaseException:  # noqa: BLE001  (a fork that went on would be a second parent)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)


def _limit_memory() -> None:
    """A change that asks for memory without end fails on its own, before the machine has none left."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        taken = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def run(jobs: Iterable[Job], workers: int, logs: Path) -> Iterator[Outcome]:
    """Run jobs, ``workers`` at a time, each asked for when there is room for it; what each prints is in ``logs``."""
    logs.mkdir(parents=True, exist_ok=True)
    waiting, selector = iter(jobs), selectors.DefaultSelector()
    running: set[_Fork] = set()
    while True:
        for job in itertools.islice(waiting, workers - len(running)):
            fork = _Fork(job, logs / f"{job.name}.log")
            running.add(fork)
            selector.register(fork.reading, selectors.EVENT_READ, fork)
        if not running:
            return
        for fork, end in _ended(selector, running):
            running.remove(fork)
            selector.unregister(fork.reading)
            yield fork.end(end)


def _ended(selector: selectors.BaseSelector, running: set[_Fork]) -> Iterator[tuple[_Fork, str]]:
    for key, _ in selector.select(timeout=1.0):
        fork: _Fork = key.data
        if not fork.read():
            yield fork, "done" if fork.has_value else "crash"
    for fork in [fork for fork in running if time.monotonic() > fork.deadline]:
        yield fork, "time-out"
