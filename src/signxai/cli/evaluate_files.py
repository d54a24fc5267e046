"""What ``signxai evaluate`` does: read the inputs, predict, compare the methods, report, write."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from signxai.cli import option_texts
from signxai.cli.decisions import Inputs, Targets, decide, read_inputs
from signxai.cli.several_inputs import SeveralInputs, SeveralOptions, read_one, read_several
from signxai.cli.signal_files import SignalOptions
from signxai.common.errors import OptionError
from signxai.evidence import METRICS, Comparison, Patch, Window, compare_methods
from signxai.files import FIGURE_SUFFIXES, check_destination, check_different, read_array, write_atomically
from signxai.models import Classifier, load_classifier, move_to

__all__ = ["EvaluateRequest", "evaluate_files"]

_SUFFIXES = (".html", ".csv", ".tex", *FIGURE_SUFFIXES)
_OWN_OPTIONS = {"unit": "--unit", "imputer": "--imputer", "seed": "--seed", "batch_size": "--batch-size"}
_OWN_OPTIONS |= {"explained": "--explained", "forward_kwargs": "--forward"}


@dataclass(frozen=True)
class EvaluateRequest:
    """What the user asked for: see ``signxai evaluate --help``. `metrics` are options by metric, `shared` those of all of
    them, `options` those of the methods."""

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
    unit: str | None
    imputer: str | None
    options: Mapping[str, object]
    signals: SignalOptions
    several: SeveralOptions
    timed: bool
    draws: int
    seed: int
    batch_size: int | None
    device: str


@dataclass(frozen=True)
class _Samples:
    """What is compared on: the inputs, the number of the file that each is of, and of several inputs what is said of them."""

    names: list[str]
    x: Inputs
    files: list[int]
    several: SeveralInputs | None = None

    @property
    def forward(self) -> Mapping[str, object] | None:
        """What is passed on to the network."""
        return None if self.several is None else self.several.forward or None

    @property
    def of_methods(self) -> Mapping[str, object]:
        """What methods are told of several inputs."""
        return {} if self.several is None or self.several.explained is None else {"explained": self.several.explained}


def evaluate_files(request: EvaluateRequest, say: Callable[[str], None]) -> bool:
    """Carry out the request; files are written when all is computed, or when Ctrl-C ends it.

    Args:
        request: what to do.
        say: takes each line of the report.

    Returns:
        Whether the comparison is partial.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read or written.
    """
    _check_request(request)
    classifier = load_classifier(request.model, request.weights, seed=request.seed)
    samples = _samples(request, classifier)
    groups = _groups(request, samples)
    model = move_to(classifier.model, request.device)
    for line in samples.several.said() if samples.several else ():
        say(line)
    decisions = decide(samples.names, samples.x, classifier, model, Targets(request.targets), request.batch_size, samples.forward)
    if len(decisions.names) != len(samples.names):
        raise OptionError("--target all: methods are compared on one class of each input; name one, or leave it out: the predicted class")
    comparison = _compared(request, classifier, model, samples, decisions.explained, groups)
    for line in str(comparison).splitlines():
        say(line)
    for path in _write(request, comparison):
        say(f"wrote {path}")
    return comparison.partial


def _check_request(request: EvaluateRequest) -> None:
    others = [Path(request.weights), *(path for path in (request.masks, request.groups) if path)]
    read = (*request.inputs, *request.several.paths, *others)
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
    for options in (*request.metrics.values(), request.shared, request.options):
        for name in options.keys() & _OWN_OPTIONS.keys():
            raise OptionError(f"{name}= has an option of its own, {_OWN_OPTIONS[name]}")
    _said_of_units(request)


# Reading


def _samples(request: EvaluateRequest, classifier: Classifier) -> _Samples:
    several = read_several(request.inputs, request.several, request.signals, classifier)
    if several:
        if request.groups_by_file:
            raise OptionError("--groups-by-file: each sample of several inputs is of the same files; name its group by --groups FILE")
        return _Samples(several.names, several.arrays, [0] * len(several.names), several)
    read: list[tuple[list[str], Any]] = [read_one((path,), request.signals, classifier) for path in request.inputs]
    if len({x.shape[1:] for _, x in read}) > 1:
        read_inputs(request.inputs, classifier)  # says what does not fit
        raise OptionError(f"inputs compared together have one shape, and these have {', '.join(str(x.shape[1:]) for _, x in read)}")
    files = [number for number, (names, _) in enumerate(read) for _ in names]
    return _Samples([name for names, _ in read for name in names], np.ascontiguousarray(np.concatenate([x for _, x in read])), files)


def _groups(request: EvaluateRequest, samples: _Samples) -> Sequence[object] | None:
    if request.groups_by_file:
        return samples.files
    if request.groups is None:
        return None
    lines = request.groups.read_text(encoding="utf-8").split("\n")
    names = [line.strip() for line in lines if line.strip()]
    if len(names) != len(samples.names):
        raise OptionError(f"--groups {request.groups}: has {len(names)} lines for {len(samples.names)} inputs; write one for each")
    return names


# Comparing


def _compared(
    request: EvaluateRequest,
    classifier: Classifier,
    model: nn.Module,
    samples: _Samples,
    target: Any,
    groups: Sequence[object] | None,
) -> Comparison:
    run: dict[str, Any] = {"seed": request.seed, "batch_size": request.batch_size, "output": classifier.output}
    if samples.forward:
        run["forward_kwargs"] = samples.forward
    with _bar() as progress:
        return compare_methods(
            model,
            samples.x,
            request.methods,
            target,
            metrics=request.metrics,
            groups=groups,
            masks=None if request.masks is None else read_array(request.masks, booleans=True),
            metric_options={**request.shared, **_said_of_units(request)},
            method_options={**request.options, **samples.of_methods},
            draws=request.draws,
            timed=request.timed,
            keep_partial=True,
            progress=progress,
            **run,
        )


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, where that is a terminal."""
    with tqdm(desc="comparing", unit="piece", leave=False, disable=None) as bar:

        def progress(what: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_postfix_str(what)

        yield progress


def _said_of_units(request: EvaluateRequest) -> dict[str, object]:
    """What ``--unit`` and ``--imputer`` say.

    Raises:
        OptionError: if it is nothing, or no metric takes it.
    """
    given = {"unit": _unit(request.unit), "imputer": None if request.imputer is None else option_texts.value(request.imputer)}
    said = {name: value for name, value in given.items() if value is not None}
    for name in said:
        if not any(name in inspect.signature(METRICS[metric].function).parameters for metric in request.metrics):
            raise OptionError(f"--{name}: none of the metrics removes anything; leave it out")
    return said


def _unit(text: str | None) -> object:
    """A unit, of how it is written.

    >>> _unit("patch:8"), _unit("pixel")
    (Patch(size=8, channel_axis=1), 'pixel')
    """
    if text is None or text in ("pixel", "value", "token"):
        return text
    word, _, size = text.partition(":")
    if word in ("patch", "window") and size.isdecimal() and int(size):
        return Patch(int(size)) if word == "patch" else Window(int(size))
    raise OptionError(f"--unit {text!r}: write pixel, value, token, patch:8 (a square of 8 x 8) or window:10 (10 samples of a signal)")


# Results


def _write(request: EvaluateRequest, comparison: Comparison) -> list[Path]:
    writers: dict[Path, Callable[[Path], None]] = {path: partial(_write_one, comparison) for path in request.outputs}
    if request.scores:
        writers[request.scores] = partial(_write_text, text=comparison.to_csv(per_sample=True))
    write_atomically(writers)
    return list(writers)


def _write_one(comparison: Comparison, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in FIGURE_SUFFIXES:
        comparison.plot().savefig(path)
    else:
        _write_text(path, _TEXTS[suffix](comparison))


_TEXTS: Mapping[str, Callable[[Comparison], str]] = {
    ".html": lambda comparison: comparison.to_html(),
    ".csv": lambda comparison: comparison.to_csv(),
    ".tex": lambda comparison: comparison.to_latex(),
}


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
