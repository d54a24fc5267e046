"""Runs that Ray spreads over processes: they give what one process gives, whichever of them is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("zarr")
ray = pytest.importorskip("ray")

from dataset_run import BATCH, METHODS, network, source  # noqa: E402
from signxai.common import OptionError, StoreError  # noqa: E402
from signxai.datasets import RayOptions, Store, explain_dataset  # noqa: E402
from test_explain_dataset import contents  # noqa: E402

pytestmark = pytest.mark.slow

RUN = Path(__file__).with_name("dataset_run.py")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return explain_dataset(network(), source(), METHODS, tmp_path_factory.mktemp("run") / "maps.zarr", batch_size=BATCH).path


class Run:
    """A run in a process of its own; what it says goes to a file, for nobody reads a pipe while it runs."""

    def __init__(self, path, pause):
        self.said = path.with_name(f"said-{pause}.txt")
        with self.said.open("w") as file:
            self.process = subprocess.Popen([sys.executable, str(RUN), str(path), str(pause), "2"], stderr=file)

    def wait_for(self, what, seconds=300):
        """What ``what`` gives at last, while it runs."""
        deadline = time.monotonic() + seconds
        while not (found := what()) and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.1)
        if not found:
            self.kill()
        assert found, self.said.read_text()
        return found

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ends_well(self):
        assert self.process.wait() == 0, self.said.read_text()


def workers_of(process):
    """The actors of a run, by what Linux says of its descendants."""
    found, parents = [], {process.pid}
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    rows = [line.split(None, 2) for line in listed]
    for _ in range(4):
        parents |= {int(pid) for pid, parent, _ in rows if int(parent) in parents}
    for pid, _, args in rows:
        if int(pid) in parents and "_Worker" in args:
            found.append(int(pid))
    return found


def test_a_lost_driver_is_gone_on_with_and_a_lost_worker_loses_nothing(alone, tmp_path):
    path = tmp_path / "maps.zarr"
    run = Run(path, 0.3)
    run.wait_for(lambda: path.exists() and len(Store(path).rows()) > 4)
    run.kill()
    assert not Store(path).is_complete
    before = len(Store(path).rows())
    run = Run(path, 0.1)
    run.wait_for(lambda: len(Store(path).rows()) > before)
    os.kill(workers_of(run.process)[0], signal.SIGKILL)
    assert not Store(path).is_complete
    run.ends_well()
    assert contents(path) == contents(alone)
    assert [failure.index for failure in Store(path).failed] == [17]


@pytest.mark.parametrize("wrong", [{"actors": 0}, {"threads": 0}, {"gpus": -1}])
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(OptionError, match=str(next(iter(wrong)))):
        RayOptions(**wrong)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StoreError, match=r"signxai\[ray\]"):
        explain_dataset(network(), source(), METHODS, tmp_path / "maps.zarr", ray=RayOptions())
