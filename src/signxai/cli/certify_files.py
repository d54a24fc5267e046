"""What ``signxai certify`` does: read the inputs, predict, and check each map."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from torch import nn

from signxai.cli.decisions import Decisions, Targets, decide, predictions
from signxai.cli.early_checks import check_files, check_first, check_loaded, check_options_of_methods
from signxai.cli.explain_results import versions
from signxai.cli.failures import Failure, joined_failures, told_of_failures
from signxai.cli.input_files import files_of
from signxai.cli.loading import loaded
from signxai.cli.model_options import ModelOptions
from signxai.cli.progress_bars import progress_bar
from signxai.cli.samples import read_samples
from signxai.cli.several_inputs import SeveralOptions
from signxai.cli.signal_files import SignalOptions
from signxai.cli.turned_signs import told_of_signs
from signxai.common.errors import OptionError
from signxai.evidence.certificate import Certificate
from signxai.evidence.certified_gain import Removing
from signxai.evidence.certified_sample import CertifiedSample
from signxai.evidence.certifying import Certification
from signxai.evidence.criteria import CRITERIA, criterion_named, thresholds_with
from signxai.files import check_destination, write_atomically
from signxai.methods.explainer import Explainer, explainer_for
from signxai.methods.turned_signs import start_for
from signxai.models import Classifier, move_to
from signxai.weights import WeightsFile

__all__ = ["ALL", "FAILED", "CertifyRequest", "certify_files", "check_names"]

FAILED, _INTERRUPTED = 1, 130
ALL = "all"
_SRG = "srg"


@dataclass(frozen=True)
class CertifyRequest:
    """What the user asked for: see ``signxai certify --help``. `options` and `thresholds` are by name."""

    inputs: tuple[Path, ...]
    model: str
    weights: str
    method: str
    targets: Targets
    required: tuple[str, ...]
    thresholds: Mapping[str, Any]
    srg: bool
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
        return start_for(self.method, self.relevance, self.targets.versus is not None)


def certify_files(request: CertifyRequest, say: Callable[[str], None]) -> int:
    """Carry out the request.

    Args:
        request: what to do.
        say: takes each line of the report.

    Returns:
        The exit status: 0; 3 where some of the inputs could not be read; 1 where a required check did not pass; 130 where the user
        interrupted the work, of which what is done was said.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read or written.
    """
    found = files_of(request.inputs)
    for line in found.notices:
        say(line)
    request = replace(request, inputs=found.files)
    _check(request)
    request.targets.unless(found.failures)
    bound = partial(_bound, request)
    check_first(request.model, request.device, bound)
    classifier = loaded(request.model, request.weights, request.own, request.seed)
    check_loaded(classifier, request.options, request.targets, bound)
    with joined_failures(found.failures):
        decisions, certification, unread = _prepared(request, classifier, say)
    failures = [*found.failures, *unread]
    certificate = Certificate(certification.method, _samples(certification))
    _report(request, decisions, certificate, failures, say)
    status = told_of_failures(failures, found.count, "certified")
    if certificate.is_partial:
        click.echo("signxai: interrupted: what is said here is partial", err=True)
        return _INTERRUPTED
    lacking = certificate.lacking(ALL if ALL in request.required else request.required)
    for reason in lacking:
        say(f"required: {reason}")
    return FAILED if lacking else status


def _bound(request: CertifyRequest, model: nn.Module) -> Explainer:
    """The method with its options, of a model."""
    return explainer_for(model, request.method, {**request.options, "relevance": request.start, "seed": request.seed})


def _check(request: CertifyRequest) -> None:
    """Refuse what can be refused before a network is loaded."""
    if request.save:
        read = (
            *request.inputs,
            *request.several.paths,
            *request.signals.files,
            *request.own.files,
            WeightsFile.named(request.weights).path,
        )
        check_destination(request.save, (".json",), read)
    check_names(request.required, request.thresholds, request.srg)
    check_options_of_methods(request.options, "certify")
    check_files(request.inputs, request.several, request.signals, request.own)


def check_names(required: Sequence[str], thresholds: Mapping[str, Any], srg: bool) -> None:
    """Refuse checks that there are not, or that are left out, and limits that are none.

    Args:
        required: the checks that must pass.
        thresholds: limits by the checks that they are of.
        srg: whether the symmetric relevance gain is among the checks.

    Raises:
        OptionError: there are such.
    """
    for name in required:
        if name != ALL:
            criterion_named(name)
    thresholds_with(thresholds)
    for option, named in (("--require", required), ("--threshold", thresholds)):
        if not srg and _SRG in named:
            raise OptionError(f"--without-srg leaves {_SRG} out, and {option} is about it; leave one of them out")


def _prepared(
    request: CertifyRequest, classifier: Classifier, say: Callable[[str], None]
) -> tuple[Decisions, Certification, Sequence[Failure]]:
    samples = read_samples(request.inputs, request.several, request.signals, request.own, classifier)
    model = move_to(classifier.model, request.device)
    for line in samples.notices:
        say(line)
    decisions = decide(samples.names, samples.x, classifier, model, samples.targets(request.targets), None, samples.forward)
    for line in (*predictions(decisions, classifier), *told_of_signs(decisions, classifier, {request.method: request.start})):
        say(line)
    options = {**request.options, "relevance": request.start, "seed": request.seed, "output": classifier.output}
    options |= samples.options
    how = request.thresholds, Removing(steps=10 if request.srg else 0)
    certification = Certification(model, decisions.x, request.method, decisions.explained, *how, options, classifier.class_names)
    return decisions, certification, samples.failures


def _samples(certification: Certification) -> tuple[CertifiedSample, ...]:
    """What is certified of each sample, until all is done or the user interrupts it."""
    made = {row: CertifiedSample(row, "not begun") for row in range(certification.samples)}
    with progress_bar(certification.samples * len(CRITERIA), "certifying") as bar:
        try:
            for row in made:
                for made[row] in certification.growing(row):  # noqa: B020 - the certificate of the sample grows
                    bar.update()
        except KeyboardInterrupt:
            pass
    return tuple(made.values())


def _report(
    request: CertifyRequest, decisions: Decisions, certificate: Certificate, failures: Sequence[Failure], say: Callable[[str], None]
) -> None:
    for own, name in zip(certificate, decisions.names, strict=True):
        say("")
        say(f"{name}: {own}" if len(certificate) > 1 else f"{own}")
    if len(certificate) > 1:
        say("")
        say(str(certificate))
    if request.save:
        about: dict[str, object] = {
            "inputs": [str(path) for path in request.inputs],
            "model": request.model,
            "weights": request.weights,
            "seed": request.seed,
        }
        about |= {"failed": [{"path": str(failure.path), "reason": failure.reason} for failure in failures]} if failures else {}
        write_atomically({request.save: partial(_save, certificate, decisions.names, {**about, "versions": versions()})})
        say(f"wrote {request.save}")


def _save(certificate: Certificate, names: Sequence[str], about: Mapping[str, object], path: Path) -> None:
    content = certificate.to_dict()
    content["samples"] = [{"name": name, **sample} for name, sample in zip(names, content["samples"], strict=True)]
    content["about"] = about
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
