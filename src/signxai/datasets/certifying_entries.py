"""Certifying what a store holds: the maps of its entries, by the model and the options of its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from tqdm import tqdm

from signxai.common.errors import OptionError, StoreError
from signxai.common.terminals import bar_columns
from signxai.datasets.certificates import write_certificates
from signxai.datasets.entry_options import options_at, options_by_entry
from signxai.datasets.parts import parts_of
from signxai.datasets.plan import hash_of_structure, hash_of_weights, text_of_option
from signxai.datasets.store import Picked, Store
from signxai.datasets.store_writer import StoreWriter, indices_of
from signxai.evidence.certificate import Certificate
from signxai.evidence.certified_gain import Removing
from signxai.evidence.certifying import Certification
from signxai.evidence.options import count
from signxai.methods.explainer import spec_of, takes
from signxai.models import Classifier

__all__ = ["certify_entries", "most_absorbed"]

_OF_THE_RUN = ("stochastic", "forward_kwargs")
_TOLERANCE = 0.01
"""Of its norm: so far may a map be from the stored one, which another batch, device or 16 bits rounded otherwise."""


def certify_entries(
    store: Store | str | Path,
    model: nn.Module | Classifier,
    method: str,
    rows: Picked | None = None,
    *,
    thresholds: Mapping[str, float] | None = None,
    srg: bool = True,
    srg_steps: int = 10,
    output: Callable[[Any], Tensor] | None = None,
    progress: bool = False,
    **options: Any,
) -> dict[int, Certificate]:
    """Say of entries of a store how far their maps may be trusted, as ``signxai.certify`` does, and keep that in the store.

    What is certified is the map that the run has stored: the model must be that of the run, its options are taken from there, and a map
    that comes out otherwise is refused. The arrays of the run are not touched. Ctrl-C keeps the certificates that are whole.

    Args:
        store: with its inputs.
        model: that of the run, or its classifier.
        method: whose maps.
        rows: entries by their indices, a mask (N,) or a slice; None: all that were explained.
        thresholds, srg, srg_steps: as for ``signxai.certify``.
        output: as the run had it; None: as the classifier says.
        progress: whether a bar shows what is done and left, on standard error.
        **options: those of the run that the store cannot hold: arrays and functions.

    Returns:
        The certificate of each entry, by its index.

    Raises:
        StoreError: a run writes to the store, it is of another model, or a map is not the stored one.
        OptionError: there is no such method or entry, one was not explained, inputs are not there, or options are not those of the run.
        OSError: the store cannot be written.
    """
    path = store.path if isinstance(store, Store) else Path(store)
    opened = Store(path)  # what is no store gets no lock beside it
    net, output = (model, output) if isinstance(model, nn.Module) else (model.model, output or model.output)
    chosen = _rows(opened, method, rows)
    _refuse_other_model(opened, net)
    how = _options(opened, method, options, output)
    removing = Removing(steps=count("srg_steps", srg_steps) if srg else 0)
    found: dict[int, Certificate] = {}
    with StoreWriter(path):
        try:
            for index in tqdm(chosen, desc="certifying", unit="entry", disable=not progress, ncols=bar_columns()):
                found[index] = _certificate(opened, net, method, index, thresholds, removing, options_at(how, [index]))
        finally:
            if found:
                write_certificates(path, method, found, opened.keys())
    return found


def most_absorbed(store: Store, method: str, number: int) -> list[int]:
    """The entries of whose relevance the largest share is absorbed on the way, or added, the most first.

    Args:
        store: of relevance maps.
        method: whose maps.
        number: how many entries, at most.

    Raises:
        OptionError: there is no such method, or the store does not know what it absorbs, as of methods that do not share relevance out.
    """
    _check_method(store, method)
    name = f"absorbed/{method}"
    if name not in store:
        raise OptionError(f"{store.path}: nothing says what {method} absorbs, which is no LRP; name the entries")
    rows = store.rows()
    absorbed = store.array(name, rows)
    starts = np.ones(len(rows))
    if store.run["options"].get("relevance") == "logit":
        starts = np.abs(store.logits_of_targets(rows))
    shares = np.abs(absorbed) / np.where(starts > 0, starts, 1)
    return [int(index) for index in rows[np.argsort(-shares, kind="stable")[:number]]]


def _check_method(store: Store, method: str) -> None:
    if method not in store.methods:
        raise OptionError(f"{store.path} has no {method!r}; it has {', '.join(store.methods)}")


def _rows(store: Store, method: str, rows: Picked | None) -> list[int]:
    """The entries that are certified, each once.

    Raises:
        OptionError: one is not there, or was not explained, or nothing can be explained anew.
    """
    _check_method(store, method)
    if "input" not in store:
        raise OptionError(f"{store.path} has no 'input', of which maps are explained anew; run with the inputs kept")
    explained = store.rows()
    if rows is None:
        return [int(index) for index in explained]
    chosen = list(dict.fromkeys((indices_of(rows, len(store), str(store.path)) % max(1, len(store))).tolist()))
    if lacking := [index for index in chosen if index not in explained]:
        raise OptionError(f"{store.path}: the entry {lacking[0]}, {store.keys([lacking[0]])[0]}, was not explained; name others")
    return chosen


def _refuse_other_model(store: Store, net: nn.Module) -> None:
    """Raise if a network is not that of the run.

    Raises:
        StoreError: it is not.
    """
    now = {"weights": hash_of_weights(net), "structure": hash_of_structure(net)}
    if other := [name for name, value in now.items() if name in store.run["model"] and store.run["model"][name] != value]:
        raise StoreError(
            f"{store.path}: is of another network, {store.run['model']['name']}: its {' and '.join(other)} are not those of this one; "
            "give the network of the run"
        )


def _options(store: Store, method: str, given: Mapping[str, Any], output: Callable[[Any], Tensor] | None) -> dict[str, Any]:
    """The options of the run that are about a method.

    Raises:
        OptionError: one that was given is not that of the run, or one that the store cannot hold was not given.
    """
    held: dict[str, Any] = store.run["options"]
    options = {**held, **given}
    for name, value in {**options, "output": output}.items():
        then = store.run["settings"].get("output") if name == "output" else held.get(name)
        if text_of_option(name, value) != then or (name not in given and _is_hashed(then)):
            raise OptionError(f"{store.path}: its run had {name}={then!r:.120}, which must be given as it was: {name}=...")
    spec = spec_of(method)
    own = {name: value for name, value in options.items() if takes(spec, name) or name in _OF_THE_RUN}
    first = parts_of(store.inputs([int(store.rows()[0])]))
    shapes = {name: part.shape[1:] for name, part in first.items()}
    by_entry = options_by_entry(own, len(store), shapes, int(store.run["settings"]["batch_size"]))
    return {**by_entry, "seed": store.run["settings"]["seed"], "output": output}


def _is_hashed(value: Any) -> bool:
    """Whether a store has only the hash of what an option was, or of a part of it."""
    if isinstance(value, Mapping):
        return "hash" in value or any(map(_is_hashed, value.values()))
    return isinstance(value, list) and any(map(_is_hashed, value))


def _certificate(
    store: Store,
    net: nn.Module,
    method: str,
    index: int,
    thresholds: Mapping[str, float] | None,
    removing: Removing,
    options: Mapping[str, Any],
) -> Certificate:
    target = store.array("target", [index])
    certification = Certification(net, store.inputs([index]), method, target, thresholds, removing, options)
    _refuse_other_map(store, method, index, certification)
    return Certificate(method, (replace(certification.sample(0), number=index),))


def _refuse_other_map(store: Store, method: str, index: int, certification: Certification) -> None:
    """Raise if an entry's map is not the one that the store has.

    Raises:
        StoreError: it is not.
    """
    stored, now = (np.concatenate([*_flat(maps)]) for maps in (store.relevance(method, [index]), certification.maps(0)))
    distance, size = np.linalg.norm(now - stored) if now.shape == stored.shape else np.inf, np.linalg.norm(stored)
    if not distance <= _TOLERANCE * size:
        raise StoreError(
            f"{store.path}: {method} of the entry {index}, {store.keys([index])[0]}, comes out otherwise than it is stored (by "
            f"{distance / size if size else np.inf:.2g} of its norm), so that nothing can be said of the stored map; was it made by "
            "another version or device?"
        )


def _flat(maps: Any) -> Iterator[npt.NDArray[np.float64]]:
    return (np.ravel(part).astype(np.float64) for part in parts_of(maps).values())
