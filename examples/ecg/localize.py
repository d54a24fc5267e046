"""Measure whether the relevance of ventricular beats lies where these differ from normal ones: in the QRS complex.

    python examples/ecg/localize.py DATABASE --output docs

DATABASE is a folder of WFDB records. Explained is the class V of all V beats of DS2 (patients that the network has never
seen) which it classifies correctly. Each method is scored by two measures of every beat's map:

- share: the part of the positive relevance, of both leads, that lies within 100 ms of the beat's annotation
  (`signxai.evidence.relevance_mass`);
- pointing: whether the sample of the largest relevance lies there (`signxai.evidence.pointing_game`).

A map that is the same everywhere scores the window's part of the samples in both: that is chance. The QRS complex is where a
trace is large, so that whatever is multiplied with the input has more of itself there: the odds of each share are also given as
a multiple of the odds of noise with the same factor (the input, its sign, or none). A map without positive relevance points
nowhere and scores 0; such maps are counted. Scores are means over beats; their 95 % intervals are those of a bootstrap over
patients, because beats of one patient are alike.

With --output, that folder's ecg.md gets the tables, its images/ the figure, and localization.json beside this script the
numbers; without it the tables are printed. The same machine gives the same numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from document import filled
from localization.measures import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    WITHIN_S,
    BoolArray,
    FloatArray,
    qrs_window,
    without_positive,
)
from localization.methods import METHODS, with_references
from localization.numbers import Scores, of_methods, of_sign
from localization.report import figure_of, tables
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm
from train import DS2

import signxai
from signxai.evidence import pointing_game, relevance_mass
from signxai.files import write_atomically
from signxai.methods.sign import calculate_sign_mu
from signxai.names.grammar import MethodSpec, Multiplier, parse_method
from signxai.timeseries import beat_windows, read_signal
from signxai.timeseries.beat_network import AFTER_S, BEAT_CLASSES, BEFORE_S, SAMPLING_RATE, BeatNetwork, prepare_for_beats

TARGET = BEAT_CLASSES.index("V")
BATCH = 128
NUMBERS = Path(__file__).with_name("localization.json")
PLACE, PICTURE = "localization", "ecg_localization.png"


# What is explained


@dataclass(frozen=True)
class Patient:
    """The V beats of a record that the network classifies correctly, as it reads them, (beats, 2, samples)."""

    record: str
    x: Tensor
    annotated: int


def load_network(weights: Path | None) -> nn.Module:
    """The network that is shipped, or the same with the weights of a training of one's own."""
    if weights is None:
        from signxai.timeseries import load_beat_network

        return load_beat_network()
    net = BeatNetwork()
    net.load_state_dict(load_file(weights))
    return net.eval()


def patients_of(database: Path, records: Sequence[str], net: nn.Module, limit: int | None) -> list[Patient]:
    """The records with V beats that the network finds, each with at most `limit` of them."""
    patients = []
    for record in tqdm(records, desc="reading", disable=None):
        x = ventricular_beats(database, record)
        found = x[is_target(net, x)]
        if len(found):
            patients.append(Patient(record, found[:limit], len(x)))
    return patients


def ventricular_beats(database: Path, record: str) -> Tensor:
    """The V beats of a record as the network reads them, (beats, 2, samples)."""
    prepared = prepare_for_beats(read_signal(database / record))
    windows = beat_windows(prepared.signal, BEFORE_S, AFTER_S)
    chosen = [name == BEAT_CLASSES[TARGET] for name in windows.beats.classes]
    return torch.from_numpy(prepared.normalization.apply(windows.values)[chosen].astype(np.float32))


@torch.no_grad()
def is_target(net: nn.Module, x: Tensor) -> Tensor:
    """Whether each beat is classified as V, (beats,)."""
    return torch.cat([net(part).argmax(1) == TARGET for part in x.split(BATCH)])  # of no beats, one part without any


def maps_of(net: nn.Module, x: Tensor, methods: Sequence[str], seed: int = 0) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Each method's maps, as `signxai.explain` gives them; what differs by multipliers alone is computed once."""
    shared: dict[MethodSpec, npt.NDArray[Any]] = {}
    for method in methods:
        spec = parse_method(method)
        base = replace(spec, multipliers=())
        if base not in shared:
            shared[base] = np.asarray(signxai.explain(net, x, base, TARGET, batch_size=BATCH, seed=seed))
        yield method, _multiplied(shared[base], x.numpy(), spec.multipliers)


def _multiplied(relevance: npt.NDArray[Any], x: npt.NDArray[Any], multipliers: Sequence[Multiplier]) -> npt.NDArray[Any]:
    for multiplier in multipliers:
        relevance = relevance * (x if multiplier.kind == "input" else calculate_sign_mu(x, multiplier.mu or 0.0))
    return relevance


# What the maps score


def scores(maps: npt.ArrayLike, inside: BoolArray) -> FloatArray:
    """What each map scores, (beats, 3), as `Scores` has it; leads are added up for the share, and the largest of them points."""
    return np.stack([relevance_mass(maps, inside), pointing_game(maps, inside), without_positive(maps)], axis=1)


def measured(net: nn.Module, patients: Sequence[Patient], methods: Sequence[str]) -> Scores:
    found: dict[str, list[FloatArray]] = {method: [] for method in methods}
    beats = sum(len(patient.x) for patient in patients)
    seeds = count()  # each batch has noise of its own
    with tqdm(total=beats * len(methods), desc="explaining", unit=" maps", disable=None) as progress:
        for patient in patients:
            parts: dict[str, list[FloatArray]] = {method: [] for method in methods}
            for x in patient.x.split(BATCH):
                for method, maps in maps_of(net, x, methods, next(seeds)):
                    parts[method].append(scores(maps, _inside(patient)))
                    progress.update(len(x))
            for method in methods:
                found[method].append(np.concatenate(parts[method]))
    return found


def _inside(patient: Patient) -> BoolArray:
    return qrs_window(patient.x.shape[-1], round(BEFORE_S * SAMPLING_RATE), SAMPLING_RATE)


def numbers(patients: Sequence[Patient], found: Scores) -> dict[str, Any]:
    """All that was found, for JSON; shares are parts of 1."""
    return {
        "explained class": BEAT_CLASSES[TARGET],
        "window": f"annotation +- {1000 * WITHIN_S:g} ms, both leads",
        "chance": float(_inside(patients[0]).mean()),
        "interval": f"{CONFIDENCE:.0%}, percentile bootstrap over patients, {RESAMPLES} resamples, seed {SEED}",
        "patients": [{"record": patient.record, "V beats": patient.annotated, "explained": len(patient.x)} for patient in patients],
        "methods": of_methods(found),
        "sign": of_sign(found),
    }


# Files


def report_writers(found: Mapping[str, Any], output: Path) -> dict[Path, Callable[[Path], Any]]:
    """For the document and its figure, what writes them."""
    text = document_with(tables(found), output)
    return {
        output / "ecg.md": partial(Path.write_text, data=text, encoding="utf-8"),
        output / "images" / PICTURE: figure_of(found).savefig,
    }


def document_with(content: str, output: Path) -> str:
    return filled((output / "ecg.md").read_text(encoding="utf-8"), PLACE, content)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path, nargs="?", help="not with --redraw")
    parser.add_argument("--output", type=Path, help="folder with ecg.md and images/")
    parser.add_argument("--numbers", type=Path, default=NUMBERS, help="where the numbers go with --output (default: beside this script)")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; take the numbers of the last time")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, metavar="METHOD", default=METHODS, help="measure these, the noises and the gradient"
    )
    parser.add_argument("--limit", type=int, help="explain at most so many beats of each record, for a quick look")
    parser.add_argument("--records", nargs="+", default=DS2, help="others than those of DS2")
    parser.add_argument("--weights", type=Path, help="of a training of your own (default: those that are shipped)")
    options = parser.parse_args(arguments)
    if options.redraw == (options.database is not None) or (options.redraw and options.output is None):
        parser.error("give either the folder of records, or --redraw with --output")
    if options.redraw:
        write_atomically(report_writers(json.loads(options.numbers.read_text(encoding="utf-8")), options.output))
        return
    if options.output is not None:
        document_with("", options.output)  # that there is no place for the tables is known before they are
    torch.use_deterministic_algorithms(True)
    net = load_network(options.weights)
    patients = patients_of(options.database, options.records, net, options.limit)
    if len(patients) < 2:
        parser.error("the network finds V beats of fewer than two patients: nothing can be said of others")
    found = numbers(patients, measured(net, patients, with_references(options.methods)))
    if options.output is None:
        print(tables(found))
        return
    content = json.dumps(found, indent=1) + "\n"
    write_atomically({options.numbers: partial(Path.write_text, data=content, encoding="utf-8"), **report_writers(found, options.output)})


if __name__ == "__main__":
    main()
