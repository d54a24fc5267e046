"""What ``signxai inspect`` does: read one input, predict, and account for where its relevance goes."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from signxai.api import Report, inspect_model
from signxai.cli.decisions import Targets, decide, predictions
from signxai.cli.several_inputs import SeveralOptions, read_one, read_several
from signxai.cli.signal_files import SignalOptions
from signxai.files import check_destination, write_atomically
from signxai.models import load_classifier, move_to
from signxai.names.grammar import parse_method

__all__ = ["InspectRequest", "inspect_files"]


@dataclass(frozen=True)
class InspectRequest:
    """What the user asked for: see ``signxai inspect --help``. `options` are by name; `signals` holds for
    signals, `several` for several inputs."""

    input: Path | None
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
    several: SeveralOptions = field(default_factory=SeveralOptions)


def inspect_files(request: InspectRequest, say: Callable[[str], None]) -> None:
    """Carry out the request; the report sums over the samples of the input.

    Args:
        request: what to do.
        say: takes each line of the report.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read or written.
    """
    inputs = (request.input,) if request.input else ()
    if request.save:
        check_destination(request.save, (".json",), (*inputs, *request.several.paths, Path(request.weights)))
    classifier = load_classifier(request.model, request.weights, seed=request.seed, progress=sys.stderr.isatty())
    parse_method(request.method)
    several = read_several(inputs, request.several, request.signals, classifier)
    names, x = (several.names, several.arrays) if several else read_one(inputs, request.signals, classifier)
    model = move_to(classifier.model, request.device)
    for line in several.said() if several else ():
        say(line)
    targets = Targets((request.target,) if request.target else (), versus=request.versus)
    decisions = decide(names, x, classifier, model, targets, None, several.forward if several else None)
    for line in predictions(decisions, classifier):
        say(line)
    options = {**request.options, "relevance": request.relevance, "seed": request.seed, "output": classifier.output}
    options |= several.options if several else {}
    report = inspect_model(model, decisions.x, request.method, decisions.explained, **options)
    say("")
    say(str(report))
    if request.save:
        write_atomically({request.save: partial(_save, report)})
        say(f"wrote {request.save}")


def _save(report: Report, path: Path) -> None:
    path.write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
