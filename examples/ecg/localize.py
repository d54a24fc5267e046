"""Measure whether the relevance of ventricular beats lies where these differ from normal ones: in the QRS complex.

    python examples/ecg/localize.py DATABASE --output docs

DATABASE is a folder of WFDB records. Explained is the class V of all V beats of DS2 (patients that the network has never
seen) which it classifies correctly. Each method is scored by two measures of every beat's map:

- share: the part of the positive relevance, of both leads, that lies within 100 ms of the beat's annotation;
- pointing: whether the sample of the largest relevance lies there (the pointing game).

A map that is the same everywhere scores the window's part of the samples in both: that is chance. A map without positive
relevance points nowhere and scores 0 in both; such maps are counted. Scores are means over beats; their 95 % intervals are
those of a bootstrap over patients, because beats of one patient are alike.

With --output, that folder's ecg.md gets the tables, its images/ the figure, and localization.json beside this script the
numbers; without it the tables are printed. The same machine gives the same numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from document import filled
from localization_measures import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    WITHIN_S,
    BoolArray,
    Estimate,
    FloatArray,
    mean_over_beats,
    points_inside,
    positive_share,
    qrs_window,
    without_positive,
)
from localization_report import figure_of, tables
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm
from train import DS2

import signxai
from signxai.common.naming import MethodSpec, Multiplier, parse_method
from signxai.files import write_together
from signxai.timeseries import beat_windows, read_signal
from signxai.timeseries.beat_network import AFTER_S, BEAT_CLASSES, BEFORE_S, SAMPLING_RATE, BeatNetwork, prepare_for_beats
from signxai.torch_signxai.methods.signed import calculate_sign_mu

TARGET = BEAT_CLASSES.index("V")
REFERENCE = "gradient"
AMPLITUDE = "|signal|"  # no method: the network's input, absolute, as if it were a map

FAMILIES: Mapping[str, Sequence[str]] = {
    "Baselines": ("random_uniform", AMPLITUDE),
    "Gradient": (
        *("gradient", "gradient_x_input", "gradient_x_sign"),
        *("smoothgrad_samples_20", "smoothgrad_samples_20_x_input", "smoothgrad_samples_20_x_sign"),
        *("vargrad_samples_20", "integrated_gradients_steps_20"),
    ),
    "Modified backpropagation": (
        *("guided_backprop", "guided_backprop_x_input", "guided_backprop_x_sign"),
        *("deconvnet", "deconvnet_x_input", "deconvnet_x_sign"),
    ),
    "Class activation maps": ("grad_cam_timeseries", "guided_grad_cam"),
    "LRP, one rule": (
        *("lrp_z", "lrpsign_z", "lrp_epsilon_0_25_std_x", "lrpsign_epsilon_0_25_std_x"),
        *("lrp_gamma_0_25", "lrpsign_gamma_0_25", "lrp_alpha_1_beta_0", "lrpsign_alpha_1_beta_0"),
        *("lrp_alpha_2_beta_1", "lrpsign_alpha_2_beta_1", "deep_taylor"),
    ),
    "LRP, other input rules": ("w2lrp_alpha_1_beta_0", "flatlrp_alpha_1_beta_0", "zblrp_alpha_1_beta_0"),
    "LRP, composites": (
        *("lrp_sequential_composite_a", "lrpsign_sequential_composite_a", "lrp_sequential_composite_b", "lrpsign_sequential_composite_b"),
        *("lrp_epsilon_plus_flat", "lrp_epsilon_alpha2_beta1_flat", "lrp_epsilon_gamma_box"),
    ),
}
"""What is measured. lrp_zplus is lrp_alpha_1_beta_0, and so not among them."""

METHODS = tuple(method for methods in FAMILIES.values() for method in methods)
MEASURES = ("share", "pointing")
BATCH = 128
NUMBERS = Path(__file__).with_name("localization.json")
PLACE, PICTURE = "localization", "ecg_localization.png"


def without_sign(method: str) -> str | None:
    """The method that takes the input's value where this one takes its sign; None for a method without SIGN.

    >>> without_sign("lrpsign_z"), without_sign("gradient_x_sign"), without_sign("gradient")
    ('lrp_z', 'gradient_x_input', None)
    """
    if method.startswith("lrpsign_"):
        return "lrp_" + method.removeprefix("lrpsign_")
    return method.removesuffix("_x_sign") + "_x_input" if method.endswith("_x_sign") else None


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


def maps_of(net: nn.Module, x: Tensor, methods: Sequence[str]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Each method's maps, as `signxai.explain` gives them; what differs by multipliers alone is computed once."""
    shared: dict[MethodSpec, npt.NDArray[Any]] = {}
    for method in methods:
        if method == AMPLITUDE:
            yield method, x.abs().numpy()
            continue
        spec = parse_method(method)
        base = replace(spec, multipliers=())
        if base not in shared:
            shared[base] = np.asarray(signxai.explain(net, x, base, TARGET, batch_size=BATCH))
        yield method, _multiplied(shared[base], x.numpy(), spec.multipliers)


def _multiplied(relevance: npt.NDArray[Any], x: npt.NDArray[Any], multipliers: Sequence[Multiplier]) -> npt.NDArray[Any]:
    for multiplier in multipliers:
        relevance = relevance * (x if multiplier.kind == "input" else calculate_sign_mu(x, multiplier.mu or 0.0))
    return relevance


# The numbers

Scores = Mapping[str, Sequence[FloatArray]]
"""From a method to what its maps score for each patient, (beats, 3): share, pointing, and whether nothing in them is positive."""


def scores(maps: npt.ArrayLike, inside: BoolArray) -> FloatArray:
    """What each map scores, (beats, 3)."""
    return np.stack([positive_share(maps, inside), points_inside(maps, inside), without_positive(maps)], axis=1)


def measured(net: nn.Module, patients: Sequence[Patient], methods: Sequence[str]) -> Scores:
    found: dict[str, list[FloatArray]] = {method: [] for method in methods}
    beats = sum(len(patient.x) for patient in patients)
    with tqdm(total=beats * len(methods), desc="explaining", unit=" maps", disable=None) as progress:
        for patient in patients:
            inside = _inside(patient)
            parts: dict[str, list[FloatArray]] = {method: [] for method in methods}
            for x in patient.x.split(BATCH):
                for method, maps in maps_of(net, x, methods):
                    parts[method].append(scores(maps, inside))
                    progress.update(len(x))
            for method in methods:
                found[method].append(np.concatenate(parts[method]))
    return found


def _inside(patient: Patient) -> BoolArray:
    return qrs_window(patient.x.shape[-1], round(BEFORE_S * SAMPLING_RATE), SAMPLING_RATE)


def numbers(patients: Sequence[Patient], found: Scores) -> dict[str, Any]:
    """All that was found, for JSON; shares are parts of 1."""
    families = {method: family for family, methods in FAMILIES.items() for method in methods}
    twins = {method: plain for method in found if (plain := without_sign(method)) is not None and plain in found}
    return {
        "explained class": BEAT_CLASSES[TARGET],
        "window": f"annotation +- {1000 * WITHIN_S:g} ms, both leads",
        "chance": float(_inside(patients[0]).mean()),
        "interval": f"{CONFIDENCE:.0%}, percentile bootstrap over patients, {RESAMPLES} resamples, seed {SEED}",
        "patients": [{"record": patient.record, "V beats": patient.annotated, "explained": len(patient.x)} for patient in patients],
        "methods": [{"method": method, "family": families[method], **_of_method(method, found)} for method in found],
        "sign": [_of_sign(method, plain, found) for method, plain in twins.items()],
    }


def _of_method(method: str, found: Scores) -> dict[str, Any]:
    own = found[method]
    result: dict[str, Any] = {"maps without positive relevance": int(sum(values[:, -1].sum() for values in own))}
    for column, measure in enumerate(MEASURES):
        result[measure] = asdict(mean_over_beats([values[:, column] for values in own]))
        result[measure]["of each patient"] = [round(float(values[:, column].mean()), 4) for values in own]
        if REFERENCE in found:
            result[measure][f"minus {REFERENCE}"] = asdict(_difference(method, REFERENCE, found, column))
    return result


def _of_sign(method: str, plain: str, found: Scores) -> dict[str, Any]:
    result: dict[str, Any] = {"method": method, "without SIGN": plain}
    for column, measure in enumerate(MEASURES):
        pairs = zip(found[method], found[plain], strict=True)
        above = sum(bool(own[:, column].mean() > other[:, column].mean()) for own, other in pairs)
        result[measure] = {**asdict(_difference(method, plain, found, column)), "patients above": above}
    return result


def _difference(method: str, other: str, found: Scores, column: int) -> Estimate:
    """Of two methods' scores, beat by beat."""
    pairs = zip(found[method], found[other], strict=True)
    return mean_over_beats([own[:, column] - others[:, column] for own, others in pairs])


# Files


def report_writers(found: Mapping[str, Any], output: Path) -> dict[Path, Callable[[Path], Any]]:
    """For the document and its figure, what writes them."""
    document = output / "ecg.md"
    text = filled(document.read_text(encoding="utf-8"), PLACE, tables(found))
    return {document: partial(Path.write_text, data=text, encoding="utf-8"), output / "images" / PICTURE: figure_of(found).savefig}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path, nargs="?", help="not with --redraw")
    parser.add_argument("--output", type=Path, help="folder with ecg.md and images/")
    parser.add_argument("--numbers", type=Path, default=NUMBERS, help="where the numbers go with --output (default: beside this script)")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; take the numbers of the last time")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", default=METHODS, help="measure only these")
    parser.add_argument("--limit", type=int, help="explain at most so many beats of each record, for a quick look")
    parser.add_argument("--records", nargs="+", default=DS2, help="others than those of DS2")
    parser.add_argument("--weights", type=Path, help="of a training of your own (default: those that are shipped)")
    options = parser.parse_args(arguments)
    if options.redraw == (options.database is not None) or (options.redraw and options.output is None):
        parser.error("give either the folder of records, or --redraw with --output")
    if options.redraw:
        write_together(report_writers(json.loads(options.numbers.read_text(encoding="utf-8")), options.output))
        return
    torch.use_deterministic_algorithms(True)
    net = load_network(options.weights)
    patients = patients_of(options.database, options.records, net, options.limit)
    if len(patients) < 2:
        parser.error("the network finds V beats of fewer than two patients: nothing can be said of others")
    found = numbers(patients, measured(net, patients, options.methods))
    if options.output is None:
        print(tables(found))
        return
    content = json.dumps(found, indent=1) + "\n"
    write_together({options.numbers: partial(Path.write_text, data=content, encoding="utf-8"), **report_writers(found, options.output)})


if __name__ == "__main__":
    main()
