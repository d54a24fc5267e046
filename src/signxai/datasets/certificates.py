"""Certificates of maps in a store: made of its entries by the model of its run, and kept beside the run's arrays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from signxai.common.errors import StoreError
from signxai.datasets.store_checks import BROKEN, METADATA
from signxai.evidence.certificate import Certificate
from signxai.evidence.certified_sample import CertifiedSample, Check, Place
from signxai.evidence.criteria import CRITERIA
from signxai.files import write_atomically

__all__ = ["certificates_in", "certified", "write_certificates"]

FOLDER = "certificate"


def certified(path: Path) -> list[str]:
    """The methods of which a store has certificates, in the order of their names.

    Args:
        path: of the store.
    """
    return sorted(file.parent.name for file in (path / FOLDER).glob(f"*/{METADATA}"))


def certificates_in(path: Path, method: str, keys: Iterable[str]) -> dict[int, Certificate]:
    """The certificates that a store has of a method, by the index of the entry, ascending.

    Args:
        path: of the store.
        method: whose maps.
        keys: what its entries are called.

    Raises:
        StoreError: they are broken, or of other entries.
    """
    file = path / FOLDER / method / METADATA
    if not file.exists():
        return {}
    names = list(keys)
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["attributes"]["rows"]
        found = {_index(row, names): Certificate(method, (_sample(row),)) for row in rows}
    except (OSError, *BROKEN) as error:
        said = str(error) or type(error).__name__
        raise StoreError(
            f"{file}: certificates are broken ({said}); remove this folder, and make them anew by `signxai certify --store`"
        ) from error
    return dict(sorted(found.items()))


def _index(row: Mapping[str, Any], keys: list[str]) -> int:
    """The entry that a row is of.

    Raises:
        ValueError: the store calls it otherwise.
    """
    index = row["sample"]
    if not isinstance(index, int) or not 0 <= index < len(keys) or keys[index] != row["key"]:
        raise ValueError(f"one is of the entry {index} and calls it {row['key']!r:.80}, which is none of the store")
    return index


def _sample(row: Mapping[str, Any]) -> CertifiedSample:
    """What ``CertifiedSample.to_dict`` made a row of.

    Raises:
        LookupError, TypeError, ValueError: it made none of this.
    """
    checks = tuple(Check(**check) for check in row["checks"])
    if [check.name for check in checks] != list(CRITERIA):
        raise ValueError("checks are missing, or unknown to this version of signxai")
    return CertifiedSample(row["sample"], row["target"], checks, tuple(Place(**place) for place in row["places"]))


def write_certificates(path: Path, method: str, found: Mapping[int, Certificate], keys: list[str]) -> None:
    """Write certificates into a store, beside their place first, then renamed; earlier ones of other entries stay.

    Args:
        path: of the store, which the caller has locked.
        method: whose maps.
        found: by the index of the entry.
        keys: what all entries are called.

    Raises:
        StoreError: earlier ones are broken.
        OSError: they cannot be written.
    """
    held = certificates_in(path, method, keys) | dict(found)
    rows = [{"key": keys[index], **own.samples[0].to_dict()} for index, own in sorted(held.items())]
    folder = path / FOLDER / method
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically({path / FOLDER / METADATA: partial(_write, attributes={})})
    write_atomically({folder / METADATA: partial(_write, attributes={"rows": rows})})


def _write(path: Path, attributes: Mapping[str, Any]) -> None:
    content = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
