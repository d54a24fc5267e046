"""From the scores of single maps to the numbers that are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from localization.measures import Estimate, FloatArray, mean_over_beats, odds_apart, odds_over
from localization.methods import FAMILY_OF, NOISE, REFERENCE, factor, without_sign

Scores = Mapping[str, Sequence[FloatArray]]
"""From a method to what its maps score, of each patient (beats, 3): share, pointing, and 1 where nothing is positive."""

SHARE, POINTING, EMPTY = range(3)

_Values = list[FloatArray]  # of each patient, (beats,)


def of_methods(found: Scores) -> list[dict[str, Any]]:
    """What each method's maps score; the noises and the gradient must be among them."""
    return [_of_method(method, found) for method in found]


def _of_method(method: str, found: Scores) -> dict[str, Any]:
    share, pointing, noise = _column(found, method, SHARE), _column(found, method, POINTING), _noise(found, method)
    empty = int(sum(values.sum() for values in _column(found, method, EMPTY)))
    return {
        "method": method,
        "family": FAMILY_OF[method],
        "factor": factor(method),
        "maps without positive relevance": empty,
        "share": _estimate(mean_over_beats(share), share) | _minus_reference(share, _column(found, REFERENCE, SHARE)),
        "odds over noise": asdict(odds_over(share, noise)),
        "pointing": _estimate(mean_over_beats(pointing), pointing) | _minus_reference(pointing, _column(found, REFERENCE, POINTING)),
    }


def of_sign(found: Scores) -> list[dict[str, Any]]:
    """What SIGN changes, beat by beat: differences to its twin without SIGN, and by how much the odds over noise are multiplied."""
    twins = {method: plain for method in found if (plain := without_sign(method)) is not None and plain in found}
    return [{"method": method, "without SIGN": plain, **_apart(method, plain, found)} for method, plain in twins.items()]


def _apart(method: str, plain: str, found: Scores) -> dict[str, Any]:
    result = {}
    for measure, column in (("share", SHARE), ("pointing", POINTING)):
        own, other = _column(found, method, column), _column(found, plain, column)
        result[measure] = asdict(mean_over_beats(_less(own, other))) | {"patients above": _above(_means(own), _means(other))}
    own, noise = _column(found, method, SHARE), _noise(found, method)
    other, other_noise = _column(found, plain, SHARE), _noise(found, plain)
    above = _above(_odds(own, noise), _odds(other, other_noise))
    result["odds over noise"] = asdict(odds_apart(own, noise, other, other_noise)) | {"patients above": above}
    return result


def _column(found: Scores, method: str, column: int) -> _Values:
    return [values[:, column] for values in found[method]]


def _noise(found: Scores, method: str) -> _Values:
    """The shares of the noise that has the same factor as the method's maps."""
    return _column(found, NOISE[factor(method)], SHARE)


def _estimate(estimate: Estimate, patients: _Values) -> dict[str, Any]:
    return asdict(estimate) | {"of each patient": [round(mean, 4) for mean in _means(patients)]}


def _minus_reference(own: _Values, reference: _Values) -> dict[str, Any]:
    return {f"minus {REFERENCE}": asdict(mean_over_beats(_less(own, reference)))}


def _less(own: _Values, other: _Values) -> _Values:
    return [a - b for a, b in zip(own, other, strict=True)]


def _means(patients: _Values) -> list[float]:
    return [float(values.mean()) for values in patients]


def _odds(patients: _Values, noise: _Values) -> list[float]:
    """Over noise, of each patient; very large where all relevance lies inside."""
    pairs = zip(_means(patients), _means(noise), strict=True)
    return [own * (1 - of_noise) / max((1 - own) * of_noise, 1e-300) for own, of_noise in pairs]


def _above(own: Sequence[float], other: Sequence[float]) -> int:
    return sum(a > b for a, b in zip(own, other, strict=True))
