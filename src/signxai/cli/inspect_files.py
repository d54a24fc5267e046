"""What ``signxai inspect`` does: read one input, predict, and account for where its relevance goes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from torch import nn

from signxai.api import Report, inspect_model
from signxai.cli.decisions import Decisions, Targets, decide, predictions
from signxai.cli.early_checks import check_files, check_first, check_loaded, check_options_of_methods
from signxai.cli.explain_results import Made, versions
from signxai.cli.loading import loaded
from signxai.cli.model_options import ModelOptions
from signxai.cli.samples import read_samples
from signxai.cli.several_inputs import SeveralOptions
from signxai.cli.signal_files import SignalOptions
from signxai.cli.turned_signs import told_of_signs
from signxai.files import check_destination, write_atomically
from signxai.inspecting import inspected_by
from signxai.methods.lrp import MethodLRPAnalyzer
from signxai.methods.turned_signs import start_for
from signxai.models import Classifier, move_to
from signxai.weights import WeightsFile

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
    relevance: str | None
    seed: int
    device: str
    signals: SignalOptions
    several: SeveralOptions = field(default_factory=SeveralOptions)
    own: ModelOptions = field(default_factory=ModelOptions)

    @property
    def start(self) -> str:
        """What relevance starts with."""
        return start_for(self.method, self.relevance, self.versus is not None)


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
        read = (*inputs, *request.several.paths, *request.signals.files, *request.own.files, WeightsFile.named(request.weights).path)
        check_destination(request.save, (".json",), read)
    check_options_of_methods(request.options, "inspect")
    check_files(inputs, request.several, request.signals, request.own)
    targets = Targets((request.target,) if request.target else (), versus=request.versus)
    bound = partial(_bound, request)
    check_first(request.model, request.device, bound)
    classifier = loaded(request.model, request.weights, request.own, request.seed)
    check_loaded(classifier, request.options, targets, bound)
    samples = read_samples(inputs, request.several, request.signals, request.own, classifier)
    model = move_to(classifier.model, request.device)
    for line in samples.notices:
        say(line)
    decisions = decide(samples.names, samples.x, classifier, model, targets, None, samples.forward)
    for line in (*predictions(decisions, classifier), *told_of_signs(decisions, classifier, {request.method: request.start})):
        say(line)
    options = {**request.options, "relevance": request.start, "seed": request.seed, "output": classifier.output}
    options |= samples.options
    report = inspect_model(model, decisions.x, request.method, decisions.explained, **options)
    say("")
    say(str(report))
    if request.save:
        write_atomically({request.save: partial(_save, report, _about(request, classifier, decisions))})
        say(f"wrote {request.save}")


def _bound(request: InspectRequest, model: nn.Module) -> MethodLRPAnalyzer:
    """The method with its options, of a model."""
    return inspected_by(model, request.method, {**request.options, "relevance": request.start, "seed": request.seed})


def _about(request: InspectRequest, classifier: Classifier, decisions: Decisions) -> dict[str, object]:
    """What says of a saved report what it is of, and how it was made."""
    settings = {"relevance": request.start, "seed": request.seed, "device": request.device}
    made = Made(request.model, request.weights, {request.method: request.options}, settings, classifier.preparation)
    return {
        "paths": [str(path) for path in ((request.input,) if request.input else request.several.paths)],
        "names": decisions.names,
        "targets": decisions.targets,
        "target_names": [classifier.class_name(target) for target in decisions.targets],
        "probabilities": [float(decisions.probabilities[row, target]) for row, target in enumerate(decisions.targets)],
        "spec": made.spec(),
        "versions": versions(),
    }


def _save(report: Report, about: Mapping[str, object], path: Path) -> None:
    path.write_text(json.dumps({**report.to_dict(), "about": about}, indent=1), encoding="utf-8")
