"""Compare methods on beats of patients that the network ``ecg_beats`` has never seen.

    python examples/evidence/heart_beats.py MITDB --output docs

MITDB is a folder of the WFDB records of the MIT-BIH Arrhythmia Database. Explained are V beats (ventricular) and N beats (normal) of
the ten records of DS2: of each record as many as --beats, drawn by seed from those that the network tells, and --again of these where
a metric explains again. Maps are judged by metrics of all families; removed are windows of 50 ms of both leads, interpolated in time.
95 % intervals are those of a bootstrap over patients.

With --output, that folder's evidence_real.md gets the tables, its images/ the figures, and heart_beats.json beside this script all
numbers; without it the tables are printed. One thread computes; the same kind of machine with the same versions gives the same numbers.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from real_data.beats import DS2, Beats, beats_of, qrs_mask
from real_data.figures import agreement_figure, overview_figure
from real_data.methods import OF_BEATS, points_of
from real_data.study import Samples, Settings, measured
from real_data.tables import beat_tables
from real_data.written import as_json, versions, write
from torch import nn
from tqdm import tqdm

from signxai.evidence import Window
from signxai.timeseries import load_beat_network
from signxai.timeseries.beat_network import BEAT_CLASSES

CLASSES = ("V", "N")
BEATS, AGAIN, STEPS, POINTS, SENSITIVITY, SEED = 8, 2, 11, 20, 5, 0
WINDOW = 18
LEVELS = (0.01, 0.03, 0.1)
NUMBERS = Path(__file__).with_name("heart_beats.json")
FIGURES = {"evidence_beats_agreement.png": agreement_figure, "evidence_beats.png": overview_figure}


def settings_of(options: argparse.Namespace) -> Settings:
    """How the methods are compared."""
    few = {"samples": options.sensitivity}
    return Settings(
        methods=options.methods,
        metric_options={"unit": Window(WINDOW), "imputer": "interpolation", "steps": options.steps},
        method_options=points_of(options.methods, options.points),
        levels=LEVELS,
        again={"average_sensitivity": few, "max_sensitivity": few, "mprt": {"layers": options.layers}, "emprt": {}, "random_logit": {}},
        seed=SEED,
    )


def of_class(net: nn.Module, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """All numbers of the beats of one class."""
    beats = beats_of(options.database, options.records, name, net, options.beats, SEED)
    few = beats.first(options.again)
    found = measured(net, _samples(beats, name), _samples(few, name), settings_of(options))
    return {
        "annotated": beats.annotated,
        "told": beats.told,
        "explained": dict(Counter(beats.records)),
        "explained again": dict(Counter(few.records)),
        "drawn": {"mean": round(float(beats.x.double().mean()), 5), "deviation": round(float(beats.x.double().std()), 5)},
        **found,
    }


def _samples(beats: Beats, name: str) -> Samples:
    masks = qrs_mask(len(beats.x), beats.x.shape[-1])
    return Samples(beats.x, BEAT_CLASSES.index(name), beats.records, masks)


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """What the numbers depend on, as the options say."""
    names = ("beats", "again", "steps", "points", "sensitivity", "layers", "methods", "records", "classes")
    found = {name: getattr(options, name) for name in names}
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
    return {**listed, "window": WINDOW, "levels": list(LEVELS), "seed": SEED}


def summary(options: argparse.Namespace) -> dict[str, Any]:
    """All numbers, for JSON."""
    net = load_beat_network()
    sets = {name: of_class(net, name, options) for name in tqdm(options.classes, desc="classes", disable=None)}
    return {"parameters": parameters(options), "versions": versions(), "sets": sets}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path, nargs="?", help="not with --redraw")
    parser.add_argument("--output", type=Path, help="folder of evidence_real.md and images/")
    parser.add_argument("--numbers", type=Path, default=NUMBERS, help="where the numbers go with --output (default: beside this script)")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; take the numbers of the last time")
    parser.add_argument("--classes", nargs="+", choices=BEAT_CLASSES, default=list(CLASSES), help="of beats")
    parser.add_argument("--records", nargs="+", default=list(DS2), help="others than those of DS2")
    parser.add_argument("--methods", nargs="+", default=list(OF_BEATS), metavar="METHOD", help="these alone")
    parser.add_argument("--beats", type=int, default=BEATS, help="of each record and class, at most")
    parser.add_argument("--again", type=int, default=AGAIN, help="of these that are explained again and again, at most")
    parser.add_argument("--steps", type=int, default=STEPS, help="of removal")
    parser.add_argument("--points", type=int, default=POINTS, help="of SmoothGrad and of integrated gradients")
    parser.add_argument("--sensitivity", type=int, default=SENSITIVITY, help="points near each beat")
    parser.add_argument("--layers", nargs="+", metavar="LAYER", help="that are made random by MPRT (default: all)")
    options = parser.parse_args(arguments)
    if options.redraw == (options.database is not None):
        parser.error("give either the folder of records, or --redraw")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    torch.set_num_threads(1)
    text = options.numbers.read_text(encoding="utf-8") if options.redraw else as_json(summary(options))
    found = json.loads(text)
    if options.output is None:
        print("\n\n".join(beat_tables(found).values()))
    else:
        write(options.output, beat_tables(found), FIGURES, found, {options.numbers: text})


if __name__ == "__main__":
    main()
