"""What ``signxai inspect`` does: read one input, predict, and account for where its relevance goes."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from signxai.api import Report, inspect_model
from signxai.cli.decisions import Targets, decide, predictions, read_inputs
from signxai.cli.signal_files import SignalOptions, are_signals, read_signals
from signxai.files import check_destination, write_atomically
from signxai.models import load_classifier, move_to
from signxai.names.grammar import parse_method

__all__ = ["InspectRequest", "inspect_files"]


@dataclass(frozen=True)
class InspectRequest:
    """What the user asked for: see ``signxai inspect --help``. `options` are by name; `signals` holds for signals."""

    input: Path
    model: str
    weights: str
    method: str
    target: str | None
    versus: str | None
    save: Path | None
    options: Mapping[str, object]
    relevance: str
    seed: int
    device: str
    signals: SignalOptions


def inspect_files(request: InspectRequest, say: Callable[[str], None]) -> None:
    """Carry out the request; the report sums over the samples of the input.

    Args:
        request: what to do.
        say: takes each line of the report.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read or written.
    """
    if request.save:
        check_destination(request.save, (".json",), (request.input,))
    classifier = load_classifier(request.model, request.weights, seed=request.seed, progress=sys.stderr.isatty())
    parse_method(request.method)
    inputs = (request.input,)
    signals = read_signals(inputs, classifier, request.signals) if are_signals(inputs, request.signals) else None
    names, x = (signals.names, signals.x) if signals else read_inputs(inputs, classifier)
    model = move_to(classifier.model, request.device)
    decisions = decide(names, x, classifier, model, Targets((request.target,) if request.target else (), versus=request.versus), None)
    for line in predictions(decisions, classifier):
        say(line)
    options = {**request.options, "relevance": request.relevance, "seed": request.seed, "output": classifier.output}
    report = inspect_model(model, decisions.x, request.method, decisions.explained, **options)
    say("")
    say(str(report))
    if request.save:
        write_atomically({request.save: partial(_save, report)})
        say(f"wrote {request.save}")


def _save(report: Report, path: Path) -> None:
    path.write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
