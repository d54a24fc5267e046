"""R peaks found where nobody annotated any: detectors of the package neurokit2, leads and detectors voting together."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError
from signxai.timeseries.beats import UNCLASSIFIED, Beats
from signxai.timeseries.checks import find_gaps
from signxai.timeseries.packages import package, warnings_ignored
from signxai.timeseries.signals import VOLTS, Signal

__all__ = ["DETECTOR", "detect_beats", "voltage_leads"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# The first places R peaks best, the others lag behind. Each has the filter that it was made for; chosen on the 22 records of DS1 of the
# MIT-BIH Arrhythmia Database, see docs/ecg.md.
_METHODS = {"neurokit": "neurokit", "elgendi2010": "elgendi2010", "kalidas2017": "neurokit", "pantompkins1985": "pantompkins1985"}
DETECTOR = f"neurokit2: {', '.join(_METHODS)}, by majority"
"""What finds the beats, in words."""

_SHORTEST_S = 5.0
_APART_S, _NEAR_S = 0.125, 0.1
_ENOUGH = 0.5  # of all votes
_LEAST_RATE = 100.0
# Of the first seven minutes of each of 32 records of the MIT-BIH Arrhythmia Database the least is 9.6; noise has 1.0 to 1.8.
_LEAST_STANDING_OUT = 3.0
_WIDTH_S = 0.06
_PURPOSE = "finding R peaks"
# What the detectors raise where nothing rises above their thresholds; the others' votes count as ever.
_FINDS_NOTHING = (ValueError, IndexError)


def detect_beats(signal: Signal) -> Beats:
    """Find the R peaks of an ECG; what kind of beats they are is not told.

    What is found must stand out from what lies midway between: noise has peaks, too, and of a heart that beats 200 times a minute
    or more the detectors find every second beat. In pauses there may be beats that are none.

    Args:
        signal: without gaps, at least 5 s long and sampled at 100 Hz; leads that are no voltage, or do not move, are left out.

    Returns:
        The beats, of the origin "detected", with the symbol "?".

    Raises:
        InputError: no lead of voltage that moves, gaps, a signal that is too short or too coarse, no beat in it or none that
            stands out, or neurokit2 is missing.
    """
    leads = voltage_leads(signal)
    if gaps := find_gaps(leads):
        raise InputError(f"{_name(signal)}: R peaks are not found across the gap in {gaps[0]}; use a stretch without one (between)")
    if signal.duration < _SHORTEST_S:
        raise InputError(f"{_name(signal)}: {signal.duration:g} s are too short to find R peaks; at least {_SHORTEST_S:g} s are needed")
    if signal.sampling_rate < _LEAST_RATE:
        raise InputError(f"{_name(signal)}: is sampled at {signal.sampling_rate:g} Hz; R peaks are found from {_LEAST_RATE:g} Hz on")
    moving = [lead for lead in leads.values if np.ptp(lead) > 0]
    if not moving:
        raise InputError(f"{_name(signal)}: no lead moves, so that there are no R peaks")
    by_lead = [list(_found(lead, signal.sampling_rate)) for lead in moving]
    positions = _agreed([found for of_detector in zip(*by_lead, strict=True) for found in of_detector], signal.sampling_rate)
    if not positions.size:
        raise InputError(f"{_name(signal)}: no R peaks found in {', '.join(leads.lead_names)}; give the beats, if there are any")
    if len(positions) > 1 and max(_standing_out(lead, positions, signal.sampling_rate) for lead in moving) < _LEAST_STANDING_OUT:
        raise InputError(
            f"{_name(signal)}: what may be R peaks in {', '.join(leads.lead_names)} does not stand out from what lies between: noise, or a "
            "heart of 200 beats a minute or more, half of which would be missed; choose other leads, or give the beats"
        )
    return Beats(positions, UNCLASSIFIED * len(positions), origin="detected")


def voltage_leads(signal: Signal) -> Signal:
    """The leads in which there may be R peaks.

    Raises:
        InputError: no lead is in a unit of voltage.

    >>> voltage_leads(Signal([[0.0, 1.0], [16.0, 17.0]], ["II", "Resp"], ["mV", "ohm"], 2.0)).lead_names
    ('II',)
    """
    units = dict(zip(signal.lead_names, signal.units, strict=True))
    names = [name for name, unit in units.items() if unit in VOLTS]
    if not names:
        said = ", ".join(f"{name} ({unit})" for name, unit in units.items())
        raise InputError(f"{_name(signal)}: R peaks are found in leads of voltage, and none of {said} is")
    return signal.choose_leads(*names)


def _name(signal: Signal) -> str:
    return signal.name or "signal"


def _found(lead: FloatArray, rate: float) -> Iterator[IntArray]:
    """What each detector finds in a lead."""
    neurokit2 = package("neurokit2", _PURPOSE)
    for method, cleaning in _METHODS.items():
        try:
            with warnings_ignored():
                cleaned = neurokit2.ecg_clean(lead, sampling_rate=rate, method=cleaning)
                _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=rate, method=method)
            yield np.unique(np.asarray(found["ECG_R_Peaks"], dtype=np.int64))
        except _FINDS_NOTHING:
            yield np.zeros(0, dtype=np.int64)


def _standing_out(lead: FloatArray, positions: IntArray, rate: float) -> float:
    """How many times what lies midway between beats the beats are, at the frequencies of QRS complexes (8 to 20 Hz)."""
    strength = np.abs(package("neurokit2", _PURPOSE).ecg_clean(lead, sampling_rate=rate, method="elgendi2010"))
    around = np.arange(-round(_WIDTH_S * rate), round(_WIDTH_S * rate) + 1)

    def usual(places: IntArray) -> float:
        return float(np.median(strength[np.clip(places[:, None] + around, 0, len(strength) - 1)].max(axis=1)))

    return usual(positions) / (usual((positions[1:] + positions[:-1]) // 2) or np.finfo(float).tiny)


def _agreed(found: Sequence[IntArray], rate: float) -> IntArray:
    """Where enough detectors find a beat in enough leads.

    Peaks that follow each other closely are one, at the place of the first voter that lies near the median of all.

    >>> _agreed([np.array([100, 300]), np.array([96, 500]), np.array([110, 302])], rate=100.0)
    array([100, 300])
    """
    places, voters = np.concatenate(found), np.repeat(np.arange(len(found)), [len(each) for each in found])
    if not places.size:
        return places
    order = np.argsort(places, kind="stable")
    places, voters = places[order], voters[order]
    beat = np.concatenate([[0], np.cumsum(np.diff(places) > _APART_S * rate)])
    votes = np.bincount(np.unique(beat * len(found) + voters) // len(found))
    medians = places[np.searchsorted(beat, np.arange(len(votes))) + np.bincount(beat) // 2]
    near = np.flatnonzero(np.abs(places - medians[beat]) <= _NEAR_S * rate)
    by_voter = near[np.lexsort((voters[near], beat[near]))]
    _, first = np.unique(beat[by_voter], return_index=True)
    return np.sort(places[by_voter][first][votes >= _ENOUGH * len(found)])
