"""What ``signxai evaluate`` does: read the inputs, predict, compare the methods, report, write."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from torch import nn
from tqdm import tqdm

from signxai.cli import option_texts
from signxai.cli.decisions import Decisions, Targets, decide, in_list
from signxai.cli.early_checks import check_files, check_first, check_layers, check_loaded
from signxai.cli.failures import Failure, joined_failures, told_of_failures
from signxai.cli.input_files import files_of
from signxai.cli.loading import loaded
from signxai.cli.model_options import ModelOptions
from signxai.cli.removed_units import RemovedUnits
from signxai.cli.samples import Samples, read_samples
from signxai.cli.several_inputs import SeveralOptions
from signxai.cli.signal_files import SignalOptions, are_signals
from signxai.common.errors import InputError, OptionError
from signxai.common.terminals import bar_columns
from signxai.datasets.sources import as_text
from signxai.evidence import METRICS, Comparison, compare_methods
from signxai.evidence.comparing import check_comparison
from signxai.evidence.comparison_plan import contestants_of
from signxai.figures.saving import write_to
from signxai.files import FIGURE_SUFFIXES, check_destination, check_different, read_array, write_atomically
from signxai.methods.explainer import Explainer, explainer_for
from signxai.methods.turned_signs import start_for
from signxai.models import Classifier, move_to
from signxai.weights import WeightsFile

__all__ = ["EvaluateRequest", "evaluate_files"]

_SUFFIXES = (".html", ".csv", ".tex", *FIGURE_SUFFIXES)
_MOST_NAMED = 6
_INTERRUPTED = 130
_OWN_OPTIONS = {"unit": "--unit", "imputer": "--imputer", "seed": "--seed", "batch_size": "--batch-size"}
_OWN_OPTIONS |= {"explained": "--explained", "forward_kwargs": "--forward"}


@dataclass(frozen=True)
class EvaluateRequest:
    """What the user asked for: see ``signxai evaluate --help``. `metrics` are options by metric, `shared` those of all of
    them, `options` those of the methods, `own_options` those of one alone, `versus` the class rather than which another is explained."""

    inputs: tuple[Path, ...]
    model: str
    weights: str
    methods: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, object]]
    shared: Mapping[str, object]
    outputs: tuple[Path, ...]
    scores: Path | None
    targets: tuple[str, ...]
    masks: Path | None
    groups: Path | None
    groups_by_file: bool
    unit: RemovedUnits
    imputer: str | None
    options: Mapping[str, object]
    signals: SignalOptions
    several: SeveralOptions
    timed: bool
    draws: int
    seed: int
    batch_size: int | None
    device: str
    own: ModelOptions = field(default_factory=ModelOptions)
    own_options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    versus: str | None = None

    @property
    def by_method(self) -> dict[str, Mapping[str, object]]:
        """The options of one method alone, with what its relevance starts with where one class is explained rather than another."""
        found = dict(self.own_options)
        if self.versus is None or "relevance" in self.options:
            return found
        starting = [method for method in self.methods if start_for(method, None, compares=True) != "one_hot"]
        return found | {method: {"relevance": start_for(method, None, compares=True), **found.get(method, {})} for method in starting}


def evaluate_files(request: EvaluateRequest, say: Callable[[str], None]) -> int:
    """Carry out the request; files are written when all is computed, or when Ctrl-C ends it.

    Args:
        request: what to do.
        say: takes each line of the report.

    Returns:
        The exit status: 0; 3 where some of the inputs could not be read; 130 where the comparison is partial.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read or written.
    """
    found = files_of(request.inputs)
    request = replace(request, inputs=found.files)
    _check_request(request)
    masks, groups_of_inputs = _masks(request), _named_groups(request)
    targets = Targets(request.targets, versus=request.versus).unless(found.failures)
    classifier = _classifier(request, targets)
    with joined_failures(found.failures):
        samples = _samples(request, classifier)
    failures = [*found.failures, *samples.failures]
    _refuse_by_input(request, failures)
    for line in (*found.notices, *samples.notices):
        say(line)
    groups = _groups(request, samples, groups_of_inputs)
    comparing = _Comparing(request, classifier, move_to(classifier.model, request.device), samples, masks)
    comparison = _compared(comparing, targets, groups, say)
    for line in str(comparison).splitlines():
        say(line)
    for path in _write(request, comparison, samples):
        say(f"wrote {path}")
    status = told_of_failures(failures, found.count, "compared on")
    if comparison.partial:
        click.echo("signxai: interrupted: what was done is marked as partial", err=True)
        return _INTERRUPTED
    return status


def _classifier(request: EvaluateRequest, targets: Targets) -> Classifier:
    """The network, and what is mistaken as soon as it is known or before."""
    bound = partial(_bound, request)
    check_first(request.model, request.device, bound)
    classifier = loaded(request.model, request.weights, request.own, request.seed)
    check_loaded(classifier, request.options, targets, bound)
    for own in request.own_options.values():
        check_layers(classifier.model, (), own)
    if targets.means_all(classifier) and len(classifier.class_names) > 1:
        raise _several_classes()
    return classifier


def _compared(comparing: "_Comparing", targets: Targets, groups: Sequence[object] | None, say: Callable[[str], None]) -> Comparison:
    """The methods, compared on what the network decides."""
    comparing.check()
    request, classifier, samples = comparing.request, comparing.classifier, comparing.samples
    how = request.batch_size, samples.forward
    decisions = decide(samples.names, samples.x, classifier, comparing.model, samples.targets(targets), *how)
    if len(decisions.names) != len(samples.names):
        raise _several_classes()
    explained = _explained(decisions, classifier)
    for line in (f"explained: {explained}", *_taken_as_independent(request, samples, groups), ""):
        say(line)
    comparison = comparing.compared(decisions.explained, groups)
    return replace(comparison, settings={**comparison.settings, **_files(request), "explained": explained})


def _several_classes() -> OptionError:
    return OptionError("--target all: methods are compared on one class of each input; name one, or leave it out: the predicted class")


def _bound(request: EvaluateRequest, model: nn.Module) -> list[Explainer]:
    """The methods with their options, of a model."""
    contestants = contestants_of(request.methods, {**request.options, **request.by_method})
    return [explainer_for(model, one.method, one.options) for one in contestants if not callable(one.method)]


def _refuse_by_input(request: EvaluateRequest, failures: Sequence[Failure]) -> None:
    """Refuse masks and groups, one for each input, where it could not be told of which of them they are.

    Raises:
        OptionError: there are such, and some of the inputs could not be read.
    """
    if failures and (request.masks or request.groups):
        given = "--masks" if request.masks else "--groups"
        raise OptionError(f"{given}: has one for each input, and not all can be read: {failures[0].reason}")


def _check_request(request: EvaluateRequest) -> None:
    others = [WeightsFile.named(request.weights).path, *(path for path in (request.masks, request.groups) if path)]
    read = (*request.inputs, *request.several.paths, *request.signals.files, *request.own.files, *others)
    for path in request.outputs:
        check_destination(path, _SUFFIXES, read)
    if request.scores:
        check_destination(request.scores, (".csv",), read)
    check_different([*request.outputs, *([request.scores] if request.scores else [])])
    if request.groups and request.groups_by_file:
        raise OptionError("--groups and --groups-by-file: give one of them")
    needing = [name for name in request.metrics if METRICS[name].takes == "mask"]
    if needing and not request.masks:
        raise OptionError(f"--metric {needing[0]} asks whether relevance lies where it should; give --masks FILE, or leave it out")
    for options in (*request.metrics.values(), request.shared, request.options, *request.own_options.values()):
        for name in options.keys() & _OWN_OPTIONS.keys():
            raise OptionError(f"{name}= has an option of its own, {_OWN_OPTIONS[name]}")
    _said_of_units(request)
    check_files(request.inputs, request.several, request.signals, request.own)


# Reading


def _samples(request: EvaluateRequest, classifier: Classifier) -> Samples:
    samples = read_samples(request.inputs, request.several, request.signals, request.own, classifier)
    if samples.several and request.groups_by_file:
        raise OptionError("--groups-by-file: each sample of several inputs is of the same files; name its group by --groups FILE")
    return samples


def _named_groups(request: EvaluateRequest) -> list[str]:
    """The lines of ``--groups``, if it is given.

    Raises:
        InputError: it is no text.
        OSError: it cannot be opened.
    """
    if request.groups is None:
        return []
    try:
        lines = request.groups.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"--groups {request.groups}: no text in UTF-8 ({error}); save it as UTF-8") from error
    return [line.strip() for line in lines if line.strip()]


def _groups(request: EvaluateRequest, samples: Samples, names: Sequence[str]) -> Sequence[object] | None:
    if request.groups_by_file:
        return samples.files
    if request.groups is None:
        return None
    if len(names) != len(samples.names):
        raise OptionError(f"--groups {request.groups}: has {len(names)} lines for {len(samples.names)} inputs; write one for each")
    return names


def _masks(request: EvaluateRequest) -> Any:
    return None if request.masks is None else read_array(request.masks, booleans=True)


def _explained(decisions: Decisions, classifier: Classifier) -> str:
    """How many samples are explained of which class, the most frequent first."""
    classes = decisions.targets
    counted = Counter(classes).most_common()
    named = ((in_list(classifier, index, classifier.class_name(index)), times) for index, times in counted[:_MOST_NAMED])
    told = [f"{name} ({times} of {len(classes)})" for name, times in named]
    rest = len(counted) - _MOST_NAMED
    rather = decisions.rather_than(0, classifier.class_name)
    return ", ".join([*told, *([f"{rest} other class{'es' * (rest > 1)}"] if rest > 0 else [])]) + rather


def _taken_as_independent(request: EvaluateRequest, samples: Samples, groups: Sequence[object] | None) -> Iterator[str]:
    """A warning of beats that come from fewer recordings."""
    if (
        groups is None
        and not samples.several
        and are_signals(request.inputs, request.signals)
        and len(set(samples.files)) < len(samples.files)
    ):
        counted = f"{len(samples.files)} samples of {len(set(samples.files))} file{'s' * (len(set(samples.files)) > 1)}"
        yield f"{counted} are taken as independent of each other; where a file is a patient's, say --groups-by-file"


def _files(request: EvaluateRequest) -> dict[str, str]:
    """What the user named, for the page."""
    paths = [path.name for path in (*request.inputs, *request.several.paths)]
    rest = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    weights = {"weights": request.weights} if request.weights else {}
    return {"model": request.model, **weights, "files": f"{', '.join(paths[:_MOST_NAMED])}{rest}"}


# Comparing


@dataclass(frozen=True)
class _Comparing:
    """What methods are compared on, and how."""

    request: EvaluateRequest
    classifier: Classifier
    model: nn.Module
    samples: Samples
    masks: Any

    def check(self) -> None:
        """Refuse mistaken options and masks before the network runs."""
        if self.request.unit != RemovedUnits():
            self.request.unit.check(self.samples, are_signals(self.request.inputs, self.request.signals), self.model)
        check_comparison(self.model, self.samples.x, self.request.methods, **self._how, **self._run)

    def compared(self, target: Any, groups: Sequence[object] | None) -> Comparison:
        with _bar() as progress:
            return compare_methods(
                self.model,
                self.samples.x,
                self.request.methods,
                target,
                groups=groups,
                draws=self.request.draws,
                timed=self.request.timed,
                keep_partial=True,
                progress=progress,
                **self._how,
                **self._run,
            )

    @property
    def _how(self) -> dict[str, Any]:
        request = self.request
        return {
            "metrics": request.metrics,
            "masks": self.masks,
            "metric_options": {**request.shared, **_said_of_units(request, self.samples)},
            "method_options": {**request.options, **request.by_method, **self.samples.explained},
        }

    @property
    def _run(self) -> dict[str, Any]:
        request, forward = self.request, self.samples.forward
        run = {"seed": request.seed, "batch_size": request.batch_size, "output": self.classifier.output}
        return {**run, "forward_kwargs": forward} if forward else run


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, where that is a terminal."""
    with tqdm(desc="comparing", unit="piece", leave=False, disable=None, ncols=bar_columns()) as bar:

        def progress(what: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_postfix_str(what)

        yield progress


def _said_of_units(request: EvaluateRequest, samples: Samples | None = None) -> dict[str, object]:
    """What ``--unit`` and ``--imputer`` say.

    Raises:
        OptionError: if it is nothing, or no metric takes it.
    """
    given = {"unit": request.unit.units(samples), "imputer": None if request.imputer is None else option_texts.value(request.imputer)}
    said = {name: value for name, value in given.items() if value is not None}
    for name in said:
        if not any(name in inspect.signature(METRICS[metric].function).parameters for metric in request.metrics):
            raise OptionError(f"--{name}: none of the metrics removes anything; leave it out")
    return said


# Results


def _write(request: EvaluateRequest, comparison: Comparison, samples: Samples) -> list[Path]:
    writers: dict[Path, Callable[[Path], None]] = {path: partial(_write_one, comparison) for path in request.outputs}
    if request.scores:
        names, paths = list(map(as_text, samples.names)), _paths(request, samples)
        writers[request.scores] = partial(_write_text, text=comparison.to_csv(per_sample=True, names=names, paths=paths))
    write_atomically(writers)
    return list(writers)


def _paths(request: EvaluateRequest, samples: Samples) -> list[str]:
    """The file of each sample; of several inputs all of them."""
    if samples.several is None:
        return [as_text(str(request.inputs[number])) for number in samples.files]
    files = dict.fromkeys((*request.inputs, *request.several.paths))
    return [as_text(" + ".join(map(str, files)))] * len(samples.names)


def _write_one(comparison: Comparison, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in FIGURE_SUFFIXES:
        write_to(comparison.plot(), path)
    else:
        _write_text(path, _TEXTS[suffix](comparison))


_TEXTS: Mapping[str, Callable[[Comparison], str]] = {
    ".html": lambda comparison: comparison.to_html(),
    ".csv": lambda comparison: comparison.to_csv(),
    ".tex": lambda comparison: comparison.to_latex(),
}


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
