"""What ``signxai export`` does: write a store's entries, maps and clusters as another program reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from signxai.datasets.store import Store
from signxai.datasets.virelay import export_virelay

__all__ = ["ExportRequest", "export_maps"]


@dataclass(frozen=True)
class ExportRequest:
    """What the user asked for: see ``signxai export --help``."""

    store: Path
    folder: Path
    methods: tuple[str, ...]
    target: str | None


def export_maps(request: ExportRequest, say: Callable[[str], None]) -> None:
    """Do what ``signxai export`` was asked for.

    Args:
        request: what to do.
        say: takes each line of the report.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: the files cannot be written.
    """
    store = Store(request.store)
    projects = export_virelay(store, request.folder, request.methods or None, request.target)
    clustered = {method for method, _ in store.clustered()}
    say(f"{len(store.rows(target=request.target))} entries of {store.path}; open them by: virelay {' '.join(map(str, projects))}")
    for method in request.methods or tuple(store.methods):
        if method not in clustered:
            say(f"{method}: no clusters, and ViRelAy draws nothing without; find them by: signxai cluster {store.path} --method {method}")
