"""Runs over a data set: explains every entry and keeps what comes of it in a store, which a later run goes on with."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from signxai.common.errors import InputError, OptionError
from signxai.common.terminals import bar_columns
from signxai.datasets.classes import class_asked
from signxai.datasets.explaining import BatchExplainer
from signxai.datasets.given_models import given
from signxai.datasets.parts import parts_of
from signxai.datasets.plan import TARGETS, Plan
from signxai.datasets.probe import Probe, refuse_other_network
from signxai.datasets.ray_run import RayOptions, results_by_ray
from signxai.datasets.reading import batches_of, lost_reader, parts_read, reason_alone
from signxai.datasets.rounding import lost_in_16_bits
from signxai.datasets.sources import Source
from signxai.datasets.store import Store
from signxai.datasets.store_writer import BatchResult, StoreWriter
from signxai.datasets.usual_entries import Example, example_at, usual_entry
from signxai.datasets.views import PictureView, ValuesView, Views, views_of
from signxai.engine.channel_axis import channel_axis
from signxai.engine.model_loan import unwrapped
from signxai.models import Classifier, move_to

__all__ = ["explain_dataset"]

_LOG = logging.getLogger(__name__)


def explain_dataset(
    model: nn.Module | Classifier,
    source: Source,
    method_names: Sequence[str],
    store: str | Path,
    *,
    target: str | int = "predicted",
    class_names: Sequence[str] | None = None,
    batch_size: int = 32,
    dtype: str = "float32",
    keep_inputs: bool = True,
    seed: int = 0,
    device: str | None = None,
    output: Callable[[Any], Tensor] | None = None,
    model_name: str = "",
    workers: int = 0,
    progress: bool = False,
    ray: RayOptions | None = None,
    view: Views | None = None,
    **options: Any,
) -> Store:
    """Explain every entry of a data set by one or several methods, into a store on disk.

    Two batches are in memory at a time: one is explained while that before it is written. Whatever ends the run, what it has committed
    stays: the same call goes on where it was ended, and the store's arrays are those of an undisturbed run, byte by byte. An entry that
    cannot be read or explained is listed in the store's ``failed``, and the run goes on. That a run goes on with an earlier one, or has
    nothing left to do, is logged at the level INFO.

    Args:
        model: of outputs (N, classes); or a classifier, as ``signxai.models.load_classifier`` gives it, by which pictures that the source
            does not prepare itself are prepared, and classes named. Of one logit no class is predicted, but that logit explained.
        source: the data set, as ``image_folder``, ``manifest``, ``ArraySource``, ``TorchSource``, ``beats_of`` or ``windows_of`` give it.
        method_names: names of the grammar, in a list.
        store: the folder, by custom called ``NAME.zarr``; it is made, or gone on with if it is of the same run.
        target: the class that is explained: the one that is "predicted", the entry's "label" or "target", or one class for all, by its
            number, or by its name where classes have names.
        class_names: by class, each its own, to which labels that are names refer; of one logit those of both sides; None: those of the
            classifier.
        batch_size: entries in one batch, and one chunk of the store.
        dtype: of stored maps and inputs: "float32" or "float16", whose error is stored with each map.
        keep_inputs: whether the store holds the inputs, too, so that a report needs nothing else.
        seed: of every draw.
        device: where the model runs, such as "cuda:0"; None: where it is.
        output: from what the model returns to the outputs (N, classes), where it returns several tensors; None: as the classifier says.
        model_name: what the store calls the model; its class by default.
        workers: processes that read ahead; 0: none.
        ray: how the run is spread over processes and machines by Ray; None: it is not, and ``workers`` read for it.
        view: how an entry is drawn in reports, with several inputs by the name of each; None: as the classifier or the source says, or by
            its shape.
        progress: whether a bar shows what is done and left, on standard error.
        **options: of ``signxai.explain_all``; each goes to the methods that take it. Arrays that have a row for each sample there have one
            for each entry here.

    Returns:
        The store, open for reading.

    Raises:
        StoreError: the store is of another run (the message has the differences), of a newer version, broken, or another run writes to it.
        InputError: not one entry can be read, ``source`` is no source, or ``method_names`` is one name instead of a list.
        SignxaiError: as ``signxai.explain`` does, for what is wrong with the call as a whole.
        OSError: the store cannot be written; what is committed stays.

    >>> import tempfile, torch
    >>> from signxai.datasets import ArraySource
    >>> net, source = torch.nn.Linear(4, 3), ArraySource(torch.ones(10, 4).numpy())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = explain_dataset(net, source, ["gradient", "lrp_z"], f"{folder}/maps.zarr", batch_size=4)
    ...     store.relevance("lrp_z").shape, len(store.failed)
    ((10, 4), 0)
    """
    _check_source(source)
    _check_settings(method_names, store, model_name, workers, ray)
    work = given(model, source, class_names, output, view)
    target = _numbered(target, work.class_names)
    plan = Plan(tuple(method_names), target, dict(options), batch_size, dtype, seed, keep_inputs, work.output)
    network, source = work.model if device is None else move_to(work.model, device), work.source
    run = plan.description(network, source, model_name or type(network).__qualname__)
    with StoreWriter(Path(store)) as writer:
        if goes_on := writer.exists:
            writer.resume(run, source.entries, work.class_names)
        example = _example(source, writer.probe)
        explainer = BatchExplainer.of(network, plan, source.entries, work.class_names, example)
        if writer.probe is not None and writer.probe.entry == example.index:
            refuse_other_network(writer.path, writer.probe, example.key, partial(_asked_anew, explainer, source))
        explainer = explainer.asked()
        shapes = {name: kind.shape for name, kind in explainer.inputs.items()}
        shown = views_of(shapes, work.view or getattr(source, "view", None))
        _refuse_drawing_channels_last(network, shapes, shown)
        if not writer.exists:
            writer.create(run, source.entries, plan.batch_size, explainer.arrays(), work.class_names, shown, explainer.probe)
        elif view is not None:
            writer.refuse_other_view(shown)
        writer.open_arrays(explainer.arrays())
        writer.forget_begun()
        missing = writer.missing(-(-len(source.entries.keys) // plan.batch_size))
        if goes_on:
            _say_how_far(missing, plan.batch_size, len(source.entries.keys), store)
        if ray is None:
            results = _results(explainer, source, missing, writer, workers)
        else:
            results = _committed(results_by_ray(explainer, source, missing, writer.path, ray), writer)
        _follow(results, writer, missing, plan.batch_size, len(source.entries.keys), progress)
    made = Store(store)
    for line in lost_in_16_bits(made):
        _LOG.warning(line)
    return made


def _refuse_drawing_channels_last(network: nn.Module, shapes: Mapping[str, Sequence[int]], views: Views) -> None:
    """Refuse to have entries drawn as pictures or signals, whose channels come first, where the network has them last, as Keras.

    Raises:
        OptionError: they are.
    """
    for name, view in parts_of(views).items():
        shape = tuple(shapes[name])
        if len(shape) < 2 or isinstance(view, ValuesView) or channel_axis(unwrapped(network), len(shape) + 1) == 1:
            continue
        layout = "pictures (C, H, W)" if isinstance(view, PictureView) else "signals (leads, samples)"
        raise OptionError(
            f"entries of the shape {shape} have their channels last, as this network of Keras takes them, and stores are drawn as "
            f"{layout}; give a module with data_format = 'channels_first' that permutes the axes and calls the network (on the command "
            "line from a factory), or in Python view=ValuesView(), by which they are kept and drawn as numbers"
        )


def _check_source(source: object) -> None:
    """Refuse what is no source, and say what makes one of it.

    Raises:
        InputError: it is none.
    """
    if hasattr(source, "entries") and hasattr(source, "read") and hasattr(source, "content_hash"):
        if not isinstance(kind := getattr(source, "kind", None), str):
            raise InputError(f"source is of the kind {kind!r}; give kind= as a word that says what it is")
        return
    if isinstance(source, str | Path):
        wrapped = f"name it as image_folder({str(source)!r}), or a table of files as manifest({str(source)!r})"
    elif isinstance(source, np.ndarray | Tensor | Mapping) or (hasattr(source, "shape") and hasattr(source, "dtype")):
        wrapped = "wrap it in ArraySource(...)"
    elif isinstance(source, DataLoader):
        wrapped = "wrap its data set in TorchSource(loader.dataset)"
    elif hasattr(source, "__getitem__") and not isinstance(source, list | tuple):
        wrapped = "wrap it in TorchSource(...)"
    else:
        wrapped = "give ArraySource(...), TorchSource(...), image_folder(...), manifest(...), beats_of(...) or windows_of(...)"
    raise InputError(f"source is of the type {type(source).__name__}, which is no source of entries; {wrapped}")


def _say_how_far(missing: Sequence[int], batch_size: int, count: int, store: str | Path) -> None:
    """Log what an earlier run has left to do."""
    left = sum(_size(number, batch_size, count) for number in missing)
    if left:
        _LOG.info("continues: %d of %d entries done in %s", count - left, count, store)
    else:
        _LOG.info("all %d entries are already in %s; nothing to do", count, store)


def _numbered(target: str | int, class_names: Sequence[str]) -> str | int:
    """A class that is given by its name, by its number."""
    is_a_name = isinstance(target, str) and target not in TARGETS and len(class_names) > 0
    return class_asked(target, class_names, len(class_names)) if is_a_name else target


def _check_settings(method_names: object, store: object, model_name: object, workers: object, ray: object) -> None:
    """Refuse settings of a run that cannot be.

    Raises:
        InputError: the methods are no list of names.
        OptionError: another one is wrong.
    """
    if isinstance(method_names, str) or not isinstance(method_names, Sequence):
        is_name = isinstance(method_names, str)
        said, example = ("one name", method_names) if is_name else ("no list of names", "gradient")
        raise InputError(f"method_names={method_names!r} is {said}; give a list: [{example!r}]")
    if not isinstance(store, str | os.PathLike):
        raise OptionError(f"store={store!r} must be the name of a folder, as 'maps.zarr'")
    if not isinstance(model_name, str):
        raise OptionError(f"model_name={model_name!r} must be a word, by which the store calls the model")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise OptionError(f"workers={workers!r} must be a whole number of at least 0")
    if not isinstance(ray, RayOptions | None):
        raise OptionError(f"ray={ray!r} must be RayOptions(...), or None for a run that is not spread")


def _example(source: Source, probe: Probe | None) -> Example:
    """The entry that says what all are like: that by which an earlier run told it, if there was one and it can be read."""
    known = None if probe is None else example_at(source, probe.entry)
    return known or usual_entry(source)


def _asked_anew(explainer: BatchExplainer, source: Source) -> Probe:
    """What the model says of the example, which is read anew."""
    index = explainer.example.index
    return explainer.probed(replace(explainer.example, parts=parts_read(source, index)))


def _results(
    explainer: BatchExplainer, source: Source, missing: Sequence[int], writer: StoreWriter, workers: int
) -> Generator[BatchResult, None, None]:
    """The batches that are not there yet, written and committed: one while the next is explained."""

    def written(result: BatchResult) -> BatchResult:
        writer.write(result)
        writer.commit(result)  # here, because the manifest waits for the disk, too
        return result

    being_written: Future[BatchResult] | None = None
    with ThreadPoolExecutor(1) as beside:
        for batch in batches_of(source, missing, explainer.plan.batch_size, workers, writer.let_go):
            result = explainer.result(batch)
            if being_written is not None:
                yield being_written.result()
            being_written = beside.submit(written, result)
        if being_written is not None:
            yield being_written.result()


def _committed(results: Iterable[BatchResult], writer: StoreWriter) -> Generator[BatchResult, None, None]:
    """Batches whose chunks others have written, each of which counts from then on."""
    for result in results:
        writer.commit(result)
        yield result


def _follow(
    results: Generator[BatchResult, None, None], writer: StoreWriter, missing: Sequence[int], batch_size: int, count: int, progress: bool
) -> None:
    """Have all batches made, and show how far the run is."""
    left = sum(_size(number, batch_size, count) for number in missing)
    with tqdm(total=count, initial=count - left, unit="entry", disable=not progress, ncols=bar_columns()) as bar:
        try:
            for result in results:
                bar.update(_size(result.number, batch_size, count))
        except RuntimeError as error:
            raise (lost_reader(error) or error) from error.__cause__
        finally:
            results.close()  # waits for the batch that is being written; then nobody else writes the manifest
            writer.keep()
    writer.tidy()
    if failures := writer.failures:
        first = failures[0]
        _LOG.warning("%d of %d entries failed, the first %s: %s", len(failures), count, first.key, reason_alone(first))


def _size(number: int, batch_size: int, count: int) -> int:
    return min((number + 1) * batch_size, count) - number * batch_size
