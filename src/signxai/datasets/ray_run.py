"""A run in many processes, on one machine or many, by Ray Data: actors that load the model once and write the chunks themselves."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import torch

from signxai.common.errors import OptionError, SignxaiError, StoreError
from signxai.datasets.chunk_files import ChunkFiles
from signxai.datasets.explaining import BatchExplainer
from signxai.datasets.reading import read_batch
from signxai.datasets.sources import Source
from signxai.datasets.store_writer import BatchResult, Failure, arrays_of, begun, opened, write_chunks

__all__ = ["RayOptions", "results_by_ray"]

_LEFT_FOR_READING = 0.5
_BATCHES_IN_A_BLOCK = 4
_LOSSES = 6
"""So many actors may be lost before a batch gets done, besides each of them once."""


@dataclass(frozen=True)
class RayOptions:
    """How a run is spread.

    Attributes:
        address: of a cluster, as "auto" or "ray://host:10001"; None: processes of this machine.
        actors: how many explain at once; None: as many as the cluster has GPUs, or else whole CPUs.
        threads: of each actor on the CPU. Maps may differ in their last bits from those with another number.
        gpus: of each actor; a fraction lets several share one.

    Raises:
        OptionError: a number that cannot be.
    """

    address: str | None = None
    actors: int | None = None
    threads: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.actors is not None and self.actors < 1:
            raise OptionError(f"actors={self.actors}: at least 1")
        if self.threads < 1 or self.gpus < 0:
            raise OptionError(f"threads={self.threads}, gpus={self.gpus}: at least one thread, and no fewer than no GPUs")


class _Worker:
    """An actor: it reads a batch, explains it, and writes its chunks.

    It gets ready at its first batch, not as it is made: Ray makes an actor again and again. What it cannot do comes back as a row, for what
    Ray makes of an exception is a page.

    Args:
        work: holds the reference to what all actors share: what is computed, and the data set.
        path: of the store.
        threads, device: where it runs.
        most: of the notes of batches that were begun, see ``begun``.
    """

    def __init__(self, work: list[Any], path: str, threads: int, device: str, most: int) -> None:
        self.work, self.path, self.threads, self.device, self.most = work, Path(path), threads, device, most
        self.ready: tuple[BatchExplainer, Source, dict[str, ChunkFiles]] | None = None

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[Any]]:
        (number,) = rows["number"].tolist()
        try:
            with begun(self.path, number, self.most):
                return _row(number, failures=self._done(number))
        except OSError as error:
            return _row(number, error=(error.errno, error.strerror, error.filename))
        except SignxaiError as error:
            return _row(number, error=(None, str(error), None))

    def _get_ready(self) -> tuple[BatchExplainer, Source, dict[str, ChunkFiles]]:
        torch.set_num_threads(self.threads)
        explainer, source = import_module("ray").get(self.work[0])
        return explainer.on(self.device), source, arrays_of(self.path, opened(self.path, "r+"), explainer.arrays())

    def _done(self, number: int) -> list[dict[str, Any]]:
        """The failures of a batch whose chunks are written."""
        self.ready = self.ready or self._get_ready()
        explainer, source, arrays = self.ready
        size = explainer.plan.batch_size
        result = explainer.result(read_batch(source, number, size))
        write_chunks(self.path, arrays, result)
        return [asdict(failure) for failure in result.failures]


def _row(
    number: int, failures: Sequence[dict[str, Any]] = (), error: tuple[int | None, str | None, str | None] | None = None
) -> dict[str, list[Any]]:
    return {"number": [number], "failures": [json.dumps(list(failures))], "error": [json.dumps(error)]}


def _result(row: dict[str, Any]) -> BatchResult:
    """What an actor said of a batch.

    Raises:
        OSError: it could not write.
        StoreError: it could not do it for another reason.
    """
    error = json.loads(row["error"])
    if error is not None:
        number, said, file = error
        raise StoreError(said) if number is None else OSError(number, said, file)
    return BatchResult(int(row["number"]), {}, [Failure(**failure) for failure in json.loads(row["failures"])])


def results_by_ray(
    explainer: BatchExplainer, source: Source, numbers: Sequence[int], path: Path, options: RayOptions
) -> Iterator[BatchResult]:
    """The batches of these numbers as they get done, in any order, with their chunks written and without their arrays.

    Args:
        explainer: what is computed.
        source: the data set; actors read it themselves, so it must be had from wherever they are.
        numbers: of the batches.
        path: of the store, which every actor must be able to write to.
        options: how the work is spread.

    Raises:
        StoreError: Ray is not installed, or the cluster not to be had, or a batch ends one actor after the other.
        OSError: an actor cannot write to the store.
    """
    if not numbers:
        return
    ray, data = _packages()
    _start(ray, options)
    data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    cluster = ray.cluster_resources()
    actors = min(_actors(cluster, options), len(numbers))
    share = max(cluster.get("CPU", 1.0) - _LEFT_FOR_READING, 0.1) / actors  # else actors leave none, and the reading waits forever
    device = "cuda" if options.gpus else "cpu"
    blocks = -(-len(numbers) // _BATCHES_IN_A_BLOCK)
    rows = data.from_items([{"number": number} for number in numbers], override_num_blocks=blocks)
    work = ray.put((explainer, source))
    done = rows.map_batches(
        _Worker,
        fn_constructor_args=([work], str(path.resolve()), options.threads, device, 2 * actors + _LOSSES),
        batch_size=1,
        compute=data.ActorPoolStrategy(size=actors),
        num_cpus=min(share, float(options.threads)),
        num_gpus=options.gpus or None,
    )
    try:
        for row in done.iter_rows():
            yield _result(row)
    except ray.exceptions.RayError as error:
        raise StoreError(_said_by_ray(error)) from error


def _said_by_ray(error: Exception) -> str:
    """What ended a run, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"Ray ended the run: {lines[-1] if lines else type(error).__name__}"


def _packages() -> tuple[Any, Any]:
    try:
        return import_module("ray"), import_module("ray.data")
    except ModuleNotFoundError as error:
        raise StoreError(f'a run in many processes needs the package {error.name}, which is missing: pip install "signxai[ray]"') from error


def _start(ray: Any, options: RayOptions) -> None:
    if ray.is_initialized():
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=options.address, include_dashboard=None if options.address else False, log_to_driver=False, logging_level=logging.ERROR
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StoreError(f"no Ray cluster at {options.address or 'this machine'}: {error}") from error
    finally:
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray sets one of its own


def _actors(cluster: dict[str, float], options: RayOptions) -> int:
    """How many actors there are.

    Raises:
        StoreError: the cluster has no GPU, and one is asked for.
    """
    if options.gpus and cluster.get("GPU", 0.0) < options.gpus:
        raise StoreError(f"gpus={options.gpus:g} for each actor, and the cluster has {cluster.get('GPU', 0.0):g}")
    if options.actors is not None:
        return options.actors
    return max(int(cluster["GPU"] / options.gpus if options.gpus else cluster.get("CPU", 1.0) // options.threads), 1)
