"""What ``signxai certify --store`` does: certify maps of a store, keep the certificates there, say what they say."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signxai.cli.certify_files import ALL, FAILED, check_names
from signxai.cli.endings import ended_in_a_line
from signxai.cli.loading import loaded
from signxai.cli.model_options import ModelOptions
from signxai.datasets.certifying_entries import certify_entries, most_absorbed
from signxai.datasets.store import Store
from signxai.evidence.certificate import Certificate
from signxai.models import move_to

__all__ = ["CertifyEntriesRequest", "certify_stored_entries"]


@dataclass(frozen=True)
class CertifyEntriesRequest:
    """What the user asked for: see ``signxai certify --help``. `thresholds` are by name."""

    store: Path
    entries: tuple[str, ...]
    worst: int | None
    model: str
    weights: str
    method: str
    required: tuple[str, ...]
    thresholds: Mapping[str, Any]
    srg: bool
    seed: int
    device: str
    trust: bool = False


def certify_stored_entries(request: CertifyEntriesRequest, say: Callable[[str], None]) -> int:
    """Carry out the request.

    Args:
        request: what to do.
        say: takes each line of the report.

    Returns:
        The exit status: 0; 1 where a required check did not pass.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: the store cannot be written.
    """
    check_names(request.required, request.thresholds, request.srg)
    store = Store(request.store)
    rows = _rows(store, request)
    classifier = loaded(request.model, request.weights, ModelOptions(trust=request.trust), request.seed)
    for line in classifier.notices:
        say(line)
    net = move_to(classifier.model, request.device)
    with ended_in_a_line(request.store, "certificates that are whole are kept, and `signxai report` shows them"):
        found = certify_entries(
            *(store, net, request.method, rows),
            thresholds=request.thresholds,
            srg=request.srg,
            output=classifier.output,
            progress=sys.stderr.isatty(),
        )
    certificate = Certificate(request.method, tuple(own.samples[0] for own in found.values()))
    say(str(certificate) if len(certificate) == 1 else str(certificate).rpartition("\n\n")[0])
    say(f"\nkept in {request.store}; `signxai report` shows them beside the maps")
    lacking = certificate.lacking(ALL if ALL in request.required else request.required)
    for reason in lacking:
        say(f"required: {reason}")
    return FAILED if lacking else 0


def _rows(store: Store, request: CertifyEntriesRequest) -> list[int] | None:
    """The entries that are asked for; None: all."""
    if request.worst:
        return most_absorbed(store, request.method, request.worst)
    return [store.index_of(entry) for entry in request.entries] or None
