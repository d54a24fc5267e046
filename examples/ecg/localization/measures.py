"""Where relevance is looked for, and how sure a mean over patients' beats is; what a map scores there, `signxai.evidence` says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap

from signxai.evidence import interval_mask

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

WITHIN_S = 0.1
RESAMPLES, CONFIDENCE, SEED = 9999, 0.95, 0


def qrs_window(samples: int, beat_at: int, sampling_rate: float) -> BoolArray:
    """True for the samples no farther than 100 ms from the beat's, (samples,)."""
    half = round(WITHIN_S * sampling_rate)
    return interval_mask([[(beat_at - half, beat_at + half + 1)]], samples)[0]


def without_positive(maps: npt.ArrayLike) -> FloatArray:
    """1 for each map without positive relevance, else 0, (beats,)."""
    return np.asarray(np.asarray(maps).max(axis=(1, 2)) <= 0, dtype=np.float64)


@dataclass(frozen=True)
class Estimate:
    """A mean, or a ratio of means, with its 95 % interval."""

    value: float
    low: float
    high: float


def mean_over_beats(patients: Sequence[FloatArray], *, resamples: int = RESAMPLES, seed: int = SEED) -> Estimate:
    """The mean over all beats of all patients, with the percentile interval of a bootstrap over patients.

    Patients are drawn with all of their beats: what is resampled is a ratio of sums over patients.

    Args:
        patients: values of each patient's beats, (beats,) with at least one, of at least two patients.
        resamples: how often as many patients are drawn.
        seed: of the draws, which are the same for any values of the same patients.
    """
    counts = np.array([float(len(values)) for values in patients])
    return _bootstrapped(_ratio, [_sums(patients), counts], resamples, seed)


def odds_over(patients: Sequence[FloatArray], noise: Sequence[FloatArray], *, resamples: int = RESAMPLES, seed: int = SEED) -> Estimate:
    """How many times the odds of noise the odds of maps are; odds are the mean share inside by the mean share outside.

    Noise that is multiplied with what a map is multiplied with has that factor's preference for the inside; what is more than
    1 is the method's own.

    Args:
        patients, noise: shares of each patient's beats, of a method's maps and of the noise, as for `mean_over_beats`.
        resamples, seed: likewise.
    """
    return _bootstrapped(_odds_ratio, [*_inside_and_outside(patients), *_inside_and_outside(noise)], resamples, seed)


def odds_apart(
    patients: Sequence[FloatArray],
    noise: Sequence[FloatArray],
    others: Sequence[FloatArray],
    others_noise: Sequence[FloatArray],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """How many times another method's odds over its noise a method's odds over its own noise are, as `odds_over`."""
    parts = [part for shares in (patients, noise, others, others_noise) for part in _inside_and_outside(shares)]
    return _bootstrapped(_ratio_of_odds_ratios, parts, resamples, seed)


def _sums(patients: Sequence[FloatArray]) -> FloatArray:
    return np.array([float(values.sum()) for values in patients])


def _inside_and_outside(patients: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    return _sums(patients), _sums([1.0 - values for values in patients])


def _ratio(above: FloatArray, below: FloatArray, axis: int = -1) -> FloatArray:
    return np.asarray(above.sum(axis=axis) / below.sum(axis=axis))


def _odds_ratio(inside: FloatArray, outside: FloatArray, noise_inside: FloatArray, noise_outside: FloatArray, axis: int = -1) -> FloatArray:
    return _ratio(inside, outside, axis) / _ratio(noise_inside, noise_outside, axis)


def _ratio_of_odds_ratios(*parts: FloatArray, axis: int = -1) -> FloatArray:
    return _odds_ratio(*parts[:4], axis=axis) / _odds_ratio(*parts[4:], axis=axis)


def _bootstrapped(statistic: Callable[..., FloatArray], of_patients: Sequence[FloatArray], resamples: int, seed: int) -> Estimate:
    result = bootstrap(
        of_patients, statistic, paired=True, vectorized=True, method="percentile", confidence_level=CONFIDENCE,
        n_resamples=resamples, random_state=np.random.default_rng(seed),
    )  # fmt: skip
    low, high = result.confidence_interval
    return Estimate(float(statistic(*of_patients)), float(low), float(high))
