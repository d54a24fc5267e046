"""Measure how well R peaks are found, record by record, and what becomes of ventricular beats whose window is put about a found peak.

    python examples/ecg/detect.py DATABASE
    python examples/ecg/detect.py DATABASE --document docs/ecg.md

DATABASE is a folder of WFDB records. A found peak belongs to an annotated beat if they are at most 150 ms apart (ANSI/AAMI EC57), each to
one. Every beat counts from the first second on; of ventricular flutter, which has no beats, nothing counts. The detectors and their
votes were chosen on the records of DS1 alone.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from document import filled, table
from tqdm import tqdm
from train import DS1, DS2

from signxai.files import write_atomically
from signxai.timeseries import (
    BEAT_CLASSES,
    Beats,
    Signal,
    beat_windows,
    detect_beats,
    load_beat_network,
    prepare_for_beats,
    read_signal,
)
from signxai.timeseries.beat_network import AFTER_S, BEFORE_S
from signxai.timeseries.packages import package

WITHIN_S, NEAR_S = 0.15, 0.05
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """What was found of some beats; counts add up.

    Attributes:
        found, missed, wrong: annotated beats that were found or not, and peaks that belong to no beat.
        ventricular: V beats that have a window about their annotation.
        at_annotation, at_peak, at_both: how many of these the network calls V about the annotation, about the found peak, about both.
        near: found beats whose peak lies within 50 ms of the annotation, where the QRS complex is.
    """

    found: int = 0
    missed: int = 0
    wrong: int = 0
    ventricular: int = 0
    at_annotation: int = 0
    at_peak: int = 0
    at_both: int = 0
    near: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def pairs(annotated: IntArray, found: IntArray, within: float) -> Iterator[tuple[int, int]]:
    """Which annotated beat and which found peak belong together: each beat to the nearest that is left, in the order of their distance."""
    near = [(abs(int(found[k]) - int(at)), i, k) for i, at in enumerate(annotated) for k in _around(found, at, within)]
    beats, peaks = set[int](), set[int]()
    for _, beat, peak in sorted(near):
        if beat not in beats and peak not in peaks:
            beats.add(beat)
            peaks.add(peak)
            yield beat, peak


def _around(found: IntArray, at: int, within: float) -> range:
    return range(*(int(np.searchsorted(found, place, side)) for place, side in ((at - within, "left"), (at + within, "right"))))


def flutter(header: Path) -> list[tuple[int, int]]:
    """Where ventricular flutter begins and ends, in samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        marks = package("wfdb", "reading annotations").rdann(str(header.with_suffix("")), "atr")
    begins, ends = ([at for at, symbol in zip(marks.sample, marks.symbol, strict=True) if symbol == mark] for mark in "[]")
    return list(zip(begins, ends, strict=True))


def outside(positions: IntArray, stretches: Sequence[tuple[int, int]], room: float) -> npt.NDArray[np.bool_]:
    """Which positions lie in none of the stretches."""
    return ~np.any([(positions >= begin - room) & (positions <= end + room) for begin, end in stretches] or [positions < 0], axis=0)


def called_v(signal: Signal, positions: IntArray) -> list[bool | None]:
    """Whether the network calls beats at these positions of a prepared signal V; None where there is no room for a window."""
    order = np.argsort(positions, kind="stable")
    about = beat_windows(signal.with_beats(Beats(positions[order], "?" * len(order))), BEFORE_S, AFTER_S)
    found: list[bool | None] = [None] * len(positions)
    with torch.no_grad():
        for start in range(0, len(about), 512):
            windows = torch.from_numpy(about.values[start : start + 512].astype(np.float32))
            for place, number in zip(about.indices[start:], load_beat_network()(windows).argmax(1).tolist(), strict=False):
                found[order[place]] = number == BEAT_CLASSES.index("V")
    return found


def measured(header: Path) -> Counts:
    """The counts of a record."""
    signal = read_signal(header)
    rate, stretches = signal.sampling_rate, flutter(header)
    assert signal.beats is not None
    annotated = signal.beats.select(outside(signal.beats.positions, stretches, 0))
    found = detect_beats(signal).positions
    found = found[outside(found, stretches, WITHIN_S * rate)]
    together = np.array(sorted(pairs(annotated.positions, found, WITHIN_S * rate)), dtype=np.int64)
    apart = np.abs(annotated.positions[together[:, 0]] - found[together[:, 1]])
    counts = Counts(len(together), len(annotated) - len(together), len(found) - len(together), near=int((apart <= NEAR_S * rate).sum()))
    return counts + of_ventricular(signal, annotated, found, dict(together.tolist()))


def of_ventricular(signal: Signal, annotated: Beats, found: IntArray, together: Mapping[int, int]) -> Counts:
    """What the network calls V beats about their annotation, and about the peak that was found."""
    prepared = prepare_for_beats(signal)
    values = replace(prepared.signal, values=prepared.values)
    v = [beat for beat, name in enumerate(annotated.classes) if name == "V"]
    if not v:
        return Counts()
    right = dict(zip(v, called_v(values, annotated.positions[v]), strict=True))
    peaks = [beat for beat in v if beat in together]
    moved = dict(zip(peaks, called_v(values, found[[together[beat] for beat in peaks]]), strict=True))
    rows = [(right[beat], bool(moved.get(beat))) for beat in v if right[beat] is not None]
    return Counts(
        ventricular=len(rows),
        at_annotation=sum(bool(one) for one, _ in rows),
        at_peak=sum(other for _, other in rows),
        at_both=sum(bool(one) and other for one, other in rows),
    )


HEADER = (
    "record",
    "beats",
    "missed",
    "wrong",
    "sensitivity",
    "precision",
    "V beats",
    "V about annotation",
    "V about peak",
    "V about both",
    "within 50 ms",
)


def row(name: str, counts: Counts) -> list[str]:
    beats = counts.found + counts.missed
    rates = _percent(counts.found, beats), _percent(counts.found, counts.found + counts.wrong)
    of_v = counts.ventricular, counts.at_annotation, counts.at_peak, counts.at_both
    return [name, *map(str, (beats, counts.missed, counts.wrong)), *rates, *map(str, of_v), _percent(counts.near, counts.found)]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else ""


def report(database: Path) -> str:
    parts = []
    for name, records in (("DS1", DS1), ("DS2", DS2)):
        found = {record: measured(database / f"{record}.hea") for record in tqdm(records, desc=name, disable=None)}
        rows = [row(record, counts) for record, counts in found.items()]
        rows.append([f"**{cell}**" if cell else "" for cell in row(f"all of {name}", sum(found.values(), Counts()))])
        parts.append(table(HEADER, rows))
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("--document", type=Path, help="whose table is written anew; without it the tables are printed")
    options = parser.parse_args(arguments)
    found = report(options.database)
    if options.document is None:
        print(found)
        return
    text = filled(options.document.read_text(encoding="utf-8"), "detection", found)
    write_atomically({options.document: partial(Path.write_text, data=text, encoding="utf-8")})


if __name__ == "__main__":
    main()
