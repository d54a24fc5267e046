"""Time metrics of signxai.evidence and of Quantus with the same steps on the same network: python tools/quantus_times.py

It runs in the environment of tools/compare_with_quantus.py, with signxai's extras "data" and "ecg" besides, reports each row as it is
measured, and writes the second part of docs/quantus.md: the processor's time of one thread, the median of interleaved rounds. Both are
given the same samples, maps and classes, explain by the same call of signxai, and run batches of their own: Quantus all samples at once.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import quantus
import torch
from PIL import Image
from torch import Tensor, nn

import signxai
from signxai import evidence, explain
from signxai.datasets import beats_of
from signxai.models import load_classifier

Call: TypeAlias = "Callable[[], Any]"

PAGE = Path(__file__).resolve().parents[1] / "docs" / "quantus.md"
DATA = Path(signxai.__file__).parent / "data"
HEADING = "## Times"
ROUNDS, DRAWS, STEPS = 3, 10, 8  # in as many steps each channel is gone
QUIET = {"abs": False, "normalise": False, "disable_warnings": True, "display_progressbar": False}


def pictures(count: int = 16) -> tuple[str, nn.Module, Tensor]:
    """Parts of the photo that comes with the package."""
    classifier, draws = load_classifier("efficientnet_lite0"), np.random.default_rng(0)
    with Image.open(DATA / "chelsea.png") as photo:
        corners = [[int(draws.integers(length - 240)) for length in photo.size] for _ in range(count)]
        parts = [photo.convert("RGB").crop((left, top, left + 240, top + 240)) for left, top in corners]
    return f"EfficientNet-Lite0, {count} pictures", classifier.model, torch.stack([classifier.preprocess(part) for part in parts])


def beats(count: int = 64) -> tuple[str, nn.Module, Tensor]:
    """Beats of the recording that comes with the package, with noise of their own."""
    classifier = load_classifier("ecg_beats")
    source = beats_of([DATA / "233_1655s.hea"], classifier.signal_input)
    found = np.stack([source.read(index) for index in range(len(source.entries.keys))])
    noise = 0.05 * np.random.default_rng(0).standard_normal((count, *found.shape[1:]))
    x = torch.from_numpy((found[np.arange(count) % len(found)] + noise).astype(np.float32))
    return f"ecg_beats, {count} beats", classifier.model, x


def explained(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
    """What Quantus calls for a map."""
    return explain(model, torch.as_tensor(np.asarray(inputs)), "gradient", np.asarray(targets))


def pairs(net: nn.Module, x: Tensor) -> dict[str, tuple[str, Call, Call]]:
    """The settings of each metric, ours and theirs."""
    with torch.no_grad():
        target = net(x.clone()).argmax(1).numpy()
        classes = net(x[:1].clone()).shape[1]
    relevance = explain(net, x, "gradient_x_input", target)
    slope, values, in_step = explained(net, x, target), x[0].numel(), x[0, 0].numel() // STEPS
    given = {"model": net, "x_batch": x.numpy(), "y_batch": target, "explain_func": explained, "softmax": False, "channel_first": True}

    def theirs(metric: Any, maps: np.ndarray) -> Call:
        return lambda: metric(a_batch=maps.copy(), batch_size=len(x), device="cpu", **given)

    def ours(metric: Any, maps: Any, **options: Any) -> Call:
        return lambda: metric(net, x, maps, target, **options)

    alike = {"similarity_func": quantus.similarity_func.correlation_spearman}
    flipping = quantus.PixelFlipping(features_in_step=in_step, perturb_baseline=0.0, **QUIET)
    correlation = quantus.FaithfulnessCorrelation(
        nr_runs=DRAWS, subset_size=values // 5, perturb_baseline=0.0, return_aggregate=False, **QUIET
    )
    found = {
        "pixel flipping": (
            f"each value alone, {values // in_step} steps",
            ours(evidence.deletion, relevance, unit="value", steps=values // in_step, score="logit"),
            theirs(flipping, relevance),
        ),
        "faithfulness correlation": (
            f"{DRAWS} subsets of a fifth of the values",
            ours(evidence.faithfulness_correlation, relevance, unit="value", samples=DRAWS),
            theirs(correlation, relevance),
        ),
        "max-sensitivity": (
            f"gradient, {DRAWS} draws",
            ours(evidence.max_sensitivity, "gradient", samples=DRAWS, radius=0.1, of_range=False),
            theirs(quantus.MaxSensitivity(nr_samples=DRAWS, lower_bound=0.1, **QUIET), slope),
        ),
        "random logit": (
            "gradient, Spearman",
            ours(evidence.random_logit, "gradient"),
            theirs(quantus.RandomLogit(num_classes=classes, **alike, **QUIET), slope),
        ),
        "completeness": (
            "zeros",
            ours(evidence.completeness, relevance),
            theirs(quantus.Completeness(perturb_baseline=0.0, **QUIET), relevance),
        ),
    }
    side = 32
    if x.ndim == 4:
        patches = (x.shape[-1] // side) ** 2
        found["infidelity"] = (
            f"{patches} sets of patches of {side} x {side}",
            ours(evidence.infidelity, slope, kind="sensitivity", unit=evidence.Patch(side), samples=patches),
            theirs(quantus.Infidelity(perturb_patch_sizes=[side], n_perturb_samples=1, perturb_baseline=0.0, **QUIET), slope),
        )
    else:
        found["MPRT"] = (
            "gradient, all layers from the output, Spearman",
            ours(evidence.mprt, "gradient"),
            theirs(quantus.MPRT(layer_order="top_down", **alike, **QUIET), slope),
        )
    return found


def seconds(calls: Mapping[str, Call]) -> dict[str, float]:
    """The median of each call's processor time, interleaved, after one of each that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(ROUNDS + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            found[name].extend([time.process_time() - start][: turn > 0])
    return {name: statistics.median(values) for name, values in found.items()}


def rows(what: str, net: nn.Module, x: Tensor) -> list[str]:
    """A row for each metric."""
    lines = []
    for name, (settings, ours, theirs) in pairs(net.eval(), x).items():
        took = seconds({"ours": ours, "theirs": theirs})
        lines.append(f"| {what} | {name} | {settings} | {took['ours']:.2f} | {took['theirs']:.2f} | {took['theirs'] / took['ours']:.2f} |")
        sys.stderr.write(f"{lines[-1]}\n")
    return lines


def processor() -> str:
    """As Linux names it, else as Python does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


SAID = """{heading}

Written by `tools/quantus_times.py` on {processor}, {cores} cores, with Quantus {quantus}, torch {torch}, NumPy {numpy} and Python {python}:
seconds of the processor, one thread, the median of {rounds} interleaved rounds. Both explain by the same call of signxai, with the same
number of steps and draws (pixel flipping of signxai takes a pass more, of the samples as they are); Quantus is given all samples as one
batch.

| network | metric | settings | signxai, s | Quantus, s | Quantus / signxai |
| --- | --- | --- | --- | --- | --- |
{rows}
"""


def main() -> None:
    """Write the second part of the page."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [row for make in (pictures, beats) for row in rows(*make())]
    versions = {name: version(name) for name in ("quantus", "torch", "numpy")}
    python = platform.python_version()
    machine = {"heading": HEADING, "processor": processor(), "cores": os.cpu_count(), "python": python, "rounds": ROUNDS}
    first = PAGE.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
    beside = PAGE.with_name(f"{PAGE.name}.{os.getpid()}")
    beside.write_text("\n".join([first, "", SAID.format(**machine, **versions, rows="\n".join(found))]), encoding="utf-8")
    beside.replace(PAGE)


if __name__ == "__main__":
    main()
