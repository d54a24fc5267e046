"""What ``signxai cluster`` does: find clusters among the maps of each class, keep them in the store, say what is in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signxai.cli.run_results import next_step
from signxai.common.errors import InputError, OptionError
from signxai.datasets.clusters import Clusters, standing_out
from signxai.datasets.parts import parts_of
from signxai.datasets.patterns import LEAST_ENTRIES, ClusterSettings, classes_of, cluster_maps
from signxai.datasets.store import Rows, Store
from signxai.datasets.views import ValuesView

__all__ = ["ClusterRequest", "find_clusters"]


@dataclass(frozen=True)
class ClusterRequest:
    """What the user asked for: see ``signxai cluster --help``; ``of_places`` are those of its options that were given and say which
    places of maps are alike.
    """

    store: Path
    methods: tuple[str, ...]
    target: str | None
    label: str | None
    wrong: bool | None
    settings: ClusterSettings
    of_places: tuple[str, ...] = ()


def find_clusters(request: ClusterRequest, say: Callable[[str], None]) -> None:
    """Do what ``signxai cluster`` was asked for.

    Args:
        request: what to do.
        say: takes each line of the report.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: the store cannot be written.
    """
    store = Store(request.store)
    _refuse_without_places(store, request.of_places)
    for method in request.methods or tuple(store.methods):
        for target in _targets(store, method, request, say):
            found = cluster_maps(store, method, target, label=request.label, wrong=request.wrong, settings=request.settings)
            for line in _report(store, found):
                say(line)
    say(next_step(store))


def _refuse_without_places(store: Store, options: Sequence[str]) -> None:
    """Raise if it is said which places are alike, and the store's maps have none.

    Raises:
        OptionError: it is.
    """
    if options and all(isinstance(view, ValuesView) for view in parts_of(store.view).values()):
        raise OptionError(f"{options[0]}: goes with maps of pictures and signals, and those of {store.path} are lists of numbers")


def _targets(store: Store, method: str, request: ClusterRequest, say: Callable[[str], None]) -> list[int]:
    """The classes whose maps are looked at: the one that is named, or each with enough entries.

    Raises:
        InputError: none has.
    """
    if request.target is not None:
        return [store.class_of(request.target)]
    counts = {target: len(store.rows(target=target, label=request.label, wrong=request.wrong)) for target in classes_of(store, method)}
    enough = [target for target, count in counts.items() if count >= LEAST_ENTRIES]
    if not enough:
        raise InputError(f"{store.path}: no class of which at least {LEAST_ENTRIES} maps are as asked for")
    for target in sorted(set(counts) - set(enough)):
        say(f"{_class(store, target)}: {counts[target]} entries, too few for clusters")
    return enough


def _class(store: Store, target: int) -> str:
    return f"class {target} ({store.class_names[target]})" if target < len(store.class_names) else f"class {target}"


def _report(store: Store, found: Clusters) -> list[str]:
    sizes = found.sizes()
    alone = len(found.members(-1))
    counted = f"{len(found.rows)} entries" + (f", {alone} in no cluster" if alone else "")
    head = f"{found.method}, {_class(store, found.target)}: {counted}, eigengap after {found.eigengap()}, {_parts(len(sizes))}"
    return [head, *(_line(store, found, number) for number in sizes)]


def _parts(count: int) -> str:
    """How many clusters there are; where there are not several, what that means.

    >>> _parts(3), _parts(1)
    ('3 clusters', 'no groups: none of the maps lie closer together than the others, so all are one cluster')
    """
    if count > 1:
        return f"{count} clusters"
    return "no groups: none of the maps lie closer together than the others" + ", so all are one cluster" * count


def _line(store: Store, found: Clusters, number: int) -> str:
    """What is in a cluster, in a line."""
    members = found.members(number)
    others = np.setdiff1d(found.rows, members)
    traits = _traits(store, members, others)
    size = f"cluster {number}: {len(members)} {'entry' if len(members) == 1 else 'entries'} ({len(members) / len(found.rows):.1%})"
    return "; ".join([", ".join([size, *traits]), f"nearest its centre {', '.join(store.keys(found.nearest(number)))}"])


def _traits(store: Store, members: Rows, others: Rows) -> list[str]:
    """The labels, groups and predictions that are more frequent among some entries than among the others."""
    return [
        f"{kind} {value} {share:.0%}" + (f" (others {elsewhere:.0%})" if len(others) else "")
        for kind, values in _columns(store).items()
        for value, share, elsewhere in standing_out([values[row] for row in members], [values[row] for row in others])
    ]


def _columns(store: Store) -> dict[str, list[str]]:
    """What is known of each entry, by what it is called."""
    columns: dict[str, list[str]] = {}
    if "label" in store:
        columns["label"] = [_name(store, value) for value in store.array("label").tolist()]
    if "group" in store:
        columns["group"] = [str(value) for value in store.array("group")]
    if store.predicts_classes:
        columns["predicted"] = [_name(store, value) for value in store.predictions().tolist()]
    return columns


def _name(store: Store, value: int | str) -> str:
    """The name of a class, or its number; of a label that is none, itself."""
    if isinstance(value, str):
        return value
    return store.class_names[value] if 0 <= value < len(store.class_names) else str(value)
