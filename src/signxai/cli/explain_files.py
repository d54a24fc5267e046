"""What ``signxai explain`` does: read the inputs, predict, explain by each method, report, write."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from torch import nn
from tqdm import tqdm

from signxai.api import explain
from signxai.cli.decisions import MOST_SHOWN, Decisions, Targets, decide, predictions, read_inputs
from signxai.cli.several_inputs import SeveralInputs, SeveralOptions, read_several
from signxai.cli.several_results import check_figure, figure_of_several, of_input, saved_inputs, shares
from signxai.cli.signal_files import SignalBatch, SignalOptions, are_signals, read_signals
from signxai.cli.signal_results import SignalResults, beat_predictions
from signxai.cli.signal_summaries import SignalSummaries, check_summaries
from signxai.common.errors import InputError, OptionError
from signxai.figures.map_plots import Sample, heading, image_figure, label_heading, signal_figure
from signxai.files import FIGURE_SUFFIXES, check_destination, write_atomically
from signxai.models import Classifier, load_classifier, move_to
from signxai.names.grammar import parse_method

__all__ = ["Request", "explain_files"]

Array = npt.NDArray[Any]

_OWN_OPTIONS = {"seed": "--seed", "batch_size": "--batch-size", "relevance": "--relevance", "as_tensor": "--save", "at": "--at"}
_OWN_OPTIONS |= {"explained": "--explained", "forward_kwargs": "--forward"}


@dataclass(frozen=True)
class Request:
    """What the user asked for: see ``signxai explain --help``. `options` are by method, then by name; `signals` holds for signals,
    `several` for several inputs; `at` are names of layers, none for maps of the input."""

    inputs: tuple[Path, ...]
    model: str
    weights: str
    methods: tuple[str, ...]
    targets: Targets
    output: Path | None
    save: Path | None
    options: Mapping[str, Mapping[str, object]]
    relevance: str
    seed: int
    batch_size: int | None
    device: str
    signals: SignalOptions
    frequency: bool
    at: tuple[str, ...] = ()
    overlay: bool = False
    several: SeveralOptions = field(default_factory=SeveralOptions)


def explain_files(request: Request, say: Callable[[str], None]) -> None:
    """Carry out the request; nothing is written before everything is computed.

    Args:
        request: what to do.
        say: takes each line of the report.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read or written.
    """
    _check_request(request)
    classifier = load_classifier(request.model, request.weights, seed=request.seed, progress=sys.stderr.isatty())
    for method in request.methods:
        parse_method(method)
    several = read_several(request.inputs, request.several, request.signals, classifier)
    if several:
        _explain_several(request, several, classifier, say)
    else:
        _explain_inputs(request, classifier, say)
    if not (request.output or request.save or request.signals.summaries):
        drawn = "" if request.at else "--output FIGURE.png draws the maps, "
        say(f"nothing written: {drawn}--save MAPS.npz keeps {'the maps' if request.at else 'them'}")


def _explain_inputs(request: Request, classifier: Classifier, say: Callable[[str], None]) -> None:
    """Of a network that takes one input."""
    signals = read_signals(request.inputs, classifier, request.signals) if are_signals(request.inputs, request.signals) else None
    names, x = (signals.names, signals.x) if signals else read_inputs(request.inputs, classifier)
    _check_what_is_drawn(request, x, signals)
    model = move_to(classifier.model, request.device)
    decisions = decide(names, x, classifier, model, request.targets, request.batch_size)
    signals = signals.repeated(decisions.inputs) if signals else None
    told = beat_predictions(signals, decisions, classifier) if signals and signals.strips else predictions(decisions, classifier)
    for line in (*(signals.notices if signals else ()), *told):
        say(line)
    maps = _explain_all(request, model, decisions, classifier)
    shown = {} if request.at else maps
    results = SignalResults(signals, decisions, shown, classifier, request.frequency, request.signals) if signals else None
    draw = results.figure if results else partial(_draw, decisions, maps, classifier, request.overlay)
    for line in results.notices(request.output is not None) if results else ():
        say(line)
    summaries = results.summaries() if results else SignalSummaries(())
    for line in (line for summarized in summaries.maps for line in summarized.lines()):
        say(line)
    further = summaries.writers(request.signals.summaries)
    for path in _write(request, decisions, {"x": decisions.array}, {**(results.content() if results else {}), **maps}, draw, further):
        say(f"wrote {path}")


def _explain_several(request: Request, several: SeveralInputs, classifier: Classifier, say: Callable[[str], None]) -> None:
    """Of a network that takes several inputs."""
    if request.frequency:
        raise OptionError("--frequency: relevance over Hz is shown of a network that takes one signal, and this one takes several inputs")
    if drawing := request.signals.of_figures():
        raise OptionError(f"{drawing[0]}: goes with a network that takes one signal, and this one takes several inputs")
    if request.overlay:
        raise OptionError("--overlay: it is about figures of a network that takes pictures alone, and this one takes several inputs")
    if request.output:
        check_figure(several)
    model = move_to(classifier.model, request.device)
    for line in several.said():
        say(line)
    decisions = decide(several.names, several.arrays, classifier, model, request.targets, request.batch_size, several.forward)
    for line in predictions(decisions, classifier):
        say(line)
    maps = _explain_all(request, model, decisions, classifier, several.options)
    for line in () if request.at else shares(decisions, maps, request.methods):
        say(line)
    headings = [f"{name}: {_heading(decisions, row, classifier)}" for row, name in enumerate(decisions.names[:MOST_SHOWN])]
    draw = partial(figure_of_several, several, decisions, maps, request.methods, headings, classifier, not request.several.own_scales)
    for path in _write(request, decisions, saved_inputs(decisions), maps, draw):
        say(f"wrote {path}")


def _check_request(request: Request) -> None:
    destinations = [(request.output, FIGURE_SUFFIXES), (request.save, (".npz",))]
    destinations += [(path, (".csv", *FIGURE_SUFFIXES)) for path in request.signals.summaries]
    for path, suffixes in destinations:
        if path:
            check_destination(path, suffixes, (*request.inputs, *request.several.paths, Path(request.weights)))
    for options in request.options.values():
        for name in options.keys() & _OWN_OPTIONS.keys():
            raise OptionError(f"--option {name}=: this one has an option of its own, {_OWN_OPTIONS[name]}")
    if drawing := request.several.of_figures() if not request.output else ():
        raise OptionError(f"{drawing[0]} is about a figure: it goes with --output FIGURE")
    _check_drawing(request)
    if request.at and (request.output or request.frequency or request.signals.summaries):
        given = "--output" if request.output else "--frequency" if request.frequency else "--summary"
        raise OptionError(f"{given}: it shows relevance of the input; keep relevance at a layer (--at) as arrays, by --save MAPS.npz")


def _check_drawing(request: Request) -> None:
    """Refuse options that would do nothing."""
    if request.overlay and not request.output:
        raise OptionError("--overlay is about a figure: it goes with --output FIGURE")
    if request.signals.layout and (request.frequency or not request.output):
        raise OptionError("--layout is about the figure of an ECG over time: it goes with --output FIGURE, and without --frequency")
    if request.signals.highest_hz and not (request.frequency and request.output):
        raise OptionError("--highest-hz is about the axis of frequencies: it goes with --frequency and --output FIGURE")


def _check_what_is_drawn(request: Request, x: Array, signals: SignalBatch | None) -> None:
    if request.frequency and signals is None:
        raise OptionError("--frequency: relevance over Hz needs signals with a sampling rate; of an array, give it by --sampling-rate")
    if request.overlay and (signals is not None or x.ndim != 4):
        raise OptionError("--overlay: maps are laid over pictures, and these inputs are none")
    if request.output and signals is None:
        _figure_of(x)
    if signals:
        check_summaries(request.signals.summaries, len(signals.strips or signals.excerpts) * len(request.methods))


# Explaining


def _explain_all(
    request: Request, model: nn.Module, decisions: Decisions, classifier: Classifier, several: Mapping[str, object] | None = None
) -> dict[str, Array]:
    """The maps by the names under which they are kept; ``several`` are the options that go with several inputs."""
    maps: dict[str, Array] = {}
    width = max(len(key) for method in request.methods for key in _keys(request, method, decisions))
    with tqdm(request.methods, desc="explaining", unit="method", leave=False, disable=None) as bar:
        for method in bar:
            bar.set_postfix_str(method)
            start = time.perf_counter()
            found = _explain_one(request, model, decisions, method, classifier, several or {})
            seconds = time.perf_counter() - start
            for key, values in found.items():
                bar.write(f"{key:{width}}  {_summary(values, seconds)}", file=sys.stdout)
            if without := _without_relevance(request, decisions, method, found, several or {}):
                bar.write(f"{method:{width}}  no relevance of {', '.join(without)}", file=sys.stdout)
            maps |= found
    return maps


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
        "relevance": request.relevance,
        **several,
    }
    if classifier.output is not None:
        options["output"] = classifier.output
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


def _write(
    request: Request,
    decisions: Decisions,
    inputs: Mapping[str, Array],
    results: Mapping[str, Array],
    draw: Callable[[], Figure],
    further: Mapping[Path, Callable[[Path], None]] = MappingProxyType({}),
) -> list[Path]:
    writers = dict(further)
    if request.output:
        writers[request.output] = draw().savefig
    if request.save:
        what = {"name": decisions.names, **inputs, "logits": decisions.logits, "target": decisions.targets}
        what |= {"probability": decisions.probabilities} | ({} if decisions.versus is None else {"versus": decisions.versus})
        writers[request.save] = partial(_save, content={**what, **results})
    write_atomically(writers)
    return list(writers)


def _save(path: Path, content: Mapping[str, Any]) -> None:
    np.savez(path, **content)


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


def _draw(decisions: Decisions, maps: Mapping[str, Array], classifier: Classifier, overlay: bool) -> Figure:
    samples = []
    for index, name in enumerate(decisions.names[:MOST_SHOWN]):
        x = classifier.picture(decisions.array[index]) if decisions.array.ndim == 4 else decisions.array[index]
        one = {method: values[index] for method, values in maps.items()}
        samples.append(Sample(x, one, f"{name}: {_heading(decisions, index, classifier)}"))
    return _figure_of(decisions.array, overlay)(samples)


def _heading(decisions: Decisions, index: int, classifier: Classifier) -> str:
    logits, target = decisions.logits[index], decisions.targets[index]
    rather_than = decisions.rather_than(index, classifier.class_name)
    if decisions.are_labels:
        return label_heading(classifier.class_name(target), decisions.probabilities[index, target], logits[target]) + rather_than
    predicted = int(logits.argmax())
    said = heading(
        *(classifier.class_name(predicted), logits[predicted], classifier.class_name(target), logits[target]),
        probability=decisions.probabilities[index, predicted],
        explained_probability=decisions.probabilities[index, target],
    )
    return f"{said}, explained{rather_than}" if rather_than and target == predicted else f"{said}{rather_than}"
