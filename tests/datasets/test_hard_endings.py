"""Runs that end badly: said in a line, nothing committed is lost, and the same call goes on to the same bytes."""

import errno
import os
import shutil
import signal
import time

import pytest

from processes import Forked
from signxai.common import StoreError
from signxai.datasets import Store, explain_dataset, reading, store_writer

pytest.importorskip("zarr")

from dataset_run import BATCH, COUNT, METHODS, network, source
from test_explain_dataset import RUN, contents, undisturbed  # noqa: F401

GONE_ON_WITH = "what is committed stays, and the same call goes on"


def run(path, **options):
    return explain_dataset(network(), source(), METHODS, path, batch_size=BATCH, **options)


@pytest.mark.parametrize("place", ["_write_manifest", "write_chunks"])
def test_a_full_disk_loses_nothing(undisturbed, place, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(store_writer, "_SECONDS", 0)
    path, calls, whole = tmp_path / "maps.zarr", [], getattr(store_writer, place)

    def full(*arguments):
        calls.append(arguments)
        if len(calls) > 6:
            with store_writer._said_of(path):
                raise OSError(errno.ENOSPC, "No space left on device")
        return whole(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(store_writer, place, full)
        with pytest.raises(OSError, match=GONE_ON_WITH) as raised:
            run(path)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    assert 4 * BATCH <= len(Store(path).rows()) + len(Store(path).failed) < COUNT
    run(path)
    assert contents(path) == contents(undisturbed.path)


def test_a_disk_that_is_full_at_once_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_writer, "_write_manifest", full)
    with pytest.raises(OSError, match="No space left") as raised:
        run(tmp_path / "maps.zarr")
    assert raised.value.filename == str(tmp_path / "maps.zarr")
    assert [path.name for path in tmp_path.iterdir()] == [".maps.zarr.lock"]


def test_a_store_that_is_removed_meanwhile_is_missed(tmp_path, monkeypatch):
    path, commit = tmp_path / "maps.zarr", store_writer.StoreWriter.commit

    def removed(self, result):
        commit(self, result)
        if result.number == 3:
            shutil.rmtree(path)

    monkeypatch.setattr(store_writer.StoreWriter, "commit", removed)
    with pytest.raises(StoreError, match="was removed or moved while the run wrote to it"):
        run(path)
    assert not path.exists()


BROKEN = {
    "half a group": ("zarr.json", '{"zarr', "no store of relevance maps"),
    "a list": ("zarr.json", "[]", "no store of relevance maps"),
    "no run": ("zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {"format": 1}}', "does not say its run"),
    "half a manifest": ("manifest/zarr.json", '{"attributes', "missing or broken"),
    "an empty manifest": ("manifest/zarr.json", '{"attributes": {}}', "missing or broken"),
    "half an array": ("logits/zarr.json", '{"zarr', "logits is missing or broken"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_store_is_refused_and_stays(undisturbed, what, tmp_path):  # noqa: F811
    file, text, said = BROKEN[what]
    path = shutil.copytree(undisturbed.path, tmp_path / "maps.zarr")
    (path / file).write_text(text)
    before = contents(path)
    with pytest.raises(StoreError, match=said):
        run(path)
    assert contents(path) == before


def test_a_broken_chunk_is_told_when_it_is_read(undisturbed, tmp_path):  # noqa: F811
    path = shutil.copytree(undisturbed.path, tmp_path / "maps.zarr")
    (path / "logits" / "c.0.0").write_bytes(b"no chunk")
    with pytest.raises(StoreError, match="logits has a broken chunk"):
        Store(path).array("logits")


def test_a_place_that_cannot_be_written_to_is_said_to_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="no store can be written there") as raised:
        run(tmp_path / "file" / "maps.zarr")
    assert raised.value.filename == str(tmp_path / "file" / "maps.zarr")


def test_a_lost_process_that_reads_ahead_is_told_from_other_errors():
    lost = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    wrapped = ValueError("the forward failed")
    wrapped.__cause__ = lost
    assert "was killed" in str(reading.lost_reader(lost))
    assert "was killed" in str(reading.lost_reader(wrapped))
    assert reading.lost_reader(RuntimeError("shapes differ")) is None


def test_a_forked_process_lets_go_of_the_lock(tmp_path):
    """Else it would stay for as long as that lives, though the run itself were killed."""
    path = tmp_path / "maps.zarr"
    (let_go, says), (waits, stop) = os.pipe(), os.pipe()
    with store_writer.StoreWriter(path) as writer:
        child = os.fork()
        if not child:
            writer.let_go()
            os.write(says, b".")
            os.close(stop)
            os.read(waits, 1)
            os._exit(0)
        assert os.read(let_go, 1) == b"."
        with pytest.raises(StoreError, match="another run writes"), store_writer.StoreWriter(path):
            pass
        lock = os.stat(path.with_name(".maps.zarr.lock"))
        held = [int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]
        for number in held:
            if os.path.samestat(os.fstat(number), lock):
                os.dup2(os.open(os.devnull, os.O_RDONLY), number)  # as where the process ends that holds it
        with store_writer.StoreWriter(path):
            pass
    os.close(stop)
    os.waitpid(child, 0)


def test_workers_that_are_lost_one_after_the_other_end_the_run(tmp_path):
    path = run(tmp_path / "maps.zarr").path
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), store_writer.begun(path, 5, most=3):
            raise KeyboardInterrupt
    with pytest.raises(StoreError, match="one worker after the other is lost, the last ones over batch 6"), store_writer.begun(path, 6, 3):
        pass
    run(path)
    with store_writer.begun(path, 6, most=1):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(("number", "said", "status"), [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "told to end", 143)])
def test_who_ends_a_run_is_told_what_is_kept(number, said, status, tmp_path):
    (tmp_path / "nets.py").write_text("from dataset_run import network\n")
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "import numpy, sys, dataset_run; from signxai.cli.commands import main\n"
        "import signxai.datasets.explaining as e, time; result = e.BatchExplainer.result\n"
        "e.BatchExplainer.result = lambda self, batch: (time.sleep(0.1), result(self, batch))[1]\n"
        "numpy.save('x.npy', numpy.nan_to_num(dataset_run.source().values))\n"
        "sys.argv = 'signxai run x.npy --model nets:network -m gradient --store maps.zarr --batch-size 4'.split(); main()"
    )
    process = Forked("-c", code, cwd=tmp_path, err=tmp_path / "errors.txt", PYTHONPATH=str(RUN.parent))
    while not (tmp_path / "maps.zarr" / "logits" / "c.0.0").exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(number)
    status_at_end, told = process.wait(60), (tmp_path / "errors.txt").read_text()
    kept = len(Store(tmp_path / "maps.zarr").rows())
    assert status_at_end == status, told
    assert told == f"signxai: {said}: {kept} of {COUNT} entries are kept in maps.zarr; the same command goes on\n"
