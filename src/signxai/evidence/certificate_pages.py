"""A certificate as text: of one sample on one screen, of several as a table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from signxai.evidence.certificate_words import said_of_turned_signs, signed
from signxai.evidence.certified_sample import CertifiedSample, Check, Place
from signxai.evidence.options import FloatArray

__all__ = ["page_of_one", "page_of_several", "values_of"]

_WIDTH = 118
_VERDICTS = {True: "pass", False: "FAIL", None: "-"}
_INDENT = " " * 6
_ABOUT = "The checks are about the map, not about whether the decision is right."
_PARTIAL = " (partial: interrupted before the rest)"


def page_of_one(method: str, sample: CertifiedSample) -> str:
    """The certificate of one sample: two lines for each check, and the places that absorb most."""
    head = f"{method}, {sample.target}, sample {sample.number}: {_counted(sample)}"
    checks = [line for check in sample.checks for line in _of_check(check)]
    turned = _wrapped(said_of_turned_signs(sample.other_start), "") if sample.signs_turned else []
    return "\n".join([head, *turned, "", *checks, *_of_places(sample.places), _ABOUT])


def _counted(sample: CertifiedSample) -> str:
    passed, failed, silent = (sample.count(verdict) for verdict in (True, False, None))
    told = f"{passed} checks pass, {failed} {'fails' if failed == 1 else 'fail'}"
    told += f", {silent} {'does' if silent == 1 else 'do'} not apply" if silent else ""
    return told + (_PARTIAL if sample.is_partial else "")


def _of_check(check: Check) -> Iterator[str]:
    value = "" if check.value is None else f"{check.value:.3g}"
    limit, source = ("no verdict", "") if check.passed is None else (check.limit, check.source)
    yield f"{_VERDICTS[check.passed]:5} {check.name:22} {value:>9}  {limit:15} {source}".rstrip()
    yield from _wrapped(check.sentence, _INDENT)


def _of_places(places: Sequence[Place]) -> Iterator[str]:
    if places:
        told = "; ".join(f"{place.place} ({place.operation}) {signed(place.absorbed)}" for place in places)
        yield from _wrapped(f"Most is absorbed by {told}", "")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=_INDENT, break_on_hyphens=False)


def page_of_several(method: str, samples: Sequence[CertifiedSample]) -> str:
    """The certificate of several samples: a line for each check."""
    names = list(dict.fromkeys(check.name for sample in samples for check in sample.checks))
    width = max(map(len, names), default=0)
    good = sum(not sample.count(False) and not sample.is_partial for sample in samples)
    partial = _PARTIAL if any(sample.is_partial for sample in samples) else ""
    head = f"{method}: {good} of {len(samples)} samples pass every check that applies to them{partial}"
    columns = f"{'':{width}}  {'pass':>5} {'FAIL':>5} {'-':>5} {'median':>10} {'least':>10} {'largest':>10} (its sample)"
    rows = [_row(samples, name, width) for name in names]
    turned = [sample for sample in samples if sample.signs_turned]
    told = _wrapped(f"{len(turned)} of {len(samples)} samples. {said_of_turned_signs(turned[0].other_start)}", "") if turned else []
    return "\n".join([head, *told, "", columns, *rows, "", _ABOUT])


def _row(samples: Sequence[CertifiedSample], name: str, width: int) -> str:
    verdicts = [check.passed for sample in samples for check in sample.checks if check.name == name]
    counts = " ".join(f"{sum(verdict is kind for verdict in verdicts):5}" for kind in (True, False, None))
    values = values_of(samples, name)
    if np.isnan(values).all():
        return f"{name:{width}}  {counts}"
    numbers = np.nanmedian(values), np.nanmin(values), np.nanmax(values)
    largest = samples[int(np.nanargmax(values))].number
    return f"{name:{width}}  {counts} {' '.join(f'{number:10.3g}' for number in numbers)} {largest:12}"


def values_of(samples: Sequence[CertifiedSample], name: str) -> FloatArray:
    """What a check measured of each sample (N,); NaN where it measured nothing."""
    found = [[check.value for check in sample.checks if check.name == name] for sample in samples]
    return np.array([math.nan if not own or own[0] is None else own[0] for own in found], dtype=np.float64)
