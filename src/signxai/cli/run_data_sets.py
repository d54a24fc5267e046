"""What ``signxai run`` does: find out what the data set is, explain every entry, keep what comes of it in a store."""

import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from signxai.cli.array_data_sets import options_of
from signxai.cli.data_set_sources import RecordingOptions, found_data_set
from signxai.cli.early_checks import check_first
from signxai.cli.endings import ended_in_a_line
from signxai.cli.failures import NothingLeftError
from signxai.cli.input_files import told_of, unprepared
from signxai.cli.loading import loaded
from signxai.cli.model_options import ModelOptions
from signxai.cli.run_results import report_of_run
from signxai.cli.several_inputs import SeveralOptions
from signxai.cli.signal_files import as_written_here
from signxai.common.class_words import number_in
from signxai.common.errors import InputError, OptionError, TargetError
from signxai.datasets.ray_run import RayOptions
from signxai.datasets.run import explain_dataset
from signxai.datasets.sources import Source
from signxai.datasets.store import Store
from signxai.methods.explainer import explainers_for
from signxai.models import Classifier

__all__ = ["RunRequest", "run_data_set"]

_OWN_TARGETS = ("predicted", "label", "target")
_SOME_FAILED = 3
_LOG_OF_RUNS = logging.getLogger(explain_dataset.__module__)
THIS_MACHINE = "here"
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
    ray: str | None = None
    actors: int | None = None
    of_recordings: RecordingOptions = field(default_factory=RecordingOptions)
    of_several: SeveralOptions = field(default_factory=SeveralOptions)
    own: ModelOptions = field(default_factory=ModelOptions)


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
    with ended_in_a_line(request.store), _logged_by(say), _said_as_here():
        store = _run(request, say)
    for line in report_of_run(store):
        say(line)
    return _SOME_FAILED if store.failed else 0


def _run(request: RunRequest, say: Callable[[str], None]) -> Store:
    _refuse_settings_of_the_run(request.options)
    data_set = found_data_set(request.sources, request.of_recordings, request.of_several)
    ray = _spread(request)
    check_first(request.model, request.device, lambda model: explainers_for(model, request.methods, request.options))
    classifier = loaded(request.model, request.weights, request.own, request.seed)
    arrays = [path.name for path in (*data_set.files, *request.of_several.paths)] if data_set.kind == "arrays" else []
    for line in (*told_of(classifier, request.own, data_set.kind in ("folder", "table")), *unprepared(arrays, classifier)):
        say(line)
    return _explained(request, classifier, data_set.source(classifier), ray)


def _refuse_settings_of_the_run(options: Mapping[str, object]) -> None:
    """Raise if an option of the methods is none, but a setting of the whole run.

    Raises:
        OptionError: it is; the message says which option of the command line sets it.
    """
    for name in options:
        if name in inspect.signature(explain_dataset).parameters:
            instead = f"give {_SAID_BY[name]}" if name in _SAID_BY else "leave it out"
            raise OptionError(f"--option {name}: is no option of a method, but a setting of the run; {instead}")


@contextmanager
def _logged_by(say: Callable[[str], None]) -> Iterator[None]:
    """While entered, that a run goes on with an earlier one is a line of the report; of entries that fail it tells at its end."""
    level, handler = _LOG_OF_RUNS.level, _Told(say)
    _LOG_OF_RUNS.setLevel(logging.INFO)
    _LOG_OF_RUNS.addHandler(handler)
    _LOG_OF_RUNS.addFilter(_is_no_warning)
    try:
        yield
    finally:
        _LOG_OF_RUNS.removeFilter(_is_no_warning)
        _LOG_OF_RUNS.removeHandler(handler)
        _LOG_OF_RUNS.setLevel(level)


def _is_no_warning(record: logging.LogRecord) -> bool:
    return record.levelno != logging.WARNING


class _Told(logging.Handler):
    """What is logged, as lines of the report."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        self.say(record.getMessage())


@contextmanager
def _said_as_here() -> Iterator[None]:
    """While entered, errors speak of the command line's options rather than of arguments in Python."""
    try:
        yield
    except NothingLeftError:
        raise
    except (InputError, OptionError) as error:
        raise type(error)(as_written_here(str(error))) from error


def _explained(request: RunRequest, classifier: Classifier, source: Source, ray: RayOptions | None) -> Store:
    return explain_dataset(
        classifier,
        source,
        request.methods,
        request.store,
        target=_target(request.target, classifier),
        batch_size=request.batch_size,
        dtype="float16" if request.half else "float32",
        keep_inputs=request.keep_inputs,
        seed=request.seed,
        device=request.device,
        model_name=request.model,
        workers=request.workers,
        progress=sys.stderr.isatty(),
        ray=ray,
        **{**request.options, **options_of(request.of_several)},
    )


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
    if not classifier.class_names and number_in(text) is not None:
        return int(text)
    if not classifier.class_names:
        raise TargetError(f"--target {text}: give {', '.join(_OWN_TARGETS)} or the number of a class; this network's have no names")
    return classifier.class_index(text, len(classifier.class_names))
