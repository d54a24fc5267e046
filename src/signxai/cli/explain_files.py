"""What ``signxai explain`` does: read the inputs, predict, explain by each method, report, write."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from torch import nn

from signxai.api import explain
from signxai.cli.decisions import Decisions, Targets, decide, predictions
from signxai.cli.early_checks import check_files, check_first, check_layers
from signxai.cli.explain_results import ARCHIVE_SUFFIXES, Drawing, FigurePlace, Made, saved_with, what_is_saved, writer_of_table
from signxai.cli.failures import Failure, joined_failures, told_of_failures
from signxai.cli.input_files import Found, files_of, read_inputs, told_of
from signxai.cli.interrupts import ended_by_a_signal
from signxai.cli.loading import loaded
from signxai.cli.model_options import ModelOptions
from signxai.cli.output_places import check_places, folders_of, joined_writers
from signxai.cli.progress_bars import progress_bar
from signxai.cli.several_inputs import SeveralInputs, SeveralOptions, read_several
from signxai.cli.several_results import check_figure, figure_of_several, of_input, saved_inputs, shares
from signxai.cli.signal_files import SignalBatch, SignalOptions, are_signals, read_readable
from signxai.cli.signal_results import SignalResults, beat_predictions
from signxai.cli.signal_summaries import SignalSummaries, check_summaries
from signxai.cli.turned_signs import as_kept, noting_signs, starts_of, told_of_signs
from signxai.common.errors import InputError, OptionError
from signxai.figures.map_plots import Sample, heading, image_figure, label_heading, signal_figure
from signxai.figures.paging import NumberedSample, some_maps
from signxai.files import FIGURE_SUFFIXES, PICTURE_SUFFIXES, write_atomically
from signxai.methods.explainer import explainer_for, takes
from signxai.models import Classifier, move_to
from signxai.names.grammar import parse_method
from signxai.timeseries.packages import package
from signxai.weights import WeightsFile

__all__ = ["Request", "explain_files"]

Array = npt.NDArray[Any]

_OWN_OPTIONS = {"seed": "--seed", "batch_size": "--batch-size", "relevance": "--relevance", "as_tensor": "--save", "at": "--at"}
_OWN_OPTIONS |= {"explained": "--explained", "forward_kwargs": "--forward"}
_NOT_HERE = {"progress", "output", "create_graph"}


@dataclass(frozen=True)
class Request:
    """What the user asked for: see ``signxai explain --help``. `options` are by method, then by name; `signals` holds for signals,
    `several` for several inputs; `at` are names of layers, none for maps of the input."""

    inputs: tuple[Path, ...]
    model: str
    weights: str
    methods: tuple[str, ...]
    targets: Targets
    figures: tuple[FigurePlace, ...]
    saves: tuple[Path, ...]
    options: Mapping[str, Mapping[str, object]]
    relevance: str | None
    seed: int
    batch_size: int | None
    device: str
    signals: SignalOptions
    frequency: bool
    at: tuple[str, ...] = ()
    overlay: bool = False
    several: SeveralOptions = field(default_factory=SeveralOptions)
    own: ModelOptions = field(default_factory=ModelOptions)
    table: Path | None = None

    @property
    def starts(self) -> dict[str, str]:
        """What relevance starts with, by method."""
        return starts_of(self.methods, self.relevance, self.targets.versus is not None)


def explain_files(request: Request, say: Callable[[str], None]) -> int:
    """Carry out the request; nothing is written before everything is computed.

    Args:
        request: what to do.
        say: takes each line of the report.

    Returns:
        The exit status: 0; 3 where some of the inputs could not be read, each of which a line on standard error names.

    Raises:
        SystemExit: it was interrupted (130), or told to end (143); a line on standard error says that nothing was written.
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read or written.
    """
    written: list[Path] = []
    with ended_by_a_signal(lambda: f"{', '.join(map(str, written))} written" if written else "nothing was written"):
        found = files_of(request.inputs)
        _check_apart(request)
        request = replace(request, inputs=found.files)
        kept = _explained(request, found, say)
        _write(request, kept, say, written)
    for path in written:
        say(f"wrote {path}")
    if not written:
        drawn = "" if request.at else "--output FIGURE.png draws the maps, "
        say(f"nothing written: {drawn}--save MAPS.npz keeps {'the maps' if request.at else 'them'}")
    return told_of_failures(kept.failures, found.count, "explained")


def _explained(request: Request, found: Found, say: Callable[[str], None]) -> "_Kept":
    """What may be written of the request, which names files alone: those that were found."""
    _check_request(request)
    request.targets.unless(found.failures)
    check_first(request.model, request.device, partial(_check_options, request))
    classifier = loaded(request.model, request.weights, request.own, request.seed)
    for method in request.methods:
        parse_method(method)
    _check_options(request, classifier.model)
    for method in request.methods:
        check_layers(classifier.model, request.at, request.options[method])
    request.targets.check(classifier)
    for line in found.notices:
        say(line)
    with joined_failures(found.failures):
        several = read_several(request.inputs, request.several, request.signals, classifier)
        kept = _explain_several(request, several, classifier, say) if several else _explain_inputs(request, classifier, say)
    return replace(kept, failures=[*found.failures, *kept.failures])


def _check_options(request: Request, model: nn.Module) -> None:
    """Refuse options that a method does not take, or with values that it does not take."""
    for method in request.methods:
        explainer_for(model, method, request.options[method])


def _explain_inputs(request: Request, classifier: Classifier, say: Callable[[str], None]) -> "_Kept":
    """Of a network that takes one input."""
    read = _read_signals(request, classifier) if are_signals(request.inputs, request.signals) else _read(request, classifier)
    signals = read.signals
    _check_what_is_drawn(request, read.x, signals)
    model = move_to(classifier.model, request.device)
    for line in read.notices:
        say(line)
    _check_names(request, [strip.name for strip in signals.strips] if signals and signals.strips else read.names)
    decisions = decide(read.names, read.x, classifier, model, read.targets, request.batch_size)
    signals = signals.repeated(decisions.inputs) if signals else None
    shown_names = (
        [strip.name for strip in signals.strips] if signals and signals.strips else decisions.names_of_figures(classifier.short_name)
    )
    _check_names(request, shown_names)
    told = beat_predictions(signals, decisions, classifier) if signals and signals.strips else predictions(decisions, classifier)
    for line in (*told, *told_of_signs(decisions, classifier, request.starts)):
        say(line)
    decisions = noting_signs(decisions, request.starts)
    maps = _explain_all(request, model, decisions, classifier)
    shown = {name: signals.leads_first(values) for name, values in maps.items()} if signals and not request.at else {}
    results = SignalResults(signals, decisions, shown, classifier, request.frequency, request.signals) if signals else None
    for line in results.notices(bool(request.figures)) if results else ():
        say(line)
    summaries = results.summaries() if results else SignalSummaries(())
    for line in (line for summarized in summaries.maps for line in summarized.lines()):
        say(line)
    draw = results.figure if results else partial(_draw, decisions, maps, classifier, request.overlay)
    drawing = Drawing(shown_names, len(maps), draw)
    kept = {"x": decisions.array, **(results.content() if results else {}), **maps}
    return _Kept(decisions, classifier, read.paths, read.failures, kept, drawing, summaries.writers(request.signals.summaries))


@dataclass(frozen=True)
class _Read:
    """What was read: as of ``ReadInputs``, with the classes that are to be explained of it; of signals also those."""

    names: list[str]
    x: Array
    paths: list[str]
    notices: list[str]
    failures: list[Failure]
    targets: Targets
    signals: SignalBatch | None = None


def _read(request: Request, classifier: Classifier) -> _Read:
    read = read_inputs(request.inputs, classifier, may_fail=True)
    notices = [*told_of(classifier, request.own, read.pictures), *read.notices]
    targets = request.targets.at(read.places, len(read.names) + len(read.failures), read.failures)
    return _Read(read.names, read.x, list(map(str, read.paths)), notices, read.failures, targets)


def _read_signals(request: Request, classifier: Classifier) -> _Read:
    notices = told_of(classifier, request.own, pictures=False)
    read = read_readable(request.inputs, classifier, request.signals)
    batch, targets = read.batch, request.targets.unless(read.failures)
    paths = [str(request.inputs[number]) for number in read.files]
    return _Read(batch.names, batch.x, paths, [*notices, *batch.notices], read.failures, targets, batch)


def _explain_several(request: Request, several: SeveralInputs, classifier: Classifier, say: Callable[[str], None]) -> "_Kept":
    """Of a network that takes several inputs."""
    if request.frequency:
        raise OptionError("--frequency: relevance over Hz is shown of a network that takes one signal, and this one takes several inputs")
    if drawing := request.signals.of_figures():
        raise OptionError(f"{drawing[0]}: goes with a network that takes one signal, and this one takes several inputs")
    if request.overlay:
        raise OptionError("--overlay: it is about figures of a network that takes pictures alone, and this one takes several inputs")
    if request.figures:
        check_figure(several, classifier)
    model, targets = move_to(classifier.model, request.device), request.targets.unless(several.failures)
    for line in (*told_of(classifier, request.own, bool(several.pictures)), *several.said()):
        say(line)
    _check_names(request, several.names)
    decisions = decide(several.names, several.arrays, classifier, model, targets, request.batch_size, several.forward)
    shown_names = decisions.names_of_figures(classifier.short_name)
    _check_names(request, shown_names)
    for line in (*predictions(decisions, classifier), *told_of_signs(decisions, classifier, request.starts)):
        say(line)
    decisions = noting_signs(decisions, request.starts)
    maps = _explain_all(request, model, decisions, classifier, several.options)
    for line in () if request.at else shares(decisions, maps, request.methods):
        say(line)
    headings = [f"{name}: {_heading(decisions, row, classifier)}" for row, name in enumerate(decisions.names)]
    draw = partial(figure_of_several, several, decisions, maps, request.methods, headings, classifier, not request.several.own_scales)
    unread = {failure.path for failure in several.failures}
    files = " + ".join(str(path) for path in dict.fromkeys((*request.inputs, *request.several.paths)) if path not in unread)
    kept = {**saved_inputs(decisions), **maps}
    shown = Drawing(shown_names, len(request.methods), draw)
    return _Kept(decisions, classifier, [files] * len(several.names), several.failures, kept, shown)


def _files_read(request: Request) -> tuple[Path, ...]:
    """All files that are not to be written over."""
    return (*request.inputs, *request.several.paths, *request.signals.files, *request.own.files, WeightsFile.named(request.weights).path)


def _destinations(request: Request) -> list[tuple[Path, tuple[str, ...]]]:
    """The files that are asked for beside figures of maps, each with the suffixes that it may have."""
    wanted: list[tuple[Path, tuple[str, ...]]] = [(path, ARCHIVE_SUFFIXES) for path in request.saves]
    wanted += [(request.table, (".csv",))] if request.table else []
    return wanted + [(path, (".csv", *FIGURE_SUFFIXES)) for path in request.signals.summaries]


def _check_request(request: Request) -> None:
    check_places(request.figures, _destinations(request), request.signals.summaries, _files_read(request))
    for options in request.options.values():
        for name in options.keys() & _OWN_OPTIONS.keys():
            raise OptionError(f"--option {name}=: this one has an option of its own, {_OWN_OPTIONS[name]}")
        for name in options.keys() & _NOT_HERE:
            raise OptionError(f"--option {name}=: a function or a structure, which only signxai.explain takes; leave it out")
    if request.signals.summary_lead is not None and not any(path.suffix.lower() != ".csv" for path in request.signals.summaries):
        raise OptionError("--summary-lead is about the figure of a summary: it goes with --summary FIGURE.png")
    if request.signals.summaries:
        package("neurokit2", "finding the waves of beats, for --summary,")
    if drawing := request.several.of_figures() if not request.figures else ():
        raise OptionError(f"{drawing[0]} is about a figure: it goes with --output FIGURE")
    _check_drawing(request)
    _check_layers_asked(request)
    _check_kinds(request, check_files(request.inputs, request.several, request.signals, request.own))


def _check_layers_asked(request: Request) -> None:
    """Refuse layers that are named twice, or with what shows relevance of the input."""
    if twice := next((name for number, name in enumerate(request.at) if name in request.at[:number]), None):
        raise OptionError(f"--at {twice}: is given twice; leave one of them out")
    if request.at and (request.figures or request.frequency or request.signals.summaries):
        given = "--output" if request.figures else "--frequency" if request.frequency else "--summary"
        raise OptionError(f"{given}: it shows relevance of the input; keep relevance at a layer (--at) as arrays, by --save MAPS.npz")


def _check_names(request: Request, names: Sequence[str]) -> None:
    """Refuse folders in which the figure of an input of such a name would be another file of this run."""
    for place in request.figures:
        place.check_names(names, _others(request, place))


def _others(request: Request, place: FigurePlace) -> tuple[Path, ...]:
    """The files that figures in a place must not take the names of."""
    figures = [other.path for other in request.figures if other is not place and not other.is_folder]
    return (*_files_read(request), *figures, *(path for path, _ in _destinations(request)))


def _check_apart(request: Request) -> None:
    """Refuse to draw into a folder that is read: the same command would read the figures as pictures the next time."""
    places = [place for place in request.figures if place.is_folder or place.path.suffix.lower() in PICTURE_SUFFIXES]
    for place, folder in product(places, (path for path in request.inputs if path.is_dir())):
        if place.path.resolve().is_relative_to(folder.resolve()):
            raise OptionError(
                f"{place.path}: lies in {folder}, from which the pictures are read: the next time figures would be among them; "
                "choose a place outside"
            )


def _check_drawing(request: Request) -> None:
    """Refuse options that would do nothing."""
    if request.overlay and not request.figures:
        raise OptionError("--overlay is about a figure: it goes with --output FIGURE")
    if request.signals.layout and (request.frequency or not request.figures):
        raise OptionError("--layout is about the figure of an ECG over time: it goes with --output FIGURE, and without --frequency")
    if request.frequency and request.signals.summaries and not (request.figures or request.saves or request.at):
        raise OptionError(
            "--frequency is about figures and kept maps: it goes with --output FIGURE or --save MAPS.npz; --summary is over time"
        )
    if request.signals.highest_hz and not (request.frequency and request.figures):
        raise OptionError("--highest-hz is about the axis of frequencies: it goes with --frequency and --output FIGURE")


def _check_what_is_drawn(request: Request, x: Array, signals: SignalBatch | None) -> None:
    _check_kinds(request, signals is not None)
    if request.overlay and x.ndim != 4:
        raise _nothing_to_lay_over()
    if request.figures and signals is None:
        _figure_of(x)
    if signals:
        _check_highest(request.signals.highest_hz, signals)
    if request.signals.summaries and signals:
        check_summaries(signals.strips or signals.excerpts, request.signals.summary_lead)


def _check_highest(highest: float | None, signals: SignalBatch) -> None:
    """Refuse an axis of frequencies that goes on beyond what a sampled signal holds."""
    if highest is not None and highest > (nyquist := signals.sampling_rate / 2):
        raise OptionError(
            f"--highest-hz {highest:g}: the network's input has {signals.sampling_rate:g} samples per second, so its frequencies end at "
            f"{nyquist:g} Hz (the Nyquist frequency); give at most that"
        )


def _check_kinds(request: Request, signals: bool | None) -> None:
    """Refuse to show what inputs of this kind do not have; None: it is not known yet whether they are signals."""
    if request.frequency and signals is False:
        raise OptionError("--frequency: relevance over Hz needs signals with a sampling rate; of an array, give it by --sampling-rate")
    if request.overlay and signals:
        raise _nothing_to_lay_over()


def _nothing_to_lay_over() -> OptionError:
    return OptionError("--overlay: maps are laid over pictures, and these inputs are none")


# Explaining


def _explain_all(
    request: Request, model: nn.Module, decisions: Decisions, classifier: Classifier, several: Mapping[str, object] | None = None
) -> dict[str, Array]:
    """The maps by the names under which they are kept; ``several`` are the options that go with several inputs."""
    maps: dict[str, Array] = {}
    width = max(len(key) for method in request.methods for key in _keys(request, method, decisions))
    with progress_bar(len(request.methods) * len(decisions.names), "explaining") as bar:
        for number, method in enumerate(request.methods):
            start = time.perf_counter()
            progress = partial(_show, bar, method, number * len(decisions.names))
            progress(0, len(decisions.names))
            found = _explain_one(request, model, decisions, method, classifier, {**(several or {}), "progress": progress})
            seconds = time.perf_counter() - start
            for key, values in found.items():
                bar.write(f"{key:{width}}  {_summary(values, seconds)}", file=sys.stdout)
            if without := _without_relevance(request, decisions, method, found, several or {}):
                bar.write(f"{method:{width}}  no relevance of {', '.join(without)}", file=sys.stdout)
            maps |= found
    return maps


def _show(bar: Any, method: str, before: int, done: float, count: int) -> None:
    """Show how far it is: so many inputs by this method, and all of them by those before it."""
    bar.set_postfix_str(f"{method}: {int(done)} of {count}", refresh=False)
    bar.update(max(0.0, before + done - bar.n))
    if not done:
        bar.refresh()


def _keys(request: Request, method: str, decisions: Decisions) -> list[str]:
    """The names of a method's arrays: at each layer, of each input, or its own alone."""
    if isinstance(decisions.x, Mapping) and not request.at:
        return [of_input(method, name) for name in decisions.x]
    return [f"{method}@{layer}" for layer in request.at] or [method]


def _without_relevance(
    request: Request, decisions: Decisions, method: str, found: Mapping[str, Array], several: Mapping[str, Any]
) -> list[str]:
    """Which of several inputs, all of them or those that were asked for, have no relevance by a method."""
    if not isinstance(decisions.x, Mapping) or request.at:
        return []
    return [name for name in several.get("explained", decisions.x) if of_input(method, name) not in found]


def _explain_one(
    request: Request, model: nn.Module, decisions: Decisions, method: str, classifier: Classifier, several: Mapping[str, object]
) -> dict[str, Array]:
    options: dict[str, Any] = {
        **request.options[method],
        "batch_size": request.batch_size,
        "seed": request.seed,
        "relevance": request.starts[method],
        **several,
    }
    if classifier.output is not None:
        options["output"] = classifier.output
    if not takes(parse_method(method), "progress"):
        options.pop("progress", None)
    if not request.at:
        found = explain(model, decisions.x, method, decisions.explained, **options)
        if isinstance(found, Mapping):
            return {of_input(method, name): np.asarray(values) for name, values in found.items()}
        return {method: np.asarray(found)}
    at_layers = explain(model, decisions.x, method, decisions.explained, at=list(request.at), **options)
    return dict(zip(_keys(request, method, decisions), map(np.asarray, at_layers.values()), strict=True))


def _summary(relevance: Array, seconds: float) -> str:
    return f"{seconds:7.2f} s   sum {relevance.sum():10.4g}   min {relevance.min():10.4g}   max {relevance.max():10.4g}"


# Results


@dataclass(frozen=True)
class _Kept:
    """What may be written: decisions, the files of the inputs, arrays, what is drawn, and writers of further files."""

    decisions: Decisions
    classifier: Classifier
    paths: Sequence[str]
    failures: Sequence[Failure]
    arrays: Mapping[str, Array]
    drawing: Drawing
    further: Mapping[Path, Callable[[Path], None]] = field(default_factory=dict)


def _write(request: Request, kept: _Kept, say: Callable[[str], None], written: list[Path]) -> None:
    """Write what is asked for; ``written`` gets the files."""
    writers = dict(kept.further)
    for place in request.figures:
        made = place.writers(kept.drawing, _others(request, place))
        writers = joined_writers(writers, made)
        for line in place.said(len(kept.drawing.names), len(set(kept.decisions.inputs)), made):
            say(line)
    if request.saves:
        about = what_is_saved(kept.decisions, kept.classifier, kept.paths, kept.failures, _made(request, kept.classifier))
        content = {**about, **kept.arrays}
        writers = joined_writers(writers, {path: partial(saved_with, content=content) for path in request.saves})
    if request.table:
        writers = joined_writers(writers, {request.table: writer_of_table(kept.decisions, kept.classifier, kept.paths)})
    with folders_of(request.figures), progress_bar(len(writers), "writing") as bar:
        write_atomically({path: partial(_write_one, write, bar) for path, write in writers.items()}, written)


def _write_one(write: Callable[[Path], None], bar: Any, path: Path) -> None:
    bar.refresh()
    write(path)
    bar.update()


def _made(request: Request, classifier: Classifier) -> Made:
    settings: dict[str, object] = {"relevance": as_kept(request.starts), "seed": request.seed}
    settings |= {"batch_size": request.batch_size, "device": request.device}
    settings |= {"at": list(request.at)} if request.at else {}
    settings |= {"notices": list(classifier.notices)} if classifier.notices else {}
    return Made(request.model, request.weights, request.options, settings, classifier.preparation)


def _figure_of(x: Array, overlay: bool = False) -> Callable[[list[Sample]], Figure]:
    """The figure that suits inputs (N, ...).

    Raises:
        InputError: none does.
    """
    if x.ndim == 4:
        return partial(image_figure, overlay=overlay)
    if x.ndim == 3:
        return signal_figure
    if x.ndim == 2:
        return partial(signal_figure, x_label="index")
    raise InputError(f"a figure shows images (C, H, W) and signals (leads, time), not inputs of shape {x.shape[1:]}; use --save instead")


def _draw(
    decisions: Decisions, maps: Mapping[str, Array], classifier: Classifier, overlay: bool, shown: Sequence[NumberedSample]
) -> Figure:
    samples = []
    x, is_last = decisions.array, classifier.channels_last(decisions.array.ndim)
    first = {name: np.moveaxis(values, -1, 1) if is_last and values.ndim == x.ndim else values for name, values in {"": x, **maps}.items()}
    for numbered in shown:
        name = decisions.names[index := numbered.number]
        one = {method: values[index] for method, values in first.items()}
        signal = one.pop("")
        shown_as = classifier.picture(x[index]) if x.ndim == 4 else signal
        sample = Sample(shown_as, one, f"{name}: {_heading(decisions, index, classifier)}", decisions.turned.get(index, ()))
        samples.append(some_maps(sample, numbered.maps))
    return _figure_of(decisions.array, overlay)(samples)


def _heading(decisions: Decisions, index: int, classifier: Classifier) -> str:
    return _decided(decisions, index, classifier) + decisions.note([index])


def _decided(decisions: Decisions, index: int, classifier: Classifier) -> str:
    logits, target = decisions.logits[index], decisions.targets[index]
    rather_than = decisions.rather_than_with_numbers(index, classifier.class_name)
    if decisions.are_labels:
        return label_heading(classifier.class_name(target), decisions.probabilities[index, target], logits[target]) + rather_than
    predicted = int(logits.argmax())
    said = heading(
        *(classifier.class_name(predicted), logits[predicted], classifier.class_name(target), logits[target]),
        probability=decisions.probabilities[index, predicted],
        explained_probability=decisions.probabilities[index, target],
    )
    return (
        f"{said}, explained {classifier.class_name(target)}{rather_than}" if rather_than and target == predicted else f"{said}{rather_than}"
    )
