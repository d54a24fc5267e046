"""What ``signxai run`` does: find out what the data set is, explain every entry, keep what comes of it in a store."""

import inspect
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

import click
import numpy as np

from signxai.cli.array_data_sets import ARRAYS, array_source, options_of, refuse_elsewhere
from signxai.cli.endings import ended_in_a_line
from signxai.cli.several_inputs import SeveralOptions
from signxai.common.errors import InputError, OptionError, TargetError
from signxai.datasets.file_sources import PICTURE_SUFFIXES, FileSource, image_folder, manifest
from signxai.datasets.ray_run import RayOptions
from signxai.datasets.recording_sources import RecordingSource, beats_of, windows_of
from signxai.datasets.run import explain_dataset
from signxai.datasets.sources import Source
from signxai.datasets.store import Store
from signxai.datasets.views import PictureView, View
from signxai.models import Classifier, load_classifier
from signxai.timeseries.formats import signal_suffixes
from signxai.timeseries.signal_input import SignalInput

__all__ = ["RunRequest", "run_data_set"]

_OWN_TARGETS = ("predicted", "label", "target")
_SOME_FAILED = 3
THIS_MACHINE = "here"
_MAY_BE_NOTES = frozenset({".csv", ".txt"})
_SAID_BY = {
    "method_names": "--method",
    "dtype": "--half",
    "keep_inputs": "--without-inputs",
    **{name: f"--{name.replace('_', '-')}" for name in ("model", "store", "target", "batch_size", "seed", "device", "workers", "ray")},
}
"""The options of the command line that say what ``explain_dataset`` takes."""


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for: see ``signxai run --help``."""

    sources: tuple[Path, ...]
    model: str
    weights: str
    methods: tuple[str, ...]
    store: Path
    target: str
    options: Mapping[str, object]
    batch_size: int
    half: bool
    keep_inputs: bool
    workers: int
    seed: int
    device: str
    beats: bool
    beat_classes: tuple[str, ...]
    window_length: float | None
    sampling_rate: float | None
    units: tuple[str, ...]
    leads: tuple[str, ...]
    ray: str | None
    actors: int | None
    several: SeveralOptions = field(default_factory=SeveralOptions)


def run_data_set(request: RunRequest, say: Callable[[str], None]) -> int:
    """Do what ``signxai run`` was asked for.

    Args:
        request: what to do.
        say: takes each line of the report.

    Returns:
        0, or 3 if entries could not be read or explained.

    Raises:
        SystemExit: it was interrupted (130), or told to end (143); a line on standard error says what is kept.
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read, or the store not be written.
    """
    _refuse_settings_of_the_run(request.options)
    classifier = load_classifier(request.model, request.weights, seed=request.seed, progress=sys.stderr.isatty())
    source = data_source(request, classifier)
    with ended_in_a_line(request.store), _logged_on_stderr():
        store = _explained(request, classifier, source)
    for line in _report(store):
        say(line)
    return _SOME_FAILED if store.failed else 0


@contextmanager
def _logged_on_stderr() -> Iterator[None]:
    """While entered, let what the run logs, as that it goes on with an earlier one, be lines on standard error."""
    logger = logging.getLogger("signxai.datasets.run")
    handler, level = _OnStderr(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


class _OnStderr(logging.Handler):
    """Lines on standard error, wherever that leads when each is written."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


def _refuse_settings_of_the_run(options: Mapping[str, object]) -> None:
    """Raise if an option of the methods is none, but a setting of the whole run.

    Raises:
        OptionError: it is; the message says which option of the command line sets it.
    """
    for name in options:
        if name in inspect.signature(explain_dataset).parameters:
            instead = f"give {_SAID_BY[name]}" if name in _SAID_BY else "leave it out"
            raise OptionError(f"--option {name}: is no option of a method, but a setting of the run; {instead}")


def _explained(request: RunRequest, classifier: Classifier, source: Source) -> Store:
    return explain_dataset(
        classifier.model,
        source,
        request.methods,
        request.store,
        target=_target(request.target, classifier),
        class_names=_class_names(classifier),
        batch_size=request.batch_size,
        dtype="float16" if request.half else "float32",
        keep_inputs=request.keep_inputs,
        seed=request.seed,
        device=request.device,
        output=classifier.output,
        model_name=request.model,
        workers=request.workers,
        progress=sys.stderr.isatty(),
        ray=_spread(request),
        view=_view(source, classifier),
        **{**request.options, **options_of(request.several)},
    )


def _class_names(classifier: Classifier) -> list[str]:
    """What classes are called: in short, in full where that is the name of several, and with the number where that is, too.

    >>> from torch import nn
    >>> _class_names(Classifier(nn.Identity(), class_names=["N (normal)", "crane", "N (noise)", "crane"]))
    ['N (normal)', 'crane (1)', 'N (noise)', 'crane (3)']
    """
    numbers = range(len(classifier.class_names))
    short, full = [classifier.short_name(index) for index in numbers], list(classifier.class_names)
    names = [full[index] if short.count(short[index]) > 1 else short[index] for index in numbers]
    return [f"{name} ({index})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def _view(source: Source, classifier: Classifier) -> View | None:
    """How the store's entries are drawn: pictures by what the network's preprocessing ends with."""
    return PictureView(tuple(classifier.mean), tuple(classifier.std)) if isinstance(source, FileSource) and classifier.mean else None


def _spread(request: RunRequest) -> RayOptions | None:
    """How the run is spread over processes; on a GPU each actor has one of its own.

    Raises:
        OptionError: what goes with ``--ray`` alone, or not with it.
    """
    if request.ray is None:
        if request.actors is not None:
            raise OptionError("--actors: says among how many processes --ray spreads the run; give --ray, too")
        return None
    if request.workers:
        raise OptionError("--workers: with --ray each actor reads its own entries; leave one of the two out")
    return RayOptions(None if request.ray == THIS_MACHINE else request.ray, request.actors, gpus=float(request.device.startswith("cuda")))


def _target(text: str, classifier: Classifier) -> str | int:
    if text in _OWN_TARGETS:
        return text
    if text.isdecimal():
        return int(text)
    if not classifier.class_names:
        raise TargetError(f"--target {text}: give {', '.join(_OWN_TARGETS)} or the number of a class; this network's have no names")
    return classifier.class_index(text, len(classifier.class_names))


def data_source(request: RunRequest, classifier: Classifier) -> Source:
    """The data set that the command line's words mean.

    Raises:
        InputError, OptionError: none, or more than one.
    """
    paths = request.sources
    recordings = _recordings(paths)
    if not all(path.suffix.lower() in ARRAYS for path in paths):
        refuse_elsewhere(request.several, paths)
    if recordings:
        _refuse_mixture(paths, recordings)
        return _of_recordings(recordings, request, classifier.signal_input or SignalInput())
    for given, name in ((request.beats, "--beats"), (request.window_length is not None, "--window-length")):
        if given:
            raise OptionError(f"{name}: the data set has no recordings ({', '.join(signal_suffixes())})")
    if len(paths) > 1:
        raise OptionError(f"{len(paths)} data sets: give one folder, one table or one file of arrays; several files may be recordings only")
    path = paths[0] if paths else None
    if path is None or path.suffix.lower() in ARRAYS:
        return array_source(path, classifier.model, request.several)
    return _of_files(path, classifier)


def _of_files(path: Path, classifier: Classifier) -> FileSource:
    if path.is_dir():
        return image_folder(path, classifier.preprocess)
    if path.suffix.lower() == ".csv":
        return manifest(path, classifier.preprocess)
    raise InputError(f"{path}: a data set is a folder of pictures or recordings, a table (.csv), recordings, or arrays (.npy, .npz, .zarr)")


def _recordings(paths: Sequence[Path]) -> list[Path]:
    """The recordings among the paths and in the folders; of a table of files none, though it is called .csv."""
    suffixes = {suffix for suffix in signal_suffixes() if suffix not in (".npy", ".npz", ".dat", ".atr")}
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() and path.suffix.lower() != ".zarr" else [path]
        beside = suffixes - _MAY_BE_NOTES if path.is_dir() and _has_pictures(path) else suffixes
        found += [one for one in inside if one.suffix.lower() in beside and not _is_table(one)]
        if not path.suffix and path.with_name(f"{path.name}.hea").is_file():
            found.append(path.with_name(f"{path.name}.hea"))
    return found


def _has_pictures(folder: Path) -> bool:
    """Whether there are pictures in a folder or its sub-folders; text beside them is no recording."""
    return any(one.suffix.lower() in PICTURE_SUFFIXES for one in folder.rglob("*"))


def _refuse_mixture(paths: Sequence[Path], recordings: Sequence[Path]) -> None:
    """Raise if pictures lie beside the recordings of a folder."""
    for folder in (path for path in paths if path.is_dir()):
        picture = next((one for one in sorted(folder.iterdir()) if one.suffix.lower() in PICTURE_SUFFIXES), None)
        if picture is not None:
            raise InputError(
                f"{folder}: holds recordings ({recordings[0].name}) and pictures ({picture.name}); name the recordings one by one"
            )


def _is_table(path: Path) -> bool:
    """Whether a file is a table of files: CSV that has a column of that name."""
    if path.suffix.lower() != ".csv":
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return "file" in [name.strip() for name in file.readline().split(",")]


def _of_recordings(files: Sequence[Path], request: RunRequest, signal_input: SignalInput) -> RecordingSource:
    options: dict[str, object] = {}
    if request.sampling_rate is not None:
        options["sampling_rate"] = request.sampling_rate
    if request.leads:
        options["lead_names"] = request.leads
    if request.units:
        options["units"] = request.units if len(request.units) > 1 else request.units[0]
    if request.beats == (request.window_length is not None):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        table = "; a table of files has a column called file, between commas" if files[0].suffix.lower() == ".csv" else ""
        raise OptionError(f"{files[0]}{more}: recordings; say what is one sample, by --beats or by --window-length SECONDS{table}")
    if request.beats:
        return beats_of(files, signal_input, request.beat_classes, **options)
    return windows_of(files, request.window_length or 0.0, signal_input, **options)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _agreement(store: Store) -> list[str]:
    """How many of the entries with a label are predicted as labelled, and which labels are none of the model's classes."""
    right, wrong = len(store.rows(wrong=False)), len(store.rows(wrong=True))
    lines = [f"{right} of {right + wrong} predicted as labelled ({right / (right + wrong):.1%})"] if right + wrong else []
    if strange := store.labels_that_are_no_classes():
        lines.append(f"labels that are none of the model's classes, and count as predicted wrongly: {', '.join(strange[:5])}")
    return lines


def _alike(store: Store) -> list[str]:
    """The labels that are names and differ only in case, or in how accents are encoded: most often these are one, spelled in two ways."""
    labels = store.array("label") if "label" in store else np.zeros(0, dtype=np.int64)
    names = sorted({str(name) for name in labels} - {""}) if labels.dtype.kind not in "iu" else []
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(normalize("NFC", name).casefold(), []).append(name)
    found = [" and ".join(map(repr, group)) for group in spellings.values() if len(group) > 1]
    return [f"labels that differ only in case or in accents, and count as different: {', '.join(found[:5])}"] if found else []


def _report(store: Store) -> list[str]:
    rows = store.rows()
    lines = [f"{len(rows)} of {len(store)} entries explained by {_counted(len(store.methods), 'method')}: {store.path}"]
    if store.knows_labels and len(rows):
        lines += _agreement(store)
    elif "label" in store and not store.predicts_classes:
        lines.append("the network has one logit, which predicts no class: how many are predicted as labelled is not told")
    lines += _alike(store)
    for method in store.methods:
        if f"absorbed/{method}" in store and len(rows):
            absorbed = np.median(store.array(f"absorbed/{method}", rows))
            lines.append(f"{method}: median {absorbed:.3g} of the relevance absorbed on the way to the input")
    reasons = Counter(failure.reason for failure in store.failed)
    if reasons:
        lines.append(f"{len(store.failed)} entries failed, the first {store.failed[0].key}: {store.failed[0].reason}")
    if len(reasons) > 1:
        lines += [f"{count} times: {reason}" for reason, count in reasons.most_common(5)]
    return lines
